# SPDX-License-Identifier: Apache-2.0
"""Exec over SPDY: streams, ends, statuses."""
import os

import pytest
from worker import EXEC, Command

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


def test_output_that_never_ends(worker):
    """A child left behind that writes on does not hold the session."""
    command = Command(worker, stdout=True)
    ends = command.open()
    os.set_blocking(ends["stdout"], False)
    command.supervisor.exited(0)
    while True:
        try:
            os.write(ends["stdout"], b"y" * 4096)
        except BlockingIOError:
            continue
        except BrokenPipeError:
            break
    assert command.finish() == SUCCESS


def test_stream_twice_or_unknown(worker):
    client = worker.spdy(stdout=True)
    wanted = [client.open(streamtype="error")]
    refused = [client.open(streamtype="error"), client.open(streamtype="stdin"),
               client.open(streamtype="other"), client.open()]
    wanted.append(client.open(streamtype="stdout"))
    client.wait(lambda: all(s.replied for s in wanted))
    assert [s.reset for s in refused] == [5] * 4
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
