# SPDX-License-Identifier: Apache-2.0
"""sweep and usage on trees that a container may have shaped."""

import os
import subprocess

import pytest

DEPTH = 3000


def deep(folder):
    """Folders within folders, far beyond the longest path."""
    here = os.open(folder, os.O_RDONLY)
    for _ in range(DEPTH):
        os.mkdir("d", dir_fd=here)
        below = os.open("d", os.O_RDONLY, dir_fd=here)
        os.close(here)
        here = below
    os.close(here)


def du(folder):
    done = subprocess.run(
        ["du", "-s", "--block-size=1", folder], stdout=subprocess.PIPE, text=True, check=True
    )
    count = subprocess.run(
        ["du", "-s", "--inodes", folder], stdout=subprocess.PIPE, text=True, check=True
    )
    return int(done.stdout.split()[0]), int(count.stdout.split()[0])


def usage(worker, folder):
    result = worker.run("usage", {"paths": [str(folder)]})
    assert result.status == 0, result.error
    return result.events[0]["bytes"], result.events[0]["inodes"]


def test_usage_counts_as_du(worker):
    folder = worker.path("tree")
    os.makedirs(folder + "/a/b/c")
    for number in range(50):
        with open(f"{folder}/a/b/{number}", "wb") as file:
            file.write(bytes(number * 1000))
    os.link(folder + "/a/b/40", folder + "/linked")
    os.symlink("/usr", folder + "/a/out")
    os.mkfifo(folder + "/fifo")
    with open(folder + "/sparse", "wb") as file:
        file.truncate(1 << 30)
    os.sync()
    assert usage(worker, folder) == du(folder)
    deep(folder)
    assert usage(worker, folder)[1] == du(folder)[1]


def test_usage_of_what_is_no_folder(worker):
    os.symlink("/usr", worker.path("link"))
    for path in (worker.path("link"), worker.path("missing"), "/dev/null"):
        assert worker.run("usage", {"paths": [path]}).status == 1


def test_sweep(worker):
    trees = [worker.path(f"trash-{number}") for number in range(3)]
    for folder in trees:
        os.makedirs(folder + "/x/y")
        os.symlink(worker.path("kept"), folder + "/link")
        os.mknod(folder + "/null", 0o20666, os.makedev(1, 3))
    os.mkdir(worker.path("kept"))
    deep(trees[0])
    subprocess.run(["chmod", "0", trees[1] + "/x"], check=True)
    result = worker.run("sweep", {"paths": [*trees, worker.path("missing")]})
    assert result.status == 0 and not result.events, result.error
    assert [name for name in os.listdir(worker.folder) if name.startswith("trash")] == []
    assert os.path.isdir(worker.path("kept"))


def test_sweep_goes_on_after_a_failure(worker):
    os.makedirs(worker.path("one/x"))
    result = worker.run("sweep", {"paths": [worker.path("missing/x"), worker.path("one")]})
    assert result.status == 1 and "missing" in result.error["message"]
    assert not os.path.exists(worker.path("one"))


@pytest.mark.parametrize("path", ["/", "/..", "relative", "/tmp/../.."])
def test_sweep_of_nonsense(worker, path):
    assert worker.run("sweep", {"paths": [path]}).status == 1
