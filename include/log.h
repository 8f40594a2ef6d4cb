/* SPDX-License-Identifier: Apache-2.0 */
/* Logging to stderr, one line an event: time=... level=... msg="..." key=value ...
 *
 * The level and the limit are the mutable globals of the program. */
#ifndef VIPD_LOG_H
#define VIPD_LOG_H

#include <stdbool.h>

#include "util.h"

enum log_level { LOG_ERROR, LOG_WARN, LOG_INFO, LOG_DEBUG };

void log_set_level(enum log_level level);
/* As -v has it: 0 info, 1 and up debug, below 0 warnings only. */
void log_set_verbosity(int verbosity);
/* From here on lines of one kind are limited (log_limit.h); for a daemon that runs for months. */
void log_limit_lines(void);
/* Writes what was left out since, a line a kind, if there is room for that by now. Cheap. */
void log_tell_left_out(void);
bool log_enabled(enum log_level level);

/* `msg` is a constant sentence (quoted in the output); `fmt` prints further key=value pairs, ""
 * for none. A value that may hold spaces or quotes is printed through log_quote(). */
void log_at(enum log_level level, const char *msg, const char *fmt, ...) PRINTF(3, 4);

#define log_error(...) log_at(LOG_ERROR, __VA_ARGS__)
#define log_warn(...)  log_at(LOG_WARN, __VA_ARGS__)
#define log_info(...)  log_at(LOG_INFO, __VA_ARGS__)
#define log_debug(...) log_at(LOG_DEBUG, __VA_ARGS__)

/* `text` as a double-quoted value, control characters, quotes and backslashes escaped, cut to
 * `size`; returns `buf`. */
const char *log_quote(const char *text, char *buf, size_t size);

#endif
