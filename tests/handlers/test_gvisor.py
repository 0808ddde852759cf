# SPDX-License-Identifier: Apache-2.0
"""Pods in gVisor's sandbox: one sandbox for a pod, its containers learnt of by `runsc wait`."""

import glob
import json
import os
import signal
import subprocess

import pytest

from conftest import find, remove_kube_cgroups, table
from support.cri import Code, CriError
from support.node import cgroup_path, running, wait_until

OPTIONS = """options = ["--platform=systrap", "--network=sandbox"]
wait = true
infra = true
pod_annotations = ["dev.gvisor.*"]
"""
TRAP = "trap 'exit 6' TERM; echo up; while :; do sleep 0.05; done"
SECONDS = 30  # a sandbox takes its time on a busy machine


@pytest.fixture
def node(make_node):
    made = make_node(config=table("runsc", find("runsc", "TARE_RUNSC", "runsc"), OPTIONS))
    yield made
    made.remove_everything()
    drop_null_namespace(made)
    remove_kube_cgroups(made)


def drop_null_namespace(node):
    """What runsc keeps in its state folder for all sandboxes to come."""
    node.inside("umount", node.path("state/runtimes/runsc/null-netns"))


def run_pod(node, **linux):
    """With a cgroup of its own, as the kubelet gives it one."""
    return node.run_pod(handler="runsc", annotations={"dev.gvisor.test": "yes", "other/one": "no"},
                        linux={"cgroup_parent": f"{node.cgroup}/kube/pod1", **linux})


def wait_lines(container, count):
    wait_until(lambda: len(container.log()) >= count, SECONDS, f"{count} lines")


def sandbox_processes(pod):
    """The host's processes of the sandbox: all are in its first container's cgroup."""
    with open(os.path.join(cgroup_path(f"{pod.node.cgroup}/kube/pod1"), pod.id, "cgroup.procs"),
              encoding="utf-8") as procs:
        return [int(pid) for pid in procs.read().split()]


def test_life(node):
    pod = run_pod(node)
    assert "gvisor" in pod.shell("uname -r")
    server = pod.run(["sh", "-c", "echo up; nc -l -p 4000 -e echo hello; exit 5"])
    wait_lines(server, 1)
    client = pod.run(["sh", "-c", "until nc 127.0.0.1 4000 </dev/null; do sleep 0.1; done"])
    assert client.wait(SECONDS).exit_code == 0
    assert client.text() == "hello\n", "two containers of one sandbox share its network"
    assert server.wait(SECONDS).exit_code == 5
    trapped = pod.run(["sh", "-c", TRAP])
    wait_lines(trapped, 1)
    done = trapped.exec("sh", "-c", "echo out; exit 3")
    assert (done.stdout, done.exit_code) == (b"out\n", 3)
    node.restart()
    trapped.stop(timeout=SECONDS)
    assert trapped.status().exit_code == 6
    killed = pod.run()
    killed.stop()
    assert killed.status().exit_code == 137
    killed.remove()
    pod.stop()
    pod.remove()
    assert not glob.glob(node.path("state/runtimes/runsc/*.state"))
    remove_kube_cgroups(node)
    drop_null_namespace(node)
    node.assert_nothing_left()


def test_exec_timeout(node):
    """What ran too long is gone, and so is what it started; the container is not."""
    container = run_pod(node).run(["sleep", "1000"])
    with pytest.raises(CriError) as error:
        container.exec("sh", "-c", "sleep 2001 & sleep 2002", timeout=2)
    assert error.value.code() == Code.DEADLINE_EXCEEDED
    seen = container.exec("ps", "-o", "args").stdout
    assert b"sleep 1000" in seen
    assert b"sleep 2001" not in seen and b"sleep 2002" not in seen


def test_killed_sandbox(node):
    pod = run_pod(node)
    first, second = pod.run(["sh", "-c", TRAP]), pod.run()
    wait_lines(first, 1)
    pids = sandbox_processes(pod)
    node.note_pids()
    for pid in pids:
        try:
            os.kill(pid, signal.SIGKILL)
        except ProcessLookupError:  # it went with the one before
            pass
    for container in (first, second):
        assert container.wait(SECONDS).exit_code == 137
    wait_until(lambda: pod.status().status.state == 1, SECONDS, "the pod to be not ready")
    pod.stop()
    pod.remove()
    for pid in pids:
        wait_until(lambda pid=pid: not running(pid), SECONDS, "the end of the sandbox")
    remove_kube_cgroups(node)
    drop_null_namespace(node)
    node.assert_nothing_left()


def test_overhead(node):
    """The handler is told of it, and what the sandbox uses is the pod's."""
    pod = run_pod(node, overhead={"memory_limit_in_bytes": 128 << 20, "cpu_shares": 256},
                  resources={"memory_limit_in_bytes": 192 << 20, "cpu_quota": 50000,
                             "cpu_period": 100000})
    with open(node.path("state/pods", pod.id, "infra/config.json"), encoding="utf-8") as file:
        found = json.load(file)["annotations"]
    assert json.loads(found["io.kubernetes.cri-o.PodLinuxOverhead"]) == {
        "memory_limit_in_bytes": 128 << 20, "cpu_shares": 256}
    assert found["io.kubernetes.cri.sandbox-memory"] == str(192 << 20)
    assert found["io.kubernetes.cri.sandbox-cpu-quota"] == "50000"
    assert found["dev.gvisor.test"] == "yes" and "other/one" not in found
    container = pod.run()

    def sampled():
        stats = node.client.PodSandboxStats(pod_sandbox_id=pod.id).stats.linux
        return stats if stats.memory.working_set_bytes.value else None

    stats = wait_until(sampled, SECONDS, "statistics of the pod")
    assert stats.memory.usage_bytes.value > 1 << 20, "a sandbox that runs has more than that"
    assert stats.cpu.usage_core_nano_seconds.value > 0 and stats.process.process_count.value > 1
    assert container.status().state == 1


def test_user_namespaces_are_not_announced(make_node):
    """`runsc features` has what they need; a sandbox does not enter the one of its pod."""
    node = make_node(image=False,
                     config=table("runsc", find("runsc", "TARE_RUNSC", "runsc"), OPTIONS))
    users = [{"host_id": 200000, "container_id": 0, "length": 65536}]

    def refused():
        with pytest.raises(CriError) as error:
            node.run_pod(handler="runsc", linux={"security_context": {"namespace_options": {
                "userns_options": {"mode": "POD", "uids": users, "gids": users}}}})
        # until `runsc features` has answered
        return error.value if error.value.code() != Code.UNAVAILABLE else None

    error = wait_until(refused, SECONDS, "an answer for good")
    assert "the pod's runtime handler" in error.details(), error.details()
    features = {h.name: h.features for h in node.client.Status().runtime_handlers}
    assert features[""].user_namespaces and not features["runsc"].user_namespaces


def test_image_volume(node, data_image):
    pod = run_pod(node)
    mounts = [{"container_path": "/data", "image": {"image": data_image}, "readonly": True}]
    assert pod.shell("cat /data/models/weights; ! touch /data/x", mounts=mounts) == "low\n"


def test_attach(node):
    container = run_pod(node).run(["sh", "-c", "while read -r x; do echo got $x; done"],
                                  stdin=True, stdin_once=True)
    attach = subprocess.run(
        node.inside_command(node.crictl_path, "--config", node.path("crictl.yaml"), "attach", "-i",
                            container.id),
        check=False, input="one\n", text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        timeout=60)
    assert container.wait(SECONDS).exit_code == 0, attach.stderr
    assert container.text() == "got one\n"


def test_port_forward(node):
    """The sandbox has a network of its own inside: its localhost is nobody else's."""
    pod = run_pod(node)
    server = pod.run(["sh", "-c", "mkdir /www; echo page > /www/index.html; "
                                  "exec httpd -f -p 127.0.0.1:8080 -h /www"])
    # crictl ends when a connection is refused
    server.exec("sh", "-c", "until nc 127.0.0.1 8080 </dev/null; do sleep 0.1; done")
    forward = subprocess.Popen(
        node.inside_command(node.crictl_path, "--config", node.path("crictl.yaml"), "port-forward",
                            pod.id, "18080:8080"),
        stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    node.helpers.add(forward.pid)
    try:
        assert "Forwarding from 127.0.0.1:18080" in forward.stdout.readline()

        def page():
            return node.inside("curl", "-s", "http://127.0.0.1:18080/index.html").stdout == "page\n"

        wait_until(page, SECONDS, "the page")
        assert page(), "a second connection"
    finally:
        forward.kill()
        forward.communicate()


def test_a_waiter_that_dies_takes_the_container_with_it(node):
    """It is told as exited: so it must not run on."""
    pod = run_pod(node)
    container = pod.run(["sh", "-c", TRAP])
    wait_lines(container, 1)
    supervisor = pod.info()["supervisorPid"]
    with open(f"/proc/{supervisor}/task/{supervisor}/children", encoding="utf-8") as children:
        pids = [int(pid) for pid in children.read().split()]

    def words(pid):
        with open(f"/proc/{pid}/cmdline", encoding="utf-8") as line:
            return line.read().split("\0")

    (waiter,) = [pid for pid in pids if "wait" in words(pid) and container.id in words(pid)]
    os.kill(waiter, signal.SIGKILL)
    assert container.wait(SECONDS).exit_code == 137
    runsc = node.inside(find("runsc", "TARE_RUNSC", "runsc"), "--root",
                        node.path("state/runtimes/runsc"), "state", container.id)
    assert json.loads(runsc.stdout)["status"] == "stopped", runsc.stdout + runsc.stderr
