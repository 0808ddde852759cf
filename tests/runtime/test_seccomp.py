# SPDX-License-Identifier: Apache-2.0
"""linux.seccomp whole: every action, operator, flag, and architecture that the machine can run."""
import os
import platform

import pytest

X86 = pytest.mark.skipif(platform.machine() != "x86_64", reason="is about x86")
ALARM = {"x86_64": 37}.get(platform.machine())  # only x86 has the call
SIGSYS = 128 + 31
pytestmark = X86


def rule(action, *args, names=("alarm",), **more):
    return {"names": list(names), "action": action,
            **({"args": list(args)} if args else {}), **more}


def filtered(machine, *rules, call=("sys", ALARM), **more):
    b = machine.bundle(*map(str, call))
    b.linux["seccomp"] = {"defaultAction": "SCMP_ACT_ALLOW", "syscalls": list(rules), **more}
    return b.run()


@pytest.mark.parametrize("action, more, code", [
    ("SCMP_ACT_ERRNO", {}, 1), ("SCMP_ACT_ERRNO", {"errnoRet": 88}, 88),
    ("SCMP_ACT_ERRNO", {"errnoRet": 0}, 0),
    ("SCMP_ACT_KILL", {}, SIGSYS), ("SCMP_ACT_KILL_THREAD", {}, SIGSYS),
    ("SCMP_ACT_KILL_PROCESS", {}, SIGSYS), ("SCMP_ACT_TRAP", {}, SIGSYS),
    ("SCMP_ACT_TRACE", {}, 38),  # ENOSYS: nobody traces
    ("SCMP_ACT_TRACE", {"errnoRet": 5}, 38),
    ("SCMP_ACT_LOG", {}, 0), ("SCMP_ACT_ALLOW", {}, 0)])
def test_actions(machine, action, more, code):
    assert filtered(machine, rule(action, **more)).code == code


BIG = 0x1_0000_0005  # the upper half counts


@pytest.mark.parametrize("op, value, two, hits, misses", [
    ("NE", 5, None, [4, 6, BIG], [5]), ("LT", 5, None, [0, 4], [5, 6, BIG]),
    ("LE", 5, None, [4, 5], [6, BIG]), ("EQ", 5, None, [5], [4, BIG]),
    ("GE", 5, None, [5, 6, BIG], [4]), ("GT", 5, None, [6, BIG], [4, 5]),
    ("MASKED_EQ", 0xf0, 0x10, [0x10, 0x1f], [0x20, 0]),
    ("EQ", BIG, None, [BIG], [5])])
def test_operators(machine, op, value, two, hits, misses):
    arg = {"index": 1, "value": value, "op": f"SCMP_CMP_{op}"}
    if two is not None:
        arg["valueTwo"] = two
    made = rule("SCMP_ACT_ERRNO", arg, errnoRet=77)
    for number in hits:
        assert filtered(machine, made, call=("sys", ALARM, 0, number)).code == 77, number
    for number in misses:
        assert filtered(machine, made, call=("sys", ALARM, 0, number)).code == 0, number


def test_all_arguments_must_match_and_the_same_one_is_a_choice(machine):
    """Two arguments: both. One argument twice: either, as other runtimes read it."""
    both = rule("SCMP_ACT_ERRNO", {"index": 0, "value": 1, "op": "SCMP_CMP_EQ"},
                {"index": 5, "value": 2, "op": "SCMP_CMP_EQ"}, errnoRet=77)
    assert filtered(machine, both, call=("sys", ALARM, 1, 0, 0, 0, 0, 2)).code == 77
    assert filtered(machine, both, call=("sys", ALARM, 1, 0, 0, 0, 0, 3)).code == 0
    either = rule("SCMP_ACT_ERRNO", {"index": 0, "value": 1, "op": "SCMP_CMP_EQ"},
                  {"index": 0, "value": 2, "op": "SCMP_CMP_EQ"}, errnoRet=77)
    for number, code in ((1, 77), (2, 77), (3, 0)):
        assert filtered(machine, either, call=("sys", ALARM, number)).code == code


ALLOWED = ("execve execveat exit exit_group brk arch_prctl set_tid_address set_robust_list rseq "
           "mmap prlimit64 readlink readlinkat getrandom mprotect munmap write fstat newfstatat "
           "close "
           "openat open read futex rt_sigaction rt_sigprocmask uname prctl capset close_range "
           "fcntl seccomp sendto sendmsg").split()


@pytest.mark.parametrize("more, code", [({}, 1), ({"defaultErrnoRet": 66}, 66)])
def test_default_action(machine, more, code):
    b = machine.bundle("sys", str(ALARM))
    b.linux["seccomp"] = {"defaultAction": "SCMP_ACT_ERRNO", **more,
                          "syscalls": [rule("SCMP_ACT_ALLOW", names=ALLOWED)]}
    assert b.run().code == code


def test_unknown_call_is_ignored(machine):
    assert filtered(machine, rule("SCMP_ACT_ERRNO", names=["no_such_call"])).code == 0


@pytest.mark.parametrize("flags", [
    [], ["SECCOMP_FILTER_FLAG_LOG"], ["SECCOMP_FILTER_FLAG_TSYNC"],
    ["SECCOMP_FILTER_FLAG_SPEC_ALLOW", "SECCOMP_FILTER_FLAG_LOG"]])
def test_flags(machine, flags):
    assert filtered(machine, rule("SCMP_ACT_ERRNO", errnoRet=77), flags=flags).code == 77
    supported = machine.run("features").ok().json["linux"]["seccomp"]["supportedFlags"]
    assert set(flags) <= set(supported)


def test_unknown_flag(machine):
    filtered(machine, flags=["SECCOMP_FILTER_FLAG_X"]).failed("linux.seccomp.flags", 1)


@pytest.mark.parametrize("archs, code", [
    (["SCMP_ARCH_X86_64", "SCMP_ARCH_X86"], 77), (["SCMP_ARCH_X86"], 77),
    (["SCMP_ARCH_X86_64"], SIGSYS)])
def test_call_of_i386(machine, archs, code):
    """A rule holds for the architectures that are listed; a call of another one is the end."""
    if machine.bundle("sys32", "27").run().code != 0:
        pytest.skip("this kernel runs no programs of i386")
    assert filtered(machine, rule("SCMP_ACT_ERRNO", errnoRet=77), call=("sys32", 27),
                    architectures=archs).code == code


def test_call_of_x32(machine):
    call = ("sys", 0x40000000 + ALARM)
    archs = ["SCMP_ARCH_X86_64", "SCMP_ARCH_X32"]
    made = rule("SCMP_ACT_ERRNO", errnoRet=77)
    assert filtered(machine, made, call=call, architectures=archs).code == 77


@pytest.mark.parametrize("name", ["ARM", "AARCH64", "MIPSEL64", "PPC64LE", "S390X", "RISCV64"])
def test_foreign_architectures_do_no_harm(machine, name):
    """A profile is written for all machines."""
    made = rule("SCMP_ACT_ERRNO", errnoRet=77)
    archs = ["SCMP_ARCH_X86_64", f"SCMP_ARCH_{name}"]
    assert filtered(machine, made, architectures=archs).code == 77


@pytest.mark.parametrize("seccomp, text", [
    ({"defaultAction": "SCMP_ACT_X"}, "linux.seccomp.defaultAction"),
    ({}, "linux.seccomp.defaultAction"),
    ({"defaultAction": "SCMP_ACT_NOTIFY"}, "linux.seccomp.defaultAction"),
    ({"defaultAction": "SCMP_ACT_ALLOW", "architectures": ["SCMP_ARCH_Z80"]},
     "linux.seccomp.architectures"),
    ({"defaultAction": "SCMP_ACT_ALLOW", "listenerMetadata": "x"}, "set listenerPath"),
    ({"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [rule("SCMP_ACT_NOTIFY")]}, "listenerPath"),
    ({"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [
        rule("SCMP_ACT_ERRNO", {"index": 6, "value": 1, "op": "SCMP_CMP_EQ"})]}, "args[0].index"),
    ({"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [
        rule("SCMP_ACT_ERRNO", {"index": 0, "value": 1, "op": "SCMP_CMP_X"})]}, "args[0].op"),
])
def test_bad_profiles(bundle, seccomp, text):
    bundle.linux["seccomp"] = seccomp
    bundle.run().failed(text, 1)


def test_a_flag_for_listeners_without_one(machine):
    made = rule("SCMP_ACT_ERRNO", errnoRet=77)
    assert filtered(machine, made, flags=["SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV"]).code == 77
    release = [int(n) for n in os.uname().release.split(".")[:2]]
    supported = machine.run("features").ok().json["linux"]["seccomp"]["supportedFlags"]
    assert ("SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV" in supported) == (release >= [5, 19])
