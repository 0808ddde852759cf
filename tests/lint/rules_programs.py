# SPDX-License-Identifier: Apache-2.0
"""Rules that a program of Debian checks: nm, clang, cppcheck, shellcheck, pyflakes."""
import concurrent.futures
import os
import re
import subprocess

from tree import Finding

# Archives that the static programs link: what these names need cannot be linked statically.
STATIC_LAYERS = ("base", "sys", "oci", "runtime", "shim", "stream", "upgrade", "proto_shim_proto",
                 "proto_stream_proto")
NOT_STATIC = re.compile(r"^(?:getpw\w+|getgr(?!oups$)\w+|getaddrinfo|getnameinfo|gethostby\w+|"
                        r"getservby\w+|dlopen|dlsym|iconv|iconv_open|initgroups|wordexp)$")
GCC_LINE = re.compile(r"^(?P<path>[^\s:][^:]*):(?P<line>\d+)(?::\d+)?: (?P<text>.*)$")


def output_of(command, tree):
    """(exit status, standard output and error together)"""
    done = subprocess.run(command, cwd=tree.root, check=False, stdin=subprocess.DEVNULL, text=True,
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT, errors="replace")
    return done.returncode, done.stdout


def from_output(output, rule, keep=lambda text: True):
    for line in output.splitlines():
        match = GCC_LINE.match(line)
        if match and keep(match["text"]):
            yield Finding(match["path"], int(match["line"]), rule, match["text"])


def from_program(command, tree, rule, keep=lambda text: True):
    """The program's findings; a failure that names no line is one too."""
    status, output = output_of(command, tree)
    findings = list(from_output(output, rule, keep))
    if status != 0 and not findings:
        findings = [Finding(command[0], 0, rule, f"exit status {status}: {output.strip()[:2000]}")]
    return findings


def static_symbols(tree):
    for layer in STATIC_LAYERS:
        archive = archive_of(tree, layer)
        if not archive:
            yield Finding(f"lib{layer}.a", 0, "static-symbols", f"is not in {tree.build}")
            continue
        _, output = output_of(["nm", "--undefined-only", "-A", archive], tree)
        for line in output.splitlines():
            name = line.split()[-1]
            if NOT_STATIC.match(name):
                member = line.split(":")[1]
                yield Finding(f"src/{layer}", 0, "static-symbols",
                              f"{member} needs {name}, which static programs cannot have")


def archive_of(tree, layer):
    for folder, _, names in os.walk(tree.build or "."):
        if f"lib{layer}.a" in names:
            return os.path.join(folder, f"lib{layer}.a")
    return None


def clang_format(tree):
    command = ["clang-format", "--dry-run", "-Werror", *tree.c_files()]
    return from_program(command, tree, "format", lambda text: text.startswith("error:"))


CPPCHECK = ["cppcheck", "--quiet", "--std=c11", "--enable=warning,performance",
            "--inline-suppr", "--template={file}:{line}: {id}: {message}", "--error-exitcode=1",
            "--library=posix", "--library=gnu", "--max-configs=2", "-D_GNU_SOURCE",
            "-DTARE_VERSION=\"0\"", "-D__x86_64__", "-Isrc"]
# It does not know the cleanup attribute: what it says of leaks and of lifetimes is off.
CPPCHECK_OFF = ("resourceLeak", "memleak", "internalAstError", "uninitvar", "autoVariables",
                "returnDanglingLifetime", "invalidFunctionArg", "invalidFunctionArgBool",
                "nullPointer", "unmatchedSuppression")


def cppcheck(tree):
    command = [*CPPCHECK, f"-j{os.cpu_count()}", *[f"--suppress={name}" for name in CPPCHECK_OFF],
               *tree.files(".c", below="src/")]
    return from_program(command, tree, "cppcheck")


TIDY = ("bugprone-*", "misc-redundant-expression", "misc-misplaced-const",
        "readability-misleading-indentation")
TIDY_OFF = (
    # matters of taste, or what the house style wants
    "bugprone-easily-swappable-parameters", "bugprone-reserved-identifier",
    "bugprone-assignment-in-if-condition", "bugprone-macro-parentheses",
    # arrays of pointers, C strings without their end, ints: all of them meant
    "bugprone-sizeof-expression", "bugprone-not-null-terminated-result",
    "bugprone-narrowing-conversions", "bugprone-implicit-widening-of-multiplication-result",
)


def tidy(tree):
    """clang-tidy with what the release build compiles, in as many processes as there are cores."""
    checks = ",".join(["-*", *TIDY, *(f"-{name}" for name in TIDY_OFF)])
    command = ["clang-tidy", "-p", tree.build or ".", "--quiet", f"--checks={checks}",
               "--extra-arg=-Wno-unknown-warning-option"]
    sources = tree.files(".c", below="src/")
    if not os.path.exists(os.path.join(tree.build or ".", "compile_commands.json")):
        return [Finding("compile_commands.json", 0, "tidy", f"is not in {tree.build}")]
    chunks = [sources[start::os.cpu_count()] for start in range(os.cpu_count())]
    with concurrent.futures.ThreadPoolExecutor(len(chunks)) as pool:
        outputs = pool.map(lambda files: output_of(command + files, tree), chunks)
        findings = {Finding(f.path[max(f.path.rfind("src/"), 0):], f.line, f.rule, f.text)
                    for status, output in outputs for f in from_output(output, "tidy", is_warning)}
    return findings


def is_warning(text):
    return text.startswith(("warning:", "error:"))


def shell(tree):
    return from_program(["shellcheck", "--format=gcc", *tree.shell_files()], tree, "shell")


def python(tree):
    for path in tree.python_files():
        try:
            compile(tree.text(path), path, "exec", dont_inherit=True)
        except SyntaxError as error:
            yield Finding(path, error.lineno or 1, "python", error.msg)
    command = ["/usr/bin/python3", "-B", "-m", "pyflakes", *tree.python_files()]
    for finding in from_program(command, tree, "python"):
        lines = tree.lines(finding.path) if finding.line else []
        if finding.line > len(lines) or "# noqa" not in lines[finding.line - 1]:
            yield finding
