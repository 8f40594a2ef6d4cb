/* SPDX-License-Identifier: Apache-2.0 */
/* See ledger.h. Lines: "own KEY", "free KEY", "drain KEY ADDR PORT DEADLINE", "rules FAMILY HASH
 * DIGEST" where KEY is "ADDR PORT PROTO"; the later line counts. */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdarg.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "ledger.h"

#define LEDGER_MAGIC       "vipd-ledger 1"
#define LEDGER_BYTES_MAX   (64 << 20) /* 500,000 lines: five times the largest node */
#define LEDGER_SLACK_LINES 4096       /* a file this small is never rewritten */

struct ledger {
	char *path, *tmp_path;
	char stamp[160]; /* first line */
	char *content;   /* as found when opened; NULL = nothing that counts */
	char *noted;     /* lines not written yet */
	size_t noted_len, noted_cap;
	size_t lines; /* in the file */
	int fd;
	bool broken; /* the last write failed */
	bool read_only;
};

static int make_stamp(char *buf, size_t size)
{
	char boot[64] = "?";
	struct stat ns;
	FILE *in = fopen("/proc/sys/kernel/random/boot_id", "re");

	if (in) {
		if (fgets(boot, sizeof(boot), in))
			boot[strcspn(boot, "\n")] = '\0';
		fclose(in);
	}
	if (stat("/proc/thread-self/ns/net", &ns) < 0)
		return -errno;
	snprintf(buf, size, LEDGER_MAGIC " %s %ju:%ju\n", boot, (uintmax_t)ns.st_dev,
		 (uintmax_t)ns.st_ino);
	return 0;
}

/* The whole file in memory; NULL if it is of another boot or namespace, or none. */
static char *load(const char *path, const char *stamp)
{
	cleanup_free char *text = NULL;
	struct stat st;
	size_t len;
	FILE *in = fopen(path, "re");

	if (!in)
		return NULL;
	if (fstat(fileno(in), &st) < 0 || st.st_size > LEDGER_BYTES_MAX) {
		fclose(in);
		return NULL;
	}
	text = malloc((size_t)st.st_size + 1);
	len = text ? fread(text, 1, (size_t)st.st_size, in) : 0;
	fclose(in);
	if (!text)
		return NULL;
	text[len] = '\0';
	return strncmp(text, stamp, strlen(stamp)) == 0 ? take_ptr(text) : NULL;
}

static size_t count_lines(const char *text)
{
	size_t n = 0;

	for (; text && (text = strchr(text, '\n')); text++)
		n++;
	return n;
}

/* Opens for appending; one that does not count is begun anew. */
static int open_file(struct ledger *ledger, const char *dir, struct err *err)
{
	int rc;

	if (mkdir(dir, 0700) < 0 && errno != EEXIST)
		return err_set(err, -errno, "cannot make the run directory %s: %s", dir,
			       strerror(errno));
	ledger->fd = open(
		ledger->path,
		O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC | (ledger->content ? 0 : O_TRUNC), 0600);
	if (ledger->fd < 0)
		return err_set(err, -errno, "cannot open the ledger %s: %s", ledger->path,
			       strerror(errno));
	if (ledger->content) /* a kill may have cut the last line: no later one makes it whole */
		rc = ftruncate(ledger->fd, strrchr(ledger->content, '\n') + 1 - ledger->content);
	else
		rc = (int)write(ledger->fd, ledger->stamp, strlen(ledger->stamp));
	if (rc < 0)
		return err_set(err, -errno, "cannot write the ledger %s: %s", ledger->path,
			       strerror(errno));
	return 0;
}

int ledger_open(const char *dir, bool read_only, struct ledger **ret_ledger, struct err *err)
{
	struct ledger *ledger = calloc(1, sizeof(*ledger));
	int rc;

	if (!ledger)
		return err_set(err, -ENOMEM, "no memory for the ledger");
	ledger->fd = -1;
	ledger->read_only = read_only;
	if (asprintf(&ledger->path, "%s/ipvs.ledger", dir) < 0)
		ledger->path = NULL;
	if (asprintf(&ledger->tmp_path, "%s/ipvs.ledger.new", dir) < 0)
		ledger->tmp_path = NULL;
	rc = ledger->path && ledger->tmp_path ? make_stamp(ledger->stamp, sizeof(ledger->stamp))
					      : -ENOMEM;
	if (rc < 0) {
		ledger_close(ledger);
		return err_set(err, rc, "cannot set up the ledger: %s", strerror(-rc));
	}
	ledger->content = load(ledger->path, ledger->stamp);
	ledger->lines = count_lines(ledger->content);
	rc = read_only ? 0 : open_file(ledger, dir, err);
	if (rc < 0) {
		ledger_close(ledger);
		return rc;
	}
	*ret_ledger = ledger;
	return 0;
}

void ledger_close(struct ledger *ledger)
{
	if (!ledger)
		return;
	if (ledger->fd >= 0)
		close(ledger->fd);
	free(ledger->path);
	free(ledger->tmp_path);
	free(ledger->content);
	free(ledger->noted);
	free(ledger);
}

bool ledger_was_there(const struct ledger *ledger)
{
	return ledger && ledger->content;
}

static bool parse_key(const char *addr, unsigned port, const char *proto, struct fe_key *ret_key)
{
	struct ip_addr vip;
	uint8_t number = proto_parse(proto);

	if (addr_parse(addr, &vip) < 0 || !number || port > UINT16_MAX)
		return false;
	*ret_key = fe_key_make(&vip, (uint16_t)port, number);
	return true;
}

static void read_drain(const char *line, const struct ledger_reader *reader)
{
	char vip[ADDR_TEXT_MAX], proto[8], ep[ADDR_TEXT_MAX];
	unsigned port, ep_port;
	uint64_t deadline_ms;
	struct ip_addr addr;
	struct fe_key key;

	if (sscanf(line, "drain %45s %u %7s %45s %u %" SCNu64, vip, &port, proto, ep, &ep_port,
		   &deadline_ms) == 6 &&
	    ep_port <= UINT16_MAX && parse_key(vip, port, proto, &key) &&
	    addr_parse(ep, &addr) == 0)
		reader->drain(reader->arg, &key, &addr, (uint16_t)ep_port, deadline_ms);
}

static void read_line(const char *line, const struct ledger_reader *reader)
{
	char vip[ADDR_TEXT_MAX], proto[8];
	uint64_t hash, digest;
	unsigned port;
	struct fe_key key;
	int family;

	if (sscanf(line, "own %45s %u %7s", vip, &port, proto) == 3 &&
	    parse_key(vip, port, proto, &key))
		reader->own(reader->arg, &key);
	else if (sscanf(line, "free %45s %u %7s", vip, &port, proto) == 3 &&
		 parse_key(vip, port, proto, &key))
		reader->disown(reader->arg, &key);
	else if (sscanf(line, "rules %d %" SCNx64 " %" SCNx64, &family, &hash, &digest) == 3)
		reader->rules(reader->arg, family, hash, digest);
	else
		read_drain(line, reader);
}

void ledger_read(const struct ledger *ledger, const struct ledger_reader *reader)
{
	const char *line = ledger ? ledger->content : NULL;
	char text[256];

	while (line && *line) {
		size_t len = strcspn(line, "\n");
		bool whole = line[len] == '\n'; /* a kill may have cut the last line */

		if (whole && len < sizeof(text)) {
			memcpy(text, line, len);
			text[len] = '\0';
			read_line(text, reader);
		}
		line += len + whole;
	}
}

static void note(struct ledger *ledger, const char *fmt, ...) PRINTF(2, 3);
static void note(struct ledger *ledger, const char *fmt, ...)
{
	va_list args;
	int len;

	if (!ledger || ledger->read_only ||
	    util_grow((void **)&ledger->noted, &ledger->noted_cap, ledger->noted_len + 256, 1) < 0)
		return;
	va_start(args, fmt);
	len = vsnprintf(ledger->noted + ledger->noted_len, 256, fmt, args);
	va_end(args);
	ledger->noted_len += len > 0 && len < 256 ? (size_t)len : 0;
	ledger->lines++;
}

void ledger_own(struct ledger *ledger, const struct fe_key *key)
{
	char vip[ADDR_TEXT_MAX];

	note(ledger, "own %s %u %s\n", addr_format(&key->vip, vip), key->port,
	     proto_name(key->proto));
}

void ledger_disown(struct ledger *ledger, const struct fe_key *key)
{
	char vip[ADDR_TEXT_MAX];

	note(ledger, "free %s %u %s\n", addr_format(&key->vip, vip), key->port,
	     proto_name(key->proto));
}

void ledger_drain(struct ledger *ledger, const struct fe_key *key, const struct ip_addr *addr,
		  uint16_t port, uint64_t deadline_ms)
{
	char vip[ADDR_TEXT_MAX], ep[ADDR_TEXT_MAX];

	note(ledger, "drain %s %u %s %s %u %" PRIu64 "\n", addr_format(&key->vip, vip), key->port,
	     proto_name(key->proto), addr_format(addr, ep), port, deadline_ms);
}

void ledger_rules(struct ledger *ledger, int family, uint64_t text_hash, uint64_t digest)
{
	note(ledger, "rules %d %" PRIx64 " %" PRIx64 "\n", family, text_hash, digest);
}

static int write_all(int fd, const char *text, size_t len)
{
	while (len) {
		ssize_t n = write(fd, text, len);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -errno;
		text += n;
		len -= (size_t)n;
	}
	return 0;
}

int ledger_flush(struct ledger *ledger, struct err *err)
{
	bool was_broken;
	int rc;

	if (!ledger || !ledger->noted_len)
		return 0;
	was_broken = ledger->broken;
	rc = write_all(ledger->fd, ledger->noted, ledger->noted_len);
	ledger->noted_len = 0;
	ledger->broken = rc < 0;
	if (rc < 0 && !was_broken)
		return err_set(err, rc,
			       "cannot write the ledger %s: %s; after a restart drains may end "
			       "late and unfinished virtual servers may be left",
			       ledger->path, strerror(-rc));
	return 0;
}

bool ledger_wants_rewrite(const struct ledger *ledger, size_t live_lines)
{
	return ledger && !ledger->read_only && ledger->lines > 2 * live_lines + LEDGER_SLACK_LINES;
}

int ledger_rewrite_begin(struct ledger *ledger)
{
	ledger->noted_len = 0;
	ledger->lines = 1;
	note(ledger, "%s", ledger->stamp);
	return 0;
}

int ledger_rewrite_end(struct ledger *ledger, struct err *err)
{
	int fd = open(ledger->tmp_path, O_WRONLY | O_CREAT | O_TRUNC | O_APPEND | O_CLOEXEC, 0600);
	int rc = fd < 0 ? -errno : write_all(fd, ledger->noted, ledger->noted_len);

	ledger->noted_len = 0;
	if (rc == 0 && rename(ledger->tmp_path, ledger->path) < 0)
		rc = -errno;
	if (rc < 0) {
		if (fd >= 0)
			close(fd);
		return err_set(err, rc, "cannot rewrite the ledger %s: %s", ledger->path,
			       strerror(-rc));
	}
	close(ledger->fd);
	ledger->fd = fd;
	return 0;
}

void ledger_forget(struct ledger *ledger)
{
	if (ledger && !ledger->read_only)
		unlink(ledger->path);
}
