# SPDX-License-Identifier: Apache-2.0
"""Who does not read, who sends nonsense, and what the worker may still do."""
import os
import select
import struct

import pytest
from worker import PORT_FORWARD, Command, memory_kib, sanitized, send_all_that_fits

MEMORY_KIB = 12 << 10  # of a session at its worst, with the program itself


def write_all_that_fits(fd, limit=64 << 20):
    """Writes to a pipe until nobody has read for half a second; the bytes written."""
    os.set_blocking(fd, False)
    count = 0
    while select.select([], [fd], [], 0.5)[1] and count < limit:
        count += os.write(fd, b"z" * 65536)
    return count


def test_client_that_does_not_read(start):
    """Output stops; input, pings and the rest go on; nothing is lost when it reads at last."""
    worker = start(small_buffers=True)
    command = Command(worker, stdin=True, stdout=True, stderr=True)
    ends = command.open()
    written = write_all_that_fits(ends["stdout"])
    assert written < 16 << 20
    command.spdy.write(command.stdin, b"still heard", fin=True)
    assert os.read(ends["stdin"], 100) == b"still heard"
    assert os.read(ends["stdin"], 100) == b""
    assert sanitized(worker) or memory_kib(worker) < MEMORY_KIB
    os.write(ends["stderr"], b"err")
    command.supervisor.exited(0)
    assert command.finish()["status"] == "Success"
    assert len(command.stdout.data) == written and command.stdout.data == b"z" * written
    assert command.stderr.data == b"err"


def test_process_that_does_not_read(start):
    """Input stops; output goes on; nothing is lost when it reads at last."""
    worker = start(small_buffers=True)
    command = Command(worker, stdin=True, stdout=True)
    ends = command.open()
    payload = os.urandom(4096) * 16
    frame = struct.pack(">II", command.stdin.id, len(payload)) + payload
    sent = send_all_that_fits(worker.client, frame)
    assert sent < 16 << 20
    os.write(ends["stdout"], b"still said")
    command.spdy.wait(lambda: command.stdout.data == b"still said")
    assert sanitized(worker) or memory_kib(worker) < MEMORY_KIB
    got = bytearray()
    rest = frame[sent % len(frame):] if sent % len(frame) else b""
    want = (sent + len(rest)) // len(frame) * len(payload)
    worker.client.setblocking(False)
    while len(got) < want:
        if rest and select.select([], [worker.client], [], 0)[1]:
            rest = rest[worker.client.send(rest):]
        if select.select([ends["stdin"]], [], [], 0.01)[0]:
            got += os.read(ends["stdin"], 1 << 20)
    assert got == payload * (want // len(payload))


def test_client_leaves_while_held(start):
    """It is not read, but that it has gone is seen."""
    worker = start(small_buffers=True)
    command = Command(worker, stdin=True, stdout=True)
    os.write(command.open()["stdout"], b"unread, so that closing is a reset")
    assert select.select([worker.client], [], [], 10)[0]
    frame = struct.pack(">II", command.stdin.id, 65536) + bytes(65536)
    send_all_that_fits(worker.client, frame)
    worker.client.close()
    assert command.supervisor.command() is None
    assert worker.wait() == 0


def test_pings_without_end(start):
    """A client that asks and never reads the answers is not read any more."""
    worker = start(small_buffers=True)
    command = Command(worker, stdin=True, stdout=True)
    command.open()
    sent = send_all_that_fits(worker.client, struct.pack(">HHII", 0x8003, 6, 4, 1) * 5000)
    assert sent < 32 << 20
    assert sanitized(worker) or memory_kib(worker) < MEMORY_KIB


def test_forwarded_connection_that_does_not_read(start):
    worker = start(small_buffers=True)
    client = worker.spdy(PORT_FORWARD, ["portforward.k8s.io"])
    pods, pairs = [], []
    for number in range(50):
        pairs.append([client.open(streamtype=kind, port="80", requestid=str(number))
                      for kind in ("error", "data")])
        pods.append(worker.supervisor.connected(worker.supervisor.command().connect.id))
    for pod in pods:
        pod.setblocking(False)
        send_all_that_fits(pod, b"z" * 65536, 1 << 20) if pod in pods[:3] else pod.send(b"x")
    client.wait(lambda: all(pair[1].data for pair in pairs))
    frame = struct.pack(">II", pairs[0][1].id, 65536) + bytes(65536)
    assert send_all_that_fits(worker.client, frame) < 16 << 20
    assert sanitized(worker) or memory_kib(worker) < MEMORY_KIB


@pytest.mark.parametrize("data", (
    b"\x80\x02\0\x06\0\0\0\4\0\0\0\1",           # another version
    b"\x80\x03\0\x01\0\xff\xff\xff",             # a control frame of 16 MiB
    b"\x80\x03\0\x01\0\0\0\x10" + b"\xff" * 16,  # no compressed headers
    b"\x80\x03\0\x06\0\0\0\5" + bytes(5)))       # a ping of 5 bytes
def test_bad_bytes(worker, data):
    command = Command(worker, stdout=True)
    command.open()
    worker.client.sendall(data)
    command.spdy.wait(lambda: command.spdy.goaway)
    assert command.spdy.goaway[1] == 1
    worker.client.close()
    assert command.supervisor.command() is None
    assert worker.wait() == 1
    assert "SPDY" in worker.log_text()


def test_header_bomb(worker):
    client = worker.spdy(stdout=True)
    client.open(streamtype="error", padding="a" * 1000000)
    client.wait(lambda: client.goaway)
    assert client.goaway[1] == 1
    assert sanitized(worker) or memory_kib(worker) < MEMORY_KIB


def test_stream_numbers(worker):
    client = worker.spdy(stdout=True)
    good = client.open(streamtype="error", number=5)
    bad = [client.open(streamtype="stdout", number=n) for n in (4, 3)]
    unknown = client.streams[99] = type(good)(99)
    client.write(unknown, b"x")
    client.wait(lambda: good.replied and all(s.reset for s in bad) and unknown.reset)
    assert [s.reset for s in bad] == [1, 1]
    assert unknown.reset == 2


def test_supervisor_that_talks_nonsense(worker):
    command = Command(worker, stdout=True)
    command.supervisor.start()
    command.supervisor.sock.send(b"\xff" * 100)
    command.spdy.wait(lambda: command.spdy.goaway)
    worker.client.close()
    assert worker.wait() == 1


def test_descriptors_that_were_not_announced(worker):
    command = Command(worker, stdout=True)
    command.supervisor.start()
    from worker import pb, send_message
    send_message(command.supervisor.sock, pb.Event(opened=pb.Opened(stdout=True)), [0, 0, 0])
    assert "3 descriptors" in command.finish()["message"]


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root")
def test_no_rights(worker):
    command = Command(worker, stdout=True)
    command.open()
    with open(f"/proc/{worker.pid}/status", encoding="ascii") as status:
        fields = dict(line.rstrip("\n").split(":\t") for line in status)
    assert fields["Uid"].split() == fields["Gid"].split() == ["65534"] * 4
    assert fields["Groups"].strip() == ""
    assert all(int(fields[f"Cap{name}"], 16) == 0 for name in ("Inh", "Prm", "Eff", "Bnd", "Amb"))
    assert fields["NoNewPrivs"] == "1"
    if not sanitized(worker):
        assert fields["Seccomp"] == "2"
        assert os.stat(f"/proc/{worker.pid}/fd").st_uid == 0, "it can be looked at"


def test_nothing_is_inherited(start):
    """Descriptors of the daemon that slipped through are closed."""
    read, write = os.pipe()
    os.set_inheritable(write, True)
    worker = start()
    os.close(write)
    Command(worker, stdout=True)
    assert os.read(read, 1) == b""
    os.close(read)


def test_exec_over_many_rounds(worker):
    """A megabyte both ways through cat."""
    command = Command(worker, stdin=True, stdout=True)
    ends = command.open()
    data = os.urandom(1 << 20)
    for start in range(0, len(data), 1 << 15):
        command.spdy.write(command.stdin, data[start:start + (1 << 15)])
        moved = 0
        while moved < 1 << 15:
            piece = os.read(ends["stdin"], 1 << 15)
            os.write(ends["stdout"], piece)
            moved += len(piece)
        command.spdy.wait(lambda: len(command.stdout.data) == start + (1 << 15))
    command.supervisor.exited(0)
    assert command.finish()["status"] == "Success"
    assert bytes(command.stdout.data) == data
