/* SPDX-License-Identifier: Apache-2.0 */
#ifndef NSLENS_WIRE_COMMUNITY_ID_H
#define NSLENS_WIRE_COMMUNITY_ID_H

#include <stdbool.h>
#include <stdint.h>

#include "model/endpoint.h"

/*
 * Community ID 1.0, the name that Zeek, Suricata, Wireshark and others give to the same
 * conversation, with seed 0: "1:" and the base64 of a SHA-1. It is the same from both ends.
 */
enum { COMMUNITY_ID_TEXT_MAX = 31 };

struct community_tuple {
	uint8_t protocol; /* IPPROTO_* */
	struct ip_addr source, destination;
	/* Host order. ICMP: the type, and the type that answers it or, if one_way, the code. */
	uint16_t source_port, destination_port;
	bool one_way;
};

/* Returns @text, or NULL where the addresses are unknown or of two families. */
const char *community_id(const struct community_tuple *tuple, char text[COMMUNITY_ID_TEXT_MAX]);

#endif
