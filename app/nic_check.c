/*
 * nic_check.c - what must hold on the machine before a --nic or --replication-nic is taken.
 */
#include <errno.h>
#include <fcntl.h>
#include <ifaddrs.h>
#include <limits.h>
#include <net/if.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include <linux/if_tun.h>

#include "eal.h"

/* The kernel would answer for an address that it owns: RST, ICMP, ARP, beside our own answers. */
static int address_is_free(const struct nic_option *nic, char *error, size_t error_bytes)
{
    struct ifaddrs *all, *i;
    int failed = 0;

    if (getifaddrs(&all) != 0) {
        snprintf(error, error_bytes, "cannot list the kernel's addresses: %s", strerror(errno));
        return -1;
    }
    for (i = all; i != NULL && failed == 0; i = i->ifa_next) {
        if (i->ifa_addr == NULL || i->ifa_addr->sa_family != AF_INET ||
            ntohl(((const struct sockaddr_in *)i->ifa_addr)->sin_addr.s_addr) != nic->ip4)
            continue;
        snprintf(
            error, error_bytes,
            "the kernel owns the address of --%s %s (on %s) and would answer too: give wild one of its own",
            nic_option_name(nic), nic->name, i->ifa_name);
        failed = -1;
    }
    freeifaddrs(all);
    return failed;
}

static bool is_ip4_default(const char *line, const char *interface)
{
    unsigned destination, mask;
    char name[64];

    return sscanf(line, "%63s %x %*x %*x %*d %*d %*d %x", name, &destination, &mask) == 3 &&
           destination == 0 && mask == 0 && strcmp(name, interface) == 0;
}

static bool is_ip6_default(const char *line, const char *interface)
{
    char destination[33], name[64];
    unsigned prefix_length;

    return sscanf(line, "%32s %x %*s %*x %*s %*x %*x %*x %*x %63s", destination, &prefix_length, name) == 3 &&
           strspn(destination, "0") == 32 && prefix_length == 0 && strcmp(name, interface) == 0;
}

/* Whether `interface` carries a default route, IPv4's or IPv6's: taking it could cut the machine off. */
static bool has_default_route(const char *interface)
{
    static const struct {
        const char *path;
        bool (*is_default)(const char *line, const char *interface);
    } tables[] = {{"/proc/net/route", is_ip4_default}, {"/proc/net/ipv6_route", is_ip6_default}};
    char line[256];
    bool found = false;

    for (unsigned i = 0; i < 2 && !found; i++) {
        FILE *routes = fopen(tables[i].path, "re");

        while (!found && routes != NULL && fgets(line, sizeof line, routes) != NULL)
            found = tables[i].is_default(line, interface);
        if (routes != NULL)
            fclose(routes);
    }
    return found;
}

int nic_check_route(const char *interface, char *error, size_t error_bytes)
{
    if (!has_default_route(interface))
        return 0;
    snprintf(error, error_bytes,
             "%s carries the machine's default route: wild does not take it; use another one", interface);
    return -1;
}

static int check_af_packet(const struct nic_option *nic, char *error, size_t error_bytes)
{
    struct ifreq request = {0}, mtu = {0};
    int packet = socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC, 0), failed;

    if (packet < 0) {
        snprintf(error, error_bytes, "--%s af_packet:%s needs root or CAP_NET_RAW: %s", nic_option_name(nic),
                 nic->name, strerror(errno));
        return -1;
    }
    memcpy(request.ifr_name, nic->name, strlen(nic->name) + 1);
    mtu = request;
    failed = ioctl(packet, SIOCGIFFLAGS, &request) != 0 || ioctl(packet, SIOCGIFMTU, &mtu) != 0;
    close(packet);
    if (failed) {
        snprintf(error, error_bytes, "--%s af_packet:%s: no such interface here (ip link lists them)",
                 nic_option_name(nic), nic->name);
        return -1;
    }
    if ((request.ifr_flags & IFF_UP) == 0) {
        snprintf(error, error_bytes, "%s is down: ip link set %s up", nic->name, nic->name);
        return -1;
    }
    /* The driver assumes 1,500; what the interface does not take would vanish in it. */
    if (mtu.ifr_mtu < PORT_MTU_MIN) {
        snprintf(error, error_bytes, "%s has an MTU of %d, a reply needs %d: ip link set %s mtu %d",
                 nic->name, mtu.ifr_mtu, PORT_MTU_MIN, nic->name, PORT_MTU_MIN);
        return -1;
    }
    return nic_check_route(nic->name, error, error_bytes);
}

/* Makes the interface for a moment: the driver's own errors are hard to read. */
static int check_tap(const struct nic_option *nic, char *error, size_t error_bytes)
{
    struct ifreq request = {.ifr_flags = IFF_TAP | IFF_NO_PI};
    int tun, why = 0;

    if (if_nametoindex(nic->name) != 0) {
        snprintf(error, error_bytes,
                 "--%s tap:%s: an interface of that name exists (another wild?): choose another",
                 nic_option_name(nic), nic->name);
        return -1;
    }
    memcpy(request.ifr_name, nic->name, strlen(nic->name) + 1);
    tun = open("/dev/net/tun", O_RDWR | O_CLOEXEC);
    if (tun < 0 || ioctl(tun, TUNSETIFF, &request) != 0)
        why = errno;
    if (tun >= 0)
        close(tun);
    if (why == 0)
        return 0;
    snprintf(error, error_bytes,
             why == EACCES || why == EPERM ? "--%s tap:%s needs root or CAP_NET_ADMIN: /dev/net/tun: %s"
                                           : "--%s tap:%s needs the tun driver (modprobe tun): %s",
             nic_option_name(nic), nic->name, strerror(why));
    return -1;
}

/* The name that a link in sysfs points to, e.g. the driver; "" if there is none. */
static void link_name(const char *path, char *out, size_t room)
{
    char target[PATH_MAX];
    ssize_t length = readlink(path, target, sizeof target - 1);
    const char *slash;

    target[length > 0 ? length : 0] = '\0';
    slash = strrchr(target, '/');
    snprintf(out, room, "%s", slash != NULL ? slash + 1 : "");
}

static int check_pci(const struct nic_option *nic, char *error, size_t error_bytes)
{
    char path[PATH_MAX], driver[64];
    const char *domain = strlen(nic->name) < 12 ? "0000:" : "";

    snprintf(path, sizeof path, "/sys/bus/pci/devices/%s%s", domain, nic->name);
    if (access(path, F_OK) != 0) {
        snprintf(error, error_bytes, "--%s pci:%s: no such device (lspci -D lists them)",
                 nic_option_name(nic), nic->name);
        return -1;
    }
    snprintf(path, sizeof path, "/sys/bus/pci/devices/%s%s/driver", domain, nic->name);
    link_name(path, driver, sizeof driver);
    if (strncmp(driver, "mlx", 3) == 0 || strcmp(driver, "mana") == 0) {
        /* These are driven through their kernel driver, which keeps its interface: it must not be the one that
         * the machine is reached by. */
        struct if_nameindex *all = if_nameindex();
        int failed = 0;

        for (struct if_nameindex *i = all; i != NULL && i->if_index != 0 && failed == 0; i++) {
            snprintf(path, sizeof path, "/sys/bus/pci/devices/%s%s/net/%s", domain, nic->name, i->if_name);
            if (access(path, F_OK) == 0)
                failed = nic_check_route(i->if_name, error, error_bytes);
        }
        if_freenameindex(all);
        return failed;
    }
    if (strcmp(driver, "vfio-pci") != 0 && strcmp(driver, "igb_uio") != 0 &&
        strcmp(driver, "uio_pci_generic") != 0) {
        snprintf(
            error, error_bytes,
            "--%s pci:%s belongs to the kernel's driver '%s': if it is not the one you are logged in through,"
            " dpdk-devbind.py -b vfio-pci %s",
            nic_option_name(nic), nic->name, driver[0] != '\0' ? driver : "none", nic->name);
        return -1;
    }
    return 0;
}

/* The socket is made by wild, the folder is not: DPDK's own words for that help nobody. */
static int check_memif(const struct nic_option *nic, char *error, size_t error_bytes)
{
    char folder[PATH_MAX];
    char *slash;

    snprintf(folder, sizeof folder, "%s", nic->name);
    slash = strrchr(folder, '/');
    if (slash == NULL)
        return 0;
    slash[slash == folder ? 1 : 0] = '\0';
    if (access(folder, W_OK | X_OK) == 0)
        return 0;
    snprintf(error, error_bytes, "--%s memif:%s: wild cannot make a socket in %s: %s", nic_option_name(nic),
             nic->name, folder, strerror(errno));
    return -1;
}

int nic_check(const struct nic_option *nic, char *error, size_t error_bytes)
{
    int failed = address_is_free(nic, error, error_bytes);

    if (failed != 0)
        return failed;
    switch (nic->kind) {
    case NIC_TAP:
        return check_tap(nic, error, error_bytes);
    case NIC_AF_PACKET:
        return check_af_packet(nic, error, error_bytes);
    case NIC_PCI:
        return check_pci(nic, error, error_bytes);
    case NIC_MEMIF:
        return check_memif(nic, error, error_bytes);
    case NIC_PORT:
        break;
    }
    return 0;
}
