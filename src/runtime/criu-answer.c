/* SPDX-License-Identifier: Apache-2.0 */
/* criu-answer.c - see criu-answer.h. */
#include "runtime/criu-answer.h"

#include <string.h>

#include "base/str.h"

#define TEXT_MAX 200 /* bytes of one error */

void criu_response_free(Criu__Response *r)
{
        criu__response__free_unpacked(r, NULL);
}

/* One line for a person. */
static char *one_line(const char *text)
{
        char *line = str_make_utf8(text, strnlen(text, TEXT_MAX));

        for (char *p = line; *p; p++)
                if ((unsigned char)*p < ' ' || *p == 0x7f)
                        *p = ' ';
        return line;
}

/* A notification says what it is about; those with a process are of one that is there. */
static bool is_sound(const Criu__Response *r)
{
        const Criu__Notify *n = r->notify;

        if (r->type == CRIU__TYPE__NOTIFY && r->success && !(n && !str_empty(n->script)))
                return false;
        return !(n && n->has_pid && n->pid <= 0);
}

int criu_response_parse(const uint8_t *data, size_t n, Criu__Response **ret, Err *err)
{
        Criu__Response *r = n < CRIU_RESPONSE_MAX ? criu__response__unpack(NULL, n, data) : NULL;

        if (!r || !is_sound(r)) {
                criu_response_free(r);
                return err_set(err, ERR_CORRUPT, "criu's response cannot be understood");
        }
        if (r->cr_errmsg) {
                char *line = one_line(r->cr_errmsg);
                free(r->cr_errmsg);
                r->cr_errmsg = line;
        }
        *ret = r;
        return 0;
}

/* -- its log ----------------------------------------------------------------------------------- */

/* "(00.012345) Error (criu/mount.c:1088): mnt: text" is "mnt: text". */
static const char *error_text(const char *line)
{
        const char *p = strstr(line, "Error (");

        if (!p)
                return NULL;
        const char *text = strstr(p, "): ");
        return text ? text + strlen("): ") : p;
}

void criu_errors_done(CriuErrors *e)
{
        for (size_t i = 0; i < CRIU_ERRORS_MAX; i++)
                free(e->last[i]);
        *e = (CriuErrors){ 0 };
}

/* The last is what criu did of it, the cause is one or two before; "Dumping FAILED." says nothing.
 */
void criu_errors_add(CriuErrors *e, const char *line)
{
        const char *error = error_text(line);

        if (!error || str_has_suffix(error, " FAILED."))
                return;
        char **place = &e->last[e->n++ % CRIU_ERRORS_MAX];
        free(*place);
        *place = one_line(error);
}

char *criu_errors_text(const CriuErrors *e)
{
        StrBuf text = { 0 };

        for (size_t i = e->n > CRIU_ERRORS_MAX ? e->n - CRIU_ERRORS_MAX : 0; i < e->n; i++)
                strbuf_addf(&text, "%s%s", text.len ? "; " : "", e->last[i % CRIU_ERRORS_MAX]);
        return e->n > 0 ? strbuf_take(&text) : NULL;
}
