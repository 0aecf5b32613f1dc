#include "suite.h"

#include <errno.h>

#include "sim_disk.h"
#include "snapshot_bytes.h"
#include "snapshot_load.h"
#include "table_fixture.h"

enum { CAPACITY = 0x2F00, STEPS_MAX = 100000 };

static const char file_name[] = "snapshot-0000000100000063";
static const uint64_t start_lsn = FIXTURE_FIRST_LSN + 99;

/* A table with items, and a disk. */
struct world {
    struct fixture f;
    struct sim_disk *sim;
    struct disk disk;
};

static void key_of(unsigned number, char out[16])
{
    snprintf(out, 16, "key-%u", number);
}

static void world_open(struct world *w, unsigned items, unsigned value_length, unsigned nonce)
{
    static char value[VALUE_BYTES_MAX + 1];
    char key[16];
    fixture_open(&w->f, &(struct table_config){.capacity = CAPACITY});
    w->sim = sim_disk_create(1, 64 << 20);
    w->disk = sim_disk_disk(w->sim);
    memset(value, 'v', value_length);
    value[value_length] = 0;
    for (unsigned i = 0; i < items; i++) {
        key_of(i, key);
        snprintf(value, 8, "%u", nonce);
        value[strlen(value)] = 'v';
        CU_ASSERT_EQUAL_FATAL(fixture_set(&w->f, key, value, i % 10 == 0 ? 5000 : 0, 0), STATUS_OK);
    }
}

static void world_close(struct world *w)
{
    fixture_close(&w->f);
    sim_disk_destroy(w->sim);
}

static struct snapshot_writer *start(struct world *w)
{
    struct snapshot_facts facts = {.cluster_id = {1, 2, 3},
                                   .position = {.segment = 7,
                                                .next_lsn = start_lsn + 1,
                                                .history = 8,
                                                .offset = 8192,
                                                .previous_crc = 9},
                                   .wall_ms = 1234};
    struct snapshot_writer *writer = snapshot_writer_create(&w->disk, w->f.table, &facts);
    CU_ASSERT_PTR_NOT_NULL_FATAL(writer);
    return writer;
}

/* Until it says something else than GOING_ON. */
static int run(struct snapshot_writer *writer, unsigned buckets, uint64_t durable_lsn)
{
    int progress = SNAPSHOT_GOING_ON;
    for (unsigned i = 0; i < STEPS_MAX && progress == SNAPSHOT_GOING_ON; i++)
        progress = snapshot_writer_step(writer, buckets, durable_lsn);
    return progress;
}

static void write_snapshot(struct world *w)
{
    struct snapshot_writer *writer = start(w);
    CU_ASSERT_EQUAL(run(writer, 100, UINT64_MAX), SNAPSHOT_WALKED);
    CU_ASSERT_EQUAL(snapshot_writer_step(writer, 100, UINT64_MAX), SNAPSHOT_PUBLISHED);
    snapshot_writer_destroy(writer);
}

static void count_file(void *context, const char *name, uint64_t bytes)
{
    (void)name, (void)bytes;
    ++*(unsigned *)context;
}

static unsigned files(const struct disk *disk)
{
    unsigned count = 0;
    CU_ASSERT(disk->call->list(disk->state, count_file, &count) >= 0);
    return count;
}

static bool exists(const struct disk *disk, const char *name)
{
    int file = disk->call->open(disk->state, name, DISK_READ, 0);
    if (file >= 0)
        disk->call->close(disk->state, file);
    return file >= 0;
}

/* A copy of the file; the caller frees it. */
static uint8_t *bytes_of(struct world *w, size_t *length)
{
    uint64_t size;
    uint8_t *bytes = sim_disk_bytes(w->sim, file_name, &size);
    CU_ASSERT_PTR_NOT_NULL_FATAL(bytes);
    uint8_t *copy = malloc(size + DISK_BLOCK_BYTES);
    CU_ASSERT_PTR_NOT_NULL_FATAL(copy);
    memcpy(copy, bytes, size);
    *length = size;
    return copy;
}

static int judge_bytes(struct world *w, const uint8_t *bytes, size_t length)
{
    snapshot_bytes_put(&w->disk, "changed", bytes, length);
    return snapshot_bytes_judge(&w->disk, "changed");
}

/* Every item of one table is in the other, and the other way round. */
static void expect_equal(struct fixture *a, struct fixture *b, unsigned items)
{
    struct table_counts counts[2];
    for (unsigned i = 0; i < items; i++) {
        char key[16];
        key_of(i, key);
        enum status status = fixture_get(a, key);
        CU_ASSERT_EQUAL(fixture_get(b, key), status);
        CU_ASSERT_EQUAL(a->result.version, b->result.version);
        CU_ASSERT_EQUAL(a->result.value_length, b->result.value_length);
        CU_ASSERT(memcmp(a->value, b->value, a->result.value_length) == 0);
    }
    table_counts(a->table, &counts[0]);
    table_counts(b->table, &counts[1]);
    CU_ASSERT_EQUAL(counts[0].items, counts[1].items);
    CU_ASSERT_EQUAL(counts[0].lines_used, counts[1].lines_used);
}

static void a_snapshot_gives_the_table_again(void)
{
    static const struct {
        unsigned items, value_length;
    } cases[] = {{0, 8}, {1, 8}, {300, 20}, {600, 1000}};
    for (unsigned i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct world w;
        struct fixture loaded;
        struct snapshot_facts facts;
        world_open(&w, cases[i].items, cases[i].value_length, 1);
        write_snapshot(&w);
        CU_ASSERT_EQUAL(snapshot_bytes_judge(&w.disk, file_name), 0);
        fixture_open(&loaded, &(struct table_config){.capacity = CAPACITY});
        CU_ASSERT_EQUAL(apply_begin(loaded.context), 0);
        CU_ASSERT_EQUAL(snapshot_load(loaded.context, &w.disk, file_name, &facts), 0);
        CU_ASSERT_EQUAL(apply_end(loaded.context), 0);
        expect_equal(&w.f, &loaded, cases[i].items);
        /* expiry too */
        w.f.now_ms = loaded.now_ms = 7000;
        CU_ASSERT_EQUAL(fixture_get(&loaded, "key-0"), STATUS_NOT_FOUND);
        CU_ASSERT_EQUAL(fixture_get(&loaded, "key-1"), cases[i].items > 1 ? STATUS_OK : STATUS_NOT_FOUND);

        struct table_counts counts;
        table_counts(w.f.table, &counts);
        CU_ASSERT_EQUAL(facts.end_lsn, counts.lsn > start_lsn ? counts.lsn : start_lsn);
        CU_ASSERT(facts.items == cases[i].items && facts.capacity == CAPACITY && facts.wall_ms == 1234);
        CU_ASSERT(facts.flush_lsn == 0 && memcmp(facts.cluster_id, "\1\2\3", 4) == 0);
        CU_ASSERT(facts.position.segment == 7 && facts.position.history == 8 &&
                  facts.position.offset == 8192);
        CU_ASSERT(facts.position.previous_crc == 9 && facts.position.next_lsn == start_lsn + 1);
        fixture_close(&loaded);
        world_close(&w);
    }
}

static void what_is_flushed_is_left_out_and_what_is_expired_stays_hidden(void)
{
    struct world w;
    struct fixture loaded;
    struct snapshot_facts facts;
    world_open(&w, 200, 30, 1);
    struct operation flush = {.opcode = OPCODE_FLUSH};
    CU_ASSERT_EQUAL(fixture_execute(&w.f, &flush), STATUS_OK);
    uint64_t flush_lsn = w.f.result.version;
    CU_ASSERT_EQUAL(fixture_set(&w.f, "alive", "a", 0, 0), STATUS_OK);
    CU_ASSERT_EQUAL(fixture_set(&w.f, "gone", "g", 10, 0), STATUS_OK);
    w.f.now_ms += 10;
    CU_ASSERT_EQUAL(fixture_get(&w.f, "gone"), STATUS_NOT_FOUND);
    write_snapshot(&w);
    fixture_open(&loaded, &(struct table_config){.capacity = CAPACITY});
    CU_ASSERT_EQUAL(snapshot_load(loaded.context, &w.disk, file_name, &facts), 0);
    CU_ASSERT(facts.items == 2 && facts.flush_lsn == flush_lsn);
    loaded.now_ms = w.f.now_ms;
    CU_ASSERT_EQUAL(fixture_get(&loaded, "alive"), STATUS_OK);
    CU_ASSERT_EQUAL(fixture_get(&loaded, "gone"), STATUS_NOT_FOUND);
    struct table_counts counts;
    table_counts(loaded.table, &counts);
    CU_ASSERT_EQUAL(counts.flush_lsn, flush_lsn);
    fixture_close(&loaded);
    world_close(&w);
}

static void it_is_published_once_the_log_is_durable_to_its_end(void)
{
    struct world w;
    world_open(&w, 200, 30, 1);
    struct snapshot_writer *writer = start(&w);
    uint64_t end_lsn = FIXTURE_FIRST_LSN + 199;
    CU_ASSERT_EQUAL(run(writer, 7, end_lsn - 1), SNAPSHOT_WALKED);
    CU_ASSERT_EQUAL(snapshot_writer_facts(writer).end_lsn, end_lsn);
    CU_ASSERT_EQUAL(snapshot_writer_facts(writer).items, 200);
    CU_ASSERT_EQUAL(snapshot_writer_step(writer, 1, end_lsn - 1), SNAPSHOT_WALKED);
    CU_ASSERT_FALSE(exists(&w.disk, file_name));
    CU_ASSERT_EQUAL(snapshot_writer_step(writer, 1, end_lsn), SNAPSHOT_PUBLISHED);
    CU_ASSERT_EQUAL(snapshot_writer_step(writer, 1, end_lsn), SNAPSHOT_PUBLISHED);
    CU_ASSERT_TRUE(exists(&w.disk, file_name));
    snapshot_writer_destroy(writer);
    CU_ASSERT_EQUAL(files(&w.disk), 1);
    /* durable: nothing of it is lost with the power */
    struct sim_disk *after = sim_disk_image(w.sim, SIM_CRASH_NOTHING, 1);
    struct disk disk = sim_disk_disk(after);
    CU_ASSERT_EQUAL(snapshot_bytes_judge(&disk, file_name), 0);
    sim_disk_destroy(after);
    world_close(&w);
}

static void one_that_is_given_up_leaves_nothing_behind(void)
{
    struct world w;
    world_open(&w, 600, 1000, 1);
    /* what a crash left is in nobody's way */
    snapshot_bytes_put(&w.disk, "snapshot.tmp", (const uint8_t *)"old", 3);
    for (unsigned steps = 0; steps < 40; steps++) {
        struct snapshot_writer *writer = start(&w);
        for (unsigned i = 0; i < steps; i++)
            CU_ASSERT(snapshot_writer_step(writer, 100, 0) > 0);
        snapshot_writer_destroy(writer);
        CU_ASSERT_EQUAL(files(&w.disk), steps == 0 ? 1 : 0);
    }
    snapshot_writer_destroy(NULL);
    world_close(&w);
}

static void an_error_of_the_disk_ends_it(void)
{
    for (unsigned n = 1; n < 8; n++) {
        struct world w;
        world_open(&w, 600, 1000, 1);
        struct snapshot_writer *writer = start(&w);
        bool sync = n > 5;
        if (sync)
            sim_disk_fail_sync(w.sim, n - 5, -EIO, false);
        else
            sim_disk_fail_write(w.sim, n, -ENOSPC, false);
        int outcome = run(writer, 100, UINT64_MAX);
        if (outcome == SNAPSHOT_WALKED)
            outcome = run(writer, 100, UINT64_MAX);
        CU_ASSERT_EQUAL(outcome, sync ? -EIO : -ENOSPC);
        CU_ASSERT_EQUAL(snapshot_writer_step(writer, 100, UINT64_MAX), outcome);
        snapshot_writer_destroy(writer);
        CU_ASSERT_FALSE(exists(&w.disk, "snapshot.tmp"));
        world_close(&w);
    }
}

/* A crash at every call: what is found under the snapshot's name is whole. */
static void after_any_crash_there_is_none_or_a_valid_one(void)
{
    struct world w;
    unsigned found = 0, missing = 0;
    world_open(&w, 600, 1000, 1);
    for (uint64_t boundary = 0; boundary < 20; boundary++) {
        struct sim_disk *sim = sim_disk_create(boundary, 64 << 20);
        struct world crashing = {.f = w.f, .disk = sim_disk_disk(sim)};
        struct snapshot_writer *writer = start(&crashing);
        sim_disk_crash_at(sim, boundary);
        for (unsigned i = 0; i < 100 && snapshot_writer_step(writer, 100, UINT64_MAX) > 0; i++)
            ;
        for (unsigned crash = 0; crash < SIM_CRASHES; crash++) {
            for (unsigned seed = 0; seed < 5; seed++) {
                struct sim_disk *image = sim_disk_image(sim, crash, seed);
                struct disk disk = sim_disk_disk(image);
                int outcome = snapshot_bytes_judge(&disk, file_name);
                CU_ASSERT(outcome == 0 || outcome == -ENOENT);
                found += outcome == 0;
                missing += outcome == -ENOENT;
                sim_disk_destroy(image);
            }
        }
        snapshot_writer_destroy(writer);
        sim_disk_destroy(sim);
    }
    CU_ASSERT(found > 0 && missing > 0);
    world_close(&w);
}

static void a_flipped_bit_is_noticed_anywhere(void)
{
    struct world w;
    uint64_t size;
    world_open(&w, 40, 20, 1);
    write_snapshot(&w);
    uint8_t *bytes = sim_disk_bytes(w.sim, file_name, &size);
    CU_ASSERT_EQUAL_FATAL(size, 3 * DISK_BLOCK_BYTES);
    unsigned missed = 0;
    for (uint64_t at = 0; at < size; at++) {
        bool all_bits = at % DISK_BLOCK_BYTES < 96;
        for (unsigned bit = all_bits ? 0 : at % 8; bit < (all_bits ? 8 : at % 8 + 1); bit++) {
            bytes = sim_disk_bytes(w.sim, file_name, &size);
            bytes[at] ^= (uint8_t)(1u << bit);
            missed += snapshot_bytes_judge(&w.disk, file_name) != -EBADMSG;
            bytes = sim_disk_bytes(w.sim, file_name, &size);
            bytes[at] ^= (uint8_t)(1u << bit);
        }
    }
    CU_ASSERT_EQUAL(missed, 0);
    CU_ASSERT_EQUAL(snapshot_bytes_judge(&w.disk, file_name), 0);
    world_close(&w);
}

static void a_file_of_another_length_is_noticed(void)
{
    struct world w;
    size_t length;
    world_open(&w, 40, 20, 1);
    write_snapshot(&w);
    uint8_t *bytes = bytes_of(&w, &length);
    CU_ASSERT_EQUAL(judge_bytes(&w, bytes, length), 0);
    unsigned missed = 0;
    for (size_t cut = 0; cut < length; cut += cut < 8192 + 64 ? 511 : 1)
        missed += judge_bytes(&w, bytes, cut) != -EBADMSG;
    CU_ASSERT_EQUAL(missed, 0);
    memset(bytes + length, 0, DISK_BLOCK_BYTES);
    CU_ASSERT_EQUAL(judge_bytes(&w, bytes, length + 1), -EBADMSG);
    CU_ASSERT_EQUAL(judge_bytes(&w, bytes, length + DISK_BLOCK_BYTES), -EBADMSG);
    memcpy(bytes + length, bytes + length - DISK_BLOCK_BYTES, DISK_BLOCK_BYTES); /* a second foot */
    CU_ASSERT_EQUAL(judge_bytes(&w, bytes, length + DISK_BLOCK_BYTES), -EBADMSG);
    free(bytes);
    world_close(&w);
}

/* Offsets of the parts. */
static unsigned find_parts(const uint8_t *bytes, size_t length, size_t at[8])
{
    unsigned count = 0;
    at[0] = 0;
    while (at[count] < length && count < 7) {
        at[count + 1] = at[count] + snapshot_bytes_part(bytes + at[count], length - at[count]);
        count++;
    }
    return count;
}

static void chunks_in_the_wrong_place_are_noticed(void)
{
    struct world w, other;
    size_t length, other_length, at[8], other_at[8];
    world_open(&w, 600, 1000, 1);
    world_open(&other, 600, 1000, 2);
    write_snapshot(&w);
    write_snapshot(&other);
    uint8_t *bytes = bytes_of(&w, &length), *others = bytes_of(&other, &other_length);
    uint8_t *changed = malloc(length + other_length);
    CU_ASSERT_PTR_NOT_NULL_FATAL(changed);
    unsigned parts = find_parts(bytes, length, at);
    CU_ASSERT_EQUAL_FATAL(parts, 5); /* head, three chunks, foot */
    CU_ASSERT_EQUAL_FATAL(find_parts(others, other_length, other_at), parts);

    /* swapped: the second chunk before the first */
    size_t first = at[2] - at[1], second = at[3] - at[2];
    memcpy(changed, bytes, length);
    memcpy(changed + at[1], bytes + at[2], second);
    memcpy(changed + at[1] + second, bytes + at[1], first);
    CU_ASSERT_EQUAL(judge_bytes(&w, changed, length), -EBADMSG);
    /* one that is missing */
    memcpy(changed, bytes, at[2]);
    memcpy(changed + at[2], bytes + at[3], length - at[3]);
    CU_ASSERT_EQUAL(judge_bytes(&w, changed, length - second), -EBADMSG);
    /* the last one missing */
    memcpy(changed, bytes, at[3]);
    memcpy(changed + at[3], bytes + at[4], length - at[4]);
    CU_ASSERT_EQUAL(judge_bytes(&w, changed, length - (at[4] - at[3])), -EBADMSG);
    /* one of another snapshot that began at the same place and has as many items */
    memcpy(changed, bytes, at[1]);
    memcpy(changed + at[1], others + other_at[1], other_at[2] - other_at[1]);
    memcpy(changed + at[1] + (other_at[2] - other_at[1]), bytes + at[2], length - at[2]);
    CU_ASSERT_EQUAL(judge_bytes(&w, changed, length - first + (other_at[2] - other_at[1])), -EBADMSG);
    /* the head of another */
    memcpy(changed, bytes, length);
    changed[SNAPSHOT_HEADER_BYTES]++;
    snapshot_bytes_sum(changed, DISK_BLOCK_BYTES);
    CU_ASSERT_EQUAL(judge_bytes(&w, changed, length), -EBADMSG);
    free(changed);
    free(bytes);
    free(others);
    world_close(&w);
    world_close(&other);
}

static void a_newer_format_is_said_to_be_one(void)
{
    struct world w;
    size_t length;
    world_open(&w, 40, 20, 1);
    write_snapshot(&w);
    uint8_t *bytes = bytes_of(&w, &length);
    wire_put_u16(bytes + SNAPSHOT_AT_FORMAT, SNAPSHOT_FORMAT + 1);
    CU_ASSERT_EQUAL(judge_bytes(&w, bytes, length), -EBADMSG); /* not if it may be rot */
    snapshot_bytes_sum(bytes, length);
    CU_ASSERT_EQUAL(judge_bytes(&w, bytes, length), -EPROTONOSUPPORT);
    wire_put_u16(bytes + SNAPSHOT_AT_FORMAT, 0);
    snapshot_bytes_sum(bytes, length);
    CU_ASSERT_EQUAL(judge_bytes(&w, bytes, length), -EBADMSG);
    free(bytes);
    world_close(&w);
}

/* The sums are right, but what they cover is nothing that a writer writes. */
static void content_that_no_writer_writes_is_noticed(void)
{
    enum { HEAD = 0, CHUNK = DISK_BLOCK_BYTES, FOOT = 2 * DISK_BLOCK_BYTES, BODY = SNAPSHOT_HEADER_BYTES };
    static const struct {
        const char *what;
        unsigned at;
        uint8_t value;
    } cases[] = {
        {"start_lsn too high", HEAD + 31, 0xFF},
        {"another start_lsn in a chunk", CHUNK + 24, 1},
        {"another start_lsn in the foot", FOOT + 24, 1},
        {"index", CHUNK + 12, 2},
        {"reserved", CHUNK + 20, 1},
        {"length of the head", HEAD + 8, 103},
        {"length of a chunk", CHUNK + 8, 33},
        {"chunk without records", CHUNK + 9, 0},
        {"padding", CHUNK + DISK_BLOCK_BYTES - 1, 1},
        {"flush_lsn above the items'", HEAD + BODY + 16 + 24 + 4, 2},
        {"capacity 0", HEAD + BODY + 16 + 32 + 1, 0},
        {"capacity", HEAD + BODY + 16 + 32 + 7, 1},
        {"a DELETE", CHUNK + BODY + 16, 2},
        {"key length 0", CHUNK + BODY + 17, 0},
        {"value length", CHUNK + BODY + 19, 5},
        {"an LSN above the end", CHUNK + BODY + 2, 1},
        {"end_lsn too high", FOOT + BODY + 7, 0x80},
        {"end_lsn below start_lsn", FOOT + BODY + 4, 0},
        {"items", FOOT + BODY + 8, 39},
        {"reserved of the foot", FOOT + BODY + 20, 1},
    };
    struct world w;
    size_t length;
    world_open(&w, 40, 20, 1);
    write_snapshot(&w);
    uint8_t *bytes = bytes_of(&w, &length);
    CU_ASSERT_EQUAL_FATAL(length, 3 * DISK_BLOCK_BYTES);
    snapshot_bytes_sum(bytes, length);
    CU_ASSERT_EQUAL(judge_bytes(&w, bytes, length), 0);
    for (unsigned i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        uint8_t *changed = malloc(length);
        CU_ASSERT_PTR_NOT_NULL_FATAL(changed);
        memcpy(changed, bytes, length);
        CU_ASSERT_NOT_EQUAL(changed[cases[i].at], cases[i].value);
        changed[cases[i].at] = cases[i].value;
        snapshot_bytes_sum(changed, length);
        if (judge_bytes(&w, changed, length) != -EBADMSG) {
            printf("not noticed: %s\n", cases[i].what);
            CU_ASSERT(0);
        }
        free(changed);
    }
    free(bytes);
    world_close(&w);
}

int main(void)
{
    CU_TestInfo tests[] = {
        {"a snapshot gives the table again", a_snapshot_gives_the_table_again},
        {"what is flushed is left out, and what is expired stays hidden",
         what_is_flushed_is_left_out_and_what_is_expired_stays_hidden},
        {"published once the log is durable to its end", it_is_published_once_the_log_is_durable_to_its_end},
        {"one that is given up leaves nothing behind", one_that_is_given_up_leaves_nothing_behind},
        {"an error of the disk ends it", an_error_of_the_disk_ends_it},
        {"after any crash there is none or a valid one", after_any_crash_there_is_none_or_a_valid_one},
        {"a flipped bit is noticed anywhere", a_flipped_bit_is_noticed_anywhere},
        {"a file of another length is noticed", a_file_of_another_length_is_noticed},
        {"chunks in the wrong place are noticed", chunks_in_the_wrong_place_are_noticed},
        {"a newer format is said to be one", a_newer_format_is_said_to_be_one},
        {"content that no writer writes is noticed", content_that_no_writer_writes_is_noticed},
        CU_TEST_INFO_NULL,
    };
    return suite_run("snapshot", tests);
}
