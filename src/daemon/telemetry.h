/* SPDX-License-Identifier: Apache-2.0 */
/* What the daemon knows of its own work: measured as it happens, told as metrics, health and
 * status.
 *
 * In the flow: sync tells what happened and when; node_http asks. Prints what was counted or
 * measured, and what the stages answer at that moment; changes nothing of theirs. A pass is all
 * work from a change of the source until nothing is left to do; it is of both families. */
#ifndef VIPD_DAEMON_TELEMETRY_H
#define VIPD_DAEMON_TELEMETRY_H

#include "backend.h"
#include "daemon/health.h"
#include "daemon/node_http.h"
#include "daemon/options.h"
#include "daemon/status.h"
#include "model/cache.h"
#include "model/claims.h"
#include "model/desired.h"

#define TELEMETRY_PROBLEMS_MAX 200 /* told by name; the others are a number */

/* Time that the loop spent at work, and its longest turn. */
struct turns {
	uint64_t start_us, busy_us, longest_us;
};

/* Whom to ask; all live longer than the telemetry. */
struct telemetry_parts {
	const struct options *options;
	const struct cache *cache;
	const struct model *model;
	const struct claims *claims;
	struct status *status;
	const struct health *health;
	const struct backend_ops *ops;
	struct backend *be; /* NULL = there is none */
	const struct turns *cpu_turns, *wall_turns;
	const uint64_t *desired_us; /* time spent on computing what is wanted */
};

struct telemetry_times {
	uint64_t mono_us, unix_us;
};
struct telemetry_times telemetry_now(void);

struct telemetry;

/* NULL without memory. */
struct telemetry *telemetry_new(struct telemetry_times now);
void telemetry_free(struct telemetry *t);
void telemetry_set_parts(struct telemetry *t, const struct telemetry_parts *parts);

/* An object changed that says when its reason was (trigger_ms). */
void telemetry_trigger(struct telemetry *t, int64_t trigger_ms);
/* The source has told a change; it is whole by now, or not yet. */
void telemetry_queued(struct telemetry *t, struct telemetry_times now, bool source_complete);
/* Nothing is left to do. */
void telemetry_settled(struct telemetry *t, struct telemetry_times now);
/* What was computed for a Service. */
void telemetry_want(struct telemetry *t, const char *key, const struct svc_want *want);

/* One line with the backend's counters and our own, for whoever reads logs. */
void telemetry_log_counters(struct telemetry *t);
/* Has all that is known written to `dump` under --run-dir: status, metrics, and what --print
 * prints. */
void telemetry_dump(struct telemetry *t);
/* All of these as pages, for the server; they last as long as `t`. */
struct node_pages telemetry_pages(struct telemetry *t);
/* Bodies of the pages; health: true if healthy, which is counted. */
bool telemetry_health(struct telemetry *t, struct telemetry_times now, bool live, FILE *out);
void telemetry_metrics(struct telemetry *t, FILE *out);
void telemetry_services(struct telemetry *t, const char *search, FILE *out);
void telemetry_status(struct telemetry *t, struct telemetry_times now, FILE *out);

#endif
