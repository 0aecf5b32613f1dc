#include "tcp_invariants.h"

static_assert(sizeof(struct tcp_connection) <= 512, "tcp.h's promise");

enum { FRAMES_LIMIT = 1 << 20 }; /* a list longer than this is a ring */

#define HOLDS(condition)                                                                                     \
    if (!(condition))                                                                                        \
    return #condition

static const char *send_queue_broken(const struct tcp_connection *c)
{
    bool opening = c->state == TCP_SYN_SENT || c->state == TCP_SYN_RECEIVED;
    uint32_t bytes = 0, seq = 0, first = opening ? c->iss + 1 : c->snd_una;
    unsigned frames = 0, sacked = 0;
    bool unsent = false;
    const struct tcp_frame *last = NULL;
    for (const struct tcp_frame *f = c->send_head; f != NULL; f = f->next) {
        HOLDS(frames < FRAMES_LIMIT);
        HOLDS(frames == 0 ? seq_at_or_before(f->seq, first) : f->seq == seq);
        HOLDS(f->length > 0);
        unsent |= f == c->send_next;
        HOLDS(!(unsent && (f->marks & (TCP_FRAME_SACKED | TCP_FRAME_LOST | TCP_FRAME_RETRANSMITTED))));
        HOLDS(!(f->marks & TCP_FRAME_SACKED) || !(f->marks & TCP_FRAME_LOST));
        sacked += f->marks & TCP_FRAME_SACKED ? f->length : 0;
        seq = tcp_frame_end((struct tcp_frame *)(uintptr_t)f);
        bytes += f->length;
        frames++;
        last = f;
    }
    HOLDS(last == c->send_tail);
    HOLDS(frames == c->send_frames);
    HOLDS(c->send_next == NULL || unsent);
    HOLDS(frames == 0 || seq == c->snd_end);
    /* without SACK it counts duplicate acknowledgements (RFC 6675 1, RFC 5681 3.2) */
    HOLDS(!(c->marks & TCP_MARK_SACK) || sacked == c->recovery.sacked_bytes);
    (void)bytes;
    return NULL;
}

static const char *receive_queues_broken(const struct tcp_connection *c)
{
    uint32_t held = 0;
    unsigned gaps = 0, frames = 0;
    const struct tcp_frame *last = NULL;
    for (const struct tcp_frame *f = c->held_head; f != NULL; f = f->next) {
        HOLDS(frames++ < FRAMES_LIMIT);
        held += f->length;
        last = f;
    }
    HOLDS(last == NULL || last == c->held_tail);
    HOLDS(held == c->held_bytes);
    uint32_t end = c->rcv_nxt;
    for (const struct tcp_frame *f = c->gaps_head; f != NULL; f = f->next) {
        HOLDS(frames++ < FRAMES_LIMIT);
        HOLDS(f == c->gaps_head ? seq_before(end, f->seq) : seq_at_or_before(end, f->seq));
        gaps += f == c->gaps_head || f->seq != end;
        end = f->seq + f->length;
        HOLDS(seq_at_or_before(end, c->rcv_adv));
    }
    HOLDS(gaps <= TCP_GAPS_MAX);
    return NULL;
}

static const char *timers_broken(const struct tcp_connection *c)
{
    uint64_t earliest = UINT64_MAX;
    for (unsigned i = 0; i < TCP_TIMERS; i++) {
        if (c->timer_at[i] != 0 && c->timer_at[i] < earliest)
            earliest = c->timer_at[i];
    }
    HOLDS(c->timer.at_ns <= earliest);
    HOLDS((c->timer.at_ns == UINT64_MAX) == (c->timer.link == NULL));
    return NULL;
}

static const char *established_broken(const struct tcp_connection *c)
{
    bool fin_queued = (c->marks & TCP_MARK_FIN_QUEUED) != 0;
    uint32_t queue_end = c->snd_end + fin_queued;
    HOLDS(seq_at_or_before(c->snd_una, c->snd_nxt));
    HOLDS(seq_at_or_before(c->snd_nxt, queue_end));
    HOLDS(seq_at_or_before(c->rcv_nxt, c->rcv_adv + 1)); /* the peer's FIN may lie at the edge */
    bool in_flight = c->snd_una != c->snd_nxt, to_send = c->snd_nxt != queue_end;
    HOLDS((c->timer_at[TCP_TIMER_RETRANSMIT] != 0) == in_flight);
    HOLDS(c->timer_at[TCP_TIMER_PERSIST] == 0 || (!in_flight && to_send));
    HOLDS(in_flight || !to_send || c->timer_at[TCP_TIMER_PERSIST] != 0 || (c->marks & TCP_MARK_DIRTY));
    if (c->state == TCP_CLOSING || c->state == TCP_LAST_ACK || c->state == TCP_FIN_WAIT_1 ||
        c->state == TCP_FIN_WAIT_2)
        HOLDS(fin_queued);
    if (c->state == TCP_FIN_WAIT_2)
        HOLDS(c->snd_una == queue_end);
    if (c->state == TCP_CLOSE_WAIT || c->state == TCP_CLOSING || c->state == TCP_LAST_ACK)
        HOLDS((c->marks & TCP_MARK_FIN_RECEIVED) != 0);
    HOLDS(c->mss >= 1);
    return NULL;
}

static const char *connection_broken(const struct tcp_connection *c)
{
    HOLDS(c->state < TCP_STATES);
    if (c->state == TCP_SYN_SENT || c->state == TCP_SYN_RECEIVED) {
        HOLDS(c->snd_nxt == c->iss + 1);
        HOLDS(c->send_head == NULL || c->send_next == c->send_head);
        HOLDS(c->timer_at[TCP_TIMER_RETRANSMIT] != 0);
    } else {
        const char *broken = established_broken(c);
        if (broken != NULL)
            return broken;
    }
    const char *broken = send_queue_broken(c);
    if (broken == NULL)
        broken = receive_queues_broken(c);
    return broken != NULL ? broken : timers_broken(c);
}

static unsigned frames_in(const struct tcp_frame *f)
{
    unsigned count = 0;
    for (; f != NULL && count < FRAMES_LIMIT; f = f->next)
        count++;
    return count;
}

const char *tcp_invariants_broken(const struct tcp *tcp)
{
    unsigned live = 0, half_open = 0, send_frames = 0, receive_frames = 0;
    for (unsigned i = 0; i < tcp->config.connections_max; i++) {
        const struct tcp_connection *c = &tcp->connections[i];
        send_frames += frames_in(c->send_head);
        receive_frames += frames_in(c->held_head) + frames_in(c->gaps_head);
        if (c->state == TCP_CLOSED)
            continue;
        live++;
        half_open += c->state == TCP_SYN_RECEIVED;
        const char *broken = connection_broken(c);
        if (broken != NULL)
            return broken;
    }
    HOLDS(live == tcp->connections_used);
    HOLDS(half_open == tcp->half_open);
    HOLDS(send_frames == tcp->send_frames);
    HOLDS(send_frames <= tcp->config.send_frames_max + TCP_FRAMES_FOR_PIECES(tcp->config.send_frames_max));
    HOLDS(receive_frames == tcp->receive_frames);
    HOLDS(tcp->time_waits.used <= tcp->time_waits.count_max);
    HOLDS(tcp->dirty == NULL);
    return NULL;
}
