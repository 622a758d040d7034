// SPDX-License-Identifier: Apache-2.0
#include "sys/bpf_refusal.h"

#include <bpf/libbpf.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/utsname.h>
#include <unistd.h>

#include "sys/capability.h"
#include "sys/kernel_release.h"

static struct bpf_complaint heard;

/* --- libbpf's words --- */

/* Copy the line at @from, up to @end, without what can't stand in a line. */
static void take_line(char *to, size_t size, const char *from, const char *end)
{
	size_t n = 0;

	for (; from < end && *from && *from != '\n' && n + 1 < size; from++)
		to[n++] = (unsigned char)*from < ' ' || *from == 0x7f ? ' ' : *from;
	to[n] = '\0';
}

/* "prog 'NAME': TEXT": NAME to @c; returns TEXT. */
static const char *take_program(struct bpf_complaint *c, const char *text)
{
	static const char begin[] = "prog '", middle[] = "': ";
	const char *name = text + strlen(begin), *end;

	if (strncmp(text, begin, strlen(begin)))
		return text;
	end = strstr(name, middle);
	if (!end)
		return text;
	take_line(c->program, sizeof(c->program), name, end);
	return end + strlen(middle);
}

/* The verifier's reason is its last line before the figures. */
static void take_verifier_log(struct bpf_complaint *c, const char *log)
{
	const char *last = NULL, *line = log, *end;

	for (; line; line = end ? end + 1 : NULL) {
		end = strchr(line, '\n');
		if (!strncmp(line, "processed ", 10) || !strncmp(line, "-- END", 6))
			break;
		if (*line && *line != '\n' && strncmp(line, "-- BEGIN", 8))
			last = line;
	}
	if (!last)
		return;
	c->by_verifier = true;
	take_line(c->text, sizeof(c->text), last, last + strlen(last));
}

void bpf_complaint_take(struct bpf_complaint *c, const char *message)
{
	static const char failed[] = "BPF program load failed: ";
	struct bpf_complaint now = { 0 };
	const char *text = strncmp(message, "libbpf: ", 8) ? message : message + 8;

	text = take_program(&now, text);
	if (!strncmp(text, "-- BEGIN PROG LOAD LOG", 22)) {
		if (!c->by_verifier && !strcmp(now.program, c->program))
			take_verifier_log(c, text);
		return;
	}
	if (*c->program || (*c->text && !*now.program))
		return;
	if (!strncmp(text, failed, strlen(failed)))
		text += strlen(failed);
	take_line(now.text, sizeof(now.text), text, text + strlen(text));
	*c = now;
}

static int on_words(enum libbpf_print_level level, const char *fmt, va_list ap)
{
	const char *debug = getenv("NSLENS_DEBUG");
	char *message;

	if (vasprintf(&message, fmt, ap) < 0)
		return 0;
	if (level == LIBBPF_WARN)
		bpf_complaint_take(&heard, message);
	if (debug && *debug)
		fputs(message, stderr);
	free(message);
	return 0;
}

void bpf_complaint_listen(void)
{
	heard = (struct bpf_complaint){ 0 };
	libbpf_set_print(on_words);
}

const struct bpf_complaint *bpf_complaint_heard(void)
{
	return &heard;
}

/* --- one line --- */

int bpf_refusal_say(const struct bpf_refusal *r, const char *what, struct err *e)
{
	const struct bpf_complaint *c = r->complaint;
	unsigned int release = kernel_release_parse(r->release);
	/* What isn't said of a program is mostly not what a lack of permission comes of. */
	bool telling = *c->text && (*c->program || r->err != -EPERM);
	const char *why = telling ? c->text : strerror(-r->err);
	char program[64] = "BPF";

	if (*r->missing)
		return err_set(e, EPERM, "%s: this process lacks %s; run it as root", what,
			       r->missing);
	if (!r->has_btf)
		return err_set(e, ENOENT,
			       "%s: no BTF at /sys/kernel/btf/vmlinux; boot a kernel that is built "
			       "with CONFIG_DEBUG_INFO_BTF=y, and mount /sys",
			       what);
	if (*c->program)
		snprintf(program, sizeof(program), "BPF program %s", c->program);
	if (release && release < KERNEL_RELEASE_OLDEST)
		return err_set(
			e, -r->err,
			"%s: Linux %s is too old, and refuses %s: %s; use Linux 6.1 or later", what,
			r->release, program, why);
	if (r->err == -EPERM)
		return err_set(e, EPERM,
			       "%s: Linux %s does not permit %s here: %s; 'nslens doctor' says "
			       "what forbids it",
			       what, r->release, program, why);
	return err_set(e, -r->err,
		       "%s: Linux %s refuses %s: %s; 'nslens doctor' says what is missing, "
		       "NSLENS_DEBUG=1 shows all that the kernel said",
		       what, r->release, program, why);
}

int bpf_refusal_explain(int err, const char *what, const unsigned int *caps, size_t n,
			struct err *e)
{
	char missing[160];
	struct utsname u = { 0 };
	struct bpf_refusal r = {
		.err = err,
		.missing = missing,
		.has_btf = !access("/sys/kernel/btf/vmlinux", R_OK),
		.release = u.release,
		.complaint = &heard,
	};

	uname(&u);
	capability_missing(caps, n, missing, sizeof(missing));
	return bpf_refusal_say(&r, what, e);
}
