# SPDX-License-Identifier: Apache-2.0
"""Containers: prepare, start, exit, kill, delete, state, reconnect, shutdown."""
import json
import os
import signal
import time

import pytest
from shim_client import ShimError, pb, wait_until


def exit_record(pod, name):
    with open(os.path.join(pod.shim.state_dir, "exits", name + ".json")) as f:
        return json.load(f)


def test_prepare_resolves_the_user(pod):
    def prepared(name, **fields):
        reply = pod.prepare(name, **fields)
        return reply.uid, reply.gid, list(reply.additional_gids), reply.home

    assert prepared("a") == (0, 0, [], "/root")
    assert prepared("b", user="worker") == (1000, 1000, [50000], "/data")
    assert prepared("c", user="worker", strict_groups=True) == (1000, 1000, [], "/data")
    assert prepared("d", user="1000", has_gid=True, gid=7, supplemental_groups=[9, 8, 9, 7])[:2] \
        == (1000, 7)
    assert prepared("e", supplemental_groups=[9, 8, 9, 0])[2] == [8, 9]
    with pytest.raises(ShimError, match="container 'f'.*nobody-there"):
        pod.prepare("f", user="nobody-there")
    with pytest.raises(ShimError, match="EXISTS"):
        pod.prepare("a")
    assert pod.mounts() != [] and not any("/a/" in m for m in pod.mounts())
    state = pod.client.container_state("b")
    assert (state.state, state.uid, state.gid, list(state.additional_gids)) == \
        ("prepared", 1000, 1000, [50000])
    assert pod.client.container_state("f") is None
    for name in "abcde":
        pod.client.delete(name)
    assert len(pod.client.state().containers) == 0


def test_prepare_looks_at_host_paths(pod):
    os.mkdir(pod.path("dir"))
    os.symlink(pod.path("dir"), pod.path("link"))
    with open(pod.path("file"), "w") as f:
        f.write("content")
    os.chmod(pod.path("file"), 0o604)
    os.mkdir(pod.path("devices"))
    os.mknod(pod.path("devices", "null"), 0o20666, os.makedev(1, 3))
    os.mkdir(pod.path("devices", "deep"))
    os.mknod(pod.path("devices", "deep", "zero"), 0o20666, os.makedev(1, 5))
    made = pod.path("new", "folder")
    reply = pod.prepare("a", host_paths=[
        pb.HostPath(path=pod.path("link")), pb.HostPath(path=pod.path("file"), read=True),
        pb.HostPath(path=made, make_dir=True), pb.HostPath(path="/dev/null"),
        pb.HostPath(path=pod.path("devices"), devices=True)])
    info = reply.host_paths
    assert (info[0].path, info[0].type) == (pod.path("dir"), "d")
    assert (info[1].type, info[1].content, info[1].mode) == ("f", b"content", 0o604)
    assert info[2].path == made and os.stat(made).st_mode & 0o777 == 0o755
    assert (info[3].type, info[3].major, info[3].minor) == ("c", 1, 3)
    found = {(os.path.basename(d.path), d.minor) for d in info[4].below}
    assert found == {("null", 3), ("zero", 5)}
    with pytest.raises(ShimError, match="NOT_FOUND.*nothing-here"):
        pod.prepare("b", host_paths=[pb.HostPath(path=pod.path("nothing-here"))])
    with open(pod.path("big"), "wb") as f:
        f.truncate((1 << 20) + 1)
    with pytest.raises(ShimError, match="big"):
        pod.prepare("b", host_paths=[pb.HostPath(path=pod.path("big"), read=True)])
    with open(pod.path("big"), "wb") as f:
        f.write(b"x" * (1 << 20))
    # a result that no message of the job's socket could hold
    reply = pod.prepare("b", host_paths=[pb.HostPath(path=pod.path("big"), read=True)])
    assert reply.host_paths[0].content == b"x" * (1 << 20)


def test_output_and_exit_code(pod):
    started = pod.sh("a", "echo out; echo err >&2; echo more; exit 3")
    assert started.pid > 0 and started.start_time > 0
    event = pod.client.wait_exit("a")
    assert (event.exit_code, event.signal, event.oom_killed, event.reason) == (3, 0, False, "")
    assert abs(event.finished_at - time.time_ns()) < 60e9
    assert pod.output("a") == b"out\nmore\n"
    assert pod.output("a", "stderr") == b"err\n"
    assert os.stat(pod.log_path("a")).st_mode & 0o7777 == 0o640
    record = exit_record(pod, "a")
    assert (record["exitCode"], record["finishedAt"]) == (3, event.finished_at)
    state = pod.client.container_state("a")
    assert state.state == "exited" and state.exit == event and state.pid == 0
    with pytest.raises(ShimError, match="PRECONDITION"):
        pod.client.kill("a", signal.SIGKILL)
    with pytest.raises(ShimError, match="PRECONDITION"):
        pod.client.start("a", pod.path("a"))
    pod.client.delete("a")
    assert pod.client.container_state("a") is None
    pod.client.delete("a")


def test_start_asked_by_two(pod):
    """One may be a daemon that has died: whom the shim reads last hears of the one process."""
    pod.prepare("a")
    bundle = pod.bundle("a", pod.spec("a", ["sleep", "1000"]))
    request = pb.StartContainerRequest(container_id="a", bundle=bundle, log_path=pod.log_path("a"))
    second = pod.shim.connect()
    os.kill(pod.shim.pid, signal.SIGSTOP)
    asked = [(client, client.send("start_container", request)) for client in (pod.client, second)]
    os.kill(pod.shim.pid, signal.SIGCONT)
    answers = []
    for client, number in asked:
        try:
            answers.append(client.wait(number))
        except ShimError as error:
            assert "CANCELED" in str(error)
    assert len(answers) == 1
    started = answers[0]
    assert pod.client.container_state("a").pid == started.pid
    again = pod.client.call("start_container", request)
    assert (again.pid, again.start_time) == (started.pid, started.start_time)
    request.bundle = pod.path("b")
    with pytest.raises(ShimError, match="PRECONDITION"):
        pod.client.call("start_container", request)


def test_joins_the_pods_namespaces(pod):
    pod.sh("a", "hostname; ls -l /proc/self/ns/net /proc/self/ns/ipc; ls /proc/self/fd; sleep 100")
    wait_until(lambda: pod.output("a").count(b"\n") >= 6, what="output")
    lines = pod.output("a").decode().splitlines()
    assert lines[0] == "pod-host"
    assert str(os.stat(pod.made.net_path).st_ino) in lines[1] + lines[2]
    assert str(os.stat(pod.made.ipc_path).st_ino) in lines[1] + lines[2]
    # 0, 1, 2 and the folder that ls reads
    assert [line for line in lines[3:] if line.isdigit()] == ["0", "1", "2", "3"]


def test_no_log_and_no_stdin(pod):
    pod.run("a", ["sh", "-c", "cat; echo nowhere; exit 4"], log=False)
    assert pod.client.wait_exit("a").exit_code == 4
    assert not os.path.exists(pod.log_path("a"))
    pod.client.reopen_log("a")


def test_stdin_stays_open_when_asked_for(pod):
    pod.sh("a", "cat; echo end", stdin=True)
    time.sleep(0.2)
    assert pod.client.container_state("a").state == "running"
    assert pod.output("a") == b""


def test_kill(pod):
    pod.sh("a", "trap 'echo got; exit 7' TERM; echo ready; while :; do sleep 0.05; done")
    wait_until(lambda: pod.output("a") == b"ready\n", what="the trap")
    pod.client.kill("a", signal.SIGTERM)
    assert pod.client.wait_exit("a").exit_code == 7
    assert pod.output("a") == b"ready\ngot\n"
    pod.sh("b", "sleep 1000")
    pod.client.kill("b", signal.SIGKILL)
    event = pod.client.wait_exit("b")
    assert (event.exit_code, event.signal, event.oom_killed) == (137, 9, False)
    for bad in (0, -1, 65):
        pod_id = "c" + str(bad)
        pod.sh(pod_id, "sleep 1000")
        with pytest.raises(ShimError, match="INVALID"):
            pod.client.kill(pod_id, bad)


def test_kill_all(pod):
    pod.sh("a", "sleep 1000 & sleep 1001 & wait; sleep 1002")
    wait_until(lambda: len(pod.cgroup_pids("a")) == 3, what="three processes")
    pod.client.kill("a", signal.SIGKILL, everything=True)
    assert pod.client.wait_exit("a").signal == 9


def test_oom(pod):
    pod.sh("a", "dd if=/dev/zero of=/dev/null bs=60M count=1; echo $?; exit 5", memory=20 << 20)
    event = pod.client.wait_exit("a")
    assert (event.exit_code, event.oom_killed) == (5, True)
    assert pod.output("a") == b"137\n"
    assert exit_record(pod, "a")["oomKilled"] is True
    pod.sh("b", "exec dd if=/dev/zero of=/dev/null bs=60M count=1", memory=20 << 20)
    event = pod.client.wait_exit("b")
    assert (event.exit_code, event.oom_killed) == (137, True)


def test_failed_start_leaves_nothing(pod):
    fds = pod.shim.descriptors()
    pod.prepare("a")
    with pytest.raises(ShimError, match="start container 'a'.*no-such-program"):
        pod.client.start("a", pod.bundle("a", pod.spec("a", ["/no-such-program"])),
                         log_path=pod.log_path("a"))
    assert pod.cgroup_pids() == set()
    assert not any(os.path.exists(f + "/a") for f in pod.cgroup_folders())
    with pytest.raises(ShimError, match="PRECONDITION.*delete it"):
        pod.client.start("a", pod.path("a"))
    pod.client.delete("a")
    writer = pod.shim.child_named("tare-shim-log")
    wait_until(lambda: pod.shim.children() == [writer], what="no other child")
    # the log writer's socket is new
    wait_until(lambda: pod.shim.descriptors() <= fds + 2, what="descriptors as before")
    pod.sh("a", "exit 0")
    assert pod.client.wait_exit("a").exit_code == 0


def test_start_errors(pod):
    with pytest.raises(ShimError, match="start container 'a'.*config.json"):
        pod.prepare("a")
        pod.client.start("a", pod.path("a"))
    with pytest.raises(ShimError, match="INVALID"):
        pod.client.start("b", "relative")
    pod.prepare("c")
    with pytest.raises(ShimError, match="INVALID.*tty"):
        pod.client.start("c", pod.bundle("c", pod.spec("c", ["true"])), tty=True)
    os.makedirs(pod.path("logdir"))
    pod.prepare("d")
    with pytest.raises(ShimError, match="log.*logdir"):
        pod.client.start("d", pod.bundle("d", pod.spec("d", ["true"])),
                         log_path=pod.path("logdir"))
    # the root was not touched: it can be started
    pod.client.start("d", pod.path("d"), log_path=pod.log_path("d"))
    assert pod.client.wait_exit("d").exit_code == 0


def test_delete_kills_what_runs(pod):
    pod.sh("a", "sleep 1000 & sleep 1001")
    pod.client.delete("a")
    assert pod.client.events[-1].signal == 9
    assert pod.cgroup_pids() == set()
    assert not any(os.path.exists(f + "/a") for f in pod.cgroup_folders())
    assert os.listdir(os.path.join(pod.shim.state_dir, "exits")) == []


def test_delete_by_many_at_once(pod):
    pod.sh("a", "sleep 1000")
    clients = [pod.shim.connect() for _ in range(5)]
    request = pb.DeleteContainerRequest(container_id="a")
    numbers = [c.send("delete_container", request) for c in clients]
    for client, number in zip(clients, numbers):
        client.wait(number)
        client.close()


def test_delete_while_it_starts(pod):
    pod.prepare("a")
    bundle = pod.bundle("a", pod.spec("a", ["sleep", "1000"]))
    start = pod.client.send("start_container", pb.StartContainerRequest(
        container_id="a", bundle=bundle, log_path=pod.log_path("a")))
    delete = pod.client.send("delete_container", pb.DeleteContainerRequest(container_id="a"))
    pod.client.wait(delete)
    assert pod.client.wait(start).pid > 0
    assert pod.client.container_state("a") is None


def test_shared_pid_namespace(make_pod):
    pod = make_pod()
    made = pod.sandbox(shared_pid=True)
    pod.sh("a", "cat /proc/1/comm; sleep 1000 & exit 0", own_pid=False)
    assert pod.client.wait_exit("a").exit_code == 0
    assert pod.output("a") == b"tare-pause\n"
    # its background process does not outlive it
    wait_until(lambda: pod.cgroup_pids("a") == set(), what="no process of the container")
    pod.sh("b", "sleep 1000", own_pid=False)
    pod.sh("c", "sleep 1000", own_pid=True)
    os.kill(made.pause_pid, signal.SIGKILL)
    for name in "bc":
        event = pod.client.wait_exit(name)
        assert (event.signal, event.reason) == (9, "PauseDied")
    assert pod.client.state().pause_dead
    pod.shutdown()


def test_reconnect_sees_what_happened_meanwhile(pod):
    pod.sh("a", "sleep 0.3; exit 9")
    pod.sh("b", "sleep 1000")
    pod.client.close()
    wait_until(lambda: os.path.exists(pod.shim.state_dir + "/exits/a.json"), what="exit record")
    pod.client = pod.shim.connect()
    a, b = pod.client.state().containers
    assert (a.container_id, a.state, a.exit.exit_code) == ("a", "exited", 9)
    assert (b.container_id, b.state) == ("b", "running") and b.pid > 0
    assert a.exit.finished_at == exit_record(pod, "a")["finishedAt"]


def test_events_go_to_everybody(pod):
    others = [pod.shim.connect() for _ in range(3)]
    silent = pod.shim.connect(hello=False)
    pod.sh("a", "exit 1")
    for client in others + [pod.client]:
        assert client.wait_exit("a").exit_code == 1
    assert not silent.receive(0.1)


def test_exit_is_told_only_after_it_is_recorded(make_pod):
    pod = make_pod(env={"TARE_FAULT": "shim.exit.record=ms:300"})
    pod.sandbox()
    pod.sh("a", "exit 1")
    start = time.monotonic()
    pod.client.wait_exit("a")
    assert time.monotonic() - start > 0.25
    pod.shutdown()


def test_update(pod):
    pod.sh("a", "sleep 1000", memory=64 << 20)
    pod.client.call("update_container", pb.UpdateContainerRequest(
        container_id="a", resources_json=json.dumps({"memory": {"limit": 32 << 20}})))
    limits = []
    for folder in pod.cgroup_folders():
        for file in ("memory.limit_in_bytes", "memory.max"):
            path = os.path.join(folder, "a", file)
            if os.path.exists(path):
                with open(path) as f:
                    limits.append(f.read().strip())
    assert str(32 << 20) in limits
    with pytest.raises(ShimError, match="INVALID"):
        pod.client.call("update_container", pb.UpdateContainerRequest(
            container_id="a", resources_json="{"))


def test_terminal(pod):
    pod.sh("a", "tty; stty size; echo first; sleep 0.5; stty size; echo end >&2", tty=True)
    wait_until(lambda: b"first" in pod.output("a"), what="output")
    pod.client.call("resize", pb.ResizeRequest(container_id="a", width=100, height=40))
    assert pod.client.wait_exit("a").exit_code == 0
    lines = pod.output("a").splitlines()
    assert lines[0].startswith(b"/dev/") and lines[-2:] == [b"40 100", b"end"]
    assert b"\r" not in pod.output("a")
    assert pod.output("a", "stderr") == b""
    pod.sh("b", "sleep 1000")
    with pytest.raises(ShimError, match="no terminal"):
        pod.client.call("resize", pb.ResizeRequest(container_id="b", width=1, height=1))


def test_shutdown_ends_everything(make_pod):
    pod = make_pod()
    pod.sandbox(shared_pid=True, shm_path=pod.shm)
    for i in range(5):
        pod.sh(f"c{i}", "trap '' TERM; sleep 1000 & sleep 1001", own_pid=i % 2 == 0)
    pod.prepare("unstarted")
    writer = pod.shim.child_named("tare-shim-log")
    pod.shutdown()
    wait_until(lambda: not os.path.exists(f"/proc/{writer}"), what="the writer's end")


def test_shutdown_asked_by_two(make_pod):
    """The first may be a daemon that has died: the second is answered all the same."""
    pod = make_pod()
    pod.sandbox()
    pod.sh("c", "sleep 1000")
    second = pod.shim.connect()
    os.kill(pod.shim.pid, signal.SIGSTOP)
    pod.client.send("shutdown", pb.ShutdownRequest())
    number = second.send("shutdown", pb.ShutdownRequest())
    os.kill(pod.shim.pid, signal.SIGCONT)
    second.wait(number)
    pod.shim.process.wait(timeout=10)


def test_creator_that_dies_leaves_nothing(make_pod):
    """The creator is killed as soon as it is seen, at many moments."""
    pod = make_pod()
    pod.sandbox()
    ended = 0
    for i in range(30):
        name = f"c{i}"
        pod.prepare(name)
        known = set(pod.shim.children())
        number = pod.client.send("start_container", pb.StartContainerRequest(
            container_id=name, bundle=pod.bundle(name, pod.spec(name, ["sleep", "1000"])),
            log_path=pod.log_path(name)))
        deadline = time.monotonic() + 5
        while time.monotonic() < deadline:
            new = [p for p in pod.shim.children() if p not in known]
            if new and pod.shim.child_named("tare-shim-log") != new[0]:
                time.sleep(i * 0.0002)
                try:
                    os.kill(new[0], signal.SIGKILL)
                except ProcessLookupError:
                    pass
                break
        try:
            pod.client.wait(number)
        except ShimError as e:
            assert "start container" in e.message
            ended += 1
        pod.client.delete(name)
        assert pod.cgroup_pids(name) == set()
    assert ended > 0
    writer = pod.shim.child_named("tare-shim-log")
    wait_until(lambda: pod.shim.children() == [writer], what="no other child")
    pod.shutdown()


def processes_named(words):
    found = []
    for pid in filter(str.isdigit, os.listdir("/proc")):
        try:
            with open(f"/proc/{pid}/cmdline", "rb") as line:
                if line.read().rstrip(b"\0").split(b"\0") == words:
                    found.append(int(pid))
        except OSError:
            pass
    return found


HOOKS = ["prestart", "createRuntime", "createContainer", "startContainer", "poststart", "poststop"]


@pytest.mark.parametrize("kind", HOOKS)
def test_hook_that_hangs(make_pod, kind):
    """One without a timeout is ended with what it runs; the container can be deleted."""
    pod = make_pod(deadline_ms=6000)
    pod.sandbox()
    pod.prepare("a")
    asleep = [b"sleep", str(900000 + os.getpid()).encode()]
    spec = pod.spec("a", ["sleep", "1000"])
    script = " ".join(word.decode() for word in asleep) + " & wait"
    spec["hooks"] = {kind: [{"path": "/bin/sh", "args": ["sh", "-c", script],
                             "env": ["PATH=/usr/bin:/bin"]}]}
    bundle = pod.bundle("a", spec)
    try:
        if kind == "poststop":
            pod.client.start("a", bundle, log_path=pod.log_path("a"))
        else:
            with pytest.raises(ShimError, match=f"{kind} hook #0 '/bin/sh'.*its timeout of"):
                pod.client.start("a", bundle, log_path=pod.log_path("a"))
            assert pod.cgroup_pids("a") == set()
        pod.client.delete("a")
        wait_until(lambda: processes_named(asleep) == [], what="the end of what the hook ran")
    finally:
        for pid in processes_named(asleep):
            os.kill(pid, signal.SIGKILL)
    assert pod.cgroup_pids("a") == set()
    pod.shutdown()


def test_start_that_cannot_be_told_leaves_nothing(make_pod):
    """The init runs when its creator fails."""
    pod = make_pod(env={"TARE_FAULT": "shim.start.made=fail"})
    pod.sandbox()
    with pytest.raises(ShimError, match="start container 'a': fault at shim.start.made"):
        pod.sh("a", "sleep 1000")
    assert pod.cgroup_pids("a") == set()
    pod.client.delete("a")


def test_what_a_sweep_left_the_delete_takes(make_pod):
    """The creator dies when the init runs, and what looks for it fails."""
    pod = make_pod(env={"TARE_FAULT": "shim.start.made=kill,shim.start.sweep=fail"})
    pod.sandbox()
    with pytest.raises(ShimError, match="start container"):
        pod.sh("a", "sleep 1000")
    assert pod.cgroup_pids("a")
    pod.client.delete("a")
    assert pod.cgroup_pids("a") == set() and not pod.client.state().containers


def test_nothing_grows(pod):
    """The same cycle over and over: descriptors, children and memory as before."""
    def cycle(n):
        for i in range(n):
            pod.sh("a", "echo hello; exit 0")
            pod.client.wait_exit("a")
            pod.client.events.clear()
            pod.client.delete("a")

    def memory():
        with open(f"/proc/{pod.shim.pid}/smaps_rollup") as f:
            return next(int(line.split()[1]) for line in f if line.startswith("Private_Dirty"))

    cycle(10)
    fds, before = pod.shim.descriptors(), memory()
    cycle(40)
    wait_until(lambda: pod.shim.descriptors() <= fds, what="descriptors as before")
    wait_until(lambda: len(pod.shim.children()) == 1, what="only the writer")
    # a sanitizer keeps what was freed
    assert pod.sanitized() or memory() <= before + 16
