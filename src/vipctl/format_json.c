/* SPDX-License-Identifier: Apache-2.0 */
/* -o json: all that the kernel tells of the subject, whatever the view, as one document whose
 * schema is docs/vipctl-json.md. Written as it is read, so that a long table costs no memory; that
 * is why no JSON library stands behind it: cJSON holds a document whole and its numbers in a
 * double. */
#include <arpa/inet.h>
#include <inttypes.h>
#include <string.h>
#include <linux/ip_vs.h>

#include "vipctl.h"

#define SCHEMA "vipctl/1"

/* ---- values ---- */

/* Bytes that are no ASCII come out as U+FFFD: a name of the kernel's or the resolver's need not be
 * UTF-8. */
static void put_string(FILE *out, const char *text)
{
	fputc('"', out);
	for (; *text; text++) {
		unsigned char c = (unsigned char)*text;

		if (c == '"' || c == '\\')
			fprintf(out, "\\%c", c);
		else if (c < 0x20 || c == 0x7f)
			fprintf(out, "\\u%04x", c);
		else if (c > 0x7f)
			fputs("\\ufffd", out);
		else
			fputc(c, out);
	}
	fputc('"', out);
}

/* Members of an object; `comma` is "" for its first. */
static void put_text(FILE *out, const char *comma, const char *name, const char *text)
{
	fprintf(out, "%s\"%s\":", comma, name);
	put_string(out, text);
}

static void put_uint(FILE *out, const char *comma, const char *name, uint64_t value)
{
	fprintf(out, "%s\"%s\":%" PRIu64, comma, name, value);
}

static void put_bool(FILE *out, const char *name, bool value)
{
	fprintf(out, ",\"%s\":%s", name, value ? "true" : "false");
}

static const char *family_word(int family)
{
	return family == AF_INET6 ? "IPv6" : "IPv4";
}

/* "address", "port", and their names where they are wanted and there are some. The names of the
 * members begin with `prefix`. */
static void put_end(struct report *r, const char *prefix, const struct ip_addr *addr, uint16_t port,
		    uint16_t proto)
{
	char text[ADDR_TEXT_MAX] = "", name[1025], member[40];
	FILE *out = r->out;

	inet_ntop(addr->family == AF_INET6 ? AF_INET6 : AF_INET, addr->bytes, text, sizeof(text));
	snprintf(member, sizeof(member), "%saddress", prefix);
	put_text(out, "", member, text);
	snprintf(member, sizeof(member), "%sport", prefix);
	put_uint(out, ",", member, port);
	if (r->names && r->names->host(r->names->ctx, addr, name, sizeof(name))) {
		snprintf(member, sizeof(member), "%shost_name", prefix);
		put_text(out, ",", member, name);
	}
	if (r->names && proto && r->names->port(r->names->ctx, port, proto, name, sizeof(name))) {
		snprintf(member, sizeof(member), "%sport_name", prefix);
		put_text(out, ",", member, name);
	}
}

static void put_stats(FILE *out, const struct ipvs_stats *s)
{
	fputs(",\"stats\":{", out);
	put_uint(out, "", "connections", s->conns);
	put_uint(out, ",", "packets_in", s->in_pkts);
	put_uint(out, ",", "packets_out", s->out_pkts);
	put_uint(out, ",", "bytes_in", s->in_bytes);
	put_uint(out, ",", "bytes_out", s->out_bytes);
	fputs("},\"rates\":{", out);
	put_uint(out, "", "connections", s->cps);
	put_uint(out, ",", "packets_in", s->in_pps);
	put_uint(out, ",", "packets_out", s->out_pps);
	put_uint(out, ",", "bytes_in", s->in_bps);
	put_uint(out, ",", "bytes_out", s->out_bps);
	fputc('}', out);
}

/* ---- services ---- */

static void put_protocol(FILE *out, uint16_t proto)
{
	const char *name = proto_name(proto > UINT8_MAX ? 0 : (uint8_t)proto);

	if (*name == '?')
		fprintf(out, ",\"protocol\":\"%u\",", proto);
	else
		fprintf(out, ",\"protocol\":\"%s\",", name);
}

static void put_sched_flags(FILE *out, const struct ipvs_service *svc)
{
	const char *comma = "";

	fputs(",\"scheduler_flags\":[", out);
	for (unsigned bit = 0; bit < 3; bit++) {
		const char *flag = ipvs_sched_flag(svc->sched, bit);

		if (!(svc->flags & (IP_VS_SVC_F_SCHED1 << bit)))
			continue;
		fputs(comma, out);
		put_string(out, *flag ? flag : "flag-3");
		comma = ",";
	}
	fputc(']', out);
}

static void put_persistence(FILE *out, const struct ipvs_service *svc)
{
	char mask[ADDR_TEXT_MAX];

	if (!(svc->flags & IP_VS_SVC_F_PERSISTENT))
		return;
	(void)ipvs_netmask_text(svc, mask);
	fputs(",\"persistence\":{", out);
	put_uint(out, "", "timeout_sec", svc->timeout_sec);
	if (svc->key.af == AF_INET6)
		put_uint(out, ",", "prefix_length", svc->netmask);
	else
		put_text(out, ",", "netmask", mask);
	fputc('}', out);
}

static const char *tunnel_word(uint8_t type)
{
	static const char *const words[] = {"ipip", "gue", "gre"};

	return type < ARRAY_SIZE(words) ? words[type] : "unknown";
}

static void put_tunnel(FILE *out, const struct ipvs_dest *dest)
{
	static const char *const csum[] = {"none", "checksum", "remote-checksum"};

	fputs(",\"tunnel\":{", out);
	put_text(out, "", "type", tunnel_word(dest->tun_type));
	if (dest->tun_type == IP_VS_CONN_F_TUNNEL_TYPE_GUE)
		put_uint(out, ",", "port", dest->tun_port);
	if (dest->tun_type != IP_VS_CONN_F_TUNNEL_TYPE_IPIP)
		put_text(out, ",", "checksum",
			 dest->tun_flags < ARRAY_SIZE(csum) ? csum[dest->tun_flags] : "unknown");
	fputc('}', out);
}

static void put_dest(struct report *r, const struct ipvs_dest *d, uint16_t proto)
{
	static const char *const methods[] = {"masquerade", "local", "tunnel", "route"};
	unsigned method = d->fwd & IP_VS_CONN_F_FWD_MASK;
	FILE *out = r->out;

	fputc('{', out);
	put_text(out, "", "family", family_word(d->addr.family));
	fputc(',', out);
	put_end(r, "", &d->addr, d->port, proto);
	put_text(out, ",", "forward", method < ARRAY_SIZE(methods) ? methods[method] : "unknown");
	if (method == IP_VS_CONN_F_TUNNEL)
		put_tunnel(out, d);
	put_uint(out, ",", "weight", d->weight);
	put_uint(out, ",", "upper_threshold", d->u_thresh);
	put_uint(out, ",", "lower_threshold", d->l_thresh);
	put_uint(out, ",", "active_connections", d->active_conns);
	put_uint(out, ",", "inactive_connections", d->inact_conns);
	put_uint(out, ",", "persistent_connections", d->persist_conns);
	put_stats(out, &d->stats);
	fputc('}', out);
}

static void put_key(struct report *r, const struct ipvs_key *key)
{
	put_text(r->out, "", "family", family_word(key->af));
	if (key->fwmark) {
		put_uint(r->out, ",", "fwmark", key->fwmark);
		return;
	}
	put_protocol(r->out, key->proto);
	put_end(r, "", &key->addr, key->port, key->proto);
}

static void json_service(struct report *r, const struct ipvs_service *svc,
			 const struct ipvs_dest *dests, size_t n)
{
	uint16_t proto = svc->key.fwmark ? 0 : svc->key.proto;
	FILE *out = r->out;

	fputs(r->n ? ",\n{" : "\n{", out);
	put_key(r, &svc->key);
	put_text(out, ",", "scheduler", svc->sched);
	put_sched_flags(out, svc);
	put_persistence(out, svc);
	if (svc->pe[0])
		put_text(out, ",", "persistence_engine", svc->pe);
	put_bool(out, "one_packet", svc->flags & IP_VS_SVC_F_ONEPACKET);
	put_stats(out, &svc->stats);
	fputs(",\"destinations\":[", out);
	for (size_t i = 0; i < n; i++) {
		fputs(i ? ",\n " : "\n ", out);
		put_dest(r, &dests[i], proto);
	}
	fputs("]}", out);
}

/* ---- the rest ---- */

static void json_conn(struct report *r, const struct ipvs_conn *conn)
{
	FILE *out = r->out;

	fputs(r->n ? ",\n{" : "\n{", out);
	put_text(out, "", "protocol", conn->proto);
	put_text(out, ",", "state", conn->state);
	put_uint(out, ",", "expires_sec", conn->expires_sec);
	fputc(',', out);
	put_end(r, "client_", &conn->client, conn->client_port, conn->proto_number);
	fputc(',', out);
	put_end(r, "virtual_", &conn->vip, conn->vip_port, conn->proto_number);
	fputc(',', out);
	put_end(r, "destination_", &conn->dest, conn->dest_port, conn->proto_number);
	if (conn->pe[0]) {
		put_text(out, ",", "persistence_engine", conn->pe);
		put_text(out, ",", "persistence_data", conn->pe_data);
	}
	fputc('}', out);
}

static void json_timeouts(struct report *r, const struct ipvs_timeouts *timeouts)
{
	put_uint(r->out, "", "tcp_sec", timeouts->tcp_sec);
	put_uint(r->out, ",", "tcp_fin_sec", timeouts->tcp_fin_sec);
	put_uint(r->out, ",", "udp_sec", timeouts->udp_sec);
}

static void json_daemon(struct report *r, const struct ipvs_daemon *daemon)
{
	char group[ADDR_TEXT_MAX];
	FILE *out = r->out;

	fputs(r->n ? ",\n{" : "\n{", out);
	put_text(out, "", "state", daemon->state == IP_VS_STATE_MASTER ? "master" : "backup");
	put_text(out, ",", "interface", daemon->ifname);
	put_uint(out, ",", "sync_id", daemon->sync_id);
	put_uint(out, ",", "max_length_bytes", daemon->sync_maxlen);
	if (addr_is_set(&daemon->mcast_group))
		put_text(out, ",", "group", addr_format(&daemon->mcast_group, group));
	put_uint(out, ",", "port", daemon->mcast_port);
	put_uint(out, ",", "ttl", daemon->mcast_ttl);
	fputc('}', out);
}

static const char *subject_member(enum subject subject)
{
	static const char *const names[] = {[SUBJECT_TABLE] = "services",
					    [SUBJECT_CONNS] = "connections",
					    [SUBJECT_TIMEOUTS] = "timeouts",
					    [SUBJECT_DAEMONS] = "daemons"};

	return names[subject];
}

static void json_begin(struct report *r)
{
	uint32_t version = r->info.version;

	fprintf(r->out,
		"{\"schema\":\"" SCHEMA "\",\"ipvs\":{\"version\":\"%u.%u.%u\","
		"\"connection_table_size\":%u},\n\"%s\":%c",
		version >> 16 & 0xff, version >> 8 & 0xff, version & 0xff, r->info.conn_tab_size,
		subject_member(r->request->subject),
		r->request->subject == SUBJECT_TIMEOUTS ? '{' : '[');
}

/* After a failure, too: then the document stays open, so that nobody takes it for whole. */
static int json_end(struct report *r, bool whole)
{
	if (whole)
		fputs(r->request->subject == SUBJECT_TIMEOUTS ? "}}\n" : "]}\n", r->out);
	return 0;
}

const struct format format_json = {.name = "json",
				   .begin = json_begin,
				   .service = json_service,
				   .conn = json_conn,
				   .timeouts = json_timeouts,
				   .daemon = json_daemon,
				   .end = json_end};
