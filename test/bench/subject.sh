# SPDX-License-Identifier: Apache-2.0
# What the subjects share: process keeping, and the verbs of doc/bench.md. A subject is a script that
# defines subject_about and subject_start, others where the defaults below don't do, reads this file
# and ends with: subject "$@".
#
# Inside its functions: $state (a folder of its own), $ns_a and $ns_b (paths of network namespaces for
# nsenter --net=), $BENCH_DEVICE (the device in ns_a that the load passes).
# shellcheck shell=sh disable=SC2034 # the variables are for the subjects
set -eu

unavailable() {
	echo "$*" >&2
	exit 3
}

need() {
	command -v "$1" >/dev/null || unavailable "$1 is not installed"
}

# spawn COMMAND...: in the background, remembered, output to nowhere, errors to $state/err.
# The command must become the process (exec all the way), so that its pid is the tool's.
spawn() {
	"$@" </dev/null >/dev/null 2>>"$state/err" &
	echo $! >>"$state/pids"
}

# spawn_aside COMMAND...: the same for what serves the tool and isn't its cost.
spawn_aside() {
	"$@" </dev/null >/dev/null 2>&1 &
	echo $! >>"$state/aside"
}

running() {
	case $(cut -d' ' -f3 "/proc/$1/stat" 2>/dev/null) in
	'' | Z | X) return 1 ;;
	esac
}

pids() {
	cat "$state/pids" 2>/dev/null || true
}

# n_open PATTERN: how many descriptors of the tool link to what matches.
n_open() {
	for p in $(pids); do
		ls -l "/proc/$p/fd" 2>/dev/null
	done | grep -c -- "$1" || true
}

# cpu_ms: what the tool has used so far.
cpu_ms() {
	for p in $(pids); do
		cut -d' ' -f1 "/proc/$p"/task/*/schedstat 2>/dev/null || true
	done | awk '{ ns += $1 } END { printf "%d\n", ns / 1000000 }'
}

# quiet: the start-up work is over; in 0.2 s it uses at most 5 % of a CPU.
quiet() {
	used=$(cpu_ms)
	sleep 0.2
	[ $(($(cpu_ms) - used)) -le 10 ]
}

end_process() {
	kill -TERM "$1" 2>/dev/null || return 0
	i=0
	while running "$1"; do
		i=$((i + 1))
		[ $i -ne 500 ] || kill -KILL "$1" 2>/dev/null || return 0
		sleep 0.01
	done
}

subject_ready() { :; }
subject_after() { :; }
subject_period() { echo 0; }
subject_lag() { echo 0; }
subject_loads() { echo connect bulk rr udp; }

subject() {
	verb=${1:-} state=${2:-} ns_a=${3:-} ns_b=${4:-}
	case $verb in
	about | period | lag | loads) "subject_$verb" ;;
	start) subject_start ;;
	ready) subject_ready ;;
	cpu) pids ;;
	stop)
		for p in $(pids) $(cat "$state/aside" 2>/dev/null || true); do
			end_process "$p"
		done
		rm -f "$state/pids" "$state/aside"
		subject_after
		;;
	*)
		echo "usage: $0 about|period|lag|loads | start|ready|cpu|stop DIR NS_A NS_B" >&2
		exit 2
		;;
	esac
}
