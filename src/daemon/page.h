/* SPDX-License-Identifier: Apache-2.0 */
/* page.html as it is served; made by `embed` when the daemon is built. */
#ifndef VIPD_DAEMON_PAGE_H
#define VIPD_DAEMON_PAGE_H

#include <stddef.h>

extern const unsigned char page_html[];
extern const size_t page_html_len;

#endif
