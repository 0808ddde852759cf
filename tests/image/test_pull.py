# SPDX-License-Identifier: Apache-2.0
"""pull, from a small registry of the test's own. (The client's finer points: tests/registry.)"""

import base64
import http.server
import os
import threading
import time

import pytest

import layout
import trees
from testbed.images import Layer


class Registry(http.server.ThreadingHTTPServer):
    """Serves the blobs of a layout as repository a/b, tag 1; with a password when one is set."""

    def __init__(self, one, top):
        super().__init__(("127.0.0.1", 0), Handler)
        self.one, self.top, self.password, self.asked = one, top, None, []
        self.pace, self.now, self.most = None, 0, 0  # bytes a second; answers under way
        self.lock = threading.Lock()
        self.name = f"127.0.0.1:{self.server_port}/a/b"


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self):  # noqa: N802  pylint: disable=invalid-name
        registry = self.server
        registry.asked.append(self.path)
        if registry.password and self.headers.get("Authorization") != registry.password:
            return self.answer(401, b"{}", {"WWW-Authenticate": 'Basic realm="x"'})
        name = self.path.partition("?")[0].rsplit("/", 1)[-1]
        digest = registry.top["digest"] if name == "1" else name
        data = registry.one.blobs.get(digest)
        if data is None:
            return self.answer(404, b'{"errors":[{"code":"MANIFEST_UNKNOWN"}]}', {})
        return self.answer(
            200, data, {"Content-Type": registry.top["mediaType"], "Docker-Content-Digest": digest}
        )

    def answer(self, status, data, headers):
        self.send_response(status)
        for name, value in {**headers, "Content-Length": len(data)}.items():
            self.send_header(name, str(value))
        self.end_headers()
        if self.server.pace:
            self.write_slowly(data)
        else:
            self.wfile.write(data)

    def write_slowly(self, data):
        registry = self.server
        with registry.lock:
            registry.now += 1
            registry.most = max(registry.most, registry.now)
        for at in range(0, len(data), 20000):
            self.wfile.write(data[at : at + 20000])
            time.sleep(20000 / registry.pace)
        with registry.lock:
            registry.now -= 1

    def log_message(self, format, *args):  # pylint: disable=redefined-builtin
        pass


@pytest.fixture
def registry(worker):
    one = layout.Layout()
    layers = [
        Layer().add("lower", data=os.urandom(3 << 20), uid=7),
        Layer().whiteout("lower").add("upper"),
    ]
    manifest = {**one.image(layers), "platform": {"architecture": layout.ARCH, "os": "linux"}}
    server = Registry(one, one.index([manifest]))
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield server
    server.shutdown()
    server.server_close()
    thread.join()


def test_by_tag_and_by_digest(worker, registry):
    result = worker.transfer("pull", {"reference": registry.name + ":1"})
    assert result.image["reference"] == registry.name + ":1"
    assert result.image["target_digest"] == registry.top["digest"]
    assert trees.merged(result.roots).keys() == {"", "upper"}
    again = worker.transfer("pull", {"reference": f"{registry.name}@{registry.top['digest']}"})
    assert again.image["chain_ids"] == result.image["chain_ids"]


def test_layers_that_are_there_are_not_asked_for(worker, registry):
    first = worker.transfer("pull", {"reference": registry.name + ":1"})
    registry.asked.clear()
    worker.transfer(
        "pull",
        {
            "reference": registry.name + ":1",
            "layers_dir": first.ingest + "/layers",
            "have": first.image["chain_ids"],
        },
    )
    assert not [path for path in registry.asked if registry.one.layers[0]["digest"] in path]


def test_what_is_not_there(worker, registry):
    result = worker.run("pull", {"ingest": worker.new_ingest(), "reference": registry.name + ":2"})
    assert (
        result.status == 1
        and result.error["kind"] == "NOT_FOUND"
        and registry.name in result.error["message"]
    )


def test_password(worker, registry):
    registry.password = "Basic " + base64.b64encode(b"me:secret").decode()
    request = {"reference": registry.name + ":1"}
    worker.transfer("pull", {**request, "auth": {"username": "me", "password": "secret"}})
    result = worker.run(
        "pull",
        {
            **request,
            "ingest": worker.new_ingest(),
            "auth": {"username": "me", "password": "wrong-one"},
        },
    )
    assert result.status == 1 and result.error["kind"] in ("UNAUTHENTICATED", "DENIED")
    assert "wrong-one" not in str(result.events) + result.log


def test_mirror_of_hosts_dir(worker, registry):
    os.makedirs(worker.path("hosts/registry.example"))
    with open(worker.path("hosts/registry.example/hosts.toml"), "w", encoding="ascii") as file:
        file.write(
            f'[host."http://127.0.0.1:{registry.server_port}"]\n'
            '  capabilities = ["pull", "resolve"]\n'
        )
    os.chmod(worker.path("hosts"), 0o700)  # read before the fetcher gives up its rights
    result = worker.transfer(
        "pull", {"reference": "registry.example/a/b:1", "hosts_dir": worker.path("hosts")}
    )
    assert result.image["reference"] == "registry.example/a/b:1"


def test_changed_bytes(worker, registry):
    digest = registry.one.layers[0]["digest"]
    data = registry.one.blobs[digest]
    registry.one.blobs[digest] = data[:1000] + b"X" + data[1001:]
    request = {"ingest": worker.new_ingest(), "reference": registry.name + ":1"}
    result = worker.run("pull", request)
    assert (
        result.status == 1
        and result.error["kind"] == "CORRUPT"
        and digest in result.error["message"]
    )
    assert os.listdir(request["ingest"] + "/layers") == []


def test_deadline(worker, registry):
    result = worker.run(
        "pull", {"ingest": worker.new_ingest(), "reference": "192.0.2.1/a:1", "timeout_ms": 300}
    )
    assert result.status == 1 and result.error["kind"] in ("TIMEOUT", "UNAVAILABLE")


@pytest.fixture
def slow(worker):
    """Eight layers, from a server that sends each at 2 MB a second; it counts how many at once."""
    one = layout.Layout()
    layers = [Layer().add(f"f{n}", data=os.urandom(600000)).add("same") for n in range(8)]
    manifest = one.image(layers)
    server = Registry(one, manifest)
    server.pace = 2e6
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield server
    server.shutdown()
    server.server_close()
    thread.join()


def test_slow_layers_come_side_by_side(worker, slow):
    result = worker.transfer("pull", {"reference": slow.name + ":1"})
    assert trees.merged(result.roots).keys() == {"", "same"} | {f"f{n}" for n in range(8)}
    assert slow.most > 1
    assert sorted(os.listdir(result.ingest)) == ["blobs", "layers"]
    for each in slow.one.layers:
        assert len([path for path in slow.asked if each["digest"] in path]) == 1


def test_failure_of_a_layer_that_came_early(worker, slow):
    digest = slow.one.layers[6]["digest"]
    slow.one.blobs[digest] = slow.one.blobs[digest][:-1] + b"X"
    request = {"ingest": worker.new_ingest(), "reference": slow.name + ":1"}
    result = worker.run("pull", request)
    assert result.status == 1 and result.error["kind"] == "CORRUPT"
    assert digest in result.error["message"] and len(result.layers) == 6
