# SPDX-License-Identifier: Apache-2.0
"""Errors say which member, which object and why: those of docs/errors.md, provoked."""
import pytest


def mount(destination, **more):
    return lambda c: c["mounts"].append({"destination": destination, **more})


def put(path, value):
    def edit(config):
        *folders, name = path.split(".")
        for folder in folders:
            config = config.setdefault(folder, {})
        config[name] = value
    return edit


@pytest.mark.parametrize("edit, text", [
    (mount("/y", type="bind", source="/host/x", options=["bind"]),
     'mounts[7]: mount "/host/x" on "/y": source does not exist'),
    (mount("/y", type="bind", options=["bind"]), "a bind mount needs a source"),
    (mount("/y", type="nosuchfs", source="x"), 'no file system of type "nosuchfs"'),
    (mount("/y", type="tmpfs", source="x", options=["nosuchopt"]),
     'make a tmpfs file system with options "nosuchopt": Invalid argument'),
    (mount("/etc/passwd/x", type="tmpfs", source="x"),
     "init: mounts: mounts[7]: mount \"x\" on \"/etc/passwd/x\": make the mount point"),
    (mount("/y", source="x"), 'has neither a type nor "bind"'),
    (put("root.path", "nosuch"), "nosuch' does not exist; unpack the root file system there"),
    (put("root.path", "config.json"), "config.json' is not a folder"),
    (put("process.args", []), "config.json: process.args: empty; give the program to run"),
    (put("process.args", ["nosuch"]), 'exec: "nosuch": executable file not found in $PATH'),
    (put("process.args", ["/nosuch"]), 'exec: "/nosuch": stat /nosuch: no such file or directory'),
    (put("process.args", ["/etc"]), 'exec: "/etc": is a directory'),
    (put("process.args", ["/etc/passwd"]), 'exec: "/etc/passwd": permission denied'),
    (put("process.args", ["/bin/script"]),
     'exec: "/bin/script": no such file or directory; the interpreter'),
    (put("process.args", ["/bin/garbage"]), 'exec: "/bin/garbage": exec format error'),
    (put("process.cwd", "tmp"), 'process.cwd: "tmp" is not absolute'),
    (put("process.cwd", "/etc/passwd"), "init: cwd: process.cwd: open '/etc/passwd'"),
    (put("process.oomScoreAdj", 5000), "process.oomScoreAdj: 5000 is out of range"),
    (put("linux.sysctl", {"vm.swappiness": "1"}), "belongs to the whole machine"),
    (put("linux.sysctl", {"net.ipv4.ip_forward": "many"}),
     "init: sysctl: linux.sysctl: set 'net.ipv4.ip_forward' to 'many': Invalid argument"),
    (put("linux.cgroupsPath", "/"), "linux.cgroupsPath: '/' is the root of all cgroups"),
    (put("linux.resources.cpu", {"quota": 1, "period": 100000}),
     "cgroup: linux.resources.cpu.quota: write '1' to cpu."),
    (put("linux.seccomp", {"defaultAction": "SCMP_ACT_NO"}), "linux.seccomp.defaultAction: "),
    (put("linux.rootfsPropagation", "often"), 'linux.rootfsPropagation: "often" is not known'),
    (put("hooks", {"createRuntime": [{"path": "/nosuch"}]}),
     "error running createRuntime hook #0 '/nosuch': cannot be run: No such file or directory"),
    (put("ociVersion", "9.9.9"), 'ociVersion: "9.9.9" is not a version'),
    (put("process", 5), "config.json: process: expected an object, not int"),
])
def test_message(bundle, edit, text):
    for name, content in (("script", b"#!/nosuch\n"), ("garbage", b"\0\1\2")):
        path = bundle.rootfs / "bin" / name
        path.write_bytes(content)
        path.chmod(0o755)
    edit(bundle.config)
    bundle.run().failed(text, 1)


def test_unknown_capability_is_a_warning(bundle):
    for kind in bundle.process["capabilities"].values():
        kind.append("CAP_TEST")
    text = bundle.warnings()[1]
    assert text.count("level=warning") == 1 and "'CAP_TEST' is not known here" in text
