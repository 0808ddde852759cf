# SPDX-License-Identifier: Apache-2.0
"""Shims for tests: all in a private mount namespace, cgroups in one folder that goes again.

    TARE_BUILD=/tmp/build /usr/bin/python3 -m pytest tests/shim

Needs root, busybox (static), protoc and python3-protobuf."""
import ctypes
import json
import os
import shutil
import signal
import subprocess
import sys

import pytest

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.dirname(__file__))
from shim_client import Shim, wait_until  # noqa: E402

CLONE_NEWNS = 0x00020000
MS_REC, MS_PRIVATE = 0x4000, 0x40000
CGROUP = f"/tare-test-shim-{os.getpid()}"
APPLETS = ("sh cat echo sleep true false id ls head tail yes dd hostname kill ps stty printf seq "
           "mkdir touch rm env tr wc grep mount tty setsid nohup test")


def pytest_collection_modifyitems(items):
    if os.geteuid() != 0:
        for item in items:
            item.add_marker(pytest.mark.skip(reason="needs root"))


def cgroup_hierarchies():
    with open("/proc/thread-self/mountinfo") as f:
        for line in f:
            fields = line.split()
            kind = fields[fields.index("-") + 1]
            if kind in ("cgroup", "cgroup2"):
                yield fields[4]


@pytest.fixture(scope="session", autouse=True)
def private_mounts():
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.unshare(CLONE_NEWNS) or libc.mount(None, b"/", None, MS_REC | MS_PRIVATE, None):
        pytest.exit("cannot make a private mount namespace", 1)
    yield
    for mount in cgroup_hierarchies():
        for folder, _, _ in os.walk(mount + CGROUP, topdown=False):
            os.rmdir(folder)


@pytest.fixture(scope="session")
def build():
    folder = os.environ.get("TARE_BUILD")
    if not folder or not os.path.exists(os.path.join(folder, "src", "cmd", "tare-shim")):
        pytest.skip("TARE_BUILD names no folder with tare-shim")
    return folder


@pytest.fixture(scope="session")
def image(tmp_path_factory):
    """A root file system of busybox."""
    root = tmp_path_factory.mktemp("image")
    root.chmod(0o755)
    for folder in ("bin", "etc", "proc", "dev", "sys", "tmp", "root", "data"):
        (root / folder).mkdir()
    shutil.copy(shutil.which("busybox"), root / "bin" / "busybox")
    for applet in APPLETS.split():
        (root / "bin" / applet).symlink_to("busybox")
    (root / "etc" / "passwd").write_text(
        "root:x:0:0:root:/root:/bin/sh\nworker:x:1000:1000:w:/data:/bin/sh\n")
    (root / "etc" / "group").write_text("root:x:0:\nworker:x:1000:\nextra:x:50000:worker\n")
    return str(root)


CAPS = ["CAP_CHOWN", "CAP_DAC_OVERRIDE", "CAP_FOWNER", "CAP_KILL", "CAP_SETGID", "CAP_SETUID"]
MOUNTS = [
    {"destination": "/proc", "type": "proc", "source": "proc",
     "options": ["nosuid", "noexec", "nodev"]},
    {"destination": "/dev", "type": "tmpfs", "source": "tmpfs",
     "options": ["nosuid", "mode=755", "size=64k"]},
    {"destination": "/dev/pts", "type": "devpts", "source": "devpts",
     "options": ["nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620", "gid=5"]},
]


def process(args, terminal=False, uid=0, gid=0, cwd="/"):
    sets = {name: CAPS for name in ("bounding", "effective", "permitted")}
    return {"terminal": terminal, "cwd": cwd, "args": args, "user": {"uid": uid, "gid": gid},
            "env": ["PATH=/bin", "TERM=xterm"], "capabilities": sets}


class Pod:
    """A shim, a client of it, and containers of the busybox image."""

    def __init__(self, folder, build, image, **options):
        self.folder = str(folder)
        self.image = image
        self.build = build
        self.shim = Shim(self.folder, build, **options)
        self.client = self.shim.connect()
        self.netns = os.path.join(self.folder, "netns", "tare-1")
        self.pins = os.path.join(self.folder, "pins")
        self.shm = os.path.join(self.folder, "shm")
        os.makedirs(self.pins)
        os.makedirs(self.shm)
        self.cgroup = f"{CGROUP}/{os.path.basename(self.folder)}"

    def sandbox(self, **fields):
        fields.setdefault("hostname", "pod-host")
        fields.setdefault("netns_path", self.netns)
        fields.setdefault("pin_dir", self.pins)
        self.made = self.client.create_sandbox(**fields)
        return self.made

    def path(self, *parts):
        return os.path.join(self.folder, *parts)

    def rootfs(self, name):
        for part in ("upper", "work"):
            os.makedirs(self.path(name, part), exist_ok=True)
        return {"lower_dirs": [self.image], "upper_dir": self.path(name, "upper"),
                "work_dir": self.path(name, "work")}

    def spec(self, name, args, terminal=False, memory=None, own_pid=True, uid=0):
        namespaces = [{"type": "mount"}]
        if own_pid:
            namespaces.append({"type": "pid"})
        for kind, path in (("network", "net"), ("ipc", "ipc"), ("uts", "uts"), ("pid", "pid")):
            pin = getattr(getattr(self, "made", None), path + "_path", "")
            if pin and not (kind == "pid" and own_pid):
                namespaces.append({"type": kind, "path": pin})
        resources = {}
        if memory:
            resources["memory"] = {"limit": memory, "swap": memory}
        return {"ociVersion": "1.0.2", "root": {"path": "rootfs"}, "mounts": MOUNTS,
                "process": process(args, terminal, uid, uid),
                "linux": {"namespaces": namespaces, "resources": resources,
                          "cgroupsPath": f"{self.cgroup}/{name}"}}

    def bundle(self, name, spec):
        os.makedirs(self.path(name), exist_ok=True)
        with open(self.path(name, "config.json"), "w") as f:
            json.dump(spec, f)
        return self.path(name)

    def log_path(self, name):
        return self.path("logs", name, "0.log")

    def prepare(self, name, **fields):
        return self.client.prepare(name, self.rootfs(name), **fields)

    def run(self, name, args, log=True, tty=False, stdin=False, stdin_once=False, max_log_line=0,
            **options):
        """Prepare and start."""
        self.prepare(name)
        return self.client.start(
            name, self.bundle(name, self.spec(name, args, terminal=tty, **options)),
            log_path=self.log_path(name) if log else "", tty=tty, stdin=stdin,
            stdin_once=stdin_once, max_log_line=max_log_line)

    def sh(self, name, script, **options):
        return self.run(name, ["sh", "-c", script], **options)

    def records(self, name):
        """[(stream, tag, content)] of a log."""
        with open(self.log_path(name), "rb") as f:
            data = f.read()
        assert data == b"" or data.endswith(b"\n")
        lines = [line.split(b" ", 3) for line in data.split(b"\n")[:-1]]
        assert all(len(line) == 4 for line in lines)
        return [(s.decode(), tag.decode(), content) for _, s, tag, content in lines]

    def output(self, name, stream="stdout"):
        """What the container wrote, put together again."""
        return b"".join(content + (b"\n" if tag == "F" else b"")
                        for s, tag, content in self.records(name) if s == stream)

    def exec_start(self, name, args, **options):
        proc = json.dumps(process(args, terminal=options.pop("terminal", False)))
        return self.client.send_exec(name, proc, **options)

    def exec(self, name, args, timeout_ms=0):
        """(exit code, stdout)"""
        r, w = os.pipe()
        number = self.exec_start(name, args, stdout=w, timeout_ms=timeout_ms)
        os.close(w)
        try:
            reply = self.client.wait(number)
            with os.fdopen(os.dup(r), "rb") as f:
                return reply.exit_code, f.read()
        finally:
            os.close(r)

    def cgroup_folders(self):
        return [mount + self.cgroup for mount in cgroup_hierarchies()
                if os.path.isdir(mount + self.cgroup)]

    def cgroup_pids(self, name=""):
        pids = set()
        for folder in self.cgroup_folders():
            for sub, _, files in os.walk(os.path.join(folder, name)):
                if "cgroup.procs" in files:
                    try:
                        with open(os.path.join(sub, "cgroup.procs")) as f:
                            pids |= {int(p) for p in f.read().split()}
                    except OSError:  # it is removed just now: ENOENT, ENODEV
                        pass
        return pids

    def mounts(self):
        with open("/proc/thread-self/mountinfo") as f:
            return [line.split()[4] for line in f if self.folder + "/" in line]

    def shutdown(self):
        """Ends the pod, and checks that nothing of it is left."""
        self.client.shutdown()
        assert self.shim.process.wait(10) == 0, self.shim.log()
        assert self.mounts() == []
        assert not os.path.exists(self.netns)
        assert os.listdir(self.pins) == []
        assert os.listdir(os.path.join(self.shim.state_dir, "exits")) == []
        assert not os.path.exists(os.path.join(self.shim.state_dir, "sandbox.json"))
        assert self.cgroup_pids() == set()

    def clean(self):
        """Whatever the test left: by record, then by what we know."""
        self.client.close()
        if self.shim.process.poll() is None:
            writer = self.shim.child_named("tare-shim-log")
            self.shim.process.kill()
            self.shim.process.wait()
            if writer:
                try:
                    os.kill(writer, signal.SIGKILL)
                except ProcessLookupError:
                    pass
        for pid in self.cgroup_pids():
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                pass
        wait_until(lambda: not self.cgroup_pids(), what="the end of the test's processes")
        subprocess.run([self.shim.program, "--undo", "--state-dir", self.shim.state_dir],
                       check=True, stderr=subprocess.DEVNULL)
        for folder in self.cgroup_folders():
            for sub, _, _ in os.walk(folder, topdown=False):
                os.rmdir(sub)
        assert self.mounts() == []
        # what a sanitizer build has to say, also of children
        assert "Sanitizer" not in self.shim.log() and "runtime error" not in self.shim.log()

    def sanitized(self):
        with open(self.shim.program, "rb") as f:
            return b"__asan_init" in f.read()


@pytest.fixture
def make_pod(tmp_path, build, image):
    pods = []

    def make(**options):
        folder = tmp_path / f"pod{len(pods)}"
        folder.mkdir()
        pod = Pod(folder, build, image, **options)
        pods.append(pod)
        return pod

    yield make
    for pod in pods:
        pod.clean()


@pytest.fixture
def pod(make_pod):
    """A pod with a sandbox, shut down and checked at the end."""
    p = make_pod()
    p.sandbox()
    yield p
    if p.shim.process.poll() is None:
        p.shutdown()
