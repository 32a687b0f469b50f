/*
 * places.c - see places.h.
 */
#include "config.h"

#include <errno.h>
#include <fcntl.h>

#include "sandbox/places.h"

struct place {
	char *path;
	size_t len;
	struct anchor *anchor;
	int file;              /* -1: none */
	int err;               /* negative errno where there is neither */
};

struct places {
	struct place *v;
	size_t n, cap;
};

struct places *places_new(void)
{
	return calloc(1, sizeof(struct places));
}

void places_free(struct places *pl)
{
	if (!pl)
		return;
	for (size_t i = 0; i < pl->n; i++) {
		free(pl->v[i].path);
		anchor_unref(pl->v[i].anchor);
		if (pl->v[i].file >= 0)
			close(pl->v[i].file);
	}
	free(pl->v);
	free(pl);
}

static int add(struct places *pl, struct place p, const char *path)
{
	struct place *v;

	if (pl->n == pl->cap) {
		v = reallocarray(pl->v, pl->cap * 2 + 8, sizeof *v);
		if (!v)
			goto fail;
		pl->v = v;
		pl->cap = pl->cap * 2 + 8;
	}
	p.path = strdup(path);
	if (!p.path)
		goto fail;
	p.len = strlen(path);
	pl->v[pl->n++] = p;
	return 0;
fail:
	anchor_unref(p.anchor);
	if (p.file >= 0)
		close(p.file);
	return -ENOMEM;
}

int places_add(struct places *pl, const char *path, struct anchor *take, int err)
{
	return add(pl, (struct place){ .anchor = take, .file = -1, .err = err }, path);
}

int places_add_file(struct places *pl, const char *path, int take_fd)
{
	return add(pl, (struct place){ .file = take_fd >= 0 ? take_fd : -1, .err = take_fd < 0 ? take_fd : -EISDIR }, path);
}

static bool covers(const struct place *p, const char *path)
{
	return !p->len || (!strncmp(p->path, path, p->len) && (!path[p->len] || path[p->len] == '/'));
}

int places_find(const struct places *pl, const char *path, struct anchor **a, const char **rest)
{
	const struct place *best = NULL;

	for (size_t i = 0; i < pl->n; i++) {
		const struct place *p = &pl->v[i];

		/* A file is found by its own path only. */
		if (p->file < 0 && covers(p, path) && (!best || p->len > best->len))
			best = p;
	}
	if (!best)
		return -ENOENT;
	if (!best->anchor)
		return best->err;
	*a = best->anchor;
	*rest = path + best->len + (best->len && path[best->len] == '/');
	return 0;
}

int places_open_file(const struct places *pl, const char *path)
{
	for (size_t i = 0; i < pl->n; i++) {
		const struct place *p = &pl->v[i];
		int fd;

		if (p->anchor || strcmp(p->path, path))
			continue;
		if (p->file < 0)
			return p->err;
		fd = fcntl(p->file, F_DUPFD_CLOEXEC, 3);
		if (fd >= 0)
			(void)lseek(fd, 0, SEEK_SET);
		return fd < 0 ? -errno : fd;
	}
	return -ENOENT;
}

bool places_has_file(const struct places *pl, const char *path)
{
	for (size_t i = 0; i < pl->n; i++)
		if (pl->v[i].file >= 0 && !strcmp(pl->v[i].path, path))
			return true;
	return false;
}

size_t places_count(const struct places *pl)
{
	return pl->n;
}

int places_fd(const struct places *pl, size_t i)
{
	return pl->v[i].anchor ? anchor_fd(pl->v[i].anchor) : pl->v[i].file;
}

size_t places_anchors(const struct places *pl, struct anchor **v)
{
	size_t n = 0;

	for (size_t i = 0; i < pl->n; i++)
		if (pl->v[i].anchor)
			v[n++] = pl->v[i].anchor;
	return n;
}
