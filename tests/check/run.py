# SPDX-License-Identifier: Apache-2.0
"""Running one program with its output kept."""
import collections
import os
import subprocess

Done = collections.namedtuple("Done", "status output")

SYSTEM_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


def environment(**more):
    """What tests see: Debian's own programs, no settings of the person who runs them."""
    keep = ("HOME", "TMPDIR", "CI", "TARE_BUILDS", "TARE_CACHE", "XDG_CACHE_HOME", "http_proxy",
            "https_proxy", "no_proxy", "HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY", "SSL_CERT_FILE",
            "GOPROXY", "GONOSUMDB", "GOSUMDB", "GOFLAGS")
    env = {name: os.environ[name] for name in keep if name in os.environ}
    env.setdefault("HOME", "/root")
    env.update(PATH=SYSTEM_PATH, LC_ALL="C.UTF-8", PYTHONDONTWRITEBYTECODE="1")
    env.update({name: str(value) for name, value in more.items()})
    return env


def run_command(command, env=None, cwd=None):
    """Runs to the end, standard error among the output; the part's budget is the time limit."""
    try:
        done = subprocess.run(command, env=env, cwd=cwd, check=False, stdin=subprocess.DEVNULL,
                              stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
                              errors="replace")
    except OSError as error:
        return Done(127, f"{command[0]}: {error.strerror}")
    return Done(done.returncode, done.stdout)


def run_logged(command, env=None, cwd=None):
    """The same, for what the budget may end: its output is then in the part's log."""
    start = os.lseek(1, 0, os.SEEK_END)
    done = subprocess.run(command, env=env, cwd=cwd, check=False, stdin=subprocess.DEVNULL)
    with open("/proc/self/fd/1", "rb") as log:
        log.seek(start)
        return Done(done.returncode, log.read().decode(errors="replace"))
