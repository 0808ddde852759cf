# SPDX-License-Identifier: Apache-2.0
"""A gRPC client of tared in Python: runtime.v1 and tare.v1 by the project's own .proto files.

The messages are compiled by protoc into a folder of the session; calls go through Debian's grpcio.
"""

import os
import subprocess
import sys

import grpc
from google.protobuf import json_format, message_factory

PROTO = os.path.join(
    os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__)))), "proto"
)
FILES = ("runtime/v1/api.proto", "tare/v1/tare.proto")
CHANNEL = [
    ("grpc.max_receive_message_length", 64 << 20),
    ("grpc.max_send_message_length", 64 << 20),
    ("grpc.use_local_subchannel_pool", 1),
    ("grpc.enable_http_proxy", 0),
]

CriError = grpc.RpcError
Code = grpc.StatusCode


def compile_protocols(folder):
    """Makes the Python messages in folder; returns their services as {name: descriptor}."""
    subprocess.run(["protoc", f"-I{PROTO}", f"--python_out={folder}", *FILES], check=True)
    sys.path.insert(0, folder)
    from runtime.v1 import api_pb2
    from tare.v1 import tare_pb2

    services = {}
    for module in (api_pb2, tare_pb2):
        services.update(module.DESCRIPTOR.services_by_name)
    return services


def fill(kind, fields):
    """A message of a class from keyword arguments: messages as they are, dictionaries parsed."""
    message = kind()
    for name, value in fields.items():
        if isinstance(value, (dict, list)):
            json_format.ParseDict({name: value}, message)
        elif hasattr(value, "DESCRIPTOR"):
            getattr(message, name).CopyFrom(value)
        else:
            setattr(message, name, value)
    return message


class Client:
    """client.RunPodSandbox(config={...}) makes the call; deadline is the client's, in seconds."""

    def __init__(self, socket, services):
        self.channel = grpc.insecure_channel(f"unix://{socket}", options=CHANNEL)
        self.methods = {}
        for service in services.values():
            for method in service.methods:
                self.methods[method.name] = (f"/{service.full_name}/{method.name}", method)

    def close(self):
        self.channel.close()

    def _prepare(self, name):
        path, method = self.methods[name]
        answer = message_factory.MessageFactory().GetPrototype(method.output_type)
        request = message_factory.MessageFactory().GetPrototype(method.input_type)
        call = self.channel.unary_unary(
            path,
            request_serializer=lambda m: m.SerializeToString(),
            response_deserializer=answer.FromString,
        )
        return call, request

    def start(self, name, deadline=30, **fields):
        """The call as a future."""
        call, request = self._prepare(name)
        return call.future(fill(request, fields), timeout=deadline)

    def stream(self, name, deadline=90, **fields):
        """A server-streaming call: an iterator of messages with cancel()."""
        path, method = self.methods[name]
        answer = message_factory.MessageFactory().GetPrototype(method.output_type)
        request = message_factory.MessageFactory().GetPrototype(method.input_type)
        call = self.channel.unary_stream(
            path,
            request_serializer=lambda m: m.SerializeToString(),
            response_deserializer=answer.FromString,
        )
        return call(fill(request, fields), timeout=deadline)

    def __getattr__(self, name):
        if name.startswith("_") or name not in self.methods:
            raise AttributeError(name)

        def call(deadline=30, **fields):
            made, request = self._prepare(name)
            return made(fill(request, fields), timeout=deadline)

        return call

    def raw(self, path, payload, deadline=10):
        """A call with bytes of our own."""
        return self.channel.unary_unary(
            path, request_serializer=bytes, response_deserializer=bytes
        )(payload, timeout=deadline)
