# SPDX-License-Identifier: Apache-2.0
"""GetContainerEvents: what happens, in order, also to a client that comes back."""

import os
import signal
import subprocess
import time

import pytest

from support.cri import Client, Code, CriError
from support.node import wait_until

CREATED, STARTED, STOPPED, DELETED = range(4)


class Reader:
    """One stream; events are read as they are asked for. since: not what was replayed before."""

    def __init__(self, node, since=0):
        self.since = since
        self.client = Client(node.socket, node.services)
        self.stream = self.client.stream("GetContainerEvents")
        self.stream.initial_metadata()  # the stream is registered

    def until(self, kind, identity):
        """The events up to this one, and it."""
        seen = []
        for event in self.stream:
            if event.created_at < self.since:
                continue
            seen.append(event)
            if (event.container_event_type, event.container_id) == (kind, identity):
                return seen
        raise AssertionError(f"the stream ended after {kinds(seen)}")

    def close(self):
        self.stream.cancel()
        self.client.close()


@pytest.fixture
def reader(node):
    made = Reader(node, time.time_ns())
    yield made
    made.close()


@pytest.fixture
def own_reader(own_node):
    made = Reader(own_node)
    yield made
    made.close()


def kinds(events):
    return [(event.container_event_type, event.container_id) for event in events]


def live_through(node):
    """A pod and a container from start to end; what is to be told of them."""
    pod = node.run_pod(labels={"a": "b"})
    container = pod.run(["sh", "-c", "exit 3"])
    container.wait()
    container.remove()
    pod.stop()
    pod.remove()
    return pod.id, container.id, [
        (CREATED, pod.id),
        (STARTED, pod.id),
        (CREATED, container.id),
        (STARTED, container.id),
        (STOPPED, container.id),
        (DELETED, container.id),
        (STOPPED, pod.id),
        (DELETED, pod.id),
    ]


def test_a_life(node, reader):
    pod, container, expected = live_through(node)
    events = reader.until(DELETED, pod)
    assert kinds(events) == expected
    times = [event.created_at for event in events]
    assert times == sorted(set(times)) and times[0] > 10**18
    for event in events:
        assert event.pod_sandbox_status.id == pod
        assert event.pod_sandbox_status.metadata.name
        assert event.pod_sandbox_status.labels == {"a": "b"}
    assert events[-1].pod_sandbox_status.state == 1  # SANDBOX_NOTREADY


def test_statuses_go_along(node, reader):
    pod = node.run_pod()
    first, second = pod.run(), pod.run()
    event = reader.until(STARTED, second.id)[-1]
    assert [status.id for status in event.containers_statuses] == [first.id, second.id]
    assert event.containers_statuses[1].state == 1  # CONTAINER_RUNNING
    second.stop(0)
    event = reader.until(STOPPED, second.id)[-1]
    assert event.containers_statuses[1].exit_code == 137
    second.remove()
    event = reader.until(DELETED, second.id)[-1]
    assert [status.id for status in event.containers_statuses] == [first.id]


def test_a_start_that_fails_is_an_end(node, reader):
    container = node.run_pod().create(["/no/such/program"])
    with pytest.raises(CriError):
        container.start()
    events = reader.until(STOPPED, container.id)
    assert (STARTED, container.id) not in kinds(events)
    assert events[-1].containers_statuses[0].reason == "StartError"


def test_what_fails_to_be_made_is_not_told(node, reader):
    pod = node.run_pod()
    with pytest.raises(CriError):
        pod.create(image={"image": "no.such/image:1"})
    pod.stop()
    assert kinds(reader.until(STOPPED, pod.id)) == [
        (CREATED, pod.id),
        (STARTED, pod.id),
        (STOPPED, pod.id),
    ]


def test_nothing_is_lost_while_nobody_listens(own_node, own_reader):
    pod, _, expected = live_through(own_node)
    assert kinds(own_reader.until(DELETED, pod)) == expected
    own_reader.close()
    other, _, more = live_through(own_node)
    again = Reader(own_node)
    assert kinds(again.until(DELETED, other)) == expected + more
    again.close()


def test_streams_do_not_share(node, reader):
    other = Reader(node, reader.since)
    pod, _, expected = live_through(node)
    assert kinds(reader.until(DELETED, pod)) == expected
    assert kinds(other.until(DELETED, pod)) == expected
    other.close()


def test_the_daemon_ends(own_node, own_reader):
    own_node.process.send_signal(signal.SIGTERM)
    with pytest.raises(CriError) as error:
        list(own_reader.stream)
    assert error.value.code() == Code.UNAVAILABLE
    assert own_node.wait_end() == 0
    own_node.start()


def test_an_end_while_no_daemon_was_there(own_node):
    pod = own_node.run_pod()
    container = pod.run(["sleep", "1000"])
    pid = container.pid
    record = own_node.path("state/pods", pod.id, f"exits/{container.id}.json")
    own_node.kill()
    os.kill(pid, signal.SIGKILL)
    wait_until(lambda: os.path.exists(record), what="the exit record")
    own_node.start()
    reader = Reader(own_node)
    assert kinds(reader.until(STOPPED, container.id)) == [
        (CREATED, pod.id),
        (STARTED, pod.id),
        (CREATED, container.id),
        (STARTED, container.id),
        (STOPPED, container.id),
    ]
    reader.close()


@pytest.mark.full
def test_who_does_not_read_is_told(own_node, own_reader):
    """Its queue is full soon (the annotation); what is kept for it are the last 1024 events."""
    pod = own_node.run_pod(annotations={"big": "x" * 60000})
    own_reader.until(STARTED, pod.id)
    client = own_node.client
    for _ in range(40):
        made = [pod.create() for _ in range(16)]
        for call in [client.start("RemoveContainer", container_id=c.id) for c in made]:
            call.result()
    with pytest.raises(CriError) as error:
        list(own_reader.stream)
    assert error.value.code() == Code.RESOURCE_EXHAUSTED
    assert "too slow" in error.value.details()


def test_crictl(node):
    watch = subprocess.Popen(
        [node.crictl_path, "--config", node.path("crictl.yaml"), "events"],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    try:
        pod = node.run_pod()
        seen = []
        while pod.id not in "".join(seen):
            line = watch.stdout.readline()
            assert line, "".join(seen)
            seen.append(line)
        assert "CONTAINER_CREATED_EVENT" in "".join(seen)
    finally:
        watch.kill()
        watch.wait()
