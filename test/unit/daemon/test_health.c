/* SPDX-License-Identifier: Apache-2.0 */
/* Which Service has which health-check node port, which ports are to be listened on, and what is
 * answered there. HS-n: the numbers of kube-proxy's own tests. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <stddef.h>
#include <cmocka.h>

#include "daemon/health.h"
#include "util.h"

#define NOW_MS 1000000

struct fixture {
	struct health *health;
	char problems[8][600]; /* "key: text", of those who have one */
};

static void on_problem(void *ctx, const char *key, const char *text)
{
	struct fixture *f = ctx;
	size_t len = strlen(key);

	for (size_t i = 0; i < ARRAY_SIZE(f->problems); i++)
		if (strncmp(f->problems[i], key, len) == 0 && f->problems[i][len] == ':')
			f->problems[i][0] = '\0';
	for (size_t i = 0; text && i < ARRAY_SIZE(f->problems); i++) {
		if (f->problems[i][0])
			continue;
		snprintf(f->problems[i], sizeof(f->problems[i]), "%s: %s", key, text);
		return;
	}
	assert_null(text);
}

static int setup(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));

	assert_non_null(f);
	f->health = health_new(on_problem, f);
	assert_non_null(f->health);
	*state = f;
	return 0;
}

static int teardown(void **state)
{
	struct fixture *f = *state;

	health_free(f->health);
	free(f);
	return 0;
}

static void put(struct fixture *f, const char *key, int64_t created_ms, uint16_t port, size_t n)
{
	assert_int_equal(health_put(f->health, key, created_ms, port, n), 0);
}

/* "+80 -81 " for all changes, the smallest port first. */
static const char *changes(struct fixture *f, char buf[200])
{
	int seen[16], n = 0;
	uint16_t port;
	bool wanted;

	while (health_next_change(f->health, &port, &wanted)) {
		int at = n++;

		assert_true(n <= (int)ARRAY_SIZE(seen));
		for (; at > 0 && abs(seen[at - 1]) > port; at--)
			seen[at] = seen[at - 1];
		seen[at] = wanted ? port : -port;
	}
	buf[0] = '\0';
	for (int i = 0; i < n; i++)
		sprintf(buf + strlen(buf), "%+d ", seen[i]);
	return buf;
}

static void expect_changes(struct fixture *f, const char *want)
{
	char buf[200];

	assert_string_equal(changes(f, buf), want);
}

static void expect(struct fixture *f, uint16_t port, unsigned status, size_t n, const char *name)
{
	struct health_answer answer;

	assert_int_equal(health_answer(f->health, port, NOW_MS, &answer), 0);
	assert_int_equal(answer.status, status);
	assert_int_equal(answer.n_local, n);
	assert_int_equal(answer.body_len, strlen(answer.body));
	if (name)
		assert_non_null(strstr(answer.body, name));
	else
		assert_string_equal(answer.body, "");
	free(answer.body);
}

static void expect_problem(struct fixture *f, const char *want)
{
	for (size_t i = 0; i < ARRAY_SIZE(f->problems); i++)
		if (strcmp(f->problems[i], want) == 0)
			return;
	print_message("not among the problems: %s\n", want);
	for (size_t i = 0; i < ARRAY_SIZE(f->problems); i++)
		print_message("  %s\n", f->problems[i]);
	fail();
}

static size_t count_problems(const struct fixture *f)
{
	size_t n = 0;

	for (size_t i = 0; i < ARRAY_SIZE(f->problems); i++)
		n += f->problems[i][0] != '\0';
	return n;
}

/* ---- answers ---- */

static void body_to_the_byte(void **state)
{
	struct fixture *f = *state;
	struct health_answer answer;

	put(f, "default/web", 1, 9376, 18);
	assert_int_equal(health_answer(f->health, 9376, NOW_MS, &answer), 0);
	assert_string_equal(answer.body, "{\n\t\"service\": {\n\t\t\"namespace\": \"default\",\n"
					 "\t\t\"name\": \"web\"\n\t},\n\t\"localEndpoints\": 18,\n"
					 "\t\"serviceProxyHealthy\": true\n}");
	assert_int_equal(answer.status, 200);
	free(answer.body);
	put(f, "default/web", 1, 9376, 0);
	assert_int_equal(health_answer(f->health, 9376, NOW_MS, &answer), 0);
	assert_string_equal(answer.body, "{\n\t\"service\": {\n\t\t\"namespace\": \"default\",\n"
					 "\t\t\"name\": \"web\"\n\t},\n\t\"localEndpoints\": 0,\n"
					 "\t\"serviceProxyHealthy\": true\n}");
	assert_int_equal(answer.status, 503);
	free(answer.body);
}

/* HS-2, HS-3 */
static void counts(void **state)
{
	struct fixture *f = *state;

	expect(f, 9376, 404, 0, NULL);
	put(f, "default/web", 1, 9376, 0);
	expect(f, 9376, 503, 0, "\"web\"");
	put(f, "default/web", 1, 9376, 18);
	expect(f, 9376, 200, 18, "\"web\"");
	put(f, "default/web", 1, 9376, 0);
	expect(f, 9376, 503, 0, "\"web\"");
	expect(f, 9377, 404, 0, NULL);
}

/* HS-6 */
static void not_healthy(void **state)
{
	struct fixture *f = *state;
	struct health_answer answer;

	put(f, "default/web", 1, 9376, 3);
	health_work_begins(f->health, NOW_MS - HEALTH_PATIENCE_MS + 1);
	expect(f, 9376, 200, 3, "true");
	health_work_done(f->health);
	health_work_begins(f->health, NOW_MS - HEALTH_PATIENCE_MS);
	health_work_begins(f->health, NOW_MS - 1); /* what came in between does not help */
	expect(f, 9376, 503, 3, "\"serviceProxyHealthy\": false");
	health_work_goes_on(f->health, NOW_MS - HEALTH_PATIENCE_MS + 1);
	expect(f, 9376, 200, 3, "\"serviceProxyHealthy\": true");
	health_work_goes_on(f->health, NOW_MS - HEALTH_PATIENCE_MS);
	assert_false(health_is_good(f->health, NOW_MS));
	health_work_done(f->health);
	health_work_goes_on(f->health, 1); /* nothing is under way */
	assert_true(health_is_good(f->health, NOW_MS));
	expect(f, 9376, 200, 3, "\"serviceProxyHealthy\": true");
	health_work_begins(f->health, NOW_MS - HEALTH_PATIENCE_MS);
	assert_int_equal(health_answer(f->health, 9377, NOW_MS, &answer), 0);
	assert_int_equal(answer.status, 404);
	free(answer.body);
}

static void odd_names(void **state)
{
	struct fixture *f = *state;

	put(f, "a\"b/c\\d", 1, 80, 1);
	expect(f, 80, 200, 1, "\"namespace\": \"a\\\"b\",\n\t\t\"name\": \"c\\\\d\"\n");
}

/* ---- ports ---- */

/* HS-4, HS-5 */
static void ports_come_and_go(void **state)
{
	struct fixture *f = *state;

	expect_changes(f, "");
	put(f, "default/web", 1, 11113, 2);
	put(f, "default/other", 1, 11115, 2);
	expect_changes(f, "+11113 +11115 ");
	expect_changes(f, "");
	put(f, "default/web", 1, 11113, 7); /* a count is no change of ports */
	expect_changes(f, "");
	put(f, "default/web", 1, 11114, 7);
	expect(f, 11113, 404, 0, NULL);
	expect(f, 11114, 200, 7, "\"web\"");
	expect_changes(f, "-11113 +11114 ");
	put(f, "default/web", 1, 0, 0);
	put(f, "default/never-there", 1, 0, 5);
	expect(f, 11114, 404, 0, NULL);
	expect_changes(f, "-11114 ");
	expect_changes(f, "");
	assert_int_equal(count_problems(f), 0);
}

static void nobody_looked(void **state)
{
	struct fixture *f = *state;

	put(f, "default/web", 1, 80, 1); /* came and went */
	put(f, "default/web", 1, 0, 0);
	expect_changes(f, "");
	put(f, "default/web", 1, 80, 1);
	expect_changes(f, "+80 ");
	put(f, "default/web", 1, 0, 0); /* went and came, as another Service's */
	put(f, "default/other", 2, 80, 1);
	expect_changes(f, "");
	expect(f, 80, 200, 1, "\"other\"");
	put(f, "default/other", 2, 81, 1); /* there and back */
	put(f, "default/other", 2, 80, 1);
	expect_changes(f, "");
}

/* ---- two that want one port ---- */

static void older_has_it(void **state)
{
	struct fixture *f = *state;

	put(f, "default/young", 9, 80, 1);
	put(f, "default/old", 5, 80, 2);
	put(f, "default/same-age", 9, 80, 3);
	expect(f, 80, 200, 2, "\"old\"");
	expect_changes(f, "+80 ");
	expect_problem(f, "default/young: waits for health check node port 80: the older Service "
			  "default/old has it");
	expect_problem(f, "default/same-age: waits for health check node port 80: the older "
			  "Service default/old has it");
	assert_int_equal(count_problems(f), 2);
	put(f, "default/old", 5, 0, 0);
	expect(f, 80, 200, 3, "\"same-age\""); /* by name */
	expect_problem(f, "default/young: waits for health check node port 80: the older Service "
			  "default/same-age has it");
	assert_int_equal(count_problems(f), 1);
	put(f, "default/young", 1, 80, 1); /* made anew, with an older date */
	expect(f, 80, 200, 1, "\"young\"");
	expect_problem(f, "default/same-age: waits for health check node port 80: the older "
			  "Service default/young has it");
	assert_int_equal(count_problems(f), 1);
	put(f, "default/same-age", 9, 81, 3);
	assert_int_equal(count_problems(f), 0);
	expect_changes(f, "+81 ");
}

/* Who waits, and goes, changes nothing for who has it. */
static void who_waits_goes(void **state)
{
	struct fixture *f = *state;

	put(f, "default/a", 1, 80, 1);
	put(f, "default/b", 2, 80, 2);
	put(f, "default/c", 3, 80, 3);
	put(f, "default/b", 2, 0, 0);
	expect(f, 80, 200, 1, "\"a\"");
	assert_int_equal(count_problems(f), 1);
	put(f, "default/a", 1, 0, 0);
	expect(f, 80, 200, 3, "\"c\"");
	assert_int_equal(count_problems(f), 0);
	expect_changes(f, "+80 ");
	put(f, "default/c", 3, 0, 0);
	expect_changes(f, "-80 ");
}

/* ---- a port that cannot be had ---- */

static void tried_again(void **state)
{
	struct fixture *f = *state;

	put(f, "default/web", 1, 80, 1);
	put(f, "default/late", 2, 80, 1);
	put(f, "default/good", 1, 81, 1);
	expect_changes(f, "+80 +81 ");
	health_listened(f->health, 80, "in use");
	health_listened(f->health, 81, NULL);
	expect_problem(f, "default/web: nobody answers on health check node port 80: in use; tried "
			  "again");
	assert_int_equal(count_problems(f), 2); /* the other one waits */
	expect_changes(f, "");
	assert_int_equal(health_retry(f->health), 1);
	assert_int_equal(health_retry(f->health), 1);
	expect_changes(f, "+80 ");
	health_listened(f->health, 80, "still in use");
	expect_problem(f, "default/web: nobody answers on health check node port 80: still in use; "
			  "tried again");
	health_retry(f->health);
	expect_changes(f, "+80 ");
	health_listened(f->health, 80, NULL);
	assert_int_equal(count_problems(f), 1);
	assert_int_equal(health_retry(f->health), 0);
	expect_changes(f, "");
}

/* The trouble is the port's: who gets it next inherits it; it goes with the last. */
static void trouble_goes_along(void **state)
{
	struct fixture *f = *state;

	put(f, "default/a", 1, 80, 1);
	put(f, "default/b", 2, 80, 1);
	expect_changes(f, "+80 ");
	health_listened(f->health, 80, "in use");
	put(f, "default/a", 1, 0, 0);
	expect_problem(f, "default/b: nobody answers on health check node port 80: in use; tried "
			  "again");
	assert_int_equal(count_problems(f), 1);
	health_retry(f->health);
	put(f, "default/b", 2, 0, 0);
	assert_int_equal(count_problems(f), 0);
	expect_changes(f, ""); /* nobody listened */
	assert_int_equal(health_retry(f->health), 0);
	health_listened(f->health, 80, "nobody's");
	assert_int_equal(count_problems(f), 0);
}

static void many(void **state)
{
	struct fixture *f = *state;
	uint16_t port;
	size_t n = 0;
	bool wanted;
	char key[32];

	for (unsigned i = 1; i <= 5000; i++) {
		snprintf(key, sizeof(key), "default/s%u", i);
		put(f, key, 1, (uint16_t)i, i);
	}
	for (unsigned i = 2; i <= 5000; i += 2) {
		snprintf(key, sizeof(key), "default/s%u", i);
		put(f, key, 1, 0, 0);
	}
	for (; health_next_change(f->health, &port, &wanted); n++) {
		assert_true(wanted);
		assert_true(port % 2);
		snprintf(key, sizeof(key), "\"s%u\"", port);
		expect(f, port, 200, port, key);
	}
	assert_int_equal(n, 2500);
}

int main(void)
{
#define WITH(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
	const struct CMUnitTest tests[] = {
		WITH(body_to_the_byte),
		WITH(counts),
		WITH(not_healthy),
		WITH(odd_names),
		WITH(ports_come_and_go),
		WITH(nobody_looked),
		WITH(older_has_it),
		WITH(who_waits_goes),
		WITH(tried_again),
		WITH(trouble_goes_along),
		WITH(many),
	};

	health_free(NULL);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
