# SPDX-License-Identifier: Apache-2.0
"""Containers in the caller's mount namespace, or in another's that exists."""
import os
import subprocess


def mounts():
    with open("/proc/thread-self/mountinfo", encoding="utf-8") as file:
        return file.read()


def test_inherited(machine):
    b = machine.bundle("sleep", "60")
    b.without_namespace("mount")
    before = mounts()
    b.up()
    pid = b.state()["pid"]
    assert os.readlink(f"/proc/{pid}/ns/mnt") == os.readlink("/proc/self/ns/mnt")
    assert mounts() == before, "a mount of the container shows on the host"
    names = set(os.listdir(f"/proc/{pid}/root"))
    assert {"bin", "proc", "dev"} <= names and "run" not in names, "confined to its own root"
    assert os.path.exists(f"/proc/{pid}/root/dev/null") and os.path.exists(
        f"/proc/{pid}/root/proc/1/status")
    inside = b.exec("/bin/probe", "report").ok().json
    assert inside["cwd"] == "/"
    b.stop()
    assert mounts() == before


def test_joined_by_path(machine):
    with subprocess.Popen(["unshare", "-m", "sleep", "60"]) as other:
        try:
            own = os.readlink("/proc/self/ns/mnt")
            while os.readlink(f"/proc/{other.pid}/ns/mnt") == own:
                pass
            b = machine.bundle("sleep", "60")
            b.namespace("mount", f"/proc/{other.pid}/ns/mnt")
            b.up()
            pid = b.state()["pid"]
            assert os.readlink(f"/proc/{pid}/ns/mnt") == os.readlink(f"/proc/{other.pid}/ns/mnt")
            assert "run" not in os.listdir(f"/proc/{pid}/root")
            b.exec("/bin/probe", "report").ok()
            b.stop()
        finally:
            other.kill()


def test_a_file_is_no_mount_namespace(bundle):
    bundle.namespace("mount", "/proc/self/ns/net")
    bundle.run().failed("'/proc/self/ns/net' is not a mount namespace", 1)
