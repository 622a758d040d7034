// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/*
 * TCP: the life of every connection from its socket's state changes, nothing per packet. The
 * kernel's own counters in struct tcp_sock are read at open, once a second by the sweep (only if
 * somebody wants updates), and at close.
 */
#include "vmlinux.h"
#include <bpf/bpf_core_read.h>
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_tracing.h>

#include "abi/tcp.h"
#include "probe/lib/compat.bpf.h"
#include "probe/lib/emit.bpf.h"
#include "probe/lib/sock.bpf.h"
#include "probe/lib/task.bpf.h"
#include "probe/lib/used.bpf.h"

/* Errors of the kernel's include/uapi/asm-generic/errno*.h that a socket can end with. */
enum sock_error {
	ERR_ACCES = 13,
	ERR_PIPE = 32,
	ERR_NONET = 64,
	ERR_PROTO = 71,
	ERR_NOPROTOOPT = 92,
	ERR_NETUNREACH = 101,
	ERR_CONNABORTED = 103,
	ERR_CONNRESET = 104,
	ERR_TIMEDOUT = 110,
	ERR_CONNREFUSED = 111,
	ERR_HOSTDOWN = 112,
	ERR_HOSTUNREACH = 113,
};

enum { SEEN_NEVER = 0xffffffffu, SETTLED_NS = 1000000000 };

/*
 * What must be remembered of a connection beside its socket; by socket cookie, from open to close.
 */
struct tcp_conn {
	__u64 sk; /* the socket's address, for the sweep; trusted only while the cookie agrees */
	struct owner opener, user;
	__u64 start_ns;
	union {
		struct {
			__u64 connect_ns;
			__u64 seen_bytes; /* tx + rx of the last record */
		};
		__u8 asked[16]; /* until the SYN: connect()'s address */
	};
	__u32 seen_user; /* tgid of the last record */
	__u32 tx_isn, rx_isn;
	__u8 role, closed_first, flags;
	__u8 announced;	   /* user space was told of the user's process */
	__u8 closing;	   /* its last record is being emitted */
	__u8 asked_family; /* until the SYN; then 0 */
	__u16 asked_port;  /* the same */
};

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 131072);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, __u64);
	__type(value, struct tcp_conn);
} tcp_conns SEC(".maps");

/*
 * Putting into a hash and taking out again is what a short connection would cost most. So what is
 * opened goes to the place that its cookie's low bits name, if that is free: cookies are given in
 * order, and most connections are over before others come to theirs. The rest goes to tcp_conns.
 */
struct tcp_place {
	__u64 cookie; /* 0: free */
	struct tcp_conn conn;
};

enum { TCP_PLACES = 16384 }; /* or what user space makes of it */

#define PLACE_BEING_FILLED (~0ULL)

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, TCP_PLACES);
	__type(key, __u32);
	__type(value, struct tcp_place);
} tcp_places SEC(".maps");

const volatile __u32 tcp_places_mask = TCP_PLACES - 1;

/* What was asked for, of those connections that went elsewhere; by socket cookie. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 65536);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, __u64);
	__type(value, struct rec_asked);
} tcp_asked SEC(".maps");

/*
 * A passive connection's socket is born as a copy of its listener (state SYN_RECV), and becomes
 * ESTABLISHED on the same CPU before that CPU does anything else with sockets: hand the listener's
 * owner over through this.
 */
struct newborn {
	__u64 sk;
	__u64 start_ns; /* 0: when it becomes ESTABLISHED, by the same packet */
	struct owner listener;
	__u32 announced; /* user space was told of that process */
	__u32 reserved;
};

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct newborn);
} tcp_newborn SEC(".maps");

/*
 * With TCP Fast Open it stays SYN_RECV, can be accepted, and even be closed in this state, before
 * it becomes ESTABLISHED anywhere; by its address, of listeners that allow this.
 */
struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 1024);
	__type(key, __u64);
	__type(value, struct newborn);
} tcp_newborns SEC(".maps");

/*
 * Most connections are over soon, and their last record says all there is to say. So an open is
 * told not at once, but by tcp_tell_opened, which user space runs every so often, of those that are
 * open still. Each CPU has two lists: one is filled while the other one is told of. Who fills one
 * is done long before it is that one's turn.
 */
enum { N_OPENED = 1024 };

struct tcp_opened {
	__u32 n;	/* more than N_OPENED: so many found no room, and were told of at once */
	__u32 n_hashed; /* so many of them are in tcp_conns; else nobody has to look there */
	__u64 cookies[N_OPENED];
};

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 2);
	__type(key, __u32);
	__type(value, struct tcp_opened);
} tcp_opened SEC(".maps");

volatile __u32 tcp_opened_at = 0; /* the list that is filled */

/* --- finding a connection --- */

static __always_inline struct tcp_place *tcp_place_of(__u64 cookie)
{
	__u32 i = (__u32)cookie & tcp_places_mask;

	return bpf_map_lookup_elem(&tcp_places, &i);
}

/* NULL: it has no place, but may be in tcp_conns. */
static __always_inline struct tcp_conn *tcp_conn_in_place(__u64 cookie)
{
	struct tcp_place *place = tcp_place_of(cookie);

	return place && cookie && place->cookie == cookie ? &place->conn : NULL;
}

static __always_inline struct tcp_conn *tcp_conn_find(__u64 cookie)
{
	return tcp_conn_in_place(cookie) ?: bpf_map_lookup_elem(&tcp_conns, &cookie);
}

/* --- reading struct tcp_sock --- */

static __always_inline bool tcp_got_fin(const struct tcp_sock *tp)
{
	const struct sock *sk = (const struct sock *)tp;

	return sk->__sk_common.skc_flags & (1UL << SOCK_DONE);
}

static __always_inline bool tcp_fin_queued(__u8 state)
{
	return state == TCP_FIN_WAIT1 || state == TCP_FIN_WAIT2 || state == TCP_CLOSING ||
	       state == TCP_LAST_ACK;
}

static __always_inline __u64 tcp_tx_bytes(const struct tcp_sock *tp)
{
	return tp->bytes_sent - tp->bytes_retrans;
}

static __always_inline __u64 tcp_rx_bytes(const struct tcp_sock *tp)
{
	return tp->bytes_received - (tcp_got_fin(tp) ? 1 : 0);
}

/*
 * Sequence numbers of the first payload bytes; @state tells whether a FIN counts among what was
 * sent.
 */
static __always_inline void tcp_read_isns(const struct tcp_sock *tp, __u8 state, __u32 *tx,
					  __u32 *rx)
{
	__u32 fin = tcp_fin_queued(state) && tp->snd_nxt == tp->write_seq;

	*tx = tp->snd_nxt - (__u32)tcp_tx_bytes(tp) - fin;
	*rx = tp->rcv_nxt - (__u32)tp->bytes_received;
}

static __always_inline void tcp_read_backlog(struct rec_tcp *r, const struct tcp_sock *tp,
					     __u8 state)
{
	__u32 unsent = tp->write_seq - tp->snd_nxt;
	__s32 unread = tp->rcv_nxt - tp->copied_seq - (tcp_got_fin(tp) ? 1 : 0);

	if (unsent && tcp_fin_queued(state))
		unsent--;
	r->unsent_bytes = unsent;
	r->unread_bytes = unread > 0 ? unread : 0;
}

static __always_inline void tcp_read_counters(struct rec_tcp *r, const struct tcp_sock *tp,
					      __u8 state)
{
	__u32 min_rtt = tp->rtt_min.s[0].v;

	r->tx_bytes = tcp_tx_bytes(tp);
	r->rx_bytes = tcp_rx_bytes(tp);
	r->segs_out = tp->segs_out;
	r->segs_in = tp->segs_in;
	r->retransmits = tp->total_retrans;
	r->retransmitted_bytes = tp->bytes_retrans;
	r->srtt_us = tp->srtt_us >> 3;
	r->min_rtt_us = r->srtt_us && min_rtt != 0xffffffffu ? min_rtt : 0;
	tcp_read_backlog(r, tp, state);
}

static __always_inline void tcp_read_device(struct rec_tcp *r, const struct sock *sk)
{
	struct net_device *dev = sock_device(sk, &r->ifindex);

	r->device[0] = 0;
	if (dev)
		bpf_probe_read_kernel(r->device, sizeof(r->device), &dev->name);
}

/*
 * When the packet came that is being worked on, by the kernel's own reading of the clock. Before
 * @begin_ns it would be another packet's.
 */
static __always_inline __u64 tcp_packet_ns(const struct tcp_sock *tp, __u64 begin_ns)
{
	__u64 ns = tp->tcp_clock_cache;

	return ns >= begin_ns ? ns : bpf_ktime_get_ns();
}

static __always_inline void tcp_read_socket(struct rec_tcp *r, const struct tcp_sock *tp,
					    __u8 state, bool kept)
{
	const struct sock *sk = (const struct sock *)tp;

	sock_netns(sk, kept, &r->netns_cookie, &r->netns_inode);
	r->family = sk->__sk_common.skc_family;
	sock_addrs(sk, r->laddr, r->raddr);
	r->lport = sock_lport(sk);
	r->rport = bpf_ntohs(sk->__sk_common.skc_dport);
	tcp_read_device(r, sk);
	tcp_read_counters(r, tp, state);
}

/*
 * Does an application still hold the socket? After a FIN or a reset of the peer it may go on and
 * read what is queued: only its own abort, or that nobody has the socket, leaves it unread.
 */
static __always_inline bool tcp_is_held(const struct sock *sk, const struct rec_tcp *r)
{
	return sk->sk_socket && !(r->closed_by == TCP_BY_LOCAL && r->end_reason == TCP_END_RESET);
}

/* Room for the record, and behind it what was asked for where that is known apart. */
static __always_inline struct rec_tcp *tcp_reserve(__u64 cookie, const struct tcp_conn *conn,
						   __u64 ts_ns)
{
	struct rec_tcp_asked *r;
	struct rec_asked *asked;

	if (!(conn->flags & TCP_F_REDIRECTED))
		return emit_reserve_at(REC_TCP, sizeof(struct rec_tcp), ts_ns);
	r = emit_reserve_at(REC_TCP, sizeof(*r), ts_ns);
	if (!r)
		return NULL;
	asked = bpf_map_lookup_elem(&tcp_asked, &cookie);
	if (asked)
		r->asked = *asked;
	else
		r->asked.family = 0;
	return &r->tcp;
}

/*
 * A record of @conn as its socket stands, to be submitted or discarded; @state is the state that
 * the counters belong to; @kept, known when it is compiled: the caller has just the socket's
 * address. NULL: there was no room.
 */
static __always_inline struct rec_tcp *tcp_record_at(__u64 ts_ns, const struct tcp_sock *tp,
						     __u64 cookie, struct tcp_conn *conn,
						     __u8 state, __u8 action, bool kept)
{
	struct rec_tcp *r = tcp_reserve(cookie, conn, ts_ns);
	__u32 *max_us;

	if (!r)
		return NULL;
	r->cookie = cookie;
	r->action = action;
	r->role = conn->role;
	r->closed_by = 0;
	r->end_reason = 0;
	r->flags = conn->flags;
	r->reserved = 0;
	max_us = sockops_on ? bpf_map_lookup_elem(&max_rtts, &cookie) : NULL;
	r->max_srtt_us = max_us ? *max_us : 0;
	r->tx_isn = conn->tx_isn;
	r->rx_isn = conn->rx_isn;
	r->opener = conn->opener;
	r->user = conn->user;
	r->start_ns = conn->start_ns;
	r->connect_ns = conn->connect_ns;
	tcp_read_socket(r, tp, state, kept);
	conn->seen_bytes = r->tx_bytes + r->rx_bytes;
	conn->seen_user = conn->user.tgid;
	return r;
}

static __always_inline struct rec_tcp *tcp_record(const struct tcp_sock *tp, __u64 cookie,
						  struct tcp_conn *conn, __u8 state, __u8 action)
{
	/* Sweep and adoption. */
	bool kept = action == TCP_ACT_UPDATE || action == TCP_ACT_LISTEN;

	return tcp_record_at(bpf_ktime_get_ns(), tp, cookie, conn, state, action, kept);
}

static __always_inline void tcp_emit(const struct tcp_sock *tp, __u64 cookie, struct tcp_conn *conn,
				     __u8 state, __u8 action)
{
	struct rec_tcp *r = tcp_record(tp, cookie, conn, state, action);

	if (!r)
		return;
	r->unread_bytes = 0;
	emit_submit(r);
}

struct tcp_end {
	__u8 reason, by;
};

/* When it ended. In order that is by a packet, for which the kernel has just read the clock. */
static __always_inline __u64 tcp_end_ns(const struct tcp_sock *tp, __u8 old)
{
	const struct sock *sk = (const struct sock *)tp;

	if (!sk->sk_err && (old == TCP_LAST_ACK || (old == TCP_FIN_WAIT2 && tcp_got_fin(tp))))
		return tp->tcp_clock_cache;
	return bpf_ktime_get_ns();
}

static __always_inline void tcp_emit_end(const struct tcp_sock *tp, __u64 cookie,
					 struct tcp_conn *conn, __u8 state, __u8 action,
					 struct tcp_end end)
{
	struct rec_tcp *r = tcp_record_at(tcp_end_ns(tp, state), tp, cookie, conn, state, action,
					  false);

	if (!r)
		return;
	r->closed_by = end.by;
	r->end_reason = end.reason;
	if (tcp_is_held((const struct sock *)tp, r))
		r->unread_bytes = 0;
	emit_submit(r);
}

/* --- owners --- */

/* The current process uses the connection. */
static __always_inline void tcp_conn_used(struct tcp_conn *conn)
{
	struct owner me;
	bool is_some = owner_current(&me);

	if (conn->announced && owner_equal(&conn->user, &me)) {
		conn->flags |= TCP_F_ACCEPTED;
		return;
	}
	/* A worker ends what a process left: MPTCP's subflows, files closed late. */
	if (conn->user.tgid && task_is_kernel_thread())
		return;
	conn->flags |= TCP_F_ACCEPTED;
	if (!is_some)
		return;
	conn->user = me;
	conn->announced = !process_announce_current();
}

/* Is the state changed by the socket's own user, rather than by a packet? */
static __always_inline bool tcp_in_own_context(const struct sock *sk)
{
	return sk->sk_lock.owned && in_task_context();
}

/*
 * Does the current process close the connection? Not a worker that collects what nobody holds any
 * more, and not who ends other people's (ss -K).
 */
static __always_inline bool tcp_closed_by_current(const struct sock *sk)
{
	return tcp_in_own_context(sk) && !task_is_kernel_thread() && sk->sk_err != ERR_CONNABORTED;
}

/* --- state changes --- */

/*
 * Of a connection that is in neither map. Whoever emits its first record does so afterwards: what
 * user space knows of can be found.
 */
static __always_inline bool tcp_conn_add(__u64 cookie, const struct tcp_conn *conn)
{
	struct tcp_place *place = tcp_place_of(cookie);

	if (place && !place->cookie &&
	    !__sync_val_compare_and_swap(&place->cookie, 0, PLACE_BEING_FILLED)) {
		place->conn = *conn;
		__sync_lock_test_and_set(&place->cookie, cookie);
		return true;
	}
	if (!bpf_map_update_elem(&tcp_conns, &cookie, conn, BPF_ANY))
		return true;
	count_lost(LOST_TCP_MAP_FULL);
	return false;
}

static __always_inline void tcp_conn_delete(__u64 cookie, __u8 flags)
{
	struct tcp_place *place = tcp_place_of(cookie);

	if (flags & TCP_F_REDIRECTED)
		bpf_map_delete_elem(&tcp_asked, &cookie);
	if (!place || __sync_val_compare_and_swap(&place->cookie, cookie, 0) != cookie)
		bpf_map_delete_elem(&tcp_conns, &cookie);
}

/* The same of one that may be in a map still, because its end was missed. */
static __always_inline bool tcp_conn_renew(__u64 cookie, const struct tcp_conn *conn)
{
	struct tcp_conn *stale = tcp_conn_find(cookie);

	if (stale)
		tcp_conn_delete(cookie, stale->flags);
	return tcp_conn_add(cookie, conn);
}

/* Who said FIN first, of a connection that was not watched from its begin? */
static __always_inline __u8 tcp_first_fin(__u8 state)
{
	switch (state) {
	case TCP_FIN_WAIT1:
	case TCP_FIN_WAIT2:
	case TCP_CLOSING: return TCP_BY_LOCAL;
	case TCP_CLOSE_WAIT:
	case TCP_LAST_ACK: return TCP_BY_REMOTE;
	}
	return TCP_BY_UNKNOWN;
}

/* Without a process's socket, and nobody closed it: never accepted. */
static __always_inline bool tcp_in_backlog(const struct sock *sk, __u8 state)
{
	return !sk->sk_socket && (state == TCP_ESTABLISHED || state == TCP_CLOSE_WAIT);
}

/*
 * Take over a socket that is older than the probe. NULL: there is nothing to take over. @tp may be
 * a copy of what is at @address.
 */
static __always_inline struct tcp_conn *tcp_conn_adopt(const struct tcp_sock *tp, __u64 address,
						       __u64 cookie, __u8 state)
{
	const struct sock *sk = (const struct sock *)tp;
	struct tcp_conn conn = { .seen_bytes = SEEN_NEVER, .flags = TCP_F_ADOPTED };

	if (!cookie || state == TCP_CLOSE || state == TCP_SYN_RECV || state > TCP_CLOSING)
		return NULL;
	conn.sk = address;
	if (state == TCP_LISTEN)
		conn.role = TCP_ROLE_LISTEN;
	else if (state == TCP_SYN_SENT)
		conn.role = TCP_ROLE_ACTIVE;
	else if (tcp_in_backlog(sk, state))
		conn.role = TCP_ROLE_PASSIVE;
	else
		conn.flags |= TCP_F_ACCEPTED;
	conn.closed_first = tcp_first_fin(state);
	if (state != TCP_SYN_SENT)
		tcp_read_isns(tp, state, &conn.tx_isn, &conn.rx_isn);
	/* If there is no room, that was counted when it was opened. */
	bpf_map_update_elem(&tcp_conns, &cookie, &conn, BPF_ANY);
	return bpf_map_lookup_elem(&tcp_conns, &cookie);
}

/* connect() or listen(): the caller opens it. */
static __always_inline void tcp_conn_open(struct tcp_conn *conn)
{
	conn->start_ns = bpf_ktime_get_ns();
	owner_current(&conn->opener);
	conn->user = conn->opener;
	conn->seen_user = conn->user.tgid;
	conn->announced = !process_announce_current();
}

int tcp_connecting(__u64 cookie, const struct connecting *c)
{
	struct tcp_conn conn = { .role = TCP_ROLE_ACTIVE };

	/* Of a socket of the kernel nobody would tell the end. */
	if (!c || task_is_kernel_thread())
		return 0;
	conn.sk = c->sk;
	__builtin_memcpy(conn.asked, c->to.addr, sizeof(conn.asked));
	conn.asked_port = c->to.port;
	conn.asked_family = (__u8)c->to.family;
	tcp_conn_open(&conn);
	if (c->is_new) {
		tcp_conn_add(cookie, &conn);
	} else {
		tcp_not_sent(cookie);
		tcp_conn_renew(cookie, &conn);
	}
	return 0;
}

/* What @conn was asked to connect to; it forgets. */
static __always_inline void tcp_take_asked(struct tcp_conn *conn, struct rec_asked *ret)
{
	__builtin_memcpy(ret->addr, conn->asked, sizeof(ret->addr));
	ret->port = conn->asked_port;
	ret->family = conn->asked_family;
	ret->reserved = 0;
	conn->connect_ns = 0;
	conn->seen_bytes = 0;
	conn->asked_family = 0;
	conn->asked_port = 0;
}

/* The kernel takes an address of zeros for its own: nothing that somebody changed. */
static __always_inline bool tcp_went_elsewhere(const struct rec_asked *asked, const struct sock *sk)
{
	const __u64 *a = (const __u64 *)asked->addr;
	__u64 peer[2] = {};

	if (asked->family == AF_INET)
		*(__be32 *)peer = sk->__sk_common.skc_daddr;
	else
		__builtin_memcpy(peer, &sk->__sk_common.skc_v6_daddr, sizeof(peer));
	if (asked->port != bpf_ntohs(sk->__sk_common.skc_dport))
		return true;
	return (a[0] | a[1]) && (a[0] != peer[0] || a[1] != peer[1]);
}

/* The SYN of what tcp_connecting() noted: where does it go? */
static __always_inline void tcp_on_syn(const struct tcp_sock *tp, __u64 cookie,
				       struct tcp_conn *conn)
{
	struct rec_asked asked;

	tcp_take_asked(conn, &asked);
	if (!tcp_went_elsewhere(&asked, (const struct sock *)tp))
		return;
	if (bpf_map_update_elem(&tcp_asked, &cookie, &asked, BPF_ANY))
		count_lost(LOST_TCP_MAP_FULL);
	else
		conn->flags |= TCP_F_REDIRECTED;
}

static __noinline int tcp_on_connect(const struct tcp_sock *tp, __u64 cookie)
{
	struct tcp_conn *noted = tcp_conn_find(cookie);
	struct tcp_conn conn = { .sk = (__u64)tp, .role = TCP_ROLE_ACTIVE };

	if (noted && noted->asked_family) {
		tcp_on_syn(tp, cookie, noted);
		return 0;
	}
	tcp_conn_open(&conn);
	tcp_conn_renew(cookie, &conn);
	return 0;
}

static __noinline int tcp_on_listen(const struct tcp_sock *tp, __u64 cookie)
{
	struct tcp_conn conn = { .sk = (__u64)tp, .role = TCP_ROLE_LISTEN };

	tcp_conn_open(&conn);
	if (tcp_conn_renew(cookie, &conn))
		tcp_emit(tp, cookie, &conn, TCP_LISTEN, TCP_ACT_LISTEN);
	return 0;
}

/*
 * The cookie of the listener that @child was just copied from, or 0. The copy's list heads still
 * point where the listener's empty ones pointed, to themselves: so to within the listener.
 */
static __always_inline __u64 tcp_listener_of(const struct tcp_sock *child)
{
	void *head = child->tsorted_sent_queue.next;
	struct sock *listener = head - bpf_core_field_offset(struct tcp_sock, tsorted_sent_queue);

	return sock_read(listener, __sk_common.skc_state) == TCP_LISTEN
		       ? sock_read(listener, __sk_common.skc_cookie.counter)
		       : 0;
}

static __always_inline void tcp_on_newborn(const struct tcp_sock *tp)
{
	struct tcp_conn *listener = tcp_conn_find(tcp_listener_of(tp));
	__u64 address = (__u64)tp;
	__u32 zero = 0;
	struct newborn *b = bpf_map_lookup_elem(&tcp_newborn, &zero);

	if (!b)
		return;
	b->sk = address;
	b->start_ns = 0;
	if (listener) {
		b->listener = listener->user;
		b->announced = listener->announced;
	} else {
		__builtin_memset(&b->listener, 0, sizeof(b->listener));
		b->announced = false;
	}
	/* Copied from the listener, too: how many may wait for the end of their handshake. */
	if (!tp->inet_conn.icsk_accept_queue.fastopenq.max_qlen)
		return;
	b->start_ns = bpf_ktime_get_ns();
	bpf_map_update_elem(&tcp_newborns, &address, b, BPF_ANY);
}

static __always_inline struct newborn *tcp_newborn_find(const struct tcp_sock *tp)
{
	__u64 address = (__u64)tp;
	__u32 zero = 0;
	struct newborn *b = bpf_map_lookup_elem(&tcp_newborn, &zero);

	return b && b->sk == address ? b : bpf_map_lookup_elem(&tcp_newborns, &address);
}

/* False: there is no room. */
static __always_inline bool tcp_tell_later(__u64 cookie)
{
	__u32 at = tcp_opened_at;
	struct tcp_opened *list = bpf_map_lookup_elem(&tcp_opened, &at);
	__u32 i = list ? __sync_fetch_and_add(&list->n, 1) : N_OPENED; /* it may be interrupted */

	if (i >= N_OPENED)
		return false;
	list->cookies[i] = cookie;
	if (!tcp_conn_in_place(cookie))
		__sync_fetch_and_add(&list->n_hashed, 1);
	return true;
}

static __always_inline void tcp_tell_open(const struct tcp_sock *tp, __u64 cookie,
					  struct tcp_conn *conn)
{
	/* Of an adopted one the last record wouldn't say that its open was seen. */
	if (conn->flags & TCP_F_ADOPTED || !tcp_tell_later(cookie))
		tcp_emit(tp, cookie, conn, TCP_ESTABLISHED, TCP_ACT_OPEN);
}

/* A newborn becomes a connection. */
static __noinline int tcp_on_accepted(const struct tcp_sock *tp, __u64 cookie)
{
	struct tcp_conn conn = { .sk = (__u64)tp, .role = TCP_ROLE_PASSIVE };
	struct newborn *b = tcp_newborn_find(tp);

	if (b) {
		conn.start_ns = b->start_ns;
		conn.opener = b->listener;
		conn.user = b->listener;
		conn.seen_user = conn.user.tgid;
		conn.announced = (__u8)b->announced;
	}
	if (!conn.start_ns)
		conn.start_ns = tp->tcp_clock_cache;
	tcp_read_isns(tp, TCP_ESTABLISHED, &conn.tx_isn, &conn.rx_isn);
	if (tcp_conn_add(cookie, &conn))
		tcp_tell_open(tp, cookie, &conn);
	return 0;
}

static __noinline int tcp_on_established(const struct tcp_sock *tp, __u64 cookie, int old)
{
	struct tcp_conn *conn = tcp_conn_find(cookie);

	if (!conn && old == TCP_SYN_RECV)
		return tcp_on_accepted(tp, cookie);
	if (!conn)
		conn = tcp_conn_adopt(tp, (__u64)tp, cookie, old);
	if (!conn)
		return 0;
	if (conn->role == TCP_ROLE_ACTIVE && conn->start_ns)
		conn->connect_ns = tcp_packet_ns(tp, conn->start_ns) - conn->start_ns;
	tcp_read_isns(tp, TCP_ESTABLISHED, &conn->tx_isn, &conn->rx_isn);
	tcp_tell_open(tp, cookie, conn);
	return 0;
}

/*
 * Did the application abort (SO_LINGER 0, unread data), rather than let the connection end in
 * order?
 */
static __always_inline bool tcp_aborted(const struct tcp_sock *tp, int old, bool own)
{
	const struct sock *sk = (const struct sock *)tp;

	if (!own || sk->__sk_common.skc_flags & (1UL << SOCK_DEAD))
		return false;
	if (old == TCP_FIN_WAIT2 || old == TCP_CLOSING)
		return !tcp_got_fin(tp);
	return old == TCP_ESTABLISHED || old == TCP_CLOSE_WAIT || old == TCP_SYN_RECV ||
	       old == TCP_FIN_WAIT1;
}

/*
 * What connect() failed of, or was told by ICMP while it went on: a non-blocking one reads that of
 * the socket, and gives up.
 */
static __always_inline int tcp_connect_error(const struct sock *sk)
{
	struct sk_buff *told;

	if (sk->sk_err || sk->sk_err_soft)
		return sk->sk_err ?: sk->sk_err_soft;
	told = sk->sk_error_queue.next;
	if (told == (void *)&sk->sk_error_queue)
		return 0;
	return BPF_CORE_READ((struct sock_exterr_skb *)&told->cb, ee.ee_errno);
}

static __always_inline struct tcp_end tcp_end_of(const struct tcp_sock *tp,
						 const struct tcp_conn *conn, int old, bool own)
{
	const struct sock *sk = (const struct sock *)tp;
	bool dead = sk->__sk_common.skc_flags & (1UL << SOCK_DEAD);

	switch (old == TCP_SYN_SENT ? tcp_connect_error(sk) : sk->sk_err) {
	case ERR_CONNREFUSED: return (struct tcp_end){ TCP_END_REFUSED, TCP_BY_REMOTE };
	case ERR_CONNRESET:
	case ERR_PIPE:
		/*
		 * A close that data still ran into is answered with a reset, and looks the same
		 * from here.
		 */
		return (struct tcp_end){ TCP_END_RESET, dead && conn->closed_first == TCP_BY_LOCAL
								? TCP_BY_LOCAL
								: TCP_BY_REMOTE };
	case ERR_TIMEDOUT: return (struct tcp_end){ TCP_END_TIMEOUT, TCP_BY_KERNEL };
	case ERR_ACCES: /* these are what the ICMP messages of unreachable destinations become */
	case ERR_NONET:
	case ERR_PROTO:
	case ERR_NOPROTOOPT:
	case ERR_NETUNREACH:
	case ERR_HOSTDOWN:
	case ERR_HOSTUNREACH: return (struct tcp_end){ TCP_END_UNREACHABLE, TCP_BY_KERNEL };
	case ERR_CONNABORTED: return (struct tcp_end){ TCP_END_RESET, TCP_BY_KERNEL };
	}
	if (old == TCP_SYN_SENT)
		return (struct tcp_end){ TCP_END_UNKNOWN, own ? TCP_BY_LOCAL : TCP_BY_KERNEL };
	if (tcp_aborted(tp, old, own))
		return (struct tcp_end){ TCP_END_RESET, TCP_BY_LOCAL };
	if (conn->closed_first)
		return (struct tcp_end){ TCP_END_FIN, conn->closed_first };
	return (struct tcp_end){ TCP_END_RESET, TCP_BY_KERNEL };
}

static __always_inline __u8 tcp_close_action(const struct tcp_conn *conn, int old)
{
	if (conn->role == TCP_ROLE_LISTEN)
		return TCP_ACT_UNLISTEN;
	return old == TCP_SYN_SENT || old == TCP_SYN_RECV ? TCP_ACT_FAIL : TCP_ACT_CLOSE;
}

static __noinline int tcp_on_close(const struct tcp_sock *tp, __u64 cookie, int old)
{
	struct tcp_conn *conn = tcp_conn_find(cookie);
	const struct sock *sk = (const struct sock *)tp;
	bool own = tcp_in_own_context(sk);
	struct tcp_end end;
	__u8 flags;

	if (!conn && old != TCP_LISTEN)
		conn = tcp_conn_adopt(tp, (__u64)tp, cookie, old);
	if (!conn)
		return 0;
	if (sk->sk_socket)
		conn->flags |= TCP_F_ACCEPTED;
	if (tcp_closed_by_current(sk) && !(sk->__sk_common.skc_flags & (1UL << SOCK_DEAD)))
		tcp_conn_used(conn);
	end = tcp_end_of(tp, conn, old, own);
	conn->closing = true;
	flags = conn->flags;
	tcp_emit_end(tp, cookie, conn, old, tcp_close_action(conn, old), end);
	tcp_conn_delete(cookie, flags);
	return 0;
}

/* Told of the socket as it is now, which is not connected: where to, is only noted. */
static __always_inline void tcp_emit_not_sent(const struct tcp_sock *tp, __u64 cookie,
					      struct tcp_conn *conn)
{
	struct rec_asked asked;
	struct rec_tcp *r;

	tcp_take_asked(conn, &asked);
	conn->flags |= TCP_F_UNSENT;
	r = tcp_record_at(bpf_ktime_get_ns(), tp, cookie, conn, TCP_CLOSE, TCP_ACT_FAIL, true);
	if (!r)
		return;
	r->family = (__u8)asked.family;
	__builtin_memcpy(r->raddr, asked.addr, sizeof(r->raddr));
	r->rport = asked.port;
	r->closed_by = TCP_BY_KERNEL;
	r->end_reason = TCP_END_UNREACHABLE;
	r->unread_bytes = 0;
	emit_submit(r);
}

int tcp_not_sent(__u64 cookie)
{
	struct tcp_conn *conn = tcp_conn_find(cookie);
	struct tcp_sock *tp;

	if (!conn || !conn->asked_family)
		return 0;
	tp = tcp_sock_at(conn->sk);
	if (tp && ((struct sock *)tp)->__sk_common.skc_cookie.counter == cookie)
		tcp_emit_not_sent(tp, cookie, conn);
	tcp_conn_delete(cookie, conn->flags);
	return 0;
}

/* One side says FIN; the first one is who closes. */
static __noinline int tcp_on_fin(const struct tcp_sock *tp, __u64 cookie, int old, int state)
{
	struct tcp_conn *conn = tcp_conn_find(cookie);
	const struct sock *sk = (const struct sock *)tp;

	if (!conn)
		conn = tcp_conn_adopt(tp, (__u64)tp, cookie, old);
	if (!conn)
		return 0;
	if (!conn->closed_first)
		conn->closed_first = state == TCP_CLOSE_WAIT ? TCP_BY_REMOTE : TCP_BY_LOCAL;
	if (state != TCP_CLOSE_WAIT && tcp_closed_by_current(sk))
		tcp_conn_used(conn);
	return 0;
}

/* Of all changes those that say something new. */
static __always_inline bool tcp_is_telling(int old, int state)
{
	if (state == TCP_SYN_RECV)
		return old == TCP_LISTEN;
	return state != TCP_FIN_WAIT2 && state != TCP_CLOSING;
}

/*
 * The kernel passes a tracing program over while it runs on this CPU already (trace_call_bpf's
 * guard against recursion): a soft interrupt that changes one socket's state while tcp_state looks
 * at another's. So there are two: tcp_state marks each change that it gets, and tcp_state_again,
 * which comes second, takes those without a mark. A mark is one CPU's. Only changes by a socket's
 * own user (sk_lock.owned) can be interrupted, and only the others interrupt: one mark each.
 */
struct tcp_marks {
	struct {
		__u64 sk;
		__u32 change;
	} of[2];
};

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct tcp_marks);
} tcp_marks SEC(".maps");

static __always_inline struct tcp_marks *tcp_marks_here(void)
{
	__u32 zero = 0;

	return bpf_map_lookup_elem(&tcp_marks, &zero);
}

static __always_inline __u32 tcp_change(int old, int state)
{
	return (__u32)old << 8 | (__u32)state;
}

static __always_inline void tcp_mark(const struct sock *sk, int old, int state)
{
	struct tcp_marks *m = tcp_marks_here();
	bool own = sk->sk_lock.owned != 0;

	if (!m)
		return;
	if (own)
		m->of[0].sk = 0; /* nothing that interrupts this was marked yet */
	m->of[own].sk = (__u64)sk;
	m->of[own].change = tcp_change(old, state);
}

static __always_inline bool tcp_is_marked(const struct tcp_marks *m, const struct sock *sk, int old,
					  int state)
{
	bool own = sk->sk_lock.owned != 0;

	return m->of[own].sk == (__u64)sk && m->of[own].change == tcp_change(old, state);
}

/* From src/net/ipv4: every change of a TCP state, before it takes effect. */
SEC("tp_btf/inet_sock_set_state")
int BPF_PROG(tcp_state, const struct sock *sk, int old, int state)
{
	const struct tcp_sock *tp;
	bool is_new;
	__u64 cookie;

	tcp_mark(sk, old, state);
	if (!tcp_is_telling(old, state) || sk->sk_protocol != IPPROTO_TCP)
		return 0;
	tp = CAN_READ_IN_PLACE ? read_in_place(sk, struct tcp_sock)
			       : bpf_skc_to_tcp_sock((void *)sk);
	if (!tp)
		return 0;
	if (state == TCP_SYN_RECV) {
		tcp_on_newborn(tp);
		return 0;
	}
	is_new = !sk->__sk_common.skc_cookie.counter;
	cookie = sock_cookie(sk);
	if (old == TCP_SYN_RECV && (state == TCP_FIN_WAIT1 || state == TCP_CLOSE_WAIT))
		tcp_on_established(tp, cookie, old);
	switch (state) {
	case TCP_SYN_SENT: tcp_on_connect(tp, cookie); break;
	case TCP_LISTEN: tcp_on_listen(tp, cookie); break;
	case TCP_ESTABLISHED:
		/* What has had no cookie is in no map. */
		if (is_new && old == TCP_SYN_RECV)
			tcp_on_accepted(tp, cookie);
		else
			tcp_on_established(tp, cookie, old);
		break;
	case TCP_FIN_WAIT1:
	case TCP_CLOSE_WAIT:
	case TCP_LAST_ACK: tcp_on_fin(tp, cookie, old, state); break;
	case TCP_CLOSE: tcp_on_close(tp, cookie, old); break;
	}
	return 0;
}

/* For tcp_state_again to call tcp_state by: a tail call is no recursion. */
struct {
	__uint(type, BPF_MAP_TYPE_PROG_ARRAY);
	__uint(max_entries, 1);
	__uint(key_size, sizeof(__u32));
	__uint(value_size, sizeof(__u32));
} tcp_itself SEC(".maps");

/*
 * To be attached behind tcp_state. The kernel counts what it passed over: what was taken after all
 * is counted here, to be taken off.
 */
SEC("tp_btf/inet_sock_set_state")
int BPF_PROG(tcp_state_again, const struct sock *sk, int old, int state)
{
	__u32 reason = LOST_NOT_RUN;
	struct tcp_marks *m = tcp_marks_here();
	__u64 *n_taken = bpf_map_lookup_elem(&lost, &reason);

	if (!m || !n_taken || tcp_is_marked(m, sk, old, state))
		return 0;
	++*n_taken;
	bpf_tail_call(ctx, &tcp_itself, 0);
	--*n_taken;
	return 0;
}

/* --- use --- */

int tcp_used(__u64 cookie)
{
	struct tcp_conn *conn = tcp_conn_find(cookie);

	if (!conn)
		return 1;
	tcp_conn_used(conn);
	return 0;
}

/* A socket that is older than the probe, and in no descriptor table when those were looked at. */
int tcp_found(__u64 sk_address)
{
	struct tcp_sock *tp = tcp_sock_at(sk_address);
	struct sock *sk = (struct sock *)tp;
	struct tcp_conn *conn;
	__u64 cookie;
	__u8 state;

	if (!tp)
		return 0;
	state = sk->__sk_common.skc_state;
	cookie = sk->__sk_common.skc_cookie.counter;
	if (state == TCP_LISTEN)
		return 0;
	conn = tcp_conn_adopt(tp, sk_address, cookie, state);
	if (!conn)
		return 0;
	tcp_conn_used(conn);
	tcp_emit(tp, cookie, conn, state, TCP_ACT_UPDATE);
	return 0;
}

/* A socket that is older than the probe was found in @who's descriptor table. */
int tcp_adopt(__u64 sk_address, const struct owner *who)
{
	struct tcp_sock *tp = tcp_sock_at(sk_address);
	struct sock *sk = (struct sock *)tp;
	struct tcp_conn *conn;
	__u64 cookie;
	__u8 state;

	if (!tp || !who)
		return 0;
	state = sk->__sk_common.skc_state;
	cookie = sk->__sk_common.skc_cookie.counter;
	conn = tcp_conn_find(cookie);
	if (conn) { /* was used since the probe began, or is another process's, too */
		if (!conn->opener.tgid)
			conn->opener = *who;
		return 0;
	}
	conn = tcp_conn_adopt(tp, sk_address, cookie, state);
	if (!conn)
		return 0;
	conn->user = conn->opener = *who;
	if (state == TCP_LISTEN)
		tcp_emit(tp, cookie, conn, state, TCP_ACT_LISTEN);
	return 0;
}

/* --- the sweep, and what was opened --- */

/*
 * Emit what changed since the last record, or that it was opened. The socket may be closed at
 * this moment: its last record has to stay the last, so one that comes behind it is taken back.
 * Whoever closes marks @conn before it takes room in the ring; memory of a deleted element may
 * be another's already.
 */
static __always_inline void tcp_emit_update(const struct tcp_sock *tp, __u64 cookie,
					    struct tcp_conn *conn, __u8 state, __u8 action)
{
	struct rec_tcp *r = tcp_record(tp, cookie, conn, state, TCP_ACT_UPDATE);

	if (!r)
		return;
	r->action = action;
	r->unread_bytes = 0;
	barrier();
	if (conn->closing || tcp_conn_find(cookie) != conn)
		bpf_ringbuf_discard(r, BPF_RB_NO_WAKEUP);
	else
		emit_submit(r);
}

/* The socket is gone or another's, its end was missed: adopted while it closed, for instance. */
static __always_inline bool tcp_forget(__u64 cookie, const struct tcp_conn *conn)
{
	/* connect() makes it just before the state changes. */
	if (bpf_ktime_get_ns() - conn->start_ns < SETTLED_NS)
		return false;
	tcp_conn_delete(cookie, conn->flags);
	return true;
}

/* False: there is no such connection any more. */
static __always_inline bool tcp_sweep_conn(__u64 cookie, struct tcp_conn *conn)
{
	struct tcp_sock *tp = conn->role == TCP_ROLE_LISTEN ? NULL : tcp_sock_at(conn->sk);
	struct sock *sk = (struct sock *)tp;
	__u8 state;

	if (!tp)
		return true;
	state = sk->__sk_common.skc_state;
	if (sk->__sk_common.skc_cookie.counter != cookie || state == TCP_CLOSE)
		return !tcp_forget(cookie, conn);
	if (state == TCP_SYN_SENT || state == TCP_SYN_RECV ||
	    (conn->seen_bytes == tcp_tx_bytes(tp) + tcp_rx_bytes(tp) &&
	     conn->seen_user == conn->user.tgid))
		return true;
	tcp_emit_update(tp, cookie, conn, state, TCP_ACT_UPDATE);
	return true;
}

static long tcp_sweep_one(void *map, __u64 *cookie, struct tcp_conn *conn, struct sweep_args *args)
{
	if (emit_crowded()) {
		args->n = 1;
		return 1;
	}
	tcp_sweep_conn(*cookie, conn);
	return 0;
}

static long tcp_sweep_place(void *map, __u32 *i, struct tcp_place *place, struct sweep_args *args)
{
	__u64 cookie = place->cookie;

	if (!cookie || cookie == PLACE_BEING_FILLED)
		return 0;
	return tcp_sweep_one(map, &cookie, &place->conn, args);
}

/* All of them. Returns 1 if it stopped for lack of room in the ring: to be called again. */
SEC("syscall")
int tcp_sweep_all(void *ctx)
{
	struct sweep_args stopped = {};

	bpf_for_each_map_elem(&tcp_places, tcp_sweep_place, &stopped, 0);
	if (!stopped.n)
		bpf_for_each_map_elem(&tcp_conns, tcp_sweep_one, &stopped, 0);
	return stopped.n;
}

static long tcp_sweep_key(__u32 i, void *ctx)
{
	struct dgram_key *key = bpf_map_lookup_elem(&sweep_keys, &i);
	struct tcp_conn *conn;
	__u64 cookie;

	if (!key)
		return 1;
	cookie = key->cookie;
	conn = tcp_conn_find(cookie);
	if (!conn || !tcp_sweep_conn(cookie, conn))
		key->reserved = SWEEP_GONE;
	return 0;
}

/* Those in sweep_keys. */
SEC("syscall")
int tcp_sweep(struct sweep_args *args)
{
	bpf_loop(args->n, tcp_sweep_key, NULL, 0);
	return 0;
}

static long tcp_tell_one(__u32 i, struct tcp_opened **list)
{
	__u64 cookie = i < N_OPENED ? (*list)->cookies[i] : 0;
	struct tcp_conn *conn = (*list)->n_hashed ? tcp_conn_find(cookie)
						  : tcp_conn_in_place(cookie);
	struct tcp_sock *tp = conn ? tcp_sock_at(conn->sk) : NULL;
	struct sock *sk = (struct sock *)tp;
	__u8 state;

	if (!tp)
		return 0;
	state = sk->__sk_common.skc_state;
	if (sk->__sk_common.skc_cookie.counter == cookie && state != TCP_CLOSE)
		tcp_emit_update(tp, cookie, conn, state, TCP_ACT_OPEN);
	return 0;
}

static long tcp_tell_of_cpu(__u32 cpu, __u32 *which)
{
	struct tcp_opened *list = bpf_map_lookup_percpu_elem(&tcp_opened, which, cpu);

	if (!list)
		return 1;
	if (!list->n)
		return 0;
	bpf_loop(list->n < N_OPENED ? list->n : N_OPENED, tcp_tell_one, &list, 0);
	list->n = 0;
	list->n_hashed = 0;
	return 0;
}

/* Of what was opened before the last call. */
SEC("syscall")
int tcp_tell_opened(struct sweep_args *args)
{
	__u32 other = !tcp_opened_at;

	bpf_loop(args->n, tcp_tell_of_cpu, &other, 0);
	tcp_opened_at = other;
	return 0;
}

char LICENSE[] SEC("license") = "Dual BSD/GPL";
