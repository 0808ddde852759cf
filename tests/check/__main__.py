# SPDX-License-Identifier: Apache-2.0
"""./check [full] [PART [NAME...]]... - the test entry; docs/testing.md is its manual.

PART is one of the table in parts.py, NAME a test of the part before it. Each part runs in a process
of its own that supervise.py watches. The last line of the output is "N passed, N failed".
"""
import os
import signal
import sys
import time

sys.dont_write_bytecode = True
sys.path[:0] = [os.path.dirname(os.path.abspath(__file__)),
                os.path.dirname(os.path.dirname(os.path.abspath(__file__)))]

import parts  # noqa: E402
import report  # noqa: E402
import supervise  # noqa: E402
from result import Result  # noqa: E402


def usage(problem=None):
    out = sys.stderr if problem else sys.stdout
    if problem:
        print(f"check: {problem}\n", file=out)
    print("usage: ./check [full] [PART [NAME...]]...\n", file=out)
    for part in parts.table():
        print(f"  {part.name:<15} {part.budget:>4} s  {part.description}", file=out)
    sys.exit(2 if problem else 0)


def chosen(arguments, table):
    """[(part, names)] of the command line; all of the table when it names none."""
    by_name = {part.name: part for part in table}
    selection = []
    for word in arguments:
        if word in by_name:
            selection.append((by_name[word], []))
        elif word.startswith("-") or not selection:
            usage(f"there is no part named {word}")
        else:
            selection[-1][1].append(word)
    return selection or [(part, []) for part in table]


def run_part(part, names, full, broken):
    """The Result of a part; broken: builds that are not there."""
    missing = sorted(set(part.builds) & broken)
    if missing:
        return Result(failed=[(part.name, f"not run: the {missing[0]} build failed")])
    return supervise.run(part, names, full, parts.budget_of(part, full))


def broken_builds(part, result):
    """The builds that are not to be used after a part: all, when it ended without saying which."""
    failed = {test for test, _ in result.failed}
    if failed & {"install", "install/packages", "build"}:
        return set(parts.ALL)
    return {test.removeprefix("build/") for test in failed if part.name == "build"}


def main():
    arguments = sys.argv[1:]
    if any(word in ("-h", "--help") for word in arguments):
        usage()
    full = arguments[:1] == ["full"]
    selection = parts.with_needs(chosen(arguments[1:] if full else arguments, parts.table()))
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    supervise.become_subreaper()
    results, broken = [], set()
    for part, names in selection:
        began = time.monotonic()
        result = run_part(part, names, full, broken)
        result.seconds = time.monotonic() - began
        broken |= broken_builds(part, result)
        report.part(part, result)
        results.append((part, result))
        if full and not names:
            report.write_results(part, result, [row.name for row in parts.table()])
    sys.exit(report.total(results))


if __name__ == "__main__":
    try:
        main()
    except KeyboardInterrupt:
        sys.exit(130)
