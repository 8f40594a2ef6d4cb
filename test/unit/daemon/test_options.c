/* SPDX-License-Identifier: Apache-2.0 */
/* The command line: what each flag sets, and an error that names the flag and the remedy. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <cmocka.h>

#include "daemon/config.h"
#include "daemon/options.h"

#define ARGS_MAX 16

/* Words with blanks between; they live as long as `line`. */
static int parse(char *line, struct options *ret_options, struct err *ret_err)
{
	char *argv[ARGS_MAX + 2] = {(char[]){"vipd"}}, *place = NULL;
	int argc = 1;

	*ret_err = (struct err){0};
	for (char *word = strtok_r(line, " ", &place); word && argc <= ARGS_MAX;
	     word = strtok_r(NULL, " ", &place))
		argv[argc++] = word;
	return options_parse(argc, argv, ret_options, ret_err);
}

static void assert_error(const char *args, const char *expected)
{
	char line[256];
	struct options options;
	struct err err;

	snprintf(line, sizeof(line), "%s", args);
	assert_int_equal(parse(line, &options, &err), -EINVAL);
	assert_int_equal(err.code, -EINVAL);
	assert_string_equal(err.text, expected);
}

static struct options parsed(char *line)
{
	struct options options;
	struct err err;

	if (parse(line, &options, &err) != 0)
		fail_msg("%s", err.text);
	return options;
}

static void defaults(void **state)
{
	char line[] = "--manifests=dir";
	struct options options = parsed(line);

	(void)state;
	assert_string_equal(options.manifests, "dir");
	assert_string_equal(options.proxy_mode, "ipvs");
	assert_string_equal(options.scheduler, "rr");
	assert_string_equal(options.state_dir, "/var/lib/vipd");
	assert_string_equal(options.run_dir, "/run/vipd");
	assert_int_equal(options.drain_ms, 300000);
	assert_int_equal(options.audit_ms, 30000);
	assert_int_equal(options.n_cluster_nets, 0);
	assert_int_equal(options.service_ranges[0].addr.family, 0);
	assert_int_equal(options.print, PRINT_NONE);
	assert_int_equal(options.verbosity, 0);
	assert_false(options.once || options.cleanup || options.help || options.version);
	assert_true(*options.node_name);
}

static void every_flag(void **state)
{
	char line[] =
		"--manifests dir --proxy-mode=iptables --ipvs-scheduler wlc "
		"--cluster-cidr=10.244.0.0/16,fd00:244::/48 --hostname-override=Node-A "
		"--service-cluster-ip-range=fd00:96::/112,10.96.0.0/16 --drain-timeout=1m30.5s "
		"--audit-period 50ms --state-dir=s --run-dir=r --once -v 2";
	struct options options = parsed(line);
	char text[PREFIX_TEXT_MAX];

	(void)state;
	assert_string_equal(options.proxy_mode, "iptables");
	assert_string_equal(options.scheduler, "wlc");
	assert_int_equal(options.n_cluster_nets, 2);
	assert_string_equal(prefix_format(&options.cluster_nets[1], text), "fd00:244::/48");
	assert_string_equal(prefix_format(&options.service_ranges[0], text), "fd00:96::/112");
	assert_string_equal(prefix_format(&options.service_ranges[1], text), "10.96.0.0/16");
	assert_string_equal(options.node_name, "node-a");
	assert_int_equal(options.drain_ms, 90500);
	assert_int_equal(options.audit_ms, 50);
	assert_string_equal(options.state_dir, "s");
	assert_string_equal(options.run_dir, "r");
	assert_true(options.once);
	assert_int_equal(options.verbosity, 2);
}

static void ways_to_say_it(void **state)
{
	static const struct {
		const char *args;
		enum print_stage print;
		bool once;
		int verbosity;
	} cases[] = {
		{"--manifests=d --print=objects", PRINT_OBJECTS, false, 0},
		{"--manifests=d --print=model --once=true", PRINT_MODEL, true, 0},
		{"--print=actual", PRINT_ACTUAL, false, 0}, /* needs no manifests */
		{"-manifests=d --dry-run -v=-1", PRINT_PLAN, false, -1},
		{"--manifests=d --dry-run --print=objects --v=10", PRINT_OBJECTS, false, 10},
		{"--manifests=d --once --once=false", PRINT_NONE, false, 0},
		{"--manifests=d --print=model --dry-run=false", PRINT_MODEL, false, 0},
		{"--manifests=d --dry-run --dry-run=false", PRINT_NONE, false, 0},
		{"--manifests=d --cleanup=false --once=false --once", PRINT_NONE, true, 0},
		{"--cleanup", PRINT_NONE, false, 0},
		{"--help --manifests=d", PRINT_NONE, false, 0},
		{"-h", PRINT_NONE, false, 0},
		{"--version", PRINT_NONE, false, 0},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct options options;
		struct err err;
		char line[128];

		snprintf(line, sizeof(line), "%s", cases[i].args);
		print_message("  %s\n", line);
		if (strncmp(line, "-manifests", 10) == 0) {
			assert_error(line, "unknown flag \"-manifests=d\"; see vipd --help");
			continue;
		}
		assert_int_equal(parse(line, &options, &err), 0);
		assert_int_equal(options.print, cases[i].print);
		assert_int_equal(options.once, cases[i].once);
		assert_int_equal(options.verbosity, cases[i].verbosity);
	}
}

static void durations(void **state)
{
	static const struct {
		const char *text;
		uint64_t ms;
	} cases[] = {{"0", 0},        {"300ms", 300},      {"1.5s", 1500}, {"2m30s", 150000},
		     {"1h", 3600000}, {"1h0m1s", 3601000}, {".5s", 500}};
	static const char *const wrong[] = {"5",   "",     "-1s",      "1d", "s",
					    "1s5", "1e3x", "9999999h", "1 s"};
	char line[128];

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		snprintf(line, sizeof(line), "--manifests=d --drain-timeout=%s", cases[i].text);
		assert_int_equal(parsed(line).drain_ms, cases[i].ms);
	}
	for (size_t i = 0; i < ARRAY_SIZE(wrong); i++) {
		char arg[64], *argv[] = {(char[]){"vipd"}, (char[]){"--manifests=d"}, arg, NULL};
		struct options options;
		struct err err;

		snprintf(arg, sizeof(arg), "--drain-timeout=%s", wrong[i]);
		assert_int_equal(options_parse(3, argv, &options, &err), -EINVAL);
		snprintf(line, sizeof(line),
			 "--drain-timeout: must be a duration like 30s or 5m, is "
			 "\"%.10s\"",
			 wrong[i]);
		assert_string_equal(err.text, line);
	}
}

static void an_empty_argument(void **state)
{
	char *argv[] = {(char[]){"vipd"}, (char[]){"--manifests=d"}, calloc(1, 1), NULL};
	struct options options;
	struct err err;

	(void)state;
	assert_int_equal(options_parse(3, argv, &options, &err), -EINVAL);
	assert_string_equal(err.text, "unknown argument \"\"; see vipd --help");
	free(argv[2]);
}

static void wrong_values(void **state)
{
	(void)state;
	assert_error("", "nothing to do: name a folder with --manifests=DIR (see vipd --help)");
	assert_error("--print=model",
		     "nothing to do: name a folder with --manifests=DIR (see vipd --help)");
	assert_error("--manifests", "--manifests needs a value: --manifests=DIR");
	assert_error("--manifests=", "--manifests: names no folder");
	assert_error("--run-dir= --manifests=d", "--run-dir: names no folder");
	assert_error("--manifest=d", "unknown flag \"--manifest=d\"; see vipd --help");
	assert_error("--manifests=d -x", "unknown flag \"-x\"; see vipd --help");
	assert_error("--manifests=d more", "unknown argument \"more\"; see vipd --help");
	assert_error("--manifests=d --proxy-mode=nftables",
		     "--proxy-mode: must be ipvs or iptables, is \"nftables\"");
	assert_error("--manifests=d --ipvs-scheduler=RR",
		     "--ipvs-scheduler: must be one of rr wrr lc wlc lblc lblcr sh dh sed nq mh fo "
		     "ovf twos, is \"RR\"");
	assert_error("--manifests=d --cluster-cidr=10.244.0.0/16,x",
		     "--cluster-cidr: must be networks like 10.244.0.0/16,fd00::/48, has \"x\"");
	assert_error("--manifests=d --service-cluster-ip-range=10.96.0.0/16,10.97.0.0/16",
		     "--service-cluster-ip-range: must have at most one network a family");
	assert_error("--manifests=d --service-cluster-ip-range=10.96.0.0/16,fd00::/48,fd01::/48",
		     "--service-cluster-ip-range: has more than 2 networks");
	assert_error("--manifests=d --audit-period=49ms",
		     "--audit-period: must be at least 50ms, is \"49ms\"");
	assert_error("--manifests=d --print=all",
		     "--print: must be objects, model, actual or plan, is \"all\"");
	assert_error("--manifests=d -v=11", "--v: must be a number from -1 to 10, is \"11\"");
	assert_error("--manifests=d --once=perhaps", "--once takes no value but true or false");
}

/* The name counts as kube-proxy has it; one of blanks is none. */
static void listening(void **state)
{
	static const struct {
		const char *args, *healthz, *metrics; /* "" = nowhere */
	} cases[] = {
		{"--manifests=d", "0.0.0.0:10256", "127.0.0.1:10249"},
		{"--manifests=d --healthz-bind-address= --metrics-bind-address=", "", ""},
		{"--manifests=d --healthz-bind-address=10.0.0.1 --metrics-bind-address=0.0.0.0:1",
		 "10.0.0.1:10256", "0.0.0.0:1"},
		{"--manifests=d --healthz-bind-address=::1 --metrics-bind-address=[::]:65535",
		 "[::1]:10256", "[::]:65535"},
		{"--manifests=d --healthz-bind-address=[fd00::1]", "[fd00::1]:10256",
		 "127.0.0.1:10249"},
	};
	static const char *const wrong[] = {
		"x",    "1.2.3.4:", "1.2.3.4:0",  "[::1]:65536",  ":10256",     "1.2.3.4:1x",
		"[::1", "::1]:1",   "[1.2.3.4:1", "localhost:80", "1.2.3.4:-1", "[]:1"};
	char line[256], text[ADDR_PORT_TEXT_MAX];
	struct options options;
	struct err err;

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		const struct node_http_addr *where[] = {&options.healthz, &options.metrics};
		const char *want[] = {cases[i].healthz, cases[i].metrics};

		snprintf(line, sizeof(line), "%s", cases[i].args);
		options = parsed(line);
		for (int j = 0; j < 2; j++) {
			if (where[j]->port)
				addr_port_format(&where[j]->addr, where[j]->port, text);
			assert_string_equal(where[j]->port ? text : "", want[j]);
		}
	}
	for (size_t i = 0; i < ARRAY_SIZE(wrong); i++) {
		snprintf(line, sizeof(line), "--manifests=d --metrics-bind-address=%s", wrong[i]);
		if (parse(line, &options, &err) != -EINVAL)
			fail_msg("%s was taken", wrong[i]);
	}
	assert_error("--manifests=d --healthz-bind-address=1.2.3.4:0",
		     "--healthz-bind-address: must be an address and a port like 0.0.0.0:10256 or "
		     "[::]:10256, or nothing, is \"1.2.3.4:0\"");
}

static void switches_said_to_be_off(void **state)
{
	char line[] = "--manifests=d --masquerade-all=false --ipvs-strict-arp=false "
		      "--conntrack-tcp-be-liberal=false --bind-address-hard-fail=false";
	struct options options = parsed(line);

	(void)state;
	assert_false(options.masquerade_all);
	assert_false(options.strict_arp);
	assert_false(options.conntrack.tcp_be_liberal);
	assert_false(options.bind_hard_fail);
}

static void synced_by_mode(void **state)
{
	static const struct {
		const char *args;
		uint64_t audit_ms;
	} cases[] = {
		{"--manifests=d --ipvs-sync-period=1m --iptables-sync-period=2m", 60000},
		{"--manifests=d --iptables-sync-period=2m --proxy-mode=iptables", 120000},
		{"--manifests=d --audit-period=5s --ipvs-sync-period=1m", 5000},
	};
	char line[256];

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		snprintf(line, sizeof(line), "%s", cases[i].args);
		assert_int_equal(parsed(line).audit_ms, cases[i].audit_ms);
	}
}

static void bind_addresses(void **state)
{
	char v6[] = "--manifests=d --bind-address=fd00::5 --healthz-port=7";
	char off[] = "--manifests=d --bind-address=0.0.0.0 --healthz-port=0 --metrics-port=0";
	struct options options = parsed(v6);
	struct ip_addr addrs[2] = {0};
	char text[ADDR_PORT_TEXT_MAX];

	(void)state;
	assert_string_equal(addr_port_format(&options.healthz.addr, options.healthz.port, text),
			    "[::]:7");
	assert_string_equal(addr_port_format(&options.metrics.addr, options.metrics.port, text),
			    "[::1]:10249");
	config_override_node(&options, addrs);
	assert_true(addr_equal(&addrs[1], &options.bind_addr));
	assert_false(addr_is_set(&addrs[0]));
	options = parsed(off);
	assert_int_equal(options.healthz.port, 0);
	assert_int_equal(options.metrics.port, 0);
	config_override_node(&options, addrs);
	assert_false(addr_is_set(&addrs[0])); /* all addresses are nobody's in particular */
}

static void kube_proxys_flags(void **state)
{
	char line[] = "--manifests=d --kubeconfig /x --profiling --feature-gates=A=true "
		      "--ipvs-min-sync-period=2s";
	char *argv[ARGS_MAX] = {(char[]){"vipd"}}, *place = NULL;
	int argc = 1;
	struct kubeproxy kp;
	struct options options;
	struct err err;

	(void)state;
	assert_int_equal(kubeproxy_init(&kp), 0);
	for (char *word = strtok_r(line, " ", &place); word; word = strtok_r(NULL, " ", &place))
		argv[argc++] = word;
	assert_int_equal(options_load(argc, argv, &kp, &options, &err), 0);
	assert_int_equal(kp.n_warnings, 4);
	assert_string_equal(kp.warnings[1], "--ipvs-min-sync-period has no effect: a change costs "
					    "what changed, and goes at once");
	kubeproxy_done(&kp);
	assert_error("--manifests=d --iptables-masquerade-bit=32",
		     "--iptables-masquerade-bit: must be from 0 to 31, is 32");
	assert_error("--manifests=d --feature-gates=A",
		     "--feature-gates: must be like Name=true, has \"A\"");
	assert_error("--manifests=d --check-config", "--check-config needs a --config=FILE");
}

static void node_names(void **state)
{
	char spaced[] = "--hostname-override= Node.Example ", empty[] = "--hostname-override=  ";
	char *argv[] = {(char[]){"vipd"}, (char[]){"--manifests=d"}, spaced, NULL};
	struct options options;
	struct err err;

	(void)state;
	assert_int_equal(options_parse(3, argv, &options, &err), 0);
	assert_string_equal(options.node_name, "node.example");
	argv[2] = empty;
	assert_int_equal(options_parse(3, argv, &options, &err), -EINVAL);
	assert_string_equal(err.text, "--hostname-override: is empty");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(defaults),
		cmocka_unit_test(every_flag),
		cmocka_unit_test(durations),
		cmocka_unit_test(ways_to_say_it),
		cmocka_unit_test(wrong_values),
		cmocka_unit_test(an_empty_argument),
		cmocka_unit_test(node_names),
		cmocka_unit_test(listening),
		cmocka_unit_test(switches_said_to_be_off),
		cmocka_unit_test(synced_by_mode),
		cmocka_unit_test(bind_addresses),
		cmocka_unit_test(kube_proxys_flags),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
