# SPDX-License-Identifier: Apache-2.0
"""The host's binary is nowhere to be found from inside (CVE-2019-5736)."""
import os
import pathlib
import time

import pytest


def test_created_init_does_not_run_from_the_host_file(machine):
    b = machine.bundle("wait")
    assert b.create() == 0
    pid = b.state()["pid"]
    assert os.readlink(f"/proc/{pid}/exe").startswith("/memfd:tare-runtime")
    fds = {os.readlink(f.path).split(":")[0] for f in os.scandir(f"/proc/{pid}/fd")}
    assert fds <= {"/dev/null", "socket", str(b.out)}, "nothing of the host is open"
    maps = pathlib.Path(f"/proc/{pid}/maps").read_text()
    assert str(machine.runtime) not in maps
    b.delete().ok()


@pytest.mark.parametrize("how", ["link", "script", "thread"])
def test_entry_point_that_is_our_own_exe(machine, how):
    """An image whose program is /proc/self/exe gets no way to the host's file."""
    b = machine.bundle()
    entry = b.rootfs / "bin/entry"
    if how == "link":
        entry.symlink_to("/proc/self/exe")
    else:
        entry.write_text("#!/proc/self/exe\n" if how == "script" else "#!/proc/thread-self/exe\n")
        entry.chmod(0o755)
    b.process["args"] = ["/bin/entry"]
    before = machine.runtime.read_bytes()
    done = b.run()
    assert done.code == 1, done.out
    assert machine.runtime.read_bytes() == before


def test_execed_process_is_not_open_to_the_container(machine):
    """While processes enter, one inside tries to open what they run from, with every right."""
    b = machine.bundle("wait")
    caps = ["CAP_SYS_PTRACE", "CAP_DAC_OVERRIDE", "CAP_SYS_ADMIN"]
    for kind in ("bounding", "effective", "permitted"):
        b.process["capabilities"][kind] = caps
    b.up()
    slow = [machine.start_process("exec", b.id, "/bin/probe", "exit", "0",
                                  env=dict(os.environ, TARE_FAULT="runtime.init.identity=ms:800"))
            for _ in range(3)]
    time.sleep(0.3)
    seen = b.exec("/bin/probe", "exes", options=["--cap", "CAP_SYS_PTRACE"]).ok().out
    for child in slow:
        assert child.wait(20) == 0
    ours = [line for line in seen.splitlines() if "tare-runtime" in line]
    assert len(ours) >= 1, seen
    for line in ours:
        assert "/memfd:tare-runtime" in line and not line.endswith("OPEN"), seen
    b.stop()


def test_caller_of_exec_that_the_container_sees(machine):
    """Without a pid namespace of the container's own, its processes see the runtime itself."""
    b = machine.bundle("wait")
    b.without_namespace("pid")
    b.up()
    caller = machine.start_process("exec", b.id, "/bin/probe", "exit", "0",
                                   env=dict(os.environ, TARE_FAULT="runtime.init.identity=ms:800"))
    time.sleep(0.4)
    assert os.readlink(f"/proc/{caller.pid}/exe").startswith("/memfd:tare-runtime")
    assert caller.wait(20) == 0
    b.stop()
