# SPDX-License-Identifier: Apache-2.0
"""containerd with its own shim: Debian's and today's, by ctr and by crictl."""
import json
import subprocess

import pytest

from conftest import IMAGE
from engines import CGROUP, Containerd
from support.node import wait_until

VERSIONS = {"1.6": 2, "2.4": 3}  # and the version of its configuration


@pytest.fixture(scope="module", params=VERSIONS)
def containerd(request, folder, engine_root, containerd_folder, runtime, bundle_image,
               pause_archive):
    programs = f"{engine_root}/usr/bin" if request.param == "1.6" else containerd_folder
    engine = Containerd(f"{folder}/c{request.param}", engine_root, programs, runtime,
                        VERSIONS[request.param])
    for archive in (bundle_image, pause_archive):
        engine.load(archive)
    yield engine
    engine.stop()


@pytest.fixture
def start(containerd):
    """start(id, *command): a task that runs; removed at the end of the test."""
    made = []

    def run(name, *command, options=()):
        made.append(name)
        containerd("run", "-d", *containerd.options(*options), IMAGE, name, *command)
        return name

    yield run
    for name in made:
        containerd.run("task", "kill", "-s", "KILL", name)
        wait_until(lambda name=name: state(containerd, name) != "RUNNING")
        containerd("task", "rm", name)
        containerd("container", "rm", name)


def state(containerd, name):
    return next((row[2] for row in containerd("task", "ls").rows if row[0] == name), None)


def once(containerd, name, *command, options=(), code=0):
    """ctr drops what it has not copied yet when a task ends: let what prints sleep at its end."""
    return containerd("run", "--rm", *containerd.options(*options), IMAGE, name, *command,
                      code=code)


def test_run_passes_output_and_exit_code(containerd):
    said = once(containerd, "once", "sh", "-c", "echo out; echo err >&2; sleep 0.3; exit 7", code=7)
    assert said.out == "out\n" and "err" in said.err.splitlines()


@pytest.mark.parametrize("command, text", [
    ("absent", "executable file not found"), ("/etc/passwd", "ermission denied"),
    ("/absent/file", "o such file or directory")])
def test_command_that_cannot_run(containerd, start, command, text):
    said = once(containerd, "never", command, code=1)
    assert "OCI runtime create failed" in said.err
    assert text in said.err and command in said.err
    containerd.run("container", "rm", "never")
    said = containerd("task", "exec", "--exec-id", "e", start("long", "sleep", "1000"), command,
                      code=1)
    assert "OCI runtime exec failed" in said.err and text in said.err


def test_mount_source_that_is_not_there(containerd, tmp_path):
    mount = f"type=bind,src={tmp_path}/gone,dst=/mnt,options=rbind:ro"
    said = once(containerd, "never", "true", options=("--mount", mount), code=1)
    assert f"{tmp_path}/gone" in said.err
    containerd.run("container", "rm", "never")


def test_life_of_a_task(containerd, start):
    name = start("life", "sleep", "1000", options=("--memory-limit", str(64 << 20)))
    assert containerd("task", "exec", "--exec-id", "e", name, "sh", "-c", "echo in; exit 9",
                      code=9).out == "in\n"
    assert len(containerd("task", "ps", name).rows) == 1
    metrics = containerd("task", "metrics", name).out
    assert "memory" in metrics and "pids" in metrics
    containerd("task", "pause", name)
    assert state(containerd, name) == "PAUSED"
    containerd("task", "resume", name)
    assert state(containerd, name) == "RUNNING"
    containerd("task", "kill", "-s", "KILL", name)
    wait_until(lambda: state(containerd, name) == "STOPPED")


def test_terminal_is_resized(containerd, start):
    terminal = containerd.terminal("task", "exec", "-t", "--exec-id", "t",
                                   start("tty", "sleep", "1000"), "sh", rows=31, columns=97)
    terminal.size(31, 97)
    terminal.resize(40, 120)
    terminal.size(40, 120)
    terminal.send("exit 5\n")
    assert terminal.finish() == 5


def test_options(containerd):
    script = "echo $WORD; pwd; sed -n 's/^Seccomp:\t//p' /proc/1/status; echo > /file; sleep 0.3"
    said = once(containerd, "opts", "sh", "-c", script, options=(
        "--read-only", "--seccomp", "--env", "WORD=said", "--cwd", "/tmp"))
    assert said.out.splitlines() == ["said", "/tmp", "2"]
    assert "Read-only file system" in said.err
    said = once(containerd, "priv", "sh", "-c", "mount -t tmpfs t /tmp && echo yes; sleep 0.3",
                options=("--privileged",))
    assert said.out == "yes\n"


class Cri:
    """crictl on the daemon's own CRI."""

    def __init__(self, containerd, crictl, tmp_path):
        self.prefix = [crictl, "-r", f"unix://{containerd.socket}", "-t", "30s"]
        self.containerd, self.tmp_path = containerd, tmp_path

    def run(self, *args):
        return subprocess.run([*self.prefix, *map(str, args)], check=False, text=True,
                              capture_output=True, stdin=subprocess.DEVNULL, timeout=60)

    def __call__(self, *args, code=0):
        done = self.run(*args)
        assert done.returncode == code, f"{args}: {done.stdout}{done.stderr}" \
            f"{self.containerd.log_end(3)}"
        return done.stdout.strip() if code == 0 else done.stderr

    def write(self, name, content):
        path = self.tmp_path / name
        path.write_text(json.dumps(content))
        return path

    def pod(self, **linux):
        config = {"metadata": {"name": "pod", "namespace": "d", "uid": "u", "attempt": 1},
                  "log_directory": str(self.tmp_path),
                  "linux": {"cgroup_parent": CGROUP, "security_context": {
                      "namespace_options": {"network": 2, "pid": 1}, **linux}}}
        path = self.write("pod.json", config)
        return path, self("runp", path)

    def create(self, pod, path, name, *command, **linux):
        config = {"metadata": {"name": name}, "image": {"image": IMAGE}, "command": command,
                  "log_path": f"{name}.log", "linux": linux}
        return self("create", "--no-pull", pod, self.write(f"{name}.json", config), path)

    def status(self, container):
        return json.loads(self("inspect", container))["status"]


@pytest.fixture
def cri(containerd, crictl, tmp_path):
    made = Cri(containerd, crictl, tmp_path)
    yield made
    made.run("rmp", "-fa")


def test_kubelet_flow(cri, tmp_path):
    path, pod = cri.pod()
    main = cri.create(pod, path, "main", "sh", "-c",
                      "trap 'exit 3' TERM; echo ready; while :; do sleep 0.1; done",
                      resources={"memory_limit_in_bytes": 64 << 20})
    cri("start", main)
    wait_until(lambda: "ready" in cri("logs", main))
    assert cri("exec", "-s", main, "echo", "in") == "in"
    assert "exited with 9" in cri("exec", "-s", main, "sh", "-c", "exit 9", code=1)
    cri("update", "--memory", str(128 << 20), main)
    assert cri("exec", "-s", main, "cat", "/sys/fs/cgroup/memory/memory.limit_in_bytes") == \
        str(128 << 20)
    assert json.loads(cri("stats", "-o", "json", main))["stats"]
    cri("stop", "-t", "10", main)
    assert cri.status(main)["exitCode"] == 3
    bad = cri.create(pod, path, "bad", "absent")
    assert "OCI runtime create failed" in cri("start", bad, code=1)
    reasons = []
    while "OOMKilled" not in reasons:  # its shim hears of the exit first, now and then
        hungry = cri.create(pod, path, f"hungry{len(reasons)}", "dd", "if=/dev/zero",
                            "of=/dev/null", "bs=64M",
                            resources={"memory_limit_in_bytes": 16 << 20,
                                       "memory_swap_limit_in_bytes": 16 << 20})
        cri("start", hungry)
        wait_until(lambda one=hungry: cri.status(one)["state"] == "CONTAINER_EXITED")
        assert cri.status(hungry)["exitCode"] == 137
        reasons.append(cri.status(hungry)["reason"])
        assert len(reasons) < 6, reasons
    confined = cri.create(pod, path, "confined", "sh", "-c",
                          "id -u; id -G; sed -n 's/^Seccomp:\t//p' /proc/self/status; echo > /file",
                          security_context={"run_as_user": {"value": 1000},
                                            "supplemental_groups": [50000],
                                            "readonly_rootfs": True, "no_new_privs": True,
                                            "seccomp": {"profile_type": 0}})
    cri("start", confined)
    wait_until(lambda: cri.status(confined)["state"] == "CONTAINER_EXITED")
    lines = (tmp_path / "confined.log").read_text()
    assert "stdout F 1000\n" in lines and "stdout F 2\n" in lines and "Read-only" in lines
    cri("stopp", pod)
    cri("rmp", pod)


def test_privileged_pod(cri, tmp_path):
    path, pod = cri.pod(privileged=True)
    main = cri.create(pod, path, "main", "sh", "-c", "mount -t tmpfs t /tmp && echo mounted",
                      security_context={"privileged": True})
    cri("start", main)
    wait_until(lambda: cri.status(main)["state"] == "CONTAINER_EXITED")
    assert "mounted" in (tmp_path / "main.log").read_text()
