#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Run the rungs of the tests, or those named: run.sh [check|unit|fuzz|prog|netns|vm]...
# Every test is an executable that speaks TAP. check, unit and fuzz run side by side; prog and netns
# share the kernel's state and run behind them, one at a time; then vm's, which boot kernels of their
# own, one at a time too. Some tests hold promises of time, which a busy host breaks: up to five files
# that fail are named and run once more at the end, and fail if they do so again. Closes with Result:
# PASS or FAIL.
# B: the folder of the build. JOBS: how many side by side. TEST_SECONDS: when a test file is hung.
set -eu
cd "$(dirname "$0")/.."

B=${B:-build}
export B

# Built tests are named by their sources: a binary left over from a source that went doesn't run.
tests_of() {
	case $1 in
	check | netns | fuzz | vm) set -- "test/$1"/*.t ;;
	unit | prog) set -- "test/$1"/test_*.c ;;
	*) echo "run.sh: no rung '$1'; there are check, unit, fuzz, prog, netns, vm" >&2; return 2 ;;
	esac
	for t in "$@"; do
		[ -e "$t" ] || continue
		case $t in
		*.c) t=$B/${t%.c} ;;
		esac
		echo "$t"
	done
}

[ $# -gt 0 ] || set -- check unit fuzz prog netns vm
list=
for rung in "$@"; do
	tests=$(tests_of "$rung")
	[ -n "$tests" ] || echo "run.sh: there is no test in rung $rung" >&2
	list="$list $tests"
done

export CMOCKA_MESSAGE_OUTPUT=TAP PYTHONDONTWRITEBYTECODE=1
export ASAN_OPTIONS=detect_leaks=1 UBSAN_OPTIONS=print_stacktrace=1
# shellcheck disable=SC2016,SC2086 # Perl's variables; a list of paths without spaces
exec perl -MTAP::Harness -e '
	my ($jobs, $seconds, $build, @tests) = @ARGV;
	die "run.sh: nothing to run\n" unless @tests;
	my $harness = TAP::Harness->new({
		jobs => $jobs, timer => 1, color => -t STDOUT, failures => 1, comments => 1,
		exec => ["timeout", "-k", 10, $seconds],
		rules => { seq => [ { par => [ "test/check/*", "$build/test/unit/*", "test/fuzz/*" ] },
				    { seq => [ "$build/test/prog/*", "test/netns/*", "test/vm/*" ] } ] },
	});
	my @failed = $harness->runtests(@tests)->failed;
	exit !!@failed unless @failed && @failed <= 5;
	print "\n", scalar @failed, " failed, once more: @failed\n\n";
	exit !$harness->runtests(@failed)->all_passed;
' "${JOBS:-$(nproc)}" "${TEST_SECONDS:-600}" "$B" $list
