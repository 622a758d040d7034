// SPDX-License-Identifier: Apache-2.0
#include <stdio.h>
#include <string.h>

#include "cmd/command.h"

static void print_commands(FILE *out)
{
	fputs("nslens " NSLENS_VERSION
	      ": who talks to whom, in every network namespace of this host\n\n"
	      "usage: nslens COMMAND [OPTION...]\n\n",
	      out);
	for (const struct command *const *c = command_table; *c; c++)
		fprintf(out, "  %-12s %s\n", (*c)->name, (*c)->summary);
	fputs("\n'nslens COMMAND --help' says more. Try: nslens observe\n", out);
}

int main(int argc, char **argv)
{
	if (argc < 2 || !strcmp(argv[1], "help") || !strcmp(argv[1], "--help") ||
	    !strcmp(argv[1], "-h")) {
		print_commands(stdout);
		return EXIT_DONE;
	}
	if (!strcmp(argv[1], "--version")) {
		puts("nslens " NSLENS_VERSION);
		return EXIT_DONE;
	}
	for (const struct command *const *c = command_table; *c; c++)
		if (!strcmp((*c)->name, argv[1]))
			return (*c)->run(argc - 1, argv + 1);
	fprintf(stderr, "nslens: no command '%s'; 'nslens' alone lists them\n", argv[1]);
	return EXIT_USAGE;
}
