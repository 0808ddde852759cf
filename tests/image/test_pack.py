# SPDX-License-Identifier: Apache-2.0
"""pack: what it writes can be imported, is the same each time, and says what was asked for."""

import json
import os
import tarfile

import pytest

import layout
import trees
from testbed.images import Layer

NAME = "tare.test/packed:1"


@pytest.fixture
def source(worker):
    """A folder with one of each."""
    folder = worker.path("source")
    os.makedirs(folder + "/bin/sub")
    for name, mode in (("bin/tool", 0o755), ("bin/suid", 0o4755), ("text", 0o644)):
        with open(f"{folder}/{name}", "w", encoding="utf-8") as file:
            file.write(name * 1000)
        os.chmod(f"{folder}/{name}", mode)
    os.link(folder + "/bin/tool", folder + "/bin/zz-same")
    os.symlink("../text", folder + "/bin/link")
    os.mkfifo(folder + "/fifo", 0o600)
    with open(folder + "/naïve-" + "n" * 200, "wb") as file:
        file.write(b"long")
    with open(os.fsencode(folder) + b"/bytes-\xff", "wb") as file:
        file.write(b"no text")
    os.setxattr(folder + "/text", "user.k", b"v")
    os.chown(folder + "/text", 5, 6)
    return folder


def pack(worker, output, **request):
    request = {"output": output, "reference": NAME, **request}
    result = worker.run("pack", request)
    assert result.status == 0, f"{result.error} {result.log}"
    return result.kind("packed")[0]


def documents(folder):
    def blob(descriptor):
        with open(f"{folder}/blobs/sha256/{descriptor['digest'][7:]}", "rb") as file:
            return json.load(file)

    with open(folder + "/index.json", encoding="ascii") as file:
        index = json.load(file)
    manifest = blob(index["manifests"][0])
    return index, manifest, blob(manifest["config"])


def strip(tree, owners):
    """What packing keeps: all but times and (unless asked) owners."""
    kept = {}
    for path, node in tree.items():
        kept[path] = {
            key: value
            for key, value in node.items()
            if key != "mtime" and (owners or key != "owner")
        }
    kept.pop("")
    return kept


@pytest.mark.parametrize("owners", [False, True])
def test_folder_there_and_back(worker, source, owners):
    pack(worker, worker.path("out"), layers=[{"dir": source, "keep_owners": owners}])
    result = worker.do_import(worker.path("out"))
    got, wanted = trees.read_tree(result.roots[0]), trees.read_tree(source)
    assert not trees.difference(strip(got, owners), strip(wanted, owners))
    assert all(node["mtime"] == 0 for node in got.values())
    assert owners or all(node["owner"] == [0, 0] for node in got.values())
    assert result.image["reference"] == NAME


def test_same_input_same_bytes(worker, source):
    layers = [{"dir": source, "prefix": "/opt/x"}, {"files": [{"path": "/etc/a/b", "text": "x"}]}]
    first = pack(worker, worker.path("one"), layers=layers)
    os.utime(source + "/text", (12345, 12345))
    assert (
        pack(worker, worker.path("two"), layers=layers)["manifest_digest"]
        == first["manifest_digest"]
    )
    names = [sorted(os.listdir(worker.path(folder, "blobs/sha256"))) for folder in ("one", "two")]
    assert names[0] == names[1]


def test_source_date(worker):
    files = [{"files": [{"path": "x", "text": "x"}]}]
    result = worker.run(
        "pack",
        {"output": worker.path("out"), "reference": NAME, "layers": files},
        env={"SOURCE_DATE_EPOCH": "1577836800"},
    )
    assert result.status == 0
    assert documents(worker.path("out"))[2]["created"] == "2020-01-01T00:00:00Z"
    assert os.stat(worker.do_import(worker.path("out")).roots[0] + "/x").st_mtime == 1577836800


def test_files_and_configuration(worker):
    config = {
        "Cmd": ["/bin/server"],
        "Env": ["A=b"],
        "User": "1000:5",
        "WorkingDir": "/srv",
        "ExposedPorts": {"80/tcp": {}},
        "Labels": {"k": "v"},
        "StopSignal": "SIGINT",
    }
    files = [
        {"path": "/bin/server", "source": "/bin/true", "mode": "0755"},
        {"path": "bin/sh", "link": "server"},
        {"path": "etc/passwd", "text": "root:x:0:0::/:/bin/sh\n"},
        {"path": "tmp", "directory": True, "mode": "1777"},
        {"path": "bin/as-it-is", "source": "/bin/true"},
    ]
    packed = pack(
        worker,
        worker.path("out"),
        layers=[{"files": files}],
        config=config,
        platform="linux/arm64/v8",
    )
    index, manifest, document = documents(worker.path("out"))
    assert index["manifests"][0]["digest"] == packed["manifest_digest"]
    assert index["manifests"][0]["platform"] == {
        "architecture": "arm64",
        "os": "linux",
        "variant": "v8",
    }
    assert document["config"] == config and document["architecture"] == "arm64"
    assert (
        manifest["layers"][0]["mediaType"].endswith("tar+gzip")
        and document["created"] == "1970-01-01T00:00:00Z"
    )
    result = worker.do_import(worker.path("out"), platform="linux/arm64/v8")
    tree = trees.read_tree(result.roots[0])
    assert tree.keys() == {
        "",
        "bin",
        "bin/server",
        "bin/sh",
        "bin/as-it-is",
        "etc",
        "etc/passwd",
        "tmp",
    }
    assert (tree["tmp"]["mode"], tree["bin/server"]["mode"], tree["etc/passwd"]["mode"]) == (
        0o1777,
        0o755,
        0o644,
    )
    assert tree["bin/as-it-is"]["mode"] == os.stat("/bin/true").st_mode & 0o777
    assert tree["bin/sh"]["target"] == "server"


@pytest.mark.parametrize("compression", ["none", "gzip", "zstd"])
def test_archives_go_in_as_they_are(worker, compression):
    tar = Layer().add("f", data=os.urandom(500000), uid=7).whiteout("gone").bytes()
    with open(worker.path("in.tar"), "wb") as file:
        file.write(layout.compress(tar, compression))
    pack(worker, worker.path("out"), layers=[{"tar": worker.path("in.tar")}])
    assert documents(worker.path("out"))[2]["rootfs"]["diff_ids"] == [layout.sha256(tar)]
    assert worker.do_import(worker.path("out"))


def test_readable_by_other_tools(worker, source):
    pack(worker, worker.path("out"), layers=[{"dir": source}])
    layer = documents(worker.path("out"))[1]["layers"][0]
    with tarfile.open(
        worker.path("out", "blobs/sha256", layer["digest"][7:]), "r:gz", errors="surrogateescape"
    ) as tar:
        names = tar.getnames()
    assert names == sorted(names, key=os.fsencode) and "bin/tool" in names


@pytest.mark.parametrize(
    "request_,word",
    [
        ({"layers": [{}]}, "one of"),
        ({"layers": [{"dir": "/nonexistent"}]}, "nonexistent"),
        ({"layers": [{"files": [{"path": "x"}]}]}, "needs one of"),
        ({"layers": [1]}, "objects"),
        ({"layers": [{"files": [{"path": "../x", "text": ""}]}]}, ".."),
        ({"layers": [], "reference": "A B"}, ""),
        ({"layers": [{"files": [{"path": "x", "text": "", "mode": "9"}]}]}, "octal"),
        ({"layers": [], "platform": "windows/amd64"}, "platform"),
        ({}, "layers"),
    ],
)
def test_mistakes_are_told(worker, request_, word):
    result = worker.run("pack", {"output": worker.path("out"), "reference": NAME, **request_})
    assert result.status == 1 and word in result.error["message"], result.error


def test_an_image_is_not_overwritten(worker):
    pack(worker, worker.path("out"), layers=[])
    result = worker.run("pack", {"output": worker.path("out"), "reference": NAME, "layers": []})
    assert result.status == 1 and result.error["kind"] == "EXISTS"
