/* SPDX-License-Identifier: Apache-2.0 */
/* tare-pause - init of a pod's PID namespace: reaps what comes to it, ends on SIGTERM or SIGINT.
 *
 * Runs in an empty read-only root, without descriptors, capabilities or user of its own, for as
 * long as the pod. Built without the C library (TARE_PAUSE_FREESTANDING), so that it is one page of
 * code; sanitizer builds use the library.
 *
 * All signals are blocked and fetched: an init has no default actions, and a blocked signal is kept
 * for it also where an ignored one would be dropped. */
#include <linux/prctl.h>
#include <linux/signal.h>
#include <linux/wait.h>
#include <stdint.h>
#include <sys/syscall.h>

#if defined(__x86_64__)
static long call(long n, long a, long b, long c, long d)
{
        register long r10 __asm__("r10") = d;
        long ret;

        __asm__ volatile("syscall"
                         : "=a"(ret)
                         : "a"(n), "D"(a), "S"(b), "d"(c), "r"(r10)
                         : "rcx", "r11", "memory");
        return ret;
}
#elif defined(__aarch64__)
static long call(long n, long a, long b, long c, long d)
{
        register long x8 __asm__("x8") = n;
        register long x0 __asm__("x0") = a;
        register long x1 __asm__("x1") = b;
        register long x2 __asm__("x2") = c;
        register long x3 __asm__("x3") = d;

        __asm__ volatile("svc 0" : "+r"(x0) : "r"(x8), "r"(x1), "r"(x2), "r"(x3) : "memory");
        return x0;
}
#else
#error "tare-pause knows x86-64 and arm64"
#endif

static void run(void)
{
        uint64_t all = ~UINT64_C(0);

        (void)call(SYS_rt_sigprocmask, SIG_SETMASK, (long)&all, 0, sizeof(all));
        (void)call(SYS_prctl, PR_SET_NAME, (long)"tare-pause", 0, 0);
        for (;;) {
                long signo = call(SYS_rt_sigtimedwait, (long)&all, 0, 0, sizeof(all));
                if (signo == SIGTERM || signo == SIGINT)
                        (void)call(SYS_exit_group, 0, 0, 0, 0);
                while (call(SYS_wait4, -1, 0, WNOHANG | __WALL, 0) > 0)
                        ;
        }
}

/* Nothing here needs the stack aligned as a called function finds it. */
_Noreturn void _start(void);
__attribute__((used)) _Noreturn void _start(void)
{
        run();
        __builtin_unreachable();
}
