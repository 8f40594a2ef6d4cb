/* SPDX-License-Identifier: Apache-2.0 */
/* Netlink transport on libnl: one kept connection a family, many messages a send, dumps in slices.
 *
 * Knows no IPVS, no nftables, no Kubernetes. Keeps the kernel's raw errno (libnl folds ESRCH and
 * ENOENT into one). Generic netlink, rtnetlink and nfnetlink go through the same code. All calls
 * are synchronous: the kernel executes a batch inside sendmsg() (net/netlink/af_netlink.c,
 * netlink_unicast_kernel), so nothing waits longer than the kernel works. */
#ifndef VIPD_NL_H
#define VIPD_NL_H

#include <stdbool.h>
#include <linux/netlink.h>
#include <sys/types.h>

#include "err.h"

struct nl_conn;  /* a connection: one socket for changes, one for dumps (one dump may be open) */
struct nl_batch; /* messages to be sent together */

/* What went over a connection; for metrics and for tests that count. */
struct nl_counters {
	uint64_t sends;    /* sendmsg calls with changes */
	uint64_t messages; /* changing messages in them */
	uint64_t dumps;    /* dump and get requests: they change nothing */
	uint64_t errors;   /* error answers with a code */
	uint64_t lost;     /* ENOBUFS: answers were dropped */
};

/* `protocol`: NETLINK_GENERIC, NETLINK_ROUTE, NETLINK_NETFILTER. */
int nl_conn_open(int protocol, struct nl_conn **ret_conn, struct err *err);
/* The same with one socket for everything: for a program that only reads, since a get must wait for
 * the end of an open dump. */
int nl_conn_open_reader(int protocol, struct nl_conn **ret_conn, struct err *err);
void nl_conn_close(struct nl_conn *conn);
/* What a connection speaks to in place of the kernel: recorded answers, in tests. receive: one
 * datagram into `data`, its length; -EAGAIN: nothing there; -EMSGSIZE: longer than `size`. */
struct nl_wire {
	int (*send)(void *ctx, const void *data, size_t len);
	ssize_t (*receive)(void *ctx, void *data, size_t size);
};
/* A reader on such a wire, which has to outlive it. 0 or -ENOMEM. */
int nl_conn_open_wire(const struct nl_wire *wire, void *ctx, struct nl_conn **ret_conn);
/* Looks up a generic netlink family (which loads its module) and binds the connection to it: its
 * id is the type of every message begun with NL_TYPE_FAMILY. -ENOENT: not in this kernel; else what
 * the kernel said, -EBADMSG for an answer that cannot be read. */
int nl_conn_bind_family(struct nl_conn *conn, const char *family, struct err *err);
void nl_conn_counters(const struct nl_conn *conn, struct nl_counters *ret_counters);

/* A batch holds at most NL_BATCH_BYTES; a message that does not fit any more is refused with
 * -ENOSPC: send, then put it again. */
#define NL_BATCH_BYTES (64 * 1024)
#define NL_TYPE_FAMILY 0
struct nl_batch *nl_batch_new(struct nl_conn *conn);
void nl_batch_free(struct nl_batch *batch);

/* Begins a message: netlink header, then `header_len` bytes of `header` (genlmsghdr, rtmsg,
 * nfgenmsg). NLM_F_REQUEST is added. Then attributes; end.
 * nl_batch_end returns the message's index, -ENOSPC or -ENOMEM. Put errors are kept until end. */
int nl_batch_begin(struct nl_batch *batch, uint16_t type, uint16_t flags, const void *header,
		   size_t header_len);
void nl_put(struct nl_batch *batch, uint16_t attr, const void *data, size_t len);
void nl_put_u8(struct nl_batch *batch, uint16_t attr, uint8_t value);
void nl_put_u16(struct nl_batch *batch, uint16_t attr, uint16_t value);
void nl_put_u32(struct nl_batch *batch, uint16_t attr, uint32_t value);
void nl_put_u64(struct nl_batch *batch, uint16_t attr, uint64_t value);
void nl_put_string(struct nl_batch *batch, uint16_t attr, const char *text); /* with NUL */
struct nlattr *nl_nest_begin(struct nl_batch *batch, uint16_t attr);         /* sets NLA_F_NESTED */
void nl_nest_end(struct nl_batch *batch, struct nlattr *nest);
int nl_batch_end(struct nl_batch *batch);
void nl_batch_reset(struct nl_batch *batch); /* empties it, an unfinished message too */
size_t nl_batch_count(const struct nl_batch *batch);
size_t nl_batch_bytes(const struct nl_batch *batch);

/* Sends all messages in one sendmsg with consecutive sequence numbers, no ACK asked but of the
 * last, reads the answers to that ACK, empties the batch. `ret_results` (nl_batch_count() entries):
 * 0, the kernel's -errno, or -EINPROGRESS where the answer was lost (ENOBUFS, or the ACK did not
 * come): then it may have been done or not: read that object again. Returns 0 when every result is
 * known, -EINPROGRESS when some are not, another -errno when nothing was sent. */
int nl_batch_send(struct nl_batch *batch, int *ret_results);

/* A single get (no dump): sends the batch's only message, hands the answer to `fn`. 0 or -errno;
 * -EBUSY on a reader whose dump is open (nothing is sent, the batch stays as it is). */
typedef int (*nl_msg_fn)(const struct nlmsghdr *msg, void *arg);
int nl_batch_get(struct nl_batch *batch, nl_msg_fn fn, void *arg);

/* A dump in slices: start (sends the batch's only message with NLM_F_DUMP on the dump socket),
 * then next until 0. next reads one datagram and calls `fn` for each message in it; a negative
 * return of `fn` ends the dump with it. >0 more, 0 done, -errno: it is over, too. *ret_interrupted
 * (may be NULL) becomes true if the kernel says the table changed meanwhile (NLM_F_DUMP_INTR): what
 * was seen is there, what was not seen may be. nl_dump_cancel drops an open dump. A datagram that
 * breaks off or whose lengths are wrong is -EBADMSG: what stood before the fault has been handed
 * over. */
int nl_dump_start(struct nl_batch *batch);
int nl_dump_next(struct nl_conn *conn, nl_msg_fn fn, void *arg, bool *ret_interrupted);
void nl_dump_cancel(struct nl_conn *conn);

/* Notifications: a socket of its own in the groups given (numbers, not bits), but for what `self`
 * changes. read: all that is there now. -ENOBUFS: some were lost: read everything again. */
struct nl_monitor;
typedef void (*nl_event_fn)(const struct nlmsghdr *msg, void *arg);
int nl_monitor_open(int protocol, const unsigned *groups, size_t n_groups,
		    const struct nl_conn *self, struct nl_monitor **ret_monitor, struct err *err);
/* One more group: what happens from now on is told. 0 or -errno. */
int nl_monitor_join(struct nl_monitor *monitor, unsigned group);
void nl_monitor_close(struct nl_monitor *monitor);
int nl_monitor_fd(const struct nl_monitor *monitor);
int nl_monitor_read(struct nl_monitor *monitor, nl_event_fn fn, void *arg);

#endif
