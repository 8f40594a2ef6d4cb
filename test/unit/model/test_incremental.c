/* SPDX-License-Identifier: Apache-2.0 */
/* The property that holds the model honest: after any sequence of events, computed in pieces, it
 * equals the one that is computed from the present objects alone, byte for byte; so does what is
 * told of those who wait; and the changes that were taken, applied, lead from one to the next.
 *
 * environment: EVENTS (default 20000), SEED (default 1) */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <cmocka.h>
#include <uthash.h>

#include "make.h"
#include "world.h"

#define NAMES       6
#define CHECK_EVERY 25 /* events between two comparisons */

/* The objects that are there, as text. Few names, so that everything meets everything. */
enum { SERVICES, SLICES, ENDPOINTS, PODS, NODES, SORTS };
static const char *const sorts[SORTS] = {"service", "slice", "endpoints", "pod", "node"};

struct present {
	char *text[SORTS][2 * NAMES];
};

struct dice {
	uint64_t state;
};

/* xorshift64* */
static uint32_t roll(struct dice *dice, uint32_t below)
{
	dice->state ^= dice->state >> 12;
	dice->state ^= dice->state << 25;
	dice->state ^= dice->state >> 27;
	return (uint32_t)((dice->state * 0x2545f4914f6cdd1dULL) >> 33) % below;
}

static bool once_in(struct dice *dice, uint32_t n)
{
	return roll(dice, n) == 0;
}

/* External addresses may be cluster IPs, node's, loopback, somebody else's, or wanted twice. */
static void print_entrances(struct dice *dice, FILE *out)
{
	static const char *const nets[] = {"10.0.0.0/8",  "10.1.0.0/16", "10.1.2.0/24",
					   "10.2.0.0/16", "0.0.0.0/0",   "fd00::/16",
					   "fd00:1::/32", "::/0"};
	static const char *const addrs[] = {"198.18.0.1", "198.18.0.2", "10.96.0.1", "192.0.2.1",
					    "192.0.2.2",  "127.0.0.1",  "fd01::1",   "fd00::1"};

	for (uint32_t i = roll(dice, 3); i; i--)
		fprintf(out, " ext=%s", addrs[roll(dice, ARRAY_SIZE(addrs))]);
	for (uint32_t i = roll(dice, 3); i; i--)
		fprintf(out, " lb=%s%s", addrs[roll(dice, ARRAY_SIZE(addrs))],
			once_in(dice, 4) ? "!proxy" : "");
	if (once_in(dice, 2))
		for (uint32_t i = roll(dice, 5); i; i--)
			fprintf(out, " from=%s", nets[roll(dice, ARRAY_SIZE(nets))]);
	fputs(once_in(dice, 3) ? " etp" : "", out);
}

static void print_service(struct dice *dice, FILE *out)
{
	static const char *const schedulers[] = {"lc", "sh", "nonsense"};
	static const char *const distributions[] = {"zone", "node"};
	uint32_t ports = 1 + roll(dice, 3);

	if (!once_in(dice, 6))
		fprintf(out, " vip=10.96.0.%u", 1 + roll(dice, 3));
	if (once_in(dice, 3))
		fprintf(out, " vip=fd00::%u", 1 + roll(dice, 2));
	for (uint32_t i = 0; i < ports; i++) {
		fprintf(out, " port=p%u:%u/%s>%s", roll(dice, 3), 80 + i,
			once_in(dice, 3) ? "UDP" : "TCP", once_in(dice, 2) ? "named" : "8080");
		if (once_in(dice, 3))
			fprintf(out, "^%u", 30000 + roll(dice, 3));
	}
	if (once_in(dice, 2))
		print_entrances(dice, out);
	if (once_in(dice,
		    4)) /* a name without a namespace is of the same; one's own helps nobody */
		fprintf(out, " ann=vipd.dev/fallback:%sx%u",
			once_in(dice, 2)   ? ""
			: once_in(dice, 2) ? "ns0/"
					   : "ns1/",
			roll(dice, NAMES));
	if (once_in(dice, 6))
		fprintf(out, " ann=vipd.dev/weights:10.1.0.%u=%u,here=%u", 1 + roll(dice, 5),
			roll(dice, 3), 1 + roll(dice, 3));
	if (once_in(dice, 5))
		fprintf(out, " prefer=%s", distributions[roll(dice, 2)]);
	fputs(once_in(dice, 4) ? " itp" : "", out);
	for (uint32_t i = roll(dice, 3); i; i--)
		fprintf(out, " select=l%u:v%u", i, roll(dice, 2));
	if (once_in(dice, 2))
		fprintf(out, " created=%u", roll(dice, 4));
	if (once_in(dice, 8))
		fprintf(out, " ann=vipd.dev/scheduler:%s", schedulers[roll(dice, 3)]);
	fputs(once_in(dice, 12) ? " headless" : "", out);
	fputs(once_in(dice, 12) ? " foreign" : "", out);
	fputs(once_in(dice, 6) ? " publish" : "", out);
	fputs(once_in(dice, 6) ? " affinity=60" : "", out);
}

/* A v1/Endpoints has no hints. */
static void print_endpoints(struct dice *dice, bool of_slice, FILE *out)
{
	static const char *const states[] = {"",   "!rs",      "!st",   "!t",
					     "!s", "!st@here", "@here", "@there"};
	static const char *const hints[] = {"",    "~za",   "~zb",       "~za,zb",
					    "~zc", "+here", "~za+there", "~zb+here,there"};
	bool hinted = once_in(dice, 2) && of_slice;

	for (uint32_t i = roll(dice, 3); i; i--)
		fprintf(out, " port=p%u:%u/%s", roll(dice, 3), 8000 + roll(dice, 2),
			once_in(dice, 3) ? "UDP" : "TCP");
	for (uint32_t i = roll(dice, 4); i; i--)
		fprintf(out, " ep=%s.%u%s%s", once_in(dice, 8) ? "192.0.2" : "10.1.0",
			1 + roll(dice, 5), states[roll(dice, ARRAY_SIZE(states))],
			hinted ? hints[1 + roll(dice, ARRAY_SIZE(hints) - 1)] : "");
}

/* This node's is one of them. */
static const char *node_name(uint32_t number)
{
	static const char *const names[] = {"here", "there"};
	static const char *const others[] = {"n2", "n3", "n4", "n5",  "n6",
					     "n7", "n8", "n9", "n10", "n11"};

	return number < 2 ? names[number] : others[(number - 2) % ARRAY_SIZE(others)];
}

static void print_pod(struct dice *dice, FILE *out)
{
	if (!once_in(dice, 6))
		fprintf(out, " ip=10.1.1.%u", 1 + roll(dice, 5));
	for (uint32_t i = 1; i <= 2; i++)
		if (!once_in(dice, 4))
			fprintf(out, " label=l%u:v%u", i, roll(dice, 2));
	if (once_in(dice, 2))
		fprintf(out, " port=named:%u/%s", 9000 + roll(dice, 2),
			once_in(dice, 3) ? "UDP" : "TCP");
	fputs(once_in(dice, 4) ? " notready" : "", out);
	fputs(once_in(dice, 6) ? " terminating" : "", out);
	fputs(once_in(dice, 8) ? " finished" : "", out);
	if (!once_in(dice, 4))
		fprintf(out, " node=%s", node_name(roll(dice, 4)));
}

static void print_node(struct dice *dice, FILE *out)
{
	for (uint32_t i = roll(dice, 3); i; i--)
		fprintf(out, " addr=192.0.2.%u", 1 + roll(dice, 3));
	if (!once_in(dice, 3))
		fprintf(out, " zone=z%c", "abc"[roll(dice, 3)]);
}

/* The caller frees. */
static char *random_object(struct dice *dice, int sort, uint32_t number)
{
	char *text = NULL;
	size_t len = 0;
	FILE *out = open_memstream(&text, &len);

	fprintf(out, "%s ", sorts[sort]);
	if (sort == NODES)
		fputs(node_name(number), out);
	else if (number == 0 && (sort == SERVICES || sort == ENDPOINTS))
		fputs("default/kubernetes", out); /* whose endpoints nobody takes over */
	else
		fprintf(out, "ns%u/x%u", number % 2, number / 2);
	if (sort == NODES)
		print_node(dice, out);
	if (sort == SERVICES)
		print_service(dice, out);
	if (sort == SLICES)
		fprintf(out, " of=x%u", roll(dice, NAMES));
	if (sort == ENDPOINTS)
		fputs(" subset", out);
	if (sort == SLICES || sort == ENDPOINTS)
		print_endpoints(dice, sort == SLICES, out);
	if (sort == PODS)
		print_pod(dice, out);
	assert_int_equal(fclose(out), 0);
	return text;
}

static void event(struct dice *dice, struct world *world, struct present *present)
{
	int sort = (int)roll(dice, SORTS);
	uint32_t number = roll(dice, 2 * NAMES);
	char **slot = &present->text[sort][number];

	if (*slot && once_in(dice, 3)) {
		world_remove(world, *slot);
		free(*slot);
		*slot = NULL;
		return;
	}
	free(*slot);
	*slot = random_object(dice, sort, number);
	world_put(world, *slot);
}

static struct world *from_scratch(const struct present *present, bool backwards)
{
	struct world *world = world_new();

	for (int i = 0; i < SORTS * 2 * NAMES; i++) {
		int at = backwards ? SORTS * 2 * NAMES - 1 - i : i;
		const char *text = present->text[at / (2 * NAMES)][at % (2 * NAMES)];

		if (text)
			world_put(world, text);
	}
	world_compute(world);
	return world;
}

static void assert_same(char *(*print)(struct world *world), struct world *a, struct world *b)
{
	cleanup_free char *x = print(a), *y = print(b);

	assert_string_equal(x, y);
}

static char *print_model(struct world *world)
{
	return world_print_model(world);
}

static char *print_objects(struct world *world)
{
	return world_print_objects(world);
}

static void compare(struct world *world, const struct present *present, bool backwards)
{
	struct world *scratch = from_scratch(present, backwards);

	world_compute(world);
	assert_same(print_objects, world, scratch);
	assert_same(print_model, world, scratch);
	assert_same(world_print_waiting, world, scratch);
	world_free(scratch);
}

/* ---- changes ---- */

/* What somebody knows who was told of changes alone: each frontend, and where it leads. */
struct known {
	struct fe_key key;
	struct frontend *fe;
	bool leads, leads_cluster;
	UT_hash_handle hh;
};

static void forget(struct known **all, struct known *known)
{
	HASH_DEL(*all, known);
	frontend_free(known->fe);
	free(known);
}

static void learn(struct known **all, const struct model *model, const struct fe_key *key)
{
	const struct frontend *fe = model_find(model, key);
	struct known *known;

	HASH_FIND(hh, *all, key, sizeof(*key), known);
	if (known)
		forget(all, known);
	if (!fe)
		return;
	known = calloc(1, sizeof(*known));
	assert_non_null(known);
	known->key = *key;
	known->fe = frontend_copy(fe);
	known->leads = model_via(model, fe, false) != NULL;
	known->leads_cluster = model_via(model, fe, true) != NULL;
	HASH_ADD(hh, *all, key, sizeof(known->key), known);
}

static void follow_changes(struct known **all, struct world *world)
{
	cleanup_free struct fe_key *keys = NULL;
	ssize_t n = model_take_changes(world->model, &keys);
	struct known *known, *next;

	assert_true(n >= 0);
	for (ssize_t i = 0; i < n; i++)
		learn(all, world->model, &keys[i]);
	assert_int_equal(HASH_COUNT(*all), model_count(world->model));
	HASH_ITER (hh, *all, known, next) {
		const struct frontend *fe = model_find(world->model, &known->key);

		assert_non_null(fe);
		assert_true(frontend_equal(fe, known->fe));
		assert_int_equal(known->leads, model_via(world->model, fe, false) != NULL);
		assert_int_equal(known->leads_cluster, model_via(world->model, fe, true) != NULL);
	}
}

static unsigned long number_from(const char *name, unsigned long otherwise)
{
	const char *text = getenv(name);

	return text ? strtoul(text, NULL, 10) : otherwise;
}

static void incremental_is_from_scratch(void **state)
{
	unsigned long events = number_from("EVENTS", 20000), seed = number_from("SEED", 1);
	struct dice dice = {seed * 0x9e3779b97f4a7c15ULL | 1};
	struct present present = {0};
	struct world *world = world_new();
	struct known *known = NULL;

	(void)state;
	for (unsigned long i = 1; i <= events; i++) {
		event(&dice, world, &present);
		if (once_in(&dice, 3)) /* some Services, while more happens */
			world_compute_some(world, 1 + roll(&dice, 3));
		if (once_in(&dice, 10))
			follow_changes(&known, world);
		if (i % CHECK_EVERY == 0)
			compare(world, &present, once_in(&dice, 2));
	}
	for (int sort = 0; sort < SORTS; sort++) {
		for (int i = 0; i < 2 * NAMES; i++) {
			if (present.text[sort][i])
				world_remove(world, present.text[sort][i]);
			free(present.text[sort][i]);
		}
	}
	world_compute(world);
	assert_int_equal(model_count(world->model), 0);
	follow_changes(&known, world);
	assert_int_equal(claims_waiting(world->claims), 0);
	world_free(world);
}

int main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(incremental_is_from_scratch)};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
