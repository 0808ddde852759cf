# SPDX-License-Identifier: Apache-2.0
"""Port-forward: SPDY, SPDY within WebSocket, channels."""
import os
import select
import socket

import pytest
from worker import PATIENCE, PORT_FORWARD, memory_kib, sanitized
from support import spdy
from support.websocket import BINARY, Channels

PROTOCOL, TUNNEL = "portforward.k8s.io", "SPDY/3.1+portforward.k8s.io"


def tunnel(worker):
    web = worker.websocket(PORT_FORWARD, [TUNNEL])

    def recv():
        opcode, payload = web.message()
        assert opcode == BINARY
        return payload

    def send(data):
        for start in range(0, len(data), 1000):
            web.frame(BINARY, data[start:start + 1000])
    return spdy.Spdy(recv, send)


@pytest.fixture(params=("spdy", "tunnel"))
def client(request, worker):
    if request.param == "tunnel":
        return tunnel(worker)
    return worker.spdy(PORT_FORWARD, [PROTOCOL])


class Pair:
    """A connection as kubectl makes it: an error stream that it ends at once, a data stream."""

    def __init__(self, client, number, port=80):
        headers = {"port": str(port)}
        if number is not None:
            headers["requestid"] = str(number)
        self.client = client
        self.error = client.open(streamtype="error", **headers)
        client.end(self.error)
        self.data = client.open(streamtype="data", **headers)

    def accept(self, supervisor, port=80):
        command = supervisor.command()
        assert command.connect.port == port
        self.client.wait(lambda: self.error.replied and self.data.replied)
        return supervisor.connected(command.connect.id)

    def done(self):
        self.client.wait(lambda: self.data.ended and self.error.ended)


def read_all(sock):
    data = b""
    while piece := sock.recv(1 << 16):
        data += piece
    return data


@pytest.mark.parametrize("number", (0, None))
def test_both_ways(worker, client, number):
    pair = Pair(client, number)
    pod = pair.accept(worker.supervisor)
    client.write(pair.data, b"request")
    assert pod.recv(100) == b"request"
    pod.sendall(b"answer" * 20000)
    client.wait(lambda: len(pair.data.data) == 120000)
    client.end(pair.data)
    assert pod.recv(100) == b""
    pod.sendall(b"after the client's end")
    pod.close()
    pair.done()
    assert pair.data.data.endswith(b"after the client's end")
    assert (pair.data.reset, pair.error.reset, bytes(pair.error.data)) == (None, None, b"")


CLIENT_ENDS, POD_ENDS = ("end", "reset"), ("end", "reset", "shutdown")


@pytest.mark.parametrize("pod_first", (False, True))
@pytest.mark.parametrize("of_pod", POD_ENDS)
@pytest.mark.parametrize("of_client", CLIENT_ENDS)
def test_ends(worker, client, of_client, of_pod, pod_first):
    """Each end with each other, in both orders: nothing is left, and the next pair works."""
    pair = Pair(client, 1)
    pod = pair.accept(worker.supervisor)
    client.write(pair.data, b"to the pod")

    def end_client():
        (client.end if of_client == "end" else client.reset)(pair.data)

    def end_pod():
        if of_pod == "shutdown":
            pod.shutdown(socket.SHUT_WR)
        else:  # with bytes unread, which makes it a reset, or without
            if of_pod == "end":
                assert pod.recv(100) == b"to the pod"
            else:
                select.select([pod], [], [], PATIENCE)
            pod.close()
    first, second = (end_pod, end_client) if pod_first else (end_client, end_pod)
    first()
    if pod_first:
        client.wait(lambda: pair.data.ended)
    second()
    client.wait(lambda: pair.error.ended and (pair.data.ended or of_client == "reset"))
    again = Pair(client, 1)
    again.accept(worker.supervisor).close()
    again.done()


def test_pod_resets(worker, client):
    pair = Pair(client, 1)
    pod = pair.accept(worker.supervisor)
    client.write(pair.data, b"never read")
    select.select([pod], [], [], PATIENCE)
    pod.close()
    pair.done()
    assert "Connection reset" in pair.error.data.decode() and pair.data.reset == 5


def test_pod_ends_first(worker, client):
    pair = Pair(client, 1)
    pod = pair.accept(worker.supervisor)
    pod.sendall(b"bye")
    pod.shutdown(socket.SHUT_WR)
    pair.done()
    assert pair.data.reset is None
    client.write(pair.data, b"still sent", fin=True)
    assert read_all(pod) == b"still sent"


@pytest.mark.parametrize("when", ("before its end", "after its end"))
def test_pod_takes_no_more(worker, client, when):
    """When neither direction can go on, the pair is over, though its client does not end it."""
    pair = Pair(client, 1)
    pod = pair.accept(worker.supervisor)
    if when == "after its end":
        pod.shutdown(socket.SHUT_WR)
        pair.done()
        pod.close()
        client.write(pair.data, b"to nobody")
    else:
        pod.shutdown(socket.SHUT_RD)
        client.write(pair.data, b"to nobody")
        client.ping(1)
        client.wait(lambda: client.pings)
        pod.close()
    client.wait(lambda: pair.data.reset is not None)
    assert pair.data.reset == 5 and not pair.error.data


def test_sent_before_the_connection(worker, client):
    pair = Pair(client, 1)
    client.write(pair.data, b"early", fin=True)
    pod = pair.accept(worker.supervisor)
    assert read_all(pod) == b"early"
    pod.close()
    pair.done()


def test_client_resets(worker, client):
    pair = Pair(client, 1)
    pod = pair.accept(worker.supervisor)
    client.reset(pair.data)
    assert read_all(pod) == b""
    client.wait(lambda: pair.error.ended)


def test_client_resets_before_the_connection(worker, client):
    pair = Pair(client, 1)
    number = worker.supervisor.command().connect.id
    client.reset(pair.data)
    client.wait(lambda: pair.error.ended)
    pod = worker.supervisor.connected(number)
    assert read_all(pod) == b""
    other = Pair(client, 1)
    other.accept(worker.supervisor).close()
    other.done()


def test_refused(worker, client):
    pair = Pair(client, 1, 81)
    worker.supervisor.refused(worker.supervisor.command().connect.id, "connection refused")
    pair.done()
    text = bytes(pair.error.data).decode()
    assert text == "cannot connect to port 81 of the pod: connection refused"
    assert (pair.data.reset, pair.error.reset) == (5, None)
    good = Pair(client, 2)
    good.accept(worker.supervisor).close()
    good.done()


def test_many_at_once(worker, client):
    count = 200
    pairs = [Pair(client, n, n + 1) for n in range(count)]
    numbers = [worker.supervisor.command().connect for _ in range(count)]
    pods = {c.port: worker.supervisor.connected(c.id) for c in reversed(numbers)}
    for port, pod in pods.items():
        client.write(pairs[port - 1].data, b"to %d" % port, fin=True)
        pod.sendall(b"from %d" % port)
    for port, pod in pods.items():
        assert read_all(pod) == b"to %d" % port
        pod.close()
    for n, pair in enumerate(pairs):
        pair.done()
        assert pair.data.data == b"from %d" % (n + 1)


def test_at_most_a_thousand(worker):
    client = worker.spdy(PORT_FORWARD, [PROTOCOL])
    pairs = [Pair(client, n) for n in range(1000)]
    last = Pair(client, 1000)
    client.wait(lambda: last.error.reset and last.data.reset)
    assert last.error.reset == 3
    for _ in pairs:
        assert worker.supervisor.command().connect.port == 80
    client.reset(pairs[7].data)
    client.wait(lambda: pairs[7].error.ended)
    again = Pair(client, 1001)
    again.accept(worker.supervisor)


def test_data_stream_first(worker, client):
    headers = {"port": "80", "requestid": "x"}
    data = client.open(streamtype="data", **headers)
    error = client.open(streamtype="error", **headers)
    worker.supervisor.command()
    client.wait(lambda: data.replied and error.replied)


@pytest.mark.parametrize("headers", (
    {}, {"streamtype": "data"}, {"streamtype": "data", "port": "0"},
    {"streamtype": "data", "port": "65536"}, {"streamtype": "data", "port": "80x"},
    {"port": "80"}, {"streamtype": "other", "port": "80"},
    {"streamtype": "error", "port": "80", "requestid": "x" * 65}))
def test_bad_headers(worker, client, headers):
    stream = client.open(**headers)
    client.wait(lambda: stream.reset)
    assert stream.reset == 5 and not stream.replied


def test_request_with_two_data_streams(worker, client):
    headers = {"port": "80", "requestid": "1"}
    client.open(streamtype="data", **headers)
    second = client.open(streamtype="data", **headers)
    client.wait(lambda: second.reset == 5)


def test_supervisor_gone(worker, client):
    pair = Pair(client, 1)
    pod = pair.accept(worker.supervisor)
    worker.supervisor.failed("NOT_FOUND", "the pod was stopped")
    pair.done()
    assert pair.error.data == b"the pod was stopped"
    client.wait(lambda: client.goaway)
    assert client.goaway[1] == 2
    assert read_all(pod) == b""


def test_client_gone(worker, client):
    pair = Pair(client, 1)
    pod = pair.accept(worker.supervisor)
    worker.client.close()
    assert read_all(pod) == b""
    assert worker.supervisor.command() is None
    assert worker.wait() == 0


# --- channels ---

CHANNELS = ("v4.channel.k8s.io", "v4.base64.channel.k8s.io", None)


@pytest.mark.parametrize("protocol", CHANNELS)
def test_channels(worker, protocol):
    channels = worker.channels(PORT_FORWARD, protocol, ports=[80, 8080])
    first, second = worker.supervisor.command().connect, worker.supervisor.command().connect
    assert (first.port, second.port) == (80, 8080)
    channels.wait(lambda: len(channels.data) == 4)
    assert [channels[n] for n in range(4)] == [b"\x50\0", b"\x50\0", b"\x90\x1f", b"\x90\x1f"]
    pod = worker.supervisor.connected(second.id)
    channels.write(2, b"question")
    assert pod.recv(100) == b"question"
    pod.sendall(b"answer")
    channels.wait(lambda: channels[2] == b"\x90\x1fanswer")
    worker.supervisor.refused(first.id, "connection refused")
    channels.wait(lambda: b"connection refused" in channels[1])
    pod.close()
    channels.wait_closed()
    assert channels.socket.close == (1000, "")
    worker.client.close()
    assert worker.wait() == 0


@pytest.mark.parametrize("count", (0, 101))
def test_channels_need_ports(worker, count):
    web = worker.websocket(PORT_FORWARD, [CHANNELS[0]], ports=range(1, count + 1))
    Channels(web).wait_closed()
    assert web.close[0] == 1002 and "1 to 100 ports" in web.close[1]


def test_descriptors_are_closed(worker):
    """Hundreds of connections one after the other leave nothing behind, neither do thousands."""
    client = worker.spdy(PORT_FORWARD, [PROTOCOL])
    counts = []
    for n in range(30000 if os.environ.get("TARE_FULL") else 300):
        pair = Pair(client, n)
        pod = pair.accept(worker.supervisor)
        client.end(pair.data)
        assert read_all(pod) == b""
        pod.close()
        pair.done()
        if os.geteuid() == 0:
            counts.append(len(os.listdir(f"/proc/{worker.pid}/fd")))
        if n == 100:
            memory = memory_kib(worker)
    assert not counts or max(counts[100:]) <= max(counts[:100])
    assert sanitized(worker) or memory_kib(worker) < memory + 256
