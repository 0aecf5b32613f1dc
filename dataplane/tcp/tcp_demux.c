#include "tcp/tcp_demux.h"

#include <errno.h>
#include <stddef.h>
#include <string.h>

#include <rte_common.h>
#include <rte_malloc.h>
#include <rte_prefetch.h>

#include "check.h"

static_assert(offsetof(struct flow, peer_port) == 32 && offsetof(struct flow, local_port) == 34,
              "the ports stand side by side");

int tcp_demux_init(struct tcp_demux *demux, uint32_t numbers_max, const struct siphash_key *key,
                   int numa_node)
{
    /* at most half full: short runs, and a free slot ends every search */
    uint32_t slots = rte_align32pow2(2 * numbers_max + 2);
    *demux = (struct tcp_demux){.mask = slots - 1, .hash_start = siphash_start(key)};
    demux->slot = rte_zmalloc_socket("tcp_demux", slots * sizeof *demux->slot, 64, numa_node);
    return demux->slot != NULL ? 0 : -ENOMEM;
}

void tcp_demux_fini(struct tcp_demux *demux)
{
    rte_free(demux->slot);
    *demux = (struct tcp_demux){0};
}

uint32_t tcp_flow_hash(const struct tcp_demux *demux, const struct flow *flow)
{
    /* IPv4: 8 bytes say it all, and cost half. The two forms cannot meet: the length goes into the hash. */
    uint8_t bytes[20];
    memcpy(bytes, flow->peer.bytes, 16);
    memcpy(bytes + 16, &flow->peer_port, 4);
    if (likely(address_is_ip4(&flow->peer)))
        return (uint32_t)siphash13(&demux->hash_start, bytes + 12, 8);
    return (uint32_t)siphash13(&demux->hash_start, bytes, sizeof bytes);
}

void tcp_demux_prefetch(const struct tcp_demux *demux, uint32_t hash)
{
    rte_prefetch0(&demux->slot[hash & demux->mask]);
}

uint32_t tcp_demux_find(const struct tcp_demux *demux, uint32_t hash, uint32_t *at)
{
    for (;; (*at)++) {
        const struct tcp_demux_slot *slot = &demux->slot[(hash + *at) & demux->mask];
        if (slot->number == 0)
            return TCP_DEMUX_NONE;
        if (slot->hash == hash) {
            (*at)++;
            return slot->number - 1;
        }
    }
}

void tcp_demux_add(struct tcp_demux *demux, uint32_t hash, uint32_t number)
{
    uint32_t i = hash & demux->mask;
    while (demux->slot[i].number != 0)
        i = (i + 1) & demux->mask;
    demux->slot[i] = (struct tcp_demux_slot){.hash = hash, .number = number + 1};
}

/* Where (hash, number) stands. It does. */
static uint32_t slot_of(const struct tcp_demux *demux, uint32_t hash, uint32_t number)
{
    uint32_t i = hash & demux->mask;
    while (demux->slot[i].hash != hash || demux->slot[i].number != number + 1) {
        CHECK(demux->slot[i].number != 0);
        i = (i + 1) & demux->mask;
    }
    return i;
}

void tcp_demux_remove(struct tcp_demux *demux, uint32_t hash, uint32_t number)
{
    uint32_t hole = slot_of(demux, hash, number);
    /* what was pushed past the hole from at or before it moves back into it */
    for (uint32_t i = (hole + 1) & demux->mask; demux->slot[i].number != 0; i = (i + 1) & demux->mask) {
        uint32_t pushed = (i - demux->slot[i].hash) & demux->mask;
        if (pushed >= ((i - hole) & demux->mask)) {
            demux->slot[hole] = demux->slot[i];
            hole = i;
        }
    }
    demux->slot[hole].number = 0;
}

void tcp_demux_replace(struct tcp_demux *demux, uint32_t hash, uint32_t number, uint32_t by)
{
    demux->slot[slot_of(demux, hash, number)].number = by + 1;
}
