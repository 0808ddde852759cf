# SPDX-License-Identifier: Apache-2.0
"""tare-stream-tls: the same sessions, encrypted."""
import os
import ssl
import struct
import subprocess

import pytest
from worker import EXEC, Command, Worker


def make_certificate(folder, name, issuer=None):
    """(certificate, key) for localhost, by itself or by another's."""
    certificate, key = folder / f"{name}.pem", folder / f"{name}-key.pem"
    sign = ["-CA", issuer[0], "-CAkey", issuer[1]] if issuer else []
    subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt",
                    "ec_paramgen_curve:P-256", "-nodes", "-days", "2", "-subj", f"/CN={name}",
                    "-addext", "subjectAltName=DNS:localhost", "-keyout", key, "-out", certificate,
                    *sign], check=True, capture_output=True)
    return str(certificate), str(key)


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    folder = tmp_path_factory.mktemp("tls")
    return {name: make_certificate(folder, name) for name in ("server", "client", "other")}


@pytest.fixture
def start_tls(program, files):
    workers = []

    def one(client_ca=None, **options):
        args = ["--tls-cert", files["server"][0], "--tls-key", files["server"][1]]
        if client_ca:
            args += ["--tls-client-ca", files[client_ca][0]]
        workers.append(Worker(f"{program}-tls", args, **options))
        return workers[-1]

    yield one
    for worker in workers:
        worker.close()


def connect(worker, files, identity=None, version=None):
    context = ssl.create_default_context(cafile=files["server"][0])
    if identity:
        context.load_cert_chain(*files[identity])
    if version:
        context.maximum_version = version
    worker.client = context.wrap_socket(worker.client, server_hostname="localhost")


@pytest.mark.parametrize("version", (ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3))
def test_exec(start_tls, files, version):
    worker = start_tls()
    connect(worker, files, version=version)
    command = Command(worker, stdin=True, stdout=True)
    ends = command.open()
    data = os.urandom(1 << 20)
    got = bytearray()
    for start in range(0, len(data), 1 << 15):
        command.spdy.write(command.stdin, data[start:start + (1 << 15)])
        while len(got) < start + (1 << 15):
            piece = os.read(ends["stdin"], 1 << 15)
            os.write(ends["stdout"], piece)
            got += piece
        command.spdy.wait(lambda: len(command.stdout.data) == len(got))
    command.spdy.end(command.stdin)
    assert os.read(ends["stdin"], 1) == b""
    command.supervisor.exited(0)
    assert command.finish()["status"] == "Success"
    assert bytes(command.stdout.data) == data == got
    assert worker.wait() == 0


def test_channels(start_tls, files):
    worker = start_tls()
    connect(worker, files)
    channels = worker.channels(EXEC, "v5.channel.k8s.io", stdout=True)
    worker.supervisor.start()
    os.write(worker.supervisor.opened(stdout=True)["stdout"], b"x" * 50000)
    worker.supervisor.exited(0)
    channels.wait_closed()
    assert channels[1] == b"x" * 50000 and channels.socket.close == (1000, "")


def test_held_and_resumed(start_tls, files):
    """What TLS has decrypted already is not forgotten while the process does not read."""
    worker = start_tls()
    connect(worker, files)
    command = Command(worker, stdin=True, stdout=True)
    size = 3 << 20
    worker.client.setblocking(False)
    ends = command.open()
    out = struct.pack(">II", command.stdin.id, size) + bytes(size)
    got = 0
    while got < size:
        try:
            out = out[worker.client.send(out[:1 << 16]):] if out else out
            continue_reading = not out
        except (ssl.SSLWantWriteError, BlockingIOError):
            continue_reading = True
        if continue_reading:
            got += len(os.read(ends["stdin"], 1 << 16))
    assert got == size


def test_client_certificate(start_tls, files):
    worker = start_tls(client_ca="client")
    connect(worker, files, "client")
    Command(worker, stdout=True).supervisor.start()


@pytest.mark.parametrize("identity", (None, "other"))
def test_wrong_client_certificate(start_tls, files, identity):
    worker = start_tls(client_ca="client")
    try:
        connect(worker, files, identity)
        worker.send_spdy_head()
        assert worker.client.recv(100) == b""
    except (ssl.SSLError, ConnectionError):
        pass
    assert worker.control.recv(100) == b"", "the token was shown"


def test_plain_bytes(start_tls):
    worker = start_tls()
    worker.send_spdy_head()
    worker.recv()
    worker.client.close()
    assert worker.wait() == 1


@pytest.mark.parametrize("args", ([], ["--tls-cert", "/nonexistent", "--tls-key", "/nonexistent"]))
def test_missing_files(program, args):
    worker = Worker(f"{program}-tls", args)
    assert worker.wait() == 1
    assert "TLS" in worker.log_text()
    worker.close()


def test_plain_program_refuses_files(program, files):
    worker = Worker(program, ["--tls-cert", files["server"][0]])
    assert worker.wait() == 1
    assert "use tare-stream-tls" in worker.log_text()
    worker.close()
