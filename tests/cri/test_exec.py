# SPDX-License-Identifier: Apache-2.0
"""ExecSync."""

import threading
import time

import pytest

from support.cri import Code, CriError
from support.node import wait_until

MAX = 16 << 20  # bytes of each stream


def test_streams_and_exit_code(node, pod):
    done = pod.run().exec("sh", "-c", "echo out; echo err >&2; exit 5")
    assert (done.stdout, done.stderr, done.exit_code) == (b"out\n", b"err\n", 5)


def test_it_runs_in_the_container(node, pod):
    container = pod.run(
        working_dir="/home", linux={"security_context": {"run_as_user": {"value": 1000}}}
    )
    done = container.exec("sh", "-c", "pwd; id -u; echo $FROM_IMAGE; hostname")
    assert done.stdout == b"/home\n1000\nyes\npod-host\n"


def test_killed_by_a_signal(node, pod):
    assert pod.run().exec("sh", "-c", "kill -9 $$").exit_code == 137


def test_timeout(node, pod):
    container = pod.run()
    begin = time.monotonic()
    with pytest.raises(CriError) as error:
        container.exec("sh", "-c", "sleep 4321 & sleep 4321", timeout=1)
    assert error.value.code() == Code.DEADLINE_EXCEEDED
    assert "ran longer than 1000 ms and was killed" in error.value.details()
    assert 0.9 < time.monotonic() - begin < 4
    assert container.status().state == 1


def test_timed_out_process_is_gone_when_told(node, pod):
    container = pod.run()
    with pytest.raises(CriError):
        container.exec("sleep", "4321", timeout=1)
    assert b"4321" not in container.exec("ps").stdout


def test_program_that_is_not_there(node, pod):
    with pytest.raises(CriError) as error:
        pod.run().exec("no-such-program")
    assert "no-such-program" in error.value.details()


def test_no_command(node, pod):
    container = pod.run()
    with pytest.raises(CriError) as error:
        container.exec()
    assert error.value.code() == Code.INVALID_ARGUMENT


@pytest.mark.parametrize("out, err", [(MAX + 100000, 0), (0, 2 * MAX), (MAX, MAX), (MAX, 1000)])
def test_output_is_capped(node, pod, out, err):
    """The program goes on to its end; the answer fits the message that clients take."""
    script = f"head -c {err} /dev/zero >&2; head -c {out} /dev/zero; exit 7"
    done = pod.run().exec("sh", "-c", script)
    assert done.exit_code == 7
    assert MAX - 2000 < len(done.stdout) + len(done.stderr) <= MAX
    for data, wanted in ((done.stdout, out), (done.stderr, err)):
        assert len(data) >= min(wanted, MAX // 2 - 2000), "neither takes the other's half"
    assert b"over the limit" in done.stderr[-100:]


def test_much_output_through_crictl(node, pod):
    done = node.crictl("exec", "-s", pod.run().id, "head", "-c", 2 * MAX, "/dev/zero")
    assert MAX - 2000 < len(done.out) < MAX + 2000


def test_binary_output(node, pod):
    done = pod.run().exec("printf", r"\000\377\001")
    assert done.stdout == b"\x00\xff\x01"


def test_a_child_that_keeps_the_pipe(node, pod):
    """A daemon that the program leaves behind does not hold the answer."""
    begin = time.monotonic()
    done = pod.run().exec("sh", "-c", "sleep 20 & echo started")
    assert done.stdout == b"started\n"
    assert time.monotonic() - begin < 5


def test_client_that_goes_away(node, pod):
    container = pod.run()
    call = node.client.start("ExecSync", container_id=container.id, cmd=["sleep", "4322"])
    wait_until(lambda: b"4322" in container.exec("ps").stdout, what="the program")
    call.cancel()
    wait_until(lambda: b"4322" not in container.exec("ps").stdout, what="its end")


def test_many_at_once(node, pod):
    container = pod.run()
    results = []

    def run(number):
        results.append(container.exec("echo", str(number)).stdout)

    threads = [threading.Thread(target=run, args=(n,)) for n in range(30)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(results) == sorted(f"{n}\n".encode() for n in range(30))


def test_stop_does_not_wait_for_an_exec(node, pod):
    container = pod.run()
    call = node.client.start("ExecSync", container_id=container.id, cmd=["sleep", "4323"])
    wait_until(lambda: b"4323" in container.exec("ps").stdout, what="the program")
    begin = time.monotonic()
    container.stop()
    assert time.monotonic() - begin < 5
    assert call.exception() is not None or call.result().exit_code == 137


def test_exec_in_what_does_not_run(node, pod):
    container = pod.create()
    with pytest.raises(CriError) as error:
        container.exec("true")
    assert error.value.code() == Code.FAILED_PRECONDITION


def test_command_that_is_too_long(node, pod):
    container = pod.run()
    for call, more in ((node.client.ExecSync, {}), (node.client.Exec, {"stdout": True})):
        with pytest.raises(CriError) as error:
            call(container_id=container.id, cmd=["echo", "x" * 300000], **more)
        assert "cmd is longer than 262144 bytes" in error.value.details()
