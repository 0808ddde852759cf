# SPDX-License-Identifier: Apache-2.0
"""conmon called as CRI-O calls it: by options, start and sync pipes, the file of a process."""
import json
import os
import shutil
import subprocess

import pytest

from engines import CGROUP, SECONDS
from support import isolation
from support.node import wait_until

ID = "c0ffee"


class Conmon:
    def __init__(self, folder, engine_root, runtime):
        self.folder, self.runtime = folder, runtime
        self.program = f"{engine_root}/usr/bin/conmon"
        self.bundle = f"{folder}/bundle"
        self.state_root = f"{folder}/runc"
        os.makedirs(f"{self.bundle}/rootfs/bin")
        for name in ("exits", "persist", "attach"):
            os.makedirs(f"{folder}/{name}")
        shutil.copy(isolation.busybox(), f"{self.bundle}/rootfs/bin/busybox")
        for name in ("sh", "sleep", "cat", "echo"):
            os.symlink("busybox", f"{self.bundle}/rootfs/bin/{name}")

    def write_config(self, *command):
        subprocess.run([self.runtime, "spec"], cwd=self.bundle, check=True)
        path = f"{self.bundle}/config.json"
        with open(path, encoding="utf-8") as file:
            config = json.load(file)
        config["process"].update(args=command, terminal=False)
        config["process"].pop("rlimits", None)
        config["root"]["readonly"] = False
        config["linux"]["cgroupsPath"] = f"{CGROUP}/{ID}"
        with open(path, "w", encoding="utf-8") as file:
            json.dump(config, file)

    def call(self, *options):
        """What conmon writes to the sync pipe: one object, as CRI-O reads it."""
        sync_read, sync_write = os.pipe()
        start_read, start_write = os.pipe()
        env = {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "_OCI_SYNCPIPE": str(sync_write),
               "_OCI_STARTPIPE": str(start_read)}
        command = [self.program, "-b", self.bundle, "-c", ID,
                   "-l", f"k8s-file:{self.folder}/log", "--log-level", "info", "-n", "name",
                   "-P", f"{self.folder}/conmon-pid", "--persist-dir", f"{self.folder}/persist",
                   "-r", self.runtime, "--runtime-arg", f"--root={self.state_root}",
                   "--socket-dir-path", f"{self.folder}/attach", "-u", ID, *options]
        process = subprocess.Popen(command, env=env, pass_fds=(sync_write, start_read),
                                   stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                                   stderr=subprocess.PIPE, cwd=self.folder)
        os.close(sync_write)
        os.close(start_read)
        os.write(start_write, b"\0")
        os.write(start_write, b"\0")  # exec of a terminal waits for a second one
        os.close(start_write)
        with os.fdopen(sync_read, encoding="utf-8") as pipe:  # open for as long as conmon runs
            said = json.loads(pipe.readline())
        process.communicate(timeout=SECONDS)
        return said

    def create(self, *command):
        self.write_config(*command)
        return self.call("-p", f"{self.folder}/pid", "--exit-dir", f"{self.folder}/exits")

    def exec_sync(self, *command):
        path = f"{self.folder}/process.json"
        with open(path, "w", encoding="utf-8") as file:
            json.dump({"args": command, "cwd": "/", "env": ["PATH=/bin"],
                       "user": {"uid": 0, "gid": 0}}, file)
        return self.call("-p", f"{self.folder}/exec-pid", "-e", "--exec-process-spec", path)

    def runtime_call(self, *args, code=0):
        done = subprocess.run([self.runtime, f"--root={self.state_root}", *args], check=False,
                              text=True, capture_output=True, timeout=SECONDS)
        assert done.returncode == code, done.stdout + done.stderr
        return done.stdout

    def log(self):
        with open(f"{self.folder}/log", encoding="utf-8") as file:
            return file.read()

    def state(self):
        return json.loads(self.runtime_call("state", ID))


@pytest.fixture
def conmon(tmp_path, engine_root, runtime):
    made = Conmon(str(tmp_path), engine_root, runtime)
    yield made
    subprocess.run([runtime, f"--root={made.state_root}", "delete", "--force", ID], check=False,
                   capture_output=True)


def exit_code(conmon):
    path = f"{conmon.folder}/exits/{ID}"
    wait_until(lambda: os.path.exists(path))
    with open(path, encoding="utf-8") as file:
        return int(file.read())


def test_life_as_crio_drives_it(conmon):
    said = conmon.create("sh", "-c", "echo ready; trap 'exit 3' TERM; while :; do sleep 0.1; done")
    with open(f"{conmon.folder}/pid", encoding="utf-8") as file:
        assert said["pid"] == int(file.read()) == conmon.state()["pid"]
    assert conmon.state()["status"] == "created"
    conmon.runtime_call("start", ID)
    wait_until(lambda: "stdout F ready" in conmon.log())
    said = conmon.exec_sync("sh", "-c", "echo in; exit 9")
    assert said["exit_code"] == 9
    said = conmon.exec_sync("absent")
    assert said["exit_code"] == -1 and "executable file not found" in said["message"]
    conmon.runtime_call("pause", ID)
    assert conmon.state()["status"] == "paused"
    conmon.runtime_call("resume", ID)
    conmon.runtime_call("kill", ID, "15")
    assert exit_code(conmon) == 3
    assert conmon.state()["status"] == "stopped"
    conmon.runtime_call("delete", ID)
    conmon.runtime_call("state", ID, code=1)


def test_create_fails_with_a_message(conmon):
    said = conmon.create("absent")
    assert said["pid"] == -1
    assert "executable file not found" in said["message"]
    conmon.runtime_call("state", ID, code=1)
