/* SPDX-License-Identifier: Apache-2.0 */
/* Who gets which address, and keeps it: over restarts, over other Services' comings and goings, and
 * over a file that is damaged. */
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include "files.h"
#include "log.h"
#include "source/registry.h"

#define NOW_MS INT64_C(1700000000000)

static const struct port_range node_ports = {30000, 32767};

static struct ip_prefix prefix(const char *text)
{
	struct ip_prefix result = {0};

	if (text)
		assert_int_equal(prefix_parse(text, &result), 0);
	return result;
}

static struct registry *open_at(const char *path, bool read_only, const char *first,
				const char *second)
{
	const struct ip_prefix ranges[2] = {prefix(first), prefix(second)};
	struct registry *registry = NULL;

	assert_int_equal(registry_open(path, read_only, ranges, &node_ports, &registry, NULL), 0);
	return registry;
}

static struct registry *open_state(const struct files *files, const char *first, const char *second)
{
	char path[FILES_PATH_MAX];

	return open_at(files_path(files, "state.json", path), false, first, second);
}

/* Saves if there is something to save. */
static bool save_state(const struct files *files, struct registry *registry)
{
	char path[FILES_PATH_MAX], *text = registry_take_text(registry);
	bool changed = text != NULL;

	if (text)
		assert_int_equal(registry_save(files_path(files, "state.json", path), text), 0);
	free(text);
	return changed;
}

static struct service service(const char *ns, const char *name)
{
	return (struct service){.meta = {.ns = (char *)ns, .name = (char *)name}};
}

/* What "default/name" gets, as text; "" if nothing. */
static const char *fill(struct registry *registry, const char *name, char buf[ADDR_TEXT_MAX])
{
	struct service svc = service("default", name);

	buf[0] = '\0';
	if (registry_fill(registry, &svc, NOW_MS, NULL) == 0)
		addr_format(&svc.cluster_ips[0], buf);
	return buf;
}

static void reserve(struct registry *registry, const char *name, const char *ip)
{
	struct service svc = service("default", name);

	assert_int_equal(addr_parse(ip, &svc.cluster_ips[0]), 0);
	assert_int_equal(registry_reserve(registry, &svc), 0);
	assert_int_equal(registry_fill(registry, &svc, NOW_MS, NULL), 0);
}

/* ---- which address ---- */

/* The name alone gives the place, whoever else is there, and in whatever order they come. */
static void place_by_name(void **state)
{
	struct registry *forwards = open_at(NULL, false, "10.96.0.0/12", NULL);
	struct registry *backwards = open_at(NULL, false, "10.96.0.0/12", NULL);
	struct ip_prefix range = prefix("10.96.0.0/12");
	char names[20][8], first[20][ADDR_TEXT_MAX], again[ADDR_TEXT_MAX];

	(void)state;
	for (int i = 0; i < 20; i++) {
		struct ip_addr addr;

		snprintf(names[i], sizeof(names[i]), "web-%d", i);
		fill(forwards, names[i], first[i]);
		assert_int_equal(addr_parse(first[i], &addr), 0);
		assert_true(prefix_contains(&range, &addr));
		for (int k = 0; k < i; k++)
			assert_string_not_equal(first[k], first[i]);
	}
	for (int i = 19; i >= 0; i--)
		assert_string_equal(fill(backwards, names[i], again), first[i]);
	registry_close(forwards);
	registry_close(backwards);
}

static void fixed_places(void **state)
{
	struct registry *registry = open_at(NULL, false, "10.0.0.0/28", NULL);
	struct service dns = service("kube-system", "kube-dns");
	char ip[ADDR_TEXT_MAX], name[16];

	(void)state;
	for (int i = 0; i < 12; i++) { /* 14 hosts, of which two are kept for last */
		snprintf(name, sizeof(name), "web-%d", i);
		fill(registry, name, ip);
		assert_string_not_equal(ip, "");
		assert_string_not_equal(ip, "10.0.0.1");
		assert_string_not_equal(ip, "10.0.0.10");
	}
	assert_string_equal(fill(registry, "kubernetes", ip), "10.0.0.1");
	assert_int_equal(registry_fill(registry, &dns, NOW_MS, NULL), 0);
	assert_string_equal(addr_format(&dns.cluster_ips[0], ip), "10.0.0.10");
	registry_close(registry);
}

static void full_range(void **state)
{
	struct registry *registry = open_at(NULL, false, "10.0.0.0/29", NULL);
	struct service svc = service("default", "late");
	char ip[ADDR_TEXT_MAX], freed[ADDR_TEXT_MAX], name[16];
	struct err err;

	(void)state;
	for (int i = 0; i < 6; i++) { /* neither the network's address nor the broadcast's */
		snprintf(name, sizeof(name), "web-%d", i);
		fill(registry, name, i == 3 ? freed : ip);
		assert_string_not_equal(ip, "");
		assert_string_not_equal(ip, "10.0.0.0");
		assert_string_not_equal(ip, "10.0.0.7");
	}
	assert_int_equal(registry_fill(registry, &svc, NOW_MS, &err), -ENOSPC);
	assert_string_equal(err.text, "gets no clusterIP: all addresses of 10.0.0.0/29 are taken; "
				      "make --service-cluster-ip-range larger");
	assert_false(addr_is_set(&svc.cluster_ips[0]));
	registry_forget(registry, "default", "web-3");
	assert_string_equal(fill(registry, "late", ip), freed);
	registry_close(registry);
}

static void small_ranges(void **state)
{
	static const char *const bad[] = {"10.0.0.0/31", "10.0.0.1/32", "fd00::/127",
					  "fd00::1/128"};
	static const char *const good[] = {"10.0.0.0/30", "fd00::/126", "0.0.0.0/0", "fd00::/8"};
	char ip[ADDR_TEXT_MAX];

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
		const struct ip_prefix ranges[2] = {prefix("10.96.0.0/12"), prefix(bad[i])};
		struct registry *registry = NULL;
		char want[128];
		struct err err;

		assert_int_equal(registry_open(NULL, false, ranges, &node_ports, &registry, &err),
				 -EINVAL);
		snprintf(want, sizeof(want), "--service-cluster-ip-range: %s is too small", bad[i]);
		assert_string_equal(err.text, want);
		assert_null(registry);
	}
	for (size_t i = 0; i < ARRAY_SIZE(good); i++) {
		struct registry *registry = open_at(NULL, false, good[i], NULL);

		assert_string_not_equal(fill(registry, "web", ip), "");
		registry_close(registry);
	}
}

/* ---- which families ---- */

static void families(void **state)
{
	static const struct {
		const char *ranges[2];
		uint8_t families[2];
		enum svc_family_policy policy;
		uint8_t want[2];
		int rc;
	} cases[] = {
		{{"10.0.0.0/24", NULL}, {0}, SVC_SINGLE_STACK, {AF_INET}, 0},
		{{"fd00::/112", NULL}, {0}, SVC_SINGLE_STACK, {AF_INET6}, 0},
		{{"10.0.0.0/24", "fd00::/112"}, {0}, SVC_SINGLE_STACK, {AF_INET}, 0},
		{{"fd00::/112", "10.0.0.0/24"}, {0}, SVC_SINGLE_STACK, {AF_INET6}, 0},
		{{"10.0.0.0/24", "fd00::/112"}, {AF_INET6}, SVC_SINGLE_STACK, {AF_INET6}, 0},
		{{"10.0.0.0/24", "fd00::/112"}, {0}, SVC_PREFER_DUAL, {AF_INET, AF_INET6}, 0},
		{{"10.0.0.0/24", "fd00::/112"}, {0}, SVC_REQUIRE_DUAL, {AF_INET, AF_INET6}, 0},
		{{"10.0.0.0/24", "fd00::/112"},
		 {AF_INET6},
		 SVC_REQUIRE_DUAL,
		 {AF_INET6, AF_INET},
		 0},
		{{"10.0.0.0/24", "fd00::/112"},
		 {AF_INET6, AF_INET},
		 SVC_SINGLE_STACK,
		 {AF_INET6, AF_INET},
		 0},
		{{"10.0.0.0/24", NULL}, {0}, SVC_PREFER_DUAL, {AF_INET}, 0},
		{{"10.0.0.0/24", NULL}, {0}, SVC_REQUIRE_DUAL, {0}, -EINVAL},
		{{"10.0.0.0/24", NULL}, {AF_INET6}, SVC_SINGLE_STACK, {0}, -EINVAL},
		{{NULL, NULL}, {0}, SVC_SINGLE_STACK, {0}, -EINVAL},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct registry *registry =
			open_at(NULL, false, cases[i].ranges[0], cases[i].ranges[1]);
		struct service svc = service("default", "web");

		memcpy(svc.families, cases[i].families, sizeof(svc.families));
		svc.family_policy = cases[i].policy;
		assert_int_equal(registry_fill(registry, &svc, NOW_MS, NULL), cases[i].rc);
		assert_int_equal(svc.cluster_ips[0].family, cases[i].want[0]);
		assert_int_equal(svc.cluster_ips[1].family, cases[i].want[1]);
		registry_close(registry);
	}
}

/* What fails half takes nothing: one address of a range stays free for another. */
static void half_a_pair(void **state)
{
	struct registry *registry = open_at(NULL, false, "10.0.0.0/30", NULL);
	char ip[ADDR_TEXT_MAX];
	struct err err;

	(void)state;
	for (int i = 0; i < 5; i++) {
		struct service svc = service("default", "dual");

		svc.family_policy = SVC_REQUIRE_DUAL;
		assert_int_equal(registry_fill(registry, &svc, NOW_MS, &err), -EINVAL);
		assert_string_equal(err.text,
				    "has no clusterIP, and there is no range to give it an IPv6 "
				    "address from: set spec.clusterIP or "
				    "--service-cluster-ip-range");
		assert_false(addr_is_set(&svc.cluster_ips[0]));
	}
	assert_string_not_equal(fill(registry, "a", ip), "");
	assert_string_not_equal(fill(registry, "b", ip), "");
	assert_string_equal(fill(registry, "c", ip), "");
	registry_close(registry);
}

/* From one family to two and back: the address that it has stays. */
static void family_added(void **state)
{
	struct registry *registry = open_at(NULL, false, "10.0.0.0/24", "fd00::/112");
	char ip[ADDR_TEXT_MAX], again[ADDR_TEXT_MAX];
	struct service dual = service("default", "web");

	(void)state;
	dual.family_policy = SVC_REQUIRE_DUAL;
	fill(registry, "web", ip);
	assert_int_equal(registry_fill(registry, &dual, NOW_MS, NULL), 0);
	assert_string_equal(addr_format(&dual.cluster_ips[0], again), ip);
	assert_string_equal(fill(registry, "web", again), ip);
	registry_close(registry);
}

static void none_wanted(void **state)
{
	struct registry *registry = open_at(NULL, false, "10.0.0.0/30", NULL);
	struct service headless = service("default", "a"), foreign = service("default", "b"),
		       external = service("default", "c");
	struct service *const all[] = {&headless, &foreign, &external};
	char ip[ADDR_TEXT_MAX];

	(void)state;
	headless.headless = true;
	foreign.foreign = true;
	external.type = SVC_EXTERNAL_NAME;
	for (size_t i = 0; i < ARRAY_SIZE(all); i++) {
		assert_int_equal(registry_fill(registry, all[i], NOW_MS, NULL), 0);
		assert_false(addr_is_set(&all[i]->cluster_ips[0]));
		assert_int_equal(all[i]->meta.created_ms, NOW_MS);
	}
	assert_string_not_equal(fill(registry, "d", ip), "");
	assert_string_not_equal(fill(registry, "e", ip), "");
	registry_close(registry);
}

/* ---- addresses that Services name themselves ---- */

static void named_addresses(void **state)
{
	struct registry *registry = open_at(NULL, false, "10.0.0.0/30", NULL);
	struct service own = service("default", "own");
	char ip[ADDR_TEXT_MAX];

	(void)state;
	reserve(registry, "own", "10.0.0.1");
	reserve(registry, "elsewhere", "192.168.7.7"); /* out of range: takes nothing of it */
	assert_string_equal(fill(registry, "web", ip), "10.0.0.2");
	assert_string_equal(fill(registry, "none-left", ip), "");
	assert_int_equal(addr_parse("10.0.0.1", &own.cluster_ips[0]), 0);
	assert_int_equal(registry_fill(registry, &own, NOW_MS, NULL), 0);
	assert_string_equal(addr_format(&own.cluster_ips[0], ip), "10.0.0.1");
	registry_forget(registry, "default", "own");
	assert_string_equal(fill(registry, "none-left", ip), "10.0.0.1");
	registry_close(registry);
}

/* Two that name one address: it is free when both are gone. */
static void named_twice(void **state)
{
	struct registry *registry = open_at(NULL, false, "10.0.0.0/30", NULL);
	char ip[ADDR_TEXT_MAX];

	(void)state;
	reserve(registry, "a", "10.0.0.1");
	reserve(registry, "b", "10.0.0.1");
	reserve(registry, "c", "10.0.0.2");
	registry_forget(registry, "default", "a");
	assert_string_equal(fill(registry, "web", ip), "");
	registry_forget(registry, "default", "b");
	assert_string_equal(fill(registry, "web", ip), "10.0.0.1");
	registry_close(registry);
}

/* A Service that names another address, or none any more, gives back what it had. */
static void change_of_mind(void **state)
{
	struct registry *registry = open_at(NULL, false, "10.0.0.0/30", NULL);
	char ip[ADDR_TEXT_MAX];

	(void)state;
	reserve(registry, "own", "10.0.0.1");
	reserve(registry, "own", "10.0.0.2");
	assert_string_equal(fill(registry, "web", ip), "10.0.0.1");
	assert_string_equal(fill(registry, "own", ip), "10.0.0.2"); /* names none: keeps it */
	reserve(registry, "own", "192.168.7.7");
	assert_string_equal(fill(registry, "third", ip), "10.0.0.2");
	registry_close(registry);
}

/* ---- over restarts ---- */

static void kept_over_restarts(void **state)
{
	const struct files *files = *state;
	struct registry *registry = open_state(files, "10.0.0.0/27", "fd00::/112");
	char ips[20][ADDR_TEXT_MAX], ip[ADDR_TEXT_MAX], name[16];

	for (int i = 0; i < 20; i++) {
		snprintf(name, sizeof(name), "web-%d", i);
		fill(registry, name, ips[i]);
	}
	for (int i = 0; i < 20; i += 2) { /* those that stood in their way are gone */
		snprintf(name, sizeof(name), "web-%d", i);
		registry_forget(registry, "default", name);
	}
	assert_true(save_state(files, registry));
	registry_close(registry);

	registry = open_state(files, "10.0.0.0/27", "fd00::/112");
	for (int i = 0; i < 10; i++) { /* newcomers get none of them */
		snprintf(name, sizeof(name), "new-%d", i);
		fill(registry, name, ip);
		for (int k = 1; k < 20; k += 2)
			assert_string_not_equal(ip, ips[k]);
	}
	for (int i = 19; i > 0; i -= 2) {
		snprintf(name, sizeof(name), "web-%d", i);
		assert_string_equal(fill(registry, name, ip), ips[i]);
	}
	registry_close(registry);
}

static void nothing_new_nothing_written(void **state)
{
	const struct files *files = *state;
	struct registry *registry = open_state(files, "10.0.0.0/24", NULL);
	char ip[ADDR_TEXT_MAX];

	assert_false(save_state(files, registry));
	fill(registry, "web", ip);
	reserve(registry, "own", "10.0.0.7");
	assert_true(save_state(files, registry));
	fill(registry, "web", ip);
	assert_false(save_state(files, registry));
	registry_close(registry);

	registry = open_state(files, "10.0.0.0/24", NULL);
	fill(registry, "web", ip);
	registry_forget(registry, "default", "never-there");
	registry_drop_unseen(registry); /* "own" */
	assert_true(save_state(files, registry));
	registry_close(registry);
}

/* An unchanged set of Services, named addresses among them, is no reason to write. */
static void restart_writes_nothing(void **state)
{
	const struct files *files = *state;

	for (int i = 0; i < 3; i++) {
		struct registry *registry = open_state(files, "10.0.0.0/24", NULL);
		char ip[ADDR_TEXT_MAX];

		reserve(registry, "own", "10.0.0.7");
		fill(registry, "web", ip);
		registry_drop_unseen(registry);
		assert_int_equal(save_state(files, registry), i == 0);
		registry_close(registry);
	}
}

/* A Service that stops naming its address keeps it, after a restart as well. */
static void named_then_kept(void **state)
{
	const struct files *files = *state;
	char ip[ADDR_TEXT_MAX];

	for (int i = 0; i < 3; i++) {
		struct registry *registry = open_state(files, "10.0.0.0/24", NULL);

		if (i == 0)
			reserve(registry, "web", "10.0.0.99");
		assert_string_equal(fill(registry, "web", ip), "10.0.0.99");
		save_state(files, registry);
		registry_close(registry);
	}
}

/* Another range: those in it stay, the others move there. */
static void other_range(void **state)
{
	const struct files *files = *state;
	struct registry *registry = open_state(files, "10.0.0.0/24", NULL);
	char inside[ADDR_TEXT_MAX], ip[ADDR_TEXT_MAX];

	fill(registry, "web", inside);
	assert_true(save_state(files, registry));
	registry_close(registry);
	registry = open_state(files, "10.0.0.0/16", NULL);
	assert_string_equal(fill(registry, "web", ip), inside);
	registry_close(registry);
	registry = open_state(files, "10.9.0.0/16", NULL);
	assert_memory_equal(fill(registry, "web", ip), "10.9.", 5);
	registry_close(registry);
}

static void creation_times(void **state)
{
	const struct files *files = *state;
	struct registry *registry = open_state(files, "10.0.0.0/24", NULL);
	struct service svc = service("default", "web"), dated = service("default", "dated");

	assert_int_equal(registry_fill(registry, &svc, NOW_MS, NULL), 0);
	assert_int_equal(svc.meta.created_ms, NOW_MS);
	dated.meta.created_ms = 1000;
	assert_int_equal(registry_fill(registry, &dated, NOW_MS, NULL), 0);
	assert_int_equal(dated.meta.created_ms, 1000);
	assert_true(save_state(files, registry));
	registry_close(registry);

	registry = open_state(files, "10.0.0.0/24", NULL);
	svc = service("default", "web");
	assert_int_equal(registry_fill(registry, &svc, NOW_MS + 5000, NULL), 0);
	assert_int_equal(svc.meta.created_ms, NOW_MS);
	registry_forget(registry, "default", "web");
	svc = service("default", "web");
	assert_int_equal(registry_fill(registry, &svc, NOW_MS + 5000, NULL), 0);
	assert_int_equal(svc.meta.created_ms, NOW_MS + 5000);
	registry_close(registry);
}

static void unseen_go(void **state)
{
	const struct files *files = *state;
	struct registry *registry = open_state(files, "10.0.0.0/30", NULL);
	char ip[ADDR_TEXT_MAX], first[ADDR_TEXT_MAX];

	fill(registry, "a", first);
	fill(registry, "b", ip);
	assert_true(save_state(files, registry));
	registry_close(registry);
	registry = open_state(files, "10.0.0.0/30", NULL);
	assert_string_equal(fill(registry, "c", ip), ""); /* they may come yet */
	assert_string_equal(fill(registry, "a", ip), first);
	registry_drop_unseen(registry);
	assert_string_not_equal(fill(registry, "c", ip), "");
	assert_string_equal(fill(registry, "a", ip), first);
	registry_close(registry);
}

/* ---- the file ---- */

static void text_of_the_file(void **state)
{
	struct registry *registry = open_state(*state, "10.0.0.0/30", "fd00::/112");
	struct service dual = service("default", "kubernetes");
	char *text, ip[ADDR_TEXT_MAX];

	dual.family_policy = SVC_REQUIRE_DUAL;
	assert_int_equal(registry_fill(registry, &dual, NOW_MS, NULL), 0);
	reserve(registry, "own", "192.168.7.7");
	fill(registry, "a\"b", ip);
	text = registry_take_text(registry);
	assert_string_equal(
		text, "{\n  \"version\": 1,\n  \"services\": {\n"
		      "    \"default/a\\\"b\": {\"created_ms\": 1700000000000, \"cluster_ips\": "
		      "[\"10.0.0.2\"]},\n"
		      "    \"default/kubernetes\": {\"created_ms\": 1700000000000, "
		      "\"cluster_ips\": [\"10.0.0.1\", \"fd00::1\"]},\n"
		      "    \"default/own\": {\"created_ms\": 1700000000000, \"cluster_ips\": []}\n"
		      "  }\n}\n");
	free(text);
	registry_close(registry);
}

static void damaged_files(void **state)
{
	static const char *const texts[] = {"",
					    "{",
					    "[]",
					    "\"services\"",
					    "{\"version\": 1}",
					    "{\"services\": [{\"a\": 1}]}",
					    "\x7f ELF",
					    "{\"services\": {\"default/web\": {"};
	const struct files *files = *state;

	for (size_t i = 0; i < ARRAY_SIZE(texts); i++) {
		struct registry *registry;
		char *aside, ip[ADDR_TEXT_MAX];

		files_write(files, "state.json", texts[i]);
		registry = open_state(files, "10.0.0.0/24", NULL);
		aside = files_read(files, "state.json.damaged");
		assert_non_null(aside);
		assert_string_equal(aside, texts[i]);
		free(aside);
		assert_string_not_equal(fill(registry, "web", ip), "");
		assert_true(save_state(files, registry));
		registry_close(registry);
		files_remove(files, "state.json.damaged");
	}
}

/* Single entries that make no sense are left out; the others hold. */
static void damaged_entries(void **state)
{
	static const char *const entries[] = {
		"1",
		"null",
		"[]",
		"{}",
		"{\"cluster_ips\": \"10.0.0.9\"}",
		"{\"cluster_ips\": [7, null, \"x\", \"10.0.0.300\"], \"created_ms\": \"x\"}",
		"{\"cluster_ips\": [\"10.0.0.1\", \"10.0.0.2\", \"10.0.0.3\"]}",
		"{\"created_ms\": -5}",
		"{\"created_ms\": 1e300}",
		"{\"created_ms\": 0.5}",
	};
	const struct files *files = *state;

	for (size_t i = 0; i < ARRAY_SIZE(entries); i++) {
		struct service svc = service("default", "bad");
		struct registry *registry;
		char text[512], ip[ADDR_TEXT_MAX];

		snprintf(text, sizeof(text),
			 "{\"services\": {\"default/good\": {\"cluster_ips\": [\"10.0.0.77\"]}, "
			 "\"default/bad\": %s}}",
			 entries[i]);
		files_write(files, "state.json", text);
		registry = open_state(files, "10.0.0.0/24", NULL);
		assert_string_equal(fill(registry, "good", ip), "10.0.0.77");
		assert_int_equal(registry_fill(registry, &svc, NOW_MS, NULL), 0);
		assert_true(addr_is_set(&svc.cluster_ips[0]));
		assert_int_equal(svc.meta.created_ms, NOW_MS);
		registry_close(registry);
		assert_null(files_read(files, "state.json.damaged"));
	}
}

static void given_twice_in_the_file(void **state)
{
	const struct files *files = *state;
	struct registry *registry;
	char first[ADDR_TEXT_MAX], second[ADDR_TEXT_MAX];

	files_write(files, "state.json",
		    "{\"services\": {\"default/a\": {\"cluster_ips\": [\"10.0.0.7\"]}, "
		    "\"default/b\": {\"cluster_ips\": [\"10.0.0.7\"]}, "
		    "\"default/a\": {\"cluster_ips\": [\"10.0.0.8\"]}}}");
	registry = open_state(files, "10.0.0.0/24", NULL);
	assert_string_not_equal(fill(registry, "b", second), "10.0.0.7");
	assert_string_equal(fill(registry, "a", first), "10.0.0.7");
	registry_close(registry);
}

/* Printers look, and leave no trace: not of a damaged file either. */
static void read_only(void **state)
{
	const struct files *files = *state;
	char path[FILES_PATH_MAX], ip[ADDR_TEXT_MAX], *text;
	struct registry *registry;

	files_write(files, "state.json",
		    "{\"services\": {\"default/web\": {\"cluster_ips\": [\"10.0.0.7\"]}}}");
	registry = open_at(files_path(files, "state.json", path), true, "10.0.0.0/24", NULL);
	assert_string_equal(fill(registry, "web", ip), "10.0.0.7");
	fill(registry, "other", ip);
	assert_null(registry_take_text(registry));
	registry_close(registry);
	files_write(files, "state.json", "damaged");
	registry_close(open_at(path, true, "10.0.0.0/24", NULL));
	text = files_read(files, "state.json");
	assert_string_equal(text, "damaged");
	free(text);
}

static void no_file(void **state)
{
	struct registry *registry = open_at(NULL, false, "10.0.0.0/24", NULL);
	char ip[ADDR_TEXT_MAX];

	(void)state;
	fill(registry, "web", ip);
	assert_null(registry_take_text(registry));
	registry_close(registry);
	registry_close(NULL);
}

/* Whoever has the old file open reads on in the old one: there is no moment of half a file. */
static void saved_at_once(void **state)
{
	const struct files *files = *state;
	char path[FILES_PATH_MAX], old[8] = "", *text;
	int fd;

	files_path(files, "state.json", path);
	files_write(files, "state.json", "old");
	files_write(files, "state.json.new", "left behind by a crash, and longer than the new one");
	fd = open(path, O_RDONLY | O_CLOEXEC);
	assert_true(fd >= 0);
	assert_int_equal(registry_save(path, "new"), 0);
	assert_int_equal(read(fd, old, sizeof(old)), 3);
	assert_string_equal(old, "old");
	close(fd);
	text = files_read(files, "state.json");
	assert_string_equal(text, "new");
	free(text);
	assert_null(files_read(files, "state.json.new"));
}

static void where_it_cannot_be_saved(void **state)
{
	const struct files *files = *state;
	char path[FILES_PATH_MAX], *text;

	assert_int_equal(registry_save(files_path(files, "new-folder/state.json", path), "x"), 0);
	text = files_read(files, "new-folder/state.json");
	assert_string_equal(text, "x");
	free(text);
	assert_int_equal(registry_save(files_path(files, "no/such/state.json", path), "x"),
			 -ENOENT);
	files_write(files, "file", "kept");
	assert_int_equal(registry_save(files_path(files, "file/state.json", path), "x"), -ENOTDIR);
	assert_int_equal(registry_save(files_path(files, "new-folder", path), "x"), -EISDIR);
	text = files_read(files, "file");
	assert_string_equal(text, "kept");
	free(text);
}

int main(void)
{
#define WITH_FILES(f) cmocka_unit_test_setup_teardown(f, files_setup, files_teardown)
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(place_by_name),
		cmocka_unit_test(fixed_places),
		cmocka_unit_test(full_range),
		cmocka_unit_test(small_ranges),
		cmocka_unit_test(families),
		cmocka_unit_test(half_a_pair),
		cmocka_unit_test(family_added),
		cmocka_unit_test(none_wanted),
		cmocka_unit_test(named_addresses),
		cmocka_unit_test(named_twice),
		cmocka_unit_test(change_of_mind),
		WITH_FILES(kept_over_restarts),
		WITH_FILES(nothing_new_nothing_written),
		WITH_FILES(restart_writes_nothing),
		WITH_FILES(named_then_kept),
		WITH_FILES(other_range),
		WITH_FILES(creation_times),
		WITH_FILES(unseen_go),
		WITH_FILES(text_of_the_file),
		WITH_FILES(damaged_files),
		WITH_FILES(damaged_entries),
		WITH_FILES(given_twice_in_the_file),
		WITH_FILES(read_only),
		cmocka_unit_test(no_file),
		WITH_FILES(saved_at_once),
		WITH_FILES(where_it_cannot_be_saved),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
