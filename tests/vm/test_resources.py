# SPDX-License-Identifier: Apache-2.0
"""linux.resources on cgroup v2 with all its controllers: what no hybrid machine has."""
import json
import os
import pathlib
import shutil
import subprocess

import pytest

MIB = 1 << 20


@pytest.fixture(params=["systemd", "cgroupfs"])
def driver(scopes, request):
    """Makes bundles, with either cgroup driver."""
    def make(*args):
        b = scopes(*args)
        if request.param == "cgroupfs":
            b.machine.flags = []
            b.linux["cgroupsPath"] = f"/taretest-fs/{b.machine.path.name}-{b.id}"
            b.folder = pathlib.Path("/sys/fs/cgroup" + b.linux["cgroupsPath"])
        return b

    yield make
    for folder in pathlib.Path("/sys/fs/cgroup").glob("taretest-fs"):
        folder.rmdir()


def test_update_of_swap_alone(driver):
    b = driver("ignore")
    b.linux["resources"]["memory"] = {"limit": 64 * MIB, "swap": 64 * MIB}
    b.up()
    if not (b.folder / "memory.swap.max").exists():
        pytest.skip("this kernel does not count swap")
    assert b.value("memory.swap.max") == "0"
    b.machine.run("update", "--memory-swap", "96M", b.id).ok()
    assert (b.value("memory.max"), b.value("memory.swap.max")) == (str(64 * MIB), str(32 * MIB))
    b.machine.run("update", "-r", "-", b.id, input=b'{"memory": {"swap": 67108864}}').ok()
    assert (b.value("memory.max"), b.value("memory.swap.max")) == (str(64 * MIB), "0")
    b.machine.run("update", "--memory-swap", "63M", b.id).failed(
        "is below this container's memory limit (67108864)", 1)
    b.machine.run("update", "--memory-swap", "-1", b.id).ok()
    assert (b.value("memory.max"), b.value("memory.swap.max")) == (str(64 * MIB), "max")
    b.machine.run("update", "--memory", "-1", b.id).ok()
    b.machine.run("update", "--memory-swap", "1G", b.id).failed("has no memory limit; give", 1)
    b.stop()


@pytest.fixture
def disk(tmp_path):
    """The path of a block device."""
    with open(tmp_path / "disk", "wb") as file:
        file.truncate(16 * MIB)
    subprocess.run(["modprobe", "loop"], check=True)
    name = subprocess.run(["losetup", "-f", "--show", tmp_path / "disk"], check=True,
                          capture_output=True, text=True).stdout.strip()
    yield name
    pathlib.Path(f"/sys/block/{os.path.basename(name)}/queue/scheduler").write_text("none")
    subprocess.run(["losetup", "-d", name], check=True)


def test_weights_of_block_devices(scopes, disk):
    """io.weight until bfq is there, and io.bfq.weight then. Once: the cost model, switched on for a
    disk, keeps its weights when it is switched off."""
    number = os.stat(disk).st_rdev
    device = f"{os.major(number)}:{os.minor(number)}"
    weights = {"weight": 500, "weightDevice": [
        {"major": os.major(number), "minor": os.minor(number), "weight": 1000}]}
    costs = pathlib.Path("/sys/fs/cgroup/io.cost.qos")
    if os.path.exists("/sys/module/bfq"):
        subprocess.run(["modprobe", "-r", "bfq"], check=True)
    b = scopes("ignore")
    b.linux["resources"]["blockIO"] = weights
    b.run().failed("has no 'io.bfq.weight' and no 'io.weight' for it", 1)
    costs.write_text(f"{device} enable=1")
    b.up()
    assert sorted(b.value("io.weight").splitlines()) == [f"{device} 10000", "default 4950"]
    assert not (b.folder / "io.bfq.weight").exists()
    b.stop()
    costs.write_text(f"{device} enable=0")
    subprocess.run(["modprobe", "bfq"], check=True)
    pathlib.Path(f"/sys/block/{os.path.basename(disk)}/queue/scheduler").write_text("bfq")
    b = scopes("ignore")
    b.linux["resources"]["blockIO"] = weights
    b.up()
    assert sorted(b.value("io.bfq.weight").splitlines()) == [f"{device} 1000", "default 500"]
    assert b.value("io.weight") == "default 100"
    b.machine.run("update", "--blkio-weight", "20", b.id).ok()
    assert b.value("io.bfq.weight").splitlines()[0] == "default 20"
    b.stop()


def stats(b):
    return b.machine.run("events", "--stats", b.id).ok().json["data"]


def test_pressure_and_huge_pages_are_told(scopes):
    b = scopes("ignore")
    b.linux["resources"]["hugepageLimits"] = [{"pageSize": "2MB", "limit": 4 * MIB}]
    b.up()
    assert b.value("hugetlb.2MB.max") == b.value("hugetlb.2MB.rsvd.max") == str(4 * MIB)
    data = stats(b)
    assert data["hugetlb"]["2MB"] == {"usage": 0, "failcnt": 0}
    for member, file in (("cpu", "cpu"), ("memory", "memory"), ("blkio", "io")):
        assert (b.folder / f"{file}.pressure").exists()
        for kind in ("some", "full"):
            shown = data[member]["psi"][kind]
            assert set(shown) == {"avg10", "avg60", "avg300", "total"}
            assert all(isinstance(shown[key], float) for key in ("avg10", "avg60", "avg300"))
    assert data["network_interfaces"] is None and data["intel_rdt"] == {}
    b.stop()


def test_pressure_counts(scopes):
    """Two that want one CPU: some of them waited."""
    b = scopes("ignore")
    shutil.copy("/bin/busybox", b.rootfs / "bin/busybox")
    b.process["args"] = ["/bin/busybox", "sh", "-c", "while :; do :; done & while :; do :; done"]
    b.linux["resources"]["cpu"] = {"cpus": "0"}
    b.up()
    child = b.machine.start_process("events", "--interval", "100ms", b.id)
    while not json.loads(child.stdout.readline())["data"]["cpu"]["psi"]["some"]["total"]:
        assert child.poll() is None
    b.stop()
    child.communicate()


def test_misc_by_unified(scopes):
    """No machine of the tests has such a resource: what the kernel says to one comes back."""
    names = pathlib.Path("/sys/fs/cgroup/misc.capacity").read_text().split()[::2]
    b = scopes("ignore")
    b.linux["resources"]["unified"] = {"misc.max": f"{names[0] if names else 'sev'} 1"}
    if not names:
        b.run().failed("linux.resources.unified: write 'sev 1' to misc.max", 1)
        del b.linux["resources"]["unified"]
        assert "misc" not in stats(b.up())
    else:
        assert stats(b.up())["misc"][names[0]] == {"usage": 0, "events": 0}
        assert b.value("misc.max").splitlines()[0] == f"{names[0]} 1"
    b.stop()
