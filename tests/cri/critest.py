#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""critest.py OUT [SPEC...] - the CRI conformance suite against tared; its report goes to OUT.

    TARE_BUILD=/tmp/build TARE_CRITEST=$(tests/tools.py critest) tests/cri/critest.py /tmp/out

tared, the registry with the suite's images, and the suite itself are in one network namespace. What
tared cannot do yet is left out by name: critest-without.txt has the specs and the reasons. The
specs of streams are run twice, the second time through WebSocket.
"""
import os
import subprocess
import sys
import tempfile

sys.dont_write_bytecode = True
TESTS = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
sys.path.insert(0, TESTS)
from support import cri  # noqa: E402
from support.node import CGROUP, Node, remove_cgroups  # noqa: E402

TESTBED = os.path.join(TESTS, "testbed")
PORT = "5000"
WEBSOCKET = ("-websocket-exec", "-websocket-attach", "-websocket-portforward")
HOSTS = f'[host."http://127.0.0.1:{PORT}"]\ncapabilities = ["pull", "resolve"]\n'


def left_out():
    """Regular expressions of specs."""
    with open(os.path.join(TESTS, "cri", "critest-without.txt"), encoding="utf-8") as lines:
        return [line.split("  ")[0] for line in lines if line.strip() and not line.startswith("#")]


def checked(node, *command, **env):
    done = node.inside(*command, env=dict(os.environ, **env))
    if done.returncode != 0:
        sys.exit(f"{' '.join(command)}: {done.stdout}{done.stderr}")
    return done.stdout.strip()


def run_suite(node, out, name, focus, *options):
    """critest's exit status; each of its specs is in OUT/NAME.json."""
    endpoint = f"unix://{node.socket}"
    command = [os.environ["TARE_CRITEST"], "-runtime-endpoint", endpoint,
               "-image-endpoint", endpoint, "-ginkgo.no-color", "-ginkgo.timeout", "30m",
               "-ginkgo.json-report", os.path.join(out, f"{name}.json"), *options]
    for option, patterns in (("-ginkgo.skip", left_out()), ("-ginkgo.focus", focus)):
        for pattern in patterns:
            command += [option, pattern]
    # its own temporary files are the node's
    env = dict(os.environ, TMPDIR=node.path("requests"))
    with open(os.path.join(out, "critest.log"), "a", encoding="utf-8") as log:
        return subprocess.run(node.inside_command(*command), check=False, env=env,
                              stdin=subprocess.DEVNULL, stdout=log,
                              stderr=subprocess.STDOUT).returncode


def main():
    out = os.path.abspath(sys.argv[1])
    services = cri.compile_protocols(tempfile.mkdtemp(prefix="proto", dir=out))
    node = Node(os.environ["TARE_BUILD"], services)
    registry = None
    try:
        os.mkdir(node.path("certs.d", "_default"))
        with open(node.path("certs.d", "_default", "hosts.toml"), "w", encoding="utf-8") as hosts:
            hosts.write(HOSTS)
        registry = checked(node, f"{TESTBED}/registry.sh", "start", node.path("registry"),
                           PORT=PORT)
        checked(node, "/usr/bin/python3", "-B", f"{TESTBED}/images.py", "push", "--registry",
                f"http://127.0.0.1:{PORT}")
        node.start()
        status = run_suite(node, out, "report", sys.argv[2:])
        if status == 0 and all("Streaming" in name for name in sys.argv[2:]):
            status = run_suite(node, out, "report-websocket", ["Streaming"], *WEBSOCKET)
        return status
    finally:
        with open(os.path.join(out, "tared.log"), "w", encoding="utf-8") as log:
            log.write(node.log() if os.path.exists(node.log_path) else "")
        if registry:
            node.inside(f"{TESTBED}/registry.sh", "stop", registry)
        node.stop()
        remove_cgroups(CGROUP)


if __name__ == "__main__":
    sys.exit(main())
