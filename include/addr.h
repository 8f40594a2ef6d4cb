/* SPDX-License-Identifier: Apache-2.0 */
/* IP addresses and prefixes as values: parsed, printed, compared. Network byte order inside. */
#ifndef VIPD_ADDR_H
#define VIPD_ADDR_H

#include <stdbool.h>
#include <stdint.h>
#include <netinet/in.h>

#include "util.h"

/* All bytes count in comparisons and hashes: the unused ones are 0. */
struct ip_addr {
	uint8_t family; /* AF_INET, AF_INET6; 0 = no address */
	uint8_t pad_[3];
	uint8_t bytes[16]; /* network order; IPv4 in the first 4, the rest 0 */
};

struct ip_prefix {
	struct ip_addr addr; /* host bits 0 */
	uint8_t len;
};

/* Both ends are in it; first 0 = no range. */
struct port_range {
	uint16_t first, last;
};

#define ADDR_TEXT_MAX      INET6_ADDRSTRLEN /* "…" with NUL */
#define PREFIX_TEXT_MAX    (ADDR_TEXT_MAX + 4)
#define ADDR_PORT_TEXT_MAX (ADDR_TEXT_MAX + 8) /* "[…]:65535" */

/* An address in text. IPv4 octets with leading zeros are read as decimal, as Kubernetes reads what
 * is stored already (net.ParseIPSloppy); no zone, no blanks. -EINVAL if it is none. */
int addr_parse(const char *text, struct ip_addr *ret_addr);
/* "10.0.0.0/8"; host bits are cleared. A bare address is refused. -EINVAL. */
int prefix_parse(const char *text, struct ip_prefix *ret_prefix);

/* `bytes` holds 4 or 16 bytes by family. */
struct ip_addr addr_make(int family, const void *bytes);
static inline unsigned addr_len(const struct ip_addr *addr)
{
	return addr->family == AF_INET ? 4 : 16;
}
static inline bool addr_is_set(const struct ip_addr *addr)
{
	return addr->family != 0;
}

/* Total order: family, then bytes. */
int addr_cmp(const struct ip_addr *a, const struct ip_addr *b);
bool addr_equal(const struct ip_addr *a, const struct ip_addr *b);
bool prefix_contains(const struct ip_prefix *prefix, const struct ip_addr *addr);

/* The kind of address a Service or endpoint can never have: unspecified, loopback, multicast,
 * link-local; NULL if it is none of these. */
const char *addr_unusable(const struct ip_addr *addr);

/* Canonical text into `buf`; return `buf`. */
const char *addr_format(const struct ip_addr *addr, char buf[ADDR_TEXT_MAX]);
const char *prefix_format(const struct ip_prefix *prefix, char buf[PREFIX_TEXT_MAX]);
/* "10.0.0.1:80", "[fd00::1]:80" */
const char *addr_port_format(const struct ip_addr *addr, uint16_t port,
			     char buf[ADDR_PORT_TEXT_MAX]);

/* "TCP", "UDP", "SCTP"; "?" for others. And back: 0 if unknown. */
const char *proto_name(uint8_t proto);
uint8_t proto_parse(const char *name);

#endif
