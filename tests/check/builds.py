# SPDX-License-Identifier: Apache-2.0
"""The builds that tests run against: a table, and one function."""
import json
import os
import shutil

from paths import ROOT, build
from run import run_command

SANITIZE = "-Db_sanitize=address,undefined"
# name: (compiler, options). Warnings are errors in release (gcc) and clang, which compile all there
# is; gcc's warnings with sanitizers on are not reliable.
BUILDS = {
    "release": ("gcc", ["-Dwerror=true"]),
    "asan": ("gcc", [SANITIZE, "-Dbuildtype=debugoptimized", "-Doptimization=1"]),
    "clang": ("clang", [SANITIZE, "-Dbuildtype=debugoptimized", "-Doptimization=1", "-Dwerror=true",
                        "-Db_lundef=false", "-Dfuzz=true", "-Dc_args=-fsanitize=fuzzer-no-link"]),
}


def _stamp(folder, recipe):
    """True when folder was set up with this recipe."""
    try:
        with open(os.path.join(folder, "check-recipe.json"), encoding="utf-8") as stamp:
            return json.load(stamp) == recipe
    except (OSError, ValueError):
        return False


def make(name):
    """Builds; None or the output of what failed."""
    compiler, options = BUILDS[name]
    folder = build(name)
    recipe = [compiler, options, ROOT]
    env = dict(os.environ, CC=compiler)
    # Tests and fuzzers are found by name when meson configures, so it always does.
    fresh = not (_stamp(folder, recipe) and os.path.exists(os.path.join(folder, "build.ninja")))
    if not fresh:
        fresh = run_command(["meson", "setup", "--reconfigure", folder, ROOT], env=env).status != 0
    if fresh:
        shutil.rmtree(folder, ignore_errors=True)
        done = run_command(["meson", "setup", *options, folder, ROOT], env=env)
        if done.status != 0:
            return done.output
        with open(os.path.join(folder, "check-recipe.json"), "w", encoding="utf-8") as stamp:
            json.dump(recipe, stamp)
    done = run_command(["ninja", "-C", folder, "-k", "0"], env=env)
    return None if done.status == 0 else _only_failures(done.output)


def _only_failures(output):
    """Ninja's output without its progress lines."""
    lines = [line for line in output.splitlines() if not line.startswith(("[", "ninja: Entering"))]
    return "\n".join(lines)
