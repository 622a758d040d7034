// SPDX-License-Identifier: Apache-2.0
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <errno.h>
#include <ftw.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "discover/device_hardware.h"

/* A sysfs of our own: a PF with functions 0 and 3, the latter bound to vfio-pci. */
static char root[] = "/tmp/nslens-sysfs-XXXXXX";

static void make_path(const char *path)
{
	char whole[512];

	snprintf(whole, sizeof(whole), "%s/%s/", root, path);
	for (char *slash = strchr(whole + 1, '/'); slash; slash = strchr(slash + 1, '/')) {
		*slash = '\0';
		assert_true(!mkdir(whole, 0700) || errno == EEXIST);
		*slash = '/';
	}
}

static void make_link(const char *path, const char *target)
{
	char whole[512];

	snprintf(whole, sizeof(whole), "%s/%s", root, path);
	assert_int_equal(symlink(target, whole), 0);
}

#define PCI "bus/pci/devices/"

static int make_tree(void **state)
{
	assert_non_null(mkdtemp(root));
	make_path(PCI "0000:01:00.0");
	make_path(PCI "0000:01:10.0");
	make_path(PCI "0000:01:11.4");
	make_path(PCI "0000:02:00.0");
	make_path("bus/virtio/devices/virtio2");
	make_link(PCI "0000:01:00.0/driver", "../../../../bus/pci/drivers/igb");
	make_link(PCI "0000:01:00.0/virtfn0", "../0000:01:10.0");
	make_link(PCI "0000:01:00.0/virtfn3", "../0000:01:11.4");
	make_link(PCI "0000:01:00.0/virtfnx", "../0000:02:00.0");
	make_link(PCI "0000:01:10.0/physfn", "../0000:01:00.0");
	make_link(PCI "0000:01:10.0/driver", "../../../../bus/pci/drivers/igbvf");
	make_link(PCI "0000:01:11.4/physfn", "../0000:01:00.0");
	make_link(PCI "0000:01:11.4/driver", "../../../../bus/pci/drivers/vfio-pci");
	make_link(PCI "0000:02:00.0/physfn", "../0000:01:00.0"); /* which doesn't know it */
	make_link("bus/virtio/devices/virtio2/driver", "../../../../bus/virtio/drivers/virtio_net");
	return 0;
}

static int remove_one(const char *path, const struct stat *s, int type, struct FTW *at)
{
	return remove(path);
}

static int remove_tree(void **state)
{
	return nftw(root, remove_one, 8, FTW_DEPTH | FTW_PHYS);
}

static void knows_a_pf(void **state)
{
	struct device_hardware hw;

	device_hardware_read(root, "pci", "0000:01:00.0", &hw);
	assert_string_equal(hw.driver, "igb");
	assert_false(hw.is_vf);
	assert_string_equal(hw.pf_bus, "");
}

static void knows_a_function_and_its_number(void **state)
{
	struct device_hardware hw;

	device_hardware_read(root, "pci", "0000:01:11.4", &hw);
	assert_string_equal(hw.driver, "vfio-pci");
	assert_true(hw.is_vf);
	assert_string_equal(hw.pf_bus, "0000:01:00.0");
	assert_int_equal(hw.vf, 3);
}

static void without_a_number_the_pf_is_not_known(void **state)
{
	struct device_hardware hw;

	device_hardware_read(root, "pci", "0000:02:00.0", &hw);
	assert_true(hw.is_vf);
	assert_string_equal(hw.pf_bus, "");
	assert_string_equal(hw.driver, "");
}

static void knows_other_buses(void **state)
{
	struct device_hardware hw;

	device_hardware_read(root, "virtio", "virtio2", &hw);
	assert_string_equal(hw.driver, "virtio_net");
	assert_false(hw.is_vf);
}

static void what_is_not_there_is_not_known(void **state)
{
	struct device_hardware hw;

	device_hardware_read(root, "pci", "0000:09:00.0", &hw);
	assert_string_equal(hw.driver, "");
	assert_false(hw.is_vf);
	device_hardware_read(root, "pci", "../devices/0000:01:00.0", &hw);
	assert_string_equal(hw.driver, "");
	device_hardware_read(root, "..", "x", &hw);
	assert_string_equal(hw.driver, "");
}

static void finds_functions_by_number(void **state)
{
	char bus[DEVICE_BUS_MAX];

	assert_int_equal(device_hardware_vf_bus(root, "0000:01:00.0", 3, bus), 0);
	assert_string_equal(bus, "0000:01:11.4");
	assert_int_equal(device_hardware_vf_bus(root, "0000:01:00.0", 1, bus), -ENOENT);
	assert_int_equal(device_hardware_vf_bus(root, "0000:01:10.0", 0, bus), -ENOENT);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(knows_a_pf),
		cmocka_unit_test(knows_a_function_and_its_number),
		cmocka_unit_test(without_a_number_the_pf_is_not_known),
		cmocka_unit_test(knows_other_buses),
		cmocka_unit_test(what_is_not_there_is_not_known),
		cmocka_unit_test(finds_functions_by_number),
	};

	return cmocka_run_group_tests_name("device_hardware", tests, make_tree, remove_tree);
}
