/* SPDX-License-Identifier: Apache-2.0 */
/* See fake.h. */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "fake.h"

static const char *const built_in[IPT_TABLES][5] = {
	[IPT_FILTER] = {"INPUT", "FORWARD", "OUTPUT"},
	[IPT_NAT] = {"PREROUTING", "INPUT", "OUTPUT", "POSTROUTING"},
};

static bool is_built_in(const struct chain *chain)
{
	for (size_t i = 0; built_in[chain->table][i]; i++)
		if (strcmp(built_in[chain->table][i], chain->name) == 0)
			return true;
	return false;
}

/* Strong enough to pick cases; the same everywhere (xorshift64*, Vigna 2016). */
uint64_t fake_random(struct fake *fake)
{
	fake->random ^= fake->random >> 12;
	fake->random ^= fake->random << 25;
	fake->random ^= fake->random >> 27;
	return fake->random * 0x2545f4914f6cdd1dULL >> 11;
}

/* ---- restore ---- */

static void set_rules(struct chain *chain, const char *before, const char *after)
{
	char *rules = NULL;

	if (asprintf(&rules, "%s%s", before, after) < 0)
		abort();
	free(chain->rules);
	chain->rules = rules;
	chain->len = strlen(rules);
	chain->cap = chain->len + 1;
}

static struct chain *find(struct chain_set *set, enum ipt_table table, const char *name)
{
	const struct chain *chain = chain_set_find(set, table, name);

	return chain ? &set->items[chain - set->items] : NULL;
}

/* Does the rule jump to a chain that is not there? */
static bool jumps_nowhere(const struct chain_set *set, enum ipt_table table, const char *rule)
{
	const char *jump = strstr(rule, "-j KUBE-");
	char name[CHAIN_NAME_MAX];

	if (!jump)
		return false;
	snprintf(name, sizeof(name), "%s", jump + strlen("-j "));
	return !chain_set_find(set, table, name);
}

static bool is_used(const struct chain_set *set, enum ipt_table table, const char *name)
{
	char jump[64];

	snprintf(jump, sizeof(jump), "-j %s\n", name);
	for (size_t i = 0; i < set->n; i++)
		if (set->items[i].table == table && strstr(set->items[i].rules, jump))
			return true;
	return false;
}

static const char *remove_rule(struct chain *chain, const char *rule)
{
	cleanup_free char *line = NULL, *before = NULL;
	char *at;

	if (asprintf(&line, "-A %s %s\n", chain->name, rule) < 0)
		abort();
	at = strstr(chain->rules, line);
	if (!at)
		return "no such rule";
	before = strndup(chain->rules, (size_t)(at - chain->rules));
	set_rules(chain, before, at + strlen(line));
	return NULL;
}

static const char *remove_chain(struct chain_set *set, struct chain *chain)
{
	if (chain->len)
		return "chain is not empty";
	if (is_used(set, chain->table, chain->name))
		return "chain is in use";
	free(chain->rules);
	*chain = set->items[--set->n];
	return NULL;
}

static const char *insert_rule(struct chain *chain, const char *rule)
{
	cleanup_free char *line = NULL;

	if (strncmp(rule, "1 ", 2) != 0)
		return "unknown place";
	if (asprintf(&line, "-A %s %s\n", chain->name, rule + 2) < 0)
		abort();
	set_rules(chain, line, chain->rules);
	return NULL;
}

/* One line of a table; what is wrong with it, or NULL. */
static const char *do_line(struct chain_set *set, enum ipt_table table, const char *line)
{
	char name[CHAIN_NAME_MAX], verb = line[0] == '-' ? line[1] : line[0];
	const char *rest;
	struct chain *chain;

	if (sscanf(line, verb == ':' ? ":%31s" : "-%*c %31s", name) != 1)
		return "unknown line";
	rest = line + (verb == ':' ? 1 : 3) + strlen(name);
	rest += *rest == ' ';
	chain = find(set, table, name);
	if (verb == ':') {
		if (strcmp(rest, "- [0:0]") != 0 || (chain && is_built_in(chain)))
			return "not a chain of ours";
		set_rules(chain ? chain : chain_set_append(set, table, name), "", "");
		return NULL;
	}
	if (!chain)
		return "no such chain";
	if (jumps_nowhere(set, table, rest) && verb != 'D')
		return "no such target";
	switch (verb) {
	case 'A':
		return chain_add(chain, "%s", rest) == 0 ? NULL : "too long";
	case 'I':
		return insert_rule(chain, rest);
	case 'D':
		return remove_rule(chain, rest);
	case 'F':
		set_rules(chain, "", "");
		return NULL;
	case 'X':
		return remove_chain(set, chain);
	default:
		return "unknown command";
	}
}

static struct chain_set copy_of(const struct chain_set *set)
{
	struct chain_set copy = {0};

	for (size_t i = 0; i < set->n; i++)
		set_rules(chain_set_append(&copy, set->items[i].table, set->items[i].name),
			  set->items[i].rules, "");
	return copy;
}

static void replace(struct chain_set *set, struct chain_set *by)
{
	chain_set_done(set);
	*set = *by;
	*by = (struct chain_set){0};
}

/* `tables_max`: so many are done, then it breaks off. */
static int restore(struct fake *fake, int family, const char *input, unsigned tables_max)
{
	struct chain_set *tables = &fake->tables[family == AF_INET6], work = {0};
	cleanup_free char *copy = strdup(input);
	char *rest = copy, *line;
	const char *wrong = NULL;
	int table = -1;

	while (!wrong && (line = strsep(&rest, "\n")) && (*line || rest)) {
		if (line[0] == '*') {
			table = strcmp(line, "*nat") == 0 ? IPT_NAT : IPT_FILTER;
			chain_set_done(&work);
			work = copy_of(tables);
		} else if (strcmp(line, "COMMIT") == 0) {
			if (!tables_max--)
				wrong = "";
			else
				replace(tables, &work);
			table = -1;
		} else {
			wrong = table < 0 ? "not in a table"
					  : do_line(&work, (enum ipt_table)table, line);
		}
		if (wrong && *wrong)
			snprintf(fake->refusal, sizeof(fake->refusal), "%s: %.200s", wrong, line);
	}
	chain_set_done(&work);
	return wrong ? -EINVAL : 0;
}

int fake_restore(struct fake *fake, int family, const char *input)
{
	return restore(fake, family, input, UINT32_MAX);
}

/* ---- save ---- */

char *fake_save(const struct fake *fake, int family)
{
	const struct chain_set *set = &fake->tables[family == AF_INET6];
	char *text = NULL;
	size_t len = 0;
	FILE *out = open_memstream(&text, &len);

	for (int table = 0; table < IPT_TABLES; table++) {
		fprintf(out, "# Generated\n*%s\n", ipt_table_names[table]);
		for (size_t i = 0; i < set->n; i++)
			if ((int)set->items[i].table == table)
				fprintf(out, ":%s %s [0:0]\n", set->items[i].name,
					is_built_in(&set->items[i]) ? "ACCEPT" : "-");
		for (size_t i = 0; i < set->n; i++)
			if ((int)set->items[i].table == table)
				fputs(set->items[i].rules, out);
		fputs("COMMIT\n# Completed\n", out);
	}
	fclose(out);
	return text;
}

const struct chain *fake_chain(const struct fake *fake, int family, enum ipt_table table,
			       const char *name)
{
	return chain_set_find(&fake->tables[family == AF_INET6], table, name);
}

/* ---- what the backend is given ---- */

static uint64_t env_now(void *ctx)
{
	return ((struct fake *)ctx)->now_ms;
}

static void env_wake(void *ctx)
{
	((struct fake *)ctx)->wakes++;
}

static enum fault next_fault(struct fake *fake, int family)
{
	enum fault fault = fake->faults[family == AF_INET6];

	if (fault == FAULT_NONE && fake->fault_every && fake_random(fake) % fake->fault_every == 0)
		fault = (enum fault)(1 + fake_random(fake) % (FAULT_KINDS - 1));
	return fault;
}

static void finish(struct fake_run *run, int status, const char *output)
{
	run->output = strdup(output);
	run->result = (struct child_result){status, run->output, strlen(run->output)};
}

static void do_restore(struct fake *fake, struct fake_run *run, enum fault fault)
{
	int rc;

	fake->n_restores++;
	if (fault == FAULT_REFUSED)
		finish(run, 4, "Another app is currently holding the xtables lock.\n");
	else if (fault == FAULT_LATE)
		finish(run, -1, "");
	else if (fault == FAULT_HALF && restore(fake, run->family, run->input, 1) < 0)
		finish(run, 1, "iptables-restore: line 7 failed\nmore");
	else if (fault != FAULT_HALF) {
		rc = fake_restore(fake, run->family, run->input);
		finish(run, fault == FAULT_TOO_LATE ? -1 : rc < 0, rc < 0 ? fake->refusal : "");
	} else { /* it had one table only */
		finish(run, 0, "");
	}
}

static int env_run(void *ctx, const char *const argv[], const char *input, size_t input_len,
		   uint64_t deadline_ms, child_done_fn done, void *arg)
{
	struct fake *fake = ctx;
	struct fake_run *run = &fake->runs[fake->n_runs];
	enum fault fault;

	if (fake->n_runs == FAKE_RUNS || !deadline_ms)
		abort();
	*run = (struct fake_run){.done = done, .arg = arg};
	run->family = strncmp(argv[0], "ip6", 3) == 0 ? AF_INET6 : AF_INET;
	run->restore = strstr(argv[0], "restore") != NULL;
	fault = next_fault(fake, run->family);
	if (fault == FAULT_NO_PROGRAM)
		return -ENOENT;
	run->input = strndup(input, input_len);
	fake->n_runs++;
	if (run->restore) {
		do_restore(fake, run, fault);
		return 0;
	}
	fake->n_saves++;
	if (fault == FAULT_NONE) {
		cleanup_free char *text = fake_save(fake, run->family);

		finish(run, 0, text);
	} else {
		finish(run, fault == FAULT_REFUSED || fault == FAULT_HALF ? 3 : -1, "");
	}
	return 0;
}

static void env_report(void *ctx, const struct fe_key *key, enum outcome outcome,
		       const char *reason)
{
	struct fake *fake = ctx;
	struct fake_report *report = fake->reports;

	while (report < fake->reports + fake->n_reports && fe_key_cmp(&report->key, key) != 0)
		report++;
	if (report == fake->reports + ARRAY_SIZE(fake->reports))
		abort();
	if (report == fake->reports + fake->n_reports)
		fake->n_reports++;
	*report = (struct fake_report){.key = *key, .outcome = outcome};
	snprintf(report->reason, sizeof(report->reason), "%s", reason ? reason : "");
}

const struct fake_report *fake_report(const struct fake *fake, const struct fe_key *key)
{
	for (size_t i = 0; i < fake->n_reports; i++)
		if (fe_key_cmp(&fake->reports[i].key, key) == 0)
			return &fake->reports[i];
	return NULL;
}

bool fake_pump(struct fake *fake)
{
	bool any = fake->n_done < fake->n_runs;

	while (fake->n_done < fake->n_runs) {
		struct fake_run *run = &fake->runs[fake->n_done++];

		run->done(run->arg, &run->result);
		free(run->output);
		run->output = NULL;
	}
	return any;
}

void fake_forget(struct fake *fake)
{
	for (size_t i = 0; i < fake->n_done; i++)
		free(fake->runs[i].input);
	fake->n_runs -= fake->n_done;
	memmove(fake->runs, fake->runs + fake->n_done, fake->n_runs * sizeof(*fake->runs));
	fake->n_done = 0;
}

struct fake *fake_new(void)
{
	struct fake *fake = calloc(1, sizeof(*fake));

	if (!fake)
		abort();
	fake->env = (struct backend_env){fake, env_now, env_run, env_report, env_wake};
	fake->now_ms = 1000000;
	fake->random = 1;
	for (int family = 0; family < 2; family++)
		for (int table = 0; table < IPT_TABLES; table++)
			for (size_t i = 0; built_in[table][i]; i++)
				chain_set_append(&fake->tables[family], (enum ipt_table)table,
						 built_in[table][i]);
	return fake;
}

void fake_free(struct fake *fake)
{
	for (size_t i = 0; i < fake->n_runs; i++) {
		free(fake->runs[i].input);
		free(fake->runs[i].output);
	}
	chain_set_done(&fake->tables[0]);
	chain_set_done(&fake->tables[1]);
	free(fake);
}
