/*
 * snapshot_load.h - what recovery does with a snapshot, for tests.
 */
#ifndef WILD_TESTS_SNAPSHOT_LOAD_H
#define WILD_TESTS_SNAPSHOT_LOAD_H

#include "apply.h"
#include "snapshot.h"

/* Between apply_begin() and apply_end(). 0 or -errno; *facts are its. */
static inline int snapshot_load(struct execute_context *context, const struct disk *disk, const char *name,
                                struct snapshot_facts *facts)
{
    struct snapshot_reader *reader;
    const uint8_t *records;
    size_t bytes;
    int outcome = snapshot_reader_open(&reader, disk, name);
    if (outcome != 0)
        return outcome;
    struct log_record flush = {.lsn = snapshot_reader_facts(reader).flush_lsn, .type = LOG_FLUSH};
    if (flush.lsn != 0)
        outcome = apply_record(context, &flush);
    while (outcome == 0 && (outcome = snapshot_reader_next(reader, &records, &bytes)) > 0)
        outcome = apply_records(context, records, bytes);
    *facts = snapshot_reader_facts(reader);
    snapshot_reader_close(reader);
    return outcome;
}

#endif
