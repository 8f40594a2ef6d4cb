/* SPDX-License-Identifier: Apache-2.0 */
/* src/model/policy.c: what a Service's annotations ask for, and what they are told. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>
#include <linux/ip_vs.h>

#include "make.h"
#include "model/policy.h"

/* The policy of a Service with that words (make.h); the object lives as long as the test does. */
static struct svc_policy read_policy(const char *words, union object **ret_object)
{
	struct svc_policy policy;
	char text[1024];

	snprintf(text, sizeof(text), "service n/s vip=10.96.0.1 port=53/UDP %s", words);
	*ret_object = make_object(text);
	assert_int_equal(policy_read(&(*ret_object)->service, &policy), 0);
	return policy;
}

static void schedulers_and_flags(void **state)
{
	static const struct {
		const char *words, *scheduler;
		uint32_t flags;
		const char *note; /* a part of it; NULL = none */
	} cases[] = {
		{"ann=vipd.dev/scheduler:lc", "lc", 0, NULL},
		{"ann=kube-router.io/service.scheduler:mh", "mh", 0, NULL},
		{"ann=vipd.dev/scheduler:lc ann=kube-router.io/service.scheduler:mh", "lc", 0,
		 NULL},
		{"ann=vipd.dev/scheduler:fair", "", 0, "is no scheduler"},
		{"ann=vipd.dev/scheduler:sh ann=vipd.dev/scheduler-flags:sh-port", "sh",
		 IP_VS_SVC_F_SCHED_SH_PORT, NULL},
		{"ann=vipd.dev/scheduler:mh ann=vipd.dev/scheduler-flags:mh-port,mh-fallback", "mh",
		 IP_VS_SVC_F_SCHED1 | IP_VS_SVC_F_SCHED2, NULL},
		{"ann=vipd.dev/scheduler:sh ann=vipd.dev/scheduler-flags:mh-fallback", "sh", 0,
		 "is for scheduler mh"},
		{"ann=vipd.dev/scheduler:sh ann=vipd.dev/scheduler-flags:fast", "sh", 0,
		 "is no flag"},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		union object *object;
		struct svc_policy policy = read_policy(cases[i].words, &object);

		assert_string_equal(policy.lb.scheduler, cases[i].scheduler);
		assert_int_equal(policy.lb.sched_flags, cases[i].flags);
		assert_int_equal(policy.notes != NULL, cases[i].note != NULL);
		if (cases[i].note)
			assert_non_null(strstr(policy.notes, cases[i].note));
		policy_done(&policy);
		object_free(object);
	}
}

static void weights_by_address_and_node(void **state)
{
	struct ip_addr a = make_addr("10.244.1.2"), b = make_addr("10.244.1.3");
	union object *object;
	struct svc_policy policy = read_policy(
		"ann=vipd.dev/weights:10.244.1.2=3,node-b=0,x=65536,y=,=4,z=1x", &object);

	(void)state;
	assert_string_equal(policy.lb.scheduler, "wrr"); /* for rr a weight is no weight */
	assert_int_equal(policy.n_weights, 2);
	assert_int_equal(policy_weight(&policy, &a, "node-b", NULL), 3);
	assert_int_equal(policy_weight(&policy, &b, "node-b", NULL), 0);
	assert_int_equal(policy_weight(&policy, &b, "node-a", NULL), 1);
	assert_int_equal(policy_weight(&policy, &b, NULL, NULL), 1);
	assert_int_equal(policy_weight(&policy, &b, "node-b", "7"), 7); /* the Pod's own */
	assert_int_equal(policy_weight(&policy, &b, "node-b", "70000"), 0);
	assert_non_null(strstr(policy.notes, "\"x=65536\""));
	assert_non_null(strstr(policy.notes, "\"z=1x\""));
	policy_done(&policy);
	object_free(object);
}

static void weights_leave_a_scheduler_alone(void **state)
{
	union object *object;
	struct svc_policy policy =
		read_policy("ann=vipd.dev/scheduler:wlc ann=vipd.dev/weights:node-b=2", &object);

	(void)state;
	assert_string_equal(policy.lb.scheduler, "wlc");
	policy_done(&policy);
	object_free(object);
}

static void connection_limits(void **state)
{
	static const struct {
		const char *words;
		uint32_t max, min;
		bool noted;
	} cases[] = {
		{"ann=vipd.dev/connections-max:100 ann=vipd.dev/connections-min:80", 100, 80,
		 false},
		{"ann=vipd.dev/connections-max:100", 100, 0, false},
		{"ann=vipd.dev/connections-max:100 ann=vipd.dev/connections-min:101", 0, 0, true},
		{"ann=vipd.dev/connections-min:1", 0, 0, true},
		{"ann=vipd.dev/connections-max:-1", 0, 0, true},
		{"ann=vipd.dev/connections-max:10k", 0, 0, true},
		{"ann=vipd.dev/connections-max:2147483648", 0, 0, true},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		union object *object;
		struct svc_policy policy = read_policy(cases[i].words, &object);

		assert_int_equal(policy.lb.conns_max, cases[i].max);
		assert_int_equal(policy.lb.conns_min, cases[i].min);
		assert_int_equal(policy.notes != NULL, cases[i].noted);
		policy_done(&policy);
		object_free(object);
	}
}

static void one_packet_is_for_datagrams(void **state)
{
	union object *object = make_object("service n/s vip=10.96.0.1 port=80/TCP "
					   "ann=vipd.dev/one-packet:true");
	struct svc_policy policy;

	(void)state;
	assert_int_equal(policy_read(&object->service, &policy), 0);
	assert_false(policy.lb.one_packet);
	assert_non_null(strstr(policy.notes, "no UDP port"));
	policy_done(&policy);
	object_free(object);
	policy = read_policy("ann=vipd.dev/one-packet:true", &object);
	assert_true(policy.lb.one_packet);
	assert_null(policy.notes);
	policy_done(&policy);
	object_free(object);
	policy = read_policy("ann=vipd.dev/one-packet:yes", &object);
	assert_false(policy.lb.one_packet);
	assert_non_null(strstr(policy.notes, "\"yes\""));
	policy_done(&policy);
	object_free(object);
}

static void forwarding_and_tunnels(void **state)
{
	static const struct {
		const char *words;
		int forwarding, type, port;
		bool noted;
	} cases[] = {
		{"ann=vipd.dev/forwarding:direct", FORWARD_DIRECT, 0, 0, false},
		{"ann=vipd.dev/forwarding:masquerade", FORWARD_MASQUERADE, 0, 0, false},
		{"ann=vipd.dev/forwarding:tunnel", FORWARD_TUNNEL, TUNNEL_IPIP, 0, false},
		{"ann=kube-router.io/service.dsr:tunnel", FORWARD_TUNNEL, TUNNEL_IPIP, 0, false},
		{"ann=vipd.dev/forwarding:tunnel ann=vipd.dev/tunnel:gre", FORWARD_TUNNEL,
		 TUNNEL_GRE, 0, false},
		{"ann=vipd.dev/forwarding:tunnel ann=vipd.dev/tunnel:gue:6080", FORWARD_TUNNEL,
		 TUNNEL_GUE, 6080, false},
		{"ann=vipd.dev/forwarding:tunnel ann=vipd.dev/tunnel:gue", FORWARD_MASQUERADE, 0, 0,
		 true},
		{"ann=vipd.dev/forwarding:tunnel ann=vipd.dev/tunnel:gue:0", FORWARD_MASQUERADE, 0,
		 0, true},
		{"ann=vipd.dev/forwarding:tunnel ann=vipd.dev/tunnel:gue:65536", FORWARD_MASQUERADE,
		 0, 0, true},
		{"ann=vipd.dev/forwarding:tunnel ann=vipd.dev/tunnel:ipip:1", FORWARD_MASQUERADE, 0,
		 0, true},
		{"ann=vipd.dev/forwarding:fast", FORWARD_MASQUERADE, 0, 0, true},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		union object *object;
		struct svc_policy policy = read_policy(cases[i].words, &object);

		assert_int_equal(policy.lb.forwarding, cases[i].forwarding);
		assert_int_equal(policy.lb.tunnel_type, cases[i].type);
		assert_int_equal(policy.lb.tunnel_port, cases[i].port);
		assert_int_equal(policy.notes != NULL, cases[i].noted);
		policy_done(&policy);
		object_free(object);
	}
}

static void name_of_the_fallback(void **state)
{
	static const struct {
		const char *words, *key;
	} cases[] = {
		{"ann=vipd.dev/fallback:sorry", "n/sorry"},
		{"ann=vipd.dev/fallback:other/sorry", "other/sorry"},
		{"", NULL},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		char buf[600];
		union object *object;
		struct svc_policy policy = read_policy(cases[i].words, &object);
		const char *key = policy_fallback(&object->service, buf, sizeof(buf));

		if (cases[i].key)
			assert_string_equal(key, cases[i].key);
		else
			assert_null(key);
		policy_done(&policy);
		object_free(object);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(schedulers_and_flags),
		cmocka_unit_test(weights_by_address_and_node),
		cmocka_unit_test(weights_leave_a_scheduler_alone),
		cmocka_unit_test(connection_limits),
		cmocka_unit_test(one_packet_is_for_datagrams),
		cmocka_unit_test(forwarding_and_tunnels),
		cmocka_unit_test(name_of_the_fallback),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
