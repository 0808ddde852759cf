# SPDX-License-Identifier: Apache-2.0
"""Pods with a user namespace: their ids, files, volumes and namespaces, and what is refused."""

import os
import subprocess

import pytest

from support.cri import Code, CriError
from support.node import wait_until

POD, CONTAINER, NODE, TARGET = 0, 1, 2, 3
FIRST, SIZE = 200000, 65536
MAP = [{"host_id": FIRST, "container_id": 0, "length": SIZE}]


def options(mode=POD, uids=None, gids=None, **modes):
    """The linux part of a pod with users of its own."""
    users = {"mode": mode, "uids": MAP if uids is None else uids,
             "gids": MAP if gids is None else gids}
    return {"linux": {"security_context": {"namespace_options": dict(modes, userns_options=users)}}}


def namespace(pid, kind):
    return os.readlink(f"/proc/{pid}/ns/{kind}")


@pytest.fixture
def pod(node):
    return node.run_pod(**options(pid=CONTAINER))


def refused(call, code, *texts):
    with pytest.raises(CriError) as error:
        call()
    said = error.value.details()
    assert error.value.code() == code, said
    for text in texts:
        assert text in said, said


# --- the namespace ---


def test_it_is_announced(node):
    shown = node.crictl("info").json
    assert all(handler["features"]["user_namespaces"] for handler in shown["runtimeHandlers"])
    assert shown["features"]["user_namespaces_host_network"]


def test_maps(node, pod):
    container = pod.run()
    for name in ("uid_map", "gid_map"):
        shown = container.exec("cat", f"/proc/self/{name}").stdout.split()
        assert [int(n) for n in shown] == [0, FIRST, SIZE]
    for kind in ("user", "net", "ipc", "uts", "pid", "mnt"):
        assert namespace(container.pid, kind) != namespace("self", kind)
    with open(f"/proc/{container.pid}/status", encoding="utf-8") as status:
        ids = [line.split()[1:] for line in status if line.startswith(("Uid:", "Gid:"))]
    assert ids == [[str(FIRST)] * 4] * 2


def test_it_owns_the_others(node):
    """A pod's root may change what is in its namespaces, and joins them by path."""
    pod = node.run_pod(**options(pid=POD))
    container = pod.run(linux={"security_context": {
        "capabilities": {"add_capabilities": ["NET_ADMIN", "SYS_ADMIN"]}}})
    script = "ip link add dummy0 type dummy 2>/dev/null; ip addr add 10.9.9.9/32 dev lo && "
    script += "hostname inside && hostname && ip addr show dev lo"
    done = container.exec("sh", "-c", script)
    assert done.exit_code == 0 and b"inside" in done.stdout and b"10.9.9.9" in done.stdout
    shown = {entry["type"]: entry["path"]
             for entry in pod.info()["runtimeSpec"]["linux"]["namespaces"]}
    assert set(shown) == {"user", "network", "ipc", "uts", "pid"}
    inside = os.stat(f"/proc/{container.pid}/ns/user").st_ino
    assert int(node.inside("stat", "-c", "%i", shown["user"]).stdout) == inside


def test_shared_pid_namespace(node):
    """The init of the pod's PID namespace is in its user namespace, as nobody."""
    pod = node.run_pod(**options(pid=POD))
    container = pod.run()
    pause = pod.info()["pid"]
    assert namespace(pause, "user") == namespace(container.pid, "user")
    assert namespace(pause, "pid") == namespace(container.pid, "pid")
    with open(f"/proc/{pause}/status", encoding="utf-8") as status:
        fields = dict(line.rstrip("\n").split(":\t", 1) for line in status if ":\t" in line)
    assert fields["Uid"].split() == [str(FIRST + 65535)] * 4
    assert int(fields["CapBnd"], 16) == 0
    assert "tare-pause" in container.exec("cat", "/proc/1/comm").stdout.decode()


def test_small_map(node):
    few = [{"host_id": FIRST, "container_id": 0, "length": 3}]
    pod = node.run_pod(**options(uids=few, gids=few))
    assert pod.output(["id", "-u"]) == "0\n"
    refused(lambda: pod.create(linux={"security_context": {"run_as_user": {"value": 1000}}}),
            Code.INVALID_ARGUMENT, "user 1000:1000 is not in the pod's user namespace", "0 to 2")


def test_sysctls(node):
    more = options(pid=CONTAINER)
    more["linux"]["sysctls"] = {"kernel.shmmax": "1048576", "net.ipv4.ip_forward": "1",
                                "fs.mqueue.msg_max": "7"}
    shown = node.run_pod(**more).shell(
        "cat /proc/sys/kernel/shmmax /proc/sys/net/ipv4/ip_forward /proc/sys/fs/mqueue/msg_max")
    assert shown.split() == ["1048576", "1", "7"]


def test_host_network(node):
    pod = node.run_pod(**options(network=NODE, pid=CONTAINER))
    container = pod.run()
    assert namespace(container.pid, "net") == namespace(node.holder.pid, "net")
    assert namespace(container.pid, "user") != namespace("self", "user")
    assert container.exec("touch", "/sys/x").exit_code != 0


def test_host_users_are_the_default(node):
    assert node.run_pod().output(["cat", "/proc/self/uid_map"]).split() == [
        "0", "0", str(2**32 - 1)]
    pod = node.run_pod(**options(mode=NODE, uids=[], gids=[]))
    assert pod.output(["cat", "/proc/self/uid_map"]).split() == ["0", "0", str(2**32 - 1)]


# --- files ---


def test_root_file_system(node, pod):
    """Files of the image have the owners that it names; what is written is the pod's outside."""
    container = pod.run()
    text = "stat -c '%u:%g' / /etc/passwd /home/worker && echo x > /etc/passwd && "
    text += "echo y > /new && chown 1000:1000 /new && stat -c %u:%g /new && rm /etc/hidden"
    done = container.exec("sh", "-c", text)
    assert done.stdout.decode().split() == ["0:0"] * 3 + ["1000:1000"], done
    upper = node.path("root/containers", container.id, "upper")
    owners = {name: os.stat(os.path.join(upper, *name)).st_uid
              for name in ((), ("etc", "passwd"), ("new",))}
    assert owners == {(): FIRST, ("etc", "passwd"): FIRST, ("new",): FIRST + 1000}


def test_layers_are_not_changed(node, pod):
    """No chown of a layer, ever: a pod with the host's users sees what it saw before."""
    script = "stat -c %u:%g:%Z /bin/busybox /etc/passwd"
    before = node.run_pod().shell(script)
    pod.shell("echo x >> /etc/passwd; chown 1000 /bin/busybox")
    assert node.run_pod().shell(script) == before


def test_standard_files(node, pod):
    container = pod.run()
    script = "cat /etc/hostname; stat -c %u /etc/hosts /etc/hostname /etc/resolv.conf /dev/shm; "
    script += "echo 10.1.1.1 mine >> /etc/hosts && grep mine /etc/hosts"
    assert container.exec("sh", "-c", script).stdout.decode().split() == [
        "pod-host", "0", "0", "0", "0", "10.1.1.1", "mine"]
    second = pod.run(linux={"security_context": {"run_as_user": {"value": 1000}}})
    container.exec("sh", "-c", "echo there > /dev/shm/file")
    assert second.exec("cat", "/dev/shm/file").stdout == b"there\n"
    assert second.exec("touch", "/dev/shm/of-a-user").exit_code == 0


def test_mounts_and_devices(node, pod):
    """Each is the pod's own, and nothing of the host can be written to by way of it."""
    container = pod.run()
    shown = container.exec("cat", "/proc/mounts").stdout.decode()
    kinds = {line.split()[1]: line.split()[2] for line in shown.splitlines()}
    assert (kinds["/proc"], kinds["/sys"], kinds["/dev/mqueue"], kinds["/dev/pts"]) == (
        "proc", "sysfs", "mqueue", "devpts")
    script = "echo x > /dev/null && head -c 1 /dev/zero | wc -c && : > /dev/full; "
    script += "mknod /tmp/sda b 8 0; ls /sys/class/net"
    done = container.exec("sh", "-c", script)
    assert done.stdout.decode().split() == ["1", "eth0", "lo"], done
    assert b"mknod" in done.stderr
    for path in ("/proc/sys/kernel/panic", "/proc/sysrq-trigger", "/sys/kernel/x"):
        assert container.exec("sh", "-c", f"echo 1 > {path}").exit_code != 0


def volume(node, name, owner=0):
    path = node.path(name)
    os.makedirs(path, exist_ok=True)
    with open(os.path.join(path, "file"), "w", encoding="utf-8") as file:
        file.write("of the host\n")
    os.chown(path, owner, owner)
    os.chown(os.path.join(path, "file"), owner, owner)
    return path


def test_mapped_volume(node, pod):
    """Mapped by the request, its owners are the pod's ids, and stay so on disk."""
    path = volume(node, "mapped", 1000)
    mount = {"host_path": path, "container_path": "/v", "uidMappings": MAP, "gidMappings": MAP}
    script = "stat -c %u:%g /v /v/file && cat /v/file && echo new > /v/new"
    user = {"linux": {"security_context": {"run_as_user": {"value": 1000}}}}
    assert pod.shell(script, mounts=[mount], **user).split() == [
        "1000:1000", "1000:1000", "of", "the", "host"]
    assert os.stat(os.path.join(path, "new")).st_uid == 1000


def test_volume_without_mappings(node, pod):
    """Its owners are nobody in the pod: what others may, it may."""
    path = volume(node, "plain")
    script = "stat -c %u /v/file && cat /v/file && ! touch /v/file"
    shown = pod.shell(script, mounts=[{"host_path": path, "container_path": "/v"}])
    assert shown.split() == ["65534", "of", "the", "host"]


def test_mapped_volume_of_a_pod_with_the_hosts_users(node):
    path = volume(node, "shifted", 5)
    mount = {"host_path": path, "container_path": "/v", "readonly": True,
             "uidMappings": MAP, "gidMappings": MAP}
    assert node.run_pod().shell("stat -c %u:%g /v/file", mounts=[mount]) == (
        f"{FIRST + 5}:{FIRST + 5}\n")


def test_volume_that_cannot_be_mapped(node, pod):
    """The error names the file system."""
    mount = {"host_path": "/proc/sys", "container_path": "/v", "readonly": True,
             "uidMappings": MAP, "gidMappings": MAP}
    container = pod.create(mounts=[mount])
    refused(container.start, Code.UNIMPLEMENTED, "/proc/sys", "proc", "id-map")


def test_image_on_what_cannot_be_mapped(make_node, layout):
    """Layers on an overlay: the error names the file system and says what to do."""
    node = make_node(image=False)
    script = "mkdir -p {0} && mount -t tmpfs x {0} && mkdir {0}/l {0}/u {0}/w && "
    script += "mount -t overlay o -o lowerdir={0}/l,upperdir={0}/u,workdir={0}/w {1}"
    node.kill()
    done = node.inside("sh", "-c", script.format(node.path("overlaid"), node.path("root")))
    assert done.returncode == 0, done.stderr
    try:
        node.start()
        node.load_image(layout)
        pod = node.run_pod(**options())
        refused(pod.create, Code.UNIMPLEMENTED, "(overlay)", "ext4, xfs or btrfs")
        pod.remove()
        node.kill()
    finally:
        for path in ("root", "overlaid"):
            assert node.inside("umount", "-l", node.path(path)).returncode == 0
    node.start()


# --- life ---


def test_logs_exec_stats_and_kill(node, pod):
    container = pod.run(["sh", "-c", "echo one; echo two >&2; exec sleep 1000"])
    wait_until(lambda: len(container.log()) == 2, what="two lines")
    assert node.crictl("logs", container.id).out == "one\n"
    done = node.crictl("exec", "--sync", container.id, "id", "-u")
    assert done.text == "0"
    stats = node.client.ContainerStats(container_id=container.id).stats
    assert stats.memory.usage_bytes.value > 0
    shown = node.crictl("inspect", container.id).json
    assert shown["status"]["user"]["linux"]["uid"] == "0"
    assert {"type": "user", "path": node.path("state/pods", pod.id, "ns/user")} in (
        shown["info"]["runtimeSpec"]["linux"]["namespaces"])
    container.stop()
    assert container.status().exit_code in (137, 143)


def test_exec_is_inside(node, pod):
    container = pod.run(linux={"security_context": {"run_as_user": {"value": 1000}}})
    assert container.exec("id", "-u").stdout == b"1000\n"
    assert container.exec("cat", "/proc/self/uid_map").stdout.split()[1] == str(FIRST).encode()
    same = container.exec("readlink", "/proc/self/ns/user").stdout.decode().strip()
    assert same == namespace(container.pid, "user")


@pytest.mark.parametrize("pid", [POD, CONTAINER])
def test_restart_of_the_daemon(own_node, pid):
    """A pod goes on, and its next containers are in its user namespace as well."""
    pod = own_node.run_pod(**options(pid=pid))
    first = pod.run()
    own_node.restart()
    assert first.exec("id", "-u").stdout == b"0\n"
    second = pod.run()
    assert namespace(first.pid, "user") == namespace(second.pid, "user")
    pod.remove()
    own_node.assert_nothing_left()


def test_several_pods_have_namespaces_of_their_own(node):
    other = [{"host_id": FIRST + SIZE, "container_id": 0, "length": SIZE}]
    one, two = node.run_pod(**options()), node.run_pod(**options(uids=other, gids=other))
    first, second = one.run(), two.run()
    assert namespace(first.pid, "user") != namespace(second.pid, "user")
    assert second.exec("cat", "/proc/self/uid_map").stdout.split()[1] == b"265536"
    assert second.exec("stat", "-c", "%u", "/etc/passwd").stdout == b"0\n"


def test_privileged(node):
    """All capabilities, of the pod's own user namespace: the host's devices stay the host's."""
    more = options(pid=CONTAINER)
    more["linux"]["security_context"]["privileged"] = True
    pod = node.run_pod(**more)
    container = pod.run(linux={"security_context": {"privileged": True}})
    assert container.exec("sh", "-c", "echo 1 > /proc/sys/kernel/panic").exit_code != 0
    assert container.exec("mount", "-t", "tmpfs", "x", "/tmp").exit_code == 0


def test_network_plugins_run_as_the_host(node, pod):
    container = pod.run()
    address = pod.status().status.network.ip
    assert address.startswith("10.88.")
    server = pod.run(["nc", "-l", "-p", "8000", "-e", "echo", "hello"])
    done = wait_until(
        lambda: (node.inside("nc", "-w", "2", address, "8000").stdout or None)
        if subprocess.call(["which", "nc"], stdout=subprocess.DEVNULL) == 0 else "hello\n",
        what="the server")
    assert done == "hello\n" and container.id != server.id


# --- what is refused ---

BAD = [
    (options(mode=CONTAINER), "mode: 1"),
    (options(mode=TARGET), "mode: 3"),
    (options(uids=[], gids=[]), "exactly one"),
    (options(uids=MAP + [{"host_id": 1, "container_id": 70000, "length": 1}]), "exactly one"),
    (options(gids=MAP + [{"host_id": 1, "container_id": 70000, "length": 1}]), "exactly one"),
    (options(uids=[{"host_id": FIRST, "container_id": 1, "length": 9}],
             gids=[{"host_id": FIRST, "container_id": 1, "length": 9}]), "container id 0"),
    (options(gids=[{"host_id": FIRST, "container_id": 0, "length": 9}]), "different mappings"),
    (options(uids=[{"host_id": FIRST, "container_id": 0, "length": 0}],
             gids=[{"host_id": FIRST, "container_id": 0, "length": 0}]), "0 ids"),
    (options(uids=[{"host_id": 2**32 - 2, "container_id": 0, "length": 9}],
             gids=[{"host_id": 2**32 - 2, "container_id": 0, "length": 9}]), "not ids"),
    (options(mode=NODE), "no mappings"),
    (options(pid=NODE), "PID namespace"),
    (options(ipc=NODE), "IPC namespace"),
]


@pytest.mark.parametrize("more, text", BAD, ids=[text for _, text in BAD])
def test_bad_pods(node, more, text):
    refused(lambda: node.run_pod(**more), Code.INVALID_ARGUMENT, text)
    assert not node.client.ListPodSandbox().items


def test_containers_have_what_the_pod_has(node, pod):
    assert pod.output(["id", "-u"], **options()) == "0\n"
    other = [{"host_id": FIRST + 1, "container_id": 0, "length": SIZE}]
    for more in (options(uids=other, gids=other), options(mode=NODE, uids=[], gids=[])):
        refused(lambda more=more: pod.create(**more), Code.INVALID_ARGUMENT,
                "differs from the pod's")
    plain = node.run_pod()
    refused(lambda: plain.create(**options()), Code.INVALID_ARGUMENT, "differs from the pod's")


def test_bad_mappings_of_mounts(node, pod):
    mount = {"host_path": node.path("logs"), "container_path": "/v", "uidMappings": MAP}
    refused(lambda: pod.create(mounts=[mount]), Code.INVALID_ARGUMENT, "mounts[0]", "both or none")
    empty = [{"host_id": 1, "container_id": 0, "length": 0}]
    mount.update(uidMappings=empty, gidMappings=empty)
    refused(lambda: pod.create(mounts=[mount]), Code.INVALID_ARGUMENT, "mounts[0].uidMappings[0]")


def test_what_is_killed_half_way_leaves_nothing(make_node):
    """At each step of the pod's making."""
    node = make_node(image=False, fault="shim.sandbox.pin-pid=fail")
    refused(lambda: node.run_pod(**options()), Code.INTERNAL, "fault")
    node.assert_nothing_left()
