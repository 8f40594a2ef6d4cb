/* SPDX-License-Identifier: Apache-2.0 */
/* What ipvsadm 1.31 prints, byte for byte, from values: no socket, no look-up but through `names`.
 *
 * In the flow: reader -> PRINTERS -> a stream. Errors of the stream stay in it (ferror). */
#ifndef VIPD_IPVS_PRINT_H
#define VIPD_IPVS_PRINT_H

#include "ipvs_reader.h"

#define IPVS_AP_MAX 60 /* ipvsadm's room for "address:port", with NUL: what is longer is cut */

/* How addresses and ports become names. Each writes a name of any length, cut to `size`, and
 * returns false if there is none. */
struct ipvs_names {
	bool (*host)(void *ctx, const struct ip_addr *addr, char *buf, size_t size);
	bool (*port)(void *ctx, uint16_t port, uint16_t proto, char *buf, size_t size);
	void *ctx;
};

/* What a list shows of a service and its destinations. */
enum ipvs_view {
	IPVS_VIEW_TABLE,
	IPVS_VIEW_TUNNEL,
	IPVS_VIEW_PERSISTENT,
	IPVS_VIEW_THRESHOLDS,
	IPVS_VIEW_RATE,
	IPVS_VIEW_STATS
};

struct ipvs_print {
	FILE *out;
	const struct ipvs_names *names; /* NULL: numbers */
	enum ipvs_view view;
	bool exact; /* do not shorten big numbers */
};

/* "10.0.0.1:80", "[web6]:http", cut to 59 characters; `proto` 0: the port stays a number.
 * Returns `buf`. */
const char *ipvs_print_ap(const struct ipvs_names *names, const struct ip_addr *addr, uint16_t port,
			  uint16_t proto, char buf[IPVS_AP_MAX]);

/* Lists: titles once (`info` NULL: without the version line), then service after service. */
void ipvs_print_titles(const struct ipvs_print *p, const struct ipvs_info *info);
void ipvs_print_service(const struct ipvs_print *p, const struct ipvs_service *svc,
			const struct ipvs_dest *dests, size_t n);
/* Rules that ipvsadm -R reads. */
void ipvs_print_rules(const struct ipvs_print *p, const struct ipvs_service *svc,
		      const struct ipvs_dest *dests, size_t n);
/* Connections; `engine`: with what the persistence engine keeps. */
void ipvs_print_conn_titles(const struct ipvs_print *p, bool engine);
void ipvs_print_conn(const struct ipvs_print *p, const struct ipvs_conn *conn, bool engine);
void ipvs_print_timeouts(const struct ipvs_print *p, const struct ipvs_timeouts *timeouts);
void ipvs_print_daemon(const struct ipvs_print *p, const struct ipvs_daemon *daemon);

/* Parts that other formats show, too. */

/* The flag of a scheduler at bit 0..2 of its flags; "" if it has no name. */
const char *ipvs_sched_flag(const char *sched, unsigned bit);
/* "255.255.255.0", "64"; false for a netmask that covers all of the address. */
bool ipvs_netmask_text(const struct ipvs_service *svc, char buf[ADDR_TEXT_MAX]);

#endif
