// SPDX-License-Identifier: Apache-2.0
#include "sys/kallsyms.h"

#include <ctype.h>
#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

/*
 * Is @symbol, a name that ends the line or its field, @name or a copy of it? The cold part is not
 * it.
 */
static bool symbol_is(const char *symbol, const char *name)
{
	size_t len = strlen(name);

	if (strncmp(symbol, name, len))
		return false;
	symbol += len;
	if (*symbol == '.')
		return strncmp(symbol, ".cold", 5) != 0;
	return !*symbol || isspace((unsigned char)*symbol);
}

/* "ADDRESS TYPE NAME[\t[MODULE]]": the name, or NULL. */
static const char *parse_line(const char *line, uint64_t *ret_address)
{
	char *end;

	*ret_address = strtoull(line, &end, 16);
	if (end == line || end[0] != ' ' || !end[1] || end[2] != ' ')
		return NULL;
	return end + 3;
}

/* The file is sorted by address, modules excepted: the next greater address is the end. */
int kallsyms_find(FILE *f, const char *name, struct symbol_range *ret_range)
{
	uint64_t from = 0, address;
	const char *symbol;
	bool found = false;
	char *line = NULL;
	int err = -ENOENT;
	size_t cap = 0;

	while (err == -ENOENT && getline(&line, &cap, f) > 0) {
		symbol = parse_line(line, &address);
		if (!symbol)
			continue;
		if (found && address > from) {
			*ret_range = (struct symbol_range){ from, address };
			err = 0;
		} else if (!found && symbol_is(symbol, name)) {
			found = true;
			from = address;
			if (!from)
				err = -EPERM;
		}
	}
	free(line);
	return err;
}

int kallsyms_range(const char *name, struct symbol_range *ret_range)
{
	FILE *f = fopen("/proc/kallsyms", "re");
	int err;

	if (!f)
		return -errno;
	setvbuf(f, NULL, _IOFBF, 1 << 16);
	err = kallsyms_find(f, name, ret_range);
	fclose(f);
	return err;
}
