# SPDX-License-Identifier: Apache-2.0
"""Runs a part in a child process with a budget, namespaces and a temporary folder of its own.

We are the subreaper of all that a part starts: what it leaves is found, ended and counted as a
failure, and at the end of the budget everything below the part is ended. Mounts, network links and
/run are the part's own, so they go with it; cgroups are compared by name.
"""
import os
import resource
import shutil
import signal
import sys
import tempfile
import time
import traceback

from result import Result, check, read_skip_list, refuse_unlisted_skips
from paths import TESTS
from support import isolation, leaks

POLL = 0.02  # seconds
LOOK = 0.5  # how often the processes of a part are listed
GRACE = 2.0  # for processes that are about to end when a part has ended

become_subreaper = isolation.become_subreaper


class Context:
    """What a part's function gets."""

    def __init__(self, part, names, full, folder, deadline):
        self.part, self.names, self.full = part, names, full
        self.folder, self.deadline = folder, deadline

    def seconds_left(self):
        return max(0.0, self.deadline - time.monotonic())


def _reap():
    """Every child that has ended, as {pid: status}."""
    ended = {}
    while True:
        try:
            pid, status = os.waitpid(-1, os.WNOHANG)
        except ChildProcessError:
            return ended
        if pid == 0:
            return ended
        ended[pid] = status


def _end_descendants(makers):
    """Ends all that is below us; each by its pid, until none is left."""
    for _ in range(500):
        _reap()
        below = leaks.descendants(os.getpid())
        makers.update(below)
        if not below:
            return
        for pid in below:
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                pass
        time.sleep(POLL)


def _left_processes():
    end = time.monotonic() + GRACE
    while True:
        _reap()
        below = leaks.descendants(os.getpid())
        if not below or time.monotonic() > end:
            return [f"process {pid}: {leaks.command_of(pid)}" for pid in below]
        time.sleep(POLL)


def _remove(folder):
    """A part's temporary folder; never through a mount that somebody made in it."""
    with open("/proc/thread-self/mountinfo", encoding="utf-8") as lines:
        inside = [line.split()[4] for line in lines if line.split()[4].startswith(folder + "/")]
    if inside:
        return f"{folder} is kept: there are mounts in it: {' '.join(inside)}"
    shutil.rmtree(folder, ignore_errors=True)
    return None if not os.path.exists(folder) else f"{folder} cannot be removed"


def _child(part, context, result_path, log_path):
    """The part's process; does not return."""
    status = 1
    try:
        os.setsid()
        # also what the caller ignores (nohup: SIGHUP), which every child would inherit; Python's
        # own two it gives to no child
        own = {signal.SIGPIPE, signal.SIGXFSZ, signal.SIGKILL, signal.SIGSTOP}
        for number in signal.valid_signals() - own:
            try:
                signal.signal(number, signal.SIG_DFL)
            except OSError:
                pass  # the C library's own
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        null = os.open("/dev/null", os.O_RDONLY)
        log = os.open(log_path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        os.dup2(null, 0)
        os.dup2(log, 1)
        os.dup2(log, 2)
        os.environ["TMPDIR"] = tempfile.tempdir = context.folder
        before = None
        if part.isolated and os.geteuid() == 0:
            isolation.isolate()
            before = leaks.mounts() | leaks.links() | leaks.files()
        result = part.run(context)
        lines = leaks.temporary(context.folder)
        if before is not None:
            lines += leaks.left(before, lambda: leaks.mounts() | leaks.links() | leaks.files())
        if lines:
            check(result, f"{part.name}/leaves-nothing", "left behind:\n" + "\n".join(lines))
        with open(result_path, "w", encoding="utf-8") as out:
            out.write(result.to_json())
        status = 0
    except BaseException:  # the process ends here, whatever it is
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(status)


def _tail(path, lines=60):
    try:
        with open(path, encoding="utf-8", errors="replace") as log:
            return "".join(log.readlines()[-lines:])
    except OSError:
        return ""


def _watch(pid, deadline, makers):
    """Waits for the part's process, reaping orphans; None when the budget ended first.

    Adds to makers the processes that it saw: by them we know the part's own cgroups.
    """
    look = 0.0
    while True:
        ended = _reap()
        if pid in ended:
            return ended[pid]
        now = time.monotonic()
        if now > deadline:
            return None
        if now > look:
            makers.update(leaks.descendants(os.getpid()))
            look = now + LOOK
        time.sleep(POLL)


def _collect(part, pid, budget, status, result_path, log_path):
    if status is None:
        running = [f"process {child}: {leaks.command_of(child)}"
                   for child in leaks.descendants(os.getpid())]
        text = f"over its budget of {budget} s and ended; it was running:\n" + "\n".join(running)
        return Result(failed=[(part.name, text + "\n" + _tail(log_path))])
    if status != 0 or not os.path.exists(result_path):
        return Result(failed=[(part.name, f"the part's own process failed\n{_tail(log_path)}")])
    with open(result_path, encoding="utf-8") as text:
        result = Result.from_json(text.read())
    if result.passed + len(result.failed) + len(result.skipped) == 0 and part.tests:
        result.failed.append((part.name, f"no test was run\n{_tail(log_path)}"))
    processes = _left_processes()
    if processes:
        result.failed.append((f"{part.name}/leaves-nothing", "\n".join(processes)))
    return result


def run(part, names, full, budget):
    """The Result of a part within budget seconds."""
    folder = tempfile.mkdtemp(prefix="tc-")
    work = os.path.join(folder, "t")
    os.chmod(folder, 0o711)
    os.mkdir(work, 0o711)
    deadline = time.monotonic() + budget
    result_path, log_path = os.path.join(folder, "result"), os.path.join(folder, "log")
    before, makers = leaks.cgroups(), set()
    sys.stdout.flush()
    sys.stderr.flush()
    pid = os.fork()
    if pid == 0:
        _child(part, Context(part, names, full, work, deadline), result_path, log_path)
    problem = None
    try:
        status = _watch(pid, deadline, makers)
        result = _collect(part, pid, budget, status, result_path, log_path)
    finally:
        _end_descendants(makers)
        problem = _remove(folder)
        lines = leaks.left(before, lambda: leaks.cgroups(makers)) if part.isolated else []
        leaks.remove_cgroups(makers)
    lines += [problem] if problem else []
    if lines:
        result.failed.append((f"{part.name}/leaves-nothing", "\n".join(lines)))
    refuse_unlisted_skips(result, read_skip_list(os.path.join(TESTS, "skips.txt")))
    return result
