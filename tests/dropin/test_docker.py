# SPDX-License-Identifier: Apache-2.0
"""docker: dockerd and the containerd that it starts, with tare-runtime as the default runtime."""
import glob
import json
import os

import pytest

from conftest import IMAGE
from engines import Docker
from support.node import wait_until

RUN = ("run", "--network", "none")


@pytest.fixture(scope="module")
def docker(folder, engine_root, runtime, bundle_image):
    engine = Docker(f"{folder}/docker", engine_root, runtime)
    layer = max(glob.glob(bundle_image.replace(".tar", "/blobs/sha256/*")), key=os.path.getsize)
    engine("import", "-c", "ENV PATH=/bin", "-c", 'CMD ["sleep", "100000"]', layer, IMAGE)
    yield engine
    engine.stop()


@pytest.fixture(scope="module")
def running(docker):
    docker(*RUN, "-d", "--name", "long", IMAGE, "sleep", "100000")
    return "long"


def shell(docker, script, *options, code=0):
    return docker(*RUN, "--rm", *options, IMAGE, "sh", "-c", script, code=code)


def test_info_names_the_runtime(docker):
    info = docker("info", "-f", "{{json .}}").json
    assert info["DefaultRuntime"] == "dropin"


def test_run_passes_output_and_exit_code(docker):
    said = shell(docker, "echo out; echo err >&2; exit 7", code=7)
    assert (said.out, said.err) == ("out\n", "err\n")
    assert docker(*RUN, "--rm", "-i", IMAGE, "cat", stdin="through\n").out == "through\n"


@pytest.mark.parametrize("command, code, text", [
    ("absent", 127, "executable file not found"),
    ("/etc/passwd", 126, "ermission denied"),
    ("/absent/file", 127, "o such file or directory"),
])
def test_command_that_cannot_run(docker, running, command, code, text):
    said = docker(*RUN, "--rm", IMAGE, command, code=code)
    assert text in said.err and command in said.err and "OCI runtime create failed" in said.err
    said = docker("exec", running, command, code=126)  # of this docker's exec, whatever the reason
    assert text in said.out + said.err


def test_mount_source_that_is_not_there(docker, tmp_path):
    source = tmp_path / "late"
    source.mkdir()
    docker("create", "--network", "none", "--name", "late", "--mount",
           f"type=bind,src={source},dst=/mnt", IMAGE, "true")
    source.rmdir()
    assert str(source) in docker("start", "late", code=1).err
    docker("rm", "late")


def test_exec(docker, running):
    assert docker("exec", running, "sh", "-c", "echo in; exit 9", code=9).out == "in\n"
    said = docker("exec", "-u", "worker", "-w", "/tmp", "-e", "WORD=said", running, "sh", "-c",
                  "id -u; pwd; echo $WORD")
    assert (said.out, said.err) == ("1000\n/tmp\nsaid\n", "")
    assert docker("exec", "-i", running, "cat", stdin="abc").out == "abc"


def test_exec_on_a_terminal_is_resized(docker, running):
    terminal = docker.terminal("exec", "-it", running, "sh", rows=31, columns=97)
    terminal.size(31, 97)
    terminal.resize(40, 120)
    terminal.size(40, 120)
    terminal.send("exit 5\n")
    assert terminal.finish() == 5


def test_attach_to_a_terminal_is_resized(docker):
    docker(*RUN, "-dit", "--name", "shell", IMAGE, "sh")
    terminal = docker.terminal("attach", "shell", rows=33, columns=99)
    terminal.size(33, 99)
    terminal.resize(41, 121)
    terminal.size(41, 121)
    terminal.send("exit 6\n")
    assert terminal.finish() == 6
    docker("rm", "shell")


def test_stop_waits_then_kills(docker):
    trap = "trap '{}' TERM; trap 'echo usr1' USR1; echo ready; while :; do sleep 0.1; done"
    docker(*RUN, "-d", "--name", "polite", IMAGE, "sh", "-c", trap.format("exit 3"))
    docker(*RUN, "-d", "--name", "deaf", IMAGE, "sh", "-c", trap.format(":"))
    for name in ("polite", "deaf"):
        wait_until(lambda: "ready" in docker("logs", name).out)
    docker("kill", "-s", "USR1", "deaf")
    wait_until(lambda: "usr1" in docker("logs", "deaf").out)
    docker("stop", "-t", "10", "polite")
    docker("stop", "-t", "1", "deaf")
    assert docker.state("polite")["ExitCode"] == 3
    assert docker.state("deaf")["ExitCode"] == 137
    docker("restart", "-t", "0", "polite")
    assert docker.state("polite")["Status"] == "running"
    docker("rm", "-f", "polite", "deaf")


def test_pause_update_stats(docker):
    docker(*RUN, "-d", "--name", "limited", "-m", "64m", "--memory-swap", "64m", "--cpus", "0.5",
           "--pids-limit", "50", IMAGE, "sleep", "100000")
    inside = ("cat /sys/fs/cgroup/memory/memory.limit_in_bytes /sys/fs/cgroup/pids/pids.max"
              " /sys/fs/cgroup/cpu/cpu.cfs_quota_us")
    read = lambda: docker("exec", "limited", "sh", "-c", inside).out.split()  # noqa: E731
    assert read() == [str(64 << 20), "50", "50000"]
    docker("update", "-m", "128m", "--memory-swap", "128m", "--cpus", "0.25", "--pids-limit", "60",
           "limited")
    assert read() == [str(128 << 20), "60", "25000"]
    assert docker("stats", "--no-stream", "--format", "{{.PIDs}}", "limited").out == "1\n"
    docker("pause", "limited")
    assert docker.state("limited")["Status"] == "paused"
    assert "paused" in docker("exec", "limited", "true", code=1).err
    docker("unpause", "limited")
    assert docker("top", "limited").rows[0][-1] == "100000"
    docker("rm", "-f", "limited")


def test_out_of_memory(docker):
    docker(*RUN, "--name", "hungry", "-m", "16m", "--memory-swap", "16m", IMAGE, "sh", "-c",
           "dd if=/dev/zero of=/dev/null bs=64M count=1; exit $?", code=137)
    wait_until(lambda: docker.state("hungry")["OOMKilled"])
    docker("rm", "hungry")


def test_privileged_and_capabilities(docker):
    script = ("sed -n 's/^Seccomp:\t//p' /proc/self/status; mount -t tmpfs t /mnt &&"
              "test -c /dev/kmsg")
    assert shell(docker, script, "--privileged", "--tmpfs", "/mnt").out == "0\n"
    caps = "sed -n 's/^CapEff:\t//p' /proc/self/status"
    mask = lambda *options: int(shell(docker, caps, *options).out, 16)  # noqa: E731
    assert mask("--cap-drop", "all", "--cap-add", "NET_RAW") == 1 << 13
    assert mask("--user", "1000") == 0


def test_files_and_limits(docker, tmp_path):
    profile = tmp_path / "profile.json"
    profile.write_text(json.dumps({"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [
        {"names": ["mkdir", "mkdirat"], "action": "SCMP_ACT_ERRNO", "errnoRet": 28}]}))
    script = ("sed -n 's/^NoNewPrivs:\t//p' /proc/self/status; ulimit -n; hostname; pwd; id -G;"
              "cat /proc/1/oom_score_adj /proc/1/comm; echo > /file; mkdir /tmp/x")
    said = shell(docker, script, "--read-only", "--init", "--security-opt", f"seccomp={profile}",
                 "--security-opt", "no-new-privileges", "--ulimit", "nofile=77:88", "--user",
                 "worker", "--group-add", "50000", "-w", "/home/worker", "--hostname", "name",
                 "--oom-score-adj", "300", "--tmpfs", "/tmp", code=1)
    lines = said.out.splitlines()
    assert lines[:4] == ["1", "77", "name", "/home/worker"]
    assert set(lines[4].split()) == {"1000", "50000"}  # dockerd gives a group twice
    assert lines[5] == "300"
    assert "Read-only file system" in said.err and "No space left on device" in said.err


def test_healthcheck(docker):
    docker(*RUN, "-d", "--name", "healthy", "--health-cmd", "true", "--health-interval", "1s",
           IMAGE, "sleep", "100000")
    wait_until(lambda: docker.state("healthy")["Health"]["Status"] == "healthy", 20)
    docker("rm", "-f", "healthy")


def test_restart_policy(docker):
    docker(*RUN, "-d", "--name", "again", "--restart", "on-failure:1", IMAGE, "sh", "-c", "exit 1")
    wait_until(lambda: docker("inspect", "again").json[0]["RestartCount"] == 1, 20)
    wait_until(lambda: docker.state("again")["Status"] == "exited")
    docker("rm", "again")


def test_network_of_a_bridge(docker):
    said = docker("run", "--rm", IMAGE, "ip", "-o", "-4", "addr", "show", "eth0")
    assert "10.98.0." in said.out
