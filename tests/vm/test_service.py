# SPDX-License-Identifier: Apache-2.0
"""tared as the packaged unit of systemd: its pods live in scopes, their supervisors in a cgroup
outside of the service, and neither ends with it."""
import os
import pathlib
import re
import signal

import pytest

from support.cri import Client
from support.node import Node, running, wait_until
from systemd_units import CGROUPS, properties, systemctl

UNIT = pathlib.Path(__file__).parents[2] / "packaging/systemd/tared.service"
PLACE = pathlib.Path("/run/systemd/system/tared.service")
CONFIG = pathlib.Path("/etc/tare/config.toml")
SHIMS = CGROUPS / "tare-shims"
SECONDS = 60


@pytest.fixture(scope="session")
def crictl():
    return None  # built in Go: not for here


class Service(Node):
    """The node's daemon is systemd's, in the machine's namespaces, with the default cgroups."""

    def configure(self):
        text = pathlib.Path(self.path("config.toml")).read_text()
        text = re.sub(r"(?m)^(cgroup_parent|shim_cgroup) .*\n", "", text)
        CONFIG.parent.mkdir(exist_ok=True)
        CONFIG.write_text(text)
        PLACE.parent.mkdir(exist_ok=True)
        packaged, program = UNIT.read_text(), os.path.join(self.build, "src/cmd/tared")
        assert "ExecStart=/usr/bin/tared\n" in packaged
        PLACE.write_text(packaged.replace("=/usr/bin/tared\n", f"={program}\n"))  # as quickstart
        systemctl("daemon-reload")

    def systemctl(self, verb):
        """start and restart return when tared says that it is ready."""
        if self.client:
            self.client.close()
        self.client = None
        systemctl(verb, "tared")
        state = properties("tared", "ActiveState")["ActiveState"]
        assert state == ("inactive" if verb == "stop" else "active"), systemctl("status", "tared")
        if verb != "stop":
            self.client = Client(self.socket, self.services)
            self.client.Version(deadline=SECONDS)


@pytest.fixture
def service(build, services, layout):
    made = Service(build, services)
    made.configure()
    made.systemctl("start")
    made.load_image(layout)
    yield made
    made.systemctl("start")
    made.remove_everything()
    made.systemctl("stop")
    for path in (PLACE, CONFIG):
        path.unlink()
    systemctl("daemon-reload")
    systemctl("stop", "tare.slice")
    made.wipe()
    assert not SHIMS.exists(), "a supervisor is left"


def members(folder):
    return {int(pid) for pid in (folder / "cgroup.procs").read_text().split()}


def main_pid():
    return int(properties("tared", "MainPID")["MainPID"])


def assert_lives(service, container, pid, shims):
    assert members(SHIMS) == shims and all(map(running, shims))
    status = service.client.ContainerStatus(container_id=container.id).status
    assert status.state == 1, status
    assert container.pid == pid and running(pid)
    assert container.exec("echo", "there").stdout == b"there\n"


def test_pods_outlive_the_service(service):
    assert service.client.RuntimeConfig().linux.cgroup_driver == 0, "SYSTEMD"
    pod = service.run_pod()
    container = pod.run(linux={"resources": {"memory_limit_in_bytes": 64 << 20}})
    pid, first, shims = container.pid, main_pid(), members(SHIMS)
    scope = CGROUPS / "tare.slice" / f"tare-{container.id}.scope"
    assert pid in members(scope) and (scope / "memory.max").read_text() == f"{64 << 20}\n"
    assert members(CGROUPS / "system.slice/tared.service") == {first} and shims
    assert properties(scope.name, "Slice", "ActiveState") == {"Slice": "tare.slice",
                                                              "ActiveState": "active"}
    service.systemctl("restart")
    second = main_pid()
    assert second != first and not running(first)
    assert_lives(service, container, pid, shims)

    service.systemctl("stop")
    assert running(pid) and members(SHIMS) == shims
    service.systemctl("start")
    assert_lives(service, container, pid, shims)

    third = main_pid()
    os.kill(third, signal.SIGKILL)  # Restart=always
    wait_until(lambda: main_pid() not in (0, third), SECONDS, "tared to be started again")
    service.systemctl("start")
    assert_lives(service, container, pid, shims)

    systemctl("daemon-reload")
    assert (scope / "memory.max").read_text() == f"{64 << 20}\n"
    pod.remove()
    assert not scope.exists() and not running(pid)
    wait_until(lambda: not SHIMS.exists(), SECONDS, "the supervisor to end")
