// SPDX-License-Identifier: Apache-2.0
/* What a kernel has to hook into, by BTF that is made up. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>

#include <bpf/btf.h>

#include "probe/hooks.h"

/* A function type with so many arguments; they are all of type 1. */
static int add_proto(struct btf *btf, unsigned int n_args)
{
	int id = btf__add_func_proto(btf, 1);

	while (n_args--)
		assert_int_equal(btf__add_func_param(btf, "a", 1), 0);
	return id;
}

/* As in the kernel: typedef void (*btf_trace_NAME)(void *, ...). */
static void add_tracepoint(struct btf *btf, const char *name, unsigned int n_args)
{
	int pointer = btf__add_ptr(btf, add_proto(btf, n_args + 1));

	assert_true(btf__add_typedef(btf, name, pointer) > 0);
}

static void add_function(struct btf *btf, const char *name, unsigned int n_args)
{
	assert_true(btf__add_func(btf, name, BTF_FUNC_GLOBAL, add_proto(btf, n_args)) > 0);
}

static struct btf *make_btf(unsigned int refused_args, unsigned int send_args)
{
	struct btf *btf = btf__new_empty();

	assert_int_equal(btf__add_int(btf, "int", 4, BTF_INT_SIGNED), 1);
	add_tracepoint(btf, "btf_trace_udp_fail_queue_rcv_skb", refused_args);
	add_function(btf, "inet_sendmsg", send_args);
	return btf;
}

static char why[HOOK_WHY_MAX];

static void tracepoints(void **state)
{
	struct btf *btf = make_btf(3, 3);

	assert_int_equal(hook_find(btf, "dgram_refused", "tp_btf/udp_fail_queue_rcv_skb", why), 0);
	assert_string_equal(why, "");
	assert_int_equal(hook_find(btf, "io_send", "tp_btf/sock_send_length", why), -ENOENT);
	assert_string_equal(why, "this kernel has no tracepoint sock_send_length");
	btf__free(btf);
}

static void tracepoint_that_tells_less(void **state)
{
	struct btf *btf = make_btf(2, 3);

	assert_int_equal(hook_find(btf, "dgram_refused", "tp_btf/udp_fail_queue_rcv_skb", why),
			 -ENOENT);
	assert_non_null(strstr(why, "tracepoint udp_fail_queue_rcv_skb tells less"));
	/* One that reads none of its arguments doesn't mind. */
	assert_int_equal(hook_find(btf, "other", "tp_btf/udp_fail_queue_rcv_skb", why), 0);
	btf__free(btf);
}

static void functions(void **state)
{
	struct btf *btf = make_btf(3, 3), *newer = make_btf(3, 4);

	assert_int_equal(hook_find(btf, "io_sent4", "?fexit/inet_sendmsg", why), 0);
	assert_int_equal(hook_find(btf, "io_sent4", "fentry/inet_sendmsg", why), 0);
	assert_int_equal(hook_find(newer, "io_sent4", "?fexit/inet_sendmsg", why), -ENOENT);
	assert_string_equal(why, "this kernel's function inet_sendmsg is another");
	assert_int_equal(hook_find(btf, "io_sent6", "?fexit/inet6_sendmsg", why), -ENOENT);
	assert_string_equal(why, "this kernel has no function inet6_sendmsg");
	btf__free(btf);
	btf__free(newer);
}

static void all_else_is_there(void **state)
{
	struct btf *btf = make_btf(3, 3);

	assert_int_equal(hook_find(btf, "a", "cgroup_skb/egress", why), 0);
	assert_int_equal(hook_find(btf, "a", "syscall", why), 0);
	assert_int_equal(hook_find(NULL, "a", "tp_btf/anything", why), 0);
	btf__free(btf);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(tracepoints),
		cmocka_unit_test(tracepoint_that_tells_less),
		cmocka_unit_test(functions),
		cmocka_unit_test(all_else_is_there),
	};

	return cmocka_run_group_tests_name("hooks", tests, NULL, NULL);
}
