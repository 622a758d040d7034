// SPDX-License-Identifier: Apache-2.0
#include "cmd/command.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

/* The subcommands, in the order in which bare `nslens` lists them. */
const struct command *const command_table[] = {
	&cmd_run,    &cmd_observe, &cmd_sockets, &cmd_devices, &cmd_namespaces,
	&cmd_status, &cmd_doctor,  &cmd_detach,	 NULL,
};

void command_error(const char *command, const char *fmt, ...)
{
	va_list ap;

	fprintf(stderr, "nslens %s: ", command);
	va_start(ap, fmt);
	vfprintf(stderr, fmt, ap);
	va_end(ap);
	fputc('\n', stderr);
}

void command_warn_lines(const char *command, const char *lines)
{
	while (lines && *lines) {
		size_t len = strcspn(lines, "\n");

		command_error(command, "%.*s", (int)len, lines);
		lines += len + (lines[len] != '\0');
	}
}
