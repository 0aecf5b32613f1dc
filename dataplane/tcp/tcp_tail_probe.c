/*
 * tcp_tail_probe.c - losses at the end of a flight (RFC 8985 7): nothing sent later can tell of them, so
 * after two round trips without an answer one segment more is sent.
 */
#include "tcp/tcp_recovery.h"

/*
 * RFC 8985 7.2: two round trips; for a segment by itself 40 ms more, as the peer may hold its
 * acknowledgement back for a second one. Where it does so SRTT has that delay in it already, once or
 * twice: what exceeds the shortest round trip by less than the delay is taken for it.
 */
static uint64_t two_round_trips(const struct tcp_recovery *r)
{
    uint64_t srtt_ns = 1000 * (uint64_t)r->srtt_us, shortest_ns = 1000 * (uint64_t)r->rtt_min_us;
    if (shortest_ns == 0 || shortest_ns > srtt_ns)
        shortest_ns = srtt_ns;
    uint64_t undelayed_ns = srtt_ns > TCP_PTO_ACK_DELAY_NS ? srtt_ns - TCP_PTO_ACK_DELAY_NS : 0;
    uint64_t alone_ns = 2 * RTE_MAX(undelayed_ns, shortest_ns);
    alone_ns = RTE_MAX(alone_ns, TCP_PTO_MIN_NS) + TCP_PTO_ACK_DELAY_NS;
    return r->sent_frames <= 1 ? alone_ns : RTE_MIN(2 * srtt_ns, alone_ns);
}

/* RFC 8985 7.2 */
uint64_t tcp_tail_probe_delay(const struct tcp_connection *c)
{
    const struct tcp_recovery *r = &c->recovery;
    if (!(c->marks & TCP_MARK_SACK) || r->phase != TCP_OPEN || r->sacked_frames != 0 || r->retries != 0)
        return 0;
    /* One probe a flight. RFC 8985 waits for more than its acknowledgement; a request may have been
     * answered by then whose answer is lost too. */
    if (r->marks & TCP_RECOVERY_PROBED && seq_before(c->snd_una, r->tlp_end))
        return 0;
    if (r->srtt_us == 0)
        return TCP_RTO_INITIAL_NS;
    return RTE_MAX(two_round_trips(r), TCP_PTO_MIN_NS);
}

static uint32_t window_left(const struct tcp_connection *c)
{
    uint32_t flight = tcp_flight(c);
    return c->snd_wnd > flight ? c->snd_wnd - flight : 0;
}

/* RFC 8985 7.3: new data if the peer has room for it, else the last segment again. The congestion window
 * does not hold it back: it stands in for an acknowledgement that did not come. */
void tcp_tail_probe_send(struct tcp *tcp, struct tcp_connection *c)
{
    struct tcp_recovery *r = &c->recovery;
    struct tcp_frame *frame = c->send_next;
    bool again = frame == NULL || frame->length > window_left(c);
    if (again)
        frame = tcp_scoreboard_last_sent(c);
    bool sent = true;
    if (frame == NULL)
        r->marks |= TCP_RECOVERY_FIN_LOST; /* FIN is all that is out: the output sends it again */
    else
        sent = tcp_send_frame(tcp, c, frame);
    r->marks |= TCP_RECOVERY_PROBED; /* also if there was no frame: the next is the time-out, which R2 ends */
    r->marks &= (uint8_t)~TCP_RECOVERY_PROBED_AGAIN;
    if (sent)
        tcp_count(tcp, COUNTER_tcp_tail_probes);
    if (sent && again)
        r->marks |= TCP_RECOVERY_PROBED_AGAIN;
    r->tlp_end = c->snd_nxt;
}

/* RFC 8985 7.4.2 */
bool tcp_tail_probe_acknowledged(struct tcp_connection *c, const struct tcp_news *news)
{
    struct tcp_recovery *r = &c->recovery;
    const struct tcp_segment *segment = news->segment;
    if (!(r->marks & TCP_RECOVERY_PROBED) || seq_before(segment->ack, r->tlp_end))
        return false;
    bool again = r->marks & TCP_RECOVERY_PROBED_AGAIN;
    if (!again || (news->dsack && news->dsack_end == r->tlp_end)) {
        r->marks &= (uint8_t) ~(TCP_RECOVERY_PROBED | TCP_RECOVERY_PROBED_AGAIN);
        return false;
    }
    if (seq_before(r->tlp_end,
                   segment->ack)) { /* data behind the probe has arrived, and no duplicate was told of */
        r->marks &= (uint8_t) ~(TCP_RECOVERY_PROBED | TCP_RECOVERY_PROBED_AGAIN);
        return true;
    }
    /* a duplicate ACK: the probe was the second copy */
    bool pure = segment->payload_bytes == 0 && !(segment->flags & TCP_FIN);
    if (news->acked == 0 && pure && segment->options.sack_blocks == 0)
        r->marks &= (uint8_t) ~(TCP_RECOVERY_PROBED | TCP_RECOVERY_PROBED_AGAIN);
    return false;
}
