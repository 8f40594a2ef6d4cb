/* SPDX-License-Identifier: Apache-2.0 */
/* A folder of one test, with files in it; gone with everything in it when the test ends. */
#ifndef VIPD_TEST_FILES_H
#define VIPD_TEST_FILES_H

#include <fcntl.h>
#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define FILES_PATH_MAX 512

struct files {
	char dir[64];
};

static inline const char *files_path(const struct files *files, const char *name,
				     char buf[FILES_PATH_MAX])
{
	snprintf(buf, FILES_PATH_MAX, "%s/%s", files->dir, name);
	return buf;
}

static inline int files_setup(void **state)
{
	struct files *files = calloc(1, sizeof(*files));

	*state = files;
	if (!files)
		return -1;
	snprintf(files->dir, sizeof(files->dir), "/tmp/vipd-test.XXXXXX");
	return mkdtemp(files->dir) ? 0 : -1;
}

static inline int files_remove_one(const char *path, const struct stat *st, int type,
				   struct FTW *where)
{
	(void)st, (void)type, (void)where;
	return remove(path);
}

static inline int files_teardown(void **state)
{
	struct files *files = *state;
	int rc = nftw(files->dir, files_remove_one, 8, FTW_DEPTH | FTW_PHYS);

	free(files);
	return rc;
}

/* Writes in place, as `cat >` does. */
static inline void files_write(const struct files *files, const char *name, const char *text)
{
	char path[FILES_PATH_MAX];
	FILE *out = fopen(files_path(files, name, path), "we");

	assert_non_null(out);
	assert_int_equal(fwrite(text, 1, strlen(text), out), strlen(text));
	assert_int_equal(fclose(out), 0);
}

/* As if it had been written long ago. */
static inline void files_age(const struct files *files, const char *name)
{
	const struct timespec old[2] = {{.tv_sec = 1000}, {.tv_sec = 1000}};
	char path[FILES_PATH_MAX];

	assert_int_equal(utimensat(AT_FDCWD, files_path(files, name, path), old, 0), 0);
}

/* Writes beside and renames over, as editors do. */
static inline void files_replace(const struct files *files, const char *name, const char *text)
{
	char from[FILES_PATH_MAX], to[FILES_PATH_MAX];

	files_write(files, ".written-beside", text);
	assert_int_equal(
		rename(files_path(files, ".written-beside", from), files_path(files, name, to)), 0);
}

static inline void files_remove(const struct files *files, const char *name)
{
	char path[FILES_PATH_MAX];

	assert_int_equal(unlink(files_path(files, name, path)), 0);
}

/* The caller frees; NULL if there is no such file. */
static inline char *files_read(const struct files *files, const char *name)
{
	char path[FILES_PATH_MAX], *text = NULL;
	FILE *in = fopen(files_path(files, name, path), "re");
	size_t cap = 0;
	ssize_t len;

	if (!in)
		return NULL;
	len = getdelim(&text, &cap, '\0', in);
	fclose(in);
	if (len < 0) {
		free(text);
		return strdup("");
	}
	return text;
}

/* Prints `text` with "DIR" in the folder's place. */
static inline void files_print_short(const struct files *files, const char *text, FILE *out)
{
	for (const char *dir; (dir = strstr(text, files->dir)); text = dir + strlen(files->dir))
		fprintf(out, "%.*sDIR", (int)(dir - text), text);
	fputs(text, out);
}

#endif
