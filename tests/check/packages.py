# SPDX-License-Identifier: Apache-2.0
"""Debian packages: those of packages.txt that are missing are installed, with one call."""
import os
import subprocess

LIST = os.path.join(os.path.dirname(os.path.abspath(__file__)), "packages.txt")
APT = ["apt-get", "-y", "-q", "-o", "Acquire::Retries=3", "-o", "DPkg::Lock::Timeout=200"]


def wanted():
    with open(LIST, encoding="utf-8") as lines:
        return [line.strip() for line in lines if line.strip() and not line.startswith("#")]


def missing(names):
    run = subprocess.run(["dpkg-query", "-W", "-f", "${Package} ${db:Status-Abbrev}\n", *names],
                         check=False, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    there = {line.split()[0] for line in run.stdout.splitlines() if line.split()[1:] == ["ii"]}
    return [name for name in names if name not in there]


def install():
    """None, or what went wrong."""
    names = missing(wanted())
    if not names:
        return None
    if os.geteuid() != 0:
        return f"not root, and these packages are missing: {' '.join(names)}"
    env = dict(os.environ, DEBIAN_FRONTEND="noninteractive", LC_ALL="C.UTF-8")
    # A machine may have sources of others that cannot be reached; only a failed install counts.
    update = subprocess.run([*APT, "update"], env=env, check=False, stdin=subprocess.DEVNULL,
                            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    run = subprocess.run([*APT, "install", "--no-install-recommends", *names], env=env, check=False,
                         stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                         text=True)
    if run.returncode != 0:
        return f"{update.stdout}\n{run.stdout}\napt-get cannot install: {' '.join(names)}"
    return None
