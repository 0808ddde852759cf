# SPDX-License-Identifier: Apache-2.0
"""The systemd cgroup driver: units, limits as properties and as files, updates, ends."""
import json
import os
import subprocess
import time

import pytest

from systemd_units import CGROUPS, is_known, properties, systemctl, wait_unknown

MIB = 1 << 20


def test_scope_of_a_container(scopes):
    b = scopes("ignore").up()
    pid = str(b.state()["pid"])
    assert b.value("cgroup.procs") == pid
    shown = properties(b.unit, "ActiveState", "Slice", "Delegate", "Description", "CollectMode",
                       "ControlGroup", "DefaultDependencies", "TasksAccounting")
    assert shown == {"ActiveState": "active", "Slice": "taretest-vm.slice", "Delegate": "yes",
                     "Description": f"container {b.id}", "CollectMode": "inactive-or-failed",
                     "ControlGroup": str(b.folder).removeprefix("/sys/fs/cgroup"),
                     "DefaultDependencies": "no", "TasksAccounting": "yes"}
    b.stop()
    assert not b.folder.exists()
    wait_unknown(b.unit)


@pytest.mark.parametrize("path, folder", [
    ("", "system.slice/tare-NAME.scope"),
    (":tare:NAME", "system.slice/tare-NAME.scope"),
    ("-.slice:tare:NAME", "tare-NAME.scope"),
    ("taretest-x-y.slice::NAME", "taretest.slice/taretest-x.slice/taretest-x-y.slice/NAME.scope"),
    ("taretest.slice:a:NAME+1", "taretest.slice/a-NAME\\x2b1.scope"),
    ("taretest.slice:_u:NAME", "taretest.slice/__u-NAME.scope"),
])
def test_names(scopes, path, folder):
    b = scopes("ignore")
    b.id = f"n{os.getpid()}-{b.machine.path.name}"
    b.linux["cgroupsPath"] = path.replace("NAME", b.id)
    b.folder = CGROUPS / folder.replace("NAME", b.id)
    b.unit = b.folder.name.replace("__", "_")
    b.up()
    assert b.value("cgroup.procs") == str(b.state()["pid"])
    b.stop()


def test_limits_are_properties_and_files(scopes):
    b = scopes("ignore")
    b.linux["resources"].update({
        "memory": {"limit": 64 * MIB, "swap": 80 * MIB, "reservation": 32 * MIB},
        "cpu": {"shares": 512, "quota": 12345, "period": 50000, "cpus": "0-1", "mems": "0"},
        "pids": {"limit": 77},
        "unified": {"memory.high": str(60 * MIB), "memory.oom.group": "1"}})
    b.up()
    shown = properties(b.unit, "MemoryMax", "MemorySwapMax", "MemoryLow", "CPUWeight", "TasksMax",
                       "CPUQuotaPerSecUSec", "CPUQuotaPeriodUSec", "AllowedCPUs", "MemoryHigh",
                       "AllowedMemoryNodes")
    assert shown == {"MemoryMax": str(64 * MIB), "MemorySwapMax": str(16 * MIB),
                     "MemoryLow": str(32 * MIB), "CPUWeight": "59", "TasksMax": "77",
                     "CPUQuotaPerSecUSec": "250ms", "CPUQuotaPeriodUSec": "50ms",
                     "AllowedCPUs": "0-1", "AllowedMemoryNodes": "0", "MemoryHigh": str(60 * MIB)}
    files = {"memory.max": str(64 * MIB), "memory.low": str(32 * MIB), "cpu.weight": "59",
             "memory.high": str(60 * MIB), "memory.oom.group": "1",
             "cpu.max": "12345 50000", "pids.max": "77", "cpuset.cpus": "0-1", "cpuset.mems": "0"}
    assert {name: b.value(name) for name in files} == files


def test_update_and_reload(scopes):
    b = scopes("ignore")
    b.linux["resources"]["memory"] = {"limit": 64 * MIB}
    b.up()
    b.machine.run("update", "--memory", 32 * MIB, "--cpu-share", 1024, "--pids-limit", 50,
                  "--cpu-quota", 30000, "--cpu-period", 60000, b.id).ok()
    systemctl("daemon-reload")
    files = {"memory.max": str(32 * MIB), "cpu.weight": "100", "pids.max": "50",
             "cpu.max": "30000 60000"}
    assert {name: b.value(name) for name in files} == files
    shown = properties(b.unit, "MemoryMax", "CPUWeight", "TasksMax", "CPUQuotaPerSecUSec")
    assert shown == {"MemoryMax": str(32 * MIB), "CPUWeight": "100", "TasksMax": "50",
                     "CPUQuotaPerSecUSec": "500ms"}
    b.machine.run("update", "--memory", 128 * MIB, "--pids-limit", -1, b.id).ok()
    assert (b.value("memory.max"), b.value("pids.max")) == (str(128 * MIB), "max")


def test_devices_stay_refused_after_a_reload(scopes):
    b = scopes("ignore").up()
    systemctl("daemon-reload")
    assert b.exec("/bin/probe", "open", "w", "/dev/null").code == 0
    done = b.machine.run("exec", "--cap", "CAP_MKNOD", b.id, "/bin/probe", "mknod", "c", "1", "1")
    assert done.code != 0  # mknod may, the open may not


def test_two_of_one_name(scopes):
    first = scopes("ignore").up()
    second = scopes("ignore")
    second.linux["cgroupsPath"] = first.linux["cgroupsPath"]
    second.run().failed("another container uses it", 1)
    assert first.state()["status"] == "running"


def test_a_taken_unit_is_told(scopes):
    b = scopes("ignore")
    other = subprocess.Popen(["systemd-run", "--quiet", "--scope", f"--unit={b.unit}",
                              "--slice=taretest-other.slice", "sleep", "60"])
    end = time.time() + 20
    while not is_known(b.unit):
        assert time.time() < end
        time.sleep(0.05)
    b.run().failed(f"start unit '{b.unit}'", 1)
    other.kill()
    other.wait()
    systemctl("stop", b.unit)


def test_a_failed_unit_is_replaced(scopes):
    """One that an older program left."""
    b = scopes("ignore")
    subprocess.run(["systemd-run", "--quiet", "--scope", f"--unit={b.unit}", "-p",
                    "RuntimeMaxSec=1", "--slice=taretest-vm.slice", "sleep", "30"], check=False)
    assert properties(b.unit, "ActiveState")["ActiveState"] == "failed"
    b.up()
    assert properties(b.unit, "ActiveState")["ActiveState"] == "active"
    b.stop()


def test_failed_create_leaves_nothing(scopes):
    b = scopes("ignore")
    b.process["args"] = ["/bin/nothing"]
    b.run().failed("nothing")
    assert not b.folder.exists()
    wait_unknown(b.unit)


def test_kill_pause_and_delete(scopes):
    b = scopes("ignore").up()
    b.machine.run("pause", b.id).ok()
    assert "frozen 1" in b.value("cgroup.events") and b.state()["status"] == "paused"
    b.machine.run("resume", b.id).ok()
    b.machine.run("kill", "--all", b.id, "KILL").ok()
    b.wait_status("stopped")
    b.delete().ok()
    assert not b.folder.exists()


def test_stopped_by_systemd(scopes):
    b = scopes("ignore").up()
    systemctl("kill", "--signal=KILL", b.unit)
    b.wait_status("stopped")
    b.delete().ok()


def test_annotations_need_the_operators_word(scopes):
    b = scopes("ignore")
    b.config["annotations"] = {"org.systemd.property.TimeoutStopSec": "uint64 7",
                               "org.systemd.property.Documentation": "['man:tare(1)']",
                               "org.systemd.property.SendSIGHUP": "true"}
    b.up()
    shown = properties(b.unit, "TimeoutStopUSec", "SendSIGHUP")
    assert shown == {"TimeoutStopUSec": "1min 30s", "SendSIGHUP": "no"}
    b.stop()
    b.machine.flags.append("--systemd-properties")
    b.up()
    shown = properties(b.unit, "TimeoutStopUSec", "SendSIGHUP", "Documentation")
    assert shown == {"TimeoutStopUSec": "7s", "SendSIGHUP": "yes", "Documentation": '"man:tare(1)"'}
    b.stop()
    b.config["annotations"] = {"org.systemd.property.NoSuchThing": "true"}
    b.run().failed(f"start unit '{b.unit}'")
    b.config["annotations"] = {"org.systemd.property.Slice": "[oh"}
    b.run().failed("is no value for a property")


def test_a_slice_as_the_unit(scopes):
    b = scopes("ignore")
    b.linux["cgroupsPath"] = "::taretest-own.slice"
    b.folder, b.unit = CGROUPS / "taretest.slice/taretest-own.slice", "taretest-own.slice"
    b.up()
    assert b.value("cgroup.procs") == str(b.state()["pid"])
    b.stop()


def test_many_at_once(scopes):
    made = [scopes("ignore") for _ in range(6)]
    children = []
    for b in made:
        b.save()
        with open(b.machine.path / f"{b.id}.out", "ab") as out:
            children.append(b.machine.start_process("create", "-b", b.path, b.id, stdout=out,
                                                    stderr=out))
    for child, b in zip(children, made):
        assert child.wait(60) == 0, (b.machine.path / f"{b.id}.out").read_text()
    assert all(b.value("cgroup.procs") == str(b.state()["pid"]) for b in made)
    for b in made:
        b.delete("--force").ok()
    assert not any(b.folder.exists() for b in made)


def test_features_say_so(scopes):
    cgroup = json.loads(scopes().machine.run("features").ok().out)["linux"]["cgroup"]
    assert cgroup["systemd"] and cgroup["systemdUser"]
