// SPDX-License-Identifier: Apache-2.0
// FUZZ-SOURCES: src/discover/device_message.c
// FUZZ-LIBS: -lmnl
#include <errno.h>
#include <libmnl/libmnl.h>
#include <linux/rtnetlink.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "discover/device_message.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_text(const char *text, size_t size)
{
	if (strnlen(text, size) == size)
		abort();
}

static void count_vf(void *arg, const struct device_vf *vf)
{
	++*(unsigned int *)arg;
}

static void check_message(const struct nlmsghdr *h)
{
	struct device_message m;
	unsigned int n_vfs = 0;
	int err = device_message_parse(h, &m);

	device_message_each_vf(h, count_vf, &n_vfs);
	if (err && err != -EBADMSG)
		abort();
	if (err)
		return;
	check_text(m.dev.name, sizeof(m.dev.name));
	check_text(m.dev.kind, sizeof(m.dev.kind));
	check_text(m.dev.bus, sizeof(m.dev.bus));
	check_text(m.bus_name, sizeof(m.bus_name));
	if (!m.dev.id.ifindex || !*m.dev.name || !*m.dev.kind || !*m.dev.bus != !*m.bus_name ||
	    (m.moved && (!m.deleted || !m.new_ifindex)) || (m.link.foreign && !m.link.ifindex))
		abort();
}

/* libmnl takes a length of over 2 GB for a negative one. */
static bool is_whole(const struct nlmsghdr *h, int len)
{
	return mnl_nlmsg_ok(h, len) && h->nlmsg_len <= (uint32_t)len;
}

/*
 * As attributes behind a header of a link message, of either type; and, as it is, as messages one
 * after the other.
 */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	size_t head = MNL_NLMSG_HDRLEN + sizeof(struct ifinfomsg);
	char *buf = calloc(1, NLMSG_ALIGN(head + size)); /* as the kernel pads it */
	struct nlmsghdr *h = mnl_nlmsg_put_header(buf);
	struct ifinfomsg *ifi = mnl_nlmsg_put_extra_header(h, sizeof(*ifi));
	int len = (int)size;

	memcpy(buf + head, data, size);
	h->nlmsg_len = (uint32_t)(head + size);
	h->nlmsg_type = size & 4 ? RTM_DELLINK : RTM_NEWLINK;
	ifi->ifi_index = 7;
	check_message(h);
	memmove(buf, data, size);
	for (h = (struct nlmsghdr *)buf; is_whole(h, len); h = mnl_nlmsg_next(h, &len))
		check_message(h);
	free(buf);
	return 0;
}
