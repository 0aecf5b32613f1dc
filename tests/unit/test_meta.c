#include "suite.h"

#include "epoch.h"
#include "memory_disk.h"
#include "meta.h"
#include "wal_block.h"
#include "wire.h"

static struct memory_disk memory;

static void set_up(void)
{
    memset(&memory, 0, sizeof memory);
}

static void tear_down(void)
{
    CU_ASSERT_EQUAL(memory.open_files, 0);
    memory_disk_free(&memory);
}

static struct meta sample(unsigned count)
{
    struct meta meta = {.cluster_id = {1, 2, 3}, .node_id = 42, .base_segment = 1};
    for (unsigned i = 0; i < count; i++)
        meta_add(&meta, &(struct history){.id = 1000 + i,
                                          .first_lsn = (uint64_t)(i + 1) << 32,
                                          .node_id = 42 + i % 3,
                                          .before_lsn = ((uint64_t)i << 32) + i,
                                          .epoch = i});
    return meta;
}

/* What only clusters have. */
static struct meta sample_with_members(unsigned count, unsigned members)
{
    struct meta meta = sample(count);
    meta.stamp = 77;
    meta.base_segment = 9;
    meta.adopted_lsn = ((uint64_t)1 << 32) + 5;
    meta.sealed_node = 43;
    meta.sealed_epoch = UINT32_MAX;
    if (members > 0)
        meta.members = (struct member_list){.last_lsn = ((uint64_t)1 << 32) + 3,
                                            .min_replicas = MEMBERS_MAX - 1,
                                            .min_replicas_before = 3,
                                            .count = members};
    for (unsigned i = 0; i < members; i++) {
        struct member *member = &meta.members.member[i];
        *member = (struct member){.node_id = 1 + i,
                                  .replication_port = 9001,
                                  .client_port = 7878,
                                  .part = (uint8_t)(MEMBER_STAYS + i % 3)};
        member->address[15] = (uint8_t)i;
        memset(member->name, 'a', i % MEMBER_NAME_BYTES); /* none, and the longest */
    }
    return meta;
}

/* Over the histories that count alone. */
static bool same(const struct meta *a, const struct meta *b)
{
    bool equal = a->count == b->count && a->node_id == b->node_id &&
                 memcmp(a->cluster_id, b->cluster_id, META_CLUSTER_ID_BYTES) == 0 && a->stamp == b->stamp &&
                 a->base_segment == b->base_segment && a->adopted_lsn == b->adopted_lsn &&
                 a->sealed_node == b->sealed_node && a->sealed_epoch == b->sealed_epoch &&
                 a->members.last_lsn == b->members.last_lsn && member_list_equal(&a->members, &b->members);
    for (unsigned i = 0; equal && i < a->count; i++)
        equal = a->history[i].id == b->history[i].id && a->history[i].first_lsn == b->history[i].first_lsn &&
                a->history[i].node_id == b->history[i].node_id &&
                a->history[i].before_lsn == b->history[i].before_lsn &&
                a->history[i].epoch == b->history[i].epoch;
    return equal;
}

static void every_number_of_histories_comes_back(void)
{
    struct disk disk = memory_disk(&memory);
    static const unsigned counts[] = {1, 2, 100, META_HISTORIES_MAX};
    for (unsigned i = 0; i < sizeof counts / sizeof counts[0]; i++) {
        struct meta in = sample(counts[i]), out;
        CU_ASSERT_EQUAL(meta_write(&in, &disk), 0);
        CU_ASSERT_EQUAL(meta_read(&out, &disk), 0);
        CU_ASSERT(same(&in, &out));
    }
    CU_ASSERT(memory_find(&memory, "meta.tmp") < 0);
}

static void every_number_of_members_comes_back(void)
{
    struct disk disk = memory_disk(&memory);
    static const unsigned counts[] = {1, 2, MEMBERS_MAX};
    for (unsigned i = 0; i < sizeof counts / sizeof counts[0]; i++) {
        struct meta in = sample_with_members(META_HISTORIES_MAX - i, counts[i]), out;
        CU_ASSERT_EQUAL(meta_write(&in, &disk), 0);
        CU_ASSERT_EQUAL(meta_read(&out, &disk), 0);
        CU_ASSERT(same(&in, &out));
    }
}

/* A replica's folder that has been told of nothing yet, sealed or not. */
static void a_folder_without_a_history_has_no_cluster(void)
{
    struct disk disk = memory_disk(&memory);
    struct meta in = {.node_id = 42, .stamp = 5, .base_segment = 1}, out;
    CU_ASSERT_EQUAL(meta_write(&in, &disk), 0);
    CU_ASSERT_EQUAL(meta_read(&out, &disk), 0);
    CU_ASSERT(same(&in, &out));
    CU_ASSERT_EQUAL(meta_found_lsn(&out), 0);
    CU_ASSERT_EQUAL(meta_next_first_lsn(&out, 0, 1), (uint64_t)1 << 32);
    CU_ASSERT_PTR_NULL(meta_history_of(&out, UINT64_MAX));
    in.sealed_node = 7;
    in.sealed_epoch = 3;
    CU_ASSERT_EQUAL(meta_write(&in, &disk), 0);
    CU_ASSERT_EQUAL(meta_read(&out, &disk), 0);
    CU_ASSERT(same(&in, &out));
}

static void a_log_may_begin_again_before_an_earlier_start(void)
{
    struct disk disk = memory_disk(&memory);
    struct meta in = sample(2), out;
    in.history[0].before_lsn = 100;
    in.history[1].before_lsn = 5; /* a repair gave up what had been written since */
    CU_ASSERT_EQUAL(meta_write(&in, &disk), 0);
    CU_ASSERT_EQUAL(meta_read(&out, &disk), 0);
    CU_ASSERT(same(&in, &out));
    CU_ASSERT(!meta_lsn_is_lost(&out, 5) && meta_lsn_is_lost(&out, 6));
}

static void it_is_synced_before_it_gets_its_name_and_the_name_after(void)
{
    struct disk disk = memory_disk(&memory);
    struct meta meta = sample(1);
    CU_ASSERT_EQUAL(meta_write(&meta, &disk), 0);
    CU_ASSERT_STRING_EQUAL(memory.calls, "EWYNF");
}

/* Whichever call fails says so, and the old content is there, or the new one. */
static void a_failed_write_leaves_a_whole_one(void)
{
    struct disk disk = memory_disk(&memory);
    struct meta old = sample(3), new = sample(4), found;
    for (const char *call = "OWYNFE"; *call != '\0'; call++) {
        memory.fail_call = 0;
        CU_ASSERT_EQUAL(meta_write(&old, &disk), 0);
        memory.fail_call = *call;
        memory.fail_after = 0;
        memory.fail_error = -EIO;
        CU_ASSERT_EQUAL(meta_write(&new, &disk), -EIO);
        CU_ASSERT_EQUAL(memory.open_files, 0);
        memory.fail_call = 0;
        CU_ASSERT_EQUAL(meta_read(&found, &disk), 0);
        CU_ASSERT(same(&found, *call == 'F' ? &new : &old));
        CU_ASSERT_EQUAL(meta_write(&new, &disk), 0); /* also over a meta.tmp that was left */
        CU_ASSERT_EQUAL(meta_read(&found, &disk), 0);
        CU_ASSERT(same(&found, &new));
    }
}

static void what_the_disk_says_is_passed_on(void)
{
    struct disk disk = memory_disk(&memory);
    struct meta meta = sample(1);
    CU_ASSERT_EQUAL(meta_read(&meta, &disk), -ENOENT);
    CU_ASSERT_EQUAL(meta_write(&meta, &disk), 0);
    for (const char *call = "OSR"; *call != '\0'; call++) {
        memory.fail_call = *call;
        memory.fail_error = -EIO;
        CU_ASSERT_EQUAL(meta_read(&meta, &disk), -EIO);
    }
}

static uint8_t *written(const struct meta *meta)
{
    struct disk disk = memory_disk(&memory);
    CU_ASSERT_EQUAL(meta_write(meta, &disk), 0);
    return memory.file[memory_find(&memory, "meta")].bytes;
}

static void every_flipped_byte_and_other_lengths_are_noticed(void)
{
    struct disk disk = memory_disk(&memory);
    struct meta meta = sample(2), out;
    uint8_t *bytes = written(&meta);
    for (unsigned at = 0; at < META_BYTES; at++)
        for (unsigned bit = 0; bit < 8; bit += 1 + (at > 200) * 6) {
            bytes[at] ^= (uint8_t)(1 << bit);
            if (meta_read(&out, &disk) != -EBADMSG)
                CU_FAIL("a flipped bit passes");
            bytes[at] ^= (uint8_t)(1 << bit);
        }
    CU_ASSERT_EQUAL(meta_read(&out, &disk), 0);
    struct memory_file *file = &memory.file[memory_find(&memory, "meta")];
    static const uint64_t sizes[] = {META_BYTES + 1,    META_BYTES - 1,   64, 0,
                                     META_BYTES + 4096, META_BYTES - 4096};
    for (unsigned i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
        memory_resize(file, sizes[i]);
        CU_ASSERT_EQUAL(meta_read(&out, &disk), -EBADMSG);
    }
}

struct change {
    unsigned offset, bytes;
    uint64_t value;
    int result;
};

static void check_changes(const struct meta *meta, const struct change *changes, size_t count)
{
    struct disk disk = memory_disk(&memory);
    for (size_t i = 0; i < count; i++) {
        struct meta out;
        uint8_t *bytes = written(meta);
        for (unsigned b = 0; b < changes[i].bytes; b++)
            bytes[changes[i].offset + b] = (uint8_t)(changes[i].value >> 8 * b);
        wire_put_u32(bytes + 4, wal_crc(0, bytes + 8, META_BYTES - 8));
        int result = meta_read(&out, &disk);
        if (result != changes[i].result) {
            printf("\nchange %zu: %d instead of %d\n", i, result, changes[i].result);
            CU_FAIL("a wrong field");
        }
    }
}

static void every_wrong_field_is_noticed_though_the_crc_is_right(void)
{
    enum { HEADER = META_HEADER_BYTES, ONE = META_HISTORY_BYTES };
    static const struct change changes[] = {
        {0, 4, 0, -EBADMSG},                                /* magic */
        {8, 2, META_FORMAT + 1, -EPROTONOSUPPORT},          /* format */
        {8, 2, META_FORMAT - 1, -EPROTONOSUPPORT},          /* */
        {8, 2, 0, -EPROTONOSUPPORT},                        /* */
        {10, 2, 0, -EBADMSG},                               /* count: there is a cluster id */
        {10, 2, 1, -EBADMSG},                               /* less than there are: bytes that must be zero */
        {10, 2, 3, -EBADMSG},                               /* more */
        {10, 2, META_HISTORIES_MAX + 1, -EBADMSG},          /* */
        {10, 2, UINT16_MAX, -EBADMSG},                      /* */
        {12, 2, 1, -EBADMSG},                               /* members: there are none */
        {14, 2, 1, -EBADMSG},                               /* min_replicas without */
        {16, 8, 0, -EBADMSG},                               /* cluster id: the sample's has no other bytes */
        {32, 8, 0, -EBADMSG},                               /* node id */
        {64, 8, 1, -EBADMSG},                               /* sealed for a node without an epoch */
        {72, 4, 1, -EBADMSG},                               /* and the other way round */
        {76, 2, 1, -EBADMSG},                               /* min_replicas_before without members */
        {78, 2, 1, -EBADMSG},                               /* reserved */
        {80, 8, 1, -EBADMSG},                               /* a list of nobody */
        {88, 1, 1, -EBADMSG},                               /* reserved */
        {127, 1, 1, -EBADMSG},                              /* */
        {HEADER, 8, 0, -EBADMSG},                           /* a history's id */
        {HEADER + 8, 8, 0, -EBADMSG},                       /* its first LSN */
        {HEADER + 8, 8, ((uint64_t)1 << 32) + 1, -EBADMSG}, /* not a multiple */
        {HEADER + 8, 8, (uint64_t)2 << 32, -EBADMSG},       /* not below the next one's */
        {HEADER + 16, 8, 0, -EBADMSG},                      /* its node */
        {HEADER + 24, 8, (uint64_t)1 << 32, -EBADMSG},      /* before_lsn: not below its own first LSN */
        {HEADER + ONE + 24, 8, (uint64_t)2 << 32, -EBADMSG}, /* the second's */
        {HEADER + 32, 4, 1, -EBADMSG},                       /* epoch: not below the next one's */
        {HEADER + 36, 4, 1, -EBADMSG},                       /* reserved */
        {HEADER + 2 * ONE, 1, 1, -EBADMSG},                  /* behind the last */
        {META_MEMBERS_AT - 1, 1, 1, -EBADMSG},               /* */
        {META_MEMBERS_AT, 1, 1, -EBADMSG},                   /* a member that does not count */
        {META_BYTES - 1, 1, 1, -EBADMSG},                    /* */
    };
    struct meta meta = sample(2);
    check_changes(&meta, changes, sizeof changes / sizeof changes[0]);
}

static void every_wrong_field_of_members_is_noticed(void)
{
    enum { AT = META_MEMBERS_AT, ONE = META_MEMBER_BYTES };
    static const struct change changes[] = {
        {12, 2, 0, -EBADMSG},               /* members: they are there */
        {12, 2, 1, -EBADMSG},               /* */
        {12, 2, 3, -EBADMSG},               /* */
        {12, 2, MEMBERS_MAX + 1, -EBADMSG}, /* */
        {14, 2, MEMBERS_MAX, -EBADMSG},     /* min_replicas */
        {14, 2, 0, 0},                      /* */
        {76, 2, MEMBERS_MAX, -EBADMSG},     /* min_replicas_before */
        {64, 8, 0, -EBADMSG},               /* sealed for nobody */
        {72, 4, 0, -EBADMSG},               /* no epoch */
        {80, 8, 0, -EBADMSG},               /* no list */
        {AT, 8, 0, -EBADMSG},               /* node id */
        {AT, 8, 2, -EBADMSG},               /* of the other */
        {AT + 28, 1, 0, -EBADMSG},          /* part */
        {AT + 28, 1, 4, -EBADMSG},          /* */
        {AT + 28, 1, MEMBER_LEAVES, 0},     /* */
        {AT + 29, 1, 1, -EBADMSG},          /* reserved */
        {AT + 32, 1, 'x', 0},               /* name: there was none */
        {AT + 32, 1, 0x1f, -EBADMSG},       /* not text */
        {AT + 32, 1, 0x7f, -EBADMSG},       /* */
        {AT + 33, 1, 'x', -EBADMSG},        /* behind its end */
        {AT + ONE - 1, 1, 'x', -EBADMSG},   /* */
        {AT + 2 * ONE, 1, 1, -EBADMSG},     /* behind the last */
    };
    struct meta meta = sample_with_members(2, 2), empty = {.node_id = 42, .stamp = 5, .base_segment = 1};
    static const struct change on_empty[] = {
        {10, 2, 1, -EBADMSG}, /* a history: there is none */
        {16, 1, 1, -EBADMSG}, /* a cluster id */
        {56, 8, 1, -EBADMSG}, /* an adopted log */
    };
    check_changes(&meta, changes, sizeof changes / sizeof changes[0]);
    check_changes(&empty, on_empty, sizeof on_empty / sizeof on_empty[0]);
}

/* Whatever its length is: the first format's was another. */
static void another_format_is_told_from_damage(void)
{
    static const uint64_t sizes[] = {16384, DISK_BLOCK_BYTES, META_BYTES, META_BYTES + DISK_BLOCK_BYTES,
                                     65536};
    struct disk disk = memory_disk(&memory);
    struct meta meta = sample(2), out;
    for (unsigned i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
        uint8_t *bytes = written(&meta);
        struct memory_file *file = &memory.file[memory_find(&memory, "meta")];
        wire_put_u16(bytes + 8, 1);
        memory_resize(file, sizes[i]);
        wire_put_u32(file->bytes + 4, wal_crc(0, file->bytes + 8, sizes[i] - 8));
        CU_ASSERT_EQUAL(meta_read(&out, &disk), -EPROTONOSUPPORT);
        file->bytes[sizes[i] - 1] ^= 1;
        CU_ASSERT_EQUAL(meta_read(&out, &disk), -EBADMSG);
    }
}

static void an_lsn_belongs_to_the_history_that_began_at_or_below_it(void)
{
    struct meta meta = sample(3);
    CU_ASSERT_PTR_NULL(meta_history_of(&meta, 0));
    CU_ASSERT_PTR_NULL(meta_history_of(&meta, ((uint64_t)1 << 32) - 1));
    CU_ASSERT_EQUAL(meta_history_of(&meta, (uint64_t)1 << 32)->id, 1000);
    CU_ASSERT_EQUAL(meta_history_of(&meta, ((uint64_t)2 << 32) - 1)->id, 1000);
    CU_ASSERT_EQUAL(meta_history_of(&meta, (uint64_t)2 << 32)->id, 1001);
    CU_ASSERT_EQUAL(meta_history_of(&meta, UINT64_MAX)->id, 1002);
}

static void what_lies_between_two_histories_is_lost(void)
{
    struct meta meta = sample(3); /* begin at 1, 2, 3 << 32, after 0, (1 << 32) + 1, (2 << 32) + 2 */
    uint64_t second = (uint64_t)2 << 32;
    CU_ASSERT(meta_lsn_is_lost(&meta, second - 1));
    CU_ASSERT(meta_lsn_is_lost(&meta, ((uint64_t)1 << 32) + 2));
    CU_ASSERT_FALSE(meta_lsn_is_lost(&meta, ((uint64_t)1 << 32) + 1));
    CU_ASSERT_FALSE(meta_lsn_is_lost(&meta, second));
    CU_ASSERT_FALSE(meta_lsn_is_lost(&meta, ((uint64_t)3 << 32) + 1000));
    CU_ASSERT_EQUAL(meta_last_lsn(&meta, second), ((uint64_t)1 << 32) + 1);
    CU_ASSERT_EQUAL(meta_last_lsn(&meta, second + 1), second);
    CU_ASSERT_EQUAL(meta_last_lsn(&meta, 0), 0);
}

static void a_new_history_begins_above_every_lsn_and_history(void)
{
    struct meta meta = {0};
    CU_ASSERT_EQUAL(meta_next_first_lsn(&meta, 0, 1), (uint64_t)1 << 32);
    meta = sample(3);
    CU_ASSERT_EQUAL(meta_next_first_lsn(&meta, 0, 1), (uint64_t)4 << 32);
    CU_ASSERT_EQUAL(meta_next_first_lsn(&meta, (uint64_t)3 << 32, 1), (uint64_t)4 << 32);
    CU_ASSERT_EQUAL(meta_next_first_lsn(&meta, ((uint64_t)4 << 32) - 1, 1), (uint64_t)4 << 32);
    CU_ASSERT_EQUAL(meta_next_first_lsn(&meta, (uint64_t)4 << 32, 1), (uint64_t)5 << 32);
    CU_ASSERT_EQUAL(meta_next_first_lsn(&meta, UINT64_MAX, 1), 0);
}

/* Neither knows of the other, and a client that was shown an LSN of one is not to be taken for the other's. */
static void two_who_go_on_from_one_log_in_epochs_of_their_own_share_no_lsn(void)
{
    struct meta meta = sample(3);
    uint32_t start = epoch_of_start(3), promoted = epoch_of_promotion(3);

    CU_ASSERT_EQUAL(meta_next_first_lsn(&meta, 0, start), (uint64_t)start << 32);
    CU_ASSERT_EQUAL(meta_next_first_lsn(&meta, 0, promoted), (uint64_t)promoted << 32);
    CU_ASSERT_EQUAL(meta_next_first_lsn(&meta, ((uint64_t)promoted << 32) + 7, promoted),
                    ((uint64_t)promoted + 1) << 32);
    CU_ASSERT_EQUAL(meta_next_first_lsn(&meta, 0, UINT32_MAX), (uint64_t)UINT32_MAX << 32);
    CU_ASSERT_EQUAL(meta_next_first_lsn(&meta, UINT64_MAX, UINT32_MAX), 0);
}

static void a_full_list_forgets_its_oldest(void)
{
    struct meta meta = sample(META_HISTORIES_MAX + 5);
    CU_ASSERT_EQUAL(meta.count, META_HISTORIES_MAX);
    CU_ASSERT_EQUAL(meta.history[0].id, 1005);
    CU_ASSERT_EQUAL(meta.history[META_HISTORIES_MAX - 1].id, 1000 + META_HISTORIES_MAX + 4);
}

static void names_are_read_as_they_are_written_and_no_other_way(void)
{
    static const uint64_t numbers[] = {1, 0xabcdef, UINT64_MAX, (uint64_t)1 << 32};
    static const char *const strangers[] = {
        "",
        "wal-",
        "wal-1",
        "wal-00000000000000001",
        "wal-000000000000000",
        "meta",
        "lock",
        "wal-000000000000000A",
        "wal-000000000000000 ",
        "Wal-0000000000000001",
        "snapshot.tmp",
        "snapshot-",
        "kept-wal-0000000000000001",
        "wal-+00000000000001a",
        "snapshot-000000000000001g",
    };
    char name[DISK_NAME_BYTES];
    uint64_t number;
    for (unsigned i = 0; i < sizeof numbers / sizeof numbers[0]; i++) {
        meta_segment_name(name, numbers[i]);
        CU_ASSERT(meta_is_segment(name, &number) && number == numbers[i] && !meta_is_snapshot(name, &number));
        meta_snapshot_name(name, numbers[i]);
        CU_ASSERT(meta_is_snapshot(name, &number) && number == numbers[i] && !meta_is_segment(name, &number));
    }
    meta_segment_name(name, 0x1a2b);
    CU_ASSERT_STRING_EQUAL(name, "wal-0000000000001a2b");
    for (unsigned i = 0; i < sizeof strangers / sizeof strangers[0]; i++)
        CU_ASSERT(!meta_is_segment(strangers[i], &number) && !meta_is_snapshot(strangers[i], &number));
}

int main(void)
{
    CU_TestInfo tests[] = {
        {"every number of histories comes back", every_number_of_histories_comes_back},
        {"every number of members comes back", every_number_of_members_comes_back},
        {"a folder without a history has no cluster", a_folder_without_a_history_has_no_cluster},
        {"every wrong field of members is noticed", every_wrong_field_of_members_is_noticed},
        {"another format is told from damage", another_format_is_told_from_damage},
        {"a log may begin again before an earlier start", a_log_may_begin_again_before_an_earlier_start},
        {"it is synced before it gets its name, and the name after",
         it_is_synced_before_it_gets_its_name_and_the_name_after},
        {"a failed write leaves a whole one", a_failed_write_leaves_a_whole_one},
        {"what the disk says is passed on", what_the_disk_says_is_passed_on},
        {"every flipped byte and other lengths are noticed",
         every_flipped_byte_and_other_lengths_are_noticed},
        {"every wrong field is noticed though the crc is right",
         every_wrong_field_is_noticed_though_the_crc_is_right},
        {"an LSN belongs to the history that began at or below it",
         an_lsn_belongs_to_the_history_that_began_at_or_below_it},
        {"what lies between two histories is lost", what_lies_between_two_histories_is_lost},
        {"a new history begins above every LSN and history",
         a_new_history_begins_above_every_lsn_and_history},
        {"two who go on from one log in epochs of their own share no LSN",
         two_who_go_on_from_one_log_in_epochs_of_their_own_share_no_lsn},
        {"a full list forgets its oldest", a_full_list_forgets_its_oldest},
        {"names are read as they are written, and no other way",
         names_are_read_as_they_are_written_and_no_other_way},
        CU_TEST_INFO_NULL};
    return suite_run_each("meta", set_up, tear_down, tests);
}
