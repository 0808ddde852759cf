# SPDX-License-Identifier: Apache-2.0
"""The process itself: what it may do, how it ends, what it leaves when it is killed."""

import glob
import json
import os
import random
import signal
import subprocess
import time

import pytest

import layout
import trees
from testbed.images import Layer

CAPABILITIES = {
    "CHOWN": 0,
    "DAC_OVERRIDE": 1,
    "FOWNER": 3,
    "FSETID": 4,
    "SYS_ADMIN": 21,
    "MKNOD": 27,
    "SETFCAP": 31,
}


def wait_for(condition, seconds=20):
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        found = condition()
        if found:
            return found
        time.sleep(0.005)
    raise AssertionError("waited in vain")


def status_of(pid):
    with open(f"/proc/{pid}/status", encoding="ascii") as file:
        return dict(line.rstrip("\n").split(":\t", 1) for line in file if ":\t" in line)


def has_ended(pid):
    try:
        return status_of(pid)["State"].startswith("Z")
    except OSError:
        return True


def children(pid):
    with open(f"/proc/{pid}/task/{pid}/children", encoding="ascii") as file:
        return [int(word) for word in file.read().split()]


def tree_under(folder):
    """Everything below a folder, with what tells whether it was touched."""
    found = {}
    for path in glob.glob(folder + "/**", recursive=True, include_hidden=True):
        st = os.lstat(path)
        found[path] = (st.st_mode, st.st_uid, st.st_size, st.st_mtime_ns)
    return found


@pytest.fixture
def stuck(worker):
    """An import that is stopped in the middle: (process, fetcher's pid, request)."""
    layers = [
        Layer().add("one", data=os.urandom(1 << 20)),
        Layer().add("two", data=os.urandom(64 << 20)),
    ]
    path = layout.simple(layers, worker.path("layout"), compression="none")
    request = {"ingest": worker.new_ingest(), "path": path}
    process = worker.start("import", request)
    fetcher = wait_for(lambda: children(process.pid))[0]
    wait_for(lambda: glob.glob(request["ingest"] + "/layers/*/fs/two"))
    os.kill(process.pid, signal.SIGSTOP)
    yield process, fetcher, request
    if process.poll() is None:
        process.kill()
        process.wait()


def test_fetcher_has_no_rights(worker, stuck):
    _, fetcher, _ = stuck
    status = status_of(fetcher)
    assert status["Uid"].split() == ["65534"] * 4 and status["Gid"].split() == ["65534"] * 4
    assert status["Groups"].strip() == ""
    for name in ("CapEff", "CapPrm", "CapInh", "CapBnd", "CapAmb"):
        assert int(status[name], 16) == 0, name
    assert status["NoNewPrivs"] == "1" and (worker.sanitized or status["Seccomp"] == "2")
    for fd in glob.glob(f"/proc/{fetcher}/fd/[01]"):
        assert os.readlink(fd) == "/dev/null"


def test_applier_has_few_rights(worker, stuck):
    process, _, _ = stuck
    status = status_of(process.pid)
    allowed = sum(1 << bit for bit in CAPABILITIES.values())
    for name in ("CapEff", "CapPrm", "CapBnd"):
        assert int(status[name], 16) & ~allowed == 0, name
    assert int(status["CapInh"], 16) == int(status["CapAmb"], 16) == 0
    assert status["NoNewPrivs"] == "1" and (worker.sanitized or status["Seccomp"] == "2")


def test_fetcher_ends_with_the_applier(stuck):
    process, fetcher, _ = stuck
    process.kill()
    process.wait()
    wait_for(lambda: has_ended(fetcher))


def test_death_of_the_fetcher_is_told(worker, stuck):
    process, fetcher, request = stuck
    os.kill(fetcher, signal.SIGKILL)
    os.kill(process.pid, signal.SIGCONT)
    output, _ = process.communicate(timeout=30)
    events = [json.loads(line) for line in output.splitlines()]
    assert process.returncode == 1
    assert events[-1]["kind"] == "INTERNAL" and "signal 9" in events[-1]["message"], events[-1]
    told = {event["chain_id"][7:] for event in events if event["event"] == "layer"}
    assert set(os.listdir(request["ingest"] + "/layers")) == told


@pytest.mark.parametrize("seed", range(12))
def test_killed_at_any_moment_it_leaves_the_ingest_only(worker, seed):
    path = layout.simple(
        [Layer().add("a", data=os.urandom(1 << 20)), Layer().add("b/c", data=bytes(3 << 20))],
        worker.path("layout"),
    )
    present = worker.new_ingest()
    before = tree_under(worker.folder)
    ingest = worker.new_ingest()
    process = worker.start("import", {"ingest": ingest, "path": path, "layers_dir": present})
    time.sleep(random.Random(seed).random() * 0.05)
    process.kill()
    process.wait()
    subprocess.run(["rm", "-rf", ingest], check=True)
    after = tree_under(worker.folder)
    before.pop(worker.folder + "/"), after.pop(worker.folder + "/")
    assert after == before
    assert worker.do_import(path).image


def test_other_owner_than_root(worker):
    """A person without rights gets the files, without owners and devices."""
    layer = (
        Layer()
        .directory("d", mode=0o500, uid=9)
        .add("d/f", data=b"x", mode=0o4711, uid=7)
        .whiteout("gone")
    )
    layer.add("cap", xattrs={"security.capability": "\1\0\0\2" + "\0" * 16, "user.k": "v"})
    layer.add("d/null", b"3", device=(1, 3)).opaque("d").symlink("l", "t")
    lower = Layer().add("gone").directory("d").add("d/old")
    path = layout.simple([lower, layer], worker.path("layout"))
    ingest = worker.new_ingest()
    os.chown(ingest, 65534, 65534)
    result = worker.transfer(
        "import", {"ingest": ingest, "path": path}, user=65534, group=65534, extra_groups=[]
    )
    tree = trees.read_tree(result.roots[1])
    assert tree.keys() == {"", "d", "d/f", "cap", "l", "gone"}
    assert all(node["owner"] == [65534, 65534] for node in tree.values())
    assert (tree["d"]["mode"], tree["d/f"]["mode"]) == (0o500, 0o4711)
    assert tree["gone"]["device"] == [0, 0] and tree["cap"]["xattrs"] == {"user.k": b"v".hex()}
    assert os.getxattr(result.roots[1] + "/d", "user.overlay.opaque") == b"y"


@pytest.mark.parametrize(
    "verb,request_text,word",
    [
        ("import", b"", "request"),
        ("import", b"{", "request"),
        ("import", b"[]", "object"),
        ("import", b"{}", "ingest"),
        ("import", b'{"ingest":"/nonexistent","path":"/"}', "/nonexistent"),
        ("import", b'{"ingest":"x","path":"/"}', "absolute"),
        ("import", b'{"ingest":"/tmp","path":"/nonexistent"}', "/nonexistent"),
        ("import", b'{"Path":"/"}', "Path"),
        ("import", b'{"ingest":"/tmp","ingest":"/","path":"/"}', "ingest"),
        ("pull", b'{"ingest":"/tmp"}', "reference"),
        ("import", b'{"ingest":"/tmp","path":"/dev/null"}', "/dev/null"),
        ("usage", b'{"paths":["/nonexistent"]}', "nonexistent"),
        ("import", b'{"ingest":"/tmp","path":"/tmp","have":["x"],"layers_dir":"/tmp"}', "chain id"),
        ("pull", b'{"ingest":"/nonexistent","reference":"UPPER"}', ""),
        ("sweep", b'{"paths":["/"]}', "/"),
        pytest.param("import", b'{"ingest":"/tmp","path":"' + b"x" * (5 << 20), "", id="too large"),
    ],
)
def test_bad_requests(worker, verb, request_text, word):
    result = worker.run(verb, request_text)
    assert result.status == 1 and word in result.error["message"], result.error


def test_help_and_unknown_verbs(worker):
    for arguments, status in (
        ([], 2),
        (["--help"], 0),
        (["--version"], 0),
        (["fetch"], 2),
        (["pull", "x"], 2),
    ):
        done = subprocess.run(
            [worker.program, *arguments], stdin=subprocess.DEVNULL, capture_output=True, check=False
        )
        assert done.returncode == status and done.stdout + done.stderr


def test_two_imports_at_once(worker):
    path = layout.simple([Layer().add("a", data=os.urandom(5 << 20))], worker.path("layout"))
    requests = [{"ingest": worker.new_ingest(), "path": path} for _ in range(4)]
    for process in [worker.start("import", request) for request in requests]:
        process.communicate(timeout=60)
        assert process.returncode == 0


def test_nothing_of_the_caller_is_inherited(worker, stuck):
    """Descriptors of the fetcher: the source, its pipes, the log, and what libraries opened."""
    _, fetcher, request = stuck
    targets = [os.readlink(path) for path in glob.glob(f"/proc/{fetcher}/fd/*")]
    assert not [target for target in targets if target.startswith(request["ingest"])], targets


@pytest.mark.parametrize("action", ["fail", "kill"])
def test_nothing_is_told_before_the_sync(worker, action):
    path = layout.simple([Layer().add("a")], worker.path("layout"))
    env = {"TARE_FAULT": f"image.sync={action}"}
    result = worker.run("import", {"ingest": worker.new_ingest(), "path": path}, env=env)
    assert result.status in ((1,) if action == "fail" else (-signal.SIGKILL, 137))
    assert not result.layers and not result.kind("blob") and not result.image
