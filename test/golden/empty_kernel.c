/* SPDX-License-Identifier: Apache-2.0 */
/* A kernel in which nothing stands yet, in the place of the real one (ipvs/kernel_linux.c): so that
 * plans of the IPVS mode can be printed on every machine. Nothing can be written to it. */
#include <errno.h>
#include <stdlib.h>

#include "kernel.h"

static int empty_submit(void *ctx, struct kop *ops, size_t n)
{
	(void)ctx, (void)ops, (void)n;
	abort(); /* printers write nothing */
}

static int empty_dump_start(void *ctx, enum kdump what, const struct ipvs_key *key)
{
	bool *addrs_told = ctx;

	(void)key;
	if (what == KD_ADDRS)
		*addrs_told = false;
	return 0;
}

/* All that there is: an address of either family, as every node has. */
static int empty_dump_next(void *ctx, enum kdump what, kobject_fn fn, void *arg)
{
	static const char *const addrs[] = {"192.0.2.1", "2001:db8::1"};
	struct kobject object = {.kind = KD_ADDRS};
	bool *addrs_told = ctx;

	if (what != KD_ADDRS || *addrs_told)
		return 0;
	*addrs_told = true;
	for (size_t i = 0; i < ARRAY_SIZE(addrs); i++)
		if (addr_parse(addrs[i], &object.addr) == 0 && fn(&object, arg) < 0)
			return -EINTR;
	return 0;
}

static int empty_get_service(void *ctx, const struct ipvs_key *key, struct kobject *ret_object)
{
	(void)ctx, (void)key, (void)ret_object;
	return -ESRCH;
}

static int empty_rules_digest(void *ctx, uint8_t family, uint64_t *ret_digest)
{
	(void)ctx, (void)family;
	*ret_digest = 0;
	return 0;
}

static int empty_listen(void *ctx)
{
	(void)ctx;
	return 0;
}

static size_t empty_fds(void *ctx, int *ret_fds, size_t max)
{
	(void)ctx, (void)ret_fds, (void)max;
	return 0;
}

static void empty_read_events(void *ctx, int fd, kevent_fn fn, void *arg)
{
	(void)ctx, (void)fd, (void)fn, (void)arg;
}

static void empty_traffic(void *ctx, struct nl_counters *ret_counters)
{
	(void)ctx;
	*ret_counters = (struct nl_counters){0};
}

static int empty_listeners(void *ctx, uint8_t proto, uint64_t ret_ports[KPORT_WORDS])
{
	(void)ctx, (void)proto, (void)ret_ports;
	return -EOPNOTSUPP;
}

static const struct kernel_ops empty_ops = {
	.listeners = empty_listeners,
	.submit = empty_submit,
	.dump_start = empty_dump_start,
	.dump_next = empty_dump_next,
	.get_service = empty_get_service,
	.rules_digest = empty_rules_digest,
	.listen = empty_listen,
	.fds = empty_fds,
	.read_events = empty_read_events,
	.traffic = empty_traffic,
	.close = free,
};

int kernel_linux_open(struct kernel *ret_kernel, struct err *err)
{
	bool *addrs_told = calloc(1, sizeof(*addrs_told));

	if (!addrs_told)
		return err_set(err, -ENOMEM, "no memory");
	*ret_kernel = (struct kernel){&empty_ops, addrs_told};
	return 0;
}
