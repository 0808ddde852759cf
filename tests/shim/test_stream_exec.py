# SPDX-License-Identifier: Apache-2.0
"""Sessions that run a process: descriptors, exit codes, terminals, and who goes away."""
import json
import os
import resource
import signal
import socket

import pytest
from conftest import process
from shim_client import ShimError, pb, wait_until
from stream_client import ChannelClosed, Failed, Session


@pytest.fixture
def running(pod):
    pod.sh("a", "trap 'exit 0' TERM; while :; do sleep 0.05; done")
    return pod


@pytest.fixture
def session(running):
    """Makes sessions, and closes them."""
    made = []

    def make(args, terminal=False, stdin=True, stdout=True, stderr=True, name="a", client=None):
        what = pb.StreamExec(container_id=name, process_json=json.dumps(process(args, terminal)),
                             stdin=stdin, stdout=stdout, stderr=stderr)
        made.append(Session(client or running.client, f"s{len(made)}", exec=what))
        return made[-1]

    yield make
    for s in made:
        s.close()


def sh(session, script, **options):
    return session(["sh", "-c", script], **options)


def processes(pod, word):
    """Of the container's processes those whose command line has the word."""
    found = []
    for pid in pod.cgroup_pids("a"):
        try:
            with open(f"/proc/{pid}/cmdline", "rb") as f:
                if word.encode() in f.read():
                    found.append(pid)
        except OSError:
            pass
    return found


def test_hello_names_the_feature(pod):
    assert "stream" in pod.client.hello.features


def test_output_and_exit_code(session):
    s = sh(session, "echo out; echo err >&2; exit 42").start()
    assert (s.terminal, s.exit_code()) == (None, 42)
    assert (s.read_all(), s.read_all("stderr")) == (b"out\n", b"err\n")
    s = sh(session, "kill -9 $$", stdin=False, stderr=False).start()
    assert (s.stdin, s.stderr, s.exit_code()) == (None, None, 137)


def test_input_to_its_end(session):
    s = session(["sh", "-c", "wc -c; echo done"]).start()
    s.write(b"x" * 300000)
    s.end_stdin()
    assert s.read_until(b"done\n") == b"300000\ndone\n"
    assert s.exit_code() == 0


def test_only_the_workers_end_does_not_block(session):
    """The process waits for input and for room; it never sees EAGAIN."""
    s = sh(session, "read x; echo got $x; dd if=/dev/zero bs=1024 count=200 2>/dev/null").start()
    s.write(b"word\n")
    assert s.read_until(b"got word\n")[:9] == b"got word\n"
    # more than a pipe holds: it blocks until we have read
    rest = s.read_all()
    assert s.exit_code() == 0
    assert len(rest) <= 200 * 1024 and set(rest) <= {0}


def test_what_it_wrote_is_there_when_it_has_exited(session):
    s = sh(session, "yes | head -c 60000; sleep 1000 & echo last").start()
    assert s.exit_code() == 0
    data, over = s.read_now()
    assert len(data) == 60005 and data.endswith(b"last\n") and not over


def test_a_program_that_is_not_there(session):
    s = session(["/no-such-program"])
    with pytest.raises(Failed, match="NOT_FOUND.*no-such-program"):
        s.start()
    s.closed()


def test_refused(running, session):
    with pytest.raises(ShimError, match="NOT_FOUND"):
        session(["true"], name="b")
    with pytest.raises(ShimError, match="INVALID.*session id"):
        Session(running.client, "a/b", exec=pb.StreamExec(container_id="a", process_json="{}"))
    with pytest.raises(ShimError, match="INVALID"):
        Session(running.client, exec=pb.StreamExec(container_id="a", process_json="{"))
    with pytest.raises(ShimError, match="UNSUPPORTED"):
        Session(running.client)
    request = pb.OpenStreamRequest(session_id="x", exec=pb.StreamExec(container_id="a"))
    with pytest.raises(ShimError, match="INVALID.*one descriptor"):
        running.client.call("open_stream", request)
    ours, theirs = socket.socketpair()
    with ours, theirs, pytest.raises(ShimError, match="INVALID.*SEQPACKET"):
        running.client.call("open_stream", request, [theirs.fileno()])
    running.prepare("c")
    with pytest.raises(ShimError, match="PRECONDITION"):
        session(["true"], name="c")


@pytest.mark.parametrize("packet", [b"\xff", b"", b"\x12\x00", b"\x0a\x04\x08\xff\xff\x07",
                                    b"\x0a\x00" * 9000])
def test_broken_rules_close_the_channel(session, packet):
    """No command, none at all, one of another kind, a terminal too large, a packet too large."""
    s = session(["true"])
    s.sock.send(packet)
    with pytest.raises((ChannelClosed, Failed)):
        s.event()


def test_a_second_start_ends_it(running, session):
    s = session(["sleep", "4321"]).start()
    s.send(start={})
    s.closed()
    wait_until(lambda: not processes(running, "4321"), what="the end of its process")


def test_the_worker_vanishes(running, session):
    """Its process and what that has started are killed."""
    s = sh(session, "sleep 4321 & (sleep 4322 & sleep 4323) & sleep 4324; true").start()
    wait_until(lambda: len(processes(running, "sleep\x00432")) == 4, what="four of them")
    s.close()
    wait_until(lambda: not processes(running, "432"), what="their end")


def test_the_worker_vanishes_while_it_is_made(running, session):
    for _ in range(10):
        s = session(["sleep", "4321"])
        s.send(start={})
        s.close()
    wait_until(lambda: only_the_writer(running) and not processes(running, "4321"),
               what="the end of its process")


def only_the_writer(pod):
    inits = [c.pid for c in pod.client.state().containers]
    return [p for p in pod.shim.children()
            if p not in inits and p != pod.shim.child_named("tare-shim-log")] == []


def test_the_worker_closes_its_pipes_only(session):
    """As a client that wants no more output: the process learns it when it writes."""
    s = sh(session, "sleep 0.1; while echo x; do sleep 0.01; done 2>/dev/null; exit 9").start()
    for fd in s.fds:
        os.close(fd)
    s.fds = []
    assert s.exit_code() in (9, 141)


def test_the_daemon_goes(running, session):
    """A session outlives the connection that opened it."""
    other = running.shim.connect()
    s = sh(session, "read x; echo $x; exit 3", client=other)
    other.close()
    s.start().write(b"still here\n")
    assert s.read_until(b"\n") == b"still here\n"
    assert s.exit_code() == 3


def test_the_container_ends(running, session):
    waiting = session(["true"])
    s = sh(session, "echo ready; sleep 1000").start()
    s.read_until(b"ready")
    running.client.kill("a", signal.SIGKILL)
    assert s.exit_code() == 137
    with pytest.raises(Failed, match="PRECONDITION.*ended"):
        waiting.event()


def test_shutdown_waits_for_nobody(running, session):
    waiting = session(["true"])
    s = sh(session, "echo ready; sleep 1000").start()
    s.read_until(b"ready")
    running.shutdown()
    assert s.exit_code() == 137
    with pytest.raises(Failed):
        waiting.event()


def test_terminal(session):
    s = sh(session, "tty; stty size; read x; echo got $x; stty size; exit 5", terminal=True)
    s.start(width=77, height=33)
    assert s.stderr is None and None not in (s.stdin, s.stdout, s.terminal)
    s.read_until(b"33 77")
    s.resize(100, 40)
    s.write(b"word\r")
    s.read_until(b"40 100")
    assert s.exit_code() == 5


def test_terminal_without_size_and_input(session):
    s = sh(session, "tty; echo end", terminal=True, stdin=False).start()
    assert s.stdin is None
    assert b"/dev/pts/" in s.read_until(b"end")
    assert s.exit_code() == 0


def test_terminal_hangup(running, session):
    """Its window closed, the worker with it."""
    s = sh(session, "echo ready; sleep 4321", terminal=True).start()
    s.read_until(b"ready")
    s.close()
    wait_until(lambda: not processes(running, "4321"), what="its end")


def test_many_at_once(running, session):
    sessions = [sh(session, f"read x; echo $x {i}; exit {i}") for i in range(200)]
    for s in sessions:
        s.send(start={})
    for s in sessions:
        s.opened().write(b"hello\n")
    for i, s in enumerate(sessions):
        assert s.exit_code(timeout=60) == i
        assert s.read_all() == b"hello %d\n" % i


def test_not_more_than_a_thousand(running):
    what = pb.StreamExec(container_id="a", process_json=json.dumps(process(["true"])))
    sessions = [Session(running.client, f"s{i}", exec=what) for i in range(1000)]
    with pytest.raises(ShimError, match="NO_SPACE.*1000"):
        Session(running.client, exec=what)
    sessions.pop().close()
    wait_until(lambda: can_open(running, what), what="room for one")
    assert sessions[0].start().exit_code() == 0
    for s in sessions:
        s.close()


def can_open(pod, what):
    try:
        Session(pod.client, exec=what).close()
        return True
    except ShimError:
        return False


def test_descriptors_are_given_back(running, session):
    session(["true"]).start().exit_code()
    before = running.shim.descriptors()
    for i in range(10):
        session(["true"]).start().exit_code()
        session(["true"], terminal=True).start().exit_code()
        session(["sleep", "1000"]).start().close()
        session(["sleep", "1000"]).close()
        with pytest.raises(Failed):
            session(["/nothing"]).start()
        with pytest.raises(ShimError):
            session(["true"], name="b")
    wait_until(lambda: running.shim.descriptors() <= before, what="descriptors as before")


@pytest.mark.parametrize("terminal", (False, True))
def test_out_of_descriptors(running, session, terminal):
    """With any number of them left, a session has all that it asked for, or fails."""
    session(["true"], terminal=terminal).start().exit_code()
    pid, before = running.shim.pid, running.shim.descriptors()
    limits = resource.prlimit(pid, resource.RLIMIT_NOFILE)
    whole = 0
    for left in range(24):
        resource.prlimit(pid, resource.RLIMIT_NOFILE, (before + left, limits[1]))
        try:
            s = session(["sh", "-c", "read x; exit 3"], terminal=terminal, stderr=False).start()
            assert None not in (s.stdin, s.stdout) and (s.terminal is not None) == terminal
            s.write(b"go on\n")
            assert s.exit_code() == 3
            whole += 1
        except (ShimError, Failed, ChannelClosed):
            pass
        finally:
            resource.prlimit(pid, resource.RLIMIT_NOFILE, limits)
    assert 0 < whole < 24
    assert session(["true"]).start().exit_code() == 0
    wait_until(lambda: only_the_writer(running) and running.shim.descriptors() <= before,
               what="descriptors as before")


def test_its_creator_dies(make_pod):
    """When the process is made, and has not been told of: it is not left behind."""
    pod = make_pod(env={"TARE_FAULT": "runtime.spawn.answered:1=kill"})
    pod.sandbox()
    pod.sh("a", "while :; do sleep 0.05; done")
    for _ in range(5):
        s = Session(pod.client, exec=pb.StreamExec(
            container_id="a", process_json=json.dumps(process(["sleep", "4321"]))))
        with pytest.raises(Failed, match="INTERNAL"):
            s.start()
        s.close()
    wait_until(lambda: only_the_writer(pod) and not processes(pod, "4321"),
               what="the end of its process")
    pod.shutdown()
