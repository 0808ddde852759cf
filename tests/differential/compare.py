# SPDX-License-Identifier: Apache-2.0
"""Differences between tare and the others, and the file of those that have a reason.

An entry of justified.toml:

    [[difference]]
    variant = ["mount-*"]          patterns of shell, any of them
    field = ["mounts.*.super"]
    from = "crun"                  "runc", "crun", or "both": that it differs from each of them
    tare, other                    a pattern of the values, if the entry is for no others
    sometimes = true               for what depends on who is faster: it need not occur
    reason = "..."
"""
import dataclasses
import fnmatch
import tomllib

KEYS = {"variant", "field", "from", "tare", "other", "sometimes", "reason"}
NOTHING = "(nothing)"


@dataclasses.dataclass(frozen=True)
class Difference:
    variant: str
    field: str
    other: str  # the runtime
    tare: str
    theirs: str

    def __str__(self):
        return f"{self.field}: tare {self.tare}, {self.other} {self.theirs}"


@dataclasses.dataclass
class Justified:
    variant: list
    field: list
    runtimes: tuple
    tare: str
    other: str
    reason: str
    sometimes: bool = False
    used: set = dataclasses.field(default_factory=set)

    def covers(self, difference):
        fits = (difference.other in self.runtimes
                and any(fnmatch.fnmatchcase(difference.variant, p) for p in self.variant)
                and any(fnmatch.fnmatchcase(difference.field, p) for p in self.field)
                and fnmatch.fnmatchcase(difference.tare, self.tare)
                and fnmatch.fnmatchcase(difference.theirs, self.other))
        if fits:
            self.used.add(difference.other)
        return fits

    def __str__(self):
        return f"{self.variant} {self.field} from {'/'.join(self.runtimes)}: {self.reason}"


def read_justified(path):
    with open(path, "rb") as text:
        entries = tomllib.load(text)["difference"]
    found = []
    for entry in entries:
        assert set(entry) <= KEYS, f"{path}: {set(entry) - KEYS}"
        assert entry["from"] in ("runc", "crun", "both") and entry["reason"].strip(), entry
        runtimes = ("runc", "crun") if entry["from"] == "both" else (entry["from"],)
        found.append(Justified(entry["variant"], entry["field"], runtimes, entry.get("tare", "*"),
                               entry.get("other", "*"), entry["reason"],
                               entry.get("sometimes", False)))
    return found


def compared(fields):
    """Without what is only for whoever reads a failure."""
    return {key: value for key, value in fields.items() if not key.endswith("(stderr)")}


def differences(variant, found):
    """Of what the runtimes showed in one variant."""
    tare = compared(found["tare"])
    for other, fields in found.items():
        if other == "tare":
            continue
        theirs = compared(fields)
        if tare.get("reported") != theirs.get("reported"):  # one line instead of a hundred
            keys = ["reported"]
        else:
            keys = sorted(tare.keys() | theirs.keys())
        for key in keys:
            mine, his = tare.get(key, NOTHING), theirs.get(key, NOTHING)
            if mine != his:
                yield Difference(variant, key, other, str(mine), str(his))


def write(path, found):
    """All differences, for reading."""
    with open(path, "w", encoding="utf-8") as out:
        for variant, runs in found.items():
            rows = list(differences(variant, runs))
            if rows:
                out.write(f"{variant}\n" + "".join(f"    {row}\n" for row in rows))
                for name, fields in runs.items():
                    for key, value in fields.items():
                        if key.endswith("(stderr)") and value.strip():
                            out.write(f"        {name} {key} {value.strip()[:500]}\n")
