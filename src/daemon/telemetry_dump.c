/* SPDX-License-Identifier: Apache-2.0 */
/* What signals ask for: SIGUSR2 a line of counters, SIGUSR1 the file with everything. */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "daemon/dump.h"
#include "daemon/telemetry_private.h"
#include "log.h"

void telemetry_log_counters(struct telemetry *t)
{
	const struct telemetry_parts *parts = &t->parts;
	cleanup_free char *text = NULL;
	size_t len = 0;
	FILE *out = parts->be ? open_memstream(&text, &len) : NULL;

	if (!out)
		return;
	parts->ops->print_counters(parts->be, out);
	fprintf(out,
		"desired_us %" PRIu64 "\nloop_longest_turn_us %" PRIu64
		"\nloop_longest_turn_wall_us %" PRIu64 "\nloop_busy_us %" PRIu64
		"\nnot_in_order %zu\n",
		*parts->desired_us, parts->cpu_turns->longest_us, parts->wall_turns->longest_us,
		parts->wall_turns->busy_us, status_count(parts->status));
	if (fclose(out) != 0)
		return;
	for (char *p = text; *p; p++)
		*p = (char)(*p == ' ' ? '=' : *p == '\n' ? ' ' : *p);
	log_info("counters", "%s", text);
}

static void print_all(void *ctx, FILE *out)
{
	struct telemetry *t = ctx;
	const struct telemetry_parts *parts = &t->parts;

	fputs("==== status\n", out);
	telemetry_status(t, telemetry_now(), out);
	if (parts->options->kp) {
		fputs("==== configuration\n", out);
		kubeproxy_print_yaml(parts->options->kp, out);
	}
	fputs("==== metrics\n", out);
	telemetry_metrics(t, out);
	fputs("==== not in order\n", out);
	status_print(parts->status, out);
	fputs("==== objects\n", out);
	cache_print(parts->cache, out);
	fputs("==== model\n", out);
	model_print(parts->model, out);
	if (!parts->be)
		return;
	fputs("==== actual\n", out);
	parts->ops->print_actual(parts->be, out);
	fputs("==== plan\n", out);
	parts->ops->print_plan(parts->be, parts->model, out);
}

void telemetry_dump(struct telemetry *t)
{
	cleanup_free char *path = NULL;
	int rc;

	if (t->parts.options->print || asprintf(&path, "%s/dump", t->parts.options->run_dir) < 0) {
		path = NULL;
		return;
	}
	rc = dump_write(path, print_all, t);
	if (rc < 0)
		log_error("state not written", "file=%s error=\"%s\"", path, strerror(-rc));
}
