# SPDX-License-Identifier: Apache-2.0
"""Somebody changes the root file system while a container is being made in it (CVE-2021-30465,
CVE-2024-45310, CVE-2025-31133): nothing is made, mounted or covered outside."""
import os
import pathlib
import subprocess

import pytest

ROUNDS = 25
RACER = r"""
#define _GNU_SOURCE
#include <fcntl.h>
#include <stdio.h>
int main(int argc, char **argv)
{
        for (;;)
                renameat2(AT_FDCWD, argv[1], AT_FDCWD, argv[2], RENAME_EXCHANGE);
}
"""


@pytest.fixture(scope="module")
def racer_program(tmp_path_factory):
    folder = tmp_path_factory.mktemp("racer")
    (folder / "racer.c").write_text(RACER)
    subprocess.run(["gcc", "-O1", "-o", folder / "racer", folder / "racer.c"], check=True)
    return folder / "racer"


@pytest.fixture
def race(racer_program):
    """Swaps a folder of the root with a link that leads out, all the time."""
    running = []

    def start(a, b):
        running.append(subprocess.Popen([racer_program, a, b]))

    yield start
    for child in running:
        child.kill()
        child.wait()


def tree(path):
    return sorted(str(p.relative_to(path)) for p in path.glob("**/*"))


def test_mount_points_and_masks(machine, race):
    b = machine.bundle()
    outside = machine.path / "outside"
    (outside / "sub").mkdir(parents=True)
    (outside / "secret").write_text("secret")
    before = tree(outside)
    (b.rootfs / "t/sub").mkdir(parents=True)
    (b.rootfs / "t/secret").write_text("inside")
    (b.rootfs / "t2").symlink_to("../" * 12 + str(outside).lstrip("/"))
    (b.path / "data").mkdir()
    for i in range(5):
        b.mount(f"/t/new{i}/deep", type="bind", source=str(b.path / "data"), options=["bind"])
    b.mount("/t/sub", type="tmpfs", source="tmpfs")
    b.linux["maskedPaths"] += ["/t/secret", "/t/sub"]
    b.linux["readonlyPaths"] += ["/t"]
    b.linux["devices"] = [{"path": "/t/dev/fuse", "type": "c", "major": 10, "minor": 229}]
    b.process["cwd"] = "/t/cwd/made"
    race(b.rootfs / "t", b.rootfs / "t2")
    for _ in range(ROUNDS):
        b.run()  # may well fail: what matters is where
        assert tree(outside) == before
        assert (outside / "secret").read_text() == "secret"


def test_dev(machine, race):
    b = machine.bundle()
    outside = machine.path / "outside"
    outside.mkdir()
    b.config["mounts"] = [m for m in b.config["mounts"]
                          if not m["destination"].startswith("/dev")]
    (b.rootfs / "dev2").symlink_to("../" * 12 + str(outside).lstrip("/"))
    race(b.rootfs / "dev", b.rootfs / "dev2")
    for _ in range(ROUNDS):
        b.run()
        assert tree(outside) == []


def test_hostile_links_in_the_image(machine):
    b = machine.bundle()
    outside = machine.path / "outside"
    outside.mkdir()
    up = "../" * 12 + str(outside).lstrip("/")
    for name in ("a", "b", "c"):
        (b.rootfs / name).symlink_to(up)
    b.mount("/a", type="tmpfs", source="tmpfs")
    b.linux["maskedPaths"] += ["/b"]
    b.process["cwd"] = "/c/deep"
    b.run()
    assert tree(outside) == []
    mounts = pathlib.Path("/proc/thread-self/mountinfo").read_text()
    assert str(outside) not in mounts


def test_hostile_passwd(machine):
    """The home folder is looked up in the image's passwd, which need not be a file."""
    b = machine.bundle()
    (b.rootfs / "etc/passwd").unlink()
    os.mkfifo(b.rootfs / "etc/passwd")
    assert "HOME=/" in b.report()["env"]


def test_proc_is_a_folder_of_the_image(machine):
    """Without a procfs inside, what is written for the container goes to a procfs of our own."""
    b = machine.bundle()
    b.config["mounts"] = [m for m in b.config["mounts"] if m["destination"] != "/proc"]
    (b.rootfs / "proc/sys/kernel").mkdir(parents=True)
    (b.rootfs / "proc/sys/kernel/msgmax").write_text("untouched")
    b.linux["sysctl"] = {"kernel.msgmax": "7777"}
    b.process["oomScoreAdj"] = 100
    b.report()
    assert (b.rootfs / "proc/sys/kernel/msgmax").read_text() == "untouched"
