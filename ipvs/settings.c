/* SPDX-License-Identifier: Apache-2.0 */
/* See settings.h. Why each (Documentation/networking/ipvs-sysctl.rst):
 *
 * conntrack 1: the nat table sees IPVS's packets only then, and so masquerading works.
 * expire_nodest_conn 1: a flow whose destination is gone ends at its next packet instead of
 *   vanishing silently until it times out.
 * expire_quiescent_template 1: client affinity does not pin new connections to weight 0.
 * conn_reuse_mode: 1, the default, is right from 5.9 on; before (since 4.1) it delays a reused
 *   client port by a second (mended by 35dfb013149f), so 0 there.
 * arp_ignore 1, arp_announce 2 (strict ARP): the node answers for an address only on the link that
 * has it, so that it does not answer for load balancer IPs that another announces. ip_forward 1:
 * what IPVS sends to other nodes' pods comes back through forwarding. */
#include <stdbool.h>
#include <stdio.h>
#include <sys/utsname.h>

#include "settings.h"
#include "sysctl.h"

static bool kernel_before(unsigned major, unsigned minor)
{
	unsigned have_major = 0, have_minor = 0;
	struct utsname name;

	if (uname(&name) < 0 || sscanf(name.release, "%u.%u", &have_major, &have_minor) != 2)
		return false;
	return have_major < major || (have_major == major && have_minor < minor);
}

int settings_setup(bool strict_arp, struct err *err)
{
	static const char *const ones[] = {
		"net/ipv4/vs/conntrack",
		"net/ipv4/vs/expire_nodest_conn",
		"net/ipv4/vs/expire_quiescent_template",
		"net/ipv4/ip_forward",
	};
	int rc = 0;

	for (size_t i = 0; i < ARRAY_SIZE(ones) && rc == 0; i++)
		rc = sysctl_ensure(ones[i], 1, err);
	if (rc == 0 && kernel_before(5, 9) && !kernel_before(4, 1))
		rc = sysctl_ensure("net/ipv4/vs/conn_reuse_mode", 0, err);
	if (rc == 0 && strict_arp)
		rc = sysctl_ensure("net/ipv4/conf/all/arp_ignore", 1, err);
	if (rc == 0 && strict_arp)
		rc = sysctl_ensure("net/ipv4/conf/all/arp_announce", 2, err);
	return rc;
}
