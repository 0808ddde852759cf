# SPDX-License-Identifier: Apache-2.0
"""A client of the shim protocol (docs/protocol/shim.md), and what starts a shim: for tests."""
import array
import fcntl
import importlib
import os
import select
import socket
import struct
import subprocess
import sys
import tempfile
import time

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
HEADER = struct.Struct("<II")


def load_protocol(name):
    """NAME_pb2, made by protoc in a folder that is gone when it has been imported."""
    with tempfile.TemporaryDirectory(prefix="tare-test-proto-") as out:
        source = os.path.join(ROOT, "proto", "tare", name, "v1")
        subprocess.run(["protoc", f"--proto_path={source}", f"--python_out={out}", f"{name}.proto"],
                       check=True)
        sys.path.insert(0, out)
        sys.dont_write_bytecode = True
        try:
            return importlib.import_module(f"{name}_pb2")
        finally:
            sys.path.remove(out)


pb = load_protocol("shim")


class ShimError(Exception):
    """The Error of a reply."""

    def __init__(self, error):
        super().__init__(f"{error.kind}: {error.message}")
        self.kind = error.kind
        self.num = error.num
        self.message = error.message


class ConnectionLost(Exception):
    """The shim closed the connection."""


class Client:
    """One connection. Replies are kept by id, events in a list."""

    def __init__(self, path, hello=True):
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.connect(path)
        self.buffer = b""
        self.replies = {}
        self.events = []
        self.last_id = 0
        if hello:
            self.hello = self.call("hello", pb.HelloRequest(version=1, client="test"))

    def close(self):
        self.sock.close()

    def send_raw(self, data, fds=()):
        control = []
        if fds:
            control = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", fds))]
        sent = self.sock.sendmsg([data], control)
        if sent < len(data):
            self.sock.sendall(data[sent:])

    def send(self, kind, message, fds=()):
        self.last_id += 1
        request = pb.Request(id=self.last_id)
        getattr(request, kind).CopyFrom(message)
        body = request.SerializeToString()
        self.send_raw(HEADER.pack(len(body), len(fds)) + body, fds)
        return self.last_id

    def receive(self, timeout):
        """Takes in what comes within timeout; False when nothing did."""
        ready, _, _ = select.select([self.sock], [], [], timeout)
        if not ready:
            return False
        data = self.sock.recv(1 << 20)
        if not data:
            raise ConnectionLost()
        self.buffer += data
        while len(self.buffer) >= HEADER.size:
            size, n_fds = HEADER.unpack_from(self.buffer)
            assert n_fds == 0
            if len(self.buffer) < HEADER.size + size:
                break
            reply = pb.Reply()
            reply.ParseFromString(self.buffer[HEADER.size:HEADER.size + size])
            self.buffer = self.buffer[HEADER.size + size:]
            if reply.id == 0:
                self.events.append(reply.exit_event)
            else:
                self.replies[reply.id] = reply
        return True

    def wait(self, number, timeout=20):
        end = time.monotonic() + timeout
        while number not in self.replies:
            left = end - time.monotonic()
            if left <= 0 or not self.receive(left):
                raise TimeoutError(f"no reply to request {number}")
        reply = self.replies.pop(number)
        if reply.HasField("error"):
            raise ShimError(reply.error)
        which = reply.WhichOneof("result")
        return getattr(reply, which) if which else None

    def call(self, kind, message, fds=(), timeout=20):
        return self.wait(self.send(kind, message, fds), timeout)

    def wait_exit(self, container_id, timeout=20):
        end = time.monotonic() + timeout
        while True:
            for event in self.events:
                if event.container_id == container_id:
                    return event
            left = end - time.monotonic()
            if left <= 0 or not self.receive(left):
                raise TimeoutError(f"no exit event of {container_id}")

    # the requests

    def create_sandbox(self, **fields):
        sysctls = fields.pop("sysctls", {})
        request = pb.CreateSandboxRequest(**fields)
        for name, value in sysctls.items():
            request.sysctls.add(name=name, value=value)
        return self.call("create_sandbox", request)

    def prepare(self, container_id, rootfs, **fields):
        return self.call("prepare_container", pb.PrepareContainerRequest(
            container_id=container_id, rootfs=pb.RootFs(**rootfs), **fields))

    def start(self, container_id, bundle, **fields):
        return self.call("start_container", pb.StartContainerRequest(
            container_id=container_id, bundle=bundle, **fields))

    def kill(self, container_id, signal, everything=False):
        request = pb.KillContainerRequest(container_id=container_id, signal=signal)
        request.all = everything
        return self.call("kill_container", request)

    def delete(self, container_id):
        return self.call("delete_container", pb.DeleteContainerRequest(container_id=container_id))

    def send_exec(self, container_id, process_json, stdin=None, stdout=None, stderr=None,
                  timeout_ms=0, exec_id=""):
        fds = [fd for fd in (stdin, stdout, stderr) if fd is not None]
        return self.send("exec", pb.ExecRequest(
            container_id=container_id, process_json=process_json, has_stdin=stdin is not None,
            has_stdout=stdout is not None, has_stderr=stderr is not None, timeout_ms=timeout_ms,
            exec_id=exec_id), fds)

    def state(self):
        return self.call("state", pb.StateRequest())

    def container_state(self, container_id):
        for c in self.state().containers:
            if c.container_id == container_id:
                return c
        return None

    def reopen_log(self, container_id):
        return self.call("reopen_log", pb.ReopenLogRequest(container_id=container_id))

    def shutdown(self):
        return self.call("shutdown", pb.ShutdownRequest(), timeout=60)


def sealed_copy(program):
    """A sealed memfd with a program, as tared starts all shims from one."""
    fd = os.memfd_create("tare-shim", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
    with open(program, "rb") as source, os.fdopen(os.dup(fd), "wb") as target:
        target.write(source.read())
    fcntl.fcntl(fd, fcntl.F_ADD_SEALS, fcntl.F_SEAL_SEAL | fcntl.F_SEAL_SHRINK
                | fcntl.F_SEAL_GROW | fcntl.F_SEAL_WRITE)
    return fd


def is_sanitized(program):
    """Such a program is no static one: it cannot leave its own file, and must run from a memfd."""
    with open(program, "rb") as file:
        return b"__asan_init" in file.read()


# What reading a file of /proc/PID says when the process has ended: before, or after it was opened.
GONE = (FileNotFoundError, ProcessLookupError)


class Shim:
    """A running tare-shim in a folder of its own."""

    def __init__(self, folder, build, pod_id="pod1", env=None, pause=True, deadline_ms=None,
                 inherit=(), options=()):
        self.folder = folder
        self.state_dir = os.path.join(folder, "state")
        os.makedirs(self.state_dir, mode=0o700, exist_ok=True)
        self.socket_path = os.path.join(folder, "shim.sock")
        listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        listener.bind(self.socket_path)
        os.chmod(self.socket_path, 0o600)
        listener.listen(16)
        self.log_path = os.path.join(folder, "shim.log")
        self.program = os.path.join(build, "src", "cmd", "tare-shim")
        args = [self.program, "--pod-id", pod_id, "--state-dir", self.state_dir,
                "--socket-fd", str(listener.fileno()), *options]
        fds = [listener.fileno(), *inherit]
        pause_fd = None
        if pause:
            pause_fd = os.open(os.path.join(build, "src", "cmd", "tare-pause"), os.O_RDONLY)
            fds.append(pause_fd)
            args += ["--pause-fd", str(pause_fd)]
        if deadline_ms:
            args += ["--deadline-ms", str(deadline_ms)]
        with open(self.log_path, "ab") as log:
            sealed = sealed_copy(self.program) if is_sanitized(self.program) else None
            runs = self.program if sealed is None else f"/proc/{os.getpid()}/fd/{sealed}"
            self.process = subprocess.Popen(args, executable=runs, pass_fds=fds, stdout=log,
                                            stdin=subprocess.DEVNULL, stderr=log,
                                            env={**os.environ, **(env or {})})
        if sealed is not None:
            os.close(sealed)
        listener.close()
        if pause_fd is not None:
            os.close(pause_fd)
        self.pid = self.process.pid

    def connect(self, hello=True):
        return Client(self.socket_path, hello)

    def children(self):
        try:
            with open(f"/proc/{self.pid}/task/{self.pid}/children") as f:
                return [int(p) for p in f.read().split()]
        except GONE:
            return []

    def child_named(self, name):
        for pid in self.children():
            try:
                with open(f"/proc/{pid}/comm") as f:
                    if f.read().strip() == name:
                        return pid
            except GONE:
                pass
        return None

    def descriptors(self):
        """How many are open."""
        return len(os.listdir(f"/proc/{self.pid}/fd"))

    def log(self):
        with open(self.log_path) as f:
            return f.read()


def wait_until(condition, timeout=30, what="condition"):
    end = time.monotonic() + timeout
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > end:
            raise TimeoutError(what)
        time.sleep(0.01)
