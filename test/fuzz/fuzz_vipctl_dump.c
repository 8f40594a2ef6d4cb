/* SPDX-License-Identifier: Apache-2.0 */
/* Fuzzes what vipctl reads: the first byte chooses a view, the rest are netlink datagrams as they
 * were recorded, or the text of the connection table. What it took for good it prints in whole
 * lines; what it did not it reports. */
#include "fuzz_vipctl.h"

#define ARGS_MAX 8

static const char *const views[][ARGS_MAX] = {
	{"-L"},
	{"-Ln", "--stats"},
	{"-L", "--rate", "--exact"},
	{"-Ln", "--thresholds", "--nosort"},
	{"-L", "--persistent-conn"},
	{"-Ln", "--tun-info"},
	{"-Ln", "--timeout"},
	{"-L", "--daemon"},
	{"-Ln", "-t", "10.0.0.1:80"},
	{"-S"},
	{"-Sn"},
	{"-L", "-o", "json"},
	{"-L", "--daemon", "-o", "json"},
	{"-L", "-o", "prometheus"},
	{"-Lc"},
	{"-Lcn", "--persistent-conn"},
	{"-Lc", "-o", "json"},
};

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const char *const *view = views[size ? data[0] % ARRAY_SIZE(views) : 0];
	char *argv[ARGS_MAX + 2] = {(char[]){"vipctl"}}, *out = NULL, *err = NULL;
	struct world world = {0};
	int argc = 1, exit_code;
	void *alone;

	if (size < 2 || !(alone = malloc(size - 1)))
		return 0;
	memcpy(alone, data + 1, size - 1);
	while (view[argc - 1]) {
		argv[argc] = (char *)(uintptr_t)view[argc - 1];
		argc++;
	}
	wire_init(&world.wire, alone, size - 1);
	/* the table's text lies behind the answer to GET_INFO */
	if (strchr(view[0], 'c') && size > 64) {
		world.wire.len = 63;
		world.conns = (const char *)alone + 63;
		world.conns_len = size - 1 - 63;
	}
	exit_code = world_run(&world, argc, argv, &out, &err);
	PROMISE(exit_code == EXIT_DONE || exit_code == EXIT_LIST || exit_code == EXIT_USAGE);
	PROMISE((exit_code == EXIT_DONE) == !*err);
	PROMISE(exit_code != EXIT_DONE || !*out || out[strlen(out) - 1] == '\n');
	free(out);
	free(err);
	free(alone);
	return 0;
}
