/* SPDX-License-Identifier: Apache-2.0 */
/* The fake kernel as text: what it has, and what it should have by a model. See fake.h. */
#include <errno.h>
#include <string.h>
#include <linux/ip_vs.h>

#include "fake.h"

static int line_cmp(const void *a, const void *b)
{
	return strcmp(*(char *const *)a, *(char *const *)b);
}

static char *sorted(char *text)
{
	size_t n = 0, len = 0;
	char *lines[4096], *out_text = NULL;
	FILE *out = open_memstream(&out_text, &len);

	for (char *line = strtok(text, "\n"); line && n < ARRAY_SIZE(lines);
	     line = strtok(NULL, "\n"))
		lines[n++] = line;
	qsort(lines, n, sizeof(*lines), line_cmp);
	for (size_t i = 0; out && i < n; i++)
		fprintf(out, "%s\n", lines[i]);
	if (!out || fclose(out) != 0)
		abort();
	free(text);
	return out_text;
}

static void print_op(const struct kop *op, FILE *out)
{
	kop_print(op, out);
	fputc('\n', out);
}

static void print_dest(const struct ipvs_key *key, const struct kdest *dest, FILE *out)
{
	struct kop op = {.table = KT_DEST, .verb = KV_ADD};

	op.rs.key = *key;
	op.rs.dest = *dest;
	print_op(&op, out);
}

static void print_elem(struct kelem elem, FILE *out)
{
	struct kop op = {.table = KT_ELEM, .verb = KV_ADD};

	op.elem = elem;
	print_op(&op, out);
}

static void print_service(const struct kservice *service, FILE *out)
{
	struct kop op = {.table = KT_SERVICE, .verb = KV_ADD};

	op.service = *service;
	print_op(&op, out);
}

static void print_binding(const struct kbinding *binding, FILE *out)
{
	struct kop op = {.table = KT_BINDING, .verb = KV_ADD};

	op.binding = *binding;
	print_op(&op, out);
}

char *fake_text(struct fake *fake)
{
	char *text = NULL;
	size_t len = 0;
	FILE *out = open_memstream(&text, &len);

	for (size_t i = 0; out && i < fake->n_services; i++) {
		const struct fake_service *svc = &fake->services[i];

		if (fake_is_foreign(&svc->service.key))
			continue;
		print_service(&svc->service, out);
		for (size_t j = 0; j < svc->n; j++)
			print_dest(&svc->service.key, &svc->dests[j], out);
	}
	for (size_t i = 0; out && i < fake->n_bindings; i++)
		print_binding(&fake->bindings[i], out);
	for (size_t i = 0; out && i < fake->n_elems; i++)
		print_elem(fake->elems[i], out);
	if (!out || fclose(out) != 0)
		abort();
	return sorted(text);
}

/* Bound and guarded, unless it is the node's own. */
static void print_address(const struct fake *fake, const struct ip_addr *vip, FILE *out)
{
	const struct ip_addr *own = &fake->addrs[vip->family == AF_INET6];
	struct kbinding binding = {*vip, *own};

	if (addr_equal(vip, own))
		return;
	print_elem(kelem_vip(vip), out);
	print_binding(&binding, out);
}

static void print_frontend(const struct fake *fake, const struct model *model,
			   const struct fe_key *key, const char *scheduler, FILE *out)
{
	const struct frontend *fe = model_find(model, key);
	struct kservice service = {.key = ipvs_key_make(&key->vip, key->port, key->proto),
				   .flags = fe->lb.sched_flags};
	const char *sched = fe->lb.scheduler[0] ? fe->lb.scheduler : scheduler;

	if (strcmp(sched, fake->missing) == 0)
		sched = scheduler;
	snprintf(service.sched, sizeof(service.sched), "%s", sched);
	if (strcmp(sched, "mh") == 0)
		service.flags |= IP_VS_SVC_F_SCHED1 | IP_VS_SVC_F_SCHED2;
	if (strcmp(sched, "sh") == 0)
		service.flags |= IP_VS_SVC_F_SCHED1;
	if (fe->lb.affinity_sec) {
		service.flags |= IP_VS_SVC_F_PERSISTENT;
		service.timeout_sec = fe->lb.affinity_sec;
	}
	print_service(&service, out);
	for (size_t i = 0; i < fe->pool->n; i++) {
		const struct endpoint *ep = &fe->pool->ep[i];
		struct kdest dest = {.addr = ep->addr, .port = ep->port, .weight = ep->weight};

		if (ep->state == EP_ACTIVE && ep->weight)
			print_dest(&service.key, &dest, out);
		if (ep->local)
			print_elem(kelem_hairpin(&ep->addr), out);
	}
	print_elem(kelem_service(KSET_SERVICES, &key->vip, key->proto, key->port), out);
	if (fe->verdict == V_REJECT)
		print_elem(kelem_service(KSET_REFUSED, &key->vip, key->proto, key->port), out);
	if (fe->verdict == V_DROP)
		print_elem(kelem_service(KSET_DROPPED, &key->vip, key->proto, key->port), out);
	if (fe->inner)
		print_elem(kelem_service(KSET_INNER, &key->vip, key->proto, key->port), out);
	print_address(fake, &key->vip, out);
}

static void print_map(const struct frontend *fe, enum kset vip_set, enum kset port_set,
		      const struct frontend *via, FILE *out)
{
	bool vip = fe->key.scope == SCOPE_VIP;
	struct kelem_parts parts = {.proto = fe->key.proto, .port = fe->key.port};

	if (vip)
		parts.addr = fe->key.vip;
	if (via) {
		parts.target = via->key.vip;
		parts.target_port = via->key.port;
	}
	if (via || !kset_is_map(vip_set))
		print_elem(kelem_make(vip ? vip_set : port_set, fe->key.vip.family, &parts), out);
}

static void print_entrance(const struct fake *fake, const struct model *model,
			   const struct frontend *fe, FILE *out)
{
	struct kelem_parts parts = {
		.addr = fe->key.vip, .proto = fe->key.proto, .port = fe->key.port};
	bool split = fe->via_cluster.vip.family, vip = fe->key.scope == SCOPE_VIP;

	print_map(fe, KSET_ENTRANCES, KSET_NODEPORTS, model_via(model, fe, false), out);
	if (split)
		print_map(fe, KSET_ENTRANCES_CLUSTER, KSET_NODEPORTS_CLUSTER,
			  model_via(model, fe, true), out);
	if (fe->snat != SNAT_NEVER)
		print_map(fe, KSET_MASQ, KSET_NODEPORTS_MASQ, NULL, out);
	if (split && !vip)
		print_map(fe, KSET_MASQ, KSET_NODEPORTS_LOCAL, NULL, out);
	if (fe->ranges)
		print_map(fe, KSET_RESTRICTED, KSET_COUNT, NULL, out);
	for (size_t i = 0; fe->ranges && i < fe->ranges->n; i++) {
		parts.source = fe->ranges->net[i];
		print_elem(kelem_make(kset_allowed(fe->key.proto), fe->key.vip.family, &parts),
			   out);
	}
	if (vip)
		print_address(fake, &fe->key.vip, out);
}

/* Where node ports are found, as soon as anything of the family was ever wanted. */
static void print_node_addrs(const struct fake *fake, const bool used[2], FILE *out)
{
	for (int i = 0; i < 2; i++) {
		struct kelem_parts parts = {.addr = fake->addrs[i]};
		struct kelem elem = kelem_make(KSET_NODE_ADDRS, fake->addrs[i].family, &parts);

		if (used[i] || fake_has_elem(fake, elem))
			print_elem(elem, out);
	}
}

/* Equal lines once: several frontends have one address, several pools one endpoint. */
static char *unique(char *text)
{
	char *to = text, *last = NULL;

	for (char *line = text, *end; *line; line = end) {
		size_t len = (size_t)((end = strchr(line, '\n') + 1) - line);

		if (last && strncmp(last, line, len) == 0)
			continue;
		memmove(to, line, len);
		last = to;
		to += len;
	}
	*to = '\0';
	return text;
}

char *fake_wanted_text(const struct fake *fake, const struct model *model, const char *scheduler)
{
	cleanup_free struct fe_key *keys = NULL;
	char *text = NULL;
	size_t len = 0;
	FILE *out = open_memstream(&text, &len);
	ssize_t n = model_keys(model, &keys);
	bool used[2] = {false};

	for (ssize_t i = 0; out && i < n; i++) {
		const struct frontend *fe = model_find(model, &keys[i]);

		used[keys[i].vip.family == AF_INET6] = true;
		if (frontend_is_entrance(fe))
			print_entrance(fake, model, fe, out);
		else
			print_frontend(fake, model, &keys[i], scheduler, out);
	}
	if (out)
		print_node_addrs(fake, used, out);
	if (!out || fclose(out) != 0)
		abort();
	return unique(sorted(text));
}
