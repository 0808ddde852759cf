# SPDX-License-Identifier: Apache-2.0
"""Rules on C text: which layer includes which, sizes, include guards, banned calls."""
import re

from tree import Finding, search

FUNCTION_LINES, SOURCE_LINES, HEADER_LINES, MAIN_LINES = 80, 900, 250, 80
USES = re.compile(r"^(\w+)_uses = \[(.*?)\]", re.S | re.M)
INCLUDE = re.compile(r'^\s*#\s*include\s+"([^"]+)"', re.M)
# "runtime/v1/..." is generated; src/runtime has no folder v1, and src/nri none v1alpha1
PROTO_FOLDERS = ("criu", "nri", "runtime", "tare", "ttrpc")


def allowed(tree):
    """{layer: layers that its meson.build lists}"""
    uses = {}
    for path in tree.files("meson.build", below="src/"):
        for name, body in USES.findall(tree.text(path)):
            uses[name] = set(re.findall(r"'(\w+)'", body))
    return uses


def layer_of_include(target):
    parts = target.split("/")
    if len(parts) >= 3 and parts[0] in PROTO_FOLDERS:
        return "proto"
    return parts[0] if len(parts) == 2 else None


def layers(tree):
    uses = allowed(tree)
    for path in tree.files(".c", ".h", below="src/"):
        own = path.split("/")[1]
        for match in INCLUDE.finditer(tree.text(path)):
            problem = include_problem(own, match[1], uses)
            if problem:
                line = tree.text(path).count("\n", 0, match.start(1)) + 1
                yield Finding(path, line, "layers", f'"{match[1]}": {problem}')


def include_problem(own, target, uses):
    """None, or why a file of layer own may not include target. cmd/ may use every contract."""
    layer = layer_of_include(target)
    if layer is None:
        return "an include is \"folder/file.h\""
    if target.endswith("-internal.h") and layer != own:
        return f"is for {layer}/ only"
    if layer == own or own == "cmd" or layer in uses.get(own, ()):
        return None
    return f"{own}_uses in src/{own}/meson.build does not list {layer}"


def functions(code):
    """(first line, last line) of each function body: braces alone in the first column."""
    start = None
    for number, line in enumerate(code.splitlines(), 1):
        if line.rstrip() == "{":
            start = number
        elif line.startswith("}"):
            if start is not None:
                yield start, number
            start = None


def sizes(tree):
    for path in tree.c_files():
        lines = len(tree.lines(path))
        limit = HEADER_LINES if path.endswith(".h") else SOURCE_LINES
        if path.startswith("src/cmd/"):
            limit = MAIN_LINES
        if path.startswith("tests/") and path.endswith(".h"):
            limit = SOURCE_LINES  # test headers hold code
        if lines > limit:
            yield Finding(path, lines, "sizes", f"{lines} lines, the limit is {limit}")
        for first, last in functions(tree.code(path)):
            if last - first - 1 > FUNCTION_LINES:
                yield Finding(path, first, "sizes", f"a function of {last - first - 1} lines,"
                              f" the limit is {FUNCTION_LINES}")


def guard_of(path):
    folder_and_name = path.split("/", 1)[1]
    return "TARE_" + re.sub(r"\W", "_", folder_and_name).upper()


def guards(tree):
    for path in tree.files(".h"):
        guard = guard_of(path)
        if not re.search(rf"^#ifndef {guard}\n#define {guard}$", tree.text(path), re.M):
            yield Finding(path, 1, "guards", f"the include guard {guard} is missing")


BANNED = re.compile(r"(?<![\w.>])(?:strcpy|strncpy|strcat|strncat|sprintf|vsprintf|strtok|"
                    r"strtok_r|gets|dup|system|popen|atoi|atol|atoll|alloca|tmpnam|mktemp|tempnam|"
                    r"rand|srand)\s*\(")
EXIT = re.compile(r"(?<![\w.>])exit\s*\(")


def banned(tree):
    yield from search(tree, tree.c_files(), BANNED, "banned", "{0}) is not used here", code=True)
    library = [path for path in tree.c_files() if not path.startswith(("src/cmd/", "tests/"))]
    yield from search(tree, library, EXIT, "banned", "only src/cmd ends the process", code=True)
