/*
 * link_pair.h - two ends of a stream in memory (link.h), for tests of what sits on links: the test moves the bytes, in any
 * pieces, with as much room as it likes, and is the network that cuts, corrupts and stands still.
 *
 * It is hard on its users: bytes come in blocks of their exact size, room is a block of its own, and the rules of link.h
 * that a user can break are checked.
 *
 *   struct link_pair *pair = link_pair_new(65536);
 *   link_pair_user(pair, 0, &functions, server);   ... 1, client
 *   channel_start(..., &pair->end[0].link) ...
 *   link_pair_run(pair);                           all that was sent has come, and ends are told
 */
#ifndef WILD_TEST_LINK_PAIR_H
#define WILD_TEST_LINK_PAIR_H

#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "link.h"

/* What happens to a user's end; any may be NULL. */
struct link_user {
    /* How many it has taken; the rest is given again at the next move. */
    size_t (*received)(void *user, uint8_t *bytes, size_t length);
    void (*writable)(void *user);
    void (*gone)(void *user); /* once, and the last: the peer or we have ended it */
};

struct link_end {
    struct link link; /* for the user */
    const struct link_user *functions;
    void *user;
    size_t limit;   /* bytes that may wait for the peer */
    size_t segment; /* a reserve gives at most these; at least 524 */
    bool no_room;   /* a reserve gives nothing */
    /* committed, and not moved */
    uint8_t *out;
    size_t length, allocated;
    uint64_t committed; /* ever */
    uint8_t *place;     /* of the last reserve */
    size_t place_room;
    bool place_given;
    size_t wants_room;    /* least of the reserve that gave nothing; 0: none since the user was told */
    bool closed, aborted; /* by the user */
    bool broken;          /* by the network, or by the peer's abort */
    bool gone;            /* the user has been told */
};

struct link_pair {
    struct link_end end[2];
};

static inline void link_pair_check(bool condition, const char *what)
{
    if (!condition) {
        fprintf(stderr, "link_pair: %s\n", what);
        abort();
    }
}

static inline bool link_end_ended(const struct link_end *end)
{
    return end->closed || end->aborted || end->broken || end->gone;
}

static inline uint8_t *link_pair_reserve(void *stream, size_t least, size_t *room)
{
    struct link_end *end = stream;
    link_pair_check(least > 0 && least <= 524, "reserve: least is in its range");
    link_pair_check(!end->closed && !end->aborted && !end->gone, "reserve: the user has not ended it");
    link_pair_check(end->segment >= 524, "the test: a segment has room for 524 bytes");
    if (end->broken)
        return NULL;
    size_t give = end->limit > end->length ? end->limit - end->length : 0;
    if (give > end->segment)
        give = end->segment;
    if (end->no_room || give < least) {
        end->wants_room = least;
        return NULL;
    }
    free(end->place);
    end->place = malloc(give);
    memset(end->place, 0xee, give);
    end->place_room = *room = give;
    end->place_given = true;
    return end->place;
}

static inline void link_pair_commit(void *stream, size_t length)
{
    struct link_end *end = stream;
    link_pair_check(end->place_given && length <= end->place_room,
                    "commit: of the last reserve, within its room");
    link_pair_check(!end->closed && !end->aborted && !end->gone, "commit: the user has not ended it");
    if (end->length + length > end->allocated) {
        end->allocated = 2 * (end->length + length);
        end->out = realloc(end->out, end->allocated);
    }
    memcpy(end->out + end->length, end->place, length);
    end->length += length;
    end->committed += length;
    end->place_given = false;
}

static inline size_t link_pair_unsent(const void *stream)
{
    return ((const struct link_end *)stream)->length;
}

static inline void link_pair_close(void *stream)
{
    struct link_end *end = stream;
    link_pair_check(!end->closed && !end->aborted && !end->gone, "close: the user has not ended it");
    end->closed = true;
}

static inline void link_pair_abort(void *stream)
{
    struct link_end *end = stream;
    link_pair_check(!end->aborted && !end->gone, "abort: the user has not ended it");
    end->aborted = true;
}

static const struct link_functions link_pair_functions = {.reserve = link_pair_reserve,
                                                          .commit = link_pair_commit,
                                                          .unsent = link_pair_unsent,
                                                          .close = link_pair_close,
                                                          .abort = link_pair_abort};

/* Either way at most `limit` bytes wait for the other end. */
static inline struct link_pair *link_pair_new(size_t limit)
{
    struct link_pair *pair = calloc(1, sizeof *pair);
    for (unsigned side = 0; side < 2; side++) {
        struct link_end *end = &pair->end[side];
        end->link = (struct link){.functions = &link_pair_functions,
                                  .stream = end,
                                  .peer_address = {[10] = 0xff, [11] = 0xff, 198, 18, 0, (uint8_t)(2 - side)},
                                  .peer_port = (uint16_t)(9001 + side)};
        end->limit = limit;
        end->segment = 1448;
    }
    return pair;
}

static inline void link_pair_free(struct link_pair *pair)
{
    for (unsigned side = 0; side < 2; side++) {
        free(pair->end[side].out);
        free(pair->end[side].place);
    }
    free(pair);
}

static inline void link_pair_user(struct link_pair *pair, unsigned side, const struct link_user *functions,
                                  void *user)
{
    pair->end[side].functions = functions;
    pair->end[side].user = user;
}

/* Bytes that `side` sent, before all others that are on their way. */
static inline void link_pair_inject_first(struct link_pair *pair, unsigned side, const void *bytes,
                                          size_t length)
{
    struct link_end *end = &pair->end[side];
    if (end->length + length > end->allocated) {
        end->allocated = end->length + length;
        end->out = realloc(end->out, end->allocated);
    }
    memmove(end->out + length, end->out, end->length);
    memcpy(end->out, bytes, length);
    end->length += length;
}

/* Up to `most` bytes that `side` sent come to the other end's user. How many were taken: also of those that nobody wants any
 * more. */
static inline size_t link_pair_move(struct link_pair *pair, unsigned side, size_t most)
{
    struct link_end *from = &pair->end[side], *to = &pair->end[!side];
    size_t length = from->length < most ? from->length : most;
    if (length == 0)
        return 0;
    size_t taken = length;
    uint8_t *block = malloc(length);
    memcpy(block, from->out, length);
    memmove(from->out, from->out + length, from->length - length);
    from->length -= length;
    if (!link_end_ended(to) && to->functions != NULL && to->functions->received != NULL)
        taken = to->functions->received(to->user, block, length);
    link_pair_check(taken <= length, "received: more than was given");
    if (taken < length)
        link_pair_inject_first(pair, side, block + taken, length - taken);
    free(block);
    return taken;
}

static inline void link_pair_tell_gone(struct link_end *end)
{
    end->gone = true;
    if (end->functions != NULL && end->functions->gone != NULL)
        end->functions->gone(end->user);
}

/* What was put off happens at this end: there is room again, or it is gone. False: nothing was. */
static inline bool link_pair_tell(struct link_pair *pair, unsigned side)
{
    struct link_end *end = &pair->end[side], *peer = &pair->end[!side];
    if (end->gone)
        return false;
    if (peer->aborted && !end->broken) { /* what was on its way is lost, as with a reset */
        end->broken = true;
        peer->length = 0;
    }
    bool peer_ended = peer->closed && peer->length == 0 && (!end->closed || end->length == 0);
    if (end->aborted || end->broken || peer->gone || peer_ended) {
        link_pair_tell_gone(end);
        return true;
    }
    if (!end->closed && end->wants_room > 0 && !end->no_room && end->length + end->wants_room <= end->limit) {
        end->wants_room = 0;
        if (end->functions != NULL && end->functions->writable != NULL)
            end->functions->writable(end->user);
        return true;
    }
    return false;
}

/* Moves and tells until nothing is left to. False: it did not come to rest in `rounds`. */
static inline bool link_pair_run_for(struct link_pair *pair, unsigned rounds)
{
    for (; rounds > 0; rounds--) {
        bool busy = link_pair_move(pair, 0, SIZE_MAX) > 0;
        busy |= link_pair_move(pair, 1, SIZE_MAX) > 0;
        busy |= link_pair_tell(pair, 0);
        busy |= link_pair_tell(pair, 1);
        if (!busy)
            return true;
    }
    return false;
}

static inline void link_pair_run(struct link_pair *pair)
{
    link_pair_check(link_pair_run_for(pair, 1000000), "run: it never comes to rest");
}

/* The network is gone: what was on its way is lost, and both are told. */
static inline void link_pair_cut(struct link_pair *pair)
{
    for (unsigned side = 0; side < 2; side++) {
        pair->end[side].broken = true;
        pair->end[side].length = 0;
    }
    for (unsigned side = 0; side < 2; side++)
        link_pair_tell(pair, side);
}

/* A byte that `side` sent, and that has not been moved, is changed. False: there is none. */
static inline bool link_pair_corrupt(struct link_pair *pair, unsigned side, size_t at, uint8_t change)
{
    if (at >= pair->end[side].length)
        return false;
    pair->end[side].out[at] ^= change;
    return true;
}

/* Bytes from nowhere, as if `side` had sent them. */
static inline void link_pair_inject(struct link_pair *pair, unsigned side, const void *bytes, size_t length)
{
    struct link_end *end = &pair->end[side];
    end->out = realloc(end->out, end->length + length + 1);
    end->allocated = end->length + length + 1;
    memcpy(end->out + end->length, bytes, length);
    end->length += length;
}

#endif
