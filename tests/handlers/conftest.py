# SPDX-License-Identifier: Apache-2.0
"""Runtime handlers: pods by other programs than the built-in runtime, real ones.

    TARE_BUILD=/tmp/build /usr/bin/python3 -m pytest tests/handlers

Debian's runc and crun (packages of tests/check/packages.txt), and of tests/tools.py the pinned runc
and gVisor's runsc (TARE_RUNC, TARE_RUNSC)."""

import os
import shutil
import subprocess
import sys

import pytest

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
from support import images  # noqa: E402
from support.node import Node, remove_cgroups  # noqa: E402
from support.fixtures import (  # noqa: E402
    TESTS,
    build,
    cgroup_folder,
    crictl,
    layout,
    make_node,
    print_log,
    pytest_runtest_makereport,
    services,
)

__all__ = [
    "build",
    "cgroup_folder",
    "crictl",
    "layout",
    "make_node",
    "pytest_runtest_makereport",
    "services",
]
DATA = "tare.test/data:1"
UNIFIED = "/sys/fs/cgroup/unified"


def find(name, variable=None, tool=None):
    """The path of a program: named, else installed, else made by tests/tools.py."""
    if variable and os.environ.get(variable):
        return os.environ[variable]
    if not tool:
        return shutil.which(name) or pytest.fail(f"{name} is not installed")
    command = ["/usr/bin/python3", "-B", os.path.join(TESTS, "tools.py"), tool]
    done = subprocess.run(command, check=False, stdin=subprocess.DEVNULL, text=True,
                          stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    assert done.returncode == 0, f"{name}: {done.stderr}"
    return done.stdout.strip()


def table(name, path, more=""):
    return f'[runtimes.{name}]\nkind = "oci"\npath = "{path}"\n{more}\n'


def remove_kube_cgroups(node):
    """Those above the pods', which are the client's."""
    remove_cgroups(f"{node.cgroup}/kube")


@pytest.fixture
def data_image(node, build, tmp_path):
    """The name of an image for volumes, which is on the node."""
    images.pack(build, str(tmp_path / "data"), reference=DATA, layers=[
        {"files": [{"path": "models/weights", "text": "low\n"}]},
        {"files": [{"path": "top", "text": "t\n"}]}])
    node.load_image(str(tmp_path / "data"), DATA)
    yield DATA
    node.client.RemoveImage(image={"image": DATA})


@pytest.fixture(scope="session")
def runtimes():
    """The configuration of each handler that has runc's model of processes."""
    return {
        "runc": table("runc", find("runc"), 'pod_annotations = ["example.org/*"]'),
        "crun": table("crun", find("crun")),
        "runc-new": table("runc-new", find("runc", "TARE_RUNC", "runc")),
    }


@pytest.fixture(scope="session", params=["runc", "crun", "runc-new"])
def shared(request, build, services, crictl, layout, runtimes):
    """A node for the tests of one handler."""
    # Debian's crun takes a tree of cgroup v2 beside v1 for the whole
    hide = [UNIFIED] if request.param == "crun" and os.path.ismount(UNIFIED) else []
    made = Node(build, services, crictl, config="".join(runtimes.values()), hide=hide)
    made.handler = request.param
    made.start()
    made.load_image(layout)
    yield made
    made.stop()


@pytest.fixture
def node(shared, request):
    """At the end of each test nothing is left on it but the image."""
    yield shared
    print_log(request, shared)
    shared.remove_everything()
    shared.assert_nothing_left()
