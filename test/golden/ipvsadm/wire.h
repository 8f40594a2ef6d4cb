/* SPDX-License-Identifier: Apache-2.0 */
/* Recorded netlink datagrams as the other end of a connection. */
#ifndef VIPD_TEST_WIRE_H
#define VIPD_TEST_WIRE_H

#include "nl.h"

/* Datagrams as recorded, each behind its length as a u32 in host order. An answer is the run of
 * datagrams with one port and sequence number. The family look-up is answered with the recorded one
 * as often as it is asked, each other request with the next answer. */
struct wire {
	const uint8_t *data;
	size_t len;
	size_t at;     /* the answer under way; its next datagram */
	size_t next;   /* where answers not yet used begin */
	uint32_t seq;  /* of the request being answered */
	bool want_ack; /* it asked for one and none was recorded */
	bool answering;
	uint32_t id[2]; /* port and sequence number of the answer under way */
	unsigned requests, lookups;
};
extern const struct nl_wire wire_ops; /* ctx: struct wire */

void wire_init(struct wire *wire, const void *data, size_t len);
/* Were all answers used? */
bool wire_is_used_up(struct wire *wire);

#endif
