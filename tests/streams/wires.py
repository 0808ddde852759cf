# SPDX-License-Identifier: Apache-2.0
"""Connections to a node's streams: sockets of its network namespace, and tokens."""

import json
import socket
from urllib.parse import urlparse

from support.isolation import within_network


def connect(node, url, timeout=20.0):
    """A connection to the host and port of a URL."""
    parts = urlparse(url)
    return within_network(
        node.holder.pid, lambda: socket.create_connection((parts.hostname, parts.port), timeout)
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
    options = {"stdout": True, "stderr": not more.get("tty", False), **more}
    answer = container.node.client.Exec(container_id=container.id, cmd=list(command), **options)
    return answer.url
