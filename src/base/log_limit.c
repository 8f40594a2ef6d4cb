/* SPDX-License-Identifier: Apache-2.0 */
#include "log_limit.h"

#define LINE 1000

static struct log_limit_kind *find(struct log_limit *limit, const char *msg, uint64_t now_ms)
{
	for (size_t i = 0; i < limit->n; i++)
		if (limit->kinds[i].msg == msg)
			return &limit->kinds[i];
	if (limit->n == LOG_LIMIT_KINDS)
		return NULL;
	limit->kinds[limit->n] =
		(struct log_limit_kind){msg, now_ms, (uint64_t)LOG_LIMIT_BURST * LINE, 0};
	return &limit->kinds[limit->n++];
}

static void refill(struct log_limit_kind *kind, uint64_t now_ms)
{
	uint64_t full = (uint64_t)LOG_LIMIT_BURST * LINE;
	uint64_t passed_ms = now_ms > kind->since_ms ? now_ms - kind->since_ms : 0;

	kind->since_ms = now_ms;
	if (passed_ms > full / LOG_LIMIT_PER_SEC)
		kind->tokens = full;
	else
		kind->tokens += passed_ms * LOG_LIMIT_PER_SEC;
	if (kind->tokens > full)
		kind->tokens = full;
}

bool log_limit_take(struct log_limit *limit, const char *msg, uint64_t now_ms)
{
	struct log_limit_kind *kind = find(limit, msg, now_ms);

	if (!kind)
		return true;
	refill(kind, now_ms);
	if (kind->tokens < LINE) {
		kind->left_out++;
		limit->left_out++;
		return false;
	}
	kind->tokens -= LINE;
	return true;
}

bool log_limit_next(struct log_limit *limit, uint64_t now_ms, const char **ret_msg, uint64_t *ret_n)
{
	for (size_t i = 0; limit->left_out && i < limit->n; i++) {
		struct log_limit_kind *kind = &limit->kinds[i];

		refill(kind, now_ms);
		if (!kind->left_out || kind->tokens < LINE)
			continue;
		*ret_msg = kind->msg;
		*ret_n = kind->left_out;
		limit->left_out -= kind->left_out;
		kind->left_out = 0;
		kind->tokens -= LINE;
		return true;
	}
	return false;
}
