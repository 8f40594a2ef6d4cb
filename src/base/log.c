/* SPDX-License-Identifier: Apache-2.0 */
#include <stdarg.h>
#include <stdio.h>
#include <time.h>

#include "log.h"
#include "log_limit.h"

#define LINE_MAX_BYTES 4096

static enum log_level log_level_now = LOG_INFO;
static struct log_limit *log_limit_now; /* NULL: none */

static uint64_t monotonic_ms(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}

void log_limit_lines(void)
{
	static struct log_limit limit;

	log_limit_now = &limit;
}

void log_tell_left_out(void)
{
	const char *msg;
	uint64_t n;

	while (log_limit_now && log_limit_now->left_out &&
	       log_limit_next(log_limit_now, monotonic_ms(), &msg, &n))
		log_at(LOG_WARN, "lines left out", "of=\"%s\" number=%llu", msg,
		       (unsigned long long)n);
}

void log_set_level(enum log_level level)
{
	log_level_now = level;
}

void log_set_verbosity(int verbosity)
{
	log_set_level(verbosity > 0 ? LOG_DEBUG : verbosity < 0 ? LOG_WARN : LOG_INFO);
}

bool log_enabled(enum log_level level)
{
	return level <= log_level_now;
}

const char *log_quote(const char *text, char *buf, size_t size)
{
	size_t n = 0;

	if (size < 8) {
		if (size)
			buf[0] = '\0';
		return buf;
	}
	buf[n++] = '"';
	for (; *text && n + 6 < size; text++) {
		unsigned char c = (unsigned char)*text;

		if (c == '"' || c == '\\') {
			buf[n++] = '\\';
			buf[n++] = (char)c;
		} else if (c == '\n') {
			buf[n++] = '\\';
			buf[n++] = 'n';
		} else if (c < 0x20 || c == 0x7f) {
			n += (size_t)snprintf(buf + n, size - n, "\\x%02x", c);
		} else {
			buf[n++] = (char)c;
		}
	}
	buf[n++] = '"';
	buf[n] = '\0';
	return buf;
}

void log_at(enum log_level level, const char *msg, const char *fmt, ...)
{
	static const char *const names[] = {"error", "warn", "info", "debug"};
	char line[LINE_MAX_BYTES], stamp[32];
	struct timespec now;
	struct tm utc;
	size_t n;
	va_list args;

	if (!log_enabled(level) ||
	    (log_limit_now && !log_limit_take(log_limit_now, msg, monotonic_ms())))
		return;
	clock_gettime(CLOCK_REALTIME, &now);
	gmtime_r(&now.tv_sec, &utc);
	strftime(stamp, sizeof(stamp), "%Y-%m-%dT%H:%M:%S", &utc);
	n = (size_t)snprintf(line, sizeof(line), "time=%s.%03ldZ level=%s msg=\"%s\"", stamp,
			     now.tv_nsec / 1000000, names[level], msg);
	if (*fmt && n + 2 < sizeof(line)) {
		line[n++] = ' ';
		va_start(args, fmt);
		n += (size_t)vsnprintf(line + n, sizeof(line) - n, fmt, args);
		va_end(args);
	}
	if (n > sizeof(line) - 2)
		n = sizeof(line) - 2;
	line[n++] = '\n';
	fwrite(line, 1, n, stderr); /* one write: stderr is unbuffered, lines do not mix */
}
