/* SPDX-License-Identifier: Apache-2.0 */
/* err.h - the error that climbs: a number to decide on and a line for a person to read.
 *
 * Plain data on the caller's stack: it works when memory is gone and after fork, and it fits one
 * pipe write (< PIPE_BUF), so a container's init hands its Err to the parent as it is.
 *
 * Rules. A function returns 0 (or a count >= 0) or a negative errno equal to -err->num. `err` may
 * be NULL. It is untouched on success. A condition that can only be our own bug is tare_assert().
 * The text: what failed, on which object, why, what to do; outermost context first. */
#ifndef TARE_BASE_ERR_H
#define TARE_BASE_ERR_H

#include <stdarg.h>
#include <stdbool.h>

/* X(kind, errno a function returns for it, gRPC status code, text) */
#define ERR_KINDS(X)                                                                               \
        X(NONE, 0, 0, "ok")                                                                        \
        X(INVALID, EINVAL, 3, "invalid")                                                           \
        X(NOT_FOUND, ENOENT, 5, "not found")                                                       \
        X(EXISTS, EEXIST, 6, "already exists")                                                     \
        X(BUSY, EBUSY, 10, "busy")                                                                 \
        X(DENIED, EPERM, 7, "denied")                                                              \
        X(TIMEOUT, ETIMEDOUT, 4, "timed out")                                                      \
        X(CANCELED, ECANCELED, 1, "canceled")                                                      \
        X(UNAVAILABLE, EAGAIN, 14, "unavailable")                                                  \
        X(UNSUPPORTED, EOPNOTSUPP, 12, "unsupported")                                              \
        X(NO_SPACE, ENOSPC, 8, "no space")                                                         \
        X(TOO_LARGE, E2BIG, 8, "too large")                                                        \
        X(CORRUPT, EBADMSG, 15, "corrupt")                                                         \
        X(PRECONDITION, ENOTRECOVERABLE, 9, "wrong state")                                         \
        X(UNAUTHENTICATED, EACCES, 16, "unauthenticated")                                          \
        X(INTERNAL, EIO, 13, "internal")

typedef enum ErrKind {
#define X(name, num, grpc, text) ERR_##name,
        ERR_KINDS(X)
#undef X
                _ERR_KIND_MAX
} ErrKind;

#define ERR_MSG_MAX 1000

typedef struct Err {
        ErrKind kind;          /* what callers switch on; one gRPC code and one errno each */
        int num;               /* errno value > 0; the function returned its negative */
        char msg[ERR_MSG_MAX]; /* one line of UTF-8, no control characters; cut with "..." */
} Err;

/* Each returns a negative errno, so that `return err_set(...)` ends a function. */
int err_set(Err *err, ErrKind kind, const char *fmt, ...) __attribute__((format(printf, 3, 4)));
int err_setv(Err *err, ErrKind kind, const char *fmt, va_list ap)
        __attribute__((format(printf, 3, 0)));
/* A system call failed with errnum (> 0): the kind follows from it, ": strerror" is appended. */
int err_sys(Err *err, int errnum, const char *fmt, ...) __attribute__((format(printf, 3, 4)));
/* Puts "context: " in front when r < 0; r passes through. On an empty *err it is err_sys(-r). */
int err_wrap(Err *err, int r, const char *fmt, ...) __attribute__((format(printf, 3, 4)));
/* Copies src into err (which may be NULL) and returns -src->num. */
int err_copy(Err *err, const Err *src);
/* Forgets an error: kind NONE, empty text. */
void err_reset(Err *err);

const char *err_kind_name(ErrKind kind);          /* "not found" */
const char *err_kind_symbol(ErrKind kind);        /* "NOT_FOUND" */
ErrKind err_kind_from_symbol(const char *symbol); /* ERR_INTERNAL when unknown */
int err_kind_grpc(ErrKind kind);
int err_kind_errno(ErrKind kind);
ErrKind err_kind_from_errno(int errnum);

_Noreturn void tare_assert_failed(const char *expr, const char *file, int line);
/* Our bug: stays in release builds, aborts. */
#define tare_assert(expr) ((expr) ? (void)0 : tare_assert_failed(#expr, __FILE__, __LINE__))

#endif
