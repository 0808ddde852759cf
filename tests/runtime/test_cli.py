# SPDX-License-Identifier: Apache-2.0
"""The command line: options, formats, exit codes; as the callers of runc know them."""
import array
import json
import os
import pathlib
import re
import socket
import subprocess
import threading

import pytest

COMMANDS = ("checkpoint create delete events exec features kill list pause ps restore resume run "
            "spec start state update").split()


@pytest.fixture
def up(machine):
    b = machine.bundle("sleep", "300")
    b.linux["resources"].setdefault("memory", {})["limit"] = 64 << 20
    return b.up()


# -- words -----------------------------------------------------------------------------------------

# What runc 1.5.2 takes, a command a line.
RUNC = """
create bundle console-socket pidfd-socket pid-file no-pivot no-new-keyring preserve-fds
run bundle console-socket pidfd-socket detach keep pid-file no-subreaper no-pivot no-new-keyring
run preserve-fds
exec console-socket pidfd-socket cwd env tty user additional-gids process detach pid-file
exec process-label apparmor no-new-privs cap preserve-fds cgroup ignore-paused
list format quiet
ps format
kill all
delete force
update resources blkio-weight cpu-period cpu-quota cpu-burst cpu-share cpu-rt-period cpu-rt-runtime
update cpuset-cpus cpuset-mems memory cpu-idle memory-reservation memory-swap pids-limit
update l3-cache-schema mem-bw-schema
events interval stats
spec bundle rootless
checkpoint image-path work-path parent-path leave-running tcp-established tcp-skip-in-flight
checkpoint link-remap ext-unix-sk shell-job lazy-pages status-fd page-server file-locks pre-dump
checkpoint manage-cgroups-mode empty-ns auto-dedup
restore console-socket image-path work-path tcp-established ext-unix-sk shell-job file-locks
restore manage-cgroups-mode bundle detach pid-file no-subreaper no-pivot empty-ns auto-dedup
restore lazy-pages lsm-profile lsm-mount-context
"""


def options_of(machine, *command):
    text = machine.run(*command, "--help").ok().out
    return set(re.findall(r"^  (?:-.,|   ) --([a-z0-9-]+)", text, re.M))


def test_commands(machine):
    text = machine.run("--help").ok().out
    assert re.findall(r"^  ([a-z]+) ", text, re.M) == COMMANDS
    assert options_of(machine) >= {"root", "log", "log-format", "debug", "systemd-cgroup",
                                   "rootless", "version", "help"}


def test_every_option_of_runc(machine):
    for line in RUNC.split("\n")[1:-1]:
        command, *wanted = line.split()
        assert set(wanted) <= options_of(machine, command), command


@pytest.mark.parametrize("command", COMMANDS)
def test_help_does_nothing_else(machine, command):
    out = machine.run(command, "-h").ok().out
    assert out.startswith(f"usage: tare-runtime {command} [options]")
    assert not machine.root.exists()


def test_version(machine):
    lines = machine.run("--version").ok().out.splitlines()
    assert re.fullmatch(r"tare-runtime version [0-9]+\.[0-9]+\.[0-9]+\S*", lines[0])
    assert lines[1] == "spec: 1.3.0" and re.fullmatch(r"libseccomp: [0-9.]+", lines[2])


@pytest.mark.parametrize("words, text", [
    (("nosuch",), "no command is called 'nosuch'"),
    (("--nosuch",), "option '--nosuch' is not known"),
    (("create", "--nosuch", "a"), "create: option '--nosuch' is not known"),
    (("create", "a", "b"), "create: 'b' is one argument too many"),
    (("create",), "create: requires exactly 1 argument"),
    (("create", "-b"), "create: option '-b' needs a value"),
    (("create", "../a"), "invalid id format"),
    (("start",), "start: requires exactly 1 argument"),
    (("kill",), "kill: needs the container's id"),
    (("exec",), "exec: needs the container's id"),
    (("list", "-f", "xml"), "--format: 'xml' is none of table, json"),
    (("ps", "-f", "xml", "a"), "--format: 'xml' is none of table, json"),
    (("--log-format", "xml", "list"), "--log-format: 'xml' is none of text, json"),
    (("--rootless", "maybe", "list"), "--rootless: 'maybe' is none of true, false, auto"),
    (("--debug=maybe", "list"), "--debug is true or false"),
    (("create", "--preserve-fds", "x", "a"), "--preserve-fds: 'x' is not a number"),
    (("events", "--interval", "soon", "a"), "--interval: 'soon' is not a time"),
    (("update", "--blkio-weight", "9", "a"), "--blkio-weight: 9 is out of range; expected 10 to"),
])
def test_wrong_words(machine, words, text):
    machine.run(*words).failed(text, 1)


@pytest.mark.parametrize("words, code", [
    (("state",), 1), (("start",), 1), (("kill",), 1), (("delete",), 1), (("pause",), 1),
    (("resume",), 1), (("ps",), 1), (("events",), 1), (("update",), 1), (("exec", "--"), 255)])
def test_no_such_container(machine, words, code):
    after = ("true",) if words[0] == "exec" else ()
    machine.run(*words, "nobody", *after).failed("container does not exist", code)


def test_options_behind_the_id(up):
    up.machine.run("delete", up.id, "--force").ok()


# -- logs ------------------------------------------------------------------------------------------

def test_text_on_standard_error(machine):
    err = machine.run("state", "nobody").failed("does not exist", 1).err
    assert re.fullmatch(r'time="[0-9TZ:.-]+" level=error msg=".*"\n', err)


@pytest.mark.parametrize("form", ["text", "json"])
def test_log_file(machine, form):
    log = machine.path / "log"
    machine.run("--log", log, "--log-format", form, "state", "nobody").failed("does not exist", 1)
    line = log.read_text()
    assert line.count("\n") == 1
    if form == "json":
        entry = json.loads(line)
        assert entry["level"] == "error" and "container does not exist" in entry["msg"]
        assert re.fullmatch(r"[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9:.]+Z", entry["time"])
    else:
        assert "level=error" in line


# -- formats ---------------------------------------------------------------------------------------

def test_list_formats(up):
    assert up.machine.run("list", "-q").ok().out == f"{up.id}\n"
    state = up.state()
    assert up.machine.run("list", "--format", "json").ok().json == [state]
    title, line = up.machine.run("list").ok().out.splitlines()
    assert title.split() == ["ID", "PID", "STATUS", "BUNDLE", "CREATED", "OWNER"]
    assert line.split() == [up.id, str(state["pid"]), "running", str(up.path), state["created"],
                            "root"]
    assert title.index("CREATED") == line.index(state["created"])


def test_empty_list(machine):
    assert machine.run("list", "-f", "json").ok().out == "null\n"
    assert machine.run("list", "-q").ok().out == ""


def test_ps(up):
    pid = up.state()["pid"]
    assert up.machine.run("ps", "-f", "json", up.id).ok().json == [pid]
    for options in ((), ("-e", "-o", "pid,args")):
        lines = up.machine.run("ps", up.id, *options).ok().out.splitlines()
        assert len(lines) == 2 and str(pid) in lines[1] and "probe" in lines[1], options
    up.machine.run("ps", up.id, "-o", "args").failed("no column PID", 1)


# -- exec ------------------------------------------------------------------------------------------

def take_pidfd(path, action):
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(path))
        server.listen()
        thread = threading.Thread(target=action)
        thread.start()
        peer, _ = server.accept()
        data, ancillary, _, _ = peer.recvmsg(100, socket.CMSG_SPACE(4))
        thread.join()
        fd, = array.array("i", ancillary[0][2])
        with open(f"/proc/self/fdinfo/{fd}", encoding="ascii") as info:
            pid = int(re.search(r"^Pid:\s+(-?\d+)", info.read(), re.M)[1])
        os.close(fd)
        peer.close()
    return data, pid


def exec_detached(up, *options):
    """The pid of a process that sleeps; it keeps what it has as standard output open."""
    pid_file = up.path / "pid"
    child = up.machine.start_process("exec", "-d", "--pid-file", pid_file, *options, up.id,
                                     "/bin/probe", "sleep", "60", stdout=subprocess.DEVNULL,
                                     stderr=subprocess.DEVNULL)
    assert child.wait(20) == 0
    return int(pid_file.read_text())


def test_pidfd_socket(up):
    seen = []
    word, pid = take_pidfd(up.path / "sock", lambda: seen.append(
        exec_detached(up, "--pidfd-socket", up.path / "sock")))
    assert word == b"setns" and [pid] == seen


def test_pidfd_socket_of_create(machine):
    b = machine.bundle("sleep", "60")
    word, pid = take_pidfd(b.path / "sock",
                           lambda: b.create("--pidfd-socket", b.path / "sock"))
    assert word == b"standard" and pid == b.state()["pid"]
    b.delete("--force").ok()


def cgroups_of(pid):
    with open(f"/proc/{pid}/cgroup", encoding="ascii") as file:
        return {line.split(":")[1]: line.rstrip("\n").split(":")[2] for line in file}


def test_exec_in_cgroups(up):
    for controller in ("memory", "pids"):
        (up.cgroup_file(controller, "cgroup.procs").parent / "sub").mkdir()
    groups = cgroups_of(exec_detached(up, "--cgroup", "memory,pids:sub"))
    split = "memory" in groups  # version 1
    if split:
        assert groups["memory"] == groups["pids"] == f"{up.cgroup}/sub"
        assert groups["devices"] == up.cgroup
    up.exec("/bin/probe", "report", options=("--cgroup", "pids:../..")).failed(
        "is not below the container's", 255)
    up.exec("/bin/probe", "report", options=("--cgroup", "pids:nosuch")).failed(
        "does not exist", 255)
    up.kill("KILL", "--all").ok()
    up.wait_status("stopped")


# -- update ----------------------------------------------------------------------------------------

def test_update_with_units(up):
    up.machine.run("update", "--memory", "32M", up.id).ok()
    try:
        limit = up.cgroup_file("memory", "memory.limit_in_bytes")
    except FileNotFoundError:
        limit = up.cgroup_file("memory", "memory.max")
    assert int(limit.read_text()) == 32 << 20
    for wrong in ("32Q", "M", "-2", "9999999999G", "3 2"):
        up.machine.run("update", "--memory", wrong, up.id).failed(
            f"--memory: '{wrong}' is not a number", 1)


def test_update_of_swap_alone(up):
    """It counts memory and swap together, and goes by the limit that the container has."""
    try:
        up.cgroup_file("memory", "memory.memsw.limit_in_bytes")
        files = ("memory.limit_in_bytes", "memory.memsw.limit_in_bytes")
    except FileNotFoundError:
        files = ("memory.max", "memory.swap.max")

    def limits():
        try:
            memory, swap = (up.cgroup_file("memory", file).read_text().strip() for file in files)
        except FileNotFoundError:
            pytest.skip("this machine does not count swap")
        if files[0] == "memory.max":
            return memory, "max" if swap == "max" else str(int(swap) + int(memory))
        return memory, swap

    def update(*options):
        return up.machine.run("update", *options, up.id)

    update("--memory", "64M", "--memory-swap", "64M").ok()
    assert limits() == (str(64 << 20), str(64 << 20))
    for total in (256 << 20, 96 << 20, 64 << 20, 128 << 20):
        update("--memory-swap", total).ok()
        assert limits() == (str(64 << 20), str(total))
    update("--memory-swap", "63M").failed("is below this container's memory limit (67108864)", 1)
    assert limits() == (str(64 << 20), str(128 << 20))
    update("--memory", "32M", "--memory-swap", "32M").ok()
    assert limits() == (str(32 << 20), str(32 << 20))
    update("--memory", "-1", "--memory-swap", "-1").ok()
    update("--memory-swap", "1G").failed("this container has no memory limit; give", 1)


@pytest.mark.skipif(os.path.exists("/sys/fs/resctrl/schemata"), reason="the machine has resctrl")
def test_update_of_rdt_without_resctrl(up):
    """With it: tests/unit/test-runtime-rdt.c."""
    for option in ("--l3-cache-schema", "--mem-bw-schema"):
        up.machine.run("update", "--pids-limit", "77", option, "MB:0=10", up.id).failed(
            "update: there is no resctrl file system at '/sys/fs/resctrl'", 1)
    assert up.cgroup_file("pids", "pids.max").read_text() != "77\n"  # nothing is done by halves


# -- events ----------------------------------------------------------------------------------------

def test_stats(up):
    event = up.machine.run("events", "--stats", up.id).ok().json
    assert event["type"] == "stats" and event["id"] == up.id
    data = event["data"]
    assert data["cpu"]["usage"]["total"] > 0
    assert data["memory"]["usage"]["limit"] == 64 << 20
    assert 0 < data["memory"]["usage"]["usage"] < 64 << 20
    assert data["pids"]["current"] == 1
    assert data["memory"]["raw"]


def test_stats_of_huge_pages(up):
    data = up.machine.run("events", "--stats", up.id).ok().json["data"]
    for folder in pathlib.Path("/sys/kernel/mm/hugepages").iterdir():
        kib = int(re.fullmatch(r"hugepages-(\d+)kB", folder.name)[1])
        size = f"{kib >> 20}GB" if kib >> 20 else f"{kib >> 10}MB" if kib >> 10 else f"{kib}KB"
        if hugetlb_is_there(up, size):
            assert data["hugetlb"][size]["usage"] == data["hugetlb"][size]["failcnt"] == 0


def hugetlb_is_there(up, size):
    for file in ("current", "usage_in_bytes"):
        try:
            return up.cgroup_file("hugetlb", f"hugetlb.{size}.{file}")
        except FileNotFoundError:
            pass
    return None


def test_stats_of_pressure(up):
    data = up.machine.run("events", "--stats", up.id).ok().json["data"]
    for member, file in (("cpu", "cpu"), ("memory", "memory"), ("blkio", "io")):
        try:
            text = up.cgroup_file("unified", f"{file}.pressure").read_text()
        except (FileNotFoundError, OSError):  # version 1, or switched off (EOPNOTSUPP)
            assert "psi" not in data[member]
            continue
        kinds = [line.split()[0] for line in text.splitlines()]
        for kind in kinds:
            assert set(data[member]["psi"][kind]) == {"avg10", "avg60", "avg300", "total"}


def test_stats_have_no_group_of_rdt_and_no_network(up):
    data = up.machine.run("events", "--stats", up.id).ok().json["data"]
    assert data["intel_rdt"] == {} and data["network_interfaces"] is None


def test_events_until_the_end(up):
    child = up.machine.start_process("events", "--interval", "50ms", up.id)
    for _ in range(3):
        assert json.loads(child.stdout.readline())["type"] == "stats"
    up.kill("KILL").ok()
    child.communicate(timeout=10)
    assert child.returncode == 0
    up.wait_status("stopped")
    up.machine.run("events", up.id).failed("is not running", 1)


def test_out_of_memory_is_told(up):
    child = up.machine.start_process("events", "--interval", "1h", up.id)

    def watches(fd):
        try:
            return os.readlink(fd).startswith(("anon_inode:[eventfd", "anon_inode:inotify"))
        except FileNotFoundError:  # closed meanwhile
            return False

    while not any(watches(fd) for fd in pathlib.Path(f"/proc/{child.pid}/fd").iterdir()):
        assert child.poll() is None
    subprocess.run(["sleep", "0.1"], check=True)
    assert up.exec("/bin/probe", "alloc", "200").code == 137
    assert json.loads(child.stdout.readline()) == {"type": "oom", "id": up.id}
    up.kill("KILL").ok()
    child.communicate(timeout=10)


# -- features --------------------------------------------------------------------------------------

@pytest.fixture
def features(machine):
    return machine.run("features").ok().json


def test_features_name_what_is_there(features):
    linux = features["linux"]
    assert features["ociVersionMin"] == "1.0.0" and features["ociVersionMax"] == "1.3.0"
    assert set(linux["namespaces"]) == {"cgroup", "ipc", "mount", "network", "pid", "time", "user",
                                        "uts"}
    last = int(open("/proc/sys/kernel/cap_last_cap", encoding="ascii").read())
    assert len(linux["capabilities"]) == last + 1
    assert "MPOL_BIND" in linux["memoryPolicy"]["modes"]
    assert "MPOL_F_STATIC_NODES" in linux["memoryPolicy"]["flags"]


def test_seccomp_features_are_true(machine, features):
    """Every action, operator and architecture that is named is taken; no other is."""
    seccomp = features["linux"]["seccomp"]

    def take(action="SCMP_ACT_ERRNO", op="SCMP_CMP_EQ", arch=None):
        b = machine.bundle("report")
        rule = {"names": ["acct"], "action": action,
                "args": [{"index": 0, "value": 1, "valueTwo": 1, "op": op}]}
        b.linux["seccomp"] = {"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [rule],
                              **({"architectures": [arch]} if arch else {})}
        return b.run()

    for action in seccomp["actions"]:
        if action != "SCMP_ACT_NOTIFY":  # needs an agent: see test_config.py
            take(action=action).ok()
    for op in seccomp["operators"]:
        take(op=op).ok()
    for arch in seccomp["archs"]:
        take(arch=arch).ok()
    assert take(action="SCMP_ACT_NOSUCH").code == 1
    assert take(op="SCMP_CMP_NOSUCH").code == 1
    assert take(arch="SCMP_ARCH_NOSUCH").code == 1


def test_seccomp_flags_are_true(machine, features):
    seccomp = features["linux"]["seccomp"]
    assert set(seccomp["supportedFlags"]) <= set(seccomp["knownFlags"])
    for flag in set(seccomp["supportedFlags"]) - {"SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV"}:
        b = machine.bundle("report")
        b.linux["seccomp"] = {"defaultAction": "SCMP_ACT_ALLOW", "flags": [flag], "syscalls": [
            {"names": ["acct"], "action": "SCMP_ACT_ERRNO"}]}
        b.run().ok()


def test_what_features_deny_is_refused(machine, features):
    """And what they do not deny is not: a feature that comes has to come here, too."""
    linux = features["linux"]
    wanted = {"intelRdt": {"closID": "x"}, "netDevices": {"nosuch0": {}}}
    for key, value in wanted.items():
        b = machine.bundle("report")
        b.linux[key] = value
        err = b.run().err
        refused = f"linux.{key} is not supported" in err
        assert refused == (not linux[key]["enabled"]), key
    b = machine.bundle("report")
    b.linux["cgroupsPath"] = "nosuch.slice:a:b"
    b.save()
    refused = "not supported" in machine.run("--systemd-cgroup", "run", "-b", b.path, b.id).err
    assert refused == (not linux["cgroup"]["systemd"])


def test_mount_options_are_true(machine, features):
    b = machine.bundle("report")
    skip = {"iversion", "remount", "idmap", "ridmap", "bind", "rbind", "shared", "rshared"}
    for word in features["mountOptions"]:
        if word not in skip:
            b.mount(f"/tmp/{word}", type="tmpfs", source="tmpfs", options=[word])
    b.run().ok()
