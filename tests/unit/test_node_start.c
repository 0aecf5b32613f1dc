/*
 * test_node_start.c - a node that gets no memory: every allocation of its start fails in turn.
 *
 * The linker puts the functions below in the place of those that the node calls (--wrap in meson.build).
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include <rte_byteorder.h>
#include <rte_malloc.h>

#include "node.h"
#include "suite.h"
#include "test_eal.h"

enum { POOL_FRAMES = 63 };

static struct {
    bool armed;
    unsigned calls, fails_at; /* the call, counted from 1, that gets nothing */
    long pieces, mapped_bytes, locked_bytes;
} memory;

static bool fails(void)
{
    return memory.armed && ++memory.calls == memory.fails_at;
}

static void *counted(void *piece)
{
    memory.pieces += memory.armed && piece != NULL;
    return piece;
}

void *__real_malloc(size_t bytes);
void *__wrap_malloc(size_t bytes);
void *__real_calloc(size_t count, size_t bytes);
void *__wrap_calloc(size_t count, size_t bytes);
void *__real_aligned_alloc(size_t alignment, size_t bytes);
void *__wrap_aligned_alloc(size_t alignment, size_t bytes);
void __real_free(void *piece);
void __wrap_free(void *piece);
void *__real_rte_zmalloc_socket(const char *name, size_t bytes, unsigned alignment, int socket);
void *__wrap_rte_zmalloc_socket(const char *name, size_t bytes, unsigned alignment, int socket);
void __real_rte_free(void *piece);
void __wrap_rte_free(void *piece);
void *__real_mmap64(void *at, size_t bytes, int protection, int flags, int fd, off_t offset);
void *__wrap_mmap64(void *at, size_t bytes, int protection, int flags, int fd, off_t offset);
int __real_munmap(void *at, size_t bytes);
int __wrap_munmap(void *at, size_t bytes);
int __real_sodium_mlock(void *at, size_t bytes);
int __wrap_sodium_mlock(void *at, size_t bytes);
int __real_sodium_munlock(void *at, size_t bytes);
int __wrap_sodium_munlock(void *at, size_t bytes);

void *__wrap_malloc(size_t bytes)
{
    return fails() ? NULL : counted(__real_malloc(bytes));
}

void *__wrap_calloc(size_t count, size_t bytes)
{
    return fails() ? NULL : counted(__real_calloc(count, bytes));
}

void *__wrap_aligned_alloc(size_t alignment, size_t bytes)
{
    return fails() ? NULL : counted(__real_aligned_alloc(alignment, bytes));
}

void __wrap_free(void *piece)
{
    memory.pieces -= memory.armed && piece != NULL;
    __real_free(piece);
}

void *__wrap_rte_zmalloc_socket(const char *name, size_t bytes, unsigned alignment, int socket)
{
    return fails() ? NULL : counted(__real_rte_zmalloc_socket(name, bytes, alignment, socket));
}

void __wrap_rte_free(void *piece)
{
    memory.pieces -= memory.armed && piece != NULL;
    __real_rte_free(piece);
}

void *__wrap_mmap64(void *at, size_t bytes, int protection, int flags, int fd, off_t offset)
{
    void *got = fails() ? MAP_FAILED : __real_mmap64(at, bytes, protection, flags, fd, offset);

    /* What lies over a mapping is no further one. */
    memory.mapped_bytes += memory.armed && got != MAP_FAILED && (flags & MAP_FIXED) == 0 ? (long)bytes : 0;
    return got;
}

int __wrap_munmap(void *at, size_t bytes)
{
    memory.mapped_bytes -= memory.armed ? (long)bytes : 0;
    return __real_munmap(at, bytes);
}

int __wrap_sodium_mlock(void *at, size_t bytes)
{
    int failed = fails() ? -1 : __real_sodium_mlock(at, bytes);

    memory.locked_bytes += memory.armed && failed == 0 ? (long)bytes : 0;
    return failed;
}

int __wrap_sodium_munlock(void *at, size_t bytes)
{
    memory.locked_bytes -= memory.armed ? (long)bytes : 0;
    return __real_sodium_munlock(at, bytes);
}

static uint16_t no_frames(void *state, struct rte_mbuf **frames, uint16_t count)
{
    (void)state;
    (void)frames;
    (void)count;
    return 0;
}

static void configure(struct node_config *config, const struct secret_option *secret,
                      struct rte_mempool *pool)
{
    struct node_port *port = &config->port[0];

    *config = (struct node_config){
        .workers = 2,
        .ports = 1,
        .udp_port = 7878,
        .capacity = 1000,
        .sessions = NODE_SESSIONS_MIN,
        .connections = NODE_CONNECTIONS_MIN,
        .secrets = secret,
        .secret_count = 1,
        .cluster_name = "wild",
        .pool = pool,
        .random = random_system(),
        .numa_node = -1,
        .huge_pages = true,
    };
    *port =
        (struct node_port){.address = address_from_ip4(rte_cpu_to_be_32(0xC6120001)), .prefix_length = 24};
    port->port.workers = 2;
    port->port.mtu = 1500;
    for (unsigned i = 0; i < 2; i++)
        port->port.queue[i] = (struct port_queue){NULL, no_frames, no_frames};
}

/* Starts, and stops if it started, with allocation `n` failing. Returns whether there was one. */
static bool start_without(unsigned n, const struct node_config *config, unsigned *failures)
{
    struct node *node = NULL;
    char error[OPTIONS_ERROR_BYTES] = "";
    int failed;

    memset(&memory, 0, sizeof memory);
    memory.fails_at = n;
    memory.armed = true;
    failed = node_start(&node, config, (struct instant){.mono_ns = 1, .wall_ms = 1}, error, sizeof error);
    if (failed == 0)
        node_stop(node);
    memory.armed = false;
    if (failed != 0) {
        (*failures)++;
        CU_ASSERT(error[0] != '\0' && strchr(error, '\n') == NULL);
    }
    if (memory.pieces != 0 || memory.mapped_bytes != 0 || memory.locked_bytes != 0) {
        printf("allocation %u fails (%s): %ld pieces, %ld mapped and %ld locked bytes are left\n", n, error,
               memory.pieces, memory.mapped_bytes, memory.locked_bytes);
        CU_FAIL("memory is left");
    }
    CU_ASSERT(failed == 0 || memory.calls >= n);
    return memory.calls >= n;
}

static void every_allocation_of_a_start_may_fail_and_nothing_is_left(void)
{
    struct rte_mempool *pool = test_eal_pool("frames", POOL_FRAMES);
    struct secret_option secret = {.length = 70};
    struct node_config config;
    unsigned n = 1, failures = 0;

    memcpy(secret.text, "wild1:0102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f20", 70);
    configure(&config, &secret, pool);
    while (n < 200 && start_without(n, &config, &failures))
        n++;
    CU_ASSERT(n < 200);
    CU_ASSERT(failures >= 20); /* nearly all: huge pages have a substitute */
    CU_ASSERT(failures + 5 > n);
    CU_ASSERT_EQUAL(rte_mempool_avail_count(pool), POOL_FRAMES);
    printf("%u allocations, %u of them are a reason not to start\n", n - 1, failures);
}

int main(void)
{
    CU_TestInfo tests[] = {
        {"every_allocation_of_a_start_may_fail_and_nothing_is_left",
         every_allocation_of_a_start_may_fail_and_nothing_is_left},
        CU_TEST_INFO_NULL,
    };

    test_eal_start();
    return suite_run("node_start", tests);
}
