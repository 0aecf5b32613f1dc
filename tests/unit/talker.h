/*
 * talker.h - a user of streams who sends so many bytes of a pattern, checks what comes against the same pattern, and notes
 * what happens.
 */
#ifndef WILD_TESTS_TALKER_H
#define WILD_TESTS_TALKER_H

#include <CUnit/CUnit.h>
#include <string.h>

#include "stream.h"

struct talker {
    struct stream *stream; /* NULL: none yet, or it is closed */
    uint64_t to_send, sent, received;
    unsigned accepted, connected, ended, closed;
    enum stream_end end;
    bool wrong;         /* something that came was not the pattern */
    bool close_at_end;  /* ends its side when the peer has ended */
    bool close_at_sent; /* and when all is sent */
    size_t take_max;    /* of one `received`; 0: all */
};

static inline uint8_t talker_byte(uint64_t at)
{
    return (uint8_t)(at * UINT64_C(0x9E3779B97F4A7C15) >> 40);
}

/* As much as there is room for. */
static inline void talker_send(struct talker *talker)
{
    while (talker->stream != NULL && talker->sent < talker->to_send) {
        uint64_t left = talker->to_send - talker->sent;
        size_t room;
        uint8_t *place = stream_reserve(talker->stream, 1, &room);

        if (place == NULL)
            return;
        room = room < left ? room : (size_t)left;
        for (size_t i = 0; i < room; i++)
            place[i] = talker_byte(talker->sent + i);
        stream_commit(talker->stream, room);
        talker->sent += room;
    }
    if (talker->stream != NULL && talker->close_at_sent)
        stream_close(talker->stream);
}

static inline void talker_connected(struct stream *stream)
{
    struct talker *talker = stream->user;

    talker->connected++;
    talker_send(talker);
}

static inline size_t talker_received(struct stream *stream, uint8_t *bytes, size_t length)
{
    struct talker *talker = stream->user;
    size_t taken = talker->take_max != 0 && talker->take_max < length ? talker->take_max : length;

    for (size_t i = 0; i < taken; i++)
        talker->wrong |= bytes[i] != talker_byte(talker->received + i);
    talker->received += taken;
    if (taken < length)
        stream_resume(stream);
    return taken;
}

static inline void talker_ended(struct stream *stream)
{
    struct talker *talker = stream->user;

    talker->ended++;
    if (talker->close_at_end)
        stream_close(stream);
}

static inline void talker_writable(struct stream *stream)
{
    talker_send(stream->user);
}

static inline void talker_expired(struct stream *stream)
{
    (void)stream;
    CU_FAIL("no deadline was set");
}

static inline void talker_closed(struct stream *stream, enum stream_end end)
{
    struct talker *talker = stream->user;

    CU_ASSERT_EQUAL(talker->closed, 0);
    talker->closed++;
    talker->end = end;
    talker->stream = NULL;
}

static inline const struct stream_events *talker_events(void)
{
    static const struct stream_events events = {.connected = talker_connected,
                                                .received = talker_received,
                                                .ended = talker_ended,
                                                .writable = talker_writable,
                                                .expired = talker_expired,
                                                .closed = talker_closed};
    return &events;
}

/* state: the one talker, of one stream. */
static inline bool talker_accepted(void *state, struct stream *stream)
{
    struct talker *talker = state;

    if (talker->accepted > 0)
        return false;
    talker->accepted++;
    talker->stream = stream;
    stream->events = talker_events();
    stream->user = talker;
    talker_send(talker);
    return true;
}

#endif
