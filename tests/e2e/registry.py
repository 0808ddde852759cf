# SPDX-License-Identifier: Apache-2.0
"""registry.py LAYOUT PORT FILE - serves an OCI layout as a registry on 127.0.0.1, read-only.

FILE is made when it serves. Any repository name and tag gives the layout's one manifest."""
import hashlib
import http.server
import json
import os
import sys

MANIFEST = "application/vnd.oci.image.manifest.v1+json"


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    layout = ""

    def blob(self, digest):
        with open(os.path.join(self.layout, "blobs/sha256", digest.split(":")[1]), "rb") as file:
            return file.read()

    def find(self):
        """(body, media type) of what is asked for, or None."""
        parts = self.path.split("?")[0].split("/")
        if parts[-2] == "manifests" and not parts[-1].startswith("sha256:"):
            with open(os.path.join(self.layout, "index.json"), encoding="utf-8") as file:
                manifest = json.load(file)["manifests"][0]
            return self.blob(manifest["digest"]), manifest["mediaType"]
        if parts[-1].startswith("sha256:"):
            kind = MANIFEST if parts[-2] == "manifests" else "application/octet-stream"
            try:
                return self.blob(parts[-1]), kind
            except OSError:
                return None
        return b"{}", "application/json"

    def do_GET(self):
        found = self.find()
        body, kind = found or (b"{}", "application/json")
        self.send_response(200 if found else 404)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.send_header("Docker-Content-Digest", "sha256:" + hashlib.sha256(body).hexdigest())
        self.end_headers()
        if self.command == "GET":
            self.wfile.write(body)

    do_HEAD = do_GET

    def log_message(self, *args):
        pass


if __name__ == "__main__":
    Handler.layout = sys.argv[1]
    server = http.server.ThreadingHTTPServer(("127.0.0.1", int(sys.argv[2])), Handler)
    open(sys.argv[3], "w", encoding="utf-8").close()
    server.serve_forever()
