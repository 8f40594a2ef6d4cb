/* SPDX-License-Identifier: Apache-2.0 */
/* Rules: ipvsadm -S. One line each, as its own -R reads them; thresholds are not in them, since
 * ipvsadm leaves them out. */
#include <inttypes.h>
#include <linux/ip_vs.h>

#include "print_parts.h"

#define RULE_HEAD_MAX (IPVS_AP_MAX + 32)

/* "-t 10.0.0.1:80", "-f 5 -6" */
static void format_service(const struct ipvs_print *p, const struct ipvs_key *key,
			   char head[RULE_HEAD_MAX])
{
	const char *option = key->proto == IPPROTO_TCP    ? "-t"
			     : key->proto == IPPROTO_UDP  ? "-u"
			     : key->proto == IPPROTO_SCTP ? "--sctp-service"
							  : "--xxx-service";
	char ap[IPVS_AP_MAX];

	if (key->fwmark)
		snprintf(head, RULE_HEAD_MAX, "-f %" PRId32 "%s", (int32_t)key->fwmark,
			 key->af == AF_INET6 ? " -6" : "");
	else
		snprintf(head, RULE_HEAD_MAX, "%s %s", option,
			 ipvs_print_ap(p->names, &key->addr, key->port, key->proto, ap));
}

static void print_service_rule(const struct ipvs_print *p, const char *head,
			       const struct ipvs_service *svc)
{
	char flags[PRINT_FLAGS_MAX], mask[ADDR_TEXT_MAX];

	fprintf(p->out, "-A %s -s %s", head, svc->sched);
	if (svc->flags & IP_VS_SVC_F_PERSISTENT) {
		fprintf(p->out, " -p %u", svc->timeout_sec);
		if (ipvs_netmask_text(svc, mask))
			fprintf(p->out, " -M %s", mask);
	}
	if (svc->pe[0])
		fprintf(p->out, " --pe %s", svc->pe);
	if (svc->flags & IP_VS_SVC_F_ONEPACKET)
		fputs(" -o", p->out);
	if (print_sched_flags(svc, flags))
		fprintf(p->out, " -b %s", flags);
	fputc('\n', p->out);
}

static const char *forward_option(uint8_t fwd)
{
	switch (fwd & IP_VS_CONN_F_FWD_MASK) {
	case IP_VS_CONN_F_MASQ:
		return "-m";
	case IP_VS_CONN_F_TUNNEL:
		return "-i";
	default:
		return "-g";
	}
}

static void print_tunnel_rule(const struct ipvs_print *p, const struct ipvs_dest *dest)
{
	static const char *const csum[] = {" --tun-nocsum", " --tun-csum", " --tun-remcsum"};
	const char *flag = dest->tun_flags < ARRAY_SIZE(csum) ? csum[dest->tun_flags] : "";

	if (dest->tun_type == IP_VS_CONN_F_TUNNEL_TYPE_IPIP)
		fputs(" --tun-type ipip", p->out);
	else if (dest->tun_type == IP_VS_CONN_F_TUNNEL_TYPE_GUE)
		fprintf(p->out, " --tun-type gue --tun-port %u%s", dest->tun_port, flag);
	else if (dest->tun_type == IP_VS_CONN_F_TUNNEL_TYPE_GRE)
		fprintf(p->out, " --tun-type gre%s", flag);
}

void ipvs_print_rules(const struct ipvs_print *p, const struct ipvs_service *svc,
		      const struct ipvs_dest *dests, size_t n)
{
	char head[RULE_HEAD_MAX], ap[IPVS_AP_MAX];

	format_service(p, &svc->key, head);
	print_service_rule(p, head, svc);
	for (size_t i = 0; i < n; i++) {
		const struct ipvs_dest *d = &dests[i];

		ipvs_print_ap(p->names, &d->addr, d->port, print_port_proto(&svc->key), ap);
		fprintf(p->out, "-a %s -r %s %s -w %d", head, ap, forward_option(d->fwd),
			(int)d->weight);
		if ((d->fwd & IP_VS_CONN_F_FWD_MASK) == IP_VS_CONN_F_TUNNEL)
			print_tunnel_rule(p, d);
		fputc('\n', p->out);
	}
}
