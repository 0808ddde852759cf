/* SPDX-License-Identifier: Apache-2.0 */
/* err.c - see err.h. Nothing here allocates. */
#include "base/err.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/str.h"

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
        for (unsigned i = 0; symbol && i < _ERR_KIND_MAX; i++)
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
        case ERANGE:
        case EXDEV:
                return ERR_INVALID;
        case ENOENT:
        case ESRCH:
        case ENXIO:
        case ENODEV:
        case ENODATA:
                return ERR_NOT_FOUND;
        case EEXIST:
                return ERR_EXISTS;
        case EBUSY:
        case ENOTEMPTY:
        case ETXTBSY:
        case EADDRINUSE:
        case EALREADY:
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
        case ECONNABORTED:
        case EHOSTDOWN:
        case ENETDOWN:
        case ENOTCONN:
        case EPIPE:
                return ERR_UNAVAILABLE;
        case EOPNOTSUPP:
        case ENOSYS:
        case EPROTONOSUPPORT:
        case EAFNOSUPPORT:
                return ERR_UNSUPPORTED;
        case ENOSPC:
        case EDQUOT:
        case ENOMEM:
        case EMFILE:
        case ENFILE:
        case ENOBUFS:
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

/* Puts text, of which `want` bytes were meant, into err->msg. Foreign bytes may be in it: it stays
 * one line of valid UTF-8, without control characters for the terminal, and a cut is seen. Via a
 * buffer of the caller's, because the arguments of an error may point into the old text. */
static void put_text(Err *err, const char *text, int want)
{
        bool cut = want >= ERR_MSG_MAX;
        size_t left = strlen(text), at = 0, room = ERR_MSG_MAX - 1 - (cut ? 3 : 0);

        while (left > 0) {
                size_t n = str_utf8_len(text, left), take = n ? n : 1;
                if (at + take > room)
                        break;
                memcpy(err->msg + at, n ? text : "?", take);
                if ((unsigned char)err->msg[at] < 0x20 || err->msg[at] == 0x7f)
                        err->msg[at] = ' ';
                at += take;
                text += take;
                left -= take;
        }
        memcpy(err->msg + at, cut ? "..." : "", cut ? 4 : 1);
}

int err_setv(Err *err, ErrKind kind, const char *fmt, va_list ap)
{
        char text[ERR_MSG_MAX] = "";

        tare_assert(kind > ERR_NONE && kind < _ERR_KIND_MAX);
        if (err) {
                int want = vsnprintf(text, sizeof(text), fmt, ap);
                put_text(err, text, want);
                err->kind = kind;
                err->num = kinds[kind].num;
        }
        return -kinds[kind].num;
}

int err_set(Err *err, ErrKind kind, const char *fmt, ...)
{
        va_list ap;

        va_start(ap, fmt);
        int r = err_setv(err, kind, fmt, ap);
        va_end(ap);
        return r;
}

static int sysv(Err *err, int errnum, const char *fmt, va_list ap)
{
        char text[ERR_MSG_MAX] = "";

        if (errnum < 0)
                errnum = -errnum;
        if (errnum == 0)
                errnum = EIO;
        if (!err)
                return -errnum;
        int n = vsnprintf(text, sizeof(text), fmt, ap);
        if (n < 0)
                n = 0;
        if (n < ERR_MSG_MAX)
                n += snprintf(text + n, sizeof(text) - (size_t)n, ": %s", strerror(errnum));
        put_text(err, text, n);
        err->kind = err_kind_from_errno(errnum);
        err->num = errnum;
        return -errnum;
}

int err_sys(Err *err, int errnum, const char *fmt, ...)
{
        va_list ap;

        va_start(ap, fmt);
        int r = sysv(err, errnum, fmt, ap);
        va_end(ap);
        return r;
}

int err_wrap(Err *err, int r, const char *fmt, ...)
{
        char context[ERR_MSG_MAX] = "", text[ERR_MSG_MAX];
        va_list ap;

        if (r >= 0 || !err)
                return r;
        va_start(ap, fmt);
        /* somebody returned a bare number: better its name than "context: " */
        if (err->kind == ERR_NONE) {
                sysv(err, -r, fmt, ap);
        } else {
                vsnprintf(context, sizeof(context), fmt, ap);
                int want = snprintf(text, sizeof(text), "%s: %s", context, err->msg);
                put_text(err, text, want);
        }
        va_end(ap);
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
