/* SPDX-License-Identifier: Apache-2.0 */
/* See fake.h. Error numbers: net/netfilter/ipvs/ip_vs_ctl.c, net/ipv4/fib_trie.c,
 * net/netfilter/nf_tables_api.c. */
#include <errno.h>
#include <string.h>
#include <unistd.h>
#include <linux/ip_vs.h>
#include <sys/mman.h>

#include "fake.h"

struct fake *fake_new(void)
{
	struct fake *fake = mmap(NULL, sizeof(*fake), PROT_READ | PROT_WRITE,
				 MAP_SHARED | MAP_ANONYMOUS, -1, 0);

	if (fake == MAP_FAILED)
		abort();
	addr_parse("192.0.2.1", &fake->addrs[0]);
	addr_parse("2001:db8::1", &fake->addrs[1]);
	fake->now_ms = 1000000;
	fake->random = 1;
	fake->strict = true;
	return fake;
}

void fake_free(struct fake *fake)
{
	munmap(fake, sizeof(*fake));
}

unsigned fake_random(struct fake *fake, unsigned n)
{
	fake->random = fake->random * 6364136223846793005ULL + 1442695040888963407ULL;
	return (unsigned)(fake->random >> 33) % n;
}

static struct ipvs_key key_of(const struct fe_key *key)
{
	return ipvs_key_make(&key->vip, key->port, key->proto);
}

static struct fake_service *find(struct fake *fake, const struct ipvs_key *key)
{
	for (size_t i = 0; i < fake->n_services; i++)
		if (memcmp(&fake->services[i].service.key, key, sizeof(*key)) == 0)
			return &fake->services[i];
	return NULL;
}

struct fake_service *fake_find(struct fake *fake, const struct fe_key *key)
{
	struct ipvs_key ipvs_key = key_of(key);

	return find(fake, &ipvs_key);
}

static struct kdest *find_dest(struct fake_service *svc, const struct kdest *dest)
{
	for (size_t i = 0; svc && i < svc->n; i++)
		if (addr_equal(&svc->dests[i].addr, &dest->addr) &&
		    svc->dests[i].port == dest->port)
			return &svc->dests[i];
	return NULL;
}

struct kdest *fake_dest(struct fake *fake, const struct fe_key *key, const char *addr)
{
	struct kdest dest = {.port = 8080};

	addr_parse(addr, &dest.addr);
	return find_dest(fake_find(fake, key), &dest);
}

/* Is it the same key? A value does not make another element. */
static bool same_elem(const struct kelem *a, const struct kelem *b)
{
	return a->family == b->family && a->set == b->set && a->prefix == b->prefix &&
	       memcmp(a->key, b->key, sizeof(a->key)) == 0;
}

static size_t find_elem(const struct fake *fake, const struct kelem *elem)
{
	size_t i = 0;

	while (i < fake->n_elems && !same_elem(&fake->elems[i], elem))
		i++;
	return i;
}

/* Ranges of one set must not overlap (net/netfilter/nft_set_pipapo.c). */
static bool overlaps(const struct fake *fake, const struct kelem *elem)
{
	struct kelem_parts a, b;

	for (size_t i = 0; kset_is_allowed(elem->set) && i < fake->n_elems; i++)
		if (fake->elems[i].family == elem->family && fake->elems[i].set == elem->set &&
		    kelem_parse(elem, &a) && kelem_parse(&fake->elems[i], &b) &&
		    addr_equal(&a.addr, &b.addr) && a.port == b.port &&
		    (prefix_contains(&a.source, &b.source.addr) ||
		     prefix_contains(&b.source, &a.source.addr)))
			return true;
	return false;
}

bool fake_has_elem(const struct fake *fake, struct kelem elem)
{
	return find_elem(fake, &elem) < fake->n_elems;
}

/* ---- operations ---- */

static bool scheduler_known(const struct fake *fake, const char *name)
{
	static const char *const names[] = {"rr", "wrr", "lc", "wlc", "sh", "mh", "sed"};

	for (size_t i = 0; i < ARRAY_SIZE(names); i++)
		if (strcmp(names[i], name) == 0)
			return strcmp(name, fake->missing) != 0;
	return false;
}

static int do_service(struct fake *fake, const struct kop *op)
{
	struct fake_service *svc = find(fake, &op->service.key);

	if (op->verb == KV_ADD && svc)
		return -EEXIST;
	if (op->verb != KV_ADD && !svc)
		return -ESRCH;
	if (op->verb == KV_DEL) {
		*svc = fake->services[--fake->n_services];
		return 0;
	}
	if (!scheduler_known(fake, op->service.sched))
		return -ENOENT;
	if (!svc) {
		svc = &fake->services[fake->n_services++];
		svc->n = 0;
	}
	svc->service = op->service;
	return 0;
}

static int do_dest(struct fake *fake, const struct kop *op)
{
	struct fake_service *svc = find(fake, &op->rs.key);
	struct kdest *dest = find_dest(svc, &op->rs.dest);

	if (!svc)
		return -ESRCH;
	if (op->verb == KV_ADD && dest)
		return -EEXIST;
	if (op->verb != KV_ADD && !dest)
		return -ENOENT;
	if (op->verb == KV_DEL) {
		*dest = svc->dests[--svc->n];
		return 0;
	}
	if (!dest) {
		if (svc->n == FAKE_DESTS)
			abort();
		dest = &svc->dests[svc->n++];
		*dest = op->rs.dest;
	}
	dest->weight = op->rs.dest.weight;
	dest->forward = op->rs.dest.forward;
	return 0;
}

static int do_binding(struct fake *fake, const struct kop *op)
{
	size_t i = 0;

	while (i < fake->n_bindings && !addr_equal(&fake->bindings[i].vip, &op->binding.vip))
		i++;
	if (op->verb == KV_DEL) {
		if (i == fake->n_bindings)
			return -ESRCH;
		fake->bindings[i] = fake->bindings[--fake->n_bindings];
		return 0;
	}
	if (op->verb == KV_ADD && i < fake->n_bindings &&
	    addr_equal(&fake->bindings[i].src, &op->binding.src))
		return -EEXIST;
	if (op->verb == KV_ADD)
		i = fake->n_bindings;
	if (i == fake->n_bindings)
		fake->n_bindings++;
	fake->bindings[i] = op->binding;
	return 0;
}

static int do_elem(struct fake *fake, const struct kop *op)
{
	size_t i = find_elem(fake, &op->elem);

	if (!fake->rules[op->elem.family == AF_INET6])
		return -ENOENT;
	if (op->verb == KV_DEL) {
		if (i == fake->n_elems)
			return -ENOENT;
		fake->elems[i] = fake->elems[--fake->n_elems];
	} else if (i == fake->n_elems) {
		if (overlaps(fake, &op->elem))
			return -EEXIST;
		if (fake->n_elems == FAKE_ELEMS ||
		    (kset_is_map(op->elem.set) && !op->elem.data_len))
			abort();
		fake->elems[fake->n_elems++] = op->elem;
	} else if (memcmp(&fake->elems[i], &op->elem, sizeof(op->elem)) != 0) {
		return -EBUSY;
	}
	return 0;
}

static int do_flow(struct fake *fake, const struct kop *op)
{
	for (size_t i = 0; i < fake->n_flows; i++) {
		if (memcmp(&fake->flows[i], &op->flow, sizeof(op->flow)) != 0)
			continue;
		fake->flows[i] = fake->flows[--fake->n_flows];
		return 0;
	}
	return -ENOENT;
}

static int execute(struct fake *fake, const struct kop *op)
{
	switch ((enum ktable)op->table) {
	case KT_SERVICE:
		return do_service(fake, op);
	case KT_DEST:
		return do_dest(fake, op);
	case KT_BINDING:
		return do_binding(fake, op);
	case KT_ELEM:
		return do_elem(fake, op);
	case KT_FLOW:
		return do_flow(fake, op);
	}
	abort();
}

/* ---- promises ---- */

static void breaks(struct fake *fake, const struct kop *op, const char *promise)
{
	cleanup_free char *text = NULL;
	size_t len = 0;
	FILE *out = open_memstream(&text, &len);

	if (!out || *fake->broken)
		return;
	fprintf(out, "after operation %llu (", (unsigned long long)fake->ops);
	kop_print(op, out);
	fprintf(out, "): %s", promise);
	fclose(out);
	snprintf(fake->broken, sizeof(fake->broken), "%s", text);
}

bool fake_is_foreign(const struct ipvs_key *key)
{
	char text[ADDR_TEXT_MAX];

	return strncmp(addr_format(&key->addr, text), FAKE_FOREIGN, strlen(FAKE_FOREIGN)) == 0;
}

static bool is_bound(const struct fake *fake, const struct ip_addr *vip)
{
	for (size_t i = 0; i < fake->n_bindings; i++)
		if (addr_equal(&fake->bindings[i].vip, vip))
			return true;
	return false;
}

static bool serves(struct fake *fake, const struct fe_key *key)
{
	const struct fake_service *svc = fake_find(fake, key);

	for (size_t i = 0; svc && i < svc->n; i++)
		if (svc->dests[i].weight)
			return true;
	return false;
}

static bool leads_to_a_server(struct fake *fake, const struct kelem *elem)
{
	struct kelem_parts parts;
	struct ipvs_key key;

	if (!kelem_parse(elem, &parts) || !addr_is_set(&parts.target))
		return true;
	key = ipvs_key_make(&parts.target, parts.target_port, parts.proto);
	return find(fake, &key) != NULL;
}

static void check_target(struct fake *fake, const struct kop *op)
{
	if (fake->strict && op->verb == KV_ADD && !leads_to_a_server(fake, &op->elem))
		breaks(fake, op, "it leads to no virtual server");
}

static void check_promises(struct fake *fake, const struct kop *op)
{
	if ((op->table == KT_SERVICE && fake_is_foreign(&op->service.key)) ||
	    (op->table == KT_DEST && fake_is_foreign(&op->rs.key)))
		breaks(fake, op, "it is not ours");
	if (!fake->strict)
		return;
	for (size_t i = 0; i < fake->n_bindings; i++)
		if (!fake_has_elem(fake, kelem_vip(&fake->bindings[i].vip)))
			breaks(fake, op, "a bound address without its element: host ports open");
	for (size_t i = 0; i < fake->n_services; i++) {
		const struct ipvs_key *key = &fake->services[i].service.key;

		if (!fake_is_foreign(key) && is_bound(fake, &key->addr) &&
		    !fake_has_elem(fake, kelem_service(KSET_SERVICES, &key->addr,
						       (uint8_t)key->proto, key->port)))
			breaks(fake, op, "a virtual server that its own guard refuses");
	}
	if (fake->served.vip.family && !serves(fake, &fake->served))
		breaks(fake, op, "a Service that must go on has no server");
}

/* ---- kernel_ops ---- */

static enum fake_fault next_fault(struct fake *fake, int *ret_code)
{
	static const int codes[] = {-ENOMEM, -EINTR, -EPERM, -ENOBUFS, -EAGAIN};

	fake->ops++;
	if (fake->fault && fake->ops == fake->fault_at) {
		*ret_code = fake->code;
		return fake->fault;
	}
	if (!fake->fault_every || fake_random(fake, fake->fault_every))
		return FAULT_NONE;
	*ret_code = codes[fake_random(fake, ARRAY_SIZE(codes))];
	return (enum fake_fault)(FAULT_ERRNO + fake_random(fake, FAULT_KILL - FAULT_ERRNO));
}

static void submit_one(struct fake *fake, struct kop *op)
{
	op->result = execute(fake, op);
	fake->writes++;
	if (op->result == 0)
		check_promises(fake, op);
}

/* All or none. Within a transaction the first error undoes the rest. */
static int submit_elems(struct fake *fake, struct kop *ops, size_t n)
{
	size_t failed = n, n_before = fake->n_elems;
	struct kelem *before = malloc(sizeof(fake->elems[0]) * (n_before + 1));

	if (!before)
		abort();
	memcpy(before, fake->elems, sizeof(fake->elems[0]) * n_before);
	for (size_t i = 0; i < n && failed == n; i++) {
		int code = 0;
		enum fake_fault fault = next_fault(fake, &code);

		if (fault == FAULT_KILL) { /* nothing was committed yet */
			memcpy(fake->elems, before, sizeof(fake->elems[0]) * n_before);
			fake->n_elems = n_before;
			_exit(0);
		}
		ops[i].result = fault ? (code ? code : -ENOMEM) : execute(fake, &ops[i]);
		if (ops[i].result)
			failed = i;
	}
	fake->writes += n;
	if (failed < n) {
		for (size_t i = 0; i < n; i++)
			if (i != failed)
				ops[i].result = -ECANCELED;
		memcpy(fake->elems, before, sizeof(fake->elems[0]) * n_before);
		fake->n_elems = n_before;
	} else {
		for (size_t i = 0; i < n; i++)
			check_target(fake, &ops[i]);
		if (n)
			check_promises(fake, &ops[n - 1]);
	}
	free(before);
	return 0;
}

static int fake_submit(void *ctx, struct kop *ops, size_t n)
{
	struct fake *fake = ctx;
	bool lost = false, done = true;

	if (n && ops[0].table == KT_ELEM)
		return submit_elems(fake, ops, n);
	for (size_t i = 0; i < n; i++) {
		int code = 0;
		enum fake_fault fault = next_fault(fake, &code);

		if (fault == FAULT_KILL)
			_exit(0);
		if (fault == FAULT_SEND) {
			for (; i < n; i++)
				ops[i].result = code;
			return code;
		}
		if (fault == FAULT_LOST || fault == FAULT_DONE) {
			lost = true;
			done = fault == FAULT_DONE;
		}
		if (fault == FAULT_ERRNO)
			ops[i].result = code;
		else if (!lost || done)
			submit_one(fake, &ops[i]);
		if (lost)
			ops[i].result = -EINPROGRESS;
	}
	return 0;
}

static bool dump_fails(struct fake *fake)
{
	return fake->dump_fault_every && fake_random(fake, fake->dump_fault_every) == 0;
}

static struct ipvs_key dump_key;

static int fake_dump_start(void *ctx, enum kdump what, const struct ipvs_key *key)
{
	struct fake *fake = ctx;

	fake->dump_at = 0;
	if (what == KD_DESTS)
		dump_key = *key;
	return dump_fails(fake) ? -ENOBUFS : 0;
}

static bool is_hidden(const struct fake *fake, const struct ipvs_key *key)
{
	const struct fe_key *hidden = &fake->hidden;

	return hidden->vip.family && addr_equal(&key->addr, &hidden->vip) &&
	       key->port == hidden->port && key->proto == hidden->proto;
}

static int dump_services(struct fake *fake, kobject_fn fn, void *arg)
{
	struct kobject object = {.kind = KD_SERVICES};
	int rc = 0;

	for (size_t i = 0; i < 7 && rc == 0 && fake->dump_at < fake->n_services; i++) {
		object.service = fake->services[fake->dump_at++].service;
		if (!is_hidden(fake, &object.service.key))
			rc = fn(&object, arg);
	}
	return rc < 0 ? rc : fake->dump_at < fake->n_services;
}

static int dump_dests(struct fake *fake, kobject_fn fn, void *arg)
{
	const struct fake_service *svc = find(fake, &dump_key);
	struct kobject object = {.kind = KD_DESTS};
	int rc = 0;

	for (size_t i = 0; svc && rc == 0 && i < svc->n; i++) {
		object.dest = svc->dests[i];
		rc = fn(&object, arg);
	}
	return rc;
}

static int fake_dump_next(void *ctx, enum kdump what, kobject_fn fn, void *arg)
{
	struct fake *fake = ctx;
	struct kobject object = {.kind = what};
	int rc = 0;

	if (dump_fails(fake))
		return -EINTR;
	if (what == KD_SERVICES)
		return dump_services(fake, fn, arg);
	if (what == KD_DESTS)
		return dump_dests(fake, fn, arg);
	for (size_t i = 0; what == KD_BINDINGS && rc == 0 && i < fake->n_bindings; i++) {
		object.binding = fake->bindings[i];
		rc = fn(&object, arg);
	}
	for (size_t i = 0; what == KD_ELEMS && rc == 0 && i < fake->n_elems; i++) {
		object.elem = fake->elems[i];
		rc = fn(&object, arg);
	}
	for (size_t i = 0; what == KD_FLOWS && rc == 0 && i < fake->n_flows; i++) {
		object.flow = fake->flows[i];
		rc = fn(&object, arg);
	}
	for (size_t i = 0; what == KD_ADDRS && rc == 0 && i < ARRAY_SIZE(fake->addrs); i++) {
		object.addr = fake->addrs[i];
		rc = addr_is_set(&object.addr) ? fn(&object, arg) : 0;
	}
	return rc;
}

static int fake_get_service(void *ctx, const struct ipvs_key *key, struct kobject *ret_object)
{
	struct fake *fake = ctx;
	const struct fake_service *svc = find(fake, key);

	if (dump_fails(fake))
		return -ENOBUFS;
	if (!svc)
		return -ESRCH;
	*ret_object = (struct kobject){.kind = KD_SERVICES, .service = svc->service};
	return 0;
}

static int fake_rules_digest(void *ctx, uint8_t family, uint64_t *ret_digest)
{
	struct fake *fake = ctx;

	*ret_digest = fake->rules[family == AF_INET6];
	return 0;
}

static int fake_listen(void *ctx)
{
	struct fake *fake = ctx;

	fake->listening = !fake->listening_fails;
	fake->listening_fails -= !fake->listening;
	return fake->listening ? 0 : -ENOMEM;
}

static size_t fake_fds(void *ctx, int *ret_fds, size_t max)
{
	(void)ctx;
	if (!max)
		return 0;
	ret_fds[0] = FAKE_FD;
	return 1;
}

static void fake_read_events(void *ctx, int fd, kevent_fn fn, void *arg)
{
	struct fake *fake = ctx;
	size_t n = fake->n_events;

	(void)fd;
	fake->n_events = 0;
	for (size_t i = 0; i < n; i++)
		fn(&fake->events[i], arg);
}

static void fake_traffic(void *ctx, struct nl_counters *ret_counters)
{
	*ret_counters = (struct nl_counters){.messages = ((struct fake *)ctx)->writes};
}

static void fake_close(void *ctx)
{
	(void)ctx;
}

static int fake_listeners(void *ctx, uint8_t proto, uint64_t ret_ports[KPORT_WORDS])
{
	const struct fake *fake = ctx;

	memset(ret_ports, 0, KPORT_WORDS * sizeof(*ret_ports));
	if (proto == IPPROTO_TCP && fake->listener)
		ret_ports[fake->listener / 64] |= UINT64_C(1) << fake->listener % 64;
	return 0;
}

struct kernel fake_kernel(struct fake *fake)
{
	static const struct kernel_ops ops = {
		.listeners = fake_listeners,
		.submit = fake_submit,
		.dump_start = fake_dump_start,
		.dump_next = fake_dump_next,
		.get_service = fake_get_service,
		.rules_digest = fake_rules_digest,
		.listen = fake_listen,
		.fds = fake_fds,
		.read_events = fake_read_events,
		.traffic = fake_traffic,
		.close = fake_close,
	};

	fake->listening = false; /* that was another process's socket */
	return (struct kernel){&ops, fake};
}

/* ---- others ---- */

static void tell(struct fake *fake, const struct kevent *event)
{
	if (!fake->listening && event->kind != KE_ADDRS)
		return;
	if (fake->n_events < FAKE_EVENTS)
		fake->events[fake->n_events++] = *event;
	else
		fake->events[0] = (struct kevent){.kind = KE_LOST};
}

void fake_foreign_add(struct fake *fake, const struct fe_key *key, const char *sched)
{
	struct fake_service *svc = fake_find(fake, key);

	if (!svc) {
		svc = &fake->services[fake->n_services++];
		memset(svc, 0, sizeof(*svc));
	}
	svc->service.key = key_of(key);
	snprintf(svc->service.sched, sizeof(svc->service.sched), "%s", sched);
}

void fake_del_service(struct fake *fake, const struct fe_key *key)
{
	struct fake_service *svc = fake_find(fake, key);

	if (svc)
		*svc = fake->services[--fake->n_services];
}

void fake_del_binding(struct fake *fake, size_t i, bool told)
{
	struct kevent event = {.kind = KE_BINDING_GONE, .binding = fake->bindings[i]};

	fake->bindings[i] = fake->bindings[--fake->n_bindings];
	if (told)
		tell(fake, &event);
}

void fake_flush_rules(struct fake *fake, int family, bool told)
{
	struct kevent event = {.kind = KE_RULES_GONE, .family = (uint8_t)family};
	size_t kept = 0;

	fake->rules[family == AF_INET6] = 0;
	for (size_t i = 0; i < fake->n_elems; i++)
		if (fake->elems[i].family != family)
			fake->elems[kept++] = fake->elems[i];
	fake->n_elems = kept;
	if (told)
		tell(fake, &event);
}

void fake_set_addr(struct fake *fake, const char *text, bool told)
{
	struct kevent event = {.kind = KE_ADDRS};
	struct ip_addr addr;

	if (addr_parse(text, &addr) < 0)
		abort();
	fake->addrs[addr.family == AF_INET6] = addr;
	if (told)
		tell(fake, &event);
}

void fake_del_elem(struct fake *fake, size_t i, bool told)
{
	struct kevent event = {.kind = KE_ELEM_GONE, .elem = fake->elems[i]};

	fake->elems[i] = fake->elems[--fake->n_elems];
	if (told)
		tell(fake, &event);
}

int fake_nft(struct fake *fake, const char *script)
{
	static const struct {
		int family;
		const char *add, *del;
	} tables[] = {
		{AF_INET, "add table ip vipd\n", "delete table ip vipd"},
		{AF_INET6, "add table ip6 vipd\n", "delete table ip6 vipd"},
	};
	int matched = 0;

	for (size_t i = 0; i < ARRAY_SIZE(tables); i++) {
		if (strstr(script, tables[i].del))
			fake_flush_rules(fake, tables[i].family, false);
		else if (strstr(script, tables[i].add))
			fake->rules[i] = util_hash(UTIL_HASH_SEED, script, strlen(script)) | 1;
		else
			continue;
		matched++;
		fake->writes++;
	}
	return matched ? 0 : 1;
}
