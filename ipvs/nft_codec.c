/* SPDX-License-Identifier: Apache-2.0 */
/* See nft_codec.h. */
#include <arpa/inet.h>
#include <errno.h>
#include <string.h>
#include <linux/netfilter/nf_tables.h>
#include <linux/netfilter/nfnetlink.h>
#include <netlink/attr.h>

#include "nft_codec.h"

static int begin(struct nl_batch *batch, uint16_t type, uint16_t flags, uint8_t family,
		 uint16_t res_id)
{
	struct nfgenmsg head = {
		.nfgen_family = family, .version = NFNETLINK_V0, .res_id = htons(res_id)};

	return nl_batch_begin(batch, type, flags, &head, sizeof(head));
}

static uint16_t nft_type(int type)
{
	return (uint16_t)(NFNL_SUBSYS_NFTABLES << 8 | type);
}

int nft_put_batch_begin(struct nl_batch *batch)
{
	int rc = begin(batch, NFNL_MSG_BATCH_BEGIN, 0, AF_UNSPEC, NFNL_SUBSYS_NFTABLES);

	return rc < 0 ? rc : nl_batch_end(batch);
}

int nft_put_batch_end(struct nl_batch *batch)
{
	int rc = begin(batch, NFNL_MSG_BATCH_END, 0, AF_UNSPEC, NFNL_SUBSYS_NFTABLES);

	return rc < 0 ? rc : nl_batch_end(batch);
}

static void put_value(struct nl_batch *batch, uint16_t attr, const uint8_t *bytes, size_t len)
{
	struct nlattr *nest = nl_nest_begin(batch, attr);

	nl_put(batch, NFTA_DATA_VALUE, bytes, len);
	nl_nest_end(batch, nest);
}

/* The last key of a prefix: host bits of the last address set. */
static void put_key_end(struct nl_batch *batch, const struct kelem *elem)
{
	size_t addr_len = elem->family == AF_INET ? 4 : 16;
	uint8_t end[KELEM_KEY_MAX], *last = end + elem->len - addr_len;

	memcpy(end, elem->key, sizeof(end));
	for (size_t bit = elem->prefix; bit < 8 * addr_len; bit++)
		last[bit / 8] |= (uint8_t)(0x80 >> bit % 8);
	put_value(batch, NFTA_SET_ELEM_KEY_END, end, elem->len);
}

static void put_elem(struct nl_batch *batch, const struct kelem *elem, bool del)
{
	put_value(batch, NFTA_SET_ELEM_KEY, elem->key, elem->len);
	if (kset_is_allowed(elem->set))
		put_key_end(batch, elem);
	if (elem->data_len && !del)
		put_value(batch, NFTA_SET_ELEM_DATA, elem->data, elem->data_len);
}

int nft_put_elems(struct nl_batch *batch, enum kverb verb, const struct kelem *elems, size_t n)
{
	bool del = verb == KV_DEL;
	struct nlattr *list, *item;
	int rc = begin(batch, nft_type(del ? NFT_MSG_DELSETELEM : NFT_MSG_NEWSETELEM),
		       del ? 0 : NLM_F_CREATE, elems[0].family, 0);

	if (rc < 0)
		return rc;
	nl_put_string(batch, NFTA_SET_ELEM_LIST_TABLE, HELPER_TABLE);
	nl_put_string(batch, NFTA_SET_ELEM_LIST_SET, kset_names[elems[0].set]);
	list = nl_nest_begin(batch, NFTA_SET_ELEM_LIST_ELEMENTS);
	for (size_t i = 0; i < n; i++) {
		item = nl_nest_begin(batch, NFTA_LIST_ELEM);
		put_elem(batch, &elems[i], del);
		nl_nest_end(batch, item);
	}
	nl_nest_end(batch, list);
	return nl_batch_end(batch);
}

int nft_put_elem_dump(struct nl_batch *batch, uint8_t family, enum kset set)
{
	int rc = begin(batch, nft_type(NFT_MSG_GETSETELEM), 0, family, 0);

	if (rc < 0)
		return rc;
	nl_put_string(batch, NFTA_SET_ELEM_LIST_TABLE, HELPER_TABLE);
	nl_put_string(batch, NFTA_SET_ELEM_LIST_SET, kset_names[set]);
	return nl_batch_end(batch);
}

int nft_put_dump(struct nl_batch *batch, uint8_t family, int type)
{
	int rc = begin(batch, nft_type(type), 0, family, 0);

	if (rc < 0)
		return rc;
	/* the attribute is number 1 of each kind, and filters sets and rules by table */
	if (type == NFT_MSG_GETRULE || type == NFT_MSG_GETSET)
		nl_put_string(batch, NFTA_RULE_TABLE, HELPER_TABLE);
	return nl_batch_end(batch);
}

static bool parse(const struct nlmsghdr *msg, uint8_t *ret_family, struct nlattr **tb, int max)
{
	const size_t skip = NLMSG_HDRLEN + NLMSG_ALIGN(sizeof(struct nfgenmsg));
	struct nfgenmsg head;

	if (msg->nlmsg_len < skip || msg->nlmsg_type >> 8 != NFNL_SUBSYS_NFTABLES)
		return false;
	memcpy(&head, (const uint8_t *)msg + NLMSG_HDRLEN, sizeof(head));
	*ret_family = head.nfgen_family;
	return nla_parse(tb, max, (struct nlattr *)(uintptr_t)((const uint8_t *)msg + skip),
			 (int)(msg->nlmsg_len - skip), NULL) == 0;
}

static bool is_string(const struct nlattr *attr, const char *text)
{
	size_t len = strlen(text);

	return attr && nla_len(attr) > (int)len && memcmp(nla_data(attr), text, len + 1) == 0;
}

bool nft_is_ours(const struct nlmsghdr *msg, uint8_t *ret_family, int *ret_type)
{
	struct nlattr *tb[NFTA_RULE_MAX + 1];

	/* every message's attribute 1 is the table's name */
	if (!parse(msg, ret_family, tb, NFTA_RULE_MAX) || !is_string(tb[1], HELPER_TABLE) ||
	    (*ret_family != AF_INET && *ret_family != AF_INET6))
		return false;
	*ret_type = msg->nlmsg_type & 0xff;
	return true;
}

static bool set_number(const struct nlattr *attr, uint8_t *ret_set)
{
	for (uint8_t set = 0; set < KSET_COUNT; set++) {
		if (!is_string(attr, kset_names[set]))
			continue;
		*ret_set = set;
		return true;
	}
	return false;
}

/* The bytes of a nested value into `buf`; their number, -1 if there is none or it is too long. */
static int get_value(struct nlattr *nest, uint8_t *buf, size_t size)
{
	struct nlattr *data[NFTA_DATA_MAX + 1];
	int len;

	if (!nest || nla_parse(data, NFTA_DATA_MAX, nla_data(nest), nla_len(nest), NULL) < 0 ||
	    !data[NFTA_DATA_VALUE])
		return -1;
	len = nla_len(data[NFTA_DATA_VALUE]);
	if ((size_t)len > size)
		return -1;
	memcpy(buf, nla_data(data[NFTA_DATA_VALUE]), (size_t)len);
	return len;
}

/* How many leading bits two ends of a range have in common; 255 if the range is no prefix. */
static uint8_t prefix_of(const uint8_t *first, const uint8_t *last, size_t bytes)
{
	size_t bit = 0, len;

	while (bit < 8 * bytes && !((first[bit / 8] ^ last[bit / 8]) & 0x80 >> bit % 8))
		bit++;
	for (len = bit; bit < 8 * bytes; bit++)
		if (first[bit / 8] & 0x80 >> bit % 8 || !(last[bit / 8] & 0x80 >> bit % 8))
			return UINT8_MAX;
	return (uint8_t)len;
}

static bool get_source(struct nlattr *key_end, struct kelem *elem)
{
	size_t addr_len = elem->family == AF_INET ? 4 : 16, at = elem->len - addr_len;
	uint8_t end[KELEM_KEY_MAX];

	elem->prefix = (uint8_t)(8 * addr_len);
	if (key_end && get_value(key_end, end, sizeof(end)) == elem->len &&
	    memcmp(end, elem->key, at) == 0)
		elem->prefix = prefix_of(elem->key + at, end + at, addr_len);
	return elem->prefix != UINT8_MAX;
}

/* A table of that name may be somebody else's, with keys of other types: those are passed over. */
static bool get_elem(struct nlattr *item, struct kelem *elem)
{
	struct nlattr *tb[NFTA_SET_ELEM_MAX + 1];
	int len;

	memset(elem->key, 0, sizeof(elem->key));
	memset(elem->data, 0, sizeof(elem->data));
	elem->prefix = elem->data_len = 0;
	if ((elem->family != AF_INET && elem->family != AF_INET6) ||
	    nla_parse(tb, NFTA_SET_ELEM_MAX, nla_data(item), nla_len(item), NULL) < 0)
		return false;
	len = get_value(tb[NFTA_SET_ELEM_KEY], elem->key, sizeof(elem->key));
	if (len < 0 || (size_t)len != kset_key_len(elem->set, elem->family))
		return false;
	elem->len = (uint8_t)len;
	if (kset_is_map(elem->set)) {
		len = get_value(tb[NFTA_SET_ELEM_DATA], elem->data, sizeof(elem->data));
		elem->data_len = (uint8_t)(len < 0 ? 0 : len);
	}
	return !kset_is_allowed(elem->set) || get_source(tb[NFTA_SET_ELEM_KEY_END], elem);
}

int nft_get_elems(const struct nlmsghdr *msg, nft_elem_fn fn, void *arg)
{
	struct nlattr *tb[NFTA_SET_ELEM_LIST_MAX + 1], *item;
	struct kelem elem = {0};
	int left, rc = 0;

	if (!parse(msg, &elem.family, tb, NFTA_SET_ELEM_LIST_MAX) ||
	    !is_string(tb[NFTA_SET_ELEM_LIST_TABLE], HELPER_TABLE) ||
	    !set_number(tb[NFTA_SET_ELEM_LIST_SET], &elem.set) || !tb[NFTA_SET_ELEM_LIST_ELEMENTS])
		return 0;
	nla_for_each_nested(item, tb[NFTA_SET_ELEM_LIST_ELEMENTS], left)
	{
		if (get_elem(item, &elem))
			rc = fn(&elem, arg);
		if (rc < 0)
			return rc;
	}
	return 0;
}

/* Attributes that say how the table is used, or where the kernel put it, not what it does. */
static bool is_volatile(int type, int attr)
{
	switch (type) {
	case NFT_MSG_NEWTABLE:
		return attr == NFTA_TABLE_USE || attr == NFTA_TABLE_HANDLE ||
		       attr == NFTA_TABLE_PAD;
	case NFT_MSG_NEWCHAIN:
		return attr == NFTA_CHAIN_USE || attr == NFTA_CHAIN_HANDLE ||
		       attr == NFTA_CHAIN_COUNTERS || attr == NFTA_CHAIN_PAD ||
		       attr == NFTA_CHAIN_ID;
	case NFT_MSG_NEWSET:
		return attr == NFTA_SET_HANDLE || attr == NFTA_SET_PAD || attr == NFTA_SET_ID ||
		       attr > NFTA_SET_HANDLE;
	case NFT_MSG_NEWRULE:
		return attr == NFTA_RULE_HANDLE || attr == NFTA_RULE_POSITION ||
		       attr == NFTA_RULE_PAD || attr == NFTA_RULE_ID;
	default:
		return true;
	}
}

/* An anonymous set is numbered by the kernel ("__set0") and has a number in lookups: the names stay
 * alike over reloads only within one table's life, so only the lengths of such names count. */
static uint64_t digest_bytes(uint64_t digest, const struct nlattr *attr)
{
	const uint8_t *bytes = nla_data(attr);
	size_t len = (size_t)nla_len(attr);
	static const char anonymous[] = "__set";

	for (size_t i = 0; i < len; i++) {
		if (len - i > sizeof(anonymous) &&
		    memcmp(bytes + i, anonymous, sizeof(anonymous) - 1) == 0) {
			i += sizeof(anonymous) - 1;
			while (i < len && bytes[i] >= '0' && bytes[i] <= '9')
				i++;
			continue;
		}
		digest = util_hash(digest, bytes + i, 1);
	}
	return digest;
}

uint64_t nft_digest(uint64_t digest, const struct nlmsghdr *msg)
{
	struct nlattr *tb[NFTA_SET_MAX + NFTA_RULE_MAX + 1];
	int max = (int)ARRAY_SIZE(tb) - 1, type = msg->nlmsg_type & 0xff;
	uint8_t family;

	if (!parse(msg, &family, tb, max) || !is_string(tb[1], HELPER_TABLE))
		return digest;
	digest = util_hash(digest, &type, sizeof(type));
	for (int attr = 1; attr <= max; attr++) {
		if (!tb[attr] || is_volatile(type, attr))
			continue;
		digest = util_hash(digest, &attr, sizeof(attr));
		digest = digest_bytes(digest, tb[attr]);
	}
	return digest;
}
