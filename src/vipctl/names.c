/* SPDX-License-Identifier: Apache-2.0 */
/* Names by the system's resolver, asked as ipvsadm asks it: /etc/hosts, DNS, /etc/services. */
#include <arpa/inet.h>
#include <errno.h>
#include <netdb.h>

#include "vipctl.h"

static bool take_name(const char *name, char *buf, size_t size)
{
	int n = snprintf(buf, size, "%s", name);

	(void)n; /* what does not fit is cut */
	return true;
}

static bool system_host(void *ctx, const struct ip_addr *addr, char *buf, size_t size)
{
	const struct hostent *entry = gethostbyaddr(addr->bytes, addr_len(addr), addr->family);

	(void)ctx;
	return entry && take_name(entry->h_name, buf, size);
}

static bool system_port(void *ctx, uint16_t port, uint16_t proto, char *buf, size_t size)
{
	const char *name = proto == IPPROTO_TCP    ? "tcp"
			   : proto == IPPROTO_UDP  ? "udp"
			   : proto == IPPROTO_SCTP ? "sctp"
						   : NULL;
	const struct servent *entry = name ? getservbyport(htons(port), name) : NULL;

	(void)ctx;
	return entry && take_name(entry->s_name, buf, size);
}

int names_find_host(void *ctx, const char *name, struct ip_addr *ret_addr)
{
	const struct hostent *entry = gethostbyname(name);

	(void)ctx;
	if (!entry || entry->h_addrtype != AF_INET || !entry->h_addr_list[0])
		return -ENOENT;
	*ret_addr = addr_make(AF_INET, entry->h_addr_list[0]);
	return 0;
}

const struct ipvs_names names_system = {.host = system_host, .port = system_port};
