# SPDX-License-Identifier: Apache-2.0
"""The rules: a table of name and function; each function yields findings.

    /usr/bin/python3 tests/lint/rules.py [RULE...]       prints them, one a line; status 1 when any
"""
import concurrent.futures
import os
import sys

sys.dont_write_bytecode = True

import rules_c
import rules_programs
import rules_text
from tree import Tree

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
RULES = {
    "layers": rules_c.layers,
    "sizes": rules_c.sizes,
    "guards": rules_c.guards,
    "banned": rules_c.banned,
    "static-symbols": rules_programs.static_symbols,
    "spdx": rules_text.spdx,
    "words": rules_text.words,
    "columns": rules_text.columns,
    "paths": rules_text.machine_paths,
    "hosts": rules_text.host_names,
    "links": rules_text.links,
    "blanks": rules_text.blanks,
    "format": rules_programs.clang_format,
    "cppcheck": rules_programs.cppcheck,
    "tidy": rules_programs.tidy,
    "shell": rules_programs.shell,
    "python": rules_programs.python,
}


def run(names, build, root=ROOT):
    """[(rule, [line of a finding])] of the rules named, all of them by default."""
    tree = Tree(root, build)
    chosen = [name for name in RULES if not names or name in names]

    def one(name):
        findings = sorted(RULES[name](tree))
        return name, [f"{f.path}:{f.line}: {f.rule}: {f.text}" for f in findings]

    with concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool:
        return list(pool.map(one, chosen))


def main():
    build = os.path.join(os.environ.get("TARE_BUILDS") or os.path.join(ROOT, "build"), "release")
    findings = [line for _, lines in run(sys.argv[1:], build) for line in lines]
    print("\n".join(findings), end="\n" if findings else "")
    return 1 if findings else 0


if __name__ == "__main__":
    sys.exit(main())
