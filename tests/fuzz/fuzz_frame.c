/*
 * fuzz_frame - whatever a link can deliver, into a whole worker with the native service in bench mode on top.
 *
 * Input: frames, each behind a 3-byte header: options, then the frame's length, little-endian (cut to what is
 * left). Every buffer is a heap block of exactly its size, so the sanitizer sees one byte too far; a second
 * segment, a tag taken out by the device, a device's verdict on checksums and a missing headroom or tailroom
 * are options. After the frames the clock moves on. Checked: no buffer is lost, no answer is larger than its
 * buffer, and what is answered has the length it says.
 */
#include <rte_malloc.h>
#include <rte_ring.h>

#include "fuzz_buffer.h"
#include "native_peer.h"
#include "test_eal.h"
#include "worker.h"

enum option {
    OPTION_NO_HEADROOM = 1,
    OPTION_NO_TAILROOM = 2,
    OPTION_STRIPPED_TAG = 4,
    OPTION_TWO_SEGMENTS = 8,
    OPTION_CHECKSUMS_GOOD = 16,
    OPTION_CHECKSUMS_BAD = 32,
};

enum { POOL_MBUFS = 255, FRAME_HEADER_BYTES = 3, FRAMES_MAX = 48, TAIL_BYTES = 2048 };

struct fuzz {
    struct rte_mempool *pool;
    struct rte_ring *to_control;
    struct native_shared shared;
    struct native_node node;
    struct worker *worker;
    struct rte_mbuf *in[FRAMES_MAX];
    unsigned in_count, in_taken;
};

static struct fuzz fuzz;

/* ---- frames ---- */

static struct rte_mbuf *buffer_make(const uint8_t *bytes, size_t length, unsigned options)
{
    struct rte_mbuf *mbuf =
        fuzz_buffer(fuzz.pool, bytes, length, options & OPTION_NO_HEADROOM ? 0 : RTE_PKTMBUF_HEADROOM,
                    options & OPTION_NO_TAILROOM ? 0 : TAIL_BYTES);
    MUST(mbuf != NULL);
    return mbuf;
}

static struct rte_mbuf *frame_make(const uint8_t *bytes, size_t length, unsigned options)
{
    size_t first = options & OPTION_TWO_SEGMENTS ? length / 2 : length;
    struct rte_mbuf *mbuf = buffer_make(bytes, first, options);
    if (options & OPTION_TWO_SEGMENTS)
        MUST(rte_pktmbuf_chain(mbuf, buffer_make(bytes + first, length - first, options)) == 0);
    if (options & OPTION_STRIPPED_TAG) {
        mbuf->ol_flags |= RTE_MBUF_F_RX_VLAN | RTE_MBUF_F_RX_VLAN_STRIPPED;
        mbuf->vlan_tci = (uint16_t)(length * 257);
    }
    if (options & OPTION_CHECKSUMS_GOOD)
        mbuf->ol_flags |= RTE_MBUF_F_RX_IP_CKSUM_GOOD | RTE_MBUF_F_RX_L4_CKSUM_GOOD;
    if (options & OPTION_CHECKSUMS_BAD)
        mbuf->ol_flags |= RTE_MBUF_F_RX_IP_CKSUM_BAD | RTE_MBUF_F_RX_L4_CKSUM_BAD;
    return mbuf;
}

/* ---- the port ---- */

static uint16_t receive(void *state, struct rte_mbuf **frames, uint16_t room)
{
    (void)state;
    uint16_t count = 0;
    while (count < room && fuzz.in_taken < fuzz.in_count)
        frames[count++] = fuzz.in[fuzz.in_taken++];
    return count;
}

static uint16_t transmit(void *state, struct rte_mbuf **frames, uint16_t count)
{
    (void)state;
    for (unsigned i = 0; i < count; i++) {
        const struct rte_mbuf *mbuf = frames[i];
        MUST(mbuf->nb_segs == 1 && mbuf->data_len == mbuf->pkt_len);
        MUST(mbuf->data_off + mbuf->data_len <= mbuf->buf_len);
        MUST(mbuf->data_len >= 42 && mbuf->data_len <= 1518);
        rte_pktmbuf_free(frames[i]);
    }
    return count;
}

/* ---- the node ---- */

static const uint8_t node_mac[6] = {2, 0, 0, 0, 0, 1};

static void start(void)
{
    test_eal_start();
    fuzz.pool = test_eal_pool("fuzz", POOL_MBUFS);
    fuzz.to_control = rte_ring_create("to_control", 64, SOCKET_ID_ANY, 0);
    struct native_options options = {.bench_mode = true, .sessions_max = 16};
    native_start(&fuzz.shared, &fuzz.node, &options);
    struct worker_config config = {
        .ports = 1,
        .udp_port = 7878,
        .pool = fuzz.pool,
        .to_control = fuzz.to_control,
        .counters = &fuzz.node.counters,
    };
    config.port[0] = (struct worker_port){
        .queue = {.receive = receive, .transmit = transmit},
        .address = address_from_ip4(RTE_BE32(0xC6120001)),
        .prefix_length = 24,
        .rx_checksum_offload = true,
        .mtu = 1500,
    };
    memcpy(config.port[0].mac.addr_bytes, node_mac, 6);
    fuzz.worker = worker_create(&config, SOCKET_ID_ANY);
    MUST(fuzz.worker != NULL);
    worker_set_service(fuzz.worker, fuzz.node.face);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t length)
{
    if (fuzz.worker == NULL)
        start();
    fuzz.in_count = fuzz.in_taken = 0;
    while (length >= FRAME_HEADER_BYTES && fuzz.in_count < FRAMES_MAX) {
        unsigned options = bytes[0];
        size_t frame = (size_t)bytes[1] | (size_t)bytes[2] << 8;
        bytes += FRAME_HEADER_BYTES;
        length -= FRAME_HEADER_BYTES;
        frame = frame < length ? frame : length;
        frame = frame < 4096 ? frame : 4096;
        fuzz.in[fuzz.in_count++] = frame_make(bytes, frame, options);
        bytes += frame;
        length -= frame;
    }
    while (worker_turn(fuzz.worker, fuzz.shared.now) > 0) {
    }
    native_turn(&fuzz.node);
    fuzz.node.sent = 0; /* deferred answers went to the outbox */
    void *mbuf;
    while (rte_ring_dequeue(fuzz.to_control, &mbuf) == 0)
        rte_pktmbuf_free(mbuf);
    MUST(rte_mempool_avail_count(fuzz.pool) == POOL_MBUFS);
    native_pass_time(&fuzz.shared, 1000000);
    return 0;
}
