# SPDX-License-Identifier: Apache-2.0
"""CheckpointContainer by the protocol: what is refused, and the time-out. The archive of one that
succeeds is tests/vm's, where criu knows the kernel."""
import os

import pytest
from shim_client import ShimError, pb, wait_until


def checkpoint(pod, name="a", **more):
    fields = {"location": pod.path("a.tar"), "work_dir": pod.path("work"),
              "files": [pb.CheckpointFile(name="config.dump", content="{}")], **more}
    pod.client.call("checkpoint_container",
                    pb.CheckpointContainerRequest(container_id=name, **fields))


def refused(pod, match, **more):
    with pytest.raises(ShimError, match=match):
        checkpoint(pod, **more)


def test_requests(pod):
    refused(pod, "NOT_FOUND")
    pod.prepare("b")
    refused(pod, "PRECONDITION.*not running", name="b")
    pod.run("a", ["sleep", "1000"])
    refused(pod, "INVALID.*absolute", location="a.tar")
    refused(pod, "INVALID.*absolute", work_dir="work")
    for name in ("../x", "", "a/b"):
        refused(pod, "INVALID.*name", files=[pb.CheckpointFile(name=name)])
    assert not os.path.exists(pod.path("work"))


def test_timeout(pod):
    """It is told at once; what is under way comes to its end and leaves no archive."""
    pod.run("a", ["sleep", "1000"])
    refused(pod, "TIMEOUT.*container 'a'", timeout_ms=1)

    def over():
        try:
            checkpoint(pod, timeout_ms=1)
        except ShimError as error:
            assert "TIMEOUT" in str(error) or "under way" in str(error), error
            return "TIMEOUT" in str(error)
        raise AssertionError("within a millisecond")

    wait_until(over, what="the end of the first")
    wait_until(lambda: not os.path.exists(pod.path("work", "checkpoint")), what="the end")
    assert not [name for name in os.listdir(pod.path()) if "a.tar" in name]
    assert pod.client.container_state("a").state == "running"
