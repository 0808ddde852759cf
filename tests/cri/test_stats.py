# SPDX-License-Identifier: Apache-2.0
"""Statistics: what they say, how old they are, and that nothing that hangs delays the others."""

import os
import signal
import time

import pytest

from support.cri import Code, CriError
from support.node import cgroup_path, remove_cgroups, running, wait_until

BUSY = ["sh", "-c", "while :; do :; done"]


def listed(node, **filters):
    answer = node.client.ListContainerStats(filter=filters)
    return {stats.attributes.id: stats for stats in answer.stats}


def layer_of(container, least):
    """The statistics of the writable layer once it has so many bytes."""

    def big_enough():
        stats = container.node.client.ContainerStats(container_id=container.id).stats
        return stats.writable_layer if stats.writable_layer.used_bytes.value >= least else None

    return wait_until(big_enough, 60, what="the layer's size")


def test_a_container(node, pod):
    limit = {"resources": {"memory_limit_in_bytes": 64 << 20}}
    container = pod.run(BUSY, labels={"l": "1"}, linux=limit)

    def counted():  # version 1 brings memory.stat up to date every 2 s
        found = node.client.ContainerStats(container_id=container.id).stats
        return found if found.memory.rss_bytes.value and found.memory.page_faults.value else None

    stats = wait_until(counted, 30, what="memory.stat to be up to date")
    assert stats.attributes.metadata.name == container.config["metadata"]["name"]
    assert stats.attributes.labels == {"l": "1"}
    assert abs(stats.cpu.timestamp - time.time_ns()) < 60 * 10**9
    memory = stats.memory
    assert 0 < memory.working_set_bytes.value <= memory.usage_bytes.value
    assert memory.available_bytes.value == (64 << 20) - memory.working_set_bytes.value
    assert stats.io.timestamp == stats.cpu.timestamp

    def rate():
        stats = node.client.ContainerStats(container_id=container.id).stats
        return stats.cpu.usage_nano_cores.value

    assert wait_until(rate, 30, what="a rate") > 10**7  # of a busy loop

    def newer():
        later = node.client.ContainerStats(container_id=container.id).stats
        return later if later.cpu.timestamp > stats.cpu.timestamp else None

    later = wait_until(newer, 30, what="a later sample")
    assert later.cpu.usage_core_nano_seconds.value > stats.cpu.usage_core_nano_seconds.value


def test_no_limit_no_available(node, pod):
    container = pod.run()
    memory = node.client.ContainerStats(container_id=container.id).stats.memory
    assert memory.usage_bytes.value > 0 and not memory.HasField("available_bytes")


def test_only_what_runs_is_listed(node, pod):
    run, ended, created = pod.run(labels={"a": "1"}), pod.run(["true"]), pod.create()
    ended.wait()
    other = node.run_pod().run()
    assert set(listed(node)) == {run.id, other.id}
    assert set(listed(node, label_selector={"a": "1"})) == {run.id}
    assert set(listed(node, pod_sandbox_id=pod.id)) == {run.id}
    assert set(listed(node, id=other.id[:13])) == {other.id}
    stats = node.client.ContainerStats(container_id=created.id).stats
    assert stats.attributes.id == created.id and not stats.HasField("cpu")


def test_the_writable_layer(node, pod):
    script = "dd if=/dev/zero of=/big bs=1024 count=3000; mkdir /d; sleep 1000"
    container = pod.run(["sh", "-c", script])
    layer = layer_of(container, 3000 << 10)
    assert layer.used_bytes.value < 4000 << 10 and layer.inodes_used.value >= 3
    assert os.path.isdir(layer.fs_id.mountpoint) and layer.timestamp > 0
    container.stop()
    info = node.client.ImageFsInfo().container_filesystems[0]
    assert info.used_bytes.value >= layer.used_bytes.value
    assert info.inodes_used.value >= layer.inodes_used.value
    assert info.fs_id.mountpoint == layer.fs_id.mountpoint
    container.remove()
    assert node.client.ImageFsInfo().container_filesystems[0].used_bytes.value < 3000 << 10


def test_a_pod(node):
    parent = f"{node.cgroup}/own"
    pod = node.run_pod(linux={"cgroup_parent": parent}, labels={"p": "1"})
    one, two = pod.run(["sh", "-c", "sleep 1000 & sleep 1000"]), pod.run(BUSY)
    two.exec("ping", "-c", "1", "10.88.0.1")

    def sampled():
        stats = node.client.PodSandboxStats(pod_sandbox_id=pod.id).stats
        return stats if stats.linux.network.default_interface.tx_bytes.value > 0 else None

    stats = wait_until(sampled, 30, what="traffic")
    assert stats.attributes.id == pod.id and stats.attributes.labels == {"p": "1"}
    linux = stats.linux
    assert {each.attributes.id for each in linux.containers} == {one.id, two.id}
    assert linux.process.process_count.value >= 3
    assert linux.network.default_interface.name == "eth0" and not linux.network.interfaces
    assert linux.memory.usage_bytes.value >= linux.containers[0].memory.usage_bytes.value
    assert linux.cpu.usage_core_nano_seconds.value > 0
    if os.path.exists(cgroup_path(parent, "pids") + "/pids.current"):
        with open(cgroup_path(parent, "pids") + "/pids.current", encoding="utf-8") as current:
            assert linux.process.process_count.value == int(current.read())
    pod.remove()
    remove_cgroups(parent)  # it was ours, not tared's


def test_pods_that_share_a_parent(node, pod):
    """A cgroup of several pods says nothing of one: its containers are added up."""
    one, two = pod.run(), pod.run()
    node.run_pod().run()
    answer = node.client.ListPodSandboxStats(filter={"id": pod.id}).stats
    assert [stats.attributes.id for stats in answer] == [pod.id]
    linux = answer[0].linux
    assert linux.process.process_count.value == 2
    assert {each.attributes.id for each in linux.containers} == {one.id, two.id}
    assert linux.memory.usage_bytes.value == sum(
        each.memory.usage_bytes.value for each in linux.containers)


def test_pods_that_are_not_ready_are_not_listed(node, pod):
    other = node.run_pod(linux={"security_context": {"namespace_options": {"network": 2}}})
    listed_pods = node.client.ListPodSandboxStats().stats
    assert {stats.attributes.id for stats in listed_pods} == {pod.id, other.id}
    without = [s for s in listed_pods if s.attributes.id == other.id][0].linux
    assert not without.HasField("network"), "a kubelet dies of one without a default interface"
    other.stop()
    assert [s.attributes.id for s in node.client.ListPodSandboxStats().stats] == [pod.id]
    with pytest.raises(CriError) as error:
        node.client.PodSandboxStats(pod_sandbox_id="nothing")
    assert error.value.code() == Code.NOT_FOUND


def timestamp(node, container):
    return listed(node)[container.id].cpu.timestamp


def test_one_that_hangs_delays_nobody(own_node):
    node = own_node
    pod = node.run_pod()
    stuck, fine = pod.run(), pod.run()
    node.restart(fault=f"sampler.{stuck.id[:13]}:0=stall")
    first = wait_until(lambda: timestamp(node, fine), 30, what="a sample")
    wait_until(lambda: "sampler hung while" in node.log(), 30, what="a sampler that hangs")
    for _ in range(2):
        wait_until(lambda: timestamp(node, fine) > first, 30, what="a new sample")
        first = timestamp(node, fine)
    assert timestamp(node, stuck) == 0  # never sampled, and said so
    if os.environ.get("TARE_FULL"):
        wait_until(lambda: "suspects hung" in node.log(), 60, what="the second try")


def test_a_slow_one_stays_a_suspect(own_node):
    """It answers the patient lane, later than the quick lane waits: it does not go back there."""
    node = own_node
    slow = node.run_pod().run()
    node.restart(fault=f"sampler.{slow.id[:13]}:0=ms:2300")
    first = wait_until(lambda: timestamp(node, slow), 60, what="a sample of the slow one")
    for _ in range(2):
        wait_until(lambda: timestamp(node, slow) > first, 60, what="a newer sample")
        first = timestamp(node, slow)
    assert node.log().count("sampler hung while") == 1


def test_a_host_network_pod(node, pod):
    """It has nothing to sample of its own: its containers are added up."""
    other = node.run_pod(linux={"security_context": {"namespace_options": {"network": 2}}})
    empty = node.client.PodSandboxStats(pod_sandbox_id=other.id).stats.linux
    assert not empty.HasField("cpu")
    container = other.run(BUSY)

    def used():
        linux = node.client.PodSandboxStats(pod_sandbox_id=other.id).stats.linux
        return linux if linux.memory.usage_bytes.value else None

    linux = wait_until(used, 30, what="the pod's memory")
    assert [each.attributes.id for each in linux.containers] == [container.id]
    assert linux.cpu.usage_core_nano_seconds.value > 0
    assert linux.process.process_count.value >= 1


@pytest.mark.parametrize("signo", [signal.SIGSTOP, signal.SIGKILL])
def test_the_sampler_is_replaced(own_node, signo):
    node = own_node
    container = node.run_pod().run()
    first = wait_until(lambda: timestamp(node, container), 30, what="a sample")
    (old,) = node.samplers()
    os.kill(old, signo)
    wait_until(lambda: timestamp(node, container) > first, 30, what="a new sample")
    wait_until(lambda: not running(old), what=f"the end of {old}")


def test_the_sampler_has_few_rights_and_ends_with_the_daemon(own_node):
    node = own_node
    container = node.run_pod().run()
    assert wait_until(lambda: timestamp(node, container), 30, what="a sample")
    (sampler,) = node.samplers()
    with open(f"/proc/{sampler}/status", encoding="utf-8") as status:
        fields = dict(line.rstrip("\n").split(":\t", 1) for line in status)
    allowed = 1 << 2 | 1 << 19 | 1 << 21  # DAC_READ_SEARCH, SYS_PTRACE, SYS_ADMIN
    for name in ("CapEff", "CapPrm", "CapBnd"):
        assert int(fields[name], 16) & ~allowed == 0
    assert fields["NoNewPrivs"] == "1"
    node.kill()
    wait_until(lambda: not running(sampler), what="the sampler's end")
    node.start()


def test_nobody_asks_no_process(own_node):
    own_node.run_pod().run()
    own_node.client.ListContainers()
    assert not own_node.samplers()
