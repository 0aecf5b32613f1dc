#include "tcp_services.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "instant.h"

#include "seeded.h"

struct acceptor_state {
    struct services *services;
    const struct service *service;
};

struct services_whole {
    struct services services;
    struct acceptor_state acceptor[SERVICES];
};

static struct session *session_of(const struct stream *stream)
{
    return stream->user;
}

static uint64_t in_ms(const struct session *session, unsigned ms)
{
    return session->services->now->mono_ns + ms * UINT64_C(1000000);
}

/* ---- parts ---- */

/* What was received from session->received on; counts it. */
static void verify(struct session *session, const uint8_t *bytes, size_t length)
{
    while (length > 0) {
        const uint8_t *expected = session->services->pattern + session->received % PATTERN_BYTES;
        size_t run = length < PATTERN_RUN_MAX ? length : PATTERN_RUN_MAX;
        if (session->bad_at == UINT64_MAX && memcmp(bytes, expected, run) != 0) {
            size_t i = 0;
            while (bytes[i] == expected[i])
                i++;
            session->bad_at = session->received + i;
        }
        session->received += run;
        bytes += run;
        length -= run;
    }
}

/* As much of the pattern as there is room for; closes behind its end. */
static void pump(struct stream *stream)
{
    struct session *session = session_of(stream);
    size_t room;
    while (session->sent < session->to_send) {
        uint8_t *out = stream_reserve(stream, 1, &room);
        if (out == NULL)
            return;
        uint64_t left = session->to_send - session->sent;
        size_t run = left < room ? (size_t)left : room;
        memcpy(out, session->services->pattern + (session->phase + session->sent) % PATTERN_BYTES, run);
        stream_commit(stream, run);
        session->sent += run;
    }
    stream_close(stream);
}

/* The verdict of discard and slow, once there is room for it. */
static void tell_verdict(struct stream *stream)
{
    struct session *session = session_of(stream);
    bool good = session->bad_at == UINT64_MAX;
    char line[48];
    size_t room;
    int length = snprintf(line, sizeof line, "%s %" PRIu64 "\n", good ? "ok" : "bad",
                          good ? session->received : session->bad_at);
    uint8_t *out = stream_reserve(stream, (size_t)length, &room);
    if (out == NULL)
        return;
    memcpy(out, line, (size_t)length);
    stream_commit(stream, (size_t)length);
    session->sent = (uint64_t)length;
    stream_close(stream);
}

static void closed(struct stream *stream, enum stream_end end)
{
    static const char *const ends[] = {
        [STREAM_END_CLOSED] = "closed",           [STREAM_END_RESET] = "reset",
        [STREAM_END_TIMED_OUT] = "timed-out",     [STREAM_END_REFUSED] = "refused",
        [STREAM_END_UNREACHABLE] = "unreachable", [STREAM_END_ABORTED] = "aborted",
    };
    struct session *session = session_of(stream);
    if (session->service->reported || session->opened_by_us)
        printf("session %s %s received %" PRIu64 " sent %" PRIu64 " %s\n", session->service->name, ends[end],
               session->received, session->sent, session->bad_at == UINT64_MAX ? "good" : "bad");
    services_forget(session->services, session);
}

static void connected(struct stream *stream)
{
    stream->events->writable(stream);
}

static void nothing(struct stream *stream)
{
    (void)stream;
}

static void end_too(struct stream *stream)
{
    stream_close(stream);
}

/* ---- echo ---- */

static size_t echo_received(struct stream *stream, uint8_t *bytes, size_t length)
{
    struct session *session = session_of(stream);
    size_t taken = stream_write(stream, bytes, length);
    session->received += taken;
    session->sent += taken;
    session->blocked = taken < length;
    return taken;
}

static void echo_writable(struct stream *stream)
{
    if (session_of(stream)->blocked)
        stream_resume(stream);
}

/* ---- discard ---- */

static size_t discard_received(struct stream *stream, uint8_t *bytes, size_t length)
{
    verify(session_of(stream), bytes, length);
    return length;
}

static void discard_ended(struct stream *stream)
{
    session_of(stream)->peer_ended = true;
    tell_verdict(stream);
}

static void discard_writable(struct stream *stream)
{
    if (session_of(stream)->peer_ended && session_of(stream)->sent == 0)
        tell_verdict(stream);
}

/* ---- source ---- */

static uint64_t number_at(const uint8_t *bytes)
{
    uint64_t number = 0;
    for (unsigned i = 8; i-- > 0;)
        number = number << 8 | bytes[i];
    return number;
}

static size_t source_received(struct stream *stream, uint8_t *bytes, size_t length)
{
    struct session *session = session_of(stream);
    size_t taken = 0;
    if (!session->opened_by_us && session->partial_bytes < 16) {
        taken = length < 16 - session->partial_bytes ? length : 16 - session->partial_bytes;
        memcpy(session->partial + session->partial_bytes, bytes, taken);
        session->partial_bytes += (unsigned)taken;
        if (session->partial_bytes == 16) {
            session->to_send = number_at(session->partial);
            session->phase = number_at(session->partial + 8) % PATTERN_BYTES;
            pump(stream);
        }
    }
    verify(session, bytes + taken, length - taken);
    return length;
}

static void source_ended(struct stream *stream)
{
    struct session *session = session_of(stream);
    session->peer_ended = true;
    if (!session->opened_by_us && session->partial_bytes < 16)
        stream_close(stream);
}

static void source_writable(struct stream *stream)
{
    struct session *session = session_of(stream);
    if (session->opened_by_us || session->partial_bytes == 16)
        pump(stream);
}

/* ---- request ---- */

static bool reply(struct stream *stream)
{
    struct session *session = session_of(stream);
    size_t room;
    uint8_t *out = stream_reserve(stream, REQUEST_BYTES, &room);
    session->blocked = out == NULL;
    if (out == NULL)
        return false;
    for (unsigned i = 0; i < REQUEST_BYTES; i++)
        out[i] = (uint8_t)~session->partial[i];
    stream_commit(stream, REQUEST_BYTES);
    session->partial_bytes = 0;
    return true;
}

static size_t request_received(struct stream *stream, uint8_t *bytes, size_t length)
{
    struct session *session = session_of(stream);
    size_t taken = 0;
    while (taken < length && !session->blocked) {
        size_t lacks = REQUEST_BYTES - session->partial_bytes;
        size_t run = length - taken < lacks ? length - taken : lacks;
        memcpy(session->partial + session->partial_bytes, bytes + taken, run);
        session->partial_bytes += (unsigned)run;
        taken += run;
        if (session->partial_bytes == REQUEST_BYTES)
            reply(stream);
    }
    bool waits = session->partial_bytes > 0 && !session->blocked;
    if (waits && session->allowance == 0)
        stream_set_deadline(stream, in_ms(session, REQUEST_MS));
    else if (!waits)
        stream_set_deadline(stream, 0);
    session->allowance = waits; /* the deadline runs already: more bytes of the same request do not move it */
    return taken;
}

static void request_writable(struct stream *stream)
{
    if (session_of(stream)->blocked && reply(stream))
        stream_resume(stream);
}

static void request_expired(struct stream *stream)
{
    stream_abort(stream);
}

/* ---- slow ---- */

static size_t slow_received(struct stream *stream, uint8_t *bytes, size_t length)
{
    struct session *session = session_of(stream);
    size_t taken = length < session->allowance ? length : session->allowance;
    verify(session, bytes, taken);
    session->allowance -= (uint32_t)taken;
    if (taken < length)
        stream_set_deadline(stream, in_ms(session, SLOW_MS));
    return taken;
}

static void slow_expired(struct stream *stream)
{
    session_of(stream)->allowance = SLOW_BYTES;
    stream_resume(stream);
}

/* ---- all of them ---- */

static const struct service services_offered[SERVICES] = {
    {"echo", {connected, echo_received, end_too, echo_writable, nothing, closed}, false},
    {"discard", {connected, discard_received, discard_ended, discard_writable, nothing, closed}, true},
    {"source", {connected, source_received, source_ended, source_writable, nothing, closed}, true},
    {"request", {connected, request_received, end_too, request_writable, request_expired, closed}, false},
    {"slow", {connected, slow_received, discard_ended, discard_writable, slow_expired, closed}, true},
};

static struct session *session_new(struct services *services, const struct service *service)
{
    struct session *session = services->free;
    if (session == NULL)
        return NULL;
    services->free = session->next_free;
    services->open++;
    services->opened++;
    *session = (struct session){.services = services,
                                .service = service,
                                .bad_at = UINT64_MAX,
                                .allowance = service->events.received == slow_received ? SLOW_BYTES : 0};
    return session;
}

static bool accepted(void *state, struct stream *stream)
{
    const struct acceptor_state *acceptor = state;
    stream->user = session_new(acceptor->services, acceptor->service);
    stream->events = &acceptor->service->events;
    return stream->user != NULL;
}

struct services *services_create(uint64_t seed, unsigned sessions_max, const struct instant *now)
{
    struct services_whole *whole = calloc(1, sizeof *whole);
    struct session *sessions = calloc(sessions_max, sizeof *sessions);
    uint64_t state = seeded_start(seed);
    if (whole == NULL || sessions == NULL)
        return NULL;
    struct services *services = &whole->services;
    services->now = now;
    services->sessions = sessions;
    services->sessions_max = sessions_max;
    for (unsigned i = 0; i < sessions_max; i++) {
        sessions[i].next_free = services->free;
        services->free = &sessions[i];
    }
    for (size_t i = 0; i < PATTERN_BYTES; i += 8) {
        uint64_t word = seeded_next(&state); /* the last one's surplus bytes are overwritten below */
        memcpy(services->pattern + i, &word, 8);
    }
    memcpy(services->pattern + PATTERN_BYTES, services->pattern, PATTERN_RUN_MAX);
    for (unsigned i = 0; i < SERVICES; i++)
        whole->acceptor[i] = (struct acceptor_state){services, &services_offered[i]};
    return services;
}

void services_destroy(struct services *services)
{
    free(services->sessions);
    free(services);
}

struct stream_acceptor services_acceptor(struct services *services, unsigned i)
{
    return (struct stream_acceptor){.state = &((struct services_whole *)services)->acceptor[i],
                                    .accepted = accepted};
}

struct session *services_open(struct services *services, const char *name)
{
    struct session *session = NULL;
    for (unsigned i = 0; i < SERVICES && session == NULL; i++)
        if (!strcmp(name, services_offered[i].name))
            session = session_new(services, &services_offered[i]);
    if (session != NULL)
        session->opened_by_us = true;
    return session;
}

void services_forget(struct services *services, struct session *session)
{
    session->next_free = services->free;
    services->free = session;
    services->open--;
}
