/* SPDX-License-Identifier: Apache-2.0 */
/* The nftables codec: elements as nft itself adds and removes them, listings of a kernel, what
 * counts of the rules, and messages cut anywhere. The bytes are of nft 1.0.6 on Linux 6.x. */
#include "codec_bytes.h"

#include <errno.h>
#include <linux/netfilter/nf_tables.h>
#include <linux/netfilter/nfnetlink.h>

#include "nft_codec.h"

/* nft add element ip vipd hairpin { 10.244.1.5 . 10.244.1.5 } and so on; what nft adds for itself,
 * the set's number in the transaction, is left out. */
static const char add_hairpin[] = "440000000c0a0104000000000000000002000000090001007669706400000000"
				  "0c0002006861697270696e00180003801400018010000180"
				  "0c0001000af401050af40105";
static const char add_refused6[] = "540000000c0a010400000000000000000a00000009000100766970640000000"
				   "00c00020072656675736564002800038024000180200001801c000100fd0000"
				   "960000000000000000000000018400000026ab0000";
static const char del_vip[] = "400000000e0a0100000000000000000002000000090001007669706400000000"
			      "090002007669707300000000140003801000018"
			      "00c000180080001000a60000a";
static const char batch_begin[] = "14000000100001000000000000000000"
				  "0000000a";
static const char batch_end[] = "14000000110001000000000000000000"
				"0000000a";
/* What a kernel listed. */
static const char list_services[] =
	"640000000c0a020000000000000000000200000809000100766970640000000"
	"00d000200736572766963657300000000340003001800010014000100100001000a60000a11000000003500"
	"001800010014000100100001000a6000010600000001bb0000";
static const char list_hairpin6[] =
	"5c0000000c0a020000000000000000000a0000080900010076697064000000000c0002006861697270696e00"
	"300003002c0001002800010024000100fd000000000000000000000000000005"
	"fd000000000000000000000000000005";
static const char list_local_nets[] =
	"740000000c0a020000000000000000000200000809000100766970640000000"
	"00f0002006c6f63616c5f6e657473000044000300180001000c000100080001000af50000080003000000"
	"0001100001000c000100080001000af40000180001000c0001000800010000000000080003000000"
	"0001";
static const char list_set[] = "78000000090a0200000000000000000002000008090001007669706400000000"
			       "0900020076697073000000000c00100000000000000000010800040000000007"
			       "08000500000000040a000d00000402000000000004000900"
			       "1700130030786666666666666666383235303766343000000800140000000001";
static const char list_chain[] = "70000000030a0200000000000000000002000008090001007669706400000000"
				 "0a000300696e7075740000000c00020000000000000000071400040008000100"
				 "0000000108000200fffffff608000500000000010b00070066696c7465720000"
				 "08000a000000000108000600000000"
				 "02";

static struct ip_addr addr(const char *text)
{
	struct ip_addr parsed;

	assert_int_equal(addr_parse(text, &parsed), 0);
	return parsed;
}

/* ---- written as nft does ---- */

static void check_put(enum kverb verb, struct kelem elem, const char *hex)
{
	struct nl_batch *batch = batch_unsent();
	cleanup_free struct nlmsghdr *want = message_parse(hex);
	cleanup_free struct nlmsghdr *msg = batch_take(batch, nft_put_elems(batch, verb, &elem, 1));

	assert_same_message(msg, want);
	assert_int_equal(msg->nlmsg_type, want->nlmsg_type);
	assert_int_equal(msg->nlmsg_flags, want->nlmsg_flags);
	nl_batch_free(batch);
}

static void elements_are_written_as_nft_does(void **state)
{
	const struct ip_addr pod = addr("10.244.1.5"), vip6 = addr("fd00:96::1");
	const struct ip_addr vip = addr("10.96.0.10");

	(void)state;
	check_put(KV_ADD, kelem_hairpin(&pod), add_hairpin);
	check_put(KV_ADD, kelem_service(KSET_REFUSED, &vip6, IPPROTO_SCTP, 9899), add_refused6);
	check_put(KV_DEL, kelem_vip(&vip), del_vip);
}

static void transactions_are_marked_as_nft_does(void **state)
{
	struct nl_batch *batch = batch_unsent();
	cleanup_free struct nlmsghdr *begin = message_parse(batch_begin);
	cleanup_free struct nlmsghdr *end = message_parse(batch_end);
	cleanup_free struct nlmsghdr *first = batch_take(batch, nft_put_batch_begin(batch));
	cleanup_free struct nlmsghdr *last = batch_take(batch, nft_put_batch_end(batch));

	(void)state;
	assert_memory_equal(first, begin, sizeof(*begin) + 4);
	assert_memory_equal(last, end, sizeof(*end) + 4);
	nl_batch_free(batch);
}

/* ---- read ---- */

struct seen {
	size_t n;
	struct kelem elems[600];
	int rc;
};

static int see(const struct kelem *elem, void *arg)
{
	struct seen *seen = arg;

	assert_true(seen->n < ARRAY_SIZE(seen->elems));
	seen->elems[seen->n++] = *elem;
	return seen->rc;
}

static void assert_elem(const struct kelem *got, struct kelem want)
{
	assert_memory_equal(got, &want, sizeof(want));
}

static void listings_of_kernels_are_understood(void **state)
{
	cleanup_free struct nlmsghdr *services = message_parse(list_services);
	cleanup_free struct nlmsghdr *hairpin = message_parse(list_hairpin6);
	cleanup_free struct nlmsghdr *nets = message_parse(list_local_nets);
	const struct ip_addr dns = addr("10.96.0.10"), api = addr("10.96.0.1");
	const struct ip_addr pod6 = addr("fd00::5");
	struct seen seen = {0};

	(void)state;
	assert_int_equal(nft_get_elems(services, see, &seen), 0);
	assert_int_equal(nft_get_elems(hairpin, see, &seen), 0);
	assert_int_equal(nft_get_elems(nets, see, &seen), 0); /* static: not an element of ours */
	assert_int_equal(seen.n, 3);
	assert_elem(&seen.elems[0], kelem_service(KSET_SERVICES, &dns, IPPROTO_UDP, 53));
	assert_elem(&seen.elems[1], kelem_service(KSET_SERVICES, &api, IPPROTO_TCP, 443));
	assert_elem(&seen.elems[2], kelem_hairpin(&pod6));
}

static void many_elements_come_back(void **state)
{
	struct nl_batch *batch = batch_unsent();
	struct kelem elems[500];
	struct seen seen = {0};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(elems); i++) {
		struct ip_addr vip = addr("fd00::");

		vip.bytes[14] = (uint8_t)(i >> 8);
		vip.bytes[15] = (uint8_t)i;
		elems[i] = kelem_service(KSET_SERVICES, &vip, IPPROTO_TCP, (uint16_t)(i + 1));
	}
	{
		cleanup_free struct nlmsghdr *msg =
			batch_take(batch, nft_put_elems(batch, KV_ADD, elems, 500));

		assert_int_equal(nft_get_elems(msg, see, &seen), 0);
	}
	assert_int_equal(seen.n, 500);
	assert_memory_equal(seen.elems, elems, sizeof(elems));
	nl_batch_free(batch);
}

static void a_reader_can_stop(void **state)
{
	cleanup_free struct nlmsghdr *msg = message_parse(list_services);
	struct seen seen = {.rc = -EINTR};

	(void)state;
	assert_int_equal(nft_get_elems(msg, see, &seen), -EINTR);
	assert_int_equal(seen.n, 1);
}

static void others_tables_are_not_ours(void **state)
{
	cleanup_free struct nlmsghdr *msg = message_parse(list_services);
	struct nfgenmsg *head = NLMSG_DATA(msg);
	struct seen seen = {0};
	uint8_t family = 0;
	int type = 0;

	(void)state;
	assert_true(nft_is_ours(msg, &family, &type));
	assert_int_equal(family, AF_INET);
	assert_int_equal(type, NFT_MSG_NEWSETELEM);

	head->nfgen_family = 1; /* inet: not one of our two tables */
	assert_false(nft_is_ours(msg, &family, &type));
	assert_int_equal(nft_get_elems(msg, see, &seen), 0);
	head->nfgen_family = AF_INET6; /* ours by name, but with keys of another length */
	assert_int_equal(nft_get_elems(msg, see, &seen), 0);
	head->nfgen_family = AF_INET;
	((char *)msg)[24] = 'V'; /* table Vipd */
	assert_false(nft_is_ours(msg, &family, &type));
	assert_int_equal(nft_get_elems(msg, see, &seen), 0);
	((char *)msg)[24] = 'v';
	msg->nlmsg_type = (NFNL_SUBSYS_CTNETLINK << 8) | NFT_MSG_NEWSETELEM;
	assert_false(nft_is_ours(msg, &family, &type));
	assert_int_equal(nft_get_elems(msg, see, &seen), 0);
	assert_int_equal(seen.n, 0);
}

/* ---- damage ---- */

static void a_cut_listing_is_never_misread(void **state)
{
	cleanup_free struct nlmsghdr *msg = message_parse(list_services);
	struct seen whole = {0};

	(void)state;
	assert_int_equal(nft_get_elems(msg, see, &whole), 0);
	for (size_t len = NLMSG_HDRLEN; len < msg->nlmsg_len; len++) {
		for (int depth = 0; depth <= 4; depth++) {
			cleanup_free struct nlmsghdr *cut = message_cut(msg, len);
			struct seen seen = {0};

			if (depth)
				message_fit(cut, NLMSG_HDRLEN + sizeof(struct nfgenmsg), depth);
			assert_int_equal(nft_get_elems(cut, see, &seen), 0);
			assert_true(seen.n <= 1);
			assert_memory_equal(seen.elems, whole.elems, seen.n * sizeof(*seen.elems));
			(void)nft_digest(1, cut);
		}
	}
}

/* ---- the digest ---- */

static uint64_t digest_with(const char *hex, size_t at, uint8_t value)
{
	cleanup_free struct nlmsghdr *msg = message_parse(hex);

	assert_true(at < msg->nlmsg_len);
	((uint8_t *)msg)[at] = value;
	return nft_digest(UTIL_HASH_SEED, msg);
}

static void the_digest_knows_what_rules_do(void **state)
{
	const uint64_t set = digest_with(list_set, 0, 0x78);
	const uint64_t chain = digest_with(list_chain, 0, 0x70);

	(void)state;
	assert_true(set != UTIL_HASH_SEED && chain != UTIL_HASH_SEED && set != chain);
	assert_true(digest_with(list_set, 51, 2) == set);      /* its handle */
	assert_true(digest_with(list_set, 119, 9) == set);     /* how many elements it has */
	assert_true(digest_with(list_set, 59, 8) != set);      /* type of its keys */
	assert_true(digest_with(list_set, 36, 'x') != set);    /* its name */
	assert_true(digest_with(list_chain, 55, 8) == chain);  /* handle */
	assert_true(digest_with(list_chain, 111, 9) == chain); /* rules in it */
	assert_true(digest_with(list_chain, 67, 2) != chain);  /* hook */
	assert_true(digest_with(list_chain, 75, 7) != chain);  /* priority */
	assert_true(digest_with(list_chain, 83, 0) != chain);  /* policy */
	assert_true(digest_with(list_chain, 24, 'V') == UTIL_HASH_SEED); /* of another table */
}

/* "lookup @__set0": the number of an anonymous set may be another after every load. */
static void the_digest_passes_over_anonymous_numbers(void **state)
{
	static const char *const names[] = {"__set0", "__set17", "__seta", "vips"};
	struct nfgenmsg head = {.nfgen_family = AF_INET};
	struct nl_batch *batch = batch_unsent();
	uint64_t digest[ARRAY_SIZE(names)];

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
		nl_batch_begin(batch, NFNL_SUBSYS_NFTABLES << 8 | NFT_MSG_NEWRULE, 0, &head,
			       sizeof(head));
		nl_put_string(batch, NFTA_RULE_TABLE, HELPER_TABLE);
		nl_put_string(batch, NFTA_RULE_EXPRESSIONS, names[i]);
		cleanup_free struct nlmsghdr *msg = batch_take(batch, nl_batch_end(batch));

		digest[i] = nft_digest(UTIL_HASH_SEED, msg);
	}
	assert_true(digest[0] == digest[1]);
	assert_true(digest[0] != digest[2] && digest[0] != digest[3]);
	nl_batch_free(batch);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(elements_are_written_as_nft_does),
		cmocka_unit_test(transactions_are_marked_as_nft_does),
		cmocka_unit_test(listings_of_kernels_are_understood),
		cmocka_unit_test(many_elements_come_back),
		cmocka_unit_test(a_reader_can_stop),
		cmocka_unit_test(others_tables_are_not_ours),
		cmocka_unit_test(a_cut_listing_is_never_misread),
		cmocka_unit_test(the_digest_knows_what_rules_do),
		cmocka_unit_test(the_digest_passes_over_anonymous_numbers),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
