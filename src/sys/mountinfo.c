// SPDX-License-Identifier: Apache-2.0
#include "sys/mountinfo.h"

#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static bool is_octal(char c)
{
	return c >= '0' && c <= '7';
}

/* "\040" and the like, as the kernel writes blanks, tabs, newlines and backslashes. */
static void unescape(char *s)
{
	char *to = s;

	while (*s) {
		if (s[0] == '\\' && is_octal(s[1]) && is_octal(s[2]) && is_octal(s[3])) {
			*to++ = (char)((s[1] - '0') << 6 | (s[2] - '0') << 3 | (s[3] - '0'));
			s += 4;
		} else {
			*to++ = *s++;
		}
	}
	*to = '\0';
}

/* The next field, NULL if there is none; *at moves behind it. */
static char *next_field(char **at)
{
	char *field = *at;

	if (!field || !*field)
		return NULL;
	*at = strchr(field, ' ');
	if (*at)
		*(*at)++ = '\0';
	return *field ? field : NULL;
}

/* ID PARENT MAJOR:MINOR ROOT MOUNT_POINT OPTIONS [OPTIONAL...] - FS_TYPE SOURCE SUPER_OPTIONS */
int mountinfo_parse(char *line, struct mount_entry *ret_mount)
{
	struct mount_entry m = { 0 };
	char *at = line, *field;

	for (int i = 0; i < 3; i++)
		if (!next_field(&at))
			return -EINVAL;
	m.root = next_field(&at);
	m.mount_point = next_field(&at);
	do {
		field = next_field(&at);
		if (!field)
			return -EINVAL;
	} while (strcmp(field, "-"));
	m.fs_type = next_field(&at);
	if (!m.root || !m.mount_point || !m.fs_type)
		return -EINVAL;
	unescape(m.root);
	unescape(m.mount_point);
	unescape(m.fs_type);
	*ret_mount = m;
	return 0;
}

int mountinfo_read(const char *path, mount_fn fn, void *arg)
{
	FILE *f = fopen(path, "re");
	struct mount_entry m;
	char *line = NULL;
	size_t cap = 0;
	ssize_t len;
	int err;

	if (!f)
		return -errno;
	while ((len = getline(&line, &cap, f)) > 0) {
		if (line[len - 1] == '\n')
			line[len - 1] = '\0';
		if (!mountinfo_parse(line, &m))
			fn(arg, &m);
	}
	err = ferror(f) ? -EIO : 0;
	free(line);
	fclose(f);
	return err;
}
