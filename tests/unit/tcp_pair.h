/*
 * tcp_pair.h - two stacks at the ends of a link made of arrays, in virtual time: what users of streams see,
 * with whatever the link does to segments in between. Seeded: the same run every time.
 */
#ifndef WILD_TEST_TCP_PAIR_H
#define WILD_TEST_TCP_PAIR_H

#include <rte_malloc.h>

#include "seeded.h"
#include "suite.h"
#include "tcp/tcp.h"
#include "test_eal.h"

enum { PAIR_IN_FLIGHT_MAX = 4096, PAIR_PORT = 7878, PAIR_MBUFS = 4096 };
#define PAIR_MS UINT64_C(1000000)

struct pair_frame {
    struct rte_mbuf *frame;
    struct return_path path; /* as the receiver will see it */
    uint64_t at_ns;
};

struct pair_side {
    struct tcp *tcp;
    struct counters *counters;
    struct pair *pair;
    struct pair_side *other;
    struct pair_frame in[PAIR_IN_FLIGHT_MAX]; /* on their way to this side, unordered */
    unsigned in_count, sent;
};

struct pair {
    struct rte_mempool *pool;
    struct pair_side side[2];
    uint64_t now_ns, random;
    uint64_t delay_ns, jitter_ns;
    unsigned loss_percent, duplicate_percent;
    uint16_t mtu;
    /* NULL or a look at what leaves; false: it is lost */
    bool (*watch)(struct pair_side *from, const struct tcp_segment *segment);
};

static inline struct instant pair_now(const struct pair *pair)
{
    return (struct instant){.mono_ns = pair->now_ns};
}

static inline void pair_deliver_later(struct pair_side *to, const struct rte_mbuf *frame,
                                      const struct return_path *path)
{
    struct pair *pair = to->pair;
    struct rte_mbuf *copy = rte_pktmbuf_alloc(pair->pool);
    if (copy == NULL || to->in_count == PAIR_IN_FLIGHT_MAX) { /* a link, too, has no more room than it has */
        rte_pktmbuf_free(copy);
        return;
    }
    memcpy(rte_pktmbuf_append(copy, frame->data_len), rte_pktmbuf_mtod(frame, void *), frame->data_len);
    struct pair_frame *in = &to->in[to->in_count++];
    in->frame = copy;
    in->path = *path;
    in->path.flow.peer = path->flow.local;
    in->path.flow.local = path->flow.peer;
    in->path.flow.peer_port = path->flow.local_port;
    in->path.flow.local_port = path->flow.peer_port;
    in->at_ns = pair->now_ns + pair->delay_ns;
    if (pair->jitter_ns > 0)
        in->at_ns += seeded_below(&pair->random, pair->jitter_ns);
}

static inline void pair_send(void *state, struct rte_mbuf *frame, const struct return_path *path)
{
    struct pair_side *from = state;
    struct pair *pair = from->pair;
    struct tcp_arrival arrival = {
        .frame = frame, .header = rte_pktmbuf_mtod(frame, uint8_t *), .length = frame->data_len};
    struct tcp_segment segment;
    CU_ASSERT_FATAL(tcp_segment_decode(&segment, &arrival));
    tcp_options_decode(&segment.options, &segment, arrival.header);
    CU_ASSERT(frame->data_len + 20 <= pair->mtu);
    from->sent++;
    bool lost = pair->watch != NULL && !pair->watch(from, &segment);
    if (!lost && seeded_below(&pair->random, 100) >= pair->loss_percent) {
        pair_deliver_later(from->other, frame, path);
        if (seeded_below(&pair->random, 100) < pair->duplicate_percent)
            pair_deliver_later(from->other, frame, path);
    }
    rte_pktmbuf_free(frame);
}

static inline uint16_t pair_mtu(void *state, const struct return_path *path)
{
    (void)path;
    return ((struct pair_side *)state)->pair->mtu;
}

static inline struct tcp_config pair_config(struct pair *pair, unsigned which,
                                            const struct random_source *random)
{
    return (struct tcp_config){
        .pool = pair->pool,
        .output = {.state = &pair->side[which], .send = pair_send, .mtu = pair_mtu},
        .counters = pair->side[which].counters,
        .random = random,
        .connections_max = 64,
        .time_wait_max = 32,
        .half_open_max = 16,
        .send_frames_max = 1024,
        .receive_frames_max = 1024,
        .send_bytes_max = 32768,
        .receive_bytes_max = 32768,
        .numa_node = SOCKET_ID_ANY,
    };
}

/* The other fields of `pair` are as they shall be; `configs` NULL: pair_config(). */
static inline void pair_start(struct pair *pair, const struct tcp_config *configs)
{
    for (unsigned i = 0; i < 2; i++) {
        struct pair_side *side = &pair->side[i];
        side->pair = pair;
        side->other = &pair->side[1 - i];
        side->in_count = side->sent = 0;
        side->counters = rte_zmalloc("counters", sizeof *side->counters, 64);
        CU_ASSERT_PTR_NOT_NULL_FATAL(side->counters);
        struct random_source random = seeded_source(&pair->random);
        struct tcp_config config = configs != NULL ? configs[i] : pair_config(pair, i, &random);
        config.counters = side->counters;
        config.random = &random;
        side->tcp = tcp_create(&config, pair_now(pair));
        CU_ASSERT_PTR_NOT_NULL_FATAL(side->tcp);
    }
}

/* Every frame must be back. */
static inline void pair_stop(struct pair *pair)
{
    for (unsigned i = 0; i < 2; i++) {
        tcp_destroy(pair->side[i].tcp);
        for (unsigned k = 0; k < pair->side[i].in_count; k++)
            rte_pktmbuf_free(pair->side[i].in[k].frame);
        pair->side[i].in_count = 0;
    }
    for (unsigned i = 0; i < 2; i++) { /* what destroying sent */
        for (unsigned k = 0; k < pair->side[i].in_count; k++)
            rte_pktmbuf_free(pair->side[i].in[k].frame);
        rte_free(pair->side[i].counters);
    }
    CU_ASSERT_EQUAL(rte_mempool_avail_count(pair->pool), pair->pool->size);
}

static inline uint64_t pair_next_ns(const struct pair *pair)
{
    uint64_t next = UINT64_MAX;
    for (unsigned i = 0; i < 2; i++) {
        const struct pair_side *side = &pair->side[i];
        next = RTE_MIN(next, tcp_next_ns(side->tcp));
        for (unsigned k = 0; k < side->in_count; k++)
            next = RTE_MIN(next, side->in[k].at_ns);
    }
    return next;
}

/* Hands over what is due, in the order of arrival, in bursts. */
static inline void pair_arrive(struct pair_side *side)
{
    struct tcp_arrival arrival[TCP_BURST_MAX];
    unsigned count = 0;
    while (count < TCP_BURST_MAX) {
        unsigned first = UINT32_MAX;
        for (unsigned k = 0; k < side->in_count; k++) {
            if (side->in[k].at_ns <= side->pair->now_ns &&
                (first == UINT32_MAX || side->in[k].at_ns < side->in[first].at_ns))
                first = k;
        }
        if (first == UINT32_MAX)
            break;
        struct pair_frame in = side->in[first];
        side->in_count--;
        memmove(&side->in[first], &side->in[first + 1], (side->in_count - first) * sizeof in);
        arrival[count++] = (struct tcp_arrival){.frame = in.frame,
                                                .header = rte_pktmbuf_mtod(in.frame, uint8_t *),
                                                .length = in.frame->data_len,
                                                .path = in.path};
    }
    if (count > 0)
        tcp_input(side->tcp, arrival, count, pair_now(side->pair));
}

static inline void pair_turn(struct pair *pair)
{
    for (unsigned i = 0; i < 2; i++)
        pair_arrive(&pair->side[i]);
    for (unsigned i = 0; i < 2; i++)
        tcp_turn(pair->side[i].tcp, pair_now(pair));
}

/* Lets everything happen that happens in the next `ns`. */
static inline void pair_run(struct pair *pair, uint64_t ns)
{
    uint64_t end_ns = pair->now_ns + ns;
    unsigned still = 0;
    pair_turn(pair);
    for (uint64_t next; (next = pair_next_ns(pair)) <= end_ns;) {
        still = next <= pair->now_ns ? still + 1 : 0;
        CU_ASSERT_FATAL(still < 100); /* time does not stand still */
        pair->now_ns = RTE_MAX(next, pair->now_ns);
        pair_turn(pair);
    }
    pair->now_ns = end_ns;
}

static inline uint64_t pair_counter(const struct pair *pair, unsigned side, enum counter which)
{
    return counter_get(pair->side[side].counters, which);
}

static inline struct return_path pair_path(unsigned client)
{
    struct return_path path = {.vlan_tci = VLAN_NONE};
    path.flow.peer = address_from_ip4(RTE_BE32(0xC6120001));
    path.flow.local = address_from_ip4(rte_cpu_to_be_32(0xC6130001 + client));
    path.flow.peer_port = RTE_BE16(PAIR_PORT);
    return path;
}

#endif
