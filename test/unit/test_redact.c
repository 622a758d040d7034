// SPDX-License-Identifier: Apache-2.0
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "base/base.h"
#include "base/buf.h"
#include "identity/redact.h"

/* Arguments are written with '|' between them. Compare what redact_args() makes of @in. */
static void expect_cut(const char *in, const char *want, bool cut)
{
	struct buf data = { 0 }, got = { 0 };
	unsigned int n;
	char **args;

	buf_adds(&data, in);
	for (size_t i = 0; i < data.len; i++)
		if (data.data[i] == '|')
			data.data[i] = '\0';
	args = redact_args(data.data, data.len + !cut, cut, &n);
	for (unsigned int i = 0; i < n; i++) {
		buf_addf(&got, "%s%s", i ? "|" : "", args[i]);
		free(args[i]);
	}
	free(args);
	assert_string_equal(got.data ? got.data : "", want);
	buf_fini(&data);
	buf_fini(&got);
}

static void expect(const char *in, const char *want)
{
	expect_cut(in, want, false);
}

static void keeps_what_is_no_secret(void **state)
{
	static const char *const lines[] = {
		"curl|-s|https://example.com/a?b=c&d=e",
		"ssh|-p|2222|git@example.com",
		"docker|run|-p|8080:80|images.example.com:5000/token-server:1.2",
		"etcd|--key-file=/etc/k.pem|--client-key=/etc/c.key",
		"login|--password-file|/run/p|--token-url=https://a.example/t",
		"git|clone|ssh://git@example.com/x.git",
		"sh|-c|echo hello; ls -l /tmp",
		"nginx: worker process",
		"env|PWD=/srv/x|LANG=C",
		"grep|author|--no-password|x",
		"prog|--auth=true|--id=3fa85f64-5717-4562-b3fc-2c963f66afa6",
		"sha|9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08",
		"time|10:20:30|a=b|--x=y",
	};

	for (size_t i = 0; i < ARRAY_SIZE(lines); i++)
		expect(lines[i], lines[i]);
}

static void redacts_options(void **state)
{
	expect("a|--password=hunter2|x", "a|--password=[redacted]|x");
	expect("a|--password=two words|x", "a|--password=[redacted]|x");
	expect("a|--password=a;b&c,d", "a|--password=[redacted]");
	expect("a|--db-password|hunter2|x", "a|--db-password|[redacted]|x");
	expect("a|-password|-hunter2", "a|-password|[redacted]");
	expect("a|--token|--verbose|x", "a|--token|--verbose|x");
	expect("a|--api-key=abc|--apiKey|abc", "a|--api-key=[redacted]|--apiKey|[redacted]");
	expect("a|--api_key|k|--x-secret|k", "a|--api_key|[redacted]|--x-secret|[redacted]");
	expect("java|-Dspring.datasource.password=s3|-jar|x.jar",
	       "java|-Dspring.datasource.password=[redacted]|-jar|x.jar");
	expect("nmcli|device|wifi|connect|net|password|s3",
	       "nmcli|device|wifi|connect|net|password|[redacted]");
	expect("openssl|rsa|-passin|pass:s3", "openssl|rsa|-passin|[redacted]");
	expect("openssl|rsa|-in|pass:s3", "openssl|rsa|-in|pass:[redacted]");
}

static void redacts_assignments(void **state)
{
	expect("env|DB_PASSWORD=x|AWS_SECRET_ACCESS_KEY=abc/def+|prog",
	       "env|DB_PASSWORD=[redacted]|AWS_SECRET_ACCESS_KEY=[redacted]|prog");
	expect("docker|run|-e|MYSQL_ROOT_PASSWORD=x|--env=TOKEN=y,z",
	       "docker|run|-e|MYSQL_ROOT_PASSWORD=[redacted]|--env=TOKEN=[redacted]");
	expect("a|Server=db;Uid=sa;Pwd=s3;Encrypt=no", "a|Server=db;Uid=sa;Pwd=[redacted]");
	expect("a|{\"user\":\"u\",\"password\":\"a b\",\"n\":1}",
	       "a|{\"user\":\"u\",\"password\":[redacted],\"n\":1}");
	expect("a|{\"user\": \"u\", \"password\": \"a b\"}",
	       "a|{\"user\": \"u\", \"password\": [redacted]");
}

static void redacts_headers(void **state)
{
	expect("curl|-H|Authorization: Bearer abc.def", "curl|-H|Authorization: [redacted]");
	expect("curl|-H|X-Api-Key:abc", "curl|-H|X-Api-Key:[redacted]");
	expect("curl|-H|Cookie: a=b; c=d|x", "curl|-H|Cookie: [redacted]|x");
	expect("curl|-H|Accept: text/html", "curl|-H|Accept: text/html");
	expect("a|Bearer|abc", "a|Bearer|[redacted]");
}

static void redacts_urls(void **state)
{
	expect("psql|postgres://bob:s3@db.example/x",
	       "psql|postgres://bob:[redacted]@db.example/x");
	expect("psql|postgres://bob:p/w@x@db/x", "psql|postgres://bob:[redacted]@db/x");
	expect("git|amqp://0123456789abcdef0123@example.com/x",
	       "git|amqp://[redacted]@example.com/x");
	expect("curl|https://a.example/?user=u&token=abc&x=1#f",
	       "curl|https://a.example/?user=u&token=[redacted]&x=1#f");
	expect("curl|--proxy=socks5://u:p@proxy:3128",
	       "curl|--proxy=socks5://u:[redacted]@proxy:3128");
}

static void redacts_short_options(void **state)
{
	expect("/usr/bin/mysql|-u|root|-ps3|db", "/usr/bin/mysql|-u|root|-p[redacted]|db");
	expect("mysqldump|-p|s3|db", "mysqldump|-p|[redacted]|db");
	expect("sudo|mariadb-admin|-ps3", "sudo|mariadb-admin|-p[redacted]");
	expect("redis-cli|-h|h|-a|s3", "redis-cli|-h|h|-a|[redacted]");
	expect("curl|-u|bob:s3|-sSu|bob:s3|-ubob:s3",
	       "curl|-u|bob:[redacted]|-sSu|bob:[redacted]|-ubob:[redacted]");
	expect("curl|--user|bob:s3", "curl|--user|bob:[redacted]");
	expect("docker|login|-u|bob|-p|s3|r.example",
	       "docker|login|-u|bob|-p|[redacted]|r.example");
	expect("sshpass|-ps3|ssh|-p|22|h", "sshpass|-p[redacted]|ssh|-p|[redacted]|h");
}

static void redacts_known_tokens(void **state)
{
	expect("a|x=AKIAIOSFODNN7EXAMPLE;b", "a|x=[redacted];b");
	expect("a|eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.c2ln", "a|[redacted]");
	expect("a|ghp_0123456789abcdef0123456789abcdef0123", "a|[redacted]");
	expect("a|hooks.slack.com/services/T0/B0/abcdefgh", "a|[redacted]");
	expect("a|-----BEGIN RSA PRIVATE KEY-----\nabc\n-----END", "a|[redacted]");
}

static void looks_into_shell_lines(void **state)
{
	expect("sh|-c|mysql -ps3 db; echo ok", "sh|-c|mysql -p[redacted] db; echo ok");
	expect("sh|-c|FOO_TOKEN='a b' prog", "sh|-c|FOO_TOKEN=[redacted] prog");
	expect("sh|-c|curl -H \"Authorization: Bearer a\" x",
	       "sh|-c|curl -H \"Authorization: [redacted]\" x");
	expect("sh|-c|su - u -c 'mysql \"-ps3\"'", "sh|-c|su - u -c 'mysql \"-p[redacted]\"'");
	expect("sh|-c|p --password \"a b\" --x y", "sh|-c|p --password [redacted] --x y");
	expect("sh|-c|echo {\\\"password\\\": \\\"a\\\"}",
	       "sh|-c|echo {\\\"password\\\": [redacted]");
}

static void marks_what_was_cut(void **state)
{
	expect_cut("a|long arg", "a|long arg...", true);
	expect_cut("a|b|", "a|b|...", true);
	expect_cut("a|--password=hun", "a|--password=[redacted]...", true);
	expect_cut("a|postgres://bob:s3", "a|postgres://bob:[redacted]...", true);
	expect_cut("a|ws://bob:8080/x", "a|ws://bob:8080/x...", true);
	expect_cut("a|eyJhb", "a|[redacted]...", true);
	expect_cut("sh|-c|x \"mysql -ps3", "sh|-c|x \"mysql -p[redacted]...", true);
}

static void leaves_out_empty_ends(void **state)
{
	unsigned int n = 1;

	expect("title|||", "title");
	expect("a||b", "a||b");
	assert_null(redact_args("", 0, false, &n));
	assert_int_equal(n, 0);
	assert_null(redact_args("\0\0", 2, false, &n));
	assert_int_equal(n, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(keeps_what_is_no_secret),
		cmocka_unit_test(redacts_options),
		cmocka_unit_test(redacts_assignments),
		cmocka_unit_test(redacts_headers),
		cmocka_unit_test(redacts_urls),
		cmocka_unit_test(redacts_short_options),
		cmocka_unit_test(redacts_known_tokens),
		cmocka_unit_test(looks_into_shell_lines),
		cmocka_unit_test(marks_what_was_cut),
		cmocka_unit_test(leaves_out_empty_ends),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
