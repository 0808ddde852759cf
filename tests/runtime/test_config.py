# SPDX-License-Identifier: Apache-2.0
"""What config.json says is what the program finds."""
import fcntl
import json
import os
import pathlib
import signal
import socket
import stat
import struct
import subprocess

import pytest

from reports import mounts_of

CAPS = {"CAP_CHOWN": 0, "CAP_KILL": 5, "CAP_NET_BIND_SERVICE": 10, "CAP_SYS_RESOURCE": 24,
        "CAP_AUDIT_WRITE": 29}
RLIMIT_NOFILE, RLIMIT_CORE, RLIMIT_NPROC = "7", "4", "6"


def mask(*names):
    return sum(1 << CAPS[n] for n in names)


def ours():
    """Capabilities that we have ourselves: nobody can give more."""
    status = pathlib.Path("/proc/self/status").read_text()
    return int(status.split("CapPrm:")[1].split()[0], 16)


def test_defaults(bundle):
    r = bundle.report()
    assert r["pid"] == 1 and r["uids"] == [0, 0, 0] and r["cwd"] == "/"
    assert r["hostname"] == "tare" and r["umask"] == 0o22
    assert r["no_new_privs"] == 1 and r["dumpable"] == 1
    assert "HOME=/root" in r["env"]
    for kind, name in r["namespaces"].items():
        host = os.readlink(f"/proc/self/ns/{kind}")
        if kind in ("pid", "mnt", "net", "ipc", "uts"):
            assert name != host, kind
        else:
            assert name == host, kind
    assert all(line.endswith(bundle.cgroup) for line in r["cgroup"].splitlines())
    assert sorted(r["fds"]) == ["0", "1", "2"]
    assert "lo:" in r["net_dev"] and "eth0" not in r["net_dev"]
    assert r["signals"] == {"ignored": 0, "blocked": 0}


def test_default_devices(bundle):
    dev = bundle.report()["dev"]
    for name, rdev in {"null": "1:3", "zero": "1:5", "full": "1:7", "random": "1:8",
                       "urandom": "1:9", "tty": "5:0"}.items():
        assert dev[name]["rdev"] == rdev and dev[name]["mode"] == stat.S_IFCHR | 0o666
    assert dev["fd"]["link"] == "/proc/self/fd" and dev["ptmx"]["link"] == "pts/ptmx"
    assert dev["stdin"]["link"] == "/proc/self/fd/0"


def test_devices(bundle):
    bundle.linux["devices"] = [
        {"path": "/dev/fuse", "type": "c", "major": 10, "minor": 229, "fileMode": 0o640, "uid": 5,
         "gid": 6},
        {"path": "/dev/pipe", "type": "p"},
    ]
    dev = bundle.report()["dev"]
    assert dev["fuse"]["rdev"] == "10:229"
    assert dev["fuse"]["mode"] == stat.S_IFCHR | 0o640
    assert (dev["fuse"]["uid"], dev["fuse"]["gid"]) == (5, 6)
    assert stat.S_ISFIFO(dev["pipe"]["mode"])


def test_device_is_a_link_in_the_image(bundle):
    """A link in the place of a device leads nowhere."""
    bundle.config["mounts"] = [m for m in bundle.config["mounts"]
                               if not m["destination"].startswith("/dev")]
    (bundle.rootfs / "dev/null").symlink_to("/etc/passwd")
    bundle.run().failed("device '/dev/null'", 1)
    assert (bundle.rootfs / "etc/passwd").read_text().startswith("root")


def test_device_rules(machine):
    if not os.path.exists("/dev/net/tun"):
        pytest.skip("this machine has no tun device")
    b = machine.bundle("mknod", "c", "10", "200")
    b.process["capabilities"]["bounding"].append("CAP_MKNOD")
    b.process["capabilities"]["effective"].append("CAP_MKNOD")
    b.process["capabilities"]["permitted"].append("CAP_MKNOD")
    assert b.run().code == 1  # EPERM: made, not opened
    b.linux["resources"]["devices"].append(
        {"allow": True, "type": "c", "major": 10, "minor": 200, "access": "rwm"})
    (b.rootfs / "tmp/node").unlink()
    assert b.run().code == 0
    b.process["args"] = ["/bin/probe", "mknod", "c", "1", "3"]
    (b.rootfs / "tmp/node").unlink()
    assert b.run().code == 0


def test_mounts(bundle):
    (bundle.path / "data").mkdir()
    (bundle.path / "data/file").write_text("x")
    bundle.mount("/data", type="bind", source=str(bundle.path / "data"),
                 options=["rbind", "ro", "nosuid", "nodev"])
    bundle.mount("/one-file", type="bind", source=str(bundle.path / "data/file"), options=["bind"])
    bundle.mount("/t", type="tmpfs", source="tmpfs", options=["size=64k", "mode=700", "noexec"])
    m = mounts_of(bundle.report())
    assert {"ro", "nosuid", "nodev"} <= m["/data"]["options"]
    assert m["/one-file"]["root"].endswith("/data/file")
    assert m["/t"]["super"][1:] == ["size=64k", "mode=700"] and "noexec" in m["/t"]["options"]
    assert "ro" in m["/sys"]["options"] and "ro" in m["/sys/fs/cgroup"]["options"]
    assert m["/dev/pts"]["type"] == "devpts" and m["/proc"]["type"] == "proc"
    assert "strictatime" not in m["/dev"]["options"] and "relatime" not in m["/dev"]["options"]
    assert all(not mount["tags"] for mount in m.values()), "nothing propagates"


def test_nothing_of_the_host_is_mounted(bundle):
    m = mounts_of(bundle.report())
    assert set(m) <= {"/", "/proc", "/dev", "/dev/pts", "/dev/shm", "/dev/mqueue", "/sys",
                      "/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger",
                      *bundle.linux["maskedPaths"]} | {p for p in m if
                                                       p.startswith("/sys/fs/cgroup")}


def test_tmpcopyup(machine):
    b = machine.bundle("wait")
    below = b.rootfs / "var/lib/app"
    (below / "sub").mkdir(parents=True)
    (below / "sub/file").write_text("x" * 100000)
    (below / "out").symlink_to("/etc/shadow")
    os.mkfifo(below / "fifo")
    os.chown(below / "sub/file", 1000, 1001)
    (below / "sub/file").chmod(0o4711)
    b.mount("/var/lib/app", type="tmpfs", source="tmpfs", options=["tmpcopyup", "size=1m"])
    b.up()
    inside = pathlib.Path(f"/proc/{b.state()['pid']}/root/var/lib/app")
    st = (inside / "sub/file").stat()
    assert (st.st_uid, st.st_gid, st.st_mode & 0o7777, st.st_size) == (1000, 1001, 0o4711, 100000)
    assert os.readlink(inside / "out") == "/etc/shadow" and (inside / "fifo").is_fifo()
    assert os.statvfs(inside).f_blocks * os.statvfs(inside).f_bsize == 1 << 20
    b.stop()


@pytest.mark.parametrize("option, tag", [("rslave", "master:"), ("rshared", "shared:"),
                                         ("rprivate", None)])
def test_propagation(machine, option, tag):
    """In a mount namespace of the test's own, where the source is shared."""
    b = machine.bundle()
    (b.path / "data").mkdir()
    b.mount("/data", type="bind", source=str(b.path / "data"), options=["rbind", option])
    b.save()
    script = (f"mount -t tmpfs t {b.path}/data && mount --make-shared {b.path}/data && "
              f"exec {machine.runtime} --root {machine.root} run -b {b.path} {b.id}")
    done = subprocess.run(["unshare", "-m", "--propagation", "private", "sh", "-c", script],
                          capture_output=True, check=True)
    tags = mounts_of(json.loads(done.stdout))["/data"]["tags"]
    assert [t for t in tags if tag and t.startswith(tag)] or (tag is None and tags == [])


def test_mount_destination_link_stays_inside(bundle):
    (bundle.rootfs / "escape").symlink_to("/../../../../../../etc")
    (bundle.path / "data").mkdir()
    bundle.mount("/escape/x", type="bind", source=str(bundle.path / "data"), options=["bind"])
    assert "/etc/x" in mounts_of(bundle.report())
    assert not os.path.exists("/etc/x")


def test_readonly_root(machine):
    b = machine.bundle("call", "mkdir")
    assert b.run().code == 0
    b.config["root"]["readonly"] = True
    (b.rootfs / "tmp/made").rmdir()
    assert b.run().code == 30  # EROFS


def test_masked_and_readonly_paths(machine):
    b = machine.bundle()
    m = mounts_of(b.report())
    assert "ro" in m["/proc/sys"]["options"]
    (b.rootfs / "etc/secret").write_text("secret")
    (b.rootfs / "home/inner").mkdir()
    b.linux["maskedPaths"] += ["/etc/secret", "/home", "/nosuch"]
    b.linux["readonlyPaths"] += ["/tmp", "/nosuch"]
    b.process["args"] = ["/bin/probe", "open", "r", "/home/inner"]
    assert b.run().code == 2
    b.process["args"] = ["/bin/probe", "open", "w", "/tmp/x"]
    assert b.run().code in (2, 30)
    b.process["args"] = ["/bin/probe", "call", "mkdir"]
    assert b.run().code == 30
    b.process["args"] = ["/bin/probe", "report"]
    m = mounts_of(b.report())
    assert "ro" in m["/home"]["options"] and m["/etc/secret"]["root"].endswith("null")


def test_masked_path_link_is_followed_inside(bundle):
    (bundle.rootfs / "etc/link").symlink_to("passwd")
    bundle.linux["maskedPaths"] = ["/etc/link"]
    assert "/etc/passwd" in mounts_of(bundle.report())


def test_capabilities(bundle):
    bundle.process["capabilities"] = {
        "bounding": ["CAP_CHOWN", "CAP_KILL", "CAP_SYS_RESOURCE"],
        "permitted": ["CAP_CHOWN", "CAP_KILL"], "effective": ["CAP_CHOWN"],
        "inheritable": ["CAP_KILL"], "ambient": ["CAP_KILL"]}
    caps = bundle.report()["caps"]
    have = ours()
    # execve as root gives permitted = bounding
    assert caps["bounding"] == mask("CAP_CHOWN", "CAP_KILL", "CAP_SYS_RESOURCE") & have
    assert caps["inheritable"] == mask("CAP_KILL") & have
    bundle.process["user"] = {"uid": 1000, "gid": 1000, "additionalGids": [10, 20], "umask": 0o77}
    r = bundle.report()
    caps = r["caps"]
    assert caps["ambient"] == caps["permitted"] == caps["effective"] == mask("CAP_KILL") & have
    assert r["uids"] == [1000] * 3 and r["gids"] == [1000] * 3 and r["groups"] == [10, 20]
    assert r["umask"] == 0o77 and "HOME=/home/ada" in r["env"]


def test_no_capabilities(bundle):
    del bundle.process["capabilities"]
    assert set(bundle.report()["caps"].values()) == {0}


def test_unknown_capability_is_ignored(bundle):
    bundle.process["capabilities"]["bounding"].append("CAP_FLY")
    bundle.report()


def test_no_new_privileges(bundle):
    bundle.process["noNewPrivileges"] = False
    assert bundle.report()["no_new_privs"] == 0


def seccomp(action="SCMP_ACT_ERRNO", names=("mkdir", "mkdirat"), **more):
    return {"defaultAction": "SCMP_ACT_ALLOW", "architectures": ["SCMP_ARCH_X86_64"],
            "syscalls": [{"names": list(names), "action": action, **more}]}


@pytest.mark.parametrize("nnp", [True, False])
def test_seccomp(machine, nnp):
    b = machine.bundle("call", "mkdir")
    b.process["noNewPrivileges"] = nnp
    b.linux["seccomp"] = seccomp(errnoRet=99)
    assert b.run().code == 99
    assert b.run().code == 99, "from the cache"
    b.linux["seccomp"] = seccomp("SCMP_ACT_KILL_PROCESS")
    assert b.run().code == 128 + 31
    b.process["args"] = ["/bin/probe", "report"]
    assert b.report()["seccomp"] == 2


def test_seccomp_in_exec(machine):
    b = machine.bundle("wait")
    b.linux["seccomp"] = seccomp(errnoRet=98)
    b.up()
    assert b.exec("/bin/probe", "call", "mkdir").code == 98
    b.stop()


def killable(machine):
    """The flag for listeners, which came with Linux 5.19."""
    flag = "SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV"
    known = machine.run("features").ok().json["linux"]["seccomp"]["supportedFlags"]
    return [flag] if flag in known else []


class Agent:
    """A seccomp agent: gets the listener, and answers each notification with an errno."""
    RECV, SEND = 0xc0502100, 0xc0182101

    def __init__(self, path):
        self.socket = socket.socket(socket.AF_UNIX)
        self.socket.bind(str(path))
        self.socket.listen(1)

    def accept(self):
        peer, _ = self.socket.accept()
        data, ancillary, _, _ = peer.recvmsg(65536, socket.CMSG_LEN(4))
        self.fd = struct.unpack("i", ancillary[0][2][:4])[0]
        return json.loads(data)

    def answer(self, errno):
        """The pid that asked."""
        got = bytearray(80)
        fcntl.ioctl(self.fd, self.RECV, got)
        cookie, pid = struct.unpack_from("QI", got)
        fcntl.ioctl(self.fd, self.SEND, struct.pack("QqiI", cookie, 0, -errno, 0))
        return pid


@pytest.mark.parametrize("nnp", [True, False])
def test_seccomp_agent(machine, nnp):
    b = machine.bundle("call", "mkdir")
    b.process["noNewPrivileges"] = nnp
    b.linux["seccomp"] = dict(seccomp("SCMP_ACT_NOTIFY"), listenerPath=str(b.path / "agent"),
                              listenerMetadata="hello",
                              flags=["SECCOMP_FILTER_FLAG_TSYNC", *killable(machine)])
    agent = Agent(b.path / "agent")
    b.save()
    child = machine.start_process("run", "-b", b.path, b.id)
    state = agent.accept()
    assert state["metadata"] == "hello" and state["fds"] == ["seccompFd"]
    assert state["pid"] == state["state"]["pid"] and state["state"]["id"] == b.id
    assert state["state"]["status"] == "creating"
    assert agent.answer(95) == state["pid"]
    assert child.wait(10) == 95
    os.close(agent.fd)


def test_seccomp_agent_in_exec(machine):
    b = machine.bundle("wait")
    b.linux["seccomp"] = dict(seccomp("SCMP_ACT_NOTIFY"), listenerPath=str(b.path / "agent"))
    agent = Agent(b.path / "agent")
    assert b.create() == 0, b.output()
    first = agent.accept()
    os.close(agent.fd)
    b.start().ok()
    child = machine.start_process("exec", b.id, "/bin/probe", "call", "mkdir")
    state = agent.accept()
    assert state["state"]["pid"] == first["pid"] != state["pid"]
    assert agent.answer(96) == state["pid"]
    assert child.wait(10) == 96
    os.close(agent.fd)
    b.stop()


def test_seccomp_agent_that_is_not_there(bundle):
    bundle.linux["seccomp"] = dict(seccomp("SCMP_ACT_NOTIFY"), listenerPath="/nosuch")
    bundle.run().failed("listenerPath: connect to '/nosuch'", 1)


def test_rlimits(bundle):
    bundle.process["rlimits"] = [{"type": "RLIMIT_NOFILE", "soft": 100, "hard": 200},
                                 {"type": "RLIMIT_CORE", "soft": 0, "hard": 0}]
    limits = bundle.report()["rlimits"]
    assert limits[RLIMIT_NOFILE] == [100, 200] and limits[RLIMIT_CORE] == [0, 0]


def test_rlimit_that_we_may_not_give_is_clamped(bundle):
    bundle.process["rlimits"] = [{"type": "RLIMIT_NOFILE", "soft": 2**31, "hard": 2**31}]
    done, log = bundle.warnings()
    assert "more than we may give" in log
    assert done.json["rlimits"][RLIMIT_NOFILE][1] < 2**31


def test_oom_score(bundle):
    bundle.process["oomScoreAdj"] = 123
    assert bundle.report()["oom_score_adj"] == "123\n"


def test_names(bundle):
    bundle.config["hostname"] = "box"
    bundle.config["domainname"] = "example"
    r = bundle.report()
    assert r["hostname"] == "box" and r["domainname"] == "example"


def test_sysctl(machine):
    b = machine.bundle()
    b.linux["sysctl"] = {"net.ipv4.ip_forward": "1", "kernel.msgmax": "7777"}
    b.process["args"] = ["/bin/probe", "wait"]
    b.up()
    root = f"/proc/{b.state()['pid']}/root/proc/sys"
    # the value is the namespace's of who reads: read by somebody inside
    out = subprocess.run(["nsenter", "-t", str(b.state()["pid"]), "-n", "-i", "cat",
                          "/proc/sys/net/ipv4/ip_forward", "/proc/sys/kernel/msgmax"],
                         capture_output=True, text=True, check=True).stdout.split()
    assert out == ["1", "7777"] and os.path.exists(root)
    b.stop()


def test_sysctl_of_the_host_is_refused(bundle):
    bundle.linux["sysctl"] = {"kernel.panic": "1"}
    bundle.run().failed("kernel.panic", 1)


def test_sysctl_in_the_hosts_namespace_by_path_is_refused(bundle):
    bundle.namespace("network", "/proc/self/ns/net")
    bundle.linux["sysctl"] = {"net.ipv4.ip_forward": "1"}
    before = pathlib.Path("/proc/sys/net/ipv4/ip_forward").read_text()
    bundle.run().failed("would be the host's", 1)
    assert pathlib.Path("/proc/sys/net/ipv4/ip_forward").read_text() == before


def test_personality_scheduler_and_io_priority(bundle):
    bundle.process["scheduler"] = {"policy": "SCHED_BATCH", "nice": 5}
    bundle.process["ioPriority"] = {"class": "IOPRIO_CLASS_BE", "priority": 6}
    r = bundle.report()
    assert r["policy"] == 3 and r["nice"] == 5 and r["ioprio"] == (2 << 13 | 6)


# -- hooks -----------------------------------------------------------------------------------------


def test_hooks(machine):
    b = machine.bundle("wait")
    for kind in ("prestart", "createRuntime", "createContainer", "poststart", "poststop"):
        b.hook(kind, "copy", b.path / kind, env=["A=b"])
    b.config["hooks"]["startContainer"] = [
        {"path": "/bin/probe", "args": ["probe", "copy", "/tmp/startContainer"], "env": ["A=b"]}]
    b.config["annotations"] = {"k": "v"}
    assert b.create() == 0, b.output()
    assert not (b.path / "poststart").exists() and not (b.rootfs / "tmp/startContainer").exists()
    b.start().ok()
    pid = b.state()["pid"]
    b.stop()
    states = {"prestart": "creating", "createRuntime": "creating", "createContainer": "creating",
              "poststart": "running", "poststop": "stopped"}
    for kind, status in states.items():
        state, who = (b.path / kind).read_text().splitlines()
        state = json.loads(state)
        assert state["status"] == status and state["id"] == b.id, kind
        assert state["annotations"] == {"k": "v"} and state["bundle"] == str(b.path)
        assert who.split()[1:] == ["A=b"]
        if kind in ("prestart", "createRuntime", "poststart"):
            assert state["pid"] == pid
    state = json.loads((b.rootfs / "tmp/startContainer").read_text().splitlines()[0])
    assert state["status"] == "created"


@pytest.mark.parametrize("kind", ["prestart", "createRuntime", "createContainer"])
def test_failing_hook(machine, kind):
    b = machine.bundle()
    b.hook(kind, "fail", "out of cheese")
    b.hook("poststop", "copy", b.path / "poststop")
    b.run().failed("out of cheese", 1).failed(kind)
    assert (b.path / "poststop").exists(), "runtime-spec: poststop runs all the same"


def test_hook_timeout(machine):
    b = machine.bundle()
    b.hook("createRuntime", "sleep", "60", timeout=1)
    b.run(timeout=20).failed("timeout of 1 s", 1)


def test_missing_hook(machine):
    b = machine.bundle()
    b.config["hooks"] = {"createRuntime": [{"path": "/nosuch/hook"}]}
    b.run().failed("cannot be run", 1)


def test_failing_poststart_stops_the_container(machine):
    b = machine.bundle("ignore")
    b.hook("poststart", "fail", "no")
    assert b.create() == 0
    b.start().failed("poststart", 1)
    b.wait_status("stopped")
    b.delete().ok()


# -- namespaces ------------------------------------------------------------------------------------


@pytest.fixture
def holder(machine):
    """A process with namespaces of its own, to be joined by path."""
    child = subprocess.Popen(["unshare", "--net", "--ipc", "--uts", "--mount-proc", "--pid",
                              "--fork", "sh", "-c", "hostname held; echo up; exec sleep 60"],
                             stdout=subprocess.PIPE)
    assert child.stdout.readline() == b"up\n"
    inner = subprocess.run(["pgrep", "-P", str(child.pid)], capture_output=True, text=True,
                           check=True).stdout.split()[0]
    yield inner
    os.kill(int(inner), 9)
    child.wait()


def test_join_by_path(machine, holder):
    b = machine.bundle()
    for kind, file in (("network", "net"), ("ipc", "ipc"), ("uts", "uts"), ("pid", "pid")):
        b.namespace(kind, f"/proc/{holder}/ns/{file}")
    del b.config["hostname"]
    r = b.report()
    assert r["hostname"] == "held" and r["pid"] > 1
    for kind in ("net", "ipc", "uts", "pid"):
        assert r["namespaces"][kind] == os.readlink(f"/proc/{holder}/ns/{kind}")


def test_join_a_pid_namespace_that_has_ended(bundle):
    with subprocess.Popen(["unshare", "--pid", "--fork", "--kill-child", "sleep", "60"]) as child:
        fd = -1
        try:
            while not (inside := children_of(child.pid)):
                assert child.poll() is None
            fd = os.open(f"/proc/{inside[0]}/ns/pid", os.O_RDONLY)
            os.kill(inside[0], signal.SIGKILL)
            child.wait()
            bundle.namespace("pid", f"/proc/{os.getpid()}/fd/{fd}")
            bundle.run().failed("one whose first process has ended takes no other", 1)
        finally:
            child.kill()
            if fd >= 0:
                os.close(fd)


def children_of(pid):
    with open(f"/proc/{pid}/task/{pid}/children", encoding="ascii") as file:
        return [int(word) for word in file.read().split()]


def test_host_namespaces(bundle):
    for kind in ("network", "ipc", "uts", "pid"):
        bundle.without_namespace(kind)
    del bundle.config["hostname"]
    r = bundle.report()
    for kind in ("net", "ipc", "uts", "pid"):
        assert r["namespaces"][kind] == os.readlink(f"/proc/self/ns/{kind}")


def test_kill_of_a_container_without_pid_namespace_ends_all(machine):
    b = machine.bundle("orphan")
    b.without_namespace("pid")
    b.up()
    b.wait_status("stopped")
    assert b.cgroup_file("pids", "cgroup.procs").read_text().split()
    b.kill("KILL").ok()
    b.delete().ok()


def test_join_wrong_kind(bundle):
    bundle.namespace("network", "/proc/self/ns/ipc")
    bundle.run().failed("is not a network namespace", 1)


def test_join_missing(bundle):
    bundle.namespace("network", "/nosuch")
    bundle.run().failed("open network namespace '/nosuch'", 1)


def test_cgroup_namespace(bundle):
    bundle.namespace("cgroup")
    r = bundle.report()
    assert all(line.endswith(":/") for line in r["cgroup"].splitlines())


def test_time_namespace(bundle):
    bundle.namespace("time")
    bundle.linux["timeOffsets"] = {"boottime": {"secs": 1000, "nanosecs": 5}}
    lines = [line.split() for line in bundle.report()["timens"].splitlines()]
    assert lines[1] == ["boottime", "1000", "5"]


def test_user_namespace(machine):
    b = machine.bundle().with_user_namespace()
    r = b.report()
    assert r["uids"] == [0, 0, 0] and r["uid_map"].split() == ["0", "100000", "65536"]
    assert r["dev"]["null"]["rdev"] == "1:3"
    assert r["namespaces"]["user"] != os.readlink("/proc/self/ns/user")
    m = mounts_of(r)
    assert m["/proc"]["type"] == "proc" and m["/sys"]["type"] == "sysfs"


def test_user_namespace_bind_from_a_folder_it_cannot_cross(machine):
    b = machine.bundle().with_user_namespace()
    (b.path / "private").mkdir(mode=0o700)
    (b.path / "private/data").mkdir()
    b.mount("/data", type="bind", source=str(b.path / "private/data"), options=["bind"])
    assert "/data" in mounts_of(b.report())


def test_exec_in_user_namespace(machine):
    b = machine.bundle("wait").with_user_namespace().up()
    r = b.exec("/bin/probe", options=["-u", "1000:1000"]).ok().json
    assert r["uids"] == [1000] * 3 and r["uid_map"].split() == ["0", "100000", "65536"]
    assert r["namespaces"]["user"] == os.readlink(f"/proc/{b.state()['pid']}/ns/user")
    b.stop()


def test_join_user_namespace(machine):
    first = machine.bundle("wait").with_user_namespace().up()
    pid = first.state()["pid"]
    b = machine.bundle().with_user_namespace()
    del b.linux["uidMappings"], b.linux["gidMappings"]
    for kind, file in (("user", "user"), ("network", "net"), ("ipc", "ipc"), ("uts", "uts")):
        b.namespace(kind, f"/proc/{pid}/ns/{file}")
    del b.config["hostname"]
    r = b.report()
    assert r["uids"] == [0, 0, 0] and r["pid"] == 1
    for kind in ("user", "net", "ipc", "uts"):
        assert r["namespaces"][kind] == os.readlink(f"/proc/{pid}/ns/{kind}")
    assert r["namespaces"]["mnt"] != os.readlink(f"/proc/{pid}/ns/mnt")
    first.stop()


def test_cgroup_of_one_that_joins_a_user_namespace(machine):
    """Its helper joins all of it, and clones it there; a limit is not met by the two of them."""
    first = machine.bundle("wait").with_user_namespace().up()
    b = machine.bundle("wait").with_user_namespace()
    del b.linux["uidMappings"], b.linux["gidMappings"]
    b.namespace("user", f"/proc/{first.state()['pid']}/ns/user")
    b.linux["resources"]["pids"] = {"limit": 1}
    b.up()
    pids = b.cgroup_file("pids", "cgroup.procs").read_text().split()
    assert pids == [str(b.state()["pid"])]
    with open(f"/proc/{b.state()['pid']}/cgroup", encoding="ascii") as lines:
        assert {line.rstrip().split(":")[2] for line in lines} == {b.cgroup}
    b.stop()
    first.stop()


# -- cgroups ---------------------------------------------------------------------------------------


def is_v2(controller):
    return not os.path.isdir(f"/sys/fs/cgroup/{controller}")


def test_limits(machine):
    b = machine.bundle("wait")
    b.linux["resources"].update({
        "memory": {"limit": 64 << 20, "swap": 128 << 20, "reservation": 32 << 20},
        "cpu": {"shares": 512, "quota": 20000, "period": 50000, "cpus": "0", "mems": "0"},
        "pids": {"limit": 33}})
    if not is_v2("memory"):
        del b.linux["resources"]["memory"]["swap"]
        if os.path.exists("/sys/fs/cgroup/memory/memory.memsw.limit_in_bytes"):
            b.linux["resources"]["memory"]["swap"] = 128 << 20
    b.up()

    def value(controller, v1, v2):
        return b.cgroup_file(controller, v2 if is_v2(controller) else v1).read_text().split()

    assert value("memory", "memory.limit_in_bytes", "memory.max") == [str(64 << 20)]
    assert value("pids", "pids.max", "pids.max") == ["33"]
    assert value("cpuset", "cpuset.cpus", "cpuset.cpus") == ["0"]
    if is_v2("cpu"):
        assert value("cpu", "", "cpu.weight") == ["59"]
        assert value("cpu", "", "cpu.max") == ["20000", "50000"]
    else:
        assert value("cpu", "cpu.shares", "") == ["512"]
        assert value("cpu", "cpu.cfs_quota_us", "") == ["20000"]
        assert value("cpu", "cpu.cfs_period_us", "") == ["50000"]
    b.machine.run("update", "--memory", 96 << 20, "--pids-limit", "44", "--cpu-quota", "10000",
                  b.id).ok()
    assert value("memory", "memory.limit_in_bytes", "memory.max") == [str(96 << 20)]
    assert value("pids", "pids.max", "pids.max") == ["44"]

    def cpu():
        if is_v2("cpu"):
            return [*value("cpu", "", "cpu.max"), *value("cpu", "", "cpu.max.burst")]
        return [text for name in ("quota", "period", "burst")
                for text in value("cpu", f"cpu.cfs_{name}_us", "")]

    # each alone leaves the others, and the order is right whatever the direction
    assert cpu() == ["10000", "50000", "0"]
    for options, then in ((("--cpu-period", "100000"), ["10000", "100000", "0"]),
                          (("--cpu-quota", "80000", "--cpu-burst", "70000"),
                           ["80000", "100000", "70000"]),
                          (("--cpu-quota", "5000", "--cpu-period", "20000", "--cpu-burst", "4000"),
                           ["5000", "20000", "4000"]),
                          (("--cpu-quota", "60000", "--cpu-period", "100000"),
                           ["60000", "100000", "4000"])):
        b.machine.run("update", *options, b.id).ok()
        assert cpu() == then
    b.machine.run("update", "-r", "-", b.id, input=b'{"memory": {"limit": 50331648}}').ok()
    assert value("memory", "memory.limit_in_bytes", "memory.max") == [str(48 << 20)]
    b.stop()


def test_pids_limit_holds(machine):
    b = machine.bundle("fork", "20")
    b.linux["resources"]["pids"] = {"limit": 10}
    assert b.run().code == 9


def test_memory_limit_holds(machine):
    b = machine.bundle("alloc", "64")
    b.linux["resources"]["memory"] = {"limit": 16 << 20}
    assert b.run().code == 137


def test_cgroup_in_use(machine):
    a = machine.bundle("wait").up()
    b = machine.bundle()
    b.linux["cgroupsPath"] = a.cgroup
    b.run().failed("another container uses it", 1)
    a.stop()


def test_unified_needs_v2(bundle):
    if os.path.exists("/sys/fs/cgroup/cgroup.controllers"):
        pytest.skip("this machine has cgroup v2")
    bundle.linux["resources"]["unified"] = {"memory.max": "1"}
    bundle.run().failed("needs cgroup v2", 1)


@pytest.mark.parametrize("path, why", [
    ("/a/b", "is not of the form"), ("a.slice:b", "is not of the form"),
    ("a.slice:b:", "is not of the form"), ("a:b:c", "is not the name of a slice"),
    ("a--b.slice:b:c", "is not the name of a slice"), ("a.slice:b b:c", "is not for the name"),
])
def test_bad_systemd_path(bundle, path, why):
    bundle.linux["cgroupsPath"] = path
    bundle.save()
    bundle.machine.run("--systemd-cgroup", "run", "-b", bundle.path, bundle.id).failed(why, 1)


def test_systemd_driver_without_systemd(bundle):
    if os.path.exists("/run/systemd/system"):
        pytest.skip("this machine has systemd")
    bundle.linux["cgroupsPath"] = f"system.slice:tare:{bundle.machine.path.name}"
    bundle.save()
    bundle.machine.run("--systemd-cgroup", "run", "-b", bundle.path, bundle.id).failed(
        "is it running? without it, use the cgroupfs driver", 1)


def test_default_cgroup_path_is_the_id(machine):
    b = machine.bundle()
    b.id = f"tare-test-rt-{os.getpid()}-default"
    del b.linux["cgroupsPath"]
    assert all(line.endswith(f":/{b.id}") for line in b.report()["cgroup"].splitlines())


@pytest.mark.parametrize("member, value, text, folder", [
    ("apparmorProfile", "x", "AppArmor is not enabled", "/sys/module/apparmor"),
    ("selinuxLabel", "x", "SELinux is not enabled", "/sys/fs/selinux/enforce"),
])
def test_what_the_machine_lacks_says_so(bundle, member, value, text, folder):
    if os.path.exists(folder):
        pytest.skip("this machine has it")
    bundle.process[member] = value
    bundle.run().failed(text, 1)


def test_unconfined_is_no_profile(bundle):
    bundle.process["apparmorProfile"] = "unconfined"
    bundle.report()


def test_memory_policy(bundle):
    bundle.linux["memoryPolicy"] = {"mode": "MPOL_BIND", "nodes": "0"}
    done = bundle.run()
    if "Function not implemented" in done.err:
        pytest.skip("this kernel has no NUMA")
    assert "bind:0" in done.ok().json["numa_maps"]


def test_bad_memory_policy(bundle):
    bundle.linux["memoryPolicy"] = {"mode": "MPOL_BIND", "nodes": "0-x"}
    bundle.run().failed("linux.memoryPolicy", 1)


@pytest.mark.parametrize("userns", [False, True])
def test_stdout_can_be_opened_again(machine, userns):
    """By a program that is not root: /dev/stdout is its own pipe."""
    b = machine.bundle("open", "w", "/dev/stdout")
    if userns:
        b.with_user_namespace()
    b.process["user"] = {"uid": 1000, "gid": 1000}
    assert b.run().code == 0
