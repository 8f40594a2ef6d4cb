/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "heap.h"
#include "util.h"

#define LARGE_BYTES (32 * 1024)

/* A large array moves to memory that is populated at once, not by a page fault a page. */
static void *grow_large(void *items, size_t old_bytes, size_t bytes)
{
	void *heap = heap_populate(NULL), *grown = malloc(bytes);

	heap_populate(heap);
	if (!grown)
		return NULL;
	if (old_bytes)
		memcpy(grown, items, old_bytes);
	free(items);
	return grown;
}

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
	if (want > SIZE_MAX / size)
		return -ENOMEM;
	if (want * size >= LARGE_BYTES)
		grown = grow_large(*items, *cap * size, want * size);
	else
		grown = realloc(*items, want * size);
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

int util_add_note(char **notes, const char *fmt, va_list args)
{
	cleanup_free char *text = NULL;
	char *both = NULL;

	if (vasprintf(&text, fmt, args) < 0) {
		text = NULL;
		return -ENOMEM;
	}
	if (asprintf(&both, "%s%s%s", *notes ? *notes : "", *notes ? "; " : "", text) < 0)
		return -ENOMEM;
	free(*notes);
	*notes = both;
	return 0;
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
	uint64_t now_us = monotonic_us();

	return (struct budget){.end_us = us > UINT64_MAX / 2 ? UINT64_MAX : now_us + us,
			       .looked_us = now_us,
			       .stride = 8,
			       .heap = heap_populate(NULL)};
}

bool budget_left(struct budget *budget)
{
	uint64_t now_us;

	budget->heap = heap_populate(budget->heap);
	if (budget->steps++ % budget->stride)
		return true;
	now_us = monotonic_us();
	if (budget->steps > 1 && now_us - budget->looked_us < BUDGET_LOOK_US / 2 &&
	    budget->stride < BUDGET_STEPS_MAX)
		budget->stride *= 2;
	else if (now_us - budget->looked_us > BUDGET_LOOK_US * 2 && budget->stride > 1)
		budget->stride /= 2;
	budget->looked_us = now_us;
	budget->steps = 1;
	return now_us < budget->end_us;
}
