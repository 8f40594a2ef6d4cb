/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>

#include "util.h"

int util_grow(void **items, size_t *cap, size_t need, size_t size)
{
	size_t want = *cap ? *cap : 8;
	void *grown;

	if (need <= *cap)
		return 0;
	while (want < need) {
		if (want > SIZE_MAX / 2)
			return -ENOMEM;
		want *= 2;
	}
	grown = reallocarray(*items, want, size);
	if (!grown)
		return -ENOMEM;
	*items = grown;
	*cap = want;
	return 0;
}

uint64_t util_hash(uint64_t seed, const void *data, size_t len)
{
	const uint8_t *bytes = data;

	for (size_t i = 0; i < len; i++)
		seed = (seed ^ bytes[i]) * 0x100000001b3ULL;
	return seed;
}
