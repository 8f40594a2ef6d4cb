/* SPDX-License-Identifier: Apache-2.0 */
/* What the lists and the rules share. Private to the printers of ipvs/. */
#ifndef VIPD_IPVS_PRINT_PARTS_H
#define VIPD_IPVS_PRINT_PARTS_H

#include "ipvs_print.h"

#define PRINT_FLAGS_MAX 64

/* The protocol whose port names a service's ports have; 0 under a fwmark. */
uint16_t print_port_proto(const struct ipvs_key *key);
/* "sh-fallback,sh-port" into `buf`; false if the service has no scheduler flag. */
bool print_sched_flags(const struct ipvs_service *svc, char buf[PRINT_FLAGS_MAX]);

#endif
