/*
 * test_tcp_demux.c - the flow table and the counts of sources, against arrays that are searched.
 */
#include "tcp/tcp_demux.h"

#include <stdio.h>

#include "seeded.h"
#include "suite.h"
#include "tcp/tcp_sources.h"
#include "test_eal.h"

enum { NUMBERS = 100, STEPS = 20000 };

static const struct siphash_key KEY = {UINT64_C(0x0706050403020100), UINT64_C(0x0F0E0D0C0B0A0908)};

static struct flow flow_make(uint32_t peer, uint16_t peer_port, uint16_t local_port)
{
    return (struct flow){.peer = address_from_ip4(peer),
                         .local = address_from_ip4(RTE_BE32(0xC6120001)),
                         .peer_port = peer_port,
                         .local_port = local_port};
}

static bool finds(const struct tcp_demux *demux, uint32_t hash, uint32_t number)
{
    for (uint32_t at = 0, found; (found = tcp_demux_find(demux, hash, &at)) != TCP_DEMUX_NONE;) {
        if (found == number)
            return true;
    }
    return false;
}

static unsigned found_under(const struct tcp_demux *demux, uint32_t hash)
{
    unsigned count = 0;
    for (uint32_t at = 0; tcp_demux_find(demux, hash, &at) != TCP_DEMUX_NONE;)
        count++;
    return count;
}

static void numbers_of_one_hash_are_found_one_after_the_other(void)
{
    struct tcp_demux demux;
    CU_ASSERT_EQUAL_FATAL(tcp_demux_init(&demux, NUMBERS, &KEY, SOCKET_ID_ANY), 0);
    CU_ASSERT_EQUAL(found_under(&demux, 7), 0);
    tcp_demux_add(&demux, 7, 0);
    tcp_demux_add(&demux, 7, 41);
    tcp_demux_add(&demux, 8, 42); /* pushed on by 7's second */
    CU_ASSERT_EQUAL(found_under(&demux, 7), 2);
    CU_ASSERT(finds(&demux, 7, 0) && finds(&demux, 7, 41) && finds(&demux, 8, 42));
    tcp_demux_replace(&demux, 7, 41, 99);
    CU_ASSERT(!finds(&demux, 7, 41) && finds(&demux, 7, 99));
    tcp_demux_remove(&demux, 7, 0);
    CU_ASSERT(finds(&demux, 7, 99) && finds(&demux, 8, 42));
    tcp_demux_fini(&demux);
}

static void the_hash_tells_peers_and_ports_apart_and_depends_on_the_key(void)
{
    struct tcp_demux demux, other;
    struct siphash_key other_key = {1, 2};
    CU_ASSERT_EQUAL_FATAL(tcp_demux_init(&demux, NUMBERS, &KEY, SOCKET_ID_ANY), 0);
    CU_ASSERT_EQUAL_FATAL(tcp_demux_init(&other, NUMBERS, &other_key, SOCKET_ID_ANY), 0);
    struct flow flow = flow_make(RTE_BE32(0xC6120002), 1000, 7878);
    uint32_t hash = tcp_flow_hash(&demux, &flow);
    CU_ASSERT_EQUAL(hash, tcp_flow_hash(&demux, &flow));
    CU_ASSERT_NOT_EQUAL(hash, tcp_flow_hash(&other, &flow));
    struct flow changed[] = {flow_make(RTE_BE32(0xC6120003), 1000, 7878),
                             flow_make(RTE_BE32(0xC6120002), 1001, 7878),
                             flow_make(RTE_BE32(0xC6120002), 1000, 7879), flow, flow};
    changed[3].peer.bytes[0] = 0x20; /* IPv6 whose last bytes are the same */
    changed[4].peer.bytes[9] = 1;
    for (size_t i = 0; i < sizeof changed / sizeof *changed; i++)
        CU_ASSERT_NOT_EQUAL(hash, tcp_flow_hash(&demux, &changed[i]));
    tcp_demux_fini(&demux);
    tcp_demux_fini(&other);
}

static void the_table_holds_what_a_searched_list_does(void)
{
    uint64_t seed = seeded_from_environment(1);
    printf("seed %llu ", (unsigned long long)seed);
    uint64_t random = seeded_start(seed);
    struct tcp_demux demux;
    CU_ASSERT_EQUAL_FATAL(tcp_demux_init(&demux, NUMBERS, &KEY, SOCKET_ID_ANY), 0);
    bool in[NUMBERS] = {false};
    uint32_t hash[NUMBERS];
    for (unsigned step = 0; step < STEPS; step++) {
        uint32_t number = (uint32_t)seeded_below(&random, NUMBERS);
        if (in[number]) {
            tcp_demux_remove(&demux, hash[number], number);
        } else {
            /* few homes, some at the table's end: long runs that wrap round */
            hash[number] = (uint32_t)(0 - 20 + seeded_below(&random, 40));
            tcp_demux_add(&demux, hash[number], number);
        }
        in[number] = !in[number];
        for (uint32_t i = 0; i < NUMBERS; i++)
            CU_ASSERT_FATAL(finds(&demux, hash[i], i) == in[i]);
    }
    tcp_demux_fini(&demux);
}

static void a_source_has_its_share_and_no_more(void)
{
    struct tcp_sources sources;
    struct address first = address_from_ip4(RTE_BE32(0xC6120002)),
                   second = address_from_ip4(RTE_BE32(0xC6120003));
    CU_ASSERT_EQUAL_FATAL(tcp_sources_init(&sources, NUMBERS, 3, &KEY, SOCKET_ID_ANY), 0);
    for (unsigned i = 0; i < 3; i++) {
        CU_ASSERT(!tcp_source_full(&sources, &first));
        CU_ASSERT(tcp_source_take(&sources, &first));
    }
    CU_ASSERT(tcp_source_full(&sources, &first));
    CU_ASSERT(!tcp_source_take(&sources, &first));
    CU_ASSERT(tcp_source_take(&sources, &second));
    tcp_source_give_back(&sources, &first);
    CU_ASSERT(tcp_source_take(&sources, &first));
    for (unsigned i = 0; i < 3; i++)
        tcp_source_give_back(&sources, &first);
    tcp_source_give_back(&sources, &second);
    for (uint32_t i = 0; i <= sources.counts.mask; i++) /* nothing is left behind */
        CU_ASSERT_EQUAL(sources.counts.slot[i].number, 0);
    tcp_sources_fini(&sources);
}

static void a_network_of_ipv6_is_one_source(void)
{
    struct tcp_sources sources;
    struct address a = {.bytes = {0x20, 0x01, 0x0D, 0xB8, [7] = 1, [15] = 1}}, b = a, elsewhere = a;
    b.bytes[8] = 0xFF;
    elsewhere.bytes[7] = 2;
    CU_ASSERT_EQUAL_FATAL(tcp_sources_init(&sources, NUMBERS, 1, &KEY, SOCKET_ID_ANY), 0);
    CU_ASSERT(tcp_source_take(&sources, &a));
    CU_ASSERT(tcp_source_full(&sources, &b));
    CU_ASSERT(!tcp_source_full(&sources, &elsewhere));
    tcp_sources_fini(&sources);
}

static void without_a_limit_nothing_is_counted(void)
{
    struct tcp_sources sources;
    struct address source = address_from_ip4(RTE_BE32(0xC6120002));
    CU_ASSERT_EQUAL_FATAL(tcp_sources_init(&sources, NUMBERS, 0, &KEY, SOCKET_ID_ANY), 0);
    for (unsigned i = 0; i < 1000; i++)
        CU_ASSERT(tcp_source_take(&sources, &source));
    CU_ASSERT(!tcp_source_full(&sources, &source));
    tcp_source_give_back(&sources, &source);
    tcp_sources_fini(&sources);
}

int main(void)
{
    CU_TestInfo tests[] = {
        {"numbers of one hash are found one after the other",
         numbers_of_one_hash_are_found_one_after_the_other},
        {"the hash tells peers and ports apart", the_hash_tells_peers_and_ports_apart_and_depends_on_the_key},
        {"the table holds what a searched list does", the_table_holds_what_a_searched_list_does},
        {"a source has its share and no more", a_source_has_its_share_and_no_more},
        {"a /64 of IPv6 is one source", a_network_of_ipv6_is_one_source},
        {"without a limit nothing is counted", without_a_limit_nothing_is_counted},
        CU_TEST_INFO_NULL,
    };
    test_eal_start();
    return suite_run("tcp demux", tests);
}
