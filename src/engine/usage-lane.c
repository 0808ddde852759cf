/* SPDX-License-Identifier: Apache-2.0 */
/* usage-lane.c - one sampler process and the entries that wait for it. Runs in tared.
 *
 * Answers come in the order of requests, so what hangs is the oldest one out. When its time is over
 * the process is killed, the entry is told, and the others are asked of a new process. One that
 * SIGKILL does not end (the kernel holds it) is left to end when it can; its entry is not asked
 * meanwhile, and with DYING_MAX of them in a lane there are no new ones there. */
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/io.h"
#include "base/log.h"
#include "engine/usage-internal.h"
#include "sys/pidfd.h"

#define DYING_MAX     8
#define FRUITLESS_MAX 3 /* that ended in a row and answered nothing: no more for now */

/* A killed sampler, until it can be reaped. */
struct UsageDying {
        Lane *lane;
        UsageEntry *entry; /* in which it hung; NULL: in none, or it is forgotten */
        UsageDying *next;
        int pidfd;
        LoopSource *source;
};

static void pump(Lane *l);

void lane_init(Lane *l, Usage *u, const char *name, uint64_t deadline_ns)
{
        *l = (Lane){
                .usage = u, .name = name, .deadline_ns = deadline_ns, .fd = -EBADF, .pidfd = -EBADF
        };
}

static void dying_free(UsageDying *d)
{
        loop_source_free(d->source);
        fd_close(d->pidfd);
        free(d);
}

static void on_dead(void *userdata, int fd, uint32_t revents)
{
        UsageDying *d = userdata, **at = &d->lane->usage->dying;
        int status;

        if (pidfd_reap(fd, false, &status) == -EAGAIN)
                return;
        while (*at != d)
                at = &(*at)->next;
        *at = d->next;
        d->lane->n_dying--;
        if (d->entry)
                d->entry->held--;
        dying_free(d);
}

void lanes_forget_dying(Usage *u)
{
        for (UsageDying *d = take_ptr(u->dying), *next; d; d = next) {
                next = d->next;
                dying_free(d);
        }
}

void lanes_forget_held(Usage *u, const UsageEntry *entry)
{
        for (UsageDying *d = u->dying; d; d = d->next)
                if (d->entry == entry)
                        d->entry = NULL;
}

static void end_process(Lane *l, UsageEntry *hung)
{
        loop_source_free(take_ptr(l->io));
        l->fd = fd_close(l->fd);
        if (l->pidfd < 0)
                return;
        UsageDying *d = xnew(UsageDying);
        d->lane = l;
        d->entry = hung;
        if (hung)
                hung->held++;
        d->next = l->usage->dying;
        d->pidfd = take_fd(l->pidfd);
        l->usage->dying = d;
        l->n_dying++;
        (void)pidfd_kill(d->pidfd, SIGKILL); /* gone already is as good */
        d->source = loop_add_fd(l->usage->engine->world->loop, d->pidfd, EPOLLIN, on_dead, d);
}

/* What was asked of the process that has ended is asked of the next one, first. */
static void requeue(Lane *l)
{
        size_t n = 0;

        if (l->n_sent == 0)
                return;
        if (l->n_queue + l->n_sent > l->cap_queue) {
                l->cap_queue = l->n_queue + l->n_sent;
                l->queue = xrealloc(l->queue, l->cap_queue * sizeof(*l->queue));
        }
        for (size_t i = 0; i < l->n_sent; i++)
                if (l->sent[i])
                        l->sent[n++] = l->sent[i];
        memmove(l->queue + n, l->queue, l->n_queue * sizeof(*l->queue));
        memcpy(l->queue, l->sent, n * sizeof(*l->queue));
        l->n_queue += n;
        l->n_sent = 0;
}

static void drop_first_sent(Lane *l)
{
        l->n_sent--;
        memmove(l->sent, l->sent + 1, l->n_sent * sizeof(l->sent[0]));
        memmove(l->tokens, l->tokens + 1, l->n_sent * sizeof(l->tokens[0]));
}

static void arm(Lane *l)
{
        uint64_t now = l->usage->engine->world->now_mono(l->usage->engine->world);

        if (l->timer)
                loop_timer_set(l->timer, l->n_sent ? now + l->deadline_ns : 0);
}

/* There is no sampler to be had: the entries keep their last sample, with its age. */
static void drop_queue(Lane *l)
{
        UsageEntry **queue = take_ptr(l->queue);
        size_t n = l->n_queue;

        l->n_queue = l->cap_queue = l->fruitless = 0;
        for (size_t i = 0; i < n; i++) {
                queue[i]->busy = false;
                usage_failed(queue[i], false);
        }
        free(queue);
}

/* The oldest request out is the one that it died of, or hangs in. */
static void give_up(Lane *l, bool hung)
{
        UsageEntry *entry = l->n_sent ? l->sent[0] : NULL;

        if (l->n_sent)
                drop_first_sent(l);
        l->usage->engine->counters.sampler_restarts++;
        end_process(l, hung ? entry : NULL);
        requeue(l);
        arm(l);
        if (entry) {
                log_warning("%s=%s statistics: the %s %s while it read them; a new one goes on",
                            entry->is_fs    ? "layers"
                            : entry->is_pod ? "pod"
                                            : "container",
                            entry->is_fs ? engine_layers_folder(l->usage->engine) : entry->id,
                            l->name, hung ? "hung" : "ended");
                entry->busy = false;
                usage_failed(entry, true);
        }
        if (hung || ++l->fruitless < FRUITLESS_MAX)
                pump(l);
        else
                drop_queue(l);
}

static void on_deadline(void *userdata)
{
        Lane *l = userdata;

        if (l == &l->usage->lanes[0])
                l->usage->round_hung_ns += l->deadline_ns;
        give_up(l, true);
}

static void on_answer(void *userdata, int fd, uint32_t revents)
{
        Lane *l = userdata;
        union {
                Sample sample;
                uint8_t bytes[SAMPLE_BYTES_MAX];
        } buf;

        for (int i = 0; i < LANE_WINDOW; i++) {
                ssize_t n = recv(fd, &buf, sizeof(buf), MSG_DONTWAIT);
                if (n < 0 && (errno == EAGAIN || errno == EINTR))
                        break;
                if (n < (ssize_t)sizeof(Sample) || l->n_sent == 0 ||
                    buf.sample.token != l->tokens[0] || buf.sample.n_disks > SAMPLER_DISKS_MAX ||
                    buf.sample.n_pages > SAMPLER_PAGES_MAX ||
                    buf.sample.n_links > SAMPLER_LINKS_MAX ||
                    (size_t)n != sample_size(&buf.sample)) {
                        give_up(l, false);
                        return;
                }
                UsageEntry *entry = l->sent[0];
                l->fruitless = 0;
                drop_first_sent(l);
                if (entry) {
                        entry->busy = false;
                        usage_sampled(entry, &buf.sample);
                }
        }
        arm(l);
        pump(l);
}

static int start(Lane *l)
{
        World *w = l->usage->engine->world;
        Err err = {};

        if (l->n_dying >= DYING_MAX)
                return -EBUSY;
        if (w->start_sampler(w, &l->fd, &l->pidfd, &err) < 0) {
                log_error("statistics: %s", err.msg);
                return -EIO;
        }
        l->io = loop_add_fd(w->loop, l->fd, EPOLLIN, on_answer, l);
        if (!l->timer)
                l->timer = loop_add_timer(w->loop, 0, on_deadline, l);
        return 0;
}

static void pump(Lane *l)
{
        SamplerRequest q;
        size_t taken = 0;
        bool was_idle = l->n_sent == 0;

        if (l->n_queue && l->fd < 0 && start(l) < 0) {
                drop_queue(l);
                return;
        }
        while (taken < l->n_queue && l->n_sent < LANE_WINDOW) {
                UsageEntry *entry = l->queue[taken];
                memset(&q, 0, sizeof(q));
                if (usage_request(entry, &q)) {
                        q.token = ++l->last_token;
                        if (send(l->fd, &q, sizeof(q), MSG_DONTWAIT | MSG_NOSIGNAL) < 0)
                                break; /* full, or it has ended: the answers will tell */
                        l->sent[l->n_sent] = entry;
                        l->tokens[l->n_sent++] = q.token;
                } else {
                        entry->busy = false;
                        usage_failed(entry, false);
                }
                taken++;
        }
        l->n_queue -= taken;
        if (taken)
                memmove(l->queue, l->queue + taken, l->n_queue * sizeof(*l->queue));
        if (l->stop_when_idle && l->n_sent == 0 && l->n_queue == 0)
                lane_stop(l);
        else if (was_idle)
                arm(l);
}

void lane_push(Lane *l, UsageEntry *entry)
{
        entry->busy = true;
        if (l->n_queue == l->cap_queue) {
                l->cap_queue = l->cap_queue ? 2 * l->cap_queue : 64;
                l->queue = xrealloc(l->queue, l->cap_queue * sizeof(*l->queue));
        }
        l->queue[l->n_queue++] = entry;
        l->stop_when_idle = false;
}

void lane_go(Lane *l)
{
        pump(l);
}

void lane_forget(Lane *l, const UsageEntry *entry)
{
        size_t n = 0;

        for (size_t i = 0; i < l->n_queue; i++)
                if (l->queue[i] != entry)
                        l->queue[n++] = l->queue[i];
        l->n_queue = n;
        for (size_t i = 0; i < l->n_sent; i++)
                if (l->sent[i] == entry)
                        l->sent[i] = NULL;
}

void lane_stop_idle(Lane *l)
{
        if (l->n_sent == 0 && l->n_queue == 0)
                lane_stop(l);
        else
                l->stop_when_idle = true;
}

void lane_stop(Lane *l)
{
        end_process(l, NULL);
        loop_source_free(take_ptr(l->timer));
        free(take_ptr(l->queue));
        l->n_queue = l->cap_queue = l->n_sent = 0;
        l->stop_when_idle = false;
}
