/* SPDX-License-Identifier: Apache-2.0 */
/* web.c - the web server of the quickstart: one page, with the pod's name; one line of log a
 * request. `web get ADDRESS` is its client, and prints the page at an IPv4 address.
 *
 * One process, one connection at a time, no library: built with -static it is a whole image. It
 * binds to :: where the pod has IPv6, which takes IPv4 too, else to 0.0.0.0. */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE /* accept4 */
#endif
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

#define PORT        8080
#define REQUEST_MAX 4096 /* bytes of a request that are read */
#define PATIENCE_S  5    /* for one client */

/* Process 1 of a container has no default actions for signals. */
static void on_term(int signo)
{
        (void)signo;
        _exit(0);
}

static int listen_on(int family, const void *address, socklen_t size)
{
        int on = 1, fd = socket(family, SOCK_STREAM | SOCK_CLOEXEC, 0);

        if (fd < 0)
                return -1;
        (void)setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on)); /* only for restarts */
        if (bind(fd, address, size) == 0 && listen(fd, 16) == 0)
                return fd;
        (void)close(fd);
        return -1;
}

static int listen_anywhere(void)
{
        struct sockaddr_in6 six = { .sin6_family = AF_INET6, .sin6_port = htons(PORT) };
        struct sockaddr_in four = { .sin_family = AF_INET, .sin_port = htons(PORT) };
        int fd = listen_on(AF_INET6, &six, sizeof(six));

        return fd >= 0 ? fd : listen_on(AF_INET, &four, sizeof(four));
}

/* The request up to its empty line; what it asks for does not matter. */
static int read_request(int fd, char *buf, size_t size)
{
        size_t n = 0;

        while (n + 1 < size) {
                ssize_t r = recv(fd, buf + n, size - 1 - n, 0);
                if (r <= 0)
                        return -1;
                n += (size_t)r;
                buf[n] = 0;
                if (strstr(buf, "\r\n\r\n"))
                        return 0;
        }
        return -1;
}

static void answer(int fd, const char *pod, unsigned long number)
{
        char page[512], head[256];
        int len = snprintf(page, sizeof(page), "Hello from pod %.200s. This is request %lu.\n", pod,
                           number);
        int n = snprintf(head, sizeof(head),
                         "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: %d\r\n"
                         "Connection: close\r\n\r\n",
                         len);

        if (send(fd, head, (size_t)n, MSG_NOSIGNAL | MSG_MORE) == n)
                (void)send(fd, page, (size_t)len, MSG_NOSIGNAL); /* a client that left is no loss */
}

static void serve(int listener, const char *pod)
{
        const struct timeval patience = { .tv_sec = PATIENCE_S };
        unsigned long number = 0;
        char request[REQUEST_MAX];

        for (;;) {
                int fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
                if (fd < 0)
                        continue;
                (void)setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience));
                if (read_request(fd, request, sizeof(request)) == 0) {
                        answer(fd, pod, ++number);
                        request[strcspn(request, "\r\n")] = 0;
                        printf("request %lu: %.200s\n", number, request);
                }
                (void)close(fd);
        }
}

/* Prints the answer without its head. */
static int get(const char *address)
{
        static const char request[] = "GET / HTTP/1.1\r\nHost: pod\r\nConnection: close\r\n\r\n";
        struct sockaddr_in to = { .sin_family = AF_INET, .sin_port = htons(PORT) };
        const struct timeval patience = { .tv_sec = PATIENCE_S };
        char buf[REQUEST_MAX];
        size_t n = 0;
        ssize_t r;
        int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

        if (fd < 0 || inet_pton(AF_INET, address, &to.sin_addr) != 1 ||
            setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience)) < 0 ||
            connect(fd, (struct sockaddr *)&to, sizeof(to)) < 0 ||
            send(fd, request, sizeof(request) - 1, MSG_NOSIGNAL) < 0) {
                fprintf(stderr, "web: get %s: %s\n", address, strerror(errno));
                return EXIT_FAILURE;
        }
        while (n + 1 < sizeof(buf) && (r = recv(fd, buf + n, sizeof(buf) - 1 - n, 0)) > 0)
                n += (size_t)r;
        buf[n] = 0;
        char *body = strstr(buf, "\r\n\r\n");
        (void)close(fd);
        if (!body) {
                fprintf(stderr, "web: get %s: no answer\n", address);
                return EXIT_FAILURE;
        }
        fputs(body + 4, stdout);
        return EXIT_SUCCESS;
}

int main(int argc, char **argv)
{
        char pod[256] = "";
        struct sigaction term = { .sa_handler = on_term };
        int listener;

        if (argc == 3 && strcmp(argv[1], "get") == 0)
                return get(argv[2]);

        (void)sigaction(SIGTERM, &term, NULL);
        (void)sigaction(SIGINT, &term, NULL);
        setvbuf(stdout, NULL, _IOLBF, 0);
        (void)gethostname(pod, sizeof(pod) - 1);
        listener = listen_anywhere();
        if (listener < 0) {
                fprintf(stderr, "web: listen on port %d: %s\n", PORT, strerror(errno));
                return EXIT_FAILURE;
        }
        printf("pod %s listens on port %d\n", pod, PORT);
        serve(listener, pod);
}
