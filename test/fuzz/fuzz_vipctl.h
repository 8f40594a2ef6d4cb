/* SPDX-License-Identifier: Apache-2.0 */
/* What the fuzzers of vipctl share: a world without a kernel, a resolver or a terminal. */
#ifndef VIPD_TEST_FUZZ_VIPCTL_H
#define VIPD_TEST_FUZZ_VIPCTL_H

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "vipctl.h"
#include "wire.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define PROMISE(condition) ((condition) ? (void)0 : abort())

struct world {
	struct wire wire;
	const void *conns; /* text of the connection table */
	size_t conns_len;
};

static inline int world_connect(void *ctx, struct nl_conn **ret_conn)
{
	return nl_conn_open_wire(&wire_ops, &((struct world *)ctx)->wire, ret_conn);
}

static inline FILE *world_conns(void *ctx)
{
	struct world *world = ctx;

	if (!world->conns_len) /* fmemopen refuses it */
		return NULL;
	return fmemopen((void *)(uintptr_t)world->conns, world->conns_len, "r");
}

static inline int world_host(void *ctx, const char *name, struct ip_addr *ret_addr)
{
	(void)ctx;
	if (strcmp(name, "web") != 0)
		return -ENOENT;
	*ret_addr = addr_make(AF_INET, "\x0a\0\0\1");
	return 0;
}

static inline bool world_name(void *ctx, const struct ip_addr *addr, char *buf, size_t size)
{
	(void)ctx;
	if (addr->bytes[0] % 2)
		return false;
	memset(buf, 'h', size - 1);
	buf[size - 1] = '\0';
	return true;
}

static inline bool world_port(void *ctx, uint16_t port, uint16_t proto, char *buf, size_t size)
{
	(void)ctx;
	(void)proto;
	return port % 2 && snprintf(buf, size, "p%u", port) > 0;
}

/* Runs vipctl; what it prints goes to `*ret_out` and `*ret_err`, to be freed. Its exit code. */
static inline int world_run(struct world *world, int argc, char **argv, char **ret_out,
			    char **ret_err)
{
	const struct ipvs_names names = {.host = world_name, .port = world_port};
	size_t out_len, err_len;
	struct vipctl_env env = {.out = open_memstream(ret_out, &out_len),
				 .err = open_memstream(ret_err, &err_len),
				 .names = &names,
				 .ctx = world,
				 .find_host = world_host,
				 .connect = world_connect,
				 .open_conns = world_conns};
	int exit_code = vipctl_run(argc, argv, &env);

	fclose(env.out);
	fclose(env.err);
	return exit_code;
}

#endif
