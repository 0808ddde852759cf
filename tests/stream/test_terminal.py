# SPDX-License-Identifier: Apache-2.0
"""Terminals: sizes, the first of them, output that is there when the process has ended."""
import fcntl
import os
import pty
import struct
import termios
import tty

import pytest
from worker import EXEC, Command, send_all_that_fits, wait_until
from support.websocket import BINARY, WebSocket


@pytest.fixture
def terminal():
    """[master, slave]"""
    ends = list(pty.openpty())
    tty.setraw(ends[1])
    yield ends
    for fd in ends:
        os.close(fd)


def size(fd):
    height, width = struct.unpack("HHHH", fcntl.ioctl(fd, termios.TIOCGWINSZ, bytes(8)))[:2]
    return width, height


def resize(width, height):
    return b'{"Width":%d,"Height":%d}\n' % (width, height)


@pytest.mark.parametrize("version", (3, 4, 5))
def test_first_size_is_in_start(worker, version):
    command = Command(worker, version, tty=True, size=resize(132, 43), stdin=True, stdout=True)
    start = command.supervisor.start()
    assert (start.width, start.height) == (132, 43)


def test_no_size(worker):
    command = Command(worker, tty=True, stdin=True, stdout=True)
    start = command.supervisor.start()
    assert (start.width, start.height) == (0, 0)


@pytest.mark.parametrize("version", (1, 2))
def test_no_resize_stream_before_v3(worker, version):
    command = Command(worker, version, tty=True, stdin=True, stdout=True)
    assert command.spdy.open(streamtype="resize").reset is None
    command.supervisor.start()


def test_sizes(worker, terminal):
    command = Command(worker, tty=True, stdin=True, stdout=True)
    command.spdy.write(command.resize, resize(80, 24))
    command.supervisor.start()
    command.supervisor.opened_terminal(terminal[0])
    wait_until(lambda: size(terminal[1]) == (80, 24))
    text = (resize(90, 30) + b'{"Width":0,"Height":5} {"Width":70000,"Height":5}{}' +
            resize(100, 31))
    for byte in text:
        command.spdy.write(command.resize, bytes([byte]))
    wait_until(lambda: size(terminal[1]) == (100, 31))
    command.spdy.write(command.resize, b'not JSON}' + resize(1, 1))
    command.spdy.ping(1)
    command.spdy.wait(lambda: command.spdy.pings)
    assert size(terminal[1]) == (100, 31)


def test_bytes_and_the_end(worker, terminal):
    command = Command(worker, tty=True, stdin=True, stdout=True)
    command.supervisor.start()
    command.supervisor.opened_terminal(terminal[0])
    command.spdy.write(command.stdin, b"typed")
    assert os.read(terminal[1], 100) == b"typed"
    os.write(terminal[1], b"p" * 3000)
    command.supervisor.exited(0)
    assert command.finish()["status"] == "Success"
    assert command.stdout.data == b"p" * 3000


def test_input_that_nobody_takes_any_more(start, terminal):
    """The last who had the terminal open has gone: what was kept for it holds nothing up."""
    worker = start(small_buffers=True)
    command = Command(worker, tty=True, stdin=True, stdout=True)
    command.supervisor.start()
    command.supervisor.opened_terminal(terminal[0])
    frame = struct.pack(">II", command.stdin.id, 65536) + bytes(65536)
    sent = send_all_that_fits(worker.client, frame)
    os.close(terminal[1])
    terminal[1] = os.open(os.devnull, os.O_RDONLY)
    worker.client.sendall(frame[sent % len(frame):])
    command.spdy.ping(1)
    command.spdy.wait(lambda: command.spdy.pings)
    command.supervisor.exited(0)
    assert command.finish()["status"] == "Success"


def test_over_channels(worker, terminal):
    first = bytearray()
    WebSocket(None, first.extend).frame(BINARY, b"\4" + resize(77, 33))
    channels = worker.channels(EXEC, "v5.channel.k8s.io", behind=first, tty=True, stdin=True,
                               stdout=True)
    start = worker.supervisor.start()
    assert (start.width, start.height) == (77, 33)
    worker.supervisor.opened_terminal(terminal[0])
    wait_until(lambda: size(terminal[1]) == (77, 33))
    channels.write(4, resize(78, 34))
    wait_until(lambda: size(terminal[1]) == (78, 34))
