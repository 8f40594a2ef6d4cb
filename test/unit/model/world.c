/* SPDX-License-Identifier: Apache-2.0 */
/* See world.h. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>
#include <cmocka.h>
#include <uthash.h>

#include "make.h"
#include "world.h"

#define NODE_NAME "here"

/* "OWNER KEY" waits for the winner. */
struct waiting {
	char subject[500];
	char winner[400];
	UT_hash_handle hh;
};

static void on_wait(void *arg, const char *owner, const struct fe_key *key, const char *winner)
{
	struct world *world = arg;
	char subject[sizeof(world->waiting->subject)], text[FE_KEY_TEXT_MAX];
	struct waiting *waiting;

	snprintf(subject, sizeof(subject), "%s %s", owner, fe_key_format(key, text));
	HASH_FIND_STR(world->waiting, subject, waiting);
	if (waiting && !winner) {
		HASH_DEL(world->waiting, waiting);
		free(waiting);
	}
	if (!winner)
		return;
	if (!waiting) {
		waiting = calloc(1, sizeof(*waiting));
		assert_non_null(waiting);
		strcpy(waiting->subject, subject);
		HASH_ADD_STR(world->waiting, subject, waiting);
	}
	snprintf(waiting->winner, sizeof(waiting->winner), "%s", winner);
}

struct world *world_new(void)
{
	struct world *world = calloc(1, sizeof(*world));

	assert_non_null(world);
	world->cache = cache_new();
	world->claims = claims_new(on_wait, world);
	world->model = model_new();
	assert_non_null(world->cache);
	assert_non_null(world->claims);
	assert_non_null(world->model);
	return world;
}

void world_free(struct world *world)
{
	struct waiting *waiting, *next;

	claims_free(world->claims);
	cache_free(world->cache);
	model_free(world->model);
	HASH_ITER (hh, world->waiting, waiting, next) {
		HASH_DEL(world->waiting, waiting);
		free(waiting);
	}
	free(world->dirty);
	free(world->zone);
	free(world->note);
	free(world);
}

/* The zone of the node that this is computed for. */
static void set_zone(struct world *world, const char *zone)
{
	free(world->zone);
	world->zone = zone ? strdup(zone) : NULL;
	cache_mark_placed(world->cache);
}

void world_put(struct world *world, const char *text)
{
	union object *object = make_object(text);

	if (object->meta.kind == OBJ_NODE && strcmp(object->meta.name, NODE_NAME) == 0)
		set_zone(world, object->node.zone);
	assert_int_equal(cache_put(world->cache, object), 0);
}

void world_remove(struct world *world, const char *text)
{
	union object *object = make_object(text);

	if (object->meta.kind == OBJ_NODE && strcmp(object->meta.name, NODE_NAME) == 0)
		set_zone(world, NULL);
	assert_int_equal(
		cache_remove(world->cache, object->meta.kind, object->meta.ns, object->meta.name),
		0);
	object_free(object);
}

static void compute_service(struct world *world, const char *key)
{
	struct desired_config config = {.place = {.node_name = NODE_NAME, .zone = world->zone},
					.cache = world->cache};
	struct svc_inputs inputs;
	struct svc_want want;

	assert_int_equal(cache_inputs(world->cache, key, &inputs), 0);
	assert_int_equal(desired_compute(&config, &inputs, &want), 0);
	free(world->note);
	world->note = take_ptr(want.note);
	svc_inputs_done(&inputs);
	assert_int_equal(claims_update(world->claims, key, &want, world->model), 0);
	svc_want_done(&want);
}

static void take_dirty(struct world *world)
{
	ssize_t n;

	free(world->dirty);
	world->dirty = NULL;
	n = cache_take_dirty(world->cache, &world->dirty);
	assert_true(n >= 0);
	world->n_dirty = (size_t)n;
	world->next_dirty = 0;
}

bool world_compute_some(struct world *world, size_t max)
{
	if (world->next_dirty == world->n_dirty)
		take_dirty(world);
	if (world->next_dirty == world->n_dirty)
		return false;
	while (max-- && world->next_dirty < world->n_dirty)
		compute_service(world, world->dirty[world->next_dirty++]);
	return true;
}

void world_compute(struct world *world)
{
	while (world_compute_some(world, SIZE_MAX))
		;
}

/* ---- printers ---- */

struct text {
	char *chars;
	size_t len;
	FILE *out;
};

static FILE *text_open(struct text *text)
{
	text->out = open_memstream(&text->chars, &text->len);
	assert_non_null(text->out);
	return text->out;
}

static char *text_close(struct text *text)
{
	assert_int_equal(fclose(text->out), 0);
	return text->chars;
}

char *world_print_model(const struct world *world)
{
	struct text text = {0};

	model_print(world->model, text_open(&text));
	return text_close(&text);
}

char *world_print_objects(const struct world *world)
{
	struct text text = {0};

	assert_int_equal(cache_print(world->cache, text_open(&text)), 0);
	return text_close(&text);
}

static int waiting_cmp(const struct waiting *a, const struct waiting *b)
{
	return strcmp(a->subject, b->subject);
}

char *world_print_waiting(struct world *world)
{
	struct waiting *waiting, *next;
	struct text text = {0};
	FILE *out = text_open(&text);

	HASH_SORT(world->waiting, waiting_cmp);
	HASH_ITER (hh, world->waiting, waiting, next)
		fprintf(out, "%s waits for %s\n", waiting->subject, waiting->winner);
	assert_int_equal(HASH_COUNT(world->waiting), claims_waiting(world->claims));
	return text_close(&text);
}

char *world_take_dirty(struct world *world)
{
	struct text text = {0};
	FILE *out = text_open(&text);

	take_dirty(world);
	for (; world->next_dirty < world->n_dirty; world->next_dirty++)
		fprintf(out, "%s\n", world->dirty[world->next_dirty]);
	return text_close(&text);
}

char *world_take_changes(struct world *world)
{
	struct text text = {0};
	FILE *out = text_open(&text);
	cleanup_free struct fe_key *keys = NULL;
	ssize_t n = model_take_changes(world->model, &keys);
	char key[FE_KEY_TEXT_MAX];

	assert_true(n >= 0);
	for (ssize_t i = 0; i < n; i++)
		fprintf(out, "%s\n", fe_key_format(&keys[i], key));
	return text_close(&text);
}
