/* SPDX-License-Identifier: Apache-2.0 */
/* From a command line to an exit code: opens the kernel, reads what was asked for, hands it to the
 * format object by object. Speaks to the world through struct vipctl_env alone. */
#include <errno.h>
#include <string.h>

#include "vipctl.h"

struct run {
	const struct vipctl_env *env;
	struct report report;
	struct nl_conn *conn;
	struct ipvs_reader reader;
	const char *failed; /* in front of the reason; "" */
};

/* What ipvsadm says of an error number of a listing command. */
static const char *error_text(int rc)
{
	switch (-rc) {
	case ESRCH:
		return "No such service";
	case EPERM:
		return "Permission denied (you must be root)";
	case EINVAL:
		return "Invalid operation.  Possibly wrong module version, address not unicast, "
		       "...";
	case ENOPROTOOPT:
		return "Protocol not available";
	case ENOMEM:
		return "Memory allocation problem";
	case EOPNOTSUPP:
		return "Operation not supported with IPv6";
	case EAFNOSUPPORT:
		return "Operation not supported with specified address family";
	case EMSGSIZE:
		return "Module is wrong version";
	case EBADMSG:
		return "The kernel's answer cannot be understood";
	case EIO:
		return "The kernel's answer breaks off";
	default:
		return strerror(-rc);
	}
}

static void close_kernel(struct run *run)
{
	ipvs_reader_done(&run->reader);
	nl_conn_close(run->conn);
	run->conn = NULL;
}

static int open_kernel(struct run *run)
{
	int rc = run->env->connect(run->env->ctx, &run->conn);

	if (rc == 0)
		rc = ipvs_reader_init(&run->reader, run->conn);
	if (rc == 0)
		rc = ipvs_read_info(&run->reader, &run->report.info);
	if (rc < 0)
		close_kernel(run);
	return rc;
}

/* Before the command line is looked at, as ipvsadm does: who may not read learns nothing else. */
static int start(struct run *run)
{
	const struct vipctl_env *env = run->env;
	int rc = open_kernel(run);

	if (rc < 0 && env->load_module && env->load_module(env->ctx))
		rc = open_kernel(run);
	if (rc < 0)
		fprintf(env->err,
			"Can't initialize ipvs: %s\n"
			"Are you sure that IP Virtual Server is built in the kernel or as "
			"module?\n",
			error_text(rc == -ENOENT ? -ENOPROTOOPT : rc));
	return rc;
}

/* ---- what is read ---- */

static int show_services(struct run *run, const struct ipvs_services *services)
{
	struct report *r = &run->report;
	struct ipvs_dests dests = {0};
	int rc = 0;

	for (size_t i = 0; i < services->n && rc == 0 && !ferror(r->out); i++) {
		const struct ipvs_service *svc = &services->items[i];

		rc = ipvs_read_dests(&run->reader, &svc->key, &dests);
		if (rc == 0 && !r->request->nosort)
			rc = ipvs_sort_dests(&dests);
		if (rc == 0) {
			r->request->format->service(r, svc, dests.items, dests.n);
			r->n++;
		}
	}
	ipvs_dests_done(&dests);
	return rc;
}

static void begin(struct report *r)
{
	if (r->request->format->begin)
		r->request->format->begin(r);
}

static int show_table(struct run *run)
{
	const struct request *request = run->report.request;
	struct ipvs_services services = {0};
	struct ipvs_service one;
	int rc;

	if (request->one) {
		rc = ipvs_read_service(&run->reader, &request->key, &one);
		services = (struct ipvs_services){.items = &one, .n = 1};
	} else {
		rc = ipvs_read_services(&run->reader, &services);
		if (rc == 0 && !request->nosort)
			rc = ipvs_sort_services(&services);
	}
	if (rc == 0) {
		begin(&run->report);
		rc = show_services(run, &services);
	}
	if (!request->one)
		ipvs_services_done(&services);
	return rc;
}

static int show_timeouts(struct run *run)
{
	struct ipvs_timeouts timeouts;
	int rc = ipvs_read_timeouts(&run->reader, &timeouts);

	if (rc < 0)
		return rc;
	begin(&run->report);
	run->report.request->format->timeouts(&run->report, &timeouts);
	return 0;
}

static int show_daemons(struct run *run)
{
	struct ipvs_daemon daemons[2];
	size_t n;
	int rc = ipvs_read_daemons(&run->reader, daemons, &n);

	if (rc < 0)
		return rc;
	begin(&run->report);
	for (size_t i = 0; i < n; i++, run->report.n++)
		run->report.request->format->daemon(&run->report, &daemons[i]);
	return 0;
}

static int show_conns(struct run *run)
{
	struct report *r = &run->report;
	FILE *in = run->env->open_conns(run->env->ctx);
	char *line = NULL;
	size_t size = 0;
	int rc = 0;

	if (!in) {
		run->failed = "cannot open the connection table: ";
		return -errno;
	}
	begin(r);
	for (bool title = true; rc == 0 && !ferror(r->out); title = false) {
		struct ipvs_conn conn;

		if (getline(&line, &size, in) < 0)
			break;
		if (title)
			continue;
		rc = ipvs_conn_parse(line, &conn);
		if (rc == 0) {
			r->request->format->conn(r, &conn);
			r->n++;
		}
	}
	if (rc == 0 && ferror(in))
		rc = -EIO;
	free(line);
	fclose(in);
	return rc;
}

static int show(struct run *run)
{
	switch (run->report.request->subject) {
	case SUBJECT_CONNS:
		return show_conns(run);
	case SUBJECT_TIMEOUTS:
		return show_timeouts(run);
	case SUBJECT_DAEMONS:
		return show_daemons(run);
	case SUBJECT_TABLE:
		break;
	}
	return show_table(run);
}

static int answer(struct run *run, const struct request *request)
{
	const struct vipctl_env *env = run->env;
	struct report *r = &run->report;
	int rc, end = 0;

	r->request = request;
	r->names = request->numeric ? NULL : env->names;
	rc = show(run);
	if (request->format->end)
		end = request->format->end(r, rc == 0);
	if (rc == 0)
		rc = end;
	if (rc < 0)
		fprintf(env->err, "%s%s\n", run->failed, error_text(rc));
	return rc < 0 ? EXIT_LIST : EXIT_DONE;
}

/* A full disk shows when the last of the output is written, if not before. */
static int flush(const struct vipctl_env *env, const char *argv0)
{
	errno = 0;
	if (fflush(env->out) == 0 && !ferror(env->out))
		return EXIT_DONE;
	fprintf(env->err, "%s: write error: %s\n", argv0, strerror(errno ? errno : EIO));
	return EXIT_LIST;
}

int vipctl_run(int argc, char **argv, const struct vipctl_env *env)
{
	struct run run = {.env = env, .failed = "", .report = {.out = env->out}};
	struct request request;
	int exit_code = EXIT_USAGE;

	/* ipvsadm itself wants its kernel even for this */
	bool help = argc > 1 && options_is_help(argv[1]) && !options_as_ipvsadm(argv[0]);

	if (help || start(&run) == 0) {
		exit_code = options_parse(argc, argv, env, &request);
		if (exit_code < 0)
			exit_code = answer(&run, &request);
	}
	close_kernel(&run);
	if (flush(env, argv[0]) != EXIT_DONE && exit_code == EXIT_DONE)
		exit_code = EXIT_LIST;
	return exit_code;
}
