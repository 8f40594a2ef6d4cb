/* SPDX-License-Identifier: Apache-2.0 */
/* vipctl where the recorded runs of ipvsadm do not go: a kernel that cannot be had, answers that
 * break off or have an entry twice, output that cannot be written, and what is vipctl's own. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>
#include <errno.h>
#include <string.h>
#include <arpa/inet.h>
#include <linux/genetlink.h>
#include <linux/ip_vs.h>

#include "conn.h"
#include "vipctl.h"
#include "wire.h"

#define FAMILY       0x1c
#define RECORDED_MAX 65536

/* A kernel whose answers are put together here. */
struct world {
	uint8_t recorded[RECORDED_MAX];
	size_t len;
	uint32_t seq; /* of the answer being put together */
	struct wire wire;
	struct nl_conn conn; /* lends a batch its family */
	struct nl_batch *batch;
	int connect_rc, connects, loads;
	bool load_helps;
	const char *out_path; /* NULL: into `out` */
	char *conns, *out, *err;
	int exit_code;
};

static void add_datagram(struct world *w, const void *data, size_t len)
{
	uint32_t len32 = (uint32_t)len;

	assert_true(w->len + len + sizeof(len32) <= sizeof(w->recorded));
	memcpy(w->recorded + w->len, &len32, sizeof(len32));
	memcpy(w->recorded + w->len + sizeof(len32), data, len);
	w->len += sizeof(len32) + len;
}

static void add_batch(struct world *w)
{
	struct nlmsghdr *msg = batch_only_message(w->batch);

	assert_non_null(msg);
	msg->nlmsg_seq = w->seq;
	add_datagram(w, msg, msg->nlmsg_len);
	nl_batch_reset(w->batch);
}

static void add_done(struct world *w)
{
	const struct {
		struct nlmsghdr head;
		int code;
	} done = {{.nlmsg_len = sizeof(done), .nlmsg_type = NLMSG_DONE, .nlmsg_seq = w->seq}, 0};

	add_datagram(w, &done, sizeof(done));
	w->seq++;
}

static void add_info(struct world *w)
{
	const struct genlmsghdr head = {.cmd = IPVS_CMD_SET_INFO, .version = 1};

	nl_batch_begin(w->batch, FAMILY, 0, &head, sizeof(head));
	nl_put_u32(w->batch, IPVS_INFO_ATTR_VERSION, 0x010201);
	nl_put_u32(w->batch, IPVS_INFO_ATTR_CONN_TAB_SIZE, 4096);
	assert_int_equal(nl_batch_end(w->batch), 0);
	add_batch(w);
	w->seq++;
}

static struct ip_addr addr4(uint32_t number)
{
	uint32_t number_be = htonl(number);

	return addr_make(AF_INET, &number_be);
}

static struct ipvs_service service(uint32_t addr)
{
	struct ip_addr vip = addr4(addr);
	struct ipvs_service svc;

	memset(&svc, 0, sizeof(svc));
	svc.key = ipvs_key_make(&vip, 80, IPPROTO_TCP);
	strcpy(svc.sched, "rr");
	svc.netmask = UINT32_MAX;
	return svc;
}

static void add_service(struct world *w, uint32_t addr)
{
	struct ipvs_service svc = service(addr);

	assert_int_equal(ipvs_put_service(w->batch, IPVS_CMD_NEW_SERVICE, &svc), 0);
	add_batch(w);
}

static void add_dest(struct world *w, uint32_t addr)
{
	struct ipvs_service svc = service(1);
	struct ipvs_dest dest = {.addr = addr4(addr), .port = 8080, .weight = 1};

	assert_int_equal(ipvs_put_dest(w->batch, IPVS_CMD_NEW_DEST, &svc.key, &dest), 0);
	add_batch(w);
}

static int setup(void **state)
{
	struct world *w = calloc(1, sizeof(*w));

	if (!w)
		return -1;
	w->conn.family_type = FAMILY;
	w->batch = nl_batch_new(&w->conn);
	w->seq = 1;
	add_info(w);
	*state = w;
	return w->batch ? 0 : -1;
}

static int teardown(void **state)
{
	struct world *w = *state;

	nl_batch_free(w->batch);
	free(w->out);
	free(w->err);
	free(w);
	return 0;
}

/* ---- a run ---- */

static int connect_wire(void *ctx, struct nl_conn **ret_conn)
{
	struct world *w = ctx;

	w->connects++;
	if (w->connect_rc < 0)
		return w->connect_rc;
	return nl_conn_open_wire(&wire_ops, &w->wire, ret_conn);
}

static bool load_module(void *ctx)
{
	struct world *w = ctx;

	w->loads++;
	if (w->load_helps)
		w->connect_rc = 0;
	return w->load_helps;
}

static FILE *open_conns(void *ctx)
{
	struct world *w = ctx;

	errno = ENOENT;
	return w->conns ? fmemopen(w->conns, strlen(w->conns), "r") : NULL;
}

static int no_host(void *ctx, const char *name, struct ip_addr *ret_addr)
{
	(void)ctx;
	(void)name;
	(void)ret_addr;
	return -ENOENT;
}

static bool odd_host(void *ctx, const struct ip_addr *addr, char *buf, size_t size)
{
	(void)ctx;
	(void)addr;
	return snprintf(buf, size, "h\"\\\x01\xc3") > 0;
}

static bool no_port(void *ctx, uint16_t port, uint16_t proto, char *buf, size_t size)
{
	(void)ctx;
	(void)port;
	(void)proto;
	(void)buf;
	(void)size;
	return false;
}

/* Words separated by blanks, the first the program's name. */
static void run(struct world *w, const char *command)
{
	const struct ipvs_names names = {.host = odd_host, .port = no_port};
	cleanup_free char *words = strdup(command);
	char *argv[20], *rest = words;
	size_t out_len, err_len;
	int argc = 0;
	struct vipctl_env env = {.names = &names,
				 .ctx = w,
				 .find_host = no_host,
				 .connect = connect_wire,
				 .load_module = load_module,
				 .open_conns = open_conns};

	while (rest && argc < 19)
		argv[argc++] = strsep(&rest, " ");
	argv[argc] = NULL;
	free(w->out);
	free(w->err);
	w->out = w->err = NULL;
	env.out = w->out_path ? fopen(w->out_path, "w") : open_memstream(&w->out, &out_len);
	env.err = open_memstream(&w->err, &err_len);
	wire_init(&w->wire, w->recorded, w->len);
	w->exit_code = vipctl_run(argc, argv, &env);
	fclose(env.out);
	fclose(env.err);
}

/* ---- a kernel that cannot be had ---- */

static void test_no_ipvs(void **state)
{
	struct world *w = *state;

	w->connect_rc = -ENOENT;
	run(w, "vipctl -Ln");
	assert_int_equal(w->exit_code, EXIT_USAGE);
	assert_string_equal(w->out, "");
	assert_string_equal(w->err, "Can't initialize ipvs: Protocol not available\n"
				    "Are you sure that IP Virtual Server is built in the kernel "
				    "or as module?\n");
	assert_int_equal(w->loads, 1);
	assert_int_equal(w->connects, 1);
}

static void test_module_is_loaded(void **state)
{
	struct world *w = *state;

	w->connect_rc = -ENOENT;
	w->load_helps = true;
	add_done(w);
	run(w, "vipctl -Ln");
	assert_int_equal(w->exit_code, EXIT_DONE);
	assert_int_equal(w->connects, 2);
}

static void test_no_permission(void **state)
{
	struct world *w = *state;

	w->connect_rc = -EPERM;
	run(w, "ipvsadm -h");
	assert_int_equal(w->exit_code, EXIT_USAGE);
	assert_non_null(strstr(w->err, "Permission denied (you must be root)\n"));
	run(w, "/usr/sbin/vipctl --help");
	assert_int_equal(w->exit_code, EXIT_DONE);
}

/* ---- answers ---- */

static void test_nothing_twice(void **state)
{
	struct world *w = *state;

	add_service(w, 2);
	add_service(w, 1);
	add_service(w, 2);
	add_done(w);
	for (int i = 0; i < 2; i++) {
		add_dest(w, 8);
		add_dest(w, 9);
		add_dest(w, 8);
		add_dest(w, 7);
		add_done(w);
	}
	run(w, "vipctl -Sn --sort");
	assert_string_equal(w->out, "-A -t 0.0.0.1:80 -s rr\n"
				    "-a -t 0.0.0.1:80 -r 0.0.0.7:8080 -m -w 1\n"
				    "-a -t 0.0.0.1:80 -r 0.0.0.8:8080 -m -w 1\n"
				    "-a -t 0.0.0.1:80 -r 0.0.0.9:8080 -m -w 1\n"
				    "-A -t 0.0.0.2:80 -s rr\n"
				    "-a -t 0.0.0.2:80 -r 0.0.0.7:8080 -m -w 1\n"
				    "-a -t 0.0.0.2:80 -r 0.0.0.8:8080 -m -w 1\n"
				    "-a -t 0.0.0.2:80 -r 0.0.0.9:8080 -m -w 1\n");
	run(w, "vipctl -Ln --nosort --thresholds");
	assert_non_null(strstr(w->out, "TCP  0.0.0.2:80 rr\n  -> 0.0.0.8:8080 "));
	assert_null(strstr(strstr(w->out, "0.0.0.2:80") + 1, "0.0.0.2:80"));
}

/* Between two families the left one's says how much is compared: these two are equal. */
static void test_equal_ones_stay_in_order(void **state)
{
	static const struct in6_addr long_addr = {.s6_addr = {0x20, 0x01, 0x0d, 0xb8}};
	struct ipvs_service svc = service(1);
	struct ipvs_dest dest = {.addr = addr_make(AF_INET6, &long_addr), .port = 8080};

	for (int v6_first = 0; v6_first < 2; v6_first++) {
		struct world *w = *state;

		w->len = 0;
		add_info(w);
		add_service(w, 1);
		add_done(w);
		if (!v6_first)
			add_dest(w, 0x20010db8);
		assert_int_equal(ipvs_put_dest(w->batch, IPVS_CMD_NEW_DEST, &svc.key, &dest), 0);
		add_batch(w);
		if (v6_first)
			add_dest(w, 0x20010db8);
		add_done(w);
		run(w, "vipctl -Ln");
		assert_true((strstr(w->out, "32.1.13.184") < strstr(w->out, "2001:db8::")) ==
			    !v6_first);
	}
}

static void test_answer_breaks_off(void **state)
{
	struct world *w = *state;

	add_service(w, 1);
	run(w, "vipctl -Ln");
	assert_int_equal(w->exit_code, EXIT_LIST);
	assert_string_equal(w->out, "");
	assert_string_equal(w->err, "The kernel's answer breaks off\n");
}

static void test_answer_is_cut(void **state)
{
	struct world *w = *state;
	uint32_t cut;
	size_t at = w->len;

	add_service(w, 1);
	memcpy(&cut, w->recorded + at, sizeof(cut));
	cut -= 8;
	memcpy(w->recorded + at, &cut, sizeof(cut));
	w->len -= 8;
	run(w, "vipctl -L -o prometheus");
	assert_int_equal(w->exit_code, EXIT_LIST);
	assert_string_equal(w->out, "");
	assert_string_equal(w->err, "The kernel's answer cannot be understood\n");
}

static void test_no_connection_table(void **state)
{
	struct world *w = *state;

	run(w, "vipctl -Lc");
	assert_int_equal(w->exit_code, EXIT_LIST);
	assert_string_equal(w->err,
			    "cannot open the connection table: No such file or directory\n");
}

static void test_connection_that_is_none(void **state)
{
	struct world *w = *state;
	char table[] = "Pro FromIP\nTCP 0A000001 0050 0A000002 1F90 0A000003 10000 X 7\n";

	w->conns = table;
	run(w, "vipctl -Lcn");
	assert_int_equal(w->exit_code, EXIT_LIST);
	assert_string_equal(w->err, "The kernel's answer cannot be understood\n");
}

/* ---- output ---- */

static void test_write_error(void **state)
{
	struct world *w = *state;

	add_done(w);
	w->out_path = "/dev/full";
	run(w, "vipctl -Ln");
	assert_int_equal(w->exit_code, EXIT_LIST);
	assert_string_equal(w->err, "vipctl: write error: No space left on device\n");
}

static void test_json_strings(void **state)
{
	struct world *w = *state;

	add_service(w, 1);
	add_done(w);
	add_done(w);
	run(w, "vipctl -L -o json");
	assert_int_equal(w->exit_code, EXIT_DONE);
	assert_non_null(strstr(w->out, "\"host_name\":\"h\\\"\\\\\\u0001\\ufffd\""));
}

/* ---- vipctl's own ---- */

static void test_format_option(void **state)
{
	struct world *w = *state;

	add_done(w);
	run(w, "vipctl -o json");
	assert_int_equal(w->exit_code, EXIT_DONE);
	assert_non_null(strstr(w->out, "\"services\":[]}"));
	run(w, "vipctl -L --output=xml");
	assert_int_equal(w->exit_code, EXIT_USAGE);
	assert_string_equal(w->err,
			    "illegal output format `xml' specified: text, json or prometheus\n");
	run(w, "vipctl -L --daemon -o prometheus");
	assert_int_equal(w->exit_code, EXIT_USAGE);
	assert_string_equal(w->err, "the prometheus format shows services only\n");
	run(w, "vipctl -L -n -o");
	assert_string_equal(w->err, "Illegal 'ops' option with the 'list' command\n");
	run(w, "ipvsadm -L -o json");
	assert_string_equal(w->err, "unexpected argument json\n");
	run(w, "ipvsadm -o json");
	assert_int_equal(w->exit_code, EXIT_COMMAND);
}

static void test_changes_are_refused(void **state)
{
	static const char *const commands[] = {"-A -t 1.2.3.4:80",
					       "-E",
					       "-D",
					       "-C",
					       "-R",
					       "-a",
					       "-e",
					       "-d",
					       "-Z",
					       "--set 1 2 3",
					       "--start-daemon",
					       "--stop-daemon"};
	char command[64];

	for (size_t i = 0; i < ARRAY_SIZE(commands); i++) {
		struct world *w = *state;

		snprintf(command, sizeof(command), "ipvsadm %s", commands[i]);
		run(w, command);
		assert_int_equal(w->exit_code, EXIT_USAGE);
		assert_string_equal(w->out, "");
		assert_string_equal(strchr(w->err, '\n'), "\n");
		assert_non_null(strstr(
			w->err, "would change the kernel's state, and vipctl only shows it"));
	}
}

static void test_help_fits_a_screen(void **state)
{
	struct world *w = *state;
	int lines = 0;

	run(w, "vipctl --help");
	assert_int_equal(w->exit_code, EXIT_DONE);
	for (char *line = w->out; *line; line = strchr(line, '\n') + 1, lines++)
		assert_true(strcspn(line, "\n") <= 80);
	assert_in_range(lines, 10, 24);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
	const struct CMUnitTest tests[] = {
		TEST(test_no_ipvs),
		TEST(test_module_is_loaded),
		TEST(test_no_permission),
		TEST(test_nothing_twice),
		TEST(test_equal_ones_stay_in_order),
		TEST(test_answer_breaks_off),
		TEST(test_answer_is_cut),
		TEST(test_no_connection_table),
		TEST(test_connection_that_is_none),
		TEST(test_write_error),
		TEST(test_json_strings),
		TEST(test_format_option),
		TEST(test_changes_are_refused),
		TEST(test_help_fits_a_screen),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
