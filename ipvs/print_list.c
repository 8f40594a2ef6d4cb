/* SPDX-License-Identifier: Apache-2.0 */
/* The lists: ipvsadm -L with what it can be told to show. Widths and quirks were measured against
 * ipvsadm 1.31 (test/golden/ipvsadm); a number that is too wide pushes the rest to the right. */
#include <arpa/inet.h>
#include <inttypes.h>
#include <string.h>
#include <linux/ip_vs.h>

#include "print_parts.h"

#define HEAD_MAX (IPVS_AP_MAX + 16)

/* ---- titles ---- */

void ipvs_print_titles(const struct ipvs_print *p, const struct ipvs_info *info)
{
	static const char *const stats[] = {"Conns", "InPkts", "OutPkts", "InBytes", "OutBytes"};
	static const char *const rate[] = {"CPS", "InPPS", "OutPPS", "InBPS", "OutBPS"};

	if (info)
		fprintf(p->out, "IP Virtual Server version %u.%u.%u (size=%u)\n",
			info->version >> 16 & 0xff, info->version >> 8 & 0xff, info->version & 0xff,
			info->conn_tab_size);
	switch (p->view) {
	case IPVS_VIEW_TABLE:
		fputs("Prot LocalAddress:Port Scheduler Flags\n"
		      "  -> RemoteAddress:Port           Forward Weight ActiveConn InActConn\n",
		      p->out);
		break;
	case IPVS_VIEW_TUNNEL:
		fputs("Prot LocalAddress:Port Scheduler Flags\n"
		      "  -> RemoteAddress:Port           Forward TunnelInfo    Weight ActiveConn "
		      "InActConn\n",
		      p->out);
		break;
	case IPVS_VIEW_STATS:
	case IPVS_VIEW_RATE:
		fprintf(p->out, "%-33s", "Prot LocalAddress:Port");
		for (size_t i = 0; i < ARRAY_SIZE(stats); i++)
			fprintf(p->out, " %8s", (p->view == IPVS_VIEW_STATS ? stats : rate)[i]);
		fputs("\n  -> RemoteAddress:Port\n", p->out);
		break;
	case IPVS_VIEW_THRESHOLDS:
		fprintf(p->out, "%-33s %-10s %-10s %-10s %-10s\n  -> RemoteAddress:Port\n",
			"Prot LocalAddress:Port", "Uthreshold", "Lthreshold", "ActiveConn",
			"InActConn");
		break;
	case IPVS_VIEW_PERSISTENT:
		fprintf(p->out, "%-33s %-9s %-11s %-10s %-10s\n  -> RemoteAddress:Port\n",
			"Prot LocalAddress:Port", "Weight", "PersistConn", "ActiveConn",
			"InActConn");
		break;
	}
}

/* ---- numbers ---- */

static void print_number(const struct ipvs_print *p, uint64_t value)
{
	if (p->exact || value < 100000000)
		fprintf(p->out, " %8" PRIu64, value);
	else if (value < 1000000000)
		fprintf(p->out, "%8" PRIu64 "K", value / 1000);
	else if (value < 100000000000)
		fprintf(p->out, "%8" PRIu64 "M", value / 1000000);
	else if (value < 100000000000000)
		fprintf(p->out, "%8" PRIu64 "G", value / 1000000000);
	else
		fprintf(p->out, "%8" PRIu64 "T", value / 1000000000000);
}

static void print_numbers(const struct ipvs_print *p, const uint64_t values[5])
{
	for (int i = 0; i < 5; i++)
		print_number(p, values[i]);
	fputc('\n', p->out);
}

/* ---- a service ---- */

static const char *proto_word(uint16_t proto)
{
	return proto_name(proto > UINT8_MAX ? 0 : (uint8_t)proto);
}

/* "TCP  10.0.0.1:80"; what is not IPv6 is cut to 33 characters. */
static void format_head(const struct ipvs_print *p, const struct ipvs_key *key, char head[HEAD_MAX])
{
	char ap[IPVS_AP_MAX];

	if (key->fwmark)
		snprintf(head, HEAD_MAX, "FWM  %" PRId32 "%s", (int32_t)key->fwmark,
			 key->af == AF_INET6 ? " IPv6" : "");
	else
		snprintf(head, HEAD_MAX, "%-4s %s", proto_word(key->proto),
			 ipvs_print_ap(p->names, &key->addr, key->port, key->proto, ap));
	if (key->af != AF_INET6)
		head[33] = '\0';
}

static void print_service_flags(const struct ipvs_print *p, const struct ipvs_service *svc)
{
	char flags[PRINT_FLAGS_MAX], mask[ADDR_TEXT_MAX];

	if (print_sched_flags(svc, flags))
		fprintf(p->out, " (%s)", flags);
	if (svc->flags & IP_VS_SVC_F_PERSISTENT) {
		fprintf(p->out, " persistent %u", svc->timeout_sec);
		if (ipvs_netmask_text(svc, mask))
			fprintf(p->out, " mask %s", mask);
		if (svc->pe[0])
			fprintf(p->out, " pe %s", svc->pe);
	}
	if (svc->flags & IP_VS_SVC_F_ONEPACKET)
		fputs(" ops", p->out);
	fputc('\n', p->out);
}

static void print_head(const struct ipvs_print *p, const struct ipvs_service *svc)
{
	const struct ipvs_stats *s = &svc->stats;
	char head[HEAD_MAX];

	format_head(p, &svc->key, head);
	switch (p->view) {
	case IPVS_VIEW_STATS:
		fprintf(p->out, "%-33s", head);
		print_numbers(p, (uint64_t[]){s->conns, s->in_pkts, s->out_pkts, s->in_bytes,
					      s->out_bytes});
		break;
	case IPVS_VIEW_RATE:
		fprintf(p->out, "%-33s", head);
		print_numbers(p,
			      (uint64_t[]){s->cps, s->in_pps, s->out_pps, s->in_bps, s->out_bps});
		break;
	case IPVS_VIEW_TABLE:
	case IPVS_VIEW_TUNNEL:
	case IPVS_VIEW_THRESHOLDS:
	case IPVS_VIEW_PERSISTENT:
		fprintf(p->out, "%s %s", head, svc->sched);
		print_service_flags(p, svc);
		break;
	}
}

/* ---- a destination ---- */

static const char *forward_word(uint8_t fwd)
{
	static const char *const words[] = {"Masq", "Local", "Tunnel", "Route"};
	unsigned method = fwd & IP_VS_CONN_F_FWD_MASK;

	return method < ARRAY_SIZE(words) ? words[method] : "(null)";
}

static const char *csum_word(uint16_t flags)
{
	static const char *const words[] = {"-c", "+c", "r+c"};

	return flags < ARRAY_SIZE(words) ? words[flags] : "(null)";
}

static void format_tunnel(const struct ipvs_dest *dest, char *buf, size_t size)
{
	const char *csum = csum_word(dest->tun_flags);

	snprintf(buf, size, "n/a");
	if ((dest->fwd & IP_VS_CONN_F_FWD_MASK) != IP_VS_CONN_F_TUNNEL)
		return;
	if (dest->tun_type == IP_VS_CONN_F_TUNNEL_TYPE_IPIP)
		snprintf(buf, size, "ipip");
	else if (dest->tun_type == IP_VS_CONN_F_TUNNEL_TYPE_GUE)
		snprintf(buf, size, "gue:%u:%s", dest->tun_port, csum);
	else if (dest->tun_type == IP_VS_CONN_F_TUNNEL_TYPE_GRE)
		snprintf(buf, size, "gre:%s", csum);
}

/* ipvsadm reads these of a destination with the routine for 32-bit numbers. */
static uint32_t low(uint64_t value)
{
	return (uint32_t)value;
}

static void print_dest_rate(const struct ipvs_print *p, const struct ipvs_stats *s)
{
	fprintf(p->out, " %8u %8u %8u", low(s->cps), low(s->in_pps), low(s->out_pps));
	print_number(p, low(s->in_bps));
	print_number(p, low(s->out_bps));
	fputc('\n', p->out);
}

static void print_dest(const struct ipvs_print *p, const struct ipvs_dest *d, uint16_t proto)
{
	const struct ipvs_stats *s = &d->stats;
	char ap[IPVS_AP_MAX], tunnel[32];

	ipvs_print_ap(p->names, &d->addr, d->port, proto, ap);
	fprintf(p->out, "  -> %-28.*s", d->addr.family == AF_INET6 ? IPVS_AP_MAX : 28, ap);
	switch (p->view) {
	case IPVS_VIEW_TABLE:
		fprintf(p->out, " %-7s %-6d %-10u %-10u\n", forward_word(d->fwd), (int)d->weight,
			d->active_conns, d->inact_conns);
		break;
	case IPVS_VIEW_TUNNEL:
		format_tunnel(d, tunnel, sizeof(tunnel));
		fprintf(p->out, " %-7s %-13s %-6d %-10u %-10u\n", forward_word(d->fwd), tunnel,
			(int)d->weight, d->active_conns, d->inact_conns);
		break;
	case IPVS_VIEW_THRESHOLDS:
		fprintf(p->out, " %-10u %-10u %-10u %-10u\n", d->u_thresh, d->l_thresh,
			d->active_conns, d->inact_conns);
		break;
	case IPVS_VIEW_PERSISTENT:
		fprintf(p->out, " %-9u %-11u %-10u %-10u\n", d->weight, d->persist_conns,
			d->active_conns, d->inact_conns);
		break;
	case IPVS_VIEW_STATS:
		print_numbers(p, (uint64_t[]){low(s->conns), low(s->in_pkts), low(s->out_pkts),
					      s->in_bytes, s->out_bytes});
		break;
	case IPVS_VIEW_RATE:
		print_dest_rate(p, s);
		break;
	}
}

void ipvs_print_service(const struct ipvs_print *p, const struct ipvs_service *svc,
			const struct ipvs_dest *dests, size_t n)
{
	print_head(p, svc);
	for (size_t i = 0; i < n; i++)
		print_dest(p, &dests[i], print_port_proto(&svc->key));
}

/* ---- one line each ---- */

void ipvs_print_timeouts(const struct ipvs_print *p, const struct ipvs_timeouts *timeouts)
{
	fprintf(p->out, "Timeout (tcp tcpfin udp): %d %d %d\n", (int)timeouts->tcp_sec,
		(int)timeouts->tcp_fin_sec, (int)timeouts->udp_sec);
}

void ipvs_print_daemon(const struct ipvs_print *p, const struct ipvs_daemon *daemon)
{
	const char *state = daemon->state == IP_VS_STATE_MASTER ? "master" : "backup";
	char group[ADDR_TEXT_MAX];

	fprintf(p->out,
		"%s sync daemon (mcast=%s, syncid=%u, maxlen=%u, group=%s, port=%u, ttl=%u)\n",
		state, daemon->ifname, daemon->sync_id, daemon->sync_maxlen,
		addr_format(&daemon->mcast_group, group), daemon->mcast_port, daemon->mcast_ttl);
}
