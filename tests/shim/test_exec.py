# SPDX-License-Identifier: Apache-2.0
"""Exec: exit codes, descriptors, timeouts, many at once, terminals."""
import array
import json
import os
import signal
import socket
import time

import pytest
from conftest import process
from shim_client import ShimError, pb, wait_until


@pytest.fixture
def running(pod):
    pod.sh("a", "trap 'exit 0' TERM; while :; do sleep 0.05; done")
    return pod


def only_the_writer(pod):
    """The job that killed may still be on its way out when the reply is here."""
    wait_until(lambda: no_child_but_the_writer(pod), what="no other child")


def no_child_but_the_writer(pod):
    writer = pod.shim.child_named("tare-shim-log")
    return [p for p in pod.shim.children() if p != writer and not is_init(pod, p)] == []


def is_init(pod, pid):
    return any(c.pid == pid for c in pod.client.state().containers)


def test_exit_codes_and_output(running):
    assert running.exec("a", ["sh", "-c", "echo hello; exit 42"]) == (42, b"hello\n")
    assert running.exec("a", ["sh", "-c", "kill -9 $$"]) == (137, b"")
    assert running.exec("a", ["hostname"]) == (0, b"pod-host\n")
    code, out = running.exec("a", ["cat", "/proc/1/cmdline"])
    assert code == 0 and out.startswith(b"sh\0-c\0trap")


def test_all_descriptors(running):
    pipes = [os.pipe() for _ in range(3)]
    number = running.exec_start("a", ["sh", "-c", "cat; echo err >&2; ls /proc/self/fd"],
                                stdin=pipes[0][0], stdout=pipes[1][1], stderr=pipes[2][1])
    for fd in (pipes[0][0], pipes[1][1], pipes[2][1]):
        os.close(fd)
    os.write(pipes[0][1], b"from stdin\n")
    os.close(pipes[0][1])
    assert running.client.wait(number).exit_code == 0
    assert os.read(pipes[1][0], 4096) == b"from stdin\n0\n1\n2\n3\n"
    assert os.read(pipes[1][0], 4096) == b""
    assert os.read(pipes[2][0], 4096) == b"err\n"
    os.close(pipes[1][0])
    os.close(pipes[2][0])


def test_errors(running):
    def refused(part, name="a", proc=None, **options):
        proc = json.dumps(process(["true"])) if proc is None else proc
        with pytest.raises(ShimError, match=part):
            running.client.wait(running.client.send_exec(name, proc, **options))

    refused("NOT_FOUND", name="b")
    refused("INVALID", proc="{")
    refused("no-such-program", proc=json.dumps(process(["/no-such-program"])))
    running.prepare("c")
    refused("PRECONDITION", name="c")
    request = pb.ExecRequest(container_id="a", process_json="{}", has_stdin=True)
    with pytest.raises(ShimError, match="INVALID.*descriptors"):
        running.client.call("exec", request)
    refused("INVALID", exec_id="a b")
    only_the_writer(running)


def test_an_init_reaped_before_its_creator_asks(make_pod):
    """It fails at once, and any other child's end makes the shim reap it."""
    pod = make_pod(env={"TARE_FAULT": "runtime.spawn.answered:1=ms:500"})
    pod.sandbox()
    pod.sh("a", "while :; do sleep 0.05; done")
    proc = json.dumps(process(["/no-such-program"]))
    number = pod.client.send_exec("a", proc)
    for i in range(1000):
        if number in pod.client.replies:
            break
        pod.prepare(f"x{i}")
        pod.client.delete(f"x{i}")
    with pytest.raises(ShimError, match="NOT_FOUND.*no-such-program"):
        pod.client.wait(number)
    pod.shutdown()


def test_timeout(running):
    start = time.monotonic()
    with pytest.raises(ShimError, match="TIMEOUT.*300 ms"):
        running.exec("a", ["sleep", "4321"], timeout_ms=300)
    assert 0.25 < time.monotonic() - start < 3
    assert running.exec("a", ["sh", "-c", "ps | grep -c '[s]leep 4321'"]) == (1, b"0\n")
    only_the_writer(running)


def test_timeout_while_it_is_made(make_pod):
    """The process is killed, too, when it was not known yet."""
    pod = make_pod(env={"TARE_FAULT": "shim.exec.made=ms:900"})
    pod.sandbox()
    pod.sh("a", "sleep 1000")
    with pytest.raises(ShimError, match="TIMEOUT.*100 ms"):
        pod.exec("a", ["sleep", "4321"], timeout_ms=100)
    assert pod.cgroup_pids("a") == {pod.client.state().containers[0].pid}


def test_timeout_ends_the_descendants(running):
    with pytest.raises(ShimError, match="TIMEOUT"):
        running.exec("a", ["sh", "-c", "sleep 4321 & (sleep 4322 & sleep 4323) & sleep 4324; true"],
                     timeout_ms=300)

    def gone():
        code, out = running.exec("a", ["sh", "-c", "ps | grep '[s]leep 432' | grep -v Z"])
        return out == b""

    wait_until(gone, timeout=3, what="no descendant")


def test_timeout_ends_orphans_of_its_group(running):
    with pytest.raises(ShimError, match="TIMEOUT"):
        running.exec("a", ["sh", "-c", "(sleep 4321 &); sleep 4322"], timeout_ms=300)
    out = running.exec("a", ["sh", "-c", "ps | grep '[s]leep 432' | grep -v ' Z '"])[1]
    assert out == b""


def test_timeout_of_a_stopped_process(running):
    with pytest.raises(ShimError, match="TIMEOUT"):
        running.exec("a", ["sh", "-c", "kill -STOP $$"], timeout_ms=200)
    only_the_writer(running)


def test_no_timeout_when_it_ends_in_time(running):
    assert running.exec("a", ["sh", "-c", "exit 3"], timeout_ms=20000)[0] == 3


def test_many_at_once(running):
    numbers = {}
    for i in range(60):
        numbers[running.exec_start("a", ["sh", "-c", f"sleep 0.1; exit {i}"])] = i
    for number, code in numbers.items():
        assert running.client.wait(number, timeout=60).exit_code == code
    only_the_writer(running)


def test_very_short_ones(running):
    """Those that end before their creator has told us of them."""
    numbers = [running.exec_start("a", ["true"]) for _ in range(100)]
    assert [running.client.wait(n, timeout=60).exit_code for n in numbers] == [0] * 100


def test_kill_exec(running):
    number = running.exec_start("a", ["sleep", "1000"], exec_id="e1")
    request = pb.KillExecRequest(container_id="a", exec_id="e1", signal=signal.SIGTERM)

    def killed():
        try:
            running.client.call("kill_exec", request)
            return True
        except ShimError as e:
            assert e.kind == "PRECONDITION"
            return False

    with pytest.raises(ShimError, match="EXISTS"):
        running.client.wait(running.exec_start("a", ["true"], exec_id="e1"))
    wait_until(killed, what="a process to kill")
    assert running.client.wait(number).exit_code == 143
    with pytest.raises(ShimError, match="NOT_FOUND"):
        running.client.call("kill_exec", request)


def test_container_ends_with_an_exec_in_it(running):
    r, w = os.pipe()
    number = running.exec_start("a", ["sh", "-c", "echo ready; sleep 1000"], stdout=w)
    os.close(w)
    assert os.read(r, 4096) == b"ready\n"
    os.close(r)
    running.client.kill("a", signal.SIGKILL)
    assert running.client.wait(number).exit_code == 137
    assert running.client.wait_exit("a").signal == 9


def test_exec_while_the_container_ends(running):
    """Either it ran, or it is told that the container is not running."""
    numbers = [running.exec_start("a", ["true"]) for _ in range(5)]
    running.client.kill("a", signal.SIGKILL)
    numbers += [running.exec_start("a", ["true"]) for _ in range(5)]
    for number in numbers:
        try:
            assert running.client.wait(number).exit_code in (0, 137)
        except ShimError as e:
            assert e.kind == "PRECONDITION"
    assert running.client.wait_exit("a").signal == 9


def test_client_goes_exec_stays(running):
    other = running.shim.connect()
    running.client, mine = other, running.client
    running.exec_start("a", ["sh", "-c", "sleep 0.3; touch /data/done"])
    other.close()
    running.client = mine
    wait_until(lambda: os.path.exists(running.path("a", "upper", "data", "done")), what="its work")
    only_the_writer(running)


def receive_fd(sock):
    data, control, _, _ = sock.recvmsg(4096, socket.CMSG_SPACE(4))
    fds = array.array("i")
    for _, _, value in control:
        fds.frombytes(value[:4])
    assert len(fds) == 1, data
    return fds[0]


def test_terminal(running):
    ours, theirs = socket.socketpair()
    number = running.exec_start("a", ["sh", "-c", "tty; read x; echo got $x; stty size"],
                                terminal=True, stdin=theirs.fileno())
    theirs.close()
    master = receive_fd(ours)
    import fcntl
    import struct
    import termios
    fcntl.ioctl(master, termios.TIOCSWINSZ, struct.pack("HHHH", 33, 77, 0, 0))
    os.write(master, b"word\n")
    out = b""
    try:
        while True:
            out += os.read(master, 4096)
    except OSError:
        pass
    assert running.client.wait(number).exit_code == 0
    assert b"got word" in out and b"33 77" in out
    os.close(master)
    with pytest.raises(ShimError, match="INVALID.*terminal"):
        running.client.wait(running.exec_start("a", ["true"], terminal=True))


def test_descriptors_are_given_back(running):
    for _ in range(3):
        running.exec("a", ["true"])
    before = running.shim.descriptors()
    for _ in range(20):
        running.exec("a", ["true"])
        with pytest.raises(ShimError):
            running.exec("b", ["true"])
    wait_until(lambda: running.shim.descriptors() <= before, what="descriptors as before")
