#include "suite.h"

#include <errno.h>

#include "apply.h"
#include "table_fixture.h"

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

/* Fills the table to twice its capacity, deletes back to it, ends: everything must lie in ordinary memory. */
static void rebuild(bool equal, unsigned value_length, unsigned lines)
{
    enum { CAPACITY = 600 };
    struct fixture f;
    fixture_open(&f, &(struct table_config){.capacity = CAPACITY, .force_equal_hashes = equal});
    uint64_t lsn = FIXTURE_FIRST_LSN;
    unsigned items = 2 * CAPACITY / lines, keep = CAPACITY / lines;
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
        {"the log shows the clock its time", the_log_shows_the_clock_its_time},
        {"without begin the capacity holds", without_begin_the_capacity_holds},
        {"a rebuild may overflow, ends in ordinary memory",
         a_rebuild_may_overflow_and_ends_in_ordinary_memory},
        {"a set too large in the end is refused", a_set_that_is_too_large_in_the_end_is_refused},
        CU_TEST_INFO_NULL,
    };
    return suite_run("apply", tests);
}
