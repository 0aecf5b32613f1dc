#include "suite.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

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
static struct disk_calls calls; /* the simulated disk's, but for remove() */
static bool stubborn;           /* no snapshot can be removed */
static bool gone;               /* the folder has been moved */

static int remove_or_not(void *state, const char *name)
{
    if (stubborn && strncmp(name, "snapshot-", 9) == 0)
        return -EPERM;
    return sim_disk_disk(sim).call->remove(state, name);
}

static int found_or_not(void *state, const char *name)
{
    return gone ? -ENOENT : sim_disk_disk(sim).call->found(state, name);
}

static struct disk disk_of(struct sim_disk *of)
{
    struct disk disk = sim_disk_disk(of);
    calls = *disk.call;
    calls.remove = remove_or_not;
    calls.found = found_or_not;
    disk.call = &calls;
    return disk;
}

static void set_up(void)
{
    struct table_config table = {.capacity = 1000};
    seed = seeded_start(seeded_from_environment(5));
    now_ns = 1;
    stubborn = gone = false;
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
    struct housekeeper_config keeper = {.disk = disk_of(sim),
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

/* A change, then a snapshot of all that there is. */
static void take_snapshot(void)
{
    uint64_t before = housekeeper_facts(housekeeper).snapshots;
    CU_ASSERT_FATAL(log_ring_reserve(ring, 1, log_record_bytes(0, 0)));
    log_ring_append(ring, &(struct log_record){.lsn = merge.next_lsn, .type = LOG_NOP});
    for (unsigned turns = 0; durable_log_facts(durable).durable_lsn + 1 < merge.next_lsn || turns < 100;
         turns++)
        turn();
    durable_log_snapshot(durable);
    for (unsigned turns = 0; housekeeper_facts(housekeeper).snapshots == before && turns < TURNS_MAX; turns++)
        turn();
    CU_ASSERT_EQUAL_FATAL(housekeeper_facts(housekeeper).snapshots, before + 1);
}

static void snapshots_that_cannot_be_removed_do_no_harm(void)
{
    stubborn = true;
    for (unsigned i = 0; i < 3 * RECOVERY_SNAPSHOTS_MAX; i++) {
        take_snapshot();
        CU_ASSERT_EQUAL(housekeeper_facts(housekeeper).oldest_segment, 1);
    }
    CU_ASSERT(housekeeper_facts(housekeeper).removal_error < 0);
    stubborn = false;
    for (unsigned i = 0; i < 100; i++)
        turn();
    take_snapshot();
    CU_ASSERT_EQUAL(housekeeper_facts(housekeeper).removal_error, 0);
    CU_ASSERT(housekeeper_facts(housekeeper).free_bytes > 0 &&
              housekeeper_facts(housekeeper).free_bytes < UINT64_MAX);
}

static unsigned changes; /* of names and of bytes, by the blocking face */

static int open_counted(void *state, const char *name, enum disk_open how, uint64_t bytes)
{
    changes += how != DISK_READ;
    return sim_disk_disk(sim).call->open(state, name, how, bytes);
}

static int write_counted(void *state, int file, uint64_t offset, const void *bytes, size_t length)
{
    changes++;
    return sim_disk_disk(sim).call->write(state, file, offset, bytes, length);
}

static int rename_counted(void *state, const char *from, const char *to)
{
    changes++;
    return sim_disk_disk(sim).call->rename(state, from, to);
}

static int remove_counted(void *state, const char *name)
{
    changes++;
    return remove_or_not(state, name);
}

static void count_changes(void)
{
    changes = 0;
    calls.open = open_counted;
    calls.write = write_counted;
    calls.rename = rename_counted;
    calls.remove = remove_counted;
}

static void one_change(void)
{
    CU_ASSERT_FATAL(log_ring_reserve(ring, 1, log_record_bytes(0, 0)));
    log_ring_append(ring, &(struct log_record){.lsn = merge.next_lsn, .type = LOG_NOP});
}

/* Until the housekeeper has nothing to do but what it is asked for. */
static void come_to_rest(void)
{
    for (unsigned i = 0; i < 2000; i++)
        turn();
}

static bool is_there(const char *name)
{
    struct disk disk = sim_disk_disk(sim);
    int file = disk.call->open(disk.state, name, DISK_READ, 0);
    if (file >= 0)
        disk.call->close(disk.state, file);
    return file >= 0;
}

static void a_folder_that_was_gone_once_is_told_for_good_and_left_alone(void)
{
    take_snapshot();
    come_to_rest();
    CU_ASSERT_EQUAL(housekeeper_facts(housekeeper).folder_error, 0);
    gone = true;
    for (unsigned i = 0; i < 100; i++)
        turn();
    CU_ASSERT_EQUAL(housekeeper_facts(housekeeper).folder_error, -ENOENT);
    gone = false;
    count_changes();
    one_change();
    come_to_rest();
    durable_log_snapshot(durable);
    come_to_rest();
    struct housekeeper_facts facts = housekeeper_facts(housekeeper);
    CU_ASSERT_EQUAL(facts.folder_error, -ENOENT);
    CU_ASSERT(facts.snapshots == 1 && facts.snapshots_failed > 0 && !facts.snapshot_running);
    CU_ASSERT_EQUAL(facts.snapshot_error, -ENOENT);
    CU_ASSERT_EQUAL(changes, 0);
}

/* Gone between any two steps of a snapshot, those of its publication among them. */
static void no_snapshot_is_published_in_a_folder_that_is_gone(void)
{
    bool published = false, begun = false;
    for (unsigned steps = 0; !published; steps++) {
        CU_ASSERT_FATAL(steps < 10000);
        one_change();
        come_to_rest();
        durable_log_snapshot(durable);
        for (unsigned i = 0; i < steps; i++)
            turn();
        published = housekeeper_facts(housekeeper).snapshots == 1;
        begun |= is_there("snapshot.tmp");
        count_changes();
        gone = true;
        come_to_rest();
        CU_ASSERT_EQUAL(housekeeper_facts(housekeeper).snapshots, published);
        CU_ASSERT_EQUAL(changes, 0);
        tear_down();
        set_up();
    }
    CU_ASSERT(begun);
}

/* What another snapshot makes superfluous, found to be so only when the folder has gone. */
static void nothing_is_removed_from_a_folder_that_is_gone(void)
{
    stubborn = true;
    for (unsigned i = 0; i < 3; i++)
        take_snapshot();
    come_to_rest();
    count_changes();
    stubborn = false;
    gone = true;
    come_to_rest();
    CU_ASSERT_EQUAL(changes, 0);
}

/* And its half of it stays, as after a crash. */
static void no_segment_is_made_in_a_folder_that_is_gone(void)
{
    int file;
    come_to_rest();
    CU_ASSERT(is_there("wal-0000000000000002") && !is_there("wal-0000000000000009"));
    housekeeper_want_segment(housekeeper, 9);
    for (unsigned i = 0; i < 3; i++)
        CU_ASSERT_EQUAL(housekeeper_step(housekeeper), HOUSEKEEPER_PAUSE);
    count_changes();
    gone = true;
    for (unsigned i = 0; i < 100; i++)
        housekeeper_step(housekeeper);
    CU_ASSERT(housekeeper_take_segment(housekeeper, 9, &file));
    CU_ASSERT_EQUAL(file, -ENOENT);
    CU_ASSERT(is_there("wal-0000000000000009"));
    CU_ASSERT_EQUAL(changes, 0);
}

static int recover_image(struct sim_disk *image, char *error, size_t error_bytes)
{
    struct table_config table = {.capacity = 1000};
    struct disk disk = sim_disk_disk(image);
    struct fixture second;
    fixture_open(&second, &table);
    struct recovery_config config = {.disk = disk,
                                     .apply = second.context,
                                     .random = seeded_source(&seed),
                                     .folder = "folder",
                                     .segment_bytes = SEGMENT_BYTES};
    struct recovery *again = recovery_create(&config);
    int step;
    while ((step = recovery_step(again)) == 1)
        ;
    snprintf(error, error_bytes, "%s", recovery_error(again));
    recovery_destroy(again);
    fixture_close(&second);
    return step;
}

/* How a recovery of what a kill leaves ends, `without` that file and `with` an empty one of that name. */
static int recover_again(const char *without, const char *with, char *error, size_t error_bytes)
{
    struct sim_disk *image = sim_disk_image(sim, SIM_CRASH_KILL, 1);
    struct disk disk = sim_disk_disk(image);
    if (without != NULL)
        CU_ASSERT_EQUAL(disk.call->remove(disk.state, without), 0);
    if (with != NULL)
        disk.call->close(disk.state, disk.call->open(disk.state, with, DISK_CREATE, DISK_BLOCK_BYTES));
    int step = recover_image(image, error, error_bytes);
    sim_disk_destroy(image);
    return step;
}

/* Everything behind the snapshot is gone with it, and nothing else is there to say so. */
static void the_segment_that_a_snapshot_goes_on_in_is_missed(void)
{
    char error[RECOVERY_TEXT_BYTES], name[DISK_NAME_BYTES];
    take_snapshot();
    CU_ASSERT_EQUAL(recover_again(NULL, NULL, error, sizeof error), 0);
    meta_segment_name(name, housekeeper_facts(housekeeper).snapshot_segment);
    CU_ASSERT_EQUAL(recover_again(name, NULL, error, sizeof error), -EBADMSG);
    CU_ASSERT_PTR_NOT_NULL(strstr(error, name));
}

static void a_segment_that_nobody_could_have_written_does_not_hold_recovery_up(void)
{
    char error[RECOVERY_TEXT_BYTES];
    take_snapshot();
    CU_ASSERT_EQUAL(recover_again(NULL, "wal-ffffffffffffffff", error, sizeof error), 0);
}

/* Killed in the midst of a snapshot, with no segment ready and no room for one: what the snapshot took is enough. */
static void a_start_on_a_full_disk_takes_the_room_of_a_snapshot_that_was_not_finished(void)
{
    char error[RECOVERY_TEXT_BYTES], next[DISK_NAME_BYTES];
    take_snapshot();
    come_to_rest();
    meta_segment_name(next, 2);
    for (unsigned unfinished = 0; unfinished < 2; unfinished++) {
        struct sim_disk *image = sim_disk_image(sim, SIM_CRASH_KILL, 1);
        struct disk disk = sim_disk_disk(image);
        CU_ASSERT_EQUAL(disk.call->remove(disk.state, next), 0);
        if (unfinished) {
            int file = disk.call->open(disk.state, SNAPSHOT_TEMPORARY, DISK_CREATE, 2 * SEGMENT_BYTES);
            CU_ASSERT_FATAL(file >= 0);
            disk.call->close(disk.state, file);
        }
        sim_disk_set_space(image, (UINT64_C(1) << 30) - disk.call->space(disk.state) + META_BYTES +
                                      DISK_BLOCK_BYTES);
        int step = recover_image(image, error, sizeof error);
        CU_ASSERT_EQUAL(step, unfinished ? 0 : -ENOSPC);
        CU_ASSERT(unfinished || strstr(error, "Make room for 4 MiB") != NULL);
        sim_disk_destroy(image);
    }
}

int main(void)
{
#define TEST(what) {#what, what}
    CU_TestInfo tests[] = {TEST(a_log_that_is_ended_takes_all_that_workers_wrote),
                           TEST(a_log_that_nobody_wrote_to_is_ended_once_it_has_begun),
                           TEST(snapshots_that_cannot_be_removed_do_no_harm),
                           TEST(a_folder_that_was_gone_once_is_told_for_good_and_left_alone),
                           TEST(no_snapshot_is_published_in_a_folder_that_is_gone),
                           TEST(nothing_is_removed_from_a_folder_that_is_gone),
                           TEST(no_segment_is_made_in_a_folder_that_is_gone),
                           TEST(the_segment_that_a_snapshot_goes_on_in_is_missed),
                           TEST(a_start_on_a_full_disk_takes_the_room_of_a_snapshot_that_was_not_finished),
                           TEST(a_segment_that_nobody_could_have_written_does_not_hold_recovery_up),
                           CU_TEST_INFO_NULL};
    return suite_run_each("durable_log", set_up, tear_down, tests);
}
