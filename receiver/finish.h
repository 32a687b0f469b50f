/*
 * finish.h - bringing new content to its name: temporary files, renaming, partial files, backups
 * (spec 08 §8.2, §11, §12). Used by both threads, each with its own hands.
 */
#ifndef RECEIVER_FINISH_H
#define RECEIVER_FINISH_H

#include "receiver/attrs.h"

/* A file that must not survive unless it is moved away. */
struct temp {
	struct sb *sb;
	const char *dir;               /* borrowed: outlives the temp */
	char leaf[SB_NAME_MAX + 1];
	int fd;
	bool live;
};

#define TEMP_INIT { .fd = -1 }

/* Creates it next to D, or in --temp-dir. 0 or negative errno (not said). */
int temp_create(struct hands *h, struct temp *t, const char *dir, const char *leaf, mode_t mode);

/* Its name for messages. out: NAME_TEXT bytes; returns out. */
char *temp_full(const struct rx *rx, const struct temp *t, char *out);

/* Closes, and removes the name if it is still there. */
void temp_drop(struct temp *t);

/*
 * Renames a complete temp over D. e and mode: for the attributes, if it has to be copied to another file system.
 * 0, or -1 (was said; the temp is still live).
 */
int temp_place(struct hands *h, struct temp *t, const char *dir, const char *leaf, const struct fent *e, mode_t mode);

/* Do the module's rules hide D's partial file? Then there is none. */
bool partial_hidden(struct hands *h, const char *dir, const char *leaf);

/* What D's partial file is called. 0, or -1 if there is no usable partial-dir. pdir: PATH_LIMIT + 1 bytes. */
int partial_name(struct hands *h, const char *dir, const char *leaf, struct sb **sb, char *pdir);

/* Makes the partial-dir; something else in its place is removed. 0 or negative errno. */
int partial_mkdir(struct hands *h, const char *dir, const char *leaf);

/* Removes D's partial file, if unlink_it, and the directory when it is empty and relative. */
void partial_cleanup(struct hands *h, const char *dir, const char *leaf, bool unlink_it);

/* Moves a temp to D's partial file. 0 or negative errno (the temp is still live; not said). */
int partial_keep(struct hands *h, struct temp *t, const char *dir, const char *leaf);

/* Copies everything of one fd to the other, from the start. 0 or negative errno. */
int copy_data(struct hands *h, int from, int to);

/*
 * Keeps what is at (dir, leaf) under its backup name. removing: it is to be deleted, so it is moved; else it
 * stays where the file system can link. st: its lstat. 0: done, or nothing is to be kept; or negative errno (was said).
 */
int backup_make(struct hands *h, const char *dir, const char *leaf, const struct stat *st, bool removing);

/* The name of the backup as the options make it, for messages. */
#define BACKUP_NAME (3 * PATH_LIMIT)
const char *backup_name(const struct rx *rx, const char *dir, const char *leaf, char out[BACKUP_NAME]);

/* What --info=backup tells: of one that was made (or would be), and at the start of --backup-dir. */
void backup_say(const struct rx *rx, const char *dir, const char *leaf);
void backup_say_dir(const struct rx *rx, bool is_there);

/* Where the backup of (dir, leaf) goes; its directory is made. NULL: failed with this errno (was said). */
struct sb *backup_place(struct hands *h, const char *dir, const char *leaf, const char **bdir, char bleaf[SB_NAME_MAX + 1]);

/* Removes (dir, leaf), recursively if a directory. 0 or negative errno. */
int tree_remove(struct sb *sb, const char *dir, const char *leaf);

#endif
