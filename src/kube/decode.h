/* SPDX-License-Identifier: Apache-2.0 */
/* JSON trees -> typed objects. The only place that knows field names.
 *
 * Reads what a service proxy needs, checks it as an API server would, fills in an API server's
 * defaults, and passes over every other field. Kinds that are not ours are not errors. */
#ifndef VIPD_KUBE_DECODE_H
#define VIPD_KUBE_DECODE_H

#include <cjson/cJSON.h>

#include "kube/objects.h"

/* `origin` names the file. The object in `ret_object`, or NULL there and 0 if the kind is not one
 * of ours (any List too: its elements come by themselves). -EINVAL: `err` names file, line, object
 * and field of every error (as far as they fit); -ENOMEM. The tree stays the caller's. */
int decode_object(const cJSON *tree, const char *origin, union object **ret_object,
		  struct err *err);

#endif
