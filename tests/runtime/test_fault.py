# SPDX-License-Identifier: Apache-2.0
"""A runtime that dies, or fails, at each of its steps: what is left can be deleted, all of it."""
import os
import pathlib
import re
import signal
import time

import pytest

LATE = [f"runtime.init.{step}" for step in ("gate", "start-container", "check", "exec")]
SOURCE = pathlib.Path(__file__).parents[2] / "src/runtime"


ALONE = "completes_itself"  # applies() of the steps of a start on the spot


def steps(file):
    """Rows of the step table: (name, applies, parent has a side, init has a side)."""
    table = re.search(r"static const Step steps\[\] = \{(.*?)\n\};", (SOURCE / file).read_text(),
                      re.S).group(1)
    rows = re.findall(r'\{\s*"([a-z-]+)",\s*(\w+),\s*(\w+),\s*(\w+),', table)
    assert len(rows) > 8
    return [(name, applies, parent != "NULL", init != "NULL")
            for name, applies, parent, init in rows]


def points(file, alone=False):
    found = []
    for name, applies, parent, init in steps(file):
        if name == "userns":  # joins one by path, where "idmap" makes one: never both
            continue
        if (applies == ALONE) != alone:
            continue
        found += [f"runtime.{name}"] * parent + [f"runtime.init.{name}"] * init
    return found


def with_everything(machine):
    """A container in which every step applies."""
    machine.prefix = ["unshare", "-n", "sh", "-ec",
                      'ip link add v0 type veth peer name v1; exec "$@"', "sh"]
    b = machine.bundle("wait").with_user_namespace()
    b.namespace("cgroup")
    b.linux["netDevices"] = {"v0": {"name": "eth0"}}
    b.hook("createRuntime", "exit", "0")
    b.linux["sysctl"] = {"kernel.msgmax": "7777"}
    return b


def skip_unless_it_applies(machine, point):
    """Sanitizer builds are not static, and run from a sealed copy: there is no file to leave."""
    if point == "runtime.init.exe" and b"/ld-linux" in machine.runtime.read_bytes():
        pytest.skip("the step is for a static program")


def alive(pid):
    try:
        text = pathlib.Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return False
    return text.rpartition(")")[2].split()[0] not in "ZX"


def wait_gone(pids, seconds=10):
    end = time.time() + seconds
    while any(alive(p) for p in pids):
        assert time.time() < end, "a process is left"
        time.sleep(0.01)


@pytest.mark.parametrize("point", points("create.c"))
def test_killed_while_creating(machine, point):
    skip_unless_it_applies(machine, point)
    b = with_everything(machine)
    env = dict(os.environ, TARE_FAULT=f"{point}=kill")
    late = point in LATE
    code = b.create(env=env)
    if late:  # create is over by then: the start sees it
        assert code == 0, b.output()
        b.start().failed("", 1)
    else:
        assert code != 0
        if not point.startswith("runtime.init."):
            assert code == -signal.SIGKILL
    # the machine fixture asserts that nothing is left after this
    b.delete("--force").ok()
    assert machine.ids() == []


@pytest.mark.parametrize("point", points("create.c"))
def test_failing_while_creating(machine, point):
    """An error undoes everything by itself."""
    skip_unless_it_applies(machine, point)
    b = with_everything(machine)
    late = point in LATE
    code = b.create(env=dict(os.environ, TARE_FAULT=f"{point}=fail"))
    if late:
        if code == 0:
            b.start().failed("", 1)
        b.delete("--force").ok()
        return
    assert code == 1
    assert "fault injected" in b.output()
    step = point.rpartition(".")[2]
    assert step in b.output()
    assert machine.ids() == []


def in_the_users_of(machine, init):
    """A container of the same user namespace, as those of a pod are."""
    b = machine.bundle("wait").with_user_namespace()
    del b.linux["uidMappings"], b.linux["gidMappings"]
    b.namespace("user", f"/proc/{init}/ns/user")
    return b


@pytest.mark.parametrize("point", ["runtime.spawn.answered", "runtime.record", "runtime.cgroup",
                                   "runtime.init.userns", "runtime.init.root", "runtime.ready"])
@pytest.mark.parametrize("action", ["kill", "fail"])
def test_dying_in_users_that_are_joined(machine, point, action):
    """The helper, and the init that it clones, are in a cgroup that was made before them."""
    first = machine.bundle("wait").with_user_namespace().up()
    b = in_the_users_of(machine, first.state()["pid"])
    assert b.create(env=dict(os.environ, TARE_FAULT=f"{point}={action}")) != 0
    if action == "kill":
        b.delete("--force").ok()
    assert machine.ids() == [first.id]
    first.stop()


def test_users_that_cannot_be_joined(machine):
    """The helper says so: nobody may enter the user namespace that he is in."""
    b = machine.bundle("wait").with_user_namespace()
    del b.linux["uidMappings"], b.linux["gidMappings"]
    b.namespace("user", "/proc/self/ns/user")
    assert b.create() == 1
    assert "join user namespace" in b.output()
    assert machine.ids() == []


@pytest.mark.parametrize("point", ["runtime.record", "runtime.config", "runtime.init.identity",
                                   "runtime.init.exec", *points("create.c", alone=True)])
@pytest.mark.parametrize("action", ["kill", "fail"])
def test_dying_while_starting_on_the_spot(machine, point, action):
    """A run, in which the init completes the record by itself."""
    b = machine.bundle("wait")
    done = b.run(env={"TARE_FAULT": f"{point}={action}"})
    assert done.code == (-signal.SIGKILL if action == "kill" and ".init." not in point else 1)
    if action == "fail":
        assert "fault injected" in done.err, done.err
    if done.code == 1:
        assert machine.ids() == []
    b.delete("--force").ok()
    assert machine.ids() == []


@pytest.mark.parametrize("point", points("exec.c"))
@pytest.mark.parametrize("action", ["kill", "fail"])
def test_exec_that_dies(machine, point, action):
    b = machine.bundle("wait").up()
    before = b.cgroup_file("pids", "cgroup.procs").read_text()
    done = b.exec("/bin/probe", "wait", options=["-d"], env={"TARE_FAULT": f"{point}={action}"})
    assert done.code != 0
    end = time.time() + 5
    while b.cgroup_file("pids", "cgroup.procs").read_text() != before:
        assert time.time() < end, "a process is left in the container"
        time.sleep(0.01)
    assert b.state()["status"] == "running"
    b.exec("/bin/probe", "exit", "0").ok()
    b.stop()


@pytest.mark.parametrize("step", ["kill", "cgroup", "hooks", "record"])
def test_killed_while_deleting(machine, step):
    b = machine.bundle("ignore").up()
    pid = b.state()["pid"]
    done = machine.run("delete", "--force", b.id, env={"TARE_FAULT": f"runtime.delete.{step}=kill"})
    assert done.code == -signal.SIGKILL
    assert machine.ids() == [b.id]
    b.delete("--force").ok()
    wait_gone([pid])


def test_parent_dies_under_a_stalled_init(machine):
    """The init ends itself at its next barrier."""
    b = with_everything(machine)
    b.save()
    child = machine.start_process("create", "-b", b.path, b.id,
                                  env=dict(os.environ, TARE_FAULT="runtime.init.mounts=ms:700"))
    time.sleep(0.3)
    child.kill()
    child.communicate()
    b.delete("--force").ok()


@pytest.mark.parametrize("point", ["runtime.init.mounts", "runtime.cgroup", "runtime.ready"])
def test_delete_force_ends_a_create_that_hangs(machine, point):
    b = with_everything(machine)
    b.save()
    child = machine.start_process("create", "-b", b.path, b.id,
                                  env=dict(os.environ, TARE_FAULT=f"{point}=stall"))
    end = time.time() + 10
    record = machine.root / b.id / "intent.json"
    while not (record.exists() and '"pid":0' not in record.read_text()):
        assert time.time() < end
        time.sleep(0.01)
    time.sleep(0.2)
    b.delete("--force").ok()
    assert machine.ids() == []
    if point.startswith("runtime.init."):
        assert child.wait(10) == 1  # its init is gone: it ends by itself
        assert b"killed by signal 9" in child.stderr.read()


@pytest.mark.parametrize("text", ["", "{", '{"id": 5}', "\0" * 100])
def test_delete_force_takes_a_damaged_record(machine, text):
    b = machine.bundle("ignore").up()
    record = machine.root / b.id / "state.json"
    assert not (machine.root / b.id / "intent.json").exists()
    record.write_text(text)
    b.delete().failed("", 1)
    b.delete("--force").ok()
    assert machine.ids() == []


def test_large_record(machine):
    b = machine.bundle("wait")
    b.config["annotations"] = {f"k{i}": "v" * 100 for i in range(200)}
    b.up()
    assert b.state()["annotations"] == b.config["annotations"]
    b.stop()
