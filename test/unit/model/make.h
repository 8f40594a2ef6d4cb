/* SPDX-License-Identifier: Apache-2.0 */
/* Kubernetes objects from one line of text, so that a test is a table that one can read:
 *
 *   service  NS/NAME created=MS vip=ADDR port=[NAME:]NUMBER/PROTO[>TARGET][^NODEPORT]
 *            select=KEY:VALUE ann=KEY:VALUE affinity=SEC type=TYPE headless foreign publish
 *            ext=ADDR lb=ADDR[!proxy] from=CIDR etp itp prefer=zone|node
 *   slice    NS/NAME of=SERVICE port=[NAME:]NUMBER/PROTO
 *            ep=ADDR[!STATES][@NODE][~ZONE,ZONE...][+NODE,NODE...] (hints)
 *   endpoints NS/NAME (subset port=... ep=...)
 *   pod      NS/NAME ip=ADDR label=KEY:VALUE port=NAME:NUMBER/PROTO node=NODE
 *            notready terminating finished
 *   node     NAME addr=ADDR zone=ZONE
 *
 * STATES: letters of r(eady), s(erving), t(erminating); without "!" an endpoint is ready and
 * serving. Words may be repeated where there may be several. What is not understood ends the test.
 */
#ifndef VIPD_TEST_MAKE_H
#define VIPD_TEST_MAKE_H

#include "kube/objects.h"
#include "model.h"

/* Owned by the caller. */
union object *make_object(const char *text);

/* "10.96.0.1:80/TCP", "[fd00::1]:80/UDP", "node:30080/TCP", "node6:30080/TCP" */
struct fe_key make_key(const char *text);
struct ip_addr make_addr(const char *text);
struct ip_prefix make_net(const char *text);

#endif
