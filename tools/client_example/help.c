/*
 * help.c - what wild-client-example says about itself.
 */
#include <stdio.h>

#include "options.h"

static const char general[] =
    "usage: wild-client-example [OPTION]... COMMAND        (COMMAND --help says more about one)\n"
    "\n"
    "one request:\n"
    "  get K                 print the value\n"
    "  set K V               store a value\n"
    "  delete K              remove a key\n"
    "  incr K [N]            add N (1) to a number\n"
    "  touch K MS            let a key expire\n"
    "  flush                 remove every item\n"
    "nodes:\n"
    "  health                how every node is\n"
    "  config-test           reach every configured endpoint, and say what is wrong with each\n"
    "  stats                 what the router knows and has measured\n"
    "tests:\n"
    "  load-test             load, verify every value read, print the figures\n"
    "  verify                hold the node to what it told load-test --journal\n"
    "  replication-test      write through the primary, read every replica until it shows the write\n"
    "\n"
    "which nodes (by default 127.0.0.1:7878; health, config-test, stats and the tests also look for a\n"
    "replica at 127.0.0.1:7879):\n"
    "  --endpoint H:P        one node alone\n"
    "  --primary H:P         where writes go (127.0.0.1:7878); a new primary is learned from the nodes\n"
    "  --replica H:P[,weight=N]\n"
    "                        where reads go; may be given up to 64 times, N (1) is its share of the reads\n"
    "  --read-preference P   replica (default: else the primary), primary, any, nearest\n"
    "  --max-connections-per-endpoint N (10)  --health-check-interval-ms MS (30000)\n"
    "how to talk to them:\n"
    "  --transport tcp|udp   (tcp)\n"
    "  --auth-secret S       the secret; better in a file or in WILD_AUTH_SECRET\n"
    "  --auth-secret-file F  a file that holds it, readable by its owner alone\n"
    "  --insecure-no-auth    the nodes run in bench mode, without a secret\n"
    "  --cluster-name NAME   what passphrases are salted with (wild)\n"
    "  --sealed              over udp: encrypt requests and answers, not only authenticate them\n"
    "                        (over tcp they always are)\n"
    "  --timeout MS          per request, retries included (1000); three times that to connect\n"
    "other:\n"
    "  --config FILE         lines `name = value`: the options above without their dashes (`replica` as\n"
    "                        often as there are replicas; flags: `sealed = true`), except auth-secret\n"
    "  -j, --json            one JSON object on stdout\n"
    "  -h, --help\n"
    "\n"
    "environment: WILD_ENDPOINT, WILD_PRIMARY, WILD_REPLICAS (with blanks between them),\n"
    "WILD_AUTH_SECRET, WILD_AUTH_SECRET_FILE, WILD_CLUSTER_NAME, WILD_READ_PREFERENCE, WILD_TRANSPORT,\n"
    "WILD_CONFIG. The command line wins over the environment, that over the file. What one says about\n"
    "nodes replaces what the weaker ones say about nodes.\n"
    "\n"
    "exit: 0 done, 1 not found or failed, 2 usage\n";

static const char write_options[] =
    "  --if-present          only if there is one, else exit 1\n"
    "  --if-version V        only if the item has this version (-j get shows it), else exit 1\n";

static const struct {
    enum command command;
    const char *usage, *text, *more;
} commands[] = {
    {COMMAND_GET, "get K",
     "Prints the value and a newline. With -j: ok, status, text, version, latency_us and value, or\n"
     "value_hex when it is no UTF-8.\n"
     "exit: 0 printed, 1 no such key, or failed, 2 usage\n",
     ""},
    {COMMAND_SET, "set K V",
     "Stores V under K and prints OK.\n"
     "  --ttl-ms MS           the item expires in MS milliseconds\n"
     "  --if-absent           only if there is none, else exit 1\n",
     write_options},
    {COMMAND_DELETE, "delete K", "Removes a key and prints OK; exit 1 if there is none.\n", write_options},
    {COMMAND_INCR, "incr K [N]",
     "Adds N (1, may be negative) to a number and prints the sum; an absent one counts as 0.\n"
     "  --ttl-ms MS           an item that it creates expires in MS milliseconds\n"
     "  --if-absent           only if there is none, else exit 1\n",
     write_options},
    {COMMAND_TOUCH, "touch K MS",
     "Lets a key expire in MS milliseconds (0: never) and prints OK; exit 1 if there is none.\n", ""},
    {COMMAND_FLUSH, "flush", "Removes every item and prints OK.\n", ""},
    {COMMAND_HEALTH, "health",
     "One node: its mode, state, epoch, lsn, items, capacity, lines_used and uptime_ms, one on a line.\n"
     "Several: a table of mode, state, epoch, lsn, lag behind the primary (LSNs, and microseconds as far\n"
     "as they can be told) and how long the check took; under an endpoint that is not well, why.\n"
     "exit: 0 every node serves, 1 one does not, or is not reached, 2 usage\n",
     ""},
    {COMMAND_STATS, "stats",
     "A few reads at each node, then the router's counters and each endpoint's: requests, errors, stale,\n"
     "failovers, latencies of requests in microseconds, and what its health check said.\n"
     "exit: 0 every node serves, 1 one does not, or is not reached, 2 usage\n",
     ""},
    {COMMAND_CONFIG_TEST, "config-test",
     "Reaches every configured endpoint and says of each ok or WRONG: its name does not resolve, nothing\n"
     "listens, no answer, another secret, not WILD at all, the wrong mode (a primary configured as\n"
     "replica), another cluster, an epoch that is behind, a node that is named twice, or that does not\n"
     "serve.\n"
     "The last line is `config-test: N endpoints, N wrong`.\n"
     "exit: 0 nothing is wrong, 1 something is, 2 usage\n",
     ""},
    {COMMAND_REPLICATION_TEST, "replication-test",
     "Writes through the primary in bursts of 1 to 8, and reads every --replica after each until it\n"
     "shows it. A write that does not show in time is missing; one with other contents or another\n"
     "version, or that is not there when a later one is, is wrong. Lag is measured from a burst's last\n"
     "acknowledgement to the first read that shows it, the read's round trip included. The keys are\n"
     "removed afterwards. Prints a row for each replica; the last line is\n"
     "  replication-test: N writes, N replicas, N missing, N wrong, lag p50 N us, p99 N us\n"
     "  --writes N (1000)  --bytes B (64, at least 16)\n"
     "  --wait MS (5000)      how long a replica may take\n"
     "exit: 0 nothing is missing or wrong, 1 something is, or a node is not reached, 2 usage\n",
     ""},
    {COMMAND_LOAD_TEST, "load-test",
     "Loads one node, or with replicas all of them through the router, and verifies every value read.\n"
     "The last line is\n"
     "  load-test: N operations, N errors, N mismatches, N ops/s, p50 N us, p99 N us, p99.9 N us, max N us\n"
     "  --seconds S (10)  --keys N (10000)  --value-size B (32)  --get-percent P (90)\n"
     "  --connections C (2)     each is a thread with keys and sessions of its own\n"
     "  --pipeline D (16)       operations in flight per connection, at most 128\n"
     "  --delete-percent P (0)  of the writes, so many remove the key\n"
     "  --ttl-ms MS             every second SET expires after so long (its checks allow for a second)\n"
     "  --journal FILE          append every write to FILE before it is sent, and what the node answered;\n"
     "                          a node that dies ends the test, with its figures and exit code 1\n"
     "exit: 0 no errors and no mismatches, 1 some, or no node is reached, 2 usage\n",
     ""},
    {COMMAND_VERIFY, "verify --journal FILE",
     "Reads every key that FILE names (of any number of load tests one after the other) from the primary\n"
     "and compares: the last line is `verify: N keys, N lost, N wrong`. An unanswered write may have\n"
     "happened or not. Not for nodes that evict, nor after other writes to these keys.\n\n"
     "A journal is text, a line an event, KEY RUN.NUMBER naming a write:\n"
     "  set load:00000000042 5f3a91c2.17 32 -          about to store 32 bytes; - or the earliest expiry\n"
     "  delete load:00000000042 5f3a91c2.18            about to remove it\n"
     "  ok load:00000000042 5f3a91c2.17 4294967312 -   acknowledged with this LSN; - or the latest expiry\n"
     "  unanswered load:00000000042 5f3a91c2.18        may have happened\n"
     "  refused load:00000000042 5f3a91c2.18           did not happen\n"
     "It is not synced: it survives the node's death, not the death of the machine that it is on.\n"
     "exit: 0 nothing is lost or wrong, 1 something is, or failed, 2 usage\n",
     ""},
};

void help_print(enum command command)
{
    for (size_t i = 0; i < sizeof(commands) / sizeof(commands[0]); i++) {
        if (commands[i].command != command)
            continue;
        printf("usage: wild-client-example [OPTION]... %s\n\n%s%s\nOptions about nodes, secrets and output: "
               "wild-client-example --help\n",
               commands[i].usage, commands[i].text, commands[i].more);
        return;
    }
    fputs(general, stdout);
}
