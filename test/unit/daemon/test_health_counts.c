/* SPDX-License-Identifier: Apache-2.0 */
/* What `desired` says of a Service's health checks: whether it has any, and how many endpoints
 * count. The node is called "here". */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include "model/desired.h"
#include "model/make.h"

#define SLICES_MAX 3

struct counted {
	uint16_t port;
	size_t n;
};

static struct counted compute(const union object *service, const char *const *slices)
{
	const struct desired_config config = {.place = {.node_name = "here", .zone = "z"}};
	const struct slice *list[SLICES_MAX];
	union object *objects[SLICES_MAX];
	struct svc_inputs in = {.service = &service->service, .slices = list};
	struct counted result;
	struct svc_want want;

	for (; slices[in.n_slices]; in.n_slices++) {
		objects[in.n_slices] = make_object(slices[in.n_slices]);
		list[in.n_slices] = &objects[in.n_slices]->slice;
	}
	assert_int_equal(desired_compute(&config, &in, &want), 0);
	result = (struct counted){want.health_port, want.n_local_ready};
	svc_want_done(&want);
	for (size_t i = 0; i < in.n_slices; i++)
		object_free(objects[i]);
	return result;
}

static union object *load_balancer(void)
{
	union object *service = make_object("service default/web vip=10.96.0.1 vip=fd00:96::1 "
					    "port=a:80/TCP port=b:81/TCP");

	service->service.type = SVC_LOAD_BALANCER;
	service->service.etp_local = true;
	service->service.health_check_node_port = 32000;
	return service;
}

static void what_counts(void **state)
{
	static const struct {
		size_t n;
		const char *slices[SLICES_MAX + 1];
	} cases[] = {
		{0, {NULL}},
		{0, {"slice default/s of=web port=a:8080/TCP ep=10.0.0.1@there ep=10.0.0.2"}},
		{2,
		 {"slice default/s of=web port=a:8080/TCP ep=10.0.0.1@here ep=10.0.0.2@here "
		  "ep=10.0.0.3@there"}},
		/* an address counts once over all ports and slices */
		{2,
		 {"slice default/s of=web port=a:8080/TCP port=b:8081/TCP ep=10.0.0.1@here",
		  "slice default/t of=web port=a:9090/TCP ep=10.0.0.1@here ep=10.0.0.2@here"}},
		{1, {"slice default/s of=web port=b:8081/TCP ep=10.0.0.1@here"}},
		{0, {"slice default/s of=web port=other:8081/TCP ep=10.0.0.1@here"}},
		/* terminating ones never count, though they are used where there is no other */
		{0, {"slice default/s of=web port=a:8080/TCP ep=10.0.0.1!st@here"}},
		{1,
		 {"slice default/s of=web port=a:8080/TCP ep=10.0.0.1!st@here "
		  "ep=10.0.0.2!rs@here"}},
		{1,
		 {"slice default/s of=web port=a:8080/TCP ep=10.0.0.1!st@here",
		  "slice default/t of=web port=b:8080/TCP ep=10.0.0.2@here"}},
		{0, {"slice default/s of=web port=a:8080/TCP ep=10.0.0.1!s@here"}},
		/* a Pod has an address in both families: the family with more */
		{2,
		 {"slice default/s of=web port=a:8080/TCP ep=10.0.0.1@here",
		  "slice default/t of=web port=a:8080/TCP ep=fd00::1@here ep=fd00::2@here"}},
		{3,
		 {"slice default/s of=web port=a:8080/TCP ep=10.0.0.1@here ep=10.0.0.2@here "
		  "ep=10.0.0.3@here",
		  "slice default/t of=web port=a:8080/TCP ep=fd00::1@here"}},
	};
	union object *service = load_balancer();

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct counted counted = compute(service, cases[i].slices);

		assert_int_equal(counted.port, 32000);
		assert_int_equal(counted.n, cases[i].n);
	}
	object_free(service);
}

static void who_has_them(void **state)
{
	static const char *const slices[] = {
		"slice default/s of=web port=a:8080/TCP ep=10.0.0.1@here", NULL};
	union object *service = load_balancer();
	struct service *svc = &service->service;

	(void)state;
	assert_int_equal(compute(service, slices).port, 32000);
	svc->etp_local = false;
	assert_int_equal(compute(service, slices).port, 0);
	assert_int_equal(compute(service, slices).n, 0);
	svc->etp_local = true;
	svc->type = SVC_NODE_PORT;
	assert_int_equal(compute(service, slices).port, 0);
	svc->type = SVC_LOAD_BALANCER;
	svc->health_check_node_port = 0;
	assert_int_equal(compute(service, slices).port, 0);
	svc->health_check_node_port = 32000;
	svc->headless = true;
	assert_int_equal(compute(service, slices).port, 0);
	svc->headless = false;
	svc->foreign = true;
	assert_int_equal(compute(service, slices).port, 0);
	object_free(service);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_counts),
		cmocka_unit_test(who_has_them),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
