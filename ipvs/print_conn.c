/* SPDX-License-Identifier: Apache-2.0 */
/* Connections: ipvsadm -L -c. */
#include "ipvs_print.h"

void ipvs_print_conn_titles(const struct ipvs_print *p, bool engine)
{
	fputs("IPVS connection entries\n", p->out);
	if (engine)
		fprintf(p->out, "pro expire %-11s %-18s %-18s %-18s %-16s pe_data\n", "state",
			"source", "virtual", "destination", "pe name");
	else
		fprintf(p->out, "pro expire %-11s %-18s %-18s destination\n", "state", "source",
			"virtual");
}

void ipvs_print_conn(const struct ipvs_print *p, const struct ipvs_conn *conn, bool engine)
{
	char client[IPVS_AP_MAX], vip[IPVS_AP_MAX], dest[IPVS_AP_MAX], expires[24];
	uint16_t proto = conn->proto_number;

	snprintf(expires, sizeof(expires), "%02u:%02u", conn->expires_sec / 60,
		 conn->expires_sec % 60);
	ipvs_print_ap(p->names, &conn->client, conn->client_port, proto, client);
	ipvs_print_ap(p->names, &conn->vip, conn->vip_port, proto, vip);
	ipvs_print_ap(p->names, &conn->dest, conn->dest_port, proto, dest);
	fprintf(p->out, "%-3s %-6s %-11s %-18s %-18s ", conn->proto, expires, conn->state, client,
		vip);
	/* the columns of the last three are not those of their titles, in ipvsadm either */
	if (engine && conn->pe_data[0])
		fprintf(p->out, "%-16s %-18s %s\n", dest, conn->pe, conn->pe_data);
	else
		fprintf(p->out, "%s\n", dest);
}
