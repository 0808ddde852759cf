# SPDX-License-Identifier: Apache-2.0
"""What a container may try against the runtime that makes it. docs/attacks.md has a row a test."""
import json
import os
import pty
import shutil
import time

import pytest

from targets import ALL_RIGHTS, PREFIX, hierarchies

CALLER_FDS = 16
PTS = ["newinstance", "ptmxmode=0666"]
MASKED = ["/proc/keys", "/proc/kcore", "/proc/timer_list"]
HUGE = 4 << 30


def nothing_found(text):
    lines = [line for line in text.splitlines() if line.startswith("FOUND")]
    assert not lines, lines[0]


def up(path):
    """A link's target that leads from a root to a path of the host."""
    return "../" * 16 + str(path).lstrip("/")


def tree(path):
    return sorted(str(p.relative_to(path)) for p in path.glob("**/*"))


# --- the host's binary ---

def test_exec_seen_by_the_container(target):
    """Processes enter while one inside, with every right, looks at each: exe, root, cwd, fds."""
    b = target.bundle("watch", "100", target.sentinel, target.exe)
    b.rights(ALL_RIGHTS)
    b.up()
    b.wait_output("watching")
    for _ in range(12):
        b.exec("/bin/attack", "ids")
    b.stop_watching()
    nothing_found(b.out.read_text())


def join(bundle, pid, *kinds):
    """Namespaces of a process instead of new ones."""
    kept = [n for n in bundle.linux["namespaces"] if n["type"] not in kinds]
    bundle.linux["namespaces"] = kept + [{"type": kind, "path": f"/proc/{pid}/ns/{kind}"}
                                         for kind in kinds]


@pytest.mark.parametrize("ptrace", [False, True], ids=["plain", "ptrace"])
def test_shared_pid_namespace(target, ptrace):
    """A second container is made in the pid namespace of one that looks. With CAP_SYS_PTRACE, and
    without a user namespace, it sees the host's tree until the pivot (docs/attacks.md), but never
    the binary, nor a descriptor that stays open later: the next two tests."""
    b = target.bundle("watch", "100", target.sentinel, target.exe)
    b.rights([right for right in ALL_RIGHTS if ptrace or right != "CAP_SYS_PTRACE"])
    b.up()
    b.wait_output("watching")
    pid = b.pid()
    for _ in range(6):
        other = target.bundle("ids")
        join(other, pid, "pid")
        _, text = other.run()
        assert "ids 0 0" in text, text
    b.stop_watching()
    found = b.out.read_text()
    nothing_found("\n".join(line for line in found.splitlines() if not ptrace or " exe:" in line))


def test_created_in_a_shared_pid_namespace(target):
    """One that waits for its start has the container's root, and nothing of the host open: looked
    at from the pid namespace that it shares, with every right."""
    b = target.bundle("wait")
    b.rights(ALL_RIGHTS)
    b.up()
    b.wait_output("ready")
    other = target.bundle("ids")
    join(other, b.pid(), "pid")
    other.create()
    _, text = b.exec("/bin/attack", "watch", "0.5", target.sentinel, target.exe)
    assert "seen" in text and "seen 0\n" not in text, text
    nothing_found(text)


def test_shared_pid_and_user_namespace(target):
    """As test_shared_pid_namespace, with every right, in a user namespace: its CAP_SYS_PTRACE does
    not reach a process that is not dumpable and whose memory is the host's."""
    def mapped(*args):
        b = target.bundle(*args)
        for path in (b.rootfs, *b.rootfs.glob("**/*")):
            os.chown(path, 100000, 100000)
        return b

    for folder in (target.folder, *target.folder.parents[:2]):
        folder.chmod(folder.stat().st_mode | 0o011)
    b = mapped("watch", "100", target.sentinel, target.exe)
    b.rights(ALL_RIGHTS)
    b.linux["namespaces"].append({"type": "user"})
    b.linux["uidMappings"] = b.linux["gidMappings"] = [
        {"containerID": 0, "hostID": 100000, "size": 65536}]
    b.up()
    b.wait_output("watching")
    pid = b.pid()
    for _ in range(6):
        other = mapped("ids")
        join(other, pid, "pid", "user")
        _, text = other.run()
        assert "ids 0 0" in text, text
    b.stop_watching()
    nothing_found(b.out.read_text())


@pytest.mark.parametrize("entry", ["link", "script"])
@pytest.mark.parametrize("how", ["run", "exec"])
def test_exe_as_the_entry_point(target, entry, how):
    """The program is /proc/self/exe, and the image's dynamic loader is the attacker's."""
    b = target.bundle("wait")
    for loader in ("lib64/ld-linux-x86-64.so.2", "lib/ld-linux-aarch64.so.1"):
        shutil.copy(target.program, b.rootfs / loader)
    if entry == "link":
        (b.rootfs / "bin/entry").symlink_to("/proc/self/exe")
    else:
        (b.rootfs / "bin/entry").write_text("#!/proc/self/exe\n")
        (b.rootfs / "bin/entry").chmod(0o755)
    if how == "exec":
        b.up()
        b.wait_output("ready")
        _, text = b.exec("/bin/entry", options=["--env", f"ATTACK_EXE={target.exe}"])
    else:
        b.process["args"] = ["/bin/entry"]
        b.process["env"] += [f"ATTACK_EXE={target.exe}"]
        _, text = b.run()
    nothing_found(text)


# --- descriptors and folders of the caller ---

@pytest.fixture
def caller_folders(target):
    """Open folders of the host that are inherited, as a careless caller leaves them."""
    fds = [os.open("/" if i % 2 else target.outside, os.O_RDONLY | os.O_DIRECTORY)
           for i in range(CALLER_FDS)]
    yield fds
    for fd in fds:
        os.close(fd)


def test_leaked_folders(target, caller_folders):
    b = target.bundle("escape", target.sentinel)
    code, text = b.run(pass_fds=caller_folders)
    assert code == 0, text
    nothing_found(text)


def test_leaked_folders_in_exec(target, caller_folders):
    b = target.bundle("wait").up()
    code, text = b.exec("/bin/attack", "escape", target.sentinel, pass_fds=caller_folders)
    assert code == 0, text
    nothing_found(text)


def test_working_folder_is_a_descriptor(target, caller_folders):
    for fd in range(3, 3 + CALLER_FDS + 16):
        b = target.bundle("escape", target.sentinel)
        b.process["cwd"] = f"/proc/self/fd/{fd}"
        _, text = b.run(pass_fds=caller_folders)
        nothing_found(text)


def test_working_folder_of_exec_is_a_descriptor(target, caller_folders):
    b = target.bundle("wait").up()
    for fd in range(3, 3 + CALLER_FDS + 16):
        _, text = b.exec("/bin/attack", "escape", target.sentinel,
                         options=["--cwd", f"/proc/self/fd/{fd}"], pass_fds=caller_folders)
        nothing_found(text)


def test_working_folder_is_a_link_in_the_image(target):
    b = target.bundle("escape", target.sentinel)
    (b.rootfs / "out").symlink_to(up(target.outside))
    b.process["cwd"] = "/out/made"
    _, text = b.run()
    nothing_found(text)
    assert tree(target.outside) == [target.sentinel.name], "a folder of the host was made"


# --- hostile root file systems ---

@pytest.mark.parametrize("node", ["/proc/sys/kernel/core_pattern", "/tmp/mine"])
def test_null_device_is_a_link(target, node):
    """What masks paths must be the null device, whatever the image has at /dev/null."""
    b = target.bundle("mask", *MASKED)
    b.without_mount("/dev")
    (b.rootfs / "tmp/mine").write_text("mine")
    (b.rootfs / "dev/null").symlink_to(node)
    _, text = b.run()
    nothing_found(text)


def test_null_device_is_a_file(target):
    b = target.bundle("mask", *MASKED)
    b.without_mount("/dev")
    (b.rootfs / "dev/null").write_text("mine")
    _, text = b.run()
    nothing_found(text)


class Console:
    """Where a terminal's master is sent."""

    def __init__(self, path):
        import socket
        self.path = path
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.socket.bind(str(path))
        self.socket.listen(1)
        self.socket.settimeout(10)

    def output(self):
        import socket
        peer, _ = self.socket.accept()
        with peer:
            _, fds, _, _ = socket.recv_fds(peer, 4096, 1)
        text = b""
        end = time.monotonic() + 10
        while b"done" not in text and time.monotonic() < end:
            try:
                text += os.read(fds[0], 4096)
            except OSError:
                break
        os.close(fds[0])
        return text.decode(errors="replace")

    def close(self):
        self.socket.close()


@pytest.mark.parametrize("place", ["console", "pts", "dev"])
def test_console_is_a_link(target, tmp_path_factory, place):
    """/dev/console, /dev/pts or /dev lead elsewhere: the console is the terminal or nothing is."""
    b = target.bundle("device", "/dev/console", "136")
    b.process["terminal"] = True
    victim = target.outside / "victim"
    victim.write_text("untouched")
    if place == "console":
        b.without_mount("/dev")
        b.mount("/dev/pts", type="devpts", source="devpts", options=PTS)
        (b.rootfs / "dev/pts").mkdir()
        (b.rootfs / "dev/console").symlink_to(up(victim))
    elif place == "pts":
        b.without_mount("/dev")
        b.mount("/dev/pts", type="devpts", source="devpts", options=PTS)
        (b.rootfs / "dev/pts").symlink_to(up(target.outside))
    else:
        b.without_mount("/dev")
        (b.rootfs / "dev").rmdir()
        (b.rootfs / "dev").symlink_to(up(target.outside))
    console = Console(tmp_path_factory.mktemp("c") / "s")
    b.save()
    code, _ = target.run("create", "--bundle", b.path, "--console-socket", console.path, b.id)
    if code == 0:
        target.run("start", b.id)
        text = console.output()
        if place != "dev":
            nothing_found(text)
    console.close()
    assert victim.read_text() == "untouched"
    made = set(tree(target.outside)) - {target.sentinel.name, "victim"}
    assert not made, f"{len(made)} files of the host were made"


def test_mount_points_are_links(target):
    b = target.bundle("walk", target.sentinel.name)
    for name in ("a", "b", "c"):
        (b.rootfs / name).symlink_to(up(target.outside))
    (b.path / "data").mkdir()
    b.mount("/a/made", type="bind", source=str(b.path / "data"), options=["bind"])
    b.mount("/b", type="tmpfs", source="tmpfs")
    b.linux["maskedPaths"] += ["/c/" + target.sentinel.name]
    b.linux["devices"] = [{"path": "/a/fuse", "type": "c", "major": 10, "minor": 229}]
    _, text = b.run()
    nothing_found(text)
    assert tree(target.outside) == [target.sentinel.name], "something of the host was made"
    assert target.sentinel.read_text() == "secret"


def race(target, b, seconds):
    before = tree(target.outside)
    end = time.monotonic() + seconds
    rounds = 0
    while time.monotonic() < end or rounds < 3:
        _, text = b.run(timeout=60)
        nothing_found(text)
        assert tree(target.outside) == before, "something of the host was made"
        assert target.sentinel.read_text() == "secret"
        target.run("delete", "--force", b.id)
        rounds += 1


def test_race_of_mount_points(target):
    """A folder of the root changes places with a link that leads out."""
    b = target.bundle("walk", target.sentinel.name)
    (b.rootfs / "t/sub").mkdir(parents=True)
    (b.rootfs / "t2").symlink_to(up(target.outside))
    (b.path / "data").mkdir()
    (b.path / "file").write_text("data")
    for i in range(4):
        b.mount(f"/t/new{i}/deep", type="bind", source=str(b.path / "data"), options=["bind"])
        b.mount(f"/t/file{i}", type="bind", source=str(b.path / "file"), options=["bind"])
    b.mount("/t/sub", type="tmpfs", source="tmpfs")
    b.linux["maskedPaths"] += [f"/t/{target.sentinel.name}"]
    b.linux["readonlyPaths"] += ["/t"]
    b.linux["devices"] = [{"path": "/t/dev/fuse", "type": "c", "major": 10, "minor": 229}]
    b.process["cwd"] = "/t/cwd/made"
    target.race(b.rootfs / "t", b.rootfs / "t2")
    race(target, b, target.race_seconds())


def test_race_in_a_shared_volume(target):
    """CVE-2021-30465: a volume's folder, mounted below another, becomes a link to the root."""
    b = target.bundle("walk", target.sentinel.name)
    volume = b.path / "volume"
    (volume / "inner").mkdir(parents=True)
    (volume / "link").symlink_to("/")
    b.mount("/vol", type="bind", source=str(volume), options=["rbind"])
    b.mount("/vol/inner", type="bind", source=str(volume), options=["rbind"])
    b.mount("/vol/inner/deep", type="tmpfs", source="tmpfs")
    target.race(volume / "inner", volume / "link")
    race(target, b, target.race_seconds())


def test_race_of_the_null_device(target):
    """CVE-2025-31133: /dev/null is a device now and a link then, while paths are masked."""
    b = target.bundle("mask", *MASKED)
    b.without_mount("/dev")
    os.mknod(b.rootfs / "dev/null", 0o20666, os.makedev(1, 3))
    (b.rootfs / "dev/null2").symlink_to("/proc/sys/kernel/hostname")
    target.race(b.rootfs / "dev/null", b.rootfs / "dev/null2")
    race(target, b, target.race_seconds())


# --- procfs, sysctls, cgroups ---

@pytest.mark.parametrize("fake", ["bind", "tmpfs", "folder", "link"])
def test_proc_is_not_procfs(target, fake):
    """What is written for the container must not go to a /proc of the attacker's."""
    b = target.bundle("ids")
    b.without_mount("/proc")
    b.linux["maskedPaths"] = b.linux["readonlyPaths"] = []
    place = b.path / "fake" if fake == "bind" else b.rootfs / ("proc" if fake == "folder" else "f")
    for file in ("sys/kernel/msgmax", "self/attr/exec", "self/oom_score_adj", "self/attr/current"):
        (place / file).parent.mkdir(parents=True, exist_ok=True)
        (place / file).write_text("untouched")
    if fake == "bind":
        b.mount("/proc", type="bind", source=str(place), options=["rbind"])
    elif fake == "tmpfs":
        b.mount("/proc", type="tmpfs", source="tmpfs")
    elif fake == "link":
        (b.rootfs / "proc").rmdir()
        (b.rootfs / "proc").symlink_to("f")
        b.mount("/proc", type="proc", source="proc")
    b.linux["sysctl"] = {"kernel.msgmax": "7777"}
    b.process["oomScoreAdj"] = 100
    b.run()
    for file in ("sys/kernel/msgmax", "self/attr/exec", "self/oom_score_adj", "self/attr/current"):
        if (place / file).exists():
            assert (place / file).read_text() == "untouched", f"{file} of the attacker was written"


def current(name):
    with open("/proc/sys/" + name, encoding="utf-8") as file:
        return file.read().strip()


@pytest.mark.parametrize("key", ["kernel.core_pattern", "kernel/core_pattern", "vm.max_map_count",
                                 "net/../kernel/core_pattern", "net.ipv4/../../kernel/core_pattern",
                                 "kernel.shm_rmid_forced/../core_pattern", "fs.mqueue./../../x"])
def test_sysctl_of_the_host(target, key):
    """The value is the one that is there: what counts is that it is refused."""
    b = target.bundle("ids")
    name = "vm/max_map_count" if key.startswith("vm") else "kernel/core_pattern"
    before = current(name)
    b.linux["sysctl"] = {key: before}
    code, text = b.run()
    assert code != 0 and "ids" not in text, f"sysctl {key} was accepted"
    assert current(name) == before


def test_sysctl_in_the_hosts_namespace(target):
    b = target.bundle("ids")
    b.linux["namespaces"] = [n for n in b.linux["namespaces"] if n["type"] != "ipc"]
    b.linux["sysctl"] = {"kernel.msgmax": current("kernel/msgmax")}
    code, _ = b.run()
    assert code != 0, "a sysctl of the host's IPC namespace was set"


@pytest.mark.parametrize("value", ["7777\n8888", "7777+kernel.core_pattern=x", "7777 8888"])
def test_sysctl_value(target, value):
    """A value with more in it sets nothing else."""
    b = target.bundle("ids")
    before = current("kernel/core_pattern"), current("kernel/msgmnb")
    b.linux["sysctl"] = {"kernel.msgmax": value}
    b.run()
    assert (current("kernel/core_pattern"), current("kernel/msgmnb")) == before


def test_state_of_the_kernel_is_read_only(target):
    b = target.bundle("writable", "/proc/sys/kernel/core_pattern", "/proc/sysrq-trigger",
                      "/proc/sys/vm/overcommit_memory", "/sys/power/state", "/sys/kernel/profiling",
                      "/proc/irq/default_smp_affinity", *[
                          f"/sys/fs/cgroup/{h.name}/{file}" for h in hierarchies()
                          for file in ("release_agent", "cgroup.procs", "notify_on_release")])
    code, text = b.run()
    assert code == 0, text
    nothing_found(text)


def test_annotations_are_no_properties(target):
    b = target.bundle("ids")
    b.config["annotations"] = {"org.systemd.property.ExecStartPre": "'/bin/false'",
                               "org.systemd.property.TimeoutStopUSec": "uint64 1",
                               "run.oci.handler": "krun", "module.wasm.image/variant": "compat"}
    code, text = b.run()
    assert code == 0 and "ids 0 0" in text, "an annotation changed how the container runs"


# --- who the process is ---

def status_of(target, b, prefix=()):
    """What the kernel says of a container's process."""
    b.process["args"] = ["/bin/attack", "wait"]
    b.save()
    b.out = b.path / "out"
    with open(b.out, "ab") as out:
        child = target.spawn("create", "--bundle", b.path, b.id, prefix=prefix, stdout=out,
                             stderr=out)
        assert child.wait(20) == 0, b.out.read_text()
    code, text = target.run("start", b.id)
    assert code == 0, text
    b.wait_output("ready")
    with open(f"/proc/{b.pid()}/status", encoding="utf-8") as file:
        return dict(line.rstrip("\n").split(":\t", 1) for line in file if ":\t" in line)


GIVEN = 1 << 5 | 1 << 10 | 1 << 29  # KILL, NET_BIND_SERVICE, AUDIT_WRITE


def as_given(status):
    assert int(status["CapEff"], 16) == int(status["CapPrm"], 16) == GIVEN, "effective capabilities"
    assert int(status["CapBnd"], 16) == GIVEN, "the bounding set"
    assert int(status["CapInh"], 16) == 0, f"inheritable capabilities {status['CapInh']}"
    assert int(status["CapAmb"], 16) == 0, f"ambient capabilities {status['CapAmb']}"
    assert status["NoNewPrivs"] == "1", "no new privileges"
    assert status["Seccomp"] == "2", "the seccomp filter is missing"


def test_rights_are_those_given(target):
    as_given(status_of(target, target.bundle()))


def test_rights_of_a_user(target):
    b = target.bundle()
    b.process["user"] = {"uid": 1000, "gid": 1000, "additionalGids": [10]}
    for kind in ("effective", "permitted"):
        b.process["capabilities"][kind] = []
    status = status_of(target, b)
    assert status["Groups"].split() == ["10"], f"groups {status['Groups']}"
    for kind in ("CapEff", "CapPrm", "CapInh", "CapAmb"):
        assert int(status[kind], 16) == 0, f"{kind} {status[kind]}"


def test_inheritable_rights_of_the_caller(target):
    """CVE-2022-24769, CVE-2022-29162: the caller's own inheritable set must not go in."""
    prefix = ["setpriv", "--inh-caps", "+chown,+sys_admin,+kill"]
    as_given(status_of(target, target.bundle(), prefix))


def test_rights_of_exec(target):
    """exec --cap gives a right, and no inheritable one (CVE-2022-29162)."""
    b = target.bundle("wait").up()
    b.wait_output("ready")
    out = b.path / "exec-out"
    with open(out, "wb") as stream:
        target.spawn("exec", "--cap", "CAP_CHOWN", b.id, "/bin/attack", "wait", stdout=stream,
                     stderr=stream)
        end = time.monotonic() + 10
        while b"ready" not in out.read_bytes():
            assert time.monotonic() < end, out.read_text()
            time.sleep(0.01)
    pids = {pid for h in hierarchies() for f in (h / b.cgroup[1:]).glob("cgroup.procs")
            for pid in f.read_text().split()} - {str(b.pid())}
    assert len(pids) == 1, pids
    with open(f"/proc/{pids.pop()}/status", encoding="utf-8") as file:
        status = dict(line.rstrip("\n").split(":\t", 1) for line in file if ":\t" in line)
    assert int(status["CapEff"], 16) == GIVEN | 1, f"effective capabilities {status['CapEff']}"
    assert int(status["CapInh"], 16) == 0, f"inheritable capabilities {status['CapInh']}"
    assert status["NoNewPrivs"] == "1" and status["Seccomp"] == "2"


def test_created_process_is_not_dumpable(target):
    """Others of the same user may not look into it before it runs the program, nor dump it."""
    b = target.bundle("wait")
    b.process["user"] = {"uid": 1000, "gid": 1000}
    b.create()
    assert os.stat(f"/proc/{b.pid()}/fd").st_uid == 0, "it is dumpable"


def test_terminal_of_the_caller(target):
    """Bytes pushed into the terminal that the runtime was started from (CVE-2016-7545, bwrap)."""
    b = target.bundle("tiocsti")
    master, slave = pty.openpty()
    b.save()
    out = b.path / "text"
    with open(out, "wb") as stream:
        child = target.spawn("run", "--bundle", b.path, b.id, stdin=slave, stdout=stream,
                             stderr=stream, start_new_session=True)
        child.wait(20)
    os.close(slave)
    os.close(master)
    nothing_found(out.read_text())


# --- users ---

PASSWD = "root:x:0:0::/root:/bin/sh\n1:x:0:0:digits are a name here:/:/bin/sh\n" \
         "4294967296:x:0:0::/:/bin/sh\n-1:x:0:0::/:/bin/sh\n0x5:x:0:0::/:/bin/sh\n"
USERS = {"1": (1, None), "1:1": (1, 1), "4294967294": (4294967294, None), "4294967295": None,
         "4294967296": None, "4294967297": None, "18446744073709551616": None,
         "18446744073709551617": None, "-1": None, "+5": None, " 5": None, "5 ": None, "5x": None,
         "0x5": None, "1e3": None, "٣": None, ":": None, "1:4294967295": None, "1:4294967296": None,
         "1:-1": None, "1:0x5": None, "1:5 ": None, "1:2:3": None}


@pytest.mark.parametrize("user", USERS, ids=repr)
def test_user_of_exec(target, user):
    """Digits are a number, never a name; what is no id is an error, never root."""
    b = target.bundle("wait")
    (b.rootfs / "etc/passwd").write_text(PASSWD)
    (b.rootfs / "etc/group").write_text("root:x:0:\n1:x:0:\n")
    b.up()
    code, text = b.exec("/bin/attack", "ids", options=[f"--user={user}"])
    ids = [line.split()[1:] for line in text.splitlines() if line.startswith("ids ")]
    if USERS[user] is None:
        assert not ids, f"user '{user}' became {':'.join(ids[0])}"
    else:
        assert code == 0 and ids, text
        uid, gid = USERS[user]
        assert int(ids[0][0]) == uid and (gid is None or int(ids[0][1]) == gid), \
            f"user '{user}' became {':'.join(ids[0])}"


@pytest.mark.parametrize("uid", [-1, 4294967295, 4294967296, 1 << 64, 1.5, "0", True, [0]],
                         ids=repr)
def test_user_of_the_configuration(target, uid):
    b = target.bundle("ids")
    b.process["user"] = {"uid": uid, "gid": 5}
    _, text = b.run()
    ids = [line for line in text.splitlines() if line.startswith("ids ")]
    assert not ids, f"uid {uid!r} became '{ids[0]}'"


@pytest.mark.parametrize("kind", ["fifo", "giant", "zero", "socket", "folder", "loop", "host"])
@pytest.mark.parametrize("how", ["run", "exec"])
def test_passwd_is_no_file(target, kind, how):
    """Neither waits for ever nor reads for ever, nor reads the host's."""
    b = target.bundle("wait" if how == "exec" else "ids")
    if how == "exec":
        b.up()
    for name in ("passwd", "group"):
        file = b.rootfs / "etc" / name
        if kind == "fifo":
            os.mkfifo(file)
        elif kind == "giant":
            with open(file, "wb") as giant:
                giant.truncate(HUGE)
        elif kind == "zero":
            os.mknod(file, 0o20666, os.makedev(1, 5))
        elif kind == "socket":
            os.mknod(file, 0o140666)
        elif kind == "folder":
            file.mkdir()
        else:
            file.symlink_to(name if kind == "loop" else up(f"/etc/{name}"))
    start = time.monotonic()
    if how == "exec":
        _, text = b.exec("/bin/attack", "ids", options=["--user=5"], timeout=5)
    else:
        _, text = b.run(timeout=5)
    assert time.monotonic() - start < 4, "it takes long"
    assert "ids" not in text or "ids 5" in text or "ids 0 0" in text


# --- what is not the container's own ---

def test_other_cgroup(target):
    """A cgroup path that climbs, is a link, or is another's."""
    b = target.bundle("ids")
    b.linux["cgroupsPath"] = f"/{PREFIX}/../../../{PREFIX}/climbed"
    b.run()
    for h in hierarchies():
        assert not (h.parent / PREFIX).exists() and not (h / "climbed").exists()


def test_id_is_a_path(target):
    b = target.bundle("ids")
    b.save()
    for name in ("../escaped", "a/b", "..", ".", "", "a\nb", "x" * 2000):
        code, text = target.run("run", "--bundle", b.path, name)
        assert code != 0, f"id {name[:20]!r} was accepted"
    assert not (target.folder / "escaped").exists()
    assert json.loads((b.path / "config.json").read_text())
