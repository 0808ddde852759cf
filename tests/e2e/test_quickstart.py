# SPDX-License-Identifier: Apache-2.0
"""./quickstart as a person runs it: green, quick, and without a trace, whatever happens."""
import glob
import os
import re
import shutil
import signal
import subprocess
import tempfile

import pytest

from support import leaks
from support.node import wait_until

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
QUICKSTART = os.path.join(ROOT, "quickstart")
TRACES = os.path.join(ROOT, "packaging/quickstart/traces.sh")
TEXT = {"stdin": subprocess.DEVNULL, "stdout": subprocess.PIPE, "text": True, "check": False}
SECONDS = 5  # once built; loaded machines get twice


def state():
    """Everything that a demonstration could leave, by another measure than its own."""
    found = leaks.mounts() | leaks.links() | leaks.files()
    found |= {line for line in leaks.cgroups() if "quickstart" in line}
    found |= {f"temporary {path}" for path in glob.glob(tempfile.gettempdir() + "/tare-[qt][ur]*")
              if "tare-test" not in path}
    for folder in glob.glob("/proc/[0-9]*"):
        pid = os.path.basename(folder)
        if "tare-quickstart" in leaks.command_of(pid):
            found.add(f"process {pid}: {leaks.command_of(pid)}")
    for path in ("/proc/sys/net/ipv4/ip_forward", "/proc/sys/net/ipv4/conf/all/forwarding"):
        with open(path, encoding="utf-8") as file:
            found.add(f"{path} = {file.read().strip()}")
    return found


@pytest.fixture(scope="session")
def built():
    """./check has a build already; ./check full lets the quickstart make its own."""
    if os.environ.get("TARE_FULL"):
        os.environ.pop("TARE_BUILD", None)
    done = subprocess.run([QUICKSTART, "build"], stderr=subprocess.STDOUT, **TEXT)
    assert done.returncode == 0, done.stdout


@pytest.fixture
def nothing_left(built):
    before = state()
    yield
    assert leaks.left(before, state) == []


def start(**env):
    return subprocess.Popen([QUICKSTART], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                            stderr=subprocess.PIPE, text=True, start_new_session=True,
                            env={**os.environ, **env})


def finish(process):
    out, err = process.communicate(timeout=120)
    return process.returncode, out, err


def seconds(out):
    """The sum of what its lines say, but for the build."""
    steps = re.findall(r"^([a-z-]+) +(\d+\.\d{3}) s  ", out, re.M)
    assert len(steps) > 8
    return sum(float(took) for name, took in steps if name != "build")


def test_it_runs_twice_and_leaves_nothing(nothing_left):
    for _ in range(2):
        code, out, err = finish(start())
        assert code == 0, out + err
        assert err == ""
        assert re.search(r"^http .* says: Hello from pod hello\. This is request \d+\.$", out, re.M)
        assert re.search(r"^traces .* none left: processes, mounts, cgroups,", out, re.M)
        for word in ("$ tare ps", "web ", "client ", "$ tare logs client", "$ tare exec web",
                     "StartContainer", "systemctl enable --now tared", "containerRuntimeEndpoint",
                     "failCgroupV1: false"):
            assert word in out, word
    assert seconds(out) < 2 * SECONDS, out


@pytest.mark.parametrize("step", ["daemon", "pod", "http", "memory"])
def test_an_interrupt_cleans_up(nothing_left, step):
    process = start()
    try:
        read = ""
        for line in process.stdout:
            read += line
            if line.startswith(step + " "):
                break
        os.killpg(process.pid, signal.SIGINT)
        code, out, err = finish(process)
        assert code == 130, read + out + err
        assert "traces " in out and "none left" in out
        assert "interrupted" in err
    finally:
        process.kill()


def test_a_broken_network_is_told_and_cleaned_up(nothing_left, tmp_path):
    plugin = tmp_path / "bridge"
    plugin.write_text('#!/bin/sh\n[ "$CNI_COMMAND" != ADD ] || exit 1\n')
    plugin.chmod(0o755)
    code, out, err = finish(start(TARE_CNI_BIN=str(tmp_path)))
    assert code == 1
    assert "quickstart: pod: tare pod run" in err and "bridge" in err
    assert "none left" in out and "systemctl enable" not in out


def test_a_daemon_that_dies_is_told_and_cleaned_up(nothing_left):
    process = start()
    try:
        for line in process.stdout:
            if line.startswith("pod "):
                break
        daemon, = [pid for pid in leaks.descendants(process.pid)
                   if re.search(r"/tared --config", leaks.command_of(pid))]
        os.kill(daemon, signal.SIGKILL)
        code, out, err = finish(process)
        assert code == 1, out + err
        assert "no daemon answers" in err
        assert "none left" in out
    finally:
        process.kill()


def test_without_root_it_says_so(built):
    script = f'cd "{ROOT}" && . packaging/quickstart/say.sh && sed -n "/^check_machine/,/^}}/p" ' \
             'quickstart >"$TMP" && . "$TMP" && check_machine'
    with tempfile.NamedTemporaryFile(prefix="tare-test-") as file:
        os.chmod(file.name, 0o666)
        done = subprocess.run(["setpriv", "--reuid", "65534", "--clear-groups", "sh", "-c", script],
                              stderr=subprocess.PIPE, env={**os.environ, "TMP": file.name}, **TEXT)
    assert (done.returncode, done.stderr) == (
        1, "quickstart: machine: a pod needs root: run sudo ./quickstart\n")


@pytest.mark.parametrize("args", [("frob",), ("install",), ("install", "relative"),
                                  ("build", "more")])
def test_wrong_usage(args):
    done = subprocess.run([QUICKSTART, *args], stderr=subprocess.PIPE, **TEXT)
    assert done.returncode in (1, 2)
    assert f"./quickstart {args[0] if len(args) > 1 else 'install PREFIX'}" in done.stderr


def look(before, work, name):
    """What traces.sh finds, at its first look."""
    script = f". {TRACES}; TRACES_PATIENCE=1; traces_find {before} {work} {name} 10.213.7"
    # By pipe: a command line with the names would be found.
    done = subprocess.run(["sh", "-eu"], input=script, stdout=subprocess.PIPE,
                          stderr=subprocess.PIPE, text=True, check=True)
    assert done.stderr == ""
    return done.stdout.strip()


@pytest.fixture
def traces(tmp_path):
    """(before, work, name) of a demonstration that never was."""
    work = tempfile.mkdtemp(prefix="tare-test-quickstart-")
    os.rmdir(work)
    subprocess.run(["sh", "-c", f". {TRACES}; traces_note {tmp_path}"], check=True)
    yield str(tmp_path), work, f"tare-test-quickstart-{os.getpid()}"
    shutil.rmtree(work, ignore_errors=True)


def test_the_look_for_traces_finds_nothing_where_nothing_is(traces):
    assert look(*traces) == ""


def test_the_look_for_traces_finds_files(traces):
    os.mkdir(traces[1])
    assert look(*traces) == f"file {traces[1]}"


def test_the_look_for_traces_finds_processes(traces):
    process = subprocess.Popen(["sh", "-c", "read x", f"{traces[1]}/x"], stdin=subprocess.PIPE)
    try:
        wait_until(lambda: traces[1] in leaks.command_of(process.pid))
        assert look(*traces).startswith(f"process {process.pid}: sh -c read x {traces[1]}/x")
    finally:
        process.communicate()


def test_the_look_for_traces_finds_mounts_of_any_namespace(traces):
    os.mkdir(traces[1])
    process = subprocess.Popen(["unshare", "-m", "sh", "-c",
                                f"mount -t tmpfs none {traces[1]}; echo; exec cat"],
                               stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    try:
        process.stdout.readline()
        assert f"mounts seen by process {process.pid}" in look(*traces)
    finally:
        process.communicate()


def test_the_look_for_traces_finds_cgroups(traces):
    folder = os.path.join(next(leaks.cgroup_hierarchies()), traces[2])
    os.mkdir(folder)
    try:
        assert look(*traces) == f"cgroup {folder}"
    finally:
        os.rmdir(folder)


def test_the_look_for_traces_compares_sysctls_and_folders(traces):
    """As if the value and the folder had been otherwise before."""
    path = os.path.join(traces[0], "sysctls")
    with open(path, encoding="utf-8") as file:
        text = file.read()
    now = re.search(r"^/proc/sys/net/ipv4/ip_forward:(\d)$", text, re.M)
    with open(path, "w", encoding="utf-8") as file:
        file.write(text.replace(now[0], now[0][:-1] + "9"))
    assert look(*traces) == f"sysctl {now[0]}"


def test_install(built, tmp_path):
    done = subprocess.run([QUICKSTART, "install", "/opt/tare"], stderr=subprocess.STDOUT,
                          env={**os.environ, "DESTDIR": str(tmp_path)}, **TEXT)
    assert done.returncode == 0, done.stdout
    prefix = tmp_path / "opt/tare"
    names = ("tared", "tare", "tare-shim", "tare-pause", "tare-image", "tare-runtime",
             "tare-stream", "tare-stream-tls", "tare-net")
    for name in names:
        assert os.access(prefix / "bin" / name, os.X_OK), name
    assert sorted(os.listdir(prefix / "bin")) == sorted(names)
    version = subprocess.run([prefix / "bin/tared", "--version"], **TEXT)
    assert version.stdout.startswith("tared version ")
    unit = (prefix / "lib/systemd/system/tared.service").read_text()
    assert "\nExecStart=/opt/tare/bin/tared\n" in unit and "\nKillMode=process\n" in unit
    for path in ("share/man/man8/tare.8", "share/man/man8/tared.8",
                 "share/bash-completion/completions/tare",
                 "share/bash-completion/completions/tare-runtime",
                 "share/zsh/vendor-completions/_tare-runtime",
                 "share/fish/vendor_completions.d/tare-runtime.fish"):
        assert (prefix / path).is_file(), path
