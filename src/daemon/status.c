/* SPDX-License-Identifier: Apache-2.0 */
/* See status.h. */
#include <string.h>
#include <uthash.h>

#include "daemon/status.h"
#include "log.h"

struct status_entry {
	char *key; /* "kind subject" */
	char *text;
	UT_hash_handle hh;
};

struct status {
	struct status_entry *entries;
	bool is_sorted;
};

const char *outcome_name(enum outcome outcome)
{
	static const char *const names[] = {"done", "retried", "drifted", "refused", "unknown"};

	return names[outcome];
}

struct status *status_new(void)
{
	return calloc(1, sizeof(struct status));
}

static void entry_drop(struct status *status, struct status_entry *entry)
{
	HASH_DEL(status->entries, entry);
	free(entry->key);
	free(entry->text);
	free(entry);
}

void status_free(struct status *status)
{
	struct status_entry *entry, *next;

	if (!status)
		return;
	HASH_ITER (hh, status->entries, entry, next)
		entry_drop(status, entry);
	free(status);
}

static void log_entry(const char *kind, const char *subject, const char *text)
{
	char quoted_subject[320], quoted_text[768];

	log_quote(subject, quoted_subject, sizeof(quoted_subject));
	if (!text)
		log_info("in order again", "%s=%s", kind, quoted_subject);
	else
		log_warn("not in order", "%s=%s reason=%s", kind, quoted_subject,
			 log_quote(text, quoted_text, sizeof(quoted_text)));
}

void status_set(struct status *status, const char *kind, const char *subject, const char *text)
{
	cleanup_free char *key = NULL;
	struct status_entry *entry = NULL;

	if (!text && !status->entries) /* nearly always */
		return;
	if (asprintf(&key, "%s %s", kind, subject) < 0) {
		key = NULL;
		return;
	}
	HASH_FIND_STR(status->entries, key, entry);
	if (!text && !entry)
		return;
	if (text && entry && strcmp(entry->text, text) == 0)
		return;
	log_entry(kind, subject, text);
	if (!text) {
		entry_drop(status, entry);
		return;
	}
	if (!entry) {
		entry = calloc(1, sizeof(*entry));
		if (!entry)
			return;
		entry->key = take_ptr(key);
		status->is_sorted = false;
		HASH_ADD_KEYPTR(hh, status->entries, entry->key, strlen(entry->key), entry);
	}
	free(entry->text);
	entry->text = strdup(text);
	if (!entry->text)
		entry_drop(status, entry);
}

size_t status_count(const struct status *status)
{
	return HASH_COUNT(status->entries);
}

size_t status_count_kind(const struct status *status, const char *kind)
{
	size_t n = 0, len = strlen(kind);
	struct status_entry *entry, *next;

	HASH_ITER (hh, status->entries, entry, next)
		n += strncmp(entry->key, kind, len) == 0 && entry->key[len] == ' ';
	return n;
}

static int entry_cmp(struct status_entry *a, struct status_entry *b)
{
	return strcmp(a->key, b->key);
}

void status_each(struct status *status, size_t max, status_fn fn, void *arg)
{
	struct status_entry *entry;
	char kind[16];

	if (!status->is_sorted)
		HASH_SORT(status->entries, entry_cmp);
	status->is_sorted = true;
	for (entry = status->entries; entry && max--; entry = entry->hh.next) {
		const char *subject = strchr(entry->key, ' ') + 1;

		snprintf(kind, sizeof(kind), "%.*s", (int)(subject - 1 - entry->key), entry->key);
		fn(arg, kind, subject, entry->text);
	}
}

void status_print(struct status *status, FILE *out)
{
	struct status_entry *entry, *next;

	HASH_SORT(status->entries, entry_cmp);
	HASH_ITER (hh, status->entries, entry, next)
		fprintf(out, "%s: %s\n", entry->key, entry->text);
}
