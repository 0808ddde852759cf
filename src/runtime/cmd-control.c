/* SPDX-License-Identifier: Apache-2.0 */
/* cmd-control.c - the commands kill, delete, pause, resume, update. */
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/io.h"
#include "base/str.h"
#include "runtime/cgroups.h"
#include "runtime/cli.h"
#include "runtime/rdt.h"
#include "runtime/state.h"

/* "KILL", "SIGKILL", "kill", "9", "RTMIN+1" */
static int parse_signal(const char *text, int *ret, Err *err)
{
        const char *name = strncasecmp(text, "SIG", 3) == 0 ? text + 3 : text;
        uint32_t number;

        if (str_to_u32(text, &number) == 0 && number > 0 && number < _NSIG) {
                *ret = (int)number;
                return 0;
        }
        for (int i = 1; i < SIGRTMIN; i++) {
                const char *abbrev = sigabbrev_np(i);
                if (abbrev && strcasecmp(abbrev, name) == 0) {
                        *ret = i;
                        return 0;
                }
        }
        bool from_max = strncasecmp(name, "RTMAX", 5) == 0;
        if (from_max || strncasecmp(name, "RTMIN", 5) == 0) {
                const char *rest = name + 5;
                number = 0;
                bool good = !*rest ||
                            (*rest == (from_max ? '-' : '+') && str_to_u32(rest + 1, &number) == 0);
                if (good && number <= (uint32_t)(SIGRTMAX - SIGRTMIN)) {
                        *ret = from_max ? SIGRTMAX - (int)number : SIGRTMIN + (int)number;
                        return 0;
                }
        }
        return err_set(err, ERR_INVALID, "unknown signal '%s'", text);
}

int cmd_kill(const Cli *cli, int argc, char **argv, Err *err)
{
        bool all = false;
        const char *words[2];
        int signo = SIGTERM;
        const CliOption options[] = {
                { "all", 'a', CLI_BOOL, &all, "all processes of the container" },
        };

        int n = cli_parse_words(options, array_len(options), argc, argv, array_len(words), words,
                                err);
        if (n < 0)
                return n;
        if (n == 0)
                return err_set(err, ERR_INVALID, "kill: needs the container's id, and a signal");
        int r = n == 2 ? parse_signal(words[1], &signo, err) : 0;
        return r < 0 ? r : runtime_kill(&cli->ctx, words[0], signo, all, err);
}

int cmd_delete(const Cli *cli, int argc, char **argv, Err *err)
{
        bool force = false;
        const char *id;
        const CliOption options[] = {
                { "force", 'f', CLI_BOOL, &force, "end it when it runs" },
        };

        int r = cli_parse_id(options, array_len(options), argc, argv, &id, err);
        return r < 0 ? r : runtime_delete(&cli->ctx, id, force, err);
}

static int freeze(const Cli *cli, int argc, char **argv, bool on, Err *err)
{
        _cleanup_(state_done) State st = { 0 };
        const char *id;

        int r = cli_parse_id(NULL, 0, argc, argv, &id, err);
        if (r == 0)
                r = state_read(&cli->ctx, id, &st, err);
        if (r < 0)
                return r;
        RuntimeStatus status = state_status(&cli->ctx, &st);
        bool fits = on ? status == RUNTIME_RUNNING || status == RUNTIME_CREATED
                       : status == RUNTIME_PAUSED;
        if (!fits || !st.cgroup)
                return err_set(err, ERR_PRECONDITION, "container not %s: it is %s",
                               on ? "running" : "paused", runtime_status_name(status));
        _cleanup_(cgroup_freep) Cgroup *cg = cgroup_new(st.cgroup);
        return cgroup_freeze(cg, on, err);
}

int cmd_pause(const Cli *cli, int argc, char **argv, Err *err)
{
        return freeze(cli, argc, argv, true, err);
}

int cmd_resume(const Cli *cli, int argc, char **argv, Err *err)
{
        return freeze(cli, argc, argv, false, err);
}

/* -- update --------------------------------------------------------------------------------------
 */

typedef struct UpdateOptions {
        const char *file, *blkio_weight, *cpu_period, *cpu_quota, *cpu_burst, *cpu_share,
                *cpu_rt_period, *cpu_rt_runtime, *cpus, *mems, *memory, *reservation, *swap,
                *cpu_idle, *pids, *l3, *mem_bw;
} UpdateOptions;

typedef struct Number {
        const char *option, *text;
        bool *has;
        int64_t *ret; /* or */
        uint64_t *ret_u;
        bool bytes; /* may have a unit */
} Number;

/* "512", "64k", "20M", "1GiB", "-1" */
static int parse_bytes(const char *text, int64_t *ret)
{
        static const char units[] = "kmgtp";
        _cleanup_free_ char *number = xstrndup(text, strspn(text, "-0123456789"));
        const char *unit = text + strlen(number);
        int64_t scale = 1, n;

        if (*unit) {
                const char *found = strchr(units, *unit | 0x20);
                if (!found || !(str_eq(unit + 1, "") || strcasecmp(unit + 1, "b") == 0 ||
                                strcasecmp(unit + 1, "ib") == 0))
                        return -EINVAL;
                scale <<= 10 * (found - units + 1);
        }
        if (str_to_i64(number, &n) < 0 || n > INT64_MAX / scale || n < -1)
                return -EINVAL;
        *ret = n < 0 ? n : n * scale;
        return 0;
}

static int parse_number(const Number *k)
{
        if (k->bytes)
                return parse_bytes(k->text, k->ret);
        return k->ret ? str_to_i64(k->text, k->ret) : str_to_u64(k->text, k->ret_u);
}

static int set_numbers(const Number *numbers, size_t n, Err *err)
{
        for (size_t i = 0; i < n; i++) {
                const Number *k = &numbers[i];
                if (!k->text)
                        continue;
                if (parse_number(k) < 0)
                        return err_set(err, ERR_INVALID, "--%s: '%s' is not a number", k->option,
                                       k->text);
                *k->has = true;
        }
        return 0;
}

static int from_options(const UpdateOptions *o, OciResources *r, Err *err)
{
        OciCpu *c = &r->cpu;
        OciMemory *m = &r->memory;
        uint64_t weight = 0;
        const Number numbers[] = {
                { "blkio-weight", o->blkio_weight, &r->blkio.has_weight, NULL, &weight, false },
                { "cpu-period", o->cpu_period, &c->has_period, NULL, &c->period, false },
                { "cpu-quota", o->cpu_quota, &c->has_quota, &c->quota, NULL, false },
                { "cpu-burst", o->cpu_burst, &c->has_burst, NULL, &c->burst, false },
                { "cpu-share", o->cpu_share, &c->has_shares, NULL, &c->shares, false },
                { "cpu-rt-period", o->cpu_rt_period, &c->has_rt_period, NULL, &c->rt_period,
                  false },
                { "cpu-rt-runtime", o->cpu_rt_runtime, &c->has_rt_runtime, &c->rt_runtime, NULL,
                  false },
                { "cpu-idle", o->cpu_idle, &c->has_idle, &c->idle, NULL, false },
                { "memory", o->memory, &m->has_limit, &m->limit, NULL, true },
                { "memory-reservation", o->reservation, &m->has_reservation, &m->reservation, NULL,
                  true },
                { "memory-swap", o->swap, &m->has_swap, &m->swap, NULL, true },
                { "pids-limit", o->pids, &r->has_pids_limit, &r->pids_limit, NULL, false },
        };

        str_assign(&c->cpus, o->cpus);
        str_assign(&c->mems, o->mems);
        int e = set_numbers(numbers, array_len(numbers), err);
        if (e == 0 && weight != 0 && (weight < 10 || weight > 1000))
                return err_set(err, ERR_INVALID,
                               "--blkio-weight: %s is out of range; expected 10 to 1000",
                               o->blkio_weight);
        r->blkio.weight = (uint16_t)weight;
        return e;
}

static int from_file(const char *path, OciResources **ret, Err *err)
{
        _cleanup_strbuf_ StrBuf text = { 0 };
        _cleanup_json_ Json *j = NULL;

        int r = str_eq(path, "-") ? io_read_all(STDIN_FILENO, &text, JSON_CONFIG_MAX)
                                  : io_read_file(AT_FDCWD, path, JSON_CONFIG_MAX, &text);
        if (r < 0)
                return err_sys(err, -r, "--resources: read '%s'", path);
        r = json_parse(text.data, text.len, JSON_CONFIG_MAX, &j, err);
        if (r >= 0)
                r = oci_resources_from_json(j, ret, err);
        return err_wrap(err, r, "--resources '%s'", path);
}

/* A container without linux.intelRdt gets a group of its own. The record has it before it is made:
 * delete removes it. */
static int move_to_group(const Cli *cli, State *st, const RdtUpdate *u, Err *err)
{
        _cleanup_free_ pid_t *pids = NULL;
        size_t n = 0;
        int r = 0;

        if (!rdt_group_exists(RDT_ROOT, st->id)) {
                _cleanup_close_ int dir = state_open_dir(&cli->ctx, st->id, err);
                str_assign(&st->rdt, st->id);
                r = dir < 0 ? dir : state_complete(dir, st, err);
        }
        if (r < 0)
                return r;
        _cleanup_(cgroup_freep) Cgroup *cg = st->cgroup ? cgroup_new(st->cgroup) : NULL;
        if (!cg || cgroup_pids(cg, &pids, &n) < 0 || n == 0)
                return rdt_update(RDT_ROOT, st->id, u, &st->pid, 1, err);
        return rdt_update(RDT_ROOT, st->id, u, pids, n, err);
}

static int apply_rdt(const Cli *cli, State *st, const RdtUpdate *u, Err *err)
{
        _cleanup_(oci_spec_freep) OciSpec *spec = NULL;
        int r = state_read_spec(&cli->ctx, st->id, &spec, err);

        if (r < 0)
                return r;
        _cleanup_free_ char *group = rdt_group(&spec->linux.intel_rdt, st->id, st->rdt);
        return group ? rdt_update(RDT_ROOT, group, u, NULL, 0, err)
                     : move_to_group(cli, st, u, err);
}

/* What Intel RDT refuses is found before anything is changed. */
static int apply(const Cli *cli, const char *id, const OciResources *res, const RdtUpdate *rdt,
                 Err *err)
{
        _cleanup_(state_done) State st = { 0 };
        bool has_rdt = rdt->l3_cache_schema || rdt->mem_bw_schema;

        int r = state_read(&cli->ctx, id, &st, err);
        if (r < 0)
                return r;
        if (!st.cgroup || state_status(&cli->ctx, &st) == RUNTIME_STOPPED)
                return err_set(err, ERR_PRECONDITION, "container not running");
        if (has_rdt)
                r = rdt_update_check(RDT_ROOT, rdt, err);
        if (r < 0)
                return r;
        _cleanup_(cgroup_freep) Cgroup *cg = cgroup_new(st.cgroup);
        r = cgroups_update(cg, st.systemd_cgroup, res, err);
        return r == 0 && has_rdt ? apply_rdt(cli, &st, rdt, err) : r;
}

int cmd_update(const Cli *cli, int argc, char **argv, Err *err)
{
        _cleanup_(oci_resources_freep) OciResources *res = NULL;
        UpdateOptions o = { 0 };
        const char *id, *ignored;
        const CliOption options[] = {
                { "resources", 'r', CLI_STR, &o.file, "linux.resources as JSON; -: standard input",
                  "FILE" },
                { "blkio-weight", 0, CLI_STR, &o.blkio_weight, "share of block devices, 10 to 1000",
                  "N" },
                { "cpu-period", 0, CLI_STR, &o.cpu_period, "length of a period", "US" },
                { "cpu-quota", 0, CLI_STR, &o.cpu_quota,
                  "time of all CPUs in a period; -1: no limit", "US" },
                { "cpu-burst", 0, CLI_STR, &o.cpu_burst, "unused time that may be used later",
                  "US" },
                { "cpu-share", 0, CLI_STR, &o.cpu_share, "share of CPUs, 2 to 262144", "N" },
                { "cpu-rt-period", 0, CLI_STR, &o.cpu_rt_period, "length of a real-time period",
                  "US" },
                { "cpu-rt-runtime", 0, CLI_STR, &o.cpu_rt_runtime, "real-time of a period", "US" },
                { "cpuset-cpus", 0, CLI_STR, &o.cpus, "CPUs", "LIST" },
                { "cpuset-mems", 0, CLI_STR, &o.mems, "memory nodes", "LIST" },
                { "memory", 0, CLI_STR, &o.memory, "limit of memory; -1: none", "BYTES" },
                { "memory-reservation", 0, CLI_STR, &o.reservation, "what is kept under pressure",
                  "BYTES" },
                { "memory-swap", 0, CLI_STR, &o.swap, "limit of memory and swap; -1: none",
                  "BYTES" },
                { "cpu-idle", 0, CLI_STR, &o.cpu_idle, "runs only when nothing else does", "0|1" },
                { "pids-limit", 0, CLI_STR, &o.pids, "limit of processes; -1: none", "N" },
                { "l3-cache-schema", 0, CLI_STR, &o.l3, "lines of Intel RDT for the L3 cache",
                  "SCHEMA" },
                { "mem-bw-schema", 0, CLI_STR, &o.mem_bw, "line of Intel RDT for memory bandwidth",
                  "SCHEMA" },
                { "kernel-memory", 0, CLI_STR, &ignored, NULL, NULL },
                { "kernel-memory-tcp", 0, CLI_STR, &ignored, NULL, NULL },
        };

        int r = cli_parse_id(options, array_len(options), argc, argv, &id, err);
        if (r == 0 && o.file) {
                r = from_file(o.file, &res, err);
        } else if (r == 0) {
                res = xnew(OciResources);
                r = from_options(&o, res, err);
        }
        RdtUpdate rdt = { .l3_cache_schema = o.l3, .mem_bw_schema = o.mem_bw };
        return r < 0 ? r : apply(cli, id, res, &rdt, err);
}
