/* SPDX-License-Identifier: Apache-2.0 */
/* The command line: ipvsadm's options, in its order, with its errors. popt reads it, as it does for
 * ipvsadm, so that what popt accepts and how it complains is the same.
 *
 * Rules:
 *
 *  O1 The first option is the command. What would change the table is refused at once.
 *  O2 Then each option: given twice is an error, then its value is looked at, in the order given.
 *  O3 Then the options that do not go with the command, in the order of enum option.
 *  O4 Then what does not go together.
 *  O5 -o FORMAT, --output=FORMAT are vipctl's own. By the name of ipvsadm, and without a format, -o
 *     is --ops. As the first option it means -L. */
#include <arpa/inet.h>
#include <errno.h>
#include <limits.h>
#include <popt.h>
#include <stdarg.h>
#include <string.h>

#include "vipctl.h"

#define PERSISTENT_SEC_MAX (31L * 24 * 3600)
#define SCHED_FLAGS_MAX    128 /* with NUL: ipvsadm cuts what is longer */

/* In the order in which they are checked (O3). */
enum option {
	OPT_NUMERIC,
	OPT_CONNECTION,
	OPT_SERVICE,
	OPT_SCHEDULER,
	OPT_PERSISTENT,
	OPT_NETMASK,
	OPT_SERVER,
	OPT_FORWARD,
	OPT_WEIGHT,
	OPT_U_THRESHOLD,
	OPT_L_THRESHOLD,
	OPT_MCAST_INTERFACE,
	OPT_TIMEOUT,
	OPT_DAEMON,
	OPT_STATS,
	OPT_RATE,
	OPT_THRESHOLDS,
	OPT_PERSISTENT_CONN,
	OPT_NOSORT,
	OPT_SYNCID,
	OPT_EXACT,
	OPT_OPS,
	OPT_PE,
	OPT_SCHED_FLAGS,
	OPT_MCAST_GROUP,
	OPT_MCAST_PORT,
	OPT_MCAST_TTL,
	OPT_SYNC_MAXLEN,
	OPT_TUN_INFO,
	OPT_TUN_TYPE,
	OPT_TUN_PORT,
	OPT_TUN_NOCSUM,
	OPT_TUN_CSUM,
	OPT_TUN_REMCSUM,
	OPT_COUNT
};

/* What ipvsadm calls them in its messages; the commands likewise. */
static const char *const option_names[OPT_COUNT] = {
	[OPT_NUMERIC] = "numeric",
	[OPT_CONNECTION] = "connection",
	[OPT_SERVICE] = "service-address",
	[OPT_SCHEDULER] = "scheduler",
	[OPT_PERSISTENT] = "persistent",
	[OPT_NETMASK] = "netmask",
	[OPT_SERVER] = "real-server",
	[OPT_FORWARD] = "forwarding-method",
	[OPT_WEIGHT] = "weight",
	[OPT_U_THRESHOLD] = "u-threshold",
	[OPT_L_THRESHOLD] = "l-threshold",
	[OPT_MCAST_INTERFACE] = "mcast-interface",
	[OPT_TIMEOUT] = "timeout",
	[OPT_DAEMON] = "daemon",
	[OPT_STATS] = "stats",
	[OPT_RATE] = "rate",
	[OPT_THRESHOLDS] = "thresholds",
	[OPT_PERSISTENT_CONN] = "persistent-conn",
	[OPT_NOSORT] = "nosort",
	[OPT_SYNCID] = "syncid",
	[OPT_EXACT] = "exact",
	[OPT_OPS] = "ops",
	[OPT_PE] = "pe",
	[OPT_SCHED_FLAGS] = "sched-flags",
	[OPT_MCAST_GROUP] = "mcast-group",
	[OPT_MCAST_PORT] = "mcast-port",
	[OPT_MCAST_TTL] = "mcast-ttl",
	[OPT_SYNC_MAXLEN] = "sync-maxlen",
	[OPT_TUN_INFO] = "tun-info",
	[OPT_TUN_TYPE] = "tun-type",
	[OPT_TUN_PORT] = "tun-port",
	[OPT_TUN_NOCSUM] = "tun-nocsum",
	[OPT_TUN_CSUM] = "tun-csum",
	[OPT_TUN_REMCSUM] = "tun-remcsum",
};

#define BIT(option)  (1ULL << (option))
#define LIST_ONE_OF  (BIT(OPT_CONNECTION) | BIT(OPT_SERVICE) | BIT(OPT_TIMEOUT) | BIT(OPT_DAEMON))
#define LIST_NUMBERS (BIT(OPT_STATS) | BIT(OPT_RATE) | BIT(OPT_THRESHOLDS))
#define LIST_MAY                                                                    \
	(LIST_ONE_OF | LIST_NUMBERS | BIT(OPT_NUMERIC) | BIT(OPT_PERSISTENT_CONN) | \
	 BIT(OPT_NOSORT) | BIT(OPT_SYNCID) | BIT(OPT_EXACT) | BIT(OPT_TUN_INFO))

enum command { CMD_NONE, CMD_LIST, CMD_SAVE };

/* A command line being read. */
struct parse {
	const struct vipctl_env *env;
	struct request *request;
	poptContext popt;
	enum command command;
	uint64_t given; /* BIT(enum option) */
	struct ipvs_key key;
	char sched[IPVS_SCHED_MAX];
	char sched_flags[SCHED_FLAGS_MAX];
	int exit_code; /* -1: so far so good */
};

static void PRINTF(3, 4) fail(struct parse *p, int exit_code, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	vfprintf(p->env->err, format, args);
	va_end(args);
	fputc('\n', p->env->err);
	p->exit_code = exit_code;
}

/* ---- values ---- */

static void take_service(struct parse *p, const char *value, uint16_t proto)
{
	p->key.proto = proto;
	p->key.af = AF_INET;
	if (value_address(p->env, value, proto, &p->key.addr, &p->key.port) < 0)
		fail(p, EXIT_USAGE, "illegal virtual server address[:port] specified");
	else
		p->key.af = p->key.addr.family;
}

static void take_tcp(struct parse *p, const char *value)
{
	take_service(p, value, IPPROTO_TCP);
}

static void take_udp(struct parse *p, const char *value)
{
	take_service(p, value, IPPROTO_UDP);
}

static void take_sctp(struct parse *p, const char *value)
{
	take_service(p, value, IPPROTO_SCTP);
}

static void take_fwmark(struct parse *p, const char *value)
{
	long mark;

	p->key = (struct ipvs_key){.af = AF_INET};
	if (value_number(value, 1, UINT32_MAX, &mark) < 0)
		fail(p, EXIT_USAGE, "invalid fwmark value `%s' specified", value);
	else
		p->key.fwmark = (uint32_t)mark;
}

static void take_ipv6(struct parse *p, const char *value)
{
	(void)value;
	if (!p->key.fwmark)
		fail(p, EXIT_USAGE, "-6 used before -f\n");
	p->key.af = AF_INET6;
}

static void take_scheduler(struct parse *p, const char *value)
{
	int n = snprintf(p->sched, sizeof(p->sched), "%s", value);

	(void)n; /* the kernel's names are shorter */
}

static void take_sched_flags(struct parse *p, const char *value)
{
	int n = snprintf(p->sched_flags, sizeof(p->sched_flags), "%s", value);

	(void)n;
}

static void take_persistent(struct parse *p, const char *value)
{
	long seconds;

	if (value && value_number(value, 1, PERSISTENT_SEC_MAX, &seconds) < 0)
		fail(p, EXIT_USAGE, "invalid timeout value `%s' specified", value);
}

static void take_netmask(struct parse *p, const char *value)
{
	long bits = strtol(value, NULL, 10);
	struct ip_addr mask;

	if (p->key.af == AF_INET6 && (bits < 1 || bits > 128))
		fail(p, EXIT_USAGE, "illegal ipv6 netmask specified");
	else if (p->key.af != AF_INET6 && value_address4(p->env, value, &mask) < 0)
		fail(p, EXIT_USAGE, "illegal virtual server persistent mask specified");
}

static void take_server(struct parse *p, const char *value)
{
	struct ip_addr addr;
	uint16_t port;

	if (value_address(p->env, value, p->key.proto, &addr, &port) < 0)
		fail(p, EXIT_USAGE, "illegal real server address[:port] specified");
}

static void take_mcast_group(struct parse *p, const char *value)
{
	uint8_t bytes[16];
	bool v6 = strchr(value, ':') != NULL;

	if (inet_pton(v6 ? AF_INET6 : AF_INET, value, bytes) != 1 ||
	    (v6 ? bytes[0] != 0xff : (bytes[0] & 0xf0) != 0xe0))
		fail(p, EXIT_USAGE, "invalid IPv%d mcast-group `%s'", v6 ? 6 : 4, value);
}

static void take_tun_type(struct parse *p, const char *value)
{
	if (strcmp(value, "ipip") != 0 && strcmp(value, "gue") != 0 && strcmp(value, "gre") != 0)
		fail(p, EXIT_USAGE, "illegal tunnel type specified");
}

static void take_format(struct parse *p, const char *value)
{
	static const struct format *const formats[] = {&format_text, &format_json,
						       &format_prometheus};

	for (size_t i = 0; i < ARRAY_SIZE(formats); i++) {
		if (strcmp(formats[i]->name, value) == 0) {
			p->request->format = formats[i];
			return;
		}
	}
	fail(p, EXIT_USAGE, "illegal output format `%s' specified: text, json or prometheus",
	     value);
}

/* ---- the options ---- */

enum kind {
	KIND_OPTION,
	KIND_UNCOUNTED,
	KIND_FORMAT,
	KIND_LIST,
	KIND_SAVE,
	KIND_CHANGE,
	KIND_HELP,
	KIND_VERSION
};

struct spec {
	const char *name;
	char letter;
	enum kind kind;
	unsigned arg; /* POPT_ARG_... */
	enum option option;
	void (*take)(struct parse *p, const char *value); /* NULL: any value will do, or ... */
	long min, max;                                    /* ... a number in this range, else */
	const char *illegal;                              /* "illegal %s specified" */
};

#define COMMAND(name, letter, kind)                          \
	{                                                    \
		name, letter, kind, POPT_ARG_NONE, OPT_COUNT \
	}
#define FLAG(name, letter, option)                               \
	{                                                        \
		name, letter, KIND_OPTION, POPT_ARG_NONE, option \
	}
#define VALUE(name, letter, option, take)                                \
	{                                                                \
		name, letter, KIND_OPTION, POPT_ARG_STRING, option, take \
	}
#define NUMBER(name, letter, option, min, max, illegal)                                     \
	{                                                                                   \
		name, letter, KIND_OPTION, POPT_ARG_STRING, option, NULL, min, max, illegal \
	}

static const struct spec specs[] = {
	COMMAND("list", 'L', KIND_LIST),
	COMMAND("list", 'l', KIND_LIST),
	COMMAND("save", 'S', KIND_SAVE),
	COMMAND("add-service", 'A', KIND_CHANGE),
	COMMAND("edit-service", 'E', KIND_CHANGE),
	COMMAND("delete-service", 'D', KIND_CHANGE),
	COMMAND("clear", 'C', KIND_CHANGE),
	COMMAND("restore", 'R', KIND_CHANGE),
	COMMAND("add-server", 'a', KIND_CHANGE),
	COMMAND("edit-server", 'e', KIND_CHANGE),
	COMMAND("delete-server", 'd', KIND_CHANGE),
	COMMAND("zero", 'Z', KIND_CHANGE),
	COMMAND("set", '\0', KIND_CHANGE),
	COMMAND("start-daemon", '\0', KIND_CHANGE),
	COMMAND("stop-daemon", '\0', KIND_CHANGE),
	COMMAND("help", 'h', KIND_HELP),
	COMMAND("version", 'v', KIND_VERSION),
	VALUE("tcp-service", 't', OPT_SERVICE, take_tcp),
	VALUE("udp-service", 'u', OPT_SERVICE, take_udp),
	VALUE("sctp-service", '\0', OPT_SERVICE, take_sctp),
	VALUE("fwmark-service", 'f', OPT_SERVICE, take_fwmark),
	{"ipv6", '6', KIND_UNCOUNTED, POPT_ARG_NONE, OPT_COUNT, take_ipv6},
	VALUE("scheduler", 's', OPT_SCHEDULER, take_scheduler),
	{"persistent", 'p', KIND_OPTION, POPT_ARG_STRING | POPT_ARGFLAG_OPTIONAL, OPT_PERSISTENT,
	 take_persistent},
	VALUE("netmask", 'M', OPT_NETMASK, take_netmask),
	VALUE("real-server", 'r', OPT_SERVER, take_server),
	FLAG("masquerading", 'm', OPT_FORWARD),
	FLAG("ipip", 'i', OPT_FORWARD),
	FLAG("gatewaying", 'g', OPT_FORWARD),
	NUMBER("weight", 'w', OPT_WEIGHT, 0, INT_MAX, "weight"),
	NUMBER("u-threshold", 'x', OPT_U_THRESHOLD, 0, INT_MAX, "u_threshold"),
	NUMBER("l-threshold", 'y', OPT_L_THRESHOLD, 0, INT_MAX, "l_threshold"),
	FLAG("numeric", 'n', OPT_NUMERIC),
	FLAG("connection", 'c', OPT_CONNECTION),
	VALUE("mcast-interface", '\0', OPT_MCAST_INTERFACE, NULL),
	NUMBER("syncid", '\0', OPT_SYNCID, 0, 255, "syncid"),
	FLAG("timeout", '\0', OPT_TIMEOUT),
	FLAG("daemon", '\0', OPT_DAEMON),
	FLAG("stats", '\0', OPT_STATS),
	FLAG("rate", '\0', OPT_RATE),
	FLAG("thresholds", '\0', OPT_THRESHOLDS),
	FLAG("persistent-conn", '\0', OPT_PERSISTENT_CONN),
	FLAG("nosort", '\0', OPT_NOSORT),
	{"sort", '\0', KIND_UNCOUNTED, POPT_ARG_NONE, OPT_COUNT, NULL},
	FLAG("exact", 'X', OPT_EXACT),
	FLAG("ops", 'o', OPT_OPS),
	VALUE("pe", '\0', OPT_PE, NULL),
	VALUE("sched-flags", 'b', OPT_SCHED_FLAGS, take_sched_flags),
	FLAG("tun-info", '\0', OPT_TUN_INFO),
	VALUE("tun-type", '\0', OPT_TUN_TYPE, take_tun_type),
	NUMBER("tun-port", '\0', OPT_TUN_PORT, 1, 65535, "tunnel port"),
	FLAG("tun-nocsum", '\0', OPT_TUN_NOCSUM),
	FLAG("tun-csum", '\0', OPT_TUN_CSUM),
	FLAG("tun-remcsum", '\0', OPT_TUN_REMCSUM),
	NUMBER("sync-maxlen", '\0', OPT_SYNC_MAXLEN, 1, 65507, "sync-maxlen"),
	VALUE("mcast-group", '\0', OPT_MCAST_GROUP, take_mcast_group),
	NUMBER("mcast-port", '\0', OPT_MCAST_PORT, 1, 65535, "mcast-port"),
	NUMBER("mcast-ttl", '\0', OPT_MCAST_TTL, 1, 255, "mcast-ttl"),
	/* vipctl's own: the last two, absent by the name of ipvsadm */
	{"output", '\0', KIND_FORMAT, POPT_ARG_STRING, OPT_OPS, take_format},
	{NULL, 'o', KIND_FORMAT, POPT_ARG_STRING | POPT_ARGFLAG_OPTIONAL, OPT_OPS, take_format},
};
#define OWN_SPECS 2

bool options_as_ipvsadm(const char *argv0)
{
	const char *slash = strrchr(argv0, '/');

	return strcmp(slash ? slash + 1 : argv0, "ipvsadm") == 0;
}

/* popt's own table: the value of an option is its place in ours, and 1. */
static void fill_table(struct poptOption table[ARRAY_SIZE(specs) + 1], bool as_ipvsadm)
{
	size_t n = ARRAY_SIZE(specs) - (as_ipvsadm ? OWN_SPECS : 0);

	memset(table, 0, (ARRAY_SIZE(specs) + 1) * sizeof(*table));
	for (size_t i = 0; i < n; i++) {
		bool ours =
			!as_ipvsadm && specs[i].option == OPT_OPS && specs[i].kind == KIND_OPTION;

		table[i].longName = specs[i].name;
		table[i].shortName = ours ? '\0' : specs[i].letter;
		table[i].argInfo = specs[i].arg;
		table[i].val = (int)i + 1;
	}
}

/* ---- checks ---- */

static bool flag_fits(const char *flag, size_t len, const char *sched, bool *ret_known)
{
	static const char *const scheds[] = {"sh", "mh", ""};

	for (size_t i = 0; i < ARRAY_SIZE(scheds); i++) {
		for (unsigned bit = 0; bit < 3; bit++) {
			const char *name = ipvs_sched_flag(scheds[i], bit);

			if (strlen(name) != len || strncmp(name, flag, len) != 0)
				continue;
			*ret_known = true;
			return !*scheds[i] || strcmp(sched, scheds[i]) == 0;
		}
	}
	*ret_known = false;
	return false;
}

static void check_sched_flags(struct parse *p)
{
	const char *flag = p->sched_flags;

	while (*flag && p->exit_code < 0) {
		size_t len = strcspn(flag, ",");
		bool known, fits = flag_fits(flag, len, p->sched, &known);

		if (len && !fits)
			fail(p, EXIT_USAGE, "%s scheduler flag `%.*s'",
			     known ? "incompatible" : "invalid", (int)len, flag);
		flag += len + (flag[len] == ',');
	}
}

static void check_options(struct parse *p)
{
	const char *command = p->command == CMD_LIST ? "list" : "save";
	uint64_t may = p->command == CMD_LIST ? LIST_MAY : BIT(OPT_NUMERIC);
	const char *first = NULL;

	for (unsigned i = 0; i < OPT_COUNT && p->exit_code < 0; i++) {
		if (!(p->given & BIT(i)))
			continue;
		if (!(may & BIT(i)))
			fail(p, EXIT_USAGE, "Illegal '%s' option with the '%s' command",
			     option_names[i], command);
		else if ((LIST_ONE_OF & BIT(i)) && first)
			fail(p, EXIT_USAGE,
			     "The option '%s' conflicts with the '%s' option in the '%s' command",
			     option_names[i], first, command);
		else if (LIST_ONE_OF & BIT(i))
			first = option_names[i];
	}
}

static void check_together(struct parse *p)
{
	uint64_t lines = p->given & (BIT(OPT_TIMEOUT) | BIT(OPT_DAEMON));

	if (((lines || (p->given & BIT(OPT_CONNECTION))) && (p->given & LIST_NUMBERS)) ||
	    (lines && (p->given & BIT(OPT_PERSISTENT_CONN))))
		fail(p, EXIT_USAGE, "options conflicts in the list command");
}

/* ---- reading ---- */

static void try_help(struct parse *p, const char *argv0)
{
	fail(p, EXIT_COMMAND, "Try `%s -h' or '%s --help' for more information.", argv0, argv0);
}

static void take_option(struct parse *p, const struct spec *spec, const char *value)
{
	enum kind kind = spec->kind;
	long number;

	if (kind == KIND_FORMAT && value) {
		spec->take(p, value);
		return;
	}
	if (kind != KIND_UNCOUNTED && (p->given & BIT(spec->option))) {
		fail(p, EXIT_USAGE, "multiple '%s' options specified", option_names[spec->option]);
		return;
	}
	if (kind != KIND_UNCOUNTED)
		p->given |= BIT(spec->option);
	if (kind != KIND_FORMAT && spec->take)
		spec->take(p, value);
	else if (spec->illegal && value_number(value, spec->min, spec->max, &number) < 0)
		fail(p, EXIT_USAGE, "illegal %s specified", spec->illegal);
}

static const struct spec *next_spec(struct parse *p, int *ret_code)
{
	*ret_code = poptGetNextOpt(p->popt);
	return *ret_code > 0 ? &specs[*ret_code - 1] : NULL;
}

static void take_command(struct parse *p, const struct spec *spec, const char *argv0)
{
	cleanup_free char *value = poptGetOptArg(p->popt);

	switch (spec ? spec->kind : KIND_OPTION) {
	case KIND_LIST:
		p->command = CMD_LIST;
		return;
	case KIND_SAVE:
		p->command = CMD_SAVE;
		return;
	case KIND_CHANGE:
		fail(p, EXIT_USAGE,
		     "%s: '%s' would change the kernel's state, and vipctl only shows it", argv0,
		     spec->name);
		return;
	case KIND_HELP:
		help_print(p->env->out, argv0);
		p->exit_code = EXIT_DONE;
		return;
	case KIND_VERSION:
		help_print_version(p->env->out, argv0);
		p->exit_code = EXIT_DONE;
		return;
	case KIND_FORMAT:
		if (value) {
			p->command = CMD_LIST;
			take_option(p, spec, value);
			return;
		}
		break;
	case KIND_OPTION:
	case KIND_UNCOUNTED:
		break;
	}
	try_help(p, argv0);
}

static void take_options(struct parse *p)
{
	const struct spec *spec;
	int code;

	while (p->exit_code < 0 && (spec = next_spec(p, &code)) != NULL) {
		cleanup_free char *value = poptGetOptArg(p->popt);

		if (spec->kind >= KIND_LIST)
			fail(p, EXIT_USAGE, "invalid option `%s'",
			     poptBadOption(p->popt, POPT_BADOPTION_NOALIAS));
		else
			take_option(p, spec, value);
	}
	if (p->exit_code < 0 && code < -1)
		fail(p, EXIT_COMMAND, "%s: %s", poptBadOption(p->popt, POPT_BADOPTION_NOALIAS),
		     poptStrerror(code));
}

static void check_leftover(struct parse *p)
{
	const char *word = poptGetArg(p->popt);

	if (word)
		fail(p, EXIT_USAGE, "unexpected argument %s", word);
}

static void check_format(struct parse *p)
{
	const struct request *request = p->request;
	bool shows[] = {[SUBJECT_TABLE] = request->format->service,
			[SUBJECT_CONNS] = request->format->conn,
			[SUBJECT_TIMEOUTS] = request->format->timeouts,
			[SUBJECT_DAEMONS] = request->format->daemon};

	if (!shows[request->subject])
		fail(p, EXIT_USAGE, "the %s format shows services only", request->format->name);
}

static void fill_request(struct parse *p)
{
	struct request *request = p->request;
	uint64_t given = p->given;

	request->subject = given & BIT(OPT_CONNECTION) ? SUBJECT_CONNS
			   : given & BIT(OPT_TIMEOUT)  ? SUBJECT_TIMEOUTS
			   : given & BIT(OPT_DAEMON)   ? SUBJECT_DAEMONS
						       : SUBJECT_TABLE;
	request->view = given & BIT(OPT_STATS)             ? IPVS_VIEW_STATS
			: given & BIT(OPT_RATE)            ? IPVS_VIEW_RATE
			: given & BIT(OPT_THRESHOLDS)      ? IPVS_VIEW_THRESHOLDS
			: given & BIT(OPT_PERSISTENT_CONN) ? IPVS_VIEW_PERSISTENT
			: given & BIT(OPT_TUN_INFO)        ? IPVS_VIEW_TUNNEL
							   : IPVS_VIEW_TABLE;
	request->one = given & BIT(OPT_SERVICE);
	request->key = p->key;
	request->numeric = given & BIT(OPT_NUMERIC);
	request->exact = given & BIT(OPT_EXACT);
	request->nosort = given & BIT(OPT_NOSORT);
	request->engine = given & BIT(OPT_PERSISTENT_CONN);
	if (p->command == CMD_SAVE && request->format == &format_text)
		request->format = &format_rules;
}

static void parse(struct parse *p, const char *argv0)
{
	int code;

	take_command(p, next_spec(p, &code), argv0);
	if (p->exit_code < 0)
		take_options(p);
	if (p->exit_code < 0)
		check_leftover(p);
	if (p->exit_code < 0)
		check_sched_flags(p);
	if (p->exit_code < 0)
		check_options(p);
	if (p->exit_code < 0)
		check_together(p);
	if (p->exit_code < 0)
		fill_request(p);
	if (p->exit_code < 0)
		check_format(p);
}

int options_parse(int argc, char **argv, const struct vipctl_env *env, struct request *ret_request)
{
	struct poptOption table[ARRAY_SIZE(specs) + 1];
	struct parse p = {.env = env, .request = ret_request, .exit_code = -1};

	*ret_request = (struct request){.format = &format_text};
	if (argc == 1)
		return -1;
	fill_table(table, options_as_ipvsadm(argv[0]));
	p.popt = poptGetContext("ipvsadm", argc, (const char **)argv, table, 0);
	if (!p.popt) {
		fail(&p, EXIT_USAGE, "%s: no memory", argv[0]);
		return p.exit_code;
	}
	parse(&p, argv[0]);
	poptFreeContext(p.popt);
	return p.exit_code;
}

bool options_is_help(const char *word)
{
	static const char *const words[] = {"-h", "--help", "-v", "--version"};

	for (size_t i = 0; i < ARRAY_SIZE(words); i++)
		if (strcmp(words[i], word) == 0)
			return true;
	return false;
}
