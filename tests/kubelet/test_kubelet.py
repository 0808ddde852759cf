# SPDX-License-Identifier: Apache-2.0
"""What people do with pods through kubectl, on a node that runs tared."""
import json
import os
import re
import subprocess
import time

import pytest
from support import images
from support.metrics import BASE, MAY_MISS, OF_CONTAINERS, OF_PODS
from support.node import cgroup_path, wait_until

from cluster import ADDRESS, NODE, Terminal

READY = 0  # of PodSandboxState
SCRIPT = ("echo hello from $(hostname); echo warned >&2; touch /tmp/ok; "
          "exec httpd -f -p 8080 -h /tmp")


def pod_of(name, script=SCRIPT, **container):
    """A pod of two containers with a probe and limits."""
    main = {
        "name": "main", "image": images.NAME, "imagePullPolicy": "IfNotPresent",
        "command": ["sh", "-c", script],
        "readinessProbe": {"exec": {"command": ["cat", "/tmp/ok"]}, "periodSeconds": 1},
        "resources": {"limits": {"memory": "64Mi", "cpu": "200m"}},
        **container,
    }
    side = {"name": "side", "image": images.NAME, "imagePullPolicy": "IfNotPresent",
            "command": ["sh", "-c", "sleep 10000"]}
    return {
        "apiVersion": "v1", "kind": "Pod", "metadata": {"name": name, "namespace": "default"},
        "spec": {"nodeName": NODE, "containers": [main, side], "enableServiceLinks": False,
                 "automountServiceAccountToken": False, "terminationGracePeriodSeconds": 1},
    }


@pytest.fixture
def pod(cluster):
    """The name of a pod that is ready."""
    cluster.count = getattr(cluster, "count", 0) + 1
    name = f"pod{cluster.count}"
    cluster.run_pod(pod_of(name))
    yield name
    delete(cluster, name)


def delete(cluster, name):
    cluster.kubectl("delete", "pod", name, "--wait=false")
    wait_until(lambda: cluster.pod(name) is None, 40, f"pod {name} to be gone")


def containers_of(cluster, name):
    return {c["name"]: c for c in cluster.pod(name)["status"]["containerStatuses"]}


def test_pod_becomes_ready_and_goes(cluster):
    found = cluster.run_pod(pod_of("first"))
    assert found["status"]["podIP"].startswith("10.88.")
    assert [c["restartCount"] for c in found["status"]["containerStatuses"]] == [0, 0]
    assert cluster.kubectl("logs", "first", "-c", "main").out == "hello from first\nwarned\n"
    delete(cluster, "first")
    # the kubelet removes what it has stopped when it next collects garbage
    assert not [p for p in cluster.node.client.ListPodSandbox().items if p.state == READY]


def test_static_pod(cluster):
    path = cluster.path("manifests", "web.json")
    with open(f"{path}.new", "w", encoding="utf-8") as file:
        json.dump(pod_of("web"), file)
    os.rename(f"{path}.new", path)
    cluster.wait_ready(f"web-{NODE}")
    os.unlink(path)
    wait_until(lambda: cluster.pod(f"web-{NODE}") is None, 40, "the static pod to be gone")


def test_statistics(cluster, pod):
    def mine():
        summary = cluster.kubectl("get", "--raw", f"/api/v1/nodes/{NODE}/proxy/stats/summary").json
        found = [p for p in summary["pods"] if p["podRef"]["name"] == pod]
        used = found[0].get("memory", {}).get("workingSetBytes", 0) if found else 0
        return found[0] if used else None

    stats = wait_until(mine, 30, "statistics of the pod")
    assert {c["name"] for c in stats["containers"]} == {"main", "side"}


def test_metrics(cluster, pod):
    """What the kubelet has at the place where cAdvisor's metrics were: all by names and labels."""

    def mine():
        text = cluster.kubectl("get", "--raw", f"/api/v1/nodes/{NODE}/proxy/metrics/cadvisor").out
        found = {}
        for name, labels in re.findall(r"^(container_\w+)\{(.*)\} ", text, re.M):
            labels = dict(re.findall(r'(\w+)="([^"]*)"', labels))
            if labels["pod"] == pod and labels["namespace"] == "default":
                found.setdefault(labels["container"], {}).setdefault(name, []).append(labels)
        return found if {"", "main", "side"} <= set(found) else None

    found = wait_until(mine, 60, "metrics of the pod")
    assert set(found) == {"", "main", "side"}
    for container, table in (("", OF_PODS), ("main", OF_CONTAINERS), ("side", OF_CONTAINERS)):
        assert set(found[container]) <= set(table)
        assert set(table) - set(found[container]) <= MAY_MISS
        for name, (_, more) in table.items():
            for labels in found[container].get(name, []):
                assert set(labels) == {*BASE, *more}, name
                assert labels["image"] == (images.NAME if container else ""), name
                assert labels["id"] and all(labels[key] for key in more), name


@pytest.mark.parametrize("handler", ["runc", "runsc"])
def test_runtime_class(cluster, handler):
    """Its pods run by its handler, its overhead is the pod's."""
    name = f"by-{handler}"
    overhead = {"memory": "96Mi", "cpu": "100m"}
    cluster.kubectl("apply", "-f", "-", stdin=json.dumps({
        "apiVersion": "node.k8s.io/v1", "kind": "RuntimeClass", "metadata": {"name": name},
        "handler": handler, "overhead": {"podFixed": overhead}}))
    config = pod_of(name)
    config["spec"]["runtimeClassName"] = name
    for container in config["spec"]["containers"]:
        container["resources"] = {"limits": {"memory": "64Mi", "cpu": "200m"}}
    made = cluster.run_pod(config)
    assert made["spec"]["overhead"] == overhead
    kernel = cluster.kubectl("exec", name, "-c", "side", "--", "uname", "-r").out
    assert ("gvisor" in kernel) == (handler == "runsc")
    cluster.kubectl("exec", name, "-c", "side", "--", "wget", "-q", "-O", "-",
                    "http://127.0.0.1:8080/ok")
    assert cluster.kubectl("logs", name, "-c", "main").out == f"hello from {name}\nwarned\n"
    sandbox = [p for p in cluster.node.client.ListPodSandbox().items if p.metadata.name == name][0]
    assert sandbox.runtime_handler == handler
    limit = os.path.join(cgroup_path(f"{cluster.cgroup}/kubepods/pod{made['metadata']['uid']}"),
                         "memory.limit_in_bytes")
    with open(limit, encoding="utf-8") as file:
        assert int(file.read()) == (64 + 64 + 96) << 20
    delete(cluster, name)


def test_fields_that_reach_the_runtime(cluster):
    """Of a pod with a user namespace; the pod's status says what the runtime tells of them."""
    config = pod_of("fields", securityContext={"readOnlyRootFilesystem": True,
                                               "capabilities": {"drop": ["ALL"]}},
                    volumeMounts=[{"name": "tmp", "mountPath": "/tmp"},
                                  {"name": "read", "mountPath": "/read", "readOnly": True,
                                   "recursiveReadOnly": "Enabled"},
                                  {"name": "image", "mountPath": "/image", "subPath": "etc"}])
    config["spec"].update(
        hostUsers=False,
        securityContext={"runAsUser": 1000, "supplementalGroups": [7],
                         "supplementalGroupsPolicy": "Strict",
                         "seccompProfile": {"type": "RuntimeDefault"},
                         "sysctls": [{"name": "net.ipv4.ip_unprivileged_port_start",
                                      "value": "80"}]},
        volumes=[{"name": "tmp", "emptyDir": {}}, {"name": "read", "emptyDir": {}},
                 {"name": "image", "image": {"reference": images.NAME,
                                             "pullPolicy": "IfNotPresent"}}])
    cluster.run_pod(config)
    script = ("id -u; id -G; grep -c . /image/passwd; (touch /read/x || touch /x) 2>&1 | wc -l;"
              "cat /proc/sys/net/ipv4/ip_unprivileged_port_start; cut -c1-10 /proc/self/uid_map;"
              "grep -E 'Seccomp:|CapBnd' /proc/self/status")
    shown = cluster.kubectl("exec", "fields", "-c", "main", "--", "sh", "-c", script).out.split()
    assert shown == ["1000", "1000", "7", "3", "2", "80", "0", "CapBnd:", "0" * 16, "Seccomp:", "2"]
    status = containers_of(cluster, "fields")["main"]
    assert status["user"]["linux"] == {"uid": 1000, "gid": 1000, "supplementalGroups": [1000, 7]}
    mounts = {each["name"]: each for each in status["volumeMounts"]}
    assert mounts["read"]["recursiveReadOnly"] == "Enabled"
    delete(cluster, "fields")


def test_resize_in_place(cluster, pod):
    before = containers_of(cluster, pod)["main"]
    limits = {"memory": "96Mi", "cpu": "300m"}
    cluster.kubectl("patch", "pod", pod, "--subresource", "resize", "--patch", json.dumps(
        {"spec": {"containers": [{"name": "main", "resources": {"limits": limits}}]}}))
    after = wait_until(lambda: [c for c in [containers_of(cluster, pod)["main"]]
                                if c["resources"]["limits"] == limits], 60, "the new limits")[0]
    assert (after["containerID"], after["restartCount"]) == (before["containerID"], 0)
    shown = cluster.kubectl("exec", pod, "-c", "main", "--", "cat", "/proc/self/cgroup").out
    path = re.search(r"^\d+:memory:(.*)$", shown, re.M)
    if path:  # with cgroup v1 a container sees the host's path
        with open(cgroup_path(path[1]) + "/memory.limit_in_bytes", encoding="utf-8") as file:
            assert int(file.read()) == 96 << 20


def test_logs_follow(cluster):
    cluster.run_pod(pod_of("talks", "touch /tmp/ok; i=0; while true; do i=$((i+1)); echo line $i; "
                                    "sleep 0.2; done"))
    follow = subprocess.Popen(cluster.kubectl_command("logs", "-f", "talks", "-c", "main"),
                              stdout=subprocess.PIPE, text=True)
    cluster.node.helpers.add(follow.pid)
    lines = [follow.stdout.readline() for _ in range(12)]
    follow.kill()
    follow.wait()
    follow.stdout.close()
    assert lines == [f"line {n}\n" for n in range(1, 13)]
    delete(cluster, "talks")


def test_daemon_killed_and_restarted(cluster, pod):
    before = containers_of(cluster, pod)
    cluster.node.kill()
    time.sleep(3)  # the kubelet is to see it gone, and asks each second
    cluster.node.start()
    wait_until(cluster.ready, 30, "the node to be ready again")
    cluster.kubectl("annotate", "pod", pod, "seen=again")
    after = containers_of(cluster, pod)
    for name in ("main", "side"):
        assert after[name]["restartCount"] == 0
        assert after[name]["containerID"] == before[name]["containerID"]
        assert "running" in after[name]["state"]


def test_failing_container_is_restarted_and_explained(cluster):
    cluster.kubectl("apply", "-f", "-", stdin=json.dumps(pod_of("fails", "echo no; exit 3")))

    def restarted():
        status = (cluster.pod("fails")["status"].get("containerStatuses") or [])
        return [c for c in status if c["name"] == "main" and c["restartCount"] > 0]

    status = wait_until(restarted, 40, "a restart")[0]
    ended = status["lastState"]["terminated"]
    assert (ended["exitCode"], ended["reason"]) == (3, "Error")
    delete(cluster, "fails")


def test_memory_limit_is_an_oom_kill(cluster):
    script = "x=$(head -c 100000000 /dev/zero | tr '\\0' x); echo ${#x}"
    cluster.kubectl("apply", "-f", "-", stdin=json.dumps(pod_of("hungry", script)))

    def killed():
        status = (cluster.pod("hungry")["status"].get("containerStatuses") or [])
        return [s["terminated"] for c in status if c["name"] == "main"
                for s in (c["state"], c.get("lastState") or {}) if "terminated" in s]

    ended = wait_until(killed, 40, "its end")[0]
    assert ended["reason"] == "OOMKilled"
    delete(cluster, "hungry")


def test_exec(cluster, pod):
    done = cluster.kubectl("exec", pod, "-c", "main", "--", "sh", "-c",
                           "echo out; echo err >&2; exit 7", ok=None)
    assert (done.code, done.out) == (7, "out\n")
    assert done.err.startswith("err\n")
    text = "".join(f"line {n}\n" for n in range(20000))
    assert cluster.kubectl("exec", "-i", pod, "-c", "main", "--", "cat", stdin=text).out == text


def test_exec_with_a_terminal(cluster, pod):
    with Terminal(cluster, "exec", "-it", pod, "-c", "main", "--", "sh") as terminal:
        terminal.say("stty size; tty\n")
        terminal.expect("33 101")
        terminal.expect("/dev/pts/0")
        terminal.resize(44, 122)
        wait_until(lambda: terminal.say("stty size\n") or terminal.seen("44 122", 0.3))
        terminal.say("exit 5\n")
        assert terminal.end() == 5


def test_attach(cluster):
    script = "touch /tmp/ok; while read -r x; do echo got $x; done; sleep 1000"
    cluster.run_pod(pod_of("asks", script, stdin=True))
    attach = subprocess.Popen(
        cluster.kubectl_command("attach", "-i", "asks", "-c", "main"), stdin=subprocess.PIPE,
        stdout=subprocess.PIPE, text=True)
    cluster.node.helpers.add(attach.pid)
    attach.stdin.write("one\n")
    attach.stdin.flush()
    assert attach.stdout.readline() == "got one\n"
    attach.kill()
    attach.communicate()
    assert cluster.kubectl("logs", "asks", "-c", "main").out == "got one\n"
    delete(cluster, "asks")


def test_checkpoint(cluster, pod):
    """The kubelet's own way to it. Where criu does not know the kernel, it says what is wrong."""
    done = cluster.node.inside("curl", "-s", "-k", "-X", "POST",
                               f"https://{ADDRESS}:10250/checkpoint/default/{pod}/main?timeout=60")
    written = re.findall(r'"(/[^"]*\.tar)"', done.stdout)
    assert written or "criu" in done.stdout, done.stdout
    for path in written:
        assert cluster.node.inside("tar", "tf", path).returncode == 0
    assert "running" in containers_of(cluster, pod)["main"]["state"]


def test_port_forward(cluster, pod):
    forward = subprocess.Popen(cluster.kubectl_command("port-forward", pod, "18080:8080"),
                               stdout=subprocess.PIPE, text=True)
    cluster.node.helpers.add(forward.pid)
    assert "Forwarding from 127.0.0.1:18080" in forward.stdout.readline()
    cluster.kubectl("exec", pod, "-c", "main", "--", "sh", "-c", "echo page > /tmp/index.html")
    for _ in range(3):
        got = cluster.node.inside("curl", "-s", "http://127.0.0.1:18080/index.html")
        assert got.stdout == "page\n", got.stderr
    forward.kill()
    forward.communicate()


def test_copy_in_and_out(cluster, pod):
    source = cluster.path("copied")
    with open(source, "wb") as file:
        file.write(os.urandom(3 << 20))
    cluster.kubectl("cp", source, f"{pod}:/tmp/copied", "-c", "main")
    cluster.kubectl("cp", f"{pod}:/tmp/copied", f"{source}.back", "-c", "main")
    with open(source, "rb") as a, open(f"{source}.back", "rb") as b:
        assert a.read() == b.read()
