// SPDX-License-Identifier: Apache-2.0
#include "cmd/device_options.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/base.h"
#include "query/subject_device.h"

const char *const hook_order_names[] = { "first", "last", NULL };

enum { N_TEXTS = ARRAY_SIZE(((struct device_options *)NULL)->texts) };

static const struct {
	const char *option, *environment;
} sources[N_TEXTS] = {
	{ "--hook", "NSLENS_HOOK" },
	{ "--xdp", "NSLENS_XDP" },
	{ "--device-flows", "NSLENS_DEVICE_FLOWS" },
};

/* Lines are joined; those that begin with # are remarks. */
static void join_lines(char *text)
{
	bool remark = *text == '#';

	for (char *c = text; *c; c++) {
		if (*c == '\n')
			remark = c[1] == '#';
		if (*c == '\n' || remark)
			*c = ' ';
	}
}

/* What a filter's file says. */
static int read_file(const char *path, char **ret, struct err *e)
{
	char *text = calloc(1, FILTER_MAX_LEN + 2);
	FILE *f = text ? fopen(path, "re") : NULL;
	size_t n = f ? fread(text, 1, FILTER_MAX_LEN + 1, f) : 0;
	int err = 0;

	if (!text)
		return err_set(e, ENOMEM, "out of memory");
	if (!f || ferror(f))
		err = err_set(e, errno, "%s: %s", path, strerror(errno));
	else if (n > FILTER_MAX_LEN || strlen(text) != n)
		err = err_set(e, EINVAL, "%s: not a filter: too long, or not a text", path);
	if (f)
		fclose(f);
	join_lines(text);
	*ret = text;
	return err;
}

/* An option's value, or what the environment says in its place; NULL: neither. */
static int read_text(const char *option, const char *environment, char **ret, struct err *e)
{
	const char *value = option ? option : getenv(environment);

	*ret = NULL;
	if (!value || !*value)
		return 0;
	if (*value == '@')
		return read_file(value + 1, ret, e);
	*ret = strdup(value);
	return *ret ? 0 : err_set(e, ENOMEM, "out of memory");
}

static int check_text(const char *text, struct err *e)
{
	struct filter *f = NULL;
	int err = filter_compile(text, &filter_subject_device, &f, e);

	filter_free(f);
	return err;
}

int device_options_read(struct device_options *o, struct err *e)
{
	const char *const given[N_TEXTS] = { o->hook, o->xdp, o->flows };
	char *texts[N_TEXTS] = { 0 };
	struct err why;
	int err = 0;

	for (int i = 0; i < N_TEXTS && !err; i++) {
		err = read_text(given[i], sources[i].environment, &texts[i], &why)
			      ?: check_text(texts[i], &why);
		if (err)
			err_set(e, -err, "%s%s%s: %s", sources[i].option,
				given[i] && *given[i] == '@' ? " " : "",
				given[i] && *given[i] == '@' ? given[i] : "", why.text);
	}
	for (int i = 0; i < N_TEXTS; i++) {
		free(err ? texts[i] : o->texts[i]);
		if (!err)
			o->texts[i] = texts[i];
	}
	return err;
}

void device_options_apply(const struct device_options *o, struct device_keeper_options *to)
{
	to->hooks = true;
	to->hook = o->texts[0];
	to->xdp = o->texts[1];
	to->flows = o->texts[2];
	to->hooks_last = o->order == HOOKS_LAST;
	to->rtnl_percent = (unsigned int)o->rtnl_percent;
}

void device_options_fini(struct device_options *o)
{
	for (int i = 0; i < N_TEXTS; i++)
		free(o->texts[i]);
}
