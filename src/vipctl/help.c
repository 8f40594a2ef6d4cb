/* SPDX-License-Identifier: Apache-2.0 */
/* What vipctl says of itself; fits a screen of 80 x 24. */
#include "vipctl.h"

static const char text[] =
	"  -L                    the table: services and their destinations; the default\n"
	"  -S                    the table as rules that ipvsadm -R reads\n"
	"  -h, -v                this text; the version\n"
	"Service, for one of them:\n"
	"  -t, -u, --sctp-service HOST[:PORT]    -f MARK [-6]\n"
	"View:\n"
	"  --stats               counters since the service or destination was added\n"
	"  --rate                what passes per second\n"
	"  --thresholds          connection limits of the destinations\n"
	"  --persistent-conn     persistent connections of the destinations\n"
	"  --tun-info            how the destinations are tunnelled to\n"
	"  -c                    connections; with --persistent-conn: and engine data\n"
	"  --timeout             timeouts of connections: TCP, TCP after FIN, UDP\n"
	"  --daemon              the daemons that synchronise connections\n"
	"Options:\n"
	"  -n                    numbers instead of names of hosts and ports\n"
	"  -X, --exact           counters and rates in full\n"
	"  --nosort              in the kernel's order\n"
	"  -o FORMAT             text, json (everything known), prometheus (statistics)\n";

void help_print_version(FILE *out, const char *argv0)
{
	if (options_as_ipvsadm(argv0))
		fputs("ipvsadm v1.31 2019/12/24 (compiled with popt and IPVS v1.2.1)\n", out);
	else
		fprintf(out, "vipctl %s (lists as ipvsadm v1.31 does)\n", VIPD_VERSION);
}

void help_print(FILE *out, const char *argv0)
{
	if (options_as_ipvsadm(argv0))
		help_print_version(out, argv0);
	fprintf(out,
		"usage: %s [-L [SERVICE] [VIEW] [OPTION]...] | -S [-n] | -o FORMAT | -h | -v\n",
		argv0);
	fputs(text, out);
}
