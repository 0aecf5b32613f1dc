/*
 * retry_window.h - what makes a retried write safe: the outcomes of a session's last RETRY_WINDOW_IDS request
 * ids (message.h, "Retries").
 *
 * The window covers the ids (highest - RETRY_WINDOW_IDS, highest], where highest is the highest id with a
 * recorded outcome. An id in it is either recorded, and then repeated, or new; an id above it is new; an id
 * below it is refused, since its outcome may have been forgotten.
 *
 * Recorded are outcomes that the table's state decided: OK, NOT_FOUND, EXISTS, VERSION_MISMATCH, FULL,
 * NOT_A_NUMBER. The others (BUSY, MORE, NOT_PRIMARY, READ_ONLY, TOO_LARGE, BAD_REQUEST) say that nothing was
 * tried: the same id may be tried again and is then executed. So a client that has sent an id more than once
 * and is told BUSY must repeat that id (and learns the one outcome), not conclude that nothing happened.
 */
#ifndef WILD_RETRY_WINDOW_H
#define WILD_RETRY_WINDOW_H

#include <stdint.h>

#include "message.h"

struct retry_outcome {
    uint64_t version;
    int64_t integer; /* OK: INCR's result; else the LSN that the outcome depends on (native_engine.h) */
    enum status status;
};

/* All zero: empty. Emptied again by retry_window_reset(), which leaves stale outcomes behind unseen marks. */
struct retry_window {
    uint64_t highest;
    uint8_t mark[RETRY_WINDOW_IDS]; /* status + 1; 0: nothing recorded */
    uint64_t version[RETRY_WINDOW_IDS];
    int64_t integer[RETRY_WINDOW_IDS];
};

enum retry_verdict { RETRY_NEW, RETRY_REPEATED, RETRY_TOO_OLD };

void retry_window_reset(struct retry_window *window);
/* REPEATED: *out is the recorded outcome. */
enum retry_verdict retry_window_check(const struct retry_window *window, uint64_t id,
                                      struct retry_outcome *out);
/* After a NEW id was executed. Ignores outcomes that are not to be recorded (see above). */
void retry_window_record(struct retry_window *window, uint64_t id, const struct retry_outcome *outcome);

#endif
