/* SPDX-License-Identifier: Apache-2.0 */
/* links: dbus */
/* fuzz-dbus.c - bytes of a bus to messages, and their values as the systemd driver reads them. */
#include "fuzz/fuzz.h"

#include <string.h>

#include "wire/dbus.h"

static void read_values(const DbusMessage *m)
{
        const char *a, *b, *c;
        uint32_t number;
        uint64_t large;
        bool flag;
        Err err = { 0 };

        (void)dbus_message_read(m, &err, "s", &a);
        (void)dbus_message_read(m, &err, "o", &a);
        (void)dbus_message_read(m, &err, "v", &a);
        (void)dbus_message_read(m, &err, "bt", &flag, &large);
        (void)dbus_message_read(m, &err, "uoss", &number, &a, &b, &c);
        if (m->error_name)
                (void)dbus_error_kind(m->error_name);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
        DbusMessage m;
        Err err = { 0 };

        while (size >= DBUS_HEADER_MIN) {
                size_t n = 0;
                if (dbus_message_size(data, &n, &err) < 0 || n > size)
                        break;
                if (dbus_message_parse(data, n, &m, &err) == 0)
                        read_values(&m);
                data += n;
                size -= n;
        }
        return 0;
}
