# SPDX-License-Identifier: Apache-2.0
"""A virtual machine with systemd, which boots this machine's own files.

Debian's kernel is downloaded into the cache, never installed. Its root is this machine's root,
read-only by 9p, under an overlay in memory: nothing that a guest does stays. systemd is process 1,
with the units of tests/vm/units alone. With KVM where that works, else with QEMU's TCG.

vm.py prepare                    the kernel into the cache
vm.py run FOLDER COMMAND...      COMMAND as root in a guest; FOLDER is its /run/vm/out
"""
import glob
import lzma
import os
import re
import shutil
import subprocess
import sys
import time

HERE = os.path.dirname(os.path.abspath(__file__))
CACHE = os.environ.get("TARE_CACHE") or os.path.join(
    os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache"), "tare")
TESTS = os.path.dirname(HERE)
# What is worth running there, of tests/: systemd, and cgroup v2 with its controllers, is what no
# machine of ours has outside. Guests run side by side; each has its kind of cgroups (see CGROUPS).
GUESTS = {
    "v2": ("vm", "runtime/test_cgroup2.py", "--ignore-glob=*/test_hybrid.py",
           "--ignore-glob=*/test_checkpoint_words.py"),
    "hybrid": ("vm/test_hybrid.py", "vm/test_checkpoint_words.py",
               "vm/test_checkpoint.py::test_it_goes_on_where_it_was"),
}
NO_TESTS = 5  # pytest's exit status when none was chosen
KERNELS = os.path.join(CACHE, "vm")
QEMU = "qemu-system-x86_64"
BUSYBOX = "/bin/busybox"
MODULES = ("virtio_pci", "9pnet_virtio", "9p", "overlay", "virtio_rng")
MEMORY_MIB, CPUS = 1536, 2
CGROUPS = {  # what systemd mounts: words of the kernel's command line
    "v2": "systemd.unified_cgroup_hierarchy=1",
    "hybrid": "systemd.unified_cgroup_hierarchy=0",
    "v1": "systemd.unified_cgroup_hierarchy=0 systemd.legacy_systemd_cgroup_controller=1",
}
KVM_SECONDS = 5


class Problem(Exception):
    pass


def output(*command, **kwargs):
    if not shutil.which(command[0]):
        raise Problem(f"there is no {command[0]}: install the packages of tests/check/packages.txt")
    done = subprocess.run(command, check=False, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                          stderr=subprocess.STDOUT, text=True, **kwargs)
    if done.returncode != 0:
        raise Problem(f"{' '.join(command)}: exit {done.returncode}\n{done.stdout}")
    return done.stdout


def kernel():
    """The folder of the kernel that was unpacked last, and its version; None without one."""
    found = sorted(glob.glob(os.path.join(KERNELS, "*", "complete")), key=os.path.getmtime)
    if not found:
        return None
    folder = os.path.dirname(found[-1])
    return folder, os.listdir(os.path.join(folder, "lib", "modules"))[0]


def unpack_kernel(packed, target):
    """The ELF file in a bzImage: QEMU starts it as it is, and TCG takes 15 s to unpack it."""
    with open(packed, "rb") as f:
        data = f.read()
    at = data.find(b"\xfd7zXZ\0")
    if at < 0:
        raise Problem(f"{packed} holds no xz stream")
    with open(target, "wb") as f:
        f.write(lzma.LZMADecompressor(lzma.FORMAT_XZ).decompress(data[at:]))


def prepare():
    """Downloads and unpacks the kernel that linux-image-amd64 stands for, unless it is there."""
    if not shutil.which(QEMU):
        raise Problem(f"there is no {QEMU}: install the package qemu-system-x86")
    if kernel():
        return
    shown = output("apt-cache", "depends", "linux-image-amd64")
    names = re.findall(r"Depends: (linux-image-\S+)", shown)
    if not names:
        raise Problem(f"linux-image-amd64 depends on no kernel:\n{shown}")
    folder = os.path.join(KERNELS, names[0])
    shutil.rmtree(folder, ignore_errors=True)
    os.makedirs(folder)
    output("apt-get", "-q", "-o", "Acquire::Retries=3", "-o", "APT::Sandbox::User=root", "download",
           names[0], cwd=folder)
    package = glob.glob(os.path.join(folder, "*.deb"))[0]
    output("dpkg-deb", "-x", package, folder)
    os.unlink(package)
    version = os.listdir(os.path.join(folder, "lib", "modules"))[0]
    unpack_kernel(os.path.join(folder, "boot", f"vmlinuz-{version}"),
                  os.path.join(folder, "vmlinux"))
    output("depmod", "-b", folder, version)
    with open(os.path.join(folder, "complete"), "wb"):
        pass


def modules(folder, version):
    """Files of MODULES and of what they depend on, in the order in which to load them."""
    base = os.path.join(folder, "lib", "modules", version)
    needs = {}
    with open(os.path.join(base, "modules.dep"), encoding="utf-8") as lines:
        for line in lines:
            name, _, rest = line.partition(":")
            needs[name] = rest.split()
    by_name = {os.path.basename(name)[:-len(".ko")].replace("-", "_"): name for name in needs}
    order = []
    for wanted in MODULES:
        for name in [*reversed(needs[by_name[wanted]]), by_name[wanted]]:
            if name not in order:
                order.append(name)
    return [os.path.join(base, name) for name in order]


def archive(entries):
    """An initramfs (cpio, "newc") of (name, mode, bytes)."""
    out = bytearray()
    for number, (name, mode, data) in enumerate([*entries, ("TRAILER!!!", 0, b"")]):
        fields = (number, mode, 0, 0, 1, 0, len(data), 0, 0, 0, 0, len(name) + 1, 0)
        out += b"070701" + b"".join(b"%08x" % field for field in fields)
        out += name.encode() + b"\0"
        out += b"\0" * (-len(out) % 4) + data
        out += b"\0" * (-len(out) % 4)
    return bytes(out)


def initramfs(folder, version):
    def read(path):
        with open(path, "rb") as f:
            return f.read()
    entries = [(name, 0o040755, b"") for name in ("bin", "dev", "proc", "sys", "mnt", "modules")]
    entries += [("bin/busybox", 0o100755, read(BUSYBOX)),
                ("init", 0o100755, read(os.path.join(HERE, "initramfs.sh")))]
    names = []
    for path in modules(folder, version):
        names.append(os.path.basename(path))
        entries.append((f"modules/{names[-1]}", 0o100644, read(path)))
    entries.append(("modules/order", 0o100644, ("\n".join(names) + "\n").encode()))
    return archive(entries)


def quote(word):
    return "'" + word.replace("'", "'\\''") + "'"


def kvm_works(qemu, console):
    """Whether a guest says something under KVM; where KVM is nested it may only look as if."""
    if not os.access("/dev/kvm", os.R_OK | os.W_OK):
        return False
    with subprocess.Popen([*qemu, "-accel", "kvm"], stdin=subprocess.DEVNULL,
                          stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as guest:
        end = time.monotonic() + KVM_SECONDS
        works = False
        while not works and guest.poll() is None and time.monotonic() < end:
            works = os.path.exists(console) and os.path.getsize(console) > 0
            time.sleep(0.1)
        guest.kill()
    return works


def boot(qemu, console, seconds):
    """Until the guest is off; what QEMU says."""
    accel = "kvm" if kvm_works(qemu, console) else "tcg,thread=multi"
    try:
        return subprocess.run([*qemu, "-accel", accel], check=False, stdin=subprocess.DEVNULL,
                              timeout=seconds, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                              text=True).stdout
    except subprocess.TimeoutExpired:
        return f"the guest did not end within {seconds} s"


def run(out, command, env=(), seconds=600, cgroups="v2"):
    """Boots, runs the command, and powers off; its exit status. Its output is FOLDER/console."""
    found = kernel()
    if not found:
        raise Problem("there is no kernel in the cache: ./check install")
    folder, version = found
    out = os.path.abspath(out)
    os.makedirs(out, exist_ok=True)
    for name in ("status", "console", "initramfs"):
        if os.path.exists(os.path.join(out, name)):
            os.unlink(os.path.join(out, name))
    with open(os.path.join(out, "initramfs"), "wb") as f:
        f.write(initramfs(folder, version))
    with open(os.path.join(out, "command"), "w", encoding="utf-8") as f:
        f.write("".join(f"export {name}={quote(value)}\n" for name, value in env))
        f.write(" ".join(map(quote, command)) + "\n")
    with open(os.path.join(out, "place"), "w", encoding="utf-8") as f:
        f.write(f"VM_UNITS={quote(os.path.join(HERE, 'units'))}\n"
                f"VM_USER_UNITS={quote(os.path.join(HERE, 'user-units'))}\n"
                f"VM_MODULES={quote(os.path.join(folder, 'lib', 'modules'))}\n"
                f"VM_GUEST={quote(os.path.join(HERE, 'guest.sh'))}\n")
    shares = []
    for tag, path, more in (("root", "/", ",readonly=on"), ("out", out, "")):
        shares += ["-fsdev", f"local,id={tag},path={path},security_model=passthrough,"
                             f"multidevs=remap{more}",
                   "-device", f"virtio-9p-pci,fsdev={tag},mount_tag={tag}"]
    qemu = [QEMU, "-nodefaults", "-no-user-config", "-display", "none", "-no-reboot", "-cpu", "max",
            "-m", str(MEMORY_MIB), "-smp", str(CPUS), "-device", "virtio-rng-pci", *shares,
            "-kernel", os.path.join(folder, "vmlinux"), "-initrd", os.path.join(out, "initramfs"),
            "-serial", f"file:{out}/console",
            "-append", "console=ttyS0 panic=-1 rdinit=/init mitigations=off "
                       "systemd.show_status=0 systemd.log_level=warning systemd.log_target=console "
                       + CGROUPS[cgroups]]
    said = boot(qemu, os.path.join(out, "console"), seconds)
    os.unlink(os.path.join(out, "initramfs"))
    status = os.path.join(out, "status")
    if not os.path.exists(status):
        raise Problem(f"{said}\nthe guest says:\n{console(out)}")
    with open(status, encoding="utf-8") as f:
        return int(f.read())


def console(out):
    """What the guest said last."""
    with open(os.path.join(out, "console"), encoding="utf-8", errors="replace") as f:
        return f.read()[-8000:]


def run_tests(out, build, names, seconds, guest):
    """pytest in one of GUESTS: junit.xml in the folder; its exit status."""
    os.makedirs(out, exist_ok=True)
    output("gcc", "-O1", "-static", "-w", "-D_GNU_SOURCE", "-o", os.path.join(out, "probe"),
           os.path.join(TESTS, "runtime", "probe.c"))
    command = ["/usr/bin/python3", "-B", "-m", "pytest", "-v", "--no-header", "--tb=short", "-rN",
               "--color=no", "-p", "no:cacheprovider", "--basetemp=/run/tmp/p", "--rootdir", TESTS,
               "--junitxml=/run/vm/out/junit.xml"]
    command += [t if t.startswith("-") else os.path.join(TESTS, t) for t in GUESTS[guest]]
    if names:
        command += ["-k", " or ".join(names)]
    env = {"TARE_BUILD": build, "TARE_PROBE": "/run/vm/out/probe"}
    return run(out, command, env.items(), seconds, guest)


def main(arguments):
    try:
        if arguments[:1] == ["prepare"]:
            prepare()
            return 0
        if arguments[:1] == ["run"] and len(arguments) > 2:
            status = run(arguments[1], arguments[2:])
            print(console(arguments[1]))
            return status
    except Problem as problem:
        print(problem, file=sys.stderr)
        return 1
    print(__doc__)
    return 2


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
