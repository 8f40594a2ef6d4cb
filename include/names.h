/* SPDX-License-Identifier: Apache-2.0 */
/* Texts that very many objects have in common, as the names of nodes and zones: each is kept once.
 * For objects that are made on one thread and freed on another: safe to call on any. */
#ifndef VIPD_NAMES_H
#define VIPD_NAMES_H

/* The one copy of `text`, which is there until name_unref() was called as often as this; NULL
 * without memory. */
const char *name_ref(const char *text);
void name_unref(const char *name); /* NULL: nothing */

#endif
