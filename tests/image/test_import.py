# SPDX-License-Identifier: Apache-2.0
"""Which image of a layout is taken, what it is called, and what is told about it."""

import json
import os
import subprocess

import pytest

import layout
from testbed.images import Layer

FOREIGN = "s390x"


def layer(text):
    return Layer().add("which", data=text.encode())


def which(result):
    with open(os.path.join(result.roots[-1], "which"), encoding="ascii") as file:
        return file.read()


def platform(arch, variant=None):
    return {"architecture": arch, "os": "linux", **({"variant": variant} if variant else {})}


def test_events_of_one_image(worker):
    one = layout.Layout()
    layers = [layer("lower"), layer("upper")]
    manifest = one.image(layers)
    one.name(manifest)
    result = worker.do_import(one.write(worker.path("layout")))
    diff_ids = [layout.sha256(each.bytes()) for each in layers]
    chain = [diff_ids[0], layout.sha256(f"{diff_ids[0]} {diff_ids[1]}".encode())]
    size = manifest["size"] + one.config["size"] + sum(each["size"] for each in one.layers)
    assert result.image == {
        "event": "image",
        "reference": layout.NAME,
        "manifest_digest": manifest["digest"],
        "target_digest": manifest["digest"],
        "config_digest": one.config["digest"],
        "size": size,
        "chain_ids": chain,
    }
    assert [
        (each["chain_id"], each["diff_id"], each["digest"], each["size"]) for each in result.layers
    ] == [(chain[n], diff_ids[n], one.layers[n]["digest"], one.layers[n]["size"]) for n in range(2)]
    assert all(each["inodes"] == 1 and each["unpacked_bytes"] >= 5 for each in result.layers)
    blobs = {each["digest"]: each["size"] for each in result.kind("blob")}
    assert blobs == {each["digest"]: each["size"] for each in (manifest, one.config)}
    for digest in blobs:
        with open(os.path.join(result.ingest, "blobs", digest[7:]), "rb") as file:
            assert layout.sha256(file.read()) == digest
    done = {each["digest"]: each for each in result.kind("progress")}
    assert all(done[each["digest"]]["done"] == each["size"] for each in one.layers)
    assert result.events[-1] is result.image


def test_platform_of_this_machine_is_chosen(worker):
    one = layout.Layout()
    entries = [
        {**one.image([layer(arch)], arch=arch), "platform": platform(arch)}
        for arch in (FOREIGN, layout.ARCH, "ppc64le")
    ]
    one.name(one.index(entries))
    result = worker.do_import(one.write(worker.path("layout")))
    assert which(result) == layout.ARCH
    assert result.image["target_digest"] != result.image["manifest_digest"] == entries[1]["digest"]
    assert {each["digest"] for each in result.kind("blob")} >= {result.image["target_digest"]}
    assert which(worker.do_import(worker.path("layout"), platform=f"linux/{FOREIGN}")) == FOREIGN


def test_foreign_images_are_refused(worker):
    one = layout.Layout()
    one.name(one.image([layer("x")], arch=FOREIGN))
    error = worker.fail_import(one.write(worker.path("layout")))
    assert (
        error["kind"] == "NOT_FOUND"
        and FOREIGN in error["message"]
        and layout.ARCH in error["message"]
    )
    two = layout.Layout()
    two.name(two.index([{**two.image([layer("x")], arch=FOREIGN), "platform": platform(FOREIGN)}]))
    error = worker.fail_import(two.write(worker.path("layout-2")))
    assert error["kind"] == "NOT_FOUND" and FOREIGN in error["message"]


def test_indexes_within_indexes(worker):
    def nested(depth):
        one = layout.Layout()
        top = one.image([layer("x")])
        for _ in range(depth):
            top = one.index([{**top, "platform": platform(layout.ARCH)}])
        one.name(top)
        return one.write(worker.path(f"layout-{depth}"))

    assert which(worker.do_import(nested(4))) == "x"
    assert worker.fail_import(nested(5))["kind"] == "TOO_LARGE"


def test_names(worker):
    for number, (name, key, wanted) in enumerate(
        [
            ("busybox", "org.opencontainers.image.ref.name", "docker.io/library/busybox:latest"),
            ("localhost:5000/a/b:2", "org.opencontainers.image.ref.name", "localhost:5000/a/b:2"),
            ("quay.io/x/y:3", "io.containerd.image.name", "quay.io/x/y:3"),
        ]
    ):
        one = layout.Layout()
        one.name(one.image([layer("x")]), name, key)
        path = one.write(worker.path(f"layout-{number}"))
        assert worker.do_import(path).image["reference"] == wanted
        assert (
            worker.do_import(path, reference="other:1").image["reference"]
            == "docker.io/library/other:1"
        )


def test_a_name_is_needed(worker):
    one = layout.Layout()
    one.name(one.image([layer("x")]), None)
    path = one.write(worker.path("layout"))
    error = worker.fail_import(path)
    assert error["kind"] == "INVALID" and "reference" in error["message"]
    assert worker.do_import(path, reference="a/b").image["reference"] == "docker.io/a/b:latest"


def test_one_of_several(worker):
    one = layout.Layout()
    one.name(one.image([layer("1")]), "tare.test/a:1")
    one.name(one.image([layer("2")]), "tare.test/a:2")
    one.name(one.image([layer("3")]), "three")
    path = one.write(worker.path("layout"))
    error = worker.fail_import(path)
    assert error["kind"] == "INVALID" and "tare.test/a:2" in error["message"]
    assert which(worker.do_import(path, reference="tare.test/a:2")) == "2"
    assert which(worker.do_import(path, reference="example.com/x:three")) == "3"
    error = worker.fail_import(path, reference="tare.test/a:9")
    assert error["kind"] == "NOT_FOUND" and "tare.test/a:1" in error["message"]


def test_platforms_in_index_json(worker):
    one = layout.Layout()
    for arch in (FOREIGN, layout.ARCH):
        one.name({**one.image([layer(arch)], arch=arch), "platform": platform(arch)})
    result = worker.do_import(one.write(worker.path("layout")))
    assert which(result) == layout.ARCH
    assert result.image["target_digest"] == layout.sha256(one.index_json())


def tar_of(folder, path, *options):
    subprocess.run(["tar", "-C", folder, "-cf", path, *options, "."], check=True)
    return path


def test_layout_in_a_tar(worker):
    folder = layout.simple([layer("tar")], worker.path("layout"))
    assert which(worker.do_import(tar_of(folder, worker.path("a.tar")))) == "tar"
    assert which(worker.do_import(tar_of(folder, worker.path("b.tar"), "--format=posix"))) == "tar"
    error = worker.fail_import(tar_of(folder, worker.path("c.tgz"), "-z"))
    assert error["kind"] == "UNSUPPORTED" and "compressed" in error["message"]
    with open(worker.path("a.tar"), "rb") as file:
        data = file.read()
    for number, cut in enumerate((0, 100, 5000, len(data) // 2)):
        with open(worker.path(f"cut-{number}.tar"), "wb") as file:
            file.write(data[:cut])
        assert worker.fail_import(worker.path(f"cut-{number}.tar"))["kind"] in (
            "CORRUPT",
            "NOT_FOUND",
        )


def docker_archive(folder, layers, tags, links=False):
    """As `docker save` wrote it: one folder a layer, equal ones as links."""
    os.makedirs(folder)
    names, seen = [], {}
    for number, tar in enumerate(layers):
        os.mkdir(f"{folder}/{number}")
        names.append(f"{number}/layer.tar")
        if links and tar in seen:
            os.symlink("../" + seen[tar], f"{folder}/{names[-1]}")
            continue
        seen[tar] = names[-1]
        with open(f"{folder}/{names[-1]}", "wb") as file:
            file.write(tar)
    config = layout.to_json(
        {
            "architecture": layout.ARCH,
            "os": "linux",
            "config": {},
            "rootfs": {"type": "layers", "diff_ids": [layout.sha256(tar) for tar in layers]},
        }
    )
    with open(f"{folder}/config.json", "wb") as file:
        file.write(config)
    with open(f"{folder}/manifest.json", "w", encoding="ascii") as file:
        json.dump([{"Config": "config.json", "RepoTags": tags, "Layers": names}], file)
    return config


def test_docker_archive(worker):
    tars = [layer("lower").bytes(), layer("upper").bytes()]
    config = docker_archive(
        worker.path("saved"),
        [tars[0], tars[1], tars[0], tars[1]],
        ["tare.test/saved:1"],
        links=True,
    )
    for path in (worker.path("saved"), tar_of(worker.path("saved"), worker.path("saved.tar"))):
        result = worker.do_import(path)
        assert which(result) == "upper" and len(result.roots) == 4
        assert result.image["reference"] == "tare.test/saved:1"
        assert result.image["config_digest"] == layout.sha256(config)
    with open(worker.path("saved/1/layer.tar"), "ab") as file:
        file.write(b"more")
    assert worker.fail_import(worker.path("saved"))["kind"] == "CORRUPT"


@pytest.mark.parametrize("name", ["../outside", "/etc/passwd", "0/../../outside"])
def test_docker_archive_stays_in_its_folder(worker, name):
    docker_archive(worker.path("saved"), [layer("x").bytes()], ["a:1"])
    with open(worker.path("outside"), "wb") as file:
        file.write(layer("x").bytes())
    with open(worker.path("saved/manifest.json"), "w", encoding="ascii") as file:
        json.dump([{"Config": "config.json", "RepoTags": ["a:1"], "Layers": [name]}], file)
    assert worker.fail_import(worker.path("saved"))["kind"] in ("INVALID", "NOT_FOUND")


def test_source_links_do_not_lead_out(worker):
    """The fetcher may read below the layout only."""
    folder = layout.simple([layer("x")], worker.path("layout"))
    os.rename(folder + "/index.json", worker.path("index.json"))
    os.symlink(worker.path("index.json"), folder + "/index.json")
    assert worker.fail_import(folder)["kind"] in ("DENIED", "UNAUTHENTICATED")


def test_unreadable_layout_is_explained(worker):
    folder = layout.simple([layer("x")], worker.path("layout"))
    os.chmod(folder + "/index.json", 0o600)
    error = worker.fail_import(folder)
    assert error["kind"] == "DENIED" and "chmod" in error["message"]


def test_layers_that_are_there_are_not_transferred(worker):
    one = layout.Layout()
    one.name(one.image([Layer().directory("d", mode=0o700, uid=3).add("d/x"), Layer().add("d/y")]))
    path = one.write(worker.path("layout"))
    first = worker.do_import(path)
    have = [each["chain_id"] for each in first.layers]
    layers_dir = first.ingest + "/layers"
    again = worker.do_import(path, layers_dir=layers_dir, have=have)
    assert not again.layers and not again.kind("progress") and again.image["chain_ids"] == have
    upper = worker.do_import(path, layers_dir=layers_dir, have=have[:1])
    assert [each["chain_id"] for each in upper.layers] == have[1:]
    st = os.stat(upper.roots[1] + "/d")
    assert (st.st_mode & 0o777, st.st_uid) == (0o700, 3)
    gone = worker.do_import(path, layers_dir=worker.new_ingest(), have=have)
    assert len(gone.layers) == 2


@pytest.mark.parametrize(
    "media,kind",
    [
        ("application/vnd.oci.image.layer.v1.tar+encrypted", "UNSUPPORTED"),
        ("application/wasm", "UNSUPPORTED"),
    ],
)
def test_other_layers(worker, media, kind):
    one = layout.Layout()
    manifest = one.image([layer("x")])
    text = json.loads(one.blobs[manifest["digest"]])
    text["layers"][0]["mediaType"] = media
    one.name(one.put(layout.to_json(text), manifest["mediaType"]))
    error = worker.fail_import(one.write(worker.path("layout")))
    assert error["kind"] == kind and media in error["message"]


def test_artifacts_are_no_images(worker):
    one = layout.Layout()
    manifest = one.image([layer("x")])
    text = json.loads(one.blobs[manifest["digest"]])
    text["config"]["mediaType"] = "application/vnd.cncf.helm.config.v1+json"
    one.name(one.put(layout.to_json(text), manifest["mediaType"]))
    error = worker.fail_import(one.write(worker.path("layout")))
    assert error["kind"] == "UNSUPPORTED" and "helm" in error["message"]


def test_many_layers(worker):
    layers = [
        Layer().add(f"f{number}").add("d/same", data=bytes([number])) for number in range(130)
    ]
    result = worker.do_import(layout.simple(layers, worker.path("layout")))
    assert len(result.roots) == 130
