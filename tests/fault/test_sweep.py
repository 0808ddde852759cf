# SPDX-License-Identifier: Apache-2.0
"""Each verb with a fault at each of its steps; the same request again; nothing is left."""

import os
import random
import signal
import threading
import time

import pytest

from scenarios import ALL, CriError
from support import points
from support.node import Node

FULL = bool(os.environ.get("TARE_FULL") or os.environ.get("TARE_CHECK_FULL"))
SEED = int(os.environ.get("TARE_SEED") or time.time_ns() % 1000000)
SAMPLE = 0.5  # of the points, unless all are wanted
INSTANTS, INSTANTS_FULL = 1, 12  # a verb
draw = random.Random(SEED)


def sample(some):
    some = list(some)
    return some if FULL else sorted(draw.sample(some, max(1, round(len(some) * SAMPLE))))


VERB_POINTS = [point for verb in ALL for point in points.of_verb(verb)]
RANDOM_INSTANTS = [
    (verb, round(draw.uniform(0, 0.12), 3))
    for verb in ALL
    for _ in range(INSTANTS_FULL if FULL else INSTANTS)
]


@pytest.fixture(scope="module")
def nodes(build, services, crictl, layout):
    """A list of at most one node, which the tests share until one of them fails."""
    some = []

    def get():
        if not some:
            some.append(Node(build, services, crictl))
            some[0].start()
            some[0].load_image(layout)
        return some[0]

    get.drop = lambda: some.pop().wipe()
    yield get
    if some:
        some[0].stop()


@pytest.fixture
def node(nodes, request):
    shared = nodes()
    print(f"TARE_SEED={SEED}")
    yield shared
    try:
        assert not request.node.report_call.failed
        if shared.process is None or shared.process.poll() is not None:
            shared.process = None
            shared.start()
        shared.remove_everything()
        shared.assert_nothing_left()
    except BaseException:
        print("--- tared's log, its end ---\n" + "\n".join(shared.log().splitlines()[-25:]))
        nodes.drop()
        if not request.node.report_call.failed:
            raise


def scenario_of(node, verb):
    scenario = ALL[verb](node)
    scenario.prepare()
    node.note_pids()
    return scenario


def finish(node, scenario):
    scenario.done()
    scenario.clean()
    node.remove_everything()
    node.assert_nothing_left()


def test_the_tables_are_found():
    assert len(VERB_POINTS) >= 70
    assert len(points.runtime()) >= 25
    assert len(points.shim()) >= 12


@pytest.mark.parametrize("point", sample(VERB_POINTS))
def test_killed_at(node, point):
    scenario = scenario_of(node, point.split(".")[0])
    node.restart(f"{point}=kill")
    with pytest.raises(CriError):
        scenario.request()
    assert node.wait_end() == -signal.SIGKILL
    node.start()
    scenario.settled()
    scenario.retry()
    finish(node, scenario)


@pytest.mark.parametrize("point", sample(VERB_POINTS))
def test_fails_at(node, point):
    scenario = scenario_of(node, point.split(".")[0])
    node.restart(f"{point}=fail")
    with pytest.raises(CriError) as error:
        scenario.request()
    assert f"fault injected at {point}" in error.value.details()
    scenario.undone(point)
    scenario.retry()
    finish(node, scenario)


# Points that are not steps: where files are put in their place, by whichever process comes there.
COMMITS = [
    ("ImportImage", point)
    for point in (
        "snapshot.commit.before",
        "snapshot.commit.renamed",
        "content.commit.before",
        "content.commit.renamed",
        "image.sync",
    )
]
COMMITS += [
    ("RunPodSandbox", f"io.replace.{when}:{nth}")
    for when in ("written", "renamed")
    for nth in (1, 2, 3)
]
COMMITS += [("CreateContainer", f"io.replace.{when}") for when in ("written", "renamed")]


@pytest.mark.parametrize("action", ["kill", "fail"])
@pytest.mark.parametrize("verb, point", sample(COMMITS))
def test_file_at(node, verb, point, action):
    scenario = scenario_of(node, verb)
    node.restart(f"{point}={action}")
    with pytest.raises(CriError):
        scenario.request()
    node.restart()
    scenario.settled()
    scenario.retry()
    finish(node, scenario)


class Call(threading.Thread):
    """A request by a thread of its own."""

    def __init__(self, request):
        super().__init__()
        self.request, self.answered = request, False
        self.start()

    def run(self):
        try:
            self.request()
            self.answered = True
        except CriError:
            pass


@pytest.mark.parametrize("verb, seconds", RANDOM_INSTANTS)
def test_killed_after(node, verb, seconds):
    """At an instant that no table names."""
    scenario = scenario_of(node, verb)
    call = Call(scenario.request)
    time.sleep(seconds)
    node.kill()
    call.join()
    node.start()
    scenario.settled()
    if not call.answered:
        scenario.retry()
    finish(node, scenario)


@pytest.mark.parametrize("action", ["kill", "fail"])
@pytest.mark.parametrize("point", sample(points.shim()))
def test_supervisor_at(node, point, action):
    """The pod's supervisor fails or dies while it makes the namespaces: the pod is undone."""
    scenario = scenario_of(node, "RunPodSandbox")
    node.restart(f"{point}={action}")
    with pytest.raises(CriError):
        scenario.request()
    scenario.undone(point)
    node.restart()
    scenario.retry()
    finish(node, scenario)


@pytest.mark.parametrize("action", ["kill", "fail"])
@pytest.mark.parametrize("point", sample(points.runtime()))
def test_runtime_at(node, point, action):
    """The creator or the init of a container fails or dies: StartError, and it can be removed."""
    scenario = scenario_of(node, "CreateContainer")
    node.restart(f"{point}={action}")
    pod = node.run_pod()  # its supervisor has the fault
    container = pod.create(["true"])
    try:
        container.start()
    except CriError:
        status = container.status()
        assert (status.state, status.exit_code, status.reason) == (2, 128, "StartError"), status
        assert status.message
    else:  # a step that this container does not need, or one after which the start has been told
        container.wait()
    container.remove()
    pod.remove()
    node.restart()
    scenario.retry()
    finish(node, scenario)
