/* SPDX-License-Identifier: Apache-2.0 */
/* See conntrack.h. Names: Documentation/networking/nf_conntrack-sysctl.rst. */
#include <errno.h>
#include <inttypes.h>
#include <string.h>
#include <unistd.h>

#include "daemon/conntrack.h"
#include "log.h"
#include "sysctl.h"

#define MAX_CAP 1048576 /* above it the kernel's memory counts more than the limit */

struct conntrack_limits conntrack_defaults(void)
{
	return (struct conntrack_limits){
		.max_per_core = 32768,
		.min = 131072,
		.tcp_established_ms = UINT64_C(24) * 3600 * 1000,
		.tcp_close_wait_ms = UINT64_C(3600) * 1000,
	};
}

uint32_t conntrack_max(const struct conntrack_limits *limits, unsigned cpus)
{
	uint64_t max = (uint64_t)limits->max_per_core * cpus;

	if (!max)
		return 0;
	if (max > MAX_CAP)
		max = MAX_CAP;
	return max < limits->min ? limits->min : (uint32_t)max;
}

static void set(const char *name, uint64_t value)
{
	struct err err;

	if (value > INT32_MAX)
		value = INT32_MAX;
	if (sysctl_ensure(name, (int)value, &err) < 0)
		log_warn("a limit of connection tracking stays as it is: set it on the node, or "
			 "give 0 here",
			 "error=\"%s\"", err.text);
}

/* A quarter of the entries as buckets, as the kernel advises; it may only grow. */
static void set_buckets(uint32_t max)
{
	static const char path[] = "/sys/module/nf_conntrack/parameters/hashsize";
	int now;

	if (sysctl_read(path, &now) < 0 || now >= (int)(max / 4))
		return;
	if (sysctl_write(path, (int)(max / 4)) < 0)
		log_info("the table of connections keeps its buckets", "hashsize=%d", now);
}

void conntrack_setup(const struct conntrack_limits *limits)
{
	long cpus = sysconf(_SC_NPROCESSORS_ONLN);
	uint32_t max = conntrack_max(limits, cpus > 0 ? (unsigned)cpus : 1);
	const struct {
		const char *name;
		uint64_t ms;
	} times[] = {
		{"net/netfilter/nf_conntrack_tcp_timeout_established", limits->tcp_established_ms},
		{"net/netfilter/nf_conntrack_tcp_timeout_close_wait", limits->tcp_close_wait_ms},
		{"net/netfilter/nf_conntrack_udp_timeout", limits->udp_ms},
		{"net/netfilter/nf_conntrack_udp_timeout_stream", limits->udp_stream_ms},
	};

	if (max) {
		set("net/netfilter/nf_conntrack_max", max);
		set_buckets(max);
	}
	for (size_t i = 0; i < ARRAY_SIZE(times); i++)
		if (times[i].ms)
			set(times[i].name, times[i].ms / 1000);
	if (limits->tcp_be_liberal)
		set("net/netfilter/nf_conntrack_tcp_be_liberal", 1);
}
