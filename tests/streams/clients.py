# SPDX-License-Identifier: Apache-2.0
"""Other people's clients, in a node's network: crictl, client-go, Python's kubernetes."""

import os
import subprocess

TRANSPORTS = ("spdy", "websocket")


def start(node, *command, **options):
    """A program in the node's network that the test ends."""
    options.setdefault("stdin", subprocess.PIPE)
    process = subprocess.Popen(node.inside_command(*command), stdout=subprocess.PIPE,
                               stderr=subprocess.PIPE, **options)
    node.helpers.add(process.pid)
    return process


def start_go(node, *args, **options):
    """tests/streams/client, which is made of client-go."""
    return start(node, os.environ["TARE_STREAM_CLIENT"], *args, **options)


def start_crictl(node, *args, **options):
    return start(node, node.crictl_path, "--config", node.path("crictl.yaml"), *args, **options)


def ended(process, data=b"", seconds=60):
    """(status, stdout, stderr) of a program that is given data and then the end of its input."""
    out, err = process.communicate(data, timeout=seconds)
    return process.returncode, out, err


def go(node, *args, data=b""):
    return ended(start_go(node, *args), data)
