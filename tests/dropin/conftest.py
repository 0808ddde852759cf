# SPDX-License-Identifier: Apache-2.0
"""tare-runtime below the engines that people run: podman, docker and containerd, unchanged.

    TARE_BUILD=/tmp/build /usr/bin/python3 -m pytest tests/dropin

They run in namespaces of ours (mounts with an empty /run, a network with only loopback), over an
/etc and a /var/lib whose changes are thrown away. Needs root and containernetworking-plugins.
TARE_RUNTIME=/usr/sbin/runc shows what an engine does with another runtime.
"""
import os
import pathlib
import platform
import subprocess
import sys
import tarfile

import pytest

sys.dont_write_bytecode = True
HERE = os.path.dirname(os.path.abspath(__file__))
sys.path[:0] = [HERE, os.path.dirname(HERE)]
import engines  # noqa: E402
from support import images, isolation  # noqa: E402
from support.node import remove_cgroups  # noqa: E402

IMAGE, PAUSE = "tare.test/busybox:1", "tare.test/pause:1"


def ask_tools(variable, tool):
    """What ./check has put into the environment, else what tests/tools.py makes."""
    if os.environ.get(variable):
        return os.environ[variable]
    found = subprocess.run(["/usr/bin/python3", "-B", f"{HERE}/../tools.py", tool], check=False,
                           stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    if found.returncode != 0:
        pytest.skip(f"no {tool}: {found.stderr.strip()}")
    return found.stdout.strip()


@pytest.fixture(scope="session")
def build():
    folder = os.environ.get("TARE_BUILD")
    if os.geteuid() != 0:
        pytest.skip("needs root")
    if not folder or not os.path.exists(f"{folder}/src/cmd/tare-runtime"):
        pytest.skip("set TARE_BUILD to a build folder with src/cmd/tare-runtime")
    return os.path.abspath(folder)


@pytest.fixture(scope="session")
def runtime(build):
    return os.environ.get("TARE_RUNTIME") or f"{build}/src/cmd/tare-runtime"


@pytest.fixture(scope="session", autouse=True)
def private_machine(build, engine_root):
    """Namespaces of this process; all that engines write outside their folders is in a tmpfs.

    Of this thread, that is, which is not always a process's first: side by side, tests run in one
    of pytest-xdist's. The loader's cache finds engines' libraries, since conmon starts podman
    without our environment.
    """
    isolation.isolate()
    for folder in ("/etc", "/var/lib", "/var/cache"):
        upper, work = f"/run/dropin{folder}/upper", f"/run/dropin{folder}/work"
        os.makedirs(upper)
        os.makedirs(work)
        isolation.mount("overlay", folder, "overlay", 0,
                        f"lowerdir={folder},upperdir={upper},workdir={work}")
    libraries = [f"{engine_root}/{place}/{platform.machine()}-linux-gnu"
                 for place in ("lib", "usr/lib")]
    subprocess.run(["/sbin/ldconfig", "-i", "-X", *libraries], check=True)
    yield
    remove_cgroups(engines.CGROUP)


@pytest.fixture(scope="session")
def engine_root():
    return ask_tools("TARE_ENGINES", "engines")


@pytest.fixture(scope="session")
def containerd_folder():
    if os.environ.get("TARE_CONTAINERD"):
        return os.environ["TARE_CONTAINERD"]
    return os.path.dirname(ask_tools("TARE_CONTAINERD", "containerd"))


@pytest.fixture(scope="session")
def crictl():
    return ask_tools("TARE_CRICTL", "crictl")


@pytest.fixture(scope="session")
def folder(tmp_path_factory):
    """The root of a user namespace has to get through to what is in it."""
    made = tmp_path_factory.mktemp("d")
    for path in (made, made.parent):
        path.chmod(0o711)
    return str(made)


@pytest.fixture(scope="session")
def archive(build, folder):
    """makes(reference): a tar file of an OCI layout with that image."""
    def make(reference, **options):
        name = reference.split("/")[-1].replace(":", "-")
        path = pathlib.Path(folder) / f"{name}.tar"
        if not path.exists():
            images.pack(build, f"{folder}/{name}", reference, **options)
            with tarfile.open(path, "w") as tar:
                for entry in sorted(os.listdir(f"{folder}/{name}")):
                    tar.add(f"{folder}/{name}/{entry}", entry)
        return str(path)

    return make


@pytest.fixture(scope="session")
def pause_archive(archive):
    return archive(PAUSE, config={"Env": ["PATH=/bin"], "Cmd": ["sleep", "100000"],
                                  "StopSignal": "SIGKILL"})


@pytest.fixture(scope="session")
def bundle_image(archive):
    return archive(IMAGE)
