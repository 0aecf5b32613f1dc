/*
 * eal.c - the EAL's arguments, its start and its end.
 */
#include "eal.h"

#include <assert.h>
#include <dirent.h>
#include <fcntl.h>
#include <net/if.h>
#include <sched.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <rte_eal.h>
#include <rte_errno.h>
#include <rte_ethdev.h>
#include <rte_lcore.h>

#include "eal_log.h"

enum {
    ARGUMENTS_MAX = 64,
    ARGUMENT_BYTES = 640,
    HUGE_PAGE_BYTES = 2 << 20,
    AF_PACKET_QUEUES_MAX = 16, /* the driver's; workers beyond have no queue, as on any device with too few */
};

static_assert(ARGUMENT_BYTES >= sizeof "--lcores=0@1023" + NODE_WORKERS_MAX * (sizeof ",64@1023" - 1),
              "a machine with many cores starts without options");

/* ---- arguments ---- */

struct arguments {
    char text[ARGUMENTS_MAX][ARGUMENT_BYTES];
    char *argv[ARGUMENTS_MAX + 1];
    int argc;
    bool truncated;
};

__attribute__((format(printf, 2, 3))) static void add(struct arguments *arguments, const char *format, ...)
{
    va_list list;

    if (arguments->argc == ARGUMENTS_MAX)
        return; /* our own are few, the raw ones limited by options.h */
    va_start(list, format);
    if (vsnprintf(arguments->text[arguments->argc], ARGUMENT_BYTES, format, list) >= ARGUMENT_BYTES)
        arguments->truncated = true;
    va_end(list);
    arguments->argv[arguments->argc] = arguments->text[arguments->argc];
    arguments->argc++;
}

static bool user_gave(const struct options *options, const char *const *prefixes, unsigned count)
{
    for (unsigned i = 0; i < options->eals; i++)
        for (unsigned j = 0; j < count; j++)
            if (strncmp(options->eal[i], prefixes[j], strlen(prefixes[j])) == 0)
                return true;
    return false;
}

/*
 * Cores: the first of those this process may use is the control lcore's, the others the workers'. One core too
 * few is shared by the control lcore and the last worker.
 */
static int add_cores(struct arguments *arguments, struct eal *eal, const struct options *options, char *error,
                     size_t error_bytes)
{
    cpu_set_t set;
    int cpus[CPU_SETSIZE];
    unsigned count = 0, wanted;
    char text[ARGUMENT_BYTES];
    size_t used;

    sched_getaffinity(0, sizeof set, &set);
    for (int cpu = 0; cpu < CPU_SETSIZE; cpu++)
        if (CPU_ISSET(cpu, &set))
            cpus[count++] = cpu;
    wanted = options->workers != 0 ? options->workers : count > 1 ? count - 1 : 1;
    if (options->workers == 0 && options->nics == 0 && wanted > NODE_KERNEL_WORKERS_DEFAULT_MAX)
        wanted = NODE_KERNEL_WORKERS_DEFAULT_MAX;
    if (wanted > NODE_WORKERS_MAX)
        wanted = NODE_WORKERS_MAX;
    if (wanted > count) {
        snprintf(error, error_bytes, "--workers %u: this process may use %u core%s only", wanted, count,
                 count == 1 ? "" : "s");
        return -1;
    }
    eal->workers = wanted;
    eal->shared_core = wanted == count;
    used = (size_t)snprintf(text, sizeof text, "--lcores=0@%d", cpus[0]);
    for (unsigned i = 0; i < wanted && used < sizeof text; i++)
        used += (size_t)snprintf(text + used, sizeof text - used, ",%u@%d", i + 1,
                                 cpus[eal->shared_core ? wanted - 1 - i : i + 1]);
    if (used >= sizeof text) {
        snprintf(error, error_bytes, "too many cores for one list: give --lcores after --");
        return -1;
    }
    add(arguments, "%s", text);
    return 0;
}

static uint64_t free_huge_pages(void)
{
    FILE *file = fopen("/sys/kernel/mm/hugepages/hugepages-2048kB/free_hugepages", "re");
    unsigned long long pages = 0;

    if (file != NULL) {
        if (fscanf(file, "%llu", &pages) != 1)
            pages = 0;
        fclose(file);
    }
    return pages;
}

/* Buffers: eal_memory_mb() of them, in hugepages where enough are free. */
static unsigned memory_mb(const struct options *options, unsigned workers)
{
    unsigned ports = options->nics, connections = options->connections;
    bool replicates = options->replication.mode != MODE_STANDALONE;
    /* Per worker TCP's frames, and for a connection its state (512 bytes), its TIME-WAIT record (104),
     * its places in two tables that are at most half full (8 bytes each, sizes of powers of two), and its source's. */
    unsigned places = connections != 0 ? connections : NODE_CONNECTIONS_DEFAULT;
    uint64_t frames = NODE_TCP_FRAMES(places);
    unsigned tcp =
        2 + (unsigned)((frames * NODE_TCP_FRAME_BYTES + (uint64_t)(places + NODE_HALF_OPEN) * 1024) >> 20);

    /* The control lcore's streams: frames, and the state of few. */
    uint64_t streams = replicates ? (uint64_t)NODE_STREAMS_FRAMES(ports) * NODE_TCP_FRAME_BYTES >> 20 : 0;
    /* Per queue pair 2,048 descriptors' mbufs of 2,304 bytes, a share of the pool's caches, and the device's rings. */
    return 64 + 10 * ports * (workers + 1) + (ports > 0 ? tcp * workers + (unsigned)streams : 0);
}

static void add_memory(struct arguments *arguments, unsigned workers, const struct options *options,
                       const struct logger *logger)
{
    unsigned mb = memory_mb(options, workers);
    uint64_t need = (uint64_t)mb * 1024 * 1024 / HUGE_PAGE_BYTES, pages = free_huge_pages();

    if (options->nics > 0 && pages >= need) {
        add(arguments, "--in-memory");
        return;
    }
    /* Kernel sockets have no buffers that a device would reach; the table asks for its pages by itself. */
    if (options->nics > 0)
        logger_line(logger, LOG_LEVEL_WARNING,
                    "%llu hugepages are free, %llu are wanted: ordinary memory is slower (sysctl"
                    " vm.nr_hugepages=%llu)",
                    (unsigned long long)pages, (unsigned long long)need, (unsigned long long)need + 64);
    add(arguments, "--no-huge");
    add(arguments, "--no-shconf");
    add(arguments, "-m");
    add(arguments, "%u", mb);
}

/* A port for replication alone has one queue, the control lcore's. */
static unsigned af_packet_queues(const struct nic_option *nic, unsigned workers)
{
    if (nic->for_replication)
        return 1;
    return workers < AF_PACKET_QUEUES_MAX ? workers : AF_PACKET_QUEUES_MAX;
}

static void add_nics(struct arguments *arguments, const struct options *options, unsigned workers)
{
    /* Raw arguments that name no PCI device mean none: a probe would start every card that a kernel driver shares. */
    static const char *const pci_arguments[] = {"-a", "--allow", "-b", "--block"};
    bool pci = user_gave(options, pci_arguments, 4);

    for (unsigned i = 0; i < options->nics; i++) {
        const char *name = options->nic[i].name;

        switch (options->nic[i].kind) {
        case NIC_TAP:
            add(arguments, "--vdev=net_tap%u,iface=%s", i, name);
            break;
        case NIC_AF_PACKET:
            add(arguments, "--vdev=net_af_packet%u,iface=%s,qpairs=%u,qdisc_bypass=1", i, name,
                af_packet_queues(&options->nic[i], workers));
            break;
        case NIC_MEMIF:
            add(arguments, "--vdev=net_memif%u,role=server,socket=%s,socket-abstract=no", i, name);
            break;
        case NIC_PCI:
            add(arguments, "--allow=%s", name);
            pci = true;
            break;
        case NIC_PORT:
            break; /* the raw arguments make it */
        }
    }
    if (!pci)
        add(arguments, "--no-pci");
}

static int compose(struct arguments *arguments, struct eal *eal, const struct options *options,
                   const struct logger *logger, char *error, size_t error_bytes)
{
    static const char *const core_arguments[] = {"-l", "-c", "--lcores", "--main-lcore"};
    static const char *const memory_arguments[] = {"-m", "--no-huge", "--in-memory", "--socket-mem",
                                                   "--huge"};
    /* Without files in hugetlbfs, or with files that the EAL cannot unlink at once. */
    static const char *const fileless_arguments[] = {"--no-huge", "--in-memory", "--single-file-segments"};
    unsigned workers;

    add(arguments, "wild");
    add(arguments, "--no-telemetry");
    add(arguments, "--file-prefix=wild%d", (int)getpid());
    add(arguments, "--log-level=%s", logger->level >= LOG_LEVEL_DEBUG ? "*:info" : "*:error");
    if (!user_gave(options, core_arguments, 4) && add_cores(arguments, eal, options, error, error_bytes) != 0)
        return -1;
    /* The table asks the kernel by itself: fewer pages than the buffers need may hold it, or transparent ones. */
    eal->huge_pages_refused = user_gave(options, (const char *const[]){"--no-huge"}, 1);
    workers = eal->workers != 0 ? eal->workers : options->workers != 0 ? options->workers : 1;
    eal->own_prefix = !user_gave(options, (const char *const[]){"--file-prefix"}, 1);
    eal->memory_given = user_gave(options, memory_arguments, 5);
    if (!eal->memory_given)
        add_memory(arguments, workers, options, logger);
    else if (!user_gave(options, fileless_arguments, 3))
        add(arguments, "--huge-unlink=always"); /* else the pages would stay taken after the end */
    /* The EAL alone would take 64 MiB, which two ports' buffers do not fit. */
    if (eal->huge_pages_refused && !user_gave(options, (const char *const[]){"-m", "--socket-mem"}, 2)) {
        add(arguments, "-m");
        add(arguments, "%u", memory_mb(options, workers));
    }
    add_nics(arguments, options, workers);
    for (unsigned i = 0; i < options->eals; i++)
        add(arguments, "%s", options->eal[i]);
    if (arguments->truncated)
        snprintf(error, error_bytes, "a raw EAL argument is longer than %d bytes", ARGUMENT_BYTES - 1);
    return arguments->truncated ? -1 : 0;
}

/* ---- what came of it ---- */

static int take_lcores(struct eal *eal, const struct options *options, char *error, size_t error_bytes)
{
    unsigned lcore, count = 0, wanted = eal->workers != 0 ? eal->workers : options->workers;

    RTE_LCORE_FOREACH_WORKER(lcore)
    {
        if (count == NODE_WORKERS_MAX || (wanted != 0 && count == wanted))
            break;
        rte_cpuset_t set = rte_lcore_cpuset(lcore);

        eal->worker_cpu[count] = 0;
        while (eal->worker_cpu[count] < CPU_SETSIZE - 1 && !CPU_ISSET(eal->worker_cpu[count], &set))
            eal->worker_cpu[count]++;
        eal->worker_lcore[count++] = lcore;
    }
    if (count == 0 || count < wanted) {
        snprintf(error, error_bytes,
                 "%u worker lcores are wanted, the EAL arguments give %u beside the main one",
                 wanted != 0 ? wanted : 1, count);
        return -1;
    }
    eal->workers = count;
    return 0;
}

static int find_port(struct eal *eal, const struct options *options, unsigned i)
{
    static const char *const drivers[] = {
        [NIC_TAP] = "net_tap", [NIC_AF_PACKET] = "net_af_packet", [NIC_MEMIF] = "net_memif"};
    const struct nic_option *nic = &options->nic[i];
    char name[64];

    switch (nic->kind) {
    case NIC_PORT:
        eal->port_id[i] = (uint16_t)atoi(nic->name);
        return rte_eth_dev_is_valid_port(eal->port_id[i]) ? 0 : -1;
    case NIC_PCI:
        snprintf(name, sizeof name, "%s%s", strlen(nic->name) < 12 ? "0000:" : "", nic->name);
        break;
    default:
        snprintf(name, sizeof name, "%s%u", drivers[nic->kind], i);
    }
    return rte_eth_dev_get_port_by_name(name, &eal->port_id[i]);
}

/* Raw EAL arguments reach interfaces of the kernel's too. */
static int check_interface(uint16_t port_id, char *error, size_t error_bytes)
{
    struct rte_eth_dev_info info;
    char name[IF_NAMESIZE];

    if (rte_eth_dev_info_get(port_id, &info) != 0 || info.if_index == 0 ||
        if_indextoname(info.if_index, name) == NULL)
        return 0;
    return nic_check_route(name, error, error_bytes);
}

/* The EAL leaves its folder, and what it shared in there, to whoever starts next under its prefix; ours names a
 * process. */
static void remove_folder(const struct eal *eal)
{
    const char *path = rte_eal_get_runtime_dir();
    DIR *folder = eal->own_prefix && path[0] != '\0' ? opendir(path) : NULL;

    if (folder == NULL)
        return;
    for (struct dirent *entry = readdir(folder); entry != NULL; entry = readdir(folder))
        if (entry->d_name[0] != '.')
            unlinkat(dirfd(folder), entry->d_name, 0);
    closedir(folder);
    rmdir(path);
}

static void failed_init(const struct eal *eal, const struct options *options, char *error, size_t error_bytes)
{
    int why = rte_errno;
    bool pages_lack = !user_gave(options, (const char *const[]){"--no-huge"}, 1) && eal->memory_given &&
                      free_huge_pages() == 0;

    snprintf(error, error_bytes, "DPDK does not start (%s): %s; %s", rte_strerror(why),
             eal_log_complaint(eal->log),
             pages_lack
                 ? "no hugepages are free (sysctl vm.nr_hugepages=N makes some, --no-huge does without)"
                 : "--log-level debug shows more");
}

static int init(struct eal *eal, const struct options *options, struct arguments *arguments, char *error,
                size_t error_bytes)
{
    static const char *const help_arguments[] = {"-h", "--help", "--log-level=help"};
    bool help = user_gave(options, help_arguments, 3); /* the EAL prints it and ends the process */
    int taken;

    if (!help)
        eal_log_capture(eal->log);
    taken = rte_eal_init(arguments->argc, arguments->argv);
    if (!help)
        eal_log_release(eal->log);
    if (taken < 0) {
        failed_init(eal, options, error, error_bytes);
        remove_folder(eal);
        eal_log_close(eal->log);
        return -1;
    }
    if (taken < arguments->argc - 1) {
        snprintf(error, error_bytes, "the raw EAL argument '%.100s' is not an option",
                 arguments->argv[taken + 1]);
        eal_stop(eal);
        return -1;
    }
    return 0;
}

int eal_start(struct eal *eal, const struct options *options, const struct logger *logger, char *error,
              size_t error_bytes)
{
    struct arguments arguments = {.argc = 0};

    *eal = (struct eal){.workers = 0};
    for (unsigned i = 0; i < options->nics; i++)
        if (nic_check(&options->nic[i], error, error_bytes) != 0)
            return -1;
    if (compose(&arguments, eal, options, logger, error, error_bytes) != 0)
        return -1;
    eal->log = eal_log_open(logger);
    if (eal->log == NULL || init(eal, options, &arguments, error, error_bytes) != 0)
        return -1;
    if (take_lcores(eal, options, error, error_bytes) != 0) {
        eal_stop(eal);
        return -1;
    }
    for (unsigned i = 0; i < options->nics; i++)
        if (find_port(eal, options, i) != 0) {
            const char *complaint = eal_log_complaint(eal->log);

            snprintf(error, error_bytes, "DPDK made no port for --%s %s: %s; --log-level debug shows more",
                     nic_option_name(&options->nic[i]), options->nic[i].name,
                     complaint[0] != '\0'               ? complaint
                     : options->nic[i].kind == NIC_PORT ? "the raw EAL arguments make fewer"
                                                        : "is its driver installed?");
            eal_stop(eal);
            return -1;
        } else if (check_interface(eal->port_id[i], error, error_bytes) != 0) {
            eal_stop(eal);
            return -1;
        }
    return 0;
}

void eal_stop(struct eal *eal)
{
    rte_eal_cleanup();
    remove_folder(eal);
    eal_log_close(eal->log);
}
