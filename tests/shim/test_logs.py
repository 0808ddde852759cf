# SPDX-License-Identifier: Apache-2.0
"""Log files: content, partial lines, rotation, a writer that dies, disks that fail."""
import hashlib
import os
import re
import signal
import subprocess
import time

import pytest
from shim_client import ShimError, wait_until

LINE = re.compile(rb"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{9}Z (stdout|stderr) [FP] .*$", re.S)


def whole_log(pod, name):
    with open(pod.log_path(name), "rb") as f:
        return f.read()


def test_format(pod):
    pod.sh("a", "echo hello; echo; echo '  spaces  '; printf 'cr\\r\\n'; printf '\\000\\377\\n'")
    pod.client.wait_exit("a")
    for line in whole_log(pod, "a").split(b"\n")[:-1]:
        assert LINE.match(line), line
    assert pod.records("a") == [("stdout", "F", c) for c in
                                (b"hello", b"", b"  spaces  ", b"cr\r", b"\0\xff")]


def test_no_newline_at_the_end(pod):
    pod.sh("a", "echo one; printf two")
    pod.client.wait_exit("a")
    assert pod.records("a") == [("stdout", "F", b"one"), ("stdout", "P", b"two")]


def test_a_line_in_pieces(pod):
    pod.sh("a", "for i in 1 2 3 4 5; do printf $i; sleep 0.02; done; echo; sleep 1000")
    wait_until(lambda: pod.output("a"), what="output")
    assert pod.records("a") == [("stdout", "F", b"12345")]
    # a prompt is seen without its newline, soon
    pod.sh("b", "printf 'password: '; sleep 1; echo secret; sleep 1000")
    wait_until(lambda: pod.records("b") == [("stdout", "P", b"password: ")], what="the prompt")
    wait_until(lambda: pod.output("b") == b"password: secret\n", what="the rest")


@pytest.mark.parametrize("size", [99, 100, 101, 199, 200, 201, 1000])
def test_long_lines_are_split(pod, size):
    pod.sh("a", f"head -c {size} /dev/zero | tr '\\000' x; echo; echo short", max_log_line=100)
    pod.client.wait_exit("a")
    records = pod.records("a")
    assert pod.output("a") == b"x" * size + b"\nshort\n"
    assert all(len(c) == 100 for _, tag, c in records if tag == "P")
    assert [tag for _, tag, _ in records].count("P") == (size - 1) // 100


def test_default_line_length(pod):
    pod.sh("a", "head -c 40000 /dev/zero | tr '\\000' x; echo")
    pod.client.wait_exit("a")
    assert [(tag, len(c)) for _, tag, c in pod.records("a")] == \
        [("P", 16384), ("P", 16384), ("F", 7232)]


def test_binary_flood_is_kept_byte_for_byte(pod):
    pod.sh("a", "dd if=/dev/urandom of=/data/random bs=1M count=20 2>/dev/null; cat /data/random")
    pod.client.wait_exit("a", timeout=60)
    with open(pod.path("a", "upper", "data", "random"), "rb") as f:
        want = f.read()
    wait_until(lambda: len(pod.output("a")) >= len(want), what="all output")
    got = pod.output("a")
    assert hashlib.sha256(got).digest() == hashlib.sha256(want).digest()


def test_throughput(pod):
    line = "0123456789" * 9 + "012345678"
    pod.sh("a", f"yes {line} | head -c 100000000")
    assert pod.client.wait_exit("a", timeout=60).exit_code == 0
    wait_until(lambda: os.stat(pod.log_path("a")).st_size == 1000000 * 140, timeout=120,
               what="100 MB of lines")
    with open(pod.log_path("a"), "rb") as f:
        head = f.read(14000).split(b"\n")[:-1]
    assert all(part.endswith(b"stdout F " + line.encode()) for part in head)


def test_both_streams_at_once(pod):
    pod.sh("a", "yes out | head -n 20000 & yes err | head -n 20000 >&2; wait")
    pod.client.wait_exit("a")
    wait_until(lambda: whole_log(pod, "a").count(b"\n") == 40000, what="all lines")
    assert pod.output("a") == b"out\n" * 20000
    assert pod.output("a", "stderr") == b"err\n" * 20000


def test_rotation(pod):
    pod.sh("a", "i=0; while :; do echo $i; i=$((i+1)); done")
    parts = []
    for n in range(10):
        wait_until(lambda: os.path.exists(pod.log_path("a")) and
                   os.stat(pod.log_path("a")).st_size > 4096, what="some output")
        os.rename(pod.log_path("a"), pod.log_path("a") + f".{n}")
        pod.client.reopen_log("a")
        assert os.stat(pod.log_path("a")).st_mode & 0o7777 == 0o640
        parts.append(pod.log_path("a") + f".{n}")
    pod.client.kill("a", signal.SIGKILL)
    pod.client.wait_exit("a")
    numbers = []
    for part in parts + [pod.log_path("a")]:
        with open(part, "rb") as f:
            numbers += [int(line.split(b" ", 3)[3]) for line in f.read().split(b"\n")[:-1]]
    assert numbers == list(range(len(numbers)))


def test_reopen_after_the_end(pod):
    pod.sh("a", "echo hello")
    pod.client.wait_exit("a")
    os.rename(pod.log_path("a"), pod.log_path("a") + ".1")
    pod.client.reopen_log("a")
    assert whole_log(pod, "a") == b""
    with pytest.raises(ShimError, match="NOT_FOUND"):
        pod.client.reopen_log("b")
    pod.prepare("c")
    with pytest.raises(ShimError, match="PRECONDITION"):
        pod.client.reopen_log("c")


def test_only_regular_files(pod):
    def refused(name, part):
        pod.prepare(name)
        with pytest.raises(ShimError, match=part):
            pod.client.start(name, pod.bundle(name, pod.spec(name, ["true"])),
                             log_path=pod.log_path(name))
        assert pod.client.container_state(name).state == "prepared"

    for name in "abc":
        os.makedirs(os.path.dirname(pod.log_path(name)))
    os.symlink(pod.path("elsewhere"), pod.log_path("a"))
    refused("a", "open log")
    os.mkfifo(pod.log_path("b"))
    refused("b", "log '")
    os.mkdir(pod.log_path("c"))
    refused("c", "log '")
    assert not os.path.exists(pod.path("elsewhere"))


def test_appends(pod):
    os.makedirs(os.path.dirname(pod.log_path("a")))
    with open(pod.log_path("a"), "w") as f:
        f.write("2020-01-01T00:00:00.000000000Z stdout F before\n")
    pod.sh("a", "echo after")
    pod.client.wait_exit("a")
    assert pod.output("a") == b"before\nafter\n"


def test_background_child_keeps_the_pipe(make_pod):
    """Output after the exit is kept until the container is deleted, and delete does not hang."""
    pod = make_pod()
    pod.sandbox(shared_pid=True)
    spec = pod.spec("a", ["sh", "-c", "(sleep 0.5; echo late; printf end) & echo early"])
    pod.prepare("a")
    pod.client.start("a", pod.bundle("a", spec), log_path=pod.log_path("a"))
    # its own PID namespace: the child dies with the init, and so does not keep the pipe
    pod.client.wait_exit("a")
    assert pod.output("a") == b"early\n"
    pod.client.delete("a")
    pod.shutdown()


def writer_of(pod):
    return wait_until(lambda: pod.shim.child_named("tare-shim-log"), what="a log writer")


def test_writer_dies(pod):
    """A new one goes on: what was in the pipe is there, and output after it."""
    pod.sh("a", "echo before; while [ ! -e /tmp/go ]; do sleep 0.02; done; "
                "seq 1 2000; echo end; sleep 1000")
    pod.sh("b", "sleep 1000")
    wait_until(lambda: pod.output("a") == b"before\n", what="output")
    old = writer_of(pod)
    os.kill(old, signal.SIGSTOP)
    assert pod.exec("a", ["touch", "/tmp/go"])[0] == 0
    time.sleep(0.3)
    assert pod.output("a") == b"before\n"
    os.kill(old, signal.SIGKILL)
    want = b"before\n" + b"".join(b"%d\n" % i for i in range(1, 2001)) + b"end\n"
    wait_until(lambda: pod.output("a") == want, what="all output")
    assert writer_of(pod) != old
    pod.client.reopen_log("b")
    assert "log writer ended" in pod.shim.log()


def test_writer_dies_again_and_again(pod):
    """Each time with nothing in its hand and output in the pipe: not a line is lost, also while
    the next writer is waited for, as one that lived for less than a second was before it."""
    pod.sh("a", "i=0; while [ $i -lt 400 ]; do if [ $((i % 100)) = 0 ]; then "
                "while [ ! -e /tmp/go$i ]; do sleep 0.02; done; fi; echo $i; i=$((i+1)); done")
    for first in range(0, 400, 100):
        writer = writer_of(pod)
        os.kill(writer, signal.SIGSTOP)
        assert pod.exec("a", ["touch", f"/tmp/go{first}"])[0] == 0
        time.sleep(0.1)
        os.kill(writer, signal.SIGKILL)
        last = b"%d\n" % (first + 99)
        wait_until(lambda: pod.output("a").endswith(last), what="what was in the pipe")
    pod.client.wait_exit("a")
    assert pod.output("a") == b"".join(b"%d\n" % i for i in range(400))
    assert pod.shim.log().count("log writer ended") == 4


def test_writer_dies_at_any_moment(pod):
    """What it has in hand may be lost with it: one chunk. Nothing is written twice, or later."""
    pod.sh("a", "i=0; while [ ! -e /tmp/end ]; do echo $i; i=$((i+1)); usleep 500; done; echo end")
    for _ in range(3):
        time.sleep(0.3)
        os.kill(writer_of(pod), signal.SIGKILL)
    size = len(pod.output("a"))
    wait_until(lambda: len(pod.output("a")) > size, what="output by the last writer")
    assert pod.exec("a", ["touch", "/tmp/end"])[0] == 0
    pod.client.wait_exit("a")
    wait_until(lambda: pod.output("a").endswith(b"end\n"), what="the end")
    numbers = [int(n) for n in pod.output("a").split()[:-1]]
    assert numbers == sorted(set(numbers))


def test_start_while_the_writer_is_dead(pod):
    pod.sh("a", "sleep 1000")
    os.kill(writer_of(pod), signal.SIGKILL)
    pod.sh("b", "echo hello")
    pod.client.wait_exit("b")
    wait_until(lambda: pod.output("b") == b"hello\n", what="output")


def test_hung_writer_stalls_only_output(pod):
    """As a log disk that hangs: exits, kills, execs and deletes go on."""
    pod.sh("a", "sleep 1000")
    pod.sh("b", "echo hello; exit 3")
    wait_until(lambda: pod.output("b") == b"hello\n", what="output")
    writer = writer_of(pod)
    os.kill(writer, signal.SIGSTOP)
    try:
        assert pod.client.wait_exit("b").exit_code == 3
        assert pod.exec("a", ["echo", "x"]) == (0, b"x\n")
        pod.client.kill("a", signal.SIGKILL)
        start = time.monotonic()
        assert pod.client.wait_exit("a").signal == 9
        assert time.monotonic() - start < 5
        pod.run("c", ["true"], log=False)
        assert pod.client.wait_exit("c").exit_code == 0
    finally:
        os.kill(writer, signal.SIGCONT)


def test_full_disk(pod):
    """Output waits, nothing is lost or torn, when there is room again."""
    disk = pod.path("disk")
    os.mkdir(disk)
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=256k", "tmpfs", disk], check=True)
    try:
        spec = pod.spec("a", ["sh", "-c", "seq 1 30000; echo end; sleep 1000"])
        pod.prepare("a")
        log = os.path.join(disk, "a.log")
        pod.client.start("a", pod.bundle("a", spec), log_path=log)
        wait_until(lambda: os.stat(log).st_size > 200 << 10, what="a full disk")
        time.sleep(0.5)
        with open(log, "rb") as f:
            assert f.read().endswith(b"\n")
        subprocess.run(["mount", "-o", "remount,size=64m", disk], check=True)

        def numbers():
            with open(log, "rb") as f:
                return [line.split(b" ", 3)[3] for line in f.read().split(b"\n")[:-1]]

        wait_until(lambda: numbers()[-1:] == [b"end"], what="all output")
        assert numbers() == [b"%d" % i for i in range(1, 30001)] + [b"end"]
        pod.client.delete("a")
    finally:
        subprocess.run(["umount", "-l", disk], check=True)


def test_full_disk_does_not_hold_delete(pod):
    disk = pod.path("disk")
    os.mkdir(disk)
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", disk], check=True)
    try:
        pod.prepare("a")
        pod.client.start("a", pod.bundle("a", pod.spec("a", ["sh", "-c", "seq 1 100000"])),
                         log_path=os.path.join(disk, "a.log"))
        time.sleep(0.3)
        pod.client.delete("a")
        assert "bytes of output are lost" in pod.shim.log()
    finally:
        subprocess.run(["umount", "-l", disk], check=True)


def test_writer_outlives_the_shim(make_pod):
    pod = make_pod()
    pod.sandbox()
    pod.sh("a", "echo before; sleep 1; echo after")
    wait_until(lambda: pod.output("a") == b"before\n", what="output")
    writer = writer_of(pod)
    pod.shim.process.kill()
    pod.shim.process.wait()
    wait_until(lambda: pod.output("a") == b"before\nafter\n", what="the rest")
    wait_until(lambda: not os.path.exists(f"/proc/{writer}"), what="the writer's end")


def test_writer_sees_no_other_descriptors(pod):
    pod.sh("a", "sleep 1000")
    links = [os.readlink(f"/proc/{writer_of(pod)}/fd/{fd}")
             for fd in os.listdir(f"/proc/{writer_of(pod)}/fd")]
    kinds = sorted(re.sub(r"[:\[].*", "", os.path.basename(link)) for link in links)
    assert kinds == sorted(["null", "shim.log", "shim.log", "socket", "anon_inode", "pipe", "pipe",
                            "0.log"])
