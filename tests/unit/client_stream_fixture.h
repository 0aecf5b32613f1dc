/*
 * client_stream_fixture.h - what tests of libwild over TCP share beyond client_fixture.h: results that
 * must come, and time that runs out by order.
 */
#ifndef WILD_TESTS_CLIENT_STREAM_FIXTURE_H
#define WILD_TESTS_CLIENT_STREAM_FIXTURE_H

#include "client_fixture.h"

/* Fails unless as many results come. */
static inline void take_all(struct fixture *f, struct wild_result *results, unsigned wanted)
{
    unsigned n = 0;
    while (n < wanted && wild_in_flight(f->client) > 0)
        n += (unsigned)wild_poll(f->client, results + n, wanted - n, 20000);
    CU_ASSERT_EQUAL(n, wanted);
}

/*
 * As if the time-outs of all that was submitted had gone by, without anybody's clock: a machine may be slow.
 * `silence`: and as if nothing had come meanwhile, so that the connection is given up, too.
 */
static inline void run_out_of_time(struct fixture *f, bool silence)
{
    struct wild_client *client = f->client;
    struct stream *stream = &client->stream;
    for (unsigned i = 0; i < FLIGHTS_MAX; i++)
        client->flight[i].deadline_ns = 0;
    client->timer_ns = 0;
    if (!silence)
        return;
    stream->heard_ns = 0;
    for (unsigned i = 0; i < stream->due_count; i++)
        stream->due[(stream->due_head + i) % ANSWERS_DUE_MAX].sent_ns = 0;
}

static inline bool submit_incr(struct fixture *f)
{
    struct wild_request incr = {.operation = WILD_OP_INCR, .key = "n", .key_length = 1, .delta = 1};
    return wild_submit(f->client, &incr) == WILD_OK;
}

#endif
