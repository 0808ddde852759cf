# SPDX-License-Identifier: Apache-2.0
"""A node with NRI, and plugins on its own Go libraries (nri-plugin, nri-old-plugin), which do what
a test says."""

import concurrent.futures
import json
import os
import shutil
import subprocess
import tempfile

import pytest

from support.cri import CriError
from support.fixtures import print_log
from support.node import Node, wait_until

PATIENCE = 60  # a busy machine with a sanitizer build
CONFIG = """
[nri]
enable = true
socket_path = "{folder}/nri.sock"
plugin_path = "{folder}/plugins"
plugin_config_path = "{folder}/conf"
plugin_registration_timeout = "{registration}"
plugin_request_timeout = "{timeout}"
"""
HERE = os.path.dirname(os.path.abspath(__file__))


def tool(name):
    named = os.environ.get("TARE_" + name.upper().replace("-", "_"))
    if named:
        return named
    tools = os.path.join(os.path.dirname(HERE), "tools.py")
    done = subprocess.run(["/usr/bin/python3", "-B", tools, name], check=False,
                          stdout=subprocess.PIPE, text=True)
    if done.returncode != 0:
        pytest.skip("no Go compiler for the plugin")
    return done.stdout.strip()


@pytest.fixture(scope="session")
def program():
    return tool("nri-plugin")


class Files:
    """A plugin's script and what it has noted."""

    def __init__(self, folder, name):
        self.name = name
        self.script_path = os.path.join(folder, f"{name}.script")
        self.log_path = os.path.join(folder, f"{name}.log")
        self.process = None

    def script(self, **actions):
        with open(self.script_path + ".new", "w", encoding="utf-8") as file:
            json.dump(actions, file)
        os.rename(self.script_path + ".new", self.script_path)

    def noted(self, event=None, of=None):
        """What was noted; of: about this pod or container."""
        if not os.path.exists(self.log_path):
            return []
        with open(self.log_path, encoding="utf-8") as file:
            lines = [json.loads(line) for line in file.read().split("\n")[:-1]]
        return [line for line in lines if event in (None, line["event"]) and
                of in (None, line.get("container", {}).get("id"), line.get("pod", {}).get("id"))]

    def events(self, of):
        return [line["event"] for line in self.noted(of=of)]

    def wait(self, event, of=None, count=1):
        """The last note of an event when there are so many."""
        wait_until(lambda: len(self.noted(event, of)) >= count, PATIENCE,
                   f"{count} {event} at {self.name}")
        return self.noted(event, of)[-1]

    def say(self, line):
        self.process.stdin.write(json.dumps(line) + "\n")
        self.process.stdin.flush()


class World:
    """A node with NRI, and its plugins."""

    def __init__(self, make_node, program, timeout, registration="60s", installed=(),
                 programs=()):
        self.folder = tempfile.mkdtemp(prefix="nri")
        self.program, self.plugins = program, []
        for name in ("plugins", "conf"):
            os.mkdir(self.path(name))
        self.installed = [self.install(name) for name in installed]
        for name in programs:
            with open(self.path("plugins", name), "w", encoding="utf-8") as file:
                file.write(programs[name])
                os.fchmod(file.fileno(), 0o700)
        self.node = make_node(config=CONFIG.format(folder=self.folder, timeout=timeout,
                                                   registration=registration))

    def path(self, *parts):
        return os.path.join(self.folder, *parts)

    def install(self, name):
        files = Files(self.folder, name)
        files.script()
        shutil.copy2(self.program, self.path("plugins", name))
        with open(self.path("conf", f"{name}.conf"), "w", encoding="utf-8") as file:
            json.dump({"script": files.script_path, "log": files.log_path}, file)
        return files

    def start(self, name="10-one", ready=True, validate=None, old=False, **actions):
        files = Files(self.folder, name)
        files.script(**actions)
        idx, _, base = name.partition("-")
        words = ["-idx", idx, "-name", base, "-socket", self.path("nri.sock"),
                 "-log", files.log_path]
        if not old:
            words += ["-script", files.script_path]
        with open(self.path(f"{name}.err"), "ab") as err:
            files.process = subprocess.Popen(
                [tool("nri-old-plugin") if old else self.program, *words,
                 *(["-validate", json.dumps(validate)] if validate is not None else [])],
                stdin=subprocess.PIPE, stdout=err, stderr=err, text=True)
        self.plugins.append(files)
        if ready:
            wait_until(lambda: self.state(name) == "ready", PATIENCE, f"{name} to be ready")
        return files

    def shown(self):
        return self.node.crictl("info").json["nri"]["plugins"]

    def state(self, name):
        return next((p["state"] for p in self.shown() if p["name"] == name), None)

    def release(self, name):
        with open(self.path(name), "w", encoding="utf-8"):
            pass

    def end_plugins(self, name=None):
        for plugin in [p for p in self.plugins if name in (None, p.name)]:
            plugin.process.kill()
            plugin.process.wait()
            plugin.process.stdin.close()
            self.plugins.remove(plugin)

    def end_plugin(self, name):
        self.end_plugins(name)
        wait_until(lambda: self.state(name) is None, PATIENCE, f"{name} to be gone")

    def clear(self):
        self.end_plugins()
        wait_until(lambda: self.shown() == [], PATIENCE, "all plugins to be gone")
        self.node.remove_everything()
        self.node.assert_nothing_left()
        for name in os.listdir(self.folder):
            if os.path.isfile(self.path(name)):  # not the socket
                os.unlink(self.path(name))

    def end(self):
        self.end_plugins()
        shutil.rmtree(self.folder, ignore_errors=True)


@pytest.fixture
def make_world(make_node, program):
    made = []

    def make(timeout="60s", **options):
        made.append(World(make_node, program, timeout, **options))
        return made[-1]

    yield make
    for world in made:
        world.end()


def share_world(build, services, crictl, layout, program, timeout):
    made = []

    def make(**options):
        made.append(Node(build, services, crictl, **options))
        made[0].start()
        made[0].load_image(layout)
        return made[0]

    world = World(make, program, timeout)
    yield world
    made[0].stop()
    world.end()


@pytest.fixture(scope="module")
def shared_world(build, services, crictl, layout, program):
    yield from share_world(build, services, crictl, layout, program, "60s")


@pytest.fixture
def world(shared_world, request):
    """A node that most tests share: at the end of each nothing is left on it."""
    yield shared_world
    print_log(request, shared_world.node)
    shared_world.clear()


@pytest.fixture
def calls():
    """Calls that wait while a test goes on."""
    with concurrent.futures.ThreadPoolExecutor(4) as pool:
        yield pool


def refused(call, *texts):
    with pytest.raises(CriError) as error:
        call()
    for text in texts:
        assert text in error.value.details(), error.value.details()
    return error.value
