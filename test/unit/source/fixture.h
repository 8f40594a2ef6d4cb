/* SPDX-License-Identifier: Apache-2.0 */
/* A manifest source on a loop and a folder of its own, and a sink that writes down what it is told.
 */
#ifndef VIPD_TEST_FIXTURE_H
#define VIPD_TEST_FIXTURE_H

#include "files.h"
#include "source/manifest.h"

#define DEADLINE_MS 5000

/* What the sink was told: as a log, and what is there by now. */
struct told {
	const struct files *files;
	FILE *out;
	char *log;
	size_t len;
	union object *objects[64];
	char *problems[16];
	/* Written when the first object is told: a change in the middle of a round. */
	const char *write_name, *write_text;
};

struct fixture {
	struct files files;
	uv_loop_t loop;
	uv_timer_t deadline;
	bool late;
	struct manifest_config config;
	struct manifest_source *source;
	struct told told;
};

/* ---- the sink ---- */

static inline union object **find_object(struct told *told, enum obj_kind kind, const char *name)
{
	for (size_t i = 0; i < ARRAY_SIZE(told->objects); i++) {
		union object **object = &told->objects[i];

		if (name ? *object && (*object)->meta.kind == kind &&
				    strcmp((*object)->meta.name, name) == 0
			 : !*object)
			return object;
	}
	return NULL;
}

static inline void print_object(const union object *object, FILE *out)
{
	const struct service *svc = &object->service;
	char text[ADDR_TEXT_MAX];

	fprintf(out, "%s %s", obj_kind_name(object->meta.kind), object->meta.name);
	if (object->meta.kind == OBJ_SERVICE && addr_is_set(&svc->cluster_ips[0]))
		fprintf(out, " %s", addr_format(&svc->cluster_ips[0], text));
	else if (object->meta.kind == OBJ_SERVICE)
		fprintf(out, " :%u", svc->ports[0].port);
	fputs("\n", out);
}

static inline void on_put(void *ctx, union object *object)
{
	struct told *told = ctx;
	union object **place = find_object(told, object->meta.kind, object->meta.name);

	assert_string_equal(object->meta.ns, object->meta.kind == OBJ_NODE ? "" : "default");
	if (!place)
		place = find_object(told, object->meta.kind, NULL);
	if (!place)
		abort(); /* more objects than there is room for */
	object_free(*place);
	*place = object;
	fputs("put ", told->out);
	print_object(object, told->out);
	if (told->write_name) {
		files_replace(told->files, told->write_name, told->write_text);
		told->write_name = NULL;
	}
}

static inline void on_remove(void *ctx, enum obj_kind kind, const char *ns, const char *name)
{
	struct told *told = ctx;
	union object **place = find_object(told, kind, name);

	assert_string_equal(ns, kind == OBJ_NODE ? "" : "default");
	assert_non_null(place); /* what was never told is not removed */
	fprintf(told->out, "remove %s %s\n", obj_kind_name(kind), name);
	object_free(*place);
	*place = NULL;
}

static inline void on_commit(void *ctx, bool complete)
{
	struct told *told = ctx;

	fprintf(told->out, "commit%s\n", complete ? "" : " incomplete");
}

static inline void on_problem(void *ctx, const char *subject, const char *text)
{
	struct told *told = ctx;
	char **place = NULL;

	for (size_t i = 0; i < ARRAY_SIZE(told->problems); i++)
		if (told->problems[i] ? strcmp(told->problems[i], subject) == 0 : !place)
			place = &told->problems[i];
	assert_non_null(place);
	if (!text && !*place)
		return;
	files_print_short(told->files, subject, told->out);
	fputs(text ? ": " : " is right again\n", told->out);
	if (text) {
		files_print_short(told->files, text, told->out);
		fputs("\n", told->out);
	}
	free(*place);
	*place = text ? strdup(subject) : NULL;
}

/* ---- running ---- */

static inline void on_deadline(uv_timer_t *timer)
{
	*(bool *)timer->data = true;
}

static inline void start_deadline(struct fixture *f, uint64_t ms)
{
	f->late = false;
	uv_update_time(&f->loop);
	uv_timer_start(&f->deadline, on_deadline, ms, 0);
}

static inline void forget_log(struct told *told)
{
	fclose(told->out);
	free(told->log);
	told->out = open_memstream(&told->log, &told->len);
	assert_non_null(told->out);
}

/* Runs until the sink was told exactly this since the last time. */
static inline void expect_within(struct fixture *f, uint64_t ms, const char *want)
{
	start_deadline(f, ms);
	for (;;) {
		fflush(f->told.out);
		if (f->late || strcmp(f->told.log, want) == 0)
			break;
		uv_run(&f->loop, UV_RUN_ONCE);
	}
	uv_timer_stop(&f->deadline);
	assert_string_equal(f->told.log, want);
	forget_log(&f->told);
}

static inline void expect(struct fixture *f, const char *want)
{
	expect_within(f, DEADLINE_MS, want);
}

static inline void open_source(struct fixture *f)
{
	const struct source_sink sink = {&f->told, on_put, on_remove, on_commit, on_problem};
	struct err err;

	assert_int_equal(manifest_open(&f->loop, &f->config, &sink, &f->source, &err), 0);
}

/* The loop has nothing left to wait for, once it is closed and all is written. */
static inline void close_source(struct fixture *f)
{
	manifest_close(f->source);
	f->source = NULL;
	uv_run(&f->loop, UV_RUN_DEFAULT);
	fflush(f->told.out);
	assert_string_equal(f->told.log, "");
}

static inline void forget_told(struct told *told)
{
	for (size_t i = 0; i < ARRAY_SIZE(told->objects); i++) {
		object_free(told->objects[i]);
		told->objects[i] = NULL;
	}
	for (size_t i = 0; i < ARRAY_SIZE(told->problems); i++) {
		free(told->problems[i]);
		told->problems[i] = NULL;
	}
}

/* Another vipd on the same folder. */
static inline void restart(struct fixture *f)
{
	close_source(f);
	forget_told(&f->told);
	open_source(f);
}

static inline int setup(void **state)
{
	struct files *files = NULL;
	struct fixture *f = calloc(1, sizeof(*f));

	if (!f || files_setup((void **)&files) < 0)
		return -1;
	f->files = *files;
	free(files);
	f->config = (struct manifest_config){.dir = f->files.dir, .watch = true};
	f->told.files = &f->files;
	f->told.out = open_memstream(&f->told.log, &f->told.len);
	uv_loop_init(&f->loop);
	uv_timer_init(&f->loop, &f->deadline);
	f->deadline.data = &f->late;
	*state = f;
	return 0;
}

static inline int teardown(void **state)
{
	struct fixture *f = *state;
	struct files *files = malloc(sizeof(*files));

	if (f->source)
		manifest_close(f->source);
	uv_close((uv_handle_t *)&f->deadline, NULL);
	uv_run(&f->loop, UV_RUN_DEFAULT);
	if (uv_loop_close(&f->loop) != 0) /* something is left open */
		return -1;
	forget_told(&f->told);
	fclose(f->told.out);
	free(f->told.log);
	*files = f->files;
	free(f);
	return files_teardown((void **)&files);
}

#endif
