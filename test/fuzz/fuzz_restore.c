/* SPDX-License-Identifier: Apache-2.0 */
/* Fuzzes src/iptables/restore.c: what iptables-save printed, whatever it is, is read; the input
 * that is made from it is sound; and what stands already needs none. */
#include <string.h>

#include "iptables/restore.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define PROMISE(condition) ((condition) ? (void)0 : abort())

/* Every line is one that iptables-restore knows; a table ends in COMMIT. */
static void check_input(const char *text)
{
	bool open = false;

	while (*text) {
		size_t len = strcspn(text, "\n");

		PROMISE(text[len] == '\n');
		if (*text == '*')
			PROMISE(!open);
		else
			PROMISE(open);
		open = strncmp(text, "COMMIT\n", 7) != 0;
		PROMISE(!open || *text == '*' || *text == ':' || *text == '-');
		text += len + 1;
	}
	PROMISE(!open);
}

/* No iptables-save prints a chain twice; what comes of it then is not promised. */
static bool is_repeated(const struct chain_set *set)
{
	for (size_t i = 1; i < set->n; i++)
		if (set->items[i].table == set->items[i - 1].table &&
		    strcmp(set->items[i].name, set->items[i - 1].name) == 0)
			return true;
	return false;
}

static void check_text(char *text)
{
	PROMISE(text != NULL);
	check_input(text);
	free(text);
}

static void check_saved(const struct saved *saved)
{
	const struct chain_set *set = &saved->chains;
	struct saved same = *saved;
	char *text;

	for (size_t i = 0; i < set->n; i++) {
		PROMISE(strlen(set->items[i].name) < CHAIN_NAME_MAX);
		PROMISE(strlen(set->items[i].rules) == set->items[i].len);
	}
	memset(same.jumps, true, sizeof(same.jumps));
	text = restore_text(&same, set, true);
	PROMISE(text && (!*text || is_repeated(set)));
	free(text);
	check_text(restore_text(saved, &(struct chain_set){0}, true));
	check_text(restore_text(&(struct saved){0}, set, false));
	check_text(restore_cleanup_text(saved));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char *text = malloc(size + 1);
	struct saved saved;

	if (!text)
		return 0;
	memcpy(text, data, size);
	text[size] = '\0';
	PROMISE(saved_parse(text, &saved) == 0);
	check_saved(&saved);
	saved_done(&saved);
	free(text);
	return 0;
}
