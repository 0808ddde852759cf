# SPDX-License-Identifier: Apache-2.0
"""A node for tests: tared in a mount and a network namespace of its own, with folders of its own.

The namespaces are held by a process, so that tared can be killed and started again in them. What
the daemon and its pods may leave anywhere is compared with what was there before the first start.
"""

import errno
import glob
import json
import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time

from support import images, leaks
from support.cri import Client, CriError

CGROUP = f"/tare-test-node-{os.getpid()}"
PLUGINS = "/usr/lib/cni"
HOLDER = "mount -t tmpfs tmpfs /run/netns && ip link set lo up && echo ready && exec sleep 100000"
CONFIG = """\
root = "{folder}/root"
state = "{folder}/state"
listen = "unix://{folder}/s"
log_level = "{log_level}"
cgroup_parent = "{parent}"
shim_cgroup = "{cgroup}/shims"
cdi_spec_dirs = ["{folder}/cdi", "{folder}/cdi-run"]
[cni]
conf_dir = "{folder}/cni"
bin_dirs = ["{folder}/plugins", "{plugins}"]
cache_dir = "{folder}/cni-cache"
timeout_s = {cni_timeout}
[registry]
config_path = "{folder}/certs.d"
"""


def wait_until(condition, seconds=10.0, what="a condition"):
    """The first true value of condition()."""
    end = time.monotonic() + seconds
    while True:
        value = condition()
        if value:
            return value
        assert time.monotonic() < end, f"waited {seconds} s for {what}"
        time.sleep(0.01)


def stat_of(pid):
    """The fields of /proc/PID/stat from the state on; none when it is gone."""
    try:
        with open(f"/proc/{pid}/stat", encoding="utf-8", errors="replace") as stat:
            return stat.read().rpartition(")")[2].split()
    except OSError:
        return []


def running(pid):
    """True for a process that is there and no zombie."""
    return (stat_of(pid) or "X")[0] not in "ZX"


def identity(pid):
    """A process's number and start time: numbers come again."""
    fields = stat_of(pid)
    return (pid, fields[19]) if fields else (pid, None)


def cgroup_path(cgroup, controller="memory"):
    """The folder of a cgroup in the hierarchy of a controller (version 1 or 2)."""
    for root in leaks.cgroup_hierarchies():
        if controller in os.path.basename(root).split(",") and os.path.isdir(root + cgroup):
            return root + cgroup
    return "/sys/fs/cgroup" + cgroup


def cgroup_folders(cgroup):
    return [
        folder for root in leaks.cgroup_hierarchies() for folder, _, _ in os.walk(root + cgroup)
    ]


def removed(folder):
    """Not one in which there is somebody still."""
    try:
        os.rmdir(folder)
    except FileNotFoundError:
        pass
    except OSError as error:
        if error.errno != errno.EBUSY:
            raise
        return False
    return True


def remove_cgroups(cgroup):
    """A process that has ended is in its cgroup until it is reaped: orphans, by others."""
    for folder in sorted(cgroup_folders(cgroup), reverse=True):
        wait_until(lambda path=folder: removed(path), what=f"{folder} to be empty")


class Result:
    """What a program printed."""

    def __init__(self, done):
        self.code, self.out, self.err = done.returncode, done.stdout, done.stderr

    @property
    def json(self):
        return json.loads(self.out)

    @property
    def text(self):
        return self.out.strip()


class Node:
    """Folders, namespaces and a configuration; start() and kill() tared as often as you like."""

    count = 0

    def __init__(self, build, services, crictl=None, cni_timeout=20, log_level="debug",
                 cgroup_parent=None, config="", hide=()):
        """config: more of it, tables; hide: folders that are empty in the node's namespace."""
        Node.count += 1
        self.build, self.services, self.crictl_path = build, services, crictl
        self.folder = tempfile.mkdtemp(prefix="tn")
        os.chmod(self.folder, 0o711)
        self.cgroup = f"{CGROUP}/n{Node.count}"
        self.socket = self.path("s")
        self.log_path = self.path("tared.log")
        for name in ("cni", "plugins", "logs", "certs.d", "requests"):
            os.mkdir(self.path(name))
        with open(self.path("config.toml"), "w", encoding="utf-8") as file:
            file.write(
                CONFIG.format(
                    folder=self.folder,
                    cgroup=self.cgroup,
                    parent=cgroup_parent or f"{self.cgroup}/pods",
                    plugins=PLUGINS,
                    cni_timeout=cni_timeout,
                    log_level=log_level,
                )
                + config
            )
        with open(self.path("crictl.yaml"), "w", encoding="utf-8") as config:
            config.write(
                f"runtime-endpoint: unix://{self.socket}\nimage-endpoint: unix://{self.socket}\n"
                "timeout: 30\n"
            )
        self.write_network()
        self.process = self.client = None
        self.pids = set()
        self.helpers = set()  # processes of the tests' own in the node's namespaces
        self.holder = self._hold(hide)
        self.before = self._kernel_state()
        self.counter = 0

    def path(self, *parts):
        return os.path.join(self.folder, *parts)

    # --- namespaces ---

    def _hold(self, hide):
        os.makedirs("/run/netns", exist_ok=True)
        holder = subprocess.Popen(
            ["unshare", "--mount", "--net", "--propagation", "private", "sh", "-c",
             "".join(f"umount {folder} && " for folder in hide) + HOLDER],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            text=True,
        )
        assert holder.stdout.readline() == "ready\n", "the namespaces cannot be made"
        return holder

    def inside(self, *command, **options):
        """Runs a program in the node's namespaces."""
        options.setdefault("stdin", subprocess.DEVNULL)
        return subprocess.run(
            self.inside_command(*command),
            check=False,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            timeout=60,
            **options,
        )

    def inside_command(self, *command):
        return [
            "nsenter",
            "--target",
            str(self.holder.pid),
            "--mount",
            "--net",
            "--",
            *map(str, command),
        ]

    # --- network configuration ---

    def write_network(self, plugins=None, name="10-test.conflist"):
        """The bridge with host-local addresses and portmap, or plugins of a test's own."""
        bridge = {
            "type": "bridge",
            "bridge": "tare0",
            "isGateway": True,
            "ipMasq": False,
            "ipam": {
                "type": "host-local",
                "dataDir": self.path("ipam"),
                "ranges": [[{"subnet": "10.88.0.0/16"}]],
                "routes": [{"dst": "0.0.0.0/0"}],
            },
        }
        portmap = {"type": "portmap", "capabilities": {"portMappings": True}, "snat": True}
        with open(self.path("cni", name), "w", encoding="utf-8") as file:
            json.dump(
                {
                    "cniVersion": "1.0.0",
                    "name": "test",
                    "plugins": [bridge, portmap] if plugins is None else plugins,
                },
                file,
            )

    def add_plugin(self, name, script):
        """A plugin that is a shell script; it finds the node's folder in $NODE."""
        path = self.path("plugins", name)
        with open(path, "w", encoding="utf-8") as file:
            file.write(f"#!/bin/sh\nNODE={self.folder}\n{script}\n")
        os.chmod(path, 0o755)

    # --- the daemon ---

    def command(self, *more):
        return self.inside_command(
            os.path.join(self.build, "src/cmd/tared"), "--config", self.path("config.toml"), *more
        )

    def start(self, fault=None):
        """Starts tared and waits until it serves."""
        assert self.process is None
        env = dict(os.environ)
        env.pop("TARE_FAULT", None)
        # The image worker confines itself: the leak checker of a sanitizer build cannot look at it.
        env["ASAN_OPTIONS"] = f"{env.get('ASAN_OPTIONS', '')}:detect_leaks=0"
        if fault:
            env["TARE_FAULT"] = fault
        with open(self.log_path, "ab") as log:
            self.process = subprocess.Popen(
                self.command(), env=env, stdin=subprocess.DEVNULL, stdout=log, stderr=log
            )
        self.client = Client(self.socket, self.services)
        wait_until(self._serves, what="tared to serve")
        return self

    def _serves(self):
        assert (
            self.process.poll() is None
        ), f"tared ended with {self.process.returncode}:\n{self.log()}"
        with socket.socket(socket.AF_UNIX) as sock:
            if sock.connect_ex(self.socket) != 0:
                return False
        try:
            return self.client.Version(deadline=5)
        except CriError:  # a socket of the one before it, which a child of that one held
            self.client.close()
            self.client = Client(self.socket, self.services)
            return False

    def kill(self, signo=signal.SIGKILL):
        """Ends tared; its exit status."""
        if self.process.poll() is None:
            self.process.send_signal(signo)
        return self.wait_end()

    def wait_end(self, seconds=20):
        """tared ends by itself (or at once, after kill())."""
        status = self.process.wait(seconds)
        self.process = None
        self.client.close()
        self.client = None
        return status

    def restart(self, fault=None):
        self.kill()
        return self.start(fault)

    def log(self):
        with open(self.log_path, encoding="utf-8", errors="replace") as log:
            return log.read()

    # --- requests ---

    def crictl(self, *args, ok=True, timeout=60):
        """Runs the real crictl; ok None: whatever it says."""
        done = subprocess.run(
            [self.crictl_path, "--config", self.path("crictl.yaml"), *map(str, args)],
            check=False,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            errors="replace",
            timeout=timeout,
        )
        result = Result(done)
        if ok is not None:
            said = f"crictl {args}: {done.returncode}\n{done.stdout}\n{done.stderr}"
            assert (done.returncode == 0) == ok, said
        return result

    def request_file(self, config):
        """A file that crictl reads."""
        self.counter += 1
        path = self.path("requests", f"{self.counter}.json")
        with open(path, "w", encoding="utf-8") as file:
            json.dump(config, file)
        return path

    def pod_config(self, **more):
        self.counter += 1
        config = {
            "metadata": {
                "name": f"pod{self.counter}",
                "namespace": "test",
                "uid": f"u{self.counter}",
            },
            "hostname": "pod-host",
            "log_directory": self.path("logs", f"pod{self.counter}"),
            "linux": {},
        }
        config.update(more)
        return config

    def container_config(self, command=("sleep", "1000"), **more):
        self.counter += 1
        name = f"ctr{self.counter}"
        config = {
            "metadata": {"name": name},
            "image": {"image": images.NAME},
            "log_path": f"{name}.log",
            "linux": {},
        }
        if command:
            config["command"] = list(command)
        config.update(more)
        return config

    def load_image(self, layout, reference=""):
        """The image's id."""
        self.client.ImportImage(path=layout, reference=reference)
        name = reference or images.NAME
        return self.client.ImageStatus(image={"image": name}).image.id

    def run_pod(self, handler="", **more):
        config = self.pod_config(**more)
        made = self.client.RunPodSandbox(config=config, runtime_handler=handler)
        return Pod(self, made.pod_sandbox_id, config)

    def wait_state(self, container, state, seconds=10):
        """The status of a container once it is CREATED, RUNNING or EXITED."""
        wanted = {"CREATED": 0, "RUNNING": 1, "EXITED": 2}[state]

        def status():
            now = self.client.ContainerStatus(container_id=container).status
            return now if now.state == wanted else None

        return wait_until(status, seconds, f"container {container[:13]} to be {state}")

    def remove_everything(self):
        """Pods with their containers; images stay."""
        for pod in self.client.ListPodSandbox().items:
            self.note_pids()
            self.client.RemovePodSandbox(pod_sandbox_id=pod.id, deadline=60)

    # --- what is left ---

    def note_pids(self):
        """Remembers every process of the node, to look for it at the end."""
        self.pids |= {identity(pid) for pid in self.processes()}

    def processes(self):
        """Processes in the node's cgroups or namespaces, but for the daemon and the holder."""
        found = set()
        for folder in cgroup_folders(self.cgroup):
            try:
                with open(os.path.join(folder, "cgroup.procs"), encoding="utf-8") as procs:
                    found |= {int(pid) for pid in procs.read().split()}
            except OSError:
                pass
        ours = {self.holder.pid, self.process.pid if self.process else 0} | self.helpers
        ours |= self.samplers()
        spaces = {self._namespace(self.holder.pid, kind) for kind in ("mnt", "net")}
        for pid in map(int, filter(str.isdigit, os.listdir("/proc"))):
            if {self._namespace(pid, kind) for kind in ("mnt", "net")} & spaces:
                found.add(pid)
        return sorted(pid for pid in found - ours if running(pid))

    def samplers(self):
        """The processes that read statistics for the daemon; they come and go with questions."""
        return {
            pid
            for pid in map(int, filter(str.isdigit, os.listdir("/proc")))
            if self.process
            and (stat_of(pid) or [""] * 2)[1] == str(self.process.pid)
            and leaks.command_of(pid).startswith(("tare-sampler", "tare-exporter"))
        }

    @staticmethod
    def _namespace(pid, kind):
        try:
            return os.readlink(f"/proc/{pid}/ns/{kind}")
        except OSError:
            return f"none {pid} {kind}"

    def _kernel_state(self):
        with open(f"/proc/{self.holder.pid}/mountinfo", encoding="utf-8") as lines:
            mounts = {"mount " + " ".join(line.split()[3:5]) for line in lines}
        with open(f"/proc/{self.holder.pid}/net/dev", encoding="utf-8") as lines:
            links = {"link " + line.split(":")[0].strip() for line in lines if ":" in line}
        return mounts | links - {"link tare0"}

    def _left_now(self):
        noted = {who[0] for who in self.pids if identity(who[0]) == who and running(who[0])}
        found = [
            f"process {pid}: {leaks.command_of(pid)}"
            for pid in sorted(set(self.processes()) | noted - self.samplers())
        ]
        found += sorted(self._kernel_state() - self.before)
        found += [
            f"cgroup {folder}"
            for folder in cgroup_folders(self.cgroup)
            if not folder.endswith(self.cgroup)
        ]
        pins = f"/proc/{self.holder.pid}/root/run/netns"
        found += [f"pin {name}" for name in os.listdir(pins)]
        for pattern in (
            "state/pods/*",
            "root/containers/*",
            "root/content/ingest/*",
            "root/content/trash/*",
            "cni-cache/results/*",
            "ipam/test/*.*.*.*",
        ):
            found += glob.glob(self.path(pattern))
        return [line for line in found if not os.path.basename(line).startswith("last_reserved_ip")]

    def assert_nothing_left(self, patience=5.0):
        """No pod, and nothing of one; what is under way may end within patience (seconds)."""
        pods = self.client.ListPodSandbox().items if self.client else []
        assert not pods, f"pods are left: {pods}"
        containers = self.client.ListContainers().containers if self.client else []
        assert not containers, f"containers are left: {containers}"
        end = time.monotonic() + patience
        while True:
            left = self._left_now()
            if not left:
                return
            assert time.monotonic() < end, "left behind:\n" + "\n".join(left)
            time.sleep(0.01)

    def stop(self):
        """The end: pods by request, then what a failed test left, by what is known of it."""
        try:
            if self.process is None and not self.pids and not self.processes():
                return
            if self.process is None or self.process.poll() is not None:
                self.process = None
                self.start()
            self.remove_everything()
            self.assert_nothing_left()
            self.client.close()  # or tared waits: nobody reads its goodbye while this one is idle
            assert self.kill(signal.SIGTERM) == 0, self.log()
        finally:
            self.wipe()

    def wipe(self):
        """Ends and removes all of it, whatever state it is in."""
        if self.client:
            self.client.close()
        if self.process and self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        self.process = None
        self.helpers.clear()
        for _ in range(100):
            left = self.processes()
            for pid in left:
                try:
                    os.kill(pid, signal.SIGKILL)
                except ProcessLookupError:
                    pass
            if not left:
                break
            time.sleep(0.02)
        self.holder.kill()
        self.holder.wait()
        self.holder.stdout.close()
        remove_cgroups(self.cgroup)
        shutil.rmtree(self.folder, ignore_errors=True)


class Pod:
    """A pod, and its containers by short calls."""

    def __init__(self, node, pod_id, config):
        self.node, self.id, self.config = node, pod_id, config

    def create(self, command=("sleep", "1000"), **more):
        config = self.node.container_config(command, **more)
        made = self.node.client.CreateContainer(
            pod_sandbox_id=self.id, config=config, sandbox_config=self.config
        )
        return Container(self, made.container_id, config)

    def run(self, command=("sleep", "1000"), **more):
        container = self.create(command, **more)
        container.start()
        return container

    def output(self, command, **more):
        """What a container prints that runs to its end with status 0."""
        container = self.run(command, **more)
        status = container.wait()
        assert status.exit_code == 0, f"{status}\n{container.log()}"
        return container.text()

    def shell(self, script, **more):
        return self.output(["sh", "-c", script], **more)

    def status(self):
        return self.node.client.PodSandboxStatus(pod_sandbox_id=self.id, verbose=True)

    def info(self):
        return json.loads(self.status().info["info"])

    def stop(self):
        self.node.note_pids()
        self.node.client.StopPodSandbox(pod_sandbox_id=self.id)

    def remove(self):
        self.node.note_pids()
        self.node.client.RemovePodSandbox(pod_sandbox_id=self.id)


class Container:
    def __init__(self, pod, container_id, config):
        self.pod, self.node, self.id, self.config = pod, pod.node, container_id, config
        self.log_path = os.path.join(
            pod.config.get("log_directory", ""), config.get("log_path", "")
        )

    def start(self):
        self.node.client.StartContainer(container_id=self.id)
        return self

    def status(self):
        return self.node.client.ContainerStatus(container_id=self.id).status

    def info(self):
        answer = self.node.client.ContainerStatus(container_id=self.id, verbose=True)
        return json.loads(answer.info["info"])

    @property
    def spec(self):
        return self.info()["runtimeSpec"]

    @property
    def pid(self):
        return self.info()["pid"]

    def wait(self, seconds=10):
        """The status after its end."""
        return self.node.wait_state(self.id, "EXITED", seconds)

    def exec(self, *command, timeout=0):
        return self.node.client.ExecSync(container_id=self.id, cmd=list(command), timeout=timeout)

    def stop(self, timeout=0):
        self.node.client.StopContainer(container_id=self.id, timeout=timeout)

    def remove(self):
        self.node.client.RemoveContainer(container_id=self.id)

    def log(self):
        """The log file's records as (stream, tag, text)."""
        with open(self.log_path, encoding="utf-8", errors="replace", newline="\n") as log:
            return [tuple(line.split(" ", 3)[1:]) for line in log.read().split("\n") if line]

    def text(self):
        """Standard output without the log's form."""
        return "".join(
            text + ("" if tag == "P" else "\n")
            for stream, tag, text in self.log()
            if stream == "stdout"
        )

    def cgroup_file(self, controller, name):
        path = self.info()["runtimeSpec"]["linux"]["cgroupsPath"]
        with open(os.path.join(cgroup_path(path, controller), name), encoding="utf-8") as file:
            return file.read().strip()
