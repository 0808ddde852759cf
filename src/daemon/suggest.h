/* SPDX-License-Identifier: Apache-2.0 */
/* suggest.h - the known name that is nearest to one that is not known. */
#ifndef TARE_DAEMON_SUGGEST_H
#define TARE_DAEMON_SUGGEST_H

typedef struct Suggest {
        const char *written;
        const char *best; /* NULL: none is near */
        unsigned best_distance;
} Suggest;

void suggest_consider(Suggest *s, const char *known); /* known must outlive s */

#endif
