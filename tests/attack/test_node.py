# SPDX-License-Identifier: Apache-2.0
"""What a pod, an image or a request may try against tared, its shims and its folders."""
import os
import stat

import pytest

from support import images
from support.cri import Code, CriError
from support.node import wait_until

NODE = 2  # NamespaceMode of the CRI: the host's


def test_no_abstract_socket(node):
    """CVE-2020-15257: a pod in the host's network namespace finds no socket of ours by name."""
    options = {"network": NODE}
    pod = node.run_pod(linux={"security_context": {"namespace_options": options}})
    pod.run(["sleep", "1000"])
    names = [line.split()[7] for line in pod.shell("cat /proc/net/unix").splitlines()[1:]
             if len(line.split()) > 7]
    assert names, "tared's own socket is to be seen"
    assert not [name for name in names if name.startswith("@")]
    assert not [name for name in names if pod_can_open(pod, name)]


def pod_can_open(pod, name):
    return "yes" in pod.shell(f"test -e '{name}' && echo yes || echo no")


def test_folders_are_private(node):
    """CVE-2024-25621: what is in them is for root alone, with a pod running."""
    pod = node.run_pod()
    pod.run(["sleep", "1000"])
    for name in ("root", "state"):
        mode = os.stat(node.path(name)).st_mode
        assert stat.S_IMODE(mode) & 0o066 == 0, f"{name}: {mode:o}"
    for folder, _, files in os.walk(node.path("state")):
        for file in files:
            st = os.lstat(os.path.join(folder, file))
            if stat.S_ISSOCK(st.st_mode):
                assert stat.S_IMODE(st.st_mode) & 0o007 == 0, os.path.join(folder, file)


@pytest.mark.parametrize("name", ["../out.log", "a/../../out.log", "/tmp/../out.log", ".."])
def test_log_path_that_climbs(node, name):
    pod = node.run_pod()
    with pytest.raises(CriError) as error:
        pod.create(log_path=name)
    assert error.value.code() == Code.INVALID_ARGUMENT, error.value.details()


def test_log_is_a_link(node):
    """CVE-2025-0750's kin: what lies where the log goes is not followed out of the folder."""
    victim = node.path("victim")
    with open(victim, "w", encoding="utf-8") as file:
        file.write("untouched")
    pod = node.run_pod()
    folder = pod.config["log_directory"]
    os.makedirs(folder, exist_ok=True)
    os.symlink(victim, os.path.join(folder, "linked.log"))
    try:
        pod.run(["echo", "written"], log_path="linked.log")
    except CriError:
        pass  # refused: as good
    node.remove_everything()
    with open(victim, encoding="utf-8") as file:
        assert file.read() == "untouched"
    os.unlink(victim)


def test_log_folder_is_a_link(node):
    """The same by a folder on the way, which a pod with a hostPath of the logs can make."""
    outside = node.path("outside")
    os.mkdir(outside)
    pod = node.run_pod()
    folder = pod.config["log_directory"]
    os.makedirs(folder, exist_ok=True)
    for name, target in (("up", "../../outside"), ("away", outside)):
        os.symlink(target, os.path.join(folder, name))
        try:
            pod.run(["echo", "written"], log_path=f"{name}/0.log").wait()
        except CriError:
            pass  # refused: as good
    assert os.listdir(outside) == []
    node.remove_everything()
    os.rmdir(outside)


@pytest.mark.parametrize("name", [
    "kernel.core_pattern", "kernel/core_pattern", "net.ipv4/../../kernel/core_pattern",
    "net/../kernel/core_pattern", "kernel.shm_rmid_forced+kernel.core_pattern", "vm.swappiness",
    "kernel.shm_rmid_forced=1\nkernel.core_pattern", "", "net", "fs.mqueue./../x", "a b"])
def test_sysctl_of_a_pod(node, name):
    """CVE-2022-0811: a name is one of a namespace, and nothing more."""
    with pytest.raises(CriError) as error:
        node.run_pod(linux={"sysctls": {name: "1"}})
    assert "sysctl" in error.value.details()


@pytest.mark.parametrize("value", ["1+kernel.core_pattern=|/bin/x", "1\nkernel.core_pattern=x",
                                   "1 kernel.core_pattern=x"])
def test_sysctl_value_of_a_pod(node, value):
    with open("/proc/sys/kernel/core_pattern", encoding="utf-8") as file:
        before = file.read()
    try:
        node.run_pod(linux={"sysctls": {"kernel.shm_rmid_forced": value}})
    except CriError:
        pass  # the kernel or we refuse it
    with open("/proc/sys/kernel/core_pattern", encoding="utf-8") as file:
        assert file.read() == before


@pytest.mark.parametrize("volume", ["../../../outside", "/../../../outside", "/a/../../../outside",
                                    "/link/outside"])
def test_image_volume_that_climbs(node, build, tmp_path, volume):
    """CVE-2022-23648: an image's volume and its links name nothing of the host."""
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "secret").write_text("secret")
    volume = volume.replace("outside", str(outside).lstrip("/"))
    files = images.busybox_files() + [{"path": "link", "link": "../../../../../../../.."}]
    layout, name = str(tmp_path / "layout"), "localhost/hostile:1"
    images.pack(build, layout, name, files, config={
        "Env": ["PATH=/bin"], "Cmd": ["sleep", "1000"], "Volumes": {volume: {}}})
    node.client.ImportImage(path=layout, reference=name)
    try:
        pod = node.run_pod()
        try:
            container = pod.create(image={"image": name}, command=["sh", "-c", "find / -name secret"
                                                                   " -not -path '/proc/*'"])
            container.start()
            wait_until(lambda: container.status().state == 2, what="the end")
            assert "secret" not in container.text()
        except CriError:
            pass  # refused: as good
        assert sorted(os.listdir(outside)) == ["secret"]
    finally:
        node.remove_everything()
        node.client.RemoveImage(image={"image": name})


@pytest.mark.parametrize("uid", [-1, 4294967295, 4294967296, 1 << 62])
def test_user_of_a_request(node, uid):
    """CVE-2024-40635: a number that no id can be does not wrap to root."""
    pod = node.run_pod()
    with pytest.raises(CriError) as error:
        pod.create(linux={"security_context": {"run_as_user": {"value": uid}}})
    assert error.value.code() == Code.INVALID_ARGUMENT, error.value.details()


@pytest.mark.parametrize("user", ["1", "4294967296", "-1", "0x0", "1:4294967296"])
def test_user_of_an_image(node, build, tmp_path, user):
    """CVE-2026-46680: an image's user of digits is a number, and none that is root's."""
    names = ("root", "1", "4294967296", "1:4294967296")
    files = [file for file in images.busybox_files() if file["path"] != "etc/passwd"] + [
        {"path": "etc/passwd", "text": "".join(f"{n}:x:0:0::/:/bin/sh\n" for n in names)}]
    layout, name = str(tmp_path / "layout"), "localhost/user:1"
    images.pack(build, layout, name, files, config={"Env": ["PATH=/bin"], "User": user,
                                                    "Cmd": ["id", "-u"]})
    node.client.ImportImage(path=layout, reference=name)
    try:
        pod = node.run_pod()
        text = ""
        try:
            container = pod.create(image={"image": name}, command=["id", "-u"])
            container.start()
            wait_until(lambda: container.status().state == 2, what="the end")
            text = container.text().strip()
        except CriError:
            pass
        assert text == ("1" if user == "1" else ""), text
    finally:
        node.remove_everything()
        node.client.RemoveImage(image={"image": name})
