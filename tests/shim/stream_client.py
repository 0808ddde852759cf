# SPDX-License-Identifier: Apache-2.0
"""A session's worker (docs/protocol/stream.md) as a test plays it: the other end of a channel."""
import array
import fcntl
import os
import select
import socket
import struct
import termios
import time

from shim_client import load_protocol, pb

F_SETPIPE_SZ = 1031

stream_pb = load_protocol("stream")


class ChannelClosed(Exception):
    """The supervisor closed the channel."""


class Failed(Exception):
    """The session's last event was `failed`."""

    def __init__(self, error):
        super().__init__(f"{error.kind}: {error.message}")
        self.kind = error.kind


class Session:
    """One channel, and the descriptors that came: stdin, stdout, stderr, terminal, or None."""

    def __init__(self, client, session_id="s1", **what):
        self.sock, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self.fds = []
        self.stdin = self.stdout = self.stderr = self.terminal = None
        try:
            client.call("open_stream", pb.OpenStreamRequest(session_id=session_id, **what),
                        [theirs.fileno()])
        except BaseException:
            self.sock.close()
            raise
        finally:
            theirs.close()

    def send(self, **command):
        self.sock.send(stream_pb.Command(**command).SerializeToString())

    def event(self, timeout=20):
        """(name, message, descriptors) of the next one."""
        ready, _, _ = select.select([self.sock], [], [], timeout)
        if not ready:
            raise TimeoutError("no event")
        try:
            data, control, _, _ = self.sock.recvmsg(1 << 14, socket.CMSG_SPACE(16 * 4))
        except ConnectionResetError:
            data = b""
        if not data:
            raise ChannelClosed()
        fds = array.array("i")
        for _, _, value in control:
            fds.frombytes(value[:len(value) - len(value) % 4])
        event = stream_pb.Event()
        event.ParseFromString(data)
        name = event.WhichOneof("event")
        if name == "failed":
            raise Failed(event.failed)
        return name, getattr(event, name), list(fds)

    def expect(self, wanted, timeout=20):
        name, message, fds = self.event(timeout)
        assert name == wanted, (name, message)
        return message, fds

    def start(self, width=0, height=0):
        self.send(start=stream_pb.Start(width=width, height=height))
        return self.opened()

    def opened(self):
        opened, fds = self.expect("opened")
        self.fds = list(fds)
        for name in ("stdin", "stdout", "stderr", "terminal"):
            setattr(self, name, fds.pop(0) if getattr(opened, name) else None)
        assert fds == []
        for fd in self.fds:
            assert not os.get_blocking(fd)
        return self

    def read_now(self, name="stdout"):
        """What is there, until EAGAIN or the end; the flag says whether it was the end."""
        data = b""
        fd = getattr(self, name)
        while True:
            try:
                piece = os.read(fd, 1 << 16)
            except BlockingIOError:
                return data, False
            except OSError:  # a terminal that nobody has open
                return data, True
            if not piece:
                return data, True
            data += piece

    def read_until(self, part, name="stdout", timeout=20):
        data = b""
        end = time.monotonic() + timeout
        while part not in data:
            select.select([getattr(self, name)], [], [], max(0, end - time.monotonic()))
            piece, over = self.read_now(name)
            data += piece
            assert not over or part in data, data[-300:]
            if time.monotonic() > end:
                raise TimeoutError(f"{part} is not in {data[-300:]}")
        return data

    def read_all(self, name="stdout", timeout=20):
        """To its end."""
        data = bytearray()
        end = time.monotonic() + timeout
        while True:
            select.select([getattr(self, name)], [], [], max(0, end - time.monotonic()))
            piece, over = self.read_now(name)
            data += piece
            if over:
                return bytes(data)
            if time.monotonic() > end:
                raise TimeoutError(f"no end of output after {len(data)} bytes")

    def write(self, data, timeout=20):
        end = time.monotonic() + timeout
        while data:
            select.select([], [self.stdin], [], max(0, end - time.monotonic()))
            try:
                data = data[os.write(self.stdin, data):]
            except BlockingIOError:
                pass
            if data and time.monotonic() > end:
                raise TimeoutError("nobody reads")

    def narrow(self):
        """The pipe of output holds a page only: the rest is kept for us elsewhere."""
        fcntl.fcntl(self.stdout, F_SETPIPE_SZ, 4096)
        return self

    def end_stdin(self):
        os.close(self.stdin)
        self.fds.remove(self.stdin)
        self.stdin = None

    def resize(self, width, height):
        fcntl.ioctl(self.terminal, termios.TIOCSWINSZ, struct.pack("HHHH", height, width, 0, 0))

    def exit_code(self, timeout=20):
        """Of the last event, after which the channel is closed."""
        code = self.expect("exited", timeout)[0].exit_code
        self.closed()
        return code

    def closed(self, timeout=20):
        try:
            while True:
                self.event(timeout)
        except ChannelClosed:
            pass

    def close(self):
        self.sock.close()
        for fd in self.fds:
            os.close(fd)
        self.fds = []
