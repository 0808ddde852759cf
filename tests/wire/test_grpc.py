# SPDX-License-Identifier: Apache-2.0
"""grpc-go with the generated client of k8s.io/cri-api against src/wire's server.

The scenarios are in client/main.go; here they get a server each. TARE_BUILD names the build folder.
"""
import os
import pathlib
import shutil
import signal
import subprocess
import time

import pytest

HERE = pathlib.Path(__file__).parent
GO = shutil.which("go") or "/usr/local/go/bin/go"


def server_path():
    build = os.environ.get("TARE_BUILD")
    path = build and pathlib.Path(build) / "tests/wire/grpc-echo-server"
    if not path or not path.exists():
        pytest.skip("set TARE_BUILD to a build folder with tests/wire/grpc-echo-server")
    return path


@pytest.fixture(scope="session")
def client(tmp_path_factory):
    if not os.path.exists(GO):
        pytest.skip("no go compiler")
    out = tmp_path_factory.mktemp("go") / "wire-client"
    subprocess.run([GO, "build", "-o", out, "."], cwd=HERE / "client", check=True)
    return out


@pytest.fixture
def server(tmp_path):
    socket = tmp_path / "s"
    process = subprocess.Popen([server_path(), socket])
    for _ in range(500):
        if socket.exists():
            break
        time.sleep(0.01)
    yield process, socket
    if process.poll() is None:
        process.send_signal(signal.SIGTERM)
    try:
        assert process.wait(timeout=10) == 0
    finally:
        process.kill()
        process.wait()


SCENARIOS = [
    "unary", "targets", "big-answer", "big-request", "streams", "slow-reader", "deadline", "cancel",
    "disconnect", "failures", "refusals", "parallel", "many-streams", "cancel-storm",
]


@pytest.mark.parametrize("scenario", SCENARIOS)
def test_scenario(client, server, scenario):
    run = subprocess.run([client, server[1], scenario], capture_output=True, text=True, timeout=120)
    assert run.returncode == 0, run.stderr


def test_graceful_stop(client, server):
    process, socket = server
    run = subprocess.run([client, socket, "stop", str(process.pid)], capture_output=True, text=True,
                         timeout=60)
    assert run.returncode == 0, run.stderr
    assert process.wait(timeout=10) == 0


def pss_kib(pid):
    text = pathlib.Path(f"/proc/{pid}/smaps_rollup").read_text()
    return next(int(line.split()[1]) for line in text.splitlines() if line.startswith("Pss:"))


def test_idle_connections_are_small(client, server):
    process, socket = server
    if b"__asan_init" in server_path().read_bytes():
        pytest.skip("a sanitizer's memory is not ours")
    before = pss_kib(process.pid)
    holder = subprocess.Popen([client, socket, "idle", "500"], stdin=subprocess.PIPE,
                              stdout=subprocess.PIPE, text=True)
    try:
        assert holder.stdout.readline() == "ready\n"
        each = (pss_kib(process.pid) - before) / 500
    finally:
        holder.stdin.close()
        assert holder.wait(timeout=30) == 0
    assert each < 24, f"{each} KiB for one idle connection"
