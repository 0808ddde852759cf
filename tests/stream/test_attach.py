# SPDX-License-Identifier: Apache-2.0
"""Attach: as exec, but the process was there before, and stays."""
import os

from worker import ATTACH, Command


def test_stdin_is_closed_by_message(worker):
    command = Command(worker, kind=ATTACH, stdin=True, stdout=True)
    ends = command.open()
    command.spdy.write(command.stdin, b"last", fin=True)
    assert os.read(ends["stdin"], 100) == b"last"
    assert command.supervisor.command().WhichOneof("command") == "close_stdin"
    assert os.read(ends["stdin"], 100) == b""
    os.write(ends["stdout"], b"goes on")
    command.supervisor.exited(0)
    assert command.finish() == {"metadata": {}, "status": "Success"}
    assert command.stdout.data == b"goes on"


def test_exit_code_is_no_failure(worker):
    command = Command(worker, kind=ATTACH, stdout=True, stderr=True)
    command.open()
    command.supervisor.exited(5)
    assert command.finish() == {"metadata": {}, "status": "Success"}


def test_reader_that_fell_behind(worker):
    command = Command(worker, kind=ATTACH, stdout=True)
    ends = command.open()
    os.write(ends["stdout"], b"until here")
    command.supervisor.failed("TOO_LARGE", "the reader is more than 1 MiB behind; see the log")
    assert "behind" in command.finish()["message"]
    assert command.stdout.data == b"until here"


def test_container_without_stdin(worker):
    command = Command(worker, kind=ATTACH, stdin=True, stdout=True)
    command.supervisor.start()
    ends = command.supervisor.opened(stdout=True)
    for _ in range(64):
        command.spdy.write(command.stdin, bytes(1 << 16))
    command.spdy.end(command.stdin)
    command.spdy.ping(1)
    os.write(ends["stdout"], b"x")
    command.spdy.wait(lambda: command.stdout.data == b"x" and command.spdy.pings)
    command.supervisor.exited(0)
    command.finish()


def test_client_leaves(worker):
    command = Command(worker, kind=ATTACH, stdin=True, stdout=True)
    command.open()
    worker.client.close()
    assert command.supervisor.command() is None
    assert worker.wait() == 0
