/* SPDX-License-Identifier: Apache-2.0 */
/* Typed fields of a tree: present or not, of the right type or complained of, with where they are.
 *
 * In the flow: tree -> FIELDS -> decode -> objects. Knows types, not Kubernetes. A field of the
 * wrong type is an error even where its value would not matter much: a quoted "80" is a string, as
 * it is for the API server. Lines come from the tree's `valueint` (source/tree.h). A null is as
 * good as a field that is not there. Whoever calls goes on after a complaint, so that one message
 * tells all that is wrong; the object is dropped in the end. */
#ifndef VIPD_KUBE_FIELDS_H
#define VIPD_KUBE_FIELDS_H

#include <stdbool.h>
#include <cjson/cJSON.h>

#include "addr.h"
#include "err.h"
#include "kube/objects.h"

/* Where in the object we are, for messages. */
struct field_path {
	const struct field_path *up;
	const char *name; /* NULL: an element, by index */
	size_t index;
};

/* One object while it is decoded. */
struct decoder {
	const char *origin, *kind;
	char name[330];
	struct err *err;
	size_t used; /* of err->text */
	int errors;
	bool full; /* no more of them are told */
	bool no_memory;
};

/* "ORIGIN:LINE: KIND NAME: PATH: ..." is added to the decoder's error. */
void field_complain(struct decoder *d, const struct field_path *path, const cJSON *node,
		    const char *fmt, ...) PRINTF(4, 5);
/* "must be WANT, is the string ..." */
void field_complain_type(struct decoder *d, const struct field_path *path, const cJSON *node,
			 const char *want);

/* Return what they were given, or a copy; NULL, and the decoder knows, without memory. */
void *field_take_memory(struct decoder *d, void *memory);
char *field_copy(struct decoder *d, const char *text);
const char *field_name(struct decoder *d, const char *text); /* name_ref() */

/* The field `name` of `map` (NULL: no field), which stands at `up`; NULL or a default if it is not
 * there or of another type, which is then complained of. Of equal names the last counts. */
const cJSON *field_get(const cJSON *map, const char *name);
const cJSON *field_map(struct decoder *d, const struct field_path *up, const cJSON *map,
		       const char *name);
/* A list of at most `max` elements; its length in *ret_n. */
const cJSON *field_list(struct decoder *d, const struct field_path *up, const cJSON *map,
			const char *name, size_t max, size_t *ret_n);
const char *field_text(struct decoder *d, const struct field_path *up, const cJSON *map,
		       const char *name);
bool field_bool(struct decoder *d, const struct field_path *up, const cJSON *map, const char *name,
		bool otherwise);
/* A whole number in [min, max]. */
uint32_t field_number(struct decoder *d, const struct field_path *up, const cJSON *map,
		      const char *name, uint32_t min, uint32_t max, uint32_t otherwise);
bool field_is_whole(const cJSON *node, double min, double max);
/* The index of the text in `words`. */
int field_word(struct decoder *d, const struct field_path *up, const cJSON *map, const char *name,
	       const char *const *words, int n, int otherwise);

/* Of one node: true, or complained of. The usable are those that traffic may go to. */
bool field_addr(struct decoder *d, const struct field_path *path, const cJSON *node,
		struct ip_addr *ret_addr);
bool field_usable_addr(struct decoder *d, const struct field_path *path, const cJSON *node,
		       struct ip_addr *ret_addr);
/* Lists of them, owned by the caller. */
struct ip_addr *field_addrs(struct decoder *d, const struct field_path *up, const cJSON *map,
			    const char *name, size_t *ret_n);
struct ip_prefix *field_prefixes(struct decoder *d, const struct field_path *up, const cJSON *map,
				 const char *name, size_t *ret_n);
/* A mapping of strings, sorted by key, owned by the caller; `keys` (NULL-terminated) picks those
 * wanted, NULL all. */
struct obj_pair *field_pairs(struct decoder *d, const struct field_path *up, const cJSON *map,
			     const char *name, const char *const *keys, size_t *ret_n);

#endif
