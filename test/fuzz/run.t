#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Run each fuzzer for a bounded number of inputs, from its seeds (test/fuzz/seeds/NAME, if there are any).
# FUZZ_RUNS: how many inputs; FUZZ_SEED: 0 takes another way each time. A crash leaves its input in
# build/test/fuzz. To go on for longer: build/test/fuzz/fuzz_X -max_total_time=600 FOLDER
set -eu
cd "$(dirname "$0")/../.."

B=${B:-build}
out=$(mktemp -d)
trap 'rm -rf "$out"' EXIT

set -- test/fuzz/fuzz_*.c
if [ ! -e "$1" ]; then
	echo "1..0 # SKIP there is no fuzzer"
	exit 0
fi
echo "1..$#"

n=0 failed=0
for source in "$@"; do
	n=$((n + 1))
	name=$(basename "$source" .c)
	mkdir "$out/$name"
	seeds=test/fuzz/seeds/$name
	[ -d "$seeds" ] || seeds=
	# The first folder takes what the fuzzer finds, the second is only read.
	if "$B/test/fuzz/$name" -runs="${FUZZ_RUNS:-20000}" -seed="${FUZZ_SEED:-1}" -timeout=10 \
		-rss_limit_mb=1024 -max_len=4096 -verbosity=0 -artifact_prefix="$B/test/fuzz/$name-" \
		"$out/$name" ${seeds:+"$seeds"} >"$out/log" 2>&1; then
		echo "ok $n - $name"
	else
		failed=1
		echo "not ok $n - $name"
		tail -50 "$out/log" | sed 's/^/# /'
	fi
done
exit "$failed"
