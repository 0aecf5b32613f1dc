/*
 * tcp_sources.h - how many connections each source has: an IPv4 address, or an IPv6 /64, as one owner of a
 * network has 2^64 addresses.
 *
 * A demultiplexer whose numbers are counts: sources are told apart by 32 bits of a keyed hash, so two of them
 * may, rarely and at nobody's will, share a limit. No more sources than connections can be in it.
 */
#ifndef WILD_TCP_SOURCES_H
#define WILD_TCP_SOURCES_H

#include <stdbool.h>

#include "tcp/tcp_demux.h"

struct tcp_sources {
    struct tcp_demux counts;
    uint32_t each_max; /* 0: no limit, nothing is counted */
};

/* 0 or -ENOMEM. */
int tcp_sources_init(struct tcp_sources *sources, uint32_t connections_max, uint32_t each_max,
                     const struct siphash_key *key, int numa_node);
void tcp_sources_fini(struct tcp_sources *sources);

bool tcp_source_full(const struct tcp_sources *sources, const struct address *source);
/* Counts one more, unless the source has its share: false. Each true is given back once. */
bool tcp_source_take(struct tcp_sources *sources, const struct address *source);
void tcp_source_give_back(struct tcp_sources *sources, const struct address *source);

#endif
