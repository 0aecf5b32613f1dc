/*
 * test_nic_choose.c - what a node serves from when nobody has named a port, on machines made of files.
 */
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "nic_choose.h"
#include "suite.h"

static char sysfs[64], lines[2048], error[OPTIONS_ERROR_BYTES];
static struct options options;

static void must(bool condition, const char *what)
{
    if (!condition) {
        perror(what);
        exit(1);
    }
}

static void make_device(const char *name, const char *class, const char *driver)
{
    char path[256], target[96];
    FILE *file;

    snprintf(path, sizeof path, "%s/bus/pci/devices/%s", sysfs, name);
    must(mkdir(path, 0700) == 0, path);
    snprintf(path, sizeof path, "%s/bus/pci/devices/%s/class", sysfs, name);
    file = fopen(path, "w");
    must(file != NULL && fputs(class, file) >= 0 && fclose(file) == 0, path);
    snprintf(path, sizeof path, "%s/bus/pci/devices/%s/driver", sysfs, name);
    snprintf(target, sizeof target, "../../../bus/pci/drivers/%s", driver);
    must(driver[0] == '\0' || symlink(target, path) == 0, path);
}

/* A machine whose devices are of no use: another driver's, none's, no network's. */
static int make_machine(void)
{
    char path[128];

    snprintf(sysfs, sizeof sysfs, "/tmp/wild-pci-%d", (int)getpid());
    must(mkdir(sysfs, 0700) == 0, sysfs);
    for (const char *const *folder = (const char *const[]){"bus", "bus/pci", "bus/pci/devices", NULL};
         *folder != NULL; folder++) {
        snprintf(path, sizeof path, "%s/%s", sysfs, *folder);
        must(mkdir(path, 0700) == 0, path);
    }
    make_device("0000:00:01.0", "0x020000\n", "ixgbe");
    make_device("0000:00:02.0", "0x020000\n", "");
    make_device("0000:00:03.0", "0x010802\n", "vfio-pci"); /* a disk for a guest */
    return 0;
}

static int remove_machine(void)
{
    char command[96];

    snprintf(command, sizeof command, "rm -rf %s", sysfs);
    return system(command);
}

static int choose(void)
{
    struct logger logger = {.out = fmemopen(lines, sizeof lines, "w"), .level = LOG_LEVEL_INFO};
    int failed;

    memset(lines, 0, sizeof lines);
    memset(error, 0, sizeof error);
    failed = nic_choose(&options, sysfs, &logger, error, sizeof error);
    fclose(logger.out);
    CU_ASSERT_EQUAL(failed != 0, error[0] != '\0');
    return failed;
}

static void set_up(void)
{
    make_machine();
    options = (struct options){.bind_ip4 = 0x7F000001, .kernel_by_default = true};
}

static void tear_down(void)
{
    CU_ASSERT_EQUAL(remove_machine(), 0);
}

static bool says(const char *text)
{
    return strstr(lines, text) != NULL;
}

static void kernel_sockets_are_said_to_be_slow(void)
{
    CU_ASSERT_EQUAL(choose(), 0);
    CU_ASSERT_EQUAL(options.nics, 0);
    CU_ASSERT_TRUE(says("wild: warning: kernel sockets, as no --nic is given: the slow compatibility path"));
    CU_ASSERT_TRUE(says("only this machine reaches 127.0.0.1"));
    CU_ASSERT_FALSE(says("is bound to DPDK"));
    options = (struct options){.bind_ip4 = 0xC0000201};
    CU_ASSERT_EQUAL(choose(), 0);
    CU_ASSERT_TRUE(says("wild: warning: kernel sockets: the slow compatibility path"));
    CU_ASSERT_FALSE(says("only this machine"));
}

static void a_nic_that_waits_unused_is_mentioned_to_those_who_named_none(void)
{
    make_device("0000:00:04.0", "0x020000\n", "vfio-pci");
    CU_ASSERT_EQUAL(choose(), 0);
    CU_ASSERT_EQUAL(options.nics, 0);
    CU_ASSERT_TRUE(says("NIC 0000:00:04.0 is bound to DPDK and not used: it needs an --address"));
    options.kernel_by_default = false;
    CU_ASSERT_EQUAL(choose(), 0);
    CU_ASSERT_FALSE(says("0000:00:04.0"));
}

static void an_address_takes_the_nic_that_is_bound_to_dpdk(void)
{
    make_device("0000:00:04.0", "0x020000\n", "vfio-pci");
    options.nics = 1;
    options.nic[0] = (struct nic_option){.kind = NIC_PCI, .ip4 = 0xC6120001};
    CU_ASSERT_EQUAL(choose(), 0);
    CU_ASSERT_STRING_EQUAL(options.nic[0].name, "0000:00:04.0");
    CU_ASSERT_EQUAL(options.nic[0].ip4, 0xC6120001);
    CU_ASSERT_TRUE(says("NIC 0000:00:04.0 is bound to DPDK and taken"));
    CU_ASSERT_FALSE(says("slow"));
}

static void as_many_addresses_take_as_many_nics_in_the_order_of_their_places(void)
{
    make_device("0000:00:05.0", "0x020000\n", "uio_pci_generic");
    make_device("0000:00:04.0", "0x028000\n", "igb_uio");
    options.nics = 2;
    options.nic[0] = options.nic[1] = (struct nic_option){.kind = NIC_PCI};
    CU_ASSERT_EQUAL(choose(), 0);
    CU_ASSERT_STRING_EQUAL(options.nic[0].name, "0000:00:04.0");
    CU_ASSERT_STRING_EQUAL(options.nic[1].name, "0000:00:05.0");
}

static void an_address_without_a_nic_or_with_too_many_is_refused(void)
{
    char name[32];

    options.nics = 1;
    options.nic[0] = (struct nic_option){.kind = NIC_PCI};
    CU_ASSERT_EQUAL(choose(), -1);
    CU_ASSERT_PTR_NOT_NULL(strstr(error, "no NIC is bound to DPDK"));
    for (unsigned i = 0; i < 9; i++) {
        snprintf(name, sizeof name, "0000:01:%02x.0", 9 - i);
        make_device(name, "0x020000\n", "vfio-pci");
    }
    CU_ASSERT_EQUAL(choose(), -1);
    CU_ASSERT_PTR_NOT_NULL(strstr(error, "name them with --nic"));
    CU_ASSERT_STRING_EQUAL(options.nic[0].name, "");
}

static void a_named_port_is_left_alone(void)
{
    make_device("0000:00:04.0", "0x020000\n", "vfio-pci");
    options.nics = 1;
    options.nic[0] = (struct nic_option){.kind = NIC_TAP, .name = "wild0"};
    CU_ASSERT_EQUAL(choose(), 0);
    CU_ASSERT_STRING_EQUAL(options.nic[0].name, "wild0");
    CU_ASSERT_STRING_EQUAL(lines, "");
}

static void a_machine_without_pci_has_kernel_sockets(void)
{
    CU_ASSERT_EQUAL(remove_machine(), 0);
    CU_ASSERT_EQUAL(choose(), 0);
    CU_ASSERT_TRUE(says("slow compatibility path"));
}

int main(void)
{
    CU_TestInfo tests[] = {
        {"kernel_sockets_are_said_to_be_slow", kernel_sockets_are_said_to_be_slow},
        {"a_nic_that_waits_unused_is_mentioned_to_those_who_named_none",
         a_nic_that_waits_unused_is_mentioned_to_those_who_named_none},
        {"an_address_takes_the_nic_that_is_bound_to_dpdk", an_address_takes_the_nic_that_is_bound_to_dpdk},
        {"as_many_addresses_take_as_many_nics_in_the_order_of_their_places",
         as_many_addresses_take_as_many_nics_in_the_order_of_their_places},
        {"an_address_without_a_nic_or_with_too_many_is_refused",
         an_address_without_a_nic_or_with_too_many_is_refused},
        {"a_named_port_is_left_alone", a_named_port_is_left_alone},
        {"a_machine_without_pci_has_kernel_sockets", a_machine_without_pci_has_kernel_sockets},
        CU_TEST_INFO_NULL,
    };

    return suite_run_each("nic_choose", set_up, tear_down, tests);
}
