/* SPDX-License-Identifier: Apache-2.0 */
/* Lines of /proc/net/ip_vs_conn, which is the only place where the kernel lists connections:
 * addresses and ports in hexadecimal (net/netfilter/ipvs/ip_vs_conn.c, ip_vs_conn_seq_show). */
#include <arpa/inet.h>
#include <errno.h>
#include <string.h>

#include "ipvs_reader.h"

/* The next word of `*text`, cut off with a NUL; "" at the end. */
static char *next_word(char **text)
{
	static const char blanks[] = " \t\r\n";
	char *word = *text + strspn(*text, blanks);
	char *end = word + strcspn(word, blanks);

	*text = *end ? end + 1 : end;
	*end = '\0';
	return word;
}

/* A whole word as a number of at most `max`. */
static int parse_number(const char *word, int base, unsigned long max, unsigned long *ret_number)
{
	char *end;

	*ret_number = strtoul(word, &end, base);
	return end == word || *end || *ret_number > max || *word == '-' ? -EBADMSG : 0;
}

/* Eight hex digits, or an IPv6 address in full. */
static int parse_addr(const char *word, struct ip_addr *ret_addr)
{
	uint8_t bytes[16];
	unsigned long number;
	uint32_t number_be;

	if (inet_pton(AF_INET6, word, bytes) == 1) {
		*ret_addr = addr_make(AF_INET6, bytes);
		return 0;
	}
	if (parse_number(word, 16, UINT32_MAX, &number) < 0)
		return -EBADMSG;
	number_be = htonl((uint32_t)number);
	*ret_addr = addr_make(AF_INET, &number_be);
	return 0;
}

static int parse_end(char **text, struct ip_addr *ret_addr, uint16_t *ret_port)
{
	unsigned long port = 0;
	int rc = parse_addr(next_word(text), ret_addr);

	if (rc == 0)
		rc = parse_number(next_word(text), 16, UINT16_MAX, &port);
	*ret_port = (uint16_t)port;
	return rc;
}

static uint16_t proto_number(const char *word)
{
	if (strcmp(word, "TCP") == 0)
		return IPPROTO_TCP;
	if (strcmp(word, "UDP") == 0)
		return IPPROTO_UDP;
	return strcmp(word, "SCTP") == 0 ? IPPROTO_SCTP : 0;
}

/* Words are cut to their room: the kernel's are shorter. */
static void copy_word(char *room, size_t size, const char *word)
{
	snprintf(room, size, "%s", word);
}

int ipvs_conn_parse(char *line, struct ipvs_conn *ret_conn)
{
	struct ipvs_conn *conn = ret_conn;
	unsigned long expires;

	memset(conn, 0, sizeof(*conn));
	copy_word(conn->proto, sizeof(conn->proto), next_word(&line));
	conn->proto_number = proto_number(conn->proto);
	if (parse_end(&line, &conn->client, &conn->client_port) < 0 ||
	    parse_end(&line, &conn->vip, &conn->vip_port) < 0 ||
	    parse_end(&line, &conn->dest, &conn->dest_port) < 0)
		return -EBADMSG;
	copy_word(conn->state, sizeof(conn->state), next_word(&line));
	if (parse_number(next_word(&line), 10, UINT32_MAX, &expires) < 0)
		return -EBADMSG;
	conn->expires_sec = (uint32_t)expires;
	copy_word(conn->pe, sizeof(conn->pe), next_word(&line));
	conn->pe_data = next_word(&line);
	return 0;
}
