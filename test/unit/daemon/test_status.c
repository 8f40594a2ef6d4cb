/* SPDX-License-Identifier: Apache-2.0 */
/* What is not in order: entries come and go by what was reported, each change is logged once. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>
#include <cmocka.h>

#include "daemon/status.h"
#include "log.h"

/* The standard error of a test, kept in a file. */
struct captured {
	struct status *status;
	FILE *file;
	int stderr_fd;
};

static int setup(void **state)
{
	struct captured *c = calloc(1, sizeof(*c));

	c->status = status_new();
	c->file = tmpfile();
	c->stderr_fd = dup(STDERR_FILENO);
	assert_true(c->status && c->file && dup2(fileno(c->file), STDERR_FILENO) >= 0);
	*state = c;
	return 0;
}

static int teardown(void **state)
{
	struct captured *c = *state;

	dup2(c->stderr_fd, STDERR_FILENO);
	close(c->stderr_fd);
	fclose(c->file);
	status_free(c->status);
	free(c);
	return 0;
}

/* What was logged since it was asked last, without times. */
static void assert_logged(struct captured *c, const char *expected)
{
	char line[1024], text[4096] = "";

	rewind(c->file);
	while (fgets(line, sizeof(line), c->file))
		strncat(text, strstr(line, "level="), sizeof(text) - strlen(text) - 1);
	assert_int_equal(ftruncate(fileno(c->file), 0), 0);
	rewind(c->file);
	assert_string_equal(text, expected);
}

static void assert_printed(struct captured *c, const char *expected)
{
	char *text = NULL;
	size_t len = 0;
	FILE *out = open_memstream(&text, &len);

	status_print(c->status, out);
	fclose(out);
	assert_string_equal(text, expected);
	free(text);
}

static void each_change_is_logged_once(void **state)
{
	struct captured *c = *state;

	for (int i = 0; i < 3; i++)
		status_set(c->status, "kernel", "10.96.0.1:80/TCP", "no such \"scheduler\"");
	assert_logged(c, "level=warn msg=\"not in order\" kernel=\"10.96.0.1:80/TCP\" reason=\"no "
			 "such \\\"scheduler\\\"\"\n");
	status_set(c->status, "kernel", "10.96.0.1:80/TCP", "another reason");
	assert_logged(c, "level=warn msg=\"not in order\" kernel=\"10.96.0.1:80/TCP\" "
			 "reason=\"another reason\"\n");
	for (int i = 0; i < 3; i++)
		status_set(c->status, "kernel", "10.96.0.1:80/TCP", NULL);
	assert_logged(c, "level=info msg=\"in order again\" kernel=\"10.96.0.1:80/TCP\"\n");
	assert_int_equal(status_count(c->status), 0);
	assert_printed(c, "");
}

/* One subject may have an entry of each kind; one that begins like another is another. */
static void kinds_are_apart(void **state)
{
	struct captured *c = *state;

	status_set(c->status, "source", "web", "broken");
	status_set(c->status, "kernel", "web", "refused");
	status_set(c->status, "kernel", "api", "retried");
	status_set(c->status, "kern", "web", "else");
	assert_int_equal(status_count(c->status), 4);
	assert_int_equal(status_count_kind(c->status, "kernel"), 2);
	assert_int_equal(status_count_kind(c->status, "kern"), 1);
	assert_int_equal(status_count_kind(c->status, "claim"), 0);
	assert_printed(c, "kern web: else\nkernel api: retried\nkernel web: refused\n"
			  "source web: broken\n");
	status_set(c->status, "source", "web", NULL);
	assert_printed(c, "kern web: else\nkernel api: retried\nkernel web: refused\n");
	status_set(c->status, "source", "nothing", NULL);
	assert_int_equal(status_count(c->status), 3);
}

static void outcomes_have_names(void **state)
{
	(void)state;
	assert_string_equal(outcome_name(R_DONE), "done");
	assert_string_equal(outcome_name(R_RETRY), "retried");
	assert_string_equal(outcome_name(R_DRIFT), "drifted");
	assert_string_equal(outcome_name(R_REFUSED), "refused");
	assert_string_equal(outcome_name(R_UNKNOWN), "unknown");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(each_change_is_logged_once, setup, teardown),
		cmocka_unit_test_setup_teardown(kinds_are_apart, setup, teardown),
		cmocka_unit_test(outcomes_have_names),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
