/* native_tcp_handshake.c - the worker's part of the handshake on a stream. What is not in order ends it. */
#include "service/native_init.h"
#include "service/native_tcp_internal.h"

static void submit(struct native_connection *c, const struct role_keys *keys, const uint8_t *init)
{
    struct native_tcp *service = c->service;
    if (service->computing[c->source.network] >= NATIVE_LANE_SHARE_MAX) {
        native_tcp_abort(c, COUNTER_native_init_prefix_full);
        return;
    }
    struct handshake_job *job = handshake_lane_take(service->config.handshakes);
    if (job == NULL) {
        native_tcp_abort(c, COUNTER_native_init_lane_full);
        return;
    }
    job->path = (struct return_path){.flow = c->stream->flow};
    job->session = c->id;
    job->keys = keys;
    job->result = native_tcp_keys(c);
    memcpy(job->init, init, HANDSHAKE_INIT_BYTES);
    handshake_lane_submit(service->config.handshakes, job);
    service->computing[c->source.network]++;
    c->computing = true;
    native_tcp_join(c, CROWD_NONE); /* its place could not be had before the helper is done */
    c->state = CONNECTION_COMPUTING;
    c->reader.expected = 0; /* the client has nothing to say before it has the RESPONSE */
}

static void take_init(struct native_connection *c, const struct record_item *item)
{
    struct native_tcp *service = c->service;
    if (service->draining) {
        native_tcp_abort(c, COUNTER_native_init_draining);
        return;
    }
    const struct role_keys *keys = native_init_check(service->config.keys, TRANSPORT_TCP, item->bytes,
                                                     item->length, service->config.counters);
    if (keys == NULL) {
        native_tcp_abort(c, COUNTER_native_tcp_refused);
        return;
    }
    uint8_t cookie[HANDSHAKE_COOKIE_BYTES];
    bool load = handshake_lane_in_flight(service->config.handshakes) > HANDSHAKE_COOKIE_THRESHOLD;
    if (native_init_proven(keys, service->cookies, &c->stream->flow, load, item->bytes, cookie,
                           service->config.counters)) {
        submit(c, keys, item->bytes);
        return;
    }
    if (c->cookie_sent) { /* it has had a good one */
        native_tcp_abort(c, COUNTER_native_tcp_refused);
        return;
    }
    c->cookie_sent = true;
    native_tcp_send(c, cookie, sizeof(cookie));
}

static void take_confirm(struct native_connection *c, const struct record_item *item)
{
    struct native_tcp *service = c->service;
    struct session_keys *keys = native_tcp_keys(c);
    if (service->draining) {
        native_tcp_abort(c, COUNTER_native_init_draining);
        return;
    }
    if (handshake_confirm_check(keys, item->bytes, item->length) != 0) {
        native_tcp_abort(c, COUNTER_native_confirm_refused);
        return;
    }
    record_reader_key(&c->reader, &keys->receive);
    c->writer = record_writer_start(&keys->send, &record_limits_default);
    native_tcp_live(c);
    uint8_t ready[HANDSHAKE_READY_BYTES];
    handshake_ready(keys, ready);
    native_tcp_send(c, ready, sizeof(ready));
    native_tcp_count(service, COUNTER_native_ready);
    if (c->state == CONNECTION_LIVE)
        native_tcp_share_out(c);
}

void native_tcp_handshake(struct native_connection *c, const struct record_item *item)
{
    if (item->kind == DATAGRAM_INIT)
        take_init(c, item);
    else
        take_confirm(c, item);
}

static void respond(struct native_connection *c, const struct handshake_job *job)
{
    struct native_tcp *service = c->service;
    if (job->outcome != 0) {
        native_tcp_abort(c, COUNTER_native_init_ephemeral);
        return;
    }
    c->state = CONNECTION_CONFIRM;
    native_tcp_begin_unconfirmed(c);
    c->reader.expected = RECORD_KIND_BIT(DATAGRAM_CONFIRM);
    native_tcp_send(c, job->response, HANDSHAKE_RESPONSE_BYTES);
    native_tcp_count(service, COUNTER_native_responses);
}

bool native_tcp_responses(struct native_tcp *service)
{
    struct handshake_lane *lane = service->config.handshakes;
    for (unsigned i = 0; i < NATIVE_TCP_JOBS_PER_TURN; i++) {
        struct handshake_job *job = handshake_lane_finished(lane);
        if (job == NULL)
            return i > 0;
        struct native_connection *c =
            &service->connections[job->session & ((UINT32_C(1) << service->bits) - 1)];
        c->computing = false;
        service->computing[c->source.network]--;
        if (c->state == CONNECTION_COMPUTING)
            respond(c, job);
        else if (c->state == CONNECTION_GONE)
            native_tcp_release(c);
        handshake_lane_release(lane, job);
    }
    return true;
}
