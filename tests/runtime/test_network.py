# SPDX-License-Identifier: Apache-2.0
"""linux.netDevices: interfaces move into the container. The host is a network namespace."""
import pytest

HOST = """
ip link add v0 type veth peer name v1
ip link set v0 mtu 1400 address 02:00:00:00:00:01 up
ip addr add 192.0.2.1/24 brd + dev v0
ip addr add 192.0.2.2/32 dev v0
ip addr add 2001:db8::1/64 dev v0 nodad
ip addr add 169.254.0.1/16 scope link dev v0
"""


@pytest.fixture
def host(machine):
    """The machine has interfaces v0 and v1, in a network namespace that ends with each command."""
    machine.prefix = ["unshare", "-n", "sh", "-ec", HOST + 'exec "$@"', "sh"]
    return machine


@pytest.mark.parametrize("name", [None, "eth0"])
def test_device_moves_with_its_addresses(host, name):
    b = host.bundle()
    b.linux["netDevices"] = {"v0": {"name": name} if name else {}}
    r = b.report()
    inside = name or "v0"
    assert f"{inside}:" in r["net_dev"] and "v1:" not in r["net_dev"]
    for address in ("192.0.2.1", "192.0.2.2", "192.0.2.255"):
        assert address in r["fib"], r["fib"]
    assert "169.254.0.1" not in r["fib"], "an address of the link is the host's"
    assert [line for line in r["inet6"].splitlines()
            if line.startswith("20010db8000000000000000000000001") and line.endswith(inside)]


def test_device_is_up_and_keeps_its_own(host):
    b = host.bundle("cat", "/sys/class/net/v0/flags", "/sys/class/net/v0/mtu",
                    "/sys/class/net/v0/address")
    b.linux["netDevices"] = {"v0": {}}
    flags, mtu, address = b.run().ok().out.split()
    assert int(flags, 16) & 1 and mtu == "1400" and address == "02:00:00:00:00:01"


def test_hooks_find_it(host):
    b = host.bundle()
    b.linux["netDevices"] = {"v0": {}}
    b.hook("createRuntime", "fail", "stop here")
    b.run().failed("stop here", 1)


@pytest.mark.parametrize("devices, text", [
    ({"nosuch": {}}, "linux.netDevices: 'nosuch': there is no interface of this name"),
    ({"v0": {"name": "lo"}}, "has an interface 'lo' already"),
    ({"lo": {}}, "linux.netDevices: 'lo'"),
    ({"v0": {"name": "a/b"}}, "linux.netDevices"),
])
def test_what_cannot_move(host, devices, text):
    b = host.bundle()
    b.linux["netDevices"] = devices
    b.run().failed(text, 1)


def test_no_namespace_of_its_own(host):
    b = host.bundle()
    b.linux["netDevices"] = {"v0": {}}
    b.without_namespace("network")
    b.run().failed("netDevices", 1)
    b.namespace("network", "/proc/self/ns/net")
    b.run().failed("is our own", 1)


def test_into_a_user_namespace(host):
    b = host.bundle()
    b.with_user_namespace()
    b.linux["netDevices"] = {"v0": {"name": "eth0"}}
    r = b.report()
    assert "eth0:" in r["net_dev"] and "192.0.2.1" in r["fib"]
