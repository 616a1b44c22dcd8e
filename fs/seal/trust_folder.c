/*
 * trust_folder - reading a trust directory, and telling whether it has changed
 *
 * The stamp is taken before the files are read: what changes meanwhile is seen at the next look. Times of a file system
 * stand still for some milliseconds, so a stamp that is younger than SETTLE_NS proves nothing.
 */
#include "trust_internal.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "key_internal.h"
#include "sealfs/escape.h"

#define SUFFIX ".pub"
#define SUFFIX_SIZE (sizeof(SUFFIX) - 1)
#define NS_PER_S INT64_C(1000000000)
#define SETTLE_NS (2 * NS_PER_S)

/* The open folder and the names of its key files, sorted. */
struct listing {
	const char *path;
	int fd;
	struct stat st;
	struct dirent **names;
	int count;
};

static void listing_close(struct listing *listing)
{
	for (int i = 0; i < listing->count; i++)
		free(listing->names[i]);
	free(listing->names);
	if (listing->fd >= 0)
		close(listing->fd);
}
#define AUTO_LISTING __attribute__((cleanup(listing_close))) struct listing

static int is_key_name(const struct dirent *entry)
{
	size_t size = strlen(entry->d_name);

	return entry->d_name[0] != '.' && size > SUFFIX_SIZE && strcmp(entry->d_name + size - SUFFIX_SIZE, SUFFIX) == 0;
}

static int by_name(const struct dirent **a, const struct dirent **b)
{
	return strcmp((*a)->d_name, (*b)->d_name);
}

static int listing_open(const char *path, struct listing *out)
{
	*out = (struct listing){.path = path};
	out->fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (out->fd < 0 || fstat(out->fd, &out->st) < 0)
		return -errno;
	out->count = scandirat(out->fd, ".", &out->names, is_key_name, by_name);
	if (out->count >= 0)
		return 0;
	out->count = 0;
	return -errno;
}

static int64_t ns_of(const struct timespec *time)
{
	return time->tv_sec * NS_PER_S + time->tv_nsec;
}

/* *newest grows to its time of change, which nobody can set back. */
static void stamp_one(FILE *out, const char *name, const struct stat *st, int64_t *newest)
{
	fprintf(out, "%s%c%ju %ju %jd %o %u %jd %jd\n", name, '\0', (uintmax_t)st->st_dev, (uintmax_t)st->st_ino,
		(intmax_t)st->st_size, st->st_mode, st->st_uid, (intmax_t)ns_of(&st->st_mtim),
		(intmax_t)ns_of(&st->st_ctim));
	if (ns_of(&st->st_ctim) > *newest)
		*newest = ns_of(&st->st_ctim);
}

static void stamp_all(FILE *out, const struct listing *listing, int64_t *newest)
{
	stamp_one(out, ".", &listing->st, newest);
	for (int i = 0; i < listing->count; i++) {
		struct stat st = {0};

		/* Of one that can not be looked at the stamp says just that; reading it tells why. */
		fstatat(listing->fd, listing->names[i]->d_name, &st, 0);
		stamp_one(out, listing->names[i]->d_name, &st, newest);
	}
}

static int take_stamp(const struct listing *listing, struct trust_folder *out)
{
	AUTO_FREE char *text = NULL;
	struct timespec now;
	int64_t newest = 0;
	size_t size;
	FILE *stream = open_memstream(&text, &size);

	if (!stream)
		return -ENOMEM;
	stamp_all(stream, listing, &newest);
	if (fclose(stream) != 0)
		return -ENOMEM;
	digest_sha256(text, size, &out->stamp);
	clock_gettime(CLOCK_REALTIME, &now);
	out->settled = newest < ns_of(&now) - SETTLE_NS;
	return 0;
}

static int read_text(const struct listing *listing, const char *name, char **text, size_t *size, const char **why)
{
	struct stat st;
	int fd = key_file_open(listing->fd, name, &st);
	int rc = 0;

	*why = NULL;
	if (fd < 0)
		return fd;
	if (!S_ISREG(st.st_mode)) {
		*why = "it is not a regular file";
		rc = -EBADMSG;
	} else if (st.st_mode & S_IWOTH) {
		*why = "everybody may write it; 'chmod o-w' it, once you are sure of what it holds";
		rc = -EBADMSG;
	}
	*text = rc == 0 ? malloc(KEY_FILE_LIMIT + 1) : NULL;
	if (rc == 0)
		rc = *text ? key_file_read(fd, *text, size) : -ENOMEM;
	close(fd);
	return rc;
}

static int read_key(const struct listing *listing, const char *name, struct trust_key *out, const char **why)
{
	AUTO_FREE char *text = NULL;
	AUTO_FREE char *stem = strndup(name, strlen(name) - SUFFIX_SIZE);
	AUTO_FREE char *plain = stem ? escape_line(stem) : NULL;
	size_t size = 0;
	int rc = plain ? read_text(listing, name, &text, &size, why) : -ENOMEM;

	return rc < 0 ? rc : trust_key_parse(text, size, plain, out, why);
}

static int complain(FILE *out, const struct listing *listing, const char *name, int error, const char *why)
{
	AUTO_FREE char *sentence = NULL;
	AUTO_FREE char *line = NULL;

	if (asprintf(&sentence, "the key file '%s/%s' is trusted for nothing: %s", listing->path, name,
		     error == -EBADMSG && why ? why : strerror(-error)) < 0)
		sentence = NULL;
	line = sentence ? escape_line(sentence) : NULL;
	if (!line)
		return -ENOMEM;
	fprintf(out, "%s\n", line);
	return 0;
}

/* Fails only for want of memory: a key file that can not be used is complained of. */
static int read_all(const struct listing *listing, struct trust_folder *out, FILE *complaints)
{
	out->keys = calloc((size_t)listing->count + 1, sizeof(*out->keys));
	if (!out->keys)
		return -ENOMEM;
	for (int i = 0; i < listing->count; i++) {
		const char *name = listing->names[i]->d_name;
		const char *why = NULL;
		int rc = read_key(listing, name, &out->keys[out->count], &why);

		if (rc == 0)
			out->count++;
		else if (rc != -ENOMEM)
			rc = complain(complaints, listing, name, rc, why);
		if (rc == -ENOMEM)
			return rc;
	}
	return 0;
}

static int read_keys(const struct listing *listing, struct trust_folder *out)
{
	size_t size;
	FILE *complaints = open_memstream(&out->complaints, &size);
	int rc;

	if (!complaints)
		return -ENOMEM;
	rc = read_all(listing, out, complaints);
	return fclose(complaints) == 0 ? rc : -ENOMEM;
}

void trust_folder_free(struct trust_folder *folder)
{
	for (size_t i = 0; i < folder->count; i++)
		trust_key_free(&folder->keys[i]);
	free(folder->keys);
	free(folder->complaints);
	*folder = (struct trust_folder){0};
}

int trust_folder_look(const char *path, struct trust_folder *out)
{
	AUTO_LISTING listing;
	int rc = listing_open(path, &listing);

	return rc < 0 ? rc : take_stamp(&listing, out);
}

int trust_folder_read(const char *path, struct trust_folder *out, char **why)
{
	AUTO_LISTING listing;
	int rc = listing_open(path, &listing);

	*why = NULL;
	*out = (struct trust_folder){0};
	if (rc == 0 && listing.st.st_mode & S_IWOTH)
		return key_complain(why, -EPERM,
				    "everybody may write the trust directory '%s' (mode %04o), so nothing in it is "
				    "trusted; 'chmod o-w %s', once you are sure of what it holds",
				    path, listing.st.st_mode & 07777, path);
	if (rc == 0)
		rc = take_stamp(&listing, out);
	if (rc == 0)
		rc = read_keys(&listing, out);
	if (rc == 0)
		return 0;
	trust_folder_free(out);
	return key_complain(why, rc, "can not read the trust directory '%s', so nothing is trusted: %s", path,
			    strerror(-rc));
}

bool trust_folder_same(const struct trust_folder *a, const struct trust_folder *b)
{
	if (a->count != b->count || strcmp(a->complaints ? a->complaints : "", b->complaints ? b->complaints : "") != 0)
		return false;
	for (size_t i = 0; i < a->count; i++) {
		const struct trust_key *x = &a->keys[i], *y = &b->keys[i];

		if (!key_equal(&x->key, &y->key) || strcmp(x->name, y->name) != 0 ||
		    x->not_before_ns != y->not_before_ns || x->not_after_ns != y->not_after_ns)
			return false;
	}
	return true;
}
