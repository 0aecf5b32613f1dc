/*
 * options.h - what the operator asked for: command line, configuration file and environment in one struct.
 *
 * Every option has one name, used as `--name value` (or `--name=value`) on the command line and as
 * `name = value` in the file given by --config. The command line wins over the environment, which wins over
 * the file; a list (--nic, --address) given on the command line replaces the file's. Unknown options,
 * options given twice and options that contradict each other are refused with one line.
 *
 * Secrets: the bytes are copied out of argv and environ, which are overwritten, so that they do not show in
 * the process list. options_wipe() ends the copies.
 */
#ifndef WILD_OPTIONS_H
#define WILD_OPTIONS_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#include "app_limits.h"
#include "disk_folder.h"
#include "keys.h"
#include "log.h"
#include "message.h"
#include "replication_message.h"
#include "table.h"

enum {
    OPTIONS_ERROR_BYTES = 256,
    NIC_NAME_BYTES = 108,
    CLUSTER_NAME_BYTES = 65,
    HTTP_HOST_NAME_BYTES = 256,
    LOG_PATH_BYTES = 512,
    CONTROL_PATH_BYTES = 108,    /* unix(7): sun_path */
    PRIMARY_ADDRESS_BYTES = 254, /* RFC 1035 2.3.4 */
    PEERS_MAX = 8,
    OPTIONS_EAL_MAX = 32
};

enum nic_kind {
    NIC_TAP,       /* tap:NAME           a TAP interface that wild makes */
    NIC_AF_PACKET, /* af_packet:IF       an interface of the kernel's, shared with it */
    NIC_MEMIF,     /* memif:SOCKET       shared memory with another process */
    NIC_PCI,       /* pci:DDDD:BB:DD.F   a device bound to vfio-pci, or an mlx5 with its kernel driver */
    NIC_PORT,      /* port:N             port N of the raw EAL arguments */
};

struct nic_option {
    enum nic_kind kind;
    char name
        [NIC_NAME_BYTES]; /* what follows the colon; "": a PCI device is still to be found (nic_choose.h) */
    uint32_t ip4;         /* host order; from the --address of the same position */
    uint8_t prefix_length;
    bool for_replication; /* --replication-nic; the last one */
};

/* The option that it was given by, without its dashes. */
const char *nic_option_name(const struct nic_option *nic);

struct secret_option {
    char text[SECRET_TEXT_BYTES_MAX];
    size_t length;
};

/* The write-ahead log. */
struct log_options {
    bool enabled;
    char path[LOG_PATH_BYTES];
    bool async;                                 /* acknowledge before it is on stable storage */
    bool reads_memory;                          /* reads do not wait */
    unsigned snapshot_interval_s, snapshot_mib; /* 0: no such limit */
    enum disk_folder_queue io;
};

/* A node to ask at the start. */
struct peer_option {
    char host[PRIMARY_ADDRESS_BYTES];
    uint16_t port; /* its --replication-port */
};

/* Who leads, who follows. What is a primary's is a replica's with a log, too: it may become one. */
struct replication_options {
    enum mode mode;
    uint16_t port;                               /* primary: where replicas connect */
    uint16_t primary_port;                       /* replica: where it connects */
    char primary_address[PRIMARY_ADDRESS_BYTES]; /* host name or IPv4 address */
    char name[REPLICATION_NAME_BYTES];           /* WILD_REPLICA_ID; "": make one up */
    unsigned min_replicas;                       /* a write waits for so many */
    bool ack_applied;                            /* what is in their memory counts */
    unsigned heartbeat_ms, timeout_ms;
    struct peer_option peer[PEERS_MAX];
    unsigned peers;
    bool own_address;                              /* over kernel sockets: not that of --bind-address, but */
    uint32_t address_ip4;                          /* this one; host order */
    struct secret_option secret[NODE_SECRETS_MAX]; /* between nodes; none: the node's own secrets */
    unsigned secrets;
};

enum idle { IDLE_ADAPTIVE, IDLE_POLL };

struct options {
    struct nic_option nic[NODE_PORTS_MAX];
    unsigned nics;          /* 0: kernel sockets */
    bool kernel_by_default; /* nobody has asked for them */
    uint32_t bind_ip4;      /* host order; of kernel sockets */
    uint32_t gateway_ip4;   /* host order; 0: none */
    uint16_t port;
    unsigned workers; /* 0: every lcore but one */
    enum idle idle;
    uint64_t capacity; /* 0: what fits the L3 */
    enum evict evict;
    struct secret_option secret[NODE_SECRETS_MAX];
    unsigned secrets;
    bool insecure_no_auth;
    char cluster_name[CLUSTER_NAME_BYTES];
    unsigned connections; /* a worker; 0: NODE_CONNECTIONS_DEFAULT, or what may be locked */
    bool http_off;
    const char *http_host[NODE_HTTP_HOSTS_MAX]; /* into http_host_text */
    char http_host_text[NODE_HTTP_HOSTS_MAX][HTTP_HOST_NAME_BYTES];
    unsigned http_hosts;
    unsigned sessions; /* a worker; a power of two; 0: NODE_SESSIONS_DEFAULT, or what may be locked */
    struct log_options log;
    struct replication_options replication;
    char control_socket[CONTROL_PATH_BYTES]; /* "": none */
    enum log_level log_level;
    const char *eal[OPTIONS_EAL_MAX]; /* raw EAL arguments, borrowed from argv */
    unsigned eals;
};

enum options_outcome {
    OPTIONS_RUN,   /* start a node */
    OPTIONS_DONE,  /* --help or --version was printed: exit 0 */
    OPTIONS_WRONG, /* one line in `error`: exit 2 */
};

/*
 * Fills `out`. Overwrites secrets in argv and environ in place. Reads the files that --config and
 * --auth-secret-file name; --help and --version print to `print`.
 */
enum options_outcome options_parse(struct options *out, int argc, char **argv, char **environ_list,
                                   FILE *print, char error[OPTIONS_ERROR_BYTES]);

/* Ends the secrets, those of replication too; the rest stays. */
void options_wipe(struct options *options);

#endif
