# SPDX-License-Identifier: Apache-2.0
"""Nobody waits for what is stuck, and who asks for the same gets the same."""

import contextlib
import os
import signal
import subprocess
import time

from support.cri import Code
from support.node import wait_until

HANG = 'case $CNI_COMMAND in ADD) touch "$NODE/hangs"; exec sleep 1000;; esac'


def test_fifty_clients_while_a_plugin_hangs(make_node):
    """Lists and status answer while a pod waits for its network, for 50 crictl at once."""
    node = make_node(cni_timeout=8)
    good = node.run_pod()
    container = good.run()
    node.write_network()
    node.add_plugin("hang", HANG)
    node.write_network([{"type": "hang"}], name="00-hang.conflist")
    stuck = node.client.start("RunPodSandbox", config=node.pod_config())
    wait_until(
        lambda: node.inside("test", "-e", node.path("hangs")).returncode == 0, what="the plugin"
    )
    asked = [
        ["version"],
        ["info"],
        ["ps", "-a"],
        ["pods"],
        ["images"],
        ["imagefsinfo"],
        ["stats"],
        ["inspect", container.id],
        ["inspectp", good.id],
        ["exec", "-s", container.id, "true"],
    ]
    begin = time.monotonic()
    clients = [
        subprocess.Popen(
            [node.crictl_path, "--config", node.path("crictl.yaml"), *asked[n % 10]],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for n in range(50)
    ]
    for client in clients:
        out, err = client.communicate(timeout=60)
        assert client.returncode == 0, f"{client.args}: {out}{err}"
    assert not stuck.done(), f"50 clients took {time.monotonic() - begin} s"
    node.crictl("stop", "--timeout", "0", container.id)
    error = stuck.exception()
    assert "plugin hang (ADD): it did not end in time" in error.details(), error.details()


def test_what_is_stuck_is_told(make_node):
    """ListOperations names the plugin and its process."""
    node = make_node(cni_timeout=4)
    node.add_plugin("hang", HANG)
    node.write_network([{"type": "hang"}], name="00-hang.conflist")
    config = node.pod_config()
    stuck = node.client.start("RunPodSandbox", config=config)

    def waiting():
        steps = [s for o in node.client.ListOperations().operations for s in o.steps if s.waits_for]
        return [s for s in steps if "plugin hang" in s.waits_for and s.name == "network"]

    assert wait_until(waiting, what="the operation")
    assert stuck.exception() is not None


def test_cancelled_request_goes_on_and_is_joined(make_node):
    """A client's deadline ends its wait only; the same request again gets the pod of the first."""
    node = make_node()
    node.add_plugin(
        "slow",
        "case $CNI_COMMAND in ADD) sleep 1.5;; esac\n"
        'printf \'{"cniVersion":"1.0.0","ips":[{"address":"10.1.2.3/24"}]}\'',
    )
    node.write_network([{"type": "slow"}], name="00-slow.conflist")
    config = node.pod_config()
    assert node.client.start("RunPodSandbox", deadline=0.5, config=config).exception() is not None
    again = node.client.RunPodSandbox(config=config).pod_sandbox_id
    assert [p.id for p in node.client.ListPodSandbox().items] == [again]
    config = node.pod_config()
    assert node.client.start("RunPodSandbox", deadline=0.5, config=config).exception() is not None
    wait_until(
        lambda: len(node.client.ListPodSandbox().items) == 2, what="the pod that nobody waits for"
    )
    taken = node.client.RunPodSandbox(config=config).pod_sandbox_id
    assert taken in [p.id for p in node.client.ListPodSandbox().items]


@contextlib.contextmanager
def held(node):
    """What is asked meanwhile, the daemon reads all at once."""
    os.kill(node.process.pid, signal.SIGSTOP)
    try:
        yield
        time.sleep(0.3)
    finally:
        os.kill(node.process.pid, signal.SIGCONT)


def test_the_same_requests_in_one_go(own_node):
    """Before the first has come to its name, too, there is one pod, and one container."""
    node = own_node
    pod = node.pod_config()
    with held(node):
        calls = [node.client.start("RunPodSandbox", config=pod) for _ in range(4)]
    pods = {call.result().pod_sandbox_id for call in calls}
    assert pods == {p.id for p in node.client.ListPodSandbox().items} and len(pods) == 1
    config = node.container_config()
    with held(node):
        calls = [node.client.start("CreateContainer", pod_sandbox_id=list(pods)[0], config=config,
                                   sandbox_config=pod) for _ in range(4)]
    made = {call.result().container_id for call in calls}
    assert made == {c.id for c in node.client.ListContainers().containers} and len(made) == 1


def test_a_name_whose_holder_does_not_go(make_node):
    """It is waited for as long as the removal goes on, whatever else is removed."""
    node = make_node(cni_timeout=3)
    node.add_plugin("slow", 'if [ "$CNI_COMMAND" = DEL ] && [ -e $NODE/stuck ]; then sleep 1000; fi'
                    '\nprintf \'{"cniVersion":"1.0.0","ips":[{"address":"10.1.2.3/24"}]}\'')
    node.write_network([{"type": "slow"}], name="00-slow.conflist")
    pod = node.run_pod()
    other = node.run_pod(linux={"security_context": {"namespace_options": {"network": "NODE"}}})
    with open(node.path("stuck"), "w", encoding="utf-8"):
        pass

    def waits(text):
        return any(text in step.waits_for for o in node.client.ListOperations().operations
                   for step in o.steps)

    removal = node.client.start("RemovePodSandbox", pod_sandbox_id=pod.id)
    wait_until(lambda: waits("plugin slow"), what="the plugin")
    again = [node.client.start("RunPodSandbox", config=pod.config) for _ in range(2)]
    wait_until(lambda: waits("the name, whose former holder"), what="the wait")
    other.remove()
    assert not any(call.done() for call in again)
    assert removal.exception().code() == Code.DEADLINE_EXCEEDED
    for call in again:
        assert call.exception().code() == Code.ALREADY_EXISTS
        assert "whose removal has failed" in call.exception().details()
    os.unlink(node.path("stuck"))
    assert node.client.RunPodSandbox(config=pod.config).pod_sandbox_id != pod.id
