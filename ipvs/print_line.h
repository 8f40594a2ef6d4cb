/* SPDX-License-Identifier: Apache-2.0 */
/* A line being put together in room of a fixed size; what does not fit is cut. printf would take
 * three times as long, and a table of 100,000 destinations is waited for. Private to the printers.
 */
#ifndef VIPD_IPVS_PRINT_LINE_H
#define VIPD_IPVS_PRINT_LINE_H

#include <string.h>

#include "ipvs_print.h"

#define PRINT_LINE_MAX 512 /* the longest there is has some 300 */

struct line {
	char *text; /* not terminated */
	size_t len, room;
};

static inline void line_bytes(struct line *l, const char *bytes, size_t len)
{
	if (len > l->room - l->len)
		len = l->room - l->len;
	memcpy(l->text + l->len, bytes, len);
	l->len += len;
}

static inline void line_char(struct line *l, char c)
{
	line_bytes(l, &c, 1);
}

static inline void line_text(struct line *l, const char *text)
{
	line_bytes(l, text, strlen(text));
}

static inline void line_blanks(struct line *l, size_t n)
{
	while (n-- > 0)
		line_char(l, ' ');
}

static inline void line_left(struct line *l, const char *text, size_t width)
{
	size_t len = strlen(text);

	line_bytes(l, text, len);
	line_blanks(l, len < width ? width - len : 0);
}

/* The digits of a number, at the end of `room`. */
static inline const char *line_digits(uint64_t value, char room[21])
{
	char *at = room + 20;

	*at = '\0';
	do {
		*--at = (char)('0' + value % 10);
		value /= 10;
	} while (value);
	return at;
}

static inline void line_uint(struct line *l, uint64_t value)
{
	char room[21];

	line_text(l, line_digits(value, room));
}

static inline void line_int(struct line *l, int32_t value)
{
	if (value < 0)
		line_char(l, '-');
	line_uint(l, value < 0 ? -(uint64_t)value : (uint64_t)value);
}

static inline void line_uint_left(struct line *l, uint64_t value, size_t width)
{
	char room[21];

	line_left(l, line_digits(value, room), width);
}

static inline void line_int_left(struct line *l, int32_t value, size_t width)
{
	size_t start = l->len;

	line_int(l, value);
	line_blanks(l, l->len - start < width ? width - (l->len - start) : 0);
}

static inline void line_uint_right(struct line *l, uint64_t value, size_t width)
{
	char room[21];
	const char *digits = line_digits(value, room);
	size_t len = strlen(digits);

	line_blanks(l, len < width ? width - len : 0);
	line_bytes(l, digits, len);
}

/* Writes it with its newline and empties it. */
static inline void line_end(struct line *l, FILE *out)
{
	line_char(l, '\n');
	fwrite(l->text, 1, l->len, out);
	l->len = 0;
}

#endif
