# SPDX-License-Identifier: Apache-2.0
"""Connections to a node's streams: sockets of its network namespace, and tokens."""

import ctypes
import json
import os
import socket
import threading
from urllib.parse import urlparse

CLONE_NEWNET = 0x40000000
_libc = ctypes.CDLL(None, use_errno=True)


def within_network(node, make):
    """What make() returns in a thread that is in the node's network namespace."""
    result = []

    def run():
        fd = os.open(f"/proc/{node.holder.pid}/ns/net", os.O_RDONLY)
        try:
            if _libc.setns(fd, CLONE_NEWNET) != 0:
                raise OSError(ctypes.get_errno(), "setns")
            result.append(make())
        except Exception as error:  # pylint: disable=broad-except
            result.append(error)
        finally:
            os.close(fd)

    thread = threading.Thread(target=run)
    thread.start()
    thread.join()
    if isinstance(result[0], Exception):
        raise result[0]
    return result[0]


def connect(node, url, timeout=20.0):
    """A connection to the host and port of a URL."""
    parts = urlparse(url)
    return within_network(
        node, lambda: socket.create_connection((parts.hostname, parts.port), timeout)
    )


def read_all(sock):
    data = b""
    try:
        while chunk := sock.recv(65536):
            data += chunk
    except ConnectionResetError:
        pass
    return data


def counts(node):
    """sessions, connections and tokens, as crictl info shows them."""
    return json.loads(node.client.Status(verbose=True).info["streams"])


def exec_url(container, command=("true",), **more):
    options = {"stdout": True, **more}
    answer = container.node.client.Exec(container_id=container.id, cmd=list(command), **options)
    return answer.url
