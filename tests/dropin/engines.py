# SPDX-License-Identifier: Apache-2.0
"""Engines of others that call tare-runtime: podman, docker, containerd and its ctr.

Each has all its folders in one of its own; its containers' cgroups are below CGROUP. TARE_RUNTIME
names another OCI runtime, to see what the engine itself does: with one of those, podman asks for
limits that a machine without CAP_SYS_RESOURCE can give.
"""
import json
import os
import pty
import re
import select
import shutil
import signal
import struct
import subprocess
import termios
import time
import fcntl

from support.node import wait_until

CGROUP = f"/tare-test-dropin-{os.getpid()}"
SECONDS = 60  # for one command
PLUGINS = "/usr/lib/cni"
BRIDGE = """\
{{ "cniVersion": "0.4.0", "name": "podman", "plugins": [
  {{ "type": "bridge", "bridge": "dropin0", "isGateway": true, "ipMasq": false,
     "ipam": {{ "type": "host-local", "dataDir": "{folder}/ipam",
                "ranges": [[{{ "subnet": "10.97.0.0/24" }}]] }} }} ] }}
"""


class Said:
    """What a command printed, and its exit status."""

    def __init__(self, done):
        self.code, self.out, self.err = done.returncode, done.stdout, done.stderr

    @property
    def json(self):
        return json.loads(self.out)

    @property
    def rows(self):
        """The cells of a table, without its head."""
        return [line.split() for line in self.out.splitlines()[1:]]

    @property
    def id(self):
        return self.out.split()[-1]

    def __repr__(self):
        return f"status {self.code}\n--- out\n{self.out}\n--- err\n{self.err}"


class Terminal:
    """A command on a terminal of ours."""

    def __init__(self, command, env, rows, columns):
        self.master, slave = pty.openpty()
        self.resize(rows, columns)
        self.process = subprocess.Popen(command, env=env, stdin=slave, stdout=slave, stderr=slave,
                                        start_new_session=True)
        os.close(slave)
        self.seen = ""

    def resize(self, rows, columns):
        fcntl.ioctl(self.master, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))
        if hasattr(self, "process"):
            self.process.send_signal(signal.SIGWINCH)

    def send(self, text):
        os.write(self.master, text.encode())

    def wait_for(self, pattern, seconds=20):
        """Reads until pattern is there, and forgets what was before it."""
        end = time.monotonic() + seconds
        while not (match := re.search(pattern, self.seen)):
            left = end - time.monotonic()
            assert left > 0, f"no {pattern!r} in {self.seen!r}"
            if select.select([self.master], [], [], left)[0]:
                try:
                    self.seen += os.read(self.master, 4096).decode(errors="replace")
                except OSError:
                    raise AssertionError(f"ended without {pattern!r}: {self.seen!r}") from None
        self.seen = self.seen[match.end():]
        return match

    def size(self, rows, columns):
        """Waits until a shell at the other end sees this size; returns after its answer."""
        end = time.monotonic() + 10
        while True:
            self.send("echo size $(stty size).\n")
            match = self.wait_for(r"size (\d+ \d+)?\.")  # none: nobody has set it yet
            if match[1] == f"{rows} {columns}":
                return
            assert time.monotonic() < end, f"{match[0]}, wanted {rows} {columns}"
            time.sleep(0.1)
            self.process.send_signal(signal.SIGWINCH)  # the one before came too early to be seen

    def finish(self):
        try:
            return self.process.wait(20)
        finally:
            os.close(self.master)
            if self.process.poll() is None:
                self.process.kill()
                self.process.wait()


def hierarchies():
    """Where cgroups are mounted."""
    with open("/proc/thread-self/mountinfo", encoding="utf-8") as lines:
        rows = [line.partition(" - ") for line in lines]
    return [left.split()[4] for left, _, right in rows if right.startswith("cgroup")]


class Cell:
    """A cgroup below CGROUP, in every hierarchy, that a command is started in, as a service is."""

    def __init__(self, name):
        self.path = f"{CGROUP}/{name}"
        self.folders = [mount + self.path for mount in hierarchies()]
        for folder in self.folders:
            os.makedirs(folder)
            for level in (os.path.dirname(folder), folder):
                self.fill_cpuset(level)

    @staticmethod
    def fill_cpuset(folder):
        for name in ("cpuset.cpus", "cpuset.mems"):
            above = f"{os.path.dirname(folder)}/{name}"
            if os.path.exists(above) and not os.path.exists(f"{folder}/{name}.effective"):
                with open(above, encoding="ascii") as of, \
                        open(f"{folder}/{name}", "w", encoding="ascii") as to:
                    to.write(of.read())

    def enter(self):
        for folder in self.folders:
            fd = os.open(f"{folder}/cgroup.procs", os.O_WRONLY)
            os.write(fd, b"0")
            os.close(fd)


def cgroups_of(pid):
    """Paths of a process, by hierarchy; cpuset is left out, which podman does not move."""
    with open(f"/proc/{pid}/cgroup", encoding="ascii") as lines:
        rows = [line.rstrip("\n").split(":", 2) for line in lines]
    return {path for _, controllers, path in rows if "cpuset" not in controllers.split(",")}


class Engine:
    """A client program; engine("run", ...) fails the test unless its exit status is `code`."""

    def __init__(self, folder, root, program):
        self.folder, self.root = folder, root
        self.env = {"PATH": f"{root}/usr/bin:{root}/usr/sbin:/usr/sbin:/usr/bin:/sbin:/bin",
                    "HOME": folder, "TMPDIR": folder, "LANG": "C.UTF-8"}
        self.prefix = [program]
        self.daemon = None
        os.makedirs(folder, mode=0o711, exist_ok=True)

    def command(self, *args):
        return [*self.prefix, *map(str, args)]

    def run(self, *args, stdin=None, timeout=SECONDS, cell=None):
        """Whatever the exit status."""
        return Said(subprocess.run(self.command(*args), env=self.env, input=stdin, text=True,
                                   check=False, capture_output=True, timeout=timeout,
                                   stdin=subprocess.DEVNULL if stdin is None else None,
                                   errors="replace", cwd=self.folder,
                                   preexec_fn=cell.enter if cell else None))

    def __call__(self, *args, code=0, stdin=None, timeout=SECONDS, cell=None):
        said = self.run(*args, stdin=stdin, timeout=timeout, cell=cell)
        assert said.code == code, f"{' '.join(map(str, args))}: {said}\n{self.log_end()}"
        return said

    def terminal(self, *args, rows=31, columns=97):
        return Terminal(self.command(*args), self.env, rows, columns)

    def start_daemon(self, command, ready, env=None):
        log = open(f"{self.folder}/daemon.log", "ab")
        with log:
            self.daemon = subprocess.Popen(command, env=env or self.env, stdin=subprocess.DEVNULL,
                                           stdout=log, stderr=log, start_new_session=True)

        def answers():
            assert self.daemon.poll() is None, f"{command[0]} has died:\n{self.log_end()}"
            return ready()

        wait_until(answers, 30, f"{command[0]} to answer")

    def stop_daemon(self):
        if self.daemon and self.daemon.poll() is None:
            self.daemon.terminate()
            try:
                self.daemon.wait(20)
            except subprocess.TimeoutExpired:
                self.daemon.kill()
                self.daemon.wait()

    def log_end(self, lines=12):
        path = f"{self.folder}/daemon.log"
        if not os.path.exists(path):
            return ""
        with open(path, encoding="utf-8", errors="replace") as log:
            return "--- the daemon's log, its end\n" + "".join(log.readlines()[-lines:])

    def remove_folder(self):
        """And what is mounted in it: engines keep mounts while they run."""
        with open("/proc/thread-self/mountinfo", encoding="utf-8") as lines:
            inside = [line.split()[4] for line in lines]
        for path in reversed([p for p in inside if p.startswith(self.folder + "/")]):
            subprocess.run(["umount", path], check=True)

        def gone():  # conmon's podman may still be writing there what it has cleaned up
            shutil.rmtree(self.folder, ignore_errors=True)
            return not os.path.exists(self.folder)

        wait_until(gone)


class Podman(Engine):
    """Has no daemon. conmon, of its own package, calls the runtime."""

    def __init__(self, folder, root, runtime, foreign):
        super().__init__(folder, root, f"{root}/usr/bin/podman")
        limits = 'default_ulimits = ["nofile=4096:4096", "nproc=4096:4096"]' if foreign else ""
        os.makedirs("/etc/containers", exist_ok=True)
        shutil.copy(f"{root}/usr/share/containers/seccomp.json", "/etc/containers")
        self.write("containers.conf", f"""\
[containers]
init_path = "{root}/usr/bin/catatonit"
{limits}
[engine]
cgroup_manager = "cgroupfs"
conmon_path = ["{root}/usr/bin/conmon"]
events_logger = "file"
runtime = "dropin"
runtime_supports_json = ["dropin"]
runtime_supports_nocgroup = ["dropin"]
tmp_dir = "{folder}/tmp"
volume_path = "{folder}/volumes"
[engine.runtimes]
dropin = ["{runtime}"]
[network]
network_backend = "cni"
network_config_dir = "{folder}/cni"
cni_plugin_dirs = ["{PLUGINS}"]
""")
        self.write("storage.conf", f"""\
[storage]
driver = "overlay"
graphroot = "{folder}/storage"
runroot = "{folder}/run"
""")
        self.write("policy.json", '{"default":[{"type":"insecureAcceptAnything"}]}')
        os.makedirs(f"{folder}/cni")
        self.write("cni/87-podman.conflist", BRIDGE.format(folder=folder))
        self.env.update(CONTAINERS_CONF=f"{folder}/containers.conf",
                        CONTAINERS_STORAGE_CONF=f"{folder}/storage.conf")

    def write(self, name, text):
        with open(f"{self.folder}/{name}", "w", encoding="utf-8") as file:
            file.write(text)

    def load(self, archive):
        self("load", "--signature-policy", f"{self.folder}/policy.json", "-i", archive)

    def state(self, container):
        return self("inspect", container).json[0]["State"]

    def stop(self):
        self.run("pod", "rm", "-fa", "-t", "0")
        self.run("rm", "-fa", "-t", "0")
        self.remove_folder()


class Containerd(Engine):
    """containerd with its own shim, and ctr; the kubelet's interface is at the same socket."""

    def __init__(self, folder, root, bin_folder, runtime, version):
        super().__init__(folder, root, f"{bin_folder}/ctr")
        self.socket, self.runtime = f"{folder}/s", runtime
        self.namespace = CGROUP.strip("/")
        self.env["PATH"] = f"{bin_folder}:{self.env['PATH']}"
        self.prefix += ["-a", self.socket, "-n", self.namespace]
        os.makedirs(f"{folder}/cni")
        cri = "io.containerd.grpc.v1.cri" if version == 2 else "io.containerd.cri.v1.runtime"
        pause = 'sandbox_image = "tare.test/pause:1"' if version == 2 else ""
        pinned = "" if version == 2 else """\
[plugins."io.containerd.cri.v1.images".pinned_images]
  sandbox = "tare.test/pause:1"
"""
        self.write_config(f"""\
version = {version}
root = "{folder}/root"
state = "{folder}/state"
[grpc]
  address = "{self.socket}"
{pinned}
[plugins."io.containerd.internal.v1.opt"]
  path = "{folder}/opt"
[plugins."{cri}"]
  restrict_oom_score_adj = true
  {pause}
[plugins."{cri}".cni]
  conf_dir = "{folder}/cni"
[plugins."{cri}".containerd]
  default_runtime_name = "dropin"
[plugins."{cri}".containerd.runtimes.dropin]
  runtime_type = "io.containerd.runc.v2"
  pod_annotations = ["dropin.test/*"]
[plugins."{cri}".containerd.runtimes.dropin.options]
  BinaryName = "{runtime}"
""")
        self.start_daemon([f"{bin_folder}/containerd", "--config", f"{folder}/config.toml"],
                          lambda: self.run("version").code == 0)

    def write_config(self, text):
        with open(f"{self.folder}/config.toml", "w", encoding="utf-8") as file:
            file.write(text)

    def load(self, archive):
        for namespace in (self.namespace, "k8s.io"):
            self("-n", namespace, "image", "import", archive)

    def options(self, *args):
        """ctr's arguments of a container with our runtime; the id follows the image."""
        return ["--runc-binary", self.runtime, *args]

    def stop(self):
        for namespace in (self.namespace, "k8s.io"):
            for row in self.run("-n", namespace, "task", "ls").rows:
                self.run("-n", namespace, "task", "rm", "-f", row[0])
        self.stop_daemon()
        self.remove_folder()


class Docker(Engine):
    """dockerd, with a containerd that it starts itself."""

    def __init__(self, folder, root, runtime):
        super().__init__(folder, root, f"{root}/usr/bin/docker")
        self.socket = f"{folder}/s"
        self.prefix += ["-H", f"unix://{self.socket}"]
        command = [f"{root}/usr/sbin/dockerd", "-H", f"unix://{self.socket}",
                   "--config-file", f"{folder}/daemon.json",
                   "--data-root", f"{folder}/data", "--exec-root", f"{folder}/exec",
                   "--pidfile", f"{folder}/pid", "--iptables=false", "--ip6tables=false",
                   "--ip-masq=false", "--userland-proxy=false", "--bip", "10.98.0.1/24",
                   "--cgroup-parent", CGROUP, "--add-runtime", f"dropin={runtime}",
                   "--default-runtime", "dropin", "--storage-driver", "overlay2",
                   "--init-path", f"{root}/usr/bin/docker-init", "--exec-opt",
                   "native.cgroupdriver=cgroupfs"]
        with open(f"{folder}/daemon.json", "w", encoding="utf-8") as file:
            file.write("{}")
        self.start_daemon(command, lambda: self.run("version").code == 0)

    def load(self, archive):
        self("load", "-i", archive)

    def state(self, container):
        return self("inspect", container).json[0]["State"]

    def stop(self):
        names = self.run("ps", "-aq").out.split()
        if names:
            self.run("rm", "-f", *names)
        self.stop_daemon()
        self.remove_folder()
