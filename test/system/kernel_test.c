/* SPDX-License-Identifier: Apache-2.0 */
/* The kernel facade against a real kernel: every table, every error that the engine relies on.
 *
 * Runs as root in a network namespace of its own whose `lo` is up (test/system boots a guest for
 * it); `nft` must have loaded the helper rules, which this program does itself. Prints TAP. */
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <linux/ip_vs.h>

#include "kernel.h"
#include "rules.h"

static int n_tests, n_failed;

static void check(bool ok, const char *what)
{
	n_failed += !ok;
	printf("%s %d - %s\n", ok ? "ok" : "not ok", ++n_tests, what);
	fflush(stdout);
}

static void check_int(int got, int want, const char *what)
{
	if (got != want)
		printf("# got %d (%s), want %d\n", got, strerror(-got), want);
	check(got == want, what);
}

static struct ip_addr addr(const char *text)
{
	struct ip_addr a = {0};

	addr_parse(text, &a);
	return a;
}

static struct kop service_op(enum kverb verb, const char *vip, uint16_t port, const char *sched)
{
	struct ip_addr a = addr(vip);
	struct kop op = {.table = KT_SERVICE, .verb = (uint8_t)verb, .result = 1};

	op.service.key = ipvs_key_make(&a, port, IPPROTO_TCP);
	snprintf(op.service.sched, sizeof(op.service.sched), "%s", sched);
	return op;
}

static struct kop dest_op(enum kverb verb, const char *vip, uint16_t port, const char *ep,
			  uint32_t weight)
{
	struct ip_addr a = addr(vip);
	struct kop op = {.table = KT_DEST, .verb = (uint8_t)verb, .result = 1};

	op.rs.key = ipvs_key_make(&a, port, IPPROTO_TCP);
	op.rs.dest.addr = addr(ep);
	op.rs.dest.port = 8080;
	op.rs.dest.weight = weight;
	return op;
}

static struct kop binding_op(enum kverb verb, const char *vip)
{
	struct kop op = {.table = KT_BINDING, .verb = (uint8_t)verb, .result = 1};

	op.binding.vip = addr(vip);
	return op;
}

static struct kop elem_op(enum kverb verb, const char *vip)
{
	struct ip_addr a = addr(vip);
	struct kop op = {.table = KT_ELEM, .verb = (uint8_t)verb, .result = 1};

	op.elem = kelem_service(KSET_SERVICES, &a, IPPROTO_UDP, 53);
	return op;
}

static int submit(const struct kernel *k, struct kop *ops, size_t n)
{
	return k->ops->submit(k->ctx, ops, n);
}

struct found {
	size_t n;
	struct kobject last;
};

static int count_object(const struct kobject *object, void *arg)
{
	struct found *found = arg;

	found->n++;
	found->last = *object;
	return 0;
}

static struct found dump(const struct kernel *k, enum kdump what, const struct ipvs_key *key)
{
	struct found found = {0};
	int rc = k->ops->dump_start(k->ctx, what, key);

	while (rc >= 0 && (rc = k->ops->dump_next(k->ctx, what, count_object, &found)) > 0)
		continue;
	check_int(rc, 0, "dump ends without an error");
	return found;
}

static void test_services(const struct kernel *k)
{
	struct kop ops[] = {
		service_op(KV_ADD, "10.96.0.1", 80, "rr"),
		dest_op(KV_ADD, "10.96.0.1", 80, "10.244.0.1", 1),
		dest_op(KV_ADD, "10.96.0.1", 80, "10.244.0.1", 1), /* EEXIST */
		dest_op(KV_SET, "10.96.0.1", 80, "10.244.0.9", 1), /* ENOENT */
		dest_op(KV_ADD, "10.96.0.2", 80, "10.244.0.1", 1), /* ESRCH */
		service_op(KV_ADD, "10.96.0.1", 80, "rr"),         /* EEXIST */
		service_op(KV_ADD, "10.96.0.3", 80, "nosuch"),     /* ENOENT */
		dest_op(KV_ADD, "10.96.0.1", 80, "224.0.0.1", 1),  /* EINVAL */
		dest_op(KV_ADD, "10.96.0.1", 80, "10.244.0.2", 3),
		service_op(KV_ADD, "fd00::1", 80, "wlc"),
		dest_op(KV_ADD, "fd00::1", 80, "fd01::1", 1),
		service_op(KV_DEL, "10.96.0.7", 80, "rr"), /* ESRCH, and the last of the batch */
	};
	static const int want[] = {0,       0,       -EEXIST, -ENOENT, -ESRCH, -EEXIST,
				   -ENOENT, -EINVAL, 0,       0,       0,      -ESRCH};
	struct ipvs_key key = ops[0].service.key;
	struct kobject object;
	struct found found;

	check_int(submit(k, ops, ARRAY_SIZE(ops)), 0, "a batch of services and destinations");
	for (size_t i = 0; i < ARRAY_SIZE(ops); i++) {
		printf("# ");
		kop_print(&ops[i], stdout);
		printf("\n");
		check_int(ops[i].result, want[i], "its own result for each operation");
	}
	found = dump(k, KD_SERVICES, NULL);
	check(found.n == 2, "two services are there");
	found = dump(k, KD_DESTS, &key);
	check(found.n == 2, "two destinations are there");
	check_int(k->ops->get_service(k->ctx, &key, &object), 0, "get one service");
	check(strcmp(object.service.sched, "rr") == 0 && !object.foreign &&
		      object.service.flags == 0,
	      "with its scheduler and flags");
	key.port = 81;
	check_int(k->ops->get_service(k->ctx, &key, &object), -ESRCH, "get one that is not there");
	ops[0] = service_op(KV_SET, "10.96.0.1", 80, "wrr");
	ops[0].service.flags = IP_VS_SVC_F_PERSISTENT;
	ops[0].service.timeout_sec = 60;
	submit(k, ops, 1);
	check_int(ops[0].result, 0, "change scheduler and affinity");
	key.port = 80;
	k->ops->get_service(k->ctx, &key, &object);
	check(object.service.flags == IP_VS_SVC_F_PERSISTENT && object.service.timeout_sec == 60 &&
		      strcmp(object.service.sched, "wrr") == 0,
	      "changed");
}

static void test_bindings(const struct kernel *k)
{
	struct kop ops[] = {binding_op(KV_ADD, "10.96.0.1"), binding_op(KV_ADD, "fd00::1"),
			    binding_op(KV_ADD, "10.96.0.1"), binding_op(KV_ADD, "fd00::1"),
			    binding_op(KV_SET, "10.96.0.1"), binding_op(KV_DEL, "10.96.0.9")};
	static const int want[] = {0, 0, -EEXIST, -EEXIST, 0, -ESRCH};
	struct found found;

	submit(k, ops, ARRAY_SIZE(ops));
	for (size_t i = 0; i < ARRAY_SIZE(ops); i++)
		check_int(ops[i].result, want[i], "binding");
	found = dump(k, KD_BINDINGS, NULL);
	check(found.n == 2, "two bindings are there");
}

static void test_elems(const struct kernel *k)
{
	struct kop ops[] = {elem_op(KV_ADD, "10.96.0.1"), elem_op(KV_ADD, "10.96.0.1"),
			    elem_op(KV_ADD, "fd00::1")};
	struct kop undone[] = {elem_op(KV_DEL, "10.96.0.1"), elem_op(KV_DEL, "10.96.0.2"),
			       elem_op(KV_DEL, "fd00::1")};
	struct found found;

	submit(k, ops, ARRAY_SIZE(ops));
	for (size_t i = 0; i < ARRAY_SIZE(ops); i++)
		check_int(ops[i].result, 0, "add an element, there or not");
	found = dump(k, KD_ELEMS, NULL);
	check(found.n == 2, "two elements are there");
	submit(k, undone, ARRAY_SIZE(undone));
	check_int(undone[0].result, -ECANCELED, "undone with the one that failed");
	check_int(undone[1].result, -ENOENT, "the one that failed");
	check_int(undone[2].result, -ECANCELED, "undone with the one that failed");
	submit(k, undone, 1);
	check_int(undone[0].result, 0, "remove an element");
	found = dump(k, KD_ELEMS, NULL);
	check(found.n == 1 && memcmp(&found.last.elem, &undone[2].elem, sizeof(struct kelem)) == 0,
	      "one element is left, as it was given");
}

static int load_rules(int family)
{
	struct ip_prefix net;
	cleanup_free char *text = NULL;
	FILE *nft = popen("nft -f -", "w");

	prefix_parse("10.244.0.0/16", &net);
	text = rules_text(family, &(struct rules_config){.local_nets = &net, .n_local_nets = 1});
	if (!nft || !text)
		return -1;
	fputs(text, nft);
	return pclose(nft);
}

struct told {
	unsigned kinds;
};

static void on_event(const struct kevent *event, void *arg)
{
	struct told *told = arg;

	told->kinds |= 1U << event->kind;
}

/* What the kernel tells within a second of `command`; 0 commands of our own must tell nothing. */
static unsigned told_by(const struct kernel *k, const char *command)
{
	struct told told = {0};
	struct pollfd polls[2];
	int fds[2];
	size_t n = k->ops->fds(k->ctx, fds, 2);

	if (command && system(command) != 0)
		printf("# command failed: %s\n", command);
	for (size_t i = 0; i < n; i++)
		polls[i] = (struct pollfd){.fd = fds[i], .events = POLLIN};
	poll(polls, n, command ? 1000 : 100);
	for (size_t i = 0; i < n; i++)
		k->ops->read_events(k->ctx, fds[i], on_event, &told);
	return told.kinds;
}

static void test_rules_and_events(const struct kernel *k)
{
	uint64_t first = 0, again = 0, changed = 0, other = 0;

	k->ops->rules_digest(k->ctx, AF_INET, &first);
	k->ops->rules_digest(k->ctx, AF_INET6, &other);
	check(first && other && first != other, "the rules have a digest a family");
	check(load_rules(AF_INET) == 0, "load the rules again");
	k->ops->rules_digest(k->ctx, AF_INET, &again);
	check(first == again, "the same rules loaded again have the same digest");
	check(told_by(k, "nft add element ip vipd vips '{ 10.96.0.77 }';"
			 "nft delete element ip vipd vips '{ 10.96.0.77 }'") == 0,
	      "nothing is told of elements before listening");
	check(told_by(k, "ip route add local 10.96.0.77 dev lo table local proto 118;"
			 "ip route del local 10.96.0.77 table local") == 0,
	      "nor of bindings");
	check(k->ops->listen(k->ctx) == 0, "listening");
	told_by(k, "true");
	check(told_by(k, NULL) == 0, "our own changes are no events");
	check(told_by(k, "ip route del local 10.96.0.1 table local") == 1U << KE_BINDING_GONE,
	      "a binding removed is told");
	check(told_by(k, "nft delete element ip6 vipd services '{ fd00::1 . udp . 53 }'") ==
		      1U << KE_ELEM_GONE,
	      "an element removed is told");
	check(told_by(k, "nft flush chain ip vipd input") == 1U << KE_RULES_GONE,
	      "rules removed are told");
	k->ops->rules_digest(k->ctx, AF_INET, &changed);
	check(changed && changed != first, "changed rules have another digest");
	check(told_by(k, "nft flush ruleset") & 1U << KE_RULES_GONE, "a flush is told");
	k->ops->rules_digest(k->ctx, AF_INET, &changed);
	check(changed == 0, "no table, no digest");
}

static void test_many(const struct kernel *k)
{
	enum { N = 3000 };
	struct kop *ops = calloc(N, sizeof(*ops));
	size_t wrong = 0;
	struct found found;

	for (unsigned i = 0; i < N; i++) { /* every second one fails: 1,500 error answers */
		struct ip_addr a = addr("10.97.0.0");

		a.bytes[2] = (uint8_t)(i / 2 >> 8);
		a.bytes[3] = (uint8_t)(i / 2);
		ops[i] = service_op(KV_ADD, "10.97.0.0", 80, "rr");
		ops[i].service.key = ipvs_key_make(&a, 80, IPPROTO_TCP);
	}
	submit(k, ops, N);
	for (unsigned i = 0; i < N; i++)
		wrong += ops[i].result != (i % 2 ? -EEXIST : 0);
	check(wrong == 0, "3,000 operations, every second one an error, matched one by one");
	found = dump(k, KD_SERVICES, NULL);
	check(found.n == N / 2 + 2, "all of them in a dump of several datagrams");
	for (unsigned i = 0; i < N; i++)
		ops[i].verb = KV_DEL;
	submit(k, ops, N);
	for (wrong = 0; wrong < N && ops[wrong].result == (wrong % 2 ? -ESRCH : 0);)
		wrong++;
	check(wrong == N, "and removed again");
	free(ops);
}

int main(void)
{
	struct kernel k;
	struct err err = {0};

	if (kernel_linux_open(&k, &err) < 0) {
		printf("Bail out! %s\n", err.text);
		return 1;
	}
	check(load_rules(AF_INET) == 0 && load_rules(AF_INET6) == 0, "load the helper rules");
	test_services(&k);
	test_bindings(&k);
	test_elems(&k);
	test_many(&k);
	test_rules_and_events(&k);
	k.ops->close(k.ctx);
	printf("1..%d\n", n_tests);
	return n_failed != 0;
}
