# SPDX-License-Identifier: Apache-2.0
"""cgroup v2 alone: in a mount namespace where /sys/fs/cgroup is the v2 tree.

On a hybrid machine its controllers stay with v1, so limits are tested elsewhere; here are the
folder, the device filter, the mount, the namespace, freezing and killing."""
import json
import os
import pathlib
import shutil
import stat
import subprocess

import pytest

from support import bpf

ALONE = os.path.exists("/sys/fs/cgroup/cgroup.controllers")
SCRIPT = """mount --make-rprivate / && umount -R /sys/fs/cgroup && \
mount -t cgroup2 cgroup2 /sys/fs/cgroup && exec "$@" """


class Version2:
    """The runtime, in that namespace. Every call has one of its own; the tree is the same."""

    def __init__(self, machine):
        self.machine = machine
        self.prefix = [] if ALONE else ["unshare", "-m", "sh", "-c", SCRIPT, "sh"]

    def run(self, *args, **kwargs):
        if "input" not in kwargs:
            kwargs["stdin"] = subprocess.DEVNULL
        return subprocess.run([*self.prefix, self.machine.runtime, "--root", self.machine.root,
                               *map(str, args)], capture_output=True, text=True, timeout=60,
                              **kwargs)

    def report(self, b):
        b.save()
        done = self.run("run", "-b", b.path, b.id)
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)

    def up(self, b):
        b.save()
        with open(b.path / "out", "wb") as out:
            subprocess.run([*self.prefix, self.machine.runtime, "--root", self.machine.root, "run",
                            "-d", "-b", b.path, b.id], stdout=out, stderr=out,
                           stdin=subprocess.DEVNULL, check=True, timeout=60)


@pytest.fixture
def v2(machine):
    if ALONE:
        return Version2(machine)
    if not shutil.which("unshare"):
        pytest.skip("needs unshare")
    probe = subprocess.run(["unshare", "-m", "sh", "-c", SCRIPT, "sh", "true"], capture_output=True)
    if probe.returncode != 0:
        pytest.skip("cgroup2 cannot be mounted alone")
    return Version2(machine)


def cgroup_mounts(report):
    return [line for line in report["mountinfo"].splitlines()
            if line.split()[4].startswith("/sys/fs/cgroup")]


@pytest.mark.parametrize("namespace", [False, True])
def test_mount(machine, v2, namespace):
    b = machine.bundle()
    b.without_namespace("cgroup")
    if namespace:
        b.namespace("cgroup")
    r = v2.report(b)
    own = [line for line in r["cgroup"].splitlines() if line.startswith("0::")]
    assert own == ["0::/"] if namespace else own[0].endswith(b.cgroup)
    mounts = cgroup_mounts(r)
    assert len(mounts) == 1 and " - cgroup2 " in mounts[0]
    root, options = mounts[0].split()[3], mounts[0].split()[5].split(",")
    assert root == ("/" if namespace else b.cgroup) and "ro" in options


def test_device_filter(machine, v2):
    if not os.path.exists("/dev/net/tun"):
        pytest.skip("this machine has no tun device")
    b = machine.bundle("mknod", "c", "10", "200")
    for kind in ("bounding", "effective", "permitted"):
        b.process["capabilities"][kind].append("CAP_MKNOD")
    b.save()
    assert v2.run("run", "-b", b.path, b.id).returncode == 1  # EPERM from the open, not from mknod
    b.linux["resources"]["devices"].append(
        {"allow": True, "type": "c", "major": 10, "minor": 200, "access": "rw"})
    (b.rootfs / "tmp/node").unlink()
    b.save()
    assert v2.run("run", "-b", b.path, b.id).returncode == 0
    b.process["args"] = ["/bin/probe", "open", "w", "/dev/null"]
    b.save()
    assert v2.run("run", "-b", b.path, b.id).returncode == 0


def folder_of(b):
    trees = pathlib.Path("/sys/fs/cgroup/unified"), pathlib.Path("/sys/fs/cgroup")
    tree = next(p for p in trees if (p / "cgroup.procs").exists())
    return tree / b.cgroup.lstrip("/")


@pytest.fixture
def filtered(machine, v2):
    b = machine.bundle("ignore")
    v2.up(b)
    folder = os.open(folder_of(b), os.O_RDONLY)
    yield b, folder
    os.close(folder)
    assert v2.run("delete", "--force", b.id).returncode == 0


def pid_of(v2, b):
    return json.loads(v2.run("state", b.id).stdout)["pid"]


def change_devices(v2, b, *rules):
    return v2.run("update", "-r", "-", b.id, input=json.dumps({"devices": [
        {"allow": False, "access": "rwm"}, *rules]}))


def may_open(v2, b, path):
    return v2.run("exec", b.id, "/bin/probe", "open", "r", path).returncode == 0


def test_programs_of_others_stay(v2, filtered):
    if not os.path.exists("/dev/net/tun"):
        pytest.skip("this machine has no tun device")
    b, folder = filtered
    assert bpf.names(folder) == ["tare_devices"]
    with bpf.device_program("sd_devices") as foreign:
        bpf.attach(folder, foreign, bpf.ALLOW_MULTI)
    tun = {"allow": True, "type": "c", "major": 10, "minor": 200, "access": "rwm"}
    os.mknod(f"/proc/{pid_of(v2, b)}/root/dev/tun", 0o666 | stat.S_IFCHR, os.makedev(10, 200))
    assert not may_open(v2, b, "/dev/tun")
    for rules, allowed in (((tun,), True), ((), False), ((tun,), True)):
        done = change_devices(v2, b, *rules)
        assert done.returncode == 0, done.stderr
        assert sorted(bpf.names(folder)) == ["sd_devices", "tare_devices"]
        assert may_open(v2, b, "/dev/tun") == allowed


def test_what_another_program_forbids_is_forbidden(v2, filtered):
    b, folder = filtered
    with bpf.device_program("no_devices", allow=False) as foreign:
        bpf.attach(folder, foreign, bpf.ALLOW_MULTI)
    assert change_devices(v2, b).returncode == 0
    assert sorted(bpf.names(folder)) == ["no_devices", "tare_devices"]
    assert not may_open(v2, b, "/dev/null")


def attach_first(b, name, flags):
    """To a cgroup that is there before its container."""
    folder = folder_of(b)
    folder.mkdir(parents=True)
    fd = os.open(folder, os.O_RDONLY)
    with bpf.device_program(name) as foreign:
        bpf.attach(fd, foreign, flags)
    os.close(fd)
    return folder


def test_a_program_that_was_there_first_stays(machine, v2):
    b = machine.bundle("ignore")
    fd = os.open(attach_first(b, "sd_devices", bpf.ALLOW_MULTI), os.O_RDONLY)
    v2.up(b)
    assert sorted(bpf.names(fd)) == ["sd_devices", "tare_devices"]
    os.close(fd)
    assert v2.run("delete", "--force", b.id).returncode == 0


def test_a_program_that_wants_to_be_alone(machine, v2):
    b = machine.bundle("ignore")
    attach_first(b, "alone", 0)
    b.save()
    done = v2.run("run", "-b", b.path, b.id)
    assert done.returncode == 1 and "without BPF_F_ALLOW_MULTI" in done.stderr


def test_life(machine, v2):
    b = machine.bundle("ignore")
    b.without_namespace("cgroup")
    v2.up(b)
    folder = folder_of(b)
    assert len((folder / "cgroup.procs").read_text().split()) == 1
    done = v2.run("exec", b.id, "/bin/probe", "report")
    assert f"0::{b.cgroup}" in json.loads(done.stdout)["cgroup"].splitlines(), done.stderr
    assert v2.run("pause", b.id).returncode == 0
    assert json.loads(v2.run("state", b.id).stdout)["status"] == "paused"
    assert "frozen 1" in (folder / "cgroup.events").read_text()
    assert v2.run("resume", b.id).returncode == 0
    assert v2.run("kill", "--all", b.id, "KILL").returncode == 0
    assert v2.run("delete", "--force", b.id).returncode == 0
    assert not folder.exists()


def test_a_limit_without_its_controller(machine, v2):
    if "memory" in pathlib.Path("/proc/self/cgroup").read_text().split("0::")[0]:
        b = machine.bundle()
        b.linux["resources"]["memory"] = {"limit": 1 << 26}
        b.save()
        done = v2.run("run", "-b", b.path, b.id)
        assert done.returncode == 1 and "linux.resources.memory.limit" in done.stderr
