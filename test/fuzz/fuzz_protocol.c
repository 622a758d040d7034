// SPDX-License-Identifier: Apache-2.0
// FUZZ-SOURCES: src/agent/protocol.c src/wire/printable.c src/wire/utf8.c
// FUZZ-SOURCES: src/base/buf.c src/base/err.c
// FUZZ-LIBS: -ljansson
#include <errno.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "agent/protocol.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_line(const struct err *e)
{
	if (!*e->text || strpbrk(e->text, "\n\r\033"))
		abort();
}

/* What is understood says the same when it is sent on. */
static void check_request(const char *text, size_t size)
{
	struct request r, again;
	struct buf line = { 0 };
	struct err e = { "" };
	int err = request_decode(text, size, &r, &e);

	if (err) {
		if (err != -EPROTO || r.filter)
			abort();
		check_line(&e);
		return;
	}
	request_encode(&r, &line);
	if (line.failed || request_decode(line.data, line.len, &again, &e))
		abort();
	if (strcmp(r.version, again.version) || strcmp(r.command, again.command) ||
	    strcmp(r.output, again.output) || r.columns != again.columns ||
	    r.colour != again.colour || r.no_args != again.no_args || !r.filter != !again.filter ||
	    (r.filter && strcmp(r.filter, again.filter)))
		abort();
	request_fini(&r);
	request_fini(&again);
	buf_fini(&line);
}

/* An answer is a welcome or one line; a refusal with any text in it is one, too. */
static void check_greeting(const char *text, size_t size)
{
	struct buf out = { 0 }, warnings = { 0 };
	struct err e = { "" };
	char *why = strndup(text, size);

	if (greeting_decode(text, size, NSLENS_VERSION, &warnings, &e))
		check_line(&e);
	if (warnings.len && strpbrk(warnings.data, "\r\033"))
		abort();
	greeting_encode(why, why, &out);
	if (out.failed || frame_length((unsigned char *)out.data) != out.len - FRAME_HEADER ||
	    greeting_decode(out.data + FRAME_HEADER, out.len - FRAME_HEADER, NULL, NULL, &e) !=
		    -EPROTO)
		abort();
	check_line(&e);
	free(why);
	buf_fini(&warnings);
	buf_fini(&out);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	check_request((const char *)data, size);
	check_greeting((const char *)data, size);
	return 0;
}
