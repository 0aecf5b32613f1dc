/*
 * test_replica_hostile.c - a primary that sends what it must not: the session ends and is counted, nothing of what is
 * wrong is applied, what was being loaded is given up whole, and a later session puts all of it right. WILD_SEED=S
 */
#include "replica_fixture.h"

static struct stage *s;
static uint8_t block_bytes[REPLICATION_PAYLOAD_BYTES_MAX];

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

/* The session ended, for that; what was applied stays and is served, and the next session goes on from there. */
static void expect_end(enum replication_counter counted, unsigned had)
{
    CU_ASSERT_EQUAL(stage_facts(s).phase, REPLICA_WAITING);
    CU_ASSERT_EQUAL(stage_counted(s, counted), 1);
    CU_ASSERT_EQUAL(stage_counted(s, REPLICATION_gaps) + stage_counted(s, REPLICATION_not_in_order), 1);
    CU_ASSERT(s->view.serving && stage_items(s) == had && s->point == STAGE_FIRST - 1 + had);
    stage_until_hello(s);
    CU_ASSERT(s->hello.flags == HELLO_HAS_DATA && s->hello.lsn == STAGE_FIRST - 1 + had);
    stage_welcome(s, WELCOME_RESUME);
    stage_block(s, 0x11, STAGE_FIRST + had, 5);
    CU_ASSERT_EQUAL(stage_items(s), had + 5);
    CU_ASSERT_EQUAL(stage_facts(s).phase, REPLICA_FOLLOWING);
}

static void begin_anew(void)
{
    stage_close_all(s);
    stage_open(s);
}

static void blocks_that_do_not_continue_are_gaps(void)
{
    static const struct {
        uint64_t history, first_lsn;
        uint32_t count;
    } bad[] = {
        {0x11, STAGE_FIRST + 21, 1}, /* one is missing */
        {0x11, STAGE_FIRST + 21, 0}, /* also where a mark says so */
        {0x11, STAGE_FIRST, 20},     /* again */
        {0x11, STAGE_FIRST + 19, 1}, /* the last again */
        {0x11, STAGE_FIRST + 19, 5}, /* the last again, and more: not the session's first block */
        {0x77, STAGE_FIRST + 20, 5}, /* no history of the primary's */
        {0x77, STAGE_SECOND, 5},     /* where one begins */
        {0x22, STAGE_FIRST + 20, 5}, /* one that is not there yet */
        {0x22, STAGE_SECOND, 5},     /* it goes on behind what we do not have */
        {0x22, STAGE_SECOND, 0},     /* its mark as well */
        {0x22, STAGE_SECOND + 1, 5}, /* not at its start */
        {0x11, STAGE_SECOND, 5},     /* the right place, the wrong one */
        {0x11, UINT64_MAX - 10, 5},  {0x11, 1, 5}, {0x22, 1, 0},
    };
    for (unsigned i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        begin_anew();
        stage_second_history(s, STAGE_FIRST + 29); /* ten more changes than we have */
        stage_until_hello(s);
        stage_primary_has(s, 20);
        s->welcome.durable_lsn = STAGE_FIRST + 19;
        stage_welcome(s, WELCOME_BOOTSTRAP);
        stage_begin(s, 0, 0);
        stage_end(s, 0, 0);
        stage_block(s, 0x11, STAGE_FIRST, 0);
        stage_block(s, 0x11, STAGE_FIRST, 20);
        CU_ASSERT_TRUE_FATAL(s->view.serving);
        stage_block(s, bad[i].history, bad[i].first_lsn, bad[i].count);
        expect_end(REPLICATION_gaps, 20);
        if (bad[i].first_lsn == STAGE_SECOND + 1) {
            stage_block(s, 0x11, STAGE_FIRST + 25, 5);
            stage_block(s, 0x22, STAGE_SECOND + 1, 5);
            CU_ASSERT_EQUAL(stage_counted(s, REPLICATION_gaps), 2);
            continue;
        }
        /* and the history that was wrong there is right where it belongs */
        stage_block(s, 0x11, STAGE_FIRST + 25, 5);
        stage_block(s, 0x22, STAGE_SECOND, 0);
        CU_ASSERT_EQUAL(s->view.history, 0x22);
        CU_ASSERT_EQUAL(stage_counted(s, REPLICATION_gaps), 1);
    }
}

static void a_primary_whose_log_does_not_fit_is_asked_ever_rarer(void)
{
    stage_follow(s, 20);
    stage_cut(s);
    uint64_t last_ns = s->now_ns;
    for (unsigned most = 50, i = 0; i < 8; i++, most = most < 1000 ? 2 * most : 2000) {
        stage_until_hello(s);
        CU_ASSERT(s->now_ns - last_ns >= most / 2 * UINT64_C(1000000));
        last_ns = s->now_ns;
        stage_welcome(s, WELCOME_RESUME);
        stage_block(s, 0x11, STAGE_FIRST + 40, 1);
    }
    CU_ASSERT_EQUAL(stage_lines_with(s, "does not continue"), 1);
    CU_ASSERT_EQUAL(stage_counted(s, REPLICATION_gaps), 8);
}

/* We have changes that the primary's line does not: it must not be taken for a continuation. */
static void a_history_that_begins_before_what_is_applied_is_a_gap(void)
{
    stage_follow(s, 20);
    stage_cut(s);
    stage_second_history(s, STAGE_FIRST + 9);
    stage_until_hello(s);
    stage_welcome(s, WELCOME_RESUME);
    stage_block(s, 0x22, STAGE_SECOND, 3);
    CU_ASSERT_EQUAL(stage_counted(s, REPLICATION_gaps), 1);
    CU_ASSERT(stage_items(s) == 20 && s->view.serving);
}

static void blocks_that_are_not_whole_are_not_applied(void)
{
    for (unsigned bad = 0; bad < 12; bad++) {
        begin_anew();
        stage_follow(s, 20);
        size_t length = stage_make_block(s, block_bytes, 0x11, STAGE_FIRST + 20, 10);
        size_t padded = wal_block_padded(length), sent = length;
        switch (bad) {
        case 0: /* a bit on its way through the primary's memory */
            block_bytes[length - 1] ^= 1;
            break;
        case 1:
            block_bytes[BLOCK_CRC] ^= 0x80;
            break;
        case 2:
            sent--;
            break;
        case 3:
            sent++;
            break;
        case 4:
            sent = padded;
            break;
        case 5:
            sent = 0;
            break;
        case 6:
            sent = WAL_BLOCK_HEADER_BYTES - 1;
            break;
        case 7: /* the last record is of no type that there is */
            block_bytes[length - 64 + 16] = 77;
            memset(block_bytes + length - 64, 0xff, 64);
            fix_crc(block_bytes, padded);
            break;
        case 8: /* fewer records than it says */
            wire_put_u32(block_bytes + 20, 11);
            fix_crc(block_bytes, padded);
            break;
        case 9: /* LSNs that are not in a row */
            wire_put_u64(block_bytes + WAL_BLOCK_HEADER_BYTES, STAGE_FIRST + 21);
            fix_crc(block_bytes, padded);
            break;
        case 10: /* a later format */
            wire_put_u16(block_bytes + 16, WAL_FORMAT + 1);
            fix_crc(block_bytes, padded);
            break;
        default: /* a length of its own */
            wire_put_u32(block_bytes + 12, WAL_BLOCK_BYTES_MAX + 1);
            fix_crc(block_bytes, padded);
            sent = REPLICATION_PAYLOAD_BYTES_MAX;
            break;
        }
        stage_send_block(s, block_bytes, sent);
        stage_run(s);
        expect_end(REPLICATION_not_in_order, 20);
    }
}

/* ---- messages where they do not belong ---- */

enum step { GREETED, HIDDEN, EMPTY, CHUNKS, LOG, FOLLOWED, STEPS };

static void go_to(enum step step)
{
    begin_anew();
    s->hold_quiescence = step == HIDDEN;
    stage_until_hello(s);
    s->welcome.durable_lsn = s->welcome.acknowledged_lsn = STAGE_FIRST + 19;
    if (step >= HIDDEN)
        stage_welcome(s, WELCOME_BOOTSTRAP);
    if (step >= CHUNKS)
        stage_begin(s, STAGE_FIRST + 9, 0);
    if (step >= LOG) {
        stage_chunk(s, STAGE_FIRST, 10);
        stage_end(s, STAGE_FIRST + 19, 10);
    }
    if (step == FOLLOWED)
        stage_block(s, 0x11, STAGE_FIRST + 10, 10);
    CU_ASSERT_EQUAL(s->view.serving, step == FOLLOWED);
}

static void send_type(unsigned type)
{
    struct replication_message message = {.type = (uint8_t)type};
    switch (type) {
    case REPLICATION_WELCOME:
        stage_welcome(s, WELCOME_BOOTSTRAP);
        return;
    case REPLICATION_BATCH:
        stage_block(s, 0x11, STAGE_FIRST + 10, 10);
        return;
    case REPLICATION_SNAPSHOT_BEGIN:
        stage_begin(s, STAGE_FIRST + 9, 0);
        return;
    case REPLICATION_SNAPSHOT_CHUNK:
        stage_chunk(s, STAGE_FIRST, 10);
        return;
    case REPLICATION_SNAPSHOT_END:
        stage_end(s, STAGE_FIRST + 19, 10);
        return;
    case REPLICATION_HEARTBEAT:
        stage_heartbeat(s, STAGE_FIRST + 19);
        return;
    case REPLICATION_REFUSE:
        stage_refuse(s, REFUSE_NOT_READY, "");
        return;
    case REPLICATION_HELLO:
        message.hello.version = REPLICATION_VERSION;
        break;
    default:
        message.ack.state = REPLICA_SERVING;
        break;
    }
    stage_send(s, &message, NULL);
    stage_run(s);
}

static void messages_that_do_not_belong_there_end_the_session(void)
{
    static const unsigned welcome = 1 << REPLICATION_WELCOME | 1 << REPLICATION_REFUSE,
                          always = 1 << REPLICATION_HEARTBEAT;
    static const unsigned good[STEPS] = {
        [GREETED] = welcome,
        [HIDDEN] = always,
        [EMPTY] = always | 1 << REPLICATION_SNAPSHOT_BEGIN,
        [CHUNKS] = always | 1 << REPLICATION_SNAPSHOT_CHUNK, /* END too, but with other items */
        [LOG] = always | 1 << REPLICATION_BATCH,
        [FOLLOWED] = always, /* a BATCH too, but another */
    };
    for (unsigned step = 0; step < STEPS; step++)
        for (unsigned type = REPLICATION_HELLO; type <= REPLICATION_HEARTBEAT; type++) {
            go_to((enum step)step);
            send_type(type);
            bool ends = (good[step] >> type & 1) == 0;
            uint64_t counted =
                stage_counted(s, REPLICATION_not_in_order) + stage_counted(s, REPLICATION_gaps);
            CU_ASSERT_EQUAL(counted, ends);
            CU_ASSERT(!ends || stage_facts(s).phase == REPLICA_WAITING);
            /* only what was whole is there */
            CU_ASSERT(s->view.serving == (step == FOLLOWED) ||
                      (step == LOG && type == REPLICATION_BATCH && s->view.serving));
            if (!ends)
                continue;
            s->hold_quiescence = false;
            CU_ASSERT(step == FOLLOWED || stage_facts(s).applied_lsn == 0);
            if (step == FOLLOWED) {
                stage_until_hello(s);
                CU_ASSERT_EQUAL(s->hello.lsn, STAGE_FIRST + 19);
                continue;
            }
            stage_follow(s, 20);
            CU_ASSERT_EQUAL(stage_items(s), 20);
        }
}

static void a_welcome_that_makes_no_sense_ends_the_session(void)
{
    for (unsigned bad = 0; bad < 11; bad++) {
        enum welcome_start start = WELCOME_BOOTSTRAP;
        begin_anew();
        stage_until_hello(s);
        struct replication_welcome good = s->welcome;
        stage_second_history(s, STAGE_FIRST + 9);
        switch (bad) {
        case 0: /* there is nothing to go on from */
            start = WELCOME_RESUME;
            break;
        case 1:
            memset(s->welcome.cluster_id, 0, CLUSTER_ID_BYTES);
            break;
        case 2:
            s->history[1].id = 0;
            break;
        case 3:
            s->history[1].first_lsn = STAGE_FIRST;
            break;
        case 4:
            s->history[1].first_lsn = STAGE_SECOND + 1;
            break;
        case 5:
            s->history[1].epoch = s->welcome.epoch = 1;
            break;
        case 6:
            s->history[1].before_lsn = STAGE_SECOND;
            break;
        case 7:
            s->welcome.epoch = 3;
            break;
        case 8:
            s->history[1].node_id = 0;
            break;
        case 9:
            s->history[1].first_lsn = 0;
            break;
        default:
            s->welcome.histories = 0;
            break;
        }
        stage_welcome(s, start);
        CU_ASSERT_EQUAL(stage_counted(s, REPLICATION_not_in_order), 1);
        CU_ASSERT(s->welcomed == 0 && s->asked_quiescent == 0);
        s->welcome = good;
        stage_follow(s, 5);
    }
}

/* ---- snapshots ---- */

static size_t put_record(size_t at, uint64_t lsn, enum log_record_type type)
{
    size_t bytes = numbered_record(block_bytes + at, lsn, 20);
    if (type != LOG_SET) {
        struct log_record record = {.lsn = lsn, .type = (uint8_t)type};
        if (type == LOG_DELETE) {
            record.key = (const uint8_t *)"key";
            record.key_length = 3;
            record.reason = LOG_REASON_REQUEST;
        }
        bytes = log_record_encode(block_bytes + at, &record);
    }
    return at + bytes;
}

static void a_snapshot_that_is_not_one_is_given_up_whole(void)
{
    for (unsigned bad = 1; bad < 17; bad++) {
        size_t length = 0;
        begin_anew();
        s->welcome.durable_lsn = s->welcome.acknowledged_lsn = s->acknowledged_lsn = STAGE_FIRST + 39;
        stage_until_hello(s);
        stage_welcome(s, WELCOME_BOOTSTRAP);
        struct replication_message begin = {.type = REPLICATION_SNAPSHOT_BEGIN,
                                            .begin = {.start_lsn = STAGE_FIRST + 19,
                                                      .flush_lsn = STAGE_FIRST + 5,
                                                      .capacity = STAGE_CAPACITY}};
        if (bad == 1)
            begin.begin.start_lsn = UINT64_MAX;
        if (bad == 2)
            begin.begin.flush_lsn = UINT64_MAX;
        if (bad == 3)
            begin.begin.start_lsn = 0; /* nothing was flushed in an empty log */
        if (bad == 4)
            begin.begin.start_lsn = begin.begin.flush_lsn = 0; /* and nothing is in its snapshot */
        stage_send(s, &begin, NULL);
        stage_run(s);
        if (bad > 3) {
            length = put_record(length, STAGE_FIRST + 10, LOG_SET);
            switch (bad) {
            case 5:
                length = put_record(length, STAGE_FIRST + 11, LOG_DELETE);
                break;
            case 6:
                length = put_record(length, STAGE_FIRST + 11, LOG_FLUSH);
                break;
            case 7: /* it was flushed */
                length = put_record(length, STAGE_FIRST + 4, LOG_SET);
                break;
            case 8:
                length = put_record(length, UINT64_MAX, LOG_SET);
                break;
            case 9:
                length--;
                break;
            case 10:
                length = 0;
                break;
            case 11:
                block_bytes[length++] = 0;
                break;
            default:
                length = put_record(length, STAGE_FIRST + 25, LOG_SET);
                break;
            }
            stage_send_chunk(s, block_bytes, length);
        }
        if (bad == 12) /* more than came */
            stage_end(s, STAGE_FIRST + 29, 3);
        if (bad == 13) /* less */
            stage_end(s, STAGE_FIRST + 29, 1);
        if (bad == 14) /* an item is from behind the end */
            stage_end(s, STAGE_FIRST + 24, 2);
        if (bad == 15) /* before its start */
            stage_end(s, STAGE_FIRST + 18, 2);
        if (bad == 16)
            stage_end(s, UINT64_MAX, 2);
        CU_ASSERT_EQUAL(stage_counted(s, REPLICATION_not_in_order), 1);
        CU_ASSERT(stage_facts(s).phase == REPLICA_WAITING && !stage_facts(s).has_data && !s->view.serving);
        stage_until_hello(s);
        CU_ASSERT_EQUAL(s->hello.flags, 0);
        stage_cut(s);
        stage_follow(s, 40);
        CU_ASSERT_EQUAL(stage_items(s), 40); /* nothing is left of it */
    }
}

static void a_snapshot_that_is_cut_at_any_byte_leaves_nothing(void)
{
    for (uint64_t cut = 1; cut < 2600; cut += 97) {
        begin_anew();
        stage_until_hello(s);
        s->cut_after = cut;
        s->piece = 60;
        struct replication_message message = {.type = REPLICATION_WELCOME, .welcome = s->welcome};
        message.welcome.start = WELCOME_BOOTSTRAP;
        message.welcome.durable_lsn = STAGE_FIRST + 29;
        stage_send(s, &message, NULL);
        stage_run(s);
        if (s->primary_up)
            stage_begin(s, STAGE_FIRST + 19, 0);
        if (s->primary_up)
            stage_chunk(s, STAGE_FIRST, 20);
        if (s->primary_up)
            stage_chunk(s, STAGE_FIRST + 100, 1);
        if (s->primary_up)
            stage_cut(s);
        s->cut_after = UINT64_MAX;
        s->piece = 0;
        CU_ASSERT_FALSE(s->view.serving);
        stage_follow(s, 30);
        CU_ASSERT_EQUAL(stage_items(s), 30);
    }
}

/* ---- more than there is room for ---- */

static void expect_no_room(unsigned attempt)
{
    CU_ASSERT(!s->view.serving && stage_facts(s).phase == REPLICA_WAITING && !stage_facts(s).has_data);
    CU_ASSERT_EQUAL(stage_counted(s, REPLICATION_not_in_order), attempt);
    CU_ASSERT_EQUAL(stage_lines_with(s, "does not fit"), 1);
}

static void a_snapshot_beyond_what_a_rebuild_may_take_is_given_up(void)
{
    for (unsigned attempt = 1; attempt < 4; attempt++) {
        stage_until_hello(s);
        stage_welcome(s, WELCOME_BOOTSTRAP);
        stage_begin(s, STAGE_FIRST + 9999, 0);
        for (unsigned i = 0; i < 8 && s->primary_up; i++)
            stage_chunk(s, STAGE_FIRST + i * 1000, 1000);
        expect_no_room(attempt);
    }
    stage_follow(s, 200);
    CU_ASSERT_EQUAL(stage_items(s), 200);
}

static void a_table_that_is_too_full_in_the_end_is_given_up(void)
{
    for (unsigned attempt = 1; attempt < 3; attempt++) {
        stage_until_hello(s);
        stage_welcome(s, WELCOME_BOOTSTRAP);
        stage_begin(s, STAGE_FIRST + 9999, 0);
        stage_chunk(s, STAGE_FIRST, STAGE_CAPACITY + 1);
        stage_end(s, STAGE_FIRST + 9999, STAGE_CAPACITY + 1);
        expect_no_room(attempt);
    }
    stage_follow(s, STAGE_CAPACITY);
    CU_ASSERT_EQUAL(stage_items(s), STAGE_CAPACITY);
}

static void a_log_that_fills_more_than_the_table_hides_it_at_once(void)
{
    stage_follow(s, 250);
    s->events[0] = 0;
    stage_block(s, 0x11, STAGE_FIRST + 250, 51);
    expect_no_room(1);
    CU_ASSERT_STRING_EQUAL(s->events, "publish(0,0) ");
    stage_until_hello(s);
    CU_ASSERT_EQUAL(s->hello.flags, 0);
    stage_cut(s);
    stage_follow(s, 300);
    CU_ASSERT_EQUAL(stage_items(s), 300);
}

/* ---- anything ---- */

static struct replication_message any_message(uint64_t *seed, size_t *length)
{
    struct replication_message message = {.type = (uint8_t)(REPLICATION_WELCOME + seeded_below(seed, 8))};
    uint64_t near = STAGE_FIRST + seeded_below(seed, 60);
    *length = 0;
    switch (message.type) {
    case REPLICATION_WELCOME:
        message.welcome = s->welcome;
        message.welcome.start = (uint8_t)(1 + seeded_below(seed, 2));
        message.welcome.durable_lsn = near;
        break;
    case REPLICATION_REFUSE:
        message.refuse.reason = (uint16_t)(1 + seeded_below(seed, 8));
        break;
    case REPLICATION_SNAPSHOT_BEGIN:
        message.begin.capacity = STAGE_CAPACITY;
        message.begin.start_lsn = seeded_below(seed, 3) ? near : 0;
        message.begin.flush_lsn = seeded_below(seed, 3) ? 0 : STAGE_FIRST + seeded_below(seed, 30);
        break;
    case REPLICATION_SNAPSHOT_CHUNK:
        for (unsigned i = (unsigned)seeded_below(seed, 40); i > 0; i--)
            *length = put_record(*length, near + seeded_below(seed, 400), LOG_SET);
        break;
    case REPLICATION_SNAPSHOT_END:
        message.end.end_lsn = near;
        message.end.items = seeded_below(seed, 2) ? stage_items(s) : seeded_below(seed, 40);
        break;
    case REPLICATION_BATCH:
        *length = stage_make_block(s, block_bytes, seeded_below(seed, 9) ? 0x11 : 0x22,
                                   seeded_below(seed, 3) ? stage_facts(s).applied_lsn + 1 : near,
                                   (uint32_t)seeded_below(seed, 30));
        message.batch.acknowledged_lsn = near;
        break;
    case REPLICATION_HEARTBEAT:
        message.heartbeat.acknowledged_lsn = near;
        message.heartbeat.durable_lsn = near + 5;
        break;
    default:
        message.type = REPLICATION_ACK;
        message.ack.state = REPLICA_SERVING;
        break;
    }
    if (*length > 0 && seeded_below(seed, 20) == 0)
        block_bytes[seeded_below(seed, *length)] ^= (uint8_t)(1 << seeded_below(seed, 8));
    message.payload_bytes = (uint32_t)*length;
    return message;
}

static void whatever_a_primary_sends_a_later_one_is_followed(void)
{
    uint64_t seed = seeded_start(seeded_from_environment(7));
    unsigned sessions = 0;
    printf("seed %llu ", (unsigned long long)seeded_from_environment(7));
    s->config.voice.say = NULL;
    replica_destroy(s->replica);
    s->replica = replica_create(&s->config);
    for (unsigned i = 0; i < 6000; i++) {
        size_t length;
        if (!s->primary_up || s->primary.state != CHANNEL_OPEN) {
            stage_until_hello(s);
            sessions++;
            s->events[0] = 0;
            if (seeded_below(&seed, 10) > 0) /* mostly one that gets further */
                stage_welcome(s, (s->hello.flags & HELLO_HAS_DATA) != 0 && seeded_below(&seed, 2)
                                     ? WELCOME_RESUME
                                     : WELCOME_BOOTSTRAP);
        }
        struct replication_message message = any_message(&seed, &length);
        bool was_serving = s->view.serving;
        uint64_t point = s->point;
        if (!s->primary_up || s->primary.state != CHANNEL_OPEN)
            continue;
        stage_send(s, &message, block_bytes);
        stage_run(s);
        CU_ASSERT(!(was_serving && s->view.serving) || s->point >= point);
        CU_ASSERT(!s->view.serving || stage_facts(s).has_data);
    }
    CU_ASSERT(sessions > 100);
    if (s->linked)
        stage_cut(s);
    /* a session that puts it right */
    stage_primary_has(s, 25);
    s->welcome.wall_ms = s->wall_ms;
    stage_until_hello(s);
    if ((s->hello.flags & HELLO_HAS_DATA) != 0 && (s->hello.flags & HELLO_BOOTSTRAP) == 0) {
        stage_refuse(s, REFUSE_DIVERGED, "");
        stage_until_hello(s);
    }
    stage_welcome(s, WELCOME_BOOTSTRAP);
    stage_begin(s, 0, 0);
    stage_end(s, 0, 0);
    stage_block(s, 0x11, STAGE_FIRST, 25);
    CU_ASSERT(s->view.serving && stage_items(s) == 25 && s->point == STAGE_FIRST + 24);
    for (unsigned i = 0; i < 25; i++)
        CU_ASSERT(stage_has(s, STAGE_FIRST + i));
}

int main(void)
{
    CU_TestInfo tests[] = {
        {"blocks that do not continue are gaps", blocks_that_do_not_continue_are_gaps},
        {"a history that begins before what is applied is a gap",
         a_history_that_begins_before_what_is_applied_is_a_gap},
        {"a primary whose log does not fit is asked ever rarer",
         a_primary_whose_log_does_not_fit_is_asked_ever_rarer},
        {"blocks that are not whole are not applied", blocks_that_are_not_whole_are_not_applied},
        {"messages that do not belong there end the session",
         messages_that_do_not_belong_there_end_the_session},
        {"a WELCOME that makes no sense ends the session", a_welcome_that_makes_no_sense_ends_the_session},
        {"a snapshot that is not one is given up whole", a_snapshot_that_is_not_one_is_given_up_whole},
        {"a snapshot that is cut at any byte leaves nothing",
         a_snapshot_that_is_cut_at_any_byte_leaves_nothing},
        {"a snapshot beyond what a rebuild may take is given up",
         a_snapshot_beyond_what_a_rebuild_may_take_is_given_up},
        {"a table that is too full in the end is given up", a_table_that_is_too_full_in_the_end_is_given_up},
        {"a log that fills more than the table hides it at once",
         a_log_that_fills_more_than_the_table_hides_it_at_once},
        {"whatever a primary sends, a later one is followed",
         whatever_a_primary_sends_a_later_one_is_followed},
        CU_TEST_INFO_NULL};
    return suite_run_each("replica_hostile", set_up, tear_down, tests);
}
