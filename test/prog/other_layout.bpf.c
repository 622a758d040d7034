// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* For test_take_over.c: the device probe of another version of nslens, with larger counts. */
#define DEVICE_SPARE 10
#include "probe/device/device.bpf.c"
