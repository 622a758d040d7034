# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=sh
# The guest's side of machine.py, sourced by a job that init started as the first process: makes the machine whole,
# and has functions for the job to call. What they print goes to the second port.
# shellcheck disable=SC2154 # the job sets folder, repo, now, FILE_SECONDS
export PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin HOME=/root LC_ALL=C.UTF-8 TERM=dumb
export B NSLENS_FACTOR PYTHONDONTWRITEBYTECODE=1 CMOCKA_MESSAGE_OUTPUT=TAP

mount -t proc proc /proc
mount -t sysfs sysfs /sys
mount -t devtmpfs dev /dev
mkdir -p /dev/pts /dev/shm
mount -t devpts devpts /dev/pts
mount -t tmpfs tmpfs /dev/shm
mount -t tmpfs tmpfs /run
mkdir -p /run/netns
mount -t cgroup2 cgroup2 /sys/fs/cgroup
mount -t bpf bpf /sys/fs/bpf
mount -t tracefs tracefs /sys/kernel/tracing
mount -t securityfs securityfs /sys/kernel/security
mkdir -p /lib/modules
mount --bind "$folder/lib/modules" /lib/modules
date -s "@$now" >/dev/null
ip link set lo up
cd "$repo" || halt

stty -F /dev/ttyS1 raw
exec </dev/null >/dev/ttyS1 2>&1
echo "kernel $(uname -r) after $(cut -d' ' -f1 /proc/uptime) s"

# run_file NAME PATH [WORD...]: its output between ">>> NAME" and "<<< NAME STATUS SECONDS".
run_file() {
	echo ">>> $1"
	begin=$(date +%s)
	name=$1
	shift
	timeout -k 10 "$FILE_SECONDS" "$@"
	echo "<<< $name $? $(($(date +%s) - begin))"
}

# show COMMAND...: what it prints, and its status.
show() {
	"$@"
	echo "status $?"
}

# Nothing can be started any more once the kernel takes its devices down, and a first process must not end.
halt() {
	dmesg --level=emerg,alert,crit,err,warn >/dev/ttyS0
	echo o >/proc/sysrq-trigger
	while :; do :; done
}
