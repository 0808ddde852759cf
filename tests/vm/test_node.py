# SPDX-License-Identifier: Apache-2.0
"""The daemon on a node of cgroup v2 with systemd."""
import pytest

from systemd_units import CGROUPS, properties, systemctl

MIB = 1 << 20
PARENT = "taretest-kubepods-besteffort-pod1.slice"
FOLDER = CGROUPS / "/".join(["taretest.slice", "taretest-kubepods.slice",
                             "taretest-kubepods-besteffort.slice", PARENT])


@pytest.fixture(scope="session")
def crictl():
    return None  # built in Go: not for here


@pytest.fixture
def node(make_node):
    yield make_node(cgroup_parent="taretest.slice")
    systemctl("stop", "taretest.slice")


def scope_of(container, folder=CGROUPS / "taretest.slice"):
    return folder / f"tare-{container.id}.scope"


def test_pods_are_in_scopes(node):
    config = node.client.RuntimeConfig()
    assert config.linux.cgroup_driver == 0, "SYSTEMD"
    pod = node.run_pod(linux={"cgroup_parent": PARENT})
    container = pod.run(linux={"resources": {"memory_limit_in_bytes": 64 * MIB,
                                             "cpu_shares": 512}})
    scope = scope_of(container, FOLDER)
    assert str(container.pid) in (scope / "cgroup.procs").read_text().split()
    assert (scope / "memory.max").read_text() == f"{64 * MIB}\n"
    shown = properties(scope.name, "MemoryMax", "CPUWeight", "Slice")
    assert shown == {"MemoryMax": str(64 * MIB), "CPUWeight": "59", "Slice": PARENT}
    node.client.UpdateContainerResources(container_id=container.id, linux={
        "memory_limit_in_bytes": 32 * MIB})
    assert (scope / "memory.max").read_text() == f"{32 * MIB}\n"
    pod.remove()
    assert not scope.exists()
    assert properties(scope.name, "LoadState") == {"LoadState": "not-found"}


def test_parents_of_the_other_driver_are_refused(node):
    with pytest.raises(Exception) as error:
        node.run_pod(linux={"cgroup_parent": "/kubepods/pod1"})
    assert "is not a slice" in error.value.details()


def test_out_of_memory_is_told(node):
    pod = node.run_pod()
    container = pod.run(["sh", "-c", "x=x; while :; do x=$x$x; done"],
                        linux={"resources": {"memory_limit_in_bytes": 16 * MIB,
                                             "memory_swap_limit_in_bytes": 16 * MIB}})

    status = container.wait(40)
    assert (status.reason, status.exit_code) == ("OOMKilled", 137)
    pod.remove()
