/* SPDX-License-Identifier: Apache-2.0 */
/* http1.c - see http1.h. The head is copied once and cut at its separators. */
#include "wire/http1.h"

#include <ctype.h>
#include <strings.h>

#define END "\r\n\r\n"

void http1_head_done(Http1Head *h)
{
        free(h->text);
        *h = (Http1Head){ 0 };
}

static bool is_token_char(char c)
{
        return isalnum((unsigned char)c) || (c && strchr("!#$%&'*+-.^_`|~", c));
}

static bool is_token(const char *s)
{
        if (!*s)
                return false;
        for (; *s; s++)
                if (!is_token_char(*s))
                        return false;
        return true;
}

/* Lines end in CR LF, and no other control character but a tab is in them. */
static bool is_clean(const char *p, size_t n)
{
        for (size_t i = 0; i < n; i++) {
                unsigned char c = (unsigned char)p[i];
                if (c == '\r'   ? i + 1 < n && p[i + 1] != '\n'
                    : c == '\n' ? i == 0 || p[i - 1] != '\r'
                                : (c < ' ' && c != '\t') || c == 0x7f)
                        return false;
        }
        return true;
}

/* The next line, without its end, which was replaced by a NUL; *next is behind it. */
static char *cut_line(char **next)
{
        char *line = *next, *end = strstr(line, "\r\n");

        if (!end)
                return NULL;
        *end = '\0';
        *next = end + 2;
        return line;
}

static char *trim(char *s)
{
        while (*s == ' ' || *s == '\t')
                s++;
        for (size_t n = strlen(s); n > 0 && (s[n - 1] == ' ' || s[n - 1] == '\t'); n--)
                s[n - 1] = '\0';
        return s;
}

static int parse_field(Http1Head *h, char *line, Err *err)
{
        char *colon = strchr(line, ':');

        if (h->n_fields == HTTP1_FIELDS_MAX)
                return err_set(err, ERR_TOO_LARGE, "HTTP: more than %d header lines",
                               HTTP1_FIELDS_MAX);
        if (colon)
                *colon = '\0';
        if (!colon || !is_token(line))
                return err_set(err, ERR_INVALID, "HTTP: header line %zu is no \"name: value\"",
                               h->n_fields + 1);
        for (char *c = line; *c; c++)
                *c = (char)tolower((unsigned char)*c);
        h->fields[h->n_fields++] = (Http1Field){ .name = line, .value = trim(colon + 1) };
        return 0;
}

static int parse_fields(Http1Head *h, char *next, Err *err)
{
        for (;;) {
                char *line = cut_line(&next);
                if (!line || !*line)
                        return 0;
                int r = parse_field(h, line, err);
                if (r < 0)
                        return r;
        }
}

/* Copies the head into h->text, without the last line's end. 1, 0: more bytes are needed. */
static int take_head(const char *p, size_t n, Http1Head *h, size_t *ret_used, Err *err)
{
        size_t look = n < HTTP1_HEAD_MAX ? n : HTTP1_HEAD_MAX;
        const char *end = memmem(p, look, END, strlen(END));
        size_t used = end ? (size_t)(end - p) + strlen(END) : look;

        if (!is_clean(p, used))
                return err_set(err, ERR_INVALID,
                               "HTTP: control characters in the head; is TLS or another protocol "
                               "spoken here?");
        if (!end && n >= HTTP1_HEAD_MAX)
                return err_set(err, ERR_TOO_LARGE, "HTTP: the head has more than %zu bytes",
                               HTTP1_HEAD_MAX);
        if (!end)
                return 0;
        h->text = xstrndup(p, used);
        *ret_used = used;
        return 1;
}

static int parse_version(const char *s, unsigned *ret_minor, Err *err)
{
        if (!str_eq(s, "HTTP/1.1") && !str_eq(s, "HTTP/1.0"))
                return err_set(err, ERR_INVALID, "HTTP: version '%.20s', expected HTTP/1.1", s);
        *ret_minor = (unsigned)(s[7] - '0');
        return 0;
}

static int check_no_body(const Http1Head *h, Err *err)
{
        if (http1_get(h, "transfer-encoding"))
                return err_set(err, ERR_INVALID, "HTTP: a request with a body");
        for (size_t i = 0; i < h->n_fields; i++)
                if (str_eq(h->fields[i].name, "content-length") && !str_eq(h->fields[i].value, "0"))
                        return err_set(err, ERR_INVALID, "HTTP: a request with a body");
        return 0;
}

static int request_line(Http1Head *h, char *line, Err *err)
{
        char *target = strchr(line, ' '), *version = target ? strchr(target + 1, ' ') : NULL;

        if (!version)
                return err_set(err, ERR_INVALID, "HTTP: no request line");
        *target++ = '\0';
        *version++ = '\0';
        h->method = line;
        h->target = target;
        if (!is_token(h->method) || !*h->target)
                return err_set(err, ERR_INVALID, "HTTP: no request line");
        return parse_version(version, &h->minor, err);
}

static int status_line(Http1Head *h, char *line, Err *err)
{
        char *status = strchr(line, ' ');

        if (status)
                *status++ = '\0';
        int r = parse_version(line, &h->minor, err);
        if (r < 0)
                return r;
        if (!status || strspn(status, "0123456789") != 3 || status[0] < '1' || status[0] > '5' ||
            (status[3] && status[3] != ' '))
                return err_set(err, ERR_INVALID, "HTTP: no status line");
        h->status = (unsigned)((status[0] - '0') * 100 + (status[1] - '0') * 10 + status[2] - '0');
        h->reason = status[3] ? status + 4 : "";
        return 0;
}

static int parse(const void *p, size_t n, bool request, Http1Head *ret, size_t *ret_used, Err *err)
{
        int r = take_head(p, n, ret, ret_used, err);
        if (r <= 0)
                return r;
        char *next = ret->text;
        char *line = cut_line(&next);
        r = request ? request_line(ret, line, err) : status_line(ret, line, err);
        if (r == 0)
                r = parse_fields(ret, next, err);
        if (r == 0 && request)
                r = check_no_body(ret, err);
        if (r < 0)
                http1_head_done(ret);
        return r < 0 ? r : 1;
}

int http1_parse_request(const void *p, size_t n, Http1Head *ret, size_t *ret_used, Err *err)
{
        return parse(p, n, true, ret, ret_used, err);
}

int http1_parse_response(const void *p, size_t n, Http1Head *ret, size_t *ret_used, Err *err)
{
        return parse(p, n, false, ret, ret_used, err);
}

const char *http1_get(const Http1Head *h, const char *name)
{
        for (size_t i = 0; i < h->n_fields; i++)
                if (str_eq(h->fields[i].name, name))
                        return h->fields[i].value;
        return NULL;
}

char **http1_list(const Http1Head *h, const char *name)
{
        char **list = NULL;

        for (size_t i = 0; i < h->n_fields; i++) {
                if (!str_eq(h->fields[i].name, name))
                        continue;
                _cleanup_strv_ Strv parts = strv_split(h->fields[i].value, ",");
                for (char **part = parts; part && *part; part++) {
                        const char *element = trim(*part);
                        if (*element)
                                strv_push(&list, element);
                }
        }
        return list;
}

bool http1_has(const Http1Head *h, const char *name, const char *element)
{
        _cleanup_strv_ Strv list = http1_list(h, name);

        for (char **e = list; e && *e; e++)
                if (strcasecmp(*e, element) == 0)
                        return true;
        return false;
}

static const char *reason_of(unsigned status)
{
        static const struct {
                unsigned status;
                const char *reason;
        } table[] = {
                { 101, "Switching Protocols" },
                { 200, "OK" },
                { 400, "Bad Request" },
                { 403, "Forbidden" },
                { 404, "Not Found" },
                { 405, "Method Not Allowed" },
                { 408, "Request Timeout" },
                { 426, "Upgrade Required" },
                { 431, "Request Header Fields Too Large" },
                { 500, "Internal Server Error" },
                { 503, "Service Unavailable" },
        };

        for (size_t i = 0; i < array_len(table); i++)
                if (table[i].status == status)
                        return table[i].reason;
        return "Status";
}

static void write_fields(StrBuf *out, const Http1Field *fields)
{
        for (; fields && fields->name; fields++)
                strbuf_addf(out, "%s: %s\r\n", fields->name, fields->value);
}

void http1_write_request(StrBuf *out, const char *method, const char *target,
                         const Http1Field *fields)
{
        strbuf_addf(out, "%s %s HTTP/1.1\r\n", method, target);
        write_fields(out, fields);
        strbuf_adds(out, "\r\n");
}

void http1_write_response(StrBuf *out, unsigned status, const Http1Field *fields, const char *body)
{
        strbuf_addf(out, "HTTP/1.1 %u %s\r\n", status, reason_of(status));
        write_fields(out, fields);
        if (body)
                strbuf_addf(out,
                            "Content-Type: text/plain; charset=utf-8\r\nContent-Length: %zu\r\n"
                            "Connection: close\r\n",
                            strlen(body));
        strbuf_addf(out, "\r\n%s", body ? body : "");
}
