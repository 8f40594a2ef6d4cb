/* SPDX-License-Identifier: Apache-2.0 */
/* Small helpers: keys put together, arrays that grow, shares of time. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>
#include <errno.h>
#include <string.h>
#include <time.h>

#include "util.h"

static void joined_keys_are_cut_to_their_room(void **state)
{
	char buf[8], one[1];

	(void)state;
	assert_int_equal(util_join(buf, sizeof(buf), "ns", '/', "web"), 6);
	assert_string_equal(buf, "ns/web");
	assert_int_equal(util_join(buf, sizeof(buf), "", '=', ""), 1);
	assert_string_equal(buf, "=");
	assert_int_equal(util_join(buf, sizeof(buf), "ns", '/', "webserver"), 7);
	assert_string_equal(buf, "ns/webs");
	assert_int_equal(util_join(buf, sizeof(buf), "namespace", '/', "web"), 7);
	assert_string_equal(buf, "namespa");
	assert_int_equal(util_join(one, sizeof(one), "ns", '/', "web"), 0);
	assert_string_equal(one, "");
}

/* From a few bytes to what moves as a whole. */
static void a_growing_array_keeps_what_it_has(void **state)
{
	uint32_t *items = NULL;
	size_t cap = 0;

	(void)state;
	for (uint32_t i = 0; i < 100000; i++) {
		assert_int_equal(util_grow((void **)&items, &cap, i + 1, sizeof(*items)), 0);
		assert_true(cap > i);
		items[i] = i * 7;
	}
	for (uint32_t i = 0; i < 100000; i++)
		assert_int_equal(items[i], i * 7);
	assert_int_equal(util_grow((void **)&items, &cap, SIZE_MAX / 2, sizeof(*items)), -ENOMEM);
	assert_int_equal(items[99999], 99999 * 7);
	free(items);
}

static uint64_t now_us(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * 1000000 + (uint64_t)now.tv_nsec / 1000;
}

static void wait_us(uint64_t us)
{
	uint64_t end = now_us() + us;

	while (now_us() < end)
		continue;
}

/* Steps that turn long are noticed before many of them are done. */
static void a_share_of_time_ends_however_long_its_steps(void **state)
{
	struct budget budget = budget_start(200000);
	unsigned quick = 0, slow = 0;

	(void)state;
	while (quick < 2000 && budget_left(&budget))
		quick++;
	assert_int_equal(quick, 2000); /* some microseconds in all */
	while (slow < 10000 && budget_left(&budget)) {
		wait_us(1000);
		slow++;
	}
	assert_in_range(slow, 0, 200 + BUDGET_STEPS_MAX);
	budget = budget_start(3000);
	for (slow = 0; slow < 1000 && budget_left(&budget); slow++)
		wait_us(1000);
	assert_in_range(slow, 0, 8);
}

static void no_time_is_no_step_and_endless_time_any(void **state)
{
	struct budget none = budget_start(0), endless = budget_start(UINT64_MAX);

	(void)state;
	assert_false(budget_left(&none));
	for (int i = 0; i < 10000; i++)
		assert_true(budget_left(&endless));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(joined_keys_are_cut_to_their_room),
		cmocka_unit_test(a_growing_array_keeps_what_it_has),
		cmocka_unit_test(a_share_of_time_ends_however_long_its_steps),
		cmocka_unit_test(no_time_is_no_step_and_endless_time_any),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
