# SPDX-License-Identifier: Apache-2.0
"""What happens to a node during a soak: processes of tare are killed, plugins fail and hang.

Only processes of the node are ended: children of its tared, and what is in its cgroups.
"""
import collections
import os
import signal
import threading
import time

from support import leaks
from support.node import PLUGINS, cgroup_folders, wait_until

PAUSE = (0.3, 2.5)  # seconds between two faults
FAULTY_BRIDGE = f"""\
[ -e $NODE/cni-hang ] && [ "$CNI_COMMAND" = ADD ] && exec sleep 1000
[ -e $NODE/cni-fail ] && echo '{{"cniVersion":"1.0.0","code":100,"msg":"a fault"}}' && exit 1
exec {PLUGINS}/bridge
"""


def prepare(node):
    """The bridge plugin behind a switch."""
    node.add_plugin("faulty-bridge", FAULTY_BRIDGE)
    path = node.path("cni", "10-test.conflist")
    with open(path, encoding="utf-8") as file:
        text = file.read()
    with open(path, "w", encoding="utf-8") as file:
        file.write(text.replace('"type": "bridge"', '"type": "faulty-bridge"'))


def ours(node, name):
    """Processes of the node by the name that /proc shows."""
    found = set()
    for folder in cgroup_folders(node.cgroup):
        try:
            with open(os.path.join(folder, "cgroup.procs"), encoding="utf-8") as procs:
                found |= {int(pid) for pid in procs.read().split()}
        except OSError:
            pass
    if node.process:
        found |= set(leaks.descendants(node.process.pid))
    chosen = []
    for pid in sorted(found):
        try:
            with open(f"/proc/{pid}/comm", encoding="utf-8", errors="replace") as comm:
                if comm.read().strip() == name:
                    chosen.append(pid)
        except OSError:
            pass
    return chosen


def kill_one(name):
    def fault(shared, draw):
        chosen = ours(shared.node, name)
        if not chosen:
            return False
        try:
            os.kill(draw.choice(chosen), signal.SIGKILL)
        except ProcessLookupError:
            return False
        return True

    fault.__name__ = f"SIGKILL {name}"
    return fault


def restart(signo):
    def fault(shared, _draw):
        shared.node.kill(signo)
        shared.node.start()
        return True

    fault.__name__ = f"{signo.name} tared"
    return fault


def plugin(what):
    def fault(shared, draw):
        switch = shared.node.path(f"cni-{what}")
        with open(switch, "w", encoding="utf-8"):
            pass
        time.sleep(draw.uniform(0.2, 1.5))
        os.unlink(switch)
        return True

    fault.__name__ = f"CNI {what}"
    return fault


FAULTS = (
    restart(signal.SIGKILL),
    restart(signal.SIGTERM),
    kill_one("tare-shim"),
    kill_one("tare-shim-log"),
    kill_one("tare-stream"),
    kill_one("tare-sampler"),
    kill_one("tare-image"),
    kill_one("tare-runtime"),
    plugin("fail"),
    plugin("hang"),
)


def run(shared, draw, end):
    """Starts them; returns the counter, which is complete after stop()."""
    done = collections.Counter()
    shared.faults_at_work.set()

    def work():
        while time.monotonic() < end:
            time.sleep(draw.uniform(*PAUSE))
            fault = draw.choice(FAULTS)
            if fault(shared, draw):
                done[fault.__name__] += 1

    shared.faults = threading.Thread(target=work)
    shared.faults.start()
    return done


def stop(shared):
    if shared.faults_at_work.is_set():
        shared.faults.join()
        shared.faults_at_work.clear()
    wait_until(lambda: shared.node.process is not None, what="tared after the last fault")
