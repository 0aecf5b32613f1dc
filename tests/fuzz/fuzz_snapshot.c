/*
 * fuzz_snapshot.c - a snapshot from nowhere is read and loaded. The input: a byte of options, then for each
 * part of the file a length (u16) and its bytes, which are padded to a whole block; options & 1: all sums
 * are made right, so that what they cover is looked at.
 *
 * Whatever is read, it is either refused, each time with the same error, or gives as many items as it says,
 * all with LSNs that can be; and a table takes them, or has no room.
 */
#include <errno.h>
#include <string.h>

#include "apply.h"
#include "fuzz.h"
#include "snapshot_bytes.h"

enum { FILE_MAX = 1 << 18, SUMS_RIGHT = 1 };

/* A folder with one file. */
struct folder {
    uint8_t *bytes;
    size_t length;
};

static int folder_open(void *state, const char *name, enum disk_open how, uint64_t bytes)
{
    (void)state, (void)name, (void)bytes;
    return how == DISK_READ ? 0 : -EROFS;
}

static void folder_close(void *state, int file)
{
    (void)state, (void)file;
}

static int64_t folder_size(void *state, int file)
{
    (void)file;
    return (int64_t)((struct folder *)state)->length;
}

static int64_t folder_read(void *state, int file, uint64_t offset, void *out, size_t length)
{
    struct folder *folder = state;
    (void)file;
    MUST(offset <= folder->length);
    if (length > folder->length - offset)
        length = folder->length - offset;
    if (length > 0)
        memcpy(out, folder->bytes + offset, length);
    return (int64_t)length;
}

static const struct disk_calls folder_calls = {
    .open = folder_open, .close = folder_close, .size = folder_size, .read = folder_read};

static void lay_file(struct folder *folder, struct fuzz_input *input)
{
    unsigned options = fuzz_u8(input);
    folder->bytes = calloc(1, FILE_MAX);
    MUST(folder->bytes != NULL);
    while (fuzz_left(input) > 2) {
        size_t length = fuzz_u16(input);
        if (length > fuzz_left(input))
            length = fuzz_left(input);
        size_t padded = (length + DISK_BLOCK_BYTES - 1) / DISK_BLOCK_BYTES * DISK_BLOCK_BYTES;
        if (folder->length + padded > FILE_MAX)
            break;
        memcpy(folder->bytes + folder->length, input->at, length);
        input->at += length;
        folder->length += padded;
    }
    if (options & SUMS_RIGHT)
        snapshot_bytes_sum(folder->bytes, folder->length);
}

static void load(struct snapshot_reader *reader)
{
    struct table_config config = {
        .capacity = TABLE_CAPACITY_MIN, .first_lsn = (uint64_t)1 << 32, .workers = 1, .numa_node = -1};
    struct table *table;
    uint64_t items = 0, highest = 0;
    const uint8_t *records;
    size_t bytes;
    int outcome, applied = 0;
    MUST(table_create(&table, &config, NULL) == 0);
    struct execute_context *context = execute_context_create(table, 0, NULL);
    MUST(context != NULL && apply_begin(context) == 0);
    while ((outcome = snapshot_reader_next(reader, &records, &bytes)) == 1) {
        for (size_t at = 0; at < bytes; items++) {
            struct log_record record;
            int whole = log_record_decode(&record, records + at, bytes - at);
            MUST(whole > 0 && record.type == LOG_SET);
            highest = record.lsn > highest ? record.lsn : highest;
            at += (size_t)whole;
        }
        if (applied == 0)
            applied = apply_records(context, records, bytes);
        MUST(applied == 0 || applied == -ENOSPC);
    }
    struct snapshot_facts facts = snapshot_reader_facts(reader);
    MUST(outcome == 0 && items == facts.items && highest <= facts.end_lsn);
    MUST(facts.end_lsn <= SNAPSHOT_LSN_MAX && facts.position.next_lsn <= facts.end_lsn + 1);
    if (applied == 0)
        applied = apply_end(context);
    MUST(applied == 0 || applied == -ENOSPC);
    execute_context_destroy(context);
    table_destroy(table);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct fuzz_input input = {data, data + size};
    struct folder folder = {0};
    struct disk disk = {.state = &folder, .call = &folder_calls};
    struct snapshot_reader *reader;
    lay_file(&folder, &input);
    if (snapshot_reader_open(&reader, &disk, "snapshot") == 0) {
        int outcome = snapshot_reader_check(reader);
        if (outcome == 0) {
            load(reader);
        } else {
            const uint8_t *records;
            size_t bytes;
            int again;
            while ((again = snapshot_reader_next(reader, &records, &bytes)) == 1)
                ;
            MUST(again == outcome);
        }
        snapshot_reader_close(reader);
    }
    free(folder.bytes);
    return 0;
}
