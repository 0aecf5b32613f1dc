/*
 * test_log_follows.c - a log whose records come from a primary, and one that changes sides: durable_log.h and recovery.h as a
 * replica uses them, on a simulated disk. Every life of the node begins with a recovery and ends without notice.
 */
#include "suite.h"

#include "apply.h"
#include "durable_log.h"
#include "epoch.h"
#include "sim_disk.h"
#include "table_fixture.h"
#include "wal_block.h"

enum { SEGMENT_BYTES = 2 * WAL_BLOCK_BYTES_MAX, RING_BYTES = 65536, TURNS = 2000, LIVES = 12, VALUE = 200 };

#define FIRST  (UINT64_C(1) << 32)
#define SECOND (UINT64_C(5) << 32)
static const uint64_t first_history = 101, second_history = 102, primary_node = 77;

static struct fixture fixture;
static struct sim_disk *sim;
static struct disk disk;
static struct recovery *recovery;
static struct housekeeper *housekeeper;
static struct durable_log *durable;
static struct log_ring *ring;
static struct log_merge merge;
static uint64_t seed, now_ns, next_lsn, history;

/* ---- lives ---- */

static const struct recovery_facts *found(void)
{
    return recovery_facts(recovery);
}

/* From the disk; what the first step that is none says. */
static int begin_life(bool follows)
{
    fixture_open(&fixture, &(struct table_config){.capacity = 4096});
    disk = sim_disk_disk(sim);
    struct recovery_config config = {.disk = disk,
                                     .apply = fixture.context,
                                     .random = seeded_source(&seed),
                                     .folder = "folder",
                                     .segment_bytes = SEGMENT_BYTES,
                                     .follows = follows};
    recovery = recovery_create(&config);
    int step;
    while ((step = recovery_step(recovery)) == 1)
        ;
    if (step != 0)
        return step;
    struct housekeeper_config keeper = {.disk = disk,
                                        .table = fixture.table,
                                        .found = found(),
                                        .segment_bytes = SEGMENT_BYTES,
                                        .snapshot_buckets = 64};
    housekeeper = housekeeper_create(&keeper);
    ring = log_ring_create(RING_BYTES, -1);
    log_merge_init(&merge, &ring, 1, found()->next_lsn);
    struct durable_log_config log = {.queue = sim_disk_queue(sim),
                                     .merge = &merge,
                                     .housekeeper = housekeeper,
                                     .found = found(),
                                     .table = fixture.table,
                                     .follows = follows,
                                     .segment_bytes = SEGMENT_BYTES};
    durable = durable_log_create(&log);
    CU_ASSERT_FATAL(housekeeper != NULL && ring != NULL && durable != NULL);
    next_lsn = found()->next_lsn;
    history = found()->history;
    return 0;
}

static void free_life(void)
{
    durable_log_destroy(durable);
    housekeeper_destroy(housekeeper);
    recovery_destroy(recovery);
    log_ring_destroy(ring);
    fixture_close(&fixture);
    durable = NULL;
    housekeeper = NULL;
    recovery = NULL;
    ring = NULL;
}

/* The node dies; the disk is as that leaves it. */
static void end_life(enum sim_crash crash)
{
    struct sim_disk *image = sim_disk_image(sim, crash, seeded_next(&seed));
    sim_disk_crash_at(sim, 0);
    disk.call->remove(disk.state, "nothing");
    free_life();
    sim_disk_destroy(sim);
    sim = image;
}

static void set_up(void)
{
    seed = seeded_start(seeded_from_environment(7));
    now_ns = 1;
    sim = sim_disk_create(seed, UINT64_C(1) << 30);
}

static void tear_down(void)
{
    sim_disk_crash_at(sim, 0);
    disk.call->remove(disk.state, "nothing");
    free_life();
    sim_disk_destroy(sim);
}

static void turns(unsigned count)
{
    for (; count > 0; count--) {
        now_ns += 1000;
        durable_log_turn(durable, 64, now_ns, 1);
        housekeeper_step(housekeeper);
    }
}

/* ---- what a primary says ---- */

/* Its histories, into the folder's meta, as a replica learns them. */
static void learn(uint64_t second_before_lsn)
{
    struct meta meta;
    CU_ASSERT_EQUAL_FATAL(meta_read(&meta, &disk), 0);
    memset(meta.cluster_id, 9, sizeof meta.cluster_id);
    meta.count = 0;
    meta_add(&meta,
             &(struct history){.id = first_history, .first_lsn = FIRST, .node_id = primary_node, .epoch = 1});
    if (second_before_lsn != 0)
        meta_add(&meta, &(struct history){.id = second_history,
                                          .first_lsn = SECOND,
                                          .node_id = primary_node + 1,
                                          .before_lsn = second_before_lsn,
                                          .epoch = epoch_of_promotion(1)});
    CU_ASSERT_EQUAL_FATAL(meta_write(&meta, &disk), 0);
}

/* Of a hundred keys. */
static size_t make_record(uint8_t *out, uint64_t lsn)
{
    static const uint8_t value[VALUE];
    char key[16];
    int length = snprintf(key, sizeof key, "key-%u", (unsigned)(lsn % 100));
    return log_record_encode(out, &(struct log_record){.lsn = lsn,
                                                       .type = LOG_SET,
                                                       .key = (const uint8_t *)key,
                                                       .key_length = (uint8_t)length,
                                                       .value = value,
                                                       .value_length = VALUE});
}

static bool append(unsigned count)
{
    static uint8_t bytes[WAL_BLOCK_BYTES_MAX];
    size_t used = 0;
    for (unsigned i = 0; i < count; i++)
        used += make_record(bytes + used, next_lsn + i);
    if (!durable_log_append(durable, history, next_lsn, bytes, used, count))
        return false;
    CU_ASSERT_EQUAL(apply_records(fixture.context, bytes, used), 0);
    next_lsn += count;
    return true;
}

static void enter_second(void)
{
    learn(next_lsn - 1);
    history = second_history;
    next_lsn = SECOND;
}

/* A worker's. */
static void write_to_ring(void)
{
    uint8_t bytes[LOG_RECORD_BYTES_MAX];
    struct log_record record;
    size_t length = make_record(bytes, next_lsn);
    CU_ASSERT_EQUAL(log_record_decode(&record, bytes, length), (int)length);
    CU_ASSERT_FATAL(log_ring_reserve(ring, 1, length));
    log_ring_append(ring, &record);
    CU_ASSERT_EQUAL(apply_record(fixture.context, &record), 0);
    next_lsn++;
}

/* A log of its own, from the primary's first record on. */
static void begin_log(void)
{
    struct durable_log_begin begin = {
        .history = first_history, .next_lsn = FIRST, .stamp = found()->meta.stamp};
    learn(0);
    memset(begin.cluster_id, 9, sizeof begin.cluster_id);
    CU_ASSERT_FATAL(durable_log_begin(durable, &begin));
    history = first_history;
    next_lsn = FIRST;
}

/* A new node with so many records, all durable. */
static void follow_some(unsigned count)
{
    CU_ASSERT_EQUAL_FATAL(begin_life(true), 0);
    begin_log();
    CU_ASSERT(append(count));
    turns(TURNS);
    CU_ASSERT_EQUAL_FATAL(durable_log_facts(durable).durable_lsn, FIRST + count - 1);
}

static uint64_t items(void)
{
    struct table_counts counts;
    table_counts(fixture.table, &counts);
    return counts.items;
}

/* ---- recovery ---- */

static void an_empty_folder_is_a_replicas_that_has_nothing(void)
{
    uint64_t node;
    CU_ASSERT_EQUAL_FATAL(begin_life(true), 0);
    node = found()->meta.node_id;
    CU_ASSERT(node != 0 && found()->meta.count == 0 && found()->meta.cluster_id[0] == 0);
    CU_ASSERT(found()->history == 0 && found()->next_lsn == 0 && found()->lsn == 0);
    CU_ASSERT(!durable_log_room(durable) && durable_log_finished(durable));
    CU_ASSERT_EQUAL(durable_log_facts(durable).history, 0);
    next_lsn = FIRST;
    history = first_history;
    CU_ASSERT_FALSE(append(1));
    turns(100);
    CU_ASSERT(!durable_log_facts(durable).started && durable_log_facts(durable).blocks == 0);
    end_life(SIM_CRASH_NOTHING);
    CU_ASSERT_EQUAL_FATAL(begin_life(true), 0);
    CU_ASSERT_EQUAL(found()->meta.node_id, node);
    CU_ASSERT_EQUAL(found()->meta.count, 0);
    end_life(SIM_CRASH_NOTHING);
    /* As a primary it is the first of a cluster, under the same name. */
    CU_ASSERT_EQUAL_FATAL(begin_life(false), 0);
    CU_ASSERT(found()->meta.node_id == node && found()->meta.count == 1);
    CU_ASSERT(found()->meta.history[0].node_id == node && found()->meta.history[0].epoch == 1);
    CU_ASSERT_EQUAL(found()->next_lsn, found()->meta.history[0].first_lsn);
}

static void a_replicas_log_goes_on_in_its_history(void)
{
    struct meta before, after;
    follow_some(30);
    end_life(SIM_CRASH_NOTHING);
    disk = sim_disk_disk(sim);
    CU_ASSERT_EQUAL(meta_read(&before, &disk), 0);
    CU_ASSERT_EQUAL_FATAL(begin_life(true), 0);
    CU_ASSERT_EQUAL(meta_read(&after, &disk), 0);
    CU_ASSERT(memcmp(&before, &after, sizeof before) == 0); /* it opens nothing */
    CU_ASSERT(found()->history == first_history && found()->next_lsn == FIRST + 30);
    CU_ASSERT(found()->lsn == FIRST + 29 && found()->records == 30 && items() == 30);
    CU_ASSERT(append(5));
    enter_second();
    CU_ASSERT(append(4));
    turns(TURNS);
    CU_ASSERT_EQUAL(durable_log_facts(durable).durable_lsn, SECOND + 3);
    end_life(SIM_CRASH_NOTHING);
    CU_ASSERT_EQUAL_FATAL(begin_life(true), 0);
    CU_ASSERT(found()->history == second_history && found()->next_lsn == SECOND + 4);
    CU_ASSERT_EQUAL(found()->records, 39);
}

/* It has learned of a history whose begin it has nothing of: what others found says nothing of its log. */
static void a_history_that_was_learned_and_not_reached_is_no_damage(void)
{
    follow_some(30);
    learn(FIRST + 1000);
    end_life(SIM_CRASH_NOTHING);
    CU_ASSERT_EQUAL_FATAL(begin_life(true), 0);
    CU_ASSERT(found()->history == first_history && found()->lsn == FIRST + 29);
    CU_ASSERT_EQUAL(found()->meta.count, 2);
    end_life(SIM_CRASH_NOTHING);
    /* Nor does it for who becomes a primary: what it lacks is lost on its line. */
    CU_ASSERT_EQUAL_FATAL(begin_life(false), 0);
    CU_ASSERT_EQUAL(found()->meta.count, 3);
    CU_ASSERT(meta_lsn_is_lost(&found()->meta, FIRST + 30) && meta_lsn_is_lost(&found()->meta, SECOND));
    CU_ASSERT(!meta_lsn_is_lost(&found()->meta, FIRST + 29));
    CU_ASSERT_EQUAL(found()->meta.history[2].epoch, epoch_of_promotion(epoch_of_promotion(1)));
}

static unsigned segments_above;

static void count_above(void *context, const char *name, uint64_t bytes)
{
    uint64_t number;
    (void)bytes;
    segments_above += meta_is_segment(name, &number) && number > *(const uint64_t *)context;
}

/* Cut again and again in the same history: what was torn is told once, and never taken for a tail of a later life. */
static void a_torn_tail_is_cut_and_the_same_history_goes_on(void)
{
    unsigned torn = 0, clean = 0;
    follow_some(10);
    sim_disk_set_latency(sim, 30);
    for (unsigned life = 0; life < LIVES; life++) {
        for (unsigned i = 0; i < 20; i++) {
            (void)append(300); /* ten blocks and more on their way */
            turns(1 + life % 3);
        }
        uint64_t durable_lsn = durable_log_facts(durable).durable_lsn;
        end_life(life % 2 == 0 ? SIM_CRASH_SUBSET : SIM_CRASH_TORN);
        CU_ASSERT_EQUAL_FATAL(begin_life(true), 0);
        torn += found()->dropped_bytes > 0;
        CU_ASSERT(found()->lsn >= durable_lsn && found()->history == first_history);
        CU_ASSERT_EQUAL(found()->next_lsn, found()->lsn + 1);
        uint64_t next_segment = found()->end.segment + 1;
        segments_above = 0;
        disk.call->list(disk.state, count_above, &next_segment);
        CU_ASSERT_EQUAL(segments_above, 0);
        durable_log_finish(durable);
        for (unsigned i = 0; i < TURNS && !durable_log_finished(durable); i++)
            turns(1);
        CU_ASSERT(durable_log_finished(durable));
        end_life(SIM_CRASH_NOTHING);
        CU_ASSERT_EQUAL_FATAL(begin_life(true), 0);
        CU_ASSERT_EQUAL(found()->dropped_bytes, 0);
        clean += found()->dropped_bytes == 0;
        sim_disk_set_latency(sim, 30);
    }
    CU_ASSERT(torn > LIVES / 4 && clean == LIVES);
}

static void a_replicas_folder_starts_as_a_primarys(void)
{
    const uint64_t second = (uint64_t)epoch_of_promotion(1) << 32; /* in its epoch's own range */
    follow_some(30);
    end_life(SIM_CRASH_NOTHING);
    CU_ASSERT_EQUAL_FATAL(begin_life(false), 0);
    const struct meta *meta = &found()->meta;
    CU_ASSERT(meta->count == 2 && meta->history[1].node_id == meta->node_id);
    CU_ASSERT(meta->history[1].before_lsn == FIRST + 29 && meta->history[1].first_lsn == second);
    CU_ASSERT_EQUAL(meta->history[1].epoch, epoch_of_promotion(1));
    CU_ASSERT(found()->next_lsn == second && found()->history == meta->history[1].id);
    CU_ASSERT(durable_log_leads(durable) && !durable_log_room(durable));
    write_to_ring();
    turns(TURNS);
    CU_ASSERT_EQUAL(durable_log_facts(durable).durable_lsn, second);
    end_life(SIM_CRASH_NOTHING);
    /* Now its own is the last: a start counts within its term. */
    CU_ASSERT_EQUAL_FATAL(begin_life(false), 0);
    CU_ASSERT_EQUAL(found()->meta.history[2].epoch, epoch_of_promotion(1) + 1);
    end_life(SIM_CRASH_NOTHING);
    /* And as a replica again, it goes on with what its log ends in: no block of the third has come. */
    CU_ASSERT_EQUAL_FATAL(begin_life(true), 0);
    CU_ASSERT(found()->history == found()->meta.history[1].id && found()->lsn == second);
}

static void what_was_promised_to_another_counts_for_a_promotion(void)
{
    struct meta meta;
    follow_some(3);
    CU_ASSERT_EQUAL(meta_read(&meta, &disk), 0);
    meta.sealed_node = 5;
    meta.sealed_epoch = epoch_of_promotion(epoch_of_promotion(1));
    CU_ASSERT_EQUAL(meta_write(&meta, &disk), 0);
    end_life(SIM_CRASH_NOTHING);
    CU_ASSERT_EQUAL_FATAL(begin_life(true), 0);
    CU_ASSERT_EQUAL(found()->meta.sealed_epoch, meta.sealed_epoch);
    end_life(SIM_CRASH_NOTHING);
    CU_ASSERT_EQUAL_FATAL(begin_life(false), 0);
    CU_ASSERT_EQUAL(found()->meta.history[1].epoch, epoch_of_promotion(meta.sealed_epoch));
}

/* Two members' list, whole or not. */
static void append_members(unsigned records)
{
    struct member_list list = {.count = 2, .min_replicas = 1, .min_replicas_before = 1};
    uint8_t bytes[2 * LOG_RECORD_BYTES_MAX], room[MEMBER_ROOM_BYTES];
    size_t used = 0;
    list.member[0] = (struct member){.node_id = 5, .part = MEMBER_STAYS, .name = "one"};
    list.member[1] = (struct member){.node_id = 6, .part = MEMBER_STAYS, .name = "two"};
    for (unsigned i = 0; i < records; i++) {
        struct log_record record;
        member_record(&record, &list, i, room);
        record.lsn = next_lsn + i;
        used += log_record_encode(bytes + used, &record);
    }
    CU_ASSERT(durable_log_append(durable, history, next_lsn, bytes, used, records));
    next_lsn += records;
}

static void lists_of_members_are_found_in_the_log(void)
{
    struct meta meta;
    follow_some(3);
    append_members(2);
    CU_ASSERT(append(1));
    append_members(1); /* never whole */
    turns(TURNS);
    end_life(SIM_CRASH_NOTHING);
    for (unsigned life = 0; life < 2; life++) {
        CU_ASSERT_EQUAL_FATAL(begin_life(life == 0), 0);
        CU_ASSERT(found()->meta.members.count == 2 && found()->meta.members.last_lsn == FIRST + 4);
        CU_ASSERT_STRING_EQUAL(found()->meta.members.member[1].name, "two");
        CU_ASSERT(found()->collecting.list.count == 2 &&
                  found()->collecting.next == 1); /* it may be whole yet */
        CU_ASSERT_EQUAL(meta_read(&meta, &disk), 0);
        CU_ASSERT_EQUAL(meta.members.last_lsn, FIRST + 4);
        end_life(SIM_CRASH_NOTHING);
    }
    CU_ASSERT_EQUAL_FATAL(begin_life(true), 0);
}

/* ---- the log's sources ---- */

static void without_room_an_append_takes_nothing(void)
{
    follow_some(3);
    sim_disk_set_latency(sim, 1000);
    unsigned taken = 0;
    while (append(500)) {
        taken++;
        durable_log_turn(durable, 64, ++now_ns, 1);
        CU_ASSERT_FATAL(taken < WAL_BLOCKS);
    }
    CU_ASSERT(taken > 1 && !durable_log_room(durable) && !append(1));
    CU_ASSERT_EQUAL(durable_log_facts(durable).appended_lsn, next_lsn - 1);
    enter_second();
    CU_ASSERT(!append(1));
    for (unsigned i = 0; i < 100 && !durable_log_room(durable); i++)
        turns(100);
    CU_ASSERT(append(500));
    sim_disk_set_latency(sim, 0);
    turns(TURNS);
    CU_ASSERT_EQUAL(durable_log_facts(durable).durable_lsn, SECOND + 499);
    CU_ASSERT_EQUAL(durable_log_facts(durable).records, 3 + 500 * taken + 500);
}

/* It begins to lead, its workers write, it follows again; the rings' last records are not lost. */
static void a_log_changes_sides_and_loses_nothing(void)
{
    struct history own = {
        .id = second_history, .first_lsn = SECOND, .node_id = primary_node + 1, .epoch = 1 << 16};
    follow_some(3);
    own.before_lsn = next_lsn - 1;
    enter_second();
    CU_ASSERT_FATAL(durable_log_lead(durable, &own));
    CU_ASSERT(durable_log_leads(durable) && !durable_log_room(durable));
    apply_next_lsn(fixture.context, SECOND);
    for (unsigned i = 0; i < 50; i++)
        write_to_ring();
    CU_ASSERT_FALSE(durable_log_drained(durable));
    durable_log_turn(durable, 20, ++now_ns, 1); /* some of them */
    CU_ASSERT_FALSE(durable_log_drained(durable));
    while (!durable_log_drained(durable))
        turns(1);
    durable_log_follow(durable);
    CU_ASSERT(!durable_log_leads(durable) && durable_log_room(durable));
    CU_ASSERT_EQUAL(durable_log_facts(durable).appended_lsn, SECOND + 49);
    CU_ASSERT(append(7)); /* of the same history */
    turns(TURNS);
    CU_ASSERT_EQUAL(durable_log_facts(durable).durable_lsn, SECOND + 56);
    end_life(SIM_CRASH_NOTHING);
    CU_ASSERT_EQUAL_FATAL(begin_life(true), 0);
    CU_ASSERT(found()->records == 60 && found()->history == second_history && found()->lsn == SECOND + 56);
}

/* What is durable and not applied yet is not in the table: a snapshot must not begin behind it. */
static void a_snapshot_waits_for_what_is_applied_later(void)
{
    uint8_t bytes[4096];
    size_t used = 0;
    follow_some(3);
    for (unsigned i = 0; i < 2; i++)
        used += make_record(bytes + used, next_lsn + i);
    CU_ASSERT(durable_log_append(durable, history, next_lsn, bytes, used, 2));
    turns(TURNS);
    CU_ASSERT_EQUAL(durable_log_facts(durable).durable_lsn, next_lsn + 1);
    durable_log_snapshot(durable);
    turns(TURNS);
    CU_ASSERT(!housekeeper_facts(housekeeper).snapshot_running &&
              housekeeper_facts(housekeeper).snapshots == 0);
    CU_ASSERT_EQUAL(apply_records(fixture.context, bytes, used), 0);
    turns(TURNS);
    CU_ASSERT_EQUAL(housekeeper_facts(housekeeper).snapshots, 1);
    CU_ASSERT_EQUAL(housekeeper_facts(housekeeper).snapshot_lsn, next_lsn + 1);
    end_life(SIM_CRASH_NOTHING);
    CU_ASSERT_EQUAL_FATAL(begin_life(true), 0);
    CU_ASSERT(found()->snapshot_lsn == FIRST + 4 && found()->records == 0 && items() == 5);
    CU_ASSERT(found()->next_lsn == FIRST + 5 && found()->history == first_history);
}

/* A mark that opens a history is nothing that anybody applies. */
static void a_snapshot_does_not_wait_for_a_history_without_records(void)
{
    follow_some(3);
    enter_second();
    CU_ASSERT(append(0));
    turns(TURNS);
    CU_ASSERT_EQUAL(durable_log_facts(durable).durable_lsn, SECOND - 1);
    durable_log_snapshot(durable);
    turns(TURNS);
    CU_ASSERT_EQUAL(housekeeper_facts(housekeeper).snapshots, 1);
    end_life(SIM_CRASH_NOTHING);
    CU_ASSERT_EQUAL_FATAL(begin_life(true), 0);
    CU_ASSERT(found()->snapshot_lsn == SECOND - 1 && found()->lsn == FIRST + 2 && items() == 3);
    CU_ASSERT(found()->next_lsn == SECOND && found()->history == second_history);
}

/* Given up with records on their way and a segment asked for; the next one begins when all its files are closed. */
static void a_log_is_given_up_and_another_begun(void)
{
    struct durable_log_begin begin = {
        .start = {.segment = 40, .history = second_history, .next_lsn = SECOND + 9},
        .history = second_history,
        .next_lsn = SECOND + 9,
        .stamp = 12345};
    follow_some(3);
    sim_disk_set_latency(sim, 100);
    CU_ASSERT(append(400) && append(400));
    durable_log_turn(durable, 64, ++now_ns, 1);
    durable_log_finish(durable);
    CU_ASSERT(!durable_log_room(durable) && !append(1));
    durable_log_turn(durable, 64, ++now_ns, 1);
    CU_ASSERT(!durable_log_finished(durable) && !durable_log_begin(durable, &begin));
    unsigned waited = 0;
    while (!durable_log_begin(durable, &begin) && waited < 10 * TURNS) {
        turns(1);
        waited++;
    }
    CU_ASSERT(waited > 0 && waited < 10 * TURNS);
    CU_ASSERT(durable_log_room(durable) && !durable_log_facts(durable).started);
    learn(FIRST + 802);
    history = second_history;
    next_lsn = SECOND + 9;
    CU_ASSERT(append(10));
    turns(TURNS);
    CU_ASSERT_EQUAL(durable_log_facts(durable).durable_lsn, SECOND + 18);
    uint64_t length;
    uint8_t *bytes = sim_disk_bytes(sim, "wal-0000000000000029", &length);
    struct wal_block block;
    CU_ASSERT_FATAL(bytes != NULL && length == SEGMENT_BYTES);
    CU_ASSERT_EQUAL(wal_block_decode(&block, bytes, length, 41, 0), WAL_WHOLE);
    CU_ASSERT(block.stamp == 12345 && block.count == 0 && block.first_lsn == SECOND + 9);
    CU_ASSERT(block.history == second_history && block.previous_crc == 0);
}

int main(void)
{
#define TEST(what) {#what, what}
    CU_TestInfo tests[] = {TEST(an_empty_folder_is_a_replicas_that_has_nothing),
                           TEST(a_replicas_log_goes_on_in_its_history),
                           TEST(a_history_that_was_learned_and_not_reached_is_no_damage),
                           TEST(a_torn_tail_is_cut_and_the_same_history_goes_on),
                           TEST(a_replicas_folder_starts_as_a_primarys),
                           TEST(what_was_promised_to_another_counts_for_a_promotion),
                           TEST(lists_of_members_are_found_in_the_log),
                           TEST(without_room_an_append_takes_nothing),
                           TEST(a_log_changes_sides_and_loses_nothing),
                           TEST(a_snapshot_waits_for_what_is_applied_later),
                           TEST(a_snapshot_does_not_wait_for_a_history_without_records),
                           TEST(a_log_is_given_up_and_another_begun),
                           CU_TEST_INFO_NULL};
    return suite_run_each("log_follows", set_up, tear_down, tests);
}
