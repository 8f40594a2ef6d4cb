/* SPDX-License-Identifier: Apache-2.0 */
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <cmocka.h>

#include "names.h"

static void test_equal_texts_are_kept_once(void **state)
{
	char text[] = "node-7";
	const char *a = name_ref(text), *b = name_ref("node-7"), *other = name_ref("node-77");

	(void)state;
	text[0] = 'x'; /* a copy is kept */
	assert_string_equal(a, "node-7");
	assert_ptr_equal(a, b);
	assert_string_equal(other, "node-77");
	name_unref(a);
	assert_string_equal(b, "node-7"); /* until the last one goes: ASan sees to it */
	name_unref(b);
	name_unref(other);
	name_unref(NULL);
}

static void *take_and_give(void *arg)
{
	(void)arg;
	for (int i = 0; i < 20000; i++) {
		char text[16];
		const char *name;

		snprintf(text, sizeof(text), "n%d", i % 7);
		name = name_ref(text);
		assert_string_equal(name, text);
		name_unref(name);
	}
	return NULL;
}

static void test_two_threads(void **state)
{
	pthread_t other;

	(void)state;
	assert_int_equal(pthread_create(&other, NULL, take_and_give, NULL), 0);
	take_and_give(NULL);
	pthread_join(other, NULL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_equal_texts_are_kept_once),
		cmocka_unit_test(test_two_threads),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
