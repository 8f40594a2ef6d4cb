/* SPDX-License-Identifier: Apache-2.0 */
/* The formats that are ipvsadm's: lists and rules. */
#include "vipctl.h"

static struct ipvs_print printer(const struct report *r)
{
	return (struct ipvs_print){.out = r->out,
				   .names = r->names,
				   .view = r->request->view,
				   .exact = r->request->exact};
}

static void text_begin(struct report *r)
{
	struct ipvs_print p = printer(r);

	if (r->request->subject == SUBJECT_TABLE)
		ipvs_print_titles(&p, r->request->one ? NULL : &r->info);
	else if (r->request->subject == SUBJECT_CONNS)
		ipvs_print_conn_titles(&p, r->request->engine);
}

static void text_service(struct report *r, const struct ipvs_service *svc,
			 const struct ipvs_dest *dests, size_t n)
{
	struct ipvs_print p = printer(r);

	ipvs_print_service(&p, svc, dests, n);
}

static void text_conn(struct report *r, const struct ipvs_conn *conn)
{
	struct ipvs_print p = printer(r);

	ipvs_print_conn(&p, conn, r->request->engine);
}

static void text_timeouts(struct report *r, const struct ipvs_timeouts *timeouts)
{
	struct ipvs_print p = printer(r);

	ipvs_print_timeouts(&p, timeouts);
}

static void text_daemon(struct report *r, const struct ipvs_daemon *daemon)
{
	struct ipvs_print p = printer(r);

	ipvs_print_daemon(&p, daemon);
}

static void rules_service(struct report *r, const struct ipvs_service *svc,
			  const struct ipvs_dest *dests, size_t n)
{
	struct ipvs_print p = printer(r);

	ipvs_print_rules(&p, svc, dests, n);
}

const struct format format_text = {.name = "text",
				   .begin = text_begin,
				   .service = text_service,
				   .conn = text_conn,
				   .timeouts = text_timeouts,
				   .daemon = text_daemon};

const struct format format_rules = {.name = "rules", .service = rules_service};
