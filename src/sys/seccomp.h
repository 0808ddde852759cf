/* SPDX-License-Identifier: Apache-2.0 */
/* seccomp.h - system call filters: compiled from a profile with libseccomp, kept, installed.
 *
 * Compiling the usual profile takes milliseconds, installing the bytes microseconds: compile once
 * (in whoever prepares the container), keep by seccomp_filter_cached(), install last thing before
 * exec. Words are those of the OCI runtime-spec ("SCMP_ACT_ERRNO"). */
#ifndef TARE_SYS_SECCOMP_H
#define TARE_SYS_SECCOMP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"

typedef struct SeccompArg {
        uint32_t index; /* 0 to 5 */
        const char *op; /* "SCMP_CMP_EQ" */
        uint64_t value;
        uint64_t value_two; /* MASKED_EQ: (argument & value) == value_two */
} SeccompArg;

typedef struct SeccompRule {
        char *const *names; /* NULL-terminated; those that libseccomp does not know do nothing */
        const char *action;
        bool has_errno; /* for ERRNO and TRACE; else EPERM */
        uint32_t errno_;
        const SeccompArg *args; /* all must hold; two for one argument: either */
        size_t n_args;
} SeccompRule;

/* Borrows everything. */
typedef struct SeccompProfile {
        const char *default_action;
        bool has_default_errno;
        uint32_t default_errno;
        char *const *architectures; /* "SCMP_ARCH_X86"; besides the machine's own */
        const SeccompRule *rules;
        size_t n_rules;
} SeccompProfile;

typedef struct SeccompFilter {
        void *bpf; /* struct sock_filter[]; owned */
        size_t n_bytes;
        bool notifies; /* some rule is SCMP_ACT_NOTIFY: install with a listener */
} SeccompFilter;

void seccomp_filter_done(SeccompFilter *f);

/* A system call newer than every one the profile names is answered ENOSYS, where the default would
 * refuse it: C libraries then fall back to an older one. */
int seccomp_filter_compile(const SeccompProfile *profile, SeccompFilter *ret, Err *err);
/* The same, from a file in the folder if an earlier call left one for exactly this profile. The
 * folder must be writable by root alone. A file that cannot be used or written only costs the time.
 */
int seccomp_filter_cached(int dir_fd, const SeccompProfile *profile, SeccompFilter *ret, Err *err);

/* seccomp(2). flags: SECCOMP_FILTER_FLAG_*. With ret_listener NEW_LISTENER is added, and it gets
 * the notification descriptor (close-on-exec). -errno. Needs no_new_privs or CAP_SYS_ADMIN. */
int seccomp_filter_install(const SeccompFilter *f, uint64_t flags, int *ret_listener);
/* "SECCOMP_FILTER_FLAG_LOG" -> its bit; 0 or -EINVAL. */
int seccomp_flag_number(const char *name, uint64_t *ret);
/* The words that profiles may use, in the order of their tables; NULL: no more. */
typedef enum SeccompWords {
        SECCOMP_ACTIONS,
        SECCOMP_OPERATORS,
        SECCOMP_ARCHITECTURES,
        SECCOMP_FLAGS,
} SeccompWords;
const char *seccomp_word(SeccompWords which, size_t i);
/* The version of libseccomp that compiles: "2.5.4". */
#define SECCOMP_LIBRARY_MAX 36
void seccomp_library(char ret[static SECCOMP_LIBRARY_MAX]);
/* Whether the kernel takes these flags. */
bool seccomp_flags_supported(uint64_t flags);

#endif
