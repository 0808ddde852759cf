# SPDX-License-Identifier: Apache-2.0
"""Containers of somebody who is not root: what `spec --rootless` writes runs."""
import json
import os
import pathlib
import shutil
import subprocess
import tempfile

import pytest

UID, GID = 23456, 23457  # nobody's


@pytest.fixture
def as_user(machine):
    """Runs the runtime as a user without any right; skips where the kernel forbids."""
    prefix = ["setpriv", f"--reuid={UID}", f"--regid={GID}", "--clear-groups", "--inh-caps=-all",
              "--bounding-set=-all", "--no-new-privs"]
    if not shutil.which("setpriv"):
        pytest.skip("needs setpriv")
    probe = subprocess.run([*prefix, "unshare", "-Ur", "true"], capture_output=True)
    if probe.returncode != 0:
        pytest.skip("this kernel gives users no user namespace")
    machine.path = pathlib.Path(tempfile.mkdtemp(prefix="tare-test-"))  # pytest's is root's alone
    machine.path.chmod(0o755)
    home = machine.path / "user"
    home.mkdir()
    runtime = home / "tare-runtime"
    shutil.copy(machine.runtime, runtime)
    b = machine.bundle()
    (b.path / "config.json").unlink()
    for folder, folders, files in os.walk(machine.path):
        for name in [".", *folders, *files]:
            os.chown(os.path.join(folder, name), UID, GID, follow_symlinks=False)

    def run(*args, **kwargs):
        return subprocess.run([*prefix, runtime, "--root", home / "state", *map(str, args)],
                              capture_output=True, text=True, stdin=subprocess.DEVNULL, cwd=home,
                              timeout=60, **kwargs)

    done = run("spec", "--rootless", "-b", b.path)
    assert done.returncode == 0, done.stderr
    b.config = json.loads((b.path / "config.json").read_text())
    b.process["terminal"] = False
    b.process["args"] = ["/bin/probe", "report"]
    b.save()
    yield run, b
    left = home / "state"
    names = [p.name for p in left.iterdir() if p.name != "@seccomp"] if left.exists() else []
    for name in names:
        run("delete", "--force", name)
    shutil.rmtree(machine.path)
    assert names == []


def test_run(as_user):
    run, b = as_user
    done = run("run", "-b", b.path, b.id)
    assert done.returncode == 0, done.stderr
    report = json.loads(done.stdout)
    assert report["uids"] == [0, 0, 0] and report["pid"] == 1
    assert report["uid_map"].split() == ["0", str(UID), "1"]
    assert report["dev"]["null"]["rdev"] == "1:3"
    assert sorted(report["fds"]) == ["0", "1", "2"]


def test_exec_and_delete(as_user):
    run, b = as_user
    b.process["args"] = ["/bin/probe", "wait"]
    b.save()
    with open(b.path / "out", "w") as out:
        subprocess.run(["setpriv", f"--reuid={UID}", f"--regid={GID}", "--clear-groups",
                        b.machine.path / "user/tare-runtime", "--root",
                        b.machine.path / "user/state", "run", "-d", "-b", b.path, b.id],
                       stdout=out, stderr=out, stdin=subprocess.DEVNULL, check=True, timeout=60)
    done = run("exec", b.id, "/bin/probe", "report")
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["uid_map"].split() == ["0", str(UID), "1"]
    assert json.loads(run("state", b.id).stdout)["status"] == "running"
    assert run("delete", "--force", b.id).returncode == 0


def test_without_user_namespace(as_user):
    run, b = as_user
    b.without_namespace("user")
    del b.linux["uidMappings"], b.linux["gidMappings"]
    b.save()
    done = run("run", "-b", b.path, b.id)
    assert done.returncode == 1 and "no user namespace" in done.stderr


def test_limits_are_not_dropped_silently(as_user):
    run, b = as_user
    b.linux["resources"] = {"pids": {"limit": 5}}
    b.save()
    done = run("run", "-b", b.path, b.id)
    assert done.returncode == 1 and "cgroup" in done.stderr


def test_foreign_ids_need_the_helper(as_user):
    run, b = as_user
    b.linux["uidMappings"] = [{"containerID": 0, "hostID": 100000, "size": 10}]
    b.save()
    done = run("run", "-b", b.path, b.id)
    assert done.returncode == 1 and "newuidmap" in done.stderr
