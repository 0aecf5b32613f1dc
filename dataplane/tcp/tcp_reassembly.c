/*
 * tcp_reassembly.c - segments that came out of order, until what is missing before them has come.
 *
 *   gaps_head --> [frame]->[frame] --> [frame] --> [frame]->[frame]->[frame] --> NULL     by next
 *                  run: no gap inside   run         run
 *                  run_last ---^        run_last    run_last ----------^
 *
 * A run is frames without a gap between them; between runs there is one. The first frame of each knows
 * the last, so that finding a place takes a step a run, never one a frame (CVE-2018-5390), and there are
 * at most TCP_GAPS_MAX runs. No byte is kept twice, and of bytes that came twice the first are kept:
 * nobody can change what has been acknowledged by SACK. A FIN is the end of the last run; nothing is kept
 * behind it.
 */
#include "tcp/tcp_internal.h"

static uint32_t run_end(const struct tcp_frame *run)
{
    return tcp_frame_end(run->run_last);
}

static bool run_has_fin(const struct tcp_frame *run)
{
    return run->run_last->marks & TCP_FRAME_FIN;
}

static uint32_t cost_of(uint32_t length)
{
    return RTE_MAX(length, (uint32_t)TCP_FRAME_COST_BYTES);
}

/* Where a segment goes: *link will point to it. */
struct place {
    struct tcp_frame **link;
    struct tcp_frame *before; /* the last run that begins at or before it, or NULL */
    struct tcp_frame *next;   /* the run behind that, or NULL */
};

static struct place place_find(struct tcp_connection *c, uint32_t start)
{
    struct place place = {.link = &c->gaps_head, .next = c->gaps_head};
    while (place.next != NULL && seq_at_or_before(place.next->seq, start)) {
        place.before = place.next;
        place.link = &place.before->run_last->next;
        place.next = *place.link;
    }
    return place;
}

static void segment_trim_end(struct tcp_segment *segment, uint32_t end)
{
    segment->payload_bytes = (uint16_t)(end - segment->seq);
    segment->flags &= (uint8_t)~TCP_FIN;
}

/* Drops what the run that it begins in has already. False: nothing is new. */
static bool trim_to_run(struct tcp_segment *segment, const struct tcp_frame *run, bool is_last)
{
    uint32_t known = run_end(run) - segment->seq;
    bool fin = segment->flags & TCP_FIN;
    if (known > segment->payload_bytes || (known == segment->payload_bytes && !(fin && is_last)))
        return false;
    segment->seq += known;
    segment->payload += known;
    segment->payload_bytes = (uint16_t)(segment->payload_bytes - known);
    return true;
}

/* The runs that the segment covers become part of it, with the bytes that came first; one that it reaches
 * into is to be joined: returned, else NULL. */
static struct tcp_frame *cover(struct tcp *tcp, struct tcp_connection *c, struct tcp_segment *segment,
                               struct place *place)
{
    while (place->next != NULL) {
        struct tcp_frame *run = place->next;
        uint32_t end = segment->seq + segment->payload_bytes;
        if (seq_before(end, run->seq) || seq_before(end, run_end(run))) {
            bool joins = seq_at_or_before(run->seq, end);
            segment_trim_end(segment, joins ? run->seq : end); /* a FIN in front of data is none */
            return joins ? run : NULL;
        }
        if (run_has_fin(run)) {
            segment_trim_end(segment, run_end(run));
            segment->flags |= TCP_FIN;
        }
        struct tcp_frame *behind = run->run_last->next;
        for (struct tcp_frame *next, *frame = run; frame != behind; frame = next) {
            next = frame->next;
            memcpy(segment->payload + (frame->seq - segment->seq), tcp_frame_bytes(frame), frame->length);
            c->gaps_cost -= cost_of(frame->length);
            tcp_received_free(tcp, frame);
        }
        c->gaps--;
        place->next = behind;
    }
    return NULL;
}

/* A small segment behind another: into the rest of its buffer. */
static bool append_to(struct tcp_connection *c, struct tcp_frame *last, const struct tcp_segment *segment)
{
    const struct rte_mbuf *mbuf = tcp_frame_mbuf(last);
    unsigned end = last->offset + last->length + segment->payload_bytes;
    if (end > mbuf->buf_len || rte_mbuf_refcnt_read(mbuf) != 1 || !RTE_MBUF_DIRECT(mbuf))
        return false;
    memcpy(tcp_frame_bytes(last) + last->length, segment->payload, segment->payload_bytes);
    c->gaps_cost -= cost_of(last->length);
    last->length = (uint16_t)(last->length + segment->payload_bytes);
    c->gaps_cost += cost_of(last->length);
    if (segment->flags & TCP_FIN)
        last->marks |= TCP_FRAME_FIN;
    return true;
}

static bool has_room(struct tcp *tcp, const struct tcp_connection *c, const struct tcp_segment *segment,
                     const struct place *place, bool extends_run)
{
    uint32_t end = segment->seq + segment->payload_bytes;
    if (!extends_run && c->gaps >= TCP_GAPS_MAX &&
        (place->next == NULL || seq_before(end, place->next->seq))) {
        tcp_count(tcp, COUNTER_tcp_gap_dropped_runs);
        return false;
    }
    if (c->gaps_cost + c->held_bytes + cost_of(segment->payload_bytes) > tcp->config.receive_bytes_max) {
        tcp_count(tcp, COUNTER_tcp_gap_dropped_cost);
        return false;
    }
    /* The last quarter is for what is in order: holes can be left open by anybody, for as long as they
     * like. */
    unsigned max = tcp->config.receive_frames_max;
    if (tcp->receive_frames >= max - max / 4) {
        tcp_count(tcp, COUNTER_tcp_gap_dropped_frames);
        return false;
    }
    return true;
}

void tcp_gap_store(struct tcp *tcp, struct tcp_connection *c, struct tcp_segment *segment)
{
    struct place place = place_find(c, segment->seq);
    struct tcp_frame *run = place.before;
    bool extends = run != NULL && seq_at_or_before(segment->seq, run_end(run));
    if (tcp_segment_length(segment) == 0 || (run != NULL && run_has_fin(run)) ||
        (extends && !trim_to_run(segment, run, place.next == NULL))) {
        tcp_count(tcp, COUNTER_tcp_gap_duplicate);
        return;
    }
    if (!has_room(tcp, c, segment, &place, extends))
        return;
    tcp_count(tcp, COUNTER_tcp_gap_kept);
    struct tcp_frame *joined = cover(tcp, c, segment, &place);
    struct tcp_frame *last = extends ? run->run_last : NULL;
    if (extends && append_to(c, last, segment)) {
        last->next = place.next;
    } else {
        last = tcp_received_keep(tcp, segment);
        last->next = place.next;
        *place.link = last;
        c->gaps_cost += cost_of(last->length);
    }
    if (!extends) {
        run = last;
        c->gaps++;
    }
    run->run_last = last;
    if (joined != NULL) {
        run->run_last = joined->run_last;
        c->gaps--;
    }
    run->run_change = ++c->gap_changes;
}

struct tcp_frame *tcp_gap_next(struct tcp *tcp, struct tcp_connection *c)
{
    struct tcp_frame *head;
    while ((head = c->gaps_head) != NULL && seq_at_or_before(head->seq, c->rcv_nxt)) {
        c->gaps_head = head->next;
        c->gaps_cost -= cost_of(head->length);
        if (head->run_last == head) {
            c->gaps--;
        } else {
            head->next->run_last = head->run_last;
            head->next->run_change = head->run_change;
        }
        uint32_t end = tcp_frame_end(head) + ((head->marks & TCP_FRAME_FIN) != 0);
        if (seq_at_or_before(end, c->rcv_nxt)) { /* it has come in order meanwhile */
            tcp_received_free(tcp, head);
            continue;
        }
        uint32_t known = c->rcv_nxt - head->seq;
        head->seq += known;
        head->offset = (uint16_t)(head->offset + known);
        head->length = (uint16_t)(head->length - known);
        return head;
    }
    return NULL;
}

unsigned tcp_gap_blocks(const struct tcp_connection *c, struct tcp_sack_block *blocks, unsigned room)
{
    unsigned count = 0;
    uint32_t age_told = 0; /* changes since the run was touched: each run has another number */
    for (; count < room; count++) {
        const struct tcp_frame *youngest = NULL;
        uint32_t age_youngest = UINT32_MAX;
        for (const struct tcp_frame *run = c->gaps_head; run != NULL; run = run->run_last->next) {
            uint32_t age = c->gap_changes - run->run_change;
            if ((count == 0 || age > age_told) && age < age_youngest) {
                youngest = run;
                age_youngest = age;
            }
        }
        if (youngest == NULL)
            break;
        age_told = age_youngest;
        blocks[count] =
            (struct tcp_sack_block){.start = youngest->seq, .end = run_end(youngest) + run_has_fin(youngest)};
    }
    return count;
}

void tcp_gaps_drop(struct tcp *tcp, struct tcp_connection *c)
{
    for (struct tcp_frame *next, *frame = c->gaps_head; frame != NULL; frame = next) {
        next = frame->next;
        tcp_received_free(tcp, frame);
    }
    c->gaps_head = NULL;
    c->gaps = 0;
    c->gaps_cost = 0;
}
