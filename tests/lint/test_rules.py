# SPDX-License-Identifier: Apache-2.0
"""Each rule finds what it is for, and leaves alone what is right."""
import os
import sys

import pytest

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import rules  # noqa: E402
from tree import code_only  # noqa: E402

HEAD = "/* SPDX-License-Identifier: Apache-2.0 */\n"
LONG = HEAD + "static void f(void)\n{\n" + "        g();\n" * 81 + "}\n"
MESON = "engine_uses = ['base', 'proto']\n"

# (rule, path, text, what the finding says, or None)
CASES = [
    ("layers", "src/engine/a.c", '#include "base/str.h"\n#include "tare/v1/tare.pb-c.h"\n', None),
    ("layers", "src/engine/a.c", '#include "shim/shim.h"\n', "does not list shim"),
    ("layers", "src/engine/a.c", '#include "str.h"\n', 'is "folder/file.h"'),
    ("layers", "src/engine/a.c", '#include "base/err-internal.h"\n', "is for base/ only"),
    ("layers", "src/cmd/a.c", '#include "shim/shim.h"\n', None),
    ("sizes", "src/base/a.c", LONG, "a function of 81 lines"),
    ("sizes", "src/base/a.c", LONG.replace("        g();\n", "", 1), None),
    ("sizes", "src/base/a.c", "\n" * 901, "901 lines"),
    ("sizes", "src/base/a.h", "\n" * 251, "251 lines"),
    ("sizes", "src/cmd/a.c", "\n" * 81, "81 lines"),
    ("guards", "src/base/io-unix.h", "#ifndef TARE_BASE_IO_UNIX_H\n#define TARE_BASE_IO_UNIX_H\n",
     None),
    ("guards", "src/base/io-unix.h", "#ifndef IO_H\n#define IO_H\n", "TARE_BASE_IO_UNIX_H"),
    ("banned", "src/base/a.c", "x = atoi (s);\n", "atoi"),
    ("banned", "src/base/a.c", "fd = dup(1);\n", "dup("),
    ("banned", "src/base/a.c",
     'fd = xdup(1); s = "strcpy(a, b)"; /* system(x) */ p->dup(1);\n', None),
    ("banned", "src/base/a.c", "exit(1);\n", "ends the process"),
    ("banned", "src/base/a.c", "_exit(1);\n", None),
    ("banned", "src/cmd/a.c", "exit(1);\n", None),
    ("spdx", "src/base/a.c", "int x;\n", "SPDX"),
    ("spdx", "tests/a.py", "#!/usr/bin/python3\n# SPDX-License-Identifier: Apache-2.0\n", None),
    ("words", "docs/a.md", "later: TO" "DO\n", "TO" "DO"),
    ("words", "src/base/a.c", 'mkdtemp("/tmp/XX' 'XXXX");\n', None),
    ("columns", "src/base/a.c", "x" * 101 + "\n", "101 columns"),
    ("columns", "src/base/a.c", 'char *s = "' + "x" * 101 + '";\n', None),
    ("columns", "src/base/a.c", "x" * 100 + "\n", None),
    ("paths", "docs/a.md", "see /wo" "rk/main/src\n", "a path of one machine"),
    ("paths", "docs/a.md", "the folder upper/work and /root/data\n", None),
    ("hosts", "docs/a.md", "from https://proxy.gol" "ang.org\n", "not by name"),
    ("links", "docs/a.md", "[x](b.md#part) [y](https://a.test/)\n", "b.md#part: there is no"),
    ("links", "docs/a.md", "[x](../docs/a.md#part)\n", None),
    ("blanks", "src/base/a.c", "int x; \n", "blanks at the end"),
    ("blanks", "src/base/a.c", "\tint x;\n", "a tab"),
    ("blanks", "src/base/a.c", "int x;", "no newline"),
    ("format", "src/base/a.c", "int  x;\n", "clang-formatted"),
    ("format", "src/base/a.c", "int x;\n", None),
    ("shell", "tests/a.sh", "#!/bin/sh\necho $1\n", "SC2086"),
    ("python", "tests/a.py", "import os\n", "imported but unused"),
    ("python", "tests/a.py", "import os  # noqa: F401\n", None),
    ("python", "tests/a.py", "def f(:\n", "invalid syntax"),
    ("tidy", "src/base/a.c", "int x;\n", "is not in"),
    ("static-symbols", "src/base/a.c", "int x;\n", "is not in"),
]


@pytest.mark.parametrize("rule,path,text,wanted", CASES)
def test_rule(tmp_path, rule, path, text, wanted):
    for name, content in (("src/engine/meson.build", MESON), (path, text)):
        file = tmp_path / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(content)
    [(_, findings)] = rules.run([rule], str(tmp_path / "build"), str(tmp_path))
    if wanted is None:
        assert findings == []
    else:
        assert findings and wanted in findings[0]


def test_every_rule_has_a_case():
    assert {case[0] for case in CASES} | {"cppcheck"} == set(rules.RULES)


def test_code_without_comments_keeps_lines():
    text = 'a; /* b\n c */ d("\\"e//", \'"\'); // f\ng;\n'
    assert code_only(text) == 'a;     \n      d("     ", \' \');     \ng;\n'
