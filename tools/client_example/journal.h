/*
 * journal.h - what a load test asked for and was told, in a file, so that a node that was killed and started
 * again can be held to it (load-test --journal FILE, then verify --journal FILE).
 *
 * Text, a line an event, in order for every key:
 *
 *   # wild-client-example journal 1                      the first line
 *   set K R.V BYTES EXPIRY           about to be sent: write number V of this key in run R stores so many
 *                                    bytes
 *                                    (which ones: load_values.h). Expires not before EXPIRY (wall clock, ms),
 *                                    - never
 *   delete K R.V                     about to be sent: write number V removes the key
 *   ok K R.V LSN EXPIRY              that write was acknowledged with this LSN (0: a delete that found
 *                                    nothing).
 *                                    Expires not after EXPIRY, - never
 *   unanswered K R.V                 it was not: it may have happened or not, or may happen yet
 *   refused K R.V                    it was refused: it did not happen
 *
 * K is the key's text, "load:" and eleven digits; R eight hexadecimal digits, random, one for each run of
 * load-test. For example:
 *
 *   set load:00000000042 5f3a91c2.17 32 -
 *   ok load:00000000042 5f3a91c2.17 4294967312 -
 *
 * A key has one writer at a time. A write is in the file before it is sent, its outcome before the key's next
 * write
 * is. So a write without an outcome (the load test itself was killed) counts as unanswered. A last line
 * without its end was cut off by that, and does not count; whoever appends to the file ends it with " (cut)".
 *
 * It is not synced: it survives the death of the node and of the load test, not the machine's. For a
 * power cut, keep it on another machine.
 */
#ifndef WILD_EXAMPLE_JOURNAL_H
#define WILD_EXAMPLE_JOURNAL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define JOURNAL_HEAD "# wild-client-example journal 1"
#define JOURNAL_CUT  " (cut)"

enum { JOURNAL_LINE_BYTES = 128, JOURNAL_BUFFER_BYTES = 32 * 1024, JOURNAL_ERROR_BYTES = 512 };

enum journal_event { JOURNAL_SET, JOURNAL_DELETE, JOURNAL_OK, JOURNAL_UNANSWERED, JOURNAL_REFUSED };

struct journal_line {
    enum journal_event event;
    uint32_t run, version;
    uint64_t key;       /* its number */
    uint64_t lsn;       /* ok */
    uint64_t expiry_ms; /* set, ok; 0: never */
    uint32_t bytes;     /* set */
};

/* Writes the line with its newline and a terminator; returns its length. */
size_t journal_line_write(char out[JOURNAL_LINE_BYTES], const struct journal_line *line);
/* text: without newline. False: no such line. */
bool journal_line_read(struct journal_line *out, const char *text);

/* The file, open for appending and locked against other load tests: a descriptor, or -1 with one line. */
int journal_open(const char *path, char error[JOURNAL_ERROR_BYTES]);

/* Of one thread; several append to the same file. Lines of one flush go out in one piece. */
struct journal {
    int fd;    /* -1: there is no journal, and nothing here does anything */
    int error; /* errno of the first write that failed; nothing is written after it */
    size_t length;
    char text[JOURNAL_BUFFER_BYTES];
};
void journal_add(struct journal *journal, const struct journal_line *line);
/* False: it failed, now or before. */
bool journal_flush(struct journal *journal);

#endif
