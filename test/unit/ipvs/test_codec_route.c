/* SPDX-License-Identifier: Apache-2.0 */
/* The rtnetlink codec: bindings as ip(8) adds and removes local routes, and what a kernel listed of
 * routes and addresses. The bytes are of iproute2 6.1 on Linux 6.x. */
#include "codec_bytes.h"

#include <linux/if_addr.h>
#include <linux/rtnetlink.h>

#include "route_codec.h"

#define LO      1
#define NO_LINK ((const int[]){LO, 77})

/* ip route append local 10.96.0.2/32 dev lo table local scope host proto 118 */
static const char append4[] = "2c0000001800010c000000000000000002200000ff76fe0200000000"
			      "080001000a6000020800040001000000";
/* ip route replace local 10.96.0.1/32 ... */
static const char replace4[] = "2c00000018000105000000000000000002200000ff76fe0200000000"
			       "080001000a6000010800040001000000";
/* ip route del local 10.96.0.1/32 ... */
static const char del4[] = "2c00000019000100000000000000000002200000ff76fe0200000000"
			   "080001000a6000010800040001000000";
/* ip -6 route add local fd00:96::1/128 ... scope host */
static const char add6[] = "38000000180001060000000000000000"
			   "0a800000ff76fe0200000000"
			   "14000100fd0000960000000000000000000000010800040001000000";
/* ip route add ... src 127.0.0.1, as it was asked (its attributes are ordered otherwise), and what
 * the kernel listed */
static const char add4_src[] = "34000000180001060000000000000000"
			       "02200000ff76fe0200000000080001000a600001"
			       "080007007f0000010800040001000000";
static const char list4[] = "34000000180022000000000000000000"
			    "02200000ff76fe020000000008000f00ff000000"
			    "080001000a6000020800040001000000";
static const char list6[] =
	"74000000180022000000000000000000"
	"0a800000ff7600020000000008000f00ff00000014000100fd0000960000000000000000000000010800060000"
	"040000080004000100000024000c00000000000000000000000000000000000000000000000000000000000000"
	"00000500140000000000";
/* Local, but the kernel's own (proto 2) */
static const char list6_kernel[] =
	"74000000180022000000000000000000"
	"0a800000ff0200020000000008000f00ff00000014000100000000000000000000000000000000010800060000"
	"000000080004000000000024000c00000000000000000000000000000000000000000000000000000000000000"
	"00000500140000000000";

/* Addresses that ip address show listed. */
static const char addr_global4[] =
	"4c000000140002000000000000000000021880000300000008000100c000020708000200c0000207"
	"070003007630000008000800800000"
	"0014000600fffffffffffffffff9c31a00f9c31a00";
static const char addr_global6[] = "48000000140002000000000000000000"
				   "0a4082000300000014000100"
				   "20010db8000000000000000000000009"
				   "14000600fffffffffffffffffac31a00fac31a00"
				   "0800080082000000";
static const char addr_deprecated4[] = "4c000000140002000000000000000000"
				       "0218a1000300000008000100c000020808000200c0000208"
				       "070003007630000008000800a1000000"
				       "14000600fffffffffffffffffac31a00fac31a00";
static const char addr_tentative6[] = "48000000140002000000000000000000"
				      "0a40c0000300000014000100"
				      "20010db8000000000000000000000007"
				      "14000600fffffffffffffffff9c31a00f9c31a00"
				      "08000800c0000000";
static const char addr_link6[] = "50000000140002000000000000000000"
				 "0a4080fd0300000014000100"
				 "fe800000000000005c1d0ffffe0e3613"
				 "14000600fffffffffffffffff1c31a00f1c31a00"
				 "0800080080000000"
				 "05000b0003000000";
static const char addr_loopback[] = "4c000000140002000000000000000000"
				    "020880fe01000000080001007f000001080002007f000001"
				    "070003006c6f00000800080080000000"
				    "14000600fffffffffffffffff0c31a00f0c31a00";

static struct ip_addr addr(const char *text)
{
	struct ip_addr parsed;

	assert_int_equal(addr_parse(text, &parsed), 0);
	return parsed;
}

static struct kbinding binding_of(const char *vip, const char *src)
{
	struct kbinding binding;

	memset(&binding, 0, sizeof(binding));
	binding.vip = addr(vip);
	if (src)
		binding.src = addr(src);
	return binding;
}

static void check_put(enum kverb verb, const char *vip, const char *hex)
{
	struct kbinding binding = binding_of(vip, NULL), got;
	struct nl_batch *batch = batch_unsent();
	cleanup_free struct nlmsghdr *want = message_parse(hex);
	cleanup_free struct nlmsghdr *msg =
		batch_take(batch, route_put_binding(batch, verb, &binding, LO));

	assert_same_message(msg, want);
	assert_int_equal(msg->nlmsg_type, want->nlmsg_type);
	assert_int_equal(msg->nlmsg_flags, want->nlmsg_flags);
	assert_true(route_get_binding(msg, &got));
	assert_memory_equal(&got, &binding, sizeof(got));
	nl_batch_free(batch);
}

static void bindings_are_written_as_ip_does(void **state)
{
	(void)state;
	check_put(KV_ADD, "10.96.0.2", append4);
	check_put(KV_SET, "10.96.0.1", replace4);
	check_put(KV_DEL, "10.96.0.1", del4);
	check_put(KV_ADD, "fd00:96::1", add6);
}

static void check_get(const char *hex, struct kbinding want)
{
	cleanup_free struct nlmsghdr *msg = message_parse(hex);
	struct kbinding got;

	assert_true(route_get_binding(msg, &got));
	assert_memory_equal(&got, &want, sizeof(got));
}

static void sources_come_back(void **state)
{
	const struct kbinding with[] = {binding_of("10.96.0.1", "192.0.2.7"),
					binding_of("fd00:96::1", "2001:db8::7")};
	struct nl_batch *batch = batch_unsent();
	struct kbinding got;

	(void)state;
	check_get(add4_src, binding_of("10.96.0.1", "127.0.0.1"));
	for (size_t i = 0; i < ARRAY_SIZE(with); i++) {
		cleanup_free struct nlmsghdr *add =
			batch_take(batch, route_put_binding(batch, KV_SET, &with[i], LO));
		cleanup_free struct nlmsghdr *del =
			batch_take(batch, route_put_binding(batch, KV_DEL, &with[i], LO));

		assert_true(route_get_binding(add, &got));
		assert_memory_equal(&got, &with[i], sizeof(got));
		assert_true(
			route_get_binding(del, &got)); /* a source would keep it from matching */
		assert_false(addr_is_set(&got.src));
	}
	nl_batch_free(batch);
}

static void routes_of_kernels_are_understood(void **state)
{
	cleanup_free struct nlmsghdr *kernels_own = message_parse(list6_kernel);
	struct kbinding got;

	(void)state;
	check_get(list4, binding_of("10.96.0.2", NULL));
	check_get(list6, binding_of("fd00:96::1", NULL));
	assert_false(route_get_binding(kernels_own, &got));
}

static void only_local_host_routes_of_ours_are_bindings(void **state)
{
	static const struct {
		size_t offset;
		uint8_t value;
	} changes[] = {
		{0, AF_UNIX},
		{1, 31},            /* a network, not a host */
		{5, RTPROT_STATIC}, /* somebody else's */
		{7, RTN_UNICAST},   /* not local */
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(changes); i++) {
		cleanup_free struct nlmsghdr *msg = message_parse(list4);
		struct kbinding got;

		((uint8_t *)NLMSG_DATA(msg))[changes[i].offset] = changes[i].value;
		assert_false(route_get_binding(msg, &got));
	}
}

static void check_addr(const char *hex, int lo, const char *want)
{
	cleanup_free struct nlmsghdr *msg = message_parse(hex);
	struct ip_addr got;
	char text[ADDR_TEXT_MAX];

	assert_int_equal(route_get_addr(msg, (const int[]){lo, 77}, &got), want != NULL);
	if (want)
		assert_string_equal(addr_format(&got, text), want);
}

static void addresses_that_can_be_sources_are_told(void **state)
{
	(void)state;
	check_addr(addr_global4, LO, "192.0.2.7");
	check_addr(addr_global6, LO, "2001:db8::9");
	check_addr(addr_deprecated4, LO, NULL);
	check_addr(addr_tentative6, LO, NULL);
	check_addr(addr_link6, LO, NULL);
	check_addr(addr_loopback, LO, NULL);
	check_addr(addr_global4, 3, NULL); /* on lo itself */
}

/* IFA_F_TEMPORARY of IPv6 is IFA_F_SECONDARY of IPv4: a second address of a network is as good. */
static void flags_mean_what_their_family_means(void **state)
{
	cleanup_free struct nlmsghdr *v4 = message_parse(addr_global4);
	cleanup_free struct nlmsghdr *v6 = message_parse(addr_global6);
	struct ip_addr got;

	(void)state;
	((uint8_t *)v4)[52] = IFA_F_PERMANENT | IFA_F_SECONDARY; /* in IFA_FLAGS */
	assert_true(route_get_addr(v4, NO_LINK, &got));
	((uint8_t *)v6)[68] = IFA_F_PERMANENT | IFA_F_TEMPORARY;
	assert_false(route_get_addr(v6, NO_LINK, &got));
}

/* A point-to-point link: IFA_ADDRESS is the peer's, IFA_LOCAL our own. */
static void of_two_ends_ours_is_told(void **state)
{
	struct ifaddrmsg head = {.ifa_family = AF_INET, .ifa_prefixlen = 32, .ifa_index = 5};
	const struct ip_addr ours = addr("192.0.2.1"), peers = addr("198.51.100.1");
	struct nl_batch *batch = batch_unsent();
	struct ip_addr got;

	(void)state;
	nl_batch_begin(batch, RTM_NEWADDR, 0, &head, sizeof(head));
	nl_put(batch, IFA_ADDRESS, peers.bytes, 4);
	nl_put(batch, IFA_LOCAL, ours.bytes, 4);
	cleanup_free struct nlmsghdr *msg = batch_take(batch, nl_batch_end(batch));

	assert_true(route_get_addr(msg, NO_LINK, &got));
	assert_true(addr_equal(&got, &ours));
	nl_batch_free(batch);
}

static void cut_messages_are_never_misread(void **state)
{
	cleanup_free struct nlmsghdr *route = message_parse(add4_src);
	cleanup_free struct nlmsghdr *address = message_parse(addr_global6);
	const struct kbinding want = binding_of("10.96.0.1", "127.0.0.1");
	const struct ip_addr want_addr = addr("2001:db8::9");

	(void)state;
	for (int depth = 0; depth < 2; depth++) {
		for (size_t len = NLMSG_HDRLEN; len < route->nlmsg_len; len++) {
			cleanup_free struct nlmsghdr *cut = message_cut(route, len);
			struct kbinding got;

			if (depth)
				message_fit(cut, NLMSG_HDRLEN + sizeof(struct rtmsg), depth);
			if (!route_get_binding(cut, &got))
				continue;
			assert_true(addr_equal(&got.vip, &want.vip));
			assert_true(!addr_is_set(&got.src) || addr_equal(&got.src, &want.src));
		}
		for (size_t len = NLMSG_HDRLEN; len < address->nlmsg_len; len++) {
			cleanup_free struct nlmsghdr *cut = message_cut(address, len);
			struct ip_addr got;

			if (depth)
				message_fit(cut, NLMSG_HDRLEN + sizeof(struct ifaddrmsg), depth);
			if (route_get_addr(cut, NO_LINK, &got))
				assert_true(addr_equal(&got, &want_addr));
		}
	}
}

static void dumps_ask_for_what_is_ours(void **state)
{
	struct nl_batch *batch = batch_unsent();
	cleanup_free struct nlmsghdr *routes = batch_take(batch, route_put_dump(batch, AF_INET6));
	cleanup_free struct nlmsghdr *addrs = batch_take(batch, route_put_addr_dump(batch));
	const struct rtmsg *head = NLMSG_DATA(routes);

	(void)state;
	assert_int_equal(routes->nlmsg_type, RTM_GETROUTE);
	assert_int_equal(routes->nlmsg_len, NLMSG_HDRLEN + sizeof(struct rtmsg));
	assert_int_equal(head->rtm_family, AF_INET6);
	assert_int_equal(head->rtm_table, RT_TABLE_LOCAL);
	assert_int_equal(head->rtm_protocol, BINDING_PROTOCOL);
	assert_int_equal(addrs->nlmsg_type, RTM_GETADDR);
	nl_batch_free(batch);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(bindings_are_written_as_ip_does),
		cmocka_unit_test(sources_come_back),
		cmocka_unit_test(routes_of_kernels_are_understood),
		cmocka_unit_test(only_local_host_routes_of_ours_are_bindings),
		cmocka_unit_test(addresses_that_can_be_sources_are_told),
		cmocka_unit_test(flags_mean_what_their_family_means),
		cmocka_unit_test(of_two_ends_ours_is_told),
		cmocka_unit_test(cut_messages_are_never_misread),
		cmocka_unit_test(dumps_ask_for_what_is_ours),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
