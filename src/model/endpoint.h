/* SPDX-License-Identifier: Apache-2.0 */
#ifndef NSLENS_MODEL_ENDPOINT_H
#define NSLENS_MODEL_ENDPOINT_H

#include <stdbool.h>
#include <stdint.h>

enum ip_family { IP_NONE = 0, IP_V4 = 4, IP_V6 = 6 };

/* Network order, IPv4 in the first four bytes, the rest zero. v4-mapped IPv6 is stored as IPv4. */
struct ip_addr {
	enum ip_family family;
	uint8_t bytes[16];
};

/* The addresses of a conversation, as one of its ends sees them: its own, and the other's. */
struct ip_view {
	struct ip_addr local, remote;
	uint16_t local_port, remote_port;
};

enum { IP_TEXT_MAX = 46 };

/* The same addresses and ports. */
bool ip_view_equal(const struct ip_view *a, const struct ip_view *b);
/* The same conversation, as the other end would see it if nothing between them translated. */
struct ip_view ip_view_turned(const struct ip_view *v);

/* Family and bytes are the same; all zeros; loopback (127.0.0.0/8, ::1); multicast. */
bool ip_equal(const struct ip_addr *a, const struct ip_addr *b);
bool ip_is_any(const struct ip_addr *a);
bool ip_is_loopback(const struct ip_addr *a);
bool ip_is_multicast(const struct ip_addr *a);
/* Do the first @prefix bits agree? Families must, too. */
bool ip_in_prefix(const struct ip_addr *a, const struct ip_addr *net, unsigned int prefix);
/* Write the usual text form to @text of IP_TEXT_MAX bytes and return it; "-" for IP_NONE. */
const char *ip_format(const struct ip_addr *a, char *text);
/* Parse IPv4 or IPv6 text. 0 or -EINVAL. */
int ip_parse(const char *text, struct ip_addr *ret_ip);

/* Build from the ABI's 16 bytes, @family AF_INET or AF_INET6; a v4-mapped address becomes IPv4. */
struct ip_addr ip_from_abi(int family, const uint8_t bytes[16]);

#endif
