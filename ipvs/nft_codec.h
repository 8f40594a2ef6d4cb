/* SPDX-License-Identifier: Apache-2.0 */
/* nfnetlink messages of the helper table: elements of its sets, its rules as a number. Pure.
 * Source: <linux/netfilter/nf_tables.h>, net/netfilter/nf_tables_api.c. */
#ifndef VIPD_IPVS_NFT_CODEC_H
#define VIPD_IPVS_NFT_CODEC_H

#include "kernel.h"

/* The marks around a transaction. Index or -errno. */
int nft_put_batch_begin(struct nl_batch *batch);
int nft_put_batch_end(struct nl_batch *batch);
/* One message with `n` elements of one family and set, all added or all removed. */
int nft_put_elems(struct nl_batch *batch, enum kverb verb, const struct kelem *elems, size_t n);
/* Dump requests: the elements of a set; tables, chains, sets or rules of a family (`type`:
 * NFT_MSG_GETTABLE ...). */
int nft_put_elem_dump(struct nl_batch *batch, uint8_t family, enum kset set);
int nft_put_dump(struct nl_batch *batch, uint8_t family, int type);

/* NFT_MSG_NEWSETELEM / DELSETELEM: calls `fn` for each element of ours in it. */
typedef int (*nft_elem_fn)(const struct kelem *elem, void *arg);
int nft_get_elems(const struct nlmsghdr *msg, nft_elem_fn fn, void *arg);
/* Is the message about the helper table (of a family we use)? And the message type, NFT_MSG_*. */
bool nft_is_ours(const struct nlmsghdr *msg, uint8_t *ret_family, int *ret_type);
/* Adds what counts of a table, chain, set or rule message to a digest: all but handles, use counts,
 * counters and sizes, which change without the rules changing. */
uint64_t nft_digest(uint64_t digest, const struct nlmsghdr *msg);

#endif
