/*
 * options_internal.h - the table of options, shared by options.c (where values come from), option_values.c,
 * option_nics.c and option_replication.c (what they mean).
 */
#ifndef WILD_OPTIONS_INTERNAL_H
#define WILD_OPTIONS_INTERNAL_H

#include "options.h"

/* Where a value came from; a higher source replaces a lower one's. */
enum source { SOURCE_NONE, SOURCE_FILE, SOURCE_ENVIRONMENT, SOURCE_COMMAND_LINE };

/* X(identifier, name, argument or NULL for a switch, may be given several times, help) */
#define OPTION_LIST(X)                                                                                        \
    X(nic, "nic", "KIND:NAME", true,                                                                          \
      "port: pci:ADDR af_packet:IF tap:NAME memif:SOCKET port:N, or kernel (default: kernel sockets;"         \
      " with --address the NIC that is bound to DPDK)")                                                       \
    X(address, "address", "CIDR", true, "IPv4 address and prefix of the port, one for each --nic")            \
    X(bind_address, "bind-address", "ADDRESS", false,                                                         \
      "of kernel sockets (default 127.0.0.1: this machine alone; 0.0.0.0: everyone)")                         \
    X(gateway, "gateway", "ADDRESS", false, "router of one of the ports' networks")                           \
    X(port, "port", "N", false, "port of the service (default 7878)")                                         \
    X(workers, "workers", "N", false,                                                                         \
      "workers (default: every core but one; 4 at most over kernel sockets)")                                 \
    X(idle, "idle", "poll|adaptive", false, "what idle workers do: spin, or nap shortly (default adaptive)")  \
    X(capacity, "capacity", "N", false, "one-line items the table holds (default: 75 % of the L3)")           \
    X(evict, "evict", "none|clock", false, "when the table is full: refuse, or evict (default none)")         \
    X(auth_secret, "auth-secret", "TEXT", false, "secret; rather use a file")                                 \
    X(auth_secret_file, "auth-secret-file", "FILE", true,                                                     \
      "file that holds the secret (mode 0600); twice while a secret is being replaced")                       \
    X(insecure_no_auth, "insecure-no-auth", NULL, false,                                                      \
      "for a bench: whoever reaches the port may do everything")                                              \
    X(cluster_name, "cluster-name", "NAME", false, "salt of passphrases (default wild)")                      \
    X(sessions, "sessions", "N", false,                                                                       \
      "client sessions a worker holds (default 4096, or what may be"                                          \
      " locked in memory)")                                                                                   \
    X(connections, "connections", "N", false,                                                                 \
      "TCP connections a worker serves (default 16384, or what may be locked in memory)")                     \
    X(http, "http", "on|off", false, "pages on the same port: /stats /metrics /health (default on)")          \
    X(http_host, "http-host", "NAME", true, "name that pages may be asked for by, besides addresses")         \
    X(enable_wal, "enable-wal", NULL, false,                                                                  \
      "keep a write-ahead log in --wal-path: what was acknowledged survives")                                 \
    X(wal_path, "wal-path", "FOLDER", false, "folder of the log and its snapshots; made if it is not there")  \
    X(durability, "durability", "sync|async", false,                                                          \
      "when a write is acknowledged: on stable storage, or at once (default sync)")                           \
    X(reads, "reads", "durable|memory", false,                                                                \
      "with sync: whether reads wait for what is not on stable storage yet (default durable)")                \
    X(snapshot_interval, "snapshot-interval", "SECONDS", false,                                               \
      "at most so long between snapshots, if anything was written (default 3600; 0: no limit)")               \
    X(snapshot_log, "snapshot-log", "MIB", false,                                                             \
      "a snapshot whenever the log has grown by so much, in whole segments of 64 (default 256; 0: no limit)") \
    X(wal_io, "wal-io", "thread|uring", false,                                                                \
      "how the log is written: by a thread of its own, or by io_uring (default thread)")                      \
    X(mode, "mode", "standalone|primary|replica", false,                                                      \
      "whether other nodes follow this one, or it follows another (default standalone)")                      \
    X(replication_port, "replication-port", "N", false,                                                       \
      "of a primary, or a replica with a log: port that other nodes connect to (default 9001)")               \
    X(primary_address, "primary-address", "HOST", false, "of a replica: the primary's name or address")       \
    X(primary_port, "primary-port", "N", false,                                                               \
      "of a replica: the primary's --replication-port (default 9001)")                                        \
    X(min_replicas, "min-replicas", "N", false,                                                               \
      "of a primary: a write is acknowledged when so many replicas have it, too (default 0)")                 \
    X(replica_ack, "replica-ack", "durable|applied", false,                                                   \
      "with --min-replicas: what counts, a replica's disk or its memory (default durable)")                   \
    X(heartbeat_ms, "heartbeat-ms", "N", false,                                                               \
      "of a primary: replicas hear of it so often when there is nothing else to tell (default 100)")          \
    X(replication_timeout_ms, "replication-timeout-ms", "N", false,                                           \
      "of a primary: after so long without a word the other side is gone (default 1000)")                     \
    X(peer, "peer", "HOST:PORT", true,                                                                        \
      "of a primary, or a replica with a log: another node, asked at the start who leads (8 at most)")        \
    X(replication_secret_file, "replication-secret-file", "FILE", true,                                       \
      "secret between nodes, if it is not the clients'; twice while it is being replaced")                    \
    X(replication_nic, "replication-nic", "KIND:NAME", false,                                                 \
      "port for replication alone, beside those for clients (--nic)")                                         \
    X(replication_address, "replication-address", "CIDR", false,                                              \
      "of --replication-nic; over kernel sockets the ADDRESS that replication listens at, or connects from")  \
    X(control_socket, "control-socket", "PATH", false,                                                        \
      "where `wildctl -s PATH` asks this node; made with mode 0600 (default: nowhere)")                       \
    X(config, "config", "FILE", false, "options as `name = value` lines")                                     \
    X(log_level, "log-level", "error|warning|info|debug", false, "what is logged (default info)")             \
    X(help, "help", NULL, false, "this text")                                                                 \
    X(version, "version", NULL, false, "print the version")

enum option_id {
#define OPTION_ENUM(identifier, name, argument, repeats, help) OPTION_##identifier,
    OPTION_LIST(OPTION_ENUM)
#undef OPTION_ENUM
        OPTION_COUNT
};

struct option_row {
    const char *name, *argument, *help;
    bool repeats;
};

extern const struct option_row option_rows[OPTION_COUNT];

struct parse {
    struct options *out;
    char *error;
    enum source given[OPTION_COUNT]; /* who set the option last */
    enum source source;              /* being read now */
    bool kernel;                     /* --nic kernel */
    unsigned addresses;
    struct {
        uint32_t ip4;
        uint8_t prefix_length;
    } address[NODE_PORTS_MAX];
    struct nic_option replication_nic; /* prefix_length 0: its address was given without one, or not at all */
    const char *config;
    const char *file; /* name of the file being read, for messages; else NULL */
    int file_line;
    bool help, version, file_failed, file_has_secret;
    FILE *stream;
};

/* One line into the caller's error buffer, with the file's name and line if one is being read. Returns -1. */
int option_wrong(struct parse *parse, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* Checks and keeps one value: 0, or -1 with the error. */
int option_set(struct parse *parse, enum option_id id, const char *value);

/* A number, or one of `count` words, for that option: 0, or -1 with the error. */
int option_number(struct parse *parse, enum option_id id, const char *value, uint64_t low, uint64_t high,
                  uint64_t *out);
int option_choice(struct parse *parse, enum option_id id, const char *value, const char *const *choices,
                  unsigned count, unsigned *out);

/* Secrets in force, NODE_SECRETS_MAX at most: the text, or the file's, becomes the next. 0, or -1 with the error. */
struct secret_list {
    struct secret_option *secret;
    unsigned *count;
};
int option_secret(struct parse *parse, struct secret_list list, const char *text);
int option_secret_file(struct parse *parse, struct secret_list list, const char *path);

/* Those of replication: option_set()'s part, 1: it is none of them. WILD_REPLICA_ID. options_check()'s part. */
int option_set_replication(struct parse *parse, enum option_id id, const char *value);
int option_set_replica_id(struct parse *parse, const char *value);
int options_check_replication(struct parse *parse);

/* Those of ports and addresses, likewise. */
int option_set_nics(struct parse *parse, enum option_id id, const char *value);
int options_check_nics(struct parse *parse);

/* What no single option can tell: 0, or -1 with the error. */
int options_check(struct parse *parse);

#endif
