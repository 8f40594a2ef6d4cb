/* SPDX-License-Identifier: Apache-2.0 */
/* The kernel settings that IPVS mode needs, in the network namespace of the caller. */
#ifndef VIPD_IPVS_SETTINGS_H
#define VIPD_IPVS_SETTINGS_H

#include "err.h"

/* Reads each and writes those that differ, logging what it changed. -errno for one that can be
 * neither read nor written, and then balancing would be wrong, not just slower. */
int settings_setup(bool strict_arp, struct err *err);

#endif
