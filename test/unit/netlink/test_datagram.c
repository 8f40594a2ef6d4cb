/* SPDX-License-Identifier: Apache-2.0 */
/* Datagrams taken apart, without a kernel: lengths that lie, messages of others, ends and marks. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>
#include <errno.h>
#include <string.h>

#include "conn.h"

#define SEQ 7

/* A datagram being put together. */
struct datagram {
	size_t len;
	uint8_t data[256] __attribute__((aligned(NLMSG_ALIGNTO)));
};

static struct nlmsghdr *put(struct datagram *datagram, uint16_t type, uint32_t seq,
			    const void *payload, size_t payload_len)
{
	struct nlmsghdr *msg = (void *)(datagram->data + datagram->len);

	memset(msg, 0, NLMSG_SPACE(payload_len));
	msg->nlmsg_len = (uint32_t)NLMSG_LENGTH(payload_len);
	msg->nlmsg_type = type;
	msg->nlmsg_seq = seq;
	if (payload_len)
		memcpy(NLMSG_DATA(msg), payload, payload_len);
	datagram->len += NLMSG_SPACE(payload_len);
	return msg;
}

struct taken {
	size_t n;
	int rc;
};

static int take(const struct nlmsghdr *msg, void *arg)
{
	struct taken *taken = arg;

	assert_int_equal(msg->nlmsg_seq, SEQ);
	taken->n++;
	return taken->rc;
}

static int read_all(const struct datagram *datagram, struct taken *taken, bool *ret_interrupted,
		    bool *ret_done)
{
	/* memory of its own length: a byte read behind it is found */
	cleanup_free uint8_t *copy = malloc(datagram->len ? datagram->len : 1);

	assert_non_null(copy);
	memcpy(copy, datagram->data, datagram->len);
	*ret_done = *ret_interrupted = false;
	*taken = (struct taken){.rc = taken->rc};
	return dump_take_datagram(copy, datagram->len, SEQ, take, taken, ret_interrupted, ret_done);
}

static void messages_are_handed_over_until_the_end_mark(void **state)
{
	struct datagram datagram = {0};
	struct taken taken = {0};
	bool interrupted, done;
	int none = 0;

	(void)state;
	put(&datagram, 30, SEQ, "abcde", 5); /* padded to 4 */
	put(&datagram, 30, SEQ - 1, "", 0);  /* a dump's that was dropped */
	put(&datagram, 30, SEQ, "", 0);
	assert_int_equal(read_all(&datagram, &taken, &interrupted, &done), 1);
	assert_int_equal(taken.n, 2);
	assert_false(done || interrupted);
	put(&datagram, NLMSG_DONE, SEQ - 1, &none, sizeof(none));
	assert_int_equal(read_all(&datagram, &taken, &interrupted, &done), 1);
	put(&datagram, NLMSG_DONE, SEQ, &none, sizeof(none));
	put(&datagram, 30, SEQ, "", 0);
	assert_int_equal(read_all(&datagram, &taken, &interrupted, &done), 0);
	assert_int_equal(taken.n, 2);
	assert_true(done);
}

static void the_mark_of_interruption_is_told(void **state)
{
	struct datagram datagram = {0};
	struct taken taken = {0};
	bool interrupted, done;

	(void)state;
	put(&datagram, 30, SEQ - 1, "", 0)->nlmsg_flags = NLM_F_DUMP_INTR;
	put(&datagram, 30, SEQ, "", 0);
	assert_int_equal(read_all(&datagram, &taken, &interrupted, &done), 1);
	assert_false(interrupted);
	put(&datagram, NLMSG_DONE, SEQ, "\0\0\0", 4)->nlmsg_flags = NLM_F_DUMP_INTR;
	assert_int_equal(read_all(&datagram, &taken, &interrupted, &done), 0);
	assert_true(interrupted);
}

static void errors_end_a_dump(void **state)
{
	static const uint16_t types[] = {NLMSG_ERROR, NLMSG_DONE};
	bool interrupted, done;

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(types); i++) {
		const struct nlmsgerr error = {.error = -ENOMEM};
		struct datagram datagram = {0};
		struct taken taken = {0};

		put(&datagram, types[i], SEQ, &error, sizeof(error));
		assert_int_equal(read_all(&datagram, &taken, &interrupted, &done), -ENOMEM);
		assert_true(done);
	}
}

static void the_readers_error_is_returned(void **state)
{
	struct datagram datagram = {0};
	struct taken taken = {.rc = -EDOM};
	bool interrupted, done;

	(void)state;
	put(&datagram, 30, SEQ, "", 0);
	put(&datagram, 30, SEQ, "", 0);
	assert_int_equal(read_all(&datagram, &taken, &interrupted, &done), -EDOM);
	assert_int_equal(taken.n, 1);
	assert_false(done);
}

static void lengths_that_lie_are_found(void **state)
{
	static const uint32_t lies[] = {0,          1,         NLMSG_HDRLEN - 1, NLMSG_HDRLEN + 5,
					0x7fffffff, 0xffffffff};
	bool interrupted, done;

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(lies); i++) {
		struct datagram datagram = {0};
		struct taken taken = {0};

		put(&datagram, 30, SEQ, "abcd", 4);
		put(&datagram, 30, SEQ, "abcd", 4)->nlmsg_len = lies[i];
		assert_int_equal(read_all(&datagram, &taken, &interrupted, &done), -EBADMSG);
		assert_int_equal(taken.n, 1); /* what stood before it */
		assert_false(done);
	}
}

static void a_datagram_cut_anywhere_is_told(void **state)
{
	struct datagram whole = {0};
	struct taken taken = {0};
	bool interrupted, done;

	(void)state;
	put(&whole, 30, SEQ, "abcd", 4);
	put(&whole, 30, SEQ, "abcdefgh", 8);
	for (size_t len = 0; len <= whole.len; len++) {
		struct datagram cut = whole;
		int rc;

		cut.len = len;
		rc = read_all(&cut, &taken, &interrupted, &done);
		assert_int_equal(rc, len == 0 || len == 20 || len == whole.len ? 1 : -EBADMSG);
		assert_int_equal(taken.n, len < 20 ? 0 : len < whole.len ? 1 : 2);
	}
}

/* Without padding behind the last message, as recv() may give it. */
static void the_last_message_needs_no_padding(void **state)
{
	struct datagram datagram = {0};
	struct taken taken = {0};
	bool interrupted, done;

	(void)state;
	put(&datagram, 30, SEQ, "abcde", 5);
	datagram.len -= 3;
	assert_int_equal(read_all(&datagram, &taken, &interrupted, &done), 1);
	assert_int_equal(taken.n, 1);
}

static void error_codes_are_errno_or_nothing(void **state)
{
	static const struct {
		int in, out;
	} cases[] = {{0, 0}, {-1, -1}, {-4095, -4095}, {-4096, 0}, {1, 0}, {INT32_MIN, 0}};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct datagram datagram = {0};

		assert_int_equal(conn_error_code(put(&datagram, NLMSG_ERROR, SEQ, &cases[i].in,
						     sizeof(int))),
				 cases[i].out);
		((struct nlmsghdr *)(void *)datagram.data)->nlmsg_len -= 1; /* too short */
		assert_int_equal(conn_error_code((const void *)datagram.data), 0);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(messages_are_handed_over_until_the_end_mark),
		cmocka_unit_test(the_mark_of_interruption_is_told),
		cmocka_unit_test(errors_end_a_dump),
		cmocka_unit_test(the_readers_error_is_returned),
		cmocka_unit_test(lengths_that_lie_are_found),
		cmocka_unit_test(a_datagram_cut_anywhere_is_told),
		cmocka_unit_test(the_last_message_needs_no_padding),
		cmocka_unit_test(error_codes_are_errno_or_nothing),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
