# SPDX-License-Identifier: Apache-2.0
"""The node's networks as clients see them: configuration that changes, CNI's STATUS."""

import base64
import glob
import json
import os
import shutil

import pytest

from support.cri import Code, CriError
from support.node import wait_until

BROKEN = '{"cniVersion": "1.0.0", "name": "test", "plugins": ['


def ready(node):
    """(NetworkReady, its message)"""
    for condition in node.client.Status().status.conditions:
        if condition.type == "NetworkReady":
            return condition.status, condition.message
    raise AssertionError("no NetworkReady")


def wait_log(node, words, since=0):
    """tared says so by itself: nobody asks meanwhile. Where its log ends then."""
    wait_until(lambda: words in node.log()[since:], 30, f"tared to say {words!r}")
    return len(node.log())


def write_list(node, version="1.0.0", name="10-test.conflist", network="test", plugins=None):
    """By rename, as a network's agent does it."""
    text = json.dumps({"cniVersion": version, "name": network, "plugins": plugins})
    path = node.path("cni", name)
    with open(path + ".new", "w", encoding="utf-8") as file:
        file.write(text)
    os.rename(path + ".new", path)


def add_printing_plugin(node, name, address="10.1.1.2/24"):
    node.add_plugin(name, f"""case $CNI_COMMAND in
        ADD) echo '{{"cniVersion":"1.0.0","ips":[{{"address":"{address}"}}]}}';; esac""")
    return {"type": name}


# --- configuration that changes ---


def test_configuration_is_seen_when_it_comes(make_node):
    node = make_node(image=False)
    folder, aside = node.path("cni"), node.path("aside")
    os.rename(folder, aside)
    at = wait_log(node, "no network configuration in")
    assert ready(node)[0] is False
    os.rename(aside, folder)
    at = wait_log(node, 'network "test" of', at)
    assert ready(node) == (True, "")

    os.unlink(node.path("cni", "10-test.conflist"))
    at = wait_log(node, "no network configuration in", at)
    assert "no network configuration in" in ready(node)[1]
    os.rmdir(folder)
    os.makedirs(folder)
    node.write_network()
    at = wait_log(node, 'network "test" of', at)
    assert ready(node) == (True, "")

    one = add_printing_plugin(node, "one")
    write_list(node, name="05-other.conflist", network="other", plugins=[one])
    wait_log(node, 'network "other" of', at)
    assert node.run_pod().status().status.network.ip == "10.1.1.2"


def test_folder_behind_links(make_node):
    """As a mounted ConfigMap, and as some distributions have /etc/cni: what a link leads to."""
    node = make_node(image=False)
    for name in ("first", "second"):
        os.makedirs(node.path("versions", name))
        write_list(node, name="new", network=name, plugins=[add_printing_plugin(node, name)])
        os.rename(node.path("cni", "new"), node.path("versions", name, "10-net.conflist"))
    at = len(node.log())
    shutil.rmtree(node.path("cni"))
    os.symlink("first", node.path("versions", "now"))
    os.symlink("versions/now", node.path("cni"))
    at = wait_log(node, 'network "first" of', at)
    os.symlink("second", node.path("versions", "next"))
    os.rename(node.path("versions", "next"), node.path("versions", "now"))
    at = wait_log(node, 'network "second" of', at)

    os.unlink(node.path("cni"))
    os.mkdir(node.path("cni"))
    os.symlink("../versions/now/10-net.conflist", node.path("cni", "20-link.conflist"))
    at = wait_log(node, 'network "second" of', at)
    os.symlink("first", node.path("versions", "next"))
    os.rename(node.path("versions", "next"), node.path("versions", "now"))
    wait_log(node, 'network "first" of', at)
    assert ready(node) == (True, "")


def test_plugins_in_the_networks_folder(make_node):
    """Files of their own, in a folder with the network's name, which may come later."""
    node = make_node(image=False)
    write_list(node, network="other", plugins=[add_printing_plugin(node, "first")])
    assert ready(node) == (True, "")
    at = len(node.log())
    os.mkdir(node.path("cni", "other"))
    with open(node.path("cni", "other", "10-more.conf"), "w", encoding="utf-8") as file:
        json.dump({"type": "second"}, file)
    wait_log(node, "network plugin second is not installed", at)
    add_printing_plugin(node, "second", "10.1.9.2/24")
    assert node.run_pod().status().status.network.ip == "10.1.9.2"


def test_pod_gets_what_was_just_written(make_node):
    """No moment passes between a change and its use: tests of network agents write, then run."""
    node = make_node(image=False)
    for number in range(5):
        name, address = f"net{number}", f"10.1.{number}.2"
        plugin = add_printing_plugin(node, name, f"{address}/24")
        write_list(node, network=name, plugins=[plugin])
        assert node.run_pod().status().status.network.ip == address


def test_broken_file_leaves_the_last_good_in_use(make_node):
    node = make_node(image=False)
    write_list(node, name="50-later.conflist", network="later",
               plugins=[add_printing_plugin(node, "later")])
    path = node.path("cni", "10-test.conflist")
    with open(path, "w", encoding="utf-8") as file:
        file.write(BROKEN)
    status, words = ready(node)
    assert status is True
    assert path in words and "it stays in use as it was read before" in words
    assert node.run_pod().status().status.network.ip.startswith("10.88.")
    wait_log(node, "it stays in use as it was read before")

    node.restart()  # there is no good one to go by: the next file is it
    status, words = ready(node)
    assert status is True and path in words and "it is passed over" in words
    assert node.run_pod().status().status.network.ip == "10.1.1.2"
    node.write_network()
    assert ready(node) == (True, "")
    assert node.run_pod().status().status.network.ip.startswith("10.88.")


def test_broken_file_before_the_good_one(make_node):
    node = make_node(image=False)
    path = node.path("cni", "00-half.conf")
    with open(path, "w", encoding="utf-8") as file:
        file.write(BROKEN)
    status, words = ready(node)
    assert status is True and path in words and "it is passed over" in words
    os.unlink(path)
    assert ready(node) == (True, "")


def test_plugin_that_comes_later(make_node):
    node = make_node(image=False)
    write_list(node, plugins=[{"type": "agent"}])
    status, words = ready(node)
    assert status is False and "network plugin agent is not installed" in words
    with pytest.raises(CriError) as error:
        node.run_pod()
    assert "network plugin agent is not installed" in error.value.details()
    at = len(node.log())
    add_printing_plugin(node, "agent")
    wait_log(node, 'network "test" of', at)
    assert ready(node) == (True, "")


def test_default_network_by_name(make_node):
    """With the key, the order of the files does not count."""
    node = make_node(image=False)
    write_list(node, name="50-later.conflist", network="later",
               plugins=[add_printing_plugin(node, "later")])
    restart_with(node, "default_network", "later")
    assert ready(node) == (True, "")
    assert node.run_pod().status().status.network.ip == "10.1.1.2"
    os.unlink(node.path("cni", "50-later.conflist"))
    status, words = ready(node)
    assert status is False and 'no network "later" in' in words


def restart_with(node, key, value):
    """A key of [cni], which counts from the next start on."""
    os.makedirs(node.path("config.d"), exist_ok=True)
    with open(node.path("config.d", f"{key}.toml"), "w", encoding="utf-8") as file:
        file.write(f"[cni]\n{key} = {json.dumps(value)}\n")
    node.restart()


# --- STATUS ---

ANSWERING = """
echo "$CNI_COMMAND ${CNI_CONTAINERID:-none} ${CNI_NETNS:-none} $CNI_PATH" >> $NODE/asked
cat > $NODE/$CNI_COMMAND.new && mv $NODE/$CNI_COMMAND.new $NODE/$CNI_COMMAND
case $CNI_COMMAND in
    ADD) echo '{"cniVersion":"1.1.0","ips":[{"address":"10.1.1.2/24"}]}';;
    STATUS) [ ! -e $NODE/words ] || { cat $NODE/words; exit 1; };;
esac"""


def test_status_of_the_plugins(make_node):
    node = make_node(image=False)
    node.add_plugin("answering", ANSWERING)
    write_list(node, "1.1.0", plugins=[{"type": "answering", "capabilities": {"dns": True}}])
    wait_until(lambda: os.path.exists(node.path("STATUS")), 30, "STATUS")  # not the list before
    wait_until(lambda: ready(node) == (True, ""), 30, "the answer")
    with open(node.path("asked"), encoding="utf-8") as file:
        assert f"STATUS none none {node.path('plugins')}:/usr/lib/cni\n" in file
    with open(node.path("STATUS"), encoding="utf-8") as file:
        assert json.load(file) == {"cniVersion": "1.1.0", "name": "test", "type": "answering"}

    with open(node.path("words.new"), "w", encoding="utf-8") as file:
        json.dump({"cniVersion": "1.1.0", "code": 50, "msg": "no tunnel", "details": "peer?"}, file)
    os.rename(node.path("words.new"), node.path("words"))
    write_list(node, "1.1.0", plugins=[{"type": "answering"}])
    said = 'network "test": plugin answering (STATUS): no tunnel; peer?'
    wait_until(lambda: said in ready(node)[1], 30, "STATUS")
    assert not ready(node)[0]
    node.run_pod()  # the plugin's ADD has the last word
    os.unlink(node.path("words"))
    wait_until(lambda: ready(node) == (True, ""), 60, "STATUS to be asked again")


def test_status_is_of_version_1_1(make_node):
    node = make_node(image=False)
    node.add_plugin("answering", ANSWERING)
    write_list(node, "1.0.0", plugins=[{"type": "answering"}])
    assert ready(node) == (True, "")
    node.run_pod()
    with open(node.path("asked"), encoding="utf-8") as file:
        assert "STATUS" not in file.read()


def test_status_that_hangs_delays_nobody(make_node):
    node = make_node(image=False, cni_timeout=2)
    node.add_plugin("hanging", """case $CNI_COMMAND in
        ADD) echo '{"cniVersion":"1.1.0","ips":[{"address":"10.1.1.2/24"}]}';;
        STATUS) touch $NODE/begun; exec sleep 1000;; esac""")
    write_list(node, "1.1.0", plugins=[{"type": "hanging"}])
    wait_until(lambda: os.path.exists(node.path("begun")), 30, "STATUS")
    assert node.client.Version(deadline=5)
    wait_until(lambda: "(STATUS): it did not end in time and was killed" in ready(node)[1], 30,
               "the deadline")
    assert ready(node)[0] is False
    assert node.run_pod().status().status.network.ip == "10.1.1.2"


def test_check_is_of_version_0_4(make_node):
    """Nothing is wrong with the network of a pod that cannot be asked."""
    node = make_node(image=False)
    node.add_plugin("answering", ANSWERING)
    pods = []
    for version in ("0.3.1", "0.4.0"):
        write_list(node, version, plugins=[{"type": "answering"}])
        pods.append(node.run_pod())
    node.restart()
    wait_until(lambda: pods[1].info().get("cniCheck") == "passed", 30, "CHECK")
    assert asked(node, "CHECK") == ["CHECK"]
    assert "cniCheck" not in pods[0].info()
    assert "not as it was set up" not in node.log()


# --- GC, and what an earlier boot left ---


def asked(node, command=""):
    """What the plugin "answering" was asked, in order."""
    try:
        with open(node.path("asked"), encoding="utf-8") as file:
            words = [line.split()[0] for line in file]
    except FileNotFoundError:
        words = []
    return [word for word in words if word == command or not command]


def write_record(node, network, container, netns, ours=False):
    """As libcni writes it; with what tared writes besides when it is ours."""
    config = {"cniVersion": "1.1.0", "name": network, "plugins": [{"type": "answering"}]}
    record = {
        "kind": "cniCacheV1", "containerId": container, "ifName": "eth0", "networkName": network,
        "netns": netns, "cniArgs": [],
        "config": base64.b64encode(json.dumps(config).encode()).decode(),
        "result": {"cniVersion": "1.1.0", "ips": [{"address": "10.1.1.9/24"}]},
    }
    if ours:
        record["tare.binDirs"] = [node.path("plugins")]
    os.makedirs(node.path("cni-cache", "results"), exist_ok=True)
    path = node.path("cni-cache", "results", f"{network}-{container}-eth0")
    with open(path, "w", encoding="utf-8") as file:
        json.dump(record, file)
    return path


def remove_records(node):
    for path in glob.glob(node.path("cni-cache", "results", "*")):
        os.unlink(path)


def collecting_node(make_node, version="1.1.0", script=ANSWERING, **members):
    node = make_node(image=False)
    node.add_plugin("answering", script)
    write_list(node, version, plugins=[{"type": "answering"}])
    if members:
        path = node.path("cni", "10-test.conflist")
        with open(path, encoding="utf-8") as file:
            text = json.load(file)
        with open(path, "w", encoding="utf-8") as file:
            json.dump({**text, **members}, file)
    return node


def test_gc_keeps_who_has_a_namespace(make_node):
    node = collecting_node(make_node)
    wait_until(lambda: os.path.exists(node.path("GC")), 30, "GC of a network that has come")
    pod = node.run_pod()
    write_record(node, "test", "other-alive", "/proc/self/ns/net")
    write_record(node, "test", "other-dead", "/run/netns/gone")
    write_record(node, "elsewhere", "of-another-network", "/proc/self/ns/net")
    os.unlink(node.path("GC"))
    node.restart()
    wait_until(lambda: os.path.exists(node.path("GC")), 30, "GC")
    with open(node.path("GC"), encoding="utf-8") as file:
        request = json.load(file)
    valid = request.pop("cni.dev/valid-attachments")
    assert request == {"cniVersion": "1.1.0", "name": "test", "type": "answering"}
    assert sorted((one["containerID"], one["ifname"]) for one in valid) == \
        sorted([(pod.id, "eth0"), ("other-alive", "eth0")])
    assert len(os.listdir(node.path("cni-cache", "results"))) == 4
    remove_records(node)


@pytest.mark.parametrize("version, members", [("1.0.0", {}), ("1.1.0", {"disableGC": True})])
def test_gc_that_is_not_wanted(make_node, version, members):
    node = collecting_node(make_node, version, **members)
    for _ in range(2):
        node.run_pod()
        node.restart()
    assert asked(node, "ADD") and not asked(node, "GC")


def test_gc_that_fails_is_logged(make_node):
    node = collecting_node(make_node, script=ANSWERING.replace(
        "STATUS) [", "GC) echo no store >&2; exit 1;; STATUS) ["))
    wait_log(node, 'GC, which clears up after old attachments: network "test": plugin answering '
                   "(GC): no store")
    node.run_pod()


def test_gc_is_not_tried_with_a_record_that_cannot_be_read(make_node):
    node = collecting_node(make_node, version="1.0.0")
    path = write_record(node, "test", "whose", "/proc/self/ns/net")
    with open(path, "w", encoding="utf-8") as file:
        file.write("{")
    write_list(node, "1.1.0", plugins=[{"type": "answering"}])
    wait_log(node, f"record {path} cannot be read")
    assert not asked(node, "GC")
    remove_records(node)


def test_gc_is_never_beside_add(make_node):
    """Who comes while it runs waits for it; and tells so."""
    node = collecting_node(make_node, version="1.0.0", script=ANSWERING + """
        if [ $CNI_COMMAND = GC ]; then
            while [ ! -e $NODE/go-on ]; do sleep 0.05; done
            echo GC-has-ended >> $NODE/asked
        fi""")
    write_list(node, "1.1.0", plugins=[{"type": "answering"}])
    wait_until(lambda: asked(node, "GC"), 30, "GC")
    run = node.client.start("RunPodSandbox", config=node.pod_config())
    wait_until(lambda: any('waits_for: "GC of the network' in str(op)
                           for op in node.client.ListOperations().operations), 30, "the pod")
    assert not asked(node, "ADD")
    with open(node.path("go-on"), "w", encoding="utf-8"):
        pass
    assert run.result().pod_sandbox_id
    words = asked(node)
    assert words.index("GC-has-ended") < words.index("ADD")


def test_attachments_of_an_earlier_boot_are_deleted(make_node):
    """Its pods are forgotten with it, their addresses are not."""
    node = make_node(image=False)
    pod = node.run_pod()
    address = pod.status().status.network.ip
    kept = {}
    for path in (node.path("cni-cache", "results", f"test-{pod.id}-eth0"),
                 node.path("ipam", "test", address)):
        with open(path, "rb") as file:
            kept[path] = file.read()
    pod.remove()
    node.kill()
    for path, text in kept.items():
        assert not os.path.exists(path)
        with open(path, "wb") as file:
            file.write(text)
    node.add_plugin("answering", ANSWERING)
    others = {
        write_record(node, "test", "other-runtime", "/run/netns/gone"),
        write_record(node, "test", "still-there", "/proc/self/ns/net", ours=True),
    }
    node.start()
    wait_until(lambda: not any(map(os.path.exists, kept)), 30, "DEL")
    node.restart()
    assert all(map(os.path.exists, others))
    assert not asked(node)
    remove_records(node)


@pytest.mark.skipif("TARE_CNI_1_1" not in os.environ, reason="needs TARE_CNI_1_1 (tests/tools.py)")
def test_plugins_of_version_1_1(make_node):
    """STATUS of the reference plugins; GC, which they take and do nothing about."""
    node = make_node(image=False)
    for name in os.listdir(os.environ["TARE_CNI_1_1"]):
        os.symlink(os.path.join(os.environ["TARE_CNI_1_1"], name), node.path("plugins", name))
    with open(node.path("cni", "10-test.conflist"), encoding="utf-8") as file:
        plugins = json.load(file)["plugins"]
    write_list(node, "1.1.0", plugins=plugins)
    wait_until(lambda: ready(node) == (True, ""), 30, "STATUS")
    pod = node.run_pod(
        port_mappings=[{"protocol": "TCP", "container_port": 80, "host_port": 12081}])
    address = pod.status().status.network.ip
    at = len(node.log())
    node.restart()
    wait_log(node, 'network "test": GC: it has been told what is valid', at)
    assert os.path.exists(node.path("ipam", "test", address))
    assert "dport 12081" in node.inside("iptables-save", "-t", "nat").stdout
    wait_until(lambda: ready(node) == (True, ""), 30, "STATUS")
    pod.remove()
    assert not os.path.exists(node.path("ipam", "test", address))
    write_list(node, "1.1.0", plugins=[{"type": "bridge", "ipam": {"type": "missing-ipam"}}])
    wait_until(lambda: 'network "test": plugin bridge (STATUS): ' in ready(node)[1], 30, "STATUS")


# --- what pods ask for, and what plugins answer ---


def write_bridge(node, *more, ranges=("10.88.0.0/16", "fd88::/64"), version="1.0.0"):
    """Debian's plugins: a bridge, addresses of both families, and more plugins behind."""
    bridge = {
        "type": "bridge", "bridge": "tare0", "isGateway": True,
        "ipam": {"type": "host-local", "dataDir": node.path("ipam"),
                 "ranges": [[{"subnet": subnet}] for subnet in ranges],
                 "routes": [{"dst": "0.0.0.0/0"}, {"dst": "::/0"}]},
    }
    write_list(node, version, plugins=[bridge, *more])


PORTMAP = {"type": "portmap", "capabilities": {"portMappings": True}}


def test_addresses_of_both_families(make_node):
    node = make_node()
    write_bridge(node, PORTMAP)
    first, second = [node.run_pod() for _ in range(2)]
    status = first.status().status.network
    assert status.ip.startswith("10.88.")
    (six,) = [address.ip for address in status.additional_ips]
    assert six.startswith("fd88::")
    server = first.run(["sh", "-c", "while :; do echo six | nc -l -p 7000; done"])
    for address, client in (("::1", first), (six, second)):
        text = f"until nc -w 2 {address} 7000 </dev/null | grep six; do sleep 0.1; done"
        assert client.run().exec("sh", "-c", text).stdout == b"six\n"
    server.stop()
    node.restart()
    assert [a.ip for a in first.status().status.network.additional_ips] == [six]


def test_host_ports_of_both_families(make_node):
    node = make_node(image=False)
    write_bridge(node, PORTMAP)
    ports = [(12090, "TCP", ""), (12091, "UDP", ""), (12092, "SCTP", ""),
             (12093, "TCP", "127.0.0.1"), (12094, "TCP", "fd99::9"), (0, "TCP", "")]
    pod = node.run_pod(port_mappings=[
        {"protocol": protocol, "container_port": 80, "host_port": port, "host_ip": address}
        for port, protocol, address in ports])
    network = pod.status().status.network
    rules = {"4": node.inside("iptables-save", "-t", "nat").stdout,
             "6": node.inside("ip6tables-save", "-t", "nat").stdout}
    for port, protocol in ((12090, "tcp"), (12091, "udp"), (12092, "sctp")):
        for family, target in (("4", f"{network.ip}:80"),
                               ("6", f"[{network.additional_ips[0].ip}]:80")):
            (line,) = [line for line in rules[family].splitlines()
                       if f"--dport {port} " in line and "-j DNAT" in line]
            assert f"-p {protocol} " in line and target in line
    assert "-d 127.0.0.1/32 -p tcp -m tcp --dport 12093 -j DNAT" in rules["4"]
    assert "--dport 12093" not in rules["6"]
    assert "-d fd99::9/128 -p tcp -m tcp --dport 12094 -j DNAT" in rules["6"]
    assert "--dport 12094" not in rules["4"]
    pod.remove()
    for tool in ("iptables-save", "ip6tables-save"):
        assert "--dport 1209" not in node.inside(tool, "-t", "nat").stdout


def test_bandwidth(make_node):
    """What a pod may receive and send has limits, by its annotations."""
    node = make_node(image=False)
    write_bridge(node, {"type": "bandwidth", "capabilities": {"bandwidth": True}})
    pod = node.run_pod(annotations={"kubernetes.io/ingress-bandwidth": "10M",
                                    "kubernetes.io/egress-bandwidth": "1.5Mi"})
    rates = [line for line in node.inside("tc", "qdisc", "show").stdout.splitlines()
             if "tbf" in line]
    assert len(rates) == 2
    assert any("rate 10Mbit" in line and "dev veth" in line for line in rates)
    assert any("rate 1572" in line and "dev veth" not in line for line in rates)  # by an ifb
    pod.remove()
    assert "tbf" not in node.inside("tc", "qdisc", "show").stdout


@pytest.mark.parametrize("value", ["", "10MB", "-1M", "1", "2P", "ten", "1e", "9" * 40])
def test_bandwidth_that_is_refused(node, value):
    annotations = {"kubernetes.io/egress-bandwidth": value}
    with pytest.raises(CriError) as error:
        node.run_pod(annotations=annotations)
    assert error.value.code() == Code.INVALID_ARGUMENT
    assert "annotation kubernetes.io/egress-bandwidth: " in error.value.details()
    host = {"security_context": {"namespace_options": {"network": 2}}}
    node.run_pod(annotations=annotations, linux=host)


def test_name_servers_of_the_network(make_node):
    """They count for a pod that asks for none; a plugin that wants to know is told what it asks."""
    node = make_node()
    node.add_plugin("naming", """[ $CNI_COMMAND != ADD ] || { cat > $NODE/add; cat <<END
{"cniVersion": "1.0.0", "ips": [{"address": "10.1.1.2/24"}], "dns": {
    "nameservers": ["10.9.9.9", "fd00::53", "evil\\nnameserver 6.6.6.6", "nonsense"],
    "domain": "pods.test", "options": ["ndots:3"]}}
END
}""")
    write_list(node, plugins=[{"type": "naming", "capabilities": {"dns": True}}])
    assert node.run_pod().shell("cat /etc/resolv.conf") == (
        "search pods.test\nnameserver 10.9.9.9\nnameserver fd00::53\noptions ndots:3\n")
    with open(node.path("add"), encoding="utf-8") as file:
        assert "runtimeConfig" not in json.load(file)
    asked_for = {"servers": ["10.1.1.1"], "searches": ["a.test"], "options": ["ndots:5"]}
    pod = node.run_pod(dns_config=asked_for)
    assert pod.shell("cat /etc/resolv.conf") == (
        "search a.test\nnameserver 10.1.1.1\noptions ndots:5\n")
    with open(node.path("add"), encoding="utf-8") as file:
        assert json.load(file)["runtimeConfig"] == {"dns": asked_for}


def test_plugin_that_looks_below_run_netns(make_node):
    """As agents of others do: the namespace by its name, with the tool that knows it by that."""
    node = make_node()
    node.add_plugin("agent", """name=$(basename "$CNI_NETNS")
        case $CNI_COMMAND in
        ADD)
            [ "$(dirname "$CNI_NETNS")" = /run/netns ] || exit 1
            ip netns list | grep -q "^$name" || exit 1
            ip link add dev to-$$ type veth peer name $CNI_IFNAME netns "$name"
            ip netns exec "$name" ip addr add 10.77.0.2/24 dev $CNI_IFNAME
            ip netns exec "$name" ip link set $CNI_IFNAME up
            mac=$(ip netns exec "$name" cat /sys/class/net/$CNI_IFNAME/address)
            echo '{"cniVersion":"1.0.0","interfaces":[{"name":"'$CNI_IFNAME'","mac":"'$mac'",
                "sandbox":"'$CNI_NETNS'"}],"ips":[{"address":"10.77.0.2/24","interface":0}]}';;
        DEL) [ -z "$name" ] || ip netns exec "$name" ip link del $CNI_IFNAME || true;;
        esac""")
    write_list(node, plugins=[{"type": "agent"}])
    pod = node.run_pod()
    assert pod.status().status.network.ip == "10.77.0.2"
    shown = pod.shell("ip -o addr")
    assert "eth0    inet 10.77.0.2/24" in shown and "lo    inet 127.0.0.1/8" in shown
    pod.remove()


# --- several networks ---

NOTING = """
read -r input
name=$(echo "$input" | sed 's/.*"name": *"\\([a-z]*\\)".*/\\1/')
echo "$CNI_COMMAND $CNI_IFNAME $name" >> $NODE/asked
[ ! -e $NODE/fails-$CNI_IFNAME-$CNI_COMMAND ] || exit 1
[ $CNI_COMMAND != ADD ] || echo '{"cniVersion":"1.0.0","ips":[{"address":"10.1.1.2/24"}]}'"""


def several(make_node):
    node = make_node(image=False)
    node.add_plugin("noting", NOTING)
    for number, name in enumerate(("test", "second", "third")):
        write_list(node, name=f"{number}0-{name}.conflist", network=name,
                   plugins=[{"type": "noting"}])
    os.unlink(node.path("cni", "10-test.conflist"))
    restart_with(node, "networks", 3)
    return node


def lines_of(node):
    with open(node.path("asked"), encoding="utf-8") as file:
        lines = file.read().splitlines()
    os.unlink(node.path("asked"))
    return lines


def test_several_networks(make_node):
    """In the order of their files; DEL goes back."""
    node = several(make_node)
    pod = node.run_pod()
    assert pod.status().status.network.ip == "10.1.1.2"
    assert not pod.status().status.network.additional_ips
    assert lines_of(node) == ["ADD eth0 test", "ADD eth1 second", "ADD eth2 third"]
    assert len(os.listdir(node.path("cni-cache", "results"))) == 3
    restart_with(node, "networks", 1)  # a pod keeps those that it has
    wait_until(lambda: "cniCheck" in pod.info(), 30, "CHECK")
    assert pod.info()["cniCheck"] == "passed"
    assert lines_of(node) == ["CHECK eth0 test", "CHECK eth1 second", "CHECK eth2 third"]
    pod.remove()
    assert lines_of(node) == ["DEL eth2 third", "DEL eth1 second", "DEL eth0 test"]


def test_network_of_several_that_fails(make_node):
    node = several(make_node)
    marks = [node.path(f"fails-eth1-{verb}") for verb in ("ADD", "DEL")]
    for mark in marks:
        with open(mark, "w", encoding="utf-8"):
            pass
    with pytest.raises(CriError) as error:
        node.run_pod()
    assert 'network "second": plugin noting (ADD): ' in error.value.details()
    assert lines_of(node) == ["ADD eth0 test", "ADD eth1 second",
                              "DEL eth2 third", "DEL eth1 second", "DEL eth0 test"]
    os.unlink(marks[0])
    pod = node.run_pod()
    lines_of(node)
    with pytest.raises(CriError) as error:
        pod.stop()
    assert 'network "second": plugin noting (DEL): ' in error.value.details()
    assert lines_of(node) == ["DEL eth2 third", "DEL eth1 second", "DEL eth0 test"]
    os.unlink(marks[1])
    pod.stop()


def test_second_network_with_an_interface(make_node):
    """Debian's bridge, twice."""
    node = make_node()
    for number, name in enumerate(("test", "second")):
        write_list(node, name=f"1{number}-test.conflist", network=name, plugins=[{
            "type": "bridge", "bridge": "tare0", "ipam": {
                "type": "host-local", "dataDir": node.path("ipam"),
                "ranges": [[{"subnet": f"10.8{number}.0.0/16"}]]}}])
    restart_with(node, "networks", 2)
    shown = node.run_pod().shell("ip -o -4 addr")
    assert "eth0    inet 10.80.0.2/16" in shown and "eth1    inet 10.81.0.2/16" in shown
    node.remove_everything()
    assert [name for name in os.listdir(node.path("ipam", "second")) if name[0] == "1"] == []


# --- plugins that behave badly ---

BAD = {
    "endless words": ("exec yes >&2", "it printed more than 1048576 bytes"),
    "endless result": ("exec yes", "it printed more than 1048576 bytes"),
    "too many addresses": ("""printf '{"cniVersion":"1.0.0","ips":['
        yes '{"address":"10.1.1.2/24"},' | head -n 999; echo '{"address":"10.1.1.2/24"}]}'""",
                           "1000 addresses, 64 at most"),
    "unknown version": ("""echo '{"cniVersion":"9.9.9","ips":[]}'""",
                        'result of version "9.9.9"'),
    "killed": ("kill -9 $$", "killed by signal 9"),
    "no result": ("exit 0", "it printed no result"),
    "an interface that is not there": (
        """echo '{"cniVersion":"1.0.0","ips":[{"address":"10.1.1.2/24","interface":7}]}'""",
        "there is no interface 7"),
}


def test_bad_plugins(make_node):
    """The pod fails in words that tell why, DEL follows, the daemon and its Status go on."""
    node = make_node(image=False)
    write_list(node, plugins=[{"type": "bad"}])
    for what, (script, words) in BAD.items():
        start = "[ $CNI_COMMAND = ADD ] || { touch $NODE/del; exit 0; }\n"
        node.add_plugin("bad", start + script)
        with pytest.raises(CriError) as error:
            node.run_pod()
        assert 'network "test": ' in error.value.details(), what
        assert words in error.value.details(), what
        os.unlink(node.path("del"))
        assert ready(node) == (True, ""), what
    node.assert_nothing_left()


def test_plugin_that_does_not_read(make_node):
    """It may end with most of its input unread."""
    node = make_node(image=False)
    node.add_plugin("deaf", """exec <&-
        [ $CNI_COMMAND != ADD ] || echo '{"cniVersion":"1.0.0","ips":[{"address":"10.1.1.2/24"}]}'
        """)
    write_list(node, plugins=[{
        "type": "deaf", "capabilities": {"io.kubernetes.cri.pod-annotations": True}}])
    pod = node.run_pod(annotations={"long.test/note": "x" * 500000})
    assert pod.status().status.network.ip == "10.1.1.2"


META = """
import json, os, subprocess, sys

conf = json.load(sys.stdin)
delegates = list(enumerate(conf["delegates"]))
if os.environ["CNI_COMMAND"] == "DEL":
    delegates.reverse()
for number, delegate in delegates:
    delegate.update(cniVersion=conf["cniVersion"], name=delegate["name"])
    path = [f"{folder}/{delegate['type']}" for folder in os.environ["CNI_PATH"].split(":")]
    done = subprocess.run([next(filter(os.path.exists, path))], input=json.dumps(delegate),
                          env=dict(os.environ, CNI_IFNAME=f"net{number}" if number else "eth0"),
                          stdout=subprocess.PIPE, text=True)
    if done.returncode != 0 or number == 0:
        print(done.stdout)
    if done.returncode != 0:
        sys.exit(1)
"""


def test_plugin_that_delegates(make_node):
    """As Multus: it executes others, found in CNI_PATH, for interfaces of its own choice."""
    node = make_node()
    with open(node.path("meta.py"), "w", encoding="utf-8") as file:
        file.write(META)
    node.add_plugin("meta", "exec /usr/bin/python3 $NODE/meta.py")
    delegates = [{"type": "bridge", "name": f"net{number}", "bridge": "tare0", "ipam": {
        "type": "host-local", "dataDir": node.path("ipam"),
        "ranges": [[{"subnet": f"10.8{number}.0.0/16"}]]}} for number in range(2)]
    write_list(node, plugins=[{"type": "meta", "delegates": delegates}])
    pod = node.run_pod()
    assert pod.status().status.network.ip == "10.80.0.2"
    shown = pod.shell("ip -o -4 addr")
    assert "eth0    inet 10.80.0.2/16" in shown and "net1    inet 10.81.0.2/16" in shown
    pod.remove()
    for number in range(2):
        left = os.listdir(node.path("ipam", f"net{number}"))
        assert [name for name in left if name.startswith("10.")] == []
