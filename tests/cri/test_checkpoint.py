# SPDX-License-Identifier: Apache-2.0
"""CheckpointContainer where criu cannot do it, or must not: clear errors, and nothing left.

Where criu knows the kernel (tests/vm) the archive itself is tested."""

import os
import shutil

import pytest

from support.cri import Code, CriError

REFUSED = (Code.FAILED_PRECONDITION, Code.UNIMPLEMENTED)


def refused(node, container, code, *texts, **more):
    request = {"location": node.path("checkpoint.tar"), "timeout": 60, **more}
    with pytest.raises(CriError) as error:
        node.client.CheckpointContainer(container_id=container.id, **request)
    said = error.value.details()
    assert error.value.code() in (code if isinstance(code, tuple) else (code,)), said
    for text in texts:
        assert text in said, said
    assert "\n" not in said
    assert not [name for name in os.listdir(node.folder) if name.startswith("checkpoint.tar")]


def test_requests(node, pod):
    container = pod.run()
    refused(node, container, Code.INVALID_ARGUMENT, "absolute", location="here.tar")
    refused(node, container, Code.INVALID_ARGUMENT, "absolute", location="")
    refused(node, container, Code.INVALID_ARGUMENT, "timeout -1", timeout=-1)
    with pytest.raises(CriError) as error:
        node.client.CheckpointContainer(container_id="none", location="/x")
    assert error.value.code() == Code.NOT_FOUND
    ended = pod.run(["true"])
    ended.wait()
    refused(node, ended, Code.FAILED_PRECONDITION, "does not run")


def can_checkpoint():
    """Whether this machine's criu knows its kernel: it looks at itself first."""
    return shutil.which("criu") and os.system("criu check >/dev/null 2>&1") == 0


@pytest.mark.skipif("can_checkpoint()", reason="criu works here")
def test_criu_cannot(node, pod):
    """The error has the versions of criu and the kernel, and criu's own words; the container goes
    on."""
    container = pod.run(["sh", "-c", "while :; do echo on; sleep 0.1; done"])
    refused(node, container, REFUSED, "criu")
    if shutil.which("criu"):
        refused(node, container, Code.FAILED_PRECONDITION, "criu 3.", os.uname().release, "criu: ")
    said = node.crictl("checkpoint", f"--export={node.path('checkpoint.tar')}", container.id,
                       ok=False).err
    assert "criu" in said and not os.path.exists(node.path("checkpoint.tar"))
    left = node.path("root/containers", container.id, "checkpoint")
    assert set(os.listdir(left)) <= {"config.dump", "spec.dump", "dump.log"} \
        if os.path.exists(left) else True
    count = len(container.log())
    while len(container.log()) <= count:
        pass
    assert container.exec("true").exit_code == 0
    container.remove()
    assert not os.path.exists(left)


def test_user_namespace(node):
    maps = [{"container_id": 0, "host_id": 300000, "length": 65536}]
    pod = node.run_pod(linux={"security_context": {"namespace_options": {
        "userns_options": {"mode": 0, "uids": maps, "gids": maps}}}})
    refused(node, pod.run(), REFUSED, "criu")
