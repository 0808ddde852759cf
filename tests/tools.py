#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""What tests run and no package has ready, made once: tests/tools.py TOOL

Prints the path of the program. Debian 12's Go is too old for them, so where no newer one is
installed Debian's fetches, as a module, the toolchain that go.mod files of today ask for. All of it
comes through the module proxy that Go is set up with.
"""
import collections
import concurrent.futures
import functools
import glob
import hashlib
import json
import os
import platform
import re
import shutil
import subprocess
import sys
import tempfile
import threading

HERE = os.path.dirname(os.path.abspath(__file__))
CACHE = os.environ.get("TARE_CACHE") or os.path.join(
    os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache"), "tare")
SYSTEM_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
GOFLAGS = "-buildvcs=false -modcacherw"
GO_VERSION = (1, 26, 3)  # the newest that the modules below ask for
TOOLCHAIN = "golang.org/toolchain@v0.0.1-go{}.linux-{}"
TOML_TEST = ("github.com/toml-lang/toml-test/v2/cmd/toml-test", "v2.2.0")
RUNC = ("github.com/opencontainers/runc", "v1.5.2")
RUNC_TAGS = "seccomp,urfave_cli_no_docs"
RUNSC = ("gvisor.dev/gvisor", "v0.0.0-20260905035102-160fafc42237")  # generated code and all
CRI_TOOLS = ("sigs.k8s.io/cri-tools", "v1.36.0")
# The next version compares addresses where it means numbers (linux_cgroups_pids and two others).
RUNTIME_TOOLS = ("github.com/opencontainers/runtime-tools", "v0.9.1-0.20250523060157-0ea5ed0382a2")
CONTAINERD = ("github.com/containerd/containerd/v2", "v2.4.2")
CNI_PLUGINS = ("github.com/containernetworking/plugins", "v1.9.1")
KUBERNETES, KUBERNETES_LIBRARIES = ("k8s.io/kubernetes", "v1.36.3"), "v0.36.3"
# Engines of Debian, and the libraries and files of theirs that a machine may lack. They are
# unpacked, not installed: nothing of theirs is started, nothing of the machine's is replaced.
ENGINES = ("catatonit conmon containerd docker.io golang-github-containers-common libassuan0 "
           "libdevmapper1.02.1 libgpgme11 libsubid4 podman tini").split()
# critest pulls this image by digest; ours has the digest that tests/testbed/images.py prints.
LOCKS = collections.defaultdict(threading.Lock)  # by folder of the cache, and "apt"
DIGEST_FILE, DIGEST = "pkg/validate/consts.go", r"test-image-digest@sha256:[0-9a-f]*"


class ToolError(Exception):
    """A tool that cannot be had, with the output of what failed."""


def run(command, **options):
    """The standard output; ToolError with all of the output when it fails."""
    done = subprocess.run([str(word) for word in command], check=False, stdin=subprocess.DEVNULL,
                          stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, **options)
    if done.returncode != 0:
        raise ToolError(f"{' '.join(map(str, command))}:\n{done.stdout}{done.stderr}")
    return done.stdout


def version_of(go):
    """(1, 26, 2) of a Go compiler; (0,) when it does not run."""
    try:
        text = run([go, "version"], env=dict(os.environ, GOTOOLCHAIN="local"))
    except (ToolError, OSError):
        return (0,)
    match = re.search(r"\bgo([0-9]+(?:\.[0-9]+)*)", text)
    return tuple(map(int, match[1].split("."))) if match else (0,)


def installed():
    """Go compilers of this machine, as paths."""
    places = [shutil.which("go"), "/usr/local/go/bin/go", "/usr/bin/go"]
    return [path for path in dict.fromkeys(places) if path and os.access(path, os.X_OK)]


def fetch_toolchain(old):
    """The pinned Go, fetched by an older one; its folder below the cache."""
    machine = {"x86_64": "amd64", "aarch64": "arm64"}[platform.machine()]
    module = TOOLCHAIN.format(".".join(map(str, GO_VERSION)), machine)
    cache = os.path.join(CACHE, "toolchain")
    env = dict(os.environ, GOMODCACHE=cache, GOFLAGS="-modcacherw", GO111MODULE="on")
    folder = json.loads(run([old, "mod", "download", "-json", module], env=env, cwd="/"))["Dir"]
    for pattern in ("bin/*", "pkg/tool/*/*"):
        for program in glob.glob(os.path.join(folder, pattern)):
            os.chmod(program, 0o755)
    return os.path.join(folder, "bin", "go")


@functools.lru_cache(None)
def go():
    """The path of a Go compiler of at least GO_VERSION."""
    fetched = glob.glob(os.path.join(CACHE, "toolchain", "golang.org", "toolchain@*", "bin", "go"))
    for path in installed() + fetched:
        if version_of(path) >= GO_VERSION:
            return path
    if not installed():
        install_debian_go()
    path = fetch_toolchain(installed()[0])
    if version_of(path) < GO_VERSION:
        raise ToolError(f"{path} is not Go {'.'.join(map(str, GO_VERSION))} or newer")
    return path


def install_debian_go():
    env = dict(os.environ, DEBIAN_FRONTEND="noninteractive")
    run(["apt-get", "-y", "-q", "install", "--no-install-recommends", "golang-go"], env=env)


def go_environment():
    """For building; the module proxy stays as this machine has it."""
    env = dict(os.environ, GOTOOLCHAIN="local", GOFLAGS=GOFLAGS, CGO_ENABLED="0")
    env["PATH"] = os.path.dirname(go()) + os.pathsep + env.get("PATH", "/usr/bin:/bin")
    return env


def made(folder, names, build):
    """The paths of programs in CACHE/folder; build(folder) makes them when one is missing."""
    final = os.path.join(CACHE, folder)
    paths = [os.path.join(final, name) for name in names]
    with LOCKS[folder]:
        if not all(os.access(path, os.X_OK) for path in paths):
            os.makedirs(CACHE, exist_ok=True)
            with tempfile.TemporaryDirectory(dir=CACHE, prefix="make-") as work:
                build(work)
                os.makedirs(final, exist_ok=True)
                for path in paths:
                    os.replace(os.path.join(work, os.path.basename(path)), path)
    return paths


def toml_test():
    package, version = TOML_TEST

    def build(work):
        env = dict(go_environment(), GOBIN=work)
        run([go(), "install", f"{package}@{version}"], env=env, cwd="/")

    return made(f"toml-test-{version}", ["toml-test"], build)[0]


def toml_test_passed(output):
    """How many tests toml-test's summary counts as passed."""
    return sum(map(int, re.findall(r"^ *(?:valid|invalid) tests: *([0-9]+) passed", output, re.M)))


def module_source(module, version):
    command = [go(), "mod", "download", "-json", f"{module}@{version}"]
    return json.loads(run(command, env=go_environment(), cwd="/"))["Dir"]


def runc():
    """What tests/differential compares with; it links libseccomp."""
    module, version = RUNC

    def build(work):
        env = dict(go_environment(), GOBIN=work, CGO_ENABLED="1")
        run([go(), "install", "-trimpath", "-ldflags", "-s -w", "-tags", RUNC_TAGS,
             f"{module}@{version}"], env=env, cwd="/")

    return made(f"runc-{version}", ["runc"], build)[0]


def runsc():
    """gVisor's runtime, for tests/handlers."""
    module, version = RUNSC

    def build(work):
        env = dict(go_environment(), GOBIN=work)
        run([go(), "install", "-trimpath", "-ldflags", "-s -w", f"{module}/runsc@{version}"],
            env=env, cwd="/")

    return made(f"runsc-{version}", ["runsc"], build)[0]


def image_digest():
    """Of the image that critest pulls by digest; None before the testbed's images are here."""
    script = os.path.join(HERE, "testbed", "images.py")
    if not os.path.exists(script):
        return None
    return run(["/usr/bin/python3", "-B", script, "digest", "test-image-digest"]).split()[-1]


def cri_tools():
    """(crictl, critest)"""
    module, version = CRI_TOOLS
    digest = image_digest()

    def build(work):
        source = os.path.join(work, "source")
        shutil.copytree(module_source(module, version), source)
        run(["chmod", "-R", "u+w", source])
        if digest:
            set_digest(os.path.join(source, DIGEST_FILE), digest)
        stamp = f"-s -w -X {module}/pkg/version.Version={version}"
        common = ["-trimpath", "-ldflags", stamp]
        for command, name in ((["build"], "crictl"), (["test", "-c"], "critest")):
            run([go(), *command, *common, "-o", f"{work}/{name}", f"./cmd/{name}"],
                env=go_environment(), cwd=source)

    name = f"cri-tools-{version}-{digest[7:19] if digest else 'plain'}"
    return made(name, ["crictl", "critest"], build)


def set_digest(path, digest):
    with open(path, encoding="utf-8") as file:
        text = file.read()
    changed, count = re.subn(DIGEST, f"test-image-digest@{digest}", text)
    if count == 0:
        raise ToolError(f"{path} does not name the image: the pinned version has changed")
    with open(path, "w", encoding="utf-8") as file:
        file.write(changed)


def runtime_tools():
    """The folder with runtime-tools' runtimetest, rootfs-ARCH.tar.gz and validation/PROGRAM."""
    module, version = RUNTIME_TOOLS
    final = os.path.join(CACHE, f"runtime-tools-{version}")
    if os.path.isdir(final):
        return final
    os.makedirs(CACHE, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=CACHE, prefix="make-") as work:
        source, out = os.path.join(work, "source"), os.path.join(work, "out")
        shutil.copytree(module_source(module, version), source)
        run(["chmod", "-R", "u+w", source])
        shutil.rmtree(os.path.join(source, "vendor"), ignore_errors=True)  # only a list is in it
        common = ["-trimpath", "-ldflags", "-s -w", "-overlay", keep_own_limits(work)]
        os.makedirs(os.path.join(out, "validation"))
        for target, package in ((f"{out}/validation/", "./validation/..."),
                                (f"{out}/", "./cmd/runtimetest")):
            run([go(), "build", *common, "-o", target, package], env=go_environment(), cwd=source)
        for archive in glob.glob(os.path.join(source, "rootfs-*.tar.gz")):
            shutil.copy(archive, out)
        os.rename(out, final)
    return final


def keep_own_limits(work):
    """An overlay for go build: programs that leave their limit of open files as they find it.

    Since Go 1.19 every program raises it for itself when it starts; runtimetest reads it to say
    whether the runtime has set it, and would see its own."""
    path = os.path.join(run([go(), "env", "GOROOT"]).strip(), "src", "syscall", "rlimit.go")
    with open(path, encoding="utf-8") as file:
        text = file.read()
    if text.count("\nfunc init() {") != 1:
        raise ToolError(f"{path} has changed: the overlay no longer fits")
    with open(os.path.join(work, "rlimit.go"), "w", encoding="utf-8") as file:
        file.write(text.replace("\nfunc init() {", "\nfunc raiseOpenFiles() {"))
    with open(os.path.join(work, "overlay.json"), "w", encoding="utf-8") as file:
        json.dump({"Replace": {path: os.path.join(work, "rlimit.go")}}, file)
    return file.name


def unpack_packages(names, work):
    """Debian packages, which are not installed, in work/root."""
    env = dict(os.environ, DEBIAN_FRONTEND="noninteractive")
    command = ["apt-get", "-q", "-o", "APT::Sandbox::User=root", "-o", "Acquire::Retries=3",
               "download", *names]
    with LOCKS["apt"]:
        try:
            run(command, env=env, cwd=work)
        except ToolError:  # the lists are old, or there are none
            run(["apt-get", "-q", "update"], env=env)
            run(command, env=env, cwd=work)
    for package in glob.glob(f"{work}/*.deb"):
        run(["dpkg-deb", "-x", package, f"{work}/root"])
        os.unlink(package)


def busybox():
    """Debian's dynamic busybox, for images of critest; busybox-static conflicts with it."""
    def build(work):
        unpack_packages(["busybox"], work)
        os.replace(f"{work}/root/bin/busybox", f"{work}/busybox")

    return made("busybox-dynamic", ["busybox"], build)[0]


def engines():
    """A folder with the engines of Debian, as if it were the root of a machine."""
    folder = os.path.join(CACHE, "engines-debian12")
    if not os.path.isdir(folder):
        os.makedirs(CACHE, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=CACHE, prefix="make-") as work:
            unpack_packages(ENGINES, work)
            root = f"{work}/root"
            run([f"{root}/usr/bin/podman", "--version"],
                env=dict(os.environ, LD_LIBRARY_PATH=engine_libraries(root)))
            os.replace(root, folder)
    return folder


def engine_libraries(root):
    triplet = f"{platform.machine()}-linux-gnu"
    return ":".join(f"{root}/{place}/{triplet}" for place in ("usr/lib", "lib"))


def containerd():
    """(containerd, containerd-shim-runc-v2, ctr) of today; Debian's is a major version older."""
    module, version = CONTAINERD
    names = ["containerd", "containerd-shim-runc-v2", "ctr"]

    def build(work):
        source = os.path.join(work, "source")
        shutil.copytree(module_source(module, version), source)
        run(["chmod", "-R", "u+w", source])
        stamp = f"-s -w -X {module}/version.Version={version}"
        run([go(), "build", "-trimpath", "-ldflags", stamp, "-tags", "no_btrfs no_devmapper no_zfs",
             "-o", f"{work}/", *(f"./cmd/{name}" for name in names)],
            env=dict(go_environment(), GOFLAGS=f"{GOFLAGS} -mod=mod"), cwd=source)

    return made(f"containerd-{version}", names, build)


def cni_plugins():
    """A folder with plugins of CNI 1.1: Debian's know no STATUS and no GC."""
    module, version = CNI_PLUGINS
    names = {"bridge": "main", "loopback": "main", "host-local": "ipam", "portmap": "meta",
             "tuning": "meta", "bandwidth": "meta", "firewall": "meta"}

    def build(work):
        run([go(), "install", "-trimpath", "-ldflags", "-s -w",
             *(f"{module}/plugins/{kind}/{name}@{version}" for name, kind in names.items())],
            env=dict(go_environment(), GOBIN=work), cwd="/")

    return os.path.dirname(made(f"cni-plugins-{version}", names, build)[0])


def kubernetes():
    """(kubelet, kube-apiserver, kubectl). Their module says only in its own repository where the
    libraries are that it is published with."""
    module, version = KUBERNETES
    names = ["kubelet", "kube-apiserver", "kubectl"]

    def build(work):
        with open(os.path.join(module_source(module, version), "go.mod"), encoding="utf-8") as file:
            libraries = re.findall(r"^\s+(k8s\.io/\S+) v0\.0\.0$", file.read(), re.M)
        with open(os.path.join(work, "go.mod"), "w", encoding="utf-8") as file:
            file.write(f"module tare.test/kubernetes\n\ngo {GO_VERSION[0]}.{GO_VERSION[1]}\n\n"
                       f"require {module} {version}\n")
            file.writelines(f"replace {name} => {name} {KUBERNETES_LIBRARIES}\n"
                            for name in libraries)
        stamp = f"-s -w -X k8s.io/component-base/version.gitVersion={version}"
        run([go(), "build", "-trimpath", "-ldflags", stamp, "-o", f"{work}/",
             *(f"{module}/cmd/{name}" for name in names)],
            env=dict(go_environment(), GOFLAGS=f"{GOFLAGS} -mod=mod", GOWORK="off"), cwd=work)

    return made(f"kubernetes-{version}", names, build)


def etcd():
    """Debian's, unpacked: the package would start it."""
    def build(work):
        unpack_packages(["etcd-server"], work)
        os.replace(f"{work}/root/usr/bin/etcd", f"{work}/etcd")

    return made("etcd-debian12", ["etcd"], build)[0]


def grpc_client():
    """The Go client of tests/wire, built where it is used; here only what it needs is fetched."""
    folder = os.path.join(HERE, "wire", "client")
    if os.path.isdir(folder):
        run([go(), "build", "-o", os.devnull, "."], env=go_environment(), cwd=folder)
    return folder


def own_program(name, *folders):
    """A Go program of ours below tests/."""
    folder = os.path.join(HERE, *folders)
    digest = hashlib.sha256()
    for source in ("main.go", "go.mod", "go.sum"):
        with open(os.path.join(folder, source), "rb") as file:
            digest.update(file.read())

    def build(work):
        run([go(), "build", "-trimpath", "-ldflags", "-s -w", "-o", f"{work}/{name}", "."],
            env=go_environment(), cwd=folder)

    return made(f"{name}-{digest.hexdigest()[:12]}", [name], build)[0]


def stream_client():
    """The client of tests/streams: client-go's exec, attach and port-forward."""
    return own_program("stream-client", "streams", "client")


def nri_plugin():
    """The plugin of tests/cri/test_nri.py, on NRI's own library."""
    return own_program("nri-plugin", "cri", "nri-plugin")


def nri_old_plugin():
    """And one on the library of earlier days."""
    return own_program("nri-old-plugin", "cri", "nri-old-plugin")


TOOLS = {
    "go": go,
    "toml-test": toml_test,
    "crictl": lambda: cri_tools()[0],
    "critest": lambda: cri_tools()[1],
    "busybox": busybox,
    "runtime-tools": runtime_tools,
    "runc": runc,
    "runsc": runsc,
    "grpc-client": grpc_client,
    "stream-client": stream_client,
    "nri-plugin": nri_plugin,
    "nri-old-plugin": nri_old_plugin,
    "engines": engines,
    "cni-plugins": cni_plugins,
    "containerd": lambda: containerd()[0],
    "kubelet": lambda: kubernetes()[0],
    "etcd": etcd,
}


def attempt(name):
    """None, or what went wrong."""
    try:
        TOOLS[name]()
    except (ToolError, OSError, KeyError) as error:
        return str(error)
    return None


def prepare():
    """Makes every tool: yields (name, None or what went wrong). Go first; then two at a time, so
    that the processors have work while modules come over the network."""
    yield "go", attempt("go")
    names = [name for name in TOOLS if name != "go"]
    with concurrent.futures.ThreadPoolExecutor(2) as pool:
        yield from zip(names, pool.map(attempt, names))


def test_environment():
    """The variables by which tests find the tools; what cannot be had is left out."""
    found = {"GOTOOLCHAIN": "local", "GOFLAGS": GOFLAGS, "GOPROXY": "off", "CGO_ENABLED": "0"}
    try:
        found["PATH"] = f"{os.path.dirname(go())}:{SYSTEM_PATH}"
        found["TARE_CRICTL"], found["TARE_CRITEST"] = cri_tools()
        found["BUSYBOX"] = busybox()
        found["TARE_RUNC"] = runc()
        found["TARE_RUNSC"] = runsc()
        found["TARE_STREAM_CLIENT"] = stream_client()
        found["TARE_NRI_PLUGIN"] = nri_plugin()
        found["TARE_NRI_OLD_PLUGIN"] = nri_old_plugin()
        found["TARE_ENGINES"] = engines()
        found["TARE_CONTAINERD"] = os.path.dirname(containerd()[0])
        found["TARE_CNI_1_1"] = cni_plugins()
        found["TARE_KUBERNETES"] = os.path.dirname(kubernetes()[0])
        found["TARE_ETCD"] = etcd()
    except (ToolError, OSError):
        pass  # prepare() has told
    return found


def main():
    if len(sys.argv) != 2 or sys.argv[1] not in TOOLS:
        print(f"usage: tests/tools.py {'|'.join(TOOLS)}", file=sys.stderr)
        return 2
    try:
        print(TOOLS[sys.argv[1]]())
    except (ToolError, OSError) as error:
        print(error, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
