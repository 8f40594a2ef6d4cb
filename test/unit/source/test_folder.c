/* SPDX-License-Identifier: Apache-2.0 */
/* Files of a folder as objects: which files, which documents, what is read again, what is wrong. */
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include "files.h"
#include "source/folder.h"

#define NOBODY     65534

#define POD(name)  "{apiVersion: v1, kind: Pod, metadata: {name: " name "}}\n"
#define DEPLOYMENT "{apiVersion: apps/v1, kind: Deployment, metadata: {name: d}}\n"
#define JSON_POD(name) \
	"{\"apiVersion\":\"v1\",\"kind\":\"Pod\",\"metadata\":{\"name\":\"" name "\"}}"

/* The files as last taken, as a source keeps them. */
struct known {
	struct folder_file *files[32];
	size_t n;
};

static void known_done(struct known *known)
{
	for (size_t i = 0; i < known->n; i++)
		folder_file_free(known->files[i]);
}

static void known_drop(struct known *known, const char *name)
{
	for (size_t i = 0; i < known->n; i++) {
		if (strcmp(known->files[i]->name, name) != 0)
			continue;
		folder_file_free(known->files[i]);
		known->n--;
		memmove(&known->files[i], &known->files[i + 1],
			(known->n - i) * sizeof(known->files[0]));
		return;
	}
}

static void known_add(struct known *known, struct folder_file *file)
{
	size_t at = 0;

	while (at < known->n && strcmp(known->files[at]->name, file->name) < 0)
		at++;
	assert_true(known->n < ARRAY_SIZE(known->files));
	memmove(&known->files[at + 1], &known->files[at],
		(known->n - at) * sizeof(known->files[0]));
	known->files[at] = file;
	known->n++;
}

static void print_doc(const struct folder_doc *doc, FILE *out)
{
	if (doc->reused)
		fputs(" (as before)", out);
	else
		assert_int_equal(doc->n_objects, doc->n_keys);
	for (size_t i = 0; i < doc->n_keys; i++)
		fprintf(out, " %s", doc->keys[i]);
	fputs(";", out);
}

/* "FILE: KEY KEY; KEY; +OTHERS" or "FILE gone" or "FILE: error TEXT", a line a change. The caller
 * frees. What was taken is known afterwards. */
static char *take_changes(const struct files *files, struct folder_changes *changes,
			  struct known *known)
{
	char *text = NULL;
	size_t len = 0;
	FILE *out = open_memstream(&text, &len);

	for (size_t i = 0; i < changes->n; i++) {
		struct folder_change *change = &changes->items[i];

		fprintf(out, "%s%s", change->name, change->file || change->error ? ":" : " gone");
		if (change->error) {
			fputs(" error ", out);
			files_print_short(files, change->error, out);
		}
		for (size_t k = 0; !change->error && change->file && k < change->file->n_docs; k++)
			print_doc(&change->file->docs[k], out);
		if (change->others)
			fprintf(out, " +%zu", change->others);
		fputs("\n", out);
		if (change->error)
			continue;
		known_drop(known, change->name);
		if (change->file)
			known_add(known, take_ptr(change->file));
	}
	fclose(out);
	return text;
}

/* Reads the folder and compares. */
static void expect_of(const struct files *files, struct known *known, char *const *names,
		      size_t n_names, bool settled_only, const char *want)
{
	struct folder_changes changes;
	char *got;

	folder_read(files->dir, names, n_names, known->files, known->n, settled_only, &changes);
	assert_int_equal(changes.complete, n_names == 0);
	got = take_changes(files, &changes, known);
	assert_string_equal(got, want);
	free(got);
	folder_changes_done(&changes);
}

static void expect(const struct files *files, struct known *known, const char *want)
{
	expect_of(files, known, NULL, 0, false, want);
}

/* ---- which files ---- */

static void names_of_manifests(void **state)
{
	static const struct {
		const char *name;
		bool is;
	} cases[] = {
		{"a.yaml", true},   {"a.yml", true},   {"a.json", true},   {"a.b.yaml", true},
		{".a.yaml", false}, {".yaml", false},  {"a.yaml~", false}, {"a.yaml.swp", false},
		{"a.YAML", false},  {"yaml", false},   {"a", false},       {"a.txt", false},
		{"", false},        {"..data", false},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++)
		assert_int_equal(folder_is_manifest(cases[i].name), cases[i].is);
}

static void what_is_read(void **state)
{
	static const char *const regular[] = {"a.yaml", "b.yml", "c.json", "empty.yaml"};
	const struct files *files = *state;
	char path[FILES_PATH_MAX];
	struct known known = {0};

	files_write(files, "c.json", JSON_POD("c"));
	files_write(files, "a.yaml", POD("a"));
	files_write(files, "b.yml", POD("b") "---\n" DEPLOYMENT);
	files_write(files, "empty.yaml", "");
	files_write(files, ".hidden.yaml", POD("x"));
	files_write(files, "notes.txt", "[");
	assert_int_equal(mkdir(files_path(files, "folder.yaml", path), 0755), 0);
	assert_int_equal(mkfifo(files_path(files, "pipe.yaml", path), 0644), 0);
	assert_int_equal(symlink("a.yaml", files_path(files, "link.yaml", path)), 0);
	assert_int_equal(symlink("nowhere", files_path(files, "dangling.yaml", path)), 0);
	for (size_t i = 0; i < ARRAY_SIZE(regular); i++)
		files_age(files, regular[i]);
	errno = EACCES; /* of no meaning for those that can be looked at */
	expect(files, &known,
	       "a.yaml: Pod default/a;\nb.yml: Pod default/b;; +1\nc.json: Pod default/c;\n"
	       "empty.yaml:\nlink.yaml: Pod default/a;\n");
	expect(files, &known, "");
	known_done(&known);
}

static void only_those_named(void **state)
{
	static char *names[] = {(char *)"b.yaml", (char *)"none.yaml", (char *)"a.yaml"};
	const struct files *files = *state;
	struct known known = {0};

	files_write(files, "a.yaml", POD("a"));
	files_write(files, "b.yaml", POD("b"));
	files_write(files, "c.yaml", POD("c"));
	expect_of(files, &known, names, 2, false, "b.yaml: Pod default/b;\n");
	files_remove(files, "b.yaml");
	expect_of(files, &known, names, 3, false, "a.yaml: Pod default/a;\nb.yaml gone\n");
	known_done(&known);
}

static void settled_files(void **state)
{
	const struct files *files = *state;
	struct known known = {0};

	files_write(files, "a.yaml", POD("a"));
	files_write(files, "b.yaml", POD("b"));
	files_age(files, "b.yaml");
	expect_of(files, &known, NULL, 0, true, "b.yaml: Pod default/b;\n");
	expect(files, &known, "a.yaml: Pod default/a;\n");
	files_write(files, "a.yaml", "[");
	expect_of(files, &known, NULL, 0, true, ""); /* in the middle of a write, for all we know */
	known_done(&known);
}

/* ---- what is read again ---- */

static void changes_of_files(void **state)
{
	const struct files *files = *state;
	struct known known = {0};

	files_write(files, "a.yaml", POD("a"));
	files_write(files, "b.yaml", POD("b"));
	files_age(files, "a.yaml");
	files_age(files, "b.yaml");
	expect(files, &known, "a.yaml: Pod default/a;\nb.yaml: Pod default/b;\n");
	expect(files, &known, "");
	files_replace(files, "b.yaml", POD("b2"));
	expect(files, &known, "b.yaml: Pod default/b2;\n");
	files_age(files, "b.yaml");
	expect(files, &known, "b.yaml: (as before) Pod default/b2;\n");
	files_replace(files, "b.yaml", POD("b3")); /* same size; the inode tells */
	files_age(files, "b.yaml");
	expect(files, &known, "b.yaml: Pod default/b3;\n");
	files_remove(files, "a.yaml");
	files_write(files, "c.yaml", POD("c"));
	expect(files, &known, "a.yaml gone\nc.yaml: Pod default/c;\n");
	known_done(&known);
}

/* Written twice within a tick of the file system's clock, a file looks the same as before. */
static void same_look(void **state)
{
	static char *names[] = {(char *)"a.yaml"};
	const struct files *files = *state;
	struct known known = {0};
	struct stat before;
	char path[FILES_PATH_MAX];

	files_write(files, "a.yaml", POD("a"));
	expect(files, &known, "a.yaml: Pod default/a;\n");
	assert_int_equal(stat(files_path(files, "a.yaml", path), &before), 0);
	for (int named = 0; named < 2; named++) {
		const struct timespec times[2] = {before.st_atim, before.st_mtim};

		files_write(files, "a.yaml", named ? POD("b") : POD("c"));
		assert_int_equal(utimensat(AT_FDCWD, path, times, 0), 0);
		known.files[0]->fresh = !named; /* an old one is read if it is named */
		expect_of(files, &known, names, (size_t)named, false,
			  named ? "a.yaml: Pod default/b;\n" : "a.yaml: Pod default/c;\n");
	}
	known_done(&known);
}

static void file_becomes_a_folder(void **state)
{
	const struct files *files = *state;
	char path[FILES_PATH_MAX];
	struct known known = {0};

	files_write(files, "a.yaml", POD("a"));
	expect(files, &known, "a.yaml: Pod default/a;\n");
	files_remove(files, "a.yaml");
	assert_int_equal(mkdir(files_path(files, "a.yaml", path), 0755), 0);
	expect(files, &known, "a.yaml gone\n");
	known_done(&known);
}

/* Documents whose text did not change are not decoded again, wherever they stand now. */
static void unchanged_documents(void **state)
{
	const struct files *files = *state;
	struct known known = {0};

	files_write(files, "a.yaml", "---\n" POD("a") "---\n" POD("b") "---\n" POD("c"));
	expect(files, &known, "a.yaml: Pod default/a; Pod default/b; Pod default/c;\n");
	files_replace(files, "a.yaml", "---\n" POD("a") "---\n" POD("x") "---\n" POD("c"));
	expect(files, &known,
	       "a.yaml: (as before) Pod default/a; Pod default/x; (as before) Pod default/c;\n");
	files_replace(files, "a.yaml", "---\n" POD("c") "---\n" POD("a"));
	expect(files, &known, "a.yaml: (as before) Pod default/c; (as before) Pod default/a;\n");
	known_done(&known);
}

/* ---- documents ---- */

static void documents(void **state)
{
	static const struct {
		const char *text, *want;
	} cases[] = {
		{POD("a") "---\n" POD("b"), ": Pod default/a; Pod default/b;"},
		{"---\n" POD("a") "--- # comment\n" POD("b") "---",
		 ": Pod default/a; Pod default/b;;"},
		{"# comment\n---\n---\n" POD("a"), ":;; Pod default/a;"},
		{"--- " POD("a") "---\t" POD("b"), ": Pod default/a; Pod default/b;"},
		{"\xef\xbb\xbf" POD("a") "---\r\n" POD("b"), ": Pod default/a; Pod default/b;"},
		{"apiVersion: v1\r\nkind: Pod\r\nmetadata:\r\n  name: a\r\n---\r\n" POD("b"),
		 ": Pod default/a; Pod default/b;"},
		{"apiVersion: v1\nkind: Pod\nmetadata:\n  name: a\n  annotations:\n    x: |\n"
		 "      ---\n      kind: Other\n---\n" POD("b"),
		 ": Pod default/a; Pod default/b;"},
		{"%YAML 1.1\n---\n" POD("a") "...\n%YAML 1.1\n---\n" POD("b"),
		 ": Pod default/a Pod default/b;"},
		{JSON_POD("a") JSON_POD("b"), ": Pod default/a Pod default/b;"},
		{JSON_POD("a") "\n---\n" JSON_POD("b"), ": Pod default/a; Pod default/b;"},
		{"---a: b\n", ":; +1"},
	};
	const struct files *files = *state;

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct known known = {0};
		char want[256];

		files_replace(files, "a.yaml", cases[i].text);
		snprintf(want, sizeof(want), "a.yaml%s\n", cases[i].want);
		expect(files, &known, want);
		known_done(&known);
	}
}

static void lists(void **state)
{
	static const struct {
		const char *text, *want;
	} cases[] = {
		{"apiVersion: v1\nkind: List\nitems:\n- " POD("a") "- " POD("b") "- " DEPLOYMENT,
		 ": Pod default/a Pod default/b; +1"},
		{"items:\n- " POD("a") "kind: PodList\napiVersion: v1\n", ": Pod default/a;"},
		{"{\"kind\":\"List\",\"items\":[" JSON_POD("a") "]}", ": Pod default/a;"},
		{"kind: List\nitems: []\n", ":;"},
		{"kind: List\n", ":;"},
		/* Objects inside something else belong to that thing, not to the cluster. */
		{"kind: Catalogue\nitems:\n- " POD("a"), ":; +1"},
		{"items:\n- " POD("a"), ":; +1"},
		{"apiVersion: v1\nkind: List\nitems: null\n", ":;"},
		{"apiVersion: v1\nkind: List\nitems: {kind: Pod}\n",
		 ": error DIR/a.yaml:3: List: items: must be a list"},
		{"%YAML 1.1\n---\n" POD("a") "---\nkind: Catalogue\nitems:\n- " POD(
			 "b") "---\n" POD("c"),
		 ": Pod default/a Pod default/c; +1"},
	};
	const struct files *files = *state;

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct known known = {0};
		char want[256];

		files_replace(files, "a.yaml", cases[i].text);
		snprintf(want, sizeof(want), "a.yaml%s\n", cases[i].want);
		expect(files, &known, want);
		known_done(&known);
	}
}

/* 2 MB of other kinds beside: counted, not complained of. */
static void foreign_kinds(void **state)
{
	const struct files *files = *state;
	struct folder_changes changes;
	char path[FILES_PATH_MAX];
	FILE *out = fopen(files_path(files, "a.yaml", path), "we");

	assert_non_null(out);
	for (int i = 0; i < 5000; i++)
		fprintf(out,
			"---\napiVersion: example.com/v%d\nkind: Kind%d\nmetadata: {name: x}\n"
			"spec:\n  text: |\n    %0400d\n  items: [{a: 1}]\n",
			i, i, i);
	fputs("---\n" POD("a"), out);
	fclose(out);
	folder_read(files->dir, NULL, 0, NULL, 0, false, &changes);
	assert_int_equal(changes.n, 1);
	assert_null(changes.items[0].error);
	assert_int_equal(changes.items[0].others, 5000);
	assert_int_equal(changes.items[0].file->n_docs, 5001);
	assert_int_equal(changes.items[0].file->docs[5000].n_keys, 1);
	folder_changes_done(&changes);
}

/* ---- what is wrong ---- */

static void broken_files(void **state)
{
	static const struct {
		const char *text, *error;
	} cases[] = {
		{"a: [\n", "1: not YAML: did not find expected node content, while parsing a flow "
			   "node"},
		{POD("a") "---\n" POD("b") "---\n# x\na: b: c\n",
		 "6: not YAML: mapping values are not allowed in this context"},
		{"apiVersion: v1\nkind: Pod\nmetadata: {}\n",
		 "3: Pod ?: metadata: name is missing"},
		{POD("a") "---\napiVersion: v1\nkind: Service\nmetadata: {name: s}\nspec:\n"
			  "  ports:\n  - port: \"80\"\n",
		 "8: Service default/s: spec.ports[0].port: must be an integer from 1 to 65535, is "
		 "the string \"80\""},
		{"kind: List\nitems:\n- " POD("a") "- {apiVersion: v1, kind: Node,\n"
						   "   metadata: {name: 7}}\n",
		 "5: Node ?: metadata.name: must be a string, is the number 7; DIR/a.yaml:5: "
		 "Node ?: metadata: name is missing"},
		{"- not\n- an object\n", "1: must be a mapping with apiVersion and kind"},
		{"just text\n", "1: must be a mapping with apiVersion and kind"},
		{"{\"a\":\n1,,}", "2: not YAML: did not find expected node content, while parsing "
				  "a flow node"},
	};
	const struct files *files = *state;
	struct known known = {0};

	files_write(files, "z.yaml", POD("z"));
	files_age(files, "z.yaml");
	expect(files, &known, "z.yaml: Pod default/z;\n");
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		char want[512];

		files_replace(files, "a.yaml", cases[i].text);
		snprintf(want, sizeof(want), "a.yaml: error DIR/a.yaml:%s\n", cases[i].error);
		expect(files, &known, want);
	}
	known_done(&known);
}

/* While a known file is broken its last good look is known; whole again, all of it is read. */
static void broken_and_mended(void **state)
{
	const struct files *files = *state;
	struct known known = {0};

	files_write(files, "a.yaml", POD("a") "---\n" POD("b"));
	expect(files, &known, "a.yaml: Pod default/a; Pod default/b;\n");
	files_replace(files, "a.yaml", POD("a") "---\n[");
	expect(files, &known,
	       "a.yaml: error DIR/a.yaml:3: not YAML: did not find expected node content, while "
	       "parsing a flow node\n");
	known.files[0]->broken = true; /* as the source notes */
	files_replace(files, "a.yaml", POD("a") "---\n" POD("b"));
	expect(files, &known, "a.yaml: Pod default/a; Pod default/b;\n");
	known_done(&known);
}

static void folders_that_cannot_be_read(void **state)
{
	const struct files *files = *state;
	char path[FILES_PATH_MAX], want[2 * FILES_PATH_MAX];
	struct folder_changes changes;

	files_write(files, "file", "");
	files_path(files, "none", path);
	folder_read(path, NULL, 0, NULL, 0, false, &changes);
	assert_false(changes.complete);
	assert_int_equal(changes.n, 0);
	assert_int_equal(changes.err.code, -ENOENT);
	snprintf(want, sizeof(want), "the folder %s cannot be read: No such file or directory",
		 path);
	assert_string_equal(changes.err.text, want);
	folder_changes_done(&changes);

	files_path(files, "file", path);
	folder_read(path, NULL, 0, NULL, 0, false, &changes);
	assert_false(changes.complete);
	assert_int_equal(changes.err.code, -ENOTDIR);
	folder_changes_done(&changes);
}

/* Nothing is gone because its folder is: what is known stays known. */
static void folder_gone(void **state)
{
	struct files *files = *state;
	struct folder_changes changes;
	struct known known = {0};

	files_write(files, "a.yaml", POD("a"));
	expect(files, &known, "a.yaml: Pod default/a;\n");
	folder_read("/nonexistent", NULL, 0, known.files, known.n, false, &changes);
	assert_int_equal(changes.n, 0);
	assert_false(changes.complete);
	folder_changes_done(&changes);
	known_done(&known);
}

/* Root may read everything: so the test is nobody for a moment. */
static void no_permission(void **state)
{
	const struct files *files = *state;
	char path[FILES_PATH_MAX];
	struct known known = {0};

	assert_int_equal(chmod(files->dir, 0755), 0);
	files_write(files, "a.yaml", POD("a"));
	files_write(files, "b.yaml", POD("b"));
	assert_int_equal(chmod(files_path(files, "b.yaml", path), 0), 0);
	if (geteuid() == 0)
		assert_int_equal(seteuid(NOBODY), 0);
	expect(files, &known,
	       "a.yaml: Pod default/a;\n"
	       "b.yaml: error DIR/b.yaml: cannot be read: Permission denied\n");
	if (getuid() == 0)
		assert_int_equal(seteuid(0), 0);
	known_done(&known);
}

/* That a known file cannot be looked at any more does not say that it is gone. */
static void unreadable_is_not_gone(void **state)
{
	const struct files *files = *state;
	char path[FILES_PATH_MAX];
	struct known known = {0};

	files_write(files, "a.yaml", POD("a"));
	expect(files, &known, "a.yaml: Pod default/a;\n");
	files_remove(files, "a.yaml");
	assert_int_equal(symlink("a.yaml", files_path(files, "a.yaml", path)), 0);
	expect(files, &known,
	       "a.yaml: error DIR/a.yaml: cannot be read: Too many levels of symbolic links\n");
	assert_int_equal(known.n, 1);
	known_done(&known);
}

static void too_large(void **state)
{
	const struct files *files = *state;
	char path[FILES_PATH_MAX];
	struct known known = {0};

	files_write(files, "a.yaml", "");
	assert_int_equal(truncate(files_path(files, "a.yaml", path), FOLDER_FILE_BYTES_MAX + 1L),
			 0);
	expect(files, &known,
	       "a.yaml: error DIR/a.yaml: has 67108865 bytes, more than 67108864: split it\n");
	known_done(&known);
}

int main(void)
{
#define WITH_FILES(f) cmocka_unit_test_setup_teardown(f, files_setup, files_teardown)
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(names_of_manifests),
		WITH_FILES(what_is_read),
		WITH_FILES(only_those_named),
		WITH_FILES(settled_files),
		WITH_FILES(changes_of_files),
		WITH_FILES(same_look),
		WITH_FILES(file_becomes_a_folder),
		WITH_FILES(unchanged_documents),
		WITH_FILES(documents),
		WITH_FILES(lists),
		WITH_FILES(foreign_kinds),
		WITH_FILES(broken_files),
		WITH_FILES(broken_and_mended),
		WITH_FILES(folders_that_cannot_be_read),
		WITH_FILES(folder_gone),
		WITH_FILES(no_permission),
		WITH_FILES(unreadable_is_not_gone),
		WITH_FILES(too_large),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
