#include "suite.h"

#include <errno.h>

#include "log_merge.h"
#include "log_record.h"
#include "log_ring.h"

static const uint8_t text[VALUE_BYTES_MAX] = "abcdefghijklmnopqrstuvwxyz0123456789";

static struct log_record set_record(uint64_t lsn, unsigned key_length, unsigned value_length)
{
    return (struct log_record){.lsn = lsn,
                               .expiry_ms = lsn * 3,
                               .type = LOG_SET,
                               .key = text,
                               .key_length = (uint8_t)key_length,
                               .value = text,
                               .value_length = (uint16_t)value_length};
}

static void records_of_every_size_come_back(void)
{
    uint8_t bytes[LOG_RECORD_BYTES_MAX];
    for (unsigned k = 1; k <= KEY_BYTES_MAX; k += 7) {
        for (unsigned v = 0; v <= VALUE_BYTES_MAX; v += 31) {
            struct log_record in = set_record(k * 1000 + v, k, v), out;
            size_t length = log_record_encode(bytes, &in);
            CU_ASSERT_EQUAL(length, log_record_bytes(k, v));
            CU_ASSERT_EQUAL(log_record_encoded_bytes(bytes), length);
            CU_ASSERT_EQUAL(log_record_decode(&out, bytes, length), (int)length);
            CU_ASSERT(out.lsn == in.lsn && out.expiry_ms == in.expiry_ms && out.type == LOG_SET);
            CU_ASSERT(out.key_length == k && memcmp(out.key, text, k) == 0);
            CU_ASSERT(out.value_length == v && memcmp(out.value, text, v) == 0);
            CU_ASSERT_EQUAL(log_record_decode(&out, bytes, length - 1), -EBADMSG);
        }
    }
}

static void what_a_type_does_not_take_is_refused(void)
{
    struct log_record good[] = {
        set_record(9, 3, 2),
        {.lsn = 9, .type = LOG_DELETE, .reason = LOG_REASON_EXPIRED, .key = text, .key_length = 3},
        {.lsn = 9, .type = LOG_FLUSH},
        {.lsn = 9, .type = LOG_NOP},
    };
    struct log_record bad[] = {
        {.type = 0},
        {.type = 6},
        {.type = LOG_SET},
        {.type = LOG_SET, .key = text, .key_length = 251},
        {.type = LOG_SET, .key = text, .key_length = 3, .reason = LOG_REASON_REQUEST},
        {.type = LOG_DELETE, .key = text, .key_length = 3},
        {.type = LOG_DELETE, .key = text, .key_length = 3, .reason = 4},
        {.type = LOG_DELETE, .key = text, .key_length = 3, .reason = 1, .expiry_ms = 1},
        {.type = LOG_DELETE, .key = text, .key_length = 3, .reason = 1, .value = text, .value_length = 1},
        {.type = LOG_FLUSH, .key = text, .key_length = 1},
        {.type = LOG_NOP, .expiry_ms = 5},
    };
    uint8_t bytes[2 * LOG_RECORD_BYTES_MAX];
    struct log_record out;
    for (unsigned i = 0; i < sizeof good / sizeof good[0]; i++) {
        size_t length = log_record_encode(bytes, &good[i]);
        CU_ASSERT_EQUAL(log_record_decode(&out, bytes, length), (int)length);
    }
    for (unsigned i = 0; i < sizeof bad / sizeof bad[0]; i++)
        CU_ASSERT_EQUAL(log_record_decode(&out, bytes, log_record_encode(bytes, &bad[i])), -EBADMSG);
}

static void reserved_bytes_and_padding_must_be_zero(void)
{
    uint8_t bytes[LOG_RECORD_BYTES_MAX];
    struct log_record in = set_record(1, 3, 2), out;
    size_t length = log_record_encode(bytes, &in);
    size_t zero[] = {21, 22, 23, 29, 30, 31};
    CU_ASSERT_EQUAL(length, 32);
    for (unsigned i = 0; i < sizeof zero / sizeof zero[0]; i++) {
        bytes[zero[i]] = 1;
        CU_ASSERT_EQUAL(log_record_decode(&out, bytes, length), -EBADMSG);
        bytes[zero[i]] = 0;
    }
    CU_ASSERT_EQUAL(log_record_decode(&out, bytes, length), (int)length);
}

static void a_ring_refuses_sizes_that_are_not_right(void)
{
    CU_ASSERT_PTR_NULL(log_ring_create(LOG_RING_BYTES_MIN / 2, -1));
    CU_ASSERT_PTR_NULL(log_ring_create(LOG_RING_BYTES_MIN + 8, -1));
}

static void a_ring_gives_back_what_was_put_in_across_its_end(void)
{
    struct log_ring *ring = log_ring_create(LOG_RING_BYTES_MIN, -1);
    uint64_t seed = 7, written = 0, read = 0, refused = 0;
    struct log_record out;
    size_t length;
    CU_ASSERT_PTR_NOT_NULL_FATAL(ring);
    CU_ASSERT_PTR_NULL(log_ring_peek(ring, &length));
    while (read < 20000) {
        struct log_record in = set_record(written, 1 + seeded_next(&seed) % 250, seeded_next(&seed) % 1025);
        if (seeded_next(&seed) % 2) {
            if (log_ring_reserve(ring, 1, log_record_bytes(in.key_length, in.value_length))) {
                log_ring_append(ring, &in);
                written++;
            } else {
                refused++;
            }
            continue;
        }
        const uint8_t *bytes = log_ring_peek(ring, &length);
        CU_ASSERT_EQUAL_FATAL(bytes == NULL, read == written);
        if (bytes == NULL)
            continue;
        CU_ASSERT_EQUAL_FATAL(log_record_decode(&out, bytes, length), (int)length);
        CU_ASSERT_EQUAL_FATAL(out.lsn, read);
        read++;
        log_ring_pop(ring);
    }
    CU_ASSERT(refused > 0);
    log_ring_destroy(ring);
}

static void a_reservation_holds_for_all_its_records(void)
{
    struct log_ring *ring = log_ring_create(LOG_RING_BYTES_MIN, -1);
    uint64_t seed = 3, lsn = 0;
    size_t length;
    CU_ASSERT_PTR_NOT_NULL_FATAL(ring);
    for (unsigned round = 0; round < 5000; round++) {
        struct log_record record[4];
        size_t total = 0, count = 1 + seeded_next(&seed) % 4;
        for (unsigned i = 0; i < count; i++) {
            record[i] = set_record(lsn + i, 1 + seeded_next(&seed) % 250, seeded_next(&seed) % 1025);
            total += log_record_bytes(record[i].key_length, record[i].value_length);
        }
        while (!log_ring_reserve(ring, count, total)) {
            CU_ASSERT_PTR_NOT_NULL_FATAL(log_ring_peek(ring, &length));
            log_ring_pop(ring);
        }
        /* append() checks that it stays within the reservation, and aborts otherwise */
        for (unsigned i = 0; i < count; i++)
            log_ring_append(ring, &record[i]);
        lsn += count;
        CU_ASSERT(log_ring_used_bytes(ring) <= LOG_RING_BYTES_MIN);
    }
    log_ring_destroy(ring);
}

static void a_full_ring_refuses_and_an_emptied_one_accepts(void)
{
    struct log_ring *ring = log_ring_create(LOG_RING_BYTES_MIN, -1);
    struct log_record nop = {.type = LOG_NOP};
    size_t length;
    CU_ASSERT_PTR_NOT_NULL_FATAL(ring);
    unsigned count = 0;
    for (; log_ring_reserve(ring, 1, log_record_bytes(0, 0)); count++)
        log_ring_append(ring, &nop);
    CU_ASSERT_EQUAL(count, LOG_RING_BYTES_MIN / LOG_RECORD_HEADER_BYTES);
    CU_ASSERT_FALSE(log_ring_reserve(ring, 1, log_record_bytes(0, 0)));
    for (unsigned i = 0; i < 2; i++) {
        CU_ASSERT_PTR_NOT_NULL(log_ring_peek(ring, &length));
        log_ring_pop(ring);
    }
    CU_ASSERT_TRUE(log_ring_reserve(ring, 1, log_record_bytes(0, 0)));
    log_ring_destroy(ring);
}

static void a_merge_yields_lsn_order_and_waits_at_a_gap(void)
{
    struct log_ring *ring[3];
    struct log_merge merge;
    size_t length;
    for (unsigned i = 0; i < 3; i++)
        ring[i] = log_ring_create(LOG_RING_BYTES_MIN, -1);
    log_merge_init(&merge, ring, 3, 100);
    CU_ASSERT_PTR_NULL(log_merge_peek(&merge, &length));
    static const unsigned owner[] = {2, 0, 0, 1, 2, 1};
    for (unsigned i = 0; i < 6; i++) {
        struct log_record record = {.lsn = 100 + i, .type = LOG_NOP};
        if (i == 3)
            continue; /* published late */
        CU_ASSERT_TRUE(log_ring_reserve(ring[owner[i]], 1, 24));
        log_ring_append(ring[owner[i]], &record);
        if (i == 2) {
            for (unsigned k = 0; k < 3; k++) {
                struct log_record out;
                const uint8_t *bytes = log_merge_peek(&merge, &length);
                CU_ASSERT_PTR_NOT_NULL_FATAL(bytes);
                CU_ASSERT(log_record_decode(&out, bytes, length) > 0 && out.lsn == 100 + k);
                log_merge_pop(&merge);
            }
        }
        if (i == 4)
            CU_ASSERT_PTR_NULL(log_merge_peek(&merge, &length));
        if (i == 4) {
            struct log_record late = {.lsn = 103, .type = LOG_NOP};
            CU_ASSERT_TRUE(log_ring_reserve(ring[1], 1, 24));
            log_ring_append(ring[1], &late);
        }
    }
    for (unsigned k = 3; k < 6; k++) {
        CU_ASSERT_PTR_NOT_NULL_FATAL(log_merge_peek(&merge, &length));
        log_merge_pop(&merge);
    }
    CU_ASSERT_EQUAL(merge.next_lsn, 106);
    for (unsigned i = 0; i < 3; i++)
        log_ring_destroy(ring[i]);
}

int main(void)
{
    CU_TestInfo tests[] = {
        {"records of every size come back", records_of_every_size_come_back},
        {"what a type does not take is refused", what_a_type_does_not_take_is_refused},
        {"reserved bytes and padding must be zero", reserved_bytes_and_padding_must_be_zero},
        {"a ring refuses sizes that are not right", a_ring_refuses_sizes_that_are_not_right},
        {"a ring gives back what was put in across its end",
         a_ring_gives_back_what_was_put_in_across_its_end},
        {"a reservation holds for all its records", a_reservation_holds_for_all_its_records},
        {"a full ring refuses and an emptied one accepts", a_full_ring_refuses_and_an_emptied_one_accepts},
        {"a merge yields LSN order and waits at a gap", a_merge_yields_lsn_order_and_waits_at_a_gap},
        CU_TEST_INFO_NULL,
    };
    return suite_run("log", tests);
}
