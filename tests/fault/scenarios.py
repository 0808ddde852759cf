# SPDX-License-Identifier: Apache-2.0
"""One scenario a verb: what is there before, the request, and what must hold afterwards.

settled() is asked when tared has died in the middle and another one serves: what lists show must be
whole. undone() is asked when the request was answered with an error. done() is asked after a retry
that succeeded.
"""

import glob
import os

from support import images
from support.cri import Code, CriError
from support.node import Container, Pod
from support.registry import serve_layout, start_server

READY = 0
CREATED, RUNNING, EXITED = 0, 1, 2  # containers
LOUD = "trap 'exit 3' TERM; echo up; while :; do sleep 0.02; done"


def whole(ask):
    """What a list has shown has a status, unless its removal has just gone on to its end."""
    try:
        ask()
    except CriError as error:
        assert error.code() == Code.NOT_FOUND


class Scenario:
    """prepare() keeps in self what the others need."""

    def __init__(self, node):
        self.node = node
        self.client = lambda: node.client

    def retry(self):
        self.request()

    def settled(self):
        pass

    def undone(self, point):
        self.settled()

    def clean(self):
        """Takes away what the scenario made besides pods."""


class RunPodSandbox(Scenario):
    def prepare(self):
        self.config = self.node.pod_config()

    def request(self):
        self.id = self.client().RunPodSandbox(config=self.config).pod_sandbox_id

    def settled(self):
        pods = self.client().ListPodSandbox().items
        assert len(pods) <= 1
        for pod in pods:
            status = self.client().PodSandboxStatus(pod_sandbox_id=pod.id).status
            assert (status.state, bool(status.network.ip)) == (READY, True)

    def undone(self, point):
        self.node.assert_nothing_left()

    def done(self):
        assert [p.id for p in self.client().ListPodSandbox().items] == [self.id]
        assert Pod(self.node, self.id, self.config).shell("echo works") == "works\n"


class WithPod(Scenario):
    """A pod with a container that runs and one that does not."""

    def prepare(self):
        self.pod = self.node.run_pod()
        self.running = self.pod.run(["sh", "-c", LOUD])
        self.created = self.pod.create()

    def settled(self):
        for pod in self.client().ListPodSandbox().items:
            whole(lambda: self.client().PodSandboxStatus(pod_sandbox_id=pod.id))
        for container in self.client().ListContainers().containers:
            whole(lambda: self.client().ContainerStatus(container_id=container.id))


class StopPodSandbox(WithPod):
    def request(self):
        self.client().StopPodSandbox(pod_sandbox_id=self.pod.id)

    def done(self):
        assert self.pod.status().status.state != READY
        assert self.running.status().state == EXITED
        assert self.node.processes() == []
        assert os.listdir(f"/proc/{self.node.holder.pid}/root/run/netns") == []


class RemovePodSandbox(WithPod):
    def request(self):
        self.client().RemovePodSandbox(pod_sandbox_id=self.pod.id)

    def done(self):
        self.node.assert_nothing_left()


class CreateContainer(WithPod):
    def prepare(self):
        self.pod = self.node.run_pod()
        self.config = self.node.container_config(["sh", "-c", "echo works"])

    def request(self):
        self.id = (
            self.client()
            .CreateContainer(
                pod_sandbox_id=self.pod.id, config=self.config, sandbox_config=self.pod.config
            )
            .container_id
        )

    def settled(self):
        listed = self.client().ListContainers().containers
        assert [c.state for c in listed] in ([], [0])

    def undone(self, point):
        assert not self.client().ListContainers().containers
        assert os.listdir(self.node.path("root/containers")) == []
        assert os.listdir(self.node.path("state/pods", self.pod.id, "containers")) == []

    def done(self):
        assert [c.id for c in self.client().ListContainers().containers] == [self.id]
        container = Container(self.pod, self.id, self.config).start()
        assert container.wait().exit_code == 0
        assert container.text() == "works\n"


class StartContainer(WithPod):
    def request(self):
        self.client().StartContainer(container_id=self.created.id)

    def settled(self):
        assert self.created.status().state in (CREATED, RUNNING)

    def undone(self, point):
        """Once begun, a start that fails is the container's end: the kubelet makes another."""
        status = self.created.status()
        if point == "StartContainer.nri":
            assert status.state == CREATED
        elif point == "StartContainer.start.done":
            assert status.state == RUNNING
        else:
            assert (status.state, status.exit_code, status.reason) == (EXITED, 128, "StartError")
            assert point in status.message
            self.created.remove()
            self.created = self.pod.create()

    def done(self):
        assert self.created.status().state == RUNNING
        assert self.created.exec("echo", "works").stdout == b"works\n"


class StopContainer(WithPod):
    def request(self):
        self.client().StopContainer(container_id=self.running.id, timeout=5)

    def done(self):
        status = self.running.status()
        assert (status.state, status.exit_code) == (EXITED, 3), status


class RemoveContainer(WithPod):
    def request(self):
        self.client().RemoveContainer(container_id=self.running.id)

    def done(self):
        assert [c.id for c in self.client().ListContainers().containers] == [self.created.id]
        assert os.listdir(self.node.path("root/containers")) == [self.created.id]


class WithImage(Scenario):
    """A small image of its own, as a layout."""

    name = "tare.test/small:1"

    def prepare(self):
        self.before = self.stored()
        self.layout = self.node.path(self.name.replace("/", "_"))  # it names the image
        if not os.path.exists(self.layout):
            images.pack(
                self.node.build,
                self.layout,
                self.name,
                files=images.busybox_files() + [{"path": "small", "text": "small\n"}],
            )

    def stored(self):
        """Blobs and layers: those of images that are present, and no other."""
        return sorted(
            glob.glob(self.node.path("root/content/blobs/sha256/*"))
            + glob.glob(self.node.path("root/layers/*"))
        )

    def present(self):
        return any(self.name in i.repo_tags for i in self.client().ListImages().images)

    def settled(self):
        names = [n for i in self.client().ListImages().images for n in i.repo_tags]
        assert set(names) <= {images.NAME, self.name}

    def clean(self):
        self.client().RemoveImage(image={"image": self.name})
        assert self.stored() == self.before, "layers or blobs of an image that is not present"


class ImportImage(WithImage):
    committed = "ImportImage.commit.done"

    def request(self):
        self.client().ImportImage(path=self.layout)

    def undone(self, point):
        """After the commit it is present, whatever the answer was."""
        assert self.present() == (point == self.committed)
        self.node.assert_nothing_left()

    def done(self):
        assert self.present()
        pod = self.node.run_pod()
        assert pod.output(["cat", "/small"], image={"image": self.name}) == "small\n"
        pod.remove()


class PullImage(ImportImage):
    """From a registry of our own process."""

    name = "registry.k8s.io/small:1"
    committed = "PullImage.commit.done"

    def prepare(self):
        super().prepare()
        self.server = start_server(self.node, serve_layout(self.layout))

    def request(self):
        self.client().PullImage(image={"image": self.name})

    def clean(self):
        super().clean()
        self.server.close()


class RemoveImage(WithImage):
    def prepare(self):
        super().prepare()
        self.node.load_image(self.layout)
        assert self.present()

    def request(self):
        self.client().RemoveImage(image={"image": self.name})

    def done(self):
        assert not self.present()
        assert not self.client().ImageStatus(image={"image": self.name}).HasField("image")


ALL = {
    kind.__name__: kind
    for kind in (
        RunPodSandbox,
        StopPodSandbox,
        RemovePodSandbox,
        CreateContainer,
        StartContainer,
        StopContainer,
        RemoveContainer,
        ImportImage,
        PullImage,
        RemoveImage,
    )
}

__all__ = ["ALL", "CriError"]
