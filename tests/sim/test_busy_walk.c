/*
 * test_busy_walk.c - a snapshot of a table whose buckets are never at rest: somebody writes to the bucket in
 * the middle of every copy. The store is built with its yield points, and that is where it happens.
 */
#include "suite.h"

#include <errno.h>

#include "sim_disk.h"
#include "snapshot_bytes.h"
#include "table_fixture.h"
#include "table_internal.h"
#include "yield.h"

enum { ITEMS = 200, STEPS_MAX = 100000 };

/* What store_yield() needs and is not handed. Set by the one test that runs. */
static struct {
    struct table *table;
    bool armed;
    unsigned disturbed, refused; /* copies; tries to disturb that found the bucket locked */
} interference;

void store_yield(enum yield_point point)
{
    if (!interference.armed || point != YIELD_READ)
        return;
    for (uint32_t i = 0; i < table_bucket_count(interference.table); i++) {
        struct bucket *main = &interference.table->buckets.bucket[i];
        if (bucket_try_lock(main)) {
            bucket_unlock(main);
            interference.disturbed++;
        } else {
            interference.refused++;
        }
    }
}

static struct snapshot_writer *start(struct fixture *f, const struct disk *disk)
{
    struct snapshot_facts facts = {.position.next_lsn = FIXTURE_FIRST_LSN};
    struct snapshot_writer *writer = snapshot_writer_create(disk, f->table, &facts);
    CU_ASSERT_PTR_NOT_NULL_FATAL(writer);
    return writer;
}

static void open_table(struct fixture *f)
{
    fixture_open(f, &(struct table_config){.capacity = 1000});
    for (unsigned i = 0; i < ITEMS; i++) {
        char key[16];
        snprintf(key, sizeof key, "key-%u", i);
        CU_ASSERT_EQUAL_FATAL(fixture_set(f, key, "value", 0, 0), STATUS_OK);
    }
}

static void a_walk_ends_though_no_copy_is_ever_left_in_peace(void)
{
    struct fixture f;
    struct sim_disk *sim = sim_disk_create(1, 16 << 20);
    struct disk disk = sim_disk_disk(sim);
    open_table(&f);
    struct snapshot_writer *writer = start(&f, &disk);
    interference.table = f.table;
    interference.armed = true;
    int progress = SNAPSHOT_GOING_ON;
    unsigned steps = 0;
    for (; steps < STEPS_MAX && progress == SNAPSHOT_GOING_ON; steps++)
        progress = snapshot_writer_step(writer, 10, UINT64_MAX);
    interference.armed = false;
    CU_ASSERT_EQUAL(progress, SNAPSHOT_WALKED);
    CU_ASSERT_EQUAL(snapshot_writer_facts(writer).items, ITEMS);
    CU_ASSERT_EQUAL(interference.refused, table_bucket_count(f.table)); /* each was locked, once */
    CU_ASSERT(interference.disturbed > interference.refused);
    CU_ASSERT(steps < 10 * table_bucket_count(f.table));
    CU_ASSERT_EQUAL(snapshot_writer_step(writer, 10, UINT64_MAX), SNAPSHOT_PUBLISHED);
    CU_ASSERT_EQUAL(snapshot_bytes_judge(&disk, "snapshot-00000000ffffffff"), 0);
    snapshot_writer_destroy(writer);
    fixture_close(&f);
    sim_disk_destroy(sim);
}

static void a_bucket_that_stays_locked_is_waited_for_step_by_step(void)
{
    struct fixture f;
    struct sim_disk *sim = sim_disk_create(1, 16 << 20);
    struct disk disk = sim_disk_disk(sim);
    open_table(&f);
    struct snapshot_writer *writer = start(&f, &disk);
    struct bucket *main = &f.table->buckets.bucket[20];
    CU_ASSERT_TRUE(bucket_try_lock(main));
    for (unsigned i = 0; i < 30; i++) /* each comes back */
        CU_ASSERT_EQUAL(snapshot_writer_step(writer, 1000, UINT64_MAX), SNAPSHOT_GOING_ON);
    bucket_unlock(main);
    int progress = SNAPSHOT_GOING_ON;
    for (unsigned i = 0; i < 10 && progress == SNAPSHOT_GOING_ON; i++)
        progress = snapshot_writer_step(writer, 1000, UINT64_MAX);
    CU_ASSERT_EQUAL(progress, SNAPSHOT_WALKED);
    CU_ASSERT_EQUAL(snapshot_writer_facts(writer).items, ITEMS);
    snapshot_writer_destroy(writer);
    fixture_close(&f);
    sim_disk_destroy(sim);
}

int main(void)
{
    CU_TestInfo tests[] = {
        {"a walk ends though no copy is ever left in peace",
         a_walk_ends_though_no_copy_is_ever_left_in_peace},
        {"a bucket that stays locked is waited for step by step",
         a_bucket_that_stays_locked_is_waited_for_step_by_step},
        CU_TEST_INFO_NULL,
    };
    return suite_run("busy_walk", tests);
}
