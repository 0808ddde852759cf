# SPDX-License-Identifier: Apache-2.0
"""Sessions beside a container's init: output, input, slow readers, a log writer that dies."""
import concurrent.futures
import os
import signal

import pytest
from shim_client import ShimError, pb, wait_until
from stream_client import Failed, Session

# Says what it is told, until it is told to end.
ECHO = "while read x; do case $x in end*) exit ${x#end};; esac; echo out $x; echo err $x >&2; done"


@pytest.fixture
def attach(pod):
    """Makes sessions, and closes them."""
    made = []

    def make(name="a", stdin=True, stdout=True, stderr=True, start=True, client=None):
        what = pb.StreamAttach(container_id=name, stdin=stdin, stdout=stdout, stderr=stderr)
        s = Session(client or pod.client, f"s{len(made)}", attach=what)
        made.append(s)
        return s.start() if start else s

    yield make
    for s in made:
        s.close()


def writer_of(pod):
    return wait_until(lambda: pod.shim.child_named("tare-shim-log"), what="a log writer")


def writer_fds(pod):
    return len(os.listdir(f"/proc/{writer_of(pod)}/fd"))


def test_output_from_opened_on(pod, attach):
    pod.sh("a", "echo before; " + ECHO, stdin=True)
    wait_until(lambda: pod.output("a") == b"before\n", what="output")
    s = attach()
    assert s.terminal is None
    s.write(b"one\n")
    assert s.read_until(b"\n") == b"out one\n"
    assert s.read_until(b"\n", "stderr") == b"err one\n"
    s.write(b"end7\n")
    assert s.exit_code() == 7
    assert s.read_now() == s.read_now("stderr") == (b"", True)
    assert pod.output("a") == b"before\nout one\n"
    assert pod.output("a", "stderr") == b"err one\n"


def test_one_stream_of_two(pod, attach):
    pod.sh("a", ECHO, stdin=True)
    out = attach(stdin=False, stderr=False)
    err = attach(stdin=False, stdout=False)
    nothing = attach(stdin=False, stdout=False, stderr=False)
    assert out.stdin is out.stderr is err.stdin is err.stdout is None and nothing.fds == []
    attach().write(b"x\nend1\n")
    assert [s.exit_code() for s in (out, err, nothing)] == [1, 1, 1]
    assert out.read_now() == (b"out x\n", True)
    assert err.read_now("stderr") == (b"err x\n", True)


def test_so_many_at_a_time(pod, attach):
    """Each may cost memory of its own: those of a container, and of the pod, are limited."""
    for name in ("a", "b", "c"):
        pod.sh(name, ECHO, stdin=True)
    first = [attach("a", start=False) for _ in range(64)]
    with pytest.raises(ShimError, match="NO_SPACE.*'a' has 64 attached sessions, the most"):
        attach("a", start=False)
    for _ in range(64):
        attach("b", start=False)
    with pytest.raises(ShimError, match="NO_SPACE.*the pod has 128 attached sessions, the most"):
        attach("c", start=False)
    first[0].close()
    wait_until(lambda: opened(attach, "c"), what="room for one")


def opened(attach, name):
    try:
        return attach(name)
    except ShimError as error:
        assert "NO_SPACE" in str(error)
        return None


def test_each_gets_all_and_input_is_mixed(pod, attach):
    pod.sh("a", ECHO, stdin=True)
    sessions = [attach() for _ in range(40)]
    for i, s in enumerate(sessions):
        s.write(b"%d\n" % i)
    expected = {b"out %d" % i for i in range(40)}
    for s in sessions:
        data = b""
        while data.count(b"\n") < 40:
            data += s.read_until(b"\n")
        assert set(data.splitlines()) == expected
    sessions[7].write(b"end0\n")
    assert [s.exit_code() for s in sessions] == [0] * 40
    assert set(pod.output("a").splitlines()) == expected


def test_stdin_outlives_sessions(pod, attach):
    pod.sh("a", ECHO, stdin=True)
    for i in range(3):
        s = attach()
        s.write(b"%d\n" % i)
        assert s.read_until(b"\n") == b"out %d\n" % i
        s.end_stdin()
        s.send(close_stdin={})
        s.close()
    assert pod.client.container_state("a").state == "running"


@pytest.mark.parametrize("how", ["says so", "vanishes"])
def test_stdin_once(pod, attach, how):
    pod.sh("a", "wc -c; exit 4", stdin=True, stdin_once=True)
    watcher = attach(stdin=False)
    s = attach()
    s.write(b"x" * 100000)
    if how == "says so":
        s.end_stdin()
        s.send(close_stdin={})
    else:
        s.close()
    assert watcher.exit_code() == 4
    assert watcher.read_now() == (b"100000\n", True)


def test_stdin_once_is_once(pod, attach):
    pod.sh("a", "cat; echo over; sleep 1000", stdin=True, stdin_once=True)
    s = attach()
    s.write(b"x\n")
    s.end_stdin()
    s.send(close_stdin={})
    s.read_until(b"over")
    assert attach().stdin is None


def test_a_watcher_ends_no_input(pod, attach):
    pod.sh("a", ECHO, stdin=True, stdin_once=True)
    attach(stdin=False).close()
    s = attach()
    s.write(b"x\n")
    s.read_until(b"out x\n")


def test_without_stdin(pod, attach):
    pod.sh("a", "read x; echo end; sleep 1000")
    s = attach()
    assert s.stdin is None


def test_no_log_but_stdin(pod, attach):
    pod.sh("a", ECHO, log=False, stdin=True)
    s = attach()
    s.write(b"x\nend3\n")
    assert s.exit_code() == 3
    assert s.read_now() == (b"out x\n", True)


def test_refused(pod, attach):
    pod.sh("a", "sleep 1000", log=False)
    with pytest.raises(ShimError, match="PRECONDITION.*neither a log nor a stdin"):
        attach()
    with pytest.raises(ShimError, match="NOT_FOUND"):
        attach("b")
    pod.sh("c", "true")
    pod.client.wait_exit("c")
    with pytest.raises(ShimError, match="PRECONDITION.*not running"):
        attach("c")


def test_exit_before_start(pod, attach):
    pod.sh("a", "sleep 1000")
    s = attach(start=False)
    pod.client.kill("a", signal.SIGKILL)
    with pytest.raises(Failed, match="PRECONDITION.*ended"):
        s.event()


def test_terminal(pod, attach):
    pod.sh("a", "stty -echo; while read x; do stty size; echo got $x; done", tty=True, stdin=True)
    s = attach(start=False)
    s.start(width=70, height=30)
    assert s.stderr is None and None not in (s.stdin, s.terminal)
    s.write(b"one\n")
    assert b"30 70" in s.read_until(b"got one")
    other = attach(stdin=False)
    assert other.stdin is None
    s.resize(90, 20)
    s.write(b"two\n")
    assert b"20 90" in other.read_until(b"got two")
    assert b"20 90" in s.read_until(b"got two")
    s.write(b"\x04")  # the end of a terminal's input
    assert s.exit_code() == 0
    assert other.exit_code() == 0
    assert b"got two" in pod.output("a")


def test_terminal_without_stdin(pod, attach):
    pod.sh("a", "echo ready; sleep 1000", tty=True)
    s = attach()
    assert s.stdin is None and s.terminal is not None


def test_exited_comes_after_what_is_left(pod, attach):
    """More than a pipe holds, and nobody reads at first: the container ends all the same."""
    pod.sh("a", "read x; yes 0123456789 | head -c 900000; exit 5", stdin=True)
    s = attach().narrow()
    s.write(b"go\n")
    assert pod.client.wait_exit("a").exit_code == 5
    pod.client.delete("a")
    data = s.read_all()
    assert len(data) == 900000 and data[:900000 // 11 * 11] == b"0123456789\n" * (900000 // 11)
    assert s.exit_code() == 5


def test_a_slow_reader_holds_the_container_up(pod, attach):
    """It gets every byte of far more than is kept for it; the log has all as well."""
    size = 50_000_000
    pod.sh("a", f"read x; yes {'0123456789' * 99} | head -c {size}; exit 3", stdin=True)
    expected = (b"0123456789" * 99 + b"\n") * (size // 991 + 1)
    s, other = attach().narrow(), attach(stdin=False)
    s.write(b"go\n")
    wait_until(lambda: os.path.getsize(pod.log_path("a")) >= 1 << 20, what="a reader that is full")
    assert settled(lambda: os.path.getsize(pod.log_path("a"))) < 4 << 20
    with concurrent.futures.ThreadPoolExecutor() as pool:
        readers = [pool.submit(each.read_all, timeout=200) for each in (s, other)]
        for each in readers:
            got = each.result()
            assert len(got) == size and got == expected[:size]
    assert s.exit_code() == other.exit_code() == 3
    assert pod.output("a").rstrip(b"\n") == expected[:size]


def test_a_reader_that_takes_nothing(pod, attach):
    """It is waited for a while, and then no more: the container goes on, and the log has all."""
    pod.sh("a", "read x; yes 0123456789 | head -c 3000001; read x; echo last", stdin=True)
    stopped, silent = attach().narrow(), attach(stdin=False, stdout=False)
    stopped.write(b"go\n")
    with pytest.raises(Failed, match="TOO_LARGE.*its log has all"):
        stopped.event(60)
    got = stopped.read_all()
    assert b"0123456789\n" * (len(got) // 11) == got[:len(got) // 11 * 11] and len(got) < 3000000
    stopped.write(b"go on\n")  # its descriptors are its own
    pod.client.wait_exit("a", timeout=60)
    whole = b"0123456789\n" * 272728
    assert pod.output("a") == whole[:3000001] + b"last\n"
    assert silent.exit_code() == 0


def test_the_writer_dies(pod, attach):
    pod.sh("a", ECHO, stdin=True)
    s = attach()
    s.write(b"one\n")
    s.read_until(b"out one")
    old = writer_of(pod)
    os.kill(old, signal.SIGKILL)
    with pytest.raises(Failed, match="UNAVAILABLE.*attach again"):
        s.event()
    assert s.read_all() == b""
    again = attach()
    again.write(b"two\nend2\n")
    assert again.exit_code() == 2
    assert again.read_now() == (b"out two\n", True)
    assert pod.output("a") == b"out one\nout two\n"


def test_the_writer_dies_before_it_has_heard(pod, attach):
    pod.sh("a", ECHO, stdin=True)
    writer = writer_of(pod)
    os.kill(writer, signal.SIGSTOP)
    s = attach(start=False)
    s.send(start={})
    pod.client.state()
    os.kill(writer, signal.SIGKILL)
    s.opened().write(b"x\nend0\n")
    assert s.exit_code() == 0
    assert s.read_now() == (b"out x\n", True)


def test_a_disk_that_fails_for_a_while(make_pod):
    pod = make_pod(env={"TARE_FAULT": "shim.log.write:1=fail,shim.log.write:2=fail"})
    pod.sandbox()
    pod.sh("a", ECHO, stdin=True)
    s = attach_to(pod)
    s.write(b"one\n")
    s.read_until(b"out one\n")
    s.write(b"two\n")
    s.read_until(b"out two\n")  # when the disk works again
    s.write(b"end6\n")
    assert s.exit_code() == 6
    assert pod.output("a") == b"out one\nout two\n"
    s.close()
    pod.shutdown()


def test_a_disk_that_fails_for_good(make_pod):
    pod = make_pod(env={"TARE_FAULT": "shim.log.write:0=fail"})
    pod.sandbox()
    pod.sh("a", ECHO, stdin=True)
    s, silent = attach_to(pod), attach_to(pod)
    s.write(b"one\n")
    s.read_until(b"out one\n")
    silent.close()
    s.write(b"two\nend6\n")
    assert pod.client.wait_exit("a").exit_code == 6
    with pytest.raises(Failed, match="UNAVAILABLE.*log cannot be written"):
        s.event()
    s.close()


def attach_to(pod):
    return Session(pod.client, attach=pb.StreamAttach(
        container_id="a", stdin=True, stdout=True, stderr=True)).start()


def test_a_hung_writer(pod, attach):
    """A session that the writer does not hear of holds up nothing."""
    pod.sh("a", "sleep 1000")
    os.kill(writer_of(pod), signal.SIGSTOP)
    try:
        s = attach(start=False)
        s.send(start={})
        attach(start=False).close()
        pod.client.kill("a", signal.SIGKILL)
        assert pod.client.wait_exit("a").signal == 9
    finally:
        os.kill(writer_of(pod), signal.SIGCONT)
    s.opened()
    assert s.exit_code() == 137


def test_the_daemon_goes(pod, attach):
    pod.sh("a", ECHO, stdin=True)
    other = pod.shim.connect()
    s = attach(client=other)
    other.close()
    s.write(b"x\n")
    assert s.read_until(b"\n") == b"out x\n"


def test_shutdown_waits_for_nobody(pod, attach):
    """Not even for one who reads nothing of what is there."""
    pod.sh("a", "read x; yes | head -c 900000; echo; sleep 1000", stdin=True)
    pod.sh("b", "sleep 1000")
    s, waiting, other = attach().narrow(), attach(start=False), attach("b")
    s.write(b"go\n")
    wait_until(lambda: os.path.getsize(pod.log_path("a")) > 900000, what="output")
    pod.shutdown()
    with pytest.raises(Failed, match="CANCELED.*removed"):
        s.event()
    assert other.exit_code() == 137
    with pytest.raises(Failed):
        waiting.event()


def test_the_log_stays_byte_exact(pod, attach):
    """With a reader beside it, slow or not, and with binary output."""
    pod.sh("a", "read x; dd if=/bin/busybox bs=4096 count=200 2>/dev/null; echo; echo end",
           stdin=True)
    s, idle = attach(), attach(stdin=False)
    s.write(b"x\n")
    with open(os.path.join(pod.image, "bin", "busybox"), "rb") as f:
        expected = f.read(200 * 4096) + b"\nend\n"
    assert s.read_all() == expected
    assert s.exit_code() == 0
    assert idle.read_all() == expected
    assert pod.output("a") == expected


def test_bad_command(pod, attach):
    pod.sh("a", ECHO, stdin=True)
    s = attach(start=False)
    s.send(close_stdin={})
    s.closed()
    s = attach()
    s.send(start={})
    s.closed()
    attach().write(b"end0\n")
    assert pod.client.wait_exit("a").exit_code == 0


def test_descriptors_are_given_back(pod, attach):
    pod.sh("a", ECHO, stdin=True)
    attach().close()
    before = settled(lambda: (pod.shim.descriptors(), writer_fds(pod)))
    for _ in range(10):
        attach().close()
        attach(start=False).close()
        attach(stdin=False, stderr=False).close()
        with pytest.raises(ShimError):
            attach("b")
    wait_until(lambda: (pod.shim.descriptors(), writer_fds(pod)) == before,
               what="descriptors as before")


def settled(value):
    """That it has when it was the same for a while."""
    seen = []

    def same():
        seen.append(value())
        return len(seen) > 20 and len(set(seen[-20:])) == 1

    wait_until(same, what="a value that stays")
    return seen[-1]
