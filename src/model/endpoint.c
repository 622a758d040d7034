// SPDX-License-Identifier: Apache-2.0
#include "model/endpoint.h"

#include <arpa/inet.h>
#include <errno.h>
#include <string.h>

bool ip_equal(const struct ip_addr *a, const struct ip_addr *b)
{
	return a->family == b->family && !memcmp(a->bytes, b->bytes, sizeof(a->bytes));
}

bool ip_view_equal(const struct ip_view *a, const struct ip_view *b)
{
	return ip_equal(&a->local, &b->local) && ip_equal(&a->remote, &b->remote) &&
	       a->local_port == b->local_port && a->remote_port == b->remote_port;
}

struct ip_view ip_view_turned(const struct ip_view *v)
{
	return (struct ip_view){ .local = v->remote,
				 .remote = v->local,
				 .local_port = v->remote_port,
				 .remote_port = v->local_port };
}

bool ip_is_any(const struct ip_addr *a)
{
	static const uint8_t zeros[16];

	return !memcmp(a->bytes, zeros, sizeof(zeros));
}

bool ip_is_loopback(const struct ip_addr *a)
{
	static const uint8_t loopback6[16] = { [15] = 1 };

	if (a->family == IP_V4)
		return a->bytes[0] == 127;
	return a->family == IP_V6 && !memcmp(a->bytes, loopback6, sizeof(loopback6));
}

bool ip_is_multicast(const struct ip_addr *a)
{
	if (a->family == IP_V4)
		return a->bytes[0] >> 4 == 0xe;
	return a->family == IP_V6 && a->bytes[0] == 0xff;
}

bool ip_in_prefix(const struct ip_addr *a, const struct ip_addr *net, unsigned int prefix)
{
	unsigned int whole = prefix / 8, rest = prefix % 8;
	uint8_t mask = (uint8_t)(0xff00 >> rest);

	if (a->family != net->family || prefix > (a->family == IP_V4 ? 32U : 128U))
		return false;
	if (memcmp(a->bytes, net->bytes, whole))
		return false;
	return !rest || !((a->bytes[whole] ^ net->bytes[whole]) & mask);
}

const char *ip_format(const struct ip_addr *a, char *text)
{
	if (a->family == IP_NONE)
		return memcpy(text, "-", 2);
	inet_ntop(a->family == IP_V4 ? AF_INET : AF_INET6, a->bytes, text, IP_TEXT_MAX);
	return text;
}

int ip_parse(const char *text, struct ip_addr *ret_ip)
{
	struct ip_addr ip = { 0 };

	if (inet_pton(AF_INET, text, ip.bytes) == 1) {
		ip.family = IP_V4;
	} else if (inet_pton(AF_INET6, text, ip.bytes) == 1) {
		ip = ip_from_abi(AF_INET6, ip.bytes);
	} else {
		return -EINVAL;
	}
	*ret_ip = ip;
	return 0;
}

struct ip_addr ip_from_abi(int family, const uint8_t bytes[16])
{
	static const uint8_t mapped[12] = { [10] = 0xff, [11] = 0xff };
	struct ip_addr ip = { .family = family == AF_INET ? IP_V4 : IP_V6 };

	if (family == AF_INET6 && !memcmp(bytes, mapped, sizeof(mapped))) {
		ip.family = IP_V4;
		memcpy(ip.bytes, bytes + 12, 4);
	} else if (family == AF_INET) {
		memcpy(ip.bytes, bytes,
		       4); /* so much at once; a length to be found out is a call */
	} else {
		memcpy(ip.bytes, bytes, 16);
	}
	return ip;
}
