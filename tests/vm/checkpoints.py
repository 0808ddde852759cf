# SPDX-License-Identifier: Apache-2.0
"""What tests of checkpoint and restore have in common."""
import os
import pathlib
import select
import subprocess
import time

LIMIT = 120


class Pipe:
    """Its write end is a container's stdout, as long as `with` lasts."""

    def __init__(self):
        self.read_fd, self.write_fd = os.pipe()
        self.text = b""

    def __enter__(self):
        return self.write_fd

    def __exit__(self, *error):
        os.close(self.write_fd)

    def numbers(self, at_least):
        """What the container counted, when there are so many lines, or all at the end (None)."""
        end = time.time() + LIMIT
        while at_least is None or self.text.count(b"\n") < at_least:
            assert time.time() < end, self.text
            if select.select([self.read_fd], [], [], 1)[0]:
                data = os.read(self.read_fd, 65536)
                if not data:
                    break
                self.text += data
        return [int(line) for line in self.text.split()]


def call(b, *args, out=subprocess.DEVNULL, ok=True):
    b.save()
    done = subprocess.run([b.machine.runtime, "--root", b.machine.root,
                           "--log", b.machine.path / "log", *map(str, args)],
                          stdin=subprocess.DEVNULL, stdout=out, stderr=subprocess.DEVNULL,
                          timeout=LIMIT, check=False)
    log = b.machine.path / "log"
    text = log.read_text() if log.exists() else ""
    assert (done.returncode == 0) == ok, text
    return text


def run(b):
    pipe = Pipe()
    with pipe as out:
        call(b, "run", "-d", "-b", b.path, b.id, out=out)
    assert len(pipe.numbers(3)) >= 3
    return pipe


def checkpoint(b, images, *options):
    call(b, "checkpoint", "--image-path", images, *options, b.id)


def restore(b, images, *options, **more):
    pipe = Pipe()
    with pipe as out:
        call(b, "restore", "-d", "--image-path", images, "-b", b.path, *options, b.id, out=out,
             **more)
    return pipe


def mounts(pid):
    """(mount point, file system, options) of a process's mounts."""
    found = []
    for line in pathlib.Path(f"/proc/{pid}/mountinfo").read_text().splitlines():
        fields, _, source = line.partition(" - ")
        found.append((fields.split()[4], source.split()[0], fields.split()[5]))
    return sorted(found)


def status(pid):
    lines = pathlib.Path(f"/proc/{pid}/status").read_text().splitlines()
    return [line for line in lines
            if line.split(":")[0] in ("Uid", "Gid", "CapEff", "CapBnd", "NoNewPrivs", "Seccomp")]
