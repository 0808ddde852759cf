# SPDX-License-Identifier: Apache-2.0
"""cgroup v2 alone: in a mount namespace where /sys/fs/cgroup is the v2 tree.

On a hybrid machine its controllers stay with v1, so limits are tested elsewhere; here are the
folder, the device filter, the mount, the namespace, freezing and killing."""
import json
import os
import pathlib
import shutil
import subprocess

import pytest

ALONE = os.path.exists("/sys/fs/cgroup/cgroup.controllers")
SCRIPT = """mount --make-rprivate / && umount -R /sys/fs/cgroup && \
mount -t cgroup2 cgroup2 /sys/fs/cgroup && exec "$@" """


class Version2:
    """The runtime, in that namespace. Every call has one of its own; the tree is the same."""

    def __init__(self, machine):
        self.machine = machine
        self.prefix = [] if ALONE else ["unshare", "-m", "sh", "-c", SCRIPT, "sh"]

    def run(self, *args, **kwargs):
        return subprocess.run([*self.prefix, self.machine.runtime, "--root", self.machine.root,
                               *map(str, args)], capture_output=True, text=True, timeout=60,
                              stdin=subprocess.DEVNULL, **kwargs)

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


def test_life(machine, v2):
    b = machine.bundle("ignore")
    b.without_namespace("cgroup")
    v2.up(b)
    trees = pathlib.Path("/sys/fs/cgroup/unified"), pathlib.Path("/sys/fs/cgroup")
    tree = next(p for p in trees if (p / "cgroup.procs").exists())
    folder = tree / b.cgroup.lstrip("/")
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
