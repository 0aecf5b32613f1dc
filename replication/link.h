/*
 * link.h - a byte stream as replication sees it: what it may do with one, given as a table, so that nothing here knows
 * sockets, frames or lcores. app/ joins it with dataplane/stream.h, which has the promises; a test with two buffers.
 *
 * One thread owns a link and calls every function here and everything of channel.h.
 */
#ifndef WILD_LINK_H
#define WILD_LINK_H

#include <stddef.h>
#include <stdint.h>

struct link_functions {
    /* At least `least` bytes of room (<= 524), *room of them, until the caller returns; NULL: not now. */
    uint8_t *(*reserve)(void *stream, size_t least, size_t *room);
    void (*commit)(void *stream, size_t length); /* of the last reserve */
    /* Bytes committed that the peer has not taken. */
    size_t (*unsent)(const void *stream);
    void (*close)(void *stream); /* in order: what was committed is sent. Nothing more is received */
    void (*abort)(void *stream); /* now */
};

struct link {
    const struct link_functions *functions;
    void *stream;
    uint8_t peer_address[16]; /* IPv4 mapped */
    uint16_t peer_port;       /* host order */
};

#endif
