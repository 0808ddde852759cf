# SPDX-License-Identifier: Apache-2.0
"""Rules on the text of any file. Words looked for are put together so that this file has none."""
import os
import re

from tree import Finding, search

SPDX = "SPDX-License-Identifier: Apache-2.0"
COLUMNS = 100
TEXT = re.compile(r'"(?:\\.|[^"\\])*"')
# Recorded documents and what a fuzzer is fed are as they came.
DATA = re.compile(r"/(?:corpus|golden|data|results)/|\.(?:json|sum|tsv|svg|pb)$")
WORDS = re.compile(r"\b(?:" + "|".join(("TO" "DO", "FIX" "ME", "X" "XX", "(?i:st" "ub)")) + r")\b")
MACHINE = re.compile(r"(?<![\w.%}*/-])/(?:wo" r"rk/(?:main|shared|\.library)|"
                     r"ro" r"ot/(?:\.\w|go\b))")
HOSTS = re.compile("|".join(re.escape(".".join(parts)) for parts in (
    ("proxy", "golang", "org"), ("sum", "golang", "org"), ("deb", "debian", "org"),
    ("security", "debian", "org"), ("ftp", "debian", "org"), ("snapshot", "debian", "org"),
    ("pypi", "org"), ("pythonhosted", "org"), ("npmjs", "org"), ("npmjs", "com"), ("crates", "io"),
    ("repo1", "maven", "org"), ("maven", "apache", "org"))))
LINK = re.compile(r"(?<!!)\[[^\]]*\]\(([^)\s]+)(?:\s+\"[^\"]*\")?\)|!\[[^\]]*\]\(([^)\s]+)\)")
REMOTE = re.compile(r"[a-z][a-z0-9+.-]*:|#")


def plain(tree):
    return [path for path in tree.paths if tree.text(path) is not None and not DATA.search(path)]


def spdx(tree):
    marked = set(tree.c_files()) | set(tree.python_files()) | set(tree.shell_files())
    marked |= set(tree.files(".go", ".proto", below=""))
    for path in sorted(marked):
        first = tree.lines(path)[:2]
        if first and first[0].startswith("#!"):
            first = first[1:]
        if not first or SPDX not in first[0]:
            yield Finding(path, 1, "spdx", f"the first line says {SPDX}")


def words(tree):
    # the library that NRI's plugins are made of has one of the words for its name
    paths = [path for path in plain(tree) if not re.search("/nri-(old-)?plugin/", path)]
    yield from search(tree, paths, WORDS, "words", "{0}: an issue says what is to be done")


def kept_as_it_is(tree, path):
    """Lines of C that clang-format leaves: a text that is not to be broken, and what is marked."""
    kept, off = set(), False
    if path.endswith((".c", ".h")):
        for number, line in enumerate(tree.lines(path), 1):
            if "clang-format off" in line or "clang-format on" in line:
                off = "clang-format off" in line
            if off or len(TEXT.sub("", line).rstrip("\\ ")) <= COLUMNS:
                kept.add(number)
    return kept


def columns(tree):
    paths = set(tree.c_files()) | set(tree.python_files()) | set(tree.shell_files())
    paths |= set(tree.files("meson.build", below=""))
    for path in sorted(paths):
        kept = kept_as_it_is(tree, path)
        for number, line in enumerate(tree.lines(path), 1):
            if len(line) > COLUMNS and number not in kept:
                yield Finding(path, number, "columns",
                              f"{len(line)} columns, the limit is {COLUMNS}")


def machine_paths(tree):
    yield from search(tree, plain(tree), MACHINE, "paths", "{0}: a path of one machine")


def host_names(tree):
    texts = [path for path in tree.paths if tree.text(path) is not None]
    yield from search(tree, texts, HOSTS, "hosts",
                      "{0}: package registries are reached as the machine is set up, not by name")


def links(tree):
    for path in tree.files(".md", below=""):
        for number, line in enumerate(tree.lines(path), 1):
            for match in LINK.finditer(line):
                target = match[1] or match[2]
                if REMOTE.match(target):
                    continue
                file = os.path.normpath(os.path.join(os.path.dirname(path), target.split("#")[0]))
                if not os.path.exists(os.path.join(tree.root, file)):
                    yield Finding(path, number, "links", f"{target}: there is no such file")


def blanks(tree):
    """Blanks at the end of a line, no newline at the end of a file, tabs in C and Python."""
    code = set(tree.c_files()) | set(tree.python_files()) | set(tree.shell_files())
    code |= set(tree.files("meson.build", ".md", ".txt", below=""))
    for path in sorted(code):
        if DATA.search(path):
            continue
        for number, line in enumerate(tree.lines(path), 1):
            if line != line.rstrip():
                yield Finding(path, number, "blanks", "blanks at the end of the line")
            if "\t" in line and path.endswith((".c", ".h", ".py")):
                yield Finding(path, number, "blanks", "a tab")
        if tree.text(path) and not tree.text(path).endswith("\n"):
            yield Finding(path, len(tree.lines(path)), "blanks", "no newline at the end")
