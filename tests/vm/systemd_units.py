# SPDX-License-Identifier: Apache-2.0
"""What systemd says about its units."""
import pathlib
import subprocess
import time

CGROUPS = pathlib.Path("/sys/fs/cgroup")


def systemctl(*arguments):
    done = subprocess.run(["systemctl", *arguments], check=False, capture_output=True, text=True,
                          stdin=subprocess.DEVNULL)
    return done.stdout


def properties(unit, *names):
    text = systemctl("show", unit, *(f"--property={name}" for name in names))
    return dict(line.split("=", 1) for line in text.splitlines())


def is_known(unit):
    return properties(unit, "LoadState", "ActiveState")["ActiveState"] != "inactive"


def wait_unknown(unit, seconds=10):
    end = time.time() + seconds
    while is_known(unit):
        assert time.time() < end, systemctl("status", unit)
        time.sleep(0.05)
