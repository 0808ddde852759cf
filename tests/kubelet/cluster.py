# SPDX-License-Identifier: Apache-2.0
"""A control plane of one API server, and a kubelet that runs its pods on a node of the tests.

etcd, kube-apiserver and the kubelet run in the namespaces of a support.node.Node, with their files
in its folder. There is no scheduler and no controller: a pod names its node.
"""
import fcntl
import json
import os
import pty
import select
import shutil
import signal
import struct
import subprocess
import termios
import time

from support import leaks
from support.node import Result, remove_cgroups, wait_until

NODE = "tare-node"
TOKEN = "a-token-of-the-tests"
API = "https://127.0.0.1:6443"
ADDRESS = "10.89.0.1"  # the node's: the kubelet takes none of 127.0.0.0/8
KUBECONFIG = {
    "apiVersion": "v1",
    "kind": "Config",
    "clusters": [{"name": "c", "cluster": {"server": API, "insecure-skip-tls-verify": True}}],
    "users": [{"name": "u", "user": {"token": TOKEN}}],
    "contexts": [{"name": "x", "context": {"cluster": "c", "user": "u"}}],
    "current-context": "x",
}


class Cluster:
    """start() it, kubectl() to it, stop() it."""

    def __init__(self, node, programs, etcd):
        self.node, self.programs, self.etcd = node, programs, etcd
        self.folder = node.path("kubernetes")
        self.cgroup = f"{node.cgroup}/kubernetes"
        self.processes = []
        self.logs = {}
        for name in ("manifests", "kubelet", "logs", "certs", "plugins", "etcd"):
            os.makedirs(self.path(name))

    def path(self, *parts):
        return os.path.join(self.folder, *parts)

    def _run(self, name, *command):
        self.logs[name] = self.path(f"{name}.log")
        with open(self.logs[name], "wb") as log:
            process = subprocess.Popen(
                self.node.inside_command(*command), stdin=subprocess.DEVNULL, stdout=log,
                stderr=log, cwd=self.folder, env=dict(os.environ, HOME=self.folder))
        self.node.helpers.add(process.pid)
        self.processes.append((name, process))

    def _alive(self):
        for name, process in self.processes:
            assert process.poll() is None, f"{name} ended with {process.returncode}:\n" + \
                self.log(name)

    def log(self, name, lines=15):
        with open(self.logs[name], encoding="utf-8", errors="replace") as log:
            return "".join(line[:300] + "\n" for line in log.read().splitlines()[-lines:])

    def _write(self, name, content):
        with open(self.path(name), "w", encoding="utf-8") as file:
            file.write(content if isinstance(content, str) else json.dumps(content))
        return self.path(name)

    def start(self):
        """Returns when the node is registered and ready."""
        # What the kubelet writes at places that no option moves.
        for folder in ("/var/log", "/var/lib"):
            self.node.inside("mount", "-t", "tmpfs", "tmpfs", folder)
        self.node.inside("ip", "address", "add", f"{ADDRESS}/32", "dev", "lo")
        self._make_cgroups()
        self._start_api()
        self._start_kubelet()
        wait_until(self.ready, 60, "the node to be ready")

    def _start_api(self):
        key = self.path("service-account.key")
        subprocess.run(["openssl", "genrsa", "-out", key, "2048"], check=True,
                       stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        tokens = self._write("tokens.csv", f'{TOKEN},admin,admin,"system:masters"\n')
        self._write("kubeconfig", KUBECONFIG)
        self._run("etcd", self.etcd, "--data-dir", self.path("etcd"), "--unsafe-no-fsync",
                  "--listen-client-urls", "http://127.0.0.1:2379",
                  "--advertise-client-urls", "http://127.0.0.1:2379",
                  "--listen-peer-urls", "http://127.0.0.1:2380")
        self._run("kube-apiserver", os.path.join(self.programs, "kube-apiserver"),
                  "--etcd-servers", "http://127.0.0.1:2379",
                  "--service-account-issuer", API, "--service-account-key-file", key,
                  "--service-account-signing-key-file", key, "--token-auth-file", tokens,
                  "--authorization-mode", "AlwaysAllow", "--cert-dir", self.path("certs"),
                  "--bind-address", "127.0.0.1", "--advertise-address", "127.0.0.1",
                  "--secure-port", "6443", "--service-cluster-ip-range", "10.96.0.0/24",
                  "--disable-admission-plugins", "ServiceAccount",
                  "--kubelet-preferred-address-types", "InternalIP")
        wait_until(self._api_answers, 90, "the API server to answer")

    def _api_answers(self):
        self._alive()
        return self.kubectl("get", "--raw", "/readyz", ok=None).out == "ok"

    def _start_kubelet(self):
        config = {
            "apiVersion": "kubelet.config.k8s.io/v1beta1",
            "kind": "KubeletConfiguration",
            "staticPodPath": self.path("manifests"),
            "authentication": {"anonymous": {"enabled": True}, "webhook": {"enabled": False}},
            "authorization": {"mode": "AlwaysAllow"},
            "address": ADDRESS,
            "healthzPort": 0,
            "failCgroupV1": False,
            "failSwapOn": False,
            "cgroupRoot": self.cgroup,
            "cgroupDriver": "cgroupfs",
            "enforceNodeAllocatable": [],
            "evictionHard": {},
            "makeIPTablesUtilChains": False,
            "containerRuntimeEndpoint": f"unix://{self.node.socket}",
            "podLogsDir": self.path("logs"),
            "volumePluginDir": self.path("plugins"),
            "imageGCHighThresholdPercent": 100,
            "nodeStatusUpdateFrequency": "2s",
            "syncFrequency": "1s",
            "featureGates": {"PodAndContainerStatsFromCRI": True},  # of pods it reads no cgroup
        }
        self._run("kubelet", os.path.join(self.programs, "kubelet"),
                  "--config", self._write("kubelet.json", config),
                  "--kubeconfig", self.path("kubeconfig"), "--root-dir", self.path("kubelet"),
                  "--cert-dir", self.path("certs"), "--hostname-override", NODE,
                  "--node-ip", ADDRESS)

    def ready(self):
        self._alive()
        node = self.kubectl("get", "node", NODE, "-o", "json", ok=None)
        if node.code != 0:
            return False
        conditions = {c["type"]: c["status"] for c in node.json["status"].get("conditions", [])}
        return conditions.get("Ready") == "True"

    def _make_cgroups(self):
        """The kubelet makes none above its own. A new cpuset has nothing until it is given."""
        for root in leaks.cgroup_hierarchies():
            folder = root
            for name in self.cgroup.strip("/").split("/"):
                parent, folder = folder, f"{folder}/{name}"
                os.makedirs(folder, exist_ok=True)
                for file in ("cpuset.cpus", "cpuset.mems"):
                    if os.path.exists(f"{folder}/{file}"):
                        shutil.copyfile(f"{parent}/{file}", f"{folder}/{file}")

    # --- as a user ---

    def kubectl_command(self, *args):
        return self.node.inside_command(os.path.join(self.programs, "kubectl"), "--kubeconfig",
                                        self.path("kubeconfig"), *args)

    def kubectl(self, *args, ok=True, stdin=""):
        """Runs it to its end; ok None: whatever it says."""
        done = subprocess.run(self.kubectl_command(*args), check=False, input=stdin, text=True,
                              stdout=subprocess.PIPE, stderr=subprocess.PIPE, timeout=60,
                              env=dict(os.environ, HOME=self.folder))
        if ok is not None:
            assert (done.returncode == 0) == ok, \
                f"kubectl {args}: {done.returncode}\n{done.stdout}\n{done.stderr}"
        return Result(done)

    def run_pod(self, pod):
        self.kubectl("apply", "-f", "-", stdin=json.dumps(pod))
        return self.wait_ready(pod["metadata"]["name"])

    def pod(self, name):
        """What the API server has; None when there is none."""
        found = self.kubectl("get", "pod", name, "-o", "json", ok=None)
        return found.json if found.code == 0 else None

    def wait_ready(self, name, seconds=60):
        def ready():
            self._alive()
            conditions = ((self.pod(name) or {}).get("status") or {}).get("conditions", [])
            return any(c["type"] == "Ready" and c["status"] == "True" for c in conditions)

        try:
            wait_until(ready, seconds, f"pod {name} to be ready")
        except AssertionError as error:
            events = self.kubectl("get", "events", ok=None).out
            raise AssertionError(f"{error}\n{events}\n{self.log('kubelet')}") from error
        return self.pod(name)

    def stop(self):
        for name, process in reversed(self.processes):
            process.send_signal(signal.SIGTERM if name == "kubelet" else signal.SIGKILL)
            try:
                process.wait(20)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
        self.processes = []

    def remove(self):
        """After the pods are gone: what the kubelet leaves."""
        deadline = time.monotonic() + 10
        while time.monotonic() < deadline:
            try:
                remove_cgroups(self.cgroup)
                break
            except OSError:
                time.sleep(0.1)
        with open(f"/proc/{self.node.holder.pid}/mountinfo", encoding="utf-8") as mounts:
            below = [line.split()[4] for line in mounts]
        for mount in reversed([path for path in below if path.startswith(self.folder)]):
            self.node.inside("umount", mount)
        for folder in ("/var/lib", "/var/log"):
            self.node.inside("umount", folder)
        shutil.rmtree(self.folder)


class Terminal:
    """kubectl on a terminal of 33 lines of 101 columns."""

    def __init__(self, cluster, *args):
        self.master, slave = pty.openpty()
        self.text = ""
        self.resize(33, 101)
        self.process = subprocess.Popen(
            cluster.kubectl_command(*args), stdin=slave, stdout=slave, stderr=slave,
            start_new_session=True, env=dict(os.environ, HOME=cluster.folder))
        os.close(slave)
        cluster.node.helpers.add(self.process.pid)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        os.close(self.master)

    def resize(self, lines, columns):
        fcntl.ioctl(self.master, termios.TIOCSWINSZ, struct.pack("HHHH", lines, columns, 0, 0))
        if hasattr(self, "process"):
            self.process.send_signal(signal.SIGWINCH)

    def say(self, text):
        os.write(self.master, text.encode())

    def seen(self, text, seconds):
        """True when text has come; what was before it is forgotten."""
        end = time.monotonic() + seconds
        while text not in self.text:
            left = end - time.monotonic()
            if left <= 0 or not select.select([self.master], [], [], left)[0]:
                return False
            try:
                self.text += os.read(self.master, 4096).decode(errors="replace")
            except OSError:
                return False
        self.text = self.text.partition(text)[2]
        return True

    def expect(self, text):
        assert self.seen(text, 20), f"no {text!r} in {self.text!r}"

    def end(self):
        """The exit status."""
        return self.process.wait(20)
