/* SPDX-License-Identifier: Apache-2.0 */
/* json-scan.h - the strict check in front of json-c; for json.c only.
 *
 * json-c is lenient even when strict: it takes NaN, clamps numbers, keeps the last of equal keys,
 * cuts strings at \u0000. What passes json_scan() it reads in one way only. */
#ifndef TARE_BASE_JSON_SCAN_H
#define TARE_BASE_JSON_SCAN_H

#include <stddef.h>

#include "base/err.h"

/* RFC 8259, one document, and: depth <= JSON_DEPTH_MAX, no more values than json.h says, no key
 * twice in an object, no NUL in a string, no lone surrogate, integers within -2^63 .. 2^64-1.
 * Errors name line and column. */
int json_scan(const char *text, size_t len, Err *err);

#endif
