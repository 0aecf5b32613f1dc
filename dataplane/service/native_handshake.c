/* native_handshake.c - the worker's part of the handshake: INIT, COOKIE, RESPONSE, CONFIRM, READY. */
#include "service/native_init.h"
#include "service/native_internal.h"

enum { RESPONSES_PER_TURN_MAX = 32 };

static void answer(struct udp_datagram *datagram, const void *bytes, uint16_t length)
{
    if (datagram->room < length)
        return;
    memcpy(datagram->payload, bytes, length);
    datagram->length = length;
}

/*
 * Under load: when mathematics queue up, or half of the places for the unconfirmed are taken (INITs replayed
 * from invented addresses would fill the others).
 */
static bool is_loaded(const struct native_udp *service)
{
    return handshake_lane_in_flight(service->config.handshakes) > HANDSHAKE_COOKIE_THRESHOLD ||
           service->sessions.unconfirmed > service->sessions.unconfirmed_max / 2;
}

static void submit(struct native_udp *service, const struct role_keys *keys,
                   const struct udp_datagram *datagram, const uint8_t *init)
{
    const struct flow *flow = &datagram->path.flow;
    unsigned prefix = session_prefix_of(&service->sessions, &flow->peer);
    if (service->sessions.prefixes[prefix].computing >= NATIVE_LANE_SHARE_MAX) {
        native_count(service, COUNTER_native_init_prefix_full);
        return;
    }
    struct handshake_job *job = handshake_lane_take(service->config.handshakes);
    if (job == NULL) {
        native_count(service, COUNTER_native_init_lane_full);
        return;
    }
    struct session *session = session_begin(&service->sessions, flow, init, service->engine.now.mono_ns);
    if (session == NULL) {
        native_count(service, COUNTER_native_init_no_place);
        return;
    }
    job->path = datagram->path;
    job->session = session->id;
    job->keys = keys;
    job->result = session_keys_of(&service->sessions, session);
    memcpy(job->init, init, HANDSHAKE_INIT_BYTES);
    handshake_lane_submit(service->config.handshakes, job);
}

void native_init(struct native_udp *service, struct udp_datagram *datagram)
{
    const uint8_t *init = datagram->payload;
    size_t length = datagram->length;
    datagram->length = 0;
    if (service->draining) {
        native_count(service, COUNTER_native_init_draining);
        return;
    }
    const struct role_keys *keys =
        native_init_check(service->config.keys, TRANSPORT_UDP, init, length, service->config.counters);
    if (keys == NULL)
        return;
    const struct session *known = session_find_init(&service->sessions, &datagram->path.flow, init);
    if (known != NULL) {
        native_count(service, COUNTER_native_init_repeated);
        if (known->state != SESSION_COMPUTING) /* else the answer is on its way */
            answer(datagram, known->response, HANDSHAKE_RESPONSE_BYTES);
        return;
    }
    uint8_t cookie[HANDSHAKE_COOKIE_BYTES];
    if (native_init_proven(keys, service->cookies, &datagram->path.flow, is_loaded(service), init, cookie,
                           service->config.counters))
        submit(service, keys, datagram, init);
    else
        answer(datagram, cookie, sizeof(cookie));
}

void native_send_responses(struct native_udp *service)
{
    struct handshake_lane *lane = service->config.handshakes;
    for (unsigned i = 0; i < RESPONSES_PER_TURN_MAX; i++) {
        struct handshake_job *job = handshake_lane_finished(lane);
        if (job == NULL)
            return;
        struct session *session = session_place(&service->sessions, job->session);
        if (service->draining) {
            native_count(service, COUNTER_native_init_draining);
            session_end(&service->sessions, session);
        } else if (job->outcome != 0) {
            native_count(service, COUNTER_native_init_ephemeral);
            session_end(&service->sessions, session);
        } else {
            session_responded(&service->sessions, session, job->response, service->engine.now.mono_ns);
            bool sent = service->config.transmit.send(service->config.transmit.state, &job->path,
                                                      job->response, HANDSHAKE_RESPONSE_BYTES);
            native_count(service, sent ? COUNTER_native_responses : COUNTER_native_response_unsent);
        }
        handshake_lane_release(lane, job);
    }
}

/* PENDING -> LIVE if it may still be. */
static bool open_session(struct native_udp *service, struct session *session)
{
    if (service->draining) {
        native_count(service, COUNTER_native_init_draining);
        return false;
    }
    if (service->engine.now.mono_ns - session->used_ns > SESSION_PENDING_NS) {
        native_count(service, COUNTER_native_confirm_expired);
        return false; /* the sweep ends it */
    }
    return session_confirm(&service->sessions, session, service->engine.now.mono_ns);
}

void native_confirm(struct native_udp *service, struct udp_datagram *datagram)
{
    size_t length = datagram->length;
    struct datagram_header header;
    datagram_peek(&header, datagram->payload, length); /* the burst has seen that it is one */
    datagram->length = 0;
    struct session *session = session_place(&service->sessions, header.session);
    if (session->id != header.session || session->state < SESSION_PENDING) {
        native_count(service, COUNTER_native_drop_unknown_session);
        return;
    }
    if (!flow_equal(&session->flow, &datagram->path.flow)) {
        native_count(service, COUNTER_native_drop_wrong_peer);
        return;
    }
    const struct session_keys *keys = session_keys_of(&service->sessions, session);
    if (handshake_confirm_check(keys, datagram->payload, length) != 0) {
        native_count(service, COUNTER_native_confirm_refused);
        return;
    }
    if (session->state == SESSION_PENDING && !open_session(service, session))
        return;
    uint8_t ready[HANDSHAKE_READY_BYTES];
    handshake_ready(keys, ready);
    answer(datagram, ready, sizeof(ready));
    native_count(service, COUNTER_native_ready);
}
