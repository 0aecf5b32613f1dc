/*
 * test_replay.c - captures made by wild-pcap go through DPDK's pcap port into a worker with the native service
 * in bench mode, and every frame that comes back is checked against its request. argv[1] is the wild-pcap.
 *
 * One worker answers in order, so a plain array of what is stored knows the one right answer to each request.
 */
#include <pcap/pcap.h>
#include <sys/wait.h>

#include <rte_dev.h>
#include <rte_ethdev.h>

#include "../unit/native_peer.h"
#include "../unit/suite.h"
#include "../unit/test_eal.h"
#include "frame.h"
#include "worker.h"
#include "workload.h"

#define NODE_IP "198.18.0.1"

enum { KEYS_MAX = 1000, IDLE_TURNS_MAX = 100 };

static const uint8_t node_ip[4] = {198, 18, 0, 1};

struct replay {
    char request_path[64], reply_path[64], device[32], mac[18];
    struct workload workload;
    struct native_shared shared;
    struct native_node node;
    struct counters counters; /* the worker's */
    bool stored[KEYS_MAX];
    unsigned replies, hits, misses, sets, echoes;
};

/* What main() has and CUnit's tests cannot be handed. Set once, before they run. */
static const char *program;
static struct rte_mempool *pool;

/* The pcap port makes its MAC from the number of ports made before it in this process. */
static void device_create(struct replay *replay, unsigned number)
{
    snprintf(replay->request_path, sizeof(replay->request_path), "/tmp/wild-replay-%d-in", (int)getpid());
    snprintf(replay->reply_path, sizeof(replay->reply_path), "/tmp/wild-replay-%d-out", (int)getpid());
    snprintf(replay->device, sizeof(replay->device), "net_pcap%u", number);
    snprintf(replay->mac, sizeof(replay->mac), "02:70:63:61:70:%02x", number);
}

static void write_requests(struct replay *replay, const char *options)
{
    char command[512];
    snprintf(command, sizeof(command), "%s --out %s --dst-mac %s --dst-ip " NODE_IP " %s >/dev/null", program,
             replay->request_path, replay->mac, options);
    int status = system(command);
    CU_ASSERT_FATAL(WIFEXITED(status) && WEXITSTATUS(status) == 0);
}

static void run_worker(struct replay *replay, const struct port *port)
{
    struct worker_config config = {
        .ports = 1,
        .port = {{.queue = port->queue[0],
                  .mac = port->mac,
                  .address = address_from_ip4(RTE_BE32(0xC6120001)),
                  .prefix_length = 24,
                  .rx_checksum_offload = port->rx_checksum_offload,
                  .tx_checksum_offload = port->tx_checksum_offload,
                  .mtu = port->mtu}},
        .udp_port = PROTOCOL_DEFAULT_PORT,
        .pool = pool,
        .counters = &replay->counters,
    };
    struct worker *worker = worker_create(&config, SOCKET_ID_ANY);
    CU_ASSERT_PTR_NOT_NULL_FATAL(worker);
    worker_set_service(worker, native_udp_service(replay->node.service));
    for (unsigned idle = 0; idle < IDLE_TURNS_MAX;) {
        idle = worker_turn(worker, replay->shared.now) == 0 ? idle + 1 : 0;
        native_discard_log(&replay->node);
        native_pass_time(&replay->shared, 10000);
    }
    worker_destroy(worker);
}

static void replay_all(struct replay *replay)
{
    char arguments[256], error[256] = "";
    struct native_options options = {.capacity = 65536, .seed = 1, .bench_mode = true};
    native_start(&replay->shared, &replay->node, &options);
    snprintf(arguments, sizeof(arguments), "rx_pcap=%s,tx_pcap=%s", replay->request_path, replay->reply_path);
    CU_ASSERT_EQUAL_FATAL(rte_eal_hotplug_add("vdev", replay->device, arguments), 0);
    struct port port;
    struct port_config config = {.pool = pool, .workers = 1};
    CU_ASSERT_EQUAL_FATAL(rte_eth_dev_get_port_by_name(replay->device, &config.port_id), 0);
    CU_ASSERT_EQUAL_FATAL(port_open(&port, &config, error, sizeof(error)), 0);
    char mac[18];
    rte_ether_format_addr(mac, sizeof(mac), &port.mac);
    CU_ASSERT_EQUAL_FATAL(strcasecmp(mac, replay->mac), 0);
    run_worker(replay, &port);
    port_close(&port);
    (void)rte_eal_hotplug_remove("vdev", replay->device);
    native_stop(&replay->shared, &replay->node, 1);
}

/* ---- checks ---- */

static bool one_operation(const uint8_t *datagram, size_t length, struct operation *out)
{
    uint8_t copy[DATAGRAM_BYTES_MAX], *message;
    struct message_reader reader;
    struct message_header header;
    size_t message_length;
    memcpy(copy, datagram, length);
    if (datagram_plain_open(copy, length, &message, &message_length) != 0)
        return false;
    const uint8_t *in_place = datagram + (message - copy);
    return message_open(&reader, &header, in_place, message_length, true) == 0 &&
           message_next_operation(&reader, out) == 1;
}

static bool one_reply(const uint8_t *datagram, size_t length, struct message_header *header,
                      struct reply *out)
{
    uint8_t copy[DATAGRAM_BYTES_MAX], *message;
    struct message_reader reader;
    struct reply none;
    size_t message_length;
    memcpy(copy, datagram, length);
    if (datagram_plain_open(copy, length, &message, &message_length) != 0)
        return false;
    const uint8_t *in_place = datagram + (message - copy);
    return message_open(&reader, header, in_place, message_length, false) == 0 &&
           message_next_reply(&reader, out) == 1 && message_next_reply(&reader, &none) == 0;
}

static bool check_operation(struct replay *replay, const uint8_t *request, size_t request_length,
                            const uint8_t *reply, size_t reply_length)
{
    struct datagram_header asked, answered;
    struct message_header header;
    struct operation operation;
    struct reply answer;
    uint8_t value[VALUE_BYTES_MAX];
    uint64_t number;
    if (!datagram_peek(&asked, request, request_length) || !datagram_peek(&answered, reply, reply_length) ||
        answered.kind != DATAGRAM_PLAIN || answered.counter != asked.counter ||
        answered.session != asked.session || !one_operation(request, request_length, &operation) ||
        !one_reply(reply, reply_length, &header, &answer) || header.epoch != 3 ||
        header.history != NATIVE_PEER_HISTORY || answer.request_id != operation.request_id ||
        answer.opcode != operation.opcode ||
        !workload_key_number(&replay->workload, operation.key, operation.key_length, &number))
        return false;
    if (operation.opcode == OPCODE_SET) {
        replay->sets++;
        replay->stored[number] = true;
        return answer.status == STATUS_OK && answer.value_length == 0 && answer.version > 0;
    }
    if (!replay->stored[number]) {
        replay->misses++;
        return answer.status == STATUS_NOT_FOUND;
    }
    replay->hits++;
    workload_value(&replay->workload, number, value);
    return answer.status == STATUS_OK && answer.value_length == replay->workload.value_size &&
           memcmp(answer.value, value, answer.value_length) == 0;
}

static bool check_echo(struct replay *replay, const uint8_t *request, size_t request_length,
                       const uint8_t *reply, size_t reply_length)
{
    replay->echoes++;
    return reply_length == request_length && reply[0] == request[0] && reply[1] == DATAGRAM_ECHO_REPLY &&
           memcmp(reply + 2, request + 2, request_length - 2) == 0;
}

static bool check_frame(struct replay *replay, const uint8_t *request, size_t request_length,
                        const uint8_t *reply, size_t reply_length)
{
    struct frame_address from, to, back_from, back_to;
    const uint8_t *asked, *answer;
    size_t asked_length, answer_length;
    if (!frame_open(request, request_length, &from, &to, &asked, &asked_length) ||
        !frame_open(reply, reply_length, &back_from, &back_to, &answer, &answer_length) ||
        memcmp(&from, &back_to, sizeof(from)) != 0 || memcmp(&to, &back_from, sizeof(to)) != 0 ||
        memcmp(to.ip, node_ip, 4) != 0 || answer_length > asked_length)
        return false;
    return (replay->workload.echo_size != 0 ? check_echo : check_operation)(replay, asked, asked_length,
                                                                            answer, answer_length);
}

static void check_replies(struct replay *replay, unsigned expected)
{
    char error[PCAP_ERRBUF_SIZE];
    struct pcap_pkthdr *request_header, *reply_header;
    const u_char *request, *reply;
    unsigned wrong = 0;
    pcap_t *requests = pcap_open_offline(replay->request_path, error);
    pcap_t *replies = pcap_open_offline(replay->reply_path, error);
    CU_ASSERT_FATAL(requests != NULL && replies != NULL);
    while (pcap_next_ex(requests, &request_header, &request) == 1) {
        if (pcap_next_ex(replies, &reply_header, &reply) != 1)
            break;
        replay->replies++;
        if (!check_frame(replay, request, request_header->caplen, reply, reply_header->caplen))
            wrong++;
    }
    CU_ASSERT_EQUAL(replay->replies, expected);
    CU_ASSERT_EQUAL(wrong, 0);
    CU_ASSERT_NOT_EQUAL(pcap_next_ex(replies, &reply_header, &reply), 1); /* nothing unasked for */
    pcap_close(requests);
    pcap_close(replies);
    unlink(replay->request_path);
    unlink(replay->reply_path);
}

/* ---- tests ---- */

static void replay(unsigned number, const char *options, const struct workload *workload, unsigned frames,
                   struct replay *out)
{
    memset(out, 0, sizeof(*out));
    out->workload = *workload;
    device_create(out, number);
    write_requests(out, options);
    replay_all(out);
    check_replies(out, frames);
    CU_ASSERT_EQUAL(rte_mempool_in_use_count(pool), 0);
}

static struct replay *new_replay(void)
{
    return aligned_alloc(64, (sizeof(struct replay) + 63) / 64 * 64);
}

static void test_preloaded_keys_are_all_found(void)
{
    struct replay *r = new_replay();
    struct workload workload = {.keys = 1000, .key_size = 8, .value_size = 32};
    replay(0, "--keys 1000 --preload --count 20000 --get-percent 90", &workload, 21000, r);
    CU_ASSERT_EQUAL(r->misses, 0);
    CU_ASSERT(r->hits > 17000);
    CU_ASSERT_EQUAL(r->hits + r->sets, 21000);
    free(r);
}

static void test_largest_keys_and_values_and_misses(void)
{
    struct replay *r = new_replay();
    struct workload workload = {.keys = 200, .key_size = 250, .value_size = 1024};
    replay(1,
           "--keys 200 --key-size 250 --value-size 1024 --zipf 0.99 --count 3000 --get-percent 70 --seed 4",
           &workload, 3000, r);
    CU_ASSERT(r->misses > 0);
    CU_ASSERT(r->hits > 0);
    free(r);
}

static void test_echo_returns_every_byte(void)
{
    struct replay *r = new_replay();
    struct workload workload = {.keys = 1, .echo_size = 64};
    replay(2, "--echo 64 --count 2000", &workload, 2000, r);
    CU_ASSERT_EQUAL(r->echoes, 2000);
    free(r);
}

int main(int argc, char **argv)
{
    if (argc != 2)
        return 2;
    program = argv[1];
    test_eal_start();
    pool = test_eal_pool("replay", 4095);
    CU_TestInfo tests[] = {
        {"preloaded keys are all found", test_preloaded_keys_are_all_found},
        {"largest keys and values, and misses", test_largest_keys_and_values_and_misses},
        {"ECHO returns every byte", test_echo_returns_every_byte},
        CU_TEST_INFO_NULL,
    };
    return suite_run("replay", tests);
}
