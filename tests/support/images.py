# SPDX-License-Identifier: Apache-2.0
"""Images of tests: OCI layouts made by `tare-image pack` from Debian's static busybox."""

import json
import os
import subprocess

from support.isolation import busybox

PASSWD = (
    "root:x:0:0:root:/root:/bin/sh\nworker:x:1000:1000:worker:/home/worker:/bin/sh\n"
    "nobody:x:65534:65534:nobody:/:/bin/false\n"
)
GROUP = "root:x:0:\nworker:x:1000:\nextra:x:50000:worker\nnogroup:x:65534:\n"
NAME = "tare.test/busybox:1"


def run_worker(build, verb, request):
    """The events of tare-image VERB."""
    done = subprocess.run(
        [os.path.join(build, "src/cmd/tare-image"), verb],
        input=json.dumps(request),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        check=False,
    )
    assert done.returncode == 0, f"tare-image {verb}: {done.stdout}{done.stderr}"
    return [json.loads(line) for line in done.stdout.splitlines()]


def busybox_files():
    program = busybox()
    applets = subprocess.run(
        [program, "--list"], stdout=subprocess.PIPE, text=True, check=True
    ).stdout
    files = [{"path": "bin/busybox", "source": program, "mode": "0755"}]
    files += [
        {"path": f"bin/{name}", "link": "busybox"} for name in applets.split() if name != "busybox"
    ]
    files += [
        {"path": "etc/passwd", "text": PASSWD},
        {"path": "etc/group", "text": GROUP},
        {"path": "home/worker/.keep", "text": ""},
        {"path": "tmp/.keep", "text": ""},
        {"path": "root/.keep", "text": ""},
        {"path": "etc/hidden", "text": "hidden\n"},
    ]
    return files


def pack(build, folder, reference=NAME, files=None, **options):
    """Makes a layout in folder; returns the manifest's digest."""
    config = options.pop(
        "config", {"Env": ["PATH=/bin", "FROM_IMAGE=yes"], "Cmd": ["sh", "-c", "sleep 1000"]}
    )
    request = {
        "output": folder,
        "reference": reference,
        "config": config,
        "layers": [{"files": files or busybox_files()}],
        **options,
    }
    return next(
        event for event in run_worker(build, "pack", request) if event["event"] == "packed"
    )["manifest_digest"]
