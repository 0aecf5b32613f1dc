#include "suite.h"

#include "durable_log.h"
#include "sim_disk.h"
#include "table_fixture.h"
#include "wal_blocks.h"

enum { SEGMENT_BYTES = 4 * 1024 * 1024, RING_BYTES = 4 * 1024 * 1024, RECORDS = 3000, TURNS_MAX = 100000 };

/* An empty folder, recovered; a ring as a worker fills it; the log and its housekeeper, stepped by the test. */
static struct fixture fixture;
static struct sim_disk *sim;
static struct recovery *recovery;
static struct housekeeper *housekeeper;
static struct durable_log *durable;
static struct log_ring *ring;
static struct log_merge merge;
static uint64_t seed, now_ns;

static void set_up(void)
{
    struct table_config table = {.capacity = 1000};
    seed = seeded_start(seeded_from_environment(5));
    now_ns = 1;
    fixture_open(&fixture, &table);
    sim = sim_disk_create(seed, UINT64_C(1) << 30);
    struct recovery_config found = {.disk = sim_disk_disk(sim),
                                    .apply = fixture.context,
                                    .random = seeded_source(&seed),
                                    .folder = "folder",
                                    .segment_bytes = SEGMENT_BYTES};
    recovery = recovery_create(&found);
    CU_ASSERT_PTR_NOT_NULL_FATAL(recovery);
    int step;
    while ((step = recovery_step(recovery)) == 1)
        ;
    CU_ASSERT_EQUAL_FATAL(step, 0);
    const struct recovery_facts *facts = recovery_facts(recovery);
    struct housekeeper_config keeper = {.disk = sim_disk_disk(sim),
                                        .table = fixture.table,
                                        .found = facts,
                                        .segment_bytes = SEGMENT_BYTES,
                                        .snapshot_buckets = 64};
    housekeeper = housekeeper_create(&keeper);
    ring = log_ring_create(RING_BYTES, -1);
    log_merge_init(&merge, &ring, 1, facts->meta.history[facts->meta.count - 1].first_lsn);
    struct durable_log_config config = {.queue = sim_disk_queue(sim),
                                        .merge = &merge,
                                        .housekeeper = housekeeper,
                                        .found = facts,
                                        .segment_bytes = SEGMENT_BYTES};
    durable = durable_log_create(&config);
    CU_ASSERT_FATAL(housekeeper != NULL && ring != NULL && durable != NULL);
}

static void tear_down(void)
{
    durable_log_destroy(durable);
    housekeeper_destroy(housekeeper);
    recovery_destroy(recovery);
    log_ring_destroy(ring);
    sim_disk_destroy(sim);
    fixture_close(&fixture);
}

static void turn(void)
{
    now_ns += 1000;
    durable_log_turn(durable, 64, now_ns, 1);
    housekeeper_step(housekeeper);
}

/* More than the writer's buffers hold, on a disk that takes its time: the end of the log waits for all of it. */
static void a_log_that_is_ended_takes_all_that_workers_wrote(void)
{
    uint64_t first = merge.next_lsn;
    sim_disk_set_latency(sim, 200);
    for (unsigned i = 0; i < RECORDS; i++) {
        static const uint8_t value[VALUE_BYTES_MAX];
        struct log_record record = {.lsn = first + i,
                                    .type = LOG_SET,
                                    .key = (const uint8_t *)"key",
                                    .key_length = 3,
                                    .value = value,
                                    .value_length = VALUE_BYTES_MAX};
        CU_ASSERT_FATAL(log_ring_reserve(ring, 1, log_record_bytes(3, VALUE_BYTES_MAX)));
        log_ring_append(ring, &record);
    }
    durable_log_finish(durable);
    for (unsigned turns = 0; !durable_log_finished(durable) && turns < TURNS_MAX; turns++)
        turn();
    struct wal_writer_facts facts = durable_log_facts(durable);
    CU_ASSERT(durable_log_finished(durable));
    CU_ASSERT_EQUAL(facts.records, RECORDS);
    CU_ASSERT_EQUAL(facts.durable_lsn, first + RECORDS - 1);
    CU_ASSERT_EQUAL(log_ring_used_bytes(ring), 0);
}

static void a_log_that_nobody_wrote_to_is_ended_once_it_has_begun(void)
{
    durable_log_finish(durable);
    for (unsigned turns = 0; !durable_log_finished(durable) && turns < TURNS_MAX; turns++)
        turn();
    CU_ASSERT(durable_log_finished(durable) && durable_log_facts(durable).started);
    CU_ASSERT_EQUAL(durable_log_facts(durable).records, 0);
}

int main(void)
{
#define TEST(what) {#what, what}
    CU_TestInfo tests[] = {TEST(a_log_that_is_ended_takes_all_that_workers_wrote),
                           TEST(a_log_that_nobody_wrote_to_is_ended_once_it_has_begun), CU_TEST_INFO_NULL};
    return suite_run_each("durable_log", set_up, tear_down, tests);
}
