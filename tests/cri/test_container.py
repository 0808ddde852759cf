# SPDX-License-Identifier: Apache-2.0
"""What a container gets: files, mounts, user, capabilities, devices, limits; and how it ends."""

import base64
import json
import os
import re
import subprocess
import threading
import time

import pytest

from support import images
from support.cri import Code, CriError
from support.node import cgroup_path, wait_until

MIB = 1 << 20


def security(**fields):
    return {"linux": {"security_context": fields}}


def refused(call, code, *texts):
    """The call fails with this gRPC code, and the message holds the texts."""
    with pytest.raises(CriError) as error:
        call()
    said = error.value.details()
    assert error.value.code() == code, said
    for text in texts:
        assert text in said, said


# --- process ---


def test_command_of_the_image(node, pod):
    container = pod.run(command=None)
    assert container.spec["process"]["args"] == ["sh", "-c", "sleep 1000"]


def test_args_follow_the_command(node, pod):
    assert pod.output(["echo", "one"], args=["two", "three"]) == "one two three\n"


def variables(**values):
    """envs as JSON spells them: their values are bytes."""
    return [
        {"key": key, "value": base64.b64encode(value.encode()).decode()}
        for key, value in values.items()
    ]


def test_environment(node, pod):
    env = pod.output(
        ["env"], envs=variables(MINE="a=b c", EMPTY="", FROM_IMAGE="changed")
    ).splitlines()
    assert "MINE=a=b c" in env
    assert "EMPTY=" in env
    assert "FROM_IMAGE=changed" in env and "FROM_IMAGE=yes" not in env
    assert "PATH=/bin" in env
    assert "HOSTNAME=pod-host" in env


def test_working_dir(node, pod):
    assert pod.output(["pwd"], working_dir="/home/worker") == "/home/worker\n"


def test_working_dir_is_made(node, pod):
    assert pod.output(["pwd"], working_dir="/made/for/me") == "/made/for/me\n"


def test_user_by_number(node, pod):
    more = security(
        run_as_user={"value": 1000}, run_as_group={"value": 2000}, supplemental_groups=[3000]
    )
    shown = pod.output(["id"], **more)
    assert shown.startswith("uid=1000(worker) gid=2000 groups=")
    assert "50000(extra)" in shown and "3000" in shown


def test_user_by_name(node, pod):
    container = pod.run(["sh", "-c", "id; echo $HOME"], **security(run_as_username="worker"))
    container.wait()
    assert (
        container.text()
        == "uid=1000(worker) gid=1000(worker) groups=1000(worker),50000(extra)\n/home/worker\n"
    )
    user = container.status().user.linux
    assert (user.uid, user.gid, sorted(user.supplemental_groups)) == (1000, 1000, [1000, 50000])


def test_strict_groups(node, pod):
    more = security(
        run_as_user={"value": 1000}, supplemental_groups_policy="Strict", supplemental_groups=[7]
    )
    assert pod.output(["id", "-G"], **more).split() == ["1000", "7"]


def test_unknown_user(node, pod):
    refused(lambda: pod.create(**security(run_as_username="ghost")), Code.NOT_FOUND, "ghost")


def status_field(pod, name, **more):
    shown = pod.output(["cat", "/proc/self/status"], **more)
    return re.search(rf"^{name}:\t(.*)$", shown, re.M)[1]


DEFAULT_CAPS = 0x00000000A80425FB


def test_default_capabilities(node, pod):
    assert int(status_field(pod, "CapEff"), 16) == DEFAULT_CAPS
    assert int(status_field(pod, "CapInh"), 16) == 0


def test_added_and_dropped_capabilities(node, pod):
    more = security(
        capabilities={"add_capabilities": ["NET_ADMIN"], "drop_capabilities": ["chown"]}
    )
    assert int(status_field(pod, "CapBnd", **more), 16) == (DEFAULT_CAPS | 1 << 12) & ~1
    more = security(capabilities={"drop_capabilities": ["ALL"]})
    assert int(status_field(pod, "CapEff", **more), 16) == 0


def test_no_new_privileges(node, pod):
    assert status_field(pod, "NoNewPrivs", **security(no_new_privs=True)) == "1"
    assert status_field(pod, "NoNewPrivs") == "0"


def test_unprivileged_user_has_no_capabilities(node, pod):
    assert int(status_field(pod, "CapEff", **security(run_as_user={"value": 1000})), 16) == 0


# --- files ---


def test_read_only_root(node, pod):
    script = "touch /x 2>&1; touch /tmp/x 2>&1; echo done"
    assert pod.shell(script, **security(readonly_rootfs=True)) == (
        "touch: /x: Read-only file system\ntouch: /tmp/x: Read-only file system\ndone\n"
    )


def test_writable_layers_are_apart(node, pod):
    assert pod.shell("echo first > /file; cat /file") == "first\n"
    assert pod.shell("ls /file 2>&1 || true") == "ls: /file: No such file or directory\n"


def make_folder(node, name, text="from the host\n"):
    folder = node.path(name)
    os.makedirs(folder, exist_ok=True)
    with open(os.path.join(folder, "file"), "w", encoding="utf-8") as file:
        file.write(text)
    return folder


def test_mounts(node, pod):
    folder = make_folder(node, "m1")
    mounts = [
        {"container_path": "/rw", "host_path": folder},
        {"container_path": "/ro", "host_path": folder, "readonly": True},
        {"container_path": "/one/file", "host_path": f"{folder}/file"},
    ]
    script = (
        "cat /rw/file /ro/file /one/file; echo new > /rw/new; cat /ro/new; "
        "touch /ro/x 2>/dev/null || echo read-only"
    )
    container = pod.run(["sh", "-c", script], mounts=mounts)
    assert container.wait().exit_code == 0
    assert container.text() == "from the host\n" * 3 + "new\nread-only\n"
    shown = container.status().mounts
    assert [(m.container_path, m.host_path, m.readonly) for m in shown] == [
        ("/rw", folder, False),
        ("/ro", folder, True),
        ("/one/file", f"{folder}/file", False),
    ]


def test_missing_host_folder_is_made(node, pod):
    folder = node.path("not", "there", "yet")
    assert (
        pod.shell("touch /m/x; ls /m", mounts=[{"container_path": "/m", "host_path": folder}])
        == "x\n"
    )
    assert os.listdir(folder) == ["x"]


def test_host_path_that_is_a_link(node, pod):
    folder = make_folder(node, "m2")
    os.symlink(folder, node.path("link"))
    assert pod.shell(
        "cat /m/file", mounts=[{"container_path": "/m", "host_path": node.path("link")}]
    ) == ("from the host\n")


def mount_in_node(node, what, *where):
    done = node.inside("mount", *what, *where)
    assert done.returncode == 0, done.stderr


@pytest.fixture
def shared_folder(node):
    """A folder that is a shared mount of the node."""
    folder = make_folder(node, "shared")
    mount_in_node(node, ["--bind"], folder, folder)
    mount_in_node(node, ["--make-shared"], folder)
    os.makedirs(f"{folder}/sub", exist_ok=True)
    yield folder
    node.inside("umount", "-R", "-l", folder)


def test_propagation_host_to_container(node, pod, shared_folder):
    def container(mode):
        return pod.run(
            mounts=[{"container_path": "/m", "host_path": shared_folder, "propagation": mode}]
        )

    follows, private = container("PROPAGATION_HOST_TO_CONTAINER"), container("PROPAGATION_PRIVATE")
    source = f"/proc/{node.holder.pid}/root{shared_folder}"
    mount_in_node(node, ["-t", "tmpfs", "tmpfs"], f"{shared_folder}/sub")
    with open(f"{source}/sub/inside", "w", encoding="utf-8"):
        pass
    assert follows.exec("ls", "/m/sub").stdout == b"inside\n"
    assert private.exec("ls", "/m/sub").stdout == b""
    node.inside("umount", f"{shared_folder}/sub")


def test_propagation_bidirectional(node, shared_folder):
    pod = node.run_pod(**security(privileged=True))
    mounts = [
        {
            "container_path": "/m",
            "host_path": shared_folder,
            "propagation": "PROPAGATION_BIDIRECTIONAL",
        }
    ]
    container = pod.run(mounts=mounts, **security(privileged=True))
    done = container.exec("sh", "-c", "mount -t tmpfs tmpfs /m/sub && touch /m/sub/from-inside")
    assert done.exit_code == 0, done.stderr
    assert os.listdir(f"/proc/{node.holder.pid}/root{shared_folder}/sub") == ["from-inside"]
    container.exec("umount", "/m/sub")


def test_propagation_needs_a_shared_source(node, pod):
    mounts = [
        {
            "container_path": "/m",
            "host_path": make_folder(node, "m3"),
            "propagation": "PROPAGATION_BIDIRECTIONAL",
        }
    ]
    with pytest.raises(CriError) as error:
        pod.run(mounts=mounts)
    assert "shared" in error.value.details()


def test_recursive_read_only(node, pod):
    folder = make_folder(node, "m4")
    os.makedirs(f"{folder}/sub")
    mount_in_node(node, ["-t", "tmpfs", "tmpfs"], f"{folder}/sub")
    script = """for d in /plain /deep
                do touch $d/sub/x 2>/dev/null && echo written || echo read-only; done"""
    mounts = [
        {"container_path": "/plain", "host_path": folder, "readonly": True},
        {
            "container_path": "/deep",
            "host_path": folder,
            "readonly": True,
            "recursive_read_only": True,
        },
    ]
    shown = pod.shell(script, mounts=mounts)
    node.inside("umount", f"{folder}/sub")
    assert shown == "written\nread-only\n"


def test_masked_and_read_only_paths(node, pod):
    more = security(masked_paths=["/etc/hidden", "/home"], readonly_paths=["/tmp"])
    script = "wc -c < /etc/hidden; ls -A /home | wc -l; touch /tmp/x 2>/dev/null || echo read-only"
    assert pod.shell(script, **more).split() == ["0", "0", "read-only"]


def test_standard_files(node, pod):
    script = """cd /dev; ls -l null zero full random urandom tty | wc -l
                ls -ld shm; df shm | tail -1"""
    shown = pod.shell(script)
    assert shown.startswith("6\ndrwxrwxrwt")
    assert " 65536 " in shown


# --- devices and seccomp ---


def test_devices(node, pod):
    devices = [{"container_path": "/dev/mine", "host_path": "/dev/kmsg", "permissions": "r"}]
    more = security(capabilities={"add_capabilities": ["SYSLOG"]})
    script = """exec 2>/dev/null
                (: < /dev/mine) && echo read || echo no read
                (: > /dev/mine) && echo write || echo no write
                mknod /dev/other c 1 7 && (: < /dev/other) && echo read || echo no read
                mknod /dev/memory c 1 1 && (: < /dev/memory) && echo read || echo no read"""
    assert pod.shell(script, devices=devices, **more) == "read\nno write\nread\nno read\n"


def test_missing_device(node, pod):
    refused(
        lambda: pod.create(
            devices=[
                {"container_path": "/dev/x", "host_path": "/dev/no-such", "permissions": "rwm"}
            ]
        ),
        Code.NOT_FOUND,
        "/dev/no-such",
    )


SECCOMP_OFF, SECCOMP_FILTER = "0", "2"


@pytest.mark.parametrize(
    "kind, mode", [("RuntimeDefault", SECCOMP_FILTER), ("Unconfined", SECCOMP_OFF)]
)
def test_seccomp(node, pod, kind, mode):
    assert status_field(pod, "Seccomp", **security(seccomp={"profile_type": kind})) == mode


def test_no_seccomp_profile(node, pod):
    assert status_field(pod, "Seccomp") == SECCOMP_OFF


def test_seccomp_default_refuses_mounts(node, pod):
    more = security(
        seccomp={"profile_type": "RuntimeDefault"}, capabilities={"add_capabilities": ["NET_ADMIN"]}
    )
    assert "Operation not permitted" in pod.shell("unshare -U true 2>&1; true", **more)


def write_profile(node, text):
    path = node.path("profile.json")
    with open(path, "w", encoding="utf-8") as file:
        file.write(text)
    return security(seccomp={"profile_type": "Localhost", "localhost_ref": path})


def test_seccomp_localhost(node, pod):
    profile = {
        "defaultAction": "SCMP_ACT_ALLOW",
        "syscalls": [{"names": ["mkdir", "mkdirat"], "action": "SCMP_ACT_ERRNO", "errnoRet": 28}],
    }
    more = write_profile(node, json.dumps(profile))
    assert pod.shell("mkdir /x 2>&1; true", **more) == (
        "mkdir: can't create directory '/x': No space left on device\n"
    )


def test_seccomp_localhost_that_is_broken(node, pod):
    refused(lambda: pod.create(**write_profile(node, "{")), Code.INVALID_ARGUMENT, "profile.json")
    more = security(seccomp={"profile_type": "Localhost", "localhost_ref": "/no/such/profile"})
    refused(lambda: pod.create(**more), Code.NOT_FOUND, "/no/such/profile")


# --- limits ---


def test_limits_are_in_the_cgroup(node, pod):
    resources = {
        "memory_limit_in_bytes": 64 * MIB,
        "cpu_shares": 512,
        "cpu_quota": 20000,
        "cpu_period": 100000,
        "cpuset_cpus": "0",
    }
    container = pod.run(linux={"resources": resources})
    assert container.cgroup_file("memory", "memory.limit_in_bytes") == str(64 * MIB)
    assert container.cgroup_file("cpu", "cpu.shares") == "512"
    assert container.cgroup_file("cpu", "cpu.cfs_quota_us") == "20000"
    assert container.cgroup_file("cpuset", "cpuset.cpus") == "0"
    shown = container.status().resources.linux
    assert (shown.memory_limit_in_bytes, shown.cpu_shares) == (64 * MIB, 512)


def test_update_of_limits(node, pod):
    container = pod.run(linux={"resources": {"memory_limit_in_bytes": 64 * MIB, "cpu_shares": 512}})
    node.crictl("update", "--memory", 96 * MIB, "--cpu-share", 256, container.id)
    assert container.cgroup_file("memory", "memory.limit_in_bytes") == str(96 * MIB)
    assert container.cgroup_file("cpu", "cpu.shares") == "256"
    assert container.status().resources.linux.memory_limit_in_bytes == 96 * MIB
    assert container.spec["linux"]["resources"]["memory"]["limit"] == 96 * MIB


def test_updates_add_up(own_node):
    """Also for a daemon that comes later."""
    pod = own_node.run_pod()
    container = pod.run(linux={"resources": {"memory_limit_in_bytes": 64 * MIB, "cpu_shares": 512}})
    update = own_node.client.UpdateContainerResources
    update(container_id=container.id, linux={"cpu_shares": 300})
    update(container_id=container.id, linux={"memory_limit_in_bytes": 90 * MIB})
    own_node.restart()
    own_node.client.UpdateContainerResources(container_id=container.id, linux={"cpu_quota": 30000})
    shown = container.status().resources.linux
    assert (shown.cpu_shares, shown.memory_limit_in_bytes, shown.cpu_quota) == (
        300, 90 * MIB, 30000)
    assert container.cgroup_file("cpu", "cpu.shares") == "300"


def test_update_of_the_oom_score(node, pod):
    """It is of processes: those that run keep theirs, and that is what is told."""
    def update(container, score):
        node.client.UpdateContainerResources(container_id=container.id,
                                             linux={"oom_score_adj": score, "cpu_shares": 300})
        return container.status().resources.linux.oom_score_adj

    container = pod.create(linux={"resources": {"oom_score_adj": 700}})
    assert update(container, 800) == 800
    container.start()
    assert update(container, 900) == 800
    with open(f"/proc/{container.pid}/oom_score_adj", encoding="utf-8") as file:
        assert file.read() == "800\n"
    assert container.cgroup_file("cpu", "cpu.shares") == "300"


def test_limit_below_what_is_in_use(node, pod):
    script = "head -c 40000000 /dev/zero > /dev/shm/file; echo ready; exec sleep 1000"
    container = run_ready(pod, script,
                          linux={"resources": {"memory_limit_in_bytes": 400 * MIB}})
    used = int(container.cgroup_file("memory", "memory.usage_in_bytes"))
    assert used > 32 * MIB
    refused(lambda: node.client.UpdateContainerResources(
        container_id=container.id, linux={"memory_limit_in_bytes": 8 * MIB}),
        Code.INVALID_ARGUMENT, "memory", "in use")
    assert container.status().resources.linux.memory_limit_in_bytes == 400 * MIB
    assert container.cgroup_file("memory", "memory.limit_in_bytes") == str(400 * MIB)
    assert container.status().state == 1


def test_oom(node, pod):
    container = pod.run(
        ["dd", "if=/dev/zero", "of=/dev/null", "bs=80M", "count=1"],
        linux={
            "resources": {"memory_limit_in_bytes": 15 * MIB, "memory_swap_limit_in_bytes": 15 * MIB}
        },
    )
    status = container.wait()
    assert (status.exit_code, status.reason) == (137, "OOMKilled")


def test_small_memory_limit(node, pod):
    container = pod.run(["sleep", "1000"], linux={"resources": {"memory_limit_in_bytes": 1 * MIB}})
    assert container.status().state == 1


def test_oom_score_adj(node, pod):
    assert (
        pod.shell("cat /proc/self/oom_score_adj", linux={"resources": {"oom_score_adj": 777}})
        == "777\n"
    )


# --- privileged ---


def test_privileged(node):
    pod = node.run_pod(**security(privileged=True))
    with open("/proc/self/status", encoding="utf-8") as status:
        ours = re.search(r"^CapBnd:\t(.*)$", status.read(), re.M)[1]
    more = security(privileged=True, seccomp={"profile_type": "RuntimeDefault"})
    assert status_field(pod, "CapEff", **more) == ours
    assert status_field(pod, "Seccomp", **more) == SECCOMP_OFF
    assert pod.shell("mkdir /d && mount -t tmpfs tmpfs /d && echo mounted", **more) == "mounted\n"
    assert "kmsg" in pod.shell("ls /dev", **more).split()


def test_privileged_needs_a_privileged_pod(node, pod):
    refused(lambda: pod.create(**security(privileged=True)), Code.PERMISSION_DENIED, "privileged")


# --- what is shown ---


def test_inspect_shows_the_generated_config(node, pod):
    container = pod.run(["sleep", "77"], working_dir="/tmp")
    info = node.crictl("inspect", container.id).json["info"]
    spec = info["runtimeSpec"]
    assert spec["process"]["args"] == ["sleep", "77"]
    assert spec["process"]["cwd"] == "/tmp"
    assert spec["linux"]["cgroupsPath"].endswith(container.id)
    assert {n["type"] for n in spec["linux"]["namespaces"]} >= {"mount", "network", "ipc", "uts"}
    assert info["config"]["image"]["image"] == images.NAME
    assert info["pid"] == container.pid


def test_times(node, pod):
    begin = time.time_ns()
    container = pod.create(["true"])
    created = container.status()
    assert created.state == 0 and created.started_at == 0 and created.finished_at == 0
    container.start()
    status = container.wait()
    assert begin <= status.created_at <= status.started_at <= status.finished_at <= time.time_ns()
    assert (status.exit_code, status.reason) == (0, "Completed")
    assert status.image_id == status.image_ref == node.client.ImageStatus(
        image={"image": images.NAME}
    ).image.id or status.image_ref.startswith("tare.test/busybox@sha256:")


def test_the_end_is_not_before_the_start(pod):
    """One that ends at once: its end is seen by another process than the answer to its start."""
    for _ in range(20):
        status = pod.run(["true"]).wait()
        assert status.created_at <= status.started_at <= status.finished_at


def test_exit_codes(node, pod):
    assert pod.run(["sh", "-c", "exit 42"]).wait().exit_code == 42
    assert pod.run(["sh", "-c", "kill -SEGV $$"]).wait().exit_code == 139


def test_selinux_options_without_selinux(node, pod):
    """Add-ons ask for the type that confines nothing on every node; one that is to confine is not
    left out in silence."""
    if os.path.exists("/sys/fs/selinux/enforce"):
        return
    container = pod.run(**security(selinux_options={"type": "spc_t", "level": "s0"}))
    assert "selinuxLabel" not in container.spec["process"]
    assert f"container={container.id} selinux_options were left out" in node.log()
    refused(lambda: pod.create(["true"], **security(selinux_options={"level": "s0:c1,c2"})),
            Code.UNIMPLEMENTED, "selinux_options", "SELinux is off on this node")


# --- the end ---

TRAP = "trap 'echo got TERM; exit 5' TERM; echo ready; while :; do sleep 0.02; done"
DEAF = "trap 'echo deaf' TERM; echo ready; while :; do sleep 0.02; done"


def run_ready(pod, script, **more):
    container = pod.run(["sh", "-c", script], **more)
    wait_until(
        lambda: os.path.exists(container.log_path) and "ready" in container.text(), what="ready"
    )
    return container


def test_stop_lets_it_end(node, pod):
    container = run_ready(pod, TRAP)
    begin = time.monotonic()
    container.stop(timeout=20)
    assert time.monotonic() - begin < 5
    assert container.status().exit_code == 5
    assert "got TERM" in container.text()


def test_stop_kills_after_the_grace(node, pod):
    container = run_ready(pod, DEAF)
    begin = time.monotonic()
    container.stop(timeout=1)
    assert 0.9 < time.monotonic() - begin < 4
    assert container.status().exit_code == 137
    assert container.text().count("deaf") == 1


def test_stop_at_once(node, pod):
    container = run_ready(pod, TRAP)
    container.stop(timeout=0)
    assert container.status().exit_code == 137
    assert "got TERM" not in container.text()


def test_stop_signal(node, pod):
    container = run_ready(
        pod, "trap 'exit 9' USR1; echo ready; while :; do sleep 0.02; done", stop_signal="SIGUSR1"
    )
    container.stop(timeout=10)
    assert container.status().exit_code == 9


def test_a_later_stop_shortens_the_grace(node, pod):
    container = run_ready(pod, DEAF)
    first = node.client.start("StopContainer", container_id=container.id, timeout=25)
    time.sleep(0.3)
    begin = time.monotonic()
    node.client.StopContainer(container_id=container.id, timeout=1)
    first.result()
    assert time.monotonic() - begin < 4
    assert container.text().count("deaf") == 1, "the signal is sent once"
    assert container.status().exit_code == 137


def test_a_later_stop_does_not_lengthen_the_grace(node, pod):
    container = run_ready(pod, DEAF)
    begin = time.monotonic()
    calls = [
        node.client.start("StopContainer", container_id=container.id, timeout=t)
        for t in (1, 20, 20)
    ]
    for call in calls:
        call.result()
    assert time.monotonic() - begin < 5


def test_remove_ends_a_stop_that_waits(node, pod):
    container = run_ready(pod, DEAF)
    first = node.client.start("StopContainer", container_id=container.id, timeout=25)
    time.sleep(0.2)
    begin = time.monotonic()
    container.remove()
    first.result()
    assert time.monotonic() - begin < 5


def test_stop_of_what_does_not_run(node, pod):
    container = pod.create()
    container.stop(timeout=5)
    assert container.status().state == 0
    container.start()
    container.stop()
    container.stop(timeout=5)
    node.client.StopContainer(container_id="0" * 64, timeout=0)


def test_remove(node, pod):
    container = pod.run()
    log = container.log_path
    container.remove()
    container.remove()
    refused(container.status, Code.NOT_FOUND, container.id)
    assert os.path.exists(log), "log files are the kubelet's"


def test_start_only_once(node, pod):
    container = pod.run(["true"])
    container.wait()
    refused(container.start, Code.FAILED_PRECONDITION, "exited")


def test_children_end_with_the_container(node, pod):
    container = pod.run(["sh", "-c", "sleep 987 & sleep 987 & exec sleep 987"])
    path = cgroup_path(container.spec["linux"]["cgroupsPath"], "pids")

    def processes():
        with open(os.path.join(path, "cgroup.procs"), encoding="utf-8") as procs:
            return len(procs.read().split())

    wait_until(lambda: processes() == 3, what="three processes")
    node.note_pids()
    container.stop()
    container.remove()


def test_same_names_in_two_pods(node):
    config = node.container_config(["echo", "hello"])
    ids = []
    for _ in range(2):
        pod = node.run_pod()
        ids.append(
            node.client.CreateContainer(
                pod_sandbox_id=pod.id, config=config, sandbox_config=pod.config
            ).container_id
        )
    assert len(set(ids)) == 2


def test_containers_at_once(node, pod):
    """Verbs of different containers of a pod do not wait for each other."""
    texts = []

    def life(number):
        texts.append(pod.shell(f"echo {number}"))

    threads = [threading.Thread(target=life, args=(n,)) for n in range(10)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(texts) == sorted(f"{n}\n" for n in range(10))


def test_the_hosts_mount_table_does_not_grow(node, pod):
    before = node.inside("cat", "/proc/self/mountinfo").stdout
    pod.run()
    assert node.inside("cat", "/proc/self/mountinfo").stdout == before
    assert "overlay" not in subprocess.run(
        ["cat", "/proc/self/mountinfo"], stdout=subprocess.PIPE, text=True, check=True
    ).stdout.replace(" / / ", " ")
