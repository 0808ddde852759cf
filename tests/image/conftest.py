# SPDX-License-Identifier: Apache-2.0
"""tare-image as its callers see it: requests in, events and folders out.

    TARE_BUILD=/tmp/build /usr/bin/python3 -m pytest tests/image

Needs root (owners, devices, overlay mounts in namespaces of the tests' own) and zstd."""

import os
import subprocess
import sys
import tempfile

import pytest

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from worker import Worker  # noqa: E402  pylint: disable=wrong-import-position


@pytest.fixture(scope="session")
def program():
    folder = os.environ.get("TARE_BUILD")
    path = os.path.join(folder or "", "src/cmd/tare-image")
    if os.geteuid() != 0:
        pytest.skip("needs root")
    if not folder or not os.path.exists(path):
        pytest.skip("set TARE_BUILD to a build folder with src/cmd/tare-image")
    return path


@pytest.fixture
def worker(program):
    """A Worker with a folder of its own, all of which goes at the end."""
    folder = tempfile.mkdtemp(prefix="tare-test-image-")
    os.chmod(folder, 0o755)  # the fetcher is nobody: it reads layouts here
    made = Worker(program, folder)
    yield made
    made.end()
    subprocess.run(["rm", "-rf", folder], check=True)  # rmtree() gives up on deep trees
