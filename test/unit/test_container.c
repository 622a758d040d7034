// SPDX-License-Identifier: Apache-2.0
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "base/base.h"
#include "identity/container.h"

#define ID "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"
#define OUTER "ffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff"
#define UID "3fa85f64-5717-4562-b3fc-2c963f66afa6"
#define UID_ "3fa85f64_5717_4562_b3fc_2c963f66afa6"

static const struct {
	const char *path, *runtime, *pod_uid;
} found[] = {
	{ "/kubepods.slice/kubepods-burstable.slice/kubepods-burstable-pod" UID_
	  ".slice/cri-containerd-" ID ".scope",
	  "containerd", UID },
	{ "/kubepods.slice/kubepods-pod" UID_ ".slice/crio-" ID ".scope", "cri-o", UID },
	{ "/kubepods/burstable/pod" UID "/" ID, NULL, UID },
	{ "/kubepods/pod" UID "/crio-" ID, "cri-o", UID },
	{ "/kubepods/besteffort/pod0123456789abcdef0123456789abcdef/" ID, NULL,
	  "0123456789abcdef0123456789abcdef" },
	{ "/docker/" ID, "docker", "" },
	{ "/system.slice/docker-" ID ".scope", "docker", "" },
	{ "/system.slice/docker-" ID ".scope/system.slice/nginx.service", "docker", "" },
	{ "/libpod_parent/libpod-" ID, "podman", "" },
	{ "/libpod_parent/" OUTER "/libpod-" ID, "podman", "" },
	{ "/machine.slice/libpod-" ID ".scope/container", "podman", "" },
	{ "/user.slice/user-1000.slice/user@1000.service/user.slice/libpod-" ID ".scope", "podman",
	  "" },
	{ "/docker/" OUTER "/kubelet/kubepods/burstable/pod" UID "/" ID, NULL, UID },
	{ "/docker/" OUTER "/kubelet.slice/kubelet-kubepods.slice/kubelet-kubepods-pod" UID_
	  ".slice/cri-containerd-" ID ".scope",
	  "containerd", UID },
	{ "/system.slice/containerd.service/kubepods-burstable-pod" UID_
	  ".slice:cri-containerd:" ID,
	  "containerd", UID },
	{ "/k8s.io/" ID, "containerd", "" },
	{ ID, NULL, "" },
};

static const char *const none[] = {
	"",
	"/",
	"//",
	"/system.slice/nginx.service",
	"/system.slice/docker.service",
	"/machine.slice/libpod-conmon-" ID ".scope",
	"/kubepods.slice/kubepods-burstable.slice",
	"/docker/0123456789abcdef",
	"/docker/" ID "0",
	"/docker/0123456789ABCDEF0123456789abcdef0123456789abcdef0123456789abcdef",
	"/user.slice/user-1000.slice/session-1.scope",
};

static void finds_the_innermost(void **state)
{
	struct container_ref ref;

	for (size_t i = 0; i < ARRAY_SIZE(found); i++) {
		memset(&ref, 0xa5, sizeof(ref));
		assert_true(container_parse(found[i].path, &ref));
		assert_string_equal(ref.id, ID);
		assert_string_equal(ref.pod_uid, found[i].pod_uid);
		if (found[i].runtime)
			assert_string_equal(ref.runtime, found[i].runtime);
		else
			assert_null(ref.runtime);
	}
}

static void finds_none(void **state)
{
	struct container_ref ref;

	for (size_t i = 0; i < ARRAY_SIZE(none); i++) {
		assert_false(container_parse(none[i], &ref));
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(finds_the_innermost),
		cmocka_unit_test(finds_none),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
