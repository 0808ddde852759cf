# SPDX-License-Identifier: Apache-2.0
"""tared failing and dying at each of its steps.

    TARE_BUILD=/tmp/build /usr/bin/python3 -m pytest tests/fault

A sample of the points, drawn by TARE_SEED (printed with a failure); TARE_FULL=1: all of them."""

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
