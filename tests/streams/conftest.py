# SPDX-License-Identifier: Apache-2.0
"""Exec, attach and port-forward as their clients see them; the daemon's part with a worker of ours.

    TARE_BUILD=/tmp/build /usr/bin/python3 -m pytest tests/streams

Needs what tests/cri needs, python3-websocket, and the Go client of tests/streams/client."""

import os
import shutil
import sys

import pytest

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
from support.fixtures import (  # noqa: E402
    build,
    cgroup_folder,
    crictl,
    layout,
    make_node,
    node,
    own_node,
    pod,
    pytest_runtest_makereport,
    services,
    shared_node,
)

__all__ = [
    "build",
    "cgroup_folder",
    "crictl",
    "layout",
    "make_node",
    "node",
    "own_node",
    "pod",
    "pytest_runtest_makereport",
    "services",
    "shared_node",
]
PROGRAMS = ("tared", "tare", "tare-shim", "tare-pause", "tare-image", "tare-net")
HERE = os.path.dirname(os.path.abspath(__file__))


@pytest.fixture
def fake_worker(build, tmp_path):
    """A build folder whose tare-stream is tests/streams/worker.py; set_mode() says what it does."""
    folder = tmp_path / "fake/src/cmd"
    folder.mkdir(parents=True)
    for name in PROGRAMS:
        shutil.copy2(os.path.join(build, "src/cmd", name), folder / name)
    shutil.copy2(os.path.join(HERE, "worker.py"), folder / "tare-stream")
    os.chmod(folder / "tare-stream", 0o755)

    def set_mode(mode):
        (folder / "mode").write_text(mode)

    set_mode("redeem")
    return str(tmp_path / "fake"), set_mode
