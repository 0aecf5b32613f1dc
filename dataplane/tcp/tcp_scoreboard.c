/*
 * tcp_scoreboard.c - the send queue as what the peer has said about it: acknowledged frames leave it,
 * SACK marks frames in it (RFC 2018, RFC 6675), losses are marked by those who find them.
 *
 * A frame is marked as a whole: a block that covers a part of one says nothing yet. Each acknowledgement
 * costs at most one pass over the frames in flight, however many blocks it has and however it repeats
 * them.
 */
#include "tcp/tcp_recovery.h"

/* What the recovery state holds about a frame that leaves the flight, or about its first `bytes`. */
static void uncount(struct tcp_recovery *r, const struct tcp_frame *frame, uint32_t bytes)
{
    if (frame->marks & TCP_FRAME_SACKED)
        r->sacked_bytes -= bytes;
    if (frame->marks & TCP_FRAME_LOST)
        r->lost_bytes -= bytes;
}

static void frame_acknowledged(struct tcp *tcp, struct tcp_connection *c, struct tcp_frame *frame,
                               struct tcp_news *news)
{
    struct tcp_recovery *r = &c->recovery;
    if (!(frame->marks & TCP_FRAME_SACKED)) {
        news->delivered += frame->length;
        tcp_rack_arrived(tcp, c, frame, news);
        if (frame->marks & TCP_FRAME_RETRANSMITTED)
            news->sent_again_ns = RTE_MAX(news->sent_again_ns, frame->sent_ns);
        else if (news->first_sent_ns == 0)
            news->first_sent_ns = frame->sent_ns;
    } else {
        r->sacked_frames--;
    }
    if (unlikely(r->path_doubts > 0))
        tcp_path_arrived(tcp, c, frame);
    uncount(r, frame, frame->length);
    r->sent_frames--;
}

void tcp_scoreboard_acknowledge(struct tcp *tcp, struct tcp_connection *c, struct tcp_news *news)
{
    uint32_t ack = news->segment->ack;
    struct tcp_frame *frame = c->send_head;
    while (frame != c->send_next && seq_at_or_before(tcp_frame_end(frame), ack)) {
        struct tcp_frame *next = frame->next;
        frame_acknowledged(tcp, c, frame, news);
        tcp_sent_free(tcp, c, frame);
        frame = next;
    }
    c->send_head = frame;
    if (frame == NULL)
        c->send_tail = NULL;
    /* A part of a frame: the peer's window or a box in between cut it. */
    if (frame != c->send_next && seq_before(frame->seq, ack)) {
        uint32_t bytes = ack - frame->seq;
        if (!(frame->marks & TCP_FRAME_SACKED))
            news->delivered += bytes;
        uncount(&c->recovery, frame, bytes);
        frame->seq += bytes;
        frame->offset = (uint16_t)(frame->offset + bytes);
        frame->length = (uint16_t)(frame->length - bytes);
        c->send_bytes -= bytes;
    }
    news->acked = ack - c->snd_una;
    c->snd_una = ack;
}

/* RFC 2883 4: the first block is about what has been acknowledged, or lies within the second. */
static bool is_dsack(const struct tcp_segment *segment)
{
    const struct tcp_sack_block *block = segment->options.sack;
    if (!seq_before(block[0].start, block[0].end))
        return false;
    if (seq_at_or_before(block[0].end, segment->ack))
        return true;
    return segment->options.sack_blocks > 1 && seq_at_or_before(block[1].start, block[0].start) &&
           seq_at_or_before(block[0].end, block[1].end);
}

/* The blocks that lie within what is in flight, in order of their start. Returns how many. */
static unsigned blocks_sorted(struct tcp *tcp, const struct tcp_connection *c,
                              const struct tcp_segment *segment, struct tcp_sack_block *out, bool dsack)
{
    unsigned count = 0;
    for (unsigned i = dsack; i < segment->options.sack_blocks; i++) {
        struct tcp_sack_block block = segment->options.sack[i];
        /* as distances from snd_una they compare without wrapping */
        uint32_t start = block.start - c->snd_una, end = block.end - c->snd_una;
        if (start >= end || end > tcp_flight(c) || seq_before(block.start, segment->ack)) {
            tcp_count(tcp, COUNTER_tcp_sack_ignored);
            continue;
        }
        unsigned at = count++;
        for (; at > 0 && out[at - 1].start - c->snd_una > start; at--)
            out[at] = out[at - 1];
        out[at] = block;
    }
    return count;
}

static void frame_sacked(struct tcp *tcp, struct tcp_connection *c, struct tcp_frame *frame,
                         struct tcp_news *news)
{
    struct tcp_recovery *r = &c->recovery;
    if (frame->marks & TCP_FRAME_LOST) {
        frame->marks &= (uint8_t)~TCP_FRAME_LOST;
        r->lost_bytes -= frame->length;
    }
    frame->marks |= TCP_FRAME_SACKED;
    r->sacked_bytes += frame->length;
    r->sacked_frames++;
    news->delivered += frame->length;
    if (unlikely(r->path_doubts > 0))
        tcp_path_arrived(tcp, c, frame);
    tcp_rack_arrived(tcp, c, frame, news);
}

void tcp_scoreboard_sack(struct tcp *tcp, struct tcp_connection *c, struct tcp_news *news)
{
    struct tcp_sack_block block[TCP_SACK_BLOCKS_RECEIVED_MAX];
    news->dsack = is_dsack(news->segment);
    if (news->dsack) {
        news->dsack_end = news->segment->options.sack[0].end;
        tcp_count(tcp, COUNTER_tcp_dsacks);
    }
    unsigned blocks = blocks_sorted(tcp, c, news->segment, block, news->dsack), at = 0;
    for (struct tcp_frame *frame = c->send_head; frame != c->send_next && at < blocks; frame = frame->next) {
        while (at < blocks && seq_at_or_before(block[at].end, frame->seq))
            at++;
        if (at < blocks && !(frame->marks & TCP_FRAME_SACKED) &&
            seq_at_or_before(block[at].start, frame->seq) &&
            seq_at_or_before(tcp_frame_end(frame), block[at].end))
            frame_sacked(tcp, c, frame, news);
    }
}

/* RFC 2018 8: at a time-out the peer may have thrown away what it had reported. */
void tcp_scoreboard_forget_sack(struct tcp_connection *c)
{
    for (struct tcp_frame *frame = c->send_head; frame != c->send_next; frame = frame->next)
        frame->marks &= (uint8_t)~TCP_FRAME_SACKED;
    c->recovery.sacked_bytes = 0;
    c->recovery.sacked_frames = 0;
}

void tcp_scoreboard_mark_lost(struct tcp_connection *c, struct tcp_frame *frame)
{
    if (frame->marks & (TCP_FRAME_LOST | TCP_FRAME_SACKED))
        return;
    frame->marks |= TCP_FRAME_LOST;
    c->recovery.lost_bytes += frame->length;
}

/*
 * Pieces are frames like any other: a peer that has many large ones out and then claims a path of small ones
 * must not take those of all others, nor those of the device. Whoever holds many may have the oldest cut up,
 * and so gets on, but not with the last ones; whoever holds few may even when they are used up by others.
 */
static bool may_split(const struct tcp *tcp, const struct tcp_connection *c, const struct tcp_frame *frame)
{
    unsigned max = tcp->config.send_frames_max, spare = TCP_FRAMES_FOR_PIECES(max);
    if (tcp_hogs_frames(tcp, c))
        return frame == c->send_head && tcp->send_frames < max - spare;
    return tcp->send_frames < max + spare;
}

bool tcp_scoreboard_split(struct tcp *tcp, struct tcp_connection *c, struct tcp_frame *frame, uint16_t at)
{
    struct rte_mbuf *mbuf = may_split(tcp, c, frame) ? rte_pktmbuf_alloc(tcp->config.pool) : NULL;
    if (mbuf == NULL) {
        tcp_count(tcp, COUNTER_tcp_no_frame);
        return false;
    }
    struct tcp_frame *rest = tcp_frame_of(mbuf);
    *rest = (struct tcp_frame){
        .next = frame->next,
        .sent_ns = frame->sent_ns,
        .seq = frame->seq + at,
        .offset = RTE_PKTMBUF_HEADROOM,
        .length = (uint16_t)(frame->length - at),
        .marks = frame->marks,
    };
    memcpy(tcp_frame_bytes(rest), tcp_frame_bytes(frame) + at, rest->length);
    frame->length = at;
    frame->next = rest;
    if (c->send_tail == frame)
        c->send_tail = rest;
    c->send_frames++;
    tcp->send_frames++;
    if (frame->marks & TCP_FRAME_SENT)
        c->recovery.sent_frames++;
    if (frame->marks & TCP_FRAME_SACKED)
        c->recovery.sacked_frames++;
    return true;
}

struct tcp_frame *tcp_scoreboard_last_sent(const struct tcp_connection *c)
{
    if (c->send_next == NULL)
        return c->send_tail;
    if (c->send_next == c->send_head)
        return NULL;
    struct tcp_frame *frame = c->send_head;
    while (frame->next != c->send_next)
        frame = frame->next;
    return frame;
}

struct tcp_frame *tcp_recovery_next_lost(struct tcp_connection *c)
{
    if (c->recovery.lost_bytes == 0)
        return NULL;
    struct tcp_frame *frame = c->send_head;
    while (!(frame->marks & TCP_FRAME_LOST))
        frame = frame->next;
    return frame;
}
