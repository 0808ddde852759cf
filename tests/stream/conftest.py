# SPDX-License-Identifier: Apache-2.0
"""The stream worker by itself, against clients of ours.

    TARE_BUILD=/tmp/build /usr/bin/python3 -m pytest tests/stream

Needs protoc and python3-protobuf; as root it also sees the worker give up its rights."""
import os
import sys

import pytest

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from worker import Worker  # noqa: E402


@pytest.fixture(scope="session")
def program():
    path = os.path.join(os.environ.get("TARE_BUILD", ""), "src", "cmd", "tare-stream")
    if not os.path.exists(path):
        pytest.skip("TARE_BUILD names no folder with tare-stream")
    return path


@pytest.fixture
def start(program):
    """Workers that end with the test."""
    workers = []

    def one(**options):
        workers.append(Worker(program, **options))
        return workers[-1]

    yield one
    for worker in workers:
        worker.close()


@pytest.fixture
def worker(start):
    return start()
