# SPDX-License-Identifier: Apache-2.0
"""Tests for a guest of vm.py: process 1 is systemd.

The bundles are those of tests/runtime, and so is the proof that nothing is left.
"""
import importlib.util
import pathlib

import pytest

from support import fixtures
from systemd_units import CGROUPS, systemctl

RUNTIME = pathlib.Path(__file__).parents[1] / "runtime" / "conftest.py"
spec = importlib.util.spec_from_file_location("runtime_bundles", RUNTIME)
bundles = importlib.util.module_from_spec(spec)
spec.loader.exec_module(bundles)

probe, machine, cgroup_folder = bundles.probe, bundles.machine, bundles.cgroup_folder
build, layout, services = fixtures.build, fixtures.layout, fixtures.services
make_node, node_cgroups = fixtures.make_node, fixtures.cgroup_folder
pytest_runtest_makereport = fixtures.pytest_runtest_makereport


def pytest_collection_modifyitems(items):
    if not pathlib.Path("/run/vm/out").exists():
        for item in items:
            item.add_marker(pytest.mark.skip(reason="for a guest of tests/vm/vm.py"))


class Scope(bundles.Bundle):
    """A bundle whose cgroup is a scope in taretest-vm.slice."""

    def __init__(self, machine, name, args):
        super().__init__(machine, name, args)
        self.unit = f"tare-{machine.path.name}-{name}.scope"
        self.linux["cgroupsPath"] = f"taretest-vm.slice:tare:{machine.path.name}-{name}"
        self.folder = CGROUPS / "taretest.slice/taretest-vm.slice" / self.unit
        self.save()

    def value(self, file):
        return (self.folder / file).read_text().strip()


@pytest.fixture
def scopes(machine):
    """Makes bundles; the runtime is called with the options in machine.flags."""
    plain_run, plain_start = machine.run, machine.start_process
    machine.flags = ["--systemd-cgroup"]
    machine.run = lambda *args, **more: plain_run(*machine.flags, *args, **more)
    machine.start_process = lambda *args, **more: plain_start(*machine.flags, *args, **more)
    made = []

    def make(*args):
        machine.count += 1
        made.append(Scope(machine, f"c{machine.count}", args or ("report",)))
        return made[-1]

    yield make
    for container in machine.ids():
        machine.run("delete", "--force", container)
    for bundle in made:
        assert not bundle.folder.exists(), "a cgroup is left"


@pytest.fixture
def images(tmp_path):
    return tmp_path / "images"


@pytest.fixture(scope="session", autouse=True)
def no_unit_is_left():
    yield
    units = systemctl("list-units", "--all", "--plain", "--no-legend", "*.scope").splitlines()
    names = [unit.split()[0] for unit in units]
    assert names == ["init.scope"], "units are left"
    systemctl("stop", "taretest.slice")
