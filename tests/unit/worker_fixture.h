/*
 * worker_fixture.h - one worker on an array port with an echoing service, for the tests of net/ and worker.
 */
#ifndef WILD_TEST_WORKER_FIXTURE_H
#define WILD_TEST_WORKER_FIXTURE_H

#include <CUnit/CUnit.h>

#include <rte_malloc.h>
#include <rte_ring.h>

#include "frames.h"
#include "test_eal.h"
#include "worker.h"

enum { FIXTURE_POOL_MBUFS = 511, FIXTURE_UDP_PORT = 7878 };

static const uint8_t node_mac[6] = {0x02, 0, 0, 0, 0, 0x01}, peer_mac[6] = {0x02, 0, 0, 0, 0, 0x99};

struct echo_service {
    struct udp_datagram last; /* as it came */
    uint8_t last_payload[FRAME_ROOM];
    unsigned bursts, datagrams, turns;
    bool silent;
    uint16_t answer_bytes; /* 0: as long as the request */
};

static inline void echo_burst(void *state, struct udp_datagram *datagrams, unsigned count, struct instant now)
{
    struct echo_service *echo = state;
    (void)now;
    echo->bursts++;
    echo->datagrams += count;
    for (unsigned i = 0; i < count; i++) {
        echo->last = datagrams[i];
        memcpy(echo->last_payload, datagrams[i].payload, datagrams[i].length);
        uint16_t answer = echo->answer_bytes ? echo->answer_bytes : datagrams[i].length;
        datagrams[i].length = echo->silent ? 0 : answer < datagrams[i].room ? answer : datagrams[i].room;
    }
}

static inline void echo_turn(void *state, struct instant now)
{
    struct echo_service *echo = state;
    (void)now;
    echo->turns++;
}

struct fixture {
    struct rte_mempool *pool;
    struct counters *counters;
    struct rte_ring *to_control, *from_control;
    struct frame_port port;
    struct echo_service echo;
    struct worker_config config;
    struct worker *worker;
    struct instant now;
};

/* One a process; made in main() after test_eal_start(). */
static struct fixture fx;

static inline struct frame_fields usual_fields(void)
{
    struct frame_fields fields = {
        .vlan_tci = FRAME_UNTAGGED,
        .source = frame_ip4(198, 18, 0, 9),
        .destination = frame_ip4(198, 18, 0, 1),
        .source_port = 40000,
        .destination_port = FIXTURE_UDP_PORT,
    };
    memcpy(fields.to, node_mac, 6);
    memcpy(fields.from, peer_mac, 6);
    return fields;
}

static inline void fixture_start_worker(void)
{
    fx.worker = worker_create(&fx.config, SOCKET_ID_ANY);
    worker_set_service(fx.worker,
                       (struct udp_service){.state = &fx.echo, .burst = echo_burst, .turn = echo_turn});
}

static inline void fixture_create(void)
{
    test_eal_start();
    fx.pool = test_eal_pool("fixture", FIXTURE_POOL_MBUFS);
    fx.counters = rte_zmalloc("counters", sizeof *fx.counters, 64);
    fx.to_control = rte_ring_create("to_control", 16, SOCKET_ID_ANY, 0);
    fx.from_control = rte_ring_create("from_control", 16, SOCKET_ID_ANY, 0);
}

/* CUnit's per-test set-up: everything as new, the port's room whole. */
static inline void fixture_reset(void)
{
    memset(fx.counters, 0, sizeof *fx.counters);
    fx.port = (struct frame_port){.in_count = 0};
    fx.echo = (struct echo_service){.bursts = 0};
    fx.now = (struct instant){.mono_ns = 1000000000, .wall_ms = 1700000000000};
    fx.config = (struct worker_config){
        .ports = 1,
        .udp_port = FIXTURE_UDP_PORT,
        .pool = fx.pool,
        .to_control = fx.to_control,
        .counters = fx.counters,
    };
    struct worker_port *port = &fx.config.port[0];
    port->queue = frame_port_queue(&fx.port);
    memcpy(port->mac.addr_bytes, node_mac, 6);
    port->address = address_from_ip4(rte_cpu_to_be_32(frame_ip4(198, 18, 0, 1)));
    port->prefix_length = 24;
    port->mtu = 1500;
    port->from_control = fx.from_control;
    fixture_start_worker();
}

/* The worker again, after a test changed fx.config. */
static inline void fixture_restart_worker(void)
{
    worker_destroy(fx.worker);
    fixture_start_worker();
}

/* CUnit's per-test clean-up: no buffer may be missing. */
static inline void fixture_check_no_leak(void)
{
    void *mbuf;
    worker_destroy(fx.worker);
    frame_port_clear(&fx.port);
    while (rte_ring_dequeue(fx.to_control, &mbuf) == 0)
        rte_pktmbuf_free(mbuf);
    CU_ASSERT_EQUAL(rte_mempool_avail_count(fx.pool), FIXTURE_POOL_MBUFS);
}

static inline struct rte_mbuf *push_bytes(const uint8_t *bytes, size_t length)
{
    struct rte_mbuf *mbuf = frame_port_push(&fx.port, fx.pool, bytes, length);
    CU_ASSERT_PTR_NOT_NULL_FATAL(mbuf);
    return mbuf;
}

static inline struct rte_mbuf *push(const struct frame *frame)
{
    return push_bytes(frame->bytes, frame->length);
}

static inline unsigned turn(void)
{
    return worker_turn(fx.worker, fx.now);
}

static inline uint64_t count(enum counter which)
{
    return counter_get(fx.counters, which);
}

/* Takes this one frame, answers nothing, and counts exactly this reason. */
static inline void expect_dropped(const struct frame *frame, enum counter reason)
{
    uint64_t before = count(reason);
    unsigned out = fx.port.out_count, seen = fx.echo.datagrams;
    push(frame);
    CU_ASSERT_EQUAL(turn(), 1);
    CU_ASSERT_EQUAL(count(reason), before + 1);
    CU_ASSERT_EQUAL(fx.port.out_count, out);
    CU_ASSERT_EQUAL(fx.echo.datagrams, seen);
}

/* Takes this one frame and answers it with one frame, which is returned (freed by the next clear). */
static inline const uint8_t *expect_answer(const struct frame *frame, size_t *length)
{
    frame_port_clear(&fx.port);
    push(frame);
    turn();
    CU_ASSERT_EQUAL_FATAL(fx.port.out_count, 1);
    *length = fx.port.out[0]->pkt_len;
    CU_ASSERT_EQUAL(fx.port.out[0]->data_len, fx.port.out[0]->pkt_len);
    return rte_pktmbuf_mtod(fx.port.out[0], const uint8_t *);
}

#endif
