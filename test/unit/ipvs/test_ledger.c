/* SPDX-License-Identifier: Apache-2.0 */
/* The ledger over restarts and kills: what was noted and flushed is read again, what was cut is not
 * believed, and nothing of another boot or namespace. */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <cmocka.h>

#include "ledger.h"

struct place {
	char dir[64], path[96];
	struct ledger *ledger;
};

static void open_ledger(struct place *place, bool read_only)
{
	struct err err;

	assert_int_equal(ledger_open(place->dir, read_only, &place->ledger, &err), 0);
}

static void flush(struct place *place)
{
	struct err err;

	assert_int_equal(ledger_flush(place->ledger, &err), 0);
}

static int setup(void **state)
{
	struct place *place = calloc(1, sizeof(*place));

	snprintf(place->dir, sizeof(place->dir), "/tmp/vipd-ledger-XXXXXX");
	assert_non_null(mkdtemp(place->dir));
	snprintf(place->path, sizeof(place->path), "%s/ipvs.ledger", place->dir);
	*state = place;
	open_ledger(place, false);
	return 0;
}

static int teardown(void **state)
{
	struct place *place = *state;

	ledger_forget(place->ledger);
	ledger_close(place->ledger);
	rmdir(place->dir);
	free(place);
	return 0;
}

static void on_own(void *arg, const struct fe_key *key)
{
	char text[FE_KEY_TEXT_MAX];

	fprintf(arg, "own %s\n", fe_key_format(key, text));
}

static void on_disown(void *arg, const struct fe_key *key)
{
	char text[FE_KEY_TEXT_MAX];

	fprintf(arg, "free %s\n", fe_key_format(key, text));
}

static void on_drain(void *arg, const struct fe_key *key, const struct ip_addr *addr, uint16_t port,
		     uint64_t deadline_ms)
{
	char text[FE_KEY_TEXT_MAX], ep[ADDR_PORT_TEXT_MAX];

	fprintf(arg, "drain %s %s %" PRIu64 "\n", fe_key_format(key, text),
		addr_port_format(addr, port, ep), deadline_ms);
}

static void on_rules(void *arg, int family, uint64_t text_hash, uint64_t digest)
{
	fprintf(arg, "rules %d %" PRIu64 " %" PRIu64 "\n", family, text_hash, digest);
}

/* Closes it, opens it again, and reads. */
static void assert_after_restart(struct place *place, const char *expected)
{
	char *text = NULL;
	size_t len = 0;
	FILE *out = open_memstream(&text, &len);

	ledger_close(place->ledger);
	open_ledger(place, false);
	ledger_read(place->ledger, &(struct ledger_reader){.arg = out,
							   .own = on_own,
							   .disown = on_disown,
							   .drain = on_drain,
							   .rules = on_rules});
	fclose(out);
	assert_string_equal(text, expected);
	free(text);
}

static struct fe_key key_of(const char *addr, uint16_t port, uint8_t proto)
{
	struct ip_addr vip;

	assert_int_equal(addr_parse(addr, &vip), 0);
	return fe_key_make(&vip, port, proto);
}

static void note_all(struct place *place)
{
	struct fe_key web = key_of("10.96.0.1", 80, IPPROTO_TCP);
	struct fe_key six = key_of("fd00::1", 53, IPPROTO_UDP);
	struct ip_addr ep;

	addr_parse("fd00:244::2", &ep);
	ledger_own(place->ledger, &web);
	ledger_own(place->ledger, &six);
	ledger_drain(place->ledger, &six, &ep, 8080, 1234567890123);
	ledger_rules(place->ledger, AF_INET, 7, UINT64_MAX);
	ledger_disown(place->ledger, &web);
}

#define ALL                                                         \
	"own 10.96.0.1:80/TCP\nown [fd00::1]:53/UDP\n"              \
	"drain [fd00::1]:53/UDP [fd00:244::2]:8080 1234567890123\n" \
	"rules 2 7 18446744073709551615\nfree 10.96.0.1:80/TCP\n"

static void what_was_flushed_is_read(void **state)
{
	struct place *place = *state;

	assert_false(ledger_was_there(place->ledger));
	note_all(place);
	flush(place);
	assert_after_restart(place, ALL);
	assert_true(ledger_was_there(place->ledger));
	assert_after_restart(place, ALL); /* reading changes nothing */
	note_all(place);                  /* never flushed */
	assert_after_restart(place, ALL);
}

/* Cut anywhere, as a kill may: the lines before count, half a line never does; what is noted
 * afterwards is read again. */
static void a_cut_line_is_not_believed(void **state)
{
	struct place *place = *state;
	struct fe_key other = key_of("10.96.0.9", 9, IPPROTO_TCP);
	struct stat st;

	note_all(place);
	flush(place);
	assert_int_equal(stat(place->path, &st), 0);
	for (off_t cut = 1; cut < 24; cut++) { /* "free 10.96.0.1 80 TCP\n" */
		char expected[512] = ALL;

		assert_int_equal(truncate(place->path, st.st_size - cut), 0);
		*strstr(expected, "free") = '\0';
		if (cut == 23) /* the line before, too */
			*strstr(expected, "rules") = '\0';
		assert_after_restart(place, expected);
		ledger_own(place->ledger, &other);
		flush(place);
		strcat(expected, "own 10.96.0.9:9/TCP\n");
		assert_after_restart(place, expected);
		ledger_forget(place->ledger);
		ledger_close(place->ledger);
		open_ledger(place, false);
		note_all(place);
		flush(place);
	}
}

/* The first line says which boot and which network namespace. */
static void of_another_boot(void **state)
{
	struct place *place = *state;
	int fd;
	char byte;

	note_all(place);
	flush(place);
	fd = open(place->path, O_RDWR);
	assert_int_equal(pread(fd, &byte, 1, 20), 1);
	byte = byte == '0' ? '1' : '0';
	assert_int_equal(pwrite(fd, &byte, 1, 20), 1);
	close(fd);
	assert_after_restart(place, "");
	assert_false(ledger_was_there(place->ledger));
	note_all(place); /* it is begun anew */
	flush(place);
	assert_after_restart(place, ALL);
}

static void written_anew(void **state)
{
	struct place *place = *state;
	struct fe_key web = key_of("10.96.0.1", 80, IPPROTO_TCP);
	struct err err;
	int rounds = 0;

	assert_false(ledger_wants_rewrite(place->ledger, 1));
	while (!ledger_wants_rewrite(place->ledger, 1)) {
		assert_true(rounds++ < 1000000);
		ledger_own(place->ledger, &web);
		flush(place);
	}
	ledger_rewrite_begin(place->ledger);
	ledger_own(place->ledger, &web);
	assert_int_equal(ledger_rewrite_end(place->ledger, &err), 0);
	assert_false(ledger_wants_rewrite(place->ledger, 1));
	ledger_rules(place->ledger, AF_INET6, 1, 2); /* goes into the new one */
	flush(place);
	assert_after_restart(place, "own 10.96.0.1:80/TCP\nrules 10 1 2\n");
}

static void read_only_writes_nothing(void **state)
{
	struct place *place = *state;
	struct stat before, after;

	note_all(place);
	flush(place);
	assert_int_equal(stat(place->path, &before), 0);
	ledger_close(place->ledger);
	open_ledger(place, true);
	assert_true(ledger_was_there(place->ledger));
	note_all(place);
	flush(place);
	assert_false(ledger_wants_rewrite(place->ledger, 0));
	assert_int_equal(stat(place->path, &after), 0);
	assert_int_equal(before.st_size, after.st_size);
	assert_after_restart(place, ALL);
}

static void no_ledger_at_all(void **state)
{
	struct fe_key web = key_of("10.96.0.1", 80, IPPROTO_TCP);
	struct ledger *ledger;
	struct err err;

	(void)state;
	ledger_own(NULL, &web);
	assert_int_equal(ledger_flush(NULL, &err), 0);
	assert_false(ledger_was_there(NULL));
	ledger_close(NULL);
	assert_int_equal(ledger_open("/proc/nowhere", false, &ledger, &err), -ENOENT);
	assert_non_null(strstr(err.text, "/proc/nowhere"));
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
	const struct CMUnitTest tests[] = {
		TEST(what_was_flushed_is_read), TEST(a_cut_line_is_not_believed),
		TEST(of_another_boot),          TEST(written_anew),
		TEST(read_only_writes_nothing), cmocka_unit_test(no_ledger_at_all),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
