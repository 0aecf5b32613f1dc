/*
 * promotion_internal.h - the struct behind promotion.h, and what its files share: promotion.c (phases, time,
 * what comes of it), promotion_peers.c (whom it asks, and their sessions), promotion_text.c (what operators
 * are told). Not for others.
 */
#ifndef WILD_PROMOTION_INTERNAL_H
#define WILD_PROMOTION_INTERNAL_H

#include "promotion.h"

enum {
    PROMOTION_ATTEMPTS = 3, /* to reach a peer: from the begin, and again when promises are asked for */
    PROMOTION_AGAIN_MS = 50,
    PROMOTION_CLOSE_MS = 1000, /* for the last words of a session */
    PROMOTION_CONNECTS = 4,    /* a turn: each makes a key (60 us) */
};

enum promotion_phase { PHASE_NONE, PHASE_ASKING, PHASE_OWN_SEAL, PHASE_SEALING };

/* Why a peer has not answered. */
enum peer_trouble {
    TROUBLE_SILENT, /* so far */
    TROUBLE_NO_LINK,
    TROUBLE_SHAKING, /* cut before it was open */
    TROUBLE_BAD_KEY,
    TROUBLE_CUT,
    TROUBLE_NOT_IN_ORDER,
    TROUBLE_VERSION,
    TROUBLE_REFUSED,   /* `refusal` */
    TROUBLE_OURSELVES, /* a seed is our own address */
};

struct promotion_peer {
    struct promotion *promotion;
    uint64_t expected_id; /* as the list has it; 0: a seed */
    uint8_t address[16];
    uint16_t port, client_port;
    char name[MEMBER_NAME_BYTES]; /* of a member */

    bool link_there;      /* connect was begun, and promotion_link_closed() is yet to come */
    bool channel_used;    /* and the channel has it */
    bool over;            /* but this attempt is: nothing more is said on it */
    bool turned_away;     /* no other attempt is worth it */
    uint8_t question;     /* enum replication_type: asked, and not answered yet; 0: none */
    unsigned attempts;    /* begun */
    uint64_t due_ns;      /* for the next */
    uint64_t close_by_ns; /* over: the link is to be gone */

    bool heard;  /* it has told how it stands, */
    bool sealed; /* and did so after SEAL */
    struct replication_standing standing;
    enum peer_trouble trouble;
    char refusal[REPLICATION_TEXT_BYTES + 64];

    struct channel channel;
    uint8_t receive[REPLICATION_UPSTREAM_BYTES_MAX];
};

/* What peers have said so far; see promotion_tally(). */
struct promotion_tally {
    uint64_t promised[PROMOTION_PEERS_MAX + 1]; /* node ids, each once; ours the first */
    uint64_t heard[PROMOTION_PEERS_MAX + 1];    /* likewise: could promise */
    unsigned promised_count, heard_count;
    bool enough, could_be_enough; /* of those who promised; of those who were heard of, if they do */
    bool pending;                 /* somebody was heard of who may yet promise */
    bool late;                    /* somebody may yet be heard of */
    /* Who is in the way, if it is; NULL: nobody. */
    const struct promotion_peer *live, *overtaken, *rival, *above;
};

struct promotion {
    struct promotion_config config;
    struct promotion_order order; /* list: below; seed: none */
    struct member_list list;
    enum promotion_phase phase;
    uint64_t now_ns, begin_ns, sealing_ns;
    uint32_t epoch; /* from OWN_SEAL on */
    struct promotion_result result;
    unsigned peers;
    struct promotion_peer peer[PROMOTION_PEERS_MAX];
};

/* ---- promotion_peers.c ---- */

/* Those of the order. No link is left. */
void promotion_peers_begin(struct promotion *promotion);
/* They are asked for promises from now on. */
void promotion_peers_seal(struct promotion *promotion);
/* All sessions are ended in order. */
void promotion_peers_end(struct promotion *promotion);
/* Things done: 0 means idle. */
unsigned promotion_peers_turn(struct promotion *promotion);

/* No answer is to be expected of it any more (in this phase). */
bool promotion_peer_is_lost(const struct promotion_peer *peer);
/* It leads, serves, and is to be left alone. */
bool promotion_peer_lives(const struct promotion_peer *peer);
/* It is to be asked for its promise: a primary that is alive is not stopped for what may come to nothing. */
bool promotion_peer_may_seal(const struct promotion_peer *peer);
/* It has promised itself to us, in this epoch. */
bool promotion_peer_promised(const struct promotion_peer *peer);
/* It has more than we. */
bool promotion_peer_stands_above(const struct promotion_peer *peer);
/* It could be promoted in our place. */
bool promotion_peer_could_lead(const struct promotion_peer *peer);
/* It has more than we, and for that we may not lead. */
bool promotion_peer_is_in_the_way(const struct promotion_peer *peer);
/* Its log and ours are of different histories of one epoch. */
bool promotion_peer_is_elsewhere(const struct promotion_peer *peer);
void promotion_tally(const struct promotion *promotion, struct promotion_tally *out);

/* ---- promotion_text.c ---- */

/* Fills in result.text, by result.why and what was heard; `about`: of whom it tells, NULL: of nobody. */
void promotion_tell(struct promotion *promotion, const struct promotion_tally *tally,
                    const struct promotion_peer *about);

#endif
