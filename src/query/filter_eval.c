// SPDX-License-Identifier: Apache-2.0
#include <fnmatch.h>
#include <string.h>

#include "query/filter_program.h"

/* Is @path the one that was asked for, or below it? */
static bool tree_matches(const struct filter_test *t, const char *path)
{
	if (t->match == MATCH_GLOB)
		return !fnmatch(t->text, path, FNM_LEADING_DIR);
	return !strncmp(t->text, path, t->text_len) &&
	       (!path[t->text_len] || path[t->text_len] == '/');
}

static bool text_matches(const struct filter_test *t, const char *text)
{
	switch (t->match) {
	case MATCH_EXACT: return !strcmp(t->text, text);
	case MATCH_PREFIX: return !strncmp(t->text, text, t->text_len);
	case MATCH_GLOB: return !fnmatch(t->text, text, 0);
	default: return false;
	}
}

static bool path_matches(const struct filter_test *t, const char *path)
{
	const char *slash;

	if (text_matches(t, path))
		return true;
	slash = strrchr(path, '/');
	return slash && text_matches(t, slash + 1);
}

static bool named_matches(const struct filter_test *t, const char *text)
{
	if (t->tree)
		return tree_matches(t, text);
	return t->path ? path_matches(t, text) : text_matches(t, text);
}

static bool number_matches(const struct filter_test *t, uint64_t number)
{
	if (t->match == MATCH_MASK)
		return number < 32 && t->mask >> number & 1;
	return t->has_number && t->number == number;
}

static bool value_matches(const struct filter_test *t, const struct filter_value *v)
{
	if (v->kind == FILTER_VALUE_NONE || (v->kind == FILTER_VALUE_TEXT && !v->text))
		return false;
	if (t->match == MATCH_KNOWN)
		return true;
	switch (v->kind) {
	case FILTER_VALUE_TEXT: return named_matches(t, v->text);
	case FILTER_VALUE_NUMBER: return number_matches(t, v->number);
	case FILTER_VALUE_IP: return t->match == MATCH_IP && ip_in_prefix(v->ip, &t->ip, t->prefix);
	default: return false;
	}
}

static bool side_matches(const struct filter_test *t, const struct filter_subject *ops,
			 const void *subject, enum filter_side side)
{
	struct filter_value v;

	for (unsigned int i = 0;
	     v.kind = FILTER_VALUE_NONE, ops->value(subject, t->field, side, i, &v); i++)
		if (value_matches(t, &v))
			return true;
	return false;
}

static bool test_matches(const struct filter_test *t, const struct filter_subject *ops,
			 const void *subject)
{
	bool hit;

	if (t->sides == FILTER_WHOLE)
		hit = side_matches(t, ops, subject, FILTER_WHOLE);
	else
		hit = (t->sides & FILTER_SOURCE && side_matches(t, ops, subject, FILTER_SOURCE)) ||
		      (t->sides & FILTER_DESTINATION &&
		       side_matches(t, ops, subject, FILTER_DESTINATION));
	return hit != t->negate;
}

bool filter_match(const struct filter *f, const void *subject)
{
	bool truth = true;

	if (!f)
		return true;
	for (unsigned int i = 0; i < f->n_steps; i++) {
		const struct filter_step *s = &f->steps[i];

		switch (s->kind) {
		case STEP_TEST: truth = test_matches(&s->test, f->subject, subject); break;
		case STEP_NOT: truth = !truth; break;
		case STEP_AND:
		case STEP_OR:
			if (truth == (s->kind == STEP_OR))
				i = s->target - 1;
			break;
		}
	}
	return truth;
}

bool filter_asks(const struct filter *f, enum filter_field field)
{
	for (unsigned int i = 0; f && i < f->n_steps; i++)
		if (f->steps[i].kind == STEP_TEST && f->steps[i].test.field == field)
			return true;
	return false;
}
