# SPDX-License-Identifier: Apache-2.0
"""For every folder of tests: TARE_BUILD is the build folder, its programs are at src/cmd/NAME.

A test marked "full" is left out unless TARE_FULL is set: ./check runs a sample, ./check full all.
"""
import os
import sys

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))


def pytest_configure(config):
    config.addinivalue_line("markers", "full: only in ./check full")


def pytest_collection_modifyitems(config, items):
    if os.environ.get("TARE_FULL"):
        return
    left_out = [item for item in items if item.get_closest_marker("full")]
    if left_out:
        items[:] = [item for item in items if item not in left_out]
        config.hook.pytest_deselected(items=left_out)
