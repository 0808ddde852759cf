# SPDX-License-Identifier: Apache-2.0
"""The files of the project, read once, and C text without its comments and strings."""
import collections
import functools
import os
import re
import subprocess

Finding = collections.namedtuple("Finding", "path line rule text")

TOKEN = re.compile(r'/\*.*?\*/|//[^\n]*|"(?:\\.|[^"\\\n])*"|\'(?:\\.|[^\'\\\n])*\'', re.S)


def blanked(match):
    """A comment or string as blanks, lines kept; quotes stay so that "" is still an argument."""
    text = match[0]
    if text[0] in "\"'":
        return text[0] + " " * (len(text) - 2) + text[0]
    return re.sub(r"[^\n]", " ", text)


def code_only(text):
    return TOKEN.sub(blanked, text)


class Tree:
    """Paths are relative to root, with "/"."""

    def __init__(self, root, build=None):
        self.root, self.build = root, build
        self.paths = self._list()

    def _list(self):
        """What git knows or would add; without git every file that is not hidden."""
        listed = subprocess.run(
            ["git", "-c", "safe.directory=*", "-C", self.root, "ls-files", "-z", "--cached",
             "--others", "--exclude-standard"],
            check=False, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
        if listed.returncode == 0:
            paths = [os.fsdecode(path) for path in listed.stdout.split(b"\0") if path]
        else:
            paths = [os.path.relpath(os.path.join(folder, name), self.root)
                     for folder, _, names in os.walk(self.root) for name in names]
        return sorted(path for path in set(paths) if os.path.isfile(os.path.join(self.root, path)))

    @functools.lru_cache(None)
    def text(self, path):
        with open(os.path.join(self.root, path), "rb") as file:
            data = file.read()
        return None if b"\0" in data else data.decode("utf-8", errors="replace")

    @functools.lru_cache(None)
    def code(self, path):
        return code_only(self.text(path))

    def lines(self, path):
        return (self.text(path) or "").splitlines()

    def files(self, *endings, below=("src/", "tests/")):
        return [path for path in self.paths if path.endswith(endings) and path.startswith(below)]

    def c_files(self):
        return self.files(".c", ".h")

    @functools.lru_cache(None)
    def scripts(self, interpreter):
        """Files whose first line runs interpreter (a regular expression)."""
        first = re.compile(rf"#!.*\b{interpreter}\b")
        return [path for path in self.paths if (self.lines(path) or [""])[0].startswith("#!")
                and first.match(self.lines(path)[0])]

    @functools.lru_cache(None)
    def python_files(self):
        return sorted(set(self.files(".py", below="")) | set(self.scripts("python3?")))

    @functools.lru_cache(None)
    def shell_files(self):
        return sorted(set(self.files(".sh", below="")) | set(self.scripts("(?:ba|da)?sh")))


def search(tree, paths, pattern, rule, text, code=False):
    """A finding for each line of paths where pattern (compiled) matches; text may have {0}."""
    for path in paths:
        content = tree.code(path) if code else tree.text(path)
        for number, line in enumerate((content or "").splitlines(), 1):
            for match in pattern.finditer(line):
                yield Finding(path, number, rule, text.format(match[0].strip()))
