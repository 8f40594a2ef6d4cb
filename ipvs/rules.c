/* SPDX-License-Identifier: Apache-2.0 */
/* See rules.h. What the rules do, chain by chain:
 *
 * input (before IPVS, which hooks LOCAL_IN at 98): a frontend in `refused` resets or rejects new
 * flows at once (the kernel's own refusal is an ICMP error, which it rate-limits: 26 of 40 connects
 * timed out in a test); a VIP answers nothing but its frontends, so host ports are not reachable.
 * output (before IPVS, which hooks LOCAL_OUT at -99): the same refusal for the node's own clients.
 * postrouting: an endpoint that reaches itself is masqueraded, or it would answer itself past us;
 * so are clients that are no pods, recognised by the connection's original destination: no packet
 * mark is used that a network plugin might use too. Needs net.ipv4.vs.conntrack=1. */
#include <stdio.h>

#include "kernel.h"
#include "rules.h"

/* $T table family, $A address type, $I ICMP family */
static const char rules_template[] =
	"add table $T " HELPER_TABLE "\n"
	"add set $T vipd vips { type $A; }\n"
	"add set $T vipd services { type $A . inet_proto . inet_service; }\n"
	"add set $T vipd refused { type $A . inet_proto . inet_service; }\n"
	"add set $T vipd hairpin { type $A . $A; }\n"
	"add set $T vipd local_nets { type $A; flags interval; }\n"
	"add chain $T vipd refuse\n"
	"add chain $T vipd input { type filter hook input priority -10; policy accept; }\n"
	"add chain $T vipd output { type filter hook output priority -150; policy accept; }\n"
	"add chain $T vipd postrouting { type nat hook postrouting priority 95; policy accept; "
	"}\n"
	"flush table $T vipd\n"
	"flush set $T vipd local_nets\n"
	"add rule $T vipd refuse meta l4proto tcp reject with tcp reset\n"
	"add rule $T vipd refuse reject with $I port-unreachable\n"
	"add rule $T vipd input ct state new $T daddr . meta l4proto . th dport @refused "
	"goto refuse\n"
	"add rule $T vipd input ct state new $T daddr @vips meta l4proto { tcp, udp, sctp } "
	"$T daddr . meta l4proto . th dport != @services goto refuse\n"
	"add rule $T vipd output ct state new $T daddr . meta l4proto . th dport @refused "
	"goto refuse\n"
	"add rule $T vipd postrouting $T saddr . $T daddr @hairpin masquerade fully-random\n";

static const char masquerade_template[] =
	"add rule $T vipd postrouting ct original $T daddr @vips $T saddr != @local_nets "
	"masquerade fully-random\n";

static void expand(FILE *out, const char *template, int family)
{
	bool v4 = family == AF_INET;

	for (; *template; template ++) {
		if (*template != '$') {
			fputc(*template, out);
			continue;
		}
		template ++;
		if (*template == 'T')
			fputs(v4 ? "ip" : "ip6", out);
		else if (*template == 'A')
			fputs(v4 ? "ipv4_addr" : "ipv6_addr", out);
		else
			fputs(v4 ? "icmp" : "icmpv6", out);
	}
}

static void print_local_nets(FILE *out, int family, const struct ip_prefix *nets, size_t n_nets)
{
	char text[PREFIX_TEXT_MAX];
	bool any = false;

	for (size_t i = 0; i < n_nets; i++) {
		if (nets[i].addr.family != family)
			continue;
		expand(out, "add element $T vipd local_nets { ", family);
		fprintf(out, "%s }\n", prefix_format(&nets[i], text));
		any = true;
	}
	if (any)
		expand(out, masquerade_template, family);
}

char *rules_text(int family, const struct ip_prefix *nets, size_t n_nets)
{
	char *text = NULL;
	size_t len = 0;
	FILE *out = open_memstream(&text, &len);

	if (!out)
		return NULL;
	expand(out, rules_template, family);
	print_local_nets(out, family, nets, n_nets);
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
