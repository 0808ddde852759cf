# SPDX-License-Identifier: Apache-2.0
"""podman, whose conmon calls tare-runtime."""
import json
import os
import subprocess
import time

import pytest

from conftest import IMAGE
from engines import CGROUP, Cell, Podman, cgroups_of
from support.node import wait_until

RUN = ("run", "--cgroup-parent", CGROUP, "--network", "none")


@pytest.fixture(scope="module")
def podman(folder, engine_root, runtime, bundle_image):
    foreign = not runtime.endswith("tare-runtime")
    engine = Podman(f"{folder}/podman", engine_root, runtime, foreign)
    engine.load(bundle_image)
    yield engine
    engine.stop()


@pytest.fixture(scope="module")
def running(podman):
    """A container that most tests only look at."""
    podman(*RUN, "-d", "--name", "long", IMAGE, "sleep", "100000")
    return "long"


def shell(podman, script, *options, code=0):
    return podman(*RUN, "--rm", *options, IMAGE, "sh", "-c", script, code=code)


def test_info_names_the_runtime(podman, runtime):
    said = podman("info", "-f", "json").json["host"]["ociRuntime"]
    assert said["path"] == runtime
    assert os.path.basename(runtime) in said["version"]


def test_run_passes_output_and_exit_code(podman):
    said = shell(podman, "echo out; echo err >&2; exit 7", code=7)
    assert (said.out, said.err) == ("out\n", "err\n")
    assert podman(*RUN, "--rm", "-i", IMAGE, "cat", stdin="through\n").out == "through\n"


@pytest.mark.parametrize("command, code, text", [
    ("absent", 127, "absent"),
    ("/etc/passwd", 126, "ermission denied"),
    ("/absent/file", 127, "o such file or directory"),
])
def test_command_that_cannot_run(podman, running, command, code, text):
    for said in (podman(*RUN, "--rm", IMAGE, command, code=code),
                 podman("exec", running, command, code=code)):
        assert text in said.err and command in said.err
        assert len(said.err.splitlines()) == 1


def test_mount_source_that_is_not_there(podman, tmp_path):
    bundle = podman(*RUN, "-d", "-v", f"{tmp_path}/gone:/mnt", IMAGE, "true", code=125)
    assert "no such file or directory" in bundle.err
    (tmp_path / "late").mkdir()
    podman("create", "--cgroup-parent", CGROUP, "--network", "none", "--name", "late",
           "-v", f"{tmp_path}/late:/mnt", IMAGE, "true")
    (tmp_path / "late").rmdir()
    said = podman("start", "late", code=125)  # this one only the runtime sees
    assert f"{tmp_path}/late" in said.err and "o such file or directory" in said.err
    podman("rm", "late")


def test_exec(podman, running):
    assert podman("exec", running, "sh", "-c", "echo in; exit 9", code=9).out == "in\n"
    said = podman("exec", "-u", "worker", "-w", "/tmp", "-e", "WORD=said", running, "sh", "-c",
                  "id -u; pwd; echo $WORD; cat <&0")
    assert said.out == "1000\n/tmp\nsaid\n"
    assert said.err == ""
    assert podman("exec", "-i", running, "cat", stdin="abc").out == "abc"
    assert "0000003fffffffff" not in podman("exec", running, "grep", "CapEff",
                                            "/proc/self/status").out
    podman("exec", "-d", running, "touch", "/tmp/detached")
    wait_until(lambda: podman.run("exec", running, "test", "-e", "/tmp/detached").code == 0)


def test_exec_on_a_terminal_is_resized(podman, running):
    terminal = podman.terminal("exec", "-it", running, "sh", rows=31, columns=97)
    terminal.size(31, 97)
    terminal.resize(40, 120)
    terminal.size(40, 120)
    terminal.send("exit 5\n")
    assert terminal.finish() == 5


def test_attach_to_a_terminal_is_resized(podman):
    podman(*RUN, "-dit", "--name", "shell", IMAGE, "sh")
    terminal = podman.terminal("attach", "shell", rows=33, columns=99)
    terminal.size(33, 99)
    terminal.resize(41, 121)
    terminal.size(41, 121)
    terminal.send("exit 6\n")
    terminal.finish()
    assert podman("wait", "shell").out == "6\n"
    podman("rm", "shell")


def test_stop_waits_then_kills(podman):
    trap = "trap 'exit 3' TERM; echo ready; while :; do sleep 0.1; done"
    podman(*RUN, "-d", "--name", "polite", IMAGE, "sh", "-c", trap)
    podman(*RUN, "-d", "--name", "deaf", IMAGE, "sh", "-c", trap.replace("exit 3", ":"))
    for name in ("polite", "deaf"):
        wait_until(lambda: "ready" in podman("logs", name).out)
    podman("stop", "-t", "10", "polite")
    podman("stop", "-t", "1", "deaf")
    assert podman.state("polite")["ExitCode"] == 3
    assert podman.state("deaf")["ExitCode"] == 137
    podman("start", "polite")
    assert podman.state("polite")["Status"] == "running"
    podman("rm", "-f", "-t", "0", "polite", "deaf")


def test_kill_with_a_signal(podman):
    podman(*RUN, "-d", "--name", "victim", IMAGE, "sh", "-c",
           "trap 'echo got usr1' USR1; echo ready; while :; do sleep 0.1; done")
    wait_until(lambda: "ready" in podman("logs", "victim").out)
    podman("kill", "-s", "USR1", "victim")
    wait_until(lambda: "got usr1" in podman("logs", "victim").out)
    podman("kill", "-s", "KILL", "victim")
    assert podman("wait", "victim").out == "137\n"
    podman("rm", "victim")


def test_pause_and_unpause(podman):
    podman(*RUN, "-d", "--name", "still", IMAGE, "sh", "-c", "while :; do echo x; sleep 0.1; done")
    podman("pause", "still")
    assert podman.state("still")["Status"] == "paused"
    before = podman("logs", "still").out
    time.sleep(0.4)
    assert podman("logs", "still").out == before
    podman("exec", "still", "true", code=255)
    podman("unpause", "still")
    wait_until(lambda: podman("logs", "still").out != before)
    podman("rm", "-f", "-t", "0", "still")


def test_update(podman):
    podman(*RUN, "-d", "--name", "limited", "-m", "64m", "--cpus", "0.5", "--pids-limit", "50",
           IMAGE, "sleep", "100000")
    inside = "cat /sys/fs/cgroup/memory/memory.limit_in_bytes /sys/fs/cgroup/pids/pids.max"
    assert podman("exec", "limited", "sh", "-c", inside).out.split() == [str(64 << 20), "50"]
    podman("update", "--memory", "128m", "--cpus", "0.25", "limited")
    shown = "cat /sys/fs/cgroup/memory/memory.limit_in_bytes /sys/fs/cgroup/cpu/cpu.cfs_quota_us"
    assert podman("exec", "limited", "sh", "-c", shown).out.split() == [str(128 << 20), "25000"]
    podman("rm", "-f", "-t", "0", "limited")


def test_looks_at_a_container(podman, running):
    assert [row[-1] for row in podman("top", running, "pid", "args").rows] == ["100000"]
    stats = podman("stats", "--no-stream", "--format", "json", running).json[0]
    assert stats["name"] == "long" and int(stats["pids"]) == 1
    assert podman.state(running)["Running"] is True
    assert podman("inspect", running).json[0]["OCIRuntime"] == "dropin"
    assert [row[-1] for row in podman("ps").rows] == ["long"]


def test_out_of_memory(podman):
    podman(*RUN, "--name", "hungry", "-m", "16m", "--memory-swap", "16m", IMAGE, "sh", "-c",
           "dd if=/dev/zero of=/dev/null bs=64M count=1", code=137)
    assert podman.state("hungry")["ExitCode"] == 137  # conmon 2.1.6 misses that it was memory
    podman("rm", "hungry")


def test_capabilities(podman):
    caps = "sed -n 's/^CapEff:\t//p' /proc/self/status"
    mask = lambda *options: int(shell(podman, caps, *options).out, 16)  # noqa: E731
    assert mask("--cap-drop", "all") == 0
    assert mask("--cap-drop", "all", "--cap-add", "NET_RAW") == 1 << 13
    assert mask("--user", "1000") == 0
    assert mask("--cap-add", "SYS_ADMIN") & 1 << 21


def test_privileged(podman):
    script = ("sed -n 's/^Seccomp:\t//p' /proc/self/status; mount -t tmpfs t /mnt &&"
              "test -b /dev/vda -o -c /dev/kmsg")
    assert shell(podman, script, "--privileged", "--tmpfs", "/mnt").out == "0\n"


def test_read_only(podman):
    assert "Read-only" in shell(podman, "echo > /file", "--read-only", code=1).err
    shell(podman, "echo > /tmp/file && echo > /dev/shm/file", "--read-only")


def test_user_and_groups(podman):
    said = shell(podman, "id -u; id -g; id -G; pwd", "--user", "worker", "-w", "/home/worker",
                 "--group-add", "50000")
    assert said.out == "1000\n1000\n1000 50000\n/home/worker\n"


def test_seccomp(podman, tmp_path):
    profile = tmp_path / "profile.json"
    profile.write_text(json.dumps({"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [
        {"names": ["mkdir", "mkdirat"], "action": "SCMP_ACT_ERRNO", "errnoRet": 28}]}))
    said = shell(podman, "mkdir /tmp/x", "--security-opt", f"seccomp={profile}", code=1)
    assert "No space left on device" in said.err
    mode = "sed -n 's/^Seccomp:\t//p' /proc/self/status"
    assert shell(podman, mode, "--security-opt", "seccomp=unconfined").out == "0\n"
    assert shell(podman, mode).out == "2\n"


def test_security_and_limits(podman):
    script = ("sed -n 's/^NoNewPrivs:\t//p' /proc/self/status; ulimit -n; hostname;"
              "cat /proc/sys/net/ipv4/ip_unprivileged_port_start; cat /proc/self/oom_score_adj;"
              "stat -c %t:%T /dev/thing; ls /proc/acpi 2>&1; cat /proc/keys | wc -c")
    said = shell(podman, script, "--security-opt", "no-new-privileges", "--ulimit", "nofile=77:88",
                 "--hostname", "name", "--sysctl", "net.ipv4.ip_unprivileged_port_start=80",
                 "--oom-score-adj", "300", "--device", "/dev/null:/dev/thing")
    assert said.out.splitlines() == ["1", "77", "name", "80", "300", "1:3", "0"]


def test_init(podman):
    said = shell(podman, "cat /proc/1/comm; exit 4", "--init", code=4)
    assert said.out.split()[0] in ("catatonit", "podman-init")


@pytest.mark.parametrize("mode, container, conmon", [
    ("enabled", "{parent}/libpod-{id}", ("{parent}/conmon", "{cell}")),  # of hybrid ones only v1's
    ("no-conmon", "{parent}/libpod-{id}", ("{cell}",)),
    ("disabled", "{cell}", ("{cell}",)),
    ("split", "{cell}/libpod-payload-{id}", ("{cell}/runtime",)),
])
def test_cgroups(podman, mode, container, conmon):
    """podman is started in a cgroup of its own, as by a unit."""
    cell = Cell(mode)
    parent = ("--cgroup-parent", CGROUP) if mode in ("enabled", "no-conmon") else ()
    said = podman("run", "-d", *parent, "--network", "none", "--name", mode, "--cgroups", mode,
                  IMAGE, "sleep", "100000", cell=cell)
    assert said.err == ""
    state = podman.state(mode)
    names = {"cell": cell.path, "parent": CGROUP, "id": said.id}
    assert cgroups_of(state["Pid"]) == {container.format(**names)}
    assert cgroups_of(state["ConmonPid"]) <= {path.format(**names) for path in conmon}
    assert podman("exec", mode, "echo", "in").out == "in\n"
    podman("stop", "-t", "0", mode)
    assert podman.state(mode)["ExitCode"] == 137
    podman("rm", mode)
    below = {name for folder in cell.folders for _, names, _ in os.walk(folder) for name in names}
    assert below <= {"runtime"}  # podman's own


def test_namespaces(podman, running):
    said = shell(podman, "cat /proc/self/uid_map; echo > /tmp/x", "--uidmap", "0:200000:3000",
                 "--gidmap", "0:200000:3000")
    assert said.out.split() == ["0", "200000", "3000"]
    assert shell(podman, "cat /proc/1/comm", "--pid", f"container:{running}").out == "sleep\n"
    assert int(shell(podman, "echo $$", "--pid", "host").out) > 1
    host = os.readlink("/proc/thread-self/ns/ipc")
    said = shell(podman, "readlink /proc/self/ns/ipc", "--ipc", "host", "--uts", "host")
    assert said.out.strip() == host


def remove(podman, name):
    """Of a user namespace. podman's first attempt may find its own shm "busy", with runc too."""
    wait_until(lambda: podman.run("rm", "-f", "-t", "0", name).code == 0)


@pytest.fixture
def mapped(podman):
    """A container in a user namespace."""
    podman(*RUN, "-d", "--name", "mapped", "--uidmap", "0:200000:3000", "--gidmap",
           "0:200000:3000", IMAGE, "sleep", "100000")
    yield "mapped"
    remove(podman, "mapped")


def user_namespace(podman, container):
    return os.readlink(f"/proc/{podman.state(container)['Pid']}/ns/user")


WHO = "readlink /proc/self/ns/user; cat /proc/self/uid_map /proc/self/gid_map; id -u; id -g"
FILES = "touch /root/x && stat -c %u:%g /root/x"


def test_user_namespace_of_a_container(podman, mapped):
    said = shell(podman, f"{WHO}; {FILES}", "--userns", f"container:{mapped}")
    assert said.out.split() == [user_namespace(podman, mapped), "0", "200000", "3000", "0",
                                "200000", "3000", "0", "0", "0:0"]
    assert said.err == ""


def test_user_namespace_by_path(podman, mapped, tmp_path):
    """podman does not give its layers to such a namespace's root: the root is a folder of ours."""
    root = tmp_path / "root"
    root.mkdir()
    for folder in (tmp_path, *tmp_path.parents[:2]):
        folder.chmod(0o755)
    podman("export", "-o", tmp_path / "tar", mapped)
    subprocess.run(["tar", "-C", root, "-xf", tmp_path / "tar"], check=True)
    subprocess.run(["chown", "-R", "200000:200000", root], check=True)
    where = f"ns:/proc/{podman.state(mapped)['Pid']}/ns/user"
    said = podman(*RUN, "--rm", "--userns", where, "--rootfs", root, "sh", "-c", f"{WHO}; {FILES}")
    assert said.out.split()[0] == user_namespace(podman, mapped)
    assert said.out.split()[1:] == ["0", "200000", "3000", "0", "200000", "3000", "0", "0", "0:0"]
    said = podman(*RUN, "--rm", "--userns", where, IMAGE, "true", code=126)
    assert "make the mount point: Permission denied" in said.err


@pytest.mark.parametrize("options, size", [("auto", "1024"), ("auto:size=2048", "2048")])
def test_automatic_user_namespace(podman, options, size):
    for name in ("/etc/subuid", "/etc/subgid"):
        with open(name, "r+", encoding="ascii") as file:
            if "containers:" not in file.read():
                file.write("containers:300000:200000\n")
    podman(*RUN, "-d", "--name", "other", "--userns", "auto", IMAGE, "sleep", "100000")
    said = shell(podman, f"{WHO}; {FILES}", "--userns", options)
    namespace, _, first, count, _, _, _, *rest = said.out.split()
    assert namespace not in (user_namespace(podman, "other"), os.readlink("/proc/self/ns/user"))
    assert count == size and rest == ["0", "0", "0:0"]
    with open(f"/proc/{podman.state('other')['Pid']}/uid_map", encoding="ascii") as file:
        _, taken, length = map(int, file.read().split())
    assert not taken < int(first) + int(size) <= taken + length  # nobody else's ids
    remove(podman, "other")


@pytest.mark.parametrize("mode", ["keep-id", "nomap"])
def test_user_namespace_without_root_only(podman, mode):
    """podman's own word: without root, tests/runtime/test_rootless.py has what the runtime does."""
    said = podman(*RUN, "--rm", "--userns", mode, IMAGE, "true", code=125)
    assert f"{mode} is only supported in rootless mode" in said.err


def test_volumes(podman, tmp_path):
    (tmp_path / "source").mkdir()
    (tmp_path / "source/file").write_text("text\n")
    mounts = ("-v", f"{tmp_path}/source:/ro:ro", "-v", f"{tmp_path}/source:/rw:rshared",
              "-v", "named:/home/worker:z", "--tmpfs", "/scratch:size=1m,mode=1777",
              "--mount", f"type=bind,src={tmp_path}/source/file,dst=/etc/one,ro")
    said = shell(podman, "cat /ro/file /etc/one; echo new > /rw/new; echo no > /ro/no;"
                 "stat -c %a /scratch; test -e /home/worker/.keep && echo copied", *mounts)
    assert said.out == "text\ntext\n1777\ncopied\n"
    assert "Read-only file system" in said.err
    assert (tmp_path / "source/new").read_text() == "new\n"


def test_pod_shares_namespaces(podman):
    podman("pod", "create", "--name", "pod", "--cgroup-parent", CGROUP, "--network", "none",
           "--share", "net,ipc,uts,pid", "--infra-image", IMAGE, "--infra-command", "sleep 99999")
    podman("run", "-d", "--pod", "pod", "--name", "first", IMAGE, "sleep", "88888")
    seen = podman("run", "--rm", "--pod", "pod", IMAGE, "sh", "-c", "ps; hostname").out
    assert "sleep 99999" in seen and "sleep 88888" in seen
    assert seen.splitlines()[-1] == "pod"
    podman("pod", "pause", "pod")
    assert podman.state("first")["Status"] == "paused"
    podman("pod", "unpause", "pod")
    podman("rm", "-f", "-t", "0", "first")
    podman("pod", "rm", "-f", "-t", "0", "pod")


def test_kill_without_a_pid_namespace(podman):
    for _ in range(4):  # conmon reaps the init while tare-runtime still signals the others
        podman(*RUN, "-d", "--name", "host", "--pid", "host", IMAGE, "sh", "-c",
               "sleep 88888 & sleep 77777")
        assert podman("kill", "-s", "KILL", "host").err == ""
        assert podman("wait", "host").out == "137\n"
        podman("rm", "host")


def test_healthcheck(podman):
    podman(*RUN, "-d", "--name", "healthy", "--health-cmd", "test -e /tmp/well",
           "--health-interval", "disable", IMAGE, "sleep", "100000")
    assert podman("healthcheck", "run", "healthy", code=1)
    podman("exec", "healthy", "touch", "/tmp/well")
    podman("healthcheck", "run", "healthy")
    podman("restart", "-t", "0", "healthy")
    assert podman.state("healthy")["Status"] == "running"
    podman("rm", "-f", "-t", "0", "healthy")


def test_restart_policy(podman):
    podman(*RUN, "-d", "--name", "again", "--restart", "on-failure:2", IMAGE, "sh", "-c", "exit 1")
    wait_until(lambda: podman("inspect", "again").json[0]["RestartCount"] == 2, 20)
    wait_until(lambda: podman.state("again")["Status"] == "exited")
    podman("rm", "again")


def test_network_of_a_bridge(podman):
    said = podman("run", "--cgroup-parent", CGROUP, "--rm", "--network", "podman", IMAGE,
                  "ip", "-o", "-4", "addr", "show", "eth0")
    assert "10.97.0." in said.out


def test_copy_commit_and_diff(podman, running, tmp_path):
    (tmp_path / "file").write_text("copied\n")
    podman("cp", tmp_path / "file", f"{running}:/root/file")
    assert podman("exec", running, "cat", "/root/file").out == "copied\n"
    assert "A /root/file" in podman("diff", running).out
