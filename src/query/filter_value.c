// SPDX-License-Identifier: Apache-2.0
#include <errno.h>
#include <string.h>

#include "base/nearest.h"
#include "base/quantity.h"
#include "query/filter_program.h"

static void read_text(struct filter_test *t, const char *value, enum filter_match_kind plain)
{
	t->text = value;
	t->text_len = strlen(value);
	t->match = strpbrk(value, "*?[\\") ? MATCH_GLOB : plain;
}

static int read_name(struct filter_test *t, const char *value, struct buf *ret_expected)
{
	read_text(t, value, MATCH_EXACT);
	return 0;
}

static int read_path(struct filter_test *t, const char *value, struct buf *ret_expected)
{
	read_text(t, value, MATCH_EXACT);
	t->path = true;
	return 0;
}

/* Slashes at the end say nothing; of "/" the empty text is left, which all paths are below. */
static int read_tree(struct filter_test *t, const char *value, struct buf *ret_expected)
{
	if (!strchr("/*?[", *value)) {
		buf_addf(ret_expected, "expected a path from the root, /%s", value);
		return -EINVAL;
	}
	read_text(t, value, MATCH_EXACT);
	t->tree = true;
	while (t->match == MATCH_EXACT && t->text_len && value[t->text_len - 1] == '/')
		t->text_len--;
	return 0;
}

static int read_id(struct filter_test *t, const char *value, struct buf *ret_expected)
{
	read_text(t, value, MATCH_PREFIX);
	return 0;
}

static int read_name_or_number(struct filter_test *t, const char *value, struct buf *ret_expected)
{
	read_text(t, value, MATCH_EXACT);
	t->has_number = !number_parse(value, UINT64_MAX, &t->number);
	return 0;
}

static int read_whole_number(struct filter_test *t, const char *value, struct buf *ret_expected)
{
	uint64_t max = filter_fields[t->field].max;

	t->match = MATCH_NUMBER;
	t->has_number = !number_parse(value, max, &t->number);
	if (t->has_number)
		return 0;
	buf_addf(ret_expected, "expected a number from 0 to %llu", (unsigned long long)max);
	return -EINVAL;
}

/* The prefix of a v4-mapped address counts from its 96 fixed bits. */
static bool read_prefix(struct filter_test *t, const char *text, bool mapped)
{
	unsigned int fixed = mapped ? 96 : 0;
	uint64_t n;

	if (number_parse(text, t->ip.family == IP_V6 || mapped ? 128 : 32, &n) || n < fixed)
		return false;
	t->prefix = (unsigned int)n - fixed;
	return true;
}

static int read_ip(struct filter_test *t, const char *value, struct buf *ret_expected)
{
	char address[IP_TEXT_MAX] = "";
	size_t len = strcspn(value, "/");

	t->match = MATCH_IP;
	if (len < sizeof(address))
		memcpy(address, value, len);
	if (ip_parse(address, &t->ip)) {
		buf_adds(ret_expected,
			 "expected an address (10.0.0.1, fd00::1) or a prefix (10.0.0.0/8)");
		return -EINVAL;
	}
	t->prefix = t->ip.family == IP_V4 ? 32 : 128;
	if (!value[len] ||
	    read_prefix(t, value + len + 1, t->ip.family == IP_V4 && strchr(address, ':')))
		return 0;
	buf_addf(ret_expected, "expected a prefix length from %s behind '/'",
		 t->ip.family == IP_V6	? "0 to 128"
		 : strchr(address, ':') ? "96 to 128"
					: "0 to 32");
	return -EINVAL;
}

static int read_word(struct filter_test *t, const char *value, struct buf *ret_expected)
{
	const struct filter_word *words = filter_fields[t->field].words;
	struct nearest near = { .word = value, .len = strlen(value) };

	t->match = MATCH_MASK;
	for (const struct filter_word *w = words; w->name; w++) {
		if (!strcmp(w->name, value)) {
			t->mask = w->mask;
			return 0;
		}
		nearest_offer(&near, w->name);
	}
	if (near.best)
		buf_addf(ret_expected, "did you mean '%s'? ", near.best);
	buf_adds(ret_expected, "expected one of:");
	for (const struct filter_word *w = words; w->name; w++)
		buf_addf(ret_expected, " %s", w->name);
	return -EINVAL;
}

static int (*const readers[N_FILTER_TYPES])(struct filter_test *, const char *, struct buf *) = {
	[FILTER_TYPE_NAME] = read_name,
	[FILTER_TYPE_PATH] = read_path,
	[FILTER_TYPE_TREE] = read_tree,
	[FILTER_TYPE_ID] = read_id,
	[FILTER_TYPE_NAME_OR_NUMBER] = read_name_or_number,
	[FILTER_TYPE_NUMBER] = read_whole_number,
	[FILTER_TYPE_IP] = read_ip,
	[FILTER_TYPE_WORD] = read_word,
};

int filter_value_read(struct filter_test *t, const char *value, struct buf *ret_expected)
{
	if (!strcmp(value, "*")) {
		t->match = MATCH_KNOWN;
		return 0;
	}
	return readers[filter_fields[t->field].type](t, value, ret_expected);
}
