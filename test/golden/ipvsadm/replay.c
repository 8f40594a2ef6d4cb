/* SPDX-License-Identifier: Apache-2.0 */
/* Runs vipctl over recorded answers of kernels: replay DIR [FORMAT OUT]
 *
 * DIR holds cases as `pack` lays them out. Without FORMAT each view of each case is compared, byte
 * for byte, with what ipvsadm printed: stdout, stderr, exit code; so are the number of requests and
 * family look-ups. With FORMAT (json, prometheus) what vipctl prints in it goes to OUT/CASE:VIEW.
 */
#include <arpa/inet.h>
#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "vipctl.h"
#include "wire.h"

#define ARGS_MAX 32

struct view {
	const char *dir, *name;
	char hosts[600], services[600], conns[600];
	struct wire wire;
};

struct outcome {
	char *out, *err;
	size_t out_len, err_len;
	int exit_code;
};

/* ---- files ---- */

/* With a NUL behind it; NULL if it is not there. */
static char *slurp(const char *path, size_t *ret_len)
{
	FILE *in = fopen(path, "r");
	struct stat st;
	char *data = NULL;

	*ret_len = 0;
	if (in && fstat(fileno(in), &st) == 0 && (data = calloc(1, (size_t)st.st_size + 1)))
		*ret_len = fread(data, 1, (size_t)st.st_size, in);
	if (in)
		fclose(in);
	return data;
}

static char *slurp_view(const struct view *v, const char *before, const char *after,
			size_t *ret_len)
{
	char path[600];

	snprintf(path, sizeof(path), "%s/%s%s%s", v->dir, before, v->name, after);
	return slurp(path, ret_len);
}

/* ---- names: the case's /etc/hosts and /etc/services ---- */

static bool find_name(const char *path, const char *key, int key_word, char *buf, size_t size)
{
	FILE *in = fopen(path, "r");
	char line[512], words[2][256];
	bool found = false;

	while (in && !found && fgets(line, sizeof(line), in))
		if (sscanf(line, "%255s %255s", words[0], words[1]) == 2 &&
		    strcmp(words[key_word], key) == 0) {
			snprintf(buf, size, "%.*s", (int)size - 1, words[!key_word]);
			found = true;
		}
	if (in)
		fclose(in);
	return found;
}

static bool case_host(void *ctx, const struct ip_addr *addr, char *buf, size_t size)
{
	const struct view *v = ctx;
	char text[ADDR_TEXT_MAX];

	inet_ntop(addr->family, addr->bytes, text, sizeof(text));
	return find_name(v->hosts, text, 0, buf, size);
}

static int no_host(void *ctx, const char *name, struct ip_addr *ret_addr)
{
	(void)ctx;
	(void)name;
	(void)ret_addr;
	return -ENOENT;
}

static bool case_port(void *ctx, uint16_t port, uint16_t proto, char *buf, size_t size)
{
	const struct view *v = ctx;
	const char *word = proto == IPPROTO_TCP    ? "tcp"
			   : proto == IPPROTO_UDP  ? "udp"
			   : proto == IPPROTO_SCTP ? "sctp"
						   : "none";
	char key[16];

	snprintf(key, sizeof(key), "%u/%s", port, word);
	return find_name(v->services, key, 1, buf, size);
}

/* ---- a run ---- */

static int connect_wire(void *ctx, struct nl_conn **ret_conn)
{
	struct view *v = ctx;
	int rc = nl_conn_open_wire(&wire_ops, &v->wire, ret_conn);

	return rc < 0 ? rc : nl_conn_bind_family(*ret_conn, "IPVS", NULL);
}

static FILE *open_conns(void *ctx)
{
	return fopen(((struct view *)ctx)->conns, "r");
}

static void run(struct view *v, int argc, char **argv, struct outcome *o)
{
	struct ipvs_names names = {.host = case_host, .port = case_port, .ctx = v};
	struct vipctl_env env = {.out = open_memstream(&o->out, &o->out_len),
				 .err = open_memstream(&o->err, &o->err_len),
				 .names = &names,
				 .find_host = no_host,
				 .ctx = v,
				 .connect = connect_wire,
				 .open_conns = open_conns};

	o->exit_code = vipctl_run(argc, argv, &env);
	fclose(env.out);
	fclose(env.err);
}

static int split_args(char *text, const char *program, char **argv)
{
	int argc = 0;

	argv[argc++] = (char *)(uintptr_t)program;
	for (char *word = strtok(text, " "); word && argc < ARGS_MAX - 1; word = strtok(NULL, " "))
		argv[argc++] = word;
	argv[argc] = NULL;
	return argc;
}

static bool equal(const struct view *v, const char *what, const char *after, const char *got,
		  size_t len)
{
	size_t want_len;
	cleanup_free char *want = slurp_view(v, "", after, &want_len);

	if (len == want_len && memcmp(got, want ? want : "", len) == 0)
		return true;
	printf("# %s/%s: %s differs\n# wanted:\n%s# got:\n%s", v->dir, v->name, what,
	       want ? want : "", got);
	return false;
}

static bool compare(struct view *v, const struct outcome *o, int exit_code)
{
	bool good = equal(v, "stdout", "", o->out, o->out_len);

	good = equal(v, "stderr", ".err", o->err, o->err_len) && good;
	if (o->exit_code != exit_code) {
		printf("# %s/%s: exit code %d, not %d\n", v->dir, v->name, o->exit_code, exit_code);
		good = false;
	}
	if (v->wire.lookups != 1 || !wire_is_used_up(&v->wire)) {
		printf("# %s/%s: %u family look-ups in %u requests, answers %s\n", v->dir, v->name,
		       v->wire.lookups, v->wire.requests,
		       wire_is_used_up(&v->wire) ? "used up" : "left");
		good = false;
	}
	return good;
}

/* One view; `line`: its name, exit code and arguments. True if all is as recorded. */
static bool replay_view(const char *dir, char *line, const char *format, const char *out_dir)
{
	struct view v = {.dir = dir, .name = strsep(&line, "\t")};
	const char *code = strsep(&line, "\t");
	char *argv[ARGS_MAX + 2], output[] = "-o";
	int argc = split_args(line, format ? "vipctl" : "ipvsadm", argv);
	struct outcome o = {0};
	size_t len;
	cleanup_free char *rx = slurp_view(&v, "nl/", ".rx", &len);
	bool good = true;

	snprintf(v.hosts, sizeof(v.hosts), "%s/hosts", dir);
	snprintf(v.services, sizeof(v.services), "%s/../services", dir);
	snprintf(v.conns, sizeof(v.conns), "%s/%s.proc_net_ip_vs_conn", dir, v.name);
	wire_init(&v.wire, rx, len);
	if (format) {
		argv[argc++] = output;
		argv[argc++] = (char *)(uintptr_t)format;
		argv[argc] = NULL;
	}
	run(&v, argc, argv, &o);
	if (!format) {
		good = compare(&v, &o, atoi(code));
	} else if (o.exit_code == 0) {
		char path[900];
		FILE *out;

		snprintf(path, sizeof(path), "%s/%s:%s", out_dir, strrchr(dir, '/') + 1, v.name);
		out = fopen(path, "w");
		good = out && fwrite(o.out, 1, o.out_len, out) == o.out_len && fclose(out) == 0;
	}
	free(o.out);
	free(o.err);
	return good;
}

static bool replay_case(const char *dir, const char *format, const char *out_dir, int *ret_views)
{
	char path[600], line[1024];
	FILE *in;
	bool good = true;

	snprintf(path, sizeof(path), "%s/views.tsv", dir);
	in = fopen(path, "r");
	*ret_views = 0;
	if (!in)
		return false;
	for (; fgets(line, sizeof(line), in); ++*ret_views) {
		line[strcspn(line, "\n")] = '\0';
		good = replay_view(dir, line, format, out_dir) && good;
	}
	fclose(in);
	return good && *ret_views > 0;
}

static int is_case(const struct dirent *entry)
{
	return entry->d_name[0] != '.' && entry->d_type == DT_DIR;
}

int main(int argc, char **argv)
{
	struct dirent **cases;
	int n, failed = 0;

	if (argc != 2 && argc != 4)
		return 2;
	n = scandir(argv[1], &cases, is_case, alphasort);
	if (n <= 0)
		return 2;
	printf("1..%d\n", n);
	for (int i = 0; i < n; i++) {
		char dir[512];
		bool good;
		int views;

		snprintf(dir, sizeof(dir), "%s/%.255s", argv[1], cases[i]->d_name);
		good = replay_case(dir, argc == 4 ? argv[2] : NULL, argv[argc - 1], &views);
		failed += !good;
		printf("%sok %d - %s, %d views\n", good ? "" : "not ", i + 1, cases[i]->d_name,
		       views);
		free(cases[i]);
	}
	free(cases);
	return failed > 0;
}
