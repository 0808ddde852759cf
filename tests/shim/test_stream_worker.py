# SPDX-License-Identifier: Apache-2.0
"""tare-stream between a client and the shim, as tared puts them together."""
import json
import os
import socket
import sys

import pytest
from conftest import process
from shim_client import pb, wait_until
from test_stream_exec import processes
from test_stream_forward import in_pod, listener, raise_loopback

TESTS = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
sys.path[:0] = [TESTS, os.path.join(TESTS, "stream")]
import worker as stream_worker  # noqa: E402

SUCCESS = {"metadata": {}, "status": "Success"}


class Worker(stream_worker.Worker):
    """Whose channel's other end the shim has."""

    def __init__(self, program, pod, **what):
        super().__init__(program)
        self.pod = pod
        self.what = what

    def redeem(self, kind=stream_worker.EXEC, **fields):
        self.control.recv(1 << 16)
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with ours, theirs:
            self.pod.client.call("open_stream", pb.OpenStreamRequest(
                session_id="test", **self.what), [ours.fileno()])
            session = stream_worker.pb.Session(kind=kind, id="test", **fields)
            stream_worker.send_message(self.control, stream_worker.pb.Redeemed(session=session),
                                       [theirs.fileno()])


@pytest.fixture
def start(pod, build):
    program = os.path.join(build, "src", "cmd", "tare-stream")
    if not os.path.exists(program):
        pytest.skip("TARE_BUILD names no folder with tare-stream")
    workers = []

    def one(**what):
        workers.append(Worker(program, pod, **what))
        return workers[-1]

    yield one
    for w in workers:
        w.close()


@pytest.fixture
def execute(pod, start):
    """A command of a client, with its streams open."""
    pod.sh("a", "while :; do sleep 0.05; done")

    def one(script, tty=False, size=b"", **wanted):
        what = pb.StreamExec(container_id="a", **wanted,
                             process_json=json.dumps(process(["sh", "-c", script], tty)))
        return stream_worker.Command(start(exec=what), tty=tty, size=size, **wanted)

    return one


def test_exec(execute):
    command = execute("wc -c; echo err >&2; exit 7", stdin=True, stdout=True, stderr=True)
    command.spdy.write(command.stdin, b"x" * 200000, fin=True)
    status = command.finish()
    assert status["reason"] == "NonZeroExitCode" and "exit code 7" in status["message"]
    assert (command.stdout.data, command.stderr.data) == (b"200000\n", b"err\n")
    assert command.worker.wait() == 0


def test_exec_of_nothing(pod, start):
    pod.sh("a", "sleep 1000")
    what = pb.StreamExec(container_id="a", stdout=True,
                         process_json=json.dumps(process(["/no-such-program"])))
    command = stream_worker.Command(start(exec=what), stdout=True)
    status = command.finish()
    assert status["status"] == "Failure" and "no-such-program" in status["message"]


def test_much_output(execute):
    """More than all buffers on the way: it is held up, and all of it comes."""
    command = execute("yes 0123456789 | head -c 8000000", stdout=True)
    assert command.finish() == SUCCESS
    assert len(command.stdout.data) == 8000000
    assert command.stdout.data[:7999992] == b"0123456789\n" * 727272


def test_terminal(execute):
    command = execute("stty size; read x; stty size; exit 0", tty=True, stdin=True, stdout=True,
                      size=b'{"Width":70,"Height":30}\n')
    command.spdy.wait(lambda: b"30 70" in command.stdout.data)
    command.spdy.write(command.resize, b'{"Width":90,"Height":20}\n')
    # its order against stdin, which is another stream, is the worker's
    command.spdy.write(command.stdin, b"\r")
    assert command.finish() == SUCCESS
    assert b"20 90" in command.stdout.data


def test_the_client_goes(pod, execute):
    command = execute("echo ready; sleep 4321; true", stdout=True)
    command.spdy.wait(lambda: b"ready" in command.stdout.data)
    assert processes(pod, "4321")
    command.worker.client.close()
    wait_until(lambda: not processes(pod, "4321"), what="the end of its process")
    command.worker.wait()


def test_attach(pod, start):
    pod.sh("a", "while read x; do echo out $x; echo err $x >&2; done; exit 3", stdin=True,
           stdin_once=True)
    wanted = {"stdin": True, "stdout": True, "stderr": True}
    what = pb.StreamAttach(container_id="a", **wanted)
    command = stream_worker.Command(start(attach=what), kind=stream_worker.ATTACH,
                                    **wanted)
    command.spdy.write(command.stdin, b"word\n")
    command.spdy.wait(lambda: command.stdout.data == b"out word\n"
                      and command.stderr.data == b"err word\n")
    command.spdy.write(command.stdin, b"last\n", fin=True)
    assert command.finish() == SUCCESS
    assert command.stdout.data == b"out word\nout last\n"
    assert pod.client.wait_exit("a").exit_code == 3


def test_port_forward(pod, start):
    in_pod(pod, raise_loopback)
    with in_pod(pod, listener) as server:
        port = str(server.getsockname()[1])
        worker = start(port_forward=pb.StreamPortForward())
        client = worker.spdy(stream_worker.PORT_FORWARD, ["portforward.k8s.io"])
        error = client.open(streamtype="error", port=port, requestid="0")
        data = client.open(streamtype="data", port=port, requestid="0")
        client.write(data, b"hello")
        peer, _ = server.accept()
        with peer:
            assert peer.recv(100) == b"hello"
            peer.sendall(b"world")
            client.wait(lambda: data.data == b"world")
        client.wait(lambda: data.ended and error.ended)
        assert error.data == b""
    error = client.open(streamtype="error", port=port, requestid="1")
    data = client.open(streamtype="data", port=port, requestid="1")
    client.wait(lambda: error.ended)
    assert b"refused" in error.data
    worker.client.close()
    assert worker.wait() == 0
