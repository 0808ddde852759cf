/* SPDX-License-Identifier: Apache-2.0 */
/* hosts-internal.h - between hosts.c, which finds the folder, and hosts-toml.c, which reads its
 * file. */
#ifndef TARE_REGISTRY_HOSTS_INTERNAL_H
#define TARE_REGISTRY_HOSTS_INTERNAL_H

#include "registry/hosts.h"

/* With all capabilities; valid until the next call. */
RegistryHost *hosts_add(RegistryHosts *h);
void host_done(RegistryHost *h);
/* The address of the registry itself, as it is when no file says. */
int host_set_registry(RegistryHost *h, const char *domain, Err *err);
bool host_is_mirror(const RegistryHost *h, const char *domain);
/* Appends a file of certificates or a key. */
int host_read_pem(int dirfd, const char *path, StrBuf *b, Err *err);

#endif
