/* SPDX-License-Identifier: Apache-2.0 */
/* exe-last.c - see exe-last.h. One function in a section of its own. It must compile to code
 * without a call, a table or a constant outside of itself: so no switch, no string, no struct copy,
 * no C library, no stack protector, no sanitizer. tests/runtime run it at every start of a
 * container. */
#include "runtime/exe-last.h"

#include <asm/unistd.h>
#include <linux/seccomp.h>
#include <sys/socket.h>

#include "runtime/exe.h"

#if defined(__clang__)
#define PLAIN __attribute__((no_sanitize("all"), no_stack_protector))
#else
#define PLAIN                                                                                      \
        __attribute__((no_sanitize_address, no_sanitize_undefined, no_stack_protector,             \
                       optimize("no-tree-loop-distribute-patterns,no-stack-clash-protection")))
#endif

#if defined(__x86_64__)
__attribute__((always_inline)) static inline long call5(long nr, long a, long b, long c, long d,
                                                        long e)
{
        register long r10 __asm__("r10") = d;
        register long r8 __asm__("r8") = e;
        register long r9 __asm__("r9") = 0;
        long ret;

        __asm__ volatile("syscall"
                         : "=a"(ret)
                         : "a"(nr), "D"(a), "S"(b), "d"(c), "r"(r10), "r"(r8), "r"(r9)
                         : "rcx", "r11", "memory");
        return ret;
}
#elif defined(__aarch64__)
__attribute__((always_inline)) static inline long call5(long nr, long a, long b, long c, long d,
                                                        long e)
{
        register long x8 __asm__("x8") = nr;
        register long x0 __asm__("x0") = a;
        register long x1 __asm__("x1") = b;
        register long x2 __asm__("x2") = c;
        register long x3 __asm__("x3") = d;
        register long x4 __asm__("x4") = e;
        register long x5 __asm__("x5") = 0;

        __asm__ volatile("svc #0"
                         : "+r"(x0)
                         : "r"(x8), "r"(x1), "r"(x2), "r"(x3), "r"(x4), "r"(x5)
                         : "memory");
        return x0;
}
#else
#error "write the system call instruction of this machine"
#endif

__attribute__((always_inline)) static inline long install_filter(const ExeLast *l)
{
        return call5(__NR_seccomp, SECCOMP_SET_MODE_FILTER, (long)l->filter_flags,
                     (long)(uintptr_t)l->filter, 0, 0);
}

__attribute__((section("exe_last"), noinline, used, noreturn)) PLAIN static void last(ExeLast *l)
{
        int32_t stage = EXE_STAGE_LEAVE;
        long r = 0;

        for (size_t i = 0; i < l->n_ranges && r == 0; i++)
                r = call5(__NR_munmap, (long)l->ranges[i].start, (long)l->ranges[i].bytes, 0, 0, 0);
        if (r == 0 && l->n_ranges > 0)
                r = call5(__NR_prctl, PR_SET_MM, PR_SET_MM_MAP, (long)(uintptr_t)&l->layout,
                          sizeof(l->layout), 0);
        if (r == 0 && l->filter && l->filter_first) {
                stage = EXE_STAGE_FILTER;
                r = install_filter(l);
        }
        if (r == 0) {
                stage = EXE_STAGE_CAPS;
                r = call5(__NR_capset, (long)(uintptr_t)&l->cap_head, (long)(uintptr_t)l->caps, 0,
                          0, 0);
        }
        if (r == 0 && l->filter && !l->filter_first) {
                stage = EXE_STAGE_FILTER;
                r = install_filter(l);
        }
        if (r == 0) {
                stage = EXE_STAGE_EXEC;
                r = call5(__NR_execve, (long)(uintptr_t)l->path, (long)(uintptr_t)l->argv,
                          (long)(uintptr_t)l->envp, 0, 0);
        }
        *l->report_errno = (int32_t)-r;
        *l->report_stage = stage;
        call5(__NR_sendto, l->report_fd, (long)(uintptr_t)l->report, (long)l->report_bytes,
              MSG_NOSIGNAL, 0);
        for (;;)
                call5(__NR_exit_group, 1, 0, 0, 0, 0);
}

extern const char __start_exe_last[], __stop_exe_last[];

const void *exe_last_code(void)
{
        return __start_exe_last;
}

size_t exe_last_size(void)
{
        return (uintptr_t)__stop_exe_last - (uintptr_t)__start_exe_last;
}

_Noreturn void exe_last_here(ExeLast *l)
{
        last(l);
}
