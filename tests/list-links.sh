#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# list-links.sh FOLDER PREFIX - for the build: every FOLDER/PREFIX-*.c, as "PREFIX-x:base sys".
# The folders it links are named in its first lines as "/* links: base sys */"; "base" by default.
set -eu
cd "$1"
for file in "$2"-*.c; do
        [ -e "$file" ] || continue
        links=$(sed -n '1,30s|^/\* links: \(.*\) \*/$|\1|p' "$file")
        echo "${file%.c}:${links:-base}"
done | LC_ALL=C sort
