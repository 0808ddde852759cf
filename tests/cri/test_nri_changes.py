# SPDX-License-Identifier: Apache-2.0
"""NRI: what plugins change of containers."""

import base64
import json
import os

from nri_world import PATIENCE, make_world, program, refused, shared_world, world
from support.node import wait_until

__all__ = ["make_world", "program", "shared_world", "world"]


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


def raised(pod, plugin, adjust, command):
    """What a container prints that was adjusted so."""
    plugin.script(CreateContainer={"adjust": adjust})
    return pod.shell(command)


def test_mounts_and_devices_are_taken_away(world):
    plugin = world.start()
    pod = world.node.run_pod()
    assert raised(pod, plugin, {"mounts": [{"destination": "-/dev/mqueue"}]},
                  "grep -c /dev/mqueue /proc/mounts || true") == "0\n"
    first = world.start("05-first", CreateContainer={"adjust": {"linux": {"devices": [
        {"path": "/dev/given", "type": "c", "major": "1", "minor": "3"}]}}})
    assert raised(pod, plugin, {"linux": {"devices": [{"path": "-/dev/given"}]}},
                  "ls /dev/given 2>/dev/null || echo none") == "none\n"
    assert len(first.noted("CreateContainer")) == 1


def test_namespaces(world):
    plugin = world.start()
    pod = world.node.run_pod()
    # one of the host's: the namespaces of the node's own processes
    host = os.readlink("/proc/self/ns/ipc")
    plain = pod.shell("readlink /proc/self/ns/ipc; readlink /proc/self/ns/cgroup").split()
    assert plain[0] != host
    assert raised(pod, plugin, {"linux": {"namespaces": [{"type": "-ipc"}]}},
                  "readlink /proc/self/ns/ipc") == host + "\n"
    own = raised(pod, plugin, {"linux": {"namespaces": [{"type": "ipc"}]}},
                 "readlink /proc/self/ns/ipc").strip()
    assert own not in (host, plain[0])


def test_scheduling(world):
    plugin = world.start()
    pod = world.node.run_pod()
    stat = "cut -d' ' -f19,41 /proc/self/stat"  # nice, policy
    assert raised(pod, plugin, {"linux": {"scheduler": {"policy": "SCHED_BATCH", "nice": 7}}},
                  stat) == "7 3\n"
    assert raised(pod, plugin, {"linux": {"ioPriority": {"class": "IOPRIO_CLASS_BE",
                                                         "priority": 6}}},
                  "ionice -p $$") == "best-effort: prio 6\n"


def test_a_filter_of_system_calls(world):
    plugin = world.start()
    pod = world.node.run_pod()
    policy = {"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [
        {"names": ["mkdir", "mkdirat"], "action": "SCMP_ACT_ERRNO", "errnoRet": {"value": 122}}]}
    assert "uota" in raised(pod, plugin, {"linux": {"seccompPolicy": policy}},
                            "mkdir /tmp/x 2>&1 || true")


def test_what_the_document_says(world):
    """Kinds that this machine may be without."""
    plugin = world.start(CreateContainer={"adjust": {"linux": {
        "memoryPolicy": {"mode": "MPOL_BIND", "nodes": "0", "flags": ["MPOL_F_STATIC_NODES"]},
        "rdt": {"closId": {"value": "gold"}, "schemata": {"value": ["MB:0=50"]},
                "enableMonitoring": {"value": True}},
        "netDevices": {"dummy7": {"name": "eth7"}},
        "resources": {"hugepageLimits": [{"pageSize": "2MB", "limit": "4194304"}],
                      "memory": {"reservation": {"value": "33554432"},
                                 "swappiness": {"value": "10"}},
                      "cpu": {"quota": {"value": "50000"}, "period": {"value": "100000"},
                              "cpus": "0", "mems": "0"}}}}})
    pod = world.node.run_pod()
    linux = pod.create().spec["linux"]
    assert linux["memoryPolicy"] == {"mode": "MPOL_BIND", "nodes": "0",
                                     "flags": ["MPOL_F_STATIC_NODES"]}
    assert linux["intelRdt"] == {"closID": "gold", "schemata": ["MB:0=50"],
                                 "enableMonitoring": True}
    assert linux["netDevices"] == {"dummy7": {"name": "eth7"}}
    resources = linux["resources"]
    assert {"pageSize": "2MB", "limit": 4194304} in resources["hugepageLimits"]
    assert resources["memory"]["reservation"] == 33554432
    assert resources["memory"]["swappiness"] == 10
    cpu = resources["cpu"]
    assert (cpu["quota"], cpu["period"], cpu["cpus"], cpu["mems"]) == (50000, 100000, "0", "0")
    plugin.script(CreateContainer={"adjust": {"linux": {"cgroupsPath": "/elsewhere/x"}}})
    assert pod.create().spec["linux"]["cgroupsPath"] == "/elsewhere/x"


def test_an_interface(world):
    made = world.node.inside("ip", "link", "add", "nri7", "type", "veth", "peer", "name", "nri8")
    assert made.returncode == 0, made.stderr
    plugin = world.start()
    pod = world.node.run_pod()
    assert raised(pod, plugin, {"linux": {"netDevices": {"nri7": {"name": "eth7"}}}},
                  "test -d /sys/class/net/eth7 && echo there") == "there\n"


def test_hooks_of_two_add_up(world):
    def hooks(who):
        return {"adjust": {"hooks": {"createContainer": [
            {"path": "/bin/sh", "args": ["sh", "-c", f"echo {who} >> {world.path('hooks')}"]}]}}}

    world.start("10-first", CreateContainer=hooks("first"))
    world.start("20-second", CreateContainer=hooks("second"))
    pod = world.node.run_pod()
    pod.shell("true")
    with open(world.path("hooks"), encoding="utf-8") as text:
        assert text.read() == "first\nsecond\n"


def test_what_was_only_taken_away_is_free(world):
    """No conflict: the first has it gone, the second has its own."""
    world.start("10-first", CreateContainer={"adjust": {"env": [{"key": "-HOME"}],
                                                        "annotations": {"-a": ""}}})
    world.start("20-second", CreateContainer={"adjust": {"env": [{"key": "HOME", "value": "/new"}],
                                                         "annotations": {"a": "new"}}})
    pod = world.node.run_pod()
    container = pod.run(["sh", "-c", "echo $HOME"], annotations={"a": "old"},
                        envs=[{"key": "HOME", "value": base64.b64encode(b"/old").decode()}])
    assert container.wait(PATIENCE).exit_code == 0 and container.text() == "/new\n"
    assert container.spec["annotations"]["a"] == "new"


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


WRONG = [  # and what the error says
    ({"mounts": [{"destination": "relative", "source": "/tmp"}]}, "an absolute path"),
    ({"hooks": {"prestart": [{"path": "relative"}]}}, "an absolute path"),
    ({"env": [{"key": "A=B", "value": "x"}]}, "no name"),
    ({"args": [""]}, "no others"),
    ({"rlimits": [{"type": "RLIMIT_X", "hard": "1", "soft": "1"}]}, "RLIMIT_X"),
    ({"CDIDevices": [{"name": "nonsense"}]}, "CDI device"),
    ({"linux": {"namespaces": [{"type": "nothing"}]}}, "nothing"),
    ({"linux": {"namespaces": [{"type": "-mount"}]}}, "mount namespace"),
    ({"linux": {"resources": {"blockioClass": {"value": "gold"}}}}, "no classes"),
    ({"linux": {"devices": [{"path": "/dev/x", "type": "q"}]}}, "a type of"),
    ({"linux": {"devices": [{"path": "/dev/x", "type": "c", "major": "-5"}]}}, "major"),
    ({"linux": {"sysctl": {"kernel.pid_max": "1000"}}}, "whole machine"),
    ({"linux": {"seccompPolicy": {"defaultAction": "NONSENSE"}}}, "NONSENSE"),
    ({"linux": {"ioPriority": {"class": "IOPRIO_CLASS_BE", "priority": 99}}}, "99"),
    ({"linux": {"oomScoreAdj": {"value": "5000"}}}, "5000"),
    ({"linux": {"cgroupsPath": "../../x"}}, "../../x"),
]
NOT_HERE = [  # what a machine may lack, this one or this container: the start says so
    ({"linux": {"netDevices": {"none7": {}}}}, "no interface"),
    ({"linux": {"memoryPolicy": {"mode": "MPOL_BIND", "nodes": "1023"}}}, "memoryPolicy"),
    ({"linux": {"rdt": {"closId": {"value": "gold"}}}}, "linux.intelRdt"),
    ({"linux": {"resources": {"rdtClass": {"value": "gold"}}}}, "linux.intelRdt"),
    ({"linux": {"resources": {"cpu": {"cpus": "9999"}}}}, "9999"),
    ({"linux": {"namespaces": [{"type": "network", "path": "/nothing"}]}}, "/nothing"),
]


def test_what_is_wrong_is_refused(world):
    plugin = world.start()
    pod = world.node.run_pod()
    for adjust, why in WRONG:
        plugin.script(CreateContainer={"adjust": adjust})
        refused(pod.create, "10-one", why)
    for adjust, why in NOT_HERE:
        plugin.script(CreateContainer={"adjust": adjust})
        refused(pod.create().start, why)
    plugin.script()
    assert pod.shell("echo fine") == "fine\n"


def test_a_validator(world):
    world.start("10-first", CreateContainer={"adjust": {"env": [{"key": "X", "value": "1"}]}})
    validator = world.start("90-judge", validate={},
                            ValidateContainerAdjustment={"error": "not this"})
    pod = world.node.run_pod()
    refused(pod.create, "not this")
    seen = validator.noted("ValidateContainerAdjustment")[0]
    assert seen["adjust"]["env"] == [{"key": "X", "value": "1"}]
    owners = next(iter(seen["owners"]["owners"].values()))
    assert owners["compound"]["6"]["owners"] == {"X": "10-first"}
    validator.script()
    assert pod.shell("echo $X") == "1\n"


def test_a_validator_sees_what_comes_of_it(world):
    """Not what a later plugin has taken away."""
    world.start("10-first", CreateContainer={"adjust": {
        "args": ["false"], "env": [{"key": "X", "value": "1"}, {"key": "Y", "value": "1"}],
        "mounts": [{"destination": "/given", "source": "/tmp", "type": "bind",
                    "options": ["rbind"]}]}})
    world.start("20-second", CreateContainer={"adjust": {
        "args": ["", "sh", "-c", "echo $X$Y"], "env": [{"key": "-X"}, {"key": "X", "value": "2"}],
        "mounts": [{"destination": "-/given"}]}})
    validator = world.start("90-judge", validate={})
    pod = world.node.run_pod()
    assert pod.output(["true"]) == "21\n"
    seen = validator.noted("ValidateContainerAdjustment")[0]
    adjust, owners = seen["adjust"], next(iter(seen["owners"]["owners"].values()))
    assert adjust["args"] == ["sh", "-c", "echo $X$Y"]
    for each, there in (("X", "2"), True), (("Y", "1"), True), (("X", "1"), False):
        assert (dict(zip(("key", "value"), each)) in adjust["env"]) == there
    assert [m["destination"] for m in adjust["mounts"]] == ["-/given"]
    assert owners["simple"]["7"] == "20-second"  # arguments
    assert owners["compound"]["6"]["owners"] == {"X": "20-second", "Y": "10-first"}


def test_a_validator_is_asked_of_what_nobody_changes(world):
    """It may want a plugin to be there."""
    validator = world.start("90-judge", validate={}, Configure={
        "events": "ValidateContainerAdjustment"})
    pod = world.node.run_pod(labels={"a": "b"})
    container = pod.create(["true"], linux={"security_context": {"seccomp": {
        "profile_type": "RuntimeDefault"}}})
    seen = validator.noted("ValidateContainerAdjustment")[0]
    assert seen["pod"]["labels"] == {"a": "b"} and seen["container"]["id"] == container.id
    assert seen["container"]["args"] == ["true"]
    assert seen["container"]["linux"]["seccompProfile"] == {}  # RUNTIME_DEFAULT
    assert not seen["owners"].get("owners")
    validator.script(ValidateContainerAdjustment={"error": "the other one is not here"})
    refused(pod.create, "90-judge", "not here")


def test_nothing_is_let_through_without_its_validator(world):
    validator = world.start("90-judge", validate={})
    pod = world.node.run_pod()
    validator.script(ValidateContainerAdjustment={"exit": True})
    refused(pod.create, "90-judge", "validates")
    assert not world.node.client.ListContainers().containers
    assert pod.shell("echo fine") == "fine\n"  # it is gone now, as if it had never come


def test_the_validator_of_the_library(world):
    """It looks at owners, hooks, the profile that was asked for, and which plugins are there."""
    plugin = world.start()
    pod = world.node.run_pod()
    policy = {"defaultAction": "SCMP_ACT_ALLOW"}
    cases = [
        ({"RejectOCIHookAdjustment": True},
         {"hooks": {"poststop": [{"path": "/bin/true"}]}}, "hook", ["one"]),
        ({"RejectNamespaceAdjustment": True},
         {"linux": {"namespaces": [{"type": "cgroup"}]}}, "namespace", ["one"]),
        ({"RejectSysctlAdjustment": True},
         {"linux": {"sysctl": {"net.ipv4.ip_default_ttl": "99"}}}, "sysctl", ["one"]),
        ({"RejectRuntimeDefaultSeccompAdjustment": True},
         {"linux": {"seccompPolicy": policy}}, "runtime default seccomp", ["one"]),
        ({"RequiredPlugins": ["missing"]}, {}, "missing", []),
    ]
    for config, adjust, why, names in cases:
        world.start("90-judge", validate=config)
        plugin.script(CreateContainer={"adjust": adjust})
        linux = {"security_context": {"seccomp": {"profile_type": "RuntimeDefault"}}}
        refused(lambda: pod.create(["true"], linux=linux), "90-judge", why, *names)
        plugin.script(CreateContainer={"adjust": {"env": [{"key": "A", "value": "b"}]}})
        if names:
            pod.create(["true"], linux=linux)
        world.end_plugin("90-judge")


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
    wait_until(lambda: other.status().resources.linux.cpu_shares == 444, PATIENCE)


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


def test_updates_of_two(world):
    pod = world.node.run_pod()
    one, other = pod.run(), pod.run()
    first, second = world.start("10-first"), world.start("20-second")
    first.script(UpdateContainer={"update": [update(one, 600)]})
    second.script(UpdateContainer={"update": [update(one, 700)]})

    def change():
        world.node.client.UpdateContainerResources(container_id=one.id, linux={"cpu_shares": 500})

    refused(change, "10-first", "20-second", "both set")
    assert shares(one) != "500"
    second.script(UpdateContainer={"update": [dict(update(one, 700), ignoreFailure=True),
                                              update(other, 800)]})
    change()
    assert shares(one) == "600"
    wait_until(lambda: shares(other) == "800", PATIENCE)
    first.script(UpdateContainer={"error": "not now"})
    refused(change, "10-first", "not now")
    assert shares(one) == "600"


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
