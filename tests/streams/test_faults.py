# SPDX-License-Identifier: Apache-2.0
"""Clients, workers, supervisors and daemons that die, hang or are many."""

import json
import os
import signal
import socket
import subprocess
import threading
import time
from urllib.parse import urlparse

import pytest

from clients import TRANSPORTS, ended, go, start_go
from support.node import running, wait_until
from support.websocket import Closed, WebSocket
from wires import connect, counts, exec_url, read_all

FULL = os.environ.get("TARE_FULL") == "1"
IDLE_S = 700
ECHO = ("sh", "-c", "while read x; do echo got $x; done; exit 5")


def processes_of(container, mark):
    return mark.encode() in container.exec("ps").stdout


def workers(node):
    found = []
    for pid in node.processes():
        try:
            with open(f"/proc/{pid}/comm", encoding="utf-8") as file:
                if file.read().strip() == "tare-stream":
                    found.append(pid)
        except OSError:
            pass
    return found


@pytest.mark.parametrize("transport", TRANSPORTS)
@pytest.mark.parametrize("how", ["killed", "worker killed"])
def test_who_ends_takes_the_command_along(node, pod, transport, how):
    """The client, or the worker: the command's process and what it started are killed."""
    container = pod.run()
    script = "sleep 4713 & sleep 4714 & echo up; wait"
    process = start_go(node, "run", exec_url(container, ("sh", "-c", script)), transport)
    assert process.stdout.readline() == b"up\n"
    assert processes_of(container, "4713") and processes_of(container, "4714")
    if how == "killed":
        process.kill()
    else:
        worker, = workers(node)
        os.kill(worker, signal.SIGKILL)
    process.communicate(timeout=20)
    wait_until(lambda: not processes_of(container, "471"), what="the end of the command")
    wait_until(lambda: counts(node)["sessions"] == 0, what="the worker's end")
    assert container.status().state == 1


def upgrade(node, url, protocol="v5.channel.k8s.io"):
    """A WebSocket's connection after the handshake: bytes of ours."""
    sock = connect(node, url)
    sock.sendall((f"GET {urlparse(url).path} HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\n"
                  "Connection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
                  "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
                  f"Sec-WebSocket-Protocol: {protocol}\r\n\r\n").encode())
    head = b""
    while not head.endswith(b"\r\n\r\n"):
        byte = sock.recv(1)
        assert byte, head
        head += byte
    assert head.startswith(b"HTTP/1.1 101 "), head
    return sock


def memory(pid):
    with open(f"/proc/{pid}/status", encoding="utf-8") as file:
        return next(int(line.split()[1]) for line in file if line.startswith("VmRSS:"))


def stalls(pid):
    """Whether the worker moves no more bytes."""
    def moved():
        with open(f"/proc/{pid}/io", encoding="utf-8") as file:
            return file.read()
    before = moved()
    time.sleep(0.2)
    return moved() == before


def test_a_client_that_does_not_read(node, pod):
    """The command waits for it in a bounded amount of memory; Stop does not."""
    container = pod.run()
    with upgrade(node, exec_url(container, ("yes",))):
        worker, = workers(node)
        wait_until(lambda: stalls(worker), 30, "the worker to stall")
        assert memory(worker) < 32 << 10
        assert container.exec("true").exit_code == 0
        begin = time.monotonic()
        container.stop()
        assert time.monotonic() - begin < 10
        assert container.status().exit_code == 137
    wait_until(lambda: counts(node)["sessions"] == 0, what="the worker's end")


def test_a_slow_reader_of_an_attached_container(node, pod):
    """It gets every byte, however much; the container goes at its pace, and the log has all."""
    size = 50_000_000
    container = pod.run(["sh", "-c", "while [ ! -e /tmp/go ]; do sleep 0.02; done;"
                         f"yes {'a' * 999} | head -c {size}"])
    url = node.client.Attach(container_id=container.id, stdout=True, stderr=True).url
    got = ends = 0
    with upgrade(node, url) as sock:
        reader = WebSocket(lambda: sock.recv(1 << 13), sock.sendall)
        wait_until(lambda: counts(node)["sessions"] == 1, what="the session")
        assert container.exec("touch", "/tmp/go").exit_code == 0
        wait_until(lambda: os.path.getsize(container.log_path) > 1 << 20, 60, "output")
        while reader.close is None:
            try:
                _, message = reader.message()
            except Closed:
                break
            if message[:1] == b"\1":
                assert message.count(b"a") + message.count(b"\n") == len(message) - 1
                got, ends = got + len(message) - 1, ends + message.count(b"\n")
    assert (got, ends) == (size, size // 1000)
    assert container.wait().exit_code == 0
    assert os.path.getsize(container.log_path) > size


def test_a_reader_of_an_attached_container_that_stalls(node, pod):
    """The container and its log wait for it a while, and then no more."""
    container = pod.run(["sh", "-c", "while [ ! -e /tmp/go ]; do sleep 0.02; done;"
                         "yes aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa | head -c 20000000;"
                         "touch /tmp/done; sleep 1000"])
    url = node.client.Attach(container_id=container.id, stdout=True, stderr=True).url
    with upgrade(node, url):
        wait_until(lambda: counts(node)["sessions"] == 1, what="the session")
        container.exec("touch", "/tmp/go")
        wait_until(lambda: container.exec("ls", "/tmp/done").exit_code == 0, 60, "all output")
        wait_until(lambda: os.path.getsize(container.log_path) > 20000000, what="the log")
        begin = time.monotonic()
        container.stop()
        assert time.monotonic() - begin < 10


def test_a_supervisor_that_hangs_in_a_session(node, pod):
    """What is open goes on without it; its end is told when it goes on."""
    container = pod.run()
    supervisor = pod.info()["supervisorPid"]
    url = exec_url(container, ECHO, stdin=True)
    process = start_go(node, "run", url, "websocket", "-i")

    def ask(text):
        process.stdin.write(text + b"\n")
        process.stdin.flush()
        return process.stdout.readline()

    assert ask(b"one") == b"got one\n"
    os.kill(supervisor, signal.SIGSTOP)
    try:
        assert ask(b"two") == b"got two\n"
        assert node.client.Version().runtime_name == "tare"
    finally:
        os.kill(supervisor, signal.SIGCONT)
    assert ended(process)[0] == 5


def test_a_supervisor_that_dies_in_a_session(own_node):
    node = own_node
    pod = node.run_pod()
    node.note_pids()
    url = exec_url(pod.run(), ("sh", "-c", "echo up; sleep 1000"))
    process = start_go(node, "run", url, "spdy")
    assert process.stdout.readline() == b"up\n"
    os.kill(pod.info()["supervisorPid"], signal.SIGKILL)
    assert ended(process)[0] != 0
    wait_until(lambda: counts(node)["sessions"] == 0, what="the worker's end")
    pod.remove()
    node.assert_nothing_left()


@pytest.mark.parametrize("transport", TRANSPORTS)
def test_the_daemon_dies_in_a_session(own_node, transport):
    """Sessions go on to their ends; a URL that was given before is good after."""
    node = own_node
    pod = node.run_pod()
    container = pod.run(["sh", "-c", "while read x; do echo got $x; done"], stdin=True)
    url = exec_url(container, ECHO, stdin=True)
    attach = node.client.Attach(container_id=container.id, stdin=True, stdout=True,
                                stderr=True).url
    later = exec_url(container, ("sh", "-c", "exit 6"))
    sessions = [start_go(node, "run", each, transport, "-i") for each in (url, attach)]

    def both_answer(text):
        for process in sessions:
            process.stdin.write(text + b"\n")
            process.stdin.flush()
            assert process.stdout.readline() == b"got " + text + b"\n"

    both_answer(b"one")
    node.kill()
    both_answer(b"two")
    node.start()
    both_answer(b"three")
    assert ended(sessions[0])[0] == 5
    assert go(node, "run", later, transport)[0] == 6
    container.stop()
    assert ended(sessions[1])[0] == 0
    with connect(node, later) as sock:
        sock.sendall(f"POST {urlparse(later).path} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
        assert read_all(sock).startswith(b"HTTP/1.1 404 ")


@pytest.mark.parametrize("path", ["/exec/{}", "/exec/", "/exec", "/", "/attach/" + "0" * 64,
                                  "/portforward/" + "0" * 64])
def test_what_is_no_token(node, pod, path):
    url = exec_url(pod.run())
    token = urlparse(url).path.split("/")[2]
    with connect(node, url) as sock:
        target = path.format(("0" if token[0] != "0" else "1") + token[1:])
        sock.sendall(f"POST {target} HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\n"
                     "Upgrade: SPDY/3.1\r\nX-Stream-Protocol-Version: v4.channel.k8s.io\r\n\r\n"
                     .encode())
        assert read_all(sock).startswith(b"HTTP/1.1 404 ")


def test_200_sessions_at_once(node, pod):
    container = pod.run()
    process = start_go(node, "many", "websocket", "200", stdin=subprocess.PIPE)
    script = "echo up; while [ ! -e /tmp/go ]; do sleep 0.1; done; exit 4"
    threads = [threading.Thread(target=process.stdin.write, args=(
        f"{exec_url(container, ('sh', '-c', script))}\n".encode(),)) for _ in range(200)]
    for thread in threads:
        thread.start()
        thread.join()
    process.stdin.flush()
    wait_until(lambda: counts(node)["sessions"] == 200, 60, "200 sessions")
    begin = time.monotonic()
    assert node.client.Version().runtime_name == "tare"
    assert time.monotonic() - begin < 5
    assert container.exec("touch", "/tmp/go").exit_code == 0
    status, out, _ = ended(process, seconds=60)
    assert status == 0 and out.decode().splitlines() == ['4 "up\\n" ""'] * 200
    wait_until(lambda: counts(node)["sessions"] == 0, what="the end of the workers")


def resources(node, pod):
    """(descriptors, memory) of the daemon and of the pod's supervisor."""
    found = []
    for pid in (node.process.pid, pod.info()["supervisorPid"]):
        assert running(pid)
        found.append((len(os.listdir(f"/proc/{pid}/fd")), memory(pid)))
    return found


def in_a_row(node, container, count, transport):
    """Sessions, four at a time."""
    process = start_go(node, "many", transport, "4")
    lines = []
    reader = threading.Thread(target=lambda: lines.extend(process.stdout))
    reader.start()
    for number in range(count):
        wait_until(lambda number=number: number - len(lines) < 500, 600, "the client")
        process.stdin.write(f"{exec_url(container, ('echo', str(number)))}\n".encode())
        process.stdin.flush()
    process.stdin.close()
    reader.join()
    process.stderr.close()
    assert process.wait(600) == 0
    process.stdout.close()
    assert sorted(int(json.loads(line.split()[1]))
                  for line in lines) == list(range(count)), lines[:5]


@pytest.mark.parametrize("transport", TRANSPORTS)
def test_sessions_in_a_row(make_node, transport):
    """Neither daemon nor supervisor grows."""
    node = make_node(log_level="warning")
    pod = node.run_pod()
    container = pod.run()
    in_a_row(node, container, 200, transport)
    wait_until(lambda: counts(node)["sessions"] == 0, what="the end of the workers")
    before = resources(node, pod)
    in_a_row(node, container, 50000 if FULL else 800, transport)
    wait_until(lambda: counts(node)["sessions"] == 0, what="the end of the workers")
    for (fds, kib), (fds_before, kib_before) in zip(resources(node, pod), before):
        assert fds <= fds_before + 1
        assert kib < kib_before + 1024
    assert counts(node)["tokens"] == 0
    assert len(container.exec("ps").stdout.splitlines()) <= 4


@pytest.mark.full
def test_idle_sessions(own_node):
    """For longer than any time-out that there is; then they go on."""
    node = own_node
    pod = node.run_pod()
    container = pod.run(["sh", "-c", "while read x; do echo got $x; done"], stdin=True)
    urls = [exec_url(container, ECHO, stdin=True),
            node.client.Attach(container_id=container.id, stdin=True, stdout=True).url]
    sessions = [start_go(node, "run", url, transport, "-i")
                for url, transport in zip(urls, TRANSPORTS)]
    pod.run(["sh", "-c", "while :; do nc -l -p 80 -e cat; done"])
    forward = start_go(node, "forward",
                       node.client.PortForward(pod_sandbox_id=pod.id, port=[80]).url, "spdy", ":80")
    port = int(forward.stdout.readline().split()[0])

    def passed_on(sock):
        sock.sendall(b"passed on")
        return sock.recv(100) == b"passed on"

    def connected():
        sock = connect(node, f"http://127.0.0.1:{port}")
        if passed_on(sock):
            return sock
        sock.close()
        return None

    kept = [wait_until(connected, what="nc")]
    for _ in range(2):
        for process in sessions:
            process.stdin.write(b"one\n")
            process.stdin.flush()
            assert process.stdout.readline() == b"got one\n"
        assert passed_on(kept[0])
        time.sleep(IDLE_S)
    assert counts(node)["sessions"] == 3
    kept[0].close()
    assert ended(sessions[0])[0] == 5
    container.stop()
    assert ended(sessions[1])[0] == 0
    ended(forward)


def test_a_client_that_goes_during_the_handshake(node, pod):
    container = pod.run()
    for length in (0, 1, 20, 60):
        url = exec_url(container)
        head = f"POST {urlparse(url).path} HTTP/1.1\r\nHost: x\r\n"[:length]
        with connect(node, url) as sock:
            sock.sendall(head.encode())
            sock.shutdown(socket.SHUT_WR)
            read_all(sock)
        wait_until(lambda: counts(node)["connections"] == 0, what="the end of the worker")
        assert go(node, "run", url, "spdy")[0] == 0, "its URL was not used up"
