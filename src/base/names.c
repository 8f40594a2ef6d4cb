/* SPDX-License-Identifier: Apache-2.0 */
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include <uthash.h>

#include "names.h"
#include "util.h"

struct name {
	UT_hash_handle hh;
	size_t refs;
	char text[];
};

static struct name *names;
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;

static struct name *name_of(const char *text)
{
	return (struct name *)(uintptr_t)(text - offsetof(struct name, text));
}

const char *name_ref(const char *text)
{
	size_t len = strlen(text);
	struct name *name;

	pthread_mutex_lock(&lock);
	HASH_FIND(hh, names, text, len, name);
	if (!name) {
		name = calloc(1, sizeof(*name) + len + 1);
		if (name) {
			memcpy(name->text, text, len);
			HASH_ADD_KEYPTR(hh, names, name->text, len, name);
		}
	}
	if (name)
		name->refs++;
	pthread_mutex_unlock(&lock);
	return name ? name->text : NULL;
}

void name_unref(const char *text)
{
	struct name *name;

	if (!text)
		return;
	name = name_of(text);
	pthread_mutex_lock(&lock);
	if (--name->refs == 0) {
		HASH_DEL(names, name);
		free(name);
	}
	pthread_mutex_unlock(&lock);
}
