/* SPDX-License-Identifier: Apache-2.0 */
/* The order in which ipvsadm lists. Its comparison subtracts in 32 bits and looks at the sign, so
 * it is not transitive once addresses are 2^31 apart, and what comes out depends on the algorithm:
 * a top-down merge sort whose left half is rounded down, as glibc's qsort was until 2.36. The same
 * bytes need the same algorithm; libc's own has changed since. */
#include <errno.h>
#include <string.h>
#include <arpa/inet.h>

#include "ipvs_reader.h"

typedef int32_t (*order_fn)(const void *a, const void *b);

static int32_t difference(uint32_t a, uint32_t b)
{
	return (int32_t)(a - b);
}

/* The left one's family decides how much is compared. */
static int32_t cmp_addr(const struct ip_addr *a, const struct ip_addr *b)
{
	int32_t diff = 0;

	for (size_t at = 0; at < addr_len(a) && !diff; at += 4) {
		uint32_t x_be, y_be;

		memcpy(&x_be, a->bytes + at, 4);
		memcpy(&y_be, b->bytes + at, 4);
		diff = difference(ntohl(x_be), ntohl(y_be));
	}
	return diff;
}

static int32_t cmp_service(const void *a, const void *b)
{
	const struct ipvs_key *x = &((const struct ipvs_service *)a)->key;
	const struct ipvs_key *y = &((const struct ipvs_service *)b)->key;
	int32_t diff = difference(x->fwmark, y->fwmark);

	if (!diff)
		diff = x->af - y->af;
	if (!diff)
		diff = x->proto - y->proto;
	if (!diff)
		diff = cmp_addr(&x->addr, &y->addr);
	return diff ? diff : x->port - y->port;
}

static int32_t cmp_dest(const void *a, const void *b)
{
	const struct ipvs_dest *x = a, *y = b;
	int32_t diff = cmp_addr(&x->addr, &y->addr);

	return diff ? diff : x->port - y->port;
}

static void merge_sort(const void **refs, size_t n, const void **scratch, order_fn cmp)
{
	size_t left = n / 2, i = 0, j = left, out = 0;

	if (n < 2)
		return;
	merge_sort(refs, left, scratch, cmp);
	merge_sort(refs + left, n - left, scratch, cmp);
	while (i < left && j < n)
		scratch[out++] = cmp(refs[i], refs[j]) <= 0 ? refs[i++] : refs[j++];
	while (i < left)
		scratch[out++] = refs[i++];
	/* what is left of the right half is in its place */
	memcpy(refs, scratch, out * sizeof(*refs));
}

/* Puts at each place what `refs` says, round one cycle after the other: a copy of a long list would
 * cost more than sorting it. */
static void arrange(char *base, size_t size, const void **refs, size_t n, char *spare)
{
	for (size_t start = 0; start < n; start++) {
		size_t at = start;

		if (refs[start] == base + start * size)
			continue;
		memcpy(spare, base + start * size, size);
		for (;;) {
			size_t from = (size_t)((const char *)refs[at] - base) / size;

			refs[at] = base + at * size;
			if (from == start)
				break;
			memcpy(base + at * size, base + from * size, size);
			at = from;
		}
		memcpy(base + at * size, spare, size);
	}
}

static int sort(void *items, size_t n, size_t size, order_fn cmp)
{
	cleanup_free const void **refs = malloc(2 * n * sizeof(*refs) + size);

	if (!refs)
		return -ENOMEM;
	for (size_t i = 0; i < n; i++)
		refs[i] = (char *)items + i * size;
	merge_sort(refs, n, refs + n, cmp);
	arrange(items, size, refs, n, (char *)(refs + 2 * n));
	return 0;
}

int ipvs_sort_services(struct ipvs_services *list)
{
	return sort(list->items, list->n, sizeof(*list->items), cmp_service);
}

int ipvs_sort_dests(struct ipvs_dests *list)
{
	return sort(list->items, list->n, sizeof(*list->items), cmp_dest);
}
