/* SPDX-License-Identifier: Apache-2.0 */
/* Two Services want one address and port: who wins, who waits. Pure.
 *
 * In the flow: desired -> CLAIMS -> model. Keeps every claim, puts the winner of each key into the
 * model, and when it goes, the next. The older Service wins (creation time, then namespace/name):
 * whoever had the address first keeps it, as an API server would have refused the second. The
 * result depends on the present claims alone, not on the order in which they came. */
#ifndef VIPD_MODEL_CLAIMS_H
#define VIPD_MODEL_CLAIMS_H

#include "model/desired.h"

struct claims;

/* Called when a Service's claim begins to wait (`winner` is the owner it waits for) or no longer
 * waits (`winner` NULL); again with the new `winner` when it waits for another. May be called with
 * what it was told before. Texts live during the call. */
typedef void (*claims_wait_fn)(void *arg, const char *owner, const struct fe_key *key,
			       const char *winner);

struct claims *claims_new(claims_wait_fn on_wait, void *arg);
void claims_free(struct claims *claims);

/* Replaces all claims of the Service `service` ("namespace/name") by `want`, whose frontends are
 * taken over. 0 or -ENOMEM. */
int claims_update(struct claims *claims, const char *service, struct svc_want *want,
		  struct model *model);
/* Claims that wait for another. */
size_t claims_waiting(const struct claims *claims);

#endif
