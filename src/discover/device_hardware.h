/* SPDX-License-Identifier: Apache-2.0 */
#ifndef NSLENS_DISCOVER_DEVICE_HARDWARE_H
#define NSLENS_DISCOVER_DEVICE_HARDWARE_H

#include <stdbool.h>
#include <stdint.h>

#include "model/device.h"

/*
 * What sysfs knows of the hardware behind a device, by its bus address; which namespace the device
 * is in doesn't matter there. @sysfs is where sysfs is mounted ("/sys"). A bus name or an address
 * that is no plain name of a file is not looked up.
 */
struct device_hardware {
	char driver[DEVICE_DRIVER_MAX]; /* "": none is bound, or not known */
	bool is_vf;			/* a virtual function; of pf_bus, "" if that isn't known */
	char pf_bus[DEVICE_BUS_MAX];
	uint32_t vf; /* its number there */
};

/* What is at @address of bus @bus_name ("pci"). What isn't there is as if it were not known. */
void device_hardware_read(const char *sysfs, const char *bus_name, const char *address,
			  struct device_hardware *ret);

/*
 * The PCI address of virtual function number @vf of the PF at address @pf_bus. @ret_bus has
 * DEVICE_BUS_MAX bytes. 0 or -errno, -ENOENT if there is no such function.
 */
int device_hardware_vf_bus(const char *sysfs, const char *pf_bus, uint32_t vf, char *ret_bus);

#endif
