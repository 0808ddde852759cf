# SPDX-License-Identifier: Apache-2.0
"""NRI: plugins that hang, die or talk nonsense, and tared dying under them."""

import os
import signal
import tempfile
import time

import pytest

from nri_raw import RawPlugin, Refused, compile_messages
from nri_world import PATIENCE, calls, make_world, program, share_world, shared_world, world
from support.cri import CriError
from support.node import wait_until

__all__ = ["calls", "make_world", "program", "shared_world", "world"]

# Every event that a pod's and a container's life has. One that is told and not asked for is late.
LIFE = (
    "RunPodSandbox", "UpdatePodSandbox", "PostUpdatePodSandbox", "StopPodSandbox",
    "RemovePodSandbox", "CreateContainer", "PostCreateContainer", "StartContainer",
    "PostStartContainer", "UpdateContainer", "PostUpdateContainer", "StopContainer",
    "RemoveContainer",
)


def live(node):
    """All verbs that plugins hear of."""
    pod = node.run_pod()
    node.client.UpdatePodSandboxResources(pod_sandbox_id=pod.id, resources={"cpu_shares": 512})
    container = pod.run()
    node.client.UpdateContainerResources(container_id=container.id, linux={"cpu_shares": 500})
    container.stop()
    assert container.status().state == 2
    container.remove()
    pod.remove()


HASTE_MS = 500  # a busy machine may let an honest plugin miss that, too: no test depends on one


@pytest.fixture(scope="module")
def hasty_world(build, services, crictl, layout, program):
    yield from share_world(build, services, crictl, layout, program, f"{HASTE_MS}ms")


@pytest.mark.parametrize("event", [event for event in LIFE if not event.startswith("Post")])
def test_a_plugin_that_hangs_is_closed(hasty_world, event):
    world = hasty_world

    def ready():
        plugin = world.start("10-slow", ready=False, **{event: {"until": world.path("never")}})
        wait_until(lambda: world.state("10-slow") == "ready" or plugin.process.poll() is not None,
                   PATIENCE)
        return world.state("10-slow") == "ready"

    wait_until(ready, PATIENCE)
    before = len(world.node.log())
    live(world.node)
    wait_until(lambda: world.shown() == [], PATIENCE, "the plugin to be closed")
    assert f"was not answered in {HASTE_MS} ms" in world.node.log()[before:]
    world.clear()


@pytest.mark.parametrize("event", LIFE[::3])
def test_a_plugin_that_dies_is_passed_over(world, event):
    plugin = world.start(**{event: {"exit": True}})
    good = world.start("20-good")
    live(world.node)
    good.wait("RemovePodSandbox")
    assert plugin.process.wait(PATIENCE) == 3
    assert [p["name"] for p in world.shown()] == ["20-good"]


def test_one_that_does_not_register(make_world):
    world = make_world(registration="300ms")
    with RawPlugin((None, None), world.path("nri.sock"), PATIENCE) as silent:
        pod = world.node.run_pod()  # waits for nobody
        pod.remove()
        assert silent.closed()
    assert "did not register in 300 ms" in world.node.log()


def test_an_installed_one_that_never_registers(make_world):
    """Requests wait for installed plugins, but not for ever."""
    world = make_world(registration="300ms", programs={
        "05-asleep": "#!/bin/sh\nexec sleep 1000\n", "06-wrong": "#!/nothing\n",
        "nameless": "#!/bin/sh\n"})
    live(world.node)
    log = world.node.log()
    assert "05-asleep closed: it did not register" in log
    assert "06-wrong is not started" in log and "nameless is not started" in log
    assert world.shown() == []


# --- tared dies ---

@pytest.mark.parametrize("event", ["RunPodSandbox", "CreateContainer", "StartContainer",
                                   "StopPodSandbox"])
def test_tared_is_killed_while_a_plugin_is_asked(make_world, calls, event):
    world = make_world(installed=["10-one"])
    plugin = world.installed[0]
    pod = None
    if event != "RunPodSandbox":
        pod = world.node.run_pod()
    container = pod.create() if event in ("StartContainer", "StopPodSandbox") else None
    pid = world.shown()[0]["pid"]
    plugin.script(**{event: {"until": world.path("go")}})
    call = calls.submit({"RunPodSandbox": world.node.run_pod,
                         "CreateContainer": lambda: pod.create(),
                         "StartContainer": lambda: container.start(),
                         "StopPodSandbox": lambda: pod.stop()}[event])
    plugin.wait(event)
    world.node.kill()
    with pytest.raises(CriError):
        call.result(PATIENCE)
    wait_until(lambda: not os.path.exists(f"/proc/{pid}"), PATIENCE, "the old plugin to end")
    plugin.script()
    world.node.start()
    wait_until(lambda: len(plugin.noted("Synchronize")) == 2, PATIENCE, "the new plugin")
    state = plugin.noted("Synchronize")[-1]
    assert state["pods"] == ([pod.id] if pod else [])
    assert state["containers"] == ([container.id] if container else [])
    if event == "StartContainer":
        container.start()
    live(world.node)
    world.node.remove_everything()
    assert world.node.kill(signal.SIGTERM) == 0  # and its plugin with it


# --- from the bytes up ---

@pytest.fixture(scope="module")
def messages():
    with tempfile.TemporaryDirectory() as folder:
        yield compile_messages(folder)


@pytest.fixture
def raw(world, messages):
    made = []

    def connect():
        made.append(RawPlugin(messages, world.path("nri.sock"), PATIENCE))
        return made[-1]

    yield connect
    for plugin in made:
        plugin.sock.close()


def test_eviction(world, raw):
    pod = world.node.run_pod()
    container = pod.run()
    plugin = raw()
    nri = plugin.nri
    plugin.join([nri.CREATE_CONTAINER])
    failed = plugin.call("UpdateContainers", nri.UpdateContainersRequest(
        evict=[{"container_id": container.id, "reason": "noise"}, {"container_id": "gone"}]),
        nri.UpdateContainersResponse)
    assert not failed.failed
    wait_until(lambda: container.status().state == 2, PATIENCE, "the eviction")
    assert "is evicted by an NRI plugin: noise" in world.node.log()


def test_what_is_out_of_order_is_refused(world, raw):
    plugin = raw()
    nri = plugin.nri
    update = nri.UpdateContainersRequest()
    with pytest.raises(Refused, match="not registered"):
        plugin.call("UpdateContainers", update, nri.UpdateContainersResponse)
    with pytest.raises(Refused, match="no method"):
        plugin.call("Nonsense", update, nri.Empty)
    with pytest.raises(Refused, match="no method"):
        plugin.call("RegisterPlugin", update, nri.Empty, service="another.Service")
    plugin.join([nri.RUN_POD_SANDBOX])
    with pytest.raises(Refused, match="already"):
        plugin.register()
    assert plugin.closed()
    other = raw()
    other.register()
    other.answer(other.expect("Configure")[0], nri.ConfigureResponse(events=1 << 30))
    assert other.closed()
    assert "events that do not exist" in world.node.log()


def test_answers_that_are_none(world, raw, calls):
    """The plugin is closed, the container made."""
    pod = world.node.run_pod()
    junk = b"\xff" * 40
    for answer in (lambda p, s: p.send(1, s, 2, junk), lambda p, s: p.send(1, s, 7, b""),
                   lambda p, s: p.answer(s, p.ttrpc.Request(service="\n\x05")),
                   lambda p, s: p.sock.sendall(b"\0\0\0\1\xff\xff\xff\xff"),
                   lambda p, s: p.sock.sendall(b"\0\0\0\1\0\0\0\x0a\xff\xff\xff\xff" + junk)):
        plugin = raw().join([4])
        create = calls.submit(pod.create)
        stream, _ = plugin.expect("CreateContainer")
        answer(plugin, stream)
        assert plugin.closed()
        assert create.result(PATIENCE).status().state == 0


def test_one_that_does_not_read(make_world, messages):
    """Its answers are not kept without end."""
    world = make_world()
    nri = messages[0]
    with RawPlugin(messages, world.path("nri.sock"), PATIENCE) as plugin:
        plugin.join([nri.REMOVE_POD_SANDBOX])
        began = time.monotonic()
        failing = nri.UpdateContainersRequest(update=[
            {"container_id": f"{i:064}", "linux": {"resources": {"cpu": {"cpus": "0" * 4000}}}}
            for i in range(900)])
        try:
            while time.monotonic() - began < PATIENCE:
                plugin.ask("UpdateContainers", failing)
        except OSError:
            pass
        wait_until(lambda: world.shown() == [], PATIENCE, "the plugin to be closed")
    assert "does not read" in world.node.log()
    live(world.node)
