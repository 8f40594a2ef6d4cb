/* SPDX-License-Identifier: Apache-2.0 */
/* JSON text (RFC 8259) -> the same trees as tree.h makes of YAML.
 *
 * Most JSON is YAML, too, but libyaml refuses what kubectl prints for characters outside the basic
 * plane (surrogate pairs) and documents behind each other, and is slower. Says only whether the
 * text is JSON: what is none may be YAML yet, so that the words of an error are tree.c's. */
#ifndef VIPD_SOURCE_JSON_H
#define VIPD_SOURCE_JSON_H

#include "source/tree.h"

/* Hands out like tree_read(): the elements of a top-level `items`, then the document, for each
 * document. 0; -EINVAL: no JSON, or beyond TREE_DEPTH_MAX or TREE_NODES_MAX, or a text with a NUL;
 * what `fn` returned; -ENOMEM. What stood before the fault has been handed out. */
int json_read(const char *text, size_t len, int first_line, tree_fn fn, void *arg);

#endif
