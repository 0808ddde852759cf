#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Runs runtime-tools' validation programs against a runtime: programs.py RUNTIME FOLDER [NAME...]

FOLDER is what tests/tools.py runtime-tools prints. Prints one JSON object: program -> {"passed",
"seconds", "output"}. A program passes when it exits with 0 and no line of its TAP is "not ok".

The programs use fixed cgroup paths ("/cgrouptest"). So they run in a cgroup of their own which they
see as the root of every hierarchy, with mounts of their own; both are gone when this ends.
"""
import concurrent.futures
import glob
import json
import os
import pathlib
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time

sys.path.insert(0, str(pathlib.Path(__file__).parents[1]))
from support import isolation  # noqa: E402

CLONE_NEWCGROUP, MS_BIND = 0x2000000, 0x1000
TIMEOUT = 60
AT_ONCE = 6  # they mostly sleep
# These share a path of cgroups and take turns.
TAKES_TURNS = re.compile(r"linux_cgroups_|delete_.*resources")
NOT_OK = re.compile(r"not ok(?!.*# T[O]DO)")  # TAP's word for what nobody expects to pass yet
WRAPPER = """#!/bin/sh
exec '{runtime}' --root '{work}/state' "$@"
"""


def hierarchies():
    """Mount points of cgroup hierarchies."""
    found = []
    mounts = pathlib.Path("/proc/thread-self/mountinfo").read_text(encoding="ascii")
    for line in mounts.splitlines():
        left, _, right = line.partition(" - ")
        if right.split()[0] in ("cgroup", "cgroup2"):
            found.append(left.split()[4])
    return found


def make_cgroups(name):
    made = []
    for top in hierarchies():
        folder = os.path.join(top, name)
        os.mkdir(folder)
        made.append(folder)
        for file in ("cpuset.cpus", "cpuset.mems"):
            inner = os.path.join(folder, file)
            if os.path.exists(inner) and os.path.exists(os.path.join(top, "cgroup.clone_children")):
                text = pathlib.Path(top, file).read_text(encoding="ascii")
                pathlib.Path(inner).write_text(text, encoding="ascii")
    return made


def remove_cgroups(folders):
    for top in folders:
        for folder, _, _ in os.walk(top, topdown=False):
            for _ in range(100):  # what was killed takes its time
                try:
                    os.rmdir(folder)
                    break
                except OSError:
                    time.sleep(0.05)


def enter(cgroups):
    """This process and its children see the cgroups as the roots of their hierarchies."""
    for folder in cgroups:
        pathlib.Path(folder, "cgroup.procs").write_text("0", encoding="ascii")
    isolation.unshare(isolation.CLONE_NEWNS | CLONE_NEWCGROUP)
    isolation.mount("none", "/", "none", isolation.MS_REC | isolation.MS_PRIVATE)
    for folder in cgroups:
        isolation.mount(folder, os.path.dirname(folder), "none", MS_BIND)


def run_one(program, work):
    env = dict(os.environ, RUNTIME=f"{work}/runtime", TMPDIR=f"{work}/tmp")
    start = time.monotonic()
    try:
        done = subprocess.run([program], cwd=f"{work}/run", env=env, stdin=subprocess.DEVNULL,
                              stdout=subprocess.PIPE, stderr=subprocess.PIPE, check=False,
                              timeout=TIMEOUT)
        status, out, err = done.returncode, done.stdout.decode(), done.stderr.decode()
    except subprocess.TimeoutExpired:
        status, out, err = -1, "", f"took longer than {TIMEOUT} s"
    bad = [line for line in out.splitlines() if NOT_OK.match(line)]
    return {"passed": status == 0 and not bad, "seconds": round(time.monotonic() - start, 1),
            "output": f"exit status {status}\n{out}{err}"}


def run_all(runtime, folder, names, work):
    for name in ("tmp", "run"):
        os.mkdir(os.path.join(work, name))
    for file in [f"{folder}/runtimetest", *glob.glob(f"{folder}/rootfs-*.tar.gz")]:
        shutil.copy(file, f"{work}/run/")
    wrapper = pathlib.Path(work, "runtime")
    wrapper.write_text(WRAPPER.format(runtime=runtime, work=work), encoding="utf-8")
    wrapper.chmod(0o755)
    programs = sorted(pathlib.Path(folder, "validation").iterdir())
    chosen = [p for p in programs if not names or p.name in names]
    turns = [p for p in chosen if TAKES_TURNS.match(p.name)]
    others = [p for p in chosen if p not in turns]
    with concurrent.futures.ThreadPoolExecutor(AT_ONCE) as pool:
        lane = pool.submit(lambda: [(p.name, run_one(p, work)) for p in turns])
        results = dict(pool.map(lambda p: (p.name, run_one(p, work)), others))
        results.update(lane.result())
    for left in subprocess.run([wrapper, "list", "-q"], stdout=subprocess.PIPE, text=True,
                               check=False).stdout.split():
        subprocess.run([wrapper, "delete", "--force", left], check=False)
    return results


def main():
    if len(sys.argv) < 3:
        print(__doc__.splitlines()[0], file=sys.stderr)
        return 2
    runtime, folder, names = os.path.abspath(sys.argv[1]), sys.argv[2], sys.argv[3:]
    cgroups = make_cgroups(f"tare-test-validation-{os.getpid()}")
    try:
        with tempfile.TemporaryDirectory(prefix="tare-validation-") as work:
            os.chmod(work, 0o755)
            child = os.fork()
            if child == 0:
                status = 1
                try:
                    signal.signal(signal.SIGINT, signal.SIG_DFL)
                    isolation.become_subreaper()
                    enter(cgroups)
                    print(json.dumps(run_all(runtime, folder, names, work), indent=1))
                    sys.stdout.flush()
                    status = 0
                finally:
                    os._exit(status)
            return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    finally:
        remove_cgroups(cgroups)


if __name__ == "__main__":
    sys.exit(main())
