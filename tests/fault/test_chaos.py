# SPDX-License-Identifier: Apache-2.0
"""Clients at work while tared is killed again and again; in the end everything can be removed."""

import os
import random
import threading
import time

import pytest

from scenarios import CriError
from support import images
from support.cri import Code

FULL = bool(os.environ.get("TARE_FULL") or os.environ.get("TARE_CHECK_FULL"))
SEED = int(os.environ.get("TARE_SEED") or time.time_ns() % 1000000)
CLIENTS = 4
SECONDS = 60 if FULL else 6
# What a client hears whose daemon dies, or that comes back to what it, or the undoing, has done.
EXPECTED = (
    Code.UNAVAILABLE,
    Code.NOT_FOUND,
    Code.ALREADY_EXISTS,
    Code.FAILED_PRECONDITION,
    Code.CANCELLED,
)


class Worker(threading.Thread):
    """Lives of pods, one after the other; every call may fail since tared has died."""

    def __init__(self, node, number, end):
        super().__init__()
        self.node, self.number, self.end = node, number, end
        self.lives = 0
        self.problem = None
        self.start()

    def ask(self, verb, **fields):
        """The answer, after as many tries as it takes; None: not possible (any more)."""
        while time.monotonic() < self.end:
            client = self.node.client
            try:
                if client:
                    return getattr(client, verb)(deadline=20, **fields)
            except CriError as error:
                if error.code() not in EXPECTED:
                    raise
                if error.code() != Code.UNAVAILABLE and error.code() != Code.CANCELLED:
                    return None
            except ValueError:  # the client of a daemon that is gone
                pass
            time.sleep(0.02)
        return None

    def live(self, name):
        config = {
            "metadata": {"name": name, "namespace": "chaos", "uid": name},
            "log_directory": self.node.path("logs", name),
            "linux": {},
        }
        pod = self.ask("RunPodSandbox", config=config)
        if not pod:
            return
        pod = pod.pod_sandbox_id
        inner = {
            "metadata": {"name": "c"},
            "image": {"image": images.NAME},
            "linux": {},
            "command": ["sh", "-c", "sleep 1000"],
            "log_path": "c.log",
        }
        made = self.ask("CreateContainer", pod_sandbox_id=pod, config=inner, sandbox_config=config)
        if made:
            self.ask("StartContainer", container_id=made.container_id)
            self.ask("ExecSync", container_id=made.container_id, cmd=["true"])
            self.ask("StopContainer", container_id=made.container_id, timeout=0)
        self.ask("RemovePodSandbox", pod_sandbox_id=pod)
        self.lives += 1

    def run(self):
        try:
            while time.monotonic() < self.end:
                self.live(f"w{self.number}-{self.lives}")
        except BaseException as error:  # told by the test  # pylint: disable=broad-except
            self.problem = error


def test_chaos(make_node):
    print(f"TARE_SEED={SEED}")
    draw = random.Random(SEED)
    node = make_node(log_level="info")
    end = time.monotonic() + SECONDS
    workers = [Worker(node, number, end) for number in range(CLIENTS)]
    kills = 0
    while time.monotonic() < end:
        time.sleep(draw.uniform(0.05, 0.6))
        node.restart()
        kills += 1
    for worker in workers:
        worker.join()
    assert [w.problem for w in workers if w.problem] == []
    assert sum(w.lives for w in workers) >= CLIENTS, f"after {kills} kills"
    for pod in node.client.ListPodSandbox().items:
        node.client.PodSandboxStatus(pod_sandbox_id=pod.id)
    node.remove_everything()
    node.assert_nothing_left(patience=15)
    assert node.run_pod().shell("echo works") == "works\n"


@pytest.mark.parametrize("signal_name", ["SIGTERM"])
def test_upgrades(make_node, signal_name):
    """The same with ends that are asked for: calls that are under way are not lost more often."""
    import signal  # pylint: disable=import-outside-toplevel

    node = make_node(log_level="info")
    container = node.run_pod().run()
    for _ in range(8 if FULL else 3):
        call = node.client.start("ExecSync", container_id=container.id, cmd=["sleep", "0.2"])
        assert node.kill(getattr(signal, signal_name)) == 0
        assert call.exception() is None, "a call that ends within the grace is answered"
        node.start()
        assert container.status().state == 1
