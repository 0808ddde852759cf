/* SPDX-License-Identifier: Apache-2.0 */
/* filter.c - linux.seccomp: compiled by the parent before the clone (or taken from the cache below
 * the state root), installed by the init as late as it can be. */
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/io.h"
#include "base/log.h"
#include "runtime/setup-internal.h"
#include "runtime/state.h"

/* SECCOMP_FILTER_FLAG_TSYNC is for programs with threads, and so never needed here. */
static int parse_flags(const OciSeccomp *c, uint64_t *ret, Err *err)
{
        for (char **f = c->flags; f && *f; f++) {
                uint64_t flag;
                if (seccomp_flag_number(*f, &flag) < 0)
                        return err_set(err, ERR_INVALID, "linux.seccomp: flag '%s' is not known",
                                       *f);
                *ret |= flag;
        }
        return 0;
}

static int compile(const Setup *s, const OciSeccomp *c, SeccompFilter *ret, Err *err)
{
        _cleanup_free_ SeccompRule *rules = xnew_array(SeccompRule, c->n_rules + 1);
        SeccompProfile profile = {
                .default_action = c->default_action,
                .has_default_errno = c->has_default_errno_ret,
                .default_errno = c->default_errno_ret,
                .architectures = c->architectures,
                .rules = rules,
                .n_rules = c->n_rules,
        };
        size_t n_args = 0, used = 0;

        for (size_t i = 0; i < c->n_rules; i++)
                n_args += c->rules[i].n_args;
        _cleanup_free_ SeccompArg *args = xnew_array(SeccompArg, n_args + 1);
        for (size_t i = 0; i < c->n_rules; i++) {
                const OciSeccompRule *from = &c->rules[i];
                rules[i] = (SeccompRule){
                        .names = from->names,
                        .action = from->action,
                        .has_errno = from->has_errno_ret,
                        .errno_ = from->errno_ret,
                        .args = &args[used],
                        .n_args = from->n_args,
                };
                for (size_t k = 0; k < from->n_args; k++, used++)
                        args[used] = (SeccompArg){
                                .index = from->args[k].index,
                                .op = from->args[k].op,
                                .value = from->args[k].value,
                                .value_two = from->args[k].value_two,
                        };
        }
        _cleanup_close_ int cache = state_open_cache(s->ctx, "@seccomp");
        int r = cache >= 0 ? seccomp_filter_cached(cache, &profile, ret, err)
                           : seccomp_filter_compile(&profile, ret, err);
        return err_wrap(err, r, "linux.seccomp");
}

int filter_prepare(Setup *s, Err *err)
{
        const OciSeccomp *c = s->spec->linux.seccomp;

        if (!c || !s->process)
                return 0;
        if (c->listener_path)
                return err_set(err, ERR_UNSUPPORTED,
                               "linux.seccomp.listenerPath is not supported; leave it and the "
                               "SCMP_ACT_NOTIFY rules out");
        int r = parse_flags(c, &s->filter_flags, err);
        return r < 0 ? r : compile(s, c, &s->filter, err);
}
