/* SPDX-License-Identifier: Apache-2.0 */
/* The order of the stages, over backends that only write down what they are asked: nothing is
 * computed from half a source, nothing written by a printer; how one pass ends. */
#include <errno.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>
#include <cmocka.h>

#include "backend.h"
#include "daemon/sync.h"
#include "log.h"

#define GOOD                                                     \
	"apiVersion: v1\nkind: Service\nmetadata: {name: web}\n" \
	"spec: {clusterIP: 10.96.0.1, ports: [{port: 80}]}\n"
#define SAME_ADDRESS                                                    \
	"---\napiVersion: v1\nkind: Service\nmetadata: {name: later}\n" \
	"spec: {clusterIP: 10.96.0.1, ports: [{port: 80}]}\n"
#define BROKEN "---\napiVersion: v1\nkind: Service\nmetadata: {name: b}\nspec: {}\n"

/* What the backend of the present test does; there is no other way to reach it, since sync opens it
 * by the mode's name. */
struct plan_of_test {
	int read_slices;   /* >0 so often before it is done */
	int waits;         /* -EAGAIN so often from read, then from step; env->wake follows */
	int read_result;   /* 0 or -errno */
	int failing_steps; /* the frontends are retried so often */
	int cleanup_result;
	bool term_in_step;
};

struct backend {
	const struct backend_env *env;
	struct backend_config config;
	struct fe_key keys[16];
	size_t n_keys;
	bool marked_all;
	uint64_t retry_ms;
	uv_timer_t waker;
};

static struct {
	struct plan_of_test plan;
	FILE *log; /* a word a call; repeated ones once */
	char *text, last[64];
	size_t len;
	uv_loop_t *loop;
} test;

static void note(const char *word)
{
	if (strcmp(test.last, word) == 0)
		return;
	snprintf(test.last, sizeof(test.last), "%s", word);
	fprintf(test.log, "%s%s", test.len || ftell(test.log) ? " " : "", word);
}

static int fake_open(const struct backend_config *config, const struct backend_env *env,
		     struct backend **ret_backend, struct err *err)
{
	struct backend *be = calloc(1, sizeof(*be));

	(void)err;
	be->env = env;
	be->config = *config;
	uv_timer_init(test.loop, &be->waker);
	note(config->read_only ? "open-read-only" : "open");
	*ret_backend = be;
	return 0;
}

static void fake_close(struct backend *be)
{
	note("close");
	free(be);
}

static void on_waker(uv_timer_t *timer)
{
	struct backend *be = timer->data;

	be->env->wake(be->env->ctx);
}

/* True: it waits, and wakes later. */
static bool waits(struct backend *be)
{
	if (test.plan.waits == 0)
		return false;
	test.plan.waits--;
	be->waker.data = be;
	uv_timer_start(&be->waker, on_waker, 5, 0);
	return true;
}

static int fake_read(struct backend *be, uint64_t budget_us, struct err *err)
{
	assert_in_range(budget_us, 1, 50000);
	note("read");
	if (test.plan.read_slices > 0) {
		test.plan.read_slices--;
		return 1;
	}
	if (test.plan.read_result < 0)
		return err_set(err, test.plan.read_result, "the kernel says nothing");
	return waits(be) ? -EAGAIN : 0;
}

static int fake_mark(struct backend *be, const struct model *model, const struct fe_key *keys,
		     size_t n)
{
	char word[64];

	assert_false(be->marked_all && !keys);
	if (!keys) {
		snprintf(word, sizeof(word), "mark-all-of-%zu", model_count(model));
		be->marked_all = true;
		note(word);
		return 0;
	}
	snprintf(word, sizeof(word), "mark-%zu", n);
	note(word);
	for (size_t i = 0; i < n; i++)
		be->keys[be->n_keys++] = keys[i];
	return 0;
}

static void report_all(struct backend *be, enum outcome outcome)
{
	for (size_t i = 0; i < be->n_keys; i++)
		be->env->report(be->env->ctx, &be->keys[i], outcome,
				outcome == R_DONE ? NULL : "not now");
}

static int fake_step(struct backend *be, const struct model *model, uint64_t budget_us)
{
	(void)model;
	assert_in_range(budget_us, 1, 50000);
	note("step");
	if (test.plan.term_in_step) {
		test.plan.term_in_step = false;
		kill(getpid(), SIGTERM);
		return 0;
	}
	if (waits(be))
		return -EAGAIN;
	if (test.plan.failing_steps > 0) {
		test.plan.failing_steps--;
		report_all(be, R_RETRY);
		be->retry_ms = be->env->now_ms(be->env->ctx) + 20;
		return 0;
	}
	be->retry_ms = UINT64_MAX;
	report_all(be, R_DONE);
	return 0;
}

static uint64_t fake_tick(struct backend *be, const struct model *model, uint64_t now_ms)
{
	(void)model, (void)now_ms;
	return be->retry_ms;
}

static size_t fake_fds(struct backend *be, int *ret_fds, size_t max)
{
	(void)be, (void)ret_fds, (void)max;
	return 0;
}

static int fake_print_actual(struct backend *be, FILE *out)
{
	(void)be, (void)out;
	note("print-actual");
	return 0;
}

static int fake_print_plan(struct backend *be, const struct model *model, FILE *out)
{
	(void)be, (void)model, (void)out;
	note("print-plan");
	return 0;
}

static int fake_cleanup(struct backend *be, struct err *err)
{
	note("cleanup");
	if (waits(be))
		return -EAGAIN;
	return test.plan.cleanup_result < 0
		       ? err_set(err, test.plan.cleanup_result, "cannot be removed")
		       : 0;
}

static void fake_print_counters(struct backend *be, FILE *out)
{
	(void)be, (void)out;
}

#define FAKE(mode)                                                                        \
	{                                                                                 \
		.name = mode, .open = fake_open, .close = fake_close, .read = fake_read,  \
		.mark = fake_mark, .step = fake_step, .tick = fake_tick, .fds = fake_fds, \
		.print_actual = fake_print_actual, .print_plan = fake_print_plan,         \
		.cleanup = fake_cleanup, .print_counters = fake_print_counters,           \
	}
const struct backend_ops ipvs_backend_ops = FAKE("ipvs");
const struct backend_ops iptables_backend_ops = FAKE("iptables");

/* Runs the daemon on a folder with this manifest; the exit code. The calls are in test.text. */
static int run(struct plan_of_test plan, const char *manifest, const char *flags)
{
	char dir[] = "/tmp/vipd-sync-XXXXXX", path[64], line[256], *place = NULL;
	char *argv[16] = {(char[]){"vipd"}};
	struct options options;
	struct sync *sync;
	struct err err;
	uv_loop_t loop;
	int argc = 1, code;
	FILE *file;

	assert_non_null(mkdtemp(dir));
	snprintf(path, sizeof(path), "%s/a.yaml", dir);
	file = fopen(path, "w");
	fputs(manifest, file);
	fclose(file);
	snprintf(line, sizeof(line), "--manifests=%s --state-dir=%s %s", dir, dir, flags);
	for (char *word = strtok_r(line, " ", &place); word; word = strtok_r(NULL, " ", &place))
		argv[argc++] = word;
	assert_int_equal(options_parse(argc, argv, &options, &err), 0);
	free(test.text);
	test.plan = plan;
	test.text = NULL;
	*test.last = '\0';
	test.len = 0;
	test.log = open_memstream(&test.text, &test.len);
	test.loop = &loop;
	uv_loop_init(&loop);
	assert_int_equal(sync_open(&loop, &options, &sync, &err), 0);
	code = sync_run(sync);
	sync_close(sync);
	assert_int_equal(uv_loop_close(&loop), 0);
	fclose(test.log);
	snprintf(line, sizeof(line), "rm -r %s", dir);
	assert_int_equal(system(line), 0);
	return code;
}

static void assert_calls(const char *expected)
{
	assert_string_equal(test.text, expected);
}

/* The kernel is read, the whole source computed and marked, and only then what is not wanted. */
static void order_of_a_pass(void **state)
{
	(void)state;
	assert_int_equal(run((struct plan_of_test){.read_slices = 3}, GOOD, "--once"), 0);
	assert_calls("open read mark-1 mark-all-of-1 step close");
	assert_int_equal(run((struct plan_of_test){0}, GOOD, "--once --proxy-mode=iptables"), 0);
	assert_calls("open read mark-1 mark-all-of-1 step close");
}

static void a_backend_that_waits(void **state)
{
	(void)state;
	assert_int_equal(run((struct plan_of_test){.waits = 3}, GOOD, "--once"), 0);
	assert_calls("open read mark-1 mark-all-of-1 step close");
}

static void an_empty_folder_is_known(void **state)
{
	(void)state;
	assert_int_equal(run((struct plan_of_test){0}, "", "--once"), 0);
	assert_calls("open read mark-all-of-0 step close");
}

/* Unknown is not empty: without the kernel nothing is marked, and nothing is done. */
static void a_kernel_that_cannot_be_read(void **state)
{
	(void)state;
	assert_int_equal(run((struct plan_of_test){.read_result = -EIO}, GOOD, "--once"), 1);
	assert_calls("open read close");
	assert_int_equal(run((struct plan_of_test){.read_result = -EIO}, GOOD, "--dry-run"), 1);
	assert_calls("open-read-only read close");
}

static void exit_codes_of_one_pass(void **state)
{
	(void)state;
	assert_int_equal(run((struct plan_of_test){.failing_steps = 3}, GOOD, "--once"), 0);
	assert_int_equal(run((struct plan_of_test){.failing_steps = 10000}, GOOD, "--once"), 3);
	assert_int_equal(run((struct plan_of_test){0}, GOOD SAME_ADDRESS, "--once"), 3);
	assert_int_equal(run((struct plan_of_test){0}, GOOD BROKEN, "--once"), 3);
	assert_calls("open read mark-all-of-0 step close");
}

static void printers_write_nothing(void **state)
{
	(void)state;
	assert_int_equal(run((struct plan_of_test){0}, GOOD, "--print=plan"), 0);
	assert_calls("open-read-only read mark-1 mark-all-of-1 print-plan close");
	assert_int_equal(run((struct plan_of_test){0}, GOOD SAME_ADDRESS, "--dry-run"), 3);
	assert_int_equal(run((struct plan_of_test){0}, GOOD, "--print=actual"), 0);
	assert_calls("open-read-only read print-actual close");
}

static void cleaning_up(void **state)
{
	(void)state;
	assert_int_equal(run((struct plan_of_test){0}, GOOD, "--cleanup"), 0);
	assert_calls("open cleanup close");
	assert_int_equal(run((struct plan_of_test){.waits = 2}, GOOD, "--cleanup"), 0);
	assert_calls("open cleanup close");
	assert_int_equal(run((struct plan_of_test){.cleanup_result = -EPERM}, GOOD, "--cleanup"),
			 1);
}

/* It ends, and the kernel's state stays. */
static void a_signal(void **state)
{
	(void)state;
	assert_int_equal(run((struct plan_of_test){.term_in_step = true}, GOOD, ""), 0);
	assert_calls("open read mark-1 mark-all-of-1 step close");
}

static int teardown(void **state)
{
	(void)state;
	free(test.text);
	test.text = NULL;
	return 0;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(order_of_a_pass),
		cmocka_unit_test(a_backend_that_waits),
		cmocka_unit_test(an_empty_folder_is_known),
		cmocka_unit_test(a_kernel_that_cannot_be_read),
		cmocka_unit_test(exit_codes_of_one_pass),
		cmocka_unit_test(printers_write_nothing),
		cmocka_unit_test(cleaning_up),
		cmocka_unit_test_teardown(a_signal, teardown),
	};

	log_set_level(LOG_ERROR);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
