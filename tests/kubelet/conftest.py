# SPDX-License-Identifier: Apache-2.0
"""A kubelet of today, an API server and kubectl on top of tared.

    TARE_BUILD=/tmp/build /usr/bin/python3 -m pytest tests/kubelet

Needs what tests/cri needs; TARE_KUBERNETES (a folder with kubelet, kube-apiserver and kubectl) and
TARE_ETCD, without which tests/tools.py is asked."""
import os
import subprocess
import sys

import pytest

sys.dont_write_bytecode = True
TESTS = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
sys.path.insert(0, TESTS)
from support.fixtures import (  # noqa: E402
    build,
    cgroup_folder,
    crictl,
    layout,
    print_log,
    pytest_runtest_makereport,
    services,
)
from support.node import Node  # noqa: E402

from cluster import Cluster  # noqa: E402

__all__ = ["build", "cgroup_folder", "crictl", "layout", "pytest_runtest_makereport", "services"]


def tool(variable, name):
    if variable in os.environ:
        return os.environ[variable]
    found = subprocess.run([sys.executable, "-B", os.path.join(TESTS, "tools.py"), name],
                           check=False, stdout=subprocess.PIPE, text=True)
    if found.returncode != 0:
        pytest.skip(f"no {name}: set {variable}")
    return found.stdout.strip()


@pytest.fixture(scope="session")
def made_cluster(build, services, crictl, layout):
    programs = os.environ.get("TARE_KUBERNETES") or os.path.dirname(tool("", "kubelet"))
    node = Node(build, services, crictl)
    node.start()
    node.load_image(layout)
    cluster = Cluster(node, programs, tool("TARE_ETCD", "etcd"))
    try:
        cluster.start()
        yield cluster
    finally:
        cluster.stop()
        node.remove_everything()
        cluster.remove()
        node.stop()


@pytest.fixture
def cluster(made_cluster, request):
    yield made_cluster
    print_log(request, made_cluster.node)
