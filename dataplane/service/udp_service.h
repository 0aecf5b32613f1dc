/*
 * udp_service.h - the face between net/ and what answers datagrams: frames below, payloads above, no mbuf
 * here.
 *
 * A worker gathers the datagrams for its port from one received burst and hands them over together, so that
 * the service can overlap its memory accesses. The service answers in place.
 */
#ifndef WILD_UDP_SERVICE_H
#define WILD_UDP_SERVICE_H

#include <stdbool.h>

#include "instant.h"
#include "net/endpoint.h"

struct udp_datagram {
    uint8_t *payload;        /* in: the request; out: the reply, written over it */
    uint16_t length;         /* in: request bytes; out: reply bytes, 0 = no reply (the frame is freed) */
    uint16_t room;           /* bytes that a reply may take at `payload` */
    struct return_path path; /* copied by the service if it answers later */
};

struct udp_service {
    void *state;
    /* Answers or drops every datagram. count <= 64. */
    void (*burst)(void *state, struct udp_datagram *datagrams, unsigned count, struct instant now);
    /* Called once a worker turn: deferred answers go out through the transmit function the service was given.
     */
    void (*turn)(void *state, struct instant now);
};

static inline void udp_mute_burst(void *state, struct udp_datagram *datagrams, unsigned count,
                                  struct instant now)
{
    (void)state, (void)now;
    for (unsigned i = 0; i < count; i++)
        datagrams[i].length = 0;
}

static inline void udp_mute_turn(void *state, struct instant now)
{
    (void)state, (void)now;
}

/* Answers nothing: a worker's service until one is set, and where there is none. */
static inline struct udp_service udp_service_mute(void)
{
    return (struct udp_service){.burst = udp_mute_burst, .turn = udp_mute_turn};
}

/*
 * Sends one unprompted datagram (handshake answers, replies that waited). False: no buffer or queue room now,
 * it may be tried again. What can never be sent is counted and forgotten: true.
 */
struct udp_transmit {
    void *state;
    bool (*send)(void *state, const struct return_path *path, const uint8_t *payload, uint16_t length);
};

#endif
