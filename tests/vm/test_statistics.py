# SPDX-License-Identifier: Apache-2.0
"""Statistics where all controllers are of cgroup v2: pressure, swap, blocks, processes."""
import os
import subprocess
import time

import pytest

from support.metrics import BASE, MAY_MISS, OF_CONTAINERS, OF_PODS
from support.node import wait_until
from systemd_units import CGROUPS, systemctl

MIB = 1 << 20
SECONDS = 120  # emulated, all is slow
PARENT = "taretest-kubepods-pod1.slice"
FOLDER = CGROUPS / "taretest.slice/taretest-kubepods.slice" / PARENT
DISK = "/dev/ram0"
SCRIPT = ("sleep 1000 & (while :; do :; done) & (while :; do :; done) & exec 2>/dev/null; "
          "while :; do dd if=/dev/zero of=/dev/disk bs=4096 count=64 oflag=direct; done")
KINDS = ("cpu", "memory", "io")
FIELDS = ("some", "full")


@pytest.fixture(scope="session")
def crictl():
    return None


@pytest.fixture(scope="module")
def disk():
    """A disk in memory: the guest has none."""
    subprocess.run(["modprobe", "brd", "rd_nr=1", f"rd_size={8 << 10}"], check=True)
    wait_until(lambda: os.path.exists(DISK), SECONDS, DISK)
    yield DISK
    subprocess.run(["modprobe", "-r", "brd"], check=True)


@pytest.fixture
def busy(make_node, disk):
    """A container that keeps a processor's share, a disk and some processes busy."""
    node = make_node(cgroup_parent="taretest.slice")
    pod = node.run_pod(linux={"cgroup_parent": PARENT})
    resources = {"memory_limit_in_bytes": 64 * MIB, "memory_swap_limit_in_bytes": 96 * MIB,
                 "cpu_quota": 50000, "cpu_period": 100000,
                 "unified": {"memory.low": str(8 * MIB)}}
    yield pod.run(["sh", "-c", SCRIPT], linux={"resources": resources}, devices=[
        {"container_path": "/dev/disk", "host_path": disk, "permissions": "rw"}])
    pod.remove()
    systemctl("stop", "taretest.slice")


def read(folder, name):
    return (folder / name).read_text().split()


def pressure(folder, kind, field):
    """The total of a file of pressure, in nanoseconds."""
    for line in (folder / f"{kind}.pressure").read_text().splitlines():
        words = line.split()
        if words[0] == field:
            return int(words[4].partition("=")[2]) * 1000
    return 0


def check_pressure(usage, folder, before):
    """Between what the kernel had said before the sample and what it says now."""
    for kind in KINDS:
        for field in FIELDS:
            total = getattr(getattr(usage, kind).psi, field.capitalize()).Total
            low, high = before[kind, field], pressure(folder, kind, field)
            assert low <= total <= high, (kind, field)


def totals(folder):
    return {(kind, field): pressure(folder, kind, field) for kind in KINDS for field in FIELDS}


def sampled_from_now(ask):
    """Statistics whose numbers were read after this call: a sample's time is that of its end, and
    the next one begins after it."""
    now, moments = time.time_ns(), set()

    def later():
        stats = ask()
        if stats.cpu.timestamp > now:
            moments.add(stats.cpu.timestamp)
        return stats if len(moments) > 1 else None

    return wait_until(later, SECONDS, "a later sample")


def settled(ask):
    """Statistics of a container, or a pod, that has done something."""
    def done():
        stats = ask()
        return stats if stats.cpu.psi.Some.Total and stats.cpu.usage_nano_cores.value else None

    return wait_until(done, SECONDS, "pressure")


def check_container(busy):
    node = busy.node
    folder = FOLDER / f"tare-{busy.id}.scope"

    def ask():
        return node.client.ContainerStats(container_id=busy.id).stats

    first = settled(ask)
    before = totals(folder)
    stats = sampled_from_now(ask)
    check_pressure(stats, folder, before)
    assert stats.cpu.usage_core_nano_seconds.value > first.cpu.usage_core_nano_seconds.value
    assert stats.memory.available_bytes.value == 64 * MIB - stats.memory.working_set_bytes.value
    assert 0 < stats.memory.rss_bytes.value <= stats.memory.usage_bytes.value
    assert stats.memory.page_faults.value > 0
    assert read(folder, "memory.swap.max") == [str(32 * MIB)]
    assert stats.swap.swap_usage_bytes.value == int(read(folder, "memory.swap.current")[0])
    assert stats.swap.swap_available_bytes.value == 32 * MIB - stats.swap.swap_usage_bytes.value
    assert stats.io.timestamp == stats.cpu.timestamp


def check_pod(busy):
    node = busy.node

    def ask():
        return node.client.PodSandboxStats(pod_sandbox_id=busy.pod.id).stats.linux

    settled(ask)
    before = totals(FOLDER)
    stats = sampled_from_now(ask)
    check_pressure(stats, FOLDER, before)
    assert 4 <= stats.process.process_count.value <= 8
    assert [each.attributes.id for each in stats.containers] == [busy.id]
    assert stats.memory.usage_bytes.value >= stats.containers[0].memory.working_set_bytes.value
    assert stats.network.default_interface.name == "eth0"


def check_metrics(busy):
    node = busy.node
    tables = {busy.id: OF_CONTAINERS, "": OF_PODS}

    def ask():
        found = {}
        for pod in node.client.ListPodSandboxMetrics().pod_metrics:
            groups = [("", pod.metrics)] + [(c.container_id, c.metrics)
                                            for c in pod.container_metrics]
            for identity, metrics in groups:
                for each in metrics:
                    labels = dict(zip(BASE + tables[identity][each.name][1], each.label_values))
                    found.setdefault((identity, each.name), []).append((labels, each.value.value))
        written = sum(v for _, v in found.get((busy.id, "container_fs_writes_bytes_total"), []))
        stalled = found.get((busy.id, "container_cpu_cfs_throttled_periods_total"), [({}, 0)])
        network = ("", "container_network_receive_bytes_total") in found
        return found if written and stalled[0][1] and network else None

    found = wait_until(ask, SECONDS, "writes to the disk")
    missing = {name for identity, table in tables.items() for name in table
               if (identity, name) not in found}
    assert missing <= {name for name in MAY_MISS if "pressure" not in name and "quota" not in name}

    def value(name, **labels):
        values = [v for have, v in found[busy.id, name]
                  if all(have[key] == labels[key] for key in labels)]
        assert len(values) == 1, found[busy.id, name]
        return values[0]

    number = os.stat(DISK).st_rdev
    device = {"major": str(os.major(number)), "minor": str(os.minor(number))}
    assert value("container_blkio_device_usage_total", operation="Write", **device) % 4096 == 0
    assert value("container_fs_writes_total", device=DISK) > 0
    assert value("container_spec_cpu_quota") == 50000
    assert value("container_spec_memory_limit_bytes") == 64 * MIB
    assert value("container_spec_memory_swap_limit_bytes") == 96 * MIB
    assert 4 <= value("container_processes") <= 8
    limit = read(FOLDER / f"tare-{busy.id}.scope", "pids.max")[0]
    assert value("container_threads_max") == (0 if limit == "max" else int(limit))
    assert value("container_memory_failures_total", failure_type="pgfault") > 0


def test_statistics(busy):
    """One container for all of them: a node takes seconds to make here."""
    check_container(busy)
    check_pod(busy)
    check_metrics(busy)
