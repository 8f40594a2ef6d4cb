/* SPDX-License-Identifier: Apache-2.0 */
/* For entrances.py: virtual servers at every address, and a client that measures what they cost.
 *
 *   servers SERVICES ADDRS ENDPOINTS   programs, in batches, what kube-proxy would: for Service i a
 *           virtual server at its cluster IP, its external IP, and its node port at each of ADDRS
 *           node addresses, ENDPOINTS destinations each; prints us=...
 *   grow SERVICE ADDRS CHANGES         adds one endpoint to a Service so often; prints us= of one
 *   connect ADDR PORT COUNT            TCP connections, one after the other; prints p50= and p99=
 * in us
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>
#include <arpa/inet.h>
#include <linux/genetlink.h>
#include <linux/ip_vs.h>
#include <sys/socket.h>

#include "ipvs.h"

#define RESULTS_MAX 4096
#define NODE_PORT   20000 /* of Service 0; as in manifests.py */

static int results[RESULTS_MAX];

static double now_us(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (double)now.tv_sec * 1e6 + (double)now.tv_nsec / 1e3;
}

static struct ip_addr addr(uint32_t first, uint32_t n)
{
	uint32_t addr_be = htonl(first + n);

	return addr_make(AF_INET, &addr_be);
}

/* Where the n-th virtual server of Service i stands. */
static struct ipvs_key key_of(uint32_t i, uint32_t n)
{
	struct ip_addr where = addr(0x0a600100, i); /* 10.96.1.0 + i */

	if (n == 1)
		where = addr(0xc6120100, i); /* 198.18.1.0 + i */
	else if (n > 1)
		where = addr(0x0ac80000, n - 1); /* 10.200.0.0 + n */
	return ipvs_key_make(&where, (uint16_t)(n > 1 ? NODE_PORT + i : 80), IPPROTO_TCP);
}

static int send_batch(struct nl_batch *batch)
{
	size_t n = nl_batch_count(batch);
	int rc = n > RESULTS_MAX ? -E2BIG : nl_batch_send(batch, results);

	for (size_t i = 0; i < n && rc == 0; i++)
		rc = results[i];
	return rc;
}

static int put(struct nl_batch *batch, const struct ipvs_service *svc, const struct ipvs_dest *dest)
{
	int rc = -ENOSPC;

	for (int attempt = 0; attempt < 2 && rc == -ENOSPC; attempt++) {
		rc = dest ? ipvs_put_dest(batch, IPVS_CMD_NEW_DEST, &svc->key, dest)
			  : ipvs_put_service(batch, IPVS_CMD_NEW_SERVICE, svc);
		if (rc == -ENOSPC && (rc = send_batch(batch)) == 0)
			rc = -ENOSPC;
	}
	return rc < 0 ? rc : 0;
}

static int put_server(struct nl_batch *batch, const struct ipvs_key *key, uint32_t first,
		      uint32_t n_dests)
{
	struct ipvs_service svc = {.key = *key, .flags_mask = UINT32_MAX, .netmask = UINT32_MAX};
	int rc;

	strcpy(svc.sched, "rr");
	rc = put(batch, &svc, NULL);
	for (uint32_t e = 0; e < n_dests && rc == 0; e++) {
		struct ipvs_dest dest = {
			.addr = addr(0x0a800000, first + e), .port = 8080, .weight = 1};

		rc = put(batch, &svc, &dest);
	}
	return rc;
}

static int servers(struct nl_batch *batch, uint32_t n_services, uint32_t n_addrs, uint32_t n_dests)
{
	double start = now_us();
	int rc = 0;

	for (uint32_t i = 0; i < n_services && rc == 0; i++)
		for (uint32_t n = 0; n < 2 + n_addrs && rc == 0; n++) {
			struct ipvs_key key = key_of(i, n);

			rc = put_server(batch, &key, i * n_dests + 1, n_dests);
		}
	rc = rc ? rc : send_batch(batch);
	printf("us=%.0f\n", now_us() - start);
	return rc;
}

static int grow(struct nl_batch *batch, uint32_t i, uint32_t n_addrs, uint32_t changes)
{
	double start = now_us();
	int rc = 0;

	for (uint32_t c = 0; c < changes && rc == 0; c++) {
		struct ipvs_dest dest = {
			.addr = addr(0x0a7f0000, c + 1), .port = 8080, .weight = 1};

		for (uint32_t n = 0; n < 2 + n_addrs && rc == 0; n++) {
			struct ipvs_service svc = {.key = key_of(i, n)};

			rc = put(batch, &svc, &dest);
		}
		rc = rc ? rc : send_batch(batch);
	}
	printf("us=%.1f\n", (now_us() - start) / changes);
	return rc;
}

static int with_batch(int argc, char **argv)
{
	struct nl_conn *conn = NULL;
	struct nl_batch *batch;
	struct err err = {0};
	int rc = nl_conn_open(NETLINK_GENERIC, &conn, &err);
	uint32_t n[3] = {0};

	for (int i = 2; i < argc; i++)
		n[i - 2] = (uint32_t)atoi(argv[i]);
	if (rc == 0)
		rc = nl_conn_bind_family(conn, IPVS_GENL_NAME, &err);
	batch = rc == 0 ? nl_batch_new(conn) : NULL;
	if (!batch)
		rc = rc ? rc : -ENOMEM;
	else
		rc = strcmp(argv[1], "grow") == 0 ? grow(batch, n[0], n[1], n[2])
						  : servers(batch, n[0], n[1], n[2]);
	nl_batch_free(batch);
	nl_conn_close(conn);
	return rc;
}

static int compare(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return (x > y) - (x < y);
}

/* Each is reset at its end: no ports run out. */
static int connect_all(const struct sockaddr_in *to, size_t count)
{
	static const struct linger reset = {.l_onoff = 1};
	double *took = calloc(count, sizeof(*took));
	int rc = took ? 0 : -ENOMEM;

	for (size_t i = 0; i < count && rc == 0; i++) {
		int fd = socket(AF_INET, SOCK_STREAM, 0);
		double start = now_us();

		if (connect(fd, (const struct sockaddr *)to, sizeof(*to)) < 0)
			rc = -errno;
		took[i] = now_us() - start;
		setsockopt(fd, SOL_SOCKET, SO_LINGER, &reset, sizeof(reset));
		close(fd);
	}
	if (rc == 0) {
		qsort(took, count, sizeof(*took), compare);
		printf("p50=%.1f p99=%.1f\n", took[count / 2], took[count * 99 / 100]);
	}
	free(took);
	return rc;
}

int main(int argc, char **argv)
{
	int rc = -EINVAL;

	if (argc == 5 && (strcmp(argv[1], "servers") == 0 || strcmp(argv[1], "grow") == 0)) {
		rc = with_batch(argc, argv);
	} else if (argc == 5) {
		struct sockaddr_in to = {.sin_family = AF_INET,
					 .sin_port = htons((uint16_t)atoi(argv[3]))};
		size_t count = strtoul(argv[4], NULL, 10);

		inet_pton(AF_INET, argv[2], &to.sin_addr);
		rc = connect_all(&to, count);
	}
	if (rc < 0)
		fprintf(stderr, "bench_entrances: %s\n", strerror(-rc));
	return rc < 0;
}
