/* SPDX-License-Identifier: Apache-2.0 */
/* What tests of the iptables mode share: models in a line each. */
#ifndef VIPD_TEST_IPTABLES_RIG_H
#define VIPD_TEST_IPTABLES_RIG_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>
#include <stdio.h>
#include <string.h>

#include "iptables/restore.h"
#include "model.h"

static inline struct ip_addr addr_of(const char *text)
{
	struct ip_addr addr;

	assert_int_equal(addr_parse(text, &addr), 0);
	return addr;
}

static inline struct fe_key key_of(const char *vip, uint16_t port, uint8_t proto)
{
	struct ip_addr addr = addr_of(vip);

	return fe_key_make(&addr, port, proto);
}

static inline struct endpoint endpoint_of(const char *ip, uint16_t port)
{
	return (struct endpoint){.addr = addr_of(ip), .port = port, .weight = 1};
}

/* Puts a frontend with these endpoints (NULL-terminated addresses, all with `ep_port`); without
 * any it refuses. */
static inline void put_frontend(struct model *model, const char *owner, struct fe_key key,
				uint32_t affinity_sec, uint16_t ep_port, const char *const ips[])
{
	struct endpoint ep[16];
	struct frontend *fe;
	struct pool *pool;
	size_t n = 0;

	for (; ips && ips[n]; n++)
		ep[n] = endpoint_of(ips[n], ep_port);
	pool = pool_new(ep, n);
	fe = frontend_new(&key, owner, pool);
	pool_unref(pool);
	assert_non_null(fe);
	fe->verdict = n ? V_FORWARD : V_REJECT;
	fe->lb.affinity_sec = affinity_sec;
	assert_true(model_put(model, fe) >= 0);
}

#define IPS(...) ((const char *const[]){__VA_ARGS__, NULL})

#endif
