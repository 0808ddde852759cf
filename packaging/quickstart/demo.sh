#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# demo.sh SOURCE BUILD WORK NAME SUBNET - the demonstration of ./quickstart, which starts it in a
# mount and a network namespace of their own. All that the daemon writes is on a tmpfs on WORK,
# which goes with the mount namespace; cgroups are called NAME, and go with the pod.
set -u
source_dir=$1 build=$2 work=$3 name=$4 subnet=$5
. "$source_dir/packaging/quickstart/say.sh"
daemon=
pod=
export TARE_ADDRESS="unix://$work/tared.sock"

# No request may keep the clean-up waiting for ever.
tare() {
        timeout 30 "$build/src/cmd/tare" "$@"
}

# What the daemon said, when the demonstration did not go as it should.
broken() {
        echo "quickstart: $step_name: $*" >&2
        tail -n 15 "$work/tared.log" >&2 2>/dev/null
        exit 1
}

# --- the end, in every case ---

# shellcheck disable=SC2317 # called by the trap
clean_up() {
        status=$?
        trap '' INT TERM HUP EXIT
        step clean-up
        if [ -n "$daemon" ]; then
                if ids=$(tare pods --quiet) && [ -n "$ids" ]; then
                        # shellcheck disable=SC2086 # a list
                        tare pod rm --force $ids || status=1
                fi
                kill -TERM "$daemon" 2>/dev/null || status=1
                wait "$daemon" || status=1
        fi
        [ "$status" != 0 ] || done_step 'the pod is removed, tared has ended'
        exit "$status"
}

# --- the daemon ---

write_config() {
        mkdir "$work/cni"
        cat >"$work/config.toml" <<END
root = "$work/root"
state = "$work/state"
listen = "unix://$work/tared.sock"
netns_dir = "$work/netns"
cgroup_parent = "/$name"
shim_cgroup = "/$name-shims"
[cni]
conf_dir = "$work/cni"
bin_dirs = ["${TARE_CNI_BIN:-/usr/lib/cni}"]
cache_dir = "$work/cni-cache"
END
        cat >"$work/cni/10-quickstart.conflist" <<END
{"cniVersion": "1.0.0", "name": "$name", "plugins": [
  {"type": "bridge", "bridge": "tareqs0", "isGateway": true, "ipMasq": false,
   "ipam": {"type": "host-local", "dataDir": "$work/ipam",
            "ranges": [[{"subnet": "$subnet.0/24"}]], "routes": [{"dst": "0.0.0.0/0"}]}}]}
END
}

start_daemon() {
        step daemon
        mount -n -t tmpfs -o mode=0711 tare-quickstart "$work" || broken 'a tmpfs cannot be mounted'
        ip link set lo up || broken 'the loopback interface cannot be set up'
        write_config
        # A session of its own: a Ctrl-C of the terminal is not for it.
        setsid "$build/src/cmd/tared" --config "$work/config.toml" \
                >"$work/tared.log" 2>&1 </dev/null &
        daemon=$!
        tries=0
        until tare version >/dev/null 2>&1; do
                kill -0 "$daemon" 2>/dev/null || broken 'tared has ended'
                tries=$((tries + 1))
                [ "$tries" -lt 200 ] || broken 'tared does not answer'
                sleep 0.02
        done
        done_step "tared serves $TARE_ADDRESS"
}

# --- the pod ---

run_pod() {
        step import
        tare import "$build/quickstart-image" >/dev/null || broken 'tare import'
        done_step 'localhost/quickstart:latest'
        step pod
        sed "s|/var/log/pods/hello|$work/logs|" "$source_dir/examples/pod.json" >"$work/pod.json"
        pod=$(tare pod run "$work/pod.json" "$source_dir/examples/web.json" \
                "$source_dir/examples/client.json") || broken 'tare pod run'
        pod=${pod%%
*}
        done_step 'two containers run in it'
}

ask_pod() {
        step http
        ip=$(tare inspect --kind pod "$pod" | sed -n 's/.*"ip": "\([0-9.]*\)".*/\1/p' | head -n 1)
        [ -n "$ip" ] || broken 'the pod has no address'
        tries=0
        until page=$("$build/web" get "$ip" 2>&1); do
                tries=$((tries + 1))
                [ "$tries" -lt 100 ] || broken "http://$ip:8080/ does not answer: $page"
                sleep 0.02
        done
        done_step "http://$ip:8080/ says: $page"
}

# show COMMAND...: runs it, with what it printed below it.
show() {
        echo
        echo "\$ $*"
        "$@" || broken "$* failed"
}

show_pod() {
        show tare ps
        show tare logs client
        show tare exec web ps -o pid,ppid,args
        show tare timeline hello
        echo
        step memory
        rss=$(sed -n 's/^VmRSS:[[:space:]]*//p' "/proc/$daemon/status")
        done_step "tared uses $rss"
}

trap clean_up EXIT
# An interrupt comes twice, from the terminal and from quickstart: the second must not end the
# clean-up.
trap 'trap "" INT TERM HUP; exit 143' INT TERM HUP
start_daemon
run_pod
ask_pod
show_pod
trap '' INT TERM HUP
