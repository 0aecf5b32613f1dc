/*
 * worker_handover.c - segments for the control lcore's TCP: which they are, and their way to it. Nobody's
 * segments but these: who sends others gets the answer of a closed port, and who sends these fills a ring
 * that is bounded, up to his share.
 *
 * One ring for all, so that a flow's segments stay in order when its rank changes. How much of it is in use
 * is looked at without a lock: workers that look at once exceed a share by a frame each.
 */
#include "worker_internal.h"

#include <rte_ring.h>

/* Low bits: of the port's own, in place of which the rank stands. */
#define RANK_MASK UINT64_C(0xffff)

static unsigned set_of(uint64_t flow)
{
    return (unsigned)(flow * UINT64_C(0x9E3779B97F4A7C15) >> 32) % WORKER_HANDOVER_SETS;
}

static enum worker_handover_rank rank_of_peer(const struct worker_handover *handover, rte_be32_t source,
                                              rte_be16_t port)
{
    uint64_t flow = worker_handover_flow(source, port, 0);
    const _Atomic uint64_t *way = handover->peer[set_of(flow)];

    for (unsigned i = 0; i < WORKER_HANDOVER_WAYS; i++) {
        uint64_t word = atomic_load_explicit(&way[i], memory_order_relaxed);
        if ((word & ~RANK_MASK) == flow && word != 0)
            return (enum worker_handover_rank)(word & RANK_MASK);
    }
    return HANDOVER_STRANGER;
}

enum worker_handover_rank worker_handover_of(const struct worker *worker, rte_be32_t source,
                                             const uint8_t *segment)
{
    const struct worker_handover *handover = worker->handover;
    const struct rte_tcp_hdr *tcp = (const struct rte_tcp_hdr *)segment;
    if (tcp->dst_port == worker->udp_port)
        return HANDOVER_NONE;
    /* relaxed, all of them: a word is whole in itself, and a segment that comes too early comes again */
    if (tcp->dst_port == atomic_load_explicit(&handover->port, memory_order_relaxed))
        return tcp->dst_port != 0 ? rank_of_peer(handover, source, tcp->src_port) : HANDOVER_NONE;
    uint64_t flow = worker_handover_flow(source, tcp->src_port, tcp->dst_port);
    for (unsigned i = 0; i < WORKER_HANDOVER_FLOWS; i++)
        if (atomic_load_explicit(&handover->flow[i], memory_order_relaxed) == flow)
            return HANDOVER_TRUSTED;
    return HANDOVER_NONE;
}

static bool has_room(struct rte_ring *ring, enum worker_handover_rank rank)
{
    unsigned capacity = rte_ring_get_capacity(ring);

    return rank == HANDOVER_TRUSTED ||
           rte_ring_count(ring) < (rank == HANDOVER_ACCEPTED ? capacity / 2 : capacity / 4);
}

void worker_hand_over(struct worker *worker, struct worker_link *link, struct rte_mbuf *frame,
                      enum worker_handover_rank rank)
{
    if (!has_room(link->to_streams, rank) || rte_ring_enqueue(link->to_streams, frame) != 0)
        worker_drop(worker, frame, COUNTER_handed_over_full);
    else
        counter_add(worker->counters, COUNTER_handed_over, 1);
}

/* ---- the control lcore ---- */

/* Its own, a free one, or that of somebody who ranks below; NULL: there is none. */
static _Atomic uint64_t *find_way(struct worker_handover *handover, uint64_t flow,
                                  enum worker_handover_rank rank)
{
    _Atomic uint64_t *way = handover->peer[set_of(flow)], *found = NULL;
    uint64_t least = rank;

    for (unsigned i = 0; i < WORKER_HANDOVER_WAYS; i++) {
        uint64_t word = atomic_load_explicit(&way[i], memory_order_relaxed); /* written by this thread */
        if (word != 0 && (word & ~RANK_MASK) == flow)
            return &way[i];
        if ((word & RANK_MASK) < least) {
            least = word & RANK_MASK;
            found = &way[i];
        }
    }
    return found;
}

void worker_handover_set(struct worker_handover *handover, rte_be32_t peer, rte_be16_t peer_port,
                         enum worker_handover_rank rank)
{
    uint64_t flow = worker_handover_flow(peer, peer_port, 0);
    _Atomic uint64_t *way = find_way(handover, flow, rank);
    bool none = rank <= HANDOVER_STRANGER;

    if (way == NULL || (none && (atomic_load_explicit(way, memory_order_relaxed) & ~RANK_MASK) != flow))
        return;
    atomic_store_explicit(way, none ? 0 : flow | rank, memory_order_relaxed);
}
