# SPDX-License-Identifier: Apache-2.0
"""Operations as OpenTelemetry spans: to a collector, to one that does not answer, to none."""

import json
import re
import subprocess

import pytest

from support.cri import CriError
from support.node import running, wait_until

COLLECTOR = """
import http.server, sys

class Handler(http.server.BaseHTTPRequestHandler):
    def do_POST(self):
        body = self.rfile.read(int(self.headers["Content-Length"]))
        assert self.path == "/v1/traces" and self.headers["Content-Type"] == "application/json"
        with open(sys.argv[1], "ab") as out:
            out.write(body + b"\\n")
        self.send_response(200)
        self.end_headers()

    def log_message(self, *args):
        pass

server = http.server.HTTPServer(("127.0.0.1", 4318), Handler)
print("ready", flush=True)
server.serve_forever()
"""
SILENT = """
import socket, time
server = socket.create_server(("127.0.0.1", 4318))
print("ready", flush=True)
time.sleep(100000)
"""


@pytest.fixture
def traced(own_node):
    """start(script) runs a collector, then tared with its address."""
    started = []

    def start(script):
        if script:
            process = subprocess.Popen(
                own_node.inside_command("/usr/bin/python3", "-c", script, own_node.path("spans")),
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                text=True,
            )
            started.append(process)
            own_node.helpers.add(process.pid)
            assert process.stdout.readline() == "ready\n"
        with open(own_node.path("config.toml"), "a", encoding="utf-8") as config:
            config.write('[tracing]\nendpoint = "http://127.0.0.1:4318/v1/traces"\n')
            config.write(f'[metrics]\naddress = "unix://{own_node.path("m")}"\n')
        own_node.restart()
        return own_node

    yield start
    for process in started:
        process.kill()
        process.wait()
        process.stdout.close()


def spans(node):
    found = []
    try:
        with open(node.path("spans"), encoding="utf-8") as lines:
            for line in lines:
                if not line.endswith("\n"):
                    break
                (resource,) = json.loads(line)["resourceSpans"]
                names = {each["key"]: each["value"] for each in resource["resource"]["attributes"]}
                assert names["service.name"] == {"stringValue": "tared"}
                (scope,) = resource["scopeSpans"]
                found += scope["spans"]
    except FileNotFoundError:
        pass
    return found


def counter(node, name):
    script = (
        "import socket; s = socket.socket(socket.AF_UNIX); s.connect('" + node.path("m") + "'); "
        "s.sendall(b'GET /metrics HTTP/1.1\\r\\nHost: x\\r\\n\\r\\n'); "
        "print(b''.join(iter(lambda: s.recv(65536), b'')).decode())"
    )
    done = subprocess.run(["/usr/bin/python3", "-c", script], check=True, stdout=subprocess.PIPE)
    return int(re.search("^" + re.escape(name) + " ([0-9]+)$", done.stdout.decode(), re.M)[1])


def test_verbs_and_their_steps(traced):
    node = traced(COLLECTOR)
    pod = node.run_pod()
    container = pod.create(["/no/such/program"])
    with pytest.raises(CriError):
        container.start()

    def all_there():
        found = {span["name"]: span for span in spans(node)}
        return found if {"RunPodSandbox", "CreateContainer", "StartContainer"} <= set(found) else {}

    found = wait_until(all_there, 30, what="the spans")
    run, step = found["RunPodSandbox"], found["RunPodSandbox.network"]
    assert step["traceId"] == run["traceId"] and step["parentSpanId"] == run["spanId"]
    assert re.fullmatch("[0-9a-f]{32}", run["traceId"])
    assert re.fullmatch("[0-9a-f]{16}", run["spanId"])
    assert "parentSpanId" not in run and run["status"] == {"code": 1}
    assert {"key": "tare.pod", "value": {"stringValue": pod.id}} in run["attributes"]
    begin, end = int(run["startTimeUnixNano"]), int(run["endTimeUnixNano"])
    assert begin <= int(step["startTimeUnixNano"]) <= int(step["endTimeUnixNano"]) <= end
    assert begin > 10**18
    failed = found["StartContainer"]
    assert failed["status"]["code"] == 2 and "/no/such/program" in failed["status"]["message"]
    assert found["StartContainer.start"]["status"]["code"] == 2
    assert counter(node, "tare_traces_sent_total") >= 3


@pytest.mark.parametrize("script", [SILENT, None], ids=["silent", "none"])
def test_a_collector_that_takes_nothing(traced, script):
    """Nothing waits for it; what it did not take is counted."""
    node = traced(script)
    pod = node.run_pod()
    pod.stop()
    pod.remove()
    wait_until(
        lambda: counter(node, 'tare_traces_dropped_total{reason="collector"}') >= 3,
        60,
        what="the count",
    )
    assert counter(node, "tare_traces_sent_total") == 0


def test_the_exporter_ends_with_the_daemon(traced):
    node = traced(COLLECTOR)
    node.run_pod()
    exporters = node.samplers()
    assert len(exporters) == 1
    node.kill()
    wait_until(lambda: not any(map(running, exporters)), 30, what="the exporter's end")
    wait_until(lambda: "RunPodSandbox" in {span["name"] for span in spans(node)}, 30, what="spans")
    node.start()
