/* SPDX-License-Identifier: Apache-2.0 */
#ifndef NSLENS_TEST_GOLDEN_H
#define NSLENS_TEST_GOLDEN_H

#include <cmocka.h>
#include <stdio.h>

#include "base/buf.h"

/*
 * Text for people, compared with a file of test/golden that a person has read. Found from the top
 * of the repository, where tests run.
 */

/* Fails unless what @print adds is what the file at @path holds. */
static inline void assert_golden(const char *path, void (*print)(struct buf *out))
{
	struct buf got = { 0 }, want = { 0 };
	FILE *file = fopen(path, "r");
	char part[4096];
	size_t n;

	assert_non_null(file);
	while ((n = fread(part, 1, sizeof(part), file)))
		buf_add(&want, part, n);
	fclose(file);
	print(&got);
	assert_string_equal(got.data, want.data);
	buf_fini(&got);
	buf_fini(&want);
}

/* Writes what @print adds to stdout. Returns 0, to exit with. */
static inline int write_printed(void (*print)(struct buf *out))
{
	struct buf out = { 0 };

	print(&out);
	fwrite(out.data, 1, out.len, stdout);
	buf_fini(&out);
	return 0;
}

#endif
