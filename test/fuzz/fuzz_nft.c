/* SPDX-License-Identifier: Apache-2.0 */
/* Fuzzes ipvs/nft_codec.c: what is told of a message, its elements, its part in the digest. */
#include <errno.h>

#include "fuzz_message.h"
#include "nft_codec.h"

static int check_elem(const struct kelem *elem, void *arg)
{
	(void)arg;
	PROMISE(elem->set < KSET_COUNT && elem->len <= KELEM_KEY_MAX);
	for (size_t i = elem->len; i < KELEM_KEY_MAX; i++)
		PROMISE(elem->key[i] == 0);
	return 0;
}

static int same_elem(const struct kelem *elem, void *arg)
{
	PROMISE(memcmp(elem, arg, sizeof(*elem)) == 0);
	return 1;
}

/* An element that was understood comes back the same. */
static int encode_again(const struct kelem *elem, void *arg)
{
	static struct nl_batch *batch;
	struct kelem want = *elem;

	check_elem(elem, arg);
	if (!batch)
		batch = nl_batch_new(fuzz_conn());
	nl_batch_reset(batch);
	PROMISE(nft_put_elems(batch, KV_ADD, elem, 1) == 0);
	PROMISE(nft_get_elems(batch_only_message(batch), same_elem, &want) == 0);
	return 0;
}

static int stop_at_once(const struct kelem *elem, void *arg)
{
	int *calls = arg;

	(void)elem;
	++*calls;
	return -EINTR;
}

static void try_all(const struct nlmsghdr *msg)
{
	uint8_t family;
	int type, calls = 0, rc;

	(void)nft_is_ours(msg, &family, &type);
	PROMISE(nft_get_elems(msg, encode_again, NULL) == 0);
	rc = nft_get_elems(msg, stop_at_once, &calls);
	PROMISE(calls <= 1 && rc == (calls ? -EINTR : 0));
	PROMISE(nft_digest(1, msg) == nft_digest(1, msg));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	fuzz_each_message(data, size, try_all);
	return 0;
}
