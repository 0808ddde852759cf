# SPDX-License-Identifier: Apache-2.0
"""Each command of tare against a daemon."""
import json
import os
import re
import resource
import select
import signal
import socket
import subprocess
import time

import pytest

from support import images
from support.isolation import within_network
from support.node import wait_until
from terminal import Terminal

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
REGISTRY = os.path.join(os.path.dirname(os.path.abspath(__file__)), "registry.py")
ID = re.compile(r"[0-9a-f]{64}")


def write_json(path, document):
    path.write_text(document if isinstance(document, str) else json.dumps(document))
    return path


@pytest.fixture
def files(node, tmp_path):
    """files(commands...): the JSON files of a pod and a container a command."""

    def make(*commands, pod_more=None, **more):
        config = node.pod_config(**(pod_more or {}))
        made = [write_json(tmp_path / "pod.json", config)]
        for number, command in enumerate(commands):
            container = node.container_config(command, **more)
            container["metadata"]["name"] = f"c{number}"
            made.append(write_json(tmp_path / f"c{number}.json", container))
        return made

    return make


@pytest.fixture
def run(tare, files):
    """run(commands...): the ids of the pod and the containers."""
    return lambda *commands, **more: tare("pod", "run", *files(*commands, **more)).lines


def finished(node, container):
    return node.wait_state(container, "EXITED")


# --- pods ---

def test_pod_run_reads_the_files_of_crictl(tare, node, run):
    pod, first, second = run(["sleep", "100"], ["sleep", "100"])
    assert ID.fullmatch(pod) and ID.fullmatch(first) and ID.fullmatch(second)
    containers = {c.id: c for c in node.client.ListContainers().containers}
    assert {containers[first].metadata.name, containers[second].metadata.name} == {"c0", "c1"}
    assert all(c.pod_sandbox_id == pod for c in containers.values())
    assert node.client.ContainerStatus(container_id=first).status.state == 1


def test_pod_run_prints_json(tare, files):
    said = json.loads(tare("pod", "run", "--json", *files(["sleep", "100"])).out)
    assert ID.fullmatch(said["podSandboxId"]) and ID.fullmatch(said["containerIds"][0])


def test_enums_by_name_and_members_in_camel_case(tare, node, files):
    options = {"securityContext": {"namespaceOptions": {"pid": "CONTAINER"}}}
    made = files(["sh", "-c", "echo $$"], pod_more={"linux": options})
    container = json.loads(made[1].read_text())
    container["linux"] = {"security_context": {"namespace_options": {"pid": "CONTAINER"}}}
    write_json(made[1], container)
    pod, ctr = tare("pod", "run", *made).lines
    finished(node, ctr)
    assert tare("logs", ctr).out == "1\n"
    status = node.client.PodSandboxStatus(pod_sandbox_id=pod).status
    assert status.linux.namespaces.options.pid == 1


def test_an_unknown_member_is_reported_and_passed_over(tare, files):
    made = files()
    config = json.loads(made[0].read_text())
    config["linux"] = {"sysctl": {"a": "b"}}
    said = tare("pod", "run", write_json(made[0], config))
    assert "linux.sysctl: unknown member, ignoring" in said.err
    assert len(said.lines) == 1


@pytest.mark.parametrize("text, expected", [
    ("{", "line 1"),
    ('{"metadata": 3}', "metadata: expected an object"),
    ('{"metadata": {"name": 3}}', "metadata.name: expected a string"),
    ('{"metadata": {"attempt": -1}}', "metadata.attempt: out of range"),
    ('{"labels": {"a": 1}}', "labels.a: expected a string"),
    ('{"dns_config": {"servers": ["a", 2]}}', "dns_config.servers[1]: expected a string"),
    ('{"port_mappings": [{"protocol": "SMOKE"}]}', '"SMOKE" is no Protocol'),
    ('{"hostname": "a", "HOSTNAME": "b"}', "HOSTNAME: given twice"),
])
def test_a_wrong_file_is_named_with_the_place(tare, tmp_path, text, expected):
    said = tare("pod", "run", write_json(tmp_path / "wrong.json", text), code=1)
    assert "wrong.json" in said.err and expected in said.err
    assert said.out == ""
    assert tare("pods").rows == []


def test_a_container_that_fails_takes_its_pod_along(tare, files):
    said = tare("pod", "run", *files(["sleep", "100"], ["/no/such/program"]), code=1)
    assert "start container 'c1'" in said.err and "/no/such/program" in said.err
    assert tare("pods").rows == [] and tare("ps", "-a").rows == []


def test_pods_lists_name_state_and_address(tare, node, run):
    pod, = run()
    row, = tare("pods").rows
    config = node.client.PodSandboxStatus(pod_sandbox_id=pod).status
    assert row[:4] == [pod[:13], config.metadata.name, "test", "ready"]
    assert row[5] == config.network.ip
    assert tare("pods", "-q").out == pod + "\n"
    listed, = json.loads(tare("pods", "--json").out)["items"]
    assert listed["id"] == pod and listed["state"] == "SANDBOX_READY"


def test_pod_stop_and_rm(tare, run):
    pod, _ = run(["sleep", "100"])
    said = tare("pod", "rm", pod, code=1)
    assert "is up: stop it first" in said.err
    tare("pod", "stop", pod[:12])
    assert tare("pods").rows[0][3] == "notready"
    tare("pod", "rm", pod)
    assert tare("pods").rows == []


def test_pod_rm_force(tare, run):
    pod, _ = run(["sleep", "100"])
    tare("pod", "rm", "-f", pod)
    assert tare("pods").rows == [] and tare("ps", "-a").rows == []


# --- containers ---

def test_ps_lists_what_runs_and_with_all_the_rest(tare, node, run):
    pod, runs, ended = run(["sleep", "100"], ["true"])
    finished(node, ended)
    row, = tare("ps").rows
    status = node.client.PodSandboxStatus(pod_sandbox_id=pod).status
    assert row[:5] == [runs[:13], "c0", status.metadata.name, images.NAME, "running"]
    assert row[6] == status.network.ip
    assert {row[0]: row[4] for row in tare("ps", "-a").rows} == {runs[:13]: "running",
                                                                ended[:13]: "exited"}
    assert tare("ps", "-aq").out.split() == tare("ps", "--all", "--quiet").lines
    assert set(tare("ps", "-aq").lines) == {runs, ended}
    listed = json.loads(tare("ps", "--json", "-a").out)["containers"]
    assert {c["id"]: c["state"] for c in listed} == {runs: "CONTAINER_RUNNING",
                                                     ended: "CONTAINER_EXITED"}
    assert all(isinstance(c["createdAt"], str) for c in listed), "64-bit numbers are strings"


def test_control_characters_do_not_reach_the_terminal(tare, node, files):
    made = files(["sleep", "100"])
    config = json.loads(made[0].read_text())
    config["metadata"]["name"] = "a\x1b[31m\u009bb"
    pod, _ = tare("pod", "run", write_json(made[0], config), made[1]).lines
    assert tare("pods").rows[0][1] == "a?[31m??b"


def test_stop_and_rm(tare, run):
    deaf = ["sh", "-c", "trap '' TERM; while :; do sleep 1; done"]
    pod, first, second = run(["sleep", "100"], deaf)
    assert "runs: stop it first" in tare("rm", first, code=1).err
    began = time.monotonic()
    tare("stop", "-t", "1", first, second)
    assert 0.9 < time.monotonic() - began < 8, "SIGKILL comes after the second"
    tare("rm", first, second)
    assert tare("ps", "-a").rows == []


def test_rm_force(tare, run):
    _, container = run(["sleep", "100"])
    tare("rm", "--force", container)
    assert tare("ps", "-a").rows == []


def test_several_objects_go_on_after_a_failure(tare, run):
    _, container = run(["sleep", "100"])
    said = tare("stop", "nobody", container, code=4)
    assert said.err == "tare: no container 'nobody' (see tare ps -a)\n"
    assert tare("ps").rows == []


def test_names_and_prefixes(tare, run, node, files):
    pod, container = run(["sleep", "100"])
    name = node.client.PodSandboxStatus(pod_sandbox_id=pod).status.metadata.name
    for what in (container[:8], "c0", f"{name}/c0", container):
        assert json.loads(tare("inspect", what).out)["status"]["id"] == container
    for what in (pod[:8], name, f"test/{name}"):
        assert json.loads(tare("inspect", "--kind", "pod", what).out)["status"]["id"] == pod
    other = tare("pod", "run", *files(["sleep", "100"])).lines[1]
    said = tare("inspect", "c0", code=1)
    assert "'c0' may be any of 2 containers" in said.err
    assert container[:13] in said.err and other[:13] in said.err
    assert json.loads(tare("inspect", f"{name}/c0").out)["status"]["id"] == container


def test_exec(tare, run):
    _, container = run(["sleep", "100"])
    said = tare("exec", container, "sh", "-c", "echo out; echo err >&2; exit 7", code=7)
    assert (said.out, said.err) == ("out\n", "err\n")
    assert tare("exec", container, "echo", "-a", "--json", "--").out == "-a --json --\n"
    assert tare("exec", "--", container, "echo", "--help").out == "--help\n"
    assert len(tare("exec", container, "sh", "-c", "yes | head -c 3000000").out) == 3000000
    assert tare("exec", "-i", container, "wc", "-c", input="a" * 1000000).out == "1000000\n"
    assert tare("exec", container, "cat", input="not passed on").out == ""


def test_exec_shows_output_as_it_comes(tare, run):
    _, container = run(["sleep", "100"])
    process = tare.start("exec", "-i", container, "sh", "-c", "read x; echo $x; read x; exit 3",
                         stdin=subprocess.PIPE)
    process.stdin.write("one\n")
    process.stdin.flush()
    assert process.stdout.readline() == "one\n"
    assert process.communicate("two\n")[0] == "" and process.returncode == 3


def test_exec_in_a_terminal(tare, run):
    _, container = run(["sleep", "100"])
    terminal = Terminal(tare, "exec", "-it", container, "sh")
    terminal.expect("# ")
    terminal.write("stty size\r")
    terminal.expect("37 91\r\n")
    # one that writes is the terminal's foreground: the interrupt is for it, not for the shell
    terminal.write("sh -c 'echo $((6 * 7)); exec sleep 1000'\r")
    terminal.expect("42\r\n")
    terminal.resize(20, 10)
    os.kill(terminal.process.pid, signal.SIGWINCH)
    terminal.write("\x03")  # which the container's terminal makes an interrupt of
    terminal.expect("# ")
    terminal.write("stty size; exit 9\r")
    terminal.expect("10 20\r\n")
    assert terminal.end() == 9


def test_exec_leaves_the_terminal_right_when_it_is_killed(tare, run, node):
    _, container = run(["sleep", "100"])
    terminal = Terminal(tare, "exec", "-i", "-t", container, "sh", "-c", "echo up; sleep 4711")
    terminal.expect("up")
    terminal.process.send_signal(signal.SIGTERM)
    assert terminal.end() == 128 + signal.SIGTERM

    def gone():
        return "4711" not in tare("exec", container, "ps").out

    wait_until(gone, what="the end of what was executed")


# --- attach, port-forward ---

def test_attach(tare, run):
    loop = "while read x; do echo got $x; echo bad $x >&2; [ $x = end ] && exit 5; done"
    _, container = run(["sh", "-c", loop], stdin=True)
    process = tare.start("attach", "-i", container, stdin=subprocess.PIPE)
    process.stdin.write("one\n")
    process.stdin.flush()
    assert process.stdout.readline() == "got one\n"
    out, err = process.communicate("end\n")
    assert (process.returncode, out, err) == (5, "got end\n", "bad one\nbad end\n")
    tare.used.add("attach")
    assert tare("logs", container).out == "got one\ngot end\n"


def test_attach_to_the_end(tare, run):
    loop = "while [ ! -e /tmp/go ]; do echo tick; sleep 0.02; done; echo over"
    _, container = run(["sh", "-c", loop])
    process = tare.start("attach", container)
    assert process.stdout.readline() == "tick\n"
    tare("exec", container, "touch", "/tmp/go")
    with process.stdout as output:  # what readline() has taken ahead is in it
        assert ("tick\n" + output.read()).endswith("tick\nover\n")
    assert process.wait() == 0
    assert "does not run" in tare("attach", container, code=125).err
    assert "no container" in tare("attach", "nobody", code=125).err


def test_attach_to_a_terminal(tare, run):
    _, container = run(["sh"], stdin=True, tty=True)
    terminal = Terminal(tare, "attach", "-it", container)
    terminal.write("stty size; exit 4\r")
    terminal.expect("37 91\r\n")
    assert terminal.end() == 4


def ask(node, port, text, half=False):
    """What comes back from a port of the node's loopback, to the end."""
    sock = within_network(node.holder.pid,
                          lambda: socket.create_connection(("127.0.0.1", port), 20))
    with sock:
        sock.sendall(text)
        if half:
            sock.shutdown(socket.SHUT_WR)
        answer = b""
        while chunk := sock.recv(65536):
            answer += chunk
    return answer


def test_port_forward(tare, run, node):
    pod, container = run(["sh", "-c", "while :; do nc -l -p 80 -e cat; done"])
    process = tare.start("port-forward", pod, "0:80", "0:81", "18080:80")
    ports = []
    for _ in range(3):
        ports.append(re.fullmatch(r"127.0.0.1:(\d+) -> (\d+)\n", process.stdout.readline()))
    assert [match[2] for match in ports] == ["80", "81", "80"] and ports[2][1] == "18080"
    big = os.urandom(3 << 20)
    wait_until(lambda: ask(node, int(ports[0][1]), b"ready", half=True) == b"ready", what="nc")
    assert ask(node, int(ports[0][1]), big, half=True) == big
    wait_until(lambda: ask(node, 18080, b"again", half=True) == b"again", what="nc again")
    assert ask(node, int(ports[1][1]), b"") == b"", "nobody listens there"
    process.send_signal(signal.SIGINT)
    _, err = process.communicate()
    assert process.returncode == 0
    assert "port 81" in err and "refused" in err
    tare.used.add("port-forward")
    assert "expected [LOCAL:]REMOTE" in tare("port-forward", pod, "a:80", code=2).err
    assert "no pod" in tare("port-forward", "nobody", "80", code=4).err


def forward_two(tare, run):
    """(the forwarding process, local ports of 80 and 81 of a pod that gives back what it gets)"""
    echo = "while :; do nc -l -p %d -e cat; done"
    pod, _ = run(["sh", "-c", f"{echo % 80} & {echo % 81}"])
    process = tare.start("port-forward", pod, "0:80", "0:81")
    ports = [int(process.stdout.readline().split()[0].rpartition(":")[2]) for _ in range(2)]
    return process, ports


def connect_local(node, port):
    return within_network(node.holder.pid,
                          lambda: socket.create_connection(("127.0.0.1", port), 20))


def echoes(node, port):
    return ask(node, port, b"ready", half=True) == b"ready"


def test_port_forward_while_the_daemon_hangs(tare, run, node):
    """What is open goes on; what is new waits for the daemon, and not the other way round."""
    process, ports = forward_two(tare, run)
    for port in ports:
        wait_until(lambda port=port: echoes(node, port), what="nc")
    first = connect_local(node, ports[0])

    def pass_on(sock, text):
        sock.sendall(text)
        return sock.recv(100) == text

    def reconnect():
        nonlocal first
        first.close()
        first = connect_local(node, ports[0])
        return pass_on(first, b"one")

    wait_until(reconnect, what="nc again")
    os.kill(node.process.pid, signal.SIGSTOP)
    try:
        second = connect_local(node, ports[1])
        second.sendall(b"late")
        assert pass_on(first, b"two"), "before the daemon has answered for the second"
    finally:
        os.kill(node.process.pid, signal.SIGCONT)
    assert second.recv(100) == b"late"
    for sock in (first, second):
        sock.close()
    process.send_signal(signal.SIGINT)
    process.communicate()
    assert process.returncode == 0


def test_port_forward_out_of_descriptors(tare, run, node):
    """It rests, and goes on when there are some again."""
    process, ports = forward_two(tare, run)
    wait_until(lambda: echoes(node, ports[1]), what="nc")
    pid = process.pid
    limits = resource.prlimit(pid, resource.RLIMIT_NOFILE)
    resource.prlimit(pid, resource.RLIMIT_NOFILE, (3, limits[1]))

    def ticks():
        with open(f"/proc/{pid}/stat", encoding="ascii") as stat:
            return sum(map(int, stat.read().rpartition(")")[2].split()[11:13]))

    before = ticks()
    late = connect_local(node, ports[1])
    late.sendall(b"late")
    assert not select.select([late], [], [], 1)[0]
    assert ticks() - before < 20
    resource.prlimit(pid, resource.RLIMIT_NOFILE, limits)
    assert late.recv(100) == b"late"
    late.close()
    process.send_signal(signal.SIGINT)
    process.communicate()
    assert process.returncode == 0


def test_exec_failures_are_125(tare, run):
    _, container = run(["sleep", "100"])
    assert "no container" in tare("exec", "nobody", "true", code=125).err
    assert "/no/such" in tare("exec", container, "/no/such", code=125).err
    began = time.monotonic()
    assert "was killed" in tare("exec", "--timeout", "1", container, "sleep", "50", code=125).err
    assert time.monotonic() - began < 20
    tare("exec", container, code=125)


# --- logs ---

def test_logs_have_two_streams_and_long_lines(tare, node, run):
    script = "echo one; echo two >&2; yes | head -c 40000 | tr -d '\\n'; echo; echo end"
    _, container = run(["sh", "-c", script])
    finished(node, container)
    said = tare("logs", container)
    assert said.out == "one\n" + "y" * 20000 + "\nend\n"
    assert said.err == "two\n"


def test_logs_tail_and_timestamps(tare, node, run):
    _, container = run(["sh", "-c", "for i in 1 2 3 4 5; do echo line $i; done"])
    finished(node, container)
    assert tare("logs", "-n", "2", container).out == "line 4\nline 5\n"
    assert tare("logs", "--tail=99", container).out.count("\n") == 5
    assert tare("logs", "-n0", container).out == ""
    line = tare("logs", "-n1", "-t", container).out
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT[\d:.]+Z line 5\n", line)


def test_logs_follow_until_the_end_and_over_a_rotation(tare, node, run):
    script = "echo first; while [ ! -e /tmp/go ]; do sleep 0.05; done; echo last"
    _, container = run(["sh", "-c", script])
    follower = tare.start("logs", "-f", container)
    try:
        assert follower.stdout.readline() == "first\n"
        path = node.client.ContainerStatus(container_id=container).status.log_path
        os.rename(path, path + ".1")
        node.client.ReopenContainerLog(container_id=container)
        tare("exec", container, "touch", "/tmp/go")
        assert follower.stdout.read() == "last\n"
        assert follower.wait(10) == 0
    finally:
        follower.kill()
        follower.communicate()


def test_logs_of_a_pod_without_log_folder(tare, files):
    made = files(["sleep", "100"])
    config = json.loads(made[0].read_text())
    del config["log_directory"]
    container = tare("pod", "run", write_json(made[0], config), made[1]).lines[1]
    assert "log_directory" in tare("logs", container, code=1).err


def test_a_file_that_is_no_log_is_printed_as_it_is(tare, node, run):
    _, container = run(["true"])
    path = node.client.ContainerStatus(container_id=container).status.log_path
    finished(node, container)
    with open(path, "w", encoding="utf-8") as log:
        log.write("odd\n" + "x" * 500 + "\n2026-01-01T00:00:00Z stdout F good\n")
    assert tare("logs", container).out == "odd\n" + "x" * 500 + "\ngood\n"


# --- images ---

def test_inspect_of_each_kind(tare, run):
    pod, container = run(["sleep", "100"])
    said = json.loads(tare("inspect", container).out)
    assert said["status"]["state"] == "CONTAINER_RUNNING" and said["info"]["info"]["pid"] > 0
    said = json.loads(tare("inspect", pod).out)
    assert said["status"]["network"]["ip"] and said["info"]["info"]["runtimeSpec"]
    said = json.loads(tare("inspect", images.NAME).out)
    assert said["image"]["repoTags"] == [images.NAME]
    tare("inspect", "--kind", "image", container, code=4)
    tare("inspect", "--kind", "cat", container, code=2)
    tare("inspect", "nobody", code=4)


def test_import_images_and_rmi(tare, layout, build, tmp_path):
    folder = str(tmp_path / "small")
    images.pack(build, folder, reference="tare.test/small:2", files=[{"path": "a", "text": "b"}])
    image, = tare("import", folder).lines
    assert re.fullmatch(r"sha256:[0-9a-f]{64}", image)
    rows = {row[1]: row for row in tare("images").rows}
    assert rows["tare.test/small:2"][0] == image[7:20]
    assert image in tare("images", "-q").lines
    assert images.NAME in [tag for i in json.loads(tare("images", "--json").out)["images"]
                           for tag in i["repoTags"]]
    tare("rmi", "tare.test/small:2")
    assert "tare.test/small:2" not in tare("images").out
    assert "no image" in tare("rmi", "tare.test/small:2", code=4).err
    said = json.loads(tare("import", "--json", folder, "tare.test/other:3").out)
    assert said["imageIds"] == [image]
    tare("rmi", "tare.test/other:3")


def test_import_of_nothing(tare, tmp_path):
    assert "No such file" in tare("import", tmp_path / "none", code=1).err
    (tmp_path / "empty").mkdir()
    assert str(tmp_path / "empty") in tare("import", tmp_path / "empty", code=1).err


def test_pull(tare, node, build, tmp_path):
    folder, ready = str(tmp_path / "pulled"), tmp_path / "ready"
    images.pack(build, folder, reference="tare.test/a:1", files=[{"path": "a", "text": "pulled"}])
    hosts = node.path("certs.d", "127.0.0.1:5000")
    os.makedirs(hosts, exist_ok=True)
    with open(os.path.join(hosts, "hosts.toml"), "w", encoding="utf-8") as file:
        file.write('server = "http://127.0.0.1:5000"\n')
    server = subprocess.Popen(["nsenter", "--target", str(node.holder.pid), "--net", "--",
                               "/usr/bin/python3", "-B", REGISTRY, folder, "5000", ready])
    try:
        wait_until(ready.exists, what="the registry")
        name = "127.0.0.1:5000/some/thing:1"
        image, = tare("pull", name).lines
        assert [row[0] for row in tare("images").rows if row[1] == name] == [image[7:20]]
        assert json.loads(tare("pull", "--json", name).out) == {"imageRef": image}
        tare("rmi", name)
    finally:
        server.kill()
        server.wait()


def test_pull_tells_what_went_wrong(tare):
    """The node has no network: what matters here is the line."""
    said = tare("pull", "127.0.0.1:9/none:1", code=1)
    assert said.err.count("\n") == 1 and "127.0.0.1:9" in said.err


def test_pull_of_nonsense(tare):
    assert "UPPER" in tare("pull", "UPPER/case", code=1).err


# --- the daemon ---

def test_ops_and_timeline(tare, node, run):
    pod, container = run(["sleep", "100"])
    recent = [row for row in tare("ops").rows if row[2] in (pod[:13], container[:13])]
    assert [row[1] for row in recent] == ["RunPodSandbox", "CreateContainer", "StartContainer"]
    assert all(row[3] == "done" for row in recent)
    assert len(tare("ops", "-a").rows) >= len(tare("ops").rows)
    said = json.loads(tare("ops", "--json").out)["operations"]
    assert said[-1]["verb"] == "StartContainer" and said[-1]["steps"]

    text = tare("timeline", pod).out
    for word in ("RunPodSandbox", "  network", "CreateContainer", "StartContainer", "ms in all"):
        assert word in text
    bars = [line for line in text.splitlines() if "=" in line]
    assert len(bars) == len(text.splitlines()) - 2, "every row but head and sum has a bar"
    steps = json.loads(tare("timeline", "--json", pod).out)["operations"]
    assert [o["verb"] for o in steps][:3] == ["RunPodSandbox", "CreateContainer", "StartContainer"]
    total = float(re.search(r"([\d.]+) ms in all", text)[1])
    assert abs(total - sum(int(o["durationNs"]) for o in steps[:3]) / 1e6) < 1


def test_ops_says_what_is_waited_for(make_node, make_tare, tmp_path):
    node = make_node(cni_timeout=30)
    node.add_plugin("slow", '[ "$CNI_COMMAND" = ADD ] || exit 0\n'
                    'while [ ! -e "$NODE/go" ]; do sleep 0.05; done; exit 1')
    node.write_network([{"type": "slow"}])
    tare = make_tare(node.socket)
    wait_until(lambda: "NetworkReady       yes" in tare("info").out, what="the network's file")
    runner = tare.start("pod", "run", write_json(tmp_path / "pod.json", node.pod_config()))
    try:
        row = wait_until(lambda: next((line for line in tare("ops").lines if "RunPodSandbox" in line
                                       and "network: waits for" in line), None), what="the plugin")
        assert "under way" in row and "slow" in row
    finally:
        open(node.path("go"), "w", encoding="utf-8").close()
        said = runner.communicate(timeout=30)
    assert runner.returncode == 1 and "slow" in said[1]
    assert [row for row in tare("ops").rows if row[1] == "RunPodSandbox"][-1][3] == "failed"


def test_info(tare, node, run):
    run(["sleep", "100"])
    said = dict(line.split(None, 1) for line in tare("info").lines if "handlers" not in line)
    assert said["RuntimeReady"] == "yes" and said["NetworkReady"] == "yes"
    assert said["root"] == node.path("root") and said["pods"] == "1, 1 ready"
    assert said["containers"] == "1, 1 running"
    assert json.loads(tare("info", "--json").out)["info"]["config"]["state"] == node.path("state")


def test_version(tare):
    said = tare("version")
    assert re.fullmatch(r"tare +(\S+)\ntared +\1 \(tare, CRI v1\)\n", said.out)
    assert json.loads(tare("version", "--json").out)["runtimeName"] == "tare"
    assert tare("--version").out.startswith("tare version ")


# --- the command line ---

@pytest.mark.parametrize("args, expected", [
    ((), "no command"),
    (("frob",), "unknown command 'frob'"),
    (("pod",), "which one: pod run, pod stop, pod rm?"),
    (("ps", "--frob"), "unknown option '--frob' (see tare ps --help)"),
    (("ps", "-x"), "unknown option '-x'"),
    (("pods", "-a"), "unknown option '-a'"),
    (("ps", "--all=1"), "takes no value"),
    (("logs", "-n"), "needs a value"),
    (("logs", "-n", "x", "c"), "expected a number"),
    (("ps", "more"), "usage: tare ps"),
    (("logs",), "usage: tare logs CONTAINER"),
    (("--address", "tcp://1.2.3.4", "ps"), "expected unix:///PATH"),
])
def test_wrong_usage_is_2(tare, args, expected):
    said = tare(*args, code=2)
    assert expected in said.err and said.err.count("\n") == 1 and said.out == ""


def test_no_daemon_is_3(make_tare, tmp_path):
    tare = make_tare(tmp_path / "none")
    said = tare("ps", code=3)
    assert said.err == (f"tare: no daemon answers at unix://{tmp_path}/none: start it (systemctl"
                        " start tared), or name its socket by --address or TARE_ADDRESS\n")


def test_the_address_wins_over_the_environment(tare, node, tmp_path):
    tare.env["TARE_ADDRESS"] = str(tmp_path / "none")
    tare("--address", node.socket, "ps")
    tare("ps", f"--address=unix://{node.socket}")


def test_a_closed_pipe_is_no_success(tare, node):
    with open("/dev/full", "w", encoding="utf-8") as full:
        done = subprocess.run([tare.program, "images"], env=tare.env, stdout=full, check=False,
                              stderr=subprocess.PIPE, text=True)
    assert done.returncode == 1 and "No space left" in done.stderr


def help_commands(tare):
    return re.findall(r"^  ([a-z-]+(?: [a-z]+)?)  +\S", tare("--help").out, re.M)


def test_help_of_each_command(tare):
    commands = help_commands(tare)
    assert len(commands) > 15
    for command in commands:
        text = tare(*command.split(), "--help").out
        assert text.startswith(f"usage: tare {command} ") and "--address" in text


def test_the_manual_knows_each_command_and_option(tare):
    with open(os.path.join(ROOT, "docs/man/tare.8"), encoding="utf-8") as page:
        text = re.sub(r"\\f[A-Z]|\"", "", page.read()).replace("\\-", "-")
    for command in help_commands(tare):
        assert re.search(rf"^\.BI? {command}\b", text, re.M), command
        text_of = tare(*command.split(), "--help").out
        for option in re.findall(r"^  [ -].[ ,] (--[a-z]+)", text_of, re.M):
            assert option in text, f"{command} {option}"


def complete(tare, line):
    """What bash offers for the last word of a line."""
    script = f"""
        PATH={os.path.dirname(tare.program)}:$PATH
        source {ROOT}/packaging/completions/tare
        compopt() {{ :; }}
        COMP_WORDS=({line}) COMP_CWORD=$(({len(line.split(' '))} - 1))
        [[ '{line}' != *' ' ]] || COMP_WORDS+=('')
        _tare
        printf '%s\\n' "${{COMPREPLY[@]}}"
    """
    done = subprocess.run(["bash", "-c", script], env=tare.env, stdout=subprocess.PIPE, text=True,
                          stderr=subprocess.PIPE, check=True)
    assert done.stderr == ""
    return done.stdout.split()


def test_completion(tare, run):
    pod, container = run(["sleep", "100"])
    assert set(complete(tare, "tare ")) == {c.split()[0] for c in help_commands(tare)}
    assert complete(tare, "tare lo") == ["logs"]
    assert complete(tare, "tare pod s") == ["stop"]
    assert complete(tare, "tare logs --fo") == ["--follow"]
    assert complete(tare, "tare pod rm ") == [pod]
    assert complete(tare, f"tare exec {container[:4]}") == [container]
    assert images.NAME in complete(tare, "tare rmi ")


def test_the_configuration_page_is_what_the_daemon_prints(build):
    done = subprocess.run([os.path.join(build, "src/cmd/tared"), "--config-reference"], check=True,
                          stdout=subprocess.PIPE, text=True)
    with open(os.path.join(ROOT, "docs/config.md"), encoding="utf-8") as page:
        assert page.read().endswith("\n" + done.stdout), "docs/config.md says how to write it anew"


def test_every_command_of_the_help_was_run(tare, request):
    """Last in the file: the help lists only what a test runs."""
    if len(request.session.items) < 40:
        pytest.skip("only some tests were chosen")
    assert set(help_commands(tare)) - tare.used == set()
