/*
 * journal - what has happened in an experiment, one numbered file an entry
 *
 * Entry N is the file NNNNNNNN (decimal, from 1): one line, "<first 16 hex digits of the SHA-256 of what follows>
 * <JSON object>". It is finished and durable before link(2) gives it its name, and never changed: so whoever links N
 * first has decided what N is, on whatever machine; everybody else reads it and thinks again. No lock is needed, and a
 * kill at any point leaves an entry whole or not there.
 *
 * A file that is cut short nevertheless (a server that lost what it had called durable) counts as not written if nothing
 * follows it; the next entry then names it in "torn", and readers pass it by. Anywhere else it is an error, and so is a
 * whole line that contradicts its checksum.
 *
 * Every JOURNAL_CHAPTER entries are also copied into one file, NNNNNNNN.chapter (the number is its last entry's), so that
 * long journals are read with few requests. Chapters are a cache: one that is missing or bad is not believed.
 */
#ifndef SEALTUNER_JOURNAL_H
#define SEALTUNER_JOURNAL_H

#include <jansson.h>
#include <stddef.h>

#include "sealfs/store.h"

#define JOURNAL_CHAPTER 64
#define JOURNAL_ENTRY_LIMIT (16u << 20) /* bytes */

struct journal {
	const struct store *store;
	int dir;          /* descriptor of the journal's folder; the caller's */
	json_t **entries; /* entry N is at N - 1; NULL where it is torn */
	size_t count, capacity;
	char *why; /* after -EBADMSG: which entry is damaged */
};

/* Reads what has been added since the last call. -EBADMSG with journal->why; -ENOMEM; the export's -errno. */
int journal_read(struct journal *journal);

/*
 * Makes `entry` (not taken over) the next one. It is durable when 0 is returned, and part of journal->entries. -EEXIST when somebody was
 * first: then journal_read() and think again. After another error it may be there nevertheless.
 */
int journal_append(struct journal *journal, json_t *entry);

void journal_free(struct journal *journal);

#endif
