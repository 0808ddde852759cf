# SPDX-License-Identifier: Apache-2.0
"""Pulling: from a real registry, and from ones that fail."""

import json
import os
import re
import threading

import pytest

from support import images
from support.cri import Code, CriError
from support.node import wait_until
from support.registry import (
    DockerRegistry,
    blob,
    digest_of,
    manifest_of,
    serve_layout,
    start_server,
    use_mirror,
)

NAME = "registry.k8s.io/test/busybox"


@pytest.fixture(scope="module")
def pull_node(build, services, crictl, layout):
    from support.node import Node  # pylint: disable=import-outside-toplevel

    made = Node(build, services, crictl)
    registry = DockerRegistry(made)
    made.digest = registry.push(layout, "test/busybox", "1")
    made.start()
    yield made
    registry.stop()
    made.stop()


@pytest.fixture
def node(pull_node):
    use_mirror(pull_node, "http://127.0.0.1:5000")
    yield pull_node
    pull_node.remove_everything()
    for image in pull_node.client.ListImages().images:
        pull_node.client.RemoveImage(image={"image": image.id})
    pull_node.assert_nothing_left()
    assert os.listdir(pull_node.path("root/content/blobs/sha256")) == []
    assert os.listdir(pull_node.path("root/layers")) == []


@pytest.fixture
def serve(node):
    """serve(script) starts a registry of the test's own, which the node asks."""
    servers = []

    def start(script):
        servers.append(start_server(node, script))
        return servers[-1]

    yield start
    for server in servers:
        server.close()


def test_by_tag(node):
    shown = node.crictl("pull", f"{NAME}:1").out
    image = node.client.ImageStatus(image={"image": f"{NAME}:1"}).image
    assert image.id in shown
    assert list(image.repo_tags) == [f"{NAME}:1"]
    assert list(image.repo_digests) == [f"{NAME}@{node.digest}"]
    pod = node.run_pod()
    container = pod.run(["echo", "pulled"], image={"image": f"{NAME}:1"})
    assert container.wait().exit_code == 0
    assert container.text() == "pulled\n"
    status = container.status()
    assert (status.image_id, status.image_ref) == (image.id, f"{NAME}@{node.digest}")
    assert status.image.image == f"{NAME}:1"


def test_by_digest(node):
    node.crictl("pull", f"{NAME}@{node.digest}")
    image = node.client.ListImages().images[0]
    assert list(image.repo_tags) == []
    assert list(image.repo_digests) == [f"{NAME}@{node.digest}"]
    assert node.run_pod().shell("echo x", image={"image": image.id}) == "x\n"


def test_again_and_removed(node):
    first = node.client.PullImage(image={"image": f"{NAME}:1"}).image_ref
    assert node.client.PullImage(image={"image": f"{NAME}:1"}).image_ref == first
    node.crictl("rmi", f"{NAME}:1")
    assert not node.client.ListImages().images
    assert node.client.PullImage(image={"image": f"{NAME}:1"}).image_ref == first


def test_at_once(node):
    answers = []

    def pull():
        answers.append(node.client.PullImage(image={"image": f"{NAME}:1"}).image_ref)

    threads = [threading.Thread(target=pull) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(answers) == 8 and len(set(answers)) == 1


def test_image_of_a_running_container_is_removed(node):
    """Its layers stay for as long as the container."""
    node.crictl("pull", f"{NAME}:1")
    container = node.run_pod().run(["sleep", "1000"], image={"image": f"{NAME}:1"})
    node.crictl("rmi", f"{NAME}:1")
    assert container.exec("cat", "/etc/hidden").stdout == b"hidden\n"
    node.restart()
    assert container.exec("cat", "/etc/hidden").stdout == b"hidden\n"
    assert len(os.listdir(node.path("root/layers"))) == 1


@pytest.mark.parametrize("goes_on", [True, False])
def test_shared_layer_during_a_pull(node, build, layout, serve, tmp_path, goes_on):
    """The only image with a layer is removed while another one that has it is on its way."""
    node.client.ImportImage(path=layout)
    base, = os.listdir(node.path("root/layers"))
    top = str(tmp_path / "top")
    images.pack(build, top, layers=[{"files": images.busybox_files()},
                                    {"files": [{"path": "etc/more", "text": "more\n"}]}])
    _, manifest = manifest_of(top)
    answer, asked, go = serve_layout(top), threading.Event(), threading.Event()

    def script(request):
        if request.url_path.endswith(manifest["layers"][1]["digest"]):
            asked.set()
            assert go.wait(60)
            if not goes_on:
                return request.fail(404)
        return answer(request)

    serve(script)
    call = node.client.start("PullImage", image={"image": "registry.k8s.io/x/top:1"}, deadline=90)
    assert asked.wait(60)
    node.client.RemoveImage(image={"image": images.NAME})
    assert node.client.ImageFsInfo().image_filesystems[0].inodes_used.value == 0
    assert os.listdir(node.path("root/layers")) == [base]
    go.set()
    if goes_on:
        assert call.exception() is None
        node.restart()  # it is on record
        name = {"image": "registry.k8s.io/x/top:1"}
        assert node.run_pod().shell("cat /etc/more /etc/hidden", image=name) == "more\nhidden\n"
        assert node.client.ImageFsInfo().image_filesystems[0].inodes_used.value > 100
    else:
        assert call.code() == Code.NOT_FOUND
        wait_until(lambda: os.listdir(node.path("root/layers")) == [])


def failed(node, code, *texts, name="registry.k8s.io/x/y:1"):
    """The pull fails with this code and words, and leaves nothing."""
    with pytest.raises(CriError) as error:
        node.client.PullImage(image={"image": name}, deadline=60)
    said = error.value.details()
    assert error.value.code() == code, said
    for text in texts:
        assert text in said, said
    assert "\n" not in said
    assert not node.client.ListImages().images
    node.assert_nothing_left()
    return said


def test_not_there(node):
    use_mirror(node, "http://127.0.0.1:5000", alone=True)
    failed(node, Code.NOT_FOUND, "registry.k8s.io/x/y:1")
    failed(node, Code.NOT_FOUND, "sha256:" + "0" * 64, name=f"{NAME}@sha256:{'0' * 64}")


def test_refused(node):
    use_mirror(node, "http://127.0.0.1:1")
    failed(node, Code.UNAVAILABLE, "127.0.0.1:1", "registry.k8s.io/x/y:1")
    use_mirror(node, "http://127.0.0.1:1", alone=True)
    failed(node, Code.UNAVAILABLE, "127.0.0.1:1", "registry.k8s.io/x/y:1", "is it running?")


@pytest.mark.parametrize(
    "status, code",
    [
        (404, Code.NOT_FOUND),
        (401, Code.UNAUTHENTICATED),
        (403, Code.PERMISSION_DENIED),
        (500, Code.UNAVAILABLE),
    ],
)
def test_status(node, serve, status, code):
    server = serve(lambda request: request.fail(status))
    said = failed(node, code, "registry.k8s.io/x/y:1")
    assert server.host in said or code == Code.UNAUTHENTICATED


def test_login_is_passed_on(node, serve, layout):
    good = serve_layout(layout)

    def script(request):
        if request.header("Authorization") != "Basic dXNlcjpwYXNz":
            return request.fail(401, [("WWW-Authenticate", 'Basic realm="test"')])
        return good(request)

    serve(script)
    failed(node, Code.UNAUTHENTICATED)
    node.client.PullImage(
        image={"image": f"{NAME}:1"}, auth={"username": "user", "password": "pass"}
    )
    with open(node.log_path, encoding="utf-8") as log:
        assert "pass" not in log.read().replace("passed", "")


def test_wrong_layer(node, serve, layout):
    _, manifest = manifest_of(layout)
    good, wrong = serve_layout(layout), manifest["layers"][0]["digest"]

    def script(request):
        if not request.url_path.endswith(wrong):
            return good(request)
        data = bytearray(blob(layout, wrong))
        data[len(data) // 2] ^= 1
        return request.ok(bytes(data))

    serve(script)
    with pytest.raises(CriError) as error:
        node.client.PullImage(image={"image": f"{NAME}:1"}, deadline=60)
    assert error.value.code() == Code.DATA_LOSS, error.value.details()
    assert wrong[:19] in error.value.details()
    assert not node.client.ListImages().images
    node.assert_nothing_left()


def test_wrong_manifest(node, serve, layout):
    serve(lambda request: request.ok(b"{}", "application/vnd.oci.image.manifest.v1+json"))
    failed(node, Code.DATA_LOSS, node.digest, name=f"{NAME}@{node.digest}")


def test_other_architecture(node, serve, layout, build, tmp_path):
    other = str(tmp_path / "arm")
    images.pack(build, other, platform="linux/arm64", files=[{"path": "a", "text": "a"}])
    serve(serve_layout(other))
    said = failed(node, Code.NOT_FOUND, "arm64", name=f"{NAME}:1")
    assert "amd64" in said


def test_index_without_our_architecture(node, serve, layout):
    digest, manifest = manifest_of(layout)
    entry = {
        "mediaType": "application/vnd.oci.image.manifest.v1+json",
        "digest": digest,
        "size": len(json.dumps(manifest)),
        "platform": {"os": "linux", "architecture": "s390x"},
    }
    index = json.dumps(
        {
            "schemaVersion": 2,
            "manifests": [entry],
            "mediaType": "application/vnd.oci.image.index.v1+json",
        }
    ).encode()
    serve(lambda request: request.ok(index, "application/vnd.oci.image.index.v1+json"))
    failed(node, Code.NOT_FOUND, "s390x", name=f"{NAME}:1")
    assert re.fullmatch(r"sha256:[0-9a-f]{64}", digest_of(index))


def test_a_layer_that_hangs(node, serve, layout):
    """The client's deadline ends the pull, when nobody else waits for it."""
    _, manifest = manifest_of(layout)
    good, release = serve_layout(layout), threading.Event()

    def script(request):
        if request.url_path.endswith(manifest["layers"][0]["digest"]):
            release.wait(30)
        return good(request)

    serve(script)
    with pytest.raises(CriError) as error:
        node.client.PullImage(image={"image": f"{NAME}:1"}, deadline=1)
    assert error.value.code() == Code.DEADLINE_EXCEEDED
    node.assert_nothing_left()
    release.set()


def test_names_that_are_none(node):
    for name in ("", "x/UPPER", "a@sha256:12", "x:y:z", "-", "a b"):
        with pytest.raises(CriError) as error:
            node.client.PullImage(image={"image": name})
        assert error.value.code() == Code.INVALID_ARGUMENT, error.value.details()
