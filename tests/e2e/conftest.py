# SPDX-License-Identifier: Apache-2.0
"""What a person types: the commands of tare, and ./quickstart.

    TARE_BUILD=/tmp/build /usr/bin/python3 -m pytest tests/e2e

Needs root, busybox-static, containernetworking-plugins, protoc and python3-grpcio."""
import os
import subprocess
import sys

import pytest

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
from support import fixtures  # noqa: E402

for name in ("build", "cgroup_folder", "layout", "make_node", "node", "own_node", "pod",
             "pytest_runtest_makereport", "services", "shared_node"):
    globals()[name] = getattr(fixtures, name)


@pytest.fixture(scope="session")
def crictl():
    """The nodes of these tests are never asked by it."""
    return "/bin/false"


class Said:
    """What a command printed, and its exit status."""

    def __init__(self, done):
        self.code, self.out, self.err = done.returncode, done.stdout, done.stderr

    @property
    def lines(self):
        return self.out.splitlines()

    @property
    def rows(self):
        """The cells of a table, without its head."""
        return [line.split() for line in self.lines[1:]]


class Tare:
    """tare as a function: tare("ps", "-a") fails the test unless the exit status is `code`."""

    used = set()  # the commands that tests have run to success

    def __init__(self, build, address, inside=lambda *command: list(command)):
        self.program = os.path.join(build, "src/cmd/tare")
        self.inside = inside  # a command as one of the node's namespaces
        self.env = {**os.environ, "TARE_ADDRESS": f"unix://{address}"}

    def start(self, *args, **options):
        options.setdefault("stdin", subprocess.DEVNULL)
        return subprocess.Popen(self.inside(self.program, *map(str, args)), env=self.env,
                                stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
                                **options)

    def __call__(self, *args, code=0, input=""):
        done = subprocess.run(self.inside(self.program, *map(str, args)), env=self.env, check=False,
                              input=input, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                              text=True, timeout=60)
        said = Said(done)
        assert said.code == code, f"tare {args}: {said.code}\n{said.out}\n{said.err}"
        words = [str(word) for word in args if not str(word).startswith("-")]
        if code == 0 and words:
            Tare.used.add(" ".join(words[:2]) if words[0] == "pod" else words[0])
        return said


@pytest.fixture
def tare(build, node):
    return Tare(build, node.socket, node.inside_command)


@pytest.fixture(scope="session")
def make_tare(build):
    return lambda address: Tare(build, address)
