/* SPDX-License-Identifier: Apache-2.0 */
/* Rules: ipvsadm -S. One line each, as its own -R reads them; thresholds are not in them, since
 * ipvsadm leaves them out. */
#include <linux/ip_vs.h>

#include "print_line.h"
#include "print_parts.h"

#define RULE_HEAD_MAX (IPVS_AP_MAX + 32)

/* "-t 10.0.0.1:80", "-f 5 -6" */
static void put_head(const struct ipvs_print *p, struct line *l, const struct ipvs_key *key)
{
	char ap[IPVS_AP_MAX];

	if (key->fwmark) {
		line_text(l, "-f ");
		line_int(l, (int32_t)key->fwmark);
		line_text(l, key->af == AF_INET6 ? " -6" : "");
		return;
	}
	line_text(l, key->proto == IPPROTO_TCP    ? "-t "
		     : key->proto == IPPROTO_UDP  ? "-u "
		     : key->proto == IPPROTO_SCTP ? "--sctp-service "
						  : "--xxx-service ");
	line_text(l, ipvs_print_ap(p->names, &key->addr, key->port, key->proto, ap));
}

static void put_option(struct line *l, const char *option, const char *value)
{
	line_text(l, option);
	line_text(l, value);
}

static void put_service(struct line *l, const char *head, const struct ipvs_service *svc)
{
	char flags[PRINT_FLAGS_MAX], mask[ADDR_TEXT_MAX];

	put_option(l, "-A ", head);
	put_option(l, " -s ", svc->sched);
	if (svc->flags & IP_VS_SVC_F_PERSISTENT) {
		line_text(l, " -p ");
		line_uint(l, svc->timeout_sec);
		if (ipvs_netmask_text(svc, mask))
			put_option(l, " -M ", mask);
	}
	if (svc->pe[0])
		put_option(l, " --pe ", svc->pe);
	if (svc->flags & IP_VS_SVC_F_ONEPACKET)
		line_text(l, " -o");
	if (print_sched_flags(svc, flags))
		put_option(l, " -b ", flags);
}

static const char *forward_option(uint8_t fwd)
{
	switch (fwd & IP_VS_CONN_F_FWD_MASK) {
	case IP_VS_CONN_F_MASQ:
		return " -m -w ";
	case IP_VS_CONN_F_TUNNEL:
		return " -i -w ";
	default:
		return " -g -w ";
	}
}

static void put_tunnel(struct line *l, const struct ipvs_dest *dest)
{
	static const char *const csum[] = {" --tun-nocsum", " --tun-csum", " --tun-remcsum"};
	const char *flag = dest->tun_flags < ARRAY_SIZE(csum) ? csum[dest->tun_flags] : "";

	if (dest->tun_type == IP_VS_CONN_F_TUNNEL_TYPE_IPIP) {
		line_text(l, " --tun-type ipip");
	} else if (dest->tun_type == IP_VS_CONN_F_TUNNEL_TYPE_GUE) {
		line_text(l, " --tun-type gue --tun-port ");
		line_uint(l, dest->tun_port);
		line_text(l, flag);
	} else if (dest->tun_type == IP_VS_CONN_F_TUNNEL_TYPE_GRE) {
		put_option(l, " --tun-type gre", flag);
	}
}

static void put_dest(const struct ipvs_print *p, struct line *l, const char *head, uint16_t proto,
		     const struct ipvs_dest *d)
{
	char ap[IPVS_AP_MAX];

	put_option(l, "-a ", head);
	put_option(l, " -r ", ipvs_print_ap(p->names, &d->addr, d->port, proto, ap));
	line_text(l, forward_option(d->fwd));
	line_int(l, (int32_t)d->weight);
	if ((d->fwd & IP_VS_CONN_F_FWD_MASK) == IP_VS_CONN_F_TUNNEL)
		put_tunnel(l, d);
}

void ipvs_print_rules(const struct ipvs_print *p, const struct ipvs_service *svc,
		      const struct ipvs_dest *dests, size_t n)
{
	char head[RULE_HEAD_MAX] = "", text[PRINT_LINE_MAX];
	struct line h = {.text = head, .room = sizeof(head) - 1};
	struct line l = {.text = text, .room = sizeof(text)};

	put_head(p, &h, &svc->key);
	put_service(&l, head, svc);
	line_end(&l, p->out);
	for (size_t i = 0; i < n; i++) {
		put_dest(p, &l, head, print_port_proto(&svc->key), &dests[i]);
		line_end(&l, p->out);
	}
}
