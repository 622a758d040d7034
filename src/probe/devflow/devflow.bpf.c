// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/*
 * Flows at devices: traffic that no socket of this host owns, routed or bridged. Two tracepoints of
 * the host: behind the queue discipline on the way out, before any hook on the way in. Counted in a
 * table of each CPU in which a flow has two places; a flow that finds both taken sends the older of
 * the two off as a record and takes its place, so nothing is forgotten.
 */
#include "vmlinux.h"
#include <bpf/bpf_core_read.h>
#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_tracing.h>

#include "abi/devflow.h"
#include "probe/lib/compat.bpf.h"
#include "probe/lib/emit.bpf.h"
#include "probe/lib/parse.bpf.h"
#include "probe/lib/sock.bpf.h"

enum {
	ETHERTYPE_IP4 = 0x0800,
	ETHERTYPE_IP6 = 0x86dd,
	UDP_HEADER = 8,
	TCP_LENGTH_AT = 12, /* in words, times 16 */
	TCP_FLAGS_AT = 13,
	EXTENSIONS_ROOM = 256, /* of an IPv6 header with extensions, what is looked at */
	N_PLACES = 2048,
};

enum { TCP_FIN = 1, TCP_SYN = 2, TCP_RST = 4, TCP_ACK = 16 };

/* Set by user space, with the maps' sizes. */
const volatile __u32 devflow_slots = 1; /* of one table; a power of two */
const volatile bool devflow_everywhere = true;

/* Counted up by user space: at each turn; when devflow_at was changed. Never 0. */
__u32 devflow_turn = 1, devflow_at_edition = 1;

/* Both tables, one behind the other. Not in use: without packets. */
struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 2);
	__type(key, __u32);
	__type(value, struct devflow);
} devflows SEC(".maps");

/* Where flows are wanted, unless everywhere. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, N_PLACES);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, struct devflow_place);
	__type(value, __u8);
} devflow_at SEC(".maps");

/* What a CPU keeps. */
struct devflow_cpu {
	__u32 busy;    /* the turn in which a program counts at the moment; or 0 */
	__u32 used[2]; /* by table: was anything counted there since its sweep? */
	__u32 edition; /* of devflow_at, when the place below was looked up there */
	struct devflow_place place;
	bool wanted;
	__u8 extensions[EXTENSIONS_ROOM];
};

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct devflow_cpu);
} devflow_cpus SEC(".maps");

static __always_inline struct devflow_cpu *devflow_this_cpu(void)
{
	__u32 zero = 0;

	return bpf_map_lookup_elem(&devflow_cpus, &zero);
}

/* --- the packet --- */

/* A packet on its way to being counted. */
struct devflow_packet {
	const struct sk_buff *skb;
	struct devflow_key key;
	__u64 ip;	  /* address of its network header */
	__u32 in_reach;	  /* bytes from there on that are not in fragments */
	__u32 l2_length;  /* before the network header */
	__u32 header_end; /* from the network header on: of all headers that were looked at */
	__u32 id;	  /* IPv4's identification */
	__u32 flags;	  /* enum devflow_flags */
};

/*
 * A header of @type at address @at: in place where the kernel allows it, else in @copy, which is on
 * the stack.
 */
#define header_at(at, type, copy)                    \
	(CAN_READ_IN_PLACE ? read_in_place(at, type) \
			   : (bpf_probe_read_kernel(copy, sizeof(*(copy)), (void *)(at)), (copy)))

/* Beyond this it is a fragment, or a protocol that is not looked into. */
static __always_inline bool devflow_ip4(struct devflow_packet *p, struct parsed *ret)
{
	struct iphdr copy, *h = header_at(p->ip, struct iphdr, &copy);

	if (p->in_reach < sizeof(*h) || parse_ip4((void *)h, (void *)(h + 1), ret))
		return false;
	*(__be32 *)p->key.saddr = h->saddr;
	*(__be32 *)p->key.daddr = h->daddr;
	p->key.family = AF_INET;
	p->id = h->id;
	return true;
}

/* Behind extension headers; false: they don't lead to what is looked into. */
static __always_inline bool devflow_ip6_walk(const struct devflow_packet *p, struct parsed *ret)
{
	struct devflow_cpu *cpu = devflow_this_cpu();
	__u32 n = p->in_reach < EXTENSIONS_ROOM ? p->in_reach : EXTENSIONS_ROOM - 1;

	barrier_var(n);
	n &= EXTENSIONS_ROOM - 1; /* as the verifier of 6.1 wants it */
	if (!cpu || bpf_probe_read_kernel(cpu->extensions, n, (void *)p->ip))
		return false;
	return !parse_l3(cpu->extensions, cpu->extensions + EXTENSIONS_ROOM, ret) &&
	       ret->l4_offset < n;
}

static __always_inline bool devflow_ip6(struct devflow_packet *p, struct parsed *ret)
{
	struct ipv6hdr copy, *h = header_at(p->ip, struct ipv6hdr, &copy);

	if (p->in_reach < sizeof(*h))
		return false;
	for (int i = 0; i < 4; i++) {
		((__be32 *)p->key.saddr)[i] = h->saddr.in6_u.u6_addr32[i];
		((__be32 *)p->key.daddr)[i] = h->daddr.in6_u.u6_addr32[i];
	}
	p->key.family = AF_INET6;
	ret->proto = h->nexthdr;
	ret->l4_offset = sizeof(*h);
	ret->fragment = false;
	return parse_is_l4(ret->proto) || devflow_ip6_walk(p, ret);
}

static __always_inline void devflow_tcp(struct devflow_packet *p, const struct tcphdr *h)
{
	__u8 flags = ((const __u8 *)h)[TCP_FLAGS_AT];

	p->header_end += (((const __u8 *)h)[TCP_LENGTH_AT] >> 4) * 4;
	if ((flags & (TCP_SYN | TCP_ACK)) == TCP_SYN)
		p->flags |= DEVFLOW_F_BEGIN;
	if (flags & TCP_FIN)
		p->flags |= DEVFLOW_F_FIN;
	if (flags & TCP_RST)
		p->flags |= DEVFLOW_F_RST;
	p->id ^= h->seq;
}

static __always_inline void devflow_icmp(struct devflow_packet *p, const struct icmphdr *h)
{
	__u8 l4[PARSE_L4_LEN] = { h->type, h->code };
	struct parsed echo = { .proto = p->key.proto };

	*(__be32 *)(l4 + 4) = h->un.gateway;
	p->header_end += PARSE_L4_LEN;
	p->key.has_ports = !parse_l4(l4, &echo);
	p->key.sport = p->key.has_ports ? echo.sport : 0;
	p->id ^= *(__be32 *)(l4 + 4);
}

/* What stands in the header behind the network header. False: it is cut short. */
static __always_inline bool devflow_l4(struct devflow_packet *p)
{
	struct tcphdr copy, *h = header_at(p->ip + p->header_end, struct tcphdr, &copy);
	__u32 room = p->in_reach - p->header_end;

	if (p->in_reach < p->header_end + PARSE_L4_LEN)
		return false;
	if (p->key.proto == PARSE_ICMP || p->key.proto == PARSE_ICMP6) {
		devflow_icmp(p, header_at(p->ip + p->header_end, struct icmphdr, (void *)&copy));
		return true;
	}
	p->key.sport = bpf_ntohs(h->source);
	p->key.dport = bpf_ntohs(h->dest);
	p->key.has_ports = 1;
	if (p->key.proto == PARSE_TCP) {
		if (room < sizeof(*h))
			return false;
		devflow_tcp(p, h);
		return true;
	}
	p->id ^= h->seq; /* UDP: length and checksum */
	p->header_end += UDP_HEADER;
	return true;
}

/* Is it of a flow at all? False: no, or its headers can't be read, which is counted. */
static __always_inline bool devflow_parse(struct devflow_packet *p)
{
	__u16 ethertype = bpf_ntohs(p->skb->protocol);
	struct parsed l3 = { 0 };
	bool found = false;

	if (ethertype == ETHERTYPE_IP4)
		found = devflow_ip4(p, &l3);
	else if (ethertype == ETHERTYPE_IP6)
		found = devflow_ip6(p, &l3);
	else
		return false;
	if (found && parse_is_l4(l3.proto)) {
		p->key.proto = l3.proto;
		p->header_end = l3.l4_offset;
		if (l3.fragment || devflow_l4(p))
			return true;
	}
	count_figure(FIGURE_DEVICE_OTHERS);
	return false;
}

/* Where the skb's shared info is, both of its fields that matter. */
static __always_inline void devflow_gso(const struct sk_buff *skb, __u32 *ret_size, __u32 *ret_segs)
{
	struct skb_shared_info *info = (void *)(skb->head + skb->end);

	if (CAN_READ_IN_PLACE) {
		info = read_in_place(info, struct skb_shared_info);
		*ret_size = info->gso_size;
		*ret_segs = info->gso_segs;
	} else {
		*ret_size = BPF_CORE_READ(info, gso_size);
		*ret_segs = BPF_CORE_READ(info, gso_segs);
	}
}

/* How many packets of the wire it stands for. */
static __always_inline __u32 devflow_segments(const struct devflow_packet *p, __u32 length,
					      __u32 headers)
{
	__u32 size, segments;

	devflow_gso(p->skb, &size, &segments);
	if (!size)
		return 1;
	if (!segments && length > headers) /* of a virtual device: nobody has counted yet */
		segments = (length - headers + size - 1) / size;
	return segments ?: 1;
}

/* --- where --- */

static __always_inline bool devflow_is_at(const struct devflow_place *place)
{
	return bpf_map_lookup_elem(&devflow_at, place);
}

/* Is the place one whose flows are wanted? Packets of one come in batches: the last is kept. */
static __always_inline bool devflow_wanted(struct devflow_cpu *cpu, const struct devflow_key *key)
{
	struct devflow_place place = { key->netns_cookie, key->ifindex };

	if (devflow_everywhere)
		return true;
	if (cpu->place.netns_cookie == place.netns_cookie && cpu->place.ifindex == place.ifindex &&
	    cpu->edition == devflow_at_edition)
		return cpu->wanted;
	cpu->edition = devflow_at_edition;
	cpu->place = place;
	cpu->wanted = devflow_is_at(&place);
	return cpu->wanted;
}

/* A socket for addresses of IP sent it, and hangs on it still. */
static __always_inline bool devflow_is_own(const struct sk_buff *skb)
{
	const struct sock *sk = skb->sk;

	return sk && sock_is_inet(for_reading(sk, struct sock));
}

/* --- the tables --- */

static __always_inline __u64 devflow_mix(__u64 x)
{
	x *= 0x9e3779b97f4a7c15ULL;
	return x ^ x >> 32;
}

static __always_inline __u32 devflow_hash(const struct devflow_key *key)
{
	const __u64 *w = (const __u64 *)key;

	return devflow_mix(devflow_mix(w[0] ^ w[2]) ^ (w[1] ^ w[3]) * 3 ^ devflow_mix(w[4] ^ w[5]) ^
			   w[6]);
}

static __always_inline bool devflow_is(const struct devflow *f, const struct devflow_key *key)
{
	const __u64 *a = (const __u64 *)&f->key, *b = (const __u64 *)key;

	return a[5] == b[5] && a[0] == b[0] && a[2] == b[2] && a[6] == b[6] && a[4] == b[4] &&
	       a[1] == b[1] && a[3] == b[3];
}

/* Send it off and free its place. False: there is no room in the ring. */
static __always_inline bool devflow_emit(struct devflow *f)
{
	struct rec_devflow *r = emit_reserve(REC_DEVICE_FLOW, sizeof(*r));

	if (r) {
		r->flow = *f;
		emit_submit(r);
	}
	f->packets = 0;
	return r;
}

static __always_inline struct devflow *devflow_slot(__u32 table, __u32 hash)
{
	__u32 slot = table * devflow_slots + (hash & (devflow_slots - 1));

	return bpf_map_lookup_elem(&devflows, &slot);
}

/*
 * Make room in one of two places that others have. What local sockets sent is told by them: it
 * goes first, and unsaid.
 */
static __always_inline struct devflow *devflow_evict(struct devflow *a, struct devflow *b)
{
	struct devflow *out = a->last_ns > b->last_ns ? b : a;

	if (a->flags & DEVFLOW_F_LOCAL)
		out = a;
	else if (b->flags & DEVFLOW_F_LOCAL)
		out = b;
	if (out->flags & DEVFLOW_F_LOCAL) {
		out->packets = 0;
		return out;
	}
	count_figure(FIGURE_DEVICE_EVICTIONS);
	devflow_emit(out);
	return out;
}

/* The place of the packet's flow, or one that is free, or freed here. NULL: not for this one. */
static __always_inline struct devflow *devflow_find(const struct devflow_packet *p, __u32 table)
{
	__u32 hash = devflow_hash(&p->key);
	struct devflow *a = devflow_slot(table, hash), *b;

	if (!a || (a->packets && devflow_is(a, &p->key)))
		return a;
	b = devflow_slot(table, hash ^ 1);
	if (!b || (b->packets && devflow_is(b, &p->key)))
		return b;
	if (!a->packets || !b->packets)
		return a->packets ? b : a;
	return p->flags & DEVFLOW_F_LOCAL ? NULL : devflow_evict(a, b);
}

static __always_inline void devflow_add(const struct devflow_packet *p, __u32 table, __u32 length)
{
	__u32 headers = p->l2_length + p->header_end;
	__u32 segments = devflow_segments(p, length, headers);
	struct devflow *f = devflow_find(p, table);
	__u64 now = bpf_ktime_get_ns();

	if (!f)
		return;
	if (!f->packets) {
		f->key = p->key;
		f->bytes = 0;
		f->flags = 0;
		f->first_is = p->id;
		f->first_ns = now;
	}
	f->packets += segments;
	f->bytes += length + (__u64)(segments - 1) * headers;
	f->flags |= p->flags;
	f->last_ns = now;
}

/*
 * Count it in the table of the current turn. Who sweeps the other one sees by busy whether a
 * program that began in the turn before it is still at work.
 */
static __always_inline void devflow_count(struct devflow_cpu *cpu, const struct devflow_packet *p,
					  __u32 length)
{
	__u32 turn = *(volatile __u32 *)&devflow_turn;

	if (cpu->busy) { /* a packet from within a hard interrupt */
		count_lost(LOST_DEVICE_FLOW);
		return;
	}
	*(volatile __u32 *)&cpu->busy = turn;
	if (*(volatile __u32 *)&devflow_turn != turn) {
		turn = *(volatile __u32 *)&devflow_turn;
		*(volatile __u32 *)&cpu->busy = turn;
	}
	cpu->used[turn & 1] = 1;
	devflow_add(p, turn & 1, length);
	*(volatile __u32 *)&cpu->busy = 0;
}

/* @network: where the network header is, from skb->head on; @length from the L2 header on. */
static __always_inline int devflow_see(struct devflow_packet *p, const struct net_device *dev,
				       __u32 network, __u32 length)
{
	struct devflow_cpu *cpu = devflow_this_cpu();
	__u32 linear = length - p->skb->data_len;

	p->key.netns_cookie = dev->nd_net.net->net_cookie;
	p->key.ifindex = dev->ifindex;
	if (!cpu || !devflow_wanted(cpu, &p->key))
		return 0;
	p->key.netns_inode = dev->nd_net.net->ns.inum;
	p->ip = (__u64)p->skb->head + network;
	p->in_reach = linear > p->l2_length ? linear - p->l2_length : 0;
	if (devflow_parse(p))
		devflow_count(cpu, p, length);
	return 0;
}

/* Here the packet begins with its L2 header. */
SEC("tp_btf/net_dev_start_xmit")
int BPF_PROG(devflow_tx, struct sk_buff *skb, struct net_device *dev)
{
	struct devflow_packet p = { .skb = for_reading(skb, struct sk_buff),
				    .key.direction = DEVFLOW_TX };
	__u32 data = (__u64)p.skb->data - (__u64)p.skb->head, network = p.skb->network_header;

	if (devflow_is_own(p.skb))
		return 0;
	if (network > data)
		p.l2_length = network - data;
	return devflow_see(&p, for_reading(dev, struct net_device), network, p.skb->len);
}

/* Here it begins behind it, and nothing but mac_header is set yet. */
SEC("tp_btf/netif_receive_skb")
int BPF_PROG(devflow_rx, struct sk_buff *skb)
{
	struct devflow_packet p = { .skb = for_reading(skb, struct sk_buff),
				    .key.direction = DEVFLOW_RX };
	__u32 data = (__u64)p.skb->data - (__u64)p.skb->head;

	if (data > p.skb->mac_header)
		p.l2_length = data - p.skb->mac_header;
	if (devflow_is_own(p.skb))
		p.flags = DEVFLOW_F_LOCAL;
	return devflow_see(&p, p.skb->dev, data, p.skb->len + p.l2_length);
}

/* --- the sweep --- */

struct devflow_at_slot {
	__u32 cpu, first, table, stopped;
};

static long devflow_sweep_slot(__u32 i, struct devflow_at_slot *at)
{
	__u32 slot = at->table * devflow_slots + ((at->first + i) & (devflow_slots - 1));
	struct devflow *f = bpf_map_lookup_percpu_elem(&devflows, &slot, at->cpu);

	if (!f || !f->packets)
		return 0;
	if (emit_crowded()) {
		at->stopped = at->first + i;
		return 1;
	}
	devflow_emit(f);
	return 0;
}

/*
 * One CPU's flows of the turn before. Returns where to go on once there is room in the ring, or
 * DEVFLOW_SWEPT. A CPU that is still at work in that turn is left to the next sweep of the table.
 */
SEC("syscall")
int devflow_sweep(struct devflow_sweep *args)
{
	struct devflow_at_slot at = { .cpu = args->cpu,
				      .first = args->from,
				      .table = (args->turn & 1) ^ 1,
				      .stopped = DEVFLOW_SWEPT };
	__u32 zero = 0;
	struct devflow_cpu *cpu = bpf_map_lookup_percpu_elem(&devflow_cpus, &zero, at.cpu);

	if (!cpu || !cpu->used[at.table & 1] || at.first >= devflow_slots)
		return DEVFLOW_SWEPT;
	if (cpu->busy == args->turn - 1)
		return DEVFLOW_SWEPT;
	bpf_loop(devflow_slots - at.first, devflow_sweep_slot, &at, 0);
	if (at.stopped == DEVFLOW_SWEPT)
		cpu->used[at.table & 1] = 0;
	return at.stopped;
}

char LICENSE[] SEC("license") = "Dual BSD/GPL";
