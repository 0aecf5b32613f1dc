/*
 * tcp_script_steps.c - what each step of a script does.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "tcp_script_player.h"

static void flush(struct player *p)
{
    unsigned count = p->burst_count;
    p->burst_count = 0;
    if (count > 0)
        tcp_input(p->tcp, p->burst, count, p->now);
    player_turn(p);
}

static void arrives(struct player *p, const struct script_step *step)
{
    struct conversation *c = p->current;
    uint8_t bytes[60 + SCRIPT_PAYLOAD_MAX + BACK_BYTES];
    struct script_ports ports = {.local = c->path.flow.local_port, .peer = c->path.flow.peer_port};
    unsigned length = script_segment_write(bytes, &step->segment, ports, &c->origin);
    player_note(p, "%s", step->text);
    if (step->segment.has_ack && (int32_t)(step->segment.ack.value - c->acked) > 0)
        c->acked = step->segment.ack.value;
    struct rte_mbuf *frame = rte_pktmbuf_alloc(p->pool);
    if (frame == NULL || p->burst_count == TCP_BURST_MAX || step->segment.length > SCRIPT_PAYLOAD_MAX) {
        player_fail(p, "no frame for a segment to arrive in, or it is too long");
        rte_pktmbuf_free(frame);
        return;
    }
    uint8_t *place = (uint8_t *)rte_pktmbuf_append(frame, (uint16_t)(FRONT_BYTES + length + BACK_BYTES));
    memset(place, 0x5A, FRONT_BYTES + length + BACK_BYTES);
    memcpy(place + FRONT_BYTES, bytes, length);
    p->burst[p->burst_count++] = (struct tcp_arrival){
        .frame = frame, .header = place + FRONT_BYTES, .length = (uint16_t)length, .path = c->path};
    if (!step->segment.burst)
        flush(p);
}

static void leaves(struct player *p, const struct script_step *step)
{
    struct script_segment want = step->segment;
    char text[200] = "";
    uint64_t start = p->now.mono_ns;
    if (p->awaiting)
        player_advance(p, start + p->await_to_ns, true);
    bool early = p->awaiting && p->now.mono_ns < start + p->await_from_ns;
    p->awaiting = false;
    for (bool more = true; more && !p->failed;) {
        const struct sent *sent = player_peek(p);
        if (sent == NULL) {
            player_fail(p, "expected  %s\n    got       nothing", step->text);
            return;
        }
        struct script_sent got;
        script_segment_read(&got, sent->bytes, sent->length);
        player_describe(sent, text, sizeof text);
        const char *differs = script_segment_differs(&want, &got, &p->current->origin);
        if (sent->conversation != p->current)
            differs = "peer";
        if (differs == NULL && early)
            differs = "time: too early";
        if (differs != NULL)
            player_fail(p, "expected  %s\n    got       > %s\n    differs   %s", step->text, text, differs);
        want.seq.value += got.length;
        want.length -= got.length;
        more = want.run && want.length > 0;
        player_take(p);
    }
}

struct conversation *player_converse(struct player *p, uint64_t number, uint64_t host)
{
    if (number == SCRIPT_PEER_NEXT)
        number = p->conversations_used + 1;
    if (host == 0)
        host = 1;
    struct return_path path = {.vlan_tci = VLAN_NONE, .peer_mac = {2, 0, 0, 0, 9, (uint8_t)host}};
    path.flow.peer = address_from_ip4(rte_cpu_to_be_32(0xC6120000 + (uint32_t)host));
    path.flow.local = address_from_ip4(rte_cpu_to_be_32(0xC6130001));
    path.flow.peer_port = rte_cpu_to_be_16((uint16_t)(40000 + number));
    path.flow.local_port = rte_cpu_to_be_16(7878);
    struct conversation *c = player_conversation_of(p, &path.flow);
    if (c != NULL)
        return c;
    if (p->conversations_used == CONVERSATIONS_MAX) {
        player_fail(p, "too many peers");
        return p->current;
    }
    c = &p->conversations[p->conversations_used++];
    *c = (struct conversation){.player = p, .path = path, .write_at = 1, .read_at = 1};
    c->origin.peer = UINT32_MAX - 15;
    return c;
}

static void connects(struct player *p)
{
    struct conversation *c = p->current;
    c->path.flow.local_port = 0;
    c->write_at = 1;
    c->over = false;
    c->stream = tcp_connect(p->tcp, &c->path, &player_events, c, p->now);
    if (c->stream == NULL)
        player_fail(p, "tcp_connect gave NULL");
    else
        c->path.flow.local_port = c->stream->flow.local_port;
}

static const struct tcp_connection *connection_of(const struct player *p, const struct conversation *c)
{
    for (unsigned i = 0; i < p->config.connections_max; i++) {
        const struct tcp_connection *at = &p->tcp->connections[i];
        if (at->state != TCP_CLOSED && memcmp(&at->stream.flow, &c->path.flow, sizeof c->path.flow) == 0)
            return at;
    }
    return NULL;
}

static bool waits(const struct player *p, const struct conversation *c)
{
    for (unsigned i = 0; i < p->tcp->time_waits.count_max; i++) {
        const struct tcp_time_wait *at = &p->tcp->time_waits.record[i];
        if (at->ends_ns != 0 && memcmp(&at->path.flow, &c->path.flow, sizeof c->path.flow) == 0)
            return true;
    }
    return false;
}

static uint64_t state_of(const struct player *p)
{
    const struct tcp_connection *c = connection_of(p, p->current);
    if (c != NULL)
        return c->state;
    return waits(p, p->current) ? SCRIPT_STATE_TIME_WAIT : TCP_CLOSED;
}

static void expect_number(struct player *p, uint64_t want, uint64_t got)
{
    if (want != got)
        player_fail(p, "expected  %llu\n    got       %llu", (unsigned long long)want,
                    (unsigned long long)got);
}

static void check_counter(struct player *p, const struct script_step *step)
{
    for (unsigned i = 0; i < COUNTER_COUNT; i++) {
        if (strcmp(counter_name((enum counter)i), step->name) == 0) {
            expect_number(p, step->number, counter_get(&p->counters, (enum counter)i));
            return;
        }
    }
    player_fail(p, "no such counter");
}

static void check_counts(struct player *p, const struct script_step *step)
{
    struct tcp_counts counts = tcp_counts(p->tcp);
    const struct {
        const char *name;
        unsigned value;
    } table[] = {{"connections", counts.connections},
                 {"half_open", counts.half_open},
                 {"time_wait", counts.time_wait},
                 {"send_frames", counts.send_frames},
                 {"receive_frames", counts.receive_frames}};
    for (unsigned i = 0; i < sizeof table / sizeof table[0]; i++) {
        if (strcmp(table[i].name, step->name) == 0) {
            expect_number(p, step->number, table[i].value);
            return;
        }
    }
    player_fail(p, "no such count");
}

static void icmp_arrives(struct player *p, const struct script_step *step)
{
    struct conversation *c = p->current;
    struct tcp_icmp_error error = {.flow = c->path.flow,
                                   .seq = step->segment.seq.value + c->origin.local,
                                   .type = (uint8_t)(step->number >> 8),
                                   .code = (uint8_t)step->number,
                                   .mtu = (uint16_t)step->second};
    player_note(p, "%s", step->text);
    tcp_icmp(p->tcp, &error, p->now);
    player_turn(p);
}

static void discard(struct player *p, const struct script_step *step)
{
    if (p->sent_count - p->sent_taken > step->number)
        player_fail(p, "%u segments left, at most %llu may", p->sent_count - p->sent_taken,
                    (unsigned long long)step->number);
    for (const struct sent *sent = player_peek(p); sent != NULL; sent = player_peek(p)) {
        if (step->second != 0 && (sent->bytes[13] & TCP_RST))
            player_fail(p, "a reset left");
        player_take(p);
    }
}

static void starve(struct player *p, uint64_t remain)
{
    while (rte_mempool_avail_count(p->pool) > remain && p->starved_count < POOL_FRAMES) {
        struct rte_mbuf *frame = rte_pktmbuf_alloc(p->pool);
        if (frame == NULL)
            break;
        p->starved[p->starved_count++] = frame;
    }
}

void player_feed(struct player *p)
{
    while (p->starved_count > 0)
        rte_pktmbuf_free(p->starved[--p->starved_count]);
}

static void listens(struct player *p, const struct script_step *step)
{
    struct stream_acceptor acceptor = {.state = p, .accepted = player_accepted};
    int status = tcp_listen(p->tcp, (uint16_t)step->number, acceptor);
    if (status != 0)
        player_fail(p, "tcp_listen: %s", strerror(-status));
    p->current->path.flow.local_port = rte_cpu_to_be_16((uint16_t)step->number);
}

/* What the user does. */
static void acts(struct player *p, const struct script_step *step)
{
    struct conversation *c = p->current;
    player_note(p, "user: %s", step->text);
    if (step->kind == STEP_LISTEN)
        listens(p, step);
    else if (step->kind == STEP_STOP)
        tcp_listen_stop(p->tcp);
    else if (step->kind == STEP_CONNECT)
        connects(p);
    else if (step->kind == STEP_REFUSE)
        p->refuse = true;
    else if (step->kind == STEP_SEND && step->takes != SCRIPT_SEND_ALL && c->stream != NULL)
        expect_number(p, (uint64_t)step->takes, player_write(c, step->number));
    else if (step->kind == STEP_DEADLINE)
        player_does(c, STEP_DEADLINE, step->from_ns > 0 ? p->now.mono_ns + step->from_ns : 0);
    else if (step->kind == STEP_ON)
        c->reaction[step->event] =
            (struct reaction){.kind = step->reaction, .number = step->number, .set = true};
    else {
        if (step->kind == STEP_RESUME) {
            c->holding = step->number > 0;
            c->hold_left = step->number;
        }
        player_does(c, step->kind, step->number);
    }
    player_turn(p);
}

/* What must be so. */
static void asserts(struct player *p, const struct script_step *step)
{
    struct conversation *c = p->current;
    switch (step->kind) {
    case STEP_TOLD:
        if (c->told[step->event] == 0)
            player_fail(p, "this was not told");
        else if (step->event == EVENT_CLOSED && step->number != SCRIPT_END_ANY && step->number != c->end)
            player_fail(p, "expected  end %u\n    got       end %u", (unsigned)step->number, c->end);
        else
            c->told[step->event]--;
        return;
    case STEP_NOT_TOLD:
        if (c->told[step->event] != 0)
            player_fail(p, "this was told");
        return;
    case STEP_RECEIVED:
        expect_number(p, step->number, c->received);
        return;
    case STEP_OPEN:
        if (c->stream == NULL)
            player_fail(p, "the stream is closed");
        return;
    case STEP_STATE:
        expect_number(p, step->number, state_of(p));
        return;
    case STEP_UNSENT:
        expect_number(p, step->number, c->stream != NULL ? stream_unsent(c->stream) : 0);
        return;
    case STEP_COUNTER:
        check_counter(p, step);
        return;
    case STEP_COUNTS:
        check_counts(p, step);
        return;
    case STEP_ISN_LATER:
        if (!c->origin.later)
            player_fail(p, "the new initial number lies below what the old connection sent");
        return;
    default:
        player_fail(p, "the player does not know this step");
    }
}

/* What the world does. */
static bool world_does(struct player *p, const struct script_step *step)
{
    switch (step->kind) {
    case STEP_ARRIVES:
        arrives(p, step);
        return true;
    case STEP_LEAVES:
        leaves(p, step);
        return true;
    case STEP_ADVANCE:
        player_advance(p, p->now.mono_ns + step->from_ns, false);
        return true;
    case STEP_AWAIT:
        p->awaiting = true;
        p->await_from_ns = step->from_ns;
        p->await_to_ns = step->to_ns;
        return true;
    case STEP_NOTHING:
        return true;
    case STEP_ICMP:
        icmp_arrives(p, step);
        return true;
    case STEP_MTU:
        p->link_mtu = (uint16_t)step->number;
        return true;
    case STEP_ISN:
        p->current->origin.peer = (uint32_t)step->number;
        return true;
    case STEP_STARVE:
        starve(p, step->number);
        return true;
    case STEP_FEED:
        player_feed(p);
        return true;
    case STEP_DISCARD:
        discard(p, step);
        return true;
    case STEP_AGAIN:
        p->current->origin.local_known = p->current->origin.clock_known = false;
        return true;
    case STEP_PEER:
        p->current = player_converse(p, step->number, step->second);
        return true;
    default:
        return false;
    }
}

static bool is_assertion(enum script_kind kind)
{
    return kind == STEP_TOLD || kind == STEP_NOT_TOLD || kind == STEP_RECEIVED || kind == STEP_OPEN ||
           kind == STEP_STATE || kind == STEP_UNSENT || kind == STEP_COUNTER || kind == STEP_COUNTS ||
           kind == STEP_ISN_LATER;
}

void player_step(struct player *p, const struct script_step *step)
{
    p->step = step;
    if (is_assertion(step->kind)) {
        asserts(p, step);
        return;
    }
    bool may_wait = step->kind == STEP_LEAVES || step->kind == STEP_DISCARD || step->kind == STEP_PEER ||
                    (step->kind == STEP_AWAIT && step->from_ns == 0);
    if (!may_wait)
        player_expect_nothing(p);
    if (p->failed)
        return;
    if (!world_does(p, step))
        acts(p, step);
    const char *broken = tcp_invariants_broken(p->tcp);
    if (broken != NULL)
        player_fail(p, "an invariant is broken: %s", broken);
}
