/* SPDX-License-Identifier: Apache-2.0 */
#ifndef NSLENS_QUERY_SUBJECT_SOCKET_H
#define NSLENS_QUERY_SUBJECT_SOCKET_H

#include "model/socket.h"
#include "query/filter.h"

/*
 * A struct socket_row as a filter's subject. Its sides are "local" and "peer"; process, pid, uid,
 * netns, container, cgroup and device stand on the local one. uid is that of the socket and those
 * of its processes; process, pid, container and cgroup those of all owners that the row keeps.
 */
extern const struct filter_subject filter_subject_socket;

#endif
