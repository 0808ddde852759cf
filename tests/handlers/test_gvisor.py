# SPDX-License-Identifier: Apache-2.0
"""Pods in gVisor's sandbox: one sandbox for a pod, its containers learnt of by `runsc wait`.

runsc is no tool of ./check: its build takes minutes. TARE_RUNSC names one."""

import glob
import os

import pytest

from support.cri import Code, CriError
from support.node import wait_until

TABLE = """[runtimes.runsc]
kind = "oci"
path = "%s"
options = ["--platform=systrap", "--ignore-cgroups", "--network=sandbox"]
wait = true
infra = true
"""
TRAP = "trap 'exit 6' TERM; echo up; while :; do sleep 0.05; done"


@pytest.fixture(scope="module")
def runsc():
    path = os.environ.get("TARE_RUNSC")
    return path or pytest.skip("TARE_RUNSC names no runsc")


def drop_null_namespace(node):
    """What runsc keeps in its state folder for all sandboxes to come."""
    node.inside("umount", node.path("state/runtimes/runsc/null-netns"))


@pytest.fixture
def node(make_node, runsc):
    made = make_node(config=TABLE % runsc)
    yield made
    made.remove_everything()
    drop_null_namespace(made)


def wait_lines(container, count):
    wait_until(lambda: len(container.log()) >= count, 20, f"{count} lines")


def test_life(node):
    pod = node.run_pod(handler="runsc")
    assert "gvisor" in pod.shell("uname -r")
    server = pod.run(["sh", "-c", "echo up; nc -l -p 4000 -e echo hello; exit 5"])
    wait_lines(server, 1)
    client = pod.run(["sh", "-c", "until nc 127.0.0.1 4000 </dev/null; do sleep 0.1; done"])
    assert client.wait(20).exit_code == 0
    assert client.text() == "hello\n", "two containers of one sandbox share its network"
    assert server.wait(20).exit_code == 5
    trapped = pod.run(["sh", "-c", TRAP])
    wait_lines(trapped, 1)
    done = trapped.exec("sh", "-c", "echo out; exit 3")
    assert (done.stdout, done.exit_code) == (b"out\n", 3)
    with pytest.raises(CriError) as error:
        trapped.exec("sleep", "2000", timeout=1)
    assert error.value.code() == Code.DEADLINE_EXCEEDED
    node.restart()
    trapped.stop(timeout=20)
    assert trapped.status().exit_code == 6
    killed = pod.run()
    killed.stop()
    assert killed.status().exit_code == 137
    killed.remove()
    pod.stop()
    pod.remove()
    assert not glob.glob(node.path("state/runtimes/runsc/*.state"))
    drop_null_namespace(node)
    node.assert_nothing_left()
