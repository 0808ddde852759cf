# SPDX-License-Identifier: Apache-2.0
"""Bundles, a private state root, and the proof that nothing is left behind.

TARE_BUILD names the build folder; without it, and without root, the tests skip, loudly. Every
container has its cgroup below one folder of this session, /tare-test-rt-PID, which is removed at
the end.
"""
import json
import os
import pathlib
import shutil
import signal
import subprocess
import time

import pytest

HERE = pathlib.Path(__file__).parent
CGROUP_ROOT = pathlib.Path("/sys/fs/cgroup")
PREFIX = f"tare-test-rt-{os.getpid()}"


def runtime_path():
    if os.environ.get("TARE_RUNTIME"):
        return pathlib.Path(os.environ["TARE_RUNTIME"])
    build = os.environ.get("TARE_BUILD")
    path = build and pathlib.Path(build) / "src/cmd/tare-runtime"
    if not path or not path.exists():
        pytest.skip("set TARE_BUILD to a build folder with src/cmd/tare-runtime")
    if os.geteuid() != 0:
        pytest.skip("needs root")
    return path


@pytest.fixture(scope="session")
def probe(tmp_path_factory):
    if os.environ.get("TARE_PROBE"):  # a machine on which compiling takes too long
        return pathlib.Path(os.environ["TARE_PROBE"])
    out = tmp_path_factory.mktemp("probe") / "probe"
    subprocess.run(["gcc", "-O1", "-static", "-w", "-D_GNU_SOURCE", "-o", out, HERE / "probe.c"],
                   check=True)
    return out


def hierarchies():
    """Mount points of cgroup hierarchies."""
    found = []
    for line in pathlib.Path("/proc/thread-self/mountinfo").read_text().splitlines():
        left, _, right = line.partition(" - ")
        if right.split()[0] in ("cgroup", "cgroup2"):
            found.append(pathlib.Path(left.split()[4]))
    return found


def cgroup_dirs():
    return sorted(str(d) for h in hierarchies() for d in (h / PREFIX).glob("**") if d.is_dir()
                  and d != h / PREFIX)


@pytest.fixture(scope="session", autouse=True)
def cgroup_folder():
    yield
    for h in hierarchies():
        for d in sorted((h / PREFIX).glob("**"), reverse=True):
            if d.is_dir():
                d.rmdir()


class Result:
    def __init__(self, done):
        self.code = done.returncode
        self.out = done.stdout.decode(errors="replace")
        # msg="..." of a log line has its quotes escaped
        self.err = done.stderr.decode(errors="replace").replace('\\"', '"')

    @property
    def json(self):
        return json.loads(self.out)

    def ok(self):
        assert self.code == 0, f"exit {self.code}\n{self.out}\n{self.err}"
        return self

    def failed(self, text, code=None):
        assert self.code != 0, self.out
        assert code is None or self.code == code, f"exit {self.code}: {self.err}"
        assert text in self.err, self.err
        return self


class Machine:
    """A state root of its own, and bundles that live in its folder."""

    def __init__(self, path, probe):
        self.path = path
        self.probe = probe
        self.root = path / "state"
        self.runtime = runtime_path()
        self.prefix = []  # what runs the runtime
        self.count = 0
        self.children = []

    def run(self, *args, env=None, timeout=60, **kwargs):
        full = dict(os.environ, **(env or {}))
        full.pop("NOTIFY_SOCKET", None)
        if "stdin" not in kwargs and "input" not in kwargs:
            kwargs["stdin"] = subprocess.DEVNULL
        done = subprocess.run([*self.prefix, self.runtime, "--root", self.root, *map(str, args)],
                              stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=full,
                              timeout=timeout, **kwargs)
        return Result(done)

    def start_process(self, *args, **kwargs):
        child = subprocess.Popen([*self.prefix, self.runtime, "--root", self.root,
                                  *map(str, args)],
                                 stdout=kwargs.pop("stdout", subprocess.PIPE),
                                 stderr=kwargs.pop("stderr", subprocess.PIPE),
                                 stdin=kwargs.pop("stdin", subprocess.DEVNULL), **kwargs)
        self.children.append(child)
        return child

    def bundle(self, *args):
        self.count += 1
        return Bundle(self, f"c{self.count}", args or ("report",))

    def ids(self):
        return self.run("list", "-q").ok().out.split()


class Bundle:
    def __init__(self, machine, name, args):
        self.machine = machine
        self.id = name
        self.path = machine.path / name
        self.rootfs = self.path / "rootfs"
        for d in ("bin", "proc", "sys", "dev", "etc", "tmp", "home"):
            (self.rootfs / d).mkdir(parents=True)
        shutil.copy(machine.probe, self.rootfs / "bin/probe")
        (self.rootfs / "etc/passwd").write_text(
            "root:x:0:0:root:/root:/bin/sh\nada:x:1000:1000:Ada:/home/ada:/bin/sh\n")
        (self.rootfs / "etc/group").write_text("root:x:0:\nada:x:1000:\nwheel:x:10:ada\n")
        machine.run("spec", "-b", self.path).ok()
        self.config = json.loads((self.path / "config.json").read_text())
        self.process["terminal"] = False
        self.process["args"] = ["/bin/probe", *args]
        self.config["root"]["readonly"] = False
        self.linux["cgroupsPath"] = f"/{PREFIX}/{machine.path.name}-{name}"
        self.save()

    @property
    def process(self):
        return self.config["process"]

    @property
    def linux(self):
        return self.config["linux"]

    @property
    def cgroup(self):
        return self.linux["cgroupsPath"]

    def cgroup_file(self, controller, file):
        """A file of the container's cgroup, in the version where the controller lives."""
        for folder in (CGROUP_ROOT / controller, CGROUP_ROOT / "unified", CGROUP_ROOT):
            path = folder / self.cgroup.lstrip("/") / file
            if path.exists():
                return path
        raise FileNotFoundError(file)

    def namespace(self, kind, path=None):
        spaces = [n for n in self.linux["namespaces"] if n["type"] != kind]
        spaces.append({"type": kind, **({"path": str(path)} if path else {})})
        self.linux["namespaces"] = spaces

    def without_namespace(self, kind):
        self.linux["namespaces"] = [n for n in self.linux["namespaces"] if n["type"] != kind]

    def with_user_namespace(self):
        self.namespace("user")
        ids = [{"containerID": 0, "hostID": 100000, "size": 65536}]
        self.linux["uidMappings"] = self.linux["gidMappings"] = ids
        for folder in (self.machine.path, self.path, self.rootfs):
            folder.chmod(0o755)
        for d in [self.rootfs, *self.rootfs.glob("**/*")]:
            os.chown(d, 100000, 100000, follow_symlinks=False)
        return self

    def mount(self, destination, **more):
        self.config["mounts"].append({"destination": destination, **more})

    def hook(self, kind, *args, **more):
        self.config.setdefault("hooks", {}).setdefault(kind, []).append(
            {"path": str(self.machine.probe), "args": ["probe", *map(str, args)], **more})

    def save(self):
        (self.path / "config.json").write_text(json.dumps(self.config))
        return self

    def run(self, *options, **kwargs):
        self.save()
        return self.machine.run("run", "-b", self.path, *options, self.id, **kwargs)

    def warnings(self, **kwargs):
        """Of a run that succeeds: they are in the log alone."""
        self.save()
        log = self.path / "warnings.log"
        done = self.machine.run("--log", log, "run", "-b", self.path, self.id, **kwargs).ok()
        return done, log.read_text()

    def report(self, *options, **kwargs):
        return self.run(*options, **kwargs).ok().json

    def create(self, *options, out=None, **kwargs):
        """Detached: the container holds its stdout, which goes to a file."""
        self.save()
        self.out = out or self.machine.path / f"{self.id}.out"
        with open(self.out, "ab") as f:
            child = self.machine.start_process("create", "-b", self.path, *options, self.id,
                                               stdout=f, stderr=f, **kwargs)
            code = child.wait(60)
        return code

    def start(self):
        return self.machine.run("start", self.id)

    def up(self, *options):
        assert self.create(*options) == 0, self.output()
        self.start().ok()
        return self

    def output(self):
        return self.out.read_text().replace('\\"', '"')

    def wait_output(self, text, seconds=10):
        end = time.time() + seconds
        while text not in self.output():
            assert time.time() < end, self.output()
            time.sleep(0.01)

    def exec(self, *args, options=(), **kwargs):
        return self.machine.run("exec", *options, self.id, *args, **kwargs)

    def kill(self, *args):
        return self.machine.run("kill", self.id, *args)

    def delete(self, *options):
        return self.machine.run("delete", *options, self.id)

    def state(self):
        return self.machine.run("state", self.id).ok().json

    def wait_status(self, status, seconds=40):  # process 1 may reap orphans late
        end = time.time() + seconds
        while self.state()["status"] != status:
            assert time.time() < end, self.state()
            time.sleep(0.01)

    def stop(self):
        self.kill("KILL").ok()
        self.wait_status("stopped")
        self.delete().ok()


def processes_in_our_cgroups():
    found = []
    for h in hierarchies():
        for file in (h / PREFIX).glob("**/cgroup.procs"):
            try:
                found += file.read_text().split()
            except OSError:  # it is removed just now
                pass
    return found


@pytest.fixture
def machine(tmp_path, probe):
    tmp_path.chmod(0o755)
    mounts = set(pathlib.Path("/proc/thread-self/mountinfo").read_text().splitlines())
    m = Machine(tmp_path, probe)
    yield m
    m.prefix = []
    for container in m.ids():
        m.run("delete", "--force", container)
    for child in m.children:
        if child.poll() is None:
            os.kill(child.pid, signal.SIGKILL)
        child.communicate()
    end = time.time() + 5
    while processes_in_our_cgroups() and time.time() < end:
        time.sleep(0.01)
    assert processes_in_our_cgroups() == []
    assert cgroup_dirs() == [], "cgroups are left"
    others = set(pathlib.Path("/proc/thread-self/mountinfo").read_text().splitlines()) ^ mounts
    assert not others, "mounts are left, or gone"
    left = [p.name for p in m.root.iterdir() if p.name != "@seccomp"] if m.root.exists() else []
    assert left == [], "state is left"


@pytest.fixture
def bundle(machine):
    return machine.bundle()
