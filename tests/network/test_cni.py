# SPDX-License-Identifier: Apache-2.0
"""CNI plugins of the distribution, and bad ones, driven through src/network by cni-drive.

    TARE_BUILD=/tmp/build /usr/bin/python3 -m pytest tests/network

Needs root, containernetworking-plugins, iptables, nftables, iproute2. The "host" is a network and
mount namespace of the test's own, the pod another network namespace."""
import base64
import json
import os
import pathlib
import shutil
import subprocess
import time

import pytest

PLUGINS = pathlib.Path(os.environ.get("TARE_CNI_BIN", "/usr/lib/cni"))
BUILD = os.environ.get("TARE_BUILD")
DRIVE = BUILD and pathlib.Path(BUILD) / "tests/network/cni-drive"
LACKS = [what for what, there in (
    ("root", os.geteuid() == 0),
    ("TARE_BUILD with tests/network/cni-drive", DRIVE and DRIVE.exists()),
    ("/usr/lib/cni (containernetworking-plugins)", (PLUGINS / "bridge").exists()),
    *((tool, shutil.which(tool)) for tool in ("unshare", "nsenter", "ip", "nft", "iptables")),
) if not there]
pytestmark = pytest.mark.skipif(bool(LACKS), reason="needs " + ", ".join(LACKS))

READY = "echo ready && exec sleep 600"
HOLD = f"mount -t tmpfs tmpfs /run && mkdir /run/lock && ip link set lo up && {READY}"


def hold(*command):
    """A process that keeps namespaces alive, once it says that they are set up."""
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    if process.stdout.readline() != "ready\n":
        process.kill()
        process.wait()
        raise RuntimeError(f"{command}: exit status {process.returncode}")
    return process


def end(process):
    """Once more does no harm."""
    process.kill()
    process.wait()
    process.stdout.close()


class Node:
    """The host, a pod, and the folders of one test."""

    def __init__(self, folder):
        self.folder = folder
        self.conf, self.cache, self.ipam, self.bin = (
            folder / name for name in ("conf", "cache", "ipam", "bin"))
        self.conf.mkdir()
        self.bin.mkdir()
        self.host = hold("unshare", "-m", "-n", "sh", "-c", HOLD)
        self.held = [self.host]
        self.pod = self.new_pod()

    def new_pod(self):
        self.held.append(hold("unshare", "-n", "sh", "-c", READY))
        return self.held[-1]

    def close(self):
        for process in self.held:
            end(process)

    def run(self, *command, pod=False):
        """Output of a command in the host's namespaces, or in the pod's network."""
        enter = ["nsenter", f"--net=/proc/{(self.pod if pod else self.host).pid}/ns/net"]
        if not pod:
            enter.append(f"--mount=/proc/{self.host.pid}/ns/mnt")
        return subprocess.run([*enter, *map(str, command)], capture_output=True, text=True,
                              timeout=60, check=False)

    def drive(self, verb, *options, netns=None, container="pod1"):
        netns = netns or f"/proc/{self.pod.pid}/ns/net"
        done = self.run(DRIVE, verb, self.conf, f"{self.bin}:{PLUGINS}", self.cache, container,
                        netns, *options)
        assert done.returncode in (0, 1) and done.stderr == "", done
        report = json.loads(done.stdout)
        assert (done.returncode == 1) == ("error" in report), done
        return report

    def network(self, *plugins, name="10-net.conflist", **members):
        (self.conf / name).write_text(json.dumps(
            {"cniVersion": "1.0.0", "name": "tare", "plugins": plugins, **members}))

    def bridge(self, **members):
        return {"type": "bridge", "bridge": "cni0", "isGateway": True, "ipMasq": True, "ipam": {
            "type": "host-local", "dataDir": str(self.ipam),
            "ranges": [[{"subnet": "10.88.7.0/24"}], [{"subnet": "fd88:7::/64"}]],
            "routes": [{"dst": "0.0.0.0/0"}, {"dst": "::/0"}]}, **members}

    def script(self, name, text):
        path = self.bin / name
        path.write_text("#!/bin/sh\n" + text)
        path.chmod(0o755)
        return {"type": name}

    def leases(self):
        return sorted(p.name for p in (self.ipam / "tare").glob("*[.:]*[0-9]")
                      if not p.name.startswith("last_reserved"))

    def veths(self):
        return [link["ifname"] for link in json.loads(
            self.run("ip", "-j", "link", "show", "type", "veth").stdout or "[]") if link]

    def rules(self):
        """Firewall rules that speak of the pod or its address, and the chains of a pod's own."""
        text = self.run("nft", "list", "ruleset").stdout
        return [line.strip() for line in text.splitlines()
                if any(word in line for word in ("10.88.7.", "fd88:7:", "pod1", "CNI-DN-", "8080"))]

    def records(self):
        folder = self.cache / "results"
        return sorted(os.listdir(folder)) if folder.exists() else []

    def assert_clean(self, masquerade=True):
        """masquerade False: the bridge plugin reads in the pod for whom it made such rules, and
        keeps them when nobody is there any more."""
        assert self.leases() == []
        assert self.veths() == []
        assert [r for r in self.rules() if masquerade or "8080" in r or "CNI-DN-" in r] == []
        assert self.records() == []


@pytest.fixture
def node(tmp_path):
    made = Node(tmp_path)
    yield made
    made.close()


PORTMAP = {"type": "portmap", "capabilities": {"portMappings": True}}


@pytest.mark.parametrize("version", ["0.3.1", "0.4.0", "1.0.0"])
def test_pod_gets_an_address_and_leaves_nothing(node, version):
    node.network(node.bridge(), PORTMAP, cniVersion=version)
    report = node.drive("add", "port=8080:80")
    assert report["ran"] == ["bridge", "portmap"]
    assert report["ips"] == ["10.88.7.2", "fd88:7::2"]
    link = json.loads(node.run("ip", "-j", "addr", "show", "eth0", pod=True).stdout)[0]
    assert report["ips"] == [a["local"] for a in link["addr_info"] if a["scope"] == "global"]
    assert link["address"] == report["mac"]
    assert node.leases() == ["10.88.7.2", "fd88:7::2"]
    assert len(node.veths()) == 1
    assert any("8080" in rule for rule in node.rules())
    assert node.records() == ["tare-pod1-eth0"]

    report = node.drive("del")
    assert report == {"ran": ["portmap", "bridge"]}
    node.assert_clean()
    assert node.drive("del") == {"ran": ["portmap", "bridge"]}  # again: nothing to do is no error


# Not with portmap: 1.1.1, Debian 12's, looks for IPv4 rules among those of IPv6.
@pytest.mark.parametrize("version", ["0.4.0", "1.0.0"])
def test_check(node, version):
    node.network(node.bridge(), {"type": "firewall"}, cniVersion=version)
    node.drive("add")
    assert node.drive("check") == {"ran": ["bridge", "firewall"]}
    assert node.drive("check", "config=none") == {"ran": ["bridge", "firewall"]}
    assert node.drive("del") == {"ran": ["firewall", "bridge"]}
    node.assert_clean()
    assert node.drive("check")["kind"] == "NOT_FOUND"


def test_check_sees_a_missing_address(node):
    node.network(node.bridge())
    node.drive("add")
    node.run("ip", "addr", "flush", "dev", "eth0", pod=True)
    report = node.drive("check")
    assert report["error"].startswith('network "tare": plugin bridge (CHECK): ')
    node.drive("del")
    node.assert_clean(masquerade=False)


def test_del_after_the_namespace_is_gone(node):
    node.network(node.bridge(), PORTMAP)
    node.drive("add", "port=8080:80")
    end(node.pod)
    node.pod = node.new_pod()
    for _ in range(100):  # the kernel takes a dead namespace down in its own time
        if not node.veths():
            break
        time.sleep(0.05)
    assert node.drive("del", netns="-") == {"ran": ["portmap", "bridge"]}
    node.assert_clean(masquerade=False)


def test_del_by_the_record_alone(node):
    node.network(node.bridge(), PORTMAP)
    node.drive("add", "port=8080:80")
    (node.conf / "10-net.conflist").unlink()
    assert node.drive("del")["kind"] == "NOT_FOUND"  # the configuration cannot be loaded
    assert node.drive("del", "config=none") == {"ran": ["portmap", "bridge"]}
    node.assert_clean()
    assert node.drive("del", "config=none") == {"ran": []}


def test_record_is_one_that_libcni_reads(node):
    node.network(node.bridge(), PORTMAP)
    node.drive("add", "port=8080:80")
    record = json.loads((node.cache / "results/tare-pod1-eth0").read_text())
    assert record["kind"] == "cniCacheV1"
    assert json.loads(base64.b64decode(record["config"], validate=True))["plugins"][1] == PORTMAP
    assert record["result"]["ips"][0]["address"] == "10.88.7.2/24"
    assert ["K8S_POD_NAME", "web"] in record["cniArgs"]
    assert record["capabilityArgs"]["portMappings"][0]["hostPort"] == 8080


def test_two_pods(node):
    node.network(node.bridge())
    first = node.pod
    assert node.drive("add")["ips"] == ["10.88.7.2", "fd88:7::2"]
    node.pod = node.new_pod()
    assert node.drive("add", container="pod2")["ips"] == ["10.88.7.3", "fd88:7::3"]
    assert node.drive("del", netns=f"/proc/{first.pid}/ns/net") == {"ran": ["bridge"]}
    assert node.leases() == ["10.88.7.3", "fd88:7::3"]
    assert node.drive("del", container="pod2") == {"ran": ["bridge"]}
    node.assert_clean()


def test_single_plugin_file(node):
    (node.conf / "10-lo.conf").write_text(json.dumps(
        {"cniVersion": "1.0.0", "name": "single", **node.bridge()}))
    assert node.drive("add")["ips"] == ["10.88.7.2", "fd88:7::2"]
    assert node.records() == ["single-pod1-eth0"]
    assert "error" not in node.drive("del")


def test_loopback_plugin_has_no_address(node):
    node.network({"type": "loopback"})
    assert node.drive("add")["ips"] == []
    assert "error" not in node.drive("check")
    assert "error" not in node.drive("del")


# --- bad plugins, behind a good one ---

def test_failing_plugin(node):
    node.network(node.bridge(), node.script(
        "failing", """[ $CNI_COMMAND = DEL ] || {
            echo '{"code": 11, "msg": "no tunnel", "details": "peer is down"}'; exit 1; }"""))
    report = node.drive("add")
    assert report["error"] == 'network "tare": plugin failing (ADD): no tunnel; peer is down'
    assert report["kind"] == "UNAVAILABLE"
    assert report["ran"] == ["bridge", "failing"]
    assert node.records() == []
    assert node.leases() == ["10.88.7.2", "fd88:7::2"]
    assert node.drive("del") == {"ran": ["failing", "bridge"]}
    node.assert_clean()


def test_words_on_stderr(node):
    node.network(node.script("talking", "echo 'one\ntwo' >&2; exit 3"))
    assert node.drive("add")["error"] == 'network "tare": plugin talking (ADD): one; two'


def test_hanging_plugin(node):
    node.network(node.bridge(), node.script(
        "hanging", "[ $CNI_COMMAND = DEL ] || exec sleep 60"))
    started = time.monotonic()
    report = node.drive("add", "timeout_ms=1500")
    assert time.monotonic() - started < 20
    assert report["kind"] == "TIMEOUT"
    assert report["error"] == \
        'network "tare": plugin hanging (ADD): it did not end in time and was killed'
    assert "error" not in node.drive("del")
    node.assert_clean()


@pytest.mark.parametrize("output, words", [
    ("echo hello", "its result: "),
    ("true", "it printed no result"),
    ("echo '{\"cniVersion\":\"0.2.0\",\"ip4\":{}}'", 'result of version "0.2.0"'),
    ("head -c 3000 /dev/urandom", "its result: "),
    ("head -c 2000000 /dev/zero", "it printed more than 1048576 bytes"),
])
def test_garbage(node, output, words):
    node.network(node.bridge(), node.script("garbage", f"[ $CNI_COMMAND = DEL ] || {output}"))
    report = node.drive("add")
    assert report["error"].startswith('network "tare": plugin garbage (ADD): ')
    assert words in report["error"]
    assert "error" not in node.drive("del")
    node.assert_clean()


def test_missing_plugin(node):
    node.network(node.bridge(), {"type": "calico"})
    report = node.drive("add")
    assert report["kind"] == "NOT_FOUND"
    assert report["error"].endswith(
        f"10-net.conflist: network plugin calico is not installed in {node.bin}, {PLUGINS}")
    assert report["ran"] == []


def test_plugin_that_cannot_start(node):
    (node.bin / "broken").write_text("#!/nonexistent/interpreter\n")
    (node.bin / "broken").chmod(0o755)
    node.network({"type": "broken"})
    assert "plugin broken (ADD): start it: " in node.drive("add")["error"]


def test_plugin_removed_after_add_does_not_stop_the_others(node):
    node.network(node.bridge(), node.script("passing", """[ $CNI_COMMAND = DEL ] ||
        sed 's/.*"prevResult":\\({.*}\\).*/\\1/; s/}$//'"""))
    report = node.drive("add")
    assert report["ips"] == ["10.88.7.2", "fd88:7::2"]
    (node.bin / "passing").unlink()
    report = node.drive("del", "config=none")
    assert "plugin passing (DEL): network plugin passing is not installed" in report["error"]
    assert report["ran"] == ["bridge"]
    assert node.leases() == []
    assert node.records() == ["tare-pod1-eth0"]
    node.script("passing", "")
    assert "error" not in node.drive("del", "config=none")
    node.assert_clean()


def test_environment_of_a_plugin(node):
    seen = node.folder / "seen"
    node.network(node.script("looking", f"env > {seen}; cat >> {seen}; echo '{{}}'"))
    assert "error" not in node.drive("add")
    text = seen.read_text()
    for line in ("CNI_COMMAND=ADD", "CNI_CONTAINERID=pod1", "CNI_IFNAME=eth0",
                 f"CNI_PATH={node.bin}:{PLUGINS}", f"CNI_NETNS=/proc/{node.pod.pid}/ns/net",
                 "CNI_ARGS=IgnoreUnknown=1;K8S_POD_NAMESPACE=default;K8S_POD_NAME=web;"
                 "K8S_POD_INFRA_CONTAINER_ID=pod1;K8S_POD_UID=1234"):
        assert line + "\n" in text
    assert json.loads(text.splitlines()[-1]) == {
        "cniVersion": "1.0.0", "name": "tare", "type": "looking"}
