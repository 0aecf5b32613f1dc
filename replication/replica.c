/*
 * replica.c - the phases of a replica, its link to the primary, and time.
 */
#include "replica_internal.h"

#include <stdlib.h>
#include <string.h>

#define MS UINT64_C(1000000)

struct replica *replica_create(const struct replica_config *config)
{
    struct replica *replica = calloc(1, sizeof *replica);

    if (replica == NULL)
        return NULL;
    replica->config = *config;
    replica->phase = REPLICA_WAITING;
    replica->delay_ms = REPLICA_DELAY_MIN_MS;
    replica->at.next_lsn = 1;
    return replica;
}

void replica_destroy(struct replica *replica)
{
    if (replica == NULL)
        return;
    if (replica->channel_used) {
        channel_abort(&replica->channel);
        channel_gone(&replica->channel);
    }
    free(replica);
}

/* ---- ending ---- */

static void count_end(const struct replica *replica, enum replica_end why)
{
    static const uint8_t counter_of[] = {
        [REPLICA_END_SHAKING] = REPLICATION_cut,
        [REPLICA_END_CUT] = REPLICATION_cut,
        [REPLICA_END_BAD_KEY] = REPLICATION_bad_key,
        [REPLICA_END_NOT_IN_ORDER] = REPLICATION_not_in_order,
        [REPLICA_END_GAP] = REPLICATION_gaps,
        [REPLICA_END_SILENT] = REPLICATION_timed_out,
        [REPLICA_END_NO_ROOM] = REPLICATION_not_in_order,
    };
    static_assert(REPLICATION_sessions == 0, "0 is no counter of an end");

    if (why < sizeof counter_of && counter_of[why] != 0)
        replication_count(replica->config.counters, counter_of[why], 1);
}

/* Until the next attempt: a random half to whole of what doubles from one to the next. */
static uint64_t next_delay_ns(struct replica *replica)
{
    uint32_t whole = replica->delay_ms, random;

    random_fill(replica->config.random, &random, sizeof random);
    replica->delay_ms = whole < REPLICA_DELAY_MAX_MS / 2 ? 2 * whole : REPLICA_DELAY_MAX_MS;
    return (whole / 2 + random % (whole / 2 + 1)) * MS;
}

/* A primary whose log is not one that we can follow, or write, is not asked at the pace of one that was cut off. */
static bool is_fault(enum replica_end why)
{
    return why == REPLICA_END_NOT_IN_ORDER || why == REPLICA_END_GAP || why == REPLICA_END_NO_ROOM ||
           why == REPLICA_END_LOG;
}

void replica_end(struct replica *replica, enum replica_end why)
{
    if (replica->phase == REPLICA_WAITING)
        return;
    count_end(replica, why);
    replica_apply_ends(replica);
    if (replica->phase == REPLICA_FOLLOWING && !is_fault(why))
        replica->delay_ms = REPLICA_DELAY_MIN_MS;
    replica->phase = REPLICA_WAITING;
    replica->welcomed = replica->learning = replica->waits = false;
    replica->due_ns = replica->now_ns + next_delay_ns(replica);
    replica->close_by_ns = UINT64_MAX;
    if (replica->channel_used && why == REPLICA_END_OURS && replica->channel.shaken) {
        channel_close(&replica->channel);
        replica->close_by_ns = replica->now_ns + REPLICA_CLOSE_MS * MS;
    } else if (replica->channel_used) {
        channel_abort(&replica->channel);
    }
    replica_tell_end(replica, why);
}

static enum replica_end why_channel_ended(const struct replica *replica)
{
    switch ((enum channel_end)replica->channel.end) {
    case CHANNEL_CLOSED:
        return REPLICA_END_CLOSED;
    case CHANNEL_BAD_KEY:
        return REPLICA_END_BAD_KEY;
    case CHANNEL_NOT_IN_ORDER:
        return REPLICA_END_NOT_IN_ORDER;
    default:
        return replica->channel.shaken ? REPLICA_END_CUT : REPLICA_END_SHAKING;
    }
}

/* The channel may have ended in whatever was done with it. */
static void look_at_channel(struct replica *replica)
{
    if (replica->phase > REPLICA_CONNECTING && replica->channel.state == CHANNEL_ENDED)
        replica_end(replica, why_channel_ended(replica));
}

/* ---- speaking ---- */

static void send_message(struct replica *replica, const struct replication_message *message)
{
    channel_send(&replica->channel, message, NULL, NULL, NULL);
    channel_turn(&replica->channel);
}

/* Sends what is to be said, one thing at a time. */
static void speak(struct replica *replica)
{
    if (replica->phase < REPLICA_GREETING || replica->channel.state != CHANNEL_OPEN ||
        channel_sending(&replica->channel))
        return;
    if (!replica->hello_sent) {
        struct replication_message hello = replica_hello(replica);
        replica->hello_sent = true;
        send_message(replica, &hello);
    } else if (replica->ack_due) {
        struct replication_message ack = replica_ack(replica);
        replica->ack_due = false;
        replica->acked_durable_lsn = ack.ack.durable_lsn;
        replica->acked_ns = replica->now_ns;
        send_message(replica, &ack);
    }
}

/* ---- what the channel brings ---- */

static void on_opened(void *owner)
{
    speak(owner);
}

static void on_handover(struct replica *replica, const struct replication_handover *handover)
{
    const struct replica_host *host = &replica->config.host;

    if (host->handover == NULL || !replica_has_log(replica) || replica->phase != REPLICA_FOLLOWING)
        replica_end(replica, REPLICA_END_NOT_IN_ORDER);
    else
        host->handover(host->state, handover->epoch);
}

static void on_welcomed_message(struct replica *replica, const struct replication_message *message)
{
    switch (message->type) {
    case REPLICATION_SNAPSHOT_BEGIN:
        replica_on_snapshot_begin(replica, &message->begin);
        break;
    case REPLICATION_SNAPSHOT_CHUNK:
        replica_on_snapshot_chunk(replica, message->payload, message->payload_bytes);
        break;
    case REPLICATION_SNAPSHOT_END:
        replica_on_snapshot_end(replica, &message->end);
        break;
    case REPLICATION_BATCH:
        replica_on_batch(replica, message);
        break;
    case REPLICATION_HEARTBEAT:
        replica_on_heartbeat(replica, &message->heartbeat);
        break;
    case REPLICATION_HANDOVER:
        on_handover(replica, &message->handover);
        break;
    default:
        replica_end(replica, REPLICA_END_NOT_IN_ORDER);
    }
}

static void on_message(void *owner, const struct replication_message *message)
{
    struct replica *replica = owner;

    if (replica->welcomed)
        on_welcomed_message(replica, message);
    else if (message->type == REPLICATION_WELCOME)
        replica_on_welcome(replica, &message->welcome);
    else if (message->type == REPLICATION_REFUSE)
        replica_on_refuse(replica, &message->refuse);
    else
        replica_end(replica, REPLICA_END_NOT_IN_ORDER);
}

static bool on_ready(void *owner)
{
    return replica_may_take(owner);
}

static const struct channel_events channel_events = {
    .opened = on_opened, .message = on_message, .ready = on_ready};

/* ---- the link ---- */

void replica_connected(struct replica *replica, const struct link *link)
{
    struct replica_config *config = &replica->config;

    if (replica->phase != REPLICA_CONNECTING) { /* stopped or called elsewhere meanwhile */
        link->functions->abort(link->stream);
        return;
    }
    struct channel_config channel = {.events = &channel_events,
                                     .owner = replica,
                                     .keys = {config->keys[0], config->keys[1]},
                                     .random = config->random,
                                     .session = config->session_keys,
                                     .receive = replica->receive,
                                     .receive_bytes = sizeof replica->receive,
                                     .held = replica->held};
    replica->phase = REPLICA_GREETING;
    replica->channel_used = true;
    replica->heard = true;
    replica->timeout_ns = REPLICA_GREETING_MS * MS;
    replica->hello_sent = replica->welcomed = false;
    replica->acked_durable_lsn = 0;
    replica->acked_ns = replica->now_ns;
    channel_start(&replica->channel, &channel, link);
    look_at_channel(replica);
}

size_t replica_received(struct replica *replica, uint8_t *bytes, size_t length)
{
    size_t taken;

    if (!replica->channel_used)
        return length;
    replica->heard = true;
    taken = channel_received(&replica->channel, bytes, length);
    speak(replica);
    look_at_channel(replica);
    return taken;
}

bool replica_wants_input(const struct replica *replica)
{
    return !replica->channel_used || !replica->channel.holding;
}

void replica_writable(struct replica *replica)
{
    if (!replica->channel_used)
        return;
    channel_turn(&replica->channel);
    speak(replica);
    look_at_channel(replica);
}

void replica_link_closed(struct replica *replica)
{
    if (replica->channel_used)
        channel_gone(&replica->channel);
    replica->link_there = replica->channel_used = false;
    replica_end(replica,
                replica->phase == REPLICA_CONNECTING ? REPLICA_END_NO_LINK : why_channel_ended(replica));
}

static void connect(struct replica *replica)
{
    const struct replica_host *host = &replica->config.host;

    replica->phase = REPLICA_CONNECTING;
    replica->link_there = true;
    replication_count(replica->config.counters, REPLICATION_connects, 1);
    if (!host->connect(host->state)) {
        replica->link_there = false;
        replica_end(replica, REPLICA_END_NO_LINK);
    }
}

/* ---- time ---- */

void replica_begin_following(struct replica *replica)
{
    replica->phase = REPLICA_FOLLOWING;
    replica->followed_ns = replica->now_ns;
    if (replica->told_end == REPLICA_END_NONE)
        replica_tell_following(replica);
}

static void mind_time(struct replica *replica, uint64_t before_ns)
{
    /* Who was not there for so long cannot say that nothing came, nor who takes nothing. */
    if (replica->heard || replica->channel.holding || replica->now_ns - before_ns > replica->timeout_ns / 2)
        replica->heard_ns = replica->now_ns;
    replica->heard = false;
    if (replica->now_ns - replica->heard_ns > replica->timeout_ns)
        replica_end(replica, REPLICA_END_SILENT);
    else if (replica->phase == REPLICA_FOLLOWING &&
             replica->now_ns - replica->followed_ns > REPLICA_SETTLED_MS * MS)
        replica_tell_following(replica);
}

/* What was held while our log had no room. A primary whose words wait for that is told that we are there. */
static unsigned take_held(struct replica *replica)
{
    if (!replica->channel.holding)
        return 0;
    if (channel_resume(&replica->channel))
        return 1;
    if (replica->now_ns - replica->acked_ns > replica->timeout_ns / 4)
        replica->ack_due = true;
    return 0;
}

/* A link is there, and the channel has it. */
static unsigned turn_session(struct replica *replica, uint64_t before_ns)
{
    unsigned done = channel_turn(&replica->channel) > 0;

    done += take_held(replica);
    replica_own_turn(replica);
    if (replica->phase == REPLICA_HIDING || replica->phase == REPLICA_CLEARING)
        done += replica_clear(replica);
    done += replica_end_loading(replica);
    speak(replica);
    look_at_channel(replica);
    if (replica->phase > REPLICA_CONNECTING)
        mind_time(replica, before_ns);
    return done;
}

static unsigned turn_waiting(struct replica *replica)
{
    unsigned done = 0;

    if (replica->channel_used) {
        done = channel_turn(&replica->channel) > 0; /* what is said last */
        if (replica->now_ns > replica->close_by_ns) {
            replica->close_by_ns = UINT64_MAX;
            /* It may have said all, and the other side never end the link: a node that is frozen, or gone. */
            if (replica->channel.state == CHANNEL_ENDED)
                replica->channel.link.functions->abort(replica->channel.link.stream);
            else
                channel_abort(&replica->channel);
        }
    }
    if (replica->link_there || replica->stopped || replica->paused || replica->now_ns < replica->due_ns)
        return done;
    connect(replica);
    return 1;
}

unsigned replica_turn(struct replica *replica, uint64_t mono_ns, uint64_t wall_ms)
{
    uint64_t before_ns = replica->turned ? replica->now_ns : mono_ns;

    (void)wall_ms;
    replica->now_ns = mono_ns;
    replica->turned = true;
    replica_own_look(replica);
    if (!replica->paused)
        replica_publish(replica);
    if (replica->phase == REPLICA_WAITING)
        return turn_waiting(replica);
    return replica->channel_used ? turn_session(replica, before_ns) : 0;
}

void replica_stop(struct replica *replica)
{
    replica->stopped = true;
    replica_end(replica, REPLICA_END_OURS);
}

/* The next attempt is at once, and worth a line again. */
static void hurry(struct replica *replica)
{
    replica->delay_ms = REPLICA_DELAY_MIN_MS;
    replica->due_ns = replica->now_ns;
    replica->told_end = REPLICA_END_NONE;
    replica->told_following = false;
}

void replica_reconnect(struct replica *replica)
{
    replica_end(replica, REPLICA_END_OURS);
    hurry(replica);
}

void replica_stop_following(struct replica *replica)
{
    replica->paused = true;
    replica_end(replica, REPLICA_END_OURS);
}

void replica_follow_again(struct replica *replica)
{
    if (!replica->paused)
        return;
    replica->paused = replica->published = false;
    hurry(replica);
}

/* ---- facts ---- */

const char *replica_phase_name(enum replica_phase phase)
{
    static const char *const names[] = {[REPLICA_WAITING] = "waiting",    [REPLICA_CONNECTING] = "connecting",
                                        [REPLICA_GREETING] = "greeting",  [REPLICA_HIDING] = "hiding",
                                        [REPLICA_CLEARING] = "clearing",  [REPLICA_LOADING] = "loading",
                                        [REPLICA_FOLLOWING] = "following"};

    return phase < sizeof names / sizeof names[0] ? names[phase] : "unknown";
}

void replica_facts(const struct replica *replica, struct replica_facts *out)
{
    *out = (struct replica_facts){.phase = replica->phase,
                                  .applied_lsn = replica_reached_lsn(replica),
                                  .history = replica->at.history,
                                  .primary_lsn = replica->primary_lsn,
                                  .acknowledged_lsn = replica->acknowledged_lsn,
                                  .heard_ns = replica->heard_ns,
                                  .behind_ns = replica->behind_ns,
                                  .loaded_bytes = replica->loaded_bytes,
                                  .loading_bytes = replica->snapshot.bytes,
                                  .epoch = replica->epoch,
                                  .serving = replica->serving,
                                  .has_data = replica_is_whole(replica),
                                  .link_there = replica->link_there,
                                  .waits = replica->waits,
                                  .adopting = replica->adopting};
    memcpy(out->cluster_id, replica->cluster_id, CLUSTER_ID_BYTES);
    memcpy(out->refusal, replica->refusal, sizeof out->refusal);
}
