# SPDX-License-Identifier: Apache-2.0
"""pytest fixtures of the suites that run tared; a conftest.py imports them by name.

TARE_BUILD names the build folder. TARE_CRICTL names crictl; without it tests/tools.py is asked.
"""

import os
import subprocess
import sys

import pytest

from support import cri, images
from support.node import CGROUP, Node, remove_cgroups

TESTS = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))


def find_crictl():
    """The path of crictl v1.36: the one that is named, else the one that tests/tools.py builds."""
    named = os.environ.get("TARE_CRICTL")
    if named:
        return named
    found = subprocess.run(
        ["/usr/bin/python3", "-B", os.path.join(TESTS, "tools.py"), "crictl"],
        check=False,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    if found.returncode != 0:
        pytest.skip(f"no crictl: set TARE_CRICTL ({found.stderr.strip()})")
    return found.stdout.strip()


@pytest.fixture(scope="session")
def build():
    folder = os.environ.get("TARE_BUILD")
    if os.geteuid() != 0:
        pytest.skip("needs root")
    if not folder or not os.path.exists(os.path.join(folder, "src/cmd/tared")):
        pytest.skip("set TARE_BUILD to a build folder with src/cmd/tared")
    return folder


@pytest.fixture(scope="session")
def services(tmp_path_factory):
    return cri.compile_protocols(str(tmp_path_factory.mktemp("proto")))


@pytest.fixture(scope="session")
def crictl():
    return find_crictl()


@pytest.fixture(scope="session")
def layout(build, tmp_path_factory):
    """An OCI layout with images.NAME."""
    folder = str(tmp_path_factory.mktemp("image") / "layout")
    images.pack(build, folder)
    return folder


@pytest.fixture(scope="session", autouse=True)
def cgroup_folder():
    yield
    remove_cgroups(CGROUP)


def print_log(request, node):
    """With a failed test, what tared said."""
    report = getattr(request.node, "report_call", None)
    if report is not None and report.failed:
        print(
            "--- tared's log, its end ---\n" + "\n".join(node.log().splitlines()[-12:]),
            file=sys.stderr,
        )


@pytest.fixture(scope="session")
def shared_node(build, services, crictl, layout):
    made = Node(build, services, crictl)
    made.start()
    made.load_image(layout)
    yield made
    made.stop()


@pytest.fixture
def node(shared_node, request):
    """The node that most tests share: at the end of each nothing is left on it but the image."""
    assert shared_node.process.poll() is None, "tared has died"
    yield shared_node
    print_log(request, shared_node)
    assert shared_node.process.poll() is None, "tared has died"
    shared_node.remove_everything()
    shared_node.assert_nothing_left()


@pytest.fixture
def make_node(build, services, crictl, layout, request):
    """Nodes of a test's own, to kill and to start: make_node(image=True, **options of Node)."""
    made = []

    def make(image=True, fault=None, **options):
        new = Node(build, services, crictl, **options)
        made.append(new)
        new.start(fault)
        if image:
            new.load_image(layout)
        return new

    yield make
    for each in made:
        print_log(request, each)
        each.stop()


@pytest.fixture
def own_node(make_node):
    return make_node()


@pytest.fixture
def pod(node):
    return node.run_pod()


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item, call):
    outcome = yield
    report = outcome.get_result()
    if report.when == "call":
        item.report_call = report
