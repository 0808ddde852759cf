# SPDX-License-Identifier: Apache-2.0
"""create, start, state, kill, delete, run, exec, list: what they do and what they say."""
import array
import json
import os
import signal
import socket
import subprocess

import pytest


def test_create_start_kill_delete(machine):
    b = machine.bundle("wait")
    assert b.create("--pid-file", b.path / "pid") == 0, b.output()
    state = b.state()
    assert state["status"] == "created"
    assert state["id"] == b.id and state["bundle"] == str(b.path)
    assert (b.path / "pid").read_text() == str(state["pid"])
    assert b.output() == ""
    b.start().ok()
    b.wait_output("ready")
    assert b.state()["status"] == "running"
    assert machine.ids() == [b.id]
    b.kill("USR1").ok()
    b.wait_output("SIGUSR1")
    b.kill().ok()
    b.wait_status("stopped")
    assert b.state()["pid"] == 0
    b.kill().failed("container not running", 1)
    b.delete().ok()
    machine.run("state", b.id).failed("does not exist", 1)


@pytest.mark.parametrize("name", ["KILL", "SIGKILL", "kill", "9"])
def test_signal_names(machine, name):
    b = machine.bundle("ignore").up()
    b.kill(name).ok()
    b.wait_status("stopped")
    b.delete().ok()


def test_unknown_signal(machine):
    b = machine.bundle("wait").up()
    b.kill("NOSUCH").failed("unknown signal")
    b.stop()


def test_run_returns_the_exit_code(machine):
    b = machine.bundle("exit", "42")
    assert b.run().code == 42
    assert machine.ids() == []


def test_run_returns_128_plus_signal(machine):
    b = machine.bundle("wait")
    b.save()
    child = machine.start_process("run", "-b", b.path, b.id)
    assert child.stdout.readline() == b"ready\n"
    os.kill(child.pid, signal.SIGUSR2)  # is passed on
    assert child.stdout.readline() == b"SIGUSR2\n"
    b.kill("KILL").ok()
    assert child.wait(10) == 137


def test_run_keep(machine):
    b = machine.bundle("exit", "0")
    b.run("--keep").ok()
    assert b.state()["status"] == "stopped"
    b.delete().ok()


def test_run_detached(machine):
    b = machine.bundle("wait")
    b.save()
    with open(b.path / "out", "wb") as out:
        subprocess.run([machine.runtime, "--root", machine.root, "run", "-d", "-b", b.path, b.id],
                       stdout=out, stderr=out, stdin=subprocess.DEVNULL, check=True)
    assert b.state()["status"] == "running"
    b.stop()


def test_duplicate_id(machine):
    b = machine.bundle("wait").up()
    b.run().failed("already exists")
    assert b.state()["status"] == "running"
    b.stop()


@pytest.mark.parametrize("bad", [".", "..", "a/b", "a b", "ä", "@x"])
def test_bad_ids(machine, bad):
    b = machine.bundle()
    machine.run("run", "-b", b.path, bad).failed("invalid id format", 1)


def test_delete_running_needs_force(machine):
    b = machine.bundle("ignore").up()
    b.delete().failed("that is not stopped: running", 1)
    b.delete("--force").ok()


def test_delete_created(machine):
    b = machine.bundle("wait")
    assert b.create() == 0
    b.delete().ok()


def test_delete_force_of_unknown_is_fine(machine):
    machine.run("delete", "--force", "nobody").ok()
    machine.run("delete", "nobody").failed("does not exist", 1)


def test_start_twice(machine):
    b = machine.bundle("wait").up()
    b.start().failed("cannot start a container in the running state", 1)
    b.stop()
    b.start().failed("does not exist", 1)


def test_list(machine):
    assert machine.run("list", "-f", "json").ok().out == "null\n"
    a, b = machine.bundle("wait").up(), machine.bundle("wait")
    assert b.create() == 0
    entries = {e["id"]: e for e in machine.run("list", "-f", "json").ok().json}
    assert entries[a.id]["status"] == "running" and entries[b.id]["status"] == "created"
    assert entries[a.id]["owner"] == "root"
    table = machine.run("list").ok().out.splitlines()
    assert table[0].split() == ["ID", "PID", "STATUS", "BUNDLE", "CREATED", "OWNER"]
    assert table[1].split()[:3] == [a.id, str(entries[a.id]["pid"]), "running"]
    a.stop()
    b.delete().ok()


def test_pause_resume(machine):
    b = machine.bundle("wait").up()
    machine.run("pause", b.id).ok()
    assert b.state()["status"] == "paused"
    b.exec("/bin/probe", "exit", "0").failed("paused", 255)
    machine.run("resume", b.id).ok()
    assert b.state()["status"] == "running"
    machine.run("resume", b.id).failed("not paused", 1)
    b.stop()


def test_ps(machine):
    b = machine.bundle("wait").up()
    assert machine.run("ps", "-f", "json", b.id).ok().json == [b.state()["pid"]]
    b.stop()


# -- exec ----------------------------------------------------------------------------------------


def test_exec(machine):
    b = machine.bundle("wait").up()
    inside = b.exec("/bin/probe", "report").ok().json
    assert inside["pid"] != 1
    for kind in ("ipc", "mnt", "net", "pid", "uts"):
        assert inside["namespaces"][kind] == os.readlink(f"/proc/{b.state()['pid']}/ns/{kind}")
    assert all(line.endswith(b.cgroup) for line in inside["cgroup"].splitlines())
    assert sorted(inside["fds"]) == ["0", "1", "2"]
    b.exec("/bin/probe", "exit", "9").failed("", 9)
    b.stop()


def test_exec_options(machine):
    b = machine.bundle("wait").up()
    inside = b.exec("/bin/probe", options=["--cwd", "/tmp", "-e", "A=1", "-e", "A=2", "-u",
                                           "1000:1000", "-g", "10", "--cap", "CAP_CHOWN"]).ok().json
    assert inside["cwd"] == "/tmp"
    assert "A=2" in inside["env"] and "A=1" not in inside["env"]
    assert "HOME=/home/ada" in inside["env"]
    assert inside["uids"] == [1000] * 3 and inside["gids"] == [1000] * 3
    assert inside["groups"] == [10]
    assert inside["caps"]["bounding"] & 1
    b.stop()


def test_exec_process_file(machine):
    b = machine.bundle("wait").up()
    process = dict(b.process, args=["/bin/probe", "report"], env=["X=y"], cwd="/home")
    (b.path / "process.json").write_text(json.dumps(process))
    inside = b.exec(options=["--process", b.path / "process.json"]).ok().json
    assert inside["cwd"] == "/home" and "X=y" in inside["env"]
    b.stop()


def test_exec_detached(machine):
    b = machine.bundle("wait").up()
    with open(b.path / "out", "wb") as out:
        child = machine.start_process("exec", "-d", "--pid-file", b.path / "pid", b.id,
                                      "/bin/probe", "wait", stdout=out, stderr=out)
        assert child.wait(10) == 0
    pid = int((b.path / "pid").read_text())
    assert os.readlink(f"/proc/{pid}/ns/pid") == os.readlink(f"/proc/{b.state()['pid']}/ns/pid")
    b.stop()


@pytest.mark.parametrize("command, text", [
    ("nosuch", 'exec: "nosuch": executable file not found in $PATH'),
    ("/nosuch", "no such file or directory"),
    ("/etc/passwd", "permission denied"),
    ("/etc", "is a directory"),
])
def test_exec_errors(machine, command, text):
    b = machine.bundle("wait").up()
    b.exec(command).failed(text, 255)
    b.stop()


def test_exec_in_stopped(machine):
    b = machine.bundle("exit", "0").up()
    b.wait_status("stopped")
    b.exec("/bin/probe").failed("cannot exec in a stopped container", 255)
    b.delete().ok()


# -- errors of create ------------------------------------------------------------------------------


@pytest.mark.parametrize("args, text", [
    (["nosuch"], 'exec: "nosuch": executable file not found in $PATH'),
    (["/nosuch"], "no such file or directory"),
    (["/etc/passwd"], "permission denied"),
])
def test_missing_command(machine, args, text):
    b = machine.bundle()
    b.process["args"] = args
    b.run().failed(text, 1)
    assert b.create() == 1
    assert text in b.output()


def test_not_a_program(machine):
    b = machine.bundle()
    (b.rootfs / "bin/text").write_text("hello")
    (b.rootfs / "bin/text").chmod(0o755)
    b.process["args"] = ["/bin/text"]
    b.run().failed("exec format error", 1)
    assert b.create() == 0  # only the kernel knows, and it is asked at the start
    b.start().failed("exec format error", 1)
    b.wait_status("stopped")
    b.delete().ok()


def test_cwd_is_made(bundle):
    bundle.process["cwd"] = "/new/folder"
    assert bundle.report()["cwd"] == "/new/folder"


def test_cwd_is_a_file(bundle):
    bundle.process["cwd"] = "/etc/passwd"
    bundle.run().failed("process.cwd: open '/etc/passwd'", 1)


def test_missing_mount_source(bundle):
    bundle.mount("/x", type="bind", source="/nosuch", options=["bind"])
    bundle.run().failed('mount "/nosuch" on "/x": source does not exist', 1)


def test_missing_rootfs(bundle):
    bundle.config["root"]["path"] = "nothing"
    bundle.run().failed("does not exist; unpack", 1)


def test_bad_config(bundle):
    bundle.save()
    (bundle.path / "config.json").write_text("{")
    bundle.machine.run("run", "-b", bundle.path, bundle.id).failed("config.json", 1)
    (bundle.path / "config.json").unlink()
    bundle.machine.run("run", "-b", bundle.path, bundle.id).failed("No such file", 1)


def test_log_file(bundle):
    bundle.process["args"] = ["nosuch"]
    bundle.save()
    log = bundle.path / "log"
    bundle.machine.run("--log", log, "--log-format", "json", "run", "-b", bundle.path,
                       bundle.id).failed("executable file not found", 1)
    last = json.loads(log.read_text().splitlines()[-1])
    assert last["level"] == "error" and "executable file not found" in last["msg"]


def test_version_and_help(machine):
    assert "spec: 1.3.0" in machine.run("--version").ok().out
    assert "create" in machine.run("--help").ok().out
    machine.run("nosuch").failed("no command is called", 1)


def test_features(machine):
    f = machine.run("features").ok().json
    assert "rbind" in f["mountOptions"] and f["linux"]["cgroup"]["v2"] is True


def test_spec_does_not_overwrite(machine):
    b = machine.bundle()
    machine.run("spec", "-b", b.path).failed("exists", 1)


# -- terminals -------------------------------------------------------------------------------------


def receive_master(listener):
    peer, _ = listener.accept()
    fds = array.array("i")
    data, ancillary, _, _ = peer.recvmsg(256, socket.CMSG_LEN(fds.itemsize))
    for _, _, payload in ancillary:
        fds.frombytes(payload[:fds.itemsize])
    return data, fds[0]


def read_all(fd):
    data = b""
    while True:
        try:
            chunk = os.read(fd, 65536)
        except OSError:
            return data
        if not chunk:
            return data
        data += chunk


def test_console_socket(machine):
    b = machine.bundle()
    b.process["terminal"] = True
    b.process["consoleSize"] = {"height": 33, "width": 44}
    path = b.path / "console"
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(str(path))
    listener.listen(1)
    assert b.create("--console-socket", path) == 0, b.output()
    name, master = receive_master(listener)
    assert name == b"/dev/pts/0"
    b.start().ok()
    report = json.loads(read_all(master))
    os.close(master)
    assert report["tty"] == 1 and (report["rows"], report["columns"]) == (33, 44)
    assert report["fds"] == {"0": "/dev/pts/0", "1": "/dev/pts/0", "2": "/dev/pts/0"}
    assert report["dev"]["console"]["rdev"] == "136:0"
    b.wait_status("stopped")
    b.delete().ok()


def test_exec_with_console_socket(machine):
    b = machine.bundle("wait").up()
    path = b.path / "console"
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(str(path))
    listener.listen(1)
    b.exec("/bin/probe", options=["-t", "-d", "--console-socket", path]).ok()
    _, master = receive_master(listener)
    assert json.loads(read_all(master))["tty"] == 1
    os.close(master)
    b.stop()


def test_terminal_needs_somebody(machine):
    b = machine.bundle()
    b.process["terminal"] = True
    assert b.create() == 1
    assert "console-socket" in b.output()
    b.process["terminal"] = False
    assert b.create("--console-socket", b.path / "x") == 1


def test_run_with_a_terminal(machine):
    b = machine.bundle()
    b.process["terminal"] = True
    assert b.report()["tty"] == 1


# -- descriptors -----------------------------------------------------------------------------------


def test_no_descriptor_leaks_in(machine):
    b = machine.bundle()
    b.save()
    fds = [os.open("/", os.O_RDONLY) for _ in range(64)]
    for fd in fds:
        os.set_inheritable(fd, True)
    child = machine.start_process("run", "-b", b.path, b.id, close_fds=False)
    out, err = child.communicate(timeout=20)
    for fd in fds:
        os.close(fd)
    assert child.returncode == 0, err
    assert sorted(json.loads(out)["fds"]) == ["0", "1", "2"]


def test_preserve_fds(machine):
    b = machine.bundle()
    b.save()
    r, w = os.pipe()
    script = 'exec 3<&0; exec "$@"'
    done = subprocess.run(["sh", "-c", script, "sh", machine.runtime, "--root", machine.root, "run",
                           "--preserve-fds", "1", "-b", b.path, b.id],
                          stdin=r, stdout=subprocess.PIPE, check=True)
    os.close(r)
    os.close(w)
    fds = json.loads(done.stdout)["fds"]
    assert sorted(fds) == ["0", "1", "2", "3"] and fds["3"].startswith("pipe:")
    b.run("--preserve-fds", "5").failed("is not open", 1)


def test_signals_start_clean(machine):
    b = machine.bundle()
    b.save()
    child = machine.start_process("run", "-b", b.path, b.id, preexec_fn=lambda: signal.signal(
        signal.SIGPIPE, signal.SIG_IGN), restore_signals=False)
    out, err = child.communicate(timeout=20)
    assert child.returncode == 0, err
    assert json.loads(out)["signals"] == {"ignored": 0, "blocked": 0}
