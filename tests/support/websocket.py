# SPDX-License-Identifier: Apache-2.0
"""A WebSocket client, and the channels of Kubernetes over it: for tests.

It reads when it is asked to wait for something, so a test decides when the client is slow.
"""
import base64
import hashlib
import os
import struct

TEXT, BINARY, CLOSE, PING, PONG = 1, 2, 8, 9, 10
GUID = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"


def handshake(path, protocols, host="localhost", key=None):
    """(the request's head, the accept key of a right answer)"""
    key = key or base64.b64encode(os.urandom(16)).decode()
    lines = [f"GET {path} HTTP/1.1", f"Host: {host}", "Upgrade: websocket", "Connection: Upgrade",
             "Sec-WebSocket-Version: 13", f"Sec-WebSocket-Key: {key}"]
    if protocols:
        lines.append("Sec-WebSocket-Protocol: " + ", ".join(protocols))
    accept = base64.b64encode(hashlib.sha1((key + GUID).encode()).digest()).decode()
    return ("\r\n".join(lines) + "\r\n\r\n").encode(), accept


class Closed(Exception):
    """The connection ended before what was waited for."""


class WebSocket:
    """recv: bytes from the other side, b"" at the end; send: takes bytes."""

    def __init__(self, recv, send, first=b""):
        self.recv, self.send = recv, send
        self.buffer = bytearray(first)
        self.pongs = []
        self.close = None  # (code, reason) of the other side

    def frame(self, opcode, payload, fin=True, masked=True):
        head = bytearray([(0x80 if fin else 0) | opcode])
        size = len(payload)
        mask = 0x80 if masked else 0
        if size < 126:
            head.append(mask | size)
        elif size < 1 << 16:
            head += bytes([mask | 126]) + struct.pack(">H", size)
        else:
            head += bytes([mask | 127]) + struct.pack(">Q", size)
        if masked:
            key = os.urandom(4)
            head += key
            pad = (key * (size // 4 + 1))[:size]
            payload = (int.from_bytes(payload, "big") ^ int.from_bytes(pad, "big")).to_bytes(
                size, "big")
        self.send(bytes(head) + payload)

    def take(self, count):
        while len(self.buffer) < count:
            data = self.recv()
            if not data:
                raise Closed()
            self.buffer += data
        taken = bytes(self.buffer[:count])
        del self.buffer[:count]
        return taken

    def message(self):
        """(opcode, payload) of the next whole message; pongs and the close frame are kept."""
        while True:
            first, second = self.take(2)
            assert first & 0xF0 == 0x80 and not second & 0x80
            size = second
            if size == 126:
                size = struct.unpack(">H", self.take(2))[0]
            elif size == 127:
                size = struct.unpack(">Q", self.take(8))[0]
            payload = self.take(size)
            if first & 15 == PONG:
                self.pongs.append(payload)
            elif first & 15 == CLOSE:
                code = struct.unpack(">H", payload[:2])[0] if payload else None
                self.close = (code, payload[2:].decode())
            else:
                return first & 15, payload


class Channels:
    """Numbered channels: [n] is what came on channel n."""

    def __init__(self, socket, text=False):
        self.socket, self.text = socket, text
        self.data = {}
        self.count = 0

    def __getitem__(self, number):
        return bytes(self.data.get(number, b""))

    def write(self, number, data):
        if self.text:
            self.socket.frame(TEXT, bytes([48 + number]) + base64.b64encode(data))
        else:
            self.socket.frame(BINARY, bytes([number]) + data)

    def end(self, number):
        """v5 only"""
        self.socket.frame(BINARY, bytes([255, number]))

    def read(self):
        opcode, payload = self.socket.message()
        assert opcode == (TEXT if self.text else BINARY)
        number, data = payload[0], payload[1:]
        if self.text:
            number, data = number - 48, base64.b64decode(data, validate=True)
        self.data[number] = self.data.get(number, b"") + data
        self.count += 1

    def wait(self, condition):
        while not condition():
            self.read()

    def wait_closed(self):
        try:
            while True:
                self.read()
        except Closed:
            pass
