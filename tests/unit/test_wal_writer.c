#include "suite.h"

#include "memory_disk.h"
#include "wal_blocks.h"
#include "wal_reader.h"
#include "wal_writer.h"

enum {
    SEGMENT_BYTES = 2 * WAL_BLOCK_BYTES_MAX,
    FOUND_SEGMENT = 4, /* where the log ended */
    MS = 1000 * 1000,
    BIG = 1000, /* bytes of value, with a key of up to 8 bytes */
    BIG_RECORD = 1032,
    BIG_A_BLOCK = (WAL_BLOCK_BYTES_MAX - WAL_BLOCK_HEADER_BYTES) / BIG_RECORD,
};
static const uint64_t first_lsn = (uint64_t)9 << 32, history = 77, found_history = 66,
                      found_lsn = ((uint64_t)8 << 32) + 1234;

static struct memory_disk memory;
static struct wal_writer *writer;
static uint64_t now_ns, wall_ms, next_lsn;

static struct wal_position found_end(void)
{
    return (struct wal_position){.segment = FOUND_SEGMENT,
                                 .next_lsn = found_lsn + 1,
                                 .history = found_history,
                                 .offset = 5 * DISK_BLOCK_BYTES,
                                 .previous_crc = 0xabcd1234};
}

static void set_up(void)
{
    memset(&memory, 0, sizeof memory);
    now_ns = 1;
    wall_ms = 1700000000000;
    next_lsn = first_lsn;
    struct wal_writer_config config = {.queue = memory_queue(&memory),
                                       .start = found_end(),
                                       .history = history,
                                       .first_lsn = first_lsn,
                                       .durable_lsn = found_lsn,
                                       .segment_bytes = SEGMENT_BYTES};
    writer = wal_writer_create(&config);
    CU_ASSERT_PTR_NOT_NULL_FATAL(writer);
}

static void tear_down(void)
{
    wal_writer_destroy(writer);
    memory_disk_free(&memory);
}

static unsigned turn(void)
{
    now_ns++;
    return wal_writer_turn(writer, now_ns, wall_ms);
}

static struct wal_writer_facts facts(void)
{
    return wal_writer_facts(writer);
}

static int give(void)
{
    char name[DISK_NAME_BYTES];
    uint64_t wanted = wal_writer_wants(writer);
    CU_ASSERT_NOT_EQUAL_FATAL(wanted, 0);
    meta_segment_name(name, wanted);
    int file = memory_make(&memory, name, SEGMENT_BYTES);
    wal_writer_give(writer, file);
    return file;
}

static bool append(unsigned value_length)
{
    uint8_t record[LOG_RECORD_BYTES_MAX];
    size_t length = numbered_record(record, next_lsn, value_length);
    bool taken = wal_writer_append(writer, record, length);
    next_lsn += taken;
    return taken;
}

static void append_a_block(void)
{
    for (unsigned i = 0; i < BIG_A_BLOCK; i++)
        CU_ASSERT_FATAL(append(BIG));
}

static void complete_all(void)
{
    while (memory.queued_count > 0)
        memory_complete(&memory, 0, 0);
}

/* Until nothing happens by itself any more; the disk does what it is told. */
static void settle(void)
{
    do
        complete_all();
    while (turn() > 0 || memory.queued_count > 0);
}

/* The history's mark is durable: what every test but the first begins with. */
static void start(void)
{
    give();
    settle();
    CU_ASSERT_FATAL(facts().started);
}

static const uint8_t *submitted(unsigned n, struct wal_block *out)
{
    const struct disk_write *write = &memory.queued[n];
    char name[DISK_NAME_BYTES];
    uint64_t segment = 0;
    CU_ASSERT_FATAL(n < memory.queued_count);
    snprintf(name, sizeof name, "%s", memory.file[write->file].name);
    CU_ASSERT(meta_is_segment(name, &segment));
    CU_ASSERT_EQUAL(wal_block_decode(out, write->bytes, write->length, segment, (uint32_t)write->offset),
                    WAL_WHOLE);
    CU_ASSERT_EQUAL((uintptr_t)write->bytes % DISK_BLOCK_BYTES, 0);
    CU_ASSERT(write->offset % DISK_BLOCK_BYTES == 0 && write->length % DISK_BLOCK_BYTES == 0);
    return write->bytes;
}

/* Reads what is on the disk, from where recovery found the log's end: how many records, and the verdict. */
static struct wal_verdict_at_end read_back(uint64_t *records)
{
    struct meta meta = {.cluster_id = {1}, .node_id = 1};
    meta_add(&meta, &(struct history){
                        .id = found_history, .first_lsn = (uint64_t)8 << 32, .node_id = 1, .epoch = 1});
    meta_add(
        &meta,
        &(struct history){
            .id = history, .first_lsn = first_lsn, .node_id = 1, .before_lsn = first_lsn - 1, .epoch = 2});
    struct disk disk = memory_disk(&memory);
    struct wal_position from = found_end();
    struct wal_reader *reader = wal_reader_create(&disk, &meta, &from);
    struct wal_block block;
    *records = 0;
    while (wal_reader_next(reader, &block) == 1)
        *records += block.count;
    struct wal_verdict_at_end verdict = wal_reader_judge(reader);
    wal_reader_destroy(reader);
    return verdict;
}

static void a_history_begins_with_a_mark_in_a_new_segment(void)
{
    struct wal_block block;
    CU_ASSERT_EQUAL(turn(), 0);
    CU_ASSERT_EQUAL(wal_writer_wants(writer), FOUND_SEGMENT + 1);
    CU_ASSERT(!wal_writer_idle(writer));
    int file = give();
    CU_ASSERT_EQUAL(wal_writer_wants(writer), 0);
    CU_ASSERT_EQUAL(turn(), 1);
    CU_ASSERT_EQUAL(wal_writer_wants(writer), FOUND_SEGMENT + 2);
    submitted(0, &block);
    CU_ASSERT(memory.queued_count == 1 && memory.queued[0].file == file);
    CU_ASSERT(block.count == 0 && block.first_lsn == first_lsn && block.durable_lsn == found_lsn);
    CU_ASSERT(block.history == history && block.previous_crc == 0xabcd1234 && block.wall_ms == wall_ms);
    CU_ASSERT(block.segment == FOUND_SEGMENT + 1 && block.offset == 0);
    CU_ASSERT(!facts().started && facts().durable_lsn == found_lsn && facts().in_flight == 1);
    CU_ASSERT_EQUAL(wal_writer_position(writer).segment, FOUND_SEGMENT);
    memory_complete(&memory, 0, 0);
    turn();
    CU_ASSERT(facts().started && facts().durable_lsn == first_lsn - 1 && wal_writer_idle(writer));
    CU_ASSERT(facts().marks == 1 && facts().blocks == 1 && facts().bytes == DISK_BLOCK_BYTES);
    struct wal_position position = wal_writer_position(writer);
    CU_ASSERT(position.segment == FOUND_SEGMENT + 1 && position.offset == DISK_BLOCK_BYTES);
    CU_ASSERT(position.next_lsn == first_lsn && position.history == history);
    CU_ASSERT_EQUAL(position.previous_crc, block.crc);
    now_ns += 100 * (uint64_t)WAL_MARK_IDLE_NS;
    CU_ASSERT_EQUAL(turn(), 0); /* one mark is enough */
}

static void a_record_goes_out_at_once_and_counts_when_it_is_durable(void)
{
    struct wal_block block;
    start();
    CU_ASSERT(append(10));
    CU_ASSERT_EQUAL(facts().appended_lsn, first_lsn);
    CU_ASSERT_EQUAL(turn(), 1);
    submitted(0, &block);
    CU_ASSERT(block.count == 1 && block.first_lsn == first_lsn && block.durable_lsn == first_lsn - 1);
    CU_ASSERT_EQUAL(facts().durable_lsn, first_lsn - 1);
    memory_complete(&memory, 0, 0);
    turn();
    CU_ASSERT(facts().durable_lsn == first_lsn && facts().records == 1 && wal_writer_idle(writer));
}

static void with_few_in_flight_blocks_close_early_and_with_more_they_fill(void)
{
    struct wal_block block;
    start();
    give();
    for (unsigned i = 0; i < WAL_EAGER_BLOCKS; i++) {
        append(1);
        turn();
    }
    CU_ASSERT_EQUAL(memory.queued_count, WAL_EAGER_BLOCKS);
    for (unsigned i = 0; i < 50; i++) {
        append(1);
        CU_ASSERT_EQUAL(turn(), 0);
    }
    memory_complete(&memory, 1, 0); /* any of them makes room */
    turn();
    CU_ASSERT_EQUAL(memory.queued_count, WAL_EAGER_BLOCKS);
    submitted(1, &block);
    CU_ASSERT_EQUAL(block.count, 50);
    append_a_block();
    append(BIG); /* does not fit any more: the block is full */
    turn();
    CU_ASSERT_EQUAL(memory.queued_count, WAL_EAGER_BLOCKS + 1);
    submitted(2, &block);
    CU_ASSERT(block.count == BIG_A_BLOCK && block.durable_lsn == first_lsn - 1);
}

static void all_buffers_busy_means_no_room_and_nothing_is_lost(void)
{
    uint64_t records;
    start();
    give();
    unsigned taken = 0;
    while (append(BIG)) {
        taken++;
        turn();
        if (wal_writer_wants(writer) != 0)
            give();
        CU_ASSERT_FATAL(taken <= WAL_BLOCKS * BIG_A_BLOCK);
    }
    turn();
    CU_ASSERT_EQUAL(facts().in_flight, WAL_BLOCKS);
    CU_ASSERT(!append(BIG));
    memory_complete(&memory, 0, 0);
    turn();
    CU_ASSERT(append(BIG));
    settle();
    CU_ASSERT_EQUAL(facts().durable_lsn, first_lsn + taken);
    CU_ASSERT_EQUAL(read_back(&records).end, WAL_END_CLEAN);
    CU_ASSERT_EQUAL(records, taken + 1);
}

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

static void a_full_disk_is_tried_again_with_the_same_bytes_in_order(void)
{
    struct wal_block block;
    uint8_t *kept[2];
    start();
    give();
    append_a_block(), turn(), append_a_block(), turn();
    append(1), turn();
    CU_ASSERT_EQUAL_FATAL(memory.queued_count, 2);
    struct disk_write write[2] = {memory.queued[0], memory.queued[1]};
    for (unsigned i = 0; i < 2; i++) {
        kept[i] = malloc(write[i].length);
        memcpy(kept[i], submitted(i, &block), write[i].length);
    }
    memory_complete(&memory, 1, -ENOSPC);
    memory_complete(&memory, 0, -ENOSPC);
    turn();
    CU_ASSERT(facts().state == WAL_DISK_FULL && facts().error == -ENOSPC && facts().in_flight == 0);
    for (unsigned again = 0; again < 3; again++) {
        append(1);
        CU_ASSERT_EQUAL(turn(), 0);
        now_ns += WAL_RETRY_NS;
        CU_ASSERT_EQUAL(turn(), 2);
        CU_ASSERT_EQUAL_FATAL(memory.queued_count, 2);
        for (unsigned i = 0; i < 2; i++) {
            const struct disk_write *now = &memory.queued[i];
            CU_ASSERT(now->file == write[i].file && now->offset == write[i].offset);
            CU_ASSERT(now->token == write[i].token && now->length == write[i].length);
            CU_ASSERT(memcmp(now->bytes, kept[i], now->length) == 0);
        }
        memory_complete(&memory, 1, again == 1 ? 0 : -ENOSPC);
        turn();
        CU_ASSERT_EQUAL(facts().state, WAL_DISK_FULL);
        memory_complete(&memory, 0, -ENOSPC);
        turn();
        if (again == 1)
            break;
    }
    CU_ASSERT_EQUAL(facts().durable_lsn, first_lsn - 1);
    now_ns += WAL_RETRY_NS;
    CU_ASSERT_EQUAL(turn(), 1); /* the other one is on disk */
    memory_complete(&memory, 0, 0);
    CU_ASSERT(turn() > 0);
    CU_ASSERT(facts().state == WAL_RUNNING && facts().error == 0);
    CU_ASSERT_EQUAL(facts().durable_lsn, first_lsn + 2 * BIG_A_BLOCK - 1);
    settle();
    CU_ASSERT_EQUAL(facts().durable_lsn, next_lsn - 1);
    free(kept[0]), free(kept[1]);
}

static void another_error_is_for_good(void)
{
    start();
    append(1), turn(), append(1), turn();
    append(1);
    memory_complete(&memory, 0, -EIO);
    turn();
    CU_ASSERT(facts().state == WAL_FAILED && facts().error == -EIO && facts().in_flight == 1);
    CU_ASSERT(!wal_writer_idle(writer) && wal_writer_wants(writer) == 0);
    memory_complete(&memory, 0, 0);
    turn();
    CU_ASSERT(facts().durable_lsn == first_lsn - 1 && wal_writer_idle(writer));
    for (unsigned i = 0; i < 20 * BIG_A_BLOCK; i++)
        CU_ASSERT(append(BIG)); /* thrown away */
    now_ns += 10 * (uint64_t)WAL_RETRY_NS;
    CU_ASSERT_EQUAL(turn(), 0);
    CU_ASSERT(memory.queued_count == 0 && facts().durable_lsn == first_lsn - 1);
    CU_ASSERT_EQUAL(facts().appended_lsn, next_lsn - 1);
    wal_writer_deny(writer, -ENOSPC);
    CU_ASSERT(facts().state == WAL_FAILED && facts().error == -EIO);
    wal_writer_finish(writer);
    CU_ASSERT(wal_writer_idle(writer));
}

static void an_error_while_the_disk_is_full_is_for_good_too(void)
{
    start();
    append(1), turn();
    memory_complete(&memory, 0, -ENOSPC);
    turn();
    now_ns += WAL_RETRY_NS;
    turn();
    memory_complete(&memory, 0, -EIO);
    turn();
    CU_ASSERT(facts().state == WAL_FAILED && facts().error == -EIO && wal_writer_idle(writer));
}

static void an_idle_log_says_once_what_is_durable(void)
{
    struct wal_block block;
    start();
    for (unsigned round = 0; round < 3; round++) {
        append(1);
        settle();
        now_ns += WAL_MARK_IDLE_NS - 10;
        CU_ASSERT_EQUAL(turn(), 0);
        now_ns += 20;
        CU_ASSERT_EQUAL(turn(), 1);
        submitted(0, &block);
        CU_ASSERT(block.count == 0 && block.durable_lsn == next_lsn - 1 && block.first_lsn == next_lsn);
        settle();
        now_ns += 10 * (uint64_t)WAL_MARK_IDLE_NS;
        CU_ASSERT_EQUAL(turn(), 0);
        CU_ASSERT_EQUAL(facts().marks, round + 2);
    }
}

static void a_busy_log_has_no_idle_marks(void)
{
    start();
    for (unsigned i = 0; i < 100; i++) {
        append(1);
        now_ns += WAL_MARK_IDLE_NS / 2;
        settle();
    }
    CU_ASSERT_EQUAL(facts().marks, 1);
}

static void a_finished_log_ends_in_a_mark(void)
{
    struct wal_block block;
    uint64_t records;
    start();
    for (unsigned i = 0; i < 4; i++)
        append(1), turn();
    wal_writer_finish(writer);
    CU_ASSERT(!append(1) && !wal_writer_idle(writer));
    for (unsigned i = 0; i < 3; i++) {
        turn();
        CU_ASSERT_EQUAL(memory.queued_count, 3); /* what was open too */
    }
    complete_all();
    turn();
    CU_ASSERT(memory.queued_count == 1 && !wal_writer_idle(writer));
    submitted(0, &block);
    CU_ASSERT(block.count == 0 && block.durable_lsn == next_lsn - 1);
    complete_all();
    turn();
    CU_ASSERT(wal_writer_idle(writer) && turn() == 0);
    CU_ASSERT_EQUAL(read_back(&records).watermark, 0);
    CU_ASSERT_EQUAL(records, 4);
}

static void a_log_without_a_record_needs_no_further_mark(void)
{
    start();
    wal_writer_finish(writer);
    CU_ASSERT(wal_writer_idle(writer));
    CU_ASSERT_EQUAL(turn(), 0);
}

static void a_block_that_does_not_fit_goes_to_the_next_segment(void)
{
    struct wal_block block;
    uint64_t records;
    start();
    int second = give();
    CU_ASSERT_EQUAL(wal_writer_done_with(writer), -1);
    append_a_block(), turn();
    append_a_block(), turn(); /* its 4 KiB were taken by the mark */
    CU_ASSERT_EQUAL_FATAL(memory.queued_count, 2);
    submitted(0, &block);
    CU_ASSERT(block.segment == FOUND_SEGMENT + 1 && block.offset == DISK_BLOCK_BYTES);
    submitted(1, &block);
    CU_ASSERT(block.segment == FOUND_SEGMENT + 2 && block.offset == 0 && memory.queued[1].file == second);
    CU_ASSERT_EQUAL(wal_writer_wants(writer), FOUND_SEGMENT + 3);
    memory_complete(&memory, 1, 0);
    turn();
    CU_ASSERT_EQUAL(wal_writer_done_with(writer), -1); /* the block in the first one is under way still */
    memory_complete(&memory, 0, 0);
    turn();
    CU_ASSERT_EQUAL(memory.file[wal_writer_done_with(writer)].size, SEGMENT_BYTES);
    CU_ASSERT_EQUAL(wal_writer_done_with(writer), -1);
    CU_ASSERT_EQUAL(wal_writer_position(writer).segment, FOUND_SEGMENT + 2);
    CU_ASSERT_EQUAL(read_back(&records).end, WAL_END_CLEAN);
    CU_ASSERT_EQUAL(records, 2 * BIG_A_BLOCK);
}

static void a_block_may_fill_its_segment_to_the_last_byte(void)
{
    struct wal_block block;
    start();
    append_a_block(), settle();
    for (unsigned i = 0; i < 31; i++) { /* 31 times 4 KiB are left */
        append(1);
        turn();
        submitted(0, &block);
        CU_ASSERT_EQUAL(block.segment, FOUND_SEGMENT + 1);
        settle();
    }
    append(1);
    CU_ASSERT_EQUAL(turn(), 0);
    CU_ASSERT_EQUAL(wal_writer_position(writer).offset, SEGMENT_BYTES);
    give();
    settle();
    CU_ASSERT_EQUAL(wal_writer_position(writer).segment, FOUND_SEGMENT + 2);
}

static void without_a_segment_it_waits_and_loses_nothing(void)
{
    uint64_t records;
    start();
    while (append(BIG))
        settle();
    CU_ASSERT(facts().state == WAL_RUNNING && !wal_writer_idle(writer) && !append(BIG));
    CU_ASSERT_EQUAL(wal_writer_wants(writer), FOUND_SEGMENT + 2);
    now_ns += 10 * (uint64_t)WAL_RETRY_NS;
    CU_ASSERT_EQUAL(turn(), 0);
    while (facts().durable_lsn != next_lsn - 1) {
        give();
        settle();
    }
    CU_ASSERT_EQUAL(read_back(&records).end, WAL_END_CLEAN);
    CU_ASSERT_EQUAL(records, next_lsn - first_lsn);
}

static void files_that_nobody_collects_hold_it_up(void)
{
    start();
    unsigned given = 1;
    for (unsigned turns = 0; turns < 1000; turns++) {
        while (append(BIG))
            ;
        if (wal_writer_wants(writer) != 0 && given < MEMORY_FILES) {
            give();
            given++;
        }
        settle();
    }
    CU_ASSERT_EQUAL(given, WAL_BLOCKS + 2); /* those left, the current one and the next */
    CU_ASSERT(wal_writer_done_with(writer) >= 0);
    CU_ASSERT(turn() > 0);
}

static void a_segment_denied_for_space_lets_the_current_one_be_filled(void)
{
    start();
    wal_writer_deny(writer, -ENOSPC);
    CU_ASSERT(facts().state == WAL_DISK_FULL && facts().error == -ENOSPC);
    CU_ASSERT_EQUAL(wal_writer_wants(writer), FOUND_SEGMENT + 2);
    append(1);
    settle();
    CU_ASSERT(facts().durable_lsn == first_lsn && facts().state == WAL_DISK_FULL);
    append_a_block(), append_a_block();
    settle();
    CU_ASSERT_EQUAL(facts().durable_lsn, first_lsn + BIG_A_BLOCK);
    give();
    CU_ASSERT(facts().state == WAL_RUNNING && facts().error == 0);
    settle();
    CU_ASSERT_EQUAL(facts().durable_lsn, next_lsn - 1);
}

static void a_segment_denied_otherwise_is_for_good(void)
{
    start();
    wal_writer_deny(writer, -EACCES);
    CU_ASSERT(facts().state == WAL_FAILED && facts().error == -EACCES && wal_writer_wants(writer) == 0);
    CU_ASSERT(append(1));
    CU_ASSERT_EQUAL(turn(), 0);
}

static void a_queue_without_room_delays_and_no_more(void)
{
    uint64_t records;
    memory.queue_room = 1;
    start();
    for (unsigned i = 0; i < 300; i++) {
        while (!append(500)) {
            if (memory.queued_count > 0)
                memory_complete(&memory, 0, 0);
            turn();
        }
        if (wal_writer_wants(writer) != 0)
            give();
        if (i % 3 == 0)
            turn();
    }
    settle();
    CU_ASSERT_EQUAL(facts().durable_lsn, next_lsn - 1);
    CU_ASSERT_EQUAL(read_back(&records).end, WAL_END_CLEAN);
    CU_ASSERT_EQUAL(records, 300);
}

static void a_snapshot_starts_after_the_last_durable_block(void)
{
    start();
    uint32_t before = wal_writer_position(writer).offset;
    append(1), turn();
    append(1), turn();
    CU_ASSERT_EQUAL(wal_writer_position(writer).offset, before);
    memory_complete(&memory, 0, 0);
    turn();
    CU_ASSERT_EQUAL(wal_writer_position(writer).offset, before + DISK_BLOCK_BYTES);
    CU_ASSERT_EQUAL(wal_writer_position(writer).next_lsn, first_lsn + 1);
    append(1), append(1), turn();
    memory_complete(&memory, 1, 0); /* the later one */
    turn();
    CU_ASSERT_EQUAL(wal_writer_position(writer).offset, before + DISK_BLOCK_BYTES);
    memory_complete(&memory, 0, 0);
    turn();
    CU_ASSERT_EQUAL(wal_writer_position(writer).offset, before + 3 * DISK_BLOCK_BYTES);
    CU_ASSERT_EQUAL(wal_writer_position(writer).next_lsn, first_lsn + 4);
}

int main(void)
{
#define TEST(what) {#what, what}
    CU_TestInfo tests[] = {TEST(a_history_begins_with_a_mark_in_a_new_segment),
                           TEST(a_record_goes_out_at_once_and_counts_when_it_is_durable),
                           TEST(with_few_in_flight_blocks_close_early_and_with_more_they_fill),
                           TEST(all_buffers_busy_means_no_room_and_nothing_is_lost),
                           TEST(completions_in_any_order_announce_in_order),
                           TEST(writes_refused_at_random_lose_nothing),
                           TEST(a_full_disk_is_tried_again_with_the_same_bytes_in_order),
                           TEST(another_error_is_for_good),
                           TEST(an_error_while_the_disk_is_full_is_for_good_too),
                           TEST(an_idle_log_says_once_what_is_durable),
                           TEST(a_busy_log_has_no_idle_marks),
                           TEST(a_finished_log_ends_in_a_mark),
                           TEST(a_log_without_a_record_needs_no_further_mark),
                           TEST(a_block_that_does_not_fit_goes_to_the_next_segment),
                           TEST(a_block_may_fill_its_segment_to_the_last_byte),
                           TEST(without_a_segment_it_waits_and_loses_nothing),
                           TEST(files_that_nobody_collects_hold_it_up),
                           TEST(a_segment_denied_for_space_lets_the_current_one_be_filled),
                           TEST(a_segment_denied_otherwise_is_for_good),
                           TEST(a_queue_without_room_delays_and_no_more),
                           TEST(a_snapshot_starts_after_the_last_durable_block),
                           CU_TEST_INFO_NULL};
    return suite_run_each("wal_writer", set_up, tear_down, tests);
}
