/* SPDX-License-Identifier: Apache-2.0 */
/* Files that change, break and go at random: what the sink has is always what a reading from
 * scratch would give it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include "fixture.h"
#include "log.h"

#define FILES_N 5
#define STEPS   400

static uint32_t draw(uint32_t *seed, uint32_t below)
{
	*seed = *seed * 1664525 + 1013904223;
	return (*seed >> 8) % below;
}

/* Up to three documents, of few names, so that names meet. */
static char *random_manifest(uint32_t *seed)
{
	char *text = NULL;
	size_t len = 0;
	FILE *out = open_memstream(&text, &len);

	fputs("# manifest\n", out);
	for (uint32_t n = draw(seed, 4); n; n--)
		fprintf(out,
			"---\n{apiVersion: v1, kind: Service, metadata: {name: s%u}, spec: "
			"{clusterIP: None, ports: [{port: %u}]}}\n",
			draw(seed, 4), 1 + draw(seed, 3));
	fclose(out);
	return text;
}

static int line_cmp(const void *a, const void *b)
{
	return strcmp(a, b);
}

/* What is there now, a line each, sorted; the caller frees. */
static char *print_state(const struct told *told, bool names_only)
{
	char lines[ARRAY_SIZE(told->objects)][40], *text = NULL;
	size_t n = 0, len = 0;
	FILE *out = open_memstream(&text, &len);

	for (size_t i = 0; i < ARRAY_SIZE(told->objects); i++)
		if (told->objects[i] && told->objects[i]->meta.kind == OBJ_SERVICE)
			snprintf(lines[n++], sizeof(lines[0]), "%s :%u",
				 told->objects[i]->meta.name,
				 names_only ? 0U : told->objects[i]->service.ports[0].port);
	qsort(lines, n, sizeof(lines[0]), line_cmp);
	for (size_t i = 0; i < n; i++)
		fprintf(out, "%s\n", lines[i]);
	fclose(out);
	return text;
}

static const char *file_name(uint32_t i, char buf[16])
{
	snprintf(buf, 16, "f%u.yaml", i);
	return buf;
}

/* A new source's first reading of the last good texts. */
static char *from_scratch(char *const good[FILES_N], bool names_only)
{
	struct fixture *f = NULL;
	char name[16], *text;

	if (setup((void **)&f) < 0 || !f)
		abort();
	f->config.watch = false;
	for (uint32_t i = 0; i < FILES_N; i++) {
		if (good[i])
			files_write(&f->files, file_name(i, name), good[i]);
	}
	open_source(f);
	uv_run(&f->loop, UV_RUN_DEFAULT);
	text = print_state(&f->told, names_only);
	assert_int_equal(teardown((void **)&f), 0);
	return text;
}

static void random_change(struct fixture *f, uint32_t *seed, char *good[FILES_N], bool *broken)
{
	uint32_t i = draw(seed, FILES_N), how = draw(seed, 6);
	char name[16], path[FILES_PATH_MAX];

	file_name(i, name);
	broken[i] = false;
	free(good[i]);
	good[i] = NULL;
	if (how == 0) {
		unlink(files_path(&f->files, name, path));
		return;
	}
	good[i] = random_manifest(seed);
	if (how == 1)
		files_write(&f->files, name, good[i]);
	else
		files_replace(&f->files, name, good[i]);
}

/* Some changes at once; or a file breaks, of which the last good text stays in force. It is not
 * changed in the same step, since that text may never have been seen. */
static void random_step(struct fixture *f, uint32_t *seed, char *good[FILES_N], bool *broken)
{
	uint32_t i = draw(seed, 8 * FILES_N);
	char name[16];

	if (i >= FILES_N) {
		for (uint32_t n = 1 + draw(seed, 3); n; n--)
			random_change(f, seed, good, broken);
		return;
	}
	files_replace(&f->files, file_name(i, name), "---\n[");
	broken[i] = true;
	if (!good[i])
		good[i] = strdup("");
}

/* Waits for a Pod that is written now: what was written before has been seen by then. */
static void wait_for_pod(struct fixture *f, uint32_t number)
{
	char name[16], text[80];

	snprintf(name, sizeof(name), "p%u", number);
	snprintf(text, sizeof(text), "{apiVersion: v1, kind: Pod, metadata: {name: %s}}\n", name);
	files_replace(&f->files, "z.yaml", text);
	start_deadline(f, DEADLINE_MS);
	while (!f->late && !find_object(&f->told, OBJ_POD, name))
		uv_run(&f->loop, UV_RUN_ONCE);
	uv_timer_stop(&f->deadline);
	assert_false(f->late);
}

/* A round may call for another one: that begins before what is written after the first. */
static void settle(struct fixture *f, uint32_t step)
{
	wait_for_pod(f, 2 * step);
	wait_for_pod(f, 2 * step + 1);
}

/* While a file is broken another's object may stand back that would come first otherwise: then the
 * names are compared. */
static void check_as_from_scratch(const struct fixture *f, char *const good[FILES_N],
				  const bool broken[FILES_N], uint32_t step)
{
	bool names_only = false;
	char *want, *got;

	for (int i = 0; i < FILES_N; i++)
		names_only |= broken[i];
	want = from_scratch(good, names_only);
	got = print_state(&f->told, names_only);
	if (strcmp(got, want) != 0)
		print_error("step %u\n", step);
	assert_string_equal(got, want);
	free(want);
	free(got);
}

static void as_from_scratch(void **state)
{
	struct fixture *f = *state;
	char *good[FILES_N] = {NULL};
	bool broken[FILES_N] = {false};
	uint32_t seed = 1;

	open_source(f);
	for (uint32_t step = 0; step < STEPS; step++) {
		random_step(f, &seed, good, broken);
		settle(f, step);
		check_as_from_scratch(f, good, broken, step);
		forget_log(&f->told);
	}
	for (int i = 0; i < FILES_N; i++)
		free(good[i]);
	manifest_close(f->source);
	f->source = NULL;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(as_from_scratch, setup, teardown),
	};

	log_set_level(LOG_ERROR);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
