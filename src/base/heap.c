/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <malloc.h>
#include <stdint.h>
#include <sys/mman.h>
#include <unistd.h>

#include "heap.h"

#define PAGE_BYTES ((uintptr_t)4096) /* a multiple of it would do, too */

void heap_set_up(void)
{
	mallopt(M_ARENA_MAX, 1);
	mallopt(M_TOP_PAD, 1 << 20);
	mallopt(M_TRIM_THRESHOLD, 4 << 20);
	mallopt(M_MMAP_THRESHOLD, 32 << 20);
}

void *heap_populate(void *from)
{
	void *end = sbrk(0); /* no system call */
	uintptr_t first = ((uintptr_t)from + PAGE_BYTES - 1) & ~(PAGE_BYTES - 1);
	uintptr_t last = (uintptr_t)end & ~(PAGE_BYTES - 1);
	int saved = errno;

	if (from && first < last)
		madvise((void *)first, last - first, MADV_POPULATE_WRITE);
	errno = saved;
	return end;
}
