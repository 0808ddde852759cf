# SPDX-License-Identifier: Apache-2.0
"""What a pod is: its namespaces, network, names, sysctls, cgroups."""

import os
import socket
import threading

import pytest

from support.cri import Code, CriError
from support.node import cgroup_folders, cgroup_path, remove_cgroups, wait_until

POD, CONTAINER, NODE, TARGET = 0, 1, 2, 3


def with_namespaces(**modes):
    """The linux part of a pod's or a container's configuration."""
    return {"linux": {"security_context": {"namespace_options": modes}}}


def namespace(pid, kind):
    return os.readlink(f"/proc/{pid}/ns/{kind}")


def test_containers_share_network_ipc_and_uts(node, pod):
    first, second = pod.run(), pod.run()
    for kind in ("net", "ipc", "uts"):
        assert namespace(first.pid, kind) == namespace(second.pid, kind)
        assert namespace(first.pid, kind) != namespace(node.holder.pid, kind)
        assert namespace(first.pid, kind) != namespace("self", kind)
    assert namespace(first.pid, "mnt") != namespace(second.pid, "mnt")
    first.exec("sh", "-c", "echo there > /dev/shm/file")
    assert second.exec("cat", "/dev/shm/file").stdout == b"there\n"
    # not by its standard input: nc ends when the peer's has ended first
    server = pod.run(["nc", "-l", "-p", "8000", "-e", "echo", "over loopback"])
    text = "until nc -w 2 127.0.0.1 8000 </dev/null; do sleep 0.05; done"
    assert first.exec("sh", "-c", text).stdout == b"over loopback\n"
    server.wait()


def test_pid_namespace_of_the_pod(node):
    pod = node.run_pod(**with_namespaces(pid=POD))
    first = pod.run(**with_namespaces(pid=POD))
    second = pod.run(["sleep", "1234"], **with_namespaces(pid=POD))
    assert namespace(first.pid, "pid") == namespace(second.pid, "pid")
    assert namespace(first.pid, "pid") != namespace("self", "pid")
    shown = first.exec("ps").stdout.decode()
    assert "sleep 1234" in shown
    assert "tare-pause" in first.exec("cat", "/proc/1/comm").stdout.decode()
    assert pod.info()["pid"] > 1
    first.stop()
    assert "sleep 1234" in second.exec("ps").stdout.decode()


def test_orphans_in_the_pods_pid_namespace_are_reaped(node):
    pod = node.run_pod(**with_namespaces(pid=POD))
    container = pod.run(**with_namespaces(pid=POD))
    container.exec("sh", "-c", "(sleep 0.1 &) ; true")
    wait_until(
        lambda: b"sleep 0.1" not in container.exec("ps").stdout, what="the orphan to be reaped"
    )
    assert b" Z " not in container.exec("ps", "-o", "stat").stdout


def test_pid_namespace_of_the_container(node):
    pod = node.run_pod(**with_namespaces(pid=CONTAINER))
    first = pod.run(**with_namespaces(pid=CONTAINER))
    second = pod.run(["sleep", "1234"], **with_namespaces(pid=CONTAINER))
    assert namespace(first.pid, "pid") != namespace(second.pid, "pid")
    assert "1234" not in first.exec("ps").stdout.decode()
    assert first.exec("cat", "/proc/1/cmdline").stdout == b"sleep\x001000\x00"


def test_pid_namespace_of_the_host(node):
    pod = node.run_pod(**with_namespaces(pid=NODE))
    container = pod.run(**with_namespaces(pid=NODE))
    assert namespace(container.pid, "pid") == namespace("self", "pid")
    assert str(container.pid) in container.exec("ls", "/proc").stdout.decode().split()


def test_pid_namespace_of_another_container(node):
    pod = node.run_pod(**with_namespaces(pid=CONTAINER))
    target = pod.run(["sleep", "1234"], **with_namespaces(pid=CONTAINER))
    looker = pod.run(**with_namespaces(pid=TARGET, target_id=target.id))
    assert namespace(looker.pid, "pid") == namespace(target.pid, "pid")
    assert "sleep 1234" in looker.exec("ps").stdout.decode()


def test_host_network(node):
    pod = node.run_pod(**with_namespaces(network=NODE))
    container = pod.run(**with_namespaces(network=NODE))
    assert namespace(container.pid, "net") == namespace(node.holder.pid, "net")
    assert pod.status().status.network.ip == ""
    assert os.listdir(f"/proc/{node.holder.pid}/root/run/netns") == []
    assert namespace(container.pid, "uts") == namespace("self", "uts")
    assert container.exec("hostname").stdout.decode().strip() == socket.gethostname()


def test_host_ipc(node):
    pod = node.run_pod(**with_namespaces(ipc=NODE))
    container = pod.run(**with_namespaces(ipc=NODE))
    assert namespace(container.pid, "ipc") == namespace("self", "ipc")


def test_network(node):
    first, second = node.run_pod(), node.run_pod()
    status = first.status().status
    assert status.network.ip.startswith("10.88.")
    pins = os.listdir(f"/proc/{node.holder.pid}/root/run/netns")
    assert len(pins) == 2 and all(name.startswith("tare-") for name in pins)
    server = first.run(["sh", "-c", "echo from afar | nc -l -p 7000"])
    client = second.run()
    text = f"until nc -w 2 {status.network.ip} 7000 </dev/null; do sleep 0.05; done"
    assert client.exec("sh", "-c", text).stdout == b"from afar\n"
    server.wait()
    links = client.exec("ip", "-o", "link").stdout.decode()
    assert " eth0@" in links
    assert "<LOOPBACK,UP" in links
    assert first.info()["cniResult"]["ips"][0]["address"].startswith(status.network.ip)


def test_port_mapping(node):
    pod = node.run_pod(
        port_mappings=[{"protocol": "TCP", "container_port": 80, "host_port": 12080}]
    )
    pod.run(["sh", "-c", "while :; do echo mapped | nc -l -p 80; done"])
    address = "$(ip -4 -o addr show tare0 | awk '{print $4}' | cut -d/ -f1)"
    text = (
        f"for i in $(seq 100); do busybox nc -w 2 {address} 12080 </dev/null && exit 0; "
        "sleep 0.05; done; exit 1"
    )
    done = node.inside("sh", "-c", text)
    assert done.stdout == "mapped\n", done.stderr
    chains = node.inside("iptables-save", "-t", "nat").stdout
    assert "dport 12080" in chains
    pod.remove()
    assert "12080" not in node.inside("iptables-save", "-t", "nat").stdout


def test_hostname(node):
    pod = node.run_pod(hostname="this-is-me")
    script = "hostname; cat /etc/hostname; echo $HOSTNAME"
    assert pod.shell(script) == "this-is-me\n" * 3


def test_dns(node):
    pod = node.run_pod(
        dns_config={
            "servers": ["10.1.1.1", "10.1.1.2"],
            "searches": ["a.test", "b.test"],
            "options": ["ndots:5"],
        }
    )
    assert pod.shell("cat /etc/resolv.conf") == (
        "search a.test b.test\nnameserver 10.1.1.1\nnameserver 10.1.1.2\noptions ndots:5\n"
    )


def test_dns_of_the_host(node, pod):
    with open("/etc/resolv.conf", encoding="utf-8") as host:
        assert pod.shell("cat /etc/resolv.conf") == host.read()


def test_hosts_file(node, pod):
    assert "localhost" in pod.shell("cat /etc/hosts")


def test_sysctls(node):
    pod = node.run_pod(
        linux={
            "sysctls": {"net.ipv4.ip_unprivileged_port_start": "81", "kernel.shm_rmid_forced": "1"}
        }
    )
    script = "cat /proc/sys/net/ipv4/ip_unprivileged_port_start /proc/sys/kernel/shm_rmid_forced"
    assert pod.shell(script) == "81\n1\n"
    with open(
        f"/proc/{node.holder.pid}/root/proc/sys/kernel/shm_rmid_forced", encoding="utf-8"
    ) as value:
        assert value.read() == "0\n"


@pytest.mark.parametrize("users", [False, True])
def test_sysctls_of_interfaces(node, users):
    """They are set when the network's plugins have made the interface."""
    config = {"sysctls": {"net.ipv4.conf.eth0.rp_filter": "2",
                          "net.ipv4.neigh.eth0.base_reachable_time_ms": "4000",
                          "net.ipv4.conf.default.rp_filter": "1"}}
    if users:
        mapping = [{"host_id": 1 << 20, "container_id": 0, "length": 65536}]
        config["security_context"] = {"namespace_options": {"userns_options": {
            "mode": "POD", "uids": mapping, "gids": mapping}}}
    pod = node.run_pod(linux=config)
    assert pod.shell("cd /proc/sys/net/ipv4; cat conf/eth0/rp_filter conf/default/rp_filter "
                     "neigh/eth0/base_reachable_time_ms") == "2\n1\n4000\n"


def test_sysctl_of_an_interface_that_is_not_there(node):
    with pytest.raises(CriError) as error:
        node.run_pod(linux={"sysctls": {"net.ipv4.conf.eth7.rp_filter": "2"}})
    assert "net.ipv4.conf.eth7.rp_filter" in error.value.details()
    node.assert_nothing_left()


@pytest.mark.parametrize(
    "name, text", [("kernel.panic", "kernel.panic"), ("net.core.no_such", "no_such")]
)
def test_sysctls_that_are_refused(node, name, text):
    with pytest.raises(CriError) as error:
        node.run_pod(linux={"sysctls": {name: "1"}})
    assert text in error.value.details()
    node.assert_nothing_left()


def test_cgroup_parent(node):
    parent = f"{node.cgroup}/burstable/pod1"
    pod = node.run_pod(linux={"cgroup_parent": parent})
    container = pod.run()
    path = container.spec["linux"]["cgroupsPath"]
    assert path.startswith(parent + "/")
    with open(os.path.join(cgroup_path(path), "cgroup.procs"), encoding="utf-8") as procs:
        assert str(container.pid) in procs.read().split()
    pod.remove()
    left = [
        os.path.join(folder, name)
        for folder in cgroup_folders(parent)
        for name in os.listdir(folder)
    ]
    assert not [path for path in left if os.path.isdir(path)]
    remove_cgroups(f"{node.cgroup}/burstable")


def test_lists_filter(node):
    first = node.run_pod(labels={"app": "web", "tier": "a"})
    second = node.run_pod(labels={"app": "db"})
    container = first.run(labels={"role": "main"})

    def pods(**some):
        return sorted(p.id for p in node.client.ListPodSandbox(filter=some).items)

    def containers(**some):
        return [c.id for c in node.client.ListContainers(filter=some).containers]

    assert pods() == sorted([first.id, second.id])
    assert pods(label_selector={"app": "web", "tier": "a"}) == [first.id]
    assert pods(label_selector={"app": "web", "tier": "b"}) == []
    assert pods(id=second.id[:20]) == [second.id]
    assert pods(state={"state": "SANDBOX_NOTREADY"}) == []
    assert containers(pod_sandbox_id=first.id) == [container.id]
    assert containers(pod_sandbox_id=second.id) == []
    assert containers(label_selector={"role": "main"}) == [container.id]
    assert containers(state={"state": "CONTAINER_EXITED"}) == []
    second.stop()
    assert pods(state={"state": "SANDBOX_NOTREADY"}) == [second.id]


def test_labels_and_annotations_come_back(node):
    config = {"labels": {"a": "1"}, "annotations": {"note.test/b": "ünïcode"}}
    pod = node.run_pod(**config)
    container = pod.run(**config)
    for status in (pod.status().status, container.status()):
        assert dict(status.labels) == config["labels"]
        assert dict(status.annotations) == config["annotations"]


def test_stop_ends_everything_but_the_record(node, pod):
    container = pod.run()
    pod.stop()
    assert pod.status().status.state == 1
    status = container.status()
    assert (status.exit_code, status.reason) == (137, "Error")
    assert os.listdir(f"/proc/{node.holder.pid}/root/run/netns") == []
    assert pod.status().status.network.ip == ""
    with pytest.raises(CriError) as error:
        pod.create()
    assert error.value.code() == Code.FAILED_PRECONDITION
    pod.stop()


def test_stop_and_remove_are_idempotent(node, pod):
    for _ in range(2):
        pod.stop()
    for _ in range(2):
        pod.remove()
    node.client.StopPodSandbox(pod_sandbox_id=pod.id)
    with pytest.raises(CriError) as error:
        pod.status()
    assert error.value.code() == Code.NOT_FOUND


def test_remove_a_running_pod(node, pod):
    container = pod.run()
    pid = container.pid
    pod.remove()
    assert not os.path.exists(f"/proc/{pid}/root/bin")
    assert not node.client.ListContainers().containers


def test_attempts_are_other_pods(node):
    config = node.pod_config()
    first = node.client.RunPodSandbox(config=config).pod_sandbox_id
    config["metadata"]["attempt"] = 1
    assert node.client.RunPodSandbox(config=config).pod_sandbox_id != first


def test_the_same_run_at_once_is_one_pod(make_node):
    """Requests for one pod join when they come before anybody had the answer."""
    node = make_node(fault="RunPodSandbox.files.done=ms:500")
    config = node.pod_config()
    calls = [node.client.start("RunPodSandbox", config=config) for _ in range(4)]
    ids = {call.result().pod_sandbox_id for call in calls}
    assert len(ids) == 1
    assert [p.id for p in node.client.ListPodSandbox().items] == list(ids)


def test_many_pods_at_once(node):
    made, failed = [], []

    def life():
        try:
            pod = node.run_pod()
            made.append(pod.shell("echo yes"))
            pod.remove()
        except Exception as error:  # told below  # pylint: disable=broad-except
            failed.append(error)

    threads = [threading.Thread(target=life) for _ in range(12)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failed == []
    assert made == ["yes\n"] * 12


def test_folders_are_of_root_alone(node, pod):
    """An image may have setuid programs and devices, and users of the machine know its digest."""
    pod.run()
    for path in (node.path("root", "layers"), node.path("root", "containers"),
                 node.path("state", "pods", pod.id)):
        assert os.stat(path).st_mode & 0o777 == 0o700, path


def test_resources_of_the_pod(own_node):
    """They are told, kept and shown; the cgroup is the kubelet's."""
    pod = own_node.run_pod()
    update = own_node.client.UpdatePodSandboxResources
    update(pod_sandbox_id=pod.id, overhead={"cpu_shares": 7}, resources={"cpu_quota": 20000})
    update(pod_sandbox_id=pod.id, resources={"memory_limit_in_bytes": 1 << 20})
    for limit in (1, 2):
        update(pod_sandbox_id=pod.id,
               resources={"hugepage_limits": [{"page_size": "2MB", "limit": limit << 21}]})
    own_node.restart()
    info = pod.info()
    assert info["overhead"]["cpu_shares"] == 7
    assert info["resources"]["cpu_quota"] == 20000
    assert info["resources"]["memory_limit_in_bytes"] == 1 << 20
    assert info["resources"]["hugepage_limits"] == [{"page_size": "2MB", "limit": 2 << 21}]
    for request, code in (({"pod_sandbox_id": "0" * 64}, Code.NOT_FOUND),
                          ({"pod_sandbox_id": pod.id, "resources": {"cpuset_cpus": "x"}},
                           Code.INVALID_ARGUMENT)):
        with pytest.raises(CriError) as error:
            own_node.client.UpdatePodSandboxResources(**request)
        assert error.value.code() == code, error.value.details()


def places_of_supervisor(pod):
    with open(f"/proc/{pod.info()['supervisorPid']}/cgroup", encoding="ascii") as lines:
        return {line.rstrip().split(":", 2)[2] for line in lines}


def test_supervisors_are_in_their_cgroup(node):
    """In every hierarchy."""
    for pid in (POD, CONTAINER):
        pod = node.run_pod(**with_namespaces(pid=pid))
        assert places_of_supervisor(pod) == {f"{node.cgroup}/shims"}
        assert pod.run().exec("true").exit_code == 0
