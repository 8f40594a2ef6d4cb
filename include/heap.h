/* SPDX-License-Identifier: Apache-2.0 */
/* How the daemon's memory grows: one heap for all threads, a megabyte at a time, taken from the
 * kernel at once instead of page by page. A page fault costs more than what is then done with the
 * page: 2 us on a quiet machine, 70 us in a guest without hardware support. */
#ifndef VIPD_HEAP_H
#define VIPD_HEAP_H

/* Once, before there are threads. One heap, since objects are made on a worker thread and live on
 * the loop's, and heaps of threads grow a page at a time (5,000 mprotect calls for 10,000 Services)
 * and are never given back. Files of some megabytes are read into it, too: as mappings of their own
 * they would be populated anew every time. */
void heap_set_up(void);

/* Has the heap grown since the call that returned `from`? Then has the kernel populate the new part
 * (Linux 5.14; before that the pages come one by one, as ever). NULL begins. Cheap where nothing
 * changed; for loops that allocate, once a step. */
void *heap_populate(void *from);

#endif
