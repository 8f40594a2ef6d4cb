/* SPDX-License-Identifier: Apache-2.0 */
/* See fields.h. */
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "kube/decode.h"
#include "kube/fields.h"
#include "names.h"

/* ---- errors ---- */

static size_t print_path(const struct field_path *path, char *buf, size_t size)
{
	size_t n;

	if (!path)
		return 0;
	n = print_path(path->up, buf, size);
	if (path->name)
		n += (size_t)snprintf(buf + n, size - n, "%s%s", n ? "." : "", path->name);
	else
		n += (size_t)snprintf(buf + n, size - n, "[%zu]", path->index);
	return n < size ? n : size - 1;
}

void field_complain(struct decoder *d, const struct field_path *path, const cJSON *node,
		    const char *fmt, ...)
{
	static const char more[] = "; and more";
	size_t room = sizeof(d->err->text) - sizeof(more) - d->used, n = 0;
	char *at = d->err->text + d->used, where[160] = "";
	va_list args;

	d->errors++;
	if (d->full)
		return;
	print_path(path, where, sizeof(where));
	n = (size_t)snprintf(at, room, "%s%s:%d: %s %s: %s%s", d->used ? "; " : "", d->origin,
			     node ? node->valueint : 0, d->kind, d->name, where,
			     *where ? ": " : "");
	if (n < room) {
		va_start(args, fmt);
		n += (size_t)vsnprintf(at + n, room - n, fmt, args);
		va_end(args);
	}
	d->full = n >= room;
	if (!d->full)
		d->used += n;
	else if (d->used)
		memcpy(at, more, sizeof(more));
	else
		d->used = room - 1; /* the first is told as far as it goes */
}

static const char *describe(const cJSON *node, char *buf, size_t size)
{
	if (cJSON_IsString(node))
		snprintf(buf, size, "is the string \"%.40s\"", node->valuestring);
	else if (cJSON_IsNumber(node))
		snprintf(buf, size, "is the number %.15g", node->valuedouble);
	else if (cJSON_IsBool(node))
		snprintf(buf, size, "is the boolean %s", cJSON_IsTrue(node) ? "true" : "false");
	else
		snprintf(buf, size, "is %s",
			 cJSON_IsObject(node)  ? "a mapping"
			 : cJSON_IsArray(node) ? "a list"
					       : "null");
	return buf;
}

void field_complain_type(struct decoder *d, const struct field_path *path, const cJSON *node,
			 const char *want)
{
	char what[80];

	field_complain(d, path, node, "must be %s, %s", want, describe(node, what, sizeof(what)));
}

void *field_take_memory(struct decoder *d, void *memory)
{
	d->no_memory |= !memory;
	return memory;
}

char *field_copy(struct decoder *d, const char *text)
{
	return field_take_memory(d, strdup(text));
}

const char *field_name(struct decoder *d, const char *text)
{
	const char *name = name_ref(text);

	d->no_memory |= !name;
	return name;
}

/* ---- fields ---- */

/* Of equal names the last counts; null is as good as not there. */
const cJSON *field_get(const cJSON *map, const char *name)
{
	const cJSON *found = NULL;

	for (const cJSON *child = cJSON_IsObject(map) ? map->child : NULL; child;
	     child = child->next)
		if (strcmp(child->string, name) == 0)
			found = child;
	return cJSON_IsNull(found) ? NULL : found;
}

const cJSON *field_map(struct decoder *d, const struct field_path *up, const cJSON *map,
		       const char *name)
{
	const struct field_path path = {.up = up, .name = name};
	const cJSON *node = field_get(map, name);

	if (node && !cJSON_IsObject(node)) {
		field_complain_type(d, &path, node, "a mapping");
		return NULL;
	}
	return node;
}

/* A list of at most `max` elements; its length in *ret_n. */
const cJSON *field_list(struct decoder *d, const struct field_path *up, const cJSON *map,
			const char *name, size_t max, size_t *ret_n)
{
	const struct field_path path = {.up = up, .name = name};
	const cJSON *node = field_get(map, name);

	*ret_n = 0;
	if (node && !cJSON_IsArray(node)) {
		field_complain_type(d, &path, node, "a list");
		return NULL;
	}
	for (const cJSON *child = node ? node->child : NULL; child; child = child->next)
		++*ret_n;
	if (*ret_n > max) {
		field_complain(d, &path, node, "has %zu elements, more than %zu", *ret_n, max);
		*ret_n = 0;
		return NULL;
	}
	return node;
}

const char *field_text(struct decoder *d, const struct field_path *up, const cJSON *map,
		       const char *name)
{
	const struct field_path path = {.up = up, .name = name};
	const cJSON *node = field_get(map, name);

	if (node && !cJSON_IsString(node)) {
		field_complain_type(d, &path, node, "a string");
		return NULL;
	}
	return node ? node->valuestring : NULL;
}

bool field_bool(struct decoder *d, const struct field_path *up, const cJSON *map, const char *name,
		bool otherwise)
{
	const struct field_path path = {.up = up, .name = name};
	const cJSON *node = field_get(map, name);

	if (node && !cJSON_IsBool(node)) {
		field_complain_type(d, &path, node, "true or false");
		return otherwise;
	}
	return node ? cJSON_IsTrue(node) : otherwise;
}

bool field_is_whole(const cJSON *node, double min, double max)
{
	return cJSON_IsNumber(node) && node->valuedouble >= min && node->valuedouble <= max &&
	       (double)(int64_t)node->valuedouble == node->valuedouble;
}

/* A whole number in [min, max]; `otherwise` if it is not there. */
uint32_t field_number(struct decoder *d, const struct field_path *up, const cJSON *map,
		      const char *name, uint32_t min, uint32_t max, uint32_t otherwise)
{
	const struct field_path path = {.up = up, .name = name};
	const cJSON *node = field_get(map, name);
	char want[64];

	if (!node)
		return otherwise;
	if (field_is_whole(node, min, max))
		return (uint32_t)node->valuedouble;
	snprintf(want, sizeof(want), "an integer from %u to %u", min, max);
	field_complain_type(d, &path, node, want);
	return otherwise;
}

/* The index of the text in `words`; `otherwise` if it is not there, an error if it is another. */
int field_word(struct decoder *d, const struct field_path *up, const cJSON *map, const char *name,
	       const char *const *words, int n, int otherwise)
{
	const struct field_path path = {.up = up, .name = name};
	const char *text = field_text(d, up, map, name);
	char list[128] = "";
	size_t used = 0;

	if (!text || !*text)
		return otherwise;
	for (int i = 0; i < n; i++) {
		if (strcmp(words[i], text) == 0)
			return i;
		used += (size_t)snprintf(list + used, sizeof(list) - used, "%s%s", i ? ", " : "",
					 words[i]);
	}
	field_complain(d, &path, field_get(map, name), "must be one of %s, is \"%.40s\"", list,
		       text);
	return otherwise;
}

/* ---- addresses ---- */

bool field_addr(struct decoder *d, const struct field_path *path, const cJSON *node,
		struct ip_addr *ret_addr)
{
	if (!cJSON_IsString(node)) {
		field_complain_type(d, path, node, "an IP address");
		return false;
	}
	if (addr_parse(node->valuestring, ret_addr) < 0) {
		field_complain(d, path, node, "must be an IP address, is \"%.60s\"",
			       node->valuestring);
		return false;
	}
	return true;
}

/* One that traffic may go to: not loopback, multicast and the like. */
bool field_usable_addr(struct decoder *d, const struct field_path *path, const cJSON *node,
		       struct ip_addr *ret_addr)
{
	const char *why;

	if (!field_addr(d, path, node, ret_addr))
		return false;
	why = addr_unusable(ret_addr);
	if (why)
		field_complain(d, path, node, "must not be %s, is %.60s", why, node->valuestring);
	return !why;
}

/* A list of addresses; those that cannot be read are errors. */
struct ip_addr *field_addrs(struct decoder *d, const struct field_path *up, const cJSON *map,
			    const char *name, size_t *ret_n)
{
	const struct field_path list_path = {.up = up, .name = name};
	struct field_path path = {.up = &list_path};
	size_t n;
	const cJSON *list = field_list(d, up, map, name, OBJ_ADDRS_MAX, &n);
	struct ip_addr *addrs;

	*ret_n = 0;
	if (!n)
		return NULL;
	addrs = field_take_memory(d, calloc(n, sizeof(*addrs)));
	for (const cJSON *item = addrs ? list->child : NULL; item; item = item->next) {
		if (field_usable_addr(d, &path, item, &addrs[*ret_n]))
			++*ret_n;
		path.index++;
	}
	return addrs;
}

struct ip_prefix *field_prefixes(struct decoder *d, const struct field_path *up, const cJSON *map,
				 const char *name, size_t *ret_n)
{
	const struct field_path list_path = {.up = up, .name = name};
	struct field_path path = {.up = &list_path};
	size_t n;
	const cJSON *list = field_list(d, up, map, name, OBJ_ADDRS_MAX, &n);
	struct ip_prefix *nets;

	*ret_n = 0;
	if (!n)
		return NULL;
	nets = field_take_memory(d, calloc(n, sizeof(*nets)));
	for (const cJSON *item = nets ? list->child : NULL; item; item = item->next) {
		char text[80] = "";

		if (cJSON_IsString(item)) /* blanks around it are allowed here */
			sscanf(item->valuestring, " %79s", text);
		if (prefix_parse(text, &nets[*ret_n]) == 0)
			++*ret_n;
		else
			field_complain_type(d, &path, item, "a network like 10.0.0.0/8");
		path.index++;
	}
	return nets;
}

/* ---- mappings of strings ---- */

static int pair_cmp(const void *a, const void *b)
{
	return strcmp(((const struct obj_pair *)a)->key, ((const struct obj_pair *)b)->key);
}

static bool wanted(const char *key, const char *const *keys)
{
	if (!keys)
		return true;
	for (; *keys; keys++)
		if (strcmp(*keys, key) == 0)
			return true;
	return false;
}

/* A mapping of strings, sorted; `keys` (NULL-terminated) picks those wanted, NULL all. */
struct obj_pair *field_pairs(struct decoder *d, const struct field_path *up, const cJSON *map,
			     const char *name, const char *const *keys, size_t *ret_n)
{
	const struct field_path map_path = {.up = up, .name = name};
	const cJSON *node = field_map(d, up, map, name);
	struct obj_pair *pairs = NULL;
	size_t n = 0, cap = 0;

	for (const cJSON *item = node ? node->child : NULL; item; item = item->next) {
		const struct field_path path = {.up = &map_path, .name = item->string};

		if (!wanted(item->string, keys) || field_get(node, item->string) != item)
			continue;
		if (!cJSON_IsString(item)) {
			field_complain_type(d, &path, item, "a string");
			continue;
		}
		if (util_grow((void **)&pairs, &cap, n + 1, sizeof(*pairs)) < 0) {
			d->no_memory = true;
			break;
		}
		pairs[n++] = (struct obj_pair){field_copy(d, item->string),
					       field_copy(d, item->valuestring)};
	}
	*ret_n = n;
	if (n && !d->no_memory)
		qsort(pairs, n, sizeof(*pairs), pair_cmp);
	return pairs;
}
