/*
 * crash_line.h - what a primary's log holds, without writing it down: a line of histories, in which every record follows
 * from its history and LSN. So two lines that part have what lies below in common, and the state at any LSN can be made.
 */
#ifndef WILD_TESTS_CRASH_LINE_H
#define WILD_TESTS_CRASH_LINE_H

#include "crash_journal.h"
#include "meta.h"

enum { LINE_ERAS_MAX = 64 };

struct era {
    uint64_t history, first_lsn;
    uint64_t last_lsn; /* UINT64_MAX: the last one, which goes on; below first_lsn: nothing was written */
    uint32_t epoch;
};

struct line {
    unsigned eras;
    struct era era[LINE_ERAS_MAX];
};

/* A place on it: behind `lsn`, in that era, of whose records there may be none yet. */
struct line_place {
    unsigned era;
    uint64_t lsn; /* of the last record; 0: none */
};

void line_begin(struct line *line, uint64_t history);
/* The last era ends at `lsn`, which is in it or just below, and another begins. False: there is no room for one. */
bool line_part(struct line *line, uint64_t lsn, uint64_t history);
/* Another line: goes with this one up to `lsn`, which is one of its records; its next history begins above all of this one. */
bool line_fork(struct line *out, const struct line *line, uint64_t lsn, uint64_t history);

/* Of the records up to `lsn`: the last one's place. */
struct line_place line_at(const struct line *line, uint64_t lsn);
/* The next record's LSN behind a place, in the same era; 0: that one is at its end. */
uint64_t line_next(const struct line *line, struct line_place place);
/* The last LSN that two lines have in common. */
uint64_t line_common(const struct line *a, const struct line *b);
uint64_t line_count(const struct line *line, uint64_t above,
                    uint64_t lsn); /* records with above < LSN <= lsn */

/* Encodes one record; its length. Keys: below `keys`. */
size_t line_record(uint8_t out[LOG_RECORD_BYTES_MAX], uint64_t history, uint64_t lsn, unsigned keys);
/* All records up to that LSN, in order. */
void line_each(const struct line *line, uint64_t lsn, unsigned keys,
               void (*each)(void *context, const uint8_t *record, size_t length), void *context);
/* Histories of the first `eras`, into meta: cluster id and histories. */
void line_meta(struct meta *meta, const struct line *line, unsigned eras);

#endif
