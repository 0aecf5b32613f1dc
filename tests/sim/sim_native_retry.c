/*
 * sim_native_retry.c - clients and a node joined by a link that loses, repeats, delays, reorders and
 * corrupts, under a virtual clock: every write happens exactly once, and its client learns what became of
 * it.
 *
 *   sim_native_retry [SEEDS] [FIRST]      default: 1000 seeds from WILD_SEED or 1; a failure names its seed
 *
 * The writes: INCR of a few shared counters (the results of one counter must be 1, 2, 3, ... each once),
 * and SET if absent of a key of the client's own (EXISTS would mean that it happened twice). The node
 * becomes READ_ONLY now and then: what it refuses so is not executed, and is sent again under its id.
 */
#include "native_peer.h"

enum {
    CLIENTS = 3,
    OPERATIONS = 400, /* per client; well above RETRY_WINDOW_IDS */
    COUNTERS = 3,
    IN_FLIGHT_MAX = 16,
    LINK_MAX = 4096,
    DATAGRAM_MAX = 256,
    TICKS_MAX = 200000, /* of 1 ms */
    RESEND_TICKS = 8,
};

struct packet {
    uint64_t due; /* tick; 0: free */
    unsigned client;
    bool to_node;
    uint16_t length;
    uint8_t bytes[DATAGRAM_MAX];
};

struct pending {
    uint64_t id; /* 0: none */
    uint64_t sent;
    bool incr;
    unsigned counter;
};

struct client {
    struct native_peer peer;
    bool responded, ready;
    uint64_t sent; /* handshake datagram */
    struct pending pending[IN_FLIGHT_MAX];
    uint64_t next_id;
    unsigned done;
};

struct sim {
    uint64_t seed, random, tick;
    unsigned loss, repeat, late, corrupt; /* per 1000 */
    struct native_shared shared;
    struct native_node node;
    struct client clients[CLIENTS];
    struct packet link[LINK_MAX];
    unsigned link_end; /* places from here on are free */
    uint8_t seen[COUNTERS][CLIENTS * OPERATIONS + 1];
    unsigned incremented[COUNTERS];
    unsigned sets;
    uint64_t first_lsn;
};

static void require(const struct sim *sim, bool condition, const char *what)
{
    if (!condition) {
        fprintf(stderr, "seed %llu, tick %llu: %s\n", (unsigned long long)sim->seed,
                (unsigned long long)sim->tick, what);
        exit(1);
    }
}

static bool chance(struct sim *sim, unsigned per_1000)
{
    return seeded_below(&sim->random, 1000) < per_1000;
}

/* ---- the link ---- */

static void put(struct sim *sim, unsigned client, bool to_node, const uint8_t *bytes, size_t length)
{
    for (unsigned i = 0; i < LINK_MAX; i++) {
        struct packet *packet = &sim->link[i];
        if (packet->due != 0)
            continue;
        uint64_t delay = 1 + seeded_below(&sim->random, 5);
        if (chance(sim, sim->late))
            delay += seeded_below(&sim->random, 2000);
        packet->due = sim->tick + delay;
        sim->link_end = i >= sim->link_end ? i + 1 : sim->link_end;
        packet->client = client;
        packet->to_node = to_node;
        packet->length = (uint16_t)length;
        memcpy(packet->bytes, bytes, length);
        if (chance(sim, sim->corrupt))
            packet->bytes[seeded_below(&sim->random, length)] ^=
                (uint8_t)(1 + seeded_below(&sim->random, 255));
        return;
    }
    /* a link that is this full drops */
}

static void send_over(struct sim *sim, unsigned client, bool to_node, const uint8_t *bytes, size_t length)
{
    require(sim, length <= DATAGRAM_MAX, "a datagram larger than the simulation expects");
    if (chance(sim, sim->loss))
        return;
    put(sim, client, to_node, bytes, length);
    while (chance(sim, sim->repeat))
        put(sim, client, to_node, bytes, length);
}

/* ---- clients ---- */

static void drive_handshake(struct sim *sim, unsigned number)
{
    struct client *client = &sim->clients[number];
    if (client->sent != 0 && sim->tick - client->sent < RESEND_TICKS)
        return;
    client->sent = sim->tick;
    if (client->responded)
        send_over(sim, number, true, client->peer.confirm, sizeof(client->peer.confirm));
    else
        send_over(sim, number, true, client->peer.handshake.init, HANDSHAKE_INIT_BYTES);
}

static void send_write(struct sim *sim, unsigned number, struct pending *pending)
{
    struct client *client = &sim->clients[number];
    uint8_t bytes[NATIVE_ROOM], operand[INCR_OPERAND_BYTES];
    char key[32];
    struct operation operation;
    if (pending->incr) {
        snprintf(key, sizeof(key), "counter %u", pending->counter);
        operation = native_incr(key, 1, 0, operand);
    } else {
        snprintf(key, sizeof(key), "key %u %llu", number, (unsigned long long)pending->id);
        operation = native_set(key, "once");
        operation.flags = FLAG_IF_ABSENT;
    }
    operation.request_id = pending->id;
    pending->sent = sim->tick;
    send_over(sim, number, true, bytes, native_peer_seal(&client->peer, &operation, 1, bytes));
}

/* A client keeps its unanswered ids within one window (message.h). */
static bool fits_window(const struct client *client)
{
    for (unsigned i = 0; i < IN_FLIGHT_MAX; i++)
        if (client->pending[i].id != 0 && client->next_id + 1 - client->pending[i].id >= RETRY_WINDOW_IDS)
            return false;
    return true;
}

static void drive_writes(struct sim *sim, unsigned number)
{
    struct client *client = &sim->clients[number];
    for (unsigned i = 0; i < IN_FLIGHT_MAX; i++) {
        struct pending *pending = &client->pending[i];
        if (pending->id != 0) {
            if (sim->tick - pending->sent >= RESEND_TICKS)
                send_write(sim, number, pending);
        } else if (client->next_id < OPERATIONS && fits_window(client)) {
            pending->id = ++client->next_id;
            pending->incr = chance(sim, 600);
            pending->counter = (unsigned)seeded_below(&sim->random, COUNTERS);
            send_write(sim, number, pending);
        }
    }
}

static void take_reply(struct sim *sim, unsigned number, const struct reply *reply)
{
    struct client *client = &sim->clients[number];
    struct pending *pending = NULL;
    for (unsigned i = 0; i < IN_FLIGHT_MAX; i++)
        if (client->pending[i].id == reply->request_id && reply->request_id != 0)
            pending = &client->pending[i];
    if (pending == NULL || reply->status == STATUS_READ_ONLY)
        return; /* answered already, or to be sent again */
    require(sim, reply->status == STATUS_OK, "a write ended with another outcome than its first");
    if (pending->incr) {
        int64_t result = 0;
        require(sim, incr_result_decode(reply->value, reply->value_length, &result), "INCR without a result");
        require(sim, result >= 1 && result <= CLIENTS * OPERATIONS, "a result that cannot be");
        require(sim, sim->seen[pending->counter][result]++ == 0, "two INCRs with one result");
        sim->incremented[pending->counter]++;
    } else {
        sim->sets++;
    }
    pending->id = 0;
    client->done++;
}

static void client_receives(struct sim *sim, unsigned number, struct packet *packet)
{
    struct client *client = &sim->clients[number];
    struct reply replies[MESSAGE_OPERATIONS_MAX];
    if (client->ready) {
        unsigned count = native_peer_open(&client->peer, packet->bytes, packet->length, replies, 1);
        for (unsigned i = 0; i < count; i++)
            take_reply(sim, number, &replies[i]);
    } else if (client->responded) {
        client->ready = handshake_ready_check(&client->peer.session, packet->bytes, packet->length) == 0;
    } else if (handshake_take_cookie(&client->peer.handshake, &client->peer.keys, packet->bytes,
                                     packet->length) == 0 ||
               native_peer_take_response(&client->peer, packet->bytes, packet->length)) {
        client->responded = packet->bytes[1] == DATAGRAM_RESPONSE;
        client->sent = 0;
    }
}

/* ---- the node ---- */

static void node_receives(struct sim *sim, struct packet *packet)
{
    uint8_t bytes[NATIVE_ROOM];
    memcpy(bytes, packet->bytes, packet->length);
    size_t length =
        native_exchange(&sim->node, &sim->clients[packet->client].peer.path, bytes, packet->length);
    if (length > 0)
        send_over(sim, packet->client, false, bytes, length);
}

static void node_turn(struct sim *sim)
{
    bool read_only = sim->tick / 50 % 5 == 4;
    published_state_set(&sim->shared.published,
                        &(struct state_view){.history = NATIVE_PEER_HISTORY,
                                             .epoch = 1,
                                             .mode = MODE_PRIMARY,
                                             .state = read_only ? STATE_READ_ONLY : STATE_SERVING});
    native_turn(&sim->node);
    for (unsigned i = 0; i < sim->node.sent; i++)
        for (unsigned c = 0; c < CLIENTS; c++)
            if (flow_equal(&sim->node.outbox[i].path.flow, &sim->clients[c].peer.path.flow))
                send_over(sim, c, false, sim->node.outbox[i].bytes, sim->node.outbox[i].length);
    sim->node.sent = 0;
}

/* ---- a run ---- */

static void tick(struct sim *sim)
{
    sim->tick++;
    native_pass_time(&sim->shared, 1000000);
    while (sim->link_end > 0 && sim->link[sim->link_end - 1].due == 0)
        sim->link_end--;
    for (unsigned i = 0; i < sim->link_end; i++) {
        if (sim->link[i].due == 0 || sim->link[i].due > sim->tick)
            continue;
        struct packet packet = sim->link[i];
        sim->link[i].due = 0;
        if (packet.to_node)
            node_receives(sim, &packet);
        else
            client_receives(sim, packet.client, &packet);
    }
    node_turn(sim);
    for (unsigned i = 0; i < CLIENTS; i++) {
        if (!sim->clients[i].ready)
            drive_handshake(sim, i);
        else
            drive_writes(sim, i);
    }
}

static bool finished(const struct sim *sim)
{
    for (unsigned i = 0; i < CLIENTS; i++)
        if (sim->clients[i].done < OPERATIONS)
            return false;
    return true;
}

static void check_end(struct sim *sim)
{
    unsigned increments = 0;
    for (unsigned c = 0; c < COUNTERS; c++) {
        for (unsigned i = 1; i <= sim->incremented[c]; i++)
            require(sim, sim->seen[c][i] == 1, "a counter's results have a gap");
        increments += sim->incremented[c];
    }
    require(sim, increments + sim->sets == CLIENTS * OPERATIONS, "a write was not answered");
    require(sim, native_lsn(&sim->shared) - sim->first_lsn == CLIENTS * OPERATIONS,
            "the table changed more or less often than writes were made");
}

static void run(struct sim *sim, uint64_t seed, uint64_t *repeated, uint64_t *too_old)
{
    memset(sim, 0, sizeof(*sim));
    sim->seed = seed;
    sim->random = seeded_start(seed);
    sim->loss = (unsigned)seeded_below(&sim->random, 300);
    sim->repeat = (unsigned)seeded_below(&sim->random, 300);
    sim->late = (unsigned)seeded_below(&sim->random, 100);
    sim->corrupt = (unsigned)seeded_below(&sim->random, 50);
    native_start(&sim->shared, &sim->node, &(struct native_options){.seed = seed, .capacity = 4096});
    sim->first_lsn = native_lsn(&sim->shared);
    for (unsigned i = 0; i < CLIENTS; i++) {
        native_peer_init(&sim->clients[i].peer, &sim->node, NATIVE_PEER_SECRET, i, 1000);
        native_peer_begin(&sim->clients[i].peer, i == 0 ? SUITE_CHACHA20_POLY1305 : SUITE_MAC);
    }
    while (!finished(sim)) {
        require(sim, sim->tick < TICKS_MAX, "no end in sight");
        tick(sim);
    }
    check_end(sim);
    *repeated += native_counter(&sim->node, COUNTER_native_retry_repeated);
    *too_old += native_counter(&sim->node, COUNTER_native_retry_too_old);
    native_stop(&sim->shared, &sim->node, 1);
}

int main(int argc, char **argv)
{
    static struct sim sim;
    uint64_t seeds = argc > 1 ? strtoull(argv[1], NULL, 0) : 1000;
    uint64_t first = argc > 2 ? strtoull(argv[2], NULL, 0) : seeded_from_environment(1);
    uint64_t repeated = 0, too_old = 0;
    for (uint64_t seed = first; seed < first + seeds; seed++)
        run(&sim, seed, &repeated, &too_old);
    printf("%llu seeds from %llu: every write once; %llu repeated, %llu too old\n", (unsigned long long)seeds,
           (unsigned long long)first, (unsigned long long)repeated, (unsigned long long)too_old);
    /* A run without either would prove nothing. */
    return repeated > 0 && (seeds < 100 || too_old > 0) ? 0 : 1;
}
