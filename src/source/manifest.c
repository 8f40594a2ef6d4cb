/* SPDX-License-Identifier: Apache-2.0 */
/* A folder of manifests as a source; see manifest.h and source.h.
 *
 * A round: folder_read on a worker thread says what changed; its result is applied on the loop in
 * slices; Services are told last, sorted, after all explicit cluster IPs and node ports are known;
 * then one commit. Rounds follow inotify directly: libuv's own watcher cannot tell a finished write
 * (IN_CLOSE_WRITE, IN_MOVED_TO) from half of one (IN_MODIFY), and would have us guess with a delay.
 * A slow poll finds what a file system without inotify (a host's, a network's) does not tell. */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/inotify.h>
#include <time.h>
#include <unistd.h>
#include <uthash.h>

#include "log.h"
#include "source/folder.h"
#include "source/manifest.h"
#include "source/registry.h"

#define POLL_MS   10000
#define NAMES_MAX 64 /* more files changed at once: look at the whole folder instead */

/* One file's definition of an object. Of several the first by file name counts; but one that is
 * told stays in force while its file is broken, since it could not be read again when it is needed.
 */
struct def {
	struct folder_file *file; /* which file; compared by name */
	uint32_t round;           /* in which it was last seen there */
	bool told;                /* the sink has the object; else `object` waits here */
	union object *object;
	struct def *next;
};

struct object_entry {
	char *key;
	enum obj_kind kind;
	struct def *defs; /* sorted by file name */
	UT_hash_handle hh;
};

enum phase { IDLE, READING, APPLYING, SETTLING, TELLING };

struct manifest_source {
	uv_loop_t *loop;
	char *dir, *state_path;
	bool watch, closing;
	struct source_sink sink;
	struct registry *registry;

	struct folder_file **files; /* sorted by name */
	size_t n_files, files_cap;
	struct object_entry *objects;

	enum phase phase;
	uint32_t round;
	bool full, again, again_full, settled_only; /* of this round; what the next must do */
	bool complete, told_complete;
	struct folder_changes changes;
	uint64_t read_us, told_since_us; /* of this round, for the log */
	size_t next_change;
	struct folder_file *taking,
		*replaced; /* of the change being applied; replaced may be NULL */
	size_t next_doc, next_old_doc;
	struct object_entry **services; /* that are to be told in this round */
	size_t n_services, services_cap, next_service;

	char *names[NAMES_MAX], *reading[NAMES_MAX];
	size_t n_names, n_reading;

	uv_work_t work, save;
	bool working, saving;
	char *save_text;
	int save_result;
	uv_idle_t idle;
	uv_timer_t timer;
	uv_poll_t poll;
	bool polling;
	int inotify_fd, watch_descriptor;
	int open_handles;
};

static void start_round(struct manifest_source *src, bool full, bool settled_only);

/* ---- files and definitions ---- */

static void problem(struct manifest_source *src, const char *subject, const char *text)
{
	src->sink.problem(src->sink.ctx, subject, text);
}

static size_t file_place(const struct manifest_source *src, const char *name)
{
	size_t low = 0, high = src->n_files;

	while (low < high) {
		size_t mid = low + (high - low) / 2;

		if (strcmp(src->files[mid]->name, name) < 0)
			low = mid + 1;
		else
			high = mid;
	}
	return low;
}

static struct folder_file *file_find(const struct manifest_source *src, const char *name)
{
	size_t at = file_place(src, name);

	return at < src->n_files && strcmp(src->files[at]->name, name) == 0 ? src->files[at] : NULL;
}

static int file_insert(struct manifest_source *src, struct folder_file *file)
{
	size_t at = file_place(src, file->name);

	if (util_grow((void **)&src->files, &src->files_cap, src->n_files + 1,
		      sizeof(struct folder_file *)) < 0)
		return -ENOMEM;
	memmove(src->files + at + 1, src->files + at,
		(src->n_files - at) * sizeof(struct folder_file *));
	src->files[at] = file;
	src->n_files++;
	return 0;
}

static void file_remove(struct manifest_source *src, const struct folder_file *file)
{
	size_t at = file_place(src, file->name);

	src->n_files--;
	memmove(src->files + at, src->files + at + 1,
		(src->n_files - at) * sizeof(struct folder_file *));
}

static struct object_entry *entry_get(struct manifest_source *src, const char *key,
				      enum obj_kind kind)
{
	struct object_entry *entry;

	HASH_FIND_STR(src->objects, key, entry);
	if (entry)
		return entry;
	entry = calloc(1, sizeof(*entry));
	if (!entry || !(entry->key = strdup(key))) {
		free(entry);
		return NULL;
	}
	entry->kind = kind;
	HASH_ADD_KEYPTR(hh, src->objects, entry->key, strlen(entry->key), entry);
	return entry;
}

static void tell_conflict(struct manifest_source *src, const struct object_entry *entry)
{
	const struct def *first = entry->defs;
	char text[512];

	if (!first || !first->next) {
		problem(src, entry->key, NULL);
		return;
	}
	snprintf(text, sizeof(text), "is in both %s and %s: that in %s counts", first->file->name,
		 first->next->file->name, first->file->name);
	problem(src, entry->key, text);
}

/* ---- telling the sink ---- */

static int queue_service(struct manifest_source *src, struct object_entry *entry)
{
	if (util_grow((void **)&src->services, &src->services_cap, src->n_services + 1,
		      sizeof(struct object_entry *)) < 0)
		return -ENOMEM;
	src->services[src->n_services++] = entry;
	return 0;
}

/* The first definition counts: if it is new it is told, a Service at the end of the round. */
static void tell_first(struct manifest_source *src, struct object_entry *entry)
{
	struct def *first = entry->defs;

	if (!first || first->told || !first->object)
		return;
	if (entry->kind == OBJ_SERVICE) {
		registry_reserve(src->registry, &first->object->service);
		queue_service(src, entry);
		return;
	}
	first->told = true;
	src->sink.put(src->sink.ctx, take_ptr(first->object));
}

static bool has_key(const struct folder_doc *doc, const char *key)
{
	for (size_t i = 0; i < doc->n_keys; i++)
		if (strcmp(doc->keys[i], key) == 0)
			return true;
	return false;
}

/* The object that was told is not known here any more, only its file is: read that again. */
static void read_again(struct manifest_source *src, struct folder_file *file, const char *key)
{
	file->size = -1;
	for (size_t i = 0; i < file->n_docs; i++)
		if (has_key(&file->docs[i], key))
			memset(file->docs[i].hash, 0, sizeof(file->docs[i].hash));
	src->again = src->again_full = true;
}

static struct def *def_find(const struct object_entry *entry, const struct folder_file *file)
{
	for (struct def *def = entry->defs; def; def = def->next)
		if (strcmp(def->file->name, file->name) == 0)
			return def;
	return NULL;
}

/* Puts it where it belongs; one that was the first and told waits from now on. */
static void def_link(struct manifest_source *src, struct object_entry *entry, struct def *def)
{
	struct def **at = &entry->defs, *first = entry->defs;

	while (*at && (((*at)->told && (*at)->file->broken) ||
		       strcmp((*at)->file->name, def->file->name) < 0))
		at = &(*at)->next;
	if (first && *at == first && first->told) {
		first->told = false;
		read_again(src, first->file, entry->key);
	}
	def->next = *at;
	*at = def;
}

static void def_unlink(struct object_entry *entry, struct def *def)
{
	struct def **at = &entry->defs;

	while (*at != def)
		at = &(*at)->next;
	*at = def->next;
}

/* Was it seen in this reading of its file already? Then that one counts. */
static bool is_second(struct manifest_source *src, const struct def *def, const char *key)
{
	char text[512];

	if (!def || def->round != src->round)
		return false;
	snprintf(text, sizeof(text), "%s is there twice: the first counts", key);
	problem(src, def->file->name, text);
	return true;
}

/* False: it is there for the second time. Owns the object. */
static bool define(struct manifest_source *src, struct folder_file *file, const char *key,
		   union object *object)
{
	struct object_entry *entry = entry_get(src, key, object->meta.kind);
	struct def *def = entry ? def_find(entry, file) : NULL;
	bool second = is_second(src, def, key);

	if (def && !second)
		def_unlink(entry, def);
	else if (entry && !second)
		def = calloc(1, sizeof(*def));
	if (!def || second) {
		object_free(object);
		return !second;
	}
	object_free(def->object);
	*def = (struct def){.file = file, .round = src->round, .object = object};
	def_link(src, entry, def);
	if (entry->defs->next)
		tell_conflict(src, entry);
	tell_first(src, entry);
	return true;
}

/* The same for an object whose text did not change. */
static bool keep(struct manifest_source *src, struct folder_file *file, const char *key)
{
	struct object_entry *entry;
	struct def *def;

	HASH_FIND_STR(src->objects, key, entry);
	def = entry ? def_find(entry, file) : NULL;
	if (is_second(src, def, key))
		return false;
	if (!def)
		return true;
	def->file = file;
	def->round = src->round;
	if (!def->told && !def->object) /* displaced in this very round */
		read_again(src, file, key);
	return true;
}

static void remove_object(struct manifest_source *src, struct object_entry *entry)
{
	char *space = strchr(entry->key, ' '), *slash = space ? strchr(space, '/') : NULL;

	if (slash) {
		*slash = '\0';
		src->sink.remove(src->sink.ctx, entry->kind, space + 1, slash + 1);
		if (entry->kind == OBJ_SERVICE)
			registry_forget(src->registry, space + 1, slash + 1);
		*slash = '/';
	}
	if (entry->kind == OBJ_SERVICE)
		problem(src, entry->key, NULL);
	for (size_t i = src->next_service; i < src->n_services; i++)
		if (src->services[i] == entry)
			src->services[i] = NULL;
	HASH_DEL(src->objects, entry);
	free(entry->key);
	free(entry);
}

/* A file no longer has this object; another file's definition may revive. */
static void undefine(struct manifest_source *src, const char *key, const char *file_name)
{
	struct object_entry *entry;
	struct def **at, *def;

	HASH_FIND_STR(src->objects, key, entry);
	if (!entry)
		return;
	for (at = &entry->defs; *at && strcmp((*at)->file->name, file_name) != 0;)
		at = &(*at)->next;
	def = *at;
	if (!def || def->round == src->round)
		return;
	*at = def->next;
	object_free(def->object);
	free(def);
	if (!entry->defs) {
		remove_object(src, entry);
		return;
	}
	tell_conflict(src, entry);
	tell_first(src, entry);
}

/* ---- applying a round's changes ---- */

/* A document with an object that does not count, since it is the second, is read anew every time:
 * it may be the first then. */
static void apply_doc(struct manifest_source *src, struct folder_file *file, struct folder_doc *doc)
{
	bool all = true;

	for (size_t k = 0; k < doc->n_keys; k++)
		all &= doc->reused ? keep(src, file, doc->keys[k])
				   : define(src, file, doc->keys[k], take_ptr(doc->objects[k]));
	if (!all)
		memset(doc->hash, 0, sizeof(doc->hash));
	free(doc->objects);
	doc->objects = NULL;
	doc->n_objects = 0;
	doc->reused = false;
}

static void undefine_doc(struct manifest_source *src, const struct folder_doc *doc,
			 const char *file_name)
{
	for (size_t k = 0; k < doc->n_keys; k++)
		undefine(src, doc->keys[k], file_name);
}

/* It could not be taken: what it was is kept, with the new look of the file, so that it is not read
 * again before it changes again. */
static void keep_broken(struct manifest_source *src, struct folder_file *old,
			struct folder_change *change)
{
	struct folder_file *file = change->file;

	problem(src, change->name, change->error ? change->error : "cannot be read");
	if (!file)
		return;
	if (old) {
		old->mtime = file->mtime;
		old->size = file->size;
		old->inode = file->inode;
		old->fresh = file->fresh;
		old->broken = true;
		return;
	}
	for (size_t i = 0; i < file->n_docs; i++) { /* nothing of it is taken */
		for (size_t k = 0; k < file->docs[i].n_keys; k++)
			free(file->docs[i].keys[k]);
		for (size_t k = 0; k < file->docs[i].n_objects; k++)
			object_free(file->docs[i].objects[k]);
		free(file->docs[i].keys);
		free(file->docs[i].objects);
	}
	file->n_docs = 0;
	if (file_insert(src, file) == 0)
		change->file = NULL;
}

/* A file that is gone is taken as an empty one. */
static void begin_change(struct manifest_source *src, struct folder_change *change)
{
	struct folder_file *old = file_find(src, change->name);

	if (change->error || (change->file && change->file->broken)) {
		keep_broken(src, old, change);
		src->next_change++;
		return;
	}
	problem(src, change->name, NULL);
	if (old)
		file_remove(src, old);
	if (change->file && file_insert(src, change->file) < 0) {
		problem(src, change->name, "no memory for it");
		src->next_change++;
		return;
	}
	src->taking = take_ptr(change->file); /* it is ours now */
	src->replaced = old;
	src->next_doc = src->next_old_doc = 0;
	if (!src->taking && !old)
		src->next_change++;
}

static void end_change(struct manifest_source *src)
{
	const struct folder_change *change = &src->changes.items[src->next_change++];

	log_debug("manifest taken", "file=%s documents=%zu others=%zu", change->name,
		  src->taking ? src->taking->n_docs : 0, change->others);
	folder_file_free(src->replaced);
	src->taking = src->replaced = NULL;
}

/* One document of a change. */
static void apply_some(struct manifest_source *src)
{
	struct folder_file *file = src->taking, *old = src->replaced;

	if (!file && !old)
		begin_change(src, &src->changes.items[src->next_change]);
	else if (file && src->next_doc < file->n_docs)
		apply_doc(src, file, &file->docs[src->next_doc++]);
	else if (old && src->next_old_doc < old->n_docs)
		undefine_doc(src, &old->docs[src->next_old_doc++], old->name);
	else
		end_change(src);
}

/* ---- Services at the end ---- */

static int service_cmp(const void *a, const void *b)
{
	const struct object_entry *x = *(struct object_entry *const *)a;
	const struct object_entry *y = *(struct object_entry *const *)b;

	if (!x || !y)
		return !x - !y;
	return strcmp(x->key, y->key);
}

static int64_t wall_clock_ms(void)
{
	struct timespec now;

	clock_gettime(CLOCK_REALTIME, &now);
	return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

static void tell_service(struct manifest_source *src, struct object_entry *entry)
{
	struct def *first = entry ? entry->defs : NULL;
	struct err err = {0};
	char text[640];
	int rc;

	if (!first || first->told || !first->object)
		return;
	rc = registry_fill(src->registry, &first->object->service, wall_clock_ms(), &err);
	if (rc < 0) {
		snprintf(text, sizeof(text), "%s: %s", first->object->meta.origin, err.text);
		problem(src, entry->key, text);
	} else if (!first->next) {
		problem(src, entry->key, NULL);
	}
	first->told = true;
	src->sink.put(src->sink.ctx, take_ptr(first->object));
}

/* ---- saving what the registry gave ---- */

static void handle_closed(uv_handle_t *handle);

static void free_if_over(struct manifest_source *src)
{
	struct object_entry *entry, *next;

	if (!src->closing || src->open_handles || src->working || src->saving)
		return;
	folder_changes_done(&src->changes);
	HASH_ITER (hh, src->objects, entry, next) {
		for (struct def *def = entry->defs, *after; def; def = after) {
			after = def->next;
			object_free(def->object);
			free(def);
		}
		HASH_DEL(src->objects, entry);
		free(entry->key);
		free(entry);
	}
	for (size_t i = 0; i < src->n_files; i++)
		folder_file_free(src->files[i]);
	for (size_t i = 0; i < src->n_names; i++)
		free(src->names[i]);
	for (size_t i = 0; i < src->n_reading; i++)
		free(src->reading[i]);
	free(src->files);
	free(src->services);
	free(src->save_text);
	registry_close(src->registry);
	if (src->inotify_fd >= 0)
		close(src->inotify_fd);
	free(src->dir);
	free(src->state_path);
	free(src);
}

static void handle_closed(uv_handle_t *handle)
{
	struct manifest_source *src = handle->data;

	src->open_handles--;
	free_if_over(src);
}

static void save_on_thread(uv_work_t *work)
{
	struct manifest_source *src = work->data;

	src->save_result = registry_save(src->state_path, src->save_text);
}

static void save_registry(struct manifest_source *src);

static void saved(uv_work_t *work, int status)
{
	struct manifest_source *src = work->data;

	(void)status;
	src->saving = false;
	free(src->save_text);
	src->save_text = NULL;
	if (src->save_result < 0)
		log_warn("allocations not saved: Services without a clusterIP or nodePort may get "
			 "others after a restart",
			 "file=%s error=\"%s\"", src->state_path, strerror(-src->save_result));
	if (src->closing)
		free_if_over(src);
	else if (src->save_result == 0)
		save_registry(src);
}

static void save_registry(struct manifest_source *src)
{
	if (src->saving || src->closing)
		return;
	src->save_text = registry_take_text(src->registry);
	if (!src->save_text)
		return;
	src->save.data = src;
	src->saving = uv_queue_work(src->loop, &src->save, save_on_thread, saved) == 0;
}

/* ---- a round ---- */

static bool any_broken(const struct manifest_source *src)
{
	for (size_t i = 0; i < src->n_files; i++)
		if (src->files[i]->broken)
			return true;
	return false;
}

/* If something happened during the last. */
static void next_round(struct manifest_source *src)
{
	bool again = src->again, full = src->again_full;

	src->again = src->again_full = false;
	if (again)
		start_round(src, full, false);
}

static void end_round(struct manifest_source *src)
{
	log_debug("manifests taken", "files=%zu read_us=%" PRIu64 " told_us=%" PRIu64,
		  src->changes.n, src->read_us, uv_hrtime() / 1000 - src->told_since_us);
	src->phase = IDLE;
	src->n_services = src->next_service = 0;
	if (src->changes.complete && !src->told_complete && !any_broken(src))
		registry_drop_unseen(src->registry);
	src->told_complete |= src->changes.complete;
	folder_changes_done(&src->changes);
	save_registry(src);
	src->sink.commit(src->sink.ctx, src->told_complete);
	next_round(src);
}

/* A slice of the phase; true when it is through. */
static bool apply_slice(struct manifest_source *src, struct budget *budget)
{
	while (src->next_change < src->changes.n && budget_left(budget))
		apply_some(src);
	return src->next_change == src->changes.n;
}

static bool tell_slice(struct manifest_source *src, struct budget *budget)
{
	while (src->next_service < src->n_services && budget_left(budget))
		tell_service(src, src->services[src->next_service++]);
	return src->next_service == src->n_services;
}

static void on_idle(uv_idle_t *idle)
{
	struct manifest_source *src = idle->data;
	struct budget budget = budget_start(SOURCE_SLICE_US);

	if (src->phase == APPLYING && apply_slice(src, &budget))
		src->phase = SETTLING;
	if (src->phase == SETTLING) {
		if (src->n_services)
			qsort(src->services, src->n_services, sizeof(struct object_entry *),
			      service_cmp);
		src->phase = TELLING;
	}
	if (src->phase == TELLING && tell_slice(src, &budget)) {
		uv_idle_stop(idle);
		end_round(src);
	}
}

static void read_on_thread(uv_work_t *work)
{
	struct manifest_source *src = work->data;
	uint64_t start_us = uv_hrtime() / 1000;

	folder_read(src->dir, src->reading, src->full ? 0 : src->n_reading, src->files,
		    src->n_files, src->settled_only, &src->changes);
	src->read_us = uv_hrtime() / 1000 - start_us;
}

static void have_read(uv_work_t *work, int status)
{
	struct manifest_source *src = work->data;

	(void)status;
	src->working = false;
	for (size_t i = 0; i < src->n_reading; i++)
		free(src->reading[i]);
	src->n_reading = 0;
	if (src->closing) {
		free_if_over(src);
		return;
	}
	if (src->full)
		problem(src, src->dir, src->changes.complete ? NULL : src->changes.err.text);
	if (!src->changes.n && src->told_complete) { /* nothing new: nothing to commit */
		folder_changes_done(&src->changes);
		src->phase = IDLE;
		next_round(src);
		return;
	}
	src->round++;
	src->next_change = 0;
	src->told_since_us = uv_hrtime() / 1000;
	src->phase = APPLYING;
	uv_idle_start(&src->idle, on_idle);
}

/* Takes the names that inotify told, or the whole folder. */
static void start_round(struct manifest_source *src, bool full, bool settled_only)
{
	if (src->closing)
		return;
	if (src->phase != IDLE) {
		src->again = true;
		src->again_full |= full;
		return;
	}
	src->phase = READING;
	src->full = full || !src->n_names || !src->told_complete;
	src->settled_only = settled_only;
	memcpy(src->reading, src->names, sizeof(src->names));
	src->n_reading = src->n_names;
	src->n_names = 0;
	src->work.data = src;
	src->working = uv_queue_work(src->loop, &src->work, read_on_thread, have_read) == 0;
}

/* ---- watching ---- */

static void add_watch(struct manifest_source *src)
{
	if (src->inotify_fd < 0 || src->watch_descriptor >= 0)
		return;
	src->watch_descriptor =
		inotify_add_watch(src->inotify_fd, src->dir,
				  IN_CLOSE_WRITE | IN_MOVED_TO | IN_MOVED_FROM | IN_DELETE |
					  IN_DELETE_SELF | IN_MOVE_SELF | IN_ONLYDIR);
}

static void note_name(struct manifest_source *src, const char *name, bool *ret_full)
{
	if (strncmp(name, "..", 2) == 0) { /* a ConfigMap volume swaps its folder of real files */
		*ret_full = true;
		return;
	}
	if (!folder_is_manifest(name))
		return;
	for (size_t i = 0; i < src->n_names; i++)
		if (strcmp(src->names[i], name) == 0)
			return;
	if (src->n_names == NAMES_MAX || !(src->names[src->n_names] = strdup(name)))
		*ret_full = true;
	else
		src->n_names++;
}

static void note_event(struct manifest_source *src, const struct inotify_event *event,
		       bool *ret_full)
{
	if (event->mask & (IN_DELETE_SELF | IN_MOVE_SELF | IN_IGNORED)) {
		if (event->mask & IN_MOVE_SELF)
			inotify_rm_watch(src->inotify_fd, src->watch_descriptor);
		src->watch_descriptor = -1;
		*ret_full = true;
	} else if (event->mask & IN_Q_OVERFLOW) {
		*ret_full = true;
	} else if (event->len) {
		note_name(src, event->name, ret_full);
	}
}

static void on_inotify(uv_poll_t *poll, int status, int events)
{
	char buffer[16384] __attribute__((aligned(__alignof__(struct inotify_event))));
	struct manifest_source *src = poll->data;
	bool full = false;
	ssize_t n;

	(void)status, (void)events;
	while ((n = read(src->inotify_fd, buffer, sizeof(buffer))) > 0) {
		for (char *at = buffer; at < buffer + n;) {
			const struct inotify_event *event = (const void *)at;

			note_event(src, event, &full);
			at += sizeof(*event) + event->len;
		}
	}
	if (full || src->n_names)
		start_round(src, full, false);
}

static void on_timer(uv_timer_t *timer)
{
	struct manifest_source *src = timer->data;

	add_watch(src); /* the folder may have been made again */
	if (src->phase == IDLE)
		start_round(src, true, true);
}

static void start_watching(struct manifest_source *src)
{
	src->inotify_fd = inotify_init1(IN_NONBLOCK | IN_CLOEXEC);
	add_watch(src);
	if (src->inotify_fd >= 0 && uv_poll_init(src->loop, &src->poll, src->inotify_fd) == 0) {
		src->poll.data = src;
		src->polling = true;
		src->open_handles++;
		uv_poll_start(&src->poll, UV_READABLE, on_inotify);
	}
	uv_timer_start(&src->timer, on_timer, POLL_MS, POLL_MS);
}

/* ---- open, close ---- */

static int check_folder(const char *dir, struct err *err)
{
	struct stat st;

	if (stat(dir, &st) < 0)
		return err_set(err, -errno, "--manifests: %s: %s", dir, strerror(errno));
	if (!S_ISDIR(st.st_mode))
		return err_set(err, -ENOTDIR,
			       "--manifests: %s is not a folder; name the folder "
			       "that holds it",
			       dir);
	if (access(dir, R_OK | X_OK) < 0)
		return err_set(err, -errno, "--manifests: the folder %s cannot be read: %s", dir,
			       strerror(errno));
	return 0;
}

int manifest_open(uv_loop_t *loop, const struct manifest_config *config,
		  const struct source_sink *sink, struct manifest_source **ret_source,
		  struct err *err)
{
	struct manifest_source *src;
	int rc = check_folder(config->dir, err);

	if (rc < 0)
		return rc;
	src = calloc(1, sizeof(*src));
	if (!src)
		return err_set(err, -ENOMEM, "no memory");
	src->loop = loop;
	src->sink = *sink;
	src->watch = config->watch;
	src->inotify_fd = src->watch_descriptor = -1;
	src->dir = strdup(config->dir);
	src->state_path = config->state_path ? strdup(config->state_path) : NULL;
	rc = src->dir && (src->state_path || !config->state_path)
		     ? registry_open(config->state_path, config->read_only, config->cluster_ranges,
				     &config->node_ports, &src->registry, err)
		     : err_set(err, -ENOMEM, "no memory");
	if (rc < 0) {
		free(src->dir);
		free(src->state_path);
		free(src);
		return rc;
	}
	uv_idle_init(loop, &src->idle);
	uv_timer_init(loop, &src->timer);
	src->idle.data = src->timer.data = src;
	src->open_handles = 2;
	if (src->watch)
		start_watching(src);
	start_round(src, true, false);
	*ret_source = src;
	return 0;
}

static void close_handle(void *handle)
{
	if (!uv_is_closing(handle))
		uv_close(handle, handle_closed);
}

void manifest_close(struct manifest_source *src)
{
	if (!src)
		return;
	src->closing = true;
	close_handle(&src->idle);
	close_handle(&src->timer);
	if (src->polling)
		close_handle(&src->poll);
}
