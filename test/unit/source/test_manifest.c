/* SPDX-License-Identifier: Apache-2.0 */
/* A folder of manifests as a source: what its sink is told, in order, as files come, change, break
 * and go; and that at any time it is what a reading from scratch would tell. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include "files.h"
#include "log.h"
#include "source/manifest.h"

#define NOBODY      65534
#define DEADLINE_MS 5000
#define POLL_MS     15000 /* longer than the source's slow look at everything */

#define POD(name)   "{apiVersion: v1, kind: Pod, metadata: {name: " name "}}\n"
#define SERVICE(name, port)                                                                    \
	"{apiVersion: v1, kind: Service, metadata: {name: " name "}, spec: {clusterIP: None, " \
	"ports: [{port: " port "}]}}\n"
#define SERVICE_AT(name, ip)                                                                       \
	"{apiVersion: v1, kind: Service, metadata: {name: " name "}, spec: {ports: [{port: 80}], " \
	"clusterIP: " ip "}}\n"
#define SERVICE_ANY(name)                                                                    \
	"{apiVersion: v1, kind: Service, metadata: {name: " name "}, spec: {ports: [{port: " \
	"80}]}}\n"

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

static union object **find_object(struct told *told, enum obj_kind kind, const char *name)
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

static void print_object(const union object *object, FILE *out)
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

static void on_put(void *ctx, union object *object)
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

static void on_remove(void *ctx, enum obj_kind kind, const char *ns, const char *name)
{
	struct told *told = ctx;
	union object **place = find_object(told, kind, name);

	assert_string_equal(ns, kind == OBJ_NODE ? "" : "default");
	assert_non_null(place); /* what was never told is not removed */
	fprintf(told->out, "remove %s %s\n", obj_kind_name(kind), name);
	object_free(*place);
	*place = NULL;
}

static void on_commit(void *ctx, bool complete)
{
	struct told *told = ctx;

	fprintf(told->out, "commit%s\n", complete ? "" : " incomplete");
}

static void on_problem(void *ctx, const char *subject, const char *text)
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

static void on_deadline(uv_timer_t *timer)
{
	*(bool *)timer->data = true;
}

static void start_deadline(struct fixture *f, uint64_t ms)
{
	f->late = false;
	uv_update_time(&f->loop);
	uv_timer_start(&f->deadline, on_deadline, ms, 0);
}

static void forget_log(struct told *told)
{
	fclose(told->out);
	free(told->log);
	told->out = open_memstream(&told->log, &told->len);
	assert_non_null(told->out);
}

/* Runs until the sink was told exactly this since the last time. */
static void expect_within(struct fixture *f, uint64_t ms, const char *want)
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

static void expect(struct fixture *f, const char *want)
{
	expect_within(f, DEADLINE_MS, want);
}

static void open_source(struct fixture *f)
{
	const struct source_sink sink = {&f->told, on_put, on_remove, on_commit, on_problem};
	struct err err;

	assert_int_equal(manifest_open(&f->loop, &f->config, &sink, &f->source, &err), 0);
}

/* The loop has nothing left to wait for, once it is closed and all is written. */
static void close_source(struct fixture *f)
{
	manifest_close(f->source);
	f->source = NULL;
	uv_run(&f->loop, UV_RUN_DEFAULT);
	fflush(f->told.out);
	assert_string_equal(f->told.log, "");
}

static void forget_told(struct told *told)
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
static void restart(struct fixture *f)
{
	close_source(f);
	forget_told(&f->told);
	open_source(f);
}

static int setup(void **state)
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

static int teardown(void **state)
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

/* ---- files come, change, break and go ---- */

static void first_reading(void **state)
{
	struct fixture *f = *state;

	files_write(&f->files, "b.yaml", SERVICE("web", "80") "---\n" POD("b"));
	files_write(&f->files, "a.yaml", POD("a") "---\n" SERVICE("dns", "53"));
	files_write(&f->files, "c.yaml", "kind: Other\napiVersion: v9\n");
	open_source(f);
	expect(f, "put Pod a\nput Pod b\nput Service dns :53\nput Service web :80\ncommit\n");
	close_source(f);
}

static void empty_folder(void **state)
{
	struct fixture *f = *state;

	open_source(f);
	expect(f, "commit\n");
	files_replace(&f->files, "a.yaml", POD("a"));
	expect(f, "put Pod a\ncommit\n");
	files_replace(&f->files, "notes.txt", "[");
	files_replace(&f->files, "b.yaml", "# nothing yet\n");
	expect(f, "commit\n");
	close_source(f);
}

/* A save is one change, however an editor does it. */
static void saves(void **state)
{
	struct fixture *f = *state;

	open_source(f);
	expect(f, "commit\n");
	files_write(&f->files, "a.yaml", SERVICE("u", "1") "---\n" SERVICE("v", "1"));
	expect(f, "put Service u :1\nput Service v :1\ncommit\n");
	files_replace(&f->files, "a.yaml", SERVICE("u", "2") "---\n" SERVICE("v", "2"));
	expect(f, "put Service u :2\nput Service v :2\ncommit\n");
	files_write(&f->files, "a.yaml", SERVICE("u", "3") "---\n" SERVICE("z", "3"));
	expect(f, "remove Service v\nput Service u :3\nput Service z :3\ncommit\n");
	close_source(f);
}

static void unchanged_documents(void **state)
{
	struct fixture *f = *state;

	files_write(&f->files, "a.yaml",
		    SERVICE("u", "1") "---\n" SERVICE("v", "1") "---\n" POD("p"));
	open_source(f);
	expect(f, "put Pod p\nput Service u :1\nput Service v :1\ncommit\n");
	files_replace(&f->files, "a.yaml",
		      SERVICE("u", "1") "---\n" SERVICE("v", "2") "---\n" POD("p"));
	expect(f, "put Service v :2\ncommit\n");
	files_replace(&f->files, "a.yaml", "---\n" SERVICE("v", "2") "---\n" POD("p"));
	expect(f, "remove Service u\ncommit\n");
	close_source(f);
}

static void file_goes(void **state)
{
	struct fixture *f = *state;

	files_write(&f->files, "a.yaml", SERVICE("web", "80") "---\n" POD("p"));
	files_write(&f->files, "b.yaml", "apiVersion: v1\nkind: Node\nmetadata: {name: n1}\n");
	open_source(f);
	expect(f, "put Pod p\nput Node n1\nput Service web :80\ncommit\n");
	files_remove(&f->files, "a.yaml");
	expect(f, "remove Service web\nremove Pod p\ncommit\n");
	files_remove(&f->files, "b.yaml");
	expect(f, "remove Node n1\ncommit\n");
	close_source(f);
}

static void broken_file(void **state)
{
	struct fixture *f = *state;

	files_write(&f->files, "a.yaml", SERVICE("web", "80") "---\n" POD("p"));
	open_source(f);
	expect(f, "put Pod p\nput Service web :80\ncommit\n");
	files_replace(&f->files, "a.yaml", SERVICE("web", "81") "---\n" SERVICE("u", "\"80\""));
	expect(f, "a.yaml: DIR/a.yaml:3: Service default/u: spec.ports[0].port: must be an integer "
		  "from 1 to 65535, is the string \"80\"\ncommit\n");
	files_replace(&f->files, "a.yaml", "web: [\n");
	expect(f, "a.yaml: DIR/a.yaml:1: not YAML: did not find expected node content, while "
		  "parsing a flow node\ncommit\n");
	files_replace(&f->files, "a.yaml", SERVICE("web", "82"));
	expect(f, "a.yaml is right again\nremove Pod p\nput Service web :82\ncommit\n");
	close_source(f);
}

static void broken_file_goes(void **state)
{
	struct fixture *f = *state;

	files_write(&f->files, "a.yaml", POD("p"));
	open_source(f);
	expect(f, "put Pod p\ncommit\n");
	files_replace(&f->files, "a.yaml", "x");
	expect(f, "a.yaml: DIR/a.yaml:1: must be a mapping with apiVersion and kind\ncommit\n");
	files_remove(&f->files, "a.yaml");
	expect(f, "a.yaml is right again\nremove Pod p\ncommit\n");
	close_source(f);
}

/* It has no last good objects; the other files' are told all the same. */
static void broken_from_the_first(void **state)
{
	struct fixture *f = *state;

	files_write(&f->files, "a.yaml", POD("p") "---\n[");
	files_write(&f->files, "b.yaml", POD("q"));
	open_source(f);
	expect(f, "a.yaml: DIR/a.yaml:3: not YAML: did not find expected node content, while "
		  "parsing a flow node\nput Pod q\ncommit\n");
	files_replace(&f->files, "a.yaml", POD("p"));
	expect(f, "a.yaml is right again\nput Pod p\ncommit\n");
	close_source(f);
}

static void change_in_mid_round(void **state)
{
	struct fixture *f = *state;

	files_write(&f->files, "a.yaml", POD("a") "---\n" SERVICE("web", "80"));
	f->told.write_name = "b.yaml";
	f->told.write_text = POD("b");
	open_source(f);
	expect(f, "put Pod a\nput Service web :80\ncommit\nput Pod b\ncommit\n");
	close_source(f);
}

/* More names than are kept. */
static void many_files_at_once(void **state)
{
	struct fixture *f = *state;
	char name[16], text[80], *want = NULL;
	size_t len = 0;
	FILE *out = open_memstream(&want, &len);

	open_source(f);
	expect(f, "commit\n");
	for (int i = 0; i < 200; i++) {
		snprintf(name, sizeof(name), "%03d.yaml", i);
		snprintf(text, sizeof(text),
			 "{apiVersion: v1, kind: Pod, metadata: {name: p%02d}}\n", i % 50);
		files_write(&f->files, name, i < 50 ? text : "# nothing\n");
		if (i < 50)
			fprintf(out, "put Pod p%02d\n", i);
	}
	fputs("commit\n", out);
	fclose(out);
	expect(f, want);
	free(want);
	close_source(f);
}

/* A ConfigMap volume: names point into a folder that is swapped. */
static void swapped_folder(void **state)
{
	struct fixture *f = *state;
	char from[FILES_PATH_MAX], to[FILES_PATH_MAX];

	assert_int_equal(mkdir(files_path(&f->files, "..v1", from), 0755), 0);
	assert_int_equal(mkdir(files_path(&f->files, "..v2", from), 0755), 0);
	files_write(&f->files, "..v1/a.yaml", SERVICE("web", "80"));
	files_write(&f->files, "..v2/a.yaml", SERVICE("web", "81"));
	assert_int_equal(symlink("..v1", files_path(&f->files, "..data", to)), 0);
	assert_int_equal(symlink("..data/a.yaml", files_path(&f->files, "a.yaml", from)), 0);
	open_source(f);
	expect(f, "put Service web :80\ncommit\n");
	assert_int_equal(symlink("..v2", files_path(&f->files, "..data_tmp", from)), 0);
	assert_int_equal(rename(from, to), 0);
	expect(f, "put Service web :81\ncommit\n");
	close_source(f);
}

/* Nothing is gone with the folder. The slow look finds it when it is there again. */
static void folder_goes_and_comes(void **state)
{
	struct fixture *f = *state;
	char away[FILES_PATH_MAX];

	files_write(&f->files, "a.yaml", SERVICE("web", "80"));
	open_source(f);
	expect(f, "put Service web :80\ncommit\n");
	snprintf(away, sizeof(away), "%s.away", f->files.dir);
	assert_int_equal(rename(f->files.dir, away), 0);
	expect(f, "DIR: the folder DIR cannot be read: No such file or directory\n");
	assert_int_equal(rename(away, f->files.dir), 0);
	expect_within(f, POLL_MS, "DIR is right again\ncommit\n");
	files_replace(&f->files, "a.yaml", SERVICE("web", "81"));
	expect(f, "put Service web :81\ncommit\n");
	close_source(f);
}

/* ---- one name twice ---- */

static void twice_in_a_file(void **state)
{
	struct fixture *f = *state;

	files_write(&f->files, "a.yaml", SERVICE("web", "1") "---\n" SERVICE("web", "2"));
	open_source(f);
	expect(f, "a.yaml: Service default/web is there twice: the first counts\n"
		  "put Service web :1\ncommit\n");
	files_replace(&f->files, "a.yaml", SERVICE("web", "3") "---\n" SERVICE("web", "2"));
	expect(f, "a.yaml is right again\n"
		  "a.yaml: Service default/web is there twice: the first counts\n"
		  "put Service web :3\ncommit\n");
	files_replace(&f->files, "a.yaml", "---\n" SERVICE("web", "2"));
	expect(f, "a.yaml is right again\nput Service web :2\ncommit\n");
	close_source(f);
}

/* The first is deleted, the second's text stays as it was: it counts now. */
static void first_of_two_goes(void **state)
{
	struct fixture *f = *state;

	files_write(&f->files, "a.yaml", "---\n" SERVICE("web", "1") "---\n" SERVICE("web", "2"));
	open_source(f);
	expect(f, "a.yaml: Service default/web is there twice: the first counts\n"
		  "put Service web :1\ncommit\n");
	files_replace(&f->files, "a.yaml", "---\n" SERVICE("web", "2"));
	expect(f, "a.yaml is right again\nput Service web :2\ncommit\n");
	close_source(f);
}

static void twice_in_a_file_changes_places(void **state)
{
	struct fixture *f = *state;

	files_write(&f->files, "a.yaml", "---\n" POD("x") "---\n" SERVICE("web", "1"));
	open_source(f);
	expect(f, "put Pod x\nput Service web :1\ncommit\n");
	files_replace(&f->files, "a.yaml",
		      "---\n" SERVICE("web", "2") "---\n" POD("x") "---\n" SERVICE("web", "1"));
	expect(f, "a.yaml: Service default/web is there twice: the first counts\n"
		  "put Service web :2\ncommit\n");
	files_replace(&f->files, "a.yaml", "---\n" POD("x") "---\n" SERVICE("web", "1"));
	expect(f, "a.yaml is right again\nput Service web :1\ncommit\n");
	close_source(f);
}

static void in_two_files(void **state)
{
	static const char both[] = "Service default/web: is in both a.yaml and b.yaml: that in "
				   "a.yaml counts\n";
	struct fixture *f = *state;
	char want[512];

	files_write(&f->files, "a.yaml", SERVICE("web", "1"));
	files_write(&f->files, "b.yaml", SERVICE("web", "2"));
	open_source(f);
	snprintf(want, sizeof(want), "%sput Service web :1\ncommit\n", both);
	expect(f, want);
	files_replace(&f->files, "b.yaml", SERVICE("web", "3"));
	snprintf(want, sizeof(want), "%scommit\n", both);
	expect(f, want);
	files_remove(&f->files, "a.yaml");
	expect(f, "Service default/web is right again\nput Service web :3\ncommit\n");
	files_remove(&f->files, "b.yaml");
	expect(f, "remove Service web\ncommit\n");
	close_source(f);
}

/* A file that sorts before takes over; when it goes, the one that was told before is read again. */
static void earlier_file_comes_and_goes(void **state)
{
	struct fixture *f = *state;

	files_write(&f->files, "b.yaml", SERVICE("web", "2") "---\n" POD("p"));
	open_source(f);
	expect(f, "put Pod p\nput Service web :2\ncommit\n");
	files_write(&f->files, "a.yaml", SERVICE("web", "1"));
	expect(f, "Service default/web: is in both a.yaml and b.yaml: that in a.yaml counts\n"
		  "put Service web :1\ncommit\n"
		  "Service default/web: is in both a.yaml and b.yaml: that in a.yaml counts\n"
		  "commit\n");
	files_remove(&f->files, "a.yaml");
	expect(f, "Service default/web is right again\nput Service web :2\ncommit\n");
	close_source(f);
}

/* A broken file's last good object stays in force against an earlier file's, which waits. */
static void broken_file_and_an_earlier_one(void **state)
{
	struct fixture *f = *state;

	files_write(&f->files, "b.yaml", SERVICE("web", "2"));
	open_source(f);
	expect(f, "put Service web :2\ncommit\n");
	files_write(&f->files, "b.yaml", "{");
	expect(f, "b.yaml: DIR/b.yaml:1: not YAML: did not find expected node content, while "
		  "parsing a flow node\ncommit\n");
	files_write(&f->files, "a.yaml", SERVICE("web", "1"));
	expect(f, "Service default/web: is in both b.yaml and a.yaml: that in b.yaml counts\n"
		  "commit\n");
	files_write(&f->files, "b.yaml", SERVICE("web", "3"));
	expect(f, "b.yaml is right again\n"
		  "Service default/web: is in both a.yaml and b.yaml: that in a.yaml counts\n"
		  "put Service web :1\ncommit\n");
	files_remove(&f->files, "a.yaml");
	expect(f, "Service default/web is right again\nput Service web :3\ncommit\n");
	close_source(f);
}

/* ---- addresses ---- */

static void set_ranges(struct fixture *f, const char *first, const char *second)
{
	assert_int_equal(prefix_parse(first, &f->config.cluster_ranges[0]), 0);
	if (second)
		assert_int_equal(prefix_parse(second, &f->config.cluster_ranges[1]), 0);
}

/* What Services name themselves is set aside first, in whichever file it stands. */
static void addresses_given(void **state)
{
	struct fixture *f = *state;

	set_ranges(f, "10.0.0.0/30", NULL);
	files_write(&f->files, "a.yaml", SERVICE_ANY("any"));
	files_write(&f->files, "b.yaml", SERVICE_AT("named", "10.0.0.1"));
	open_source(f);
	expect(f, "put Service any 10.0.0.2\nput Service named 10.0.0.1\ncommit\n");
	files_write(&f->files, "c.yaml", SERVICE_ANY("late"));
	expect(f, "Service default/late: DIR/c.yaml:1: gets no clusterIP: all addresses of "
		  "10.0.0.0/30 are taken; make --service-cluster-ip-range larger\n"
		  "put Service late :80\ncommit\n");
	files_replace(&f->files, "b.yaml", "# none\n");
	expect(f, "remove Service named\ncommit\n");
	files_replace(&f->files, "c.yaml", "---\n" SERVICE_ANY("late"));
	expect(f, "Service default/late is right again\nput Service late 10.0.0.1\ncommit\n");
	close_source(f);
}

static void no_range(void **state)
{
	struct fixture *f = *state;

	files_write(&f->files, "a.yaml", SERVICE_ANY("web"));
	open_source(f);
	expect(f, "Service default/web: DIR/a.yaml:1: has no clusterIP, and there is no range to "
		  "give it an IPv4 address from: set spec.clusterIP or --service-cluster-ip-range\n"
		  "put Service web :80\ncommit\n");
	files_remove(&f->files, "a.yaml");
	expect(f, "remove Service web\nService default/web is right again\ncommit\n");
	close_source(f);
}

/* The state file is written when a round gave something, on another thread. */
static void addresses_kept(void **state)
{
	struct fixture *f = *state;
	char path[FILES_PATH_MAX], *text;

	set_ranges(f, "10.0.0.0/30", NULL);
	f->config.state_path = files_path(&f->files, "state", path);
	files_write(&f->files, "b.yaml", SERVICE_AT("named", "10.0.0.1"));
	files_write(&f->files, "a.yaml", SERVICE_ANY("web"));
	open_source(f);
	expect(f, "put Service named 10.0.0.1\nput Service web 10.0.0.2\ncommit\n");
	files_remove(&f->files, "b.yaml");
	expect(f, "remove Service named\ncommit\n");
	files_write(&f->files, "c.yaml", SERVICE_ANY("another"));
	restart(f); /* "another" comes before "web", and finds it there */
	expect(f, "put Service another 10.0.0.1\nput Service web 10.0.0.2\ncommit\n");
	close_source(f);
	text = files_read(&f->files, "state");
	assert_non_null(strstr(text, "\"default/web\": {\"created_ms\": "));
	assert_non_null(strstr(text, "\"cluster_ips\": [\"10.0.0.2\"]"));
	assert_null(strstr(text, "named"));
	free(text);
}

static void state_only_read(void **state)
{
	struct fixture *f = *state;
	char path[FILES_PATH_MAX];

	set_ranges(f, "10.0.0.0/24", NULL);
	f->config.state_path = files_path(&f->files, "state", path);
	f->config.read_only = true;
	f->config.watch = false;
	files_write(&f->files, "a.yaml", SERVICE_AT("web", "10.0.0.7"));
	open_source(f);
	expect(f, "put Service web 10.0.0.7\ncommit\n");
	close_source(f);
	assert_null(files_read(&f->files, "state"));
}

/* A broken file's Services keep their addresses over a restart: they are not gone. */
static void broken_over_a_restart(void **state)
{
	struct fixture *f = *state;
	char path[FILES_PATH_MAX];

	set_ranges(f, "10.0.0.0/30", NULL);
	f->config.state_path = files_path(&f->files, "state", path);
	files_write(&f->files, "a.yaml", SERVICE_ANY("web"));
	files_write(&f->files, "b.yaml", SERVICE_AT("u", "10.0.0.1"));
	open_source(f);
	expect(f, "put Service u 10.0.0.1\nput Service web 10.0.0.2\ncommit\n");
	close_source(f);
	forget_told(&f->told);
	files_write(&f->files, "a.yaml", "[");
	files_write(&f->files, "b.yaml", SERVICE_ANY("thief"));
	open_source(f);
	expect(f, "a.yaml: DIR/a.yaml:1: not YAML: did not find expected node content, while "
		  "parsing a flow node\nput Service thief 10.0.0.1\ncommit\n");
	files_replace(&f->files, "a.yaml", SERVICE_ANY("web"));
	expect(f, "a.yaml is right again\nput Service web 10.0.0.2\ncommit\n");
	close_source(f);
}

/* ---- opening and closing ---- */

static void cannot_open(void **state)
{
	static const struct {
		const char *dir, *range, *error;
		int rc;
	} cases[] = {
		{"none", "10.0.0.0/24", "--manifests: DIR/none: No such file or directory",
		 -ENOENT},
		{"file", "10.0.0.0/24",
		 "--manifests: DIR/file is not a folder; name the folder that holds it", -ENOTDIR},
		{".", "10.0.0.0/31", "--service-cluster-ip-range: 10.0.0.0/31 is too small",
		 -EINVAL},
	};
	const struct source_sink sink = {NULL, on_put, on_remove, on_commit, on_problem};
	struct fixture *f = *state;

	files_write(&f->files, "file", "");
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		char path[FILES_PATH_MAX], *text = NULL;
		size_t len = 0;
		FILE *out = open_memstream(&text, &len);
		struct err err = {0};

		f->config.dir = files_path(&f->files, cases[i].dir, path);
		set_ranges(f, cases[i].range, NULL);
		assert_int_equal(manifest_open(&f->loop, &f->config, &sink, &f->source, &err),
				 cases[i].rc);
		assert_null(f->source);
		files_print_short(&f->files, err.text, out);
		fclose(out);
		assert_string_equal(text, cases[i].error);
		free(text);
	}
}

static void may_not_open(void **state)
{
	const struct source_sink sink = {NULL, on_put, on_remove, on_commit, on_problem};
	struct fixture *f = *state;
	struct err err = {0};
	char want[FILES_PATH_MAX];
	int rc;

	assert_int_equal(chmod(f->files.dir, 0), 0);
	assert_int_equal(getuid() == 0 ? setresuid(NOBODY, NOBODY, 0) : 0, 0);
	rc = manifest_open(&f->loop, &f->config, &sink, &f->source, &err);
	if (geteuid() == NOBODY)
		assert_int_equal(setresuid(0, 0, 0), 0);
	assert_int_equal(chmod(f->files.dir, 0700), 0);
	assert_int_equal(rc, -EACCES);
	snprintf(want, sizeof(want), "--manifests: the folder %s cannot be read: Permission denied",
		 f->files.dir);
	assert_string_equal(err.text, want);
}

/* One reading: then the loop has nothing to wait for. */
static void read_once(void **state)
{
	struct fixture *f = *state;

	f->config.watch = false;
	files_write(&f->files, "a.yaml", POD("p"));
	open_source(f);
	uv_run(&f->loop, UV_RUN_DEFAULT);
	files_replace(&f->files, "a.yaml", POD("q"));
	uv_run(&f->loop, UV_RUN_DEFAULT);
	expect(f, "put Pod p\ncommit\n");
	close_source(f);
}

/* At any moment, after any number of turns of the loop; leaks and late callbacks are ASan's. */
static void closed_in_between(void **state)
{
	struct fixture *f = *state;
	char path[FILES_PATH_MAX];

	set_ranges(f, "10.0.0.0/24", NULL);
	f->config.state_path = files_path(&f->files, "state", path);
	for (int turns = 0; turns < 12; turns++) {
		files_write(&f->files, "a.yaml", SERVICE_ANY("a") "---\n" POD("p"));
		open_source(f);
		for (int i = 0; i < turns; i++)
			uv_run(&f->loop, UV_RUN_NOWAIT);
		manifest_close(f->source);
		f->source = NULL;
		uv_run(&f->loop, UV_RUN_DEFAULT);
		forget_log(&f->told);
		forget_told(&f->told);
	}
	manifest_close(NULL);
}

/* ---- changes one after the other == from scratch ---- */

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

	assert_int_equal(setup((void **)&f), 0);
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
#define CASE(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
	const struct CMUnitTest tests[] = {
		CASE(first_reading),
		CASE(empty_folder),
		CASE(saves),
		CASE(unchanged_documents),
		CASE(file_goes),
		CASE(broken_file),
		CASE(broken_file_goes),
		CASE(broken_from_the_first),
		CASE(change_in_mid_round),
		CASE(many_files_at_once),
		CASE(swapped_folder),
		CASE(folder_goes_and_comes),
		CASE(twice_in_a_file),
		CASE(first_of_two_goes),
		CASE(twice_in_a_file_changes_places),
		CASE(in_two_files),
		CASE(earlier_file_comes_and_goes),
		CASE(broken_file_and_an_earlier_one),
		CASE(addresses_given),
		CASE(no_range),
		CASE(addresses_kept),
		CASE(state_only_read),
		CASE(broken_over_a_restart),
		CASE(cannot_open),
		CASE(may_not_open),
		CASE(read_once),
		CASE(closed_in_between),
		CASE(as_from_scratch),
	};

	log_set_level(LOG_ERROR);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
