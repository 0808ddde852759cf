/* SPDX-License-Identifier: Apache-2.0 */
/* size.c - see size.h. An object ends at its first '}': none within another is known. */
#include "stream/size.h"

#include "base/json.h"

static bool parse(const char *text, size_t n, Size *ret, bool *ret_broken)
{
        _cleanup_json_ Json *j = NULL;
        uint32_t width = 0, height = 0;

        *ret_broken = json_parse(text, n, SIZE_OBJECT_MAX, &j, NULL) < 0;
        if (*ret_broken || json_get_u32(j, "Width", "", &width, NULL) < 0 ||
            json_get_u32(j, "Height", "", &height, NULL) < 0)
                return false;
        if (width < 1 || height < 1 || width > UINT16_MAX || height > UINT16_MAX)
                return false;
        *ret = (Size){ .width = (uint16_t)width, .height = (uint16_t)height };
        return true;
}

bool size_read(SizeReader *r, const void *p, size_t n, Size *ret)
{
        bool any = false;

        for (const char *c = p, *end = c + n; c < end && !r->broken; c++) {
                if (r->n == 0 && strchr(" \t\r\n", *c) && *c)
                        continue;
                if (r->n == sizeof(r->object)) {
                        r->broken = true;
                        break;
                }
                r->object[r->n++] = *c;
                if (*c != '}')
                        continue;
                any |= parse(r->object, r->n, ret, &r->broken);
                r->n = 0;
        }
        return any;
}
