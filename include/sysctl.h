/* SPDX-License-Identifier: Apache-2.0 */
/* Kernel settings that are whole numbers in files under /proc/sys or /sys. */
#ifndef VIPD_SYSCTL_H
#define VIPD_SYSCTL_H

#include "err.h"

/* A file with one number. 0 or -errno; -EINVAL if it holds none. */
int sysctl_read(const char *path, int *ret_value);
int sysctl_write(const char *path, int value);
/* Writes /proc/sys/`name` if it differs, and logs that. -errno with the reason. */
int sysctl_ensure(const char *name, int value, struct err *err);

#endif
