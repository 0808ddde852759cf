# SPDX-License-Identifier: Apache-2.0
"""A bundle of one variant for one runtime: its root file system and config.json."""
import copy
import json
import os
import pathlib
import shutil

CAPS = [f"CAP_{name}" for name in (
    "CHOWN DAC_OVERRIDE FSETID FOWNER MKNOD NET_RAW SETGID SETUID SETFCAP SETPCAP "
    "NET_BIND_SERVICE SYS_CHROOT KILL AUDIT_WRITE").split()]
CONFIG = {
    "ociVersion": "1.0.2",
    "process": {
        "terminal": False, "user": {"uid": 0, "gid": 0}, "args": [],
        "env": ["PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "TERM=xterm"],
        "cwd": "/", "noNewPrivileges": True,
        "capabilities": {kind: CAPS for kind in ("bounding", "effective", "permitted")},
    },
    "root": {"path": "rootfs"},
    "hostname": "box",
    "mounts": [
        {"destination": "/proc", "type": "proc", "source": "proc"},
        {"destination": "/dev", "type": "tmpfs", "source": "tmpfs",
         "options": ["nosuid", "strictatime", "mode=755", "size=65536k"]},
        {"destination": "/dev/pts", "type": "devpts", "source": "devpts",
         "options": ["nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620", "gid=5"]},
        {"destination": "/dev/shm", "type": "tmpfs", "source": "shm",
         "options": ["nosuid", "noexec", "nodev", "mode=1777", "size=65536k"]},
        {"destination": "/dev/mqueue", "type": "mqueue", "source": "mqueue",
         "options": ["nosuid", "noexec", "nodev"]},
        {"destination": "/sys", "type": "sysfs", "source": "sysfs",
         "options": ["nosuid", "noexec", "nodev", "ro"]},
        {"destination": "/sys/fs/cgroup", "type": "cgroup", "source": "cgroup",
         "options": ["nosuid", "noexec", "nodev", "relatime", "ro"]},
    ],
    "linux": {
        "resources": {"devices": [{"allow": False, "access": "rwm"}]},
        "namespaces": [{"type": t} for t in ("pid", "network", "ipc", "uts", "mount")],
        "maskedPaths": ["/proc/acpi", "/proc/kcore", "/proc/keys", "/proc/latency_stats",
                        "/proc/timer_list", "/proc/sched_debug", "/sys/firmware", "/proc/scsi"],
        "readonlyPaths": ["/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys",
                          "/proc/sysrq-trigger"],
    },
}
FOLDERS = ("bin", "proc", "sys", "dev", "etc", "tmp", "home/ada", "data/sub")
FILES = {
    "etc/passwd": "root:x:0:0:root:/root:/bin/sh\nada:x:1000:1000:Ada:/home/ada:/bin/sh\n",
    "etc/group": "root:x:0:\nada:x:1000:\nwheel:x:10:ada\n",
    "data/file": "text",
}


class Bundle:
    """What the functions of variants.py change."""

    def __init__(self, path, probe, cgroup, holders):
        self.path, self.holders = pathlib.Path(path), holders
        self.rootfs = self.path / "rootfs"
        for folder in FOLDERS:
            (self.rootfs / folder).mkdir(parents=True)
        for folder in (self.path, self.rootfs, self.path / "rootfs/data"):
            folder.chmod(0o755)
        for name, text in FILES.items():
            self.write(name, text)
        shutil.copy(probe, self.rootfs / "bin/probe")
        self.source = self.path / "source"  # a folder of the host, for binds
        (self.source / "sub").mkdir(parents=True)
        (self.source / "file").write_text("of the host")
        self.config = copy.deepcopy(CONFIG)
        self.process["args"] = ["/bin/probe", "report"]
        self.linux["cgroupsPath"] = self.cgroup = cgroup

    process = property(lambda self: self.config["process"])
    linux = property(lambda self: self.config["linux"])
    resources = property(lambda self: self.config["linux"]["resources"])

    def write(self, name, text, mode=0o644):
        path = self.rootfs / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        path.chmod(mode)

    def mount(self, destination, kind, source, options):
        entry = {"destination": destination, "source": str(source), "options": list(options)}
        if kind:
            entry["type"] = kind
        self.config["mounts"].append(entry)
        return entry

    def mount_at(self, destination):
        return next(m for m in self.config["mounts"] if m["destination"] == destination)

    def unmount(self, destination):
        self.config["mounts"] = [m for m in self.config["mounts"]
                                 if not (m["destination"] + "/").startswith(destination + "/")]

    def namespace(self, kind, path=None):
        self.without_namespace(kind)
        self.linux["namespaces"].append({"type": kind, **({"path": path} if path else {})})

    def without_namespace(self, kind):
        self.linux["namespaces"] = [n for n in self.linux["namespaces"] if n["type"] != kind]

    def give_to(self, uid):
        """The root file system belongs to uid, as root's of a user namespace."""
        for path in (self.rootfs, *self.rootfs.glob("**/*")):
            os.chown(path, uid, uid, follow_symlinks=False)

    def save(self):
        with open(self.path / "config.json", "w", encoding="utf-8") as out:
            json.dump(self.config, out, indent=1)
