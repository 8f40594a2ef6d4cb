/* SPDX-License-Identifier: Apache-2.0 */
/* See cache.h. One hash of all objects, one of what belongs to a Service, one of labels. */
#include <errno.h>
#include <string.h>
#include <sys/types.h>
#include <uthash.h>

#include "heap.h"
#include "model/cache.h"
#include "model/policy.h"

#define OBJ_KEY_MAX   (CACHE_KEY_MAX + 2)
#define LABEL_KEY_MAX 512 /* longer ones are cut: who is found is compared whole */

/* An object under "kind ns/name" (kind as one character). */
struct obj_entry {
	union object *object;
	UT_hash_handle hh;
	char key[];
};

struct ptr_list {
	const void **items;
	size_t n, cap;
};

/* What belongs to the Service "ns/name", whether the Service itself is there or not. */
struct svc_entry {
	const struct service *service;
	const struct endpoints *endpoints;
	struct ptr_list slices;
	struct ptr_list dependents; /* entries of the Services that this one helps out */
	bool dirty;
	size_t places; /* how many of its objects make it depend on places */
	bool external; /* the Service has external addresses */
	struct svc_entry *next_dirty;
	UT_hash_handle hh, hh_placed, hh_external;
	char key[];
};

/* Label index: "ns/key=value" -> Pods that bear it, Services whose selector begins with it. */
struct label_entry {
	struct ptr_list pods, services;
	UT_hash_handle hh;
	char key[];
};

/* Index of nodes' addresses; that two nodes claim one is their error, not ours to forget. */
struct addr_entry {
	struct ip_addr addr;
	struct ptr_list nodes;
	UT_hash_handle hh;
};

struct cache {
	struct obj_entry *objects;
	struct svc_entry *services;
	struct svc_entry *placed;   /* those whose endpoints depend on places */
	struct svc_entry *external; /* those with external addresses */
	struct addr_entry *node_addrs;
	struct label_entry *labels;
	struct svc_entry *dirty;
	size_t n_dirty;
	size_t counts[OBJ_KIND_COUNT];
	uint64_t changes[OBJ_KIND_COUNT]; /* since the beginning */
};

static int list_add(struct ptr_list *list, const void *item)
{
	int rc;

	if (!list->cap && (list->items = malloc(sizeof(*list->items)))) /* most stay alone */
		list->cap = 1;
	rc = util_grow((void **)&list->items, &list->cap, list->n + 1, sizeof(*list->items));
	if (rc < 0)
		return rc;
	list->items[list->n++] = item;
	return 0;
}

static void list_remove(struct ptr_list *list, const void *item)
{
	for (size_t i = 0; i < list->n; i++) {
		if (list->items[i] == item) {
			list->items[i] = list->items[--list->n];
			break;
		}
	}
	if (!list->n) {
		free(list->items);
		*list = (struct ptr_list){0};
	}
}

struct cache *cache_new(void)
{
	return calloc(1, sizeof(struct cache));
}

static void svc_entry_free(struct cache *cache, struct svc_entry *entry)
{
	if (entry->places)
		HASH_DELETE(hh_placed, cache->placed, entry);
	if (entry->external)
		HASH_DELETE(hh_external, cache->external, entry);
	HASH_DEL(cache->services, entry);
	free(entry->slices.items);
	free(entry->dependents.items);
	free(entry);
}

static void addr_entry_free(struct cache *cache, struct addr_entry *entry)
{
	HASH_DEL(cache->node_addrs, entry);
	free(entry->nodes.items);
	free(entry);
}

void cache_free(struct cache *cache)
{
	struct obj_entry *object, *next_object;
	struct svc_entry *svc, *next_svc;
	struct label_entry *label, *next_label;
	struct addr_entry *addr, *next_addr;

	if (!cache)
		return;
	HASH_ITER (hh, cache->objects, object, next_object) {
		HASH_DEL(cache->objects, object);
		object_free(object->object);
		free(object);
	}
	HASH_ITER (hh, cache->services, svc, next_svc)
		svc_entry_free(cache, svc);
	HASH_ITER (hh, cache->node_addrs, addr, next_addr) {
		addr_entry_free(cache, addr);
	}
	HASH_ITER (hh, cache->labels, label, next_label) {
		HASH_DEL(cache->labels, label);
		free(label->pods.items);
		free(label->services.items);
		free(label);
	}
	free(cache);
}

static struct svc_entry *svc_find(const struct cache *cache, const char *key)
{
	struct svc_entry *entry;

	HASH_FIND_STR(cache->services, key, entry);
	return entry;
}

static struct svc_entry *svc_get(struct cache *cache, const char *ns, const char *name)
{
	char key[CACHE_KEY_MAX];
	size_t len = util_join(key, sizeof(key), ns, '/', name);
	struct svc_entry *entry;
	unsigned hash;

	HASH_VALUE(key, len, hash);
	HASH_FIND_BYHASHVALUE(hh, cache->services, key, len, hash, entry);
	if (entry)
		return entry;
	entry = calloc(1, sizeof(*entry) + len + 1);
	if (!entry)
		return NULL;
	memcpy(entry->key, key, len);
	HASH_ADD_KEYPTR_BYHASHVALUE(hh, cache->services, entry->key, len, hash, entry);
	return entry;
}

static void mark_entry(struct cache *cache, struct svc_entry *entry)
{
	if (entry->dirty)
		return;
	entry->dirty = true;
	entry->next_dirty = cache->dirty;
	cache->dirty = entry;
	cache->n_dirty++;
}

static void svc_mark(struct cache *cache, struct svc_entry *entry)
{
	mark_entry(cache, entry);
	for (size_t i = 0; i < entry->dependents.n; i++)
		mark_entry(cache, (struct svc_entry *)(uintptr_t)entry->dependents.items[i]);
}

/* One more, or one less, of the objects that make it depend on places. */
static void svc_count_place(struct cache *cache, struct svc_entry *entry, bool more)
{
	if (more && entry->places++ == 0)
		HASH_ADD_KEYPTR(hh_placed, cache->placed, entry->key, strlen(entry->key), entry);
	if (!more && --entry->places == 0)
		HASH_DELETE(hh_placed, cache->placed, entry);
}

static size_t label_key(char buf[LABEL_KEY_MAX], const char *ns, const struct obj_pair *pair)
{
	size_t len = util_join(buf, LABEL_KEY_MAX - 1, ns, '/', pair->key);

	return len + util_join(buf + len, LABEL_KEY_MAX - len, "", '=', pair->value);
}

static struct label_entry *label_find(const struct cache *cache, const char *ns,
				      const struct obj_pair *pair)
{
	struct label_entry *entry;
	char key[LABEL_KEY_MAX];
	size_t len = label_key(key, ns, pair);

	HASH_FIND(hh, cache->labels, key, len, entry);
	return entry;
}

static struct label_entry *label_get(struct cache *cache, const char *ns,
				     const struct obj_pair *pair)
{
	char key[LABEL_KEY_MAX];
	size_t len = label_key(key, ns, pair);
	struct label_entry *entry;
	unsigned hash;

	HASH_VALUE(key, len, hash);
	HASH_FIND_BYHASHVALUE(hh, cache->labels, key, len, hash, entry);
	if (entry)
		return entry;
	entry = calloc(1, sizeof(*entry) + len + 1);
	if (!entry)
		return NULL;
	memcpy(entry->key, key, len);
	HASH_ADD_KEYPTR_BYHASHVALUE(hh, cache->labels, entry->key, len, hash, entry);
	return entry;
}

static void label_drop_if_empty(struct cache *cache, struct label_entry *entry)
{
	if (entry->pods.n || entry->services.n)
		return;
	HASH_DEL(cache->labels, entry);
	free(entry);
}

static bool selector_matches(const struct service *svc, const struct pod *pod)
{
	for (size_t i = 0; i < svc->n_selector; i++) {
		const char *value = obj_label(&pod->meta, svc->selector[i].key);

		if (!value || strcmp(value, svc->selector[i].value) != 0)
			return false;
	}
	return svc->n_selector > 0;
}

/* Marks the Services that select `pod`: those under one of its labels, then all of the selector. */
static void pod_mark(struct cache *cache, const struct pod *pod)
{
	for (size_t i = 0; i < pod->meta.n_labels; i++) {
		struct label_entry *label = label_find(cache, pod->meta.ns, &pod->meta.labels[i]);

		for (size_t s = 0; label && s < label->services.n; s++) {
			const struct service *svc = label->services.items[s];
			char key[CACHE_KEY_MAX];
			struct svc_entry *entry;

			util_join(key, sizeof(key), svc->meta.ns, '/', svc->meta.name);
			entry = svc_find(cache, key);
			if (entry && selector_matches(svc, pod))
				svc_mark(cache, entry);
		}
	}
}

static int pod_link(struct cache *cache, const struct pod *pod, bool link)
{
	for (size_t i = 0; i < pod->meta.n_labels; i++) {
		struct label_entry *label = label_get(cache, pod->meta.ns, &pod->meta.labels[i]);

		if (!label)
			return -ENOMEM;
		if (link && list_add(&label->pods, pod) < 0)
			return -ENOMEM;
		if (!link) {
			list_remove(&label->pods, pod);
			label_drop_if_empty(cache, label);
		}
	}
	pod_mark(cache, pod);
	return 0;
}

static void svc_set_external(struct cache *cache, struct svc_entry *entry, bool external)
{
	if (entry->external == external)
		return;
	entry->external = external;
	if (external)
		HASH_ADD_KEYPTR(hh_external, cache->external, entry->key, strlen(entry->key),
				entry);
	else
		HASH_DELETE(hh_external, cache->external, entry);
}

static void mark_external(struct cache *cache)
{
	struct svc_entry *entry, *next;

	HASH_ITER (hh_external, cache->external, entry, next)
		svc_mark(cache, entry);
}

/* The entry of the Service that is named as fallback knows whom it helps out. */
static int fallback_link(struct cache *cache, struct svc_entry *entry, const struct service *svc,
			 bool link)
{
	char key[CACHE_KEY_MAX], *slash;
	struct svc_entry *helper;

	if (!policy_fallback(svc, key, sizeof(key)))
		return 0;
	slash = strchr(key, '/');
	*slash = '\0';
	helper = svc_get(cache, key, slash + 1);
	if (!helper)
		return -ENOMEM;
	if (link)
		return list_add(&helper->dependents, entry);
	list_remove(&helper->dependents, entry);
	mark_entry(cache, helper); /* it may be bare now */
	return 0;
}

static int service_link(struct cache *cache, const struct service *svc, bool link)
{
	struct svc_entry *entry = svc_get(cache, svc->meta.ns, svc->meta.name);
	struct label_entry *label = NULL;

	if (!entry)
		return -ENOMEM;
	entry->service = link ? svc : NULL;
	svc_mark(cache, entry);
	if (svc->distribution != SVC_ANYWHERE)
		svc_count_place(cache, entry, link);
	if (fallback_link(cache, entry, svc, link) < 0)
		return -ENOMEM;
	svc_set_external(cache, entry, link && (svc->n_external_ips || svc->n_ingress));
	if (!svc->n_selector)
		return 0;
	label = label_get(cache, svc->meta.ns, &svc->selector[0]);
	if (!label || (link && list_add(&label->services, svc) < 0))
		return -ENOMEM;
	if (!link) {
		list_remove(&label->services, svc);
		label_drop_if_empty(cache, label);
	}
	return 0;
}

static bool is_api_server(const struct svc_entry *entry)
{
	return strcmp(entry->key, "default/kubernetes") == 0;
}

static bool has_hints(const struct slice *slice)
{
	for (size_t i = 0; i < slice->n_endpoints; i++)
		if (slice->endpoints[i].zones_hint || slice->endpoints[i].nodes_hint)
			return true;
	return false;
}

static int slice_link(struct cache *cache, const struct slice *slice, bool link)
{
	struct svc_entry *entry;

	if (!slice->service || !*slice->service)
		return 0;
	entry = svc_get(cache, slice->meta.ns, slice->service);
	if (!entry || (link && list_add(&entry->slices, slice) < 0))
		return -ENOMEM;
	if (!link)
		list_remove(&entry->slices, slice);
	if (has_hints(slice))
		svc_count_place(cache, entry, link);
	svc_mark(cache, entry);
	if (is_api_server(entry))
		mark_external(cache);
	return 0;
}

static int endpoints_link(struct cache *cache, const struct endpoints *endpoints, bool link)
{
	struct svc_entry *entry = svc_get(cache, endpoints->meta.ns, endpoints->meta.name);

	if (!entry)
		return -ENOMEM;
	entry->endpoints = link ? endpoints : NULL;
	svc_mark(cache, entry);
	if (is_api_server(entry))
		mark_external(cache);
	return 0;
}

static struct addr_entry *addr_find(const struct cache *cache, const struct ip_addr *addr)
{
	struct addr_entry *entry;

	HASH_FIND(hh, cache->node_addrs, addr, sizeof(*addr), entry);
	return entry;
}

static int addr_link(struct cache *cache, const struct ip_addr *addr, const struct node *node)
{
	struct addr_entry *entry = addr_find(cache, addr);

	if (!entry) {
		entry = calloc(1, sizeof(*entry));
		if (!entry)
			return -ENOMEM;
		entry->addr = *addr;
		HASH_ADD(hh, cache->node_addrs, addr, sizeof(entry->addr), entry);
	}
	return list_add(&entry->nodes, node);
}

static void addr_unlink(struct cache *cache, const struct ip_addr *addr, const struct node *node)
{
	struct addr_entry *entry = addr_find(cache, addr);

	if (!entry)
		return;
	list_remove(&entry->nodes, node);
	if (!entry->nodes.n)
		addr_entry_free(cache, entry);
}

static int node_link(struct cache *cache, const struct node *node, bool link)
{
	int rc = 0;

	if (node->zone)
		cache_mark_placed(cache);
	if (node->n_addrs)
		mark_external(cache);
	for (size_t i = 0; i < node->n_addrs && rc == 0; i++) {
		if (link)
			rc = addr_link(cache, &node->addrs[i], node);
		else
			addr_unlink(cache, &node->addrs[i], node);
	}
	return rc;
}

/* Puts an object into the indexes, or takes it out; either way marks whom it touches. */
static int object_link(struct cache *cache, const union object *object, bool link)
{
	switch (object->meta.kind) {
	case OBJ_SERVICE:
		return service_link(cache, &object->service, link);
	case OBJ_SLICE:
		return slice_link(cache, &object->slice, link);
	case OBJ_ENDPOINTS:
		return endpoints_link(cache, &object->endpoints, link);
	case OBJ_POD:
		return pod_link(cache, &object->pod, link);
	case OBJ_NODE:
		return node_link(cache, &object->node, link);
	case OBJ_KIND_COUNT:
		break;
	}
	return 0;
}

static size_t obj_key(char buf[OBJ_KEY_MAX], enum obj_kind kind, const char *ns, const char *name)
{
	buf[0] = (char)('a' + (int)kind);
	buf[1] = ' ';
	return 2 + util_join(buf + 2, OBJ_KEY_MAX - 2, ns, '/', name);
}

static struct obj_entry *obj_find(const struct cache *cache, enum obj_kind kind, const char *ns,
				  const char *name)
{
	char key[OBJ_KEY_MAX];
	size_t len = obj_key(key, kind, ns, name);
	struct obj_entry *entry;

	HASH_FIND(hh, cache->objects, key, len, entry);
	return entry;
}

static int obj_add(struct cache *cache, union object *object)
{
	char key[OBJ_KEY_MAX];
	size_t len = obj_key(key, object->meta.kind, object->meta.ns, object->meta.name);
	struct obj_entry *entry = calloc(1, sizeof(*entry) + len + 1);

	if (!entry)
		return -ENOMEM;
	memcpy(entry->key, key, len);
	entry->object = object;
	HASH_ADD_KEYPTR(hh, cache->objects, entry->key, len, entry);
	cache->counts[object->meta.kind]++;
	return 0;
}

int cache_put(struct cache *cache, union object *object)
{
	struct obj_entry *entry =
		obj_find(cache, object->meta.kind, object->meta.ns, object->meta.name);
	int rc;

	if (entry && object_equal(entry->object, object)) {
		object_free(object);
		return 0;
	}
	cache->changes[object->meta.kind]++;
	if (!entry) {
		rc = obj_add(cache, object);
		if (rc < 0) {
			object_free(object);
			return rc;
		}
		return object_link(cache, object, true);
	}
	rc = object_link(cache, entry->object, false);
	object_free(entry->object);
	entry->object = object;
	return rc < 0 ? rc : object_link(cache, object, true);
}

int cache_remove(struct cache *cache, enum obj_kind kind, const char *ns, const char *name)
{
	struct obj_entry *entry = obj_find(cache, kind, ns, name);
	int rc;

	if (!entry)
		return 0;
	rc = object_link(cache, entry->object, false);
	HASH_DEL(cache->objects, entry);
	cache->counts[kind]--;
	cache->changes[kind]++;
	object_free(entry->object);
	free(entry);
	return rc;
}

static int str_cmp(const void *a, const void *b)
{
	return strcmp(*(char *const *)a, *(char *const *)b);
}

ssize_t cache_take_dirty(struct cache *cache, char ***ret_keys)
{
	size_t bytes = 0, n = 0;
	struct svc_entry *entry, *next;
	char **keys, *text;
	void *heap;

	for (entry = cache->dirty; entry; entry = entry->next_dirty)
		bytes += strlen(entry->key) + 1;
	heap = heap_populate(NULL);
	keys = malloc((cache->n_dirty + 1) * sizeof(*keys) + bytes);
	heap_populate(heap);
	if (!keys)
		return -ENOMEM;
	text = (char *)(keys + cache->n_dirty + 1);
	for (entry = cache->dirty; entry; entry = next) {
		next = entry->next_dirty;
		keys[cache->n_dirty - ++n] = text; /* as they were marked: mostly sorted */
		text = stpcpy(text, entry->key) + 1;
		entry->dirty = false;
		if (!entry->service && !entry->endpoints && !entry->slices.n &&
		    !entry->dependents.n)
			svc_entry_free(cache, entry);
	}
	cache->dirty = NULL;
	cache->n_dirty = 0;
	qsort(keys, n, sizeof(*keys), str_cmp);
	*ret_keys = keys;
	return (ssize_t)n;
}

int cache_mark_all(struct cache *cache)
{
	struct svc_entry *entry, *next;

	HASH_ITER (hh, cache->services, entry, next)
		svc_mark(cache, entry);
	return 0;
}

void cache_mark_placed(struct cache *cache)
{
	struct svc_entry *entry, *next;

	HASH_ITER (hh_placed, cache->placed, entry, next)
		svc_mark(cache, entry);
}

static const char *zone_of(const struct cache *cache, const struct pod *pod)
{
	const struct node *node = pod->node ? cache_node(cache, pod->node) : NULL;

	return node ? node->zone : NULL;
}

static int find_zones(const struct cache *cache, struct svc_inputs *inputs)
{
	inputs->pod_zones = calloc(inputs->n_pods + 1, sizeof(*inputs->pod_zones));
	if (!inputs->pod_zones)
		return -ENOMEM;
	for (size_t i = 0; i < inputs->n_pods; i++)
		inputs->pod_zones[i] = zone_of(cache, inputs->pods[i]);
	return 0;
}

static int select_pods(const struct cache *cache, const struct service *svc,
		       struct svc_inputs *inputs)
{
	const struct label_entry *label = label_find(cache, svc->meta.ns, &svc->selector[0]);

	if (!label || !label->pods.n)
		return 0;
	inputs->pods = malloc(label->pods.n * sizeof(*inputs->pods));
	if (!inputs->pods)
		return -ENOMEM;
	for (size_t i = 0; i < label->pods.n; i++) {
		const struct pod *pod = label->pods.items[i];

		if (selector_matches(svc, pod))
			inputs->pods[inputs->n_pods++] = pod;
	}
	return svc->distribution == SVC_ANYWHERE ? 0 : find_zones(cache, inputs);
}

static int own_inputs(const struct cache *cache, const struct svc_entry *entry,
		      struct svc_inputs *ret_inputs)
{
	if (!entry)
		return 0;
	ret_inputs->service = entry->service;
	ret_inputs->endpoints = entry->endpoints;
	ret_inputs->slices = (const struct slice *const *)entry->slices.items;
	ret_inputs->n_slices = entry->slices.n;
	if (!entry->service || !entry->service->n_selector)
		return 0;
	return select_pods(cache, entry->service, ret_inputs);
}

int cache_inputs(const struct cache *cache, const char *key, struct svc_inputs *ret_inputs)
{
	char fallback[CACHE_KEY_MAX];
	int rc;

	*ret_inputs = (struct svc_inputs){0};
	rc = own_inputs(cache, svc_find(cache, key), ret_inputs);
	if (rc == 0 && ret_inputs->service &&
	    policy_fallback(ret_inputs->service, fallback, sizeof(fallback))) {
		ret_inputs->fallback = calloc(1, sizeof(*ret_inputs->fallback));
		rc = ret_inputs->fallback
			     ? own_inputs(cache, svc_find(cache, fallback), ret_inputs->fallback)
			     : -ENOMEM;
	}
	if (rc < 0)
		svc_inputs_done(ret_inputs);
	return rc;
}

void svc_inputs_done(struct svc_inputs *inputs)
{
	if (inputs->fallback)
		svc_inputs_done(inputs->fallback);
	free(inputs->fallback);
	free(inputs->pods);
	free(inputs->pod_zones);
	*inputs = (struct svc_inputs){0};
}

static bool slice_serves(const struct slice *slice, const struct ip_addr *addr, uint16_t port)
{
	bool has_port = port == 0, has_addr = false;

	for (size_t i = 0; i < slice->n_ports; i++)
		has_port |= slice->ports[i].port == port;
	for (size_t i = 0; i < slice->n_endpoints; i++)
		has_addr |= addr_equal(&slice->endpoints[i].addr, addr);
	return has_port && has_addr;
}

/* At this address, and at this port of it (0 = any)? */
static bool api_server_at(const struct cache *cache, const struct ip_addr *addr, uint16_t port)
{
	const struct svc_entry *entry = svc_find(cache, "default/kubernetes");
	bool found = false;

	for (size_t i = 0; entry && i < entry->slices.n; i++)
		found |= slice_serves(entry->slices.items[i], addr, port);
	for (size_t i = 0; entry && entry->endpoints && i < entry->endpoints->n_subsets; i++)
		found |= slice_serves(&entry->endpoints->subsets[i], addr, port);
	return found;
}

const char *cache_owner_of(const struct cache *cache, const char *node_name,
			   const struct ip_addr *addr, uint16_t port)
{
	const struct addr_entry *entry = addr_find(cache, addr);
	bool own = false;

	for (size_t i = 0; entry && i < entry->nodes.n; i++)
		own |= strcmp(((const struct node *)entry->nodes.items[i])->meta.name, node_name) ==
		       0;
	if (api_server_at(cache, addr, own ? port : 0))
		return "the API server's";
	return entry && !own ? "another node's" : NULL;
}

const struct service *cache_service(const struct cache *cache, const char *key)
{
	const struct svc_entry *entry = svc_find(cache, key);

	return entry ? entry->service : NULL;
}

const struct node *cache_node(const struct cache *cache, const char *name)
{
	const struct obj_entry *entry = obj_find(cache, OBJ_NODE, "", name);

	return entry ? &entry->object->node : NULL;
}

uint64_t cache_changes(const struct cache *cache, enum obj_kind kind)
{
	return cache->changes[kind];
}

size_t cache_count(const struct cache *cache, enum obj_kind kind)
{
	return cache->counts[kind];
}

static int obj_entry_cmp(const void *a, const void *b)
{
	return strcmp((*(struct obj_entry *const *)a)->key, (*(struct obj_entry *const *)b)->key);
}

int cache_print(const struct cache *cache, FILE *out)
{
	size_t n = 0, count = HASH_COUNT(cache->objects);
	cleanup_free struct obj_entry **all = malloc((count + 1) * sizeof(struct obj_entry *));
	struct obj_entry *entry, *next;

	if (!all)
		return -ENOMEM;
	HASH_ITER (hh, cache->objects, entry, next)
		all[n++] = entry;
	qsort(all, n, sizeof(struct obj_entry *), obj_entry_cmp);
	for (size_t i = 0; i < n; i++)
		object_print(all[i]->object, out);
	return 0;
}
