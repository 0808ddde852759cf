# SPDX-License-Identifier: Apache-2.0
"""Exec over SPDY: streams, ends, statuses."""
import os
import select
import signal
import socket
import threading

import pytest
from worker import EXEC, PATIENCE, Command, pb, send_message, wait_until

SO_SNDBUFFORCE = 32

VERSIONS = (1, 2, 3, 4, 5)


def status_exit(code):
    message = f"command terminated with non-zero exit code: exit code {code}"
    causes = [{"reason": "ExitCode", "message": str(code)}]
    return {"metadata": {}, "status": "Failure", "message": message, "reason": "NonZeroExitCode",
            "details": {"causes": causes}}


SUCCESS = {"metadata": {}, "status": "Success"}


@pytest.mark.parametrize("version", VERSIONS)
def test_all_streams(worker, version):
    command = Command(worker, version, stdin=True, stdout=True, stderr=True)
    ends = command.open()
    command.spdy.write(command.stdin, b"to the process")
    assert os.read(ends["stdin"], 100) == b"to the process"
    os.write(ends["stdout"], b"out")
    os.write(ends["stderr"], b"err")
    command.supervisor.exited(0)
    assert command.finish() == (SUCCESS if version >= 4 else "")
    assert (command.stdout.data, command.stderr.data) == (b"out", b"err")
    assert worker.wait() == 0


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("code", (1, 137))
def test_exit_code(worker, version, code):
    command = Command(worker, version, stdout=True)
    command.open()
    command.supervisor.exited(code)
    want = status_exit(code)
    assert command.finish() == (want if version >= 4 else want["message"])


def test_stdin_ends(worker):
    command = Command(worker, stdin=True, stdout=True)
    ends = command.open()
    command.spdy.write(command.stdin, b"x" * 100, fin=True)
    assert os.read(ends["stdin"], 1000) == b"x" * 100
    assert os.read(ends["stdin"], 1000) == b""
    os.write(ends["stdout"], b"later")
    command.supervisor.exited(0)
    assert command.finish() == SUCCESS
    assert command.stdout.data == b"later"


def test_stdin_before_the_process(worker):
    command = Command(worker, stdin=True, stdout=True)
    command.spdy.write(command.stdin, b"early", fin=True)
    ends = command.open()
    assert os.read(ends["stdin"], 1000) == b"early"
    assert os.read(ends["stdin"], 1000) == b""


def test_pipelined_behind_the_head(worker):
    """A client that waits for no answer."""
    from support import spdy
    sent = bytearray()
    client = spdy.Spdy(worker.recv, sent.extend)
    error, stdout = client.open(streamtype="error"), client.open(streamtype="stdout")
    lines = ["POST /exec/abcDEF-_0123456789 HTTP/1.1", "Connection: Upgrade", "Upgrade: SPDY/3.1",
             "X-Stream-Protocol-Version: v4.channel.k8s.io", "", ""]
    worker.client.sendall("\r\n".join(lines).encode() + sent)
    supervisor = worker.redeem(EXEC, stdout=True)
    status, _, client.buffer[:] = worker.answer()
    assert status == 101
    client.wait(lambda: error.replied and stdout.replied)
    supervisor.start()


def test_failed(worker):
    command = Command(worker, stdout=True)
    command.supervisor.start()
    command.supervisor.failed("NOT_FOUND", "container x is not running")
    status = command.finish()
    assert status["message"] == "Internal error occurred: container x is not running"
    assert (status["status"], status["code"]) == ("Failure", 500)


def test_supervisor_gone(worker):
    command = Command(worker, stdout=True)
    ends = command.open()
    os.write(ends["stdout"], b"before")
    command.supervisor.sock.close()
    assert "supervisor has closed" in command.finish()["message"]
    assert command.stdout.data == b"before"


@pytest.mark.parametrize("unread", (False, True))
def test_supervisor_gone_with_its_last_words(worker, unread):
    """What it has said counts, also when it closed the channel with something of ours unread."""
    command = Command(worker, stdout=True)
    if not unread:
        command.supervisor.start()
    assert unread == bool(select.select([command.supervisor.sock], [], [], PATIENCE * unread)[0])
    os.kill(worker.pid, signal.SIGSTOP)
    wait_until(lambda: stopped(worker.pid), "the worker to stop")
    ends = command.supervisor.opened(stdout=True)
    os.write(ends["stdout"], b"before")
    command.supervisor.exited(3)
    command.supervisor.sock.close()
    os.kill(worker.pid, signal.SIGCONT)
    assert command.finish() == status_exit(3)
    assert command.stdout.data == b"before"


def stopped(pid):
    with open(f"/proc/{pid}/stat", encoding="ascii") as stat:
        return stat.read().rpartition(")")[2].split()[0] == "T"


def test_client_gone(worker):
    """The channel closes, and with it the process's life ends."""
    command = Command(worker, stdin=True, stdout=True)
    command.open()
    worker.client.close()
    assert command.supervisor.command() is None
    assert worker.wait() == 0


def test_output_is_drained(worker):
    """What is in the pipes when the process has ended, while another holds them open."""
    command = Command(worker, stdout=True, stderr=True)
    ends = command.open()
    os.write(ends["stdout"], b"o" * 60000)
    os.write(ends["stderr"], b"e" * 60000)
    command.supervisor.exited(0)
    assert command.finish() == SUCCESS
    assert (len(command.stdout.data), len(command.stderr.data)) == (60000, 60000)


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root")
def test_output_of_more_than_a_pipe(worker):
    """All that is there when the process has ended, however much."""
    command = Command(worker, stdout=True)
    command.supervisor.start()
    ours, theirs = socket.socketpair()
    ours.setsockopt(socket.SOL_SOCKET, SO_SNDBUFFORCE, 32 << 20)
    ours.setblocking(False)
    size = ours.send(bytes(5 << 20))
    assert size == 5 << 20
    send_message(command.supervisor.sock, pb.Event(opened=pb.Opened(stdout=True)),
                 [theirs.fileno()])
    theirs.close()
    command.supervisor.exited(0)
    assert command.finish() == SUCCESS
    ours.close()
    assert len(command.stdout.data) == size


def test_output_that_never_ends(worker):
    """A child left behind that writes on does not hold the session."""
    command = Command(worker, stdout=True)
    ends = command.open()

    def write_on():
        with pytest.raises(BrokenPipeError):
            while True:
                os.write(ends["stdout"], b"y" * 4096)

    writer = threading.Thread(target=write_on)
    writer.start()
    command.supervisor.exited(0)
    assert command.finish() == SUCCESS
    writer.join()


@pytest.mark.parametrize("version", VERSIONS)
def test_streams_that_were_not_asked_for(worker, version):
    """Clients that open all they know get on: such a stream is at its end, and nobody hears it."""
    protocol = f"v{version}.channel.k8s.io" if version > 1 else "channel.k8s.io"
    client = worker.spdy(protocols=[protocol], stdout=True)
    error = client.open(streamtype="error")
    extra = [client.open(streamtype=name) for name in ("stdin", "stderr", "resize")]
    for stream in extra:
        client.write(stream, b"to nobody", fin=True)
    stdout = client.open(streamtype="stdout")
    client.wait(lambda: stdout.replied and all(s.ended for s in extra))
    assert all(s.replied and s.reset is None and not s.data for s in extra)
    worker.supervisor.start()
    os.write(worker.supervisor.opened(stdout=True)["stdout"], b"out")
    worker.supervisor.exited(0)
    client.wait(lambda: stdout.ended and error.ended)
    assert stdout.data == b"out"


def test_stream_twice_or_unknown(worker):
    client = worker.spdy(stdout=True)
    wanted = [client.open(streamtype="error")]
    refused = [client.open(streamtype="error"), client.open(streamtype="other"), client.open()]
    wanted.append(client.open(streamtype="stdout"))
    client.wait(lambda: all(s.replied for s in wanted))
    assert [s.reset for s in refused] == [5] * 3
    assert not any(s.replied for s in refused)
    worker.supervisor.start()


@pytest.mark.parametrize("when", ("before", "open", "after"))
@pytest.mark.parametrize("how", ("end", "reset"))
def test_stdin_ends_at(worker, when, how):
    """Before the process is there, while it runs, and when it has closed its stdin itself."""
    command = Command(worker, stdin=True, stdout=True)
    stop = {"end": command.spdy.end, "reset": command.spdy.reset}[how]
    if when == "before":
        stop(command.stdin)
    ends = command.open()
    if when == "after":
        command.supervisor.end(ends["stdin"])
        command.spdy.write(command.stdin, b"nobody reads this")
    if when != "before":
        stop(command.stdin)
    if when != "after":
        assert os.read(ends["stdin"], 100) == b""
    os.write(ends["stdout"], b"goes on")
    command.supervisor.exited(0)
    assert command.finish() == SUCCESS
    assert command.stdout.data == b"goes on"


@pytest.mark.parametrize("how", ("end", "reset"))
def test_stdin_ends_when_all_is_over(worker, how):
    """The worker has ended the stream already: its end and ours have crossed."""
    command = Command(worker, stdin=True, stdout=True)
    command.open()
    command.supervisor.exited(0)
    command.spdy.wait(lambda: command.stdin.ended)
    {"end": command.spdy.end, "reset": command.spdy.reset}[how](command.stdin)
    assert command.finish() == SUCCESS
    assert worker.wait() == 0


@pytest.mark.parametrize("how", ("end", "reset"))
@pytest.mark.parametrize("name", ("stdout", "stderr", "error"))
def test_client_ends_other_streams(worker, name, how):
    """Their other direction is ours; a stream that is reset gets nothing more."""
    command = Command(worker, stdout=True, stderr=True)
    {"end": command.spdy.end, "reset": command.spdy.reset}[how](command.streams[name])
    command.spdy.ping(1)
    command.spdy.wait(lambda: command.spdy.pings)
    ends = command.open()
    os.write(ends["stdout"], b"out")
    os.write(ends["stderr"], b"err")
    command.supervisor.exited(0)
    command.spdy.wait(lambda: command.spdy.goaway)
    got = {n: bytes(command.streams[n].data) for n in ("stdout", "stderr", "error")}
    want = {"stdout": b"out", "stderr": b"err", "error": b'{"metadata":{},"status":"Success"}'}
    if how == "reset":
        want[name] = b""
    assert got == want


@pytest.mark.parametrize("name", ("stdout", "stderr"))
def test_process_closes_output(worker, name):
    """The client hears of it at once."""
    command = Command(worker, stdout=True, stderr=True)
    ends = command.open()
    command.supervisor.end(ends[name])
    command.spdy.wait(lambda: command.streams[name].ended)
    other = {"stdout": "stderr", "stderr": "stdout"}[name]
    os.write(ends[other], b"still")
    command.supervisor.exited(0)
    assert command.finish() == SUCCESS
    assert command.streams[other].data == b"still"


def test_pings(worker):
    command = Command(worker, stdout=True)
    for number in (1, 3, 2, 5):
        command.spdy.ping(number)
    command.spdy.wait(lambda: 5 in command.spdy.pings)
    assert command.spdy.pings == [1, 3, 5]


def test_goaway_and_settings_change_nothing(worker):
    command = Command(worker, stdout=True)
    command.spdy.control(4, 0, b"\0\0\0\1" + b"\0\0\0\4\0\0\0\1")
    command.spdy.control(9, 0, b"\0\0\0\1\0\1\0\0")
    command.spdy.control(7, 0, bytes(8))
    ends = command.open()
    os.write(ends["stdout"], b"still here")
    command.supervisor.exited(0)
    assert command.finish() == SUCCESS
    assert command.stdout.data == b"still here"
