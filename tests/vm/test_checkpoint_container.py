# SPDX-License-Identifier: Apache-2.0
"""CheckpointContainer where criu knows the kernel: the archive, and that the container goes on."""
import io
import json
import os
import tarfile

import pytest

from support import images
from support.node import wait_until
from systemd_units import systemctl

SECONDS = 120
SCRIPT = ("mkdir -p /new/folder; echo text > /new/folder/file; ln -s file /new/folder/link; "
          "rm /etc/passwd; i=0; while :; do i=$((i+1)); echo $i; sleep 0.1; done")


@pytest.fixture(scope="session")
def crictl():
    return None


@pytest.fixture
def counting(make_node):
    node = make_node(cgroup_parent="taretest.slice")
    own = {"namespace_options": {"pid": 1}}  # as the kubelet has it: CONTAINER
    container = node.run_pod(linux={"security_context": own}).run(
        ["sh", "-c", SCRIPT], linux={"security_context": own})
    wait_lines(container, 3)
    yield container
    container.pod.remove()
    systemctl("stop", "taretest.slice")


def wait_lines(container, count):
    wait_until(lambda: len(container.log()) >= count, SECONDS, f"{count} lines")


def checkpoint(container):
    path = container.node.path("checkpoint.tar")
    container.node.client.CheckpointContainer(container_id=container.id, location=path,
                                              timeout=SECONDS, deadline=SECONDS)
    return path


def test_archive(counting):
    pid, started = counting.pid, counting.status().started_at
    path = checkpoint(counting)
    assert os.stat(path).st_mode & 0o7777 == 0o600
    with tarfile.open(path) as archive:
        names = {os.path.normpath(name) for name in archive.getnames()}

        def content(name):
            return archive.extractfile(f"./{name}").read()

        config = json.loads(content("config.dump"))
        assert json.loads(content("spec.dump"))["process"]["args"] == ["sh", "-c", SCRIPT]
        assert json.loads(content("deleted.files")) == ["/etc/passwd"]
        log = content("container.log").decode().splitlines()
        with tarfile.open(fileobj=io.BytesIO(content("rootfs-diff.tar"))) as changed:
            assert changed.extractfile("new/folder/file").read() == b"text\n"
            assert changed.getmember("new/folder/link").linkname == "file"
            assert "etc/passwd" not in changed.getnames() and "etc" in changed.getnames()
            assert not any(member.ischr() for member in changed.getmembers())
    assert {"dump.log", "stats-dump", "checkpoint/inventory.img", "checkpoint/pstree.img",
            "checkpoint/core-1.img", "checkpoint/descriptors.json"} <= names
    assert (config["id"], config["name"]) == (counting.id, counting.config["metadata"]["name"])
    assert config["rootfsImageName"] == images.NAME and config["runtime"] == "tare"
    assert config["checkpointedTime"] > config["createdTime"] and not config["restored"]
    assert len(log) >= 3
    wait_lines(counting, len(log) + 3)
    assert (counting.pid, counting.status().started_at) == (pid, started), "it goes on"
    assert counting.exec("cat", "/new/folder/file").stdout == b"text\n"
    numbers = [int(text) for _, _, text in counting.log()]
    assert numbers == list(range(1, len(numbers) + 1)), "nothing is lost, nothing comes twice"
    node = counting.node
    assert not os.path.exists(node.path("root/containers", counting.id, "checkpoint"))
    assert [name for name in os.listdir(node.folder) if ".tar" in name] == ["checkpoint.tar"]
