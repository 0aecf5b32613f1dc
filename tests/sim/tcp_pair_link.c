/*
 * tcp_pair_link.c - the link: packets in a heap by time of arrival, and everything that may befall them.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "seeded.h"
#include "tcp_pair_link.h"

enum {
    PACKETS_MAX = 4096, /* on their way at once; more are lost, as in any queue */
    PACKET_BYTES = 9000,
    IP4_BYTES = 20,
    FRONT_BYTES = 34,
    KEPT_MAX = 32, /* frames that a device still holds */
    BURST = 32,
};

struct pair_packet {
    uint64_t due_ns, order;
    struct pair_packet *next; /* in the free list */
    unsigned from;
    bool icmp; /* an ICMP error about this segment, for who sent it */
    uint16_t mtu;
    unsigned length;
    uint8_t bytes[PACKET_BYTES];
};

struct kept {
    struct rte_mbuf *frame;
    const uint8_t *bytes;
    size_t length;
    uint64_t sum;
};

/* Frames of both sides that were sent and must not change. */
static struct kept kept[KEPT_MAX];
static unsigned kept_at;

static uint64_t hash_more(uint64_t hash, const uint8_t *bytes, size_t length)
{
    uint64_t word;
    for (; length >= 8; bytes += 8, length -= 8) {
        memcpy(&word, bytes, 8);
        hash = (hash ^ word) * UINT64_C(0x9E3779B97F4A7C15);
        hash ^= hash >> 29;
    }
    for (; length > 0; bytes++, length--)
        hash = (hash ^ *bytes) * UINT64_C(1099511628211);
    return hash;
}

void pair_trace(struct pair *pair, const void *bytes, size_t length)
{
    pair->trace = hash_more(pair->trace ^ pair->now.mono_ns, bytes, length);
}

/* ---- addresses and checksums: RFC 9293 3.1 once more, independently ---- */

struct return_path pair_path(unsigned side)
{
    struct return_path path = {.vlan_tci = VLAN_NONE, .peer_mac = {2, 0, 0, 0, 0, (uint8_t)(1 + side)}};
    path.flow.peer = address_from_ip4(rte_cpu_to_be_32(0xC6120001 + side));
    path.flow.local = address_from_ip4(rte_cpu_to_be_32(0xC6120001 + !side));
    return path;
}

static uint16_t checksum(unsigned from, const uint8_t *segment, unsigned length)
{
    /* both addresses, whoever sends: the sum does not care which comes first */
    uint64_t sum = 2 * 0xC612 + 1 + 2 + 6 + length;
    (void)from;
    unsigned i = 0;
    for (; i + 1 < length; i += 2)
        sum += (unsigned)segment[i] << 8 | segment[i + 1];
    if (i < length)
        sum += (unsigned)segment[i] << 8;
    while (sum >> 16)
        sum = (sum & 0xFFFF) + (sum >> 16);
    return (uint16_t)~sum;
}

/* ---- the heap ---- */

static bool before(const struct pair_packet *a, const struct pair_packet *b)
{
    return a->due_ns < b->due_ns || (a->due_ns == b->due_ns && a->order < b->order);
}

static void heap_put(struct pair *pair, struct pair_packet *packet)
{
    unsigned at = pair->in_link++;
    for (; at > 0 && before(packet, pair->heap[(at - 1) / 2]); at = (at - 1) / 2)
        pair->heap[at] = pair->heap[(at - 1) / 2];
    pair->heap[at] = packet;
}

static struct pair_packet *heap_take(struct pair *pair)
{
    struct pair_packet *first = pair->heap[0], *last = pair->heap[--pair->in_link];
    unsigned at = 0;
    for (;;) {
        unsigned child = 2 * at + 1;
        if (child >= pair->in_link)
            break;
        if (child + 1 < pair->in_link && before(pair->heap[child + 1], pair->heap[child]))
            child++;
        if (!before(pair->heap[child], last))
            break;
        pair->heap[at] = pair->heap[child];
        at = child;
    }
    pair->heap[at] = last;
    return first;
}

static struct pair_packet *new_packet(struct pair *pair, unsigned from, const uint8_t *bytes, unsigned length)
{
    struct pair_packet *packet = pair->free;
    if (packet == NULL) {
        pair->lost++;
        return NULL;
    }
    pair->free = packet->next;
    packet->from = from;
    packet->icmp = false;
    packet->length = length;
    packet->order = pair->order++;
    memcpy(packet->bytes, bytes, length);
    return packet;
}

static void drop_packet(struct pair *pair, struct pair_packet *packet)
{
    packet->next = pair->free;
    pair->free = packet;
}

/* ---- what befalls a segment ---- */

static bool happens(struct pair *pair, unsigned per_1000)
{
    return per_1000 > 0 && seeded_below(&pair->random, 1000) < per_1000;
}

/* Options of a SYN turned to NOPs, as boxes in the path do that do not know them. */
static void strip(const struct pair_link *link, uint8_t *segment)
{
    unsigned header = (segment[12] >> 4) * 4u;
    for (unsigned at = 20; at < header && segment[at] != 0;) {
        unsigned length = segment[at] == 1 ? 1 : segment[at + 1];
        bool gone = (segment[at] == 3 && link->strip_scale) || (segment[at] == 4 && link->strip_sack) ||
                    (segment[at] == 8 && link->strip_timestamps);
        if (gone)
            memset(segment + at, 1, length);
        at += length;
    }
}

/* Up to eight bits in a row: never what an Internet checksum misses. */
static void corrupt(struct pair *pair, struct pair_packet *packet)
{
    unsigned bit = (unsigned)seeded_below(&pair->random, packet->length * 8);
    for (unsigned count = 1 + (unsigned)seeded_below(&pair->random, 8); count > 0 && bit < packet->length * 8;
         count--, bit++)
        packet->bytes[bit / 8] ^= (uint8_t)(1u << (bit % 8));
}

static void launch(struct pair *pair, unsigned from, const uint8_t *segment, unsigned length)
{
    const struct pair_link *link = &pair->link;
    struct pair_packet *packet = new_packet(pair, from, segment, length);
    if (packet == NULL)
        return;
    packet->due_ns = pair->now.mono_ns + link->delay_ns;
    if (happens(pair, link->late))
        packet->due_ns += seeded_below(&pair->random, link->late_ns + 1);
    if (happens(pair, link->corrupt))
        corrupt(pair, packet);
    heap_put(pair, packet);
}

static void too_long(struct pair *pair, unsigned from, const uint8_t *segment)
{
    if (!pair->link.icmp)
        return;
    struct pair_packet *packet = new_packet(pair, from, segment, 20);
    if (packet == NULL)
        return;
    packet->icmp = true;
    packet->mtu = pair->link.path_mtu;
    packet->due_ns = pair->now.mono_ns + pair->link.delay_ns;
    heap_put(pair, packet);
}

static struct pair_conversation *conversation_of(struct pair *pair, unsigned from, const uint8_t *segment)
{
    rte_be16_t ports[2];
    memcpy(ports, segment, sizeof ports);
    for (unsigned i = 0; i < PAIR_CONVERSATIONS_MAX; i++) {
        struct pair_conversation *c = &pair->conversations[i];
        unsigned role = c->ends[0].side == from ? 0 : 1;
        if (c->used && c->ports[role] == ports[0] && c->ports[!role] == ports[1])
            return c;
    }
    return NULL;
}

static void stall(struct pair *pair)
{
    uint64_t every_ns = pair->link.stall_every_ns;
    /* whether or not somebody sends; what would be over by now is skipped */
    if (pair->stall_at_ns + 16 * every_ns < pair->now.mono_ns)
        pair->stall_at_ns = pair->now.mono_ns - 2 * every_ns + seeded_below(&pair->random, every_ns);
    while (pair->stall_at_ns <= pair->now.mono_ns) {
        struct pair_side *side = &pair->sides[seeded_below(&pair->random, PAIR_SIDES)];
        side->stalled_until_ns = pair->stall_at_ns + seeded_below(&pair->random, pair->link.stall_ns);
        pair->stall_at_ns += every_ns / 2 + seeded_below(&pair->random, every_ns);
    }
}

/* For who replays a seed: WILD_TCP_TRACE. Numbers are absolute. */
static void show(const struct pair *pair, unsigned from, const uint8_t *s, unsigned length, bool gone)
{
    char flags[9];
    unsigned count = 0;
    for (unsigned bit = 0; bit < 8; bit++) {
        if (s[13] & 1u << bit)
            flags[count++] = "FSRP.UEW"[bit];
    }
    flags[count] = '\0';
    uint32_t number[2];
    memcpy(number, s + 4, 8);
    printf("%.6f %c %u>%u %s %u:+%u ack %u win %u%s\n", (double)pair->now.mono_ns / 1e9,
           from == 0 ? '>' : '<', s[0] << 8 | s[1], s[2] << 8 | s[3], flags, rte_be_to_cpu_32(number[0]),
           length - (s[12] >> 4) * 4u, rte_be_to_cpu_32(number[1]), (unsigned)(s[14] << 8 | s[15]),
           gone ? " lost" : "");
}

static void enter(struct pair *pair, unsigned from, uint8_t *segment, unsigned length)
{
    const struct pair_link *link = &pair->link;
    struct pair_conversation *c = conversation_of(pair, from, segment);
    pair->segments++;
    pair_trace(pair, segment, length);
    if ((segment[13] & TCP_SYN) && !(segment[13] & TCP_ACK))
        strip(link, segment);
    uint16_t sum = checksum(from, segment, length);
    segment[16] = (uint8_t)(sum >> 8);
    segment[17] = (uint8_t)sum;
    if (link->stall_every_ns != 0)
        stall(pair);
    if (c != NULL && c->plan.lost_ns != 0 && pair->now.mono_ns - c->opened_ns > c->plan.lost_ns)
        c->lost = true;
    bool gone = happens(pair, link->loss[from]) || pair->now.mono_ns < pair->sides[from].stalled_until_ns ||
                (c != NULL && c->lost) || (pair->drop != NULL && pair->drop(pair, from, segment, length));
    if (pair->verbose)
        show(pair, from, segment, length, gone);
    if (gone) {
        pair->lost++;
        return;
    }
    if (length + IP4_BYTES > link->path_mtu) {
        too_long(pair, from, segment);
        return;
    }
    launch(pair, from, segment, length);
    for (unsigned again = 0; again < 3 && happens(pair, link->repeat); again++)
        launch(pair, from, segment, length);
}

static void release(struct pair *pair, struct kept *place)
{
    if (place->frame == NULL)
        return;
    PAIR_MUST(pair, hash_more(0, place->bytes, place->length) == place->sum,
              "a frame changed after it had been sent");
    rte_pktmbuf_free(place->frame);
    place->frame = NULL;
}

static void output_send(void *state, struct rte_mbuf *frame, const struct return_path *path)
{
    struct pair_side *side = state;
    struct pair *pair = side->pair;
    uint8_t bytes[PACKET_BYTES];
    unsigned length = rte_pktmbuf_data_len(frame);
    (void)path;
    PAIR_MUST(pair, frame->nb_segs == 1 && length + IP4_BYTES <= pair->link.mtu, "%u bytes", length);
    memcpy(bytes, rte_pktmbuf_mtod(frame, uint8_t *), length);
    PAIR_MUST(pair, bytes[16] == 0 && bytes[17] == 0, "the checksum is not zero");
    struct kept *place = &kept[kept_at++ % KEPT_MAX];
    release(pair, place);
    *place = (struct kept){.frame = frame, .bytes = rte_pktmbuf_mtod(frame, uint8_t *), .length = length};
    place->sum = hash_more(0, place->bytes, length);
    enter(pair, (unsigned)(side - pair->sides), bytes, length);
}

static uint16_t output_mtu(void *state, const struct return_path *path)
{
    const struct pair_side *side = state;
    (void)path;
    return side->pair->link.mtu;
}

struct tcp_output pair_link_output(struct pair_side *side)
{
    return (struct tcp_output){.state = side, .send = output_send, .mtu = output_mtu};
}

/* ---- arrivals ---- */

uint64_t pair_link_next_ns(const struct pair *pair)
{
    return pair->in_link > 0 ? pair->heap[0]->due_ns : UINT64_MAX;
}

static void icmp_arrives(struct pair *pair, const struct pair_packet *packet)
{
    struct tcp_icmp_error error = {
        .flow = pair_path(!packet->from).flow, .type = 3, .code = 4, .mtu = packet->mtu};
    memcpy(&error.flow.local_port, packet->bytes, 2);
    memcpy(&error.flow.peer_port, packet->bytes + 2, 2);
    error.seq = (uint32_t)packet->bytes[4] << 24 | (uint32_t)packet->bytes[5] << 16 |
                (uint32_t)packet->bytes[6] << 8 | packet->bytes[7];
    tcp_icmp(pair->sides[packet->from].tcp, &error, pair->now);
}

/* False: no frame was to be had, or the checksum is wrong. */
static bool arrives(struct pair *pair, const struct pair_packet *packet, struct tcp_arrival *arrival)
{
    struct pair_side *side = &pair->sides[!packet->from];
    if (checksum(packet->from, packet->bytes, packet->length) != 0)
        return false;
    struct rte_mbuf *frame = rte_pktmbuf_alloc(side->pool);
    if (frame == NULL)
        return false;
    uint8_t *place = (uint8_t *)rte_pktmbuf_append(frame, (uint16_t)(FRONT_BYTES + packet->length));
    memcpy(place + FRONT_BYTES, packet->bytes, packet->length);
    *arrival = (struct tcp_arrival){.frame = frame,
                                    .header = place + FRONT_BYTES,
                                    .length = (uint16_t)packet->length,
                                    .path = pair_path(packet->from)};
    memcpy(&arrival->path.flow.peer_port, packet->bytes, 2);
    memcpy(&arrival->path.flow.local_port, packet->bytes + 2, 2);
    return true;
}

void pair_link_deliver(struct pair *pair)
{
    struct tcp_arrival arrivals[PAIR_SIDES][BURST];
    unsigned counts[PAIR_SIDES] = {0};
    for (unsigned taken = 0; taken < BURST && pair_link_next_ns(pair) <= pair->now.mono_ns; taken++) {
        struct pair_packet *packet = heap_take(pair);
        unsigned to = !packet->from;
        if (packet->icmp)
            icmp_arrives(pair, packet);
        else
            counts[to] += arrives(pair, packet, &arrivals[to][counts[to]]);
        drop_packet(pair, packet);
    }
    for (unsigned side = 0; side < PAIR_SIDES; side++) {
        if (counts[side] > 0)
            tcp_input(pair->sides[side].tcp, arrivals[side], counts[side], pair->now);
    }
}

void pair_link_start(struct pair *pair)
{
    if (pair->packets == NULL) {
        pair->packets = calloc(PACKETS_MAX, sizeof *pair->packets);
        pair->heap = calloc(PACKETS_MAX, sizeof(struct pair_packet *));
    }
    PAIR_MUST(pair, pair->packets != NULL && pair->heap != NULL, "memory");
    pair->free = NULL;
    pair->in_link = 0;
    for (unsigned i = 0; i < PACKETS_MAX; i++)
        drop_packet(pair, &pair->packets[i]);
}

void pair_link_finish(struct pair *pair)
{
    for (unsigned i = 0; i < KEPT_MAX; i++)
        release(pair, &kept[i]);
}
