/* SPDX-License-Identifier: Apache-2.0 */
/* The neutral model: frontends by key, with a list of keys that changed. See include/model.h. */
#include <errno.h>
#include <string.h>
#include <uthash.h>

#include "heap.h"
#include "model.h"

struct fe_entry {
	struct fe_key key;
	struct frontend *fe;
	UT_hash_handle hh;
};

struct vip_entry {
	struct ip_addr vip;
	size_t count;
	UT_hash_handle hh;
};

/* A key that was touched. What came back to how it was told last is no change after all. */
struct change {
	struct fe_key key;
	struct frontend *before; /* as it was told last; NULL = it was not there */
	bool led, led_cluster;   /* an entrance: did it lead anywhere then? */
	UT_hash_handle hh;
};

/* The index of entrances: who leads to `via`. */
struct via_entry {
	struct fe_key via;
	size_t n, cap;
	struct fe_key *entrances;
	UT_hash_handle hh;
};

struct model {
	struct fe_entry *frontends;
	struct vip_entry *vips;
	struct via_entry *vias;
	struct change *changes;
};

struct fe_key fe_key_make(const struct ip_addr *vip, uint16_t port, uint8_t proto)
{
	struct fe_key key;

	memset(&key, 0, sizeof(key));
	key.vip = *vip;
	key.port = port;
	key.proto = proto;
	return key;
}

struct fe_key fe_key_node_port(int family, uint16_t port, uint8_t proto)
{
	struct ip_addr vip = {.family = (uint8_t)family};
	struct fe_key key = fe_key_make(&vip, port, proto);

	key.scope = SCOPE_NODEPORT;
	return key;
}

int fe_key_cmp(const struct fe_key *a, const struct fe_key *b)
{
	int order = addr_cmp(&a->vip, &b->vip);

	if (order)
		return order;
	if (a->port != b->port)
		return a->port < b->port ? -1 : 1;
	if (a->proto != b->proto)
		return a->proto < b->proto ? -1 : 1;
	return (a->scope > b->scope) - (a->scope < b->scope);
}

const char *fe_key_format(const struct fe_key *key, char buf[FE_KEY_TEXT_MAX])
{
	char text[ADDR_PORT_TEXT_MAX];

	if (key->scope == SCOPE_NODEPORT)
		snprintf(text, sizeof(text), "%s:%u", key->vip.family == AF_INET ? "node" : "node6",
			 key->port);
	else
		addr_port_format(&key->vip, key->port, text);
	snprintf(buf, FE_KEY_TEXT_MAX, "%s/%s", text, proto_name(key->proto));
	return buf;
}

static int endpoint_cmp(const void *a, const void *b)
{
	const struct endpoint *x = a, *y = b;
	int order = addr_cmp(&x->addr, &y->addr);

	if (order)
		return order;
	if (x->port != y->port)
		return x->port < y->port ? -1 : 1;
	return (x->state > y->state) - (x->state < y->state); /* active first: it is kept */
}

struct pool *pool_new(struct endpoint *ep, size_t n)
{
	struct pool *pool = malloc(sizeof(*pool) + n * sizeof(*ep));

	if (!pool)
		return NULL;
	if (n)
		qsort(ep, n, sizeof(*ep), endpoint_cmp);
	pool->refs = 1;
	pool->n = 0;
	for (size_t i = 0; i < n; i++) {
		struct endpoint *last = pool->n ? &pool->ep[pool->n - 1] : NULL;

		if (last && last->port == ep[i].port && addr_equal(&last->addr, &ep[i].addr))
			last->local |= ep[i].local;
		else
			pool->ep[pool->n++] = ep[i];
	}
	return pool;
}

struct pool *pool_ref(struct pool *pool)
{
	pool->refs++;
	return pool;
}

void pool_unref(struct pool *pool)
{
	if (pool && --pool->refs == 0)
		free(pool);
}

static bool endpoint_equal(const struct endpoint *a, const struct endpoint *b)
{
	return endpoint_cmp(a, b) == 0 && a->weight == b->weight && a->local == b->local;
}

bool pool_equal(const struct pool *a, const struct pool *b)
{
	if (a == b || !a || !b)
		return a == b;
	if (a->n != b->n)
		return false;
	for (size_t i = 0; i < a->n; i++)
		if (!endpoint_equal(&a->ep[i], &b->ep[i]))
			return false;
	return true;
}

bool pool_usable(const struct pool *pool)
{
	for (size_t i = 0; i < pool->n; i++)
		if (pool->ep[i].state == EP_ACTIVE && pool->ep[i].weight)
			return true;
	return false;
}

static int prefix_cmp(const void *a, const void *b)
{
	const struct ip_prefix *x = a, *y = b;
	int order = addr_cmp(&x->addr, &y->addr);

	return order ? order : (x->len > y->len) - (x->len < y->len);
}

struct ranges *ranges_new(const struct ip_prefix *nets, size_t n)
{
	struct ranges *ranges = malloc(sizeof(*ranges) + n * sizeof(*nets));
	size_t kept = 0;

	if (!ranges)
		return NULL;
	if (n) {
		memcpy(ranges->net, nets, n * sizeof(*nets));
		qsort(ranges->net, n, sizeof(*nets), prefix_cmp);
	}
	for (size_t i = 0; i < n; i++) /* what contains others stands before them */
		if (!kept || !prefix_contains(&ranges->net[kept - 1], &ranges->net[i].addr))
			ranges->net[kept++] = ranges->net[i];
	ranges->refs = 1;
	ranges->n = kept;
	return ranges;
}

void ranges_unref(struct ranges *ranges)
{
	if (ranges && --ranges->refs == 0)
		free(ranges);
}

static bool ranges_equal(const struct ranges *a, const struct ranges *b)
{
	if (a == b || !a || !b)
		return a == b;
	for (size_t i = 0; i < a->n && i < b->n; i++)
		if (prefix_cmp(&a->net[i], &b->net[i]) != 0)
			return false;
	return a->n == b->n;
}

struct frontend *frontend_new(const struct fe_key *key, const char *owner, struct pool *pool)
{
	struct frontend *fe = calloc(1, sizeof(*fe));

	if (!fe)
		return NULL;
	fe->owner = strdup(owner);
	if (!fe->owner) {
		free(fe);
		return NULL;
	}
	fe->key = *key;
	fe->pool = pool ? pool_ref(pool) : NULL;
	fe->priority = PRIO_NORMAL;
	return fe;
}

struct frontend *frontend_copy(const struct frontend *fe)
{
	struct frontend *copy = frontend_new(&fe->key, fe->owner, fe->pool);
	char *owner;

	if (!copy)
		return NULL;
	owner = copy->owner;
	*copy = *fe;
	copy->owner = owner;
	if (copy->ranges)
		copy->ranges->refs++;
	return copy;
}

void frontend_free(struct frontend *fe)
{
	if (!fe)
		return;
	pool_unref(fe->pool);
	ranges_unref(fe->ranges);
	free(fe->owner);
	free(fe);
}

static bool lb_equal(const struct lb_policy *a, const struct lb_policy *b)
{
	return a->sched_flags == b->sched_flags && a->affinity_sec == b->affinity_sec &&
	       a->slow_start_sec == b->slow_start_sec && a->conns_max == b->conns_max &&
	       a->conns_min == b->conns_min && a->tunnel_port == b->tunnel_port &&
	       a->forwarding == b->forwarding && a->tunnel_type == b->tunnel_type &&
	       a->one_packet == b->one_packet;
}

bool frontend_equal(const struct frontend *a, const struct frontend *b)
{
	return fe_key_cmp(&a->key, &b->key) == 0 && strcmp(a->owner, b->owner) == 0 &&
	       strcmp(a->lb.scheduler, b->lb.scheduler) == 0 && lb_equal(&a->lb, &b->lb) &&
	       a->verdict == b->verdict && a->snat == b->snat && a->priority == b->priority &&
	       a->inner == b->inner && fe_key_cmp(&a->via, &b->via) == 0 &&
	       fe_key_cmp(&a->via_cluster, &b->via_cluster) == 0 &&
	       ranges_equal(a->ranges, b->ranges) && pool_equal(a->pool, b->pool);
}

struct model *model_new(void)
{
	return calloc(1, sizeof(struct model));
}

static void change_free(struct model *model, struct change *change)
{
	HASH_DEL(model->changes, change);
	frontend_free(change->before);
	free(change);
}

static void via_free(struct model *model, struct via_entry *via)
{
	HASH_DEL(model->vias, via);
	free(via->entrances);
	free(via);
}

void model_free(struct model *model)
{
	struct fe_entry *entry, *next;
	struct vip_entry *vip, *next_vip;
	struct via_entry *via, *next_via;
	struct change *change, *next_change;

	if (!model)
		return;
	HASH_ITER (hh, model->frontends, entry, next) {
		HASH_DEL(model->frontends, entry);
		frontend_free(entry->fe);
		free(entry);
	}
	HASH_ITER (hh, model->vips, vip, next_vip) {
		HASH_DEL(model->vips, vip);
		free(vip);
	}
	HASH_ITER (hh, model->vias, via, next_via)
		via_free(model, via);
	HASH_ITER (hh, model->changes, change, next_change)
		change_free(model, change);
	free(model);
}

static struct fe_entry *find_entry(const struct model *model, const struct fe_key *key)
{
	struct fe_entry *entry;

	HASH_FIND(hh, model->frontends, key, sizeof(*key), entry);
	return entry;
}

static struct change *change_get(struct model *model, const struct fe_key *key, bool *ret_fresh)
{
	struct change *change;

	HASH_FIND(hh, model->changes, key, sizeof(*key), change);
	*ret_fresh = !change;
	if (change)
		return change;
	change = calloc(1, sizeof(*change));
	if (!change)
		return NULL;
	change->key = *key;
	HASH_ADD(hh, model->changes, key, sizeof(change->key), change);
	return change;
}

/* How it was told last: whoever had changed since would have been noted then. */
static void set_before(const struct model *model, struct change *change, struct frontend *before)
{
	change->before = before;
	if (!before)
		return;
	change->led = model_via(model, before, false) != NULL;
	change->led_cluster = model_via(model, before, true) != NULL;
}

/* Takes `old`, the frontend until now (NULL = none), over if it returns 0. */
static int note_change(struct model *model, const struct fe_key *key, struct frontend *old)
{
	bool fresh;
	struct change *change = change_get(model, key, &fresh);

	if (!change)
		return -ENOMEM;
	if (fresh)
		set_before(model, change, old);
	else
		frontend_free(old);
	return 0;
}

/* ---- entrances ---- */

static struct via_entry *via_find(const struct model *model, const struct fe_key *via)
{
	struct via_entry *entry;

	HASH_FIND(hh, model->vias, via, sizeof(*via), entry);
	return entry;
}

static int via_link(struct model *model, const struct fe_key *via, const struct fe_key *entrance)
{
	struct via_entry *entry = via_find(model, via);

	if (!via->vip.family)
		return 0;
	if (!entry) {
		entry = calloc(1, sizeof(*entry));
		if (!entry)
			return -ENOMEM;
		entry->via = *via;
		HASH_ADD(hh, model->vias, via, sizeof(entry->via), entry);
	}
	if (util_grow((void **)&entry->entrances, &entry->cap, entry->n + 1,
		      sizeof(*entry->entrances)) < 0)
		return -ENOMEM;
	entry->entrances[entry->n++] = *entrance;
	return 0;
}

static void via_unlink(struct model *model, const struct fe_key *via, const struct fe_key *entrance)
{
	struct via_entry *entry = via_find(model, via);

	for (size_t i = 0; entry && i < entry->n; i++) {
		if (fe_key_cmp(&entry->entrances[i], entrance) != 0)
			continue;
		entry->entrances[i] = entry->entrances[--entry->n];
		break;
	}
	if (entry && !entry->n)
		via_free(model, entry);
}

static void unlink_entrance(struct model *model, const struct frontend *fe)
{
	via_unlink(model, &fe->via, &fe->key);
	via_unlink(model, &fe->via_cluster, &fe->key);
}

static int link_entrance(struct model *model, const struct frontend *fe)
{
	int rc = via_link(model, &fe->via, &fe->key);

	if (rc == 0)
		rc = via_link(model, &fe->via_cluster, &fe->key);
	if (rc < 0)
		unlink_entrance(model, fe);
	return rc;
}

/* Those that lead to `key` lead elsewhere now, or nowhere. An entrance that is not noted for want
 * of memory is put right with its next change. */
static void touch_entrances(struct model *model, const struct fe_key *key, const char *before,
			    const char *now)
{
	const struct via_entry *entry = via_find(model, key);

	if (before && now && strcmp(before, now) == 0)
		return;
	for (size_t i = 0; entry && i < entry->n; i++) {
		const struct frontend *fe = model_find(model, &entry->entrances[i]);
		bool fresh;
		struct change *change = change_get(model, &entry->entrances[i], &fresh);

		if (change && fresh && fe)
			set_before(model, change, frontend_copy(fe));
	}
}

const struct frontend *model_via(const struct model *model, const struct frontend *fe, bool cluster)
{
	const struct fe_key *key =
		cluster && fe->via_cluster.vip.family ? &fe->via_cluster : &fe->via;
	const struct frontend *via = model_find(model, key);

	return via && !frontend_is_entrance(via) && strcmp(via->owner, fe->owner) == 0 ? via : NULL;
}

static int count_vip(struct model *model, const struct ip_addr *vip)
{
	struct vip_entry *entry;

	HASH_FIND(hh, model->vips, vip, sizeof(*vip), entry);
	if (!entry) {
		entry = calloc(1, sizeof(*entry));
		if (!entry)
			return -ENOMEM;
		entry->vip = *vip;
		HASH_ADD(hh, model->vips, vip, sizeof(entry->vip), entry);
	}
	entry->count++;
	return 0;
}

static void uncount_vip(struct model *model, const struct ip_addr *vip)
{
	struct vip_entry *entry;

	HASH_FIND(hh, model->vips, vip, sizeof(*vip), entry);
	if (entry && --entry->count == 0) {
		HASH_DEL(model->vips, entry);
		free(entry);
	}
}

static int add_entry(struct model *model, struct frontend *fe)
{
	struct fe_entry *entry = calloc(1, sizeof(*entry));

	if (!entry)
		return -ENOMEM;
	if (fe->key.scope == SCOPE_VIP && count_vip(model, &fe->key.vip) < 0) {
		free(entry);
		return -ENOMEM;
	}
	entry->key = fe->key;
	entry->fe = fe;
	HASH_ADD(hh, model->frontends, key, sizeof(entry->key), entry);
	return 1;
}

int model_put(struct model *model, struct frontend *fe)
{
	struct fe_entry *entry = find_entry(model, &fe->key);
	struct frontend *old = entry ? entry->fe : NULL;
	int rc;

	if (old && frontend_equal(old, fe)) {
		frontend_free(fe);
		return 0;
	}
	rc = link_entrance(model, fe);
	if (rc < 0) {
		frontend_free(fe);
		return rc;
	}
	touch_entrances(model, &fe->key, old ? old->owner : NULL, fe->owner);
	if (old)
		unlink_entrance(model, old);
	rc = note_change(model, &fe->key, old);
	if (rc == 0 && !entry)
		rc = add_entry(model, fe);
	if (rc < 0) {
		unlink_entrance(model, fe);
		frontend_free(fe);
		return rc;
	}
	if (entry)
		entry->fe = fe;
	return 1;
}

int model_remove(struct model *model, const struct fe_key *key)
{
	struct fe_entry *entry = find_entry(model, key);
	int rc;

	if (!entry)
		return 0;
	touch_entrances(model, &entry->key, entry->fe->owner, NULL);
	unlink_entrance(model, entry->fe);
	rc = note_change(model, &entry->key, entry->fe);
	if (rc < 0)
		return rc;
	if (entry->key.scope == SCOPE_VIP)
		uncount_vip(model, &entry->key.vip);
	HASH_DEL(model->frontends, entry);
	free(entry);
	return 1;
}

const struct frontend *model_find(const struct model *model, const struct fe_key *key)
{
	const struct fe_entry *entry = find_entry(model, key);

	return entry ? entry->fe : NULL;
}

size_t model_count(const struct model *model)
{
	return HASH_COUNT(model->frontends);
}

size_t model_vip_count(const struct model *model, const struct ip_addr *vip)
{
	struct vip_entry *entry;

	HASH_FIND(hh, model->vips, vip, sizeof(*vip), entry);
	return entry ? entry->count : 0;
}

/* By priority; then so that an entrance never leads to what is not there: those that go first, what
 * they may lead to, new entrances, and last what nothing leads to any more. */
struct ranked_key {
	struct fe_key key;
	uint8_t priority, order;
};

static int ranked_cmp(const void *a, const void *b)
{
	const struct ranked_key *x = a, *y = b;

	if (x->priority != y->priority)
		return x->priority < y->priority ? -1 : 1;
	if (x->order != y->order)
		return x->order < y->order ? -1 : 1;
	return fe_key_cmp(&x->key, &y->key);
}

/* Sorts `ranked` and leaves the keys alone in an array of the caller's. */
static ssize_t sorted_keys(struct ranked_key *ranked, size_t n, struct fe_key **ret_keys)
{
	struct fe_key *keys = malloc((n ? n : 1) * sizeof(*keys));

	if (!keys)
		return -ENOMEM;
	qsort(ranked, n, sizeof(*ranked), ranked_cmp);
	for (size_t i = 0; i < n; i++)
		keys[i] = ranked[i].key;
	*ret_keys = keys;
	return (ssize_t)n;
}

static bool is_as_before(const struct model *model, const struct change *change,
			 const struct frontend *now)
{
	if (!now || !change->before)
		return now == change->before;
	return frontend_equal(now, change->before) &&
	       change->led == (model_via(model, now, false) != NULL) &&
	       change->led_cluster == (model_via(model, now, true) != NULL);
}

/* False: it is as it was when it was told last. */
static bool rank_change(const struct model *model, const struct change *change,
			struct ranked_key *ret_ranked)
{
	const struct frontend *now = model_find(model, &change->key), *before = change->before;

	if (is_as_before(model, change, now))
		return false;
	ret_ranked->key = change->key;
	ret_ranked->priority = now ? now->priority : before->priority;
	if (now)
		ret_ranked->order = frontend_is_entrance(now) ? 2 : 1;
	else
		ret_ranked->order = frontend_is_entrance(before) ? 0 : 3;
	return true;
}

ssize_t model_take_changes(struct model *model, struct fe_key **ret_keys)
{
	void *heap = heap_populate(NULL);
	size_t n = 0, count = HASH_COUNT(model->changes);
	cleanup_free struct ranked_key *ranked = malloc((count ? count : 1) * sizeof(*ranked));
	struct change *change, *next;
	ssize_t rc;

	heap_populate(heap);
	if (!ranked)
		return -ENOMEM;
	HASH_ITER (hh, model->changes, change, next)
		n += rank_change(model, change, &ranked[n]);
	rc = sorted_keys(ranked, n, ret_keys);
	if (rc < 0)
		return rc;
	HASH_ITER (hh, model->changes, change, next)
		change_free(model, change);
	return rc;
}

ssize_t model_keys(const struct model *model, struct fe_key **ret_keys)
{
	size_t n = 0, count = HASH_COUNT(model->frontends);
	cleanup_free struct ranked_key *ranked = malloc((count ? count : 1) * sizeof(*ranked));
	struct fe_entry *entry, *next;

	if (!ranked)
		return -ENOMEM;
	HASH_ITER (hh, model->frontends, entry, next)
		ranked[n++] = (struct ranked_key){entry->key, entry->fe->priority,
						  frontend_is_entrance(entry->fe) ? 2 : 1};
	return sorted_keys(ranked, n, ret_keys);
}

void model_each(const struct model *model, model_fn fn, void *arg)
{
	for (struct fe_entry *entry = model->frontends; entry; entry = entry->hh.next)
		fn(arg, entry->fe);
}

static const char *const snats[] = {"never", "nonlocal", "always"};

static void print_entrance(const struct frontend *fe, FILE *out)
{
	char key[FE_KEY_TEXT_MAX], net[PREFIX_TEXT_MAX];

	fprintf(out, " via=%s", fe_key_format(&fe->via, key));
	if (fe->via_cluster.vip.family)
		fprintf(out, " via-cluster=%s", fe_key_format(&fe->via_cluster, key));
	fprintf(out, " snat=%s priority=%u\n", snats[fe->snat], fe->priority);
	if (fe->ranges && !fe->ranges->n)
		fprintf(out, "  from nobody\n");
	for (size_t i = 0; fe->ranges && i < fe->ranges->n; i++)
		fprintf(out, "  from %s\n", prefix_format(&fe->ranges->net[i], net));
}

static void print_policy(const struct lb_policy *lb, FILE *out)
{
	static const char *const tunnels[] = {"ipip", "gue", "gre"};

	if (lb->conns_max)
		fprintf(out, " connections=%u..%u", lb->conns_min, lb->conns_max);
	if (lb->slow_start_sec)
		fprintf(out, " slow-start=%us", lb->slow_start_sec);
	if (lb->one_packet)
		fputs(" one-packet", out);
	if (lb->forwarding == FORWARD_DIRECT)
		fputs(" forwarding=direct", out);
	if (lb->forwarding == FORWARD_TUNNEL)
		fprintf(out, " forwarding=%s", tunnels[lb->tunnel_type]);
	if (lb->tunnel_port)
		fprintf(out, ":%u", lb->tunnel_port);
}

static void print_frontend(const struct frontend *fe, FILE *out)
{
	static const char *const verdicts[] = {"forward", "reject", "drop"};
	char key[FE_KEY_TEXT_MAX], ep[ADDR_PORT_TEXT_MAX];

	fprintf(out, "frontend %s owner=%s", fe_key_format(&fe->key, key), fe->owner);
	if (frontend_is_entrance(fe)) {
		print_entrance(fe, out);
		return;
	}
	fprintf(out, "%s verdict=%s snat=%s", fe->inner ? " inner" : "", verdicts[fe->verdict],
		snats[fe->snat]);
	if (fe->lb.scheduler[0])
		fprintf(out, " scheduler=%s", fe->lb.scheduler);
	if (fe->lb.sched_flags)
		fprintf(out, " flags=0x%x", fe->lb.sched_flags);
	if (fe->lb.affinity_sec)
		fprintf(out, " affinity=%us", fe->lb.affinity_sec);
	print_policy(&fe->lb, out);
	fprintf(out, " priority=%u\n", fe->priority);
	for (size_t i = 0; i < fe->pool->n; i++) {
		const struct endpoint *e = &fe->pool->ep[i];

		fprintf(out, "  endpoint %s weight=%u%s%s\n",
			addr_port_format(&e->addr, e->port, ep), e->weight,
			e->state == EP_DRAIN ? " drain" : "", e->local ? " local" : "");
	}
}

void model_print(const struct model *model, FILE *out)
{
	cleanup_free struct fe_key *keys = NULL;
	ssize_t n = model_keys(model, &keys);

	for (ssize_t i = 0; i < n; i++)
		print_frontend(model_find(model, &keys[i]), out);
}
