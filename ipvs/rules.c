/* SPDX-License-Identifier: Apache-2.0 */
/* See rules.h. What the rules do, hook by hook; IPVS itself works in LOCAL_IN at 98 and in
 * LOCAL_OUT at -99 and -98 (ip_vs_core.c, ip_vs_ops4).
 *
 * source, source_out (where the packet still has the address that the client chose): a restricted
 * entrance drops whoever is not allowed.
 * enter, enter_out (translation of addresses): an entrance leads to its virtual server, for clients
 * in the cluster perhaps to another one. The node itself is in the cluster. What goes to a VIP is
 * translated to where it goes anyway, and so past who comes later in the hook: a Pod's hostPort
 * (the CNI plugin portmap) takes its port of every address that is the node's, VIPs included.
 * input, output (behind translation, before IPVS): a frontend in `refused` resets or rejects new
 * flows at once (the kernel's own refusal is an ICMP error, which it rate-limits: 26 of 40 connects
 * timed out in a test); an inner one answers those only who came by an entrance; a VIP answers
 * nothing but its frontends, so host ports are not reachable.
 * postrouting: an endpoint that reaches itself is masqueraded, or it would answer itself past us;
 * so are clients who would not be found by the answer. They are recognised by the connection's
 * original destination: no packet mark is used that a network plugin might use too. (By interface
 * alone who is local is known at the beginning only: then a bit of the connection's mark,
 * kube-proxy's, keeps it.) Needs net.ipv4.vs.conntrack=1. */
#include <stdio.h>
#include <string.h>

#include "kernel.h"
#include "rules.h"

#define MARK "0x4000" /* iptablesMasqueradeBit 14 */

/* $T table family, $A address type, $I ICMP family */
static const char sets_template[] =
	"add table $T " HELPER_TABLE "\n"
	"add set $T vipd vips { type $A; }\n"
	"add set $T vipd services { type $A . inet_proto . inet_service; }\n"
	"add set $T vipd refused { type $A . inet_proto . inet_service; }\n"
	"add set $T vipd dropped { type $A . inet_proto . inet_service; }\n"
	"add set $T vipd inner { type $A . inet_proto . inet_service; }\n"
	"add set $T vipd hairpin { type $A . $A; }\n"
	"add set $T vipd node_addrs { type $A; }\n"
	"add map $T vipd entrances { type $A . inet_proto . inet_service : $A . inet_service; }\n"
	"add map $T vipd entrances_cluster { type $A . inet_proto . inet_service : "
	"$A . inet_service; }\n"
	"add set $T vipd masq { type $A . inet_proto . inet_service; }\n"
	"add set $T vipd restricted { type $A . inet_proto . inet_service; }\n"
	"add set $T vipd allowed_tcp { type $A . inet_service . $A; flags interval; }\n"
	"add set $T vipd allowed_udp { type $A . inet_service . $A; flags interval; }\n"
	"add set $T vipd allowed_sctp { type $A . inet_service . $A; flags interval; }\n"
	"add map $T vipd nodeports { type inet_proto . inet_service : $A . inet_service; }\n"
	"add map $T vipd nodeports_cluster { type inet_proto . inet_service : "
	"$A . inet_service; }\n"
	"add set $T vipd nodeports_masq { type inet_proto . inet_service; }\n"
	"add set $T vipd direct { type $A . inet_proto . inet_service; }\n"
	"add set $T vipd nodeports_local { type inet_proto . inet_service; }\n"
	"add set $T vipd local_nets { type $A; flags interval; }\n"
	"add chain $T vipd refuse\n"
	"add chain $T vipd check_source\n"
	"add chain $T vipd source { type filter hook prerouting priority -150; policy accept; }\n"
	"add chain $T vipd source_out { type filter hook output priority -150; policy accept; }\n"
	"add chain $T vipd enter { type nat hook prerouting priority -105; policy accept; }\n"
	"add chain $T vipd enter_out { type nat hook output priority -105; policy accept; }\n"
	"add chain $T vipd input { type filter hook input priority -10; policy accept; }\n"
	"add chain $T vipd output { type filter hook output priority -99; policy accept; }\n"
	"add chain $T vipd postrouting { type nat hook postrouting priority 95; policy accept; "
	"}\n"
	"flush table $T vipd\n"
	"flush set $T vipd local_nets\n";

static const char filter_template[] =
	"add rule $T vipd refuse meta l4proto tcp reject with tcp reset\n"
	"add rule $T vipd refuse reject with $I port-unreachable\n"
	"add rule $T vipd check_source meta l4proto tcp "
	"$T daddr . th dport . $T saddr @allowed_tcp return\n"
	"add rule $T vipd check_source meta l4proto udp "
	"$T daddr . th dport . $T saddr @allowed_udp return\n"
	"add rule $T vipd check_source meta l4proto sctp "
	"$T daddr . th dport . $T saddr @allowed_sctp return\n"
	"add rule $T vipd check_source drop\n"
	"add rule $T vipd source ct state new "
	"$T daddr . meta l4proto . th dport @restricted jump check_source\n"
	"add rule $T vipd source_out ct state new "
	"$T daddr . meta l4proto . th dport @restricted jump check_source\n"
	"add rule $T vipd input ct state new $T daddr . meta l4proto . th dport @dropped drop\n"
	"add rule $T vipd input ct state new $T daddr . meta l4proto . th dport @refused "
	"goto refuse\n"
	"add rule $T vipd input ct state new ct status & dnat == 0 "
	"$T daddr . meta l4proto . th dport @inner goto refuse\n"
	"add rule $T vipd input ct state new $T daddr @vips meta l4proto { tcp, udp, sctp } "
	"$T daddr . meta l4proto . th dport != @services goto refuse\n"
	"add rule $T vipd output ct state new $T daddr . meta l4proto . th dport @dropped drop\n"
	"add rule $T vipd output ct state new $T daddr . meta l4proto . th dport @refused "
	"goto refuse\n"
	"add rule $T vipd output ct state new ct status & dnat == 0 "
	"$T daddr . meta l4proto . th dport @inner goto refuse\n";

/* $L: the client is in the cluster */
static const char enter_cluster_template[] =
	"add rule $T vipd enter $L dnat $T to "
	"$T daddr . meta l4proto . th dport map @entrances_cluster\n"
	"add rule $T vipd enter $T daddr @node_addrs $L dnat $T to "
	"meta l4proto . th dport map @nodeports_cluster\n";

static const char enter_template[] =
	"add rule $T vipd enter dnat $T to $T daddr . meta l4proto . th dport map @entrances\n"
	"add rule $T vipd enter $T daddr @node_addrs dnat $T to "
	"meta l4proto . th dport map @nodeports\n"
	"add rule $T vipd enter_out dnat $T to "
	"$T daddr . meta l4proto . th dport map @entrances_cluster\n"
	"add rule $T vipd enter_out dnat $T to "
	"$T daddr . meta l4proto . th dport map @entrances\n"
	"add rule $T vipd enter_out $T daddr @node_addrs dnat $T to "
	"meta l4proto . th dport map @nodeports_cluster\n"
	"add rule $T vipd enter_out $T daddr @node_addrs dnat $T to "
	"meta l4proto . th dport map @nodeports\n"
	"add rule $T vipd enter $T daddr @vips dnat to $T daddr\n"
	"add rule $T vipd enter_out $T daddr @vips dnat to $T daddr\n";

static const char hairpin_template[] =
	"add rule $T vipd postrouting $T saddr . $T daddr @hairpin masquerade fully-random\n";

/* What is not masqueraded answers the client past this node, and must know it. */
static const char direct_template[] =
	"add rule $T vipd postrouting meta l4proto $P "
	"ct original $T daddr . meta l4proto . ct original proto-dst @direct accept\n";

/* $P protocol, $M masquerading. An original port has a type only where the protocol is known. */
static const char snat_template[] =
	"add rule $T vipd postrouting meta l4proto $P "
	"ct original $T daddr . meta l4proto . ct original proto-dst @masq $M\n"
	"add rule $T vipd postrouting meta l4proto $P ct original $T daddr @node_addrs "
	"meta l4proto . ct original proto-dst @nodeports_masq $M\n"
	"add rule $T vipd postrouting meta l4proto $P ct original $T daddr @node_addrs "
	"fib saddr type local meta l4proto . ct original proto-dst @nodeports_local $M\n";

static const char snat_local_template[] =
	"add rule $T vipd postrouting meta l4proto $P ct original $T daddr @node_addrs $K "
	"meta l4proto . ct original proto-dst @nodeports_local $M\n";

/* The node's own clients of an entrance. */
static const char snat_own_template[] =
	"add rule $T vipd postrouting meta l4proto { tcp, udp, sctp } ct status dnat "
	"ct original $T daddr @vips fib saddr type local $M\n";

/* $F: the client is not in the cluster. Who came by an entrance was judged above. */
static const char snat_foreign_template[] =
	"add rule $T vipd postrouting meta l4proto { tcp, udp, sctp } ct status & dnat == 0 "
	"ct original $T daddr @vips $F$M\n";

/* Kept from the beginning of the connection on: it comes from outside. What IPVS sends on comes by
 * the output hook, too, and was judged when it came in. */
static const char mark_template[] =
	"add rule $T vipd source ct state new $L return\n"
	"add rule $T vipd source ct state new ct mark set ct mark or " MARK "\n"
	"add rule $T vipd source_out ct state new fib saddr type local "
	"ct mark set ct mark or " MARK "\n";

struct expansion {
	const struct rules_config *config;
	int family;
	const char *proto; /* $P */
	bool by_net;       /* there is a local net of this family */
};

static void put_masquerade(FILE *out, const struct rules_config *config)
{
	fputs("masquerade ", out);
	if (config->snat_port_min)
		fprintf(out, "to :%u-%u ", config->snat_port_min, config->snat_port_max);
	fputs("fully-random", out);
}

/* Is the client in the cluster: at the beginning, and in postrouting. */
static void put_local(FILE *out, const struct expansion *e, bool late, bool not )
{
	const char *T = e->family == AF_INET ? "ip" : "ip6";

	if (!e->config->local_interface)
		fprintf(out, "%s saddr %s@local_nets", T, not ? "!= " : "");
	else if (late)
		fprintf(out, "ct mark and " MARK " %s 0x0", not ? "!=" : "==");
	else
		fprintf(out, "iifname %s\"%s\"", not ? "!= " : "", e->config->local_interface);
}

static void put_variable(FILE *out, const struct expansion *e, char name)
{
	bool v4 = e->family == AF_INET;

	switch (name) {
	case 'T':
		fputs(v4 ? "ip" : "ip6", out);
		break;
	case 'A':
		fputs(v4 ? "ipv4_addr" : "ipv6_addr", out);
		break;
	case 'I':
		fputs(v4 ? "icmp" : "icmpv6", out);
		break;
	case 'P':
		fputs(e->proto, out);
		break;
	case 'M':
		put_masquerade(out, e->config);
		break;
	case 'L':
	case 'K':
		put_local(out, e, name == 'K', false);
		break;
	case 'F':
		if (!e->config->masquerade_all) {
			put_local(out, e, true, true);
			fputc(' ', out);
		}
		break;
	}
}

static void expand(FILE *out, const char *template, const struct expansion *e)
{
	for (; *template; template ++) {
		if (*template != '$')
			fputc(*template, out);
		else
			put_variable(out, e, *++template);
	}
}

static void put_local_nets(FILE *out, struct expansion *e)
{
	char text[PREFIX_TEXT_MAX];

	for (size_t i = 0; i < e->config->n_local_nets; i++) {
		if (e->config->local_nets[i].addr.family != e->family)
			continue;
		expand(out, "add element $T vipd local_nets { ", e);
		fprintf(out, "%s }\n", prefix_format(&e->config->local_nets[i], text));
		e->by_net = true;
	}
}

static void put_rules(FILE *out, struct expansion *e)
{
	static const char *const protos[] = {"tcp", "udp", "sctp"};
	bool known;

	put_local_nets(out, e);
	known = e->by_net || e->config->local_interface;
	expand(out, filter_template, e);
	if (e->config->local_interface)
		expand(out, mark_template, e);
	if (known)
		expand(out, enter_cluster_template, e);
	expand(out, enter_template, e);
	for (size_t i = 0; i < ARRAY_SIZE(protos); i++) {
		e->proto = protos[i];
		expand(out, direct_template, e);
	}
	expand(out, hairpin_template, e);
	for (size_t i = 0; i < ARRAY_SIZE(protos); i++) {
		e->proto = protos[i];
		expand(out, snat_template, e);
		if (known)
			expand(out, snat_local_template, e);
	}
	expand(out, snat_own_template, e);
	if (known || e->config->masquerade_all)
		expand(out, snat_foreign_template, e);
}

char *rules_text(int family, const struct rules_config *config)
{
	struct expansion e = {.config = config, .family = family};
	char *text = NULL;
	size_t len = 0;
	FILE *out = open_memstream(&text, &len);

	if (!out)
		return NULL;
	expand(out, sets_template, &e);
	put_rules(out, &e);
	if (fclose(out) != 0) {
		free(text);
		return NULL;
	}
	return text;
}

const char *rules_delete_text(int family)
{
	/* adding first makes it no error if the table is not there */
	return family == AF_INET ? "add table ip " HELPER_TABLE "\ndelete table ip " HELPER_TABLE
				 : "add table ip6 " HELPER_TABLE "\ndelete table ip6 " HELPER_TABLE;
}
