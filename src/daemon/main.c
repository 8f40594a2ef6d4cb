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

/* Who ends us for want of memory ends the node's Services' upkeep. */
static void set_oom_score(int score)
{
	FILE *file = fopen("/proc/self/oom_score_adj", "we");
	bool written = file && fprintf(file, "%d", score) > 0;

	if (!file || fclose(file) != 0 || !written)
		log_info("--oom-score-adj cannot be set", "value=%d error=\"%s\"", score,
			 strerror(errno));
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
	if (!options->once && !options->cleanup) {
		log_limit_lines();
		set_oom_score(options->oom_score_adj);
	}
	exit_code = run_loop(options);
	close(lock);
	return exit_code;
}

/* What is in force, to a file or stdout. */
static int print_config(const struct kubeproxy *kp, const char *path)
{
	FILE *out = path ? fopen(path, "we") : stdout;

	if (out)
		kubeproxy_print_yaml(kp, out);
	if (out && (path ? fclose(out) : fflush(out)) == 0)
		return 0;
	fprintf(stderr, "vipd: cannot write %s: %s\n", path ? path : "stdout", strerror(errno));
	return 1;
}

static void tell_warnings(const struct kubeproxy *kp, bool as_log)
{
	char text[1024];

	for (size_t i = 0; i < kp->n_warnings; i++) {
		if (as_log)
			log_warn("configuration", "what=%s",
				 log_quote(kp->warnings[i], text, sizeof(text)));
		else
			fprintf(stderr, "vipd: warning: %s\n", kp->warnings[i]);
	}
}

static int wrong_usage(const struct kubeproxy *kp, const struct err *err)
{
	tell_warnings(kp, false);
	for (size_t i = 0; i < kp->n_errors; i++)
		fprintf(stderr, "vipd: %s\n", kp->errors[i]);
	if (err->code)
		fprintf(stderr, "vipd: %s\n", err->text);
	return 2;
}

static int run_with(struct options *options, struct kubeproxy *kp)
{
	bool only_config = options->check_config || options->write_config_to;

	options->release = VIPD_VERSION;
	options->kp = kp;
	log_set_verbosity(options->verbosity);
	tell_warnings(kp, !only_config);
	if (only_config)
		return print_config(kp, options->write_config_to);
	signal(SIGPIPE, SIG_IGN);
	heap_set_up();
	widen_path();
	return run(options);
}

int main(int argc, char **argv)
{
	struct options options;
	struct kubeproxy kp;
	struct err err = {0};
	int exit_code;

	if (kubeproxy_init(&kp) < 0)
		return 1;
	if (options_load(argc, argv, &kp, &options, &err) < 0) {
		exit_code = wrong_usage(&kp, &err);
	} else if (options.help) {
		options_help(stdout);
		exit_code = fflush(stdout) == 0 ? 0 : 1;
	} else if (options.version) {
		puts("vipd " VIPD_VERSION);
		exit_code = 0;
	} else {
		exit_code = run_with(&options, &kp);
	}
	kubeproxy_done(&kp);
	return exit_code;
}
