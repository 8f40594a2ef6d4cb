/* SPDX-License-Identifier: Apache-2.0 */
/* Who gets an address and port that several Services want, and what is told about those who wait.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>
#include <cmocka.h>

#include "make.h"
#include "world.h"

#define K1 "10.96.0.1:80/TCP"
#define K2 "10.96.0.2:80/TCP"
#define K3 "10.96.0.3:80/TCP"

static int setup(void **state)
{
	*state = world_new();
	return 0;
}

static int teardown(void **state)
{
	world_free(*state);
	return 0;
}

static struct frontend *frontend(const char *key_text, const char *owner)
{
	struct fe_key key = make_key(key_text);
	struct endpoint ep = {.addr = make_addr("10.1.0.1"), .port = 8080, .weight = 1};
	struct pool *pool = pool_new(&ep, 1);
	struct frontend *fe = frontend_new(&key, owner, pool);

	assert_non_null(fe);
	pool_unref(pool);
	return fe;
}

/* The Service claims `keys` (with blanks between) from now on, and nothing else. Its frontends
 * belong to "SERVICE:`port`", or to the Service itself if `port` is "". */
static void claim_as(struct world *world, const char *service, const char *port, int64_t created_ms,
		     const char *keys)
{
	struct svc_want want = {.created_ms = created_ms};
	cleanup_free char *text = strdup(keys);
	char owner[200], *place = NULL;

	snprintf(owner, sizeof(owner), "%s%s%s", service, *port ? ":" : "", port);
	for (char *key = strtok_r(text, " ", &place); key; key = strtok_r(NULL, " ", &place)) {
		assert_int_equal(
			util_grow((void **)&want.fe, &want.cap, want.n + 1, sizeof(*want.fe)), 0);
		want.fe[want.n++] = frontend(key, owner);
	}
	assert_int_equal(claims_update(world->claims, service, &want, world->model), 0);
	svc_want_done(&want);
}

static void claim(struct world *world, const char *service, int64_t created_ms, const char *keys)
{
	claim_as(world, service, "", created_ms, keys);
}

/* The owner of the frontend in the model; "" = there is none. */
static void assert_owner(struct world *world, const char *key_text, const char *owner)
{
	struct fe_key key = make_key(key_text);
	const struct frontend *fe = model_find(world->model, &key);

	assert_string_equal(fe ? fe->owner : "", owner);
}

static void assert_waiting(struct world *world, const char *expected)
{
	cleanup_free char *waiting = world_print_waiting(world);

	assert_string_equal(waiting, expected);
}

static void assert_changes(struct world *world, const char *expected)
{
	cleanup_free char *changes = world_take_changes(world);

	assert_string_equal(changes, expected);
}

/* Whoever comes first, the same one wins. */
static void order_of_claims(void **state)
{
	static const struct {
		const char *what, *winner, *loser;
		int64_t winner_ms, loser_ms;
	} cases[] = {
		{"the older", "b/z", "a/a", 100, 200},
		{"the older by a millisecond", "b/z", "a/a", 1700000000000, 1700000000001},
		{"of one age: by namespace", "a/z", "b/a", 100, 100},
		{"of one age: by name", "a/a", "a/b", 100, 100},
		{"a known age before an unknown one", "b/z", "a/a", 100, 0},
		{"an age before the epoch is unknown", "b/z", "a/a", 100, -5},
		{"of unknown age: by namespace and name", "a/a", "a/b", 0, 0},
	};

	for (size_t i = 0; i < 2 * ARRAY_SIZE(cases); i++) {
		const char *winner = cases[i / 2].winner, *loser = cases[i / 2].loser;
		char waiting[100];

		setup(state);
		if (i % 2)
			claim(*state, loser, cases[i / 2].loser_ms, K1);
		claim(*state, winner, cases[i / 2].winner_ms, K1);
		claim(*state, loser, cases[i / 2].loser_ms, K1);
		print_message("  %s\n", cases[i / 2].what);
		assert_owner(*state, K1, winner);
		snprintf(waiting, sizeof(waiting), "%s " K1 " waits for %s\n", loser, winner);
		assert_waiting(*state, waiting);
		assert_int_equal(model_count(((struct world *)*state)->model), 1);
		teardown(state);
	}
}

static void the_loser_revives(void **state)
{
	struct world *world = *state;

	claim(world, "a/old", 1, K1);
	claim(world, "a/new", 2, K1);
	assert_changes(world, K1 "\n");
	assert_int_equal(claims_waiting(world->claims), 1);
	claim(world, "a/old", 1, "");
	assert_owner(world, K1, "a/new");
	assert_waiting(world, "");
	assert_int_equal(claims_waiting(world->claims), 0);
	assert_changes(world, K1 "\n");
	claim(world, "a/new", 2, "");
	assert_owner(world, K1, "");
	assert_changes(world, K1 "\n");
}

/* Its frontend, whole: an older Service came, went, and nothing of it stays. */
static void the_displaced_comes_back_as_it_was(void **state)
{
	struct world *world = *state;
	struct svc_want want = {.created_ms = 5};
	struct fe_key key = make_key(K1);
	cleanup_free char *before = NULL, *after = NULL;

	want.fe = calloc(1, sizeof(*want.fe));
	want.fe[want.n++] = frontend(K1, "a/new");
	strcpy(want.fe[0]->lb.scheduler, "sh");
	want.fe[0]->lb.affinity_sec = 77;
	want.fe[0]->lb.sched_flags = 8;
	want.fe[0]->verdict = V_REJECT;
	want.fe[0]->snat = SNAT_ALWAYS;
	want.fe[0]->priority = PRIO_DNS;
	assert_int_equal(claims_update(world->claims, "a/new", &want, world->model), 0);
	svc_want_done(&want);
	before = world_print_model(world);
	claim(world, "a/old", 1, K1);
	assert_string_equal(model_find(world->model, &key)->owner, "a/old");
	claim(world, "a/old", 1, "");
	after = world_print_model(world);
	assert_string_equal(after, before);
}

static void several_losers_in_their_order(void **state)
{
	struct world *world = *state;

	claim(world, "a/three", 3, K1);
	claim(world, "a/one", 1, K1);
	claim(world, "a/four", 0, K1);
	claim(world, "a/two", 2, K1);
	assert_waiting(world, "a/four " K1 " waits for a/one\n"
			      "a/three " K1 " waits for a/one\n"
			      "a/two " K1 " waits for a/one\n");
	claim(world, "a/three", 3, "");
	assert_owner(world, K1, "a/one");
	assert_waiting(world, "a/four " K1 " waits for a/one\n"
			      "a/two " K1 " waits for a/one\n");
	/* who waits is told for whom, also when that changes */
	claim(world, "a/one", 1, "");
	assert_owner(world, K1, "a/two");
	assert_waiting(world, "a/four " K1 " waits for a/two\n");
	claim(world, "a/zero", 1, K1);
	assert_waiting(world, "a/four " K1 " waits for a/zero\na/two " K1 " waits for a/zero\n");
	claim(world, "a/zero", 1, "");
	claim(world, "a/two", 2, "");
	assert_owner(world, K1, "a/four");
	assert_waiting(world, "");
}

static void an_owner_changes_its_addresses(void **state)
{
	struct world *world = *state;

	claim(world, "a/old", 1, K1 " " K2);
	claim(world, "a/new", 2, K2 " " K3);
	assert_waiting(world, "a/new " K2 " waits for a/old\n");
	assert_changes(world, K1 "\n" K2 "\n" K3 "\n");
	/* the older leaves K2 and comes to K3: both change hands */
	claim(world, "a/old", 1, K1 " " K3);
	assert_owner(world, K1, "a/old");
	assert_owner(world, K2, "a/new");
	assert_owner(world, K3, "a/old");
	assert_waiting(world, "a/new " K3 " waits for a/old\n");
	assert_changes(world, K2 "\n" K3 "\n");
	/* the loser goes where nobody is */
	claim(world, "a/new", 2, "10.96.0.4:80/TCP");
	assert_owner(world, K2, "");
	assert_owner(world, "10.96.0.4:80/TCP", "a/new");
	assert_waiting(world, "");
	assert_changes(world, "10.96.0.4:80/TCP\n" K2 "\n");
}

/* One that is made anew under its name is younger than it was. */
static void an_age_changes(void **state)
{
	struct world *world = *state;

	claim(world, "a/a", 1, K1);
	claim(world, "a/b", 2, K1);
	claim(world, "a/c", 3, K1);
	assert_changes(world, K1 "\n");
	claim(world, "a/a", 4, K1);
	assert_owner(world, K1, "a/b");
	assert_waiting(world, "a/a " K1 " waits for a/b\na/c " K1 " waits for a/b\n");
	assert_changes(world, K1 "\n");
	claim(world, "a/c", 1, K1);
	assert_owner(world, K1, "a/c");
	assert_waiting(world, "a/a " K1 " waits for a/c\na/b " K1 " waits for a/c\n");
	assert_changes(world, K1 "\n");
	claim(world, "a/c", 2, "");
	claim(world, "a/b", 2, "");
	/* alone, an age is only remembered */
	claim(world, "a/a", 9, K1);
	claim(world, "a/b", 8, K1);
	assert_owner(world, K1, "a/b");
	/* another age and still the winner: nothing changes */
	assert_changes(world, K1 "\n");
	claim(world, "a/b", 7, K1);
	assert_changes(world, "");
	assert_waiting(world, "a/a " K1 " waits for a/b\n");
}

/* The names that the messages bear change with the names of ports. */
static void a_port_is_renamed(void **state)
{
	struct world *world = *state;

	claim_as(world, "a/old", "http", 1, K1);
	claim_as(world, "a/new", "web", 2, K1);
	claim_as(world, "a/newer", "web", 3, K1);
	claim_as(world, "a/new", "www", 2, K1);
	assert_waiting(world, "a/new:www " K1 " waits for a/old:http\n"
			      "a/newer:web " K1 " waits for a/old:http\n");
	claim_as(world, "a/old", "http2", 1, K1);
	assert_owner(world, K1, "a/old:http2");
	assert_waiting(world, "a/new:www " K1 " waits for a/old:http2\n"
			      "a/newer:web " K1 " waits for a/old:http2\n");
}

/* What changes about a loser changes nothing in the model, until its turn comes. */
static void a_loser_changes_in_silence(void **state)
{
	struct world *world = *state;
	struct svc_want want = {.created_ms = 2};
	struct fe_key key = make_key(K1);

	claim(world, "a/old", 1, K1);
	claim(world, "a/new", 2, K1);
	assert_changes(world, K1 "\n");
	want.fe = calloc(1, sizeof(*want.fe));
	want.fe[want.n++] = frontend(K1, "a/new");
	want.fe[0]->lb.affinity_sec = 99;
	assert_int_equal(claims_update(world->claims, "a/new", &want, world->model), 0);
	svc_want_done(&want);
	assert_changes(world, "");
	claim(world, "a/old", 1, "");
	assert_int_equal(model_find(world->model, &key)->lb.affinity_sec, 99);
}

/* A port and a protocol are another key, and so is a family. */
static void keys_that_do_not_meet(void **state)
{
	struct world *world = *state;

	claim(world, "a/a", 1, K1 " [fd00::1]:80/TCP");
	claim(world, "a/b", 2, "10.96.0.1:80/UDP 10.96.0.1:80/SCTP 10.96.0.1:81/TCP");
	assert_waiting(world, "");
	assert_int_equal(model_count(world->model), 5);
}

/* A Service with as many ports as one may have, in both families, is no matter of seconds. */
static void as_many_ports_as_there_may_be(void **state)
{
	struct world *world = *state;
	cleanup_free char *keys = NULL;
	size_t len = 0;
	FILE *out = open_memstream(&keys, &len);

	for (unsigned port = 1; port <= OBJ_PORTS_MAX; port++)
		fprintf(out, "10.96.0.1:%u/TCP [fd00::1]:%u/TCP ", port, port);
	fclose(out);
	for (int round = 0; round < 3; round++)
		claim(world, "a/a", 1, keys);
	assert_int_equal(model_count(world->model), 2 * OBJ_PORTS_MAX);
	claim(world, "a/a", 1, K1);
	assert_int_equal(model_count(world->model), 1);
	claim(world, "a/a", 1, "");
	assert_int_equal(model_count(world->model), 0);
}

static void no_listener(void **state)
{
	struct claims *claims = claims_new(NULL, NULL);
	struct model *model = model_new();
	struct svc_want want = {.created_ms = 1};

	(void)state;
	for (int i = 0; i < 3; i++) {
		want.fe = calloc(1, sizeof(*want.fe));
		want.fe[want.n++] = frontend(K1, "a/a");
		assert_int_equal(claims_update(claims, i ? "a/a" : "a/b", &want, model), 0);
		svc_want_done(&want);
		want.created_ms = 1;
	}
	assert_int_equal(claims_waiting(claims), 1);
	claims_free(claims);
	claims_free(NULL);
	model_free(model);
}

int main(void)
{
#define WITH_WORLD(test) cmocka_unit_test_setup_teardown(test, setup, teardown)
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(order_of_claims),
		WITH_WORLD(the_loser_revives),
		WITH_WORLD(the_displaced_comes_back_as_it_was),
		WITH_WORLD(several_losers_in_their_order),
		WITH_WORLD(an_owner_changes_its_addresses),
		WITH_WORLD(an_age_changes),
		WITH_WORLD(a_port_is_renamed),
		WITH_WORLD(a_loser_changes_in_silence),
		WITH_WORLD(keys_that_do_not_meet),
		WITH_WORLD(as_many_ports_as_there_may_be),
		cmocka_unit_test(no_listener),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
