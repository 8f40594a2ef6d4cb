/* SPDX-License-Identifier: Apache-2.0 */
/* A file with all that the daemon knows, written by a copy of the process: the loop goes on
 * meanwhile, however much there is to print. */
#ifndef VIPD_DAEMON_DUMP_H
#define VIPD_DAEMON_DUMP_H

#include <stdio.h>

#include "err.h"

typedef void (*dump_fn)(void *ctx, FILE *out);

/* `fn` prints in the copy. The file is replaced when it is whole, and nobody else's to read. 0, or
 * -errno if no copy could be made; what goes wrong in the copy it logs. */
int dump_write(const char *path, dump_fn fn, void *ctx);

#endif
