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

/* The kernel refuses TSYNC with a listener, and WAIT_KILLABLE_RECV without. The first is for
 * programs with threads, of which this is none. */
static void drop_flag(Setup *s, const char *name)
{
        uint64_t flag;

        if (seccomp_flag_number(name, &flag) == 0)
                s->filter_flags &= ~flag;
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
        int r = parse_flags(c, &s->filter_flags, err);
        if (r == 0)
                r = compile(s, c, &s->filter, err);
        s->notifies = s->filter.notifies;
        if (r < 0)
                return r;
        drop_flag(s, s->notifies ? "SECCOMP_FILTER_FLAG_TSYNC"
                                 : "SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV");
        if (!s->notifies)
                return 0;
        s->agent_fd = io_unix_connect(c->listener_path);
        return s->agent_fd < 0
                       ? err_sys(err, -s->agent_fd, "linux.seccomp.listenerPath: connect to '%s'",
                                 c->listener_path)
                       : 0;
}

static int tell_agent(const Setup *s, int listener, Err *err)
{
        _cleanup_json_ Json *annotations = state_annotations(s->spec);
        _cleanup_json_ Json *j = json_object_new_object();
        RuntimeStatus status = s->exec ? RUNTIME_RUNNING : RUNTIME_CREATING;
        pid_t init = s->exec ? s->target_pid : s->host_pid;

        json_add_str(j, "ociVersion", "1.3.0");
        json_object_array_add(json_add_array(j, "fds"), json_object_new_string("seccompFd"));
        json_add_i64(j, "pid", s->host_pid);
        json_add_str_opt(j, "metadata", s->spec->linux.seccomp->listener_metadata);
        json_object_object_add(
                j, "state",
                state_to_json(str_or(s->id, ""), status, init, str_or(s->bundle, ""), annotations));
        _cleanup_free_ char *text = json_print(j);
        ssize_t r = io_send_fds(s->agent_fd, text, strlen(text), &listener, 1);
        return r < 0 ? err_sys(err, (int)-r, "linux.seccomp.listenerPath: tell the agent") : 0;
}

int filter_notify_init(Setup *s, Err *err)
{
        _cleanup_close_ int listener = -EBADF;

        if (s->agent_fd < 0)
                return 0;
        int r = selfcheck_process(s, err);
        if (r < 0)
                return r;
        r = seccomp_filter_install(&s->filter, s->filter_flags, &listener);
        if (r < 0)
                return err_sys(err, -r, "linux.seccomp: install the filter");
        r = tell_agent(s, listener, err);
        s->agent_fd = fd_close(s->agent_fd);
        seccomp_filter_done(&s->filter); /* not once more */
        return r;
}
