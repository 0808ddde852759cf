# SPDX-License-Identifier: Apache-2.0
"""What ./check prints: a line a part, the output of each test that fails; and docs/results."""
import os
import platform
import subprocess
import time

from paths import ROOT

TEXT_MAX = 20000  # characters of one failure; the middle goes


def shortened(text):
    text = text.strip("\n")
    if len(text) <= TEXT_MAX:
        return text
    half = TEXT_MAX // 2
    return f"{text[:half]}\n[... {len(text) - TEXT_MAX} characters ...]\n{text[-half:]}"


def counts(passed, failed, skipped):
    tail = f", {skipped} skipped" if skipped else ""
    return f"{passed} passed, {failed} failed{tail}"


def part(entry, result):
    for test, text in result.failed:
        print(f"--- FAILED {test}")
        print(shortened(text))
    if result.failed:
        print("---")
    print(f"{entry.name:<15} {counts(result.passed, len(result.failed), len(result.skipped))},"
          f" {result.seconds:.0f} s", flush=True)


def total(results):
    """Prints the last line; the exit status."""
    passed = sum(result.passed for _, result in results)
    failed = sum(len(result.failed) for _, result in results)
    skipped = sum(len(result.skipped) for _, result in results)
    if passed + failed == 0:
        failed = 1
        print("no test was run")
    print(counts(passed, failed, skipped), flush=True)
    return 1 if failed else 0


def write_results(results, seconds):
    """docs/results/check.md: the last run of ./check full."""
    git = subprocess.run(["git", "-C", ROOT, "describe", "--always", "--dirty"], check=False,
                         stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    lines = ["# The last run of `./check full`", "",
             f"{time.strftime('%Y-%m-%d', time.gmtime())},"
             f" commit {git.stdout.strip() or 'unknown'}, Linux {platform.release()}"
             f" {platform.machine()}, {os.cpu_count()} cores, {seconds:.0f} s.", "",
             "| part | passed | failed | skipped | seconds | budget |", "|---|---|---|---|---|---|"]
    for entry, result in results:
        lines.append(f"| {entry.name} | {result.passed} | {len(result.failed)} |"
                     f" {len(result.skipped)} | {result.seconds:.0f} | {entry.budget} |")
    for title, group in (("Failed", "failed"), ("Skipped", "skipped")):
        entries = [pair for _, result in results for pair in getattr(result, group)]
        if entries:
            lines += ["", f"## {title}", ""]
            lines += [f"* `{test}`" + (f": {text}" if group == "skipped" else "")
                      for test, text in entries]
    folder = os.path.join(ROOT, "docs", "results")
    os.makedirs(folder, exist_ok=True)
    with open(os.path.join(folder, "check.md"), "w", encoding="utf-8") as out:
        out.write("\n".join(lines) + "\n")
