# SPDX-License-Identifier: Apache-2.0
"""A kubelet of today, an API server and kubectl on top of tared.

    TARE_BUILD=/tmp/build /usr/bin/python3 -m pytest tests/kubelet

Needs what tests/cri needs; TARE_KUBERNETES (a folder with kubelet, kube-apiserver and kubectl),
TARE_ETCD and TARE_RUNSC, without which tests/tools.py is asked; Debian's runc."""
import os
import shutil
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

SANDBOXED = """wait = true
infra = true
options = ["--platform=systrap", "--network=sandbox"]
"""
__all__ = ["build", "cgroup_folder", "crictl", "layout", "pytest_runtest_makereport", "services"]


def tool(variable, name):
    if variable in os.environ:
        return os.environ[variable]
    found = subprocess.run([sys.executable, "-B", os.path.join(TESTS, "tools.py"), name],
                           check=False, stdout=subprocess.PIPE, text=True)
    if found.returncode != 0:
        pytest.skip(f"no {name}: set {variable}")
    return found.stdout.strip()


def handlers():
    """Runtimes beside the built-in one, for RuntimeClasses."""
    text = ""
    for name, path, more in (("runc", shutil.which("runc"), ""),
                             ("runsc", tool("TARE_RUNSC", "runsc"), SANDBOXED)):
        assert path, f"{name} is not installed"
        text += f'[runtimes.{name}]\nkind = "oci"\npath = "{path}"\n{more}'
    return text


@pytest.fixture(scope="session")
def made_cluster(build, services, crictl, layout):
    programs = os.environ.get("TARE_KUBERNETES") or os.path.dirname(tool("", "kubelet"))
    node = Node(build, services, crictl, config=handlers())
    node.start()
    node.load_image(layout)
    cluster = Cluster(node, programs, tool("TARE_ETCD", "etcd"))
    try:
        cluster.start()
        yield cluster
    finally:
        cluster.stop()
        node.remove_everything()
        node.inside("umount", node.path("state/runtimes/runsc/null-netns"))  # runsc leaves it
        cluster.remove()
        node.stop()


@pytest.fixture
def cluster(made_cluster, request):
    yield made_cluster
    print_log(request, made_cluster.node)
