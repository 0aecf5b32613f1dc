/* What a device is asked for, and what becomes of its answers: a table of functions in the place of rte_flow's. */
#include <CUnit/Basic.h>
#include <errno.h>
#include <string.h>

#include <rte_errno.h>

#include "port_steering.h"
#include "suite.h"

static struct {
    int refuses;         /* validate's answer */
    const char *message; /* with it, and with create's NULL */
    bool creates;        /* create gives a rule */
    unsigned validated, created, destroyed;
    uint16_t queue;
    struct rte_flow_item_tcp tcp, tcp_mask;
    rte_be32_t peer, peer_mask; /* 0: any */
    bool pattern_good;
} device;

static int rule; /* what stands for one */

static void look_at(const struct rte_flow_attr *attr, const struct rte_flow_item pattern[],
                    const struct rte_flow_action actions[])
{
    const struct rte_flow_item_ipv4 *ip4 = pattern[1].spec, *ip4_mask = pattern[1].mask;

    device.pattern_good =
        attr->ingress && !attr->egress && !attr->transfer && pattern[0].type == RTE_FLOW_ITEM_TYPE_ETH &&
        pattern[0].spec == NULL && pattern[1].type == RTE_FLOW_ITEM_TYPE_IPV4 &&
        pattern[2].type == RTE_FLOW_ITEM_TYPE_TCP && pattern[3].type == RTE_FLOW_ITEM_TYPE_END &&
        actions[0].type == RTE_FLOW_ACTION_TYPE_QUEUE && actions[1].type == RTE_FLOW_ACTION_TYPE_END;
    device.queue = ((const struct rte_flow_action_queue *)actions[0].conf)->index;
    device.tcp = *(const struct rte_flow_item_tcp *)pattern[2].spec;
    device.tcp_mask = *(const struct rte_flow_item_tcp *)pattern[2].mask;
    device.peer = ip4 != NULL ? ip4->hdr.src_addr : 0;
    device.peer_mask = ip4_mask != NULL ? ip4_mask->hdr.src_addr : 0;
}

static int validate(uint16_t port_id, const struct rte_flow_attr *attr, const struct rte_flow_item pattern[],
                    const struct rte_flow_action actions[], struct rte_flow_error *error)
{
    CU_ASSERT_EQUAL(port_id, 3);
    look_at(attr, pattern, actions);
    device.validated++;
    error->message = device.refuses != 0 ? device.message : NULL;
    return device.refuses;
}

static struct rte_flow *create(uint16_t port_id, const struct rte_flow_attr *attr,
                               const struct rte_flow_item pattern[], const struct rte_flow_action actions[],
                               struct rte_flow_error *error)
{
    CU_ASSERT_EQUAL(port_id, 3);
    CU_ASSERT_TRUE(device.validated == 1 && device.refuses == 0); /* or the driver may do anything */
    look_at(attr, pattern, actions);
    device.created++;
    if (device.creates)
        return (struct rte_flow *)&rule;
    error->message = device.message;
    rte_errno = EBUSY;
    return NULL;
}

static int destroy(uint16_t port_id, struct rte_flow *which, struct rte_flow_error *error)
{
    (void)error;
    CU_ASSERT_EQUAL(port_id, 3);
    CU_ASSERT_PTR_EQUAL(which, &rule);
    device.destroyed++;
    return 0;
}

static const struct port_steering_functions functions = {validate, create, destroy};
static struct port_steering steering;
static char reason[PORT_STEERING_REASON_BYTES];

static bool steer(bool control_queue, struct port_steering_wish wish)
{
    struct port port = {.port_id = 3, .workers = 5, .control_queue = control_queue};

    memset(reason, 0, sizeof reason);
    return port_steering_begin(&steering, &port, &wish, &functions, reason);
}

static const struct port_steering_wish listener = {.own_port = RTE_BE16(9001)};

static void begin(void)
{
    memset(&device, 0, sizeof device);
    device.creates = true;
}

static void test_a_rule_that_the_device_would_take_is_made_and_ended(void)
{
    CU_ASSERT_TRUE(steer(true, listener));
    CU_ASSERT_EQUAL(device.created, 1);
    CU_ASSERT_TRUE(device.pattern_good);
    CU_ASSERT_EQUAL(device.queue, 5); /* behind the workers' */
    CU_ASSERT(device.tcp.hdr.dst_port == RTE_BE16(9001) && device.tcp_mask.hdr.dst_port == UINT16_MAX);
    CU_ASSERT(device.tcp.hdr.src_port == 0 && device.tcp_mask.hdr.src_port == 0);
    CU_ASSERT(device.peer == 0 && device.peer_mask == 0);
    port_steering_end(&steering);
    port_steering_end(&steering);
    CU_ASSERT_EQUAL(device.destroyed, 1);
}

static void test_a_rule_of_a_peer_names_its_address_and_port(void)
{
    CU_ASSERT_TRUE(
        steer(true, (struct port_steering_wish){.peer = RTE_BE32(0xC6120001), .peer_port = RTE_BE16(9001)}));
    CU_ASSERT_TRUE(device.pattern_good);
    CU_ASSERT(device.peer == RTE_BE32(0xC6120001) && device.peer_mask == UINT32_MAX);
    CU_ASSERT(device.tcp.hdr.src_port == RTE_BE16(9001) && device.tcp_mask.hdr.src_port == UINT16_MAX);
    CU_ASSERT(device.tcp.hdr.dst_port == 0 && device.tcp_mask.hdr.dst_port == 0);
    port_steering_end(&steering);
}

static void test_without_a_control_queue_the_device_is_not_asked(void)
{
    CU_ASSERT_FALSE(steer(false, listener));
    CU_ASSERT_EQUAL(device.validated + device.created, 0);
    CU_ASSERT_PTR_NOT_NULL(strstr(reason, "no queue"));
    port_steering_end(&steering);
    CU_ASSERT_EQUAL(device.destroyed, 0);
}

static void test_what_the_device_refuses_is_not_made_and_its_reason_is_told(void)
{
    device.refuses = -ENOTSUP;
    device.message = "item not supported";
    CU_ASSERT_FALSE(steer(true, listener));
    CU_ASSERT_EQUAL(device.created, 0);
    CU_ASSERT_PTR_NOT_NULL(strstr(reason, "item not supported"));
    device.message = NULL;
    CU_ASSERT_FALSE(steer(true, listener));
    CU_ASSERT_PTR_NOT_NULL(strstr(reason, strerror(ENOTSUP)));
    CU_ASSERT_EQUAL(device.created, 0);
    port_steering_end(&steering);
    CU_ASSERT_EQUAL(device.destroyed, 0);
}

static void test_a_rule_that_is_not_made_after_all_is_told_too(void)
{
    device.creates = false;
    CU_ASSERT_FALSE(steer(true, listener));
    CU_ASSERT_PTR_NOT_NULL(strstr(reason, strerror(EBUSY)));
    port_steering_end(&steering);
    CU_ASSERT_EQUAL(device.destroyed, 0);
}

int main(void)
{
    CU_TestInfo tests[] = {
        {"a rule that the device would take is made, and ended",
         test_a_rule_that_the_device_would_take_is_made_and_ended},
        {"a rule of a peer names its address and port", test_a_rule_of_a_peer_names_its_address_and_port},
        {"without a control queue the device is not asked",
         test_without_a_control_queue_the_device_is_not_asked},
        {"what the device refuses is not made, and its reason is told",
         test_what_the_device_refuses_is_not_made_and_its_reason_is_told},
        {"a rule that is not made after all is told too", test_a_rule_that_is_not_made_after_all_is_told_too},
        CU_TEST_INFO_NULL,
    };

    return suite_run_each("port_steering", begin, NULL, tests);
}
