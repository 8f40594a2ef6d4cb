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

int nft_put_elems(struct nl_batch *batch, enum kverb verb, const struct kelem *elems, size_t n)
{
	bool del = verb == KV_DEL;
	struct nlattr *list, *item, *key;
	int rc = begin(batch, nft_type(del ? NFT_MSG_DELSETELEM : NFT_MSG_NEWSETELEM),
		       del ? 0 : NLM_F_CREATE, elems[0].family, 0);

	if (rc < 0)
		return rc;
	nl_put_string(batch, NFTA_SET_ELEM_LIST_TABLE, HELPER_TABLE);
	nl_put_string(batch, NFTA_SET_ELEM_LIST_SET, kset_names[elems[0].set]);
	list = nl_nest_begin(batch, NFTA_SET_ELEM_LIST_ELEMENTS);
	for (size_t i = 0; i < n; i++) {
		item = nl_nest_begin(batch, NFTA_LIST_ELEM);
		key = nl_nest_begin(batch, NFTA_SET_ELEM_KEY);
		nl_put(batch, NFTA_DATA_VALUE, elems[i].key, elems[i].len);
		nl_nest_end(batch, key);
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

/* A table of that name may be somebody else's, with keys of other types. */
static bool is_key_len(const struct kelem *elem, int len)
{
	int addr = elem->family == AF_INET ? 4 : 16;

	if (elem->family != AF_INET && elem->family != AF_INET6)
		return false;
	if (elem->set == KSET_VIPS)
		return len == addr;
	return len == (elem->set == KSET_HAIRPIN ? 2 * addr : addr + 8);
}

static bool get_elem(struct nlattr *item, struct kelem *elem)
{
	struct nlattr *tb[NFTA_SET_ELEM_MAX + 1], *data[NFTA_DATA_MAX + 1];
	int len;

	if (nla_parse(tb, NFTA_SET_ELEM_MAX, nla_data(item), nla_len(item), NULL) < 0 ||
	    !tb[NFTA_SET_ELEM_KEY] ||
	    nla_parse(data, NFTA_DATA_MAX, nla_data(tb[NFTA_SET_ELEM_KEY]),
		      nla_len(tb[NFTA_SET_ELEM_KEY]), NULL) < 0 ||
	    !data[NFTA_DATA_VALUE])
		return false;
	len = nla_len(data[NFTA_DATA_VALUE]);
	if (!is_key_len(elem, len))
		return false;
	memset(elem->key, 0, sizeof(elem->key));
	memcpy(elem->key, nla_data(data[NFTA_DATA_VALUE]), (size_t)len);
	elem->len = (uint8_t)len;
	return true;
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
