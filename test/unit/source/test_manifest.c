/* SPDX-License-Identifier: Apache-2.0 */
/* A folder of manifests as a source: what its sink is told, in order, as files come, change, break
 * and go. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <sys/resource.h>
#include <cmocka.h>

#include "fixture.h"
#include "log.h"

#define NOBODY    65534
#define POLL_MS   15000 /* longer than the source's slow look at everything */

#define POD(name) "{apiVersion: v1, kind: Pod, metadata: {name: " name "}}\n"
#define SERVICE(name, port)                                                                    \
	"{apiVersion: v1, kind: Service, metadata: {name: " name "}, spec: {clusterIP: None, " \
	"ports: [{port: " port "}]}}\n"
#define SERVICE_AT(name, ip)                                                                       \
	"{apiVersion: v1, kind: Service, metadata: {name: " name "}, spec: {ports: [{port: 80}], " \
	"clusterIP: " ip "}}\n"
#define SERVICE_ANY(name)                                                                    \
	"{apiVersion: v1, kind: Service, metadata: {name: " name "}, spec: {ports: [{port: " \
	"80}]}}\n"

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

/* What cannot even be looked at is not gone. */
static void link_to_itself(void **state)
{
	struct fixture *f = *state;
	char path[FILES_PATH_MAX], beside[FILES_PATH_MAX];

	files_write(&f->files, "a.yaml", POD("p"));
	open_source(f);
	expect(f, "put Pod p\ncommit\n");
	assert_int_equal(symlink("a.yaml", files_path(&f->files, ".beside", beside)), 0);
	assert_int_equal(rename(beside, files_path(&f->files, "a.yaml", path)), 0);
	expect(f,
	       "a.yaml: DIR/a.yaml: cannot be read: Too many levels of symbolic links\ncommit\n");
	files_replace(&f->files, "a.yaml", POD("q"));
	expect(f, "a.yaml is right again\nput Pod q\nremove Pod p\ncommit\n");
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
/* Unknown is not empty: until the folder was listed once, nothing is told to be complete. */
static void cannot_be_listed_at_first(void **state)
{
	struct fixture *f = *state;
	struct rlimit limit, none;

	files_write(&f->files, "a.yaml", SERVICE("web", "80"));
	assert_int_equal(getrlimit(RLIMIT_NOFILE, &limit), 0);
	none = (struct rlimit){.rlim_cur = 0, .rlim_max = limit.rlim_max};
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &none), 0);
	open_source(f);
	expect(f, "DIR: the folder DIR cannot be read: Too many open files\ncommit incomplete\n");
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &limit), 0);
	files_age(&f->files, "a.yaml");
	expect_within(f, 2 * POLL_MS, "DIR is right again\nput Service web :80\ncommit\n");
	close_source(f);
}

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
	char path[FILES_PATH_MAX], *text;

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
	close_source(f);
	text = files_read(&f->files, "state");
	assert_non_null(strstr(text, "\"default/web\""));
	free(text);
	forget_told(&f->told);
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
		CASE(link_to_itself),
		CASE(broken_from_the_first),
		CASE(change_in_mid_round),
		CASE(many_files_at_once),
		CASE(swapped_folder),
		CASE(cannot_be_listed_at_first),
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
	};

	log_set_level(LOG_ERROR);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
