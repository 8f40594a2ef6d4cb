/* SPDX-License-Identifier: Apache-2.0 */
/* Fuzzes ipvs/ledger.c: any bytes behind a good first line, and any bytes as the whole file. What
 * is read, and then written into a new ledger, must be read from that one alike. */
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "ledger.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define PROMISE(condition) ((condition) ? (void)0 : abort())

/* What was read, as numbers: how much of each kind, and a hash over all in order. */
struct heard {
	size_t n;
	uint64_t hash;
	struct ledger *copy; /* told everything again, if not NULL */
};

static void hear(struct heard *heard, char kind, const struct fe_key *key)
{
	heard->n++;
	heard->hash = util_hash(heard->hash, &kind, 1);
	heard->hash = util_hash(heard->hash, key, sizeof(*key));
}

static void hear_own(void *arg, const struct fe_key *key)
{
	struct heard *heard = arg;

	hear(heard, 'o', key);
	ledger_own(heard->copy, key);
}

static void hear_disown(void *arg, const struct fe_key *key)
{
	struct heard *heard = arg;

	hear(heard, 'f', key);
	ledger_disown(heard->copy, key);
}

static void hear_drain(void *arg, const struct fe_key *key, const struct ip_addr *addr,
		       uint16_t port, uint64_t deadline_ms)
{
	struct heard *heard = arg;

	hear(heard, 'd', key);
	heard->hash = util_hash(heard->hash, addr, sizeof(*addr));
	heard->hash = util_hash(heard->hash, &port, sizeof(port));
	heard->hash = util_hash(heard->hash, &deadline_ms, sizeof(deadline_ms));
	ledger_drain(heard->copy, key, addr, port, deadline_ms);
}

static void hear_rules(void *arg, int family, uint64_t text_hash, uint64_t digest)
{
	const uint64_t numbers[] = {(uint64_t)family, text_hash, digest};
	struct heard *heard = arg;

	heard->n++;
	heard->hash = util_hash(heard->hash, numbers, sizeof(numbers));
	ledger_rules(heard->copy, family, text_hash, digest);
}

static struct heard read_all(const char *dir, struct ledger *copy)
{
	struct heard heard = {.copy = copy};
	const struct ledger_reader reader = {&heard, hear_own, hear_disown, hear_drain, hear_rules};
	struct ledger *ledger;

	PROMISE(ledger_open(dir, true, &ledger, NULL) == 0);
	ledger_read(ledger, &reader);
	ledger_close(ledger);
	return heard;
}

static void write_file(const char *path, const char *mode, const uint8_t *data, size_t size)
{
	FILE *out = fopen(path, mode);

	PROMISE(out && fwrite(data, 1, size, out) == size);
	PROMISE(fclose(out) == 0);
}

static struct ledger *new_ledger(const char *dir, const char *path)
{
	struct ledger *ledger;

	unlink(path);
	PROMISE(ledger_open(dir, false, &ledger, NULL) == 0);
	return ledger;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static char dir[] = "/dev/shm/fuzz_ledger.XXXXXX", path[64], copy_dir[64], copy_path[80];
	struct ledger *copy;
	struct heard first, second;

	if (!*path) {
		PROMISE(mkdtemp(dir) != NULL);
		snprintf(path, sizeof(path), "%s/ipvs.ledger", dir);
		snprintf(copy_dir, sizeof(copy_dir), "%s/copy", dir);
		snprintf(copy_path, sizeof(copy_path), "%s/ipvs.ledger", copy_dir);
	}
	write_file(path, "w", data, size); /* no stamp: of another boot */
	(void)read_all(dir, NULL);

	ledger_close(new_ledger(dir, path));
	write_file(path, "a", data, size);
	copy = new_ledger(copy_dir, copy_path);
	first = read_all(dir, copy);
	PROMISE(ledger_flush(copy, NULL) == 0);
	ledger_close(copy);
	second = read_all(copy_dir, NULL);
	PROMISE(first.n == second.n && first.hash == second.hash);
	unlink(path);
	unlink(copy_path);
	rmdir(copy_dir);
	return 0;
}
