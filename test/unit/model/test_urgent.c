/* SPDX-License-Identifier: Apache-2.0 */
/* Which Services are computed first: those that all others wait for, and whoever has one of their
 * addresses; none is ever left out. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <cmocka.h>

#include "make.h"
#include "model/urgent.h"
#include "util.h"

static struct cache *cache;
static char **keys;
static size_t n_keys;

static int setup(void **state)
{
	(void)state;
	cache = cache_new();
	return cache ? 0 : -1;
}

static int teardown(void **state)
{
	(void)state;
	cache_free(cache);
	free(keys);
	keys = NULL;
	return 0;
}

static void put(const char *text)
{
	assert_int_equal(cache_put(cache, make_object(text)), 0);
}

static size_t sort_urgent(void)
{
	ssize_t n = cache_take_dirty(cache, &keys);

	assert_true(n >= 0);
	n_keys = (size_t)n;
	return urgent_first(cache, keys, n_keys);
}

static bool has_key(const char *key, size_t from, size_t to)
{
	for (size_t i = from; i < to; i++)
		if (strcmp(keys[i], key) == 0)
			return true;
	return false;
}

static void the_api_server_and_dns_come_first(void **state)
{
	size_t n;

	(void)state;
	put("service a/first vip=10.96.0.5 port=80/TCP");
	put("service default/kubernetes vip=10.96.0.1 port=443/TCP");
	put("service default/other vip=10.96.0.6 port=443/TCP");
	put("service kube-system/dns vip=10.96.0.10 port=53/UDP");
	put("service kube-system/metrics vip=10.96.0.11 port=443/TCP");
	n = sort_urgent();
	assert_int_equal(n, 2);
	assert_true(has_key("default/kubernetes", 0, n) && has_key("kube-system/dns", 0, n));
	assert_int_equal(n_keys, 5);
	assert_true(has_key("a/first", n, 5) && has_key("default/other", n, 5));
	assert_true(has_key("kube-system/metrics", n, 5));
}

/* Whose the address is can be told only with all its claims. */
static void who_shares_their_address_comes_too(void **state)
{
	size_t n;

	(void)state;
	put("service a/older created=1 vip=10.96.0.1 port=443/TCP");
	put("service b/b vip=10.96.0.2 port=443/TCP");
	put("service default/kubernetes created=2 vip=10.96.0.1 port=443/TCP");
	n = sort_urgent();
	assert_int_equal(n, 2);
	assert_true(has_key("a/older", 0, n) && has_key("default/kubernetes", 0, n));
	assert_true(has_key("b/b", n, 3));
}

static void without_any_there_is_nothing_first(void **state)
{
	(void)state;
	put("service a/a vip=10.96.0.5 port=53/UDP");
	put("slice kube-system/s of=dns port=53/UDP ep=10.1.0.1");
	assert_int_equal(sort_urgent(), 0);
	assert_int_equal(n_keys, 2);
}

/* More than the bound: then nobody jumps the queue, and all are still there. */
static void too_many_are_not_urgent(void **state)
{
	char text[160];

	(void)state;
	put("service default/kubernetes vip=10.96.0.1 port=443/TCP");
	for (int i = 0; i < URGENT_SERVICES_MAX; i++) {
		snprintf(text, sizeof(text), "service a/s%d vip=10.96.0.1 port=%d/TCP", i, i + 1);
		put(text);
	}
	assert_int_equal(sort_urgent(), 0);
	assert_int_equal(n_keys, URGENT_SERVICES_MAX + 1);
	assert_true(has_key("default/kubernetes", 0, n_keys));
	for (int i = 0; i < URGENT_SERVICES_MAX; i++) {
		snprintf(text, sizeof(text), "a/s%d", i);
		assert_true(has_key(text, 0, n_keys));
	}
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(the_api_server_and_dns_come_first),
		TEST(who_shares_their_address_comes_too),
		TEST(without_any_there_is_nothing_first),
		TEST(too_many_are_not_urgent),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
