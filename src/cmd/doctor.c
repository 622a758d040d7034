// SPDX-License-Identifier: Apache-2.0
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "agent/doctor.h"
#include "cmd/command.h"
#include "cmd/option.h"
#include "wire/jsonw.h"

/* `nslens doctor`: what works here, what falls back to what, what is missing and how to get it. */

enum output { OUTPUT_TEXT, OUTPUT_JSON };

struct doctor_options {
	enum output output;
};

static const char *const outputs[] = { "text", "json", NULL };

static const struct option_row rows[] = {
	{
		.name = "output",
		.letter = 'o',
		.kind = OPTION_CHOICE,
		OPTION_AT(struct doctor_options, output),
		.choices = outputs,
		.fallback = "text",
		.help = "a table, or one object a line",
	},
	{ 0 },
};

static const struct option_table options = { .command = &cmd_doctor, .rows = rows };

/* The verdict is the last line, in the form of a check. */
static struct doctor_finding conclude(const struct doctor_finding *findings, size_t n)
{
	struct doctor_finding verdict = { .check = "nslens", .required = true };
	size_t counts[N_DOCTOR_STATES] = { 0 };

	for (size_t i = 0; i < n; i++)
		counts[findings[i].state]++;
	if (counts[DOCTOR_MISSING]) {
		verdict.state = DOCTOR_MISSING;
		snprintf(verdict.found, sizeof(verdict.found),
			 "can't work here: %zu missing, %zu unknown", counts[DOCTOR_MISSING],
			 counts[DOCTOR_UNKNOWN]);
	} else if (counts[DOCTOR_FALLBACK]) {
		snprintf(verdict.found, sizeof(verdict.found), "works here, with %zu fallback%s",
			 counts[DOCTOR_FALLBACK], counts[DOCTOR_FALLBACK] > 1 ? "s" : "");
	} else {
		snprintf(verdict.found, sizeof(verdict.found), "works here, with everything");
	}
	return verdict;
}

static bool is_lacking(const struct doctor_finding *f)
{
	return f->state == DOCTOR_FALLBACK || f->state == DOCTOR_MISSING;
}

static void add_text(struct buf *b, const struct doctor_finding *f, int width)
{
	buf_addf(b, "%-8s  %-*s  %s\n", doctor_state_names[f->state], width, f->check, f->found);
	if (!is_lacking(f))
		return;
	if (f->without)
		buf_addf(b, "%10swithout it: %s\n", "", f->without);
	if (f->remedy)
		buf_addf(b, "%10show to get it: %s\n", "", f->remedy);
}

static void add_json(struct buf *b, const struct doctor_finding *f, uint64_t ts_ns)
{
	struct jsonw j = jsonw_on(b);
	char host[256] = "";

	gethostname(host, sizeof(host) - 1);
	jsonw_object_begin(&j);
	jsonw_member_time(&j, "@timestamp", ts_ns);
	jsonw_member_object(&j, "event");
	jsonw_member_string(&j, "kind", "state");
	jsonw_member_string(&j, "dataset", "nslens.doctor");
	jsonw_member_string(&j, "outcome", f->state == DOCTOR_OK ? "success" : "failure");
	jsonw_object_end(&j);
	jsonw_member_object(&j, "host");
	jsonw_member_string(&j, "name", host);
	jsonw_object_end(&j);
	jsonw_member_object(&j, "doctor");
	jsonw_member_string(&j, "check", f->check);
	jsonw_member_string(&j, "state", doctor_state_names[f->state]);
	jsonw_member_bool(&j, "required", f->required);
	jsonw_member_string(&j, "found", f->found);
	if (is_lacking(f)) {
		jsonw_member_string(&j, "without", f->without);
		jsonw_member_string(&j, "remedy", f->remedy);
	}
	jsonw_object_end(&j);
	jsonw_object_end(&j);
	jsonw_line_end(&j);
}

static void add_all(struct buf *b, const struct doctor_finding *findings, size_t n,
		    enum output output)
{
	struct doctor_finding verdict = conclude(findings, n);
	struct timespec now;
	uint64_t ts_ns;
	int width = 0;

	clock_gettime(CLOCK_REALTIME, &now);
	ts_ns = (uint64_t)now.tv_sec * NS_PER_SEC + (uint64_t)now.tv_nsec;
	for (size_t i = 0; i < n; i++)
		if ((int)strlen(findings[i].check) > width)
			width = (int)strlen(findings[i].check);
	for (size_t i = 0; i <= n; i++) {
		const struct doctor_finding *f = i < n ? &findings[i] : &verdict;

		if (output == OUTPUT_JSON)
			add_json(b, f, ts_ns);
		else
			add_text(b, f, width);
	}
}

static int run(int argc, char **argv)
{
	struct doctor_options o = { 0 };
	struct doctor_finding *findings = NULL;
	int status = option_start(&options, argv, &o, NULL);
	struct buf out = { 0 };
	size_t n;

	if (status >= 0)
		return status;
	n = doctor_examine(&findings);
	if (n)
		add_all(&out, findings, n, o.output);
	if (!n || out.failed) {
		command_error("doctor", "out of memory");
		status = EXIT_FAILED;
	} else {
		status = conclude(findings, n).state == DOCTOR_OK ? EXIT_DONE : EXIT_FAILED;
		if (fwrite(out.data, 1, out.len, stdout) < out.len || fflush(stdout)) {
			command_error("doctor", "writing the findings: %m");
			status = EXIT_FAILED;
		}
	}
	free(findings);
	buf_fini(&out);
	return status;
}

const struct command cmd_doctor = {
	.name = "doctor",
	.usage = "[OPTION...]",
	.summary = "what this kernel and these privileges allow, and how to get what is missing",
	.run = run,
};
