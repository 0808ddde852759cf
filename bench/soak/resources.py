# SPDX-License-Identifier: Apache-2.0
"""What a node holds when it has no pod: to compare before and after a soak."""
import os
import time

from support.cri import CriError

# What may grow by so much, in the unit of the row; everything else may not grow at all. Memory: the
# high-water mark of many clients at once stays with the allocator. Files: two write-ahead logs.
ALLOWED = {
    "memory of tared, KiB (PSS)": 3072,
    "open files of tared": 4,
    "size of databases, KiB": 4096,
}
SETTLE_SECONDS = 30


def pss_kib(pid):
    with open(f"/proc/{pid}/smaps_rollup", encoding="ascii") as file:
        return next(int(line.split()[1]) for line in file if line.startswith("Pss:"))


def count_files(folder):
    return sum(len(files) for _, _, files in os.walk(folder))


def sizes_kib(*folders):
    return sum(os.path.getsize(os.path.join(folder, name)) >> 10 for folder in folders
               for name in os.listdir(folder) if ".db" in name)


def lines_of(node, *command):
    done = node.inside(*command)
    return len([line for line in done.stdout.splitlines() if not line.startswith("#")])


def measure(shared):
    """A table of numbers, of a daemon that has just been started: {name: number}."""
    node = shared.node
    node.restart()
    node.client.ListPodSandbox()
    time.sleep(1)  # what it does first of all is over
    pid = node.process.pid
    return {
        "memory of tared, KiB (PSS)": pss_kib(pid),
        "open files of tared": len(os.listdir(f"/proc/{pid}/fd")),
        "processes": len(node.processes()),
        "files of root": count_files(node.path("root")),
        "files of state": count_files(node.path("state")),
        "size of databases, KiB": sizes_kib(node.path("root"), node.path("state")),
        "addresses taken": count_files(node.path("ipam")),
        "cached results of CNI": count_files(node.path("cni-cache")),
        "links": lines_of(node, "ip", "-o", "link"),
        "mounts": lines_of(node, "cat", "/proc/self/mountinfo"),
        "rules": lines_of(node, "iptables-save"),
        "images": len(node.client.ListImages().images),
    }


def where(pid):
    """The cgroup of a process that is left: it has the container's id."""
    try:
        with open(f"/proc/{pid}/cgroup", encoding="ascii") as lines:
            return next(line.strip() for line in lines if "memory" in line or line[0] == "0")
    except (OSError, StopIteration):
        return "gone"


def finish(shared):
    """Removes all pods; what cannot be removed, or is left: lines."""
    node, end = shared.node, time.monotonic() + SETTLE_SECONDS
    while True:
        try:
            node.remove_everything()
            for image in node.client.ListImages().images:
                for tag in image.repo_tags:
                    if tag.split("/")[-1].startswith("image-"):
                        node.client.RemoveImage(image={"image": tag})
            node.assert_nothing_left(patience=5)
            return []
        except (CriError, AssertionError) as error:
            if time.monotonic() > end:
                cgroups = [f"{pid}: {where(pid)}" for pid in node.processes()]
                return [f"at the end: {error} {cgroups}".replace("\n", "; ")]
            time.sleep(0.5)


def grown(growth):
    return [f"{name}: {before} at first, {after} at the end"
            for name, (before, after) in growth.items() if after > before + ALLOWED.get(name, 0)]
