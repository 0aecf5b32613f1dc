/*
 * tcp_script_internal.h - a script, read; shared by the files of the player.
 */
#ifndef WILD_TEST_TCP_SCRIPT_INTERNAL_H
#define WILD_TEST_TCP_SCRIPT_INTERNAL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "tcp/tcp.h"
#include "tcp/tcp_connection.h"
#include "tcp_script.h"

enum {
    SCRIPT_STEPS_MAX = 512,
    SCRIPT_LINE_MAX = 200,
    SCRIPT_BLOCKS_MAX = 4,
    SCRIPT_RAW_MAX = 40,
    SCRIPT_PAYLOAD_MAX = 1460, /* of a segment that arrives */
};

struct script_number {
    uint32_t value;
    bool absolute, any;
};

struct script_options {
    bool given, mss, wscale, sack_ok, ts;
    uint16_t mss_value;
    uint8_t wscale_value;
    struct script_number ts_value, ts_echo;
    unsigned blocks;
    struct {
        uint32_t start, end; /* relative to the numbers of who receives the option */
    } block[SCRIPT_BLOCKS_MAX];
    unsigned raw_bytes;
    uint8_t raw[SCRIPT_RAW_MAX];
};

struct script_segment {
    bool any, run;   /* > any; >> */
    bool burst;      /* <+ */
    bool ack_either; /* ? among the flags */
    bool junk;
    uint8_t flags; /* enum tcp_flag */
    struct script_number seq, ack;
    bool has_ack;
    uint32_t length;
    int32_t window; /* -1: not given */
    uint16_t urgent;
    int doff; /* -1: as it should be */
    unsigned cut;
    struct script_options options;
};

enum script_kind {
    STEP_ARRIVES,
    STEP_LEAVES,
    STEP_ADVANCE,
    STEP_AWAIT, /* ~: to be followed by STEP_LEAVES */
    STEP_LISTEN,
    STEP_STOP,
    STEP_CONNECT,
    STEP_REFUSE,
    STEP_SEND,
    STEP_CLOSE,
    STEP_ABORT,
    STEP_HOLD,
    STEP_RESUME,
    STEP_DEADLINE,
    STEP_ON,
    STEP_TOLD,
    STEP_NOT_TOLD,
    STEP_RECEIVED,
    STEP_OPEN,
    STEP_STATE,
    STEP_UNSENT,
    STEP_NOTHING,
    STEP_COUNTER,
    STEP_COUNTS,
    STEP_ISN_LATER,
    STEP_ICMP,
    STEP_CONFIG,
    STEP_MTU,
    STEP_ISN,
    STEP_STARVE,
    STEP_FEED,
    STEP_DISCARD,
    STEP_AGAIN,
    STEP_PEER,
    STEP_REPEAT,
    STEP_END,
};

/* What users are told. */
enum script_event {
    EVENT_ACCEPTED,
    EVENT_CONNECTED,
    EVENT_RECEIVED,
    EVENT_ENDED,
    EVENT_WRITABLE,
    EVENT_EXPIRED,
    EVENT_CLOSED,
    EVENTS,
};

enum { SCRIPT_STATE_TIME_WAIT = 100, SCRIPT_END_ANY = 100, SCRIPT_PEER_NEXT = 0, SCRIPT_SEND_ALL = -1 };

struct script_step {
    enum script_kind kind;
    unsigned line;
    char text[SCRIPT_LINE_MAX];
    struct script_segment segment;
    uint64_t from_ns, to_ns; /* STEP_ADVANCE, STEP_AWAIT, STEP_DEADLINE */
    uint64_t number, second; /* the step's own */
    int64_t takes;           /* STEP_SEND; SCRIPT_SEND_ALL */
    enum script_event event;
    enum script_kind reaction;
    char name[48]; /* of a counter, a count or a configuration */
};

struct script {
    const char *name;
    struct script_step step[SCRIPT_STEPS_MAX];
    unsigned steps;
};

/* False: error says where and what. */
bool script_parse(struct script *out, const struct tcp_script *script, char *error, size_t error_bytes);

/* ---- tcp_script_wire.c: segments as bytes, with no code of the tree's own codec ---- */

/* What both sides' relative numbers start from. */
struct script_origin {
    uint32_t local, peer, clock;
    bool local_known, clock_known;
    bool later; /* the last initial number was beyond everything sent before it */
};

struct script_ports {
    rte_be16_t local, peer;
};

uint8_t script_byte(uint32_t relative);
/* Writes header and payload at `out` (room: 60 + SCRIPT_PAYLOAD_MAX), returns their length. */
unsigned script_segment_write(uint8_t *out, const struct script_segment *segment, struct script_ports ports,
                              const struct script_origin *origin);

/* A segment that left, decoded; NULL or what is wrong with it. */
struct script_sent {
    uint8_t flags;
    uint32_t seq, ack, length;
    uint16_t window;
    struct script_options options; /* raw_bytes: unknown kinds */
    const uint8_t *payload;
};
const char *script_segment_read(struct script_sent *out, const uint8_t *bytes, size_t length);
/* NULL, or what differs. `length`: how much of the expected payload this segment may be (runs: any piece). */
const char *script_segment_differs(const struct script_segment *want, const struct script_sent *got,
                                   const struct script_origin *origin);
void script_segment_print(char *out, size_t room, const struct script_sent *sent,
                          const struct script_origin *origin);

#endif
