// SPDX-License-Identifier: Apache-2.0
// FUZZ-SOURCES: src/identity/redact.c src/base/buf.c
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "identity/redact.h"

#define SECRET "ZqSecretqZ"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* @want: may the secret be in what comes out? */
static void redact(const char *args, size_t len, bool cut, bool secret_allowed)
{
	unsigned int n;
	char **out = redact_args(args, len, cut, &n);

	for (unsigned int i = 0; i < n; i++) {
		if (!secret_allowed && strstr(out[i], SECRET))
			abort();
		free(out[i]);
	}
	free(out);
}

/* Whatever stands before an option with a password, its value does not come through. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const char *const tails[] = { " --password=" SECRET, " DB_TOKEN=" SECRET,
					     "\0--password=" SECRET, "\0Authorization: " SECRET,
					     "\0amqp://u:" SECRET "@h" };
	static const size_t lengths[] = { 22, 20, 22, 26, 22 };
	char *args;

	if (!size || memmem(data, size, SECRET, sizeof(SECRET) - 1))
		return 0;
	redact((const char *)data, size, data[0] & 1, true);
	args = malloc(size + 32);
	memcpy(args, data, size);
	for (size_t i = 0; i < 5; i++) {
		memcpy(args + size, tails[i], lengths[i]);
		redact(args, size + lengths[i], data[0] & 1, false);
	}
	free(args);
	return 0;
}
