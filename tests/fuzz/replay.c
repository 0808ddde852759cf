/* SPDX-License-Identifier: Apache-2.0 */
/* replay.c - main() of a fuzzer in builds without libFuzzer: runs every file of the folders or
 * files named on the command line once. A folder without files is a failure: a corpus is wanted. */
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>

#include "base/cleanup.h"
#include "base/io.h"
#include "base/str.h"
#include "fuzz/fuzz.h"

#define INPUT_MAX ((size_t)16 << 20)

static int run_file(int dirfd, const char *path)
{
        _cleanup_strbuf_ StrBuf b = {};
        int r = io_read_file(dirfd, path, INPUT_MAX, &b);

        if (r < 0) {
                fprintf(stderr, "%s: %s\n", path, strerror(-r));
                return r;
        }
        /* a copy without the NUL behind it, so that reading past the end is seen by ASan */
        uint8_t *exact = malloc(b.len ? b.len : 1);
        tare_assert(exact);
        if (b.len)
                memcpy(exact, b.data, b.len);
        LLVMFuzzerTestOneInput(exact, b.len);
        free(exact);
        return 0;
}

static int run_folder(const char *path)
{
        _cleanup_closedir_ DIR *dir = opendir(path);
        int count = 0;

        if (!dir) {
                perror(path);
                return -1;
        }
        for (const struct dirent *e; (e = readdir(dir));) {
                if (e->d_name[0] == '.')
                        continue;
                if (run_file(dirfd(dir), e->d_name) < 0)
                        return -1;
                count++;
        }
        if (count == 0)
                fprintf(stderr, "%s: no files\n", path);
        return count ? 0 : -1;
}

int main(int argc, char **argv)
{
        int failed = argc < 2;

        for (int i = 1; i < argc; i++) {
                struct stat st;
                bool folder = stat(argv[i], &st) == 0 && S_ISDIR(st.st_mode);
                failed |= (folder ? run_folder(argv[i]) : run_file(AT_FDCWD, argv[i])) < 0;
        }
        return failed;
}
