/*
 * path_peer.h - clients of a path node, written for benchmarks: they speak TCP as far as a link without
 * losses needs it, shake hands for real, and keep little, so that they take little cache from what is
 * measured: of a session its two raw keys, from which the cipher's state is made for every record.
 */
#ifndef WILD_BENCH_PATH_PEER_H
#define WILD_BENCH_PATH_PEER_H

#include "net/tcp_ip4.h"
#include "path_node.h"
#include "record.h"
#include "tcp/tcp_segment.h"

enum {
    PATH_SEGMENT_BYTES = 1448,
    PATH_INBOX_BYTES = 32768,
    PATH_FRAME_TCP = 14 + 20,
    PATH_FRAME_PROTOCOL = 14 + 9
};
#define PATH_NOBODY UINT32_MAX

/* Number i has the address PATH_NODE_IP4 + 1 + i. */
struct path_peer {
    uint32_t snd_nxt, rcv_nxt, ts_echo;
    uint32_t suite;   /* of its session; 0: PLAIN */
    uint64_t records; /* sealed by it, and, as each gets one reply, opened */
    uint8_t send_key[DIRECTION_KEY_BYTES], receive_key[DIRECTION_KEY_BYTES];
};

struct path_peers {
    struct path *path;
    struct path_node *node;
    struct path_peer *peer;
    unsigned count;
    uint64_t bytes;    /* that came, of all streams */
    uint64_t repeated; /* segments that had come before */
    uint64_t probes;   /* whether it is still there (keep-alive) */
    uint32_t reader;   /* the one whose bytes are kept, or PATH_NOBODY */
    uint32_t in_bytes; /* kept */
    uint8_t inbox[PATH_INBOX_BYTES];
};

static inline void path_peers_start(struct path_peers *peers, struct path *path, struct path_node *node,
                                    unsigned count)
{
    *peers = (struct path_peers){.path = path, .node = node, .count = count};
    peers->peer = calloc(count, sizeof *peers->peer);
    native_check(peers->peer != NULL, "no memory for peers");
}

static inline struct return_path path_peer_way(unsigned number)
{
    struct return_path way = {
        .flow = {.local = address_from_ip4(rte_cpu_to_be_32(PATH_NODE_IP4 + 1 + number)),
                 .peer = address_from_ip4(rte_cpu_to_be_32(PATH_NODE_IP4)),
                 .local_port = RTE_BE16(40000),
                 .peer_port = RTE_BE16(PATH_PORT)},
        .vlan_tci = VLAN_NONE};
    memcpy(way.peer_mac, path_node_mac, 6);
    return way;
}

/* A segment to be: its payload is written first, the headers in front of it by path_segment(). */
struct path_draft {
    struct rte_mbuf *frame;
    uint8_t *payload;
};

static inline struct path_draft path_draft(struct path_peers *peers)
{
    struct rte_mbuf *frame = rte_pktmbuf_alloc(peers->path->pool);
    native_check(frame != NULL, "the pool is empty");
    return (struct path_draft){frame,
                               rte_pktmbuf_mtod(frame, uint8_t *) + PATH_FRAME_TCP + TCP_HEADERS_BYTES_MAX};
}

/* The draft as a segment at the node's port; the headers end where the payload starts. */
static inline void path_segment(struct path_peers *peers, unsigned number, const struct path_draft *draft,
                                uint8_t flags, unsigned payload_bytes)
{
    struct path_peer *peer = &peers->peer[number];
    struct path_node *node = peers->node;
    bool syn = flags & TCP_SYN;
    struct return_path way = path_peer_way(number);
    struct tcp_header header = {.seq = peer->snd_nxt, .ack = peer->rcv_nxt, .window = 65000, .flags = flags};
    struct tcp_options options = {
        .mss = syn ? 1460 : 0,
        .has_timestamps = true,
        .ts_value = (uint32_t)(node->now.mono_ns / 1000000),
        .ts_echo = peer->ts_echo,
        .sack_permitted = syn,
        .has_window_scale = syn,
    };
    uint8_t *segment = tcp_header_write(draft->payload, &way.flow, &header, &options);
    unsigned segment_bytes = (unsigned)(draft->payload + payload_bytes - segment);
    uint8_t *start = tcp_ip4_headers_write(segment, (uint16_t)segment_bytes, &way, path_peer_mac, 1, false);
    struct rte_mbuf *frame = draft->frame;
    frame->data_off = (uint16_t)(start - (uint8_t *)frame->buf_addr);
    frame->data_len = (uint16_t)(segment + segment_bytes - start);
    frame->pkt_len = frame->data_len;
    peer->snd_nxt += payload_bytes + syn;
    native_check(node->port.in_count < FRAME_PORT_ROOM, "too many frames at once");
    node->port.in[node->port.in_count++] = frame;
}

static inline void path_send(struct path_peers *peers, unsigned number, uint8_t flags, const void *payload,
                             unsigned payload_bytes)
{
    struct path_draft draft = path_draft(peers);
    if (payload_bytes > 0)
        memcpy(draft.payload, payload, payload_bytes);
    path_segment(peers, number, &draft, flags, payload_bytes);
}

/* What left reaches its peer, in order as it does here; what is not TCP is counted. Probes of idle
 * connections are answered in the next turn. */
static inline unsigned path_take(struct path_peers *peers)
{
    struct frame_port *port = &peers->node->port;
    unsigned others = 0;
    for (unsigned i = 0; i < port->out_count; i++) {
        const struct rte_mbuf *frame = port->out[i];
        uint8_t *bytes = rte_pktmbuf_mtod(frame, uint8_t *);
        if (bytes[PATH_FRAME_PROTOCOL] != IPPROTO_TCP) {
            others++;
            continue;
        }
        struct tcp_arrival arrival = {.header = bytes + PATH_FRAME_TCP,
                                      .length = (uint16_t)(frame->data_len - PATH_FRAME_TCP)};
        struct tcp_segment segment;
        native_check(tcp_segment_decode(&segment, &arrival), "a segment that left is malformed");
        tcp_options_decode(&segment.options, &segment, arrival.header);
        unsigned number = frame_get32(bytes + 30) - PATH_NODE_IP4 - 1;
        native_check(number < peers->count && !(segment.flags & (TCP_RST | TCP_FIN)), "a connection ends");
        struct path_peer *peer = &peers->peer[number];
        if (segment.payload_bytes <= 1 && segment.seq == peer->rcv_nxt - 1) {
            peers->probes++;
            path_send(peers, number, TCP_ACK, NULL, 0);
            continue;
        }
        if (segment.payload_bytes > 0 && segment.seq != peer->rcv_nxt) {
            peers->repeated++; /* it was too long until the acknowledgement */
            continue;
        }
        peer->rcv_nxt = segment.seq + tcp_segment_length(&segment);
        peer->ts_echo = segment.options.ts_value;
        peers->bytes += segment.payload_bytes;
        if (number == peers->reader && segment.payload_bytes > 0) {
            native_check(peers->in_bytes + segment.payload_bytes <= PATH_INBOX_BYTES, "the inbox is full");
            memcpy(peers->inbox + peers->in_bytes, segment.payload, segment.payload_bytes);
            peers->in_bytes += segment.payload_bytes;
        }
    }
    frame_port_clear(port);
    return others;
}

/* Nothing is left that the node would have to send again. */
static inline void path_acknowledge(struct path_peers *peers, unsigned number)
{
    path_send(peers, number, TCP_ACK, NULL, 0);
    path_turn(peers->node);
    path_take(peers);
}

/* Sends one segment, lets the node turn, and takes what it says. */
static inline void path_exchange(struct path_peers *peers, unsigned number, uint8_t flags,
                                 const void *payload, unsigned payload_bytes)
{
    peers->reader = number;
    peers->in_bytes = 0;
    path_send(peers, number, flags, payload, payload_bytes);
    path_turn(peers->node);
    path_take(peers);
}

/* ---- records ---- */

/* A record of one message; returns its bytes. */
static inline size_t path_record(struct path_peer *peer, const struct operation *operations, unsigned count,
                                 uint8_t *out)
{
    struct direction_key key;
    struct record_writer writer = record_writer_start(NULL, &record_limits_default);
    struct message_writer message;
    message_begin(&message, out + RECORD_HEADER_BYTES, RECORD_MESSAGE_BYTES_MAX);
    for (unsigned i = 0; i < count; i++)
        native_check(message_add_operation(&message, &operations[i]) == 0, "operations do not fit a message");
    size_t length = message_finish(&message, &(struct message_header){.version = PROTOCOL_VERSION_MAX});
    if (peer->suite != 0) {
        datagram_key_init(&key, (enum suite)peer->suite, peer->send_key);
        writer.key = &key;
        writer.counter = peer->records;
    }
    peer->records++;
    return record_seal(&writer, out + RECORD_HEADER_BYTES, length, out);
}

/* A GET of one key out of all; the request id is the key's number. */
static inline size_t path_get(struct path_peers *peers, unsigned number, uint64_t key_number, uint8_t *out)
{
    uint8_t key[PATH_KEY_BYTES];
    path_key(key_number, key);
    struct operation get = {
        .opcode = OPCODE_GET, .key = key, .key_length = sizeof key, .request_id = key_number};
    return path_record(&peers->peer[number], &get, 1, out);
}

/* The reader's first kept record, its `index`th ever, is the reply to a GET. */
static inline void path_check_reply(struct path_peers *peers, uint64_t index)
{
    struct path_peer *peer = &peers->peer[peers->reader];
    struct direction_key key;
    struct record_reader reader = record_reader_start(RECORD_KIND_BIT(RECORD_PLAIN), &record_limits_default);
    struct record_item item;
    struct message_header header;
    struct message_reader message;
    struct reply reply;
    uint64_t value;
    uint8_t *at = peers->inbox;
    if (peer->suite != 0) {
        datagram_key_init(&key, (enum suite)peer->suite, peer->receive_key);
        record_reader_key(&reader, &key);
        reader.counter = index;
    }
    native_check(record_next(&reader, &at, peers->inbox + peers->in_bytes, &item) == RECORD_MESSAGE,
                 "a reply does not open");
    native_check(message_open(&message, &header, item.bytes, item.length, false) == 0 &&
                     message_next_reply(&message, &reply) == 1 && reply.status == STATUS_OK &&
                     reply.value_length == PATH_VALUE_BYTES,
                 "a GET was not answered with its value");
    memcpy(&value, reply.value, sizeof value);
    native_check(value == reply.request_id, "wrong value");
}

/* ---- connecting ---- */

static inline void path_connect(struct path_peers *peers, unsigned number)
{
    peers->peer[number] = (struct path_peer){.snd_nxt = number * 1000003u};
    path_exchange(peers, number, TCP_SYN, NULL, 0);
    path_exchange(peers, number, TCP_ACK, NULL, 0);
}

/* The client's part of the handshake, as any client does it; then the acknowledgement of READY. */
static inline void path_shake_hands(struct path_peers *peers, unsigned number)
{
    struct path_peer *peer = &peers->peer[number];
    struct native_shared *shared = &peers->path->shared;
    struct handshake_client client;
    struct handshake_identity server;
    struct session_keys session;
    uint8_t confirm[HANDSHAKE_CONFIRM_BYTES];
    native_check(handshake_start(&client, &shared->keys[0], ROLE_CLIENT, TRANSPORT_TCP, SUITE_ALL,
                                 &shared->random) == 0,
                 "handshake_start");
    path_exchange(peers, number, TCP_ACK | TCP_PSH, client.init, HANDSHAKE_INIT_BYTES);
    handshake_helper_step(peers->node->helper);
    path_turn(peers->node);
    path_take(peers);
    native_check(peers->in_bytes == HANDSHAKE_RESPONSE_BYTES &&
                     handshake_finish(&client, &shared->keys[0], peers->inbox, peers->in_bytes, confirm,
                                      &session, &server) == 0,
                 "RESPONSE");
    path_exchange(peers, number, TCP_ACK | TCP_PSH, confirm, sizeof confirm);
    native_check(handshake_ready_check(&session, peers->inbox, peers->in_bytes) == 0, "READY");
    path_exchange(peers, number, TCP_ACK, NULL, 0);
    memcpy(peer->send_key, session.send.raw, sizeof peer->send_key);
    memcpy(peer->receive_key, session.receive.raw, sizeof peer->receive_key);
    peer->suite = session.suite;
    handshake_end(&client);
}

/* A session of its first request: what a PLAIN client has for a handshake. */
static inline void path_ask_once(struct path_peers *peers, unsigned number)
{
    uint8_t record[256];
    size_t length = path_get(peers, number, number % peers->path->keys, record);
    path_exchange(peers, number, TCP_ACK | TCP_PSH, record, (unsigned)length);
    path_check_reply(peers, peers->peer[number].records - 1);
    path_exchange(peers, number, TCP_ACK, NULL, 0);
}

#endif
