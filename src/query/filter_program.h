/* SPDX-License-Identifier: Apache-2.0 */
#ifndef NSLENS_QUERY_FILTER_PROGRAM_H
#define NSLENS_QUERY_FILTER_PROGRAM_H

/*
 * What filter_parse.c writes and filter_eval.c runs: steps in a row over one truth value. A TEST
 * sets it, NOT turns it round, AND leaves its right side out if it is false already, OR if it is
 * true. So "a and (b or not c)" is
 *
 *     0 TEST a   1 AND -> 6   2 TEST b   3 OR -> 6   4 TEST c   5 NOT   6
 */
#include "query/filter.h"

/* How the text after the operator is read. */
enum filter_type {
	FILTER_TYPE_NAME, /* text or glob */
	FILTER_TYPE_PATH, /* text or glob, of a whole path or its last part */
	FILTER_TYPE_TREE, /* absolute path or glob, of it and what is below it */
	FILTER_TYPE_ID,	  /* beginning of an id, or glob */
	FILTER_TYPE_NAME_OR_NUMBER,
	FILTER_TYPE_NUMBER,
	FILTER_TYPE_IP,	  /* address or prefix */
	FILTER_TYPE_WORD, /* one of a few words */
	N_FILTER_TYPES,
};

struct filter_word {
	const char *name;
	uint32_t mask; /* bit 1 << value for each value that it stands for */
};

/* One row a field: the parser, its errors, the help text and the manual are made of it. */
struct filter_field_row {
	const char *name;
	const char *noun; /* in "'x' is not ..." */
	enum filter_type type;
	bool sided;			 /* belongs to an end of a conversation */
	uint64_t max;			 /* of a NUMBER */
	const struct filter_word *words; /* of a WORD; ends with a NULL name */
	const char *also; /* what people try instead, between spaces; for "did you mean" */
	const char *help; /* one line: what it matches */
};

extern const struct filter_field_row filter_fields[N_FILTER_FIELDS];

enum filter_match_kind {
	MATCH_KNOWN,
	MATCH_EXACT,
	MATCH_PREFIX,
	MATCH_GLOB,
	MATCH_NUMBER,
	MATCH_IP,
	MATCH_MASK
};

struct filter_test {
	enum filter_field field;
	unsigned int sides; /* SOURCE | DESTINATION; WHOLE */
	bool negate;
	bool path;	 /* the last part of a text counts, too */
	bool tree;	 /* what is below a path counts, too */
	bool has_number; /* number counts beside text (NAME_OR_NUMBER) */
	enum filter_match_kind match;
	const char *text;
	size_t text_len;
	uint64_t number;
	struct ip_addr ip;
	unsigned int prefix;
	uint32_t mask;
};

enum filter_step_kind { STEP_TEST, STEP_NOT, STEP_AND, STEP_OR };

struct filter_step {
	enum filter_step_kind kind;
	unsigned int target; /* of AND, OR: where to go on if the right side is left out; ahead */
	struct filter_test test;
};

struct filter {
	const struct filter_subject *subject;
	struct filter_step *steps;
	unsigned int n_steps, cap_steps;
	char *text; /* all values, unquoted, each with its NUL */
	size_t text_len;
};

/* Read @value into @t, as t->field's row says. -EINVAL: @ret_expected says what it had to be. */
int filter_value_read(struct filter_test *t, const char *value, struct buf *ret_expected);

#endif
