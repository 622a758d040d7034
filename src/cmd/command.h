/* SPDX-License-Identifier: Apache-2.0 */
#ifndef NSLENS_CMD_COMMAND_H
#define NSLENS_CMD_COMMAND_H

/* Exit statuses of the contract. */
enum { EXIT_DONE = 0, EXIT_FAILED = 1, EXIT_USAGE = 2 };

/* One subcommand: one file in this folder, one row in command_table[] (command.c). */
struct command {
	const char *name;
	const char *usage;   /* after the name, for the help text */
	const char *summary; /* one line */
	/* argv[0] is the command's name. Returns an exit status; has printed its own error. */
	int (*run)(int argc, char **argv);
};

extern const struct command cmd_devices, cmd_doctor, cmd_namespaces, cmd_observe, cmd_run,
	cmd_sockets, cmd_status, cmd_detach;

/* NULL-terminated. */
extern const struct command *const command_table[];

/* Print one error line, "nslens COMMAND: TEXT", on stderr. */
void command_error(const char *command, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
/* The same for each line of @lines; NULL is none. */
void command_warn_lines(const char *command, const char *lines);

#endif
