/*
 * wildctl - what an operator asks of a node, or of its folder when it is stopped.
 */
#include <errno.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "disk_folder.h"
#include "node_commands.h"
#include "wal_commands.h"

static const struct command {
    const char *name;
    int (*run)(const struct disk *disk, const struct wal_options *options);
    enum disk_folder_access access;
    const char *help;
} commands[] = {
    {"info", wal_info, DISK_FOLDER_READ,
     "usage: wildctl wal info [-j] FOLDER\n\n"
     "What lies there: cluster and node, histories (epoch, first LSN, where the log ended before), segments with\n"
     "their LSNs and fill, snapshots, and where the log ends and how: clean, torn (what was being written when the\n"
     "node stopped, and nobody was told of), damaged. A node may be running; its end moves then.\n"
     "exit: 0 shown, 1 it cannot be read, 2 usage"},
    {"check", wal_check, DISK_FOLDER_READ,
     "usage: wildctl wal check [-j] FOLDER\n\n"
     "Reads everything: checksums, the chain of blocks, snapshots and whether the log reaches far enough for them.\n"
     "Says for each damage which file, at what offset, what it is and what to do.\n"
     "exit: 0 fine (a torn tail is), 1 damage, 2 usage"},
    {"dump", wal_dump, DISK_FOLDER_READ,
     "usage: wildctl wal dump [-j] [--values] [--from LSN] [--to LSN] FOLDER\n\n"
     "The log's records in order, one a line: LSN, type, key, the value's length or with --values the value,\n"
     "expiry (wall clock, ms). What lies in a snapshot alone is not shown.\n"
     "exit: 0 done, 1 damage: not all could be shown, 2 usage"},
    {"repair", wal_repair, DISK_FOLDER_OWN,
     "usage: wildctl wal repair [-j] [--yes] [--keep DIR] FOLDER\n\n"
     "Ends a damaged log where it is still whole. Says first what that gives up, and does it with --yes only:\n"
     "what lies behind is copied or renamed to kept-..., in the folder or in DIR, and so are snapshots that\n"
     "need more of the log than is left. A backup, or a copy from a replica, gives up nothing: try that first.\n"
     "The node must be stopped. Interrupted, it may be run again.\n"
     "exit: 0 repaired, or nothing to repair; 1 damage (without --yes: nothing was changed); 2 usage"},
};
enum { COMMANDS = sizeof commands / sizeof commands[0], ERROR_BYTES = 512 };

__attribute__((format(printf, 1, 2))) static int usage(const char *format, ...)
{
    va_list arguments;
    fputs("wildctl: ", stderr);
    va_start(arguments, format);
    vfprintf(stderr, format, arguments);
    va_end(arguments);
    fputs("; see --help\n", stderr);
    return EXIT_USAGE;
}

static void help(const struct command *command)
{
    if (command != NULL)
        puts(command->help);
    else
        puts("usage: wildctl -s SOCKET [-j] COMMAND           of a running node\n"
             "       wildctl wal COMMAND [OPTION]... FOLDER    of a log's folder\n\n"
             "  status, replicas, members, snapshot, promote, demote, follow, drain:\n"
             "  `wildctl -s SOCKET --help` says more.\n\n"
             "  info    what lies in the folder of a log, and where the log ends\n"
             "  check   read everything, say what is damaged and what to do\n"
             "  dump    print the log's records\n"
             "  repair  end a damaged log where it is still whole; what is given up is kept aside\n\n"
             "`wildctl wal COMMAND --help` says more.");
}

static bool read_lsn(const char *text, uint64_t *out)
{
    char *rest;
    errno = 0;
    *out = strtoull(text, &rest, 10);
    return text[0] >= '0' && text[0] <= '9' && *rest == '\0' && errno == 0;
}

struct arguments {
    const struct command *command;
    struct wal_options wal;
    const char *keep;
    bool help;
};

static bool is_option(const struct arguments *arguments, const char *text, const char *name,
                      const char *command)
{
    return strcmp(text, name) == 0 && arguments->command != NULL &&
           strcmp(arguments->command->name, command) == 0;
}

static int read_option(struct arguments *arguments, char **argv, int *at)
{
    const char *text = argv[*at], *value = argv[*at + 1];
    struct wal_options *wal = &arguments->wal;
    if (strcmp(text, "-h") == 0 || strcmp(text, "--help") == 0) {
        arguments->help = true;
    } else if (strcmp(text, "-j") == 0 || strcmp(text, "--json") == 0) {
        wal->json = true;
    } else if (is_option(arguments, text, "--yes", "repair")) {
        wal->yes = true;
    } else if (is_option(arguments, text, "--values", "dump")) {
        wal->values = true;
    } else if (is_option(arguments, text, "--keep", "repair") && value != NULL) {
        arguments->keep = value;
        ++*at;
    } else if (is_option(arguments, text, "--from", "dump") || is_option(arguments, text, "--to", "dump")) {
        if (value == NULL || !read_lsn(value, text[2] == 'f' ? &wal->from_lsn : &wal->to_lsn))
            return usage("%s takes an LSN", text);
        ++*at;
    } else {
        return usage("unknown option %s, or it lacks its value", text);
    }
    return EXIT_FINE;
}

static int read_word(struct arguments *arguments, const char *word)
{
    if (arguments->command == NULL) {
        for (unsigned i = 0; i < COMMANDS; i++)
            if (strcmp(commands[i].name, word) == 0)
                arguments->command = &commands[i];
        return arguments->command != NULL ? EXIT_FINE : usage("unknown command \"wal %s\"", word);
    }
    if (arguments->wal.path != NULL)
        return usage("one folder, not \"%s\" as well", word);
    arguments->wal.path = word;
    return EXIT_FINE;
}

static int read_arguments(struct arguments *arguments, int argc, char **argv)
{
    int outcome = EXIT_FINE;
    if (argc < 2 || strcmp(argv[1], "-h") == 0 || strcmp(argv[1], "--help") == 0) {
        arguments->help = argc >= 2;
        return argc >= 2 ? EXIT_FINE : usage("no command");
    }
    if (strcmp(argv[1], "wal") != 0)
        return usage("unknown command \"%s\"", argv[1]);
    for (int at = 2; at < argc && outcome == EXIT_FINE; at++)
        outcome = argv[at][0] == '-' ? read_option(arguments, argv, &at) : read_word(arguments, argv[at]);
    if (outcome != EXIT_FINE || arguments->help)
        return outcome;
    if (arguments->command == NULL)
        return usage("no command");
    return arguments->wal.path != NULL ? EXIT_FINE : usage("no folder");
}

static int run(struct arguments *arguments)
{
    char error[ERROR_BYTES];
    struct disk_folder *folder = NULL, *keep = NULL;
    const struct command *command = arguments->command;
    struct disk disk, keep_disk;
    struct stat status;
    int outcome = EXIT_DAMAGE;
    /* A folder that is to be repaired is there: it is not made. */
    if (stat(arguments->wal.path, &status) != 0) {
        fprintf(stderr, "wildctl: %s: %s\n", arguments->wal.path, strerror(errno));
        return EXIT_DAMAGE;
    }
    if (disk_folder_open(&folder, arguments->wal.path, command->access, DISK_QUEUE_NONE, error,
                         sizeof error) != 0 ||
        (arguments->keep != NULL && disk_folder_open(&keep, arguments->keep, DISK_FOLDER_OWN, DISK_QUEUE_NONE,
                                                     error, sizeof error) != 0)) {
        fprintf(stderr, "wildctl: %s\n", error);
    } else {
        disk = disk_folder_disk(folder);
        if (keep != NULL) {
            keep_disk = disk_folder_disk(keep);
            arguments->wal.keep = &keep_disk;
        }
        if (command->access == DISK_FOLDER_READ)
            arguments->wal.used_by = disk_folder_user(folder);
        outcome = command->run(&disk, &arguments->wal);
    }
    if (keep != NULL)
        disk_folder_close(keep);
    if (folder != NULL)
        disk_folder_close(folder);
    return outcome;
}

/* Who has not got all that was printed must not be told that all is well. */
static int finish(int outcome)
{
    if (fflush(stdout) != 0 || ferror(stdout)) {
        perror("wildctl: stdout");
        return EXIT_DAMAGE;
    }
    return outcome;
}

int main(int argc, char **argv)
{
    struct arguments arguments = {.wal = {.out = stdout, .to_lsn = UINT64_MAX}};
    struct timespec now;
    int outcome;
    if (node_command_is(argc, argv))
        return finish(node_command_main(argc, argv, stdout));
    outcome = read_arguments(&arguments, argc, argv);
    if (outcome == EXIT_FINE && arguments.help) {
        help(arguments.command);
        return EXIT_FINE;
    }
    if (outcome != EXIT_FINE)
        return outcome;
    clock_gettime(CLOCK_REALTIME, &now);
    arguments.wal.wall_ms = (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
    arguments.wal.progress = isatty(STDERR_FILENO) != 0;
    return finish(run(&arguments));
}
