# SPDX-License-Identifier: Apache-2.0
"""The runtimes, what variants share, and the runs of all chosen variants, two at a time.

    TARE_BUILD=build/release /usr/bin/python3 -m pytest tests/differential -k seccomp

TARE_RUNC names runc, else tests/tools.py is asked; crun is Debian's. Whoever reads differences:
TARE_DIFFERENCES names a file that gets them all."""
import concurrent.futures
import dataclasses
import os
import pathlib
import shutil
import subprocess
import sys
import tempfile

import pytest

HERE = pathlib.Path(__file__).parent
sys.path.insert(0, str(HERE))
sys.path.insert(0, str(HERE.parent))
import compare  # noqa: E402
import runtimes  # noqa: E402
from support import isolation, leaks  # noqa: E402
from variants import TABLE  # noqa: E402

PREFIX = f"tare-test-diff-{os.getpid()}"
WORKERS = 2
UNIFIED = "/sys/fs/cgroup/unified"


@dataclasses.dataclass
class Place:
    folder: str
    probe: str
    cgroup: str
    holders: dict


def pytest_generate_tests(metafunc):
    if "variant" in metafunc.fixturenames:
        metafunc.parametrize("variant", TABLE, ids=lambda variant: variant.name)


@pytest.fixture(scope="session")
def tare():
    build = os.environ.get("TARE_BUILD")
    path = build and os.path.join(build, "src/cmd/tare-runtime")
    if not path or not os.path.exists(path):
        pytest.skip("set TARE_BUILD to a build folder with src/cmd/tare-runtime")
    if os.geteuid() != 0:
        pytest.skip("needs root")
    return path


def find_runc():
    named = os.environ.get("TARE_RUNC")
    if named:
        return named
    done = subprocess.run(["/usr/bin/python3", "-B", HERE.parent / "tools.py", "runc"], text=True,
                          check=True, stdout=subprocess.PIPE)
    return done.stdout.strip()


@pytest.fixture(scope="session")
def private_mounts():
    """Our own mount namespace: where the tree of cgroup v2 beside v1 is hidden, crun starts."""
    isolation.unshare(isolation.CLONE_NEWNS)
    isolation.mount("none", "/", "none", isolation.MS_REC | isolation.MS_PRIVATE)
    if os.path.ismount(UNIFIED):
        subprocess.run(["umount", UNIFIED], check=True)
    isolation.private_devices()


def _own_cgroups():
    """{controllers: path} of this process."""
    lines = pathlib.Path("/proc/self/cgroup").read_text().splitlines()
    return {line.split(":")[1]: line.split(":", 2)[2] for line in lines}


def _remove_cgroups():
    """Ours, at the root of each hierarchy and below the cgroup that we are in."""
    for root in leaks.cgroup_hierarchies():
        for own in {"/", *_own_cgroups().values()}:
            top = os.path.join(root, own.lstrip("/"), PREFIX)
            for folder, _, _ in os.walk(top, topdown=False):
                os.rmdir(folder)


def _hold(*words):
    """A process in namespaces of its own, made by unshare: (what to end, the one inside)."""
    child = subprocess.Popen(["unshare", *words, "--fork", "--kill-child", "sh", "-c",
                              "hostname held 2>/dev/null; echo up; exec sleep 600"],
                             stdout=subprocess.PIPE)
    assert child.stdout.readline() == b"up\n"
    inside = leaks.descendants(child.pid)
    return child, inside[0]


@pytest.fixture(scope="session")
def place(tare, private_mounts):
    folder = tempfile.mkdtemp(prefix="diff-")
    os.chmod(folder, 0o711)
    probe = os.path.join(folder, "probe")
    subprocess.run(["gcc", "-O1", "-static", "-w", "-D_GNU_SOURCE", "-o", probe,
                    HERE.parent / "runtime/probe.c"], check=True)
    subprocess.run(["strip", probe], check=True)
    children = {
        "plain": _hold("--net", "--ipc", "--uts", "--pid", "--cgroup", "--time"),
        "user": _hold("--user", "--net", "--ipc", "--uts"),
    }
    for kind in ("uid", "gid"):
        pathlib.Path(f"/proc/{children['user'][1]}/{kind}_map").write_text("0 100000 65536")
    try:
        yield Place(folder, probe, f"/{PREFIX}", {n: pid for n, (_, pid) in children.items()})
    finally:
        for child, _ in children.values():
            child.kill()
            child.wait()
        _remove_cgroups()
        mounts = [line for line in leaks.mounts() if folder in line]
        assert not mounts, f"{folder} is kept, there are mounts in it: {mounts}"
        shutil.rmtree(folder)


def _starts(runtime, place):
    """None, or what a runtime says that does not run the plainest bundle on this machine."""
    plain = dataclasses.replace(TABLE[0], name=f"try/{runtime.name}")
    found = runtimes.Run(runtime, plain, place).observe()
    return None if found["reported"] else found["(stderr)"]


@pytest.fixture(scope="session")
def others(place):
    """The runtimes to compare with: those of the two that start here."""
    candidates = [runtimes.Runtime("runc", find_runc(), place.folder)]
    if shutil.which("crun"):
        candidates.append(runtimes.Runtime("crun", shutil.which("crun"), place.folder))
    usable = [runtime for runtime in candidates if _starts(runtime, place) is None]
    assert usable, f"neither runc nor crun starts here: {_starts(candidates[0], place)}"
    return usable


@pytest.fixture(scope="session")
def observed(request, tare, place, others):
    """{variant's name: {runtime's name: fields}} of the variants that were chosen."""
    chosen = {item.callspec.params["variant"].name: item.callspec.params["variant"]
              for item in request.session.items if hasattr(item, "callspec")}
    every = [runtimes.Runtime("tare", tare, place.folder), *others]

    def observe(variant):
        return {runtime.name: runtimes.Run(runtime, variant, place).observe() for runtime in every}

    with concurrent.futures.ThreadPoolExecutor(WORKERS) as pool:
        jobs = {name: pool.submit(observe, variant) for name, variant in chosen.items()}
    found = {name: job.result() for name, job in jobs.items() if not job.exception()}
    for name, job in jobs.items():
        if job.exception():  # of the test itself; one line, for the test of that variant
            found[name] = {"tare": {"(stderr)": "", "test": repr(job.exception())}, "runc": {}}
    if os.environ.get("TARE_DIFFERENCES"):
        compare.write(os.environ["TARE_DIFFERENCES"], found)
    return found


@pytest.fixture(scope="session")
def justified():
    return compare.read_justified(HERE / "justified.toml")
