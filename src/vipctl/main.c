/* SPDX-License-Identifier: Apache-2.0 */
/* vipctl's main: the running kernel, the system's resolver, stdout. */
#include <signal.h>
#include <spawn.h>
#include <sys/wait.h>
#include <linux/ip_vs.h>

#include "vipctl.h"

extern char **environ;

/* The kernel loads the module itself when it is asked for the family; where it cannot, modprobe
 * says why, as for ipvsadm. */
static bool load_module(void *ctx)
{
	char *argv[] = {(char[]){"/sbin/modprobe"}, (char[]){"--"}, (char[]){"ip_vs"}, NULL};
	int status;
	pid_t child;

	(void)ctx;
	return posix_spawn(&child, argv[0], NULL, NULL, argv, environ) == 0 &&
	       waitpid(child, &status, 0) == child && status == 0;
}

static int connect_kernel(void *ctx, struct nl_conn **ret_conn)
{
	int rc = nl_conn_open_reader(NETLINK_GENERIC, ret_conn, NULL);

	(void)ctx;
	return rc < 0 ? rc : nl_conn_bind_family(*ret_conn, IPVS_GENL_NAME, NULL);
}

static FILE *open_conns(void *ctx)
{
	(void)ctx;
	return fopen("/proc/net/ip_vs_conn", "re");
}

int main(int argc, char **argv)
{
	struct vipctl_env env = {.out = stdout,
				 .err = stderr,
				 .names = &names_system,
				 .find_host = names_find_host,
				 .connect = connect_kernel,
				 .load_module = load_module,
				 .open_conns = open_conns};

	/* a reader that goes away ends us, whatever whoever started us does with the signal */
	signal(SIGPIPE, SIG_DFL);
	setvbuf(stdout, NULL, _IOFBF, 64 * 1024);
	return vipctl_run(argc, argv, &env);
}
