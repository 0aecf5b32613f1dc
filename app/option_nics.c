/*
 * option_nics.c - the options of ports and their addresses: what their values may be, and which go together.
 */
#include "options_internal.h"

#include <arpa/inet.h>
#include <stdlib.h>
#include <string.h>

/* KIND:NAME. 0; 1: it begins with no kind of port; -1 with the error. */
static int read_nic(struct parse *parse, enum option_id id, const char *value, struct nic_option *out)
{
    static const struct {
        const char *prefix;
        enum nic_kind kind;
        unsigned name_max; /* interface names: IFNAMSIZ - 1 */
        /* A comma would be read as further device arguments; in an interface's name the kernel takes % for a
         * pattern and refuses the others. */
        const char *never;
    } kinds[] = {{"tap:", NIC_TAP, 15, ", %/:"},
                 {"af_packet:", NIC_AF_PACKET, 15, ", %/:"},
                 {"memif:", NIC_MEMIF, NIC_NAME_BYTES - 1, ", "},
                 {"pci:", NIC_PCI, 15, ", /"},
                 {"port:", NIC_PORT, 3, ", "}};

    for (unsigned i = 0; i < sizeof kinds / sizeof kinds[0]; i++) {
        size_t prefix = strlen(kinds[i].prefix), length;
        const char *name = value + prefix;

        if (strncmp(value, kinds[i].prefix, prefix) != 0)
            continue;
        length = strlen(name);
        if (length == 0 || length > kinds[i].name_max || strpbrk(name, kinds[i].never) != NULL ||
            (kinds[i].kind == NIC_PORT && strspn(name, "0123456789") != length))
            return option_wrong(parse, "--%s %.40s: '%.40s' is not a name for that kind of port",
                                option_rows[id].name, value, name);
        out->kind = kinds[i].kind;
        memcpy(out->name, name, length + 1);
        return 0;
    }
    return 1;
}

const char *nic_option_name(const struct nic_option *nic)
{
    return nic->for_replication ? "replication-nic" : "nic";
}

static bool is_same_nic(const struct nic_option *one, const struct nic_option *other)
{
    return one->kind == other->kind && strcmp(one->name, other->name) == 0;
}

static int set_nic(struct parse *parse, const char *value)
{
    struct options *out = parse->out;
    struct nic_option nic = {.kind = NIC_TAP};
    int failed;

    if (parse->kernel || (strcmp(value, "kernel") == 0 && out->nics > 0))
        return option_wrong(parse,
                            "--nic kernel goes alone: one socket serves every interface (--bind-address)");
    if (strcmp(value, "kernel") == 0) {
        parse->kernel = true;
        return 0;
    }
    if (out->nics == NODE_PORTS_MAX)
        return option_wrong(parse, "at most %d ports (--nic)", NODE_PORTS_MAX);
    failed = read_nic(parse, OPTION_nic, value, &nic);
    if (failed > 0)
        return option_wrong(
            parse,
            "--nic takes tap:NAME, af_packet:IF, memif:SOCKET, pci:ADDR, port:N or kernel, not '%.60s'",
            value);
    for (unsigned i = 0; i < out->nics && failed == 0; i++)
        if (is_same_nic(&out->nic[i], &nic))
            failed = option_wrong(parse, "--nic %.60s is given twice", value);
    if (failed == 0)
        out->nic[out->nics++] = nic;
    return failed;
}

static int set_replication_nic(struct parse *parse, const char *value)
{
    int failed = read_nic(parse, OPTION_replication_nic, value, &parse->replication_nic);

    if (failed > 0)
        return option_wrong(
            parse,
            "--replication-nic takes tap:NAME, af_packet:IF, memif:SOCKET, pci:ADDR or port:N, not '%.60s'",
            value);
    return failed;
}

/* An address that a station may have: RFC 1122 3.2.1.3 excludes these as sources. */
static bool is_station_address(uint32_t ip4, unsigned prefix_length)
{
    uint32_t host_mask = prefix_length >= 31 ? 0 : UINT32_MAX >> prefix_length;

    if (ip4 >> 24 == 0 || ip4 >> 24 == 127 || ip4 >> 28 >= 14)
        return false;
    return host_mask == 0 || ((ip4 & host_mask) != 0 && (ip4 & host_mask) != host_mask);
}

/* A station's ADDRESS/PREFIX; false: it is none. */
static bool read_cidr(const char *value, struct nic_option *out)
{
    char text[INET_ADDRSTRLEN] = "";
    const char *slash = strchr(value, '/');
    struct in_addr ip4;
    char *end = NULL;
    unsigned long prefix_length = 0;

    if (slash != NULL && (size_t)(slash - value) < sizeof text && slash[1] >= '0' && slash[1] <= '9') {
        memcpy(text, value, (size_t)(slash - value));
        prefix_length = strtoul(slash + 1, &end, 10);
    }
    if (end == NULL || *end != '\0' || prefix_length < 1 || prefix_length > 32 ||
        inet_pton(AF_INET, text, &ip4) != 1 ||
        !is_station_address(ntohl(ip4.s_addr), (unsigned)prefix_length))
        return false;
    out->ip4 = ntohl(ip4.s_addr);
    out->prefix_length = (uint8_t)prefix_length;
    return true;
}

static int set_address(struct parse *parse, const char *value)
{
    struct nic_option read;

    if (parse->addresses == NODE_PORTS_MAX)
        return option_wrong(parse, "at most %d addresses (--address)", NODE_PORTS_MAX);
    if (!read_cidr(value, &read))
        return option_wrong(
            parse, "--address takes a host's ADDRESS/PREFIX such as 198.18.0.1/24, not '%.40s'", value);
    parse->address[parse->addresses].ip4 = read.ip4;
    parse->address[parse->addresses].prefix_length = read.prefix_length;
    parse->addresses++;
    return 0;
}

/* With a prefix a port's, without one a socket's: which of them it must be is known once all options are. */
static int set_replication_address(struct parse *parse, const char *value)
{
    struct nic_option *read = &parse->replication_nic;
    struct in_addr ip4;

    if (read_cidr(value, read))
        return 0;
    if (inet_pton(AF_INET, value, &ip4) != 1 || ntohl(ip4.s_addr) >> 28 >= 14)
        return option_wrong(
            parse,
            "--replication-address takes ADDRESS/PREFIX for a --replication-nic, or over kernel"
            " sockets an ADDRESS of this machine, not '%.40s'",
            value);
    read->ip4 = ntohl(ip4.s_addr);
    read->prefix_length = 0;
    return 0;
}

static int set_bind_address(struct parse *parse, const char *value)
{
    struct in_addr ip4;
    uint32_t host;

    if (inet_pton(AF_INET, value, &ip4) != 1)
        return option_wrong(parse, "--bind-address takes an IPv4 address, not '%.40s'", value);
    host = ntohl(ip4.s_addr);
    if (IN_MULTICAST(host) || host >> 28 == 15)
        return option_wrong(parse, "--bind-address %s is no machine's address", value);
    parse->out->bind_ip4 = host;
    return 0;
}

static int set_gateway(struct parse *parse, const char *value)
{
    struct in_addr ip4;

    if (inet_pton(AF_INET, value, &ip4) != 1 || !is_station_address(ntohl(ip4.s_addr), 32))
        return option_wrong(parse, "--gateway takes an IPv4 address, not '%.40s'", value);
    parse->out->gateway_ip4 = ntohl(ip4.s_addr);
    return 0;
}

int option_set_nics(struct parse *parse, enum option_id id, const char *value)
{
    switch (id) {
    case OPTION_nic:
        return set_nic(parse, value);
    case OPTION_address:
        return set_address(parse, value);
    case OPTION_bind_address:
        return set_bind_address(parse, value);
    case OPTION_gateway:
        return set_gateway(parse, value);
    case OPTION_replication_nic:
        return set_replication_nic(parse, value);
    case OPTION_replication_address:
        return set_replication_address(parse, value);
    default:
        return 1;
    }
}

/* ---- which go together ---- */

/* Kernel sockets: what belongs to ports of DPDK's would have no effect. */
static int check_kernel(struct parse *parse)
{
    parse->out->kernel_by_default = !parse->kernel;
    if (parse->addresses > 0)
        return option_wrong(parse, "--address is a DPDK port's: kernel sockets take --bind-address");
    if (parse->out->gateway_ip4 != 0)
        return option_wrong(parse, "--gateway is for DPDK ports: kernel sockets use the kernel's routes");
    if (parse->given[OPTION_replication_nic] != SOURCE_NONE)
        return option_wrong(parse,
                            "--replication-nic stands beside a DPDK port for clients (--nic, --address):"
                            " kernel sockets take --replication-address alone");
    if (parse->replication_nic.prefix_length != 0)
        return option_wrong(parse,
                            "--replication-address has no prefix over kernel sockets: the kernel knows it");
    parse->out->replication.own_address = parse->given[OPTION_replication_address] != SOURCE_NONE;
    parse->out->replication.address_ip4 = parse->replication_nic.ip4;
    return 0;
}

/* The port that is for replication alone becomes the last one. */
static int add_replication_nic(struct parse *parse)
{
    struct options *out = parse->out;
    struct nic_option *nic = &parse->replication_nic;

    if (parse->given[OPTION_replication_nic] == SOURCE_NONE)
        return parse->given[OPTION_replication_address] == SOURCE_NONE
                   ? 0
                   : option_wrong(
                         parse, "--replication-address needs --replication-nic: a DPDK port has one address");
    if (parse->given[OPTION_nic] == SOURCE_NONE)
        return option_wrong(parse, "--replication-nic needs --nic: name the clients' port, too");
    if (nic->prefix_length == 0)
        return option_wrong(parse, "--replication-nic needs --replication-address ADDRESS/PREFIX");
    if (out->nics == NODE_PORTS_MAX)
        return option_wrong(parse, "at most %d ports (--nic, --replication-nic)", NODE_PORTS_MAX);
    for (unsigned i = 0; i < out->nics; i++)
        if (is_same_nic(&out->nic[i], nic))
            return option_wrong(parse, "--nic and --replication-nic are the same port");
    nic->for_replication = true;
    out->nic[out->nics++] = *nic;
    return 0;
}

/* What holds for each port beside the others. */
static int check_ports(struct parse *parse)
{
    const struct options *out = parse->out;

    for (unsigned i = 0; i < out->nics; i++) {
        for (unsigned j = 0; j < i; j++)
            if (out->nic[j].ip4 == out->nic[i].ip4)
                return option_wrong(parse, out->nic[i].for_replication
                                               ? "--replication-address is an --address, too"
                                               : "two ports have the same --address");
        if (out->nic[i].kind == NIC_PORT && out->eals == 0)
            return option_wrong(parse, "--%s port:%s needs raw EAL arguments after -- that make the port",
                                nic_option_name(&out->nic[i]), out->nic[i].name);
    }
    return 0;
}

int options_check_nics(struct parse *parse)
{
    struct options *out = parse->out;

    if (parse->kernel || (out->nics == 0 && parse->addresses == 0))
        return check_kernel(parse);
    if (parse->given[OPTION_bind_address] != SOURCE_NONE)
        return option_wrong(parse, "--bind-address is for kernel sockets: a DPDK port takes --address");
    if (out->nics == 0) /* devices that are bound to DPDK, to be found when the machine is looked at */
        for (; out->nics < parse->addresses; out->nics++)
            out->nic[out->nics] = (struct nic_option){.kind = NIC_PCI};
    if (parse->addresses != out->nics)
        return option_wrong(parse, "%u ports but %u addresses: give one --address for each --nic", out->nics,
                            parse->addresses);
    for (unsigned i = 0; i < out->nics; i++) {
        out->nic[i].ip4 = parse->address[i].ip4;
        out->nic[i].prefix_length = parse->address[i].prefix_length;
    }
    if (add_replication_nic(parse) != 0 || check_ports(parse) != 0)
        return -1;
    for (unsigned i = 0; out->gateway_ip4 != 0 && i < out->nics; i++) {
        uint32_t mask = UINT32_MAX << (32 - out->nic[i].prefix_length);

        if (out->gateway_ip4 == out->nic[i].ip4)
            return option_wrong(parse, "--gateway is this node's own --address");
        if (((out->gateway_ip4 ^ out->nic[i].ip4) & mask) == 0)
            return 0;
    }
    return out->gateway_ip4 == 0 ? 0 : option_wrong(parse, "--gateway lies in no port's network (--address)");
}
