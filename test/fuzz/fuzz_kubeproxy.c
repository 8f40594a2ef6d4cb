/* SPDX-License-Identifier: Apache-2.0 */
/* Configuration files: whatever is in one, what is in force can be printed, and is read again as
 * the same. */
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include "daemon/kubeproxy.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static char *printed(const struct kubeproxy *kp, void (*print)(const struct kubeproxy *, FILE *),
		     size_t *ret_len)
{
	char *text = NULL;
	FILE *out = open_memstream(&text, ret_len);

	if (!out)
		abort();
	print(kp, out);
	fclose(out);
	return text;
}

/* What is read from what was printed is printed as the same. */
static void print_again(const struct kubeproxy *kp)
{
	struct kubeproxy again;
	size_t len, len_again;
	char *text = printed(kp, kubeproxy_print_yaml, &len), *text_again;

	if (kubeproxy_init(&again) < 0)
		abort();
	if (kubeproxy_decode(&again, text, len) < 0)
		abort();
	text_again = printed(&again, kubeproxy_print_yaml, &len_again);
	if (strcmp(text, text_again) != 0)
		abort();
	free(text);
	free(text_again);
	kubeproxy_done(&again);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct kubeproxy kp;
	size_t len;

	if (kubeproxy_init(&kp) < 0)
		abort();
	if (kubeproxy_decode(&kp, (const char *)data, size) == 0) {
		free(printed(&kp, kubeproxy_print_json, &len));
		print_again(&kp);
	}
	kubeproxy_sort(&kp);
	kubeproxy_done(&kp);
	return 0;
}
