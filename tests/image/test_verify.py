# SPDX-License-Identifier: Apache-2.0
"""Nothing is told, and nothing stays, whose bytes are not the right ones."""

import gzip
import json
import os

import pytest

import layout
from testbed.images import Layer


@pytest.fixture
def made():
    one = layout.Layout()
    one.name(
        one.image(
            [Layer().add("lower", data=b"1" * 5000), Layer().add("upper", data=os.urandom(300000))]
        )
    )
    return one


def replace(one, descriptor, data):
    """Other bytes under the same digest."""
    one.blobs[descriptor["digest"]] = data


def flipped(data, at):
    return data[:at] + bytes([data[at] ^ 0x40]) + data[at + 1 :]


def check(worker, one, kind, *words, **more):
    error = worker.fail_import(one.write(worker.path(f"layout-{worker.count}")), **more)
    assert error["kind"] == kind, error
    for word in words:
        assert word in error["message"], error
    return error


@pytest.mark.parametrize("where", [0.01, 0.5, 0.999])
def test_changed_layer_names_both_digests(worker, made, where):
    wanted = made.layers[1]
    data = made.blobs[wanted["digest"]]
    bad = flipped(data, int(len(data) * where))
    replace(made, wanted, bad)
    check(worker, made, "CORRUPT", wanted["digest"], layout.sha256(bad))


@pytest.mark.parametrize("compression", ["gzip", "zstd", "none"])
@pytest.mark.parametrize("length", [0, 1, 3, 100, 0.5, -1])
def test_truncated_layer(worker, compression, length):
    one = layout.Layout()
    one.name(one.image([Layer().add("f", data=os.urandom(100000))], compression=compression))
    data = one.blobs[one.layers[0]["digest"]]
    replace(
        one, one.layers[0], data[: int(len(data) * length) if isinstance(length, float) else length]
    )
    check(worker, one, "CORRUPT", one.layers[0]["digest"])


@pytest.mark.parametrize("compression", ["gzip", "zstd"])
def test_truncated_stream_of_the_right_digest(worker, compression):
    tar = layout.as_tar(Layer().add("f", data=os.urandom(100000)))
    for packed in (
        layout.compress(tar, compression)[:-1],
        layout.compress(tar, compression)[:5000],
    ):
        one = layout.Layout()
        one.name(one.image([tar], compression=compression, packed=[packed]))
        check(worker, one, "CORRUPT", compression, "ends early")


def test_damaged_stream_of_the_right_digest(worker):
    tar = layout.as_tar(Layer().add("f", data=os.urandom(100000)))
    packed = gzip.compress(tar, mtime=0)
    for bad, words in (
        (flipped(packed, len(packed) - 6), "checksum"),
        (packed + b"garbage", "after the end"),
        (packed[:50000] + bytes(3000), "gzip"),
    ):
        one = layout.Layout()
        one.name(one.image([tar], packed=[bad]))
        check(worker, one, "CORRUPT", words)


def test_wrong_diff_id_names_both(worker):
    layers = [Layer().add("a"), Layer().add("b")]
    wrong = "sha256:" + "12" * 32
    one = layout.Layout()
    one.name(one.image(layers, diff_ids=[layout.sha256(layers[0].bytes()), wrong]))
    error = check(worker, one, "CORRUPT", wrong, layout.sha256(layers[1].bytes()))
    assert one.layers[1]["digest"] in error["message"]


def test_bytes_after_the_archive_count(worker):
    tar = layout.as_tar(Layer().add("a"))
    one = layout.Layout()
    one.name(one.image([tar], packed=[gzip.compress(tar + b"x" * 100000)]))
    check(worker, one, "CORRUPT", layout.sha256(tar))


def test_wrong_size(worker, made):
    manifest = made.entries[0]
    text = json.loads(made.blobs[manifest["digest"]])
    text["layers"][0]["size"] += 1
    one = layout.Layout()
    one.blobs = made.blobs
    one.name(one.put(layout.to_json(text), manifest["mediaType"]))
    check(worker, one, "CORRUPT", "bytes")


@pytest.mark.parametrize("which", ["manifest", "config"])
def test_changed_documents(worker, made, which):
    descriptor = made.entries[0] if which == "manifest" else made.config
    replace(made, descriptor, made.blobs[descriptor["digest"]].replace(b'"', b"'"))
    check(worker, made, "CORRUPT", descriptor["digest"])


def test_missing_layer(worker, made):
    del made.blobs[made.layers[1]["digest"]]
    check(worker, made, "NOT_FOUND", made.layers[1]["digest"][7:])


def test_garbage_in_place_of_an_archive(worker):
    one = layout.Layout()
    one.name(one.image([os.urandom(100000)], compression="none"))
    check(worker, one, "CORRUPT", "tar")


@pytest.mark.parametrize(
    "text",
    [
        b"",
        b"{",
        b"[]",
        b"{}",
        b'{"manifests":1}',
        b'{"manifests":[]}',
        b"\xff\xfe",
        b'{"schemaVersion":2,"manifests":[{"digest":"sha256:../../../etc/passwd"}]}',
    ],
)
def test_bad_index(worker, text):
    folder = worker.path("layout")
    os.makedirs(folder + "/blobs/sha256")
    with open(folder + "/index.json", "wb") as file:
        file.write(text)
    assert worker.fail_import(folder, reference="x")["kind"] in ("INVALID", "CORRUPT", "NOT_FOUND")


def test_duplicate_keys_are_refused(worker, made):
    """Two readers of such a manifest may see two images."""
    manifest = made.entries[0]
    text = made.blobs[manifest["digest"]]
    one = layout.Layout()
    one.blobs = made.blobs
    twice = text[:-1] + b', "layers": []}'
    one.name(one.put(twice, manifest["mediaType"]))
    check(worker, one, "INVALID", "layers")


def test_more_layers_than_diff_ids(worker):
    one = layout.Layout()
    one.name(one.image([Layer().add("a"), Layer().add("b")], diff_ids=[layout.sha256(b"")]))
    check(worker, one, "CORRUPT", "2 layers", "names 1")


def test_finished_layers_are_told_after_a_failure(worker, made):
    replace(made, made.layers[1], b"bad")
    request = {"ingest": worker.new_ingest(), "path": made.write(worker.path("layout"))}
    result = worker.run("import", request)
    assert result.status == 1 and [layer["digest"] for layer in result.layers] == [
        made.layers[0]["digest"]
    ]
    assert result.events[-1]["event"] == "error"
    assert os.path.exists(f"{request['ingest']}/layers/{result.layers[0]['chain_id'][7:]}/fs/lower")
