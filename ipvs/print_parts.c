/* SPDX-License-Identifier: Apache-2.0 */
/* Parts of ipvsadm's output that several views show. */
#include <arpa/inet.h>
#include <string.h>
#include <linux/ip_vs.h>

#include "print_parts.h"

const char *ipvs_print_ap(const struct ipvs_names *names, const struct ip_addr *addr, uint16_t port,
			  uint16_t proto, char buf[IPVS_AP_MAX])
{
	char host[IPVS_AP_MAX], name[IPVS_AP_MAX];
	bool v6 = addr->family == AF_INET6;
	int n;

	if (!names || !names->host(names->ctx, addr, host, sizeof(host)))
		inet_ntop(v6 ? AF_INET6 : AF_INET, addr->bytes, host, sizeof(host));
	if (!names || !proto || !names->port(names->ctx, port, proto, name, sizeof(name)))
		snprintf(name, sizeof(name), "%u", port);
	n = snprintf(buf, IPVS_AP_MAX, v6 ? "[%s]:%s" : "%s:%s", host, name);
	(void)n; /* what does not fit is cut */
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
