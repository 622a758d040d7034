/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#ifndef NSLENS_PROBE_LIB_PARSE_BPF_H
#define NSLENS_PROBE_LIB_PARSE_BPF_H

/*
 * The packet parser: bytes from the network header on, in; addresses, protocol and ports, out. Also
 * compiles on the host, where it is unit-tested and fuzzed. Header layouts: RFC 791, 8200, 768,
 * 792, 4443, 4302 (AH).
 */
#ifdef __bpf__
#include "vmlinux.h"
#include <bpf/bpf_helpers.h>
#define PARSE_INLINE static __always_inline
#else
#include <linux/types.h>
#include <stdbool.h>
#define PARSE_INLINE static inline
#endif

enum parse_proto {
	PARSE_HOPOPTS = 0,
	PARSE_ICMP = 1,
	PARSE_TCP = 6,
	PARSE_UDP = 17,
	PARSE_ROUTING = 43,
	PARSE_FRAGMENT = 44,
	PARSE_AH = 51,
	PARSE_ICMP6 = 58,
	PARSE_DSTOPTS = 60,
};

enum parse_bounds {
	PARSE_IP4_MIN = 20,
	PARSE_IP6_LEN = 40,
	PARSE_L4_LEN = 8,  /* UDP header; ICMP echo header */
	PARSE_EXT_MAX = 6, /* IPv6 extension headers followed */
};

enum parse_icmp {
	PARSE_ECHO_REPLY = 0,
	PARSE_ECHO = 8,
	PARSE_ECHO6 = 128,
	PARSE_ECHO_REPLY6 = 129,
};

struct parsed {
	__u8 version; /* 4, 6 */
	__u8 proto;
	__u8 icmp_type;
	bool fragment;	    /* not the first: no L4 header in it */
	__u16 sport, dport; /* host order; ICMP echo: sport is the identifier */
	__u32 l4_offset;    /* from the network header */
	__u8 saddr[16], daddr[16];
};

/* Copy an address of @len bytes to @to of 16, the rest zero. */
PARSE_INLINE void parse_copy(__u8 *to, const __u8 *from, int len)
{
	__builtin_memset(to, 0, 16);
	__builtin_memcpy(to, from, len);
}

/*
 * The protocol after an IPv6 extension header at @p, and its length to @ret_len; -1: not an
 * extension or cut short.
 */
PARSE_INLINE int parse_extension(int proto, const __u8 *p, const __u8 *end, __u32 *ret_len)
{
	if (p + 8 > end)
		return -1;
	switch (proto) {
	case PARSE_HOPOPTS:
	case PARSE_ROUTING:
	case PARSE_DSTOPTS: *ret_len = (p[1] + 1) * 8; return p[0];
	case PARSE_AH: *ret_len = (p[1] + 2) * 4; return p[0];
	case PARSE_FRAGMENT: *ret_len = 8; return p[0];
	}
	return -1;
}

/* Is it one of the protocols that are looked into? */
PARSE_INLINE bool parse_is_l4(int proto)
{
	return proto == PARSE_UDP || proto == PARSE_TCP || proto == PARSE_ICMP ||
	       proto == PARSE_ICMP6;
}

/* Fill what the IPv4 header says. 0, or -1 as parse_l3(). */
PARSE_INLINE int parse_ip4(const __u8 *data, const __u8 *end, struct parsed *ret)
{
	__u32 len;

	if (data + PARSE_IP4_MIN > end)
		return -1;
	len = (data[0] & 0xf) * 4;
	if (len < PARSE_IP4_MIN)
		return -1;
	ret->proto = data[9];
	ret->fragment = (data[6] & 0x1f) || data[7];
	ret->l4_offset = len;
	parse_copy(ret->saddr, data + 12, 4);
	parse_copy(ret->daddr, data + 16, 4);
	return 0;
}

/* The same for IPv6, its extension headers walked. */
PARSE_INLINE int parse_ip6(const __u8 *data, const __u8 *end, struct parsed *ret)
{
	__u32 offset = PARSE_IP6_LEN;
	int proto;

	if (data + PARSE_IP6_LEN > end)
		return -1;
	proto = data[6];
	parse_copy(ret->saddr, data + 8, 16);
	parse_copy(ret->daddr, data + 24, 16);
	for (int i = 0; i < PARSE_EXT_MAX && !parse_is_l4(proto); i++) {
		const __u8 *p = data + (offset & 0x1fff);
		__u32 len = 0;
		int next;

		next = parse_extension(proto, p, end, &len);
		if (next < 0)
			return -1;
		if (proto == PARSE_FRAGMENT && (p[2] || p[3] & 0xf8))
			ret->fragment = true;
		proto = next;
		offset += len;
	}
	ret->proto = proto;
	ret->l4_offset = offset;
	return parse_is_l4(proto) ? 0 : -1;
}

/*
 * Fill what the L3 header says. 0, or -1: not IP, cut short, or a protocol that is not looked into.
 */
PARSE_INLINE int parse_l3(const __u8 *data, const __u8 *end, struct parsed *ret)
{
	if (data + 1 > end)
		return -1;
	ret->version = data[0] >> 4;
	ret->fragment = false;
	ret->icmp_type = 0;
	ret->sport = 0;
	ret->dport = 0;
	if (ret->version == 4)
		return parse_ip4(data, end, ret);
	if (ret->version == 6)
		return parse_ip6(data, end, ret);
	return -1;
}

/*
 * Fill ports or the echo identifier from the 8 bytes at the L4 header. 0, or -1: not UDP and not an
 * echo.
 */
PARSE_INLINE int parse_l4(const __u8 l4[PARSE_L4_LEN], struct parsed *ret)
{
	if (ret->fragment)
		return -1;
	if (ret->proto == PARSE_UDP) {
		ret->sport = l4[0] << 8 | l4[1];
		ret->dport = l4[2] << 8 | l4[3];
		return 0;
	}
	ret->icmp_type = l4[0];
	ret->sport = l4[4] << 8 | l4[5];
	if (ret->proto == PARSE_ICMP)
		return l4[0] == PARSE_ECHO || l4[0] == PARSE_ECHO_REPLY ? 0 : -1;
	if (ret->proto == PARSE_ICMP6)
		return l4[0] == PARSE_ECHO6 || l4[0] == PARSE_ECHO_REPLY6 ? 0 : -1;
	return -1;
}

/* Of a packet that parse_l4() took for an echo: the reply? */
PARSE_INLINE bool parse_is_echo_reply(const struct parsed *p)
{
	return p->proto == PARSE_ICMP ? p->icmp_type == PARSE_ECHO_REPLY
				      : p->icmp_type == PARSE_ECHO_REPLY6;
}

#endif
