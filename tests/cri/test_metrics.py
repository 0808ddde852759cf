# SPDX-License-Identifier: Apache-2.0
"""ListMetricDescriptors and ListPodSandboxMetrics: cAdvisor's metrics, their types and labels; and
the streaming forms of the lists."""

import os
import time

from support.metrics import BASE, MAY_MISS, OF_CONTAINERS, OF_PODS
from support.node import cgroup_path, wait_until


def metrics_of(node, pod, stream=False):
    """{container id, or "" for the pod: {name: [metric]}} when all have been sampled."""

    def listed():
        if stream:
            answers = node.client.stream("StreamPodSandboxMetrics")
            pods = [each for answer in answers for each in answer.pod_sandbox_metrics]
        else:
            pods = node.client.ListPodSandboxMetrics().pod_metrics
        found = {}
        for each in pods:
            if each.pod_sandbox_id != pod.id:
                continue
            found[""] = each.metrics
            for container in each.container_metrics:
                found[container.container_id] = container.metrics
        return found if len(found) > 1 and all(found.values()) else None

    by_name = {}
    for identity, metrics in wait_until(listed, 30, what="metrics").items():
        for metric in metrics:
            by_name.setdefault(identity, {}).setdefault(metric.name, []).append(metric)
    return by_name


def value(metrics, name, **labels):
    """The value of the metric with these labels; there is one."""
    keys = BASE + {**OF_CONTAINERS, **OF_PODS}[name][1]
    found = [
        metric.value.value
        for metric in metrics[name]
        if all(dict(zip(keys, metric.label_values))[key] == labels[key] for key in labels)
    ]
    assert len(found) == 1, metrics[name]
    return found[0]


def test_descriptors(node):
    described = node.client.ListMetricDescriptors().descriptors
    assert {each.name: list(each.label_keys) for each in described} == {
        name: BASE + labels for name, (_, labels) in {**OF_CONTAINERS, **OF_PODS}.items()
    }
    assert all(each.help for each in described)
    assert len(described) == len({each.name for each in described})


def test_names_types_and_labels(node, pod):
    limits = {"cpu_quota": 50000, "cpu_period": 100000, "unified": {}}
    container = pod.run(linux={"resources": limits})
    metrics = metrics_of(node, pod)
    metadata = pod.config["metadata"]
    for identity, table in ((container.id, OF_CONTAINERS), ("", OF_PODS)):
        assert set(metrics[identity]) <= set(table)
        assert set(table) - set(metrics[identity]) <= MAY_MISS
        name = container.config["metadata"]["name"] if identity else ""
        image = container.config["image"]["image"] if identity else ""
        base = [metadata["name"], metadata["namespace"], name, identity or pod.id, image]
        for each in (metric for group in metrics[identity].values() for metric in group):
            kind, labels = table[each.name]
            assert each.metric_type == kind, each.name
            assert list(each.label_values[:5]) == base, each.name
            assert len(each.label_values) == 5 + len(labels), each.name
            assert all(each.label_values[5:]), each.name
            assert abs(each.timestamp - time.time_ns()) < 60 * 10**9


def test_numbers(node, pod):
    limits = {
        "cpu_quota": 50000,
        "cpu_period": 100000,
        "cpu_shares": 512,
        "memory_limit_in_bytes": 64 << 20,
    }
    script = "sleep 1000 & sleep 1001 & dd if=/dev/zero of=/f bs=1024 count=2000; exec sleep 1002"
    container = pod.run(["sh", "-c", script], linux={"resources": limits})
    container.exec("ping", "-c", "1", "10.88.0.1")

    def settled():
        metrics = metrics_of(node, pod)
        own = metrics[container.id]
        there = (
            value(own, "container_processes") == 3
            and value(own, "container_fs_usage_bytes") >= 2000 << 10
            and value(metrics[""], "container_network_transmit_packets_total") > 0
        )
        return metrics if there else None

    metrics = wait_until(settled, 60, what="the numbers of what was done")
    own = metrics[container.id]
    assert value(own, "container_threads") == 3
    assert value(own, "container_file_descriptors") >= 9
    assert value(own, "container_spec_cpu_quota") == 50000
    assert value(own, "container_spec_cpu_period") == 100000
    assert value(own, "container_spec_cpu_shares") == 512
    assert value(own, "container_spec_memory_limit_bytes") == 64 << 20
    assert value(own, "container_memory_usage_bytes") >= value(
        own, "container_memory_working_set_bytes"
    )
    assert value(own, "container_memory_failures_total", failure_type="pgfault") > 0
    assert value(own, "container_fs_limit_bytes") > value(own, "container_fs_usage_bytes")
    started = container.status().started_at // 10**9
    assert value(own, "container_start_time_seconds") == started
    assert value(own, "container_last_seen") >= started
    sent = value(metrics[""], "container_network_transmit_bytes_total", interface="eth0")
    assert sent > 0
    cgroup = container.spec["linux"]["cgroupsPath"]
    limit = cgroup_path(cgroup, "pids") + "/pids.max"
    if os.path.exists(limit):
        with open(limit, encoding="utf-8") as file:
            text = file.read().strip()
        assert value(own, "container_threads_max") == (0 if text == "max" else int(text))


LOOKED_AT = {"container_file_descriptors", "container_sockets", "container_threads"}


def test_what_takes_too_long_to_count_is_left_out(own_node):
    node = own_node
    pod = node.run_pod()
    container = pod.run()
    node.restart(fault="sampler.look:0=fail")

    def looked_at():
        own = metrics_of(node, pod)[container.id]
        return own if "container_processes" in own else None

    own = wait_until(looked_at, 30, what="a look at the processes")
    assert value(own, "container_processes") == 1 and not LOOKED_AT & set(own)
    assert value(own, "container_ulimits_soft") > 0


def test_what_cannot_be_sampled_is_not_asked_over_and_over(own_node):
    """There is a sample of it without processes, and there will be none with: rounds do not follow
    each other without a pause."""
    node = own_node
    container = node.run_pod().run()
    folder = f"sampler.{container.id[:13]}"
    fails = [f"{folder}:{n}=fail" for n in range(2, 12)]
    node.restart(fault=",".join([*fails, f"{folder}:12=kill"]))
    wait_until(lambda: node.client.ListContainerStats().stats[0].cpu.timestamp, 30, what="a sample")
    node.client.ListPodSandboxMetrics()
    assert "the sampler ended while" not in node.log()


def test_file_system_of_the_layers_that_hangs(own_node):
    """As that of a network whose server is gone: it delays nobody, and its numbers are left out."""
    node = own_node
    pod = node.run_pod()
    container = pod.run()
    assert value(metrics_of(node, pod)[container.id], "container_fs_limit_bytes") > 0
    node.restart(fault="sampler.root:0=stall")
    own = metrics_of(node, pod)[container.id]
    assert "container_memory_usage_bytes" in own
    assert not [name for name in own if name.startswith("container_fs_")]
    assert node.client.Version(deadline=5)
    wait_until(lambda: "layers=" in node.log(), 30, "tared to say that it hangs")
    assert pod.shell("echo works") == "works\n"


def test_streams_say_what_lists_say(node, pod):
    created, run = pod.create(labels={"x": "1"}), pod.run()
    other = node.run_pod(labels={"y": "1"})

    def streamed(rpc, field, **filters):
        answers = list(node.client.stream(rpc, filter=filters))
        assert all(len(getattr(answer, field)) > 0 for answer in answers)
        return [item for answer in answers for item in getattr(answer, field)]

    assert streamed("StreamPodSandboxes", "pod_sandboxes") == list(
        node.client.ListPodSandbox().items
    )
    (only,) = streamed("StreamPodSandboxes", "pod_sandboxes", label_selector={"y": "1"})
    assert only.id == other.id
    assert streamed("StreamContainers", "containers") == list(
        node.client.ListContainers().containers
    )
    (only,) = streamed("StreamContainers", "containers", label_selector={"x": "1"})
    assert only.id == created.id
    assert streamed("StreamImages", "images") == list(node.client.ListImages().images)
    (only,) = streamed("StreamContainerStats", "container_stats")
    assert only.attributes.id == run.id and only.cpu.timestamp > 0
    assert {each.attributes.id for each in streamed("StreamPodSandboxStats", "pod_sandbox_stats")
            } == {pod.id, other.id}
    assert set(metrics_of(node, pod, stream=True)) == {"", run.id}
    assert not list(node.client.stream("StreamContainers", filter={"id": "none"}))
