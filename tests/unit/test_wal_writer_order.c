/*
 * test_wal_writer_order.c - records, completions and refusals in whatever order a seed gives: blocks are
 * announced in the order of the log, nothing is lost, and all of it is read back.
 */
#include "wal_writer_fixture.h"

/* What a test knows about blocks in the order in which they were submitted first. */
struct model {
    uint64_t seed, durable_lsn;
    struct {
        uint64_t token, last_lsn, offset;
        uint32_t crc;
        int file;
        bool done;
    } block[4096];
    unsigned count, announced;
};
static struct model model;

/* Blocks that are new in the queue: in order, linked, and saying no more than was durable. A block that was
 * refused comes back as it was. */
static void look_at_queue(uint64_t durable_before)
{
    for (unsigned i = 0; i < memory.queued_count; i++) {
        struct wal_block block;
        submitted(i, &block);
        unsigned known = 0;
        while (known < model.count && model.block[known].token != memory.queued[i].token)
            known++;
        CU_ASSERT_FATAL(known < sizeof model.block / sizeof model.block[0]);
        if (known < model.count) {
            CU_ASSERT(model.block[known].crc == block.crc &&
                      model.block[known].file == memory.queued[i].file);
            CU_ASSERT_EQUAL(model.block[known].offset, memory.queued[i].offset);
            continue;
        }
        CU_ASSERT_EQUAL(block.previous_crc, model.block[known - 1].crc);
        CU_ASSERT_EQUAL(block.first_lsn, model.block[known - 1].last_lsn + 1);
        CU_ASSERT(block.durable_lsn >= durable_before && block.durable_lsn <= facts().durable_lsn);
        model.block[known].token = memory.queued[i].token;
        model.block[known].last_lsn = block.first_lsn + block.count - 1;
        model.block[known].offset = memory.queued[i].offset;
        model.block[known].crc = block.crc;
        model.block[known].file = memory.queued[i].file;
        model.block[known].done = false;
        model.count++;
    }
}

static void model_turn(void)
{
    uint64_t before = model.durable_lsn;
    turn();
    while (model.announced < model.count && model.block[model.announced].done)
        model.durable_lsn = model.block[model.announced++].last_lsn;
    CU_ASSERT_EQUAL(facts().durable_lsn, model.durable_lsn);
    look_at_queue(before);
    for (int file; (file = wal_writer_done_with(writer)) >= 0;)
        for (unsigned i = 0; i < model.count; i++)
            CU_ASSERT(model.block[i].file != file || i < model.announced);
    if (wal_writer_wants(writer) != 0 && memory_find(&memory, "") >= 0 && seeded_below(&model.seed, 4) == 0)
        give();
}

static void model_complete(unsigned refuse_one_in)
{
    unsigned n = (unsigned)seeded_below(&model.seed, memory.queued_count);
    bool refused = refuse_one_in > 0 && seeded_below(&model.seed, refuse_one_in) == 0;
    for (unsigned i = 0; i < model.count; i++)
        if (model.block[i].token == memory.queued[n].token)
            model.block[i].done = !refused;
    memory_complete(&memory, n, refused ? -ENOSPC : 0);
}

/* Records, completions and turns as the seed says; at the end the whole log is read back. */
static void run_model(uint64_t seed, unsigned steps, unsigned refuse_one_in)
{
    uint64_t records;
    memset(&model, 0, sizeof model);
    model.seed = seeded_start(seed);
    start();
    model.count = model.announced = 1; /* the mark */
    model.durable_lsn = model.block[0].last_lsn = first_lsn - 1;
    model.block[0].token = UINT64_MAX;
    model.block[0].crc = wal_writer_position(writer).previous_crc;
    model.block[0].done = true;
    for (unsigned step = 0; step < steps; step++) {
        unsigned many = seeded_below(&model.seed, 8) == 0 ? BIG_A_BLOCK : 4;
        unsigned value = (unsigned)seeded_below(&model.seed, VALUE_BYTES_MAX + 1);
        for (uint64_t i = seeded_below(&model.seed, many); i > 0 && append(value); i--)
            ;
        if (memory.queued_count > 0 && seeded_below(&model.seed, 2) == 0)
            model_complete(refuse_one_in);
        if (seeded_below(&model.seed, 16) == 0)
            now_ns += WAL_RETRY_NS;
        model_turn();
    }
    wal_writer_finish(writer);
    for (unsigned i = 0; !wal_writer_idle(writer); i++) {
        CU_ASSERT_FATAL(i < 10000);
        if (memory.queued_count > 0)
            model_complete(0);
        now_ns += WAL_RETRY_NS;
        model_turn();
    }
    struct wal_verdict_at_end verdict = read_back(&records);
    CU_ASSERT_EQUAL(verdict.end, WAL_END_CLEAN);
    CU_ASSERT(records == next_lsn - first_lsn && facts().records == records);
    CU_ASSERT(verdict.position.next_lsn == next_lsn && facts().durable_lsn == next_lsn - 1);
    CU_ASSERT_EQUAL(facts().state, WAL_RUNNING);
}

static void run_models(unsigned refuse_one_in)
{
    uint64_t seed = seeded_from_environment(1);
    for (unsigned round = 0; round < 20; round++) {
        unsigned failures = CU_get_number_of_failures();
        run_model(seed + round, 150, refuse_one_in);
        if (CU_get_number_of_failures() != failures)
            printf("\nWILD_SEED=%llu\n", (unsigned long long)(seed + round));
        tear_down();
        set_up();
    }
}

static void completions_in_any_order_announce_in_order(void)
{
    run_models(0);
}

static void writes_refused_at_random_lose_nothing(void)
{
    run_models(5);
}

int main(void)
{
#define TEST(what) {#what, what}
    CU_TestInfo tests[] = {TEST(completions_in_any_order_announce_in_order),
                           TEST(writes_refused_at_random_lose_nothing), CU_TEST_INFO_NULL};
    return suite_run_each("wal_writer_order", set_up, tear_down, tests);
}
