/* SPDX-License-Identifier: Apache-2.0 */
/* namespaces.c - what is set in the new namespaces once they are there: id maps, host name, lo.
 * The idmap step has two sides; the others run in the container's init. */
#include <fcntl.h>
#include <grp.h>
#include <linux/keyctl.h>
#include <sched.h>
#include <stdio.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/io.h"
#include "base/log.h"
#include "runtime/setup-internal.h"
#include "sys/inroot.h"
#include "sys/netif.h"
#include "sys/ns.h"

static int write_map(pid_t pid, const char *file, const OciIdMap *maps, size_t n, Err *err)
{
        _cleanup_strbuf_ StrBuf text = { 0 };
        char path[64];

        for (size_t i = 0; i < n; i++)
                strbuf_addf(&text, "%u %u %u\n", maps[i].container_id, maps[i].host_id,
                            maps[i].size);
        snprintf(path, sizeof(path), "/proc/%d/%s", pid, file);
        int r = io_write_file(AT_FDCWD, path, text.data);
        return r < 0 ? err_sys(err, -r, "write linux.%sMappings to '%s'",
                               file[0] == 'u' ? "uid" : "gid", path)
                     : 0;
}

/* Parent. */
int idmap_write(Setup *s, Err *err)
{
        const OciLinux *l = &s->spec->linux;
        char path[64];

        if (l->n_uid_maps == 0 || l->n_gid_maps == 0)
                return err_set(err, ERR_INVALID,
                               "linux.namespaces has a new user namespace, but linux.uidMappings "
                               "or linux.gidMappings is empty");
        if (subids_needed(l))
                return subids_write(l, s->pid, err);
        if (geteuid() != 0) {
                /* user_namespaces(7): without rights the gid map needs setgroups denied first. */
                snprintf(path, sizeof(path), "/proc/%d/setgroups", s->pid);
                (void)io_write_file(AT_FDCWD, path, "deny"); /* the map's write tells */
        }
        int r = write_map(s->pid, "uid_map", l->uid_maps, l->n_uid_maps, err);
        return r < 0 ? r : write_map(s->pid, "gid_map", l->gid_maps, l->n_gid_maps, err);
}

/* Init: what is made from here on belongs to the container's root. */
int idmap_enter(Setup *s, Err *err)
{
        if (setresgid(0, 0, 0) < 0 || setresuid(0, 0, 0) < 0)
                return err_sys(err, errno,
                               "become root of the user namespace; do the maps have 0?");
        return 0;
}

int session_init(Setup *s, Err *err)
{
        umask(0);
        if (setsid() < 0 && s->process && s->process->terminal)
                return err_sys(err, errno, "start a session");
        if (s->no_new_keyring)
                return 0;
        char name[64];
        snprintf(name, sizeof(name), "_ses.%.50s", s->id ? s->id : "exec");
        /* In an exec the name is known already, and this joins the container's keyring. */
        if (syscall(SYS_keyctl, KEYCTL_JOIN_SESSION_KEYRING, name) < 0) {
                if (errno != ENOSYS && errno != EPERM && errno != EACCES && errno != EDQUOT)
                        return err_sys(err, errno, "make a session keyring");
                log_debug("id=%s no session keyring of its own: %m, ignoring", s->id);
        }
        return 0;
}

int uts_init(Setup *s, Err *err)
{
        const char *host = s->spec->hostname, *domain = s->spec->domainname;

        if (!str_empty(host) && sethostname(host, strlen(host)) < 0)
                return err_sys(err, errno, "set hostname '%s'", host);
        if (!str_empty(domain) && setdomainname(domain, strlen(domain)) < 0)
                return err_sys(err, errno, "set domainname '%s'", domain);
        return 0;
}

int network_init(Setup *s, Err *err)
{
        if (!setup_has_new_ns(s, OCI_NS_NETWORK))
                return 0;
        int r = netif_up("lo");
        return r < 0 ? err_sys(err, -r, "bring lo up") : 0;
}

/* Parent: the devices are in its namespace. Whatever happens later, the kernel gives hardware back
 * when the container's namespace ends. */
int network_devices_parent(Setup *s, Err *err)
{
        const OciLinux *l = &s->spec->linux;
        struct stat theirs, own;

        if (s->unprivileged)
                return err_set(err, ERR_DENIED,
                               "linux.netDevices: only root moves network interfaces; leave it "
                               "out");
        _cleanup_close_ int ns = s->ns_fds[OCI_NS_NETWORK] >= 0 ? io_dup(s->ns_fds[OCI_NS_NETWORK])
                                                                : ns_open(s->pid, "net");
        _cleanup_close_ int here = ns_open(0, "net");
        if (ns < 0 || here < 0)
                return err_sys(err, ns < 0 ? -ns : -here, "linux.netDevices: open the namespaces");
        if (fstat(ns, &theirs) < 0 || fstat(here, &own) < 0)
                return err_sys(err, errno, "linux.netDevices: compare the namespaces");
        if (theirs.st_dev == own.st_dev && theirs.st_ino == own.st_ino)
                return err_set(err, ERR_INVALID,
                               "linux.netDevices: the container's network namespace is our own; "
                               "give it another one");
        for (size_t i = 0; i < l->n_net_devices; i++) {
                const OciNetDevice *d = &l->net_devices[i];
                int r = netif_move(d->name, ns, str_or(d->new_name, d->name), err);
                if (r < 0)
                        return err_wrap(err, r, "linux.netDevices: '%s'", d->name);
        }
        return 0;
}

int setup_procfs(Setup *s, Err *err)
{
        if (s->procfs_fd < 0)
                s->procfs_fd = procfs_open();
        return s->procfs_fd < 0 ? err_sys(err, -s->procfs_fd, "open a procfs of our own") : 0;
}

/* "net.ipv4.ip_forward" and "net/ipv4/ip_forward" alike: which separator comes first decides. */
static char *sysctl_path(const char *key)
{
        char *path = xasprintf("sys/%s", key);

        if (key[strcspn(key, "./")] == '.')
                for (char *p = path + strlen("sys/"); *p; p++)
                        *p = *p == '.' ? '/' : *p == '/' ? '.' : *p;
        return path;
}

static const char *ns_file(OciNsType kind)
{
        return kind == OCI_NS_NETWORK ? "net" : oci_ns_name(kind);
}

static OciNsType sysctl_kind(const char *path)
{
        if (str_skip_prefix(path, "sys/net/"))
                return OCI_NS_NETWORK;
        if (str_skip_prefix(path, "sys/user/"))
                return OCI_NS_USER;
        return str_eq(path, "sys/kernel/domainname") ? OCI_NS_UTS : OCI_NS_IPC;
}

/* Parent. That each belongs to a namespace of the container, oci_spec_check() has seen; but one
 * that was given by path may be the host's (CVE-2022-0532). */
int sysctls_prepare(Setup *s, Err *err)
{
        const OciLinux *l = &s->spec->linux;

        for (size_t i = 0; i < l->n_sysctls; i++) {
                _cleanup_free_ char *path = sysctl_path(l->sysctls[i].key);
                OciNsType kind = sysctl_kind(path);
                struct stat joined, own;
                if (s->ns_fds[kind] < 0)
                        continue;
                _cleanup_close_ int fd = ns_open(0, ns_file(kind));
                if (fd < 0 || fstat(fd, &own) < 0 || fstat(s->ns_fds[kind], &joined) < 0)
                        return err_sys(err, errno, "compare %s namespaces", oci_ns_name(kind));
                if (own.st_dev == joined.st_dev && own.st_ino == joined.st_ino)
                        return err_set(err, ERR_DENIED,
                                       "linux.sysctl: '%s' would be the host's: the container's %s "
                                       "namespace is our own",
                                       l->sysctls[i].key, oci_ns_name(kind));
        }
        return 0;
}

int sysctls_init(Setup *s, Err *err)
{
        const OciLinux *l = &s->spec->linux;
        int r = l->n_sysctls > 0 ? setup_procfs(s, err) : 0;

        for (size_t i = 0; i < l->n_sysctls && r >= 0; i++) {
                const OciKeyValue *kv = &l->sysctls[i];
                _cleanup_free_ char *path = sysctl_path(kv->key);
                r = procfs_write(s->procfs_fd, path, kv->value);
                if (r < 0)
                        return err_sys(err, -r, "linux.sysctl: set '%s' to '%s'", kv->key,
                                       kv->value);
        }
        return r;
}
