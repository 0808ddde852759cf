# SPDX-License-Identifier: Apache-2.0
"""The node's networks as clients see them: configuration that changes, CNI's STATUS."""

import base64
import glob
import json
import os
import shutil

import pytest

from support.cri import CriError
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
    with open(node.path("config.toml"), encoding="utf-8") as file:
        text = file.read()
    with open(node.path("config.toml"), "w", encoding="utf-8") as file:
        file.write(text.replace("[cni]\n", '[cni]\ndefault_network = "later"\n'))
    node.restart()
    assert ready(node) == (True, "")
    assert node.run_pod().status().status.network.ip == "10.1.1.2"
    os.unlink(node.path("cni", "50-later.conflist"))
    status, words = ready(node)
    assert status is False and 'no network "later" in' in words


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
    wait_until(lambda: ready(node) == (True, ""), 30, "STATUS")
    with open(node.path("asked"), encoding="utf-8") as file:
        assert file.readline() == f"STATUS none none {node.path('plugins')}:/usr/lib/cni\n"
    with open(node.path("STATUS"), encoding="utf-8") as file:
        assert json.load(file) == {"cniVersion": "1.1.0", "name": "test", "type": "answering"}

    with open(node.path("words"), "w", encoding="utf-8") as file:
        json.dump({"cniVersion": "1.1.0", "code": 50, "msg": "no tunnel", "details": "peer?"}, file)
    write_list(node, "1.1.0", plugins=[{"type": "answering"}])
    wait_until(lambda: not ready(node)[0], 30, "STATUS")
    assert 'network "test": plugin answering (STATUS): no tunnel; peer?' in ready(node)[1]
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
