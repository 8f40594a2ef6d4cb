/* SPDX-License-Identifier: Apache-2.0 */
/* What a service manager hears: this test is one. And the copy that writes a file. */
#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>
#include <cmocka.h>

#include "daemon/dump.h"
#include "daemon/notify.h"

struct fixture {
	char dir[40];
	uv_loop_t loop;
	int fd;
};

static int setup(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));

	snprintf(f->dir, sizeof(f->dir), "/tmp/vipd-notify-XXXXXX");
	assert_non_null(mkdtemp(f->dir));
	uv_loop_init(&f->loop);
	f->fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	*state = f;
	return 0;
}

static int teardown(void **state)
{
	struct fixture *f = *state;
	char command[64];

	close(f->fd);
	assert_int_equal(uv_loop_close(&f->loop), 0);
	snprintf(command, sizeof(command), "rm -r %s", f->dir);
	assert_int_equal(system(command), 0);
	free(f);
	return 0;
}

/* Listens under that name, '@' for none in the file system. */
static void listen_at(struct fixture *f, const char *name)
{
	struct sockaddr_un addr = {.sun_family = AF_UNIX};
	socklen_t len = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + strlen(name));

	memcpy(addr.sun_path, name, strlen(name));
	if (name[0] == '@')
		addr.sun_path[0] = '\0';
	assert_int_equal(bind(f->fd, (struct sockaddr *)&addr, len), 0);
	setenv("NOTIFY_SOCKET", name, 1);
}

static const char *heard(const struct fixture *f)
{
	static char text[300];
	ssize_t n = recv(f->fd, text, sizeof(text) - 1, 0);

	text[n > 0 ? n : 0] = '\0';
	return text;
}

static void ready_once(void **state)
{
	struct fixture *f = *state;
	struct notify *notify;
	char name[64];

	snprintf(name, sizeof(name), "%s/socket", f->dir);
	listen_at(f, name);
	notify = notify_open(&f->loop);
	assert_non_null(notify);
	assert_null(getenv("NOTIFY_SOCKET")); /* not for children */
	notify_ready(notify, "in the kernel");
	assert_string_equal(heard(f), "READY=1\nSTATUS=in the kernel");
	notify_ready(notify, "more");
	assert_string_equal(heard(f), "STATUS=more");
	notify_stopping(notify);
	assert_string_equal(heard(f), "STOPPING=1");
	assert_string_equal(heard(f), "");
	notify_close(notify);
	uv_run(&f->loop, UV_RUN_DEFAULT);
}

static void on_end(uv_timer_t *timer)
{
	uv_stop(timer->loop);
}

static void alive_in_time(void **state)
{
	struct fixture *f = *state;
	struct notify *notify;
	uv_timer_t end;
	char name[64];
	int n = 0;

	snprintf(name, sizeof(name), "@%s", f->dir);
	listen_at(f, name);
	setenv("WATCHDOG_USEC", "100000", 1);
	notify = notify_open(&f->loop);
	uv_timer_init(&f->loop, &end);
	uv_timer_start(&end, on_end, 480, 0);
	uv_run(&f->loop, UV_RUN_DEFAULT);
	while (strcmp(heard(f), "WATCHDOG=1") == 0)
		n++;
	assert_in_range(n, 4, 9);
	uv_close((uv_handle_t *)&end, NULL);
	notify_close(notify);
	uv_run(&f->loop, UV_RUN_DEFAULT);
}

static void nobody_asks(void **state)
{
	struct fixture *f = *state;

	unsetenv("NOTIFY_SOCKET");
	assert_null(notify_open(&f->loop));
	setenv("NOTIFY_SOCKET", "relative", 1);
	assert_null(notify_open(&f->loop));
	notify_ready(NULL, "x");
	notify_stopping(NULL);
	notify_close(NULL);
	/* another process's watchdog */
	listen_at(f, "@vipd-test-notify-other");
	setenv("WATCHDOG_USEC", "1000", 1);
	setenv("WATCHDOG_PID", "1", 1);
	notify_close(notify_open(&f->loop));
	uv_run(&f->loop, UV_RUN_DEFAULT);
	assert_string_equal(heard(f), "");
}

static void print_words(void *ctx, FILE *out)
{
	fputs(ctx, out);
}

static void dumps(void **state)
{
	struct fixture *f = *state;
	char path[64], text[32] = "";
	struct stat stat_buf;
	FILE *file = NULL;

	snprintf(path, sizeof(path), "%s/dump", f->dir);
	assert_int_equal(dump_write(path, print_words, (char[]){"all of it"}), 0);
	for (int i = 0; i < 2000 && !(file = fopen(path, "r")); i++)
		usleep(5000);
	assert_non_null(file);
	assert_non_null(fgets(text, sizeof(text), file));
	fclose(file);
	assert_string_equal(text, "all of it");
	assert_int_equal(stat(path, &stat_buf), 0);
	assert_int_equal(stat_buf.st_mode & 0777, 0600);
}

static void print_slowly(void *ctx, FILE *out)
{
	usleep(300000);
	fputs(ctx, out);
}

/* A daemon that starts over does not find its lock taken by the copy. */
static void dumps_without_locks(void **state)
{
	struct fixture *f = *state;
	char path[64], lock[64];
	int fd;

	snprintf(path, sizeof(path), "%s/dump", f->dir);
	snprintf(lock, sizeof(lock), "%s/lock", f->dir);
	fd = open(lock, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	assert_int_equal(flock(fd, LOCK_EX | LOCK_NB), 0);
	assert_int_equal(dump_write(path, print_slowly, (char[]){"x"}), 0);
	close(fd);
	fd = open(lock, O_RDWR | O_CLOEXEC);
	assert_int_equal(flock(fd, LOCK_EX | LOCK_NB), 0);
	close(fd);
	for (int i = 0; i < 2000 && access(path, F_OK) != 0; i++)
		usleep(5000);
	assert_int_equal(access(path, F_OK), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(ready_once, setup, teardown),
		cmocka_unit_test_setup_teardown(alive_in_time, setup, teardown),
		cmocka_unit_test_setup_teardown(nobody_asks, setup, teardown),
		cmocka_unit_test_setup_teardown(dumps, setup, teardown),
		cmocka_unit_test_setup_teardown(dumps_without_locks, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
