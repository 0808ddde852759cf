/* SPDX-License-Identifier: Apache-2.0 */
/* cleanup.h - ownership by attribute. Every cleanup keeps errno; every destructor takes NULL.
 * A hand-over is always spelled take_ptr() or take_fd(). "No descriptor" is -EBADF. */
#ifndef TARE_BASE_CLEANUP_H
#define TARE_BASE_CLEANUP_H

#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#define _cleanup_(fn) __attribute__((cleanup(fn)))

/* Makes fnp(T **) from fn(T *), for _cleanup_(fnp). */
#define DEFINE_CLEANUP(T, fn)                                                                      \
        __attribute__((unused)) static inline void fn##p(T **p)                                    \
        {                                                                                          \
                int saved_errno_ = errno;                                                          \
                if (*p)                                                                            \
                        fn(*p);                                                                    \
                *p = NULL;                                                                         \
                errno = saved_errno_;                                                              \
        }

static inline void cleanup_freep(void *p)
{
        int saved = errno;
        free(*(void **)p);
        errno = saved;
}

static inline void cleanup_closep(int *fd)
{
        int saved = errno;
        if (*fd >= 0)
                close(*fd);
        *fd = -EBADF;
        errno = saved;
}

DEFINE_CLEANUP(FILE, fclose)
DEFINE_CLEANUP(DIR, closedir)

#define _cleanup_free_     _cleanup_(cleanup_freep)
#define _cleanup_close_    _cleanup_(cleanup_closep)
#define _cleanup_fclose_   _cleanup_(fclosep)
#define _cleanup_closedir_ _cleanup_(closedirp)

#define take_ptr(p)                                                                                \
        ({                                                                                         \
                __typeof__(p) *from_ = &(p);                                                       \
                __typeof__(p) taken_ = *from_;                                                     \
                *from_ = NULL;                                                                     \
                taken_;                                                                            \
        })

#define take_fd(fd)                                                                                \
        ({                                                                                         \
                int *from_ = &(fd);                                                                \
                int taken_ = *from_;                                                               \
                *from_ = -EBADF;                                                                   \
                taken_;                                                                            \
        })

/* Closes fd if it is one; returns -EBADF: `x->fd = fd_close(x->fd);` */
static inline int fd_close(int fd)
{
        int saved = errno;
        if (fd >= 0)
                close(fd);
        errno = saved;
        return -EBADF;
}

#define array_len(a) (sizeof(a) / sizeof((a)[0]))

#endif
