# SPDX-License-Identifier: Apache-2.0
"""Exec over WebSocket: channels, encodings, closing."""
import json
import os

import pytest
from worker import EXEC
from support.websocket import BINARY, CLOSE, PING, TEXT, Closed

V4, V4_TEXT, V5 = "v4.channel.k8s.io", "v4.base64.channel.k8s.io", "v5.channel.k8s.io"
OLD, OLD_TEXT, NONE = "channel.k8s.io", "base64.channel.k8s.io", None
ALL = (V5, V4, V4_TEXT, OLD, OLD_TEXT, NONE)
WITH_JSON = (V5, V4, V4_TEXT)


def finish(worker, channels):
    """Reads to the end; the status."""
    channels.wait_closed()
    assert channels.socket.close == (1000, "")
    worker.client.close()
    assert worker.wait() == 0
    return json.loads(channels[3]) if channels[3].startswith(b"{") else channels[3].decode()


@pytest.mark.parametrize("protocol", ALL)
def test_all_channels(worker, protocol):
    channels = worker.channels(EXEC, protocol, stdin=True, stdout=True, stderr=True)
    worker.supervisor.start()
    channels.read()
    assert channels.data == {1: b""}
    ends = worker.supervisor.opened(stdin=True, stdout=True, stderr=True)
    channels.write(0, b"to the process")
    assert os.read(ends["stdin"], 100) == b"to the process"
    os.write(ends["stdout"], b"out\0\xff")
    os.write(ends["stderr"], b"err")
    channels.wait(lambda: channels[2] == b"err" and channels[1])
    worker.supervisor.exited(3)
    status = finish(worker, channels)
    assert channels[1] == b"out\0\xff"
    if protocol in WITH_JSON:
        assert status["details"]["causes"] == [{"reason": "ExitCode", "message": "3"}]
    else:
        assert status == "command terminated with non-zero exit code: exit code 3"


@pytest.mark.parametrize("protocol", ALL)
def test_success(worker, protocol):
    channels = worker.channels(EXEC, protocol, stderr=True)
    worker.supervisor.start()
    channels.read()
    assert channels.data == {2: b""}
    worker.supervisor.opened(stderr=True)
    worker.supervisor.exited(0)
    status = finish(worker, channels)
    assert status == ({"metadata": {}, "status": "Success"} if protocol in WITH_JSON else "")


def test_close_signal(worker):
    channels = worker.channels(EXEC, V5, stdin=True, stdout=True)
    worker.supervisor.start()
    ends = worker.supervisor.opened(stdin=True, stdout=True)
    channels.write(0, b"all")
    channels.end(0)
    channels.end(0)
    channels.end(9)
    channels.write(0, b"dropped")
    assert os.read(ends["stdin"], 100) == b"all"
    assert os.read(ends["stdin"], 100) == b""
    os.write(ends["stdout"], b"later")
    worker.supervisor.exited(0)
    finish(worker, channels)
    assert channels[1] == b"later"


def test_no_close_signal_before_v5(worker):
    channels = worker.channels(EXEC, V4, stdin=True, stdout=True)
    worker.supervisor.start()
    ends = worker.supervisor.opened(stdin=True, stdout=True)
    channels.end(0)
    channels.write(0, b"still open")
    assert os.read(ends["stdin"], 100) == b"still open"


@pytest.mark.parametrize("protocol", (V4, V4_TEXT))
def test_fragments(worker, protocol):
    """A message in frames of one byte, a ping between them; text for binary and binary for text."""
    channels = worker.channels(EXEC, protocol, stdin=True, stdout=True)
    worker.supervisor.start()
    ends = worker.supervisor.opened(stdin=True, stdout=True)
    message = b"0aGVsbG8=" if protocol == V4_TEXT else b"\0hello"
    for i, byte in enumerate(message):
        opcode = 0 if i else BINARY if protocol == V4_TEXT else TEXT
        channels.socket.frame(opcode, bytes([byte]), fin=i == len(message) - 1)
        channels.socket.frame(PING, b"%d" % i)
    got = b""
    while len(got) < 5:
        got += os.read(ends["stdin"], 100)
    assert got == b"hello"
    os.write(ends["stdout"], b"x")
    channels.wait(lambda: channels[1] == b"x")
    assert channels.socket.pongs == [b"%d" % i for i in range(len(message))]


def test_large_messages(worker):
    channels = worker.channels(EXEC, V4, stdin=True, stdout=True)
    worker.supervisor.start()
    ends = worker.supervisor.opened(stdin=True, stdout=True)
    data = os.urandom(300000)
    channels.write(0, data)
    got = b""
    while len(got) < len(data):
        got += os.read(ends["stdin"], 1 << 20)
    assert got == data


def test_channels_that_are_not_there(worker):
    channels = worker.channels(EXEC, V4, stdin=True, stdout=True)
    worker.supervisor.start()
    ends = worker.supervisor.opened(stdin=True, stdout=True)
    for number in (1, 2, 3, 4, 7, 255):
        channels.write(number, b"ignored")
    channels.socket.frame(BINARY, b"")
    channels.socket.frame(BINARY, b"\0")
    channels.write(0, b"counted")
    assert os.read(ends["stdin"], 100) == b"counted"


def test_client_closes(worker):
    channels = worker.channels(EXEC, V4, stdout=True)
    worker.supervisor.start()
    worker.supervisor.opened(stdout=True)
    channels.socket.frame(CLOSE, b"\x03\xe9")
    channels.wait_closed()
    assert channels.socket.close == (1001, "")
    worker.client.close()
    assert worker.supervisor.command() is None
    assert worker.wait() == 0


@pytest.mark.parametrize("name", ("unmasked", "reserved", "base64"))
def test_bad_frames(worker, name):
    channels = worker.channels(EXEC, V4_TEXT if name == "base64" else V4, stdin=True, stdout=True)
    worker.supervisor.start()
    channels.read()
    if name == "unmasked":
        channels.socket.frame(BINARY, b"\0x", masked=False)
    elif name == "reserved":
        channels.socket.frame(0x42, b"\0x")
    else:
        channels.socket.frame(TEXT, b"0****")
    with pytest.raises(Closed):
        channels.read()
    assert channels.socket.close[0] == 1002
    worker.client.close()
    assert worker.wait() == 1
    assert "WebSocket" in worker.log_text()
