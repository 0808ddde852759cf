# SPDX-License-Identifier: Apache-2.0
"""Namespaces of a test's own, so that no mount, address or firewall rule reaches the machine."""
import ctypes
import fcntl
import os
import shutil
import socket
import stat
import struct
import tempfile
import threading

CLONE_NEWNS, CLONE_NEWUTS, CLONE_NEWIPC, CLONE_NEWNET = 0x20000, 0x4000000, 0x8000000, 0x40000000
MS_NOSUID, MS_NODEV, MS_BIND, MS_MOVE = 0x2, 0x4, 0x1000, 0x2000
MS_REC, MS_PRIVATE = 0x4000, 0x40000
PR_SET_CHILD_SUBREAPER = 36
SIOCGIFFLAGS, SIOCSIFFLAGS, IFF_UP = 0x8913, 0x8914, 0x1

_libc = ctypes.CDLL(None, use_errno=True)


def _checked(what, result):
    if result != 0:
        number = ctypes.get_errno()
        raise OSError(number, f"{what}: {os.strerror(number)}")


def become_subreaper(yes=True):
    """Orphans of our children become our children, not those of PID 1; or no longer."""
    _checked("prctl", _libc.prctl(PR_SET_CHILD_SUBREAPER, int(yes), 0, 0, 0))


def unshare(flags):
    _checked("unshare", _libc.unshare(flags))


def mount(source, target, kind, flags, data=None):
    encode = os.fsencode
    _checked(f"mount {target}", _libc.mount(encode(source), encode(target), encode(kind), flags,
                                            data and encode(data)))


def loopback_up():
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        request = struct.pack("16sh22x", b"lo", 0)
        flags = struct.unpack("16sh22x", fcntl.ioctl(sock, SIOCGIFFLAGS, request))[1]
        fcntl.ioctl(sock, SIOCSIFFLAGS, struct.pack("16sh22x", b"lo", flags | IFF_UP))


def private_run():
    """An empty /run: pins of network namespaces and sockets of daemons are the test's own."""
    resolv = os.path.realpath("/etc/resolv.conf")
    kept = None
    if resolv.startswith("/run/") and os.path.exists(resolv):
        with open(resolv, "rb") as source:
            kept = source.read()
    mount("tmpfs", "/run", "tmpfs", MS_NOSUID | MS_NODEV, "mode=755,size=64m")
    if kept is not None:
        os.makedirs(os.path.dirname(resolv))
        with open(resolv, "wb") as target:
            target.write(kept)
    for folder in ("lock", "netns"):
        os.mkdir(os.path.join("/run", folder))


def _copy_node(source, target):
    st = os.lstat(source)
    if stat.S_ISLNK(st.st_mode):
        os.symlink(os.readlink(source), target)
    elif stat.S_ISDIR(st.st_mode):
        os.mkdir(target)
        if os.path.ismount(source):
            mount(source, target, "none", MS_BIND | MS_REC)
        else:
            for name in os.listdir(source):
                _copy_node(f"{source}/{name}", f"{target}/{name}")
    elif stat.S_ISCHR(st.st_mode) or stat.S_ISBLK(st.st_mode):
        os.mknod(target, st.st_mode, st.st_rdev)
        os.chown(target, st.st_uid, st.st_gid)
        os.chmod(target, stat.S_IMODE(st.st_mode))


def private_devices():
    """A /dev of nodes of our own: a runtime that changes the owner of one changes only ours."""
    new = tempfile.mkdtemp(prefix="dev-")
    mount("tmpfs", new, "tmpfs", MS_NOSUID, "mode=755")
    for name in os.listdir("/dev"):
        _copy_node(f"/dev/{name}", f"{new}/{name}")
    mount(new, "/dev", "none", MS_MOVE)
    os.rmdir(new)


def isolate():
    """Own mounts (and /run, /dev), network with only loopback, IPC and host name."""
    unshare(CLONE_NEWNS | CLONE_NEWNET | CLONE_NEWIPC | CLONE_NEWUTS)
    mount("none", "/", "none", MS_REC | MS_PRIVATE)
    private_run()
    private_devices()
    loopback_up()


def within_network(pid, make):
    """What make() returns in a thread that is in the network namespace of a process: a socket."""
    result = []

    def run():
        try:
            with open(f"/proc/{pid}/ns/net", "rb") as space:
                _checked("setns", _libc.setns(space.fileno(), CLONE_NEWNET))
            result.append(make())
        except OSError as error:
            result.append(error)

    thread = threading.Thread(target=run)
    thread.start()
    thread.join()
    if isinstance(result[0], OSError):
        raise result[0]
    return result[0]


def busybox():
    """The static busybox that root file systems of tests are made of."""
    path = shutil.which("busybox")
    if not path:
        raise FileNotFoundError("there is no busybox: install busybox-static")
    return path
