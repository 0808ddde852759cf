/* SPDX-License-Identifier: Apache-2.0 */
/* exporter.c - the process that posts spans to a collector. It may block: nobody waits for it. Has
 * no rights but to open connections. */
#include <errno.h>
#include <netdb.h>
#include <poll.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/str.h"
#include "daemon/tracing.h"
#include "sys/caps.h"

#define BATCH_MAX     ((size_t)512 << 10)
#define BATCH_WAIT_MS 500
#define TIMEOUT_S     2
#define ANSWER_MAX    4096

/* A failure leaves more rights than needed, no more. */
static void drop_rights(void)
{
        const CapsSets none = { 0 };

        (void)prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
        (void)caps_drop_bounding(0);
        (void)caps_set(&none);
}

static int connect_to(const TracingUrl *u)
{
        const struct addrinfo hints = { .ai_socktype = SOCK_STREAM };
        const struct timeval limit = { .tv_sec = TIMEOUT_S };
        struct addrinfo *list = NULL;
        int fd = -EBADF;

        if (getaddrinfo(u->host, u->port, &hints, &list) != 0)
                return -EHOSTUNREACH;
        for (const struct addrinfo *a = list; a && fd < 0; a = a->ai_next) {
                fd = socket(a->ai_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
                if (fd >= 0 &&
                    (setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof(limit)) < 0 ||
                     setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof(limit)) < 0 ||
                     connect(fd, a->ai_addr, a->ai_addrlen) < 0))
                        fd = fd_close(fd);
        }
        freeaddrinfo(list);
        return fd < 0 ? -ECONNREFUSED : fd;
}

static int send_all(int fd, const char *p, size_t n)
{
        while (n > 0) {
                ssize_t sent = send(fd, p, n, MSG_NOSIGNAL);
                if (sent < 0 && errno == EINTR)
                        continue;
                if (sent <= 0)
                        return -EPIPE;
                p += sent;
                n -= (size_t)sent;
        }
        return 0;
}

/* True when the collector has taken it: status 2xx. */
static bool read_answer(int fd)
{
        char text[ANSWER_MAX];
        size_t have = 0;
        unsigned status;

        while (have < 13) { /* "HTTP/1.1 200" */
                ssize_t n = recv(fd, text + have, sizeof(text) - 1 - have, 0);
                if (n < 0 && errno == EINTR)
                        continue;
                if (n <= 0)
                        break;
                have += (size_t)n;
        }
        text[have] = 0;
        return sscanf(text, "HTTP/1.%*1u %3u", &status) == 1 && status / 100 == 2;
}

static bool post(const TracingUrl *u, const StrBuf *spans)
{
        _cleanup_strbuf_ StrBuf head = {}, body = {};
        _cleanup_close_ int fd = connect_to(u);
        bool v6 = strchr(u->host, ':');

        if (fd < 0)
                return false;
        strbuf_addf(&body,
                    "{\"resourceSpans\":[{\"resource\":{\"attributes\":["
                    "{\"key\":\"service.name\",\"value\":{\"stringValue\":\"tared\"}},"
                    "{\"key\":\"service.version\",\"value\":{\"stringValue\":\"%s\"}}]},"
                    "\"scopeSpans\":[{\"scope\":{\"name\":\"tare\"},\"spans\":[",
                    TARE_VERSION);
        strbuf_add(&body, spans->data, spans->len);
        strbuf_adds(&body, "]}]}]}");
        strbuf_addf(&head,
                    "POST %s HTTP/1.1\r\nHost: %s%s%s:%s\r\nContent-Type: application/json\r\n"
                    "Content-Length: %zu\r\nConnection: close\r\n\r\n",
                    u->path, v6 ? "[" : "", u->host, v6 ? "]" : "", u->port, body.len);
        return send_all(fd, head.data, head.len) == 0 && send_all(fd, body.data, body.len) == 0 &&
               read_answer(fd);
}

/* One message, if one comes within the time (-1: whenever). 1, 0: none, or -errno: the end. */
static int take(int fd, int wait_ms, char *message, StrBuf *batch)
{
        struct pollfd p = { .fd = fd, .events = POLLIN };
        int r = poll(&p, 1, wait_ms);

        if (r <= 0)
                return r < 0 && errno != EINTR ? -errno : 0;
        ssize_t n = recv(fd, message, TRACING_MESSAGE_MAX, 0);
        if (n <= 0)
                return n < 0 && errno == EINTR ? 0 : -EPIPE;
        if (batch->len)
                strbuf_addc(batch, ',');
        strbuf_add(batch, message, (size_t)n);
        return 1;
}

int exporter_run(const char *url, int fd)
{
        _cleanup_free_ char *message = xcalloc(1, TRACING_MESSAGE_MAX);
        _cleanup_strbuf_ StrBuf batch = {};
        TracingUrl u;
        int r = 0;

        if (tracing_parse_url(url, &u) < 0)
                return EXIT_FAILURE;
        drop_rights();
        while (r >= 0) {
                uint64_t n = 0;
                strbuf_reset(&batch);
                while (batch.len < BATCH_MAX &&
                       (r = take(fd, n ? BATCH_WAIT_MS : -1, message, &batch)) > 0)
                        n++;
                if (n == 0)
                        continue;
                TracingReport report = { 0 };
                *(post(&u, &batch) ? &report.sent : &report.failed) = n;
                if (send(fd, &report, sizeof(report), MSG_NOSIGNAL) < 0)
                        r = -EPIPE;
        }
        return EXIT_SUCCESS;
}
