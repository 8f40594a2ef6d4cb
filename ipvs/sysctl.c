/* SPDX-License-Identifier: Apache-2.0 */
/* See sysctl.h. Why each (Documentation/networking/ipvs-sysctl.rst):
 *
 * conntrack 1: the nat table sees IPVS's packets only then, and so masquerading works.
 * expire_nodest_conn 1: a flow whose destination is gone ends at its next packet instead of
 *   vanishing silently until it times out.
 * expire_quiescent_template 1: client affinity does not pin new connections to weight 0.
 * conn_reuse_mode: 1, the default, is right from 5.9 on; before (since 4.1) it delays a reused
 *   client port by a second (mended by 35dfb013149f), so 0 there.
 * ip_forward 1: what IPVS sends to other nodes' pods comes back through forwarding. */
#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/utsname.h>
#include <unistd.h>

#include "log.h"
#include "sysctl.h"

static int read_int(const char *path, int *ret_value)
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

static int write_int(const char *path, int value)
{
	int fd = open(path, O_WRONLY | O_CLOEXEC);
	int rc;

	if (fd < 0)
		return -errno;
	rc = dprintf(fd, "%d\n", value) < 0 ? -errno : 0;
	close(fd);
	return rc;
}

static int ensure(const char *name, int value, struct err *err)
{
	char path[128];
	int now, rc;

	snprintf(path, sizeof(path), "/proc/sys/%s", name);
	rc = read_int(path, &now);
	if (rc == 0 && now == value)
		return 0;
	if (rc == 0)
		rc = write_int(path, value);
	if (rc < 0)
		return err_set(err, rc, "cannot set sysctl %s to %d: %s", name, value,
			       strerror(-rc));
	log_info("sysctl changed", "name=%s from=%d to=%d", name, now, value);
	return 0;
}

static bool kernel_before(unsigned major, unsigned minor)
{
	unsigned have_major = 0, have_minor = 0;
	struct utsname name;

	if (uname(&name) < 0 || sscanf(name.release, "%u.%u", &have_major, &have_minor) != 2)
		return false;
	return have_major < major || (have_major == major && have_minor < minor);
}

int sysctl_setup(struct err *err)
{
	static const char *const ones[] = {
		"net/ipv4/vs/conntrack",
		"net/ipv4/vs/expire_nodest_conn",
		"net/ipv4/vs/expire_quiescent_template",
		"net/ipv4/ip_forward",
	};
	int rc = 0;

	for (size_t i = 0; i < ARRAY_SIZE(ones) && rc == 0; i++)
		rc = ensure(ones[i], 1, err);
	if (rc == 0 && kernel_before(5, 9) && !kernel_before(4, 1))
		rc = ensure("net/ipv4/vs/conn_reuse_mode", 0, err);
	return rc;
}
