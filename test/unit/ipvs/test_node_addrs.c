/* SPDX-License-Identifier: Apache-2.0 */
/* The IPVS backend: at which of the node's addresses there are node ports. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>
#include <cmocka.h>

#include "rig.h"

#define V4 "192.0.2.77"
#define V6 "2001:db8::77"

static bool has_node_ports(struct rig *rig, const char *text)
{
	struct kelem_parts parts = {0};

	assert_int_equal(addr_parse(text, &parts.addr), 0);
	return fake_has_elem(rig->fake, kelem_make(KSET_NODE_ADDRS, parts.addr.family, &parts));
}

/* With both addresses, a node port in both families, and node ports at `nets`. */
static struct rig *rig_with(struct ip_prefix *nets, size_t n)
{
	struct rig *rig = rig_new();

	fake_set_addr(rig->fake, V4, false);
	fake_set_addr(rig->fake, V6, false);
	rig->config.nodeport_nets = nets;
	rig->config.n_nodeport_nets = n;
	rig_put(rig, "10.96.0.1:80/TCP", "10.244.1.2");
	rig_put(rig, "[fd00:96::1]:80/TCP", "fd00:244:1::2");
	rig_put_entrance(rig, "node:30080/TCP", "10.96.0.1:80/TCP", NULL, NULL);
	rig_put_entrance(rig, "node6:30080/TCP", "[fd00:96::1]:80/TCP", NULL, NULL);
	rig_open(rig);
	return rig;
}

static void at_all_addresses_unless_told(void **state)
{
	struct rig *rig = rig_with(NULL, 0);

	(void)state;
	assert_true(has_node_ports(rig, V4) && has_node_ports(rig, V6));
	rig_free(rig);
}

static void nets_of_one_family_say_nothing_of_the_other(void **state)
{
	struct ip_prefix other, own;
	struct rig *rig;

	(void)state;
	assert_int_equal(prefix_parse("198.51.100.0/24", &other), 0);
	assert_int_equal(prefix_parse("192.0.2.0/24", &own), 0);
	rig = rig_with(&other, 1);
	assert_false(has_node_ports(rig, V4));
	assert_true(has_node_ports(rig, V6));
	rig_free(rig);
	rig = rig_with(&own, 1);
	assert_true(has_node_ports(rig, V4) && has_node_ports(rig, V6));
	rig_free(rig);
}

static void an_address_that_goes_takes_them_along(void **state)
{
	struct rig *rig = rig_with(NULL, 0);

	(void)state;
	fake_set_addr(rig->fake, "192.0.2.78", true);
	rig_work(rig);
	rig_pass(rig, 1000);
	assert_false(has_node_ports(rig, V4));
	assert_true(has_node_ports(rig, "192.0.2.78") && has_node_ports(rig, V6));
	rig_free(rig);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(at_all_addresses_unless_told),
		cmocka_unit_test(nets_of_one_family_say_nothing_of_the_other),
		cmocka_unit_test(an_address_that_goes_takes_them_along),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
