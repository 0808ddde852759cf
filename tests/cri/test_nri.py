# SPDX-License-Identifier: Apache-2.0
"""NRI with plugins on its own Go library (tests/cri/nri-plugin), which do what a test says.

What critest has of NRI beyond its last release is in here, too: the order of events, what is seen
of a pod or container while a plugin is asked, what a refusal leaves, and that no plugin that comes
late misses a container."""

import base64
import concurrent.futures
import json
import os
import shutil
import socket
import subprocess
import tempfile

import pytest

from support.cri import Code, CriError
from support.fixtures import print_log
from support.node import Node, wait_until

PATIENCE = 60  # a busy machine with a sanitizer build
CONFIG = """
[nri]
enable = true
socket_path = "{folder}/nri.sock"
plugin_path = "{folder}/plugins"
plugin_config_path = "{folder}/conf"
plugin_registration_timeout = "60s"
plugin_request_timeout = "{timeout}"
"""
HERE = os.path.dirname(os.path.abspath(__file__))


@pytest.fixture(scope="session")
def program():
    named = os.environ.get("TARE_NRI_PLUGIN")
    if named:
        return named
    tools = os.path.join(os.path.dirname(HERE), "tools.py")
    done = subprocess.run(["/usr/bin/python3", "-B", tools, "nri-plugin"], check=False,
                          stdout=subprocess.PIPE, text=True)
    if done.returncode != 0:
        pytest.skip("no Go compiler for the plugin")
    return done.stdout.strip()


class Files:
    """A plugin's script and what it has noted."""

    def __init__(self, folder, name):
        self.name = name
        self.script_path = os.path.join(folder, f"{name}.script")
        self.log_path = os.path.join(folder, f"{name}.log")
        self.process = None

    def script(self, **actions):
        with open(self.script_path + ".new", "w", encoding="utf-8") as file:
            json.dump(actions, file)
        os.rename(self.script_path + ".new", self.script_path)

    def noted(self, event=None, of=None):
        """What was noted; of: about this pod or container."""
        if not os.path.exists(self.log_path):
            return []
        with open(self.log_path, encoding="utf-8") as file:
            lines = [json.loads(line) for line in file.read().split("\n")[:-1]]
        return [line for line in lines if event in (None, line["event"]) and
                of in (None, line.get("container", {}).get("id"), line.get("pod", {}).get("id"))]

    def events(self, of):
        return [line["event"] for line in self.noted(of=of)]

    def wait(self, event, of=None, count=1):
        """The last note of an event when there are so many."""
        wait_until(lambda: len(self.noted(event, of)) >= count, PATIENCE,
                   f"{count} {event} at {self.name}")
        return self.noted(event, of)[-1]

    def say(self, line):
        self.process.stdin.write(json.dumps(line) + "\n")
        self.process.stdin.flush()


class World:
    """A node with NRI, and its plugins."""

    def __init__(self, make_node, program, timeout, installed=()):
        self.folder = tempfile.mkdtemp(prefix="nri")
        self.program, self.plugins = program, []
        for name in ("plugins", "conf"):
            os.mkdir(self.path(name))
        self.installed = [self.install(name) for name in installed]
        self.node = make_node(config=CONFIG.format(folder=self.folder, timeout=timeout))

    def path(self, *parts):
        return os.path.join(self.folder, *parts)

    def install(self, name):
        files = Files(self.folder, name)
        files.script()
        shutil.copy2(self.program, self.path("plugins", name))
        with open(self.path("conf", f"{name}.conf"), "w", encoding="utf-8") as file:
            json.dump({"script": files.script_path, "log": files.log_path}, file)
        return files

    def start(self, name="10-one", ready=True, validate=False, **actions):
        files = Files(self.folder, name)
        files.script(**actions)
        idx, _, base = name.partition("-")
        words = ["-idx", idx, "-name", base, "-socket", self.path("nri.sock"),
                 "-script", files.script_path, "-log", files.log_path]
        with open(self.path(f"{name}.err"), "ab") as err:
            files.process = subprocess.Popen(
                [self.program, *words, *(["-validate"] if validate else [])],
                stdin=subprocess.PIPE, stdout=err, stderr=err, text=True)
        self.plugins.append(files)
        if ready:
            wait_until(lambda: self.state(name) == "ready", PATIENCE, f"{name} to be ready")
        return files

    def shown(self):
        return self.node.crictl("info").json["nri"]["plugins"]

    def state(self, name):
        return next((p["state"] for p in self.shown() if p["name"] == name), None)

    def release(self, name):
        with open(self.path(name), "w", encoding="utf-8"):
            pass

    def end_plugins(self):
        for plugin in self.plugins:
            plugin.process.kill()
            plugin.process.wait()
            plugin.process.stdin.close()
        self.plugins = []

    def clear(self):
        self.end_plugins()
        wait_until(lambda: self.shown() == [], PATIENCE, "all plugins to be gone")
        self.node.remove_everything()
        self.node.assert_nothing_left()
        for name in os.listdir(self.folder):
            if os.path.isfile(self.path(name)):  # not the socket
                os.unlink(self.path(name))

    def end(self):
        self.end_plugins()
        shutil.rmtree(self.folder, ignore_errors=True)


@pytest.fixture
def make_world(make_node, program):
    made = []

    def make(timeout="60s", **options):
        made.append(World(make_node, program, timeout, **options))
        return made[-1]

    yield make
    for world in made:
        world.end()


@pytest.fixture(scope="module")
def shared_world(build, services, crictl, layout, program):
    made = []

    def make(**options):
        made.append(Node(build, services, crictl, **options))
        made[0].start()
        made[0].load_image(layout)
        return made[0]

    world = World(make, program, "60s")
    yield world
    made[0].stop()
    world.end()


@pytest.fixture
def world(shared_world, request):
    """A node that most tests share: at the end of each nothing is left on it."""
    yield shared_world
    print_log(request, shared_world.node)
    shared_world.clear()


@pytest.fixture
def calls():
    """Calls that wait while a test goes on."""
    with concurrent.futures.ThreadPoolExecutor(4) as pool:
        yield pool


def refused(call, *texts):
    with pytest.raises(CriError) as error:
        call()
    for text in texts:
        assert text in error.value.details(), error.value.details()
    return error.value


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


# --- plugins that come late ---

def test_synchronization(make_world):
    world = make_world()
    pod = world.node.run_pod()
    before = [pod.create(), pod.run()]
    gone = pod.create()
    gone.remove()
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


# --- adjustments ---

def test_adjustments(world):
    trace = world.path("hook-ran")
    world.start(CreateContainer={"adjust": {
        "annotations": {"by": "plugin", "-gone": ""},
        "env": [{"key": "NEW", "value": "1"}, {"key": "-OLD"}, {"key": "CHANGED", "value": "b"}],
        "mounts": [{"destination": "/given", "source": world.folder, "type": "bind",
                    "options": ["rbind", "ro"]}],
        "hooks": {"createRuntime": [{"path": "/bin/sh", "args": ["sh", "-c", f"cat > {trace}"]}]},
        "rlimits": [{"type": "RLIMIT_NOFILE", "hard": "1000", "soft": "500"}],
        "args": ["sh", "-c", "echo $NEW $OLD $CHANGED; ulimit -n; ls /given; ls -l /dev/given; "
                             "cat /proc/self/oom_score_adj; cat /proc/sys/net/ipv4/ip_default_ttl"],
        "linux": {
            "devices": [{"path": "/dev/given", "type": "c", "major": "1", "minor": "3",
                         "fileMode": {"value": 0o640}}],
            "resources": {"memory": {"limit": {"value": str(64 << 20)}},
                          "cpu": {"shares": {"value": "512"}}, "pids": {"limit": "77"}},
            "oomScoreAdj": {"value": "321"},
            "sysctl": {"net.ipv4.ip_default_ttl": "99"}}}})
    pod = world.node.run_pod()
    container = pod.run(["false"], annotations={"gone": "x", "stays": "y"},
                        envs=[{"key": key, "value": base64.b64encode(b"old").decode()}
                              for key in ("OLD", "CHANGED")])
    assert container.wait(PATIENCE).exit_code == 0, container.log()
    lines = container.text().splitlines()
    assert lines[0] == "1 b" and lines[1] == "500"
    assert "nri.sock" in lines and lines[-2:] == ["321", "99"]
    assert any(line.startswith("crw-r-----") and "1,   3" in line for line in lines)
    with open(trace, encoding="utf-8") as state:
        assert json.load(state)["id"] == container.id
    spec = container.spec
    assert spec["annotations"]["by"] == "plugin" and "gone" not in spec["annotations"]
    assert spec["linux"]["resources"]["memory"]["limit"] == 64 << 20
    assert spec["linux"]["resources"]["cpu"]["shares"] == 512
    assert spec["linux"]["resources"]["pids"]["limit"] == 77


def test_devices_by_their_names(world):
    folder = world.node.path("cdi")
    os.makedirs(folder, exist_ok=True)
    spec = {"cdiVersion": "0.6.0", "kind": "vendor.test/thing", "devices": [
        {"name": "one", "containerEdits": {"env": ["THING=one"], "deviceNodes": [
            {"path": "/dev/thing", "hostPath": "/dev/null"}]}}]}
    with open(os.path.join(folder, "v.json"), "w", encoding="utf-8") as file:
        json.dump(spec, file)
    plugin = world.start(CreateContainer={"adjust": {
        "CDIDevices": [{"name": "vendor.test/thing=one"}]}})
    pod = world.node.run_pod()
    assert pod.shell("echo $THING; test -c /dev/thing && echo there") == "one\nthere\n"
    plugin.script(CreateContainer={"adjust": {
        "CDIDevices": [{"name": "vendor.test/thing=two"}]}})
    refused(pod.create, "vendor.test/thing=two")
    plugin.script()
    assert pod.shell("echo $THING") == "\n"


def test_plugins_follow_each_other(world):
    second = world.start("20-second", CreateContainer={"adjust": {
        "env": [{"key": "TWO", "value": "2"}]}})
    first = world.start("10-first", CreateContainer={"adjust": {
        "env": [{"key": "ONE", "value": "1"}]}})
    assert [p["name"] for p in world.shown()] == ["10-first", "20-second"]
    pod = world.node.run_pod()
    assert pod.shell("echo $ONE$TWO") == "12\n"
    assert "ONE=1" in second.noted("CreateContainer")[0]["container"]["env"]
    assert "TWO=2" not in first.noted("CreateContainer")[0]["container"]["env"]


CONFLICTS = [
    {"env": [{"key": "X", "value": "1"}]},
    {"annotations": {"x": "1"}},
    {"args": ["true"]},
    {"mounts": [{"destination": "/x", "source": "/tmp", "type": "bind", "options": ["bind"]}]},
    {"rlimits": [{"type": "RLIMIT_CORE", "hard": "1", "soft": "1"}]},
    {"linux": {"resources": {"cpu": {"shares": {"value": "100"}}}}},
    {"linux": {"cgroupsPath": "/x"}},
    {"linux": {"oomScoreAdj": {"value": "5"}}},
    {"linux": {"namespaces": [{"type": "cgroup"}]}},
]


def test_two_that_want_the_same_are_refused(world):
    first, second = world.start("10-first"), world.start("20-second")
    pod = world.node.run_pod()
    for adjust in CONFLICTS:
        for plugin in (first, second):
            plugin.script(CreateContainer={"adjust": adjust})
        refused(pod.create, "10-first", "20-second", "both set")
    first.script(CreateContainer={"adjust": {"env": [{"key": "X", "value": "1"}]}})
    second.script(CreateContainer={"adjust": {"env": [{"key": "-X"}, {"key": "X", "value": "2"}]}})
    assert pod.shell("echo $X") == "2\n"  # taken away first: no conflict


def test_what_is_wrong_is_refused(world):
    plugin = world.start()
    pod = world.node.run_pod()
    for adjust in (
            {"mounts": [{"destination": "relative", "source": "/tmp"}]},
            {"hooks": {"prestart": [{"path": "relative"}]}},
            {"linux": {"namespaces": [{"type": "nothing"}]}},
            {"linux": {"resources": {"blockioClass": {"value": "gold"}}}},
            {"linux": {"devices": [{"path": "/dev/x", "type": "q"}]}},
    ):
        plugin.script(CreateContainer={"adjust": adjust})
        refused(pod.create, "10-one")
    plugin.script()
    assert pod.shell("echo fine") == "fine\n"


def test_a_validator(world):
    world.start("10-first", CreateContainer={"adjust": {"env": [{"key": "X", "value": "1"}]}})
    validator = world.start("90-judge", validate=True,
                            ValidateContainerAdjustment={"error": "not this"})
    pod = world.node.run_pod()
    refused(pod.create, "not this")
    seen = validator.noted("ValidateContainerAdjustment")[0]
    assert seen["adjust"]["env"] == [{"key": "X", "value": "1"}]
    owners = next(iter(seen["owners"]["owners"].values()))
    assert owners["compound"]["6"]["owners"] == {"X": "10-first"}
    validator.script()
    assert pod.shell("echo $X") == "1\n"


# --- updates ---

def shares(container):
    return container.cgroup_file("cpu", "cpu.shares")


def update(container, value):
    return {"containerId": container.id,
            "linux": {"resources": {"cpu": {"shares": {"value": str(value)}}}}}


def test_updates_of_others(world):
    plugin = world.start()
    pod = world.node.run_pod()
    other = pod.run()
    plugin.script(CreateContainer={"update": [update(other, 333)]})
    container = pod.create()
    wait_until(lambda: shares(other) == "333", PATIENCE)
    plugin.script(StopContainer={"update": [update(other, 444)]})
    container.start()
    container.stop()
    wait_until(lambda: shares(other) == "444", PATIENCE)
    assert other.status().resources.linux.cpu_shares == 444


def test_updates_of_what_is_updated(world):
    plugin = world.start()
    pod = world.node.run_pod()
    container = pod.run()
    plugin.script(UpdateContainer={"update": [update(container, 600)]})
    world.node.client.UpdateContainerResources(
        container_id=container.id, linux={"cpu_shares": 500, "cpu_period": 50000})
    heard = plugin.wait("UpdateContainer", container.id)
    assert heard["resources"]["cpu"]["shares"] == {"value": "500"}
    assert shares(container) == "600"
    assert container.cgroup_file("cpu", "cpu.cfs_period_us") == "50000"
    plugin.wait("PostUpdateContainer", container.id)


def test_unsolicited_updates(world):
    plugin = world.start()
    pod = world.node.run_pod()
    container = pod.run()
    missing = {"containerId": "0" * 64, "linux": {"resources": {"cpu": {"cpus": "0"}}}}
    plugin.say({"update": [update(container, 700), missing]})
    assert plugin.wait("updated")["failed"] == ["0" * 64]
    assert shares(container) == "700"
    assert not plugin.noted("UpdateContainer")


def test_updates_at_synchronization(world):
    pod = world.node.run_pod()
    container = pod.run()
    world.start(Synchronize={"update": [update(container, 800)]})
    wait_until(lambda: shares(container) == "800", PATIENCE)


def test_pod_resources(world):
    plugin = world.start()
    pod = world.node.run_pod()
    world.node.client.UpdatePodSandboxResources(pod_sandbox_id=pod.id,
                                                resources={"cpu_shares": 512})
    heard = plugin.wait("UpdatePodSandbox", pod.id)
    assert heard["resources"]["cpu"]["shares"] == {"value": "512"}
    plugin.wait("PostUpdatePodSandbox", pod.id)


# --- plugins that fail ---

def test_a_plugin_that_does_not_answer_is_closed(make_world):
    world = make_world(timeout="300ms")
    slow = world.start("10-slow", CreateContainer={"until": world.path("never")})
    good = world.start("20-good", CreateContainer={"adjust": {
        "env": [{"key": "GOOD", "value": "yes"}]}})
    pod = world.node.run_pod()
    assert pod.shell("echo $GOOD") == "yes\n"
    assert world.state("10-slow") is None and world.state("20-good") == "ready"
    slow.process.wait(PATIENCE)
    assert len(good.noted("CreateContainer")) == 1
    assert "CreateContainer was not answered in 300 ms" in world.node.log()


def test_a_plugin_that_dies_is_passed_over(world):
    plugin = world.start(CreateContainer={"exit": True})
    pod = world.node.run_pod()
    assert pod.shell("echo here") == "here\n"
    assert plugin.process.wait(PATIENCE) == 3
    assert world.shown() == []


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
