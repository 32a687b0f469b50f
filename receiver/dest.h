/*
 * dest.h - what the destination argument means, and the side directories (spec 07 §10, 05 §5.5).
 */
#ifndef RECEIVER_DEST_H
#define RECEIVER_DEST_H

#include "receiver/rx.h"

/* Decides after the first list (and one more, if the first held one entry): opens or makes the destination
   and fills rx->dest, dest_path, single, dest_made. entries: number of entries so far; only: the entry if
   there is just one. -1 with err filled. */
int dest_decide(struct rx *rx, int64_t entries, const struct fent *only, struct err *err) NODISCARD;

/* Opens --temp-dir, an absolute --partial-dir (if it is there) and the alternate directories; checks --backup-dir. */
int dest_open_sides(struct rx *rx, struct err *err) NODISCARD;
void dest_close(struct rx *rx);

/* Where a directory of the destination lies as the device broker sees it. out: PATH_LIMIT + 1 bytes. Negative errno. */
int dest_broker_dir(const struct rx *rx, const char *dir, char *out);

/* Opens the device node dir/leaf of the destination, through the broker. fd or negative errno. */
int dest_open_device(const struct rx *rx, const char *dir, const char *leaf, bool for_write);

/* Opens a file that an option names (--files-from), as the working directory sees it: the fd or a negative errno. */
int dest_open_file(struct rx *rx, const char *name);

/* Do the module's rules hide dir/leaf of a directory that an option names? */
bool dest_hides(struct rx *rx, const char *side, const char *dir, const char *leaf, bool is_dir);
/* May names of the list run through links (-K)? */
bool dest_follows(const struct rx *rx);

/* Where --backup-dir is, relative to the root. */
int dest_backup_path(struct rx *rx, char out[PATH_LIMIT + 1]);

/* An absolute --partial-dir, made when it is missing and wanted; NULL: there is none. As dest_backup_anchor. */
struct anchor *dest_partial_anchor(struct rx *rx, bool make);

/* --backup-dir, created with its parents when missing. Thread-safe; the anchor belongs to rx. Negative errno. */
int dest_backup_anchor(struct rx *rx, struct anchor **out);

#endif
