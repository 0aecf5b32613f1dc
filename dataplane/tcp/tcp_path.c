/*
 * tcp_path.c - how large a segment may be on its way (RFC 1191, and RFC 1191 8 for paths that swallow
 * without a word), and what ICMP may do to a connection: little, as anybody can send it (RFC 5927).
 */
#include "net/icmp.h"
#include "tcp/tcp_recovery.h"

enum { PATH_DOUBTS_MAX = 11 }; /* 2^10 s: more than TCP_PMTU_RAISE_NS */
static_assert((UINT64_C(1000) << (PATH_DOUBTS_MAX - 1)) * TCP_MS >= TCP_PMTU_RAISE_NS, "doubling gets there");

/* RFC 1191 7.1: what routers older than it are likely to have meant */
static const uint16_t plateaus[] = {32000, 17914, 8166, 4352, 2002, 1492, 1006, 508, TCP_PATH_MTU_MIN};

void tcp_path_set_mss(struct tcp *tcp, struct tcp_connection *c)
{
    unsigned room = c->path_mtu - tcp_ip_header_bytes(&c->stream.flow) - TCP_HEADER_BYTES;
    unsigned mss = RTE_MIN(room, c->peer_mss != 0 ? c->peer_mss : (unsigned)TCP_MSS_DEFAULT);
    /* RFC 6691: an MSS option does not count options, a segment does */
    if (c->marks & TCP_MARK_TIMESTAMPS)
        mss -= TCP_TIMESTAMPS_BYTES;
    unsigned frame_room = rte_pktmbuf_data_room_size(tcp->config.pool) - RTE_PKTMBUF_HEADROOM;
    c->mss = (uint16_t)RTE_MIN(mss, frame_room);
}

static uint16_t link_mtu(const struct tcp *tcp, const struct tcp_connection *c)
{
    struct return_path path = tcp_path_back(c);
    uint16_t mtu = tcp->config.output.mtu(tcp->config.output.state, &path);
    return RTE_MAX(mtu, TCP_PATH_MTU_MIN);
}

void tcp_path_start(struct tcp *tcp, struct tcp_connection *c)
{
    c->path_mtu = link_mtu(tcp, c);
    c->path_lowered_s = 0;
    tcp_path_set_mss(tcp, c);
}

static void path_lower(struct tcp *tcp, struct tcp_connection *c, uint16_t mtu)
{
    c->path_mtu = mtu;
    c->path_lowered_s = (uint32_t)(tcp->now.mono_ns / (1000 * TCP_MS)) + 1; /* 0 means never */
    tcp_path_set_mss(tcp, c);
}

/*
 * When the link's size is tried again. After what a router said: RFC 1191 6.3, as routes change, for the
 * better too. After a suspicion, which an outage gives rise to as well: a second later, and twice as long
 * after each time that full segments time out again before one has arrived (RFC 8899 4.3 and 5.1.1: a black
 * hole is left by searching anew, and a size that failed is tried again, less often). But not before a round
 * trip was measured again: in a black hole the attempt costs a time-out, and without time stamps a backed-off
 * RTO stays until something is sent just once (RFC 6298 3), which small segments bring about; attempts before
 * would double it up to a minute.
 */
static bool raise_is_due(const struct tcp *tcp, const struct tcp_connection *c)
{
    uint32_t lowered_for_s = (uint32_t)(tcp->now.mono_ns / (1000 * TCP_MS)) + 1 - c->path_lowered_s;
    uint32_t longest_s = TCP_PMTU_RAISE_NS / (1000 * TCP_MS), doubts = c->recovery.path_doubts;
    if (doubts == 0)
        return lowered_for_s >= longest_s;
    return !(c->recovery.marks & TCP_RECOVERY_BACKED_OFF) &&
           lowered_for_s >= RTE_MIN(UINT32_C(1) << (doubts - 1), longest_s);
}

static void path_raise(struct tcp *tcp, struct tcp_connection *c)
{
    tcp_count(tcp, COUNTER_tcp_path_raised);
    tcp_path_start(tcp, c);
}

void tcp_path_raise(struct tcp *tcp, struct tcp_connection *c)
{
    if (raise_is_due(tcp, c))
        path_raise(tcp, c);
}

void tcp_path_suspect(struct tcp *tcp, struct tcp_connection *c)
{
    struct tcp_recovery *r = &c->recovery;
    const struct tcp_frame *frame = c->send_head;
    uint16_t mtu = (uint16_t)(TCP_MSS_DEFAULT + tcp_ip_header_bytes(&c->stream.flow) + TCP_HEADER_BYTES);
    if (frame == c->send_next || frame->length <= TCP_MSS_DEFAULT || c->path_mtu <= mtu)
        return;
    bool again = r->path_doubts > 0 && frame->length >= r->path_doubted_bytes; /* what was tried has failed */
    if (!again && r->retries < TCP_PMTU_BLACK_HOLE_RETRIES)
        return;
    tcp_count(tcp, COUNTER_tcp_path_black_hole);
    r->path_doubts = (uint8_t)RTE_MIN(r->path_doubts + 1, PATH_DOUBTS_MAX);
    r->path_doubted_bytes = RTE_MAX(r->path_doubted_bytes, frame->length);
    path_lower(tcp, c, mtu);
}

void tcp_path_arrived(struct tcp *tcp, struct tcp_connection *c, const struct tcp_frame *frame)
{
    struct tcp_recovery *r = &c->recovery;
    if (frame->length < r->path_doubted_bytes)
        return;
    r->path_doubts = 0;
    r->path_doubted_bytes = 0;
    if (c->path_lowered_s != 0)
        path_raise(tcp, c);
}

static bool is_in_flight(const struct tcp_connection *c, uint32_t seq)
{
    return seq_in(seq, c->snd_una, tcp_flight(c));
}

static unsigned headers_bytes(const struct tcp_connection *c)
{
    return tcp_ip_header_bytes(&c->stream.flow) + TCP_HEADER_BYTES +
           (c->marks & TCP_MARK_TIMESTAMPS ? TCP_TIMESTAMPS_BYTES : 0);
}

/* The frame that an error quotes, if it is out; else NULL. */
static const struct tcp_frame *quoted_frame(const struct tcp_connection *c, uint32_t seq)
{
    for (const struct tcp_frame *frame = c->send_head; frame != c->send_next; frame = frame->next)
        if (seq_in(seq, frame->seq, frame->length))
            return frame;
    return NULL;
}

/* RFC 5927 7.2: believed if the segment that it quotes is out and too large for the MTU that it tells. */
static void fragmentation_needed(struct tcp *tcp, struct tcp_connection *c,
                                 const struct tcp_icmp_error *error)
{
    const struct tcp_frame *quoted = quoted_frame(c, error->seq);
    unsigned size = quoted != NULL ? quoted->length + headers_bytes(c) : 0, mtu = error->mtu;
    for (unsigned i = 0; mtu == 0 && i < RTE_DIM(plateaus); i++)
        if (plateaus[i] < size)
            mtu = plateaus[i];
    if (mtu < TCP_PATH_MTU_MIN || mtu >= size || mtu >= c->path_mtu) {
        tcp_count(tcp, COUNTER_tcp_icmp_refused);
        return;
    }
    tcp_count(tcp, COUNTER_tcp_path_lowered);
    c->recovery.path_doubts = 0; /* that explains it */
    c->recovery.path_doubted_bytes = 0;
    path_lower(tcp, c, (uint16_t)mtu);
    /* RFC 1191 6.4: what was too large is sent again at once, and that is no sign of congestion */
    for (struct tcp_frame *frame = c->send_head; frame != c->send_next; frame = frame->next)
        if (frame->length > c->mss)
            tcp_scoreboard_mark_lost(c, frame);
    tcp_dirty(tcp, c);
}

static struct tcp_connection *connection_of(struct tcp *tcp, const struct flow *flow)
{
    uint32_t number = tcp_find(tcp, flow, tcp_flow_hash(&tcp->demux, flow));
    return number < tcp->config.connections_max ? &tcp->connections[number] : NULL;
}

/* RFC 1122 4.2.3.9: protocol and port unreachable are hard; but a connection that stands has proven otherwise
 * (RFC 5927 5.2). */
static bool is_hard(const struct tcp_icmp_error *error)
{
    enum { UNREACHABLE_PROTOCOL = 2 };
    return error->type == ICMP_UNREACHABLE &&
           (error->code == UNREACHABLE_PROTOCOL || error->code == ICMP_UNREACHABLE_PORT);
}

void tcp_icmp(struct tcp *tcp, const struct tcp_icmp_error *error, struct instant now)
{
    tcp->now = now;
    struct tcp_connection *c = connection_of(tcp, &error->flow);
    if (c == NULL || !is_in_flight(c, error->seq)) {
        tcp_count(tcp, COUNTER_tcp_icmp_strange);
        return;
    }
    if (error->type == ICMP_UNREACHABLE && error->code == ICMP_UNREACHABLE_FRAGMENTATION) {
        fragmentation_needed(tcp, c, error);
    } else if (is_hard(error) && c->state == TCP_SYN_SENT) {
        tcp_count(tcp, COUNTER_tcp_icmp_hard);
        tcp_connection_end(
            tcp, c, error->code == ICMP_UNREACHABLE_PORT ? STREAM_END_REFUSED : STREAM_END_UNREACHABLE);
    } else {
        tcp_count(tcp, COUNTER_tcp_icmp_soft);
        c->soft_error = (uint8_t)RTE_MAX(error->code, 1);
    }
}
