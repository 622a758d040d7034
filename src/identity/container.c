// SPDX-License-Identifier: Apache-2.0
#include "identity/container.h"

#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "base/base.h"

/* One name of a path; not NUL-terminated. */
struct name {
	const char *text;
	size_t len;
};

/* What stands before the id in a name that a runtime made. */
static const struct {
	const char *prefix, *runtime;
} runtime_prefixes[] = {
	{ "cri-containerd-", "containerd" },
	{ "cri-containerd:", "containerd" },
	{ "docker-", "docker" },
	{ "crio-", "cri-o" },
	{ "libpod-", "podman" },
	{ "nerdctl-", "containerd" },
};

/* What a bare id's parent directory is called. */
static const struct {
	const char *parent, *runtime;
} runtime_parents[] = {
	{ "docker", "docker" },
	{ "libpod_parent", "podman" },
	{ "k8s.io", "containerd" },
};

static bool name_is(struct name n, const char *text)
{
	return n.len == strlen(text) && !memcmp(n.text, text, n.len);
}

static bool name_begins(struct name n, const char *prefix)
{
	return n.len >= strlen(prefix) && !memcmp(n.text, prefix, strlen(prefix));
}

static struct name name_skip(struct name n, size_t len)
{
	return (struct name){ n.text + len, n.len - len };
}

static struct name name_without_suffix(struct name n, const char *suffix)
{
	size_t len = strlen(suffix);

	if (n.len >= len && !memcmp(n.text + n.len - len, suffix, len))
		n.len -= len;
	return n;
}

/* The name that ends where @end points; the one before it ends at its text - 1. */
static struct name name_before(const char *path, const char *end)
{
	const char *begin = end;

	while (begin > path && begin[-1] != '/')
		begin--;
	return (struct name){ begin, (size_t)(end - begin) };
}

static bool is_id(struct name n)
{
	if (n.len != CONTAINER_ID_LEN)
		return false;
	for (size_t i = 0; i < n.len; i++)
		if (!strchr("0123456789abcdef", n.text[i]) || !n.text[i])
			return false;
	return true;
}

/* With the systemd driver misconfigured a name is "SLICE:cri-containerd:ID". */
static struct name behind_slice(struct name n)
{
	const char *colon = memchr(n.text, ':', n.len);

	return colon && memchr(colon + 1, ':', (size_t)(n.text + n.len - colon - 1))
		       ? name_skip(n, (size_t)(colon + 1 - n.text))
		       : n;
}

/* Is @n, below @parent, the cgroup of a container? Then its id and runtime. */
static bool container_name(struct name n, struct name parent, struct container_ref *ref)
{
	ref->runtime = NULL;
	n = behind_slice(name_without_suffix(n, ".scope"));
	for (size_t i = 0; i < ARRAY_SIZE(runtime_prefixes); i++) {
		if (!name_begins(n, runtime_prefixes[i].prefix))
			continue;
		n = name_skip(n, strlen(runtime_prefixes[i].prefix));
		ref->runtime = runtime_prefixes[i].runtime;
		break;
	}
	if (!is_id(n))
		return false;
	for (size_t i = 0; !ref->runtime && i < ARRAY_SIZE(runtime_parents); i++)
		if (name_is(parent, runtime_parents[i].parent))
			ref->runtime = runtime_parents[i].runtime;
	memcpy(ref->id, n.text, n.len);
	return true;
}

/*
 * A uid is 36 characters, dashes written as underscores by the systemd driver; or 32 hex digits.
 */
static bool pod_uid(struct name n, char *uid)
{
	if (n.len > POD_UID_MAX || n.len < 32)
		return false;
	for (size_t i = 0; i < n.len; i++) {
		uid[i] = n.text[i] == '_' ? '-' : n.text[i];
		if (!uid[i] || !strchr("0123456789abcdef-", uid[i]))
			return false;
	}
	uid[n.len] = '\0';
	return true;
}

/* "pod<uid>", or "kubepods-besteffort-pod<uid>.slice". */
static bool pod_name(struct name n, char *uid)
{
	char text[POD_UID_MAX + 1];
	struct name rest;

	if (memchr(n.text, ':', n.len))
		n.len = (size_t)((const char *)memchr(n.text, ':', n.len) - n.text);
	n = name_without_suffix(n, ".slice");
	for (size_t i = 0; i + 3 < n.len; i++) {
		rest = name_skip(n, i);
		if ((i == 0 || n.text[i - 1] == '-') && name_begins(rest, "pod") &&
		    pod_uid(name_skip(rest, 3), text)) {
			memcpy(uid, text, sizeof(text));
			return true;
		}
	}
	return false;
}

bool container_parse(const char *path, struct container_ref *ret_ref)
{
	const char *end = path + strlen(path);
	struct container_ref ref = { 0 };
	struct name n, parent;
	bool found = false;

	for (; end > path; end = n.text - 1) {
		n = name_before(path, end);
		if (n.text == path)
			parent = (struct name){ path, 0 };
		else
			parent = name_before(path, n.text - 1);
		if (!found)
			found = container_name(n, parent, &ref);
		if (found && pod_name(n, ref.pod_uid))
			break;
		if (n.text == path)
			break;
	}
	if (found)
		*ret_ref = ref;
	return found;
}
