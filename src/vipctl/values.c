/* SPDX-License-Identifier: Apache-2.0 */
/* Values on the command line, read as ipvsadm reads them. */
#include <arpa/inet.h>
#include <errno.h>
#include <netdb.h>
#include <string.h>

#include "vipctl.h"

#define ADDRESS_TEXT_MAX 1100 /* a host's name (NI_MAXHOST), and a port's */

int value_number(const char *text, long min, long max, long *ret_number)
{
	char *end;

	errno = 0;
	*ret_number = strtol(text, &end, 10);
	if (errno || end == text || *end || *ret_number < min || *ret_number > max)
		return -EINVAL;
	return 0;
}

static int parse_port(const char *text, uint16_t proto, uint16_t *ret_port)
{
	const char *name = proto == IPPROTO_TCP ? "tcp" : proto == IPPROTO_UDP ? "udp" : "sctp";
	const struct servent *entry;
	long number;

	if (value_number(text, 0, UINT16_MAX, &number) == 0) {
		*ret_port = (uint16_t)number;
		return 0;
	}
	entry = getservbyname(text, name);
	if (!entry)
		return -EINVAL;
	*ret_port = ntohs((uint16_t)entry->s_port);
	return 0;
}

int value_address4(const struct vipctl_env *env, const char *text, struct ip_addr *ret_addr)
{
	struct in_addr in;

	if (!inet_aton(text, &in))
		return env->find_host(env->ctx, text, ret_addr) < 0 ? -EINVAL : 0;
	*ret_addr = addr_make(AF_INET, &in);
	return 0;
}

/* Cuts "[host]:port"; *ret_port stays NULL without brackets. */
static int cut_brackets(char **text, char **ret_port)
{
	char *end;

	if (**text != '[')
		return 0;
	end = strchr(*text, ']');
	if (!end || end[1] != ':')
		return -EINVAL;
	*end = '\0';
	*text += 1;
	*ret_port = end + 2;
	return 0;
}

/* A port behind brackets counts for an IPv6 address only, as in ipvsadm. */
int value_address(const struct vipctl_env *env, const char *text, uint16_t proto,
		  struct ip_addr *ret_addr, uint16_t *ret_port)
{
	char room[ADDRESS_TEXT_MAX], *host = room, *port = NULL;
	uint8_t bytes[16];

	if (strlen(text) >= sizeof(room) || text[strspn(text, "0123456789")] == '\0')
		return -EINVAL;
	strcpy(room, text);
	if (cut_brackets(&host, &port) < 0)
		return -EINVAL;
	if (inet_pton(AF_INET6, host, bytes) == 1) {
		*ret_addr = addr_make(AF_INET6, bytes);
	} else {
		port = strrchr(host, ':');
		if (port)
			*port++ = '\0';
		if (value_address4(env, host, ret_addr) < 0)
			return -EINVAL;
	}
	return port ? parse_port(port, proto, ret_port) : 0;
}
