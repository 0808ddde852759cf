/* SPDX-License-Identifier: Apache-2.0 */
/* table.c - aligned columns for people; texts from outside cannot steer the terminal. */
#include <stdarg.h>
#include <stdlib.h>

#include "base/clock.h"
#include "cli/cli-internal.h"

#define GAP 3 /* columns between two */

struct Table {
        char **heads, **cells;
        size_t n_columns, n_cells;
};

Table *table_new(const char *heads)
{
        Table *t = xnew(Table);

        t->heads = strv_split(heads, "|");
        t->n_columns = strv_len(t->heads);
        return t;
}

void table_free(Table *t)
{
        if (!t)
                return;
        strv_free(t->heads);
        for (size_t i = 0; i < t->n_cells; i++)
                free(t->cells[i]);
        free(t->cells);
        free(t);
}

/* C0, DEL, and in UTF-8 C1 (0xc2 0x80 to 0xc2 0x9f) */
static void disarm(char *s)
{
        for (unsigned char *p = (unsigned char *)s; *p; p++) {
                if (*p < 0x20 || *p == 0x7f)
                        *p = '?';
                else if (*p == 0xc2 && p[1] >= 0x80 && p[1] <= 0x9f)
                        p[0] = p[1] = '?';
        }
}

static void add(Table *t, char *cell)
{
        if ((t->n_cells & (t->n_cells - 1)) == 0)
                t->cells =
                        xrealloc(t->cells, (t->n_cells ? 2 * t->n_cells : 1) * sizeof(*t->cells));
        disarm(cell);
        t->cells[t->n_cells++] = cell;
}

void table_add(Table *t, const char *fmt, ...)
{
        va_list ap;
        char *cell;

        va_start(ap, fmt);
        cell = xvasprintf(fmt, ap);
        va_end(ap);
        if (!*cell) {
                free(cell);
                cell = xstrdup("-");
        }
        add(t, cell);
}

void table_add_blank(Table *t)
{
        add(t, xstrdup(""));
}

/* Characters of UTF-8; wide ones count as one. */
static int width(const char *s)
{
        int n = 0;

        for (; *s; s++)
                n += (*s & 0xc0) != 0x80;
        return n;
}

static bool is_right(const Table *t, size_t column)
{
        return t->heads[column][0] == '>';
}

static const char *head(const Table *t, size_t column)
{
        return t->heads[column] + is_right(t, column);
}

static void print_cell(const Table *t, size_t column, const char *cell, int wide, FILE *out)
{
        int pad = wide - width(cell);

        if (is_right(t, column))
                fprintf(out, "%*s%s", pad, "", cell);
        else
                fprintf(out, "%s%*s", cell, column + 1 < t->n_columns ? pad : 0, "");
        fprintf(out, "%*s", column + 1 < t->n_columns ? GAP : 0, "");
}

void table_print(const Table *t, FILE *out)
{
        _cleanup_free_ int *wide = xnew_array(int, t->n_columns);

        for (size_t c = 0; c < t->n_columns; c++)
                wide[c] = width(head(t, c));
        for (size_t i = 0; i < t->n_cells; i++) {
                int w = width(t->cells[i]), *most = &wide[i % t->n_columns];
                *most = w > *most ? w : *most;
        }
        for (size_t c = 0; c < t->n_columns; c++)
                print_cell(t, c, head(t, c), wide[c], out);
        fputc('\n', out);
        for (size_t i = 0; i < t->n_cells; i++) {
                size_t c = i % t->n_columns;
                print_cell(t, c, t->cells[i], wide[c], out);
                if (c + 1 == t->n_columns)
                        fputc('\n', out);
        }
}

char *cli_age(int64_t at)
{
        static const struct {
                int64_t up_to_s, unit_s;
                char letter;
        } units[] = {
                { 120, 1, 's' }, { 7200, 60, 'm' }, { 172800, 3600, 'h' }, { INT64_MAX, 86400, 'd' }
        };
        int64_t s = (clock_real_ns() - at) / (int64_t)NS_PER_S;
        size_t i = 0;

        if (at <= 0)
                return xstrdup("");
        s = s < 0 ? 0 : s;
        while (s >= units[i].up_to_s)
                i++;
        return xasprintf("%lld%c", (long long)(s / units[i].unit_s), units[i].letter);
}

char *cli_size(uint64_t bytes)
{
        static const char *const units[] = { "kB", "MB", "GB", "TB" };
        double v = (double)bytes / 1000;
        size_t i = 0;

        if (bytes < 1000)
                return xasprintf("%u B", (unsigned)bytes);
        for (; v >= 999.95 && i + 1 < array_len(units); i++)
                v /= 1000;
        return xasprintf("%.1f %s", v, units[i]);
}

void cli_print_json(Json *j)
{
        puts(json_object_to_json_string_ext(j, JSON_C_TO_STRING_PRETTY | JSON_C_TO_STRING_SPACED |
                                                       JSON_C_TO_STRING_NOSLASHESCAPE));
        json_object_put(j);
}
