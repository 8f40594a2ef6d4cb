/* SPDX-License-Identifier: Apache-2.0 */
/* YAML and JSON of whatever kind: a tree in which every node is what tree.h promises, or an error
 * that begins with a line of the text. */
#include <ctype.h>
#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "source/tree.h"

#define FIRST_LINE 7 /* not 1: lines are counted from the caller's */

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct seen {
	int last_line;
	size_t documents;
};

static void require(bool holds)
{
	if (!holds)
		abort();
}

static void check_node(const cJSON *node, const struct seen *seen, bool in_object, size_t depth)
{
	const cJSON *last = NULL;

	require(depth <= TREE_DEPTH_MAX);
	require(tree_line(node) >= FIRST_LINE && tree_line(node) <= seen->last_line);
	require(!in_object || node->string);
	require(!cJSON_IsString(node) || node->valuestring);
	require(!cJSON_IsNumber(node) || isfinite(node->valuedouble));
	for (const cJSON *child = node->child; child; child = child->next) {
		check_node(child, seen, cJSON_IsObject(node), depth + 1);
		last = child;
	}
	require(!last || !cJSON_IsObject(node) || tree_get(node, last->string) == last);
}

static int take(cJSON *tree, bool item, void *arg)
{
	struct seen *seen = arg;

	require(tree && (!item || cJSON_IsObject(tree)));
	check_node(tree, seen, false, 1);
	seen->documents += !item;
	cJSON_Delete(tree);
	return 0;
}

/* libyaml knows line breaks of other kinds (CR, NEL, LS, PS), so that bytes are the bound. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct seen seen = {.last_line = FIRST_LINE + (int)size};
	struct err err = {0};
	int rc = tree_read((const char *)data, size, FIRST_LINE, take, &seen, &err);

	require(rc == 0 || rc == -EINVAL);
	if (rc < 0) {
		int line = atoi(err.text);

		require(err.code == rc && line >= FIRST_LINE && line <= seen.last_line + 1);
		require(strchr(err.text, ':') && strchr(err.text, ':')[1] == ' ');
	}
	return 0;
}
