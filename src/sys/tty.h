/* SPDX-License-Identifier: Apache-2.0 */
/* tty.h - terminals of containers. All descriptors close-on-exec; 0 or fd, or -errno. */
#ifndef TARE_SYS_TTY_H
#define TARE_SYS_TTY_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

/* A new pair in the devpts instance whose root is open at devpts_fd. The slave is opened through
 * the master (TIOCGPTPEER), never by a path that the container could have changed. ret_number may
 * be NULL: N of /dev/pts/N. */
int tty_open_pair(int devpts_fd, int *ret_master, int *ret_slave, unsigned *ret_number);
int tty_set_owner(int slave_fd, uid_t uid); /* keeps the group, which devpts chose (gid=5) */
int tty_resize(int fd, uint16_t rows, uint16_t columns);
/* Makes it the terminal of the caller's session, which it leads (setsid() before). */
int tty_make_controlling(int slave_fd);
/* Raw mode, for a terminal of ours that only carries bytes. */
int tty_make_raw(int fd);
/* Off: output keeps "\n" as it is, where a new terminal makes it "\r\n". */
int tty_set_onlcr(int fd, bool on);
/* Sends the master over a unix socket, with a name in the message ("/dev/pts/0"), as OCI console
 * sockets want it. */
int tty_send_master(int sock, int master_fd, const char *name);
/* The same to the socket at a path. */
int tty_send_master_to(const char *path, int master_fd, const char *name);

#endif
