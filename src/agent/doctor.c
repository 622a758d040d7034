// SPDX-License-Identifier: Apache-2.0
#include "agent/doctor.h"

#include <bpf/bpf.h>
#include <bpf/btf.h>
#include <bpf/libbpf.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/bpf.h>
#include <linux/capability.h>
#include <linux/magic.h>
#include <linux/mount.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/utsname.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "base/base.h"
#include "probe/hooks.h"
#include "sys/capability.h"
#include "sys/cgroup2.h"
#include "sys/kernel_release.h"
#include "sys/mountinfo.h"
#include "sys/pid_namespace.h"

const char *const doctor_state_names[N_DOCTOR_STATES] = {
	[DOCTOR_OK] = "ok",
	[DOCTOR_FALLBACK] = "fallback",
	[DOCTOR_MISSING] = "missing",
	[DOCTOR_UNKNOWN] = "unknown",
};

/* The root of nsfs for file handles; linux/fcntl.h has it since 6.18. */
#define NSFS_ROOT_FD (-10003)
enum { NSFS_HANDLE_BYTES = 64, LOOPBACK_IFINDEX = 1 };

struct doctor {
	struct btf *btf; /* NULL: there is none */
	char barred
		[128]; /* why no program loads, whatever the kernel can do; "": nothing bars it */
	bool unknown;  /* set by a look that returns false because of that */
};

struct doctor_check {
	const char *name;
	bool required;
	/* Is it there? Writes what was found to @found, or why not. @arg is the row's. */
	bool (*look)(struct doctor *d, const char *arg, char *found);
	const char *arg;
	const char *without;
	const char *remedy;
};

static bool found_set(char *found, bool there, const char *fmt, ...) PRINTF_LIKE(3, 4);

static bool found_set(char *found, bool there, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(found, DOCTOR_FOUND_MAX, fmt, ap);
	va_end(ap);
	return there;
}

static bool found_errno(char *found, int err)
{
	return found_set(found, false, "%s", strerror(err < 0 ? -err : err));
}

/* --- kernel --- */

static bool look_kernel(struct doctor *d, const char *arg, char *found)
{
	unsigned int release;
	struct utsname u;

	if (uname(&u))
		return found_errno(found, errno);
	release = kernel_release_parse(u.release);
	return found_set(found, release >= KERNEL_RELEASE_OLDEST, "%s, %s", u.release, u.machine);
}

static bool look_btf(struct doctor *d, const char *arg, char *found)
{
	if (!d->btf)
		return access("/sys/kernel/btf/vmlinux", R_OK)
			       ? found_errno(found, errno)
			       : found_set(found, false, "can't be read as BTF");
	return found_set(found, true, "%u types", btf__type_cnt(d->btf));
}

static bool look_lockdown(struct doctor *d, const char *arg, char *found)
{
	FILE *f = fopen("/sys/kernel/security/lockdown", "re");
	char line[128] = "", *open, *end;

	if (!f)
		return found_set(found, true, "none is shown");
	if (fgets(line, sizeof(line), f) && (open = strchr(line, '[')) &&
	    (end = strchr(open, ']'))) {
		*end = '\0';
		fclose(f);
		return found_set(found, strcmp(open + 1, "confidentiality") != 0, "%s", open + 1);
	}
	fclose(f);
	return found_set(found, true, "unknown");
}

/* --- privileges --- */

static const struct {
	const char *name;
	unsigned int cap;
} capabilities[] = {
	{ "CAP_BPF", CAP_BPF },
	{ "CAP_PERFMON", CAP_PERFMON },
	{ "CAP_NET_ADMIN", CAP_NET_ADMIN },
	{ "CAP_SYS_ADMIN", CAP_SYS_ADMIN },
	{ "CAP_SYS_PTRACE", CAP_SYS_PTRACE },
	{ "CAP_DAC_READ_SEARCH", CAP_DAC_READ_SEARCH },
};

static bool look_capability(struct doctor *d, const char *arg, char *found)
{
	char missing[64];

	for (size_t i = 0; i < ARRAY_SIZE(capabilities); i++)
		if (!strcmp(capabilities[i].name, arg))
			return capability_missing(&capabilities[i].cap, 1, missing, sizeof(missing))
				       ? found_set(found, false, "not held")
				       : found_set(found, true, "held");
	return found_set(found, false, "unknown");
}

static bool look_user_namespace(struct doctor *d, const char *arg, char *found)
{
	unsigned int inside = 1, outside = 1, n = 0;
	FILE *f = fopen("/proc/self/uid_map", "re");
	int fields;

	if (!f)
		return found_errno(found, errno);
	fields = fscanf(f, "%u %u %u", &inside, &outside, &n);
	fclose(f);
	if (fields == 3 && !inside && !outside && n == UINT32_MAX)
		return found_set(found, true, "the host's");
	return found_set(found, false, "one of its own");
}

/* The capabilities that loading any of our programs takes; in another user namespace none count. */
static void find_bars(struct doctor *d)
{
	static const unsigned int needed[] = { CAP_BPF, CAP_PERFMON, CAP_NET_ADMIN };
	char missing[64], found[DOCTOR_FOUND_MAX];

	if (capability_missing(needed, ARRAY_SIZE(needed), missing, sizeof(missing)))
		snprintf(d->barred, sizeof(d->barred), "%s missing", missing);
	else if (!look_user_namespace(d, NULL, found))
		snprintf(d->barred, sizeof(d->barred), "in a user namespace of its own");
}

static bool look_pid_namespace(struct doctor *d, const char *arg, char *found)
{
	if (pid_namespace_is_first())
		return found_set(found, true, "the host's");
	return found_set(found, false, "one of its own");
}

/* --- what the kernel loads --- */

static const struct bpf_insn return_zero[] = {
	{ .code = BPF_ALU64 | BPF_MOV | BPF_K, .dst_reg = BPF_REG_0, .imm = 0 },
	{ .code = BPF_JMP | BPF_EXIT },
};

static int load_program(enum bpf_prog_type type, struct bpf_prog_load_opts *opts)
{
	return bpf_prog_load(type, "nslens_doctor", "Dual BSD/GPL", return_zero,
			     ARRAY_SIZE(return_zero), opts);
}

/* A program for a kernel function, tracepoint or iterator by its name in BTF. fd or -errno. */
static int load_tracing(struct doctor *d, enum bpf_attach_type attach, const char *name, __u32 kind)
{
	LIBBPF_OPTS(bpf_prog_load_opts, opts, .expected_attach_type = attach);
	int id = d->btf ? btf__find_by_name_kind(d->btf, name, kind) : -ENOENT;

	if (id < 0)
		return -ENOENT;
	opts.attach_btf_id = (__u32)id;
	return load_program(BPF_PROG_TYPE_TRACING, &opts);
}

static bool found_loaded(struct doctor *d, char *found, int fd)
{
	if (fd == -EPERM && *d->barred) {
		d->unknown = true;
		return found_set(found, false, "can't be told: %s", d->barred);
	}
	if (fd == -ENOENT && !d->btf) {
		d->unknown = true;
		return found_set(found, false, "can't be told without BTF");
	}
	if (fd < 0)
		return fd == -ENOENT ? found_set(found, false, "this kernel has none")
				     : found_errno(found, fd);
	close(fd);
	return found_set(found, true, "loads");
}

static bool look_bpf(struct doctor *d, const char *arg, char *found)
{
	return found_loaded(d, found, load_program(BPF_PROG_TYPE_SOCKET_FILTER, NULL));
}

static bool look_jit(struct doctor *d, const char *arg, char *found)
{
	int err, fd = load_program(BPF_PROG_TYPE_SOCKET_FILTER, NULL);
	struct bpf_prog_info info = { 0 };
	__u32 len = sizeof(info);

	if (fd < 0)
		return found_loaded(d, found, fd);
	err = bpf_obj_get_info_by_fd(fd, &info, &len);
	close(fd);
	if (err)
		return found_errno(found, err);
	return found_set(found, info.jited_prog_len, info.jited_prog_len ? "on" : "off");
}

static bool look_tracepoint(struct doctor *d, const char *arg, char *found)
{
	char name[64];

	snprintf(name, sizeof(name), "btf_trace_%s", arg);
	return found_loaded(d, found, load_tracing(d, BPF_TRACE_RAW_TP, name, BTF_KIND_TYPEDEF));
}

/* One that doesn't tell the packet is of no use. */
static bool look_refusals(struct doctor *d, const char *arg, char *found)
{
	char why[HOOK_WHY_MAX];

	if (hook_find(d->btf, "dgram_refused", "tp_btf/udp_fail_queue_rcv_skb", why))
		return found_set(found, false, "%s", why);
	return look_tracepoint(d, arg, found);
}

static bool look_iterator(struct doctor *d, const char *arg, char *found)
{
	char name[64];

	snprintf(name, sizeof(name), "bpf_iter_%s", arg);
	return found_loaded(d, found, load_tracing(d, BPF_TRACE_ITER, name, BTF_KIND_FUNC));
}

/* On a function of the kernel's own tests, which nothing calls: platforms can refuse to attach. */
static bool look_fentry(struct doctor *d, const char *arg, char *found)
{
	int link, fd = load_tracing(d, BPF_TRACE_FENTRY, "bpf_fentry_test1", BTF_KIND_FUNC);

	if (fd < 0)
		return found_loaded(d, found, fd);
	link = bpf_link_create(fd, 0, BPF_TRACE_FENTRY, NULL);
	close(fd);
	if (link < 0)
		return found_set(found, false, "loads, and can't be attached: %s", strerror(-link));
	close(link);
	return found_set(found, true, "can be attached");
}

static bool look_raw_tracepoint(struct doctor *d, const char *arg, char *found)
{
	return found_loaded(d, found, load_program(BPF_PROG_TYPE_RAW_TRACEPOINT, NULL));
}

static bool look_cgroup_skb(struct doctor *d, const char *arg, char *found)
{
	LIBBPF_OPTS(bpf_prog_load_opts, opts, .expected_attach_type = BPF_CGROUP_INET_EGRESS);

	return found_loaded(d, found, load_program(BPF_PROG_TYPE_CGROUP_SKB, &opts));
}

/* Links know the order of programs since cgroups count the revisions of their lists. */
static bool look_cgroup_order(struct doctor *d, const char *arg, char *found)
{
	int id = d->btf ? btf__find_by_name_kind(d->btf, "cgroup_bpf", BTF_KIND_STRUCT) : -1;
	const struct btf_type *t = id > 0 ? btf__type_by_id(d->btf, (__u32)id) : NULL;

	for (unsigned int i = 0; t && i < btf_vlen(t); i++)
		if (!strcmp(btf__name_by_offset(d->btf, btf_members(t)[i].name_off), "revisions"))
			return found_set(found, true, "programs can be put first");
	return found_set(found, false, "programs run in the order of their attaching");
}

static bool look_ring_buffer(struct doctor *d, const char *arg, char *found)
{
	__u32 bytes = (__u32)sysconf(_SC_PAGESIZE);
	int fd = bpf_map_create(BPF_MAP_TYPE_RINGBUF, "nslens_doctor", 0, 0, bytes, NULL);

	return found_loaded(d, found, fd) && found_set(found, true, "can be made");
}

/* Only asks what is attached to loopback: a kernel without tcx doesn't know the point. */
static bool look_tcx(struct doctor *d, const char *arg, char *found)
{
	LIBBPF_OPTS(bpf_prog_query_opts, opts);
	int err = bpf_prog_query_opts(LOOPBACK_IFINDEX, BPF_TCX_INGRESS, &opts);

	if (err == -EINVAL)
		return found_set(found, false, "this kernel has none");
	if (err && err != -ENOENT)
		return found_loaded(d, found, err);
	return found_set(found, true, "there");
}

/* --- what is mounted and shown --- */

static bool can_make_bpffs(void)
{
	int mount, fs = (int)syscall(SYS_fsopen, "bpf", FSOPEN_CLOEXEC);

	if (fs < 0)
		return false;
	mount = (int)syscall(SYS_fsconfig, fs, FSCONFIG_CMD_CREATE, NULL, NULL, 0);
	if (!mount)
		mount = (int)syscall(SYS_fsmount, fs, FSMOUNT_CLOEXEC, 0);
	close(fs);
	if (mount < 0)
		return false;
	close(mount);
	return true;
}

static bool look_bpffs(struct doctor *d, const char *arg, char *found)
{
	struct statfs s;

	if (!statfs("/sys/fs/bpf", &s) && s.f_type == BPF_FS_MAGIC)
		return found_set(found, true, "at /sys/fs/bpf");
	if (can_make_bpffs())
		return found_set(found, true, "not mounted at /sys/fs/bpf, and can be");
	return found_set(found, false, "not mounted at /sys/fs/bpf, and can't be");
}

static void note_cgroup2(void *arg, const struct mount_entry *mount)
{
	char *found = arg;

	if (!*found && !strcmp(mount->fs_type, "cgroup2") && !strcmp(mount->root, "/"))
		snprintf(found, DOCTOR_FOUND_MAX, "at %s", mount->mount_point);
}

static bool look_cgroup2(struct doctor *d, const char *arg, char *found)
{
	int fd = cgroup2_open();

	if (fd < 0)
		return fd == -ENOENT ? found_set(found, false, "not mounted")
				     : found_errno(found, fd);
	close(fd);
	*found = '\0';
	mountinfo_read("/proc/self/mountinfo", note_cgroup2, found);
	return true;
}

static bool look_handles(struct doctor *d, const char *arg, char *found)
{
	char room[sizeof(struct file_handle) + NSFS_HANDLE_BYTES]
		__attribute__((aligned(__alignof__(struct file_handle)))) = { 0 };
	struct file_handle *h = (struct file_handle *)room;
	int mount_id, fd;

	h->handle_bytes = NSFS_HANDLE_BYTES;
	if (name_to_handle_at(AT_FDCWD, "/proc/self/ns/net", h, &mount_id, AT_SYMLINK_FOLLOW))
		return errno == EOPNOTSUPP ? found_set(found, false, "this kernel has none")
					   : found_errno(found, errno);
	fd = open_by_handle_at(NSFS_ROOT_FD, h, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return found_errno(found, errno);
	close(fd);
	return found_set(found, true, "can be opened");
}

/* --- the table --- */

#define ROOT_REMEDY "run as root; in a container: add the capability, or --privileged"

/* clang-format off */
static const struct doctor_check checks[] = {
	{ "kernel", true, look_kernel, NULL,
	  NULL, "Linux 6.1 or later" },
	{ "BTF", true, look_btf, NULL,
	  NULL, "a kernel with CONFIG_DEBUG_INFO_BTF=y, and /sys/kernel/btf readable" },
	{ "lockdown", true, look_lockdown, NULL,
	  NULL, "boot without lockdown=confidentiality: it forbids BPF to read the kernel" },
	{ "CAP_BPF", true, look_capability, "CAP_BPF",
	  NULL, ROOT_REMEDY },
	{ "CAP_PERFMON", true, look_capability, "CAP_PERFMON",
	  NULL, ROOT_REMEDY },
	{ "CAP_NET_ADMIN", true, look_capability, "CAP_NET_ADMIN",
	  NULL, ROOT_REMEDY },
	{ "CAP_SYS_ADMIN", false, look_capability, "CAP_SYS_ADMIN",
	  "other namespaces can't be entered: sockets without a process stay unknown there",
	  ROOT_REMEDY },
	{ "CAP_SYS_PTRACE", false, look_capability, "CAP_SYS_PTRACE",
	  "executables of other users' processes, and namespaces that only they hold, stay unknown",
	  ROOT_REMEDY },
	{ "CAP_DAC_READ_SEARCH", false, look_capability, "CAP_DAC_READ_SEARCH",
	  "namespaces are opened through processes instead of by handle",
	  ROOT_REMEDY },
	{ "user namespace", true, look_user_namespace, NULL,
	  NULL, "run it in the host's; in a container: without user remapping" },
	{ "pid namespace", false, look_pid_namespace, NULL,
	  "owners of sockets outside of this pid namespace stay unknown",
	  "run it in the host's; in a container: --pid=host" },
	{ "bpf()", true, look_bpf, NULL,
	  NULL, "a kernel with CONFIG_BPF_SYSCALL=y; a seccomp profile that allows bpf()" },
	{ "JIT", false, look_jit, NULL,
	  "programs are interpreted, each event costs several times as much",
	  "sysctl net.core.bpf_jit_enable=1" },
	{ "ring buffer", true, look_ring_buffer, NULL,
	  NULL, "Linux 5.8 or later" },
	{ "tracepoint inet_sock_set_state", true, look_tracepoint, "inet_sock_set_state",
	  NULL, "a kernel with CONFIG_TRACEPOINTS=y and CONFIG_INET=y" },
	{ "tracepoint sock_send_length", false, look_tracepoint, "sock_send_length",
	  "functions are traced instead; without fentry, a socket's process is who opened it",
	  "Linux 6.3 or later" },
	{ "tracepoint sock_recv_length", false, look_tracepoint, "sock_recv_length",
	  "functions are traced instead; without fentry, a socket's process is who opened it",
	  "Linux 6.3 or later" },
	{ "tracepoint udp_fail_queue_rcv_skb", false, look_refusals, "udp_fail_queue_rcv_skb",
	  "a function is traced instead; without fentry either, datagrams that a full socket "
	  "dropped count as received",
	  "Linux 6.10 or later" },
	{ "raw tracepoints", false, look_raw_tracepoint, NULL,
	  "births of namespaces are found by looking again and again", "CONFIG_BPF_EVENTS=y" },
	{ "iterator task_file", true, look_iterator, "task_file",
	  NULL, "Linux 5.8 or later" },
	{ "cgroup hooks", false, look_cgroup_skb, NULL,
	  "TCP only: UDP and ICMP conversations are not seen", "CONFIG_CGROUP_BPF=y" },
	{ "order at connect()", false, look_cgroup_order, NULL,
	  "if another BPF program changes an address first, what was asked for is not seen",
	  "Linux 6.17 or later" },
	{ "cgroup2", false, look_cgroup2, NULL,
	  "TCP only: UDP and ICMP conversations are not seen, nor cgroups and containers",
	  "mount -t cgroup2 none /sys/fs/cgroup/unified; in a container: mount the host's" },
	{ "fentry", false, look_fentry, NULL,
	  "tracepoints are used instead, where the kernel has them",
	  "a kernel and a platform that allow BPF trampolines" },
	{ "tcx", false, look_tcx, NULL,
	  "nothing is attached to devices; conversations are seen at the sockets",
	  "Linux 6.6 or later" },
	{ "bpffs", false, look_bpffs, NULL,
	  "hooks can't be pinned, they go with nslens", "mount -t bpf bpf /sys/fs/bpf" },
	{ "namespace handles", false, look_handles, NULL,
	  "namespaces are opened through processes; those that only sockets hold may not be",
	  "Linux 6.18 or later" },
};
/* clang-format on */

static void examine_one(struct doctor *d, const struct doctor_check *c, struct doctor_finding *f)
{
	*f = (struct doctor_finding){
		.check = c->name,
		.required = c->required,
		.without = c->without,
		.remedy = c->remedy,
	};
	d->unknown = false;
	if (c->look(d, c->arg, f->found))
		f->state = DOCTOR_OK;
	else if (d->unknown)
		f->state = DOCTOR_UNKNOWN;
	else
		f->state = c->required ? DOCTOR_MISSING : DOCTOR_FALLBACK;
}

size_t doctor_examine(struct doctor_finding **ret_findings)
{
	struct doctor_finding *findings = calloc(ARRAY_SIZE(checks), sizeof(*findings));
	struct doctor d = { 0 };

	if (!findings)
		return 0;
	libbpf_set_print(NULL);
	d.btf = btf__load_vmlinux_btf();
	find_bars(&d);
	for (size_t i = 0; i < ARRAY_SIZE(checks); i++)
		examine_one(&d, &checks[i], &findings[i]);
	btf__free(d.btf);
	*ret_findings = findings;
	return ARRAY_SIZE(checks);
}
