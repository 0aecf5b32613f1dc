/*
 * test_wal_find.c - places found in logs that a real writer wrote, against a look at every segment; and a
 * reader from there comes to what was asked for.
 */
#include "log_lives.h"

#include <errno.h>

#include "wal_find.h"

enum { SEGMENT_BYTES = 2 * WAL_BLOCK_BYTES_MAX };

/* The first block that holds lsn + 1 or opens a later history; block_count: none. */
static unsigned block_after(const struct log_lives *lives, uint64_t lsn)
{
    unsigned i = 0;
    while (i < lives->block_count && lives->block[i].next_lsn - 1 <= lsn)
        i++;
    return i;
}

static bool opens_history(const struct log_lives *lives, unsigned i)
{
    return i == 0 || lives->block[i].history != lives->block[i - 1].history;
}

/* The first block of the last segment that does not begin behind lsn + 1; block_count: none. */
static unsigned expected_first(const struct log_lives *lives, uint64_t newest, uint64_t lsn)
{
    unsigned expected = lives->block_count;
    for (unsigned i = 0; i < lives->block_count; i++) {
        const struct lived_block *block = &lives->block[i];
        bool first = i == 0 || block->segment != lives->block[i - 1].segment;
        uint64_t begins = opens_history(lives, i) ? block->before_lsn + 1 : block->first_lsn;
        if (first && block->segment >= lives->oldest && block->segment <= newest && begins - 1 <= lsn)
            expected = i;
    }
    return expected;
}

/* A reader from there finds the log as it was written, and so what comes after lsn. */
static void read_on(const struct log_lives *lives, const struct wal_position *from, unsigned at, uint64_t lsn)
{
    struct wal_reader *reader = wal_reader_create(&lives->disk, &lives->meta, from);
    struct wal_block block;
    unsigned wanted = block_after(lives, lsn);
    CU_ASSERT_PTR_NOT_NULL_FATAL(reader);
    for (; wanted < at; wanted++) /* histories without a record need not be told of */
        CU_ASSERT_EQUAL(lives->block[wanted].count, 0);
    for (; at < lives->block_count && at <= wanted; at++) {
        size_t padded;
        const struct lived_block *expected = &lives->block[at];
        CU_ASSERT_EQUAL_FATAL(wal_reader_next(reader, &block), 1);
        CU_ASSERT(block.first_lsn == expected->first_lsn && block.length == expected->length);
        CU_ASSERT(memcmp(wal_reader_bytes(reader, &padded), expected->bytes, expected->length) == 0);
    }
    if (wanted == lives->block_count)
        CU_ASSERT_EQUAL(wal_reader_next(reader, &block), 0);
    wal_reader_destroy(reader);
}

static void find(const struct log_lives *lives, uint64_t newest, uint64_t lsn)
{
    struct wal_position found;
    unsigned first = expected_first(lives, newest, lsn);
    int outcome = wal_find(&found, &lives->disk, &lives->meta, lives->oldest, newest, lsn);
    CU_ASSERT_EQUAL(outcome, first == lives->block_count ? -ENOENT : 0);
    if (outcome != 0)
        return;
    CU_ASSERT(found.segment == lives->block[first].segment && found.offset == 0);
    CU_ASSERT(found.next_lsn == lives->block[first].first_lsn);
    read_on(lives, &found, first, lsn);
}

/* Around every segment's ends, and anywhere. */
static void find_all(struct log_lives *lives)
{
    uint64_t last = lives->block[lives->block_count - 1].next_lsn - 1;
    for (unsigned i = 0; i < lives->block_count; i++) {
        const struct lived_block *block = &lives->block[i];
        bool edge = i == 0 || i + 1 == lives->block_count || block->segment != block[-1].segment;
        if (!edge && seeded_below(&lives->seed, 20) != 0)
            continue;
        for (unsigned k = 0; k < 4; k++)
            find(lives, lives->newest, block->first_lsn - 2 + k);
        find(lives, lives->newest, block->before_lsn);
        find(lives, lives->newest, block->next_lsn - 1);
        find(lives, block->segment, block->first_lsn); /* as if there were no later ones */
    }
    find(lives, lives->newest, 0);
    find(lives, lives->newest, last);
    find(lives, lives->newest, last + 1000); /* not there yet */
    find(lives, lives->newest, UINT64_MAX);
}

static void every_record_of_every_history_is_found(void)
{
    for (unsigned i = 0; i < 4; i++) {
        struct log_lives lives;
        lives_open(&lives, seeded_from_environment(21) + i, SEGMENT_BYTES);
        for (unsigned life = 0; life < 4; life++) {
            lives_begin(&lives);
            lives_write(&lives, life == 2 ? 1 : 1500);
            if (life == 1)
                lives_idle(&lives);
            find_all(&lives); /* with the last segments empty */
            lives_end(&lives);
            find_all(&lives);
        }
        CU_ASSERT(lives.newest > 8);
        lives_close(&lives);
    }
}

static void a_log_without_records_is_found_too(void)
{
    struct log_lives lives;
    lives_open(&lives, 1, SEGMENT_BYTES);
    for (unsigned life = 0; life < 5; life++) {
        lives_begin(&lives);
        lives_settle(&lives);
        find_all(&lives);
        lives_end(&lives);
        find_all(&lives);
    }
    lives_close(&lives);
}

/* What a crash left behind the log's end is not taken for a part of it. */
static void a_tail_that_was_cut_off_is_not_found(void)
{
    unsigned left_behind = 0;
    for (unsigned i = 0; i < 20; i++) {
        struct log_lives lives;
        lives_open(&lives, seeded_from_environment(22) + i, SEGMENT_BYTES);
        uint64_t newest = 0;
        for (unsigned life = 0; life < 4; life++) {
            sim_disk_set_latency(lives.sim, 5);
            lives_begin(&lives);
            find(&lives, newest, lives.begin.next_lsn - 1);
            lives_settle(&lives);
            find(&lives, newest > lives.newest ? newest : lives.newest, lives.begin.next_lsn - 1);
            lives_write(&lives, 300);
            newest = lives.newest;
            lives_crash(&lives, i % 2 == 0 ? SIM_CRASH_SUBSET : SIM_CRASH_TORN);
            left_behind += lives.begin.segment < newest;
            find_all(&lives);
        }
        lives_begin(&lives);
        lives_settle(&lives);
        find_all(&lives);
        lives_close(&lives);
    }
    CU_ASSERT(left_behind > 0);
}

/* As after a repair: the log ends segments before it once did, and their files are there still. */
static void segments_of_a_tail_that_was_given_up_are_not_found(void)
{
    struct log_lives lives;
    lives_open(&lives, seeded_from_environment(26), SEGMENT_BYTES);
    lives_begin(&lives);
    lives_write(&lives, 4000);
    uint64_t newest = lives.newest;
    CU_ASSERT_FATAL(newest > 9);
    lives_end(&lives);
    struct wal_position start = {.next_lsn = 1};
    struct wal_reader *reader = wal_reader_create(&lives.disk, &lives.meta, &start);
    struct wal_block block;
    unsigned blocks = 0;
    do {
        CU_ASSERT_EQUAL_FATAL(wal_reader_next(reader, &block), 1);
        lives.begin = wal_reader_position(reader);
        blocks++;
    } while (lives.begin.segment < 4);
    wal_reader_destroy(reader);
    lives_forget(&lives, blocks);
    lives_begin(&lives);
    lives_settle(&lives);
    for (unsigned i = 0; i < blocks; i++)
        find(&lives, newest, lives.block[i].next_lsn - 1);
    find(&lives, newest, lives.durable_lsn);
    lives_write(&lives, 300);
    find(&lives, newest, lives.durable_lsn);
    lives_close(&lives);
}

static void segments_that_are_used_again_begin_anew(void)
{
    struct log_lives lives;
    lives_open(&lives, seeded_from_environment(23), SEGMENT_BYTES);
    lives.use_again = true;
    for (unsigned life = 0; life < 3; life++) {
        lives_begin(&lives);
        lives.kept = lives.newest + 5;
        lives_write(&lives, 2000);
        find_all(&lives);
        lives_end(&lives);
        find_all(&lives);
    }
    CU_ASSERT(lives.oldest > 6);
    lives_close(&lives);
}

static void what_was_removed_meanwhile_is_looked_for_in_vain(void)
{
    struct log_lives lives;
    struct wal_position found;
    lives_open(&lives, seeded_from_environment(24), SEGMENT_BYTES);
    lives_begin(&lives);
    lives_write(&lives, 2500);
    while (lives.oldest + 4 < lives.newest) {
        uint64_t told = lives.oldest, below = lives.block[0].first_lsn;
        for (unsigned n = 1 + (unsigned)seeded_below(&lives.seed, 2); n > 0; n--)
            lives_remove_oldest(&lives);
        for (unsigned i = 0; i < lives.block_count; i++)
            if (lives.block[i].segment < lives.oldest)
                below = lives.block[i].first_lsn;
        CU_ASSERT_EQUAL(wal_find(&found, &lives.disk, &lives.meta, told, lives.newest, below - 1), -ENOENT);
        CU_ASSERT_EQUAL(
            wal_find(&found, &lives.disk, &lives.meta, told, lives.newest + 3, lives.durable_lsn - 1), 0);
        find_all(&lives);
    }
    lives_close(&lives);
}

static uint8_t *segment_bytes(const struct log_lives *lives, uint64_t segment)
{
    char name[DISK_NAME_BYTES];
    uint64_t length;
    meta_segment_name(name, segment);
    uint8_t *bytes = sim_disk_bytes(lives->sim, name, &length);
    CU_ASSERT_PTR_NOT_NULL_FATAL(bytes);
    return bytes;
}

/* The newest segment's first block is on its way: the one before it serves. Of another log: likewise. */
static void a_first_block_that_is_not_whole_is_not_written_yet(void)
{
    struct log_lives lives;
    struct wal_position found;
    lives_open(&lives, seeded_from_environment(25), SEGMENT_BYTES);
    lives_begin(&lives);
    lives_write(&lives, 1500);
    uint64_t lsn = lives.durable_lsn, last = lives.block[lives.block_count - 1].segment;
    CU_ASSERT_EQUAL_FATAL(wal_find(&found, &lives.disk, &lives.meta, 1, lives.newest, lsn), 0);
    CU_ASSERT_EQUAL(found.segment, last);
    segment_bytes(&lives, last)[DISK_SECTOR_BYTES + 1] ^= 1;
    CU_ASSERT_EQUAL(wal_find(&found, &lives.disk, &lives.meta, 1, lives.newest, lsn), 0);
    CU_ASSERT_EQUAL(found.segment, last - 1);
    segment_bytes(&lives, last)[DISK_SECTOR_BYTES + 1] ^= 1;
    lives.meta.stamp++;
    CU_ASSERT_EQUAL(wal_find(&found, &lives.disk, &lives.meta, 1, lives.newest, lsn), -ENOENT);
    lives.meta.stamp--;
    /* Damage in between: what lies before it is found. */
    uint64_t middle = (lives.oldest + last) / 2;
    segment_bytes(&lives, middle)[0] ^= 1;
    for (unsigned i = 0; i < lives.block_count; i++) {
        bool found_it =
            wal_find(&found, &lives.disk, &lives.meta, 1, lives.newest, lives.block[i].first_lsn) == 0;
        CU_ASSERT(found_it || lives.block[i].segment == 1);
        if (lives.block[i].segment < middle && found_it)
            CU_ASSERT_EQUAL(found.segment, lives.block[i].segment);
    }
    lives_close(&lives);
}

static void an_error_of_the_disk_is_told(void)
{
    struct log_lives lives;
    struct wal_position found;
    lives_open(&lives, 1, SEGMENT_BYTES);
    lives_begin(&lives);
    lives_write(&lives, 300);
    sim_disk_crash_at(lives.sim, sim_disk_boundaries(lives.sim));
    (void)lives.disk.call->sync_folder(lives.disk.state);
    CU_ASSERT_FATAL(sim_disk_crashed(lives.sim));
    CU_ASSERT_EQUAL(wal_find(&found, &lives.disk, &lives.meta, 1, lives.newest, lives.durable_lsn), -EIO);
    lives_close(&lives);
}

static void an_empty_folder_has_no_place(void)
{
    struct log_lives lives;
    struct wal_position found;
    lives_open(&lives, 1, SEGMENT_BYTES);
    CU_ASSERT_EQUAL(wal_find(&found, &lives.disk, &lives.meta, 1, 1, 0), -ENOENT);
    CU_ASSERT_EQUAL(wal_find(&found, &lives.disk, &lives.meta, 0, 0, 0), -ENOENT);
    lives_close(&lives);
}

int main(void)
{
#define TEST(what) {#what, what}
    CU_TestInfo tests[] = {TEST(every_record_of_every_history_is_found),
                           TEST(a_log_without_records_is_found_too),
                           TEST(a_tail_that_was_cut_off_is_not_found),
                           TEST(segments_of_a_tail_that_was_given_up_are_not_found),
                           TEST(segments_that_are_used_again_begin_anew),
                           TEST(what_was_removed_meanwhile_is_looked_for_in_vain),
                           TEST(a_first_block_that_is_not_whole_is_not_written_yet),
                           TEST(an_error_of_the_disk_is_told),
                           TEST(an_empty_folder_has_no_place),
                           CU_TEST_INFO_NULL};
    return suite_run("wal_find", tests);
}
