/*
 * test_tcp_waits.c - the ring of TIME-WAIT records: in order of their ends, the oldest makes room.
 */
#include "tcp/tcp_time_wait.h"

#include "suite.h"
#include "test_eal.h"

enum { RECORDS = 4 };

static struct tcp_time_waits waits_make(void)
{
    struct tcp_time_waits waits;
    CU_ASSERT_EQUAL_FATAL(tcp_time_waits_init(&waits, RECORDS, SOCKET_ID_ANY), 0);
    return waits;
}

static uint32_t take(struct tcp_time_waits *waits, uint64_t ends_ns)
{
    uint32_t displaced, number = tcp_time_wait_take(waits, ends_ns, &displaced);
    CU_ASSERT_EQUAL(displaced, UINT32_MAX);
    CU_ASSERT_FATAL(number < RECORDS);
    CU_ASSERT_EQUAL(waits->record[number].ends_ns, ends_ns);
    return number;
}

static void records_end_in_the_order_they_began(void)
{
    struct tcp_time_waits waits = waits_make();
    uint32_t first = take(&waits, 100), second = take(&waits, 200);
    CU_ASSERT_EQUAL(waits.used, 2);
    CU_ASSERT_EQUAL(tcp_time_wait_due(&waits, 99), UINT32_MAX);
    CU_ASSERT_EQUAL(tcp_time_wait_due(&waits, 100), first);
    tcp_time_wait_free(&waits, first);
    CU_ASSERT_EQUAL(tcp_time_wait_due(&waits, 199), UINT32_MAX);
    CU_ASSERT_EQUAL(tcp_time_wait_due(&waits, 1000), second);
    tcp_time_wait_free(&waits, second);
    CU_ASSERT_EQUAL(tcp_time_wait_due(&waits, UINT64_MAX), UINT32_MAX);
    CU_ASSERT_EQUAL(waits.used, 0);
    tcp_time_waits_fini(&waits);
}

static void a_repeated_fin_moves_a_record_to_the_end(void)
{
    struct tcp_time_waits waits = waits_make();
    uint32_t first = take(&waits, 100), second = take(&waits, 200), third = take(&waits, 300);
    tcp_time_wait_again(&waits, first, 400);
    CU_ASSERT_EQUAL(tcp_time_wait_due(&waits, 1000), second);
    tcp_time_wait_again(&waits, third, 500); /* from the middle */
    tcp_time_wait_free(&waits, second);
    CU_ASSERT_EQUAL(tcp_time_wait_due(&waits, 1000), first);
    tcp_time_wait_free(&waits, first);
    CU_ASSERT_EQUAL(tcp_time_wait_due(&waits, 499), UINT32_MAX);
    CU_ASSERT_EQUAL(tcp_time_wait_due(&waits, 500), third);
    tcp_time_waits_fini(&waits);
}

static void the_oldest_makes_room_when_all_are_in_use(void)
{
    struct tcp_time_waits waits = waits_make();
    uint32_t number[RECORDS];
    for (unsigned i = 0; i < RECORDS; i++)
        number[i] = take(&waits, 100 * (i + 1));
    waits.record[number[0]].hash = 0xABCD;
    uint32_t displaced, newest = tcp_time_wait_take(&waits, 900, &displaced);
    CU_ASSERT_EQUAL(displaced, number[0]);
    CU_ASSERT_EQUAL(newest, displaced);
    CU_ASSERT_EQUAL(waits.record[newest].hash, 0xABCD); /* for the demultiplexer */
    CU_ASSERT_EQUAL(waits.used, RECORDS);
    CU_ASSERT_EQUAL(tcp_time_wait_due(&waits, 200), number[1]);
    tcp_time_wait_free(&waits, number[2]); /* a place in the middle is used again */
    CU_ASSERT_EQUAL(take(&waits, 1000), number[2]);
    tcp_time_waits_fini(&waits);
}

static void a_pool_without_places_has_none(void)
{
    struct tcp_time_waits waits;
    CU_ASSERT_EQUAL_FATAL(tcp_time_waits_init(&waits, 0, SOCKET_ID_ANY), 0);
    uint32_t displaced;
    CU_ASSERT_EQUAL(tcp_time_wait_take(&waits, 100, &displaced), UINT32_MAX);
    CU_ASSERT_EQUAL(displaced, UINT32_MAX);
    CU_ASSERT_EQUAL(tcp_time_wait_due(&waits, UINT64_MAX), UINT32_MAX);
    tcp_time_waits_fini(&waits);
}

int main(void)
{
    CU_TestInfo tests[] = {
        {"records end in the order they began", records_end_in_the_order_they_began},
        {"a repeated FIN moves a record to the end", a_repeated_fin_moves_a_record_to_the_end},
        {"the oldest makes room when all are in use", the_oldest_makes_room_when_all_are_in_use},
        {"a pool without places has none", a_pool_without_places_has_none},
        CU_TEST_INFO_NULL,
    };
    test_eal_start();
    return suite_run("tcp time wait", tests);
}
