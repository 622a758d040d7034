// SPDX-License-Identifier: Apache-2.0
#include "query/subject_device.h"

#include "identity/container.h"

static void set_text(struct filter_value *v, const char *text)
{
	v->kind = FILTER_VALUE_TEXT;
	v->text = text;
}

static void set_number(struct filter_value *v, uint64_t number)
{
	v->kind = FILTER_VALUE_NUMBER;
	v->number = number;
}

/* All its names, its inode, its cookie. */
static bool netns_value(const struct device_subject *s, unsigned int i, struct filter_value *v)
{
	unsigned int n_names = s->netns ? s->netns->n_names : 0;

	if (i < n_names)
		set_text(v, s->netns->names[i]);
	else if (i == n_names)
		set_number(v, s->device->id.netns_cookie);
	else if (s->netns)
		set_number(v, s->netns->inode);
	return i < n_names + 2;
}

/* The container of cgroup number @i, if it has one. */
static bool container_value(const struct device_subject *s, unsigned int i, struct filter_value *v)
{
	static _Thread_local struct container_ref ref; /* until the next value is asked for */

	if (i >= s->n_cgroups)
		return false;
	if (container_parse(s->cgroups[i], &ref))
		set_text(v, ref.id);
	return true;
}

static bool cgroup_value(const struct device_subject *s, unsigned int i, struct filter_value *v)
{
	if (i >= s->n_cgroups)
		return false;
	set_text(v, s->cgroups[i]);
	return true;
}

/* "" is unknown. */
static bool name_value(const char *name, unsigned int i, struct filter_value *v)
{
	if (*name)
		set_text(v, name);
	return i < 1;
}

static bool device_value(const void *subject, enum filter_field field, enum filter_side side,
			 unsigned int i, struct filter_value *v)
{
	const struct device_subject *s = subject;

	switch (field) {
	case FILTER_DEVICE: return name_value(s->device->name, i, v);
	case FILTER_KIND: return name_value(s->device->kind, i, v);
	case FILTER_DRIVER: return name_value(s->device->driver, i, v);
	case FILTER_NETNS: return netns_value(s, i, v);
	case FILTER_CONTAINER: return container_value(s, i, v);
	case FILTER_CGROUP: return cgroup_value(s, i, v);
	default: /* the model knows no pod yet */ return false;
	}
}

const struct filter_subject filter_subject_device = {
	.what = "a device",
	.fields = 1U << FILTER_DEVICE | 1U << FILTER_KIND | 1U << FILTER_DRIVER |
		  1U << FILTER_NETNS | 1U << FILTER_CONTAINER | 1U << FILTER_POD |
		  1U << FILTER_CGROUP,
	.value = device_value,
};
