#include "suite.h"

#include <errno.h>

#include "apply.h"
#include "bucket.h"
#include "lines.h"
#include "table_fixture.h"
#include "table_walk.h"

static int apply_set(struct fixture *f, uint64_t lsn, unsigned number, unsigned value_length)
{
    static const uint8_t value[VALUE_BYTES_MAX];
    uint8_t key[4] = {'k', (uint8_t)number, (uint8_t)(number >> 8)};
    struct log_record record = {.lsn = lsn,
                                .type = LOG_SET,
                                .key = key,
                                .key_length = sizeof key,
                                .value = value,
                                .value_length = (uint16_t)value_length};
    return apply_record(f->context, &record);
}

static void older_records_change_nothing(void)
{
    struct fixture f;
    fixture_open(&f, &(struct table_config){.capacity = 64});
    struct log_record set = {.lsn = FIXTURE_FIRST_LSN + 10,
                             .type = LOG_SET,
                             .key = (const uint8_t *)"k",
                             .key_length = 1,
                             .value = (const uint8_t *)"new",
                             .value_length = 3};
    CU_ASSERT_EQUAL(apply_record(f.context, &set), 0);
    struct log_record older = set;
    older.lsn -= 5;
    older.value = (const uint8_t *)"old";
    CU_ASSERT_EQUAL(apply_record(f.context, &older), 0);
    older.type = LOG_DELETE;
    older.value_length = 0;
    CU_ASSERT_EQUAL(apply_record(f.context, &older), 0);
    CU_ASSERT_EQUAL(fixture_get(&f, "k"), STATUS_OK);
    CU_ASSERT_TRUE(fixture_value_is(&f, "new"));
    struct log_record flush = {.lsn = FIXTURE_FIRST_LSN + 20, .type = LOG_FLUSH};
    CU_ASSERT_EQUAL(apply_record(f.context, &flush), 0);
    CU_ASSERT_EQUAL(apply_record(f.context, &set), 0);
    CU_ASSERT_EQUAL(fixture_get(&f, "k"), STATUS_NOT_FOUND);
    struct table_counts counts;
    table_counts(f.table, &counts);
    CU_ASSERT_EQUAL(counts.lsn, FIXTURE_FIRST_LSN + 20);
    /* and the next write goes on above it */
    f.merge.next_lsn = FIXTURE_FIRST_LSN + 21;
    CU_ASSERT_EQUAL(fixture_set(&f, "k", "v", 0, 0), STATUS_OK);
    CU_ASSERT_EQUAL(f.result.version, FIXTURE_FIRST_LSN + 21);
    fixture_close(&f);
}

static void a_new_history_begins_where_it_is_told(void)
{
    struct fixture f;
    fixture_open(&f, &(struct table_config){.capacity = 64});
    CU_ASSERT_EQUAL(apply_set(&f, FIXTURE_FIRST_LSN + 5, 1, 8), 0);
    apply_next_lsn(f.context, 2 * FIXTURE_FIRST_LSN);
    f.merge.next_lsn = 2 * FIXTURE_FIRST_LSN;
    CU_ASSERT_EQUAL(fixture_set(&f, "k", "v", 0, 0), STATUS_OK);
    CU_ASSERT_EQUAL(f.result.version, 2 * FIXTURE_FIRST_LSN);
    CU_ASSERT_EQUAL(f.last.lsn, 2 * FIXTURE_FIRST_LSN);
    fixture_close(&f);
}

/* A log of few keys, so that a group of records has some of them twice, with gaps and of all types. */
static size_t write_log(uint8_t *out, size_t room, uint64_t *seed)
{
    static const uint8_t value[VALUE_BYTES_MAX];
    uint64_t lsn = FIXTURE_FIRST_LSN;
    size_t used = 0;
    while (used + LOG_RECORD_BYTES_MAX <= room) {
        uint8_t key[KEY_BYTES_MAX];
        struct log_record record = {.lsn = lsn += 1 + seeded_below(seed, 3), .type = LOG_SET, .key = key};
        unsigned kind = (unsigned)seeded_below(seed, 40);
        if (kind == 0 || kind == 1) {
            record.type = kind == 0 ? LOG_FLUSH : LOG_NOP;
        } else {
            record.key_length = (uint8_t)(1 + seeded_below(seed, seeded_below(seed, 10) == 0 ? 250 : 9));
            memset(key, (int)('a' + seeded_below(seed, 6)), record.key_length);
            if (kind < 10) {
                record.type = LOG_DELETE;
                record.reason = LOG_REASON_REQUEST;
            } else {
                record.value = value;
                record.value_length = (uint16_t)seeded_below(seed, 100);
                record.expiry_ms = seeded_below(seed, 4) == 0 ? 5000 : 0;
            }
        }
        used += log_record_encode(out + used, &record);
    }
    return used;
}

static void records_in_a_row_do_what_each_alone_does(void)
{
    enum { ROOM = 60000, COPIES = 1 << 20 };
    uint64_t seed = seeded_start(seeded_from_environment(1));
    uint8_t *log = malloc(ROOM), *copy[2] = {malloc(COPIES), malloc(COPIES)};
    CU_ASSERT_FATAL(log != NULL && copy[0] != NULL && copy[1] != NULL);
    for (unsigned round = 0; round < 30; round++) {
        struct fixture f[2];
        size_t bytes = write_log(log, round % 10 == 0 ? 3000 : ROOM, &seed), copied[2] = {0, 0};
        for (unsigned i = 0; i < 2; i++)
            fixture_open(&f[i],
                         &(struct table_config){.capacity = 5000, .force_equal_hashes = round % 5 == 1});
        for (size_t at = 0; at < bytes;) {
            struct log_record record;
            at += (size_t)log_record_decode(&record, log + at, bytes - at);
            CU_ASSERT_EQUAL(apply_record(f[0].context, &record), 0);
        }
        CU_ASSERT_EQUAL(apply_records(f[1].context, log, bytes), 0);
        for (unsigned i = 0; i < 2; i++) {
            for (uint32_t bucket = 0; bucket < table_bucket_count(f[i].table); bucket++) {
                uint32_t below = TABLE_COPY_ALL;
                int64_t more =
                    table_copy_bucket(f[i].table, bucket, &below, copy[i] + copied[i], COPIES - copied[i]);
                CU_ASSERT_FATAL(more >= 0 && below == 0);
                copied[i] += (size_t)more;
            }
        }
        CU_ASSERT(copied[0] > 0 && copied[0] == copied[1] && memcmp(copy[0], copy[1], copied[0]) == 0);
        struct table_counts counts[2];
        for (unsigned i = 0; i < 2; i++) {
            table_counts(f[i].table, &counts[i]);
            fixture_close(&f[i]);
        }
        CU_ASSERT(counts[0].lsn == counts[1].lsn && counts[0].flush_lsn == counts[1].flush_lsn);
        CU_ASSERT(counts[0].items == counts[1].items && counts[0].lines_used == counts[1].lines_used);
    }
    free(log);
    free(copy[0]);
    free(copy[1]);
}

static void what_is_before_a_broken_record_counts(void)
{
    uint8_t bytes[200];
    struct fixture f;
    size_t used = 0;
    fixture_open(&f, &(struct table_config){.capacity = 64});
    for (unsigned i = 0; i < 3; i++)
        used += log_record_encode(bytes + used, &(struct log_record){.lsn = FIXTURE_FIRST_LSN + i,
                                                                     .type = LOG_SET,
                                                                     .key = (const uint8_t *)"abc" + i,
                                                                     .key_length = 1});
    bytes[used - 1] = 1; /* padding */
    CU_ASSERT_EQUAL(apply_records(f.context, bytes, used), -EBADMSG);
    CU_ASSERT_EQUAL(apply_records(f.context, bytes, 31), -EBADMSG);
    CU_ASSERT_EQUAL(apply_records(f.context, bytes, 0), 0);
    CU_ASSERT_EQUAL(fixture_get(&f, "a"), STATUS_OK);
    CU_ASSERT_EQUAL(fixture_get(&f, "b"), STATUS_OK);
    CU_ASSERT_EQUAL(fixture_get(&f, "c"), STATUS_NOT_FOUND);
    fixture_close(&f);
}

static void the_log_shows_the_clock_its_time(void)
{
    struct fixture f;
    fixture_open(&f, &(struct table_config){.capacity = 64});
    CU_ASSERT_EQUAL(fixture_set(&f, "k", "v", 100, 0), STATUS_OK);
    apply_clock(f.context, 1100);
    CU_ASSERT_EQUAL(fixture_get(&f, "k"), STATUS_NOT_FOUND);
    fixture_close(&f);
}

static void without_begin_the_capacity_holds(void)
{
    struct fixture f;
    fixture_open(&f, &(struct table_config){.capacity = 100});
    for (unsigned i = 0; i < 100; i++)
        CU_ASSERT_EQUAL(apply_set(&f, FIXTURE_FIRST_LSN + i, i, 8), 0);
    CU_ASSERT_EQUAL(apply_set(&f, FIXTURE_FIRST_LSN + 100, 100, 8), -ENOSPC);
    /* What a FLUSH hid makes room by itself. */
    struct log_record flush = {.lsn = FIXTURE_FIRST_LSN + 101, .type = LOG_FLUSH};
    CU_ASSERT_EQUAL(apply_record(f.context, &flush), 0);
    CU_ASSERT_EQUAL(apply_set(&f, FIXTURE_FIRST_LSN + 102, 100, 1000), 0);
    fixture_close(&f);
}

/* Fills the table as far as a rebuild may, deletes back to its capacity, ends: everything must lie in ordinary
 * memory. */
static void rebuild(bool equal, unsigned value_length, unsigned lines)
{
    enum { CAPACITY = 600 };
    struct fixture f;
    fixture_open(&f, &(struct table_config){.capacity = CAPACITY, .force_equal_hashes = equal});
    uint64_t lsn = FIXTURE_FIRST_LSN;
    unsigned items = (unsigned)lines_rebuild_limit(CAPACITY) / lines, keep = CAPACITY / lines;
    CU_ASSERT_EQUAL(apply_begin(f.context), 0);
    for (unsigned i = 0; i < items; i++)
        CU_ASSERT_EQUAL(apply_set(&f, lsn++, i, value_length), 0);
    CU_ASSERT_EQUAL(apply_set(&f, lsn++, items, value_length), -ENOSPC);
    for (unsigned i = 0; i < items - keep; i++) {
        /* Early ones go, so that what stays lies in the overflow region. */
        uint8_t key[4] = {'k', (uint8_t)i, (uint8_t)(i >> 8)};
        struct log_record gone = {
            .lsn = lsn++, .type = LOG_DELETE, .reason = LOG_REASON_EVICTED, .key = key, .key_length = 4};
        CU_ASSERT_EQUAL(apply_record(f.context, &gone), 0);
    }
    CU_ASSERT_EQUAL(apply_end(f.context), 0);
    for (unsigned i = 0; i < items; i++) {
        uint8_t key[4] = {'k', (uint8_t)i, (uint8_t)(i >> 8)};
        struct operation get = {.opcode = OPCODE_GET, .key = key, .key_length = 4};
        enum status expected = i < items - keep ? STATUS_NOT_FOUND : STATUS_OK;
        CU_ASSERT_EQUAL(fixture_execute(&f, &get), expected);
        CU_ASSERT(expected == STATUS_NOT_FOUND || f.result.value_length == value_length);
    }
    struct table_counts counts;
    table_counts(f.table, &counts);
    CU_ASSERT(counts.items == keep && counts.lines_used == keep * lines);
    /* Everything can be deleted and the table filled again: no line was lost or is held twice. */
    f.merge.next_lsn = counts.lsn + 1;
    for (unsigned i = items - keep; i < items; i++) {
        uint8_t key[4] = {'k', (uint8_t)i, (uint8_t)(i >> 8)};
        struct operation gone = {.opcode = OPCODE_DELETE, .key = key, .key_length = 4};
        CU_ASSERT_EQUAL(fixture_execute(&f, &gone), STATUS_OK);
    }
    for (unsigned i = 0; i < CAPACITY; i++) {
        uint8_t key[4] = {'n', (uint8_t)i, (uint8_t)(i >> 8)};
        struct operation set = {.opcode = OPCODE_SET, .key = key, .key_length = 4};
        CU_ASSERT_EQUAL(fixture_execute(&f, &set), STATUS_OK);
    }
    fixture_close(&f);
}

static void a_rebuild_may_overflow_and_ends_in_ordinary_memory(void)
{
    rebuild(false, 30, 1);
    rebuild(true, 30, 1);
    rebuild(false, 200, 4);
    rebuild(true, 1024, 19);
}

enum { STEPS_CAPACITY = 600, STEPS_KEYS = 3000 };

/* What the table must hold: of each key the value's length, -1: none. */
struct expected {
    int length[STEPS_KEYS];
    unsigned lines;
};

static unsigned lines_of(int length)
{
    return length < 0 ? 0 : length <= 30 ? 1 : 4; /* of 200 bytes */
}

/* One more record, of a random key; none that a table of that capacity has no room for. */
static void change(struct fixture *f, struct expected *expected, uint64_t *seed, uint64_t *lsn, unsigned room)
{
    unsigned key = (unsigned)seeded_below(seed, STEPS_KEYS);
    int length = seeded_below(seed, 3) == 0 ? -1 : seeded_below(seed, 2) == 0 ? 30 : 200;
    unsigned lines = expected->lines - lines_of(expected->length[key]) + lines_of(length);

    if (lines > room)
        return;
    if (length >= 0) {
        CU_ASSERT_EQUAL_FATAL(apply_set(f, *lsn, key, (unsigned)length), 0);
    } else {
        uint8_t name[4] = {'k', (uint8_t)key, (uint8_t)(key >> 8)};
        struct log_record gone = {
            .lsn = *lsn, .type = LOG_DELETE, .reason = LOG_REASON_EVICTED, .key = name, .key_length = 4};
        CU_ASSERT_EQUAL_FATAL(apply_record(f->context, &gone), 0);
    }
    ++*lsn;
    expected->length[key] = length;
    expected->lines = lines;
}

static void flush(struct fixture *f, struct expected *expected, uint64_t *lsn)
{
    struct log_record record = {.lsn = (*lsn)++, .type = LOG_FLUSH};
    CU_ASSERT_EQUAL_FATAL(apply_record(f->context, &record), 0);
    memset(expected, 0xff, sizeof *expected);
    expected->lines = 0;
}

static void expect_all(struct fixture *f, const struct expected *expected)
{
    for (unsigned i = 0; i < STEPS_KEYS; i++) {
        uint8_t key[4] = {'k', (uint8_t)i, (uint8_t)(i >> 8)};
        struct operation get = {.opcode = OPCODE_GET, .key = key, .key_length = 4};
        bool there = expected->length[i] >= 0;
        CU_ASSERT_EQUAL_FATAL(fixture_execute(f, &get), there ? STATUS_OK : STATUS_NOT_FOUND);
        CU_ASSERT_FATAL(!there || f->result.value_length == expected->length[i]);
    }
}

/* More than the capacity at first, in the overflow region too; then the end, a few buckets at a time, while the log goes
 * on; flushes: it is emptied, before the end or in it. */
static void end_in_steps(bool equal, unsigned buckets, unsigned flush_before, unsigned flush_at)
{
    static struct expected expected;
    struct fixture f;
    struct table_counts counts;
    uint64_t lsn = FIXTURE_FIRST_LSN, seed = seeded_start(seeded_from_environment(5) + buckets);
    unsigned steps = 0;
    int outcome;

    fixture_open(&f, &(struct table_config){.capacity = STEPS_CAPACITY, .force_equal_hashes = equal});
    memset(&expected, 0xff, sizeof expected);
    expected.lines = 0;
    CU_ASSERT_EQUAL(apply_begin(f.context), 0);
    while (expected.lines < lines_rebuild_limit(STEPS_CAPACITY) - 8)
        change(&f, &expected, &seed, &lsn, (unsigned)lines_rebuild_limit(STEPS_CAPACITY));
    if (flush_before)
        flush(&f, &expected, &lsn);
    for (unsigned key = 0; expected.lines > STEPS_CAPACITY;
         key++) /* early ones: what stays lies in the region */
        change(&f, &expected, &seed, &lsn, expected.lines - 1);
    while ((outcome = apply_end_step(f.context, buckets)) > 0) {
        if (++steps == flush_at)
            flush(&f, &expected, &lsn);
        for (unsigned i = 0; i < 5; i++)
            change(&f, &expected, &seed, &lsn, STEPS_CAPACITY);
        CU_ASSERT_FATAL(steps < 100000);
    }
    CU_ASSERT_EQUAL(outcome, 0);
    CU_ASSERT_TRUE(steps > 10);
    expect_all(&f, &expected);
    /* what is hidden may still be counted: until it is in somebody's way */
    for (unsigned i = 0; i < 3000; i++)
        change(&f, &expected, &seed, &lsn, STEPS_CAPACITY);
    expect_all(&f, &expected);
    while (!apply_clear(f.context, UINT32_MAX))
        ;
    table_counts(f.table, &counts);
    CU_ASSERT(counts.items == 0 && counts.lines_used == 0 && counts.overflow_buckets == 0);
    for (unsigned i = 0; i < STEPS_CAPACITY; i++) /* no line was lost */
        CU_ASSERT_EQUAL_FATAL(apply_set(&f, lsn++, i, 30), 0);
    fixture_close(&f);
}

static void a_rebuild_ends_in_steps_while_the_log_goes_on(void)
{
    for (unsigned buckets = 1; buckets <= 7; buckets += 2) {
        end_in_steps(false, buckets, 0, 0);
        end_in_steps(false, buckets, 1, 0);
        end_in_steps(false, buckets, 0, 5);
        end_in_steps(false, buckets, 1, 9);
    }
    end_in_steps(true, 1, 0, 0);
    end_in_steps(true, 1, 1, 50);
}

/* Each step is bounded, also the one that takes away what a FLUSH hid. */
static void a_step_of_the_end_is_no_longer_than_asked(void)
{
    struct fixture f;
    fixture_open(&f, &(struct table_config){.capacity = STEPS_CAPACITY});
    struct log_record record = {.lsn = FIXTURE_FIRST_LSN + STEPS_CAPACITY, .type = LOG_FLUSH};
    unsigned steps = 0, buckets = table_bucket_count(f.table);

    CU_ASSERT_EQUAL(apply_begin(f.context), 0);
    for (unsigned i = 0; i < STEPS_CAPACITY; i++)
        CU_ASSERT_EQUAL_FATAL(apply_set(&f, FIXTURE_FIRST_LSN + i, i, 30), 0);
    CU_ASSERT_EQUAL(apply_record(f.context, &record), 0);
    struct table_counts counts;
    for (unsigned before = STEPS_CAPACITY; apply_end_step(f.context, 1) > 0; steps++, before = counts.items) {
        table_counts(f.table, &counts);
        CU_ASSERT_TRUE(counts.items + 3 * BUCKET_SLOTS >= before);
    }
    CU_ASSERT_TRUE(steps >= 2 * buckets - 1);
    fixture_close(&f);
}

/* What did not come to its end, nor to anything else. */
static void a_rebuild_is_begun_again_on_an_emptied_table(void)
{
    struct fixture f;
    fixture_open(&f, &(struct table_config){.capacity = STEPS_CAPACITY});
    for (unsigned round = 0; round < 3; round++) {
        uint64_t lsn = FIXTURE_FIRST_LSN;
        CU_ASSERT_EQUAL(apply_begin(f.context), 0);
        while (apply_set(&f, lsn, (unsigned)(lsn - FIXTURE_FIRST_LSN), 30) == 0)
            lsn++;
        CU_ASSERT_EQUAL(lsn - FIXTURE_FIRST_LSN, lines_rebuild_limit(STEPS_CAPACITY));
        for (unsigned i = 0; i < lines_rebuild_limit(STEPS_CAPACITY) - STEPS_CAPACITY; i++) {
            uint8_t name[4] = {'k', (uint8_t)i, (uint8_t)(i >> 8)};
            struct log_record gone = {
                .lsn = lsn++, .type = LOG_DELETE, .reason = LOG_REASON_EVICTED, .key = name, .key_length = 4};
            CU_ASSERT_EQUAL_FATAL(apply_record(f.context, &gone), 0);
        }
        for (unsigned i = 0; i < 10 * round; i++) /* given up before the end, or in it */
            CU_ASSERT_EQUAL(apply_end_step(f.context, 1), 1);
        while (!apply_clear(f.context, 7))
            ;
    }
    CU_ASSERT_EQUAL(apply_begin(f.context), 0);
    for (unsigned i = 0; i < STEPS_CAPACITY; i++)
        CU_ASSERT_EQUAL_FATAL(apply_set(&f, FIXTURE_FIRST_LSN + i, i, 30), 0);
    CU_ASSERT_EQUAL(apply_end(f.context), 0);
    CU_ASSERT_EQUAL(apply_set(&f, FIXTURE_FIRST_LSN + STEPS_CAPACITY, STEPS_CAPACITY, 30), -ENOSPC);
    fixture_close(&f);
}

static void a_set_that_is_too_large_in_the_end_is_refused(void)
{
    struct fixture f;
    fixture_open(&f, &(struct table_config){.capacity = 64});
    CU_ASSERT_EQUAL(apply_begin(f.context), 0);
    for (unsigned i = 0; i < 65; i++)
        CU_ASSERT_EQUAL(apply_set(&f, FIXTURE_FIRST_LSN + i, i, 8), 0);
    CU_ASSERT_EQUAL(apply_end(f.context), -ENOSPC);
    fixture_close(&f);
}

int main(void)
{
    CU_TestInfo tests[] = {
        {"older records change nothing", older_records_change_nothing},
        {"a new history begins where it is told", a_new_history_begins_where_it_is_told},
        {"records in a row do what each alone does", records_in_a_row_do_what_each_alone_does},
        {"what is before a broken record counts", what_is_before_a_broken_record_counts},
        {"the log shows the clock its time", the_log_shows_the_clock_its_time},
        {"without begin the capacity holds", without_begin_the_capacity_holds},
        {"a rebuild may overflow, ends in ordinary memory",
         a_rebuild_may_overflow_and_ends_in_ordinary_memory},
        {"a rebuild ends in steps, while the log goes on", a_rebuild_ends_in_steps_while_the_log_goes_on},
        {"a step of the end is no longer than asked", a_step_of_the_end_is_no_longer_than_asked},
        {"a rebuild is begun again on an emptied table", a_rebuild_is_begun_again_on_an_emptied_table},
        {"a set too large in the end is refused", a_set_that_is_too_large_in_the_end_is_refused},
        CU_TEST_INFO_NULL,
    };
    return suite_run("apply", tests);
}
