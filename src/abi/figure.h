/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#ifndef NSLENS_ABI_FIGURE_H
#define NSLENS_ABI_FIGURE_H

/*
 * What a probe contributes beside records: one counter each; indexes the figures map.
 * X(symbol, probe, name), the probe and the name as status shows them.
 */
#define FIGURES(X)                                       \
	X(BINDS, "sock", "binds")                        \
	X(CONNECTS, "sock", "connects")                  \
	X(RTT_SOCKETS, "sockops", "sockets")             \
	X(RTT_SAMPLES, "sockops", "rtt_samples")         \
	X(RETRANSMISSIONS, "sockops", "retransmissions") \
	X(REFUSED_DATAGRAMS, "refused", "datagrams")     \
	X(DEVICE_EVICTIONS, "devflow", "evictions")      \
	X(DEVICE_OTHERS, "devflow", "other_packets")

enum figure {
#define X(symbol, probe, name) FIGURE_##symbol,
	FIGURES(X) N_FIGURES,
#undef X
};

#endif
