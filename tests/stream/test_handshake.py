# SPDX-License-Identifier: Apache-2.0
"""The request: what is accepted, what is refused and how."""
import socket

import pytest
from worker import ATTACH, EXEC, PORT_FORWARD, SPDY_PROTOCOLS, TOKEN
from support import websocket

UPGRADE = ["Connection: Upgrade", "Upgrade: SPDY/3.1"]
VERSION = "X-Stream-Protocol-Version: "


@pytest.mark.parametrize("method", ("GET", "POST"))
@pytest.mark.parametrize("path", (f"/exec/{TOKEN}", f"/exec/{TOKEN}?command=x"))
def test_methods(worker, method, path):
    worker.send_head(EXEC, method, [*UPGRADE, VERSION + "v4.channel.k8s.io"], path)
    worker.redeem(EXEC, stdout=True)
    assert worker.answer()[0] == 101


@pytest.mark.parametrize("offered, chosen", (
    (["v9.channel.k8s.io", "v3.channel.k8s.io", "v4.channel.k8s.io"], "v3.channel.k8s.io"),
    (["channel.k8s.io"], "channel.k8s.io"),
    (["v9.channel.k8s.io, v2.channel.k8s.io"], "v2.channel.k8s.io"),
    (SPDY_PROTOCOLS, SPDY_PROTOCOLS[0])))
def test_first_of_the_client_is_chosen(worker, offered, chosen):
    worker.send_spdy_head(EXEC, offered)
    worker.redeem(EXEC, stdout=True)
    status, fields, _ = worker.answer()
    assert (status, fields["x-stream-protocol-version"]) == (101, [chosen])


def test_header_names_in_any_case(worker):
    worker.send_head(EXEC, headers=["connection: keep-alive, upgrade", "UPGRADE: spdy/3.1",
                                    "x-stream-protocol-version: v4.channel.k8s.io"])
    worker.redeem(EXEC, stdout=True)
    assert worker.answer()[0] == 101


@pytest.mark.parametrize("kind, accepted", (
    (EXEC, SPDY_PROTOCOLS), (ATTACH, SPDY_PROTOCOLS), (PORT_FORWARD, ["portforward.k8s.io"])))
def test_no_common_protocol(worker, kind, accepted):
    worker.send_spdy_head(kind, ["v9.channel.k8s.io"])
    worker.redeem(kind)
    status, fields, body = worker.refusal()
    assert status == 403 and "X-Stream-Protocol-Version" in body
    assert fields["x-accepted-stream-protocol-versions"] == accepted
    assert worker.supervisor.command() is None
    assert worker.wait() == 1


def test_no_common_subprotocol(worker):
    head, _ = websocket.handshake(f"/exec/{TOKEN}", ["v9.channel.k8s.io"])
    worker.client.sendall(head)
    worker.redeem(EXEC)
    status, fields, _ = worker.refusal()
    assert status == 403
    assert "v5.channel.k8s.io" in fields["x-accepted-stream-protocol-versions"]


@pytest.mark.parametrize("headers", (
    [], UPGRADE, [VERSION + "v4.channel.k8s.io"], [*UPGRADE, VERSION],
    ["Connection: Upgrade", "Upgrade: h2c", VERSION + "v4.channel.k8s.io"],
    ["Connection: Upgrade", "Upgrade: websocket"],
    ["Connection: Upgrade", "Upgrade: websocket", "Sec-WebSocket-Version: 8",
     "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ=="]))
def test_bad_requests(worker, headers):
    worker.send_head(EXEC, "GET", headers)
    worker.redeem(EXEC)
    assert worker.refusal()[0] == 400
    assert worker.wait() == 1


@pytest.mark.parametrize("path", ("/", "/exec", "/exec/", "/exec//x", f"/exec/{TOKEN}/x",
                                  f"/other/{TOKEN}", f"exec/{TOKEN}", "/exec/a%20b",
                                  "/exec/" + "a" * 129, "*"))
def test_unknown_paths(worker, path):
    worker.send_head(path=path, headers=UPGRADE)
    assert worker.refusal()[0] == 404
    assert worker.control.recv(100) == b"", "the daemon was asked"


def test_method(worker):
    worker.send_head(EXEC, "DELETE")
    assert worker.refusal()[0] == 405


def test_unknown_token(worker):
    worker.send_spdy_head()
    worker.redeem_error("NOT_FOUND", "secret details")
    assert worker.refusal()[::2] == (404, "not found\n")
    assert worker.wait() == 0


def test_daemon_fails(worker):
    worker.send_spdy_head()
    worker.redeem_error("TIMEOUT", "the pod's supervisor does not answer")
    assert worker.refusal()[::2] == (503, "the pod's supervisor does not answer\n")


def test_daemon_gone(worker):
    worker.control.close()
    worker.send_spdy_head()
    assert worker.refusal()[0] == 503


@pytest.mark.parametrize("verb, kind", ((EXEC, ATTACH), (ATTACH, PORT_FORWARD),
                                        (PORT_FORWARD, EXEC)))
def test_token_of_another_verb(worker, verb, kind):
    """The daemon refuses it; a worker that is given such a session all the same does, too."""
    worker.send_spdy_head(verb)
    worker.control.recv(1000)
    from worker import pb, send_message
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    with ours, theirs:
        send_message(worker.control, pb.Redeemed(session=pb.Session(kind=kind)),
                     [theirs.fileno()])
        assert worker.refusal()[0] == 404


@pytest.mark.parametrize("data, status", (
    (b"\x16\x03\x01\x02\x00\x01\x00", 400), (b"GET / HTTP/2.0\r\n\r\n", 400),
    (b"GET / HTTP/1.1\r\n bad\r\n\r\n", 400), (b"x" * 40000, 431),
    (b"POST / HTTP/1.1\r\nContent-Length: 3\r\n\r\nabc", 400)))
def test_no_http(worker, data, status):
    worker.client.sendall(data)
    assert worker.refusal()[0] == status
    assert worker.wait() == 1


def test_client_leaves_at_once(worker):
    worker.client.close()
    assert worker.wait() == 0


def test_byte_by_byte(worker):
    for byte in (f"GET /exec/{TOKEN} HTTP/1.1\r\nConnection: Upgrade\r\nUpgrade: SPDY/3.1\r\n"
                 f"{VERSION}v4.channel.k8s.io\r\n\r\n").encode():
        worker.client.sendall(bytes([byte]))
    worker.redeem(EXEC, stdout=True)
    assert worker.answer()[0] == 101


def test_help(program):
    import subprocess
    for option, text in (("--help", "Usage: tare-stream"), ("--version", "tare-stream ")):
        done = subprocess.run([program, option], check=True, capture_output=True, text=True)
        assert done.stdout.startswith(text)
    assert subprocess.run([program], check=False, capture_output=True).returncode == 2
