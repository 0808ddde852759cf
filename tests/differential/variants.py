# SPDX-License-Identifier: Apache-2.0
"""The table of variants: a name, and what to change in the bundle.

A change is a function of the Bundle; the functions below make them. Many rows are made by loops: an
option times the kinds of mount it can be of.
"""
import dataclasses
import os

PR_SET_NAME_NR, MKDIR, PERSONALITY, SOCKET, UNSHARE, GETPPID = 157, 83, 135, 41, 272, 110
EVERY_NAMESPACE = {"pid": "pid", "network": "net", "ipc": "ipc", "uts": "uts", "cgroup": "cgroup",
                   "time": "time"}


@dataclasses.dataclass
class Variant:
    """how: the method of Run; names: what stderr has to contain when nothing ran."""
    name: str
    changes: tuple
    how: str = "run"
    names: str = ""
    exec_options: tuple = ()
    exec_process: dict = dataclasses.field(default_factory=dict)

    @property
    def slug(self):
        return "".join(c if c.isalnum() else "-" for c in self.name)


def ask(*what):
    return lambda b: b.process["args"].extend(what)


def process(**values):
    return lambda b: b.process.update(values)


def linux(**values):
    return lambda b: b.linux.update(values)


def config(**values):
    return lambda b: b.config.update(values)


def resources(**values):
    return lambda b: b.resources.update(values)


def mount(destination, kind, source, *options):
    """A source that begins with "+" is of the bundle's folder."""
    return lambda b: b.mount(destination, kind, _source(b, source), options)


def mount_with(destination, kind, source, options, **more):
    return lambda b: b.mount(destination, kind, _source(b, source), options).update(more)


def _source(bundle, source):
    return bundle.path / source[1:] if source.startswith("+") else source


def options_of(destination, *options):
    return lambda b: b.mount_at(destination).update(options=list(options))


def without_mount(destination):
    return lambda b: b.unmount(destination)


def namespace(kind, path=None):
    return lambda b: b.namespace(kind, path)


def without_namespace(*kinds):
    def change(b):
        for kind in kinds:
            b.without_namespace(kind)
            if kind == "uts":
                b.config.pop("hostname", None)
    return change


def joined(*kinds, holder="plain"):
    def change(b):
        for kind in kinds:
            b.namespace(kind, f"/proc/{b.holders[holder]}/ns/{EVERY_NAMESPACE.get(kind, kind)}")
            if kind == "uts":
                b.config.pop("hostname", None)
    return change


def file(name, text="", mode=0o644):
    return lambda b: b.write(name, text, mode)


def folder(name, mode=0o755, uid=0):
    def change(b):
        path = b.rootfs / name
        path.mkdir(parents=True, exist_ok=True)
        path.chmod(mode)
        os.chown(path, uid, uid)
    return change


def link(name, target):
    def change(b):
        (b.rootfs / name).parent.mkdir(parents=True, exist_ok=True)
        (b.rootfs / name).symlink_to(target)
    return change


def fifo(name):
    return lambda b: os.mkfifo(b.rootfs / name)


def caps(**sets):
    return lambda b: b.process.update(capabilities={
        kind: [f"CAP_{name}" for name in names.split()] for kind, names in sets.items()})


def user(uid, gid, **more):
    return process(user={"uid": uid, "gid": gid, **more})


def mapped(*maps, gids=None, owner=100000):
    """A user namespace with maps (container, host, size), whose root owns the root file system."""
    def change(b):
        def entries(rows):
            return [{"containerID": c, "hostID": h, "size": n} for c, h, n in rows]
        b.namespace("user")
        b.linux["uidMappings"] = entries(maps)
        b.linux["gidMappings"] = entries(gids or maps)
        b.give_to(owner)
        os.chown(b.source, owner, owner)
    return change


def hook(kind, path=None, args=("copy",), **more):
    """Writes what it gets into BUNDLE/hook.KIND; the startContainer one into /tmp."""
    def change(b):
        inside = kind == "startContainer"
        program = "/bin/probe" if inside else str(b.rootfs / "bin/probe")
        target = f"/tmp/hook.{kind}" if inside else str(b.path / f"hook.{kind}")
        words = ["probe", *args] + ([target] if tuple(args) == ("copy",) else [])
        entry = {"path": path or program, "args": words, **more}
        b.config.setdefault("hooks", {}).setdefault(kind, []).append(entry)
    return change


def seccomp(*rules, default="SCMP_ACT_ALLOW", **more):
    return linux(seccomp={"defaultAction": default, "architectures": ["SCMP_ARCH_X86_64"],
                          "syscalls": list(rules), **more})


def rule(names, action="SCMP_ACT_ERRNO", *args, **more):
    entry = {"names": names.split(), "action": action, **more}
    if args:
        entry["args"] = [dict(zip(("index", "value", "op", "valueTwo"), arg)) for arg in args]
    return entry


def cgroup_files(controller, *names):
    return ask(*(f"/sys/fs/cgroup/{controller}/{name}" for name in names))


TABLE = []


def add(name, *changes, **more):
    TABLE.append(Variant(name, changes, **more))


def rows(prefix, table, *before):
    for name, *changes in table:
        add(f"{prefix}/{name}", *before, *changes)


def failing(prefix, table):
    """Rows (name, text that the message contains, changes...)."""
    for name, text, *changes in table:
        add(f"{prefix}/{name}", *changes, names=text)


# -- namespaces -----------------------------------------------------------------------------------

add("base")
add("version/1.3", config(ociVersion="1.3.0"))
rows("namespaces", [(f"without-{kind}", without_namespace(kind))
                    for kind in ("pid", "network", "ipc", "uts")])
add("namespaces/only-mount", without_namespace("pid", "network", "ipc", "uts"))
add("namespaces/cgroup", namespace("cgroup"))
add("namespaces/time", namespace("time"))
add("namespaces/time-offsets", namespace("time"), linux(timeOffsets={
    "monotonic": {"secs": 7200, "nanosecs": 9}, "boottime": {"secs": 86400, "nanosecs": 0}}))
add("namespaces/time-negative", namespace("time"),
    linux(timeOffsets={"boottime": {"secs": -1, "nanosecs": 5}}))
rows("namespaces", [(f"join-{k}", joined(k)) for k in EVERY_NAMESPACE])
add("namespaces/join-all", joined(*EVERY_NAMESPACE))
add("namespaces/join-user", joined("user", "network", "ipc", "uts", holder="user"),
    lambda b: b.give_to(100000))
add("namespaces/all-new", namespace("cgroup"), namespace("time"),
    mapped((0, 100000, 65536)))
failing("namespaces", [
    ("join-missing", "/nosuch/net", namespace("network", "/nosuch/net")),
    ("join-wrong-kind", "", namespace("network", "/proc/self/ns/ipc")),
    ("twice", "", lambda b: b.linux["namespaces"].append({"type": "ipc"})),
    ("unknown", "", lambda b: b.linux["namespaces"].append({"type": "fish"})),
    ("hostname-without-uts", "", lambda b: b.without_namespace("uts")),
    ("time-offsets-without-time", "", linux(timeOffsets={"boottime": {"secs": 1, "nanosecs": 0}})),
    ("mappings-without-user", "", linux(uidMappings=[{"containerID": 0, "hostID": 1, "size": 1}],
                                        gidMappings=[{"containerID": 0, "hostID": 1, "size": 1}])),
])

# -- user namespaces ------------------------------------------------------------------------------

rows("userns", [
    ("one-map", mapped((0, 100000, 65536))),
    ("two-maps", mapped((0, 100000, 1000), (1000, 300000, 1000))),
    ("single-id", mapped((0, 100000, 1))),
    ("identity", mapped((0, 0, 65536), owner=0)),
    ("gids-differ", mapped((0, 100000, 65536), gids=((0, 100000, 10), (10, 400000, 10)))),
    ("user", mapped((0, 100000, 65536)), user(1000, 1000, additionalGids=[10])),
    ("bind", mapped((0, 100000, 65536)), mount("/mnt", "bind", "+source", "rbind", "ro"),
     ask("/mnt/file")),
    ("tmpfs-owner", mapped((0, 100000, 65536)), mount("/t", "tmpfs", "tmpfs", "uid=5", "gid=6")),
    ("host-network", mapped((0, 100000, 65536)), without_namespace("network"),
     without_mount("/sys"), mount("/sys", "bind", "/sys", "rbind", "ro")),
    ("devices", mapped((0, 100000, 65536)), linux(devices=[
        {"path": "/dev/fuse", "type": "c", "major": 10, "minor": 229, "fileMode": 0o640}])),
    ("sysctl", mapped((0, 100000, 65536)), linux(sysctl={"net.ipv4.ip_forward": "1"}),
     ask("/proc/sys/net/ipv4/ip_forward")),
    ("cgroup", mapped((0, 100000, 65536)), namespace("cgroup")),
    ("readonly-root", mapped((0, 100000, 65536)), config(root={"path": "rootfs",
                                                               "readonly": True})),
])
failing("userns", [
    ("no-maps", "", namespace("user")),
    ("overlapping-maps", "", mapped((0, 100000, 1000), (500, 300000, 1000))),
    ("user-not-mapped", "", mapped((0, 100000, 10)), user(1000, 1000)),
    ("gid-not-mapped", "", mapped((0, 100000, 10)), user(0, 0, additionalGids=[1000])),
])

# -- mounts ---------------------------------------------------------------------------------------

FLAGS = ("ro", "rw", "nosuid", "suid", "nodev", "dev", "noexec", "exec", "sync", "async", "dirsync",
         "noatime", "atime", "relatime", "norelatime", "strictatime", "nostrictatime",
         "nodiratime", "diratime", "nosymfollow", "symfollow", "silent", "loud", "mand", "nomand",
         "iversion", "noiversion", "defaults", "lazytime", "nolazytime")
RECURSIVE = ("rro", "rrw", "rnosuid", "rsuid", "rnodev", "rdev", "rnoexec", "rexec", "rnoatime",
             "rrelatime", "rstrictatime", "rnodiratime", "rdiratime", "rnosymfollow", "ratime",
             "rnorelatime", "rnostrictatime", "rsymfollow")
PROPAGATION = ("private", "rprivate", "shared", "rshared", "slave", "rslave", "unbindable",
               "runbindable")

rows("mount-tmpfs", [(flag, mount("/t", "tmpfs", "tmpfs", flag)) for flag in FLAGS])
rows("mount-bind", [(flag, mount("/mnt", "bind", "+source", "rbind", flag)) for flag in FLAGS])
rows("mount-recursive", [(flag, mount("/mnt", "bind", "/sys", "rbind", flag))
                         for flag in RECURSIVE])
rows("mount-bind-of-sys", [(flag, mount("/mnt", "bind", "/sys", "rbind", flag))
                           for flag in ("ro", "rw", "suid", "exec", "dev", "noatime",
                                        "strictatime")])
rows("mount-propagation", [(p, mount("/mnt", "bind", "+source", "rbind", p)) for p in PROPAGATION])
rows("mount-propagation", [(f"tmpfs-{p}", mount("/t", "tmpfs", "tmpfs", p))
                           for p in ("rshared", "rslave", "private")])
rows("rootfs-propagation", [(p, linux(rootfsPropagation=p)) for p in PROPAGATION])
rows("rootfs-propagation", [(f"bind-{p}", linux(rootfsPropagation=p),
                             mount("/mnt", "bind", "+source", "rbind", "rshared"))
                            for p in ("rshared", "rslave")])
rows("mount-tmpfs", [
    ("size", mount("/t", "tmpfs", "tmpfs", "size=64k")),
    ("size-percent", mount("/t", "tmpfs", "tmpfs", "size=1%")),
    ("mode", mount("/t", "tmpfs", "tmpfs", "mode=0700")),
    ("mode-sticky", mount("/t", "tmpfs", "tmpfs", "mode=1777")),
    ("owner", mount("/t", "tmpfs", "tmpfs", "uid=12", "gid=34")),
    ("nr_inodes", mount("/t", "tmpfs", "tmpfs", "nr_inodes=100")),
    ("many", mount("/t", "tmpfs", "shm", "nosuid", "nodev", "noexec", "mode=1777", "size=1m")),
    ("no-options", mount("/t", "tmpfs", "tmpfs")),
    ("over-folder", folder("t", 0o1770, 7), mount("/t", "tmpfs", "tmpfs"), ask("/t")),
    ("over-folder-with-mode", folder("t", 0o700, 7), mount("/t", "tmpfs", "tmpfs", "mode=0711"),
     ask("/t")),
    ("copy-up", mount("/data", "tmpfs", "tmpfs", "tmpcopyup", "size=1m"),
     ask("/data", "/data/file", "/data/sub")),
    ("copy-up-readonly", mount("/data", "tmpfs", "tmpfs", "tmpcopyup", "ro"),
     ask("/data", "/data/file")),
    ("copy-up-of-link", link("data/link", "../etc/passwd"), fifo("data/fifo"),
     mount("/data", "tmpfs", "tmpfs", "tmpcopyup"), ask("/data/link", "/data/fifo")),
    ("copy-up-of-owners", folder("data/sub", 0o2770, 55), file("data/run", "x", 0o4755),
     mount("/data", "tmpfs", "tmpfs", "tmpcopyup"), ask("/data/sub", "/data/run")),
    ("copy-up-missing", mount("/new", "tmpfs", "tmpfs", "tmpcopyup"), ask("/new")),
    ("on-tmp", mount("/tmp", "tmpfs", "tmpfs", "nosuid")),
    ("stacked", mount("/t", "tmpfs", "tmpfs", "size=64k"),
     mount("/t", "tmpfs", "tmpfs", "size=1m")),
    ("nested", mount("/t", "tmpfs", "tmpfs"), mount("/t/in/ner", "tmpfs", "tmpfs", "ro")),
])
rows("mount-bind", [
    ("bind", mount("/mnt", "bind", "/sys", "bind")),
    ("rbind", mount("/mnt", "bind", "/sys", "rbind")),
    ("no-type", mount("/mnt", "", "+source", "rbind")),
    ("type-none", mount("/mnt", "none", "+source", "bind")),
    ("type-without-option", mount("/mnt", "bind", "+source")),
    ("option-without-type", mount("/mnt", "ext4", "+source", "bind", "ro")),
    ("relative-source", mount("/mnt", "bind", "source", "bind"), ask("/mnt/file")),
    ("file", mount("/mnt", "bind", "+source/file", "bind"), ask("/mnt")),
    ("file-readonly", mount("/mnt", "bind", "+source/file", "bind", "ro"), ask("/mnt")),
    ("file-on-file", mount("/etc/passwd", "bind", "+source/file", "bind"), ask("/etc/passwd")),
    ("file-deep", mount("/a/b/c", "bind", "+source/file", "bind"), ask("/a", "/a/b", "/a/b/c")),
    ("folder-deep", mount("/a/b/c", "bind", "+source", "bind"), ask("/a", "/a/b", "/a/b/c/file")),
    ("readonly-folder", mount("/mnt", "bind", "+source", "rbind", "ro"), ask("/mnt", "/mnt/file")),
    ("device", mount("/dev/mynull", "bind", "/dev/null", "bind"), ask("/dev/mynull")),
    ("device-nodev", mount("/mynull", "bind", "/dev/null", "bind", "nodev"), ask("/mynull")),
    ("target-link", link("to", "/data"), mount("/to", "bind", "+source", "bind"),
     ask("/data/file")),
    ("target-link-relative", link("data/to", "../home"), mount("/data/to/x", "bind", "+source",
                                                              "bind"), ask("/home/x/file")),
    ("target-link-outside", link("out", "/../../../../etc"),
     mount("/out/tare-x", "bind", "+source", "bind"), ask("/etc/tare-x/file")),
    ("target-link-missing", link("to", "/not/yet"), mount("/to", "bind", "+source", "bind"),
     ask("/not/yet/file")),
    ("target-dots", mount("/data/../home/./x", "bind", "+source", "bind"), ask("/home/x/file")),
    ("target-relative", mount("mnt", "bind", "+source", "bind"), ask("/mnt/file")),
    ("target-slashes", mount("//mnt//x/", "bind", "+source", "bind"), ask("/mnt/x/file")),
    ("source-link", lambda b: (b.path / "ln").symlink_to(b.source),
     mount("/mnt", "bind", "+ln", "bind"), ask("/mnt/file")),
    ("below-bind", mount("/mnt", "bind", "+source", "rbind"), mount("/mnt/sub", "tmpfs", "tmpfs"),
     ask("/mnt", "/mnt/sub")),
    ("below-readonly-bind", mount("/mnt", "bind", "+source", "rbind", "ro"),
     mount("/mnt/sub", "tmpfs", "tmpfs")),
    ("proc-of-host", mount("/hostproc", "bind", "/proc", "rbind", "ro")),
    ("fifo", lambda b: os.mkfifo(b.path / "pipe"), mount("/pipe", "bind", "+pipe", "bind"),
     ask("/pipe")),
    ("idmap", mount_with("/mnt", "bind", "+source", ["bind", "idmap"],
                         uidMappings=[{"containerID": 0, "hostID": 1000, "size": 10}],
                         gidMappings=[{"containerID": 0, "hostID": 2000, "size": 10}]),
     ask("/mnt", "/mnt/file")),
    ("ridmap", mount_with("/mnt", "bind", "+source", ["rbind", "ridmap"],
                          uidMappings=[{"containerID": 0, "hostID": 1000, "size": 10}],
                          gidMappings=[{"containerID": 0, "hostID": 2000, "size": 10}]),
     ask("/mnt", "/mnt/file")),
    ("idmap-of-userns", mapped((0, 100000, 65536)), lambda b: os.chown(b.source, 0, 0),
     mount("/mnt", "bind", "+source", "bind", "idmap"), ask("/mnt", "/mnt/file")),
    ("idmap-in-userns", mapped((0, 100000, 65536)), lambda b: os.chown(b.source, 0, 0),
     mount_with("/mnt", "bind", "+source", ["bind"],
                uidMappings=[{"containerID": 0, "hostID": 100000, "size": 10}],
                gidMappings=[{"containerID": 0, "hostID": 100000, "size": 10}]),
     ask("/mnt", "/mnt/file")),
])
rows("mount-special", [
    ("proc-options", options_of("/proc", "nosuid", "noexec", "nodev", "hidepid=2")),
    ("proc-readonly", options_of("/proc", "ro")),
    ("no-proc", without_mount("/proc"), linux(maskedPaths=[], readonlyPaths=[])),
    ("second-proc", mount("/proc2", "proc", "proc", "nosuid", "noexec", "nodev")),
    ("sys-writable", options_of("/sys", "nosuid", "noexec", "nodev")),
    ("no-sys", without_mount("/sys"), linux(maskedPaths=[], readonlyPaths=[])),
    ("sys-on-host-network", without_namespace("network")),
    ("no-dev", without_mount("/dev")),
    ("dev-readonly", options_of("/dev", "nosuid", "strictatime", "mode=755", "size=65536k", "ro")),
    ("dev-mode", options_of("/dev", "nosuid", "mode=700", "size=1m")),
    ("dev-bind", without_mount("/dev"), mount("/dev", "bind", "+source", "rbind")),
    ("no-devpts", without_mount("/dev/pts")),
    ("devpts-plain", options_of("/dev/pts", "newinstance")),
    ("devpts-modes", options_of("/dev/pts", "newinstance", "ptmxmode=0600", "mode=0600", "gid=0")),
    ("devpts-max", options_of("/dev/pts", "newinstance", "ptmxmode=0666", "max=8")),
    ("no-shm", without_mount("/dev/shm")),
    ("no-mqueue", without_mount("/dev/mqueue")),
    ("mqueue-readonly", options_of("/dev/mqueue", "ro")),
    ("mqueue-in-userns", mapped((0, 100000, 65536))),
    ("no-cgroup", without_mount("/sys/fs/cgroup")),
    ("cgroup-writable", options_of("/sys/fs/cgroup", "nosuid", "noexec", "nodev", "relatime")),
    ("cgroup-in-namespace", namespace("cgroup")),
    ("cgroup-in-namespace-writable", namespace("cgroup"), options_of("/sys/fs/cgroup", "rw")),
    ("cgroup-elsewhere", without_mount("/sys/fs/cgroup"), mount("/cg", "cgroup", "cgroup", "ro")),
    ("cgroup-bind", without_mount("/sys/fs/cgroup"),
     mount("/sys/fs/cgroup", "bind", "/sys/fs/cgroup", "rbind", "ro")),
    ("no-mounts", config(mounts=[]), linux(maskedPaths=[], readonlyPaths=[])),
    ("overlay", folder("o"), mount_with("/o", "overlay", "overlay", []), lambda b: b.mount_at(
        "/o").update(options=[f"lowerdir={b.source}:{b.source}/sub"]), ask("/o/file")),
    ("ramfs", mount("/r", "ramfs", "ramfs", "nosuid"), ask("/r")),
    ("dev-pts-before-dev", lambda b: b.config["mounts"].sort(
        key=lambda m: m["destination"] != "/dev/pts")),
])
failing("mount", [
    ("bad-source", "/nosuch/source", mount("/mnt", "bind", "/nosuch/source", "bind")),
    ("bad-type", "fishfs", mount("/mnt", "fishfs", "none")),
    ("bad-option", "", mount("/mnt", "tmpfs", "tmpfs", "fishy=1")),
    ("file-on-folder", "/data", mount("/data", "bind", "+source/file", "bind")),
    ("folder-on-file", "/etc/passwd", mount("/etc/passwd", "bind", "+source", "bind")),
    ("through-file", "/etc/passwd", mount("/etc/passwd/x", "bind", "+source", "bind")),
    ("link-loop", "/loop", link("loop", "loop"), mount("/loop", "bind", "+source", "bind")),
    ("below-proc", "/proc/", mount("/proc/sys/kernel", "bind", "+source", "bind")),
    ("on-proc", "/proc", mount("/proc", "tmpfs", "tmpfs")),
    ("on-root", "", mount("/", "tmpfs", "tmpfs")),
    ("no-destination", "", mount("", "tmpfs", "tmpfs")),
    ("below-readonly-missing", "/mnt", mount("/mnt", "bind", "+source", "rbind", "ro"),
     mount("/mnt/new", "tmpfs", "tmpfs")),
    ("idmap-without-maps", "", mount("/mnt", "bind", "+source", "bind", "idmap")),
])

# -- root -----------------------------------------------------------------------------------------

rows("root", [
    ("readonly", config(root={"path": "rootfs", "readonly": True}), ask("/tmp", "/etc/passwd")),
    ("readonly-with-tmpfs", config(root={"path": "rootfs", "readonly": True}),
     mount("/tmp", "tmpfs", "tmpfs"), ask("/tmp")),
    ("readonly-new-target", config(root={"path": "rootfs", "readonly": True}),
     mount("/new/one", "tmpfs", "tmpfs")),
    ("absolute", lambda b: b.config.update(root={"path": str(b.rootfs)})),
    ("link", lambda b: (b.path / "ln").symlink_to("rootfs"), config(root={"path": "ln"})),
    ("dots", config(root={"path": "./rootfs/../rootfs/"})),
    ("no-folders", lambda b: [(b.rootfs / n).rmdir() for n in ("proc", "sys", "dev", "tmp")]),
    ("own-dev-files", file("dev/mine", "x"), file("dev/null", "not it")),
])
failing("root", [
    ("missing", "nosuch", config(root={"path": "nosuch"})),
    ("file", "", lambda b: (b.path / "f").write_text("x"), config(root={"path": "f"})),
    ("proc-is-a-link", "/proc", lambda b: (b.rootfs / "proc").rmdir(), link("proc", "/home")),
    ("dev-is-a-link", "/dev", lambda b: (b.rootfs / "dev").rmdir(), link("dev", "/home")),
    ("sys-is-a-file", "/sys", lambda b: (b.rootfs / "sys").rmdir(), file("sys", "x")),
])
rows("paths", [
    ("no-masks", linux(maskedPaths=[], readonlyPaths=[])),
    ("mask-file", linux(maskedPaths=["/etc/passwd"]), ask("/etc/passwd")),
    ("mask-folder", linux(maskedPaths=["/data"]), ask("/data", "/data/file")),
    ("mask-missing", linux(maskedPaths=["/nosuch", "/etc/nosuch"])),
    ("mask-link", link("ln", "/data"), linux(maskedPaths=["/ln"]), ask("/data/file")),
    ("mask-device", linux(maskedPaths=["/dev/zero"]), ask("/dev/zero")),
    ("mask-twice", linux(maskedPaths=["/data", "/data"])),
    ("mask-many", linux(maskedPaths=["/data/sub", "/data/file", "/home", "/proc/kcore"]),
     ask("/data/file")),
    ("mask-mount", mount("/t", "tmpfs", "tmpfs"), linux(maskedPaths=["/t"]), ask("/t")),
    ("readonly-folder", linux(readonlyPaths=["/data"]), ask("/data", "/data/file")),
    ("readonly-file", linux(readonlyPaths=["/etc/passwd"]), ask("/etc/passwd")),
    ("readonly-missing", linux(readonlyPaths=["/nosuch"])),
    ("readonly-link", link("ln", "/data"), linux(readonlyPaths=["/ln"]), ask("/data")),
    ("readonly-mount", mount("/t", "tmpfs", "tmpfs", "noexec", "nodev"),
     linux(readonlyPaths=["/t"]), ask("/t")),
    ("readonly-below-mount", mount("/mnt", "bind", "+source", "rbind", "nosuid"),
     linux(readonlyPaths=["/mnt/sub"])),
    ("readonly-and-masked", linux(readonlyPaths=["/data"], maskedPaths=["/data/file"]),
     ask("/data", "/data/file")),
    ("readonly-proc-sys-writable", linux(readonlyPaths=[]), ask("/proc/sys/kernel/hostname")),
    ("in-userns", mapped((0, 100000, 65536)),
     linux(maskedPaths=["/data", "/etc/passwd"], readonlyPaths=["/home"])),
])

# -- devices --------------------------------------------------------------------------------------

NULL = {"path": "/dev/other", "type": "c", "major": 1, "minor": 3}
rows("devices", [
    ("char", linux(devices=[NULL]), ask("/dev/other")),
    ("mode", linux(devices=[dict(NULL, fileMode=0o600)]), ask("/dev/other")),
    ("mode-zero", linux(devices=[dict(NULL, fileMode=0)]), ask("/dev/other")),
    ("owner", linux(devices=[dict(NULL, fileMode=0o660, uid=3, gid=4)]), ask("/dev/other")),
    ("block", linux(devices=[{"path": "/dev/loop9", "type": "b", "major": 7, "minor": 9}])),
    ("unbuffered", linux(devices=[dict(NULL, type="u")])),
    ("fifo", linux(devices=[{"path": "/dev/pipe", "type": "p", "fileMode": 0o620}])),
    ("deep", linux(devices=[dict(NULL, path="/dev/a/b/null")]), ask("/dev/a", "/dev/a/b/null")),
    ("outside-dev", linux(devices=[dict(NULL, path="/srv/null")]), ask("/srv/null", "/srv")),
    ("replaces-default", linux(devices=[dict(NULL, path="/dev/zero", fileMode=0o640)]),
     ask("/dev/zero")),
    ("umask", user(0, 0, umask=0o77), linux(devices=[dict(NULL, fileMode=0o666)])),
    ("default-again", linux(devices=[dict(NULL, path="/dev/null", fileMode=0o666)])),
    ("rules-none", resources(devices=[]), ask("dev:c,10,200", "dev:c,1,3", "dev:b,7,0")),
    ("rules-no-resources", linux(resources={}), ask("dev:c,10,200", "dev:c,1,3", "dev:b,7,0")),
    ("rules-deny-all", ask("dev:c,10,200", "dev:c,1,3", "dev:c,1,1", "dev:b,7,0", "dev:c,5,1")),
    ("rules-allow-all", resources(devices=[{"allow": True, "access": "rwm"}]),
     ask("dev:c,10,200", "dev:c,1,1", "dev:b,7,0")),
] + [
    (f"rules-{name}", resources(devices=[{"allow": False, "access": "rwm"}, *more]),
     ask("dev:c,10,229", "dev:c,10,200", "dev:b,7,0", "dev:c,1,11"))
    for name, more in {
        "read": [{"allow": True, "type": "c", "major": 10, "minor": 229, "access": "r"}],
        "mknod": [{"allow": True, "type": "c", "major": 10, "minor": 229, "access": "m"}],
        "write": [{"allow": True, "type": "c", "major": 10, "minor": 229, "access": "rw"}],
        "all": [{"allow": True, "type": "c", "major": 10, "minor": 229, "access": "rwm"}],
        "wildcard-minor": [{"allow": True, "type": "c", "major": 10, "access": "rwm"}],
        "wildcard-major": [{"allow": True, "type": "c", "minor": 200, "access": "rwm"}],
        "wildcard-type": [{"allow": True, "type": "b", "access": "rwm"}],
        "type-a": [{"allow": True, "type": "a", "access": "rwm"}],
        "deny-after-allow": [
            {"allow": True, "type": "c", "major": 10, "access": "rwm"},
            {"allow": False, "type": "c", "major": 10, "minor": 200, "access": "rwm"}],
        "deny-one-access": [
            {"allow": True, "type": "c", "major": 10, "minor": 229, "access": "rwm"},
            {"allow": False, "type": "c", "major": 10, "minor": 229, "access": "w"}],
        "minus-one": [{"allow": True, "type": "c", "major": 10, "minor": -1, "access": "rwm"}],
    }.items()])
failing("devices", [
    ("bad-type", "", linux(devices=[dict(NULL, type="x")])),
    ("through-link", "/dev/", without_mount("/dev"), link("dev/other", "/etc/passwd"),
     linux(devices=[NULL])),
])

# -- process --------------------------------------------------------------------------------------

rows("caps", [
    ("none", lambda b: b.process.pop("capabilities")),
    ("empty", process(capabilities={})),
    ("bounding-only", caps(bounding="CHOWN KILL")),
    ("permitted-only", caps(permitted="CHOWN")),
    ("effective-not-permitted", caps(bounding="CHOWN", effective="CHOWN")),
    ("inheritable", caps(bounding="CHOWN KILL", permitted="CHOWN KILL", effective="CHOWN",
                         inheritable="KILL")),
    ("ambient", caps(bounding="CHOWN KILL", permitted="CHOWN KILL", effective="CHOWN KILL",
                     inheritable="CHOWN", ambient="CHOWN")),
    ("ambient-without-inheritable", caps(bounding="CHOWN", permitted="CHOWN", ambient="CHOWN")),
    ("all-the-same", *[caps(**{k: "CHOWN KILL NET_RAW" for k in (
        "bounding", "permitted", "effective", "inheritable", "ambient")})]),
    ("unknown", caps(bounding="CHOWN FLY", permitted="CHOWN FLY")),
    ("user", user(1000, 1000)),
    ("user-ambient", user(1000, 1000), caps(**{k: "CHOWN KILL" for k in (
        "bounding", "permitted", "effective", "inheritable", "ambient")})),
    ("user-inheritable", user(1000, 1000), caps(bounding="KILL", permitted="KILL",
                                                inheritable="KILL")),
    ("privileges", process(noNewPrivileges=False)),
    ("privileges-user", process(noNewPrivileges=False), user(1000, 1000)),
    ("newer", caps(bounding="PERFMON BPF CHECKPOINT_RESTORE", permitted="PERFMON BPF")),
    ("sys-admin", caps(bounding="SYS_ADMIN CHOWN", permitted="SYS_ADMIN", effective="SYS_ADMIN"),
     ask(f"sys:{UNSHARE},0x20000")),
    ("in-userns", mapped((0, 100000, 65536)), caps(bounding="CHOWN SYS_ADMIN",
                                                   permitted="CHOWN SYS_ADMIN",
                                                   effective="CHOWN SYS_ADMIN")),
])
rows("user", [
    ("ids", user(1000, 1001)),
    ("groups", user(1000, 1000, additionalGids=[10, 20, 30])),
    ("groups-of-root", user(0, 0, additionalGids=[5])),
    ("groups-unsorted", user(1000, 1000, additionalGids=[30, 10, 10])),
    ("umask", user(0, 0, umask=0o77)),
    ("umask-zero", user(0, 0, umask=0)),
    ("unknown", user(4242, 4242)),
    ("root-of-other-group", user(0, 50)),
    ("home-given", user(1000, 1000), lambda b: b.process["env"].append("HOME=/nowhere")),
    ("no-passwd", user(1000, 1000), lambda b: (b.rootfs / "etc/passwd").unlink()),
    ("passwd-is-link", lambda b: (b.rootfs / "etc/passwd").unlink(),
     link("etc/passwd", "/etc/other"), file("etc/other", "root:x:0:0::/from/link:/bin/sh\n")),
    ("big", user(2**31 - 1, 2**31 - 1)),
    ("username", process(user={"uid": 1000, "gid": 1000, "username": "ada"})),
])
rows("env", [
    ("none", lambda b: b.process.pop("env")),
    ("empty", process(env=[])),
    ("values", lambda b: b.process["env"].extend(["A=b", "EMPTY=", "EQ=a=b=c", "SP=a b  c"])),
    ("utf8", lambda b: b.process["env"].append("U=äöü€")),
    ("newline", lambda b: b.process["env"].append("N=a\nb")),
    ("twice", lambda b: b.process["env"].extend(["A=1", "A=2"])),
    ("long", lambda b: b.process["env"].append("L=" + "x" * 100000)),
    ("path-of-program", process(env=["PATH=/nosuch:/bin"]),
     lambda b: b.process["args"].__setitem__(0, "probe")),
    ("no-path", process(env=[]), lambda b: b.process["args"].__setitem__(0, "probe")),
])
rows("cwd", [
    ("there", process(cwd="/home/ada")),
    ("missing", process(cwd="/made/by/runtime"), ask("/made", "/made/by", "/made/by/runtime")),
    ("missing-as-user", process(cwd="/made/by/runtime"), user(1000, 1000), ask("/made/by/runtime")),
    ("link", link("ln", "/home/ada"), process(cwd="/ln")),
    ("dots", process(cwd="/home/../data/./sub")),
    ("mount", mount("/mnt", "bind", "+source", "rbind"), process(cwd="/mnt/sub")),
    ("private", folder("home/ada", 0o700, 1000), user(1000, 1000), process(cwd="/home/ada")),
    ("slash", process(cwd="/home/")),
])
rows("args", [
    ("relative", process(cwd="/bin"), lambda b: b.process["args"].__setitem__(0, "./probe")),
    ("many", ask(*[f"/{i}" for i in range(200)])),
    ("empty-string", ask("")),
    ("link", link("bin/ln", "probe"), lambda b: b.process["args"].__setitem__(0, "/bin/ln")),
    ("exit-status", process(args=["/bin/probe", "exit", "42"])),
    ("exit-high", process(args=["/bin/probe", "exit", "255"])),
])
LIMITS = ("AS", "CORE", "CPU", "DATA", "FSIZE", "LOCKS", "MEMLOCK", "MSGQUEUE", "NICE", "NOFILE",
          "NPROC", "RSS", "RTPRIO", "RTTIME", "SIGPENDING", "STACK")
SMALL = {"MEMLOCK": 65536, "MSGQUEUE": 819200, "NICE": 0, "RTPRIO": 0, "STACK": 1 << 20,
         "AS": 1 << 32, "DATA": 1 << 32, "FSIZE": 1 << 32, "RSS": 1 << 32, "NOFILE": 512,
         "CORE": 0}
rows("rlimits", [(name.lower(), process(rlimits=[
    {"type": f"RLIMIT_{name}", "soft": SMALL.get(name, 100), "hard": SMALL.get(name, 100)}]))
    for name in LIMITS])
rows("rlimits", [
    ("soft", process(rlimits=[{"type": "RLIMIT_NOFILE", "soft": 256, "hard": 1024}])),
    ("several", process(rlimits=[{"type": "RLIMIT_NOFILE", "soft": 256, "hard": 1024},
                                 {"type": "RLIMIT_CORE", "soft": 0, "hard": 0}])),
])
rows("process", [
    ("oom-score", process(oomScoreAdj=500)),
    ("oom-score-zero", process(oomScoreAdj=0)),
    ("scheduler-batch", process(scheduler={"policy": "SCHED_BATCH", "nice": 4})),
    ("scheduler-idle", process(scheduler={"policy": "SCHED_IDLE"})),
    ("scheduler-nice", process(scheduler={"policy": "SCHED_OTHER", "nice": 7})),
    ("scheduler-fork-reset", process(scheduler={"policy": "SCHED_OTHER", "nice": 3,
                                                "flags": ["SCHED_FLAG_RESET_ON_FORK"]})),
    ("io-best-effort", process(ioPriority={"class": "IOPRIO_CLASS_BE", "priority": 6})),
    ("io-idle", process(ioPriority={"class": "IOPRIO_CLASS_IDLE", "priority": 0})),
    ("io-realtime", process(ioPriority={"class": "IOPRIO_CLASS_RT", "priority": 3})),
    ("affinity", process(execCPUAffinity={"initial": "0", "final": "0"})),
    ("personality", linux(personality={"domain": "LINUX32"})),
    ("personality-linux", linux(personality={"domain": "LINUX"})),
    ("annotations", config(annotations={"org.example.key": "value", "empty": ""})),
    ("hostname", config(hostname="other.example")),
    ("hostname-long", config(hostname="h" * 64)),
    ("hostname-empty", config(hostname="")),
    ("no-hostname", lambda b: b.config.pop("hostname")),
    ("domainname", config(domainname="example.org")),
    ("unknown-fields", config(fish={"a": 1}), process(fish=1), linux(fish=[])),
    ("console-size-without-terminal", process(consoleSize={"height": 10, "width": 20})),
    ("memory-policy", linux(memoryPolicy={"mode": "MPOL_BIND", "nodes": "0"})),
])
rows("sysctl", [
    (key.replace(".", "-"), linux(sysctl={key: value}), ask("/proc/sys/" + key.replace(".", "/")))
    for key, value in {
        "net.ipv4.ip_forward": "1", "net.core.somaxconn": "777",
        "net.ipv4.ping_group_range": "0 100", "net.ipv4.ip_local_port_range": "2000 3000",
        "kernel.msgmax": "5000", "kernel.shmmax": "123456", "kernel.sem": "10 20 30 40",
        "fs.mqueue.msg_max": "33", "kernel.shm_rmid_forced": "1",
        "net.ipv4.conf.lo.forwarding": "1",
    }.items()])
rows("sysctl", [
    ("slashes", linux(sysctl={"net/ipv4/conf/lo/rp_filter": "2"}),
     ask("/proc/sys/net/ipv4/conf/lo/rp_filter")),
    ("several", linux(sysctl={"net.ipv4.ip_forward": "1", "kernel.msgmax": "5000"}),
     ask("/proc/sys/net/ipv4/ip_forward", "/proc/sys/kernel/msgmax")),
    ("domainname", linux(sysctl={"kernel.domainname": "by.sysctl"})),
])
failing("sysctl", [
    ("of-host", "kernel.panic", linux(sysctl={"kernel.panic": "0"})),
    ("unknown", "nosuch", linux(sysctl={"net.nosuch": "1"})),
    ("bad-value", "ip_forward", linux(sysctl={"net.ipv4.ip_forward": "fish"})),
    ("host-network", "net.ipv4.ip_forward", without_namespace("network"),
     linux(sysctl={"net.ipv4.ip_forward": "1"})),
    ("host-ipc", "kernel.msgmax", without_namespace("ipc"), linux(sysctl={"kernel.msgmax": "1"})),
    ("hostname", "kernel.hostname", linux(sysctl={"kernel.hostname": "x"})),
    ("leaves-folder", "", linux(sysctl={"net.ipv4.../../../kernel/nosuch": "1"})),
])
failing("process", [
    ("missing-program", "/bin/nosuch", process(args=["/bin/nosuch"])),
    ("missing-in-path", "nosuch-program", process(args=["nosuch-program"])),
    ("not-executable", "/etc/passwd", process(args=["/etc/passwd"])),
    ("program-is-folder", "/home", process(args=["/home"])),
    ("not-a-program", "/bin/text", file("bin/text", "nothing", 0o755),
     process(args=["/bin/text"])),
    ("missing-interpreter", "/bin/script", file("bin/script", "#!/bin/nosuch\n", 0o755),
     process(args=["/bin/script"])),
    ("not-executable-by-user", "/bin/mine", file("bin/mine", "#!/bin/probe\n", 0o700),
     user(1000, 1000), process(args=["/bin/mine"])),
    ("no-args", "args", process(args=[])),
    ("empty-arg0", "", process(args=[""])),
    ("cwd-relative", "cwd", process(cwd="home")),
    ("cwd-empty", "cwd", process(cwd="")),
    ("cwd-is-file", "/etc/passwd", process(cwd="/etc/passwd")),
    ("cwd-not-permitted", "/home/ada", folder("home/ada", 0o700, 1000), user(5000, 5000),
     caps(bounding="KILL"), process(cwd="/home/ada")),
    ("missing-in-cwd", "./nosuch", process(args=["./nosuch"])),
    ("bad-rlimit", "RLIMIT_FISH", process(rlimits=[{"type": "RLIMIT_FISH", "soft": 1,
                                                    "hard": 1}])),
    ("rlimit-twice", "RLIMIT_CORE", process(rlimits=[
        {"type": "RLIMIT_CORE", "soft": 0, "hard": 0}] * 2)),
    ("rlimit-soft-over-hard", "", process(rlimits=[{"type": "RLIMIT_NOFILE", "soft": 20,
                                                    "hard": 10}])),
    ("bad-scheduler", "SCHED_FISH", process(scheduler={"policy": "SCHED_FISH"})),
    ("bad-io-class", "IOPRIO_CLASS_FISH", process(ioPriority={"class": "IOPRIO_CLASS_FISH",
                                                              "priority": 0})),
    ("bad-io-priority", "", process(ioPriority={"class": "IOPRIO_CLASS_BE", "priority": 9})),
    ("hostname-too-long", "", config(hostname="h" * 65)),
    ("bad-personality", "", linux(personality={"domain": "FISH"})),
    ("bad-personality-flag", "", linux(personality={"domain": "LINUX", "flags": ["FISH"]})),
    ("bad-propagation", "", linux(rootfsPropagation="fish")),
    ("bad-oom-score", "", process(oomScoreAdj=5000)),
    ("no-process", "process", lambda b: b.config.pop("process")),
    ("no-root", "root", lambda b: b.config.pop("root")),
    ("bad-version", "", config(ociVersion="9.9")),
    ("no-version", "", lambda b: b.config.pop("ociVersion")),
    ("wrong-type", "", process(cwd=["/"])),
])

# -- seccomp --------------------------------------------------------------------------------------

ASK_SECCOMP = ask(f"sys:{MKDIR},0,0", f"sys:{PERSONALITY},8", f"sys:{SOCKET},99,1,0",
                  f"sys:{UNSHARE},0", f"sys:{GETPPID}")
rows("seccomp", [
    ("none", linux(seccomp=None)),
    ("allow-all", seccomp()),
    ("errno", seccomp(rule("mkdir"))),
    ("errno-value", seccomp(rule("mkdir", errnoRet=99))),
    ("errno-zero", seccomp(rule("mkdir", errnoRet=0))),
    ("errno-big", seccomp(rule("mkdir", errnoRet=4095))),
    ("default-errno", seccomp(rule("mkdir", "SCMP_ACT_ALLOW"), default="SCMP_ACT_LOG")),
    ("several", seccomp(rule("mkdir mkdirat"), rule("unshare", errnoRet=7))),
    ("unknown-syscall", seccomp(rule("mkdir fishcall"))),
    ("log", seccomp(rule("mkdir", "SCMP_ACT_LOG"))),
    ("trace", seccomp(rule("mkdir", "SCMP_ACT_TRACE"))),
    ("trace-value", seccomp(rule("mkdir", "SCMP_ACT_TRACE", errnoRet=5))),
    ("allow-over-default", seccomp(rule("mkdir", "SCMP_ACT_ALLOW"), rule("unshare"))),
    ("same-twice", seccomp(rule("mkdir", errnoRet=5), rule("mkdir", errnoRet=5))),
    ("flag-log", seccomp(rule("mkdir"), flags=["SECCOMP_FILTER_FLAG_LOG"])),
    ("flag-ssb", seccomp(rule("mkdir"), flags=["SECCOMP_FILTER_FLAG_SPEC_ALLOW"])),
    ("flag-tsync", seccomp(rule("mkdir"), flags=["SECCOMP_FILTER_FLAG_TSYNC"])),
    ("flags-empty", seccomp(rule("mkdir"), flags=[])),
    ("no-arch", seccomp(rule("mkdir"), architectures=[])),
    ("two-archs", seccomp(rule("mkdir"), architectures=["SCMP_ARCH_X86_64", "SCMP_ARCH_X86"])),
    ("foreign-arch", seccomp(rule("mkdir"), architectures=["SCMP_ARCH_X86_64",
                                                           "SCMP_ARCH_AARCH64"])),
    ("only-foreign-arch", seccomp(rule("mkdir"), architectures=["SCMP_ARCH_AARCH64"])),
    ("no-new-privileges-off", process(noNewPrivileges=False), seccomp(rule("mkdir"))),
    ("as-user", user(1000, 1000), seccomp(rule("mkdir"))),
    ("as-user-with-privileges", user(1000, 1000), process(noNewPrivileges=False),
     seccomp(rule("mkdir"))),
    ("in-userns", mapped((0, 100000, 65536)), seccomp(rule("mkdir"))),
    ("two-values", seccomp(rule("personality", "SCMP_ACT_ERRNO", (0, 8, "SCMP_CMP_EQ"),
                                (1, 0, "SCMP_CMP_EQ")))),
    ("same-index-twice", seccomp(rule("personality", "SCMP_ACT_ERRNO", (0, 8, "SCMP_CMP_EQ"),
                                      (0, 9, "SCMP_CMP_EQ")))),
] + [
    (f"op-{op.lower()}-{value}", seccomp(rule(
        "personality", "SCMP_ACT_ERRNO", (0, value, f"SCMP_CMP_{op}", 8), errnoRet=66)))
    for op in ("EQ", "NE", "LT", "LE", "GT", "GE", "MASKED_EQ") for value in (7, 8)
], ASK_SECCOMP)
rows("seccomp", [
    (f"kills-{action.lower()}", seccomp(rule("mkdir", f"SCMP_ACT_{action}")))
    for action in ("KILL", "KILL_PROCESS", "KILL_THREAD", "TRAP")], ASK_SECCOMP)
failing("seccomp", [
    ("bad-action", "SCMP_ACT_FISH", seccomp(rule("mkdir", "SCMP_ACT_FISH"))),
    ("bad-default", "SCMP_ACT_FISH", seccomp(default="SCMP_ACT_FISH")),
    ("bad-op", "", seccomp(rule("mkdir", "SCMP_ACT_ERRNO", (0, 1, "SCMP_CMP_FISH")))),
    ("bad-arch", "SCMP_ARCH_FISH", seccomp(architectures=["SCMP_ARCH_FISH"])),
    ("bad-flag", "FISH", seccomp(rule("mkdir"), flags=["SECCOMP_FILTER_FLAG_FISH"])),
    ("bad-index", "", seccomp(rule("mkdir", "SCMP_ACT_ERRNO", (7, 1, "SCMP_CMP_EQ")))),
    ("errno-with-allow", "", seccomp(rule("mkdir", "SCMP_ACT_ALLOW", errnoRet=5))),
    ("no-names", "", seccomp({"names": [], "action": "SCMP_ACT_ERRNO"})),
    ("notify-without-listener", "", seccomp(rule("mkdir", "SCMP_ACT_NOTIFY"))),
    ("listener-missing", "/nosuch/listener", seccomp(
        rule("mkdir", "SCMP_ACT_NOTIFY"), listenerPath="/nosuch/listener")),
])

# -- hooks ----------------------------------------------------------------------------------------

HOOKS = ("prestart", "createRuntime", "createContainer", "startContainer", "poststart", "poststop")
rows("hooks", [(kind, hook(kind, env=["A=b"])) for kind in HOOKS])
rows("hooks", [
    ("all", *[hook(kind) for kind in HOOKS], config(annotations={"key": "value"})),
    ("no-env", hook("createRuntime")),
    ("poststart-fails", hook("poststart", args=("fail", "no fish"))),
    ("poststop-fails", hook("poststop", args=("fail", "no fish"))),
    ("poststop-missing", hook("poststop", path="/nosuch/hook")),
    ("in-userns", mapped((0, 100000, 65536)), hook("createRuntime"), hook("poststop")),
])
failing("hooks", [(f"{kind}-fails", "no fish", hook(kind, args=("fail", "no fish")),
                   hook("poststop")) for kind in HOOKS[:4]])
failing("hooks", [
    ("missing", "/nosuch/hook", hook("createRuntime", path="/nosuch/hook")),
    ("relative", "", hook("createRuntime", path="bin/probe")),
    ("timeout", "", hook("createRuntime", args=("sleep", "10"), timeout=1)),
    ("bad-timeout", "", hook("createRuntime", args=("sleep", "1"), timeout=-1)),
])

# -- terminals ------------------------------------------------------------------------------------

for title, changes in {
        "plain": (), "size": (process(consoleSize={"height": 33, "width": 99}),),
        "user": (user(1000, 1000),), "userns": (mapped((0, 100000, 65536)),),
        "userns-user": (mapped((0, 100000, 65536)), user(1000, 1000)),
        "no-devpts": (without_mount("/dev/pts"),),
        "console-is-a-file": (without_mount("/dev"), file("dev/console", "x")),
        "readonly-root": (config(root={"path": "rootfs", "readonly": True}),)}.items():
    add(f"terminal/{title}", process(terminal=True), *changes, how="terminal")

# -- exec -----------------------------------------------------------------------------------------

for title, more in {
        "same": {}, "user": {"user": {"uid": 1000, "gid": 1000, "additionalGids": [10]}},
        "umask": {"user": {"uid": 0, "gid": 0, "umask": 0o77}},
        "no-caps": {"capabilities": {}},
        "caps": {"capabilities": {k: ["CAP_KILL", "CAP_CHOWN"] for k in (
            "bounding", "effective", "permitted", "inheritable", "ambient")}},
        "env": {"env": ["A=b"]}, "cwd": {"cwd": "/data"}, "new-cwd": {"cwd": "/made/here"},
        "privileges": {"noNewPrivileges": False}, "oom-score": {"oomScoreAdj": 321},
        "rlimits": {"rlimits": [{"type": "RLIMIT_NOFILE", "soft": 99, "hard": 100}]},
        "io-priority": {"ioPriority": {"class": "IOPRIO_CLASS_BE", "priority": 7}},
        "scheduler": {"scheduler": {"policy": "SCHED_BATCH", "nice": 2}},
        "affinity": {"execCPUAffinity": {"initial": "0", "final": "0"}},
        "terminal": {"terminal": True, "consoleSize": {"height": 12, "width": 34}},
        "terminal-user": {"terminal": True, "user": {"uid": 1000, "gid": 1000}}}.items():
    add(f"exec/{title}", how="exec", exec_process=more)
for title, options in {
        "option-user": ("--user", "1000:1001"), "option-env": ("--env", "A=b"),
        "option-cwd": ("--cwd", "/home/ada"), "option-cap": ("--cap", "CAP_SYS_PTRACE"),
        "option-tty": ("--tty",), "option-groups": ("--additional-gids", "33"),
        "option-no-new-privs": ("--no-new-privs",)}.items():
    add(f"exec/{title}", how="exec", exec_options=options)
add("exec/in-userns", mapped((0, 100000, 65536)), how="exec")
add("exec/with-seccomp", seccomp(rule("mkdir")), how="exec")
add("exec/of-container-with-settings", how="exec", *(
    user(1000, 1000, umask=0o27), process(oomScoreAdj=77, noNewPrivileges=False,
                                          rlimits=[{"type": "RLIMIT_CORE", "soft": 0, "hard": 0}]),
    linux(personality={"domain": "LINUX32"}), namespace("cgroup"), namespace("time")))
add("exec/no-pid-namespace", without_namespace("pid"), how="exec")
for title, text, more in (
        ("missing-program", "/bin/nosuch", {"args": ["/bin/nosuch"]}),
        ("not-executable", "/etc/passwd", {"args": ["/etc/passwd"]}),
        ("cwd-is-file", "/etc/passwd", {"cwd": "/etc/passwd"}),
        ("exit-status", "", {"args": ["/bin/probe", "exit", "17"]})):
    add(f"exec/{title}", how="exec", exec_process=more, names=text)

# -- lifecycle ------------------------------------------------------------------------------------

add("lifecycle/plain", config(annotations={"a": "b"}), how="lifecycle")
add("lifecycle/no-pid-namespace", without_namespace("pid"), how="lifecycle")

# -- cgroups --------------------------------------------------------------------------------------

MEMORY = cgroup_files("memory", "memory.limit_in_bytes", "memory.soft_limit_in_bytes",
                      "memory.memsw.limit_in_bytes", "memory.swappiness", "memory.oom_control",
                      "memory.use_hierarchy", "memory.kmem.limit_in_bytes",
                      "memory.kmem.tcp.limit_in_bytes")
rows("memory", [
    ("limit", resources(memory={"limit": 64 << 20})),
    ("limit-odd", resources(memory={"limit": (64 << 20) + 1})),
    ("unlimited", resources(memory={"limit": -1})),
    ("reservation", resources(memory={"reservation": 32 << 20})),
    ("swappiness", resources(memory={"swappiness": 10})),
    ("oom-kill-off", resources(memory={"limit": 64 << 20, "disableOOMKiller": True})),
    ("hierarchy", resources(memory={"limit": 64 << 20, "useHierarchy": True})),
    ("kernel-tcp", resources(memory={"kernelTCP": 16 << 20})),
    ("swap-without-limit", resources(memory={"swap": 64 << 20})),
    ("swap", resources(memory={"limit": 32 << 20, "swap": 64 << 20})),
    ("swap-unlimited", resources(memory={"limit": 32 << 20, "swap": -1})),
    ("check-before-update", resources(memory={"limit": 64 << 20, "checkBeforeUpdate": True})),
    ("in-cgroup-namespace", namespace("cgroup"), resources(memory={"limit": 64 << 20})),
], MEMORY)
CPU = cgroup_files("cpu", "cpu.shares", "cpu.cfs_quota_us", "cpu.cfs_period_us",
                   "cpu.cfs_burst_us", "cpu.rt_runtime_us", "cpu.rt_period_us", "cpu.idle")
rows("cpu", [
    ("shares", resources(cpu={"shares": 512})),
    ("shares-low", resources(cpu={"shares": 1})),
    ("shares-zero", resources(cpu={"shares": 0})),
    ("quota", resources(cpu={"quota": 20000})),
    ("quota-period", resources(cpu={"quota": 20000, "period": 50000})),
    ("quota-unlimited", resources(cpu={"quota": -1, "period": 50000})),
    ("quota-zero", resources(cpu={"quota": 0, "period": 0})),
    ("period", resources(cpu={"period": 50000})),
    ("burst", resources(cpu={"quota": 20000, "period": 50000, "burst": 10000})),
    ("idle", resources(cpu={"idle": 1})),
], CPU)
CPUSET = cgroup_files("cpuset", "cpuset.cpus", "cpuset.mems")
rows("cpuset", [
    ("none", resources()),
    ("cpus", resources(cpu={"cpus": "0"})),
    ("mems", resources(cpu={"mems": "0"})),
    ("range", resources(cpu={"cpus": "0-1", "mems": "0"})),
], CPUSET)
PIDS = cgroup_files("pids", "pids.max")
rows("pids", [
    ("limit", resources(pids={"limit": 40})),
    ("zero", resources(pids={"limit": 0})),
    ("unlimited", resources(pids={"limit": -1})),
    ("none", resources()),
], PIDS)
BLKIO = cgroup_files("blkio", "blkio.weight", "blkio.bfq.weight",
                     "blkio.throttle.read_bps_device", "blkio.throttle.write_bps_device",
                     "blkio.throttle.read_iops_device", "blkio.throttle.write_iops_device")


def throttle(kind, rate):
    """Of the disk that is first in /sys/block."""
    def change(b):
        names = sorted(os.listdir("/sys/block"))
        if names:
            with open(f"/sys/block/{names[0]}/dev", encoding="utf-8") as number:
                major, minor = map(int, number.read().split(":"))
            b.resources["blockIO"] = {kind: [{"major": major, "minor": minor, "rate": rate}]}
    return change


rows("blkio", [("none", resources())] + [
    (kind[8:-6].lower(), throttle(kind, 1 << 20)) for kind in (
        "throttleReadBpsDevice", "throttleWriteBpsDevice", "throttleReadIOPSDevice",
        "throttleWriteIOPSDevice")], BLKIO)
failing("resources", [
    ("weight", "", resources(blockIO={"weight": 500}), BLKIO),
    ("memory-small", "", resources(memory={"limit": 1})),
    ("memory-negative", "", resources(memory={"limit": -5})),
    ("swap-below-limit", "", resources(memory={"limit": 64 << 20, "swap": 32 << 20})),
    ("swappiness-big", "", resources(memory={"swappiness": 1000})),
    ("cpus-bad", "", resources(cpu={"cpus": "fish"})),
    ("cpus-missing", "", resources(cpu={"cpus": "4000"})),
    ("period-bad", "", resources(cpu={"period": 5, "quota": 2})),
    ("quota-bad", "", resources(cpu={"quota": 5})),
    ("hugepages-bad", "", resources(hugepageLimits=[{"pageSize": "3MB", "limit": 1}])),
    ("unified", "", resources(unified={"memory.max": "10000000"})),
    ("network-class", "", resources(network={"classID": 1048577})),
    ("rdma", "", resources(rdma={"mlx5": {"hcaHandles": 3}})),
    ("burst-over-quota", "", resources(cpu={"quota": 20000, "period": 50000, "burst": 60000})),
    ("realtime", "", resources(cpu={"realtimeRuntime": 1000, "realtimePeriod": 100000}), CPU),
])
rows("cgroup-path", [
    ("relative", lambda b: b.linux.update(cgroupsPath=b.cgroup[1:])),
    ("dots", lambda b: b.linux.update(cgroupsPath=b.cgroup + "/a/../b")),
    ("deep", lambda b: b.linux.update(cgroupsPath=b.cgroup + "/a/b/c")),
    ("slashes", lambda b: b.linux.update(cgroupsPath="//" + b.cgroup[1:] + "//x/")),
])

# -- what several properties do together -----------------------------------------------------------

rows("together", [
    ("kubernetes", namespace("cgroup"), user(1000, 1000, additionalGids=[1000, 2000]),
     joined("network", "ipc", "uts"), process(oomScoreAdj=990, cwd="/data"),
     config(root={"path": "rootfs", "readonly": True}),
     mount("/etc/hosts", "bind", "+source/file", "rbind", "rprivate", "rw"),
     mount("/var/run/secrets", "bind", "+source", "rbind", "rprivate", "ro"),
     resources(cpu={"shares": 102, "quota": 10000, "period": 100000}, pids={"limit": 100},
               memory={"limit": 64 << 20}),
     seccomp(rule("mkdir unshare"))),
    ("privileged", linux(maskedPaths=[], readonlyPaths=[]), options_of("/sys", "nosuid", "noexec",
                                                                      "nodev"),
     options_of("/sys/fs/cgroup", "nosuid", "noexec", "nodev", "relatime"),
     process(noNewPrivileges=False), resources(devices=[{"allow": True, "access": "rwm"}]),
     ask("dev:c,10,200", "/proc/sys/kernel/hostname")),
    ("host-everything", without_namespace("pid", "network", "ipc", "uts"),
     without_mount("/sys"), mount("/sys", "bind", "/sys", "rbind"),
     mount("/dev/hostshm", "bind", "/dev/shm", "bind")),
    ("userns-pod", mapped((0, 100000, 65536)), namespace("cgroup"), user(1000, 1000),
     caps(**{k: "NET_BIND_SERVICE" for k in ("bounding", "effective", "permitted", "inheritable",
                                             "ambient")}),
     mount("/mnt", "bind", "+source", "rbind", "ro", "nosuid"), seccomp(rule("mkdir")),
     mount("/cache", "tmpfs", "tmpfs", "size=1m", "mode=1777"), ask("/mnt", "/cache")),
])

assert len({variant.slug for variant in TABLE}) == len(TABLE), "two variants have the same name"
