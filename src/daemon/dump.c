/* SPDX-License-Identifier: Apache-2.0 */
/* See dump.h. */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "daemon/dump.h"
#include "log.h"

static int write_file(const char *path, dump_fn fn, void *ctx)
{
	cleanup_free char *temporary = NULL;
	FILE *out;
	int fd, rc;

	if (asprintf(&temporary, "%s.new", path) < 0) {
		temporary = NULL;
		return -ENOMEM;
	}
	fd = open(temporary, O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW | O_CLOEXEC, 0600);
	out = fd < 0 ? NULL : fdopen(fd, "w");
	if (!out)
		return -errno;
	fn(ctx, out);
	rc = ferror(out) ? -EIO : 0;
	if (fclose(out) != 0 || (rc == 0 && rename(temporary, path) < 0))
		rc = -errno;
	return rc;
}

static void write_as_copy(const char *path, dump_fn fn, void *ctx)
{
	int rc = write_file(path, fn, ctx);

	if (rc < 0)
		log_error("state not written", "file=%s error=\"%s\"", path, strerror(-rc));
	else
		log_info("state written", "file=%s", path);
	_exit(0);
}

/* A lock is held by whoever has the descriptor, and of two who read one socket each gets a part:
 * the copy has none of ours, from before we go on. */
static void close_files(void)
{
	if (close_range(3, ~0U, 0) == 0)
		return;
	for (int fd = 3; fd < 65536; fd++) /* Linux before 5.9 */
		close(fd);
}

/* The copy is a grandchild, so that nobody has to wait for its end. */
int dump_write(const char *path, dump_fn fn, void *ctx)
{
	sigset_t all, before;
	pid_t child;
	int error;

	sigfillset(&all); /* the copy must not run the loop's handlers: they write to its pipe */
	pthread_sigmask(SIG_SETMASK, &all, &before);
	child = fork();
	error = errno;
	if (child != 0)
		pthread_sigmask(SIG_SETMASK, &before, NULL);
	if (child < 0)
		return -error;
	if (child == 0) {
		pid_t copy;

		close_files();
		copy = fork();
		if (copy == 0)
			write_as_copy(path, fn, ctx);
		_exit(copy < 0);
	}
	while (waitpid(child, NULL, 0) < 0 && errno == EINTR)
		;
	return 0;
}
