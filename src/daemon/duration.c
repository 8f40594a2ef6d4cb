/* SPDX-License-Identifier: Apache-2.0 */
/* See duration.h. */
#include <ctype.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "daemon/duration.h"
#include "util.h"

int duration_parse(const char *text, uint64_t *ret_ms)
{
	static const struct {
		const char *unit;
		double ms;
	} units[] = {{"ns", 1e-6}, {"us", 1e-3}, {"ms", 1}, {"s", 1e3}, {"m", 6e4}, {"h", 36e5}};
	double total = 0;

	if (strcmp(text, "0") == 0) {
		*ret_ms = 0;
		return 0;
	}
	if (!*text)
		return -EINVAL;
	while (*text) {
		char *end;
		double value;
		size_t i = 0;

		if (!isdigit((unsigned char)*text) && *text != '.')
			return -EINVAL;
		value = strtod(text, &end);
		for (; i < ARRAY_SIZE(units); i++) {
			size_t len = strlen(units[i].unit);

			if (strncmp(end, units[i].unit, len) == 0 &&
			    !isalpha((unsigned char)end[len]))
				break;
		}
		if (end == text || i == ARRAY_SIZE(units))
			return -EINVAL;
		total += value * units[i].ms;
		text = end + strlen(units[i].unit);
	}
	if (total > 365.0 * 24 * 3600000)
		return -EINVAL;
	*ret_ms = (uint64_t)total;
	return 0;
}
