/* SPDX-License-Identifier: Apache-2.0 */
/* A file of allocations with whatever in it: the registry opens, gives addresses of its ranges,
 * none of them twice, and finds them all again in the file that it then writes. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "log.h"
#include "source/registry.h"

#define NOW_MS 1700000000000

int LLVMFuzzerInitialize(int *argc, char ***argv);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static char folder[] = "/tmp/fuzz_registry.XXXXXX", path[64], aside[80];

static void require(bool holds)
{
	if (!holds)
		abort();
}

static void remove_folder(void)
{
	unlink(path);
	unlink(aside);
	rmdir(folder);
}

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
	(void)argc, (void)argv;
	require(mkdtemp(folder) != NULL);
	snprintf(path, sizeof(path), "%s/state", folder);
	snprintf(aside, sizeof(aside), "%s.damaged", path);
	log_set_level(LOG_ERROR);
	stderr = fopen("/dev/null", "we"); /* the log's; libFuzzer has kept its own */
	require(stderr != NULL);
	return atexit(remove_folder);
}

static void write_file(const uint8_t *data, size_t size)
{
	FILE *out = fopen(path, "we");

	require(out && fwrite(data, 1, size, out) == size && fclose(out) == 0);
}

static struct registry *open_registry(struct ip_prefix ranges[2])
{
	struct registry *registry = NULL;

	require(prefix_parse("10.96.0.0/27", &ranges[0]) == 0);
	require(prefix_parse("fd00:96::/112", &ranges[1]) == 0);
	require(registry_open(path, false, ranges, &registry, NULL) == 0 && registry);
	return registry;
}

/* The names that the seeds use, so that what the file says of them matters. */
static const char *const names[] = {"a", "b", "c", "kubernetes"};

static void fill_all(struct registry *registry, const struct ip_prefix ranges[2],
		     struct service services[ARRAY_SIZE(names)])
{
	for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
		struct service *svc = &services[i];

		*svc = (struct service){.meta = {.ns = (char *)"default", .name = (char *)names[i]},
					.family_policy = SVC_REQUIRE_DUAL};
		if (registry_fill(registry, svc, NOW_MS, NULL) < 0) { /* the file took them all */
			require(!addr_is_set(&svc->cluster_ips[0]));
			continue;
		}
		require(svc->meta.created_ms > 0);
		require(prefix_contains(&ranges[0], &svc->cluster_ips[0]));
		require(prefix_contains(&ranges[1], &svc->cluster_ips[1]));
		for (size_t k = 0; k < i; k++)
			require(!addr_is_set(&services[k].cluster_ips[0]) ||
				!addr_equal(&services[k].cluster_ips[0], &svc->cluster_ips[0]));
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct service first[ARRAY_SIZE(names)], second[ARRAY_SIZE(names)];
	struct ip_prefix ranges[2];
	struct registry *registry;
	char *text;

	write_file(data, size);
	registry = open_registry(ranges);
	fill_all(registry, ranges, first);
	text = registry_take_text(registry);
	registry_close(registry);
	if (!text) /* it stood like that in the file */
		return 0;
	require(registry_save(path, text) == 0);
	registry = open_registry(ranges);
	fill_all(registry, ranges, second);
	for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
		require(first[i].meta.created_ms == second[i].meta.created_ms);
		require(memcmp(first[i].cluster_ips, second[i].cluster_ips,
			       sizeof(first[i].cluster_ips)) == 0);
	}
	registry_close(registry);
	free(text);
	return 0;
}
