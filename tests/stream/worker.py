# SPDX-License-Identifier: Apache-2.0
"""tare-stream alone: the test is its client, the daemon that redeems and the pod's supervisor."""
import array
import fcntl
import json
import os
import re
import select
import signal
import socket
import subprocess
import sys
import tempfile
import time

from support import spdy, websocket

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
PATIENCE = 30  # seconds for what is certain to come
TOKEN = "abcDEF-_0123456789"
EXEC, ATTACH, PORT_FORWARD = 1, 2, 3
VERBS = {EXEC: "exec", ATTACH: "attach", PORT_FORWARD: "portforward"}
SPDY_PROTOCOLS = [f"{v}channel.k8s.io" for v in ("v5.", "v4.", "v3.", "v2.", "")]


def _load_protocol():
    """stream_pb2, made by protoc in a folder that is gone when it has been imported."""
    with tempfile.TemporaryDirectory(prefix="tare-test-proto-") as out:
        source = os.path.join(ROOT, "proto", "tare", "stream", "v1")
        subprocess.run(["protoc", f"--proto_path={source}", f"--python_out={out}", "stream.proto"],
                       check=True)
        sys.path.insert(0, out)
        try:
            import stream_pb2
            return stream_pb2
        finally:
            sys.path.remove(out)


pb = _load_protocol()


SANITIZERS = {name: os.environ[name] for name in ("ASAN_OPTIONS", "UBSAN_OPTIONS")
              if name in os.environ}


def send_message(sock, message, fds=()):
    control = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", fds))] if fds else []
    sock.sendmsg([message.SerializeToString()], control)


def wait_until(condition, what="the condition"):
    """For what no descriptor tells."""
    end = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < end, f"not in time: {what}"
        time.sleep(0.01)


def memory_kib(worker):
    """The most that it has had."""
    with open(f"/proc/{worker.pid}/status", encoding="ascii") as status:
        return int(re.search(r"VmHWM:\s*(\d+)", status.read())[1])


def sanitized(worker):
    with open(f"/proc/{worker.pid}/status", encoding="ascii") as status:
        return int(re.search(r"VmSize:\s*(\d+)", status.read())[1]) > 1 << 30


def send_all_that_fits(sock, data, limit=64 << 20):
    """Sends until nobody has read for half a second; the bytes sent."""
    count = 0
    while select.select([], [sock], [], 0.5)[1] and count < limit:
        count += sock.send(data[count % len(data):])
    return count


class Supervisor:
    """The other end of a session's channel."""

    def __init__(self, sock):
        self.sock = sock
        self.fds = []

    def close(self):
        self.sock.close()
        for fd in self.fds:
            self.end(fd)

    def command(self):
        """The next Command, or None when the worker has closed the channel."""
        data = self.sock.recv(1 << 16)
        return pb.Command.FromString(data) if data else None

    def start(self):
        command = self.command()
        assert command and command.WhichOneof("command") == "start"
        return command.start

    def keep(self, fd):
        self.fds.append(fd)
        return fd

    def end(self, fd):
        if fd in self.fds:
            self.fds.remove(fd)
            os.close(fd)

    def pipe(self):
        read, write = os.pipe()
        return self.keep(read), self.keep(write)

    def opened(self, stdin=False, stdout=False, stderr=False, terminal=None):
        """The process's ends, by name."""
        ours, theirs = {}, []
        if stdin:
            ours["stdin"], write = self.pipe()
            theirs.append(write)
        for name, wanted in (("stdout", stdout), ("stderr", stderr)):
            if wanted:
                read, ours[name] = self.pipe()
                theirs.append(read)
        if terminal is not None:
            theirs += [self.keep(os.dup(terminal)) for _ in range(3 if stdin else 2)]
            stdin, stdout = stdin or None, True
        event = pb.Event(opened=pb.Opened(stdin=bool(stdin), stdout=stdout, stderr=stderr,
                                          terminal=terminal is not None))
        send_message(self.sock, event, theirs)
        for fd in theirs:
            self.end(fd)
        return ours

    def opened_terminal(self, master, stdin=True):
        flags = pb.Opened(stdin=stdin, stdout=True, terminal=True)
        send_message(self.sock, pb.Event(opened=flags), [master] * (3 if stdin else 2))

    def exited(self, code):
        send_message(self.sock, pb.Event(exited=pb.Exited(exit_code=code)))

    def failed(self, kind, message):
        send_message(self.sock, pb.Event(failed=pb.Error(kind=kind, message=message)))

    def connected(self, number):
        """The pod's side of a connection."""
        ours, theirs = socket.socketpair()
        ours.settimeout(PATIENCE)
        send_message(self.sock, pb.Event(connected=pb.Connected(id=number)), [theirs.fileno()])
        theirs.close()
        return ours

    def refused(self, number, message):
        error = pb.Error(kind="UNAVAILABLE", message=message)
        send_message(self.sock, pb.Event(connected=pb.Connected(id=number, error=error)))


class Worker:
    """One process, its client's socket and its control socket."""

    def __init__(self, program, args=(), small_buffers=False):
        with socket.socket() as listener:
            if small_buffers:
                listener.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4096)
                listener.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            listener.bind(("127.0.0.1", 0))
            listener.listen(1)
            self.client = socket.socket()
            if small_buffers:
                self.client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            self.client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self.client.connect(listener.getsockname())
            accepted, _ = listener.accept()
        self.control, control = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        for sock in (self.client, self.control):
            sock.settimeout(PATIENCE)
        self.log = tempfile.TemporaryFile()
        self.supervisor = None
        self.status = None
        high = [fcntl.fcntl(fd, fcntl.F_DUPFD_CLOEXEC, 10)
                for fd in (accepted.fileno(), control.fileno(), self.log.fileno())]
        dup = os.POSIX_SPAWN_DUP2
        self.pid = os.posix_spawn(
            program, [program, *args], SANITIZERS,
            file_actions=[(dup, high[0], 3), (dup, high[1], 4), (dup, high[2], 2)])
        for fd in high:
            os.close(fd)
        accepted.close()
        control.close()

    # --- its end ---

    def wait(self):
        """The exit status, once it has ended by itself."""
        if self.status is None:
            self.status = os.waitstatus_to_exitcode(os.waitpid(self.pid, 0)[1])
        return self.status

    def close(self):
        """Ends what has not ended by itself; what crashed fails the test."""
        if self.status is None:
            os.kill(self.pid, signal.SIGKILL)
            self.wait()
        assert self.status in (0, 1, 2, -signal.SIGKILL), f"{self.status}: {self.log_text()}"
        assert "Sanitizer" not in self.log_text(), self.log_text()
        self.client.close()
        self.control.close()
        if self.supervisor:
            self.supervisor.close()
        self.log.close()

    def log_text(self):
        self.log.seek(0)
        return self.log.read().decode()

    # --- the daemon ---

    def redeem(self, kind=EXEC, **fields):
        """Answers the worker's Redeem with a session."""
        asked = pb.Redeem.FromString(self.control.recv(1 << 16))
        assert (asked.verb, asked.token) == (VERBS[kind], TOKEN)
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        ours.settimeout(PATIENCE)
        session = pb.Session(kind=kind, id="test", **fields)
        send_message(self.control, pb.Redeemed(session=session), [theirs.fileno()])
        theirs.close()
        self.supervisor = Supervisor(ours)
        return self.supervisor

    def redeem_error(self, kind, message):
        self.control.recv(1 << 16)
        send_message(self.control, pb.Redeemed(error=pb.Error(kind=kind, message=message)))

    # --- the client ---

    def send_head(self, kind=EXEC, method="POST", headers=(), path=None):
        path = path or f"/{VERBS[kind]}/{TOKEN}"
        lines = [f"{method} {path} HTTP/1.1", "Host: localhost", *headers]
        self.client.sendall(("\r\n".join(lines) + "\r\n\r\n").encode())

    def send_spdy_head(self, kind=EXEC, protocols=("v4.channel.k8s.io",), **options):
        self.send_head(kind, headers=[
            "Connection: Upgrade", "Upgrade: SPDY/3.1",
            *[f"X-Stream-Protocol-Version: {p}" for p in protocols]], **options)

    def recv(self):
        try:
            return self.client.recv(1 << 16)
        except ConnectionResetError:
            return b""

    def answer(self):
        """(status, {name: [values]}, rest) of the answer's head."""
        data = b""
        while b"\r\n\r\n" not in data:
            piece = self.recv()
            assert piece, f"no whole answer: {data}"
            data += piece
        head, _, rest = data.partition(b"\r\n\r\n")
        lines = head.decode().split("\r\n")
        fields = {}
        for line in lines[1:]:
            name, _, value = line.partition(": ")
            fields.setdefault(name.lower(), []).append(value)
        return int(lines[0].split()[1]), fields, rest

    def refusal(self):
        """(status, fields, body) of an answer that ends the connection."""
        status, fields, body = self.answer()
        while piece := self.recv():
            body += piece
        assert len(body) == int(fields["content-length"][0])
        self.client.close()
        return status, fields, body.decode()

    def spdy(self, kind=EXEC, protocols=("v4.channel.k8s.io",), **session):
        """A SPDY client of a session of this kind."""
        self.send_spdy_head(kind, protocols)
        self.redeem(kind, **session)
        status, fields, rest = self.answer()
        assert status == 101
        assert fields["x-stream-protocol-version"] == [protocols[0]]
        assert fields["upgrade"] == ["SPDY/3.1"]
        return spdy.Spdy(self.recv, self.client.sendall, rest)

    def websocket(self, kind=EXEC, protocols=("v4.channel.k8s.io",), behind=b"", **session):
        """behind: sent along with the head"""
        head, accept = websocket.handshake(f"/{VERBS[kind]}/{TOKEN}", protocols)
        self.client.sendall(head + behind)
        self.redeem(kind, **session)
        status, fields, rest = self.answer()
        assert status == 101
        assert fields["sec-websocket-accept"] == [accept]
        assert fields.get("sec-websocket-protocol", []) == list(protocols[:1])
        return websocket.WebSocket(self.recv, self.client.sendall, rest)

    def channels(self, kind=EXEC, protocol="v4.channel.k8s.io", **session):
        socket_ = self.websocket(kind, [protocol] if protocol else [], **session)
        return websocket.Channels(socket_, text="base64" in (protocol or ""))


class Command:
    """A remote command over SPDY, with its streams open and its process's ends."""

    def __init__(self, worker, version=4, kind=EXEC, tty=False, size=b"", **wanted):
        protocol = f"v{version}.channel.k8s.io" if version > 1 else "channel.k8s.io"
        self.worker = worker
        self.spdy = worker.spdy(kind, [protocol], tty=tty, **wanted)
        self.supervisor = worker.supervisor
        names = ["error"] + [n for n in ("stdin", "stdout", "stderr") if wanted.get(n)]
        names += ["resize"] if tty and version >= 3 else []
        self.spdy.send, together = bytearray().extend, self.spdy.send
        self.streams = {name: self.spdy.open(streamtype=name) for name in names}
        if size:
            self.spdy.write(self.resize, size)
        sent = self.spdy.send.__self__
        self.spdy.send = together
        self.spdy.send(sent)
        self.spdy.wait(lambda: all(s.replied for s in self.streams.values()))

    def __getattr__(self, name):
        return self.streams[name]

    def open(self):
        self.supervisor.start()
        return self.supervisor.opened(**{name: name in self.streams
                                         for name in ("stdin", "stdout", "stderr")})

    def finish(self):
        """Reads to the end; the status."""
        self.spdy.wait(lambda: all(s.ended or s.given_up for s in self.streams.values()))
        self.spdy.wait(lambda: self.spdy.goaway is not None)
        self.worker.client.close()
        text = bytes(self.error.data)
        return json.loads(text) if text.startswith(b"{") else text.decode()
