# SPDX-License-Identifier: Apache-2.0
"""Attacks, run against tare-runtime, and against runc and crun where they are.

A test asks for `target`, a runtime with bundles of its own, and asserts what no runtime may allow.
For tare-runtime a false assertion is a failure. For a peer it is an outcome, like "held", and both
go into a table: TARE_ATTACKS=FILE writes it as JSON. Peers are attacked in ./check full and with
TARE_ATTACKS. One is found by TARE_RUNC, TARE_CRUN or PATH; one that is not there, or cannot run a
container on this machine, has no column.

Every container has its cgroup below one folder of this session, which is removed at the end.
"""
import json
import os
import pathlib
import subprocess
import sys
import time

import pytest

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from support.fixtures import build, crictl, layout, make_node, node, services, shared_node
from support.node import CGROUP, remove_cgroups
from targets import HERE, Target, our_folders, runtimes, version

__all__ = ["build", "crictl", "layout", "make_node", "node", "services", "shared_node"]
OUTCOMES = {}
WORKS = {}


@pytest.fixture(scope="session", autouse=True)
def cgroup_folder():
    yield
    remove_cgroups(CGROUP)
    end = time.monotonic() + 10
    while our_folders():
        for folder in our_folders():
            try:
                folder.rmdir()
            except OSError:
                assert time.monotonic() < end, f"{folder} is left"
                time.sleep(0.05)


@pytest.fixture(scope="session")
def attack_program(tmp_path_factory):
    out = tmp_path_factory.mktemp("attack") / "attack"
    subprocess.run(["gcc", "-O1", "-static", "-w", "-D_GNU_SOURCE", "-o", out, HERE / "attack.c"],
                   check=True)
    return out


@pytest.fixture(scope="session")
def racer(tmp_path_factory):
    out = tmp_path_factory.mktemp("racer") / "racer"
    subprocess.run(["gcc", "-O1", "-static", "-w", "-D_GNU_SOURCE", "-o", out, HERE / "racer.c"],
                   check=True)
    return out


def pytest_generate_tests(metafunc):
    if "target" in metafunc.fixturenames:
        found = runtimes()
        metafunc.parametrize("target", found, indirect=True, ids=[name for name, _ in found])


@pytest.fixture
def target(request, tmp_path, attack_program, racer):
    name, path = request.param
    tmp_path.chmod(0o755)
    one = Target(name, path, tmp_path, attack_program, racer)
    if not one.is_tare and not works(one):
        pytest.skip(f"{name} runs no container on this machine")
    mounts = pathlib.Path("/proc/thread-self/mountinfo").read_text()
    yield one
    one.end()
    if one.is_tare:
        assert pathlib.Path("/proc/thread-self/mountinfo").read_text() == mounts, "mounts are left"


def works(one):
    if one.name not in WORKS:
        code, text = one.bundle("ids").run()
        WORKS[one.name] = code == 0 and "ids 0 0" in text
    return WORKS[one.name]


@pytest.hookimpl(hookwrapper=True)
def pytest_pyfunc_call(pyfuncitem):
    """A peer's outcome is no failure of ours."""
    one = pyfuncitem.funcargs.get("target")
    outcome = yield
    if one is None:
        return
    row = pyfuncitem.originalname.removeprefix("test_")
    problem = outcome.excinfo[1] if outcome.excinfo else None
    text = "held" if problem is None else str(problem).splitlines()[0][:160] or "not held"
    rows = OUTCOMES.setdefault(row, {}).setdefault(one.name, [])
    if text != "held" or not rows:
        rows.append(text)
    if not one.is_tare and isinstance(problem, (AssertionError, pytest.fail.Exception)):
        outcome.force_result(None)


def pytest_sessionfinish(session):
    path = os.environ.get("TARE_ATTACKS")
    if path:
        versions = {name: version(where) for name, where in runtimes()}
        with open(path, "w", encoding="utf-8") as file:
            json.dump({"versions": versions, "outcomes": OUTCOMES}, file, indent=1)
