# SPDX-License-Identifier: Apache-2.0
"""bench/runtime works: a short run of each case. How quick anything is, is not asked here."""
import os
import pathlib
import subprocess

from conftest import runtime_path

RUN = pathlib.Path(__file__).resolve().parents[2] / "bench/runtime/run"
ROWS = ("run true", "CPU time", "create", "exec true", "default seccomp profile", "bind mounts",
        "environment variables", "at the same time", "private memory", "peak resident memory",
        "smallest `memory.limit`")


def folders():
    return [p for place in ("/run", os.environ.get("TMPDIR", "/tmp"))
            for p in pathlib.Path(place).glob("tare-bench-*")]


def test_bench_runtime(tmp_path):
    build = runtime_path().parents[2]
    before = folders()
    # memory is asked for by ptrace, under which leaks cannot be looked for
    env = dict(os.environ, TARE_BUILD=build,
               ASAN_OPTIONS=f"{os.environ.get('ASAN_OPTIONS', '')}:detect_leaks=0")
    done = subprocess.run([RUN, "-n", "3", "--runtime", "crun=", "--runtime", "runc=", "--output",
                           tmp_path / "table.md"], env=env,
                          stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                          stderr=subprocess.PIPE, timeout=120, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    assert (tmp_path / "table.md").read_text() == done.stdout
    rows = [line for line in done.stdout.splitlines() if line.startswith("| ")][2:]
    assert len(rows) == len(ROWS), done.stdout
    for row, title in zip(rows, ROWS):
        cells = [cell.strip() for cell in row.strip("|").split("|")]
        assert title in cells[0], row
        assert all(cell != "–" for cell in cells[3:]), row  # the two floors cannot do all
    assert folders() == before
