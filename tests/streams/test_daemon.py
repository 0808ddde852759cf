# SPDX-License-Identifier: Apache-2.0
"""The daemon's part: what it asks of a request, tokens, connections, and workers that misbehave."""

import importlib
import json
import os
import signal
import socket
import sqlite3
import subprocess
import sys
import time
from urllib.parse import urlparse

import pytest

from support.cri import PROTO, Code, CriError
from support.isolation import within_network
from support.node import running, wait_until
from wires import connect, counts, exec_url, read_all


@pytest.fixture
def fake_node(make_node, fake_worker):
    """A node whose stream worker is worker.py."""
    made = make_node()
    made.build, made.set_mode = fake_worker
    made.restart()
    return made


@pytest.fixture(scope="session")
def redeemed(tmp_path_factory):
    """Reads what the worker told: (the daemon's answer, the number of descriptors)."""
    folder = str(tmp_path_factory.mktemp("stream"))
    proto = "tare/stream/v1/stream.proto"
    subprocess.run(["protoc", f"-I{PROTO}", f"--python_out={folder}", proto], check=True)
    sys.path.insert(0, os.path.join(folder, "tare/stream/v1"))
    stream_pb2 = importlib.import_module("stream_pb2")

    def read(sock):
        with sock.makefile("rb") as file:
            line = file.readline()
        assert line, "the worker ended without an answer"
        text, number = line.decode().split(" ")
        return stream_pb2.Redeemed.FromString(bytes.fromhex(text)), int(number)

    return read


def refused(code, call, **fields):
    with pytest.raises(CriError) as error:
        call(**fields)
    assert error.value.code() == code, error.value.details()
    return error.value.details()


def show(node, url):
    sock = connect(node, url)
    sock.sendall(f"POST {urlparse(url).path} HTTP/1.1\r\n".encode())
    return sock


# --- requests ---

def test_what_exec_refuses(node, pod):
    container = pod.run()
    ask = node.client.Exec
    me = {"container_id": container.id, "cmd": ["true"]}
    assert "stderr" in refused(Code.INVALID_ARGUMENT, ask, **me, stdout=True, stderr=True, tty=True)
    assert "none of" in refused(Code.INVALID_ARGUMENT, ask, **me)
    assert "cmd" in refused(Code.INVALID_ARGUMENT, ask, container_id=container.id, stdout=True)
    refused(Code.INVALID_ARGUMENT, ask, container_id="", cmd=["true"], stdout=True)
    refused(Code.NOT_FOUND, ask, container_id="nobody", cmd=["true"], stdout=True)
    container.stop()
    said = refused(Code.FAILED_PRECONDITION, ask, **me, stdout=True)
    assert "does not run" in said


def test_what_attach_refuses(node, pod):
    container = pod.run()
    ask = node.client.Attach
    me = {"container_id": container.id}
    refused(Code.INVALID_ARGUMENT, ask, **me, stdout=True, stderr=True, tty=True)
    refused(Code.INVALID_ARGUMENT, ask, **me)
    refused(Code.NOT_FOUND, ask, container_id="nobody", stdout=True)
    container.stop()
    refused(Code.FAILED_PRECONDITION, ask, **me, stdout=True)


def test_what_port_forward_refuses(node, pod):
    ask = node.client.PortForward
    for port in (0, -1, 65536):
        said = refused(Code.INVALID_ARGUMENT, ask, pod_sandbox_id=pod.id, port=[port])
        assert str(port) in said
    refused(Code.NOT_FOUND, ask, pod_sandbox_id="nobody", port=[80])
    assert ask(pod_sandbox_id=pod.id).url, "a client may choose its ports later"
    pod.stop()
    refused(Code.FAILED_PRECONDITION, ask, pod_sandbox_id=pod.id, port=[80])


def test_urls(node, pod):
    container = pod.run()
    urls = [exec_url(container) for _ in range(20)]
    urls.append(node.client.Attach(container_id=container.id[:9], stdout=True).url)
    urls.append(node.client.PortForward(pod_sandbox_id=pod.id).url)
    parts = [urlparse(url) for url in urls]
    assert len({part.netloc for part in parts}) == 1
    assert [part.path.split("/")[1] for part in parts[-3:]] == ["exec", "attach", "portforward"]
    tokens = {part.path.split("/")[2] for part in parts}
    assert len(tokens) == len(urls)
    assert min(map(len, tokens)) == 64, "32 random bytes"
    with open(node.path("state/state.db"), "rb") as store, open(
        node.path("state/state.db-wal"), "rb"
    ) as log:
        rows = store.read() + log.read()
    assert not [token for token in tokens if token.encode() in rows], "only their digests are kept"


def test_the_store_is_for_root_alone(node):
    for name in ("state/state.db", "state/state.db-wal", "root/tare.db"):
        assert os.stat(node.path(name)).st_mode & 0o077 == 0, name


# --- tokens ---

def test_a_session(fake_node, redeemed):
    node = fake_node
    container = node.run_pod().run()
    url = exec_url(container, stdin=True, stderr=True)
    assert counts(node)["tokens"] == 1
    sock = show(node, url)
    answer, number = redeemed(sock)
    if answer.HasField("error"):
        pytest.skip("the supervisor serves no streams")
    session = answer.session
    assert (session.kind, session.stdin, session.stdout, session.stderr, session.tty) == (
        1, True, True, True, False)
    assert session.id and number == 1
    assert counts(node) == {"sessions": 1, "connections": 0, "tokens": 0}
    sock.close()
    wait_until(lambda: counts(node)["sessions"] == 0, what="the worker's end")


def test_a_token_is_taken_once(fake_node, redeemed):
    node = fake_node
    url = exec_url(node.run_pod().run())
    with show(node, url) as first:
        redeemed(first)
        with show(node, url) as second:
            answer, number = redeemed(second)
    assert answer.error.kind == "NOT_FOUND" and number == 0


@pytest.mark.parametrize("path", ["/attach/{}", "/portforward/{}", "/nothing/{}", "/exec/{}x",
                                  "/exec/", "/exec/{}{}"])
def test_a_token_that_is_none(fake_node, redeemed, path):
    node = fake_node
    url = exec_url(node.run_pod().run())
    base, _, token = url.rpartition("/exec/")
    with show(node, base + path.format(token, token)) as sock:
        answer, number = redeemed(sock)
    assert answer.error.kind == "NOT_FOUND" and number == 0
    assert counts(node)["tokens"] == 1


def test_the_container_has_ended_meanwhile(fake_node, redeemed):
    node = fake_node
    container = node.run_pod().run()
    first, second = exec_url(container), exec_url(container)
    container.stop()
    with show(node, first) as sock:
        assert redeemed(sock)[0].error.kind == "PRECONDITION"
    container.remove()
    with show(node, second) as sock:
        assert redeemed(sock)[0].error.kind == "NOT_FOUND"


def test_tokens_outlive_the_daemon(fake_node, redeemed):
    node = fake_node
    container = node.run_pod().run()
    url = exec_url(container)
    node.restart()
    assert counts(node)["tokens"] == 1
    assert urlparse(exec_url(container)).netloc == urlparse(url).netloc, "the same port"
    with show(node, url) as sock:
        assert redeemed(sock)[0].error.kind != "NOT_FOUND"
    with show(node, url) as sock:
        assert redeemed(sock)[0].error.kind == "NOT_FOUND"


def expire(node, after_s):
    """The daemon's tokens expire at that time from now on; it is restarted."""
    node.kill()
    with sqlite3.connect(node.path("state/state.db")) as store:
        facts = json.dumps({"verb": "exec", "expires_ns": time.monotonic_ns() + after_s * 10**9})
        store.execute("UPDATE object SET facts=? WHERE kind='stream-token'", (facts,))
    store.close()
    node.start()


def test_tokens_expire(fake_node, redeemed):
    node = fake_node
    container = node.run_pod().run()
    with sqlite3.connect(node.path("state/state.db")) as store:
        url = exec_url(container)
        facts, = store.execute("SELECT facts FROM object WHERE kind='stream-token'").fetchone()
    store.close()
    assert 50 < json.loads(facts)["expires_ns"] / 10**9 - time.monotonic() < 61
    expire(node, 0)
    with show(node, url) as sock:
        assert redeemed(sock)[0].error.kind == "NOT_FOUND"
    assert counts(node)["tokens"] == 0
    exec_url(container)
    expire(node, 1)
    wait_until(lambda: counts(node)["tokens"] == 0, what="the sweep")
    with sqlite3.connect(node.path("state/state.db")) as store:
        assert store.execute("SELECT * FROM object WHERE kind='stream-token'").fetchall() == []
    store.close()


def test_too_many_tokens(own_node):
    node = own_node
    container = node.run_pod().run()
    for _ in range(1000):
        exec_url(container)
    said = refused(Code.RESOURCE_EXHAUSTED, node.client.Attach, container_id=container.id,
                   stdout=True)
    assert "1000" in said
    expire(node, 0)
    assert exec_url(container)


def test_too_large_tokens(own_node):
    """The requests that wait are bounded, too, and given back."""
    node = own_node
    container = node.run_pod().run()
    command = ["true", "x" * 250_000]
    for _ in range(67):
        exec_url(container, command)
    said = refused(Code.RESOURCE_EXHAUSTED, node.client.Exec, container_id=container.id,
                   cmd=command, stdout=True)
    assert "16 MiB" in said
    node.kill()
    node.start()
    refused(Code.RESOURCE_EXHAUSTED, node.client.Exec, container_id=container.id, cmd=command,
            stdout=True)
    expire(node, 0)
    assert exec_url(container, command)


# --- the port ---

def listening(node, address):
    """A listener of ours in the node's network."""
    family = socket.AF_INET6 if ":" in address[0] else socket.AF_INET
    return within_network(node.holder.pid, lambda: socket.create_server(address, family=family))


def test_a_port_that_is_taken(own_node):
    node = own_node
    container = node.run_pod().run()
    before = urlparse(exec_url(container))
    node.kill()
    with listening(node, ("127.0.0.1", before.port)):
        node.start()
        after = urlparse(exec_url(container))
    assert after.port != before.port
    assert f"port {before.port}" in node.log()


def configure(node, text):
    with open(node.path("config.toml"), "a", encoding="utf-8") as file:
        file.write(text)


def test_a_chosen_port(make_node):
    node = make_node(image=False)
    configure(node, '[stream]\naddress = "::1"\nport = 4711\n')
    node.restart()
    url = node.client.PortForward(pod_sandbox_id=node.run_pod().id).url
    assert url.startswith("http://[::1]:4711/portforward/")
    with connect(node, url):
        pass
    node.remove_everything()
    node.kill()
    with listening(node, ("::1", 4711)):
        second = node.inside(*node.command())
    assert second.returncode == 1 and "port 4711 of ::1 is in use" in second.stderr
    node.start()


@pytest.mark.parametrize("text, said", [
    ('address = "localhost"', "stream.address"),
    ('tls_cert = "/a"', "tls_key"),
    ('tls_key = "/a"', "tls_cert"),
    ('tls_client_ca = "/a"', "tls_client_ca"),
    ('tls_cert = "a"', "absolute path"),
    ("port = 65536", "65535"),
])
def test_configurations_that_are_refused(build, tmp_path, text, said):
    path = tmp_path / "c.toml"
    path.write_text(f'root = "{tmp_path}/r"\nstate = "{tmp_path}/s"\n[stream]\n{text}\n')
    done = subprocess.run([os.path.join(build, "src/cmd/tared"), "--config", path], check=False,
                          stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                          stderr=subprocess.STDOUT, text=True, timeout=20)
    assert done.returncode == 1 and said in done.stdout


# --- connections ---

def test_who_says_nothing(fake_node):
    """64 have a worker each, for 10 s."""
    node = fake_node
    url = node.client.PortForward(pod_sandbox_id=node.run_pod().id).url
    socks = [connect(node, url) for _ in range(64)]
    begin = time.monotonic()
    wait_until(lambda: counts(node)["connections"] == 64, what="64 workers")
    assert node.client.Version().runtime_name == "tare"
    for sock in socks:
        assert read_all(sock) == b""
    assert time.monotonic() - begin > 5
    assert "others wait" not in node.log()
    wait_until(lambda: counts(node)["connections"] == 0, what="the end of the workers")


def test_who_says_nothing_makes_room(fake_node, redeemed):
    """However many they are: a client with a token gets its turn."""
    node = fake_node
    url = node.client.PortForward(pod_sandbox_id=node.run_pod().id).url
    socks = [connect(node, url) for _ in range(66)]
    sock = show(node, url)
    assert redeemed(sock)[0].session.id
    assert node.log().count("others wait") >= 3
    for each in (*socks, sock):
        each.close()
    wait_until(lambda: counts(node)["connections"] == 0, what="the end of the workers")


@pytest.mark.parametrize("mode", ["garbage", "huge", "twice", "descriptor"])
def test_a_worker_that_breaks_the_rules(fake_node, mode):
    node = fake_node
    pod = node.run_pod()
    container = pod.run()
    node.set_mode(mode)
    if mode == "twice":
        os.kill(pod.info()["supervisorPid"], signal.SIGSTOP)
    try:
        with show(node, exec_url(container)) as sock:
            assert read_all(sock) == b"", "it was killed"
    finally:
        if mode == "twice":
            os.kill(pod.info()["supervisorPid"], signal.SIGCONT)
    wait_until(lambda: counts(node)["connections"] == 0, what="the end of the worker")
    assert container.exec("true").exit_code == 0


def test_a_supervisor_that_hangs(fake_node, redeemed):
    node = fake_node
    pod = node.run_pod()
    supervisor = pod.info()["supervisorPid"]
    container = pod.run()
    os.kill(supervisor, signal.SIGSTOP)
    try:
        with show(node, exec_url(container)) as sock:
            wait_until(lambda: counts(node)["tokens"] == 0, what="the worker")
            assert counts(node)["connections"] == 0, "its slot is free"
            assert node.run_pod().run().exec("true").exit_code == 0
            assert redeemed(sock)[0].error.kind == "TIMEOUT"
    finally:
        os.kill(supervisor, signal.SIGCONT)
    assert container.exec("true").exit_code == 0


def test_the_worker_is_not_there(fake_node):
    node = fake_node
    container = node.run_pod().run()
    os.unlink(os.path.join(node.build, "src/cmd/tare-stream"))
    with connect(node, exec_url(container)) as sock:
        assert read_all(sock) == b""
    wait_until(lambda: "a stream's client cannot be served" in node.log(), what="the log")
    assert container.exec("true").exit_code == 0


def workers(node):
    found = []
    for pid in node.processes():
        try:
            with open(f"/proc/{pid}/cmdline", encoding="utf-8") as file:
                if "tare-stream" in file.read():
                    found.append(pid)
        except OSError:
            pass
    return found


def test_workers_place(fake_node):
    """Outside of the pods' cgroups and of the daemon's session."""
    node = fake_node
    node.set_mode("silent")
    url = exec_url(node.run_pod().run())
    with connect(node, url):
        pid, = wait_until(lambda: workers(node), what="the worker")
        with open(f"/proc/{pid}/cgroup", encoding="utf-8") as file:
            places = dict(line.strip().split(":", 2)[1:] for line in file)
        with open(f"/proc/{node.process.pid}/cgroup", encoding="utf-8") as file:
            known = len(file.readlines())
        assert len(places) == known
        assert set(places.values()) == {f"{node.cgroup}/shims"}, places
        assert os.getsid(pid) == pid
        fds = {int(fd): os.readlink(f"/proc/{pid}/fd/{fd}") for fd in os.listdir(f"/proc/{pid}/fd")}
        assert all(fds[fd].startswith("socket:") for fd in (3, 4))
        assert max(fds) < 8, fds
        node.kill()
        assert running(pid)
    wait_until(lambda: not running(pid), what="the worker's end")
    node.start()


def test_connections_without_pods(fake_node):
    """The cgroup that their workers needed goes with them."""
    node = fake_node
    pod = node.run_pod()
    url = node.client.PortForward(pod_sandbox_id=pod.id).url
    pod.remove()
    node.assert_nothing_left()
    with connect(node, url) as sock:
        wait_until(lambda: counts(node)["connections"] == 1, what="the worker")
        sock.shutdown(socket.SHUT_RDWR)
    wait_until(lambda: counts(node)["connections"] == 0, what="its end")
    node.assert_nothing_left()
