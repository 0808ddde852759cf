# SPDX-License-Identifier: Apache-2.0
"""docs/attacks.md names every attack that is tried here, and no other."""
import pathlib
import re

HERE = pathlib.Path(__file__).parent


def test_every_attack_has_a_row():
    table = (HERE.parents[1] / "docs/attacks.md").read_text(encoding="utf-8")
    rows = [line for line in table.splitlines() if line.startswith("| ")]
    named = set(re.findall(r"`([a-z_]+)`", " ".join(rows)))
    tried = {name for file in ("test_runtime.py", "test_node.py")
             for name in re.findall(r"^def test_(\w+)", (HERE / file).read_text(), re.M)}
    assert tried - named == set(), "without a row"
    assert {name for name in named if name not in tried} <= {"core_pattern", "release_agent",
                                                             "log_directory"}
