# SPDX-License-Identifier: Apache-2.0
"""tared dies, pods go on; a supervisor dies, its pod is ended."""

import contextlib
import fcntl
import os
import signal
import socket
import sqlite3
import subprocess
import threading
import time

import pytest

from support.cri import Code, CriError
from support.node import cgroup_folders, running, wait_until

COUNT = "i=0; while :; do echo $i; i=$((i+1)); sleep 0.002; done"


def numbers(container):
    return [int(text) for _, _, text in container.log()]


def wait_lines(container, count):
    wait_until(lambda: len(container.log()) >= count, what=f"{count} lines")


def kill_process(pid):
    os.kill(pid, signal.SIGKILL)
    wait_until(lambda: not running(pid), what=f"the end of {pid}")


def test_everything_is_there_again(own_node):
    node = own_node
    pod = node.run_pod(labels={"a": "b"})
    stopped = node.run_pod()
    stopped.stop()
    created, busy, ended = pod.create(), pod.run(), pod.run(["sh", "-c", "exit 4"])
    ended.wait()
    before = [c.status() for c in (created, busy, ended)]
    pods = [p.status().status for p in (pod, stopped)]
    image = node.client.ListImages().images
    node.restart()
    assert [c.status() for c in (created, busy, ended)] == before
    assert [p.status().status for p in (pod, stopped)] == pods
    assert node.client.ListImages().images == image
    assert busy.exec("echo", "hello").stdout == b"hello\n"
    created.start()
    assert pod.shell("echo new") == "new\n"
    assert node.crictl("ps", "-q").text.split() != []


@pytest.mark.parametrize("damage", [
    "config = x'ff'", "config = x''", "facts = '{'", "facts = '{}'", "facts = '[]'",
    "facts = json_set(facts, '$.state', 'ready')", "facts = json_set(facts, '$.state', 77)"])
def test_a_record_that_cannot_be_read(own_node, damage):
    """What it stands for is removed, and said; all others are served."""
    node = own_node
    pods = [node.run_pod() for _ in range(2)]
    lost = pods[0].run()
    broken, fine = pods[1].run(), pods[1].run()
    state = node.path("state")
    pids = [lost.pid, broken.pid]
    paths = [f"{state}/pods/{pods[0].id}", f"{state}/pods/{broken.pod.id}/containers/{broken.id}"]
    node.kill()
    with contextlib.closing(sqlite3.connect(f"{state}/state.db")) as db, db:
        for identity in (pods[0].id, broken.id):
            assert db.execute(f"UPDATE object SET {damage} WHERE id = ?", [identity]).rowcount == 1
    node.start()
    assert [each.id for each in node.client.ListPodSandbox().items] == [pods[1].id]
    assert [each.id for each in node.client.ListContainers().containers] == [fine.id]
    assert f"pod={pods[0].id} its record cannot be read: " in node.log()
    assert f"container={broken.id} pod={pods[1].id} its record cannot be read: " in node.log()
    for pid in pids:
        wait_until(lambda pid=pid: not running(pid), what="the end of what was lost")
    for path in paths:
        wait_until(lambda path=path: not os.path.exists(path), what=f"the end of {path}")
    assert running(fine.pid) and fine.exec("true").exit_code == 0
    again = node.client.RunPodSandbox(config=pods[0].config).pod_sandbox_id  # its name is free
    assert again != pods[0].id
    said = node.log().count("cannot be read")
    node.restart()
    assert {each.id for each in node.client.ListPodSandbox().items} == {pods[1].id, again}
    assert node.log().count("cannot be read") == said


def test_no_line_is_lost(own_node):
    node = own_node
    container = node.run_pod().run(["sh", "-c", COUNT])
    wait_lines(container, 20)
    for _ in range(3):
        node.kill()
        count = len(container.log())
        wait_lines(container, count + 50)  # it goes on while nobody is there
        node.start()
        wait_lines(container, len(container.log()) + 20)
    container.stop()
    got = numbers(container)
    assert got == list(range(len(got)))


def test_exits_meanwhile_are_known(own_node):
    node = own_node
    pod = node.run_pod()
    first = pod.run(["sh", "-c", "sleep 0.3; exit 42"])
    second = pod.run(["sh", "-c", "sleep 0.3; kill -SEGV $$"])
    third = pod.run(
        ["sh", "-c", "sleep 0.3; head -c 80m /dev/zero | tail"],
        linux={"resources": {"memory_limit_in_bytes": 16 << 20}},
    )
    pids = [c.pid for c in (first, second, third)]
    node.kill()
    for pid in pids:
        wait_until(lambda pid=pid: not running(pid), what="the end of a container")
    ended = time.time_ns()
    time.sleep(0.3)
    node.start()
    status = first.wait()
    assert (status.exit_code, status.reason) == (42, "Error")
    assert status.finished_at < ended + 100_000_000, "the time of its end, not of our coming back"
    assert second.wait().exit_code == 139
    assert third.wait().exit_code != 0


def test_what_a_child_of_the_dead_holds(own_node):
    """Between its fork and its exec a child has the lock and the socket of a tared that is dead."""
    node = own_node
    node.kill()
    with open(node.path("state/state.db.lock"), "r+b") as lock, socket.socket(
        socket.AF_UNIX
    ) as listener:
        fcntl.flock(lock, fcntl.LOCK_EX)
        os.unlink(node.socket)
        listener.bind(node.socket)
        listener.listen()
        threading.Timer(0.4, lambda: fcntl.flock(lock, fcntl.LOCK_UN)).start()
        threading.Timer(0.6, listener.close).start()
        node.start()
    assert node.client.Version().runtime_name == "tare"


def test_stop_and_remove_after_a_restart(own_node):
    node = own_node
    pod = node.run_pod()
    container = pod.run(["sh", "-c", "trap 'exit 6' TERM; echo up; while :; do sleep 0.02; done"])
    wait_lines(container, 1)
    node.restart()
    container.stop(timeout=10)
    assert container.status().exit_code == 6
    container.remove()
    pod.stop()
    pod.remove()
    node.assert_nothing_left()


def test_graceful_end(own_node):
    node = own_node
    container = node.run_pod().run()
    pid = container.pid
    assert node.kill(signal.SIGTERM) == 0
    assert not os.path.exists(node.socket)
    assert running(pid)
    node.start()
    assert container.status().state == 1


def test_end_while_a_call_waits(own_node):
    """SIGTERM does not wait for ever for what is under way; the next tared goes on with it."""
    node = own_node
    container = node.run_pod().run()
    call = node.client.start("ExecSync", container_id=container.id, cmd=["sleep", "1000"])
    time.sleep(0.2)
    begin = time.monotonic()
    node.kill(signal.SIGTERM)
    assert time.monotonic() - begin < 8
    assert call.exception() is not None
    node.start()
    assert container.status().state == 1


def test_exec_is_ended_with_its_client(own_node):
    node = own_node
    container = node.run_pod().run()
    call = node.client.start("ExecSync", container_id=container.id, cmd=["sleep", "1234"])
    wait_until(lambda: b"1234" in container.exec("ps").stdout, what="the program")
    node.restart()
    assert call.exception().code() == Code.UNAVAILABLE
    container.stop()
    assert container.status().exit_code == 137


def test_a_dead_supervisor(own_node):
    """Its containers are reported as exited at once, and end; the pod is not ready."""
    node = own_node
    pod = node.run_pod(linux={"security_context": {"namespace_options": {"pid": 0}}})
    first, second = pod.run(), pod.run(["sh", "-c", COUNT])
    ended = pod.run(["sh", "-c", "exit 9"])
    ended.wait()
    other = node.run_pod().run()
    pids = [first.pid, second.pid, pod.info()["pid"]]
    node.note_pids()
    begin = time.monotonic()
    kill_process(pod.info()["supervisorPid"])
    for container in (first, second):
        status = container.wait(5)
        assert (status.exit_code, status.reason) == (137, "ShimDied")
    assert time.monotonic() - begin < 5
    assert ended.status().exit_code == 9
    assert pod.status().status.state == 1
    for pid in pids[:2]:
        wait_until(lambda pid=pid: not running(pid), what="the end of the containers")
    assert other.status().state == 1
    with pytest.raises(CriError) as error:
        pod.create()
    assert error.value.code() == Code.FAILED_PRECONDITION
    first.remove()
    pod.stop()
    assert pod.status().status.state == 1
    pod.remove()
    other.pod.remove()
    node.assert_nothing_left()


def cgroups_of(node, container):
    return [folder for folder in cgroup_folders(node.cgroup) if container.id in folder]


def test_a_supervisor_that_dies_in_a_removal(own_node):
    """The container's cgroup is there still, and nobody but tared knows of it."""
    node = own_node
    node.restart(fault="shim.delete.remove=stall")
    pod = node.run_pod()
    container = pod.run()
    removal = node.client.start("RemoveContainer", container_id=container.id)
    wait_until(lambda: container.status().state == 2, what="the end of the container")
    wait_until(lambda: [1 for op in node.client.ListOperations().operations for step in op.steps
                        if "to delete the container" in step.waits_for], what="the removal")
    assert cgroups_of(node, container)
    kill_process(pod.info()["supervisorPid"])
    removal.result()
    assert cgroups_of(node, container) == []
    pod.remove()
    node.assert_nothing_left()


def test_a_supervisor_that_died_meanwhile(own_node):
    node = own_node
    pod = node.run_pod()
    container = pod.run()
    pid, supervisor = container.pid, pod.info()["supervisorPid"]
    node.note_pids()
    node.kill()
    kill_process(supervisor)
    node.start()
    status = container.wait(5)
    assert (status.exit_code, status.reason) == (137, "ShimDied")
    assert pod.status().status.state == 1
    wait_until(lambda: not running(pid), what="the end of the container")
    pod.remove()
    node.assert_nothing_left()


def test_a_dead_pause_process(own_node):
    node = own_node
    modes = {"linux": {"security_context": {"namespace_options": {"pid": 0}}}}
    pod = node.run_pod(**modes)
    container = pod.run(**modes)
    kill_process(pod.info()["pid"])
    assert container.wait(5).exit_code == 137
    wait_until(lambda: pod.status().status.state == 1, what="the pod to be not ready")
    pod.remove()
    node.assert_nothing_left()


def test_networks_are_checked(own_node):
    """A daemon that finds pods asks CHECK; what it says is shown, and no pod is given up for it."""
    node = own_node
    whole, broken = node.run_pod(), node.run_pod()
    assert "cniCheck" not in whole.info()
    network = broken.info()["runtimeSpec"]["linux"]["namespaces"][0]["path"]
    node.inside("nsenter", f"--net={network}", "ip", "link", "del", "eth0")
    node.restart()
    for pod in (whole, broken):
        wait_until(lambda pod=pod: "cniCheck" in pod.info(), what="CHECK")
    assert whole.info()["cniCheck"] == "passed"
    assert "bridge (CHECK)" in broken.info()["cniCheck"]
    warnings = [line for line in node.log().splitlines() if "not as it was set up" in line]
    assert len(warnings) == 1 and broken.id in warnings[0]
    assert broken.status().status.state == 0
    broken.remove()


def test_a_plugin_ends_with_the_daemon(own_node):
    """What it was doing is undone by the next one: not beside it."""
    node = own_node
    hang = "[ $CNI_COMMAND = ADD ] && echo $$ > $NODE/pid && exec sleep 1000\nexit 0"
    node.add_plugin("slow", hang)
    node.write_network(plugins=[{"type": "slow"}])
    node.client.start("RunPodSandbox", config=node.pod_config())
    wait_until(lambda: os.path.exists(node.path("pid")) and os.path.getsize(node.path("pid")))
    with open(node.path("pid"), encoding="ascii") as file:
        pid = int(file.read())
    node.kill()
    wait_until(lambda: not running(pid), what="the plugin's end")
    node.start()
    wait_until(lambda: not os.listdir(node.path("state/pods")), what="the undoing")


def test_a_check_that_hangs_delays_nothing(own_node):
    node = own_node
    ok = '{"cniVersion":"1.0.0","ips":[{"address":"10.1.1.2/24"}]}'
    node.add_plugin("slow", f"[ $CNI_COMMAND = CHECK ] && exec sleep 1000; echo '{ok}'")
    node.write_network(plugins=[{"type": "slow"}])
    pods = [node.run_pod() for _ in range(3)]
    node.restart()
    waits = subprocess.run(
        [os.path.join(node.build, "src/cmd/tare"), "--address", f"unix://{node.socket}", "ops"],
        check=True,
        stdout=subprocess.PIPE,
        text=True,
    ).stdout
    assert "CheckPodNetwork" in waits and "slow (CHECK" in waits
    begin = time.monotonic()
    assert pods[0].run().exec("true").exit_code == 0
    for pod in pods:
        pod.remove()
    assert time.monotonic() - begin < 5
    node.assert_nothing_left()


def name_of(pid):
    """Of a process; none when it has ended."""
    try:
        with open(f"/proc/{pid}/comm", encoding="utf-8") as file:
            return file.read()
    except OSError:
        return ""


def test_a_dead_log_writer(own_node):
    """The container's end is told all the same; nothing of the pod is left."""
    node = own_node
    pod = node.run_pod()
    container = pod.run(["sh", "-c", COUNT])
    wait_lines(container, 5)
    supervisor = pod.info()["supervisorPid"]
    with open(f"/proc/{supervisor}/task/{supervisor}/children", encoding="utf-8") as children:
        writers = [int(pid) for pid in children.read().split() if "log" in name_of(pid)]
    assert len(writers) == 1
    kill_process(writers[0])
    container.stop()
    assert container.status().state == 2
    pod.remove()
    node.assert_nothing_left()


def test_many_pods(own_node):
    node = own_node
    containers = [node.run_pod().run() for _ in range(20)]
    begin = time.monotonic()
    node.restart()
    listed = node.client.ListContainers(filter={"state": {"state": "CONTAINER_RUNNING"}}).containers
    assert sorted(c.id for c in listed) == sorted(c.id for c in containers)
    assert time.monotonic() - begin < 5
    for container in containers:
        assert container.exec("true").exit_code == 0


def test_state_of_a_boot_before(own_node):
    """/run is empty after a reboot: images are there, pods are not, nor what they left on disk."""
    node = own_node
    pod = node.run_pod()
    pod.run()
    pod.remove()
    container = node.run_pod().create()
    left = node.path("root/containers", container.id)
    assert os.path.isdir(left)
    keep = node.path("kept")
    os.mkdir(keep)
    os.rename(left, os.path.join(keep, "c"))
    container.pod.remove()
    node.kill()
    os.rename(os.path.join(keep, "c"), left)
    os.unlink(node.path("state/state.db"))
    node.start()
    assert not node.client.ListPodSandbox().items
    assert len(node.client.ListImages().images) == 1
    node.assert_nothing_left()
    assert node.run_pod().shell("echo works") == "works\n"
