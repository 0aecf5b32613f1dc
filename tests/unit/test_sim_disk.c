/*
 * test_sim_disk.c - that the disk on which the log's crashes are tested is as bad as it says, and no worse.
 */
#include "sim_disk.h"
#include "suite.h"

#include <errno.h>

enum { SPACE = 16 << 20, SEEDS = 300, FILE_BYTES = 64 * 1024, WRITE_BYTES = 16 * 1024 };

static struct sim_disk *sim;
static struct disk disk;
static struct disk_queue queue;
static _Alignas(DISK_BLOCK_BYTES) uint8_t ones[WRITE_BYTES], twos[WRITE_BYTES];

static void set_up(void)
{
    sim = sim_disk_create(seeded_from_environment(1), SPACE);
    disk = sim_disk_disk(sim);
    queue = sim_disk_queue(sim);
    memset(ones, 1, sizeof ones);
    memset(twos, 2, sizeof twos);
}

static void tear_down(void)
{
    sim_disk_destroy(sim);
}

/* ---- steps ---- */

/* A file whose name, size and zeros are durable, open. */
static int durable_file(const char *name)
{
    int file = disk.call->open(disk.state, name, DISK_CREATE, FILE_BYTES);

    CU_ASSERT_FATAL(file >= 0);
    CU_ASSERT_EQUAL(disk.call->sync(disk.state, file), 0);
    CU_ASSERT_EQUAL(disk.call->sync_folder(disk.state), 0);
    return file;
}

static void write_now(int file, uint64_t offset, const void *bytes, size_t length)
{
    CU_ASSERT_EQUAL(disk.call->write(disk.state, file, offset, bytes, length), 0);
}

static void submit(int file, uint64_t offset, const void *bytes, uint64_t token)
{
    struct disk_write write = {
        .bytes = bytes, .offset = offset, .token = token, .length = WRITE_BYTES, .file = file};

    CU_ASSERT(queue.call->submit(queue.state, &write));
}

/* The next completion, which must come within `turns` calls. */
static struct disk_completion complete(unsigned turns)
{
    struct disk_completion completion = {.result = -1};
    unsigned got = 0;

    while (got == 0 && turns-- > 0)
        got = queue.call->completions(queue.state, &completion, 1);
    CU_ASSERT_EQUAL(got, 1);
    return completion;
}

/* Whole content of a file of an image; its length, or -errno. */
static int64_t content(struct sim_disk *image, const char *name, uint8_t *out, size_t room)
{
    struct disk of = sim_disk_disk(image);
    int file = of.call->open(of.state, name, DISK_READ, 0);
    int64_t length;

    if (file < 0)
        return file;
    length = of.call->read(of.state, file, 0, out, room);
    CU_ASSERT_EQUAL(of.call->size(of.state, file), length);
    of.call->close(of.state, file);
    return length;
}

static bool there(struct sim_disk *image, const char *name)
{
    uint8_t byte[FILE_BYTES];

    return content(image, name, byte, sizeof byte) >= 0;
}

static unsigned sectors_of(const uint8_t *bytes, size_t length, uint8_t value)
{
    unsigned count = 0;

    for (size_t at = 0; at < length; at += DISK_SECTOR_BYTES) {
        unsigned same = 0;
        for (unsigned i = 0; i < DISK_SECTOR_BYTES; i++)
            same += bytes[at + i] == value;
        CU_ASSERT(same == 0 || same == DISK_SECTOR_BYTES); /* torn at sectors, never within */
        count += same != 0;
    }
    return count;
}

static unsigned differing(const struct disk_completion *got, unsigned count, unsigned *failed)
{
    unsigned order = 0;

    for (unsigned i = 0; i < count; i++) {
        order = order * 8 + (unsigned)got[i].token;
        *failed += got[i].result != 0;
    }
    return order;
}

/* ---- files without crashes ---- */

static void it_reads_what_was_written_and_zeros_elsewhere(void)
{
    int file = disk.call->open(disk.state, "a", DISK_CREATE, 10000);
    uint8_t out[12000];

    write_now(file, 5000, "hello", 5);
    write_now(file, 11000, "end", 3);
    CU_ASSERT_EQUAL(disk.call->size(disk.state, file), 11003);
    CU_ASSERT_EQUAL(disk.call->read(disk.state, file, 0, out, sizeof out), 11003);
    CU_ASSERT(out[4999] == 0 && memcmp(out + 5000, "hello", 5) == 0 && out[5005] == 0);
    CU_ASSERT(out[10999] == 0 && memcmp(out + 11000, "end", 3) == 0);
    CU_ASSERT_EQUAL(disk.call->read(disk.state, file, 11003, out, 1), 0);
    CU_ASSERT_EQUAL(disk.call->read(disk.state, file, 4999, out, 3), 3);
    CU_ASSERT_EQUAL(memcmp(out, "\0he", 3), 0);
}

static void count_name(void *context, const char *name, uint64_t bytes)
{
    *(uint64_t *)context += bytes + (name[0] == 'b' ? 1 : 1000000);
}

static void names_are_plain_unique_and_found(void)
{
    char longest[DISK_NAME_BYTES + 1];
    uint64_t listed = 0;

    memset(longest, 'x', DISK_NAME_BYTES);
    longest[DISK_NAME_BYTES] = '\0';
    CU_ASSERT_EQUAL(disk.call->open(disk.state, longest, DISK_CREATE, 0), -ENAMETOOLONG);
    CU_ASSERT_EQUAL(disk.call->open(disk.state, "a/b", DISK_CREATE, 0), -EINVAL);
    CU_ASSERT_EQUAL(disk.call->open(disk.state, "..", DISK_READ, 0), -EINVAL);
    CU_ASSERT_EQUAL(disk.call->open(disk.state, "a", DISK_READ, 0), -ENOENT);
    int file = disk.call->open(disk.state, "a", DISK_CREATE, 100);
    CU_ASSERT_EQUAL(disk.call->open(disk.state, "a", DISK_CREATE, 100), -EEXIST);
    CU_ASSERT_EQUAL(disk.call->rename(disk.state, "c", "d"), -ENOENT);
    CU_ASSERT_EQUAL(disk.call->rename(disk.state, "a", "b"), 0);
    CU_ASSERT_EQUAL(disk.call->list(disk.state, count_name, &listed), 0);
    CU_ASSERT_EQUAL(listed, 101);
    CU_ASSERT_EQUAL(disk.call->remove(disk.state, "b"), 0);
    CU_ASSERT_EQUAL(disk.call->remove(disk.state, "b"), -ENOENT);
    write_now(file, 0, "still", 5); /* an open file outlives its name */
}

static void files_can_be_opened_up_to_the_limit(void)
{
    int file[DISK_FILES_MAX];

    disk.call->close(disk.state, durable_file("a"));
    for (unsigned i = 0; i < DISK_FILES_MAX; i++)
        CU_ASSERT((file[i] = disk.call->open(disk.state, "a", DISK_READ, 0)) >= 0);
    CU_ASSERT_EQUAL(disk.call->open(disk.state, "a", DISK_READ, 0), -EMFILE);
    CU_ASSERT_EQUAL(disk.call->write(disk.state, file[0], 0, "x", 1), -EBADF);
    disk.call->close(disk.state, file[5]);
    CU_ASSERT_EQUAL(disk.call->open(disk.state, "a", DISK_WRITE, 0), file[5]);
}

static void space_is_bounded_and_comes_back(void)
{
    sim_disk_set_space(sim, FILE_BYTES + DISK_BLOCK_BYTES);
    int file = durable_file("a");
    CU_ASSERT_EQUAL(disk.call->space(disk.state), DISK_BLOCK_BYTES);
    CU_ASSERT_EQUAL(disk.call->open(disk.state, "b", DISK_CREATE, DISK_BLOCK_BYTES + 1), -ENOSPC);
    CU_ASSERT_FALSE(there(sim, "b"));
    CU_ASSERT_EQUAL(disk.call->write(disk.state, file, FILE_BYTES, ones, WRITE_BYTES), -ENOSPC);
    submit(file, 2 * FILE_BYTES, ones, 7);
    CU_ASSERT_EQUAL(complete(1).result, -ENOSPC);
    CU_ASSERT(disk.call->size(disk.state, file) <= FILE_BYTES + DISK_BLOCK_BYTES);
    CU_ASSERT_EQUAL(disk.call->remove(disk.state, "a"), 0);
    CU_ASSERT_EQUAL(disk.call->sync_folder(disk.state), 0);
    disk.call->close(disk.state, file);
    CU_ASSERT_EQUAL(disk.call->space(disk.state), FILE_BYTES + DISK_BLOCK_BYTES);
}

/* ---- power cuts ---- */

static void synced_bytes_are_in_every_image(void)
{
    int file = durable_file("a");
    uint8_t out[FILE_BYTES];

    write_now(file, 1000, ones, WRITE_BYTES);
    CU_ASSERT_EQUAL(disk.call->sync(disk.state, file), 0);
    for (uint64_t seed = 0; seed < SEEDS; seed++) {
        struct sim_disk *image = sim_disk_image(sim, (enum sim_crash)(seed % SIM_CRASHES), seed);
        CU_ASSERT_EQUAL(content(image, "a", out, sizeof out), FILE_BYTES);
        CU_ASSERT(memcmp(out + 1000, ones, WRITE_BYTES) == 0 && out[999] == 0 &&
                  out[1000 + WRITE_BYTES] == 0);
        sim_disk_destroy(image);
    }
}

static void unsynced_bytes_survive_in_part_as_the_crash_says(void)
{
    enum { ALL = WRITE_BYTES / DISK_SECTOR_BYTES };
    int file = durable_file("a");
    unsigned none[SIM_CRASHES] = {0}, all[SIM_CRASHES] = {0}, prefix[SIM_CRASHES] = {0},
             mixed[SIM_CRASHES] = {0};
    uint8_t out[FILE_BYTES];

    write_now(file, 0, ones, WRITE_BYTES);
    for (uint64_t seed = 0; seed < SEEDS * SIM_CRASHES; seed++) {
        enum sim_crash crash = (enum sim_crash)(seed % SIM_CRASHES);
        struct sim_disk *image = sim_disk_image(sim, crash, seed);
        CU_ASSERT_EQUAL(content(image, "a", out, sizeof out), FILE_BYTES);
        unsigned kept = sectors_of(out, WRITE_BYTES, 1);
        CU_ASSERT_EQUAL(sectors_of(out + WRITE_BYTES, FILE_BYTES - WRITE_BYTES, 0),
                        (FILE_BYTES - WRITE_BYTES) / 512);
        none[crash] += kept == 0;
        all[crash] += kept == ALL;
        if (kept != 0 && kept != ALL)
            *(sectors_of(out, kept * DISK_SECTOR_BYTES, 1) == kept ? &prefix[crash] : &mixed[crash]) += 1;
        sim_disk_destroy(image);
    }
    CU_ASSERT_EQUAL(all[SIM_CRASH_KILL], SEEDS);
    CU_ASSERT_EQUAL(none[SIM_CRASH_NOTHING], SEEDS);
    CU_ASSERT(none[SIM_CRASH_PREFIX] > 0 && all[SIM_CRASH_PREFIX] > 0);
    CU_ASSERT_EQUAL(none[SIM_CRASH_PREFIX] + all[SIM_CRASH_PREFIX], SEEDS);
    CU_ASSERT(none[SIM_CRASH_SUBSET] > 0 && all[SIM_CRASH_SUBSET] > 0 && mixed[SIM_CRASH_SUBSET] > 0);
    CU_ASSERT(prefix[SIM_CRASH_TORN] > 0 && mixed[SIM_CRASH_TORN] == 0 && all[SIM_CRASH_TORN] == 0);
}

static void behind_a_tear_are_older_bytes_or_zeros(void)
{
    int file = durable_file("a");
    unsigned older = 0, zeros = 0;
    uint8_t out[FILE_BYTES];

    write_now(file, 0, ones, WRITE_BYTES);
    CU_ASSERT_EQUAL(disk.call->sync(disk.state, file), 0);
    write_now(file, 0, twos, WRITE_BYTES);
    for (uint64_t seed = 0; seed < SEEDS; seed++) {
        struct sim_disk *image = sim_disk_image(sim, SIM_CRASH_TORN, seed);
        content(image, "a", out, sizeof out);
        unsigned behind = WRITE_BYTES / DISK_SECTOR_BYTES - sectors_of(out, WRITE_BYTES, 2);
        older += behind > 0 && sectors_of(out, WRITE_BYTES, 1) == behind;
        zeros += behind > 0 && sectors_of(out, WRITE_BYTES, 0) == behind;
        sim_disk_destroy(image);
    }
    CU_ASSERT(older > 0 && zeros > 0);
    CU_ASSERT_EQUAL(older + zeros, SEEDS);
}

static void a_prefix_keeps_the_order_of_writes_and_a_subset_does_not(void)
{
    int a = durable_file("a"), b = durable_file("b");
    unsigned reordered[SIM_CRASHES] = {0};
    uint8_t of_a[FILE_BYTES], of_b[FILE_BYTES];

    write_now(a, 0, ones, DISK_SECTOR_BYTES);
    write_now(b, 0, ones, DISK_SECTOR_BYTES);
    for (uint64_t seed = 0; seed < SEEDS * SIM_CRASHES; seed++) {
        struct sim_disk *image = sim_disk_image(sim, (enum sim_crash)(seed % SIM_CRASHES), seed);
        content(image, "a", of_a, sizeof of_a);
        content(image, "b", of_b, sizeof of_b);
        reordered[seed % SIM_CRASHES] += of_a[0] == 0 && of_b[0] == 1;
        sim_disk_destroy(image);
    }
    CU_ASSERT_EQUAL(reordered[SIM_CRASH_PREFIX] + reordered[SIM_CRASH_TORN] + reordered[SIM_CRASH_KILL], 0);
    CU_ASSERT(reordered[SIM_CRASH_SUBSET] > 0);
}

static void a_size_is_no_more_durable_than_bytes(void)
{
    int file = disk.call->open(disk.state, "a", DISK_CREATE, 0);
    unsigned empty = 0, whole = 0, hole = 0;
    uint8_t out[FILE_BYTES];

    CU_ASSERT_EQUAL(disk.call->sync_folder(disk.state), 0);
    write_now(file, 0, ones, 1000);
    for (uint64_t seed = 0; seed < SEEDS; seed++) {
        struct sim_disk *image = sim_disk_image(sim, SIM_CRASH_SUBSET, seed);
        int64_t length = content(image, "a", out, sizeof out);
        CU_ASSERT(length == 0 || length == 1000);
        empty += length == 0;
        whole += length == 1000 && out[0] == 1 && out[999] == 1;
        hole += length == 1000 && (out[0] == 0 || out[999] == 0);
        sim_disk_destroy(image);
    }
    CU_ASSERT(empty > 0 && whole > 0 && hole > 0);
}

/* ---- names ---- */

static void a_created_name_is_there_for_sure_after_the_folder_is_synced(void)
{
    int file = disk.call->open(disk.state, "a", DISK_CREATE, 100);
    unsigned seen = 0;

    CU_ASSERT_EQUAL(disk.call->sync(disk.state, file), 0);
    for (uint64_t seed = 0; seed < SEEDS; seed++) {
        struct sim_disk *image = sim_disk_image(sim, SIM_CRASH_SUBSET, seed);
        seen += there(image, "a");
        sim_disk_destroy(image);
    }
    CU_ASSERT(seen > 0 && seen < SEEDS);
    CU_ASSERT_EQUAL(disk.call->sync_folder(disk.state), 0);
    for (uint64_t seed = 0; seed < SEEDS; seed++) {
        struct sim_disk *image = sim_disk_image(sim, (enum sim_crash)(seed % SIM_CRASHES), seed);
        CU_ASSERT(there(image, "a"));
        sim_disk_destroy(image);
    }
}

static void a_rename_shows_the_one_name_or_the_other(void)
{
    int old = durable_file("meta"), new = durable_file("meta.tmp");
    unsigned before = 0, after = 0;
    uint8_t out[FILE_BYTES];

    write_now(old, 0, ones, 1);
    write_now(new, 0, twos, 1);
    CU_ASSERT_EQUAL(disk.call->sync(disk.state, old), 0);
    CU_ASSERT_EQUAL(disk.call->sync(disk.state, new), 0);
    CU_ASSERT_EQUAL(disk.call->rename(disk.state, "meta.tmp", "meta"), 0);
    for (uint64_t seed = 0; seed < SEEDS; seed++) {
        struct sim_disk *image = sim_disk_image(sim, (enum sim_crash)(seed % SIM_CRASHES), seed);
        CU_ASSERT_EQUAL(content(image, "meta", out, sizeof out), FILE_BYTES);
        CU_ASSERT_EQUAL(out[0], there(image, "meta.tmp") ? 1 : 2);
        before += out[0] == 1;
        after += out[0] == 2;
        sim_disk_destroy(image);
    }
    CU_ASSERT(before > 0 && after > 0);
}

static void name_changes_reorder_but_not_those_that_build_on_each_other(void)
{
    unsigned only_b = 0;

    disk.call->close(disk.state, disk.call->open(disk.state, "a", DISK_CREATE, 0));
    disk.call->close(disk.state, disk.call->open(disk.state, "b", DISK_CREATE, 0));
    CU_ASSERT_EQUAL(disk.call->rename(disk.state, "b", "c"), 0);
    disk.call->close(disk.state, disk.call->open(disk.state, "b", DISK_CREATE, 0));
    CU_ASSERT_EQUAL(disk.call->remove(disk.state, "a"), 0);
    for (uint64_t seed = 0; seed < SEEDS; seed++) {
        struct sim_disk *image = sim_disk_image(sim, SIM_CRASH_SUBSET, seed);
        only_b += there(image, "b") && !there(image, "c") && !there(image, "a");
        sim_disk_destroy(image);
    }
    CU_ASSERT(only_b > 0); /* the crash before the rename; the one that skips it aborts */
}

/* ---- the queue ---- */

static void queued_writes_are_durable_from_their_completion_on_in_any_order(void)
{
    int file = durable_file("a");
    unsigned orders[256] = {0}, different = 0, failed = 0, lost = 0;
    uint8_t out[FILE_BYTES];

    sim_disk_set_latency(sim, 3);
    for (unsigned round = 0; round < 50; round++) {
        struct disk_completion got[3];
        for (unsigned i = 0; i < 3; i++)
            submit(file, i * WRITE_BYTES, round % 2 == 0 ? ones : twos, i);
        for (unsigned i = 0; i < 3; i++) {
            got[i] = complete(8);
            struct sim_disk *image = sim_disk_image(sim, SIM_CRASH_NOTHING, round);
            content(image, "a", out, sizeof out);
            for (unsigned k = 0; k <= i; k++)
                CU_ASSERT_EQUAL(out[got[k].token * WRITE_BYTES], 1 + round % 2);
            lost += sectors_of(out, 3 * WRITE_BYTES, 1 + round % 2) < 3 * WRITE_BYTES / DISK_SECTOR_BYTES;
            sim_disk_destroy(image);
        }
        unsigned order = differing(got, 3, &failed);
        CU_ASSERT_FATAL(order < 256);
        different += orders[order]++ == 0;
    }
    CU_ASSERT_EQUAL(failed, 0);
    CU_ASSERT_EQUAL(different, 6);
    CU_ASSERT_EQUAL(lost, 100); /* in two of three images of each round something is still in flight */
    CU_ASSERT_EQUAL(queue.call->completions(queue.state, &(struct disk_completion){0}, 1), 0);
}

static void a_full_queue_takes_no_more(void)
{
    int file = durable_file("a");
    struct disk_write write = {.bytes = ones, .length = WRITE_BYTES, .file = file};

    for (unsigned i = 0; i < DISK_QUEUE_WRITES_MAX; i++)
        submit(file, 0, ones, i);
    CU_ASSERT_FALSE(queue.call->submit(queue.state, &write));
    complete(1);
    CU_ASSERT(queue.call->submit(queue.state, &write));
    for (unsigned i = 0; i < DISK_QUEUE_WRITES_MAX; i++)
        complete(1);
}

static void a_completed_write_is_not_written_over_by_an_older_one(void)
{
    int file = durable_file("a");
    uint8_t out[FILE_BYTES];

    write_now(file, 0, ones, WRITE_BYTES);
    write_now(file, WRITE_BYTES - DISK_SECTOR_BYTES, ones, WRITE_BYTES);
    submit(file, 0, twos, 0);
    complete(1);
    for (uint64_t seed = 0; seed < SEEDS; seed++) {
        struct sim_disk *image = sim_disk_image(sim, (enum sim_crash)(seed % SIM_CRASHES), seed);
        content(image, "a", out, sizeof out);
        CU_ASSERT_EQUAL(memcmp(out, twos, WRITE_BYTES), 0);
        sim_disk_destroy(image);
    }
}

/* ---- kills ---- */

static void a_kill_keeps_all_visible_and_a_later_power_cut_may_take_it(void)
{
    int file = durable_file("a");
    unsigned kept = 0, synced = 0;
    uint8_t out[FILE_BYTES];

    write_now(file, 0, ones, DISK_SECTOR_BYTES);
    CU_ASSERT_EQUAL(disk.call->rename(disk.state, "a", "b"), 0);
    for (uint64_t seed = 0; seed < SEEDS; seed++) {
        struct sim_disk *image = sim_disk_image(sim, SIM_CRASH_KILL, seed);
        CU_ASSERT_EQUAL(content(image, "b", out, sizeof out), FILE_BYTES);
        CU_ASSERT(out[0] == 1 && !there(image, "a"));
        if (seed % 2 == 0) { /* who wants to build on it calls sync() */
            struct disk of = sim_disk_disk(image);
            int again = of.call->open(of.state, "b", DISK_READ, 0);
            CU_ASSERT(of.call->sync(of.state, again) == 0 && of.call->sync_folder(of.state) == 0);
        }
        struct sim_disk *later = sim_disk_image(image, SIM_CRASH_SUBSET, seed);
        bool survived = content(later, "b", out, sizeof out) == FILE_BYTES && out[0] == 1;
        *(seed % 2 == 0 ? &synced : &kept) += survived;
        sim_disk_destroy(later);
        sim_disk_destroy(image);
    }
    CU_ASSERT_EQUAL(synced, SEEDS / 2);
    CU_ASSERT(kept > 0 && kept < SEEDS / 2);
}

static void after_a_kill_a_write_in_flight_happened_or_not(void)
{
    int file = durable_file("a");
    unsigned none = 0, part = 0, all = 0;
    uint8_t out[FILE_BYTES];

    submit(file, 0, ones, 0);
    CU_ASSERT(disk.call->read(disk.state, file, 0, out, 1) == 1 && out[0] == 0);
    for (uint64_t seed = 0; seed < SEEDS; seed++) {
        struct sim_disk *image = sim_disk_image(sim, SIM_CRASH_KILL, seed);
        content(image, "a", out, sizeof out);
        unsigned kept = sectors_of(out, WRITE_BYTES, 1);
        none += kept == 0;
        all += kept == WRITE_BYTES / DISK_SECTOR_BYTES;
        part += kept != 0 && kept != WRITE_BYTES / DISK_SECTOR_BYTES;
        sim_disk_destroy(image);
    }
    CU_ASSERT(none > 0 && part > 0 && all > 0);
    complete(1);
}

/* ---- crashes at a boundary, faults, damage ---- */

/* A small workload; returns the first error. */
static int workload(void)
{
    struct disk_completion completion;
    int file = disk.call->open(disk.state, "a", DISK_CREATE, FILE_BYTES), error;

    if (file < 0)
        return file;
    error = disk.call->sync_folder(disk.state);
    if (error == 0)
        error = disk.call->write(disk.state, file, 0, ones, 1);
    if (error == 0)
        error = disk.call->sync(disk.state, file);
    if (error != 0)
        return error;
    submit(file, 0, ones, 1);
    for (unsigned turn = 0; queue.call->completions(queue.state, &completion, 1) == 0; turn++)
        if (turn == 10)
            return -ETIME;
    disk.call->close(disk.state, file);
    error = disk.call->rename(disk.state, "a", "b");
    return error != 0 ? error : disk.call->remove(disk.state, "b");
}

static void a_crash_may_be_set_for_every_boundary(void)
{
    unsigned timeouts = 0;

    CU_ASSERT_EQUAL(workload(), 0);
    uint64_t boundaries = sim_disk_boundaries(sim);
    CU_ASSERT_EQUAL(boundaries, 8);
    for (uint64_t at = 0; at < boundaries; at++) {
        tear_down();
        set_up();
        sim_disk_crash_at(sim, at);
        int error = workload();
        CU_ASSERT(error == -EIO || error == -ETIME);
        timeouts += error == -ETIME;
        CU_ASSERT(sim_disk_crashed(sim) && sim_disk_boundaries(sim) == at);
        CU_ASSERT_EQUAL(disk.call->open(disk.state, "a", DISK_READ, 0), -EIO);
        CU_ASSERT_EQUAL(disk.call->sync_folder(disk.state), -EIO);
        CU_ASSERT_EQUAL(disk.call->space(disk.state), 0);
        struct sim_disk *image = sim_disk_image(sim, SIM_CRASH_KILL, at);
        CU_ASSERT_FALSE(sim_disk_crashed(image));
        CU_ASSERT(there(image, at == 7 ? "b" : "a") == (at > 0));
        sim_disk_destroy(image);
    }
    CU_ASSERT_EQUAL(timeouts, 2); /* submission, completion */
}

static void a_failed_write_leaves_any_part(void)
{
    int file = durable_file("a");
    unsigned parts = 0;
    uint8_t out[FILE_BYTES];

    for (unsigned round = 0; round < 20; round++) {
        sim_disk_fail_write(sim, 2, EIO, false);
        submit(file, 0, ones, 0);
        submit(file, WRITE_BYTES, round % 2 == 0 ? ones : twos, 1);
        struct disk_completion first = complete(1), second = complete(1);
        CU_ASSERT_EQUAL(first.token == 0 ? first.result : second.result, 0);
        CU_ASSERT_EQUAL(first.token == 1 ? first.result : second.result, -EIO);
        CU_ASSERT_EQUAL(disk.call->read(disk.state, file, 0, out, sizeof out), FILE_BYTES);
        unsigned kept = sectors_of(out + WRITE_BYTES, WRITE_BYTES, 1 + round % 2);
        parts += kept > 0 && kept < WRITE_BYTES / DISK_SECTOR_BYTES;
    }
    CU_ASSERT(parts > 10);
    sim_disk_fail_write(sim, 1, ENOSPC, true);
    for (unsigned i = 0; i < 3; i++) {
        submit(file, 2 * WRITE_BYTES, ones, 0);
        CU_ASSERT_EQUAL(complete(1).result, -ENOSPC);
    }
    CU_ASSERT_EQUAL(disk.call->write(disk.state, file, 0, ones, 1), -ENOSPC);
    CU_ASSERT_EQUAL(disk.call->read(disk.state, file, 0, out, sizeof out), FILE_BYTES);
    CU_ASSERT_EQUAL(sectors_of(out + 2 * WRITE_BYTES, WRITE_BYTES, 1), 0);
}

static void a_sync_that_succeeds_after_one_that_failed_proves_nothing(void)
{
    int file = durable_file("a");
    uint8_t out[FILE_BYTES];

    write_now(file, 0, ones, WRITE_BYTES);
    sim_disk_fail_sync(sim, 1, EIO, false);
    CU_ASSERT_EQUAL(disk.call->sync(disk.state, file), -EIO);
    CU_ASSERT_EQUAL(disk.call->sync(disk.state, file), 0);
    content(sim, "a", out, sizeof out);
    CU_ASSERT_EQUAL(sectors_of(out, WRITE_BYTES, 1), WRITE_BYTES / DISK_SECTOR_BYTES);
    struct sim_disk *image = sim_disk_image(sim, SIM_CRASH_PREFIX, 1);
    content(image, "a", out, sizeof out);
    unsigned kept = sectors_of(out, WRITE_BYTES, 1);
    CU_ASSERT(kept > 0 && kept < WRITE_BYTES / DISK_SECTOR_BYTES);
    sim_disk_destroy(image);
}

static void damage_is_visible_and_durable_and_leaves_other_images_alone(void)
{
    uint64_t length;
    uint8_t out[FILE_BYTES], *bytes, *others;

    disk.call->close(disk.state, durable_file("a"));
    disk.call->close(disk.state, durable_file("b"));
    struct sim_disk *before = sim_disk_image(sim, SIM_CRASH_NOTHING, 0);
    CU_ASSERT_PTR_NULL(sim_disk_bytes(sim, "c", &length));
    bytes = sim_disk_bytes(sim, "a", &length);
    CU_ASSERT_EQUAL(length, FILE_BYTES);
    others = sim_disk_bytes(sim, "b", &length);
    bytes[5000] = 9;
    others[FILE_BYTES - 1] = 8;
    struct sim_disk *after = sim_disk_image(sim, SIM_CRASH_NOTHING, 0);
    for (struct sim_disk *at = sim;; at = after) {
        CU_ASSERT(content(at, "a", out, sizeof out) == FILE_BYTES && out[5000] == 9);
        CU_ASSERT(content(at, "b", out, sizeof out) == FILE_BYTES && out[FILE_BYTES - 1] == 8);
        if (at == after)
            break;
    }
    CU_ASSERT(content(before, "a", out, sizeof out) == FILE_BYTES && out[5000] == 0);
    sim_disk_destroy(before);
    sim_disk_destroy(after);
}

int main(void)
{
    CU_TestInfo tests[] = {
        {"it reads what was written, and zeros elsewhere", it_reads_what_was_written_and_zeros_elsewhere},
        {"names are plain, unique, and found", names_are_plain_unique_and_found},
        {"files can be opened up to the limit", files_can_be_opened_up_to_the_limit},
        {"space is bounded and comes back", space_is_bounded_and_comes_back},
        {"synced bytes are in every image", synced_bytes_are_in_every_image},
        {"unsynced bytes survive in part, as the crash says",
         unsynced_bytes_survive_in_part_as_the_crash_says},
        {"behind a tear are older bytes or zeros", behind_a_tear_are_older_bytes_or_zeros},
        {"a prefix keeps the order of writes, and a subset does not",
         a_prefix_keeps_the_order_of_writes_and_a_subset_does_not},
        {"a size is no more durable than bytes", a_size_is_no_more_durable_than_bytes},
        {"a created name is there for sure after the folder is synced",
         a_created_name_is_there_for_sure_after_the_folder_is_synced},
        {"a rename shows the one name or the other", a_rename_shows_the_one_name_or_the_other},
        {"name changes reorder, but not those that build on each other",
         name_changes_reorder_but_not_those_that_build_on_each_other},
        {"queued writes are durable from their completion on, in any order",
         queued_writes_are_durable_from_their_completion_on_in_any_order},
        {"a full queue takes no more", a_full_queue_takes_no_more},
        {"a completed write is not written over by an older one",
         a_completed_write_is_not_written_over_by_an_older_one},
        {"a kill keeps all visible, and a later power cut may take it",
         a_kill_keeps_all_visible_and_a_later_power_cut_may_take_it},
        {"after a kill a write in flight happened or not", after_a_kill_a_write_in_flight_happened_or_not},
        {"a crash may be set for every boundary", a_crash_may_be_set_for_every_boundary},
        {"a failed write leaves any part", a_failed_write_leaves_any_part},
        {"a sync that succeeds after one that failed proves nothing",
         a_sync_that_succeeds_after_one_that_failed_proves_nothing},
        {"damage is visible and durable, and leaves other images alone",
         damage_is_visible_and_durable_and_leaves_other_images_alone},
        CU_TEST_INFO_NULL,
    };

    return suite_run_each("sim_disk", set_up, tear_down, tests);
}
