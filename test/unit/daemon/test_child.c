/* SPDX-License-Identifier: Apache-2.0 */
/* Children on the loop: input and outputs, how they end, deadlines, limits. */
#include <errno.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>
#include <cmocka.h>

#include "daemon/child.h"

#define LONG_MS 20000

struct ended {
	int calls, status;
	char *output;
	size_t len;
	uint64_t took_ms;
};

static void done(void *arg, const struct child_result *result)
{
	struct ended *ended = arg;

	ended->calls++;
	ended->status = result->status;
	ended->len = result->output_len;
	assert_int_equal(result->output[result->output_len], '\0');
	ended->output = malloc(result->output_len + 1);
	memcpy(ended->output, result->output, result->output_len + 1);
}

/* Runs it to its end on a loop of its own; the caller frees the output. */
static struct ended run(const char *const argv[], const char *input, size_t len,
			uint64_t deadline_ms)
{
	struct ended ended = {0};
	uint64_t start_ns = uv_hrtime();
	uv_loop_t loop;

	uv_loop_init(&loop);
	assert_int_equal(child_run(&loop, argv, input, len, deadline_ms, done, &ended), 0);
	assert_int_equal(ended.calls, 0); /* never from inside the call */
	uv_run(&loop, UV_RUN_DEFAULT);
	assert_int_equal(uv_loop_close(&loop), 0); /* nothing is left of it */
	assert_int_equal(ended.calls, 1);
	ended.took_ms = (uv_hrtime() - start_ns) / 1000000;
	return ended;
}

static struct ended shell(const char *script, uint64_t deadline_ms)
{
	const char *const argv[] = {"sh", "-c", script, NULL};

	return run(argv, "input\n", 6, deadline_ms);
}

static void outputs_and_status(void **state)
{
	struct ended ended = shell("echo bad >&2; cat; echo good; exit 7", LONG_MS);

	(void)state;
	assert_int_equal(ended.status, 7);
	assert_string_equal(ended.output, "input\ngood\nbad\n"); /* output, then errors */
	free(ended.output);
	ended = shell("exit 0", LONG_MS);
	assert_int_equal(ended.status, 0);
	assert_string_equal(ended.output, "");
	free(ended.output);
}

static void large_input_comes_back(void **state)
{
	static const char *const cat[] = {"cat", NULL}, *const deaf[] = {"true", NULL};
	size_t len = 5 << 20;
	char *input = malloc(len);
	struct ended ended;

	(void)state;
	for (size_t i = 0; i < len; i++)
		input[i] = (char)('a' + i % 23);
	ended = run(cat, input, len, LONG_MS);
	assert_int_equal(ended.status, 0);
	assert_int_equal(ended.len, len);
	assert_memory_equal(ended.output, input, len);
	free(ended.output);
	ended = run(deaf, input, len, LONG_MS); /* one that does not read it is no trouble */
	assert_int_equal(ended.status, 0);
	free(ended.output);
	free(input);
}

static void what_is_not_there(void **state)
{
	static const char *const missing[] = {"/nowhere/program", NULL}, *const folder[] = {"/",
											    NULL};
	struct ended ended = run(missing, "", 0, LONG_MS);

	(void)state;
	assert_int_equal(ended.status, -ENOENT);
	assert_string_equal(ended.output, "");
	free(ended.output);
	ended = run(folder, "", 0, LONG_MS);
	assert_int_equal(ended.status, -EACCES);
	free(ended.output);
}

static void ended_by_a_signal(void **state)
{
	struct ended ended = shell("echo last words; kill -KILL $$", LONG_MS);

	(void)state;
	assert_int_equal(ended.status, 128 + SIGKILL);
	assert_string_equal(ended.output, "last words\n");
	free(ended.output);
}

static void killed_at_the_deadline(void **state)
{
	struct ended ended = shell("trap '' TERM; echo begun; exec sleep 30", 300);

	(void)state;
	assert_int_equal(ended.status, -1);
	assert_string_equal(ended.output, "begun\n");
	assert_in_range(ended.took_ms, 295, 10000); /* the loop counts in whole milliseconds */
	free(ended.output);
}

/* A grandchild that holds the outputs open cannot hold us. */
static void outputs_held_open(void **state)
{
	struct ended ended = shell("sleep 5 & echo gone", 300);

	(void)state;
	assert_int_equal(ended.status, -1);
	assert_string_equal(ended.output, "gone\n");
	assert_in_range(ended.took_ms, 295, 4000);
	free(ended.output);
}

static void output_without_end(void **state)
{
	static const char *const argv[] = {"head", "-c", "100M", "/dev/zero", NULL};
	struct ended ended = run(argv, "", 0, LONG_MS);

	(void)state;
	assert_int_not_equal(ended.status, 0); /* SIGPIPE, or an error told by itself */
	assert_in_range(ended.len, CHILD_OUTPUT_MAX - (1 << 20), CHILD_OUTPUT_MAX);
	free(ended.output);
}

/* The daemon ignores SIGPIPE; its children are to die of it, as programs expect. */
static void signals_are_as_programs_expect(void **state)
{
	struct ended ended;

	(void)state;
	signal(SIGPIPE, SIG_IGN);
	ended = shell("grep SigIgn /proc/self/status", LONG_MS);
	signal(SIGPIPE, SIG_DFL);
	assert_int_equal(
		strtoull(ended.output + strlen("SigIgn:"), NULL, 16) & (1ULL << (SIGPIPE - 1)), 0);
	free(ended.output);
}

static void several_at_once(void **state)
{
	struct ended ended[8] = {0};
	uv_loop_t loop;

	(void)state;
	uv_loop_init(&loop);
	for (size_t i = 0; i < ARRAY_SIZE(ended); i++) {
		const char *const argv[] = {"sh", "-c", i % 2 ? "cat; exit 1" : "cat >&2", NULL};

		assert_int_equal(child_run(&loop, argv, "12345678", i, LONG_MS, done, &ended[i]),
				 0);
	}
	uv_run(&loop, UV_RUN_DEFAULT);
	assert_int_equal(uv_loop_close(&loop), 0);
	for (size_t i = 0; i < ARRAY_SIZE(ended); i++) {
		assert_int_equal(ended[i].calls, 1);
		assert_int_equal(ended[i].status, i % 2);
		assert_int_equal(ended[i].len, i);
		free(ended[i].output);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(outputs_and_status),
		cmocka_unit_test(large_input_comes_back),
		cmocka_unit_test(what_is_not_there),
		cmocka_unit_test(ended_by_a_signal),
		cmocka_unit_test(killed_at_the_deadline),
		cmocka_unit_test(outputs_held_open),
		cmocka_unit_test(output_without_end),
		cmocka_unit_test(several_at_once),
		cmocka_unit_test(signals_are_as_programs_expect),
	};

	signal(SIGPIPE, SIG_IGN); /* as the daemon does */
	return cmocka_run_group_tests(tests, NULL, NULL);
}
