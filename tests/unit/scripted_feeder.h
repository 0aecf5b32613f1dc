/*
 * scripted_feeder.h - the control lcore's face of feeder.h, played by a test: it hands out what the test has put in, when
 * the test wants, and checks its user: no item is touched after it was given back (its bytes are freed), feeds are opened
 * and closed in pairs.
 */
#ifndef WILD_TESTS_SCRIPTED_FEEDER_H
#define WILD_TESTS_SCRIPTED_FEEDER_H

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "check.h"
#include "feeder.h"

enum { SCRIPTED_ITEMS_MAX = 32 };

struct scripted_feed {
    bool open;
    enum feed_start start;
    uint64_t lsn;
    struct feed_item item[SCRIPTED_ITEMS_MAX]; /* [0] is the one that is out, if any is */
    unsigned count;
    bool out;
};

struct feeder {
    struct scripted_feed feed[FEEDS_MAX];
    unsigned opened, closed, refused;
    uint64_t durable_lsn;
    bool busy; /* all feeds are somebody else's */
};

static inline struct scripted_feed *scripted_feed(struct feeder *feeder, int feed)
{
    CHECK(feed >= 0 && feed < FEEDS_MAX && feeder->feed[feed].open);
    return &feeder->feed[feed];
}

/* The n-th that is open now; NULL: fewer are. */
static inline struct scripted_feed *scripted_open(struct feeder *feeder, unsigned n)
{
    for (unsigned i = 0; i < FEEDS_MAX; i++)
        if (feeder->feed[i].open && n-- == 0)
            return &feeder->feed[i];
    return NULL;
}

/* Another item; its bytes are copied. */
static inline void scripted_put(struct scripted_feed *feed, const struct feed_item *item)
{
    CHECK(feed->count < SCRIPTED_ITEMS_MAX);
    struct feed_item *place = &feed->item[feed->count++];
    *place = *item;
    if (item->length > 0) {
        uint8_t *bytes = malloc(item->length);
        memcpy(bytes, item->bytes, item->length);
        place->bytes = bytes;
    }
}

static inline void scripted_drop_first(struct scripted_feed *feed)
{
    free((void *)(uintptr_t)feed->item[0].bytes);
    feed->count--;
    memmove(&feed->item[0], &feed->item[1], feed->count * sizeof feed->item[0]);
    memset(&feed->item[feed->count], 0, sizeof feed->item[0]);
    feed->out = false;
}

int feeder_open(struct feeder *feeder, enum feed_start start, uint64_t lsn)
{
    for (int i = 0; i < FEEDS_MAX && !feeder->busy; i++)
        if (!feeder->feed[i].open) {
            feeder->feed[i] = (struct scripted_feed){.open = true, .start = start, .lsn = lsn};
            feeder->opened++;
            return i;
        }
    feeder->refused++;
    return -EBUSY;
}

void feeder_close(struct feeder *feeder, int feed)
{
    struct scripted_feed *place = scripted_feed(feeder, feed);
    while (place->count > 0)
        scripted_drop_first(place);
    place->open = false;
    feeder->closed++;
}

void feeder_tell_durable(struct feeder *feeder, uint64_t durable_lsn)
{
    feeder->durable_lsn = durable_lsn;
}

const struct feed_item *feeder_take(struct feeder *feeder, int feed)
{
    struct scripted_feed *place = scripted_feed(feeder, feed);
    if (place->count == 0)
        return NULL;
    place->out = true;
    return &place->item[0];
}

void feeder_give_back(struct feeder *feeder, int feed)
{
    struct scripted_feed *place = scripted_feed(feeder, feed);
    CHECK(place->out);
    scripted_drop_first(place);
}

#endif
