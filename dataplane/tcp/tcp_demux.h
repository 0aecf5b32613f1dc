/*
 * tcp_demux.h - flow to number, O(1): open addressing with linear probing, under a keyed hash (who does not
 * know the key cannot make flows collide), at most half full; deletion shifts back, so there are no
 * tombstones.
 *
 * It stores hash and number only; the flow stands with what the number names, and the caller compares.
 */
#ifndef WILD_TCP_DEMUX_H
#define WILD_TCP_DEMUX_H

#include <stdbool.h>
#include <stdint.h>

#include "net/endpoint.h"
#include "siphash13.h"

enum { TCP_DEMUX_NONE = UINT32_MAX };

struct tcp_demux_slot {
    uint32_t hash;   /* 32 bits of the flow's */
    uint32_t number; /* + 1; 0: free */
};

struct tcp_demux {
    struct tcp_demux_slot *slot;
    uint32_t mask;
    struct siphash_state hash_start; /* of the key */
};

/* Room for `numbers_max` flows. 0 or -ENOMEM. */
int tcp_demux_init(struct tcp_demux *demux, uint32_t numbers_max, const struct siphash_key *key,
                   int numa_node);
void tcp_demux_fini(struct tcp_demux *demux);

/* Of peer address, peer port and local port (the local address is one of few: compared, not hashed). */
uint32_t tcp_flow_hash(const struct tcp_demux *demux, const struct flow *flow);
void tcp_demux_prefetch(const struct tcp_demux *demux, uint32_t hash);

/* Numbers filed under this hash, one after the other: *at starts at 0. TCP_DEMUX_NONE: no more. */
uint32_t tcp_demux_find(const struct tcp_demux *demux, uint32_t hash, uint32_t *at);
void tcp_demux_add(struct tcp_demux *demux, uint32_t hash, uint32_t number);
void tcp_demux_remove(struct tcp_demux *demux, uint32_t hash, uint32_t number);
void tcp_demux_replace(struct tcp_demux *demux, uint32_t hash, uint32_t number, uint32_t by);

#endif
