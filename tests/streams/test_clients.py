# SPDX-License-Identifier: Apache-2.0
"""Sessions by the clients that there are."""

import hashlib
import os
import re
import socket
import subprocess

import pytest
from kubernetes import client as kubernetes
from kubernetes.stream import ws_client

from clients import TRANSPORTS, ended, go, start_crictl, start_go
from support.isolation import within_network
from support.node import wait_until
from wires import counts, exec_url

SCRIPT = ("sh", "-c", "echo out; echo err >&2; exit 7")


@pytest.fixture(params=TRANSPORTS)
def transport(request):
    return request.param


def attach_url(container, **options):
    return container.node.client.Attach(container_id=container.id, stdout=True, **options).url


# --- client-go ---

def test_exec(node, pod, transport):
    url = exec_url(pod.run(), SCRIPT, stderr=True)
    assert go(node, "run", url, transport) == (7, b"out\n", b"err\n")


def test_exec_with_much_input_and_output(node, pod, transport):
    data = os.urandom(8 << 20)
    url = exec_url(pod.run(), ("sh", "-c", "tee /tmp/x; sha256sum /tmp/x >&2"), stdin=True,
                   stderr=True)
    status, out, err = go(node, "run", url, transport, "-i", data=data)
    assert status == 0 and out == data
    assert err.split()[0].decode() == hashlib.sha256(data).hexdigest()


def test_exec_of_what_is_not_there(node, pod, transport):
    status, _, err = go(node, "run", exec_url(pod.run(), ("/no/such",), stderr=True), transport)
    assert status == 250 and b"/no/such" in err


def test_exec_that_is_killed(node, pod, transport):
    url = exec_url(pod.run(), ("sh", "-c", "kill -9 $$"), stderr=True)
    assert go(node, "run", url, transport)[0] == 137


def test_exec_leaves_a_child(node, pod, transport):
    """What it started in the background keeps its pipes open, and does not hold the session."""
    url = exec_url(pod.run(), ("sh", "-c", "sleep 4712 & echo started"), stderr=True)
    assert go(node, "run", url, transport) == (0, b"started\n", b"")


def test_exec_in_a_terminal(node, pod, transport):
    # a client that is late with its size: until then stty complains
    script = ("tty; until stty size 2>/dev/null | grep -q 37; do :; done; stty size;"
              "read x; echo \"<$x>\"; exit 3")
    url = exec_url(pod.run(), ("sh", "-c", script), stdin=True, tty=True)
    process = start_go(node, "run", url, transport, "-i", "-t", "-s", "91x37")
    lines = [process.stdout.readline() for _ in range(2)]
    assert lines == [b"/dev/pts/0\r\n", b"37 91\r\n"]
    status, out, _ = ended(process, b"typed\n")
    assert (status, out) == (3, b"typed\r\n<typed>\r\n")


def test_attach(node, pod, transport):
    container = pod.run(["sh", "-c", "while read x; do echo got $x; echo $x >&2; done"], stdin=True)
    url = attach_url(container, stdin=True, stderr=True)
    first, second = start_go(node, "run", url, transport, "-i"), None
    first.stdin.write(b"one\n")
    first.stdin.flush()
    assert first.stdout.readline() == b"got one\n"
    assert first.stderr.readline() == b"one\n"
    second = start_go(node, "run", attach_url(container, stdin=True, stderr=True), transport, "-i")
    second.stdin.write(b"two\n")
    second.stdin.flush()
    assert second.stdout.readline() == b"got two\n"
    assert first.stdout.readline() == b"got two\n", "each sees all of it"
    first.kill()
    assert first.wait() != 0
    assert container.status().state == 1, "it goes on without its client"
    container.stop()
    assert second.wait(20) == 0
    for process in (first, second):
        process.communicate()
    assert container.text() == "got one\ngot two\n"


def test_attach_with_stdin_once(node, pod, transport):
    container = pod.run(["cat"], stdin=True, stdin_once=True)
    url = attach_url(container, stdin=True, stderr=True)
    assert go(node, "run", url, transport, "-i", data=b"all of it\n") == (0, b"all of it\n", b"")
    assert container.wait().exit_code == 0


def test_attach_to_a_terminal(node, pod, transport):
    container = pod.run(["sh"], stdin=True, tty=True)
    url = attach_url(container, stdin=True, tty=True)
    process = start_go(node, "run", url, transport, "-i", "-t", "-s", "80x25")
    status, out, _ = ended(process, b"echo $((6 * 7)); exit\n")
    assert status == 0 and b"42\r\n" in out
    assert container.wait().exit_code == 0


def connect_local(node, port):
    return within_network(node.holder.pid,
                          lambda: socket.create_connection(("127.0.0.1", port), 20))


def echoes(node, port, data):
    """What a port of the node's loopback gives back when it was given data and their end."""
    with connect_local(node, port) as sock:
        sock.sendall(data)
        sock.shutdown(socket.SHUT_WR)
        answer = b""
        try:
            while chunk := sock.recv(65536):
                answer += chunk
        except ConnectionResetError:
            pass
        return answer


def run_echo(pod):
    """A container that gives back what is sent to the pod's port 80; one connection at a time."""
    return pod.run(["sh", "-c", "while :; do nc -l -p 80 -e cat; done"])


def test_port_forward(node, pod, transport):
    run_echo(pod)
    url = node.client.PortForward(pod_sandbox_id=pod.id, port=[80]).url
    process = start_go(node, "forward", url, transport, ":80,:81")
    ports = {}
    for _ in range(2):
        local, remote = map(int, process.stdout.readline().split())
        ports[remote] = local
    data = os.urandom(1 << 20)
    for _ in range(3):  # until nc listens again the connection is refused
        wait_until(lambda: echoes(node, ports[80], data) == data, what="nc")
    assert echoes(node, ports[81], b"") == b""
    status, _, err = ended(process)
    assert b"refused" in err and counts(node)["sessions"] <= 1


# --- TLS ---

def make_certificate(folder, name, issuer=None):
    """(certificate, key) for 127.0.0.1, signed by itself or by another."""
    certificate, key = str(folder / f"{name}.pem"), str(folder / f"{name}-key.pem")
    sign = ["-CA", issuer[0], "-CAkey", issuer[1]] if issuer else []
    subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt",
                    "ec_paramgen_curve:P-256", "-nodes", "-days", "2", "-subj", f"/CN={name}",
                    "-addext", "subjectAltName=IP:127.0.0.1", "-keyout", key, "-out", certificate,
                    *sign], check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    return certificate, key


def go_by_tls(node, url, transport, ca, certificate="", key=""):
    env = dict(os.environ, CA=ca, CERTIFICATE=certificate, KEY=key)
    return ended(start_go(node, "run", url, transport, "-i", env=env), b"by TLS\n")


def test_tls(make_node, tmp_path, transport):
    node = make_node()
    server, client = make_certificate(tmp_path, "server"), make_certificate(tmp_path, "client")
    stranger = make_certificate(tmp_path, "stranger")
    with open(node.path("config.toml"), "a", encoding="utf-8") as file:
        file.write(f'[stream]\ntls_cert = "{server[0]}"\ntls_key = "{server[1]}"\n'
                   f'tls_client_ca = "{client[0]}"\n')
    node.restart()
    pod = node.run_pod()
    container = pod.run()

    def url():
        return exec_url(container, ("cat",), stdin=True)

    assert url().startswith("https://127.0.0.1:")
    assert go_by_tls(node, url(), transport, server[0], *client) == (0, b"by TLS\n", b"")
    assert go_by_tls(node, url(), transport, server[0])[0] == 250, "a client without a certificate"
    assert go_by_tls(node, url(), transport, server[0], *stranger)[0] == 250
    assert go_by_tls(node, url(), transport, stranger[0], *client)[0] == 250
    assert go(node, "run", url().replace("https", "http"), transport)[0] == 250
    run_echo(pod)
    env = dict(os.environ, CA=server[0], CERTIFICATE=client[0], KEY=client[1])
    forward = node.client.PortForward(pod_sandbox_id=pod.id, port=[80]).url
    process = start_go(node, "forward", forward, transport, ":80", env=env)
    local = int(process.stdout.readline().split()[0])
    wait_until(lambda: echoes(node, local, b"a" * 100000) == b"a" * 100000, what="nc")
    ended(process)


# --- crictl ---

def test_crictl_exec(node, pod, transport):
    container = pod.run()
    status, out, err = ended(start_crictl(node, "exec", "--transport", transport, container.id,
                                          *SCRIPT))
    assert (status, out) == (1, b"out\n")
    assert err.startswith(b"err\n") and b"exit code 7" in err
    process = start_crictl(node, "exec", "--transport", transport, "-i", container.id, "cat")
    assert ended(process, b"typed\n") == (0, b"typed\n", b"")


def test_crictl_attach(node, pod, transport):
    container = pod.run(["sh", "-c", "read x; echo got $x; exit 3"], stdin=True)
    process = start_crictl(node, "attach", "--transport", transport, "-i", container.id)
    status, out, _ = ended(process, b"it\n")
    assert (status, out) == (0, b"got it\n")
    assert container.wait().exit_code == 3


def test_crictl_port_forward(node, pod, transport):
    run_echo(pod)
    process = start_crictl(node, "port-forward", "--transport", transport, pod.id, "0:80")
    match = re.match(rb"Forwarding from 127.0.0.1:(\d+) -> 80", process.stdout.readline())
    data = os.urandom(100000)
    wait_until(lambda: echoes(node, int(match[1]), data) == data, what="nc")
    process.terminate()
    process.communicate()


# --- Python's kubernetes ---

def stream(node, url, **options):
    """A WSClient, as kubernetes.stream.stream() makes it for an API server."""
    configuration = kubernetes.Configuration()
    return within_network(node.holder.pid, lambda: ws_client.WSClient(
        configuration, url.replace("http", "ws", 1), {}, **options))


def test_python_kubernetes_exec(node, pod):
    url = exec_url(pod.run(), SCRIPT, stderr=True)
    session = stream(node, url, capture_all=False)
    session.run_forever(timeout=20)
    assert (session.read_stdout(), session.read_stderr()) == ("out\n", "err\n")
    assert session.returncode == 7
    session.close()


def test_python_kubernetes_input(node, pod):
    url = exec_url(pod.run(), ("sh", "-c", "read x; echo \"<$x>\""), stdin=True, stderr=True)
    session = stream(node, url, capture_all=False)
    session.write_stdin("typed\n")
    session.run_forever(timeout=20)
    assert session.read_stdout() == "<typed>\n" and session.returncode == 0
    session.close()


def test_python_kubernetes_port_forward(node, pod):
    run_echo(pod)
    configuration = kubernetes.Configuration()

    def answer():
        url = node.client.PortForward(pod_sandbox_id=pod.id, port=[80]).url
        forward = within_network(node.holder.pid, lambda: ws_client.PortForward(
            ws_client.create_websocket(configuration, url.replace("http", "ws", 1), {}), [80]))
        sock = forward.socket(80)
        sock.setblocking(True)
        sock.settimeout(20)
        sock.sendall(b"there and back\n")
        got = sock.recv(100)
        sock.close()
        return got

    wait_until(lambda: answer() == b"there and back\n", what="nc")
