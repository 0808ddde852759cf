# SPDX-License-Identifier: Apache-2.0
"""Registries on the loopback of a node: Debian's docker-registry, and one that misbehaves.

serve_layout() answers with the documents of an OCI layout, as a script of tests/registry's
FaultServer; faults are put in front of it.
"""
import ctypes
import hashlib
import http.client
import json
import os
import sys
import threading

TESTS = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
REGISTRY = os.path.join(TESTS, "testbed", "registry.sh")
CLONE_NEWNET = 0x40000000
MANIFEST = "application/vnd.oci.image.manifest.v1+json"

sys.path.insert(0, os.path.join(TESTS, "registry"))
from fault_server import FaultServer  # noqa: E402

_libc = ctypes.CDLL(None, use_errno=True)


def in_network_of(node, work):
    """work()'s result, run by a thread in the node's network: sockets that it makes are there."""
    result = []

    def run():
        with open(f"/proc/{node.holder.pid}/ns/net", "rb") as namespace:
            if _libc.setns(namespace.fileno(), CLONE_NEWNET) != 0:
                raise OSError(ctypes.get_errno(), "setns")
        result.append(work())

    thread = threading.Thread(target=run)
    thread.start()
    thread.join()
    return result[0]


def use_mirror(node, url, alone=False):
    """All registries are asked for at url (a hosts.toml as containerd's); alone: only there."""
    folder = node.path("certs.d", "_default")
    os.makedirs(folder, exist_ok=True)
    mirror = f'[host."{url}"]\ncapabilities = ["pull", "resolve"]\n'
    text = f'server = "{url}"\n' if alone else mirror
    with open(os.path.join(folder, "hosts.toml"), "w", encoding="utf-8") as hosts:
        hosts.write(text)


def blob(layout, digest):
    with open(os.path.join(layout, "blobs", "sha256", digest.partition(":")[2]), "rb") as data:
        return data.read()


def manifest_of(layout):
    """The digest of a layout's only manifest, and the manifest."""
    with open(os.path.join(layout, "index.json"), encoding="utf-8") as index:
        digest = json.load(index)["manifests"][0]["digest"]
    return digest, json.loads(blob(layout, digest))


def serve_layout(layout):
    """A script for FaultServer: any repository has the layout's image under any tag."""
    digest, _ = manifest_of(layout)

    def script(request):
        kind, reference = request.url_path.split("/")[-2:]
        if request.url_path == "/v2/":
            return request.json({})
        if kind == "manifests":
            wanted = reference if reference.startswith("sha256:") else digest
            return request.ok(blob(layout, wanted), MANIFEST)
        return request.part(blob(layout, reference))

    return script


def start_server(node, script):
    """A FaultServer on the node's loopback, which the node asks for all images."""
    server = in_network_of(node, lambda: FaultServer(script))
    use_mirror(node, server.url, alone=True)
    return server


class DockerRegistry:
    """Debian's docker-registry in a node's network."""

    def __init__(self, node):
        self.node = node
        before = set(node.processes())
        os.environ["PORT"] = "5000"  # the network is the node's own
        done = node.inside(REGISTRY, "start", node.path("registry"))
        assert done.returncode == 0, done.stderr
        self.folder = done.stdout.strip()
        node.helpers |= set(node.processes()) - before
        use_mirror(node, "http://127.0.0.1:5000")

    def _ask(self, verb, path, body=b"", kind="application/octet-stream"):
        def ask():
            connection = http.client.HTTPConnection("127.0.0.1", 5000, timeout=30)
            connection.request(verb, path, body, {"Content-Type": kind})
            answer = connection.getresponse()
            said = answer.read()
            connection.close()
            assert answer.status < 300, f"{verb} {path}: {answer.status} {said}"
            return answer.getheader("Location")

        return in_network_of(self.node, ask)

    def push(self, layout, repository, tag):
        """Returns the manifest's digest."""
        digest, manifest = manifest_of(layout)
        for part in [manifest["config"], *manifest["layers"]]:
            place = self._ask("POST", f"/v2/{repository}/blobs/uploads/")
            path = place[place.index("/v2/"):]
            self._ask("PUT", f"{path}&digest={part['digest']}", blob(layout, part["digest"]))
        self._ask("PUT", f"/v2/{repository}/manifests/{tag}", blob(layout, digest), MANIFEST)
        return digest

    def stop(self):
        self.node.inside(REGISTRY, "stop", self.folder)
        self.node.helpers.clear()


def digest_of(data):
    return "sha256:" + hashlib.sha256(data).hexdigest()
