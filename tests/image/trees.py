# SPDX-License-Identifier: Apache-2.0
"""What is in a folder, what the merged layers show, and what they should show.

Run as a program it prints the tree of a folder as JSON: for a mount in a namespace of its own."""

import copy
import hashlib
import json
import os
import stat
import subprocess
import sys

OVERLAY_MARKS = ("trusted.overlay.", "user.overlay.")


def describe(path, links):
    st = os.lstat(path)
    kind = stat.S_IFMT(st.st_mode)
    node = {
        "kind": kind,
        "mode": stat.S_IMODE(st.st_mode),
        "owner": [st.st_uid, st.st_gid],
        "mtime": st.st_mtime_ns,
    }
    if kind == stat.S_IFREG:
        with open(path, "rb") as file:
            node["content"] = hashlib.sha256(file.read()).hexdigest()
        node["size"] = st.st_size
    elif kind == stat.S_IFLNK:
        node["target"] = os.readlink(os.fsencode(path)).decode("utf-8", "surrogateescape")
        del node["mode"]
    elif kind in (stat.S_IFCHR, stat.S_IFBLK):
        node["device"] = [os.major(st.st_rdev), os.minor(st.st_rdev)]
    if kind != stat.S_IFDIR and st.st_nlink > 1:
        links.setdefault((st.st_dev, st.st_ino), []).append(node)
    if kind in (stat.S_IFREG, stat.S_IFDIR):
        names = [name for name in os.listxattr(path) if not name.startswith(OVERLAY_MARKS)]
        node["xattrs"] = {
            name: os.getxattr(path, name).hex() for name in names if name != "security.selinux"
        }
    return node


def read_tree(root):
    """{path: node}; hard links carry the paths they are equal to."""
    tree, links = {"": describe(root, {})}, {}
    for folder, folders, files in os.walk(root):
        for name in folders + files:
            path = os.path.join(folder, name)
            tree[os.path.relpath(path, root)] = describe(path, links)
    mark_links(tree, links.values())
    return tree


def mark_links(tree, groups):
    paths = {id(node): path for path, node in tree.items()}
    for group in groups:
        same = sorted(paths[id(node)] for node in group if id(node) in paths)
        for node in group:
            if len(same) > 1:
                node["same"] = same


def merged(roots):
    """The tree that overlayfs makes of layers, lowest first, in a mount namespace of its own."""
    base = os.path.commonpath([os.path.dirname(os.path.dirname(root)) for root in roots])
    target, empty = os.path.join(base, "merged"), os.path.join(base, "empty")
    for path in (target, empty):
        os.makedirs(path, exist_ok=True)
    lower = ":".join(os.path.relpath(root, base) for root in reversed(roots)) + ":empty"
    script = f"""mount -t overlay overlay -o 'lowerdir={lower}' merged &&
        exec /usr/bin/python3 -B '{os.path.abspath(__file__)}' merged"""
    done = subprocess.run(
        ["unshare", "-m", "--propagation", "private", "sh", "-c", script],
        cwd=base,
        check=True,
        stdout=subprocess.PIPE,
    )
    os.rmdir(target)
    os.rmdir(empty)
    return json.loads(done.stdout)


class Node(dict):
    """As describe() makes; hard links are one object under several paths."""


def make_node(entry, data):
    """From a tarfile.TarInfo."""
    kinds = {
        b"0": stat.S_IFREG,
        b"\0": stat.S_IFREG,
        b"5": stat.S_IFDIR,
        b"2": stat.S_IFLNK,
        b"6": stat.S_IFIFO,
        b"3": stat.S_IFCHR,
        b"4": stat.S_IFBLK,
        b"S": stat.S_IFREG,
    }
    node = Node(
        kind=kinds[entry.type],
        mode=entry.mode,
        owner=[entry.uid, entry.gid],
        mtime=int(float(entry.mtime) * 10**9),
    )
    if node["kind"] == stat.S_IFREG:
        node.update(content=hashlib.sha256(data).hexdigest(), size=len(data))
    elif node["kind"] == stat.S_IFLNK:
        node["target"] = entry.linkname
        del node["mode"]
    elif node["kind"] in (stat.S_IFCHR, stat.S_IFBLK):
        node["device"] = [entry.devmajor, entry.devminor]
    if node["kind"] in (stat.S_IFREG, stat.S_IFDIR):
        xattrs = {
            key[len("SCHILY.xattr.") :]: value
            for key, value in entry.pax_headers.items()
            if key.startswith("SCHILY.xattr.")
        }
        node["xattrs"] = {
            key: value.encode("utf-8", "surrogateescape").hex()
            for key, value in xattrs.items()
            if key == "security.capability"
            or key.startswith("user.")
            and not key.startswith("user.overlay.")
        }
    return node


def parents(path):
    """Of "a/b/c": "a", "a/b"."""
    parts = path.split("/")[:-1]
    return ["/".join(parts[:n]) for n in range(1, len(parts) + 1)]


def drop_below(tree, path):
    for other in [
        other for other in tree if other.startswith(path + "/") or (path == "" and other)
    ]:
        del tree[other]


def is_folder(node):
    return node is not None and node["kind"] == stat.S_IFDIR


ROOT = {"kind": stat.S_IFDIR, "mode": 0o755, "owner": [0, 0], "mtime": 0, "xattrs": {}}


def apply_layer(lower, archive):
    """The merged tree of lower and one layer: the image specification in a few plain steps."""
    upper, hidden, opaque = {}, set(), set()

    def make_parents(path):
        for parent in parents(path):
            if parent not in upper:
                below = lower.get(parent)
                upper[parent] = Node(copy.copy(below) if is_folder(below) else ROOT)
                upper[parent]["xattrs"] = {}

    for entry in archive:
        path = os.path.normpath(entry.name).lstrip("/")
        path = "" if path == "." else path
        folder, name = os.path.split(path)
        if name == ".wh..wh..opq":
            make_parents(path)
            opaque.add(folder)
        elif name.startswith(".wh..wh."):
            continue
        elif name.startswith(".wh."):
            hidden.add(os.path.join(folder, name[4:]))
        elif entry.islnk():
            target = os.path.normpath(entry.linkname).lstrip("/")
            make_parents(path)
            if target not in upper:
                make_parents(target)
                upper[target] = Node(copy.copy(lower[target]))
            drop_below(upper, path)
            upper[path] = upper[target]
        else:
            make_parents(path)
            data = archive.extractfile(entry).read() if entry.isreg() else b""
            if not entry.isdir():
                drop_below(upper, path)
                hidden.add(path)  # for good: a folder that comes later is a new one
            upper[path] = make_node(entry, data)
    return merge(lower, upper, hidden, opaque)


def merge(lower, upper, hidden, opaque):
    tree = dict(lower)
    for path in hidden:
        drop_below(tree, path)
        tree.pop(path, None)
    for path in opaque:
        drop_below(tree, path)
    for path, node in upper.items():
        if not is_folder(node) or not is_folder(tree.get(path, ROOT)):
            drop_below(tree, path)
        tree[path] = node
    if "" not in tree:
        tree[""] = Node(ROOT)
    return tree


def expected(archives):
    """What merged() must be for these archives (tarfile.TarFile), lowest first."""
    tree = {}
    for archive in archives:
        tree = apply_layer(tree, archive)
    groups = {}
    for node in tree.values():
        groups.setdefault(id(node), []).append(node)
    names = {}
    for path, node in tree.items():
        names.setdefault(id(node), []).append(path)
    plain = {path: dict(node) for path, node in tree.items()}
    for paths in names.values():
        for path in paths:
            if len(paths) > 1:
                plain[path]["same"] = sorted(paths)
    return plain


def difference(got, wanted):
    """Lines for a person; empty when equal."""
    lines = [f"missing: {path!r}" for path in sorted(wanted.keys() - got.keys())]
    lines += [f"surplus: {path!r}" for path in sorted(got.keys() - wanted.keys())]
    for path in sorted(got.keys() & wanted.keys()):
        if got[path] != wanted[path]:
            lines.append(f"{path!r}: {got[path]}\n    wanted: {wanted[path]}")
    return lines


if __name__ == "__main__":
    json.dump(read_tree(sys.argv[1]), sys.stdout)
