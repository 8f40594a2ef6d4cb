/* SPDX-License-Identifier: Apache-2.0 */
/* One YAML or JSON document -> cJSON trees, typed as Kubernetes' own reader types them.
 *
 * Kubernetes reads YAML by turning it into JSON (sigs.k8s.io/yaml over go-yaml v2, YAML 1.1), so
 * the tree is a JSON tree: plain scalars are null, booleans and numbers by that reader's rules,
 * quoted ones strings, mapping keys strings. Of equal keys the last counts (tree_get). Every node's
 * line in the file is kept in its `valueint`. Knows no field but `items`: the elements of a List
 * come one by one, so that a long one needs no more memory than its longest element. */
#ifndef VIPD_SOURCE_TREE_H
#define VIPD_SOURCE_TREE_H

#include <stdbool.h>
#include <cjson/cJSON.h>

#include "err.h"

#define TREE_DEPTH_MAX 200 /* CustomResourceDefinitions nest some 40 deep */
#define TREE_NODES_MAX                                                            \
	4000000 /* of one document, aliases expanded; a 2 MB one has some 100,000 \
		 */

/* Gets each element of a top-level `items` sequence (`item` true), then the document itself without
 * them; owns the tree. A negative return ends the reading with it. */
typedef int (*tree_fn)(cJSON *tree, bool item, void *arg);

/* `first_line` is the number of the text's first line. An empty document calls nothing. 0, what
 * `fn` returned, -EINVAL (with "LINE: what" in `err`), -ENOMEM. JSON in several documents behind
 * each other is read, too. */
int tree_read(const char *text, size_t len, int first_line, tree_fn fn, void *arg, struct err *err);

/* The last child of that name, NULL if there is none or `map` is no object. */
const cJSON *tree_get(const cJSON *map, const char *name);
static inline int tree_line(const cJSON *node)
{
	return node->valueint;
}

#endif
