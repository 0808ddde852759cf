# SPDX-License-Identifier: Apache-2.0
"""A registry that misbehaves on command.

FaultServer(script) listens on a free port of 127.0.0.1; script(request) answers each request, with
request.ok(), request.fail(), request.cut() or bytes of its own. What came is in server.requests;
connections are counted."""
import copy
import hashlib
import http.server
import json
import random
import socket
import ssl
import threading
import time
import urllib.parse

MANIFEST = "application/vnd.oci.image.manifest.v1+json"
CONFIG = "application/vnd.oci.image.config.v1+json"
LAYER = "application/vnd.oci.image.layer.v1.tar+gzip"


def digest(data):
    return "sha256:" + hashlib.sha256(data).hexdigest()


class Request(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    def log_message(self, *args):
        pass

    def setup(self):
        super().setup()
        self.server.connections += 1

    def handle(self):
        try:
            if isinstance(self.connection, ssl.SSLSocket):
                self.connection.do_handshake()
            super().handle()
        except ssl.SSLError:
            time.sleep(0.3)       # a reset at once would overtake the alert
        except (ConnectionError, BrokenPipeError, TimeoutError):
            self.close_connection = True

    def answer(self):
        parts = urllib.parse.urlsplit(self.path)
        self.url_path, self.query = parts.path, urllib.parse.parse_qs(parts.query)
        self.name = parts.path.split("/")[-1]
        self.body = self.rfile.read(int(self.headers.get("Content-Length", 0))).decode()
        self.form = urllib.parse.parse_qs(self.body)
        self.server.requests.append(copy.copy(self))   # one object serves a whole connection
        self.server.script(self)

    do_GET = do_POST = do_HEAD = answer

    def header(self, name):
        return self.headers.get(name)

    def range_start(self):
        value = self.headers.get("Range")
        return int(value[len("bytes="):-1]) if value else 0

    def begin(self, status, length, headers=None, kind="application/octet-stream"):
        self.send_response(status)
        self.send_header("Content-Type", kind)
        if length is not None:
            self.send_header("Content-Length", str(length))
        for name, value in headers or []:
            self.send_header(name, value)
        self.end_headers()

    def ok(self, data, kind="application/octet-stream", headers=None, status=200):
        self.begin(status, len(data), headers, kind)
        self.wfile.write(data)

    def json(self, value, status=200, headers=None):
        self.ok(json.dumps(value).encode(), "application/json", headers, status)

    def fail(self, status, headers=None, body=b""):
        self.ok(body, headers=headers, status=status)

    def part(self, data):
        """As a registry that knows ranges."""
        start = self.range_start()
        if not start:
            return self.ok(data)
        if start >= len(data):
            return self.fail(416)
        self.ok(data[start:], status=206,
                headers=[("Content-Range", f"bytes {start}-{len(data) - 1}/{len(data)}")])

    def cut(self, data, n, status=200, headers=None):
        """Promises all of data, sends n bytes and hangs up."""
        self.begin(status, len(data), headers)
        self.wfile.write(data[:n])
        self.hang_up()

    def hang_up(self):
        self.wfile.flush()
        self.close_connection = True
        try:
            self.connection.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass


class FaultServer(http.server.ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False

    def __init__(self, script, context=None):
        super().__init__(("127.0.0.1", 0), Request)
        self.script, self.requests, self.connections = script, [], 0
        self.scheme = "https" if context else "http"
        if context:
            self.socket = context.wrap_socket(self.socket, server_side=True,
                                              do_handshake_on_connect=False)
        self.thread = threading.Thread(target=self.serve_forever, args=(0.02,), daemon=True)
        self.thread.start()

    @property
    def port(self):
        return self.server_address[1]

    @property
    def host(self):
        return f"127.0.0.1:{self.port}"

    @property
    def url(self):
        return f"{self.scheme}://{self.host}"

    def paths(self):
        return [request.url_path for request in self.requests]

    def handle_error(self, request, client_address):
        pass                      # broken connections are what this is for

    def close(self):
        self.shutdown()
        self.server_close()


class Image:
    """One manifest with a configuration and a layer, as documents to serve."""

    def __init__(self, layer_size=300_000):
        self.config = json.dumps({"architecture": "amd64", "os": "linux",
                                  "rootfs": {"type": "layers", "diff_ids": []}}).encode()
        self.layer = random.Random(layer_size).randbytes(layer_size)
        self.manifest = json.dumps({
            "schemaVersion": 2, "mediaType": MANIFEST,
            "config": self.descriptor(CONFIG, self.config),
            "layers": [self.descriptor(LAYER, self.layer)],
        }).encode()
        self.documents = {digest(data): data for data in (self.config, self.layer, self.manifest)}
        self.blob = f"blob={digest(self.layer)}:{len(self.layer)}"

    @staticmethod
    def descriptor(kind, data):
        return {"mediaType": kind, "digest": digest(data), "size": len(data)}

    def serve(self, request):
        kind, reference = request.url_path.split("/")[-2:]
        data = self.manifest if reference == "1" else self.documents.get(reference)
        if data is None:
            request.json({"errors": [{"code": "NAME_UNKNOWN", "message": "no such thing"}]}, 404)
        elif kind == "manifests":
            request.ok(data, MANIFEST)
        else:
            request.part(data)

    def is_layer(self, request):
        return request.url_path.endswith(digest(self.layer))
