/* SPDX-License-Identifier: Apache-2.0 */
/* An error an operator may have to read: a code for the program, a sentence for the person.
 *
 * Convention: functions return 0 or -errno. One that fills a struct err does so on every failure
 * and returns err->code. The text names what failed, on which object, and why or what to do; it
 * has no trailing full stop and no newline. Return an error or log it, never both. */
#ifndef VIPD_ERR_H
#define VIPD_ERR_H

#include "util.h"

struct err {
	int code; /* 0 or -errno */
	char text[512];
};

/* Sets both and returns `code`, so that `return err_set(err, -EINVAL, ...)` reads well.
 * `err` may be NULL: the code alone is wanted. */
int err_set(struct err *err, int code, const char *fmt, ...) PRINTF(3, 4);

/* Puts "prefix: " in front of the text that is there; returns err->code. */
int err_prefix(struct err *err, const char *fmt, ...) PRINTF(2, 3);

#endif
