# SPDX-License-Identifier: Apache-2.0
"""checkpoint and restore by criu itself, which knows the guest's kernel. Emulated, each dump takes
seconds: few tests, that look at much."""
import array
import os
import pathlib
import select
import socket

from checkpoints import LIMIT, call, checkpoint, mounts, restore, run, status


def test_it_goes_on_where_it_was(machine, images):
    b = machine.bundle("count")
    shared, other = b.path / "shared", b.path / "other"
    for folder in (shared, other):
        folder.mkdir()
        (folder / "name").write_text(folder.name)
    b.mount("/shared", type="bind", source=str(shared), options=["rbind", "ro"])
    b.mount("/second", type="bind", source=str(shared), options=["bind", "ro", "nosuid"])
    b.mount("/third", type="bind", source=str(other), options=["bind", "ro", "nosuid"])
    hook = b.path / "hooked"
    first = run(b)
    pid = b.state()["pid"]
    before = mounts(pid), status(pid)
    checkpoint(b, images)
    counted = first.numbers(None)  # to the end: the process is gone
    assert machine.ids() == [] and not pathlib.Path(f"/proc/{pid}").exists()

    b.config["mounts"][-3]["source"] = str(other)  # restore takes what the bundle says now
    b.linux["resources"]["pids"] = {"limit": 33}
    b.hook("createRuntime", "copy", hook)
    pid_file = b.path / "pid"
    second = restore(b, images, "--pid-file", pid_file)
    state = b.state()
    pid = state["pid"]
    assert state["status"] == "running" and pid_file.read_text() == str(pid)
    assert b.cgroup_file("", "cgroup.procs").read_text().split() == [str(pid)]
    assert b.cgroup_file("pids", "pids.max").read_text() == "33\n"
    assert mounts(pid) == before[0]
    assert status(pid) == before[1]
    assert pathlib.Path(f"/proc/{pid}/root/shared/name").read_text() == "other"
    assert hook.exists()
    assert second.numbers(3)[0] == counted[-1] + 1
    assert b.exec("/bin/probe", "exit", "7").code == 7
    b.stop()


def test_leave_running(machine, images):
    b = machine.bundle("count")
    pipe = run(b)
    checkpoint(b, images, "--leave-running")
    n = len(pipe.numbers(1))
    assert b.state()["status"] == "running" and len(pipe.numbers(n + 3)) >= n + 3
    b.stop()
    second = restore(b, images)
    assert second.numbers(3)[0] < pipe.numbers(None)[-1]  # from the checkpoint on, once more
    b.stop()


def test_pre_dump(machine, tmp_path):
    b = machine.bundle("count")
    pipe = run(b)
    base, images = tmp_path / "base", tmp_path / "images"
    checkpoint(b, base, "--pre-dump")
    assert b.state()["status"] == "running"
    checkpoint(b, images, "--parent-path", "../base")
    counted = pipe.numbers(None)
    text = call(b, "restore", "-d", "--image-path", base, "-b", b.path, b.id, ok=False)
    assert "is no checkpoint of a container" in text
    assert restore(b, images).numbers(3)[0] == counted[-1] + 1
    b.stop()


class Console:
    """A console socket."""

    def __init__(self, path):
        self.path = path
        self.socket = socket.socket(socket.AF_UNIX)
        self.socket.bind(str(path))
        self.socket.listen()
        self.socket.settimeout(LIMIT)

    def master(self):
        connection, _ = self.socket.accept()
        _, data, _, _ = connection.recvmsg(4096, socket.CMSG_SPACE(4))
        return array.array("i", data[0][2])[0]


def read_line(fd):
    text = b""
    while b"\n" not in text:
        assert select.select([fd], [], [], LIMIT)[0], text
        text += os.read(fd, 4096)
    return text


def test_terminal(machine, images):
    b = machine.bundle("count")
    b.process["terminal"] = True
    console = Console(b.path / "console")
    call(b, "run", "-d", "-b", b.path, "--console-socket", console.path, b.id)
    master = console.master()
    read_line(master)
    checkpoint(b, images)
    os.close(master)
    b.process["terminal"] = False
    assert "process.terminal false" in call(b, "restore", "-d", "--image-path", images, "-b",
                                            b.path, b.id, ok=False)
    b.process["terminal"] = True
    call(b, "restore", "-d", "--image-path", images, "-b", b.path, "--console-socket",
         console.path, b.id)
    assert read_line(console.master())
    b.stop()


def test_a_restore_that_fails_is_undone(machine, images):
    b = machine.bundle("count")
    run(b)
    checkpoint(b, images)
    program = b.rootfs / "bin/probe"
    program.write_bytes(program.read_bytes() + b"x")  # criu compares sizes
    text = call(b, "restore", "-d", "--image-path", images, "-b", b.path, b.id, ok=False)
    assert "bin/probe" in text and "restore.log" in text
    assert machine.ids() == []  # and the fixture looks for the rest
