/* SPDX-License-Identifier: Apache-2.0 */
/* The node's limits of connection tracking, set at start as kube-proxy sets them (its section
 * `conntrack` of KubeProxyConfiguration), in every mode. */
#ifndef VIPD_DAEMON_CONNTRACK_H
#define VIPD_DAEMON_CONNTRACK_H

#include <stdbool.h>
#include <stdint.h>

struct conntrack_limits {
	uint32_t max_per_core, min; /* entries; max_per_core 0 = left as it is */
	uint64_t tcp_established_ms, tcp_close_wait_ms, udp_ms, udp_stream_ms; /* 0 = left */
	bool tcp_be_liberal;
};

/* kube-proxy's defaults. */
struct conntrack_limits conntrack_defaults(void);
/* How many entries these limits mean for so many CPUs; 0 = left as it is. */
uint32_t conntrack_max(const struct conntrack_limits *limits, unsigned cpus);
/* Writes what differs, and logs it. What cannot be written (a container without the right to) is
 * logged with what to do, and no reason not to go on. */
void conntrack_setup(const struct conntrack_limits *limits);

#endif
