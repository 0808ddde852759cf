# SPDX-License-Identifier: Apache-2.0
"""NRI: what plugins are told and asked, and plugins that fail.

What critest has of NRI beyond its last release is in here, too: the order of events, what is seen
of a pod or container while a plugin is asked, what a refusal leaves, and that no plugin that comes
late misses a container."""

import os
import socket

from nri_world import PATIENCE, calls, make_world, program, refused, shared_world, world
from support.cri import Code
from support.node import wait_until

__all__ = ["calls", "make_world", "program", "shared_world", "world"]


# --- events ---

def test_life_of_a_pod_and_a_container(world):
    plugin = world.start()
    assert plugin.noted("Configure")[0]["runtime"] == "tare"
    pod = world.node.run_pod(labels={"app": "x"}, annotations={"note": "y"})
    heard = plugin.wait("RunPodSandbox", pod.id)["pod"]
    meta = pod.config["metadata"]
    assert (heard["name"], heard["namespace"], heard["uid"]) == (
        meta["name"], meta["namespace"], meta["uid"])
    assert heard["labels"] == {"app": "x"} and heard["annotations"]["note"] == "y"
    assert heard["ips"] == [pod.status().status.network.ip]
    container = pod.create(["sh", "-c", "sleep 1000"], labels={"tier": "z"})
    asked = plugin.wait("CreateContainer", container.id)["container"]
    assert asked["name"] == container.config["metadata"]["name"]
    assert asked["podSandboxId"] == pod.id and asked["labels"] == {"tier": "z"}
    assert asked["args"] == ["sh", "-c", "sleep 1000"]
    assert {m["destination"] for m in asked["mounts"]} >= {"/proc", "/dev"}
    assert asked["linux"]["cgroupsPath"]
    container.start()
    started = plugin.wait("PostStartContainer", container.id)["container"]
    assert started["state"] == "CONTAINER_RUNNING" and started["pid"] == container.pid
    container.stop()
    container.remove()
    plugin.wait("RemoveContainer", container.id)
    assert plugin.events(container.id) == [
        "CreateContainer", "PostCreateContainer", "StartContainer", "PostStartContainer",
        "StopContainer", "RemoveContainer"]
    pod.stop()
    pod.stop()
    refused(pod.create)
    pod.remove()
    plugin.wait("RemovePodSandbox", pod.id)
    about_pod = [e["event"] for e in plugin.noted() if "container" not in e and
                 e.get("pod", {}).get("id") == pod.id]
    assert about_pod == ["RunPodSandbox", "StopPodSandbox", "RemovePodSandbox"]


def test_a_container_that_fails(world):
    plugin = world.start()
    pod = world.node.run_pod()
    container = pod.run(["sh", "-c", "exit 1"])
    assert container.wait(PATIENCE).exit_code == 1
    stopped = plugin.wait("StopContainer", container.id)["container"]
    assert stopped["exitCode"] == 1 and stopped["state"] == "CONTAINER_STOPPED"
    container.stop()
    pod.remove()
    plugin.wait("RemovePodSandbox", pod.id)
    assert plugin.events(container.id)[-2:] == ["StopContainer", "RemoveContainer"]
    assert len(plugin.noted("StopContainer", container.id)) == 1


def test_an_older_plugin(world):
    """Its library has no calls for most events: it hears of them by StateChange."""
    plugin = world.start(old=True)
    pod = world.node.run_pod()
    container = pod.run(["sh", "-c", "echo $OLD_PLUGIN"])
    assert container.wait(PATIENCE).exit_code == 0 and container.text() == "yes\n"
    world.node.client.UpdatePodSandboxResources(pod_sandbox_id=pod.id,
                                                resources={"cpu_shares": 512})
    container.remove()
    pod.remove()
    plugin.wait("RemovePodSandbox", pod.id)
    assert plugin.events(container.id) == [
        "CreateContainer", "PostCreateContainer", "StartContainer", "PostStartContainer",
        "StopContainer", "RemoveContainer"]
    assert [e["event"] for e in plugin.noted(of=pod.id) if "container" not in e] == [
        "RunPodSandbox", "StopPodSandbox", "RemovePodSandbox"]


def test_only_what_a_plugin_subscribes_to(world):
    plugin = world.start(Configure={"events": "RunPodSandbox,RemoveContainer"})
    pod = world.node.run_pod()
    container = pod.run()
    container.remove()
    plugin.wait("RemoveContainer", container.id)
    assert plugin.events(container.id) == ["RemoveContainer"]


# --- what is seen meanwhile ---

def test_a_pod_is_not_there_before_its_plugins_have_answered(world, calls):
    plugin = world.start(RunPodSandbox={"until": world.path("go")})
    run = calls.submit(world.node.run_pod)
    pod_id = plugin.wait("RunPodSandbox")["pod"]["id"]
    assert not world.node.client.ListPodSandbox().items
    refused(lambda: world.node.client.CreateContainer(
        pod_sandbox_id=pod_id, config=world.node.container_config(),
        sandbox_config=world.node.pod_config()))
    world.release("go")
    pod = run.result(PATIENCE)
    assert pod.id == pod_id and pod.status().status.state == 0
    pod.run()


def test_a_refused_pod_leaves_nothing(world):
    plugin = world.start(RunPodSandbox={"error": "not today"})
    config = world.node.pod_config()
    error = refused(lambda: world.node.client.RunPodSandbox(config=config), "10-one", "not today")
    assert error.code() != Code.OK
    assert not world.node.client.ListPodSandbox().items
    plugin.script()
    world.node.client.RunPodSandbox(config=config)


def test_a_pod_that_stops_is_still_there(world, calls):
    plugin = world.start(StopPodSandbox={"until": world.path("go")})
    pod = world.node.run_pod()
    container = pod.run()
    stop = calls.submit(pod.stop)
    plugin.wait("StopPodSandbox", pod.id)
    assert container.status().state == 2
    assert pod.status().status.id == pod.id
    world.release("go")
    stop.result(PATIENCE)


def test_a_container_is_not_there_before_its_plugins_have_answered(world, calls):
    plugin = world.start(CreateContainer={"until": world.path("go")})
    pod = world.node.run_pod()
    create = calls.submit(pod.create)
    made = plugin.wait("CreateContainer")["container"]["id"]
    assert not world.node.client.ListContainers().containers
    refused(lambda: world.node.client.ContainerStatus(container_id=made))
    world.release("go")
    assert create.result(PATIENCE).status().state == 0


def test_a_refused_container_leaves_nothing(world):
    plugin = world.start(CreateContainer={"error": "no more"})
    pod = world.node.run_pod()
    config = world.node.container_config()

    def create():
        return world.node.client.CreateContainer(pod_sandbox_id=pod.id, config=config,
                                                 sandbox_config=pod.config).container_id

    refused(create, "10-one", "no more")
    assert not world.node.client.ListContainers().containers
    assert not plugin.noted("StartContainer")
    plugin.script()
    create()
    plugin.script(StartContainer={"error": "stay"})
    container = pod.create()
    refused(container.start, "stay")
    assert container.status().reason == "StartError"


def test_who_agreed_hears_that_another_refused(world):
    first, second = world.start("10-first"), world.start("20-second")
    second.script(RunPodSandbox={"error": "no"})
    refused(world.node.run_pod, "20-second")
    pod_id = first.noted("RunPodSandbox")[0]["pod"]["id"]
    first.wait("RemovePodSandbox", pod_id)
    assert first.events(pod_id) == ["RunPodSandbox", "StopPodSandbox", "RemovePodSandbox"]
    second.script(CreateContainer={"error": "no"})
    pod = world.node.run_pod()
    refused(pod.create, "20-second")
    made = first.noted("CreateContainer")[0]["container"]["id"]
    first.wait("RemoveContainer", made)
    assert first.events(made) == ["CreateContainer", "StopContainer", "RemoveContainer"]


def test_what_has_happened_is_not_refused(world):
    """An error of a plugin about it is logged."""
    told = ("PostUpdatePodSandbox", "StopPodSandbox", "RemovePodSandbox", "PostCreateContainer",
            "PostStartContainer", "PostUpdateContainer", "StopContainer", "RemoveContainer")
    plugin = world.start(**{event: {"error": f"too late for {event}"} for event in told})
    pod = world.node.run_pod()
    world.node.client.UpdatePodSandboxResources(pod_sandbox_id=pod.id,
                                                resources={"cpu_shares": 512})
    container = pod.run()
    world.node.client.UpdateContainerResources(container_id=container.id,
                                               linux={"cpu_shares": 500})
    container.stop()
    container.remove()
    pod.stop()
    pod.remove()
    plugin.wait("RemovePodSandbox", pod.id)
    wait_until(lambda: "too late for RemovePodSandbox" in world.node.log(), PATIENCE)
    for event in told:
        assert f"too late for {event}" in world.node.log()
    assert world.state("10-one") == "ready"
    plugin.script(UpdatePodSandbox={"error": "no"})
    pod = world.node.run_pod()
    refused(lambda: world.node.client.UpdatePodSandboxResources(
        pod_sandbox_id=pod.id, resources={"cpu_shares": 512}), "10-one", "no")


# --- plugins that come late ---

def test_synchronization(make_world):
    world = make_world()
    pod = world.node.run_pod()
    before = [pod.create(), pod.run()]
    gone = pod.create()
    gone.remove()
    ended = pod.run(["true"])
    ended.wait(PATIENCE)
    plugin = world.start()
    state = plugin.noted("Synchronize")[0]
    assert state["pods"] == [pod.id]
    assert sorted(state["containers"]) == sorted(c.id for c in before)
    later = pod.create()
    plugin.wait("CreateContainer", later.id)
    world.node.restart()  # the plugin's connection ends with the daemon
    plugin.process.wait(PATIENCE)
    again = world.start("11-again")
    assert len(again.noted("Synchronize")[0]["containers"]) == 3


def test_no_container_is_missed_around_a_synchronization(world, calls):
    pod = world.node.run_pod()
    first = pod.create()
    plugin = world.start(ready=False, Synchronize={"until": world.path("go")})
    plugin.wait("Synchronize")
    during = [calls.submit(pod.create) for _ in range(3)]
    wait_until(lambda: len(world.shown()) == 1)
    world.release("go")
    ids = {first.id, *(each.result(PATIENCE).id for each in during), pod.create().id}
    seen = set(plugin.noted("Synchronize")[0]["containers"])
    created = {line["container"]["id"] for line in plugin.noted("CreateContainer")}
    assert seen | created == ids and not seen & created


def test_a_large_state_comes_in_parts(world):
    pods = [world.node.run_pod(annotations={f"a{i}": "x" * 200000 for i in range(5)})
            for _ in range(4)]
    plugin = world.start()
    assert sorted(plugin.noted("Synchronize")[0]["pods"]) == sorted(p.id for p in pods)


# --- plugins that fail ---

def test_a_plugin_that_does_not_answer_is_closed(make_world):
    world = make_world(timeout="3s")
    slow = world.start("10-slow", CreateContainer={"until": world.path("never")})
    good = world.start("20-good", CreateContainer={"adjust": {
        "env": [{"key": "GOOD", "value": "yes"}]}})
    pod = world.node.run_pod()
    assert pod.shell("echo $GOOD") == "yes\n"
    assert world.state("10-slow") is None and world.state("20-good") == "ready"
    slow.process.wait(PATIENCE)
    assert len(good.noted("CreateContainer")) == 1
    assert "CreateContainer was not answered in 3000 ms" in world.node.log()


def test_nonsense_on_the_socket(world):
    for text in (b"GET / HTTP/1.1\r\n\r\n", b"\0\0\0\2\xff\xff\xff\xff", b"\0\0\0\2\0\0\0\12"
                 b"\xff\xff\xff\xff\0\0\0\1\1\0", b"\0\0\0\2\0\0\0\13\0\0\0\1\0\0\0\1\1\0\xff"):
        with socket.socket(socket.AF_UNIX) as sock:
            sock.settimeout(PATIENCE)
            sock.connect(world.path("nri.sock"))
            sock.sendall(text)
            sock.shutdown(socket.SHUT_WR)
            while sock.recv(4096):
                pass
    assert world.shown() == []
    plugin = world.start()
    pod = world.node.run_pod()
    plugin.wait("RunPodSandbox", pod.id)


def test_a_bad_name_is_refused(world):
    plugin = world.start("1x-one", ready=False)
    assert plugin.process.wait(PATIENCE) != 0
    assert world.shown() == []


# --- installed plugins ---

def test_installed_plugins(make_world):
    world = make_world(installed=["05-first", "30-second"])
    first, second = world.installed
    pod = world.node.run_pod()  # waits for them
    assert first.events(pod.id) == ["RunPodSandbox"] == second.events(pod.id)
    shown = world.shown()
    assert [(p["name"], p["started"]) for p in shown] == [("05-first", True), ("30-second", True)]
    pids = [p["pid"] for p in shown]
    world.node.restart()
    assert [p["name"] for p in world.shown()] == ["05-first", "30-second"]
    wait_until(lambda: first.noted("Synchronize")[-1]["pods"] == [pod.id], PATIENCE)
    wait_until(lambda: not any(os.path.exists(f"/proc/{pid}") for pid in pids), PATIENCE)


def test_off_unless_configured(make_node):
    node = make_node(image=False)
    assert "nri" not in node.crictl("info").json
