/* SPDX-License-Identifier: Apache-2.0 */
/* Fuzzes vipctl's command line: words separated by newlines, the first byte is the program's name.
 * The kernel tells its version and nothing else. A failure says something, in whole lines. */
#include <linux/ip_vs.h>
#include <linux/genetlink.h>

#include "fuzz_vipctl.h"

#define WORDS_MAX 40

/* The answer to GET_INFO, as a datagram of a recording. */
static const struct {
	uint32_t len;
	struct nlmsghdr head;
	struct genlmsghdr genl;
	struct {
		struct nlattr head;
		uint32_t value;
	} attrs[2];
} info = {
	.len = sizeof(info) - sizeof(uint32_t),
	.head = {.nlmsg_len = sizeof(info) - sizeof(uint32_t), .nlmsg_type = 0x1c, .nlmsg_seq = 1},
	.genl = {.cmd = IPVS_CMD_SET_INFO, .version = 1},
	.attrs = {{{8, IPVS_INFO_ATTR_VERSION}, 0x010201},
		  {{8, IPVS_INFO_ATTR_CONN_TAB_SIZE}, 4096}}};

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static char ipvsadm[] = "ipvsadm", vipctl[] = "vipctl";
	struct world world = {0};
	char *argv[WORDS_MAX + 1], *text, *rest, *out = NULL, *err = NULL;
	int argc = 0, exit_code;

	if (!size || !(text = strndup((const char *)data + 1, size - 1)))
		return 0;
	argv[argc++] = data[0] % 2 ? ipvsadm : vipctl;
	for (rest = text; argc < WORDS_MAX && (rest = rest && *rest ? rest : NULL);)
		argv[argc++] = strsep(&rest, "\n");
	argv[argc] = NULL;
	wire_init(&world.wire, &info, sizeof(info));
	exit_code = world_run(&world, argc, argv, &out, &err);
	PROMISE(exit_code == EXIT_DONE || exit_code == EXIT_LIST || exit_code == EXIT_USAGE ||
		exit_code == EXIT_COMMAND);
	PROMISE(exit_code == EXIT_DONE || *err);
	PROMISE(!*err || err[strlen(err) - 1] == '\n');
	free(out);
	free(err);
	free(text);
	return 0;
}
