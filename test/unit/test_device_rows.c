// SPDX-License-Identifier: Apache-2.0
/*
 * Devices as JSON and as a table. The table is compared with test/golden/device_text.txt; --golden
 * prints what it is now, --lines the JSON of all samples for the check of the schema.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lib/golden.h"
#include "lib/sample_devices.h"
#include "wire/device_json.h"
#include "wire/device_text.h"
#include "wire/printable.h"

#define GOLDEN "test/golden/device_text.txt"

static struct wire_context context;
static struct device_row rows[N_SAMPLE_DEVICES];

static void print_table(struct buf *out, size_t from, size_t n)
{
	const struct device_row *chosen[N_SAMPLE_DEVICES];

	for (size_t i = 0; i < n; i++)
		chosen[i] = &rows[from + i];
	device_text(out, &context, chosen, n);
}

/* As without an agent: all for the same reason. */
static void print_alike(struct buf *out)
{
	struct device_row alike[2] = { rows[7], rows[7] };
	const struct device_row *chosen[] = { &alike[0], &alike[1] };

	alike[0].device = &sample_devices[4];
	device_text(out, &context, chosen, 2);
}

/* All, those that are counted whole, those that only the kernel counted, none. */
static void print_tables(struct buf *out)
{
	print_table(out, 0, N_SAMPLE_DEVICES);
	buf_addc(out, '\n');
	print_table(out, 3, 2);
	buf_addc(out, '\n');
	print_table(out, 7, 1);
	buf_addc(out, '\n');
	print_table(out, 0, 0);
	buf_addc(out, '\n');
	print_alike(out);
}

static void table_reads_as_the_golden_file(void **state)
{
	assert_golden(GOLDEN, print_tables);
}

static void table_lets_nobody_own_the_terminal(void **state)
{
	struct buf out = { 0 };

	print_table(&out, 0, N_SAMPLE_DEVICES);
	for (size_t i = 0; i < out.len; i++)
		assert_true(out.data[i] == '\n' || (out.data[i] >= 0x20 && out.data[i] < 0x7f));
	buf_fini(&out);
}

/* Up to the reason for what isn't covered; nobody's names are cut but those of machines. */
static void table_fits_a_terminal(void **state)
{
	struct buf out = { 0 };
	char *coverage;

	print_table(&out, 3, 2);
	coverage = strstr(out.data, "COVERAGE");
	assert_non_null(coverage);
	assert_true(coverage - out.data + strlen("COVERAGE") <= 100);
	buf_fini(&out);
}

static struct buf line_of(size_t i)
{
	struct buf out = { 0 };

	device_json(&out, &context, 1000000002, &rows[i]);
	assert_non_null(out.data);
	return out;
}

static void assert_holds(size_t i, const char *text)
{
	struct buf line = line_of(i);

	if (!strstr(line.data, text))
		fail_msg("no %s in %s", text, line.data);
	buf_fini(&line);
}

static void assert_lacks(size_t i, const char *text)
{
	struct buf line = line_of(i);

	if (strstr(line.data, text))
		fail_msg("%s in %s", text, line.data);
	buf_fini(&line);
}

#define HEAD                                                                                \
	"{\"@timestamp\":\"1970-01-01T00:00:01.000000002Z\",\"event\":{\"kind\":\"state\"," \
	"\"dataset\":\"nslens.device\"},\"host\":{\"name\":\"node-1\"},"

static void json_of_a_device(void **state)
{
	struct buf line = line_of(4);

	assert_string_equal(
		line.data, HEAD
		"\"netns\":{\"inode\":4026532290,\"cookie\":4097,\"name\":\"blue\"},"
		"\"device\":{\"name\":\"eth0\",\"ifindex\":2,\"kind\":\"veth\","
		"\"driver\":\"veth\",\"mtu\":1500,\"up\":true,\"stacked\":false,"
		"\"forwards\":false,\"peer\":{\"name\":\"veth1\",\"ifindex\":8,"
		"\"netns\":{\"inode\":4026531840,\"cookie\":1}},\"xdp_prog_id\":31},"
		"\"hooks\":[{\"point\":\"tcx/ingress\",\"state\":\"attached\","
		"\"removable\":false,\"link_id\":10,\"prog_id\":9,"
		"\"pin\":\"/sys/fs/bpf/nslens/device/1\","
		"\"since\":\"2026-01-01T12:00:00.345678901Z\",\"attach_delay_ns\":13000000,"
		"\"skbs\":120,\"bytes\":12000},"
		"{\"point\":\"tcx/egress\",\"state\":\"attached\","
		"\"removable\":false,\"link_id\":11,\"prog_id\":9,"
		"\"pin\":\"/sys/fs/bpf/nslens/device/1\","
		"\"since\":\"2026-01-01T12:00:00.345678901Z\",\"attach_delay_ns\":13000000,"
		"\"skbs\":120,\"bytes\":12000},"
		"{\"point\":\"xdp\",\"state\":\"attached\",\"mode\":\"native\","
		"\"removable\":false,\"link_id\":12,\"prog_id\":9,"
		"\"pin\":\"/sys/fs/bpf/nslens/device/1\","
		"\"since\":\"2026-01-01T12:00:00.345678901Z\",\"attach_delay_ns\":13000000,"
		"\"skbs\":120,\"bytes\":12000}],"
		"\"coverage\":{\"state\":\"full\",\"attach_delay_ns\":13000000,"
		"\"missed_packets\":0,\"unobserved_packets\":0},"
		"\"rx\":{\"skbs\":4812,\"skb_bytes\":481200,\"packets\":4812,\"bytes\":481200,"
		"\"multicast\":0,\"broadcast\":0,\"ipv4\":4812,\"ipv6\":0,\"arp\":0,\"other\":0,"
		"\"missed_packets\":0,\"unobserved_packets\":0,"
		"\"kernel_packets\":4812,\"kernel_bytes\":481200,\"kernel_dropped\":0,"
		"\"kernel_errors\":0},"
		"\"tx\":{\"skbs\":17,\"skb_bytes\":1700,\"packets\":17,\"bytes\":1700,"
		"\"multicast\":0,\"broadcast\":0,\"ipv4\":17,\"ipv6\":0,\"arp\":0,\"other\":0,"
		"\"missed_packets\":0,\"unobserved_packets\":0,"
		"\"kernel_packets\":17,\"kernel_bytes\":1700,\"kernel_dropped\":0,"
		"\"kernel_errors\":0}}\n");
	buf_fini(&line);
}

static void json_leaves_out_what_is_unknown(void **state)
{
	struct buf line = line_of(8);

	assert_string_equal(line.data, HEAD "\"netns\":{\"cookie\":4101},\"device\":{\"ifindex\":5,"
					    "\"up\":false,\"stacked\":false,\"forwards\":false},"
					    "\"hooks\":[],\"coverage\":{\"state\":\"none\"}}\n");
	buf_fini(&line);
	assert_lacks(7, "\"packets\"");
	assert_holds(7, "\"rx\":{\"kernel_packets\":0,");
	assert_holds(7, "\"peer\":{\"ifindex\":12}}");
	assert_holds(7, "\"coverage\":{\"state\":\"none\",\"reason\":\"no agent runs, and this "
			"command attaches nothing\"}");
}

static void json_names_relations(void **state)
{
	assert_holds(1, "\"vfs\":8");
	assert_lacks(1, "\"vf\":");
	assert_holds(3, "\"master\":{\"name\":\"br0\",\"ifindex\":7}");
	assert_holds(3, "\"forwards\":true");
	assert_holds(5,
		     "\"lower\":{\"name\":\"eth0\",\"ifindex\":2,\"netns\":{\"inode\":4026532290,"
		     "\"cookie\":4097,\"name\":\"blue\"}}");
	assert_holds(5, "\"stacked\":true");
	assert_holds(6, "\"parent_pf\":{\"name\":\"eth0\",\"ifindex\":2,"
			"\"netns\":{\"inode\":4026531840,\"cookie\":1}},\"vf\":0");
}

static void json_says_what_hooks_suffer(void **state)
{
	assert_holds(2, "\"mode\":\"clsact\",\"removable\":true");
	assert_holds(5, "{\"point\":\"tcx/ingress\",\"state\":\"waiting\"}");
	assert_holds(6, "\"state\":\"starved\",\"removable\":false,\"link_id\":13,\"prog_id\":9,"
			"\"before_prog_id\":17,");
	assert_holds(6, "{\"point\":\"xdp\",\"state\":\"failed\",\"reason\":\"its driver can't\"}");
	assert_holds(1, "\"missed_packets\":15,\"unobserved_packets\":0}");
	assert_holds(6, "\"missed_packets\":0,\"unobserved_packets\":120}");
}

static void print_lines(struct buf *out)
{
	for (size_t i = 0; i < N_SAMPLE_DEVICES; i++)
		device_json(out, &context, SAMPLE_NOW_NS, &rows[i]);
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(table_reads_as_the_golden_file),
		cmocka_unit_test(table_lets_nobody_own_the_terminal),
		cmocka_unit_test(table_fits_a_terminal),
		cmocka_unit_test(json_of_a_device),
		cmocka_unit_test(json_leaves_out_what_is_unknown),
		cmocka_unit_test(json_names_relations),
		cmocka_unit_test(json_says_what_hooks_suffer),
	};

	wire_context_init(&context, "node-1", SAMPLE_BOOT_NS);
	context.host_netns_cookie = SAMPLE_HOST_COOKIE;
	sample_device_rows(rows);
	if (argc > 1 && !strcmp(argv[1], "--lines"))
		return write_printed(print_lines);
	if (argc > 1 && !strcmp(argv[1], "--golden"))
		return write_printed(print_tables);
	return cmocka_run_group_tests_name("device_rows", tests, NULL, NULL);
}
