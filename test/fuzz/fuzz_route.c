/* SPDX-License-Identifier: Apache-2.0 */
/* Fuzzes ipvs/route_codec.c and ct_codec.c: bindings, gateways and addresses out of rtnetlink
 * messages, flows out of ctnetlink's. */
#include "fuzz_message.h"
#include "ct_codec.h"
#include "diag_codec.h"
#include "route_codec.h"

static void check_addr(const struct ip_addr *addr)
{
	static const uint8_t zero[16];

	PROMISE(addr->family != AF_INET || memcmp(addr->bytes + 4, zero, 12) == 0);
	PROMISE(addr->family == AF_INET || addr->family == AF_INET6);
}

static void try_all(const struct nlmsghdr *msg)
{
	static struct nl_batch *batch;
	struct kbinding binding, again;
	struct ip_addr addr;
	struct kflow flow;

	if (!batch)
		batch = nl_batch_new(fuzz_conn());
	if (ct_get_flow(msg, &flow)) {
		check_addr(&flow.orig_dst);
		check_addr(&flow.reply_src);
		nl_batch_reset(batch);
		PROMISE(ct_put_delete(batch, &flow) == 0);
	}
	diag_get_port(msg);
	if (route_get_gateway(msg, &addr))
		check_addr(&addr);
	if (route_get_addr(msg, (const int[]){1, 0}, &addr))
		check_addr(&addr);
	if (!route_get_binding(msg, &binding))
		return;
	check_addr(&binding.vip);
	nl_batch_reset(batch);
	PROMISE(route_put_binding(batch, KV_ADD, &binding, 1) == 0);
	PROMISE(route_get_binding(batch_only_message(batch), &again));
	PROMISE(memcmp(&binding, &again, sizeof(binding)) == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	fuzz_each_message(data, size, try_all);
	return 0;
}
