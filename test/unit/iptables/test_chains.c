/* SPDX-License-Identifier: Apache-2.0 */
/* Chains: their names are kube-proxy's, their rules are written as iptables-save writes them. */
#include "rig.h"

static struct frontend *named(const char *owner, uint8_t proto)
{
	struct fe_key key = key_of("172.30.0.1", 80, proto);
	struct pool *pool = pool_new(NULL, 0);
	struct frontend *fe = frontend_new(&key, owner, pool);

	pool_unref(pool);
	assert_non_null(fe);
	return fe;
}

static void service_chains_have_kube_proxys_names(void **state)
{
	static const struct {
		const char *owner;
		uint8_t proto;
		const char *name;
	} cases[] = {
		{"ns1/svc1:p80", IPPROTO_TCP, "KUBE-SVC-XPGD46QRK7WJZT7O"},
		{"ns2/svc2:p80", IPPROTO_TCP, "KUBE-SVC-GNZBNJ2PO5MGZ6GT"},
		{"default/kubernetes:https", IPPROTO_TCP, "KUBE-SVC-NPX46M4PTMTKRN6Y"},
		{"kube-system/kube-dns:dns", IPPROTO_UDP, "KUBE-SVC-TCOU7JCQXEZGVUNU"},
		{"kube-system/kube-dns:dns-tcp", IPPROTO_TCP, "KUBE-SVC-ERIFXISQEP7F7OF4"},
		{"ns1/svc1", IPPROTO_TCP, "KUBE-SVC-AQI2S6QIMU7PVVRP"},
		{"ns1/svc1:p80", IPPROTO_UDP, "KUBE-SVC-OJWW7NSBVZTDHXNW"},
		{"ns1/svc1:p80", IPPROTO_SCTP, "KUBE-SVC-GFCIFIA5VTFSTMSM"},
		{"ns2/svc2:p8080", IPPROTO_TCP, "KUBE-SVC-2VJB64SDSIJUP5T6"},
		{"ns3/svc3:p80", IPPROTO_TCP, "KUBE-SVC-X27LE4BHSL4DOUIK"},
		{"ns4/svc4:p80", IPPROTO_TCP, "KUBE-SVC-4SW47YFZTEDKD3PK"},
		{"ns5/svc5:p80", IPPROTO_TCP, "KUBE-SVC-NUKIZ6OKUXPJNT4C"},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct frontend *fe = named(cases[i].owner, cases[i].proto);
		char name[CHAIN_NAME_MAX];

		chain_service_name(fe, name);
		assert_string_equal(name, cases[i].name);
		assert_true(chain_is_per_service(name));
		frontend_free(fe);
	}
}

static void endpoint_chains_have_kube_proxys_names(void **state)
{
	static const struct {
		const char *owner, *ip;
		uint16_t port;
		const char *name;
	} cases[] = {
		{"ns1/svc1:p80", "10.180.0.1", 80, "KUBE-SEP-SXIVWICOYRO3J4NJ"},
		{"ns1/svc1:p80", "10.0.1.1", 80, "KUBE-SEP-SNQ3ZNILQDEJNDQO"},
		{"ns4/svc4:p80", "10.180.0.4", 80, "KUBE-SEP-UKSFD7AGPMPPLUHC"},
		{"ns5/svc5:p80", "10.180.0.3", 80, "KUBE-SEP-I77PXRDZVX7PMWMN"},
		{"ns3/svc3:p8081", "203.0.113.4", 8081, "KUBE-SEP-RUVVH7YV3PHQBDOS"},
		{"ns1/svc1:p80", "fd00::1", 80, "KUBE-SEP-T5UNFIPVCZXM3U7X"},
		{"default/kubernetes:https", "192.168.0.2", 6443, "KUBE-SEP-CQRAHCCC7XPEWYB2"},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct frontend *fe = named(cases[i].owner, IPPROTO_TCP);
		struct endpoint ep = endpoint_of(cases[i].ip, cases[i].port);
		char name[CHAIN_NAME_MAX];

		chain_endpoint_name(fe, &ep, name);
		assert_string_equal(name, cases[i].name);
		frontend_free(fe);
	}
}

static void the_longest_names_have_room(void **state)
{
	char owner[63 + 1 + 253 + 1 + 63 + 1], name[CHAIN_NAME_MAX];
	struct frontend *fe;

	(void)state;
	memset(owner, 'n', sizeof(owner) - 1);
	owner[sizeof(owner) - 1] = '\0';
	owner[63] = '/';
	owner[63 + 1 + 253] = ':';
	fe = named(owner, IPPROTO_TCP);
	chain_service_name(fe, name);
	assert_int_equal(strlen(name), strlen("KUBE-SVC-") + 16);
	frontend_free(fe);
}

static void whose_a_chain_is(void **state)
{
	static const char *const others[] = {"KUBE-FIREWALL", "KUBE-KUBELET-CANARY", "KUBE-SVC",
					     "DOCKER",        "KUBE-ROUTER-INPUT",   ""};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(others); i++)
		assert_false(chain_is_ours(others[i]));
	assert_true(chain_is_ours("KUBE-SERVICES"));
	assert_false(chain_is_per_service("KUBE-SERVICES"));
	assert_true(chain_is_ours("KUBE-SVC-X") && chain_is_ours("KUBE-SEP-X"));
	assert_true(chain_is_ours("KUBE-EXT-X") && chain_is_ours("KUBE-FW-X"));
}

/* ---- what a model becomes ---- */

/* All chains as text: ":TABLE CHAIN" and its rules. */
static char *build(const struct model *model, int family, const char *const nets[], size_t n_nets)
{
	struct ip_prefix local[4];
	struct chain_set set = {0};
	char *text = NULL;
	size_t len = 0;
	FILE *out = open_memstream(&text, &len);

	for (size_t i = 0; i < n_nets; i++)
		assert_int_equal(prefix_parse(nets[i], &local[i]), 0);
	assert_int_equal(chains_build(model, family, local, n_nets, &set), 0);
	for (size_t i = 0; i < set.n; i++)
		fprintf(out, ":%s %s\n%s", ipt_table_names[set.items[i].table], set.items[i].name,
			set.items[i].rules);
	fclose(out);
	chain_set_done(&set);
	return text;
}

static void assert_chain(const char *text, const char *head, const char *rules)
{
	cleanup_free char *want = NULL;
	const char *at;

	assert_true(asprintf(&want, "%s\n%s", head, rules) > 0);
	at = strstr(text, want);
	if (!at || (at[strlen(want)] != ':' && at[strlen(want)] != '\0'))
		fail_msg("not as wanted:\n%s\n--- in\n%s", want, text);
}

static void an_empty_model_has_the_shared_chains(void **state)
{
	struct model *model = model_new();
	cleanup_free char *text = build(model, AF_INET, NULL, 0);

	(void)state;
	assert_string_equal(
		text,
		":filter KUBE-FORWARD\n"
		"-A KUBE-FORWARD -m conntrack --ctstate INVALID -j DROP\n"
		"-A KUBE-FORWARD -m comment --comment \"kubernetes forwarding rules\" -m mark "
		"--mark 0x4000/0x4000 -j ACCEPT\n"
		"-A KUBE-FORWARD -m comment --comment \"kubernetes forwarding conntrack rule\" -m "
		"conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT\n"
		":filter KUBE-SERVICES\n"
		":nat KUBE-MARK-MASQ\n"
		"-A KUBE-MARK-MASQ -j MARK --set-xmark 0x4000/0x4000\n"
		":nat KUBE-MARK-REMOTE\n"
		"-A KUBE-MARK-REMOTE -j KUBE-MARK-MASQ\n"
		":nat KUBE-POSTROUTING\n"
		"-A KUBE-POSTROUTING -m mark ! --mark 0x4000/0x4000 -j RETURN\n"
		"-A KUBE-POSTROUTING -j MARK --set-xmark 0x4000/0x0\n"
		"-A KUBE-POSTROUTING -m comment --comment \"kubernetes service traffic requiring "
		"SNAT\" -j MASQUERADE --random-fully\n"
		":nat KUBE-SERVICES\n");
	model_free(model);
}

static void one_endpoint(void **state)
{
	struct model *model = model_new();
	cleanup_free char *text = NULL;

	(void)state;
	put_frontend(model, "ns1/svc1:p80", key_of("172.30.0.41", 80, IPPROTO_TCP), 0, 80,
		     IPS("10.180.0.1"));
	text = build(model, AF_INET, IPS("10.0.0.0/8"), 1);
	assert_chain(text, ":nat KUBE-SERVICES",
		     "-A KUBE-SERVICES -d 172.30.0.41/32 -p tcp -m comment --comment "
		     "\"ns1/svc1:p80 cluster IP\" -m tcp --dport 80 -j "
		     "KUBE-SVC-XPGD46QRK7WJZT7O\n");
	assert_chain(text, ":nat KUBE-SVC-XPGD46QRK7WJZT7O",
		     "-A KUBE-SVC-XPGD46QRK7WJZT7O ! -s 10.0.0.0/8 -d 172.30.0.41/32 -p tcp -m "
		     "comment --comment \"ns1/svc1:p80 cluster IP\" -m tcp --dport 80 -j "
		     "KUBE-MARK-MASQ\n"
		     "-A KUBE-SVC-XPGD46QRK7WJZT7O -m comment --comment \"ns1/svc1:p80 -> "
		     "10.180.0.1:80\" -j KUBE-SEP-SXIVWICOYRO3J4NJ\n");
	/* an endpoint that comes to itself is masqueraded */
	assert_chain(text, ":nat KUBE-SEP-SXIVWICOYRO3J4NJ",
		     "-A KUBE-SEP-SXIVWICOYRO3J4NJ -s 10.180.0.1/32 -m comment --comment "
		     "\"ns1/svc1:p80\" -j KUBE-MARK-MASQ\n"
		     "-A KUBE-SEP-SXIVWICOYRO3J4NJ -p tcp -m comment --comment "
		     "\"ns1/svc1:p80\" -m tcp -j DNAT --to-destination 10.180.0.1:80\n");
	assert_chain(text, ":filter KUBE-SERVICES", "");
	model_free(model);
}

static void without_endpoints_it_is_refused(void **state)
{
	struct model *model = model_new();
	cleanup_free char *v4 = NULL, *v6 = NULL;

	(void)state;
	put_frontend(model, "ns1/svc1:p80", key_of("172.30.0.41", 80, IPPROTO_TCP), 0, 0, NULL);
	put_frontend(model, "ns1/svc1:dns", key_of("172.30.0.41", 53, IPPROTO_UDP), 0, 0, NULL);
	put_frontend(model, "ns1/svc1:dns", key_of("fd00:1::41", 53, IPPROTO_UDP), 0, 0, NULL);
	v4 = build(model, AF_INET, NULL, 0);
	assert_chain(v4, ":filter KUBE-SERVICES",
		     "-A KUBE-SERVICES -d 172.30.0.41/32 -p udp -m comment --comment "
		     "\"ns1/svc1:dns has no endpoints\" -m udp --dport 53 -j REJECT --reject-with "
		     "icmp-port-unreachable\n"
		     "-A KUBE-SERVICES -d 172.30.0.41/32 -p tcp -m comment --comment "
		     "\"ns1/svc1:p80 has no endpoints\" -m tcp --dport 80 -j REJECT --reject-with "
		     "tcp-reset\n");
	assert_chain(v4, ":nat KUBE-SERVICES", "");
	v6 = build(model, AF_INET6, NULL, 0);
	assert_chain(v6, ":filter KUBE-SERVICES",
		     "-A KUBE-SERVICES -d fd00:1::41/128 -p udp -m comment --comment "
		     "\"ns1/svc1:dns has no endpoints\" -m udp --dport 53 -j REJECT --reject-with "
		     "icmp6-port-unreachable\n");
	model_free(model);
}

static void three_endpoints_have_equal_chances(void **state)
{
	struct model *model = model_new();
	cleanup_free char *text = NULL;

	(void)state;
	put_frontend(model, "ns4/svc4:p80", key_of("172.30.0.44", 80, IPPROTO_TCP), 0, 80,
		     IPS("10.180.0.5", "10.180.0.4", "10.180.1.1"));
	text = build(model, AF_INET, NULL, 0);
	assert_chain(text, ":nat KUBE-SVC-4SW47YFZTEDKD3PK",
		     "-A KUBE-SVC-4SW47YFZTEDKD3PK -m comment --comment \"ns4/svc4:p80 -> "
		     "10.180.0.4:80\" -m statistic --mode random --probability 0.33333333349 -j "
		     "KUBE-SEP-UKSFD7AGPMPPLUHC\n"
		     "-A KUBE-SVC-4SW47YFZTEDKD3PK -m comment --comment \"ns4/svc4:p80 -> "
		     "10.180.0.5:80\" -m statistic --mode random --probability 0.50000000000 -j "
		     "KUBE-SEP-C6EBXVWJJZMIWKLZ\n"
		     "-A KUBE-SVC-4SW47YFZTEDKD3PK -m comment --comment \"ns4/svc4:p80 -> "
		     "10.180.1.1:80\" -j KUBE-SEP-4GEAADSHOS5OHNBJ\n");
	model_free(model);
}

static void clients_come_back_to_their_endpoint(void **state)
{
	struct model *model = model_new();
	cleanup_free char *v4 = NULL, *v6 = NULL;

	(void)state;
	put_frontend(model, "ns5/svc5:p80", key_of("172.30.0.45", 80, IPPROTO_TCP), 10800, 80,
		     IPS("10.180.0.3"));
	put_frontend(model, "ns1/svc1:p80", key_of("fd00:1::41", 80, IPPROTO_TCP), 60, 80,
		     IPS("fd00::1"));
	v4 = build(model, AF_INET, NULL, 0);
	assert_chain(v4, ":nat KUBE-SVC-NUKIZ6OKUXPJNT4C",
		     "-A KUBE-SVC-NUKIZ6OKUXPJNT4C -m comment --comment \"ns5/svc5:p80 -> "
		     "10.180.0.3:80\" -m recent --rcheck --seconds 10800 --reap --name "
		     "KUBE-SEP-I77PXRDZVX7PMWMN --mask 255.255.255.255 --rsource -j "
		     "KUBE-SEP-I77PXRDZVX7PMWMN\n"
		     "-A KUBE-SVC-NUKIZ6OKUXPJNT4C -m comment --comment \"ns5/svc5:p80 -> "
		     "10.180.0.3:80\" -j KUBE-SEP-I77PXRDZVX7PMWMN\n");
	assert_chain(v4, ":nat KUBE-SEP-I77PXRDZVX7PMWMN",
		     "-A KUBE-SEP-I77PXRDZVX7PMWMN -s 10.180.0.3/32 -m comment --comment "
		     "\"ns5/svc5:p80\" -j KUBE-MARK-MASQ\n"
		     "-A KUBE-SEP-I77PXRDZVX7PMWMN -p tcp -m comment --comment \"ns5/svc5:p80\" "
		     "-m recent --set --name KUBE-SEP-I77PXRDZVX7PMWMN --mask 255.255.255.255 "
		     "--rsource -m tcp -j DNAT --to-destination 10.180.0.3:80\n");
	v6 = build(model, AF_INET6, NULL, 0);
	assert_non_null(strstr(v6, "--seconds 60 --reap --name KUBE-SEP-T5UNFIPVCZXM3U7X --mask "
				   "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff --rsource"));
	model_free(model);
}

static void ipv6_has_its_own_set(void **state)
{
	struct model *model = model_new();
	cleanup_free char *v4 = NULL, *v6 = NULL;

	(void)state;
	put_frontend(model, "ns1/svc1:p80", key_of("fd00:1::41", 80, IPPROTO_TCP), 0, 80,
		     IPS("fd00::1"));
	v4 = build(model, AF_INET, IPS("10.0.0.0/8", "fd00::/64"), 2);
	v6 = build(model, AF_INET6, IPS("10.0.0.0/8", "fd00::/64"), 2);
	assert_null(strstr(v4, "svc1"));
	assert_chain(v6, ":nat KUBE-SVC-XPGD46QRK7WJZT7O",
		     "-A KUBE-SVC-XPGD46QRK7WJZT7O ! -s fd00::/64 -d fd00:1::41/128 -p tcp -m "
		     "comment --comment \"ns1/svc1:p80 cluster IP\" -m tcp --dport 80 -j "
		     "KUBE-MARK-MASQ\n"
		     "-A KUBE-SVC-XPGD46QRK7WJZT7O -m comment --comment \"ns1/svc1:p80 -> "
		     "[fd00::1]:80\" -j KUBE-SEP-T5UNFIPVCZXM3U7X\n");
	assert_chain(v6, ":nat KUBE-SEP-T5UNFIPVCZXM3U7X",
		     "-A KUBE-SEP-T5UNFIPVCZXM3U7X -s fd00::1/128 -m comment --comment "
		     "\"ns1/svc1:p80\" -j KUBE-MARK-MASQ\n"
		     "-A KUBE-SEP-T5UNFIPVCZXM3U7X -p tcp -m comment --comment "
		     "\"ns1/svc1:p80\" -m tcp -j DNAT --to-destination [fd00::1]:80\n");
	assert_chain(v6, ":nat KUBE-MARK-REMOTE",
		     "-A KUBE-MARK-REMOTE -s fd00::/64 -j RETURN\n"
		     "-A KUBE-MARK-REMOTE -j KUBE-MARK-MASQ\n");
	model_free(model);
}

/* "Not from one of several networks" takes a chain of its own. */
static void several_pod_networks(void **state)
{
	struct model *model = model_new();
	cleanup_free char *text = NULL;

	(void)state;
	put_frontend(model, "ns1/svc1:p80", key_of("172.30.0.41", 80, IPPROTO_UDP), 0, 80,
		     IPS("10.180.0.1"));
	text = build(model, AF_INET, IPS("10.180.0.0/24", "10.180.1.0/24"), 2);
	assert_non_null(strstr(text,
			       "-A KUBE-SVC-OJWW7NSBVZTDHXNW -d 172.30.0.41/32 -p udp -m comment "
			       "--comment \"ns1/svc1:p80 cluster IP\" -m udp --dport 80 -j "
			       "KUBE-MARK-REMOTE\n"));
	assert_chain(text, ":nat KUBE-MARK-REMOTE",
		     "-A KUBE-MARK-REMOTE -s 10.180.0.0/24 -j RETURN\n"
		     "-A KUBE-MARK-REMOTE -s 10.180.1.0/24 -j RETURN\n"
		     "-A KUBE-MARK-REMOTE -j KUBE-MARK-MASQ\n");
	model_free(model);
}

static void draining_endpoints_take_no_new_flows(void **state)
{
	struct fe_key key = key_of("172.30.0.41", 80, IPPROTO_TCP);
	struct endpoint ep[] = {endpoint_of("10.180.0.1", 80), endpoint_of("10.180.0.2", 80),
				endpoint_of("10.180.0.3", 80)};
	struct model *model = model_new();
	cleanup_free char *text = NULL;
	struct frontend *fe;
	struct pool *pool;

	(void)state;
	ep[1].state = EP_DRAIN;
	ep[2].weight = 0;
	pool = pool_new(ep, ARRAY_SIZE(ep));
	fe = frontend_new(&key, "ns1/svc1:p80", pool);
	pool_unref(pool);
	assert_int_equal(model_put(model, fe), 1);
	text = build(model, AF_INET, NULL, 0);
	assert_non_null(strstr(text, "10.180.0.1:80"));
	assert_null(strstr(text, "10.180.0.2"));
	assert_null(strstr(text, "10.180.0.3"));
	assert_null(strstr(text, "statistic"));
	model_free(model);
}

/* Every chain that is jumped to is there. */
static void no_jump_goes_nowhere(void **state)
{
	struct model *model = model_new();
	struct chain_set set = {0};

	(void)state;
	put_frontend(model, "a/b", key_of("172.30.0.1", 80, IPPROTO_TCP), 60, 80,
		     IPS("10.0.0.1", "10.0.0.2"));
	put_frontend(model, "a/c", key_of("172.30.0.2", 80, IPPROTO_UDP), 0, 80,
		     IPS("10.0.0.1", "10.0.0.2"));
	put_frontend(model, "a/d", key_of("172.30.0.3", 80, IPPROTO_TCP), 0, 80, NULL);
	assert_int_equal(chains_build(model, AF_INET, NULL, 0, &set), 0);
	for (size_t i = 0; i < set.n; i++) {
		const char *at = set.items[i].rules;

		while ((at = strstr(at, "-j KUBE-")) != NULL) {
			char name[CHAIN_NAME_MAX];

			at += strlen("-j ");
			snprintf(name, sizeof(name), "%.*s", (int)strcspn(at, "\n"), at);
			assert_non_null(chain_set_find(&set, set.items[i].table, name));
		}
	}
	for (size_t i = 0; i < ipt_n_jumps; i++)
		assert_non_null(chain_set_find(&set, ipt_jumps[i].table, ipt_jumps[i].target));
	chain_set_done(&set);
	model_free(model);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(service_chains_have_kube_proxys_names),
		cmocka_unit_test(endpoint_chains_have_kube_proxys_names),
		cmocka_unit_test(the_longest_names_have_room),
		cmocka_unit_test(whose_a_chain_is),
		cmocka_unit_test(an_empty_model_has_the_shared_chains),
		cmocka_unit_test(one_endpoint),
		cmocka_unit_test(without_endpoints_it_is_refused),
		cmocka_unit_test(three_endpoints_have_equal_chances),
		cmocka_unit_test(clients_come_back_to_their_endpoint),
		cmocka_unit_test(ipv6_has_its_own_set),
		cmocka_unit_test(several_pod_networks),
		cmocka_unit_test(draining_endpoints_take_no_new_flows),
		cmocka_unit_test(no_jump_goes_nowhere),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
