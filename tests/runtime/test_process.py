# SPDX-License-Identifier: Apache-2.0
"""process of config.json: scheduler, priorities, limits, CPUs, personality, memory policy, ids."""
import os
import pathlib

import pytest

ONE_CPU = len(os.sched_getaffinity(0)) < 2
RLIMITS = {"CPU": 0, "FSIZE": 1, "DATA": 2, "STACK": 3, "CORE": 4, "RSS": 5, "NPROC": 6,
           "NOFILE": 7, "MEMLOCK": 8, "AS": 9, "LOCKS": 10, "SIGPENDING": 11, "MSGQUEUE": 12,
           "NICE": 13, "RTPRIO": 14, "RTTIME": 15}


def cpus(report):
    return report["status"].split("Cpus_allowed_list:")[1].split()[0]


# -- CPUs ------------------------------------------------------------------------------------------


@pytest.mark.skipif(ONE_CPU, reason="needs two CPUs")
def test_exec_cpu_affinity(machine):
    b = machine.bundle("wait")
    b.process["execCPUAffinity"] = {"initial": "0-1", "final": "1"}
    b.up()
    everywhere = pathlib.Path(f"/proc/{b.state()['pid']}/status").read_text()
    assert "-" in cpus({"status": everywhere}), "the init is not meant"
    assert cpus(b.exec("/bin/probe").ok().json) == "1"
    b.stop()


@pytest.mark.skipif(ONE_CPU, reason="needs two CPUs")
def test_only_the_initial_affinity(machine):
    """Then what holds in the end is the cgroup's."""
    b = machine.bundle("wait")
    b.process["execCPUAffinity"] = {"initial": "0"}
    b.up()
    assert "-" in cpus(b.exec("/bin/probe").ok().json)
    b.stop()


@pytest.mark.parametrize("which", ["initial", "final"])
def test_affinity_to_a_cpu_that_is_not_there(machine, which):
    b = machine.bundle("wait")
    b.process["execCPUAffinity"] = {which: "8000"}
    b.up()
    b.exec("/bin/probe").failed(f"process.execCPUAffinity.{which}: run on CPUs '8000'", 255)
    b.stop()


@pytest.mark.parametrize("text", ["a", "3-1", "1-"])
def test_affinity_that_is_no_list(machine, text):
    b = machine.bundle("wait")
    b.process["execCPUAffinity"] = {"final": text}
    if text == "a":
        b.run().failed("process.execCPUAffinity.final", 1)
        return
    b.up()
    b.exec("/bin/probe").failed("is not a list of CPUs", 255)
    b.stop()


@pytest.mark.skipif(ONE_CPU, reason="needs two CPUs")
def test_what_the_runtime_is_pinned_to_is_not_inherited(machine):
    machine.prefix = ["taskset", "-c", "0"]
    b = machine.bundle()
    assert "-" in cpus(b.report())


# -- scheduler and priorities ----------------------------------------------------------------------


@pytest.mark.parametrize("policy, number, more", [
    ("SCHED_OTHER", 0, {"nice": 7}), ("SCHED_BATCH", 3, {"nice": -3}), ("SCHED_IDLE", 5, {}),
    ("SCHED_FIFO", 1, {"priority": 9}), ("SCHED_RR", 2, {"priority": 8}),
    ("SCHED_OTHER", 0, {"flags": ["SCHED_FLAG_RESET_ON_FORK"]}),
    ("SCHED_DEADLINE", 6, {"runtime": 1000000, "deadline": 100000000, "period": 100000000}),
])
def test_scheduler(bundle, policy, number, more):
    bundle.process["scheduler"] = {"policy": policy, **more}
    done = bundle.run()
    if policy in ("SCHED_FIFO", "SCHED_RR", "SCHED_DEADLINE") and done.code:
        done.failed(f"process.scheduler: set {policy}: ", 1)  # a cgroup without real time
        return
    r = done.ok().json
    reset_on_fork = 0x40000000 if "flags" in more else 0
    assert r["policy"] == number | reset_on_fork and r["nice"] == more.get("nice", 0)
    assert r["priority"] == more.get("priority", 0)


@pytest.mark.parametrize("scheduler, text", [
    ({"policy": "SCHED_ISO"}, "process.scheduler: set SCHED_ISO"),
    ({"policy": "SCHED_SLOW"}, "process.scheduler.policy"),
    ({"policy": "SCHED_OTHER", "priority": 1}, "process.scheduler.priority"),
    ({"policy": "SCHED_OTHER", "nice": 20}, "process.scheduler.nice"),
    ({"policy": "SCHED_OTHER", "runtime": 1}, "SCHED_DEADLINE only"),
    ({"policy": "SCHED_OTHER", "flags": ["SCHED_FLAG_X"]}, "process.scheduler.flags"),
    ({"nice": 1}, "has no policy"),
])
def test_bad_scheduler(bundle, scheduler, text):
    bundle.process["scheduler"] = scheduler
    bundle.run().failed(text, 1)


@pytest.mark.parametrize("name, number, level", [("RT", 1, 3), ("BE", 2, 7), ("IDLE", 3, 0)])
def test_io_priority(bundle, name, number, level):
    bundle.process["ioPriority"] = {"class": f"IOPRIO_CLASS_{name}", "priority": level}
    assert bundle.report()["ioprio"] == number << 13 | level


def test_bad_io_priority(bundle):
    bundle.process["ioPriority"] = {"class": "IOPRIO_CLASS_BE", "priority": 8}
    bundle.run().failed("process.ioPriority.priority", 1)


def test_priorities_of_an_exec(machine):
    """An exec has the process of config.json: its scheduler, I/O class, limits."""
    b = machine.bundle("wait")
    b.process["scheduler"] = {"policy": "SCHED_BATCH", "nice": 4}
    b.process["ioPriority"] = {"class": "IOPRIO_CLASS_IDLE"}
    b.process["rlimits"] = [{"type": "RLIMIT_NOFILE", "soft": 50, "hard": 60}]
    b.process["oomScoreAdj"] = 77
    b.up()
    r = b.exec("/bin/probe").ok().json
    assert r["policy"] == 3 and r["nice"] == 4 and r["ioprio"] >> 13 == 3
    assert r["rlimits"]["7"] == [50, 60] and r["oom_score_adj"] == "77\n"
    b.stop()


# -- limits ----------------------------------------------------------------------------------------


def test_every_rlimit(bundle):
    """Half of what we have ourselves, which nobody may refuse."""
    import resource
    want = {}
    for name, number in RLIMITS.items():
        hard = resource.getrlimit(number)[1]
        hard = (1 << 62 if name in ("AS", "DATA", "STACK", "FSIZE") else 4096) if hard < 0 else hard
        want[number] = [hard // 2, hard]
        bundle.process.setdefault("rlimits", [])
        bundle.process["rlimits"] = [l for l in bundle.process["rlimits"]
                                     if l["type"] != f"RLIMIT_{name}"]
        bundle.process["rlimits"].append({"type": f"RLIMIT_{name}", "soft": hard // 2,
                                          "hard": hard})
    limits = bundle.report()["rlimits"]
    assert {n: limits[str(n)] for n in want} == want


@pytest.mark.parametrize("rlimits, text", [
    ([{"type": "RLIMIT_X", "soft": 1, "hard": 1}], "process.rlimits[0].type"),
    ([{"type": "RLIMIT_CORE", "soft": 2, "hard": 1}], "above the hard limit"),
    ([{"type": "RLIMIT_CORE", "soft": 1, "hard": 1}] * 2, "is there twice"),
])
def test_bad_rlimits(bundle, rlimits, text):
    bundle.process["rlimits"] = rlimits
    bundle.run().failed(text, 1)


# -- personality and memory policy -----------------------------------------------------------------


def test_personality(bundle):
    machine = os.uname().machine
    assert bundle.report()["machine"] == machine
    bundle.linux["personality"] = {"domain": "LINUX32"}
    assert bundle.report()["machine"] == {"x86_64": "i686", "aarch64": "armv8l"}.get(machine,
                                                                                    machine)
    bundle.linux["personality"] = {"domain": "LINUX"}
    assert bundle.report()["machine"] == machine


def test_personality_flags_are_reserved(bundle):
    bundle.linux["personality"] = {"domain": "LINUX", "flags": []}
    bundle.report()
    bundle.linux["personality"] = {"domain": "LINUX", "flags": ["ADDR_NO_RANDOMIZE"]}
    assert "linux.personality.flags" in bundle.warnings()[1]
    bundle.linux["personality"] = {"domain": "BSD"}
    bundle.run().failed("linux.personality.domain", 1)


@pytest.mark.parametrize("policy, seen", [
    ({"mode": "MPOL_BIND", "nodes": "0"}, "bind:0"),
    ({"mode": "MPOL_INTERLEAVE", "nodes": "0-0"}, "interleave:0"),
    ({"mode": "MPOL_PREFERRED", "nodes": "0"}, "prefer:0"),
    ({"mode": "MPOL_PREFERRED_MANY", "nodes": "0"}, "prefer (many):0"),
    ({"mode": "MPOL_WEIGHTED_INTERLEAVE", "nodes": "0"}, "weighted interleave:0"),
    ({"mode": "MPOL_LOCAL"}, "local"),
    ({"mode": "MPOL_DEFAULT"}, "default"),
    ({"mode": "MPOL_BIND", "nodes": "0", "flags": ["MPOL_F_STATIC_NODES"]}, "bind=static:0"),
    ({"mode": "MPOL_BIND", "nodes": "0", "flags": ["MPOL_F_RELATIVE_NODES"]}, "bind=relative:0"),
    ({"mode": "MPOL_BIND", "nodes": "0", "flags": ["MPOL_F_NUMA_BALANCING"]}, "bind"),
])
def test_memory_policy(bundle, policy, seen):
    bundle.linux["memoryPolicy"] = policy
    done = bundle.run()
    if done.code:  # a kernel without NUMA, or older than the policy
        done.failed(f"linux.memoryPolicy: set {policy['mode']}", 1)
        return
    assert f" {seen}" in done.ok().json["numa_maps"]


@pytest.mark.parametrize("policy", [{"mode": "MPOL_BIND", "nodes": "0-x"}, {"nodes": "0"},
                                    {"mode": "MPOL_BIND", "nodes": "0", "flags": ["MPOL_F_X"]},
                                    {"mode": "MPOL_BIND", "nodes": "4000"}])
def test_bad_memory_policy(bundle, policy):
    bundle.linux["memoryPolicy"] = policy
    bundle.run().failed("linux.memoryPolicy", 1)


# -- the rest --------------------------------------------------------------------------------------


def test_command_is_found_in_its_own_path(bundle):
    bundle.process["args"] = ["probe", "report"]
    bundle.process["env"] = ["PATH=/nosuch:/bin", "A=1", "A=2"]
    r = bundle.report()
    assert r["args"][0] == "probe" and "A=2" in r["env"]


def test_variables_that_are_there_again(bundle):
    """The last value in the first place, the order kept, a prefix is another name."""
    bundle.process["env"] = ["B=1", "AB=1", "A=1", "plain", "A=2", "HOME=/", "A=", "B=a=b", "A=3",
                             "plain"]
    r = bundle.report()
    assert r["env"] == ["B=a=b", "AB=1", "A=3", "plain", "HOME=/", "plain"]


def test_cwd_of_a_user(bundle):
    """It is made as root, and entered before the program becomes its user."""
    bundle.process["cwd"] = "/var/lib/new"
    bundle.process["user"] = {"uid": 1000, "gid": 1000}
    assert bundle.report()["cwd"] == "/var/lib/new"


def test_oom_score_that_we_may_not_give(bundle):
    bundle.process["oomScoreAdj"] = -1000
    done, log = bundle.warnings()
    assert done.json["oom_score_adj"] == "-1000\n" or "lower than we may give" in log


def test_bad_oom_score(bundle):
    bundle.process["oomScoreAdj"] = 1001
    bundle.run().failed("process.oomScoreAdj", 1)


def test_without_a_process(machine):
    """It may be missing until start."""
    b = machine.bundle()
    del b.config["process"]
    assert b.create() == 0, b.output()
    b.start().failed("config.json has no process to start", 1)
    b.delete("--force").ok()


def test_capabilities_of_an_exec(machine):
    b = machine.bundle("wait")
    b.process["capabilities"] = {"bounding": ["CAP_KILL"], "permitted": ["CAP_KILL"],
                                 "effective": ["CAP_KILL"]}
    b.up()
    caps = b.exec("/bin/probe").ok().json["caps"]
    assert caps["bounding"] == 1 << 5 and caps["ambient"] == 0
    b.stop()
