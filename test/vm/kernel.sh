#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Have one of Debian's kernels in a folder, ready to boot: kernel.sh SERIES FOLDER, as kernel.sh 6.12 build/vm/6.12.
# The newest package of the series that apt knows is downloaded and unpacked there, never installed; what is
# there already is kept. Leaves FOLDER/vmlinuz, lib/modules, initrd (see init) and version.
# Status 3: apt knows no kernel of the series.
set -eu
series=$1 folder=$2
here=$(cd "$(dirname "$0")" && pwd)

# What init needs to mount the host's files; all else is loaded from there.
modules='virtio_pci 9pnet_virtio 9p overlay'

die() {
	echo "kernel.sh: $*" >&2
	exit 1
}

# Debian's names: 6.1.0-56-amd64, 6.12.117+deb12-amd64.
newest_package() {
	apt-cache pkgnames "linux-image-$series." |
		grep -E "^linux-image-[0-9.]+(-[0-9]+|[+][a-z0-9.]+)-amd64$" | sort -Vr |
		while read -r p; do
			if apt-cache policy "$p" | grep -q 'Candidate: [^(]'; then
				echo "$p"
				break
			fi
		done
}

choose_package() {
	package=$(newest_package)
	[ -n "$package" ] && return
	echo "kernel.sh: apt knows no Debian kernel $series" >&2
	exit 3
}

download() {
	(cd "$1" && apt-get -q -o APT::Sandbox::User=root -o Acquire::Retries=3 download "$package") >/dev/null
}

# Everything goes to a folder aside, so that what is in place is whole.
unpack() {
	choose_package
	if ! download "$1" 2>/dev/null; then # a list that is old names a package that has gone
		apt-get -q update >/dev/null || true
		choose_package
		download "$1" || die "apt-get could not download $package"
	fi
	dpkg-deb -x "$1"/*.deb "$1"
	rm "$1"/*.deb
	version=${package#linux-image-}
	mv "$1/boot/vmlinuz-$version" "$1/vmlinuz"
	rm -rf "${1:?}/boot" "${1:?}/usr/share"
	depmod -b "$1" "$version"
	echo "$version" >"$1/version"
}

# A RAM disk with busybox, init, and the modules in the order in which they are loaded.
make_initrd() {
	rd=$1/rd
	mkdir -p "$rd/bin" "$rd/modules" "$rd/proc" "$rd/host" "$rd/upper" "$rd/root"
	cp "$(command -v busybox)" "$rd/bin/busybox"
	cp "$here/init" "$rd/init"
	n=10
	for m in $modules; do
		modprobe -d "$1" -S "$version" --show-depends "$m" | while read -r what path _; do
			if [ "$what" = insmod ]; then echo "$path"; fi
		done
	done | awk '!seen[$0]++' >"$1/needed"
	while read -r path; do
		name=$rd/modules/$n-$(basename "$path")
		cp "$path" "$name"
		case $name in *.xz) xz -d "$name" ;; esac
		n=$((n + 1))
	done <"$1/needed"
	(cd "$rd" && find . | busybox cpio -o -H newc 2>/dev/null | gzip -1) >"$1/initrd"
	rm -r "$rd" "$1/needed"
}

[ ! -e "$folder/version" ] || exit 0
rm -rf "$folder"
mkdir -p "$folder.new"
trap 'rm -rf "$folder.new"' EXIT
unpack "$folder.new"
make_initrd "$folder.new"
mv "$folder.new" "$folder"
