# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=sh
# say.sh - a line a step, with the time that it took; for quickstart and demo.sh to source.

now_ms() {
        echo $(($(date +%s%N) / 1000000))
}

# step NAME: what follows is its time.
step() {
        step_name=$1
        step_began=$(now_ms)
}

# done_step TEXT...
done_step() {
        step_took=$(($(now_ms) - step_began))
        printf '%-10s %4d.%03d s  %s\n' "$step_name" $((step_took / 1000)) \
                $((step_took % 1000)) "$*"
}

fail() {
        echo "quickstart: ${step_name:+$step_name: }$*" >&2
        exit 1
}
