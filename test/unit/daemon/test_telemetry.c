/* SPDX-License-Identifier: Apache-2.0 */
/* The printers of metrics, health and status, given numbers and times. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <cmocka.h>

#include "daemon/metrics.h"
#include "daemon/telemetry.h"

#define START_US 1700000000000000ULL /* 2023-11-14T22:13:20Z */

/* What a printer printed; the caller frees. */
struct page {
	char *text;
	size_t len;
	FILE *out;
};

static FILE *begin(struct page *page)
{
	free(page->text);
	page->text = NULL;
	page->out = open_memstream(&page->text, &page->len);
	assert_non_null(page->out);
	return page->out;
}

static const char *end(struct page *page)
{
	fclose(page->out);
	return page->text;
}

static void histograms(void **state)
{
	struct histogram h;
	struct page page = {0};

	(void)state;
	histogram_set_exponential(&h, 0.001, 2, 3);
	histogram_observe(&h, 0.001); /* a bound is within its bucket */
	histogram_observe(&h, 0.0011);
	histogram_observe(&h, 7);
	metric_head(begin(&page), "x_seconds", "histogram", "What.");
	metric_histogram(page.out, "x_seconds", "a=\"b\"", &h);
	assert_string_equal(end(&page), "# HELP x_seconds What.\n"
					"# TYPE x_seconds histogram\n"
					"x_seconds_bucket{a=\"b\",le=\"0.001\"} 1\n"
					"x_seconds_bucket{a=\"b\",le=\"0.002\"} 2\n"
					"x_seconds_bucket{a=\"b\",le=\"0.004\"} 2\n"
					"x_seconds_bucket{a=\"b\",le=\"+Inf\"} 3\n"
					"x_seconds_sum{a=\"b\"} 7.0021\n"
					"x_seconds_count{a=\"b\"} 3\n");
	histogram_set_exponential(&h, 0.25, 2, 2);
	histogram_add_linear(&h, 1, 1, 2);
	metric_histogram(begin(&page), "y", "", &h);
	assert_string_equal(end(&page), "y_bucket{le=\"0.25\"} 0\ny_bucket{le=\"0.5\"} 0\n"
					"y_bucket{le=\"1\"} 0\ny_bucket{le=\"2\"} 0\n"
					"y_bucket{le=\"+Inf\"} 0\ny_sum 0\ny_count 0\n");
	free(page.text);
}

static void numbers_and_labels(void **state)
{
	char text[64];
	struct page page = {0};

	(void)state;
	metric_value(begin(&page), "a", "", 1700000000.123456);
	metric_value(page.out, "a", "", 0.1);
	metric_count(page.out, "a", "b=\"c\"", UINT64_MAX);
	assert_string_equal(end(&page),
			    "a 1700000000.123456\na 0.1\na{b=\"c\"} 18446744073709551615\n");
	assert_string_equal(metric_escape("a\"b\\c\nd", text, sizeof(text)), "a\\\"b\\\\c\\nd");
	assert_string_equal(metric_escape("abcdefgh", text, 6), "abc");
	free(page.text);
}

static void json_words(void **state)
{
	struct page page = {0};

	(void)state;
	json_text(begin(&page), "a\"\\\n\x01\x7f");
	json_text(page.out, "\xc3\xa4\xe2\x82\xac\xf0\x9f\x98\x80");
	json_text(page.out, "\xff\xc3(\xc0\x80\xed\xa0\x80\xf4\x90\x80\x80");
	assert_string_equal(end(&page), "\"a\\\"\\\\\\u000a\\u0001\\u007f\""
					"\"\xc3\xa4\xe2\x82\xac\xf0\x9f\x98\x80\""
					"\"\\ufffd\\ufffd(\\ufffd\\ufffd\\ufffd\\ufffd\\ufffd"
					"\\ufffd\\ufffd\\ufffd\\ufffd\"");
	json_time(begin(&page), START_US);
	json_time(page.out, START_US + 120000);
	json_time(page.out, START_US + 1);
	json_time(page.out, 0);
	assert_string_equal(end(&page), "\"2023-11-14T22:13:20Z\"\"2023-11-14T22:13:20.12Z\""
					"\"2023-11-14T22:13:20.000001Z\"\"0001-01-01T00:00:00Z\"");
	free(page.text);
}

/* ---- a daemon's parts, without the daemon ---- */

static void print_fake_counters(struct backend *be, FILE *out)
{
	(void)be;
	fputs("operations 7\nunheard_of 3\nfailed_ENOENT 2\nfailed_EPERM 1\nkernel_us 1500000\n",
	      out);
}

const struct backend_ops ipvs_backend_ops = {.name = "ipvs", .print_counters = print_fake_counters};
const struct backend_ops iptables_backend_ops = {.name = "iptables",
						 .print_counters = print_fake_counters};

struct fixture {
	struct options options;
	struct turns turns;
	struct telemetry_parts parts;
	struct telemetry *t;
	struct telemetry_times now;
	struct page page;
};

static void ignore_problem(void *ctx, const char *key, const char *text)
{
	(void)ctx, (void)key, (void)text;
}

static void ignore_wait(void *ctx, const char *owner, const struct fe_key *key, const char *winner)
{
	(void)ctx, (void)owner, (void)key, (void)winner;
}

static int setup(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));

	assert_non_null(f);
	f->now = (struct telemetry_times){5000000, START_US};
	f->options.manifests = "/etc/\"m\"";
	f->options.release = "1.2.3";
	snprintf(f->options.node_name, sizeof(f->options.node_name), "node-a");
	f->turns = (struct turns){.busy_us = 2000000, .longest_us = 3000};
	f->parts = (struct telemetry_parts){.options = &f->options,
					    .cache = cache_new(),
					    .model = model_new(),
					    .claims = claims_new(ignore_wait, NULL),
					    .status = status_new(),
					    .health = health_new(ignore_problem, NULL),
					    .ops = &ipvs_backend_ops,
					    .be = (struct backend *)f,
					    .cpu_turns = &f->turns,
					    .wall_turns = &f->turns};
	f->t = telemetry_new(f->now);
	telemetry_set_parts(f->t, &f->parts);
	*state = f;
	return 0;
}

static int teardown(void **state)
{
	struct fixture *f = *state;

	telemetry_free(f->t);
	cache_free((struct cache *)f->parts.cache);
	model_free((struct model *)f->parts.model);
	claims_free((struct claims *)f->parts.claims);
	status_free(f->parts.status);
	health_free((struct health *)f->parts.health);
	free(f->page.text);
	free(f);
	return 0;
}

static void pass_time(struct fixture *f, uint64_t us)
{
	f->now.mono_us += us;
	f->now.unix_us += us;
}

static void assert_health(struct fixture *f, bool live, bool good, const char *begins)
{
	assert_int_equal(telemetry_health(f->t, f->now, live, begin(&f->page)), good);
	end(&f->page);
	if (strncmp(f->page.text, begins, strlen(begins)) != 0)
		fail_msg("%s\nis not\n%s...", f->page.text, begins);
}

static void health(void **state)
{
	struct fixture *f = *state;
	union object *node = calloc(1, sizeof(*node));

	assert_health(f, false, true,
		      "{\"lastUpdated\":\"2023-11-14T22:13:20Z\",\"currentTime\":"
		      "\"2023-11-14T22:13:20Z\",\"nodeEligible\":true,\"healthy\":true}");
	telemetry_queued(f->t, f->now, true);
	health_work_begins((struct health *)f->parts.health, f->now.mono_us / 1000);
	pass_time(f, 1000000);
	telemetry_settled(f->t, f->now);
	health_work_done((struct health *)f->parts.health);
	pass_time(f, 500000);
	assert_health(f, true, true,
		      "{\"lastUpdated\":\"2023-11-14T22:13:21.5Z\",\"currentTime\":"
		      "\"2023-11-14T22:13:21.5Z\",\"healthy\":true,\"status\":{\"IPv4\":"
		      "{\"lastUpdated\":\"2023-11-14T22:13:21Z\",\"healthy\":true}");
	/* stuck: when it was done last is told */
	health_work_begins((struct health *)f->parts.health, f->now.mono_us / 1000);
	pass_time(f, (uint64_t)HEALTH_PATIENCE_MS * 1000);
	assert_health(f, true, false,
		      "{\"lastUpdated\":\"2023-11-14T22:13:21Z\",\"currentTime\":"
		      "\"2023-11-14T22:14:21.5Z\",\"healthy\":false,\"status\":{\"IPv4\":"
		      "{\"lastUpdated\":\"2023-11-14T22:13:21Z\",\"healthy\":false}");
	health_work_done((struct health *)f->parts.health);
	/* leaving: alive, but no place for new connections */
	node->meta.kind = OBJ_NODE;
	node->meta.ns = strdup("");
	node->meta.name = strdup("node-a");
	node->node.leaving = true;
	assert_int_equal(cache_put((struct cache *)f->parts.cache, node), 0);
	assert_health(f, true, true, "{\"lastUpdated\":\"2023-11-14T22:14:21.5Z\"");
	assert_health(f, false, false,
		      "{\"lastUpdated\":\"2023-11-14T22:13:21Z\",\"currentTime\":"
		      "\"2023-11-14T22:14:21.5Z\",\"nodeEligible\":false,\"healthy\":true,");
	telemetry_metrics(f->t, begin(&f->page));
	end(&f->page);
	assert_non_null(strstr(f->page.text, "\nkubeproxy_proxy_healthz_total{code=\"200\"} 1\n"
					     "kubeproxy_proxy_healthz_total{code=\"503\"} 1\n"));
	assert_non_null(strstr(f->page.text, "\nkubeproxy_proxy_livez_total{code=\"200\"} 2\n"
					     "kubeproxy_proxy_livez_total{code=\"503\"} 1\n"));
}

static void assert_metric(struct fixture *f, const char *line)
{
	char text[256];

	telemetry_metrics(f->t, begin(&f->page));
	end(&f->page);
	snprintf(text, sizeof(text), "\n%s\n", line);
	if (!strstr(f->page.text, text))
		fail_msg("no line \"%s\" in\n%s", line, f->page.text);
}

#define V4 "{ip_family=\"IPv4\"} "

static void measured(void **state)
{
	struct fixture *f = *state;
	struct svc_want want = {.no_local_inside = {1, 0}, .no_local_outside = {2, 1}};

	telemetry_queued(f->t, f->now, true);
	telemetry_trigger(f->t, (int64_t)(START_US / 1000));      /* from before we were */
	telemetry_trigger(f->t, (int64_t)(START_US / 1000) + 50); /* 200 ms before the end */
	pass_time(f, 100000);
	telemetry_queued(f->t, f->now, true); /* the same pass */
	pass_time(f, 150000);
	telemetry_settled(f->t, f->now);
	pass_time(f, 1000000);
	telemetry_settled(f->t, f->now); /* there was no change: no pass */
	assert_metric(f, "kubeproxy_sync_proxy_rules_duration_seconds_sum" V4 "0.25");
	assert_metric(f, "kubeproxy_sync_proxy_rules_duration_seconds_count" V4 "1");
	assert_metric(f,
		      "kubeproxy_sync_proxy_rules_last_queued_timestamp_seconds" V4 "1700000000.1");
	assert_metric(f, "kubeproxy_sync_proxy_rules_last_timestamp_seconds" V4 "1700000001.25");
	assert_metric(f, "kubeproxy_network_programming_duration_seconds_sum" V4 "0.2");
	assert_metric(f, "kubeproxy_network_programming_duration_seconds_count" V4 "1");
	telemetry_want(f->t, "ns/a", &want);
	telemetry_want(f->t, "ns/a", &want);
	telemetry_want(f->t, "ns/b", &want);
	assert_metric(f, "kubeproxy_sync_proxy_rules_no_local_endpoints_total{traffic_policy="
			 "\"external\",ip_family=\"IPv4\"} 4");
	telemetry_want(f->t, "ns/a", &(struct svc_want){0});
	assert_metric(f, "kubeproxy_sync_proxy_rules_no_local_endpoints_total{traffic_policy="
			 "\"internal\",ip_family=\"IPv4\"} 1");
	assert_metric(f, "vipd_kernel_operations_total 7");
	assert_metric(f, "vipd_kernel_seconds_total 1.5");
	assert_metric(f, "vipd_kernel_errors_total{kind=\"ENOENT\"} 2");
	assert_metric(f, "vipd_kernel_errors_total{kind=\"EPERM\"} 1");
	assert_metric(f, "vipd_loop_longest_turn_seconds 0.003");
	assert_metric(f, "vipd_build_info{version=\"1.2.3\",mode=\"ipvs\"} 1");
	assert_null(strstr(f->page.text, "unheard_of"));
}

static void too_many_triggers(void **state)
{
	struct fixture *f = *state;

	for (int i = 0; i < 1500; i++)
		telemetry_trigger(f->t, (int64_t)(START_US / 1000) + 1);
	telemetry_queued(f->t, f->now, true);
	telemetry_settled(f->t, f->now);
	assert_metric(f, "vipd_triggers_left_out_total 476");
	assert_metric(f, "kubeproxy_network_programming_duration_seconds_count" V4 "1024");
}

static void assert_status(struct fixture *f, const char *part)
{
	telemetry_status(f->t, f->now, begin(&f->page));
	end(&f->page);
	if (!strstr(f->page.text, part))
		fail_msg("no %s in\n%s", part, f->page.text);
}

static void status(void **state)
{
	struct fixture *f = *state;
	char subject[32];

	assert_status(f, "\"source\":\"/etc/\\\"m\\\"\",");
	assert_status(f, "\"lastUpdated\":null,\"state\":\"reading\",\"complete\":false,");
	telemetry_queued(f->t, f->now, true);
	assert_status(f, "\"state\":\"working\",\"complete\":false,");
	telemetry_settled(f->t, f->now);
	assert_status(f, "\"state\":\"complete\",\"complete\":true,");
	assert_status(f, "\"problems\":[],\"problemsLeftOut\":0}");
	status_set(f->parts.status, "kernel", "10.0.0.1:80/TCP ns/a", "no \"room\"");
	assert_status(f, "\"state\":\"incomplete\",\"complete\":false,");
	assert_status(f, "\"failed\":1},\"problems\":[{\"kind\":\"kernel\",\"subject\":"
			 "\"10.0.0.1:80/TCP ns/a\",\"reason\":\"no \\\"room\\\"\"}]");
	assert_metric(f, "vipd_not_in_order{kind=\"kernel\"} 1");
	assert_metric(f, "vipd_not_in_order_info{kind=\"kernel\",subject=\"10.0.0.1:80/TCP ns/a\","
			 "reason=\"no \\\"room\\\"\"} 1");
	for (int i = 0; i < 250; i++) {
		snprintf(subject, sizeof(subject), "ns/%03d", i);
		status_set(f->parts.status, "claim", subject, "waits");
	}
	assert_status(f, "\"problems\":[{\"kind\":\"claim\",\"subject\":\"ns/000\"");
	assert_status(f, "\"subject\":\"ns/199\",\"reason\":\"waits\"}],\"problemsLeftOut\":51}");
}

static void put_frontend(struct fixture *f, unsigned number, const char *owner, bool inner)
{
	const uint8_t bytes[4] = {10, 96, (uint8_t)(number >> 8), (uint8_t)number};
	struct ip_addr vip = addr_make(AF_INET, bytes),
		       pod = addr_make(AF_INET, (uint8_t[]){1, 2, 3, 4});
	struct fe_key key = fe_key_make(&vip, 80, IPPROTO_TCP);
	struct endpoint ep[2] = {{.addr = pod, .port = 1, .weight = 1}, {.addr = pod, .port = 2}};
	struct pool *pool = pool_new(ep, 2);
	struct frontend *fe = frontend_new(&key, owner, pool);

	pool_unref(pool);
	fe->inner = inner;
	assert_int_equal(model_put((struct model *)f->parts.model, fe), 1);
}

static void assert_services(struct fixture *f, const char *search, const char *part)
{
	telemetry_services(f->t, search, begin(&f->page));
	end(&f->page);
	if (!strstr(f->page.text, part))
		fail_msg("no %s in\n%s", part, f->page.text);
}

/* The first 200 in order, whatever the order in which they are kept. */
static void services(void **state)
{
	struct fixture *f = *state;
	char owner[32];
	size_t n = 0;

	assert_services(f, "", "{\"frontends\":[],\"matched\":0}\n");
	for (unsigned i = 0; i < 500; i++) {
		snprintf(owner, sizeof(owner), "ns/web-%03u:http", (i * 7) % 500);
		put_frontend(f, i, owner, false);
	}
	put_frontend(f, 600, "ns/web-000:inner", true);
	assert_services(f, "WEB-123:",
			"{\"frontends\":[{\"service\":\"ns/web-123:http\",\"address\":"
			"\"10.96.0.89:80/TCP\",\"verdict\":\"forwarded\",\"endpoints\":2,"
			"\"usable\":1}],\"matched\":1}\n");
	assert_services(f, "10.96.0.9:", "\"service\":\"ns/web-063:http\"");
	assert_services(f, "%s\"<", "\"matched\":0}");
	assert_services(f, "", "{\"frontends\":[{\"service\":\"ns/web-000:http\"");
	assert_services(f, "", "\"matched\":500}");
	for (const char *at = f->page.text; (at = strstr(at, "\"service\":\"")); at++) {
		snprintf(owner, sizeof(owner), "\"service\":\"ns/web-%03zu:", n++);
		assert_memory_equal(at, owner, strlen(owner));
	}
	assert_int_equal(n, 200);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(histograms),
		cmocka_unit_test(numbers_and_labels),
		cmocka_unit_test(json_words),
		cmocka_unit_test_setup_teardown(health, setup, teardown),
		cmocka_unit_test_setup_teardown(measured, setup, teardown),
		cmocka_unit_test_setup_teardown(too_many_triggers, setup, teardown),
		cmocka_unit_test_setup_teardown(status, setup, teardown),
		cmocka_unit_test_setup_teardown(services, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
