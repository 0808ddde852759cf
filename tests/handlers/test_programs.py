# SPDX-License-Identifier: Apache-2.0
"""Pods by runc and crun: the life of a container, restarts, deaths."""

import glob
import os
import signal

import pytest

from conftest import find, table
from support.cri import Code, CriError
from support.node import running, wait_until

TRAP = "trap 'exit 6' TERM; echo up; while :; do sleep 0.02; done"


def wait_lines(container, count):
    wait_until(lambda: len(container.log()) >= count, what=f"{count} lines")


def test_life(node):
    pod = node.run_pod(handler=node.handler)
    first = pod.run(["sh", "-c", "echo out; echo err >&2; exec sleep 1000"])
    second = pod.run(["sh", "-c", TRAP])
    wait_lines(first, 2)
    wait_lines(second, 1)
    assert sorted((stream, text) for stream, _, text in first.log()) == [
        ("stderr", "err"), ("stdout", "out")]
    assert running(first.pid) and running(second.pid)
    assert first.info()["runtimeType"] == pod.info()["runtimeType"] == "oci"
    rootfs = glob.glob(node.path("state/runtimes", node.handler, "*"))
    assert len(rootfs) == 2, "the handler's own folder has both"
    failed = pod.run(["sh", "-c", "exit 7"])
    assert (failed.wait().exit_code, failed.status().reason) == (7, "Error")
    killed = pod.run(["sh", "-c", "kill -KILL $$"])
    assert killed.wait().exit_code == 137
    second.stop(timeout=20)
    assert second.status().exit_code == 6
    first.stop()
    assert first.status().exit_code == 137
    for container in (first, second, failed, killed):
        container.remove()
    assert not glob.glob(node.path("state/runtimes", node.handler, "*"))
    pod.stop()
    pod.remove()
    node.assert_nothing_left()


def test_exec(node):
    container = node.run_pod(handler=node.handler).run()
    done = container.exec("sh", "-c", "echo out; echo err >&2; exit 3")
    assert (done.stdout, done.stderr, done.exit_code) == (b"out\n", b"err\n", 3)
    for _ in range(5):  # over before anybody has looked at it
        assert container.exec("true").exit_code == 0
    with pytest.raises(CriError) as error:
        container.exec("sleep", "2000", timeout=1)
    assert error.value.code() == Code.DEADLINE_EXCEEDED
    assert b"sleep 2000" not in container.exec("ps").stdout
    with pytest.raises(CriError) as error:
        container.exec("/no/such/program")
    assert "/no/such/program" in error.value.details()
    assert not glob.glob(node.path("state/pods/*/containers/*/exec-*"))


FAILURES = {"no pid file": "", "an empty pid file": ': >"$pid_file"', "an exit code": "exit 1"}


@pytest.mark.parametrize("failure", FAILURES)
def test_failed_exec_leaves_no_process(make_node, tmp_path, layout, failure):
    """The program has begun it, and does not say which one it is."""
    program = tmp_path / "runtime"
    program.write_text(f"""#!/bin/sh
{find("runc", "TARE_RUNC", "runc")} "$@" || exit
case "$*" in *" exec --process "*) ;; *) exit 0;; esac
while [ "$1" != exec ]; do shift; done
process=$3 pid_file=$5
grep -q "sleep 3003" "$process" || exit 0
rm "$pid_file"
{FAILURES[failure]}
""")
    program.chmod(0o755)
    node = make_node(config=table("failing", program))
    node.load_image(layout)
    container = node.run_pod(handler="failing").run()
    script = "touch /begun; until [ -e /end ]; do sleep 0.05; done; exit 3"
    fine = node.client.start("ExecSync", container_id=container.id, cmd=["sh", "-c", script])
    wait_until(lambda: os.path.exists(f"/proc/{container.pid}/root/begun"), 30, "the first exec")
    with pytest.raises(CriError) as error:
        container.exec("sh", "-c", "sleep 3002 & exec sleep 3003")
    assert 'runtime "failing"' in error.value.details()
    seen = container.exec("ps").stdout
    assert b"sleep 3002" not in seen and b"sleep 3003" not in seen, seen
    assert not fine.done(), "another exec is not touched"
    assert container.exec("touch", "/end").exit_code == 0
    assert fine.result().exit_code == 3


def test_terminal(node):
    """crictl's exec with a terminal is tests/streams'; here the container's own."""
    container = node.run_pod(handler=node.handler).run(
        ["sh", "-c", "tty; stty size; exec sleep 1000"], tty=True, stdin=True)
    wait_lines(container, 2)
    assert container.log()[0][2].startswith("/dev/"), container.log()


def test_failed_start(node):
    pod = node.run_pod(handler=node.handler)
    container = pod.create(["/no/such/program"])
    with pytest.raises(CriError) as error:
        container.start()
    text = error.value.details()
    assert f'runtime "{node.handler}"' in text and "/no/such/program" in text, text
    assert "\n" not in text
    assert container.status().reason == "StartError"
    assert not glob.glob(node.path("state/runtimes", node.handler, "*"))
    container.remove()
    pod.remove()
    node.assert_nothing_left()


def test_restart(node):
    container = node.run_pod(handler=node.handler).run(["sh", "-c", TRAP])
    other = container.pod.run(["sh", "-c", "while [ ! -e /end ]; do sleep 0.02; done; exit 9"])
    wait_lines(container, 1)
    assert other.exec("true").exit_code == 0
    pid = other.pid
    node.kill()
    with open(f"/proc/{pid}/root/end", "w", encoding="utf-8"):
        pass
    wait_until(lambda: not running(pid), what="the end of the container")
    node.start()
    assert other.wait().exit_code == 9
    assert container.exec("echo", "hello").stdout == b"hello\n"
    container.stop(timeout=20)
    assert container.status().exit_code == 6


def test_dead_supervisor(node):
    pod = node.run_pod(handler=node.handler)
    first, second = pod.run(), pod.run(["sh", "-c", "trap '' TERM; while :; do sleep 0.1; done"])
    pids = [first.pid, second.pid]
    node.note_pids()
    os.kill(pod.info()["supervisorPid"], signal.SIGKILL)
    for container in (first, second):
        status = container.wait(10)
        assert (status.exit_code, status.reason) == (137, "ShimDied")
    first.remove()
    for pid in pids:
        wait_until(lambda pid=pid: not running(pid), what="the end of the containers")
    pod.stop()
    pod.remove()
    assert not glob.glob(node.path("state/runtimes", node.handler, "*"))
    node.assert_nothing_left()


def test_update(node):
    container = node.run_pod(handler=node.handler).run(
        linux={"resources": {"memory_limit_in_bytes": 64 << 20, "cpu_shares": 512}})
    assert container.cgroup_file("memory", "memory.limit_in_bytes") == str(64 << 20)
    node.client.UpdateContainerResources(
        container_id=container.id, linux={"memory_limit_in_bytes": 96 << 20})
    assert container.cgroup_file("memory", "memory.limit_in_bytes") == str(96 << 20)


def test_image_volumes(node, data_image):
    """Where the program finds them is nobody's path afterwards."""
    pod = node.run_pod(handler=node.handler)
    mounts = [{"container_path": "/data", "image": {"image": data_image}, "readonly": True},
              {"container_path": "/etc/weights", "image": {"image": data_image}, "readonly": True,
               "image_sub_path": "models/weights"}]
    script = "cat /data/models/weights /data/top /etc/weights; ! touch /data/x"
    container = pod.run(["sh", "-c", script], mounts=mounts)
    assert container.wait().exit_code == 0
    assert container.text().split() == ["low", "t", "low"]
    failed = pod.create(["/no/such/program"], mounts=mounts)
    with pytest.raises(CriError):
        failed.start()
    failed.remove()
    container.remove()
    pod.remove()
    node.assert_nothing_left()


def test_only_its_own_mount_is_unmounted(node):
    """What has come to lie at the root's path, or over the root, is somebody else's."""
    pod = node.run_pod(handler=node.handler)
    roots = []
    for over in (False, True):
        container = pod.run()
        root = node.path("state/pods", pod.id, "containers", container.id, "rootfs")
        roots.append(root)
        container.stop()
        if not over:
            assert node.inside("umount", "-l", root).returncode == 0
        assert node.inside("mount", "-t", "tmpfs", "other", root).returncode == 0
        with pytest.raises(CriError):
            container.remove()
        assert node.inside("findmnt", "-n", "-o", "SOURCE", root).stdout.split()[-1] == "other"
        assert node.inside("umount", root).returncode == 0
        container.remove()
    assert not any(os.path.exists(root) for root in roots)


def test_huge_pages(node):
    """The kubelet limits them to 0, also where the node's programs cannot: that does not fail."""
    pod = node.run_pod(handler=node.handler)
    limits = {"hugepage_limits": [{"page_size": "2MB", "limit": 0}]}
    container = pod.run(linux={"resources": limits})
    named = container.spec["linux"]["resources"].get("hugepageLimits", [])
    assert bool(named) == os.path.isdir("/sys/fs/cgroup/hugetlb")


def test_annotations(node):
    pod = node.run_pod(handler=node.handler, annotations={
        "example.org/seen": "yes", "other.example/no": "x"})
    found = pod.create().spec["annotations"]
    assert ("example.org/seen" in found) == (node.handler == "runc")
    assert "other.example/no" not in found
    assert found["io.kubernetes.cri.container-type"] == "container"
    assert found["io.kubernetes.cri.sandbox-id"] == pod.id


def test_unknown(make_node, runtimes):
    node = make_node(config=runtimes["runc"])
    with pytest.raises(CriError) as error:
        node.run_pod(handler="kata")
    text = error.value.details()
    for part in ("kata", "known: runc, tare", node.path("config.toml"), "[runtimes.kata]"):
        assert part in text, text


def test_features(make_node, runtimes):
    """Only what the program says itself."""
    node = make_node(config="".join(runtimes.values()))

    def learnt():
        found = {h.name: h.features for h in node.client.Status().runtime_handlers}
        return found if found["runc-new"].user_namespaces else None

    found = wait_until(learnt, 30, "the features of the handlers")
    assert set(found) == {"", "tare", "runc", "crun", "runc-new"}
    assert found["runc-new"].recursive_read_only_mounts
    assert not found["crun"].recursive_read_only_mounts
    with pytest.raises(CriError) as error:
        node.run_pod(handler="crun").create(mounts=[
            {"container_path": "/m", "host_path": node.path("logs"), "readonly": True,
             "recursive_read_only": True}])
    assert "mounts[0].recursive_read_only: the pod's runtime handler" in error.value.details()
    assert not found["runc"].user_namespaces, "1.1 cannot id-map mounts"


def test_a_root_by_its_path_is_not_for_others(make_node, runtimes, layout):
    """The mapped root crosses the pod's folders, and nobody else on the node: an image's programs
    with the set-user-ID bit are not to be there for them."""
    node = make_node(config=runtimes["runc-new"])
    node.load_image(layout)
    users = [{"host_id": 200000, "container_id": 0, "length": 65536}]
    wanted = {"userns_options": {"mode": 0, "uids": users, "gids": users}}
    wait_until(lambda: {h.name: h.features for h in node.client.Status().runtime_handlers}[
        "runc-new"].user_namespaces, 30, "the features of the handlers")
    pod = node.run_pod(handler="runc-new", linux={"security_context": {
        "namespace_options": wanted}})
    container = pod.run()
    assert container.exec("id", "-u").stdout == b"0\n"
    root = node.path("state/pods", pod.id, "containers", container.id, "rootfs")

    def seen_by(number):
        ids = [f"--reuid={number}", f"--regid={number}", "--clear-groups"]
        return node.inside("setpriv", *ids, "test", "-e", f"{root}/bin").returncode == 0

    assert seen_by(0) and seen_by(200000) and not seen_by(65534) and not seen_by(1000)


def test_before_the_features_are_known(make_node, tmp_path, layout):
    """A pod that needs to know is not refused for good."""
    go, program = tmp_path / "go", tmp_path / "runtime"
    program.write_text(f"""#!/bin/sh
[ "$*" != features ] || until [ -e {go} ]; do sleep 0.1; done
exec {find("runc", "TARE_RUNC", "runc")} "$@"
""")
    program.chmod(0o755)
    node = make_node(config=table("slow", program))
    node.load_image(layout)
    users = [{"host_id": 200000, "container_id": 0, "length": 65536}]
    linux = {"security_context": {"namespace_options": {
        "userns_options": {"mode": 0, "uids": users, "gids": users}}}}
    with pytest.raises(CriError) as error:
        node.run_pod(handler="slow", linux=linux)
    assert error.value.code() == Code.UNAVAILABLE
    assert "features' has not answered yet" in error.value.details()
    node.run_pod(handler="slow").remove()  # one that does not need it
    go.touch()
    wait_until(lambda: {h.name: h.features for h in node.client.Status().runtime_handlers}[
        "slow"].user_namespaces, 30, "the features of the handler")
    node.run_pod(handler="slow", linux=linux).remove()
