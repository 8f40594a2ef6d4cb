/* SPDX-License-Identifier: Apache-2.0 */
/* See telemetry.h: measuring, and the health that is told. */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "daemon/telemetry_private.h"

static uint64_t clock_us(clockid_t id)
{
	struct timespec now;

	clock_gettime(id, &now);
	return (uint64_t)now.tv_sec * 1000000 + (uint64_t)now.tv_nsec / 1000;
}

struct telemetry_times telemetry_now(void)
{
	return (struct telemetry_times){clock_us(CLOCK_BOOTTIME), clock_us(CLOCK_REALTIME)};
}

/* kube-proxy's bounds. */
static void set_bounds(struct telemetry *t)
{
	histogram_set_exponential(&t->passes, 0.001, 2, 15);
	t->full_passes = t->partial_passes = t->passes;
	histogram_set_exponential(&t->programming, 0.25, 2, 2);
	histogram_add_linear(&t->programming, 1, 1, 59);
	histogram_add_linear(&t->programming, 60, 5, 12);
	histogram_add_linear(&t->programming, 120, 30, 7);
}

struct telemetry *telemetry_new(struct telemetry_times now)
{
	struct telemetry *t = calloc(1, sizeof(*t));

	if (!t)
		return NULL;
	t->started_unix_us = now.unix_us;
	t->ipv6 = access("/proc/net/if_inet6", F_OK) == 0;
	set_bounds(t);
	return t;
}

void telemetry_set_parts(struct telemetry *t, const struct telemetry_parts *parts)
{
	t->parts = *parts;
}

static void no_local_drop(struct telemetry *t, struct no_local *entry)
{
	for (int i = 0; i < 2; i++) {
		t->no_local_inside[i] -= entry->inside[i];
		t->no_local_outside[i] -= entry->outside[i];
	}
	HASH_DEL(t->no_local, entry);
	free(entry->key);
	free(entry);
}

void telemetry_free(struct telemetry *t)
{
	struct no_local *entry, *next;

	if (!t)
		return;
	HASH_ITER (hh, t->no_local, entry, next)
		no_local_drop(t, entry);
	free(t);
}

/* ---- what happens ---- */

/* Of times before our own we know nothing: as kube-proxy has it. */
void telemetry_trigger(struct telemetry *t, int64_t trigger_ms)
{
	if (trigger_ms <= (int64_t)(t->started_unix_us / 1000))
		return;
	if (t->n_triggers == TRIGGERS_MAX)
		t->triggers_left_out++;
	else
		t->triggers_ms[t->n_triggers++] = trigger_ms;
}

void telemetry_queued(struct telemetry *t, struct telemetry_times now, bool source_complete)
{
	t->source_complete |= source_complete;
	t->queued_unix_us = now.unix_us;
	if (!t->in_pass)
		t->pass_mono_us = now.mono_us;
	t->in_pass = true;
}

static void end_pass(struct telemetry *t, struct telemetry_times now)
{
	double seconds = (double)(now.mono_us - t->pass_mono_us) / 1e6;

	histogram_observe(&t->passes, seconds);
	histogram_observe(t->first_pass_over ? &t->partial_passes : &t->full_passes, seconds);
	t->first_pass_over = true;
	t->in_pass = false;
	for (size_t i = 0; i < t->n_triggers; i++) {
		int64_t late_us = (int64_t)now.unix_us - t->triggers_ms[i] * 1000;

		histogram_observe(&t->programming, late_us > 0 ? (double)late_us / 1e6 : 0);
	}
	t->n_triggers = 0;
}

void telemetry_settled(struct telemetry *t, struct telemetry_times now)
{
	t->done_unix_us = now.unix_us;
	if (!t->in_pass)
		return;
	end_pass(t, now);
	t->told_endpoints = telemetry_endpoint_changes(t->parts.cache);
	t->told_services = cache_changes(t->parts.cache, OBJ_SERVICE);
}

static bool lacks_local(const struct svc_want *want)
{
	return want->no_local_inside[0] || want->no_local_inside[1] || want->no_local_outside[0] ||
	       want->no_local_outside[1];
}

void telemetry_want(struct telemetry *t, const char *key, const struct svc_want *want)
{
	struct no_local *entry;

	HASH_FIND_STR(t->no_local, key, entry);
	if (entry)
		no_local_drop(t, entry);
	if (!lacks_local(want))
		return;
	entry = calloc(1, sizeof(*entry));
	if (!entry || !(entry->key = strdup(key))) {
		free(entry);
		return;
	}
	for (int i = 0; i < 2; i++) {
		t->no_local_inside[i] += entry->inside[i] = want->no_local_inside[i];
		t->no_local_outside[i] += entry->outside[i] = want->no_local_outside[i];
	}
	HASH_ADD_KEYPTR(hh, t->no_local, entry->key, strlen(entry->key), entry);
}

/* ---- health ---- */

/* A node that is about to go gets no new connections from outside. A node whose object nobody told
 * is taken for one that stays. */
static bool is_eligible(const struct telemetry *t)
{
	const struct node *node = cache_node(t->parts.cache, t->parts.options->node_name);

	return !node || !node->leaving;
}

static void put_family(FILE *out, const char *name, uint64_t done_unix_us, bool good)
{
	fprintf(out, "\"%s\":{\"lastUpdated\":", name);
	json_time(out, done_unix_us);
	fprintf(out, ",\"healthy\":%s}", good ? "true" : "false");
}

/* As kube-proxy words it, to the byte: one line, in this order of keys. */
bool telemetry_health(struct telemetry *t, struct telemetry_times now, bool live, FILE *out)
{
	bool working = health_is_good(t->parts.health, now.mono_us / 1000);
	bool eligible = is_eligible(t), good = working && (live || eligible);

	t->answered[live][!good]++;
	fputs("{\"lastUpdated\":", out);
	json_time(out, good ? now.unix_us : t->done_unix_us);
	fputs(",\"currentTime\":", out);
	json_time(out, now.unix_us);
	if (!live)
		fprintf(out, ",\"nodeEligible\":%s", eligible ? "true" : "false");
	fprintf(out, ",\"healthy\":%s", working ? "true" : "false");
	if (t->queued_unix_us) {
		fputs(",\"status\":{", out);
		put_family(out, "IPv4", t->done_unix_us, working);
		if (t->ipv6) {
			fputc(',', out);
			put_family(out, "IPv6", t->done_unix_us, working);
		}
		fputc('}', out);
	}
	fputc('}', out);
	return good;
}

/* ---- pages ---- */

static bool page_health(void *ctx, bool live, FILE *out)
{
	return telemetry_health(ctx, telemetry_now(), live, out);
}

static void page_metrics(void *ctx, FILE *out)
{
	telemetry_metrics(ctx, out);
}

static void page_status(void *ctx, FILE *out)
{
	telemetry_status(ctx, telemetry_now(), out);
}

static void page_services(void *ctx, const char *search, FILE *out)
{
	telemetry_services(ctx, search, out);
}

static bool page_configz(void *ctx, FILE *out)
{
	const struct telemetry *t = ctx;

	if (!t->parts.options->kp)
		return false;
	fputs("{\"kubeproxy.config.k8s.io\":", out);
	kubeproxy_print_json(t->parts.options->kp, out);
	fputs("}\n", out);
	return true;
}

static void on_listener_problem(void *ctx, const char *subject, const char *text)
{
	const struct telemetry *t = ctx;

	status_set(t->parts.status, "listener", subject, text);
}

struct node_pages telemetry_pages(struct telemetry *t)
{
	return (struct node_pages){.ctx = t,
				   .mode = t->parts.ops->name,
				   .health = page_health,
				   .metrics = page_metrics,
				   .status = page_status,
				   .services = page_services,
				   .configz = page_configz,
				   .problem = on_listener_problem};
}
