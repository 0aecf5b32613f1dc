/*
 * test_feeder.c - what feeds hand out: of logs that end, that are written meanwhile, of snapshots that are
 * broken.
 */
#include "feeder_fixture.h"

#include <errno.h>

static struct fed fed;
static uint64_t seed;

static void set_up(void)
{
    seed = seeded_start(seeded_from_environment(31));
    fed_open(&fed, seeded_next(&seed));
}

static void tear_down(void)
{
    fed_close(&fed);
}

static void live(unsigned records)
{
    lives_begin(&fed.lives);
    lives_write(&fed.lives, records);
}

/* Several histories; the last one goes on. */
static void live_lives(void)
{
    live(1200);
    lives_idle(&fed.lives);
    lives_write(&fed.lives, 100);
    lives_end(&fed.lives);
    live(1);
    lives_end(&fed.lives);
    live(700);
    fed_start(&fed);
    fed_tell(&fed);
}

static void the_log_is_fed_from_any_lsn_on(void)
{
    live_lives();
    for (unsigned i = 0; i < 40; i++) {
        unsigned block = (unsigned)seeded_below(&seed, fed.lives.block_count);
        uint64_t lsn = fed.lives.block[block].next_lsn - seeded_below(&seed, 3);
        if (i == 0)
            lsn = fed.told_lsn;
        struct follower follower = follower_open(&fed, FEED_LOG, lsn);
        follower_settle(&follower);
        CU_ASSERT_FALSE(follower.ended);
        CU_ASSERT(follower.lsn >= fed.told_lsn);
        CU_ASSERT(follower.placed || lsn >= fed.told_lsn);
        follower_close(&follower);
        (void)fed_step(&fed);
    }
    struct follower all = follower_open(&fed, FEED_LOG, 0);
    follower_settle(&all);
    follower_expect_all(&all);
    follower_close(&all);
}

/* The writer's turns, what control tells, the feeder's steps and followers, in any order. */
static void play(struct follower *follower, unsigned count, unsigned records)
{
    while (records > 0) {
        uint64_t what = seeded_below(&seed, 10);
        if (what < 2) {
            unsigned length = (unsigned)seeded_below(&seed, 600);
            for (uint64_t n = seeded_below(&seed, 60); n > 0 && records > 0; n--)
                records -= lives_append(&fed.lives, length);
        }
        if (what == 2)
            fed.lives.now_ns += WAL_MARK_IDLE_NS;
        if (what < 5)
            (void)lives_turn(&fed.lives);
        else if (what < 7)
            fed_tell(&fed);
        else if (what < 9)
            (void)fed_step(&fed);
        else
            (void)follower_take(&follower[seeded_below(&seed, count)]);
    }
    lives_settle(&fed.lives);
    fed_tell(&fed);
    for (unsigned i = 0; i < count; i++) {
        follower_settle(&follower[i]);
        follower_expect_all(&follower[i]);
        follower_close(&follower[i]);
    }
}

static void a_log_is_fed_while_it_is_written(void)
{
    struct follower follower[3];
    live_lives();
    sim_disk_set_latency(fed.lives.sim, 5);
    for (unsigned i = 0; i < 3; i++)
        follower[i] = follower_open(&fed, FEED_LOG, 0);
    play(follower, 3, 3000);
}

static void a_bootstrap_goes_on_while_the_log_is_written(void)
{
    struct follower follower[FEEDS_MAX];
    live_lives();
    sim_disk_set_latency(fed.lives.sim, 5);
    uint64_t lsn = fed_snapshot(&fed);
    struct table_counts counts;
    table_counts(fed.primary.table, &counts);
    fed_tell(&fed);
    for (unsigned i = 0; i < FEEDS_MAX; i++)
        follower[i] = follower_open(&fed, FEED_BOOTSTRAP, 0);
    play(follower, FEEDS_MAX, 2500);
    for (unsigned i = 0; i < FEEDS_MAX; i++) {
        CU_ASSERT(follower[i].begins == 1 && follower[i].ends == 1 && follower[i].chunks > 1);
        CU_ASSERT(follower[i].begin.start_lsn == lsn && follower[i].begin.capacity == FED_CAPACITY);
        CU_ASSERT(follower[i].begin.wall_ms == 1234 && follower[i].begin.bytes > 100000);
        CU_ASSERT(follower[i].end.items == counts.items && follower[i].end.end_lsn >= lsn);
    }
}

static void without_a_snapshot_the_log_is_all(void)
{
    live_lives();
    struct follower follower = follower_open(&fed, FEED_BOOTSTRAP, 77);
    play(&follower, 1, 300);
    CU_ASSERT(follower.begins == 1 && follower.ends == 1 && follower.chunks == 0);
    CU_ASSERT(follower.begin.start_lsn == 0 && follower.begin.capacity == FED_CAPACITY);
    CU_ASSERT(follower.end.end_lsn == 0 && follower.end.items == 0);
}

static void an_empty_log_is_fed_too(void)
{
    lives_begin(&fed.lives);
    fed_start(&fed);
    struct follower follower[2] = {follower_open(&fed, FEED_BOOTSTRAP, 0),
                                   follower_open(&fed, FEED_BOOTSTRAP, 0)};
    (void)fed_step(&fed);
    (void)fed_step(&fed);
    play(follower, 2, 50);
}

/* ---- snapshots that are of no use ---- */

static uint8_t *bytes_of(uint64_t lsn, uint64_t *length)
{
    char name[DISK_NAME_BYTES];
    meta_snapshot_name(name, lsn);
    uint8_t *bytes = sim_disk_bytes(fed.lives.sim, name, length);
    CU_ASSERT_PTR_NOT_NULL_FATAL(bytes);
    return bytes;
}

static void expect_bootstrap(uint64_t start_lsn)
{
    struct follower follower = follower_open(&fed, FEED_BOOTSTRAP, 0);
    follower_settle(&follower);
    CU_ASSERT_EQUAL(follower.begin.start_lsn, start_lsn);
    CU_ASSERT(follower.begins == 1 && (follower.chunks > 0) == (start_lsn > 0));
    follower_expect_all(&follower);
    follower_close(&follower);
    (void)fed_step(&fed);
}

static void a_broken_snapshot_is_passed_over(void)
{
    live(600);
    fed_start(&fed);
    uint64_t older = fed_snapshot(&fed), length;
    lives_write(&fed.lives, 300);
    uint64_t newest = fed_snapshot(&fed);
    lives_write(&fed.lives, 200);
    fed_tell(&fed);
    expect_bootstrap(newest);
    for (unsigned i = 0; i < 12; i++) {
        (void)bytes_of(newest, &length);
        uint64_t at = i == 0 ? 0 : i == 1 ? length - 1 : seeded_below(&seed, length);
        bytes_of(newest, &length)[at] ^= 0x10;
        expect_bootstrap(older);
        bytes_of(newest, &length)[at] ^= 0x10;
    }
    bytes_of(newest, &length)[5] ^= 1;
    bytes_of(older, &length)[length / 2] ^= 1;
    expect_bootstrap(0);
    lives_remove_oldest(&fed.lives);
    struct follower follower = follower_open(&fed, FEED_BOOTSTRAP, 0);
    follower_settle(&follower);
    CU_ASSERT(follower.ended && follower.error == -ENOENT && follower.begins == 0);
    follower_close(&follower);
}

static void a_snapshot_of_another_cluster_is_passed_over(void)
{
    live(600);
    fed_start(&fed);
    uint64_t older = fed_snapshot(&fed);
    lives_write(&fed.lives, 100);
    fed.lives.meta.cluster_id[3] ^= 1;
    (void)fed_snapshot(&fed);
    fed.lives.meta.cluster_id[3] ^= 1;
    fed_tell(&fed);
    expect_bootstrap(older);
}

static void a_snapshot_beyond_what_is_durable_is_passed_over(void)
{
    live(600);
    fed_start(&fed);
    uint64_t older = fed_snapshot(&fed);
    fed_tell(&fed);
    lives_write(&fed.lives, 100);
    (void)fed_snapshot(&fed);
    struct follower follower = follower_open(&fed, FEED_BOOTSTRAP, 0);
    follower_settle(&follower);
    CU_ASSERT(follower.begins == 1 && follower.begin.start_lsn == older);
    fed_tell(&fed);
    follower_settle(&follower);
    follower_expect_all(&follower);
    follower_close(&follower);
}

static void a_snapshot_that_is_read_is_needed(void)
{
    live(600);
    fed_start(&fed);
    uint64_t lsn = fed_snapshot(&fed);
    uint64_t segment = wal_writer_position(fed.lives.writer).segment;
    lives_write(&fed.lives, 3000);
    fed_tell(&fed);
    CU_ASSERT(!feeder_needs_snapshot(fed.feeder, lsn) && feeder_needs_segment(fed.feeder) == UINT64_MAX);
    struct follower follower = follower_open(&fed, FEED_BOOTSTRAP, 0);
    bool needed = false;
    while (!follower.placed) {
        (void)fed_step(&fed);
        if (feeder_needs_snapshot(fed.feeder, lsn)) {
            needed = true;
            CU_ASSERT_EQUAL(feeder_needs_segment(fed.feeder), segment);
            CU_ASSERT(!feeder_needs_snapshot(fed.feeder, lsn - 1));
        }
        CU_ASSERT(feeder_needs_segment(fed.feeder) <= fed.lives.newest || follower.items == 0);
        (void)follower_take(&follower);
    }
    CU_ASSERT(needed);
    CU_ASSERT(!feeder_needs_snapshot(fed.feeder, lsn));
    follower_settle(&follower);
    CU_ASSERT(feeder_needs_segment(fed.feeder) > segment);
    follower_expect_all(&follower);
    follower_close(&follower);
    (void)fed_step(&fed);
    CU_ASSERT_EQUAL(feeder_needs_segment(fed.feeder), UINT64_MAX);
}

/* ---- the log's end ---- */

static void a_block_is_handed_out_whole_or_not_at_all(void)
{
    live_lives();
    const struct lived_block *last = &fed.lives.block[fed.lives.block_count - 1];
    CU_ASSERT_FATAL(last->count > 1);
    feeder_tell_durable(fed.feeder, last->next_lsn - 2);
    struct follower follower = follower_open(&fed, FEED_LOG, 0);
    follower_settle(&follower);
    CU_ASSERT_EQUAL(follower.lsn, last->first_lsn - 1);
    fed_tell(&fed);
    follower_settle(&follower);
    follower_expect_all(&follower);
    follower_close(&follower);
}

static uint8_t *block_bytes(unsigned number)
{
    char name[DISK_NAME_BYTES];
    uint64_t length;
    meta_segment_name(name, fed.lives.block[number].segment);
    uint8_t *bytes = sim_disk_bytes(fed.lives.sim, name, &length);
    CU_ASSERT_PTR_NOT_NULL_FATAL(bytes);
    for (uint64_t at = 0; at < length; at += DISK_BLOCK_BYTES)
        if (memcmp(bytes + at, fed.lives.block[number].bytes, WAL_BLOCK_HEADER_BYTES) == 0)
            return bytes + at;
    CU_FAIL_FATAL("the block is not where it was written");
    return NULL;
}

/* A page that was out of date is not for long; what stays so is damage. */
static void a_block_that_is_missing_is_looked_for_again(void)
{
    live_lives();
    unsigned number = fed.lives.block_count - 2;
    struct follower follower = follower_open(&fed, FEED_LOG, 0);
    block_bytes(number)[100] ^= 1; /* behind its header */
    for (unsigned i = 0; i < 50; i++) {
        (void)fed_step(&fed);
        (void)follower_take(&follower);
    }
    CU_ASSERT(follower.lsn == fed.lives.block[number].first_lsn - 1 && !follower.ended);
    CU_ASSERT_FALSE(fed_step(&fed)); /* with pauses */
    block_bytes(number)[100] ^= 1;
    follower_settle(&follower);
    follower_expect_all(&follower);
    follower_close(&follower);

    block_bytes(number)[100] ^= 1;
    (void)fed_step(&fed);
    follower = follower_open(&fed, FEED_LOG, 0);
    follower_settle(&follower);
    CU_ASSERT(follower.ended && follower.error == -EBADMSG);
    CU_ASSERT(follower.lsn == fed.lives.block[number].first_lsn - 1);
    CU_ASSERT_FALSE(fed_step(&fed));
    follower_close(&follower);
}

/* However busy the disk's thread is with others: what makes a page good again is time. */
static void others_that_are_fed_do_not_make_looks_come_faster(void)
{
    live_lives();
    unsigned number = fed.lives.block_count - 2, steps = 0;
    struct follower follower = follower_open(&fed, FEED_LOG, 0);
    block_bytes(number)[100] ^= 1;
    while (follower.lsn != fed.lives.block[number].first_lsn - 1) {
        (void)fed_step(&fed);
        (void)follower_take(&follower);
    }
    for (; steps < 500; steps++) { /* another comes and goes all the time: each step does something */
        int other = feeder_open(fed.feeder, FEED_LOG, fed.told_lsn);
        CU_ASSERT_FATAL(other >= 0);
        CU_ASSERT_TRUE(fed_step(&fed));
        feeder_close(fed.feeder, other);
        CU_ASSERT_TRUE(fed_step(&fed));
        (void)follower_take(&follower);
    }
    CU_ASSERT_FALSE(follower.ended);
    for (; !follower.ended && steps < 20000; steps++) { /* but it ends, also then */
        feeder_close(fed.feeder, feeder_open(fed.feeder, FEED_LOG, fed.told_lsn));
        (void)fed_step(&fed);
        (void)follower_take(&follower);
    }
    CU_ASSERT(follower.ended && follower.error == -EBADMSG);
    follower_close(&follower);
}

static void what_is_not_there_any_more_ends_a_feed(void)
{
    live_lives();
    uint64_t second = 0;
    for (unsigned i = 0; second == 0; i++)
        if (fed.lives.block[i].segment == 2)
            second = fed.lives.block[i].first_lsn;
    struct follower slow = follower_open(&fed, FEED_LOG, 0);
    (void)fed_step(&fed); /* it reads ahead what it has room for, and is not taken from */
    (void)fed_step(&fed);
    (void)fed_step(&fed);
    lives_write(&fed.lives, 2000);
    fed_tell(&fed);
    while (fed.lives.oldest < 8)
        lives_remove_oldest(&fed.lives);
    follower_settle(&slow);
    CU_ASSERT(slow.ended && slow.error == -ENOENT && slow.lsn > 0);
    struct follower late = follower_open(&fed, FEED_LOG, second + 1);
    follower_settle(&late);
    CU_ASSERT(late.ended && late.error == -ENOENT && late.items == 1);
    follower_close(&slow);
    follower_close(&late);
}

static int found_nothing(void *state, const char *name)
{
    (void)state;
    return strcmp(name, META_FILE) == 0 ? -ENOENT : 0;
}

static void expect_no_folder(enum feed_start start, uint64_t lsn)
{
    struct follower follower = follower_open(&fed, start, lsn);
    follower_settle(&follower);
    CU_ASSERT(follower.ended && follower.error == -ESTALE && follower.items == 1);
    CU_ASSERT_TRUE(feeder_misses_folder(fed.feeder));
    follower_close(&follower);
}

/* Nobody is to give up what he has for it. */
static void what_is_gone_with_its_folder_is_told_from_what_was_removed(void)
{
    static struct disk_calls calls;
    live_lives();
    uint64_t last = fed.told_lsn;
    while (fed.lives.oldest < fed.lives.newest - 1) /* the newest may have no block yet */
        lives_remove_oldest(&fed.lives);
    struct follower late = follower_open(&fed, FEED_LOG, 0);
    follower_settle(&late);
    CU_ASSERT(late.ended && late.error == -ENOENT);
    CU_ASSERT_FALSE(feeder_misses_folder(fed.feeder));
    follower_close(&late);

    calls = *fed.lives.disk.call;
    calls.found = found_nothing;
    fed.lives.disk.call = &calls;
    fed_start(&fed);
    fed_tell(&fed);
    /* What is still to be read is read. */
    struct follower follower = follower_open(&fed, FEED_LOG, last);
    follower_settle(&follower);
    CU_ASSERT_FALSE(follower.ended || feeder_misses_folder(fed.feeder));
    follower_close(&follower);
    expect_no_folder(FEED_LOG, 0);
    expect_no_folder(FEED_BOOTSTRAP, 0);
    fed.lives.oldest = 1; /* as a housekeeper has it that has not looked since all went */
    fed_start(&fed);
    expect_no_folder(FEED_BOOTSTRAP, 0);
}

static void a_feed_keeps_its_segments_up_to_a_limit(void)
{
    live(3000);
    fed_start(&fed);
    fed_tell(&fed);
    struct follower follower = follower_open(&fed, FEED_LOG, 0);
    for (unsigned i = 0; i < 5; i++)
        (void)fed_step(&fed);
    uint64_t needs = feeder_needs_segment(fed.feeder);
    CU_ASSERT(needs >= 1 && needs < fed.lives.newest);
    (void)feeder_step(fed.feeder, 1, needs + FEED_SEGMENTS_MAX);
    CU_ASSERT_EQUAL(feeder_needs_segment(fed.feeder), needs);
    (void)feeder_step(fed.feeder, 1, needs + FEED_SEGMENTS_MAX + 5);
    CU_ASSERT_EQUAL(feeder_needs_segment(fed.feeder), needs + 5);
    follower_close(&follower);
}

static void an_error_of_the_disk_ends_a_feed(void)
{
    unsigned failed = 0;
    for (unsigned steps = 0; steps < 12; steps++) {
        if (steps > 0)
            set_up();
        live(700);
        fed_start(&fed);
        (void)fed_snapshot(&fed);
        lives_write(&fed.lives, 700);
        fed_tell(&fed);
        struct follower log = follower_open(&fed, FEED_LOG, 0);
        struct follower boot = follower_open(&fed, FEED_BOOTSTRAP, 0);
        for (unsigned i = 0; i < steps; i++) {
            (void)fed_step(&fed);
            (void)follower_take(&log);
            (void)follower_take(&boot);
        }
        sim_disk_crash_at(fed.lives.sim, sim_disk_boundaries(fed.lives.sim));
        (void)fed.lives.disk.call->sync_folder(fed.lives.disk.state);
        follower_settle(&log);
        follower_settle(&boot);
        CU_ASSERT((log.ended && log.error == -EIO) || log.lsn == fed.told_lsn);
        CU_ASSERT((boot.ended && boot.error == -EIO) || boot.lsn == fed.told_lsn);
        failed += log.ended && boot.ended;
        follower_close(&log);
        follower_close(&boot);
        if (steps + 1 < 12)
            tear_down();
    }
    CU_ASSERT(failed > 0);
}

/* ---- numbers and items ---- */

static void a_number_is_free_when_its_closing_was_seen(void)
{
    int feed[FEEDS_MAX];
    live_lives();
    for (unsigned i = 0; i < FEEDS_MAX; i++) {
        feed[i] = feeder_open(fed.feeder, FEED_LOG, 0);
        CU_ASSERT(feed[i] >= 0);
        for (unsigned k = 0; k < i; k++)
            CU_ASSERT_NOT_EQUAL(feed[i], feed[k]);
    }
    CU_ASSERT_EQUAL(feeder_open(fed.feeder, FEED_LOG, 0), -EBUSY);
    (void)fed_step(&fed);
    CU_ASSERT_EQUAL(feeder_open(fed.feeder, FEED_LOG, 0), -EBUSY);
    feeder_close(fed.feeder, feed[1]);
    feeder_close(fed.feeder, feed[2]);
    CU_ASSERT_EQUAL(feeder_open(fed.feeder, FEED_LOG, 0), -EBUSY);
    (void)fed_step(&fed);
    int again = feeder_open(fed.feeder, FEED_LOG, 0);
    CU_ASSERT(again == feed[1] || again == feed[2]);
    CU_ASSERT_PTR_NULL(feeder_take(fed.feeder, again)); /* nothing of the one before */
}

static void items_wait_for_who_is_late(void)
{
    live_lives();
    struct follower late = follower_open(&fed, FEED_LOG, 0), other = follower_open(&fed, FEED_LOG, 0);
    for (unsigned i = 0; i < 20; i++)
        (void)fed_step(&fed);
    const struct feed_item *first = feeder_take(fed.feeder, late.feed);
    CU_ASSERT_PTR_NOT_NULL_FATAL(first);
    uint32_t crc = wal_crc(0, first->bytes, first->length);
    follower_settle(&other);
    follower_expect_all(&other);
    CU_ASSERT_PTR_EQUAL(feeder_take(fed.feeder, late.feed), first);
    CU_ASSERT_EQUAL(wal_crc(0, first->bytes, first->length), crc);
    follower_settle(&late);
    follower_expect_all(&late);
    follower_close(&late);
    follower_close(&other);
}

/* Files and numbers come back whenever a feed is closed: many more times than a disk has files. */
static void a_feed_may_be_closed_at_any_moment(void)
{
    live(900);
    fed_start(&fed);
    (void)fed_snapshot(&fed);
    lives_write(&fed.lives, 300);
    fed_tell(&fed);
    for (unsigned moment = 0; moment < 60; moment++) {
        struct follower follower = follower_open(&fed, moment % 3 == 0 ? FEED_LOG : FEED_BOOTSTRAP, 0);
        for (unsigned i = 0; i < moment / 3; i++) {
            (void)fed_step(&fed);
            if (seeded_below(&seed, 2) == 0)
                (void)follower_take(&follower);
        }
        follower_close(&follower);
        for (unsigned i = (unsigned)seeded_below(&seed, 3); i > 0; i--)
            (void)fed_step(&fed);
        if (seeded_below(&seed, 2) != 0)
            continue;
        (void)fed_step(&fed);
        CU_ASSERT_EQUAL(feeder_needs_segment(fed.feeder), UINT64_MAX);
        follower = follower_open(&fed, FEED_BOOTSTRAP, 0);
        follower_settle(&follower);
        follower_expect_all(&follower);
        follower_close(&follower);
        (void)fed_step(&fed);
    }
    /* With feeds open, too. */
    struct follower follower = follower_open(&fed, FEED_BOOTSTRAP, 0);
    (void)fed_step(&fed);
    (void)fed_step(&fed);
    follower_close(&follower);
}

int main(void)
{
#define TEST(what) {#what, what}
    CU_TestInfo tests[] = {TEST(the_log_is_fed_from_any_lsn_on),
                           TEST(a_log_is_fed_while_it_is_written),
                           TEST(a_bootstrap_goes_on_while_the_log_is_written),
                           TEST(without_a_snapshot_the_log_is_all),
                           TEST(an_empty_log_is_fed_too),
                           TEST(a_broken_snapshot_is_passed_over),
                           TEST(a_snapshot_of_another_cluster_is_passed_over),
                           TEST(a_snapshot_beyond_what_is_durable_is_passed_over),
                           TEST(a_snapshot_that_is_read_is_needed),
                           TEST(a_block_is_handed_out_whole_or_not_at_all),
                           TEST(a_block_that_is_missing_is_looked_for_again),
                           TEST(others_that_are_fed_do_not_make_looks_come_faster),
                           TEST(what_is_not_there_any_more_ends_a_feed),
                           TEST(what_is_gone_with_its_folder_is_told_from_what_was_removed),
                           TEST(a_feed_keeps_its_segments_up_to_a_limit),
                           TEST(an_error_of_the_disk_ends_a_feed),
                           TEST(a_number_is_free_when_its_closing_was_seen),
                           TEST(items_wait_for_who_is_late),
                           TEST(a_feed_may_be_closed_at_any_moment),
                           CU_TEST_INFO_NULL};
    return suite_run_each("feeder", set_up, tear_down, tests);
}
