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


def _git(*arguments):
    return subprocess.run(["git", "-C", ROOT, *arguments], check=False, stdout=subprocess.PIPE,
                          stderr=subprocess.DEVNULL, text=True).stdout.strip()


def _commit():
    changed = _git("status", "--porcelain", "--", ".", ":!docs/results")
    return (_git("rev-parse", "--short", "HEAD") or "unknown") + (", changed" if changed else "")


def _known_results(path, but):
    """The rows of the file by part, and its lists without what is of the part `but`."""
    rows, lists, title = {}, {"Failed": [], "Skipped": []}, None
    try:
        with open(path, encoding="utf-8") as known:
            text = known.read().splitlines()
    except OSError:
        text = []
    for line in text:
        if line.startswith("## "):
            title = line[3:]
        elif line.startswith("| ") and not line.startswith("| part "):
            rows[line.split(" | ")[0].removeprefix("| ")] = line
        elif line.startswith(f"* `{but}/"):
            continue
        elif line.startswith("* ") and title in lists:
            lists[title].append(line)
    return rows, lists


def write_results(entry, result, order):
    """docs/results/check.md: each part's last run by ./check full. order: the parts' names."""
    path = os.path.join(ROOT, "docs", "results", "check.md")
    rows, lists = _known_results(path, entry.name)
    rows[entry.name] = (f"| {entry.name} | {result.passed} | {len(result.failed)}"
                        f" | {len(result.skipped)} | {result.seconds:.0f}"
                        f" | {time.strftime('%Y-%m-%d', time.gmtime())}"
                        f" | {_commit()} |")
    lists["Failed"] += [f"* `{test}`" for test, _ in result.failed]
    lists["Skipped"] += [f"* `{test}`: {text}" for test, text in result.skipped]
    lines = ["# `./check full`, each part's last run", "",
             f"Linux {platform.release()}, {platform.machine()}, {os.cpu_count()} processors.", "",
             "| part | passed | failed | skipped | seconds | on | commit |",
             "|---|---|---|---|---|---|---|"]
    lines += [rows[name] for name in order if name in rows]
    for title, entries in lists.items():
        if entries:
            lines += ["", f"## {title}", "", *sorted(entries)]
    os.makedirs(os.path.dirname(path), exist_ok=True)
    with open(path, "w", encoding="utf-8") as out:
        out.write("\n".join(lines) + "\n")
