/* SPDX-License-Identifier: Apache-2.0 */
/* What the kernel cannot tell after a restart: which virtual servers are ours, until when
 * destinations drain, which rules we loaded.
 *
 * A text file under the run directory, stamped with boot id and network namespace, written ahead:
 * a line stands before the kernel is told. Lines of one slice go out in one write. It is a help,
 * not a condition: without it exact matches are adopted and the rest is reported. */
#ifndef VIPD_IPVS_LEDGER_H
#define VIPD_IPVS_LEDGER_H

#include "err.h"
#include "model.h"

struct ledger;

struct ledger_reader {
	void *arg;
	void (*own)(void *arg, const struct fe_key *key);
	void (*disown)(void *arg, const struct fe_key *key);
	void (*drain)(void *arg, const struct fe_key *key, const struct ip_addr *addr,
		      uint16_t port, uint64_t deadline_ms);
	void (*rules)(void *arg, int family, uint64_t text_hash, uint64_t digest);
};

/* Opens DIR/ipvs.ledger, making DIR if need be. One of another boot or namespace counts as none. A
 * line that cannot be read is passed over. `read_only`: for printers. -errno with the reason. */
int ledger_open(const char *dir, bool read_only, struct ledger **ret_ledger, struct err *err);
/* Was there one of this boot and namespace? */
bool ledger_was_there(const struct ledger *ledger);
void ledger_close(struct ledger *ledger); /* NULL is fine, here and below */

/* Tells what the file says, in its order: the later line counts. */
void ledger_read(const struct ledger *ledger, const struct ledger_reader *reader);

/* Note lines; nothing is in the file before ledger_flush. deadline_ms is CLOCK_BOOTTIME. */
void ledger_own(struct ledger *ledger, const struct fe_key *key);
void ledger_disown(struct ledger *ledger, const struct fe_key *key);
void ledger_drain(struct ledger *ledger, const struct fe_key *key, const struct ip_addr *addr,
		  uint16_t port, uint64_t deadline_ms); /* 0 = drains no more */
void ledger_rules(struct ledger *ledger, int family, uint64_t text_hash, uint64_t digest);

/* Writes the noted lines. -errno: the first failure is told in `err`, later ones are silent (0)
 * until a write works again. */
int ledger_flush(struct ledger *ledger, struct err *err);

/* Has the file grown past twice what it holds? Then rewrite: begin, note all that counts, end
 * (replaces the file atomically). */
bool ledger_wants_rewrite(const struct ledger *ledger, size_t live_lines);
int ledger_rewrite_begin(struct ledger *ledger);
int ledger_rewrite_end(struct ledger *ledger, struct err *err);

/* Removes the file: nothing is ours any more. */
void ledger_forget(struct ledger *ledger);

#endif
