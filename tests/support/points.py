# SPDX-License-Identifier: Apache-2.0
"""The fault points of tared and its helpers, read from the tables in src/: a step is a row."""

import glob
import os
import re

SRC = os.path.join(
    os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__)))), "src"
)
STEP = re.compile(r'\{\s*"([a-z-]+)",\s*\w+,\s*\w+,\s*\w+\s*\}')
TABLE = re.compile(r"static const OpStep (\w+)\[\] = \{(.*?)\n?\s*\{\}[,\s]*\};", re.S)
MACRO = re.compile(r"#define (\w+)[ \t]*\\\n((?:.*\\\n)*.*\n)")
VERB = re.compile(r'OpVerb \w+ =\s*\{\s*\.name = "(\w+)",\s*\.steps = (\w+)')
SHIM_POINT = re.compile(r'\{ POINT_PREFIX "([a-z-]+)", \w+ \}')
RUNTIME_STEP = re.compile(r'^\s*\{ "([a-z-]+)", \w+, (\w+), (\w+), [\w| ]+\},', re.M)


def read(*path):
    with open(os.path.join(SRC, *path), encoding="utf-8") as source:
        return source.read()


def verbs():
    """{verb: [step, ...]} of every table of src/engine."""
    found = {}
    for path in sorted(glob.glob(os.path.join(SRC, "engine", "*.c"))):
        text = read("engine", os.path.basename(path))
        macros = {
            name: STEP.findall(body.replace("\\\n", "\n")) for name, body in MACRO.findall(text)
        }
        tables = {}
        for name, body in TABLE.findall(text):
            used = [
                step
                for macro, steps in macros.items()
                if re.search(rf"\b{macro}\b", body)
                for step in steps
            ]
            tables[name] = used + STEP.findall(body)
        for verb, table in VERB.findall(text):
            found[verb] = tables[table]
    return found


def of_verb(verb):
    """Each step of a verb, before and after it."""
    return [f"{verb}.{step}{when}" for step in verbs()[verb] for when in ("", ".done")]


def runtime():
    """The steps of making a container, in the creator and in its init."""
    points = []
    for name, parent, init in RUNTIME_STEP.findall(read("runtime", "create.c")):
        points += [f"runtime.{name}"] if parent != "NULL" else []
        points += [f"runtime.init.{name}"] if init != "NULL" else []
    return points


def shim():
    """The steps of making a sandbox."""
    return [f"shim.sandbox.{name}" for name in SHIM_POINT.findall(read("shim", "sandbox.c"))]
