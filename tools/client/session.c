/*
 * session.c - how a client over UDP gets its session, and another when the node has lost it (handshake.h).
 *
 *            client_session_start             RESPONSE               READY
 *   IDLE -------------------> INIT ------------> CONFIRM ------------> IDLE, with a new session
 *    ^                        |  ^                |    |
 *    |                        |  +----------------+    |
 *    +------------------------+   CONFIRM_TRIES_MAX    |
 *    +-------------------------------------------------+
 *      the old session shows a sign of life before CONFIRM was sent: it was never lost
 *
 * CONFIRM makes the node end our old session. So before it, once RESPONSE has shown that the node can be
 * reached, the old session is asked for a sign of life a last time, and given a moment to answer: a link that
 * lost everything for a while must not turn writes in flight into WILD_UNKNOWN.
 *
 * INIT and CONFIRM are sent again until answered, with doubling pauses. Nothing is decided by what cannot be
 * verified: a forged COOKIE, RESPONSE or READY changes nothing.
 */
#include <string.h>

#include "client.h"

/* ---- the round trip, and doubt about the session ---- */

/* RFC 6298 section 2, with a floor that suits a data centre and no clock granularity to speak of. */
void client_session_rtt(struct wild_client *client, uint64_t sample_ns)
{
    struct datagrams *d = &client->datagrams;
    if (d->rtt_ns == 0) {
        d->rtt_ns = sample_ns + 1;
        d->rtt_variation_ns = sample_ns / 2;
    } else {
        uint64_t difference = sample_ns > d->rtt_ns ? sample_ns - d->rtt_ns : d->rtt_ns - sample_ns;
        d->rtt_variation_ns = d->rtt_variation_ns - d->rtt_variation_ns / 4 + difference / 4;
        d->rtt_ns = d->rtt_ns - d->rtt_ns / 8 + sample_ns / 8;
    }
    uint64_t rto_ns = d->rtt_ns + 4 * d->rtt_variation_ns;
    client->rto_ns = min_u64(max_u64(rto_ns, RTO_MIN_NS), RTO_MAX_NS);
}

/*
 * A round of retransmissions. A silent node may be alive and hold our writes back until they are durable, so
 * the first silent round already asks for a sign of life (datagrams.c), and only a node that stays silent to
 * that as well is taken to have lost the session.
 */
void client_session_silence(struct wild_client *client, uint64_t now)
{
    struct datagrams *d = &client->datagrams;
    d->probe = true;
    if (d->silent_rounds > 0 && now - d->round_ns < client->rto_ns)
        return; /* the same round: operations that were sent one after another */
    if (d->silent_rounds++ == 0)
        d->silent_since_ns = now;
    d->round_ns = now;
    /* RFC 6298 5.5: until a round trip is measured again, new operations wait as long. */
    client->rto_ns = min_u64(2 * client->rto_ns, RTO_MAX_NS);
    if (d->silent_rounds >= SILENT_ROUNDS_MAX && now - d->silent_since_ns >= SILENCE_MIN_NS)
        client_session_start(client, now);
}

/* ---- the handshake ---- */

static void shake_sent(struct wild_client *client, uint64_t now)
{
    struct shake *shake = &client->datagrams.shake;
    shake->tries++;
    shake->sent_ns = now;
    shake->retry_ns = now + shake->rto_ns;
}

static void shake_send_init(struct wild_client *client, uint64_t now)
{
    datagrams_send(client, client->secrets->handshake.init, HANDSHAKE_INIT_BYTES);
    shake_sent(client, now);
}

static void shake_send_confirm(struct wild_client *client, uint64_t now)
{
    datagrams_send(client, client->datagrams.shake.confirm, HANDSHAKE_CONFIRM_BYTES);
    shake_sent(client, now);
}

static void shake_end(struct wild_client *client)
{
    client->datagrams.shake.state = SHAKE_IDLE;
    handshake_end(&client->secrets->handshake);
    keys_wipe(&client->secrets->next, sizeof(client->secrets->next));
}

void client_session_start(struct wild_client *client, uint64_t now)
{
    if (client->datagrams.shake.state != SHAKE_IDLE)
        return;
    unsigned suites = datagram_suites();
    if (client->sealed)
        suites &= ~(unsigned)SUITE_MAC; /* the node seals if and only if MAC is not offered */
    /* Cannot fail: the role was checked by wild_connect(), and one sealed suite runs everywhere. */
    if (handshake_start(&client->secrets->handshake, &client->secrets->keys, ROLE_CLIENT, TRANSPORT_UDP,
                        suites, &client->random) != 0)
        return;
    client->datagrams.shake = (struct shake){
        .state = SHAKE_INIT,
        .rto_ns = min_u64(max_u64(client->rto_ns, RTO_INITIAL_NS), SHAKE_RTO_MAX_NS),
    };
    shake_send_init(client, now);
}

void client_session_timer(struct wild_client *client, uint64_t now)
{
    struct shake *shake = &client->datagrams.shake;
    if (shake->state == SHAKE_IDLE || now < shake->retry_ns)
        return;
    if (shake->tries > 0)
        shake->rto_ns = min_u64(2 * shake->rto_ns, SHAKE_RTO_MAX_NS);
    shake->cookie_taken = false;
    if (shake->state == SHAKE_INIT) {
        shake_send_init(client, now);
    } else if (shake->tries < CONFIRM_TRIES_MAX) {
        shake_send_confirm(client, now);
    } else {
        shake_end(client); /* the node dropped its half */
        client_session_start(client, now);
    }
}

static void take_cookie(struct wild_client *client, const uint8_t *bytes, size_t length, uint64_t now)
{
    struct shake *shake = &client->datagrams.shake;
    if (shake->state != SHAKE_INIT || shake->cookie_taken ||
        handshake_take_cookie(&client->secrets->handshake, &client->secrets->keys, bytes, length) != 0) {
        client->statistics.datagrams_refused++;
        return;
    }
    client->statistics.datagrams_received++;
    shake->cookie_taken = true;
    shake_send_init(client, now);
}

/*
 * A second RESPONSE comes when INIT was sent twice, and may name another session: the later one is what the
 * node holds for us, so it wins.
 */
static void take_response(struct wild_client *client, const uint8_t *bytes, size_t length, uint64_t now)
{
    struct shake *shake = &client->datagrams.shake;
    struct client_secrets *secrets = client->secrets;
    uint8_t confirm[HANDSHAKE_CONFIRM_BYTES];
    if (shake->state == SHAKE_IDLE || handshake_finish(&secrets->handshake, &secrets->keys, bytes, length,
                                                       confirm, &secrets->offered, &shake->node) != 0) {
        client->statistics.datagrams_refused++;
        return;
    }
    client->statistics.datagrams_received++;
    if (shake->state == SHAKE_INIT && shake->tries == 1)
        client_session_rtt(client, now - shake->sent_ns);
    memcpy(&secrets->next, &secrets->offered, sizeof(secrets->next));
    keys_wipe(&secrets->offered, sizeof(secrets->offered));
    memcpy(shake->confirm, confirm, sizeof(confirm));
    if (shake->state == SHAKE_INIT) {
        shake->state = SHAKE_CONFIRM;
        shake->tries = 0;
        if (client->live) {
            client->datagrams.probe = true;
            shake->retry_ns = now + RTO_INITIAL_NS;
            return;
        }
    } else if (shake->tries == 0) {
        return; /* the moment is not over */
    }
    shake_send_confirm(client, now);
}

static void send_close(struct wild_client *client)
{
    uint8_t *out = client->datagrams.send_room[0];
    const struct session_keys *session = &client->secrets->current;
    size_t length = datagram_seal(&session->send, DATAGRAM_CLOSE, session->version, session->session,
                                  client->datagrams.send_counter++, out, 0);
    datagrams_send(client, out, length);
}

static void take_ready(struct wild_client *client, const uint8_t *bytes, size_t length, uint64_t now)
{
    struct client_secrets *secrets = client->secrets;
    if (client->datagrams.shake.state != SHAKE_CONFIRM ||
        handshake_ready_check(&secrets->next, bytes, length) != 0) {
        client->statistics.datagrams_refused++;
        return;
    }
    client->statistics.datagrams_received++;
    if (client->live) {
        /* If the node still knows the old session, its datagrams under way must not be executed late. */
        send_close(client);
        client->statistics.reconnects++;
    }
    memcpy(&secrets->current, &secrets->next, sizeof(secrets->current));
    client->node = client->datagrams.shake.node;
    shake_end(client);
    client->datagrams.send_counter = 0;
    client->datagrams.received = (struct replay_window){0};
    client->datagrams.silent_rounds = 0;
    client->datagrams.heard_ns = now;
    client->live = true;
    pipeline_renew(client, now);
}

void client_session_take(struct wild_client *client, unsigned kind, uint8_t *bytes, size_t length,
                         uint64_t now)
{
    switch (kind) {
    case DATAGRAM_COOKIE:
        take_cookie(client, bytes, length, now);
        break;
    case DATAGRAM_RESPONSE:
        take_response(client, bytes, length, now);
        break;
    case DATAGRAM_READY:
        take_ready(client, bytes, length, now);
        break;
    default:
        client->statistics.datagrams_refused++;
    }
}

void client_session_doubt(struct wild_client *client, uint64_t now)
{
    if (client->live && now - client->datagrams.heard_ns > client->doubt_ns) {
        datagrams_receive(client, now); /* what has been waiting in the socket is no sign of present life */
        client->datagrams.probe = true;
        client_session_start(client, now);
    }
}

void client_session_alive(struct wild_client *client, uint64_t now)
{
    client->datagrams.heard_ns = now;
    client->datagrams.silent_rounds = 0;
    if (client->datagrams.shake.state == SHAKE_INIT ||
        (client->datagrams.shake.state == SHAKE_CONFIRM && client->datagrams.shake.tries == 0))
        shake_end(client);
}

void client_session_end(struct wild_client *client)
{
    if (client_may_seal(client))
        send_close(client);
    client->live = false;
    shake_end(client);
}
