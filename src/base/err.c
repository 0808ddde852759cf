/* SPDX-License-Identifier: Apache-2.0 */
/* err.c - see err.h. Nothing here allocates. */
#include "base/err.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

_Static_assert(sizeof(Err) < 4096, "an Err must fit one atomic pipe write");

static const struct {
        const char *symbol, *text;
        int num, grpc;
} kinds[] = {
#define X(name, num, grpc, text) [ERR_##name] = { #name, text, num, grpc },
        ERR_KINDS(X)
#undef X
};

static bool valid(ErrKind kind)
{
        return (unsigned)kind < _ERR_KIND_MAX;
}

const char *err_kind_name(ErrKind kind)
{
        return valid(kind) ? kinds[kind].text : kinds[ERR_INTERNAL].text;
}

const char *err_kind_symbol(ErrKind kind)
{
        return valid(kind) ? kinds[kind].symbol : kinds[ERR_INTERNAL].symbol;
}

ErrKind err_kind_from_symbol(const char *symbol)
{
        for (unsigned i = 0; i < _ERR_KIND_MAX; i++)
                if (strcmp(kinds[i].symbol, symbol) == 0)
                        return (ErrKind)i;
        return ERR_INTERNAL;
}

int err_kind_grpc(ErrKind kind)
{
        return valid(kind) ? kinds[kind].grpc : kinds[ERR_INTERNAL].grpc;
}

int err_kind_errno(ErrKind kind)
{
        return valid(kind) ? kinds[kind].num : kinds[ERR_INTERNAL].num;
}

ErrKind err_kind_from_errno(int errnum)
{
        switch (errnum) {
        case 0:
                return ERR_NONE;
        case EINVAL:
        case ENAMETOOLONG:
        case ENOTDIR:
        case EISDIR:
        case ELOOP:
        case ENOEXEC:
                return ERR_INVALID;
        case ENOENT:
        case ESRCH:
        case ENXIO:
        case ENODEV:
                return ERR_NOT_FOUND;
        case EEXIST:
                return ERR_EXISTS;
        case EBUSY:
        case ENOTEMPTY:
        case ETXTBSY:
                return ERR_BUSY;
        case EPERM:
        case EACCES:
        case EROFS:
                return ERR_DENIED;
        case ETIMEDOUT:
                return ERR_TIMEOUT;
        case ECANCELED:
                return ERR_CANCELED;
        case EAGAIN:
        case ECONNREFUSED:
        case ECONNRESET:
        case EHOSTUNREACH:
        case ENETUNREACH:
        case EPIPE:
                return ERR_UNAVAILABLE;
        case EOPNOTSUPP:
        case ENOSYS:
                return ERR_UNSUPPORTED;
        case ENOSPC:
        case EDQUOT:
        case ENOMEM:
        case EMFILE:
        case ENFILE:
                return ERR_NO_SPACE;
        case E2BIG:
        case EFBIG:
        case EMSGSIZE:
                return ERR_TOO_LARGE;
        case EBADMSG:
        case EUCLEAN:
                return ERR_CORRUPT;
        case ENOTRECOVERABLE:
                return ERR_PRECONDITION;
        default:
                return ERR_INTERNAL;
        }
}

/* The text may hold foreign bytes: one line it stays, and a cut is seen. */
static void finish(Err *err, int want)
{
        for (char *p = err->msg; *p; p++)
                if (*p == '\n' || *p == '\r')
                        *p = ' ';
        if (want >= ERR_MSG_MAX)
                memcpy(err->msg + ERR_MSG_MAX - 4, "...", 4);
}

int err_setv(Err *err, ErrKind kind, const char *fmt, va_list ap)
{
        int want;

        tare_assert(kind > ERR_NONE && kind < _ERR_KIND_MAX);
        if (err) {
                err->kind = kind;
                err->num = kinds[kind].num;
                want = vsnprintf(err->msg, sizeof(err->msg), fmt, ap);
                finish(err, want);
        }
        return -kinds[kind].num;
}

int err_set(Err *err, ErrKind kind, const char *fmt, ...)
{
        va_list ap;
        int r;

        va_start(ap, fmt);
        r = err_setv(err, kind, fmt, ap);
        va_end(ap);
        return r;
}

int err_sys(Err *err, int errnum, const char *fmt, ...)
{
        va_list ap;
        int n, m;

        if (errnum < 0)
                errnum = -errnum;
        if (errnum == 0)
                errnum = EIO;
        if (err) {
                err->kind = err_kind_from_errno(errnum);
                err->num = errnum;
                va_start(ap, fmt);
                n = vsnprintf(err->msg, sizeof(err->msg), fmt, ap);
                va_end(ap);
                if (n < 0)
                        n = 0;
                if (n < ERR_MSG_MAX) {
                        m = snprintf(err->msg + n, sizeof(err->msg) - (size_t)n, ": %s",
                                     strerror(errnum));
                        n += m;
                }
                finish(err, n);
        }
        return -errnum;
}

int err_wrap(Err *err, int r, const char *fmt, ...)
{
        char context[ERR_MSG_MAX], old[ERR_MSG_MAX];
        va_list ap;
        int want;

        if (r >= 0 || !err)
                return r;
        va_start(ap, fmt);
        vsnprintf(context, sizeof(context), fmt, ap);
        va_end(ap);
        memcpy(old, err->msg, sizeof(old));
        want = snprintf(err->msg, sizeof(err->msg), "%s: %s", context, old);
        finish(err, want);
        return r;
}

int err_copy(Err *err, const Err *src)
{
        if (err && err != src)
                *err = *src;
        return -src->num;
}

void err_reset(Err *err)
{
        if (!err)
                return;
        err->kind = ERR_NONE;
        err->num = 0;
        err->msg[0] = 0;
}

void tare_assert_failed(const char *expr, const char *file, int line)
{
        fprintf(stderr, "tare: bug: %s:%d: %s\n", file, line, expr);
        abort();
}
