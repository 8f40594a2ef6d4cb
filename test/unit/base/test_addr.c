/* SPDX-License-Identifier: Apache-2.0 */
/* Addresses and prefixes: what is read, what is refused, what is printed. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include "addr.h"

static void parse_and_print(void **state)
{
	static const struct {
		const char *in, *out; /* out NULL = refused */
	} cases[] = {
		{"10.0.0.1", "10.0.0.1"},
		{"010.000.0.01", "10.0.0.1"},
		{"::ffff:1.2.3.4", "1.2.3.4"},
		{"FD00::1", "fd00::1"},
		{"fd00:0:0:0:0:0:0:1", "fd00::1"},
		{"256.0.0.1", NULL},
		{"1.2.3", NULL},
		{"1.2.3.4.5", NULL},
		{"1.2.3.4 ", NULL},
		{"", NULL},
		{"fe80::1%eth0", NULL},
		{"::1::", NULL},
	};
	char text[ADDR_TEXT_MAX];

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct ip_addr addr;
		int rc = addr_parse(cases[i].in, &addr);

		assert_int_equal(rc == 0, cases[i].out != NULL);
		if (cases[i].out)
			assert_string_equal(addr_format(&addr, text), cases[i].out);
	}
}

static void prefixes(void **state)
{
	static const struct {
		const char *prefix, *addr;
		bool in;
	} cases[] = {
		{"10.244.0.0/16", "10.244.255.1", true},  {"10.244.0.0/16", "10.245.0.1", false},
		{"10.244.0.0/17", "10.244.128.0", false}, {"0.0.0.0/0", "255.1.2.3", true},
		{"0.0.0.0/0", "fd00::1", false},          {"fd00::/63", "fd00:0:0:1::5", true},
		{"10.0.0.1/32", "10.0.0.1", true},        {"10.0.0.1/32", "10.0.0.2", false},
	};
	static const char *const bad[] = {"10.0.0.0",    "10.0.0.0/33", "::/129",       "10.0.0.0/",
					  "10.0.0.0/+8", "/8",          "10.0.0.0/0008"};
	struct ip_prefix prefix;
	struct ip_addr addr;
	char text[PREFIX_TEXT_MAX];

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		assert_int_equal(prefix_parse(cases[i].prefix, &prefix), 0);
		assert_int_equal(addr_parse(cases[i].addr, &addr), 0);
		assert_int_equal(prefix_contains(&prefix, &addr), cases[i].in);
	}
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++)
		assert_true(prefix_parse(bad[i], &prefix) < 0);
	assert_int_equal(prefix_parse("10.1.2.3/8", &prefix), 0);
	assert_string_equal(prefix_format(&prefix, text), "10.0.0.0/8");
}

static void order_and_kinds(void **state)
{
	struct ip_addr v4, v6;
	char text[ADDR_PORT_TEXT_MAX];

	(void)state;
	assert_int_equal(addr_parse("9.0.0.1", &v4), 0);
	assert_int_equal(addr_parse("::2", &v6), 0);
	assert_true(addr_cmp(&v4, &v6) < 0 && addr_cmp(&v6, &v4) > 0);
	assert_string_equal(addr_port_format(&v6, 80, text), "[::2]:80");
	assert_string_equal(addr_port_format(&v4, 65535, text), "9.0.0.1:65535");
	assert_null(addr_unusable(&v4));
	assert_int_equal(addr_parse("127.3.2.1", &v4), 0);
	assert_string_equal(addr_unusable(&v4), "loopback");
	assert_int_equal(addr_parse("fe80::1", &v6), 0);
	assert_string_equal(addr_unusable(&v6), "link-local");
	assert_int_equal(proto_parse("UDP"), IPPROTO_UDP);
	assert_int_equal(proto_parse("udp"), 0);
	assert_string_equal(proto_name(IPPROTO_SCTP), "SCTP");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(parse_and_print),
		cmocka_unit_test(prefixes),
		cmocka_unit_test(order_and_kinds),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
