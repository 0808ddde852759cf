# SPDX-License-Identifier: Apache-2.0
"""Layers that want out, or want too much. A canary outside must stay as it is."""

import io
import os
import tarfile
import time

import pytest

import layout
from test_unpack import item, raw_layer
from testbed.images import Layer


@pytest.fixture
def canary(worker):
    folder = worker.path("canary")
    os.mkdir(folder)
    with open(folder + "/file", "w", encoding="ascii") as file:
        file.write("untouched")
    os.utime(folder, (1, 1))
    yield folder
    assert os.listdir(folder) == ["file"] and os.stat(folder).st_mtime == 1
    assert not os.path.islink(folder + "/file") and os.stat(folder + "/file").st_nlink == 1
    with open(folder + "/file", encoding="ascii") as file:
        assert file.read() == "untouched"


def run(worker, layers):
    """Imports; the outcome does not matter, only what is left outside."""
    path = layout.simple(layers, worker.path(f"layout-{worker.count}"), compression="none")
    return worker.run("import", {"ingest": worker.new_ingest(), "path": path})


@pytest.mark.parametrize("name", ["../x", "a/../../x", "..", "a/..", "/../../x", "./../x"])
@pytest.mark.parametrize("kind", [tarfile.REGTYPE, tarfile.DIRTYPE, tarfile.SYMTYPE])
def test_names_with_dots_are_refused(worker, name, kind):
    path = layout.simple(
        [raw_layer([(item(name, kind, linkname="t"), b"")])], worker.path("layout")
    )
    error = worker.fail_import(path)
    assert error["kind"] == "INVALID" and ".." in error["message"]


def test_links_to_the_host_are_not_followed(worker, canary):
    for target in (canary, os.path.relpath(canary, "/nonexistent/a/b"), "../" * 40 + canary):
        layer = (
            Layer().symlink("link", target).add("link/new", data=b"x").add("link/file", data=b"x")
        )
        layer.directory("link/sub").symlink("link/l", "x").whiteout("link/file").opaque("link")
        layer.hardlink("stolen", "link/file").add("link/sub/deep/x")
        run(worker, [layer])
        run(worker, [Layer().symlink("link", target), layer])


def test_a_folder_that_becomes_a_link(worker, canary):
    layer = (
        Layer()
        .directory("d", mode=0o777)
        .add("d/sub/x")
        .symlink("d", canary)
        .add("d/file", data=b"x")
    )
    run(worker, [layer])
    layer = Layer().directory("d/e").directory("d/e/f", mode=0o700, uid=7)
    layer.symlink("d", canary)  # times and modes of d/e/f are set at the end
    run(worker, [layer])


def test_hard_links_to_the_host(worker, canary):
    for target in (
        canary + "/file",
        "../" * 20 + canary + "/file",
        "etc/passwd",
        "link/file",
        "proc/self/root",
    ):
        layer = (
            Layer()
            .symlink("link", canary)
            .symlink("etc", "/etc")
            .hardlink("x", target)
            .add("x", data=b"x")
        )
        result = run(worker, [layer])
        if target != "link/file":
            assert result.status == 1, target


def test_hard_link_chmods_nothing_outside(worker, canary):
    run(
        worker,
        [Layer().symlink("l", canary + "/file").hardlink("m", "l").add("m", data=b"x", mode=0o777)],
    )


def test_link_loops_end(worker):
    layer = Layer().symlink("a", "b").symlink("b", "a").add("a/x")
    error = worker.fail_import(layout.simple([layer], worker.path("layout")))
    assert error["kind"] == "INVALID" and "symbolic links" in error["message"]


def test_links_that_grow_end(worker):
    layer = Layer()
    for number in range(60):
        layer.symlink(f"l{number}", "/".join([f"l{number + 1}"] * 30))
    layer.add("l0/x")
    assert worker.fail_import(layout.simple([layer], worker.path("layout")))["kind"] in (
        "INVALID",
        "TOO_LARGE",
    )


@pytest.mark.parametrize("name", [".wh.", "d/.wh.", ".wh...", ".wh..", "d/.wh..."])
def test_whiteouts_of_nothing(worker, name):
    error = worker.fail_import(
        layout.simple([Layer().directory("d").add(name)], worker.path("layout"))
    )
    assert error["kind"] == "INVALID"


def test_devices_out_of_range(worker):
    entry = item("dev", tarfile.CHRTYPE, devmajor=5000, devminor=1)
    assert (
        worker.fail_import(layout.simple([raw_layer([(entry, b"")])], worker.path("layout")))[
            "kind"
        ]
        == "INVALID"
    )


@pytest.mark.parametrize(
    "name,kind",
    [
        ("n" * 256, "TOO_LARGE"),
        ("/".join(["d" * 250] * 17), "TOO_LARGE"),
        ("/".join(["d"] * 256), "TOO_LARGE"),
    ],
)
def test_long_names(worker, name, kind):
    assert (
        worker.fail_import(layout.simple([Layer().add(name)], worker.path("layout")))["kind"]
        == kind
    )


def test_entries_that_are_no_file(worker):
    for entry in (
        item("x", tarfile.SYMTYPE, linkname=""),
        item(".", tarfile.REGTYPE),
        item("", tarfile.REGTYPE),
    ):
        result = run(worker, [raw_layer([(entry, b"")], tarfile.GNU_FORMAT)])
        assert result.status == 1 and result.error["kind"] in ("INVALID", "CORRUPT")


def test_too_many_attributes(worker):
    xattrs = {f"user.{number}": "v" for number in range(65)}
    error = worker.fail_import(
        layout.simple([Layer().add("f", xattrs=xattrs)], worker.path("layout"))
    )
    assert error["kind"] == "TOO_LARGE"
    big = {"user.big": "v" * 70000}
    assert (
        worker.fail_import(layout.simple([Layer().add("f", xattrs=big)], worker.path("layout-2")))[
            "kind"
        ]
        == "TOO_LARGE"
    )


def zeros_layer(size):
    """A tar with one file of zeros: header, then content made on the fly by gzip members."""
    entry = item("zeros")
    entry.size = size
    return entry.tobuf(tarfile.GNU_FORMAT)


def test_zip_bomb_is_stopped(worker):
    """60 GiB of zeros in zstd: some kilobytes for each GiB."""
    import subprocess

    path = worker.path("bomb.zst")
    header = zeros_layer(60 << 30)
    chunk = subprocess.run(
        ["zstd", "-q", "-c", "-1"], input=bytes(64 << 20), stdout=subprocess.PIPE, check=True
    ).stdout
    head = subprocess.run(
        ["zstd", "-q", "-c"], input=header, stdout=subprocess.PIPE, check=True
    ).stdout
    packed = head + chunk * 960
    one = layout.Layout()
    one.name(one.image([b""], compression="zstd", packed=[packed], diff_ids=["sha256:" + "0" * 64]))
    start = time.monotonic()
    error = worker.fail_import(one.write(path))
    assert error["kind"] == "TOO_LARGE" and "bomb" in error["message"]
    assert time.monotonic() - start < 60


def test_limit_of_the_request(worker):
    path = layout.simple(
        [Layer().add("a", data=bytes(300000)), Layer().add("b", data=bytes(800000))],
        worker.path("layout"),
    )
    worker.do_import(path, max_unpacked_bytes=2 << 20)
    assert worker.fail_import(path, max_unpacked_bytes=1 << 20)["kind"] == "TOO_LARGE"
    assert worker.fail_import(path, max_unpacked_bytes=1000)["kind"] == "TOO_LARGE"


def many_entries(count, name):
    buffer = io.BytesIO()
    header = item("x").tobuf(tarfile.USTAR_FORMAT)
    for number in range(count):
        entry = item(name(number), mode=0o644)
        buffer.write(entry.tobuf(tarfile.USTAR_FORMAT))
    assert len(header) == 512
    buffer.write(bytes(1024))
    return buffer.getvalue()


@pytest.mark.parametrize(
    "count,name",
    [
        (10000, lambda n: f"one/f{n}"),
        (4000, lambda n: "same"),
        (10000, lambda n: f"d/.wh.{n}"),
        (10000, lambda n: f"{'a/' * 70 if n % 2 else 'b/' * 70}f{n}"),
    ],
    ids=["one folder", "one name", "whiteouts", "two deep folders"],
)
def test_time_is_linear_in_entries(worker, count, name):
    """So many entries, and twice as many: twice the time, with room for a busy machine."""
    lower = Layer().add("d/x")

    def cpu(entries):
        path = layout.simple(
            [lower, many_entries(entries, name)],
            worker.path(f"layout-{worker.count}"),
            compression="none",
        )
        best = None
        for _ in range(2):
            process = worker.start("import", {"ingest": worker.new_ingest(), "path": path})
            process.stdout.read()
            _, status, usage = os.wait4(process.pid, 0)
            process.returncode = os.waitstatus_to_exitcode(status)
            assert process.returncode == 0
            best = min(best or usage.ru_utime, usage.ru_utime)
        return best

    first, second = cpu(count), cpu(2 * count)
    assert second < 3.2 * first + 0.1, f"{first:.2f} s, then {second:.2f} s"
