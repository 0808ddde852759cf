# SPDX-License-Identifier: Apache-2.0
"""A plugin of NRI from its bytes up, for what no library would send."""

import socket
import struct
import subprocess
import sys

from support.cri import PROTO

FILES = ("nri/v1alpha1/nri.proto", "ttrpc/v1/ttrpc.proto")
TO_PLUGIN, TO_RUNTIME = 1, 2  # connections of one socket
REQUEST, RESPONSE = 1, 2
RUNTIME = "nri.pkg.api.v1alpha1.Runtime"
UNIMPLEMENTED = 12


def compile_messages(folder):
    """(messages of NRI, of ttrpc)"""
    subprocess.run(["protoc", f"-I{PROTO}", f"--python_out={folder}", *FILES], check=True)
    sys.path.insert(0, folder)
    from nri.v1alpha1 import nri_pb2
    from ttrpc.v1 import ttrpc_pb2

    return nri_pb2, ttrpc_pb2


class Refused(Exception):
    """What the runtime has answered."""


class RawPlugin:
    def __init__(self, messages, path, patience):
        self.nri, self.ttrpc = messages
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(patience)
        self.sock.connect(path)
        self.bytes = {TO_PLUGIN: b"", TO_RUNTIME: b""}
        self.stream = 1

    def __enter__(self):
        return self

    def __exit__(self, *error):
        self.sock.close()

    # --- frames ---

    def send(self, connection, stream, kind, payload):
        frame = struct.pack(">IIBB", len(payload), stream, kind, 0) + payload
        self.sock.sendall(struct.pack(">II", connection, len(frame)) + frame)

    def exactly(self, count):
        data = b""
        while len(data) < count:
            more = self.sock.recv(count - len(data))
            if not more:
                raise EOFError
            data += more
        return data

    def next(self, connection):
        """(stream, type, payload) of the next frame there."""
        while True:
            have = self.bytes[connection]
            if len(have) >= 10:
                length, stream, kind, _ = struct.unpack(">IIBB", have[:10])
                if len(have) >= 10 + length:
                    self.bytes[connection] = have[10 + length:]
                    return stream, kind, have[10:10 + length]
            where, length = struct.unpack(">II", self.exactly(8))
            self.bytes[where] += self.exactly(length)

    def closed(self):
        """Reads on until the runtime hangs up."""
        try:
            while self.sock.recv(65536):
                pass
        except ConnectionResetError:
            pass
        return True

    # --- calls ---

    def ask(self, method, message, service=RUNTIME):
        """Without waiting; the stream of the answer."""
        request = self.ttrpc.Request(service=service, method=method,
                                     payload=message.SerializeToString())
        stream, self.stream = self.stream, self.stream + 2
        self.send(TO_RUNTIME, stream, REQUEST, request.SerializeToString())
        return stream

    def call(self, method, message, answer, service=RUNTIME):
        self.ask(method, message, service)
        response = self.ttrpc.Response.FromString(self.next(TO_RUNTIME)[2])
        if response.status.code:
            raise Refused(response.status.message)
        return answer.FromString(response.payload)

    def asked(self):
        """(stream, method, payload) of what the runtime calls."""
        stream, _, payload = self.next(TO_PLUGIN)
        request = self.ttrpc.Request.FromString(payload)
        return stream, request.method, request.payload

    def answer(self, stream, message=None, code=0, text=""):
        response = self.ttrpc.Response(status={"code": code, "message": text})
        if message is not None:
            response.payload = message.SerializeToString()
        self.send(TO_PLUGIN, stream, RESPONSE, response.SerializeToString())

    def expect(self, method):
        stream, name, payload = self.asked()
        assert name == method, name
        return stream, payload

    def register(self, index="10", name="raw"):
        return self.call("RegisterPlugin", self.nri.RegisterPluginRequest(
            plugin_idx=index, plugin_name=name), self.nri.Empty)

    def join(self, events, **names):
        """Up to where it is ready; events: numbers of the enumeration."""
        self.register(**names)
        mask = sum(1 << (event - 1) for event in events)
        self.answer(self.expect("Configure")[0], self.nri.ConfigureResponse(events=mask))
        self.answer(self.expect("Synchronize")[0], self.nri.SynchronizeResponse())
        return self
