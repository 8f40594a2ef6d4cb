/* SPDX-License-Identifier: Apache-2.0 */
/* See restore.h. */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "iptables/restore.h"

/* ---- parse ---- */

struct line {
	const char *text; /* not terminated */
	size_t len;
};

static bool line_is(const struct line *line, const char *text)
{
	return line->len == strlen(text) && memcmp(line->text, text, line->len) == 0;
}

static bool line_begins(const struct line *line, const char *text)
{
	return line->len >= strlen(text) && memcmp(line->text, text, strlen(text)) == 0;
}

static int table_number(const struct line *line)
{
	char text[32];

	for (int i = 0; i < IPT_TABLES; i++) {
		snprintf(text, sizeof(text), "*%s", ipt_table_names[i]);
		if (line_is(line, text))
			return i;
	}
	return -1;
}

static void note_jump(struct saved *saved, enum ipt_table table, const struct line *line)
{
	char text[256];

	for (size_t i = 0; i < ipt_n_jumps; i++) {
		const struct jump *jump = &ipt_jumps[i];

		snprintf(text, sizeof(text), "-A %s %s -j %s", jump->chain, jump->rule,
			 jump->target);
		if (jump->table == table && line_is(line, text))
			saved->jumps[i] = true;
	}
}

struct parser {
	struct saved *saved;
	int table;     /* -1: one that we do not care for */
	size_t cursor; /* the chain of the last rule: the next rule's is that or a little behind */
};

static struct chain *find_chain(struct parser *parser, const char *name)
{
	struct chain_set *set = &parser->saved->chains;

	for (size_t i = 0; i < set->n; i++) {
		struct chain *chain = &set->items[(parser->cursor + i) % set->n];

		if (chain->table == (enum ipt_table)parser->table &&
		    strcmp(chain->name, name) == 0) {
			parser->cursor = (parser->cursor + i) % set->n;
			return chain;
		}
	}
	return chain_set_append(set, (enum ipt_table)parser->table, name);
}

/* The chain's name behind `skip` characters; false if it cannot be one: it is too long. */
static bool get_name(const struct line *line, size_t skip, char ret_name[CHAIN_NAME_MAX])
{
	size_t len = 0;

	while (skip + len < line->len && line->text[skip + len] != ' ')
		len++;
	if (len >= CHAIN_NAME_MAX)
		return false;
	memcpy(ret_name, line->text + skip, len);
	ret_name[len] = '\0';
	return true;
}

static int parse_line(struct parser *parser, const struct line *line)
{
	enum ipt_table table = (enum ipt_table)parser->table;
	char name[CHAIN_NAME_MAX];

	if (line_begins(line, "*")) {
		parser->table = table_number(line);
		return 0;
	}
	if (parser->table < 0)
		return 0;
	if (line_begins(line, ":KUBE-") && get_name(line, strlen(":"), name))
		return chain_set_append(&parser->saved->chains, table, name) ? 0 : -ENOMEM;
	if (line_begins(line, "-A KUBE-") && get_name(line, strlen("-A "), name))
		return chain_add_line(find_chain(parser, name), line->text, line->len);
	note_jump(parser->saved, table, line);
	return 0;
}

int saved_parse(const char *text, struct saved *ret_saved)
{
	struct parser parser = {.saved = ret_saved, .table = -1};
	int rc = 0;

	*ret_saved = (struct saved){0};
	while (*text && rc == 0) {
		struct line line = {text, strcspn(text, "\n")};

		rc = parse_line(&parser, &line);
		text += line.len + (text[line.len] == '\n');
	}
	chain_set_sort(&ret_saved->chains);
	return rc;
}

void saved_done(struct saved *saved)
{
	chain_set_done(&saved->chains);
}

/* ---- compare ---- */

/* Both sets are sorted, so that a table's difference is one merge. */
static const struct chain *find_sorted(const struct chain_set *set, enum ipt_table table,
				       const char *name)
{
	size_t low = 0, high = set->n;

	while (low < high) {
		size_t mid = low + (high - low) / 2;
		const struct chain *chain = &set->items[mid];
		int order = chain->table != table ? (chain->table < table ? -1 : 1)
						  : strcmp(chain->name, name);

		if (order == 0)
			return chain;
		if (order < 0)
			low = mid + 1;
		else
			high = mid;
	}
	return NULL;
}

static bool differs(const struct saved *have, const struct chain *want)
{
	const struct chain *now = find_sorted(&have->chains, want->table, want->name);

	return !now || strcmp(now->rules, want->rules) != 0;
}

static bool is_stale(const struct chain_set *want, const struct chain *now)
{
	return chain_is_per_service(now->name) && !find_sorted(want, now->table, now->name);
}

/* A chain named with a colon is made if it is not there and emptied if it is, within the table's
 * one transaction: no packet sees it empty. */
static void print_table(const struct saved *have, const struct chain_set *want, bool remove_stale,
			enum ipt_table table, FILE *out)
{
	for (size_t i = 0; i < want->n; i++)
		if (want->items[i].table == table && differs(have, &want->items[i]))
			fprintf(out, ":%s - [0:0]\n", want->items[i].name);
	for (size_t i = 0; i < have->chains.n && remove_stale; i++)
		if (have->chains.items[i].table == table && is_stale(want, &have->chains.items[i]))
			fprintf(out, ":%s - [0:0]\n", have->chains.items[i].name);
	for (size_t i = 0; i < want->n; i++)
		if (want->items[i].table == table && differs(have, &want->items[i]))
			fputs(want->items[i].rules, out);
	for (size_t i = 0; i < have->chains.n && remove_stale; i++)
		if (have->chains.items[i].table == table && is_stale(want, &have->chains.items[i]))
			fprintf(out, "-X %s\n", have->chains.items[i].name);
	for (size_t i = 0; i < ipt_n_jumps; i++)
		if (ipt_jumps[i].table == table && !have->jumps[i])
			fprintf(out, "-I %s 1 %s -j %s\n", ipt_jumps[i].chain, ipt_jumps[i].rule,
				ipt_jumps[i].target);
}

static char *print_tables(const struct saved *have, const struct chain_set *want, bool remove_stale)
{
	char *text = NULL;
	size_t len = 0;
	FILE *out = open_memstream(&text, &len);

	for (int table = 0; out && table < IPT_TABLES; table++) {
		long begin, head;

		begin = ftell(out);
		fprintf(out, "*%s\n", ipt_table_names[table]);
		head = ftell(out);
		print_table(have, want, remove_stale, (enum ipt_table)table, out);
		if (ftell(out) == head)
			fseek(out, begin, SEEK_SET);
		else
			fputs("COMMIT\n", out);
	}
	if (!out)
		return NULL;
	len = (size_t)ftell(out);
	if (fclose(out) != 0) {
		free(text);
		return NULL;
	}
	text[len] = '\0'; /* what was taken back behind the last COMMIT */
	return text;
}

char *restore_text(const struct saved *have, const struct chain_set *want, bool remove_stale)
{
	return print_tables(have, want, remove_stale);
}

static void print_cleanup(const struct saved *have, enum ipt_table table, FILE *out)
{
	const struct chain_set *set = &have->chains;

	for (size_t i = 0; i < ipt_n_jumps; i++)
		if (ipt_jumps[i].table == table && have->jumps[i])
			fprintf(out, "-D %s %s -j %s\n", ipt_jumps[i].chain, ipt_jumps[i].rule,
				ipt_jumps[i].target);
	for (size_t i = 0; i < set->n; i++)
		if (set->items[i].table == table && chain_is_ours(set->items[i].name))
			fprintf(out, "-F %s\n", set->items[i].name);
	for (size_t i = 0; i < set->n; i++)
		if (set->items[i].table == table && chain_is_ours(set->items[i].name))
			fprintf(out, "-X %s\n", set->items[i].name);
}

char *restore_cleanup_text(const struct saved *have)
{
	char *text = NULL;
	size_t len = 0;
	FILE *out = open_memstream(&text, &len);

	for (int table = 0; out && table < IPT_TABLES; table++) {
		fprintf(out, "*%s\n", ipt_table_names[table]);
		print_cleanup(have, (enum ipt_table)table, out);
		fputs("COMMIT\n", out);
	}
	if (!out || fclose(out) != 0) {
		free(text);
		return NULL;
	}
	return text;
}
