/*
 * test_pktgen.c - what wild-pcap writes, read back: every frame has good checksums and holds the request that
 * the options asked for. argv[1] is the wild-pcap to run.
 */
#include <math.h>
#include <pcap/pcap.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "datagram.h"
#include "frame.h"
#include "message.h"
#include "suite.h"
#include "workload.h"

#define NODE " --dst-mac 02:00:00:00:00:02 --dst-ip 198.18.0.1"

static const char *program;

/* Runs wild-pcap; its exit status. */
static int write_pcap(const char *path, const char *options)
{
    char command[1024];
    snprintf(command, sizeof(command), "%s --out %s %s >/dev/null 2>&1", program, path, options);
    int status = system(command);
    return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

struct tally {
    unsigned frames, gets, sets, echoes, source_ports;
    bool sound;
    unsigned hits[1000]; /* by key number */
    unsigned char port_seen[65536];
};

static bool take_operation(const struct workload *workload, uint8_t *bytes, size_t length,
                           struct tally *tally)
{
    uint8_t *message, value[VALUE_BYTES_MAX];
    size_t message_length;
    struct message_reader reader;
    struct message_header header;
    struct operation operation, none;
    uint64_t number;
    if (datagram_plain_open(bytes, length, &message, &message_length) != 0 ||
        message_open(&reader, &header, message, message_length, true) != 0 || header.count != 1 ||
        message_next_operation(&reader, &operation) != 1 || message_next_operation(&reader, &none) != 0 ||
        operation_check(&operation) != STATUS_OK ||
        !workload_key_number(workload, operation.key, operation.key_length, &number))
        return false;
    tally->hits[number % 1000]++;
    if (operation.opcode == OPCODE_GET) {
        tally->gets++;
        return length >= DATAGRAM_HEADER_BYTES + MESSAGE_HEADER_BYTES + reply_bytes(workload->value_size);
    }
    tally->sets++;
    workload_value(workload, number, value);
    return operation.opcode == OPCODE_SET && operation.value_length == workload->value_size &&
           memcmp(operation.value, value, workload->value_size) == 0;
}

static void read_pcap(const char *path, const struct workload *workload, struct tally *tally)
{
    char error[PCAP_ERRBUF_SIZE];
    struct pcap_pkthdr *header;
    const u_char *bytes;
    *tally = (struct tally){.sound = true};
    pcap_t *file = pcap_open_offline(path, error);
    CU_ASSERT_PTR_NOT_NULL_FATAL(file);
    CU_ASSERT_EQUAL(pcap_datalink(file), DLT_EN10MB);
    while (pcap_next_ex(file, &header, &bytes) == 1) {
        struct frame_address from, to;
        const uint8_t *payload;
        size_t length;
        uint8_t copy[DATAGRAM_BYTES_MAX];
        tally->frames++;
        if (header->caplen != header->len ||
            !frame_open(bytes, header->caplen, &from, &to, &payload, &length) || length > sizeof(copy) ||
            memcmp(to.mac, "\2\0\0\0\0\2", 6) != 0 || memcmp(to.ip, "\306\22\0\1", 4) != 0) {
            tally->sound = false;
            continue;
        }
        tally->source_ports += !tally->port_seen[from.port]++;
        memcpy(copy, payload, length);
        if (workload->echo_size != 0 && copy[0] == DATAGRAM_MAGIC && copy[1] == DATAGRAM_ECHO &&
            length == workload->echo_size)
            tally->echoes++;
        else if (!take_operation(workload, copy, length, tally))
            tally->sound = false;
    }
    pcap_close(file);
}

static void make_path(char path[64])
{
    snprintf(path, 64, "/tmp/wild-test-pcap-%d", (int)getpid());
}

static void test_every_frame_is_a_valid_request(void)
{
    static struct tally tally;
    char path[64];
    make_path(path);
    struct workload workload = {.keys = 1000, .key_size = 8, .value_size = 32};
    CU_ASSERT_EQUAL(write_pcap(path, NODE " --keys 1000 --count 5000 --preload --get-percent 80"), 0);
    read_pcap(path, &workload, &tally);
    CU_ASSERT(tally.sound);
    CU_ASSERT_EQUAL(tally.frames, 6000);
    CU_ASSERT_EQUAL(tally.gets + tally.sets, 6000);
    CU_ASSERT(tally.gets > 3800 && tally.gets < 4200);
    CU_ASSERT_EQUAL(tally.source_ports, 64);
    for (unsigned i = 0; i < 1000; i++)
        CU_ASSERT(tally.hits[i] >= 1); /* the preload has every key */
    unlink(path);
}

static void test_every_size_gives_valid_frames(void)
{
    static struct tally tally;
    static const unsigned sizes[][2] = {{1, 0}, {1, 1}, {8, 2}, {9, 1023}, {250, 1024}, {16, 100}};
    char path[64], options[256];
    make_path(path);
    for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
        struct workload workload = {.keys = 10, .key_size = sizes[i][0], .value_size = sizes[i][1]};
        snprintf(options, sizeof(options),
                 NODE " --keys 10 --count 200 --key-size %u --value-size %u --get-percent 50 --src-ports 1",
                 sizes[i][0], sizes[i][1]);
        CU_ASSERT_EQUAL(write_pcap(path, options), 0);
        read_pcap(path, &workload, &tally);
        CU_ASSERT(tally.sound);
        CU_ASSERT_EQUAL(tally.frames, 200);
        CU_ASSERT_EQUAL(tally.source_ports, 1);
    }
    unlink(path);
}

static void test_echo_frames_have_room_for_a_stamp(void)
{
    static struct tally tally;
    char path[64];
    make_path(path);
    struct workload workload = {.keys = 1, .echo_size = 64};
    CU_ASSERT_EQUAL(write_pcap(path, NODE " --echo 64 --count 100"), 0);
    read_pcap(path, &workload, &tally);
    CU_ASSERT(tally.sound);
    CU_ASSERT_EQUAL(tally.echoes, 100);
    static_assert((int)FRAME_PAYLOAD_AT + 6 == 48 && (int)FRAME_PAYLOAD_AT + (int)ECHO_BYTES_MIN == 72,
                  "a stamp at frame offset 48..71 lies within the smallest ECHO");
    unlink(path);
}

static bool same_files(const char *a, const char *b)
{
    char command[256];
    snprintf(command, sizeof(command), "cmp -s %s %s", a, b);
    return system(command) == 0;
}

static void test_a_seed_decides_every_byte(void)
{
    char a[64], b[80];
    make_path(a);
    snprintf(b, sizeof(b), "%s-b", a);
    CU_ASSERT_EQUAL(write_pcap(a, NODE " --count 1000 --zipf 0.99 --seed 5"), 0);
    CU_ASSERT_EQUAL(write_pcap(b, NODE " --count 1000 --zipf 0.99 --seed 5"), 0);
    CU_ASSERT(same_files(a, b));
    CU_ASSERT_EQUAL(write_pcap(b, NODE " --count 1000 --zipf 0.99 --seed 6"), 0);
    CU_ASSERT(!same_files(a, b));
    unlink(a);
    unlink(b);
}

/* Ranks fall as 1 / k^s: compared with the exact probabilities, five standard deviations apart at most. */
static void test_zipf_popularity_follows_its_law(void)
{
    static const double exponents[] = {0.5, 0.99, 1.0, 1.3, 2.5};
    enum { RANKS = 200, SAMPLES = 200000 };
    for (size_t e = 0; e < sizeof(exponents) / sizeof(exponents[0]); e++) {
        struct zipf zipf;
        uint64_t random = 99;
        unsigned hits[RANKS + 1] = {0};
        double total = 0;
        zipf_init(&zipf, RANKS, exponents[e]);
        for (unsigned i = 0; i < SAMPLES; i++) {
            uint64_t rank = zipf_rank(&zipf, seeded_next, &random);
            CU_ASSERT_FATAL(rank >= 1 && rank <= RANKS);
            hits[rank]++;
        }
        for (unsigned k = 1; k <= RANKS; k++)
            total += pow(k, -exponents[e]);
        for (unsigned k = 1; k <= RANKS; k++) {
            double p = pow(k, -exponents[e]) / total, expected = p * SAMPLES;
            CU_ASSERT(fabs(hits[k] - expected) <= 5 * sqrt(expected * (1 - p)) + 1);
        }
    }
    struct zipf one;
    uint64_t random = 1;
    zipf_init(&one, 1, 0.99);
    CU_ASSERT_EQUAL(zipf_rank(&one, seeded_next, &random), 1);
}

static void test_wrong_options_are_refused(void)
{
    static const char *const wrong[] = {"",
                                        "--dst-ip 198.18.0.1",
                                        NODE " --keys 0",
                                        NODE " --keys 101 --key-size 2",
                                        NODE " --key-size 251",
                                        NODE " --value-size 1025",
                                        NODE " --get-percent 101",
                                        NODE " --echo 29",
                                        NODE " --echo 1373",
                                        NODE " --zipf -1",
                                        NODE " --src-port 65535 --src-ports 2",
                                        NODE " --dst-mac 02:00",
                                        NODE " --count",
                                        NODE " --frobnicate",
                                        NODE " extra"};
    char path[64];
    make_path(path);
    for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++)
        CU_ASSERT_EQUAL(write_pcap(path, wrong[i]), 2);
    CU_ASSERT_EQUAL(write_pcap("/nonexistent/file", NODE), 1);
    CU_ASSERT_EQUAL(write_pcap(path, "--help"), 0);
}

int main(int argc, char **argv)
{
    if (argc != 2)
        return 2;
    program = argv[1];
    CU_TestInfo tests[] = {
        {"every frame is a valid request", test_every_frame_is_a_valid_request},
        {"every size gives valid frames", test_every_size_gives_valid_frames},
        {"ECHO frames have room for a stamp", test_echo_frames_have_room_for_a_stamp},
        {"a seed decides every byte", test_a_seed_decides_every_byte},
        {"zipf popularity follows its law", test_zipf_popularity_follows_its_law},
        {"wrong options are refused", test_wrong_options_are_refused},
        CU_TEST_INFO_NULL,
    };
    return suite_run("pktgen", tests);
}
