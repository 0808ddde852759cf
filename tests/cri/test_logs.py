# SPDX-License-Identifier: Apache-2.0
"""The form of log files, and opening them anew."""

import os
import re

import pytest

from support.cri import Code, CriError
from support.node import wait_until

LINE_MAX = 16384
RECORD = re.compile(
    r"20\d\d-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{9}(Z|[+-]\d\d:\d\d) (stdout|stderr) [PF] .*"
)


def test_records(node, pod):
    container = pod.run(["sh", "-c", "echo one; echo two >&2; echo; printf 'no end'"])
    container.wait()
    with open(container.log_path, encoding="utf-8") as log:
        lines = log.read().splitlines()
    assert all(RECORD.fullmatch(line) for line in lines), lines
    assert [r for r in container.log() if r[0] == "stdout"] == [
        ("stdout", "F", "one"),
        ("stdout", "F", ""),
        ("stdout", "P", "no end"),
    ]
    assert [r for r in container.log() if r[0] == "stderr"] == [("stderr", "F", "two")]


def test_long_lines_are_parts(node, pod):
    script = f"head -c {2 * LINE_MAX + 5} /dev/zero | tr '\\0' x; echo; echo short"
    container = pod.run(["sh", "-c", script])
    container.wait()
    assert [(tag, len(text)) for _, tag, text in container.log()] == [
        ("P", LINE_MAX),
        ("P", LINE_MAX),
        ("F", 5),
        ("F", 5),
    ]


def test_a_line_of_just_the_limit(node, pod):
    container = pod.run(["sh", "-c", f"head -c {LINE_MAX} /dev/zero | tr '\\0' x; echo; echo next"])
    container.wait()
    assert "".join(text for _, tag, text in container.log()) == "x" * LINE_MAX + "next"
    assert container.log()[-1] == ("stdout", "F", "next")


def test_file_mode_and_folders(node, pod):
    container = pod.run(["echo", "x"], log_path="below/that/0.log")
    container.wait()
    assert container.text() == "x\n"
    assert container.status().log_path == container.log_path
    assert os.stat(container.log_path).st_mode & 0o777 == 0o640


def test_no_log(node):
    pod = node.run_pod(log_directory="")
    container = pod.run(["sh", "-c", "seq 100000"])
    assert container.wait().exit_code == 0
    assert container.status().log_path == ""


def test_terminal(node, pod):
    container = pod.run(["sh", "-c", "tty; echo err >&2"], tty=True)
    container.wait()
    assert container.text() == "/dev/pts/0\nerr\n"


def test_reopen(node, pod):
    script = "i=0; while :; do echo $i; i=$((i+1)); sleep 0.005; done"
    container = pod.run(["sh", "-c", script])
    wait_until(lambda: len(container.log()) > 10, what="some lines")
    os.rename(container.log_path, container.log_path + ".1")
    node.client.ReopenContainerLog(container_id=container.id)
    assert os.path.exists(container.log_path), "the new file is there when the call returns"
    wait_until(lambda: len(container.log()) > 10, what="some lines in the new file")
    container.stop()
    with open(container.log_path + ".1", encoding="utf-8") as old:
        before = [int(line.split()[-1]) for line in old.read().splitlines()]
    after = [int(text) for _, _, text in container.log()]
    assert before + after == list(range(len(before + after)))


def test_reopen_needs_a_running_container(node, pod):
    container = pod.run(["true"])
    container.wait()
    os.unlink(container.log_path)
    with pytest.raises(CriError) as error:
        node.client.ReopenContainerLog(container_id=container.id)
    assert error.value.code() == Code.FAILED_PRECONDITION
    assert not os.path.exists(container.log_path)


def test_a_burst_is_complete(node, pod):
    container = pod.run(["seq", "300000"])
    container.wait(30)
    assert container.text() == "".join(f"{n}\n" for n in range(1, 300001))


def test_output_after_stop_of_a_child(node, pod):
    """What a child writes before the container's end is in the log when it has exited."""
    container = pod.run(["sh", "-c", "(echo from the child) & wait; exit 3"])
    assert container.wait().exit_code == 3
    assert container.text() == "from the child\n"
