# SPDX-License-Identifier: Apache-2.0
"""What criu takes only when it is told to, filters, memory that follows later.
Of no kind of cgroups: it runs in the guest that has less to do."""
import ctypes
import json
import os
import pathlib
import socket
import subprocess
import time

import pytest

from checkpoints import LIMIT, call, checkpoint, mounts, restore, run, status

PROFILE = pathlib.Path(__file__).parents[2] / "src/spec/seccomp-default.json"


@pytest.fixture
def networks():
    """Two network namespaces, by path."""
    script = "ip link set lo up && echo up && exec sleep 600"
    keepers = [subprocess.Popen(["unshare", "-n", "sh", "-c", script], stdout=subprocess.PIPE)
               for _ in range(2)]
    assert [keeper.stdout.readline() for keeper in keepers] == [b"up\n"] * 2
    yield [f"/proc/{keeper.pid}/ns/net" for keeper in keepers]
    for keeper in keepers:
        keeper.kill()
        keeper.communicate()


def in_network(path, function, *args):
    libc = ctypes.CDLL(None, use_errno=True)
    with open("/proc/self/ns/net") as own, open(path) as other:
        assert libc.setns(other.fileno(), 0) == 0
        made = function(*args)
        assert libc.setns(own.fileno(), 0) == 0
    return made


class Mailbox:
    """A socket of the host's that a container has by a bind mount at the same path, in its network
    namespace: in another criu does not find it, elsewhere it does not connect it again."""

    def __init__(self, folder, network):
        folder.mkdir()
        self.path = folder / "socket"
        self.socket = in_network(network, socket.socket, socket.AF_UNIX, socket.SOCK_DGRAM)
        self.socket.bind(str(self.path))
        self.path.chmod(0o777)
        self.socket.settimeout(LIMIT)

    def number(self):
        return int.from_bytes(self.socket.recv(64), "little")


def test_network_namespace_by_path(machine, images, networks, tmp_path):
    """The namespace is the host's to keep: restored into another one, it is that one's. Connections
    and sockets of others go along."""
    folder = tmp_path / "box"
    b = machine.bundle("connected", str(folder / "socket"))
    mailbox = Mailbox(folder, networks[0])
    b.mount(str(folder), type="bind", source=str(folder), options=["bind"])
    b.namespace("network", networks[0])
    pipe = run(b)
    words = "--file-locks", "--tcp-established", "--ext-unix-sk"
    checkpoint(b, images, *words)
    last = pipe.numbers(None)[-1]
    b.namespace("network", networks[1])
    assert restore(b, images, *words).numbers(2)[0] == last + 1
    joined = os.stat(f"/proc/{b.state()['pid']}/ns/net").st_ino
    assert joined == os.stat(networks[1]).st_ino
    while mailbox.number() <= last:
        pass
    b.stop()


def holds_here(condition):
    arches = condition.get("arches", ["amd64"])
    return "amd64" in arches and not set(condition.get("caps", [])) - {"CAP_SYS_CHROOT"}


def runtime_default():
    """tared's RuntimeDefault profile for a container with the usual capabilities."""
    profile = json.loads(PROFILE.read_text())
    rules = [{"action": rule["action"], "names": rule["names"],
              **({"args": rule["args"]} if rule.get("args") else {}),
              **({"errnoRet": rule["errnoRet"]} if "errnoRet" in rule else {})}
             for rule in profile["syscalls"] if holds_here(rule.get("includes", {}))]
    return {"defaultAction": profile["defaultAction"], "architectures": ["SCMP_ARCH_X86_64"],
            "defaultErrnoRet": profile["defaultErrnoRet"], "syscalls": rules}


def locks_of(pid):
    found = [line.split() for line in pathlib.Path("/proc/locks").read_text().splitlines()]
    return [fields[1:4] for fields in found if fields[4] == str(pid)]


def test_what_takes_a_word(machine, images):
    """Under a filter."""
    b = machine.bundle("connected")
    b.linux["seccomp"] = runtime_default()
    pipe = run(b)
    pid = b.state()["pid"]
    before = mounts(pid), status(pid), locks_of(pid)
    assert "Seccomp:\t2" in before[1] and before[2] == [["FLOCK", "ADVISORY", "WRITE"]]
    assert "--tcp-established" in call(b, "checkpoint", "--image-path", images, b.id, ok=False)
    words = ["--tcp-established"]
    assert "--file-locks" in call(b, "checkpoint", "--image-path", images, *words, b.id, ok=False)
    n = len(pipe.numbers(1))
    assert b.state()["status"] == "running" and len(pipe.numbers(n + 3)) >= n + 3
    words += ["--file-locks", "--shell-job"]
    checkpoint(b, images, *words)
    counted = pipe.numbers(None)
    assert -1 not in counted
    second = restore(b, images, *words)
    pid = b.state()["pid"]
    assert second.numbers(3)[0] == counted[-1] + 1
    assert (mounts(pid), status(pid), locks_of(pid)) == before
    b.stop()


def test_connections_may_end(machine, images):
    b = machine.bundle("connected")
    pipe = run(b)
    words = "--file-locks", "--tcp-close"
    checkpoint(b, images, *words)
    assert -1 not in pipe.numbers(None)
    assert set(restore(b, images, *words).numbers(3)) == {-1}
    b.stop()


def test_lazy_pages(machine, images):
    """The memory stays with the first criu until the restored processes need it."""
    b = machine.bundle("count")
    pipe = run(b)
    ready, told = os.pipe()
    log = b.machine.path / "dump.log"
    dump = subprocess.Popen([b.machine.runtime, "--root", b.machine.root, "--log", log,
                             "checkpoint", "--image-path", images, "--lazy-pages", "--page-server",
                             "127.0.0.1:4001", "--status-fd", str(told), b.id],
                            pass_fds=[told], stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                            stderr=subprocess.DEVNULL)
    b.machine.children.append(dump)
    os.close(told)
    assert os.read(ready, 1) == b"\0", log.read_text()
    os.close(ready)
    keeper = subprocess.Popen(["criu", "lazy-pages", "--page-server", "--address", "127.0.0.1",
                               "--port", "4001", "-D", images, "-W", images, "-v4", "-o",
                               "lazy.log"], stdin=subprocess.DEVNULL)
    b.machine.children.append(keeper)
    end = time.time() + LIMIT
    while not (images / "lazy-pages.socket").exists():
        assert time.time() < end and keeper.poll() is None
        time.sleep(0.05)
    first_root, b.machine.root = b.machine.root, b.machine.path / "other"  # as on another machine
    b.linux["cgroupsPath"] += "-2"
    second = restore(b, images, "--lazy-pages", "--work-path", images)
    number = second.numbers(3)[0]
    assert keeper.wait(LIMIT) == 0 and dump.wait(LIMIT) == 0
    assert number == pipe.numbers(None)[-1] + 1  # it stood still until its memory was gone
    b.stop()
    b.machine.root = first_root
