/* SPDX-License-Identifier: Apache-2.0 */
/* fuzz-image-entries.c - bytes in the place of the fetcher: the applier must stay within its ingest
 * folder and refuse what is no frame. A file beside the folder must not change. Runs as nobody when
 * started as root. */
/* links: image */
#include "fuzz/fuzz.h"

#include <fcntl.h>
#include <ftw.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/io.h"
#include "image/apply.h"

static void make_canary(const char *dir)
{
        _cleanup_free_ char *path = xasprintf("%s/canary", dir);

        tare_assert(io_replace_file(AT_FDCWD, path, "untouched", 9, 0644, false) == 0);
}

static void check_outside(const char *dir)
{
        _cleanup_free_ char *path = xasprintf("%s/canary", dir);
        _cleanup_strbuf_ StrBuf text = {};
        struct stat st;

        tare_assert(lstat(path, &st) == 0 && S_ISREG(st.st_mode) && st.st_nlink == 1);
        tare_assert((st.st_mode & 07777) == 0644);
        tare_assert(io_read_file(AT_FDCWD, path, 100, &text) == 0 &&
                    str_eq(text.data, "untouched"));
}

static void apply(const char *ingest, const uint8_t *data, size_t size)
{
        _cleanup_close_ int ingest_fd = open(ingest, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        _cleanup_close_ int frames = memfd_create("frames", MFD_CLOEXEC);
        _cleanup_close_ int null = open("/dev/null", O_RDWR | O_CLOEXEC);
        Ring ring;
        bool ended;

        tare_assert(ingest_fd >= 0 && frames >= 0 && null >= 0 && ring_map(&ring) == 0);
        tare_assert(io_write_full(frames, data, size) == 0 && lseek(frames, 0, SEEK_SET) == 0);
        ring.credit_fd = null;
        (void)apply_run(&(ApplyOptions){ .ingest_fd = ingest_fd,
                                         .layers_fd = ingest_fd,
                                         .frames_fd = frames,
                                         .events_fd = null,
                                         .ring = &ring,
                                         .max_unpacked_bytes = 1 << 20 },
                        &ended, NULL);
        ring_unmap(&ring);
}

/* Without rights, a folder without permissions cannot be emptied. */
static int open_up(const char *path, const struct stat *st, int kind, struct FTW *at)
{
        return kind == FTW_D || kind == FTW_DNR ? chmod(path, 0700) : 0;
}

static void remove_all(const char *dir)
{
        /* a folder that could not be read is read the next time */
        for (int i = 0; i < 40 && io_remove_tree(AT_FDCWD, dir, NULL) < 0; i++)
                (void)nftw(dir, open_up, 16, FTW_PHYS);
        tare_assert(access(dir, F_OK) < 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
        char dir[] = "/dev/shm/tare-fuzz-XXXXXX"; /* memory: its sync is free */

        if (geteuid() == 0)
                tare_assert(setresgid(65534, 65534, 65534) == 0 &&
                            setresuid(65534, 65534, 65534) == 0);
        tare_assert(mkdtemp(dir));
        _cleanup_free_ char *ingest = xasprintf("%s/ingest", dir);
        tare_assert(mkdir(ingest, 0700) == 0);
        (void)umask(0);
        make_canary(dir);
        apply(ingest, data, size);
        check_outside(dir);
        remove_all(dir);
        return 0;
}
