/* worker_handover.c - segments for the control lcore's TCP: which they are, and their way to it. Nobody's segments but these:
 * who sends others gets the answer of a closed port, and who sends these fills a ring that is bounded. */
#include "worker_internal.h"

#include <rte_ring.h>

bool worker_hands_over(const struct worker *worker, rte_be32_t source, const uint8_t *segment)
{
    const struct worker_handover *handover = worker->handover;
    const struct rte_tcp_hdr *tcp = (const struct rte_tcp_hdr *)segment;
    if (tcp->dst_port == worker->udp_port)
        return false;
    /* relaxed, all of them: a word is whole in itself, and a segment that comes too early comes again */
    if (tcp->dst_port == atomic_load_explicit(&handover->port, memory_order_relaxed))
        return tcp->dst_port != 0;
    uint64_t flow = worker_handover_flow(source, tcp->src_port, tcp->dst_port);
    for (unsigned i = 0; i < WORKER_HANDOVER_FLOWS; i++)
        if (atomic_load_explicit(&handover->flow[i], memory_order_relaxed) == flow)
            return true;
    return false;
}

void worker_hand_over(struct worker *worker, struct worker_link *link, struct rte_mbuf *frame)
{
    if (rte_ring_enqueue(link->to_streams, frame) != 0)
        worker_drop(worker, frame, COUNTER_handed_over_full);
    else
        counter_add(worker->counters, COUNTER_handed_over, 1);
}
