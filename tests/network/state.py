# SPDX-License-Identifier: Apache-2.0
"""Prints all network state of the namespace it runs in, as JSON, with what is drawn at random
(names of pairs, hardware addresses, what follows from them) replaced by words.

    /usr/bin/python3 state.py"""
import json
import os
import re
import socket
import struct
import subprocess

NFT = {"table": 1, "chain": 4, "rule": 7}
NETLINK_ROUTE, RTM_GETQDISC, TCA_KIND, TCA_OPTIONS = 0, 38, 1, 2
NETLINK_NETFILTER, NFNL_SUBSYS_NFTABLES = 12, 10
NLMSG_ERROR, NLMSG_DONE, NLM_F_REQUEST, NLM_F_DUMP = 2, 3, 1, 0x300
# attributes that count or number things
TABLE_HANDLE, CHAIN_HANDLE, RULE_HANDLE, RULE_POSITION = 4, 2, 3, 6
EXPRESSIONS, EXPR_NAME, EXPR_DATA = 4, 1, 2
MAC = r"(?<![0-9a-f:])(?!00:00|ff:ff|01:80)[0-9a-f]{1,2}(:[0-9a-f]{1,2}){5}(?![0-9a-f:])"
TIMES = re.compile(r"timer|valid_life|preferred_life|tentative|^link_netnsid$|^link_index$")


def attributes(data):
    at = 0
    while at + 4 <= len(data):
        length, kind = struct.unpack_from("HH", data, at)
        yield kind & 0x3fff, data[at + 4:at + length]
        at += (length + 3) & ~3


def answers(protocol, message, head):
    """What follows the header of each message of a dump."""
    with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, protocol) as nl:
        nl.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 20)
        nl.send(struct.pack("IHHII", 16 + len(head), message, NLM_F_REQUEST | NLM_F_DUMP, 1, 0) +
                head)
        while True:
            data, at = nl.recv(1 << 20), 0
            while at + 16 <= len(data):
                length, kind = struct.unpack_from("IH", data, at)
                if kind == NLMSG_DONE:
                    return
                if kind == NLMSG_ERROR:
                    raise OSError(-struct.unpack_from("i", data, at + 16)[0], "netlink")
                yield data[at + 16:at + length]
                at += (length + 3) & ~3


def dump(message, family):
    for answer in answers(NETLINK_NETFILTER, NFNL_SUBSYS_NFTABLES << 8 | message,
                          struct.pack("BBH", family, 0, 0)):
        yield dict(attributes(answer[4:]))


def text(data):
    return data.rstrip(b"\0").decode()


def expression(data):
    parts = dict(attributes(data))
    name = text(parts[EXPR_NAME])
    return [name, "" if name == "counter" else parts.get(EXPR_DATA, b"").hex()]


def rules():
    """Byte by byte as the kernel keeps them; chains by name, rules in their order."""
    found = {}
    for family in (socket.AF_INET, socket.AF_INET6):
        for table in dump(NFT["table"], family):
            del table[TABLE_HANDLE]
            found[f"{family} {text(table[1])}"] = {k: v.hex() for k, v in table.items()}
        for chain in dump(NFT["chain"], family):
            del chain[CHAIN_HANDLE]
            found[f"{family} {text(chain[1])} {text(chain[3])}"] = {
                "chain": {k: v.hex() for k, v in chain.items()}, "rules": []}
        for rule in dump(NFT["rule"], family):
            found[f"{family} {text(rule[1])} {text(rule[2])}"]["rules"].append(
                [sorted(set(rule) - {RULE_HANDLE, RULE_POSITION})] +
                [expression(e) for _, e in attributes(rule[EXPRESSIONS])])
    return found


def qdiscs():
    found = []
    for answer in answers(NETLINK_ROUTE, RTM_GETQDISC, bytes(20)):
        parts = dict(attributes(answer[20:]))
        found.append([*struct.unpack_from("iII", answer, 4), text(parts[TCA_KIND]),
                      parts.get(TCA_OPTIONS, b"").hex()])
    return found


def filters():
    return {name: subprocess.run(["tc", "-d", "filter", "show", "dev", name, "parent", "ffff:"],
                                 stdout=subprocess.PIPE, text=True, check=True).stdout
            for _, name in socket.if_nameindex()}


def settings():
    found = {}
    for top in ("/proc/sys/net/core", "/proc/sys/net/ipv4", "/proc/sys/net/ipv6"):
        for folder, _, names in os.walk(top):
            for name in names:
                path = os.path.join(folder, name)
                try:
                    with open(path, encoding="ascii") as file:
                        found[path] = file.read()
                except OSError:  # stable_secret, unless it was set; what is to be written only
                    pass
    return found


def without_times(value):
    if isinstance(value, dict):
        return {k: without_times(v) for k, v in value.items() if not TIMES.search(k)}
    return [without_times(v) for v in value] if isinstance(value, list) else value


def listed(*command):
    output = subprocess.run(["ip", "-j", *command], stdout=subprocess.PIPE, check=True).stdout
    return without_times([entry for entry in json.loads(output or b"[]") if entry])


def normal(value):
    """The same words for the same things, in the order in which they first appear."""
    words = {}

    def word(kind):
        def replace(match):
            key = ":".join(f"{int(part, 16):02x}" for part in match[0].split(":")) \
                if kind == "MAC" else match[0]
            return words.setdefault(key, f"{kind}{sum(w.startswith(kind) for w in words.values())}")
        return replace
    plain = json.dumps(value)
    plain = re.sub(r"\bveth[0-9a-f]{8}\b", word("VETH"), plain)
    plain = re.sub(r"\bfe80:[0-9a-f:]+[0-9a-f]\b", word("LOCAL"), plain)
    plain = re.sub(MAC, word("MAC"), plain)
    return json.loads(plain)


def ordered(entries):
    return sorted(entries, key=lambda entry: json.dumps(entry, sort_keys=True))


def main():
    state = normal({
        "links": listed("-d", "link"),
        "addresses": listed("-d", "addr"),
        "routes": listed("-d", "route", "show", "table", "all") +
        listed("-6", "-d", "route", "show", "table", "all"),
        "rules": rules(),
        "settings": settings(),
        "qdiscs": qdiscs(),
        "filters": filters(),
    })
    state["routes"] = ordered(state["routes"])
    for link in state["addresses"]:
        link["addr_info"] = ordered(link.get("addr_info", []))
    print(json.dumps(state, sort_keys=True))


if __name__ == "__main__":
    main()
