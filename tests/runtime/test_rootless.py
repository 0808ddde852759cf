# SPDX-License-Identifier: Apache-2.0
"""Containers of somebody who is not root: what `spec --rootless` writes runs."""
import json
import os
import pathlib
import shutil
import subprocess
import tempfile
import time

import pytest

from reports import mounts_of

UID, GID = 23456, 23457  # nobody's


NO_RIGHTS = ["setpriv", f"--reuid={UID}", f"--regid={GID}", "--clear-groups"]
HELPLESS = [*NO_RIGHTS, "--inh-caps=-all", "--bounding-set=-all", "--no-new-privs"]


class User:
    """Runs the runtime as somebody without any right, with a home, a bundle and a state root."""

    def __init__(self, machine, prefix):
        self.machine = machine
        self.prefix = prefix
        self.home = machine.path / "user"
        self.home.mkdir()
        self.runtime = self.home / "tare-runtime"
        shutil.copy(machine.runtime, self.runtime)

    def command(self, *args):
        return [*self.prefix, self.runtime, "--root", self.home / "state", *map(str, args)]

    def run(self, *args, **kwargs):
        return subprocess.run(self.command(*args), capture_output=True, text=True,
                              stdin=subprocess.DEVNULL, cwd=self.home, timeout=60, **kwargs)

    def bundle(self, *args):
        b = self.machine.bundle()
        (b.path / "config.json").unlink()
        self.own(self.machine.path)
        done = self.run("spec", "--rootless", "-b", b.path)
        assert done.returncode == 0, done.stderr
        b.config = json.loads((b.path / "config.json").read_text())
        b.process["terminal"] = False
        b.process["args"] = ["/bin/probe", *(args or ["report"])]
        b.save()
        return b

    def own(self, path):
        for folder, folders, files in os.walk(path):
            for name in [".", *folders, *files]:
                os.chown(os.path.join(folder, name), UID, GID, follow_symlinks=False)

    def up(self, b):
        b.save()
        with open(b.path / "out", "w") as out:
            subprocess.run(self.command("run", "-d", "-b", b.path, b.id), stdout=out, stderr=out,
                           stdin=subprocess.DEVNULL, cwd=self.home, check=True, timeout=60)

    def end(self):
        left = self.home / "state"
        names = [p.name for p in left.iterdir() if p.name != "@seccomp"] if left.exists() else []
        for name in names:
            self.run("delete", "--force", name)
        return names


def a_user(machine, prefix):
    probe = subprocess.run([*HELPLESS, "unshare", "-Ur", "true"], capture_output=True)
    if probe.returncode != 0:
        pytest.skip("this kernel gives users no user namespace")
    machine.path = pathlib.Path(tempfile.mkdtemp(prefix="tare-test-"))  # pytest's is root's alone
    machine.path.chmod(0o755)
    user = User(machine, prefix)
    yield user
    names = user.end()
    shutil.rmtree(machine.path)
    assert names == []


@pytest.fixture
def user(machine):
    yield from a_user(machine, HELPLESS)


@pytest.fixture
def as_user(user):
    return user.run, user.bundle()


FIRST = 300000  # of the ids that the user below has


@pytest.fixture
def rich(machine):
    """A user called tare-test whose files of subordinate ids a test writes."""
    if not os.path.exists("/usr/bin/newuidmap"):
        pytest.skip("needs newuidmap")
    etc = pathlib.Path(tempfile.mkdtemp(prefix="tare-test-etc-"))
    etc.chmod(0o755)
    passwd = pathlib.Path("/etc/passwd").read_text()
    (etc / "passwd").write_text(f"{passwd}tare-test:x:{UID}:{GID}::/nonexistent:/bin/false\n")
    for name in ("subuid", "subgid"):
        (etc / name).write_text(f"# ids\nnobody:1:5\ntare-test:{FIRST}:65536\n")
    for name in ("subuid", "subgid"):  # a mount needs a place
        if not os.path.exists(f"/etc/{name}"):
            pytest.skip(f"this machine has no /etc/{name}")
    script = "".join(f"mount --bind {etc}/{name} /etc/{name}\n"
                     for name in ("passwd", "subuid", "subgid")) + 'exec "$@"'
    users = a_user(machine, ["unshare", "-m", "--propagation", "private", "sh", "-ec", script,
                             "sh", *NO_RIGHTS])
    for user in users:
        user.etc = etc
        yield user
    shutil.rmtree(etc)


def with_subordinate_ids(b, first=FIRST, n=65536):
    b.linux["uidMappings"] = [{"containerID": 0, "hostID": UID, "size": 1},
                              {"containerID": 1, "hostID": first, "size": n}]
    b.linux["gidMappings"] = [{"containerID": 0, "hostID": GID, "size": 1},
                              {"containerID": 1, "hostID": first, "size": n}]
    return b.save()


def test_run(as_user):
    run, b = as_user
    done = run("run", "-b", b.path, b.id)
    assert done.returncode == 0, done.stderr
    report = json.loads(done.stdout)
    assert report["uids"] == [0, 0, 0] and report["pid"] == 1
    assert report["uid_map"].split() == ["0", str(UID), "1"]
    assert report["dev"]["null"]["rdev"] == "1:3"
    assert sorted(report["fds"]) == ["0", "1", "2"]


def test_life(user):
    """Every command that a user has for a container without a cgroup."""
    b = user.bundle("wait")
    user.up(b)
    assert json.loads(user.run("state", b.id).stdout)["status"] == "running"
    assert user.run("list", "-q").stdout.split() == [b.id]
    done = user.run("exec", b.id, "/bin/probe", "report")
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["uid_map"].split() == ["0", str(UID), "1"]
    assert user.run("exec", b.id, "/bin/probe", "exit", "3").returncode == 3
    done = user.run("ps", b.id)
    assert done.returncode == 0 and "probe wait" in done.stdout, done.stderr
    pids = json.loads(user.run("ps", "-f", "json", b.id).stdout)
    assert pids == [json.loads(user.run("state", b.id).stdout)["pid"]]
    done = user.run("delete", b.id)
    assert done.returncode == 1 and "not stopped" in done.stderr
    done = user.run("kill", "--all", b.id, "USR1")
    assert done.returncode == 0, done.stderr
    assert user.run("kill", b.id, "TERM").returncode == 0
    for _ in range(400):
        if json.loads(user.run("state", b.id).stdout)["status"] == "stopped":
            break
        time.sleep(0.05)
    assert "SIGUSR1\nSIGTERM" in (b.path / "out").read_text()
    done = user.run("delete", b.id)
    assert done.returncode == 0, done.stderr
    assert user.run("list", "-q").stdout == ""


def test_processes_that_nobody_knows(user):
    """With neither a cgroup nor a pid namespace a container has no bounds."""
    b = user.bundle("wait")
    b.without_namespace("pid")
    user.up(b)
    done = user.run("ps", b.id)
    assert done.returncode == 1 and "neither a cgroup nor a pid namespace" in done.stderr
    assert user.run("kill", "--all", b.id, "TERM").returncode == 1
    assert user.run("kill", b.id, "KILL").returncode == 0
    assert user.run("delete", "--force", b.id).returncode == 0


def test_create_and_start(user):
    b = user.bundle("exit", "0")
    with open(b.path / "out", "w") as out:
        subprocess.run(user.command("create", "-b", b.path, b.id), stdout=out, stderr=out,
                       stdin=subprocess.DEVNULL, check=True, timeout=60)
    assert json.loads(user.run("state", b.id).stdout)["status"] == "created"
    done = user.run("start", b.id)
    assert done.returncode == 0, done.stderr
    assert user.run("delete", "--force", b.id).returncode == 0


def test_network_namespace(user):
    """A sysfs of its own comes with it."""
    b = user.bundle()
    b.namespace("network")
    for m in b.config["mounts"]:
        if m["destination"] == "/sys":
            m.update(type="sysfs", source="sysfs", options=["nosuid", "noexec", "nodev", "ro"])
    b.save()
    done = user.run("run", "-b", b.path, b.id)
    assert done.returncode == 0, done.stderr
    report = json.loads(done.stdout)
    assert [line.split(":")[0].strip() for line in report["net_dev"].splitlines()[2:]] == ["lo"]
    assert mounts_of(report)["/sys"]["type"] == "sysfs"


def test_bind_and_masks(user):
    b = user.bundle()
    (b.path / "data").mkdir()
    user.own(b.path / "data")
    b.mount("/data", type="bind", source="data", options=["rbind", "rro", "nosuid"])
    b.config["root"]["readonly"] = True
    b.save()
    m = mounts_of(json.loads(user.run("run", "-b", b.path, b.id).stdout))
    assert {"ro", "nosuid"} <= m["/data"]["options"] and "ro" in m["/"]["options"]
    assert "/proc/keys" in m and "ro" in m["/proc/sys"]["options"]


def test_on_an_old_kernel(user):
    user.prefix = [*HELPLESS, user.machine.path / "probe", "linux-5.10"]
    shutil.copy(user.machine.probe, user.machine.path / "probe")
    b = user.bundle()
    b.config["root"]["readonly"] = True
    b.save()
    done = user.run("run", "-b", b.path, b.id)
    assert done.returncode == 0, done.stderr
    m = mounts_of(json.loads(done.stdout))
    assert "ro" in m["/"]["options"] and "ro" in m["/sys"]["options"]


def test_subordinate_ids(rich):
    b = with_subordinate_ids(rich.bundle())
    b.process["user"] = {"uid": 1000, "gid": 1001, "additionalGids": [10, 20]}
    b.save()
    done = rich.run("run", "-b", b.path, b.id)
    assert done.returncode == 0, done.stderr
    report = json.loads(done.stdout)
    assert report["uids"] == [1000] * 3 and report["gids"] == [1001] * 3
    assert report["groups"] == [10, 20]
    assert report["uid_map"].split() == ["0", str(UID), "1", "1", str(FIRST), "65536"]


def test_exec_with_subordinate_ids(rich):
    b = with_subordinate_ids(rich.bundle("wait"))
    rich.up(b)
    done = rich.run("exec", "-u", "5:6", b.id, "/bin/probe", "report")
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["uids"] == [5] * 3
    assert rich.run("delete", "--force", b.id).returncode == 0


@pytest.mark.parametrize("file, member, option", [
    ("subuid", "linux.uidMappings[1]", "--add-subuids"),
    ("subgid", "linux.gidMappings[1]", "--add-subgids")])
def test_missing_subordinate_ids(rich, file, member, option):
    """The error has the file, and the line to add."""
    b = with_subordinate_ids(rich.bundle())
    (rich.etc / file).write_text(f"nobody:{FIRST}:65536\n")
    done = rich.run("run", "-b", b.path, b.id)
    assert done.returncode == 1
    assert member in done.stderr and f"/etc/{file}" in done.stderr
    assert f'tare-test:{FIRST}:65536' in done.stderr
    assert f"usermod {option} {FIRST}-{FIRST + 65535} tare-test" in done.stderr
    assert len(done.stderr.splitlines()) == 1, done.stderr


def test_too_few_subordinate_ids(rich):
    b = with_subordinate_ids(rich.bundle(), FIRST + 1)
    done = rich.run("run", "-b", b.path, b.id)
    assert done.returncode == 1 and f'tare-test:{FIRST + 1}:65536' in done.stderr


def test_subordinate_ids_by_number(rich):
    for file in ("subuid", "subgid"):
        (rich.etc / file).write_text(f"{UID}:{FIRST}:65536\n")
    b = with_subordinate_ids(rich.bundle())
    assert rich.run("run", "-b", b.path, b.id).returncode == 0


def test_helper_is_not_there(rich):
    script = rich.prefix.index("-ec") + 1
    rich.prefix[script] = "mount --bind /dev/null /usr/bin/newuidmap\n" + rich.prefix[script]
    b = with_subordinate_ids(rich.bundle())
    done = rich.run("run", "-b", b.path, b.id)
    assert done.returncode == 1 and "newuidmap" in done.stderr


def test_spec_is_what_runc_writes(user):
    b = user.bundle()
    done = user.run("spec", "--rootless", "-b", user.home)
    assert done.returncode == 0
    spec = json.loads((user.home / "config.json").read_text())
    kinds = {n["type"] for n in spec["linux"]["namespaces"]}
    assert kinds - {"cgroup"} == {"pid", "ipc", "uts", "mount", "user"}
    assert spec["linux"]["uidMappings"] == [{"containerID": 0, "hostID": UID, "size": 1}]
    assert spec["linux"]["gidMappings"] == [{"containerID": 0, "hostID": GID, "size": 1}]
    assert "resources" not in spec["linux"]
    sys = [m for m in spec["mounts"] if m["destination"] == "/sys"][0]
    assert sys == {"destination": "/sys", "type": "none", "source": "/sys",
                   "options": ["rbind", "nosuid", "noexec", "nodev", "ro"]}
    assert not [o for m in spec["mounts"] for o in m.get("options", []) if o.startswith("gid=")]
    assert b.config["root"]["path"] == "rootfs"


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


def test_foreign_ids_without_the_right_to_have_them(as_user):
    """Here newuidmap may not even become root."""
    run, b = as_user
    b.linux["uidMappings"] = [{"containerID": 0, "hostID": 100000, "size": 10}]
    b.save()
    done = run("run", "-b", b.path, b.id)
    assert done.returncode == 1 and "/etc/subuid does not give" in done.stderr
    assert f'{UID}:100000:10' in done.stderr


def test_ids_that_are_mapped_twice(as_user):
    run, b = as_user
    b.linux["uidMappings"] *= 2
    b.save()
    done = run("run", "-b", b.path, b.id)
    assert done.returncode == 1 and "overlaps [0]" in done.stderr


def test_interfaces_are_roots(as_user):
    run, b = as_user
    b.namespace("network")
    b.linux["netDevices"] = {"v0": {}}
    b.save()
    done = run("run", "-b", b.path, b.id)
    assert done.returncode == 1 and "only root moves network interfaces" in done.stderr
