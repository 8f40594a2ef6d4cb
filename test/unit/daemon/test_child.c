/* SPDX-License-Identifier: Apache-2.0 */
/* Children on the loop: what they read, wrote and ended with is told, once, and a deadline holds.
 */
#include <errno.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "daemon/child.h"

struct outcome_seen {
	int calls, status;
	char *output;
};

static void done(void *arg, const struct child_result *result)
{
	struct outcome_seen *seen = arg;

	seen->calls++;
	seen->status = result->status;
	free(seen->output);
	seen->output = strdup(result->output);
	assert_int_equal(strlen(seen->output), result->output_len);
}

/* Runs a shell script on a loop of its own until nothing is left on that. */
static struct outcome_seen run(const char *program, const char *script, const char *input,
			       size_t input_len, uint64_t deadline_ms)
{
	const char *const argv[] = {program, "-c", script, NULL};
	struct outcome_seen seen = {0};
	uv_loop_t loop;

	assert_int_equal(uv_loop_init(&loop), 0);
	assert_int_equal(child_run(&loop, argv, input, input_len, deadline_ms, done, &seen), 0);
	assert_int_equal(seen.calls, 0);
	uv_run(&loop, UV_RUN_DEFAULT);
	assert_int_equal(uv_loop_close(&loop), 0);
	assert_int_equal(seen.calls, 1);
	return seen;
}

static void output_then_errors_and_the_exit_code(void **state)
{
	struct outcome_seen seen = run("sh", "echo bad >&2; cat; exit 3", "hello\n", 6, 5000);

	(void)state;
	assert_int_equal(seen.status, 3);
	assert_string_equal(seen.output, "hello\nbad\n");
	free(seen.output);
}

static void much_goes_in_and_comes_out(void **state)
{
	const size_t len = 3 << 20;
	char *text = malloc(len + 1);
	struct outcome_seen seen;

	(void)state;
	memset(text, 'x', len);
	text[len] = '\0';
	seen = run("sh", "cat", text, len, 20000);
	assert_int_equal(seen.status, 0);
	assert_true(strcmp(seen.output, text) == 0);
	free(seen.output);
	free(text);
}

static void one_that_takes_too_long_is_killed(void **state)
{
	uint64_t start_ns = uv_hrtime();
	struct outcome_seen seen = run("sh", "exec sleep 60", "", 0, 100);

	(void)state;
	assert_int_equal(seen.status, -1);
	assert_true(uv_hrtime() - start_ns < 10000000000ULL);
	free(seen.output);
}

static void a_signal_is_told_apart(void **state)
{
	struct outcome_seen seen = run("sh", "kill -TERM $$", "", 0, 5000);

	(void)state;
	assert_int_equal(seen.status, 128 + SIGTERM);
	free(seen.output);
}

static void no_such_program(void **state)
{
	struct outcome_seen seen = run("vipd-no-such-program", "", "", 0, 5000);

	(void)state;
	assert_int_equal(seen.status, -ENOENT);
	free(seen.output);
}

/* The daemon ignores SIGPIPE; its children are to die of it, as programs expect. */
static void signals_are_as_programs_expect(void **state)
{
	struct outcome_seen seen;

	(void)state;
	signal(SIGPIPE, SIG_IGN);
	seen = run("sh", "grep SigIgn /proc/self/status", "", 0, 5000);
	signal(SIGPIPE, SIG_DFL);
	assert_int_equal(
		strtoull(seen.output + strlen("SigIgn:"), NULL, 16) & (1ULL << (SIGPIPE - 1)), 0);
	free(seen.output);
}

/* Each is told its own end. */
static void several_at_once(void **state)
{
	const char *const first[] = {"sh", "-c", "exit 1", NULL};
	const char *const second[] = {"sh", "-c", "sleep 0.1; exit 2", NULL};
	struct outcome_seen seen[2] = {0};
	uv_loop_t loop;

	(void)state;
	assert_int_equal(uv_loop_init(&loop), 0);
	assert_int_equal(child_run(&loop, second, "", 0, 5000, done, &seen[1]), 0);
	assert_int_equal(child_run(&loop, first, "", 0, 5000, done, &seen[0]), 0);
	uv_run(&loop, UV_RUN_DEFAULT);
	assert_int_equal(uv_loop_close(&loop), 0);
	assert_int_equal(seen[0].status, 1);
	assert_int_equal(seen[1].status, 2);
	free(seen[0].output);
	free(seen[1].output);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(output_then_errors_and_the_exit_code),
		cmocka_unit_test(much_goes_in_and_comes_out),
		cmocka_unit_test(one_that_takes_too_long_is_killed),
		cmocka_unit_test(a_signal_is_told_apart),
		cmocka_unit_test(no_such_program),
		cmocka_unit_test(signals_are_as_programs_expect),
		cmocka_unit_test(several_at_once),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
