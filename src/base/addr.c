/* SPDX-License-Identifier: Apache-2.0 */
#include <arpa/inet.h>
#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "addr.h"

/* Four decimal octets; leading zeros are decimal, not octal (net.ParseIPSloppy in k8s.io/utils). */
static int parse_ipv4(const char *text, uint8_t bytes[4])
{
	for (int i = 0; i < 4; i++) {
		unsigned value = 0, digits = 0;

		for (; isdigit((unsigned char)*text); text++, digits++) {
			value = value * 10 + (unsigned)(*text - '0');
			if (value > 255)
				return -EINVAL;
		}
		if (!digits || *text != (i < 3 ? '.' : '\0'))
			return -EINVAL;
		bytes[i] = (uint8_t)value;
		text++;
	}
	return 0;
}

struct ip_addr addr_make(int family, const void *bytes)
{
	struct ip_addr addr = {.family = (uint8_t)family};

	memcpy(addr.bytes, bytes, family == AF_INET ? 4 : 16);
	return addr;
}

int addr_parse(const char *text, struct ip_addr *ret_addr)
{
	static const uint8_t mapped[12] = {[10] = 0xff, [11] = 0xff};
	uint8_t bytes[16];

	if (!strchr(text, ':')) {
		if (parse_ipv4(text, bytes) < 0)
			return -EINVAL;
		*ret_addr = addr_make(AF_INET, bytes);
		return 0;
	}
	if (inet_pton(AF_INET6, text, bytes) != 1)
		return -EINVAL;
	/* ::ffff:a.b.c.d is the IPv4 address, as Go's net package has it */
	if (memcmp(bytes, mapped, sizeof(mapped)) == 0)
		*ret_addr = addr_make(AF_INET, bytes + 12);
	else
		*ret_addr = addr_make(AF_INET6, bytes);
	return 0;
}

int prefix_parse(const char *text, struct ip_prefix *ret_prefix)
{
	char addr_text[ADDR_TEXT_MAX];
	const char *slash = strchr(text, '/');
	struct ip_prefix prefix;
	unsigned len = 0;

	if (!slash || (size_t)(slash - text) >= sizeof(addr_text))
		return -EINVAL;
	memcpy(addr_text, text, (size_t)(slash - text));
	addr_text[slash - text] = '\0';
	if (addr_parse(addr_text, &prefix.addr) < 0)
		return -EINVAL;
	if (!isdigit((unsigned char)slash[1]) || strlen(slash + 1) > 3)
		return -EINVAL;
	for (const char *p = slash + 1; *p; p++) {
		if (!isdigit((unsigned char)*p))
			return -EINVAL;
		len = len * 10 + (unsigned)(*p - '0');
	}
	if (len > 8 * addr_len(&prefix.addr))
		return -EINVAL;
	prefix.len = (uint8_t)len;
	for (unsigned bit = len; bit < 8 * addr_len(&prefix.addr); bit++)
		prefix.addr.bytes[bit / 8] &= (uint8_t) ~(0x80 >> (bit % 8));
	*ret_prefix = prefix;
	return 0;
}

int addr_cmp(const struct ip_addr *a, const struct ip_addr *b)
{
	if (a->family != b->family)
		return a->family < b->family ? -1 : 1;
	return memcmp(a->bytes, b->bytes, sizeof(a->bytes));
}

bool addr_equal(const struct ip_addr *a, const struct ip_addr *b)
{
	return addr_cmp(a, b) == 0;
}

bool prefix_contains(const struct ip_prefix *prefix, const struct ip_addr *addr)
{
	unsigned whole = prefix->len / 8, rest = prefix->len % 8;

	if (prefix->addr.family != addr->family ||
	    memcmp(prefix->addr.bytes, addr->bytes, whole) != 0)
		return false;
	return !rest || !((prefix->addr.bytes[whole] ^ addr->bytes[whole]) >> (8 - rest));
}

const char *addr_unusable(const struct ip_addr *addr)
{
	static const uint8_t zero[16], loop6[16] = {[15] = 1};
	const uint8_t *b = addr->bytes;

	if (memcmp(b, zero, sizeof(zero)) == 0)
		return "unspecified";
	if (addr->family == AF_INET) {
		if (b[0] == 127)
			return "loopback";
		if (b[0] >= 224 && b[0] < 240)
			return "multicast";
		if (b[0] == 169 && b[1] == 254)
			return "link-local";
		return memcmp(b, "\xff\xff\xff\xff", 4) == 0 ? "broadcast" : NULL;
	}
	if (memcmp(b, loop6, sizeof(loop6)) == 0)
		return "loopback";
	if (b[0] == 0xff)
		return "multicast";
	return b[0] == 0xfe && (b[1] & 0xc0) == 0x80 ? "link-local" : NULL;
}

/* As inet_ntop(), which prints by sprintf() and takes five times as long. */
static const char *format_v4(const uint8_t *bytes, char *buf)
{
	char *at = buf;

	for (int i = 0; i < 4; i++) {
		unsigned value = bytes[i];

		if (value >= 100)
			*at++ = (char)('0' + value / 100);
		if (value >= 10)
			*at++ = (char)('0' + value / 10 % 10);
		*at++ = (char)('0' + value % 10);
		*at++ = i < 3 ? '.' : '\0';
	}
	return buf;
}

const char *addr_format(const struct ip_addr *addr, char buf[ADDR_TEXT_MAX])
{
	if (addr->family == AF_INET)
		return format_v4(addr->bytes, buf);
	if (!addr_is_set(addr) || !inet_ntop(addr->family, addr->bytes, buf, ADDR_TEXT_MAX))
		snprintf(buf, ADDR_TEXT_MAX, "none");
	return buf;
}

const char *prefix_format(const struct ip_prefix *prefix, char buf[PREFIX_TEXT_MAX])
{
	char text[ADDR_TEXT_MAX];

	snprintf(buf, PREFIX_TEXT_MAX, "%s/%u", addr_format(&prefix->addr, text), prefix->len);
	return buf;
}

const char *addr_port_format(const struct ip_addr *addr, uint16_t port,
			     char buf[ADDR_PORT_TEXT_MAX])
{
	char text[ADDR_TEXT_MAX];
	bool v6 = addr->family == AF_INET6;

	addr_format(addr, text);
	snprintf(buf, ADDR_PORT_TEXT_MAX, "%s%s%s:%u", v6 ? "[" : "", text, v6 ? "]" : "", port);
	return buf;
}

static const struct {
	const char *name;
	uint8_t proto;
} protos[] = {{"TCP", IPPROTO_TCP}, {"UDP", IPPROTO_UDP}, {"SCTP", IPPROTO_SCTP}};

const char *proto_name(uint8_t proto)
{
	for (size_t i = 0; i < ARRAY_SIZE(protos); i++)
		if (protos[i].proto == proto)
			return protos[i].name;
	return "?";
}

uint8_t proto_parse(const char *name)
{
	for (size_t i = 0; i < ARRAY_SIZE(protos); i++)
		if (strcmp(protos[i].name, name) == 0)
			return protos[i].proto;
	return 0;
}
