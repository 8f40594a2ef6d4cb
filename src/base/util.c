/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <string.h>
#include <time.h>

#include "heap.h"
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

size_t util_join(char *buf, size_t size, const char *first, char separator, const char *second)
{
	size_t len = strnlen(first, size - 1), rest;

	memcpy(buf, first, len);
	if (len < size - 1)
		buf[len++] = separator;
	rest = strnlen(second, size - 1 - len);
	memcpy(buf + len, second, rest);
	buf[len + rest] = '\0';
	return len + rest;
}

uint64_t util_hash(uint64_t seed, const void *data, size_t len)
{
	const uint8_t *bytes = data;

	for (size_t i = 0; i < len; i++)
		seed = (seed ^ bytes[i]) * 0x100000001b3ULL;
	return seed;
}

static uint64_t monotonic_us(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * 1000000 + (uint64_t)now.tv_nsec / 1000;
}

struct budget budget_start(uint64_t us)
{
	return (struct budget){.end_us = us > UINT64_MAX / 2 ? UINT64_MAX : monotonic_us() + us,
			       .heap = heap_populate(NULL)};
}

bool budget_left(struct budget *budget)
{
	if (budget->steps++ % BUDGET_STEPS)
		return true;
	budget->heap = heap_populate(budget->heap);
	return monotonic_us() < budget->end_us;
}
