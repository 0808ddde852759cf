# SPDX-License-Identifier: Apache-2.0
"""OCI layouts and docker archives, also broken ones, made byte by byte."""

import hashlib
import json
import os
import platform

from testbed.images import Layer, compress

ARCH = {"x86_64": "amd64", "aarch64": "arm64"}.get(platform.machine(), platform.machine())
OCI = "application/vnd.oci.image."
LAYER_TYPES = {
    "none": OCI + "layer.v1.tar",
    "gzip": OCI + "layer.v1.tar+gzip",
    "zstd": OCI + "layer.v1.tar+zstd",
}
NAME = "tare.test/image:1"


def sha256(data):
    return "sha256:" + hashlib.sha256(data).hexdigest()


def to_json(value):
    return json.dumps(value).encode()


def as_tar(layer):
    return layer.bytes() if isinstance(layer, Layer) else layer


class Layout:
    """Blobs and an index in memory; write() makes the folder. Tests may change anything before."""

    def __init__(self):
        self.blobs = {}  # digest -> bytes
        self.entries = []  # of index.json

    def put(self, data, media_type, **more):
        digest = sha256(data)
        self.blobs[digest] = data
        return {"mediaType": media_type, "digest": digest, "size": len(data), **more}

    def image(self, layers, compression="gzip", arch=ARCH, packed=None, diff_ids=None, **config):
        """Adds manifest, configuration and layers; the manifest's descriptor."""
        tars = [as_tar(layer) for layer in layers]
        packed = packed or [compress(tar, compression) for tar in tars]
        self.layers = [self.put(blob, LAYER_TYPES[compression]) for blob in packed]
        self.config = self.put(
            to_json(
                {
                    "architecture": arch,
                    "os": "linux",
                    "config": {"Cmd": ["sh"], **config},
                    "rootfs": {
                        "type": "layers",
                        "diff_ids": diff_ids or [sha256(tar) for tar in tars],
                    },
                }
            ),
            OCI + "config.v1+json",
        )
        return self.put(
            to_json(
                {
                    "schemaVersion": 2,
                    "mediaType": OCI + "manifest.v1+json",
                    "config": self.config,
                    "layers": self.layers,
                }
            ),
            OCI + "manifest.v1+json",
        )

    def index(self, descriptors):
        return self.put(
            to_json(
                {"schemaVersion": 2, "mediaType": OCI + "index.v1+json", "manifests": descriptors}
            ),
            OCI + "index.v1+json",
        )

    def name(self, descriptor, name=NAME, key="org.opencontainers.image.ref.name"):
        self.entries.append({**descriptor, **({"annotations": {key: name}} if name else {})})

    def index_json(self):
        return to_json({"schemaVersion": 2, "manifests": self.entries})

    def write(self, folder):
        os.makedirs(os.path.join(folder, "blobs/sha256"))
        for digest, data in self.blobs.items():
            with open(os.path.join(folder, "blobs/sha256", digest[7:]), "wb") as file:
                file.write(data)
        for name, data in (
            ("index.json", self.index_json()),
            ("oci-layout", b'{"imageLayoutVersion":"1.0.0"}'),
        ):
            with open(os.path.join(folder, name), "wb") as file:
                file.write(data)
        return folder


def simple(layers, folder, **options):
    """A layout with one image in folder."""
    layout = Layout()
    layout.name(layout.image(layers, **options))
    return layout.write(folder)
