/* SPDX-License-Identifier: Apache-2.0 */
/* The page /status: is everything in the kernel, and if not, what and why. Its form:
 * docs/status.schema.json. */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "daemon/telemetry_private.h"

static bool is_complete(const struct telemetry *t)
{
	return t->source_complete && t->first_pass_over && !t->in_pass &&
	       !status_count(t->parts.status);
}

/* In one word: what an operator has to think of it. */
static const char *state_of(const struct telemetry *t, uint64_t now_ms)
{
	if (!t->source_complete)
		return "reading";
	if (!health_is_good(t->parts.health, now_ms))
		return "stuck";
	if (t->in_pass || !t->first_pass_over)
		return "working";
	return status_count(t->parts.status) ? "incomplete" : "complete";
}

static void put_text(FILE *out, const char *name, const char *text)
{
	fprintf(out, "\"%s\":", name);
	json_text(out, text);
	fputc(',', out);
}

static void put_time(FILE *out, const char *name, uint64_t unix_us)
{
	fprintf(out, "\"%s\":", name);
	if (unix_us)
		json_time(out, unix_us);
	else
		fputs("null", out);
	fputc(',', out);
}

static void put_objects(FILE *out, const struct telemetry *t)
{
	fputs("\"objects\":{", out);
	for (int kind = 0; kind < OBJ_KIND_COUNT; kind++)
		fprintf(out, "%s\"%s\":%zu", kind ? "," : "", obj_kind_name((enum obj_kind)kind),
			cache_count(t->parts.cache, (enum obj_kind)kind));
	fputs("},", out);
}

static void put_frontends(FILE *out, const struct telemetry *t)
{
	fprintf(out, "\"frontends\":{\"wanted\":%zu,\"waiting\":%zu,\"failed\":%zu},",
		model_count(t->parts.model), claims_waiting(t->parts.claims),
		status_count_kind(t->parts.status, "kernel"));
}

struct listing {
	FILE *out;
	size_t n;
};

static void put_problem(void *arg, const char *kind, const char *subject, const char *text)
{
	struct listing *list = arg;

	fprintf(list->out, "%s{", list->n++ ? "," : "");
	put_text(list->out, "kind", kind);
	put_text(list->out, "subject", subject);
	fputs("\"reason\":", list->out);
	json_text(list->out, text);
	fputc('}', list->out);
}

static void put_problems(FILE *out, const struct telemetry *t)
{
	struct listing list = {.out = out};

	fputs("\"problems\":[", out);
	status_each(t->parts.status, TELEMETRY_PROBLEMS_MAX, put_problem, &list);
	fprintf(out, "],\"problemsLeftOut\":%zu", status_count(t->parts.status) - list.n);
}

void telemetry_status(struct telemetry *t, struct telemetry_times now, FILE *out)
{
	fputc('{', out);
	put_text(out, "version", t->parts.options->release);
	put_text(out, "mode", t->parts.ops->name);
	put_text(out, "node", t->parts.options->node_name);
	put_text(out, "source", t->parts.options->manifests);
	put_time(out, "time", now.unix_us);
	put_time(out, "started", t->started_unix_us);
	put_time(out, "lastChange", t->queued_unix_us);
	put_time(out, "lastUpdated", t->done_unix_us);
	put_text(out, "state", state_of(t, now.mono_us / 1000));
	fprintf(out, "\"complete\":%s,", is_complete(t) ? "true" : "false");
	put_objects(out, t);
	put_frontends(out, t);
	put_problems(out, t);
	fputs("}\n", out);
}
