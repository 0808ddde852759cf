# SPDX-License-Identifier: Apache-2.0
"""What is wrong is told: the gRPC code, the object, the cure; and nothing is left of it."""

import base64
import json
import os
import subprocess
import time

import pytest

from support import images
from support.cri import Code, CriError
from support.node import wait_until

NOWHERE = "f" * 64
CNI = '{"cniVersion":"1.0.0","name":"bad","plugins":[%s]}'
ANSWER = 'printf \'{"cniVersion":"1.0.0","ips":[{"address":"10.1.2.3/24"}]}\''


def refused(call, code, *texts):
    """The call fails with this gRPC code and one line, in which the texts are."""
    with pytest.raises(CriError) as error:
        call()
    said = error.value.details()
    assert error.value.code() == code, said
    for text in texts:
        assert text in said, said
    assert "\n" not in said.strip() and said.strip() == said, repr(said)


# --- what is not there ---

UNKNOWN_CONTAINER = ["ContainerStatus", "StartContainer", "ReopenContainerLog", "ContainerStats"]


@pytest.mark.parametrize("verb", UNKNOWN_CONTAINER)
def test_unknown_container(node, verb):
    call = getattr(node.client, verb)
    refused(lambda: call(container_id=NOWHERE), Code.NOT_FOUND, f'no container "{NOWHERE}"')


def test_unknown_container_more(node):
    client = node.client
    refused(lambda: client.ExecSync(container_id=NOWHERE, cmd=["true"]), Code.NOT_FOUND, NOWHERE)
    refused(
        lambda: client.UpdateContainerResources(container_id=NOWHERE, linux={"cpu_shares": 2}),
        Code.NOT_FOUND,
        NOWHERE,
    )
    client.StopContainer(container_id=NOWHERE)
    client.RemoveContainer(container_id=NOWHERE)
    client.StopPodSandbox(pod_sandbox_id=NOWHERE)
    client.RemovePodSandbox(pod_sandbox_id=NOWHERE)
    client.RemoveImage(image={"image": "not/there:1"})
    assert not client.ImageStatus(image={"image": "not/there:1"}).HasField("image")


def test_unknown_pod(node):
    refused(
        lambda: node.client.PodSandboxStatus(pod_sandbox_id=NOWHERE),
        Code.NOT_FOUND,
        f'no pod "{NOWHERE}"',
    )
    config = node.container_config()
    refused(
        lambda: node.client.CreateContainer(pod_sandbox_id=NOWHERE, config=config),
        Code.NOT_FOUND,
        f'no pod "{NOWHERE}"',
    )


def test_empty_ids(node):
    refused(lambda: node.client.PodSandboxStatus(), Code.INVALID_ARGUMENT, "id of the pod is empty")
    refused(lambda: node.client.ContainerStatus(), Code.INVALID_ARGUMENT, "id of the container")
    refused(lambda: node.client.StopContainer(), Code.INVALID_ARGUMENT, "id of the container")
    refused(lambda: node.client.RemovePodSandbox(), Code.INVALID_ARGUMENT, "id of the pod")


def test_unknown_image(node, pod):
    refused(
        lambda: pod.create(image={"image": "not/there:1"}),
        Code.NOT_FOUND,
        'image "not/there:1"',
        "pull",
    )
    assert not node.client.ListContainers().containers


def test_unknown_handler(node):
    config = node.pod_config()
    refused(
        lambda: node.client.RunPodSandbox(config=config, runtime_handler="kata"),
        Code.NOT_FOUND,
        '"kata"',
        "[runtimes.kata]",
    )
    node.assert_nothing_left()


def test_crictl_says_the_same(node):
    said = node.crictl("inspect", NOWHERE, ok=False).err
    assert NOWHERE in said and "NotFound" in said


# --- names ---


def test_pod_name_taken(node):
    config = node.pod_config()
    first = node.client.RunPodSandbox(config=config).pod_sandbox_id
    name = config["metadata"]["name"]
    refused(lambda: node.client.RunPodSandbox(config=config), Code.ALREADY_EXISTS, name, first[:13])
    config["hostname"] = "another"
    refused(lambda: node.client.RunPodSandbox(config=config), Code.ALREADY_EXISTS, name, "remove")
    assert [p.id for p in node.client.ListPodSandbox().items] == [first]
    node.client.RemovePodSandbox(pod_sandbox_id=first)
    assert node.client.RunPodSandbox(config=config).pod_sandbox_id != first


def test_container_name_taken(node, pod):
    config = node.container_config()

    def create():
        return node.client.CreateContainer(
            pod_sandbox_id=pod.id, config=config, sandbox_config=pod.config
        ).container_id

    first = create()
    refused(create, Code.ALREADY_EXISTS, config["metadata"]["name"], first[:13])
    config["command"] = ["other"]
    refused(create, Code.ALREADY_EXISTS, first[:13], "remove")
    node.client.RemoveContainer(container_id=first)
    assert create() != first


def test_the_same_create_at_once_is_one_container(make_node):
    node = make_node(fault="CreateContainer.snapshot.done=ms:500")
    pod, config = node.run_pod(), node.container_config()
    calls = [
        node.client.start(
            "CreateContainer", pod_sandbox_id=pod.id, config=config, sandbox_config=pod.config
        )
        for _ in range(4)
    ]
    assert len({call.result().container_id for call in calls}) == 1
    assert len(node.client.ListContainers().containers) == 1


def test_ambiguous_id(node):
    ids = sorted(node.run_pod().id for _ in range(17))
    first = next(a[0] for a, b in zip(ids, ids[1:]) if a[0] == b[0])
    refused(
        lambda: node.client.PodSandboxStatus(pod_sandbox_id=first),
        Code.INVALID_ARGUMENT,
        first,
        "more digits",
    )
    assert node.client.PodSandboxStatus(pod_sandbox_id=ids[0][:13]).status.id == ids[0]


# --- start failures ---


def start_error(container, *texts):
    with pytest.raises(CriError) as error:
        container.start()
    status = container.status()
    assert (status.state, status.exit_code, status.reason) == (2, 128, "StartError")
    for text in texts:
        assert text in error.value.details(), error.value.details()
        assert text in status.message
    container.remove()


def test_command_not_in_the_image(node, pod):
    start_error(pod.create(["no-such-program", "x"]), "no-such-program")
    start_error(pod.create(["/no/such/program"]), "/no/such/program")
    assert pod.shell("echo fine") == "fine\n"


def test_command_that_is_no_program(node, pod):
    start_error(pod.create(["/etc/passwd"]), "/etc/passwd")
    start_error(pod.create(["/etc"]), "/etc")


def test_no_command_at_all(node, pod, build, tmp_path):
    folder = str(tmp_path / "layout")
    images.pack(build, folder, "tare.test/none:1", config={}, files=[{"path": "a", "text": "a"}])
    node.load_image(folder, "tare.test/none:1")
    try:
        refused(
            lambda: pod.create(None, image={"image": "tare.test/none:1"}),
            Code.INVALID_ARGUMENT,
            "no command",
            "tare.test/none:1",
        )
    finally:
        node.client.RemoveImage(image={"image": "tare.test/none:1"})


def test_broken_interpreter(node, pod):
    folder = node.path("script")
    os.makedirs(folder, exist_ok=True)
    path = os.path.join(folder, "run")
    with open(path, "w", encoding="utf-8") as script:
        script.write("#!/no/such/shell\n")
    os.chmod(path, 0o755)
    start_error(
        pod.create(["/s/run"], mounts=[{"container_path": "/s", "host_path": folder}]), "/s/run"
    )


def test_too_small_a_memory_limit(node, pod):
    """Whatever happens, it is told and the container can be removed."""
    container = pod.create(linux={"resources": {"memory_limit_in_bytes": 4096}})
    try:
        container.start()
    except CriError as error:
        assert container.status().reason == "StartError", error.details()
    else:
        container.wait()
    container.remove()


def test_mount_over_nothing(node, pod):
    mounts = [{"container_path": "/etc/passwd/x", "host_path": node.path("logs")}]
    start_error(pod.create(mounts=mounts), "/etc/passwd/x")


# --- requests that make no sense ---

BAD_PODS = [
    ({"metadata": {"name": ""}}, "name"),
    ({"hostname": "x" * 65}, "hostname"),
    ({"log_directory": "relative"}, "log_directory"),
    ({"dns_config": {"servers": ["1.1.1.1\nnameserver 2"]}}, "dns_config.servers[0]"),
    ({"port_mappings": [{"host_port": 70000, "container_port": 1}]}, "port_mappings[0]"),
    ({"linux": {"cgroup_parent": "/a/../../b"}}, "cgroup_parent"),
    ({"linux": {"sysctls": {"../kernel/x": "1"}}}, "sysctl"),
    ({"linux": {"security_context": {"namespace_options": {"pid": "TARGET"}}}}, "pid"),
    ({"windows": {}}, "windows"),
]


@pytest.mark.parametrize("more, field", BAD_PODS, ids=[field for _, field in BAD_PODS])
def test_bad_pod(node, more, field):
    config = node.pod_config(**more)
    with pytest.raises(CriError) as error:
        node.client.RunPodSandbox(config=config)
    assert error.value.code() == Code.INVALID_ARGUMENT, error.value.details()
    assert field in error.value.details()
    node.assert_nothing_left()


BAD_CONTAINERS = [
    ({"metadata": {"name": ""}}, "name"),
    ({"image": {"image": ""}}, "image"),
    ({"working_dir": "relative"}, "working_dir"),
    ({"log_path": "../../x"}, "log_path"),
    ({"envs": [{"key": "a=b", "value": ""}]}, "envs[0]"),
    ({"mounts": [{"container_path": "x", "host_path": "/tmp"}]}, "container_path"),
    ({"mounts": [{"container_path": "/x", "host_path": "tmp"}]}, "host_path"),
    ({"linux": {"security_context": {"capabilities": {"add_capabilities": ["FLY"]}}}}, "FLY"),
    ({"linux": {"resources": {"cpuset_cpus": "banana"}}}, "cpuset_cpus"),
    ({"linux": {"resources": {"memory_limit_in_bytes": -5}}}, "memory_limit_in_bytes"),
    ({"windows": {"resources": {"cpu_count": 1}}}, "windows"),
]


@pytest.mark.parametrize(
    "more, field", BAD_CONTAINERS, ids=[f"{f}{i}" for i, (_, f) in enumerate(BAD_CONTAINERS)]
)
def test_bad_container(node, pod, more, field):
    with pytest.raises(CriError) as error:
        pod.create(**more)
    assert error.value.code() == Code.INVALID_ARGUMENT, error.value.details()
    assert field in error.value.details()
    assert not node.client.ListContainers().containers
    assert os.listdir(node.path("state/pods", pod.id, "containers")) == []


# --- the wire ---


def test_malformed_message(node):
    for payload in (b"\xff\xff\xff", b"\x0a\xff\x01abc", b"\x08" * 3, b"\x0a\x02\xff\xfe"):
        refused(
            lambda payload=payload: node.client.raw(
                "/runtime.v1.RuntimeService/PodSandboxStatus", payload
            ),
            Code.INVALID_ARGUMENT,
        )
    assert node.client.Version().runtime_name == "tare"


def test_unknown_call(node):
    for path in ("/runtime.v1.RuntimeService/Fly", "/runtime.v9.RuntimeService/Version", "/x"):
        refused(lambda path=path: node.client.raw(path, b""), Code.UNIMPLEMENTED)


def test_too_large_a_message(node):
    with pytest.raises(CriError) as error:
        node.client.Version(version="x" * (17 << 20))
    assert error.value.code() == Code.RESOURCE_EXHAUSTED
    assert node.client.Version().runtime_name == "tare"


def test_other_bytes_on_the_socket(node):
    import socket  # pylint: disable=import-outside-toplevel

    for text in (
        b"GET / HTTP/1.1\r\n\r\n",
        b"\0" * 100,
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + b"\xff" * 50,
    ):
        with socket.socket(socket.AF_UNIX) as sock:
            sock.connect(node.socket)
            sock.settimeout(10)
            sock.sendall(text)
            try:
                while sock.recv(65536):
                    pass
            except ConnectionResetError:
                pass
    assert node.client.Version().runtime_name == "tare"


# --- images ---


def test_import_of_nothing(node, tmp_path):
    client = node.client
    refused(lambda: client.ImportImage(path="relative"), Code.INVALID_ARGUMENT, "relative")
    refused(lambda: client.ImportImage(path="/no/such/layout"), Code.NOT_FOUND, "/no/such/layout")
    (tmp_path / "empty").mkdir()
    with pytest.raises(CriError) as error:
        client.ImportImage(path=str(tmp_path / "empty"))
    assert str(tmp_path / "empty") in error.value.details()
    node.assert_nothing_left()


def test_import_of_another_architecture(node, build, tmp_path):
    folder = str(tmp_path / "arm")
    images.pack(build, folder, platform="linux/arm64", files=[{"path": "a", "text": "a"}])
    refused(lambda: node.client.ImportImage(path=folder), Code.NOT_FOUND, "arm64", "amd64")
    node.assert_nothing_left()


def test_import_of_a_damaged_layer(node, build, tmp_path):
    folder = tmp_path / "layout"
    images.pack(
        build, str(folder), "tare.test/damaged:1", files=[{"path": "a", "text": "abc" * 99}]
    )
    layer = max(
        (folder / "blobs/sha256").iterdir(), key=lambda blob: blob.read_bytes()[:2] == b"\x1f\x8b"
    )
    data = bytearray(layer.read_bytes())
    data[-1] ^= 1
    layer.write_bytes(bytes(data))
    refused(lambda: node.client.ImportImage(path=str(folder)), Code.DATA_LOSS, layer.name[:12])
    node.assert_nothing_left()


# --- the network ---


@pytest.fixture
def cni_node(make_node):
    return make_node(cni_timeout=2)


def pod_refused(node, code, *texts):
    config = node.pod_config()
    refused(lambda: node.client.RunPodSandbox(config=config), code, *texts)
    node.assert_nothing_left()
    node.crictl("pods")


def use_plugin(node, script, name="bad"):
    node.add_plugin(name, script)
    node.write_network([{"type": name}], name="00-bad.conflist")


def test_bad_networks(cni_node):
    """One node for all: each is another configuration, and the good one works again at the end."""
    node = cni_node
    node.write_network([{"type": "no-such-plugin"}], name="00-bad.conflist")
    pod_refused(node, Code.UNAVAILABLE, "no-such-plugin is not installed in", node.path("plugins"))
    use_plugin(node, 'echo \'{"cniVersion":"1.0.0","code":11,"msg":"try later"}\'; exit 1')
    pod_refused(node, Code.UNAVAILABLE, "bad (ADD)", "try later")
    use_plugin(node, "echo went wrong >&2; exit 3")
    pod_refused(node, Code.INTERNAL, "bad (ADD)", "went wrong")
    use_plugin(node, "kill -9 $$")
    pod_refused(node, Code.INTERNAL, "bad (ADD)")
    for output in ("echo no json", "printf '\\000\\000'", "true", "echo '[]'", "yes"):
        use_plugin(node, f'[ "$CNI_COMMAND" = ADD ] || exit 0\n{output}')
        with pytest.raises(CriError) as error:
            node.run_pod()
        assert "bad (ADD)" in error.value.details(), error.value.details()
        node.assert_nothing_left()
    os.unlink(node.path("cni/00-bad.conflist"))
    assert node.run_pod().shell("echo works") == "works\n"


def test_hanging_plugin(cni_node):
    node = cni_node
    use_plugin(node, '[ "$CNI_COMMAND" = ADD ] && sleep 1000\nexit 0')
    begin = time.monotonic()
    pod_refused(node, Code.DEADLINE_EXCEEDED, "bad (ADD)")
    assert time.monotonic() - begin < 5


def test_plugin_that_hangs_at_the_end(cni_node):
    """DEL that does not come back fails the stop, which can be asked again."""
    node = cni_node
    use_plugin(
        node, f'if [ "$CNI_COMMAND" = DEL ] && [ -e $NODE/stuck ]; then sleep 1000; fi\n{ANSWER}'
    )
    pod = node.run_pod()
    pod.run()
    with open(node.path("stuck"), "w", encoding="utf-8"):
        pass
    refused(pod.stop, Code.DEADLINE_EXCEEDED, "bad (DEL)")
    refused(pod.remove, Code.DEADLINE_EXCEEDED, "bad (DEL)")
    assert [p.id for p in node.client.ListPodSandbox().items] == [pod.id]
    os.unlink(node.path("stuck"))
    pod.remove()
    node.assert_nothing_left()


def test_failed_add_is_followed_by_del(cni_node):
    node = cni_node
    node.add_plugin("one", f'echo "one $CNI_COMMAND" >> $NODE/calls\n{ANSWER}')
    node.add_plugin("two", 'echo "two $CNI_COMMAND" >> $NODE/calls; [ "$CNI_COMMAND" = DEL ]')
    node.write_network([{"type": "one"}, {"type": "two"}], name="00-bad.conflist")
    pod_refused(node, Code.INTERNAL, "two (ADD)")
    with open(node.path("calls"), encoding="utf-8") as calls:
        assert calls.read().splitlines() == ["one ADD", "two ADD", "two DEL", "one DEL"]


def test_network_that_is_not_configured(make_node):
    node = make_node()
    before = node.run_pod()
    os.rename(node.path("cni/10-test.conflist"), node.path("kept"))
    pod_refused_here = node.pod_config()
    refused(
        lambda: node.client.RunPodSandbox(config=pod_refused_here),
        Code.UNAVAILABLE,
        "network is not ready",
        node.path("cni"),
    )
    conditions = {c.type: c for c in node.client.Status().status.conditions}
    assert conditions["RuntimeReady"].status and not conditions["NetworkReady"].status
    assert conditions["NetworkReady"].reason == "NetworkPluginNotReady"
    host = {"linux": {"security_context": {"namespace_options": {"network": "NODE"}}}}
    assert node.run_pod(**host).shell("echo host", **host) == "host\n"
    before.remove()
    node.remove_everything()
    node.assert_nothing_left()
    with open(node.path("cni/10-test.conflist"), "w", encoding="utf-8") as config:
        config.write(CNI % "{")
    refused(
        lambda: node.client.RunPodSandbox(config=pod_refused_here),
        Code.UNAVAILABLE,
        "10-test.conflist",
    )
    os.replace(node.path("kept"), node.path("cni/10-test.conflist"))
    assert node.run_pod().shell("echo again") == "again\n"


# --- the daemon itself ---


def ends(node, *more):
    """What a second tared says when it does not start."""
    done = subprocess.run(
        node.command(*more),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=20,
        check=False,
    )
    assert done.returncode not in (0, None), done.stdout
    return done.stdout


def test_second_daemon(own_node):
    node = own_node
    pod = node.run_pod()
    said = ends(node, "--listen", f"unix://{node.path('other')}")
    assert str(node.process.pid) in said and node.path("") in said, said
    said = ends(node)
    assert str(node.process.pid) in said, said
    said = ends(node, "--root", node.path("r2"), "--state", node.path("s2"))
    assert f"socket '{node.socket}' is in use" in said and "--listen" in said, said
    assert pod.shell("echo fine") == "fine\n"


def test_stale_socket_is_taken(own_node):
    node = own_node
    node.kill()
    assert os.path.exists(node.socket)
    node.start()
    assert node.client.Version().runtime_name == "tare"


def test_socket_path_that_is_a_file(own_node):
    node = own_node
    with open(node.path("file"), "w", encoding="utf-8") as file:
        file.write("precious")
    node.kill()
    said = ends(node, "--listen", f"unix://{node.path('file')}")
    assert node.path("file") in said
    with open(node.path("file"), encoding="utf-8") as file:
        assert file.read() == "precious"
    node.start()


BAD_CONFIGS = [
    ("root = 5\n", "root", "string"),
    ('colour = "red"\n', "colour", "unknown"),
    ('root = "relative"\n', "root", "absolute"),
    ("[cni]\ntimeout_s = 0\n", "timeout_s", "1"),
    ("x = [1,\n", "bad.toml:", ""),
    ('listen = "tcp://1.2.3.4:5"\n', "listen", "unix://"),
]


@pytest.mark.parametrize("text, name, cure", BAD_CONFIGS, ids=range(len(BAD_CONFIGS)))
def test_bad_configuration(build, tmp_path, text, name, cure):
    config = tmp_path / "bad.toml"
    config.write_text(text)
    done = subprocess.run(
        [
            os.path.join(build, "src/cmd/tared"),
            "--config",
            config,
            "--root",
            tmp_path / "r",
            "--state",
            tmp_path / "s",
        ]
        + ([] if "listen" in text else ["--listen", f"unix://{tmp_path}/k"]),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=20,
        stdin=subprocess.DEVNULL,
        check=False,
    )
    assert done.returncode not in (0, None)
    assert name in done.stdout and cure in done.stdout, done.stdout
    assert len(done.stdout.strip().splitlines()) == 1, done.stdout
    assert not (tmp_path / "s").exists()


def test_newer_state_is_refused(own_node):
    node = own_node
    node.kill()
    import sqlite3  # pylint: disable=import-outside-toplevel

    with sqlite3.connect(node.path("state/state.db")) as store:
        version = store.execute("PRAGMA user_version").fetchone()[0]
        store.execute("PRAGMA user_version = 999")
    assert "state.db" in ends(node)
    with sqlite3.connect(node.path("state/state.db")) as store:
        store.execute(f"PRAGMA user_version = {version}")
    node.start()


def test_full_disk(make_node):
    """A container whose files have no room is refused, and undone."""
    node = make_node()
    pod = node.run_pod()
    node.kill()
    folder = node.path("root/containers")
    node.inside("mount", "-t", "tmpfs", "-o", "nr_inodes=1", "tmpfs", folder)
    node.start()
    try:
        refused(pod.create, Code.RESOURCE_EXHAUSTED, "space")
        assert not node.client.ListContainers().containers
        node.inside("mount", "-o", "remount,nr_inodes=100", folder)
        assert pod.shell("echo room") == "room\n"
        pod.remove()
    finally:
        node.kill()
        node.inside("umount", "-l", folder)
        node.start()


def test_seccomp_and_environment_values_are_bounded(node, pod):
    big = base64.b64encode(b"x" * (1 << 20)).decode()
    with pytest.raises(CriError) as error:
        pod.create(envs=[{"key": f"K{n}", "value": big} for n in range(8)])
    assert error.value.code() in (Code.RESOURCE_EXHAUSTED, Code.INVALID_ARGUMENT)
    assert json.dumps(error.value.details())
    wait_until(lambda: not node.client.ListContainers().containers, what="no container")
