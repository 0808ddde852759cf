# SPDX-License-Identifier: Apache-2.0
"""The node's networks as clients see them: configuration that changes, CNI's STATUS."""

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
cat > $NODE/input
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
    with open(node.path("input"), encoding="utf-8") as file:
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
