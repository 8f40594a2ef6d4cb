/* SPDX-License-Identifier: Apache-2.0 */
/* ipvs/ct_codec.c against an entry that a kernel (6.18) told. */
#include <linux/netfilter/nfnetlink.h>
#include <linux/netfilter/nfnetlink_conntrack.h>

#include "codec_bytes.h"
#include "ct_codec.h"

/* 127.0.0.1:40001 sends to 127.0.0.5:53, which leads to 127.0.0.1:5353; UDP. */
static const char entry[] =
	"a400000000012200070000008a3c0000020000003400018014000180080001007f00000108000200"
	"7f0000051c0002800500010011000000060002009c41000006000300003500003400028014000180"
	"080001007f000001080002007f0000011c00028005000100110000000600020014e9000006000300"
	"9c41000008000300000001a8080008000000000008000c006e6772cc08000b000000000108000700"
	"0000001d";

static struct kflow decoded(void)
{
	cleanup_free struct nlmsghdr *msg = message_parse(entry);
	struct kflow flow;

	assert_true(ct_get_flow(msg, &flow));
	return flow;
}

static void an_entry_says_both_directions(void **state)
{
	struct kflow flow = decoded();
	char text[ADDR_PORT_TEXT_MAX];

	(void)state;
	assert_string_equal(addr_port_format(&flow.orig_src, flow.orig_sport, text),
			    "127.0.0.1:40001");
	assert_string_equal(addr_port_format(&flow.orig_dst, flow.orig_dport, text),
			    "127.0.0.5:53");
	assert_string_equal(addr_port_format(&flow.reply_src, flow.reply_sport, text),
			    "127.0.0.1:5353");
	assert_int_equal(flow.proto, IPPROTO_UDP);
	assert_int_not_equal(flow.id, 0);
	assert_int_equal(flow.zone, 0);
}

/* Cut anywhere: never read behind the end, and never half an entry. */
static void a_cut_entry_is_none_or_the_same(void **state)
{
	cleanup_free struct nlmsghdr *whole = message_parse(entry);
	struct kflow want = decoded(), flow;

	(void)state;
	for (size_t len = NLMSG_HDRLEN; len < whole->nlmsg_len; len++) {
		for (int depth = 0; depth < 4; depth++) {
			cleanup_free struct nlmsghdr *cut = message_cut(whole, len);

			message_fit(cut, NLMSG_HDRLEN + 4, depth);
			if (!ct_get_flow(cut, &flow))
				continue;
			flow.id = want.id; /* stands behind the tuples */
			assert_memory_equal(&flow, &want, sizeof(want));
		}
	}
}

static void other_messages_are_no_entries(void **state)
{
	cleanup_free struct nlmsghdr *msg = message_parse(entry);
	struct kflow flow;

	(void)state;
	msg->nlmsg_type = NFNL_SUBSYS_NFTABLES << 8;
	assert_false(ct_get_flow(msg, &flow));
	msg->nlmsg_type = NFNL_SUBSYS_CTNETLINK << 8;
	((struct nfgenmsg *)NLMSG_DATA(msg))->nfgen_family = AF_UNIX;
	assert_false(ct_get_flow(msg, &flow));
}

/* What is removed is named as it was told: the same original direction, the same id. */
static void a_removal_names_the_entry(void **state)
{
	struct nl_conn conn = {0};
	struct nl_batch *batch = nl_batch_new(&conn);
	struct kflow flow = decoded();
	cleanup_free struct nlmsghdr *told = message_parse(entry);
	const uint8_t *bytes, *tuple = (const uint8_t *)told + NLMSG_HDRLEN + 4;

	(void)state;
	assert_int_equal(ct_put_delete(batch, &flow), 0);
	bytes = (const uint8_t *)batch_only_message(batch);
	assert_int_equal(((const struct nlmsghdr *)(const void *)bytes)->nlmsg_type,
			 NFNL_SUBSYS_CTNETLINK << 8 | IPCTNL_MSG_CT_DELETE);
	assert_memory_equal(bytes + NLMSG_HDRLEN + 4, tuple, 52); /* CTA_TUPLE_ORIG */
	flow.zone = 9;
	nl_batch_reset(batch);
	assert_int_equal(ct_put_delete(batch, &flow), 0);
	assert_int_equal(batch_only_message(batch)->nlmsg_len, NLMSG_HDRLEN + 4 + 52 + 8 + 8);
	nl_batch_free(batch);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(an_entry_says_both_directions),
		cmocka_unit_test(a_cut_entry_is_none_or_the_same),
		cmocka_unit_test(other_messages_are_no_entries),
		cmocka_unit_test(a_removal_names_the_entry),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
