/* SPDX-License-Identifier: Apache-2.0 */
/* What the files of this folder share. */
#ifndef VIPD_NETLINK_CONN_H
#define VIPD_NETLINK_CONN_H

#include <stdbool.h>
#include <netlink/netlink.h>
#include <sys/types.h>

#include "nl.h"

/* A dump's datagram is as large as the reader offers, up to 32 KiB (af_netlink.c, netlink_dump). */
#define CONN_RX_BYTES (64 * 1024)
/* Room for an error answer to each message of a full batch, at some 800 bytes of kernel memory. */
#define CONN_SOCKET_BYTES (4 * 1024 * 1024)

struct nl_conn {
	int protocol;
	uint16_t family_type;          /* of the bound generic netlink family */
	struct nl_sock *change, *dump; /* libnl's sockets; a reader's are one */
	const struct nl_wire *wire;    /* instead of sockets, or NULL */
	void *wire_ctx;
	uint32_t seq;
	uint32_t dump_seq;
	bool dump_open;
	struct nl_counters counters;
	uint8_t *rx;   /* the datagram received last: one of the two below */
	ssize_t ahead; /* length or -errno of what was read ahead into the other; 0: nothing */
	uint8_t room[2][CONN_RX_BYTES] __attribute__((aligned(NLMSG_ALIGNTO)));
};

/* One datagram from the kernel into conn->rx without waiting: its length, 0 for one that is not
 * the kernel's, or -errno (-EAGAIN: nothing there; -EMSGSIZE: it is cut). */
ssize_t conn_receive(struct nl_conn *conn, struct nl_sock *sock);
/* Sends bytes as they are. 0 or -errno. */
int conn_send(struct nl_conn *conn, struct nl_sock *sock, const void *data, size_t len);
/* A connected libnl socket with our buffer sizes. */
int conn_socket(int protocol, struct nl_sock **ret_sock, struct err *err);

/* The next message of a datagram after `msg` (NULL: the first); NULL at its end or where it is
 * broken. */
const struct nlmsghdr *conn_next_message(const uint8_t *data, size_t len,
					 const struct nlmsghdr *msg);
/* The -errno in an NLMSG_ERROR or NLMSG_DONE, 0 if none. */
int conn_error_code(const struct nlmsghdr *msg);

/* nl_dump.c: one datagram of the dump with this sequence number: `fn` for each message. >0 more to
 * come, 0 done (*ret_done), the kernel's or the callback's -errno, -EBADMSG. */
int dump_take_datagram(const uint8_t *data, size_t len, uint32_t seq, nl_msg_fn fn, void *arg,
		       bool *ret_interrupted, bool *ret_done);

/* nl_batch.c: the only message of a batch, for a get or dump. NULL if there is not exactly one. */
struct nlmsghdr *batch_only_message(struct nl_batch *batch);
struct nl_conn *batch_conn(const struct nl_batch *batch);

#endif
