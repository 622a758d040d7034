// SPDX-License-Identifier: Apache-2.0
#include "cmd/option.h"

#include <assert.h>
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/nearest.h"
#include "base/quantity.h"

/* --- values --- */

static void put(const struct option_row *row, void *settings, const void *value, size_t size)
{
	assert(row->size == size);
	memcpy((char *)settings + row->at, value, size);
}

static const char *range_text(const struct option_row *row, char *text, size_t size)
{
	char min[DURATION_TEXT_MAX], max[DURATION_TEXT_MAX];

	if (row->kind == OPTION_DURATION) {
		duration_format(row->min, min);
		duration_format(row->max, max);
	} else {
		snprintf(min, sizeof(min), "%" PRIu64, row->min);
		snprintf(max, sizeof(max), "%" PRIu64, row->max);
	}
	snprintf(text, size, row->max ? "from %s to %s" : "%s or more", min, max);
	return text;
}

static int put_quantity(const struct option_row *row, const char *text, void *settings,
			struct err *e)
{
	char range[64];
	uint64_t n;
	int ret;

	if (row->kind == OPTION_DURATION)
		ret = duration_parse(text, &n);
	else
		ret = number_parse(text, UINT64_MAX, &n);
	if (ret == -EINVAL && row->kind == OPTION_DURATION)
		return err_set(e, EINVAL,
			       "--%s: '%s' is not a duration; write it like 500ms, 10s, 2m or 1h",
			       row->name, text);
	if (ret == -EINVAL)
		return err_set(e, EINVAL, "--%s: '%s' is not a number", row->name, text);
	if (ret || n < row->min || (row->max && n > row->max))
		return err_set(e, EINVAL, "--%s: '%s' is out of range; expected %s", row->name,
			       text, range_text(row, range, sizeof(range)));
	put(row, settings, &n, sizeof(n));
	return 0;
}

static void add_choices(const struct option_row *row, struct buf *b)
{
	for (int i = 0; row->choices[i]; i++)
		buf_addf(b, "%s%s", i ? "|" : "", row->choices[i]);
}

static int put_choice(const struct option_row *row, const char *text, void *settings, struct err *e)
{
	struct buf choices = { 0 };

	for (int i = 0; row->choices[i]; i++) {
		if (!strcmp(row->choices[i], text)) {
			put(row, settings, &i, sizeof(i));
			return 0;
		}
	}
	add_choices(row, &choices);
	err_set(e, EINVAL, "--%s: no '%s'; expected %s", row->name, text,
		choices.data ? choices.data : "");
	buf_fini(&choices);
	return -EINVAL;
}

/* The bits of one name. 0: there is none of that name. */
static uint32_t set_bits(const struct option_row *row, const char *name, size_t len)
{
	const char *each;

	if (len == 3 && !memcmp(name, "all", len))
		return UINT32_MAX;
	for (size_t i = 0; (each = row->set(i)); i++)
		if (strlen(each) == len && !memcmp(each, name, len))
			return 1U << i;
	return 0;
}

static int put_set(const struct option_row *row, const char *text, void *settings, struct err *e)
{
	uint32_t bits, set;
	struct buf names = { 0 };
	size_t len;

	assert(row->size == sizeof(set));
	memcpy(&set, (char *)settings + row->at, sizeof(set));
	for (;; text += len + 1) {
		len = strcspn(text, ",");
		bits = set_bits(row, text, len);
		if (!bits)
			break;
		set |= bits;
		if (!text[len]) {
			put(row, settings, &set, sizeof(set));
			return 0;
		}
	}
	for (size_t i = 0; row->set(i); i++)
		buf_addf(&names, "%s, ", row->set(i));
	err_set(e, EINVAL, "--%s: no '%.*s'; there are %sand all, joined by commas", row->name,
		(int)len, text, names.data ? names.data : "");
	buf_fini(&names);
	return -EINVAL;
}

/* @text is NULL for a flag. */
static int put_value(const struct option_row *row, const char *text, void *settings, struct err *e)
{
	switch (row->kind) {
	case OPTION_FLAG: put(row, settings, &(bool){ true }, sizeof(bool)); return 0;
	case OPTION_TEXT: put(row, settings, &text, sizeof(text)); return 0;
	case OPTION_NUMBER:
	case OPTION_DURATION: return put_quantity(row, text, settings, e);
	case OPTION_CHOICE: return put_choice(row, text, settings, e);
	case OPTION_SET: return put_set(row, text, settings, e);
	}
	return -EINVAL;
}

/* --- words --- */

struct cursor {
	const struct option_table *table;
	char **next; /* of argv, behind the word at hand; ends with NULL */
	void *settings;
	struct err *e;
};

static int take_value(struct cursor *c, const struct option_row *row, const char *attached)
{
	const char *text = attached;

	if (row->kind == OPTION_FLAG && attached)
		return err_set(c->e, EINVAL, "--%s takes no value", row->name);
	if (row->kind != OPTION_FLAG && !text)
		text = *c->next ? *c->next++ : NULL;
	if (row->kind != OPTION_FLAG && !text)
		return err_set(c->e, EINVAL, "--%s needs a value", row->name);
	return put_value(row, text, c->settings, c->e);
}

/* "name" or "name=value", behind the dashes. */
static int take_long(struct cursor *c, const char *word)
{
	struct nearest near = { .word = word, .len = strcspn(word, "=") };

	for (const struct option_row *row = c->table->rows; row->name; row++) {
		if (strlen(row->name) == near.len && !memcmp(row->name, word, near.len))
			return take_value(c, row, word[near.len] ? word + near.len + 1 : NULL);
		nearest_offer(&near, row->name);
	}
	if (!strcmp(word, "help"))
		return OPTION_HELP;
	return err_set(c->e, EINVAL, "no option '--%.*s'; %s%s%s'nslens %s --help' lists them",
		       (int)near.len, word, near.best ? "did you mean '--" : "",
		       near.best ? near.best : "", near.best ? "'? " : "", c->table->command->name);
}

/* Letters behind a dash: flags, and at the end one that may take a value, attached or the next
 * word. */
static int take_letters(struct cursor *c, const char *letters)
{
	for (; *letters; letters++) {
		const struct option_row *row = c->table->rows;
		int ret;

		while (row->name && row->letter != *letters)
			row++;
		if (!row->name && *letters == 'h')
			return OPTION_HELP;
		if (!row->name)
			return err_set(c->e, EINVAL,
				       "no option '-%c'; 'nslens %s --help' lists them", *letters,
				       c->table->command->name);
		if (row->kind != OPTION_FLAG)
			return take_value(c, row, letters[1] ? letters + 1 : NULL);
		ret = take_value(c, row, NULL);
		if (ret)
			return ret;
	}
	return 0;
}

static int take_word(const struct option_table *t, const char *word, struct buf *ret_words,
		     struct err *e)
{
	if (!t->filter)
		return err_set(e, EINVAL, "unexpected '%s'; 'nslens %s --help' says what it takes",
			       word, t->command->name);
	if (ret_words->len)
		buf_addc(ret_words, ' ');
	buf_adds(ret_words, word);
	return 0;
}

int option_parse(const struct option_table *t, char **argv, void *settings, struct buf *ret_words,
		 struct err *e)
{
	struct cursor c = { .table = t, .next = argv + 1, .settings = settings, .e = e };
	bool options = true;
	int ret = 0;

	for (const struct option_row *row = t->rows; !ret && row->name; row++)
		if (row->fallback)
			ret = put_value(row, row->fallback, settings, e);
	while (!ret && *c.next) {
		const char *word = *c.next++;

		if (!options || word[0] != '-' || !word[1])
			ret = take_word(t, word, ret_words, e);
		else if (word[1] != '-')
			ret = take_letters(&c, word + 1);
		else if (word[2])
			ret = take_long(&c, word + 2);
		else
			options = false;
	}
	return ret;
}

/* --- help --- */

static void add_row(const struct option_row *row, struct buf *b)
{
	static const char *const words[] = {
		[OPTION_TEXT] = "TEXT",
		[OPTION_NUMBER] = "N",
		[OPTION_DURATION] = "DURATION",
		[OPTION_SET] = "NAME[,NAME...]",
	};
	char letter[] = { '-', row->letter, ',', '\0' };
	size_t begin = b->len;

	buf_addf(b, "  %-3s --%s", row->letter ? letter : "", row->name);
	if (row->kind == OPTION_CHOICE && !row->value) {
		buf_addc(b, ' ');
		add_choices(row, b);
	} else if (row->kind != OPTION_FLAG) {
		buf_addf(b, " %s", row->value ? row->value : words[row->kind]);
	}
	buf_addf(b, "%*s  %s", b->len - begin < 28 ? (int)(28 - (b->len - begin)) : 0, "",
		 row->help);
	if (row->fallback)
		buf_addf(b, " (default %s%s%s)", row->fallback, row->unit ? " " : "",
			 row->unit ? row->unit : "");
	else if (row->unit)
		buf_addf(b, " (%s)", row->unit);
	buf_addc(b, '\n');
}

void option_help(const struct option_table *t, struct buf *b)
{
	static const struct option_row help = { .name = "help",
						.letter = 'h',
						.help = "print this" };

	buf_addf(b, "usage: nslens %s %s\n\n%s\n\n", t->command->name,
		 t->filter ? "[OPTION...] [FILTER]" : "[OPTION...]", t->command->summary);
	for (const struct option_row *row = t->rows; row->name; row++)
		add_row(row, b);
	add_row(&help, b);
	if (t->explain) {
		buf_addc(b, '\n');
		t->explain(b);
	}
	if (t->filter) {
		buf_addc(b, '\n');
		filter_help(t->filter, b);
	}
}

static int print_help(const struct option_table *t)
{
	struct buf b = { 0 };

	option_help(t, &b);
	if (!b.failed)
		fputs(b.data, stdout);
	buf_fini(&b);
	return EXIT_DONE;
}

int option_start(const struct option_table *t, char **argv, void *settings,
		 struct filter **ret_filter)
{
	struct buf words = { 0 };
	int ret = option_start_words(t, argv, settings, ret_filter, &words);

	buf_fini(&words);
	return ret;
}

int option_start_words(const struct option_table *t, char **argv, void *settings,
		       struct filter **ret_filter, struct buf *ret_words)
{
	struct err e;
	int ret;

	ret = option_parse(t, argv, settings, ret_words, &e);
	if (!ret && ret_words->failed)
		ret = err_set(&e, ENOMEM, "out of memory");
	if (!ret && t->filter)
		ret = filter_compile(ret_words->data, t->filter, ret_filter, &e);
	if (ret == OPTION_HELP)
		return print_help(t);
	if (!ret)
		return -1;
	command_error(t->command->name, "%s", e.text);
	return ret == -ENOMEM ? EXIT_FAILED : EXIT_USAGE;
}
