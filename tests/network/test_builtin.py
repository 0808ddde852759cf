# SPDX-License-Identifier: Apache-2.0
"""The built-in network (tare-net) against the distribution's plugins: the same state, to the byte
of a rule; either undoes what the other did; a death leaves nothing; many at once do not collide.

    TARE_BUILD=/tmp/build /usr/bin/python3 -m pytest tests/network/test_builtin.py

Needs what test_cni.py needs."""
import concurrent.futures
import json
import os
import pathlib
import re
import subprocess
import sys
import time

import pytest

from state import MAC
from test_cni import BUILD, HOLD, LACKS, PLUGINS, PORTMAP, Node, end, hold

HERE = pathlib.Path(__file__).parent
PROGRAM = pathlib.Path(BUILD or "/nonexistent") / "src/cmd/tare-net"
pytestmark = pytest.mark.skipif(bool(LACKS), reason="needs " + ", ".join(LACKS))
# So that no state has to be waited for.
QUIET = "sysctl -qw net.ipv6.conf.default.accept_dad=0 net.ipv6.conf.all.accept_dad=0 && "
PATIENCE_S = 60
TUNED_MAC = "C2:11:22:33:44:55"
TODAYS = os.environ.get("TARE_CNI_1_1")  # the plugins of today (tests/tools.py)


class Host(Node):
    def __init__(self, folder):
        super().__init__(folder)
        end(self.host)
        self.host = hold("unshare", "-m", "-n", "sh", "-c", QUIET + HOLD)
        self.held[0] = self.host

    def builtin(self, verb, *options, **where):
        return self.drive(verb, f"builtin={PROGRAM}", *options, **where)

    def state(self, pod=False):
        done = self.run(sys.executable, HERE / "state.py", pod=pod)
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)

    def files(self):
        return {str(p.relative_to(self.ipam)): [oct(p.stat().st_mode), p.is_file() and
                                                re.sub(MAC, "MAC", p.read_text())]
                for p in self.ipam.rglob("*")}

    def result(self, container="pod1"):
        """What the record has of it, with the drawn names replaced as state.py does."""
        path, = (self.cache / "results").glob(f"*-{container}-eth0")
        result = json.loads(path.read_text())["result"]
        if not result.get("dns"):  # left out by today's plugins
            result.pop("dns", None)
        for number, interface in enumerate(result["interfaces"]):
            link, = json.loads(self.run("ip", "-j", "link", "show", interface["name"],
                                        pod=bool(interface.get("sandbox"))).stdout)
            assert link["address"] == interface["mac"].lower()
            if interface["mac"].upper() != TUNED_MAC:
                interface["mac"] = f"MAC{number}"
            if interface["name"].startswith("veth"):
                interface["name"] = "VETH0"
            if interface.get("sandbox"):
                interface["sandbox"] = "POD"
        return result

    def leftovers(self):
        """What belongs to a pod: its chains have names of their own."""
        owned = [line for line in self.run("nft", "list", "ruleset").stdout.splitlines()
                 if "CNI-DN-" in line or re.search(r"10\.88\.7\.\d+ |fd88:7::[0-9a-f]+ ", line) or
                 re.search("CNI-(?!HOSTPORT|FORWARD|ADMIN|OWN)", line)]
        files = [name for name in self.files() if not name.endswith("/lock")
                 and "last_reserved_ip" not in name and name not in ("tare", "tuning")]
        shaped = self.run("ip", "-o", "link", "show", "type", "ifb").stdout.splitlines()
        return owned + files + self.veths() + shaped + self.records()


@pytest.fixture
def host(tmp_path):
    made = Host(tmp_path)
    yield made
    made.close()


@pytest.fixture
def two(tmp_path):
    """A host for the plugins, and an equal one for the built-in network."""
    made = []
    for name in ("plugins", "builtin"):
        (tmp_path / name).mkdir()
        made.append(Host(tmp_path / name))
    yield made
    for one in made:
        one.close()


def ipam(*subnets, **members):
    return {"type": "host-local", "ranges": [
        [{"subnet": s} if isinstance(s, str) else s] for s in subnets], **members}


V4, V6 = "10.88.7.0/24", "fd88:7::/64"
ROUTES = [{"dst": "0.0.0.0/0"}, {"dst": "::/0"}]
PORTS = ("port=8080:80", "port=8443:443", "udp=5353:53")
CASES = {
    "plain": {"ipam": ipam(V4)},
    "gateway": {"isGateway": True, "ipam": ipam(V4, routes=ROUTES[:1])},
    "default gateway": {"isDefaultGateway": True, "ipam": ipam(V4)},
    "default gateway with routes": {"isDefaultGateway": True, "ipam": ipam(
        V4, V6, routes=[{"dst": "0.0.0.0/0", "gw": "10.88.7.1"}, {"dst": "10.99.0.0/16"}])},
    "v6": {"isGateway": True, "ipam": ipam(V6, routes=ROUTES[1:])},
    "dual": {"isGateway": True, "ipam": ipam(V4, V6, routes=ROUTES)},
    "dual default gateway": {"isDefaultGateway": True, "ipam": ipam(V6, V4)},
    "routes": {"isGateway": True, "ipam": ipam(V4, routes=[
        {"dst": "10.1.0.0/16"}, {"dst": "10.2.0.0/16", "gw": "10.88.7.9"}])},
    "old form": {"ipam": {"type": "host-local", "subnet": V4, "rangeStart": "10.88.7.20",
                          "rangeEnd": "10.88.7.30", "gateway": "10.88.7.254"}},
    "ranges of a set": {"ipam": {"type": "host-local", "ranges": [
        [{"subnet": "10.88.7.0/30"}, {"subnet": "10.88.8.0/24"}]]}},
    "several of a family": {"isGateway": True, "ipam": ipam(V6, "fd88:8::/64")},
    # 1.1.1 cannot delete the chain of two addresses, its own either
    "masquerade of several": {"isGateway": True, "ipMasq": True, "undo": "builtin",
                              "ipam": ipam(V6, "fd88:8::/64", "fd88:7:1::/64")},
    "an address by force": {"isGateway": True, "forceAddress": True, "before": "10.88.7.99/24",
                            "ipam": ipam(V4)},
    "a bridge that was there": {"isGateway": True, "before": "10.88.7.1/24", "ipam": ipam(V4)},
    "mtu": {"mtu": 1400, "isGateway": True, "ipam": ipam(V4)},
    "hairpin": {"hairpinMode": True, "isGateway": True, "ipam": ipam(V4)},
    "promiscuous": {"promiscMode": True, "isGateway": True, "ipam": ipam(V4)},
    "name and dns": {"bridge": "br-pods", "ipam": ipam(V4), "dns": {
        "nameservers": ["10.88.7.1"], "search": ["pods.test"], "domain": "test"}},
    "masquerade": {"isGateway": True, "ipMasq": True, "ipam": ipam(V4, V6, routes=ROUTES)},
    "masquerade of odd sizes": {"isGateway": True, "ipMasq": True, "ipam": ipam(
        "10.88.64.0/18", "fd88:7::/60")},
    "ports": {"isGateway": True, "ipMasq": True, "ipam": ipam(V4, routes=ROUTES[:1]),
              "ports": PORTS},
    "ports of both families": {"isGateway": True, "ipMasq": True, "ports": PORTS,
                               "ipam": ipam(V4, V6, routes=ROUTES)},
    "ports of addresses": {"isGateway": True, "ipam": ipam(V4, V6), "ports": (
        "port=8080:80", "ip=127.0.0.1", "port=8081:81", "ip=fd00::1", "port=8082:82",
        "ip=0.0.0.0", "udp=8083:83", "ip=::")},
    "many ports": {"isGateway": True, "ipam": ipam(V4), "ports": tuple(
        f"port={port}:{port - 8000}" for port in range(8001, 8017))},
    "ports without snat": {"isGateway": True, "ipam": ipam(V4), "ports": PORTS,
                           "portmap": {"snat": False}},
    "ports behind loopback": {"isGateway": True, "ipMasq": True, "ipam": ipam(V4),
                              "ports": PORTS, "loopback": True},
}


def tuning(**members):
    return {"isGateway": True, "ipam": ipam(V4, V6), "chained": [{"type": "tuning", **members}]}


def shaped(**members):
    return {"isGateway": True, "ipam": ipam(V4, V6), "chained": [
        {"type": "bandwidth", "capabilities": {"bandwidth": True}, **members}]}


# Of what a plugin's CHECK says that it is broken, whoever has made it: a hardware address in
# capitals, numbers that the kernel parts by a tab, ports of 1.1.1, no rates in 1.1.1.
CHECK_FAILS = {"sysctl", "mac", "tuning before ports", "no rates"}
# A node's own.
RULES = ("iptables -P FORWARD DROP", "iptables -A FORWARD -i lo -j ACCEPT",
         "iptables -N CNI-FORWARD", "iptables -A CNI-FORWARD -s 10.88.9.77 -j ACCEPT")


# Of plugins that follow bridge; compared with the plugins of Debian and those of today.
CHAINED = {
    "sysctl": tuning(sysctl={
        "net.core.somaxconn": "500", "net/ipv4/conf/IFNAME/arp_filter": "1",
        "net.ipv4.conf.all.log_martians": "1", "net.ipv6.conf.IFNAME.accept_ra": "0",
        "net.ipv4.ping_group_range": "0 1000"}),
    "mac": tuning(mac=TUNED_MAC),
    "promisc": tuning(promisc=True),
    "mtu of one end": tuning(mtu=1300),
    "all multicast": tuning(allmulti=True),
    "no all multicast": tuning(allmulti=False),
    "all of tuning": tuning(mac=TUNED_MAC.lower(), promisc=True, mtu=1400, allmulti=True,
                            sysctl={"net.ipv4.conf.eth0.forwarding": "1"}),
    "none of tuning": tuning(mac="", promisc=False, mtu=0),
    "tuning before ports": {"ports": PORTS, "ipMasq": True, **tuning(mtu=1400)},
    "queue": {**tuning(txQLen=100), "today": True},
    "no queue": {**tuning(txQLen=0), "today": True},
    "both rates": {**shaped(), "options": ("in=10M", "out=1.5Mi")},
    "what a pod receives": {**shaped(), "mtu": 1400, "options": ("in=1k",)},
    "what a pod sends": {**shaped(), "mtu": 1400, "options": ("out=80G",)},
    "no rates": shaped(),
    "rates of the network": {**shaped(ingressRate=123456789, ingressBurst=8000000, egressRate=80,
                                      egressBurst=12000), "options": ("in=10M",)},
    "a network without rates": {**shaped(ingressRate=0), "options": ("in=10M",)},
    "firewall": {"isGateway": True, "ipam": ipam(V4, V6), "chained": [{"type": "firewall"}]},
    "firewall of a family": {"ipam": ipam(V6), "chained": [{"type": "firewall"}]},
    "firewall of several": {"ipam": ipam(V4, V6, "10.88.8.0/24", "fd88:8::/64"), "chained": [
        {"type": "firewall", "backend": "iptables", "iptablesAdminChainName": "CNI-OWN_1",
         "ingressPolicy": "open"}]},
    "firewall and rules": {"isGateway": True, "ipam": ipam(V4), "chained": [{"type": "firewall"}],
                           "ipMasq": True, "rules": RULES},
    "all of them": {**tuning(), "options": ("in=10M", "out=1P"), "chained": [
        *tuning(mtu=1300, promisc=True)["chained"], {"type": "firewall"}, *shaped()["chained"]]},
}


NOT_OF_BRIDGE = {"ports", "portmap", "loopback", "undo", "before", "chained", "today", "options",
                 "rules"}


def configure(host, case, version="1.0.0"):
    """The case as a network of the host; the options of an ADD or DEL."""
    bridge = {key: value for key, value in case.items()
              if key not in NOT_OF_BRIDGE}
    if "before" in case:
        host.run("ip", "link", "add", "cni0", "type", "bridge")
        host.run("ip", "addr", "add", case["before"], "dev", "cni0")
    for rule in case.get("rules", ()):
        assert host.run(*rule.split()).returncode == 0
    bridge["ipam"] = {**bridge["ipam"], "dataDir": str(host.ipam)}
    plugins = [{"type": "bridge", **bridge}]
    for plugin in case.get("chained", ()):
        plugins.append({**plugin, **({"dataDir": str(host.ipam / "tuning")}
                                     if plugin["type"] == "tuning" else {})})
    if "ports" in case:
        plugins.append({**PORTMAP, **case.get("portmap", {})})
    if case.get("loopback"):
        plugins.append({"type": "loopback"})
    host.network(*plugins, cniVersion=version)
    return (*case.get("ports", ()), *case.get("options", ()))


def differences(a, b, path=""):
    """Where the two are not the same, a line each."""
    if isinstance(a, dict) and isinstance(b, dict):
        return [line for key in sorted(a.keys() | b.keys())
                for line in differences(a.get(key), b.get(key), f"{path}.{key}")]
    if isinstance(a, list) and isinstance(b, list) and len(a) == len(b):
        return [line for i, (x, y) in enumerate(zip(a, b))
                for line in differences(x, y, f"{path}[{i}]")]
    return [] if a == b else [f"{path}: plugins {a!r}, built-in {b!r}"]


def assert_same(two):
    """They settle in their own time."""
    deadline = time.monotonic() + PATIENCE_S
    while True:
        found = differences(*({"host": h.state(), "pod": h.state(pod=True), "files": h.files(),
                               "result": h.result()} for h in two))
        if not found or time.monotonic() > deadline:
            break
        time.sleep(0.2)
    assert found == []


def compare(two, case):
    plugins, builtin = two
    for host in two:
        options = configure(host, case)
    first = plugins.drive("add", *options)
    second = builtin.builtin("add", *options)
    assert "error" not in first and "error" not in second
    assert second["ran"] == ["tare-net"]
    assert first["ips"] == second["ips"]
    assert_same(two)
    checks = ["error" not in host.drive("check") for host in two]
    assert checks[0] == checks[1]
    assert plugins.builtin("del", *options) == {"ran": ["tare-net"]}
    undo = getattr(builtin, case.get("undo", "drive"))
    assert "error" not in undo("del", *options)
    assert plugins.leftovers() == [] and builtin.leftovers() == []
    return checks[0]


@pytest.mark.parametrize("name", CASES)
def test_same_as_the_plugins_and_undone_by_the_other(two, name):
    compare(two, CASES[name])


# Of two whose behaviour is the same, today's plugins have all cases, Debian's some.
ALSO_OLDER = ("sysctl", "all of tuning", "both rates", "rates of the network",
              "firewall of several", "firewall and rules", "all of them")
AGES = [(name, "today") for name in CHAINED if TODAYS] + [
    (name, "older") for name in CHAINED if not CHAINED[name].get("today") and (
        not TODAYS or name in ALSO_OLDER)]


@pytest.mark.parametrize("name, age", AGES)
def test_chained_plugins(two, name, age):
    for host in two:
        if age == "today":
            for plugin in ("tuning", "bandwidth", "firewall"):
                (host.bin / plugin).symlink_to(pathlib.Path(TODAYS) / plugin)
    assert compare(two, CHAINED[name]) or name in CHECK_FAILS


@pytest.mark.parametrize("version", ["0.3.0", "0.3.1", "0.4.0"])
def test_versions(two, version):
    for host, add in zip(two, (two[0].drive, two[1].builtin)):
        options = configure(host, CASES["ports of both families"], version)
        assert "error" not in add("add", *options)
    assert two[0].result() == two[1].result()
    assert "error" not in two[0].builtin("del", *options)
    assert "error" not in two[1].drive("del", *options)
    assert two[0].leftovers() == [] and two[1].leftovers() == []


def test_second_pod_of_either(two):
    """What pods share is there already, made by the other."""
    case = CASES["ports of both families"]
    for host, verbs in zip(two, (("drive", "builtin"), ("builtin", "drive"))):
        options = configure(host, case)
        assert "error" not in getattr(host, verbs[0])("add", *options)
        host.new_pod()
        second = getattr(host, verbs[1])(
            "add", "port=9090:90", netns=f"/proc/{host.held[-1].pid}/ns/net", container="pod2")
        assert second["ips"] == ["10.88.7.3", "fd88:7::3"]
    states = [host.state()["rules"] for host in two]
    assert states[0] == states[1]
    assert two[0].files() == two[1].files()
    for host in two:
        assert "error" not in host.builtin("del", *options)
        assert "error" not in host.builtin(
            "del", "port=9090:90", netns=f"/proc/{host.held[-1].pid}/ns/net", container="pod2")
        assert host.leftovers() == []


def test_after_the_namespace_is_gone(host):
    options = configure(host, CASES["ports of both families"])
    assert "error" not in host.drive("add", *options)
    end(host.pod)
    deadline = time.monotonic() + PATIENCE_S
    while host.veths() and time.monotonic() < deadline:
        time.sleep(0.1)
    assert "error" not in host.builtin("del", *options, netns="-")
    assert host.leftovers() == []
    assert "error" not in host.builtin("del", *options, netns="-")  # once more is fine


POINTS = [f"net.add.{step}" for step in (
    "loopback", "bridge", "veth", "lease", "addresses", "port", "gateway", "masquerade", "ports",
    "firewall", "tuning", "bandwidth")
] + ["net.lease.file", "net.ports.shared", "net.firewall.shared"]


EVERYTHING = {**CASES["ports of both families"], "options": ("in=10M", "out=10M"), "chained": [
    *tuning(mac=TUNED_MAC, mtu=1400, sysctl={"net.core.somaxconn": "500"})["chained"],
    *shaped()["chained"], {"type": "firewall"}]}


def test_a_death_leaves_nothing(host, monkeypatch):
    # without a result the plugin firewall does not know of what address the rules are
    no_firewall = {**EVERYTHING, "chained": EVERYTHING["chained"][:-1]}
    for point in POINTS:
        for undo, case in ((host.builtin, EVERYTHING), (host.drive, no_firewall)):
            if point == "net.firewall.shared" and case is no_firewall:
                continue
            options = configure(host, case)
            monkeypatch.setenv("TARE_FAULT", f"{point}=kill")
            report = host.builtin("add", *options)
            monkeypatch.delenv("TARE_FAULT")
            assert "killed by signal 9" in report["error"], point
            report = undo("del", *options)
            if undo == host.drive:  # 1.1.1 reports that there were no rules, of its own too
                report = undo("del", *options)
            assert "error" not in report and host.leftovers() == [], point
            assert host.builtin("add", *options)["ips"] != [], point
            assert "error" not in host.builtin("del", *options), point
            assert host.leftovers() == [], point


def test_a_death_of_del_leaves_it_to_the_next(host, monkeypatch):
    options = configure(host, EVERYTHING)
    for step in ("bandwidth", "tuning", "firewall", "ports", "veth", "lease", "masquerade",
                 "loopback"):
        assert "error" not in host.builtin("add", *options)
        monkeypatch.setenv("TARE_FAULT", f"net.del.{step}=kill")
        assert "killed by signal 9" in host.builtin("del", *options)["error"]
        monkeypatch.delenv("TARE_FAULT")
        assert "error" not in host.builtin("del", *options)
        assert host.leftovers() == []


def test_a_failure_undoes_itself(host, monkeypatch):
    options = configure(host, EVERYTHING)
    for point in (point for point in POINTS if point.startswith("net.add.")):
        monkeypatch.setenv("TARE_FAULT", f"{point}=fail")
        assert "made to fail" in host.builtin("add", *options)["error"]
        monkeypatch.delenv("TARE_FAULT")
        assert host.leftovers() == [], point


def test_words(host):
    configure(host, {"isGateway": True, "ipam": ipam({"subnet": "10.88.7.0/30"})})
    assert "error" not in host.builtin("add")
    again = host.builtin("add")
    assert "the pod has an interface eth0 already" in again["error"]
    host.new_pod()
    where = {"netns": f"/proc/{host.held[-1].pid}/ns/net", "container": "pod2"}
    full = host.builtin("add", **where)
    assert "no address of range set 0 (10.88.7.1 on) is free" in full["error"]
    assert len(host.veths()) == 1
    assert "error" not in host.builtin("del")
    assert "error" not in host.builtin("add", **where)
    configure(host, {"bridge": "lo", "ipam": ipam(V4)})
    assert "lo is there, but is no bridge" in host.builtin("add", container="pod3")["error"]


REFUSED = {
    "another plugin": ({}, [{"type": "sbr"}], "plugin sbr is not part of it"),
    "firewalld": ({}, [{"type": "firewall", "backend": "firewalld"}], "backend firewalld is not"),
    "a policy": ({}, [{"type": "firewall", "ingressPolicy": "same-bridge"}],
                 "ingressPolicy same-bridge is not done by it"),
    "a chain": ({}, [{"type": "firewall", "iptablesAdminChainName": "-x"}], "no name of a chain"),
    "a key": ({"portIsolation": True}, [], "plugin bridge.portIsolation is not known to it"),
    "a key of other case": ({"isgateway": True}, [], "plugin bridge.isgateway is not known to it"),
    "a vlan": ({"vlan": 7}, [], "plugin bridge.vlan is not done by it"),
    "checks": ({"macspoofchk": True}, [], "plugin bridge.macspoofchk is not done by it"),
    "both modes": ({"hairpinMode": True, "promiscMode": True}, [], "hairpinMode and promiscMode"),
    "other ipam": ({"ipam": {"type": "static"}}, [], "ipam.type is not host-local"),
    "bad subnet": ({"ipam": {"type": "host-local", "subnet": "10.88.7.1/24"}}, [], "host bits"),
    "overlap": ({"ipam": ipam(V4, "10.88.7.128/25")}, [], "overlaps another"),
    "a route's mtu": ({"ipam": ipam(V4, routes=[{"dst": "10.0.0.0/8", "mtu": 9000}])}, [],
                      "routes[0].mtu is not known to it"),
    "marks": ({}, [{**PORTMAP, "markMasqBit": 5}], "markMasqBit is not 13"),
    "conditions": ({}, [{**PORTMAP, "conditionsV4": ["-s", "10.0.0.0/8"]}], "conditionsV4"),
    "tuning twice": ({}, [{"type": "tuning"}, {"type": "tuning"}], "tuning is out of order"),
    "a setting elsewhere": ({}, [{"type": "tuning", "sysctl": {"kernel.domainname": "x"}}],
                            "is no setting below net."),
    "a key of tuning": ({}, [{"type": "tuning", "Mtu": 1400}], "plugin tuning.Mtu is not known"),
    "half a rate": ({}, [{"type": "bandwidth", "ingressRate": 8000}],
                    "ingressRate and ingressBurst are no limit"),
    "a text as a number": ({"mtu": "1400"}, [], "mtu"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_is_left_to_the_plugins(host, name):
    members, more, words = REFUSED[name]
    host.network({"type": "bridge", "ipam": {**ipam(V4), "dataDir": str(host.ipam)}, **members},
                 *more)
    report = host.builtin("add")
    assert report["kind"] == "UNSUPPORTED" and words in report["error"]
    assert report["ran"] == [] and host.veths() == []


def test_ports_that_are_left_to_the_plugins(host):
    configure(host, CASES["ports"])
    assert "is there twice" in host.builtin("add", "port=80:80", "port=80:81")["error"]


def test_list_of_settings_that_are_allowed(host):
    """Everything else is left to the plugin: today's refuses it, an older one knows no list."""
    etc = host.run("sh", "-c", """mkdir -p /run/etc/up/cni/tuning /run/etc/work &&
        mount -t overlay overlay -o lowerdir=/etc,upperdir=/run/etc/up,workdir=/run/etc/work /etc &&
        echo '^net[.]core[.]somaxconn$' >/etc/cni/tuning/allowlist.conf""")
    assert etc.returncode == 0, etc.stderr
    options = configure(host, tuning(sysctl={"net.core.somaxconn": "500"}))
    assert "error" not in host.builtin("add", *options)
    assert host.run("sysctl", "-n", "net.core.somaxconn", pod=True).stdout == "500\n"
    assert "error" not in host.builtin("del", *options)
    configure(host, tuning(sysctl={"net.core.somaxconn": "500", "net.ipv4.tcp_sack": "0"}))
    report = host.builtin("add")
    assert report["kind"] == "UNSUPPORTED" and "does not allow net.ipv4.tcp_sack" in report["error"]
    host.run("sh", "-c", "echo 'net.*?' >/etc/cni/tuning/allowlist.conf")
    report = host.builtin("add")
    assert report["kind"] == "UNSUPPORTED" and '"net.*?" is not an expression' in report["error"]


def test_a_setting_that_cannot_be_made(host):
    options = configure(host, tuning(mtu=1400, sysctl={"net.ipv4.conf.IFNAME.nothing": "1"}))
    assert 'write "1" to /proc/sys/net/ipv4/conf/eth0/nothing in the pod' in host.builtin(
        "add", *options)["error"]
    assert host.leftovers() == []
    options = configure(host, tuning(mac="01:00:00:00:00:01"))
    assert "give eth0 the hardware address 01:00:00:00:00:01" in host.builtin(
        "add", *options)["error"]
    assert host.leftovers() == []


def test_older_iptables(host, monkeypatch):
    """Rules of tables in the kernel that are not nftables'."""
    folder = host.folder / "legacy"
    folder.mkdir()
    for name in ("iptables", "ip6tables"):
        (folder / name).symlink_to("/bin/true")
    configure(host, CASES["masquerade"])
    monkeypatch.setenv("PATH", f"{folder}:{os.environ['PATH']}")
    report = host.builtin("add")
    assert f"{folder}/iptables is not the one that keeps its rules in nftables" in report["error"]
    configure(host, CASES["gateway"])
    assert "error" not in host.builtin("add")


def test_a_plugin_of_somebodys_own(host):
    host.script("host-local", f"exec {PLUGINS}/host-local")
    configure(host, CASES["plain"])
    assert f"{host.bin}/host-local is not the reference plugin" in host.builtin("add")["error"]


# --- many at once ---

NAMESPACES = """
import ctypes, sys, time
libc, held = ctypes.CDLL(None, use_errno=True), []
for number in range(int(sys.argv[1])):
    assert libc.unshare(0x40000000) == 0
    held.append(open("/proc/self/ns/net"))
assert libc.setns(held[0].fileno(), 0) == 0
print(*(file.fileno() for file in held), flush=True)
time.sleep(600)
"""


# a process of a sanitizer build is large
MANY = 40 if "ASAN_OPTIONS" in os.environ else 200


@pytest.mark.parametrize("n, of_plugins", [(MANY, 0), (24, 12)])
def test_many_at_once(host, n, of_plugins):
    options = configure(host, CASES["dual"] if of_plugins else {
        **CASES["masquerade"], "chained": [{"type": "firewall"}]})
    holder = subprocess.Popen([sys.executable, "-c", NAMESPACES, str(n)], stdout=subprocess.PIPE,
                              text=True)
    host.held.append(holder)
    pods = [(f"pod{i}", f"/proc/{holder.pid}/fd/{fd}")
            for i, fd in enumerate(holder.stdout.readline().split())]
    assert len(pods) == n

    def do(verb):
        def one(item):
            number, (container, netns) = item
            drive = host.drive if number < of_plugins else host.builtin
            return drive(verb, *options, netns=netns, container=container)
        with concurrent.futures.ThreadPoolExecutor(n) as pool:
            return list(pool.map(one, enumerate(pods)))
    reports = do("add")
    assert [r["error"] for r in reports if "error" in r] == []
    addresses = [ip for report in reports for ip in report["ips"]]
    assert len(addresses) == 2 * n == len(set(addresses))
    assert len([name for name in host.files() if name.partition("/")[2] in addresses]) == 2 * n
    assert len(host.veths()) == n
    if not of_plugins:
        assert host.run("nft", "list", "chain", "ip", "nat", "POSTROUTING").stdout.count(
            "jump CNI-") == n
    assert [r["error"] for r in do("del") if "error" in r] == []
    assert host.leftovers() == []
