# SPDX-License-Identifier: Apache-2.0
"""What a part found, and the readers of what test programs report.

A test's id is PART/PROGRAM::TEST. A skip is accepted only when tests/skips.txt lists it.
"""
import dataclasses
import json
import re
import xml.etree.ElementTree

SKIP_LINE = re.compile(r"(\S+)\s+(\S.*)")


@dataclasses.dataclass
class Result:
    """passed: a count; failed and skipped: [(id, text)]."""
    passed: int = 0
    failed: list = dataclasses.field(default_factory=list)
    skipped: list = dataclasses.field(default_factory=list)
    seconds: float = 0.0

    def add(self, other):
        self.passed += other.passed
        self.failed += other.failed
        self.skipped += other.skipped

    def to_json(self):
        return json.dumps(dataclasses.asdict(self))

    @staticmethod
    def from_json(text):
        fields = json.loads(text)
        for name in ("failed", "skipped"):
            fields[name] = [tuple(entry) for entry in fields[name]]
        return Result(**fields)


def check(result, name, problem):
    """Counts one test: problem is None or the text to print."""
    if problem is None:
        result.passed += 1
    else:
        result.failed.append((name, problem))


def read_skip_list(path):
    """[(regular expression of ids, reason)]; raises ValueError with the line that is wrong."""
    rules = []
    with open(path, encoding="utf-8") as lines:
        for number, line in enumerate(lines, 1):
            line = line.strip()
            if not line or line.startswith("#"):
                continue
            match = SKIP_LINE.fullmatch(line)
            if not match:
                raise ValueError(f"{path}:{number}: a pattern and a reason are wanted")
            pieces = [re.escape(piece).replace("_", "[_ ]") for piece in match[1].split("*")]
            pattern = ".*".join(pieces)
            rules.append((re.compile(pattern), match[2]))
    return rules


def refuse_unlisted_skips(result, rules):
    """Moves skips that no rule covers to the failures."""
    listed = []
    for test, reason in result.skipped:
        if any(pattern.fullmatch(test) for pattern, _ in rules):
            listed.append((test, reason))
        else:
            result.failed.append((test, f"skipped, and tests/skips.txt does not list it: {reason}"))
    result.skipped = listed


CMOCKA = re.compile(r"^\[ +(OK|FAILED|SKIPPED) +\] (\S+)$", re.M)
SKIP_REASON = re.compile(r"^SKIP: (.*)$", re.M)


def from_meson_log(path, part):
    """The tests of meson's testlog.json; a cmocka program counts each of its tests."""
    result = Result()
    with open(path, encoding="utf-8") as lines:
        for line in lines:
            _add_program(result, part, json.loads(line))
    return result


def _add_program(result, part, entry):
    name = f"{part}/{entry['name'].split(' / ')[-1]}"
    output = entry.get("stdout", "") + entry.get("stderr", "")
    found = {}
    for state, test in CMOCKA.findall(output):
        found[test] = state if found.get(test) != "FAILED" else "FAILED"
    states = list(found.values())
    reasons = SKIP_REASON.findall(output)
    skipped = [test for test, state in found.items() if state == "SKIPPED"]
    for number, test in enumerate(skipped):
        reason = reasons[number] if number < len(reasons) else "no reason is given"
        result.skipped.append((f"{name}::{test}", reason))
    result.passed += states.count("OK")
    failures = [f"{name}::{test}" for test, state in found.items() if state == "FAILED"]
    if entry["result"] in ("OK", "EXPECTEDFAIL"):
        result.passed += not states
        return
    if entry["result"] == "SKIP":
        result.skipped.append((name, output.strip() or "no reason is given"))
        return
    text = f"{entry['result']}, exit status {entry.get('returncode')}\n{output}"
    for test in failures or [name]:
        result.failed.append((test, text))
        text = "(the output is above)"


def from_ginkgo(path, part):
    """The specs of ginkgo's JSON report; those that the command line left out do not count."""
    result = Result()
    with open(path, encoding="utf-8") as file:
        [suite] = json.load(file)
    for spec in suite["SpecReports"]:
        name = f"{part}/" + " ".join([*(spec.get("ContainerHierarchyTexts") or []),
                                      spec["LeafNodeText"] or spec["LeafNodeType"]])
        failure = spec.get("Failure", {})
        message = failure.get("Message", "")
        if spec["State"] in ("skipped", "pending"):
            if message:
                result.skipped.append((name, message.splitlines()[0]))
        elif spec["State"] != "passed":
            output = spec.get("CapturedGinkgoWriterOutput", "")
            place = failure.get("Location", {})
            result.failed.append((name, f"{message}\n{place.get('FileName')}:"
                                  f"{place.get('LineNumber')}\n{output}"))
        elif spec["LeafNodeType"] == "It":
            result.passed += 1
    return result


def from_junit(path, part):
    """The tests of pytest's JUnit file."""
    result = Result()
    for case in xml.etree.ElementTree.parse(path).iter("testcase"):
        module = case.get("classname", "").replace(".", "/")
        name = f"{part}/{module.split('/')[-1]}::{case.get('name')}"
        bad = [child for child in case if child.tag in ("failure", "error")]
        skip = case.find("skipped")
        if bad:
            captured = [child.text for child in case
                        if child.tag in ("system-out", "system-err") and child.text]
            text = "\n".join([child.text or child.get("message", "") for child in bad] + captured)
            result.failed.append((name, text))
        elif skip is not None and skip.get("type") != "pytest.xfail":
            result.skipped.append((name, skip.get("message") or "no reason is given"))
        else:
            result.passed += 1
    return result
