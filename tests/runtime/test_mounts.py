# SPDX-License-Identifier: Apache-2.0
"""mounts[] of config.json: every option, on this kernel and as on Linux 5.10.

The old kernel is a seccomp filter: no system call that came later is there.
"""
import stat

import pytest

from reports import mounts_of

OLD = pytest.mark.parametrize("old", [False, True], ids=["here", "5.10"])


@pytest.fixture
def kernel(machine, old):
    if old:
        machine.prefix = [str(machine.probe), "linux-5.10"]
    return machine


def in_mount_namespace(machine, script):
    """Runs the script, then "$@", in a mount namespace of its own."""
    machine.prefix = ["unshare", "-m", "--propagation", "private", "sh", "-ec",
                      f'{script}\nexec "$@"', "sh", *machine.prefix]


@OLD
def test_default_bundle(kernel):
    b = kernel.bundle()
    b.config["root"]["readonly"] = True
    m = mounts_of(b.report())
    assert "ro" in m["/"]["options"]
    assert {"ro", "nosuid", "noexec", "nodev"} <= m["/sys"]["options"]
    assert "ro" in m["/proc/sys"]["options"] and "ro" in m["/sys/fs/cgroup"]["options"]
    assert all(not mount["tags"] for mount in m.values()), "nothing propagates"


ATTRIBUTES = {
    "ro": ("ro", "rw"), "nosuid": ("nosuid", "suid"), "nodev": ("nodev", "dev"),
    "noexec": ("noexec", "exec"), "nosymfollow": ("nosymfollow", "symfollow"),
    "noatime": ("noatime", "atime"), "nodiratime": ("nodiratime", "diratime"),
    "relatime": ("relatime", "strictatime"),
}


@OLD
@pytest.mark.parametrize("kind", ["bind", "tmpfs"])
def test_flags(kernel, kind):
    """Each flag, and its opposite after it; the later one wins."""
    b = kernel.bundle()
    (b.path / "data").mkdir()
    for word, (on, off) in ATTRIBUTES.items():
        for name, options in ((word, [off, on]), (f"no-{word}", [on, off])):
            if kind == "bind":
                b.mount(f"/m/{name}", type="bind", source="data", options=["bind", *options])
            else:
                b.mount(f"/m/{name}", type="tmpfs", source="t", options=options)
    b.mount("/m/all", type="bind", source=str(b.path / "data"),
            options=["rbind", "ro", "nosuid", "nodev", "noexec", "noatime"])
    m = mounts_of(b.report())
    for word in ATTRIBUTES:
        assert word in m[f"/m/{word}"]["options"], word
        assert word not in m[f"/m/no-{word}"]["options"], word
    assert {"ro", "nosuid", "nodev", "noexec", "noatime"} <= m["/m/all"]["options"]


@OLD
def test_recursive_flags(kernel):
    """Of a bind and of what is mounted below it, with a name that mountinfo escapes."""
    b = kernel.bundle()
    (b.path / "data").mkdir()
    sub = b.path / "data/su b"
    in_mount_namespace(kernel, f"mount -t tmpfs -o nosuid t {b.path}/data\nmkdir '{sub}'\n"
                               f"mount -t tmpfs -o ro,noexec t '{sub}'")
    words = {"rro": "ro", "rnosuid": "nosuid", "rnodev": "nodev", "rnoexec": "noexec",
             "rnoatime": "noatime", "rnodiratime": "nodiratime", "rnosymfollow": "nosymfollow",
             "rrelatime": "relatime"}
    opposites = {"rrw": "ro", "rsuid": "nosuid", "rdev": "nodev", "rexec": "noexec",
                 "ratime": "noatime", "rdiratime": "nodiratime", "rsymfollow": "nosymfollow",
                 "rstrictatime": "relatime"}
    for word in [*words, *opposites]:
        b.mount(f"/m/{word}", type="bind", source=str(b.path / "data"), options=["rbind", word])
    b.mount("/m/top", type="bind", source=str(b.path / "data"), options=["rbind", "ro"])
    b.mount("/m/rnostrictatime", type="bind", source=str(b.path / "data"),
            options=["rbind", "rstrictatime", "rnostrictatime"])
    b.mount("/m/rnorelatime", type="bind", source=str(b.path / "data"),
            options=["rbind", "rrelatime", "rnorelatime"])
    m = mounts_of(b.report())
    for word, flag in words.items():
        assert flag in m[f"/m/{word}"]["options"], word
        assert flag in m[f"/m/{word}/su\\040b"]["options"], word
    for word, flag in opposites.items():
        assert flag not in m[f"/m/{word}"]["options"], word
        assert flag not in m[f"/m/{word}/su\\040b"]["options"], word
    assert {"ro", "nosuid"} <= m["/m/top"]["options"], "what is not named stays"
    assert "noexec" in m["/m/rro/su\\040b"]["options"]
    assert "noexec" not in m["/m/top"]["options"]
    assert "relatime" in m["/m/rnostrictatime"]["options"]


@OLD
@pytest.mark.parametrize("option, tag, below", [
    ("shared", "shared:", "shared:"), ("rshared", "shared:", "shared:"),
    ("slave", "master:", "shared:"), ("rslave", "master:", "master:"),
    ("private", None, "shared:"), ("rprivate", None, None),
    ("unbindable", "unbindable", "shared:"), ("runbindable", "unbindable", "unbindable")])
def test_propagation(kernel, option, tag, below):
    b = kernel.bundle()
    (b.path / "data").mkdir()
    in_mount_namespace(kernel, f"cd {b.path}\nmount -t tmpfs t data\nmkdir data/sub\n"
                               "mount -t tmpfs t data/sub\nmount --make-rshared data")
    b.mount("/data", type="bind", source="data", options=["rbind", option])
    m = mounts_of(b.report())
    for place, want in (("/data", tag), ("/data/sub", below)):
        tags = m[place]["tags"]
        assert [t for t in tags if want and t.startswith(want)] or (want is None and tags == [])


@OLD
@pytest.mark.parametrize("want, tag", [("private", None), ("slave", "master:"),
                                       ("shared", "shared:"), ("unbindable", "unbindable"),
                                       ("rslave", "master:"), (None, "master:")])
def test_rootfs_propagation(kernel, want, tag):
    b = kernel.bundle()
    in_mount_namespace(kernel, f"mount --bind {b.rootfs} {b.rootfs}\n"
                               f"mount --make-shared {b.rootfs}")
    if want:
        b.linux["rootfsPropagation"] = want
    tags = mounts_of(b.report())["/"]["tags"]
    assert [t for t in tags if tag and t.startswith(tag)] or (tag is None and tags == [])


def test_unknown_rootfs_propagation(bundle):
    bundle.linux["rootfsPropagation"] = "wild"
    bundle.run().failed("linux.rootfsPropagation", 1)


@OLD
def test_data_of_the_file_system(kernel):
    """What is no flag of a mount goes to the file system, and so do its own words."""
    b = kernel.bundle()
    b.mount("/t", type="tmpfs", source="tmpfs",
            options=["defaults", "async", "loud", "silent", "size=64k", "mode=700", "uid=5",
                     "gid=6", "nr_inodes=99", "lazytime", "dirsync", "sync"])
    m = mounts_of(b.report())["/t"]
    assert {"size=64k", "mode=700", "uid=5", "gid=6", "nr_inodes=99"} <= set(m["super"])
    assert {"sync", "dirsync", "lazytime"} <= set(m["super"])


def test_opposites_of_data(bundle):
    bundle.mount("/t", type="tmpfs", source="t",
                 options=["remount", "nolazytime", "nomand", "noiversion", "norelatime",
                          "nostrictatime"])
    m = mounts_of(bundle.report())["/t"]
    assert "lazytime" not in m["super"] and "relatime" in m["options"]


def test_bad_data_says_which(bundle):
    bundle.mount("/t", type="tmpfs", source="t", options=["nosuchoption=1"])
    bundle.run().failed("nosuchoption=1", 1).failed("mounts[7]")


def test_relative_source_and_file(bundle):
    """A source is relative to the bundle; a file is mounted on a file that is made."""
    (bundle.path / "file").write_text("x")
    bundle.mount("/new/place/file", type="none", source="file", options=["bind"])
    assert mounts_of(bundle.report())["/new/place/file"]["root"].endswith("/file")
    assert (bundle.rootfs / "new/place/file").is_file()


def test_missing_source(bundle):
    bundle.mount("/x", type="bind", source="nosuch", options=["bind"])
    bundle.run().failed("nosuch", 1).failed("mounts[7]")


def test_order(bundle):
    """In order: the second mount lies in the first."""
    (bundle.path / "data").mkdir()
    bundle.mount("/a", type="tmpfs", source="t", options=[])
    bundle.mount("/a/b", type="bind", source="data", options=["bind"])
    assert "/a/b" in mounts_of(bundle.report())


def test_image_link_is_followed_inside(bundle):
    (bundle.rootfs / "run").symlink_to("/var/run")
    bundle.mount("/run/lock", type="tmpfs", source="t", options=[])
    m = mounts_of(bundle.report())
    assert "/var/run/lock" in m


# -- id-mapped mounts ------------------------------------------------------------------------------


def idmapped(b, *options, maps=True, host=0):
    """A bind of a folder with a file of user 5 and a mount below with one of user 6."""
    b.process["args"] = ["/bin/probe", "owner", "/m/file", "/m/sub/file"]
    in_mount_namespace(b.machine, f"cd {b.path}\nmkdir data\nmount -t tmpfs t data\n"
                                  "mkdir data/sub\nmount -t tmpfs t data/sub\n"
                                  "echo > data/file; echo > data/sub/file\n"
                                  "chown 5:6 data/file data/sub/file")
    mount = {"type": "bind", "source": str(b.path / "data"), "options": ["rbind", *options]}
    if maps:
        mount["uidMappings"] = [{"containerID": 0, "hostID": 1000, "size": 100}]
        mount["gidMappings"] = [{"containerID": 0, "hostID": 2000, "size": 100}]
    b.mount("/m", **mount)
    done = b.run()
    if "may not support" in done.err:
        pytest.skip("this kernel does not id-map tmpfs")
    return done


@pytest.mark.parametrize("options, below", [([], "5:6"), (["idmap"], "5:6"),
                                            (["ridmap"], "1005:2006")])
def test_idmapped_mount(machine, options, below):
    done = idmapped(machine.bundle(), *options).ok()
    assert done.out.split() == ["1005:2006", below]


def test_idmap_without_maps(machine):
    idmapped(machine.bundle(), "idmap", maps=False).failed("\"idmap\" needs uidMappings", 1)


def test_idmapped_mount_with_one_map(bundle):
    bundle.mount("/m", type="bind", source=".", options=["bind"],
                 uidMappings=[{"containerID": 0, "hostID": 1000, "size": 100}])
    bundle.run().failed("gidMappings", 1)


@pytest.mark.parametrize("old", [True], ids=["5.10"])
def test_idmapped_mount_on_an_old_kernel(kernel):
    idmapped(kernel.bundle(), "idmap").failed("id-mapped mounts need Linux 5.12", 1)


def test_idmap_of_the_user_namespace(machine):
    """"idmap" alone takes the container's maps: what root owns outside is root's inside."""
    b = machine.bundle("owner", "/m/file")
    b.with_user_namespace()
    in_mount_namespace(machine, f"cd {b.path}\nmkdir data\nmount -t tmpfs t data\n"
                                "echo > data/file; chown 5:6 data/file")
    b.mount("/m", type="bind", source="data", options=["bind", "idmap"])
    done = b.run()
    if "may not support" in done.err:
        pytest.skip("this kernel does not id-map tmpfs")
    assert done.ok().out.split() == ["5:6"]


# -- the old kernel and the rest -------------------------------------------------------------------


@pytest.mark.parametrize("old", [True], ids=["5.10"])
def test_life_on_an_old_kernel(kernel):
    b = kernel.bundle("wait").up()
    assert b.exec("/bin/probe", "exit", "3").code == 3
    r = b.exec("/bin/probe", "report").ok().json
    assert sorted(r["fds"]) == ["0", "1", "2"], "CLOSE_RANGE_CLOEXEC is not there"
    b.kill("TERM").ok()
    b.wait_status("stopped")
    b.delete().ok()


@pytest.mark.parametrize("old", [True], ids=["5.10"])
def test_user_namespace_on_an_old_kernel(kernel):
    b = kernel.bundle()
    b.with_user_namespace()
    (b.path / "data").mkdir()
    b.mount("/data", type="bind", source="data", options=["rbind", "rro", "nosuid"])
    r = b.report()
    m = mounts_of(r)
    assert {"ro", "nosuid"} <= m["/data"]["options"] and "ro" in m["/proc/sys"]["options"]
    assert stat.S_ISCHR(r["dev"]["null"]["mode"]) and r["dev"]["null"]["rdev"] == "1:3"


@pytest.mark.parametrize("old", [True], ids=["5.10"])
def test_masks_on_an_old_kernel(kernel):
    b = kernel.bundle()
    (b.rootfs / "etc/secret").write_text("secret")
    b.linux["maskedPaths"] += ["/etc/secret", "/home"]
    b.linux["readonlyPaths"] += ["/tmp"]
    m = mounts_of(b.report())
    assert "ro" in m["/home"]["options"] and "ro" in m["/tmp"]["options"]
    assert m["/etc/secret"]["root"].endswith("null") and "ro" in m["/etc/secret"]["options"]
