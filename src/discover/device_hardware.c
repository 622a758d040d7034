// SPDX-License-Identifier: Apache-2.0
#include "discover/device_hardware.h"

#include <dirent.h>
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/quantity.h"

enum { TARGET_MAX = 512 };

static bool is_plain(const char *name)
{
	return *name && *name != '.' && !strchr(name, '/');
}

/* The last part of what the link @path points to. 0 or -errno. */
static int read_link(const char *path, char *ret, size_t size)
{
	char target[TARGET_MAX];
	ssize_t len = readlink(path, target, sizeof(target) - 1);
	const char *last;

	if (len < 0)
		return -errno;
	target[len] = '\0';
	last = strrchr(target, '/');
	last = last ? last + 1 : target;
	if (strlen(last) >= size)
		return -ENAMETOOLONG;
	memcpy(ret, last, strlen(last) + 1);
	return 0;
}

static int read_device_link(const char *sysfs, const char *bus_name, const char *address,
			    const char *name, char *ret, size_t size)
{
	char path[PATH_MAX];
	int len = snprintf(path, sizeof(path), "%s/bus/%s/devices/%s/%s", sysfs, bus_name, address,
			   name);

	if (!is_plain(bus_name) || !is_plain(address))
		return -EINVAL;
	if (len < 0 || (size_t)len >= sizeof(path))
		return -ENAMETOOLONG;
	return read_link(path, ret, size);
}

/* 0: @name is "virtfnN", of number *ret. */
static int parse_virtfn(const char *name, uint32_t *ret)
{
	static const char prefix[] = "virtfn";
	uint64_t number;

	if (strncmp(name, prefix, strlen(prefix)) ||
	    number_parse(name + strlen(prefix), UINT32_MAX, &number))
		return -EINVAL;
	*ret = (uint32_t)number;
	return 0;
}

/* Which function of its PF is at @address? */
static int find_number(const char *sysfs, const char *pf_bus, const char *address, uint32_t *ret)
{
	char path[PATH_MAX], bus[DEVICE_BUS_MAX];
	struct dirent *entry;
	int err = -ENOENT;
	uint32_t vf;
	DIR *dir;

	snprintf(path, sizeof(path), "%s/bus/pci/devices/%s", sysfs, pf_bus);
	dir = opendir(path);
	if (!dir)
		return -errno;
	while (err && (entry = readdir(dir))) {
		if (parse_virtfn(entry->d_name, &vf) ||
		    device_hardware_vf_bus(sysfs, pf_bus, vf, bus) || strcmp(bus, address))
			continue;
		*ret = vf;
		err = 0;
	}
	closedir(dir);
	return err;
}

void device_hardware_read(const char *sysfs, const char *bus_name, const char *address,
			  struct device_hardware *ret)
{
	memset(ret, 0, sizeof(*ret));
	if (read_device_link(sysfs, bus_name, address, "driver", ret->driver, sizeof(ret->driver)))
		*ret->driver = '\0';
	if (strcmp(bus_name, "pci") ||
	    read_device_link(sysfs, "pci", address, "physfn", ret->pf_bus, sizeof(ret->pf_bus)))
		return;
	ret->is_vf = true;
	if (find_number(sysfs, ret->pf_bus, address, &ret->vf))
		*ret->pf_bus = '\0';
}

int device_hardware_vf_bus(const char *sysfs, const char *pf_bus, uint32_t vf, char *ret_bus)
{
	char name[sizeof("virtfn4294967295")];

	snprintf(name, sizeof(name), "virtfn%u", vf);
	return read_device_link(sysfs, "pci", pf_bus, name, ret_bus, DEVICE_BUS_MAX);
}
