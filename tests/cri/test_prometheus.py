# SPDX-License-Identifier: Apache-2.0
"""tared's own metrics over HTTP, and its configuration with where each value came from."""

import os
import re
import socket
import subprocess

import pytest

from support.cri import CriError
from support.node import wait_until

NUMBER = r"-?[0-9.]+(?:e[+-]?[0-9]+)?"
SAMPLE = re.compile(r'^([a-z_]+)(?:\{((?:[a-z_]+="[^"]*",?)*)\})? (' + NUMBER + ")$")


def configure(node, text):
    with open(node.path("config.toml"), "a", encoding="utf-8") as config:
        config.write(text)
    node.restart()


@pytest.fixture
def scraped(own_node):
    configure(own_node, f'[metrics]\naddress = "unix://{own_node.path("m")}"\n')
    return own_node


def ask(node, request=b"GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n"):
    """Status line and body."""
    with socket.socket(socket.AF_UNIX) as sock:
        sock.settimeout(20)
        sock.connect(node.path("m"))
        sock.sendall(request)
        answer = b""
        while part := sock.recv(65536):
            answer += part
    head, _, body = answer.partition(b"\r\n\r\n")
    assert b"content-length: %d" % len(body) in head.lower()
    return head.split(b"\r\n")[0].decode(), body.decode()


def scrape(node):
    """{(name, labels): value}, and what the exposition format asks for."""
    status, body = ask(node)
    assert status.startswith("HTTP/1.1 200")
    found, types = {}, {}
    for line in body.splitlines():
        if line.startswith("# TYPE "):
            _, _, name, kind = line.split(" ")
            assert name not in types
            types[name] = kind
        elif not line.startswith("#"):
            name, labels, value = SAMPLE.match(line).groups()
            family = re.sub("_(bucket|sum|count)$", "", name)
            assert name in types or types[family] == "histogram"
            assert (name, labels) not in found
            found[name, labels] = float(value)
    return found


def test_what_was_done_is_counted(scraped):
    node = scraped
    pod = node.run_pod()
    pod.run()
    with pytest.raises(CriError):
        node.client.ContainerStatus(container_id="nothing")
    found = scrape(node)
    run = 'method="RunPodSandbox",code="OK"'
    assert found["tare_rpc_duration_seconds_count", run] == 1
    assert found["tare_rpc_duration_seconds_bucket", run + ',le="+Inf"'] == 1
    assert found["tare_rpc_duration_seconds_sum", run] > 0
    missing = 'method="ContainerStatus",code="NotFound"'
    assert found["tare_rpc_duration_seconds_count", missing] == 1
    operation = 'verb="RunPodSandbox",result="OK"'
    assert found["tare_operation_duration_seconds_count", operation] == 1
    for step in ("shim", "sandbox", "network", "commit"):
        labels = f'verb="RunPodSandbox",step="{step}"'
        assert found["tare_operation_step_duration_seconds_count", labels] == 1
    assert found["tare_pods", 'state="ready"'] == 1 and found["tare_shims", None] == 1
    assert found["tare_containers", 'state="running"'] == 1 and found["tare_images", None] == 1
    assert found["tare_grpc_connections", None] >= 1
    assert found["process_resident_memory_bytes", None] > 1 << 20
    swept = found["tare_gc_folders_total", None]
    pod.remove()
    assert scrape(node)["tare_pods", 'state="ready"'] == 0
    wait_until(lambda: scrape(node)["tare_gc_folders_total", None] >= swept, what="a count")


def test_buckets_add_up(scraped):
    for _ in range(3):
        scraped.client.ListContainers()
    found = scrape(scraped)
    counts = [
        value
        for (name, labels), value in found.items()
        if name.endswith("_bucket") and 'method="ListContainers"' in labels
    ]
    assert counts == sorted(counts) and counts[-1] >= 3


def test_other_requests(scraped):
    for request, status in (
        (b"GET / HTTP/1.1\r\nHost: x\r\n\r\n", "404"),
        (b"POST /metrics HTTP/1.1\r\nHost: x\r\n\r\n", "405"),
        (b"\x16\x03\x01 no HTTP\r\n\r\n", "400"),
        (b"GET /metrics HTTP/1.1\r\nHost: x\r\nX: " + b"x" * 9000, "400"),
    ):
        assert ask(scraped, request)[0].split(" ")[1] == status
    assert scrape(scraped)


@pytest.mark.full
def test_clients_that_say_nothing(scraped):
    """They take the places that there are, not the daemon, and not for long."""
    held = [socket.socket(socket.AF_UNIX) for _ in range(12)]
    try:
        for sock in held:
            sock.connect(scraped.path("m"))
        assert scraped.client.Version().version == "0.1.0"

        def answered():
            try:
                return scrape(scraped)
            except (OSError, AssertionError):
                return None

        assert wait_until(answered, 30, what="a place")
    finally:
        for sock in held:
            sock.close()


def test_tcp_and_the_next_daemon(own_node):
    configure(own_node, '[metrics]\naddress = "127.0.0.1:9100"\n')
    own_node.restart()
    script = "import urllib.request as u; print(u.urlopen('http://127.0.0.1:9100/metrics').status)"
    assert own_node.inside("/usr/bin/python3", "-c", script).stdout == "200\n"


def test_the_effective_configuration(own_node):
    daemon = os.path.join(own_node.build, "src/cmd/tared")
    path = own_node.path("config.toml")
    command = [daemon, "--config", path, "--log-level=error", "--print-config"]
    printed = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout
    assert f'root = "{own_node.path("root")}"  # {path}:1\n' in printed
    assert 'log_level = "error"  # command line\n' in printed
    assert 'snapshotter = "overlay"  # default\n' in printed
    with open(path, "a", encoding="utf-8") as config:
        config.write('[metric]\naddress = ""\n')
    done = subprocess.run(command, check=False, stderr=subprocess.PIPE, text=True)
    assert done.returncode == 1 and 'did you mean "metrics"?' in done.stderr
