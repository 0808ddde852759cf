# SPDX-License-Identifier: Apache-2.0
"""Each verb of the real crictl against tared."""

import re
import time

from support import images
from support.node import wait_until

ID = re.compile(r"[0-9a-f]{64}")


def test_version(node):
    out = node.crictl("version").out
    assert re.search(r"^RuntimeName: +tare$", out, re.M)
    assert re.search(r"^RuntimeApiVersion: +v1$", out, re.M)


def test_info(node):
    info = node.crictl("info").json
    conditions = {c["type"]: c["status"] for c in info["status"]["conditions"]}
    assert conditions["RuntimeReady"] and conditions["NetworkReady"]
    assert "" in [h["name"] if "name" in h else "" for h in info["runtimeHandlers"]]
    assert info["config"]["stateDir"] == node.path("state")
    assert info["config"]["rootDir"] == node.path("root")


def test_images(node):
    listed = node.crictl("images", "-o", "json").json["images"]
    assert [i["repoTags"] for i in listed] == [[images.NAME]]
    assert re.fullmatch(r"sha256:[0-9a-f]{64}", listed[0]["id"])
    assert int(listed[0]["size"]) > 0
    quiet = node.crictl("images", "-q").text
    assert quiet == listed[0]["id"]
    assert re.search(r"tare.test/busybox +1 +[0-9a-f]{13} ", node.crictl("images").out)


def test_inspecti(node):
    status = node.crictl("inspecti", images.NAME).json
    assert status["status"]["repoTags"] == [images.NAME]
    assert status["info"]["imageSpec"]["config"]["Env"] == ["PATH=/bin", "FROM_IMAGE=yes"]
    by_id = node.crictl("inspecti", status["status"]["id"]).json
    assert by_id["status"]["id"] == status["status"]["id"]


def test_imagefsinfo(node):
    status = node.crictl("imagefsinfo", "-o", "json").json["status"]
    image = status["imageFilesystems"][0]
    assert image["fsId"]["mountpoint"].startswith(node.path("root"))
    assert int(image["usedBytes"]["value"]) > 1000000
    assert int(image["inodesUsed"]["value"]) > 10
    assert int(image["timestamp"]) > 0


def test_life_of_a_pod(node):
    pod_config, config = node.pod_config(), node.container_config(
        [
            "sh",
            "-c",
            "echo to-out; echo to-err >&2; trap 'exit 7' TERM; while :; do sleep 0.05; done",
        ]
    )
    pod_file, file = node.request_file(pod_config), node.request_file(config)
    pod = node.crictl("runp", pod_file).text
    assert ID.fullmatch(pod)
    container = node.crictl("create", "--no-pull", pod, file, pod_file).text
    assert ID.fullmatch(container)
    assert node.crictl("ps", "-a", "-q", "--state", "Created").text == container
    assert node.crictl("start", container).text == container

    assert node.crictl("pods", "-q").text == pod
    pods = node.crictl("pods", "-o", "json").json["items"]
    assert pods[0]["state"] == "SANDBOX_READY"
    assert pods[0]["metadata"]["name"] == pod_config["metadata"]["name"]
    assert re.search(r"Running +ctr[0-9]+ ", node.crictl("ps").out)
    shown = node.crictl("ps", "-o", "json").json["containers"]
    assert [c["id"] for c in shown] == [container]
    assert shown[0]["podSandboxId"] == pod

    wait_until(lambda: node.crictl("logs", container).out == "to-out\n", what="the log")
    assert node.crictl("logs", container).err == "to-err\n"
    inspected = node.crictl("inspect", container).json
    assert inspected["status"]["state"] == "CONTAINER_RUNNING"
    assert inspected["info"]["runtimeSpec"]["process"]["args"] == config["command"]
    assert inspected["info"]["pid"] > 1
    pod_status = node.crictl("inspectp", pod).json
    assert pod_status["status"]["state"] == "SANDBOX_READY"
    assert re.fullmatch(r"10\.88\.[0-9]+\.[0-9]+", pod_status["status"]["network"]["ip"])
    wait_until(lambda: container[:13] in node.crictl("stats").out, what="stats")

    assert node.crictl("stop", "--timeout", "5", container).text == container
    status = node.crictl("inspect", container).json["status"]
    assert (status["state"], status["exitCode"], status["reason"]) == (
        "CONTAINER_EXITED",
        7,
        "Error",
    )
    assert node.crictl("ps", "-q").text == ""
    assert node.crictl("rm", container).text == container
    assert node.crictl("ps", "-a", "-q").text == ""
    assert "Stopped" in node.crictl("stopp", pod).out
    assert node.crictl("pods", "-q", "--state", "NotReady").text == pod
    assert "Removed" in node.crictl("rmp", pod).out
    assert node.crictl("pods", "-q").text == ""


def test_exec(node, pod):
    container = pod.run()
    done = node.crictl(
        "exec", "-s", container.id, "sh", "-c", "echo out; echo err >&2; exit 3", ok=False
    )
    assert "exited with 3: err" in done.err
    done = node.crictl("exec", "-s", container.id, "sh", "-c", "echo out; echo err >&2")
    assert done.out.split() == ["out", "err"]


def test_exec_timeout(node, pod):
    container = pod.run()
    begin = time.monotonic()
    done = node.crictl("exec", "-s", "--timeout", "1", container.id, "sleep", "4321", ok=False)
    assert "DeadlineExceeded" in done.err or "timeout" in done.err.lower()
    assert time.monotonic() - begin < 5
    assert "4321" not in container.exec("ps").stdout.decode()


def test_stats(node, pod):
    container = pod.run(["sh", "-c", "while :; do :; done"])

    def stats():
        listed = node.crictl("stats", "-o", "json", container.id).json["stats"]
        return listed and listed[0].get("memory") and listed[0]

    found = wait_until(stats, what="a sample")
    assert found["attributes"]["id"] == container.id
    assert int(found["cpu"]["usageCoreNanoSeconds"]["value"]) > 0
    assert int(found["memory"]["workingSetBytes"]["value"]) > 0
    container.stop()


def test_rmi(node, layout, build, tmp_path):
    other = str(tmp_path / "layout")
    images.pack(build, other, "tare.test/other:2", files=[{"path": "a", "text": "a"}])
    node.load_image(other, "tare.test/other:2")
    assert "tare.test/other" in node.crictl("images").out
    assert "Deleted: tare.test/other:2" in node.crictl("rmi", "tare.test/other:2").out
    assert "tare.test/other" not in node.crictl("images").out


def test_logs_tail_and_since(node, pod):
    container = pod.run(["sh", "-c", "for i in 1 2 3 4 5; do echo line $i; done"])
    container.wait()
    assert node.crictl("logs", "--tail", "2", container.id).out == "line 4\nline 5\n"
    stamped = node.crictl("logs", "--timestamps", container.id).out
    assert re.fullmatch(r"(20[0-9-]+T[0-9:.]+(Z|[+-][0-9:]+) line [1-5]\n){5}", stamped)
