/* SPDX-License-Identifier: Apache-2.0 */
/* Parts of ipvsadm's output that several views show. */
#include <arpa/inet.h>
#include <string.h>
#include <linux/ip_vs.h>

#include "print_line.h"
#include "print_parts.h"

static void put_host(struct line *l, const struct ipvs_names *names, const struct ip_addr *addr)
{
	char text[IPVS_AP_MAX];

	if (names && names->host(names->ctx, addr, text, sizeof(text))) {
		line_text(l, text);
	} else if (addr->family == AF_INET6) {
		line_text(l, inet_ntop(AF_INET6, addr->bytes, text, sizeof(text)));
	} else {
		for (int i = 0; i < 4; i++) {
			if (i)
				line_char(l, '.');
			line_uint(l, addr->bytes[i]);
		}
	}
}

const char *ipvs_print_ap(const struct ipvs_names *names, const struct ip_addr *addr, uint16_t port,
			  uint16_t proto, char buf[IPVS_AP_MAX])
{
	struct line l = {.text = buf, .room = IPVS_AP_MAX - 1};
	bool v6 = addr->family == AF_INET6;
	char name[IPVS_AP_MAX];

	if (v6)
		line_char(&l, '[');
	put_host(&l, names, addr);
	line_text(&l, v6 ? "]:" : ":");
	if (names && proto && names->port(names->ctx, port, proto, name, sizeof(name)))
		line_text(&l, name);
	else
		line_uint(&l, port);
	buf[l.len] = '\0';
	return buf;
}

uint16_t print_port_proto(const struct ipvs_key *key)
{
	return key->fwmark ? 0 : key->proto;
}

const char *ipvs_sched_flag(const char *sched, unsigned bit)
{
	static const char *const sh[] = {"sh-fallback", "sh-port", ""};
	static const char *const mh[] = {"mh-fallback", "mh-port", ""};
	static const char *const any[] = {"flag-1", "flag-2", "flag-3"};

	if (strcmp(sched, "sh") == 0)
		return sh[bit];
	return strcmp(sched, "mh") == 0 ? mh[bit] : any[bit];
}

bool print_sched_flags(const struct ipvs_service *svc, char buf[PRINT_FLAGS_MAX])
{
	size_t len = 0;

	buf[0] = '\0';
	for (unsigned bit = 0; bit < 3; bit++) {
		const char *flag = ipvs_sched_flag(svc->sched, bit);

		if ((svc->flags & (IP_VS_SVC_F_SCHED1 << bit)) && *flag)
			len += (size_t)snprintf(buf + len, PRINT_FLAGS_MAX - len, "%s%s",
						len ? "," : "", flag);
	}
	return svc->flags & (IP_VS_SVC_F_SCHED1 | IP_VS_SVC_F_SCHED2 | IP_VS_SVC_F_SCHED3);
}

bool ipvs_netmask_text(const struct ipvs_service *svc, char buf[ADDR_TEXT_MAX])
{
	if (svc->key.af == AF_INET6) {
		snprintf(buf, ADDR_TEXT_MAX, "%u", svc->netmask);
		return svc->netmask != 128;
	}
	inet_ntop(AF_INET, &svc->netmask, buf, ADDR_TEXT_MAX);
	return svc->netmask != UINT32_MAX;
}
