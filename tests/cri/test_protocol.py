# SPDX-License-Identifier: Apache-2.0
"""The protocol itself: every RPC is there, and in the documents."""

import os
import re

from support.cri import PROTO, Code, CriError

CRI = os.path.join(os.path.dirname(PROTO), "docs", "cri.md")


def methods(services):
    return {method.name: method for name in ("RuntimeService", "ImageService")
            for method in services[name].methods}


def test_every_rpc_is_served(node, services):
    """An empty request is answered, or refused for what it lacks."""
    with open(os.path.join(PROTO, "runtime/v1/api.proto"), encoding="utf-8") as file:
        streamed = set(re.findall(r"rpc (\w+)\(\w+\) returns \(stream ", file.read()))
    found = {}
    for name in methods(services):
        try:
            if name == "GetContainerEvents":
                stream = node.client.stream(name)
                stream.cancel()
                assert stream.code() == Code.CANCELLED
            elif name in streamed:
                list(node.client.stream(name))
            else:
                getattr(node.client, name)()
            found[name] = Code.OK
        except CriError as error:
            found[name] = error.code()
    assert len(found) == 41 and len(streamed) == 7
    assert set(found.values()) == {Code.OK, Code.INVALID_ARGUMENT}, found


def test_every_rpc_has_a_section(services):
    """A paragraph of docs/cri.md that begins with its name, or with several."""
    with open(CRI, encoding="utf-8") as file:
        heads = re.findall(r"^((?:\*\*\w+\*\*(?:,\s)?)+):", file.read(), re.M)
    described = re.findall(r"\w+", " ".join(heads))
    assert sorted(described) == sorted(methods(services))


def test_the_pod_cidr_is_not_ours(node):
    """UpdateRuntimeConfig is answered, and the network stays what its files say."""
    folder = node.path("cni")
    before = {name: os.stat(os.path.join(folder, name)).st_mtime_ns for name in os.listdir(folder)}
    for cidr in ("10.1.0.0/16,fd00::/64", ""):
        node.crictl("update-runtime-config", "--pod-cidr", cidr)
    assert node.run_pod().status().status.network.ip.startswith("10.88.")
    assert before == {name: os.stat(os.path.join(folder, name)).st_mtime_ns
                      for name in os.listdir(folder)}
