/* SPDX-License-Identifier: Apache-2.0 */
/* The kernel's IPVS table as lists of values: one connection, a dump each, nothing written.
 *
 * In the flow: netlink -> codec -> READER -> a printer. A table that changes while it is read may
 * lack what was moved meanwhile, but never has an entry twice. */
#ifndef VIPD_IPVS_READER_H
#define VIPD_IPVS_READER_H

#include <stdio.h>

#include "ipvs.h"

struct ipvs_reader {
	struct nl_conn *conn; /* the caller's, bound to the IPVS family */
	struct nl_batch *batch;
};

/* Both lists: init to zero, read as often as wanted, then done. */
struct ipvs_services {
	struct ipvs_service *items;
	size_t n, cap;
};
struct ipvs_dests {
	struct ipvs_dest *items;
	size_t n, cap;
};

/* 0 or -ENOMEM. `conn` has to outlive the reader. */
int ipvs_reader_init(struct ipvs_reader *reader, struct nl_conn *conn);
void ipvs_reader_done(struct ipvs_reader *reader);
void ipvs_services_done(struct ipvs_services *list);
void ipvs_dests_done(struct ipvs_dests *list);

/* All of these: 0, the kernel's -errno (-EPERM: no CAP_NET_ADMIN), -EBADMSG for an answer that
 * cannot be understood, -EIO for a dump that broke off, -ENOMEM. */
int ipvs_read_info(struct ipvs_reader *reader, struct ipvs_info *ret_info);
int ipvs_read_timeouts(struct ipvs_reader *reader, struct ipvs_timeouts *ret_timeouts);
/* Those that run, at most 2, in the kernel's order: master, backup. */
int ipvs_read_daemons(struct ipvs_reader *reader, struct ipvs_daemon ret_daemons[2], size_t *ret_n);
/* -ESRCH: there is none with this key. */
int ipvs_read_service(struct ipvs_reader *reader, const struct ipvs_key *key,
		      struct ipvs_service *ret_svc);
/* In the kernel's order; what the list held before is replaced. */
int ipvs_read_services(struct ipvs_reader *reader, struct ipvs_services *list);
/* None, and no error, if the service is gone. */
int ipvs_read_dests(struct ipvs_reader *reader, const struct ipvs_key *key,
		    struct ipvs_dests *list);

/* Put a list into the order that ipvsadm prints (ipvs_order.c). 0 or -ENOMEM: it is as it was. */
int ipvs_sort_services(struct ipvs_services *list);
int ipvs_sort_dests(struct ipvs_dests *list);

/* One line of /proc/net/ip_vs_conn. Addresses of one line may differ in family. */
struct ipvs_conn {
	char proto[8];         /* "TCP", "UDP", "SCTP"; "IP" for a template of a fwmark service */
	uint16_t proto_number; /* 0 for any other word */
	struct ip_addr client, vip, dest;
	uint16_t client_port, vip_port, dest_port;
	char state[16];
	uint32_t expires_sec;
	char pe[IPVS_PE_MAX]; /* persistence engine, "" = none */
	const char *pe_data;  /* what it keeps, in the line that was parsed; "" = nothing */
};
/* `line` is changed: fields are cut out of it. -EBADMSG if it is no connection. */
int ipvs_conn_parse(char *line, struct ipvs_conn *ret_conn);

#endif
