/* SPDX-License-Identifier: Apache-2.0 */
/* dbus.h - a D-Bus client: a connection, calls, and signals that are waited for. Blocking.
 *
 * Source: D-Bus specification, "Authentication Protocol" and "Message Bus Specification". One call
 * at a time; each wait has a deadline. No descriptors are passed, nothing is exported. Used by
 * short-lived processes; linked into static programs. */
#ifndef TARE_WIRE_DBUS_H
#define TARE_WIRE_DBUS_H

#include "base/err.h"
#include "wire/dbus-message.h"

typedef struct Dbus Dbus;

/* The bus at a path of the file system. is_bus false: a peer that is asked without a bus between.
 * UNAVAILABLE: nobody is there. */
int dbus_open(const char *path, bool is_bus, uint64_t deadline_ns, Dbus **ret, Err *err);
/* The same on a connected socket, which is taken over. */
int dbus_open_fd(int fd, bool is_bus, uint64_t deadline_ns, Dbus **ret, Err *err);
void dbus_close(Dbus *d);

/* A call and its reply, which is valid until the next use of d. Signals that come meanwhile are
 * dropped. An error of the peer is an Err: EXISTS, NOT_FOUND, ... by the error's name. */
int dbus_call(Dbus *d, const DbusCall *c, uint64_t deadline_ns, DbusMessage *ret, Err *err);
/* Subscribes to what the rule says; nothing to do without a bus. */
int dbus_match(Dbus *d, const char *rule, uint64_t deadline_ns, Err *err);
/* The next signal of this name; others are dropped. */
int dbus_next_signal(Dbus *d, const char *interface, const char *member, uint64_t deadline_ns,
                     DbusMessage *ret, Err *err);

/* The kind that the name of an error stands for. */
ErrKind dbus_error_kind(const char *name);

#endif
