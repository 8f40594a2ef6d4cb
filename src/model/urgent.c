/* SPDX-License-Identifier: Apache-2.0 */
/* See urgent.h. Two walks over the keys: whose addresses are urgent, then who has one of them. */
#include "model/desired.h"
#include "model/urgent.h"

struct addrs {
	struct ip_addr items[URGENT_ADDRS_MAX];
	size_t n;
};

static bool has(const struct addrs *addrs, const struct ip_addr *addr)
{
	for (size_t i = 0; i < addrs->n; i++)
		if (addr_equal(&addrs->items[i], addr))
			return true;
	return false;
}

/* False: there is no room. */
static bool add_addrs(struct addrs *addrs, const struct service *svc)
{
	for (size_t i = 0; i < ARRAY_SIZE(svc->cluster_ips); i++) {
		const struct ip_addr *addr = &svc->cluster_ips[i];

		if (!addr_is_set(addr) || has(addrs, addr))
			continue;
		if (addrs->n == URGENT_ADDRS_MAX)
			return false;
		addrs->items[addrs->n++] = *addr;
	}
	return true;
}

static bool has_one(const struct addrs *addrs, const struct service *svc)
{
	for (size_t i = 0; i < ARRAY_SIZE(svc->cluster_ips); i++)
		if (addr_is_set(&svc->cluster_ips[i]) && has(addrs, &svc->cluster_ips[i]))
			return true;
	return false;
}

size_t urgent_first(const struct cache *cache, char **keys, size_t n)
{
	struct addrs addrs = {0};
	size_t n_first = 0;

	for (size_t i = 0; i < n; i++) {
		const struct service *svc = cache_service(cache, keys[i]);

		if (svc && desired_priority(svc) != PRIO_NORMAL && !add_addrs(&addrs, svc))
			return 0;
	}
	for (size_t i = 0; addrs.n && i < n; i++) {
		const struct service *svc = cache_service(cache, keys[i]);
		char *key = keys[i];

		if (!svc || !has_one(&addrs, svc))
			continue;
		if (n_first == URGENT_SERVICES_MAX)
			return 0;
		keys[i] = keys[n_first];
		keys[n_first++] = key;
	}
	return n_first;
}
