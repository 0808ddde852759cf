# SPDX-License-Identifier: Apache-2.0
"""Nothing is left: after whole lives of containers, and after commands that SIGKILL ended at any
microsecond, once `delete --force` has been said. The seed of the random instants is printed;
TARE_SEED repeats a run."""
import os
import pathlib
import random
import signal
import time

import pytest

from conftest import cgroup_dirs
from support import isolation, leaks

FULL = bool(os.environ.get("TARE_FULL"))
SLOW = "asan" in os.path.basename(os.environ.get("TARE_BUILD", ""))  # a sanitizer's start is slow
CYCLES = 2000 if FULL else 20 if SLOW else 100
KILLS = 1000 if FULL else 15 if SLOW else 60
SEED = int(os.environ.get("TARE_SEED") or time.time_ns() % 1000000)
KEY_SECONDS = 10  # the kernel collects keyrings when it has time
ID = f"leak{os.getpid()}x"


@pytest.fixture(autouse=True)
def orphans_are_ours():
    """A container whose creator has gone is our child, so that all processes can be counted."""
    isolation.become_subreaper()
    yield
    isolation.become_subreaper(False)


def reap():
    """The pids of what still runs below us; what has ended is reaped."""
    try:
        while os.waitpid(-1, os.WNOHANG)[0]:
            pass
    except ChildProcessError:
        pass
    return leaks.descendants(os.getpid())


def keyrings():
    return [line for line in pathlib.Path("/proc/keys").read_text().splitlines() if ID in line]


def ours(folder):
    """Entries of a folder that everybody writes to: what bears our names."""
    return {os.path.join(folder, name) for name in os.listdir(folder) if ID in name}


def namespaces():
    """Those of this process and of what runs below it."""
    found = set()
    for pid in [os.getpid(), *leaks.descendants(os.getpid())]:
        try:
            for kind in os.listdir(f"/proc/{pid}/ns"):
                found.add(os.readlink(f"/proc/{pid}/ns/{kind}"))
        except OSError:  # it has just ended
            pass
    return found


def snapshot(machine):
    """Everything that a container may leave, but keyrings, which go later."""
    state = {str(path) for path in machine.root.glob("**/*")} if machine.root.exists() else set()
    bundle = {str(path) for path in machine.path.glob("leak*/rootfs/**/*")}
    return {
        "processes": reap(),
        "mounts": pathlib.Path("/proc/thread-self/mountinfo").read_text(),
        "cgroups": cgroup_dirs(),
        "namespaces": namespaces(),
        "descriptors": sorted(os.listdir("/proc/self/fd")),
        "state": {path for path in state if "@seccomp" not in path},
        "root file system": bundle,
        "files": ours("/tmp") | ours("/dev/shm") | ours("/run"),
    }


def same_as(before, machine, what):
    """A process that was told to end needs a moment; nothing else does."""
    end = time.monotonic() + 5
    while reap() and time.monotonic() < end:
        time.sleep(0.001)
    now = snapshot(machine)
    for kind, value in before.items():
        assert now[kind] == value, f"{kind} are left after {what}"


def no_keyrings_are_left():
    end = time.monotonic() + KEY_SECONDS
    while keyrings() and time.monotonic() < end:
        time.sleep(0.05)
    assert keyrings() == []


@pytest.fixture
def lives(machine):
    """A bundle that waits, and everything as it was before the first life."""
    bundle = machine.bundle("wait")
    bundle.id = ID
    bundle.save()
    machine.run("list").ok()
    whole_life(machine, bundle)  # makes what stays: the root, mount points in the root file system
    return bundle, snapshot(machine)


def command(machine, *args):
    """Starts the runtime; what it, or its container, says goes to a file."""
    out = os.open(machine.path / "said", os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC)
    null = os.open(os.devnull, os.O_RDONLY | os.O_CLOEXEC)
    words_ = [str(word) for word in (machine.runtime, "--root", machine.root, *args)]
    actions = [(os.POSIX_SPAWN_DUP2, null, 0), (os.POSIX_SPAWN_DUP2, out, 1),
               (os.POSIX_SPAWN_DUP2, out, 2)]
    try:
        return os.posix_spawn(words_[0], words_, os.environ, file_actions=actions)
    finally:
        os.close(out)
        os.close(null)


def finish(pid, seconds=30):
    """The exit status of a command. Orphans are reaped meanwhile, as PID 1 would: a PID namespace
    ends when its last zombie has gone."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        ended, status = os.waitpid(-1, os.WNOHANG)
        if ended == pid:
            return os.waitstatus_to_exitcode(status)
        if not ended:
            time.sleep(0.0002)
    raise TimeoutError(f"process {pid} did not end within {seconds} s")


def does(machine, *args, after="all went well"):
    code = finish(command(machine, *args))
    said = (machine.path / "said").read_text(errors="replace")
    assert code == 0, f"{args[0]} ended with {code} after {after}: {said}"


def descriptors_of(pid):
    return sorted(int(name) for name in os.listdir(f"/proc/{pid}/fd"))


def whole_life(machine, bundle):
    does(machine, "create", "--bundle", bundle.path, ID)
    does(machine, "start", ID)
    init = machine.run("state", ID).ok().json["pid"]
    assert descriptors_of(init) == [0, 1, 2], "the program has a descriptor of ours"
    does(machine, "kill", ID, "KILL")
    bundle.wait_status("stopped")
    reap()
    does(machine, "delete", ID)


def test_whole_lives_leave_nothing(machine, lives):
    bundle, before = lives
    for cycle in range(CYCLES):
        whole_life(machine, bundle)
        if cycle % 10 == 0:
            same_as(before, machine, f"cycle {cycle}")
    same_as(before, machine, "the last cycle")
    no_keyrings_are_left()


# What is killed, what makes the container ready for it, and how long the command takes is measured.
VERBS = {
    "create": [],
    "run": [],
    "start": ["create"],
    "kill": ["create", "start"],
    "delete": ["create", "start", "kill"],
    "exec": ["create", "start"],
}


def words(verb, bundle):
    return {
        "create": ("create", "--bundle", bundle.path, ID),
        "run": ("run", "--detach", "--bundle", bundle.path, ID),
        "start": ("start", ID),
        "kill": ("kill", ID, "KILL"),
        "delete": ("delete", "--force", ID),
        "exec": ("exec", "--detach", ID, "/bin/probe", "wait"),
    }[verb]


def prepare(machine, bundle, verb):
    for step in VERBS[verb]:
        does(machine, *words(step, bundle))


def time_of(machine, bundle, verb):
    """Seconds of the verb undisturbed; the median of a few."""
    times = []
    for _ in range(3):
        prepare(machine, bundle, verb)
        start = time.perf_counter()
        does(machine, *words(verb, bundle))
        times.append(time.perf_counter() - start)
        does(machine, "delete", "--force", ID)
        reap()
    return sorted(times)[1]


def kill_after(pid, seconds):
    end = time.perf_counter() + seconds
    while time.perf_counter() < end:
        pass
    os.kill(pid, signal.SIGKILL)  # not reaped yet, so it is still our child's number
    finish(pid)


def test_random_kills_leave_nothing(machine, lives):
    print(f"TARE_SEED={SEED}")
    bundle, before = lives
    chance = random.Random(SEED)
    lengths = {verb: time_of(machine, bundle, verb) for verb in VERBS}
    for number in range(KILLS):
        verb = chance.choice(list(VERBS))
        after = chance.uniform(0, 1.2 * lengths[verb])
        what = f"{verb} killed after {after * 1e6:.0f} us (TARE_SEED={SEED}, number {number})"
        prepare(machine, bundle, verb)
        kill_after(command(machine, *words(verb, bundle)), after)
        does(machine, "delete", "--force", ID, after=what)
        same_as(before, machine, what)
        does(machine, *words("create", bundle), after=what)
        does(machine, "delete", "--force", ID, after=what)
        same_as(before, machine, f"{what}, then create and delete")
    no_keyrings_are_left()
