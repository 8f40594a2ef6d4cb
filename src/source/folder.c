/* SPDX-License-Identifier: Apache-2.0 */
/* See folder.h. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "heap.h"
#include "kube/decode.h"
#include "source/folder.h"
#include "source/tree.h"

bool folder_is_manifest(const char *name)
{
	const char *dot = strrchr(name, '.');

	return name[0] != '.' && dot &&
	       (strcmp(dot, ".yaml") == 0 || strcmp(dot, ".yml") == 0 || strcmp(dot, ".json") == 0);
}

char *folder_key(const struct obj_meta *meta)
{
	char *key;

	if (asprintf(&key, "%s %s/%s", obj_kind_name(meta->kind), meta->ns, meta->name) < 0)
		return NULL;
	return key;
}

static void doc_done(struct folder_doc *doc)
{
	for (size_t i = 0; i < doc->n_keys; i++)
		free(doc->keys[i]);
	free(doc->keys);
	for (size_t i = 0; i < doc->n_objects; i++)
		object_free(doc->objects[i]);
	free(doc->objects);
}

void folder_file_free(struct folder_file *file)
{
	if (!file)
		return;
	for (size_t i = 0; i < file->n_docs; i++)
		doc_done(&file->docs[i]);
	free(file->docs);
	free(file->name);
	free(file);
}

void folder_changes_done(struct folder_changes *changes)
{
	for (size_t i = 0; i < changes->n; i++) {
		folder_file_free(changes->items[i].file);
		free(changes->items[i].name);
		free(changes->items[i].error);
	}
	free(changes->items);
	*changes = (struct folder_changes){0};
}

/* ---- one document ---- */

struct doc_reader {
	const char *path;
	struct folder_doc *doc;
	size_t cap_keys, cap_objects;
	size_t others;
	size_t n_before; /* objects of the text's documents before this one */
	struct err *err;
};

static int add_object(struct doc_reader *reader, union object *object)
{
	struct folder_doc *doc = reader->doc;
	char *key = folder_key(&object->meta);

	if (!key ||
	    util_grow((void **)&doc->keys, &reader->cap_keys, doc->n_keys + 1, sizeof(*doc->keys)) <
		    0 ||
	    util_grow((void **)&doc->objects, &reader->cap_objects, doc->n_objects + 1,
		      sizeof(*doc->objects)) < 0) {
		free(key);
		object_free(object);
		return err_set(reader->err, -ENOMEM, "no memory");
	}
	doc->keys[doc->n_keys++] = key;
	doc->objects[doc->n_objects++] = object;
	return 0;
}

static bool is_list(const cJSON *tree)
{
	const cJSON *kind = tree_get(tree, "kind");
	size_t len = cJSON_IsString(kind) ? strlen(kind->valuestring) : 0;

	return len >= 4 && strcmp(kind->valuestring + len - 4, "List") == 0;
}

/* `kubectl get -o yaml` gives a List; a mapping where its elements belong would be lost unseen. */
static int check_items(const struct doc_reader *reader, const cJSON *tree)
{
	const cJSON *kind = tree_get(tree, "kind"), *items = tree_get(tree, "items");

	if (!items || cJSON_IsNull(items) || cJSON_IsArray(items) ||
	    strcmp(kind->valuestring, "List") != 0)
		return 0;
	return err_set(reader->err, -EINVAL, "%s:%d: List: items: must be a list", reader->path,
		       tree_line(items));
}

/* Objects inside something that is no List belong to that thing. */
static void drop_elements(struct doc_reader *reader)
{
	struct folder_doc *doc = reader->doc;

	while (doc->n_objects > reader->n_before) {
		free(doc->keys[--doc->n_keys]);
		object_free(doc->objects[--doc->n_objects]);
	}
}

static int take_tree(cJSON *tree, bool item, void *arg)
{
	struct doc_reader *reader = arg;
	union object *object = NULL;
	int rc = decode_object(tree, reader->path, &object, reader->err);
	bool list = !item && is_list(tree);

	if (rc == 0 && !item && !list && tree_get(tree, "items"))
		drop_elements(reader);
	if (rc == 0 && list)
		rc = check_items(reader, tree);
	if (rc == 0 && !object)
		reader->others += !list;
	cJSON_Delete(tree);
	if (rc == 0 && object)
		rc = add_object(reader, object);
	if (!item)
		reader->n_before = reader->doc->n_objects;
	return rc;
}

static void shrink(struct folder_doc *doc)
{
	char **keys = doc->n_keys ? realloc(doc->keys, doc->n_keys * sizeof(*keys)) : NULL;

	if (keys)
		doc->keys = keys;
}

static int read_doc(const char *path, const char *text, size_t len, int line,
		    struct folder_doc *doc, size_t *others, struct err *err)
{
	struct doc_reader reader = {.path = path, .doc = doc, .err = err};
	struct err syntax = {0};
	int rc;

	err->text[0] = '\0';
	rc = tree_read(text, len, line, take_tree, &reader, &syntax);
	if (rc < 0 && !err->text[0])
		err_set(err, rc, "%s:%s", path, syntax.text);
	shrink(doc);
	*others += reader.others;
	return rc;
}

/* ---- documents of a file ---- */

/* Is there a separator line at `at`? "---" and then blank or the line's end. */
static bool is_separator(const char *at, const char *end)
{
	return end - at >= 3 && memcmp(at, "---", 3) == 0 &&
	       (end - at == 3 || strchr(" \t\r\n", at[3]));
}

/* The end of the document that begins at `at`: the next separator line behind its first line. A
 * text cannot hold one by accident: YAML forbids it at the start of a line everywhere (spec 9.1.2).
 */
static const char *doc_end(const char *at, const char *end)
{
	while (at < end) {
		const char *newline = memchr(at, '\n', (size_t)(end - at));

		if (!newline)
			return end;
		at = newline + 1;
		if (is_separator(at, end))
			return at;
	}
	return end;
}

static int count_lines(const char *from, const char *to)
{
	int n = 0;

	while (from < to && (from = memchr(from, '\n', (size_t)(to - from)))) {
		from++;
		n++;
	}
	return n;
}

/* A directive (%YAML) belongs to the document behind the next separator: such files are not split.
 */
static bool has_directive(const char *text, size_t len)
{
	return text[0] == '%' || memmem(text, len, "\n%", 2);
}

static const struct folder_doc *find_doc(const struct folder_file *known, const uint64_t hash[2])
{
	for (size_t i = 0; known && i < known->n_docs; i++)
		if (memcmp(known->docs[i].hash, hash, sizeof(known->docs[i].hash)) == 0)
			return &known->docs[i];
	return NULL;
}

/* The old reading's documents are nearly always in the same order: so the search begins where the
 * last one ended. */
static const struct folder_doc *find_doc_near(const struct folder_file *known, size_t at,
					      const uint64_t hash[2])
{
	if (known && at < known->n_docs &&
	    memcmp(known->docs[at].hash, hash, sizeof(known->docs[at].hash)) == 0)
		return &known->docs[at];
	return find_doc(known, hash);
}

static int copy_keys(struct folder_doc *doc, const struct folder_doc *old)
{
	doc->keys = calloc(old->n_keys + 1, sizeof(*doc->keys));
	if (!doc->keys)
		return -ENOMEM;
	for (; doc->n_keys < old->n_keys; doc->n_keys++)
		if (!(doc->keys[doc->n_keys] = strdup(old->keys[doc->n_keys])))
			return -ENOMEM;
	doc->reused = true;
	return 0;
}

static int take_doc(struct folder_file *file, size_t *cap, const struct folder_file *known,
		    const char *path, const char *text, size_t len, int line, size_t *others,
		    struct err *err)
{
	struct folder_doc *doc;
	const struct folder_doc *old;

	if (util_grow((void **)&file->docs, cap, file->n_docs + 1, sizeof(*file->docs)) < 0)
		return err_set(err, -ENOMEM, "%s: no memory", path);
	doc = &file->docs[file->n_docs];
	*doc = (struct folder_doc){0};
	doc->hash[0] = util_hash(UTIL_HASH_SEED, text, len);
	doc->hash[1] = util_hash(UTIL_HASH_SEED ^ len, text, len);
	old = known && !known->broken ? find_doc_near(known, file->n_docs, doc->hash) : NULL;
	file->n_docs++;
	if (old)
		return copy_keys(doc, old) < 0 ? err_set(err, -ENOMEM, "%s: no memory", path) : 0;
	return read_doc(path, text, len, line, doc, others, err);
}

static int take_docs(struct folder_file *file, const struct folder_file *known, const char *path,
		     const char *text, size_t len, size_t *others, struct err *err)
{
	const char *end = text + len, *at = text;
	void *heap = heap_populate(NULL);
	bool whole;
	size_t cap = 0;
	int line = 1, rc = 0;

	if (len >= 3 && memcmp(at, "\xef\xbb\xbf", 3) == 0) /* byte order mark */
		at += 3;
	whole = at < end && has_directive(at, (size_t)(end - at));
	while (at < end && rc == 0) {
		const char *next = whole ? end : doc_end(at, end);

		rc = take_doc(file, &cap, known, path, at, (size_t)(next - at), line, others, err);
		line += count_lines(at, next);
		at = next;
		heap = heap_populate(heap);
	}
	return rc;
}

/* ---- one file ---- */

/* Exactly `size` bytes. -EAGAIN: it has become shorter meanwhile. */
static int read_bytes(int fd, char *text, size_t size)
{
	size_t len = 0;

	while (len < size) {
		ssize_t n = read(fd, text + len, size - len);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return n < 0 ? -errno : -EAGAIN;
		len += (size_t)n;
	}
	text[size] = '\0';
	return 0;
}

/* The caller frees. */
static char *load_file(const char *path, size_t size, struct err *err)
{
	cleanup_free char *text = NULL;
	int fd, rc;

	if (size > FOLDER_FILE_BYTES_MAX) {
		err_set(err, -EFBIG, "%s: has %zu bytes, more than %d: split it", path, size,
			FOLDER_FILE_BYTES_MAX);
		return NULL;
	}
	fd = open(path, O_RDONLY | O_CLOEXEC);
	text = fd < 0 ? NULL : malloc(size + 1);
	rc = text ? read_bytes(fd, text, size) : -errno;
	if (fd >= 0)
		close(fd);
	if (rc == 0)
		return take_ptr(text);
	err_set(err, rc, "%s: cannot be read: %s", path,
		rc == -EAGAIN ? "it has changed meanwhile" : strerror(-rc));
	return NULL;
}

static bool same_stat(const struct folder_file *known, const struct stat *st)
{
	return known && known->inode == st->st_ino && known->size == st->st_size &&
	       known->mtime.tv_sec == st->st_mtim.tv_sec &&
	       known->mtime.tv_nsec == st->st_mtim.tv_nsec;
}

static bool is_fresh(const struct stat *st)
{
	struct timespec now;
	int64_t age_ms;

	clock_gettime(CLOCK_REALTIME, &now);
	age_ms = (now.tv_sec - st->st_mtim.tv_sec) * 1000 +
		 (now.tv_nsec - st->st_mtim.tv_nsec) / 1000000;
	return age_ms >= 0 && age_ms < FOLDER_SETTLE_MS;
}

static struct folder_file *new_file(const char *name, const struct stat *st)
{
	struct folder_file *file = calloc(1, sizeof(*file));

	if (!file || !(file->name = strdup(name))) {
		free(file);
		return NULL;
	}
	file->mtime = st->st_mtim;
	file->size = st->st_size;
	file->inode = st->st_ino;
	file->fresh = is_fresh(st);
	return file;
}

/* NULL without memory: then the file is as it was, until it is looked at again. */
static struct folder_change *add_change(struct folder_changes *changes, const char *name)
{
	char *copy = strdup(name);

	if (!copy || util_grow((void **)&changes->items, &changes->cap, changes->n + 1,
			       sizeof(*changes->items)) < 0) {
		free(copy);
		return NULL;
	}
	changes->items[changes->n] = (struct folder_change){.name = copy};
	return &changes->items[changes->n++];
}

static void read_file(const char *path, const char *name, const struct stat *st,
		      const struct folder_file *known, struct folder_changes *changes)
{
	struct folder_file *file = new_file(name, st);
	struct folder_change *change = file ? add_change(changes, name) : NULL;
	struct err err = {0};
	cleanup_free char *text = NULL;
	size_t len = (size_t)st->st_size;
	int rc = -ENOMEM;

	if (!change) {
		folder_file_free(file);
		return;
	}
	change->file = file;
	text = load_file(path, len, &err);
	if (text)
		rc = take_docs(file, known, path, text, len, &change->others, &err);
	file->broken = rc < 0;
	if (rc < 0)
		change->error = strdup(err.text[0] ? err.text : "no memory");
}

/* What cannot be looked at is not gone: it keeps what it had. */
static void tell_unreadable(const char *path, const char *name, int error,
			    struct folder_changes *changes)
{
	struct folder_change *change;
	char *text;

	if (asprintf(&text, "%s: cannot be read: %s", path, strerror(error)) < 0)
		return;
	change = add_change(changes, name);
	if (change)
		change->error = text;
	else
		free(text);
}

/* Whoever `named` the file knows of a change: a stat may well be the same, since clocks of file
 * systems are coarse. For that reason a file is not trusted either that was fresh when it was read.
 */
static bool must_read(const struct folder_file *known, const struct stat *st, bool named,
		      bool settled_only)
{
	if (settled_only && is_fresh(st))
		return false;
	return named || !same_stat(known, st) || known->fresh;
}

static void look_at(const char *dir, const char *name, const struct folder_file *known, bool named,
		    bool settled_only, struct folder_changes *changes)
{
	cleanup_free char *path = NULL;
	struct stat st;

	if (asprintf(&path, "%s/%s", dir, name) < 0) {
		path = NULL;
		return;
	}
	if (stat(path, &st) < 0) {
		if (errno != ENOENT)
			tell_unreadable(path, name, errno, changes);
		else if (known)
			add_change(changes, name);
	} else if (!S_ISREG(st.st_mode)) { /* a folder, a pipe: none of ours, or not any more */
		if (known)
			add_change(changes, name);
	} else if (must_read(known, &st, named, settled_only)) {
		read_file(path, name, &st, known, changes);
	}
}

/* ---- the folder ---- */

static struct folder_file *find_known(struct folder_file *const *known, size_t n, const char *name)
{
	size_t low = 0, high = n;

	while (low < high) {
		size_t mid = low + (high - low) / 2;
		int order = strcmp(known[mid]->name, name);

		if (order == 0)
			return known[mid];
		if (order < 0)
			low = mid + 1;
		else
			high = mid;
	}
	return NULL;
}

static int name_cmp(const void *a, const void *b)
{
	return strcmp(*(char *const *)a, *(char *const *)b);
}

struct names {
	char **items;
	size_t n, cap;
};

static void names_done(struct names *names)
{
	for (size_t i = 0; i < names->n; i++)
		free(names->items[i]);
	free(names->items);
}

static int list_folder(const char *dir, struct names *names, struct err *err)
{
	DIR *handle = opendir(dir);
	struct dirent *entry;
	int rc = 0;

	if (!handle)
		return err_set(err, -errno, "the folder %s cannot be read: %s", dir,
			       strerror(errno));
	while (rc == 0 && (entry = readdir(handle))) {
		if (!folder_is_manifest(entry->d_name))
			continue;
		if (names->n == FOLDER_FILES_MAX)
			rc = err_set(err, -E2BIG, "the folder %s has more than %d manifests", dir,
				     FOLDER_FILES_MAX);
		else if (util_grow((void **)&names->items, &names->cap, names->n + 1,
				   sizeof(*names->items)) < 0 ||
			 !(names->items[names->n] = strdup(entry->d_name)))
			rc = err_set(err, -ENOMEM, "no memory");
		else
			names->n++;
	}
	closedir(handle);
	if (rc == 0 && names->n)
		qsort(names->items, names->n, sizeof(*names->items), name_cmp);
	return rc;
}

static int change_cmp(const void *a, const void *b)
{
	return strcmp(((const struct folder_change *)a)->name,
		      ((const struct folder_change *)b)->name);
}

static void look_at_all(const char *dir, struct folder_file *const *known, size_t n_known,
			bool settled_only, struct folder_changes *changes)
{
	struct names names = {0};

	if (list_folder(dir, &names, &changes->err) == 0) {
		changes->complete = true;
		for (size_t i = 0; i < names.n; i++)
			look_at(dir, names.items[i], find_known(known, n_known, names.items[i]),
				false, settled_only, changes);
		for (size_t i = 0; i < n_known; i++)
			if (!names.n || !bsearch(&known[i]->name, names.items, names.n,
						 sizeof(*names.items), name_cmp))
				add_change(changes, known[i]->name);
	}
	names_done(&names);
}

void folder_read(const char *dir, char *const *names, size_t n_names,
		 struct folder_file *const *known, size_t n_known, bool settled_only,
		 struct folder_changes *ret_changes)
{
	*ret_changes = (struct folder_changes){0};
	for (size_t i = 0; i < n_names; i++)
		look_at(dir, names[i], find_known(known, n_known, names[i]), true, settled_only,
			ret_changes);
	if (!n_names)
		look_at_all(dir, known, n_known, settled_only, ret_changes);
	if (ret_changes->n)
		qsort(ret_changes->items, ret_changes->n, sizeof(*ret_changes->items), change_cmp);
}
