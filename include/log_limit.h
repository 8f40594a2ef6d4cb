/* SPDX-License-Identifier: Apache-2.0 */
/* How many lines of one kind a log takes: LOG_LIMIT_BURST at once, then LOG_LIMIT_PER_SEC a second.
 * What was left out is counted. Pure: time is an argument. */
#ifndef VIPD_LOG_LIMIT_H
#define VIPD_LOG_LIMIT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define LOG_LIMIT_BURST   1000
#define LOG_LIMIT_PER_SEC 20
#define LOG_LIMIT_KINDS   64 /* sentences of the program; others are not limited */

struct log_limit_kind {
	const char *msg; /* the constant sentence, by its address */
	uint64_t since_ms;
	uint64_t tokens; /* in thousandths of a line */
	uint64_t left_out;
};

struct log_limit {
	struct log_limit_kind kinds[LOG_LIMIT_KINDS];
	size_t n;
	uint64_t left_out; /* of all kinds, not told yet */
};

/* May this line be written? */
bool log_limit_take(struct log_limit *limit, const char *msg, uint64_t now_ms);
/* A kind of which lines were left out, and that may be written again: `*ret_n` of them, which count
 * as told. False: no more. */
bool log_limit_next(struct log_limit *limit, uint64_t now_ms, const char **ret_msg,
		    uint64_t *ret_n);

#endif
