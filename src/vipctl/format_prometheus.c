/* SPDX-License-Identifier: Apache-2.0 */
/* -o prometheus: statistics in the text format 0.0.4, which wants all samples of a metric together:
 * so the table is kept until its end. Rates are left out: Prometheus makes its own from counters.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <inttypes.h>
#include <stddef.h>
#include <string.h>

#include "vipctl.h"

struct kept {
	struct ipvs_services services;
	struct ipvs_dests dests;
	size_t *n_dests; /* of each service; their destinations lie one after the other */
	size_t cap;
	int rc;
};

static int keep(struct kept *k, const struct ipvs_service *svc, const struct ipvs_dest *dests,
		size_t n)
{
	struct ipvs_services *s = &k->services;
	struct ipvs_dests *d = &k->dests;

	if (util_grow((void **)&s->items, &s->cap, s->n + 1, sizeof(*s->items)) < 0 ||
	    util_grow((void **)&d->items, &d->cap, d->n + n, sizeof(*d->items)) < 0 ||
	    util_grow((void **)&k->n_dests, &k->cap, s->n + 1, sizeof(*k->n_dests)) < 0)
		return -ENOMEM;
	k->n_dests[s->n] = n;
	s->items[s->n++] = *svc;
	if (n)
		memcpy(d->items + d->n, dests, n * sizeof(*dests));
	d->n += n;
	return 0;
}

static void prometheus_begin(struct report *r)
{
	r->state = calloc(1, sizeof(struct kept));
}

static void prometheus_service(struct report *r, const struct ipvs_service *svc,
			       const struct ipvs_dest *dests, size_t n)
{
	struct kept *k = r->state;

	if (k && k->rc == 0)
		k->rc = keep(k, svc, dests, n);
}

/* ---- samples ---- */

static void put_service_labels(FILE *out, const struct ipvs_key *key)
{
	char addr[ADDR_TEXT_MAX];

	fprintf(out, "family=\"%s\",", key->af == AF_INET6 ? "IPv6" : "IPv4");
	if (key->fwmark) {
		fprintf(out, "fwmark=\"%u\"", key->fwmark);
		return;
	}
	if (proto_name((uint8_t)key->proto)[0] == '?' || key->proto > UINT8_MAX)
		fprintf(out, "protocol=\"%u\",", key->proto);
	else
		fprintf(out, "protocol=\"%s\",", proto_name((uint8_t)key->proto));
	inet_ntop(key->af, key->addr.bytes, addr, sizeof(addr));
	fprintf(out, "address=\"%s\",port=\"%u\"", addr, key->port);
}

static void put_dest_labels(FILE *out, const struct ipvs_dest *dest)
{
	char addr[ADDR_TEXT_MAX];

	inet_ntop(dest->addr.family, dest->addr.bytes, addr, sizeof(addr));
	fprintf(out, ",destination_address=\"%s\",destination_port=\"%u\"", addr, dest->port);
}

/* A number of a service or destination: where it lies in it, and how wide it is. */
struct metric {
	const char *name, *type, *help;
	const char *label; /* one more, for metrics that come in several; NULL: none */
	size_t offset;
	bool wide; /* 64 bits, else 32 */
};

#define STAT(name, help, label, of, field)                                                    \
	{                                                                                     \
		name "_total", "counter", help, label, offsetof(struct of, stats.field), true \
	}
#define STATS(prefix, of, what)                                                                   \
	STAT(prefix "_connections", "Connections scheduled to the " what ".", NULL, of, conns),   \
		STAT(prefix "_packets", "Packets of the " what ".", "direction=\"in\"", of,       \
		     in_pkts),                                                                    \
		STAT(prefix "_packets", NULL, "direction=\"out\"", of, out_pkts),                 \
		STAT(prefix "_bytes", "Bytes of the " what "'s packets.", "direction=\"in\"", of, \
		     in_bytes),                                                                   \
		STAT(prefix "_bytes", NULL, "direction=\"out\"", of, out_bytes)
#define GAUGE(name, help, label, field)                                              \
	{                                                                            \
		name, "gauge", help, label, offsetof(struct ipvs_dest, field), false \
	}

static const struct metric service_metrics[] = {STATS("ipvs_service", ipvs_service, "service")};
static const struct metric dest_metrics[] = {
	STATS("ipvs_destination", ipvs_dest, "destination"),
	GAUGE("ipvs_destination_weight", "Weight in scheduling; 0: no new connections.", NULL,
	      weight),
	GAUGE("ipvs_destination_active_connections", "Connections that are established.", NULL,
	      active_conns),
	GAUGE("ipvs_destination_inactive_connections", "Connections in any other state.", NULL,
	      inact_conns),
	GAUGE("ipvs_destination_persistent_connections", "Templates of persistent clients.", NULL,
	      persist_conns),
	GAUGE("ipvs_destination_threshold_connections", "Limits of connections; 0: none.",
	      "threshold=\"upper\"", u_thresh),
	GAUGE("ipvs_destination_threshold_connections", NULL, "threshold=\"lower\"", l_thresh)};

static void put_head(FILE *out, const struct metric *m)
{
	if (m->help)
		fprintf(out, "# HELP %s %s\n# TYPE %s %s\n", m->name, m->help, m->name, m->type);
}

/* The rest of a sample behind its labels. */
static void put_value(FILE *out, const struct metric *m, const void *object)
{
	const char *at = (const char *)object + m->offset;
	uint64_t value;
	uint32_t narrow;

	memcpy(&narrow, at, sizeof(narrow));
	value = narrow;
	if (m->wide)
		memcpy(&value, at, sizeof(value));
	fprintf(out, "%s%s} %" PRIu64 "\n", m->label ? "," : "", m->label ? m->label : "", value);
}

static void put_service_metric(FILE *out, const struct kept *k, const struct metric *m)
{
	put_head(out, m);
	for (size_t i = 0; i < k->services.n; i++) {
		fprintf(out, "%s{", m->name);
		put_service_labels(out, &k->services.items[i].key);
		put_value(out, m, &k->services.items[i]);
	}
}

static void put_dest_metric(FILE *out, const struct kept *k, const struct metric *m)
{
	const struct ipvs_dest *dest = k->dests.items;

	put_head(out, m);
	for (size_t i = 0; i < k->services.n; i++) {
		for (size_t j = 0; j < k->n_dests[i]; j++, dest++) {
			fprintf(out, "%s{", m->name);
			put_service_labels(out, &k->services.items[i].key);
			put_dest_labels(out, dest);
			put_value(out, m, dest);
		}
	}
}

static void put_all(FILE *out, const struct kept *k, const struct ipvs_info *info)
{
	fprintf(out,
		"# HELP ipvs_info The IPVS of the kernel.\n# TYPE ipvs_info gauge\n"
		"ipvs_info{version=\"%u.%u.%u\"} 1\n"
		"# HELP ipvs_connection_table_size Buckets of the connection table.\n"
		"# TYPE ipvs_connection_table_size gauge\nipvs_connection_table_size %u\n",
		info->version >> 16 & 0xff, info->version >> 8 & 0xff, info->version & 0xff,
		info->conn_tab_size);
	for (size_t i = 0; i < ARRAY_SIZE(service_metrics); i++)
		put_service_metric(out, k, &service_metrics[i]);
	for (size_t i = 0; i < ARRAY_SIZE(dest_metrics); i++)
		put_dest_metric(out, k, &dest_metrics[i]);
}

/* Half a table would look like counters that went away: after a failure nothing is written. */
static int prometheus_end(struct report *r, bool whole)
{
	struct kept *k = r->state;
	int rc = k ? k->rc : -ENOMEM;

	if (k && rc == 0 && whole)
		put_all(r->out, k, &r->info);
	if (k) {
		ipvs_services_done(&k->services);
		ipvs_dests_done(&k->dests);
		free(k->n_dests);
	}
	free(k);
	return whole ? rc : 0;
}

const struct format format_prometheus = {.name = "prometheus",
					 .begin = prometheus_begin,
					 .service = prometheus_service,
					 .end = prometheus_end};
