// SPDX-License-Identifier: Apache-2.0
// FUZZ-SOURCES: src/query/filter_parse.c src/query/filter_scan.c src/query/filter_value.c
// FUZZ-SOURCES: src/query/filter_fields.c src/query/filter_eval.c src/query/subject_flow.c
// FUZZ-SOURCES: src/base/nearest.c src/base/quantity.c src/base/err.c src/base/buf.c
// FUZZ-SOURCES: src/model/endpoint.c src/model/event.c
#include <errno.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "query/subject_flow.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static struct process process = {
	.pid = 1,
	.uid = 1,
	.name = "init",
	.executable = "/sbin/init",
	.container_id = "0123456789abcdef",
};

static const struct flow_side side = {
	.has = SIDE_HAS_PORT | SIDE_HAS_NETNS | SIDE_HAS_DEVICE,
	.ip = { .family = IP_V4, .bytes = { 10, 0, 0, 1 } },
	.port = 80,
	.netns_cookie = 1,
	.netns_inode = 2,
	.netns_name = "ns",
	.device = "eth0",
	.process = &process,
	.opened_by = &process,
};

/* A wrong filter has one clean line with an error; a right one and its negation are opposites. */
static void check(const char *text, const char *negation)
{
	struct flow_event flow = {
		.has = FLOW_SEEN_BY_SOURCE,
		.source = side,
		.destination = side,
	};
	struct err e = { "" };
	struct filter *f, *not ;
	int ret = filter_compile(text, &filter_subject_flow, &f, &e);

	if (ret && (f || strncmp(e.text, "filter: ", 8) || strpbrk(e.text, "\n\r\t\033")))
		abort();
	if (ret || !f)
		return;
	ret = filter_compile(negation, &filter_subject_flow, &not, &e);
	if (ret == -E2BIG) { /* the negation adds a pair of parentheses */
		filter_free(f);
		return;
	}
	if (ret || filter_match(f, &flow) == filter_match(not, &flow))
		abort();
	filter_free(f);
	filter_free(not );
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char *text = malloc(size + 1), *negation = malloc(size + 8);
	size_t len;

	if (!text || !negation)
		abort();
	memcpy(text, data, size);
	text[size] = '\0';
	len = strlen(text);
	memcpy(negation, "not (", 5);
	memcpy(negation + 5, text, len);
	memcpy(negation + 5 + len, ")", 2);
	check(text, negation);
	free(text);
	free(negation);
	return 0;
}
