/* SPDX-License-Identifier: Apache-2.0 */
/* How many lines a log takes, and that none is left out in silence. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include "log_limit.h"

static const char noisy[] = "noisy", quiet[] = "quiet";

static uint64_t take(struct log_limit *limit, const char *msg, uint64_t n, uint64_t now_ms)
{
	uint64_t taken = 0;

	while (n--)
		taken += log_limit_take(limit, msg, now_ms);
	return taken;
}

static void burst_then_rate(void **state)
{
	struct log_limit limit = {0};

	(void)state;
	assert_int_equal(take(&limit, noisy, 5000, 0), LOG_LIMIT_BURST);
	assert_int_equal(take(&limit, quiet, 1, 0), 1); /* another's noise is not its own */
	assert_int_equal(take(&limit, noisy, 5000, 49), 0);
	assert_int_equal(take(&limit, noisy, 5000, 50), 1);
	assert_int_equal(take(&limit, noisy, 5000, 1050), LOG_LIMIT_PER_SEC);
	assert_int_equal(take(&limit, noisy, 5000, 900), 0); /* a clock that went back */
	assert_int_equal(take(&limit, noisy, 5000, UINT64_MAX), LOG_LIMIT_BURST);
}

static void left_out_is_told(void **state)
{
	struct log_limit limit = {0};
	const char *msg;
	uint64_t n;

	(void)state;
	assert_false(log_limit_next(&limit, 0, &msg, &n));
	take(&limit, noisy, LOG_LIMIT_BURST + 7, 0);
	take(&limit, quiet, 1, 0);
	assert_false(log_limit_next(&limit, 0, &msg, &n)); /* there is no room for it either */
	assert_true(log_limit_next(&limit, 1000, &msg, &n));
	assert_ptr_equal(msg, noisy);
	assert_int_equal(n, 7);
	assert_false(log_limit_next(&limit, 1000, &msg, &n));
	assert_int_equal(limit.left_out, 0);
}

static void more_kinds_than_room(void **state)
{
	static const char many[LOG_LIMIT_KINDS + 1] = "";
	struct log_limit limit = {0};

	(void)state;
	for (size_t i = 0; i < LOG_LIMIT_KINDS; i++)
		take(&limit, &many[i], 1, 0);
	assert_int_equal(take(&limit, &many[LOG_LIMIT_KINDS], 5000, 0), 5000);
	assert_int_equal(take(&limit, &many[0], 5000, 0), LOG_LIMIT_BURST - 1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(burst_then_rate),
		cmocka_unit_test(left_out_is_told),
		cmocka_unit_test(more_kinds_than_room),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
