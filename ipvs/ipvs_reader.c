/* SPDX-License-Identifier: Apache-2.0 */
/* Gets and dumps over one connection; see include/ipvs_reader.h. */
#include <errno.h>
#include <string.h>
#include <linux/ip_vs.h>

#include "ipvs_reader.h"

int ipvs_reader_init(struct ipvs_reader *reader, struct nl_conn *conn)
{
	reader->conn = conn;
	reader->batch = nl_batch_new(conn);
	return reader->batch ? 0 : -ENOMEM;
}

void ipvs_reader_done(struct ipvs_reader *reader)
{
	nl_batch_free(reader->batch);
	reader->batch = NULL;
}

void ipvs_services_done(struct ipvs_services *list)
{
	free(list->items);
	memset(list, 0, sizeof(*list));
}

void ipvs_dests_done(struct ipvs_dests *list)
{
	free(list->items);
	memset(list, 0, sizeof(*list));
}

/* ---- single answers ---- */

static int get(struct ipvs_reader *reader, int cmd, const struct ipvs_key *key, nl_msg_fn fn,
	       void *arg)
{
	int rc = ipvs_put_key(reader->batch, cmd, key);

	return rc < 0 ? rc : nl_batch_get(reader->batch, fn, arg);
}

static int take_info(const struct nlmsghdr *msg, void *arg)
{
	return ipvs_get_info(msg, arg);
}

static int take_timeouts(const struct nlmsghdr *msg, void *arg)
{
	return ipvs_get_timeouts(msg, arg);
}

static int take_service(const struct nlmsghdr *msg, void *arg)
{
	return ipvs_get_service(msg, arg);
}

int ipvs_read_info(struct ipvs_reader *reader, struct ipvs_info *ret_info)
{
	return get(reader, IPVS_CMD_GET_INFO, NULL, take_info, ret_info);
}

int ipvs_read_timeouts(struct ipvs_reader *reader, struct ipvs_timeouts *ret_timeouts)
{
	return get(reader, IPVS_CMD_GET_CONFIG, NULL, take_timeouts, ret_timeouts);
}

int ipvs_read_service(struct ipvs_reader *reader, const struct ipvs_key *key,
		      struct ipvs_service *ret_svc)
{
	return get(reader, IPVS_CMD_GET_SERVICE, key, take_service, ret_svc);
}

/* ---- dumps ---- */

static int dump(struct ipvs_reader *reader, int cmd, const struct ipvs_key *key, nl_msg_fn fn,
		void *arg)
{
	int rc = ipvs_dump_start(reader->batch, cmd, key);

	if (rc < 0)
		return rc;
	do {
		rc = nl_dump_next(reader->conn, fn, arg, NULL);
	} while (rc > 0);
	return rc;
}

struct daemons {
	struct ipvs_daemon *items;
	size_t n;
};

static int take_daemon(const struct nlmsghdr *msg, void *arg)
{
	struct daemons *list = arg;

	return list->n < 2 ? ipvs_get_daemon(msg, &list->items[list->n++]) : -EBADMSG;
}

int ipvs_read_daemons(struct ipvs_reader *reader, struct ipvs_daemon ret_daemons[2], size_t *ret_n)
{
	struct daemons list = {.items = ret_daemons};
	int rc = dump(reader, IPVS_CMD_GET_DAEMON, NULL, take_daemon, &list);

	*ret_n = list.n;
	return rc;
}

/* ---- lists without an entry twice ---- */

static int cmp_ref(const void *a, const void *b, void *arg)
{
	const char *x = *(char *const *)a, *y = *(char *const *)b;
	const size_t *key_len = arg;
	int rc = memcmp(x, y, *key_len);

	return rc ? rc : x < y ? -1 : x > y;
}

/* The kernel finds its place in a dump again by counting: entries added meanwhile shift others into
 * the next datagram. Of items whose first `key_len` bytes are equal the first stays. */
static int drop_repeated(void *items, size_t *n, size_t size, size_t key_len)
{
	cleanup_free char **refs = malloc((*n + 1) * sizeof(*refs));
	cleanup_free bool *repeated = calloc(*n + 1, 1);
	char *base = items;
	size_t kept = 0;

	if (!refs || !repeated)
		return -ENOMEM;
	for (size_t i = 0; i < *n; i++)
		refs[i] = base + i * size;
	qsort_r(refs, *n, sizeof(*refs), cmp_ref, &key_len);
	for (size_t i = 1; i < *n; i++)
		if (memcmp(refs[i - 1], refs[i], key_len) == 0)
			repeated[(size_t)(refs[i] - base) / size] = true;
	for (size_t i = 0; i < *n; i++)
		if (!repeated[i])
			memmove(base + kept++ * size, base + i * size, size);
	*n = kept;
	return 0;
}

static int add_service(const struct nlmsghdr *msg, void *arg)
{
	struct ipvs_services *list = arg;
	int rc = util_grow((void **)&list->items, &list->cap, list->n + 1, sizeof(*list->items));

	return rc < 0 ? rc : ipvs_get_service(msg, &list->items[list->n++]);
}

int ipvs_read_services(struct ipvs_reader *reader, struct ipvs_services *list)
{
	int rc;

	list->n = 0;
	rc = dump(reader, IPVS_CMD_GET_SERVICE, NULL, add_service, list);
	if (rc < 0)
		return rc;
	return drop_repeated(list->items, &list->n, sizeof(*list->items), sizeof(list->items->key));
}

struct dest_list {
	struct ipvs_dests *list;
	const struct ipvs_key *key;
};

static int add_dest(const struct nlmsghdr *msg, void *arg)
{
	struct ipvs_dests *list = ((struct dest_list *)arg)->list;
	int rc = util_grow((void **)&list->items, &list->cap, list->n + 1, sizeof(*list->items));

	if (rc < 0)
		return rc;
	return ipvs_get_dest(msg, ((struct dest_list *)arg)->key, &list->items[list->n++]);
}

int ipvs_read_dests(struct ipvs_reader *reader, const struct ipvs_key *key, struct ipvs_dests *list)
{
	struct dest_list arg = {list, key};
	int rc;

	list->n = 0;
	rc = dump(reader, IPVS_CMD_GET_DEST, key, add_dest, &arg);
	if (rc < 0)
		return rc;
	return drop_repeated(list->items, &list->n, sizeof(*list->items),
			     offsetof(struct ipvs_dest, fwd));
}
