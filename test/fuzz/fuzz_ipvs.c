/* SPDX-License-Identifier: Apache-2.0 */
/* Fuzzes ipvs/ipvs_codec.c: every decoder on every message; what was understood must come back the
 * same when it is encoded and decoded again. */
#include <linux/ip_vs.h>

#include "fuzz_message.h"
#include "ipvs.h"

static const struct nlmsghdr *only(struct nl_batch *batch, int index)
{
	PROMISE(index == 0);
	return batch_only_message(batch);
}

static void check_addr(const struct ip_addr *addr)
{
	static const uint8_t zero[16];

	PROMISE(addr->family == AF_INET || addr->family == AF_INET6 ||
		memcmp(addr->bytes, zero, 16) == 0);
	PROMISE(addr->family != AF_INET || memcmp(addr->bytes + 4, zero, 12) == 0);
}

static void try_service(const struct nlmsghdr *msg, struct nl_batch *batch)
{
	struct ipvs_service svc, again;

	if (ipvs_get_service(msg, &svc) < 0)
		return;
	check_addr(&svc.key.addr);
	PROMISE(memchr(svc.sched, 0, sizeof(svc.sched)) && memchr(svc.pe, 0, sizeof(svc.pe)));
	nl_batch_reset(batch);
	msg = only(batch, ipvs_put_service(batch, IPVS_CMD_NEW_SERVICE, &svc));
	PROMISE(ipvs_get_service(msg, &again) == 0);
	again.stats = svc.stats; /* requests carry none */
	again.stats64 = svc.stats64;
	PROMISE(memcmp(&svc, &again, sizeof(svc)) == 0);
}

static void try_dest(const struct nlmsghdr *msg, struct nl_batch *batch, uint16_t family)
{
	struct ipvs_key key = {.af = family};
	struct ipvs_dest dest, again;

	if (ipvs_get_dest(msg, &key, &dest) < 0)
		return;
	check_addr(&dest.addr);
	nl_batch_reset(batch);
	msg = only(batch, ipvs_put_dest(batch, IPVS_CMD_NEW_DEST, &key, &dest));
	PROMISE(ipvs_get_dest(msg, &key, &again) == 0);
	PROMISE(addr_equal(&dest.addr, &again.addr) && dest.port == again.port);
	PROMISE(dest.fwd == again.fwd && dest.weight == again.weight);
	PROMISE(dest.u_thresh == again.u_thresh && dest.l_thresh == again.l_thresh);
	PROMISE(dest.tun_type == again.tun_type && dest.tun_port == again.tun_port &&
		dest.tun_flags == again.tun_flags);
}

static void try_daemon(const struct nlmsghdr *msg, struct nl_batch *batch)
{
	struct ipvs_daemon daemon, again;

	if (ipvs_get_daemon(msg, &daemon) < 0)
		return;
	check_addr(&daemon.mcast_group);
	PROMISE(memchr(daemon.ifname, 0, sizeof(daemon.ifname)) != NULL);
	nl_batch_reset(batch);
	msg = only(batch, ipvs_put_daemon(batch, IPVS_CMD_NEW_DAEMON, &daemon));
	PROMISE(ipvs_get_daemon(msg, &again) == 0);
	PROMISE(memcmp(&daemon, &again, sizeof(daemon)) == 0);
}

static void try_numbers(const struct nlmsghdr *msg, struct nl_batch *batch)
{
	struct ipvs_timeouts timeouts, again;
	struct ipvs_info info;

	(void)ipvs_get_info(msg, &info);
	if (ipvs_get_timeouts(msg, &timeouts) < 0)
		return;
	nl_batch_reset(batch);
	msg = only(batch, ipvs_put_timeouts(batch, &timeouts));
	PROMISE(ipvs_get_timeouts(msg, &again) == 0);
	PROMISE(memcmp(&timeouts, &again, sizeof(timeouts)) == 0);
}

static void try_all(const struct nlmsghdr *msg)
{
	static struct nl_batch *batch;

	if (!batch)
		batch = nl_batch_new(fuzz_conn());
	try_service(msg, batch);
	try_dest(msg, batch, AF_INET);
	try_dest(msg, batch, AF_INET6);
	try_daemon(msg, batch);
	try_numbers(msg, batch);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	fuzz_each_message(data, size, try_all);
	return 0;
}
