# SPDX-License-Identifier: Apache-2.0
"""The built-in network below tared: a pod of it is as one of the plugins', and `cni.builtin` may
change while pods are there. What it does to the byte is compared in tests/network."""
import glob
import json
import os
import re

import pytest

from support.node import wait_until


def networks(node):
    info = node.crictl("info").json["networks"]
    return json.loads(info) if isinstance(info, str) else info


def set_builtin(node, value):
    path = node.path("config.toml")
    with open(path, encoding="utf-8") as file:
        text = file.read()
    kept = [line for line in text.splitlines() if not line.startswith("builtin")]
    kept.insert(kept.index("[cni]") + 1, f'builtin = "{value}"')
    with open(path, "w", encoding="utf-8") as file:
        file.write("\n".join(kept) + "\n")


def use_full_network(node):
    """Both families, masquerading, host ports, and all that may follow."""
    node.write_network([
        {"type": "bridge", "bridge": "tare0", "isDefaultGateway": True, "ipMasq": True, "ipam": {
            "type": "host-local", "dataDir": node.path("ipam"),
            "ranges": [[{"subnet": "10.88.0.0/16"}], [{"subnet": "fd88::/64"}]]}},
        {"type": "portmap", "capabilities": {"portMappings": True}},
        {"type": "firewall", "backend": "iptables"},
        {"type": "tuning", "dataDir": node.path("ipam"), "mtu": 1400},
        {"type": "bandwidth", "capabilities": {"bandwidth": True}}])


def pod_with_port(node, port):
    pod = node.run_pod(annotations={"kubernetes.io/egress-bandwidth": "100M"}, port_mappings=[
        {"protocol": "TCP", "container_port": 80, "host_port": port},
        {"protocol": "UDP", "container_port": 53, "host_port": port}])
    pod.run(["sh", "-c", "while :; do echo mapped | nc -l -p 80; done"])
    return pod


def assert_served(node, port):
    address = "$(ip -4 -o addr show tare0 | awk '{print $4}' | cut -d/ -f1)"
    done = node.inside("sh", "-c", f"for i in $(seq 100); do busybox nc -w 2 {address} {port} "
                       "</dev/null && exit 0; sleep 0.05; done; exit 1")
    assert done.stdout == "mapped\n", done.stderr


def leftovers(node):
    rules = node.inside("nft", "list", "ruleset").stdout
    return [line for line in rules.splitlines()
            if "10.88.0." in line or
            "CNI-" in line and not re.search("CNI-(HOSTPORT|FORWARD|ADMIN)", line)] + \
        node.inside("ip", "-o", "link", "show", "type", "veth").stdout.splitlines() + \
        node.inside("ip", "-o", "link", "show", "type", "ifb").stdout.splitlines() + \
        glob.glob(node.path("ipam/*.json")) + \
        glob.glob(node.path("ipam/test/*:*")) + glob.glob(node.path("ipam/test/10.*"))


def test_a_pod(make_node):
    node = make_node()
    use_full_network(node)
    assert wait_until(lambda: [n for n in networks(node) if n["builtin"]]) == [
        {"name": "test", "file": node.path("cni/10-test.conflist"), "builtin": True}]
    assert 'network "test"' in node.log() and "is in use, built in" in node.log()
    pod = pod_with_port(node, 12180)
    status = pod.status().status.network
    assert [status.ip, *(more.ip for more in status.additional_ips)] == ["10.88.0.2", "fd88::2"]
    assert_served(node, 12180)
    other = node.run_pod().run()
    assert other.exec("ping", "-c", "1", "-w", "10", "10.88.0.2").exit_code == 0
    assert other.exec("ping", "-c", "1", "-w", "10", "fd88::2").exit_code == 0
    assert pod.info()["cniResult"]["ips"][0]["address"] == "10.88.0.2/16"
    node.restart()  # and the plugins' CHECK
    wait_until(lambda: "cniCheck" in pod.info(), 30, "CHECK")
    pod.stop()
    pod.remove()
    node.remove_everything()
    assert leftovers(node) == []


@pytest.mark.parametrize("first, then", [("auto", "off"), ("off", "auto")])
def test_a_change_while_pods_are_there(make_node, first, then):
    node = make_node()
    node.kill()
    use_full_network(node)
    set_builtin(node, first)
    node.start()
    assert networks(node)[0]["builtin"] == (first == "auto")
    pods = [pod_with_port(node, 12180)]
    set_builtin(node, then)
    node.restart()
    assert networks(node)[0]["builtin"] == (then == "auto")
    assert networks(node)[0].get("notBuiltin") == (None if then == "auto" else "cni.builtin is off")
    pods.append(pod_with_port(node, 12181))
    assert [p.status().status.network.ip for p in pods] == ["10.88.0.2", "10.88.0.3"]
    assert_served(node, 12180)
    assert_served(node, 12181)
    for pod in pods:
        pod.remove()
    assert leftovers(node) == []


def test_what_is_left_to_the_plugins(make_node):
    node = make_node()
    node.add_plugin("own", "cat >$NODE/asked; sed 's/.*\"prevResult\":\\({.*}\\).*/\\1/; s/}$//' "
                    "$NODE/asked")
    with open(node.path("cni/10-test.conflist"), encoding="utf-8") as file:
        plugins = json.load(file)["plugins"]
    node.write_network([*plugins, {"type": "own"}])
    assert wait_until(lambda: networks(node)[0].get("notBuiltin")) == \
        "plugin own is not part of it"
    pod = node.run_pod()
    assert pod.status().status.network.ip == "10.88.0.2"
    assert os.path.exists(node.path("asked"))
    assert "is in use, by its plugins: plugin own is not part of it" in node.log()
    node.write_network(plugins)
    wait_until(lambda: networks(node)[0]["builtin"])
    # of a port of SCTP the configuration says nothing; the request does
    more = node.run_pod(port_mappings=[
        {"protocol": "SCTP", "container_port": 80, "host_port": 12182}])
    assert "its network is left to the plugins: plugin portmap" in node.log()
    assert "-p sctp" in node.inside("iptables-save", "-t", "nat").stdout
    for each in (pod, more):
        each.remove()
    assert leftovers(node) == []
