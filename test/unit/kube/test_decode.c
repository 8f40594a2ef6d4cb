/* SPDX-License-Identifier: Apache-2.0 */
/* Manifests as typed objects: what is read of each kind, what the API server would fill in, and
 * what is said about what cannot be right. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <cmocka.h>

#include "kube/decode.h"
#include "source/tree.h"

#define OBJECT(kind) "apiVersion: v1\nkind: " kind "\nmetadata: {name: a}\n"
#define SERVICE      OBJECT("Service")
#define SLICE                                                    \
	"apiVersion: discovery.k8s.io/v1\nkind: EndpointSlice\n" \
	"metadata: {name: a, labels: {kubernetes.io/service-name: web}}\n"
#define PORT      "ports: [{port: 80}]"
#define ENDPOINTS OBJECT("Endpoints")

static int decode(cJSON *tree, bool item, void *arg)
{
	union object **ret_object = arg, *object;
	char **ret_error = (char **)ret_object + 1;
	struct err err = {0};
	int rc = decode_object(tree, "f", &object, &err);

	(void)item;
	cJSON_Delete(tree);
	assert_null(*ret_object);
	assert_true(rc == 0 || (rc == -EINVAL && !object && err.code == rc));
	*ret_object = object;
	if (rc < 0 && !*ret_error)
		*ret_error = strdup(err.text);
	return 0;
}

/* What --print=objects says of the one document, its error, or "" if it is of a kind that is not
 * read. The caller frees. */
static char *decoded(const char *yaml)
{
	struct {
		union object *object;
		char *error;
	} got = {NULL, NULL};
	struct err err = {0};
	char *text = NULL;
	size_t len = 0;
	FILE *out;

	assert_int_equal(tree_read(yaml, strlen(yaml), 1, decode, &got, &err), 0);
	if (got.error)
		return got.error;
	out = open_memstream(&text, &len);
	assert_non_null(out);
	if (got.object)
		object_print(got.object, out);
	assert_int_equal(fclose(out), 0);
	object_free(got.object);
	return text;
}

struct vector {
	const char *yaml, *want;
};

static void check_all(const struct vector *vectors, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		cleanup_free char *got = decoded(vectors[i].yaml);

		if (strcmp(got, vectors[i].want) != 0)
			print_error("of:\n%s\n", vectors[i].yaml);
		assert_string_equal(got, vectors[i].want);
	}
}

#define CHECK(...)                                                    \
	do {                                                          \
		static const struct vector vectors[] = {__VA_ARGS__}; \
		check_all(vectors, ARRAY_SIZE(vectors));              \
	} while (0)

static void test_services(void **state)
{
	(void)state;
	CHECK({SERVICE "spec: {" PORT "}", "Service default/a\n"
					   "  type ClusterIP families=SingleStack\n"
					   "  port 80/TCP\n"},
	      {SERVICE "spec: {ports: [{port: 80, targetPort: 0}]}",
	       "Service default/a\n"
	       "  type ClusterIP families=SingleStack\n"
	       "  port 80/TCP\n"},
	      {SERVICE "spec: {clusterIP: None}",
	       "Service default/a\n"
	       "  type ClusterIP headless families=SingleStack\n"},
	      {SERVICE "spec: {type: ExternalName, externalName: x.example}",
	       "Service default/a\n"
	       "  type ExternalName families=SingleStack\n"},
	      {SERVICE "spec: {clusterIP: 10.0.0.1, clusterIPs: [10.0.0.1, 'fd00::1'], " PORT "}",
	       "Service default/a\n"
	       "  type ClusterIP families=SingleStack\n"
	       "  clusterip 10.0.0.1\n"
	       "  clusterip fd00::1\n"
	       "  port 80/TCP\n"},
	      {SERVICE
	       "spec: {clusterIP: '', clusterIPs: ['fd00::1', 10.0.0.1], ipFamilies: [IPv6, "
	       "IPv4], ipFamilyPolicy: RequireDualStack, " PORT "}",
	       "Service default/a\n"
	       "  type ClusterIP families=RequireDualStack\n"
	       "  family IPv6\n"
	       "  family IPv4\n"
	       "  clusterip fd00::1\n"
	       "  clusterip 10.0.0.1\n"
	       "  port 80/TCP\n"});
}

static void test_policies_of_services(void **state)
{
	(void)state;
	CHECK({SERVICE "spec: {sessionAffinity: ClientIP, " PORT "}",
	       "Service default/a\n"
	       "  type ClusterIP families=SingleStack\n"
	       "  port 80/TCP\n"
	       "  affinity 10800s\n"},
	      {SERVICE "spec: {sessionAffinity: ClientIP, sessionAffinityConfig: {clientIP: "
		       "{timeoutSeconds: 30}}, " PORT "}",
	       "Service default/a\n"
	       "  type ClusterIP families=SingleStack\n"
	       "  port 80/TCP\n"
	       "  affinity 30s\n"},
	      {SERVICE "spec: {sessionAffinityConfig: {clientIP: {timeoutSeconds: 30}}, " PORT "}",
	       "Service default/a\n"
	       "  type ClusterIP families=SingleStack\n"
	       "  port 80/TCP\n"},
	      {SERVICE
	       "spec: {publishNotReadyAddresses: true, selector: {b: x, a: z}, ports: [{name: "
	       "a, port: 80, targetPort: http}, {name: b, port: 80, protocol: UDP, "
	       "targetPort: 81}, {name: c, port: 80, protocol: SCTP, nodePort: 30000}]}",
	       "Service default/a\n"
	       "  type ClusterIP families=SingleStack\n"
	       "  port a 80/TCP target=http\n"
	       "  port b 80/UDP target=81\n"
	       "  port c 80/SCTP nodeport=30000\n"
	       "  selector a=z\n"
	       "  selector b=x\n"
	       "  policy publish-not-ready\n"},
	      {"apiVersion: v1\nkind: Service\nmetadata: {name: a, namespace: ns, "
	       "creationTimestamp: "
	       "'2024-01-02T03:04:05Z', labels: {x: z, service.kubernetes.io/service-proxy-name: "
	       "z}, "
	       "annotations: {vipd.dev/scheduler: lc, other: thing}}\nspec: {" PORT "}",
	       "Service ns/a\n"
	       "  created 1704164645000\n"
	       "  label service.kubernetes.io/service-proxy-name=z\n"
	       "  annotation vipd.dev/scheduler=lc\n"
	       "  type ClusterIP foreign families=SingleStack\n"
	       "  port 80/TCP\n"});
}

static void test_wrong_services(void **state)
{
	(void)state;
	CHECK({SERVICE "spec: {}", "f:4: Service default/a: spec: ports is missing"},
	      {SERVICE, "f:1: Service default/a: spec: ports is missing"},
	      {SERVICE "spec: {ports: [{port: '80'}]}",
	       "f:4: Service default/a: spec.ports[0].port: must be an integer from 1 to 65535, is "
	       "the string \"80\""},
	      {SERVICE "spec: {ports: [{port: 65536}]}",
	       "f:4: Service default/a: spec.ports[0].port: must be an integer from 1 to 65535, is "
	       "the number 65536"},
	      {SERVICE "spec: {ports: [{port: 80.5}]}",
	       "f:4: Service default/a: spec.ports[0].port: must be an integer from 1 to 65535, is "
	       "the number 80.5"},
	      {SERVICE "spec: {ports: [{targetPort: 80}]}",
	       "f:4: Service default/a: spec.ports[0]: port is missing"},
	      {SERVICE "spec: {ports: [80]}",
	       "f:4: Service default/a: spec.ports[0]: must be a mapping, is the number 80"},
	      {SERVICE "spec: {ports: {port: 80}}",
	       "f:4: Service default/a: spec.ports: must be a list, is a mapping"},
	      {SERVICE "spec: {ports: [{port: 80, targetPort: 70000}]}",
	       "f:4: Service default/a: spec.ports[0].targetPort: must be an integer from 1 to "
	       "65535 or a port's name, is the number 70000"},
	      {SERVICE "spec: {ports: [{port: 80, protocol: tcp}]}",
	       "f:4: Service default/a: spec.ports[0].protocol: must be one of TCP, UDP, SCTP, is "
	       "\"tcp\""},
	      {SERVICE "spec: {ports: [{name: a, port: 80}, {name: b, port: 80}]}",
	       "f:4: Service default/a: spec.ports[1]: port 80/TCP is there twice"},
	      {SERVICE "spec: {ports: [{name: a, port: 80}, {name: a, port: 81}]}",
	       "f:4: Service default/a: spec.ports[1]: name \"a\" is used twice"},
	      {SERVICE "spec: {ports: [{name: a, port: 80}, {port: 81}]}",
	       "f:4: Service default/a: spec.ports[1]: name is missing: with several ports each "
	       "needs one"});
}

static void test_wrong_addresses(void **state)
{
	(void)state;
	CHECK({SERVICE "spec: {clusterIP: 10.0.0.300, " PORT "}",
	       "f:4: Service default/a: spec.clusterIP: must be an IP address, is \"10.0.0.300\""},
	      {SERVICE "spec: {clusterIP: 127.0.0.1, " PORT "}",
	       "f:4: Service default/a: spec.clusterIP: must not be loopback, is 127.0.0.1"},
	      {SERVICE "spec: {clusterIP: 10, " PORT "}",
	       "f:4: Service default/a: spec.clusterIP: must be an IP address, is the number 10"},
	      {SERVICE "spec: {clusterIPs: [10.0.0.1, 10.0.0.2], " PORT "}",
	       "f:4: Service default/a: spec.clusterIPs[1]: must be one address a family"},
	      {SERVICE "spec: {clusterIP: 10.0.0.1, clusterIPs: [None], " PORT "}",
	       "f:4: Service default/a: spec.clusterIPs[0]: must not be None beside an address"},
	      {SERVICE "spec: {clusterIP: None, clusterIPs: [10.0.0.1], " PORT "}",
	       "f:4: Service default/a: spec.clusterIPs[0]: must not be an address beside None"},
	      {SERVICE "spec: {ipFamilies: [IPv4, IPv4], " PORT "}",
	       "f:4: Service default/a: spec.ipFamilies[1]: IPv4 is there twice"},
	      {SERVICE "spec: {ipFamilies: [IPv5], " PORT "}",
	       "f:4: Service default/a: spec.ipFamilies[0]: must be IPv4 or IPv6, is the string "
	       "\"IPv5\""},
	      {SERVICE "spec: {type: Clusterip, " PORT "}",
	       "f:4: Service default/a: spec.type: must be one of ClusterIP, NodePort, "
	       "LoadBalancer, ExternalName, is \"Clusterip\""},
	      {SERVICE "spec: {sessionAffinity: ClientIP, sessionAffinityConfig: {clientIP: "
		       "{timeoutSeconds: 86401}}, " PORT "}",
	       "f:4: Service default/a: spec.sessionAffinityConfig.clientIP.timeoutSeconds: must "
	       "be an integer from 1 to 86400, is the number 86401"},
	      {SERVICE "spec: {selector: {app: 1}, " PORT "}",
	       "f:4: Service default/a: spec.selector.app: must be a string, is the number 1"},
	      {SERVICE "spec: {publishNotReadyAddresses: yes please, " PORT "}",
	       "f:4: Service default/a: spec.publishNotReadyAddresses: must be true or false, is "
	       "the string \"yes please\""},
	      {"apiVersion: v1\nkind: Service\nmetadata: {}\nspec: {" PORT "}",
	       "f:3: Service ?: metadata: name is missing"},
	      {"apiVersion: v1\nkind: Service\nspec: {" PORT "}",
	       "f:1: Service ?: metadata: name is missing"},
	      {"apiVersion: v1\nkind: Service\nmetadata: {name: a/b}\nspec: {" PORT "}",
	       "f:3: Service ?: metadata: name \"a/b\" is not a valid name"},
	      {"apiVersion: v1\nkind: Service\nmetadata: {name: a, namespace: 'b c'}\nspec: {" PORT
	       "}",
	       "f:3: Service ?: metadata: namespace \"b c\" is not a valid name"});
}

static void test_slices(void **state)
{
	(void)state;
	CHECK({SLICE
	       "addressType: IPv4\nports: [{name: http, port: 8080}, {port: 53, protocol: UDP}]\n"
	       "endpoints:\n- {addresses: [10.1.0.1, 10.1.0.2], nodeName: node}\n"
	       "- {addresses: [10.1.0.3], conditions: {ready: false}}\n"
	       "- {addresses: [10.1.0.4], conditions: {ready: false, serving: true, "
	       "terminating: true}}\n"
	       "- {addresses: [10.1.0.5], conditions: {ready: null}, hints: {forZones: [{name: "
	       "z1}, {name: z2}], forNodes: [{name: node}]}}\n",
	       "EndpointSlice default/a\n"
	       "  label kubernetes.io/service-name=web\n"
	       "  service web IPv4\n"
	       "  port http 8080/TCP\n"
	       "  port 53/UDP\n"
	       "  endpoint 10.1.0.1 ready serving node=node\n"
	       "  endpoint 10.1.0.3\n"
	       "  endpoint 10.1.0.4 serving terminating\n"
	       "  endpoint 10.1.0.5 ready serving zones=z1,z2 nodes=node\n"},
	      {SLICE "addressType: IPv6\nendpoints: [{addresses: ['fd00::1']}]\nports: []",
	       "EndpointSlice default/a\n"
	       "  label kubernetes.io/service-name=web\n"
	       "  service web IPv6\n"
	       "  endpoint fd00::1 ready serving\n"},
	      {SLICE "addressType: FQDN\nendpoints: [{addresses: [x.example]}]",
	       "EndpointSlice default/a\n"
	       "  label kubernetes.io/service-name=web\n"
	       "  service web\n"},
	      {SLICE "addressType: IPv4\nendpoints: null",
	       "EndpointSlice default/a\n"
	       "  label kubernetes.io/service-name=web\n"
	       "  service web IPv4\n"},
	      {SLICE "endpoints: []", "f:1: EndpointSlice default/a: addressType is missing"},
	      {SLICE "addressType: IPv4\nendpoints: [{addresses: ['fd00::1']}]",
	       "f:5: EndpointSlice default/a: endpoints[0].addresses[0]: is not of the slice's "
	       "addressType"},
	      {SLICE "addressType: IPv4\nendpoints: [{addresses: []}]",
	       "f:5: EndpointSlice default/a: endpoints[0].addresses: is missing"},
	      {SLICE "addressType: IPv4\nendpoints: [10.1.0.1]",
	       "f:5: EndpointSlice default/a: endpoints[0]: must be a mapping, is the string "
	       "\"10.1.0.1\""},
	      {SLICE "addressType: IPv4\nendpoints: [{addresses: [169.254.0.1]}]",
	       "f:5: EndpointSlice default/a: endpoints[0].addresses[0]: must not be link-local, "
	       "is 169.254.0.1"},
	      {SLICE "addressType: IPv4\nports: [{port: 0}]",
	       "f:5: EndpointSlice default/a: ports[0].port: must be an integer from 1 to 65535, "
	       "is the number 0"},
	      {SLICE "addressType: IPv4\nendpoints: [{addresses: [10.1.0.1], conditions: {ready: "
		     "'true'}}]",
	       "f:5: EndpointSlice default/a: endpoints[0].conditions.ready: must be true or "
	       "false, is the string \"true\""});
}

static void test_endpoints(void **state)
{
	(void)state;
	CHECK({ENDPOINTS
	       "subsets:\n- addresses: [{ip: 10.1.0.1, nodeName: node}, {ip: 'fd00::1'}]\n"
	       "  notReadyAddresses: [{ip: 10.1.0.2}]\n  ports: [{port: 80}]\n"
	       "- ports: [{name: x, port: 81}]\n",
	       "Endpoints default/a\n"
	       "  service a\n"
	       "  port 80/TCP\n"
	       "  endpoint 10.1.0.1 ready serving node=node\n"
	       "  endpoint fd00::1 ready serving\n"
	       "  endpoint 10.1.0.2\n"
	       "  service a\n"
	       "  port x 81/TCP\n"},
	      {ENDPOINTS, "Endpoints default/a\n"},
	      {ENDPOINTS "subsets: [{addresses: [{hostname: x}]}]",
	       "f:4: Endpoints default/a: subsets[0].addresses[0]: ip is missing"},
	      {ENDPOINTS "subsets: [{addresses: [{ip: 0.0.0.0}]}]",
	       "f:4: Endpoints default/a: subsets[0].addresses[0]: must not be unspecified, is "
	       "0.0.0.0"});
}

static void test_pods(void **state)
{
	(void)state;
	CHECK({OBJECT("Pod") "status: {podIP: 10.1.0.1, podIPs: [{ip: 10.1.0.1}, {ip: 'fd00::1'}]}",
	       "Pod default/a\n"
	       "  pod ready\n"
	       "  ip 10.1.0.1\n"
	       "  ip fd00::1\n"},
	      {OBJECT("Pod") "status: {podIP: 10.1.0.1, phase: Pending}", "Pod default/a\n"
									  "  pod\n"
									  "  ip 10.1.0.1\n"},
	      {OBJECT("Pod") "status: {podIP: 10.1.0.1, phase: Running, conditions: [{type: Ready, "
			     "status: 'False'}]}",
	       "Pod default/a\n"
	       "  pod\n"
	       "  ip 10.1.0.1\n"},
	      {OBJECT("Pod") "status: {podIP: 10.1.0.1, phase: Running, conditions: [{type: Other, "
			     "status: 'False'}, {type: Ready, status: 'True'}]}",
	       "Pod default/a\n"
	       "  pod ready\n"
	       "  ip 10.1.0.1\n"},
	      {OBJECT("Pod") "status: {podIP: 10.1.0.1, phase: Succeeded}", "Pod default/a\n"
									    "  pod finished\n"
									    "  ip 10.1.0.1\n"},
	      {OBJECT("Pod") "spec: {hostNetwork: true}\nstatus: {hostIP: 10.9.0.1}",
	       "Pod default/a\n"
	       "  pod ready\n"
	       "  ip 10.9.0.1\n"},
	      {OBJECT("Pod") "status: {hostIP: 10.9.0.1}", "Pod default/a\n"
							   "  pod ready\n"},
	      {OBJECT("Pod") "spec: {nodeName: node, containers: [{name: c, ports: [{name: http, "
			     "containerPort: 8080}, {containerPort: 9}]}, {name: d, ports: [{name: "
			     "dns, containerPort: 53, protocol: UDP}]}]}",
	       "Pod default/a\n"
	       "  pod ready node=node\n"
	       "  port http 8080/TCP\n"
	       "  port dns 53/UDP\n"},
	      {"apiVersion: v1\nkind: Pod\nmetadata: {name: a, labels: {b: x, a: z}, "
	       "deletionTimestamp: '2024-01-02T03:04:05Z'}",
	       "Pod default/a\n"
	       "  label a=z\n"
	       "  label b=x\n"
	       "  pod ready terminating\n"},
	      {OBJECT("Pod") "status: {podIP: 10.1.0}",
	       "f:4: Pod default/a: status.podIP: must be an IP address, is \"10.1.0\""});
}

static void test_nodes(void **state)
{
	(void)state;
	CHECK({"apiVersion: v1\nkind: Node\nmetadata: {name: a, namespace: x, labels: "
	       "{topology.kubernetes.io/zone: z}}\nspec: {podCIDRs: [10.1.0.0/24, 'fd00::/64']}\n"
	       "status: {addresses: [{type: ExternalIP, address: 192.0.2.1}, {type: Hostname, "
	       "address: a}, {type: InternalIP, address: 10.9.0.1}]}",
	       "Node a\n"
	       "  address 10.9.0.1\n"
	       "  address 192.0.2.1\n"
	       "  podcidr 10.1.0.0/24\n"
	       "  podcidr fd00::/64\n"
	       "  zone z\n"},
	      {OBJECT("Node") "spec: {podCIDRs: [10.1.0.0/33]}",
	       "f:4: Node a: spec.podCIDRs[0]: must be a network like 10.0.0.0/8, is the string "
	       "\"10.1.0.0/33\""});
}

static void test_other_kinds(void **state)
{
	(void)state;
	CHECK({OBJECT("ConfigMap") "data: 7", ""}, {"apiVersion: v2\nkind: Service\nspec: 7", ""},
	      {"apiVersion: serving.knative.dev/v1\nkind: Service\nspec: 7", ""},
	      {"kind: Service", "f:1: Service: apiVersion is missing"}, {"kind: Deployment", ""},
	      {"kind: Service\napiVersion: 1", ""}, {"{}", ""},
	      {"[]", "f:1: must be a mapping with apiVersion and kind"},
	      {"text", "f:1: must be a mapping with apiVersion and kind"});
}

/* Everything wrong with an object is told at once, as far as it fits. */
static void test_several_errors(void **state)
{
	(void)state;
	CHECK({SERVICE "spec:\n  clusterIP: x\n  ports:\n  - {port: 0}\n  - {port: z}\n",
	       "f:7: Service default/a: spec.ports[0].port: must be an integer from 1 to 65535, is "
	       "the number 0; f:7: Service default/a: spec.ports[0]: name is missing: with several "
	       "ports each needs one; f:8: Service default/a: spec.ports[1].port: must be an "
	       "integer from 1 to 65535, is the string \"z\"; f:8: Service default/a: "
	       "spec.ports[1]: name is missing: with several ports each needs one; f:5: Service "
	       "default/a: spec.clusterIP: must be an IP address, is \"x\""});
}

/* What does not fit is left out whole, and said to be. */
static void test_more_errors_than_fit(void **state)
{
	(void)state;
	CHECK({SERVICE
	       "spec: {ports: [{port: 0}, {port: 0}, {port: 0}, {port: 0}, {port: 0}, {port: 0}]}",
	       "f:4: Service default/a: spec.ports[0].port: must be an integer from 1 to 65535, is "
	       "the number 0; f:4: Service default/a: spec.ports[0]: name is missing: with several "
	       "ports each needs one; f:4: Service default/a: spec.ports[1].port: must be an "
	       "integer from 1 to 65535, is the number 0; f:4: Service default/a: spec.ports[1]: "
	       "name is missing: with several ports each needs one; f:4: Service default/a: "
	       "spec.ports[2].port: must be an integer from 1 to 65535, is the number 0; and "
	       "more"});
}

/* The last of equal keys counts; null is as good as nothing. */
static void test_twice_and_null(void **state)
{
	(void)state;
	CHECK({SERVICE "spec: {" PORT ", type: Wrong, type: NodePort, clusterIP: null}",
	       "Service default/a\n"
	       "  type NodePort families=SingleStack\n"
	       "  port 80/TCP\n"});
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_services),
		cmocka_unit_test(test_wrong_services),
		cmocka_unit_test(test_wrong_addresses),
		cmocka_unit_test(test_policies_of_services),
		cmocka_unit_test(test_slices),
		cmocka_unit_test(test_endpoints),
		cmocka_unit_test(test_pods),
		cmocka_unit_test(test_nodes),
		cmocka_unit_test(test_other_kinds),
		cmocka_unit_test(test_several_errors),
		cmocka_unit_test(test_twice_and_null),
		cmocka_unit_test(test_more_errors_than_fit),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
