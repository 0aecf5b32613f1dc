#include "suite.h"

#include <stdio.h>

#include "table_fixture.h"

static enum status incr(struct fixture *f, const char *key, int64_t delta, int64_t initial, uint64_t ttl_ms,
                        unsigned flags)
{
    uint8_t operand[INCR_OPERAND_BYTES];
    struct operation operation = fixture_operation(OPCODE_INCR, key);
    incr_operand_encode(operand, delta, initial);
    operation.value = operand;
    operation.value_length = sizeof operand;
    operation.ttl_ms = ttl_ms;
    operation.flags = (uint8_t)flags;
    return fixture_execute(f, &operation);
}

static enum status touch(struct fixture *f, const char *key, uint64_t ttl_ms)
{
    struct operation operation = fixture_operation(OPCODE_TOUCH, key);
    operation.ttl_ms = ttl_ms;
    return fixture_execute(f, &operation);
}

static enum status flush(struct fixture *f)
{
    struct operation operation = {.opcode = OPCODE_FLUSH};
    return fixture_execute(f, &operation);
}

static void conditions_hold_or_answer_with_the_items_version(void)
{
    struct fixture f;
    fixture_open(&f, &(struct table_config){.capacity = 64});
    CU_ASSERT_EQUAL(fixture_set(&f, "k", "1", 0, FLAG_IF_PRESENT), STATUS_NOT_FOUND);
    CU_ASSERT_EQUAL(fixture_set(&f, "k", "1", 0, FLAG_IF_VERSION), STATUS_NOT_FOUND);
    CU_ASSERT_EQUAL(fixture_set(&f, "k", "1", 0, FLAG_IF_ABSENT), STATUS_OK);
    uint64_t version = f.result.version;
    CU_ASSERT_EQUAL(fixture_set(&f, "k", "2", 0, FLAG_IF_ABSENT), STATUS_EXISTS);
    CU_ASSERT_EQUAL(f.result.version, version);
    CU_ASSERT_EQUAL(f.drained, 1);
    struct operation set = fixture_operation(OPCODE_SET, "k");
    set.flags = FLAG_IF_VERSION;
    set.version = version + 1;
    CU_ASSERT_EQUAL(fixture_execute(&f, &set), STATUS_VERSION_MISMATCH);
    CU_ASSERT_EQUAL(f.result.version, version);
    set.version = version;
    CU_ASSERT_EQUAL(fixture_execute(&f, &set), STATUS_OK);
    CU_ASSERT_EQUAL(f.result.version, version + 1);
    CU_ASSERT_EQUAL(fixture_delete(&f, "k"), STATUS_OK);
    CU_ASSERT_EQUAL(f.result.version, version + 2);
    CU_ASSERT(f.last.type == LOG_DELETE && f.last.reason == LOG_REASON_REQUEST);
    CU_ASSERT_EQUAL(fixture_delete(&f, "k"), STATUS_NOT_FOUND);
    fixture_close(&f);
}

static void a_read_waits_for_the_buckets_last_change_even_a_delete(void)
{
    struct fixture f;
    fixture_open(&f, &(struct table_config){.capacity = 64, .force_equal_hashes = true});
    CU_ASSERT_EQUAL(fixture_set(&f, "a", "1", 0, 0), STATUS_OK);
    CU_ASSERT_EQUAL(fixture_set(&f, "b", "1", 0, 0), STATUS_OK);
    CU_ASSERT_EQUAL(fixture_delete(&f, "b"), STATUS_OK);
    uint64_t deleted = f.result.version;
    CU_ASSERT_EQUAL(fixture_get(&f, "b"), STATUS_NOT_FOUND);
    CU_ASSERT_EQUAL(f.result.bucket_lsn, deleted);
    CU_ASSERT_EQUAL(fixture_get(&f, "a"), STATUS_OK);
    CU_ASSERT_EQUAL(f.result.bucket_lsn, deleted);
    CU_ASSERT_EQUAL(flush(&f), STATUS_OK);
    uint64_t flushed = f.result.version;
    CU_ASSERT_EQUAL(fixture_get(&f, "a"), STATUS_NOT_FOUND);
    CU_ASSERT_EQUAL(f.result.bucket_lsn, flushed);
    fixture_close(&f);
}

static void items_expire_by_a_clock_that_never_goes_back(void)
{
    struct fixture f;
    fixture_open(&f, &(struct table_config){.capacity = 64});
    CU_ASSERT_EQUAL(fixture_set(&f, "k", "v", 100, 0), STATUS_OK);
    CU_ASSERT_EQUAL(f.last.expiry_ms, 1100);
    f.now_ms = 1099;
    CU_ASSERT_EQUAL(fixture_get(&f, "k"), STATUS_OK);
    f.now_ms = 1100;
    CU_ASSERT_EQUAL(fixture_get(&f, "k"), STATUS_NOT_FOUND);
    f.now_ms = 500;
    CU_ASSERT_EQUAL(fixture_get(&f, "k"), STATUS_NOT_FOUND);
    CU_ASSERT_EQUAL(fixture_delete(&f, "k"), STATUS_NOT_FOUND);
    CU_ASSERT_EQUAL(touch(&f, "k", 100), STATUS_NOT_FOUND);
    CU_ASSERT_EQUAL(fixture_set(&f, "k", "w", 0, FLAG_IF_ABSENT), STATUS_OK);
    CU_ASSERT_EQUAL(fixture_set(&f, "l", "w", UINT64_MAX, 0), STATUS_OK);
    CU_ASSERT_EQUAL(f.last.expiry_ms, UINT64_MAX);
    fixture_close(&f);
}

static void the_sweep_logs_what_it_removes(void)
{
    struct fixture f;
    fixture_open(&f, &(struct table_config){.capacity = 64});
    CU_ASSERT_EQUAL(fixture_set(&f, "old", "v", 100, 0), STATUS_OK);
    CU_ASSERT_EQUAL(fixture_set(&f, "new", "v", 0, 0), STATUS_OK);
    CU_ASSERT_EQUAL(execute_sweep(f.context, 13, 1099), 0);
    CU_ASSERT_EQUAL(execute_sweep(f.context, 13, 1100), 1);
    fixture_drain(&f);
    CU_ASSERT(f.last.type == LOG_DELETE && f.last.reason == LOG_REASON_EXPIRED);
    CU_ASSERT(f.last.key_length == 3 && memcmp(f.last.key, "old", 3) == 0);
    struct table_counts counts;
    table_counts(f.table, &counts);
    CU_ASSERT(counts.items == 1 && counts.lines_used == 1);
    fixture_close(&f);
}

static void touch_changes_the_lifetime_and_logs_the_whole_item(void)
{
    struct fixture f;
    fixture_open(&f, &(struct table_config){.capacity = 64});
    CU_ASSERT_EQUAL(fixture_set(&f, "k", "value", 100, 0), STATUS_OK);
    CU_ASSERT_EQUAL(touch(&f, "k", 0), STATUS_OK);
    CU_ASSERT(f.last.type == LOG_SET && f.last.expiry_ms == 0 && f.last.value_length == 5);
    CU_ASSERT_EQUAL(memcmp(f.last.value, "value", 5), 0);
    f.now_ms = 1 << 30;
    CU_ASSERT_EQUAL(fixture_get(&f, "k"), STATUS_OK);
    CU_ASSERT_EQUAL(f.result.version, f.last.lsn);
    fixture_close(&f);
}

static void incr_counts_and_keeps_the_expiry(void)
{
    struct fixture f;
    int64_t result;
    fixture_open(&f, &(struct table_config){.capacity = 64});
    CU_ASSERT_EQUAL(incr(&f, "n", -3, 10, 100, 0), STATUS_OK);
    CU_ASSERT(incr_result_decode(f.value, f.result.value_length, &result) && result == 7);
    CU_ASSERT_EQUAL(incr(&f, "n", -20, 10, 999, 0), STATUS_OK);
    CU_ASSERT(incr_result_decode(f.value, f.result.value_length, &result) && result == -13);
    CU_ASSERT_EQUAL(f.last.expiry_ms, 1100);
    CU_ASSERT_EQUAL(fixture_get(&f, "n"), STATUS_OK);
    CU_ASSERT_TRUE(fixture_value_is(&f, "-13"));
    CU_ASSERT_EQUAL(incr(&f, "n", 1, 0, 0, FLAG_IF_ABSENT), STATUS_EXISTS);
    CU_ASSERT_EQUAL(incr(&f, "m", 1, 0, 0, FLAG_IF_PRESENT), STATUS_NOT_FOUND);
    fixture_close(&f);
}

static void incr_refuses_what_is_no_strict_number(void)
{
    static const char *const bad[] = {"",
                                      " 1",
                                      "1 ",
                                      "+1",
                                      "-",
                                      "-0",
                                      "01",
                                      "1x",
                                      "0x1",
                                      "--1",
                                      "9223372036854775808",
                                      "-9223372036854775809",
                                      "000000000000000000001"};
    static const char *const good[] = {"0", "-1", "9223372036854775806", "-9223372036854775808"};
    struct fixture f;
    fixture_open(&f, &(struct table_config){.capacity = 64});
    for (unsigned i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        CU_ASSERT_EQUAL(fixture_set(&f, "n", bad[i], 0, 0), STATUS_OK);
        CU_ASSERT_EQUAL(incr(&f, "n", 1, 0, 0, 0), STATUS_NOT_A_NUMBER);
    }
    for (unsigned i = 0; i < sizeof good / sizeof good[0]; i++) {
        CU_ASSERT_EQUAL(fixture_set(&f, "n", good[i], 0, 0), STATUS_OK);
        CU_ASSERT_EQUAL(incr(&f, "n", 1, 0, 0, 0), STATUS_OK);
    }
    CU_ASSERT_EQUAL(fixture_set(&f, "n", "9223372036854775807", 0, 0), STATUS_OK);
    CU_ASSERT_EQUAL(incr(&f, "n", 1, 0, 0, 0), STATUS_NOT_A_NUMBER);
    CU_ASSERT_EQUAL(incr(&f, "fresh", 1, INT64_MAX, 0, 0), STATUS_NOT_A_NUMBER);
    CU_ASSERT_EQUAL(fixture_get(&f, "fresh"), STATUS_NOT_FOUND);
    fixture_close(&f);
}

static void more_is_answered_before_anything_is_executed(void)
{
    struct fixture f;
    fixture_open(&f, &(struct table_config){.capacity = 64});
    CU_ASSERT_EQUAL(fixture_set(&f, "n", "12345", 0, 0), STATUS_OK);
    struct operation get = fixture_operation(OPCODE_GET, "n");
    struct result result = {.value = f.value, .room = 4};
    CU_ASSERT_EQUAL(execute(f.context, &get, table_hash(f.table, get.key, 1), 1000, &result), STATUS_MORE);
    uint8_t operand[INCR_OPERAND_BYTES];
    incr_operand_encode(operand, 1, 0);
    struct operation up = fixture_operation(OPCODE_INCR, "n");
    up.value = operand;
    up.value_length = sizeof operand;
    result.room = INCR_RESULT_BYTES - 1;
    CU_ASSERT_EQUAL(execute(f.context, &up, table_hash(f.table, up.key, 1), 1000, &result), STATUS_MORE);
    CU_ASSERT_EQUAL(fixture_get(&f, "n"), STATUS_OK);
    CU_ASSERT_TRUE(fixture_value_is(&f, "12345"));
    fixture_close(&f);
}

/* One-line items until one does not fit; returns how many fitted. */
static unsigned fill(struct fixture *f)
{
    char key[16];
    for (unsigned i = 0;; i++) {
        snprintf(key, sizeof key, "fill%u", i);
        if (fixture_set(f, key, "v", 0, 0) != STATUS_OK)
            return i;
    }
}

static void full_comes_at_exactly_the_capacity(void)
{
    for (unsigned equal = 0; equal < 2; equal++) {
        struct fixture f;
        fixture_open(&f, &(struct table_config){.capacity = 1000, .force_equal_hashes = equal});
        CU_ASSERT_EQUAL(fill(&f), 1000);
        CU_ASSERT_EQUAL(fixture_set(&f, "one more", "v", 0, 0), STATUS_FULL);
        CU_ASSERT_EQUAL(fixture_set(&f, "fill7", "other value", 0, 0), STATUS_OK);
        CU_ASSERT_EQUAL(fixture_delete(&f, "fill3"), STATUS_OK);
        CU_ASSERT_EQUAL(fixture_set(&f, "one more", "v", 0, 0), STATUS_OK);
        CU_ASSERT_EQUAL(execute_counters(f.context)->full, 2);
        fixture_close(&f);
    }
}

static void flush_makes_room_at_once(void)
{
    struct fixture f;
    fixture_open(&f, &(struct table_config){.capacity = 1000});
    CU_ASSERT_EQUAL(fill(&f), 1000);
    CU_ASSERT_EQUAL(flush(&f), STATUS_OK);
    CU_ASSERT_EQUAL(f.last.type, LOG_FLUSH);
    CU_ASSERT_EQUAL(fixture_get(&f, "fill1"), STATUS_NOT_FOUND);
    CU_ASSERT_EQUAL(fixture_set(&f, "fill1", "x", 0, FLAG_IF_PRESENT), STATUS_NOT_FOUND);
    CU_ASSERT_EQUAL(fill(&f), 1000);
    /* Until it is sure that nothing hidden is left, the answer is BUSY: never a FULL that may be wrong. */
    enum status status = STATUS_BUSY;
    for (unsigned i = 0; i < 20 && status == STATUS_BUSY; i++)
        status = fixture_set(&f, "one more", "v", 0, 0);
    CU_ASSERT_EQUAL(status, STATUS_FULL);
    CU_ASSERT(execute_counters(f.context)->reclaimed == 1000);
    fixture_close(&f);
}

static void however_often_flush_comes_all_room_comes_back(void)
{
    struct fixture f;
    struct table_counts counts;
    fixture_open(&f, &(struct table_config){.capacity = 1000});
    CU_ASSERT_EQUAL(fill(&f), 1000);
    for (unsigned i = 0; i < 3; i++) {
        CU_ASSERT_EQUAL(flush(&f), STATUS_OK);
        (void)execute_sweep(f.context, 150, f.now_ms); /* of 200 buckets */
    }
    table_counts(f.table, &counts);
    CU_ASSERT_EQUAL(counts.lines_used, 0);
    CU_ASSERT_EQUAL(counts.items, 0);
    /* A FLUSH in the middle of a round: that round is not enough for it. */
    CU_ASSERT_EQUAL(fill(&f), 1000);
    CU_ASSERT_EQUAL(flush(&f), STATUS_OK);
    (void)execute_sweep(f.context, 70, f.now_ms);
    for (unsigned i = 0; i < 200; i++) {
        char key[16];
        snprintf(key, sizeof key, "between%u", i);
        CU_ASSERT_EQUAL(fixture_set(&f, key, "v", 0, 0), STATUS_OK);
    }
    CU_ASSERT_EQUAL(flush(&f), STATUS_OK);
    CU_ASSERT_EQUAL(fill(&f), 1000);
    fixture_close(&f);
}

static void the_clock_spares_what_was_read(void)
{
    struct fixture f;
    char key[16];
    fixture_open(&f, &(struct table_config){.capacity = 1000, .evict = EVICT_CLOCK});
    for (unsigned i = 0; i < 1000; i++) {
        snprintf(key, sizeof key, "k%u", i);
        CU_ASSERT_EQUAL(fixture_set(&f, key, "v", 0, 0), STATUS_OK);
    }
    for (unsigned i = 0; i < 100; i++) {
        snprintf(key, sizeof key, "k%u", i);
        CU_ASSERT_EQUAL(fixture_get(&f, key), STATUS_OK);
    }
    for (unsigned i = 0; i < 150; i++) { /* less than one round of the hand: 200 buckets */
        snprintf(key, sizeof key, "n%u", i);
        CU_ASSERT_EQUAL(fixture_set(&f, key, "v", 0, 0), STATUS_OK);
    }
    unsigned kept = 0;
    for (unsigned i = 0; i < 100; i++) {
        snprintf(key, sizeof key, "k%u", i);
        kept += fixture_get(&f, key) == STATUS_OK;
    }
    CU_ASSERT_EQUAL(kept, 100);
    CU_ASSERT_EQUAL(execute_counters(f.context)->evicted, 150);
    fixture_close(&f);
}

static void a_full_ring_answers_busy_and_changes_nothing(void)
{
    struct fixture f;
    fixture_open(&f, &(struct table_config){.capacity = 64});
    f.keep_log = true;
    unsigned done = 0;
    while (fixture_set(&f, "k", "v", 0, 0) == STATUS_OK)
        done++;
    CU_ASSERT(done > 100);
    CU_ASSERT_EQUAL(fixture_delete(&f, "k"), STATUS_BUSY);
    CU_ASSERT_EQUAL(execute_counters(f.context)->busy_log_full, 2);
    while (flush(&f) == STATUS_OK) /* its record is shorter */
        ;
    CU_ASSERT_EQUAL(execute_counters(f.context)->busy_log_full, 3);
    fixture_drain(&f);
    CU_ASSERT_EQUAL(fixture_set(&f, "k", "v", 0, 0), STATUS_OK);
    fixture_drain(&f);
    struct table_counts counts;
    table_counts(f.table, &counts);
    CU_ASSERT_EQUAL(f.merge.next_lsn, counts.lsn + 1);
    fixture_close(&f);
}

static void eviction_into_a_full_ring_is_counted_as_such(void)
{
    struct fixture f;
    char key[KEY_BYTES_MAX + 1];
    fixture_open(&f, &(struct table_config){.capacity = 64, .evict = EVICT_CLOCK});
    memset(key, 'x', KEY_BYTES_MAX);
    key[KEY_BYTES_MAX] = 0;
    /* 12 items of 5 lines and 4 of one: what goes first has a longer record than what comes. */
    for (unsigned i = 0; i < 12; i++) {
        key[0] = (char)('a' + i);
        CU_ASSERT_EQUAL(fixture_set(&f, key, "", 0, 0), STATUS_OK);
    }
    for (unsigned i = 0; i < 4; i++)
        CU_ASSERT_EQUAL(fixture_set(&f, (char[]){(char)('0' + i), 0}, "", 0, 0), STATUS_OK);
    for (unsigned i = 0; i < 4; i++) /* read: they stay while others can go */
        CU_ASSERT_EQUAL(fixture_get(&f, (char[]){(char)('0' + i), 0}), STATUS_OK);
    f.keep_log = true;
    while (fixture_set(&f, "0", "v", 0, 0) == STATUS_OK)
        ;
    CU_ASSERT_EQUAL(execute_counters(f.context)->busy_log_full, 1);
    for (unsigned i = 0; i < 4; i++) { /* room for a short record, not for a long one */
        size_t length;
        CU_ASSERT_PTR_NOT_NULL(log_merge_peek(&f.merge, &length));
        log_merge_pop(&f.merge);
    }
    CU_ASSERT_EQUAL(fixture_set(&f, "new", "v", 0, 0), STATUS_BUSY);
    CU_ASSERT_EQUAL(execute_counters(f.context)->busy_log_full, 2);
    CU_ASSERT_EQUAL(execute_counters(f.context)->busy_contended, 0);
    CU_ASSERT_EQUAL(execute_counters(f.context)->evicted, 0);
    fixture_close(&f);
}

static void a_read_waits_for_a_removal_that_nobody_asked_for(void)
{
    struct fixture f;
    fixture_open(&f, &(struct table_config){.capacity = 64});
    CU_ASSERT_EQUAL(fixture_set(&f, "k", "v", 10, 0), STATUS_OK);
    f.now_ms += 10;
    CU_ASSERT_EQUAL(execute_sweep(f.context, 64, f.now_ms), 1);
    fixture_drain(&f);
    CU_ASSERT_EQUAL(f.last.type, LOG_DELETE);
    CU_ASSERT_EQUAL(fixture_get(&f, "k"), STATUS_NOT_FOUND);
    CU_ASSERT_EQUAL(f.result.bucket_lsn, f.last.lsn);
    fixture_close(&f);
}

static void a_growing_item_does_not_evict_itself(void)
{
    char large[1001], key[8];
    memset(large, 'x', 1000);
    large[1000] = 0;
    for (unsigned k = 0; k < 40; k++) {
        struct fixture f;
        fixture_open(&f, &(struct table_config){.capacity = 64, .evict = EVICT_CLOCK});
        for (unsigned i = 0; i < 64; i++) {
            snprintf(key, sizeof key, "k%u", i);
            CU_ASSERT_EQUAL(fixture_set(&f, key, "v", 0, 0), STATUS_OK);
        }
        snprintf(key, sizeof key, "k%u", k);
        CU_ASSERT_EQUAL(fixture_set(&f, key, large, 0, FLAG_IF_PRESENT), STATUS_OK);
        fixture_close(&f);
    }
}

static void unknown_opcodes_are_refused(void)
{
    struct fixture f;
    fixture_open(&f, &(struct table_config){.capacity = 64});
    for (unsigned opcode = 0; opcode < 256; opcode++) {
        if (opcode >= OPCODE_GET && opcode <= OPCODE_FLUSH)
            continue;
        struct operation operation = fixture_operation(OPCODE_GET, "k");
        operation.opcode = (uint8_t)opcode;
        CU_ASSERT_EQUAL(fixture_execute(&f, &operation), STATUS_BAD_REQUEST);
    }
    fixture_close(&f);
}

int main(void)
{
    CU_TestInfo tests[] = {
        {"conditions hold or answer with the item's version",
         conditions_hold_or_answer_with_the_items_version},
        {"a read waits for the bucket's last change", a_read_waits_for_the_buckets_last_change_even_a_delete},
        {"items expire by a clock that never goes back", items_expire_by_a_clock_that_never_goes_back},
        {"the sweep logs what it removes", the_sweep_logs_what_it_removes},
        {"TOUCH changes the lifetime, logs the whole item",
         touch_changes_the_lifetime_and_logs_the_whole_item},
        {"INCR counts and keeps the expiry", incr_counts_and_keeps_the_expiry},
        {"INCR refuses what is no strict number", incr_refuses_what_is_no_strict_number},
        {"MORE is answered before anything is executed", more_is_answered_before_anything_is_executed},
        {"FULL comes at exactly the capacity", full_comes_at_exactly_the_capacity},
        {"FLUSH makes room at once", flush_makes_room_at_once},
        {"however often FLUSH comes, all room comes back", however_often_flush_comes_all_room_comes_back},
        {"the clock spares what was read", the_clock_spares_what_was_read},
        {"a full ring answers BUSY and changes nothing", a_full_ring_answers_busy_and_changes_nothing},
        {"eviction into a full ring is counted as such", eviction_into_a_full_ring_is_counted_as_such},
        {"a read waits for a removal nobody asked for", a_read_waits_for_a_removal_that_nobody_asked_for},
        {"a growing item does not evict itself", a_growing_item_does_not_evict_itself},
        {"unknown opcodes are refused", unknown_opcodes_are_refused},
        CU_TEST_INFO_NULL,
    };
    return suite_run("execute", tests);
}
