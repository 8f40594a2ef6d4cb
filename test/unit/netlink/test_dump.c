/* SPDX-License-Identifier: Apache-2.0 */
/* Dumps and notifications against the running kernel: in slices, broken off, refused, with other
 * requests in between. */
#include "rig.h"

#include <netlink/socket.h>

#define ROUTES 2000 /* several datagrams of a dump */

struct rig {
	struct nl_conn *conn;
	struct nl_batch *batch;
};

static int make_routes(void **state)
{
	struct nl_conn *conn;
	struct nl_batch *batch;
	int results[ROUTES];

	if (enter_namespace(state) < 0)
		return -1;
	conn = conn_new(NETLINK_ROUTE);
	batch = batch_new(conn);
	for (unsigned i = 0; i < ROUTES; i++) {
		if (add_route(batch, i) >= 0)
			continue;
		if (nl_batch_send(batch, results) < 0 || add_route(batch, i) < 0)
			return -1;
	}
	if (nl_batch_send(batch, results) < 0)
		return -1;
	nl_batch_free(batch);
	nl_conn_close(conn);
	return 0;
}

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

struct seen {
	size_t n; /* of our table */
	uint8_t times[ROUTES];
	size_t stop_at;
};

static int see(const struct nlmsghdr *msg, void *arg)
{
	const struct rtmsg *route = NLMSG_DATA(msg);
	struct seen *seen = arg;
	uint32_t dst_be;

	assert_int_equal(msg->nlmsg_type, RTM_NEWROUTE);
	if (route->rtm_table != TABLE)
		return 0;
	memcpy(&dst_be, (const uint8_t *)(route + 1) + 12, sizeof(dst_be)); /* behind RTA_TABLE */
	assert_true((ntohl(dst_be) & 0xffffff) < ROUTES);
	seen->times[ntohl(dst_be) & 0xffffff]++;
	seen->n++;
	return seen->stop_at && seen->n >= seen->stop_at ? -EDOM : 0;
}

static void assert_all_once(const struct seen *seen)
{
	assert_int_equal(seen->n, ROUTES);
	for (size_t i = 0; i < ROUTES; i++)
		assert_int_equal(seen->times[i], 1);
}

static void start(struct rig *rig)
{
	put_route_dump(rig->batch);
	assert_int_equal(nl_dump_start(rig->batch), 0);
	assert_int_equal(nl_batch_count(rig->batch), 0);
}

/* The number of datagrams to the end. */
static int finish(struct nl_conn *conn, struct seen *seen)
{
	int n = 1, rc;

	while ((rc = nl_dump_next(conn, see, seen, NULL)) > 0)
		n++;
	assert_int_equal(rc, 0);
	return n;
}

static void a_dump_comes_in_slices(void **state)
{
	struct rig *rig = *state;
	struct seen seen = {0};
	struct nl_counters counters;

	start(rig);
	assert_true(finish(rig->conn, &seen) > 2);
	assert_all_once(&seen);
	assert_int_equal(nl_dump_next(rig->conn, see, &seen, NULL), -EINVAL); /* it is over */
	nl_conn_counters(rig->conn, &counters);
	assert_int_equal(counters.dumps, 1);
	assert_int_equal(counters.sends, 0);
	assert_int_equal(counters.messages, 0);
}

static void a_dump_can_be_dropped(void **state)
{
	struct rig *rig = *state;
	struct seen first = {0}, second = {0};

	start(rig);
	assert_true(nl_dump_next(rig->conn, see, &first, NULL) > 0);
	nl_dump_cancel(rig->conn);
	assert_int_equal(nl_dump_next(rig->conn, see, &first, NULL), -EINVAL);
	nl_dump_cancel(rig->conn); /* nothing is open: fine */
	start(rig);
	finish(rig->conn, &second);
	assert_all_once(&second);
}

static void the_next_dump_drops_the_open_one(void **state)
{
	struct rig *rig = *state;
	struct seen first = {0}, second = {0};

	start(rig);
	assert_true(nl_dump_next(rig->conn, see, &first, NULL) > 0);
	start(rig);
	finish(rig->conn, &second);
	assert_all_once(&second);
}

static void a_reader_ends_the_dump(void **state)
{
	struct rig *rig = *state;
	struct seen first = {.stop_at = 3}, second = {0};

	start(rig);
	assert_int_equal(nl_dump_next(rig->conn, see, &first, NULL), -EDOM);
	assert_int_equal(first.n, 3);
	assert_int_equal(nl_dump_next(rig->conn, see, &first, NULL), -EINVAL);
	start(rig);
	finish(rig->conn, &second);
	assert_all_once(&second);
}

static void the_kernels_refusal_ends_the_dump(void **state)
{
	struct rig *rig = *state;
	const struct rtmsg head = {.rtm_family = AF_INET};
	struct seen seen = {0};

	nl_batch_begin(rig->batch, RTM_GETROUTE + 4 * 1000, 0, &head, sizeof(head));
	nl_batch_end(rig->batch);
	assert_int_equal(nl_dump_start(rig->batch), 0);
	assert_int_equal(nl_dump_next(rig->conn, see, &seen, NULL), -EOPNOTSUPP);
	assert_int_equal(nl_dump_next(rig->conn, see, &seen, NULL), -EINVAL);
	start(rig);
	finish(rig->conn, &seen);
	assert_all_once(&seen);
}

static void a_dump_is_one_message(void **state)
{
	struct rig *rig = *state;

	assert_int_equal(nl_dump_start(rig->batch), -EINVAL);
	put_route_dump(rig->batch);
	add_route(rig->batch, 1);
	assert_int_equal(nl_dump_start(rig->batch), -EINVAL);
	assert_int_equal(nl_dump_next(rig->conn, see, NULL, NULL), -EINVAL);
}

static int take_index(const struct nlmsghdr *msg, void *arg)
{
	*(int *)arg = ((const struct ifinfomsg *)NLMSG_DATA(msg))->ifi_index;
	return 0;
}

static void gets_and_changes_go_on_beside_a_dump(void **state)
{
	struct rig *rig = *state;
	struct seen seen = {0};
	int rc, index, results[2];

	start(rig);
	do {
		rc = nl_dump_next(rig->conn, see, &seen, NULL);
		index = 0;
		put_link_get(rig->batch, LO);
		assert_int_equal(nl_batch_get(rig->batch, take_index, &index), 0);
		assert_int_equal(index, LO);
		add_route(rig->batch, 1); /* is there */
		del_route(rig->batch, ROUTES + 1);
		assert_int_equal(nl_batch_send(rig->batch, results), 0);
		assert_int_equal(results[0], -EEXIST);
		assert_int_equal(results[1], -ESRCH);
	} while (rc > 0);
	assert_int_equal(rc, 0);
	assert_all_once(&seen);
}

/* On a reader's one socket the answers would mix. */
static void a_reader_does_one_thing_at_a_time(void **state)
{
	struct seen seen = {0};
	struct nl_conn *conn;
	struct rig rig;
	int index = 0;

	(void)state;
	assert_int_equal(nl_conn_open_reader(NETLINK_ROUTE, &conn, NULL), 0);
	rig = (struct rig){conn, batch_new(conn)};
	start(&rig);
	assert_true(nl_dump_next(conn, see, &seen, NULL) > 0);
	put_link_get(rig.batch, LO);
	assert_int_equal(nl_batch_get(rig.batch, take_index, &index), -EBUSY);
	nl_batch_reset(rig.batch);
	finish(conn, &seen);
	assert_all_once(&seen);
	put_link_get(rig.batch, LO);
	assert_int_equal(nl_batch_get(rig.batch, take_index, &index), 0);
	assert_int_equal(index, LO);
	nl_batch_free(rig.batch);
	nl_conn_close(conn);
}

/* ---- notifications ---- */

struct heard {
	size_t added, removed;
};

static void hear(const struct nlmsghdr *msg, void *arg)
{
	struct heard *heard = arg;

	assert_true(msg->nlmsg_type == RTM_NEWROUTE || msg->nlmsg_type == RTM_DELROUTE);
	heard->added += msg->nlmsg_type == RTM_NEWROUTE;
	heard->removed += msg->nlmsg_type == RTM_DELROUTE;
}

static void send_one(struct nl_batch *batch)
{
	int result;

	assert_int_equal(nl_batch_send(batch, &result), 0);
	assert_int_equal(result, 0);
}

static void a_monitor_hears_others_and_not_itself(void **state)
{
	const unsigned groups[] = {RTNLGRP_IPV4_ROUTE};
	struct nl_conn *other = conn_new(NETLINK_ROUTE);
	struct nl_batch *others = batch_new(other);
	struct nl_monitor *monitor;
	struct rig *rig = *state;
	struct heard heard = {0};

	assert_int_equal(nl_monitor_open(NETLINK_ROUTE, groups, 1, rig->conn, &monitor, NULL), 0);
	assert_int_equal(nl_monitor_read(monitor, hear, &heard), 0);
	assert_true(heard.added == 0 && heard.removed == 0);
	add_route(rig->batch, ROUTES);
	send_one(rig->batch);
	del_route(others, ROUTES);
	send_one(others);
	add_route(rig->batch, ROUTES);
	send_one(rig->batch);
	del_route(rig->batch, ROUTES);
	send_one(rig->batch);
	assert_int_equal(nl_monitor_read(monitor, hear, &heard), 0);
	assert_int_equal(heard.added, 0);
	assert_int_equal(heard.removed, 1);
	nl_monitor_close(monitor);
	nl_batch_free(others);
	nl_conn_close(other);
}

static void a_monitor_says_that_it_missed_something(void **state)
{
	const unsigned groups[] = {RTNLGRP_IPV4_ROUTE};
	struct nl_conn *self = conn_new(NETLINK_ROUTE);
	struct nl_monitor *monitor;
	struct rig *rig = *state;
	struct heard heard = {0};
	int small = 1, rc;

	assert_int_equal(nl_monitor_open(NETLINK_ROUTE, groups, 1, self, &monitor, NULL), 0);
	setsockopt(nl_monitor_fd(monitor), SOL_SOCKET, SO_RCVBUF, &small, sizeof(small));
	for (int i = 0; i < 100; i++) {
		add_route(rig->batch, ROUTES);
		send_one(rig->batch);
		del_route(rig->batch, ROUTES);
		send_one(rig->batch);
	}
	rc = nl_monitor_read(monitor, hear, &heard);
	assert_int_equal(rc, -ENOBUFS);
	assert_int_equal(nl_monitor_read(monitor, hear, &heard), 0); /* what was kept */
	assert_true(heard.added > 0 && heard.added < 100);
	add_route(rig->batch, ROUTES);
	send_one(rig->batch);
	del_route(rig->batch, ROUTES);
	send_one(rig->batch);
	heard = (struct heard){0};
	assert_int_equal(nl_monitor_read(monitor, hear, &heard), 0);
	assert_true(heard.added == 1 && heard.removed == 1);
	nl_monitor_close(monitor);
	nl_conn_close(self);
}

int main(void)
{
#define WITH_RIG(test) cmocka_unit_test_setup_teardown(test, rig_new, rig_free)
	const struct CMUnitTest tests[] = {
		WITH_RIG(a_dump_comes_in_slices),
		WITH_RIG(a_dump_can_be_dropped),
		WITH_RIG(the_next_dump_drops_the_open_one),
		WITH_RIG(a_reader_ends_the_dump),
		WITH_RIG(the_kernels_refusal_ends_the_dump),
		WITH_RIG(a_dump_is_one_message),
		WITH_RIG(gets_and_changes_go_on_beside_a_dump),
		cmocka_unit_test(a_reader_does_one_thing_at_a_time),
		WITH_RIG(a_monitor_hears_others_and_not_itself),
		WITH_RIG(a_monitor_says_that_it_missed_something),
	};

	return cmocka_run_group_tests(tests, make_routes, NULL);
}
