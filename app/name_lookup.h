/*
 * name_lookup.h - host names to IPv4 addresses, where nobody may wait: a thread of its own asks the system's resolver,
 * which takes as long as it likes. One question at a time.
 */
#ifndef WILD_NAME_LOOKUP_H
#define WILD_NAME_LOOKUP_H

#include <stdbool.h>
#include <stdint.h>

#include "net/endpoint.h"

struct name_lookup;

/* Whether that may be a host's name (RFC 1123 2.1) or address: the resolver says whether it is there. */
bool name_lookup_is_name(const char *text);

enum { NAME_LOOKUP_ERROR_BYTES = 128 };

/* name: a host's, or an address as text; copied. NULL with one line in `error`. An address needs no thread. */
struct name_lookup *name_lookup_create(const char *name, char *error, size_t error_bytes);
/* Does not wait for an answer that is under way. NULL is fine. */
void name_lookup_destroy(struct name_lookup *lookup);

/* One thread: */
/* Asks, if nothing is under way. */
void name_lookup_ask(struct name_lookup *lookup);

enum name_lookup_state {
    NAME_LOOKUP_IDLE, /* nothing was asked, or the answer was taken */
    NAME_LOOKUP_ASKED,
    NAME_LOOKUP_FOUND,  /* *out */
    NAME_LOOKUP_FAILED, /* one line in `why` */
};
/* The answer, once: it is taken by this. */
enum name_lookup_state name_lookup_take(struct name_lookup *lookup, struct address *out,
                                        char why[NAME_LOOKUP_ERROR_BYTES]);

#endif
