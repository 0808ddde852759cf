# SPDX-License-Identifier: Apache-2.0
"""Frames, hello, unknown requests, several connections, limits."""
import os
import signal

import pytest
from shim_client import ConnectionLost, HEADER, ShimError, pb, wait_until


def lost(client):
    with pytest.raises((ConnectionLost, ConnectionResetError)):
        while client.receive(5):
            pass
    return True


def test_hello(make_pod):
    pod = make_pod()
    hello = pod.client.hello
    assert hello.version == 1
    assert hello.program.startswith("tare-shim ")
    assert hello.pid == pod.shim.pid and hello.pod_id == "pod1"
    newer = pod.shim.connect(hello=False).call("hello", pb.HelloRequest(version=7))
    assert newer.version == 1
    with pytest.raises(ShimError, match="INVALID"):
        pod.shim.connect(hello=False).call("hello", pb.HelloRequest(version=0))


def test_hello_comes_first(make_pod):
    client = make_pod().shim.connect(hello=False)
    with pytest.raises(ShimError, match="PRECONDITION.*hello"):
        client.state()


def test_unknown_request_and_fields(make_pod):
    client = make_pod().client
    # id 900, field 99: a request of some later version
    body = b"\x08\x84\x07" + b"\x9a\x06\x02\x08\x01"
    client.send_raw(HEADER.pack(len(body), 0) + body)
    with pytest.raises(ShimError, match="UNSUPPORTED"):
        client.wait(900)
    # a known request with an unknown field
    body = b"\x08\x85\x07" + b"\x52\x03\xf8\x07\x01"
    client.send_raw(HEADER.pack(len(body), 0) + body)
    assert len(client.wait(901).containers) == 0


@pytest.mark.parametrize("raw", [
    HEADER.pack((4 << 20) + 1, 0),
    HEADER.pack(0, 9),
    HEADER.pack(3, 0) + b"\xff\xff\xff",
    HEADER.pack(0, 0),
    HEADER.pack(4, 2) + b"\x08\x01\x52\x00",
])
def test_broken_stream_is_closed(make_pod, raw):
    pod = make_pod()
    bad = pod.shim.connect()
    bad.send_raw(raw)
    assert lost(bad)
    pod.client.state()


def test_byte_by_byte(make_pod):
    pod = make_pod()
    slow = pod.shim.connect(hello=False)
    body = pb.Request(id=5, hello=pb.HelloRequest(version=1)).SerializeToString()
    for byte in HEADER.pack(len(body), 0) + body:
        slow.send_raw(bytes([byte]))
    assert slow.wait(5).version == 1


def test_unclaimed_descriptors_are_limited_and_closed(make_pod):
    pod = make_pod()
    before = pod.shim.descriptors()
    other = pod.shim.connect()
    r, w = os.pipe()
    body = pb.Request(id=5, state=pb.StateRequest()).SerializeToString()
    other.send_raw(HEADER.pack(len(body), 2) + body, [r, w])
    other.wait(5)
    other.send_raw(HEADER.pack(len(body), 0), [r, w])
    other.send_raw(body)
    other.wait(5)
    other.close()
    os.close(r)
    os.close(w)
    wait_until(lambda: pod.shim.descriptors() <= before, what="descriptors as before")


def test_many_connections(make_pod):
    pod = make_pod()
    before = pod.shim.descriptors()
    clients = [pod.shim.connect() for _ in range(40)]
    for client in clients:
        assert client.hello.pid == pod.shim.pid
    for client in clients:
        client.close()
    wait_until(lambda: pod.shim.descriptors() <= before, what="descriptors as before")


def test_survives_signals_and_is_private(make_pod):
    pod = make_pod()
    os.kill(pod.shim.pid, signal.SIGHUP)
    os.kill(pod.shim.pid, signal.SIGPIPE)
    pod.client.state()
    assert os.getsid(pod.shim.pid) == pod.shim.pid
    assert os.stat(f"/proc/{pod.shim.pid}/fd").st_uid == 0
    with open(f"/proc/{pod.shim.pid}/status") as f:
        assert "Threads:\t1\n" in f.read()


def test_client_that_does_not_read_is_dropped(make_pod):
    pod = make_pod()
    deaf = pod.shim.connect()
    body = pb.Request(id=5, state=pb.StateRequest()).SerializeToString()
    frame = HEADER.pack(len(body), 0) + body
    deaf.sock.setblocking(False)
    sent = 0
    try:
        while sent < 64 << 20:
            sent += deaf.sock.send(frame * 1000)
    except BlockingIOError:
        pass
    except (BrokenPipeError, ConnectionResetError):
        pass
    pod.client.state()


def test_strangers_are_refused(make_pod):
    """Even where the socket's mode would let them in."""
    pod = make_pod()
    folder = pod.folder
    os.chmod(pod.shim.socket_path, 0o666)
    while folder != "/tmp" and folder != "/":
        os.chmod(folder, os.stat(folder).st_mode | 0o011)
        folder = os.path.dirname(folder)
    pid = os.fork()
    if pid == 0:
        code = 2
        try:
            os.setuid(65534)
            stranger = pod.shim.connect(hello=False)
            stranger.call("hello", pb.HelloRequest(version=1), timeout=3)
        except (ConnectionLost, ConnectionResetError, BrokenPipeError):
            code = 0
        finally:
            os._exit(code)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
    assert "neither root nor ours" in pod.shim.log()
    pod.client.state()


def test_foreign_descriptors_are_closed(tmp_path, build):
    from shim_client import Shim
    with open("/dev/zero", "rb") as foreign:
        os.set_inheritable(foreign.fileno(), True)
        shim = Shim(str(tmp_path), build, inherit=[foreign.fileno()])
    try:
        client = shim.connect()
        links = [os.readlink(f"/proc/{shim.pid}/fd/{fd}") for fd in os.listdir(
            f"/proc/{shim.pid}/fd")]
        assert "/dev/zero" not in links
        client.shutdown()
    finally:
        shim.process.kill()
        shim.process.wait()


def test_own_log(tmp_path, build):
    from shim_client import Shim
    with open(tmp_path / "other.log", "wb") as log:
        shim = Shim(str(tmp_path), build, inherit=[log.fileno()],
                    options=["--log-fd", str(log.fileno())])
    try:
        client = shim.connect()
        client.send_raw(HEADER.pack(0, 9))
        assert lost(client)
        shim.connect().shutdown()
        assert "descriptors are over the limit" in (tmp_path / "other.log").read_text()
        assert shim.log() == ""
    finally:
        shim.process.kill()
        shim.process.wait()


def test_out_of_descriptors(make_pod):
    """New connections wait, the shim does not spin, and goes on when there is room again."""
    import resource
    pod = make_pod()
    limits = resource.prlimit(pod.shim.pid, resource.RLIMIT_NOFILE)
    resource.prlimit(pod.shim.pid, resource.RLIMIT_NOFILE, (pod.shim.descriptors(), limits[1]))
    late = pod.shim.connect(hello=False)

    def ticks():
        with open(f"/proc/{pod.shim.pid}/stat") as f:
            fields = f.read().rsplit(")", 1)[1].split()
        return int(fields[11]) + int(fields[12])

    before = ticks()
    assert not late.receive(0.7)
    assert ticks() - before < 10
    pod.client.state()
    with pytest.raises(ShimError, match="NO_SPACE.*socket pair"):
        pod.sandbox()
    resource.prlimit(pod.shim.pid, resource.RLIMIT_NOFILE, limits)
    assert late.call("hello", pb.HelloRequest(version=1)).pid == pod.shim.pid
    pod.sandbox()
    pod.shutdown()


def test_ids_are_checked(make_pod):
    pod = make_pod()
    for bad in ("", "..", "a/b", "x" * 201, "a b"):
        with pytest.raises(ShimError, match="INVALID"):
            pod.prepare(bad) if "/" not in bad else pod.client.prepare(bad, pod.rootfs("ok"))
    with pytest.raises(ShimError, match="NOT_FOUND"):
        pod.client.kill("nobody", 9)
    pod.client.delete("nobody")


def test_command_line(build):
    import subprocess
    program = os.path.join(build, "src", "cmd", "tare-shim")
    for args in ([], ["--what"], ["--state-dir", "x"], ["--state-dir", "/x", "--socket-fd", "99"],
                 ["--state-dir", "/x", "--pod-id", "a/b"], ["--state-dir", "/x", "extra"]):
        run = subprocess.run([program] + args, capture_output=True, text=True)
        assert run.returncode == 2 and run.stderr.count("\n") == 1, run
