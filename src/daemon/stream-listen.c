/* SPDX-License-Identifier: Apache-2.0 */
/* stream-listen.c - the socket of exec, attach and port-forward: [stream] address and port. Runs in
 * tared at its start. A daemon that may take any port takes the one that the daemon before it had:
 * clients have its URLs. */
#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/log.h"
#include "daemon/daemon-internal.h"

#define BACKLOG            1024
#define LISTEN_PATIENCE_NS (NS_PER_S / 2)

typedef union Address {
        struct sockaddr any;
        struct sockaddr_in v4;
        struct sockaddr_in6 v6;
} Address;

static socklen_t make_address(const char *text, unsigned port, Address *ret)
{
        *ret = (Address){ .v4 = { .sin_family = AF_INET, .sin_port = htons((uint16_t)port) } };
        if (inet_pton(AF_INET, text, &ret->v4.sin_addr) == 1)
                return sizeof(ret->v4);
        *ret = (Address){ .v6 = { .sin6_family = AF_INET6, .sin6_port = htons((uint16_t)port) } };
        (void)inet_pton(AF_INET6, text, &ret->v6.sin6_addr); /* the configuration was checked */
        return sizeof(ret->v6);
}

/* Sessions of the port go on without a daemon: SO_REUSEADDR lets the next one listen there. */
static int listen_once(const char *address, unsigned port)
{
        Address a;
        socklen_t n = make_address(address, port, &a);
        _cleanup_close_ int fd =
                socket(a.any.sa_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
        const int on = 1;

        if (fd < 0 || setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on)) < 0 ||
            bind(fd, &a.any, n) < 0 || listen(fd, BACKLOG) < 0)
                return -errno;
        return take_fd(fd);
}

/* A child of a tared that was killed may hold its socket until it comes to its exec. */
static int listen_patiently(const char *address, unsigned port)
{
        uint64_t end = clock_mono_ns() + LISTEN_PATIENCE_NS;
        int fd;

        while ((fd = listen_once(address, port)) == -EADDRINUSE && port != 0 &&
               clock_mono_ns() < end)
                (void)nanosleep(&(struct timespec){ .tv_nsec = 10 * NS_PER_MS }, NULL);
        return fd;
}

static int port_of(int fd, unsigned *ret)
{
        Address a = {};
        socklen_t n = sizeof(a);

        if (getsockname(fd, &a.any, &n) < 0)
                return -errno;
        *ret = ntohs(a.any.sa_family == AF_INET6 ? a.v6.sin6_port : a.v4.sin_port);
        return 0;
}

int daemon_serve_streams(const DaemonConfig *c, Engine *e, Err *err)
{
        const char *address = c->stream_address;
        unsigned before = c->stream_port ? 0 : engine_stream_port(e);
        unsigned port = c->stream_port ? (unsigned)c->stream_port : before;
        bool v6 = strchr(address, ':') != NULL;
        int r;

        _cleanup_close_ int fd = listen_patiently(address, port);
        if (fd < 0 && before) {
                log_warning("streams: port %u of the daemon before this one cannot be had again "
                            "(%s): taking another; URLs that were given and not used are lost",
                            before, strerror(-fd));
                fd = listen_once(address, 0);
        }
        if (fd == -EADDRINUSE)
                return err_set(err, ERR_BUSY,
                               "port %u of %s is in use: stop the program that listens there, or "
                               "choose another as stream.port (0: any free one)",
                               port, address);
        if (fd < 0)
                return err_sys(err, -fd, "listen on %s port %u (stream.address, stream.port)",
                               address, port);
        r = port_of(fd, &port);
        if (r < 0)
                return err_sys(err, -r, "learn the port of streams");
        _cleanup_free_ char *url =
                xasprintf("%s://%s%s%s:%u", str_empty(c->stream_tls_cert) ? "http" : "https",
                          v6 ? "[" : "", address, v6 ? "]" : "", port);
        return engine_serve_streams(e, take_fd(fd), port, url, err);
}
