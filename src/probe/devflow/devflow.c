// SPDX-License-Identifier: Apache-2.0
#include "probe/devflow/devflow.h"

#include <errno.h>

#include <bpf/bpf.h>
#include <bpf/libbpf.h>

#include "probes.skel.h"

/* Of a table; there are two on each CPU: 1.6 MB a CPU. */
enum { SLOTS = 8192 };

int devflow_configure(struct probes_bpf *skel, bool on, bool everywhere)
{
	skel->rodata->devflow_slots = on ? SLOTS : 1;
	skel->rodata->devflow_everywhere = everywhere;
	bpf_program__set_autoload(skel->progs.devflow_sweep, on);
	return on ? bpf_map__set_max_entries(skel->maps.devflows, 2 * SLOTS) : 0;
}

void devflow_turn(struct probes_bpf *skel)
{
	__atomic_fetch_add(&skel->data->devflow_turn, 1, __ATOMIC_SEQ_CST);
}

int devflow_sweep(struct probes_bpf *skel, uint32_t cpu, uint32_t from)
{
	struct devflow_sweep args = { .cpu = cpu, .from = from, .turn = skel->data->devflow_turn };
	LIBBPF_OPTS(bpf_test_run_opts, opts, .ctx_in = &args, .ctx_size_in = sizeof(args));

	return bpf_prog_test_run_opts(bpf_program__fd(skel->progs.devflow_sweep), &opts)
		       ? -errno
		       : (int)opts.retval;
}

int devflow_select(struct probes_bpf *skel, const struct device_id *id, bool on)
{
	struct devflow_place place = { .netns_cookie = id->netns_cookie, .ifindex = id->ifindex };
	int fd = bpf_map__fd(skel->maps.devflow_at);
	uint8_t one = 1;
	int err = on ? bpf_map_update_elem(fd, &place, &one, BPF_ANY)
		     : bpf_map_delete_elem(fd, &place);

	err = err && (on || errno != ENOENT) ? -errno : 0;
	__atomic_fetch_add(&skel->data->devflow_at_edition, 1, __ATOMIC_SEQ_CST);
	return err;
}
