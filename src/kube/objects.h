/* SPDX-License-Identifier: Apache-2.0 */
/* Kubernetes objects as typed values, holding only the fields that a service proxy reads.
 *
 * In the flow: sources -> DECODE -> OBJECTS -> cache -> desired. decode.c is the only place that
 * knows field names. Sources: kubernetes.io/docs/reference/kubernetes-api (core/v1,
 * discovery.k8s.io/v1). Defaults that an API server fills in are filled in by decode; what it
 * allocates (cluster IPs, creation times) by the manifest source's registry. */
#ifndef VIPD_KUBE_OBJECTS_H
#define VIPD_KUBE_OBJECTS_H

#include <stdio.h>

#include "addr.h"
#include "err.h"

enum obj_kind { OBJ_SERVICE, OBJ_SLICE, OBJ_ENDPOINTS, OBJ_POD, OBJ_NODE, OBJ_KIND_COUNT };
const char *obj_kind_name(enum obj_kind kind); /* "Service", "EndpointSlice" ... */

/* Bounds of one object, above what the API server accepts (256 kB of annotations, 1.5 MiB a
 * request), so that input cannot make the program grow without limit. */
#define OBJ_PORTS_MAX     1024
#define OBJ_ENDPOINTS_MAX 10000
#define OBJ_ADDRS_MAX     1024

struct obj_pair {
	char *key, *value;
};

struct obj_meta {
	enum obj_kind kind;
	char *ns; /* "" for Node; "default" where a manifest names none */
	char *name;
	int64_t created_ms; /* creationTimestamp, Unix time; 0 = none given */
	int64_t trigger_ms; /* of slices and Endpoints: when what they tell of happened; 0 =
			     * unknown; for measuring alone, no difference between objects */
	uint64_t seq; /* set by the source: order of first appearance, breaks ties of created_ms */
	char *origin; /* "file:line", for messages; NULL from an API server */
	size_t n_labels, n_annotations;
	struct obj_pair *labels;      /* sorted by key; all of a Pod's, else those we read */
	struct obj_pair *annotations; /* sorted by key; only those we read (decode.c names them) */
};

/* An int-or-string port: number, or name when number is 0; neither: not given. */
struct obj_port_ref {
	uint16_t number;
	char *name;
};

struct svc_port {
	char *name; /* "" = unnamed */
	uint8_t proto;
	uint16_t port, node_port; /* node_port 0 = none */
	struct obj_port_ref target;
};

enum svc_type { SVC_CLUSTER_IP, SVC_NODE_PORT, SVC_LOAD_BALANCER, SVC_EXTERNAL_NAME };
enum svc_family_policy { SVC_SINGLE_STACK, SVC_PREFER_DUAL, SVC_REQUIRE_DUAL };

enum svc_distribution { SVC_ANYWHERE, SVC_SAME_ZONE, SVC_SAME_NODE }; /* trafficDistribution */

struct svc_ingress {
	struct ip_addr addr;
	bool proxy_mode; /* ipMode: Proxy: not ours to take */
};

struct service {
	struct obj_meta meta;
	enum svc_type type;
	bool headless; /* clusterIP: None */
	bool foreign;  /* label service.kubernetes.io/service-proxy-name is there */
	struct ip_addr
		cluster_ips[2]; /* at most one a family, in the object's order; unset = none */
	uint8_t families[2];    /* ipFamilies: AF_*, 0 = none */
	enum svc_family_policy family_policy;
	size_t n_ports, n_selector, n_external_ips, n_ranges, n_ingress;
	struct svc_port *ports;
	struct obj_pair *selector; /* sorted by key */
	struct ip_addr *external_ips;
	struct ip_prefix *source_ranges;
	bool restricted; /* source ranges were given, of whatever family */
	struct svc_ingress *ingress;
	uint32_t affinity_sec; /* 0 = none */
	bool etp_local, itp_local;
	bool publish_not_ready;
	bool no_node_ports; /* allocateLoadBalancerNodePorts: false */
	enum svc_distribution distribution;
	uint16_t health_check_node_port;
};

struct slice_port {
	char *name; /* "" = unnamed */
	uint8_t proto;
	uint16_t port;
};

struct slice_endpoint {
	struct ip_addr addr; /* addresses[0] */
	bool ready, serving, terminating;
	/* By name_ref(), as very many endpoints have the same. */
	const char *node;       /* NULL = not given */
	const char *zones_hint; /* hints.forZones names, comma separated; NULL = none */
	const char *nodes_hint;
};

/* An EndpointSlice; also one subset of a v1/Endpoints. */
struct slice {
	struct obj_meta meta;
	char *service;  /* label kubernetes.io/service-name; the name itself for Endpoints */
	uint8_t family; /* addressType; 0 = a v1/Endpoints subset: each address says */
	size_t n_ports, n_endpoints;
	struct slice_port *ports;
	struct slice_endpoint *endpoints;
};

struct endpoints {
	struct obj_meta meta;
	size_t n_subsets;
	struct slice *subsets; /* meta unused in them */
};

struct pod_port {
	char *name;
	uint8_t proto;
	uint16_t port;
};

struct pod {
	struct obj_meta meta;
	char *node;            /* spec.nodeName; NULL = not given */
	struct ip_addr ips[2]; /* status.podIPs, else podIP; unset = none */
	bool ready;       /* condition Ready; without the condition: phase Running or no phase */
	bool terminating; /* deletionTimestamp is set */
	bool finished;    /* phase Succeeded or Failed: never an endpoint */
	size_t n_ports;
	struct pod_port *ports; /* the containers' named ports, in order */
};

struct node {
	struct obj_meta meta;
	size_t n_addrs;
	struct ip_addr *addrs; /* InternalIPs in order, then ExternalIPs */
	size_t n_pod_cidrs;
	struct ip_prefix *pod_cidrs;
	char *zone;   /* label topology.kubernetes.io/zone; NULL = none */
	bool leaving; /* being deleted, or the cluster autoscaler is about to */
};

/* Any of them, by meta.kind. */
union object {
	struct obj_meta meta;
	struct service service;
	struct slice slice;
	struct endpoints endpoints;
	struct pod pod;
	struct node node;
};

void object_free(union object *object);
/* Do all fields that matter to a proxy agree? (origin and seq do not matter.) */
bool object_equal(const union object *a, const union object *b);
/* The printer `--print=objects` of one object: sorted, stable, some lines. */
void object_print(const union object *object, FILE *out);

const char *obj_label(const struct obj_meta *meta, const char *key);      /* NULL if not there */
const char *obj_annotation(const struct obj_meta *meta, const char *key); /* NULL if not there */

/* Annotations that Services may carry; docs/annotations.md. */
#define ANN_SCHEDULER      "vipd.dev/scheduler"
#define ANN_SCHEDULER_KR   "kube-router.io/service.scheduler" /* understood too */
#define ANN_SCHED_FLAGS    "vipd.dev/scheduler-flags"
#define ANN_SCHED_FLAGS_KR "kube-router.io/service.schedflags"
#define ANN_WEIGHTS        "vipd.dev/weights"
#define ANN_WEIGHT         "vipd.dev/weight" /* of a Pod */
#define ANN_CONNS_MAX      "vipd.dev/connections-max"
#define ANN_CONNS_MIN      "vipd.dev/connections-min"
#define ANN_SLOW_START     "vipd.dev/slow-start"
#define ANN_ONE_PACKET     "vipd.dev/one-packet"
#define ANN_FORWARDING     "vipd.dev/forwarding"
#define ANN_DSR_KR         "kube-router.io/service.dsr"
#define ANN_TUNNEL         "vipd.dev/tunnel"
#define ANN_FALLBACK       "vipd.dev/fallback"
#define ANN_TRIGGER_TIME   "endpoints.kubernetes.io/last-change-trigger-time"
#define TAINT_LEAVING      "ToBeDeletedByClusterAutoscaler"
#define LABEL_SERVICE_NAME "kubernetes.io/service-name"
#define LABEL_PROXY_NAME   "service.kubernetes.io/service-proxy-name"
#define LABEL_HEADLESS     "service.kubernetes.io/headless"
#define LABEL_ZONE         "topology.kubernetes.io/zone"

#endif
