# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=sh
# traces.sh - what a demonstration could have left on the machine; for quickstart to source.
#
# Things that carry the demonstration's own name are looked for everywhere; of those that do not
# (links, sysctls, folders at usual places) the state is noted before and compared afterwards.

TRACES_FOLDERS='/run/tare /run/netns /run/cni /run/mount /var/lib/tare /var/lib/cni
/etc/cni /etc/tare /var/log/pods'
TRACES_PATIENCE=30 # looks, 0.1 s apart: process 1 may be slow to reap

# Where the hierarchies are.
traces_cgroup_mounts() {
        sed -n 's/^[^ ]* [^ ]* [^ ]* [^ ]* \([^ ]*\) .* - cgroup2\{0,1\} .*/\1/p' \
                /proc/self/mountinfo
}

traces_cgroups() {
        traces_cgroup_mounts | while read -r mount; do
                find "$mount" -maxdepth 1 -name "$1*" 2>/dev/null
        done
}

traces_links() {
        ls /sys/class/net
}

traces_folders() {
        # shellcheck disable=SC2086 # a list
        ls -d $TRACES_FOLDERS 2>/dev/null || :
}

# Of the network, without what belongs to one interface.
traces_sysctls() {
        find /proc/sys/net/ipv4 /proc/sys/net/ipv6 /proc/sys/net/bridge -type f \
                \( ! -path '*/conf/*' -o -path '*/conf/all/*' -o -path '*/conf/default/*' \) \
                ! -path '*/neigh/*' -exec grep -H . {} + 2>/dev/null | sort
}

# Rules with a mark of ours: the bridge, the network's name or a subnet.
traces_rules() {
        {
                nft list ruleset 2>/dev/null || :
                iptables-save 2>/dev/null || :
        } | grep -F -e tareqs0 -e "$1" -e "$2." || :
}

traces_note() {
        traces_links >"$1/links"
        traces_folders >"$1/folders"
        traces_sysctls >"$1/sysctls"
}

# Processes, zombies aside: those in its cgroups, or with its folder in their command line.
traces_processes() {
        {
                grep -lF "/$2" /proc/[0-9]*/cgroup || :
                # The pattern comes by pipe: grep's own command line has it not.
                # shellcheck disable=SC2062 # file names, not a pattern
                echo "$1" | grep -laF --file=- /proc/[0-9]*/cmdline
        } 2>/dev/null | cut -d / -f 3 | sort -un | while read -r pid; do
                ! grep -q '^State:.[^Z]' "/proc/$pid/status" 2>/dev/null ||
                        echo "process $pid: $(tr '\0' ' ' 2>/dev/null <"/proc/$pid/cmdline")"
        done
}

# In any mount namespace: a pinned network namespace is a mount, too.
traces_mounts() {
        grep -lF "$1" /proc/[0-9]*/mountinfo 2>/dev/null |
                sed 's|/proc/\(.*\)/mountinfo|mounts seen by process \1|' || :
}

traces_look() {
        traces_processes "$2" "$3"
        traces_mounts "$2"
        traces_cgroups "$3" | sed 's/^/cgroup /'
        traces_links | grep -vxFf "$1/links" | grep -E '^(tareqs0|veth)' | sed 's/^/link /'
        traces_rules "$3" "$4" | sed 's/^/rule /'
        traces_sysctls | grep -vxFf "$1/sysctls" | sed 's/^/sysctl /'
        traces_folders | grep -vxFf "$1/folders" | sed 's/^/folder /'
        find "$2" "/var/lib/cni/networks/$3" 2>/dev/null | sed 's/^/file /'
}

# traces_find BEFORE WORK NAME SUBNET: prints what is left, nothing when nothing is.
traces_find() {
        looks=0
        while :; do
                traces_left=$(traces_look "$@")
                looks=$((looks + 1))
                if [ -z "$traces_left" ] || [ "$looks" -ge "$TRACES_PATIENCE" ]; then
                        break
                fi
                sleep 0.1
        done
        echo "$traces_left"
}

# traces_sweep NAME: after a demonstration that broke, ends what is in its cgroups and removes them.
traces_sweep() {
        for _ in 1 2 3 4 5; do
                for folder in $(traces_cgroups "$1"); do
                        find "$folder" -name cgroup.procs -exec cat {} + 2>/dev/null
                done | sort -u | while read -r pid; do
                        kill -KILL "$pid" 2>/dev/null || :
                done
                for folder in $(traces_cgroups "$1"); do
                        find "$folder" -depth -type d -exec rmdir {} + 2>/dev/null || :
                done
                [ -n "$(traces_cgroups "$1")" ] || break
                sleep 0.1
        done
}
