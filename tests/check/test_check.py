# SPDX-License-Identifier: Apache-2.0
"""The harness itself: what it counts, and that a part leaves nothing."""
import json
import os
import subprocess
import sys
import time

import pytest

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, HERE)
import parts  # noqa: E402
import result  # noqa: E402
from result import Result  # noqa: E402

# A part of its own, run in a process of its own: it makes itself a subreaper.
DRIVER = """
import os, subprocess, sys, time
sys.path[:0] = [{here!r}, os.path.dirname({here!r})]
import supervise
from parts import Part
from result import Result
from support import isolation

def run(context):
    {body}
    return Result(passed=1)

supervise.become_subreaper()
found = supervise.run(Part("sample", 1, (), run, ""), [], False, {budget})
print(found.to_json())
"""


def run_part(body, budget=20):
    code = DRIVER.format(here=HERE, body=body, budget=budget)
    done = subprocess.run(["/usr/bin/python3", "-B", "-c", code], check=True, timeout=60,
                          stdout=subprocess.PIPE, text=True)
    return Result.from_json(done.stdout)


def texts(found):
    return "\n".join(f"{test}: {text}" for test, text in found.failed)


def test_a_part_that_passes():
    found = run_part("pass")
    assert (found.passed, found.failed) == (1, [])


def test_a_part_over_its_budget_is_ended():
    began = time.monotonic()
    found = run_part("print('said before'); subprocess.run(['sleep', '1000.125'])", budget=1)
    assert time.monotonic() - began < 20
    assert "over its budget of 1 s" in texts(found) and "sleep 1000.125" in texts(found)
    assert "said before" in texts(found)


def test_a_part_that_dies():
    found = run_part("raise OSError('the reason')")
    assert found.passed == 0 and "the reason" in texts(found)


def test_a_process_that_is_left(tmp_path):
    pid = tmp_path / "pid"
    found = run_part("child = subprocess.Popen(['setsid', 'sleep', '1000.25']);"
                     f" open({str(pid)!r}, 'w').write(str(child.pid))")
    assert "sleep 1000.25" in texts(found)
    assert not os.path.exists(f"/proc/{pid.read_text()}")


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root")
def test_what_is_left_in_the_parts_namespaces():
    found = run_part("isolation.mount('tmpfs', '/mnt', 'tmpfs', 0);"
                     " open('/run/netns/tare-left', 'w').close()")
    assert "mount / /mnt" in texts(found) and "file /run/netns/tare-left" in texts(found)
    with open("/proc/thread-self/mountinfo", encoding="utf-8") as lines:
        assert not any(line.split()[4] == "/mnt" for line in lines)


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root")
def test_a_part_has_only_loopback():
    found = run_part("import socket; assert [n for _, n in socket.if_nameindex()] == ['lo']")
    assert found.failed == []


def test_the_temporary_folder_goes(tmp_path):
    name = tmp_path / "name"
    run_part(f"open({str(name)!r}, 'w').write(context.folder); os.mkdir(context.folder + '/x')")
    assert not os.path.exists(os.path.dirname(name.read_text()))


CMOCKA = """[==========] Running 3 test(s).
[ RUN      ] io.reads
[       OK ] io.reads
[ RUN      ] io.writes
SKIP: no such disk
[  SKIPPED ] io.writes
"""
FAILED = """[ RUN      ] io.fails
[  ERROR   ] --- 1 != 2
[  FAILED  ] io.fails
[==========] 3 test(s) run.
[  FAILED  ] 1 test(s), listed below:
[  FAILED  ] io.fails
"""


def meson_log(tmp_path, **fields):
    path = tmp_path / "log"
    path.write_text(json.dumps({"name": "tare / test-io", "stderr": "", **fields}) + "\n")
    return result.from_meson_log(path, "unit")


def test_cmocka_tests_are_counted(tmp_path):
    found = meson_log(tmp_path, stdout=CMOCKA, result="OK", returncode=0)
    assert found.passed == 1 and found.failed == []
    assert found.skipped == [("unit/test-io::io.writes", "no such disk")]


def test_a_failed_cmocka_test(tmp_path):
    found = meson_log(tmp_path, stdout=CMOCKA, stderr=FAILED, result="FAIL", returncode=1)
    assert found.passed == 1
    assert [test for test, _ in found.failed] == ["unit/test-io::io.fails"]
    assert "1 != 2" in found.failed[0][1]


def test_a_program_that_crashes_after_its_tests(tmp_path):
    found = meson_log(tmp_path, stdout=CMOCKA, result="FAIL", returncode=-11)
    assert [test for test, _ in found.failed] == ["unit/test-io"]


JUNIT = """<testsuites><testsuite>
<testcase classname="shim.test_logs" name="test_a[x]"/>
<testcase classname="shim.test_logs" name="test_b"><failure message="m">the text</failure>
</testcase>
<testcase classname="shim.test_logs" name="test_c">
<skipped type="pytest.skip" message="no disk">where</skipped></testcase>
</testsuite></testsuites>"""


def test_junit(tmp_path):
    (tmp_path / "x").write_text(JUNIT)
    found = result.from_junit(tmp_path / "x", "shim")
    assert found.passed == 1 and found.failed == [("shim/test_logs::test_b", "the text")]
    assert found.skipped == [("shim/test_logs::test_c", "no disk")]


def test_a_skip_that_is_not_listed_fails(tmp_path):
    (tmp_path / "skips").write_text("# a comment\nshim/*::test_c[*]  the kernel has none\n")
    rules = result.read_skip_list(tmp_path / "skips")
    found = Result(skipped=[("shim/test_x::test_c[1]", "a"), ("shim/test_x::test_d", "b")])
    result.refuse_unlisted_skips(found, rules)
    assert found.skipped == [("shim/test_x::test_c[1]", "a")]
    assert found.failed[0][0] == "shim/test_x::test_d"


def test_a_skip_list_without_a_reason(tmp_path):
    (tmp_path / "skips").write_text("shim/test_x\n")
    with pytest.raises(ValueError, match="skips:1"):
        result.read_skip_list(tmp_path / "skips")


@pytest.mark.parametrize("asked, does", [
    ({}, {"install": []}),
    ({"check": []}, {"install": [], "check": []}),
    ({"lint": [], "build": []}, {"install": [], "build": [], "lint": []}),
    ({"lint": ["tidy"], "build": ["clang"]},
     {"install": [], "build": ["clang", "release"], "lint": ["tidy"]}),
    ({"unit": [], "unit-asan": []},
     {"install": [], "build": ["asan", "release"], "unit": [], "unit-asan": []}),
])
def test_what_a_part_needs_comes_first(asked, does):
    selection = [(parts.named(name), names) for name, names in asked.items()]
    order = [(part.name, names) for part, names in parts.with_needs(selection)]
    assert order == list(does.items())


def test_budgets():
    assert parts.total(parts.TABLE) <= parts.TOTAL_BUDGET
    fuzzers = len([name for name in os.listdir(os.path.join(parts.TESTS, "fuzz"))
                   if name.startswith("fuzz-") and name.endswith(".c")])
    assert fuzzers * parts.FUZZ_SECONDS / 2 < parts.named("corpus").budget
    assert fuzzers * parts.FUZZ_SECONDS_FULL / 2 < parts.FULL["corpus"]
