# SPDX-License-Identifier: Apache-2.0
"""Runtimes to attack, each with bundles of its own; see conftest.py."""
import json
import os
import pathlib
import shutil
import signal
import subprocess
import time

import pytest

HERE = pathlib.Path(__file__).parent
PREFIX = f"tare-test-attack-{os.getpid()}"
FULL = bool(os.environ.get("TARE_FULL"))
CAPABILITIES = ["CAP_AUDIT_WRITE", "CAP_KILL", "CAP_NET_BIND_SERVICE"]
ALL_RIGHTS = CAPABILITIES + ["CAP_SYS_PTRACE", "CAP_DAC_OVERRIDE", "CAP_DAC_READ_SEARCH",
                             "CAP_SYS_ADMIN", "CAP_SYS_CHROOT", "CAP_CHOWN", "CAP_FOWNER"]
# A machine with an empty tree of version 2 beside those of version 1: crun wants one or the other.
HIDE_UNIFIED = ("for m in /sys/fs/cgroup/unified; do umount $m 2>/dev/null; done; exec \"$@\"")


def tare():
    path = os.environ.get("TARE_RUNTIME") or (
        os.environ.get("TARE_BUILD") and os.environ["TARE_BUILD"] + "/src/cmd/tare-runtime")
    return path if path and os.path.exists(path) and os.geteuid() == 0 else None


def peers():
    """(name, path) of runtimes to compare with; an empty TARE_RUNC or TARE_CRUN leaves one out."""
    found = []
    for name in ("runc", "crun"):
        path = os.environ.get(f"TARE_{name.upper()}", shutil.which(name))
        if path and os.path.exists(path) and os.geteuid() == 0:
            found.append((name, path))
    return found


def version(path):
    done = subprocess.run([path, "--version"], capture_output=True, text=True, check=False)
    return done.stdout.splitlines()[0].removeprefix("runtime ") if done.stdout else "?"


def hierarchies():
    found = []
    for line in pathlib.Path("/proc/thread-self/mountinfo").read_text().splitlines():
        left, _, right = line.partition(" - ")
        if right.split()[0] in ("cgroup", "cgroup2"):
            found.append(pathlib.Path(left.split()[4]))
    return found


def our_folders():
    return [d for h in hierarchies() for d in sorted((h / PREFIX).glob("**"), reverse=True)
            if d.is_dir()]


def end_processes(folder):
    """Whatever is in a cgroup of ours."""
    for h in hierarchies():
        for file in (h / folder.strip("/")).glob("**/cgroup.procs"):
            for pid in file.read_text().split():
                try:
                    os.kill(int(pid), signal.SIGKILL)
                except ProcessLookupError:
                    pass


class Target:
    """One runtime, and where it may leave things."""

    def __init__(self, name, path, folder, program, racer_program):
        self.name = name
        self.path = path
        self.folder = folder
        self.root = folder / "state"
        self.program = program
        self.racer_program = racer_program
        self.children = []
        self.bundles = []
        self.outside = folder / "outside"
        self.outside.mkdir()
        self.sentinel = self.outside / "sentinel-of-the-host"
        self.sentinel.write_text("secret")
        st = os.stat(path)
        self.exe = f"{st.st_dev}:{st.st_ino}"

    @property
    def is_tare(self):
        return self.name == "tare-runtime"

    def race_seconds(self):
        return (20 if FULL else 3) if self.is_tare else (5 if FULL else 1)

    def command(self, *args):
        command = [self.path, "--root", str(self.root), *map(str, args)]
        if self.name == "crun" and os.path.isdir("/sys/fs/cgroup/unified"):
            return ["unshare", "-m", "sh", "-c", HIDE_UNIFIED, "sh", self.path,
                    "--cgroup-manager=cgroupfs", *command[1:]]
        return command

    def spawn(self, *args, prefix=(), **kwargs):
        kwargs.setdefault("stdin", subprocess.DEVNULL)
        child = subprocess.Popen([*prefix, *self.command(*args)], **kwargs)
        self.children.append(child)
        return child

    def run(self, *args, timeout=20, prefix=(), **kwargs):
        """Output in files: what a container leaves running may keep them open."""
        out = self.folder / "out"
        with open(out, "wb") as stream:
            child = self.spawn(*args, prefix=prefix, stdout=stream, stderr=subprocess.STDOUT,
                               **kwargs)
            try:
                code = child.wait(timeout)
            except subprocess.TimeoutExpired:
                child.kill()
                child.wait()
                end_processes(PREFIX)
                pytest.fail(f"hangs: {' '.join(map(str, args))}")
        return code, out.read_text(errors="replace")

    def bundle(self, *args):
        bundle = Bundle(self, f"{self.name[:4]}{len(self.bundles)}", args)
        self.bundles.append(bundle)
        return bundle

    def race(self, a, b):
        """Two names change places, all the time."""
        child = subprocess.Popen([self.racer_program, a, b])
        self.children.append(child)
        return child

    def end(self):
        for child in self.children:
            if child.poll() is None and child.args[0] == self.racer_program:
                child.kill()
                child.wait()
        for bundle in self.bundles:
            self.run("delete", "--force", bundle.id)
        end_processes(PREFIX)
        for child in self.children:
            if child.poll() is None:
                child.kill()
            child.wait()
            if child.stdout:
                child.stdout.close()


class Bundle:
    """A root file system, and a config.json that every runtime takes."""

    def __init__(self, target, name, args):
        self.target = target
        self.id = name
        self.path = target.folder / name
        self.rootfs = self.path / "rootfs"
        for folder in ("bin", "proc", "sys", "dev", "etc", "tmp", "lib64", "lib"):
            (self.rootfs / folder).mkdir(parents=True)
        shutil.copy(target.program, self.rootfs / "bin/attack")
        self.cgroup = f"/{PREFIX}/{name}"
        self.config = json.loads((HERE / "config.json").read_text())
        self.process["args"] = ["/bin/attack", *map(str, args)]
        self.linux["cgroupsPath"] = self.cgroup

    @property
    def process(self):
        return self.config["process"]

    @property
    def linux(self):
        return self.config["linux"]

    def rights(self, names):
        for kind in ("bounding", "effective", "permitted"):
            self.process["capabilities"][kind] = list(names)

    def without_mount(self, destination):
        self.config["mounts"] = [m for m in self.config["mounts"]
                                 if not m["destination"].startswith(destination)]

    def mount(self, destination, **more):
        self.config["mounts"].append({"destination": destination, **more})

    def save(self):
        (self.path / "config.json").write_text(json.dumps(self.config))

    def run(self, *options, **kwargs):
        self.save()
        return self.target.run("run", "--bundle", self.path, *options, self.id, **kwargs)

    def create(self, *options, **kwargs):
        self.save()
        self.out = self.path / "out"
        with open(self.out, "ab") as out:
            child = self.target.spawn("create", "--bundle", self.path, *options, self.id,
                                      stdout=out, stderr=out, **kwargs)
            assert child.wait(20) == 0, self.out.read_text()
        return self

    def up(self, *options):
        self.create(*options)
        code, text = self.target.run("start", self.id)
        assert code == 0, text
        return self

    def wait_output(self, text, seconds=10):
        end = time.monotonic() + seconds
        while text not in self.out.read_text():
            assert time.monotonic() < end, self.out.read_text()
            time.sleep(0.01)

    def stop_watching(self):
        """It has looked all the time, however slow the machine is."""
        assert self.target.run("kill", self.id, "TERM")[0] == 0, self.out.read_text()
        self.wait_output("seen")
        assert "seen 0\n" not in self.out.read_text()

    def exec(self, *args, options=(), **kwargs):
        return self.target.run("exec", *options, self.id, *args, **kwargs)

    def pid(self):
        code, text = self.target.run("state", self.id)
        assert code == 0, text
        return json.loads(text)["pid"]


def runtimes():
    """Peers cost minutes: they are for ./check full, and for whoever wants the table."""
    found = [("tare-runtime", tare())] if tare() else []
    return found + (peers() if FULL or os.environ.get("TARE_ATTACKS") else [])


