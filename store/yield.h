/*
 * yield.h - the points at which a mutation may be interleaved with others. They are nothing in the product;
 * the store library that tests build with -DSTORE_YIELD calls the scheduler there, so that a deterministic
 * test can walk through interleavings of several workers in one thread.
 */
#ifndef WILD_YIELD_H
#define WILD_YIELD_H

enum yield_point {
    YIELD_LOCK_SPIN,    /* waiting for a bucket's lock */
    YIELD_RESERVED,     /* room is reserved, no LSN yet */
    YIELD_LSN_TAKEN,    /* the LSN is taken, nothing is published */
    YIELD_ITEM_WRITTEN, /* the item is in place, the record is not published */
    YIELD_PUBLISHED,    /* the record is published, the bucket still locked */
    YIELD_READ,         /* a reader between its copy and its check */
    YIELD_READ_MATCHED, /* a reader between the key and the value */
    YIELD_READ_NEXT,    /* a reader about to follow a chain */
    YIELD_FLUSH,        /* FLUSH between announcing itself and its LSN, and before it is visible */
    YIELD_ROOM,         /* a write found no room; it holds no lock */
};

#ifdef STORE_YIELD
void store_yield(enum yield_point point); /* the test's scheduler */
#define STORE_YIELD_POINT(point) store_yield(point)
#else
#define STORE_YIELD_POINT(point) ((void)0)
#endif

#endif
