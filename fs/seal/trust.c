/*
 * trust - the keys that count, kept up to date, and the judgement of a signature
 */
#include "sealfs/trust.h"

#include <pthread.h>
#include <stdarg.h>
#include <stdio.h>

#include "internal.h"
#include "key_internal.h"
#include "sealfs/record.h"
#include "sealfs/signature.h"
#include "trust_internal.h"

struct trust {
	char *path;
	void (*report)(void *arg, const char *sentence);
	void *arg;
	pthread_mutex_t lock;
	/* under `lock` */
	uint64_t generation;
	struct trust_folder folder;
	int error;   /* why nothing can be trusted, … */
	char *gloom; /* … in a sentence */
};

static void report_lines(const struct trust *trust, const char *lines)
{
	AUTO_FREE char *copy = lines && trust->report ? strdup(lines) : NULL;
	char *rest = copy;
	char *line;

	while ((line = strsep(&rest, "\n")) != NULL) {
		if (*line)
			trust->report(trust->arg, line);
	}
}

/* 1 when the object trusts otherwise now. Takes over what is in `folder`. */
static int adopt(struct trust *trust, struct trust_folder *folder)
{
	bool same = trust->error == 0 && trust_folder_same(&trust->folder, folder);

	trust_folder_free(&trust->folder);
	trust->folder = *folder;
	trust->error = 0;
	free(trust->gloom);
	trust->gloom = NULL;
	if (same)
		return 0;
	trust->generation++;
	report_lines(trust, trust->folder.complaints);
	return 1;
}

/* Takes over `why`. */
static int lose(struct trust *trust, int error, char *why)
{
	bool known = trust->error == error;

	trust_folder_free(&trust->folder);
	free(trust->gloom);
	trust->gloom = why;
	trust->error = error;
	if (!known) {
		trust->generation++;
		report_lines(trust, why);
	}
	return error;
}

static int refresh(struct trust *trust)
{
	struct trust_folder seen;
	char *why;
	int rc;

	if (trust->error == 0 && trust->folder.settled && trust_folder_look(trust->path, &seen) == 0 &&
	    digest_equal(&seen.stamp, &trust->folder.stamp))
		return 0;
	rc = trust_folder_read(trust->path, &seen, &why);
	return rc < 0 ? lose(trust, rc, why) : adopt(trust, &seen);
}

int trust_refresh(struct trust *trust)
{
	int rc;

	pthread_mutex_lock(&trust->lock);
	rc = refresh(trust);
	pthread_mutex_unlock(&trust->lock);
	return rc;
}

int trust_open(const char *path, void (*report)(void *arg, const char *sentence), void *arg, struct trust **out,
	       char **why)
{
	struct trust_folder folder;
	struct trust *trust;
	int rc = trust_folder_read(path, &folder, why);

	if (rc < 0)
		return rc;
	trust = calloc(1, sizeof(*trust));
	if (trust)
		trust->path = strdup(path);
	if (!trust || !trust->path) {
		trust_folder_free(&folder);
		free(trust);
		return -ENOMEM;
	}
	trust->report = report;
	trust->arg = arg;
	pthread_mutex_init(&trust->lock, NULL);
	adopt(trust, &folder);
	*out = trust;
	return 0;
}

void trust_close(struct trust *trust)
{
	if (!trust)
		return;
	trust_folder_free(&trust->folder);
	pthread_mutex_destroy(&trust->lock);
	free(trust->gloom);
	free(trust->path);
	free(trust);
}

uint64_t trust_generation(struct trust *trust)
{
	uint64_t generation;

	pthread_mutex_lock(&trust->lock);
	generation = trust->generation;
	pthread_mutex_unlock(&trust->lock);
	return generation;
}

size_t trust_count(struct trust *trust)
{
	size_t count;

	pthread_mutex_lock(&trust->lock);
	count = trust->folder.count;
	pthread_mutex_unlock(&trust->lock);
	return count;
}

const char *trust_verdict_name(enum trust_verdict verdict)
{
	static const char *const names[] = {
		[TRUST_GOOD] = "good",
		[TRUST_UNSIGNED] = "unsigned",
		[TRUST_UNREADABLE] = "unreadable",
		[TRUST_FORGED] = "forged",
		[TRUST_UNKNOWN] = "unknown key",
		[TRUST_EXPIRED] = "expired",
		[TRUST_NOT_YET] = "not yet valid",
		[TRUST_NOTHING] = "nothing trusted",
	};

	return names[verdict];
}

void trust_finding_free(struct trust_finding *finding)
{
	free(finding->who);
	free(finding->why);
	*finding = (struct trust_finding){0};
}

static int __attribute__((format(printf, 3, 4)))
reject(struct trust_finding *out, enum trust_verdict verdict, const char *format, ...)
{
	va_list args;

	out->verdict = verdict;
	va_start(args, format);
	if (vasprintf(&out->why, format, args) < 0)
		out->why = NULL;
	va_end(args);
	return -EKEYREJECTED;
}

static bool in_period(const struct trust_key *key, int64_t time_ns)
{
	return key->not_before_ns <= time_ns && time_ns <= key->not_after_ns;
}

/* Of several files with the same key one that is good for that time, else any; NULL when there is none. */
static const struct trust_key *find(const struct trust_folder *folder, const struct key_public *key, int64_t time_ns)
{
	const struct trust_key *found = NULL;

	for (size_t i = 0; i < folder->count; i++) {
		if (!key_equal(&folder->keys[i].key, key))
			continue;
		if (!found || in_period(&folder->keys[i], time_ns))
			found = &folder->keys[i];
	}
	return found;
}

static int unknown_key(const struct trust *trust, const struct key_public *key, struct trust_finding *out)
{
	char text[KEY_TEXT_SIZE];

	if (trust->error)
		return reject(out, TRUST_NOTHING, "%s",
			      trust->gloom ? trust->gloom : "the trust directory can not be read");
	key_to_text(key, text);
	out->who = strdup(text);
	return reject(out, TRUST_UNKNOWN, "it is signed with the key %s, which is not in the trust directory '%s'",
		      text, trust->path);
}

/* Fills *key, whose name is to be freed, with what is known of the signature's. */
static int look_up(struct trust *trust, const struct key_public *wanted, int64_t time_ns, struct trust_key *key,
		   struct trust_finding *out)
{
	const struct trust_key *found;
	int rc = 0;

	pthread_mutex_lock(&trust->lock);
	found = find(&trust->folder, wanted, time_ns);
	if (found) {
		*key = *found;
		key->name = strdup(found->name);
		rc = key->name ? 0 : -ENOMEM;
	} else {
		rc = unknown_key(trust, wanted, out);
	}
	pthread_mutex_unlock(&trust->lock);
	return rc;
}

static int judge_time(const struct trust_key *key, int64_t time_ns, struct trust_finding *out)
{
	char is[RECORD_TIME_SIZE], limit[RECORD_TIME_SIZE];

	if (in_period(key, time_ns))
		return 0;
	record_time_format(time_ns, is);
	if (time_ns > key->not_after_ns) {
		record_time_format(key->not_after_ns, limit);
		return reject(out, TRUST_EXPIRED,
			      "expired by policy: the key '%s' is good for seals until %s, this one is of %s",
			      key->name, limit, is);
	}
	record_time_format(key->not_before_ns, limit);
	return reject(out, TRUST_NOT_YET,
		      "not yet valid by policy: the key '%s' is good for seals from %s on, this one is of %s",
		      key->name, limit, is);
}

static int judge(struct trust *trust, const struct digest *seal, int64_t time_ns, const struct signature *signature,
		 struct trust_finding *out)
{
	struct trust_key key = {.name = NULL};
	int rc = look_up(trust, &signature->key, time_ns, &key, out);

	if (rc < 0)
		return rc;
	out->who = key.name;
	rc = signature_check(signature, seal);
	if (rc == -EKEYREJECTED)
		return reject(out, TRUST_FORGED,
			      "the signature with the key '%s' is wrong: the seal was changed, or it was forged",
			      key.name);
	return rc < 0 ? rc : judge_time(&key, time_ns, out);
}

int trust_check(struct trust *trust, const struct digest *seal, int64_t time_ns, const char *text, size_t size,
		struct trust_finding *out)
{
	struct signature signature;
	const char *why;
	int rc;

	*out = (struct trust_finding){.verdict = TRUST_NOTHING};
	if (!text)
		return reject(out, TRUST_UNSIGNED, "it is not signed");
	rc = signature_parse(text, size, &signature, &why);
	if (rc == -ENOMEM)
		return rc;
	if (rc < 0)
		return reject(out, TRUST_UNREADABLE, "its signature can not be read: %s", why);
	rc = judge(trust, seal, time_ns, &signature, out);
	if (rc == 0)
		out->verdict = TRUST_GOOD;
	return rc;
}
