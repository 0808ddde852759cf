# SPDX-License-Identifier: Apache-2.0
"""Lives of pods: what the clients of a soak do, and how they take errors.

A life begins with RunPodSandbox and ends with RemovePodSandbox. While faults are at work a call may
fail with one of EXPECTED; any other code is a problem, whatever the fault.
"""
import collections
import os
import random
import re
import socket
import statistics
import sys
import threading
import time
import traceback
from urllib.parse import urlparse

from support import images, websocket
from support.cri import Code, CriError
from support.isolation import within_network

DEADLINE = 40
# Of a daemon or a supervisor that dies, of what its undoing or its next life has done meanwhile,
# and of a client that went away.
EXPECTED = (Code.UNAVAILABLE, Code.NOT_FOUND, Code.ALREADY_EXISTS, Code.FAILED_PRECONDITION,
            Code.CANCELLED, Code.ABORTED)
PLUGIN_FAULTS = ("faulty-bridge (ADD): a fault", "faulty-bridge (DEL): a fault",
                 "faulty-bridge (ADD): it did not end in time and was killed")
# "SIGKILL tare-shim" and "SIGKILL tare-image" may hit a child of the same name
KILLED = re.compile("its process ended by signal 9 at step '|the image worker ended with 137|"
                    "init ended without a word|tare-pause ended before it was executed")
PROTOCOL = "v5.channel.k8s.io"
STDIN, STDOUT = 0, 1


class Calls:
    """How long calls took, and what they said."""

    def __init__(self):
        self.lock = threading.Lock()
        self.times = collections.defaultdict(list)
        self.errors = collections.defaultdict(collections.Counter)
        self.unexpected = collections.Counter()

    def note(self, verb, seconds, error=None):
        with self.lock:
            if error is None:
                self.times[verb].append(seconds * 1000)
                return
            code, text = error
            self.errors[verb][code.name] += 1
            if not (code in EXPECTED or text.endswith(PLUGIN_FAULTS) or KILLED.search(text)):
                self.unexpected[f"{verb}: {code.name}: {text}"] += 1

    def rows(self):
        for verb in sorted(set(self.times) | set(self.errors)):
            times = sorted(self.times[verb]) or [0.0]
            errors = ", ".join(f"{name} {n}" for name, n in sorted(self.errors[verb].items()))
            yield (f"| {verb} | {len(self.times[verb])} | {statistics.median(times):.1f} | "
                   f"{times[int(len(times) * 0.95)]:.1f} | {times[-1]:.0f} | {errors} |")

    def problems(self):
        return [f"{n} times {text}" for text, n in self.unexpected.most_common(20)]


class Watch(threading.Thread):
    """One client of GetContainerEvents all the time, that comes back when it is cut off."""

    def __init__(self, shared):
        super().__init__(daemon=True)
        self.shared, self.seen, self.ended = shared, 0, False
        self.call = None
        self.start()

    def run(self):
        while not self.ended:
            client = self.shared.node.client
            try:
                if client:
                    self.call = client.stream("GetContainerEvents", deadline=None)
                    for _ in self.call:
                        self.seen += 1
            except (CriError, ValueError):
                pass
            time.sleep(0.05)

    def stop(self):
        self.ended = True
        if self.call:
            self.call.cancel()

    def problems(self):
        return [] if self.seen else ["no container event was seen"]


class Shared:
    """What all clients have in common."""

    def __init__(self, node, layout):
        self.node, self.layout = node, layout
        self.calls = Calls()
        self.lives = 0
        self.lock = threading.Lock()
        self.faults_at_work = threading.Event()
        self.watch = Watch(self)

    def ask(self, verb, tries=1, deadline=DEADLINE, **fields):
        """The answer; None after an error that a fault explains. tries: UNAVAILABLE, once more."""
        for left in reversed(range(tries)):
            began = time.monotonic()
            client = self.node.client
            try:
                if client:
                    answer = getattr(client, verb)(deadline=deadline, **fields)
                    self.calls.note(verb, time.monotonic() - began)
                    return answer
            except CriError as error:
                self.calls.note(verb, time.monotonic() - began, (error.code(), error.details()))
                if error.code() != Code.UNAVAILABLE:
                    return None
            except ValueError:  # the client of a daemon that is gone
                pass
            if left:
                time.sleep(0.1)
        return None


class Life:
    """One pod's."""

    def __init__(self, shared, name, draw, **linux):
        self.shared, self.ask, self.name, self.draw = shared, shared.ask, name, draw
        self.containers = 0
        self.config = {
            "metadata": {"name": name, "namespace": "soak", "uid": name},
            "hostname": "soak",
            "log_directory": shared.node.path("logs", name),
            "linux": {"security_context": linux.pop("context", {}), **linux},
        }
        made = self.ask("RunPodSandbox", tries=20, config=self.config)
        self.pod = made.pod_sandbox_id if made else None

    def run(self, *command, **more):
        """A container's id once it runs; None."""
        self.containers += 1
        config = {
            "metadata": {"name": f"c{self.containers}"},
            "image": {"image": images.NAME},
            "linux": {},
            "command": list(command) or ["sleep", "1000"],
            "log_path": f"c{self.containers}.log",
            **more,
        }
        made = self.ask("CreateContainer", pod_sandbox_id=self.pod, config=config,
                        sandbox_config=self.config)
        if not made or not self.ask("StartContainer", tries=5, container_id=made.container_id):
            return None
        return made.container_id

    def exec(self, container, *command, code=0):
        answer = self.ask("ExecSync", container_id=container, cmd=list(command), timeout=20)
        if answer and answer.exit_code != code and not self.shared.faults_at_work.is_set():
            raise AssertionError(f"{self.name}: exec {command}: {answer}")

    def session(self, url, say):
        """The channels of a WebSocket session until it is closed; None when it breaks off."""
        parts = urlparse(url)
        head, _ = websocket.handshake(parts.path, [PROTOCOL], parts.netloc)
        try:
            place = (parts.hostname, parts.port)
            sock = within_network(self.shared.node.holder.pid,
                                  lambda: socket.create_connection(place, 20))
        except OSError:
            return None
        with sock:
            try:
                sock.settimeout(20)
                sock.sendall(head)
                answer = b""
                while b"\r\n\r\n" not in answer:
                    data = sock.recv(4096)
                    if not data:
                        return None
                    answer += data
                if not answer.startswith(b"HTTP/1.1 101"):
                    return None
                rest = answer.partition(b"\r\n\r\n")[2]
                channels = websocket.Channels(
                    websocket.WebSocket(lambda: sock.recv(65536), sock.sendall, rest))
                say(channels)
                channels.wait_closed()
                return channels
            except (OSError, websocket.Closed):
                return None

    def stream(self, container):
        """An exec session that echoes."""
        answer = self.ask("Exec", container_id=container, cmd=["cat"], stdin=True, stdout=True,
                          stderr=True)
        if not answer:
            return
        text = os.urandom(3000).hex().encode()

        def say(channels):
            channels.write(STDIN, text)
            channels.end(STDIN)

        began = time.monotonic()
        channels = self.session(answer.url, say)
        if channels and channels[STDOUT] == text:
            self.shared.calls.note("exec session", time.monotonic() - began)
        elif not self.shared.faults_at_work.is_set():
            raise AssertionError(f"{self.name}: exec session: {channels and channels.data}")

    def attach(self, container):
        """Reads what the container says by itself, and goes away in the middle."""
        answer = self.ask("Attach", container_id=container, stdout=True, stderr=True)
        if answer:
            self.session(answer.url, lambda channels: channels.wait(lambda: channels.count > 3)
                         or channels.socket.frame(websocket.CLOSE, b"\x03\xe8"))

    def look(self):
        for verb in ("ListPodSandbox", "ListContainers", "ListContainerStats",
                     "ListPodSandboxStats", "ImageFsInfo", "ListImages", "ListPodSandboxMetrics"):
            self.ask(verb)
        self.ask("Status", verbose=True)
        self.ask("PodSandboxStatus", pod_sandbox_id=self.pod, verbose=True)

    def end(self, gracefully=False):
        if gracefully:
            self.ask("StopPodSandbox", tries=3, pod_sandbox_id=self.pod)
        self.ask("RemovePodSandbox", tries=5, pod_sandbox_id=self.pod)
        with self.shared.lock:
            self.shared.lives += 1


# --- kinds of lives -------------------------------------------------------------------------------

def plain(shared, name, draw=random):
    """A web server's: starts, is probed, stops within its grace."""
    life = Life(shared, name, draw)
    if not life.pod:
        return
    container = life.run("sh", "-c", "trap 'exit 0' TERM; while :; do echo line; sleep 0.02; done")
    if container:
        for _ in range(3):
            life.exec(container, "true")
        life.ask("ContainerStats", container_id=container)
        life.ask("ReopenContainerLog", container_id=container)
        life.attach(container)
        life.ask("StopContainer", container_id=container, timeout=2)
        life.ask("RemoveContainer", container_id=container)
    life.end(gracefully=True)


def busy(shared, name, draw=random):
    """Several containers that are resized, looked at and talked to."""
    life = Life(shared, name, draw, context={"namespace_options": {"pid": draw.randint(0, 1)}})
    if not life.pod:
        return
    found = [life.run("sleep", "1000") for _ in range(3)]
    for container in filter(None, found):
        life.ask("UpdateContainerResources", container_id=container,
                 linux={"memory_limit_in_bytes": draw.choice((64, 96, 128)) << 20,
                        "cpu_shares": draw.choice((2, 512, 1024))})
        life.stream(container)
        life.exec(container, "sh", "-c", "exit 3", code=3)
    life.ask("UpdatePodSandboxResources", pod_sandbox_id=life.pod, overhead={"cpu_shares": 100})
    life.ask("PodSandboxStats", pod_sandbox_id=life.pod)
    life.look()
    life.end()


def job(shared, name, draw=random):
    """Containers that end by themselves: with a status, by a signal, out of memory."""
    life = Life(shared, name, draw,
                context={"namespace_options": {"network": draw.choice((0, 2))}})
    if not life.pod:
        return
    for script, limit in (("exit 5", 0), ("kill -9 $$", 0),
                          ("x=xxxxxxxxxxxxxxxx; while :; do x=$x$x; done", 16 << 20)):
        container = life.run("sh", "-c", script,
                             linux={"resources": {"memory_limit_in_bytes": limit}} if limit else {})
        end = time.monotonic() + 20
        while container and time.monotonic() < end:
            status = life.ask("ContainerStatus", container_id=container)
            if not status or status.status.state == 2:
                break
            time.sleep(0.05)
        if container and draw.random() < 0.5:
            life.ask("RemoveContainer", container_id=container)
    life.end(gracefully=draw.random() < 0.5)


def hasty(shared, name, draw=random):
    """A client that gives up early and asks again, as a kubelet with a deadline does."""
    life = Life(shared, name, draw)
    if not life.pod:
        return
    container = life.run()
    client = shared.node.client
    if container and client:
        try:
            call = client.start("ExecSync", container_id=container, cmd=["sleep", "100"])
            time.sleep(draw.uniform(0, 0.05))
            call.cancel()
            call = client.start("StopContainer", container_id=container, timeout=0)
            time.sleep(draw.uniform(0, 0.01))
            call.cancel()
        except ValueError:
            pass
        life.ask("StopContainer", container_id=container, timeout=0)
    life.end()


def image(shared, name, draw=random):
    """An image comes by another name, is used, and goes."""
    reference = f"tare.test/{name.lower()}:1"
    shared.ask("ImportImage", path=shared.layout, reference=reference)
    shared.ask("ImageStatus", image={"image": reference})
    shared.ask("ListImages")
    shared.ask("RemoveImage", tries=3, image={"image": reference})


KINDS = (plain, busy, job, hasty, image)


class Worker(threading.Thread):
    """One life after the other."""

    def __init__(self, shared, number, draw, end):
        super().__init__(daemon=True)
        self.shared, self.number, self.draw, self.until = shared, number, draw, end
        self.doing = None
        self.start()

    def run(self):
        count = 0
        while time.monotonic() < self.until:
            kind = self.draw.choice(KINDS)
            self.doing = f"{kind.__name__} {self.number}-{count}"
            try:
                kind(self.shared, f"{kind.__name__}-{self.number}-{count}", self.draw)
            except AssertionError as error:
                self.shared.calls.unexpected[f"{self.doing}: {error}"] += 1
            count += 1


def excepthook(args):
    traceback.print_exception(args.exc_type, args.exc_value, args.exc_traceback)
    sys.stderr.flush()
    os._exit(3)  # a mistake of the soak itself
