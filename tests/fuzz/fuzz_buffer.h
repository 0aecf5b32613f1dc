/* fuzz_buffer.h - frames in heap blocks of exactly their size, so that the sanitizer sees one byte too
 * far. */
#ifndef WILD_TESTS_FUZZ_BUFFER_H
#define WILD_TESTS_FUZZ_BUFFER_H

#include <string.h>

#include <rte_mbuf.h>

#include "fuzz.h"

struct fuzz_block {
    struct rte_mbuf_ext_shared_info info;
    uint8_t *bytes;
};

static inline void fuzz_block_free(void *address, void *opaque)
{
    struct fuzz_block *block = opaque;
    (void)address;
    free(block->bytes);
    free(block);
}

/* A buffer of `pool` with a copy of `bytes`, and room before and behind it. NULL: the pool is dry. */
static inline struct rte_mbuf *fuzz_buffer(struct rte_mempool *pool, const uint8_t *bytes, size_t length,
                                           size_t headroom, size_t tailroom)
{
    struct rte_mbuf *mbuf = rte_pktmbuf_alloc(pool);
    if (mbuf == NULL)
        return NULL;
    size_t room = headroom + length + tailroom;
    struct fuzz_block *block = malloc(sizeof *block);
    MUST(block != NULL && (block->bytes = malloc(room > 0 ? room : 1)) != NULL);
    block->info = (struct rte_mbuf_ext_shared_info){.free_cb = fuzz_block_free, .fcb_opaque = block};
    rte_mbuf_ext_refcnt_set(&block->info, 1);
    rte_pktmbuf_attach_extbuf(mbuf, block->bytes, 0, (uint16_t)room, &block->info);
    mbuf->data_off = (uint16_t)headroom;
    mbuf->data_len = (uint16_t)length;
    mbuf->pkt_len = (uint32_t)length;
    if (length > 0)
        memcpy(block->bytes + headroom, bytes, length);
    return mbuf;
}

#endif
