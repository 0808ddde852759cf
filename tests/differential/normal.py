# SPDX-License-Identifier: Apache-2.0
"""What the probe reports, as {field: value} without what has to vary: ids, inodes, paths, pids."""
import os
import re

KINDS = ("cgroup", "ipc", "mnt", "net", "pid", "time", "user", "uts")
RLIMITS = ("CPU FSIZE DATA STACK CORE RSS NPROC NOFILE MEMLOCK AS LOCKS SIGPENDING MSGQUEUE NICE "
           "RTPRIO RTTIME").split()
PLAIN = ("hostname", "domainname", "cwd", "args", "uids", "gids", "groups", "caps", "rlimits",
         "fd_flags", "signals", "ctty", "termios", "securebits", "keepcaps", "subreaper",
         "pdeathsig", "timerslack", "thp_disable", "personality", "comm", "umask",
         "no_new_privs", "seccomp", "dumpable", "tty", "rows", "columns", "nice", "ioprio",
         "policy", "oom_score_adj", "uid_map", "gid_map", "setgroups", "coredump_filter", "timens",
         "mount_roots")
STATUS = ("Seccomp_filters", "Speculation_Store_Bypass", "SpeculationIndirectBranch",
          "Cpus_allowed_list", "Mems_allowed_list", "Groups", "untag_mask", "THP_enabled")


def words(text):
    """With single blanks; None stays."""
    return re.sub(r"\s+", " ", text).strip() if isinstance(text, str) else text


class Normal:
    """replace: [(text of this run, what stands for it)], longest first."""

    def __init__(self, replace, namespaces):
        self.replace = sorted(replace, key=lambda pair: -len(pair[0]))
        self.namespaces = namespaces  # {"net:[4026531833]": "host"}

    def text(self, value):
        if isinstance(value, str):
            for old, new in self.replace:
                value = value.replace(old, new)
            value = re.sub(r"\b(pipe|socket|anon_inode):\[?[0-9]+\]?", r"\1", value)
            return value
        if isinstance(value, list):
            return [self.text(one) for one in value]
        if isinstance(value, dict):
            return {self.text(key): self.text(one) for key, one in value.items()}
        return value

    def mounts(self, mountinfo):
        seen, paths, order = {}, {}, []
        lines = [line.split() for line in mountinfo.splitlines()]
        for fields in lines:
            paths[fields[0]] = fields[4]
        for fields in lines:
            dash = fields.index("-")
            point = self.text(fields[4])
            while point in seen:
                point += "+"  # another one on top
            seen[point] = {
                "root": self.text(fields[3]), "options": ",".join(sorted(fields[5].split(","))),
                "tags": " ".join(re.sub(r":[0-9]+", "", tag) for tag in fields[6:dash]),
                "type": fields[dash + 1], "source": self.text(fields[dash + 2]),
                "super": ",".join(sorted(fields[dash + 3].split(","))),
                "parent": self.text(paths.get(fields[1], "-")),
            }
            order.append(point)
        return seen

    def report(self, report):
        """Fields of nested dicts become a.b.c."""
        tree = {key: self.text(report.get(key)) for key in PLAIN}
        for key in ("timens", "uid_map", "gid_map", "setgroups", "oom_score_adj",
                    "coredump_filter"):
            tree[key] = words(tree[key])
        tree["rlimits"] = {RLIMITS[int(key)]: value for key, value in report["rlimits"].items()}
        tree["caps"] = {key: f"{value:x}" for key, value in report["caps"].items()}
        tree["env"] = {name: self.text(value) for name, _, value in
                       (each.partition("=") for each in report["env"])}
        tree["env"]["(names in order)"] = [each.partition("=")[0] for each in report["env"]]
        tree["fds"] = self.text(report["fds"])
        tree["namespaces"] = {kind: self.namespaces.get(name, "new") if name else ""
                              for kind, name in report["namespaces"].items()}
        tree["dev"] = self.text(report["dev"])
        # 0 is outside of the namespace; without one of its own, its numbers are the host's.
        in_own = tree["namespaces"]["pid"] == "new" and report["pid"] == 1
        for key in ("pid", "ppid", "sid", "pgid"):
            value = report[key]
            tree[key] = value if in_own or value == 0 else "itself" if value == report["pid"] \
                else "other"
        tree["mounts"] = self.mounts(report["mountinfo"] or "")
        tree["cgroup"] = sorted(re.sub(r"^[0-9]+:", "", self.text(line))
                                for line in (report["cgroup"] or "").splitlines())
        tree["net_dev"] = sorted(line.split(":")[0].strip() for line in
                                 (report["net_dev"] or "").splitlines()[2:])
        status = dict(line.partition(":")[::2] for line in (report["status"] or "").splitlines())
        tree["status"] = {key: words(status.get(key)) for key in STATUS}
        tree["keyring"] = self.text(report["keyring"])
        tree["numa"] = (report["numa_maps"] or "none").split()[1:2]
        tree["asked"] = {re.sub(r"\s", "", key): {k: words(self.text(v)) for k, v in value.items()}
                         if isinstance(value, dict) else value
                         for key, value in report["asked"].items()}
        return flat(tree)


def flat(tree, prefix=""):
    found = {}
    for key, value in tree.items():
        if isinstance(value, dict):
            found.update(flat(value, f"{prefix}{key}."))
        else:
            found[f"{prefix}{key}"] = value
    return found


def own_namespaces(pid="self", name="host"):
    found = {}
    for kind in KINDS:
        try:
            found[os.readlink(f"/proc/{pid}/ns/{kind}")] = name
        except OSError:
            pass
    return found
