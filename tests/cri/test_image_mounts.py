# SPDX-License-Identifier: Apache-2.0
"""Volumes that are images: `image` and `image_sub_path` of a mount."""

import os

import pytest

from support import images
from support.cri import Code, CriError

DATA = "tare.test/data:1"


@pytest.fixture(scope="module")
def data_layout(build, tmp_path_factory):
    """An image of two layers; a link in it leads out of it."""
    folder = str(tmp_path_factory.mktemp("data") / "layout")
    low = [{"path": "models/one/weights", "text": "low\n"}, {"path": "top", "text": "t\n"},
           {"path": "models/out", "link": "/etc"}]
    high = [{"path": "models/one/weights", "text": "high\n"},
            {"path": "models/run", "text": "#!/bin/sh\necho ran\n", "mode": "0755"}]
    images.pack(build, folder, reference=DATA, layers=[{"files": low}, {"files": high}])
    return folder


@pytest.fixture
def data(node, data_layout):
    node.load_image(data_layout, DATA)
    yield DATA
    node.client.RemoveImage(image={"image": DATA})


def mount(image=DATA, path="/data", **more):
    return {"mounts": [{"container_path": path, "image": {"image": image}, "readonly": True,
                        **more}]}


def refused(call, code, *texts):
    with pytest.raises(CriError) as error:
        call()
    said = error.value.details()
    assert error.value.code() == code, said
    for text in texts:
        assert text in said, said


def test_whole_image(node, pod, data):
    script = "cat /data/models/one/weights /data/top; /data/models/run; ! touch /data/x"
    assert pod.shell(script, **mount()).split() == ["high", "t", "ran"]


def test_sub_path(node, pod, data):
    assert pod.shell("ls /data; cat /data/one/weights", **mount(image_sub_path="models")).split() \
        == ["one", "out", "run", "high"]
    file = mount(image_sub_path="models/one/weights", path="/etc/weights")
    assert pod.output(["cat", "/etc/weights"], **file) == "high\n"


def test_sub_path_stays_in_the_image(node, pod, data):
    """A link is followed inside the image only."""
    refused(lambda: pod.create(**mount(image_sub_path="models/out")), Code.NOT_FOUND, "models/out")
    refused(lambda: pod.create(**mount(image_sub_path="none")), Code.NOT_FOUND, "none")
    for path in ("../x", "a/../../b", "/etc"):
        refused(lambda path=path: pod.create(**mount(image_sub_path=path)), Code.INVALID_ARGUMENT,
                "image_sub_path")


def test_status_names_the_image(node, pod, data):
    container = pod.create(**mount(image_sub_path="models"))
    image = node.client.ImageStatus(image={"image": DATA}).image
    shown = container.status().mounts[0]
    assert shown.image.image == DATA and shown.image_sub_path == "models"
    assert shown.image.image_ref in [*image.repo_digests, image.id]
    shown = node.crictl("inspect", container.id).json["status"]["mounts"][0]
    assert shown["image"]["image"] == DATA


def test_layers_stay_while_a_container_has_them(node, pod, data):
    container = pod.run(**mount())
    node.client.RemoveImage(image={"image": DATA})
    assert not node.client.ImageStatus(image={"image": DATA}).image.id
    assert container.exec("cat", "/data/top").stdout == b"t\n"
    layers = set(os.listdir(node.path("root/layers")))
    container.remove()
    assert len(layers - set(os.listdir(node.path("root/layers")))) == 2


def test_after_a_restart(own_node, data_layout):
    own_node.load_image(data_layout, DATA)
    pod = own_node.run_pod()
    container = pod.create(**mount(image_sub_path="models/one"))
    own_node.client.RemoveImage(image={"image": DATA})
    own_node.restart()
    container.start()
    assert container.exec("cat", "/data/weights").stdout == b"high\n"
    assert container.status().mounts[0].image.image_ref


def test_several_and_in_a_user_namespace(node, data):
    """With the mappings that a kubelet gives to all mounts of such a pod, and without."""
    mapping = [{"host_id": 200000, "container_id": 0, "length": 65536}]
    pod = node.run_pod(linux={"security_context": {"namespace_options": {
        "pid": 1, "userns_options": {"mode": "POD", "uids": mapping, "gids": mapping}}}})
    mapped = {"uidMappings": mapping, "gidMappings": mapping}
    again = mount(path="/again", image_sub_path="models", **mapped)
    more = {"mounts": mount()["mounts"] + again["mounts"]}
    script = "stat -c %u /data/top /again/one/weights; cat /data/top /again/one/weights"
    assert pod.shell(script, **more).split() == ["0", "0", "t", "high"]
    mapping[0]["host_id"] = 300000
    refused(lambda: pod.create(**mount(**mapped)), Code.INVALID_ARGUMENT, "the pod's uidMappings")


def test_the_hosts_mount_table_does_not_grow(node, pod, data):
    with open(f"/proc/{node.holder.pid}/mountinfo", encoding="utf-8") as lines:
        before = len(lines.readlines())
    pod.run(**mount(image_sub_path="models"))
    with open(f"/proc/{node.holder.pid}/mountinfo", encoding="utf-8") as lines:
        assert len(lines.readlines()) == before


@pytest.mark.parametrize("more, code, text", [
    (mount(readonly=False), Code.INVALID_ARGUMENT, "read-only"),
    (mount(host_path="/tmp"), Code.INVALID_ARGUMENT, "host_path"),
    (mount(image="tare.test/none:1"), Code.NOT_FOUND, "pull it first"),
    (mount(propagation="PROPAGATION_BIDIRECTIONAL"), Code.INVALID_ARGUMENT, "propagation"),
    ({"mounts": [dict(mount()["mounts"][0], container_path=f"/m{i}") for i in range(9)]},
     Code.RESOURCE_EXHAUSTED, "at most 8"),
], ids=["write", "host_path", "missing", "propagation", "many"])
def test_refused(node, pod, data, more, code, text):
    refused(lambda: pod.create(**more), code, text)
