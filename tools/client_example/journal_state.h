/*
 * journal_state.h - what a journal (journal.h) says about every key, and whether what a node holds agrees.
 */
#ifndef WILD_EXAMPLE_JOURNAL_STATE_H
#define WILD_EXAMPLE_JOURNAL_STATE_H

#include <stdio.h>

#include "journal.h"

enum {
    /* How far the clocks of node and client may be apart before an expiry looks wrong. */
    JOURNAL_CLOCKS_APART_MS = 1000,
};

/* A write, as far as the journal knows it. */
struct journal_write {
    bool removes;
    uint32_t run, version, bytes;
    uint64_t lsn;           /* acknowledged ones */
    uint64_t expires_after; /* wall clock, ms; 0: never */
    uint64_t expired_by;    /* acknowledged ones */
    uint32_t next;          /* unanswered ones: index of the next of this key, NONE at the end */
    bool older;             /* unanswered: an acknowledged one followed it */
};

struct journal_key {
    uint64_t number;
    uint64_t highest_lsn;              /* of all its acknowledged writes */
    struct journal_write acknowledged; /* the last one */
    struct journal_write pending;      /* sent, outcome not read yet */
    uint32_t unanswered;               /* index of the newest, or JOURNAL_NONE */
    bool any_acknowledged, any_pending;
};
#define JOURNAL_NONE UINT32_MAX

struct journal_state {
    struct journal_key *keys;     /* in the order of their first write */
    struct journal_write *writes; /* unanswered ones */
    uint32_t *slots;              /* hash table of indices among keys */
    uint64_t lines;
    uint32_t key_count, keys_room, write_count, writes_room, slot_mask;
};

/* Reads all of it: true, or false with one line (which names the file's line). */
bool journal_state_read(struct journal_state *state, FILE *file, char error[JOURNAL_ERROR_BYTES]);
void journal_state_free(struct journal_state *state);

/* What a node answered to a GET. */
struct journal_found {
    const void *value; /* NULL and length 0 of an absent one, or an empty value */
    size_t length;
    bool absent;
    uint64_t version;             /* LSN of the write that it is from */
    uint64_t asked_ms, answer_ms; /* wall clock */
};

enum journal_verdict {
    JOURNAL_FINE,
    JOURNAL_LOST,  /* the state before an acknowledged write, or none */
    JOURNAL_WRONG, /* anything else that no write explains */
};
/*
 * An unanswered write may have happened or not, so either is fine, of several any. One that an acknowledged
 * write followed is
 * fine only with a higher version than that: it was executed late.
 */
enum journal_verdict journal_judge(const struct journal_state *state, const struct journal_key *key,
                                   const struct journal_found *found);

#endif
