/* SPDX-License-Identifier: Apache-2.0 */
/* See chains.h. */
#include <ctype.h>
#include <errno.h>
#include <openssl/sha.h>
#include <stdarg.h>
#include <string.h>

#include "iptables/chains.h"

#define MARK "0x4000"

const char *const ipt_table_names[IPT_TABLES] = {"filter", "nat"};

const struct jump ipt_jumps[] = {
	{IPT_FILTER, "FORWARD",
	 "-m conntrack --ctstate NEW -m comment --comment \"kubernetes service portals\"",
	 "KUBE-SERVICES"},
	{IPT_FILTER, "OUTPUT",
	 "-m conntrack --ctstate NEW -m comment --comment \"kubernetes service portals\"",
	 "KUBE-SERVICES"},
	{IPT_FILTER, "FORWARD", "-m comment --comment \"kubernetes forwarding rules\"",
	 "KUBE-FORWARD"},
	{IPT_NAT, "OUTPUT", "-m comment --comment \"kubernetes service portals\"", "KUBE-SERVICES"},
	{IPT_NAT, "PREROUTING", "-m comment --comment \"kubernetes service portals\"",
	 "KUBE-SERVICES"},
	{IPT_NAT, "POSTROUTING", "-m comment --comment \"kubernetes postrouting rules\"",
	 "KUBE-POSTROUTING"},
};
const size_t ipt_n_jumps = ARRAY_SIZE(ipt_jumps);

/* ---- sets of chains ---- */

const struct chain *chain_set_find(const struct chain_set *set, enum ipt_table table,
				   const char *name)
{
	for (size_t i = 0; i < set->n; i++)
		if (set->items[i].table == table && strcmp(set->items[i].name, name) == 0)
			return &set->items[i];
	return NULL;
}

struct chain *chain_set_append(struct chain_set *set, enum ipt_table table, const char *name)
{
	struct chain *chain;

	if (util_grow((void **)&set->items, &set->cap, set->n + 1, sizeof(*set->items)) < 0)
		return NULL;
	chain = &set->items[set->n];
	*chain = (struct chain){.table = table};
	snprintf(chain->name, sizeof(chain->name), "%s", name);
	chain->rules = strdup("");
	if (!chain->rules)
		return NULL;
	set->n++;
	return chain;
}

struct chain *chain_set_get(struct chain_set *set, enum ipt_table table, const char *name)
{
	const struct chain *found = chain_set_find(set, table, name);

	return found ? &set->items[found - set->items] : chain_set_append(set, table, name);
}

int chain_add_line(struct chain *chain, const char *line, size_t len)
{
	if (!chain)
		return -ENOMEM;
	if (!chain->cap) /* the first text is strdup's */
		chain->cap = chain->len + 1;
	if (util_grow((void **)&chain->rules, &chain->cap, chain->len + len + 2, 1) < 0)
		return -ENOMEM;
	memcpy(chain->rules + chain->len, line, len);
	chain->len += len;
	chain->rules[chain->len++] = '\n';
	chain->rules[chain->len] = '\0';
	return 0;
}

int chain_add(struct chain *chain, const char *fmt, ...)
{
	char line[1024];
	va_list args;
	int len, head;

	if (!chain)
		return -ENOMEM;
	head = snprintf(line, sizeof(line), "-A %s ", chain->name);
	va_start(args, fmt);
	len = vsnprintf(line + head, sizeof(line) - (size_t)head, fmt, args);
	va_end(args);
	if (len < 0 || (size_t)(head + len) >= sizeof(line))
		return -ENOMEM;
	return chain_add_line(chain, line, (size_t)(head + len));
}

static int chain_cmp(const void *a, const void *b)
{
	const struct chain *x = a, *y = b;

	if (x->table != y->table)
		return x->table < y->table ? -1 : 1;
	return strcmp(x->name, y->name);
}

void chain_set_sort(struct chain_set *set)
{
	if (set->n)
		qsort(set->items, set->n, sizeof(*set->items), chain_cmp);
}

void chain_set_done(struct chain_set *set)
{
	for (size_t i = 0; i < set->n; i++)
		free(set->items[i].rules);
	free(set->items);
	*set = (struct chain_set){0};
}

/* ---- names ---- */

static void base32_16(const uint8_t *digest, char *out)
{
	static const char alphabet[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567";
	unsigned bits = 0, n_bits = 0;

	for (int i = 0; i < 16; i++) { /* RFC 4648, section 6 */
		if (n_bits < 5) {
			bits = bits << 8 | *digest++;
			n_bits += 8;
		}
		n_bits -= 5;
		out[i] = alphabet[bits >> n_bits & 31];
	}
	out[16] = '\0';
}

static const char *lower_proto(uint8_t proto)
{
	return proto == IPPROTO_TCP ? "tcp" : proto == IPPROTO_UDP ? "udp" : "sctp";
}

static void hashed_name(const char *prefix, const struct frontend *fe, const char *endpoint,
			char buf[CHAIN_NAME_MAX])
{
	uint8_t digest[SHA256_DIGEST_LENGTH];
	char text[512];
	int len = snprintf(text, sizeof(text), "%s%s%s", fe->owner, lower_proto(fe->key.proto),
			   endpoint);

	SHA256((const uint8_t *)text, (size_t)len, digest);
	memcpy(buf, prefix, strlen(prefix));
	base32_16(digest, buf + strlen(prefix));
}

void chain_service_name(const struct frontend *fe, char buf[CHAIN_NAME_MAX])
{
	hashed_name("KUBE-SVC-", fe, "", buf);
}

void chain_endpoint_name(const struct frontend *fe, const struct endpoint *ep,
			 char buf[CHAIN_NAME_MAX])
{
	char text[ADDR_PORT_TEXT_MAX];

	hashed_name("KUBE-SEP-", fe, addr_port_format(&ep->addr, ep->port, text), buf);
}

bool chain_is_per_service(const char *name)
{
	static const char *const prefixes[] = {"KUBE-SVC-", "KUBE-SEP-", "KUBE-SVL-", "KUBE-EXT-",
					       "KUBE-FW-"};

	for (size_t i = 0; i < ARRAY_SIZE(prefixes); i++)
		if (strncmp(name, prefixes[i], strlen(prefixes[i])) == 0)
			return true;
	return false;
}

bool chain_is_ours(const char *name)
{
	static const char *const shared[] = {"KUBE-SERVICES", "KUBE-FORWARD", "KUBE-POSTROUTING",
					     "KUBE-MARK-MASQ", "KUBE-MARK-REMOTE"};

	for (size_t i = 0; i < ARRAY_SIZE(shared); i++)
		if (strcmp(shared[i], name) == 0)
			return true;
	return chain_is_per_service(name);
}

/* ---- rules ---- */

static bool is_used(const struct endpoint *ep)
{
	return ep->state == EP_ACTIVE && ep->weight;
}

static const char *host_text(const struct ip_addr *addr, char buf[PREFIX_TEXT_MAX])
{
	struct ip_prefix host = {.addr = *addr, .len = (uint8_t)(8 * addr_len(addr))};

	return prefix_format(&host, buf);
}

static int add_refusal(struct chain_set *set, const struct frontend *fe)
{
	const char *p = lower_proto(fe->key.proto), *how = "tcp-reset";
	char vip[PREFIX_TEXT_MAX];

	if (fe->key.proto != IPPROTO_TCP)
		how = fe->key.vip.family == AF_INET ? "icmp-port-unreachable"
						    : "icmp6-port-unreachable";
	return chain_add(
		chain_set_get(set, IPT_FILTER, "KUBE-SERVICES"),
		"-d %s -p %s -m comment --comment \"%s has no endpoints\" -m %s --dport %u "
		"-j REJECT --reject-with %s",
		host_text(&fe->key.vip, vip), p, fe->owner, p, fe->key.port, how);
}

static int add_masquerade(struct chain *svc, const struct frontend *fe,
			  const struct ip_prefix *nets, size_t n)
{
	char vip[PREFIX_TEXT_MAX], net[PREFIX_TEXT_MAX];
	const char *p = lower_proto(fe->key.proto);
	const struct ip_prefix *only = NULL;
	size_t count = 0;

	for (size_t i = 0; i < n; i++) {
		if (nets[i].addr.family == fe->key.vip.family) {
			only = &nets[i];
			count++;
		}
	}
	if (!count)
		return 0;
	host_text(&fe->key.vip, vip);
	if (count > 1)
		return chain_add(svc,
				 "-d %s -p %s -m comment --comment \"%s cluster IP\" -m %s "
				 "--dport %u -j KUBE-MARK-REMOTE",
				 vip, p, fe->owner, p, fe->key.port);
	return chain_add(svc,
			 "! -s %s -d %s -p %s -m comment --comment \"%s cluster IP\" -m %s --dport "
			 "%u -j KUBE-MARK-MASQ",
			 prefix_format(only, net), vip, p, fe->owner, p, fe->key.port);
}

/* The kernel keeps a probability as a fraction of 2^31 (xt_statistic.h). */
static double stored_probability(size_t left)
{
	return (double)(uint64_t)(2147483648.0 / (double)left + 0.5) / 2147483648.0;
}

static int add_choice(struct chain *svc, const struct frontend *fe, const struct endpoint *ep,
		      const char *sep, size_t left)
{
	char text[ADDR_PORT_TEXT_MAX];

	addr_port_format(&ep->addr, ep->port, text);
	if (left == 1)
		return chain_add(svc, "-m comment --comment \"%s -> %s\" -j %s", fe->owner, text,
				 sep);
	return chain_add(svc,
			 "-m comment --comment \"%s -> %s\" -m statistic --mode random "
			 "--probability %.11f -j %s",
			 fe->owner, text, stored_probability(left), sep);
}

static const char *whole_mask(const struct frontend *fe)
{
	return fe->key.vip.family == AF_INET ? "255.255.255.255"
					     : "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff";
}

static int add_affinity(struct chain *svc, const struct frontend *fe, const struct endpoint *ep,
			const char *sep)
{
	char text[ADDR_PORT_TEXT_MAX];

	return chain_add(svc,
			 "-m comment --comment \"%s -> %s\" -m recent --rcheck --seconds %u --reap "
			 "--name %s --mask %s --rsource -j %s",
			 fe->owner, addr_port_format(&ep->addr, ep->port, text),
			 fe->lb.affinity_sec, sep, whole_mask(fe), sep);
}

static int add_endpoint(struct chain_set *set, const struct frontend *fe, const struct endpoint *ep,
			const char *name)
{
	char host[PREFIX_TEXT_MAX], text[ADDR_PORT_TEXT_MAX], recent[160] = "";
	const char *p = lower_proto(fe->key.proto);
	struct chain *sep = chain_set_append(set, IPT_NAT, name);

	if (chain_add(sep, "-s %s -m comment --comment \"%s\" -j KUBE-MARK-MASQ",
		      host_text(&ep->addr, host), fe->owner) < 0)
		return -ENOMEM;
	if (fe->lb.affinity_sec)
		snprintf(recent, sizeof(recent), "-m recent --set --name %s --mask %s --rsource ",
			 name, whole_mask(fe));
	return chain_add(sep,
			 "-p %s -m comment --comment \"%s\" %s-m %s -j DNAT --to-destination %s", p,
			 fe->owner, recent, p, addr_port_format(&ep->addr, ep->port, text));
}

static int add_dispatch(struct chain_set *set, size_t svc_index, const struct frontend *fe)
{
	size_t left = 0;
	int rc = 0;

	for (size_t i = 0; i < fe->pool->n; i++)
		left += is_used(&fe->pool->ep[i]);
	for (size_t i = 0; i < fe->pool->n && fe->lb.affinity_sec && rc == 0; i++) {
		char sep[CHAIN_NAME_MAX];

		if (!is_used(&fe->pool->ep[i]))
			continue;
		chain_endpoint_name(fe, &fe->pool->ep[i], sep);
		rc = add_affinity(&set->items[svc_index], fe, &fe->pool->ep[i], sep);
	}
	for (size_t i = 0; i < fe->pool->n && rc == 0; i++) {
		const struct endpoint *ep = &fe->pool->ep[i];
		char sep[CHAIN_NAME_MAX];

		if (!is_used(ep))
			continue;
		chain_endpoint_name(fe, ep, sep);
		rc = add_choice(&set->items[svc_index], fe, ep, sep, left--);
		if (rc == 0)
			rc = add_endpoint(set, fe, ep, sep);
	}
	return rc;
}

static int add_frontend(struct chain_set *set, const struct frontend *fe,
			const struct ip_prefix *nets, size_t n)
{
	const char *p = lower_proto(fe->key.proto);
	char name[CHAIN_NAME_MAX], vip[PREFIX_TEXT_MAX];
	size_t index;

	if (fe->verdict != V_FORWARD)
		return add_refusal(set, fe);
	chain_service_name(fe, name);
	if (chain_add(chain_set_get(set, IPT_NAT, "KUBE-SERVICES"),
		      "-d %s -p %s -m comment --comment \"%s cluster IP\" -m %s --dport %u -j %s",
		      host_text(&fe->key.vip, vip), p, fe->owner, p, fe->key.port, name) < 0)
		return -ENOMEM;
	index = set->n;
	if (!chain_set_append(set, IPT_NAT, name) ||
	    add_masquerade(&set->items[index], fe, nets, n) < 0)
		return -ENOMEM;
	return add_dispatch(set, index, fe);
}

static int add_shared(struct chain_set *set, int family, const struct ip_prefix *nets, size_t n)
{
	struct chain *c = chain_set_append(set, IPT_FILTER, "KUBE-SERVICES");
	char net[PREFIX_TEXT_MAX];
	int rc = c ? 0 : -ENOMEM;

	c = chain_set_append(set, IPT_FILTER, "KUBE-FORWARD");
	rc |= chain_add(c, "-m conntrack --ctstate INVALID -j DROP");
	rc |= chain_add(c,
			"-m comment --comment \"kubernetes forwarding rules\" -m mark --mark " MARK
			"/" MARK " -j ACCEPT");
	rc |= chain_add(
		c, "-m comment --comment \"kubernetes forwarding conntrack rule\" -m conntrack "
		   "--ctstate RELATED,ESTABLISHED -j ACCEPT");
	rc |= chain_set_append(set, IPT_NAT, "KUBE-SERVICES") ? 0 : -ENOMEM;
	c = chain_set_append(set, IPT_NAT, "KUBE-POSTROUTING");
	rc |= chain_add(c, "-m mark ! --mark " MARK "/" MARK " -j RETURN");
	rc |= chain_add(c, "-j MARK --set-xmark " MARK "/0x0");
	rc |= chain_add(c, "-m comment --comment \"kubernetes service traffic requiring SNAT\" -j "
			   "MASQUERADE --random-fully");
	c = chain_set_append(set, IPT_NAT, "KUBE-MARK-MASQ");
	rc |= chain_add(c, "-j MARK --set-xmark " MARK "/" MARK);
	c = chain_set_append(set, IPT_NAT, "KUBE-MARK-REMOTE");
	for (size_t i = 0; i < n; i++)
		if (nets[i].addr.family == family)
			rc |= chain_add(c, "-s %s -j RETURN", prefix_format(&nets[i], net));
	rc |= chain_add(c, "-j KUBE-MARK-MASQ");
	return rc ? -ENOMEM : 0;
}

bool chains_can(const struct frontend *fe)
{
	return !frontend_is_entrance(fe) && !fe->inner;
}

int chains_build(const struct model *model, int family, const struct ip_prefix *nets, size_t n_nets,
		 struct chain_set *ret_set)
{
	cleanup_free struct fe_key *keys = NULL;
	ssize_t n = model_keys(model, &keys);
	int rc = n < 0 ? -ENOMEM : add_shared(ret_set, family, nets, n_nets);

	for (ssize_t i = 0; i < n && rc == 0; i++)
		if (keys[i].vip.family == family && chains_can(model_find(model, &keys[i])))
			rc = add_frontend(ret_set, model_find(model, &keys[i]), nets, n_nets);
	chain_set_sort(ret_set);
	return rc;
}
