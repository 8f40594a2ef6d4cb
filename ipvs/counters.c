/* SPDX-License-Identifier: Apache-2.0 */
/* What the engine did so far, for metrics and tests. */
#include <inttypes.h>
#include <string.h>

#include "engine.h"

void engine_print_counters(struct backend *be, FILE *out)
{
	struct nl_counters traffic;

	be->kernel.ops->traffic(be->kernel.ctx, &traffic);
	fprintf(out,
		"kernel_writes %" PRIu64 "\nslices %" PRIu64 "\noperations %" PRIu64
		"\nfailures %" PRIu64 "\naudits %" PRIu64 "\ndrift %" PRIu64
		"\nrules_loads %" PRIu64 "\nflow_passes %" PRIu64 "\nflows_removed %" PRIu64
		"\nlower_us %" PRIu64 "\nkernel_us %" PRIu64 "\nservices %u\ndrains %zu\n",
		traffic.messages, be->counters.slices, be->counters.operations,
		be->counters.failures, be->counters.audits, be->counters.drift,
		be->counters.rules_loads, be->counters.flow_passes, be->counters.flows_removed,
		be->counters.lower_us, be->counters.kernel_us, HASH_COUNT(be->pic.services),
		be->pic.drains);
	fprintf(out,
		"rules_failed %" PRIu64 "\nnetlink_sends %" PRIu64 "\nnetlink_dumps %" PRIu64
		"\nnetlink_errors %" PRIu64 "\nnetlink_lost %" PRIu64 "\n",
		be->counters.rules_failed, traffic.sends, traffic.dumps, traffic.errors,
		traffic.lost);
	for (int i = 1; i < ENGINE_ERRNO_MAX; i++)
		if (be->counters.failed[i])
			fprintf(out, "failed_%s %" PRIu64 "\n",
				strerrorname_np(i) ? strerrorname_np(i) : "UNKNOWN",
				be->counters.failed[i]);
}
