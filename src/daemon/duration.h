/* SPDX-License-Identifier: Apache-2.0 */
/* Durations as Go writes them: 300ms, 1.5s, 2m30s, 1h; "0". */
#ifndef VIPD_DAEMON_DURATION_H
#define VIPD_DAEMON_DURATION_H

#include <stdint.h>

/* 0, or -EINVAL: it is none, it is negative, or longer than a year. */
int duration_parse(const char *text, uint64_t *ret_ms);

#endif
