/* SPDX-License-Identifier: Apache-2.0 */
#ifndef NSLENS_QUERY_SUBJECT_FLOW_H
#define NSLENS_QUERY_SUBJECT_FLOW_H

#include "model/event.h"
#include "query/filter.h"

/*
 * A flow event as a filter's subject: filter_compile(text, &filter_subject_flow, ...),
 * filter_match(f, flow event).
 *
 * process, pid, uid, container and cgroup of an end are those of its last process and of the one
 * that opened it.
 */
extern const struct filter_subject filter_subject_flow;

/*
 * Does a finding pass a filter that was compiled for flows? Its device and namespace count as those
 * of either end; of the other fields it has no value.
 */
bool finding_match(const struct filter *f, const struct finding_event *finding);

/* "in", "out", "local". */
extern const char *const filter_direction_names[N_DIRECTIONS];

/*
 * Where a conversation went, as seen from this host: LOCAL if both ends were seen here, or the
 * addresses allow nothing else (a loopback address, or the same address at both ends); OUT if only
 * the source was seen here; IN if only the destination was. False if neither was seen by a socket:
 * then it has no direction.
 */
bool flow_direction(const struct flow_event *flow, enum filter_direction *ret);

#endif
