/*
 * test_eal.h - EAL without root, huge pages, devices or files of its own, for tests that need mbufs and rings.
 */
#ifndef WILD_TEST_EAL_H
#define WILD_TEST_EAL_H

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include <rte_eal.h>
#include <rte_errno.h>
#include <rte_mbuf.h>

enum { TEST_EAL_PRIVATE_BYTES = 32 }; /* what TCP notes about frames it keeps (tcp.h) */

/* Once a process, with so much memory for pools, rings and rte_malloc(). Ends it if EAL does not start. */
static inline void test_eal_start_with(unsigned memory_mib)
{
    char prefix[64], memory[16];
    snprintf(prefix, sizeof prefix, "--file-prefix=wildtest%ld", (long)getpid());
    snprintf(memory, sizeof memory, "%u", memory_mib);
    char *arguments[] = {
        (char *)"test",           (char *)"--no-huge", (char *)"--no-shconf",       (char *)"-m", memory,
        (char *)"--no-telemetry", (char *)"--no-pci",  (char *)"--log-level=error", prefix,       NULL};
    if (rte_eal_init((int)(sizeof arguments / sizeof arguments[0]) - 1, arguments) < 0) {
        fprintf(stderr, "EAL: %s\n", rte_strerror(rte_errno));
        exit(1);
    }
    rmdir(rte_eal_get_runtime_dir()); /* nothing is shared in it, and the EAL would leave it */
}

static inline void test_eal_start(void)
{
    test_eal_start_with(64);
}

/* Ends the process if memory is short. No per-lcore cache: what is available is exactly what is not in use. */
static inline struct rte_mempool *test_eal_pool(const char *name, unsigned mbufs)
{
    struct rte_mempool *pool = rte_pktmbuf_pool_create(name, mbufs, 0, TEST_EAL_PRIVATE_BYTES,
                                                       RTE_MBUF_DEFAULT_BUF_SIZE, SOCKET_ID_ANY);
    if (pool == NULL) {
        fprintf(stderr, "pool: %s\n", rte_strerror(rte_errno));
        exit(1);
    }
    return pool;
}

#endif
