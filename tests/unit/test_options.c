/*
 * test_options.c - what the operator may ask for, and the one line that answers everything else.
 */
#include "options.h"

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "suite.h"

static struct options options;
static char error[OPTIONS_ERROR_BYTES], printed[8192];
static char words[32][160], *argv[33], environment[160], *environ_list[3];
static int argc;

/* Splits `line` at spaces and parses it; `env` is the value of WILD_AUTH_SECRET or NULL, `other` another entry. */
static enum options_outcome parse_in(const char *line, const char *env, char *other)
{
    char copy[1024], *save = NULL;
    FILE *print;
    enum options_outcome outcome;

    snprintf(copy, sizeof copy, "wild %s", line);
    argc = 0;
    for (char *word = strtok_r(copy, " ", &save); word != NULL; word = strtok_r(NULL, " ", &save)) {
        snprintf(words[argc], sizeof words[argc], "%s", word);
        argv[argc] = words[argc];
        argc++;
    }
    argv[argc] = NULL;
    snprintf(environment, sizeof environment, "WILD_AUTH_SECRET=%s", env != NULL ? env : "");
    environ_list[0] = env != NULL ? environment : other;
    environ_list[1] = env != NULL ? other : NULL;
    environ_list[2] = NULL;
    memset(printed, 0, sizeof printed);
    print = fmemopen(printed, sizeof printed - 1, "w");
    outcome = options_parse(&options, argc, argv, environ_list, print, error);
    fclose(print);
    return outcome;
}

static enum options_outcome parse_with(const char *line, const char *env)
{
    return parse_in(line, env, NULL);
}

static enum options_outcome parse(const char *line)
{
    return parse_with(line, NULL);
}

static const char *write_file(const char *text, mode_t mode)
{
    static char path[64];
    int fd;

    snprintf(path, sizeof path, "/tmp/wild-options-%d", (int)getpid());
    unlink(path);
    fd = open(path, O_CREAT | O_EXCL | O_WRONLY, mode);
    CU_ASSERT_FATAL(fd >= 0);
    CU_ASSERT_FATAL(write(fd, text, strlen(text)) == (ssize_t)strlen(text));
    close(fd);
    return path;
}

#define A_KEY "00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff"

static void defaults_need_only_a_secret(void)
{
    CU_ASSERT_EQUAL(parse("--auth-secret s3"), OPTIONS_RUN);
    CU_ASSERT_EQUAL(options.nics, 0); /* kernel sockets */
    CU_ASSERT_TRUE(options.kernel_by_default);
    CU_ASSERT_EQUAL(options.bind_ip4, 0x7F000001); /* nothing is exposed that nobody asked to expose */
    CU_ASSERT_EQUAL(options.port, 7878);
    CU_ASSERT_EQUAL(options.workers, 0);
    CU_ASSERT_EQUAL(options.idle, IDLE_ADAPTIVE);
    CU_ASSERT_EQUAL(options.capacity, 0);
    CU_ASSERT_EQUAL(options.evict, EVICT_NONE);
    CU_ASSERT_STRING_EQUAL(options.cluster_name, "wild");
    CU_ASSERT_EQUAL(options.sessions, 0); /* as many as may be */
    CU_ASSERT_EQUAL(options.secrets, 1);
    CU_ASSERT_EQUAL(options.secret[0].length, 2);
    CU_ASSERT_FALSE(options.log.enabled);
}

static void a_log_is_safe_unless_asked_otherwise(void)
{
    CU_ASSERT_EQUAL(parse("--auth-secret s3 --enable-wal --wal-path /data/w"), OPTIONS_RUN);
    CU_ASSERT_TRUE(options.log.enabled);
    CU_ASSERT_STRING_EQUAL(options.log.path, "/data/w");
    CU_ASSERT_FALSE(options.log.async);
    CU_ASSERT_FALSE(options.log.reads_memory);
    CU_ASSERT_EQUAL(options.log.snapshot_interval_s, 3600);
    CU_ASSERT_EQUAL(options.log.snapshot_mib, 256);
    CU_ASSERT_EQUAL(options.log.io, DISK_QUEUE_THREAD);
    CU_ASSERT_EQUAL(
        parse(
            "--auth-secret s3 --enable-wal --wal-path w --durability async --reads memory --snapshot-interval "
            "60 --snapshot-log 0 --wal-io uring"),
        OPTIONS_RUN);
    CU_ASSERT_TRUE(options.log.async);
    CU_ASSERT_TRUE(options.log.reads_memory);
    CU_ASSERT_EQUAL(options.log.snapshot_interval_s, 60);
    CU_ASSERT_EQUAL(options.log.snapshot_mib, 0);
    CU_ASSERT_EQUAL(options.log.io, DISK_QUEUE_URING);
}

#define PRIMARY "--auth-secret s3 --mode primary --enable-wal --wal-path w "
#define REPLICA "--auth-secret s3 --mode replica --primary-address p.example.com "

#define KEEPER REPLICA "--enable-wal --wal-path w " /* a replica with a log */

/* It may become a primary: what it does then is known from the start. */
static void a_replica_with_a_log_has_a_primary_s_options_too(void)
{
    const struct replication_options *replication = &options.replication;

    CU_ASSERT_EQUAL(parse(KEEPER), OPTIONS_RUN);
    CU_ASSERT_EQUAL(replication->mode, MODE_REPLICA);
    CU_ASSERT(options.log.enabled && !options.log.async);
    CU_ASSERT_STRING_EQUAL(options.log.path, "w");
    CU_ASSERT_EQUAL(replication->port, 9001);
    CU_ASSERT_EQUAL(
        parse(KEEPER "--durability async --snapshot-interval 60 --snapshot-log 64 --wal-io uring"),
        OPTIONS_RUN);
    CU_ASSERT(options.log.async && options.log.snapshot_mib == 64);
    CU_ASSERT_EQUAL(parse(KEEPER
                          "--replication-port 9002 --min-replicas 1 --replica-ack applied --heartbeat-ms 20 "
                          "--replication-timeout-ms 60 --peer 198.18.0.3:9003"),
                    OPTIONS_RUN);
    CU_ASSERT_EQUAL(replication->port, 9002);
    CU_ASSERT_EQUAL(replication->min_replicas, 1);
    CU_ASSERT(replication->ack_applied && replication->heartbeat_ms == 20 && replication->timeout_ms == 60);
    CU_ASSERT_EQUAL(replication->peers, 1);
}

static void writes_may_wait_for_what_replicas_have_on_disk(void)
{
    CU_ASSERT_EQUAL(parse(PRIMARY "--min-replicas 1"), OPTIONS_RUN);
    CU_ASSERT_FALSE(options.replication.ack_applied);
    CU_ASSERT_EQUAL(parse(PRIMARY "--min-replicas 1 --replica-ack durable"), OPTIONS_RUN);
    CU_ASSERT_FALSE(options.replication.ack_applied);
}

static void peers_are_hosts_and_ports(void)
{
    const struct replication_options *replication = &options.replication;
    char line[256];

    CU_ASSERT_EQUAL(parse(PRIMARY), OPTIONS_RUN);
    CU_ASSERT_EQUAL(replication->peers, 0);
    CU_ASSERT_EQUAL(parse(PRIMARY "--peer db2.example.com:9001 --peer=198.18.0.3:65535 --peer 198.18.0.3:1"),
                    OPTIONS_RUN);
    CU_ASSERT_EQUAL_FATAL(replication->peers, 3);
    CU_ASSERT_STRING_EQUAL(replication->peer[0].host, "db2.example.com");
    CU_ASSERT_EQUAL(replication->peer[0].port, 9001);
    CU_ASSERT_STRING_EQUAL(replication->peer[1].host, "198.18.0.3");
    CU_ASSERT_EQUAL(replication->peer[1].port, 65535);
    snprintf(line, sizeof line, PRIMARY "--config %s", write_file("peer = a:1\npeer = b:2\n", 0600));
    CU_ASSERT_EQUAL(parse(line), OPTIONS_RUN);
    CU_ASSERT_EQUAL(replication->peers, 2);
    strcat(line, " --peer c:3"); /* in the place of the file's */
    CU_ASSERT_EQUAL(parse(line), OPTIONS_RUN);
    CU_ASSERT_EQUAL(replication->peers, 1);
    CU_ASSERT_STRING_EQUAL(replication->peer[0].host, "c");
}

static void a_node_stands_alone_leads_or_follows(void)
{
    const struct replication_options *replication = &options.replication;

    CU_ASSERT_EQUAL(parse("--auth-secret s3"), OPTIONS_RUN);
    CU_ASSERT_EQUAL(replication->mode, MODE_STANDALONE);
    CU_ASSERT_EQUAL(parse("--auth-secret s3 --mode standalone"), OPTIONS_RUN);
    CU_ASSERT_EQUAL(parse(PRIMARY), OPTIONS_RUN);
    CU_ASSERT_EQUAL(replication->mode, MODE_PRIMARY);
    CU_ASSERT_EQUAL(replication->port, 9001);
    CU_ASSERT_EQUAL(replication->min_replicas, 0);
    CU_ASSERT_FALSE(replication->ack_applied);
    CU_ASSERT_EQUAL(replication->heartbeat_ms, 100);
    CU_ASSERT_EQUAL(replication->timeout_ms, 1000);
    CU_ASSERT_EQUAL(parse(PRIMARY
                          "--replication-port 9002 --min-replicas 2 --replica-ack applied --heartbeat-ms 20 "
                          "--replication-timeout-ms 60"),
                    OPTIONS_RUN);
    CU_ASSERT_EQUAL(replication->port, 9002);
    CU_ASSERT_EQUAL(replication->min_replicas, 2);
    CU_ASSERT_TRUE(replication->ack_applied);
    CU_ASSERT_EQUAL(replication->heartbeat_ms, 20);
    CU_ASSERT_EQUAL(replication->timeout_ms, 60);
    CU_ASSERT_EQUAL(parse(REPLICA), OPTIONS_RUN);
    CU_ASSERT_EQUAL(replication->mode, MODE_REPLICA);
    CU_ASSERT_STRING_EQUAL(replication->primary_address, "p.example.com");
    CU_ASSERT_EQUAL(replication->primary_port, 9001);
    CU_ASSERT_STRING_EQUAL(replication->name, "");
    CU_ASSERT_EQUAL(parse(REPLICA "--primary-port 9002 --reads memory"), OPTIONS_RUN);
    CU_ASSERT_EQUAL(replication->primary_port, 9002);
    CU_ASSERT_TRUE(options.log.reads_memory);
}

static void a_node_has_the_name_that_the_environment_gives_it(void)
{
    char name[] = "WILD_REPLICA_ID=replica1", other[] = "WILD_REPLICA_IDS=x", blank[] = "WILD_REPLICA_ID=a b";
    char empty[] = "WILD_REPLICA_ID=";

    CU_ASSERT_EQUAL(parse_in("--mode replica --primary-address 198.18.0.1", "s3", name), OPTIONS_RUN);
    CU_ASSERT_STRING_EQUAL(options.replication.name, "replica1");
    CU_ASSERT_EQUAL(parse_in("", "s3", other), OPTIONS_RUN);
    CU_ASSERT_STRING_EQUAL(options.replication.name, "");
    CU_ASSERT_EQUAL(parse_in("", "s3", blank), OPTIONS_WRONG);
    CU_ASSERT_PTR_NOT_NULL(strstr(error, "WILD_REPLICA_ID takes"));
    CU_ASSERT_EQUAL(parse_in("", "s3", empty), OPTIONS_WRONG);
}

static void replication_has_its_own_secret_if_it_is_given_one(void)
{
    char line[256];

    snprintf(line, sizeof line, REPLICA "--replication-secret-file %s", write_file("between-nodes\n", 0600));
    CU_ASSERT_EQUAL(parse(line), OPTIONS_RUN);
    CU_ASSERT_EQUAL(options.secrets, 1);
    CU_ASSERT_EQUAL(options.replication.secrets, 1);
    CU_ASSERT_EQUAL(options.replication.secret[0].length, 13);
    CU_ASSERT_EQUAL(memcmp(options.replication.secret[0].text, "between-nodes", 13), 0);
    options_wipe(&options);
    CU_ASSERT_EQUAL(options.replication.secrets, 0);
    CU_ASSERT_EQUAL(options.replication.secret[0].text[0], '\0');
    snprintf(line, sizeof line, REPLICA "--replication-secret-file %s", write_file("between-nodes\n", 0644));
    CU_ASSERT_EQUAL(parse(line), OPTIONS_WRONG);
}

#define PORTS "--nic pci:01:00.0 --address 198.18.0.1/24 "

static void replication_has_a_port_or_an_address_of_its_own_if_it_is_given_one(void)
{
    CU_ASSERT_EQUAL(parse(PRIMARY PORTS), OPTIONS_RUN);
    CU_ASSERT_EQUAL(options.nics, 1);
    CU_ASSERT_FALSE(options.nic[0].for_replication);
    CU_ASSERT_EQUAL(parse(PRIMARY "--replication-address 198.18.1.1/28 --replication-nic af_packet:r0 " PORTS
                                  "--nic tap:t --address 198.18.2.1/24 --gateway 198.18.1.14"),
                    OPTIONS_RUN);
    CU_ASSERT_EQUAL(options.nics, 3);
    CU_ASSERT_FALSE(options.nic[0].for_replication || options.nic[1].for_replication);
    CU_ASSERT_TRUE(options.nic[2].for_replication); /* the last one, whatever stood first */
    CU_ASSERT_EQUAL(options.nic[2].kind, NIC_AF_PACKET);
    CU_ASSERT_STRING_EQUAL(options.nic[2].name, "r0");
    CU_ASSERT_EQUAL(options.nic[2].ip4, 0xC6120101);
    CU_ASSERT_EQUAL(options.nic[2].prefix_length, 28);
    CU_ASSERT_STRING_EQUAL(nic_option_name(&options.nic[2]), "replication-nic");
    CU_ASSERT_STRING_EQUAL(nic_option_name(&options.nic[0]), "nic");
    CU_ASSERT_FALSE(options.replication.own_address); /* that is a socket's */
    CU_ASSERT_EQUAL(parse(REPLICA PORTS "--replication-nic tap:r --replication-address 198.18.1.2/24"),
                    OPTIONS_RUN);
    CU_ASSERT_EQUAL(options.nics, 2);

    CU_ASSERT_EQUAL(parse(PRIMARY "--replication-address 127.0.0.2"), OPTIONS_RUN);
    CU_ASSERT_EQUAL(options.nics, 0);
    CU_ASSERT_TRUE(options.replication.own_address);
    CU_ASSERT_EQUAL(options.replication.address_ip4, 0x7F000002);
    CU_ASSERT_EQUAL(parse(PRIMARY "--nic kernel --replication-address 0.0.0.0"), OPTIONS_RUN);
    CU_ASSERT_TRUE(options.replication.own_address);
    CU_ASSERT_EQUAL(options.replication.address_ip4, 0);
    CU_ASSERT_EQUAL(parse(REPLICA "--replication-address 192.0.2.9"), OPTIONS_RUN);
    CU_ASSERT_EQUAL(options.replication.address_ip4, 0xC0000209);
    CU_ASSERT_EQUAL(parse(REPLICA), OPTIONS_RUN);
    CU_ASSERT_FALSE(options.replication.own_address);
}

static void the_file_names_replications_port_and_the_command_line_another(void)
{
    char line[200];

    snprintf(line, sizeof line, PRIMARY "--config %s",
             write_file("nic = tap:c\naddress = 198.18.0.1/24\nreplication-nic = tap:r\n"
                        "replication-address = 198.18.1.1/24\n",
                        0600));
    CU_ASSERT_EQUAL(parse(line), OPTIONS_RUN);
    CU_ASSERT_STRING_EQUAL(options.nic[1].name, "r");
    CU_ASSERT_TRUE(options.nic[1].for_replication);
    strcat(line, " --replication-nic memif:/s --replication-address 198.18.2.1/24");
    CU_ASSERT_EQUAL(parse(line), OPTIONS_RUN);
    CU_ASSERT_EQUAL(options.nics, 2);
    CU_ASSERT_EQUAL(options.nic[1].kind, NIC_MEMIF);
    CU_ASSERT_EQUAL(options.nic[1].ip4, 0xC6120201);
    unlink(write_file("", 0600));
}

static void every_option_is_understood(void)
{
    CU_ASSERT_EQUAL(
        parse("--nic tap:a --nic=af_packet:b --address 198.18.0.1/24 --address 198.19.0.1/16 "
              "--gateway 198.19.3.4 --port 9 --workers 3 --idle poll --capacity 12345 --evict clock "
              "--auth-secret=x --cluster-name c --sessions 100 --log-level debug -- -l 0,1 --no-huge"),
        OPTIONS_RUN);
    CU_ASSERT_STRING_EQUAL(error, "");
    CU_ASSERT_EQUAL(options.nics, 2);
    CU_ASSERT_EQUAL(options.nic[1].kind, NIC_AF_PACKET);
    CU_ASSERT_STRING_EQUAL(options.nic[1].name, "b");
    CU_ASSERT_EQUAL(options.nic[1].ip4, 0xC6130001);
    CU_ASSERT_EQUAL(options.nic[1].prefix_length, 16);
    CU_ASSERT_EQUAL(options.gateway_ip4, 0xC6130304);
    CU_ASSERT_EQUAL(options.port, 9);
    CU_ASSERT_EQUAL(options.workers, 3);
    CU_ASSERT_EQUAL(options.idle, IDLE_POLL);
    CU_ASSERT_EQUAL(options.capacity, 12345);
    CU_ASSERT_EQUAL(options.evict, EVICT_CLOCK);
    CU_ASSERT_STRING_EQUAL(options.cluster_name, "c");
    CU_ASSERT_EQUAL(options.sessions, 128);
    CU_ASSERT_EQUAL(options.log_level, LOG_LEVEL_DEBUG);
    CU_ASSERT_EQUAL_FATAL(options.eals, 3);
    CU_ASSERT_STRING_EQUAL(options.eal[0], "-l");
    CU_ASSERT_STRING_EQUAL(options.eal[2], "--no-huge");
    CU_ASSERT_EQUAL(parse("--insecure-no-auth --nic memif:/run/w.sock --address 198.18.0.1/24"), OPTIONS_RUN);
    CU_ASSERT_TRUE(options.insecure_no_auth);
    CU_ASSERT_EQUAL(options.nic[0].kind, NIC_MEMIF);
    CU_ASSERT_EQUAL(parse("--insecure-no-auth --nic pci:0000:00:1f.2 --address 198.18.0.1/24"), OPTIONS_RUN);
    CU_ASSERT_STRING_EQUAL(options.nic[0].name, "0000:00:1f.2");
    CU_ASSERT_EQUAL(parse("--insecure-no-auth --nic port:0 --address 198.18.0.1/24 -- --vdev net_null0"),
                    OPTIONS_RUN);
}

static void kernel_sockets_are_asked_for_or_come_by_default(void)
{
    CU_ASSERT_EQUAL(parse("--auth-secret x --nic kernel --bind-address 192.0.2.7"), OPTIONS_RUN);
    CU_ASSERT_EQUAL(options.nics, 0);
    CU_ASSERT_FALSE(options.kernel_by_default);
    CU_ASSERT_EQUAL(options.bind_ip4, 0xC0000207);
    CU_ASSERT_EQUAL(parse("--auth-secret x --bind-address 0.0.0.0"), OPTIONS_RUN);
    CU_ASSERT_TRUE(options.kernel_by_default);
    CU_ASSERT_EQUAL(options.bind_ip4, 0);
}

static void an_address_without_a_nic_is_that_of_whatever_is_bound_to_dpdk(void)
{
    CU_ASSERT_EQUAL(parse("--auth-secret x --address 198.18.0.1/24 --address 198.19.0.1/16"), OPTIONS_RUN);
    CU_ASSERT_EQUAL(options.nics, 2);
    for (unsigned i = 0; i < 2; i++) {
        CU_ASSERT_EQUAL(options.nic[i].kind, NIC_PCI);
        CU_ASSERT_STRING_EQUAL(options.nic[i].name, "");
    }
    CU_ASSERT_EQUAL(options.nic[1].ip4, 0xC6130001);
    CU_ASSERT_EQUAL(options.nic[1].prefix_length, 16);
}

static void what_is_wrong_is_refused_in_one_line(void)
{
    static const struct {
        const char *line, *says;
    } cases[] = {
        {"", "a secret is needed"},
        {"--insecure-no-auth --auth-secret x", "contradict"},
        {"--auth-secret x --insecure-no-auth", "contradict"},
        {"--auth-secret x --leader yes", "unknown option '--leader'"},
        {"--auth-secret x --enable-wal", "--enable-wal needs --wal-path"},
        {"--auth-secret x --enable-wal --wal-path=", "--wal-path takes"},
        {"--auth-secret x --wal-path w", "--wal-path is of no use without --enable-wal"},
        {"--auth-secret x --durability sync", "--durability is of no use without --enable-wal"},
        {"--auth-secret x --enable-wal --wal-path w --durability maybe", "--durability takes sync|async"},
        {"--auth-secret x --enable-wal --wal-path w --durability async --reads durable",
         "--reads durable needs"},
        {"--auth-secret x --enable-wal --wal-path w --reads dirty", "--reads takes"},
        {"--auth-secret x --enable-wal --wal-path w --snapshot-interval -1", "--snapshot-interval takes"},
        {"--auth-secret x --enable-wal --wal-path w --snapshot-log 9999999", "--snapshot-log takes"},
        {"--auth-secret x --enable-wal --wal-path w --wal-io sync", "--wal-io takes thread|uring"},
        {"--auth-secret x --por 7", "unknown option '--por'"},
        {"--auth-secret x -p 7", "'-p' is not an option"},
        {"--auth-secret x stray", "'stray' is not an option"},
        {"--auth-secret", "--auth-secret needs a value"},
        {"--auth-secret x --auth-secret y", "given twice"},
        {"--auth-secret x --auth-secret-file /nowhere", "contradict"},
        {"--auth-secret-file /nowhere/at/all", "/nowhere/at/all"},
        {"--auth-secret wild1:0123", "the secret is damaged"},
        {"--auth-secret wild2:0123", "a kind that this version does not know"},
        {"--auth-secret wildc1:" A_KEY, "a client's token"},
        {"--auth-secret x --port 0", "--port takes a number"},
        {"--auth-secret x --port 65536", "--port takes a number"},
        {"--auth-secret x --port -1", "--port takes a number"},
        {"--auth-secret x --port 7x", "--port takes a number"},
        {"--auth-secret x --port 7 --port 7", "--port is given twice"},
        {"--auth-secret x --workers 65", "--workers takes a number"},
        {"--auth-secret x --workers 0", "--workers takes a number"},
        {"--auth-secret x --capacity 63", "--capacity takes a number"},
        {"--auth-secret x --capacity 1073741825", "--capacity takes a number"},
        {"--auth-secret x --capacity 99999999999999999999", "--capacity takes a number"},
        {"--auth-secret x --evict lru", "--evict takes none|clock"},
        {"--auth-secret x --idle sleep", "--idle takes poll|adaptive"},
        {"--auth-secret x --log-level loud", "--log-level takes"},
        {"--auth-secret x --sessions 1", "--sessions takes"},
        {"--auth-secret x --cluster-name=", "--cluster-name takes"},
        {"--auth-secret x --nic wlan0", "--nic takes"},
        {"--auth-secret x --nic kernel:", "--nic takes"},
        {"--auth-secret x --nic kernel --nic kernel", "goes alone"},
        {"--auth-secret x --nic kernel --nic tap:a", "goes alone"},
        {"--auth-secret x --nic tap:a --nic kernel", "goes alone"},
        {"--auth-secret x --nic kernel --address 198.18.0.1/24", "kernel sockets take --bind-address"},
        {"--auth-secret x --nic kernel --gateway 198.18.0.1", "the kernel's routes"},
        {"--auth-secret x --nic tap:a --address 198.18.0.1/24 --bind-address 0.0.0.0", "takes --address"},
        {"--auth-secret x --address 198.18.0.1/24 --bind-address 0.0.0.0", "takes --address"},
        {"--auth-secret x --bind-address localhost", "--bind-address takes"},
        {"--auth-secret x --bind-address 224.0.0.1", "no machine's address"},
        {"--auth-secret x --bind-address 255.255.255.255", "no machine's address"},
        {"--auth-secret x --nic tap:", "not a name"},
        {"--auth-secret x --nic tap:a,b=c", "not a name"},
        {"--auth-secret x --nic tap:wild%d", "not a name"},
        {"--auth-secret x --nic af_packet:a/b", "not a name"},
        {"--auth-secret x --log-level loud", "error|warning|info|debug"},
        {"--auth-secret x --config /", "Is a directory"},
        {"--auth-secret x --nic tap:sixteen-letters-", "not a name"},
        {"--auth-secret x --nic port:x", "not a name"},
        {"--auth-secret x --nic port:0 --address 198.18.0.1/24", "raw EAL arguments"},
        {"--auth-secret x --nic tap:a", "1 ports but 0 addresses"},
        {"--auth-secret x --nic tap:a --address 198.18.0.1/24 --address 198.18.1.1/24", "1 ports but 2"},
        {"--auth-secret x --nic tap:a --nic tap:a", "given twice"},
        {"--auth-secret x --nic tap:a --nic tap:b --address 198.18.0.1/24 --address 198.18.0.1/25", "same"},
        {"--auth-secret x --nic tap:a --nic tap:b --nic tap:c --nic tap:d --nic tap:e", "at most 4 ports"},
        {"--auth-secret x --address 198.18.0.1", "--address takes"},
        {"--auth-secret x --address 198.18.0.1/33", "--address takes"},
        {"--auth-secret x --address 198.18.0.0/24", "--address takes"},
        {"--auth-secret x --address 198.18.0.255/24", "--address takes"},
        {"--auth-secret x --address 127.0.0.1/8", "--address takes"},
        {"--auth-secret x --address 224.0.0.1/4", "--address takes"},
        {"--auth-secret x --address 0.0.0.1/8", "--address takes"},
        {"--auth-secret x --address 198.18.0.1/24x", "--address takes"},
        {"--auth-secret x --gateway 198.18.1.1", "the kernel's routes"},
        {"--auth-secret x --address 198.18.0.1/24 --gateway 198.18.1.1", "no port's network"},
        {"--auth-secret x --address 198.18.0.1/24 --gateway 198.18.0.1", "own --address"},
        {"--auth-secret x --gateway gw", "--gateway takes"},
        {"--auth-secret x --insecure-no-auth=1", "takes no value"},
        {"--auth-secret x --config /nowhere/at/all", "/nowhere/at/all"},
        {"--auth-secret x --mode leader", "--mode takes standalone|primary|replica"},
        {"--auth-secret x --mode primary", "--enable-wal"},
        {"--auth-secret x --mode replica", "--primary-address"},
        {"--auth-secret x --primary-address h", "--mode replica"},
        {"--auth-secret x --replication-port 9", "--mode primary"},
        {"--auth-secret x --replication-secret-file /nowhere", "/nowhere"},
        {"--insecure-no-auth --mode replica --primary-address h", "--insecure-no-auth"},
        {"--insecure-no-auth --mode primary --enable-wal --wal-path w", "--insecure-no-auth"},
        {PRIMARY "--primary-address h", "--mode replica"},
        {PRIMARY "--primary-port 9", "--mode replica"},
        {PRIMARY "--replication-port 0", "--replication-port takes"},
        {PRIMARY "--replication-port 9 --port 9", "must differ"},
        {PRIMARY "--min-replicas 65", "--min-replicas takes"},
        {PRIMARY "--min-replicas 1 --durability async", "--durability sync"},
        {PRIMARY "--replica-ack applied", "--min-replicas"},
        {PRIMARY "--min-replicas 1 --replica-ack heard", "--replica-ack takes"},
        {PRIMARY "--heartbeat-ms 9", "--heartbeat-ms takes"},
        {PRIMARY "--heartbeat-ms 400", "3 times"},
        {REPLICA "--durability async", "--enable-wal"},
        {REPLICA "--snapshot-log 64", "--enable-wal"},
        {REPLICA "--replication-port 9002", "a replica's --enable-wal"},
        {REPLICA "--min-replicas 1", "a replica's --enable-wal"},
        {REPLICA "--heartbeat-ms 100", "a replica's --enable-wal"},
        {REPLICA "--peer h:1", "a replica's --enable-wal"},
        {"--auth-secret x --peer h:1", "--mode primary"},
        {KEEPER "--replication-port 9 --port 9", "must differ"},
        {KEEPER "--min-replicas 1 --durability async", "--durability sync"},
        {KEEPER "--replica-ack durable", "--min-replicas"},
        {KEEPER "--heartbeat-ms 400", "3 times"},
        {"--auth-secret s3 --mode replica --enable-wal --wal-path w", "--primary-address"},
        {PRIMARY "--peer h", "--peer takes HOST:PORT"},
        {PRIMARY "--peer :1", "--peer takes HOST:PORT"},
        {PRIMARY "--peer h:", "--peer takes HOST:PORT"},
        {PRIMARY "--peer h:0", "--peer takes HOST:PORT"},
        {PRIMARY "--peer h:65536", "--peer takes HOST:PORT"},
        {PRIMARY "--peer h:1x", "--peer takes HOST:PORT"},
        {PRIMARY "--peer a/b:1", "--peer takes HOST:PORT"},
        {PRIMARY "--peer [::1]:1", "--peer takes HOST:PORT"},
        {PRIMARY "--peer h:1 --peer h:1", "given twice"},
        {PRIMARY "--peer a:1 --peer b:1 --peer c:1 --peer d:1 --peer e:1 --peer f:1 --peer g:1 --peer h:1 "
                 "--peer i:1",
         "at most 8"},
        {"--auth-secret x --replication-nic tap:r", "--mode primary or replica"},
        {"--auth-secret x --replication-address 198.18.1.1/24", "--mode primary or replica"},
        {PRIMARY "--replication-nic tap:r --replication-address 198.18.1.1/24", "beside a DPDK port"},
        {PRIMARY "--nic kernel --replication-nic tap:r", "beside a DPDK port"},
        {PRIMARY "--address 198.18.0.1/24 --replication-nic tap:r", "needs --nic"},
        {PRIMARY "--replication-address 198.18.1.1/24", "has no prefix over kernel sockets"},
        {PRIMARY "--replication-address 198.18.1.0/24", "--replication-address takes"},
        {PRIMARY "--replication-address replicas", "--replication-address takes"},
        {PRIMARY "--replication-address 224.0.0.1", "--replication-address takes"},
        {PRIMARY PORTS "--replication-address 198.18.1.1/24", "needs --replication-nic"},
        {PRIMARY PORTS "--replication-nic tap:r", "needs --replication-address"},
        {PRIMARY PORTS "--replication-nic tap:r --replication-address 198.18.1.1", "ADDRESS/PREFIX"},
        {PRIMARY PORTS "--replication-nic tap:r --replication-address 198.18.0.1/25", "an --address, too"},
        {PRIMARY PORTS "--replication-nic pci:01:00.0 --replication-address 198.18.1.1/24", "the same port"},
        {PRIMARY PORTS "--replication-nic port:1 --replication-address 198.18.1.1/24", "raw EAL arguments"},
        {PRIMARY PORTS "--replication-nic kernel --replication-address 198.18.1.1/24",
         "--replication-nic takes"},
        {PRIMARY PORTS "--replication-nic tap:a,b --replication-address 198.18.1.1/24", "not a name"},
        {PRIMARY PORTS "--replication-nic tap:a --replication-nic tap:b", "given twice"},
        {PRIMARY "--nic tap:a --address 198.18.0.1/24 --nic tap:b --address 198.18.1.1/24 --nic tap:c "
                 "--address 198.18.2.1/24 --nic tap:d --address 198.18.3.1/24 --replication-nic tap:r "
                 "--replication-address 198.18.4.1/24",
         "at most 4 ports"},
        {"--auth-secret x --mode replica --primary-address a/b", "--primary-address takes"},
    };

    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        enum options_outcome outcome = parse(cases[i].line);

        if (outcome != OPTIONS_WRONG || strstr(error, cases[i].says) == NULL || strchr(error, '\n') != NULL) {
            fprintf(stderr, "`%s` gave %d '%s'\n", cases[i].line, (int)outcome, error);
            CU_FAIL("a wrong option is refused");
        }
        CU_ASSERT_EQUAL(options.secrets, 0);
        CU_ASSERT_EQUAL(options.replication.secrets, 0);
    }
}

static void secrets_are_overwritten_where_the_process_list_shows_them(void)
{
    CU_ASSERT_EQUAL(parse("--auth-secret hush-hush --port 7"), OPTIONS_RUN);
    CU_ASSERT_EQUAL(memcmp(words[2], "\0\0\0\0\0\0\0\0\0", 9), 0);
    CU_ASSERT_EQUAL(parse("--auth-secret=hush-hush"), OPTIONS_RUN);
    CU_ASSERT_STRING_EQUAL(words[1], "--auth-secret=");
    CU_ASSERT_EQUAL(parse("--auth-secret hush-hush --port 0"), OPTIONS_WRONG);
    CU_ASSERT_STRING_EQUAL(words[2], "");
    CU_ASSERT_EQUAL(parse_with("", "hush-hush"), OPTIONS_RUN);
    CU_ASSERT_STRING_EQUAL(environment, "WILD_AUTH_SECRET=");
    CU_ASSERT_EQUAL(environment[18], '\0');
    CU_ASSERT_EQUAL(options.secret[0].length, 9);
    CU_ASSERT_EQUAL(memcmp(options.secret[0].text, "hush-hush", 9), 0);
    options_wipe(&options);
    CU_ASSERT_EQUAL(options.secrets, 0);
    CU_ASSERT_EQUAL(options.secret[0].text[0], '\0');
}

static void the_command_line_wins_over_the_environment_and_that_over_the_file(void)
{
    char line[256];

    snprintf(line, sizeof line, "--config %s",
             write_file("auth-secret = from-file\nport = 100\nnic = tap:a\naddress = 198.18.0.9/24\n", 0600));
    CU_ASSERT_EQUAL(parse(line), OPTIONS_RUN);
    CU_ASSERT_EQUAL(options.port, 100);
    CU_ASSERT_EQUAL(memcmp(options.secret[0].text, "from-file", 9), 0);
    CU_ASSERT_EQUAL(parse_with(line, "from-environ"), OPTIONS_RUN);
    CU_ASSERT_EQUAL(options.secrets, 1);
    CU_ASSERT_EQUAL(memcmp(options.secret[0].text, "from-environ", 12), 0);
    strcat(line, " --port 200 --auth-secret from-argv --nic tap:b --nic tap:c");
    CU_ASSERT_EQUAL(parse_with(line, "from-environ"), OPTIONS_WRONG);
    CU_ASSERT_PTR_NOT_NULL(strstr(error, "2 ports but 1 addresses"));
    strcat(line, " --address 198.18.0.1/24 --address 198.18.1.1/24");
    CU_ASSERT_EQUAL(parse_with(line, "from-environ"), OPTIONS_RUN);
    CU_ASSERT_EQUAL(options.port, 200);
    CU_ASSERT_EQUAL(options.nics, 2);
    CU_ASSERT_STRING_EQUAL(options.nic[0].name, "b");
    CU_ASSERT_EQUAL(options.secrets, 1);
    CU_ASSERT_EQUAL(memcmp(options.secret[0].text, "from-argv", 9), 0);
    snprintf(line, sizeof line, "--config %s --auth-secret x --nic tap:c --address 198.18.0.1/24",
             write_file("nic = kernel\n", 0600));
    CU_ASSERT_EQUAL(parse(line), OPTIONS_RUN);
    CU_ASSERT_EQUAL(options.nics, 1);
}

static void the_file_is_checked_like_the_command_line(void)
{
    char line[256], long_line[400];
    static const struct {
        const char *text, *says;
    } cases[] = {
        {"port = 7\nport = 8\n", "line 2: --port is given twice"},
        {"\n# a comment\nprt = 8\n", "line 3: unknown option 'prt'"},
        {"config = x\n", "unknown option 'config'"},
        {"[section]\nport = 7\n", "sections"},
        {"port\n", "line 1: not a `name = value` line"},
        {"insecure-no-auth = maybe\n", "takes true or false"},
    };

    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        snprintf(line, sizeof line, "--auth-secret x --config %s", write_file(cases[i].text, 0600));
        if (parse(line) != OPTIONS_WRONG || strstr(error, cases[i].says) == NULL) {
            fprintf(stderr, "%s gave '%s'\n", cases[i].text, error);
            CU_FAIL("a wrong file is refused");
        }
    }
    memset(long_line, 'a', sizeof long_line - 2);
    memcpy(long_line, "cluster-name = ", 15);
    memcpy(long_line + 398, "\n", 2);
    snprintf(line, sizeof line, "--auth-secret x --config %s", write_file(long_line, 0600));
    CU_ASSERT_EQUAL(parse(line), OPTIONS_WRONG);
    CU_ASSERT_PTR_NOT_NULL(strstr(error, "longer than"));
    snprintf(line, sizeof line, "--config %s", write_file("auth-secret = x\n", 0644));
    CU_ASSERT_EQUAL(parse(line), OPTIONS_WRONG);
    CU_ASSERT_PTR_NOT_NULL(strstr(error, "chmod 600"));
    snprintf(line, sizeof line, "--auth-secret x --config %s",
             write_file("insecure-no-auth = false\n  port = 77\n", 0644));
    CU_ASSERT_EQUAL(parse(line), OPTIONS_RUN);
    CU_ASSERT_EQUAL(options.port, 77);
    snprintf(line, sizeof line, "--config %s", write_file("insecure-no-auth = true\n", 0644));
    CU_ASSERT_EQUAL(parse(line), OPTIONS_RUN);
    CU_ASSERT_TRUE(options.insecure_no_auth);
    strcat(line, " --auth-secret x"); /* a secret from a higher source wins */
    CU_ASSERT_EQUAL(parse(line), OPTIONS_RUN);
    CU_ASSERT_FALSE(options.insecure_no_auth);
}

static void two_secret_files_are_taken_during_a_rotation(void)
{
    char line[256], path[96];

    snprintf(path, sizeof path, "%s.second", write_file("new-secret\n", 0600));
    CU_ASSERT_EQUAL(rename(write_file("new-secret\n", 0600), path), 0);
    snprintf(line, sizeof line, "--auth-secret-file %s --auth-secret-file %s", path,
             write_file("old-secret\n", 0600));
    CU_ASSERT_EQUAL(parse(line), OPTIONS_RUN);
    CU_ASSERT_EQUAL(options.secrets, 2);
    CU_ASSERT_EQUAL(options.secret[0].length, 10);
    CU_ASSERT_EQUAL(memcmp(options.secret[1].text, "old-secret", 10), 0);
    strcat(line, " --auth-secret-file x");
    CU_ASSERT_EQUAL(parse(line), OPTIONS_WRONG);
    CU_ASSERT_EQUAL(chmod(path, 0644), 0);
    snprintf(line, sizeof line, "--auth-secret-file %s", path);
    CU_ASSERT_EQUAL(parse(line), OPTIONS_WRONG);
    unlink(path);
}

static void help_and_version_are_printed(void)
{
    CU_ASSERT_EQUAL(parse("--help"), OPTIONS_DONE);
    CU_ASSERT_PTR_NOT_NULL(strstr(printed, "--auth-secret-file FILE"));
    CU_ASSERT_PTR_NOT_NULL(strstr(printed, "--gateway"));
    CU_ASSERT_EQUAL(parse("--version"), OPTIONS_DONE);
    CU_ASSERT_EQUAL(strncmp(printed, "wild ", 5), 0);
}

int main(void)
{
    CU_TestInfo tests[] = {
#define TEST(name) {#name, name}
        TEST(defaults_need_only_a_secret),
        TEST(a_log_is_safe_unless_asked_otherwise),
        TEST(a_node_stands_alone_leads_or_follows),
        TEST(a_replica_with_a_log_has_a_primary_s_options_too),
        TEST(writes_may_wait_for_what_replicas_have_on_disk),
        TEST(peers_are_hosts_and_ports),
        TEST(a_node_has_the_name_that_the_environment_gives_it),
        TEST(replication_has_its_own_secret_if_it_is_given_one),
        TEST(replication_has_a_port_or_an_address_of_its_own_if_it_is_given_one),
        TEST(the_file_names_replications_port_and_the_command_line_another),
        TEST(every_option_is_understood),
        TEST(kernel_sockets_are_asked_for_or_come_by_default),
        TEST(an_address_without_a_nic_is_that_of_whatever_is_bound_to_dpdk),
        TEST(what_is_wrong_is_refused_in_one_line),
        TEST(secrets_are_overwritten_where_the_process_list_shows_them),
        TEST(the_command_line_wins_over_the_environment_and_that_over_the_file),
        TEST(the_file_is_checked_like_the_command_line),
        TEST(two_secret_files_are_taken_during_a_rotation),
        TEST(help_and_version_are_printed),
        CU_TEST_INFO_NULL,
    };
    return keys_start() == 0 ? suite_run("options", tests) : 1;
}
