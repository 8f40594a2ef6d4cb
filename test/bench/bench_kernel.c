/* SPDX-License-Identifier: Apache-2.0 */
/* What the measurements need of the kernel, without the daemon's code between:
 *
 *   bench_kernel replay FILE   sends recorded datagrams, as fast as the kernel takes them
 *   bench_kernel changes       for each line "TEMPORARY FILE VIP PORT ADDR ADDR-PORT" of stdin:
 *                              renames TEMPORARY to FILE and waits until the virtual server has
 *                              that real server; prints how many microseconds that took
 *
 * Must not link the netlink layer that is measured. IPv4 and TCP only. A record of FILE is a u32
 * netlink protocol, a u32 length, then one datagram (recording.py). */
#include <arpa/inet.h>
#include <errno.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>
#include <linux/genetlink.h>
#include <linux/ip_vs.h>
#include <linux/netlink.h>

#define PROTOCOLS   32
#define POLL_NS     100000
#define PATIENCE_US 5000000

static uint8_t rx[256 * 1024] __attribute__((aligned(8)));

__attribute__((noreturn)) static void die(const char *what)
{
	fprintf(stderr, "bench_kernel: %s: %s\n", what, errno ? strerror(errno) : "not understood");
	exit(1);
}

static uint64_t now_us(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * 1000000 + (uint64_t)now.tv_nsec / 1000;
}

static int open_netlink(int protocol)
{
	struct sockaddr_nl local = {.nl_family = AF_NETLINK};
	int fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, protocol), size = 4 << 20;

	if (fd < 0 || bind(fd, (struct sockaddr *)&local, sizeof(local)) < 0 ||
	    setsockopt(fd, SOL_SOCKET, SO_SNDBUFFORCE, &size, sizeof(size)) < 0 ||
	    setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &size, sizeof(size)) < 0)
		die("netlink");
	return fd;
}

static void send_datagram(int fd, const void *data, size_t len)
{
	struct sockaddr_nl kernel = {.nl_family = AF_NETLINK};

	if (sendto(fd, data, len, 0, (struct sockaddr *)&kernel, sizeof(kernel)) != (ssize_t)len)
		die("sendto");
}

/* ---- replay ---- */

struct replay {
	int fds[PROTOCOLS];
	size_t datagrams, acks, errors;
};

static uint8_t *load(const char *path, size_t *ret_len)
{
	FILE *in = fopen(path, "rb");
	uint8_t *data;
	long len;

	if (!in || fseek(in, 0, SEEK_END) != 0 || (len = ftell(in)) < 0)
		die(path);
	rewind(in);
	data = malloc((size_t)len + 1);
	if (!data || fread(data, 1, (size_t)len, in) != (size_t)len)
		die(path);
	fclose(in);
	*ret_len = (size_t)len;
	return data;
}

/* All answers are there when sendto() returns. */
static void take_answers(struct replay *replay, int fd)
{
	ssize_t n;

	while ((n = recv(fd, rx, sizeof(rx), MSG_DONTWAIT)) > 0) {
		for (size_t at = 0; at + sizeof(struct nlmsgerr) <= (size_t)n;) {
			const struct nlmsghdr *head = (const void *)(rx + at);
			const struct nlmsgerr *answer = (const void *)(head + 1);
			bool is_error = head->nlmsg_type == NLMSG_ERROR;

			replay->errors += is_error && answer->error;
			replay->acks += is_error && !answer->error;
			at += NLMSG_ALIGN(head->nlmsg_len);
		}
	}
}

static void replay_all(struct replay *replay, const uint8_t *data, size_t len)
{
	uint32_t head[2];

	for (size_t at = 0; at + sizeof(head) <= len; at += sizeof(head) + head[1]) {
		memcpy(head, data + at, sizeof(head));
		if (head[0] >= PROTOCOLS || head[1] > len - at - sizeof(head))
			die("record");
		if (!replay->fds[head[0]])
			replay->fds[head[0]] = open_netlink((int)head[0]);
		send_datagram(replay->fds[head[0]], data + at + sizeof(head), head[1]);
		take_answers(replay, replay->fds[head[0]]);
		replay->datagrams++;
	}
}

static int replay(const char *path)
{
	struct replay state = {0};
	uint64_t start_us;
	size_t len;
	uint8_t *data = load(path, &len);

	start_us = now_us();
	replay_all(&state, data, len);
	printf("us=%llu datagrams=%zu acks=%zu errors=%zu\n",
	       (unsigned long long)(now_us() - start_us), state.datagrams, state.acks,
	       state.errors);
	free(data);
	return state.errors || state.acks < state.datagrams;
}

/* ---- changes ---- */

struct change {
	char temporary[256], file[256];
	struct in_addr vip, addr;
	uint16_t port_be, addr_port_be;
};

static struct nlattr *put(struct nlmsghdr *head, uint16_t type, const void *data, size_t len)
{
	uint8_t *end = (uint8_t *)head + NLMSG_ALIGN(head->nlmsg_len);
	struct nlattr *attr = (struct nlattr *)(void *)end;

	attr->nla_type = type;
	attr->nla_len = (uint16_t)(NLA_HDRLEN + len);
	if (len)
		memcpy(end + NLA_HDRLEN, data, len);
	head->nlmsg_len = (uint32_t)(end - (uint8_t *)head) + NLA_ALIGN(attr->nla_len);
	return attr;
}

static struct nlmsghdr *begin(void *buffer, uint16_t type, uint16_t flags, uint8_t cmd)
{
	struct nlmsghdr *head = buffer;
	struct genlmsghdr *genl = (struct genlmsghdr *)(head + 1);

	*head = (struct nlmsghdr){.nlmsg_len = NLMSG_HDRLEN + GENL_HDRLEN,
				  .nlmsg_type = type,
				  .nlmsg_flags = (uint16_t)(NLM_F_REQUEST | flags)};
	*genl = (struct genlmsghdr){.cmd = cmd, .version = 1};
	return head;
}

/* The first attribute of a family's answer is its name, the second its id (net/netlink/genetlink.c,
 * ctrl_fill_info). */
static uint16_t ipvs_family(int fd)
{
	uint8_t buffer[256] __attribute__((aligned(8)));
	struct nlmsghdr *head = begin(buffer, GENL_ID_CTRL, 0, CTRL_CMD_GETFAMILY);
	ssize_t n;

	put(head, CTRL_ATTR_FAMILY_NAME, IPVS_GENL_NAME, sizeof(IPVS_GENL_NAME));
	send_datagram(fd, head, head->nlmsg_len);
	n = recv(fd, rx, sizeof(rx), 0);
	for (size_t at = NLMSG_HDRLEN + GENL_HDRLEN; n > 0 && at + NLA_HDRLEN + 2 <= (size_t)n;) {
		const struct nlattr *attr = (const void *)(rx + at);

		if (attr->nla_type == CTRL_ATTR_FAMILY_ID)
			return *(const uint16_t *)(const void *)(attr + 1);
		at += NLA_ALIGN(attr->nla_len);
	}
	die("no IPVS");
}

static void ask_dests(int fd, uint16_t family, const struct change *change)
{
	uint8_t buffer[256] __attribute__((aligned(8))), addr[16] = {0};
	struct nlmsghdr *head = begin(buffer, family, NLM_F_DUMP, IPVS_CMD_GET_DEST);
	uint16_t af = AF_INET, proto = IPPROTO_TCP;
	struct nlattr *nest = put(head, IPVS_CMD_ATTR_SERVICE | NLA_F_NESTED, NULL, 0);

	memcpy(addr, &change->vip, sizeof(change->vip));
	put(head, IPVS_SVC_ATTR_AF, &af, sizeof(af));
	put(head, IPVS_SVC_ATTR_PROTOCOL, &proto, sizeof(proto));
	put(head, IPVS_SVC_ATTR_ADDR, addr, sizeof(addr));
	put(head, IPVS_SVC_ATTR_PORT, &change->port_be, sizeof(change->port_be));
	nest->nla_len = (uint16_t)((uint8_t *)head + head->nlmsg_len - (uint8_t *)nest);
	send_datagram(fd, head, head->nlmsg_len);
}

/* Is there a message with this address and port? An answer holds one real server, in nested
 * attributes of which these two are the first (ip_vs_ctl.c, ip_vs_genl_fill_dest). */
static bool message_has(const uint8_t *msg, const struct change *change)
{
	const struct nlattr *dest = (const void *)(msg + NLMSG_HDRLEN + GENL_HDRLEN);
	const struct nlattr *addr = dest + 1;
	const struct nlattr *port = (const void *)((const uint8_t *)addr + NLA_HDRLEN + 16);

	return addr->nla_type == IPVS_DEST_ATTR_ADDR && port->nla_type == IPVS_DEST_ATTR_PORT &&
	       memcmp(addr + 1, &change->addr, sizeof(change->addr)) == 0 &&
	       memcmp(port + 1, &change->addr_port_be, sizeof(change->addr_port_be)) == 0;
}

static bool is_there(int fd, uint16_t family, const struct change *change)
{
	bool found = false;
	ssize_t n;

	ask_dests(fd, family, change);
	while ((n = recv(fd, rx, sizeof(rx), 0)) > 0) {
		for (size_t at = 0; at + NLMSG_HDRLEN <= (size_t)n;) {
			const struct nlmsghdr *head = (const void *)(rx + at);

			if (head->nlmsg_type == NLMSG_DONE || head->nlmsg_type == NLMSG_ERROR)
				return found;
			found |= message_has(rx + at, change);
			at += NLMSG_ALIGN(head->nlmsg_len);
		}
	}
	die("dump");
}

static bool read_change(struct change *ret_change)
{
	char line[1024], vip[64], addr[64];
	unsigned port, addr_port;

	if (!fgets(line, sizeof(line), stdin))
		return false;
	errno = 0;
	if (sscanf(line, "%255s %255s %63s %u %63s %u", ret_change->temporary, ret_change->file,
		   vip, &port, addr, &addr_port) != 6 ||
	    inet_pton(AF_INET, vip, &ret_change->vip) != 1 ||
	    inet_pton(AF_INET, addr, &ret_change->addr) != 1)
		die("line");
	ret_change->port_be = htons((uint16_t)port);
	ret_change->addr_port_be = htons((uint16_t)addr_port);
	return true;
}

static int changes(void)
{
	static const struct timespec pause = {.tv_nsec = POLL_NS};
	int fd = open_netlink(NETLINK_GENERIC);
	uint16_t family = ipvs_family(fd);
	struct change change;

	setvbuf(stdout, NULL, _IOLBF, 0);
	while (read_change(&change)) {
		uint64_t start_us = now_us(), took_us = 0;

		if (rename(change.temporary, change.file) < 0)
			die(change.file);
		do {
			nanosleep(&pause, NULL);
			if (now_us() - start_us > PATIENCE_US)
				die("it does not come");
		} while (!is_there(fd, family, &change));
		took_us = now_us() - start_us;
		printf("%llu\n", (unsigned long long)took_us);
	}
	return 0;
}

int main(int argc, char **argv)
{
	if (argc == 3 && strcmp(argv[1], "replay") == 0)
		return replay(argv[2]);
	if (argc == 2 && strcmp(argv[1], "changes") == 0)
		return changes();
	fputs("usage: bench_kernel replay FILE | bench_kernel changes\n", stderr);
	return 2;
}
