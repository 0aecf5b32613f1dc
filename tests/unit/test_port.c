/* port_open() over net_ring devices of one to three queues, and a worker on top. */
#include <CUnit/Basic.h>

#include <rte_dev.h>
#include <rte_eth_ring.h>
#include <rte_ethdev.h>
#include <rte_ring.h>

#include "worker_fixture.h"
#include "suite.h"

enum { QUEUES_MAX = 3 };

static struct {
    uint16_t port_id;
    struct rte_ring *rx[QUEUES_MAX], *tx[QUEUES_MAX];
} device;

static void device_create(unsigned queues)
{
    for (unsigned i = 0; i < queues; i++) {
        char name[32];
        snprintf(name, sizeof name, "rx%u", i);
        device.rx[i] = rte_ring_create(name, 64, SOCKET_ID_ANY, RING_F_SP_ENQ | RING_F_SC_DEQ);
        snprintf(name, sizeof name, "tx%u", i);
        device.tx[i] = rte_ring_create(name, 64, SOCKET_ID_ANY, RING_F_SP_ENQ | RING_F_SC_DEQ);
    }
    int port_id = rte_eth_from_rings("test", device.rx, queues, device.tx, queues, 0);
    CU_ASSERT_FATAL(port_id >= 0);
    device.port_id = (uint16_t)port_id;
}

static void device_destroy(unsigned queues)
{
    (void)rte_eal_hotplug_remove("vdev", "net_ring_test");
    for (unsigned i = 0; i < queues; i++) {
        rte_ring_free(device.rx[i]);
        rte_ring_free(device.tx[i]);
    }
}

static struct port_config config_for(unsigned workers)
{
    return (struct port_config){.port_id = device.port_id, .workers = workers, .pool = fx.pool};
}

static void test_opens_as_many_queues_as_there_are(void)
{
    for (unsigned queues = 1; queues <= QUEUES_MAX; queues++) {
        for (unsigned workers = 1; workers <= QUEUES_MAX + 1; workers++) {
            struct port port;
            char error[256] = "", text[PORT_DESCRIPTION_BYTES];
            device_create(queues);
            struct port_config config = config_for(workers);
            CU_ASSERT_EQUAL_FATAL(port_open(&port, &config, error, sizeof error), 0);
            CU_ASSERT_EQUAL(port.workers, workers < queues ? workers : queues);
            CU_ASSERT_FALSE(port.rss);
            CU_ASSERT_FALSE(port.control_queue); /* nothing would keep requests off it */
            CU_ASSERT_EQUAL(port.mtu, 1500);
            CU_ASSERT(port_link_up(&port));
            struct rte_eth_dev_info info;
            CU_ASSERT_EQUAL(rte_eth_dev_info_get(port.port_id, &info), 0);
            CU_ASSERT_EQUAL(info.nb_rx_queues, port.workers);
            port_describe(&port, text);
            CU_ASSERT_PTR_NOT_NULL(strstr(text, "net_ring"));
            CU_ASSERT_PTR_NOT_NULL(strstr(text, "MTU 1500"));
            CU_ASSERT_PTR_NOT_NULL(strstr(text, port.workers > 1 ? "the other side chooses" : "one queue"));
            CU_ASSERT_PTR_NOT_NULL(strstr(text, "in by software, out by software"));
            CU_ASSERT_PTR_NULL(strchr(text, '\n'));
            port_close(&port);
            device_destroy(queues);
        }
    }
}

static void test_carries_requests_and_answers_on_each_queue(void)
{
    struct port port, copy;
    char error[256] = "";
    device_create(QUEUES_MAX);
    struct port_config config = config_for(QUEUES_MAX);
    CU_ASSERT_EQUAL_FATAL(port_open(&port, &config, error, sizeof error), 0);
    copy = port; /* a struct port may be copied */
    memset(&port, 0xEE, sizeof port);
    for (unsigned i = 0; i < QUEUES_MAX; i++) {
        struct frame_fields fields = usual_fields();
        struct frame request;
        fx.config.port[0].queue = copy.queue[i];
        fx.config.port[0].mac = copy.mac;
        fixture_restart_worker();
        memcpy(fields.to, copy.mac.addr_bytes, 6);
        frame_udp(&request, &fields, "queue", 5);
        struct rte_mbuf *mbuf = push(&request);
        fx.port.in_count = 0;
        CU_ASSERT_EQUAL(rte_ring_enqueue(device.rx[i], mbuf), 0);
        CU_ASSERT_EQUAL(turn(), 1);
        void *answer = NULL;
        CU_ASSERT_EQUAL_FATAL(rte_ring_dequeue(device.tx[i], &answer), 0);
        CU_ASSERT_EQUAL(((struct rte_mbuf *)answer)->pkt_len, request.length);
        rte_pktmbuf_free(answer);
    }
    port_close(&copy);
    device_destroy(QUEUES_MAX);
}

static void test_a_full_device_ring_is_counted(void)
{
    struct port port;
    char error[256] = "";
    device_create(1);
    struct port_config config = config_for(1);
    CU_ASSERT_EQUAL_FATAL(port_open(&port, &config, error, sizeof error), 0);
    fx.config.port[0].queue = port.queue[0];
    fx.config.port[0].mac = port.mac;
    fixture_restart_worker();
    struct frame_fields fields = usual_fields();
    struct frame request;
    memcpy(fields.to, port.mac.addr_bytes, 6);
    frame_udp(&request, &fields, "flood", 5);
    for (unsigned round = 0; round < 3; round++) {
        for (unsigned i = 0; i < 32; i++) {
            struct rte_mbuf *mbuf = push(&request);
            CU_ASSERT_EQUAL(rte_ring_enqueue(device.rx[0], mbuf), 0);
        }
        fx.port.in_count = 0;
        turn();
    }
    CU_ASSERT_EQUAL(count(COUNTER_tx_frames), 63);
    CU_ASSERT_EQUAL(count(COUNTER_tx_ring_full), 33);
    void *frame;
    while (rte_ring_dequeue(device.tx[0], &frame) == 0)
        rte_pktmbuf_free(frame);
    port_close(&port);
    device_destroy(1);
}

static void test_refuses_with_one_line_that_says_what_to_do(void)
{
    struct port port;
    char error[256] = "";
    struct port_config config = {.port_id = 77, .workers = 1, .pool = fx.pool};
    CU_ASSERT_EQUAL(port_open(&port, &config, error, sizeof error), -1);
    CU_ASSERT_PTR_NOT_NULL(strstr(error, "port 77"));
    CU_ASSERT_PTR_NOT_NULL(strstr(error, "check --nic"));

    static const struct {
        unsigned workers;
        uint16_t mtu;
        const char *says;
    } rows[] = {
        {0, 0, "choose 1 to 64 workers"},
        {65, 0, "choose 1 to 64 workers"},
        {1, 1399, "allow 1400 to"},
        {1, 9000, "choose an MTU up to 2030"},
    };
    for (unsigned i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        device_create(1);
        config = config_for(rows[i].workers);
        config.mtu = rows[i].mtu;
        error[0] = 0;
        CU_ASSERT_EQUAL(port_open(&port, &config, error, sizeof error), -1);
        CU_ASSERT_PTR_NOT_NULL(strstr(error, rows[i].says));
        CU_ASSERT_PTR_NULL(strchr(error, '\n'));
        (void)rte_eth_dev_close(device.port_id);
        device_destroy(1);
    }
}

static void test_takes_a_smaller_mtu(void)
{
    struct port port;
    char error[256] = "";
    device_create(1);
    struct port_config config = config_for(1);
    config.mtu = 1400;
    CU_ASSERT_EQUAL_FATAL(port_open(&port, &config, error, sizeof error), 0);
    CU_ASSERT_EQUAL(port.mtu, 1400);
    port_close(&port);
    device_destroy(1);
}

int main(void)
{
    fixture_create();
    static CU_TestInfo tests[] = {
#define TEST(name) {(char *)#name, name}
        TEST(test_opens_as_many_queues_as_there_are),
        TEST(test_carries_requests_and_answers_on_each_queue),
        TEST(test_a_full_device_ring_is_counted),
        TEST(test_refuses_with_one_line_that_says_what_to_do),
        TEST(test_takes_a_smaller_mtu),
        CU_TEST_INFO_NULL,
    };
    return suite_run_each("port", fixture_reset, fixture_check_no_leak, tests);
}
