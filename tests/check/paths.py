# SPDX-License-Identifier: Apache-2.0
"""Where things are: the checkout, the build folders, the cache."""
import os

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
TESTS = os.path.join(ROOT, "tests")
# Builds and what failed last; ignored by git.
BUILDS = os.environ.get("TARE_BUILDS") or os.path.join(ROOT, "build")
# Go's toolchain and the programs that it built: what costs minutes and changes with a version only.
CACHE = os.environ.get("TARE_CACHE") or os.path.join(
    os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache"), "tare")


def build(name):
    return os.path.join(BUILDS, name)
