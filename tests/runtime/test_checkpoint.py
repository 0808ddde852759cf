# SPDX-License-Identifier: Apache-2.0
"""checkpoint and restore as far as criu is not needed: a program that speaks its protocol stands in
for it. With criu itself: tests/vm/test_checkpoint.py."""
import json
import os
import pathlib
import sys

import pytest

VERSION, DUMP, RESTORE = 10, 1, 2
STANDIN = """#!{python}
import os, socket
conversation = {conversation!r}
s = socket.socket(fileno=3)
while True:
    request = s.recv(65536)
    if not request:
        break
    open({requests!r}, "ab").write(request)
    answer = conversation.get(request[1])
    if answer is None:
        break
    log, data = answer
    if log:
        open({log!r}, "w").write(log)
    s.send(data)
"""


def response(kind, success, more=b""):
    return bytes([0x08, kind, 0x10, success]) + more


def version(major, minor):
    return response(VERSION, 1, bytes([0x52, 4, 0x08, major, 0x10, minor]))


class Criu:
    """A folder for PATH; conversation: type of the request -> (text of the log, response)."""

    def __init__(self, folder):
        self.folder = folder / "criu-bin"
        self.folder.mkdir()
        self.requests = folder / "requests"
        self.images = folder / "images"
        self.log = self.images / "log"

    def says(self, conversation, log="dump.log"):
        path = self.folder / "criu"
        path.write_text(STANDIN.format(python=sys.executable, conversation=conversation,
                                       requests=str(self.requests), log=str(self.images / log)))
        path.chmod(0o755)
        return self

    def run(self, machine, *args):
        return machine.run(*args, env={"PATH": str(self.folder)})

    def checkpoint(self, b, *options):
        return self.run(b.machine, "checkpoint", "--image-path", self.images, *options, b.id)

    def restore(self, b, *options):
        b.save()
        return self.run(b.machine, "restore", "-d", "--image-path", self.images, "-b", b.path,
                        *options, b.id)


GOOD = (None, version(3, 17))


@pytest.fixture
def criu(tmp_path):
    return Criu(tmp_path)


@pytest.fixture
def up(machine):
    b = machine.bundle("ignore").up()
    yield b
    b.stop()


def test_without_criu(criu, up):
    criu.checkpoint(up).failed("install the package criu", 1)
    assert up.state()["status"] == "running" and not criu.images.exists()


def test_empty_path(machine, up):
    machine.run("checkpoint", up.id, env={"PATH": ":"}).failed("install the package criu", 1)


def test_old_criu(criu, up):
    criu.says({VERSION: (None, version(3, 14))}).checkpoint(up).failed(
        "criu 3.14 is too old: install 3.15 or later", 1)


@pytest.mark.parametrize("answer", [b"", response(VERSION, 1), response(VERSION, 0), b"\xff" * 9,
                                    version(3, 17) + b"\x52\x7f"])
def test_criu_that_talks_nonsense(criu, up, answer):
    done = criu.says({VERSION: (None, answer)}).checkpoint(up).failed("criu", 1)
    assert done.err.count("\n") == 1, done.err


LOG = """(00.001) Error (criu/tun.c:85): tun: no such device
(00.002) Warn  (criu/x.c:1): Error is not this
(00.003) Error (criu/vdso.c:613): vdso: Failed to fill\x01\udcff
(00.004) Error (criu/kerndat.c:1615): second
(00.005) Error (criu/crtools.c:260): third
(00.006) Error (criu/cr-dump.c:2053): Dumping FAILED.
"""


def test_the_errors_of_the_log_are_told(criu, up):
    log = LOG.replace("\udcff", "")
    criu.says({VERSION: GOOD, DUMP: (log, response(DUMP, 0))})
    done = criu.checkpoint(up).failed("vdso: Failed to fill", 1)
    assert "; second; third (its log is '" in done.err and str(criu.images) in done.err
    assert "tun" not in done.err and "FAILED" not in done.err and "\x01" not in done.err
    assert done.err.count("\n") == 1
    assert up.state()["status"] == "running"


def test_criu_that_dies(criu, up):
    criu.says({VERSION: GOOD}).checkpoint(up).failed("criu ended without an answer", 1)
    criu.checkpoint(up, "--work-path", criu.folder / "work").failed("work/dump.log", 1)


def test_checkpoint_ends_the_container(criu, machine):
    b = machine.bundle("ignore").up()
    criu.says({VERSION: GOOD, DUMP: (None, response(DUMP, 1))})
    criu.checkpoint(b, "--leave-running").ok()
    assert b.state()["status"] == "running"
    assert len(json.loads((criu.images / "descriptors.json").read_text())) == 3
    criu.checkpoint(b).ok()
    machine.run("state", b.id).failed("does not exist")


def test_what_criu_is_told(criu, up):
    criu.says({VERSION: GOOD, DUMP: (None, response(DUMP, 1))})
    criu.checkpoint(up, "--leave-running", "--page-server", "[::1]:7070", "--empty-ns", "network",
                    "--manage-cgroups-mode", "full").ok()
    said = criu.requests.read_bytes()
    for part in (b"mnt[/proc/timer_list]:/dev/null", b"::1", b"dump.log", up.cgroup.encode()):
        assert part in said, part
    assert b"mnt[/proc/acpi]" not in said  # masked folders are the container's own


@pytest.mark.parametrize("options, text", [
    (("--page-server", "here"), "--page-server: 'here' is not ADDRESS:PORT"),
    (("--page-server", "a:0"), "ADDRESS:PORT"),
    (("--page-server", "a:70000"), "ADDRESS:PORT"),
    (("--manage-cgroups-mode", "hard"), "none of soft, full, strict, ignore"),
    (("--empty-ns", "pid"), "only network can"),
    (("--status-fd", "77"), "descriptor 77 is not open for writing"),
    (("--status-fd", "x"), "'x' is not a descriptor"),
    (("--parent-path", "/a"), "relative to --image-path"),
    (("--parent-path", "missing"), "--parent-path: find 'missing'"),
    (("--pre-dump", "--lazy-pages"), "exclude each other"),
    (("--tcp-established", "--tcp-close"), "exclude each other"),
    (("--image-path", "/proc/none/images"), "--image-path: make folder"),
])
def test_options(criu, up, options, text):
    criu.says({VERSION: GOOD}).checkpoint(up, *options).failed(text, 1)


def test_only_what_runs(criu, machine):
    b = machine.bundle("ignore")
    assert b.create() == 0
    criu.says({VERSION: GOOD}).checkpoint(b).failed("cannot checkpoint a container that is created")
    criu.restore(b).failed("--image-path: open folder")
    criu.images.mkdir()
    criu.restore(b).failed("already exists")
    b.delete("--force").ok()
    criu.checkpoint(b).failed("does not exist")


# -- restore: nothing is left after a failure, which the fixture looks at -----------------------

def images(criu, descriptors):
    criu.images.mkdir(exist_ok=True)
    (criu.images / "descriptors.json").write_text(descriptors)


def test_no_checkpoint(criu, machine):
    criu.says({VERSION: GOOD}).images.mkdir()
    criu.restore(machine.bundle()).failed("is no checkpoint of a container", 1)
    (criu.images / "descriptors.json").mkdir()
    criu.restore(machine.bundle()).failed("descriptors.json", 1)
    assert not criu.requests.read_bytes().startswith(bytes([0x08, RESTORE]))


@pytest.mark.parametrize("text, blanks", [("{}", 0), ("[", 0), ('["pipe:[1]"', 5 << 20)])
def test_descriptors_of_another_form(criu, machine, text, blanks):
    criu.says({VERSION: GOOD})
    images(criu, text + " " * blanks + "]" * (blanks > 0))
    criu.restore(machine.bundle()).failed("descriptors.json", 1)


def test_the_images_choose_no_files(criu, machine):
    """Only pipes are replaced by our stdio, and only with a key of that form."""
    criu.says({VERSION: GOOD, RESTORE: ("", response(RESTORE, 0))}, log="restore.log")
    images(criu, json.dumps(["pipe:[12]", "/etc/shadow", "pipe:[1]x", "extRootNetNS", 7]))
    criu.restore(machine.bundle()).failed("restore.log", 1)
    said = criu.requests.read_bytes()
    assert b"pipe:[12]" in said
    for text in (b"shadow", b"pipe:[1]x", b"extRootNetNS"):
        assert text not in said, text


def test_mounts_are_of_the_bundle(criu, machine):
    criu.says({VERSION: GOOD, RESTORE: ("", response(RESTORE, 0))}, log="restore.log")
    images(criu, "[]")
    b = machine.bundle()
    (b.path / "shared").mkdir()
    (b.path / "file").write_text("")
    b.mount("/new/folder", type="bind", source="shared", options=["rbind"])
    b.mount("/new/folder/file", type="bind", source=str(b.path / "file"), options=["bind"])
    criu.restore(b).failed("restore.log", 1)
    said = criu.requests.read_bytes().decode(errors="replace")
    for name in ("/new/folder", "/new/folder/file", "/dev/null"):
        assert f"mnt[{name}]:{machine.root}/{b.id}/criu-mounts/" in said
    assert (b.rootfs / "new/folder").is_dir()  # the mount points are there,
    assert (b.path / "shared/file").exists()   # that below a bind, too


@pytest.mark.parametrize("kind, text", [("user", "cannot restore into the user namespace"),
                                        ("cgroup", "into the cgroup namespace")])
def test_namespaces_that_criu_cannot_join(criu, machine, kind, text):
    criu.says({VERSION: GOOD})
    images(criu, "[]")
    b = machine.bundle()
    b.namespace(kind, f"/proc/self/ns/{kind}")
    criu.restore(b).failed(text, 1)


def test_criu_that_restores_nothing(criu, machine):
    criu.says({VERSION: GOOD, RESTORE: (None, response(RESTORE, 1, bytes([0x22, 2, 0x08, 1])))})
    images(criu, "[]")
    criu.restore(machine.bundle()).failed("told no process", 1)


def test_busy_cgroup_stays(criu, machine, up):
    """A restore that is refused touches nothing of the container that has the cgroup."""
    criu.says({VERSION: GOOD})
    images(criu, "[]")
    other = machine.bundle()
    other.linux["cgroupsPath"] = up.cgroup
    criu.restore(other).failed("another container uses it", 1)
    assert up.state()["status"] == "running"
    assert pathlib.Path(f"/proc/{up.state()['pid']}").exists()


def test_terminal_needs_a_socket(criu, machine):
    criu.says({VERSION: GOOD})
    images(criu, "[]")
    b = machine.bundle()
    b.process["terminal"] = True
    criu.restore(b).failed("--console-socket", 1)


def test_needs_root(criu, machine):
    if not os.path.exists("/usr/bin/setpriv"):
        pytest.skip("needs setpriv")
    criu.says({VERSION: GOOD})
    images(criu, "[]")
    criu.images.chmod(0o755)
    b = machine.bundle()
    machine.prefix = ["/usr/bin/setpriv", "--reuid=1000", "--regid=1000", "--clear-groups"]
    criu.restore(b).failed("restore needs root", 1)
