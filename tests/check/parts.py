# SPDX-License-Identifier: Apache-2.0
"""The table of parts, and the function of each. A new part is a row.

A part whose folder is not there is not in the table. The budgets together are at most 40 minutes on
two cores, what a fresh machine has to fetch and build first aside; ./check full multiplies them by
FULL_FACTOR, or takes those of FULL.
"""
import concurrent.futures
import dataclasses
import fnmatch
import os
import sys
import time
from typing import Callable

import builds
import packages
from paths import BUILDS, ROOT, TESTS, build
from result import Result, check, from_ginkgo, from_junit, from_meson_log
from run import environment, run_command, run_logged

TOTAL_BUDGET = 40 * 60
SLOWNESS = float(os.environ.get("TARE_SLOW", "1"))  # of a machine that does other things as well
FULL_FACTOR = 4
# A minute of each fuzzer, races that are tried until they are lost, 100,000 sessions.
FULL = {"corpus": 1800, "attack": 600, "streams": 4 * 3600}
SOAK_MINUTES = 3
FUZZ_SECONDS, FUZZ_SECONDS_FULL = 5, 60
PYTHON = "/usr/bin/python3"
SANITIZERS = {
    "ASAN_OPTIONS": "abort_on_error=1:detect_leaks=1:detect_stack_use_after_return=1",
    "UBSAN_OPTIONS": "halt_on_error=1:abort_on_error=1:print_stacktrace=1",
}
SEED = os.environ.get("TARE_SEED") or str(time.time_ns() % 1000000)  # of all that draws
# Folders whose tests share nothing; elsewhere those of a file share what is slow to make.
APART = ("fault", "network", "streams")
# also run against the sanitizer build
BEHAVIOUR = ("wire", "stream", "runtime", "shim", "image", "registry", "network", "cri")


@dataclasses.dataclass
class Part:
    """folder: of tests/, when the part is there only with it; tests: it is an error to run none."""
    name: str
    budget: int
    builds: tuple
    run: Callable
    description: str
    folder: str = ""
    isolated: bool = True
    tests: bool = True


def run_install(context):
    """Debian packages, the Go compiler and what it builds."""
    result = Result()
    problem = packages.install()
    if problem:
        return Result(failed=[("install/packages", problem)])
    import tools  # needs what was just installed
    for name, problem in tools.prepare():
        if problem:
            result.failed.append((f"install/{name}", problem))
    sys.path.insert(0, os.path.join(TESTS, "vm"))
    import vm
    try:
        vm.prepare()
    except vm.Problem as problem:
        result.failed.append(("install/vm", str(problem)))
    return result


def run_build(context):
    result = Result()
    for name in builds.BUILDS:
        if not context.names or name in context.names:
            check(result, f"build/{name}", builds.make(name))
    return result


def run_lint(context):
    sys.path.insert(0, os.path.join(TESTS, "lint"))
    import rules
    result = Result()
    for rule, findings in rules.run(context.names, build("release")):
        check(result, f"lint/{rule}", "\n".join(findings) or None)
    return result


def meson_test(context, build_name, *selection):
    """meson's tests of a build; names choose among them (a pattern of shell)."""
    folder = build(build_name)
    env = environment(**SANITIZERS, MALLOC_PERTURB_=165)
    listed = run_command(["meson", "test", "-C", folder, "--list", *selection], env=env).output
    every = [line.split(" / ")[-1].strip() for line in listed.splitlines() if " / " in line]
    chosen = [name for name in every if any(fnmatch.fnmatch(name, f"*{n}*") for n in context.names)]
    if context.names and not chosen:
        return Result(failed=[(context.part.name, f"no test named {' '.join(context.names)}")])
    done = run_command(["meson", "test", "-C", folder, "--no-rebuild", "--num-processes",
                        str(os.cpu_count()), *selection, *chosen], env=env)
    log = os.path.join(folder, "meson-logs", "testlog.json")
    if not os.path.exists(log):
        return Result(failed=[(context.part.name, done.output)])
    result = from_meson_log(log, context.part.name)
    if done.status != 0 and not result.failed:
        result.failed.append((context.part.name, done.output))
    return result


def run_unit(context):
    return meson_test(context, "release", "--no-suite", "corpus")


def run_unit_asan(context):
    return meson_test(context, "asan", "--no-suite", "corpus")


def fuzz(name, seconds):
    """Lets libFuzzer search; None or what it found."""
    found = os.path.join(BUILDS, "found", name)
    os.makedirs(found, exist_ok=True)
    program = os.path.join(build("clang"), "tests", "fuzz", f"fuzz-{name}")
    done = run_command([program, f"-max_total_time={seconds}", "-timeout=10", "-rss_limit_mb=1024",
                        "-max_len=65536", f"-artifact_prefix={BUILDS}/found/crash-{name}-", found,
                        os.path.join(TESTS, "fuzz", "corpus", name)], env=environment(**SANITIZERS))
    if done.status == 0:
        return None
    return done.output + "\nAdd the file to tests/fuzz/corpus with the fix."


def run_corpus(context):
    result = meson_test(context, "asan", "--suite", "corpus")
    seconds = FUZZ_SECONDS_FULL if context.full else FUZZ_SECONDS
    folder = os.path.join(build("clang"), "tests", "fuzz")
    names = sorted(name[5:] for name in os.listdir(folder)
                   if name.startswith("fuzz-") and os.path.isfile(os.path.join(folder, name)))
    names = [n for n in names if not context.names or any(wanted in n for wanted in context.names)]
    with concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool:
        for name, problem in zip(names, pool.map(lambda n: fuzz(n, seconds), names)):
            check(result, f"corpus/fuzz-{name}", problem)
    return result


def run_toml(context):
    import tools
    result = Result()
    decoder = os.path.join(build("release"), "tests", "unit", "toml-test-decoder")
    done = run_command([tools.toml_test(), "test", "-toml", "1.0", "-color", "never", "-decoder",
                        decoder], env=environment())
    passed = tools.toml_test_passed(done.output)
    result.passed += passed
    if done.status != 0 or not passed:
        result.failed.append(("toml/toml-test", done.output))
    return result


def pytest(context, folder, build_name):
    """The tests of tests/FOLDER against a build; names are a -k expression."""
    report = os.path.join(context.folder, "junit.xml")
    if os.path.exists(report):
        os.unlink(report)
    import tools
    env = environment(**SANITIZERS, **tools.test_environment(), TARE_BUILD=build(build_name),
                      # what is sampled looks for leaks and races, not for errors of memory
                      TARE_FULL="1" if context.full and build_name == "release" else "",
                      TARE_SEED=SEED)
    command = [PYTHON, "-m", "pytest", "-v", "--no-header", "--tb=short", "-rN",
               "-p", "no:cacheprovider", "-o", "faulthandler_timeout=60",
               f"--basetemp={context.folder}/p", f"--junitxml={report}", "--rootdir", TESTS,
               "-n", str(os.cpu_count()), "--dist", "load" if folder in APART else "loadfile",
               os.path.join(TESTS, folder)]
    if context.names:
        command += ["-k", " or ".join(context.names)]
    done = run_logged(command, env=env, cwd=TESTS)
    if not os.path.exists(report):
        return Result(failed=[(f"{context.part.name}/{folder}", done.output)])
    result = from_junit(report, context.part.name)
    if done.status != 0 and not result.failed:
        result.failed.append((f"{context.part.name}/{folder}", done.output))
    return result


def run_pytest(context):
    return pytest(context, context.part.folder, "release")


def run_behaviour_asan(context):
    result = Result()
    names, context.names = context.names, []
    for folder in BEHAVIOUR:
        if has_tests(folder) and (not names or folder in names):
            result.add(pytest(context, folder, "asan"))
    return result


def run_critest(context):
    """A run of the suite; its specs are the tests. Names are regular expressions of specs."""
    import tools
    env = environment(**tools.test_environment(), TARE_BUILD=build("release"))
    log = os.path.join(context.folder, "critest.log")
    reports = {"critest": os.path.join(context.folder, "report.json"),
               "critest-websocket": os.path.join(context.folder, "report-websocket.json")}
    for path in (log, *reports.values()):
        if os.path.exists(path):
            os.unlink(path)
    done = run_logged([PYTHON, "-B", os.path.join(TESTS, "cri", "critest.py"), context.folder,
                       *context.names], env=env)
    result = Result()
    for name, report in reports.items():
        if os.path.exists(report):
            result.add(from_ginkgo(report, name))
    if done.status != 0 and not result.failed:
        text = run_command(["tail", "-n", "40", log]).output if os.path.exists(log) else ""
        result.failed.append(("critest", done.output + text))
    return result


def run_soak(context):
    """All verbs with faults for minutes; one test."""
    import tools
    env = environment(**tools.test_environment(), TARE_BUILD=build("release"))
    done = run_command([PYTHON, "-B", os.path.join(ROOT, "bench", "soak", "run"), "--seed", SEED,
                        "--minutes", str(SOAK_MINUTES * (FULL_FACTOR if context.full else 1))],
                       env=env)
    result = Result()
    check(result, "soak/soak", None if done.status == 0 else done.output)
    return result


def run_guest(context, vm, guest):
    name, folder = f"vm-{guest}", os.path.join(context.folder, guest)
    report = os.path.join(folder, "junit.xml")
    try:
        status = vm.run_tests(folder, build("release"), context.names, context.seconds_left(),
                              guest)
    except vm.Problem as problem:
        return Result(failed=[(f"{name}/boot", str(problem))])
    if not os.path.exists(report):
        return Result(failed=[(f"{name}/pytest", vm.console(folder))])
    result = from_junit(report, name)
    if status not in (0, vm.NO_TESTS if context.names else 0) and not result.failed:
        result.failed.append((f"{name}/pytest", vm.console(folder)))
    return result


def run_vm(context):
    """What needs systemd or cgroup v2: pytest in virtual machines, once in each."""
    sys.path.insert(0, os.path.join(TESTS, "vm"))
    import vm
    result = Result()
    with concurrent.futures.ThreadPoolExecutor(len(vm.GUESTS)) as pool:
        for one in pool.map(lambda guest: run_guest(context, vm, guest), vm.GUESTS):
            result.add(one)
    return result


def run_check(context):
    result = pytest(context, "check", "release")
    result.add(pytest(context, "lint", "release"))
    return result


def with_needs(selection):
    """[(part, names)]: install, and the builds that are needed, go before the parts."""
    needs = {"install": [], "build": sorted({b for part, _ in selection for b in part.builds})}
    rest = [(part, names) for part, names in selection if part.name not in needs]
    asked = {part.name: names for part, names in selection if part.name in needs}
    if "build" in asked:  # no name: all of them
        needs["build"] = asked["build"] and sorted({*asked["build"], *needs["build"]})
    elif not needs["build"]:
        del needs["build"]
    return [(named(name), names) for name, names in needs.items()] + rest


def budget_of(part, full):
    """Seconds on this machine."""
    usual = FULL.get(part.name, part.budget * FULL_FACTOR) if full else part.budget
    return round(usual * SLOWNESS)


def total(rows):
    """Seconds of all but the installation, which is for the first run on a machine."""
    return sum(part.budget for part in rows if part.name != "install")


def has_tests(folder):
    path = os.path.join(TESTS, folder)
    return os.path.isdir(path) and any(name.startswith("test_") for name in os.listdir(path))


def behaviour(name, budget, description):
    return Part(name, budget, ("release",), run_pytest, description, folder=name)


ALL = ("release", "asan", "clang")
TABLE = [
    #    name, seconds, builds, function, description
    Part("install", 900, (), run_install, "what the tests need: packages, programs in Go",
         isolated=False, tests=False),
    Part("build", 250, (), run_build, "gcc, gcc with sanitizers, clang; no warnings",
         isolated=False),
    Part("lint", 50, ("release",), run_lint, "layers, sizes, banned calls, format, links"),
    Part("check", 15, (), run_check, "this harness and the rules of lint", folder="check"),
    Part("unit", 12, ("release",), run_unit, "tests/unit"),
    Part("unit-asan", 24, ("asan",), run_unit_asan, "tests/unit with sanitizers and leak checks"),
    Part("corpus", 140, ("asan", "clang"), run_corpus, "fuzz corpora, then seconds of each fuzzer"),
    Part("toml", 5, ("release",), run_toml, "the public toml-test suite"),
    behaviour("wire", 12, "our gRPC server against grpc-go"),
    behaviour("runtime", 42, "the OCI runtime"),
    behaviour("validation", 28, "runtime-tools' validation programs"),
    behaviour("differential", 70, "the same bundles through tare-runtime, runc and crun"),
    behaviour("attack", 25, "the attacks of docs/attacks.md"),
    behaviour("shim", 50, "the pod supervisor by its protocol"),
    behaviour("image", 38, "the image worker"),
    behaviour("registry", 24, "the registry client"),
    behaviour("network", 50, "CNI"),
    behaviour("cri", 130, "the daemon as its clients see it"),
    behaviour("stream", 15, "the stream worker by itself"),
    behaviour("handlers", 42, "pods by runc, crun and gVisor"),
    behaviour("streams", 80, "exec, attach and port-forward, by clients of others"),
    Part("critest", 115, ("release",), run_critest, "the CRI conformance suite", folder="cri"),
    behaviour("kubelet", 145, "a kubelet, an API server and kubectl on top of it"),
    behaviour("dropin", 50, "the OCI runtime below podman, docker and containerd"),
    Part("vm", 300, ("release",), run_vm, "cgroup v2, hybrid, systemd: in virtual machines",
         folder="vm"),
    behaviour("e2e", 25, "a node from install to removal"),
    behaviour("fault", 50, "every write and call that can fail, failing"),
    Part("soak", 205, ("release",), run_soak, "all verbs with random faults, and what is left"),
    Part("behaviour-asan", 400, ("asan",), run_behaviour_asan, "the same with sanitizers"),
]


def table():
    rows = [part for part in TABLE if not part.folder or has_tests(part.folder)]
    assert total(rows) <= TOTAL_BUDGET, "the budgets exceed 40 minutes"
    return rows


def named(name):
    return next(part for part in TABLE if part.name == name)


assert os.path.isdir(ROOT)
