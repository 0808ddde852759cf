# SPDX-License-Identifier: Apache-2.0
"""Devices of the Container Device Interface, by a vendor that is not there."""

import json
import os

import pytest

from support.cri import Code, CriError

KIND = "vendor.test/thing"


@pytest.fixture
def folders(node):
    """The node's folders of specifications, empty before and after."""
    paths = [node.path(name) for name in ("cdi", "cdi-run")]
    for path in paths:
        os.makedirs(path, exist_ok=True)
    yield paths
    for path in paths:
        for name in os.listdir(path):
            os.unlink(os.path.join(path, name))


def write(folder, name, devices, kind=KIND, **more):
    """devices: a dictionary of edits by name."""
    spec = {"cdiVersion": "0.6.0", "kind": kind,
            "devices": [{"name": key, "containerEdits": edits} for key, edits in devices.items()]}
    spec.update(more)
    with open(os.path.join(folder, name), "w", encoding="utf-8") as file:
        json.dump(spec, file)


def named(*names):
    return {"CDI_devices": [{"name": f"{KIND}={name}"} for name in names]}


def refused(call, code, *texts):
    with pytest.raises(CriError) as error:
        call()
    said = error.value.details()
    assert error.value.code() == code, said
    for text in texts:
        assert text in said, said


def test_everything_of_a_device(node, folders, pod):
    library = node.path("library")
    os.makedirs(library, exist_ok=True)
    with open(os.path.join(library, "lib"), "w", encoding="utf-8") as file:
        file.write("of the vendor\n")
    trace = node.path("hook-ran")
    hook = {"hookName": "createRuntime", "path": "/bin/sh",
            "args": ["sh", "-c", f"cat > {trace}"]}
    edits = {"env": ["THING=one", "FROM_IMAGE=changed"],
             "deviceNodes": [{"path": "/dev/thing", "hostPath": "/dev/null", "permissions": "rw"}],
             "mounts": [{"hostPath": library, "containerPath": "/usr/lib/thing",
                         "options": ["ro", "nosuid", "rbind"]}],
             "hooks": [hook], "additionalGids": [4321]}
    write(folders[0], "thing.json", {"one": edits, "two": {"env": ["SECOND=2"]}},
          containerEdits={"env": ["ALL=all"]})
    script = "env; cat /usr/lib/thing/lib; echo x > /dev/thing && id -G; "
    script += "stat -c %t:%T /dev/thing; touch /usr/lib/thing/x 2>&1"
    container = pod.run(["sh", "-c", script + "; true"], **named("one", "two"))
    container.wait()
    lines = container.text().splitlines()
    for line in ("THING=one", "FROM_IMAGE=changed", "SECOND=2", "ALL=all", "of the vendor", "1:3"):
        assert line in lines, lines
    assert "4321" in next(line for line in lines if line.startswith("0 ")).split()
    assert "Read-only" in lines[-1]
    with open(trace, encoding="utf-8") as file:
        assert json.load(file)["id"] == container.id
    rules = container.spec["linux"]["resources"]["devices"]
    assert {"allow": True, "type": "c", "major": 1, "minor": 3, "access": "rw"} in rules


def test_a_hook_finds_the_root_by_the_bundle(node, folders, pod):
    """With what is mounted in it, and what it writes there is the container's."""
    out = node.path("hook-saw")
    script = ("b=$(sed 's/.*\"bundle\": *\"\\([^\"]*\\)\".*/\\1/'); "
              f"r=$b/rootfs; ls $r > {out}; ls $r/proc/self > /dev/null && echo proc >> {out}; "
              "echo linked > $r/from-hook")
    hook = {"hookName": "createContainer", "path": "/bin/sh", "args": ["sh", "-c", script]}
    write(folders[0], "a.json", {"a": {"hooks": [hook]}})
    container = pod.run(["sh", "-c", "cat /from-hook; grep -c rootfs /proc/self/mountinfo; true"],
                        **named("a"))
    container.wait()
    with open(out, encoding="utf-8") as file:
        seen = file.read().split()
    assert "bin" in seen and "proc" in seen, seen
    assert container.text() == "linked\n0\n"


def test_a_hook_in_a_user_namespace(node, folders):
    """As the container's root: it finds the container's root file system there, too."""
    mapping = [{"host_id": 200000, "container_id": 0, "length": 65536}]
    users = {"mode": "POD", "uids": mapping, "gids": mapping}
    pod = node.run_pod(linux={"security_context": {"namespace_options": {
        "pid": 1, "userns_options": users}}})
    script = ("b=$(sed 's/.*\"bundle\": *\"\\([^\"]*\\)\".*/\\1/'); "
              "r=$b/rootfs; (id -u; ls $r; ls -d $r/proc/self/fd) > $r/from-hook")
    hook = {"hookName": "createContainer", "path": "/bin/sh", "args": ["sh", "-c", script]}
    ran = {"hookName": "createRuntime", "path": "/bin/sh",
           "args": ["sh", "-c", f"id -u > {node.path('as')}"]}
    write(folders[0], "a.json", {"a": {"hooks": [hook, ran]}})
    container = pod.run(["sh", "-c", "cat /from-hook; stat -c %u /from-hook; "
                                     "grep -c rootfs /proc/self/mountinfo; true"], **named("a"))
    assert container.wait().exit_code == 0
    seen = container.text().split()
    assert seen[0] == "0" and "bin" in seen and seen[-2:] == ["0", "0"], seen
    with open(node.path("as"), encoding="utf-8") as file:
        assert file.read() == "0\n"
    root = node.path("state/pods", pod.id, "containers", container.id, "rootfs")
    for ids in ("--reuid=65534", "--reuid=1000"):
        assert node.inside("setpriv", ids, f"--regid={ids[8:]}", "--clear-groups", "test", "-e",
                           root).returncode != 0, "others on the node have no business there"
    container.remove()


def test_annotations_of_the_container(node, folders, pod):
    write(folders[1], "thing.json", {"a": {"env": ["A=1"]}, "b": {"env": ["B=2"]}})
    shown = pod.output(["env"], annotations={
        "cdi.k8s.io/plugin_one": f"{KIND}=a,{KIND}=b", "other": "x"}, **named("a")).splitlines()
    assert shown.count("A=1") == 1 and "B=2" in shown


def test_later_folders_have_priority(node, folders, pod):
    write(folders[0], "z.json", {"a": {"env": ["FROM=etc"]}})
    write(folders[1], "a.json", {"a": {"env": ["FROM=run"]}})
    assert "FROM=run" in pod.output(["env"], **named("a")).splitlines()


def test_two_files_of_a_folder_are_a_conflict(node, folders, pod):
    write(folders[0], "a.json", {"a": {"env": ["A=1"]}, "only": {"env": ["ONLY=1"]}})
    write(folders[0], "b.json", {"a": {"env": ["A=2"]}})
    refused(lambda: pod.create(**named("a")), Code.FAILED_PRECONDITION, "a.json", "b.json",
            f"{KIND}=a")
    assert "ONLY=1" in pod.output(["env"], **named("only")).splitlines()


def test_device_of_the_host_is_looked_at(node, folders, pod):
    write(folders[0], "a.json", {
        "gone": {"deviceNodes": [{"path": "/dev/no-such-device"}]},
        "file": {"deviceNodes": [{"path": "/dev/x", "hostPath": node.path("config.toml")}]},
        "type": {"deviceNodes": [{"path": "/dev/null", "type": "b"}]}})
    refused(lambda: pod.create(**named("gone")), Code.NOT_FOUND, "/dev/no-such-device")
    refused(lambda: pod.create(**named("file")), Code.INVALID_ARGUMENT, "is not a device")
    refused(lambda: pod.create(**named("type")), Code.INVALID_ARGUMENT, "type 'c', not 'b'")


def test_yaml(node, folders, pod):
    with open(os.path.join(folders[0], "thing.yaml"), "w", encoding="utf-8") as file:
        file.write(f"""---
cdiVersion: 0.5.0
kind: {KIND}
devices:
- name: "0"
  containerEdits:
    env: [A=1, "B=it is: quoted"]
    deviceNodes:
    - path: /dev/thing
      hostPath: /dev/null
      fileMode: 0640
""")
    shown = pod.shell("env; stat -c %a:%t:%T /dev/thing", **named("0")).splitlines()
    assert {"A=1", "B=it is: quoted", "640:1:3"} <= set(shown)


def test_unknown_device_names_the_files_that_were_passed_over(node, folders, pod):
    with open(os.path.join(folders[0], "torn.json"), "w", encoding="utf-8") as file:
        file.write("{")
    with open(os.path.join(folders[0], "other.yaml"), "w", encoding="utf-8") as file:
        file.write("kind: x\nkind: y\n")
    write(folders[0], "ignored.txt", {"a": {"env": ["A=1"]}})
    refused(lambda: pod.create(**named("a")), Code.NOT_FOUND, f"{KIND}=a", "torn.json",
            "other.yaml", "YAML: line 2: \"kind\" is there twice")


def test_no_folders(node, folders, pod):
    for folder in folders:
        os.rmdir(folder)
    try:
        refused(lambda: pod.create(**named("a")), Code.NOT_FOUND, f"{KIND}=a")
        assert pod.output(["echo", "fine"]) == "fine\n"
    finally:
        for folder in folders:
            os.mkdir(folder)


@pytest.mark.parametrize("more, field", [
    ({"CDI_devices": [{"name": "nonsense"}]}, "CDI_devices"),
    ({"CDI_devices": [{"name": ""}]}, "CDI_devices"),
    ({"annotations": {"cdi.k8s.io/x": "a/b"}}, "cdi.k8s.io/x"),
])
def test_bad_names(node, pod, more, field):
    refused(lambda: pod.create(**more), Code.INVALID_ARGUMENT, field, "vendor.com/class=device")


def test_user_namespace(node, folders):
    mapping = [{"host_id": 200000, "container_id": 0, "length": 65536}]
    users = {"mode": "POD", "uids": mapping, "gids": mapping}
    pod = node.run_pod(linux={"security_context": {"namespace_options": {
        "pid": 1, "userns_options": users}}})
    write(folders[0], "a.json", {"a": {"env": ["A=1"], "deviceNodes": [{"path": "/dev/fuse"}]}})
    if os.path.exists("/dev/fuse"):
        assert pod.shell("echo $A; stat -c %t:%T /dev/fuse", **named("a")) == "1\na:e5\n"
    write(folders[0], "b.json", {
        "group": {"additionalGids": [65536]},
        "owner": {"deviceNodes": [{"path": "/dev/null", "uid": 65536}]}})
    refused(lambda: pod.create(**named("group")), Code.INVALID_ARGUMENT,
            "CDI: group 65536 is not in the pod's user namespace, which has ids 0 to 65535")
    refused(lambda: pod.create(**named("owner")), Code.INVALID_ARGUMENT,
            "CDI: user 65536 of '/dev/null' is not in the pod's user namespace")
