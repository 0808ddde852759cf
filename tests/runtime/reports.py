# SPDX-License-Identifier: Apache-2.0
"""What the probe's report says, made easy to ask."""


def mounts_of(report):
    """The mounts by their place; of several on one place the last."""
    found = {}
    for line in report["mountinfo"].splitlines():
        left, _, right = line.partition(" - ")
        fields, kind = left.split(), right.split()
        found[fields[4]] = {"options": set(fields[5].split(",")), "tags": fields[6:],
                            "type": kind[0], "super": kind[2].split(","), "root": fields[3]}
    return found
