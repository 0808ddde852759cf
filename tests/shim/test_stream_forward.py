# SPDX-License-Identifier: Apache-2.0
"""Sessions that connect to ports of the pod's localhost."""
import ctypes
import fcntl
import os
import select
import socket
import struct
import threading

import pytest
from shim_client import ShimError, pb, wait_until
from stream_client import Failed, Session, stream_pb

CLONE_NEWNET = 0x40000000
SIOCSIFFLAGS, IFF_UP = 0x8914, 1


def in_network(path, function):
    """The result of a function that runs in a network namespace, where its sockets stay."""
    result = []

    def run():
        libc = ctypes.CDLL(None, use_errno=True)
        with open(path, "rb") as ns:
            if libc.setns(ns.fileno(), CLONE_NEWNET):
                raise OSError(ctypes.get_errno(), "setns")
        result.append(function())

    thread = threading.Thread(target=run)
    thread.start()
    thread.join()
    return result[0]


def listener(family=socket.AF_INET, address="127.0.0.1"):
    s = socket.socket(family, socket.SOCK_STREAM)
    if family == socket.AF_INET6:
        s.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
    s.bind((address, 0))
    s.listen(64)
    return s


def raise_loopback():
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as s:
        fcntl.ioctl(s, SIOCSIFFLAGS, struct.pack("16sh14x", b"lo", IFF_UP))


def in_pod(pod, function):
    return in_network(pod.made.net_path, function)


def has_v6(pod):
    def test():
        try:
            listener(socket.AF_INET6, "::1").close()
            return True
        except OSError:
            return False

    return in_pod(pod, test)


@pytest.fixture
def network(pod):
    """The pod, with a loopback device that is up."""
    in_pod(pod, raise_loopback)
    return pod


@pytest.fixture
def forward():
    made = []

    def make(pod, client=None):
        made.append(Session(client or pod.client, f"s{len(made)}",
                            port_forward=pb.StreamPortForward()))
        return made[-1]

    yield make
    for s in made:
        s.close()


def ask(session, port, number=1):
    session.send(connect=stream_pb.Connect(id=number, port=port))


def answer(session):
    """(id, socket or the error)"""
    message, fds = session.expect("connected")
    if message.HasField("error"):
        assert fds == []
        return message.id, message.error
    assert len(fds) == 1 and not os.get_blocking(fds[0])
    return message.id, socket.socket(fileno=fds[0])


def talk(server, client):
    peer, _ = server.accept()
    client.setblocking(True)
    client.sendall(b"hello")
    assert peer.recv(10) == b"hello"
    peer.sendall(b"world")
    assert client.recv(10) == b"world"
    client.shutdown(socket.SHUT_WR)  # half of it: the other direction stays
    assert peer.recv(10) == b""
    peer.sendall(b"more")
    assert client.recv(10) == b"more"
    peer.close()
    assert client.recv(10) == b""
    client.close()


def test_connections(network, forward):
    with in_pod(network, listener) as server:
        s = forward(network)
        for number in (7, 2**63, 7):
            ask(s, server.getsockname()[1], number)
            got, client = answer(s)
            assert got == number
            talk(server, client)


def test_the_second_address(network, forward):
    if not has_v6(network):
        return  # nothing to try
    with in_pod(network, lambda: listener(socket.AF_INET6, "::1")) as server:
        s = forward(network)
        ask(s, server.getsockname()[1])
        talk(server, answer(s)[1])


def test_a_refused_one_is_an_answer(network, forward):
    s = forward(network)
    with in_pod(network, listener) as server:
        port = server.getsockname()[1]
    ask(s, port, 5)
    number, error = answer(s)
    assert number == 5 and "refused" in error.message and str(port) in error.message
    for bad in (0, 65536, 2**32 - 1):
        ask(s, bad)
        assert answer(s)[1].kind == "INVALID"
    with in_pod(network, listener) as server:
        ask(s, server.getsockname()[1])
        talk(server, answer(s)[1])


def test_the_pods_network_and_no_other(network, forward):
    with listener() as outside:
        s = forward(network)
        ask(s, outside.getsockname()[1])
        assert "refused" in answer(s)[1].message


def test_a_pod_of_the_hosts_network(make_pod, forward):
    pod = make_pod()
    pod.sandbox(host_network=True, hostname="")
    with listener() as server:
        s = forward(pod)
        ask(s, server.getsockname()[1])
        talk(server, answer(s)[1])
        port = server.getsockname()[1]
    ask(s, port)
    assert "refused" in answer(s)[1].message
    pod.shutdown()


def test_many_at_once(network, forward):
    with in_pod(network, listener) as server:
        server.listen(400)
        sessions = [forward(network) for _ in range(10)]
        for s in sessions:
            for number in range(20):
                ask(s, server.getsockname()[1], number)
        clients = []
        for s in sessions:
            mine = dict(answer(s) for _ in range(20))
            assert set(mine) == set(range(20))
            clients += mine.values()
        for i, client in enumerate(clients):
            client.setblocking(True)
            client.sendall(b"%d\n" % i)
        for _ in clients:
            with server.accept()[0] as peer:
                peer.sendall(b"got " + peer.recv(100))
        for i, client in enumerate(clients):
            assert client.recv(100) == b"got %d\n" % i
            client.close()


def test_a_worker_that_does_not_read(network, forward):
    """More answers than its socket holds: they come when it reads, and others are served."""
    s, other = forward(network), forward(network)
    sent = 0
    s.sock.setblocking(False)
    try:
        while sent < 3000:
            ask(s, 0, sent)
            sent += 1
    except BlockingIOError:
        pass
    s.sock.setblocking(True)
    with in_pod(network, listener) as server:
        ask(other, server.getsockname()[1])
        talk(server, answer(other)[1])
    assert [answer(s)[0] for _ in range(sent)] == list(range(sent))


def test_filtered_ports(network, forward):
    """A server whose queue is full does not answer. Others are served, and no end waits for it."""
    server = in_pod(network, listener)
    server.listen(0)
    s, other = forward(network), forward(network)
    for number in range(10):
        ask(s, server.getsockname()[1], number)
    with in_pod(network, listener) as works:
        ask(other, works.getsockname()[1])
        talk(works, answer(other)[1])
    s.close()
    server.close()


def test_refused(make_pod, forward):
    pod = make_pod()
    with pytest.raises(ShimError, match="PRECONDITION"):
        forward(pod)


def test_shutdown_ends_it(network, forward):
    server = in_pod(network, listener)
    s = forward(network)
    ask(s, server.getsockname()[1])
    client = answer(s)[1]
    server.close()
    network.shutdown()
    with pytest.raises(Failed, match="CANCELED.*removed"):
        s.event()
    client.close()


def test_the_job_fails(make_pod, forward):
    pod = make_pod(env={"TARE_FAULT": "shim.forward.sockets:0=fail"})
    pod.sandbox()
    s = forward(pod)
    for number in range(3):
        ask(s, 80, number)
        assert answer(s)[1].kind == "INTERNAL"


def test_the_daemon_goes(network, forward):
    other = network.shim.connect()
    s = forward(network, client=other)
    other.close()
    with in_pod(network, listener) as server:
        ask(s, server.getsockname()[1])
        talk(server, answer(s)[1])


def test_descriptors_are_given_back(network, forward):
    with in_pod(network, listener) as server:
        port = server.getsockname()[1]

        def round_trip():
            s = forward(network)
            ask(s, port)
            answer(s)[1].close()
            server.accept()[0].close()
            ask(s, 1)
            answer(s)
            for _ in range(20):
                ask(s, port)
            s.close()
            while select.select([server], [], [], 0)[0]:  # else its queue is full one day
                server.accept()[0].close()

        round_trip()
        forward(network).close()
        wait_until(lambda: children_gone(network), what="no job")
        before = network.shim.descriptors()
        for _ in range(10):
            round_trip()
        wait_until(lambda: children_gone(network) and network.shim.descriptors() <= before,
                   what="descriptors as before")


def children_gone(pod):
    """All but the log writer's and the pause process's, if they are there."""
    return [p for p in pod.shim.children()
            if p not in (pod.shim.child_named("tare-shim-log"), pod.made.pause_pid)] == []
