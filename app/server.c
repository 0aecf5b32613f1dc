/*
 * server.c - the start-up table of the program around a node.
 */
#include "server.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netdb.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include <rte_ethdev.h>
#include <rte_mbuf.h>

#include "capacity.h"
#include "clock.h"
#include "control_commands.h"
#include "disk_folder.h"
#include "eal.h"
#include "kernel/kernel_port.h"
#include "lcores.h"
#include "nic_choose.h"
#include "node.h"
#include "node_order.h"
#include "startup.h"
#include "wal_block.h"

enum { POOL_CACHE = 256 };

struct server {
    struct options *options; /* borrowed */
    struct logger logger;
    struct eal eal;
    struct clock clock;
    struct rte_mempool *pool;
    struct node_config config;
    unsigned ports_open;
    struct kernel_port kernel;   /* in the place of ports */
    struct disk_folder *folder;  /* of the log; NULL: none */
    struct name_lookup *primary; /* a replica's; NULL: none */
    char name[REPLICATION_NAME_BYTES];
    struct node *node;
    struct lcores lcores;
    struct control_socket *control; /* NULL: none */
    bool lost;                      /* the log ended without changes that were acknowledged */
};

static int start_eal(void *subject, char *error, size_t error_bytes)
{
    struct server *server = subject;

    if (nic_choose(server->options, "/sys", &server->logger, error, error_bytes) != 0)
        return -1;
    if (eal_start(&server->eal, server->options, &server->logger, error, error_bytes) != 0)
        return -1;
    clock_start(&server->clock);
    if (server->eal.shared_core)
        logger_line(&server->logger, LOG_LEVEL_WARNING, "the control lcore shares its core with a worker");
    return 0;
}

static void stop_eal(void *subject)
{
    eal_stop(&((struct server *)subject)->eal);
}

/* Where every buffer can be at once; one line a consumer. */
static unsigned pool_frames(const struct server *server)
{
    unsigned ports = server->options->nics, workers = server->eal.workers, queues = ports * (workers + 1);
    unsigned asked = server->options->connections, places = asked != 0 ? asked : NODE_CONNECTIONS_DEFAULT;
    unsigned tcp = NODE_TCP_FRAMES(places);
    bool replicates = server->options->replication.mode != MODE_STANDALONE;

    return queues * (PORT_RX_DESCRIPTORS + PORT_TX_DESCRIPTORS) + /* the devices' rings */
           queues * 2 * PORT_BURST_MAX +                          /* bursts in the workers' hands */
           (1 + ports) * NODE_CONTROL_RING_FRAMES +               /* to and from the control lcore */
           workers * tcp +                                        /* what TCP holds */
           (replicates ? NODE_STREAMS_FRAMES(ports) : 0) +        /* streams of the control lcore's */
           (workers + 1) * 3 / 2 * POOL_CACHE;                    /* the lcores' caches */
}

static int start_pool(void *subject, char *error, size_t error_bytes)
{
    struct server *server = subject;
    unsigned frames = pool_frames(server);

    if (server->options->nics == 0)
        return 0; /* sockets take no frames */
    server->pool =
        rte_pktmbuf_pool_create("wild", frames, POOL_CACHE, TCP_FRAME_PRIVATE_BYTES,
                                RTE_MBUF_DEFAULT_BUF_SIZE, rte_eth_dev_socket_id(server->eal.port_id[0]));
    if (server->pool == NULL)
        snprintf(
            error, error_bytes,
            "no memory for %u packet buffers: reserve hugepages, raise the -m after -- if there is one, or use"
            " fewer --workers",
            frames);
    return server->pool != NULL ? 0 : -1;
}

static void stop_pool(void *subject)
{
    rte_mempool_free(((struct server *)subject)->pool);
}

static void stop_ports(void *subject)
{
    struct server *server = subject;

    while (server->ports_open > 0)
        port_close(&server->config.port[--server->ports_open].port);
    kernel_port_close(&server->kernel);
}

/* A stream is a descriptor, and the usual limit is far below what the operator's own is. */
static void raise_descriptors(void)
{
    struct rlimit limit;

    if (getrlimit(RLIMIT_NOFILE, &limit) != 0)
        return;
    limit.rlim_cur = limit.rlim_max;
    setrlimit(RLIMIT_NOFILE, &limit);
}

static int start_sockets(struct server *server, char *error, size_t error_bytes)
{
    struct kernel_port_config config = {.address = address_from_ip4(htonl(server->options->bind_ip4)),
                                        .port = server->options->port,
                                        .workers = server->eal.workers,
                                        .streams = true};

    raise_descriptors();
    server->config.kernel = &server->kernel;
    return kernel_port_open(&server->kernel, &config, error, error_bytes);
}

static int start_port(struct server *server, unsigned i, char *error, size_t error_bytes)
{
    const struct nic_option *nic = &server->options->nic[i];
    struct node_port *port = &server->config.port[i];
    uint8_t rss_key[PORT_RSS_KEY_BYTES_MAX];
    struct port_config config = {.port_id = server->eal.port_id[i],
                                 .workers = nic->for_replication ? 1 : server->eal.workers,
                                 .pool = server->pool,
                                 .rss_key = rss_key};
    char description[PORT_DESCRIPTION_BYTES];

    random_fill(&server->config.random, rss_key, sizeof rss_key);
    if (port_open(&port->port, &config, error, error_bytes) != 0)
        return -1;
    server->ports_open++;
    /* A TAP's two ends have one MAC, the kernel's end and ours: a station cannot talk to itself. */
    if (nic->kind == NIC_TAP)
        port->port.mac.addr_bytes[5] ^= 1;
    port->address = address_from_ip4(htonl(nic->ip4));
    port->prefix_length = nic->prefix_length;
    port->streams_only = nic->for_replication;
    port->link_up = port_link_up;
    port_describe(&port->port, description);
    logger_line(&server->logger, LOG_LEVEL_INFO, "port %u (%s%s): %s", i, nic->name,
                nic->for_replication ? ", for replication" : "", description);
    return 0;
}

static int start_ports(void *subject, char *error, size_t error_bytes)
{
    struct server *server = subject;

    if (server->options->nics == 0)
        return start_sockets(server, error, error_bytes);
    for (unsigned i = 0; i < server->options->nics; i++)
        if (start_port(server, i, error, error_bytes) != 0) {
            stop_ports(server);
            return -1;
        }
    return 0;
}

/*
 * Keys of sessions and connections lie in locked memory, of which ordinary users have little: as many as that holds
 * where the operator has not said how many.
 */
static void choose_sessions(struct server *server)
{
    const struct options *options = server->options;
    struct node_config *config = &server->config;
    struct rlimit limit;
    bool fewer = false;

    config->sessions = options->sessions != 0 ? options->sessions : NODE_SESSIONS_DEFAULT;
    config->connections = options->connections != 0 ? options->connections : NODE_CONNECTIONS_DEFAULT;
    if (getrlimit(RLIMIT_MEMLOCK, &limit) != 0 || geteuid() == 0)
        return; /* root is not held to it */
    limit.rlim_cur = limit.rlim_max;
    setrlimit(RLIMIT_MEMLOCK, &limit);
    while (node_key_bytes(config) > limit.rlim_cur) {
        bool sessions = options->sessions == 0 && config->sessions > NODE_SESSIONS_MIN;
        bool connections = options->connections == 0 && config->connections > NODE_CONNECTIONS_MIN;

        if (connections && (config->connections >= config->sessions || !sessions))
            config->connections /= 2;
        else if (sessions)
            config->sessions /= 2;
        else
            break;
        fewer = true;
    }
    if (fewer)
        logger_line(&server->logger, LOG_LEVEL_WARNING,
                    "%u sessions and %u connections a worker, as %llu KiB may be locked for keys (ulimit -l,"
                    " LimitMEMLOCK=)",
                    config->sessions, config->connections, (unsigned long long)limit.rlim_cur / 1024);
}

/* Before the node: it must not be started for a folder that another one has. */
static int start_folder(void *subject, char *error, size_t error_bytes)
{
    struct server *server = subject;
    const struct log_options *options = &server->options->log;
    struct node_log_config *config = &server->config.log;

    if (!options->enabled)
        return 0;
    if (disk_folder_open(&server->folder, options->path, DISK_FOLDER_OWN, options->io, error, error_bytes) !=
        0)
        return -1;
    *config = (struct node_log_config){
        .folder = options->path,
        .disk = disk_folder_disk(server->folder),
        .queue = disk_folder_queue(server->folder),
        .rules = {.log = true,
                  .writes_wait = !options->async,
                  .reads_wait = !options->async && !options->reads_memory,
                  .replicated = server->options->replication.min_replicas > 0},
        .segment_bytes = WAL_SEGMENT_BYTES,
        .snapshot_segments = ((uint64_t)options->snapshot_mib << 20) / WAL_SEGMENT_BYTES,
        .snapshot_interval_ms = (uint64_t)options->snapshot_interval_s * 1000,
    };
    if (options->snapshot_mib > 0 && config->snapshot_segments == 0)
        config->snapshot_segments = 1;
    logger_line(&server->logger, LOG_LEVEL_INFO, "log in %s: %s%s, acknowledged %s", options->path,
                disk_folder_queue_name(server->folder),
                disk_folder_is_direct(server->folder) ? "" : " (buffered)",
                options->async ? "at once (--durability async)" : "on stable storage");
    return 0;
}

static void stop_folder(void *subject)
{
    disk_folder_close(((struct server *)subject)->folder);
}

/* What other nodes call this one, if the operator has not said: host and port. */
static void choose_name(struct server *server)
{
    const struct options *options = server->options;
    char host[REPLICATION_NAME_BYTES - 6] = "";

    if (gethostname(host, sizeof host - 1) != 0 || host[0] == '\0')
        memcpy(host, "node", 5);
    snprintf(server->name, sizeof server->name, "%s:%u", host, options->port);
    if (options->replication.name[0] != '\0')
        memcpy(server->name, options->replication.name, sizeof server->name);
}

/* They only seed addresses: one that is not found now is left out. This thread may wait for the resolver. */
static void find_peers(struct server *server)
{
    static const struct addrinfo hints = {.ai_family = AF_INET, .ai_socktype = SOCK_STREAM};
    const struct replication_options *options = &server->options->replication;
    struct node_replication_config *config = &server->config.replication;

    for (unsigned i = 0; i < options->peers; i++) {
        struct addrinfo *list = NULL;
        int failed = getaddrinfo(options->peer[i].host, NULL, &hints, &list);

        if (failed != 0) {
            logger_line(&server->logger, LOG_LEVEL_WARNING, "--peer %s: %s; it is left out",
                        options->peer[i].host, gai_strerror(failed));
            continue;
        }
        struct sockaddr_in first;
        memcpy(&first, list->ai_addr, sizeof first);
        freeaddrinfo(list);
        config->peer[config->peers++] =
            (struct node_peer){address_from_ip4(first.sin_addr.s_addr), options->peer[i].port};
    }
}

static int start_replication(void *subject, char *error, size_t error_bytes)
{
    struct server *server = subject;
    const struct replication_options *options = &server->options->replication;

    choose_name(server);
    if (options->mode == MODE_REPLICA) {
        server->primary = name_lookup_create(options->primary_address, error, error_bytes);
        if (server->primary == NULL)
            return -1;
        server->config.log.rules.reads_wait = !server->options->log.reads_memory;
    }
    server->config.replication = (struct node_replication_config){
        .mode = options->mode,
        .port = options->port,
        .primary_port = options->primary_port,
        .primary = server->primary,
        .primary_name = options->primary_address,
        .name = server->name,
        .min_replicas = options->min_replicas,
        .ack_applied = options->ack_applied,
        .heartbeat_ms = options->heartbeat_ms,
        .timeout_ms = options->timeout_ms,
        .own_address = options->own_address,
        .address = address_from_ip4(htonl(options->address_ip4)),
        .secrets = options->secret,
        .secret_count = options->secrets,
    };
    find_peers(server);
    return 0;
}

static void stop_replication(void *subject)
{
    name_lookup_destroy(((struct server *)subject)->primary);
}

/* Where replication has a network of its own, this node's address there; else nothing. */
static const char *own_network(const struct options *options, const char *before, char out[32])
{
    bool port = options->nics > 0 && options->nic[options->nics - 1].for_replication;
    struct in_addr ip4 = {
        .s_addr = htonl(port ? options->nic[options->nics - 1].ip4 : options->replication.address_ip4)};
    char address[INET_ADDRSTRLEN];

    out[0] = '\0';
    if (port || options->replication.own_address)
        snprintf(out, 32, "%s %s", before, inet_ntop(AF_INET, &ip4, address, sizeof address));
    return out;
}

static void log_replication(const struct server *server)
{
    const struct replication_options *options = &server->options->replication;
    char own[32];

    if (options->mode == MODE_PRIMARY)
        logger_line(&server->logger, LOG_LEVEL_INFO, "primary: replicas connect to port %u%s (%s)%s",
                    options->port, own_network(server->options, " of", own),
                    node_replication_tier(server->node),
                    options->min_replicas > 0 ? "; writes wait for them" : "");
    if (options->mode == MODE_REPLICA)
        logger_line(&server->logger, LOG_LEVEL_INFO, "replica %s: follows %s:%u%s (%s)", server->name,
                    options->primary_address, options->primary_port,
                    own_network(server->options, " from", own), node_replication_tier(server->node));
}

static int start_node(void *subject, char *error, size_t error_bytes)
{
    struct server *server = subject;
    const struct options *options = server->options;
    struct node_config *config = &server->config;

    config->workers = server->eal.workers;
    config->ports = options->nics;
    config->gateway_ip4 = options->gateway_ip4;
    config->udp_port = options->port;
    config->evict = options->evict;
    config->http_off = options->http_off;
    config->http_hosts = options->http_host;
    config->http_host_count = options->http_hosts;
    config->version = WILD_VERSION;
    choose_sessions(server);
    config->secrets = options->secret;
    config->secret_count = options->secrets;
    config->cluster_name = options->cluster_name;
    config->pool = server->pool;
    config->logger = server->logger;
    config->numa_node = (int)rte_lcore_to_socket_id(server->eal.worker_lcore[0]);
    config->huge_pages = !server->eal.huge_pages_refused;
    config->capacity = capacity_choose(options->capacity, "/sys", server->eal.worker_cpu, server->eal.workers,
                                       &server->logger);
    if (capacity_check(config->capacity, config->workers, config->huge_pages, "/proc/meminfo", error,
                       error_bytes) != 0)
        return -1;
    if (options->secrets == 0)
        logger_line(&server->logger, LOG_LEVEL_WARNING,
                    "no secret (--insecure-no-auth): whoever reaches the port may do everything");
    if (node_start(&server->node, config, clock_now(&server->clock), error, error_bytes) != 0)
        return -1;
    options_wipe(server->options);
    log_replication(server);
    return 0;
}

static void stop_node(void *subject)
{
    node_stop(((struct server *)subject)->node);
}

static int start_lcores(void *subject, char *error, size_t error_bytes)
{
    struct server *server = subject;

    server->lcores.node = server->node;
    server->lcores.eal = &server->eal;
    server->lcores.clock = &server->clock;
    server->lcores.idle = server->options->idle;
    server->lcores.kernel = server->config.kernel != NULL;
    server->lcores.log = server->folder != NULL;
    server->lcores.log_wake_fd = server->folder != NULL ? disk_folder_wake_fd(server->folder) : -1;
    return lcores_start(&server->lcores, error, error_bytes);
}

static void stop_lcores(void *subject)
{
    struct server *server = subject;

    lcores_stop(&server->lcores);
    server->lost = node_lost_changes(server->node);
}

/* Before the lcores run: they end first, and a node that recovers or drains is asked, too. */
static int start_control_socket(void *subject, char *error, size_t error_bytes)
{
    struct server *server = subject;
    struct control_answers answers = control_commands(server->node);

    if (server->options->control_socket[0] == '\0')
        return 0;
    return control_socket_open(&server->control, server->options->control_socket, &answers, error,
                               error_bytes);
}

static void stop_control_socket(void *subject)
{
    struct server *server = subject;

    node_order_close(server->node); /* whoever waits for an order's end is let go */
    control_socket_close(server->control);
}

static const struct startup_step steps[] = {
    {"environment", start_eal, stop_eal},
    {"packet buffers", start_pool, stop_pool},
    {"ports", start_ports, stop_ports},
    {"log folder", start_folder, stop_folder},
    {"replication", start_replication, stop_replication},
    {"node", start_node, stop_node},
    {"control socket", start_control_socket, stop_control_socket},
    {"lcores", start_lcores, stop_lcores},
};

static int print_ready(const struct server *server, FILE *out, char *error, size_t error_bytes)
{
    const struct options *options = server->options;
    struct in_addr ip4 = {.s_addr = htonl(options->nics == 0 ? options->bind_ip4 : options->nic[0].ip4)};
    char address[INET_ADDRSTRLEN];
    struct node_facts facts;

    node_facts(server->node, &facts);
    capacity_log(&facts.table, "/sys", server->eal.worker_cpu, server->eal.workers, &server->logger);
    inet_ntop(AF_INET, &ip4, address, sizeof address);
    fprintf(out, "ready %s:%u mode=%s capacity=%llu lsn=%llu epoch=%u", address, options->port, facts.mode,
            (unsigned long long)facts.table.capacity, (unsigned long long)facts.lsn, facts.epoch);
    /* A replica answers from the start, and serves once it has what its primary has. */
    if (options->replication.mode == MODE_REPLICA)
        fprintf(out, " state=%s", facts.state);
    fprintf(out, "\n");
    if (fflush(out) == 0 && !ferror(out))
        return 0;
    /* Who waits for that line would wait for ever. */
    snprintf(error, error_bytes, "cannot write the ready line to stdout: %s", strerror(errno));
    return -1;
}

/* From the log's replay to the signal that ends it all. */
static int serve(struct server *server, int signals, FILE *out, char *error, size_t error_bytes)
{
    switch (lcores_recover(&server->lcores, signals, &server->logger, error, error_bytes)) {
    case LCORES_REFUSED:
        return -1;
    case LCORES_TOLD:
        return 0;
    case LCORES_READY:
        break;
    }
    if (print_ready(server, out, error, error_bytes) != 0)
        return -1;
    lcores_control(&server->lcores, signals, &server->logger);
    logger_line(&server->logger, LOG_LEVEL_INFO, "stopping: answering what was received");
    return 0;
}

int server_run(struct options *options, int signals, FILE *out, char *error, size_t error_bytes)
{
    struct server *server = aligned_alloc(_Alignof(struct server), sizeof *server);
    unsigned done;
    int failed;

    if (server == NULL || keys_start() != 0) {
        snprintf(error, error_bytes, "not enough memory, or libsodium does not start");
        options_wipe(options);
        free(server);
        return -1;
    }
    memset(server, 0, sizeof *server);
    server->options = options;
    server->logger = (struct logger){.out = stderr, .level = options->log_level};
    server->config.random = random_system();
    failed = startup_run(steps, sizeof steps / sizeof steps[0], server, &done, error, error_bytes);
    options_wipe(options);
    if (failed == 0) {
        failed = serve(server, signals, out, error, error_bytes);
        startup_undo(steps, server, &done);
        if (failed == 0 && server->lost) {
            snprintf(error, error_bytes, "the last writes were acknowledged and are not on the disk");
            failed = -1;
        }
    }
    free(server);
    return failed;
}
