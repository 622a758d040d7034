// SPDX-License-Identifier: Apache-2.0
/*
 * or-expression:  and-expression { "or" and-expression }
 * and-expression: not-expression { "and" not-expression }
 * not-expression: { "not" } ( comparison | "(" or-expression ")" )
 * comparison:     [side "."] field ("=" | "!=") (word | quoted)
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/nearest.h"
#include "query/filter_program.h"
#include "query/filter_scan.h"

struct parser {
	struct filter_scan scan;
	unsigned int depth;
	struct filter *f;
};

/* --- fields --- */

static bool is_among(const char *words, const char *word, size_t len)
{
	char padded[FILTER_SHOWN_SIZE];

	if (len > FILTER_SHOWN_MAX)
		return false;
	padded[0] = ' ';
	memcpy(padded + 1, word, len);
	memcpy(padded + 1 + len, " ", 2);
	return strstr(words, padded);
}

/* The field that was likely meant by @word, or NULL. */
static const char *suggest_field(const struct filter_subject *subject, const char *word, size_t len)
{
	struct nearest near = { .word = word, .len = len };

	for (unsigned int i = 0; i < N_FILTER_FIELDS; i++) {
		if (!(subject->fields & 1U << i))
			continue;
		if (is_among(filter_fields[i].also, word, len))
			return filter_fields[i].name;
		nearest_offer(&near, filter_fields[i].name);
	}
	return near.best;
}

/* @word is no field of the subject: say so, and name those that are. */
static int no_field(struct parser *p, size_t at, const char *what, const char *word, size_t len)
{
	const struct filter_subject *subject = p->f->subject;
	const char *near = suggest_field(subject, word, len);
	char text[FILTER_SHOWN_SIZE], names[256];
	size_t n = 0;

	for (unsigned int i = 0; i < N_FILTER_FIELDS; i++)
		if (subject->fields & 1U << i && n < sizeof(names))
			n += (size_t)snprintf(names + n, sizeof(names) - n, " %s",
					      filter_fields[i].name);
	return filter_scan_error(&p->scan, at, EINVAL, "%sno field '%s'; %s%s%sfields:%s", what,
				 filter_scan_show(word, len, text), near ? "did you mean '" : "",
				 near ? near : "", near ? "'? " : "", names);
}

/* Read "source." and the like at the beginning of the field; 0 and no sides if there is no dot. */
static int read_side(struct parser *p, unsigned int *ret_sides, size_t *ret_len)
{
	const struct filter_subject *subject = p->f->subject;
	struct filter_scan *s = &p->scan;
	const char *word = s->text + s->at, *dot = memchr(word, '.', s->end - s->at);
	size_t len = dot ? (size_t)(dot - word) : 0;
	char text[FILTER_SHOWN_SIZE];

	*ret_sides = FILTER_WHOLE;
	*ret_len = dot ? len + 1 : 0;
	if (!dot)
		return 0;
	if (!subject->side_names[0])
		return filter_scan_error(s, s->at, EINVAL,
					 "%s has no sides: expected a field without '.'",
					 subject->what);
	for (unsigned int i = 0; i < 2; i++) {
		const char *names[] = { subject->side_names[i], subject->side_short[i] };

		for (unsigned int j = 0; j < 2; j++)
			if (names[j] && strlen(names[j]) == len && !memcmp(names[j], word, len))
				*ret_sides = i ? FILTER_DESTINATION : FILTER_SOURCE;
	}
	if (*ret_sides)
		return 0;
	return filter_scan_error(s, s->at, EINVAL,
				 "no side '%s'; expected '%s.' or '%s.' before the field",
				 filter_scan_show(word, len, text), subject->side_names[0],
				 subject->side_names[1]);
}

static int find_field(const char *word, size_t len)
{
	for (int i = 0; i < N_FILTER_FIELDS; i++)
		if (strlen(filter_fields[i].name) == len &&
		    !memcmp(filter_fields[i].name, word, len))
			return i;
	return -ENOENT;
}

/* Read the field at the current word. */
static int read_field(struct parser *p, struct filter_test *t)
{
	const struct filter_subject *subject = p->f->subject;
	struct filter_scan *s = &p->scan;
	size_t skip, len;
	const char *word;
	char what[64];
	int field, ret;

	ret = read_side(p, &t->sides, &skip);
	if (ret)
		return ret;
	word = s->text + s->at + skip;
	len = s->end - s->at - skip;
	field = find_field(word, len);
	if (field < 0)
		return no_field(p, s->at + skip, "", word, len);
	if (!(subject->fields & 1U << field)) {
		snprintf(what, sizeof(what), "%s has ", subject->what);
		return no_field(p, s->at + skip, what, word, len);
	}
	t->field = (enum filter_field)field;
	if (t->sides && !filter_fields[field].sided)
		return filter_scan_error(
			s, s->at, EINVAL,
			"'%s' belongs to the whole of %s: expected it without '%.*s'",
			filter_fields[field].name, subject->what, (int)skip, s->text + s->at);
	if (!t->sides && filter_fields[field].sided && subject->side_names[0])
		t->sides = FILTER_SOURCE | FILTER_DESTINATION;
	return 0;
}

/* --- values --- */

/*
 * Copy the value at the current token behind the others. Inside quotes a backslash before the quote
 * makes it part of the text; any other backslash stays, for the glob. The room suffices: each value
 * has an operator before it in the source, so there is a byte for its NUL.
 */
static const char *keep_value(struct parser *p)
{
	bool quoted = p->scan.token == FILTER_TOKEN_QUOTED;
	const char *from = p->scan.text + p->scan.at + quoted;
	const char *end = p->scan.text + p->scan.end - quoted;
	char *kept = p->f->text + p->f->text_len, *to = kept;

	while (from < end) {
		if (quoted && *from == '\\') {
			if (from[1] != *end)
				*to++ = *from;
			from++;
		}
		*to++ = *from++;
	}
	*to++ = '\0';
	p->f->text_len += (size_t)(to - kept);
	return kept;
}

static int read_value(struct parser *p, struct filter_test *t)
{
	const char *noun = filter_fields[t->field].noun, *value;
	struct filter_scan *s = &p->scan;
	struct buf why = { 0 };
	char text[FILTER_SHOWN_SIZE];
	int ret;

	if (s->token != FILTER_TOKEN_WORD && s->token != FILTER_TOKEN_QUOTED)
		return filter_scan_expected(s, noun);
	value = keep_value(p);
	if (!*value)
		return filter_scan_error(
			s, s->at, EINVAL,
			"expected %s, found empty quotes; * means any that is known", noun);
	ret = filter_value_read(t, value, &why);
	if (ret)
		ret = filter_scan_error(s, s->at, EINVAL, "'%s' is not %s; %s",
					filter_scan_show(value, strlen(value), text), noun,
					why.data ? why.data : "");
	buf_fini(&why);
	return ret;
}

/* --- expressions --- */

static int add_step(struct parser *p, enum filter_step_kind kind, struct filter_step **ret)
{
	struct filter *f = p->f;
	struct filter_step *steps;

	if (f->n_steps == f->cap_steps) {
		unsigned int cap = f->cap_steps ? f->cap_steps * 2 : 8;

		steps = realloc(f->steps, cap * sizeof(*steps));
		if (!steps)
			return filter_scan_no_memory(&p->scan);
		f->steps = steps;
		f->cap_steps = cap;
	}
	*ret = &f->steps[f->n_steps++];
	**ret = (struct filter_step){ .kind = kind };
	return 0;
}

static int parse_comparison(struct parser *p)
{
	struct filter_test test = { 0 };
	struct filter_step *step;
	struct filter_scan *s = &p->scan;
	char what[64];
	int ret;

	ret = read_field(p, &test);
	if (ret)
		return ret;
	filter_scan_next(s);
	if (s->token != FILTER_TOKEN_IS && s->token != FILTER_TOKEN_IS_NOT) {
		snprintf(what, sizeof(what), "'=' or '!=' after '%s'",
			 filter_fields[test.field].name);
		return filter_scan_expected(s, what);
	}
	test.negate = s->token == FILTER_TOKEN_IS_NOT;
	filter_scan_next(s);
	ret = read_value(p, &test);
	if (ret)
		return ret;
	filter_scan_next(s);
	ret = add_step(p, STEP_TEST, &step);
	if (!ret)
		step->test = test;
	return ret;
}

static int parse_or(struct parser *p);

static int parse_group(struct parser *p)
{
	size_t open = p->scan.at;
	char what[64];
	int ret;

	if (++p->depth > FILTER_MAX_DEPTH)
		return filter_scan_error(&p->scan, open, E2BIG, "parentheses nest deeper than %d",
					 FILTER_MAX_DEPTH);
	filter_scan_next(&p->scan);
	ret = parse_or(p);
	if (ret)
		return ret;
	if (p->scan.token != FILTER_TOKEN_CLOSE) {
		snprintf(what, sizeof(what), "'and', 'or', or ')' for the '(' at column %zu",
			 filter_scan_column(&p->scan, open));
		return filter_scan_expected(&p->scan, what);
	}
	p->depth--;
	filter_scan_next(&p->scan);
	return 0;
}

static int parse_not(struct parser *p)
{
	struct filter_scan *s = &p->scan;
	struct filter_step *step;
	bool negate = false;
	int ret;

	while (filter_scan_take(s, "not"))
		negate = !negate;
	if (s->token == FILTER_TOKEN_OPEN)
		ret = parse_group(p);
	else if (s->token == FILTER_TOKEN_WORD && !filter_scan_at(s, "and") &&
		 !filter_scan_at(s, "or"))
		ret = parse_comparison(p);
	else
		ret = filter_scan_expected(s, "a field, 'not' or '('");
	if (ret || !negate)
		return ret;
	return add_step(p, STEP_NOT, &step);
}

/* The right side of "and" or "or". */
static int parse_right(struct parser *p, enum filter_step_kind kind,
		       int (*operand)(struct parser *p))
{
	unsigned int jump = p->f->n_steps;
	struct filter_step *step;
	int ret;

	ret = add_step(p, kind, &step);
	if (!ret)
		ret = operand(p);
	if (!ret)
		p->f->steps[jump].target = p->f->n_steps;
	return ret;
}

static int parse_and(struct parser *p)
{
	int ret = parse_not(p);

	while (!ret && filter_scan_take(&p->scan, "and"))
		ret = parse_right(p, STEP_AND, parse_not);
	return ret;
}

static int parse_or(struct parser *p)
{
	int ret = parse_and(p);

	while (!ret && filter_scan_take(&p->scan, "or"))
		ret = parse_right(p, STEP_OR, parse_and);
	return ret;
}

static int parse(struct parser *p)
{
	int ret;

	filter_scan_next(&p->scan);
	ret = parse_or(p);
	if (ret || p->scan.token == FILTER_TOKEN_END)
		return ret;
	if (p->scan.token != FILTER_TOKEN_WORD)
		return filter_scan_expected(&p->scan, "'and', 'or' or the end");
	return filter_scan_expected(&p->scan,
				    "'and', 'or' or the end (quote a value that has spaces)");
}

int filter_compile(const char *text, const struct filter_subject *subject, struct filter **ret,
		   struct err *e)
{
	struct parser p = { .scan = { .text = text, .e = e } };
	size_t len;
	int r;

	*ret = NULL;
	if (!text || !text[strspn(text, filter_scan_spaces)])
		return 0;
	len = strlen(text);
	if (len > FILTER_MAX_LEN)
		return err_set(e, E2BIG, "filter: %zu bytes long; at most %d are read", len,
			       FILTER_MAX_LEN);
	p.f = calloc(1, sizeof(*p.f));
	if (!p.f)
		return filter_scan_no_memory(&p.scan);
	p.f->subject = subject;
	p.f->text = malloc(len + 1);
	r = p.f->text ? parse(&p) : filter_scan_no_memory(&p.scan);
	if (r) {
		filter_free(p.f);
		return r;
	}
	*ret = p.f;
	return 0;
}

void filter_free(struct filter *f)
{
	if (!f)
		return;
	free(f->steps);
	free(f->text);
	free(f);
}
