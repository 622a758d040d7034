/* SPDX-License-Identifier: Apache-2.0 */
#ifndef NSLENS_SYS_BPF_REFUSAL_H
#define NSLENS_SYS_BPF_REFUSAL_H

#include <stdbool.h>
#include <stddef.h>

#include "base/err.h"

/*
 * Why the kernel doesn't take BPF programs, in one line. libbpf tells it in many, on stderr: here
 * they are listened to instead. The environment variable NSLENS_DEBUG lets them through.
 */

/* What libbpf complained of first, of a program if it named one; then the verifier's last word. */
struct bpf_complaint {
	char program[32]; /* whose; "": not a program's */
	char text[256];	  /* one line; "": there was none */
	bool by_verifier;
};

/* From now on libbpf's words go here, in the whole process; what it said before is forgotten. */
void bpf_complaint_listen(void);
/* The complaint since then. */
const struct bpf_complaint *bpf_complaint_heard(void);
/* Take in one message of libbpf's. */
void bpf_complaint_take(struct bpf_complaint *c, const char *message);

/* All that explains a refusal. */
struct bpf_refusal {
	int err;	     /* negative errno */
	const char *missing; /* capabilities that this process lacks; "": none */
	bool has_btf;
	const char *release; /* of the kernel */
	const struct bpf_complaint *complaint;
};

/* "WHAT: why; what to do". Returns r->err, or another that tells more. */
int bpf_refusal_say(const struct bpf_refusal *r, const char *what, struct err *e);

/*
 * The same of this process and this kernel: @err came of loading what needs the @n capabilities
 * @caps.
 */
int bpf_refusal_explain(int err, const char *what, const unsigned int *caps, size_t n,
			struct err *e);

#endif
