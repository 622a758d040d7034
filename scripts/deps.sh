#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Install the Debian or Ubuntu packages that a step needs, and only those that are missing.
# usage: deps.sh build|test|vm|bench|man
#
# libbpf needs tcx (1.3 or later). Where the release's own is older (Debian 12), the release's backports
# suite is added, with address and key taken from the machine's own apt configuration.
#
# DEPS_ROOT is put before /etc, for test/check/deps.t.
# shellcheck disable=SC2046,SC2086 # lists of packages and of paths are split into words
set -eu

build='make gcc pkg-config libelf-dev zlib1g-dev libjansson-dev libmnl-dev libsystemd-dev nettle-dev uthash-dev'
test='shellcheck perl libcmocka-dev python3 python3-jsonschema iproute2 nftables procps util-linux
      iputils-ping netcat-openbsd curl tshark socat scdoc tcpdump'
bench='python3 iproute2 nftables netcat-openbsd procps util-linux tcpdump softflowd conntrack libbpf-tools'
man='scdoc'
vm='qemu-system-x86 busybox-static kmod xz-utils python3'

root=${DEPS_ROOT:-}
apt=$root/etc/apt
added=$apt/sources.list.d/nslens-backports.sources
export DEBIAN_FRONTEND=noninteractive
# shellcheck disable=SC1091 # the file of the machine
. "$root/etc/os-release"

die() {
	echo "deps.sh: $*" >&2
	exit 1
}

need_root() {
	[ "$(id -u)" = 0 ] || die "not root, and missing: $*; install them, or run this as root"
}

# Those of the named packages that are not installed.
missing() {
	have=$(dpkg-query -W -f '${Package} ${db:Status-Status}\n' "$@" 2>/dev/null || true)
	for p in "$@"; do
		printf '%s\n' "$have" | grep -qxF "$p installed" || printf '%s ' "$p"
	done
}

installed() {
	[ -z "$(missing "$1")" ]
}

# Could apt install it? Its lists must be there.
available() {
	apt-cache policy "$1" 2>/dev/null | grep -q 'Candidate: [^(]'
}

# apt-get update, once; it doesn't wait for another one, as of a second deps.sh that make runs.
fresh=
refresh() {
	[ -n "$fresh" ] || [ "$(id -u)" != 0 ] || flock "$0" apt-get -q update ||
		die "apt-get update failed; see above"
	fresh=1
}

# install [-t SUITE] PACKAGE...
install() {
	apt-get -q -o DPkg::Lock::Timeout=300 -o Acquire::Retries=3 install -y --no-install-recommends "$@" ||
		die "apt-get could not install: $*"
}

install_missing() {
	set -- $(missing "$@")
	[ $# -gt 0 ] || return 0
	need_root "$@"
	refresh
	install "$@"
}

# Set $first to the first of the named packages that is installed, or else can be.
choose() {
	for first in "$@"; do
		if installed "$first"; then return; fi
	done
	refresh
	for first in "$@"; do
		if available "$first"; then return; fi
	done
	die "$PRETTY_NAME has none of the packages $*"
}

# Print, in the format of .sources, a copy of the source that serves suite $1, but for suite $2.
source_like() {
	list=
	for f in "$apt/sources.list" "$apt"/sources.list.d/*.list "$apt"/sources.list.d/*.sources; do
		[ -f "$f" ] && list="$list $f"
	done
	[ -n "$list" ] || return 0
	awk -v suite="$1" -v wanted="$2" '
		function finish() {
			if (!done && deb && hit && on && uri != "") {
				print "Types: deb\nURIs: " uri "\nSuites: " wanted "\nComponents: main" options
				done = 1
			}
			deb = hit = 0; on = 1; uri = options = field = ""
		}
		function take(value,   n, word, i) {
			n = split(value, word, /[ \t]+/)
			for (i = 1; i <= n; i++) {
				if (field == "types" && word[i] == "deb") deb = 1
				if (field == "suites" && word[i] == suite) hit = 1
				if (field == "uris" && uri == "" && word[i] ~ /:\//) uri = word[i]
				if (field == "enabled" && tolower(word[i]) == "no") on = 0
			}
		}
		function option(name,   part) {
			if (match($0, "[[ ]" name "=[^] ]+")) {
				part = substr($0, RSTART + 1, RLENGTH - 1)
				return substr(part, index(part, "=") + 1)
			}
		}
		FNR == 1 { finish() }
		FILENAME ~ /\.list$/ {
			if ($1 != "deb") next
			key = option("signed-by"); trusted = option("trusted")
			sub(/\[[^]]*\]/, "")
			if ($2 !~ /^cdrom:/) { uri = $2; hit = $3 == suite; deb = 1 }
			if (key != "") options = options "\nSigned-By: " key
			if (trusted != "") options = options "\nTrusted: " trusted
			finish()
			next
		}
		/^#/ { next }
		/^[ \t]*$/ { finish(); next }
		/^[ \t]/ {
			if (field ~ /^(signed-by|trusted)$/) options = options "\n" $0
			take($0)
			next
		}
		{
			field = tolower(substr($0, 1, index($0, ":") - 1))
			if (field ~ /^(signed-by|trusted)$/) options = options "\n" $0
			take(substr($0, index($0, ":") + 1))
		}
		END { finish() }
	' $list
}

# Make the suite $1-backports known to apt.
add_backports() {
	if [ -n "$(source_like "$1-backports" "$1-backports")" ]; then
		refresh
		return
	fi
	stanza=$(source_like "$1" "$1-backports")
	[ -n "$stanza" ] || die "no source of $1 in $apt to derive $1-backports from; add it by hand"
	mkdir -p "${added%/*}"
	printf '%s\n' "$stanza" >"$added"
	if apt-get -q update && apt-cache policy | grep -q "n=$1-backports"; then
		fresh=1
		return
	fi
	rm -f "$added"
	die "where $1 comes from there is no $1-backports; add a source of it by hand"
}

libbpf_is_new() {
	installed libbpf-dev &&
		dpkg --compare-versions "$(dpkg-query -W -f '${Version}' libbpf-dev)" ge 1.3
}

install_libbpf() {
	if [ "$ID" != debian ] || [ "${VERSION_CODENAME:-}" != bookworm ]; then
		choose bpftool linux-tools-generic # Ubuntu's comes with its kernels
		install_missing libbpf-dev "$first"
		libbpf_is_new || die "libbpf of $PRETTY_NAME is older than 1.3; install a newer libbpf-dev"
	elif ! libbpf_is_new || ! installed bpftool; then
		need_root libbpf-dev bpftool
		install_missing ca-certificates
		add_backports bookworm
		install -t bookworm-backports libbpf-dev bpftool
	fi
}

# BPF struct tags need clang 17 or later.
install_build() {
	install_libbpf
	choose clang-19 clang-18 clang-17
	clang=$first
	install_missing $build "$clang"
}

# The fuzzers need the runtime of the clang that the Makefile takes.
install_test() {
	install_build
	runtime="libclang-rt-${clang#clang-}-dev"
	choose clang-format-14 clang-format
	install_missing $test "$runtime" "$first"
}

# Debian 12 has 6.12 as a backport; test/vm/kernel.sh downloads kernels, nothing installs them.
install_vm() {
	[ "$(uname -m)" = x86_64 ] || return 0
	install_missing $vm
	[ "$ID-${VERSION_CODENAME:-}" = debian-bookworm ] || return 0
	if ! apt-cache pkgnames linux-image-6.12. | grep -q '.-amd64$'; then
		need_root "a source of linux-image-6.12"
		add_backports bookworm
	fi
}

case ${1:-} in
build) install_build ;;
test) install_test ;;
vm) install_vm ;;
bench) install_missing $bench ;;
man) install_missing $man ;;
*) echo "usage: deps.sh build|test|vm|bench|man" >&2; exit 2 ;;
esac
