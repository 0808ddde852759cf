# SPDX-License-Identifier: Apache-2.0
"""runtime-tools' validation programs against tare-runtime; failing.tsv says which fail, and why."""
import json
import os
import pathlib
import resource
import subprocess
import sys

import pytest

HERE = pathlib.Path(__file__).parent
sys.path.insert(0, str(HERE.parent))
import tools  # noqa: E402

AT_LEAST = 39
CAP_SYS_RESOURCE = 24


def has_controller(name):
    lines = pathlib.Path("/proc/self/cgroup").read_text(encoding="ascii").splitlines()
    return any(name in line.split(":")[1].split(",") for line in lines)


def has_every_capability():
    last = int(pathlib.Path("/proc/sys/kernel/cap_last_cap").read_text(encoding="ascii"))
    status = pathlib.Path("/proc/self/status").read_text(encoding="ascii")
    bounding = next(line.split()[1] for line in status.splitlines() if line.startswith("CapBnd"))
    return int(bounding, 16) == (1 << (last + 1)) - 1


def may_raise_limits():
    status = pathlib.Path("/proc/self/status").read_text(encoding="ascii")
    effective = next(line.split()[1] for line in status.splitlines() if line.startswith("CapEff"))
    hard = resource.getrlimit(resource.RLIMIT_CORE)[1]
    return hard == resource.RLIM_INFINITY or bool(int(effective, 16) >> CAP_SYS_RESOURCE & 1)


CONDITIONS = {
    "always": lambda: True,
    "sometimes": lambda: True,
    "no hugetlb": lambda: not has_controller("hugetlb"),
    "no net_cls": lambda: not has_controller("net_cls"),
    "no limits": lambda: not may_raise_limits(),
    "no selinux": lambda: not os.path.exists("/sys/fs/selinux/enforce"),
    "no full capabilities": lambda: not has_every_capability(),
}


def read_failing():
    rows = {}
    for line in (HERE / "failing.tsv").read_text(encoding="utf-8").splitlines():
        if line and not line.startswith("#"):
            program, condition, reason = line.split("\t")
            assert program not in rows and reason, line
            rows[program] = (condition, reason)
    return rows


FAILING = read_failing()


@pytest.fixture(scope="session")
def results():
    build = os.environ.get("TARE_BUILD")
    runtime = pathlib.Path(os.environ.get("TARE_RUNTIME") or f"{build}/src/cmd/tare-runtime")
    if not runtime.exists():
        pytest.skip("set TARE_BUILD to a build folder with src/cmd/tare-runtime")
    if os.geteuid() != 0:
        pytest.skip("needs root")
    command = [sys.executable, "-B", HERE / "programs.py", runtime, tools.runtime_tools()]
    return json.loads(subprocess.run(command, stdout=subprocess.PIPE, check=True).stdout)


def names():
    """Of the programs, without making them."""
    return (HERE / "programs.txt").read_text(encoding="ascii").split()


@pytest.mark.parametrize("name", names())
def test_program(results, name):
    result = results[name]
    condition, reason = FAILING.get(name, (None, None))
    if condition == "sometimes":
        return
    if condition and CONDITIONS[condition]():
        assert not result["passed"], f"passes now: take it out of failing.tsv (it said: {reason})"
    else:
        assert result["passed"], result["output"]


def test_every_program_ran(results):
    assert sorted(results) == sorted(names())
    assert set(FAILING) <= set(names()), "failing.tsv names a program that is not there"


def test_enough_pass(results):
    assert sum(result["passed"] for result in results.values()) >= AT_LEAST
