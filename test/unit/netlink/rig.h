/* SPDX-License-Identifier: Apache-2.0 */
/* What tests of the transport share: a network namespace of their own, with lo up, in which this
 * process may change things whoever runs it; and routes to change. */
#ifndef VIPD_TEST_NETLINK_RIG_H
#define VIPD_TEST_NETLINK_RIG_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>
#include <errno.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <arpa/inet.h>
#include <linux/rtnetlink.h>
#include <net/if.h>

#include "conn.h"

#define LO    1   /* the index of lo in every namespace */
#define TABLE 100 /* of our routes */

static inline struct nl_conn *conn_new(int protocol)
{
	struct nl_conn *conn;
	struct err err = {0};

	if (nl_conn_open(protocol, &conn, &err) < 0)
		fail_msg("%s", err.text);
	return conn;
}

static inline struct nl_batch *batch_new(struct nl_conn *conn)
{
	struct nl_batch *batch = nl_batch_new(conn);

	assert_non_null(batch);
	return batch;
}

/* The route to 10.(number >> 16).(number >> 8).(number)/32 through the link `oif`. */
static inline int put_route(struct nl_batch *batch, uint16_t type, uint16_t flags, unsigned number,
			    uint32_t oif)
{
	const struct rtmsg head = {.rtm_family = AF_INET,
				   .rtm_dst_len = 32,
				   .rtm_table = TABLE,
				   .rtm_protocol = 118,
				   .rtm_scope = RT_SCOPE_LINK,
				   .rtm_type = RTN_UNICAST};
	const uint32_t dst_be = htonl(10U << 24 | number);

	assert_int_equal(nl_batch_begin(batch, type, flags, &head, sizeof(head)), 0);
	nl_put(batch, RTA_DST, &dst_be, sizeof(dst_be));
	nl_put_u32(batch, RTA_OIF, oif);
	return nl_batch_end(batch);
}

static inline int add_route(struct nl_batch *batch, unsigned number)
{
	return put_route(batch, RTM_NEWROUTE, NLM_F_CREATE | NLM_F_EXCL, number, LO);
}

static inline int del_route(struct nl_batch *batch, unsigned number)
{
	return put_route(batch, RTM_DELROUTE, 0, number, LO);
}

/* Asks for all routes of our table's family. */
static inline void put_route_dump(struct nl_batch *batch)
{
	const struct rtmsg head = {.rtm_family = AF_INET};

	assert_int_equal(nl_batch_begin(batch, RTM_GETROUTE, 0, &head, sizeof(head)), 0);
	assert_int_equal(nl_batch_end(batch), 0);
}

static inline void put_link_get(struct nl_batch *batch, int index)
{
	const struct ifinfomsg head = {.ifi_family = AF_UNSPEC, .ifi_index = index};

	assert_int_equal(nl_batch_begin(batch, RTM_GETLINK, 0, &head, sizeof(head)), 0);
	assert_int_equal(nl_batch_end(batch), 0);
}

/* Root of a user namespace may do in its network namespace what we need; where there are no user
 * namespaces, root may. */
static inline int enter_namespace(void **state)
{
	const struct ifinfomsg up = {.ifi_index = LO, .ifi_flags = IFF_UP, .ifi_change = IFF_UP};
	struct nl_conn *conn;
	struct nl_batch *batch;
	int result = -1;

	(void)state;
	if (unshare(CLONE_NEWUSER | CLONE_NEWNET) < 0 && unshare(CLONE_NEWNET) < 0) {
		fprintf(stderr, "no network namespace of our own: %s\n", strerror(errno));
		return -1;
	}
	conn = conn_new(NETLINK_ROUTE);
	batch = batch_new(conn);
	nl_batch_begin(batch, RTM_NEWLINK, 0, &up, sizeof(up));
	nl_batch_end(batch);
	nl_batch_send(batch, &result);
	nl_batch_free(batch);
	nl_conn_close(conn);
	return result;
}

#endif
