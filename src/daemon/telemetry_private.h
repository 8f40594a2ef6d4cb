/* SPDX-License-Identifier: Apache-2.0 */
/* The numbers of telemetry.h, shared by those who measure and those who print. */
#ifndef VIPD_DAEMON_TELEMETRY_PRIVATE_H
#define VIPD_DAEMON_TELEMETRY_PRIVATE_H

#include <uthash.h>

#include "daemon/metrics.h"
#include "daemon/telemetry.h"

#define TRIGGERS_MAX 1024 /* of changes under way; more are not measured, but counted */

/* A Service with a Local policy and endpoints elsewhere alone. */
struct no_local {
	char *key;
	unsigned inside[2], outside[2]; /* ports, by family */
	UT_hash_handle hh;
};

struct telemetry {
	struct telemetry_parts parts;
	uint64_t started_unix_us;
	bool source_complete, ipv6;
	bool in_pass, first_pass_over;
	uint64_t pass_mono_us;                  /* when the pass began */
	uint64_t queued_unix_us, done_unix_us;  /* last; 0 = never */
	uint64_t told_endpoints, told_services; /* changes of the cache that are in the kernel */
	struct histogram passes, full_passes, partial_passes, programming;
	int64_t triggers_ms[TRIGGERS_MAX];
	size_t n_triggers;
	uint64_t triggers_left_out;
	struct no_local *no_local;
	unsigned no_local_inside[2], no_local_outside[2]; /* sums */
	uint64_t answered[2][2];                          /* healthz, livez; 200, 503 */
};

static inline uint64_t telemetry_endpoint_changes(const struct cache *cache)
{
	return cache_changes(cache, OBJ_SLICE) + cache_changes(cache, OBJ_ENDPOINTS) +
	       cache_changes(cache, OBJ_POD);
}

#endif
