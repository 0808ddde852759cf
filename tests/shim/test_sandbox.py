# SPDX-License-Identifier: Apache-2.0
"""CreateSandbox: namespaces, pins, shm, sysctls, the pause process, and the undo of each step."""
import fcntl
import os
import signal
import subprocess

import pytest
from shim_client import ShimError, pb, wait_until

NS_GET_USERNS = 0xb701
STEPS = ["record", "user", "net", "lo", "ipc", "uts", "hostname", "sysctls", "pin-net", "pin-ipc",
         "pin-uts", "pause-cgroup", "pause", "pin-pid", "shm", "commit", "pin-user"]
USERS = [{"host_id": 300000, "size": 65536}]  # container_id 0


def inside(pod, *command, net=True):
    """Runs a command in the pod's namespaces."""
    enter = ["nsenter", f"--ipc={pod.made.ipc_path}", f"--uts={pod.made.uts_path}"]
    if net:
        enter.append(f"--net={pod.made.net_path}")
    return subprocess.run(enter + list(command), check=True, capture_output=True,
                          text=True).stdout.strip()


def everything(pod, **fields):
    return pod.sandbox(shared_pid=True, shm_path=pod.shm, shm_size_bytes=1 << 20,
                       sysctls={"kernel.shm_rmid_forced": "1"},
                       cgroup_path=pod.cgroup + "/pause", **fields)


def users(maps=USERS):
    """A user namespace."""
    return {"uid_maps": [pb.IdMap(**m) for m in maps], "gid_maps": [pb.IdMap(**m) for m in maps]}


def nothing_left(pod):
    assert pod.mounts() == []
    assert not os.path.exists(pod.netns)
    assert os.listdir(pod.pins) == []
    assert not os.path.exists(os.path.join(pod.shim.state_dir, "sandbox.json"))
    assert pod.cgroup_pids() == set()
    assert not any(os.path.exists(f + "/pause") for f in pod.cgroup_folders())
    wait_until(lambda: pod.shim.children() == [], what="no child of the shim")


def test_namespaces_and_settings(make_pod):
    pod = make_pod()
    made = pod.sandbox(shm_path=pod.shm, shm_size_bytes=1 << 20, sysctls={
        "kernel.shm_rmid_forced": "1", "net.ipv4.ip_forward": "1", "fs.mqueue.msg_max": "20",
        "net/ipv4/ip_local_port_range": "2000\t3000"})
    assert made.pause_pid == 0 and made.pid_path == ""
    assert made.net_path == pod.netns
    for kind in ("net", "ipc", "uts"):
        pinned = os.stat(getattr(made, kind + "_path")).st_ino
        assert pinned != os.stat(f"/proc/self/ns/{kind}").st_ino
    assert inside(pod, "hostname") == "pod-host"
    assert inside(pod, "cat", "/proc/sys/kernel/shm_rmid_forced") == "1"
    assert inside(pod, "cat", "/proc/sys/fs/mqueue/msg_max") == "20"
    assert inside(pod, "cat", "/proc/sys/net/ipv4/ip_forward") == "1"
    assert inside(pod, "cat", "/proc/sys/net/ipv4/ip_local_port_range").split() == ["2000", "3000"]
    assert "UP" in inside(pod, "ip", "-o", "link", "show", "lo").split("<")[1]
    assert os.path.ismount(pod.shm), f"{os.listdir(pod.folder)} {pod.mounts()} {pod.shim.log()}"
    size = os.statvfs(pod.shm)
    assert size.f_blocks * size.f_frsize == 1 << 20
    assert os.stat(pod.shm).st_mode & 0o7777 == 0o1777
    state = pod.client.state()
    assert state.sandbox == made and not state.pause_dead
    with pytest.raises(ShimError, match="EXISTS"):
        pod.sandbox()
    pod.shutdown()


def test_host_namespaces(make_pod):
    pod = make_pod()
    made = pod.sandbox(host_network=True, host_ipc=True, hostname="", netns_path="")
    assert (made.net_path, made.ipc_path, made.uts_path, made.pid_path) == ("", "", "", "")
    assert pod.mounts() == []
    pod.shutdown()


@pytest.mark.parametrize("fields, part", [
    ({"sysctls": {"kernel.hostname": "x"}}, "whole node"),
    ({"sysctls": {"net.ipv4.ip_forward": "1"}, "host_network": True, "hostname": ""}, "host's"),
    ({"sysctls": {"kernel.sem": "1"}, "host_ipc": True}, "host's"),
    ({"sysctls": {"net.ipv4/../../../kernel/hostname": "x"}}, "bad component"),
    ({"sysctls": {"net..ipv4": "x"}}, "bad component"),
    ({"sysctls": {"net.ipv4.ip_forward": "1\n0"}}, "control character"),
    ({"netns_path": "relative"}, "absolute"),
    ({"netns_path": ""}, "empty"),
    ({"pin_dir": "/tmp/../etc"}, "normal"),
    ({"hostname": "h" * 65}, "hostname"),
    ({"uid_maps": [pb.IdMap(size=1)]}, "belong together"),
    (users([{"host_id": 5}]), "empty"),
    (users([{"container_id": 1, "size": 9}]), "do not map id 0"),
    (users([{"host_id": 2**32 - 1, "size": 2}]), "leaves the ids"),
])
def test_refused(make_pod, fields, part):
    pod = make_pod()
    with pytest.raises(ShimError, match="INVALID.*" + part):
        pod.sandbox(**fields)
    nothing_left(pod)
    pod.sandbox()


def test_sysctls_afterwards(make_pod):
    """Of interfaces that have come since; of nothing but the pod's network."""
    pod = make_pod()
    request = pb.SetSysctlsRequest()
    request.sysctls.add(name="net.ipv4.conf.later.rp_filter", value="2")
    with pytest.raises(ShimError, match="no network namespace"):
        pod.client.call("set_sysctls", request)
    pod.sandbox()
    with pytest.raises(ShimError, match="net.ipv4.conf.later.rp_filter"):
        pod.client.call("set_sysctls", request)
    inside(pod, "ip", "link", "add", "later", "type", "veth", "peer", "name", "other")
    pod.client.call("set_sysctls", request)
    assert inside(pod, "cat", "/proc/sys/net/ipv4/conf/later/rp_filter") == "2"
    other = pb.SetSysctlsRequest()
    other.sysctls.add(name="kernel.sem", value="1 2 3 4")
    with pytest.raises(ShimError, match="IPC"):
        pod.client.call("set_sysctls", other)


def test_sysctl_that_the_kernel_refuses(make_pod):
    pod = make_pod()
    with pytest.raises(ShimError, match="create sandbox: sysctls.*net.ipv4.nosuchthing"):
        pod.sandbox(sysctls={"net.ipv4.nosuchthing": "1"})
    nothing_left(pod)


def test_nothing_of_others_is_taken_over(make_pod):
    pod = make_pod()
    with open(pod.pins + "/ipc", "w"):
        pass
    with pytest.raises(ShimError, match="EXISTS.*pins/ipc"):
        pod.sandbox()
    assert os.listdir(pod.pins) == ["ipc"]
    os.unlink(pod.pins + "/ipc")


def test_pause(make_pod):
    pod = make_pod()
    made = everything(pod)
    with open(f"/proc/{made.pause_pid}/status") as f:
        status = dict(line.rstrip("\n").split(":\t", 1) for line in f if ":\t" in line)
    assert status["Name"] == "tare-pause"
    assert status["PPid"] == str(pod.shim.pid)
    assert status["NSpid"].split()[-1] == "1"
    assert status["CapEff"] == status["CapPrm"] == status["CapBnd"] == "0" * 16
    assert status["NoNewPrivs"] == "1"
    assert status["Uid"].split()[0] == "65535"
    assert os.listdir(f"/proc/{made.pause_pid}/fd") == []
    assert os.listdir(f"/proc/{made.pause_pid}/root") == []
    with open(f"/proc/{made.pause_pid}/mountinfo") as f:
        mounts = f.read().splitlines()
    assert len(mounts) == 1 and "ro," in mounts[0]
    assert pod.cgroup_pids("pause") == {made.pause_pid}
    for kind in ("net", "ipc", "uts", "pid"):
        assert os.stat(f"/proc/{made.pause_pid}/ns/{kind}").st_ino == \
            os.stat(getattr(made, kind + "_path")).st_ino
    assert not pod.client.state().pause_dead
    os.kill(made.pause_pid, signal.SIGKILL)
    event = pod.client.wait_exit("")
    assert (event.signal, event.reason) == (9, "PauseDied")
    assert pod.client.state().pause_dead
    pod.shutdown()
    assert [e for e in pod.client.events if not e.container_id] == [event]


def test_user_namespace(make_pod):
    """It owns the others; the pause process is in it."""
    pod = make_pod()
    made = everything(pod, **users())
    user = os.stat(made.user_path).st_ino
    assert os.stat(f"/proc/{made.pause_pid}/ns/user").st_ino == user
    for kind in ("net", "ipc", "uts", "pid"):
        with open(getattr(made, kind + "_path")) as namespace:
            owner = fcntl.ioctl(namespace, NS_GET_USERNS)
        assert os.fstat(owner).st_ino == user, kind
        os.close(owner)
    with open(f"/proc/{made.pause_pid}/status") as f:
        fields = dict(line.rstrip("\n").split(":\t", 1) for line in f if ":\t" in line)
    assert (fields["PPid"], fields["Uid"].split()[0]) == (str(pod.shim.pid), str(300000 + 65535))
    assert inside(pod, "cat", "/proc/sys/kernel/shm_rmid_forced") == "1"
    assert os.stat(pod.shm).st_uid == 300000
    assert pod.client.state().sandbox == made
    wait_until(lambda: pod.shim.children() == [made.pause_pid], what="the helper to be reaped")
    pod.shutdown()
    nothing_left(pod)


def test_pause_needs_its_program(make_pod):
    pod = make_pod(pause=False)
    with pytest.raises(ShimError, match="pause-fd"):
        pod.sandbox(shared_pid=True)
    nothing_left(pod)


@pytest.mark.parametrize("step", STEPS)
def test_step_fails(make_pod, step):
    pod = make_pod(env={"TARE_FAULT": f"shim.sandbox.{step}=fail"})
    with pytest.raises(ShimError, match=f"create sandbox: {step}: fault"):
        everything(pod, **users())
    nothing_left(pod)


@pytest.mark.parametrize("step", STEPS)
def test_step_dies(make_pod, step):
    pod = make_pod(env={"TARE_FAULT": f"shim.sandbox.{step}=kill"})
    with pytest.raises(ShimError, match=f"INTERNAL.*signal 9 at step '{step}'"):
        everything(pod, **users())
    nothing_left(pod)


@pytest.mark.parametrize("step", ["net", "pause", "shm"])
def test_step_hangs(make_pod, step):
    pod = make_pod(env={"TARE_FAULT": f"shim.sandbox.{step}=stall"}, deadline_ms=700)
    number = pod.client.send("create_sandbox", request(pod))
    # the loop answers meanwhile
    assert pod.shim.connect().state().pause_dead is False
    with pytest.raises(ShimError, match=f"TIMEOUT.*step '{step}' took longer than 700 ms"):
        pod.client.wait(number)
    nothing_left(pod)


def request(pod):
    return pb.CreateSandboxRequest(netns_path=pod.netns, pin_dir=pod.pins, shared_pid=True,
                                   shm_path=pod.shm, cgroup_path=pod.cgroup + "/pause", **users())


@pytest.mark.parametrize("step", STEPS)
def test_shim_dies_and_the_record_undoes(make_pod, step):
    pod = make_pod(env={"TARE_FAULT": f"shim.sandbox.{step}=stall"})
    pod.client.send("create_sandbox", request(pod))
    maker = wait_until(pod.shim.children, what="the maker")[0]
    wait_until(lambda: step == "record" or os.path.exists(pod.shim.state_dir + "/sandbox.json"))
    wait_until(lambda: open(f"/proc/{maker}/stat").read().split()[2] == "S")
    pod.shim.process.kill()
    pod.shim.process.wait()
    wait_until(lambda: not os.path.exists(f"/proc/{maker}"), what="the maker's end")
    subprocess.run([pod.shim.program, "--undo", "--state-dir", pod.shim.state_dir], check=True)
    nothing_left(pod)


def test_undo_spares_what_is_not_ours(make_pod):
    """A pin that names another namespace than the recorded one stays."""
    pod = make_pod()
    made = pod.sandbox()
    pod.shim.process.kill()
    pod.shim.process.wait()
    subprocess.run(["umount", made.net_path], check=True)
    subprocess.run(["mount", "--bind", "/proc/self/ns/net", made.net_path], check=True)
    subprocess.run([pod.shim.program, "--undo", "--state-dir", pod.shim.state_dir], check=True)
    assert os.path.exists(made.net_path) and not os.path.exists(made.ipc_path)
    subprocess.run(["umount", made.net_path], check=True)
    os.unlink(made.net_path)


def test_failed_undo_is_told_and_can_be_repeated(make_pod):
    pod = make_pod(env={"TARE_FAULT": "shim.sandbox.undo:1=fail"})
    pod.sandbox()
    # each undo is a process of its own, so the fault strikes every time; without the shim it is off
    with pytest.raises(ShimError, match="fault at shim.sandbox.undo"):
        pod.client.shutdown()
    assert pod.shim.process.poll() is None
    assert os.path.exists(pod.shim.state_dir + "/sandbox.json")


def test_sigterm_is_a_shutdown(make_pod):
    pod = make_pod()
    everything(pod)
    pod.shim.process.terminate()
    assert pod.shim.process.wait(10) == 0
    assert pod.mounts() == []
