// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/*
 * Packets and bytes of every device of every namespace. The witness, two tracepoints of the host:
 * behind the queue discipline on the way out, before any hook on the way in. And programs at the
 * devices themselves, tcx and XDP, which count what passes there. All of it only looks.
 *
 * The maps are pinned, and shared with the programs of the agent before this one: device.h.
 */
#include "vmlinux.h"
#include <bpf/bpf_core_read.h>
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_tracing.h>

#include "probe/device/device.h"
#include "probe/lib/compat.bpf.h"
#include "probe/lib/layer.bpf.h"

/* Of the programs of this load. */
const volatile __u32 device_mine = 1;

enum { TCP_LENGTH_AT = 12, ETHER_BYTES = 6, ETHER_HEADER = 14, NEXT = -1 };

/* A map of its own, reached without a lookup. */
struct device_control device_control SEC(".data.control");

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct device_turn);
} device_turn SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, DEVICE_CACHE);
	__type(key, __u32);
	__type(value, struct device_cached);
} device_cache SEC(".maps");

/* Where each device's counts are; user space takes out those that are gone. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, DEVICES_MAX);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, struct device_key);
	__type(value, struct device_place);
} device_places SEC(".maps");

/* Slots that nobody has; user space fills it. */
struct {
	__uint(type, BPF_MAP_TYPE_QUEUE);
	__uint(max_entries, DEVICE_SLOTS);
	__uint(value_size, sizeof(__u32));
} device_free SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, DEVICE_SLOTS);
	__type(key, __u32);
	__type(value, struct device_counts);
} device_slots SEC(".maps");

/* Of the devices that found no slot. */
struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_HASH);
	__uint(max_entries, DEVICES_MAX);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, struct device_key);
	__type(value, struct device_counts);
} device_rest SEC(".maps");

/* What other versions counted before this one, over all CPUs; user space's own. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, DEVICES_MAX);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, struct device_key);
	__type(value, struct device_counts);
} device_base SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, DEVICES_MAX);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, struct device_key);
	__type(value, struct device_missed);
} device_missed SEC(".maps");

/* --- the place of a device --- */

/* Give the device a place. The slot of who comes second, on another CPU, goes back. */
static __noinline __u32 device_place_new(struct device_key *key)
{
	struct device_place place = { .slot = DEVICE_NO_SLOT }, *there;

	if (!key)
		return DEVICE_NO_SLOT;
	place.first_ns = bpf_ktime_get_ns();
	if (bpf_map_pop_elem(&device_free, &place.slot))
		place.slot = DEVICE_NO_SLOT;
	if (!bpf_map_update_elem(&device_places, key, &place, BPF_NOEXIST))
		return place.slot;
	if (place.slot != DEVICE_NO_SLOT)
		bpf_map_push_elem(&device_free, &place.slot, 0);
	there = bpf_map_lookup_elem(&device_places, key);
	return there ? there->slot : DEVICE_NO_SLOT;
}

static __noinline __u32 device_place_of(struct device_key *key)
{
	struct device_place *there;

	if (!key)
		return DEVICE_NO_SLOT;
	there = bpf_map_lookup_elem(&device_places, key);
	return there ? there->slot : device_place_new(key);
}

/* Cookies and indexes are given in a row: so devices of a host are spread over the cache. */
static __always_inline __u32 device_hash(const struct device_key *key)
{
	return ((key->netns_cookie << 3) + key->ifindex) % DEVICE_CACHE;
}

/* The slot of a device, as this CPU remembers it. */
static __always_inline __u32 device_slot_of(struct device_key *key, __u32 epoch)
{
	__u64 ifindex_epoch = (__u64)epoch << 32 | key->ifindex;
	__u32 at = device_hash(key);
	struct device_cached *c = bpf_map_lookup_elem(&device_cache, &at);

	if (!c)
		return DEVICE_NO_SLOT;
	if (c->netns_cookie != key->netns_cookie || c->ifindex_epoch != ifindex_epoch) {
		c->slot = device_place_of(key);
		c->netns_cookie = key->netns_cookie;
		c->ifindex_epoch = ifindex_epoch;
	}
	return c->slot;
}

/* The same in the hash map; made if it isn't there. */
static __always_inline struct device_counts *device_rest_of(struct device_key *key)
{
	static const struct device_counts zero;
	struct device_counts *n = bpf_map_lookup_elem(&device_rest, key);

	if (n)
		return n;
	bpf_map_update_elem(&device_rest, key, &zero, BPF_NOEXIST);
	n = bpf_map_lookup_elem(&device_rest, key);
	if (!n)
		__sync_fetch_and_add(&device_control.unplaced, 1);
	return n;
}

/*
 * This CPU's counts of a device; NULL: no room, which is counted. All programs here run where no
 * soft interrupt can come between.
 */
static __always_inline struct device_counts *device_counts_of(struct device_key *key)
{
	__u32 slot = device_slot_of(key, device_control.epoch);

	if (slot != DEVICE_NO_SLOT)
		return bpf_map_lookup_elem(&device_slots, &slot);
	return device_rest_of(key);
}

/* --- the packet --- */

enum device_cast { CAST_ONE, CAST_MANY, CAST_ALL };

/* What is counted of a packet. */
struct device_packet {
	__u32 length;	/* of the skb, from the L2 header on */
	__u32 segments; /* packets of the wire that it stands for */
	__u64 more;	/* bytes of their headers that the skb does not hold */
	__u16 ethertype;
	__u8 class, cast;
};

static __always_inline void device_count(struct device_way *n, const struct device_packet *p)
{
	struct device_class *class = &n->class[p->class];

	class->skbs++;
	class->skb_bytes += p->length;
	if (p->segments > 1) {
		class->more_packets += p->segments - 1;
		class->more_bytes += p->more;
	}
	if (p->ethertype == bpf_htons(0x86dd))
		n->ipv6 += p->segments;
	else if (p->class == LAYER_NOT_IP && p->ethertype == bpf_htons(0x0806))
		n->arp += p->segments;
	if (!p->cast)
		return;
	if (p->cast == CAST_MANY)
		n->multicast += p->segments;
	else
		n->broadcast += p->segments;
}

static __always_inline bool device_is_ip(__u16 ethertype)
{
	return ethertype == bpf_htons(0x0800) || ethertype == bpf_htons(0x86dd);
}

/* How many packets an skb is, by what the kernel notes of it. */
static __always_inline __u32 device_segments(__u32 noted, __u32 size, __u32 length)
{
	/* Of one that a guest or a program made, nobody has counted them yet. */
	if (size && !noted)
		noted = (length + size - 1) / size;
	return noted > 1 ? noted : 1;
}

static __always_inline __u8 device_cast_of(const __u8 mac[ETHER_BYTES])
{
	if (!(mac[0] & 1))
		return CAST_ONE;
	return (mac[0] & mac[1] & mac[2] & mac[3] & mac[4] & mac[5]) == 0xff ? CAST_ALL : CAST_MANY;
}

/* --- the packet, as a tracepoint has it: offsets are from skb->head on --- */

static __always_inline __u32 device_skb_segments(const struct sk_buff *skb, __u32 length)
{
	const struct skb_shared_info *info = (const void *)(skb->head + skb->end);

	if (!CAN_READ_IN_PLACE)
		return device_segments(BPF_CORE_READ(info, gso_segs), BPF_CORE_READ(info, gso_size),
				       length);
	info = read_in_place(info, struct skb_shared_info);
	if (!info->gso_size)
		return 1;
	return device_segments(info->gso_segs, info->gso_size, length);
}

static __always_inline __u8 device_skb_class(__u16 ethertype, const unsigned char *ip)
{
	__u8 proto = 0;

	if (!device_is_ip(ethertype))
		return LAYER_NOT_IP;
	if (!CAN_READ_IN_PLACE)
		bpf_probe_read_kernel(&proto, 1, ip + (ethertype == bpf_htons(0x0800) ? 9 : 6));
	else if (ethertype == bpf_htons(0x0800))
		proto = read_in_place(ip, struct iphdr)->protocol;
	else
		proto = read_in_place(ip, struct ipv6hdr)->nexthdr;
	return layer_class_of(proto);
}

static __always_inline __u64 device_skb_more(__u8 class, __u32 l2_length, const unsigned char *ip,
					     __u32 segments)
{
	struct layer_packet l = { .l2_length = l2_length };

	if (segments < 2)
		return 0;
	bpf_probe_read_kernel(l.ip, sizeof(l.ip), ip);
	if (class == LAYER_TCP)
		bpf_probe_read_kernel(&l.tcp_words, 1, ip + layer_ip_length(l.ip) + TCP_LENGTH_AT);
	return (__u64)(segments - 1) * layer_headers(class, &l);
}

static __always_inline __u8 device_skb_cast(const struct net_device *dev, const unsigned char *mac)
{
	__u8 copy[ETHER_BYTES];

	/* Nearly all are for one, and that is in the first byte. */
	if (CAN_READ_IN_PLACE && !(read_in_place(mac, struct ethhdr)->h_dest[0] & 1))
		return CAST_ONE;
	if (dev->addr_len != ETHER_BYTES)
		return CAST_ONE;
	if (bpf_probe_read_kernel(copy, sizeof(copy), mac))
		return CAST_ONE;
	return device_cast_of(copy);
}

/* The kernel has looked already: PACKET_BROADCAST, PACKET_MULTICAST of linux/if_packet.h. */
static __always_inline __u8 device_cast_received(const struct sk_buff *skb)
{
	switch (BPF_CORE_READ_BITFIELD(skb, pkt_type)) {
	case 1: return CAST_ALL;
	case 2: return CAST_MANY;
	}
	return CAST_ONE;
}

/* All but the cast. */
static __always_inline void device_skb_look(const struct sk_buff *skb, __u32 l2, __u32 network,
					    struct device_packet *p)
{
	const unsigned char *ip = skb->head + network;

	p->ethertype = skb->protocol;
	p->segments = device_skb_segments(skb, p->length);
	p->class = device_skb_class(p->ethertype, ip);
	p->more = device_skb_more(p->class, network - l2, ip, p->segments);
}

/* --- the packet, as a program at the device has it --- */

static __always_inline void device_ctx_look(struct __sk_buff *ctx, __u8 address_bytes,
					    struct device_packet *p)
{
	struct layer_packet l = { .l2_length = address_bytes == ETHER_BYTES ? ETHER_HEADER : 0 };
	__u8 mac[ETHER_BYTES];

	p->ethertype = ctx->protocol;
	p->segments = device_segments(ctx->gso_segs, ctx->gso_size, p->length);
	p->class = LAYER_NOT_IP;
	p->cast = CAST_ONE;
	p->more = 0;
	if (l.l2_length && !bpf_skb_load_bytes(ctx, 0, mac, sizeof(mac)))
		p->cast = device_cast_of(mac);
	if (!device_is_ip(p->ethertype) || bpf_skb_load_bytes(ctx, l.l2_length, l.ip, sizeof(l.ip)))
		return;
	p->class = layer_class(p->ethertype, l.ip);
	if (p->class == LAYER_TCP)
		bpf_skb_load_bytes(ctx, l.l2_length + layer_ip_length(l.ip) + TCP_LENGTH_AT,
				   &l.tcp_words, 1);
	p->more = (__u64)(p->segments - 1) * layer_headers(p->class, &l);
}

/* --- the witness --- */

/*
 * Is this packet ours to count, at this point? While others look at device_turn, what is counted
 * here stands there.
 */
static __always_inline bool device_is_my_turn(__u64 skb, __u64 dev, __u32 point)
{
	bool superseded = (__s32)(device_control.generation - device_mine) > 0, counted;
	struct device_turn *t;
	__u32 zero = 0;

	if (!device_control.turns && !superseded)
		return true;
	t = bpf_map_lookup_elem(&device_turn, &zero);
	if (!t)
		return false;
	if (superseded) {
		t->skb = 0; /* a newer one counts it, right behind this one */
		return false;
	}
	counted = t->skb == skb && t->dev == dev && t->point == point &&
		  (__s32)(device_mine - t->generation) > 0;
	t->skb = skb;
	t->dev = dev;
	t->point = point;
	t->generation = device_mine;
	return !counted;
}

static __always_inline struct device_way *device_witness(const struct sk_buff *skb,
							 const struct net_device *dev, __u32 way,
							 __u32 point)
{
	struct device_key key;
	struct device_counts *n;

	if (!device_is_my_turn((__u64)skb, (__u64)dev, point))
		return NULL;
	key = (struct device_key){ .netns_cookie = dev->nd_net.net->net_cookie,
				   .ifindex = dev->ifindex };
	n = device_counts_of(&key);
	return n ? &n->way[way] : NULL;
}

/* Here the packet begins with its L2 header. */
SEC("tp_btf/net_dev_start_xmit")
int BPF_PROG(device_tx, const struct sk_buff *skb, const struct net_device *dev)
{
	struct device_way *n = device_witness(skb, dev, DEVICE_TX, DEVICE_TURN_TX);
	struct device_packet p = { .length = skb->len };
	__u32 l2 = (__u64)skb->data - (__u64)skb->head;
	__u32 network = skb->network_header > l2 ? skb->network_header : l2;

	if (!n)
		return 0;
	device_skb_look(skb, l2, network, &p);
	p.cast = network > l2 ? device_skb_cast(dev, skb->head + l2) : CAST_ONE;
	device_count(n, &p);
	return 0;
}

/* Here it begins behind it, and nothing but mac_header is set yet. */
SEC("tp_btf/netif_receive_skb")
int BPF_PROG(device_rx, struct sk_buff *skb)
{
	struct device_way *n = device_witness(skb, skb->dev, DEVICE_RX, DEVICE_TURN_RX);
	__u32 network = (__u64)skb->data - (__u64)skb->head;
	__u32 l2 = skb->mac_header < network ? skb->mac_header : network;
	struct device_packet p = { .length = skb->len + network - l2 };

	if (!n)
		return 0;
	device_skb_look(skb, l2, network, &p);
	p.cast = device_cast_received(skb);
	device_count(n, &p);
	return 0;
}

/* --- at the devices --- */

/* At this point, has the witness counted this packet at this device already? */
static __always_inline bool device_was_witnessed(__u64 skb, __u64 dev)
{
	__u32 zero = 0;
	const struct device_turn *t = bpf_map_lookup_elem(&device_turn, &zero);

	return !t || (t->skb == skb && t->dev == dev && t->point == DEVICE_TURN_RX);
}

static __always_inline int device_pass(struct __sk_buff *ctx, __u32 hook, bool ingress)
{
	struct net_device *dev = place_device(ctx);
	struct device_packet p = { .length = ctx->len };
	struct device_counts *n;
	struct device_key key = {
		.netns_cookie = place_read(dev->nd_net.net->net_cookie, dev, nd_net.net,
					   net_cookie),
		.ifindex = ctx->ifindex,
	};
	n = device_counts_of(&key);
	if (!n)
		return NEXT;
	n->hook[hook].skbs++;
	n->hook[hook].bytes += p.length;
	/* What another device has received before is not shown to the witness again. */
	if (ingress && device_control.turns && !device_was_witnessed((__u64)ctx, (__u64)dev)) {
		device_ctx_look(ctx, place_read(dev->addr_len, dev, addr_len), &p);
		device_count(&n->way[DEVICE_RX], &p);
	}
	return NEXT;
}

SEC("?tcx/ingress")
int device_ingress(struct __sk_buff *ctx)
{
	return device_pass(ctx, DEVICE_HOOK_INGRESS, true);
}

SEC("?tcx/egress")
int device_egress(struct __sk_buff *ctx)
{
	return device_pass(ctx, DEVICE_HOOK_EGRESS, false);
}

/* Before 6.2 what is behind the context can only be read as at an address. */
static __always_inline struct device_key device_xdp_key(struct xdp_md *ctx, __u32 ifindex)
{
	const struct xdp_buff *xdp = (const struct xdp_buff *)ctx;
	struct net_device *dev;

	if (!CAN_SEE_CONTEXT)
		return (struct device_key){
			.netns_cookie = BPF_CORE_READ(xdp, rxq, dev, nd_net.net, net_cookie),
			.ifindex = ifindex,
		};
	xdp = for_reading(kfunc_here(bpf_cast_to_kern_ctx)(ctx), struct xdp_buff);
	dev = xdp->rxq->dev;
	return (struct device_key){ .netns_cookie = dev->nd_net.net->net_cookie,
				    .ifindex = dev->ifindex };
}

SEC("?xdp")
int device_xdp(struct xdp_md *ctx)
{
	/* The verifier wants members of the context read off the context itself. */
	__u32 ifindex = *(volatile __u32 *)&ctx->ingress_ifindex;
	__u64 length = (void *)(long)ctx->data_end - (void *)(long)ctx->data;
	struct device_counts *n;
	struct device_key key;

	key = device_xdp_key(ctx, ifindex);
	n = device_counts_of(&key);
	if (n) {
		n->hook[DEVICE_HOOK_XDP].skbs++;
		n->hook[DEVICE_HOOK_XDP].bytes += length;
	}
	return XDP_PASS;
}

char LICENSE[] SEC("license") = "Dual BSD/GPL";
