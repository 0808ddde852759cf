# SPDX-License-Identifier: Apache-2.0
"""What a test may leave behind, as a set of lines to compare before and after."""
import os
import re
import socket
import time

MAKER = re.compile(r"tare-test-(?:.*-)?([0-9]+)")  # tare-test-AREA-PID: the name of a test's cgroup
STATE_FOLDERS = ("/run/netns", "/run/tare", "/var/lib/tare", "/var/lib/cni", "/var/run/netns")


def cgroup_hierarchies():
    with open("/proc/thread-self/mountinfo", encoding="utf-8") as lines:
        for line in lines:
            fields = line.split()
            if fields[fields.index("-") + 1] in ("cgroup", "cgroup2"):
                yield fields[4]


def cgroups(makers=None):
    """The cgroups of tare; of those that tests made only those of makers (pids) if given."""
    found = set()
    for root in cgroup_hierarchies():
        for name in os.listdir(root):
            path = os.path.join(root, name)
            if not name.startswith("tare") or not os.path.isdir(path):
                continue
            maker = MAKER.fullmatch(name)
            if makers is None or not maker or int(maker[1]) in makers:
                found.add(f"cgroup {path}")
    return found


def remove_cgroups(makers):
    """Removes what tests of makers, which are dead, have left; their processes are, too."""
    for root in cgroup_hierarchies():
        for name in os.listdir(root):
            maker = MAKER.fullmatch(name)
            if maker and int(maker[1]) in makers:
                for folder, _, _ in os.walk(os.path.join(root, name), topdown=False):
                    try:
                        os.rmdir(folder)
                    except OSError:
                        pass  # a process that has not gone yet: then it is listed as a leak


def mounts():
    """Of the calling process's namespace, without the numbers that change."""
    with open("/proc/thread-self/mountinfo", encoding="utf-8") as lines:
        return {"mount " + " ".join(line.split()[3:5]) for line in lines}


def links():
    return {f"network link {name}" for _, name in socket.if_nameindex()}


def files():
    found = set()
    for folder in STATE_FOLDERS:
        if os.path.isdir(folder) and not os.path.islink(folder):
            found |= {f"file {os.path.join(folder, name)}" for name in os.listdir(folder)}
    return found


def temporary(folder):
    """What tests have made in the folder for temporary files under the names that they use."""
    return [f"file {os.path.join(folder, name)}" for name in sorted(os.listdir(folder))
            if name.startswith("tare-test-")]


def snapshot():
    return cgroups() | mounts() | links() | files()


def left(before, take=snapshot, patience=3.0):
    """What is there now and was not before; what goes within patience (seconds) is no leak."""
    end = time.monotonic() + patience
    while True:
        now = sorted(take() - before)
        if not now or time.monotonic() > end:
            return now
        time.sleep(0.05)


def parents():
    """{pid: parent's pid} of every process."""
    table = {}
    for entry in os.listdir("/proc"):
        if not entry.isdigit():
            continue
        try:
            with open(f"/proc/{entry}/stat", encoding="utf-8", errors="replace") as stat:
                fields = stat.read().rpartition(")")[2].split()
        except OSError:
            continue
        table[int(entry)] = int(fields[1])
    return table


def descendants(root):
    """The pids below root, children before their own children."""
    table = parents()
    found, level = [], [root]
    while level:
        level = [pid for pid, parent in table.items() if parent in level]
        found += level
    return found


def command_of(pid):
    try:
        with open(f"/proc/{pid}/cmdline", "rb") as cmdline:
            text = cmdline.read().replace(b"\0", b" ").decode(errors="replace").strip()
        with open(f"/proc/{pid}/comm", encoding="utf-8", errors="replace") as comm:
            return text or f"[{comm.read().strip()}]"
    except OSError:
        return "gone"
