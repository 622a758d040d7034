// SPDX-License-Identifier: Apache-2.0
// FUZZ-SOURCES: src/identity/decode.c src/identity/redact.c src/identity/container.c
// FUZZ-SOURCES: src/base/buf.c src/model/process.c
#include <errno.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "identity/container.h"
#include "identity/decode.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* What is accepted is whole: a path is absolute or marked as cut, and holds each name once. */
static void check_process(const struct rec_hdr *rec, size_t size)
{
	const struct rec_process *r = (const struct rec_process *)rec;
	struct process *p;

	if (decode_process(rec, size, true, &p))
		return;
	if (p->n_ref != 1 || !p->pid || (r->exe_len != 0) != (p->executable != NULL))
		abort();
	if (p->executable && strlen(p->executable) != r->exe_len + (*p->executable == '.' ? 3U : 0))
		abort();
	process_unref(p);
}

static void check_cgroup(const struct rec_hdr *rec, size_t size)
{
	const struct rec_cgroup *r;
	const char *path;

	if (!decode_cgroup(rec, size, &r, &path) && path + r->path_len != (const char *)rec + size)
		abort();
}

static void check_container(const uint8_t *data, size_t size)
{
	char *path = malloc(size + 1);
	struct container_ref ref;

	memcpy(path, data, size);
	path[size] = '\0';
	if (container_parse(path, &ref) &&
	    (strlen(ref.id) != CONTAINER_ID_LEN || !strstr(path, ref.id)))
		abort();
	free(path);
}

/* As it is, and with the size in the header made right, for that is seldom guessed. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct rec_hdr *rec;

	check_container(data, size);
	if (size < sizeof(*rec) || size > UINT16_MAX)
		return 0;
	rec = malloc(size);
	memcpy(rec, data, size);
	check_process(rec, size);
	check_cgroup(rec, size);
	rec->size = (uint16_t)size;
	check_process(rec, size);
	check_cgroup(rec, size);
	free(rec);
	return 0;
}
