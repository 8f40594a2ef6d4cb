/* SPDX-License-Identifier: Apache-2.0 */
/* See notify.h. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "daemon/notify.h"
#include "log.h"

struct notify {
	int fd;
	struct sockaddr_un addr;
	socklen_t addr_len;
	bool told;
	uv_timer_t patience, watchdog;
	int open_handles;
};

static void tell(struct notify *notify, const char *text)
{
	if (sendto(notify->fd, text, strlen(text), MSG_NOSIGNAL | MSG_DONTWAIT,
		   (struct sockaddr *)&notify->addr, notify->addr_len) < 0)
		log_debug("the service manager does not listen", "");
}

/* A path, or a name in no file system, which begins with '@'. */
static bool set_address(struct notify *notify, const char *name)
{
	size_t len = strlen(name);

	if ((name[0] != '/' && name[0] != '@') || len < 2 || len >= sizeof(notify->addr.sun_path))
		return false;
	notify->addr.sun_family = AF_UNIX;
	memcpy(notify->addr.sun_path, name, len);
	if (name[0] == '@')
		notify->addr.sun_path[0] = '\0';
	notify->addr_len = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + len);
	return true;
}

/* How often we have to say that we are alive; 0: never. */
static uint64_t watchdog_ms(void)
{
	const char *usec = getenv("WATCHDOG_USEC"), *pid = getenv("WATCHDOG_PID");

	if (!usec || (pid && strtol(pid, NULL, 10) != getpid()))
		return 0;
	return strtoull(usec, NULL, 10) / 1000 / 2;
}

static void on_watchdog(uv_timer_t *timer)
{
	tell(timer->data, "WATCHDOG=1");
}

static void on_patience(uv_timer_t *timer)
{
	notify_ready(timer->data, "not everything is in the kernel yet");
}

static void start_timers(uv_loop_t *loop, struct notify *notify)
{
	uint64_t every_ms = watchdog_ms();

	uv_timer_init(loop, &notify->patience);
	uv_timer_init(loop, &notify->watchdog);
	notify->patience.data = notify->watchdog.data = notify;
	notify->open_handles = 2;
	uv_timer_start(&notify->patience, on_patience, NOTIFY_READY_MS, 0);
	if (every_ms)
		uv_timer_start(&notify->watchdog, on_watchdog, every_ms, every_ms);
}

struct notify *notify_open(uv_loop_t *loop)
{
	const char *name = getenv("NOTIFY_SOCKET");
	struct notify *notify = name ? calloc(1, sizeof(*notify)) : NULL;

	if (notify && set_address(notify, name))
		notify->fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	else if (notify)
		notify->fd = -1;
	if (notify && notify->fd < 0) {
		log_warn("the service manager's socket is of no use", "NOTIFY_SOCKET=%s", name);
		free(notify);
		notify = NULL;
	}
	if (notify)
		start_timers(loop, notify);
	unsetenv("NOTIFY_SOCKET");
	unsetenv("WATCHDOG_USEC");
	unsetenv("WATCHDOG_PID");
	return notify;
}

void notify_ready(struct notify *notify, const char *status)
{
	char text[256];

	if (!notify)
		return;
	snprintf(text, sizeof(text), "%sSTATUS=%s", notify->told ? "" : "READY=1\n", status);
	tell(notify, text);
	notify->told = true;
	uv_timer_stop(&notify->patience);
}

void notify_stopping(struct notify *notify)
{
	if (notify)
		tell(notify, "STOPPING=1");
}

static void timer_closed(uv_handle_t *handle)
{
	struct notify *notify = handle->data;

	if (--notify->open_handles)
		return;
	close(notify->fd);
	free(notify);
}

void notify_close(struct notify *notify)
{
	if (!notify)
		return;
	uv_close((uv_handle_t *)&notify->patience, timer_closed);
	uv_close((uv_handle_t *)&notify->watchdog, timer_closed);
}
