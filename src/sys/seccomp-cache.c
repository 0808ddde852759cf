/* SPDX-License-Identifier: Apache-2.0 */
/* seccomp-cache.c - filters kept by profile. See seccomp.h.
 *
 * A file is named by a short hash, and holds the whole profile that it was made from besides the
 * filter: only an equal one uses it, so a hash that collides costs time, not protection. Files are
 * written by rename and never trusted beyond the folder's owner, which is root. */
#include <fcntl.h>
#include <inttypes.h>
#include <linux/filter.h>
#include <seccomp.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/io.h"
#include "base/str.h"
#include "sys/seccomp.h"

#define CACHE_FORMAT    2 /* also: how seccomp_filter_compile() does it */
#define CACHE_BYTES_MAX (1U << 20)
#define CACHE_MAGIC     0x65726174U /* "tare" */

typedef struct CacheHead {
        uint32_t magic;
        uint32_t notifies;
        uint32_t key_bytes;
        uint32_t filter_bytes;
} CacheHead;

/* Unambiguous: every string is followed by a NUL, every list by how long it was. */
static void add_string(StrBuf *b, const char *s)
{
        strbuf_add(b, str_or(s, ""), strlen(str_or(s, "")) + 1);
}

static void add_list(StrBuf *b, char *const *list)
{
        strbuf_addf(b, "%zu", strv_len(list));
        strbuf_addc(b, 0);
        for (size_t i = 0; list && list[i]; i++)
                add_string(b, list[i]);
}

static void add_rule(StrBuf *b, const SeccompRule *rule)
{
        add_list(b, rule->names);
        add_string(b, rule->action);
        strbuf_addf(b, "%d %u %zu", rule->has_errno, rule->errno_, rule->n_args);
        strbuf_addc(b, 0);
        for (size_t i = 0; i < rule->n_args; i++) {
                const SeccompArg *a = &rule->args[i];
                add_string(b, a->op);
                strbuf_addf(b, "%u %" PRIu64 " %" PRIu64, a->index, a->value, a->value_two);
                strbuf_addc(b, 0);
        }
}

/* All that the filter depends on. */
static void make_key(const SeccompProfile *p, StrBuf *b)
{
        const struct scmp_version *v = seccomp_version();

        strbuf_addf(b, "%d %u.%u.%u %#x", CACHE_FORMAT, v->major, v->minor, v->micro,
                    seccomp_arch_native());
        strbuf_addc(b, 0);
        add_string(b, p->default_action);
        strbuf_addf(b, "%d %u %zu", p->has_default_errno, p->default_errno, p->n_rules);
        strbuf_addc(b, 0);
        add_list(b, p->architectures);
        for (size_t i = 0; i < p->n_rules; i++)
                add_rule(b, &p->rules[i]);
}

static uint64_t hash(const StrBuf *b)
{
        uint64_t h = UINT64_C(0xcbf29ce484222325); /* FNV-1a */

        for (size_t i = 0; i < b->len; i++)
                h = (h ^ (unsigned char)b->data[i]) * UINT64_C(0x100000001b3);
        return h;
}

/* True when the file is whole, of this format, ours and for this key. */
static bool load(int dir_fd, const char *name, const StrBuf *key, SeccompFilter *ret)
{
        _cleanup_strbuf_ StrBuf file = { 0 };
        CacheHead head;
        struct stat st;

        _cleanup_close_ int fd =
                openat(dir_fd, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
        if (fd < 0 || fstat(fd, &st) < 0 || !S_ISREG(st.st_mode) || st.st_uid != geteuid() ||
            st.st_mode & (S_IWGRP | S_IWOTH) || io_read_all(fd, &file, CACHE_BYTES_MAX) < 0 ||
            file.len < sizeof(head))
                return false;
        memcpy(&head, file.data, sizeof(head));
        if (head.magic != CACHE_MAGIC || head.key_bytes != key->len ||
            head.filter_bytes > BPF_MAXINSNS * sizeof(struct sock_filter) ||
            head.filter_bytes % sizeof(struct sock_filter) != 0 || head.filter_bytes == 0 ||
            file.len != sizeof(head) + head.key_bytes + head.filter_bytes ||
            memcmp(file.data + sizeof(head), key->data, key->len) != 0)
                return false;
        ret->bpf = xmemdup(file.data + sizeof(head) + head.key_bytes, head.filter_bytes);
        ret->n_bytes = head.filter_bytes;
        ret->notifies = head.notifies != 0;
        return true;
}

static void save(int dir_fd, const char *name, const StrBuf *key, const SeccompFilter *f)
{
        _cleanup_strbuf_ StrBuf file = { 0 };
        const CacheHead head = {
                .magic = CACHE_MAGIC,
                .notifies = f->notifies,
                .key_bytes = (uint32_t)key->len,
                .filter_bytes = (uint32_t)f->n_bytes,
        };

        if (key->len > CACHE_BYTES_MAX - sizeof(head) - f->n_bytes)
                return;
        strbuf_add(&file, &head, sizeof(head));
        strbuf_add(&file, key->data, key->len);
        strbuf_add(&file, f->bpf, f->n_bytes);
        /* Without it the next one compiles again. */
        (void)io_replace_file(dir_fd, name, file.data, file.len, 0600, false);
}

int seccomp_filter_cached(int dir_fd, const SeccompProfile *profile, SeccompFilter *ret, Err *err)
{
        _cleanup_strbuf_ StrBuf key = { 0 };
        char name[40];

        make_key(profile, &key);
        snprintf(name, sizeof(name), "seccomp-%016" PRIx64, hash(&key));
        if (load(dir_fd, name, &key, ret))
                return 0;
        int r = seccomp_filter_compile(profile, ret, err);
        if (r == 0)
                save(dir_fd, name, &key, ret);
        return r;
}
