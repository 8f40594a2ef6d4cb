/* SPDX-License-Identifier: Apache-2.0 */
/* See claims.h. A contested key keeps the frontends of those who wait; the winner's is in the
 * model. Uncontested keys, nearly all, cost one small entry. */
#include <errno.h>
#include <string.h>
#include <uthash.h>

#include "model/claims.h"

struct claim {
	const char *service; /* namespace/name, of its svc_keys */
	int64_t created_ms;
	struct frontend *fe; /* NULL while it is the winner: then the model has it */
};

struct key_entry {
	struct fe_key key;
	size_t n;
	struct claim *claims; /* sorted: [0] wins */
	UT_hash_handle hh;
};

/* There as long as the Service has a claim. */
struct svc_keys {
	size_t n;
	struct fe_key *keys;
	UT_hash_handle hh;
	char service[]; /* namespace/name */
};

struct claims {
	struct key_entry *by_key;
	struct svc_keys *by_service;
	size_t waiting;
	claims_wait_fn on_wait;
	void *arg;
};

struct claims *claims_new(claims_wait_fn on_wait, void *arg)
{
	struct claims *claims = calloc(1, sizeof(*claims));

	if (claims) {
		claims->on_wait = on_wait;
		claims->arg = arg;
	}
	return claims;
}

void claims_free(struct claims *claims)
{
	struct key_entry *entry, *next;
	struct svc_keys *keys, *next_keys;

	if (!claims)
		return;
	HASH_ITER (hh, claims->by_key, entry, next) {
		for (size_t i = 0; i < entry->n; i++)
			frontend_free(entry->claims[i].fe);
		HASH_DEL(claims->by_key, entry);
		free(entry->claims);
		free(entry);
	}
	HASH_ITER (hh, claims->by_service, keys, next_keys) {
		HASH_DEL(claims->by_service, keys);
		free(keys->keys);
		free(keys);
	}
	free(claims);
}

size_t claims_waiting(const struct claims *claims)
{
	return claims->waiting;
}

/* A Service without a known creation time is younger than any that has one. */
static int claim_cmp(const struct claim *a, const struct claim *b)
{
	uint64_t x = a->created_ms > 0 ? (uint64_t)a->created_ms : UINT64_MAX;
	uint64_t y = b->created_ms > 0 ? (uint64_t)b->created_ms : UINT64_MAX;

	if (x != y)
		return x < y ? -1 : 1;
	return strcmp(a->service, b->service);
}

static void tell(struct claims *claims, const char *owner, const struct fe_key *key,
		 const char *winner)
{
	if (claims->on_wait)
		claims->on_wait(claims->arg, owner, key, winner);
}

/* The winner of the model steps back behind a claim that is older. */
static int demote_winner(struct key_entry *entry, const struct model *model)
{
	const struct frontend *fe = model_find(model, &entry->key);
	struct claim *old = &entry->claims[0];
	struct frontend *copy = fe ? frontend_copy(fe) : NULL;

	if (!copy)
		return -ENOMEM;
	old->fe = copy;
	return 0;
}

static struct key_entry *entry_get(struct claims *claims, const struct fe_key *key)
{
	struct key_entry *entry;

	HASH_FIND(hh, claims->by_key, key, sizeof(*key), entry);
	if (entry)
		return entry;
	entry = calloc(1, sizeof(*entry));
	if (!entry)
		return NULL;
	entry->key = *key;
	HASH_ADD(hh, claims->by_key, key, sizeof(entry->key), entry);
	return entry;
}

static size_t claim_index(const struct key_entry *entry, const char *service)
{
	size_t i = 0;

	while (i < entry->n && strcmp(entry->claims[i].service, service) != 0)
		i++;
	return i;
}

/* The frontend of claims[0] goes into the model; those behind it wait for it from now on. */
static int put_winner(struct claims *claims, const struct key_entry *entry, struct frontend *fe,
		      struct model *model)
{
	const struct frontend *winner;

	if (model_put(model, fe) < 0)
		return -ENOMEM;
	winner = entry->n > 1 ? model_find(model, &entry->key) : NULL;
	for (size_t i = 1; winner && i < entry->n; i++)
		tell(claims, entry->claims[i].fe->owner, &entry->key, winner->owner);
	return 0;
}

/* A new claim takes its place in the order. */
static int claim_insert(struct claims *claims, struct key_entry *entry, const char *service,
			int64_t created_ms, struct frontend *fe, struct model *model)
{
	struct claim claim = {service, created_ms, fe};
	struct claim *grown = reallocarray(entry->claims, entry->n + 1, sizeof(*grown));
	size_t at = 0;

	if (grown)
		entry->claims = grown;
	if (!grown) {
		frontend_free(fe);
		return -ENOMEM;
	}
	while (at < entry->n && claim_cmp(&entry->claims[at], &claim) < 0)
		at++;
	if (at == 0 && entry->n && demote_winner(entry, model) < 0) {
		frontend_free(fe);
		return -ENOMEM;
	}
	memmove(grown + at + 1, grown + at, (entry->n - at) * sizeof(*grown));
	grown[at] = claim;
	claims->waiting += entry->n++ > 0;
	if (at > 0) {
		const struct frontend *winner = model_find(model, &entry->key);

		tell(claims, fe->owner, &entry->key, winner ? winner->owner : "?");
		return 0;
	}
	grown[0].fe = NULL;
	return put_winner(claims, entry, fe, model);
}

static int promote(struct claims *claims, struct key_entry *entry, struct model *model)
{
	struct frontend *fe = take_ptr(entry->claims[0].fe);

	claims->waiting--;
	tell(claims, fe->owner, &entry->key, NULL);
	return put_winner(claims, entry, fe, model);
}

static int claim_remove(struct claims *claims, const struct fe_key *key, const char *service,
			struct model *model)
{
	struct key_entry *entry;
	size_t at;

	HASH_FIND(hh, claims->by_key, key, sizeof(*key), entry);
	if (!entry || (at = claim_index(entry, service)) == entry->n)
		return 0;
	if (at > 0) {
		claims->waiting--;
		tell(claims, entry->claims[at].fe->owner, key, NULL);
	}
	frontend_free(entry->claims[at].fe);
	entry->n--;
	memmove(entry->claims + at, entry->claims + at + 1,
		(entry->n - at) * sizeof(*entry->claims));
	if (at > 0)
		return 0;
	if (entry->n)
		return promote(claims, entry, model);
	HASH_DEL(claims->by_key, entry);
	free(entry->claims);
	free(entry);
	return model_remove(model, key) < 0 ? -ENOMEM : 0;
}

/* Another frontend of one that waits; it may bear another name, since ports are renamed. */
static void replace_waiting(struct claims *claims, struct key_entry *entry, size_t at,
			    struct frontend *fe, const struct model *model)
{
	struct frontend *old = entry->claims[at].fe;
	const struct frontend *winner = model_find(model, &entry->key);

	entry->claims[at].fe = fe;
	if (strcmp(old->owner, fe->owner) != 0) {
		tell(claims, old->owner, &entry->key, NULL);
		tell(claims, fe->owner, &entry->key, winner ? winner->owner : "?");
	}
	frontend_free(old);
}

/* A claim that is there already: the frontend may have changed, and its age. */
static int claim_put(struct claims *claims, const char *service, int64_t created_ms,
		     struct frontend *fe, struct model *model)
{
	struct key_entry *entry = entry_get(claims, &fe->key);
	size_t at;

	if (!entry) {
		frontend_free(fe);
		return -ENOMEM;
	}
	at = claim_index(entry, service);
	if (at < entry->n && entry->claims[at].created_ms != created_ms && entry->n > 1) {
		struct fe_key key = fe->key;

		if (claim_remove(claims, &key, service, model) < 0 ||
		    !(entry = entry_get(claims, &key))) {
			frontend_free(fe);
			return -ENOMEM;
		}
		at = entry->n;
	}
	if (at == entry->n)
		return claim_insert(claims, entry, service, created_ms, fe, model);
	entry->claims[at].created_ms = created_ms;
	if (at == 0)
		return put_winner(claims, entry, fe, model);
	replace_waiting(claims, entry, at, fe, model);
	return 0;
}

static bool wanted(const struct svc_want *want, const struct fe_key *key)
{
	for (size_t i = 0; i < want->n; i++)
		if (fe_key_cmp(&want->fe[i]->key, key) == 0)
			return true;
	return false;
}

static int drop_unwanted(struct claims *claims, const struct svc_keys *old,
			 const struct svc_want *want, struct model *model)
{
	int rc = 0;

	for (size_t i = 0; i < old->n; i++)
		if (!wanted(want, &old->keys[i]) &&
		    claim_remove(claims, &old->keys[i], old->service, model) < 0)
			rc = -ENOMEM;
	return rc;
}

static struct svc_keys *add_keys(struct claims *claims, const char *service)
{
	size_t len = strlen(service);
	struct svc_keys *entry = calloc(1, sizeof(*entry) + len + 1);

	if (!entry)
		return NULL;
	memcpy(entry->service, service, len);
	HASH_ADD_KEYPTR(hh, claims->by_service, entry->service, len, entry);
	return entry;
}

/* Remembers which keys the Service claims now. */
static int store_keys(struct claims *claims, struct svc_keys *entry, const struct svc_want *want)
{
	struct fe_key *keys;

	if (!want->n) {
		HASH_DEL(claims->by_service, entry);
		free(entry->keys);
		free(entry);
		return 0;
	}
	keys = reallocarray(entry->keys, want->n, sizeof(*keys));
	if (!keys)
		return -ENOMEM;
	for (size_t i = 0; i < want->n; i++)
		keys[i] = want->fe[i]->key;
	entry->keys = keys;
	entry->n = want->n;
	return 0;
}

int claims_update(struct claims *claims, const char *service, struct svc_want *want,
		  struct model *model)
{
	struct svc_keys *keys;
	int rc;

	HASH_FIND_STR(claims->by_service, service, keys);
	if (!keys && !want->n)
		return 0;
	if (!keys && !(keys = add_keys(claims, service)))
		return -ENOMEM;
	rc = drop_unwanted(claims, keys, want, model);
	if (store_keys(claims, keys, want) < 0)
		return -ENOMEM;
	for (size_t i = 0; i < want->n; i++) {
		struct frontend *fe = take_ptr(want->fe[i]);

		if (claim_put(claims, keys->service, want->created_ms, fe, model) < 0)
			rc = -ENOMEM;
	}
	want->n = 0;
	return rc;
}
