/* SPDX-License-Identifier: Apache-2.0 */
/* mount-options.c - see mount-options.h. */
#include "runtime/mount-options.h"

#include <stdlib.h>
#include <sys/mount.h>

#include "base/cleanup.h"
#include "base/str.h"

typedef enum WordKind {
        WORD_NOTHING,
        WORD_SET, /* later words win over earlier ones */
        WORD_CLEAR,
        WORD_REC_SET,
        WORD_REC_CLEAR,
        WORD_PROPAGATION,
        WORD_REC_PROPAGATION,
        WORD_DATA, /* a flag of the file system, not of the mount */
        WORD_BIND,
        WORD_REC_BIND,
        WORD_IDMAP,
        WORD_REC_IDMAP,
        WORD_COPY_UP,
} WordKind;

/* Of an access-time word: the field of two bits is cleared whole before a value is set in it. */
#define ATIME MOUNT_ATTR__ATIME

static const struct {
        const char *word;
        WordKind kind;
        uint64_t value;
} words[] = {
        { "async", WORD_NOTHING, 0 },
        { "atime", WORD_CLEAR, ATIME },
        { "bind", WORD_BIND, 0 },
        { "defaults", WORD_NOTHING, 0 },
        { "dev", WORD_CLEAR, MOUNT_ATTR_NODEV },
        { "diratime", WORD_CLEAR, MOUNT_ATTR_NODIRATIME },
        { "dirsync", WORD_DATA, 0 },
        { "exec", WORD_CLEAR, MOUNT_ATTR_NOEXEC },
        { "idmap", WORD_IDMAP, 0 },
        { "iversion", WORD_DATA, 0 },
        { "lazytime", WORD_DATA, 0 },
        { "loud", WORD_NOTHING, 0 },
        { "mand", WORD_DATA, 0 },
        { "noatime", WORD_SET, MOUNT_ATTR_NOATIME },
        { "nodev", WORD_SET, MOUNT_ATTR_NODEV },
        { "nodiratime", WORD_SET, MOUNT_ATTR_NODIRATIME },
        { "noexec", WORD_SET, MOUNT_ATTR_NOEXEC },
        { "noiversion", WORD_NOTHING, 0 },
        { "nolazytime", WORD_NOTHING, 0 },
        { "nomand", WORD_NOTHING, 0 },
        { "norelatime", WORD_CLEAR, ATIME },
        { "nostrictatime", WORD_CLEAR, ATIME },
        { "nosuid", WORD_SET, MOUNT_ATTR_NOSUID },
        { "nosymfollow", WORD_SET, MOUNT_ATTR_NOSYMFOLLOW },
        { "private", WORD_PROPAGATION, MS_PRIVATE },
        { "ratime", WORD_REC_CLEAR, ATIME },
        { "rbind", WORD_REC_BIND, 0 },
        { "rdev", WORD_REC_CLEAR, MOUNT_ATTR_NODEV },
        { "rdiratime", WORD_REC_CLEAR, MOUNT_ATTR_NODIRATIME },
        { "relatime", WORD_SET, MOUNT_ATTR_RELATIME },
        { "remount", WORD_NOTHING, 0 },
        { "rexec", WORD_REC_CLEAR, MOUNT_ATTR_NOEXEC },
        { "ridmap", WORD_REC_IDMAP, 0 },
        { "rnoatime", WORD_REC_SET, MOUNT_ATTR_NOATIME },
        { "rnodev", WORD_REC_SET, MOUNT_ATTR_NODEV },
        { "rnodiratime", WORD_REC_SET, MOUNT_ATTR_NODIRATIME },
        { "rnoexec", WORD_REC_SET, MOUNT_ATTR_NOEXEC },
        { "rnorelatime", WORD_REC_CLEAR, ATIME },
        { "rnostrictatime", WORD_REC_CLEAR, ATIME },
        { "rnosuid", WORD_REC_SET, MOUNT_ATTR_NOSUID },
        { "rnosymfollow", WORD_REC_SET, MOUNT_ATTR_NOSYMFOLLOW },
        { "ro", WORD_SET, MOUNT_ATTR_RDONLY },
        { "rprivate", WORD_REC_PROPAGATION, MS_PRIVATE },
        { "rrelatime", WORD_REC_SET, MOUNT_ATTR_RELATIME },
        { "rro", WORD_REC_SET, MOUNT_ATTR_RDONLY },
        { "rrw", WORD_REC_CLEAR, MOUNT_ATTR_RDONLY },
        { "rshared", WORD_REC_PROPAGATION, MS_SHARED },
        { "rslave", WORD_REC_PROPAGATION, MS_SLAVE },
        { "rstrictatime", WORD_REC_SET, MOUNT_ATTR_STRICTATIME },
        { "rsuid", WORD_REC_CLEAR, MOUNT_ATTR_NOSUID },
        { "rsymfollow", WORD_REC_CLEAR, MOUNT_ATTR_NOSYMFOLLOW },
        { "runbindable", WORD_REC_PROPAGATION, MS_UNBINDABLE },
        { "rw", WORD_CLEAR, MOUNT_ATTR_RDONLY },
        { "shared", WORD_PROPAGATION, MS_SHARED },
        { "silent", WORD_NOTHING, 0 },
        { "slave", WORD_PROPAGATION, MS_SLAVE },
        { "strictatime", WORD_SET, MOUNT_ATTR_STRICTATIME },
        { "suid", WORD_CLEAR, MOUNT_ATTR_NOSUID },
        { "symfollow", WORD_CLEAR, MOUNT_ATTR_NOSYMFOLLOW },
        { "sync", WORD_DATA, 0 },
        { "tmpcopyup", WORD_COPY_UP, 0 },
        { "unbindable", WORD_PROPAGATION, MS_UNBINDABLE },
};

const char *mount_options_word(unsigned i)
{
        return i < array_len(words) ? words[i].word : NULL;
}

/* value goes into `to` and out of `from`. RELATIME is 0: it is the field, cleared. */
static void move_bits(uint64_t *to, uint64_t *from, uint64_t value, bool set)
{
        bool atime = value == MOUNT_ATTR_RELATIME || (value & ATIME);

        if (set && atime) {
                *to = (*to & ~(uint64_t)ATIME) | value;
                *from |= ATIME;
                return;
        }
        *to |= value;
        *from &= ~value;
}

static int add_propagation(MountOptions *o, uint64_t flag, bool recursive, Err *err)
{
        if (o->n_propagation == MOUNT_PROPAGATIONS_MAX)
                return err_set(err, ERR_INVALID, "more than %d propagation options",
                               MOUNT_PROPAGATIONS_MAX);
        o->propagation[o->n_propagation].flag = flag;
        o->propagation[o->n_propagation++].recursive = recursive;
        return 0;
}

static int add_word(MountOptions *o, size_t i, Err *err)
{
        uint64_t v = words[i].value;

        switch (words[i].kind) {
        case WORD_NOTHING:
        case WORD_DATA:
                break;
        case WORD_SET:
                move_bits(&o->set, &o->clear, v, true);
                break;
        case WORD_CLEAR:
                move_bits(&o->clear, &o->set, v, false);
                break;
        case WORD_REC_SET:
                move_bits(&o->rec_set, &o->rec_clear, v, true);
                break;
        case WORD_REC_CLEAR:
                move_bits(&o->rec_clear, &o->rec_set, v, false);
                break;
        case WORD_PROPAGATION:
        case WORD_REC_PROPAGATION:
                return add_propagation(o, v, words[i].kind == WORD_REC_PROPAGATION, err);
        case WORD_BIND:
                o->bind = true;
                break;
        case WORD_REC_BIND:
                o->bind = o->recursive = true;
                break;
        case WORD_IDMAP:
                o->idmap = true;
                break;
        case WORD_REC_IDMAP:
                o->idmap = o->idmap_recursive = true;
                break;
        case WORD_COPY_UP:
                o->copy_up = true;
                break;
        }
        return 0;
}

int mount_options_parse(char *const *options, MountOptions *ret, Err *err)
{
        _cleanup_strbuf_ StrBuf data = { 0 };
        _cleanup_(mount_options_done) MountOptions o = { 0 };

        for (char *const *p = options; p && *p; p++) {
                size_t i = 0;
                while (i < array_len(words) && !str_eq(words[i].word, *p))
                        i++;
                if (i < array_len(words)) {
                        int r = add_word(&o, i, err);
                        if (r < 0)
                                return r;
                }
                if (i == array_len(words) || words[i].kind == WORD_DATA) {
                        if (data.len > 0)
                                strbuf_addc(&data, ',');
                        strbuf_adds(&data, *p);
                }
        }
        o.data = strbuf_take(&data);
        *ret = o;
        o.data = NULL;
        return 0;
}

void mount_options_done(MountOptions *o)
{
        free(o->data);
        o->data = NULL;
}
