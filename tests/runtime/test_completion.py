# SPDX-License-Identifier: Apache-2.0
"""Completions of bash, zsh and fish know every command and option that the help knows."""
import os
import pathlib
import re
import shutil
import subprocess

import pytest

FOLDER = pathlib.Path(__file__).parents[2] / "packaging" / "completions"

BASH = """
source "$1"
COMP_WORDS=("${@:2}")
COMP_CWORD=$((${#COMP_WORDS[@]} - 1))
_tare_runtime 2>/dev/null
printf '%s\\n' "${COMPREPLY[@]}"
"""
# compadd says what would be offered
ZSH = """
file=$1; shift
compadd() { [[ $1 == -- ]] && shift; print -l -- "$@" }
_files() { print -l -- /*(N) }
words=("$@"); CURRENT=$#words
source $file
"""


def bash(words):
    return ["bash", "-c", BASH, "bash", str(FOLDER / "tare-runtime"), *words]


def zsh(words):
    return ["zsh", "-f", "-c", ZSH, "zsh", str(FOLDER / "_tare-runtime"), *words]


def fish(words):
    return ["fish", "--no-config", "-c", f"source {FOLDER}/tare-runtime.fish; "
            f"complete -C '{' '.join(words)}'"]


@pytest.fixture(params=[bash, zsh, fish], ids=lambda f: f.__name__)
def complete(request, machine):
    if not shutil.which(request.param.__name__):
        pytest.skip(f"there is no {request.param.__name__}")
    env = dict(os.environ, HOME=str(machine.path), TERM="dumb",
               PATH=f"{machine.runtime.parent}:{os.environ['PATH']}")

    def run(*words):
        done = subprocess.run(request.param(["tare-runtime", *words]), env=env, check=False,
                              stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True,
                              timeout=30, cwd=machine.path)
        return {line.split("\t")[0] for line in done.stdout.splitlines() if line}
    return run


def test_commands(machine, complete):
    text = machine.run("--help").ok().out
    assert complete("") == set(re.findall(r"^  ([a-z]+) ", text, re.M))


def test_options(machine, complete):
    text = machine.run("--help").ok().out
    for command in [None, *re.findall(r"^  ([a-z]+) ", text, re.M)]:
        words = [command] if command else []
        wanted = set(re.findall(r"^  (?:-.,|   ) (--[a-z0-9-]+)",
                                machine.run(*words, "--help").ok().out, re.M))
        assert wanted and wanted <= complete(*words, "--"), command


def test_values(complete):
    assert {"table", "json"} <= complete("list", "--format", "")


def test_the_manual_has_every_option(machine):
    page = (FOLDER.parents[1] / "docs/man/tare-runtime.8").read_text().replace("\\-", "-")
    text = machine.run("--help").ok().out
    for command in [None, *re.findall(r"^  ([a-z]+) ", text, re.M)]:
        own = page
        if command:
            assert f"\n.SS {command}" in page, command
            own = re.split(r"\n\.S[SH] ", page.split(f"\n.SS {command}", 1)[1])[0]
        words = [command] if command else []
        for option in re.findall(r"^  (?:-.,|   ) (--[a-z0-9-]+)",
                                 machine.run(*words, "--help").ok().out, re.M):
            assert option == "--help" or re.search(rf"{option}(?![a-z0-9-])", own), option
