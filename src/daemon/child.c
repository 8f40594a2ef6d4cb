/* SPDX-License-Identifier: Apache-2.0 */
/* See child.h. A child is over when it has exited and both its outputs are closed.
 *
 * Started by posix_spawn, not uv_spawn: that forks, which copies the page tables of a daemon with
 * all its objects in memory, and afterwards every page it writes to faults once more. */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "daemon/child.h"

enum { PIPE_IN, PIPE_OUT, PIPE_ERR, PIPE_COUNT };

struct child {
	pid_t pid;
	uv_signal_t ended; /* SIGCHLD */
	uv_pipe_t pipes[PIPE_COUNT];
	uv_timer_t timer;
	uv_write_t write;
	char *input;
	struct text {
		char *bytes;
		size_t len, cap;
	} out, errors;
	int status;
	bool timed_out, exited;
	int open_outputs;
	int open_handles;
	child_done_fn done;
	void *arg;
};

static void child_free(struct child *child)
{
	free(child->input);
	free(child->out.bytes);
	free(child->errors.bytes);
	free(child);
}

static int text_room(struct text *text, size_t more)
{
	if (text->len + more > CHILD_OUTPUT_MAX)
		return -ENOSPC;
	return util_grow((void **)&text->bytes, &text->cap, text->len + more + 1, 1);
}

/* What the child wrote: its output, then its errors, so that neither cuts into the other. */
static void join_outputs(struct child *child)
{
	if (child->errors.len && text_room(&child->out, child->errors.len) == 0) {
		memcpy(child->out.bytes + child->out.len, child->errors.bytes, child->errors.len);
		child->out.len += child->errors.len;
	}
	if (child->out.bytes)
		child->out.bytes[child->out.len] = '\0';
}

/* All handles are closed: nothing of the loop's refers to the child any more. */
static void handle_closed(uv_handle_t *handle)
{
	struct child *child = handle->data;
	struct child_result result;

	if (--child->open_handles)
		return;
	result.status = child->timed_out ? -1 : child->status;
	join_outputs(child);
	result.output = child->out.bytes ? child->out.bytes : "";
	result.output_len = child->out.len;
	child->done(child->arg, &result);
	child_free(child);
}

static void close_handle(uv_handle_t *handle)
{
	if (!uv_is_closing(handle))
		uv_close(handle, handle_closed);
}

static void finish_if_over(struct child *child)
{
	if (!child->exited || child->open_outputs)
		return;
	close_handle((uv_handle_t *)&child->ended);
	close_handle((uv_handle_t *)&child->timer);
	for (int i = 0; i < PIPE_COUNT; i++)
		close_handle((uv_handle_t *)&child->pipes[i]);
}

/* Some child has ended: this one? */
static void on_sigchld(uv_signal_t *handle, int number)
{
	struct child *child = handle->data;
	int status;

	(void)number;
	if (child->exited || waitpid(child->pid, &status, WNOHANG) != child->pid)
		return;
	child->status = WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status);
	child->exited = true;
	finish_if_over(child);
}

static void on_deadline(uv_timer_t *timer)
{
	struct child *child = timer->data;

	child->timed_out = true;
	if (!child->exited)
		kill(child->pid, SIGKILL);
	child->open_outputs = 0; /* a grandchild may hold them open */
	finish_if_over(child);
}

static struct text *text_of(const void *stream)
{
	const uv_handle_t *handle = stream;
	struct child *child = handle->data;

	return stream == (const void *)&child->pipes[PIPE_ERR] ? &child->errors : &child->out;
}

static void give_buffer(uv_handle_t *handle, size_t suggested, uv_buf_t *ret_buf)
{
	struct text *text = text_of(handle);

	(void)suggested;
	*ret_buf = text_room(text, 65536) == 0 ? uv_buf_init(text->bytes + text->len, 65536)
					       : uv_buf_init(NULL, 0);
}

static void on_output(uv_stream_t *stream, ssize_t n, const uv_buf_t *buf)
{
	struct child *child = stream->data;

	(void)buf;
	if (n > 0) {
		text_of(stream)->len += (size_t)n;
		return;
	}
	if (n == 0)
		return;
	uv_read_stop(stream); /* its end, or no room: then the child dies of SIGPIPE */
	if (child->open_outputs)
		child->open_outputs--;
	close_handle((uv_handle_t *)stream);
	finish_if_over(child);
}

static void on_written(uv_write_t *write, int status)
{
	struct child *child = write->data;

	(void)status; /* a child that does not read its input says why on stderr */
	close_handle((uv_handle_t *)&child->pipes[PIPE_IN]);
}

static void init_handles(uv_loop_t *loop, struct child *child)
{
	for (int i = 0; i < PIPE_COUNT; i++) {
		uv_pipe_init(loop, &child->pipes[i], 0);
		child->pipes[i].data = child;
	}
	uv_timer_init(loop, &child->timer);
	uv_signal_init(loop, &child->ended);
	child->timer.data = child->ended.data = child->write.data = child;
	child->open_handles = PIPE_COUNT + 2;
}

/* A pipe of which the loop has one end; *ret_fd is the child's. Both are closed by exec. */
static int open_pipe(struct child *child, int i, int *ret_fd)
{
	int fds[2], ours = i == PIPE_IN;
	int rc = pipe2(fds, O_CLOEXEC) < 0 ? -errno : 0;

	if (rc < 0)
		return rc;
	*ret_fd = fds[!ours];
	rc = uv_pipe_open(&child->pipes[i], fds[ours]);
	if (rc < 0)
		close(fds[ours]);
	return rc;
}

/* With the signals as a program expects them: none blocked, and writing into a pipe that nobody
 * reads ends it. */
static int spawn_with(struct child *child, const char *const argv[], const int fds[PIPE_COUNT])
{
	posix_spawn_file_actions_t actions;
	posix_spawnattr_t attributes;
	sigset_t none, defaults;
	int rc = 0;

	sigemptyset(&none);
	sigemptyset(&defaults);
	sigaddset(&defaults, SIGPIPE);
	posix_spawn_file_actions_init(&actions);
	posix_spawnattr_init(&attributes);
	posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF);
	posix_spawnattr_setsigmask(&attributes, &none);
	posix_spawnattr_setsigdefault(&attributes, &defaults);
	for (int i = 0; i < PIPE_COUNT && rc == 0; i++)
		rc = posix_spawn_file_actions_adddup2(&actions, fds[i], i);
	if (rc == 0)
		rc = posix_spawnp(&child->pid, argv[0], &actions, &attributes,
				  (char **)(uintptr_t)argv, environ);
	posix_spawnattr_destroy(&attributes);
	posix_spawn_file_actions_destroy(&actions);
	return -rc;
}

static int spawn(uv_loop_t *loop, struct child *child, const char *const argv[])
{
	int fds[PIPE_COUNT] = {-1, -1, -1}, rc = 0;

	init_handles(loop, child);
	for (int i = 0; i < PIPE_COUNT && rc == 0; i++)
		rc = open_pipe(child, i, &fds[i]);
	if (rc == 0)
		rc = uv_signal_start(&child->ended, on_sigchld, SIGCHLD);
	if (rc == 0)
		rc = spawn_with(child, argv, fds);
	for (int i = 0; i < PIPE_COUNT; i++)
		if (fds[i] >= 0)
			close(fds[i]);
	return rc;
}

int child_run(uv_loop_t *loop, const char *const argv[], const char *input, size_t input_len,
	      uint64_t deadline_ms, child_done_fn done, void *arg)
{
	struct child *child = calloc(1, sizeof(*child));
	uv_buf_t buf;
	int rc;

	if (!child)
		return -ENOMEM;
	child->done = done;
	child->arg = arg;
	child->input = malloc(input_len + 1);
	if (!child->input) {
		child_free(child);
		return -ENOMEM;
	}
	memcpy(child->input, input, input_len);
	rc = spawn(loop, child, argv);
	if (rc < 0) { /* told through done, when the handles are closed */
		child->status = rc;
		child->exited = true;
		finish_if_over(child);
		return 0;
	}
	child->open_outputs = 2;
	uv_read_start((uv_stream_t *)&child->pipes[PIPE_OUT], give_buffer, on_output);
	uv_read_start((uv_stream_t *)&child->pipes[PIPE_ERR], give_buffer, on_output);
	uv_timer_start(&child->timer, on_deadline, deadline_ms, 0);
	buf = uv_buf_init(child->input, (unsigned)input_len);
	if (uv_write(&child->write, (uv_stream_t *)&child->pipes[PIPE_IN], &buf, 1, on_written) < 0)
		close_handle((uv_handle_t *)&child->pipes[PIPE_IN]);
	return 0;
}
