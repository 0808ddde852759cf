#!/usr/bin/python3 -S
# SPDX-License-Identifier: Apache-2.0
"""A tare-stream of the tests: shows its token as the file "mode" beside it says, and tells its
client, in hexadecimal digits, what the daemon answered and how many descriptors came along."""

import os
import socket
import sys

client, control = socket.socket(fileno=3), socket.socket(fileno=4)
client.setblocking(True)
with open(os.path.join(os.path.dirname(sys.argv[0]), "mode"), encoding="ascii") as file:
    mode = file.read()


def field(number, text):
    assert len(text) < 1 << 14
    return bytes([number << 3 | 2, len(text) & 127 | 128, len(text) >> 7]) + text.encode()


def redeem():
    line = b""
    while not line.endswith(b"\n"):
        byte = client.recv(1)
        if not byte:
            sys.exit(0)
        line += byte
    _, verb, token = line.decode().split(" ")[1].split("/")
    return field(1, verb) + field(2, token)


def tell():
    answer, fds, _, _ = socket.recv_fds(control, 16384, 4)
    client.sendall(f"{answer.hex()} {len(fds)}\n".encode())
    return fds


if mode == "garbage":
    control.send(b"\xff" * 100)
elif mode == "huge":
    control.send(b"\x0a" * 20000)
elif mode == "twice":
    message = redeem()
    control.send(message)
    control.send(message)
elif mode == "descriptor":
    socket.send_fds(control, [redeem()], [0])
elif mode == "redeem":
    control.send(redeem())
    kept = tell()
client.recv(1)  # until its client has gone, or the daemon ends it
