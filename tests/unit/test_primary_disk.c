/*
 * test_primary_disk.c - a primary with its real parts: a log that a writer
 * writes to a simulated disk, the tail, the feeder on what is on disk; and
 * replicas with tables, whose links are slow, stand still and break. In the end
 * all have what the primary has.
 */
#include "feeder_fixture.h"

#include "primary_fixture.h"

/* Values of half that in the mean: what the tests write fits the tables. */
enum { NODES = 6, RIG_TAIL_BYTES = 4 * REPLICATION_PAYLOAD_BYTES_MAX, VALUES_BYTES = 900 };

/* A replica as it is between its sessions. */
struct node {
    uint64_t id, lsn, history, end_lsn;
    struct fed_table table;
    struct peer *peer;
    bool has_data, loading;
    unsigned bootstraps, resumes;
};

static struct fed fed;
static struct node node[NODES];
static uint64_t seed;
static unsigned synced; /* blocks of the writer's that are in the tail */

/* ---- a replica ---- */

static void empty_table(struct node *self)
{
    fed_table_close(&self->table);
    self->table = fed_table_open();
    self->has_data = false;
}

static void apply(struct node *self, const uint8_t *records, size_t bytes)
{
    CU_ASSERT_EQUAL_FATAL(apply_records(self->table.context, records, bytes), 0);
}

static void end_loading(struct node *self)
{
    if (!self->loading || self->lsn < self->end_lsn)
        return;
    CU_ASSERT_EQUAL_FATAL(apply_end(self->table.context), 0);
    self->loading = false;
    self->has_data = true;
}

static void node_took(void *taker, struct peer *peer, const struct replication_message *message)
{
    struct node *self = taker;
    switch ((enum replication_type)message->type) {
    case REPLICATION_WELCOME:
        self->resumes += message->welcome.start == WELCOME_RESUME;
        if (message->welcome.start == WELCOME_BOOTSTRAP) {
            empty_table(self);
            peer_ack(peer, 0, 0, 0);
        }
        break;
    case REPLICATION_SNAPSHOT_BEGIN:
        CU_ASSERT_EQUAL_FATAL(apply_begin(self->table.context), 0);
        self->loading = true;
        self->end_lsn = UINT64_MAX;
        self->lsn = message->begin.start_lsn;
        break;
    case REPLICATION_SNAPSHOT_CHUNK:
        apply(self, message->payload, message->payload_bytes);
        break;
    case REPLICATION_SNAPSHOT_END:
        self->bootstraps++;
        self->end_lsn = message->end.end_lsn;
        end_loading(self);
        break;
    case REPLICATION_BATCH:
        apply(self, message->payload + WAL_BLOCK_HEADER_BYTES,
              message->payload_bytes - WAL_BLOCK_HEADER_BYTES);
        self->lsn = fixture.block[peer->at].next_lsn - 1;
        self->history = fixture.block[peer->at].history;
        end_loading(self);
        break;
    default:
        break;
    }
    peer->has_lsn = self->loading || !self->has_data ? 0 : self->lsn;
}

static void node_connects(struct node *self)
{
    fixture.now_ns += 20 * MS;
    fixture_turn();
    self->peer = peer_open((uint8_t)self->id);
    self->peer->took = node_took;
    self->peer->taker = self;
    self->peer->answers = true;
    self->peer->has_lsn = self->has_data ? self->lsn : 0;
    struct replication_message hello =
        self->has_data ? peer_hello_at(self->id, self->history, self->lsn) : peer_hello(self->id);
    hello.hello.epoch = 0;
    hello.hello.capacity = FED_CAPACITY;
    peer_send(self->peer, &hello);
}

static void node_disconnects(struct node *self)
{
    if (self->peer == NULL)
        return;
    CU_ASSERT_EQUAL(self->peer->refusals, 0);
    peer_free(self->peer);
    self->peer = NULL;
    if (self->loading)
        empty_table(self);
    self->loading = false;
}

/* ---- the primary ---- */

/* What has become durable goes to the tail. */
static void sync_blocks(void)
{
    for (; synced < fed.lives.block_count; synced++) {
        const struct lived_block *block = &fed.lives.block[synced];
        struct fixture_block *kept = &fixture.block[fixture.blocks++];
        *kept = (struct fixture_block){.bytes = malloc(block->length),
                                       .length = block->length,
                                       .first_lsn = block->first_lsn,
                                       .next_lsn = block->next_lsn,
                                       .history = block->history};
        memcpy(kept->bytes, block->bytes, block->length);
        if (fixture.tail != NULL)
            tail_append(fixture.tail, block->bytes, block->length, block->history, block->first_lsn,
                        block->count);
    }
    fixture.log.durable_lsn = fixture.log.acknowledged_lsn = fed.lives.durable_lsn;
}

static void primary_starts(void)
{
    uint64_t last_lsn = meta_last_lsn(&fed.lives.meta, fed.lives.begin.next_lsn);
    lives_begin(&fed.lives);
    fed_start(&fed);
    fixture.meta = fed.lives.meta;
    fixture.tail = tail_create(RIG_TAIL_BYTES, last_lsn);
    fixture.feeder = fed.feeder;
    fixture.log.durable_lsn = fixture.log.acknowledged_lsn = last_lsn;
    fixture_begin();
}

static void primary_stops(void)
{
    lives_settle(&fed.lives);
    lives_idle(&fed.lives);
    sync_blocks();
    for (unsigned i = 0; i < NODES; i++)
        node_disconnects(&node[i]);
    primary_destroy(fixture.primary);
    lives_end(&fed.lives);
    tail_destroy(fixture.tail);
    fixture.tail = NULL;
    sync_blocks(); /* the mark at its end */
}

static void start(uint64_t from)
{
    fixture_prepare();
    seed = seeded_start(from);
    synced = 0;
    fed_open(&fed, from);
    for (unsigned i = 0; i < NODES; i++)
        node[i] = (struct node){.id = i + 1, .table = fed_table_open()};
}

static void stop(void)
{
    for (unsigned i = 0; i < NODES; i++)
        fed_table_close(&node[i].table);
    for (unsigned i = 0; i < fixture.blocks; i++)
        free(fixture.block[i].bytes);
    fed_close(&fed);
}

static void turn(unsigned records)
{
    fixture.now_ns += MS;
    while (records > 0 && lives_append(&fed.lives, (unsigned)seeded_below(&seed, VALUES_BYTES)))
        records--;
    (void)lives_turn(&fed.lives);
    sync_blocks();
    fixture_turn();
    (void)fed_step(&fed);
}

/* All are connected, nothing is in their way: until they have everything. */
static void come_to_rest(unsigned nodes)
{
    for (unsigned turns = 0;; turns++) {
        bool all = fed.lives.durable_lsn + 1 == fed.lives.next_lsn;
        CU_ASSERT_FATAL(turns < 20000);
        turn(0);
        for (unsigned i = 0; i < nodes; i++) {
            if (node[i].peer != NULL && node[i].peer->session == NULL)
                node_disconnects(&node[i]);
            if (node[i].peer == NULL)
                node_connects(&node[i]);
            node[i].peer->link->end[0].limit = 1 << 20;
            link_pair_run(node[i].peer->link);
            all &= node[i].has_data && node[i].lsn == fed.lives.durable_lsn;
        }
        if (all)
            break;
    }
    for (unsigned i = 0; i < nodes; i++)
        CU_ASSERT_EQUAL(fed_digest(node[i].table.table), fed_digest(fed.primary.table));
    CU_ASSERT_EQUAL(primary_replica_count(fixture.primary), nodes);
}

static void a_replica_follows_a_log_from_nothing_through_restarts_of_the_primary(void)
{
    start(1);
    for (unsigned life = 0; life < 3; life++) {
        primary_starts();
        come_to_rest(1);
        for (unsigned i = 0; i < 100; i++)
            turn(30);
        come_to_rest(1);
        primary_stops();
    }
    CU_ASSERT_EQUAL(node[0].bootstraps, 1);
    CU_ASSERT_TRUE(node[0].resumes >= 2);
    stop();
}

static void who_was_away_goes_on_from_disk_and_then_from_memory(void)
{
    start(2);
    primary_starts();
    come_to_rest(1);
    node_disconnects(&node[0]);
    for (unsigned i = 0; i < 100; i++)
        turn(40); /* twice the tail */
    uint64_t feeds = counted(REPLICATION_feeds), batches = counted(REPLICATION_tail_batches);
    come_to_rest(1);
    CU_ASSERT_EQUAL(node[0].bootstraps, 1);
    CU_ASSERT_EQUAL(counted(REPLICATION_feeds), feeds + 1);
    for (unsigned i = 0; i < 10; i++)
        turn(60);
    come_to_rest(1);
    CU_ASSERT_TRUE(counted(REPLICATION_tail_batches) > batches);
    CU_ASSERT_EQUAL(counted(REPLICATION_feeds), feeds + 1);
    primary_stops();
    stop();
}

static void who_was_away_for_longer_than_segments_are_kept_is_bootstrapped_again(void)
{
    start(3);
    primary_starts();
    for (unsigned i = 0; i < 50; i++)
        turn(30);
    come_to_rest(2);
    node_disconnects(&node[0]);
    for (unsigned i = 0; i < 60; i++)
        turn(30);
    uint64_t snapshot = fed_snapshot(&fed);
    for (unsigned i = 0; i < fixture.blocks && fixture.block[i].first_lsn < snapshot; i++)
        while (fed.lives.oldest < fed.lives.block[i].segment)
            lives_remove_oldest(&fed.lives);
    for (unsigned i = 0; i < 60; i++)
        turn(30);
    come_to_rest(2);
    CU_ASSERT_EQUAL(node[0].bootstraps, 2);
    CU_ASSERT_TRUE(counted(REPLICATION_feed_ended) >= 1);
    CU_ASSERT_EQUAL(counted(REPLICATION_not_in_order), 0);
    primary_stops();
    stop();
}

/* A step of a replica whose network does what it likes. */
static void live(struct node *self)
{
    if (self->peer != NULL && (self->peer->session == NULL || seeded_below(&seed, 200) == 0))
        node_disconnects(self);
    if (self->peer == NULL) {
        if (seeded_below(&seed, 300) == 0)
            node_connects(self);
        return;
    }
    struct link_pair *link = self->peer->link;
    if (seeded_below(&seed, 50) == 0) {
        static const size_t limits[] = {1000, 5000, 60000, 1 << 20};
        link->end[0].limit = limits[seeded_below(&seed, 4)];
    }
    if (seeded_below(&seed, 3) == 0)
        return;
    link_pair_move(link, 0, 1 + seeded_below(&seed, 200000));
    link_pair_move(link, 1, 1 + seeded_below(&seed, 2000));
    for (unsigned side = 0; side < 2; side++)
        link_pair_tell(link, side);
}

static void replicas_whose_links_break_and_stall_have_everything_in_the_end(void)
{
    uint64_t from = seeded_from_environment(4);
    printf("(seed %llu) ", (unsigned long long)from);
    start(from);
    for (unsigned life = 0; life < 2; life++) {
        primary_starts();
        for (unsigned step = 0; step < (life == 0 ? 2200u : 800u); step++) {
            turn((unsigned)seeded_below(&seed, 10) == 0 ? (unsigned)seeded_below(&seed, 40) : 0);
            for (unsigned i = 0; i < NODES; i++)
                live(&node[i]);
            if (seeded_below(&seed, 400) == 0)
                (void)fed_snapshot(&fed);
        }
        come_to_rest(NODES);
        primary_stops();
    }
    CU_ASSERT_EQUAL(counted(REPLICATION_not_in_order), 0);
    CU_ASSERT_EQUAL(counted(REPLICATION_refused), 0);
    CU_ASSERT_EQUAL(counted(REPLICATION_feed_ended), 0);
    CU_ASSERT_TRUE(counted(REPLICATION_feeds) > NODES); /* bootstraps, and more */
    stop();
}

int main(void)
{
    CU_TestInfo tests[] = {{"a replica follows a log from nothing, through restarts of the primary",
                            a_replica_follows_a_log_from_nothing_through_restarts_of_the_primary},
                           {"who was away goes on from disk, and then from memory",
                            who_was_away_goes_on_from_disk_and_then_from_memory},
                           {"who was away for longer than segments are kept is bootstrapped again",
                            who_was_away_for_longer_than_segments_are_kept_is_bootstrapped_again},
                           {"replicas whose links break and stall have everything in the end",
                            replicas_whose_links_break_and_stall_have_everything_in_the_end},
                           CU_TEST_INFO_NULL};
    return suite_run("primary_disk", tests);
}
