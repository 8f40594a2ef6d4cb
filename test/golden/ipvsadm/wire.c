/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <string.h>
#include <linux/genetlink.h>

#include "wire.h"

/* The datagram at `at`, with the head of its first message; false at the end of the recording. */
static bool look(const struct wire *wire, size_t at, const uint8_t **ret_data, size_t *ret_len,
		 struct nlmsghdr *ret_head)
{
	uint32_t len;

	if (wire->len < sizeof(len) || at > wire->len - sizeof(len))
		return false;
	memcpy(&len, wire->data + at, sizeof(len));
	if (len > wire->len - at - sizeof(len))
		return false;
	*ret_data = wire->data + at + sizeof(len);
	*ret_len = len;
	memset(ret_head, 0, sizeof(*ret_head));
	memcpy(ret_head, *ret_data, len < sizeof(*ret_head) ? len : sizeof(*ret_head));
	return true;
}

static bool same(const struct wire *wire, const struct nlmsghdr *head)
{
	return head->nlmsg_pid == wire->id[0] && head->nlmsg_seq == wire->id[1];
}

/* Moves over the answer that begins at *at. */
static void skip_answer(struct wire *wire, size_t *at)
{
	struct nlmsghdr head;
	const uint8_t *data;
	size_t len;

	if (!look(wire, *at, &data, &len, &head))
		return;
	wire->id[0] = head.nlmsg_pid;
	wire->id[1] = head.nlmsg_seq;
	while (look(wire, *at, &data, &len, &head) && same(wire, &head))
		*at += sizeof(uint32_t) + len;
}

static bool find_answer(struct wire *wire, bool lookup, size_t from, size_t *ret_at)
{
	struct nlmsghdr head;
	const uint8_t *data;
	size_t len;

	while (look(wire, from, &data, &len, &head)) {
		*ret_at = from;
		if ((head.nlmsg_type == GENL_ID_CTRL) == lookup)
			return true;
		skip_answer(wire, &from);
	}
	return false;
}

void wire_init(struct wire *wire, const void *data, size_t len)
{
	*wire = (struct wire){.data = data, .len = len};
}

bool wire_is_used_up(struct wire *wire)
{
	size_t at;

	return !find_answer(wire, false, wire->next, &at);
}

static int wire_send(void *ctx, const void *data, size_t len)
{
	struct wire *wire = ctx;
	struct nlmsghdr head;
	bool lookup;

	if (len < sizeof(head))
		return -EINVAL;
	memcpy(&head, data, sizeof(head));
	lookup = head.nlmsg_type == GENL_ID_CTRL;
	wire->requests++;
	wire->lookups += lookup;
	wire->seq = head.nlmsg_seq;
	wire->want_ack = (head.nlmsg_flags & NLM_F_ACK) && !(head.nlmsg_flags & NLM_F_DUMP);
	wire->answering = find_answer(wire, lookup, lookup ? 0 : wire->next, &wire->at);
	if (wire->answering) {
		size_t end = wire->at;

		skip_answer(wire, &end);
		if (!lookup)
			wire->next = end;
	}
	return 0;
}

/* The answer as if it had been given to this request. */
static void renumber(struct wire *wire, uint8_t *data, size_t len)
{
	struct nlmsghdr head;

	for (size_t at = 0; len - at >= sizeof(head);) {
		memcpy(&head, data + at, sizeof(head));
		memcpy(data + at + offsetof(struct nlmsghdr, nlmsg_seq), &wire->seq,
		       sizeof(wire->seq));
		if (head.nlmsg_type == NLMSG_ERROR)
			wire->want_ack = false;
		if (head.nlmsg_len < sizeof(head) || head.nlmsg_len > len - at ||
		    NLMSG_ALIGN(head.nlmsg_len) > len - at)
			return;
		at += NLMSG_ALIGN(head.nlmsg_len);
	}
}

static ssize_t give_ack(struct wire *wire, void *data, size_t size)
{
	struct {
		struct nlmsghdr head;
		struct nlmsgerr err;
	} ack = {.head = {.nlmsg_len = sizeof(ack),
			  .nlmsg_type = NLMSG_ERROR,
			  .nlmsg_seq = wire->seq}};

	if (!wire->want_ack || size < sizeof(ack))
		return -EAGAIN;
	wire->want_ack = false;
	memcpy(data, &ack, sizeof(ack));
	return sizeof(ack);
}

static ssize_t wire_receive(void *ctx, void *data, size_t size)
{
	struct wire *wire = ctx;
	struct nlmsghdr head;
	const uint8_t *bytes;
	size_t len;

	if (!wire->answering || !look(wire, wire->at, &bytes, &len, &head) || !same(wire, &head))
		return wire->answering ? give_ack(wire, data, size) : -EAGAIN;
	if (len > size)
		return -EMSGSIZE;
	wire->at += sizeof(uint32_t) + len;
	memcpy(data, bytes, len);
	renumber(wire, data, len);
	return (ssize_t)len;
}

const struct nl_wire wire_ops = {.send = wire_send, .receive = wire_receive};
