/* itemize.c - an item's flags as text. */
#include "config.h"
#include "session/itemize.h"

static char type_letter(const struct fent *e)
{
	switch (FENT_TYPE(e)) {
	case S_IFDIR: return 'd';
	case S_IFLNK: return 'L';
	case S_IFCHR: case S_IFBLK: return 'D';
	case S_IFIFO: case S_IFSOCK: return 'S';
	default: return 'f';
	}
}

static char time_letter(const struct xfer *x, const struct fent *e, unsigned f)
{
	bool link = FENT_IS_LNK(e);

	if (!(f & ITEM_REPORT_TIME))
		return '.';
	if (!x->o->times || (link && ((f & ITEM_REPORT_TIMEFAIL) || !(x->p->compat & CF_SYMLINK_TIMES))))
		return 'T';
	return 't';
}

static char access_letter(unsigned f)
{
	if (f & ITEM_REPORT_ATIME)
		return f & ITEM_REPORT_CRTIME ? 'b' : 'u';
	return f & ITEM_REPORT_CRTIME ? 'n' : '.';
}

static bool no_changes(const char *out)
{
	for (int i = 2; i < ITEMIZE_LEN; i++)
		if (out[i] != '.')
			return false;
	return true;
}

void itemize(char out[ITEMIZE_LEN + 1], const struct xfer *x, const struct fent *e, const struct item *it, bool deleted)
{
	unsigned f = it->flags;
	char fill = 0;

	if (deleted) {
		memcpy(out, "*deleting  ", ITEMIZE_LEN + 1);
		return;
	}
	out[0] = f & ITEM_LOCAL_CHANGE ? (f & ITEM_XNAME_FOLLOWS ? 'h' : 'c') : !(f & ITEM_TRANSFER) ? '.' :
		x->o->am_sender ? '<' : '>';
	out[1] = type_letter(e);
	out[2] = f & ITEM_REPORT_CHANGE ? 'c' : '.';
	out[3] = (f & ITEM_REPORT_SIZE) && !FENT_IS_LNK(e) ? 's' : '.';
	out[4] = time_letter(x, e, f);
	out[5] = f & ITEM_REPORT_PERMS ? 'p' : '.';
	out[6] = f & ITEM_REPORT_OWNER ? 'o' : '.';
	out[7] = f & ITEM_REPORT_GROUP ? 'g' : '.';
	out[8] = access_letter(f);
	out[9] = f & ITEM_REPORT_ACL ? 'a' : '.';
	out[10] = f & ITEM_REPORT_XATTR ? 'x' : '.';
	out[11] = '\0';
	if (f & ITEM_IS_NEW)
		fill = '+';
	else if (x->p->version < 29 && (f & ITEM_TRANSFER))
		fill = '?'; /* peers of that age do not say */
	else if (out[0] != '<' && out[0] != '>' && no_changes(out))
		fill = ' ';
	if (fill)
		memset(out + 2, fill, ITEMIZE_LEN - 2);
}

bool itemize_significant(const struct item *it)
{
	return (it->flags & ~(unsigned)(ITEM_BASIS_TYPE_FOLLOWS | ITEM_XNAME_FOLLOWS | ITEM_LOCAL_CHANGE)) || it->xname[0];
}
