/*
 * primary_feed_fixture.h - a primary whose log has outgrown its tail, with a feeder that the test plays, and replicas that
 * have to be fed.
 */
#ifndef WILD_TESTS_PRIMARY_FEED_FIXTURE_H
#define WILD_TESTS_PRIMARY_FEED_FIXTURE_H

#include "scripted_feeder.h"

#include "primary_fixture.h"

static struct feeder feeder;

static inline void start(void)
{
    memset(&feeder, 0, sizeof feeder);
    fixture_start(&feeder);
}

/* The log grows by twelve blocks, of which the tail holds the last ten. */
static inline void outgrow_the_tail(void)
{
    for (unsigned i = 0; i < 12; i++)
        fixture_big_block();
}

/* The blocks of the log from that number on, as one item; number 0 is the mark.
 */
static inline void feed_blocks(struct scripted_feed *feed, unsigned from, unsigned count)
{
    static uint8_t bytes[FEED_BUFFER_BYTES];
    struct feed_item item = {.type = FEED_BLOCKS, .bytes = bytes};
    for (unsigned i = from; i < from + count; i++) {
        const struct fixture_block *block = &fixture.block[i];
        CU_ASSERT_FATAL(i < fixture.blocks && item.length + block->length <= sizeof bytes);
        memcpy(bytes + item.length, block->bytes, block->length);
        item.length += block->length;
        item.next_lsn = block->next_lsn;
    }
    scripted_put(feed, &item);
}

/* One that has all up to the first history's end, which the tail does not go
 * back to. */
static inline struct peer *peer_behind(uint64_t node_id)
{
    struct peer *peer = peer_open((uint8_t)node_id);
    struct replication_message hello = peer_hello_at(node_id, OLD_HISTORY, OLD_LAST_LSN);
    return peer_says(peer, &hello);
}

static inline void put_snapshot(struct scripted_feed *feed, uint64_t start_lsn, uint64_t end_lsn)
{
    static uint8_t chunk[FEED_BUFFER_BYTES];
    memset(chunk, 3, sizeof chunk);
    struct feed_item item = {.type = FEED_BEGIN,
                             .begin = {.start_lsn = start_lsn,
                                       .flush_lsn = 17,
                                       .capacity = FIXTURE_CAPACITY,
                                       .wall_ms = 99,
                                       .bytes = 300000}};
    scripted_put(feed, &item);
    item = (struct feed_item){.type = FEED_CHUNK, .bytes = chunk, .length = sizeof chunk};
    scripted_put(feed, &item);
    item.length = 8;
    scripted_put(feed, &item);
    item = (struct feed_item){.type = FEED_END, .end = {.end_lsn = end_lsn, .items = 44}};
    scripted_put(feed, &item);
}

static inline struct peer *peer_empty(uint64_t node_id)
{
    struct peer *peer = peer_open((uint8_t)node_id);
    struct replication_message hello = peer_hello(node_id);
    peer_says(peer, &hello);
    CU_ASSERT_EQUAL_FATAL(peer->welcome.start, WELCOME_BOOTSTRAP);
    peer_ack(peer, 0, 0, 0);
    peer_settle(peer);
    return peer;
}

#endif
