/* SPDX-License-Identifier: Apache-2.0 */
/* Small helpers that every folder may use: array sizes, cleanup attributes, growing arrays.
 * Nothing here knows of netlink, IPVS or Kubernetes. */
#ifndef VIPD_UTIL_H
#define VIPD_UTIL_H

#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#define ARRAY_SIZE(a)   (sizeof(a) / sizeof((a)[0]))
#define PRINTF(fmt, va) __attribute__((format(printf, fmt, va)))

/* Frees what the variable points to when it leaves its scope: `cleanup_free char *text = ...`. */
static inline void util_free_ptr(void *ptr)
{
	free(*(void **)ptr);
}
#define cleanup_free __attribute__((cleanup(util_free_ptr)))

/* Hands the value of `p` out of a cleanup scope and leaves NULL behind. */
#define take_ptr(p)                       \
	__extension__({                   \
		__auto_type taken_ = (p); \
		(p) = NULL;               \
		taken_;                   \
	})

/* Makes room for `need` items of `size` bytes in `*items` (capacity `*cap`), doubling.
 * 0, or -ENOMEM with the array unchanged. */
int util_grow(void **items, size_t *cap, size_t need, size_t size);

/* FIRST, `separator`, SECOND into `buf`, cut to `size` bytes with the NUL; its length. For keys,
 * which are made for every object: printf costs several times what the rest of a look-up does. */
size_t util_join(char *buf, size_t size, const char *first, char separator, const char *second);

/* One more of the remarks in `*notes` (NULL: the first), with "; " between. 0, or -ENOMEM with
 * `*notes` unchanged. */
int util_add_note(char **notes, const char *fmt, va_list args) PRINTF(2, 0);

/* 64-bit FNV-1a over `len` bytes, continuing from `seed` (start with UTIL_HASH_SEED). For hash
 * tables and stable shuffles; not for anything that an adversary may choose collisions in. */
#define UTIL_HASH_SEED 0xcbf29ce484222325ULL
uint64_t util_hash(uint64_t seed, const void *data, size_t len);

/* A share of time for small steps: `while (budget_left(&budget)) ...`. The clock is not looked at
 * before every step, since where it is a system call (a guest, a sandbox) it costs more than the
 * step, but some BUDGET_LOOK_US apart: after as many steps as those before make likely, at most
 * BUDGET_STEPS_MAX. What the heap grew by in a step is populated. */
#define BUDGET_LOOK_US   500
#define BUDGET_STEPS_MAX 128
struct budget {
	uint64_t end_us, looked_us; /* CLOCK_MONOTONIC */
	unsigned steps, stride;     /* since the last look; until the next */
	void *heap;                 /* see heap_populate() */
};
struct budget budget_start(uint64_t us);
bool budget_left(struct budget *budget);

#endif
