/* SPDX-License-Identifier: Apache-2.0 */
/* See rig.h. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>
#include <unistd.h>
#include <cmocka.h>

#include "engine.h"
#include "log.h"
#include "rig.h"

/* ---- the environment ---- */

static uint64_t rig_now_ms(void *ctx)
{
	return ((struct rig *)ctx)->fake->now_ms;
}

static int rig_run(void *ctx, const char *const argv[], const char *input, size_t input_len,
		   uint64_t deadline_ms, child_done_fn done, void *arg)
{
	struct rig *rig = ctx;

	(void)deadline_ms;
	assert_string_equal(argv[0], "nft");
	assert_true(rig->n_children < ARRAY_SIZE(rig->children));
	rig->children[rig->n_children++] = (struct rig_child){strndup(input, input_len), done, arg};
	return 0;
}

static void rig_on_report(void *ctx, const struct fe_key *key, enum outcome outcome,
			  const char *reason)
{
	struct rig *rig = ctx;
	struct rig_report *report = (struct rig_report *)rig_report(rig, key);

	assert_true((outcome == R_DONE) == !reason);
	if (!report) {
		assert_true(rig->n_reports < RIG_REPORTS);
		report = &rig->reports[rig->n_reports++];
	}
	report->key = *key;
	report->outcome = outcome;
	snprintf(report->reason, sizeof(report->reason), "%s", reason ? reason : "");
}

static void rig_wake(void *ctx)
{
	((struct rig *)ctx)->woken = true;
}

struct rig *rig_new(void)
{
	struct rig *rig = calloc(1, sizeof(*rig));

	log_set_level(LOG_ERROR);
	assert_non_null(rig);
	rig->fake = fake_new();
	rig->model = model_new();
	snprintf(rig->run_dir, sizeof(rig->run_dir), "/tmp/vipd-test-XXXXXX");
	assert_non_null(mkdtemp(rig->run_dir));
	rig->config = (struct backend_config){
		.scheduler = "rr",
		.drain_ms = 60000,
		.audit_ms = 30000,
		.run_dir = rig->run_dir,
	};
	memcpy(rig->config.node_addr, rig->fake->addrs, sizeof(rig->config.node_addr));
	rig->env = (struct backend_env){rig, rig_now_ms, rig_run, rig_on_report, rig_wake};
	return rig;
}

void rig_free(struct rig *rig)
{
	char path[96];

	rig_close(rig);
	model_free(rig->model);
	fake_free(rig->fake);
	snprintf(path, sizeof(path), "%s/ipvs.ledger", rig->run_dir);
	unlink(path);
	rmdir(rig->run_dir);
	free(rig);
}

/* ---- the loop ---- */

static void finish_children(struct rig *rig)
{
	size_t n = rig->n_children;
	struct rig_child children[ARRAY_SIZE(rig->children)];

	memcpy(children, rig->children, sizeof(children));
	rig->n_children = 0;
	for (size_t i = 0; i < n; i++) {
		bool fails = rig->nft_fails > 0;
		struct child_result result = {.output = ""};

		if (fails)
			result.output = rig->nft_says ? rig->nft_says : "nft: broken";
		result.output_len = strlen(result.output);

		rig->nft_fails -= fails;
		result.status = fails ? 1 : fake_nft(rig->fake, children[i].script);
		free(children[i].script);
		children[i].done(children[i].arg, &result);
	}
}

void rig_work(struct rig *rig)
{
	cleanup_free struct fe_key *keys = NULL;
	ssize_t n = model_take_changes(rig->model, &keys);
	int rc, turns = 0;

	if (n > 0)
		assert_int_equal(ipvs_backend_ops.mark(rig->be, rig->model, keys, (size_t)n), 0);
	do {
		assert_true(++turns < 10000);
		rig->woken = false;
		if (rig->fake->n_events)
			ipvs_backend_ops.on_fd(rig->be, rig->model, FAKE_FD);
		rc = ipvs_backend_ops.step(rig->be, rig->model, 1000000);
		if (rc == -EAGAIN)
			assert_true(rig->n_children > 0);
		finish_children(rig);
	} while (rc || rig->woken || rig->fake->n_events);
}

void rig_pass(struct rig *rig, uint64_t ms)
{
	uint64_t end_ms = rig->fake->now_ms + ms;
	int turns = 0;

	for (;;) {
		uint64_t next_ms;

		assert_true(++turns < 1000000);
		next_ms = ipvs_backend_ops.tick(rig->be, rig->model, rig->fake->now_ms);
		if (next_ms > end_ms && !rig->woken) {
			rig->fake->now_ms = end_ms;
			return; /* nobody wakes the daemon before that */
		}
		if (next_ms > rig->fake->now_ms && !rig->woken)
			rig->fake->now_ms = next_ms;
		rig_work(rig);
	}
}

void rig_begin(struct rig *rig)
{
	struct err err = {0};
	int rc, turns = 0;

	assert_int_equal(ipvs_backend_open_on(fake_kernel(rig->fake), &rig->config, &rig->env,
					      &rig->be, &err),
			 0);
	while ((rc = ipvs_backend_ops.read(rig->be, 1000000, &err)) != 0) {
		assert_true(++turns < 10000);
		rig->fake->now_ms += rc < 0 ? 1000 : 0;
	}
}

void rig_mark_all(struct rig *rig)
{
	cleanup_free struct fe_key *keys = NULL;
	ssize_t n = model_keys(rig->model, &keys);

	assert_int_equal(ipvs_backend_ops.mark(rig->be, rig->model, keys, (size_t)n), 0);
	assert_int_equal(ipvs_backend_ops.mark(rig->be, rig->model, NULL, 0), 0);
}

void rig_open(struct rig *rig)
{
	rig_begin(rig);
	rig_mark_all(rig);
	rig_work(rig);
	rig_pass(rig, 0); /* nothing left to do: the first tick */
}

void rig_close(struct rig *rig)
{
	ipvs_backend_ops.close(rig->be);
	rig->be = NULL;
	for (size_t i = 0; i < rig->n_children; i++)
		free(rig->children[i].script);
	rig->n_children = 0;
}

void rig_restart(struct rig *rig)
{
	rig_close(rig);
	rig_open(rig);
}

const struct rig_report *rig_report(const struct rig *rig, const struct fe_key *key)
{
	for (size_t i = 0; i < rig->n_reports; i++)
		if (memcmp(&rig->reports[i].key, key, sizeof(*key)) == 0)
			return &rig->reports[i];
	return NULL;
}

uint64_t rig_counter(struct rig *rig, const char *name)
{
	cleanup_free char *text = NULL;
	size_t len = 0;
	FILE *out = open_memstream(&text, &len);
	char *at;

	assert_non_null(out);
	ipvs_backend_ops.print_counters(rig->be, out);
	fclose(out);
	at = strstr(text, name);
	assert_non_null(at);
	return strtoull(at + strlen(name), NULL, 10);
}

/* ---- the model ---- */

struct fe_key rig_key(const char *text)
{
	char copy[FE_KEY_TEXT_MAX], *proto, *port, *addr = copy;
	struct ip_addr vip;

	snprintf(copy, sizeof(copy), "%s", text);
	proto = strchr(copy, '/');
	assert_non_null(proto);
	*proto++ = '\0';
	port = strrchr(copy, ':');
	assert_non_null(port);
	*port++ = '\0';
	if (*addr == '[') {
		addr++;
		port[-2] = '\0';
	}
	if (strcmp(addr, "node") == 0 || strcmp(addr, "node6") == 0)
		return fe_key_node_port(addr[4] ? AF_INET6 : AF_INET, (uint16_t)atoi(port),
					proto_parse(proto));
	assert_int_equal(addr_parse(addr, &vip), 0);
	return fe_key_make(&vip, (uint16_t)atoi(port), proto_parse(proto));
}

static struct pool *make_pool(const char *endpoints)
{
	struct endpoint eps[FAKE_DESTS];
	char copy[1024];
	size_t n = 0;

	memset(eps, 0, sizeof(eps));
	snprintf(copy, sizeof(copy), "%s", endpoints);
	for (char *word = strtok(copy, " "); word; word = strtok(NULL, " ")) {
		struct endpoint *ep = &eps[n++];
		char *weight = strchr(word, '=');
		size_t len = strlen(word);

		ep->weight = 1;
		ep->port = 8080;
		ep->state = EP_ACTIVE;
		if (weight) {
			*weight = '\0';
			ep->weight = (uint32_t)atoi(weight + 1);
		} else if (word[len - 1] == '-') {
			word[len - 1] = '\0';
			ep->state = EP_DRAIN;
		}
		assert_int_equal(addr_parse(word, &ep->addr), 0);
		ep->local =
			strncmp(word, "10.244.1.", 9) == 0 || strncmp(word, "fd00:244:1:", 11) == 0;
	}
	return pool_new(eps, n);
}

/* Of everything: so an entrance may lead anywhere. */
#define RIG_OWNER "ns/svc"

void rig_put_policy(struct rig *rig, const char *key_text, const char *endpoints,
		    const char *scheduler, uint32_t affinity_sec)
{
	struct fe_key key = rig_key(key_text);
	struct pool *pool = make_pool(endpoints);
	struct frontend *fe = frontend_new(&key, RIG_OWNER, pool);

	snprintf(fe->lb.scheduler, sizeof(fe->lb.scheduler), "%s", scheduler);
	fe->lb.affinity_sec = affinity_sec;
	fe->verdict = pool_usable(pool) ? V_FORWARD : V_REJECT;
	fe->priority = PRIO_NORMAL;
	pool_unref(pool);
	assert_true(model_put(rig->model, fe) >= 0);
}

void rig_put(struct rig *rig, const char *key, const char *endpoints)
{
	rig_put_policy(rig, key, endpoints, "", 0);
}

void rig_put_inner(struct rig *rig, const char *key_text, const char *endpoints)
{
	struct fe_key key = rig_key(key_text);
	struct pool *pool = make_pool(endpoints);
	struct frontend *fe = frontend_new(&key, RIG_OWNER, pool);

	fe->verdict = pool_usable(pool) ? V_FORWARD : V_DROP;
	fe->inner = true;
	pool_unref(pool);
	assert_true(model_put(rig->model, fe) >= 0);
}

static struct ranges *make_ranges(const char *text)
{
	struct ip_prefix nets[16];
	char copy[512];
	size_t n = 0;

	snprintf(copy, sizeof(copy), "%s", text);
	for (char *word = strtok(copy, " "); word; word = strtok(NULL, " "))
		assert_int_equal(prefix_parse(word, &nets[n++]), 0);
	return ranges_new(nets, n);
}

void rig_put_entrance(struct rig *rig, const char *key_text, const char *via,
		      const char *via_cluster, const char *ranges)
{
	struct fe_key key = rig_key(key_text);
	struct frontend *fe = frontend_new(&key, RIG_OWNER, NULL);

	fe->via = rig_key(via);
	fe->snat = via_cluster ? SNAT_NEVER : SNAT_ALWAYS;
	if (via_cluster)
		fe->via_cluster = rig_key(via_cluster);
	fe->ranges = ranges ? make_ranges(ranges) : NULL;
	assert_true(model_put(rig->model, fe) >= 0);
}

void rig_remove(struct rig *rig, const char *key_text)
{
	struct fe_key key = rig_key(key_text);

	assert_true(model_remove(rig->model, &key) >= 0);
}

/* ---- checks ---- */

void rig_check_promises(struct rig *rig, const char *file, int line)
{
	if (!*rig->fake->broken)
		return;
	print_error("broken: %s\n", rig->fake->broken);
	_fail(file, line);
}

/* Lines of `text` that `other` does not have. */
static void print_missing(const char *what, const char *text, const char *other)
{
	cleanup_free char *copy = strdup(text);
	char line[512], *place;

	for (char *at = strtok_r(copy, "\n", &place); at; at = strtok_r(NULL, "\n", &place)) {
		snprintf(line, sizeof(line), "%s\n", at);
		if (!strstr(other, line))
			print_error("%s: %s", what, line);
	}
}

void rig_check_settled(struct rig *rig, const char *file, int line)
{
	cleanup_free char *have = fake_text(rig->fake);
	cleanup_free char *want = fake_wanted_text(rig->fake, rig->model, rig->config.scheduler);

	rig_check_promises(rig, file, line);
	if (strcmp(have, want) == 0)
		return;
	print_missing("the kernel has, and should not", have, want);
	print_missing("the kernel should have", want, have);
	_fail(file, line);
}
