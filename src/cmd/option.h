/* SPDX-License-Identifier: Apache-2.0 */
#ifndef NSLENS_CMD_OPTION_H
#define NSLENS_CMD_OPTION_H

#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/err.h"
#include "cmd/command.h"
#include "query/filter.h"

/*
 * A subcommand's options: one row each, which feeds parsing, errors and --help. A value goes to the
 * member of the command's settings that the row names by OPTION_AT(); the kind gives
 * its type.
 */
enum option_kind {
	OPTION_FLAG,	 /* bool, true if given; takes no value */
	OPTION_TEXT,	 /* const char *, borrowed from argv or the default */
	OPTION_NUMBER,	 /* uint64_t */
	OPTION_DURATION, /* uint64_t, ns; written 500ms, 10s, 2m, 1h */
	OPTION_CHOICE,	 /* int or an enum: which of choices */
	OPTION_SET,	 /* uint32_t: bits by place in set(); written a,b or all; each time adds */
};

struct option_row {
	const char *name; /* without "--" */
	char letter;	  /* without "-"; 0: none */
	enum option_kind kind;
	size_t at, size;	      /* OPTION_AT(struct, member) */
	const char *const *choices;   /* of a CHOICE; ends with NULL */
	const char *(*set)(size_t i); /* of a SET: the name of bit i, NULL behind the last */
	uint64_t min, max;	      /* of NUMBER and DURATION; max 0: no upper bound */
	const char *fallback; /* the default, as one would write it; NULL: the settings stay */
	const char *value;    /* stands for the value in the help, if the kind's word won't do */
	const char *unit;     /* of a NUMBER, for the help: "bytes" */
	const char *help;
};

#define OPTION_AT(type, member) .at = offsetof(type, member), .size = sizeof(((type *)NULL)->member)

/* What a subcommand takes; --help and -h need no row. */
struct option_table {
	const struct command *command;
	const struct option_row *rows;	     /* ends with a NULL name */
	const struct filter_subject *filter; /* words are a filter for it; NULL: takes no words */
	void (*explain)(struct buf *b);	     /* appends to the help what options mean; or NULL */
};

enum { OPTION_HELP = 1 };

/*
 * Read argv[1...]: defaults to @settings first, then options, which may stand anywhere before "--".
 * The other words go to @ret_words, joined with spaces. @argv ends with NULL. 0; OPTION_HELP if
 * help is asked for; -EINVAL.
 */
int option_parse(const struct option_table *t, char **argv, void *settings, struct buf *ret_words,
		 struct err *e);
/* Append what --help prints. */
void option_help(const struct option_table *t, struct buf *b);

/*
 * How a subcommand begins: parse, and compile the filter (@ret_filter may be NULL if the table has
 * none). Negative: go on. Else help or an error has been printed: end with this exit status.
 */
int option_start(const struct option_table *t, char **argv, void *settings,
		 struct filter **ret_filter);
/* The same, and the filter's text to @ret_words, to hand on to the agent. */
int option_start_words(const struct option_table *t, char **argv, void *settings,
		       struct filter **ret_filter, struct buf *ret_words);

#endif
