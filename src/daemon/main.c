/* SPDX-License-Identifier: Apache-2.0 */
/* vipd: the node daemon. Reads the command line, sees to it that it runs alone, and hands over to
 * sync, which does the rest. */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "daemon/options.h"
#include "daemon/sync.h"
#include "heap.h"
#include "log.h"

/* Two daemons in one network namespace would undo each other's work. The lock goes with the
 * process, however it ends. Returns the descriptor, kept open for life. */
static int lock_run_dir(const char *dir, struct err *err)
{
	cleanup_free char *path = NULL;
	int fd;

	if (mkdir(dir, 0700) < 0 && errno != EEXIST)
		return err_set(err, -errno, "cannot make the run directory %s: %s (see --run-dir)",
			       dir, strerror(errno));
	if (asprintf(&path, "%s/vipd.lock", dir) < 0)
		return err_set(err, -ENOMEM, "no memory");
	fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	if (fd < 0)
		return err_set(err, -errno, "cannot open the lock %s: %s (see --run-dir)", path,
			       strerror(errno));
	if (flock(fd, LOCK_EX | LOCK_NB) < 0) {
		close(fd);
		return err_set(err, -EBUSY,
			       "another vipd holds %s: stop it first, or give this one a --run-dir "
			       "of its own if it is in another network namespace",
			       path);
	}
	return fd;
}

/* What we start (nft, iptables) is in sbin, which a service manager's PATH may lack. */
static void widen_path(void)
{
	cleanup_free char *path = NULL;
	const char *old = getenv("PATH");

	if (asprintf(&path, "%s:/usr/local/sbin:/usr/sbin:/sbin:/usr/bin:/bin",
		     old ? old : "/usr/local/bin") > 0)
		setenv("PATH", path, 1);
}

static int cannot_start(const struct err *err)
{
	char text[2 * sizeof(err->text)];

	log_error("cannot start", "error=%s", log_quote(err->text, text, sizeof(text)));
	return 1;
}

static int run_loop(const struct options *options)
{
	struct err err = {0};
	struct sync *sync;
	uv_loop_t loop;
	int exit_code;

	uv_loop_init(&loop);
	if (sync_open(&loop, options, &sync, &err) < 0) {
		exit_code = cannot_start(&err);
	} else {
		exit_code = sync_run(sync);
		sync_close(sync);
	}
	uv_loop_close(&loop);
	return exit_code;
}

static int run(const struct options *options)
{
	struct err err = {0};
	int lock, exit_code;

	if (options->print)
		return run_loop(options);
	lock = lock_run_dir(options->run_dir, &err);
	if (lock < 0)
		return cannot_start(&err);
	exit_code = run_loop(options);
	close(lock);
	return exit_code;
}

int main(int argc, char **argv)
{
	struct options options;
	struct err err = {0};

	if (options_parse(argc, argv, &options, &err) < 0) {
		fprintf(stderr, "vipd: %s\n", err.text);
		return 2;
	}
	if (options.help) {
		options_help(stdout);
		return fflush(stdout) == 0 ? 0 : 1;
	}
	if (options.version) {
		puts("vipd " VIPD_VERSION);
		return 0;
	}
	options.release = VIPD_VERSION;
	log_set_level(options.verbosity > 0 ? LOG_DEBUG : options.verbosity ? LOG_WARN : LOG_INFO);
	signal(SIGPIPE, SIG_IGN);
	heap_set_up();
	widen_path();
	return run(&options);
}
