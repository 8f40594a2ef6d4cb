/* SPDX-License-Identifier: Apache-2.0 */
/* Which Services are computed before all others: what everything on the node waits for.
 *
 * In the flow: between cache and desired, the first time only. Pure; orders keys, computes nothing
 * and must not leave one out. */
#ifndef VIPD_MODEL_URGENT_H
#define VIPD_MODEL_URGENT_H

#include "model/cache.h"

/* The API server's Service, and DNS; so many addresses and Services are put in front at most, so
 * that others still get their turn: a cluster has three or four. */
#define URGENT_ADDRS_MAX    16
#define URGENT_SERVICES_MAX 64

/* Moves the keys of urgent Services to the front of `keys`, and with them those of every Service
 * that has one of their addresses, since whose that is can be told only when all claims to it are
 * known. Returns their number; 0 if the bounds above are exceeded. The others' order may change. */
size_t urgent_first(const struct cache *cache, char **keys, size_t n);

#endif
