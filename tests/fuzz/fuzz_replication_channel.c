/*
 * fuzz_replication_channel.c - two channels over a pair of links. The input is a program: which secrets and
 * how much room there is, then what the owners do, how the bytes travel, and what the network or a peer that
 * holds the secret does to them.
 *
 * What arrives is a prefix of what was sent, whatever happens to the bytes; all of it, if nothing does. A
 * peer that holds the secret may say anything: it is a message that is valid, or the end. Without a secret in
 * common nothing opens, and the server says nothing. Keys are wiped at every end. Everything comes to rest.
 */
#include "channel_fixture.h"
#include "fuzz.h"

enum { STEPS_MAX = 400, QUEUE_BYTES_MAX = 300000, LIMIT_MIN = 536 };

/* What the input's first byte says. */
enum option {
    OPTION_REKEYS = 0x01,       /* keys are changed often */
    OPTION_OTHER_SECRET = 0x02, /* nothing in common */
    OPTION_TWO_SECRETS = 0x04,
    OPTION_SMALL_SERVER = 0x08, /* it takes only what a replica sends */
    OPTION_REFUSES = 0x10,
};

enum step {
    STEP_MOVE,
    STEP_QUEUE,
    STEP_TURN,
    STEP_TELL,
    STEP_ROOM, /* of the link, and what its owner is ready for */
    STEP_CORRUPT,
    STEP_DROP,
    STEP_REPEAT,
    STEP_INJECT,
    STEP_SAY, /* sealed with a good key: what a hostile holder of the secret could */
    STEP_CLOSE,
    STEP_ABORT,
    STEP_CUT,
    STEP_ACT, /* what an owner will do at its n-th message */
    STEP_AGAIN,
    STEPS,
};

struct world {
    struct link_pair *pair;
    struct channel_side *side[2];
    uint8_t options;
    uint32_t queue_bytes;
    bool disturbed; /* not everything need arrive */
    bool hostile;   /* who holds the secret says what no owner had to send */
};

/* Any message that is valid; its bytes are read, so that a sanitizer sees those that are not there. */
static void hostile_came(void *owner, const struct replication_message *message)
{
    struct channel_side *s = owner;
    unsigned sum = 0;
    s->late += s->channel.state != CHANNEL_OPEN || s->opened != 1;
    MUST(message->type >= REPLICATION_HELLO && message->type <= REPLICATION_HANDOVER);
    for (uint32_t i = 0; i < message->payload_bytes; i++)
        sum += message->payload[i];
    if (message->type == REPLICATION_WELCOME)
        for (unsigned i = 0; i < message->welcome.histories; i++)
            sum += replication_history_decode(&message->welcome, i).epoch;
    s->came += sum < UINT32_MAX;
}

static const struct channel_events hostile_events = {
    .may_compute = side_may_compute, .opened = side_opened, .message = hostile_came, .ready = side_ready};

static void judge(const struct world *w)
{
    bool stranger = w->options & OPTION_OTHER_SECRET;
    for (unsigned i = 0; i < 2; i++) {
        const struct channel_side *s = w->side[i];
        MUST(s->late == 0 && s->opened <= 1 && s->asked <= 1 && s->gone <= 1);
        MUST(w->hostile || s->wrong == 0);
        MUST(w->hostile || s->came <= w->side[!i]->begun);
        MUST((s->channel.state == CHANNEL_ENDED) == (s->channel.end != CHANNEL_LIVES));
        if (s->channel.state == CHANNEL_ENDED)
            MUST(side_is_wiped(s) && !channel_sending(&s->channel));
        bool waits = s->channel.holding && s->channel.have == s->channel.need;
        MUST(s->channel.have < s->config.receive_bytes || waits);
        MUST(s->channel.need <= s->config.receive_bytes);
        MUST(!s->channel.holding || (s->channel.state != CHANNEL_ENDED && s->not_ready));
        if (stranger || w->options & OPTION_REFUSES)
            MUST(s->opened == 0 && w->pair->end[0].committed == 0);
    }
    MUST(!stranger || w->side[0]->asked == 0);
}

static void meet(struct world *w)
{
    if (w->pair != NULL)
        link_pair_free(w->pair);
    w->pair = link_pair_new(LIMIT_MIN + (w->options >> 5) * 6000);
    w->disturbed = w->hostile = false;
    for (unsigned i = 0; i < 2; i++) {
        w->side[i]->config.events = &side_events;
        w->side[i]->when_came = SIDE_GOES_ON;
    }
    side_start(w->side[0], w->pair, w->side[1]);
    side_start(w->side[1], w->pair, w->side[0]);
}

static void queue(struct world *w, struct fuzz_input *input, struct channel_side *s)
{
    uint32_t size = fuzz_u16(input);
    if (size >= 0xff00)
        size = REPLICATION_PAYLOAD_BYTES_MAX - (size & 0xff);
    if (w->queue_bytes + size <= QUEUE_BYTES_MAX) {
        w->queue_bytes += size;
        side_queue(s, size);
    }
}

static void change_bytes(struct world *w, struct fuzz_input *input, enum step step, unsigned side)
{
    struct link_end *end = &w->pair->end[side];
    size_t at = fuzz_u16(input), bytes = 1 + fuzz_u16(input) % 600;
    if (at >= end->length)
        return;
    if (bytes > end->length - at)
        bytes = end->length - at;
    w->disturbed = true;
    if (step == STEP_CORRUPT) {
        link_pair_corrupt(w->pair, side, at, (uint8_t)bytes);
    } else if (step == STEP_DROP) {
        memmove(end->out + at, end->out + at + bytes, end->length - at - bytes);
        end->length -= bytes;
    } else {
        uint8_t copy[600];
        memcpy(copy, end->out + at, bytes);
        link_pair_inject(w->pair, side, copy, bytes);
    }
}

/* Of the input, and zeros where it has run dry. */
static size_t some_bytes(struct fuzz_input *input, uint8_t *out, size_t most)
{
    size_t length = fuzz_u8(input) % most + 1, left = fuzz_left(input);
    size_t taken = length < left ? length : left;
    memset(out, 0, most);
    memcpy(out, input->at, taken);
    input->at += taken;
    return length;
}

static void say(struct world *w, struct fuzz_input *input, struct channel_side *s)
{
    uint8_t content[128], record[sizeof content + RECORD_ROOM_BYTES];
    size_t length = some_bytes(input, content, sizeof content);
    if (s->channel.state != CHANNEL_OPEN)
        return;
    w->hostile = w->disturbed = true;
    w->side[0]->config.events = w->side[1]->config.events = &hostile_events;
    for (unsigned i = 0; i < 2; i++)
        w->side[i]->channel.config.events = &hostile_events;
    link_pair_inject(w->pair, s->number, record, record_seal(&s->channel.writer, content, length, record));
}

/* False: the program has ended. */
static bool take_step(struct world *w, struct fuzz_input *input)
{
    uint8_t code = fuzz_u8(input), bytes[128];
    unsigned side = code >> 7;
    enum step step = (code & 0x7f) % STEPS;
    struct channel_side *s = w->side[side];
    if (fuzz_left(input) == 0)
        return false;
    switch (step) {
    case STEP_MOVE:
        link_pair_move(w->pair, side, 1 + fuzz_u16(input));
        break;
    case STEP_QUEUE:
        queue(w, input, s);
        break;
    case STEP_TURN:
        if (!w->pair->end[side].gone)
            side_turn(s);
        break;
    case STEP_TELL:
        link_pair_tell(w->pair, side);
        break;
    case STEP_ROOM:
        code = fuzz_u8(input);
        w->pair->end[side].no_room = code & 1;
        s->not_ready = code & 2;
        s->ready_for = code >> 2;
        if (!w->pair->end[side].gone)
            (void)channel_resume(&s->channel);
        break;
    case STEP_CORRUPT:
    case STEP_DROP:
    case STEP_REPEAT:
        change_bytes(w, input, step, side);
        break;
    case STEP_INJECT:
        link_pair_inject(w->pair, side, bytes, some_bytes(input, bytes, sizeof bytes));
        w->disturbed = true;
        break;
    case STEP_SAY:
        say(w, input, s);
        break;
    case STEP_CLOSE:
        if (!w->pair->end[side].gone)
            channel_close(&s->channel);
        w->disturbed = true;
        break;
    case STEP_ABORT:
        if (!w->pair->end[side].gone)
            channel_abort(&s->channel);
        w->disturbed = true;
        break;
    case STEP_CUT:
        link_pair_cut(w->pair);
        w->disturbed = true;
        break;
    case STEP_ACT:
        s->when_came = fuzz_u8(input) % 3;
        s->at_message = s->came + fuzz_u8(input) % 4;
        w->disturbed |= s->when_came != SIDE_GOES_ON;
        break;
    default:
        if (w->pair->end[0].gone && w->pair->end[1].gone)
            meet(w);
        break;
    }
    return true;
}

/* Rounds that two ends with this much to send may need: they move at least LIMIT_MIN - 524 bytes in two. */
static unsigned rounds_for(const struct world *w)
{
    return 200 + w->queue_bytes / 4;
}

static void come_to_rest(struct world *w)
{
    w->pair->end[0].no_room = w->pair->end[1].no_room = false;
    for (unsigned i = 0; i < 2; i++) {
        w->side[i]->not_ready = false;
        if (!w->pair->end[i].gone)
            side_turn(w->side[i]);
    }
    MUST(link_pair_run_for(w->pair, rounds_for(w)));
    judge(w);
    bool strange = w->options & (OPTION_OTHER_SECRET | OPTION_REFUSES | OPTION_SMALL_SERVER);
    if (w->disturbed || strange)
        return;
    for (unsigned i = 0; i < 2; i++)
        MUST(w->side[i]->channel.state == CHANNEL_OPEN && w->side[i]->came == w->side[!i]->queued);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct role_keys keys[3]; /* derived once */
    static const struct handshake_identity identity = {.cluster_id = "0123456789abcde", .node_id = 77};
    static const struct record_limits often = {.records = 3, .bytes = 30000};
    struct fuzz_input input = {data, data + size};
    struct world w = {.options = fuzz_u8(&input)};
    char error[256];

    if (keys_start() != 0)
        abort();
    for (unsigned i = 0; i < 3 && !keys[i].held[ROLE_REPLICA]; i++) {
        char secret[] = "wild1:_00102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f";
        secret[6] = (char)('1' + i);
        MUST(keys_from_secret(&keys[i], secret, strlen(secret), "wild", error, sizeof error) == 0);
    }
    bool stranger = w.options & OPTION_OTHER_SECRET, two = w.options & OPTION_TWO_SECRETS;
    w.side[0] = side_new(0, &keys[two ? 1 : 0], two ? &keys[0] : NULL, &identity,
                         w.options & OPTION_SMALL_SERVER ? REPLICATION_UPSTREAM_BYTES_MAX
                                                         : REPLICATION_MESSAGE_BYTES_MAX);
    w.side[1] = side_new(1, &keys[stranger ? 2 : 0], NULL, NULL, REPLICATION_MESSAGE_BYTES_MAX);
    w.side[0]->refuses = w.options & OPTION_REFUSES;
    for (unsigned i = 0; i < 2; i++)
        w.side[i]->config.limits = w.options & OPTION_REKEYS ? &often : NULL;
    meet(&w);
    for (unsigned i = 0; i < STEPS_MAX && take_step(&w, &input); i++)
        judge(&w);
    come_to_rest(&w);
    link_pair_free(w.pair);
    side_free(w.side[0]);
    side_free(w.side[1]);
    return 0;
}
