# SPDX-License-Identifier: Apache-2.0
"""The systemd cgroup driver where cgroups are version 1 beside an empty tree of version 2, as
systemd's "hybrid" setup mounts them. For a guest of its own; see vm.py."""
import pytest

from systemd_units import CGROUPS, properties, systemctl, wait_unknown

MIB = 1 << 20
KINDS = ("memory", "cpu", "pids", "cpuset", "devices", "freezer", "blkio", "systemd", "unified")
LIMITS = {
    "memory": {"limit": 64 * MIB, "swap": 80 * MIB, "reservation": 32 * MIB},
    "cpu": {"shares": 512, "quota": 12345, "period": 50000, "cpus": "0-1", "mems": "0"},
    "pids": {"limit": 77},
    "devices": [{"allow": False, "access": "rwm"},
                {"allow": True, "type": "c", "major": 1, "minor": 7, "access": "rwm"}]}


@pytest.fixture
def b(scopes):
    bundle = scopes("ignore")
    bundle.linux["resources"].update(LIMITS)
    return bundle


def folder(b, kind):
    return CGROUPS / kind / b.folder.relative_to(CGROUPS)


def values(b, names):
    return {name: (folder(b, name.split(".")[0]) / name).read_text().strip() for name in names}


def may_use(b, minor):
    """Whether the container may make the character device 1:minor, as the cgroup says."""
    done = b.machine.run("exec", "--cap", "CAP_MKNOD", b.id, "/bin/probe", "mknod", "c", "1", minor)
    return done.code == 0


def test_life_of_a_scope(b):
    b.up()
    pid = str(b.state()["pid"])
    assert [k for k in KINDS if (folder(b, k) / "cgroup.procs").read_text().split() != [pid]] == []
    files = {"memory.limit_in_bytes": str(64 * MIB), "memory.memsw.limit_in_bytes": str(80 * MIB),
             "memory.soft_limit_in_bytes": str(32 * MIB), "cpu.shares": "512",
             "cpu.cfs_quota_us": "12345", "cpu.cfs_period_us": "50000", "pids.max": "77",
             "cpuset.cpus": "0-1", "cpuset.mems": "0"}
    if not (folder(b, "memory") / "memory.memsw.limit_in_bytes").exists():
        del files["memory.memsw.limit_in_bytes"]  # the kernel counts no swap
    assert values(b, files) == files
    shown = properties(b.unit, "MemoryLimit", "CPUShares", "TasksMax", "Delegate", "DevicePolicy")
    assert shown == {"MemoryLimit": str(64 * MIB), "CPUShares": "512", "TasksMax": "77",
                     "Delegate": "yes", "DevicePolicy": "strict"}

    b.machine.run("update", "--memory", 32 * MIB, "--memory-swap", 40 * MIB, "--cpu-share", 1024,
                  "--pids-limit", 50, "--cpu-quota", 30000, "--cpu-period", 60000, b.id).ok()
    systemctl("daemon-reload")
    files = {"memory.limit_in_bytes": str(32 * MIB), "cpu.shares": "1024", "pids.max": "50",
             "cpu.cfs_quota_us": "30000", "cpu.cfs_period_us": "60000"}
    assert values(b, files) == files
    assert may_use(b, 7) and not may_use(b, 1)

    b.machine.run("pause", b.id).ok()
    assert b.state()["status"] == "paused"
    b.machine.run("resume", b.id).ok()
    assert b.exec("/bin/probe", "exit", "7").code == 7
    b.machine.run("kill", "--all", b.id, "KILL").ok()
    b.wait_status("stopped")
    b.delete().ok()
    assert [k for k in KINDS if folder(b, k).exists()] == []
    wait_unknown(b.unit)


def test_a_cgroup_namespace_and_mount(b):
    b.namespace("cgroup")
    b.config["mounts"] = [m for m in b.config["mounts"] if m["type"] != "cgroup"]
    b.mount("/sys/fs/cgroup", type="cgroup", source="cgroup", options=["ro"])
    b.process["args"] = ["/bin/probe", "cat", "/sys/fs/cgroup/memory/memory.limit_in_bytes",
                         "/proc/self/cgroup"]
    lines = b.run().ok().out.splitlines()
    assert lines[0] == str(64 * MIB)
    assert [line for line in lines[1:] if not line.endswith(":/")] == []


def test_failed_create_leaves_nothing(b):
    b.process["args"] = ["/bin/nothing"]
    b.run().failed("nothing")
    assert [k for k in KINDS if folder(b, k).exists()] == []
    wait_unknown(b.unit)
