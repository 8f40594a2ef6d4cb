/* SPDX-License-Identifier: Apache-2.0 */
/* Reads the files of a folder into objects. No loop, no sink: a function from files to values, so
 * that it can run on another thread and never holds up the loop however long a file is.
 *
 * A file is taken whole or not at all. A document whose text did not change since the last reading
 * is not decoded again: documents are told apart by a hash of their text between "---" lines. */
#ifndef VIPD_SOURCE_FOLDER_H
#define VIPD_SOURCE_FOLDER_H

#include <sys/stat.h>

#include "kube/objects.h"

#define FOLDER_FILE_BYTES_MAX                                               \
	(64 << 20) /* three times a List of 10,000 Services of 10 endpoints \
		    */
#define FOLDER_FILES_MAX 100000
#define FOLDER_SETTLE_MS 1000 /* a poll leaves a file alone that was changed this recently */

/* A document of a file as last taken. */
struct folder_doc {
	uint64_t hash[2];
	size_t n_keys;
	char **keys; /* "KIND namespace/name" of the objects in it, see folder_key() */
	bool reused; /* in a new reading: the same as before, its objects were not decoded */
	size_t n_objects;
	union object **objects; /* in a new reading: as many as keys; taken over by the receiver */
};

struct folder_file {
	char *name;
	struct timespec mtime;
	off_t size;
	ino_t inode;
	bool fresh;  /* it was changed within FOLDER_SETTLE_MS before it was read */
	bool broken; /* the last reading failed: `docs` are from the one before */
	size_t n_docs;
	struct folder_doc *docs;
};

/* What became of one file. */
struct folder_change {
	struct folder_file *file; /* a new value for it; NULL when it is gone */
	char *name;
	char *error;   /* it could not be taken: why */
	size_t others; /* objects of kinds that are not ours */
};

struct folder_changes {
	size_t n, cap;
	struct folder_change *items;
	bool complete;  /* the folder was listed whole */
	struct err err; /* the folder itself cannot be read */
};

/* Reads the files named, or (n_names 0) those of the folder that look different from `known`
 * (`n_known`, sorted by name), and fills `ret_changes`, sorted by name. `settled_only`: leave files
 * alone that were changed within FOLDER_SETTLE_MS of `now`. */
void folder_read(const char *dir, char *const *names, size_t n_names,
		 struct folder_file *const *known, size_t n_known, bool settled_only,
		 struct folder_changes *ret_changes);
void folder_changes_done(struct folder_changes *changes);
void folder_file_free(struct folder_file *file);

/* Is it a name of a file that is read? */
bool folder_is_manifest(const char *name);
/* "KIND namespace/name"; the caller frees. */
char *folder_key(const struct obj_meta *meta);

#endif
