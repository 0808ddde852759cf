/* SPDX-License-Identifier: Apache-2.0 */
/* cni-drive.c - executes the plugins of one CniRun, one after the other, with a deadline each.
 *
 *     cni-drive add|check|del CONF_DIR BIN_DIR:.. CACHE_DIR CONTAINER NETNS [OPTION...]
 *
 * NETNS "-": it is gone. Options: port=HOST:CONTAINER, timeout_ms=N, config=none (DEL and CHECK by
 * the record alone), builtin=PROGRAM (in place of the plugins; fails when it cannot),
 * udp=HOST:CONTAINER, ip=ADDRESS (of the host, of the port before it), in=RATE, out=RATE, time.
 * Prints an object:
 * {"ran":[..]} and "ips", "mac", "us" (of the programs) or "error", "kind". Exit status 0 or 1; 2:
 * wrong usage. */
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <sys/mman.h>

#include "base/clock.h"
#include "base/io.h"
#include "bridge/bridge.h"
#include "network/cni.h"
#include "sys/pidfd.h"
#include "sys/spawn.h"

#define PORTS_MAX 16

typedef struct Drive {
        CniVerb verb;
        const char *conf_dir, *bin_dirs;
        bool no_config;
        const char *builtin;
        bool timed;
        int timeout_ms;
        CniPortMapping ports[PORTS_MAX];
        CniAttachment att;
        Json *report, *ran;
} Drive;

/* --- one plugin --- */

static int end_of(int pidfd, int timeout_ms)
{
        struct pollfd p = { .fd = pidfd, .events = POLLIN };
        int n, status = 0;

        do
                n = poll(&p, 1, timeout_ms);
        while (n < 0 && errno == EINTR);
        if (n == 0)
                (void)pidfd_kill(pidfd, SIGKILL); /* it may have ended by now */
        int r = pidfd_reap(pidfd, true, &status);
        return n == 0 ? -ETIMEDOUT : r < 0 ? r : (int)process_exit_code(status);
}

static int execute(const CniExec *x, int timeout_ms, StrBuf *out, StrBuf *errout)
{
        _cleanup_close_ int in = memfd_create("in", MFD_CLOEXEC);
        _cleanup_close_ int out_fd = memfd_create("out", MFD_CLOEXEC);
        _cleanup_close_ int err_fd = memfd_create("err", MFD_CLOEXEC);
        _cleanup_close_ int pidfd = -EBADF;
        Spawn opt = SPAWN_INIT;

        tare_assert(in >= 0 && out_fd >= 0 && err_fd >= 0);
        tare_assert(io_write_full(in, x->input, x->input_len) == 0 && lseek(in, 0, SEEK_SET) == 0);
        opt.path = x->path;
        opt.argv = (char *[]){ (char *)x->path, NULL };
        opt.envp = x->env;
        opt.stdio[0] = in;
        opt.stdio[1] = out_fd;
        opt.stdio[2] = err_fd;
        int code = spawn_program(&opt, NULL, &pidfd);
        if (code < 0)
                return code;
        code = end_of(pidfd, timeout_ms);
        tare_assert(lseek(out_fd, 0, SEEK_SET) == 0 && lseek(err_fd, 0, SEEK_SET) == 0);
        if (io_read_all(out_fd, out, CNI_OUTPUT_MAX) < 0 ||
            io_read_all(err_fd, errout, CNI_OUTPUT_MAX) < 0)
                return -E2BIG;
        return code;
}

/* --- the walk --- */

static int walk(Drive *d, CniRun *run, Err *err)
{
        CniExec x;
        int r;

        while ((r = cni_run_next(run, &x, err)) > 0) {
                _cleanup_strbuf_ StrBuf out = {}, errout = {};
                json_object_array_add(d->ran, json_object_new_string(x.plugin));
                int code = execute(&x, d->timeout_ms, &out, &errout);
                r = cni_run_done(run, code, out.data, out.len, errout.data, err);
                if (r < 0)
                        return r;
        }
        if (r < 0 || d->verb != CNI_ADD)
                return r;
        CniResult result = {};
        r = cni_run_result(run, &result, err);
        if (r < 0)
                return r;
        json_add_strv(d->report, "ips", result.ips);
        json_add_str_opt(d->report, "mac", result.mac);
        cni_result_done(&result);
        return 0;
}

static int drive(Drive *d, Err *err)
{
        _cleanup_strv_ char **bin_dirs = strv_split(d->bin_dirs, ":");
        CniConfig *config = NULL;
        CniRun *run = NULL;
        int r = d->no_config ? 0 : cni_config_load(d->conf_dir, bin_dirs, &config, err);

        if (r >= 0)
                r = cni_run_new(config, d->verb, &d->att, &run, err);
        cni_config_unref(config);
        if (r >= 0 && d->builtin) {
                _cleanup_json_ Json *request = cni_run_request(run);
                r = bridge_check(request, bin_dirs, getenv("PATH"), err);
                if (r >= 0)
                        cni_run_replace(run, d->builtin, request);
        }
        uint64_t start_ns = clock_mono_ns();
        if (r >= 0)
                r = walk(d, run, err);
        if (d->timed)
                json_add_u64(d->report, "us", (clock_mono_ns() - start_ns) / NS_PER_US);
        cni_run_free(run);
        return r;
}

/* --- command line --- */

static int take_option(Drive *d, const char *arg)
{
        const char *tcp = str_skip_prefix(arg, "port="), *udp = str_skip_prefix(arg, "udp=");
        const char *port = str_or(tcp, udp), *ms = str_skip_prefix(arg, "timeout_ms=");
        const char *ip = str_skip_prefix(arg, "ip=");
        const char *in = str_skip_prefix(arg, "in="), *out = str_skip_prefix(arg, "out=");
        CniPortMapping *m = &d->ports[d->att.n_ports];

        if (ip && d->att.n_ports > 0) {
                m[-1].host_ip = ip;
                return 0;
        }
        if (in || out)
                return cni_bandwidth_parse(str_or(in, out),
                                           in ? &d->att.ingress_rate : &d->att.egress_rate, NULL);
        if (str_eq(arg, "time")) {
                d->timed = true;
                return 0;
        }
        if (str_skip_prefix(arg, "builtin=")) {
                d->builtin = str_skip_prefix(arg, "builtin=");
                return 0;
        }
        if (port && d->att.n_ports < PORTS_MAX) {
                _cleanup_strv_ char **parts = strv_split(port, ":");
                if (strv_len(parts) != 2 || str_to_u32(parts[0], &m->host_port) < 0 ||
                    str_to_u32(parts[1], &m->container_port) < 0)
                        return -EINVAL;
                m->protocol = tcp ? "tcp" : "udp";
                d->att.n_ports++;
                return 0;
        }
        if (ms) {
                uint32_t value;
                int r = str_to_u32(ms, &value);
                d->timeout_ms = r < 0 ? 0 : (int)value;
                return r;
        }
        d->no_config = str_eq(arg, "config=none");
        return d->no_config ? 0 : -EINVAL;
}

static int take_verb(const char *arg, CniVerb *ret)
{
        static const char *const verbs[] = {
                [CNI_ADD] = "add", [CNI_CHECK] = "check", [CNI_DEL] = "del"
        };

        for (size_t i = 0; i < array_len(verbs); i++)
                if (str_eq(arg, verbs[i])) {
                        *ret = (CniVerb)i;
                        return 0;
                }
        return -EINVAL;
}

int main(int argc, char **argv)
{
        Drive d = { .timeout_ms = 20000 };
        Err err = {};

        if (argc < 7 || take_verb(argv[1], &d.verb) < 0)
                return 2;
        d.conf_dir = argv[2];
        d.bin_dirs = argv[3];
        d.att = (CniAttachment){ .container_id = argv[5],
                                 .netns = str_eq(argv[6], "-") ? NULL : argv[6],
                                 .ifname = "eth0",
                                 .pod_namespace = "default",
                                 .pod_name = "web",
                                 .pod_uid = "1234",
                                 .ports = d.ports,
                                 .cache_dir = argv[4] };
        for (int i = 7; i < argc; i++)
                if (take_option(&d, argv[i]) < 0)
                        return 2;
        d.report = json_object_new_object();
        d.ran = json_add_array(d.report, "ran");
        int r = drive(&d, &err);
        if (r < 0) {
                json_add_str(d.report, "error", err.msg);
                json_add_str(d.report, "kind", err_kind_symbol(err.kind));
        }
        _cleanup_free_ char *text = json_print(d.report);
        puts(text);
        json_object_put(d.report);
        return r < 0 ? EXIT_FAILURE : EXIT_SUCCESS;
}
