/* SPDX-License-Identifier: Apache-2.0 */
/* Big IPVS tables for the tests of vipctl, in the network namespace that this runs in.
 *
 *   ipvs_table fill SERVICES DESTINATIONS   adds them, in batches
 *   ipvs_table read                         reads all of the table and throws it away, plainly:
 *                                           one system call a datagram
 *   ipvs_table churn SERVICES SECONDS       adds and removes services as fast as it can
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <arpa/inet.h>
#include <linux/genetlink.h>
#include <linux/ip_vs.h>

#include "ipvs.h"

#define RESULTS_MAX 4096

static int results[RESULTS_MAX];

static struct ip_addr addr(uint32_t first, uint32_t n)
{
	uint32_t addr_be = htonl(first + n);

	return addr_make(AF_INET, &addr_be);
}

static struct ipvs_service make_service(uint32_t n)
{
	struct ip_addr vip = addr(0x0a600000, n); /* 10.96.0.0 */
	struct ipvs_service svc;

	memset(&svc, 0, sizeof(svc));
	svc.key = ipvs_key_make(&vip, (uint16_t)(n % 2 ? 80 : 443), IPPROTO_TCP);
	strcpy(svc.sched, "rr");
	svc.flags_mask = UINT32_MAX;
	svc.netmask = UINT32_MAX;
	return svc;
}

static int send_batch(struct nl_batch *batch)
{
	size_t n = nl_batch_count(batch);
	int rc = n > RESULTS_MAX ? -E2BIG : nl_batch_send(batch, results);

	for (size_t i = 0; i < n && rc == 0; i++)
		rc = results[i];
	return rc;
}

static int put(struct nl_batch *batch, int cmd, const struct ipvs_service *svc,
	       const struct ipvs_dest *dest)
{
	int rc = -ENOSPC;

	for (int attempt = 0; attempt < 2 && rc == -ENOSPC; attempt++) {
		rc = dest ? ipvs_put_dest(batch, cmd, &svc->key, dest)
			  : ipvs_put_service(batch, cmd, svc);
		if (rc == -ENOSPC && (rc = send_batch(batch)) == 0)
			rc = -ENOSPC;
	}
	return rc < 0 ? rc : 0;
}

static int fill(struct nl_batch *batch, uint32_t n_services, uint32_t n_dests)
{
	int rc = 0;

	for (uint32_t i = 0; i < n_services && rc == 0; i++) {
		struct ipvs_service svc = make_service(i);

		rc = put(batch, IPVS_CMD_NEW_SERVICE, &svc, NULL);
		for (uint32_t j = 0; j < n_dests && rc == 0; j++) {
			struct ipvs_dest dest = {
				.addr = addr(0x0af40000, i * 7 + j), .port = 8080, .weight = 1};

			rc = put(batch, IPVS_CMD_NEW_DEST, &svc, &dest);
		}
	}
	return rc ? rc : send_batch(batch);
}

static int churn(struct nl_batch *batch, uint32_t n_services, int seconds)
{
	time_t end = time(NULL) + seconds;
	int rc = 0;

	for (uint32_t i = 0; time(NULL) < end && rc == 0; i++) {
		struct ipvs_service svc = make_service(1000000 + i % n_services);

		rc = put(batch, i / n_services % 2 ? IPVS_CMD_DEL_SERVICE : IPVS_CMD_NEW_SERVICE,
			 &svc, NULL);
		if (rc == 0 && i % 16 == 15)
			rc = send_batch(batch);
	}
	return rc;
}

/* ---- read: no decoding but of the keys that are needed to go on ---- */

struct keys {
	struct ipvs_key *items;
	size_t n, cap;
};

static int keep_key(const struct nlmsghdr *msg, void *arg)
{
	struct keys *keys = arg;
	struct ipvs_service svc;
	int rc = ipvs_get_service(msg, &svc);

	if (rc == 0)
		rc = util_grow((void **)&keys->items, &keys->cap, keys->n + 1,
			       sizeof(*keys->items));
	if (rc == 0)
		keys->items[keys->n++] = svc.key;
	return rc;
}

static int dump(struct nl_conn *conn, struct nl_batch *batch, int cmd, const struct ipvs_key *key,
		nl_msg_fn fn, void *arg)
{
	int rc = ipvs_dump_start(batch, cmd, key);

	if (rc < 0)
		return rc;
	do {
		rc = nl_dump_next(conn, fn, arg, NULL);
	} while (rc > 0);
	return rc;
}

static int read_all(struct nl_conn *conn, struct nl_batch *batch)
{
	struct keys keys = {0};
	int rc = dump(conn, batch, IPVS_CMD_GET_SERVICE, NULL, keep_key, &keys);

	for (size_t i = 0; i < keys.n && rc == 0; i++)
		rc = dump(conn, batch, IPVS_CMD_GET_DEST, &keys.items[i], NULL, NULL);
	free(keys.items);
	return rc;
}

int main(int argc, char **argv)
{
	struct nl_conn *conn = NULL;
	struct nl_batch *batch;
	struct err err = {0};
	int rc = nl_conn_open(NETLINK_GENERIC, &conn, &err);

	if (rc == 0)
		rc = nl_conn_bind_family(conn, IPVS_GENL_NAME, &err);
	batch = rc == 0 ? nl_batch_new(conn) : NULL;
	if (!batch)
		rc = rc ? rc : -ENOMEM;
	else if (argc == 4 && strcmp(argv[1], "fill") == 0)
		rc = fill(batch, (uint32_t)atoi(argv[2]), (uint32_t)atoi(argv[3]));
	else if (argc == 4 && strcmp(argv[1], "churn") == 0)
		rc = churn(batch, (uint32_t)atoi(argv[2]), atoi(argv[3]));
	else
		rc = read_all(conn, batch);
	if (rc < 0)
		fprintf(stderr, "ipvs_table: %s %s\n", strerror(-rc), err.text);
	nl_batch_free(batch);
	nl_conn_close(conn);
	return rc < 0;
}
