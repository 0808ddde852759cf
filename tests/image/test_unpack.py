# SPDX-License-Identifier: Apache-2.0
"""Layers to trees: the merged result is compared, entry by entry, with a model of the spec."""

import io
import os
import random
import stat
import tarfile

import pytest

import layout
import trees
from testbed.images import MTIME, Layer

# struct vfs_cap_data, version 2, effective, permitted = CAP_NET_BIND_SERVICE
CAPABILITY = "\1\0\0\2" "\0\4\0\0" + 12 * "\0"
XATTR = "SCHILY.xattr."


def archive(layer):
    return tarfile.open(fileobj=io.BytesIO(layout.as_tar(layer)), errors="surrogateescape")


def check(worker, layers, **options):
    """Imports the layers and compares; returns the result of the import."""
    path = layout.simple(layers, worker.path(f"layout-{worker.count}"), **options)
    result = worker.do_import(path)
    wanted = trees.expected([archive(layer) for layer in layers])
    problems = trees.difference(trees.merged(result.roots), wanted)
    assert not problems, "\n".join(problems)
    return result


def raw_layer(entries, form=tarfile.PAX_FORMAT):
    """Entries (TarInfo, data) in another format than Layer's."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=form, errors="surrogateescape") as tar:
        for entry, data in entries:
            entry.size = len(data)
            tar.addfile(entry, io.BytesIO(data))
    return buffer.getvalue()


def item(name, kind=tarfile.REGTYPE, **fields):
    entry = tarfile.TarInfo(name)
    entry.type, entry.mtime, entry.mode = kind, MTIME, 0o755 if kind == tarfile.DIRTYPE else 0o644
    for field, value in fields.items():
        setattr(entry, field, value)
    return entry


@pytest.mark.parametrize("compression", ["gzip", "zstd", "none"])
def test_everything(worker, compression):
    lower = Layer()
    lower.directory("keep").add("keep/file", data=b"kept\n")
    lower.directory("gone").add("gone/file", data=b"hidden\n")
    lower.directory("opaque", mode=0o750).add("opaque/old", data=b"hidden\n")
    lower.add("replaced", data=b"old\n").directory("was-directory").add("was-directory/x")
    lower.add("was-file").directory("modes").add("modes/setuid", mode=0o4755)
    lower.add("modes/setgid", mode=0o2755, gid=7).add("modes/sticky", mode=0o1644).add(
        "modes/none", mode=0
    )
    lower.directory("modes/tmp", mode=0o1777).directory("modes/group", mode=0o2775, gid=50)
    lower.add("modes/group/file", gid=0).directory("modes/group/sub")
    lower.add("modes/owned", uid=1234, gid=4321).add("modes/xattr", xattrs={"user.test": "value"})
    lower.add("modes/capability", mode=0o755, data=b"x", xattrs={"security.capability": CAPABILITY})
    lower.directory("modes/d", uid=5, xattrs={"user.d": "v"})
    lower.directory("nodes").add("nodes/fifo", tarfile.FIFOTYPE, mode=0o600, uid=3)
    lower.add("nodes/null", tarfile.CHRTYPE, mode=0o666, device=(1, 3))
    lower.add("nodes/disk", tarfile.BLKTYPE, mode=0o660, gid=6, device=(259, 1048575))
    lower.symlink("link-absolute", "/keep/file").symlink("link-up", "../../keep/file").symlink(
        "dangling", "x" * 4000
    )
    lower.directory("long").add("long/" + "n" * 255, data=b"long name\n")
    lower.add("/".join(["d" * 200] * 15) + "/deep", data=b"long path\n")
    lower.add("naïve-ütf8/漢字", data=b"utf-8 name\n")
    upper = Layer().whiteout("gone").directory("opaque", mode=0o711).opaque("opaque")
    upper.add("opaque/new", data=b"new\n").add("replaced", data=b"new\n")
    upper.add("was-directory", data=b"now a file\n").directory("was-file").add("was-file/now")
    upper.add("first", data=b"linked\n", mode=0o755).hardlink("second", "first").hardlink(
        "keep/third", "first"
    )
    check(worker, [lower, upper], compression=compression)


def test_implied_parents_look_as_below(worker):
    lower = Layer().directory("a", mode=0o700, uid=11, gid=12).directory("a/b", mode=0o1777, uid=13)
    check(worker, [lower, Layer().add("a/b/c/file")])


def test_implied_parents_below_a_whiteout_start_anew(worker):
    lower = (
        Layer()
        .directory("a", mode=0o700, uid=11)
        .directory("a/b", mode=0o700, uid=13)
        .add("a/b/old")
    )
    check(worker, [lower, Layer().whiteout("a"), Layer().add("a/b/new")])


def test_root_entry_and_its_absence(worker):
    lower = Layer().add("./", tarfile.DIRTYPE, mode=0o751, uid=9)
    result = check(worker, [lower, Layer().add("x")])
    assert stat.S_IMODE(os.lstat(result.roots[1]).st_mode) == 0o751


def test_last_entry_of_a_name_wins(worker):
    layer = Layer().add("f", data=b"one", mode=0o600, uid=5).add("f", data=b"two, longer")
    layer.directory("d", mode=0o700, uid=4).add("d/in").directory("d", mode=0o755)
    layer.directory("e").add("e/x/y/z").add("e", data=b"file now")
    layer.add("g").directory("g").add("g/in")
    layer.symlink("l", "target").add("l", data=b"no link").add("m").symlink("m", "/target")
    layer.add("n", data=b"n").hardlink("o", "n").add("n", data=b"another").hardlink("n", "n")
    layer.add("p/q/r").add("p", tarfile.FIFOTYPE).directory("p")
    check(worker, [layer])


def test_hard_links_to_layers_below(worker):
    lower = Layer().directory("a", mode=0o750, gid=3)
    lower.add("a/file", data=b"below\n", mode=0o4755, uid=6, xattrs={"user.k": "v"})
    lower.symlink("a/link", "file").add("a/fifo", tarfile.FIFOTYPE, mode=0o640)
    middle = Layer().directory("b").add("b/x")
    upper = (
        Layer()
        .hardlink("one", "a/file")
        .hardlink("b/two", "a/file")
        .hardlink("l", "a/link")
        .hardlink("p", "a/fifo")
    )
    check(worker, [lower, middle, upper])


def test_hard_link_to_what_is_hidden_is_refused(worker):
    layers = [Layer().add("a/file"), Layer().whiteout("a"), Layer().hardlink("b", "a/file")]
    error = worker.fail_import(layout.simple(layers, worker.path("layout")))
    assert error["kind"] == "NOT_FOUND" and "a/file" in error["message"]


def test_whiteouts_hide_only_what_is_below(worker):
    lower = Layer().add("a/old").add("b", data=b"old").add("c/old").add("d/old")
    upper = Layer().add("a/new").whiteout("a").add("b", data=b"new").whiteout("b")
    upper.whiteout("c").add("c/new").whiteout("d").directory("d", mode=0o700).whiteout(
        "not/there"
    ).whiteout("nor-this")
    check(worker, [lower, upper])


def test_opaque_root_and_opaque_before_its_folder(worker):
    lower = Layer().add("a/old").add("b").directory("c").add("c/old").add("d/old")
    check(worker, [lower, Layer().opaque("c").add("c/new").opaque("d").directory("d", mode=0o700)])
    check(worker, [lower, Layer().opaque("").add("new").add("a/new")])
    check(worker, [lower, Layer().opaque("nowhere")])


def test_union_notes_are_skipped(worker):
    layer = Layer().add(".wh..wh.aufs").add(".wh..wh.plnk/1.2").add("d/.wh..wh.orph").add("kept")
    result = worker.do_import(layout.simple([layer], worker.path("layout")))
    assert sorted(os.listdir(result.roots[0])) == ["kept"]


def test_attributes_of_the_host_are_dropped(worker):
    dropped = [
        "trusted.overlay.opaque",
        "trusted.x",
        "user.overlay.opaque",
        "user.overlay.redirect",
        "security.selinux",
        "security.ima",
        "system.posix_acl_access",
    ]
    layer = Layer().add("f", xattrs={**{name: "y" for name in dropped}, "user.kept": "y"})
    layer.directory("d", xattrs={name: "y" for name in dropped})
    result = check(worker, [layer])
    assert os.listxattr(result.roots[0] + "/d") == []


def test_paths_are_taken_below_the_root(worker):
    entries = [
        (item("/etc/absolute"), b"1"),
        (item("./dot/./x"), b"2"),
        (item("double//slash"), b"3"),
    ]
    result = worker.do_import(layout.simple([raw_layer(entries)], worker.path("layout")))
    assert {"etc/absolute", "dot/x", "double/slash"} <= trees.read_tree(result.roots[0]).keys()


def test_parents_that_are_links_stay_within_the_layer(worker):
    layer = Layer().directory("usr/lib").symlink("lib", "usr/lib").add("lib/x", data=b"x")
    layer.symlink("abs", "/usr").add("abs/lib/y").symlink("up", "../../../../usr/lib").add("up/z")
    layer.symlink("far", "/not/yet/there").add("far/w").symlink("hop", "lib").add("hop/v").hardlink(
        "hop/u", "lib/x"
    )
    result = worker.do_import(layout.simple([layer], worker.path("layout")))
    assert sorted(os.listdir(result.roots[0] + "/usr/lib")) == ["u", "v", "x", "y", "z"]
    assert os.listdir(result.roots[0] + "/not/yet/there") == ["w"]
    assert os.readlink(result.roots[0] + "/lib") == "usr/lib"


@pytest.mark.parametrize("form", [tarfile.USTAR_FORMAT, tarfile.GNU_FORMAT, tarfile.PAX_FORMAT])
def test_formats(worker, form):
    long = "" if form == tarfile.USTAR_FORMAT else "n" * 120 + "/"
    entries = [
        (item("d/", tarfile.DIRTYPE), b""),
        (item(f"d/{long}file", uid=7, gid=8), b"content" * 1000),
        (item("link", tarfile.SYMTYPE, linkname="d/" + "t" * (90 if not long else 200)), b""),
        (item("hard", tarfile.LNKTYPE, linkname=f"d/{long}file"), b""),
        (item(b"not-utf8-\xff\xfe".decode("utf-8", "surrogateescape")), b"bytes"),
        (item("ütf8"), b"text"),
    ]
    if form != tarfile.USTAR_FORMAT:
        entries.append((item("big-uid", uid=3000000, gid=4000000000), b""))
    check(worker, [raw_layer(entries, form)])


def test_times(worker):
    entries = [
        (item("ns", pax_headers={"mtime": "1577836800.123456789"}), b""),
        (item("old", mtime=-5), b""),
        (item("new", mtime=2**33), b""),
        (item("d", tarfile.DIRTYPE, mtime=1), b""),
        (item("d/x"), b""),
    ]
    result = worker.do_import(layout.simple([raw_layer(entries)], worker.path("layout")))
    times = {path: node["mtime"] for path, node in trees.read_tree(result.roots[0]).items()}
    assert times["ns"] == 1577836800123456789
    assert (times["old"], times["new"], times["d"]) == (-5 * 10**9, 2**33 * 10**9, 10**9)


def test_sparse_files(worker):
    """As GNU tar writes them, in its own format and in pax."""
    source = worker.path("sparse")
    with open(source, "wb") as file:
        for offset, text in ((0, b"start"), (1 << 20, b"middle" * 1000), (50 << 20, b"end")):
            file.seek(offset)
            file.write(text)
        file.truncate(60 << 20)
    for form in ("gnu", "posix"):
        tar = worker.path(f"{form}.tar")
        assert (
            os.spawnlp(
                os.P_WAIT,
                "tar",
                "tar",
                "-S",
                f"--format={form}",
                "-C",
                worker.folder,
                "-cf",
                tar,
                "sparse",
            )
            == 0
        )
        with open(tar, "rb") as file:
            data = file.read()
        result = worker.do_import(
            layout.simple([data], worker.path(f"layout-{form}"), compression="none")
        )
        made = os.path.join(result.roots[0], "sparse")
        with open(made, "rb") as got, open(source, "rb") as wanted:
            assert got.read() == wanted.read()
        assert os.stat(made).st_blocks * 512 < 1 << 20


def test_empty_layers(worker):
    for number, data in enumerate((b"", bytes(1024), bytes(10240))):
        result = worker.do_import(
            layout.simple(
                [data, Layer().add("x")], worker.path(f"layout-{number}"), compression="none"
            )
        )
        assert os.listdir(result.roots[0]) == []


def test_gzip_members_and_padding(worker):
    tar = layout.as_tar(Layer().add("a", data=os.urandom(300000)).add("b", data=b"b" * 1000000))
    parts = [layout.compress(tar[at : at + 100001], "gzip") for at in range(0, len(tar), 100001)]
    check_packed(worker, tar, b"".join(parts), "gzip")
    check_packed(worker, tar, b"".join(parts) + bytes(512), "gzip")
    check_packed(
        worker,
        tar,
        b"".join(
            layout.compress(tar[at : at + 100001], "zstd") for at in range(0, len(tar), 100001)
        ),
        "zstd",
    )


def check_packed(worker, tar, packed, compression):
    path = worker.path(f"layout-packed-{worker.count}")
    result = worker.do_import(layout.simple([tar], path, compression=compression, packed=[packed]))
    wanted = trees.expected([archive(tar)])
    assert not trees.difference(trees.merged(result.roots), wanted)


def test_media_types_lie(worker):
    tar = layout.as_tar(Layer().add("x", data=b"x"))
    check_packed(worker, tar, tar, "gzip")
    check_packed(worker, tar, layout.compress(tar, "gzip"), "zstd")


def random_layer(chance):
    """Folders, files, links and whiteouts over few names, so that they meet."""
    layer, folders, files = Layer(), [], []

    def name():
        return "/".join(chance.choice("abc") for _ in range(chance.randint(1, 3)))

    def blocked(path):
        return any(parent in files for parent in trees.parents(path))

    for _ in range(chance.randint(1, 12)):
        path, kind = name(), chance.randrange(8)
        if blocked(path):
            continue
        if kind < 3:
            layer.directory(
                path, mode=chance.choice([0o700, 0o755, 0o1777]), uid=chance.randrange(3)
            )
            folders.append(path)
            files = [file for file in files if file != path]
        elif kind < 6:
            layer.add(
                path,
                data=bytes([chance.randrange(256)]) * chance.randrange(10),
                uid=chance.randrange(3),
            )
            files = [file for file in files if not file.startswith(path + "/")] + [path]
        elif kind == 6:
            layer.whiteout(path)
        elif path not in files:
            layer.opaque(path)
    return layer


@pytest.mark.parametrize("seed", range(200 if os.environ.get("TARE_FULL") else 24))
def test_random_layers(worker, seed):
    chance = random.Random(seed)
    check(worker, [random_layer(chance) for _ in range(chance.randint(2, 5))], compression="none")
