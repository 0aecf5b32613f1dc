/*
 * wild-pcap - writes a capture file of native requests, for load generators that replay captures. The node
 * that answers them runs in bench mode (--insecure-no-auth): see docs/pktgen.md.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <getopt.h>
#include <inttypes.h>
#include <pcap/pcap.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "frame.h"
#include "workload.h"

enum { EXIT_DONE = 0, EXIT_FAILED = 1, EXIT_USAGE = 2 };

struct options {
    const char *out;
    uint64_t count, source_ports;
    bool preload, has_to_mac, has_to_ip;
    struct workload workload;
    struct frame_address from, to;
};

struct totals {
    uint64_t frames, bytes, preloads, gets, sets, echoes;
};

__attribute__((format(printf, 1, 2))) static int usage(const char *format, ...)
{
    va_list arguments;
    fputs("wild-pcap: ", stderr);
    va_start(arguments, format);
    vfprintf(stderr, format, arguments);
    va_end(arguments);
    fputs("; see --help\n", stderr);
    return EXIT_USAGE;
}

static void help(void)
{
    puts("usage: wild-pcap --out FILE --dst-mac MAC --dst-ip IP [OPTION]...\n\n"
         "Writes Ethernet frames with requests for a node in bench mode (--insecure-no-auth).\n\n"
         "  --out FILE         the capture to write (pcap, microseconds)\n"
         "  --count N          requests (100000)\n"
         "  --preload          before them, one SET for every key\n"
         "  --keys N           different keys (10000), all alike\n"
         "  --zipf S           key popularity falls with rank to the power S (for example 0.99)\n"
         "  --get-percent P    the others are SETs (90)\n"
         "  --key-size B       bytes of a key (8)\n"
         "  --value-size B     bytes of a value (32); GETs are padded so that the answer may have them\n"
         "  --echo B           ECHO datagrams of B bytes instead of operations\n"
         "  --seed N           the same seed gives the same file (1)\n"
         "  --dst-mac MAC --dst-ip IP --dst-port PORT    the node (port 7878)\n"
         "  --src-mac MAC --src-ip IP --src-port PORT    02:00:00:00:00:01, 198.18.0.2, 40000\n"
         "  --src-ports N      take turns among N source ports, so that RSS spreads the flows (64)\n\n"
         "exit: 0 done, 1 the file cannot be written, 2 usage");
}

static bool number_read(const char *text, uint64_t least, uint64_t most, uint64_t *out)
{
    char *rest;
    errno = 0;
    *out = strtoull(text, &rest, 10);
    return text[0] >= '0' && text[0] <= '9' && *rest == '\0' && errno == 0 && *out >= least && *out <= most;
}

static bool mac_read(const char *text, uint8_t mac[6])
{
    int end = 0;
    return sscanf(text, "%2hhx:%2hhx:%2hhx:%2hhx:%2hhx:%2hhx%n", &mac[0], &mac[1], &mac[2], &mac[3], &mac[4],
                  &mac[5], &end) == 6 &&
           text[end] == '\0';
}

enum option_code {
    OPTION_OUT = 256,
    OPTION_COUNT,
    OPTION_PRELOAD,
    OPTION_KEYS,
    OPTION_ZIPF,
    OPTION_GET_PERCENT,
    OPTION_KEY_SIZE,
    OPTION_VALUE_SIZE,
    OPTION_ECHO,
    OPTION_SEED,
    OPTION_DST_MAC,
    OPTION_DST_IP,
    OPTION_DST_PORT,
    OPTION_SRC_MAC,
    OPTION_SRC_IP,
    OPTION_SRC_PORT,
    OPTION_SRC_PORTS,
};

static const struct option long_options[] = {
    {"out", required_argument, NULL, OPTION_OUT},
    {"count", required_argument, NULL, OPTION_COUNT},
    {"preload", no_argument, NULL, OPTION_PRELOAD},
    {"keys", required_argument, NULL, OPTION_KEYS},
    {"zipf", required_argument, NULL, OPTION_ZIPF},
    {"get-percent", required_argument, NULL, OPTION_GET_PERCENT},
    {"key-size", required_argument, NULL, OPTION_KEY_SIZE},
    {"value-size", required_argument, NULL, OPTION_VALUE_SIZE},
    {"echo", required_argument, NULL, OPTION_ECHO},
    {"seed", required_argument, NULL, OPTION_SEED},
    {"dst-mac", required_argument, NULL, OPTION_DST_MAC},
    {"dst-ip", required_argument, NULL, OPTION_DST_IP},
    {"dst-port", required_argument, NULL, OPTION_DST_PORT},
    {"src-mac", required_argument, NULL, OPTION_SRC_MAC},
    {"src-ip", required_argument, NULL, OPTION_SRC_IP},
    {"src-port", required_argument, NULL, OPTION_SRC_PORT},
    {"src-ports", required_argument, NULL, OPTION_SRC_PORTS},
    {"help", no_argument, NULL, 'h'},
    {0},
};

/* False: the value is not what the option takes. */
static bool option_set(struct options *options, int option, const char *value)
{
    struct workload *workload = &options->workload;
    uint64_t number = 0;
    char *rest;
    switch (option) {
    case OPTION_OUT:
        options->out = value;
        return true;
    case OPTION_COUNT:
        return number_read(value, 0, UINT32_MAX, &options->count);
    case OPTION_PRELOAD:
        return options->preload = true;
    case OPTION_KEYS:
        return number_read(value, 1, UINT32_MAX, &workload->keys);
    case OPTION_ZIPF:
        workload->zipf_exponent = strtod(value, &rest);
        return *value != '\0' && *rest == '\0' && workload->zipf_exponent >= 0 &&
               workload->zipf_exponent <= 10;
    case OPTION_GET_PERCENT:
        return number_read(value, 0, 100, &number) && (workload->get_percent = (unsigned)number, true);
    case OPTION_KEY_SIZE:
        return number_read(value, 0, UINT32_MAX, &number) && (workload->key_size = (unsigned)number, true);
    case OPTION_VALUE_SIZE:
        return number_read(value, 0, UINT32_MAX, &number) && (workload->value_size = (unsigned)number, true);
    case OPTION_ECHO:
        return number_read(value, 1, UINT32_MAX, &number) && (workload->echo_size = (unsigned)number, true);
    case OPTION_SEED:
        return number_read(value, 0, UINT64_MAX, &workload->seed);
    case OPTION_DST_MAC:
        return options->has_to_mac = mac_read(value, options->to.mac);
    case OPTION_DST_IP:
        return options->has_to_ip = inet_pton(AF_INET, value, options->to.ip) == 1;
    case OPTION_DST_PORT:
        return number_read(value, 1, 65535, &number) && (options->to.port = (uint16_t)number, true);
    case OPTION_SRC_MAC:
        return mac_read(value, options->from.mac);
    case OPTION_SRC_IP:
        return inet_pton(AF_INET, value, options->from.ip) == 1;
    case OPTION_SRC_PORT:
        return number_read(value, 1, 65535, &number) && (options->from.port = (uint16_t)number, true);
    case OPTION_SRC_PORTS:
        return number_read(value, 1, 65535, &options->source_ports);
    default:
        return false;
    }
}

static int options_check(struct options *options)
{
    if (options->out == NULL)
        return usage("--out is missing");
    if (!options->has_to_mac || !options->has_to_ip)
        return usage("--dst-mac and --dst-ip are missing: wild logs both at start");
    if (options->from.port + options->source_ports > 65536)
        return usage("there are not so many source ports");
    if (options->preload && options->workload.echo_size != 0)
        return usage("--preload has no meaning with --echo");
    const char *wrong = workload_start(&options->workload);
    return wrong == NULL ? EXIT_DONE : usage("%s", wrong);
}

static int options_read(struct options *options, int argc, char **argv, bool *wants_help)
{
    *options = (struct options){
        .count = 100000,
        .source_ports = 64,
        .workload = {.keys = 10000, .get_percent = 90, .key_size = 8, .value_size = 32, .seed = 1},
        .from = {.mac = {0x02, 0, 0, 0, 0, 0x01}, .ip = {198, 18, 0, 2}, .port = 40000},
        .to = {.port = PROTOCOL_DEFAULT_PORT},
    };
    *wants_help = false;
    opterr = 0;
    for (;;) {
        int at = optind, option = getopt_long(argc, argv, "h", long_options, NULL);
        if (option == -1)
            break;
        if (option == 'h')
            return *wants_help = true, EXIT_DONE;
        if (option == '?')
            return usage("unknown option, or no value: %s", argv[at]);
        if (!option_set(options, option, optarg))
            return usage("%s does not take \"%s\"", argv[at], optarg);
    }
    if (optind < argc)
        return usage("unexpected argument \"%s\"", argv[optind]);
    return options_check(options);
}

static void write_frame(pcap_dumper_t *file, const struct options *options, uint8_t *frame,
                        size_t payload_length, struct totals *totals)
{
    struct frame_address from = options->from;
    from.port = (uint16_t)(from.port + totals->frames % options->source_ports);
    size_t length = frame_finish(frame, &from, &options->to, (uint16_t)totals->frames, payload_length);
    struct pcap_pkthdr header = {
        /* one a microsecond, from the epoch: the same seed, the same bytes */
        .ts = {.tv_sec = (time_t)(totals->frames / 1000000),
               .tv_usec = (suseconds_t)(totals->frames % 1000000)},
        .caplen = (bpf_u_int32)length,
        .len = (bpf_u_int32)length,
    };
    pcap_dump((u_char *)file, &header, frame);
    totals->frames++;
    totals->bytes += length;
}

static void write_all(pcap_dumper_t *file, struct options *options, struct totals *totals)
{
    uint8_t frame[FRAME_BYTES_MAX], *payload = frame + FRAME_PAYLOAD_AT;
    for (uint64_t key = 0; options->preload && key < options->workload.keys; key++) {
        size_t length = workload_preload(&options->workload, key, payload);
        write_frame(file, options, frame, length, totals);
        totals->preloads++;
    }
    for (uint64_t i = 0; i < options->count; i++) {
        bool is_get;
        size_t length = workload_next(&options->workload, payload, &is_get);
        write_frame(file, options, frame, length, totals);
        if (options->workload.echo_size != 0)
            totals->echoes++;
        else if (is_get)
            totals->gets++;
        else
            totals->sets++;
    }
}

int main(int argc, char **argv)
{
    struct options options;
    struct totals totals = {0};
    bool wants_help;
    int outcome = options_read(&options, argc, argv, &wants_help);
    if (wants_help)
        help();
    if (outcome != EXIT_DONE || wants_help)
        return outcome;

    pcap_t *link = pcap_open_dead(DLT_EN10MB, 65535);
    pcap_dumper_t *file = link != NULL ? pcap_dump_open(link, options.out) : NULL;
    if (file == NULL) {
        fprintf(stderr, "wild-pcap: %s\n", link != NULL ? pcap_geterr(link) : "no memory");
        return EXIT_FAILED;
    }
    write_all(file, &options, &totals);
    bool failed = pcap_dump_flush(file) != 0 || ferror(pcap_dump_file(file));
    pcap_dump_close(file);
    pcap_close(link);
    if (failed) {
        fprintf(stderr, "wild-pcap: cannot write %s: %s\n", options.out, strerror(errno));
        return EXIT_FAILED;
    }
    printf("wild-pcap: %" PRIu64 " frames, %" PRIu64 " bytes: %" PRIu64 " preload SET, %" PRIu64
           " GET, %" PRIu64 " SET, %" PRIu64 " ECHO\n",
           totals.frames, totals.bytes, totals.preloads, totals.gets, totals.sets, totals.echoes);
    return EXIT_DONE;
}
