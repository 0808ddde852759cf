# SPDX-License-Identifier: Apache-2.0
"""Containers of an ordinary user who has a systemd of their own, and what it passes on: limits."""
import contextlib
import copy
import json
import os
import pathlib
import shutil
import subprocess
import tempfile

import pytest

from systemd_units import CGROUPS, systemctl

MIB = 1 << 20
NAME, UID = "tare-test", 23456
MANAGER = f"user.slice/user-{UID}.slice/user@{UID}.service"
LIMITS = {"memory": {"limit": 32 * MIB, "swap": 32 * MIB}, "pids": {"limit": 20},
          "cpu": {"shares": 512, "quota": 25000, "period": 50000}}
FILES = {"memory.max": str(32 * MIB), "memory.swap.max": "0", "pids.max": "20", "cpu.weight": "59",
         "cpu.max": "25000 50000"}
WITHOUT_BUS = ["setpriv", f"--reuid={UID}", f"--regid={UID}", "--clear-groups",
               "--inh-caps=-all", "--bounding-set=-all", "env", "-u", "DBUS_SESSION_BUS_ADDRESS"]
AS_USER = [*WITHOUT_BUS, f"XDG_RUNTIME_DIR=/run/user/{UID}"]


class User:
    """What a user does, in a folder of theirs; the caller's cgroup is none of theirs."""

    def __init__(self, machine, home):
        self.machine, self.home = machine, home
        machine.path = home
        machine.root = home / "state"
        home.chmod(0o777)
        machine.runtime = shutil.copy(machine.runtime, home / "tare-runtime")
        self.driver("systemd")

    def driver(self, name, prefix=AS_USER):
        self.machine.prefix = prefix
        self.flags = ["--systemd-cgroup"] if name == "systemd" else []

    def bundle(self, *args):
        self.machine.prefix, prefix = [], self.machine.prefix
        b = self.machine.bundle(*(args or ("ignore",)))
        self.machine.prefix = prefix
        (b.path / "config.json").unlink()
        for folder, folders, files in os.walk(self.home):
            for name in [".", *folders, *files]:
                os.chown(os.path.join(folder, name), UID, UID, follow_symlinks=False)
        self.machine.run("spec", "--rootless", "-b", b.path).ok()
        saved = b.config
        b.config = json.loads((b.path / "config.json").read_text())
        b.config["process"].update(terminal=False, args=saved["process"]["args"])
        b.linux["cgroupsPath"] = f"user.slice:tare:{b.id}"
        b.linux["resources"] = copy.deepcopy(LIMITS)
        b.unit = f"tare-{b.id}.scope"
        b.folder = CGROUPS / MANAGER / "user.slice" / b.unit
        return b.save()

    def __call__(self, *args):
        return self.machine.run(*self.flags, *args)

    def up(self, b):
        b.save()
        with open(self.home / f"{b.id}.out", "w") as out:
            child = self.machine.start_process(*self.flags, "run", "-d", "-b", b.path, b.id,
                                               stdout=out, stderr=out)
            assert child.wait(60) == 0, (self.home / f"{b.id}.out").read_text()
        return b.state()["pid"]


@contextlib.contextmanager
def passwd_with(line):
    path = pathlib.Path("/etc/passwd")
    before = path.read_text()
    path.write_text(before + line + "\n")
    yield
    path.write_text(before)


@pytest.fixture(scope="module")
def manager():
    with passwd_with(f"{NAME}:x:{UID}:{UID}::/nonexistent:/bin/false"):
        done = subprocess.run(["systemctl", "start", f"user@{UID}.service"], check=False,
                              capture_output=True, text=True)
        assert done.returncode == 0, done.stderr + systemctl("status", f"user@{UID}.service")
        yield
        systemctl("stop", f"user@{UID}.service")


@pytest.fixture
def user(machine, manager):
    home = pathlib.Path(tempfile.mkdtemp(prefix="tare-test-"))  # pytest's is root's alone
    runtime = machine.runtime
    user = User(machine, home)
    yield user
    user.driver("systemd")
    for container in machine.ids():
        user("delete", "--force", container)
    machine.runtime, machine.prefix = runtime, []
    shutil.rmtree(home)


def members(b):
    return len((b.folder / "cgroup.procs").read_text().split())


def test_scope_of_a_user(user):
    b = user.bundle()
    pid = user.up(b)
    assert (b.folder / "cgroup.procs").read_text().split() == [str(pid)]
    assert {name: (b.folder / name).read_text().strip() for name in FILES} == FILES
    with open(user.home / "exec.out", "w") as out:
        child = user.machine.start_process(*user.flags, "exec", "-d", b.id, "/bin/probe", "ignore",
                                           stdout=out, stderr=out)
        assert child.wait(60) == 0, (user.home / "exec.out").read_text()
    assert members(b) == 2
    user("update", "--memory", 16 * MIB, "--pids-limit", 9, b.id).ok()
    assert (b.folder / "memory.max").read_text() == f"{16 * MIB}\n"
    assert (b.folder / "pids.max").read_text() == "9\n"
    user("pause", b.id).ok()
    assert "frozen 1" in (b.folder / "cgroup.events").read_text()
    assert b.state()["status"] == "paused"
    user("resume", b.id).ok()
    user("kill", "--all", b.id, "KILL").ok()
    b.wait_status("stopped")
    user("delete", b.id).ok()
    assert not b.folder.exists()


def test_memory_limit_of_a_user_holds(user):
    b = user.bundle("alloc", "64")
    done = user("run", "-b", b.path, b.id)
    assert done.code == 137, done.err


def test_a_controller_that_is_not_passed_on(user):
    b = user.bundle()
    b.linux["resources"]["cpu"]["cpus"] = "0"
    done = user("run", "-b", b.save().path, b.id).failed("controller cpuset is not delegated", 1)
    assert "Delegate= of user@.service" in done.err and len(done.err.splitlines()) == 1
    assert not b.folder.exists()


def test_without_a_bus(user):
    user.driver("systemd", [*WITHOUT_BUS, "XDG_RUNTIME_DIR=/run/nothing"])
    b = user.bundle()
    done = user("run", "-b", b.path, b.id).failed("nobody listens on '/run/nothing/bus'", 1)
    assert "loginctl enable-linger" in done.err and len(done.err.splitlines()) == 1


def test_cgroupfs_without_a_subtree(user):
    """Neither the root of all cgroups is a user's, nor may processes be moved from anywhere."""
    user.driver("cgroupfs")
    b = user.bundle()
    b.linux["cgroupsPath"] = "/tare-test"
    done = user("run", "-b", b.save().path, b.id).failed("delegated to the user", 1)
    assert len(done.err.splitlines()) == 1
    b.linux["cgroupsPath"] = f"/{MANAGER}/tare-test"
    done = user("run", "-b", b.save().path, b.id).failed("run tare-runtime inside of it", 1)
    assert len(done.err.splitlines()) == 1
    assert not (CGROUPS / MANAGER / "tare-test").exists()


def test_cgroupfs_in_a_subtree(user):
    """A service of the user's that makes place for containers beside itself."""
    b = user.bundle()
    place = f"/{MANAGER}/app.slice/tare-test.service"
    b.linux["cgroupsPath"] = f"{place}/{b.id}"
    b.save()
    script = user.home / "script"
    script.write_text(f"""
        set -e; cd /sys/fs/cgroup{place}; mkdir own; echo 0 >own/cgroup.procs
        r="{user.machine.runtime} --root {user.machine.root}"
        trap "$r delete --force {b.id}" EXIT
        $r create -b {b.path} {b.id} >/dev/null
        $r start {b.id}
        cat {b.id}/memory.max {b.id}/pids.max {b.id}/cpu.max
        $r exec {b.id} /bin/probe cat /proc/self/cgroup
        $r pause {b.id}; grep "frozen 1" {b.id}/cgroup.events; $r resume {b.id}
        $r kill {b.id} KILL; $r delete --force {b.id}; test ! -e {b.id}; echo gone""")
    done = subprocess.run([*AS_USER, "systemd-run", "--user", "--quiet", "--pipe", "--wait",
                           "--collect", "--slice=app.slice", "--unit=tare-test",
                           "-p", "Delegate=yes", "-p", "KillSignal=KILL", "sh", script],
                          check=False, capture_output=True, text=True, stdin=subprocess.DEVNULL,
                          timeout=90)
    assert done.returncode == 0, done.stdout + done.stderr
    lines = done.stdout.splitlines()
    assert lines[:3] == [FILES["memory.max"], FILES["pids.max"], FILES["cpu.max"]]
    assert lines[3].startswith("0::/") and lines[4:] == ["frozen 1", "gone"]
