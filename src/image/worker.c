/* SPDX-License-Identifier: Apache-2.0 */
/* worker.c - tare-image: reads the request, splits for a transfer, runs the verb. See image.h.
 *
 *      started process = applier                      child = fetcher
 *      ingest_fd, layers_fd, events (stdout)          source (registry, layout)
 *           <------------- frames (pipe) ---------------
 *           -------------- credits (pipe) ------------->
 *           -------------- life (pipe) ---------------->  closes when the applier ends, however
 *           <============= ring (shared memory) ========
 *
 * What needs the rights of whoever started us (opening the ingest folder, the source) is done
 * before the fork. */
#include "image/image.h"

#include <errno.h>
#include <fcntl.h>
#include <locale.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/io.h"
#include "base/log.h"
#include "base/path.h"
#include "content/digest.h"
#include "image/apply.h"
#include "image/confine.h"
#include "image/event.h"
#include "image/fetch.h"
#include "image/limits.h"
#include "image/prefetch.h"
#include "image/request.h"
#include "image/source-layout.h"
#include "image/source-registry.h"
#include "image/source-registry.h"
#include "image/verbs.h"

#define PIPE_SIZE (1 << 20)

typedef struct Transfer {
        const ImageRequest *req;
        ImageVerb verb;
        int ingest_fd, layers_fd;
        int frames[2], credits[2], life[2];
        Ring ring;
        char **have; /* those of the request whose folder is there */
        LayoutFiles *files;
} Transfer;

static const char *const verb_names[_IMAGE_VERB_MAX] = {
        [IMAGE_PULL] = "pull",   [IMAGE_IMPORT] = "import", [IMAGE_PACK] = "pack",
        [IMAGE_SWEEP] = "sweep", [IMAGE_USAGE] = "usage",
};

int image_verb_parse(const char *name, ImageVerb *ret)
{
        for (int i = 0; i < _IMAGE_VERB_MAX; i++) {
                if (!str_eq(verb_names[i], name))
                        continue;
                *ret = (ImageVerb)i;
                return 0;
        }
        return -EINVAL;
}

static int open_folder(const char *path, int *ret, Err *err)
{
        *ret = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        return *ret < 0 ? err_sys(err, errno, "open folder %s", path) : 0;
}

/* A layer that is promised but gone is transferred. */
static int look_at_layers(Transfer *t, Err *err)
{
        struct stat st;

        if (!t->req->layers_dir)
                return 0;
        int r = open_folder(t->req->layers_dir, &t->layers_fd, err);
        if (r < 0)
                return r;
        for (size_t i = 0; t->req->have && t->req->have[i]; i++) {
                const char *hex = digest_hex(t->req->have[i]);
                if (!hex)
                        return err_set(err, ERR_INVALID, "have: '%.100s' is not a chain id",
                                       t->req->have[i]);
                _cleanup_free_ char *fs = path_join(hex, "fs");
                if (fstatat(t->layers_fd, fs, &st, AT_SYMLINK_NOFOLLOW) == 0 && S_ISDIR(st.st_mode))
                        strv_push(&t->have, t->req->have[i]);
        }
        return 0;
}

static int prepare(Transfer *t, Err *err)
{
        char warm[DIGEST_TEXT_SIZE];

        /* OpenSSL reads its configuration at the first use: now, while it may */
        digest_of("", 0, warm);
        int r = open_folder(t->req->ingest, &t->ingest_fd, err);
        if (r == 0)
                r = look_at_layers(t, err);
        if (r == 0 && t->verb == IMAGE_IMPORT)
                r = layout_files_open(t->req->path, &t->files, err);
        if (r < 0)
                return r;
        if (pipe2(t->frames, O_CLOEXEC) < 0 || pipe2(t->credits, O_CLOEXEC) < 0 ||
            pipe2(t->life, O_CLOEXEC) < 0)
                return err_sys(err, errno, "make pipes");
        (void)fcntl(t->frames[1], F_SETPIPE_SZ, PIPE_SIZE); /* only faster: a small one works too */
        r = ring_map(&t->ring);
        return r < 0 ? err_sys(err, -r, "map shared memory") : 0;
}

static void transfer_done(Transfer *t)
{
        int *fds[] = { &t->ingest_fd,  &t->layers_fd,  &t->frames[0], &t->frames[1],
                       &t->credits[0], &t->credits[1], &t->life[0],   &t->life[1] };

        for (size_t i = 0; i < array_len(fds); i++)
                *fds[i] = fd_close(*fds[i]);
        ring_unmap(&t->ring);
        strv_free(t->have);
        layout_files_free(t->files);
}

/* A thread of the fetcher: there is no other way for it to learn, in the middle of whatever it
 * waits for, that the applier is gone. */
static void *watch_applier(void *data)
{
        char c;

        while (read(*(int *)data, &c, 1) < 0 && errno == EINTR)
                continue;
        _exit(1);
}

/* stdin and stdout are the applier's. */
static int leave_stdio(Err *err)
{
        _cleanup_close_ int null = open("/dev/null", O_RDWR | O_CLOEXEC);

        if (null < 0 || dup2(null, 0) < 0 || dup2(null, 1) < 0)
                return err_sys(err, errno, "open /dev/null");
        return 0;
}

/* In this order: what takes our rights, what takes them away, what reads foreign bytes. */
static int open_source(Transfer *t, Source **ret, Err *err)
{
        const bool pull = t->verb == IMAGE_PULL;
        pthread_t watcher;
        int r = 0;

        if (pull)
                r = source_open_registry(t->req, ret, err);
        if (r == 0)
                r = confine_fetcher(
                        &(ConfineFetcher){
                                .source_fd = t->files ? layout_files_fd(t->files) : -EBADF,
                                .network = pull,
                        },
                        err);
        if (r < 0)
                return r;
        r = pthread_create(&watcher, NULL, watch_applier, &t->life[0]);
        if (r != 0)
                return err_sys(err, r, "start a thread");
        return pull ? 0 : source_open_layout(take_ptr(t->files), t->req->reference, ret, err);
}

/* Files without a name, in the ingest folder while we still may. Not every file system has them. */
static size_t open_slots(const Transfer *t, int *slots)
{
        size_t n = 0;

        while (t->verb == IMAGE_PULL && n < PREFETCH_SLOTS) {
                slots[n] = openat(t->ingest_fd, ".", O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
                if (slots[n] < 0)
                        break;
                n++;
        }
        return n;
}

static int fetch(Transfer *t, FrameWriter *out, Err *err)
{
        Source *source = NULL;
        int slots[PREFETCH_SLOTS];
        size_t n_slots = open_slots(t, slots);

        t->ingest_fd = fd_close(t->ingest_fd);
        int r = leave_stdio(err);
        if (r == 0)
                r = open_source(t, &source, err);
        if (r < 0)
                return r;
        r = fetch_image(&(FetchOptions){ .source = source,
                                         .reference = t->req->reference,
                                         .platform = t->req->platform,
                                         .have = t->have,
                                         .slots = slots,
                                         .n_slots = n_slots,
                                         .max_unpacked_bytes = t->req->max_unpacked_bytes,
                                         .out = out,
                                         .ring = &t->ring },
                        err);
        if (r == 0)
                source_free(source); /* else threads may still use it; all ends with the process */
        return r;
}

static int fetcher_main(Transfer *t)
{
        Err err = {};
        FrameWriter out = { .fd = t->frames[1] };

        t->frames[0] = fd_close(t->frames[0]);
        t->credits[1] = fd_close(t->credits[1]);
        t->life[1] = fd_close(t->life[1]);
        t->layers_fd = fd_close(t->layers_fd);
        t->ring.credit_fd = t->credits[0];
        int r = fetch(t, &out, &err);
        r = fetch_end(&out, r < 0 ? &err : NULL);
        frame_writer_done(&out);
        return r < 0;
}

/* Why there was no last word. */
static int explain_death(int status, Err *err)
{
        if (WIFSIGNALED(status))
                return err_set(err, ERR_INTERNAL, "the fetcher was ended by signal %d (%s)",
                               WTERMSIG(status), strsignal(WTERMSIG(status)));
        return err_set(err, ERR_INTERNAL, "the fetcher ended with status %d and said nothing",
                       WEXITSTATUS(status));
}

static int apply(Transfer *t, pid_t fetcher, bool privileged, Err *err)
{
        bool ended = false;
        int status = 0;

        t->frames[1] = fd_close(t->frames[1]);
        t->credits[0] = fd_close(t->credits[0]);
        t->life[0] = fd_close(t->life[0]);
        t->ring.credit_fd = t->credits[1];
        layout_files_free(take_ptr(t->files));
        int r = confine_applier(t->ingest_fd, t->layers_fd, err);
        if (r == 0)
                r = apply_run(&(ApplyOptions){ .ingest_fd = t->ingest_fd,
                                               .layers_fd = t->layers_fd,
                                               .frames_fd = t->frames[0],
                                               .events_fd = STDOUT_FILENO,
                                               .ring = &t->ring,
                                               .privileged = privileged,
                                               .max_unpacked_bytes = t->req->max_unpacked_bytes },
                              &ended, err);
        else
                ended = true;
        /* it ends now, if it has not: by the closed pipes */
        t->frames[0] = fd_close(t->frames[0]);
        t->credits[1] = fd_close(t->credits[1]);
        t->life[1] = fd_close(t->life[1]);
        while (waitpid(fetcher, &status, 0) < 0 && errno == EINTR)
                continue;
        if (r == -EIO && !ended && err->kind == ERR_INTERNAL && status != 0)
                return explain_death(status, err);
        return r;
}

static int run_transfer(ImageVerb verb, const ImageRequest *req, Err *err)
{
        Transfer t = {
                .req = req,
                .verb = verb,
                .ingest_fd = -EBADF,
                .layers_fd = -EBADF,
                .frames = { -EBADF, -EBADF },
                .credits = { -EBADF, -EBADF },
                .life = { -EBADF, -EBADF },
        };
        bool privileged = confine_is_root();

        int r = prepare(&t, err);
        if (r == 0) {
                pid_t pid = fork();
                if (pid == 0)
                        _exit(fetcher_main(&t)); /* nothing of the applier's is to be flushed */
                r = pid < 0 ? err_sys(err, errno, "fork") : apply(&t, pid, privileged, err);
        }
        transfer_done(&t);
        return r;
}

static int run_verb(ImageVerb verb, const ImageRequest *req, Err *err)
{
        switch (verb) {
        case IMAGE_PULL:
        case IMAGE_IMPORT:
                return run_transfer(verb, req, err);
        case IMAGE_PACK:
                return verb_pack(req, STDOUT_FILENO, err);
        case IMAGE_SWEEP:
                return verb_sweep(req, err);
        case IMAGE_USAGE:
                return verb_usage(req, STDOUT_FILENO, err);
        case _IMAGE_VERB_MAX:
                break;
        }
        return err_set(err, ERR_INVALID, "no such verb");
}

/* Open folders of layers below, and of the path at hand. */
static void raise_file_limit(void)
{
        struct rlimit limit;

        if (getrlimit(RLIMIT_NOFILE, &limit) == 0 && limit.rlim_cur < limit.rlim_max) {
                limit.rlim_cur = limit.rlim_max < 65536 ? limit.rlim_max : 65536;
                (void)setrlimit(RLIMIT_NOFILE, &limit); /* enough for all but the strangest image */
        }
}

int image_worker_main(ImageVerb verb)
{
        _cleanup_strbuf_ StrBuf text = {};
        ImageRequest req = {};
        Err err = {};

        (void)signal(SIGPIPE, SIG_IGN);       /* a valid signal: cannot fail */
        (void)setlocale(LC_CTYPE, "C.UTF-8"); /* see tar-read.c; without it only slower */
        (void)umask(0);                       /* modes are those of the image */
        raise_file_limit();
        int r = io_read_all(STDIN_FILENO, &text, IMAGE_REQUEST_MAX);
        if (r < 0)
                r = err_sys(&err, -r, "read the request on standard input");
        else
                r = image_request_parse(verb, text.data ? text.data : "", text.len, &req, &err);
        if (text.data)
                explicit_bzero(text.data, text.len); /* it may hold a password */
        if (r == 0)
                r = run_verb(verb, &req, &err);
        image_request_done(&req);
        if (r < 0)
                (void)event_print_error(STDOUT_FILENO, &err);
        return r < 0 ? EXIT_FAILURE : EXIT_SUCCESS;
}
