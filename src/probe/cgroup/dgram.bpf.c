// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/*
 * UDP and ICMP echo: datagrams counted by socket and peer where IP and socket meet (cgroup_skb:
 * after the socket and before fragmentation on the way out, at the socket's queue on the way in).
 * TCP leaves at the first test; of connect() and of the end of its sockets it is told.
 */
#include "vmlinux.h"
#include <bpf/bpf_core_read.h>
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_tracing.h>

#include "abi/dgram.h"
#include "probe/lib/compat.bpf.h"
#include "probe/lib/conntrack.bpf.h"
#include "probe/lib/emit.bpf.h"
#include "probe/lib/parse.bpf.h"
#include "probe/lib/sock.bpf.h"
#include "probe/lib/task.bpf.h"
#include "probe/lib/used.bpf.h"

enum { PASS = 1 };

#define NS_PER_MS 1000000ULL

/* What is known of a datagram socket; by its cookie, from bind() or first use to close. */
struct dgram_sock {
	struct owner opener, user;
	__u32 n_flows;
	__u32 announced;	/* user space was told of the user's process */
	struct dgram_key first; /* of its flows: most sockets have just this one */
};

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 65536);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, __u64);
	__type(value, struct dgram_sock);
} dgram_socks SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 65536);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, struct dgram_key);
	__type(value, struct dgram_flow);
} dgram_flows SEC(".maps");

/*
 * Sockets that were closed lately, by their cookies' low bits: a datagram on its way to one must
 * not bring it back, nor may a sweep tell of its flows after their end was told. Another socket's
 * release overwrites it; by then neither can happen any more.
 */
enum { N_RELEASED = 4096 };

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, N_RELEASED);
	__type(key, __u32);
	__type(value, __u64);
} dgram_released SEC(".maps");

static __always_inline __u64 *dgram_released_slot(__u64 cookie)
{
	__u32 i = cookie % N_RELEASED;

	return bpf_map_lookup_elem(&dgram_released, &i);
}

static __always_inline bool dgram_is_released(__u64 cookie)
{
	__u64 *slot = dgram_released_slot(cookie);

	return slot && *(volatile __u64 *)slot == cookie;
}

/* --- sockets and their owners --- */

/*
 * What new map elements start as; not on the stack, of which little is left in these call chains.
 */
static const struct dgram_sock dgram_sock_zero;
static const struct dgram_flow dgram_flow_zero;

static __always_inline struct dgram_sock *dgram_sock_add(__u64 cookie)
{
	struct dgram_sock *s;

	bpf_map_update_elem(&dgram_socks, &cookie, &dgram_sock_zero, BPF_NOEXIST);
	s = bpf_map_lookup_elem(&dgram_socks, &cookie);
	if (!s)
		count_lost(LOST_OWNER_MAP_FULL);
	return s;
}

static __always_inline void dgram_emit_owner(__u64 cookie, const struct dgram_sock *s, __u16 type)
{
	struct rec_owner *r = emit_reserve(type, sizeof(*r));

	if (!r)
		return;
	r->cookie = cookie;
	r->opener = s->opener;
	r->user = s->user;
	emit_submit(r);
}

/* The current process uses the socket; user space is told if flows are known of it. */
int dgram_used(__u64 cookie)
{
	struct dgram_sock *s = bpf_map_lookup_elem(&dgram_socks, &cookie);
	struct owner me;
	bool known;

	if (!dgram_on || !owner_current(&me))
		return 0;
	known = s && owner_equal(&s->user, &me);
	if (known && s->announced)
		return 0;
	if (!s)
		s = dgram_sock_add(cookie);
	if (!s)
		return 0;
	s->announced = !process_announce_current();
	if (known)
		return 0;
	s->user = me;
	if (!s->opener.tgid)
		s->opener = me;
	if (s->n_flows)
		dgram_emit_owner(cookie, s, REC_OWNER);
	return 0;
}

int dgram_adopt(__u64 cookie, const struct owner *who)
{
	struct dgram_sock *s;

	if (!who || bpf_map_lookup_elem(&dgram_socks, &cookie))
		return 0;
	s = dgram_sock_add(cookie);
	if (s)
		s->opener = s->user = *who;
	return 0;
}

static __always_inline int dgram_bound(struct bpf_sock *ctx)
{
	if (ctx->protocol == IPPROTO_TCP)
		return PASS;
	count_figure(FIGURE_BINDS);
	dgram_used(bpf_get_socket_cookie(ctx));
	return PASS;
}

SEC("cgroup/post_bind4")
int dgram_bind4(struct bpf_sock *ctx)
{
	return dgram_bound(ctx);
}

SEC("cgroup/post_bind6")
int dgram_bind6(struct bpf_sock *ctx)
{
	return dgram_bound(ctx);
}

/* --- connect() --- */

static __always_inline void asked4(struct rec_asked *to, struct bpf_sock_addr *ctx)
{
	*(__u32 *)to->addr = ctx->user_ip4;
	to->port = bpf_ntohs(ctx->user_port);
	to->family = AF_INET;
}

static __always_inline void asked6(struct rec_asked *to, struct bpf_sock_addr *ctx)
{
	__u32 *words = (__u32 *)to->addr;

	words[0] = ctx->user_ip6[0];
	words[1] = ctx->user_ip6[1];
	words[2] = ctx->user_ip6[2];
	words[3] = ctx->user_ip6[3];
	to->port = bpf_ntohs(ctx->user_port);
	to->family = AF_INET6;
}

/* connect() opens a socket that nobody has bound or used before. */
static __always_inline int dgram_connected(struct bpf_sock_addr *ctx)
{
	__u64 cookie = bpf_get_socket_cookie(ctx);

	count_figure(FIGURE_CONNECTS);
	if (!bpf_map_lookup_elem(&dgram_socks, &cookie))
		dgram_used(cookie);
	return PASS;
}

static __always_inline int tcp_asked_to_connect(struct bpf_sock_addr *ctx, struct connecting *c)
{
	count_figure(FIGURE_CONNECTS);
	if (!tcp_on)
		return PASS;
	/* Before 6.2 the verifier lets nobody look: then it is taken for one that may be known. */
	if (CAN_READ_IN_PLACE)
		c->is_new = !read_in_place(c->sk, struct sock)->__sk_common.skc_cookie.counter;
	tcp_connecting(bpf_get_socket_cookie(ctx), c);
	return PASS;
}

SEC("cgroup/connect4")
int dgram_connect4(struct bpf_sock_addr *ctx)
{
	struct connecting c = { .sk = (__u64)ctx->sk };

	if (ctx->protocol != IPPROTO_TCP)
		return dgram_connected(ctx);
	asked4(&c.to, ctx);
	return tcp_asked_to_connect(ctx, &c);
}

SEC("cgroup/connect6")
int dgram_connect6(struct bpf_sock_addr *ctx)
{
	struct connecting c = { .sk = (__u64)ctx->sk };

	if (ctx->protocol != IPPROTO_TCP)
		return dgram_connected(ctx);
	asked6(&c.to, ctx);
	return tcp_asked_to_connect(ctx, &c);
}

/* --- flows --- */

/* A record of @f, to be submitted or discarded. NULL: there was no room. */
static __always_inline struct rec_dgram *dgram_record(const struct dgram_key *key,
						      struct dgram_flow *f,
						      const struct dgram_sock *s, __u8 action)
{
	struct rec_dgram *r = emit_reserve(REC_DGRAM, sizeof(*r));

	if (!r)
		return NULL;
	__builtin_memset((char *)r + sizeof(r->h), 0, sizeof(*r) - sizeof(r->h));
	r->key = *key;
	r->n = f->n;
	r->netns_cookie = f->netns_cookie;
	r->netns_inode = f->netns_inode;
	r->ifindex = f->ifindex;
	__builtin_memcpy(r->device, f->device, sizeof(r->device));
	if (s) {
		r->opener = s->opener;
		r->user = s->user;
	}
	r->start_ns = f->start_ns;
	r->last_ns = f->last_ns;
	r->fingerprint = f->fingerprint;
	r->flags = f->flags;
	r->action = action;
	f->reported = r->n;
	return r;
}

static __always_inline bool dgram_emit(const struct dgram_key *key, struct dgram_flow *f,
				       const struct dgram_sock *s, __u8 action)
{
	struct rec_dgram *r = dgram_record(key, f, s, action);

	if (r)
		emit_submit(r);
	return r;
}

/*
 * Length and first bytes of the payload (FNV-1a): at both ends the same, for telling equal 5-tuples
 * apart.
 */
static __always_inline __u32 dgram_fingerprint(struct __sk_buff *skb, __u32 offset, __u32 length)
{
	__u8 bytes[16] = {};
	__u32 n = length < sizeof(bytes) ? length : sizeof(bytes), hash = 2166136261u ^ length;

	if (n) {
		/* n, so that 6.1's verifier sees that it is 1 to 16. */
		barrier_var(n);
		bpf_skb_load_bytes(skb, offset, bytes, ((n - 1) & (sizeof(bytes) - 1)) + 1);
	}
	for (int i = 0; i < (int)sizeof(bytes); i++)
		hash = (hash ^ bytes[i]) * 16777619u;
	return hash;
}

static __always_inline __u64 dgram_netns_cookie(struct __sk_buff *ctx)
{
	struct net_device *dev = place_device(ctx);

	return dev ? place_read(dev->nd_net.net->net_cookie, dev, nd_net.net, net_cookie) : 0;
}

struct datagram {
	struct dgram_key key;
	__u64 payload, packets;
	__u32 payload_offset;
	bool out;
	bool kernel;	 /* the kernel's own echo reply: no socket */
	bool only_known; /* makes no new flow */
	bool translated; /* leaves with other addresses than the key's */
};

/* Who has the socket of a new flow: a sender is at work right now; a receiver is who bound it. */
static __always_inline struct dgram_sock *dgram_owner(const struct datagram *d)
{
	struct dgram_sock *s;

	if (d->kernel)
		return NULL;
	if (d->out && in_task_context())
		dgram_used(d->key.cookie);
	s = bpf_map_lookup_elem(&dgram_socks, &d->key.cookie);
	return s ?: dgram_sock_add(d->key.cookie);
}

/* Of two CPUs with datagrams of the same new flow one makes it: *@ret_made. */
static __noinline struct dgram_flow *dgram_flow_add(struct __sk_buff *ctx, const struct datagram *d,
						    bool *ret_made)
{
	struct net_device *dev = place_device(ctx);
	__u32 length = d->payload;
	struct dgram_flow *f;
	long err = bpf_map_update_elem(&dgram_flows, &d->key, &dgram_flow_zero, BPF_NOEXIST);

	*ret_made = !err;
	f = bpf_map_lookup_elem(&dgram_flows, &d->key);
	if (!f)
		count_lost(LOST_DGRAM_MAP_FULL);
	if (!f || err)
		return f;
	if (dev) {
		f->netns_cookie = place_read(dev->nd_net.net->net_cookie, dev, nd_net.net,
					     net_cookie);
		f->netns_inode = place_read(dev->nd_net.net->ns.inum, dev, nd_net.net, ns.inum);
		f->ifindex = place_read(dev->ifindex, dev, ifindex);
		bpf_probe_read_kernel(f->device, sizeof(f->device), &dev->name);
	}
	if (ctx->gso_size && ctx->gso_size < length)
		length = ctx->gso_size;
	f->fingerprint = dgram_fingerprint(ctx, d->payload_offset, length);
	f->flags = (d->out != d->kernel ? 0 : DGRAM_F_REMOTE_FIRST) |
		   (d->kernel ? DGRAM_F_KERNEL : 0) | (d->translated ? DGRAM_F_TRANSLATED : 0);
	f->start_ns = bpf_ktime_get_ns();
	return f;
}

static __always_inline void dgram_flow_count(struct dgram_flow *f, const struct datagram *d)
{
	if (d->out) {
		__sync_fetch_and_add(&f->n.tx_bytes, d->payload);
		__sync_fetch_and_add(&f->n.tx_packets, d->packets);
	} else {
		__sync_fetch_and_add(&f->n.rx_bytes, d->payload);
		__sync_fetch_and_add(&f->n.rx_packets, d->packets);
	}
	f->last_ns = bpf_ktime_get_ns();
}

static __always_inline void dgram_count(struct __sk_buff *ctx, const struct datagram *d)
{
	struct dgram_flow *f = bpf_map_lookup_elem(&dgram_flows, &d->key);
	struct dgram_sock *s;
	bool made = false;

	if (f) {
		dgram_flow_count(f, d);
		return;
	}
	if (d->only_known || (!d->out && dgram_is_released(d->key.cookie)))
		return;
	s = dgram_owner(d);
	f = dgram_flow_add(ctx, d, &made);
	if (!f)
		return;
	dgram_flow_count(f, d);
	if (!made)
		return;
	dgram_emit(&d->key, f, s, DGRAM_ACT_OPEN);
	if (s && !__sync_fetch_and_add(&s->n_flows, 1))
		s->first = d->key;
	/* Closed in the meantime: its flow is left to become idle. */
	if (!d->out && dgram_is_released(d->key.cookie))
		bpf_map_delete_elem(&dgram_socks, &d->key.cookie);
}

static __always_inline void dgram_key_fill(struct dgram_key *key, const struct parsed *p, bool out)
{
	__builtin_memcpy(key->laddr, out ? p->saddr : p->daddr, 16);
	__builtin_memcpy(key->raddr, out ? p->daddr : p->saddr, 16);
	key->proto = p->proto;
	key->family = p->version == 4 ? AF_INET : AF_INET6;
	if (p->proto == PARSE_UDP) {
		key->lport = out ? p->sport : p->dport;
		key->rport = out ? p->dport : p->sport;
	} else {
		key->lport = p->sport;
	}
}

/* A global function: what follows is verified once, not for each way through the headers. */
__noinline int dgram_parse(struct __sk_buff *ctx, struct parsed *ret)
{
	__u8 l4[PARSE_L4_LEN];

	if (!ret || parse_l3((void *)(long)ctx->data, (void *)(long)ctx->data_end, ret) ||
	    bpf_skb_load_bytes(ctx, ret->l4_offset, l4, sizeof(l4)))
		return -1;
	return parse_l4(l4, ret);
}

/*
 * The socket's view, which is also the one that packets come in with: if addresses are translated
 * on the way out, the packet has others by now.
 */
static __noinline bool dgram_key_as_sent(struct __sk_buff *ctx, struct dgram_key *key)
{
	struct conntrack_tuple tuple = {};

	if (key->proto != PARSE_UDP || !conntrack_as_sent(ctx, &tuple))
		return false;
	__builtin_memcpy(key->laddr, tuple.saddr, sizeof(key->laddr));
	__builtin_memcpy(key->raddr, tuple.daddr, sizeof(key->raddr));
	key->lport = bpf_ntohs(tuple.sport);
	key->rport = bpf_ntohs(tuple.dport);
	return true;
}

static __noinline int dgram_packet(struct __sk_buff *ctx, bool out)
{
	struct datagram d = { .out = out, .packets = 1 };
	struct parsed p = {};

	if (dgram_parse(ctx, &p))
		return PASS;
	d.payload_offset = p.l4_offset + PARSE_L4_LEN;
	d.payload = ctx->len > d.payload_offset ? ctx->len - d.payload_offset : 0;
	if (ctx->gso_size && p.proto == PARSE_UDP)
		d.packets = (d.payload + ctx->gso_size - 1) / ctx->gso_size;
	if (p.proto != PARSE_UDP) {
		d.kernel = out && parse_is_echo_reply(&p);
		d.only_known = !out;
		if (!out && !parse_is_echo_reply(&p))
			return PASS;
	}
	d.key.cookie = d.kernel ? dgram_netns_cookie(ctx) : bpf_get_socket_cookie(ctx);
	dgram_key_fill(&d.key, &p, out);
	d.translated = out && dgram_key_as_sent(ctx, &d.key);
	dgram_count(ctx, &d);
	return PASS;
}

/* Is it worth a look? The protocol's byte alone decides for TCP. */
static __always_inline bool dgram_concerned(struct __sk_buff *ctx)
{
	const __u8 *data = (void *)(long)ctx->data, *end = (void *)(long)ctx->data_end;

	if (data + PARSE_IP4_MIN > end)
		return false;
	return data[0] >> 4 == 4 ? data[9] != PARSE_TCP : data[6] != PARSE_TCP;
}

SEC("cgroup_skb/egress")
int dgram_egress(struct __sk_buff *ctx)
{
	return dgram_concerned(ctx) ? dgram_packet(ctx, true) : PASS;
}

SEC("cgroup_skb/ingress")
int dgram_ingress(struct __sk_buff *ctx)
{
	return dgram_concerned(ctx) ? dgram_packet(ctx, false) : PASS;
}

/* --- counted, but the socket's queue had no room --- */

static __always_inline int dgram_key_of_skb(struct dgram_key *key, struct sock *sk,
					    struct sk_buff *skb)
{
	const __u8 *head = (const __u8 *)skb->head, *ip = head + skb->network_header;
	const __u8 *l4 = head + skb->transport_header;
	__u8 version = 0, ports[4];

	if (bpf_probe_read_kernel(&version, 1, ip) ||
	    bpf_probe_read_kernel(ports, sizeof(ports), l4))
		return -1;
	key->cookie = bpf_get_socket_cookie(sk);
	key->proto = PARSE_UDP;
	key->rport = ports[0] << 8 | ports[1];
	key->lport = ports[2] << 8 | ports[3];
	if (version >> 4 == 4) {
		key->family = AF_INET;
		bpf_probe_read_kernel(key->raddr, 4, ip + 12);
		bpf_probe_read_kernel(key->laddr, 4, ip + 16);
	} else {
		key->family = AF_INET6;
		bpf_probe_read_kernel(key->raddr, 16, ip + 8);
		bpf_probe_read_kernel(key->laddr, 16, ip + 24);
	}
	return 0;
}

static __always_inline int dgram_take_back(struct sock *sk, struct sk_buff *skb)
{
	struct dgram_key key = {};
	struct dgram_flow *f;

	if (dgram_key_of_skb(&key, sk, skb))
		return 0;
	f = bpf_map_lookup_elem(&dgram_flows, &key);
	if (f) {
		count_figure(FIGURE_REFUSED_DATAGRAMS);
		__sync_fetch_and_add(&f->n.rx_bytes, -(__u64)skb->len);
		__sync_fetch_and_add(&f->n.rx_packets, -1ULL);
	}
	return 0;
}

SEC("tp_btf/udp_fail_queue_rcv_skb")
int BPF_PROG(dgram_refused, int rc, struct sock *sk, struct sk_buff *skb)
{
	return dgram_take_back(sk, skb);
}

/* Where that tracepoint doesn't tell the packet: before e9669a00bba7 (6.10). */
SEC("?fexit/__udp_enqueue_schedule_skb")
int BPF_PROG(dgram_unqueued, struct sock *sk, struct sk_buff *skb, int ret)
{
	return ret ? dgram_take_back(sk, skb) : 0;
}

/* --- the end --- */

/*
 * close() of the last descriptor, in the closer's context. A socket with one flow is done with
 * right here.
 */
SEC("cgroup/sock_release")
int dgram_release(struct bpf_sock *ctx)
{
	struct dgram_flow *f;
	struct dgram_sock *s;
	struct dgram_key key;
	struct owner me;
	__u64 cookie, *released;

	if (ctx->protocol == IPPROTO_TCP) {
		if (ctx->state == BPF_TCP_CLOSE)
			tcp_not_sent(bpf_get_socket_cookie(ctx));
		return PASS;
	}
	cookie = bpf_get_socket_cookie(ctx);
	released = dgram_released_slot(cookie);
	if (released)
		__sync_lock_test_and_set(released, cookie); /* before anything is looked up */
	s = bpf_map_lookup_elem(&dgram_socks, &cookie);
	if (!s)
		return PASS;
	/* A worker collects what nobody holds any more. */
	if (s->n_flows && !task_is_kernel_thread() && owner_current(&me) &&
	    !owner_equal(&s->user, &me)) {
		s->user = me;
		process_announce_current();
	}
	key = s->first;
	f = s->n_flows == 1 ? bpf_map_lookup_elem(&dgram_flows, &key) : NULL;
	if (f) {
		dgram_emit(&key, f, s, DGRAM_ACT_CLOSE);
		bpf_map_delete_elem(&dgram_flows, &key);
	} else if (s->n_flows) {
		dgram_emit_owner(cookie, s, REC_RELEASE);
	}
	bpf_map_delete_elem(&dgram_socks, &cookie);
	return PASS;
}

static __always_inline bool dgram_counts_equal(const struct dgram_counts *a,
					       const struct dgram_counts *b)
{
	return a->tx_packets == b->tx_packets && a->rx_packets == b->rx_packets;
}

/*
 * The socket may be closed at this moment: the flow's last record has to stay the last, so one that
 * comes behind it is taken back.
 */
static __always_inline void dgram_emit_update(const struct dgram_key *key, struct dgram_flow *f,
					      const struct dgram_sock *s)
{
	struct rec_dgram *r = dgram_record(key, f, s, DGRAM_ACT_UPDATE);

	if (!r)
		return;
	if (!(r->flags & DGRAM_F_KERNEL) && dgram_is_released(key->cookie))
		bpf_ringbuf_discard(r, BPF_RB_NO_WAKEUP);
	else
		emit_submit(r);
}

static __always_inline void dgram_sweep_flow(const struct dgram_key *k, struct dgram_flow *f,
					     __u32 idle_ms)
{
	struct dgram_key key = *k;
	struct dgram_sock *s = bpf_map_lookup_elem(&dgram_socks, &key.cookie);

	if (!f->last_ns)
		return; /* being made */
	if (bpf_ktime_get_ns() - f->last_ns <= idle_ms * NS_PER_MS) {
		if (!dgram_counts_equal(&f->n, &f->reported))
			dgram_emit_update(&key, f, s);
		return;
	}
	if (!dgram_emit(&key, f, s, DGRAM_ACT_IDLE))
		return;
	bpf_map_delete_elem(&dgram_flows, &key);
	if (s && s->n_flows && __sync_fetch_and_add(&s->n_flows, -1) == 1 && !sock_on)
		bpf_map_delete_elem(&dgram_socks, &key.cookie);
}

static long dgram_sweep_one(void *map, struct dgram_key *key, struct dgram_flow *f,
			    struct sweep_args *args)
{
	if (emit_crowded()) {
		args->n = 1;
		return 1;
	}
	dgram_sweep_flow(key, f, args->idle_ms);
	return 0;
}

/* All of them. Returns 1 if it stopped for lack of room in the ring: to be called again. */
SEC("syscall")
int dgram_sweep_all(struct sweep_args *args)
{
	struct sweep_args stopped = { .idle_ms = args->idle_ms };

	bpf_for_each_map_elem(&dgram_flows, dgram_sweep_one, &stopped, 0);
	return stopped.n;
}

static long dgram_sweep_key(__u32 i, const __u32 *idle_ms)
{
	struct dgram_key *key = bpf_map_lookup_elem(&sweep_keys, &i);
	struct dgram_flow *f = key ? bpf_map_lookup_elem(&dgram_flows, key) : NULL;

	if (!key)
		return 1;
	if (f)
		dgram_sweep_flow(key, f, *idle_ms);
	else
		key->reserved = SWEEP_GONE;
	return 0;
}

/* Those in sweep_keys. */
SEC("syscall")
int dgram_sweep(struct sweep_args *args)
{
	__u32 idle_ms = args->idle_ms;

	bpf_loop(args->n, dgram_sweep_key, &idle_ms, 0);
	return 0;
}

char LICENSE[] SEC("license") = "Dual BSD/GPL";
