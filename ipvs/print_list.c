/* SPDX-License-Identifier: Apache-2.0 */
/* The lists: ipvsadm -L with what it can be told to show. Widths and quirks were measured against
 * ipvsadm 1.31 (test/golden/ipvsadm); a number that is too wide pushes the rest to the right. */
#include <linux/ip_vs.h>

#include "print_line.h"
#include "print_parts.h"

#define HEAD_WIDTH 33 /* of the first column, with "  -> " */

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

/* With --exact in full, else shortened to nine characters. */
static void put_number(const struct ipvs_print *p, struct line *l, uint64_t value)
{
	static const struct {
		uint64_t below, unit;
		char letter;
	} steps[] = {{1000000000, 1000, 'K'},
		     {100000000000, 1000000, 'M'},
		     {100000000000000, 1000000000, 'G'},
		     {UINT64_MAX, 1000000000000, 'T'}};
	size_t i = 0;

	if (p->exact || value < 100000000) {
		line_char(l, ' ');
		line_uint_right(l, value, 8);
		return;
	}
	while (i < ARRAY_SIZE(steps) - 1 && value >= steps[i].below)
		i++;
	line_uint_right(l, value / steps[i].unit, 8);
	line_char(l, steps[i].letter);
}

static void put_numbers(const struct ipvs_print *p, struct line *l, const uint64_t values[5])
{
	for (int i = 0; i < 5; i++)
		put_number(p, l, values[i]);
}

/* ---- a service ---- */

static const char *proto_word(uint16_t proto)
{
	return proto_name(proto > UINT8_MAX ? 0 : (uint8_t)proto);
}

/* "TCP  10.0.0.1:80"; what is not IPv6 is cut to 33 characters. */
static void put_head(const struct ipvs_print *p, struct line *l, const struct ipvs_key *key)
{
	char ap[IPVS_AP_MAX];

	if (key->fwmark) {
		line_text(l, "FWM  ");
		line_int(l, (int32_t)key->fwmark);
		line_text(l, key->af == AF_INET6 ? " IPv6" : "");
		return;
	}
	line_left(l, proto_word(key->proto), 4);
	line_char(l, ' ');
	line_text(l, ipvs_print_ap(p->names, &key->addr, key->port, key->proto, ap));
	if (key->af != AF_INET6 && l->len > HEAD_WIDTH)
		l->len = HEAD_WIDTH;
}

static void put_service_flags(struct line *l, const struct ipvs_service *svc)
{
	char flags[PRINT_FLAGS_MAX], mask[ADDR_TEXT_MAX];

	if (print_sched_flags(svc, flags)) {
		line_text(l, " (");
		line_text(l, flags);
		line_char(l, ')');
	}
	if (svc->flags & IP_VS_SVC_F_PERSISTENT) {
		line_text(l, " persistent ");
		line_uint(l, svc->timeout_sec);
		if (ipvs_netmask_text(svc, mask)) {
			line_text(l, " mask ");
			line_text(l, mask);
		}
		if (svc->pe[0]) {
			line_text(l, " pe ");
			line_text(l, svc->pe);
		}
	}
	if (svc->flags & IP_VS_SVC_F_ONEPACKET)
		line_text(l, " ops");
}

static void put_service(const struct ipvs_print *p, struct line *l, const struct ipvs_service *svc)
{
	const struct ipvs_stats *s = &svc->stats;

	put_head(p, l, &svc->key);
	switch (p->view) {
	case IPVS_VIEW_STATS:
		line_blanks(l, l->len < HEAD_WIDTH ? HEAD_WIDTH - l->len : 0);
		put_numbers(
			p, l,
			(uint64_t[]){s->conns, s->in_pkts, s->out_pkts, s->in_bytes, s->out_bytes});
		break;
	case IPVS_VIEW_RATE:
		line_blanks(l, l->len < HEAD_WIDTH ? HEAD_WIDTH - l->len : 0);
		put_numbers(p, l,
			    (uint64_t[]){s->cps, s->in_pps, s->out_pps, s->in_bps, s->out_bps});
		break;
	case IPVS_VIEW_TABLE:
	case IPVS_VIEW_TUNNEL:
	case IPVS_VIEW_THRESHOLDS:
	case IPVS_VIEW_PERSISTENT:
		line_char(l, ' ');
		line_text(l, svc->sched);
		put_service_flags(l, svc);
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

static void put_tunnel(struct line *l, const struct ipvs_dest *dest)
{
	const char *csum = csum_word(dest->tun_flags);
	char text[32] = "n/a";

	if ((dest->fwd & IP_VS_CONN_F_FWD_MASK) == IP_VS_CONN_F_TUNNEL) {
		if (dest->tun_type == IP_VS_CONN_F_TUNNEL_TYPE_IPIP)
			snprintf(text, sizeof(text), "ipip");
		else if (dest->tun_type == IP_VS_CONN_F_TUNNEL_TYPE_GUE)
			snprintf(text, sizeof(text), "gue:%u:%s", dest->tun_port, csum);
		else if (dest->tun_type == IP_VS_CONN_F_TUNNEL_TYPE_GRE)
			snprintf(text, sizeof(text), "gre:%s", csum);
	}
	line_left(l, text, 13);
	line_char(l, ' ');
}

/* ipvsadm reads these of a destination with the routine for 32-bit numbers. */
static uint32_t low(uint64_t value)
{
	return (uint32_t)value;
}

static void put_rates(const struct ipvs_print *p, struct line *l, const struct ipvs_stats *s)
{
	const uint32_t plain[] = {low(s->cps), low(s->in_pps), low(s->out_pps)};

	for (size_t i = 0; i < ARRAY_SIZE(plain); i++) {
		line_char(l, ' ');
		line_uint_right(l, plain[i], 8);
	}
	put_number(p, l, low(s->in_bps));
	put_number(p, l, low(s->out_bps));
}

/* A number in a column of its own; `width` 0: the last. */
static void put_column(struct line *l, uint32_t value, size_t width)
{
	line_char(l, ' ');
	line_uint_left(l, value, width);
}

static void put_counts(struct line *l, const struct ipvs_dest *dest)
{
	put_column(l, dest->active_conns, 10);
	put_column(l, dest->inact_conns, 10);
}

static void put_forward(const struct ipvs_print *p, struct line *l, const struct ipvs_dest *dest)
{
	line_char(l, ' ');
	line_left(l, forward_word(dest->fwd), 7);
	line_char(l, ' ');
	if (p->view == IPVS_VIEW_TUNNEL)
		put_tunnel(l, dest);
	line_int_left(l, (int32_t)dest->weight, 6);
	put_counts(l, dest);
}

static void put_dest(const struct ipvs_print *p, struct line *l, const struct ipvs_dest *d,
		     uint16_t proto)
{
	const struct ipvs_stats *s = &d->stats;
	char ap[IPVS_AP_MAX];

	line_text(l, "  -> ");
	line_left(l, ipvs_print_ap(p->names, &d->addr, d->port, proto, ap), HEAD_WIDTH - l->len);
	if (d->addr.family != AF_INET6)
		l->len = HEAD_WIDTH;
	switch (p->view) {
	case IPVS_VIEW_TABLE:
	case IPVS_VIEW_TUNNEL:
		put_forward(p, l, d);
		break;
	case IPVS_VIEW_THRESHOLDS:
		put_column(l, d->u_thresh, 10);
		put_column(l, d->l_thresh, 10);
		put_counts(l, d);
		break;
	case IPVS_VIEW_PERSISTENT:
		put_column(l, d->weight, 9);
		put_column(l, d->persist_conns, 11);
		put_counts(l, d);
		break;
	case IPVS_VIEW_STATS:
		put_numbers(p, l,
			    (uint64_t[]){low(s->conns), low(s->in_pkts), low(s->out_pkts),
					 s->in_bytes, s->out_bytes});
		break;
	case IPVS_VIEW_RATE:
		put_rates(p, l, s);
		break;
	}
}

void ipvs_print_service(const struct ipvs_print *p, const struct ipvs_service *svc,
			const struct ipvs_dest *dests, size_t n)
{
	char text[PRINT_LINE_MAX];
	struct line l = {.text = text, .room = sizeof(text)};

	put_service(p, &l, svc);
	line_end(&l, p->out);
	for (size_t i = 0; i < n; i++) {
		put_dest(p, &l, &dests[i], print_port_proto(&svc->key));
		line_end(&l, p->out);
	}
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
