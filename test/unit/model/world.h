/* SPDX-License-Identifier: Apache-2.0 */
/* All stages of the pure model behind one another, driven as the daemon's loop drives them:
 * cache -> desired -> claims -> model. The node is called "here". */
#ifndef VIPD_TEST_WORLD_H
#define VIPD_TEST_WORLD_H

#include "model/claims.h"

struct waiting;

struct world {
	struct cache *cache;
	struct claims *claims;
	struct model *model;
	struct waiting *waiting; /* as the status has it: told by claims, never asked for */
	char **dirty;            /* keys being computed, [next_dirty, n_dirty) left */
	size_t n_dirty, next_dirty;
	char *zone; /* of the node "here", as its object says */
	char *note; /* of the Service that was computed last */
};

struct world *world_new(void);
void world_free(struct world *world);

/* `text` as in make.h; world_remove() needs kind and name only. */
void world_put(struct world *world, const char *text);
void world_remove(struct world *world, const char *text);

/* Computes at most `max` dirty Services; false: none was left. */
bool world_compute_some(struct world *world, size_t max);
/* All of them. */
void world_compute(struct world *world);

/* The printers; the caller frees. Dirty keys, claims that wait and changed keys, one a line. */
char *world_print_model(const struct world *world);
char *world_print_objects(const struct world *world);
char *world_print_waiting(struct world *world);
char *world_take_dirty(struct world *world);
char *world_take_changes(struct world *world);

#endif
