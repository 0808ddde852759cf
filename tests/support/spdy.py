# SPDX-License-Identifier: Apache-2.0
"""A client of SPDY/3.1 streams, over any socket: for tests.

It reads when it is asked to wait for something, so a test decides when the client is slow.
"""
import os
import re
import struct
import zlib

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
SYN_STREAM, SYN_REPLY, RST_STREAM, SETTINGS, PING, GOAWAY, HEADERS, WINDOW_UPDATE = (
    1, 2, 3, 4, 6, 7, 8, 9)
FIN = 1
ADLER = 0xE3C6A7C2  # of the dictionary, as zlib streams name it


def dictionary():
    with open(os.path.join(ROOT, "src", "wire", "spdy-dictionary.c"), encoding="ascii") as source:
        data = bytes(int(number, 16) for number in re.findall(r"0x([0-9a-f]{2}),", source.read()))
    assert zlib.adler32(data) == ADLER
    return data


class Closed(Exception):
    """The connection ended before what was waited for."""


class Stream:
    def __init__(self, number):
        self.id = number
        self.data = bytearray()
        self.replied = self.ended = False
        self.reset = None  # or the status
        self.given_up = False  # we have reset it: what was under way still comes, or nothing does


class Spdy:
    """recv: bytes from the other side, b"" at the end; send: takes bytes."""

    def __init__(self, recv, send, first=b""):
        self.recv, self.send = recv, send
        self.buffer = bytearray(first)
        self.deflate = zlib.compressobj(9, zlib.DEFLATED, 15, 8, zlib.Z_DEFAULT_STRATEGY,
                                        dictionary())
        self.inflate = zlib.decompressobj(15, zdict=dictionary())
        self.streams = {}
        self.pings = []
        self.goaway = None
        self.closed = False
        self.next_id = 1

    # --- out ---

    def control(self, kind, flags, payload):
        self.send(struct.pack(">HHI", 0x8003, kind, flags << 24 | len(payload)) + payload)

    def block(self, headers):
        plain = struct.pack(">I", len(headers))
        for name, value in headers.items():
            plain += struct.pack(">I", len(name)) + name.encode()
            plain += struct.pack(">I", len(value)) + value.encode()
        return self.deflate.compress(plain) + self.deflate.flush(zlib.Z_SYNC_FLUSH)

    def open(self, fin=False, number=None, **headers):
        """A new stream; its reply is not waited for."""
        stream = Stream(number or self.next_id)
        self.next_id = stream.id + 2
        self.streams[stream.id] = stream
        self.control(SYN_STREAM, FIN if fin else 0,
                     struct.pack(">IIH", stream.id, 0, 0) + self.block(headers))
        return stream

    def write(self, stream, data, fin=False):
        self.send(struct.pack(">II", stream.id, (FIN if fin else 0) << 24 | len(data)) + data)

    def end(self, stream):
        self.write(stream, b"", fin=True)

    def reset(self, stream, status=5):
        stream.given_up = True
        self.control(RST_STREAM, 0, struct.pack(">II", stream.id, status))

    def ping(self, number):
        self.control(PING, 0, struct.pack(">I", number))

    # --- in ---

    def wait(self, condition):
        """Reads until the condition holds; Closed if the connection ends before."""
        while not condition():
            self.frame()

    def wait_closed(self):
        while not self.closed:
            try:
                self.frame()
            except Closed:
                return

    def take(self, count):
        while len(self.buffer) < count:
            data = self.recv()
            if not data:
                self.closed = True
                raise Closed()
            self.buffer += data
        taken = bytes(self.buffer[:count])
        del self.buffer[:count]
        return taken

    def frame(self):
        first, second = struct.unpack(">II", self.take(8))
        flags, payload = second >> 24, self.take(second & 0xFFFFFF)
        if not first & 0x80000000:
            stream = self.streams[first]
            assert stream.replied, "data before SYN_REPLY"
            assert not stream.ended, "data after the end"
            stream.data += payload
            stream.ended |= bool(flags & FIN)
            return
        assert first >> 16 == 0x8003
        self.on_control(first & 0xFFFF, flags, payload)

    def on_control(self, kind, flags, payload):
        number = struct.unpack(">I", payload[:4])[0]
        if kind == SYN_REPLY:
            assert self.inflate.decompress(payload[4:]) == b"\0\0\0\0"
            self.streams[number].replied = True
        elif kind == RST_STREAM:
            self.streams[number].reset = struct.unpack(">I", payload[4:])[0]
            self.streams[number].ended = True
        elif kind == PING:
            self.pings.append(number)
        elif kind == GOAWAY:
            self.goaway = struct.unpack(">II", payload)
        else:
            raise AssertionError(f"a frame of type {kind}")
