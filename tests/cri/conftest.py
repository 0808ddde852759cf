# SPDX-License-Identifier: Apache-2.0
"""tared as its clients see it: crictl, the kubelet's calls, its files and processes.

    TARE_BUILD=/tmp/build /usr/bin/python3 -m pytest tests/cri

Needs root, busybox-static, containernetworking-plugins, protoc, python3-grpcio and crictl."""

import os
import sys

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
