/*
 * test_wildctl.c - a log's folder under wildctl's offline commands: whole, torn, and with each of its blocks
 * damaged; repaired, with a crash anywhere in between, and recovered by what a node recovers with. argv[1] is
 * the program, for what it looks like from outside.
 */
#include <errno.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include "disk_folder.h"
#include "recovery.h"
#include "sim_disk.h"
#include "suite.h"
#include "table_fixture.h"
#include "wal_blocks.h"
#include "wal_commands.h"
#include "wal_writer.h"

enum {
    SEGMENT_BYTES = WAL_BLOCK_BYTES_MAX, /* 32 blocks of one record */
    RECORDS = 110,
    KEYS = 7,
    FIRST_WALK = 30,  /* records before the first snapshot, which is done at once */
    SECOND_WALK = 70, /* before the second */
    SECOND_END = 80,  /* it ends with this one: its end_lsn is above that of its position */
    TURNS_MAX = 1000,
};

/* set once, before the tests */
static const char *program;

struct world {
    struct sim_disk *sim;
    struct disk disk;
    struct meta meta;
    struct wal_writer *writer;
    struct fixture table;
    uint64_t now_ns;
};

/* ---- a folder as a node leaves it ---- */

static void turns(struct world *w)
{
    for (unsigned i = 0; i < TURNS_MAX; i++) {
        char name[DISK_NAME_BYTES];
        uint64_t wanted = wal_writer_wants(w->writer);
        if (wanted != 0) {
            meta_segment_name(name, wanted);
            int file = w->disk.call->open(w->disk.state, name, DISK_CREATE, SEGMENT_BYTES);
            CU_ASSERT_FATAL(file >= 0 && w->disk.call->sync(w->disk.state, file) >= 0 &&
                            w->disk.call->sync_folder(w->disk.state) >= 0);
            wal_writer_give(w->writer, file);
        }
        wal_writer_turn(w->writer, w->now_ns += 1000000, 1000);
        if (wal_writer_idle(w->writer) && wal_writer_wants(w->writer) == 0)
            return;
    }
    CU_FAIL_FATAL("the writer does not come to rest");
}

static void write_record(struct world *w, unsigned number)
{
    char key[16], value[16];
    snprintf(key, sizeof key, "k\"%u", number % KEYS);
    snprintf(value, sizeof value, "v%u", number);
    CU_ASSERT_EQUAL_FATAL(fixture_set(&w->table, key, value, 0, 0), STATUS_OK);
    CU_ASSERT_EQUAL_FATAL(w->table.last.lsn, FIXTURE_FIRST_LSN + number);
    CU_ASSERT_FATAL(
        wal_writer_append(w->writer, w->table.last_record, log_record_encoded_bytes(w->table.last_record)));
    turns(w);
}

static struct snapshot_writer *snapshot_begin(struct world *w)
{
    struct snapshot_facts facts = {.position = wal_writer_position(w->writer), .wall_ms = 1000};
    memcpy(facts.cluster_id, w->meta.cluster_id, META_CLUSTER_ID_BYTES);
    struct snapshot_writer *snapshot = snapshot_writer_create(&w->disk, w->table.table, &facts);
    CU_ASSERT_PTR_NOT_NULL_FATAL(snapshot);
    return snapshot;
}

static void snapshot_end(struct snapshot_writer *snapshot)
{
    int progress = SNAPSHOT_GOING_ON;
    while (progress > 0 && progress != SNAPSHOT_PUBLISHED)
        progress = snapshot_writer_step(snapshot, 1000, UINT64_MAX);
    CU_ASSERT_EQUAL_FATAL(progress, SNAPSHOT_PUBLISHED);
    snapshot_writer_destroy(snapshot);
}

static void world_open(struct world *w, bool snapshots)
{
    struct snapshot_writer *second = NULL;
    memset(w, 0, sizeof *w);
    w->sim = sim_disk_create(1, 64 << 20);
    w->disk = sim_disk_disk(w->sim);
    w->meta = (struct meta){.cluster_id = {1}, .node_id = 2};
    meta_add(&w->meta, &(struct history){.id = 3, .first_lsn = FIXTURE_FIRST_LSN, .node_id = 2, .epoch = 1});
    CU_ASSERT_EQUAL_FATAL(meta_write(&w->meta, &w->disk), 0);
    fixture_open(&w->table, &(struct table_config){.capacity = TABLE_CAPACITY_MIN});
    w->writer = wal_writer_create(&(struct wal_writer_config){.queue = sim_disk_queue(w->sim),
                                                              .history = 3,
                                                              .first_lsn = FIXTURE_FIRST_LSN,
                                                              .segment_bytes = SEGMENT_BYTES});
    CU_ASSERT_PTR_NOT_NULL_FATAL(w->writer);
    for (unsigned i = 0; i < RECORDS; i++) {
        if (snapshots && i == FIRST_WALK)
            snapshot_end(snapshot_begin(w));
        if (snapshots && i == SECOND_WALK)
            second = snapshot_begin(w);
        if (snapshots && i == SECOND_END)
            snapshot_end(second);
        write_record(w, i);
    }
    wal_writer_finish(w->writer);
    turns(w);
    wal_writer_destroy(w->writer);
}

static void world_close(struct world *w)
{
    fixture_close(&w->table);
    sim_disk_destroy(w->sim);
}

/* ---- commands ---- */

typedef int (*wal_command)(const struct disk *disk, const struct wal_options *options);

struct said {
    int exit_code;
    char text[16384];
};

static struct said ask(struct sim_disk *sim, wal_command command, struct wal_options options)
{
    struct disk disk = sim_disk_disk(sim);
    struct said said = {0};
    options.path = "folder";
    options.to_lsn = options.to_lsn != 0 ? options.to_lsn : UINT64_MAX;
    options.out = fmemopen(said.text, sizeof said.text - 1, "w");
    CU_ASSERT_PTR_NOT_NULL_FATAL(options.out);
    said.exit_code = command(&disk, &options);
    fclose(options.out);
    return said;
}

static int check(struct sim_disk *sim)
{
    return ask(sim, wal_check, (struct wal_options){0}).exit_code;
}

static int repair(struct sim_disk *sim, bool yes)
{
    return ask(sim, wal_repair, (struct wal_options){.yes = yes}).exit_code;
}

static void fill_counting(void *state, void *out, size_t bytes)
{
    for (size_t i = 0; i < bytes; i++)
        ((uint8_t *)out)[i] = (uint8_t)++ * (unsigned *)state;
}

/* What a node finds that starts here: the number of records, exactly those from the first one on; or -errno. */
static int recover(struct sim_disk *sim)
{
    struct fixture table;
    unsigned counter = 0;
    int more;
    fixture_open(&table, &(struct table_config){.capacity = TABLE_CAPACITY_MIN});
    struct recovery *recovery = recovery_create(&(struct recovery_config){.disk = sim_disk_disk(sim),
                                                                          .apply = table.context,
                                                                          .random = {fill_counting, &counter},
                                                                          .folder = "folder",
                                                                          .segment_bytes = SEGMENT_BYTES});
    CU_ASSERT_PTR_NOT_NULL_FATAL(recovery);
    while ((more = recovery_step(recovery)) > 0)
        ;
    int records = more < 0 ? more : (int)(recovery_facts(recovery)->lsn + 1 - FIXTURE_FIRST_LSN);
    if (more == 0 && recovery_facts(recovery)->lsn == 0)
        records = 0;
    recovery_destroy(recovery);
    for (int i = 0; i < KEYS && records >= 0; i++) {
        char key[16], value[16];
        int last = records - 1 - ((records - 1 - i) % KEYS + KEYS) % KEYS;
        snprintf(key, sizeof key, "k\"%d", i);
        snprintf(value, sizeof value, "v%d", last);
        enum status status = fixture_get(&table, key);
        CU_ASSERT(last < 0 ? status == STATUS_NOT_FOUND
                           : status == STATUS_OK && fixture_value_is(&table, value));
    }
    fixture_close(&table);
    return records;
}

static struct sim_disk *copy(const struct sim_disk *sim)
{
    return sim_disk_image(sim, SIM_CRASH_KILL, 1);
}

/* Flips a byte of the log's block number `block` (0 is the mark that a history begins with). */
static void damage(struct sim_disk *sim, unsigned block)
{
    struct disk disk = sim_disk_disk(sim);
    struct meta meta;
    char name[DISK_NAME_BYTES];
    uint64_t length;
    struct wal_block found = {0};
    CU_ASSERT_EQUAL_FATAL(meta_read(&meta, &disk), 0);
    struct wal_reader *reader = wal_reader_create(&disk, &meta, &(struct wal_position){0});
    for (unsigned i = 0; i <= block; i++)
        CU_ASSERT_EQUAL_FATAL(wal_reader_next(reader, &found), 1);
    wal_reader_destroy(reader);
    meta_segment_name(name, found.segment);
    sim_disk_bytes(sim, name, &length)[found.offset + 40] ^= 1;
}

static unsigned blocks_of(struct sim_disk *sim)
{
    struct disk disk = sim_disk_disk(sim);
    struct meta meta;
    struct wal_block block;
    unsigned count = 0;
    CU_ASSERT_EQUAL_FATAL(meta_read(&meta, &disk), 0);
    struct wal_reader *reader = wal_reader_create(&disk, &meta, &(struct wal_position){0});
    while (wal_reader_next(reader, &block) == 1)
        count++;
    wal_reader_destroy(reader);
    return count;
}

/* ---- tests ---- */

static void a_whole_folder_is_fine(void)
{
    struct world w;
    world_open(&w, true);
    struct said said = ask(w.sim, wal_info, (struct wal_options){.wall_ms = 61000});
    CU_ASSERT_EQUAL(said.exit_code, EXIT_FINE);
    CU_ASSERT_PTR_NOT_NULL(
        strstr(said.text, "cluster 01000000000000000000000000000000\nnode 0000000000000002\n"));
    CU_ASSERT_PTR_NOT_NULL(strstr(said.text, "history 0000000000000003: epoch 1, from lsn 4294967296 on"));
    CU_ASSERT_PTR_NOT_NULL(
        strstr(said.text, "segment 1: lsn 4294967296 to 4294967326, 31 records, 131072 of 131072"));
    CU_ASSERT_PTR_NOT_NULL(strstr(said.text, "lsn 4294967365 to 4294967375, 7 items, 60 s old"));
    CU_ASSERT_PTR_NOT_NULL(strstr(said.text, "end: clean, at lsn 4294967405, segment 4"));
    said = ask(w.sim, wal_info, (struct wal_options){.json = true});
    CU_ASSERT_PTR_NOT_NULL(strstr(said.text, "\"end\":\"clean\",\"end_segment\":4"));
    said = ask(w.sim, wal_check, (struct wal_options){0});
    CU_ASSERT_EQUAL(said.exit_code, EXIT_FINE);
    CU_ASSERT_PTR_NOT_NULL(strstr(said.text, "110 records, 2 snapshots, end at lsn 4294967405: fine\n"));
    said = ask(w.sim, wal_check, (struct wal_options){.json = true});
    CU_ASSERT_PTR_NOT_NULL(strstr(said.text, "{\"fine\":true,\"damage\":[],"));
    said = ask(w.sim, wal_repair, (struct wal_options){.yes = true});
    CU_ASSERT_EQUAL(said.exit_code, EXIT_FINE);
    CU_ASSERT_STRING_EQUAL(said.text, "folder: nothing to repair\n");
    CU_ASSERT_EQUAL(recover(w.sim), RECORDS);
    world_close(&w);
}

static void records_are_shown_a_line_each(void)
{
    struct world w;
    world_open(&w, true);
    struct said said = ask(w.sim, wal_dump, (struct wal_options){0});
    unsigned lines = 0;
    for (const char *at = said.text; *at != '\0'; at++)
        lines += *at == '\n';
    CU_ASSERT_EQUAL(said.exit_code, EXIT_FINE);
    CU_ASSERT_EQUAL(lines, RECORDS);
    CU_ASSERT_EQUAL(strncmp(said.text, "4294967296 set \"k\\x220\" 2 bytes\n", 32), 0);
    said = ask(w.sim, wal_dump,
               (struct wal_options){
                   .from_lsn = FIXTURE_FIRST_LSN + 90, .to_lsn = FIXTURE_FIRST_LSN + 91, .values = true});
    CU_ASSERT_STRING_EQUAL(said.text,
                           "4294967386 set \"k\\x226\" \"v90\"\n4294967387 set \"k\\x220\" \"v91\"\n");
    said = ask(w.sim, wal_dump,
               (struct wal_options){.from_lsn = FIXTURE_FIRST_LSN + 5,
                                    .to_lsn = FIXTURE_FIRST_LSN + 5,
                                    .json = true,
                                    .values = true});
    CU_ASSERT_STRING_EQUAL(said.text, "{\"lsn\":4294967301,\"type\":\"set\",\"key\":\"k\\\"5\",\"bytes\":2,"
                                      "\"expiry_ms\":0,\"value\":\"v5\"}\n");
    damage(w.sim, 50);
    CU_ASSERT_EQUAL(ask(w.sim, wal_dump, (struct wal_options){0}).exit_code, EXIT_DAMAGE);
    world_close(&w);
}

/* What an earlier start found was durable then, whether or not anything still lies behind the log's end. */
static void a_log_that_ends_below_what_a_start_found_is_damage(void)
{
    for (unsigned round = 0; round < 2; round++) {
        struct world w;
        int left;
        world_open(&w, false);
        CU_ASSERT_EQUAL(recover(w.sim), RECORDS);
        if (round == 0)
            damage(w.sim, 20);
        for (uint64_t number = 3; round == 1 && number <= 5; number++) {
            char name[DISK_NAME_BYTES];
            meta_segment_name(name, number);
            CU_ASSERT_EQUAL(w.disk.call->remove(w.disk.state, name), 0);
        }
        CU_ASSERT_EQUAL(recover(w.sim), -EBADMSG);
        CU_ASSERT_EQUAL(ask(w.sim, wal_check, (struct wal_options){0}).exit_code, EXIT_DAMAGE);
        struct said said = ask(w.sim, wal_repair, (struct wal_options){0});
        CU_ASSERT_EQUAL(said.exit_code, EXIT_DAMAGE);
        CU_ASSERT_PTR_NOT_NULL(strstr(said.text, "to 4294967405; "));
        CU_ASSERT_EQUAL(ask(w.sim, wal_repair, (struct wal_options){.yes = true}).exit_code, EXIT_FINE);
        CU_ASSERT_EQUAL(ask(w.sim, wal_check, (struct wal_options){0}).exit_code, EXIT_FINE);
        left = recover(w.sim);
        CU_ASSERT(left > 0 && left < RECORDS);
        CU_ASSERT_EQUAL(recover(w.sim), left);
        world_close(&w);
    }
}

static void a_torn_tail_is_no_damage(void)
{
    struct world w;
    world_open(&w, false);
    unsigned blocks = blocks_of(w.sim);
    damage(w.sim, blocks - 1); /* the last mark: nothing says that it had been durable */
    struct said said = ask(w.sim, wal_check, (struct wal_options){0});
    CU_ASSERT_EQUAL(said.exit_code, EXIT_FINE);
    CU_ASSERT_PTR_NOT_NULL(strstr(said.text, "torn tail: wal-0000000000000004 at offset "));
    CU_ASSERT_PTR_NOT_NULL(strstr(ask(w.sim, wal_info, (struct wal_options){0}).text, "end: torn"));
    uint64_t before = sim_disk_boundaries(w.sim);
    CU_ASSERT_EQUAL(repair(w.sim, true), EXIT_FINE);
    CU_ASSERT_EQUAL(sim_disk_boundaries(w.sim), before);
    CU_ASSERT_EQUAL(recover(w.sim), RECORDS);
    world_close(&w);
}

/* Records that are left when that one of the log's blocks is damaged; block 0 is a mark, as is the last. */
static int records_left(unsigned block, bool snapshots)
{
    int before = block > 0 ? (int)block - 1 : 0;
    return snapshots && before < SECOND_WALK ? RECORDS : before; /* the second snapshot makes up for it */
}

static void damage_of_each_block_is_found_and_repaired(bool snapshots)
{
    struct world w;
    world_open(&w, snapshots);
    unsigned blocks = blocks_of(w.sim);
    CU_ASSERT_EQUAL_FATAL(blocks, RECORDS + 2);
    for (unsigned block = 0; block + 1 < blocks; block += 1 + (block > 3 && block < RECORDS - 8) * 2) {
        struct sim_disk *sim = copy(w.sim);
        int left = records_left(block, snapshots);
        damage(sim, block);
        struct said said = ask(sim, wal_check, (struct wal_options){0});
        CU_ASSERT_EQUAL(said.exit_code, EXIT_DAMAGE);
        CU_ASSERT_PTR_NOT_NULL(strstr(said.text, "a broken block"));
        CU_ASSERT_PTR_NOT_NULL(strstr(ask(sim, wal_info, (struct wal_options){0}).text, "end: damaged"));
        uint64_t before = sim_disk_boundaries(sim);
        CU_ASSERT_EQUAL(repair(sim, false), left < RECORDS ? EXIT_DAMAGE : EXIT_FINE);
        CU_ASSERT_EQUAL(sim_disk_boundaries(sim), before);
        if (left < RECORDS) {
            struct sim_disk *refused = copy(sim);
            CU_ASSERT_EQUAL(recover(refused), -EBADMSG);
            sim_disk_destroy(refused);
        }
        CU_ASSERT_EQUAL(repair(sim, true), EXIT_FINE);
        if (left < RECORDS)
            CU_ASSERT_EQUAL(check(sim), EXIT_FINE);
        before = sim_disk_boundaries(sim);
        CU_ASSERT_EQUAL(repair(sim, true), EXIT_FINE);
        CU_ASSERT_EQUAL(sim_disk_boundaries(sim), before);
        /* what was repaired survives a power cut, and the next start another */
        struct sim_disk *cut = sim_disk_image(sim, SIM_CRASH_NOTHING, block);
        CU_ASSERT_EQUAL(recover(cut), left);
        CU_ASSERT_EQUAL(recover(cut), left);
        sim_disk_destroy(cut);
        sim_disk_destroy(sim);
    }
    world_close(&w);
}

static void damage_without_snapshots_is_found_and_repaired(void)
{
    damage_of_each_block_is_found_and_repaired(false);
}

static void damage_with_snapshots_is_found_and_repaired(void)
{
    damage_of_each_block_is_found_and_repaired(true);
}

static void a_repair_that_is_cut_off_is_refused_or_done(void)
{
    static const unsigned damaged[] = {1, 45, 75, 109};
    struct world w;
    for (unsigned i = 0; i < sizeof damaged / sizeof damaged[0]; i++) {
        bool snapshots = damaged[i] > SECOND_WALK;
        unsigned refused = 0, done = 0;
        world_open(&w, snapshots);
        damage(w.sim, damaged[i]);
        int left = records_left(damaged[i], snapshots);
        for (uint64_t boundary = 0;; boundary++) {
            struct sim_disk *sim = copy(w.sim);
            sim_disk_crash_at(sim, boundary);
            int outcome = repair(sim, true);
            bool crashed = sim_disk_crashed(sim);
            CU_ASSERT_EQUAL(outcome, crashed ? EXIT_DAMAGE : EXIT_FINE);
            for (unsigned crash = 0; crash < SIM_CRASHES; crash++) {
                struct sim_disk *image = sim_disk_image(sim, (enum sim_crash)crash, boundary);
                struct sim_disk *again = copy(image);
                int found = recover(image);
                CU_ASSERT(found == left || found == -EBADMSG);
                found == left ? done++ : refused++;
                CU_ASSERT_EQUAL(repair(again, true), EXIT_FINE);
                CU_ASSERT_EQUAL(recover(again), left);
                sim_disk_destroy(image);
                sim_disk_destroy(again);
            }
            sim_disk_destroy(sim);
            if (!crashed)
                break;
        }
        CU_ASSERT(refused > 0 && done > 0);
        world_close(&w);
    }
}

static void what_no_repair_can_help_is_refused(void)
{
    struct world w;
    uint64_t length;
    world_open(&w, false);
    struct sim_disk *sim = copy(w.sim);
    sim_disk_bytes(sim, "meta", &length)[100] ^= 1;
    CU_ASSERT_EQUAL(check(sim), EXIT_DAMAGE);
    CU_ASSERT_EQUAL(repair(sim, true), EXIT_DAMAGE);
    sim_disk_destroy(sim);
    sim = copy(w.sim); /* the log's start is gone, and there is no snapshot */
    struct disk disk = sim_disk_disk(sim);
    CU_ASSERT(disk.call->remove(disk.state, "wal-0000000000000001") >= 0);
    CU_ASSERT_EQUAL(check(sim), EXIT_DAMAGE);
    CU_ASSERT_EQUAL(repair(sim, true), EXIT_DAMAGE);
    sim_disk_destroy(sim);
    sim = sim_disk_create(1, 1 << 20);
    CU_ASSERT_EQUAL(check(sim), EXIT_DAMAGE);
    sim_disk_destroy(sim);
    world_close(&w);
}

static void copies_can_go_to_another_folder(void)
{
    struct world w;
    uint64_t length;
    world_open(&w, false);
    struct sim_disk *elsewhere = sim_disk_create(2, 16 << 20);
    struct disk keep = sim_disk_disk(elsewhere);
    damage(w.sim, 40);
    CU_ASSERT_EQUAL(ask(w.sim, wal_repair, (struct wal_options){.yes = true, .keep = &keep}).exit_code,
                    EXIT_FINE);
    CU_ASSERT_PTR_NOT_NULL(sim_disk_bytes(elsewhere, "kept-wal-0000000000000002", &length));
    CU_ASSERT_EQUAL(length, SEGMENT_BYTES);
    CU_ASSERT_PTR_NOT_NULL(sim_disk_bytes(elsewhere, "kept-wal-0000000000000004", &length));
    CU_ASSERT_PTR_NULL(sim_disk_bytes(w.sim, "kept-wal-0000000000000004", &length));
    CU_ASSERT_PTR_NULL(sim_disk_bytes(w.sim, "wal-0000000000000004", &length));
    CU_ASSERT_EQUAL(recover(w.sim), 39);
    sim_disk_destroy(elsewhere);
    world_close(&w);
}

/* ---- the program ---- */

static int run(const char *arguments, char *text, size_t room)
{
    char command[512];
    snprintf(command, sizeof command, "%s %s 2>&1", program, arguments);
    FILE *pipe = popen(command, "r");
    CU_ASSERT_PTR_NOT_NULL_FATAL(pipe);
    size_t length = fread(text, 1, room - 1, pipe);
    text[length] = '\0';
    int status = pclose(pipe);
    return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

static void the_program_says_what_it_wants(void)
{
    static const char *const wrong[] = {"",
                                        "wal",
                                        "wall check /",
                                        "wal frobnicate /",
                                        "wal check",
                                        "wal check / /",
                                        "wal check --yes /",
                                        "wal dump --from x /",
                                        "wal dump --to",
                                        "wal repair --keep"};
    char text[4096];
    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++) {
        CU_ASSERT_EQUAL(run(wrong[i], text, sizeof text), 2);
        CU_ASSERT_EQUAL(strchr(text, '\n'), text + strlen(text) - 1);
    }
    CU_ASSERT_EQUAL(run("--help", text, sizeof text), 0);
    CU_ASSERT_EQUAL(run("wal repair --help", text, sizeof text), 0);
    CU_ASSERT_PTR_NOT_NULL(strstr(text, "--keep DIR"));
    CU_ASSERT_EQUAL(run("wal info /nonexistent/folder", text, sizeof text), 1);
}

static void a_folder_in_use_is_shown_and_not_repaired(void)
{
    char path[] = "/tmp/wild-test-wildctl-XXXXXX", arguments[128], text[4096], error[512], says[64];
    struct disk_folder *folder;
    CU_ASSERT_PTR_NOT_NULL_FATAL(mkdtemp(path));
    CU_ASSERT_EQUAL_FATAL(
        disk_folder_open(&folder, path, DISK_FOLDER_OWN, DISK_QUEUE_NONE, error, sizeof error), 0);
    struct disk disk = disk_folder_disk(folder);
    struct meta meta = {.cluster_id = {1}, .node_id = 2};
    meta_add(&meta, &(struct history){.id = 3, .first_lsn = FIXTURE_FIRST_LSN, .node_id = 2, .epoch = 1});
    CU_ASSERT_EQUAL(meta_write(&meta, &disk), 0);
    snprintf(says, sizeof says, "in use by process %ld", (long)getpid());
    snprintf(arguments, sizeof arguments, "wal info %s", path);
    CU_ASSERT_EQUAL(run(arguments, text, sizeof text), 0);
    CU_ASSERT_PTR_NOT_NULL(strstr(text, says));
    snprintf(arguments, sizeof arguments, "wal repair --yes %s", path);
    CU_ASSERT_EQUAL(run(arguments, text, sizeof text), 1);
    CU_ASSERT_PTR_NOT_NULL(strstr(text, says));
    disk_folder_close(folder);
    snprintf(arguments, sizeof arguments, "wal info %s", path);
    CU_ASSERT_EQUAL(run(arguments, text, sizeof text), 0);
    CU_ASSERT_PTR_NULL(strstr(text, "in use"));
    snprintf(arguments, sizeof arguments, "rm -r %s", path);
    CU_ASSERT_EQUAL(system(arguments), 0);
}

int main(int argc, char **argv)
{
    if (argc != 2)
        return 2;
    program = argv[1];
    CU_TestInfo tests[] = {
        {"a whole folder is fine", a_whole_folder_is_fine},
        {"records are shown a line each", records_are_shown_a_line_each},
        {"a log that ends below what a start found is damage",
         a_log_that_ends_below_what_a_start_found_is_damage},
        {"a torn tail is no damage", a_torn_tail_is_no_damage},
        {"damage of any block is found and repaired", damage_without_snapshots_is_found_and_repaired},
        {"so it is with snapshots", damage_with_snapshots_is_found_and_repaired},
        {"a repair that is cut off is refused or done", a_repair_that_is_cut_off_is_refused_or_done},
        {"what no repair can help is refused", what_no_repair_can_help_is_refused},
        {"copies can go to another folder", copies_can_go_to_another_folder},
        {"the program says what it wants", the_program_says_what_it_wants},
        {"a folder in use is shown and not repaired", a_folder_in_use_is_shown_and_not_repaired},
        CU_TEST_INFO_NULL,
    };
    return suite_run("wildctl", tests);
}
