#include "nic_choose.h"

#include <arpa/inet.h>
#include <dirent.h>
#include <fcntl.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum {
    FOUND_MAX = NODE_PORTS_MAX + 1
}; /* one more than can be used: enough to see that there are too many */

struct found {
    char name[FOUND_MAX][NIC_NAME_BYTES]; /* PCI addresses, sorted */
    unsigned count;
};

static bool is_network_device(int folder)
{
    int fd = openat(folder, "class", O_RDONLY | O_CLOEXEC);
    unsigned class = 0;
    FILE *file = fd >= 0 ? fdopen(fd, "r") : NULL;

    if (file == NULL)
        return false;
    if (fscanf(file, "%x", &class) != 1)
        class = 0;
    fclose(file);
    return class >> 16 == 0x02; /* PCI Code and ID Assignment: network controller */
}

static bool is_bound_to_dpdk(int folder)
{
    static const char *const drivers[] = {"vfio-pci", "igb_uio", "uio_pci_generic"};
    char target[PATH_MAX];
    const char *slash;
    ssize_t length = readlinkat(folder, "driver", target, sizeof target - 1);

    target[length > 0 ? length : 0] = '\0';
    slash = strrchr(target, '/');
    for (unsigned i = 0; slash != NULL && i < sizeof drivers / sizeof drivers[0]; i++)
        if (strcmp(slash + 1, drivers[i]) == 0)
            return true;
    return false;
}

static void add_sorted(struct found *found, const char *name)
{
    unsigned at = found->count;

    if (strlen(name) >= NIC_NAME_BYTES || at == FOUND_MAX)
        return;
    for (; at > 0 && strcmp(found->name[at - 1], name) > 0; at--)
        memcpy(found->name[at], found->name[at - 1], NIC_NAME_BYTES);
    memcpy(found->name[at], name, strlen(name) + 1);
    found->count++;
}

static void look(struct found *found, const char *sysfs_root)
{
    char folder[PATH_MAX];
    struct dirent *entry;
    DIR *devices;

    *found = (struct found){.count = 0};
    snprintf(folder, sizeof folder, "%s/bus/pci/devices", sysfs_root);
    devices = opendir(folder);
    if (devices == NULL)
        return; /* a machine without PCI */
    while ((entry = readdir(devices)) != NULL) {
        int device = openat(dirfd(devices), entry->d_name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

        if (device < 0)
            continue;
        if (entry->d_name[0] != '.' && is_network_device(device) && is_bound_to_dpdk(device))
            add_sorted(found, entry->d_name);
        close(device);
    }
    closedir(devices);
}

static void explain_kernel_sockets(const struct options *options, const struct found *found,
                                   const struct logger *logger)
{
    struct in_addr ip4 = {.s_addr = htonl(options->bind_ip4)};
    char address[INET_ADDRSTRLEN];

    logger_line(logger, LOG_LEVEL_WARNING,
                "kernel sockets%s: the slow compatibility path (--nic and --address name a DPDK port)",
                options->kernel_by_default ? ", as no --nic is given" : "");
    if (options->kernel_by_default && found->count > 0)
        logger_line(logger, LOG_LEVEL_WARNING, "NIC %s is bound to DPDK and not used: it needs an --address",
                    found->name[0]);
    inet_ntop(AF_INET, &ip4, address, sizeof address);
    if (options->bind_ip4 >> 24 == 127)
        logger_line(
            logger, LOG_LEVEL_INFO,
            "only this machine reaches %s (--bind-address 0.0.0.0: every one that can reach this one)",
            address);
}

int nic_choose(struct options *options, const char *sysfs_root, const struct logger *logger, char *error,
               size_t error_bytes)
{
    struct found found;

    look(&found, sysfs_root);
    if (options->nics == 0) {
        explain_kernel_sockets(options, &found, logger);
        return 0;
    }
    if (options->nic[0].name[0] != '\0')
        return 0;
    if (found.count == 0) {
        snprintf(error, error_bytes,
                 "--address needs a DPDK port, and no NIC is bound to DPDK: give --nic, or --bind-address"
                 " for kernel sockets");
        return -1;
    }
    if (found.count != options->nics) {
        snprintf(error, error_bytes, "%u --address but %u NICs bound to DPDK (%s, ...): name them with --nic",
                 options->nics, found.count, found.name[0]);
        return -1;
    }
    for (unsigned i = 0; i < options->nics; i++) {
        memcpy(options->nic[i].name, found.name[i], NIC_NAME_BYTES);
        logger_line(logger, LOG_LEVEL_INFO, "NIC %s is bound to DPDK and taken, as no --nic is given",
                    found.name[i]);
    }
    return 0;
}
