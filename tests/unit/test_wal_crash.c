/*
 * The writer on a disk that crashes, the reader on what is found there: at every I/O boundary, in every way
 * that sim_disk.h knows; then lives that go on there, and crash too.
 */
#include "suite.h"

#include <errno.h>

#include "meta.h"
#include "sim_disk.h"
#include "wal_blocks.h"
#include "wal_reader.h"
#include "wal_writer.h"

enum {
    SEGMENT_BYTES = WAL_BLOCK_BYTES_MAX,
    LIVES = 3,
    RECORDS = 60,
    TURNS_MAX = 4000,
    MS = 1000 * 1000,
};

/* One folder through its lives. */
struct story {
    struct meta meta;
    struct wal_position end; /* where the log ended when it was last read */
    uint64_t acknowledged;   /* highest durable_lsn that anybody was told */
    uint64_t seed;
};

/* Makes the segment ready as it must be before it is given: allocated, named, both durable. Sometimes a file
 * that is there already stays as it is, with whatever lies in it. */
static int make_segment(const struct disk *disk, uint64_t number, bool anew)
{
    char name[DISK_NAME_BYTES];
    meta_segment_name(name, number);
    int file = anew ? -ENOENT : disk->call->open(disk->state, name, DISK_WRITE, 0);
    if (file < 0) {
        int error = disk->call->remove(disk->state, name);
        if (error < 0 && error != -ENOENT)
            return error;
        file = disk->call->open(disk->state, name, DISK_CREATE, SEGMENT_BYTES);
    }
    if (file < 0)
        return file;
    int error = disk->call->sync(disk->state, file);
    if (error >= 0)
        error = disk->call->sync_folder(disk->state);
    if (error < 0) {
        disk->call->close(disk->state, file);
        return error;
    }
    return file;
}

/* Until the disk crashes or all is written and ended in order: what was acknowledged is in the story. */
static void live(struct story *story, struct sim_disk *sim)
{
    struct disk disk = sim_disk_disk(sim);
    uint64_t first_lsn = meta_next_first_lsn(&story->meta, story->end.next_lsn - 1, 1), next_lsn = first_lsn;
    meta_add(&story->meta, &(struct history){.id = 100 + story->meta.count,
                                             .first_lsn = first_lsn,
                                             .node_id = 1,
                                             .before_lsn = meta_last_lsn(&story->meta, story->end.next_lsn),
                                             .epoch = story->meta.count});
    struct wal_writer_config config = {.queue = sim_disk_queue(sim),
                                       .start = story->end,
                                       .history = story->meta.history[story->meta.count - 1].id,
                                       .first_lsn = first_lsn,
                                       .durable_lsn = story->end.next_lsn - 1,
                                       .segment_bytes = SEGMENT_BYTES};
    struct wal_writer *writer = wal_writer_create(&config);
    CU_ASSERT_PTR_NOT_NULL_FATAL(writer);
    bool anew = seeded_below(&story->seed, 2) == 0;
    uint64_t now_ns = 1;
    unsigned turns = 0;
    for (bool done = false; !done && !sim_disk_crashed(sim); turns++) {
        uint8_t record[LOG_RECORD_BYTES_MAX];
        unsigned value = (unsigned)seeded_below(&story->seed, VALUE_BYTES_MAX + 1);
        bool quiet = seeded_below(&story->seed, 8) == 0;
        for (uint64_t n = quiet ? 0 : seeded_below(&story->seed, 8); n > 0 && next_lsn < first_lsn + RECORDS;
             n--)
            if (wal_writer_append(writer, record, numbered_record(record, next_lsn, value)))
                next_lsn++;
        if (next_lsn == first_lsn + RECORDS)
            wal_writer_finish(writer);
        now_ns += quiet ? WAL_MARK_IDLE_NS : MS;
        wal_writer_turn(writer, now_ns, 1);
        uint64_t wanted = wal_writer_wants(writer);
        int file = wanted != 0 ? make_segment(&disk, wanted, anew) : -1;
        if (file >= 0)
            wal_writer_give(writer, file);
        struct wal_writer_facts facts = wal_writer_facts(writer);
        if (facts.durable_lsn > story->acknowledged && facts.started)
            story->acknowledged = facts.durable_lsn;
        done = wal_writer_idle(writer) && next_lsn == first_lsn + RECORDS;
        CU_ASSERT_FATAL(turns < TURNS_MAX);
    }
    wal_writer_destroy(writer);
}

/* Reads the log from its start, as recovery does, and syncs what it has read. */
static enum wal_end recover(struct story *story, struct sim_disk *sim)
{
    struct disk disk = sim_disk_disk(sim);
    struct wal_position from = {.segment = 0, .next_lsn = 1};
    struct wal_reader *reader = wal_reader_create(&disk, &story->meta, &from);
    CU_ASSERT_PTR_NOT_NULL_FATAL(reader);
    struct wal_block block;
    while (wal_reader_next(reader, &block) == 1)
        ;
    struct wal_verdict_at_end verdict = wal_reader_judge(reader);
    wal_reader_destroy(reader);
    for (uint64_t number = 1; number <= verdict.position.segment; number++) {
        char name[DISK_NAME_BYTES];
        meta_segment_name(name, number);
        int file = disk.call->open(disk.state, name, DISK_WRITE, 0);
        CU_ASSERT(file >= 0 && disk.call->sync(disk.state, file) >= 0);
        disk.call->close(disk.state, file);
    }
    CU_ASSERT(disk.call->sync_folder(disk.state) >= 0);
    story->end = verdict.position;
    return verdict.end;
}

static struct story new_story(uint64_t seed)
{
    return (struct story){
        .meta = {.cluster_id = {1}, .node_id = 1}, .end = {.next_lsn = 1}, .seed = seeded_start(seed)};
}

/* LIVES lives on one folder: the first crashes at the boundary, the others at one that the seed chooses. */
static bool tell(uint64_t seed, uint64_t boundary, enum sim_crash crash)
{
    struct story story = new_story(seed);
    struct sim_disk *disk = sim_disk_create(seed, UINT64_C(1) << 30);
    unsigned failures = CU_get_number_of_failures();
    bool crashed = false;
    for (unsigned life = 0; life < LIVES; life++) {
        sim_disk_set_latency(disk, 6);
        sim_disk_crash_at(disk,
                          life == 0 ? boundary : sim_disk_boundaries(disk) + seeded_below(&story.seed, 60));
        live(&story, disk);
        crashed |= sim_disk_crashed(disk);
        struct sim_disk *image = sim_disk_image(disk, crash, seeded_next(&story.seed));
        sim_disk_destroy(disk);
        disk = image;
        enum wal_end end = recover(&story, disk);
        CU_ASSERT(end == WAL_END_CLEAN || end == WAL_END_TORN);
        CU_ASSERT(story.end.next_lsn > story.acknowledged);
        if (CU_get_number_of_failures() != failures) {
            printf("\nlife %u, boundary %llu, crash %d, end %d, WILD_SEED=%llu\n", life,
                   (unsigned long long)boundary, crash, end, (unsigned long long)seed);
            break;
        }
    }
    sim_disk_destroy(disk);
    return crashed;
}

static void whatever_was_acknowledged_is_there_after_a_crash_anywhere(void)
{
    enum { BOUNDARIES = 60 }; /* about as many as a life has */
    uint64_t seed = seeded_from_environment(11);
    unsigned crashed = 0;
    for (uint64_t boundary = 0; boundary < BOUNDARIES; boundary++)
        for (unsigned crash = 0; crash < SIM_CRASHES; crash++)
            crashed += tell(seed + boundary % 7, boundary, (enum sim_crash)crash);
    CU_ASSERT(crashed > BOUNDARIES * SIM_CRASHES / 2);
}

/* An error instead of a crash: nothing more is announced, and what was is there. */
static void whatever_was_acknowledged_is_there_after_an_error_of_the_disk(void)
{
    uint64_t seed = seeded_from_environment(11);
    for (unsigned n = 1; n < 25; n++) {
        struct story story = new_story(seed + n);
        struct sim_disk *disk = sim_disk_create(seed + n, UINT64_C(1) << 30);
        sim_disk_set_latency(disk, 4);
        sim_disk_fail_write(disk, n, -EIO, n % 2 == 0);
        live(&story, disk);
        struct sim_disk *image = sim_disk_image(disk, SIM_CRASH_SUBSET, n);
        enum wal_end end = recover(&story, image);
        CU_ASSERT(end == WAL_END_CLEAN || end == WAL_END_TORN);
        CU_ASSERT(story.end.next_lsn > story.acknowledged);
        sim_disk_destroy(image);
        sim_disk_destroy(disk);
    }
}

int main(void)
{
#define TEST(what) {#what, what}
    CU_TestInfo tests[] = {TEST(whatever_was_acknowledged_is_there_after_a_crash_anywhere),
                           TEST(whatever_was_acknowledged_is_there_after_an_error_of_the_disk),
                           CU_TEST_INFO_NULL};
    return suite_run("wal_crash", tests);
}
