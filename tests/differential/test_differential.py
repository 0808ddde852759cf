# SPDX-License-Identifier: Apache-2.0
"""The same bundle through tare-runtime, runc and crun: what a program in it sees is the same.

Each difference is mended, or has its reason in justified.toml; a reason that no difference needs
any more is a failure too."""
import compare
from variants import TABLE


def test_variant(variant, observed, justified):
    runs = observed[variant.name]
    left = [row for row in compare.differences(variant.name, runs)
            if not any([entry.covers(row) for entry in justified])]
    says = [f"{name} said: {fields['(stderr)'].strip()}" for name, fields in runs.items()
            if fields.get("(stderr)", "").strip()]
    assert not left, "\n".join([str(row) for row in left] + says)


def test_no_reason_is_stale(observed, others, justified):
    if len(observed) < len(TABLE):
        return  # some were chosen by name: nothing can be said
    there = {runtime.name for runtime in others}
    for variant, runs in observed.items():
        for row in compare.differences(variant, runs):
            for entry in justified:
                entry.covers(row)
    stale = [str(entry) for entry in justified
             if not entry.sometimes and (set(entry.runtimes) & there) - entry.used]
    assert not stale, "justified.toml: no longer a difference:\n" + "\n".join(stale)


def test_there_are_enough_variants():
    assert len(TABLE) >= 150


def test_tare_says_one_line_when_it_fails(variant, observed):
    """Whatever is wrong: one error, on one line."""
    fields = observed[variant.name]["tare"]
    text = fields.get("(stderr)", "")
    if fields.get("reported") is False and fields["exit"] == 1 and text:
        errors = [line for line in text.splitlines() if " WARN" not in line]
        assert len(errors) == 1 and "level=error" in errors[0], text
