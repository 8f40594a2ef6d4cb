/* SPDX-License-Identifier: Apache-2.0 */
/* The seam between a source of objects (manifest folder, API server) and the cache.
 *
 * A source lives on the loop, reads in slices of SOURCE_SLICE_US, and tells its sink what changed.
 * It may tell an object again that is equal to the last told: the cache sees that. It never tells a
 * deletion on the strength of an incomplete picture: a file that cannot be read keeps its last good
 * objects. */
#ifndef VIPD_SOURCE_H
#define VIPD_SOURCE_H

#include "kube/objects.h"

#define SOURCE_SLICE_US 10000

struct source_sink {
	void *ctx;
	/* A new or changed object; the sink owns it from here. */
	void (*put)(void *ctx, union object *object);
	void (*remove)(void *ctx, enum obj_kind kind, const char *ns, const char *name);
	/* After each consistent set of changes (one save of a file, one watch event). The first
	 * call with complete = true says that everything there is has been told. */
	void (*commit)(void *ctx, bool complete);
	/* Something is wrong with the source or came right again: `subject` is a file or server,
	 * `text` NULL = right again. For logs, status and exit codes; the state stays. */
	void (*problem)(void *ctx, const char *subject, const char *text);
};

#endif
