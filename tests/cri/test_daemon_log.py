# SPDX-License-Identifier: Apache-2.0
"""What the daemon writes about itself: lines of JSON with the ids of what they are about."""

import json

import pytest

from support.cri import CriError
from support.node import wait_until


@pytest.fixture
def logging_node(own_node):
    """A node that writes JSON from now on; own_node.lines() are the lines since then."""
    path = own_node.path("config.toml")
    with open(path, encoding="utf-8") as file:
        text = file.read()
    with open(path, "w", encoding="utf-8") as file:
        file.write(f'log_format = "json"\n{text}')
    own_node.kill()
    before = len(own_node.log())
    own_node.start()
    own_node.lines = lambda: [json.loads(line) for line in own_node.log()[before:].splitlines()]
    return own_node


def test_lines_have_the_ids(logging_node):
    node = logging_node
    pod = node.run_pod()
    ended = pod.run(["sh", "-c", "exit 3"])
    ended.wait()
    failed = pod.create(["/no/such/program"])
    with pytest.raises(CriError):
        failed.start()

    def of(**wanted):
        return [line for line in node.lines() if wanted.items() <= line.items()]

    exited, = wait_until(lambda: of(container=ended.id, msg="exited with 3 (Error)"), what="a line")
    assert exited["pod"] == pod.id and exited["level"] == "info"
    line, = of(verb="StartContainer", container=failed.id)
    assert line["pod"] == pod.id and line["level"] == "warning"
    assert line["msg"].startswith("failed: ") and "/no/such/program" in line["msg"]
    operations = node.client.ListOperations(recent=True).operations
    found, = [o for o in operations if str(o.id) == line["op"]]
    assert (found.verb, found.object) == ("StartContainer", failed.id)
    run, = of(verb="RunPodSandbox")
    assert run["pod"] == pod.id and "container" not in run and run["level"] == "debug"
    for line in node.lines():
        assert {"time", "level", "program", "msg"} <= set(line) and line["program"] == "tared"
