/* SPDX-License-Identifier: Apache-2.0 */
/* Batches against the running kernel: results by message, raw error numbers, what is too big, what
 * is lost, who may answer. */
#include "rig.h"

#include <linux/genetlink.h>
#include <linux/netfilter/nf_tables.h>
#include <linux/netfilter/nfnetlink.h>
#include <netlink/socket.h>

struct rig {
	struct nl_conn *conn;
	struct nl_batch *batch;
};

static int rig_new(void **state)
{
	static struct rig rig;

	rig.conn = conn_new(NETLINK_ROUTE);
	rig.batch = batch_new(rig.conn);
	*state = &rig;
	return 0;
}

static int rig_free(void **state)
{
	struct rig *rig = *state;

	nl_batch_free(rig->batch);
	nl_conn_close(rig->conn);
	return 0;
}

static struct nl_counters counters_of(const struct nl_conn *conn)
{
	struct nl_counters counters;

	nl_conn_counters(conn, &counters);
	return counters;
}

/* ---- results ---- */

static void an_empty_batch_is_done(void **state)
{
	struct rig *rig = *state;
	int result = 7;

	assert_int_equal(nl_batch_send(rig->batch, &result), 0);
	assert_int_equal(result, 7);
	assert_int_equal(counters_of(rig->conn).sends, 0);
}

static void each_error_belongs_to_its_message(void **state)
{
	static const int want[] = {0, -EEXIST, 0, -ENODEV, -ESRCH, 0, -EINVAL, 0};
	const struct rtmsg nonsense = {.rtm_family = AF_INET, .rtm_dst_len = 33};
	struct rig *rig = *state;
	int results[ARRAY_SIZE(want)], redo[4];
	struct nl_counters counters;

	assert_int_equal(add_route(rig->batch, 1), 0);
	assert_int_equal(add_route(rig->batch, 1), 1);
	assert_int_equal(add_route(rig->batch, 2), 2);
	assert_int_equal(put_route(rig->batch, RTM_NEWROUTE, NLM_F_CREATE, 3, 999), 3);
	assert_int_equal(del_route(rig->batch, 4), 4);
	assert_int_equal(add_route(rig->batch, 5), 5);
	nl_batch_begin(rig->batch, RTM_NEWROUTE, NLM_F_CREATE, &nonsense, sizeof(nonsense));
	assert_int_equal(nl_batch_end(rig->batch), 6);
	assert_int_equal(del_route(rig->batch, 5), 7);
	assert_int_equal(nl_batch_count(rig->batch), ARRAY_SIZE(want));

	assert_int_equal(nl_batch_send(rig->batch, results), 0);
	for (size_t i = 0; i < ARRAY_SIZE(want); i++)
		assert_int_equal(results[i], want[i]);
	assert_int_equal(nl_batch_count(rig->batch), 0);
	counters = counters_of(rig->conn);
	assert_int_equal(counters.sends, 1);
	assert_int_equal(counters.messages, ARRAY_SIZE(want));
	assert_int_equal(counters.errors, 4);
	assert_int_equal(rig->conn->seq, ARRAY_SIZE(want)); /* never given twice */

	/* nothing of the first batch's answers is left over for the second */
	del_route(rig->batch, 1);
	del_route(rig->batch, 2);
	add_route(rig->batch, 6);
	del_route(rig->batch, 6);
	assert_int_equal(nl_batch_send(rig->batch, redo), 0);
	for (size_t i = 0; i < ARRAY_SIZE(redo); i++)
		assert_int_equal(redo[i], 0);
}

/* Then the error stands where the ACK would. */
static void the_last_message_may_fail(void **state)
{
	struct rig *rig = *state;
	int results[2];

	add_route(rig->batch, 1);
	del_route(rig->batch, 2);
	assert_int_equal(nl_batch_send(rig->batch, results), 0);
	assert_int_equal(results[0], 0);
	assert_int_equal(results[1], -ESRCH);
	del_route(rig->batch, 1);
	assert_int_equal(nl_batch_send(rig->batch, results), 0);
	assert_int_equal(results[0], 0);
}

static void a_full_batch_of_errors_has_them_all(void **state)
{
	struct rig *rig = *state;
	int *results;
	size_t n = 0;

	while (del_route(rig->batch, (unsigned)n) == (int)n)
		n++;
	assert_true(n > 1000);
	results = calloc(n, sizeof(*results));
	assert_int_equal(nl_batch_send(rig->batch, results), 0);
	for (size_t i = 0; i < n; i++)
		assert_int_equal(results[i], -ESRCH);
	free(results);
	assert_int_equal(counters_of(rig->conn).errors, n);
	assert_int_equal(counters_of(rig->conn).lost, 0);
}

static void sequence_numbers_may_wrap(void **state)
{
	struct rig *rig = *state;
	int results[4];

	rig->conn->seq = UINT32_MAX - 2;
	add_route(rig->batch, 1);
	del_route(rig->batch, 2);
	del_route(rig->batch, 3);
	del_route(rig->batch, 1);
	assert_int_equal(nl_batch_send(rig->batch, results), 0);
	assert_int_equal(results[0], 0);
	assert_int_equal(results[1], -ESRCH);
	assert_int_equal(results[2], -ESRCH);
	assert_int_equal(results[3], 0);
}

/* ---- sizes ---- */

static void what_does_not_fit_is_put_again_after_sending(void **state)
{
	struct rig *rig = *state;
	int *results;
	size_t n = 0, bytes;
	int rc;

	while ((rc = add_route(rig->batch, (unsigned)n)) == (int)n)
		n++;
	assert_int_equal(rc, -ENOSPC);
	bytes = nl_batch_bytes(rig->batch);
	assert_true(bytes <= NL_BATCH_BYTES && bytes + 64 > NL_BATCH_BYTES);
	assert_int_equal(nl_batch_count(rig->batch), n);

	results = calloc(n, sizeof(*results));
	assert_int_equal(nl_batch_send(rig->batch, results), 0);
	for (size_t i = 0; i < n; i++)
		assert_int_equal(results[i], 0);
	assert_int_equal(add_route(rig->batch, (unsigned)n), 0);
	assert_int_equal(nl_batch_send(rig->batch, results), 0);
	assert_int_equal(results[0], 0);

	for (size_t i = 0; i < n; i++)
		assert_int_equal(del_route(rig->batch, (unsigned)i), i);
	assert_int_equal(nl_batch_send(rig->batch, results), 0);
	free(results);
	del_route(rig->batch, (unsigned)n);
	assert_int_equal(nl_batch_send(rig->batch, &rc), 0);
	assert_int_equal(rc, 0);
}

static void a_message_beyond_every_batch_is_refused_alone(void **state)
{
	struct rig *rig = *state;
	static uint8_t big[NL_BATCH_BYTES];
	const struct rtmsg head = {.rtm_family = AF_INET};
	int results[2];

	assert_int_equal(add_route(rig->batch, 1), 0);
	nl_batch_begin(rig->batch, RTM_NEWROUTE, 0, &head, sizeof(head));
	nl_put(rig->batch, RTA_DST, big, sizeof(big));
	nl_put_u32(rig->batch, RTA_OIF, LO); /* fits, but the message is not whole any more */
	assert_int_equal(nl_batch_end(rig->batch), -ENOMEM);
	assert_int_equal(nl_batch_count(rig->batch), 1);
	assert_int_equal(del_route(rig->batch, 1), 1);
	assert_int_equal(nl_batch_send(rig->batch, results), 0);
	assert_int_equal(results[0], 0);
	assert_int_equal(results[1], 0);
}

static void a_reset_batch_is_empty(void **state)
{
	struct rig *rig = *state;
	const struct rtmsg head = {.rtm_family = AF_INET};
	int result;

	add_route(rig->batch, 1);
	nl_batch_begin(rig->batch, RTM_NEWROUTE, 0, &head, sizeof(head));
	nl_batch_reset(rig->batch);
	assert_int_equal(nl_batch_count(rig->batch), 0);
	assert_int_equal(nl_batch_bytes(rig->batch), 0);
	assert_int_equal(del_route(rig->batch, 1), 0);
	assert_int_equal(nl_batch_send(rig->batch, &result), 0);
	assert_int_equal(result, -ESRCH); /* it never was added */
}

/* ---- what goes wrong on the way ---- */

static void what_was_not_sent_is_not_done(void **state)
{
	struct rig *rig = *state;
	int small = 1, large = CONN_SOCKET_BYTES, *results;
	int fd = nl_socket_get_fd(rig->conn->change);
	size_t n = 0;

	setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &small, sizeof(small));
	while (add_route(rig->batch, (unsigned)n) == (int)n)
		n++;
	results = calloc(n, sizeof(*results));
	assert_int_equal(nl_batch_send(rig->batch, results), -EMSGSIZE);
	for (size_t i = 0; i < n; i++)
		assert_int_equal(results[i], -EMSGSIZE);
	free(results);
	assert_int_equal(nl_batch_count(rig->batch), 0);

	setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &large, sizeof(large));
	del_route(rig->batch, 0);
	assert_int_equal(nl_batch_send(rig->batch, &small), 0);
	assert_int_equal(small, -ESRCH);
}

static void a_lost_answer_is_never_taken_for_success(void **state)
{
	struct rig *rig = *state;
	int small = 1, large = CONN_SOCKET_BYTES, *results, known = 0;
	int fd = nl_socket_get_fd(rig->conn->change);
	size_t n = 0;

	setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &small, sizeof(small));
	while (del_route(rig->batch, (unsigned)n) == (int)n)
		n++;
	results = calloc(n, sizeof(*results));
	assert_int_equal(nl_batch_send(rig->batch, results), -EINPROGRESS);
	for (size_t i = 0; i < n; i++) {
		assert_true(results[i] == -ESRCH || results[i] == -EINPROGRESS);
		known += results[i] == -ESRCH;
	}
	free(results);
	assert_true(known > 0 && known < (int)n);
	assert_int_equal(counters_of(rig->conn).lost, 1);

	setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &large, sizeof(large));
	del_route(rig->batch, 0);
	assert_int_equal(nl_batch_send(rig->batch, &known), 0);
	assert_int_equal(known, -ESRCH);
}

/* Another process may send to our socket's port: it is not the kernel. */
static void only_the_kernel_is_believed(void **state)
{
	struct rig *rig = *state;
	struct nl_conn *liar = conn_new(NETLINK_ROUTE);
	struct {
		struct nlmsghdr head;
		struct nlmsgerr error;
	} ack = {.head = {.nlmsg_len = sizeof(ack),
			  .nlmsg_type = NLMSG_ERROR,
			  .nlmsg_seq = rig->conn->seq + 1}};
	struct sockaddr_nl to = {.nl_family = AF_NETLINK,
				 .nl_pid = nl_socket_get_local_port(rig->conn->change)};
	int result;

	assert_int_equal(sendto(nl_socket_get_fd(liar->change), &ack, sizeof(ack), 0,
				(struct sockaddr *)&to, sizeof(to)),
			 sizeof(ack));
	del_route(rig->batch, 1);
	assert_int_equal(nl_batch_send(rig->batch, &result), 0);
	assert_int_equal(result, -ESRCH);
	nl_conn_close(liar);
}

/* ---- gets ---- */

static int take_index(const struct nlmsghdr *msg, void *arg)
{
	const struct ifinfomsg *link = NLMSG_DATA(msg);

	assert_int_equal(msg->nlmsg_type, RTM_NEWLINK);
	*(int *)arg = link->ifi_index;
	return 0;
}

static int refuse(const struct nlmsghdr *msg, void *arg)
{
	(void)msg, (void)arg;
	return -EDOM;
}

static void a_get_hands_over_its_answer(void **state)
{
	struct rig *rig = *state;
	int index = 0;

	put_link_get(rig->batch, LO);
	assert_int_equal(nl_batch_get(rig->batch, take_index, &index), 0);
	assert_int_equal(index, LO);
	put_link_get(rig->batch, 999);
	assert_int_equal(nl_batch_get(rig->batch, take_index, &index), -ENODEV);
	put_link_get(rig->batch, LO);
	assert_int_equal(nl_batch_get(rig->batch, refuse, NULL), -EDOM);
	assert_int_equal(nl_batch_get(rig->batch, take_index, &index), -EINVAL); /* empty */
	put_link_get(rig->batch, LO);
	add_route(rig->batch, 1);
	assert_int_equal(nl_batch_get(rig->batch, take_index, &index), -EINVAL); /* two */
	assert_int_equal(counters_of(rig->conn).sends, 0);
}

static void families_are_looked_up_by_name(void **state)
{
	struct nl_conn *conn = conn_new(NETLINK_GENERIC);
	struct err err = {0};

	(void)state;
	assert_int_equal(nl_conn_bind_family(conn, "nlctrl", &err), 0);
	assert_int_equal(conn->family_type, GENL_ID_CTRL);
	assert_int_equal(nl_conn_bind_family(conn, "no-such-family", &err), -ENOENT);
	assert_int_equal(err.code, -ENOENT);
	assert_string_equal(err.text, "the kernel has no generic netlink family no-such-family");
	assert_int_equal(conn->family_type, GENL_ID_CTRL);
	nl_conn_close(conn);
}

/* ---- nfnetlink: marks around a transaction ---- */

static void put_nft(struct nl_batch *batch, int type, uint16_t flags, const char *table)
{
	const struct nfgenmsg head = {.nfgen_family = table ? AF_INET : AF_UNSPEC,
				      .res_id = table ? 0 : htons(NFNL_SUBSYS_NFTABLES)};

	nl_batch_begin(batch, (uint16_t)(table ? NFNL_SUBSYS_NFTABLES << 8 | type : type), flags,
		       &head, sizeof(head));
	if (table)
		nl_put_string(batch, NFTA_TABLE_NAME, table);
	assert_true(nl_batch_end(batch) >= 0);
}

static void transactions_tell_that_they_are_through(void **state)
{
	struct nl_conn *conn = conn_new(NETLINK_NETFILTER);
	struct nl_batch *batch = batch_new(conn);
	int results[4];

	(void)state;
	put_nft(batch, NFNL_MSG_BATCH_BEGIN, 0, NULL);
	put_nft(batch, NFT_MSG_NEWTABLE, NLM_F_CREATE, "one");
	put_nft(batch, NFT_MSG_NEWTABLE, NLM_F_CREATE, "two");
	put_nft(batch, NFNL_MSG_BATCH_END, 0, NULL);
	assert_int_equal(nl_batch_send(batch, results), 0);
	for (size_t i = 0; i < ARRAY_SIZE(results); i++)
		assert_int_equal(results[i], 0);

	put_nft(batch, NFNL_MSG_BATCH_BEGIN, 0, NULL);
	put_nft(batch, NFT_MSG_DELTABLE, 0, "one");
	put_nft(batch, NFT_MSG_DELTABLE, 0, "three"); /* undoes the first as well */
	put_nft(batch, NFNL_MSG_BATCH_END, 0, NULL);
	assert_int_equal(nl_batch_send(batch, results), 0);
	assert_int_equal(results[2], -ENOENT);

	put_nft(batch, NFNL_MSG_BATCH_BEGIN, 0, NULL);
	put_nft(batch, NFT_MSG_DELTABLE, 0, "one");
	put_nft(batch, NFT_MSG_DELTABLE, 0, "two");
	put_nft(batch, NFNL_MSG_BATCH_END, 0, NULL);
	assert_int_equal(nl_batch_send(batch, results), 0);
	for (size_t i = 0; i < ARRAY_SIZE(results); i++)
		assert_int_equal(results[i], 0);
	nl_batch_free(batch);
	nl_conn_close(conn);
}

int main(void)
{
#define WITH_RIG(test) cmocka_unit_test_setup_teardown(test, rig_new, rig_free)
	const struct CMUnitTest tests[] = {
		WITH_RIG(an_empty_batch_is_done),
		WITH_RIG(each_error_belongs_to_its_message),
		WITH_RIG(the_last_message_may_fail),
		WITH_RIG(a_full_batch_of_errors_has_them_all),
		WITH_RIG(sequence_numbers_may_wrap),
		WITH_RIG(what_does_not_fit_is_put_again_after_sending),
		WITH_RIG(a_message_beyond_every_batch_is_refused_alone),
		WITH_RIG(a_reset_batch_is_empty),
		WITH_RIG(what_was_not_sent_is_not_done),
		WITH_RIG(a_lost_answer_is_never_taken_for_success),
		WITH_RIG(only_the_kernel_is_believed),
		WITH_RIG(a_get_hands_over_its_answer),
		cmocka_unit_test(families_are_looked_up_by_name),
		cmocka_unit_test(transactions_tell_that_they_are_through),
	};

	return cmocka_run_group_tests(tests, enter_namespace, NULL);
}
