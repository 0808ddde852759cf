# SPDX-License-Identifier: Apache-2.0
"""The registry client against a real registry and against a bad one.

    TARE_BUILD=/tmp/build /usr/bin/python3 -m pytest tests/registry

Needs docker-registry, apache2-utils (htpasswd) and openssl. Uses loopback only."""
import os
import socket
import ssl
import subprocess
import sys

import pytest

sys.dont_write_bytecode = True
HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, HERE)
from fault_server import FaultServer, Image  # noqa: E402


@pytest.fixture(scope="session")
def program():
    path = os.path.join(os.environ.get("TARE_BUILD", ""), "tests", "registry", "registry-get")
    if not os.path.exists(path):
        pytest.skip("TARE_BUILD names no folder with tests/registry/registry-get")
    return path


class Result:
    def __init__(self, run):
        assert run.returncode in (0, 1), run.stderr
        assert run.stderr == "", run.stderr
        self.text = run.stdout
        self.lines = run.stdout.splitlines()
        self.error = self.lines[-1] if run.returncode else None

    def fine(self):
        assert self.error is None, self.error
        return self

    def failed(self, kind, *parts):
        assert self.error, self.text
        assert self.error.startswith(f"error {kind}: "), self.error
        for part in parts:
            assert part in self.error, self.error
        return self


@pytest.fixture
def get(program):
    """get(ARGUMENT...) -> Result; short waits, no proxy."""
    def run(*arguments, env=None, timeout=60):
        environment = {k: v for k, v in os.environ.items() if not k.lower().endswith("_proxy")}
        environment.update(env or {})
        command = [program, "backoff-ms=10", "wait-max-ms=1500", *arguments]
        return Result(subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                                     env=environment, timeout=timeout, text=True))
    return run


@pytest.fixture
def serve():
    """serve(script) -> a FaultServer that ends with the test."""
    servers = []

    def start(script, context=None):
        servers.append(FaultServer(script, context))
        return servers[-1]
    yield start
    for server in servers:
        server.close()


@pytest.fixture(scope="session")
def image():
    return Image()


@pytest.fixture
def hosts(tmp_path):
    """hosts(TEXT, NAME="_default") writes a hosts.toml and returns the option for the folder."""
    def write(text, name="_default"):
        folder = tmp_path / "hosts" / name
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "hosts.toml").write_text(text)
        return f"hosts-dir={tmp_path / 'hosts'}"
    return write


@pytest.fixture
def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


class Authority:
    """A CA with a server's and a client's certificate."""

    def __init__(self, folder):
        self.folder = folder
        self.ca = f"{folder}/ca.pem"
        self.openssl("req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj",
                     "/CN=test CA", "-keyout", f"{folder}/ca-key.pem", "-out", self.ca)
        with open(f"{folder}/extensions", "w") as f:
            f.write("subjectAltName=DNS:localhost,IP:127.0.0.1\n")
        for name in ("server", "client"):
            self.openssl("req", "-newkey", "rsa:2048", "-nodes", "-subj", f"/CN={name}", "-keyout",
                         f"{folder}/{name}-key.pem", "-out", f"{folder}/{name}.csr")
            self.openssl("x509", "-req", "-days", "2", "-in", f"{folder}/{name}.csr", "-extfile",
                         f"{folder}/extensions", "-CAcreateserial", "-CA", self.ca, "-CAkey",
                         f"{folder}/ca-key.pem", "-out", f"{folder}/{name}.pem")

    def openssl(self, *arguments):
        subprocess.run(["openssl", *arguments], check=True, stdout=subprocess.DEVNULL,
                       stderr=subprocess.DEVNULL, cwd=self.folder)

    def context(self, ask_client=False):
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(f"{self.folder}/server.pem", f"{self.folder}/server-key.pem")
        if ask_client:
            context.verify_mode = ssl.CERT_REQUIRED
            context.load_verify_locations(self.ca)
        return context


@pytest.fixture(scope="session")
def authority(tmp_path_factory):
    return Authority(str(tmp_path_factory.mktemp("authority")))
