/*
 * test_replica.c - a replica gets the primary's table and its log, says how far it is, and tells readers no more than it
 * may.
 */
#include "epoch.h"
#include "replica_fixture.h"
#include "replica_internal.h"
#include "table_walk.h"

static struct stage *s;

static void set_up(void)
{
    s = aligned_alloc(64, sizeof *s);
    stage_open(s);
}

static void tear_down(void)
{
    stage_close_all(s);
    free(s);
}

static void an_empty_replica_says_so(void)
{
    stage_until_hello(s);
    CU_ASSERT(s->hello.version == REPLICATION_VERSION && s->hello.flags == 0);
    CU_ASSERT(s->hello.node_id == 55 && s->hello.capacity == STAGE_CAPACITY && s->hello.client_port == 7878);
    CU_ASSERT(s->hello.history == 0 && s->hello.lsn == 0 && s->hello.epoch == 0);
    CU_ASSERT(wire_is_zero(s->hello.cluster_id, CLUSTER_ID_BYTES));
    CU_ASSERT_STRING_EQUAL(s->hello.name, "replica-1");
    CU_ASSERT_STRING_EQUAL(s->events, "publish(0,0) ");
    CU_ASSERT_EQUAL(stage_facts(s).phase, REPLICA_GREETING);
}

static void clients_are_sent_to_the_primary_by_their_own_network(void)
{
    static const uint8_t theirs[REPLICATION_ADDRESS_BYTES] = {[10] = 0xff, 0xff, 198, 18, 7, 9};
    CU_ASSERT(wire_is_zero(s->hello.client_address, REPLICATION_ADDRESS_BYTES));
    stage_primary_has(s, 1);
    stage_until_hello(s);
    memcpy(s->welcome.client_address, theirs, sizeof theirs);
    stage_welcome(s, WELCOME_BOOTSTRAP);
    CU_ASSERT(s->welcomed == 1 && s->client_host == 9 && s->client_port == 7979);
}

static void it_bootstraps_from_a_log_that_has_no_snapshot(void)
{
    stage_primary_has(s, 30);
    stage_until_hello(s);
    stage_welcome(s, WELCOME_BOOTSTRAP);
    CU_ASSERT_EQUAL(s->acks, 1); /* the table is empty */
    CU_ASSERT(s->ack.applied_lsn == 0 && s->ack.durable_lsn == 0 && s->ack.state == REPLICA_CATCHING_UP);
    CU_ASSERT_EQUAL(stage_facts(s).phase, REPLICA_LOADING);
    CU_ASSERT(s->welcomed == 1 && s->client_port == 7979 && s->histories.count == 1);
    CU_ASSERT_EQUAL(s->client_host, 1); /* where the connection goes to */
    CU_ASSERT(s->histories.history[0].id == 0x11 && s->histories.node_id == 7);
    stage_begin(s, 0, 0);
    stage_end(s, 0, 0);
    CU_ASSERT_EQUAL(stage_facts(s).phase, REPLICA_FOLLOWING);
    stage_block(s, 0x11, STAGE_FIRST, 0);
    stage_block(s, 0x11, STAGE_FIRST, 10);
    CU_ASSERT_FALSE(s->view.serving); /* 30 were durable when it came */
    CU_ASSERT_EQUAL(s->ack.applied_lsn, STAGE_FIRST + 9);
    stage_block(s, 0x11, STAGE_FIRST + 10, 19);
    CU_ASSERT_FALSE(s->view.serving);
    CU_ASSERT_EQUAL(s->ack.state, REPLICA_CATCHING_UP);
    stage_block(s, 0x11, STAGE_FIRST + 29, 1);
    CU_ASSERT(s->view.serving && s->view.history == 0x11 && s->view.epoch == 1);
    CU_ASSERT_EQUAL(s->point, STAGE_FIRST + 29);
    CU_ASSERT_EQUAL(s->ack.state, REPLICA_SERVING);
    CU_ASSERT_EQUAL(s->ack.echo_ns, s->sent_ns);
    CU_ASSERT_EQUAL(stage_items(s), 30);
    for (unsigned i = 0; i < 30; i++)
        CU_ASSERT(stage_has(s, STAGE_FIRST + i));
    CU_ASSERT_EQUAL(stage_counted(s, REPLICATION_applied_records), 30);
    CU_ASSERT_EQUAL(stage_counted(s, REPLICATION_applied_blocks), 4);
    CU_ASSERT_EQUAL(stage_counted(s, REPLICATION_bootstraps), 1);
    CU_ASSERT_EQUAL(stage_counted(s, REPLICATION_sessions), 1);
}

/* The table is larger than what a turn puts in its place. */
static void the_end_of_loading_takes_turns_and_the_log_goes_on_meanwhile(void)
{
    enum { CAPACITY = 40000, ITEMS = 1000 };
    unsigned turns = 0;
    stage_close_all(s);
    stage_open_sized(s, CAPACITY);
    unsigned expected = table_bucket_count(s->table.table) / REPLICA_MOVE_BUCKETS;
    CU_ASSERT_TRUE_FATAL(expected > 3);
    stage_primary_has(s, ITEMS + 40);
    stage_until_hello(s);
    stage_welcome(s, WELCOME_BOOTSTRAP);
    stage_begin(s, STAGE_FIRST + ITEMS - 1, 0);
    stage_chunk(s, STAGE_FIRST, ITEMS);
    struct replication_message end = {.type = REPLICATION_SNAPSHOT_END,
                                      .end = {.end_lsn = STAGE_FIRST + ITEMS - 1, .items = ITEMS}};
    stage_send(s, &end, NULL);
    while (stage_deliver(s))
        ;
    CU_ASSERT_EQUAL(stage_facts(s).phase, REPLICA_LOADING);
    while (stage_facts(s).phase == REPLICA_LOADING && turns <= expected) {
        static uint8_t bytes[WAL_BLOCK_BYTES_MAX];
        CU_ASSERT_FALSE(stage_facts(s).has_data);
        stage_send_block(s, bytes, stage_make_block(s, bytes, 0x11, STAGE_FIRST + ITEMS + turns, 1));
        while (stage_deliver(s))
            ;
        CU_ASSERT_EQUAL(stage_facts(s).applied_lsn, STAGE_FIRST + ITEMS + turns);
        CU_ASSERT_EQUAL(s->ack.applied_lsn, 0); /* nobody may see it yet */
        CU_ASSERT_TRUE(replica_turn(s->replica, s->now_ns, s->wall_ms) > 0);
        turns++;
    }
    CU_ASSERT_EQUAL(stage_facts(s).phase, REPLICA_FOLLOWING);
    CU_ASSERT_EQUAL(turns, expected); /* the first part was done with the message */
    CU_ASSERT_EQUAL(stage_counted(s, REPLICATION_bootstraps), 1);
    CU_ASSERT_FALSE(s->view.serving);
    stage_block(s, 0x11, STAGE_FIRST + ITEMS + turns, 40 - turns);
    CU_ASSERT_TRUE(s->view.serving);
    CU_ASSERT_EQUAL(stage_items(s), ITEMS + 40);
    for (unsigned i = 0; i < ITEMS + 40; i++)
        CU_ASSERT(stage_has(s, STAGE_FIRST + i));
}

/* What was begun is given up, and begun again. */
static void a_session_that_ends_at_the_end_of_loading_has_loaded_nothing(void)
{
    stage_close_all(s);
    stage_open_sized(s, 40000);
    stage_primary_has(s, 100);
    for (unsigned round = 0; round < 3; round++) {
        stage_until_hello(s);
        CU_ASSERT_EQUAL(s->hello.flags & HELLO_HAS_DATA, 0);
        stage_welcome(s, WELCOME_BOOTSTRAP);
        stage_begin(s, STAGE_FIRST + 99, 0);
        stage_chunk(s, STAGE_FIRST, 100);
        struct replication_message end = {.type = REPLICATION_SNAPSHOT_END,
                                          .end = {.end_lsn = STAGE_FIRST + 99, .items = 100}};
        stage_send(s, &end, NULL);
        while (stage_deliver(s))
            ;
        CU_ASSERT_EQUAL(stage_facts(s).phase, REPLICA_LOADING);
        if (round < 2)
            stage_cut(s);
        stage_run(s);
        CU_ASSERT_EQUAL(stage_facts(s).has_data, round == 2);
    }
    CU_ASSERT_TRUE(s->view.serving);
    CU_ASSERT_EQUAL(stage_items(s), 100);
}

/* A fuzzy snapshot: items are newer than its start, and one that the log takes away again. */
static void it_bootstraps_from_a_snapshot_while_the_log_goes_on(void)
{
    stage_primary_has(s, 150);
    stage_until_hello(s);
    stage_welcome(s, WELCOME_BOOTSTRAP);
    stage_begin(s, STAGE_FIRST + 99, STAGE_FIRST + 20);
    stage_chunk(s, STAGE_FIRST + 20, 40);
    stage_chunk(s, STAGE_FIRST + 105, 5);
    CU_ASSERT(stage_facts(s).loaded_bytes > 0 && stage_facts(s).loading_bytes == 4096);
    stage_end(s, STAGE_FIRST + 119, 45);
    CU_ASSERT_EQUAL(stage_facts(s).phase, REPLICA_LOADING);
    CU_ASSERT_EQUAL(s->ack.applied_lsn, 0);
    stage_block(s, 0x11, STAGE_FIRST + 100, 10);
    CU_ASSERT_EQUAL(s->ack.applied_lsn, 0); /* nobody may see it yet */
    CU_ASSERT_FALSE(stage_facts(s).has_data);
    stage_block(s, 0x11, STAGE_FIRST + 110, 10);
    CU_ASSERT_EQUAL(stage_facts(s).phase, REPLICA_FOLLOWING);
    CU_ASSERT_EQUAL(s->ack.applied_lsn, STAGE_FIRST + 119);
    CU_ASSERT_FALSE(s->view.serving);
    stage_block(s, 0x11, STAGE_FIRST + 120, 30);
    CU_ASSERT_TRUE(s->view.serving);
    CU_ASSERT_EQUAL(stage_items(s), 40 + 50);
    CU_ASSERT_TRUE(stage_has(s, STAGE_FIRST + 59));
    CU_ASSERT_FALSE(stage_has(s, STAGE_FIRST + 60));
    CU_ASSERT_TRUE(stage_has(s, STAGE_FIRST + 149));
}

/* The primary was started with a smaller --capacity since: what counts is whether all of it fits. */
static void a_snapshot_of_a_larger_table_is_loaded_if_it_fits(void)
{
    struct replication_message begin = {
        .type = REPLICATION_SNAPSHOT_BEGIN,
        .begin = {.start_lsn = STAGE_FIRST + 19, .capacity = 10 * STAGE_CAPACITY, .wall_ms = s->wall_ms}};

    stage_primary_has(s, 20);
    stage_until_hello(s);
    stage_welcome(s, WELCOME_BOOTSTRAP);
    stage_send(s, &begin, NULL);
    stage_run(s);
    stage_chunk(s, STAGE_FIRST, 20);
    stage_end(s, STAGE_FIRST + 19, 20);
    CU_ASSERT(s->view.serving && stage_items(s) == 20);
}

static void a_snapshot_of_more_than_the_capacity_is_brought_down_by_the_log(void)
{
    static uint8_t bytes[WAL_BLOCK_BYTES_MAX];
    struct wal_block block = {.first_lsn = STAGE_FIRST + 600, .history = 0x11, .durable_lsn = STAGE_FIRST};
    stage_primary_has(s, 900);
    stage_until_hello(s);
    stage_welcome(s, WELCOME_BOOTSTRAP);
    stage_begin(s, STAGE_FIRST + 599, 0);
    stage_chunk(s, STAGE_FIRST, 600);
    stage_end(s, STAGE_FIRST + 899, 600);
    for (unsigned i = 0; i < 300; i++) {
        char key[24];
        snprintf(key, sizeof key, "key-%u", i);
        struct log_record record = {.lsn = block.first_lsn + block.count++,
                                    .type = LOG_DELETE,
                                    .reason = LOG_REASON_REQUEST,
                                    .key = (const uint8_t *)key,
                                    .key_length = (uint8_t)strlen(key)};
        block.records_bytes +=
            log_record_encode(bytes + WAL_BLOCK_HEADER_BYTES + block.records_bytes, &record);
    }
    wal_block_encode(bytes, &block);
    stage_send_block(s, bytes, block.length);
    stage_run(s);
    CU_ASSERT_TRUE(s->view.serving);
    CU_ASSERT_EQUAL(stage_items(s), 300);
    CU_ASSERT_TRUE(stage_has(s, STAGE_FIRST + 599));
}

static void nothing_is_cleared_before_no_reader_can_be_in_it(void)
{
    stage_follow(s, 20);
    stage_cut(s);
    stage_until_hello(s);
    s->hold_quiescence = true;
    s->events[0] = 0;
    stage_welcome(s, WELCOME_BOOTSTRAP);
    CU_ASSERT_STRING_EQUAL(s->events, "publish(0,11) ");
    unsigned asked = s->asked_quiescent, acks = s->acks;
    stage_heartbeat(s, STAGE_FIRST + 19);
    stage_pass(s, 5);
    CU_ASSERT(s->asked_quiescent > asked && stage_facts(s).phase == REPLICA_HIDING);
    CU_ASSERT_EQUAL(stage_items(s), 20);
    CU_ASSERT_EQUAL(s->acks, acks); /* an ACK would say that it is empty */
    s->hold_quiescence = false;
    stage_run(s);
    CU_ASSERT_EQUAL(stage_items(s), 0);
    CU_ASSERT_EQUAL(stage_facts(s).phase, REPLICA_LOADING);
    CU_ASSERT_EQUAL(s->acks, acks + 1);
    CU_ASSERT_STRING_EQUAL(s->events, "publish(0,11) publish(0,0) point(0) ");
}

static void what_was_only_hidden_is_shown_again_when_the_session_ends(void)
{
    stage_follow(s, 20);
    stage_cut(s);
    stage_until_hello(s);
    s->hold_quiescence = true;
    stage_welcome(s, WELCOME_BOOTSTRAP);
    CU_ASSERT_FALSE(s->view.serving);
    stage_cut(s);
    CU_ASSERT(s->view.serving && s->view.history == 0x11);
    CU_ASSERT_EQUAL(stage_items(s), 20);
    stage_until_hello(s);
    CU_ASSERT_EQUAL(s->hello.flags, HELLO_HAS_DATA);
}

static void it_goes_on_where_it_was_and_serves_meanwhile(void)
{
    stage_follow(s, 20);
    stage_cut(s);
    CU_ASSERT_TRUE(s->view.serving);
    stage_primary_has(s, 50);
    stage_until_hello(s);
    CU_ASSERT_EQUAL(s->hello.flags, HELLO_HAS_DATA);
    CU_ASSERT(s->hello.history == 0x11 && s->hello.lsn == STAGE_FIRST + 19 && s->hello.epoch == 1);
    CU_ASSERT_EQUAL(memcmp(s->hello.cluster_id, s->welcome.cluster_id, CLUSTER_ID_BYTES), 0);
    stage_welcome(s, WELCOME_RESUME);
    CU_ASSERT_EQUAL(stage_facts(s).phase, REPLICA_FOLLOWING);
    CU_ASSERT_TRUE(s->view.serving);
    stage_block(s, 0x11, STAGE_FIRST + 20, 30);
    CU_ASSERT_EQUAL(s->point, STAGE_FIRST + 49);
    CU_ASSERT_EQUAL(stage_items(s), 50);
    CU_ASSERT_EQUAL(stage_counted(s, REPLICATION_bootstraps), 1);
    CU_ASSERT_EQUAL(stage_counted(s, REPLICATION_sessions), 2);
}

/* Another primary may have cut the log into other blocks: the first may hold what is applied. */
static void the_first_block_of_a_session_may_begin_with_what_is_applied(void)
{
    static uint8_t bytes[WAL_BLOCK_BYTES_MAX];
    stage_follow(s, 20);
    /* change 20: key-3 is gone */
    struct wal_block block = {
        .first_lsn = STAGE_FIRST + 20, .history = 0x11, .durable_lsn = STAGE_FIRST, .count = 1};
    struct log_record gone = {.lsn = STAGE_FIRST + 20,
                              .type = LOG_DELETE,
                              .reason = LOG_REASON_REQUEST,
                              .key = (const uint8_t *)"key-3",
                              .key_length = 5};
    block.records_bytes = log_record_encode(bytes + WAL_BLOCK_HEADER_BYTES, &gone);
    wal_block_encode(bytes, &block);
    stage_send_block(s, bytes, block.length);
    stage_run(s);
    CU_ASSERT_FALSE(stage_has(s, STAGE_FIRST + 3));
    stage_cut(s);
    stage_until_hello(s);
    CU_ASSERT_EQUAL(s->hello.lsn, STAGE_FIRST + 20);
    stage_welcome(s, WELCOME_RESUME);
    stage_block(s, 0x11, STAGE_FIRST + 2, 28);
    CU_ASSERT_EQUAL(stage_facts(s).applied_lsn, STAGE_FIRST + 29);
    CU_ASSERT_FALSE(stage_has(s, STAGE_FIRST + 3)); /* not brought back */
    CU_ASSERT_TRUE(stage_has(s, STAGE_FIRST + 29));
    CU_ASSERT_EQUAL(stage_counted(s, REPLICATION_applied_records), 30);
    /* but no later one */
    stage_block(s, 0x11, STAGE_FIRST + 29, 2);
    CU_ASSERT_EQUAL(stage_counted(s, REPLICATION_gaps), 1);
}

static void a_session_may_be_cut_at_any_byte(void)
{
    /* as many bytes as a session brings that resumes and has two blocks */
    for (uint64_t cut = 0; cut < 2500; cut += cut < 400 ? 1 : 13) {
        unsigned had;
        stage_close_all(s);
        stage_open(s);
        stage_follow(s, 20);
        stage_cut(s);
        s->cut_after = cut;
        s->piece = cut % 7 == 0 ? 1 : 100;
        unsigned hellos = s->hellos;
        for (unsigned ms = 0; ms < 4000 && s->cut_after != UINT64_MAX && s->hellos == hellos; ms++)
            stage_pass(s, 1);
        stage_primary_has(s, 40);
        if (s->cut_after != UINT64_MAX && s->primary_up && s->hellos > hellos) {
            static uint8_t bytes[WAL_BLOCK_BYTES_MAX];
            struct replication_message message = {.type = REPLICATION_WELCOME, .welcome = s->welcome};
            message.welcome.start = WELCOME_RESUME;
            stage_send(s, &message, NULL);
            stage_send_block(s, bytes, stage_make_block(s, bytes, 0x11, STAGE_FIRST + 20, 10));
            stage_send_block(s, bytes, stage_make_block(s, bytes, 0x11, STAGE_FIRST + 30, 10));
            stage_run(s);
        }
        had = (unsigned)stage_items(s);
        CU_ASSERT(had == 20 || had == 30 || had == 40);
        CU_ASSERT(s->view.serving && s->point == STAGE_FIRST - 1 + had);
        s->cut_after = UINT64_MAX;
        s->piece = 0;
        if (s->linked)
            stage_cut(s);
        stage_until_hello(s);
        CU_ASSERT_EQUAL(s->hello.lsn, STAGE_FIRST - 1 + had);
        stage_welcome(s, WELCOME_RESUME);
        if (had < 40)
            stage_block(s, 0x11, STAGE_FIRST + had, 40 - had);
        CU_ASSERT_EQUAL(stage_items(s), 40);
        CU_ASSERT_EQUAL(stage_counted(s, REPLICATION_not_in_order) + stage_counted(s, REPLICATION_gaps), 0);
    }
}

static void a_history_goes_on_where_the_one_before_ended(void)
{
    stage_follow(s, 20);
    stage_cut(s);
    stage_second_history(s, STAGE_FIRST + 24);
    stage_until_hello(s);
    stage_welcome(s, WELCOME_RESUME);
    stage_block(s, 0x11, STAGE_FIRST + 20, 5);
    CU_ASSERT_EQUAL(s->view.history, 0x11);
    stage_block(s, 0x22, STAGE_SECOND, 0);
    CU_ASSERT(s->view.history == 0x22 && s->view.epoch == 2 && s->view.serving);
    CU_ASSERT_EQUAL(s->ack.applied_lsn, STAGE_SECOND - 1); /* there is nothing between */
    CU_ASSERT_EQUAL(s->point, STAGE_SECOND - 1);
    stage_block(s, 0x22, STAGE_SECOND, 3);
    CU_ASSERT_TRUE(stage_has(s, STAGE_SECOND + 2));
    CU_ASSERT_EQUAL(stage_counted(s, REPLICATION_gaps), 0);
}

/* Idle restarts of the primary: histories that have no change. What opened them comes again. */
static void histories_without_a_change_may_be_told_again(void)
{
    stage_follow(s, 20);
    stage_cut(s);
    stage_second_history(s, STAGE_FIRST + 19);
    s->history[2] = (struct replication_history){
        .id = 0x33, .first_lsn = STAGE_THIRD, .node_id = 7, .before_lsn = STAGE_FIRST + 19, .epoch = 3};
    s->welcome.histories = 3;
    s->welcome.epoch = 3;
    s->welcome.durable_lsn = s->welcome.acknowledged_lsn = s->acknowledged_lsn = STAGE_THIRD - 1;
    for (unsigned round = 0; round < 2; round++) {
        stage_until_hello(s);
        CU_ASSERT(s->hello.history == 0x11 && s->hello.lsn == STAGE_FIRST + 19);
        s->events[0] = 0;
        stage_welcome(s, WELCOME_RESUME);
        stage_block(s, 0x22, STAGE_SECOND, 0);
        stage_block(s, 0x33, STAGE_THIRD, 0);
        CU_ASSERT_STRING_EQUAL(s->events, round == 0 ? "point(4294967295) publish(1,22) "
                                                       "point(8589934591) publish(1,33) "
                                                     : ""); /* nothing goes back */
        CU_ASSERT_EQUAL(s->ack.applied_lsn, STAGE_THIRD - 1);
        CU_ASSERT_EQUAL(s->view.history, 0x33);
        stage_cut(s);
    }
    /* the third came to nothing: another was promoted */
    s->history[2] = (struct replication_history){.id = 0x44,
                                                 .first_lsn = 2 * STAGE_SECOND,
                                                 .node_id = 8,
                                                 .before_lsn = STAGE_FIRST + 19,
                                                 .epoch = epoch_of_promotion(3)};
    s->welcome.epoch = epoch_of_promotion(3);
    stage_until_hello(s);
    CU_ASSERT(s->hello.history == 0x11 && s->hello.lsn == STAGE_FIRST + 19);
    stage_welcome(s, WELCOME_RESUME);
    stage_block(s, 0x22, STAGE_SECOND, 0);
    stage_block(s, 0x44, 2 * STAGE_SECOND, 2);
    CU_ASSERT_TRUE(stage_has(s, 2 * STAGE_SECOND + 1));
    CU_ASSERT_EQUAL(stage_counted(s, REPLICATION_gaps), 0);
}

/* The position of a snapshot may lie before the mark that opens the history, or behind it. */
static void a_snapshot_at_the_start_of_a_history_is_followed(void)
{
    for (unsigned mark = 0; mark < 2; mark++) {
        stage_close_all(s);
        stage_open(s);
        stage_second_history(s, STAGE_FIRST + 19);
        stage_until_hello(s);
        stage_welcome(s, WELCOME_BOOTSTRAP);
        stage_begin(s, STAGE_SECOND - 1, 0);
        stage_chunk(s, STAGE_FIRST, 20);
        stage_end(s, STAGE_SECOND - 1, 20);
        CU_ASSERT(s->view.serving && s->view.history == 0x22 && s->view.epoch == 2);
        if (mark == 1)
            stage_block(s, 0x22, STAGE_SECOND, 0);
        stage_cut(s);
        stage_until_hello(s);
        CU_ASSERT(s->hello.history == 0x11 && s->hello.lsn == STAGE_FIRST + 19);
        stage_welcome(s, WELCOME_RESUME);
        stage_block(s, 0x22, STAGE_SECOND, 4);
        CU_ASSERT_TRUE(stage_has(s, STAGE_SECOND + 3));
        CU_ASSERT_EQUAL(s->hello.epoch, 2);
    }
}

static void a_log_without_a_change_is_whole_too(void)
{
    stage_follow(s, 0);
    CU_ASSERT_EQUAL(s->point, STAGE_FIRST - 1);
    stage_cut(s);
    stage_until_hello(s);
    CU_ASSERT(s->hello.flags == HELLO_HAS_DATA && s->hello.history == 0x11 && s->hello.lsn == 0);
    stage_second_history(s, 0);
    stage_welcome(s, WELCOME_RESUME);
    stage_block(s, 0x22, STAGE_SECOND, 2);
    CU_ASSERT_TRUE(stage_has(s, STAGE_SECOND + 1));
}

static void readers_are_shown_what_is_acknowledged(void)
{
    stage_follow(s, 20);
    CU_ASSERT_EQUAL(s->point, STAGE_FIRST + 19);
    stage_block(s, 0x11, STAGE_FIRST + 20, 10); /* acknowledged are still 20 */
    CU_ASSERT_EQUAL(s->point, STAGE_FIRST + 19);
    CU_ASSERT_EQUAL(s->ack.applied_lsn, STAGE_FIRST + 29);
    s->acknowledged_lsn = STAGE_FIRST + 25;
    stage_heartbeat(s, STAGE_FIRST + 29);
    CU_ASSERT_EQUAL(s->point, STAGE_FIRST + 25);
    s->acknowledged_lsn = STAGE_FIRST + 5; /* it never goes back */
    stage_heartbeat(s, STAGE_FIRST + 29);
    CU_ASSERT_EQUAL(s->point, STAGE_FIRST + 25);
    s->acknowledged_lsn = STAGE_FIRST + 999; /* nor beyond what is applied */
    stage_heartbeat(s, STAGE_FIRST + 29);
    CU_ASSERT_EQUAL(s->point, STAGE_FIRST + 29);
    stage_cut(s);
    s->welcome.acknowledged_lsn = s->acknowledged_lsn = STAGE_FIRST + 2;
    stage_until_hello(s);
    stage_welcome(s, WELCOME_RESUME);
    CU_ASSERT_EQUAL(s->point, STAGE_FIRST + 29);
}

static void over_a_bootstrap_the_point_is_nought_until_it_serves(void)
{
    stage_follow(s, 20);
    stage_cut(s);
    stage_until_hello(s);
    s->events[0] = 0;
    stage_primary_has(s, 15); /* of another's line: lower than what was shown */
    s->acknowledged_lsn = s->welcome.acknowledged_lsn = STAGE_FIRST + 12;
    stage_welcome(s, WELCOME_BOOTSTRAP);
    stage_begin(s, STAGE_FIRST + 9, 0);
    stage_chunk(s, STAGE_FIRST, 10);
    stage_end(s, STAGE_FIRST + 9, 10);
    stage_block(s, 0x11, STAGE_FIRST + 10, 3);
    CU_ASSERT_EQUAL(s->point, 0);
    stage_block(s, 0x11, STAGE_FIRST + 13, 2);
    CU_ASSERT_STRING_EQUAL(s->events,
                           "publish(0,11) publish(0,0) point(0) publish(0,11) point(12) publish(1,11) ");
}

static void an_ack_follows_what_is_applied_and_echoes_it(void)
{
    stage_follow(s, 20);
    unsigned acks = s->acks;
    stage_heartbeat(s, STAGE_FIRST + 19);
    CU_ASSERT_EQUAL(s->acks, acks + 1);
    CU_ASSERT(s->ack.echo_ns == s->sent_ns && s->ack.applied_lsn == STAGE_FIRST + 19);
    stage_block(s, 0x11, STAGE_FIRST + 20, 1);
    CU_ASSERT_EQUAL(s->acks, acks + 2);
    CU_ASSERT(s->ack.echo_ns == s->sent_ns && s->ack.applied_lsn == STAGE_FIRST + 20);
    /* without room for it, the last is said when there is some */
    s->pair->end[STAGE_REPLICA].no_room = true;
    uint64_t echo = s->sent_ns;
    stage_block(s, 0x11, STAGE_FIRST + 21, 1);
    stage_block(s, 0x11, STAGE_FIRST + 22, 1);
    CU_ASSERT(s->acks == acks + 2 && s->ack.echo_ns == echo);
    s->pair->end[STAGE_REPLICA].no_room = false;
    stage_run(s);
    CU_ASSERT(s->ack.echo_ns == s->sent_ns && s->ack.applied_lsn == STAGE_FIRST + 22);
    CU_ASSERT(s->acks <= acks + 4);
}

static void time_comes_with_the_log(void)
{
    static uint8_t bytes[WAL_BLOCK_BYTES_MAX];
    stage_follow(s, 20);
    struct wal_block block = {.first_lsn = STAGE_FIRST + 20,
                              .history = 0x11,
                              .durable_lsn = STAGE_FIRST,
                              .count = 2,
                              .wall_ms = 6000};
    for (unsigned i = 0; i < 2; i++) {
        struct log_record record = {.lsn = STAGE_FIRST + 20 + i,
                                    .expiry_ms = i == 0 ? 7000 : 8000,
                                    .type = LOG_SET,
                                    .key = (const uint8_t *)"ab" + i,
                                    .key_length = 1};
        block.records_bytes +=
            log_record_encode(bytes + WAL_BLOCK_HEADER_BYTES + block.records_bytes, &record);
    }
    wal_block_encode(bytes, &block);
    stage_send_block(s, bytes, block.length);
    stage_run(s);
    CU_ASSERT_EQUAL(fixture_get(&s->table, "a"), STATUS_OK);
    s->wall_ms = 7000;
    stage_block(s, 0x11, STAGE_FIRST + 22, 0); /* a mark */
    CU_ASSERT_EQUAL(fixture_get(&s->table, "a"), STATUS_NOT_FOUND);
    CU_ASSERT_EQUAL(fixture_get(&s->table, "b"), STATUS_OK);
    s->wall_ms = 8000;
    stage_heartbeat(s, STAGE_FIRST + 21);
    CU_ASSERT_EQUAL(fixture_get(&s->table, "b"), STATUS_NOT_FOUND);
}

/* --min-replicas: what the snapshot does not have any more may have been deleted by a change that a failover takes back. */
static void a_snapshot_is_shown_when_what_it_began_with_is_acknowledged(void)
{
    s->welcome.durable_lsn = STAGE_FIRST + 29;
    s->welcome.acknowledged_lsn = s->acknowledged_lsn = STAGE_FIRST + 4;
    stage_until_hello(s);
    stage_welcome(s, WELCOME_BOOTSTRAP);
    stage_begin(s, STAGE_FIRST + 19, 0);
    stage_chunk(s, STAGE_FIRST, 20);
    stage_end(s, STAGE_FIRST + 19, 20);
    stage_block(s, 0x11, STAGE_FIRST + 20, 10);
    CU_ASSERT_EQUAL(s->ack.applied_lsn, STAGE_FIRST + 29); /* it counts, so that this comes to an end */
    CU_ASSERT_FALSE(s->view.serving);
    s->acknowledged_lsn = STAGE_FIRST + 18;
    stage_heartbeat(s, STAGE_FIRST + 29);
    CU_ASSERT_FALSE(s->view.serving);
    s->acknowledged_lsn = STAGE_FIRST + 19;
    stage_heartbeat(s, STAGE_FIRST + 29);
    CU_ASSERT(s->view.serving && s->point == STAGE_FIRST + 19);
}

static void it_knows_since_when_it_is_behind(void)
{
    stage_follow(s, 20);
    CU_ASSERT_EQUAL(stage_facts(s).behind_ns, 0);
    uint64_t since = s->now_ns;
    stage_heartbeat(s, STAGE_FIRST + 40);
    CU_ASSERT(stage_facts(s).behind_ns == since && stage_facts(s).primary_lsn == STAGE_FIRST + 40);
    stage_pass(s, 10);
    stage_block(s, 0x11, STAGE_FIRST + 20, 5);
    CU_ASSERT_EQUAL(stage_facts(s).behind_ns, since);
    stage_block(s, 0x11, STAGE_FIRST + 25, 16);
    CU_ASSERT_EQUAL(stage_facts(s).behind_ns, 0);
    CU_ASSERT(stage_facts(s).heard_ns >= since);
}

/* The primary's start came to nothing, and another that knew nothing of it took the same place in the log. */
static void a_history_that_was_opened_for_nothing_is_forgotten(void)
{
    stage_follow(s, 20);
    stage_cut(s);
    stage_second_history(s, STAGE_FIRST + 19);
    s->history[2] = (struct replication_history){
        .id = 0x33, .first_lsn = STAGE_THIRD, .node_id = 7, .before_lsn = STAGE_FIRST + 19, .epoch = 3};
    s->welcome.histories = 3;
    s->welcome.epoch = 3;
    stage_until_hello(s);
    stage_welcome(s, WELCOME_RESUME);
    stage_block(s, 0x22, STAGE_SECOND, 0);
    stage_block(s, 0x33, STAGE_THIRD, 0);
    stage_cut(s);
    s->history[1] = (struct replication_history){.id = 0x55,
                                                 .first_lsn = STAGE_SECOND,
                                                 .node_id = 8,
                                                 .before_lsn = STAGE_FIRST + 19,
                                                 .epoch = epoch_of_promotion(3)};
    s->welcome.histories = 2;
    s->welcome.epoch = epoch_of_promotion(3);
    stage_until_hello(s);
    stage_welcome(s, WELCOME_RESUME);
    stage_block(s, 0x55, STAGE_SECOND, 2);
    CU_ASSERT(s->view.history == 0x55 && s->view.epoch == epoch_of_promotion(3) &&
              stage_has(s, STAGE_SECOND + 1));
    CU_ASSERT_EQUAL(stage_counted(s, REPLICATION_gaps), 0);
}

int main(void)
{
    CU_TestInfo tests[] = {
        {"an empty replica says so", an_empty_replica_says_so},
        {"clients are sent to the primary by their own network",
         clients_are_sent_to_the_primary_by_their_own_network},
        {"it bootstraps from a log that has no snapshot", it_bootstraps_from_a_log_that_has_no_snapshot},
        {"it bootstraps from a snapshot while the log goes on",
         it_bootstraps_from_a_snapshot_while_the_log_goes_on},
        {"the end of loading takes turns, and the log goes on meanwhile",
         the_end_of_loading_takes_turns_and_the_log_goes_on_meanwhile},
        {"a session that ends at the end of loading has loaded nothing",
         a_session_that_ends_at_the_end_of_loading_has_loaded_nothing},
        {"a snapshot of a larger table is loaded if it fits",
         a_snapshot_of_a_larger_table_is_loaded_if_it_fits},
        {"a snapshot of more than the capacity is brought down by the log",
         a_snapshot_of_more_than_the_capacity_is_brought_down_by_the_log},
        {"a snapshot is shown when what it began with is acknowledged",
         a_snapshot_is_shown_when_what_it_began_with_is_acknowledged},
        {"nothing is cleared before no reader can be in it",
         nothing_is_cleared_before_no_reader_can_be_in_it},
        {"what was only hidden is shown again when the session ends",
         what_was_only_hidden_is_shown_again_when_the_session_ends},
        {"it goes on where it was and serves meanwhile", it_goes_on_where_it_was_and_serves_meanwhile},
        {"the first block of a session may begin with what is applied",
         the_first_block_of_a_session_may_begin_with_what_is_applied},
        {"a session may be cut at any byte", a_session_may_be_cut_at_any_byte},
        {"a history goes on where the one before ended", a_history_goes_on_where_the_one_before_ended},
        {"histories without a change may be told again", histories_without_a_change_may_be_told_again},
        {"a history that was opened for nothing is forgotten",
         a_history_that_was_opened_for_nothing_is_forgotten},
        {"a snapshot at the start of a history is followed",
         a_snapshot_at_the_start_of_a_history_is_followed},
        {"a log without a change is whole too", a_log_without_a_change_is_whole_too},
        {"readers are shown what is acknowledged", readers_are_shown_what_is_acknowledged},
        {"over a bootstrap the point is nought until it serves",
         over_a_bootstrap_the_point_is_nought_until_it_serves},
        {"an ACK follows what is applied and echoes it", an_ack_follows_what_is_applied_and_echoes_it},
        {"time comes with the log", time_comes_with_the_log},
        {"it knows since when it is behind", it_knows_since_when_it_is_behind},
        CU_TEST_INFO_NULL};
    return suite_run_each("replica", set_up, tear_down, tests);
}
