# SPDX-License-Identifier: Apache-2.0
"""The rest of config.json: versions, root, namespaces, ids, devices, sysctls, hooks."""
import os
import pathlib
import re
import stat

import pytest

from reports import mounts_of


# -- version, root, names --------------------------------------------------------------------------


@pytest.mark.parametrize("version", ["1.0.0", "1.0.2-dev", "1.1.0+x", "1.3.0"])
def test_versions(bundle, version):
    bundle.config["ociVersion"] = version
    bundle.report()


@pytest.mark.parametrize("version", ["", "2.0.0", "1", "one"])
def test_bad_versions(bundle, version):
    bundle.config["ociVersion"] = version
    bundle.run().failed("ociVersion", 1)


def test_absolute_root(bundle):
    bundle.config["root"]["path"] = str(bundle.rootfs)
    bundle.report()


def test_unknown_members_are_ignored(bundle):
    bundle.config["vm"] = {"x": 1}
    bundle.config["windows"] = {}
    bundle.process["commandLine"] = "x"
    bundle.process["user"]["username"] = "x"
    bundle.linux["newThing"] = 1
    bundle.report()


def test_names_need_their_namespace(bundle):
    bundle.without_namespace("uts")
    bundle.run().failed("hostname: needs a uts namespace", 1)


def test_too_long_a_name(bundle):
    bundle.config["hostname"] = "h" * 65
    bundle.run().failed("hostname", 1)


def test_annotations(machine):
    b = machine.bundle("wait")
    b.config["annotations"] = {"org.example.a": "b", "empty": ""}
    b.up()
    assert b.state()["annotations"] == {"org.example.a": "b", "empty": ""}
    b.stop()


def test_original_groups(bundle):
    """crun's annotation: the caller's groups stay."""
    bundle.config["annotations"] = {"run.oci.keep_original_groups": "1"}
    bundle.process["user"] = {"uid": 1000, "gid": 1000}
    assert bundle.report(extra_groups=[5, 7])["groups"] == [5, 7]
    bundle.config["annotations"]["run.oci.keep_original_groups"] = "0"
    assert bundle.report(extra_groups=[5, 7])["groups"] == []
    bundle.config["annotations"]["run.oci.keep_original_groups"] = "1"
    bundle.process["user"]["additionalGids"] = [9]
    bundle.run().failed("keep_original_groups", 1)


def test_annotations_of_crun_have_no_effect(bundle):
    """docs/runtime-spec.md says of each why."""
    plain = bundle.report()
    here = bundle.path / "of-an-annotation"
    bundle.hook("createRuntime", "copy", bundle.path / "hook")
    bundle.config["annotations"] = {f"run.oci.{name}": value for name, value in (
        ("seccomp.receiver", str(here)), ("seccomp.plugins", str(here)),
        ("seccomp_bpf_data", "AAAA"), ("seccomp_fail_unknown_syscall", "1"),
        ("hooks.stdout", str(here)), ("hooks.stderr", str(here)), ("pidfd_receiver", str(here)),
        ("systemd.subgroup", "below"), ("delegate-cgroup", "delegated"),
        ("systemd.force_cgroup_v1", "/tmp"), ("mount_context_type", "fscontext"),
        ("timens_offset", "1 2 3"), ("handler", "krun"))}
    table = pathlib.Path(__file__).parents[2] / "docs/runtime-spec.md"
    for name in bundle.config["annotations"]:
        assert f"`{name}`" in table.read_text(encoding="utf-8")
    same = ("cgroup", "groups", "uid", "args", "seccomp")
    report = bundle.report()
    assert {key: report.get(key) for key in same} == {key: plain.get(key) for key in same}
    assert len(report["mountinfo"].splitlines()) == len(plain["mountinfo"].splitlines())
    assert (bundle.path / "hook").exists() and not here.exists()


def test_annotation_without_a_key(bundle):
    bundle.config["annotations"] = {"": "b"}
    bundle.run().failed("annotations", 1)


# -- namespaces ------------------------------------------------------------------------------------


@pytest.mark.parametrize("namespaces, text", [
    ([{"type": "pid"}, {"type": "pid"}], "linux.namespaces"),
    ([{"type": "planet"}], "linux.namespaces"),
    ([{"type": "network", "path": "relative"}], "linux.namespaces"),
])
def test_bad_namespaces(bundle, namespaces, text):
    kinds = {n["type"] for n in namespaces}
    bundle.linux["namespaces"] = [n for n in bundle.linux["namespaces"]
                                  if n["type"] not in kinds] + namespaces
    bundle.run().failed(text, 1)


@pytest.fixture
def other(machine):
    """A container whose namespaces another one joins."""
    b = machine.bundle("wait")
    b.namespace("cgroup")
    b.namespace("time")
    b.linux["timeOffsets"] = {"monotonic": {"secs": 500}}
    b.up()
    yield b
    b.stop()


@pytest.mark.parametrize("kind, file", [("cgroup", "cgroup"), ("time", "time"), ("pid", "pid"),
                                        ("ipc", "ipc"), ("network", "net"), ("uts", "uts")])
def test_join_one(machine, other, kind, file):
    path = f"/proc/{other.state()['pid']}/ns/{file}"
    b = machine.bundle()
    b.namespace(kind, path)
    b.config.pop("hostname")
    assert b.report()["namespaces"][file] == os.readlink(path)


def test_both_clocks(bundle):
    bundle.namespace("time")
    bundle.linux["timeOffsets"] = {"boottime": {"secs": -1, "nanosecs": 7},
                                   "monotonic": {"secs": 100000, "nanosecs": 999999999}}
    lines = [line.split() for line in bundle.report()["timens"].splitlines()]
    assert lines == [["monotonic", "100000", "999999999"], ["boottime", "-1", "7"]]


@pytest.mark.parametrize("path", [None, "/proc/self/ns/time"])
def test_clocks_need_a_new_namespace(bundle, path):
    if path:
        bundle.namespace("time", path)
    bundle.linux["timeOffsets"] = {"boottime": {"secs": 1}}
    bundle.run().failed("linux.timeOffsets: needs a new time namespace", 1)


def id_map(inside, outside, size=1):
    return {"containerID": inside, "hostID": outside, "size": size}


@pytest.mark.parametrize("uids, gids, text", [
    ([], [], "linux.uidMappings"),
    ([id_map(0, 1000)], [], "come together"),
    ([id_map(0, 1000, 5), id_map(4, 2000)], [id_map(0, 1000)], "overlaps [0] inside"),
    ([id_map(0, 1000, 5), id_map(9, 1004)], [id_map(0, 1000)], "overlaps [0] on the host"),
    ([id_map(0, 1000, 0)], [id_map(0, 1000)], "size"),
    ([id_map(0, 4294967295, 2)], [id_map(0, 1000)], "ends above the highest id"),
    ([id_map(1, 1000)], [id_map(0, 1000)], "do the maps have 0"),
])
def test_bad_maps(bundle, uids, gids, text):
    bundle.namespace("user")
    bundle.linux["uidMappings"], bundle.linux["gidMappings"] = uids, gids
    bundle.run().failed(text, 1)


def test_maps_without_a_user_namespace(bundle):
    bundle.linux["uidMappings"] = bundle.linux["gidMappings"] = [id_map(0, 1000)]
    bundle.run().failed("needs a user namespace", 1)


def test_several_maps(machine):
    b = machine.bundle().with_user_namespace()
    b.linux["uidMappings"] = [id_map(0, 100000, 1000), id_map(1000, 300000, 10)]
    b.process["user"] = {"uid": 1005, "gid": 7, "additionalGids": [8]}
    r = b.report()
    assert r["uid_map"].split() == "0 100000 1000 1000 300000 10".split()
    assert r["uids"] == [1005] * 3 and r["groups"] == [8]


def test_user_without_a_map(machine):
    b = machine.bundle().with_user_namespace()
    b.process["user"] = {"uid": 99999, "gid": 0}
    b.run().failed("process.user: become user 99999", 1)


# -- devices ---------------------------------------------------------------------------------------


def test_kinds_of_devices(bundle):
    """Their folder is made; "u" is "c"; without fileMode it is 0666, whatever the umask."""
    bundle.linux["devices"] = [
        {"path": "/dev/deep/er/b", "type": "b", "major": 7, "minor": 99},
        {"path": "/dev/u", "type": "u", "major": 1, "minor": 3},
        {"path": "/dev/p", "type": "p", "fileMode": 0o600, "uid": 5, "gid": 6},
        {"path": "/dev/null", "type": "c", "major": 1, "minor": 3, "fileMode": 0o600}]
    dev = bundle.report()["dev"]
    assert stat.S_ISCHR(dev["u"]["mode"]) and stat.S_IMODE(dev["u"]["mode"]) == 0o666
    assert stat.S_IMODE(dev["p"]["mode"]) == 0o600 and dev["p"]["gid"] == 6
    assert stat.S_IMODE(dev["null"]["mode"]) == 0o600, "the configuration's own wins"
    bundle.process["args"] = ["/bin/probe", "open", "r", "/dev/deep/er/b"]
    assert bundle.run().code == 1, "made, and forbidden by the cgroup"


@pytest.mark.parametrize("device, text", [
    ({"path": "dev/x", "type": "c"}, "linux.devices[0].path"),
    ({"path": "/dev/../x", "type": "c"}, "linux.devices[0].path"),
    ({"path": "/dev/x", "type": "x"}, "linux.devices[0].type"),
    ({"path": "/dev/x", "type": "c", "major": 4096}, "linux.devices[0].major"),
    ({"path": "/dev/x", "type": "c", "fileMode": 1 << 16}, "linux.devices[0].fileMode"),
    ({"type": "c"}, "linux.devices[0].path"),
])
def test_bad_devices(bundle, device, text):
    bundle.linux["devices"] = [device]
    bundle.run().failed(text, 1)


def test_device_in_a_user_namespace(machine):
    b = machine.bundle().with_user_namespace()
    b.linux["devices"] = [{"path": "/dev/zero", "type": "c", "major": 1, "minor": 5}]
    assert b.report()["dev"]["zero"]["rdev"] == "1:5"
    b.linux["devices"][0]["minor"] = 7
    b.run().failed("the host's '/dev/zero' is not device c 1:7", 1)


def test_bound_dev_is_left_alone(bundle):
    (bundle.path / "dev").mkdir()
    bundle.config["mounts"] = [m for m in bundle.config["mounts"]
                               if not m["destination"].startswith("/dev")]
    bundle.mount("/dev", type="bind", source="dev", options=["bind"])
    assert bundle.report()["dev"] == {}


# -- paths, sysctls --------------------------------------------------------------------------------


def test_no_masks(bundle):
    bundle.linux["maskedPaths"] = []
    del bundle.linux["readonlyPaths"]
    assert not [p for p in mounts_of(bundle.report()) if p.startswith("/proc/")]


def test_masks_of_a_user_namespace(machine):
    b = machine.bundle().with_user_namespace()
    b.linux["maskedPaths"] += ["/etc/passwd", "/home"]
    m = mounts_of(b.report())
    assert "/etc/passwd" in m and "ro" in m["/home"]["options"]


def test_sysctl_with_slashes_and_dots(bundle):
    files = ("net/ipv4/conf/lo/forwarding", "net/ipv4/ip_default_ttl", "kernel/shm_rmid_forced")
    bundle.process["args"] = ["/bin/probe", "cat", *(f"/proc/sys/{file}" for file in files)]
    bundle.linux["sysctl"] = {"net/ipv4/conf/lo/forwarding": "1", "net.ipv4.ip_default_ttl": "99",
                              "kernel.shm_rmid_forced": "1"}
    assert bundle.run().ok().out.split() == ["1", "99", "1"]


@pytest.mark.parametrize("key, text", [
    ("net.ipv4.no_such", "linux.sysctl: set 'net.ipv4.no_such'"),
    ("net.ipv4..x", "is not the name of a sysctl"), ("net/../kernel/panic", "linux.sysctl"),
    ("vm.swappiness", "belongs to the whole machine"),
    ("kernel.hostname", "is set by the member hostname"),
    ("user.max_user_namespaces", "belongs to the user namespace"),
])
def test_bad_sysctls(bundle, key, text):
    bundle.linux["sysctl"] = {key: "1"}
    bundle.run().failed(text, 1)


# -- hooks -----------------------------------------------------------------------------------------


def test_failing_start_hook(machine):
    b = machine.bundle("ignore")
    b.config["hooks"] = {"startContainer": [{"path": "/bin/probe",
                                             "args": ["probe", "fail", "not today"]}]}
    assert b.create() == 0, b.output()
    b.start().failed("not today", 1)
    b.wait_status("stopped")
    b.delete().ok()


def test_failing_poststop_is_only_said(machine):
    b = machine.bundle("wait")
    b.hook("poststop", "fail", "too late")
    b.hook("poststop", "copy", b.path / "second")
    b.up()
    b.kill("KILL").ok()
    b.wait_status("stopped")
    log = b.path / "log"
    machine.run("--log", log, "delete", b.id).ok()
    assert "too late" in log.read_text()


@pytest.mark.parametrize("kind", ["prestart", "createContainer", "startContainer", "poststart"])
def test_timeout_of_each_kind(machine, kind):
    b = machine.bundle("ignore")
    b.config["hooks"] = {kind: [{"path": "/bin/probe" if kind == "startContainer"
                                 else str(machine.probe), "args": ["probe", "sleep", "60"],
                                 "timeout": 1}]}
    b.run(timeout=20).failed("timeout of 1 s", 1).failed(kind)


def test_hooks_of_one_kind_run_in_order(machine):
    b = machine.bundle()
    for i in range(3):
        b.hook("createRuntime", "copy", b.path / "order", env=[f"N={i}"])
    b.run().ok()
    lines = (b.path / "order").read_text().splitlines()[1::2]
    assert [line.split()[1] for line in lines] == ["N=0", "N=1", "N=2"]


@pytest.mark.parametrize("hook, text", [({"path": "relative"}, "path"), ({}, "path"),
                                        ({"path": "/x", "timeout": 0}, "timeout"),
                                        ({"path": "/x", "timeout": -1}, "timeout")])
def test_bad_hooks(bundle, hook, text):
    bundle.config["hooks"] = {"createRuntime": [hook]}
    bundle.run().failed(f"hooks.createRuntime[0].{text}", 1)


def test_namespaces_of_the_hooks(machine):
    """createContainer runs in the container's namespaces, with the host's files."""
    b = machine.bundle()
    for kind in ("createRuntime", "createContainer"):
        b.config.setdefault("hooks", {})[kind] = [
            {"path": "/bin/sh", "args": ["sh", "-c", f"cat > /dev/null; readlink /proc/self/ns/net "
                                                     f"> {b.path}/{kind}"],
             "env": [f"PATH={os.environ['PATH']}"]}]
    r = b.report()
    assert (b.path / "createRuntime").read_text().strip() == os.readlink("/proc/self/ns/net")
    assert (b.path / "createContainer").read_text().strip() == r["namespaces"]["net"]


# -- what the kernel may lack ----------------------------------------------------------------------


@pytest.mark.skipif(os.path.exists("/sys/fs/selinux/enforce"), reason="the machine has SELinux")
def test_mount_label_without_selinux(bundle):
    bundle.linux["mountLabel"] = "system_u:object_r:container_file_t:s0:c1,c2"
    bundle.run().failed("linux.mountLabel: SELinux is not enabled on this machine", 1)


def test_network_classes(bundle):
    """Of v1; an error where the controllers are not there."""
    bundle.linux["resources"]["network"] = {"classID": 1048577,
                                            "priorities": [{"name": "lo", "priority": 5}]}
    have = all(os.path.isdir(f"/sys/fs/cgroup/{c}") for c in ("net_cls", "net_prio"))
    done = bundle.run()
    assert done.code == 0 if have else "linux.resources.network" in done.err


@pytest.mark.skipif(os.path.exists("/sys/fs/resctrl/schemata"), reason="the machine has resctrl")
def test_resctrl_that_is_not_there(bundle):
    bundle.linux["intelRdt"] = {"closID": "x", "schemata": ["MB:0=10"]}
    bundle.run().failed("linux.intelRdt: there is no resctrl file system", 1)


# -- docs/runtime-spec.md --------------------------------------------------------------------------


def test_the_table_names_tests_that_are_there():
    here = pathlib.Path(__file__).parent
    table = (here.parents[1] / "docs/runtime-spec.md").read_text()
    code = "".join(p.read_text() for folder in ("runtime", "vm")
                   for p in (here.parent / folder).glob("test_*.py"))
    named = set(re.findall(r"`(test_\w+)`", table))
    assert len(named) > 100
    assert not [name for name in named if f"def {name}(" not in code]
