/* SPDX-License-Identifier: Apache-2.0 */
/* Slow starts: when they begin, when their weights are looked at, when they are over. How much an
 * endpoint gets meanwhile is lower's to say (L9). They are not kept over a restart: then everybody
 * has the full share. */
#include <errno.h>

#include "engine.h"

#define RAMP_TICK_MS 1000

static bool has_others(const struct pic_service *svc)
{
	for (size_t i = 0; i < svc->n; i++)
		if (svc->dests[i].weight)
			return true;
	return false;
}

int ramp_begin(struct backend *be, const struct pic_service *svc, const struct frontend *fe,
	       uint64_t now_ms)
{
	int rc = 0;

	if (!fe->lb.slow_start_sec || !has_others(svc))
		return 0;
	for (size_t i = 0; i < fe->pool->n && rc == 0; i++) {
		const struct endpoint *ep = &fe->pool->ep[i];
		const struct pic_dest *dest = picture_dest(svc, &ep->addr, ep->port);

		if (ep->state != EP_ACTIVE || !ep->weight || (dest && dest->weight) ||
		    picture_ramp(&be->pic, &svc->key, &ep->addr, ep->port))
			continue;
		rc = picture_ramp_begin(&be->pic, &svc->key, &ep->addr, ep->port, now_ms,
					now_ms + UINT64_C(1000) * fe->lb.slow_start_sec);
	}
	return rc;
}

uint64_t ramp_tick(struct backend *be, uint64_t now_ms)
{
	struct pic_ramp *ramp, *next;

	if (!be->pic.ramps)
		return UINT64_MAX;
	if (now_ms < be->next_ramp_ms)
		return be->next_ramp_ms;
	be->next_ramp_ms = now_ms + RAMP_TICK_MS;
	HASH_ITER (hh, be->pic.ramps, ramp, next) {
		engine_mark(be, &ramp->key.server);
		if (now_ms >= ramp->end_ms)
			picture_ramp_drop(&be->pic, ramp);
	}
	return be->next_ramp_ms;
}
