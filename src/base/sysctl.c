/* SPDX-License-Identifier: Apache-2.0 */
/* See sysctl.h. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "log.h"
#include "sysctl.h"

int sysctl_read(const char *path, int *ret_value)
{
	char text[32];
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	ssize_t n;

	if (fd < 0)
		return -errno;
	n = read(fd, text, sizeof(text) - 1);
	close(fd);
	if (n <= 0)
		return -EIO;
	text[n] = '\0';
	return sscanf(text, "%d", ret_value) == 1 ? 0 : -EINVAL;
}

int sysctl_write(const char *path, int value)
{
	int fd = open(path, O_WRONLY | O_CLOEXEC);
	int rc;

	if (fd < 0)
		return -errno;
	rc = dprintf(fd, "%d\n", value) < 0 ? -errno : 0;
	close(fd);
	return rc;
}

int sysctl_ensure(const char *name, int value, struct err *err)
{
	char path[128];
	int now, rc;

	snprintf(path, sizeof(path), "/proc/sys/%s", name);
	rc = sysctl_read(path, &now);
	if (rc == 0 && now == value)
		return 0;
	if (rc == 0)
		rc = sysctl_write(path, value);
	if (rc < 0)
		return err_set(err, rc, "cannot set sysctl %s to %d: %s", name, value,
			       strerror(-rc));
	log_info("sysctl changed", "name=%s from=%d to=%d", name, now, value);
	return 0;
}
