/* SPDX-License-Identifier: Apache-2.0 */
/* See objects.h. Printing is the definition of equality: what is not printed does not matter. */
#include <inttypes.h>
#include <string.h>

#include "kube/objects.h"
#include "names.h"

const char *obj_kind_name(enum obj_kind kind)
{
	static const char *const names[] = {"Service", "EndpointSlice", "Endpoints", "Pod", "Node"};

	return kind < OBJ_KIND_COUNT ? names[kind] : "?";
}

/* ---- free ---- */

static void pairs_free(struct obj_pair *pairs, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		free(pairs[i].key);
		free(pairs[i].value);
	}
	free(pairs);
}

static void meta_done(struct obj_meta *meta)
{
	free(meta->ns);
	free(meta->name);
	free(meta->origin);
	pairs_free(meta->labels, meta->n_labels);
	pairs_free(meta->annotations, meta->n_annotations);
}

static void service_done(struct service *svc)
{
	for (size_t i = 0; i < svc->n_ports; i++) {
		free(svc->ports[i].name);
		free(svc->ports[i].target.name);
	}
	free(svc->ports);
	pairs_free(svc->selector, svc->n_selector);
	free(svc->external_ips);
	free(svc->source_ranges);
	free(svc->ingress);
}

static void slice_done(struct slice *slice)
{
	free(slice->service);
	for (size_t i = 0; i < slice->n_ports; i++)
		free(slice->ports[i].name);
	free(slice->ports);
	for (size_t i = 0; i < slice->n_endpoints; i++) {
		name_unref(slice->endpoints[i].node);
		name_unref(slice->endpoints[i].zones_hint);
		name_unref(slice->endpoints[i].nodes_hint);
	}
	free(slice->endpoints);
}

static void pod_done(struct pod *pod)
{
	free(pod->node);
	for (size_t i = 0; i < pod->n_ports; i++)
		free(pod->ports[i].name);
	free(pod->ports);
}

void object_free(union object *object)
{
	if (!object)
		return;
	switch (object->meta.kind) {
	case OBJ_SERVICE:
		service_done(&object->service);
		break;
	case OBJ_SLICE:
		slice_done(&object->slice);
		break;
	case OBJ_ENDPOINTS:
		for (size_t i = 0; i < object->endpoints.n_subsets; i++)
			slice_done(&object->endpoints.subsets[i]);
		free(object->endpoints.subsets);
		break;
	case OBJ_POD:
		pod_done(&object->pod);
		break;
	case OBJ_NODE:
		free(object->node.addrs);
		free(object->node.pod_cidrs);
		free(object->node.zone);
		break;
	case OBJ_KIND_COUNT:
		break;
	}
	meta_done(&object->meta);
	free(object);
}

/* ---- look up ---- */

static const char *pair_find(const struct obj_pair *pairs, size_t n, const char *key)
{
	size_t low = 0, high = n;

	while (low < high) {
		size_t mid = low + (high - low) / 2;
		int order = strcmp(pairs[mid].key, key);

		if (order == 0)
			return pairs[mid].value;
		if (order < 0)
			low = mid + 1;
		else
			high = mid;
	}
	return NULL;
}

const char *obj_label(const struct obj_meta *meta, const char *key)
{
	return pair_find(meta->labels, meta->n_labels, key);
}

const char *obj_annotation(const struct obj_meta *meta, const char *key)
{
	return pair_find(meta->annotations, meta->n_annotations, key);
}

/* ---- print ---- */

static void print_pairs(const char *what, const struct obj_pair *pairs, size_t n, FILE *out)
{
	for (size_t i = 0; i < n; i++)
		fprintf(out, "  %s %s=%s\n", what, pairs[i].key, pairs[i].value);
}

static void print_addrs(const char *what, const struct ip_addr *addrs, size_t n, FILE *out)
{
	char text[ADDR_TEXT_MAX];

	for (size_t i = 0; i < n; i++)
		if (addr_is_set(&addrs[i]))
			fprintf(out, "  %s %s\n", what, addr_format(&addrs[i], text));
}

static void print_prefixes(const char *what, const struct ip_prefix *nets, size_t n, FILE *out)
{
	char text[PREFIX_TEXT_MAX];

	for (size_t i = 0; i < n; i++)
		fprintf(out, "  %s %s\n", what, prefix_format(&nets[i], text));
}

static void print_service_port(const struct svc_port *port, FILE *out)
{
	fprintf(out, "  port %s%s%u/%s", port->name, *port->name ? " " : "", port->port,
		proto_name(port->proto));
	if (port->target.number)
		fprintf(out, " target=%u", port->target.number);
	else if (port->target.name)
		fprintf(out, " target=%s", port->target.name);
	if (port->node_port)
		fprintf(out, " nodeport=%u", port->node_port);
	fputc('\n', out);
}

static void print_service(const struct service *svc, FILE *out)
{
	static const char *const types[] = {"ClusterIP", "NodePort", "LoadBalancer",
					    "ExternalName"};
	static const char *const policies[] = {"SingleStack", "PreferDualStack",
					       "RequireDualStack"};
	char text[ADDR_TEXT_MAX];

	fprintf(out, "  type %s%s%s families=%s\n", types[svc->type],
		svc->headless ? " headless" : "", svc->foreign ? " foreign" : "",
		policies[svc->family_policy]);
	for (size_t i = 0; i < ARRAY_SIZE(svc->families); i++)
		if (svc->families[i])
			fprintf(out, "  family %s\n",
				svc->families[i] == AF_INET ? "IPv4" : "IPv6");
	print_addrs("clusterip", svc->cluster_ips, ARRAY_SIZE(svc->cluster_ips), out);
	for (size_t i = 0; i < svc->n_ports; i++)
		print_service_port(&svc->ports[i], out);
	print_pairs("selector", svc->selector, svc->n_selector, out);
	print_addrs("externalip", svc->external_ips, svc->n_external_ips, out);
	print_prefixes("sourcerange", svc->source_ranges, svc->n_ranges, out);
	for (size_t i = 0; i < svc->n_ingress; i++)
		fprintf(out, "  ingress %s%s\n", addr_format(&svc->ingress[i].addr, text),
			svc->ingress[i].proxy_mode ? " proxy" : "");
	if (svc->affinity_sec)
		fprintf(out, "  affinity %us\n", svc->affinity_sec);
	if (svc->etp_local || svc->itp_local || svc->publish_not_ready || svc->restricted)
		fprintf(out, "  policy%s%s%s%s\n", svc->etp_local ? " etp=local" : "",
			svc->itp_local ? " itp=local" : "",
			svc->publish_not_ready ? " publish-not-ready" : "",
			svc->restricted ? " restricted" : "");
	if (svc->no_node_ports)
		fprintf(out, "  no-node-ports\n");
	if (svc->distribution != SVC_ANYWHERE)
		fprintf(out, "  distribution %s\n",
			svc->distribution == SVC_SAME_NODE ? "same-node" : "same-zone");
	if (svc->health_check_node_port)
		fprintf(out, "  healthchecknodeport %u\n", svc->health_check_node_port);
}

static void print_slice(const struct slice *slice, FILE *out)
{
	char text[ADDR_TEXT_MAX];

	fprintf(out, "  service %s%s\n", slice->service ? slice->service : "-",
		slice->family == AF_INET    ? " IPv4"
		: slice->family == AF_INET6 ? " IPv6"
					    : "");
	for (size_t i = 0; i < slice->n_ports; i++)
		fprintf(out, "  port %s%s%u/%s\n", slice->ports[i].name,
			*slice->ports[i].name ? " " : "", slice->ports[i].port,
			proto_name(slice->ports[i].proto));
	for (size_t i = 0; i < slice->n_endpoints; i++) {
		const struct slice_endpoint *ep = &slice->endpoints[i];

		fprintf(out, "  endpoint %s%s%s%s", addr_format(&ep->addr, text),
			ep->ready ? " ready" : "", ep->serving ? " serving" : "",
			ep->terminating ? " terminating" : "");
		fprintf(out, "%s%s", ep->node ? " node=" : "", ep->node ? ep->node : "");
		fprintf(out, "%s%s", ep->zones_hint ? " zones=" : "",
			ep->zones_hint ? ep->zones_hint : "");
		fprintf(out, "%s%s\n", ep->nodes_hint ? " nodes=" : "",
			ep->nodes_hint ? ep->nodes_hint : "");
	}
}

static void print_pod(const struct pod *pod, FILE *out)
{
	fprintf(out, "  pod%s%s%s%s%s\n", pod->ready ? " ready" : "",
		pod->terminating ? " terminating" : "", pod->finished ? " finished" : "",
		pod->node ? " node=" : "", pod->node ? pod->node : "");
	print_addrs("ip", pod->ips, ARRAY_SIZE(pod->ips), out);
	for (size_t i = 0; i < pod->n_ports; i++)
		fprintf(out, "  port %s %u/%s\n", pod->ports[i].name, pod->ports[i].port,
			proto_name(pod->ports[i].proto));
}

void object_print(const union object *object, FILE *out)
{
	const struct obj_meta *meta = &object->meta;

	fprintf(out, "%s %s%s%s\n", obj_kind_name(meta->kind), meta->ns, *meta->ns ? "/" : "",
		meta->name);
	if (meta->created_ms)
		fprintf(out, "  created %" PRId64 "\n", meta->created_ms);
	print_pairs("label", meta->labels, meta->n_labels, out);
	print_pairs("annotation", meta->annotations, meta->n_annotations, out);
	switch (meta->kind) {
	case OBJ_SERVICE:
		print_service(&object->service, out);
		break;
	case OBJ_SLICE:
		print_slice(&object->slice, out);
		break;
	case OBJ_ENDPOINTS:
		for (size_t i = 0; i < object->endpoints.n_subsets; i++)
			print_slice(&object->endpoints.subsets[i], out);
		break;
	case OBJ_POD:
		print_pod(&object->pod, out);
		break;
	case OBJ_NODE:
		print_addrs("address", object->node.addrs, object->node.n_addrs, out);
		print_prefixes("podcidr", object->node.pod_cidrs, object->node.n_pod_cidrs, out);
		if (object->node.zone)
			fprintf(out, "  zone %s\n", object->node.zone);
		if (object->node.leaving)
			fputs("  leaving\n", out);
		break;
	case OBJ_KIND_COUNT:
		break;
	}
}

static char *object_text(const union object *object)
{
	char *text = NULL;
	size_t len = 0;
	FILE *out = open_memstream(&text, &len);

	if (!out)
		return NULL;
	object_print(object, out);
	if (fclose(out) != 0) {
		free(text);
		return NULL;
	}
	return text;
}

bool object_equal(const union object *a, const union object *b)
{
	cleanup_free char *x = NULL, *y = NULL;

	if (a->meta.kind != b->meta.kind)
		return false;
	x = object_text(a);
	y = object_text(b);
	return x && y && strcmp(x, y) == 0;
}
