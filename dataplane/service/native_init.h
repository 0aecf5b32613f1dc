/*
 * native_init.h - what a node asks of an INIT before it spends mathematics on it, whatever transport it came
 * by.
 */
#ifndef WILD_NATIVE_INIT_H
#define WILD_NATIVE_INIT_H

#include <stdbool.h>

#include "counters.h"
#include "handshake.h"
#include "net/endpoint.h"
#include "service/handshake_helper.h"

/* One source prefix may have half of a lane, so that a flood from one leaves room for all others. */
enum { NATIVE_LANE_SHARE_MAX = HANDSHAKE_LANE_JOBS / 2 };
static_assert((int)NATIVE_LANE_SHARE_MAX > (int)HANDSHAKE_COOKIE_THRESHOLD,
              "a flood is asked for cookies before it is refused");

/*
 * The secret whose mac1 verifies and that lets clients in, or NULL (counted by reason). keys[1] may be NULL.
 */
const struct role_keys *native_init_check(const struct role_keys *const keys[2], enum transport transport,
                                          const uint8_t *bytes, size_t length, struct counters *counters);

/*
 * Under load an INIT must prove its source address; a cookie that is there must be good at any time. True: go
 * on; false (counted): `reply` is the COOKIE to answer with.
 */
bool native_init_proven(const struct role_keys *keys, const struct cookie_secrets *cookies,
                        const struct flow *flow, bool load, const uint8_t init[HANDSHAKE_INIT_BYTES],
                        uint8_t reply[HANDSHAKE_COOKIE_BYTES], struct counters *counters);

#endif
